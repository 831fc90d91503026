"""`hal watch`: a run followed from a second process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import hal as neurohal
from hal.cli import following
from hal.recorder import ArrowRecorder, RunHeader


def start(path: Path) -> ArrowRecorder:
    recorder = ArrowRecorder(path)
    recorder.start(RunHeader(device="toy", kind="emulator", nodes={"output": (9,)}, duration_ns=1_000_000))
    return recorder


def emit(recorder: ArrowRecorder, *t: int) -> None:
    recorder.emit("output", np.array(t), np.zeros(len(t), np.int64))
    recorder.advance(max(t))


def test_a_finished_run_is_one_line(hal, tmp_path: Path) -> None:
    recorder = start(tmp_path / "rec")
    emit(recorder, 1000, 500_000)
    recorder.finish("ok")
    outcome = hal("watch", tmp_path / "rec")
    assert (outcome.code, outcome.out, outcome.err) == (0, "500 us of 1 ms: 2 events, ok\n", "")
    document = hal("watch", tmp_path / "rec", "--json").json
    assert document == {
        "t_ns": 500_000,
        "duration_ns": 1_000_000,
        "events": 2,
        "spikes": {"output": 2},
        "finished": True,
        "status": "ok",
    }


def test_a_run_without_news_ends_the_patience(hal, tmp_path: Path) -> None:
    recorder = start(tmp_path / "rec")
    emit(recorder, 7)
    outcome = hal("watch", tmp_path / "rec", "--patience", "0.1")
    assert outcome.code == 1
    assert "7 ns of 1 ms: 1 event\n" in outcome.out
    assert "no news of" in outcome.err
    recorder.finish("ok")


def test_a_terminal_shows_a_table(hal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from rich.console import Console

    stream = io.StringIO()
    monkeypatch.setattr(following, "console", lambda: Console(file=stream, force_terminal=True, width=100))
    recorder = start(tmp_path / "rec")
    emit(recorder, 1000, 500_000)
    recorder.finish("ok")
    assert hal("watch", tmp_path / "rec").code == 0
    shown = " ".join(stream.getvalue().split())
    assert "output 2 4 kHz" in shown
    assert "500 us of 1 ms: 2 events, ok" in shown


def test_what_cannot_be_watched(hal, net: Path, tmp_path: Path) -> None:
    for path in (net, tmp_path, tmp_path / "nothing"):
        outcome = hal("watch", path)
        assert outcome.code == 2, outcome
    start(tmp_path / "rec").finish("ok")
    assert hal("watch", tmp_path / "rec", "--patience", "0").code == 2


def process(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hal", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # tests started in the background of a shell inherit a Ctrl-C that is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_live_run_is_followed_until_ctrl_c_ends_it(net: Path, tmp_path: Path) -> None:
    out = tmp_path / "rec"
    events = np.zeros(100_000, [("t", "<i8"), ("x", "<i2")])
    events["t"] = np.arange(100_000) * 10
    np.save(tmp_path / "many.npy", events)
    options = ("--device", "ideal", "--semantics", "sinabs", "--dt", "1us", "--duration", "1000s", "--out", out)
    run = process("run", net, *options, "--input", tmp_path / "many.npy")
    watch = None
    try:
        deadline = time.monotonic() + 60
        while not (out / "manifest.json").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        watch = process("watch", out, "--json")
        assert watch.stdout is not None
        lines = [watch.stdout.readline()]
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=60)
        rest, noise = watch.communicate(timeout=60)
    finally:
        run.kill()
        if watch is not None:
            watch.kill()
    updates = [json.loads(line) for line in [*lines, *rest.splitlines()]]
    assert run.returncode == 130
    assert f"kept in {out}" in " ".join(errors.split())
    assert (watch.returncode, noise) == (0, "")
    assert [update["status"] for update in updates] == ["running"] * (len(updates) - 1) + ["interrupted"]
    counts = [update["events"] for update in updates]
    assert counts == sorted(counts)
    recording = neurohal.read_recording(out)
    assert recording.status == "interrupted"
    assert counts[-1] == recording.event_count() > 0


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_stops_watching_and_leaves_the_run_alone(tmp_path: Path) -> None:
    recorder = start(tmp_path / "rec")
    emit(recorder, 5)
    watch = process("watch", tmp_path / "rec")
    try:
        assert watch.stdout is not None
        assert watch.stdout.readline() == "5 ns of 1 ms: 1 event\n"
        watch.send_signal(signal.SIGINT)
        _, errors = watch.communicate(timeout=60)
    finally:
        watch.kill()
    assert watch.returncode == 130
    assert "stopped watching; the run itself is not touched" in errors
    emit(recorder, 6)
    assert recorder.finish("ok").event_count() == 2
