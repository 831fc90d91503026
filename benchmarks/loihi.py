"""Speed of the Loihi emulator beside its peers, in one run: A B C A B C on the same arrays, one thread each.

    python benchmarks/loihi.py [--nengo-python PYTHON] [--brian2-python PYTHON] [--repeat N] [--json]

Ours is `Board.run` of a new board with all spikes kept. The peers, nengo-loihi's emulator and brian2-loihi (compiled;
the recurrent workload only), follow the same rule, and the number of spikes is checked to be the same. Building and
compiling are outside the timing. A missing peer is a missing result, and said so; `peers/README.md` tells how to
install them.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import attrs
import numpy as np
from child import Peer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from hal_emulators.loihi import Board, Compartments, Synapses

V_LIMIT = 2**23 - 1


@attrs.frozen(kw_only=True, eq=False)
class Workload:
    """Blocks of equal size, fed by block 0's inputs; mantissas (sources, targets) per connection, weight = 64 times."""

    size: int
    blocks: int
    connections: list[tuple[int, int, NDArray[np.int32]]]
    """(source block or -1 for the inputs, target block, mantissas)"""
    spikes: NDArray[np.bool_]
    """(steps, inputs)"""
    decay_u: int
    decay_v: int
    threshold: int
    """Mantissa: times 64."""

    def board(self) -> Board:
        """The network as the emulator takes it, a core per block."""
        n_inputs = self.spikes.shape[1]
        lists = []
        for source, target, mantissas in self.connections:
            pre, post = np.nonzero(mantissas)
            first = 0 if source < 0 else n_inputs + source * self.size
            lists.append((pre + first, post + target * self.size, mantissas[pre, post] * 64))
        pre, post, weight = (np.concatenate(each) for each in zip(*lists, strict=True))
        total = self.size * self.blocks
        compartments = Compartments(
            decay_u=self.decay_u,
            decay_v=self.decay_v,
            vth=np.full(total, self.threshold * 64),
            bias=0,
            refract=1,
            vmin=-V_LIMIT,
            vmax=V_LIMIT,
        )
        core = np.repeat(np.arange(self.blocks), self.size)
        return Board(compartments, Synapses.from_lists(n_inputs + total, pre, post, weight), n_inputs, core=core)

    def save(self, path: Path) -> None:
        """For the children."""
        arrays = {f"mantissas{n}": mantissas for n, (_, _, mantissas) in enumerate(self.connections)}
        facts = {name: getattr(self, name) for name in ("size", "blocks", "decay_u", "decay_v", "threshold")}
        facts["connections"] = [connection[:2] for connection in self.connections]
        np.savez(path, spikes=self.spikes, facts=json.dumps(facts), **arrays)  # type: ignore[arg-type]


def _mantissas(random: np.random.RandomState, shape: tuple[int, int], density: float, low: int, high: int) -> Any:
    """Even numbers low..high at random places. RandomState, as the peers' published figures are of these very nets."""
    out = np.zeros(shape, np.int32)
    chosen = random.rand(*shape) < density
    out[chosen] = 2 * random.randint(low // 2, high // 2 + 1, size=np.count_nonzero(chosen))
    return out


def recurrent() -> Workload:
    """1024 compartments, a tenth of all recurrent synapses, 64 inputs, 200 steps; about 11 % spike in a step."""
    random = np.random.RandomState(500)
    inner = _mantissas(random, (1024, 1024), 0.1, -24, 20)
    outer = _mantissas(random, (64, 1024), 0.2, 0, 120)
    spikes = random.rand(200, 64) < 0.1
    connections = [(-1, 0, outer), (0, 0, inner)]
    return Workload(
        size=1024, blocks=1, connections=connections, spikes=spikes, decay_u=1024, decay_v=128, threshold=1500
    )


def chain() -> Workload:
    """16 full cores in a row, 5 % of all synapses from one to the next, 1024 inputs, 60 steps."""
    random = np.random.RandomState(501)
    connections = [(k - 1, k, _mantissas(random, (1024, 1024), 0.05, -20, 38)) for k in range(16)]
    spikes = random.rand(60, 1024) < 0.1
    return Workload(
        size=1024, blocks=16, connections=connections, spikes=spikes, decay_u=2047, decay_v=256, threshold=600
    )


WORKLOADS = {"recurrent 1024": recurrent, "chain 16 x 1024": chain}


def timed(peer: Peer, spikes: int) -> float:
    """Wall seconds of one run of a peer, which must end with so many spikes."""
    answer = peer.run()
    if answer["spikes"] != spikes:
        raise RuntimeError(f"{peer.name} has {answer['spikes']} spikes, ours {spikes}")
    wall: float = answer["wall_s"]
    return wall


def measure(name: str, scripts: dict[str, str], repeat: int) -> list[dict[str, Any]]:
    """A row per peer, or one without; `scripts` gives the Python for each script."""
    work = WORKLOADS[name]()
    board = work.board()
    when, source = np.nonzero(work.spikes)
    steps = len(work.spikes)
    result = board.run(steps, when, source)
    spikes, ours = result.spike_index.size, []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "workload.npz"
        work.save(path)
        peers = [Peer(python, script, path) for script, python in scripts.items()]
        theirs: list[list[float]] = [[] for _ in peers]
        for _ in range(repeat):
            board = work.board()  # as the peers do: built just before
            began = time.perf_counter()
            board.run(steps, when, source)
            ours.append(time.perf_counter() - began)
            for peer, times in zip(peers, theirs, strict=True):
                times.append(timed(peer, spikes))
        for peer in peers:
            peer.close()
    row = {"workload": name, "steps": steps, "synops": int(result.synops.sum()), "spikes": spikes, "ours_s": min(ours)}
    row["synops_per_s"] = row["synops"] / min(ours)
    row |= {"peer": None, "peer_s": None, "ratio": None, "ratio_median": None}
    measured = [
        {
            "peer": peer.name,
            "peer_s": min(times),
            "ratio": min(times) / min(ours),
            "ratio_median": float(np.median(times) / np.median(ours)),
        }
        for peer, times in zip(peers, theirs, strict=True)
    ]
    return [row | each for each in measured] or [row]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Speed of the Loihi emulator beside its peers.")
    parser.add_argument("--nengo-python", help="Python of an environment with the pinned nengo-loihi")
    parser.add_argument("--brian2-python", help="Python of an environment with the pinned brian2-loihi")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for name in WORKLOADS:
        scripts = {"nengo_loihi_run.py": options.nengo_python}
        if name == "recurrent 1024":
            scripts["brian2_loihi_run.py"] = options.brian2_python
        rows += measure(name, {script: python for script, python in scripts.items() if python}, options.repeat)
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    table = Table("workload", "ours ms", "synops/s", "peer", "peer ms", "ratio (fastest)", "ratio (median)")
    for row in rows:
        peer = ["-"] * 4
        if row["peer"]:
            peer = [row["peer"], f"{row['peer_s'] * 1e3:.1f}", f"{row['ratio']:.0f}", f"{row['ratio_median']:.0f}"]
        table.add_row(row["workload"], f"{row['ours_s'] * 1e3:.2f}", f"{row['synops_per_s'] / 1e9:.2f} G", *peer)
    Console().print(table)
    for peer_name, python in (("nengo-loihi", options.nengo_python), ("brian2-loihi", options.brian2_python)):
        if not python:
            Console().print(f"no {peer_name}: give its Python; see benchmarks/peers/README.md")


if __name__ == "__main__":
    main()
