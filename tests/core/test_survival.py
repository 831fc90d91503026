"""Runs that are killed at a random moment: what was flushed is there, in order, and nothing else is."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hal
from hal import Follower, read_recording
from hal.store.beside import APART_BYTES, Checksum

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork and no SIGKILL")

# one interpreter forks a writer for every seed, lets it run for a random time, and kills it
BUTCHER = """
    import json, os, random, signal, sys, time
    import numpy as np
    from hal.events import Probe
    from hal.recorder import ArrowRecorder, RunHeader

    def write(path, rng, told):
        recorder = ArrowRecorder(path)
        recorder.start(RunHeader(device="toy", kind="emulator", nodes={"a": (1 << 30,), "b": (7,)}, cores=1,
                                 signals={"sum": (2,)}, traces=(Probe("b", "v"),), counters=("synops",),
                                 duration_ns=1 << 40, stimulus={}))
        done = dict.fromkeys(("a", "b", "sum", "v", "intervals"), 0)
        k = 0
        while True:
            k += 1
            for key in ("a", "b"):
                size = rng.choice((0, 1, 7, 300, 1000, 5000))
                n = np.arange(done[key], done[key] + size)
                recorder.emit(key, n, n if key == "a" else n % 7)
                done[key] += size
            for key, node, variable in (("sum", "sum", "output"), ("v", "b", "v")):
                size = rng.choice((0, 1, 20))
                n = np.arange(done[key], done[key] + size)
                recorder.sample(node, variable, n, np.repeat(n[:, None] * 0.5, 2 if key == "sum" else 7, 1))
                done[key] += size
            recorder.interval("stall", 0, done["intervals"], done["intervals"] + 1)
            done["intervals"] += 1
            recorder.count("synops", [1])
            if rng.random() < 0.3:
                recorder.advance(k)
                os.write(told, (json.dumps(done) + "\\n").encode())

    folder, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for seed in range(first, first + count):
        rng = random.Random(seed)
        ear, told = os.pipe()
        child = os.fork()
        if not child:
            os.close(ear)
            write(f"{folder}/{seed}", rng, told)
        os.close(told)
        started = os.read(ear, 1)
        time.sleep(rng.uniform(0, 0.06))
        os.kill(child, signal.SIGKILL)
        heard = started
        while piece := os.read(ear, 1 << 16):
            heard += piece
        os.close(ear)
        _, how = os.waitpid(child, 0)
        lines = heard.decode().split("\\n")[:-1]
        print(json.dumps([seed, os.WTERMSIG(how), json.loads(lines[-1])]), flush=True)
"""


def butchered(folder: Path, first: int, count: int) -> dict[int, dict[str, int]]:
    """What every writer said was safe before it was killed."""
    roots = os.pathsep.join([str(Path(hal.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BUTCHER), str(folder), str(first), str(count)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": roots},
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [how for _, how, _ in said] == [signal.SIGKILL] * count
    return {seed: safe for seed, _, safe in said}


def check(path: Path, safe: dict[str, int]) -> int:
    """Every column is the beginning of what was written, at least as long as what was acknowledged."""
    recording = read_recording(path)
    assert recording.status == "interrupted"
    columns = {
        "a": recording.spikes["a"]["t"],
        "b": recording.spikes["b"]["t"],
        "sum": recording.signals["sum"].t,
        "v": recording.traces["b", "v"].t,
        "intervals": recording.intervals["t0"],
    }
    for name, times in columns.items():
        assert len(times) >= safe[name], name
        assert np.array_equal(times, np.arange(len(times))), name
    a, b = recording.spikes["a"], recording.spikes["b"]
    assert np.array_equal(a["index"], a["t"])
    assert np.array_equal(b["index"], b["t"] % 7)
    for signal_ in (recording.signals["sum"], recording.traces["b", "v"]):
        assert (signal_.values == signal_.t[:, None] * 0.5).all()
    assert recording.event_count() == len(a) + len(b)
    assert any("never finished" in finding.reason for finding in recording.diagnostics)
    update = Follower(path).poll()
    assert (update.events, update.finished) == (recording.event_count(), False)
    return len(a) + len(b)


def test_twenty_kills_lose_nothing_flushed_and_invent_nothing(tmp_path: Path) -> None:
    said = butchered(tmp_path, 0, 20)
    assert len({check(tmp_path / str(seed), safe) for seed, safe in said.items()}) > 10
    assert any(sum(safe.values()) > 10_000 for safe in said.values())


@pytest.mark.full
def test_two_hundred_kills(tmp_path: Path) -> None:
    for seed, safe in butchered(tmp_path, 1000, 200).items():
        check(tmp_path / str(seed), safe)


def test_what_was_there_of_a_killed_run_is_exported_whole(tmp_path: Path) -> None:
    butchered(tmp_path, 7, 1)
    recording = read_recording(tmp_path / "7")
    again = read_recording(hal.export_recording(recording, tmp_path / "7.h5", "hdf5"))
    assert again.status == "interrupted"
    assert again.spikes["a"].tobytes() == recording.spikes["a"].tobytes()
    assert again.signals["sum"].values.tobytes() == recording.signals["sum"].values.tobytes()
    assert again.diagnostics == recording.diagnostics


# --- checksums beside the run ----------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 100, APART_BYTES - 1, APART_BYTES, 200_000]), max_size=12))
def test_a_checksum_is_that_of_the_messages_in_their_order(sizes: list[int]) -> None:
    messages = [bytes([n]) * size for n, size in enumerate(sizes)]
    checksum = Checksum()
    for n, message in enumerate(messages):
        checksum.update(message)
        if n == 5:
            assert checksum.hexdigest() == hashlib.sha256(b"".join(messages[:6])).hexdigest()
    assert checksum.hexdigest() == hashlib.sha256(b"".join(messages)).hexdigest()


FORK = """
    import os
    from hal.store.beside import APART_BYTES, Checksum

    def digest():
        checksum = Checksum()
        checksum.update(bytes(APART_BYTES))
        return checksum.hexdigest()

    first = digest()
    child = os.fork()
    if not child:
        os._exit(0 if digest() == first else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_has_a_thread_of_its_own() -> None:
    roots = os.pathsep.join([str(Path(hal.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORK)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, env=os.environ | {"PYTHONPATH": roots}
    )
    assert done.stdout == "0\n"
