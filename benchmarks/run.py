"""Speed beside the peer, in one run: A B A B on the same arrays, one thread each, as a ratio.

    python benchmarks/run.py [--peer-python PYTHON | --make-environments DIR] [--only WORKLOAD ...] [--json]

Ours is `Device.run` on speck2f with every layer recorded; a second row is the bare emulator. The peer is sinabs'
clocked forward pass on 1 ms bins, which sums the events of a bin before one threshold test: it computes something
else, and is the only fast mode of it that runs without the vendor's library. Results are checked against the
event-driven totals in `test_kernels.py`. A missing peer is a missing result, and said so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import workloads
from rich.console import Console
from rich.table import Table

import hal
from hal import nodes
from hal.device import Device
from hal.semantics import Semantics

HERE = Path(__file__).parent
PINNED = (
    ["torch==2.13.0"],
    ["sinabs==3.1.3", "nir==1.0.4", "nirtorch==2.0.2", "torch==2.13.0", "scipy"],
)


def model(work: workloads.Workload) -> hal.Model:
    """The workload as a NIR model with the rules of the recipe."""
    shape: tuple[int, ...] = work.layers[0].in_shape
    made: dict[str, nodes.Node] = {"input": nodes.Input(name="input", input_shape=shape, output_shape=shape)}
    overrides = {}
    for n, layer in enumerate(work.layers):
        conv: dict[str, Any] = {"name": f"conv{n}", "input_shape": layer.in_shape, "output_shape": layer.out_shape}
        pad = (layer.padding, layer.padding)
        made[f"conv{n}"] = nodes.Conv2d(
            **conv,
            weight=layer.weights.astype(np.float32),
            bias=np.zeros(len(layer.weights), np.float32),
            stride=(layer.stride, layer.stride),
            padding=(pad, pad),
            dilation=(1, 1),
            groups=1,
        )
        shape = layer.out_shape
        made[f"if{n}"] = nodes.IF(
            name=f"if{n}",
            input_shape=shape,
            output_shape=shape,
            r=np.ones(shape, np.float32),
            v_threshold=np.full(shape, layer.threshold, np.float32),
            v_reset=np.zeros(shape, np.float32),
        )
        overrides[f"if{n}"] = {"v_min": -layer.threshold}
        if layer.pooling > 1:
            k = (layer.pooling, layer.pooling)
            pooled = (shape[0], shape[1] // layer.pooling, shape[2] // layer.pooling)
            made[f"pool{n}"] = nodes.SumPool2d(
                name=f"pool{n}", input_shape=shape, output_shape=pooled, kernel_size=k, stride=k, padding=(0, 0)
            )
            shape = pooled
    made["output"] = nodes.Output(name="output", input_shape=shape, output_shape=shape)
    names = list(made)
    semantics = Semantics(profile="sinabs", spikes_per_step="one", spike_reset="subtract", overrides=overrides)
    return hal.Model.of(made, pairwise(names), semantics)


class Ours:
    """`Device.run` with recording of every layer, untimed as the peer is and timed as by default; the bare emulator."""

    def __init__(self, work: workloads.Workload) -> None:
        net = model(work)
        record = [node.name for node in net.populations() if node.spiking]
        self.mapping = hal.mapper("speck2f").map(net, record=record)
        self.untimed, self.timed = hal.open("speck2f", rate=None), hal.open("speck2f")
        for device in (self.untimed, self.timed):
            device.load(self.mapping)
        self.stimulus = {"input": hal.events(work.t * 1000, work.index)}
        self.duration_ns = work.duration_us * 1000
        self.chain = work.chain()
        self.t, self.index = work.t, work.index

    def run(self, device: Device) -> tuple[float, hal.Recording]:
        """Wall seconds of one run, and its recording."""
        device.reset()
        began = time.perf_counter()
        recording = device.run(self.stimulus, self.duration_ns)
        return time.perf_counter() - began, recording

    def bare(self) -> float:
        """Wall seconds of the emulator alone."""
        self.chain.reset()
        began = time.perf_counter()
        self.chain.run(self.t, self.index)
        return time.perf_counter() - began


class Peer:
    """A child process that does one forward pass per line."""

    def __init__(self, python: str, work: workloads.Workload, folder: Path) -> None:
        path = folder / "workload.npz"
        facts = {
            "shape": work.layers[0].in_shape,
            "duration_us": work.duration_us,
            "layers": [
                {
                    "stride": layer.stride,
                    "padding": layer.padding,
                    "pooling": layer.pooling,
                    "threshold_high": layer.threshold,
                    "threshold_low": -layer.threshold,
                }
                for layer in work.layers
            ],
        }
        weights = {f"weights{n}": layer.weights for n, layer in enumerate(work.layers)}
        np.savez(path, t_us=work.t, index=work.index, facts=json.dumps(facts), **weights)  # type: ignore[arg-type]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        command = [python, str(HERE / "peers" / "sinabs_forward.py"), str(path)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.facts = self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer ended with exit code {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def run(self) -> float:
        """Wall seconds of one forward pass."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        wall: float = self._read()["wall_s"]
        return wall

    def close(self) -> None:
        """End the child."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()


def measure(name: str, python: str | None, repeat: int) -> list[dict[str, Any]]:
    """Rows of one workload: Device.run in both modes and the bare emulator, against the peer in turn."""
    work = workloads.workload(name)
    ours = Ours(work)
    ours.run(ours.untimed), ours.run(ours.timed), ours.bare()
    untimed, timed, bare, peer = [], [], [], []
    synops = spikes = 0
    with tempfile.TemporaryDirectory() as folder:
        other = Peer(python, work, Path(folder)) if python else None
        if other:
            other.run()
        for _ in range(repeat):
            timed.append(ours.run(ours.timed)[0])
            seconds, recording = ours.run(ours.untimed)
            untimed.append(seconds)
            bare.append(ours.bare())
            if other:
                peer.append(other.run())
        if other:
            other.close()
    synops = int(recording.stats["synops"].sum())
    spikes = [recording.event_count(node) for node in recording.shapes if node != "output"]  # type: ignore[assignment]
    rows = []
    modes = (("run, rate=None", untimed), ("run, default", timed), ("emulator", bare))
    for what, times in modes:
        row = {
            "workload": name,
            "ours": what,
            "events": len(work.t),
            "synops": synops,
            "spikes": spikes,
            "ours_s": min(times),
            "synops_per_s": synops / min(times),
            "peer": f"sinabs {other.facts['version']}, 1 ms bins" if other else None,
            "peer_s": min(peer) if peer else None,
            "ratio": min(peer) / min(times) if peer else None,
            "ratio_median": float(np.median(peer) / np.median(times)) if peer else None,
        }
        rows.append(row)
    return rows


def make_environment(folder: Path) -> str:
    """A virtual environment with the pinned peer; returns its Python."""
    python = folder / "sinabs" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / "sinabs")], check=True)
        for line in PINNED:
            subprocess.run([str(python), "-m", "pip", "install", "-q", *line], check=True)
        subprocess.run([str(python), "-m", "pip", "uninstall", "-q", "-y", "samna"], check=True)
    return str(python)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Speed beside the peer.")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--peer-python", help="Python of an environment with the pinned peer")
    where.add_argument("--make-environments", type=Path, metavar="DIR", help="make it there, or use what is there")
    parser.add_argument("--only", nargs="+", choices=workloads.NAMES, default=list(workloads.NAMES))
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    python = make_environment(options.make_environments) if options.make_environments else options.peer_python
    rows = [row for name in options.only for row in measure(name, python, options.repeat)]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    table = Table("workload", "ours", "ours ms", "synops/s", "peer ms", "ratio (fastest)", "ratio (median)")
    for row in rows:
        peer = (
            [f"{row['peer_s'] * 1e3:.1f}", f"{row['ratio']:.0f}", f"{row['ratio_median']:.0f}"] if python else ["-"] * 3
        )
        table.add_row(
            row["workload"], row["ours"], f"{row['ours_s'] * 1e3:.2f}", f"{row['synops_per_s'] / 1e9:.2f} G", *peer
        )
    Console().print(table)
    if not python:
        Console().print("no peer: give --peer-python or --make-environments; see benchmarks/peers/README.md")


if __name__ == "__main__":
    main()
