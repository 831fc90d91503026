"""Recorders: what they take, what they refuse, and what survives a kill, a torn file and a full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hal
from hal import EVENT, ArrowRecorder, MemoryRecorder, Probe, Signal, read_recording
from hal.errors import ConfigError, StateError, WriteError
from hal.fit import Finding
from hal.recorder import Recorder, RunHeader
from hal.store import archive

DURATION = 1_000_000


def header(**changes: Any) -> RunHeader:
    fields: dict[str, Any] = {
        "device": "toy",
        "kind": "emulator",
        "nodes": {"output": (10,), "conv.1/x": (2, 4, 4)},
        "signals": {"membrane": (3,)},
        "traces": (Probe("output", "v", (0, 3), 1000), Probe("elsewhere", "u"), Probe("output")),
        "cores": 2,
        "counters": ("synops", "dropped"),
        "t0_ns": 500,
        "duration_ns": DURATION,
        "step_ns": 1000,
        "run": 4,
        "seed": 7,
        "provenance": {"neurohal": "0.1", "semantics": {"profile": "nir", "dt_ns": 1000}, "model": "abc"},
        "stimulus": {
            "input": hal.events([1, 2, 2], [0, 5, 5]),
            "analog": Signal.sampled(np.arange(6, dtype=np.float32).reshape(3, 2), 1000),
        },
    }
    return RunHeader(**(fields | changes))


@pytest.fixture(params=["memory", "arrow"])
def recorder(request: pytest.FixtureRequest, tmp_path: Path) -> Recorder:
    return MemoryRecorder() if request.param == "memory" else ArrowRecorder(tmp_path / "run")


def finding(reason: str = "because") -> Finding:
    return Finding(level="note", node="output", field="rate", reason=reason, wanted=3, realised=[1, 2])


def same(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# --- what is recorded comes back -------------------------------------------------------------------------------------


def test_everything_comes_back(recorder: Recorder) -> None:
    recorder.start(header())
    recorder.emit("output", np.array([5, 5, 900]), np.array([1, 1, 9]))
    recorder.emit("output", np.array([DURATION - 1]), np.array([0], np.uint8))
    recorder.sample("membrane", "output", np.array([0, 1000]), np.array([[1, 2, 3], [4, 5, 6]], np.float32))
    recorder.sample("membrane", "output", np.array([2000]), np.array([[7, 8, 9]], np.float32))
    recorder.sample("output", "v", np.array([10]), np.array([[1, 2]]))
    recorder.count("synops", np.array([3, 4]))
    recorder.count("synops", np.array([10, 0], np.uint8))
    recorder.interval("stall", 1, 5, 10)
    recorder.interval("clipped", -1, 0, DURATION)
    recorder.note(finding())
    recording = recorder.finish("ok")

    spikes = recording.spikes["output"]
    assert spikes.dtype == EVENT
    assert spikes.tolist() == [(5, 1), (5, 1), (900, 9), (DURATION - 1, 0)]
    assert len(recording.spikes["conv.1/x"]) == 0
    assert recording.spikes["conv.1/x"].dtype == EVENT
    membrane = recording.signals["membrane"]
    assert membrane.t.tolist() == [0, 1000, 2000]
    assert membrane.values.dtype == np.float32
    assert membrane.values.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    trace = recording.traces["output", "v"]
    assert trace.values.dtype == np.float64
    assert (trace.t.tolist(), trace.values.tolist()) == ([10], [[1.0, 2.0]])
    assert recording.traces["elsewhere", "u"].values.shape == (0, 0)
    assert set(recording.traces) == {("output", "v"), ("elsewhere", "u")}
    assert recording.stats["synops"].tolist() == [13, 4]
    assert recording.stats["dropped"].tolist() == [0, 0]
    assert recording.intervals.tolist() == [("stall", 1, 5, 10), ("clipped", -1, 0, DURATION)]
    assert recording.diagnostics == (finding(),)
    assert recording.status == "ok"
    assert (recording.t0_ns, recording.duration_ns, recording.step_ns, recording.cores) == (500, DURATION, 1000, 2)
    assert recording.provenance["semantics"] == {"profile": "nir", "dt_ns": 1000}
    assert recording.shapes == {"output": (10,), "conv.1/x": (2, 4, 4)}
    assert recording.stimulus["input"].tolist() == [(1, 0), (2, 5), (2, 5)]
    analog = recording.stimulus["analog"]
    assert isinstance(analog, Signal)
    assert analog.values.dtype == np.float32
    assert analog.t.tolist() == [0, 1000, 2000]
    assert analog.values.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_arrays_may_be_reused_by_the_caller(recorder: Recorder) -> None:
    t, index, values = np.array([1, 2]), np.array([3, 4], np.uint32), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    fed = hal.events([1], [2])
    recorder.start(header(stimulus={"input": fed}))
    recorder.emit("output", t, index)
    recorder.sample("membrane", "output", t, values)
    for array in (t, index, values):
        array[:] = 0
    fed["index"] = 9
    recording = recorder.finish("ok")
    assert recording.spikes["output"].tolist() == [(1, 3), (2, 4)]
    assert recording.signals["membrane"].values.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert recording.stimulus["input"].tolist() == [(1, 2)]


def test_a_read_only_stimulus_is_shared_not_copied() -> None:
    fed = hal.events([1], [2])
    fed.flags.writeable = False
    recorder = MemoryRecorder()
    recorder.start(header(stimulus={"input": fed}))
    assert recorder.finish("ok").stimulus["input"] is fed


blocks = st.lists(st.lists(st.tuples(st.integers(0, DURATION - 1), st.integers(0, 9)), max_size=30), max_size=12)


@given(blocks=blocks, repeat=st.sampled_from([1, 50]))
def test_both_recorders_agree_and_keep_every_event_in_order(
    blocks: list[list[tuple[int, int]]], repeat: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    memory, disk = MemoryRecorder(), ArrowRecorder(tmp_path_factory.mktemp("runs") / "run")
    for one in (memory, disk):
        one.start(header())
        for block in blocks * repeat:
            t, index = (np.array([row[place] for row in block], np.int64) for place in (0, 1))
            one.emit("output", t, index)
    first, second = memory.finish("ok"), disk.finish("ok")
    expected = np.array([row for block in blocks * repeat for row in block], EVENT)
    assert same(first.spikes["output"], expected)
    assert same(second.spikes["output"], expected)
    steps = np.diff(expected["t"])
    for recording in (first, second):
        tally = recording.tallies["output", "spikes"]
        assert (tally.rows, tally.disorder, tally.repeats) == (len(expected), (steps < 0).sum(), (steps == 0).sum())


def test_integer_widths_make_one_schema(recorder: Recorder) -> None:
    recorder.start(header())
    for dtype in (np.uint8, np.int16, np.uint32, np.int64, np.uint64):
        recorder.emit("output", np.array([7], dtype), np.array([2], dtype))
    recorder.emit("output", [], [])  # type: ignore[arg-type]
    spikes = recorder.finish("ok").spikes["output"]
    assert spikes.dtype == EVENT
    assert spikes.tolist() == [(7, 2)] * 5


# --- what is refused -------------------------------------------------------------------------------------------------


def test_events_that_cannot_be_are_refused_with_rows_and_limits(recorder: Recorder) -> None:
    recorder.start(header())
    with pytest.raises(ConfigError, match=r"nowhere\.spikes is not recorded") as unknown:
        recorder.emit("nowhere", np.array([1]), np.array([1]))
    assert "output.spikes" in str(unknown.value)
    for t, index, parts in [
        ([3, -1], [0, 0], ["output: t, row 1", "value -1", f"limit 0..{DURATION - 1}"]),
        ([DURATION], [0], ["output: t, row 0", f"value {DURATION}"]),
        ([0, 1], [0, 10], ["output: index, row 1", "value 10", "limit 0..9", "(10,)"]),
        ([0], [-2], ["output: index, row 0", "value -2"]),
    ]:
        with pytest.raises(ConfigError) as error:
            recorder.emit("output", np.array(t), np.array(index))
        assert all(part in str(error.value) for part in parts), str(error.value)
    with pytest.raises(ConfigError, match="2 more rows"):
        recorder.emit("output", np.full(7, -1), np.zeros(7, np.int64))
    with pytest.raises(ConfigError, match="18446744073709551615"):
        recorder.emit("output", np.array([2**64 - 1], np.uint64), np.array([1]))
    with pytest.raises(ConfigError, match="integer array"):
        recorder.emit("output", np.array([1.5]), np.array([1]))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="one-dimensional"):
        recorder.emit("output", np.array([[1]]), np.array([[1]]))
    with pytest.raises(ConfigError, match="equally long"):
        recorder.emit("output", np.array([1, 2]), np.array([1]))
    assert len(recorder.finish("ok").spikes["output"]) == 0


def test_samples_that_cannot_be_are_refused(recorder: Recorder) -> None:
    recorder.start(header())
    t = np.array([5])
    with pytest.raises(ConfigError, match=r"output\.w is not recorded"):
        recorder.sample("output", "w", t, [[1.0]])
    with pytest.raises(ConfigError, match=r"output\.spikes is not recorded"):
        recorder.sample("output", "spikes", t, [[1.0]])
    with pytest.raises(ConfigError, match=r"value 2, limit 3"):
        recorder.sample("membrane", "output", t, [[1.0, 2.0]])
    with pytest.raises(ConfigError, match="one row per time"):
        recorder.sample("membrane", "output", t, np.zeros((2, 3)))
    with pytest.raises(ConfigError, match="numbers"):
        recorder.sample("membrane", "output", t, [["a", "b", "c"]])
    with pytest.raises(ConfigError, match="row 0"):
        recorder.sample("membrane", "output", np.array([DURATION]), [[1.0, 2.0, 3.0]])
    recorder.sample("elsewhere", "u", t, [[1.0, 2.0]])
    with pytest.raises(ConfigError, match="value 3, limit 2"):
        recorder.sample("elsewhere", "u", t, [[1.0, 2.0, 3.0]])
    recorder.sample("membrane", "output", np.empty(0, np.int64), np.empty((0, 3)))
    recording = recorder.finish("ok")
    assert len(recording.signals["membrane"].t) == 0
    assert recording.signals["membrane"].values.shape == (0, 3)
    assert recording.traces["elsewhere", "u"].values.tolist() == [[1, 2]]


def test_a_signal_may_not_change_its_precision(recorder: Recorder) -> None:
    recorder.start(header())
    with pytest.raises(ConfigError, match="values per row"):
        recorder.sample("membrane", "output", np.array([0]), np.zeros((1, 2), np.float64))  # decides nothing
    recorder.sample("membrane", "output", np.array([0]), np.zeros((1, 3), np.float32))
    with pytest.raises(ConfigError, match="value float64, limit float32"):
        recorder.sample("membrane", "output", np.array([1]), np.full((1, 3), 0.1))
    values = recorder.finish("ok").signals["membrane"].values
    assert (values.dtype, len(values)) == (np.float32, 1)


def test_counters_and_intervals_are_checked(recorder: Recorder) -> None:
    recorder.start(header())
    with pytest.raises(ConfigError, match="unknown counter 'spins'") as error:
        recorder.count("spins", np.array([1, 1]))
    assert "synops" in str(error.value)
    for amount in (np.array([1]), np.array([1.5, 2.5]), 3):
        with pytest.raises(ConfigError, match="one integer per core"):
            recorder.count("synops", amount)
    with pytest.raises(ConfigError) as error:
        recorder.interval("x" * 33, 2, 10, 5)
    assert len(error.value.problems) == 3
    with pytest.raises(ConfigError, match="not within the run"):
        recorder.interval("stall", 0, 0, DURATION + 1)
    assert recorder.finish("ok").stats["synops"].tolist() == [0, 0]


def test_calls_out_of_turn_are_refused(recorder: Recorder) -> None:
    for call in (
        lambda: recorder.emit("output", np.array([1]), np.array([1])),
        lambda: recorder.sample("output", "v", np.array([1]), [[1, 1]]),
        lambda: recorder.count("synops", np.array([1, 1])),
        lambda: recorder.interval("stall", 0, 0, 1),
        lambda: recorder.note(finding()),
        lambda: recorder.advance(3),
        lambda: recorder.finish("ok"),
    ):
        with pytest.raises(StateError, match="no run is being recorded"):
            call()
    recorder.start(header())
    with pytest.raises(StateError, match="in the middle of a run"):
        recorder.start(header())
    with pytest.raises(ConfigError, match="unknown status 'fine'"):
        recorder.finish("fine")  # type: ignore[arg-type]
    assert recorder.finish("interrupted").status == "interrupted"


def test_memory_is_used_again_for_the_next_run() -> None:
    recorder = MemoryRecorder()
    recorder.start(header())
    recorder.emit("output", np.array([5]), np.array([1]))
    recorder.count("synops", np.array([1, 1]))
    recorder.distrust(finding())
    first = recorder.finish("ok")
    recorder.start(header(run=5))
    recorder.emit("output", np.array([3]), np.array([2]))
    second = recorder.finish("ok")
    assert (first.status, second.status) == ("untrusted", "ok")
    assert first.spikes["output"].tolist() == [(5, 1)]
    assert second.spikes["output"].tolist() == [(3, 2)]
    assert (first.stats["synops"].sum(), second.stats["synops"].sum()) == (2, 0)
    assert second.tallies["output", "spikes"].disorder == 0
    assert second.diagnostics == ()


# --- advance, distrust -----------------------------------------------------------------------------------------------


def test_hooks_hear_of_progress_and_may_end_the_run(recorder: Recorder) -> None:
    seen: list[int] = []

    def stop_late(t_ns: int) -> None:
        if t_ns > 20:
            raise TimeoutError("enough")

    recorder.on_advance += [seen.append, stop_late]
    recorder.start(header())
    recorder.advance(10)
    recorder.emit("output", np.array([15]), np.array([1]))
    with pytest.raises(TimeoutError):
        recorder.advance(30)
    recording = recorder.finish("interrupted")
    assert seen == [10, 30]
    assert (recording.status, recording.event_count()) == ("interrupted", 1)


def test_distrust_outranks_ok_but_not_interrupted(recorder: Recorder) -> None:
    recorder.start(header())
    recorder.distrust(finding("the core stalled"))
    recording = recorder.finish("ok")
    assert recording.status == "untrusted"
    assert recording.diagnostics[0].reason == "the core stalled"


# --- on disk ---------------------------------------------------------------------------------------------------------


def test_an_existing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exists; a recording goes into a new directory"):
        ArrowRecorder(tmp_path)
    recorder = ArrowRecorder(tmp_path / "a" / "b")
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(ConfigError, match="exists"):
        recorder.start(header())
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_directory_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    recorder = ArrowRecorder(tmp_path / "file" / "run")
    with pytest.raises(WriteError, match="cannot make") as error:
        recorder.start(header())
    assert isinstance(error.value, OSError)
    assert error.value.data["events_safe"] == 0


def test_what_has_no_json_form_is_refused(tmp_path: Path) -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    recorder = ArrowRecorder(tmp_path / "run")
    with pytest.raises(ConfigError, match="cannot be written as JSON"):
        recorder.start(header(provenance=loop))


def test_after_advance_a_second_reader_sees_everything(tmp_path: Path) -> None:
    recorder = ArrowRecorder(tmp_path / "run")
    recorder.start(header())
    recorder.emit("output", np.array([1, 2]), np.array([3, 4]))
    recorder.interval("stall", 0, 1, 2)
    recorder.sample("output", "v", np.array([2]), [[1.0, 2.0]])
    assert read_recording(tmp_path / "run").event_count() == 0
    recorder.advance(5)
    live = read_recording(tmp_path / "run")
    assert live.status == "interrupted"
    assert live.spikes["output"].tolist() == [(1, 3), (2, 4)]
    assert live.intervals.tolist() == [("stall", 0, 1, 2)]
    assert live.traces["output", "v"].values.tolist() == [[1.0, 2.0]]
    assert len(live.signals["membrane"].t) == 0
    assert "2 events came back" in live.diagnostics[-1].reason
    recorder.finish("ok")
    assert read_recording(tmp_path / "run").status == "ok"


def test_counters_of_an_unfinished_run_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hal.recorder.MANIFEST_S", 0.0)
    recorder = ArrowRecorder(tmp_path / "run")
    recorder.start(header())
    recorder.count("synops", np.array([1, 2]))
    recorder.note(finding())
    recorder.advance(1)
    live = read_recording(tmp_path / "run")
    assert live.stats["synops"].tolist() == [1, 2]
    assert live.diagnostics[0] == finding()
    recorder.finish("ok")


def test_small_blocks_are_put_together_and_large_ones_cut(tmp_path: Path) -> None:
    recorder = ArrowRecorder(tmp_path / "run")
    recorder.start(header())
    for k in range(2000):
        recorder.emit("output", np.array([k]), np.array([1]))
    n = 200_000
    recorder.emit("conv.1/x", np.arange(n), np.zeros(n, np.uint32))
    recorder.finish("ok")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    batches = {entry["node"]: entry["batches"] for entry in manifest["streams"] if entry["group"] == "spikes"}
    # two batches of 1000 events, and a few more if this machine took 50 ms over one
    assert 2 <= batches["output"] <= 100
    assert batches["conv.1/x"] == -(-n * 12 // archive.BATCH_BYTES)


def test_rows_that_wait_too_long_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "BATCH_S", 0.0)
    recorder = ArrowRecorder(tmp_path / "run")
    recorder.start(header())
    recorder.emit("output", np.array([1]), np.array([2]))
    assert read_recording(tmp_path / "run").event_count() == 1
    recorder.finish("ok")


def test_memory_does_not_grow_with_the_run(tmp_path: Path) -> None:
    import tracemalloc

    recorder = ArrowRecorder(tmp_path / "run")
    recorder.start(header())
    t, index = np.arange(5000), np.zeros(5000, np.uint32)

    def push(times: int) -> None:
        for _ in range(times):
            recorder.emit("output", t, index)
            recorder.interval("stall", 0, 1, 2)
        recorder.advance(1)

    push(20)
    tracemalloc.start()
    push(20)
    tracemalloc.reset_peak()
    base = tracemalloc.get_traced_memory()[0]
    push(400)  # 24 MB of events
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - base < 1_000_000
    assert recorder.finish("ok").event_count() == 440 * 5000


NASTY = ["a/b", "a_b", "A_B", "..", ".", "", "con", "x" * 300, "ünï", "@dvs", "a b\n", "../../etc/passwd"]


def test_any_node_name_makes_a_file_inside_the_directory(tmp_path: Path) -> None:
    recorder = ArrowRecorder(tmp_path / "run")
    recorder.start(header(nodes=dict.fromkeys(NASTY, (4,)), signals={}, traces=()))
    for k, name in enumerate(NASTY):
        recorder.emit(name, np.array([k]), np.array([1]))
    recorder.finish("ok")
    recording = read_recording(tmp_path / "run")
    assert {name: recording.spikes[name]["t"].tolist() for name in NASTY} == {name: [k] for k, name in enumerate(NASTY)}
    files = [path.name.lower() for path in (tmp_path / "run" / "spikes").iterdir()]
    assert len(set(files)) == len(NASTY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


# --- a kill, a full disk ---------------------------------------------------------------------------------------------

CHILD = """
    import sys
    import numpy as np
    from hal.recorder import ArrowRecorder, RunHeader

    recorder = ArrowRecorder(sys.argv[1])
    batch, every = int(sys.argv[2]), int(sys.argv[3])
    recorder.start(RunHeader(device="toy", kind="emulator", nodes={"output": (1 << 30,)}, duration_ns=1 << 40,
                             counters=("synops",)))
    k = 0
    while True:
        n = np.arange(k * batch, (k + 1) * batch)
        recorder.emit("output", n, n)
        k += 1
        if k % every == 0:
            recorder.advance(k)
            print(k * batch, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize(("batch", "every"), [(1000, 1), (7, 50), (20_000, 3)])
def test_what_was_acknowledged_survives_sigkill(tmp_path: Path, batch: int, every: int) -> None:
    path = tmp_path / "run"
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(path), str(batch), str(every)]
    roots = os.pathsep.join([str(Path(hal.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": roots}) as child:
        assert child.stdout is not None
        first = int(child.stdout.readline())
        time.sleep(0.15)
        child.kill()
        acknowledged = max([first, *(int(line) for line in child.stdout if line.endswith("\n"))])
    assert acknowledged > 0
    recording = read_recording(path)
    spikes = recording.spikes["output"]
    assert recording.status == "interrupted"
    assert len(spikes) >= acknowledged
    assert recording.event_count() == len(spikes)
    assert f"interrupted, {len(spikes)} events" in repr(recording)
    assert np.array_equal(spikes["t"], np.arange(len(spikes)))
    assert np.array_equal(spikes["index"], np.arange(len(spikes)))


class FullDisk:
    """A file that takes so many bytes and then no more, the last write in part, as ENOSPC does."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: Any) -> int:
        if self.room <= 0:
            raise OSError(28, "No space left on device")
        written: int = self.file.write(data[: self.room])
        self.room -= written
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_a_full_disk_stops_the_run_and_says_what_is_safe(tmp_path: Path) -> None:
    recorder = ArrowRecorder(tmp_path / "run")
    recorder.start(header())
    writer = recorder._archive._writers["recorded", "output", "spikes"]
    writer._file = FullDisk(writer._file, 30_000)  # type: ignore[assignment]
    n = np.arange(1000)
    recorder.emit("output", n, n % 10)
    recorder.emit("output", n, n % 10)
    with pytest.raises(WriteError) as error:
        recorder.emit("output", n, n % 10)
    # 12 bytes an event and some 200 a batch: two batches fit, the third does not
    assert error.value.data["events_safe"] == 2000
    assert error.value.data["file"] == str(tmp_path / "run" / "spikes" / "output.arrows")
    assert "output.arrows: No space left on device" in str(error.value)
    assert "2000 events in" in str(error.value)
    recording = recorder.finish("interrupted")
    assert recording.status == "interrupted"
    assert np.array_equal(recording.spikes["output"]["t"], np.tile(n, 2))
    with pytest.raises(StateError):
        recorder.advance(1)


def test_a_full_disk_at_the_end_is_an_error_too(tmp_path: Path) -> None:
    recorder = ArrowRecorder(tmp_path / "run")
    recorder.start(header())
    recorder.emit("output", np.arange(1000), np.zeros(1000, np.int64))
    recorder.emit("output", np.array([1]), np.array([1]))
    writer = recorder._archive._writers["recorded", "output", "spikes"]
    writer._file = FullDisk(writer._file, 0)  # type: ignore[assignment]
    with pytest.raises(WriteError) as error:
        recorder.finish("ok")
    assert error.value.data["events_safe"] == 1000
    assert read_recording(tmp_path / "run").event_count() == 1000


LIMITED = """
    import resource, sys
    import numpy as np
    from hal.errors import WriteError
    from hal.recorder import ArrowRecorder, RunHeader

    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    recorder = ArrowRecorder(sys.argv[1])
    recorder.start(RunHeader(device="toy", kind="emulator", nodes={"output": (1 << 30,)}, duration_ns=1 << 40))
    try:
        for k in range(100):
            n = np.arange(k * 1000, (k + 1) * 1000)
            recorder.emit("output", n, n)
    except WriteError as error:
        print(error.data["events_safe"], error.data["file"])
        print(recorder.finish("interrupted").event_count())
"""


def test_the_system_s_own_refusal_is_reported(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    roots = os.pathsep.join([str(Path(hal.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LIMITED), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": roots},
    )
    first, second = done.stdout.splitlines()
    assert first == f"8000 {tmp_path / 'run' / 'spikes' / 'output.arrows'}"
    assert second == "8000"
    assert np.array_equal(read_recording(tmp_path / "run").spikes["output"]["t"], np.arange(8000))


def test_a_stimulus_that_does_not_fit_on_the_disk_closes_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hal.store import arrow

    real = arrow.StreamWriter.append
    files: list[Any] = []

    def append(self: Any, *columns: Any) -> None:
        files.append(self._file)
        self._file = FullDisk(self._file, 10)
        real(self, *columns)

    monkeypatch.setattr(arrow.StreamWriter, "append", append)
    recorder = ArrowRecorder(tmp_path / "run")
    with pytest.raises(WriteError, match="stimulus"):
        recorder.start(header())
    assert files
    assert all(file.closed for file in files)


def test_ctrl_c_in_a_write_leaves_no_half_batch(tmp_path: Path) -> None:
    recorder = ArrowRecorder(tmp_path / "run")
    recorder.start(header())
    n = np.arange(1000)
    recorder.emit("output", n, n % 10)
    writer = recorder._archive._writers["recorded", "output", "spikes"]
    real = writer._file

    class Interrupted(FullDisk):
        def write(self, data: Any) -> int:
            self.file.write(data[:500])
            raise KeyboardInterrupt

    writer._file = Interrupted(real, 0)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        recorder.emit("output", n, n % 10)
    writer._file = real
    recorder.emit("output", n, n % 10)
    recording = recorder.finish("interrupted")
    assert np.array_equal(recording.spikes["output"]["t"], np.tile(n, 2))
    assert recording.diagnostics == ()


@pytest.mark.parametrize("place", ["manifest.json.new", "intervals.arrows"])
def test_a_file_that_cannot_be_made_is_named(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hal.recorder.MANIFEST_S", 0.0)
    recorder = ArrowRecorder(tmp_path / "run")
    recorder.start(header())
    recorder.emit("output", np.array([1, 2]), np.array([1, 2]))
    recorder.count("synops", np.array([1, 1]))
    recorder.interval("stall", 0, 1, 2)
    (tmp_path / "run" / place).mkdir()
    with pytest.raises(WriteError, match=f"cannot write .*{place.removesuffix('.new')}") as error:
        recorder.advance(5)
    assert error.value.data["events_safe"] == 2
    assert recorder.finish("interrupted").spikes["output"].tolist() == [(1, 1), (2, 2)]


def test_nothing_follows_an_end_that_cannot_be_repaired(tmp_path: Path) -> None:
    recorder = ArrowRecorder(tmp_path / "run")
    recorder.start(header())
    n = np.arange(1000)
    recorder.emit("output", n, n % 10)
    writer = recorder._archive._writers["recorded", "output", "spikes"]

    class Stuck(FullDisk):
        def truncate(self, _: int) -> None:
            raise OSError(5, "Input/output error")

    disk = Stuck(writer._file, 500)
    writer._file = disk  # type: ignore[assignment]
    with pytest.raises(WriteError, match="No space left"):
        recorder.emit("output", n, n % 10)
    disk.room = 1 << 30
    with pytest.raises(WriteError, match="could not be repaired"):
        recorder.emit("output", n, n % 10)
    recording = recorder.finish("interrupted")
    assert np.array_equal(recording.spikes["output"]["t"], n)
    assert any("1000 rows came back" in one.reason for one in recording.diagnostics)


def test_provenance_may_hold_numpy_sets_and_paths(tmp_path: Path) -> None:
    recorder = ArrowRecorder(tmp_path / "run")
    provenance = {"rate": np.float32(0.5), "gain": np.arange(2), "words": {"b", "a"}, "where": Path("x"), "n": (1, 2)}
    recorder.start(header(provenance=provenance))
    expected = {"rate": 0.5, "gain": [0, 1], "words": ["a", "b"], "where": "x", "n": [1, 2]}
    assert recorder.finish("ok").provenance == expected
