"""From groups to registers: labels, row selects, drivers, rows, synapses and the nodes of the crossbar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_brainscales2.groups import SIGNS, Grouping, ranks
from hal_brainscales2.limits import (
    BUSES,
    COLUMNS,
    CROSSBAR_INPUTS,
    CROSSBAR_OUTPUTS,
    DRIVERS,
    EVENT_OUTPUTS,
    HEMISPHERES,
    LABEL_BITS,
    LINK_SHIFT,
    ROW_SELECT_SHIFT,
    ROWS,
    ROWS_PER_DRIVER,
    bus_output,
    column_row,
    driver_at,
    event_bus,
    external_input,
    host_output,
)
from hal_brainscales2.network import Units
from hal_brainscales2.placement import Placement
from hal_brainscales2.selects import Chosen

Ints = NDArray[Any]
ALL_BITS = 2**LABEL_BITS - 1
REACH_SHIFT = 11
"""Bits 11 and 12 of an external event say which hemispheres it is for: neither drivers nor synapses look at them."""


@attrs.frozen(eq=False)
class Tables:
    """Registers, and where synapses are.

    neuron_label: (n,) 14 bits; bits 0..7 are to be set, 8..10 follow from the column. event_source, event_label: (k,)
    what the host sends for an external source, 16 bits; sources of both hemispheres may have two. crossbar_mask,
    crossbar_target: (20, 12); nodes that pass nothing have mask 0 and target 0x3fff. driver_group: (2, 128), -1 is
    off; driver_mask: (2, 128). row_sign: (2, 256) 1, -1, or 0 for off. weight, label: (2, 256 rows, 256 columns).
    unit_connection, unit_hemisphere, unit_row, unit_column: (u,) synapses taken, by `network.Units`.
    background_source, background_label: (b,) events that sources of the chip can send; the allocator uses none.
    """

    n_external: int
    neuron_label: Ints
    event_source: Ints
    event_label: Ints
    crossbar_mask: Ints
    crossbar_target: Ints
    driver_group: Ints
    driver_mask: Ints
    row_sign: Ints
    weight: Ints
    label: Ints
    unit_connection: Ints
    unit_hemisphere: Ints
    unit_row: Ints
    unit_column: Ints
    background_source: Ints = attrs.field(factory=lambda: np.zeros(0, np.int64))
    background_label: Ints = attrs.field(factory=lambda: np.zeros(0, np.int64))


def tables(
    units: Units,
    placement: Placement,
    grouping: Grouping,
    chosen: dict[int, Chosen],
    recorded: NDArray[np.bool_],
    n_external: int,
) -> Tables:
    """Registers of a grouping whose buses have their row selects. recorded: (n,) neurons that the host hears."""
    label, select, event_label, event_select = _labels(placement, grouping, chosen)
    neuron_label = label | select << ROW_SELECT_SHIFT
    home = np.zeros(grouping.event_source.size, np.int64)
    for made in grouping.groups:
        home[made.events] = made.bus
    sent = event_label | event_select << ROW_SELECT_SHIFT | grouping.event_reach << REACH_SHIFT | home << LINK_SHIFT
    driver_group, driver_mask, slots = _drivers(grouping, chosen)
    column, hemisphere = column_row(grouping.circuit)
    row, row_sign = _rows(units, grouping, slots)
    unit_label = _unit_labels(units, grouping, label, event_label, n_external)
    weights, labels = (np.zeros((HEMISPHERES, ROWS, COLUMNS), np.uint8) for _ in range(2))
    weights[hemisphere, row, column] = units.weight
    labels[hemisphere, row, column] = unit_label
    mask, target = _crossbar(units, placement, grouping, neuron_label, recorded, n_external)
    return Tables(
        n_external=n_external,
        neuron_label=neuron_label,
        event_source=grouping.event_source,
        event_label=sent,
        crossbar_mask=mask,
        crossbar_target=target,
        driver_group=driver_group,
        driver_mask=driver_mask,
        row_sign=row_sign,
        weight=weights,
        label=labels,
        unit_connection=units.connection,
        unit_hemisphere=hemisphere,
        unit_row=row,
        unit_column=column,
    )


def _members(chosen: dict[int, Chosen], grouping: Grouping) -> list[tuple[tuple[int, ...], Any]]:
    """Row selects and positions of each group."""
    seen = dict.fromkeys(range(BUSES), 0)
    found = []
    for made in grouping.groups:
        k, seen[made.bus] = seen[made.bus], seen[made.bus] + 1
        found.append((chosen[made.bus].selects[k], (chosen[made.bus].positions[k], chosen[made.bus].masks[k])))
    return found


def _labels(placement: Placement, grouping: Grouping, chosen: dict[int, Chosen]) -> tuple[Ints, Ints, Ints, Ints]:
    """Label and row select of neurons, then of external events; in a group, neurons come first."""
    output = placement.output
    label, select = np.zeros(output.size, np.int64), np.zeros(output.size, np.int64)
    event_label, event_select = (np.zeros(grouping.event_source.size, np.int64) for _ in range(2))
    for made, (selects, _) in zip(grouping.groups, _members(chosen, grouping), strict=True):
        own = np.flatnonzero(np.isin(output, made.outputs))
        label[own] = np.arange(own.size)
        for number, value in zip(made.outputs, selects, strict=False):
            select[own[output[own] == number]] = value
        event_label[made.events] = own.size + np.arange(len(made.events))
        event_select[made.events] = selects[0]
    return label, select, event_label, event_select


def _drivers(grouping: Grouping, chosen: dict[int, Chosen]) -> tuple[Ints, Ints, dict[tuple[int, int], Ints]]:
    """Group and mask of each driver; and the rows of each group and hemisphere."""
    group = np.full((HEMISPHERES, DRIVERS), -1, np.int64)
    mask = np.zeros((HEMISPHERES, DRIVERS), np.int64)
    rows = {}
    for g, (_, (positions, masks)) in enumerate(_members(chosen, grouping)):
        for h in range(HEMISPHERES):
            drivers = driver_at(grouping.groups[g].bus, positions[h])
            group[h, drivers] = g
            mask[h, drivers] = masks[h]
            rows[g, h] = (drivers[:, None] * ROWS_PER_DRIVER + np.arange(ROWS_PER_DRIVER)).ravel()
    return group, mask, rows


def _rows(units: Units, grouping: Grouping, slots: dict[tuple[int, int], Ints]) -> tuple[Ints, Ints]:
    """Row of each unit, and sign of each row: the excitatory ones of a group come first."""
    column, hemisphere = column_row(grouping.circuit)
    sign = (units.sign < 0).astype(np.int64)
    key = ((grouping.group * HEMISPHERES + hemisphere) * SIGNS + sign) * COLUMNS + column
    slot = ranks(key, units.source)
    row = np.zeros(slot.size, np.int64)
    row_sign = np.zeros((HEMISPHERES, ROWS), np.int64)
    for (g, h), rows in slots.items():
        excitatory, inhibitory = grouping.groups[g].rows()[h].tolist()
        row_sign[h, rows[:excitatory]] = 1
        row_sign[h, rows[excitatory : excitatory + inhibitory]] = -1
        own = (grouping.group == g) & (hemisphere == h)
        row[own] = rows[slot[own] + np.where(sign[own] == 1, excitatory, 0)] if own.any() else 0
    return row, row_sign


def _unit_labels(units: Units, grouping: Grouping, label: Ints, event_label: Ints, n_external: int) -> Ints:
    """Of the neuron, or of the event that reaches the hemisphere."""
    hemisphere = column_row(grouping.circuit)[1]
    event = np.full((HEMISPHERES, n_external), -1, np.int64)
    for h in range(HEMISPHERES):
        there = np.flatnonzero(grouping.event_reach >> h & 1)
        event[h, grouping.event_source[there]] = event_label[there]
    return np.where(
        units.source < n_external,
        event[hemisphere, np.minimum(units.source, n_external - 1)] if n_external else 0,
        label[np.maximum(units.source - n_external, 0)] if label.size else 0,
    )


def _crossbar(
    units: Units,
    placement: Placement,
    grouping: Grouping,
    neuron_label: Ints,
    recorded: NDArray[np.bool_],
    n_external: int,
) -> tuple[Ints, Ints]:
    """What each node lets through: the smallest set that a mask can select around those that must pass.

    Of the neurons, others of the same event output may pass, too; no synapse has their label there. External events
    pass exactly where they belong.
    """
    mask = np.zeros((CROSSBAR_INPUTS, CROSSBAR_OUTPUTS), np.int64)
    target = np.full_like(mask, ALL_BITS)
    hemisphere = column_row(grouping.circuit)[1]
    for output in range(EVENT_OUTPUTS):
        there = placement.output == output
        nodes: list[tuple[int, Ints]] = [(host_output(event_bus(output)), np.flatnonzero(there & recorded))]
        for h in range(HEMISPHERES):
            heard = np.unique(units.source[hemisphere == h]) - n_external
            heard = heard[heard >= 0]
            nodes.append((bus_output(h, event_bus(output)), heard[there[heard]]))
        for node, who in nodes:
            if who.size:
                mask[output, node], target[output, node] = around(neuron_label[who].tolist())
    for made in grouping.groups:
        for h in range(HEMISPHERES):
            if (grouping.event_reach[made.events] >> h & 1).any():
                entry, node = external_input(made.bus), bus_output(h, made.bus)
                mask[entry, node] = target[entry, node] = 1 << REACH_SHIFT + h
    return mask, target


def around(labels: Sequence[int]) -> tuple[int, int]:
    """Mask and target of the smallest selectable set of labels that holds these: the bits they have in common."""
    differ = 0
    for label in labels:
        differ |= label ^ labels[0]
    mask = ALL_BITS & ~differ
    return mask, labels[0] & mask
