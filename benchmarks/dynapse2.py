"""Speed of the DYNAP-SE2 tools beside rockpool's, in one run: A B A B on the same arrays, one thread each.

    python benchmarks/dynapse2.py [--rockpool-python PYTHON] [--repeat N] [--only NAME] [--long] [--json]

sim64, sim1024_5pct: `DynapSim.run` of a simulator built just before, every spike kept, from a list of events; the peer
is its DynapSim.evolve, compiled once, from the same events already weighted. Both follow the same rule: whether all
counts of spikes are equal is said in the table.

alloc256, alloc960: CAM, SRAM and host destinations of the same codes; the peer is its WeightAllocator.

quant256 (quant1024 with --long): base currents and masks, ours rounded to the bias generator; the peer is its
autoencoder_quantization as it comes, which does not round. The error is that of the weights.

map1024: all of `Mapper.map`, which the peer refuses. chip64: one second of the chip-like emulator on the network of
sim64; no peer does that.

Building and compiling are outside the timing. A missing peer is a missing result, and said so; `peers/README.md` tells
how to install it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from child import Peer
from dynapse2_rows import LONG, ROWS, Row
from rich.console import Console
from rich.table import Table

ENOUGH_S = 0.05
"""A side whose run is shorter has several in its turn."""


def measure(name: str, python: str | None, repeat: int) -> dict[str, Any]:
    """Ours and, where there is one and its Python is given, the peer's, in turn."""
    row = (ROWS | LONG)[name]()
    facts = row.facts(row.prepare()())  # compiled now
    out: dict[str, Any] = {"workload": name, **facts, "has_peer": bool(row.script), "peer": None, "peer_s": None}
    out |= {"answers": row.agreement(facts, {}), "ratio": None, "ratio_median": None}
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "workload.npz"
        np.savez(path, **row.arrays)  # type: ignore[arg-type]
        peer = Peer(python, row.script, path) if python and row.script else None
        for turn in range(repeat):
            ours.append(_often(lambda: _timed(row)))
            if peer and (row.repeat is None or turn < row.repeat):
                theirs.append(_often(lambda: float(peer.run()["wall_s"])))
        if peer:
            out |= {"peer": peer.name, "answers": row.agreement(facts, peer.last)}
            peer.close()
    out["ours_s"], out["ours_median_s"] = min(ours), float(np.median(ours))
    if theirs:
        out |= {"peer_s": min(theirs), "peer_median_s": float(np.median(theirs)), "ratio": min(theirs) / min(ours)}
        out["ratio_median"] = float(np.median(theirs) / np.median(ours))
    return out


def _often(once: Callable[[], float]) -> float:
    """The median of runs of one side, as many as fit in ENOUGH_S."""
    took = [once()]
    while sum(took) < ENOUGH_S:
        took.append(once())
    return float(np.median(took))


def _timed(row: Row) -> float:
    run = row.prepare()
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Speed of the DYNAP-SE2 tools beside rockpool's.")
    parser.add_argument("--rockpool-python", help="Python of an environment with the pinned rockpool")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--only", choices=ROWS | LONG, action="append", help="this row; may be given again")
    parser.add_argument("--long", action="store_true", help="also rows for which the peer needs many minutes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    names = options.only or [*ROWS, *(LONG if options.long else [])]
    rows = [measure(name, options.rockpool_python, options.repeat) for name in names]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    table = Table("workload", "ours ms", "peer", "peer ms", "ratio (fastest)", "ratio (median)", "answers")
    for row in rows:
        peer = ["-" if row["has_peer"] else "none does that", "-", "-", "-"]
        if row["peer"]:
            ratios = (f"{row[name]:.1f}" for name in ("ratio", "ratio_median"))
            peer = [row["peer"], f"{row['peer_s'] * 1e3:.2f}", *ratios]
        table.add_row(row["workload"], f"{row['ours_s'] * 1e3:.2f}", *peer, row["answers"])
    Console().print(table)
    if not options.rockpool_python:
        Console().print("no rockpool: give its Python; see benchmarks/peers/README.md")


if __name__ == "__main__":
    main()
