"""From the registers back to who hears whom, by labels alone, as the chip does it.

An event passes the nodes of the crossbar that select its label, reaches the drivers whose masks select its row select,
and makes every synapse in their rows react that has its label, whoever sent it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_brainscales2.limits import (
    BUSES,
    CIRCUITS,
    CROSSBAR_INPUTS,
    CROSSBAR_OUTPUTS,
    DRIVERS_PER_BUS,
    EVENT_OUTPUTS,
    HEMISPHERES,
    LABEL_BITS,
    LABELS,
    LINK_SHIFT,
    OUTPUT_SHIFT,
    ROW_SELECT_SHIFT,
    ROW_SELECTS,
    background_input,
    bus_output,
    circuit,
    driver_at,
    driver_rows,
    event_bus,
    external_input,
    host_output,
    node_exists,
)
from hal_brainscales2.network import Network
from hal_brainscales2.placement import Placement
from hal_brainscales2.routing import Tables

Ints = NDArray[Any]
NODES = np.array([[node_exists(k, output) for output in range(CROSSBAR_OUTPUTS)] for k in range(CROSSBAR_INPUTS)])
"""(20, 12): the nodes there are."""


@attrs.frozen
class Confusion:
    """Sources that are one to what hears them. where: hemisphere and driver, or "host"."""

    where: str
    label: int
    sources: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.where}: sources {', '.join(map(str, self.sources))} have the same label {self.label}"


@attrs.frozen(eq=False)
class Heard:
    """(c,) each, by source and target, as in `Network`: sums of weights. Pairs without weight are not there.

    Events of the chip's own sources, where there are any, are numbered between external sources and neurons.
    unowned: hardware that reacts but is nobody's, in words: synapses of free circuits, or labels that do not belong to
    a neuron's column.
    """

    source: Ints
    target: Ints
    excitation: Ints
    inhibition: Ints
    confusions: tuple[Confusion, ...] = ()
    unowned: tuple[str, ...] = ()


def asked(network: Network) -> Heard:
    """What a network asks for, in the words of `verify`."""
    offsets = network.offsets
    columns: list[list[Ints]] = [[], [], []]
    for projection in network.projections:
        start = 0 if projection.source < 0 else network.n_external + offsets[projection.source]
        for column, values in zip(
            columns,
            (projection.source_index + start, projection.target_index + offsets[projection.target], projection.weight),
            strict=True,
        ):
            column.append(values)
    source, target, weight = (np.concatenate([*column, np.zeros(0)]).astype(np.int64) for column in columns)
    return _summed(source, target, weight)


def verify(placement: Placement, registers: Tables) -> Heard:
    """Who hears whom, with what weights, and which sources cannot be told apart where they arrive."""
    n = placement.ptr.size - 1
    owner = np.full(CIRCUITS, -1, np.int64)
    owner[placement.circuit] = np.repeat(np.arange(n), np.diff(placement.ptr))
    source, kin, entry, label, unowned = _events(placement, registers)
    found: list[list[Ints]] = [[], [], []]
    confusions: list[Confusion] = []
    for h, driver, taken in _arriving(registers, entry, label):
        six = label[taken] & (LABELS - 1)
        confusions += _confused(f"hemisphere {h}, driver {driver}", source[taken], kin[taken], six)
        for row in driver_rows(driver):
            event, column = np.nonzero((registers.label[h, row] == six[:, None]) & (registers.weight[h, row] > 0))
            found[0].append(source[taken[event]])
            found[1].append(owner[circuit(column, h)])
            found[2].append(registers.weight[h, row, column].astype(np.int64) * registers.row_sign[h, row])
    to_host = [passes(registers, entry, label, host_output(link)) for link in range(BUSES)]
    for link, passing in enumerate(to_host):
        inner = passing[(entry[passing] < EVENT_OUTPUTS) | (entry[passing] >= background_input(0))]
        confusions += _confused(f"host, link {link}", source[inner], kin[inner], label[inner])
    who, target, weight = (np.concatenate([*column, np.zeros(0)]).astype(np.int64) for column in found)
    if (target < 0).any():
        unowned.append(f"{np.count_nonzero(target < 0)} synapses react in circuits of no neuron")
    own = target >= 0
    made = _summed(who[own], target[own], weight[own])
    return attrs.evolve(made, confusions=tuple(confusions), unowned=tuple(unowned))


@attrs.frozen(eq=False)
class Hearing:
    """Which drivers hear which source. Drivers that hear the same ones are a family.

    family, label: (sources, hemispheres), -1 where nobody hears it. rows: (family, hemisphere) -> its rows, rising.
    Sources: external ones, then neurons.
    """

    family: Ints
    label: Ints
    rows: dict[tuple[int, int], Ints]


def hearing(placement: Placement, registers: Tables) -> Hearing:
    """By crossbar, row selects and labels of sources, whatever synapses there are."""
    size = registers.n_external + placement.ptr.size - 1
    source, _, entry, label, _ = _events(placement, registers)
    neuron = entry < EVENT_OUTPUTS
    source = np.where(neuron, source - registers.background_source.size, source)
    background = entry >= background_input(0)
    made = Hearing(np.full((size, HEMISPHERES), -1), np.full((size, HEMISPHERES), -1), {})
    families: dict[tuple[int, bytes], int] = {}
    for h, driver, taken in _arriving(registers, entry, label):
        own = taken[~background[taken]]
        family = families.setdefault((h, own.tobytes()), len(families))
        made.family[source[own], h], made.label[source[own], h] = family, label[own] & (LABELS - 1)
        rows = [*made.rows.get((family, h), np.zeros(0, np.int64)), *driver_rows(driver)]
        made.rows[family, h] = np.sort(np.array(rows, np.int64))
    return made


def _arriving(registers: Tables, entry: Ints, label: Ints) -> Iterator[tuple[int, int, Ints]]:
    """Hemisphere, driver, and the events that reach it, for all drivers in use."""
    for h in range(HEMISPHERES):
        for bus in range(BUSES):
            passing = passes(registers, entry, label, bus_output(h, bus))
            for position in range(DRIVERS_PER_BUS):
                driver = driver_at(bus, position)
                if registers.driver_group[h, driver] < 0:
                    continue
                mask = registers.driver_mask[h, driver]
                select = label[passing] >> ROW_SELECT_SHIFT & (ROW_SELECTS - 1)
                yield h, driver, passing[(select & mask) == (position & mask)]


def passes(registers: Tables, entry: Ints, label: Ints, output: int) -> Ints:
    """Which events, by input of the crossbar and label, an output of the crossbar gets."""
    mask, target = registers.crossbar_mask[entry, output], registers.crossbar_target[entry, output]
    return np.flatnonzero(NODES[entry, output] & ((label & (2**LABEL_BITS - 1) & mask) == target))


def _events(placement: Placement, registers: Tables) -> tuple[Ints, Ints, Ints, Ints, list[str]]:
    """Source, who is behind it, crossbar input and label of all events there can be; labels that neurons cannot have.

    Behind the labels of a background source is one and the same: where they are not told apart, nothing is confused.
    """
    own = registers.background_source
    inner = registers.n_external + np.arange(own.size + placement.ptr.size - 1)
    source = np.concatenate([registers.event_source, inner])
    kin = np.concatenate([registers.event_source, -1 - own, inner[own.size :]])
    external = external_input(registers.event_label >> LINK_SHIFT)
    entry = np.concatenate([external, background_input(own), placement.output])
    fixed = registers.neuron_label >> OUTPUT_SHIFT
    wrong = np.flatnonzero(fixed != placement.output)
    text = [
        f"neuron {k}: label {registers.neuron_label[k]} says event output {fixed[k]}, its column has "
        f"{placement.output[k]} (bus {event_bus(placement.output[k])})"
        for k in wrong.tolist()
    ]
    label = np.concatenate([registers.event_label, registers.background_label, registers.neuron_label])
    return source, kin, entry, label, text


def _confused(where: str, source: Ints, kin: Ints, label: Ints) -> list[Confusion]:
    values, count = np.unique(label, return_counts=True)
    found = []
    for value in values[count > 1].tolist():
        mine = label == value
        if np.unique(kin[mine]).size > 1:
            found.append(Confusion(where, value, tuple(np.unique(source[mine]).tolist())))
    return found


def _summed(source: Ints, target: Ints, weight: Ints) -> Heard:
    """Sums by pair and sign."""
    size = int(target.max(initial=0)) + 1
    key, inverse = np.unique(source * size + target, return_inverse=True)
    excitation, inhibition = (
        np.bincount(inverse, weights=np.maximum(sign * weight, 0), minlength=key.size).astype(np.int64)
        for sign in (1, -1)
    )
    kept = (excitation > 0) | (inhibition > 0)
    return Heard(key[kept] // size, key[kept] % size, excitation[kept], inhibition[kept])
