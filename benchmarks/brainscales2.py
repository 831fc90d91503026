"""Speed of BrainScaleS-2's emulator beside jaxsnn's, in one run: A B A B on the same arrays.

    python benchmarks/brainscales2.py [--jaxsnn-python PYTHON] [--repeat N] [--samples B] [--json]

event_ff_5_120_3: 5 input channels, 120 hidden and 3 output neurons, tau_mem 12 us, tau_syn 6 us, every neuron once (on
the chip by a refractory period, for the peer by a reset far down), 24 us, five inputs a sample, yin-yang points on a
grid of 1 ns; weights drawn at random, in 58ths as the chip has them. Ours is `Device.run_batch` on brainscales2, preset
ideal, with the spikes of both layers recorded and all counters, in one thread; the peer is jaxsnn's layers compiled by
jax on the whole batch at once, in float32, as it comes, with room for all events. The last column says how many spikes
each found: of neurons that fire at the same instant the peer keeps one. Ours has to be 8 times as fast at least.

_chip is the same with preset chip: membranes have bounds, and events a grid. _core is `Network.run_batch` without
mapper and device; _general the same by the way that knows recurrence; no peer runs for these, they are beside the
first.

Mapping, building and compiling are outside the timing. `peers/README.md` tells how to install the peer.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from child import Peer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import hal
from hal import nodes
from hal.model import Model
from hal_emulators import cuba_layers
from hal_emulators.cuba import Network, Neurons, Synapses

TAU_MEM, TAU_SYN, UNTIL = 12e-6, 6e-6, 24e-6
HIDDEN, OUTPUT = 120, 3
SCALE, LARGEST = 58.0, 8 * 63
ENOUGH = 8.0
"""Ours has to be so many times faster."""


def points(n: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Times (ns) and channels (n, 5), sorted: x, y, 1 - x, 1 - y and 0, of points in the yin-yang disc, by 12 us.

    Drawn by fours of n in the unit square, those outside the disc of radius 0.5 left out (as the peer's figures).
    """
    random, inside = np.random.default_rng(seed), np.empty((0, 2))
    while len(inside) < n:
        drawn = random.random((4 * n, 2))
        inside = np.concatenate([inside, drawn[np.hypot(*(drawn - 0.5).T) < 0.5]])
    p = inside[:n]
    times = np.concatenate([p, 1 - p, np.zeros((n, 1))], axis=1) * 2 * TAU_SYN
    order = np.argsort(times, axis=1, kind="stable")
    ns = np.rint(np.take_along_axis(times, order, 1) * 1e9).astype(np.int64)
    return ns, order.astype(np.int32)


def chip(w1: NDArray[np.float64], w2: NDArray[np.float64], preset: str) -> Any:
    """The device, loaded with the network."""
    ones, named = np.ones, {}
    for name, weight in (("fc1", w1), ("fc2", w2)):
        size = weight.shape[1]
        named[name] = nodes.Linear(name=name, input_shape=weight.shape[:1], output_shape=(size,), weight=weight.T)
        cells = "hidden" if name == "fc1" else "out"
        named[cells] = nodes.CubaLIF(
            name=cells, input_shape=(size,), output_shape=(size,), tau_mem=TAU_MEM * ones(size),
            tau_syn=TAU_SYN * ones(size), r=ones(size), v_leak=0 * ones(size), v_threshold=ones(size),
            v_reset=0 * ones(size), w_in=TAU_SYN * ones(size),
        )  # fmt: skip
    start = nodes.Input(name="input", input_shape=(5,), output_shape=(5,))
    end = nodes.Output(name="output", input_shape=(OUTPUT,), output_shape=(OUTPUT,))
    everything = {"input": start, **named, "output": end}
    model = Model.of(everything, list(pairwise(everything)), hal.Semantics(profile="nir"))
    once = {"speedup": 1.0, "scale": SCALE, "refractory_s": {"hidden": 30e-6, "out": 30e-6}}
    device = hal.open("brainscales2", preset=preset)
    device.load(hal.mapper("brainscales2").map(model, once, record=["hidden"]))
    return device


def measure(python: str | None, repeat: int, samples: int) -> list[dict[str, Any]]:
    """One row for every way."""
    random = np.random.default_rng(1)
    w1, w2 = (
        np.clip(np.rint(w * SCALE), -LARGEST, LARGEST) / SCALE
        for w in (random.normal(2.0, 1.2, (5, HIDDEN)), random.normal(0.15, 0.3, (HIDDEN, OUTPUT)))
    )
    times_ns, channels = points(samples, 0)
    times = times_ns * 1e-9
    synapses = Synapses.chain(w1, w2)
    neurons = Neurons(size=HIDDEN + OUTPUT, tau_mem=TAU_MEM, tau_syn=TAU_SYN, t_ref=np.inf)
    core = Network(neurons, synapses)
    largest, cuba_layers._LARGEST = cuba_layers._LARGEST, 0
    general = Network(neurons, synapses)
    cuba_layers._LARGEST = largest
    ideal, real = (chip(w1, w2, preset) for preset in ("ideal", "chip"))
    batch = hal.EventBatch(hal.events(times_ns.ravel(), channels.ravel()), np.arange(samples + 1) * 5)
    name, until_ns = f"event_ff_5_120_3_b{samples}", round(UNTIL * 1e9)
    ways: dict[str, Any] = {
        name: lambda: ideal.run_batch({"input": batch}, until_ns),
        f"{name}_chip": lambda: real.run_batch({"input": batch}, until_ns),
        f"{name}_core": lambda: core.run_batch(UNTIL, times, channels),
        f"{name}_general": lambda: general.run_batch(UNTIL, times, channels),
    }
    rows: list[dict[str, Any]] = []
    for which, run in ways.items():
        seen = run()
        if which in (name, f"{name}_chip"):
            found = {key: len(seen.spikes[key].events) for key in ("hidden", "output")}
        else:
            found = {"hidden": int((seen.neuron < HIDDEN).sum()), "output": int((seen.neuron >= HIDDEN).sum())}
        rows.append({"workload": which, **found, "took": []})
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "workload.npz"
        facts = {"tau_mem": TAU_MEM, "tau_syn": TAU_SYN, "until": UNTIL, "v_reset": -1000.0}
        np.savez(path, w1=w1, w2=w2, times=times, channels=channels, **facts)  # type: ignore[arg-type]
        peer = Peer(python, "jaxsnn_event.py", path) if python else None
        for _ in range(repeat):
            for row, run in zip(rows, ways.values(), strict=True):
                began = time.perf_counter()
                run()
                row["took"].append(time.perf_counter() - began)
            if peer:
                theirs.append(float(peer.run()["wall_s"]))
        if peer:
            rows[0] |= {"peer": peer.name, "peer_hidden": peer.last["hidden"], "peer_output": peer.last["output"]}
            peer.close()
    for row in rows:
        took = row.pop("took")
        row |= {"ours_s": min(took), "ours_median_s": float(np.median(took)), "per_s": samples / float(np.median(took))}
    if theirs:
        ours = rows[0]
        ours |= {"peer_s": min(theirs), "peer_median_s": float(np.median(theirs))}
        ours |= {"ratio": min(theirs) / ours["ours_s"], "ratio_median": ours["peer_median_s"] / ours["ours_median_s"]}
    return rows


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Speed of the BrainScaleS-2 emulator beside jaxsnn's.")
    parser.add_argument("--jaxsnn-python", help="Python of an environment with the pinned jaxsnn")
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options.jaxsnn_python, options.repeat, options.samples)
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    table = Table("workload", "ours ms", "per s", "peer", "peer ms", "ratio (fastest)", "ratio (median)", "spikes")
    for row in rows:
        peer, spikes = ["-"] * 4, f"{row['hidden']} + {row['output']}"
        if "peer" in row:
            peer = [row["peer"], f"{row['peer_s'] * 1e3:.1f}", f"{row['ratio']:.1f}", f"{row['ratio_median']:.1f}"]
            spikes += f", peer {row['peer_hidden']} + {row['peer_output']}"
        table.add_row(row["workload"], f"{row['ours_s'] * 1e3:.2f}", f"{row['per_s']:.0f}", *peer, spikes)
    Console().print(table)
    if not options.jaxsnn_python:
        Console().print("no jaxsnn: give its Python; see benchmarks/peers/README.md")
    elif rows[0]["ratio_median"] < ENOUGH:
        Console().print(f"less than {ENOUGH:g} times as fast as the peer")


if __name__ == "__main__":
    main()
