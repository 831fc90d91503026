"""How a mapped network agrees with the reference, layer by layer: the table of docs/chips/loihi.md.

    python docs/plots/loihi_agreement.py

The share of spikes in the same step (`hal.agreement`, window 0): against the model as it is given and against that with
the numbers that the chip computes with (`Mapping.realised_model`), latency taken off; and against the latter with a
step on every connection, as the chip has it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np

import hal
from hal.agreement import agreement

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
MS = 1_000_000
COLUMNS = (
    "network",
    "node",
    "as given",
    "realised",
    "and a step on every connection",
    "spikes",
    "reference, or the reason",
)


@attrs.frozen(kw_only=True, eq=False)
class Case:
    """A network, how it is meant, and what is fed in."""

    name: str
    model: Any
    raster: Any
    approximate: tuple[str, ...] = ()


def _events(name: str, n: int, steps: int) -> Any:
    """(steps, n) of the host spikes of a golden file; step t of the file is row t - 1."""
    raster = np.zeros((steps, n), np.int64)
    events = np.load(GOLDEN / "loihi" / f"{name}.npz")["in0_events"]
    np.add.at(raster, (events["t"] - 1, events["n"]), 1)
    return raster


def cases() -> Iterator[Case]:
    """The networks: two in integers of the chip, the neuron that was recorded on silicon, two published ones."""
    integers = hal.Semantics(profile="nir", dt_ns=MS)
    files = GOLDEN / "loihi"
    model = hal.read_model(files / "recurrent_256.nir", integers)
    yield Case(name="recurrent_256", model=model, raster=_events("recurrent_256", 32, 1000))
    model = hal.read_model(files / "conv_pop.nir", integers)
    images = _events("conv_pop", 288, 150).reshape(150, 12, 12, 2).transpose(0, 3, 1, 2)
    yield Case(name="conv_pop", model=model, raster=images)
    model = hal.read_model(files / "lif_norse.nir", hal.Semantics(profile="nir", dt_ns=100_000))
    yield Case(name="lif_norse", model=model, raster=np.load(files / "silicon_lif.npz")["input"].astype(int)[:, None])
    for name in ("paper_braille_bias_zero", "paper_braille_noBias_subtract"):
        path = GOLDEN / "nir" / f"{name}.nir"
        meant = json.loads(path.with_suffix(".semantics.json").read_text(encoding="utf-8"))
        with np.load(path.with_suffix(".npz")) as arrays:
            raster = arrays["in_input"].astype(int)
        model = hal.read_model(path, hal.Semantics(**meant))
        yield Case(name=name, model=model, raster=raster)
        if meant["spike_reset"] == "subtract":
            yield Case(name=name, model=model, raster=raster, approximate=("reset",))


def spikes(device: str, mapping: Any, case: Case) -> Any:
    """The recording of one run."""
    with hal.open(device) as chip:
        chip.load(mapping)
        (port,) = case.model.inputs
        return chip.run({port: case.raster}, len(case.raster) * mapping.step_ns)


def rows(case: Case) -> Iterator[tuple[str, ...]]:
    """A line for each population: name, node, the shares, spikes on the chip and in the reference; or the refusals."""
    name = f"{case.name}, `approximate={{{', '.join(case.approximate)}}}`" if case.approximate else case.name
    nodes = [node.name for node in case.model.populations() if node.spiking]
    options = {"approximate": set(case.approximate)} if case.approximate else {}
    mapper = hal.mapper("loihi")
    report = mapper.check(case.model, options)
    if not report.fits:
        for finding in report.refused:
            yield name, finding.node, "refused", "", "", "", f"{finding.field}: {finding.reason}"
        return
    mapping = mapper.map(case.model, options, record=nodes)
    mine = spikes("loihi", mapping, case)
    realised = mapping.realised_model()
    slow = attrs.evolve(realised.semantics, edge_delay=1)
    delayed = type(realised).of(dict(realised.nodes), realised.edges, slow)
    references = [
        spikes("ideal", hal.mapper("ideal").map(model, record=nodes), case) for model in (case.model, realised, delayed)
    ]
    for node in nodes:
        size, late = case.model.nodes[node].size, mapping.latency_ns.get(node, 0)
        made = mine.spikes[node]
        # a late layer has not shown the last steps of the reference when the run ends
        end = len(case.raster) * mapping.step_ns - late
        stored = [reference.spikes[node] for reference in references]
        pairs = [agreement(made, s[s["t"] < end], size, latency_ns=late) for s in stored[:2]]
        pairs.append(agreement(made, stored[2], size))
        yield name, node, *(f"{100 * p.share:.2f} %" for p in pairs), f"{made.size}", f"{pairs[0].reference}"


def main() -> None:
    """The command."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        print(f"| {' | '.join(COLUMNS)} |")
        print("|" + " --- |" * len(COLUMNS))
        for case in cases():
            for row in rows(case):
                print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
