"""Speed of the event-exact core of BrainScaleS-2 beside jaxsnn's, in one run: A B A B on the same arrays.

    python benchmarks/brainscales2.py [--jaxsnn-python PYTHON] [--repeat N] [--samples B] [--json]

event_ff_5_120_3: 5 input channels, 120 hidden and 3 output neurons, tau_mem 12 us, tau_syn 6 us, every neuron once (by
a reset far down), 24 us, five inputs a sample, yin-yang points; weights drawn at random. Ours is `Network.run_batch` in
one thread; the peer is jaxsnn's layers compiled by jax on the whole batch at once, in float32, as it comes, with
room for all events. The last column says how many spikes each found. Ours has to be 8 times as fast at least.

_refractory is the same with a refractory time longer than the run instead of the reset; _general the same by the way
that knows recurrence; no peer runs for these, they are beside the first.

Building and compiling are outside the timing. `peers/README.md` tells how to install the peer.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from child import Peer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from hal_emulators import cuba_layers
from hal_emulators.cuba import Network, Neurons, Synapses

TAU_MEM, TAU_SYN, UNTIL = 12e-6, 6e-6, 24e-6
HIDDEN, OUTPUT = 120, 3
ENOUGH = 8.0
"""Ours has to be so many times faster."""


def points(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Times and channels (n, 5), sorted: x, y, 1 - x, 1 - y and 0, of points uniform in the yin-yang disc, by 12 us.

    Drawn by fours of n in the unit square, those outside the disc of radius 0.5 left out (as the peer's figures).
    """
    random, inside = np.random.default_rng(seed), np.empty((0, 2))
    while len(inside) < n:
        drawn = random.random((4 * n, 2))
        inside = np.concatenate([inside, drawn[np.hypot(*(drawn - 0.5).T) < 0.5]])
    p = inside[:n]
    times = np.concatenate([p, 1 - p, np.zeros((n, 1))], axis=1) * 2 * TAU_SYN
    order = np.argsort(times, axis=1, kind="stable")
    return np.take_along_axis(times, order, 1), order.astype(np.int32)


def measure(python: str | None, repeat: int, samples: int) -> list[dict[str, Any]]:
    """One row for every way."""
    random = np.random.default_rng(1)
    w1, w2 = random.normal(2.0, 1.2, (5, HIDDEN)), random.normal(0.15, 0.3, (HIDDEN, OUTPUT))
    times, channels = points(samples, 0)
    synapses = Synapses.chain(w1, w2)
    constants = {"tau_mem": TAU_MEM, "tau_syn": TAU_SYN}
    far = Network(Neurons(size=HIDDEN + OUTPUT, v_reset=-1000.0, **constants), synapses)
    refractory = Network(Neurons(size=HIDDEN + OUTPUT, t_ref=np.inf, **constants), synapses)
    largest, cuba_layers._LARGEST = cuba_layers._LARGEST, 0
    general = Network(Neurons(size=HIDDEN + OUTPUT, v_reset=-1000.0, **constants), synapses)
    cuba_layers._LARGEST = largest
    name = f"event_ff_5_120_3_b{samples}"
    ways = {name: far, f"{name}_refractory": refractory, f"{name}_general": general}
    rows: list[dict[str, Any]] = []
    for which, net in ways.items():
        seen = net.run_batch(UNTIL, times, channels)
        hidden = int((seen.neuron < HIDDEN).sum())
        rows.append({"workload": which, "hidden": hidden, "output": seen.neuron.size - hidden, "took": []})
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "workload.npz"
        facts = {"tau_mem": TAU_MEM, "tau_syn": TAU_SYN, "until": UNTIL, "v_reset": -1000.0}
        np.savez(path, w1=w1, w2=w2, times=times, channels=channels, **facts)  # type: ignore[arg-type]
        peer = Peer(python, "jaxsnn_event.py", path) if python else None
        for _ in range(repeat):
            for row, net in zip(rows, ways.values(), strict=True):
                began = time.perf_counter()
                net.run_batch(UNTIL, times, channels)
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
    parser = argparse.ArgumentParser(description="Speed of the BrainScaleS-2 core beside jaxsnn's.")
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
