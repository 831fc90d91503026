"""Mapping like an earlier mapping: circuits, rows and labels stay, weights and targets change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.errors import ConfigError, Problem
from hal.mapping import Mapping, Placement
from hal.model import Model
from hal_brainscales2.cells import Cells
from hal_brainscales2.config import BrainScaleS2Config
from hal_brainscales2.limits import MAX_WEIGHT
from hal_brainscales2.network import EXTERNAL
from hal_brainscales2.options import MapOptions
from hal_brainscales2.routes import Sites, sites
from hal_brainscales2.silicon import places, tables
from hal_brainscales2.synapses import Part, parts

Ints = NDArray[np.int64]

_SITES: WeakKeyDictionary[Placement, Sites] = WeakKeyDictionary()
"""By placement, which mappings that are alike have in common: finding them takes longer than all the rest."""


def registers(
    like: Mapping, model: Model, cells: Sequence[Cells], options: MapOptions, settings: dict[str, Any]
) -> tuple[list[Part], BrainScaleS2Config]:
    """Integer weights in the rows there are, and the registers of `like` with them and other settings.

    A weight that is too large for its rows is clipped, as always. Raises ConfigError with what would have to move: a
    weight other than 0 where no synapse of its sign hears its source.
    """
    config: BrainScaleS2Config = like.config
    there = _SITES.get(like.placement)
    if there is None:
        there = _SITES[like.placement] = sites(places(config), tables(config))
    first = {run.name: run.first for run in config.populations}
    starts = [first[c.name] for c in cells]
    made = parts(model, cells, options, config.scale)
    rows = {part.name: max(1, _rows(there, part, starts, config)) for part in made}
    if any(part.projection.copies != rows[part.name] for part in made):
        made = parts(model, cells, attrs.evolve(options, copies=rows), config.scale)
    weight = _weights(there, made, starts, config)
    return made, attrs.evolve(config, routing=attrs.evolve(config.routing, weight=weight), **settings)


def _rows(there: Sites, part: Part, starts: Sequence[int], config: BrainScaleS2Config) -> int:
    """Most rows that a weight of this part has."""
    key = _keys(part, starts, config)
    rows = [np.searchsorted(there.key, key + sign, "right") - np.searchsorted(there.key, key + sign) for sign in (0, 1)]
    return int(np.max(rows, initial=0))


def _keys(part: Part, starts: Sequence[int], config: BrainScaleS2Config) -> Ints:
    """Of each weight, as in `Sites`, if it excites."""
    p = part.projection
    source = p.source_index if p.source == EXTERNAL else p.source_index + config.n_inputs + starts[p.source]
    return np.asarray((source * config.size + p.target_index + starts[p.target]) * 2, np.int64)


def _weights(
    there: Sites, made: Sequence[Part], starts: Sequence[int], config: BrainScaleS2Config
) -> NDArray[np.uint8]:
    """(2, 256, 256): each weight in the rows of its key, the first ones full."""
    none = np.zeros(0, np.int64)
    hw = np.concatenate([none, *(part.hw for part in made)])
    key = np.concatenate([none, *(_keys(part, starts, config) for part in made)]) + (hw < 0)
    name = np.repeat(np.arange(len(made)), [part.hw.size for part in made])
    key, name, hw = key[hw != 0], name[hw != 0], np.abs(hw[hw != 0])
    unique, back = np.unique(key, return_inverse=True)
    total = np.bincount(back, weights=hw, minlength=unique.size).astype(np.int64)
    at = np.searchsorted(there.key, unique)
    room = (np.searchsorted(there.key, unique, "right") - at) * MAX_WEIGHT
    if (total > room).any():
        _refuse(made, config, key, name, (total > room)[back], total[back], room[back])
    asked = np.zeros(there.key.size, np.int64)
    asked[at] = total
    start = np.searchsorted(there.key, there.key)
    filled = asked[start] - MAX_WEIGHT * (np.arange(start.size) - start)
    out = np.zeros(config.routing.weight.shape, np.uint8)
    out[there.hemisphere, there.row, there.column] = np.clip(filled, 0, MAX_WEIGHT)
    return out


def _refuse(
    made: Sequence[Part], config: BrainScaleS2Config, key: Ints, name: Ints, lacking: Any, total: Ints, room: Ints
) -> None:
    problems = []
    for k in np.unique(name[lacking]).tolist():
        own = np.flatnonzero(lacking & (name == k))
        worst = own[int(np.argmax(total[own] - room[own]))]
        source, target = divmod(int(key[worst]) // 2, config.size)
        sign = "inhibitory" if key[worst] % 2 else "excitatory"
        what = f"{own.size} weights find no {sign} synapses, or too few: from source {source} to neuron {target}"
        problems.append(Problem(what, made[k].name, int(total[worst]), int(room[worst])))
    hint = "map the first time with option dense: every pair then has synapses of both signs"
    raise ConfigError("map(like=) would have to move things", problems=problems, hint=hint)


def check_populations(like: Mapping, cells: Sequence[Cells]) -> None:
    """Raises ConfigError unless the populations are those of that mapping, in their order."""
    there = [(run.name, run.size) for run in like.config.populations]
    wanted = [(c.name, c.size) for c in cells]
    if there != wanted:
        problem = Problem("the populations are not those of that mapping", "like", wanted, there)
        raise ConfigError("map(like=) would have to move things", problems=[problem], hint="map without like=")
