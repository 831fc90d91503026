"""Loihi as its users know it: the grid of 128 cores of each chip, and how full each of them is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hal.floorplan import Box, FloorPlan
from hal_loihi.config import LoihiConfig
from hal_loihi.limits import COMPARTMENTS, CORES_PER_CHIP, IN_AXONS

if TYPE_CHECKING:
    from hal.mapping import Mapping

COLUMNS: Final = 16
WIDE, TALL = 62.0, 58.0
GAP: Final = 5.0
BESIDE: Final = 2
"""Chips side by side."""
MOST_CHIPS: Final = 8
"""Chips drawn: the parts of a plan are limited."""
MOST_NODES: Final = 3
"""Populations drawn on one core."""


def floorplan(mapping: Mapping) -> FloorPlan:
    """The plan of what a mapping has on its chips."""
    config: LoihiConfig = mapping.config
    chips = sorted(set(config.cores.chip.tolist()))
    shown = chips[:MOST_CHIPS]
    wide = COLUMNS * (WIDE + GAP) + 2 * GAP + 4
    tall = CORES_PER_CHIP // COLUMNS * (TALL + GAP) + 30
    usage = _Usage(mapping)
    boxes: list[Box] = []
    for number, chip in enumerate(shown):
        x, y = 4 + number % BESIDE * (wide + 12), 4 + number // BESIDE * (tall + 12)
        boxes.append(Box(x=x, y=y, width=wide, height=tall, kind="chip", label=f"chip {chip}"))
        for core in range(CORES_PER_CHIP):
            at = x + 2 * GAP + core % COLUMNS * (WIDE + GAP), y + 24 + core // COLUMNS * (TALL + GAP)
            boxes += usage.core(chip, core, *at)
    across = min(len(shown), BESIDE)
    caption = (
        f"Of each core, the upper bar is its {COMPARTMENTS:,} compartments, by population; below, its synapses against "
        f"the fullest core ({usage.most:,}), and the sources it listens to against its {IN_AXONS:,} input axons."
    )
    if len(chips) > len(shown):
        caption += f" The first {len(shown)} of {len(chips)} chips are drawn."
    height = 8 + -(-len(shown) // BESIDE) * (tall + 12)
    return FloorPlan(width=8 + across * (wide + 12), height=height, boxes=boxes, caption=caption)


class _Usage:
    """What each core holds, counted from the registers."""

    def __init__(self, mapping: Mapping) -> None:
        config: LoihiConfig = mapping.config
        cores = config.cores.chip.size
        places = zip(config.cores.chip.tolist(), config.cores.core.tolist(), strict=True)
        self.row = {place: row for row, place in enumerate(places)}
        of_target = config.compartments.core[config.synapses.target]
        self.synapses = np.bincount(of_target, minlength=cores)
        self.most = int(self.synapses.max(initial=0))
        source = np.repeat(np.arange(config.synapses.indptr.size - 1), np.diff(config.synapses.indptr))
        pairs = np.unique(of_target.astype(np.int64) * max(config.synapses.indptr.size, 1) + source)
        self.sources = np.bincount(pairs // max(config.synapses.indptr.size, 1), minlength=cores)
        self.nodes = self._nodes(config)

    def _nodes(self, config: LoihiConfig) -> dict[int, list[tuple[str, int]]]:
        """Row of the core table -> populations and their compartments there."""
        out: dict[int, list[tuple[str, int]]] = {}
        for run in config.populations:
            size = int(np.prod(run.shape, dtype=np.int64))
            here: NDArray[Any] = config.compartments.core[run.first : run.first + size]
            for row, count in zip(*np.unique(here, return_counts=True), strict=True):
                out.setdefault(int(row), []).append((run.name, int(count)))
        return out

    def core(self, chip: int, core: int, x: float, y: float) -> Iterator[Box]:
        """One core: its outline, and bars where it is in use."""
        row = self.row.get((chip, core))
        held = [] if row is None else self.nodes.get(row, [])
        said = ", ".join(f"{name} ({count:,})" for name, count in held) or "not in use"
        yield Box(x=x, y=y, width=WIDE, height=TALL, label=f"{core}", about=f"chip {chip}, core {core}: {said}")
        if row is None:
            return
        inner = WIDE - 10
        yield Box(x=x + 5, y=y + 20, width=inner, height=11, kind="memory", fill=0.0, about=said)
        done = 0.0
        for name, count in held[:MOST_NODES]:
            length = max(inner * count / COMPARTMENTS, 1.0)
            about = f"core {core}: {name}, {count:,} of {COMPARTMENTS:,} compartments"
            yield Box(x=x + 5 + done, y=y + 20, width=length, height=11, kind="cell", node=name, about=about)
            done += length
        synapses, sources = int(self.synapses[row]), int(self.sources[row])
        about = f"core {core}: {synapses:,} synapses"
        fill = synapses / self.most if self.most else 0.0
        yield Box(x=x + 5, y=y + 33, width=inner, height=8, kind="memory", fill=fill, about=about)
        about = f"core {core}: {sources:,} sources"
        yield Box(x=x + 5, y=y + 43, width=inner, height=8, kind="memory", fill=sources / IN_AXONS, about=about)
