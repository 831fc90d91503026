"""Recordings: counts, rasters, saving, reading back what is torn, batches."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hal
from hal import ArrowRecorder, BatchRecording, MemoryRecorder, Probe, Recording, Signal, read_recording
from hal.errors import ConfigError, FormatError
from hal.events import SignalBatch
from hal.fit import Finding
from hal.recorder import Recorder, RunHeader
from hal.store.arrow import END_OF_STREAM

DURATION = 10_000


def record(recorder: Recorder, seed: int = 0, batches: int = 3, rows: int = 1200, **changes: Any) -> Recording:
    """One run with everything in it; events in `batches` batches of `rows`."""
    rng = np.random.default_rng(seed)
    fields: dict[str, Any] = {
        "device": "toy",
        "kind": "emulator",
        "nodes": {"output": (2, 3), "hidden": (5,)},
        "signals": {"sum": (2,)},
        "traces": (Probe("hidden", "v", None, 100),),
        "cores": 2,
        "counters": ("synops", "dropped"),
        "duration_ns": DURATION,
        "step_ns": 1000,
        "provenance": {"neurohal": "0.1"},
        "stimulus": {"input": hal.events([1, 2], [0, 1]), "analog": Signal.sampled(np.ones((2, 2)), 1000)},
    }
    recorder.start(RunHeader(**(fields | changes)))
    for _ in range(batches):
        recorder.emit("output", np.sort(rng.integers(0, DURATION, rows)), rng.integers(0, 6, rows))
    recorder.emit("hidden", np.array([0, 999, 1000, 9999]), np.array([0, 0, 4, 4]))
    recorder.sample("sum", "output", np.arange(0, DURATION, 1000), rng.normal(size=(10, 2)))
    recorder.sample("hidden", "v", np.array([0, 100]), rng.normal(size=(2, 5)).astype(np.float32))
    recorder.count("synops", np.array([5, 6]))
    recorder.interval("stall", 1, 10, 20)
    recorder.note(Finding(level="note", node="output", field="x", reason="seen"))
    return recorder.finish("ok")


def memory(seed: int = 0, **changes: Any) -> Recording:
    return record(MemoryRecorder(), seed, **changes)


def assert_same(a: Recording, b: Recording) -> None:
    """Every column has the same bytes, and everything else is equal."""
    assert list(a.spikes) == list(b.spikes)
    for node in a.spikes:
        assert a.spikes[node].dtype == b.spikes[node].dtype
        assert a.spikes[node].tobytes() == b.spikes[node].tobytes()
    for group in ("signals", "traces"):
        first, second = getattr(a, group), getattr(b, group)
        assert list(first) == list(second)
        for key in first:
            assert first[key].t.tobytes() == second[key].t.tobytes()
            assert first[key].values.dtype == second[key].values.dtype
            assert first[key].values.tobytes() == second[key].values.tobytes()
    assert {k: v.tolist() for k, v in a.stats.items()} == {k: v.tolist() for k, v in b.stats.items()}
    assert a.intervals.tolist() == b.intervals.tolist()
    assert a.diagnostics == b.diagnostics
    assert a.status == b.status
    assert a.header.to_json() == b.header.to_json()
    assert list(a.stimulus) == list(b.stimulus)
    for port, one in a.stimulus.items():
        other = b.stimulus[port]
        if isinstance(one, Signal):
            assert isinstance(other, Signal)
            assert one.t.tobytes() + one.values.tobytes() == other.t.tobytes() + other.values.tobytes()
        else:
            assert not isinstance(other, Signal)
            assert one.tobytes() == other.tobytes()


# --- looking at it ---------------------------------------------------------------------------------------------------


def test_counts_and_raster() -> None:
    recording = memory()
    spikes = recording.spikes["output"]
    counts = recording.counts("output")
    raster = recording.raster("output")
    assert counts.shape == (2, 3)
    assert raster.shape == (10, 2, 3)
    for flat in range(6):
        mine = spikes[spikes["index"] == flat]
        assert counts.reshape(-1)[flat] == len(mine)
        for step in range(10):
            assert raster.reshape(10, -1)[step, flat] == (mine["t"] // 1000 == step).sum()
    assert recording.raster("hidden").nonzero()[0].tolist() == [0, 1, 9]
    assert recording.raster("hidden")[0, 0] == 2
    assert recording.raster("hidden", 3000).shape == (4, 5)
    assert recording.counts("hidden").tolist() == [2, 0, 0, 0, 2]


def test_counts_and_raster_say_what_is_wrong() -> None:
    recording = memory(step_ns=None)
    with pytest.raises(ConfigError, match="no steps of its own: give step_ns"):
        recording.raster("output")
    with pytest.raises(ConfigError, match="positive length"):
        recording.raster("output", 0)
    assert recording.raster("output", 5000).shape == (2, 2, 3)
    for call in (recording.counts, recording.raster):
        with pytest.raises(ConfigError, match="no events of 'sum' were recorded") as error:
            call("sum")
        assert "'hidden'" in str(error.value)


def test_rates_are_of_whole_nodes_and_of_what_was_fed_in(tmp_path: Path) -> None:
    fed = {
        "input": hal.events([1, 2, 3], [0, 1, 1]),
        "@clock": hal.events([5], [0]),
        "analog": Signal.sampled(np.ones((2, 2)), 1000),
        "hidden": hal.events([1], [0]),
    }
    recording = memory(batches=1, rows=1200, stimulus=fed)
    # 10 us: 1200 events of the six neurons of output, 4 recorded of hidden, which was fed in, too
    wanted = {"input": 3e5, "hidden": 4e5, "output": 1.2e8}
    assert recording.rates_hz() == pytest.approx(wanted)
    assert read_recording(recording.save(tmp_path / "rec").path).rates_hz() == recording.rates_hz()


def test_what_has_no_length_has_no_rates() -> None:
    with pytest.raises(ConfigError, match="a run of 0 ns has no rates"):
        attrs.evolve(memory(), header=attrs.evolve(memory().header, duration_ns=0)).rates_hz()
    with pytest.raises(ConfigError, match="an interrupted recording has no rates"):
        attrs.evolve(memory(), status="interrupted").rates_hz()
    # a chip that stalled took its events in that time all the same
    assert attrs.evolve(memory(), status="untrusted").rates_hz() == memory().rates_hz()


def test_what_it_says_of_itself(tmp_path: Path) -> None:
    recording = record(ArrowRecorder(tmp_path / "run"), rows=100)
    assert repr(recording) == (f"<Recording of toy (emulator), run 0: ok, 304 events in 10000 ns, {tmp_path / 'run'}>")
    summary = recording.summary()
    for part in (
        "output (2, 3): 300 events",
        "sum (2,): signal",
        "hidden.v: trace",
        "synops: 11",
        "note: output.x: seen",
    ):
        assert part in summary
    assert "dropped" not in summary
    assert "output.spikes: 2 rows out of order" in summary
    data = json.loads(json.dumps(recording.to_json()))
    assert data["status"] == "ok"
    assert data["events"] == 304
    assert data["spikes"] == {"output": 300, "hidden": 4}
    assert data["stats"] == {"synops": [5, 6], "dropped": [0, 0]}
    assert data["disorder"] == [["output", "spikes", 2]]
    assert data["device"] == "toy"
    assert data["path"] == str(tmp_path / "run")
    assert "<'output' (on disk), 'hidden' (on disk)>" in repr(read_recording(tmp_path / "run").spikes)


def test_disorder_and_repeats_are_counted_and_in_the_manifest(tmp_path: Path) -> None:
    recorder = ArrowRecorder(tmp_path / "run")
    recorder.start(RunHeader(device="toy", kind="emulator", nodes={"n": (1,)}, duration_ns=100))
    for block in ([5, 5, 3], [3, 9], [2]):
        recorder.emit("n", np.array(block), np.zeros(len(block), np.int64))
    recording = recorder.finish("ok")
    assert recording.spikes["n"]["t"].tolist() == [5, 5, 3, 3, 9, 2]
    assert recording.disorder == {("n", "spikes"): 2}
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    entry = manifest["streams"][0]
    assert (entry["rows"], entry["disorder"], entry["repeats"]) == (6, 2, 2)


# --- on disk and back ------------------------------------------------------------------------------------------------


def test_saving_keeps_every_byte(tmp_path: Path) -> None:
    first = memory()
    saved = first.save(tmp_path / "saved")
    assert saved.path == tmp_path / "saved"
    assert_same(first, saved)
    assert first.tallies == saved.tallies
    assert_same(first, read_recording(tmp_path / "saved").save(tmp_path / "again"))
    assert_same(saved, record(ArrowRecorder(tmp_path / "streamed")))


def test_saving_keeps_the_status_and_refuses_an_existing_directory(tmp_path: Path) -> None:
    recorder = MemoryRecorder()
    recorder.start(RunHeader(device="toy", kind="emulator", nodes={"n": (1,)}, duration_ns=100))
    recorder.distrust(Finding(level="note", node="", field="", reason="stalled"))
    saved = recorder.finish("ok").save(tmp_path / "run")
    assert saved.status == "untrusted"
    with pytest.raises(ConfigError, match="exists"):
        saved.save(tmp_path / "run")


def test_saving_a_damaged_recording_fails_and_closes(tmp_path: Path) -> None:
    recording = record(ArrowRecorder(tmp_path / "run"))
    stream = tmp_path / "run" / "signals" / "sum.arrows"
    stream.write_bytes(stream.read_bytes()[:-9] + b"123456789")
    with pytest.raises(FormatError, match="checksum differs"):
        recording.save(tmp_path / "copy")
    assert read_recording(tmp_path / "copy").status == "interrupted"


def test_columns_are_read_when_asked_for(tmp_path: Path) -> None:
    record(ArrowRecorder(tmp_path / "run"))
    recording = read_recording(tmp_path / "run")
    (tmp_path / "run" / "spikes" / "output.arrows").unlink()
    assert recording.event_count("output") == 3600
    assert len(recording.spikes["hidden"]) == 4
    with pytest.raises(KeyError, match=r"'other' was not recorded; recorded are \['output', 'hidden'\]"):
        recording.spikes["other"]
    assert recording.spikes["hidden"] is recording.spikes["hidden"]


def test_a_recording_on_disk_can_be_pickled(tmp_path: Path) -> None:
    recording = record(ArrowRecorder(tmp_path / "run"))
    assert_same(pickle.loads(pickle.dumps(recording)), recording)


def test_streams_describe_themselves(tmp_path: Path) -> None:
    import nanoarrow as na

    record(ArrowRecorder(tmp_path / "run"), provenance={"neurohal": "0.1", "semantics": {"profile": "nir"}})
    with na.ArrayStream.from_path(tmp_path / "run" / "spikes" / "output.arrows") as stream:
        schema = stream.schema
        first = next(iter(stream))
    metadata = {key.decode(): value.decode() for key, value in schema.metadata.items()}
    assert [(field.name, field.type.name) for field in schema.fields] == [("t", "INT64"), ("index", "UINT32")]
    assert len(first) == 1200
    for key, value in {
        "device": "toy",
        "node": "output",
        "shape": "[2, 3]",
        "time_unit": "ns",
        "t0_ns": "0",
        "provenance.neurohal": "0.1",
        "provenance.semantics": '{"profile": "nir"}',
        "written_by": f"nanoarrow {na.__version__}",
    }.items():
        assert metadata[key] == value


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "run"
    record(ArrowRecorder(path))
    return path


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory, whole: Path) -> Path:
    """As a killed process leaves it: the manifest of the start, streams without an end."""
    path = tmp_path_factory.mktemp("unfinished") / "run"
    shutil.copytree(whole, path)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest |= {"status": "interrupted", "finished": False}
    for entry in manifest["streams"]:
        entry.update(rows=0, batches=0, bytes=0, sha256="")
    (path / "manifest.json").write_text(json.dumps(manifest))
    for stream in path.rglob("*.arrows"):
        stream.write_bytes(stream.read_bytes().removesuffix(END_OF_STREAM))
    return path


def damaged(path: Path, where: Path, content: bytes) -> Path:
    shutil.rmtree(where, ignore_errors=True)
    shutil.copytree(path, where)
    (where / "spikes" / "output.arrows").write_bytes(content)
    return where


def ends_of_batches(content: bytes) -> list[int]:
    """Byte positions after each batch of 1200 events; found by its own reading of the format's lengths."""
    ends, place = [], 0
    while content[place : place + 8] not in (b"", END_OF_STREAM):
        meta = int.from_bytes(content[place + 4 : place + 8], "little")
        place += 8 + meta
        place += 0 if not ends else -(-1200 * 8 // 64) * 64 + -(-1200 * 4 // 64) * 64
        ends.append(place)
    return ends[1:]


@given(share=st.one_of(st.floats(0, 1), st.integers(0, 2)))
def test_a_file_cut_anywhere_gives_every_complete_batch_and_says_so(
    share: float | int, whole: Path, unfinished: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = (whole / "spikes" / "output.arrows").read_bytes()
    reference = read_recording(whole).spikes["output"]
    ends = ends_of_batches(content)
    assert len(ends) == 3
    cut = ends[share] if isinstance(share, int) else int(share * (len(content) - 1))
    complete = 1200 * sum(end <= cut for end in ends)
    where = tmp_path_factory.mktemp("cut") / "run"

    torn = read_recording(damaged(whole, where, content[:cut]))
    assert torn.spikes["output"].tobytes() == reference[:complete].tobytes()
    assert torn.event_count("output") == complete
    assert torn.status == "interrupted"
    assert f"{complete} of 3600 rows came back" in torn.diagnostics[-1].reason
    assert (torn.diagnostics[-1].node, torn.diagnostics[-1].wanted) == ("output", 3600)
    assert len(torn.spikes["hidden"]) == 4

    killed = read_recording(damaged(unfinished, where, content[:cut]))
    assert killed.spikes["output"].tobytes() == reference[:complete].tobytes()
    assert killed.status == "interrupted"
    at_an_end = cut in ends or cut == ends[0] - (ends[1] - ends[0])
    lost = [finding for finding in killed.diagnostics if finding.node == "output" and "came back" in finding.reason]
    assert bool(lost) == (not at_an_end)
    assert f"interrupted, {complete + 4} events" in repr(killed)


@pytest.mark.parametrize("tail", [b"\0" * 5000, b"\xff" * 3, b"\xff\xff\xff\xff\x10\x00\x00\x00" + b"\x07" * 400])
def test_garbage_at_the_end_is_never_read_as_events(unfinished: Path, tmp_path: Path, tail: bytes) -> None:
    content = (unfinished / "spikes" / "output.arrows").read_bytes()
    recording = read_recording(damaged(unfinished, tmp_path / "run", content + tail))
    assert len(recording.spikes["output"]) == 3600
    assert any("output.arrows: 3600 rows came back" in finding.reason for finding in recording.diagnostics)


def test_a_changed_byte_is_noticed(whole: Path, tmp_path: Path) -> None:
    content = bytearray((whole / "spikes" / "output.arrows").read_bytes())
    content[-100] ^= 1
    path = damaged(whole, tmp_path / "run", bytes(content))
    recording = read_recording(path)
    assert len(recording.spikes["hidden"]) == 4
    with pytest.raises(FormatError, match="checksum differs"):
        recording.spikes["output"]
    assert len(read_recording(path, verify=False).spikes["output"]) == 3600


def test_damaged_intervals_do_not_hide_the_rest(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(whole, path)
    content = bytearray((path / "intervals.arrows").read_bytes())
    content[-20] ^= 1
    (path / "intervals.arrows").write_bytes(bytes(content))
    recording = read_recording(path)
    assert recording.status == "interrupted"
    assert "intervals.arrows is not what was recorded" in recording.diagnostics[-1].reason
    assert len(recording.intervals) == 0
    assert len(recording.spikes["output"]) == 3600


def test_a_missing_stream_is_a_stated_loss(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(whole, path)
    (path / "spikes" / "output.arrows").unlink()
    recording = read_recording(path)
    assert recording.status == "interrupted"
    assert len(recording.spikes["output"]) == 0
    assert "0 of 3600 rows came back" in recording.diagnostics[-1].reason
    assert "missing" in recording.diagnostics[-1].reason


@pytest.mark.parametrize("manifest", [None, "", "{", "[]", '{"status": "x"}', "\xff"])
def test_without_a_manifest_the_streams_say_what_they_are(whole: Path, tmp_path: Path, manifest: str | None) -> None:
    path = tmp_path / "run"
    shutil.copytree(whole, path)
    (path / "manifest.json").unlink()
    if manifest is not None:
        (path / "manifest.json").write_bytes(manifest.encode("latin-1"))
    recording, reference = read_recording(path), read_recording(whole)
    assert recording.status == "interrupted"
    assert "interrupted, 3604 events" in repr(recording)
    assert "manifest is" in recording.diagnostics[0].reason
    assert recording.header.to_json() == reference.header.to_json()
    for node in reference.spikes:
        assert recording.spikes[node].tobytes() == reference.spikes[node].tobytes()
    assert recording.stimulus["input"].tolist() == [(1, 0), (2, 1)]
    assert recording.traces["hidden", "v"].values.tobytes() == reference.traces["hidden", "v"].values.tobytes()
    assert recording.intervals.tolist() == reference.intervals.tolist()


def test_another_format_is_refused_by_name(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(whole, path)
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"format": "neurohal-recording-99"}))
    with pytest.raises(FormatError, match="another format"):
        read_recording(path)


def test_a_recording_inside_another_is_not_mixed_in(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(whole, path)
    shutil.copytree(whole, path / "inner")
    (path / "manifest.json").unlink()
    assert read_recording(path).event_count() == read_recording(whole).event_count()
    assert read_recording(path).stats == {}


def test_what_is_no_recording_is_refused(tmp_path: Path, whole: Path) -> None:
    with pytest.raises(FormatError, match="does not exist"):
        read_recording(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(FormatError, match="is a file, and not HDF5"):
        read_recording(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="is not a recording: the manifest is missing"):
        read_recording(tmp_path / "empty")
    (tmp_path / "empty" / "foreign.arrows").write_bytes(b"ARROW1")
    with pytest.raises(FormatError, match="is not a recording"):
        read_recording(tmp_path / "empty")
    newer = tmp_path / "newer"
    shutil.copytree(whole, newer)
    manifest = json.loads((newer / "manifest.json").read_text()) | {"version": 2}
    (newer / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(FormatError, match="version 2 of the format; this reads up to 1"):
        read_recording(newer)


@pytest.mark.parametrize("file", ["../secret.arrows", "/etc/passwd", "spikes/../../secret.arrows", "..\\secret", ""])
def test_a_manifest_does_not_lead_outside_its_directory(whole: Path, tmp_path: Path, file: str) -> None:
    path = tmp_path / "run"
    shutil.copytree(whole, path)
    shutil.copy(whole / "spikes" / "hidden.arrows", tmp_path / "secret.arrows")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["streams"][0]["file"] = file
    (path / "manifest.json").write_text(json.dumps(manifest))
    recording = read_recording(path)
    # the manifest is not believed; the streams speak for themselves
    assert "outside the recording" in recording.diagnostics[0].reason
    assert len(recording.spikes["output"]) == 3600


def test_a_stream_of_another_kind_is_refused(whole: Path, tmp_path: Path) -> None:
    signal = (whole / "signals" / "sum.arrows").read_bytes()
    path = damaged(whole, tmp_path / "run", signal)
    with pytest.raises(FormatError, match="no column index"):
        read_recording(path).spikes["output"]


# --- batches ---------------------------------------------------------------------------------------------------------


def test_a_batch_gives_its_runs_back() -> None:
    runs = [memory(seed, rows=10 * seed, run=seed, t0_ns=seed * 7) for seed in range(1, 4)]
    batch = BatchRecording.of(runs)
    assert len(batch) == 3
    assert batch.duration_ns == DURATION
    assert batch.signals["sum"].shape == (3, 10, 2)
    assert batch.stats["synops"].shape == (3, 2)
    assert batch.status == ("ok",) * 3
    assert len(batch.spikes["output"]) == 3
    for b, run in enumerate(runs):
        assert_same(batch[b], run)
        assert batch.spikes["output"][b].tobytes() == run.spikes["output"].tobytes()
    assert_same(batch[-1], runs[-1])
    assert [run.header.run for run in batch] == [1, 2, 3]
    for b in (3, -4):
        with pytest.raises(IndexError, match="has no run"):
            batch[b]
    assert repr(batch) == "<BatchRecording of 3 runs of toy: 3 ok, 192 events>"


def test_a_batch_of_columns_alone_needs_no_more() -> None:
    header = RunHeader(device="toy", kind="emulator", nodes={"n": (4,)}, signals={"s": (2,)}, duration_ns=100)
    batch = BatchRecording(
        header=header,
        runs=np.array([3, 4]),
        t0_ns=np.array([0, 0]),
        spikes={"n": hal.EventBatch.of([hal.events([1], [2]), hal.events([], [])])},
        signals={"s": np.arange(12.0).reshape(2, 3, 2)},
        signal_t={"s": np.array([0, 10, 20])},
        status=("ok", "untrusted"),
    )
    second = batch[1]
    assert (second.status, second.header.run, len(second.spikes["n"])) == ("untrusted", 4, 0)
    assert second.signals["s"].values.tolist() == [[6, 7], [8, 9], [10, 11]]
    assert (second.diagnostics, len(second.intervals), second.traces) == ((), 0, {})


def shortened(rows: int) -> Recording:
    recorder = MemoryRecorder()
    recorder.start(RunHeader(device="toy", kind="emulator", nodes={}, signals={"s": (2,)}, duration_ns=100))
    recorder.sample("s", "output", np.arange(rows) * 10, np.ones((rows, 2), np.float32))
    return recorder.finish("ok" if rows == 4 else "interrupted")


@pytest.mark.parametrize("lengths", [(4, 2, 4), (0, 4), (2, 0, 1)])
def test_a_run_that_ended_early_has_nan_not_zeros(lengths: Sequence[int]) -> None:
    batch = BatchRecording.of([shortened(rows) for rows in lengths])
    values = batch.signals["s"]
    assert values.shape == (len(lengths), max(lengths), 2)
    for b, rows in enumerate(lengths):
        assert (values[b, :rows] == 1).all()
        assert np.isnan(values[b, rows:]).all()
        assert batch[b].signals["s"].values.shape == (rows, 2)
    assert batch.signals["s"].dtype == np.float32


def test_recordings_that_differ_make_no_batch() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        BatchRecording.of([])
    with pytest.raises(ConfigError, match=r"run 1\.duration_ns"):
        BatchRecording.of([memory(), memory(duration_ns=20_000)])
    late = MemoryRecorder()
    late.start(RunHeader(device="toy", kind="emulator", nodes={}, signals={"s": (2,)}, duration_ns=100))
    late.sample("s", "output", np.array([5]), np.ones((1, 2)))
    with pytest.raises(ConfigError, match="sampled at other times"):
        BatchRecording.of([shortened(4), late.finish("ok")])


def test_traces_of_a_batch_are_rows_with_splits() -> None:
    def run(number: int, rows: int) -> Recording:
        recorder = MemoryRecorder()
        probes = (Probe("n", "at_spike", (0,)), Probe("n", "v"))
        header = RunHeader(device="toy", kind="emulator", nodes={"n": (2,)}, traces=probes, duration_ns=100, run=number)
        recorder.start(header)
        if rows:
            recorder.sample("n", "at_spike", np.full(rows, 7), np.arange(rows, dtype=float)[:, None] + 10 * number)
        recorder.sample("n", "v", np.array([99]), np.array([[number, -number]], float))
        return recorder.finish("ok")

    batch = BatchRecording.of([run(1, 2), run(2, 0), run(3, 3)])
    rows = batch.traces["n", "at_spike"]
    assert isinstance(rows, SignalBatch)
    assert rows.splits.tolist() == [0, 2, 2, 5]
    assert rows.values.ravel().tolist() == [10, 11, 30, 31, 32]
    assert [each.traces["n", "at_spike"].values.shape for each in batch] == [(2, 1), (0, 1), (3, 1)]
    assert [each.traces["n", "v"].values.tolist() for each in batch] == [[[1, -1]], [[2, -2]], [[3, -3]]]
    assert batch[2].traces["n", "at_spike"].t.tolist() == [7, 7, 7]
