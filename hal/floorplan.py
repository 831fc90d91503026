"""A chip's floor plan as plain data: boxes with labels and fills, and arrows. Whoever draws it knows no chip.

A plugin makes one in the hook `hal_floorplan`; `of` asks it, and draws a plain grid of cores for a family without.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from hal.errors import ConfigError, Problem

if TYPE_CHECKING:
    from hal.device import DeviceSpec
    from hal.mapping import Mapping

Kind = Literal["chip", "core", "memory", "cell", "port", "text"]
KINDS: Final = ("chip", "core", "memory", "cell", "port", "text")
MAX_PARTS: Final = 6000
"""Boxes and arrows of one plan: what a browser draws at once, and what a page of bounded size holds."""
Point = tuple[float, float]


@attrs.frozen(kw_only=True)
class Box:
    """A rectangle. Lengths are in units of the plan, from its top left corner; text is about 12 units high.

    kind: how it looks. chip: the outline of a chip or part of it; core: the outline of a core; memory: a bar, filled
    up to `fill`; cell: a small place, such as a neuron circuit, the darker the larger `fill`; port: a way in or out;
    text: no rectangle, its label alone.
    label: written inside, at the top left; in a memory and a cell only where there is room.
    fill: share in use, 0 for nothing, 1 for full; more is over the limit; None: nothing to fill.
    node: the population that is there, which gives the colour; empty: none, or several.
    sign: of synapses, which gives the colour where no node does: 1 excitatory, -1 inhibitory, 0 neither.
    about: shown when pointed at: what it is, how much is used of how much.
    """

    x: float
    y: float
    width: float
    height: float
    kind: Kind = "core"
    label: str = ""
    fill: float | None = None
    node: str = ""
    sign: Literal[-1, 0, 1] = 0
    about: str = ""

    def problems(self) -> Iterator[Problem]:
        """What cannot be drawn."""
        where = f"box {self.label or self.about or self.kind!r}"
        for name in ("x", "y", "width", "height"):
            if not math.isfinite(getattr(self, name)):
                yield Problem(f"{name} is no length", where, value=getattr(self, name))
        if not (self.width >= 0 and self.height >= 0):
            yield Problem("a size is >= 0", where, value=(self.width, self.height))
        if self.kind not in KINDS:
            yield Problem("no such kind of box", where, value=self.kind, limit=f"one of {KINDS}")
        if self.fill is not None and not self.fill >= 0:
            yield Problem("a fill is a share >= 0", where, value=self.fill)


@attrs.frozen(kw_only=True)
class Arrow:
    """A way of events, along two points or more. node: whose events, which gives the colour. about: as of a box."""

    points: tuple[Point, ...]
    node: str = ""
    label: str = ""
    about: str = ""

    def problems(self) -> Iterator[Problem]:
        """What cannot be drawn."""
        where = f"arrow {self.label or self.about or self.node!r}"
        if len(self.points) < 2:
            yield Problem("an arrow has two points or more", where, value=len(self.points))
        elif not all(math.isfinite(value) for point in self.points for value in point):
            yield Problem("points are numbers", where, value=self.points)


def _tuple(items: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(items)


@attrs.frozen(kw_only=True)
class FloorPlan:
    """What is drawn, in this order: boxes, then arrows. caption: a sentence that says how to read it.

    Raises ConfigError with everything that cannot be drawn, and for more than 6,000 parts.
    """

    width: float
    height: float
    boxes: tuple[Box, ...] = attrs.field(converter=_tuple)
    arrows: tuple[Arrow, ...] = attrs.field(default=(), converter=_tuple)
    caption: str = ""

    def __attrs_post_init__(self) -> None:
        parts: tuple[Box | Arrow, ...] = (*self.boxes, *self.arrows)
        found = [problem for part in parts[:MAX_PARTS] for problem in part.problems()]
        if not (0 < self.width < math.inf and 0 < self.height < math.inf):
            found.append(Problem("a plan has a size", "floor plan", value=(self.width, self.height)))
        if len(parts) > MAX_PARTS:
            found.append(Problem("more parts than are drawn", "floor plan", value=len(parts), limit=MAX_PARTS))
        if found:
            raise ConfigError("the floor plan cannot be drawn", problems=found)


def of(mapping: Mapping) -> FloorPlan:
    """The plan of what is on the chip: as its family draws it, or a plain one.

    Raises PluginError when the device is not installed, or its plugin gives no plan.
    """
    from hal import registry

    current = registry.current()
    plugin, spec = current.resolve(mapping.device)
    if current.loader.implementation(plugin, "hal_floorplan") is None:
        return plain(spec, mapping)
    made = current.loader.call(plugin, "hal_floorplan", spec=spec, mapping=mapping)
    if not isinstance(made, FloorPlan):
        raise plugin.fault("hal_floorplan", f"returned {type(made).__name__}, not a FloorPlan")
    return made


# --- for a family that draws none ------------------------------------------------------------------------------------

WIDE: Final = 190.0
GAP: Final = 14.0
LINE: Final = 18.0
MAX_CORES: Final = 64
"""Cores drawn of a plain plan: those in use come first, and the rest is counted."""
MAX_LINES: Final = 8
"""Populations named on a core."""


def plain(spec: DeviceSpec, mapping: Mapping) -> FloorPlan:
    """A grid of the cores in use, with the populations on each and the memories of its rows of the fit report."""
    held = _populations(mapping)
    bars = _bars(mapping)
    cores = sorted(held)
    shown = cores[:MAX_CORES]
    columns = max(1, min(4, math.ceil(math.sqrt(len(shown)))))
    tall = max([_height(held[core], bars.get(core, ())) for core in shown] + [LINE * 2])
    boxes: list[Box] = []
    for number, core in enumerate(shown):
        x = GAP + number % columns * (WIDE + GAP)
        y = GAP + number // columns * (tall + GAP)
        boxes += _core(x, y, tall, core, held[core], bars.get(core, ()))
    rows = math.ceil(len(shown) / columns) or 1
    whole = _whole(mapping, GAP, GAP + rows * (tall + GAP), columns)
    height = GAP + rows * (tall + GAP) + (LINE + 4) * len(whole)
    caption = f"{len(cores)} cores in use of {spec.cores}." if spec.cores > 1 else ""
    if len(cores) > len(shown):
        caption += f" The first {len(shown)} are drawn."
    return FloorPlan(width=GAP + columns * (WIDE + GAP), height=height, boxes=(*boxes, *whole), caption=caption)


Core = tuple[int, int]
"""Chip and core."""
Bar = tuple[str, float, float, str]
"""Resource, needed, limit, unit."""


def _populations(mapping: Mapping) -> dict[Core, list[tuple[str, int]]]:
    """Core -> (population, neurons), for every core in use."""
    import numpy as np

    rows = mapping.placement.rows
    rows = rows[rows["core"] >= 0]
    held: dict[Core, list[tuple[str, int]]] = {}
    keys, counts = np.unique(rows[["chip", "core", "node"]], return_counts=True)
    for (chip, core, node), count in zip(keys.tolist(), counts.tolist(), strict=True):
        held.setdefault((chip, core), []).append((mapping.placement.nodes[node], count))
    return held


def _bars(mapping: Mapping) -> dict[Core, list[Bar]]:
    """Core -> what of its memories is used, from rows whose place is "core N"."""
    bars: dict[Core, dict[str, Bar]] = {}
    for row in mapping.fit.rows:
        words = row.place.split()
        if row.when == "map" and len(words) == 2 and words[0] == "core" and words[1].isdecimal():
            of_core = bars.setdefault((0, int(words[1])), {})
            _, before, *_ = of_core.get(row.resource, ("", 0.0))
            of_core[row.resource] = (row.resource, before + row.needed, row.limit, row.unit)
    return {core: list(found.values()) for core, found in bars.items()}


def _height(held: list[tuple[str, int]], bars: Iterable[Bar]) -> float:
    return LINE * (1.6 + min(len(held), MAX_LINES + 1) + len(list(bars)))


def _core(x: float, y: float, tall: float, core: Core, held: list[tuple[str, int]], bars: Iterable[Bar]) -> list[Box]:
    name = f"core {core[1]}" if not core[0] else f"chip {core[0]}, core {core[1]}"
    boxes = [Box(x=x, y=y, width=WIDE, height=tall, label=name, about=", ".join(node for node, _ in held))]
    y += LINE * 1.4
    for node, count in held[:MAX_LINES]:
        line: dict[str, Any] = {"x": x + 8, "y": y, "width": WIDE - 16, "height": LINE - 3}
        label = f"{node}: {count:,} neurons"
        boxes.append(Box(**line, kind="memory", label=label, fill=1.0, node=node, about=label))
        y += LINE
    if len(held) > MAX_LINES:
        more = f"and {len(held) - MAX_LINES} more"
        boxes.append(Box(x=x + 8, y=y, width=WIDE - 16, height=LINE - 3, kind="text", label=more))
        y += LINE
    for bar in bars:
        boxes.append(memory(x + 8, y, WIDE - 16, LINE - 3, *bar))
        y += LINE
    return boxes


def _whole(mapping: Mapping, x: float, y: float, columns: int) -> list[Box]:
    """What holds for the whole chip, or is said of each node: the fullest of each resource."""
    fullest: dict[str, Bar] = {}
    for row in mapping.fit.rows:
        if row.when == "map" and row.limit and row.place.split()[:1] != ["core"]:
            before = fullest.get(row.resource)
            if before is None or row.needed * before[2] > before[1] * row.limit:
                fullest[row.resource] = (row.resource, row.needed, row.limit, row.unit)
    width = columns * (WIDE + GAP) - GAP
    return [memory(x, y + k * (LINE + 4), width, LINE, *bar) for k, bar in enumerate(fullest.values())]


def memory(
    x: float, y: float, width: float, height: float, resource: str, needed: float, limit: float, unit: str = ""
) -> Box:
    """A bar that says how much of something is used."""
    fill = needed / limit if limit else float(needed > 0)
    about = f"{resource}: {needed:,.0f} of {limit:,.0f} {unit}".rstrip() + f" ({fill:.1%})"
    return Box(x=x, y=y, width=width, height=height, kind="memory", label=resource, fill=fill, about=about)
