"""Mapping like an earlier mapping: circuits, drivers and labels of events stay, weights and targets change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import attrs
import numpy as np
from numba import njit
from numpy.typing import NDArray

from hal.config import from_json
from hal.errors import ConfigError, Problem
from hal.mapping import Mapping, Placement
from hal.model import Model
from hal_brainscales2.cells import Cells, Reader
from hal_brainscales2.config import BrainScaleS2Config
from hal_brainscales2.groups import SIGNS, deal, ranks
from hal_brainscales2.limits import COLUMNS, HEMISPHERES
from hal_brainscales2.network import Network, Units, units
from hal_brainscales2.options import MapOptions
from hal_brainscales2.placement import Placement as Places
from hal_brainscales2.routes import Hearing, hearing
from hal_brainscales2.silicon import places, tables, to_host
from hal_brainscales2.synapses import Part, parts, populations

Ints = NDArray[np.int64]


@attrs.frozen(eq=False)
class _Kept:
    """What mappings that are alike have in common.

    paths: the registers that `hearing` was found from, as they were. copies: weight node -> rows over which a weight
    may be spread. dense: whether all pairs have synapses.
    """

    paths: tuple[NDArray[Any], ...]
    hearing: Hearing
    copies: dict[str, int]
    dense: bool


_KEPT: WeakKeyDictionary[Placement, _Kept] = WeakKeyDictionary()
"""By placement, which such mappings share, edited ones included: finding it takes longer than all the rest."""


def registers(
    like: Mapping, model: Model, cells: Sequence[Cells], options: MapOptions, settings: dict[str, Any]
) -> tuple[list[Part], BrainScaleS2Config]:
    """Integer weights for the drivers there are, and the registers of `like` with them and other settings.

    A weight that is too large for its rows is clipped, as always. The scale is kept unless options give one. Raises
    ConfigError with what would have to move.
    """
    config: BrainScaleS2Config = like.config
    kept = _kept(like)
    wanted = attrs.evolve(options, copies={**kept.copies, **options.copies})
    scale = options.scale or config.scale
    made = parts(model, cells, wanted, scale)
    network = Network(config.n_inputs, populations(cells, options, set()), tuple(part.projection for part in made))
    wanted_synapses, _ = units(network, kept.dense)
    row_sign, weight, label = _synapses(wanted_synapses, kept.hearing, config, made)
    routing = attrs.evolve(config.routing, row_sign=row_sign, weight=weight, label=label)
    return made, attrs.evolve(config, routing=routing, scale=scale, **settings)


def _kept(like: Mapping) -> _Kept:
    """As remembered, unless the registers were edited since."""
    config: BrainScaleS2Config = like.config
    routing = config.routing
    paths = (
        *(config.host.channel, config.host.label, config.neuron_label, routing.crossbar_mask, routing.crossbar_target),
        *(routing.driver_on, routing.driver_mask),
    )
    kept = _KEPT.get(like.placement)
    if kept is None or not all(map(np.array_equal, kept.paths, paths)):
        kept = _KEPT[like.placement] = _keep(like, paths)
    return kept


def _keep(like: Mapping, paths: tuple[NDArray[Any], ...]) -> _Kept:
    there = hearing(places(like.config), tables(like.config))
    if like.on_chip is None:
        return _Kept(paths, there, {}, dense=False)
    options = from_json(MapOptions, dict(like.options))
    made = parts(like.on_chip, Reader(like.on_chip, options).cells, options, like.config.scale)
    return _Kept(paths, there, {part.name: part.projection.copies or 1 for part in made}, options.dense)


@attrs.frozen(eq=False)
class _Dealt:
    """Synapses (u,) on circuits: circuit, -1: none; family of the rows; number among the circuit's of its sign there.

    count: (2 signs, families, hemispheres, columns) how many.
    """

    circuit: Ints
    family: Ints
    rank: Ints
    count: Ints


def _synapses(
    found: Units, there: Hearing, config: BrainScaleS2Config, made: Sequence[Part]
) -> tuple[NDArray[np.int8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Signs of rows, weights and labels: of each family the first rows of a sign, unless they have it already."""
    where = places(config)
    order = np.lexsort((found.source, found.sign, found.target))
    asked = Units(*(column[order] for column in attrs.astuple(found)))
    # neurons of several circuits: as the allocator deals synapses to them, else wherever there are fewest
    several = where.circuit.size > where.ptr.size - 1
    dealt = (_as_allocated if several else _evenly)(asked, where, there, config.n_inputs)
    row, row_sign, lacking = _rows(asked, dealt, there, config)
    if several and asked.weight[lacking].any():
        dealt = _evenly(asked, where, there, config.n_inputs)
        row, row_sign, lacking = _rows(asked, dealt, there, config)
    if asked.weight[lacking].any():
        _refuse(lacking[asked.weight[lacking] > 0], asked, made)
    weight, label = np.zeros(config.routing.weight.shape, np.uint8), np.zeros(config.routing.label.shape, np.uint8)
    # without a weight nothing is lost where there is no room
    own = np.ones(asked.source.size, bool)
    own[lacking] = False
    hemisphere, column = np.divmod(dealt.circuit[own], COLUMNS)
    weight[hemisphere, row[own], column] = asked.weight[own]
    label[hemisphere, row[own], column] = there.label[asked.source[own], hemisphere]
    return row_sign, weight, label


def _rows(asked: Units, dealt: _Dealt, there: Hearing, config: BrainScaleS2Config) -> tuple[Ints, NDArray[Any], Ints]:
    """Row of each synapse, signs of all rows, and the synapses that have none."""
    row_sign = config.routing.row_sign.copy()
    lacking = [np.flatnonzero(dealt.circuit < 0)]
    row = np.zeros(asked.source.size, np.int64)
    for (which, h), rows in there.rows.items():
        needed = dealt.count[:, which, h].max(axis=1)
        signs = row_sign[h, rows]
        if needed[0] > (signs > 0).sum() or needed[1] > (signs < 0).sum():
            signs = np.where(np.arange(rows.size) < needed[0], 1, -1)
            row_sign[h, rows] = signs
        here = (dealt.family == which) & (dealt.circuit // COLUMNS == h)
        for sign in (1, -1):
            own = np.flatnonzero(here & (asked.sign == sign))
            mine = rows[signs == sign]
            fits = dealt.rank[own] < mine.size
            lacking.append(own[~fits])
            row[own[fits]] = mine[dealt.rank[own[fits]]]
    return row, row_sign, np.sort(np.concatenate(lacking))


def _families(there: Hearing) -> int:
    return max((family for family, _ in there.rows), default=-1) + 1


def _as_allocated(asked: Units, where: Places, there: Hearing, n_external: int) -> _Dealt:
    """As `groups.deal` does."""
    circuit, _ = deal(asked, where, n_external)
    hemisphere, column = np.divmod(circuit, COLUMNS)
    family = there.family[asked.source, hemisphere]
    side = (asked.sign < 0).astype(np.int64)
    rank = ranks((circuit * SIGNS + side) * (_families(there) + 1) + family + 1, asked.source)
    count = np.zeros((SIGNS, _families(there), HEMISPHERES, COLUMNS), np.int64)
    own = family >= 0
    np.add.at(count, (side[own], family[own], hemisphere[own], column[own]), 1)
    return _Dealt(np.where(own, circuit, -1), family, rank, count)


def _evenly(asked: Units, where: Places, there: Hearing, n_external: int) -> _Dealt:
    """To the circuit of its neuron that has the fewest of its kind."""
    circuit, rank = (np.zeros(asked.source.size, np.int64) for _ in range(2))
    count = np.zeros((SIGNS, _families(there), HEMISPHERES, COLUMNS), np.int64)
    _slots(asked.source, asked.target, asked.sign, where.ptr, where.circuit, there.family, count, circuit, rank)
    return _Dealt(circuit, there.family[asked.source, circuit // COLUMNS], rank, count)


def _fill(
    source: Ints,
    target: Ints,
    sign: Ints,
    ptr: Ints,
    circuits: Ints,
    family: Ints,
    count: Ints,
    circuit: Ints,
    rank: Ints,
) -> None:
    """For each synapse the circuit of its neuron with the fewest of its family and sign, and its number there."""
    for k in range(source.size):
        s, t, side = source[k], target[k], 0 if sign[k] > 0 else 1
        best = -1
        for c in circuits[ptr[t] : ptr[t + 1]]:
            h = c // COLUMNS
            which = family[s, h]
            if which < 0:
                continue
            n = count[side, which, h, c % COLUMNS]
            if best < 0 or n < rank[k]:
                best, rank[k] = c, n
        circuit[k] = best
        if best >= 0:
            h = best // COLUMNS
            count[side, family[s, h], h, best % COLUMNS] += 1


_slots: Any = njit(cache=True)(_fill)


def _refuse(lacking: Ints, asked: Units, made: Sequence[Part]) -> None:
    problems = []
    ends = np.cumsum([part.hw.size for part in made])
    whose = np.searchsorted(ends, asked.connection, side="right")
    for k in np.unique(whose[lacking]).tolist():
        own = lacking[whose[lacking] == k]
        source, target = int(asked.source[own[0]]), int(asked.target[own[0]])
        sign = "excitatory" if asked.sign[own[0]] > 0 else "inhibitory"
        what = f"no {sign} row is left for {own.size} weights, the first from source {source} to neuron {target}"
        problems.append(Problem(what, made[k].name))
    hint = "map the first time with option dense: every pair then has synapses of both signs"
    raise ConfigError("map(like=) would have to move things", problems=problems, hint=hint)


def check(like: Mapping, model: Model, cells: Sequence[Cells], options: MapOptions, recorded: set[str]) -> None:
    """Raises ConfigError with what other inputs, populations, options or spikes to be recorded would move."""
    config: BrainScaleS2Config = like.config
    inputs = [(name, model.nodes[name].output_shape) for name in model.inputs]
    problems = [
        Problem(f"the {what} are not those of that mapping", "like", wanted, there)
        for what, wanted, there in (
            ("inputs", inputs, [(port.name, port.shape) for port in config.inputs]),
            ("populations", [(c.name, c.shape) for c in cells], [(run.name, run.shape) for run in config.populations]),
        )
        if wanted != there
    ]
    if not problems:
        problems += [*_elsewhere(config, options), *_unheard(config, recorded)]
        if options.dense and not _kept(like).dense:
            problems.append(Problem("only pairs with a weight have synapses there", "dense", value=True, limit=False))
    if problems:
        raise ConfigError("map(like=) would have to move things", problems=problems, hint="map without like=")


def _elsewhere(config: BrainScaleS2Config, options: MapOptions) -> Iterator[Problem]:
    """Options that say of a population another place than it has."""
    where = places(config)
    for run in config.populations:
        ptr = where.ptr[run.first : run.first + run.size + 1]
        circuits = where.circuit[ptr[0] : ptr[-1]].tolist()
        hemispheres = sorted({at // COLUMNS for at in circuits})
        each = len(circuits) // run.size
        for field, given, have in (
            ("circuits", options.circuits.get(run.name, each), each),
            ("places", list(options.places.get(run.name, circuits)), circuits),
        ):
            if given != have:
                yield Problem("is not as in that mapping", f"{field}[{run.name!r}]", given, have)
        if run.name in options.hemisphere and hemispheres != [options.hemisphere[run.name]]:
            given = options.hemisphere[run.name]
            yield Problem("is not as in that mapping", f"hemisphere[{run.name!r}]", given, hemispheres)


def _unheard(config: BrainScaleS2Config, recorded: set[str]) -> Iterator[Problem]:
    """Populations whose spikes the crossbar does not let out."""
    let_out = to_host(config)
    for run in config.populations:
        if run.name in recorded and not let_out[run.first : run.first + run.size].all():
            yield Problem("its spikes do not leave the chip there: record it in the mapping to keep", run.name)
