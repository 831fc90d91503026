"""Speed of the DYNAP-SE2 tools beside rockpool's, in one run: A B A B on the same arrays, one thread each.

    python benchmarks/dynapse2.py [--rockpool-python PYTHON] [--repeat N] [--only NAME] [--json]

sim64, sim1024_5pct: `DynapSim.run` of a simulator built just before, every spike kept, from a list of events; the peer
is its DynapSim.evolve, compiled once, from the same events already weighted. Both follow the same rule: whether all
counts of spikes are equal is said in the table. Building and compiling are outside the timing. A missing peer is a
missing result, and said so; `peers/README.md` tells how to install it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import attrs
import numpy as np
from child import Peer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from hal_emulators.dynapsim import DynapSim, Neurons, Synapses, events


@attrs.frozen(kw_only=True, eq=False)
class Row:
    """One line of the table: what both sides do, and how their answers are compared."""

    script: str
    """The peer's, in `peers`."""
    arrays: dict[str, NDArray[Any]]
    """What the peer is given."""
    prepare: Callable[[], Callable[[], dict[str, Any]]]
    """Builds ours; calling what it returns is what is timed."""
    facts: Callable[[dict[str, Any]], dict[str, Any]]
    """Of what a timed call returned: what is reported, and compared with the peer's answer."""
    agreement: Callable[[dict[str, Any], dict[str, Any]], str]
    """Of our facts and the peer's: one phrase."""


def network(
    n: int, n_in: int, k_rec: int, k_in: int, seed: int, in_scale: float, rec_scale: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights of inputs (n_in, n) and of neurons (n, n): so many connections end on every neuron.

    Sizes are uniform in 0.5..1.5 times the scale; one neuron in five is inhibitory. Draw order: who inhibits, then for
    every neuron the sizes of its inputs, the inputs, its sources, their sizes (as the peer's published figures).
    """
    random = np.random.default_rng(seed)
    w_in, w_rec = np.zeros((n_in, n), np.float32), np.zeros((n, n), np.float32)
    sign = np.where(random.random(n) < 0.2, -1, 1)
    for target in range(n):
        sizes = random.uniform(0.5, 1.5, k_in)
        w_in[random.choice(n_in, k_in, replace=False), target] = in_scale * sizes
        chosen = random.choice(n, k_rec, replace=False)
        w_rec[chosen, target] = rec_scale * random.uniform(0.5, 1.5, k_rec) * sign[chosen]
    return w_in, w_rec


def simulation(n: int, k_rec: int, seed: int, rec_scale: float) -> Row:
    """One second in steps of 1 ms: 64 inputs of 10 Hz, 8 of them to every neuron, default parameters."""
    steps, dt, n_in = 1000, 1e-3, 64
    w_in, w_rec = network(n, n_in, k_rec, 8, seed, 4.0, rec_scale)
    raster = np.random.default_rng(seed + 1).random((steps, n_in)) < 10.0 * dt
    neurons, rows = Neurons(Io=np.full(n, 5e-13)), (Synapses.from_dense(w_in), Synapses.from_dense(w_rec))
    given = events(raster)

    def prepare() -> Callable[[], dict[str, Any]]:
        made = DynapSim(neurons, *rows, dt_s=dt)
        return lambda: {"result": made.run(steps, *given)}

    def facts(answer: dict[str, Any]) -> dict[str, Any]:
        result = answer["result"]
        counts = np.zeros((steps, n), np.uint8)
        counts[result.spike_step, result.spike_index] = result.spike_count
        return {"spikes": int(result.spikes.sum()), "synops": result.synops, "digest": zlib.crc32(counts.tobytes())}

    def agreement(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
        if ours["digest"] == theirs["digest"]:
            return f"all counts equal, {ours['spikes']} spikes"
        return f"{ours['spikes']} spikes, peer {theirs['spikes']}"

    arrays: dict[str, NDArray[Any]] = {"weighted": raster.astype(np.float32) @ w_in, "w_rec": w_rec, "dt": np.array(dt)}
    return Row(script="rockpool_dynapsim.py", arrays=arrays, prepare=prepare, facts=facts, agreement=agreement)


ROWS: dict[str, Callable[[], Row]] = {
    "sim64": lambda: simulation(64, 3, 1234, 2.0),
    "sim1024_5pct": lambda: simulation(1024, 51, 4321, 0.2),
}


def measure(name: str, python: str | None, repeat: int) -> dict[str, Any]:
    """Ours and, where its Python is given, the peer's, in turn."""
    row = ROWS[name]()
    facts = row.facts(row.prepare()())  # compiled now
    out: dict[str, Any] = {"workload": name, **facts, "peer": None, "agreement": None, "peer_s": None}
    out |= {"ratio": None, "ratio_median": None}
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "workload.npz"
        np.savez(path, **row.arrays)  # type: ignore[arg-type]
        peer = Peer(python, row.script, path) if python else None
        for _ in range(repeat):
            run = row.prepare()
            began = time.perf_counter()
            run()
            ours.append(time.perf_counter() - began)
            if peer:
                answer = peer.run()
                theirs.append(answer["wall_s"])
                out |= {"peer": peer.name, "agreement": row.agreement(facts, answer)}
        if peer:
            peer.close()
    out["ours_s"], out["ours_median_s"] = min(ours), float(np.median(ours))
    if theirs:
        out |= {"peer_s": min(theirs), "peer_median_s": float(np.median(theirs)), "ratio": min(theirs) / min(ours)}
        out["ratio_median"] = float(np.median(theirs) / np.median(ours))
    return out


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Speed of the DYNAP-SE2 tools beside rockpool's.")
    parser.add_argument("--rockpool-python", help="Python of an environment with the pinned rockpool")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--only", choices=ROWS, action="append", help="this row; may be given again")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [measure(name, options.rockpool_python, options.repeat) for name in options.only or ROWS]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    table = Table("workload", "ours ms", "peer", "peer ms", "ratio (fastest)", "ratio (median)", "answers")
    for row in rows:
        peer = ["-"] * 5
        if row["peer"]:
            ratios = (f"{row[name]:.1f}" for name in ("ratio", "ratio_median"))
            peer = [row["peer"], f"{row['peer_s'] * 1e3:.2f}", *ratios, row["agreement"]]
        table.add_row(row["workload"], f"{row['ours_s'] * 1e3:.2f}", *peer)
    Console().print(table)
    if not options.rockpool_python:
        Console().print("no rockpool: give its Python; see benchmarks/peers/README.md")


if __name__ == "__main__":
    main()
