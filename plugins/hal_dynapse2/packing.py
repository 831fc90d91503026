"""Which core each neuron goes to. Pure functions; a network that does not fit is data, not an error.

All parameters of the chip are per core: neurons of different parameter sets (groups) never share one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_dynapse2.limits import CORES, NEURONS

Ints = NDArray[Any]
NO_PAIRS = np.zeros((0, 2), np.int64)
NO_PLACES = np.zeros((0, 3), np.int64)


@attrs.frozen(eq=False)
class Places:
    """(n,) each: chip, core of the chip, neuron of the core; -1 where a neuron has no place."""

    chip: Ints
    core: Ints
    neuron: Ints


@attrs.frozen
class Fixed:
    """By hand: rows `first` .. `first + size` go to these cores (chip, core), filled in this order."""

    first: int
    size: int
    cores: tuple[tuple[int, int], ...]


@attrs.frozen
class CoreShortage:
    """Too few cores. needed, available: cores; groups: those of whom neurons have no place; neurons: how many."""

    needed: int
    available: int
    groups: tuple[int, ...]
    neurons: int

    def __str__(self) -> str:
        return (
            f"{self.needed} cores needed, {self.available} there are; {self.neurons} neurons of the parameter sets "
            f"{', '.join(map(str, self.groups))} have no place"
        )


@attrs.frozen
class FixedFault:
    """What is wrong with a placement by hand: rows `first` .. `first + size`, on the core (chip, core)."""

    first: int
    size: int
    chip: int
    core: int
    reason: str

    def __str__(self) -> str:
        return f"neurons {self.first}..{self.first + self.size - 1}: chip {self.chip}, core {self.core}: {self.reason}"


@attrs.frozen(eq=False)
class Packing:
    """Where neurons go, and why some go nowhere: `shortage` and `faults` are empty when all have a place."""

    places: Places
    shortage: CoreShortage | None
    faults: tuple[FixedFault, ...]


def pack(
    groups: Ints,
    chips: int,
    *,
    pairs: Ints = NO_PAIRS,
    denied: Ints = NO_PLACES,
    fixed: Sequence[Fixed] = (),
) -> Packing:
    """Every neuron's place.

    groups: (n,) number of each neuron's parameter set, from 0. pairs: (m, 2) source and target neuron of connections,
    for the traffic between chips. denied: (d, 3) chip, core, neuron that must not be used.

    Neurons fill cores in their order; a core is filled before the next is opened. Where more than one chip is needed, a
    chip is filled with the core's load that has most connections with what is on it (the first of equals).
    """
    free = [np.arange(NEURONS)] * (chips * CORES)
    for core in np.unique(denied[:, 0] * CORES + denied[:, 1]).tolist():
        there = denied[:, 0] * CORES + denied[:, 1] == core
        free[core] = np.setdiff1d(np.arange(NEURONS), denied[there, 2])
    desk = _Desk(free, groups)
    faults = [fault for hand in fixed for fault in desk.by_hand(hand)]
    waiting = np.flatnonzero(desk.core < 0)
    if faults:  # what was asked for by hand and is wrong must not be put elsewhere
        asked = np.concatenate([np.arange(hand.first, hand.first + hand.size) for hand in fixed])
        waiting = np.setdiff1d(waiting, asked)
    waiting = desk.top_up(waiting)
    other = desk.copy() if len(denied) else None
    left = desk.fill(waiting, pairs)
    if left.size and other is not None:
        left_too = other.fit(waiting)
        if left_too.size < left.size:
            desk, left = other, left_too
    return Packing(desk.places(), desk.shortage(left), tuple(faults))


class _Desk:
    """The state of a packing: who owns each core, and which of its neurons are free."""

    def __init__(self, free: list[Ints], groups: Ints) -> None:
        self.free = list(free)
        self.groups = groups
        self.owner = [-1] * len(free)
        self.core = np.full(groups.size, -1, np.int64)
        self.neuron = np.full(groups.size, -1, np.int64)

    def places(self) -> Places:
        chip = np.where(self.core < 0, -1, self.core // CORES)
        return Places(chip, np.where(self.core < 0, -1, self.core % CORES), self.neuron.copy())

    def put(self, rows: Ints, core: int) -> Ints:
        """Fill a core; the rows that found no room."""
        count = min(rows.size, self.free[core].size)
        if count:
            self.owner[core] = int(self.groups[rows[0]])
            self.core[rows[:count]] = core
            self.neuron[rows[:count]] = self.free[core][:count]
            self.free[core] = self.free[core][count:]
        return rows[count:]

    def by_hand(self, hand: Fixed) -> list[FixedFault]:
        """Fill the cores that were named, and say what is wrong with them."""
        faults = []
        rows = np.arange(hand.first, hand.first + hand.size)

        def fault(place: tuple[int, int], reason: str) -> None:
            faults.append(FixedFault(hand.first, hand.size, *place, reason))

        mine = np.unique(self.groups[rows])
        usable = []
        for chip, core in hand.cores:
            if not (0 <= core < CORES and 0 <= chip * CORES + core < len(self.owner)):
                fault((chip, core), f"there are {len(self.owner) // CORES} chips of {CORES} cores")
            elif self.owner[chip * CORES + core] not in (-1, *mine.tolist()):
                fault((chip, core), "another parameter set is on this core")
            else:
                usable.append(chip * CORES + core)
        if faults:
            return faults
        for group in mine.tolist():
            left = rows[self.groups[rows] == group]
            for core in usable:
                if left.size and self.owner[core] in (-1, group):
                    left = self.put(left, core)
            if left.size:
                fault(hand.cores[-1], f"{left.size} of its neurons of parameter set {group} find no room")
        return faults

    def top_up(self, rows: Ints) -> Ints:
        """Fill what is left of the cores that neurons of a group were put on by hand; the rows without room."""
        for core, group in enumerate(self.owner):
            if group >= 0:
                mine = rows[self.groups[rows] == group]
                rows = np.union1d(rows[self.groups[rows] != group], self.put(mine, core))
        return rows

    def copy(self) -> _Desk:
        """The same state, to try something on."""
        made = _Desk(self.free, self.groups)
        made.owner, made.core, made.neuron = list(self.owner), self.core.copy(), self.neuron.copy()
        return made

    def closed(self) -> list[int]:
        """Cores that nobody owns and that have neurons."""
        return [core for core, owner in enumerate(self.owner) if owner < 0 and self.free[core].size]

    def fill(self, rows: Ints, pairs: Ints) -> Ints:
        """Put runs of a core's size on new cores, chip by chip; the rows that found no room."""
        while rows.size and (closed := self.closed()):
            runs = _runs(rows, self.groups)
            over = []
            traffic = _traffic(runs, self.core, len(self.owner) // CORES, self.groups.size, pairs)
            for chip in sorted({core // CORES for core in closed}):
                there = [core for core in closed if core // CORES == chip]
                while there and len(traffic.waiting):
                    rows_now = runs[traffic.take(chip)]
                    fits = [core for core in there if self.free[core].size >= rows_now.size]
                    core = fits[0] if fits else max(there, key=lambda core: self.free[core].size)
                    there.remove(core)
                    over.append(self.put(rows_now, core))
            rows = np.concatenate([*over, *(runs[k] for k in traffic.waiting)])
            # what a core with denied neurons left over goes where its group has room, else to a core of its own
            rows = self.top_up(np.sort(rows))
        return rows

    def fit(self, rows: Ints) -> Ints:
        """As `fill`, to get all in where cores differ in size: who needs full cores most chooses first."""
        sizes = np.bincount(self.groups[rows])
        demand = sizes / np.maximum(np.ceil(sizes / NEURONS), 1)
        for group in np.argsort(-demand, kind="stable").tolist():
            mine = rows[self.groups[rows] == group]
            while mine.size and (closed := self.closed()):
                enough = [core for core in closed if self.free[core].size >= mine.size]
                size = min if enough else max
                mine = self.put(mine, size(enough or closed, key=lambda core: self.free[core].size))
        return rows[self.core[rows] < 0]

    def shortage(self, left: Ints) -> CoreShortage | None:
        """What would have been needed for the rows that found no room."""
        if not left.size:
            return None
        sizes = np.bincount(self.groups[left])
        used = sum(owner >= 0 for owner in self.owner)
        short = tuple(np.flatnonzero(sizes).tolist())
        return CoreShortage(used + int(np.ceil(sizes / NEURONS).sum()), len(self.owner), short, int(left.size))


def _runs(rows: Ints, groups: Ints) -> list[Ints]:
    """The rows of each group, in order, cut to the size of a core; runs in the order of their first rows."""
    out = []
    for group in np.unique(groups[rows]).tolist():
        mine = rows[groups[rows] == group]
        out += [mine[first : first + NEURONS] for first in range(0, mine.size, NEURONS)]
    return sorted(out, key=lambda run: int(run[0]))


class _Traffic:
    """Connections between runs, and between runs and chips as they fill."""

    def __init__(self, between: Ints, chips: Ints) -> None:
        self.between = between
        self.chips = chips
        self.waiting = list(range(len(between)))

    def take(self, chip: int) -> int:
        """The run with most connections with the chip, the first of equals; it is on the chip now."""
        best = max(self.waiting, key=lambda run: (int(self.chips[run, chip]), -run))
        self.waiting.remove(best)
        self.chips[:, chip] += self.between[best]
        return best


def _traffic(runs: list[Ints], core: Ints, chips: int, n: int, pairs: Ints) -> _Traffic:
    """Count connections, in both directions. core: (n,) of neurons that have a place, over all chips."""
    run_of = np.full(n, -1, np.int64)
    for k, rows in enumerate(runs):
        run_of[rows] = k
    between, to_chips = np.zeros((len(runs), len(runs)), np.int64), np.zeros((len(runs), chips), np.int64)
    for one, other in (pairs.T, pairs[:, ::-1].T):
        mine, theirs, placed = run_of[one], run_of[other], core[other]
        both = (mine >= 0) & (theirs >= 0)
        np.add.at(between, (mine[both], theirs[both]), 1)
        reached = (mine >= 0) & (placed >= 0)
        np.add.at(to_chips, (mine[reached], placed[reached] // CORES), 1)
    return _Traffic(between, to_chips)
