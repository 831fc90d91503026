"""A recording followed while it is written: everything flushed once, nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hal
from hal import ArrowRecorder, Follower, Probe, follow, read_recording
from hal.errors import ConfigError, FormatError
from hal.recorder import RunHeader
from hal.store.arrow import Tail

quick = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)


def header(**changes: Any) -> RunHeader:
    fields: dict[str, Any] = {
        "device": "toy",
        "kind": "emulator",
        "nodes": {"output": (10,), "hidden": (5,)},
        "signals": {"sum": (2,)},
        "traces": (Probe("hidden", "v", None, 100),),
        "duration_ns": 1 << 40,
        "counters": ("synops",),
    }
    return RunHeader(**(fields | changes))


def new_folder(tmp_path: Path) -> Path:
    return tmp_path / f"run{len(list(tmp_path.iterdir()))}"


@quick
@given(st.lists(st.tuples(st.sampled_from(["output", "hidden"]), st.integers(0, 1500), st.booleans()), max_size=8))
def test_what_was_flushed_is_seen_once_and_nothing_else(tmp_path: Path, steps: list[tuple[str, int, bool]]) -> None:
    recorder = ArrowRecorder(new_folder(tmp_path))
    recorder.start(header())
    follower = Follower(recorder.path)
    emitted: dict[str, list[int]] = {"output": [], "hidden": []}
    seen: dict[str, list[int]] = {"output": [], "hidden": []}

    def take(flushed: bool) -> None:
        update = follower.poll()
        for node, spikes in update.spikes.items():
            seen[node] += spikes["t"].tolist()
        for node, times in emitted.items():
            assert seen[node] == times[: len(seen[node])]
            assert not flushed or seen[node] == times
        assert update.counts == {node: len(times) for node, times in seen.items()}
        assert update.events == sum(update.counts.values())
        assert update.news == bool(update.spikes)
        assert update.t_ns == max([t for times in seen.values() for t in times], default=0)

    t = 0
    for node, count, flush in steps:
        times = np.arange(t, t + count)
        t += count
        recorder.emit(node, times, times % 5)
        emitted[node] += times.tolist()
        if flush:
            recorder.advance(t)
        take(flush)
    recorder.finish("untrusted")
    take(True)
    last = follower.poll()
    assert (last.finished, last.status, last.news) == (True, "untrusted", False)


@quick
@given(st.integers(1, 4), st.lists(st.integers(0, 6000), max_size=12))
def test_a_file_that_grows_byte_by_byte_gives_whole_batches(tmp_path: Path, batches: int, cuts: list[int]) -> None:
    recorder = ArrowRecorder(new_folder(tmp_path))
    recorder.start(header())
    for n in range(batches):
        recorder.emit("output", np.arange(n * 100, (n + 1) * 100), np.zeros(100, np.int64))
        recorder.advance(n)
    recorder.finish("ok")
    whole = (recorder.path / "spikes" / "output.arrows").read_bytes()
    growing = new_folder(tmp_path)
    tail = Tail(growing)
    assert list(tail.new()) == []
    found: list[int] = []
    for cut in [*sorted(cuts), len(whole)]:
        growing.write_bytes(whole[:cut])
        for batch in tail.new():
            assert len(batch["t"]) == 100
            found += batch["t"].tolist()
        assert found == list(range(len(found)))
    assert len(found) == batches * 100
    assert tail.closed
    assert list(tail.new()) == []


def test_large_files_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = ArrowRecorder(tmp_path / "run")
    recorder.start(header())
    for n in range(20):
        recorder.emit("output", np.arange(n * 1000, (n + 1) * 1000), np.zeros(1000, np.int64))
    recorder.advance(1)
    monkeypatch.setattr("hal.store.arrow.TAIL_BYTES", 30_000)
    assert Follower(tmp_path / "run").poll().counts == {"output": 20_000, "hidden": 0}
    recorder.finish("ok")


def test_signals_traces_and_findings_come_too(tmp_path: Path) -> None:
    recorder = ArrowRecorder(tmp_path / "run")
    recorder.start(header())
    follower = Follower(tmp_path / "run")
    assert follower.header.to_json()["nodes"] == {"output": (10,), "hidden": (5,)}
    assert not follower.poll().news
    recorder.sample("sum", "output", np.array([3]), np.array([[1.0, 2.0]]))
    recorder.sample("hidden", "v", np.array([7, 9]), np.zeros((2, 5), np.float32))
    recorder.advance(10)
    update = follower.poll()
    assert update.signals["sum"].values.tolist() == [[1.0, 2.0]]
    assert update.traces["hidden", "v"].t.tolist() == [7, 9]
    assert (update.t_ns, update.finished, update.status) == (9, False, "interrupted")
    recorder.note(hal.Finding(level="note", node="", field="x", reason="seen"))
    recorder.finish("ok")
    assert [finding.reason for finding in follower.poll().diagnostics] == ["seen"]


CHILD = """
    import sys, time
    import numpy as np
    from hal.recorder import ArrowRecorder, RunHeader

    recorder = ArrowRecorder(sys.argv[1])
    recorder.start(RunHeader(device="toy", kind="emulator", nodes={"output": (1 << 30,)}, duration_ns=1 << 40))
    print("started", flush=True)
    for k in range(20):
        n = np.arange(k * 300, (k + 1) * 300)
        recorder.emit("output", n, n)
        recorder.advance(k)
        time.sleep(0.02)
    if sys.argv[2] == "finish":
        recorder.finish("ok")
    time.sleep(60)
"""


@pytest.mark.parametrize("how", ["finish", "kill"])
def test_a_second_process_follows_to_the_end_or_until_it_runs_out_of_patience(tmp_path: Path, how: str) -> None:
    roots = os.pathsep.join([str(Path(hal.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(tmp_path / "run"), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": roots}) as child:
        assert child.stdout is not None
        child.stdout.readline()
        seen: list[int] = []
        updates = []
        for update in follow(tmp_path / "run", patience_s=1.0, poll_s=0.01):
            if update.news:
                seen += update.spikes["output"]["t"].tolist()
            updates.append(update)
            if how == "kill" and len(seen) > 600:
                child.kill()
        child.kill()
    assert len(updates) > 2
    assert updates[-1].finished == (how == "finish")
    assert seen == list(range(len(seen)))
    assert len(seen) == read_recording(tmp_path / "run").event_count()
    assert len(seen) == 6000 or how == "kill"


def test_patience_counts_from_the_last_news(tmp_path: Path) -> None:
    recorder = ArrowRecorder(tmp_path / "run")
    recorder.start(header())
    began = time.monotonic()
    (update,) = follow(tmp_path / "run", patience_s=0.1, poll_s=0.01)
    assert 0.1 <= time.monotonic() - began < 5
    assert (update.finished, update.news) == (False, False)
    recorder.finish("ok")


def test_what_cannot_be_followed(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="does not exist"):
        follow(tmp_path / "run")
    with pytest.raises(ConfigError, match="patience_s is a number of wall seconds"):
        follow(tmp_path / "run", patience_s=0)
    with pytest.raises(ConfigError, match="poll_s is a number"):
        follow(tmp_path / "run", poll_s=-1)
    recorder = ArrowRecorder(tmp_path / "run")
    recorder.start(header())
    recorder.finish("ok")
    from hal.store.manifest import read_manifest

    manifest = read_manifest(tmp_path / "run")[0]
    renamed = [attrs.evolve(entry, file=entry.file.replace(".arrows", ".parquet")) for entry in manifest.streams]
    attrs.evolve(manifest, streams=tuple(renamed)).write(tmp_path / "run")
    with pytest.raises(FormatError, match="is an export, which does not grow"):
        Follower(tmp_path / "run")
