"""What is needed of what there is: rows of the report, and refusals that have no row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hal.fit import FitRow
from hal.notes import Notes
from hal_dynapse2.allocator import Allocation, FanIn, FanOut, FarHop
from hal_dynapse2.cells import Cells
from hal_dynapse2.limits import CAM_ENTRIES, CORES, NEURONS, SRAM_ENTRIES, TAGS
from hal_dynapse2.options import Dynapse2Profile
from hal_dynapse2.packing import Packing, Places

Ints = NDArray[np.int64]

MOST = 64
"""Neurons with too many connections that are told one by one, for each population; the others are counted."""


def core_name(number: int) -> str:
    """A core over all chips."""
    return f"chip {number // CORES}, core {number % CORES}"


def who(cells: Sequence[Cells], neuron: int) -> tuple[str, int]:
    """Population and index of a row."""
    for c in cells:
        if neuron < c.size:
            return c.name, neuron
        neuron -= c.size
    raise IndexError(neuron)


def cores(packed: Packing, of: Ints, chips: int) -> list[FitRow]:
    """Cores of the grid, and neurons of each in use."""
    number = packed.places.chip.astype(np.int64) * CORES + packed.places.core
    used, counts = np.unique(number[packed.places.chip >= 0], return_counts=True)
    short = packed.shortage
    needed = used.size if short is None else short.needed
    hint = "" if short is None else "more chips: option grid; or let neurons share parameters: option tolerance"
    made = [
        FitRow(
            resource="cores", place="grid", node="", needed=needed, limit=CORES * chips, unit="cores", hint=hint
        )
    ]  # fmt: skip
    for core, count in zip(used.tolist(), counts.tolist(), strict=True):
        place = core_name(core)
        made.append(FitRow(resource="neurons", place=place, node="", needed=count, limit=NEURONS, unit="neurons"))
    return made


def faults(packed: Packing, cells: Sequence[Cells], notes: Notes) -> None:
    """Placements by hand that cannot be."""
    for fault in packed.faults:
        name = who(cells, fault.first)[0]
        notes.refuse(name, "cores", fault.reason, wanted=f"chip {fault.chip}, core {fault.core}")


def memories(
    allocation: Allocation,
    cells: Sequence[Cells],
    n_inputs: int,
    places: Places,
    profile: Dynapse2Profile,
    notes: Notes,
) -> list[FitRow]:
    """CAM and SRAM entries of the fullest neuron of each core and of all that exceed them; tags of each core."""
    usage = allocation.usage
    made = []
    entries = (allocation.sram.core_mask > 0).sum(axis=1)
    number_of = places.chip.astype(np.int64) * CORES + places.core
    tags = {
        int(v.chip * CORES + v.core): v for v in allocation.violations if not isinstance(v, FanIn | FanOut | FarHop)
    }
    for k in range(usage.chip.size):
        number = int(usage.chip[k]) * CORES + int(usage.core[k])
        place = core_name(number)
        denied = int(((profile.denied_tags[:, 0] * CORES + profile.denied_tags[:, 1]) == number).sum())
        short = tags.get(number)
        needed = int(usage.tags[k]) if short is None else short.needed
        made += [
            FitRow(resource="CAM entries", place=f"{place}, fullest neuron", node="", needed=int(usage.cam_max[k]),
                   limit=CAM_ENTRIES, unit="entries"),
            FitRow(resource="SRAM entries", place=f"{place}, fullest neuron", node="",
                   needed=int(entries[number_of == number].max()), limit=SRAM_ENTRIES, unit="entries"),
            FitRow(resource="tags", place=place, node="", needed=needed, limit=TAGS - denied, unit="tags",
                   hint="" if short is None else "fewer channels and neurons that are heard on this core"),
        ]  # fmt: skip
    told: dict[tuple[str, type], int] = {}
    for violation in allocation.violations:
        if isinstance(violation, FanIn | FanOut):
            name, index = who(cells, violation.neuron)
            key = (name, type(violation))
            told[key] = told.get(key, 0) + 1
            if told[key] <= MOST:
                made.append(_too_many(violation, name, index, places))
        elif isinstance(violation, FarHop):
            node = "" if violation.source < n_inputs else who(cells, violation.source - n_inputs)[0]
            reason = f"chip {violation.chip} is ({violation.x_hop}, {violation.y_hop}) chips away"
            far = max(abs(violation.x_hop), abs(violation.y_hop))
            hint = "place populations nearer to each other: option cores"
            notes.refuse(node, "hops", reason, wanted=far, limit=violation.limit, hint=hint)
    for (name, kind), count in told.items():
        if count > MOST:
            what = "CAM" if kind is FanIn else "SRAM"
            notes.say("note", name, what, f"{count - MOST} more neurons have too few {what} entries")
    return made


def _too_many(violation: FanIn | FanOut, name: str, index: int, places: Places) -> FitRow:
    k = violation.neuron
    place = f"chip {places.chip[k]}, core {places.core[k]}, neuron {places.neuron[k]} ({name}[{index}])"
    if isinstance(violation, FanIn):
        hint = "fewer connections into this neuron, or fewer CAM entries each: option entries"
        return FitRow(
            resource="CAM entries", place=place, node=name, needed=violation.count, limit=violation.limit,
            unit="entries", hint=hint,
        )  # fmt: skip
    hint = "targets on fewer chips" + (", or no recording: it takes one entry" if violation.monitored else "")
    return FitRow(
        resource="SRAM entries", place=place, node=name, needed=violation.needed, limit=SRAM_ENTRIES,
        unit="entries", hint=hint,
    )  # fmt: skip
