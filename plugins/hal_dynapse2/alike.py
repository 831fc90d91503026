"""Mapping like an earlier mapping: places, tags and entries stay and numbers change, or it is said what would move."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.errors import ConfigError, Problem
from hal.mapping import Mapping
from hal_dynapse2.allocator import Connections
from hal_dynapse2.cells import Cells
from hal_dynapse2.config import Dynapse2Config
from hal_dynapse2.limits import CAM_ENTRIES, CORES, TAGS
from hal_dynapse2.packing import Packing, Places
from hal_dynapse2.routes import departures, packets
from hal_dynapse2.rows import core_name

Ints = NDArray[np.int64]


def packed(like: Mapping, cells: Sequence[Cells], of: Ints) -> Packing:
    """The places of the earlier mapping. ConfigError for other populations, and cores that need two parameter sets."""
    before: Dynapse2Config = like.config
    same = [(run.name, run.shape) for run in before.populations] == [(c.name, c.shape) for c in cells]
    if not same:
        wanted = ", ".join(f"{c.name} {c.shape}" for c in cells)
        there = ", ".join(f"{run.name} {run.shape}" for run in before.populations)
        _refuse([Problem("the populations are not those of that mapping", "like", wanted, there)])
    problems = []
    for core in np.unique(before.neurons.core_place).tolist():
        sets = np.unique(of[before.neurons.core_place == core]).size
        if sets > 1:
            problems.append(Problem("it would need several parameter sets", core_name(core), value=sets, limit=1))
    _refuse(problems)
    neurons = before.neurons
    places = (column.astype(np.int64) for column in (neurons.chip, neurons.core, neurons.neuron))
    return Packing(Places(*places), None, ())


def registers(like: Mapping, new: Dynapse2Config, wanted: Connections) -> Dynapse2Config:
    """The new registers with the entries of the earlier ones: what is no connection any more keeps its, with mask 0.

    ConfigError for connections that have no entry there, and where other neurons are monitored.
    """
    before: Dynapse2Config = like.config
    row, slot, source = _entries(before)
    free: dict[tuple[int, int], list[int]] = {}
    for k in range(row.size):
        free.setdefault((int(source[k]), int(row[k])), []).append(k)
    mask, dendrite = np.zeros_like(before.cam.mask), before.cam.dendrite.copy()
    missing: list[tuple[int, int]] = []
    for k in range(wanted.source.size):
        entries = free.get((int(wanted.source[k]), int(wanted.target[k])))
        if not entries:
            missing.append((int(wanted.source[k]), int(wanted.target[k])))
            continue
        at = entries.pop(0)
        mask[row[at], slot[at]], dendrite[row[at], slot[at]] = wanted.mask[k], wanted.dendrite[k]
    problems = []
    if missing:
        first = ", ".join(f"{a} -> {b}" for a, b in missing[:3])
        what = "connections (source -> neuron) without a CAM entry there"
        problems.append(Problem(what, "like", value=f"{len(missing)}: {first}", limit=0))
    if not np.array_equal(_monitored(before), _monitored(new)):
        problems.append(Problem("other neurons are recorded than there", "record"))
    _refuse(problems)
    cam = attrs.evolve(before.cam, mask=mask, dendrite=dendrite)
    return attrs.evolve(new, cam=cam, sram=before.sram, host=before.host)


def _refuse(problems: list[Problem]) -> None:
    if problems:
        hint = "map without like=, or start from a mapping in which these weights are not 0"
        raise ConfigError("map(like=) would have to move things", problems=problems, hint=hint)


def _monitored(config: Dynapse2Config) -> NDArray[np.bool_]:
    """(n,) neurons of whom a destination leaves the grid; one to a chip further west does not."""
    return np.isin(np.arange(config.neurons.chip.size), departures(config).neuron)


def _entries(config: Dynapse2Config) -> tuple[Ints, Ints, Ints]:
    """Row, slot and source of every CAM entry in use, those with mask 0 as well."""
    source, core, tag = packets(config)
    whose = np.full(config.chips.x.size * CORES * TAGS, -1, np.int64)
    whose[core * TAGS + tag] = source
    at = np.flatnonzero(config.cam.dendrite.ravel())
    row, slot = np.divmod(at, CAM_ENTRIES)
    return row, slot, whose[config.neurons.core_place[row] * TAGS + config.cam.tag.ravel()[at]]
