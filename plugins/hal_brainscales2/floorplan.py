"""BrainScaleS-2 as its users know it: two hemispheres, each a synapse array with its drivers over a row of neurons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hal.floorplan import Box, FloorPlan
from hal_brainscales2.config import BrainScaleS2Config
from hal_brainscales2.limits import BUSES, COLUMNS, DRIVERS, HEMISPHERES, ROWS, ROWS_PER_DRIVER, driver_bus, row_driver

if TYPE_CHECKING:
    from hal.mapping import Mapping

PITCH: Final = 3.0
"""Width of a column, and height of a neuron's place over eight."""
ROW: Final = 1.1
"""Height of a synapse row."""
LEFT: Final = 92.0
RIGHT: Final = 186.0
TOP: Final = 34.0
ARRAY: Final = ROWS * ROW
NEURONS: Final = 26.0
"""Height of a row of neuron circuits."""
MOST_CELLS: Final = 4000
"""Parts that the synapse arrays are drawn with."""
WIDTHS: Final = (4, 8, 16, 32, 64, 128, 256)
"""Columns of one part; the smallest with which there are few enough of them."""


def floorplan(mapping: Mapping) -> FloorPlan:
    """The plan of what a mapping has on the chip."""
    config: BrainScaleS2Config = mapping.config
    width = LEFT + COLUMNS * PITCH + RIGHT
    middle = TOP + ARRAY + 12
    arrays = (TOP, middle + 2 * NEURONS + 16)
    height = arrays[1] + ARRAY + 16
    boxes = [Box(x=2, y=2, width=width - 4, height=height - 4, kind="chip", label="BrainScaleS-2")]
    step = _step(config)
    for hemisphere, y in enumerate(arrays):
        boxes += _array(config, hemisphere, y, step)
    boxes += _neurons(config, middle)
    caption = (
        f"Rows are synapse rows, red excitatory, blue inhibitory; a part is {step} columns, the darker the more of its "
        "synapses are in use. In the middle the neuron circuits of both hemispheres, left the drivers in use, by bus."
    )
    return FloorPlan(width=width, height=height, boxes=boxes, caption=caption)


def _parts(config: BrainScaleS2Config, step: int) -> NDArray[np.int64]:
    """(hemispheres, rows, parts) synapses in use."""
    used = config.routing.weight > 0
    return np.asarray(used.reshape(HEMISPHERES, ROWS, COLUMNS // step, step).sum(axis=3), np.int64)


def _step(config: BrainScaleS2Config) -> int:
    return next(step for step in WIDTHS if np.count_nonzero(_parts(config, step)) <= MOST_CELLS)


def _array(config: BrainScaleS2Config, hemisphere: int, y: float, step: int) -> Iterator[Box]:
    """The synapse array of a hemisphere with its drivers. Rows are drawn from row 0 at the top."""
    routing = config.routing
    signs = routing.row_sign[hemisphere]
    synapses = int((routing.weight[hemisphere] > 0).sum())
    rows = int((signs != 0).sum())
    drivers = routing.driver_on[hemisphere]
    facts = (f"rows {rows} of {ROWS}", f"synapses {synapses:,} of {ROWS * COLUMNS:,}",
             f"drivers {int(drivers.sum())} of {DRIVERS}")  # fmt: skip
    about = f"hemisphere {hemisphere}: {', '.join(facts)}"
    yield Box(x=LEFT, y=y, width=COLUMNS * PITCH, height=ARRAY, about=about)
    x = LEFT + COLUMNS * PITCH + 12
    yield Box(x=x, y=y, width=RIGHT - 16, height=14, kind="text", label=f"hemisphere {hemisphere}")
    for number, fact in enumerate(facts):
        yield Box(x=x, y=y + 18 + 16 * number, width=RIGHT - 16, height=14, kind="text", label=fact)
    yield from _drivers(drivers, hemisphere, y)
    parts = _parts(config, step)[hemisphere]
    for row, part in zip(*np.nonzero(parts), strict=True):
        sign: Literal[-1, 0, 1] = 1 if signs[row] > 0 else -1 if signs[row] < 0 else 0
        word = {1: "excitatory", -1: "inhibitory", 0: "off"}[sign]
        said = f"row {row} ({word}), columns {part * step}..{part * step + step - 1}: {parts[row, part]} synapses"
        yield Box(
            x=LEFT + float(part) * step * PITCH, y=y + float(row) * ROW, width=step * PITCH, height=ROW,
            kind="cell", sign=sign, fill=float(parts[row, part]) / step, about=said,
        )  # fmt: skip


def _drivers(on: NDArray[Any], hemisphere: int, y: float) -> Iterator[Box]:
    """A column for each bus; a driver stands beside its two rows."""
    for bus in range(BUSES):
        x = LEFT - 84 + 20 * bus
        used = int(on[driver_bus(np.arange(DRIVERS)) == bus].sum())
        about = f"hemisphere {hemisphere}, bus {bus}: {used} of {DRIVERS // BUSES} drivers"
        yield Box(x=x, y=y, width=16, height=ARRAY, about=about)
    for driver in np.flatnonzero(on).tolist():
        bus, rows = int(driver_bus(driver)), range(driver * ROWS_PER_DRIVER, (driver + 1) * ROWS_PER_DRIVER)
        assert row_driver(rows[0]) == driver
        said = f"driver {driver} on bus {bus}: rows {rows[0]} and {rows[-1]}"
        yield Box(x=LEFT - 83 + 20 * bus, y=y + rows[0] * ROW, width=14, height=ROW * ROWS_PER_DRIVER,
                  kind="cell", fill=1.0, about=said)  # fmt: skip


def _neurons(config: BrainScaleS2Config, y: float) -> Iterator[Box]:
    """Both rows of circuits, with whose they are."""
    owner = dict(zip(config.circuits.circuit.tolist(), config.circuits.neuron.tolist(), strict=True))
    counts = [sum(circuit // COLUMNS == half for circuit in owner) for half in range(HEMISPHERES)]
    for half in range(HEMISPHERES):
        at = y + half * (NEURONS + 4)
        x = LEFT + COLUMNS * PITCH + 12
        yield Box(x=x, y=at + 6, width=RIGHT - 16, height=14, kind="text",
                  label=f"circuits {counts[half]} of {COLUMNS}")  # fmt: skip
        yield Box(x=LEFT - 84, y=at + 6, width=80, height=14, kind="text", label="neurons")
        for column in range(COLUMNS):
            circuit = half * COLUMNS + column
            place: dict[str, Any] = {"x": LEFT + column * PITCH, "y": at, "width": PITCH - 0.6, "height": NEURONS}
            neuron = owner.get(circuit)
            if neuron is None:
                yield Box(**place, kind="cell")
                continue
            run = next(run for run in config.populations if run.first <= neuron < run.first + run.size)
            about = f"circuit {circuit}: {run.name}, neuron {neuron - run.first}"
            yield Box(**place, kind="cell", node=run.name, about=about)
