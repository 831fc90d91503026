from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import nir
import numpy as np
import pytest

from hal import cli

GOLDEN = Path(__file__).parents[1] / "golden"


@attrs.frozen
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def flat(self) -> str:
        """Both streams with white space squeezed, so that a wrapped line still matches."""
        return " ".join(f"{self.out} {self.err}".split())


Hal = Callable[..., Outcome]


@pytest.fixture
def hal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Hal:
    """The command line in this process, from arguments to exit code."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("HAL_DEBUG", raising=False)

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = cli.run([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture
def child() -> Hal:
    """The command line in a process of its own, with pipes for streams."""

    def call(*arguments: object, **env: str) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-m", "hal", *map(str, arguments)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**{k: v for k, v in os.environ.items() if k != "COLUMNS"}, **env},
            timeout=120,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def golden() -> Path:
    return GOLDEN


def write(path: Path, nodes: dict[str, Any], edges: list[tuple[str, str]] | None = None) -> Path:
    names = list(nodes)
    graph = nir.NIRGraph(nodes=nodes, edges=edges or list(itertools.pairwise(names)))
    nir.write(path, graph)
    return path


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """Three inputs, each wired to one IF neuron that fires at every event."""
    return write(
        tmp_path / "net.nir",
        {
            "input": nir.Input({"input": np.array([3])}),
            "fc": nir.Linear(np.eye(3, dtype=np.float32)),
            "cells": nir.IF(r=np.ones(3), v_threshold=np.ones(3)),
            "output": nir.Output({"output": np.array([3])}),
        },
    )


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    """LIF neurons, which a chip of IF neurons refuses."""
    return write(
        tmp_path / "leaky.nir",
        {
            "input": nir.Input({"input": np.array([3])}),
            "fc": nir.Linear(np.eye(3, dtype=np.float32)),
            "cells": nir.LIF(tau=np.full(3, 20.0), r=np.ones(3), v_leak=np.zeros(3), v_threshold=np.ones(3)),
            "output": nir.Output({"output": np.array([3])}),
        },
    )


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A dense layer whose weights exceed every kernel memory: 512 x 512 words."""
    return write(
        tmp_path / "wide.nir",
        {
            "input": nir.Input({"input": np.array([512])}),
            "fc": nir.Linear(np.ones((512, 512), np.float32)),
            "cells": nir.IF(r=np.ones(512), v_threshold=np.ones(512)),
            "output": nir.Output({"output": np.array([512])}),
        },
    )


@pytest.fixture
def readout(tmp_path: Path) -> Path:
    """Spikes into a leaky integrator: an Output that gives values."""
    return write(
        tmp_path / "readout.nir",
        {
            "input": nir.Input({"input": np.array([2])}),
            "fc": nir.Linear(np.eye(2, dtype=np.float32)),
            "cells": nir.IF(r=np.ones(2), v_threshold=np.ones(2)),
            "weights": nir.Linear(np.eye(2, dtype=np.float32)),
            "values": nir.LI(tau=np.full(2, 5.0), r=np.ones(2), v_leak=np.zeros(2)),
            "output": nir.Output({"output": np.array([2])}),
        },
    )


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Five events in microseconds, the last at 2.5 ms: once input 0, once 1, three times 2."""
    array = np.zeros(5, [("t", "<i8"), ("x", "<i2")])
    array["t"] = [0, 100, 1200, 2000, 2500]
    array["x"] = [0, 2, 1, 2, 2]
    np.save(tmp_path / "events.npy", array)
    return tmp_path / "events.npy"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A name that would colour the terminal, and another that a table would read as markup."""
    return write(
        tmp_path / "hostile.nir",
        {
            "input": nir.Input({"input": np.array([3])}),
            "fc": nir.Linear(np.eye(3, dtype=np.float32)),
            "cells\x1b[31m[bold]": nir.IF(r=np.ones(3), v_threshold=np.ones(3)),
            "output": nir.Output({"output": np.array([3])}),
        },
    )
