"""Files of event cameras: every format against the columns they were written from, and against plain decoders."""

from __future__ import annotations

import struct
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hal
from hal import EventFileWarning, Port, read_events, read_stimulus
from hal.errors import FormatError, OptionalDependencyError

GOLDEN = Path(__file__).parents[1] / "golden" / "events"
DVS = Port("input", (2, 96, 128))
COLUMNS = ("t", "x", "y", "p")
Rows = list[tuple[int, int, int, int]]

several = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)


def rows(array: Any) -> Rows:
    return [tuple(int(row[name]) for name in COLUMNS) for row in array]  # type: ignore[misc]


@pytest.fixture(scope="module")
def expected() -> Rows:
    with np.load(GOLDEN / "expected.npz") as columns:
        return list(zip(*(columns[name].tolist() for name in COLUMNS), strict=True))


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# --- the golden recording --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "kind", "origin", "facts"),
    [
        ("dvs.dat", "dat", "top-left", {}),
        ("dvs_evt2.raw", "evt2", "top-left", {"other_words": 0}),
        ("dvs.es", "event stream", "bottom-left", {"width": 128, "height": 96, "version": "2.0.0"}),
    ],
)
def test_every_event_comes_back_with_unit_and_origin(
    file: str, kind: str, origin: str, facts: dict[str, Any], expected: Rows
) -> None:
    read = read_events(GOLDEN / file)
    assert rows(read.array) == expected
    assert (read.format, read.unit, read.origin, read.facts, read.notes) == (kind, "us", origin, facts, ())


def test_the_corner_of_the_format_is_used_unless_another_is_given(expected: Rows) -> None:
    def rows_of(file: str, **options: str) -> list[int]:
        events = read_stimulus(GOLDEN / file, DVS, **options)  # type: ignore[arg-type]
        assert not isinstance(events, hal.Signal)
        return [int(index) // 128 % 96 for index in events["index"]]

    y = [row[2] for row in expected]
    assert rows_of("dvs.dat") == y
    assert rows_of("dvs.es") == [95 - value for value in y]
    assert rows_of("dvs.es", origin="top-left") == y
    assert rows_of("dvs.dat", origin="bottom-left") == [95 - value for value in y]


def test_the_first_event_may_be_the_beginning(expected: Rows) -> None:
    events = read_stimulus(GOLDEN / "dvs.dat", DVS, from_first=True)
    assert not isinstance(events, hal.Signal)
    assert events["t"].tolist() == [(row[0] - expected[0][0]) * 1000 for row in expected]


def test_a_gap_that_the_writer_lost_is_reported(expected: Rows) -> None:
    with pytest.warns(EventFileWarning, match=r"dvs_evt3.raw: the time is discontinuous: 49 times") as told:
        read = read_events(GOLDEN / "dvs_evt3.raw")
    assert [str(warning.message) for warning in told] == [f"{read.path}: {note}" for note in read.notes]
    assert [row[1:] for row in rows(read.array)] == [row[1:] for row in expected]
    assert [row[0] % 4096 for row in rows(read.array)] == [row[0] % 4096 for row in expected]
    assert rows(read.array)[:2000] == expected[:2000]


def test_aedat4_is_read_or_says_what_to_install(expected: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("aedat") is not None:
        read = read_events(GOLDEN / "dvs.aedat4")
        assert rows(read.array) == expected
        assert (read.format, read.unit, read.origin) == ("aedat4", "us", "top-left")
        assert read.facts == {"width": 128, "height": 96}
        assert rows(read_events(GOLDEN / "dvs.aedat4", name="0").array) == expected
    monkeypatch.setitem(sys.modules, "aedat", None)
    with pytest.raises(OptionalDependencyError, match=r"takes the package aedat") as error:
        read_events(GOLDEN / "dvs.aedat4")
    assert "pip install 'neurohal[events]'" in error.value.hint


class Streams:
    """What the package aedat gives, with two streams and a fault where the file is damaged."""

    def __init__(self, _: Path, fail_after: int = 9) -> None:
        self.fail_after = fail_after

    def id_to_stream(self) -> dict[int, dict[str, Any]]:
        return {n: {"type": kind, "width": 4, "height": 3} for n, kind in enumerate(("events", "frames", "events"))}

    def __iter__(self) -> Any:
        for n in range(4):
            if n == self.fail_after:
                raise RuntimeError("LZ4 error")
            events = np.array([(n, 1, 2, True)], [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), (("p", "on"), "?")])
            yield {"stream_id": n % 3, "events": events} if n % 3 != 1 else {"stream_id": 1, "frame": {}}


def test_one_of_several_streams_and_what_is_whole_of_a_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    path = write(tmp_path / "two.aedat4", b"#!AER-DAT4.0\r\n")

    def package(fail_after: int) -> None:
        decoder = SimpleNamespace(Decoder=lambda path: Streams(path, fail_after))
        monkeypatch.setitem(sys.modules, "aedat", decoder)  # type: ignore[arg-type]

    package(9)
    with pytest.raises(FormatError, match="2 of streams of events, and none was chosen"):
        read_events(path)
    assert rows(read_events(path, name="0").array) == [(0, 1, 2, 1), (3, 1, 2, 1)]
    assert rows(read_events(path, name="2").array) == [(2, 1, 2, 1)]
    package(2)
    with pytest.warns(EventFileWarning, match="damaged after 1 events: LZ4 error"):
        assert rows(read_events(path, name="0").array) == [(0, 1, 2, 1)]
    package(0)
    with pytest.raises(FormatError, match="cannot be read as AEDAT 4: LZ4 error"):
        read_events(path, name="0")
    write(path, b"#!AER-DAT3.1\r\n")
    with pytest.raises(FormatError, match=r"is AEDAT 3.1, and AEDAT 4.0 is read"):
        read_events(path)


# --- Event Stream ----------------------------------------------------------------------------------------------------

ES = b"Event Stream\x02\x00\x00\x01" + struct.pack("<HH", 300, 260)

waits = st.lists(st.sampled_from([0xFF, 0xFE]), max_size=4)
es_events = st.lists(
    st.tuples(waits, st.integers(0, 126), st.integers(0, 299), st.integers(0, 259), st.integers(0, 1)), max_size=12
)


@several
@given(es_events, waits, st.integers(0, 4))
def test_event_streams_with_any_waits_between_events(tmp_path: Path, events: Any, tail: Any, cut: int) -> None:
    data, t, wanted = ES, 0, []
    for between, dt, x, y, p in events:
        data += bytes(between) + bytes([dt << 1 | p]) + struct.pack("<HH", x, y)
        t += 127 * between.count(0xFF) + dt
        wanted.append((t, x, y, p))
    rest = b"\x02\xff\xff\xff"[:cut]
    path = write(tmp_path / "a.es", data + bytes(tail) + rest)
    if cut:
        with pytest.warns(EventFileWarning, match=f"last {cut} bytes are no whole event"):
            assert rows(read_events(path).array) == wanted
    else:
        assert rows(read_events(path).array) == wanted


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (ES[:17], "ends within its header"),
        (ES.replace(b"\x02\x00\x00\x01", b"\x01\x00\x00\x01"), r"version 1\.0\.0, and version 2"),
        (ES.replace(b"\x02\x00\x00\x01", b"\x02\x00\x00\x02"), "events of type ATIS"),
        (ES.replace(b"\x02\x00\x00\x01", b"\x02\x00\x00\x63"), "events of type 99"),
        (ES + b"\x02\x2c\x01\x00\x00", "event 0 lies at x 300, y 0, outside 300 x 260"),
        (ES + b"\x02\x00\x00\x00\x00\x02\x00\x00\x04\x01", "event 1 lies at x 0, y 260"),
    ],
)
def test_event_streams_that_are_not_read(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_events(write(tmp_path / "a.es", data))


# --- DAT -------------------------------------------------------------------------------------------------------------


def dat(
    *events: tuple[int, int, int, int], header: bytes = b"% Data file containing CD events\n", kind: int = 0
) -> bytes:
    words = b"".join(struct.pack("<II", t % (1 << 32), x | y << 14 | p << 28) for t, x, y, p in events)
    return header + bytes([kind, 8]) + words


def test_dat_with_a_size_a_wrapped_clock_and_a_cut_end(tmp_path: Path) -> None:
    header = b"% Version 2\n% Width 1280\n% Height 720\n"
    events = [((1 << 32) - 5, 1279, 719, 1), ((1 << 32) + 3, 0, 0, 0), ((2 << 32) - 1, 5, 6, 1), (2 << 32, 7, 8, 1)]
    read = read_events(write(tmp_path / "a.bin", dat(*events, header=header, kind=12)))
    assert rows(read.array) == events
    assert read.facts == {"width": 1280, "height": 720}
    path = write(tmp_path / "b.dat", dat(*events, header=header) + b"abc")
    with pytest.warns(EventFileWarning, match="last 3 bytes are no whole word"):
        assert rows(read_events(path).array) == events
    with pytest.raises(hal.ConfigError, match="width"):
        read_stimulus(tmp_path / "a.bin", DVS)


def test_a_dat_whose_time_falls_a_little_is_not_mended(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dat", dat((10, 0, 0, 0), (9, 0, 0, 0)))
    assert [row[0] for row in rows(read_events(path).array)] == [10, 9]
    with pytest.raises(hal.ConfigError, match="time goes back"):
        read_stimulus(path, DVS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (dat(kind=14), "events of type 0x0e and 8 bytes"),
        (dat(header=b"% Version 1\n"), "DAT of version 1, and version 2"),
        (b"% Version 2\n", "ends within its header"),
    ],
)
def test_dat_files_that_are_not_read(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_events(write(tmp_path / "a.dat", data))


# --- RAW -------------------------------------------------------------------------------------------------------------


def plain_evt2(words: list[int]) -> Rows:
    high, loop, out = None, 0, []
    for word in words:
        kind = word >> 28
        if kind == 8:
            new = word & 0xFFFFFFF
            loop += high is not None and new - high < -(1 << 27)
            high = new
        elif kind in (0, 1) and high is not None:
            t = ((loop << 28) + high << 6) + (word >> 22 & 63)
            out.append((t, word >> 11 & 2047, word & 2047, kind))
    return out


def plain_evt3(words: list[int]) -> tuple[Rows, int]:
    """One word after another, as the format's page tells it; and how often the low part fell."""
    high, low, loop, extra, back = None, 0, 0, 0, 0
    y = base = None
    out = []
    for word in words:
        kind, value = word >> 12, word & 0xFFF
        if kind == 8 and value != high:
            loop += high is not None and value - high < -2048
            high, low, extra = value, 0, 0
        elif kind == 6:
            if value < low:
                extra, back = extra + 1, back + 1
            low = value
        elif kind == 0:
            y = value & 2047
        elif kind == 3:
            base = [value & 2047, value >> 11]
        hits = []
        if kind == 2:
            hits = [(value & 2047, value >> 11)]
        elif kind in (4, 5) and base is not None:
            width = 12 if kind == 4 else 8
            hits = [(base[0] + bit, base[1]) for bit in range(width) if value >> bit & 1]
            base[0] += width
        if y is not None and high is not None:
            t = ((loop << 12) + high + extra << 12) + low
            out += [(t, x, y, p) for x, p in hits]
    return out, back


def raw(words: list[int], version: int) -> bytes:
    head = f"% evt {version}.0\n% geometry 640x480\n% end\n".encode()
    return head + np.array(words, f"<u{4 if version == 2 else 2}").tobytes()


evt2_words = st.lists(
    st.one_of(
        st.integers(0, (1 << 29) - 1),
        st.sampled_from([0, 1, 2, 1 << 26, (1 << 28) - 1]).map(lambda high: 8 << 28 | high),
        st.sampled_from([0xA0000001, 0xE0000000, 0xF0000000]),
    ),
    max_size=30,
)
evt3_words = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([0, 2, 3, 4, 5, 6]), st.integers(0, 4095)),
        st.tuples(st.sampled_from([8]), st.sampled_from([0, 1, 2, 3000, 4095])),
        st.tuples(st.sampled_from([7, 10, 14, 15]), st.integers(0, 4095)),
    ).map(lambda pair: pair[0] << 12 | pair[1]),
    max_size=60,
)


@several
@pytest.mark.filterwarnings("ignore::hal.stimulus.EventFileWarning")
@given(evt2_words)
def test_evt2_is_what_a_plain_decoder_reads(tmp_path: Path, words: list[int]) -> None:
    read = read_events(write(tmp_path / "a.raw", raw(words, 2)))
    assert rows(read.array) == plain_evt2(words)
    first = next((n for n, word in enumerate(words) if word >> 28 == 8), len(words))
    lost = sum(word >> 28 < 2 for word in words[:first])
    assert read.notes == (
        (f"{lost} events stand before the first word of time (and row), and are left out",) * (lost > 0)
    )
    assert read.facts == {"width": 640, "height": 480, "other_words": sum(word >> 28 > 8 for word in words)}


@several
@pytest.mark.filterwarnings("ignore::hal.stimulus.EventFileWarning")
@given(evt3_words)
def test_evt3_is_what_a_plain_decoder_reads(tmp_path: Path, words: list[int]) -> None:
    read = read_events(write(tmp_path / "a.raw", raw(words, 3)))
    wanted, back = plain_evt3(words)
    assert rows(read.array) == wanted
    assert any("discontinuous" in note for note in read.notes) == (back > 0)


def test_what_is_wrong_with_a_raw_file_is_noted(tmp_path: Path) -> None:
    words = [0x8001, 0x6005, 0x0003, 0x4001, 0x9000, 0x2807, 0x1000]
    path = write(tmp_path / "a.raw", raw(words, 3) + b"z")
    with pytest.warns(EventFileWarning) as told:
        read = read_events(path)
    assert rows(read.array) == [(4096 + 5, 7, 3, 1)]
    assert read.notes == (
        "1 vectors stand before the first base, and are left out: the file is damaged",
        "the last 1 bytes are no whole word: the file was cut",
        "2 words are of types that EVT 3 does not define: the file is damaged",
    )
    assert len(told) == 3


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"% evt 2.1\n", "in the encoding '2.1'"),
        (b"% format EVT4;width=640\n", "in the encoding 'EVT4'"),
        (b"% camera x\n", "does not say in which encoding"),
        (b"% evt 3.0\n% endianness big\n", "big-endian"),
    ],
)
def test_raw_files_that_are_not_read(tmp_path: Path, header: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_events(write(tmp_path / "a.raw", header + bytes(16)))


def test_the_newer_header_says_the_same(tmp_path: Path) -> None:
    header = b"% format EVT3;height=720;width=1280\n% end\n"
    read = read_events(write(tmp_path / "a.raw", header + np.array([0x8000, 0x0001, 0x2002], "<u2").tobytes()))
    assert (rows(read.array), read.format) == ([(0, 2, 1, 0)], "evt3")
    assert read.facts == {"width": 1280, "height": 720, "other_words": 0}
