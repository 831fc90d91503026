"""The allocator: where populations are, how their events travel, and what is lacking where they do not fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_brainscales2.groups import Grouping, group
from hal_brainscales2.limits import (
    BUSES,
    CIRCUITS,
    CIRCUITS_PER_NEURON,
    COLUMNS,
    DRIVERS_PER_BUS,
    HEMISPHERES,
    LABELS,
    ROWS,
    ROWS_PER_BUS,
    circuit,
)
from hal_brainscales2.network import Network, Units, units
from hal_brainscales2.placement import Placement, movable, place
from hal_brainscales2.report import Usage, Violation
from hal_brainscales2.routing import Tables, tables
from hal_brainscales2.selects import Chosen, Wanted, choose

Ints = NDArray[Any]
Preferred = tuple[int | None, ...]
ALL_COMBINATIONS = 5
"""Populations of which all combinations of hemispheres are tried; more are moved one at a time."""


@attrs.frozen(eq=False)
class Allocation:
    """placement and grouping are None where not all neurons have a place, tables where anything is lacking.

    moved: populations that are not where first come, first placed would have them; spread: whether columns were dealt
    over the event outputs.
    """

    placement: Placement | None
    grouping: Grouping | None
    tables: Tables | None
    usage: tuple[Usage, ...]
    violations: tuple[Violation, ...]
    moved: tuple[int, ...] = ()
    spread: bool = False

    @property
    def fits(self) -> bool:
        """Whether there is enough of everything."""
        return not self.violations


def allocate(network: Network, *, dense: bool = False, share: bool | None = None, search: bool = True) -> Allocation:
    """Registers for a network, or all that is lacking, with numbers.

    dense: all pairs of a projection take synapses of both signs, as the vendor's do; else zeros are dropped and a row
    takes what is there. share: rows have synapses of neurons and external sources alike, told apart by their labels; as
    the vendor's do not, only where not `dense`, unless given. search: where first come, first placed does not fit,
    populations are moved to the other hemisphere, then spread over the event outputs. What is lacking is that of the
    attempt that lacks least. The same network always has the same result. Raises ValueError where a pair is given twice
    and `dense`.
    """
    made, heavy = units(network, dense)
    asked = _Asked(network, made, heavy, not dense if share is None else share)
    best = _attempt(asked, (None,) * len(network.populations), False)
    if not best.fits and search and not _hopeless(network, best):
        best = _search(asked, best)
    return best if best.fits else attrs.evolve(best, violations=tuple(_helped(network, dense, search, best)))


@attrs.frozen(eq=False)
class _Asked:
    network: Network
    units: Units
    heavy: tuple[Violation, ...]
    share: bool

    @property
    def free(self) -> list[int]:
        """Populations whose hemisphere may be chosen."""
        return [k for k, population in enumerate(self.network.populations) if movable(population)]


def _hopeless(network: Network, first: Allocation) -> bool:
    """No placement gives the chip more circuits, or a neuron of one circuit more rows."""
    if sum(p.size * p.circuits for p in network.populations) > CIRCUITS:
        return True
    alone = all(population.circuits == 1 for population in network.populations)
    return alone and any(violation.resource == "fan_in" for violation in first.violations)


def _search(asked: _Asked, first: Allocation) -> Allocation:
    """The first attempt that fits, fewest moves first; else the one that lacks least."""
    best = first
    for spread in (False, True):
        attempts = _combinations if len(asked.free) <= ALL_COMBINATIONS else _one_by_one
        for attempt in attempts(asked, spread):
            best = min(best, attempt, key=_lacking)
            if best.fits:
                return best
    return best


def _combinations(asked: _Asked, spread: bool) -> Iterator[Allocation]:
    free, count = asked.free, len(asked.network.populations)
    moves = sorted(product((0, 1), repeat=len(free)), key=lambda choice: (sum(choice), choice))
    for choice in moves:
        if spread or any(choice):
            where = dict(zip(free, choice, strict=True))
            yield _attempt(asked, tuple(where.get(k) for k in range(count)), spread)


def _one_by_one(asked: _Asked, spread: bool) -> Iterator[Allocation]:
    """The move that helps most, again and again."""
    free = asked.free
    where: list[int | None] = [0 if k in free else None for k in range(len(asked.network.populations))]
    here = _attempt(asked, tuple(where), spread)
    yield here
    while True:
        options = []
        for k in free:
            other = [1 - (value or 0) if j == k else value for j, value in enumerate(where)]
            options.append((_attempt(asked, tuple(other), spread), other))
        found, moved = min(options, key=lambda option: _lacking(option[0]))
        if _lacking(found) >= _lacking(here):
            return
        here, where = found, moved
        yield here


def _lacking(attempt: Allocation) -> tuple[bool, float]:
    return attempt.placement is None, sum(violation.excess for violation in attempt.violations)


def _attempt(asked: _Asked, preferred: Preferred, spread: bool) -> Allocation:
    network, heavy = asked.network, asked.heavy
    placement, violations = place(network, preferred, spread)
    moved = tuple(k for k, hemisphere in enumerate(preferred) if hemisphere == 1)
    if placement is None:
        return Allocation(None, None, None, tuple(_circuits(network)), (*heavy, *violations), moved, spread)
    grouping, used = _grouped(asked, placement)
    usage = (*_circuits(network), *used)
    chosen, tangled = _selects(grouping)
    violations = (*heavy, *_over(usage), *tangled)
    registers = None
    if not violations:
        recorded = np.repeat([p.recorded for p in network.populations], [p.size for p in network.populations])
        registers = tables(asked.units, placement, grouping, chosen, recorded.astype(bool), network.n_external)
    return Allocation(placement, grouping, registers, usage, violations, moved, spread)


def _grouped(asked: _Asked, placement: Placement) -> tuple[Grouping, tuple[Usage, ...]]:
    """With labels for neurons that nobody hears, so that somebody may later; unless that is too much."""
    network, tried = asked.network, []
    for apart in (False, True):
        grouping = group(asked.units, placement, network.n_external, asked.share, apart)
        used = tuple(_used(grouping, network, placement))
        excess = sum(violation.excess for violation in _over(used))
        tried.append((excess, grouping, used))
        if not excess or not asked.share:
            break
    return min(tried, key=lambda made: made[0])[1:]


def _over(usage: Sequence[Usage]) -> Iterator[Violation]:
    """What is used beyond what there is; drivers only where it is not for their rows."""
    rows = {row.where for row in usage if row.resource == "synapse_rows" and not row.ok}
    for row in usage:
        if not row.ok and not (row.resource == "drivers" and row.where in rows):
            yield Violation(row.resource, row.where, row.needed, row.available)


def _circuits(network: Network) -> Iterator[Usage]:
    yield Usage("circuits", "chip", sum(p.size * p.circuits for p in network.populations), CIRCUITS)


def _used(grouping: Grouping, network: Network, placement: Placement) -> Iterator[Usage]:
    """Rows and drivers of each bus, rows of the fullest circuit of each hemisphere, labels of each group."""
    for h in range(HEMISPHERES):
        for bus in range(BUSES):
            here = [made for made in grouping.groups if made.bus == bus]
            where = f"hemisphere {h}, bus {bus}"
            yield Usage("synapse_rows", where, int(sum(made.rows()[h].sum() for made in here)), ROWS_PER_BUS)
            yield Usage("drivers", where, int(sum(made.drivers()[h] for made in here)), DRIVERS_PER_BUS)
        count = np.zeros(COLUMNS, np.int64)
        for made in grouping.groups:
            count += made.synapses[h].sum(axis=0)
        where, fullest = f"hemisphere {h}, rows of its fullest circuit", int(count.argmax())
        whose = _owner(network, placement, circuit(fullest, h)) if count[fullest] else ""
        yield Usage("fan_in", where, int(count[fullest]), ROWS, whose)
    for k, made in enumerate(grouping.groups):
        yield Usage("labels", f"bus {made.bus}, group {k}", made.labels, LABELS)


def _owner(network: Network, placement: Placement, at: int) -> str:
    """The population of a circuit in use."""
    neuron = np.searchsorted(placement.ptr, np.flatnonzero(placement.circuit == at)[0], side="right") - 1
    return network.name(int(np.searchsorted(network.offsets, neuron, side="right")) - 1)


def _selects(grouping: Grouping) -> tuple[dict[int, Chosen], tuple[Violation, ...]]:
    chosen, violations = {}, []
    for bus in range(BUSES):
        here = [made for made in grouping.groups if made.bus == bus]
        drivers = [made.drivers() for made in here]
        if not here or (np.sum(drivers, axis=0) > DRIVERS_PER_BUS).any():
            continue
        found = choose([Wanted(made.outputs, tuple(d.tolist())) for made, d in zip(here, drivers, strict=True)])
        if isinstance(found, int):
            shares = ", ".join(f"{[int(d[h]) for d in drivers]} in hemisphere {h}" for h in range(HEMISPHERES))
            where = f"bus {bus}, drivers of groups to be kept apart: {shares}"
            violations.append(Violation("row_selects", where, int(np.sum(drivers)), found))
        else:
            chosen[bus] = found
    return chosen, tuple(violations)


def _helped(network: Network, dense: bool, search: bool, best: Allocation) -> Iterator[Violation]:
    """The violations with what would help."""
    sparse: Iterable[Usage] = ()
    if dense and best.placement is not None:
        sparse = _used(group(units(network, False)[0], best.placement, network.n_external), network, best.placement)
    fewer = {(row.resource, row.where): row.needed for row in sparse}
    for violation in best.violations:
        helps = list(violation.helps)
        if violation.resource in ("synapse_rows", "drivers", "row_selects", "fan_in"):
            less = fewer.get((violation.resource, violation.where))
            if less is not None and less < violation.needed:
                helps.append(
                    f"synapses for weights other than 0 alone, in shared rows: option dense off ({less} needed)"
                )
            if violation.resource != "fan_in" and not (search and all(map(movable, network.populations))):
                helps.append("populations in the other hemisphere: option hemisphere, or neither that nor places")
            # dense pairs take synapses of both signs, whatever their weights
            if not dense and _both_signs(network):
                helps.append("weights of one sign")
            if max(p.circuits for p in network.populations) < CIRCUITS_PER_NEURON:
                helps.append("more circuits per neuron: option circuits")
        yield attrs.evolve(violation, helps=tuple(helps))


def _both_signs(network: Network) -> bool:
    weights = np.concatenate([np.zeros(0), *(projection.weight for projection in network.projections)])
    return bool((weights > 0).any() and (weights < 0).any())
