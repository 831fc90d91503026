"""Parameter sets: which neurons may share a core, since every bias of the chip is one per core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.notes import Notes
from hal_dynapse2.cells import Cells

Float = NDArray[np.float64]

EQUAL: Final = 1e-9
"""Relative difference below which two numbers are one: above what sums of 64 bits lose."""
FIELDS: Final = ("tau_mem", "tau_syn", "refractory", "drive")


@attrs.frozen(kw_only=True)
class ParameterSet:
    """What a core is set to. drive: of neurons whose direct current is on; 0 where no neuron has one."""

    tau_mem: float
    tau_syn: float
    refractory: float
    drive: float


def group(cells: Sequence[Cells], tolerance: float, notes: Notes) -> tuple[list[ParameterSet], NDArray[np.int64]]:
    """The sets, in the order of their first neurons, and (n,) which of them each neuron is of.

    A neuron joins the first set none of whose values is further off than `tolerance` allows; what it loses by that is
    a finding. Neurons without a drive go with any: a switch of their own turns it off.
    """
    table = np.stack([np.concatenate([getattr(c, field) for c in cells]) for field in FIELDS], axis=1)
    distinct, first, inverse = np.unique(table, axis=0, return_index=True, return_inverse=True)
    member = np.zeros(len(distinct), np.int64)
    sets: list[list[float]] = []
    for k in np.argsort(first):
        values = distinct[k]
        found = next((s for s, other in enumerate(sets) if _near(values, other, tolerance)), len(sets))
        if found == len(sets):
            sets.append(values.tolist())
        sets[found][3] = sets[found][3] or float(values[3])
        member[k] = found
    made = [ParameterSet(**dict(zip(FIELDS, values, strict=True))) for values in sets]
    of = member[inverse.ravel()]
    start = 0
    for c in cells:
        _tell(c, made, of[start : start + c.size], notes)
        start += c.size
    return made, of


def _near(values: Float, other: Sequence[float], tolerance: float) -> bool:
    allowed = max(tolerance, EQUAL)
    for field, value, set_to in zip(FIELDS, values.tolist(), other, strict=True):
        if field == "drive" and (value == 0 or set_to == 0):
            continue
        if abs(value - set_to) > allowed * set_to:
            return False
    return True


def _tell(cells: Cells, sets: list[ParameterSet], of: NDArray[np.int64], notes: Notes) -> None:
    for field in FIELDS:
        wanted = getattr(cells, field)
        realised = np.array([getattr(s, field) for s in sets])[of]
        off = np.abs(wanted - realised) > EQUAL * realised
        off &= (wanted != 0) | (field != "drive")
        if off.any():
            worst = int(np.argmax(np.abs(wanted - realised) * off))
            reason = f"neurons share cores within the tolerance that was given ({int(off.sum())})"
            notes.say("changed", cells.name, field, reason, f"{wanted[worst]:g}", f"{realised[worst]:g}")
