"""What is needed and what became of numbers: rows, findings, losses, and weights as the chip has them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hal.fit import FitRow
from hal.mapping import Losses
from hal.model import Model
from hal.notes import Notes
from hal_brainscales2.allocator import Allocation
from hal_brainscales2.synapses import Part

UNITS: Final = {
    "circuits": "circuits",
    "synapse_rows": "rows",
    "drivers": "drivers",
    "fan_in": "rows",
    "labels": "labels",
    "row_selects": "drivers",
    "weight": "rows",
    "placement": "",
}


def rows(allocation: Allocation) -> list[FitRow]:
    """Of all that is counted, and of what is lacking."""
    hints = {(v.resource, v.where): "; ".join(v.helps) for v in allocation.violations}
    # drivers that are lacking for their rows are no violation of their own, but a row of the report
    short = {where for resource, where in hints if resource == "synapse_rows"}
    hints |= {("drivers", where): "fewer synapse_rows there: a driver has two" for where in short}
    told = {(u.resource, u.where) for u in allocation.usage}
    made = [
        FitRow(
            resource=u.resource,
            place=u.where,
            node=u.population,
            needed=u.needed,
            limit=u.available,
            unit=UNITS[u.resource],
            hint=hints.get((u.resource, u.where), ""),
        )
        for u in allocation.usage
    ]
    made += [
        FitRow(
            resource=v.resource,
            place=v.where,
            node="",
            needed=v.needed,
            limit=v.available,
            unit=UNITS[v.resource],
            hint="; ".join(v.helps),
        )
        for v in allocation.violations
        if (v.resource, v.where) not in told
    ]
    return made


def about(made: list[Part], notes: Notes) -> None:
    """Tell what quantisation did to each projection."""
    for part in made:
        gone = int(((part.hw == 0) & (part.wanted != 0)).sum())
        if gone:
            worst = float(np.abs(part.wanted[(part.hw == 0)]).max())
            notes.say("changed", part.name, "weight", f"weights too small for an integer became 0 ({gone})", worst, 0)
        clipped = int(np.count_nonzero(part.clipped))
        if clipped:
            worst = float(np.abs(part.wanted).max())
            limit = float(np.abs(part.hw).max())
            notes.say("changed", part.name, "weight", f"weights were clipped ({clipped})", worst, limit)
        size = float(np.sqrt((part.wanted**2).sum()))
        if size:
            error = float(np.sqrt(((part.hw / part.scale - part.wanted) ** 2).sum())) / size
            if error:
                told = f"rms error {100 * error:.2g} %"
                notes.say("note", part.name, "quantisation", "6-bit weights", "as given", told)


def losses(made: list[Part]) -> Losses:
    """Weights that became 0, were clipped, or are those of a neuron that multiplies its input by 0."""
    groups: list[Any] = []
    for part in made:
        if part.node is None:
            continue
        flat = np.ravel(part.node.weight).astype(np.float64)
        unused = part.target_cells.weight[part.target] == 0
        for reason, lost in (
            ("its neuron multiplies its input by 0", unused),
            ("rounded to 0", (part.hw == 0) & (part.wanted != 0)),
            ("clipped: rows run short", part.clipped),
        ):
            index, first = np.unique(part.weight[lost], return_index=True)
            groups.append((part.name, "weight", index, flat[index], _units(part)[lost][first], reason))
    return Losses.build(groups)


def realised(model: Model, made: list[Part]) -> dict[tuple[str, str], NDArray[Any]]:
    """Weights in the model's units; all else is as the model says, up to what a calibration reaches."""
    out: dict[tuple[str, str], NDArray[Any]] = {}
    for part in made:
        if part.node is None:
            continue
        values = out.setdefault((part.name, "weight"), np.ravel(part.node.weight).astype(np.float64))
        values[part.weight] = _units(part)
    for key in out:
        out[key] = out[key].reshape(model.nodes[key[0]].weight.shape)  # type: ignore[attr-defined]  # a node of a part has weights
    return out


def _units(part: Part) -> NDArray[np.float64]:
    """Integer weights in the model's units; 0 where a neuron multiplies its input by 0 and has no use for any."""
    unit = part.target_cells.weight[part.target]
    return np.divide(part.hw / part.scale, unit, out=np.zeros_like(unit), where=unit != 0)
