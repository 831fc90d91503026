"""Groups of sources: at most 64 on a bus share labels, a row select and drivers.

Within a group and hemisphere, a row takes one synapse of each column, whatever its source, since labels are per
synapse. So it takes as many rows of a sign as its most demanding circuit has synapses of that sign (grenade, as read).
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_brainscales2.limits import (
    BUSES,
    COLUMNS,
    DRIVERS_PER_BUS,
    EVENT_OUTPUTS,
    HEMISPHERES,
    LABELS,
    ROWS_PER_DRIVER,
    column_row,
    event_bus,
)
from hal_brainscales2.network import Units
from hal_brainscales2.placement import Placement

Ints = NDArray[Any]
SIGNS = 2
"""Excitatory first."""


@attrs.define(eq=False)
class Group:
    """outputs: event outputs of its neurons, all of which have a label of it. events: of the external ones.

    synapses: (2 hemispheres, 2 signs, 256 columns) how many. mixed: whether it may have neurons and external sources.
    """

    bus: int
    outputs: tuple[int, ...]
    neurons: int
    mixed: bool = True
    synapses: Ints = attrs.field(factory=lambda: np.zeros((HEMISPHERES, SIGNS, COLUMNS), np.int64))
    events: list[int] = attrs.field(factory=list)

    @property
    def labels(self) -> int:
        """In use."""
        return self.neurons + len(self.events)

    def rows(self, more: Ints | int = 0) -> Ints:
        """(2 hemispheres, 2 signs): with so many synapses more."""
        return np.asarray((self.synapses + more).max(axis=2))

    def drivers(self, more: Ints | int = 0) -> Ints:
        """(2 hemispheres,): two rows each, of either sign."""
        return np.asarray(-(-self.rows(more).sum(axis=1) // ROWS_PER_DRIVER))


@attrs.frozen(eq=False)
class Grouping:
    """groups: by bus. event_source, event_reach: of each external event its source and hemispheres (bits 0 and 1).

    circuit, group: of each unit.
    """

    groups: tuple[Group, ...]
    event_source: Ints
    event_reach: Ints
    circuit: Ints
    group: Ints


def deal(units: Units, placement: Placement, n_external: int) -> tuple[Ints, Ints]:
    """Circuit, and bus (4 where the source is external), of each unit.

    Units of one target, sign and bus go to its circuits in turn, by source, so that no circuit has more than its share.
    """
    neuron = units.source - n_external
    bus = np.where(neuron < 0, BUSES, placement.bus[np.maximum(neuron, 0)] if placement.ptr.size > 1 else 0)
    first = placement.ptr[units.target]
    count = placement.ptr[units.target + 1] - first
    key = (units.target * (BUSES + 1) + bus) * SIGNS + (units.sign < 0)
    return placement.circuit[first + ranks(key, units.source) % count], bus


def ranks(key: Ints, order: Ints) -> Ints:
    """Place of each among those of its key, by `order`, then as given."""
    by = np.lexsort((order, key))
    ordered = key[by]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    rank = np.empty(key.size, np.int64)
    rank[by] = np.arange(key.size) - np.repeat(starts, np.diff(np.append(starts, key.size)))
    return rank


def group(units: Units, placement: Placement, n_external: int, share: bool = True, apart: bool = False) -> Grouping:
    """Neurons on the bus of their column, external sources where there is room, in order.

    share: a group has sources of any kind, so that a row has synapses of them all. Otherwise those of each event output
    and the external ones are apart (grenade). apart: so are event outputs that nobody hears, which takes no drivers
    and leaves their labels to others.
    """
    circuit, bus = deal(units, placement, n_external)
    column, hemisphere = column_row(circuit)
    sign = (units.sign < 0).astype(np.int64)
    group_of = np.full(units.source.size, -1, np.int64)
    inner = bus < BUSES
    heard = np.bincount(placement.output[units.source[inner] - n_external], minlength=EVENT_OUTPUTS) > 0
    groups, of_output = _of_neurons(placement, share, heard | (not apart))
    group_of[inner] = of_output[placement.output[units.source[inner] - n_external]]
    for k, made in enumerate(groups):
        own = group_of == k
        np.add.at(made.synapses, (hemisphere[own], sign[own], column[own]), 1)
    outer = np.flatnonzero(~inner)
    place = (hemisphere[outer] * SIGNS + sign[outer]) * COLUMNS + column[outer]
    event_source, reach, homes = _of_external(groups, units.source[outer], place, n_external)
    sources, reaches = np.array(event_source, np.int64), np.array(reach, np.int64)
    home = np.full((HEMISPHERES, n_external), -1, np.int64)
    for h in range(HEMISPHERES):
        there = np.flatnonzero(reaches >> h & 1)
        home[h, sources[there]] = np.array(homes, np.int64)[there]
    group_of[outer] = home[hemisphere[outer], units.source[outer]]
    return Grouping(tuple(groups), sources, reaches, circuit, group_of)


def _of_neurons(placement: Placement, share: bool, joined: Ints) -> tuple[list[Group], Ints]:
    """One group for each bus with neurons, two where their labels are too many; and the group of each event output.

    joined: (8,) event outputs that may be in a group with others.
    """
    count = np.bincount(placement.output, minlength=EVENT_OUTPUTS)
    groups: list[Group] = []
    of_output = np.full(EVENT_OUTPUTS, -1, np.int64)
    for bus in range(BUSES):
        outputs = [output for output in range(EVENT_OUTPUTS) if event_bus(output) == bus and count[output]]
        among = [output for output in outputs if joined[output]]
        together = share and among and count[among].sum() <= LABELS
        alone = [output for output in outputs if not together or output not in among]
        for part in [*([among] if together else []), *([output] for output in alone)]:
            of_output[part] = len(groups)
            groups.append(Group(bus, tuple(part), int(count[part].sum()), share and bool(joined[part].all())))
    return groups, of_output


def _of_external(
    groups: list[Group], source: Ints, place: Ints, n_external: int
) -> tuple[list[int], list[int], list[int]]:
    """Source, hemispheres and group of each event; groups are added to, and filled.

    A source with targets in both hemispheres is one event on the same bus of both where it fits, else one for each.
    """
    events: tuple[list[int], list[int], list[int]] = ([], [], [])
    order = np.argsort(source, kind="stable")
    ptr = np.searchsorted(source[order], np.arange(n_external + 1))
    shape = (HEMISPHERES, SIGNS, COLUMNS)
    room = _Room(groups)
    for s in range(n_external):
        here = place[order[ptr[s] : ptr[s + 1]]]
        more = np.bincount(here, minlength=int(np.prod(shape))).reshape(shape)
        reach = [h for h in range(HEMISPHERES) if more[h].any()]
        whole = room.home(more) if reach else None
        parts = [(more, reach)] if whole is not None else [(_only(more, h), [h]) for h in reach]
        for part, where in parts:
            home = room.home(part) if whole is None else whole
            home = room.last_resort(part) if home is None else home
            room.add(home, part, len(events[0]))
            for column, value in zip(events, (s, sum(1 << h for h in where), home), strict=True):
                column.append(value)
    return events


def _only(more: Ints, hemisphere: int) -> Ints:
    part = np.zeros_like(more)
    part[hemisphere] = more[hemisphere]
    return part


class _Room:
    """Where a source can go.

    taken: (4 buses, 2 hemispheres) drivers. open: groups that take external sources and have labels left, by bus.
    """

    def __init__(self, groups: list[Group]) -> None:
        self.groups = groups
        self.taken = np.zeros((BUSES, HEMISPHERES), np.int64)
        self.open: list[list[int]] = [[] for _ in range(BUSES)]
        for k, made in enumerate(groups):
            self.taken[made.bus] += made.drivers()
            if made.labels < LABELS and made.mixed:
                self.open[made.bus].append(k)

    def home(self, more: Ints) -> int | None:
        """The first group, bus by bus, that has room for a source; a new one where none has."""
        where = np.flatnonzero(more.any(axis=(1, 2)))
        for bus, groups in enumerate(self.open):
            for k in groups:
                made = self.groups[k]
                drivers = self.taken[bus] - made.drivers() + made.drivers(more)
                if (drivers[where] <= DRIVERS_PER_BUS).all():
                    return k
        fresh = self.taken + Group(0, (), 0).drivers(more)
        fits = (fresh[:, where] <= DRIVERS_PER_BUS).all(axis=1)
        if not fits.any():
            return None
        return self.new(int(np.argmin(np.where(fits, self.taken.sum(axis=1), self.taken.sum() + 1))))

    def last_resort(self, more: Ints) -> int:
        """Where a source does least harm that fits nowhere, so that the report can say how much is lacking."""
        bus = int(np.argmin(self.taken[:, more.any(axis=(1, 2))].sum(axis=1)))
        return self.open[bus][0] if self.open[bus] else self.new(bus)

    def new(self, bus: int) -> int:
        """An empty group."""
        self.groups.append(Group(bus, (), 0))
        self.open[bus].append(len(self.groups) - 1)
        return len(self.groups) - 1

    def add(self, group: int, more: Ints, event: int) -> None:
        """An event with its synapses."""
        made = self.groups[group]
        before = made.drivers()
        made.synapses += more
        made.events.append(event)
        self.taken[made.bus] += made.drivers() - before
        if made.labels == LABELS:
            self.open[made.bus].remove(group)
