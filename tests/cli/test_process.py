"""What only a process of its own shows: exit codes, the two streams, pipes, signals."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import nir
import numpy as np
import pytest

import hal as neurohal

SPECK = ("--device", "speck2f", "--semantics", "sinabs", "--dt", "1ms")


def test_exit_codes_and_streams(child, net: Path, leaky: Path, events: Path) -> None:
    done = child("run", net, *SPECK, "-i", events)
    assert done.code == 0
    assert "predicted class: 2" in done.out
    assert "\x1b" not in done.out + done.err
    failed = child("check", leaky, *SPECK)
    assert failed.code == 1
    assert "\x1b" not in failed.out
    wrong = child("check", net, "--device", "spek2f")
    assert (wrong.code, wrong.out) == (2, "")
    assert "did you mean speck2f" in wrong.err
    assert "Traceback" not in wrong.err


def test_json_stands_alone_on_stdout(child, net: Path, leaky: Path, events: Path) -> None:
    done = child("run", net, "--device", "speck2f", "-i", events, "--json")
    assert done.code == 1 or json.loads(done.out)["status"] == "ok"
    assert "no semantics given" in done.err
    assert len(done.out.splitlines()) == 1
    failed = child("run", leaky, *SPECK, "-i", events, "--json")
    assert (failed.code, failed.err) == (1, "")
    assert json.loads(failed.out)["error"] == "DoesNotFitError"


def test_pipes_take_ascii_where_nothing_else_is_known(child, net: Path, events: Path) -> None:
    done = child("run", net, *SPECK, "-i", events, PYTHONIOENCODING="ascii")
    assert done.code == 0
    assert done.out.isascii()
    assert "####" in done.out


def test_columns_are_kept_to(child, net: Path, events: Path) -> None:
    for width in (60, 80, 100, 140):
        done = child("run", net, *SPECK, "-i", events, COLUMNS=str(width))
        lines = [line for line in done.out.splitlines() if str(net) not in line]
        assert max(map(len, lines)) <= width
        row = next(line for line in lines if line.startswith("cells"))
        # nothing is cut off: less is shown instead
        assert ("/16,384" in row) == (width >= 100)
        assert ("0.1%" in row) == (width < 100)


def test_a_reader_that_stops_early(net: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "hal", "info", "speck2f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.stderr.close()
    process.wait(60)
    assert "Traceback" not in errors
    assert "error" not in errors


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_keeps_what_was_recorded(net: Path, tmp_path: Path) -> None:
    out = tmp_path / "rec"
    arguments = [
        "run",
        net,
        "--device",
        "ideal",
        "--semantics",
        "sinabs",
        "--dt",
        "1us",
        "--duration",
        "1000s",
        "--out",
        out,
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "hal", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # tests started in the background of a shell inherit a Ctrl-C that is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 60
        while not out.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        text, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert text == ""
    assert "interrupted at" in errors
    assert str(out) in errors
    assert "Traceback" not in errors
    assert neurohal.read_recording(out).status == "interrupted"


LIMITED = """
    import resource, sys
    from hal import cli

    out, limited, *arguments = sys.argv[1:]
    # the first run compiles what is compiled, and writes that down where it can
    assert cli.run(["run", *arguments, "--out", out]) == 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
    sys.exit(cli.run(["run", *arguments, "--out", limited]))
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
@pytest.mark.parametrize("device", ["ideal", "speck2f"])
def test_a_run_that_fills_the_disk_keeps_the_beginning_and_says_so(tmp_path: Path, device: str) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "fc": nir.Linear(np.ones((30, 3), np.float32)),
        "cells": nir.IF(r=np.ones(30), v_threshold=np.ones(30)),
        "output": nir.Output({"output": np.array([30])}),
    }
    nir.write(tmp_path / "net.nir", nir.NIRGraph(nodes=nodes, edges=list(itertools.pairwise(nodes))))
    # 12 kB go in, thirty times as much comes out
    many = np.zeros(1000, [("t", "<i8"), ("x", "<i2")])
    many["t"], many["x"] = np.arange(1000) * 1000, np.arange(1000) % 3
    np.save(tmp_path / "many.npy", many)
    options = ("--device", device, "--semantics", "sinabs", "--dt", "1ms", "--input", tmp_path / "many.npy")
    folders = (tmp_path / "whole", tmp_path / "part")
    command = [sys.executable, "-c", textwrap.dedent(LIMITED), *folders, tmp_path / "net.nir", *options]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    said = re.search(r"File too large.*; (\d+) events in .*part are safe", " ".join(done.stderr.split()))
    assert said is not None, done.stderr
    whole, part = (neurohal.read_recording(folder) for folder in folders)
    assert (whole.status, part.status) == ("ok", "interrupted")
    assert whole.event_count("output") == 30_000
    assert int(said[1]) <= part.event_count() < whole.event_count()
    for node, spikes in part.spikes.items():
        assert spikes.tobytes() == whole.spikes[node][: len(spikes)].tobytes()
