"""Stimuli from camera events and files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import hal
from hal import EVENT, ArrowRecorder, Port, Signal, from_xytp, read_events, read_stimulus
from hal.errors import ConfigError, FormatError
from hal.recorder import RunHeader

GOLDEN = Path(__file__).parents[1] / "golden" / "events"
DVS = Port("input", (2, 96, 128))
SMALL = Port("input", (2, 4, 6))
GREY = Port("input", (1, 4, 6))
LINE = Port("input", (10,))
ANALOG = Port("input", (3,), "signal")


def table(dtype: Any = None, **columns: Any) -> np.ndarray[Any, Any]:
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    length = len(next(iter(arrays.values())))
    out = np.zeros(length, dtype or [(name, array.dtype) for name, array in arrays.items()])
    for name, array in arrays.items():
        out[name] = array
    return out


@pytest.fixture(scope="module")
def golden() -> np.ndarray[Any, Any]:
    """The camera recording by the definition of the index, from its published columns."""
    with np.load(GOLDEN / "expected.npz") as columns:
        t, x, y, p = (columns[name].astype(np.int64) for name in "txyp")
    return hal.events(t * 1000, (p * 96 + y) * 128 + x)


# --- the golden recording --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["dvs.csv", "dvs_tonic_dtype.npy", "expected.npz"])
def test_the_golden_recording_reads_the_same_from_every_format(file: str, golden: np.ndarray[Any, Any]) -> None:
    events = read_stimulus(GOLDEN / file, DVS)
    assert not isinstance(events, Signal)
    assert events.dtype == EVENT
    assert len(events) == 3000
    assert events.tobytes() == golden.tobytes()


@pytest.mark.parametrize(("file", "what"), [("digit.bin", "N-MNIST binary"), ("events.mat", "MATLAB")])
def test_formats_that_are_not_read_are_refused_politely(tmp_path: Path, file: str, what: str) -> None:
    (tmp_path / file).write_bytes(bytes(100))
    with pytest.raises(FormatError, match=f"{what} files are not read") as error:
        read_stimulus(tmp_path / file, DVS)
    assert ".csv with a header line" in str(error.value)


def test_facts_in_the_file_are_checked_against_the_port() -> None:
    assert read_events(GOLDEN / "expected.npz").facts == {"width": 128, "height": 96}
    with pytest.raises(ConfigError, match="width is not the port's") as error:
        read_stimulus(GOLDEN / "expected.npz", Port("input", (2, 34, 34)))
    assert len(error.value.problems) == 2


# --- from_xytp -------------------------------------------------------------------------------------------------------

integers = st.sampled_from([np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
times = st.sampled_from([np.int32, np.uint32, np.int64, np.uint64, np.float64])
polarities = st.sampled_from(["p", "on", "polarity"])


@st.composite
def xytp(draw: st.DrawFn) -> tuple[np.ndarray[Any, Any], list[tuple[int, int, int, int]]]:
    """A structured array in any order of fields and any widths, and the rows (t, x, y, p) it means."""
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 5), st.integers(0, 3), st.integers(0, 1)), max_size=40
        )
    )
    rows.sort(key=lambda row: row[0])
    signed = draw(st.booleans())
    kinds = {
        "t": draw(times),
        "x": draw(integers),
        "y": draw(integers),
        draw(polarities): np.int8 if signed else draw(st.one_of(st.just(np.bool_), integers)),
    }
    order = draw(st.permutations(list(kinds)))
    out = np.zeros(len(rows), [(name, kinds[name]) for name in order])
    for place, name in enumerate(kinds):
        column = [row[place] for row in rows]
        out[name] = [2 * p - 1 for p in column] if place == 3 and signed else column
    return out, rows


@given(xytp())
def test_any_order_and_width_of_fields_gives_the_same_events(
    case: tuple[np.ndarray[Any, Any], list[tuple[int, int, int, int]]],
) -> None:
    array, rows = case
    events = from_xytp(array, SMALL)
    assert events.dtype == EVENT
    assert events.tolist() == [(t * 1000, (p * 4 + y) * 6 + x) for t, x, y, p in rows]
    flipped = from_xytp(array, SMALL, origin="bottom-left", unit="ns", width=6, height=4)
    assert flipped.tolist() == [(t, (p * 4 + 3 - y) * 6 + x) for t, x, y, p in rows]


def test_units_and_fractions_of_them() -> None:
    for unit, factor in {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}.items():
        assert from_xytp(table(t=[3], x=[1]), LINE, unit=unit)["t"].tolist() == [3 * factor]
    assert from_xytp(table(t=[0.25, 1e-9], x=[1, 1])[:1], LINE, unit="s")["t"].tolist() == [250_000_000]
    assert from_xytp(table(t=[1.2346], x=[1]), LINE)["t"].tolist() == [1235]
    with pytest.raises(ConfigError, match="unknown unit of time") as error:
        from_xytp(table(t=[1], x=[1]), LINE, unit="minutes", origin="middle")
    assert "unknown origin" in str(error.value)


def test_ports_of_one_and_two_dimensions() -> None:
    shd = table(t=[5, 5, 7], x=[9, 0, 3], p=[1, 1, 1])
    assert from_xytp(shd, LINE).tolist() == [(5000, 9), (5000, 0), (7000, 3)]
    assert from_xytp(table(t=[5], index=[9]), LINE).tolist() == [(5000, 9)]
    assert from_xytp(table(t=[5], index=[40]), SMALL).tolist() == [(5000, 40)]
    assert from_xytp(table(t=[5], x=[2], y=[3]), Port("input", (4, 6))).tolist() == [(5000, 20)]
    assert from_xytp(table(t=[5], x=[2], y=[3]), GREY).tolist() == [(5000, 20)]
    assert from_xytp(table(t=[5], x=[2], y=[3], p=[True]), GREY).tolist() == [(5000, 20)]
    three = Port("input", (3, 4, 6))
    assert from_xytp(table(t=[5], x=[2], y=[3], p=[2]), three).tolist() == [(5000, (2 * 4 + 3) * 6 + 2)]


def test_events_of_equal_time_stay_in_their_order() -> None:
    x = [3, 1, 2, 0, 5]
    assert from_xytp(table(t=[7] * 5, x=x), LINE)["index"].tolist() == x


def test_a_strange_polarity_is_refused() -> None:
    def with_polarity(values: Any, port: Port = SMALL) -> Callable[[], Any]:
        n = len(values)
        return lambda: from_xytp(table(t=range(n), x=[0] * n, y=[0] * n, p=values), port)

    for values, text in {
        (0, 2): "row 1: polarity out of range (value 2, limit 0..1)",
        (-1, 0, 1): "row 1: polarity 0 in a file that also has -1",
        (-1, 2): "row 1: polarity out of range (value 2, limit -1..1)",
        (0.5,): "polarity is not a whole number (value 0.5",
        (np.nan,): "polarity is not a finite number",
    }.items():
        with pytest.raises(ConfigError) as error:
            with_polarity(values)()
        assert text in str(error.value)
    with pytest.raises(ConfigError, match="polarity out of range"):
        with_polarity([-1], Port("input", (3, 4, 6)))()
    with pytest.raises(ConfigError, match=r"polarity varies and the port has one channel.*leave the field out"):
        with_polarity([0, 1], GREY)()
    with pytest.raises(ConfigError, match="polarity varies"):
        from_xytp(table(t=[1, 2], x=[1, 2], p=[0, 1]), LINE)
    with pytest.raises(ConfigError, match="polarity varies"):
        from_xytp(table(t=[1, 2], index=[1, 2], p=[0, 1]), SMALL)
    with pytest.raises(ConfigError, match="several polarity fields"):
        from_xytp(table(t=[1], x=[1], y=[1], p=[1], on=[1]), SMALL)


def test_every_bad_row_is_reported_at_once() -> None:
    array = table(
        t=[10.0, -1.0, np.nan, 4.0, np.inf, 9.3e15], x=[0, 6, 0, 0, -1, 0], y=[0, 0, 4, 0, 0, 0], p=[0, 0, 0, 3, 0, 0]
    )
    with pytest.raises(ConfigError) as error:
        from_xytp(array, SMALL)
    found = {(problem.what, problem.where.rpartition("row ")[2]) for problem in error.value.problems}
    assert found == {
        ("time goes back", "1"),
        ("negative time", "1"),
        ("t is not a finite number (NaN or inf)", "2"),
        ("t is not a finite number (NaN or inf)", "4"),
        ("time too large for 64-bit ns", "5"),
        ("x out of range", "1"),
        ("x out of range", "4"),
        ("y out of range", "2"),
        ("polarity out of range", "3"),
    }
    text = str(error.value)
    assert "row 1: x out of range (value 6, limit 0..5)" in text
    assert "row 2: y out of range (value 4, limit 0..3)" in text


def test_many_bad_rows_are_counted() -> None:
    with pytest.raises(ConfigError) as error:
        from_xytp(table(t=range(100), x=[99] * 100), LINE)
    assert len(error.value.problems) == 6
    assert "x out of range: 95 more rows" in str(error.value)


@pytest.mark.parametrize(
    ("t", "unit"),
    [(np.array([2**64 - 1], np.uint64), "ns"), (np.array([2**63 - 1]), "us"), (np.array([2.0**63]), "ns")],
)
def test_times_beyond_64_bit_are_refused_not_wrapped(t: Any, unit: str) -> None:
    with pytest.raises(ConfigError, match="time too large for 64-bit ns"):
        from_xytp(table(t=t, x=[0]), LINE, unit=unit)


def test_arrays_that_are_no_events_are_refused() -> None:
    for array, text in [
        (np.zeros((3, 4)), "not a one-dimensional structured array"),
        ([1, 2], "not a one-dimensional structured array"),
        (table(x=[1], y=[2]), "field t is missing"),
        (table(t=[1], p=[1]), "field x is missing"),
        (table(t=[1], x=[1], y=[1]), "a polarity field (p, on, polarity) is missing"),
        (table(t=[1], x=[1], y=[1], p=["1"]), "field p does not hold numbers"),
        (table(t=[1], x=[1], y=[1], p=[1], index=[1]), "both x and index"),
        (np.zeros(1, [("t", "i8"), ("x", "i8", (2,)), ("y", "i8"), ("p", "i8")]), "field x does not hold numbers"),
    ]:
        with pytest.raises(ConfigError) as error:
            from_xytp(array, SMALL)  # type: ignore[arg-type]
        assert text in str(error.value)
    with pytest.raises(ConfigError, match="x and y for a port of one dimension"):
        from_xytp(table(t=[1], x=[1], y=[1]), LINE)
    with pytest.raises(ConfigError, match=r"need a port \(C, H, W\) or \(H, W\)"):
        from_xytp(table(t=[1], x=[1], y=[1]), Port("input", (1, 1, 4, 6)))
    with pytest.raises(ConfigError, match="events given for a signal input"):
        from_xytp(table(t=[1], x=[1]), ANALOG)
    with pytest.raises(ConfigError, match=r"the sensor's width is not the port's \(value 128, limit 6\)"):
        from_xytp(table(t=[1], x=[1], y=[1], p=[1]), SMALL, width=128, height=4)


# --- NumPy files -----------------------------------------------------------------------------------------------------


def test_flat_indices_are_in_ns_unless_said_otherwise(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", table(index=[3, 4], t=[10, 20]))
    assert read_stimulus(tmp_path / "e.npy", LINE).tolist() == [(10, 3), (20, 4)]  # type: ignore[union-attr]
    assert read_stimulus(tmp_path / "e.npy", LINE, unit="ms")["t"].tolist() == [10_000_000, 20_000_000]  # type: ignore[index]
    np.save(tmp_path / "e.npy", hal.events([1], [2]))
    assert read_stimulus(tmp_path / "e.npy", LINE).tolist() == [(1, 2)]  # type: ignore[union-attr]


@given(
    counts=hnp.arrays(
        st.sampled_from([np.bool_, np.uint8, np.int64, np.float32]), (4, 2, 4, 6), elements=st.sampled_from([0, 0, 1])
    ),
    flat=st.booleans(),
)
def test_a_raster_becomes_events(
    counts: np.ndarray[Any, Any], flat: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("raster") / "r.npy"
    np.save(path, counts.reshape(4, -1) if flat else counts)
    events = read_stimulus(path, SMALL, step_ns=1000)
    rows, columns = np.nonzero(counts.reshape(4, -1))
    assert events.tolist() == list(zip((rows * 1000).tolist(), columns.tolist(), strict=True))  # type: ignore[union-attr]


def test_counts_above_one_are_repeated_events(tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", np.array([[0] * 10, [2] + [0] * 9]))
    assert read_stimulus(tmp_path / "r.npy", LINE, step_ns=5).tolist() == [(5, 0), (5, 0)]  # type: ignore[union-attr]


def test_rows_for_a_signal_port_are_a_signal(tmp_path: Path) -> None:
    values = np.array([[1.5, -2, 0], [3, 4, 5]], np.float32)
    np.save(tmp_path / "s.npy", values)
    signal = read_stimulus(tmp_path / "s.npy", ANALOG, step_ns=100)
    assert isinstance(signal, Signal)
    assert signal.t.tolist() == [0, 100]
    assert signal.values.dtype == np.float32
    assert signal.values.tolist() == values.tolist()


def test_rows_that_do_not_fit_are_refused_with_every_reason(tmp_path: Path) -> None:
    path = tmp_path / "r.npy"

    def refused(values: Any, port: Port, text: str, **options: Any) -> ConfigError:
        np.save(path, values)
        with pytest.raises(ConfigError) as error:
            read_stimulus(path, port, **options)
        assert text in str(error.value)
        return error.value

    both = refused(np.zeros((4, 7)), LINE, "give step_ns")
    assert "(value (4, 7), limit (T, 10) or (T, 10))" in str(both)
    refused(np.zeros((4, 10)), LINE, "rows need a step (value 0", step_ns=0)
    refused(np.zeros((4, 4, 6, 2)), SMALL, "shape differs from the port", step_ns=1)
    refused(np.zeros(10), LINE, "shape differs from the port", step_ns=1)
    refused(np.array([["a"] * 10]), LINE, "rows of a stimulus are numbers", step_ns=1)
    refused(np.full((1, 10), 0.5), LINE, "Semantics(signals=...)", step_ns=1)
    refused(np.full((1, 10), -1), LINE, "no spike counts", step_ns=1)
    refused(np.full((1, 3), np.nan), ANALOG, "not finite", step_ns=1)
    refused(table(t=[1], index=[1]), ANALOG, "holds events, and input 'input' takes a signal")
    refused(table(t=[2, 1], index=[1, 99]), LINE, "time goes back")


def test_archives_of_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    events = table(t=[1], index=[2])
    np.savez(path, anything=events)
    assert read_stimulus(path, LINE).tolist() == [(1, 2)]  # type: ignore[union-attr]
    np.savez(path, input=events, other=table(t=[1], index=[3]))
    assert read_stimulus(path, LINE).tolist() == [(1, 2)]  # type: ignore[union-attr]
    assert read_stimulus(path, LINE, name="other").tolist() == [(1, 3)]  # type: ignore[union-attr]
    with pytest.raises(FormatError, match="has no arrays 'third'") as error:
        read_stimulus(path, LINE, name="third")
    assert "input, other" in str(error.value)
    with pytest.raises(FormatError, match="holds 2 of arrays, and none was chosen"):
        read_stimulus(path, Port("else", (10,)))
    np.savez_compressed(path, t=np.array([5, 6]), index=np.array([1, 2]))
    assert read_stimulus(path, LINE).tolist() == [(5, 1), (6, 2)]  # type: ignore[union-attr]
    np.savez(path, t=np.array([5, 6]), index=np.array([1]))
    with pytest.raises(FormatError, match="columns differ in length"):
        read_stimulus(path, LINE)
    np.savez(path)
    with pytest.raises(FormatError):
        read_stimulus(path, LINE)


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was loaded",))


def test_broken_and_hostile_numpy_files_are_refused(tmp_path: Path) -> None:
    good = io.BytesIO()
    np.save(good, table(t=[1, 2], index=[1, 2]))
    pickled = io.BytesIO()
    np.save(pickled, np.array([Harmful()], object), allow_pickle=True)
    huge = b"\x93NUMPY\x01\x00v\x00" + (b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 1000), }")
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("input.npy", good.getvalue()[:90])
    for content in (good.getvalue()[:-3], good.getvalue()[:20], pickled.getvalue(), huge.ljust(128) + b"\n"):
        (tmp_path / "x.npy").write_bytes(content)
        with pytest.raises(FormatError, match="cannot be read as NumPy data"):
            read_events(tmp_path / "x.npy")
    for content in (zipped.getvalue(), zipped.getvalue()[:40]):
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(FormatError, match="cannot be read as NumPy data"):
            read_events(tmp_path / "x.npz")


def test_the_content_decides_not_the_suffix(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", table(t=[1], index=[1]))
    (tmp_path / "e.npy").rename(tmp_path / "e.dat")
    assert len(read_stimulus(tmp_path / "e.dat", LINE)) == 1  # type: ignore[arg-type]
    (tmp_path / "e.xyz").write_text("hello")
    with pytest.raises(FormatError, match="in no format that can be read"):
        read_events(tmp_path / "e.xyz")
    with pytest.raises(FormatError, match="does not exist"):
        read_events(tmp_path / "nothing.npy")


# --- CSV -------------------------------------------------------------------------------------------------------------


def csv(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "e.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "t,x,y,p\n5,2,3,1\n9,0,0,0\n",
        "p,y,x,t\n1,3,2,5\n0,0,0,9\n",
        "\n# t, x, y, polarity\r\n5,2,3,1\r\n9,0,0,-1\r\n",
        '"T","X","Y","ON"\n5,2,3,True\n9,0,0,False',
        "t,x,y,p,extra\n5.0,2,3,1,hello\n9.0,0,0,0,world\n",
        b"\xef\xbb\xbft,x,y,p\n5,2,3,1\n\n9,0,0,0\n",
    ],
)
def test_columns_in_any_order_and_spelling(tmp_path: Path, text: str | bytes) -> None:
    events = read_stimulus(csv(tmp_path, text), SMALL)
    assert events.tolist() == [(5000, (4 + 3) * 6 + 2), (9000, 0)]  # type: ignore[union-attr]


def test_flat_csv_and_large_times(tmp_path: Path) -> None:
    epoch = 1_700_000_000_123_456_789
    events = read_stimulus(csv(tmp_path, f"index,t,note\n3,{epoch},a.b\n"), LINE)
    assert events.tolist() == [(epoch, 3)]  # type: ignore[union-attr]
    assert len(read_stimulus(csv(tmp_path, "t,index\n"), LINE)) == 0  # type: ignore[arg-type]


@given(
    rows=st.lists(st.tuples(st.integers(0, 2**53), st.integers(0, 9)), max_size=30),
    order=st.permutations(["t", "index"]),
)
def test_csv_round_trip(
    rows: list[tuple[int, int]], order: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows.sort(key=lambda row: row[0])
    lines = [",".join(str(row[("t", "index").index(name)]) for name in order) for row in rows]
    path = csv(tmp_path_factory.mktemp("csv"), "\n".join([",".join(order), *lines]))
    assert read_stimulus(path, LINE).tolist() == rows  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5,2,3,1\n9,0,0,0\n", "does not say what its columns are"),
        ("", "does not say what its columns are"),
        ("a,b\n1,2\n", "does not say what its columns are"),
        ("t,t,x\n1,2,3\n", "column names repeat"),
        ("t,index\n1,2,3\n", "3 values per row under 2 names"),
        ("t,index\n1,2\n3\n", "column index"),
        ("t,index\n1,maybe\n", "column index"),
        (b"t,index\n\xff\xfe\n", "e.csv"),
        (b"\xff\xfe\n", "is not text"),
    ],
)
def test_broken_csv_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(FormatError) as error:
        read_stimulus(csv(tmp_path, text), LINE)
    assert message in str(error.value)


def test_bad_values_in_csv_are_named_by_row(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"row 1: t is not a finite number"):
        read_stimulus(csv(tmp_path, "t,index\n1,2\nnan,3\n"), LINE)


# --- NIR data --------------------------------------------------------------------------------------------------------


def event_data(t: Any, index: Any, n: int = 10) -> nir.EventData:
    return nir.EventData(np.array(index), np.array(t, float), n, 1.0)


def nir_file(tmp_path: Path, **nodes: dict[str, Any]) -> Path:
    data = nir.NIRGraphData({name: nir.NIRNodeData(observables) for name, observables in nodes.items()})
    nir.write_data(str(tmp_path / "data.nir"), data)
    return tmp_path / "data.nir"


def test_nir_events_lose_their_padding_and_become_ns(tmp_path: Path) -> None:
    path = nir_file(tmp_path, input={"spikes": event_data([[0.1, 0.25, np.inf]], [[3, 9, -1]])})
    assert read_stimulus(path, LINE).tolist() == [(100_000_000, 3), (250_000_000, 9)]  # type: ignore[union-attr]
    file = read_events(path)
    assert (file.format, file.unit, dict(file.facts)) == ("nir data", "s", {"size": 10, "t_max_s": 1.0})
    with pytest.raises(ConfigError, match="times in another unit"):
        read_stimulus(path, LINE, unit="us")
    with pytest.raises(ConfigError, match="number of channels differs"):
        read_stimulus(path, Port("input", (11,)))


def test_half_padding_in_nir_events_is_an_error(tmp_path: Path) -> None:
    path = nir_file(tmp_path, input={"spikes": event_data([[0.1, np.inf, 0.2]], [[-1, 3, 4]])})
    with pytest.raises(ConfigError) as error:
        read_stimulus(path, LINE)
    assert "row 0: index out of range (value -1" in str(error.value)
    assert "row 1: t is not a finite number" in str(error.value)


def test_nir_rows_bring_their_step(tmp_path: Path) -> None:
    spikes = np.zeros((1, 4, 10), bool)
    spikes[0, [1, 3], [2, 5]] = True
    path = nir_file(tmp_path, input={"spikes": nir.TimeGriddedData(spikes, 1e-4)})
    assert read_stimulus(path, LINE).tolist() == [(100_000, 2), (300_000, 5)]  # type: ignore[union-attr]
    assert len(read_stimulus(path, LINE, step_ns=100_000)) == 2  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"another step \(value 5, limit 100000 ns in the file\)"):
        read_stimulus(path, LINE, step_ns=5)
    path = nir_file(tmp_path, input={"v": nir.TimeGriddedData(np.ones((1, 2, 3)) * 0.5, 1e-3)})
    signal = read_stimulus(path, ANALOG)
    assert isinstance(signal, Signal)
    assert (signal.t.tolist(), signal.values.tolist()) == ([0, 1_000_000], [[0.5] * 3] * 2)
    with pytest.raises(FormatError, match="no whole number of ns"):
        read_stimulus(nir_file(tmp_path, input={"v": nir.TimeGriddedData(np.ones((1, 2, 3)), 1.5e-9)}), ANALOG)


def test_one_of_several_nodes_observables_and_samples(tmp_path: Path) -> None:
    path = nir_file(
        tmp_path,
        input={"spikes": event_data([[0.1], [0.2]], [[1], [2]])},
        hidden={"spikes": event_data([[0.3]], [[3]]), "more": event_data([[0.4]], [[4]])},
    )
    with pytest.raises(FormatError, match="holds 2 samples"):
        read_stimulus(path, LINE)
    assert read_stimulus(path, LINE, sample=1).tolist() == [(200_000_000, 2)]  # type: ignore[union-attr]
    with pytest.raises(FormatError, match="no number 2"):
        read_stimulus(path, LINE, sample=2)
    assert read_stimulus(path, LINE, name="hidden/more").tolist() == [(400_000_000, 4)]  # type: ignore[union-attr]
    with pytest.raises(FormatError, match="has no observables 'hidden'"):
        read_stimulus(path, LINE, name="hidden")
    with pytest.raises(FormatError, match="holds 3 of observables, and none was chosen"):
        read_stimulus(path, Port("other", (10,)))


def test_nested_nir_graphs_are_read(tmp_path: Path) -> None:
    path = nir_file(tmp_path, input={"spikes": event_data([[0.1]], [[1]])})
    with h5py.File(path, "a") as file:
        inner = file.create_group("nodes/sub")
        inner.attrs["__type__"] = "NIRGraphData"
        file.copy("nodes/input", inner.create_group("nodes"), "deep")
        del file["nodes/input"]
    assert read_stimulus(path, LINE, name="sub/deep/spikes").tolist() == [(100_000_000, 1)]  # type: ignore[union-attr]
    assert read_stimulus(path, LINE).tolist() == [(100_000_000, 1)]  # type: ignore[union-attr]


def hostile_link(path: Path, secret: Path, kind: str) -> None:
    with h5py.File(path, "a") as file:
        group = file["nodes/input/observables/spikes"]
        if kind == "external link":
            del group["time"]
            group["time"] = h5py.ExternalLink(str(secret), "x")
        elif kind == "soft link":
            group.move("time", "moved")
            group["time"] = h5py.SoftLink("/nodes/input/observables/spikes/moved")
        elif kind == "group link":
            del file["nodes/input"]
            file["nodes/input"] = h5py.ExternalLink(str(secret), "/")
        elif kind == "raw storage":
            del group["time"]
            group.create_dataset("time", (1, 1), "f8", external=[(str(secret), 0, 8)])
        elif kind == "virtual":
            del group["time"]
            layout = h5py.VirtualLayout((1, 1), "f8")
            layout[:] = h5py.VirtualSource(str(secret), "x", (1, 1))
            group.create_virtual_dataset("time", layout)


@pytest.mark.parametrize("kind", ["external link", "soft link", "group link", "raw storage", "virtual"])
def test_a_hostile_nir_file_does_not_read_other_files(tmp_path: Path, kind: str) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.array([[0.125]])
    path = nir_file(tmp_path, input={"spikes": event_data([[0.1]], [[1]])})
    hostile_link(path, tmp_path / "secret.h5", kind)
    with pytest.raises(FormatError, match="not followed"):
        read_stimulus(path, LINE)


def edit(path: Path, change: Callable[[h5py.File, h5py.Group], Any]) -> Path:
    with h5py.File(path, "a") as file:
        change(file, file["nodes/input/observables/spikes"])
    return path


def _huge(_: h5py.File, group: h5py.Group) -> None:
    del group["time"]
    group.create_dataset("time", (1, 1 << 40), "f8", chunks=(1, 1 << 20))


def _loop(file: h5py.File, _: h5py.Group) -> None:
    inner = file.create_group("nodes/sub")
    inner.attrs["__type__"] = "NIRGraphData"
    inner.create_group("nodes")["again"] = inner


def _replace(name: str, values: Any) -> Callable[[h5py.File, h5py.Group], None]:
    def change(_: h5py.File, group: h5py.Group) -> None:
        del group[name]
        if values is not None:
            group[name] = values

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_huge, "claims"),
        (_loop, "nested more than"),
        (_replace("time", None), "has no 'time'"),
        (_replace("idx", np.array([[1, 2]])), "idx has shape"),
        (_replace("idx", np.array([[0.5]])), "dtype float64"),
        (_replace("idx", np.array([1])), "shape (1,)"),
        (lambda file, group: file.attrs.pop("__type__"), "HDF5 but not NIR data"),
        (lambda file, group: group.attrs.pop("n_neurons"), "cannot be read as NIR data"),
        (lambda file, group: group.attrs.modify("__type__", "Novel"), "unknown type 'Novel'"),
        (lambda file, group: group.attrs.create("__type__", 3), "unknown type None"),
    ],
)
def test_broken_nir_data_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    path = nir_file(tmp_path, input={"spikes": event_data([[0.1]], [[1]])})
    with pytest.raises(FormatError) as error:
        read_stimulus(edit(path, change), LINE)
    assert message in str(error.value)


def test_group_in_place_of_an_array_and_cut_files(tmp_path: Path) -> None:
    path = nir_file(tmp_path, input={"spikes": event_data([[0.1]], [[1]])})

    def group_for_array(_: h5py.File, group: h5py.Group) -> None:
        del group["time"]
        group.create_group("time")

    with pytest.raises(FormatError, match="is no array"):
        read_stimulus(edit(path, group_for_array), LINE)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(FormatError, match="cannot be read as NIR data"):
        read_stimulus(path, LINE)


def test_events_with_values_and_models_are_told_apart(tmp_path: Path) -> None:
    valued = nir.ValuedEventData(np.array([[1]]), np.array([[0.1]]), 10, 1.0, np.array([[0.5]]))
    with pytest.raises(FormatError, match="an event carries none"):
        read_stimulus(nir_file(tmp_path, input={"spikes": valued}), LINE)
    nir.write(
        tmp_path / "model.nir",
        nir.NIRGraph({"a": nir.Input(np.array([2])), "b": nir.Output(np.array([2]))}, [("a", "b")]),
    )
    with pytest.raises(FormatError, match="it is a NIR model"):
        read_stimulus(tmp_path / "model.nir", LINE)


# --- recordings ------------------------------------------------------------------------------------------------------


def test_a_recording_feeds_its_stimulus_to_the_next_run(tmp_path: Path) -> None:
    fed = hal.events([3, 3, 8], [9, 1, 1])
    analog = Signal(np.array([0, 7]), np.arange(6, dtype=np.float32).reshape(2, 3))
    recorder = ArrowRecorder(tmp_path / "run")
    recorder.start(
        RunHeader(device="toy", kind="emulator", nodes={}, duration_ns=10, stimulus={"input": fed, "analog": analog})
    )
    recorder.finish("ok")
    again = read_stimulus(tmp_path / "run", LINE)
    assert not isinstance(again, Signal)
    assert again.tobytes() == fed.tobytes()
    signal = read_stimulus(tmp_path / "run", Port("analog", (3,), "signal"))
    assert isinstance(signal, Signal)
    assert signal.t.tolist() == [0, 7]
    assert signal.values.tobytes() == analog.values.tobytes()
    with pytest.raises(FormatError, match="holds 2 of recorded stimuli, and none was chosen"):
        read_stimulus(tmp_path / "run", Port("third", (10,)))
    with pytest.raises(ConfigError, match="index out of range"):
        read_stimulus(tmp_path / "run", Port("input", (5,)))
    (tmp_path / "plain").mkdir()
    with pytest.raises(FormatError, match="is a directory and no recording"):
        read_stimulus(tmp_path / "plain", LINE)


def test_a_raster_file_without_rows_is_silence(tmp_path):
    np.save(tmp_path / "none.npy", np.zeros((0, 2, 3, 4)))
    read = read_stimulus(tmp_path / "none.npy", Port("input", (2, 3, 4)), step_ns=1000)
    assert len(read) == 0
