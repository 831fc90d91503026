"""Events as the host receives them, and which neuron they tell of.

The hops of an event count up, one per chip it crosses, so an event that leaves the grid arrives with the position of
its chip plus the hops it was sent with: (x_hop, y_hop) = (x - 7, y + y_hop). The public scripts of boards decode a row
of chips in this way. Assumption, for want of a source: rows of chips count in y_hop as columns do in x_hop.
"""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.events import Probe
from hal.mapping import Mapping
from hal.probes import feeding
from hal_dynapse2.config import Dynapse2Config
from hal_dynapse2.limits import CONTROL_TAG, CORES, MAX_GRID, MONITOR_HOP, NEURONS
from hal_dynapse2.routes import departures

Ints = NDArray[Any]

NEURON: Final = 0
ECHO: Final = 1
"""A copy of an event that the host sent: from its own column, or with a tag of the virtual cores 4..7."""
CONTROL: Final = 2
"""The control event sent back by the FPGA."""
UNKNOWN: Final = 3
"""From no chip of the grid, or in no convention."""


@attrs.frozen(eq=False)
class Decoded:
    """(k,) each. kind: NEURON, ECHO, CONTROL or UNKNOWN; chip, core, neuron: -1 where it is no neuron's."""

    kind: Ints
    chip: Ints
    core: Ints
    neuron: Ints


def monitor_y_hop(y: Ints) -> Ints:
    """The y_hop of monitors of chips in rows y: what arrives differs for each row 0..7.

    0 for row 0, as in the scripts; -7 for rows 1..6, seen as -6..-1; -6 for row 7, seen as 1, as -7 would be seen as
    row 0.
    """
    rows = np.asarray(y).astype(np.int64)
    return np.where(rows == 0, 0, np.where(rows < MAX_GRID, MONITOR_HOP, MONITOR_HOP + 1))


def decode(x_hop: Ints, y_hop: Ints, tag: Ints, x: Ints, y: Ints) -> Decoded:
    """Which neuron events tell of, or what else they are. x, y: (chips,) positions, as in the configuration.

    x_hop, y_hop, tag: (k,) as received.
    """
    dx, dy, tags = (np.asarray(values).astype(np.int64) for values in (x_hop, y_hop, tag))
    side = MAX_GRID + 1
    chip_at = np.full((side, side), -1, np.int64)
    chip_at[x, y] = np.arange(np.asarray(x).size)
    column = dx - MONITOR_HOP
    row_of = np.full(2 * side + 1, -1, np.int64)
    rows = np.arange(side)
    row_of[rows + monitor_y_hop(rows) + side] = rows
    row = row_of[np.clip(dy, -side, side) + side]
    inside = (column >= 0) & (column < side) & (row >= 0)
    chip = np.where(inside, chip_at[np.clip(column, 0, side - 1), row], -1)
    core, neuron = np.divmod(tags, NEURONS)
    kind = np.where(chip >= 0, NEURON, UNKNOWN)
    kind[(core >= CORES) | (column == 0)] = ECHO
    # sent with hops (-7, -7) or (-1, -1), depending on the tool; 1024 is a control tag of the scripts with (-1, -1)
    kind[(tags == CONTROL_TAG) | ((tags == CORES * NEURONS) & (dx == -1) & (dy == -1))] = CONTROL
    none = kind != NEURON
    for values in (chip, core, neuron):
        values[none] = -1
    return Decoded(kind, chip, core, neuron)


# --- what becomes of it -----------------------------------------------------------------------------------------------


@attrs.frozen(eq=False)
class Heard:
    """What the host makes of neurons' events. source: rows that send, ascending; row: whom the host takes them for."""

    source: Ints
    row: Ints

    def of(self, t: Ints, neuron: Ints) -> tuple[Ints, Ints]:
        """Times and rows of spikes as the host hears them, once for each destination off the grid."""
        first = np.searchsorted(self.source, neuron)
        count = np.searchsorted(self.source, neuron, side="right") - first
        start = np.cumsum(count) - count
        pick = np.repeat(first - start, count) + np.arange(int(count.sum()))
        return np.repeat(t, count), self.row[pick]


def heard(config: Dynapse2Config) -> Heard:
    """By the registers alone: a destination with another tag makes the host take a neuron for another.

    rockpool 3.1.0 sends (-7, -7) and the number on the core, from which a host cannot tell cores apart; here each such
    neuron is taken for itself.
    """
    left = departures(config)
    found = decode(left.x_hop, left.y_hop, left.tag, config.chips.x, config.chips.y)
    row_of = np.full(config.chips.x.size * CORES * NEURONS, -1, np.int64)
    row_of[config.neurons.place] = np.arange(config.neurons.chip.size)
    place = (found.chip * CORES + found.core) * NEURONS + found.neuron
    row = np.where(found.kind == NEURON, row_of[np.maximum(place, 0)], -1)
    itself = (found.kind == UNKNOWN) & (left.tag == config.neurons.neuron[left.neuron])
    row = np.where(itself, left.neuron, row)
    return Heard(left.neuron[row >= 0], row[row >= 0])


def taps(mapping: Mapping) -> dict[str, list[tuple[int, int]]]:
    """Recorded keys with the rows behind them: (first, how many), for an Output those that feed it."""
    runs = {run.name: (run.first, run.size) for run in mapping.config.populations}
    return {key: [runs[source] for source in sources] for key, sources in feeding(mapping).items()}


def tapped(row: Ints, ranges: list[tuple[int, int]]) -> tuple[Ints, Ints]:
    """(which of the spikes, their indices in the node)."""
    there = np.zeros(row.size, bool)
    index = row.copy()
    for first, size in ranges:
        mine = (row >= first) & (row < first + size)
        there |= mine
        index[mine] -= first
    return there, index[there]


def rows(config: Dynapse2Config, probe: Probe) -> Ints:
    """Rows of a probe's neurons."""
    run = next(run for run in config.populations if run.name == probe.node)
    index = np.arange(run.size) if probe.indices is None else np.array(probe.indices, np.int64)
    return index + run.first


def who(config: Dynapse2Config, row: int) -> tuple[str, int]:
    """(population, index) of a row."""
    run = max((run for run in config.populations if run.first <= row), key=lambda run: run.first)
    return run.name, row - run.first
