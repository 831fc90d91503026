"""Speck as its users know it: the sensor, the convolution cores with their memories, and who sends to whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from hal.floorplan import Arrow, Box, FloorPlan
from hal_dynapcnn import chips
from hal_dynapcnn.allocator import memory_words
from hal_dynapcnn.config import CnnLayerConfig, SpeckConfig

if TYPE_CHECKING:
    from hal.mapping import Mapping

COLUMNS: Final = 3
WIDE, TALL = 178.0, 104.0
"""Of a core."""
GAP: Final = 34.0
"""Between cores: the arrows' room."""
LEFT: Final = 150.0
"""Where the cores begin: the ways in are left of them."""
TOP: Final = 30.0
BAR: Final = 112.0
"""Length of the largest memory of a kind on the chip."""
MEMORIES: Final = ("kernel", "neuron", "bias")
LANE: Final = 5.0
"""Between arrows that run side by side."""


def floorplan(mapping: Mapping) -> FloorPlan:
    """The plan of what a mapping has on one chip."""
    config: SpeckConfig = mapping.config
    table = chips.CHIPS[config.chip]
    nodes = _nodes(mapping)
    rows = -(-table.n_cores // COLUMNS)
    width = LEFT + COLUMNS * (WIDE + GAP) + (110 if table.readout else 0)
    height = TOP + rows * (TALL + GAP) + 8
    boxes = [Box(x=2, y=2, width=width - 4, height=height - 4, kind="chip", label=config.chip)]
    for core in range(table.n_cores):
        boxes += _core(mapping, table, core, nodes.get(core, ""))
    ways = _Ways(config, nodes, table.readout)
    arrows = tuple(ways.all())
    caption = "Each core with its memories, to scale, and how full they are; an arrow is a destination, with pooling."
    return FloorPlan(width=width, height=height, boxes=(*boxes, *ways.ports()), arrows=arrows, caption=caption)


def _nodes(mapping: Mapping) -> dict[int, str]:
    """Core -> the population on it."""
    rows = mapping.placement.rows
    pairs = {(int(core), int(node)) for core, node in rows[rows["core"] >= 0][["core", "node"]].tolist()}
    return {core: mapping.placement.nodes[node] for core, node in sorted(pairs)}


def _at(core: int) -> tuple[float, float]:
    return LEFT + core % COLUMNS * (WIDE + GAP), TOP + core // COLUMNS * (TALL + GAP)


def _core(mapping: Mapping, table: chips.ChipTable, core: int, node: str) -> Iterator[Box]:
    x, y = _at(core)
    layer: CnnLayerConfig = mapping.config.cnn_layers[core]
    label = f"core {core}" + (f": {node}" if node else "")
    seen = ", its spikes are sent to the host" if layer.monitor_enable else ""
    about = f"core {core}: {node}, {_shape(layer)}{seen}" if node else f"core {core}: not in use"
    yield Box(x=x, y=y, width=WIDE, height=TALL, label=label, node=node, about=about)
    text = _shape(layer) if node else "free"
    yield Box(x=x + 8, y=y + 20, width=WIDE - 12, height=14, kind="text", label=text)
    needed = _needed(mapping, core, layer) if node else (0, 0, 0)
    for number, (name, used, there) in enumerate(zip(MEMORIES, needed, table.memory(core), strict=True)):
        at = y + 41 + 20 * number
        yield Box(x=x + 8, y=at, width=48, height=14, kind="text", label=name)
        most = max(table.memory(other)[number] for other in range(table.n_cores))
        said = f"{name} memory of core {core}: {used:,} of {there:,} words"
        length = max(BAR * there / most, 2.0)
        fill = used / there if there else float(used > 0)
        about = f"{said} ({fill:.1%})"
        yield Box(x=x + 56, y=at, width=length, height=14, kind="memory", fill=fill, node=node, about=about)
        if used:
            # beside a short bar, and in a long one behind its filled part
            beside = length + 4 if length < BAR / 2 else min(fill * length, length - 50) + 4
            yield Box(x=x + 56 + beside, y=at, width=60, height=14, kind="text", label=f"{used:,}")


def _needed(mapping: Mapping, core: int, layer: CnnLayerConfig) -> tuple[int, ...]:
    """Words of each memory: as the mapper counted them, else by the registers (edited, or adopted)."""
    rows = {row.resource: int(row.needed) for row in mapping.fit.rows if row.place == f"core {core}"}
    told = tuple(rows[f"{name} memory"] for name in MEMORIES if f"{name} memory" in rows)
    return told if len(told) == len(MEMORIES) else _words(layer)


def _words(layer: CnnLayerConfig) -> tuple[int, int, int]:
    d = layer.dimensions
    size = (d.output_shape.size.y, d.output_shape.size.x)
    words = memory_words(
        d.input_shape.feature_count, d.output_shape.feature_count, d.kernel_size, size, bool(layer.biases.any())
    )
    return words[0], words[1], words[2]


def _shape(layer: CnnLayerConfig) -> str:
    d = layer.dimensions
    (features, y, x), k = d.output_shape.shape, d.kernel_size
    return f"{features} x {y} x {x}, kernel {k} x {k}"


class _Ways:
    """Arrows between boxes, in the gaps between cores."""

    def __init__(self, config: SpeckConfig, nodes: dict[int, str], readout: bool) -> None:
        self.config, self.nodes, self.readout = config, nodes, readout
        self.drawn = 0
        self.inputs = sorted({entry.port for entry in config.entries})

    def ports(self) -> list[Box]:
        """The sensor, the host's inputs, the readout block."""
        dvs = self.config.dvs_layer
        on = any(destination.enable for destination in dvs.destinations)
        sensor = "sensor, in use" if on else "sensor, not used"
        boxes = [Box(x=14, y=self._input_y(k), width=LEFT - 60, height=22, kind="port", label=name,
                     about=f"events of {name}, from the host") for k, name in enumerate(self.inputs)]  # fmt: skip
        y = self._input_y(len(self.inputs)) + 20
        boxes.append(Box(x=14, y=y, width=LEFT - 60, height=44, label="DVS", about=f"128 x 128 pixels: {sensor}"))
        boxes.append(Box(x=22, y=y + 22, width=LEFT - 70, height=14, kind="text", label="in use" if on else "off"))
        if self.readout:
            x = LEFT + COLUMNS * (WIDE + GAP) + 4
            said = "in use" if self.config.readout.enable else "off"
            boxes.append(Box(x=x, y=TOP, width=92, height=44, label="readout", about=f"readout block: {said}"))
            boxes.append(Box(x=x + 8, y=TOP + 22, width=80, height=14, kind="text", label=said))
        return boxes

    def all(self) -> Iterator[Arrow]:
        """Of the host's inputs, the sensor, and every destination in use."""
        for entry in self.config.entries:
            if entry.layer in self.nodes:
                y = self._input_y(self.inputs.index(entry.port)) + 11
                yield Arrow(points=self._in(LEFT - 46, y, entry.layer), about=f"{entry.port} -> core {entry.layer}")
        for destination in self.config.dvs_layer.destinations:
            if destination.enable:
                y = self._input_y(len(self.inputs)) + 42
                yield Arrow(points=self._in(LEFT - 46, y, destination.layer), about=f"DVS -> core {destination.layer}")
        for core, node in self.nodes.items():
            for out in self.config.cnn_layers[core].destinations:
                if not out.enable:
                    continue
                name = "readout" if out.layer == chips.READOUT_LAYER else f"core {out.layer}"
                about = f"core {core} -> {name}" + (f", sum pooling {out.pooling} x {out.pooling}" * (out.pooling > 1))
                label = f"/{out.pooling}" if out.pooling > 1 else ""
                yield Arrow(points=self._between(core, out.layer), node=node, about=about, label=label)

    def _input_y(self, number: int) -> float:
        return TOP + 12 + 34 * number

    def _lane(self) -> float:
        self.drawn += 1
        return LANE * (self.drawn % 4 - 1.5)

    def _in(self, x: float, y: float, core: int) -> tuple[tuple[float, float], ...]:
        """From the left into a core: straight into the first column, else through the gap above the core."""
        to_x, to_y = _at(core)
        if core % COLUMNS == 0 and core // COLUMNS == 0:
            return (x, y), (to_x, y)
        turn, above = LEFT - 22 + self._lane(), to_y - GAP / 2 + self._lane()
        end = to_x + WIDE / 3
        return (x, y), (turn, y), (turn, above), (end, above), (end, to_y)

    def _between(self, core: int, target: int) -> tuple[tuple[float, float], ...]:
        """Straight to the next core on the right; else down into the gap, along it, and into the target from above."""
        x, y = _at(core)
        if target == chips.READOUT_LAYER:
            edge = LEFT + COLUMNS * (WIDE + GAP) + 50.0
            below = y + TALL + GAP / 2 + self._lane()
            return (x + WIDE * 0.8, y + TALL), (x + WIDE * 0.8, below), (edge, below), (edge, TOP + 44)
        to_x, to_y = _at(target)
        if target == core + 1 and target % COLUMNS:
            return (x + WIDE, y + TALL / 2), (to_x, to_y + TALL / 2)
        start, end = x + WIDE * 0.6 + self._lane(), to_x + WIDE * 0.5 + self._lane()
        below, above = y + TALL + GAP / 2 + self._lane(), to_y - GAP / 2 + self._lane()
        if target // COLUMNS == core // COLUMNS + 1:
            return (start, y + TALL), (start, below), (end, below), (end, to_y)
        side = to_x - GAP / 2 + self._lane()
        return (start, y + TALL), (start, below), (side, below), (side, above), (end, above), (end, to_y)
