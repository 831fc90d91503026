"""DYNAP-SE2 as its users know it: four cores of 256 neurons on each chip, and how full their CAM and SRAM are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hal.floorplan import Arrow, Box, FloorPlan, memory
from hal_dynapse2.config import Dynapse2Config
from hal_dynapse2.limits import CAM_ENTRIES, CORES, NEURONS, SRAM_ENTRIES, TAGS
from hal_dynapse2.routes import packets

if TYPE_CHECKING:
    from hal.mapping import Mapping

SIDE: Final = 16
"""Neurons in a row of a core, as drawn."""
CELL: Final = 13.0
GAP: Final = 52.0
"""Between cores: the router's room."""
BARS: Final = 4
LINE: Final = 19.0
CORE: Final = SIDE * CELL + 16
TALL: Final = CORE + 20 + BARS * LINE
MARGIN: Final = 26.0
LEFT: Final = 96.0
"""The host's room, left of the first column of chips."""
CHIP: Final = 2 * CORE + GAP + 2 * MARGIN
APART: Final = 56.0
"""Between chips."""
CELLS_OF: Final = 4
"""Chips up to which every neuron is drawn; of more, the cores' bars alone."""
Ints = NDArray[Any]


def floorplan(mapping: Mapping) -> FloorPlan:
    """The plan of what a mapping has on its grid of chips."""
    config: Dynapse2Config = mapping.config
    chips = list(zip(config.chips.x.tolist(), config.chips.y.tolist(), strict=True))
    top = max(y for _, y in chips)
    wide, tall = CHIP, 2 * TALL + GAP + 2 * MARGIN
    # chips are counted from 1 to the east, and upwards to the north
    at = [(LEFT + (x - 1) * (wide + APART), 6 + (top - y) * (tall + APART)) for x, y in chips]
    boxes: list[Box] = []
    for chip, (x, y) in enumerate(at):
        boxes.append(Box(x=x, y=y, width=wide, height=tall, kind="chip", label=f"chip {chip}"))
        for core in range(CORES):
            boxes += _core(mapping, chip, core, *_place(x, y, core), cells=len(chips) <= CELLS_OF)
    width = max(x for x, _ in at) + wide + 6
    height = max(y for _, y in at) + tall + 6
    first = at[0]
    boxes.append(Box(x=4, y=first[1] + tall / 2 - 14, width=60, height=28, kind="port", label="host"))
    caption = "A square is a neuron: the darker, the more of its 64 CAM entries (synapses) are in use. "
    caption += "An arrow: packets of one spike of each sender, summed."
    return FloorPlan(width=width, height=height, boxes=boxes, arrows=tuple(_arrows(mapping, at, tall)), caption=caption)


def _place(x: float, y: float, core: int) -> tuple[float, float]:
    return x + MARGIN + core % 2 * (CORE + GAP), y + MARGIN + core // 2 * (TALL + GAP)


def _core(mapping: Mapping, chip: int, core: int, x: float, y: float, *, cells: bool) -> Iterator[Box]:
    config: Dynapse2Config = mapping.config
    rows = np.flatnonzero((config.neurons.chip == chip) & (config.neurons.core == core))
    cam = (config.cam.dendrite[rows] > 0).sum(axis=1)
    sram = (config.sram.core_mask[rows] > 0).sum(axis=1)
    names = [_name(config, int(row)) for row in rows]
    held = ", ".join(f"{name} ({names.count(name)})" for name in dict.fromkeys(names)) or "not in use"
    yield Box(x=x, y=y, width=CORE, height=TALL, label=f"core {core}", about=f"chip {chip}, core {core}: {held}")
    if cells:
        yield from _cells(config, rows, names, cam, sram, x + 8, y + 20)
    live = config.cam.dendrite[rows] > 0
    used = (
        ("neurons", rows.size, NEURONS, "neurons"),
        ("CAM", int(cam.sum()), NEURONS * CAM_ENTRIES, _fullest(cam, CAM_ENTRIES)),
        ("SRAM", int(sram.sum()), NEURONS * SRAM_ENTRIES, _fullest(sram, SRAM_ENTRIES)),
        ("tags", np.unique(config.cam.tag[rows][live]).size, TAGS, "tags listened to"),
    )
    at = y + 20 + SIDE * CELL + 6
    for number, (name, needed, limit, unit) in enumerate(used):
        yield Box(x=x + 8, y=at + number * LINE, width=52, height=15, kind="text", label=name)
        yield memory(x + 60, at + number * LINE, CORE - 68, 15, f"{needed:,} of {limit:,}", needed, limit, unit)


def _fullest(entries: Ints, there: int) -> str:
    return f"entries; fullest neuron {entries.max(initial=0)} of {there}"


def _cells(
    config: Dynapse2Config, rows: Ints, names: list[str], cam: Ints, sram: Ints, x: float, y: float
) -> Iterator[Box]:
    """A square for every neuron, in use or not."""
    by_neuron = {int(config.neurons.neuron[row]): k for k, row in enumerate(rows.tolist())}
    for neuron in range(NEURONS):
        square: dict[str, Any] = {
            "x": x + neuron % SIDE * CELL, "y": y + neuron // SIDE * CELL, "width": CELL - 2, "height": CELL - 2
        }  # fmt: skip
        k = by_neuron.get(neuron)
        if k is None:
            yield Box(**square, kind="cell")
            continue
        about = f"neuron {neuron}: {names[k]}, CAM {cam[k]} of {CAM_ENTRIES}, SRAM {sram[k]} of {SRAM_ENTRIES}"
        yield Box(**square, kind="cell", node=names[k], fill=float(cam[k]) / CAM_ENTRIES, about=about)


def _name(config: Dynapse2Config, row: int) -> str:
    return next(run.name for run in config.populations if run.first <= row < run.first + run.size)


def _arrows(mapping: Mapping, at: list[tuple[float, float]], tall: float) -> Iterator[Arrow]:
    """From the host and from core to core, or from chip to chip where there are several."""
    config: Dynapse2Config = mapping.config
    source, core, _ = packets(config)
    inputs = config.n_inputs
    home = np.where(source < inputs, -1, config.neurons.core_place[np.maximum(source - inputs, 0)])
    several = len(at) > 1
    if several:
        home, core = np.where(home < 0, -1, home // CORES), core // CORES
    ways, counts = np.unique(np.stack([home, core], axis=1), axis=0, return_counts=True)
    start = (64.0, at[0][1] + tall / 2)
    if several:
        fed = int(counts[ways[:, 0] < 0].sum())
        if fed:
            # whichever chip they are for, they come in at the first
            about = f"host -> the grid: {fed:,} packets"
            yield Arrow(points=(start, (at[0][0], start[1])), label=f"{fed:,}", about=about)
    for (begin, end), count in zip(ways.tolist(), counts.tolist(), strict=True):
        if begin == end or (several and begin < 0):
            continue
        to = f"{f'chip {end}' if several else _said(end)}: {count:,} packets"
        if begin < 0:
            yield Arrow(points=(start, _edge(at, end)), label=f"{count:,}", about=f"host -> {to}")
        elif several:
            points = _shortened(_center(at[begin], tall), _center(at[end], tall), CHIP, tall)
            yield Arrow(points=points, label=f"{count:,}", about=f"chip {begin} -> {to}")
        else:
            points = _shortened(_middle(at, begin), _middle(at, end), CORE, TALL)
            yield Arrow(points=points, label=f"{count:,}", about=f"{_said(begin)} -> {to}")


def _center(at: tuple[float, float], tall: float) -> tuple[float, float]:
    return at[0] + CHIP / 2, at[1] + tall / 2


def _said(core: int) -> str:
    return f"chip {core // CORES}, core {core % CORES}"


def _middle(at: list[tuple[float, float]], core: int) -> tuple[float, float]:
    x, y = _place(*at[core // CORES], core % CORES)
    return x + CORE / 2, y + TALL / 2


def _edge(at: list[tuple[float, float]], core: int) -> tuple[float, float]:
    """Where the host's arrow ends: at the left of a core of the first column, else at a core's inner border."""
    x, y = _place(*at[core // CORES], core % CORES)
    upper = core % CORES < 2
    if core % 2 == 0:
        return x - 2, y + TALL * (0.75 if upper else 0.25)
    return x + 20, y + TALL + 2 if upper else y - 2


def _shortened(
    a: tuple[float, float], b: tuple[float, float], wide: float, tall: float
) -> tuple[tuple[float, float], ...]:
    """From border to border, and to the right of the way, so that there and back are two arrows."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = (dx * dx + dy * dy) ** 0.5
    reach = min(wide / 2 / abs(dx) if dx else np.inf, tall / 2 / abs(dy) if dy else np.inf)
    ux, uy = -dy / length * 12, dx / length * 12
    start, end = reach, 1 - reach
    return (a[0] + dx * start + ux, a[1] + dy * start + uy), (a[0] + dx * end + ux, a[1] + dy * end + uy)
