"""Row selects: how the groups on a bus reach their own drivers and no others.

A driver takes an event where (row select & mask) == (position & mask). The widest mask that takes all row selects of
its group keeps all bits in which they agree with its position, so a driver can serve a group exactly if no other
group's row select agrees in all of those. Every position serves some group, and blocks need not be aligned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hal_brainscales2.limits import DRIVERS_PER_BUS, HEMISPHERES, ROW_SELECTS

Ints = NDArray[Any]
FREE = 4
"""Row selects of a neuron: bits 0 and 1 are free, bits 2..4 are its event output."""
TRIES = 512
"""All combinations of two groups of neurons and one of external sources."""
ALL = ROW_SELECTS - 1


@attrs.frozen
class Wanted:
    """A group on a bus. outputs: event outputs of its neurons; drivers: of each hemisphere."""

    outputs: tuple[int, ...]
    drivers: tuple[int, ...]


@attrs.frozen(eq=False)
class Chosen:
    """By group; positions and masks also by hemisphere.

    selects: in the order of its outputs, one where it has none. positions: of its drivers, rising; masks: theirs.
    """

    selects: tuple[tuple[int, ...], ...]
    positions: tuple[tuple[Ints, ...], ...]
    masks: tuple[tuple[Ints, ...], ...]


def choose(groups: Sequence[Wanted]) -> Chosen | int:
    """Row selects and drivers of the groups of a bus; or how many drivers could be had, where that is too few.

    All combinations are tried where there are few, else a fixed sample.
    """
    best = 0
    for selects in _combinations(groups):
        tried = [_positions(selects, [group.drivers[h] for group in groups]) for h in range(HEMISPHERES)]
        found = sum(at.size for positions in tried for at in positions)
        if found == sum(sum(group.drivers) for group in groups):
            order = range(len(groups))
            positions = tuple(tuple(tried[h][g] for h in range(HEMISPHERES)) for g in order)
            masks = tuple(
                tuple(_masks(selects, g, positions[g][h], groups, h) for h in range(HEMISPHERES)) for g in order
            )
            return Chosen(selects, positions, masks)
        best = max(best, found)
    return best


def _combinations(groups: Sequence[Wanted]) -> Iterator[tuple[tuple[int, ...], ...]]:
    options = [_options(group) for group in groups]
    count = int(np.prod([float(len(option)) for option in options]))
    if count <= TRIES:
        yield from product(*options)
        return
    yield from islice(product(*options), 16)
    random = np.random.default_rng(0)
    for _ in range(TRIES):
        yield tuple(option[random.integers(len(option))] for option in options)


def _options(group: Wanted) -> list[tuple[int, ...]]:
    if not group.outputs:
        return [(select,) for select in range(ALL, -1, -1)]
    return [tuple(output * FREE + low for output in group.outputs) for low in range(FREE)]


def widest(select: Sequence[int], position: Any) -> Any:
    """The mask of a driver that keeps the bits in which all of its group's row selects agree with its position."""
    mask = np.full_like(np.asarray(position), ALL)
    for own in select:
        mask &= ~(own ^ position)
    return mask


def serves(selects: Sequence[Sequence[int]], group: int, position: Any) -> Any:
    """Whether drivers can be told to take the events of a group and of none of the others."""
    mask = widest(selects[group], position)
    able = np.ones(np.shape(position), bool)
    for other, foreign in enumerate(selects):
        for select in foreign if other != group else ():
            able &= ((select ^ position) & mask) != 0
    return able


def _positions(selects: Sequence[Sequence[int]], drivers: Sequence[int]) -> list[Ints]:
    """Drivers of each group in one hemisphere, fewer than wanted where there are no more.

    Groups without any have no events there.
    """
    found: list[Ints] = [np.zeros(0, np.int64)] * len(drivers)
    here = [g for g, count in enumerate(drivers) if count]
    if not here:
        return found
    every = np.arange(DRIVERS_PER_BUS)
    able = np.array([serves([selects[g] for g in here], k, every) for k in range(len(here))], bool)
    wants = np.repeat(np.arange(len(here)), [drivers[g] for g in here])
    row, column = linear_sum_assignment(~able[wants])
    good = able[wants[row], column]
    for k, g in enumerate(here):
        found[g] = np.sort(column[good & (wants[row] == k)])
    return found


def _masks(selects: Sequence[Sequence[int]], group: int, positions: Ints, groups: Any, hemisphere: int) -> Ints:
    alone = sum(other.drivers[hemisphere] > 0 for other in groups) <= 1
    return np.zeros_like(positions) if alone else np.asarray(widest(selects[group], positions))
