"""A floor plan as inline SVG, and the colours of nodes. Everything that comes from a model or plugin is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

from hal.floorplan import Arrow, Box, FloorPlan

PALETTE: Final = (
    *("#2f6db5", "#d9742b", "#3f9b5b", "#b8455a", "#7c5cb3"),
    *("#8a6d4f", "#c95fa4", "#2b9fb0", "#a08f1f", "#5a6f8c"),
)
NEUTRAL: Final = "#6b7785"
OVER: Final = "#c22f2f"
SIGNS: Final = {1: "#c4422b", -1: "#2a62b0", 0: NEUTRAL}
"""Excitatory, inhibitory, neither."""
FONT: Final = 11
CHARACTER: Final = 6.3
"""Width of a character at that size, for cutting labels."""


class Colours:
    """A colour for each name, the same in every figure; names come in the order in which they are asked for."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._known: dict[str, str] = {}
        for name in names:
            self.of(name)

    def of(self, name: str) -> str:
        """The colour of a node; grey for no node."""
        if not name:
            return NEUTRAL
        if name not in self._known:
            self._known[name] = PALETTE[len(self._known) % len(PALETTE)]
        return self._known[name]


def svg(plan: FloorPlan, colours: Colours) -> str:
    """The plan as an <svg> element that fits into the width it is given."""
    size = f"{_n(plan.width)} {_n(plan.height)}"
    parts = [
        f'<svg class="hal-plan" viewBox="0 0 {size}" style="max-width:{_n(plan.width)}px" role="img" '
        f'font-family="system-ui, sans-serif" font-size="{FONT}" xmlns="http://www.w3.org/2000/svg">'
    ]
    parts += [_box(box, colours) for box in plan.boxes]
    parts += [_arrow(arrow, colours) for arrow in plan.arrows]
    return "".join(parts) + "</svg>"


def _n(value: float) -> str:
    """A length with two decimals at most: files stay small."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _colour(box: Box, colours: Colours) -> str:
    return colours.of(box.node) if box.node else SIGNS[box.sign]


def _rect(box: Box, fill: str, stroke: str = "none", *, width: float | None = None, more: str = "") -> str:
    wide = box.width if width is None else width
    return (
        f'<rect x="{_n(box.x)}" y="{_n(box.y)}" width="{_n(wide)}" height="{_n(box.height)}" '
        f'fill="{fill}" stroke="{stroke}"{more}/>'
    )


def _box(box: Box, colours: Colours) -> str:
    drawn = {"chip": _outline, "core": _outline, "memory": _memory, "cell": _cell, "port": _port, "text": _text}
    inside = drawn[box.kind](box, colours)
    return f"<g>{_about(box.about)}{inside}</g>" if box.about else inside


def _about(about: str) -> str:
    return f"<title>{escape(about)}</title>" if about else ""


def _outline(box: Box, colours: Colours) -> str:
    chip = box.kind == "chip"
    fill, stroke = ("#f4f6f8", "#9aa5b1") if chip else ("#ffffff", "#b4bdc7")
    out = _rect(box, fill, stroke, more=f' rx="{6 if chip else 4}"')
    if box.node:
        out += _rect(box, colours.of(box.node), width=4, more=' rx="2"')
    weight = ' font-weight="600"' if box.label else ""
    return out + _label(box, box.label, 8, FONT + 4, weight=weight)


def _memory(box: Box, colours: Colours) -> str:
    share = box.fill or 0.0
    colour = OVER if share > 1 else _colour(box, colours)
    out = _rect(box, "#e6eaee", more=' rx="2"')
    if share:
        # a used memory is never an empty bar
        out += _rect(box, colour, width=max(min(share, 1.0) * box.width, 1.5), more=' opacity="0.45" rx="2"')
    return out + _label(box, box.label, 5, box.height / 2 + 4)


def _cell(box: Box, colours: Colours) -> str:
    if not box.node and not box.fill:
        return _rect(box, "#e6eaee")
    share = 1.0 if box.fill is None else min(box.fill, 1.0)
    return _rect(box, _colour(box, colours), more=f' opacity="{_n(0.2 + 0.8 * share)}"')


def _port(box: Box, colours: Colours) -> str:
    return _rect(box, "#fff", colours.of(box.node), more=f' rx="{_n(box.height / 2)}"') + _label(
        box, box.label, 9, box.height / 2 + 4
    )


def _text(box: Box, colours: Colours) -> str:
    return _label(box, box.label, 0, FONT, colour="#5b6672")


def _label(box: Box, text: str, dx: float, dy: float, *, weight: str = "", colour: str = "#1f2933") -> str:
    """As much of a text as there is room for; nothing where no character fits."""
    room = int((box.width - dx) / CHARACTER)
    if not text or room < 2 or box.height < FONT - 2:
        return ""
    shown = text if len(text) <= room else text[: room - 1] + "…"
    at = f'x="{_n(box.x + dx)}" y="{_n(box.y + min(dy, box.height - 2))}"'
    return f'<text {at} fill="{colour}"{weight}>{escape(shown)}</text>'


def _arrow(arrow: Arrow, colours: Colours) -> str:
    """A line with a head at its end, and a label beside its middle."""
    colour = colours.of(arrow.node)
    points = " ".join(f"{_n(x)},{_n(y)}" for x, y in arrow.points)
    out = f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>' + _head(arrow, colour)
    if arrow.label:
        (x0, y0), (x1, y1) = arrow.points[(len(arrow.points) - 1) // 2 :][:2]
        at = f'x="{_n((x0 + x1) / 2 - 3)}" y="{_n((y0 + y1) / 2 - 4)}"'
        out += f'<text {at} text-anchor="middle" fill="{colour}">{escape(arrow.label)}</text>'
    return f"<g>{_about(arrow.about)}{out}</g>"


def _head(arrow: Arrow, colour: str) -> str:
    (x0, y0), (x1, y1) = arrow.points[-2:]
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5 or 1.0
    ux, uy = (x1 - x0) / length * 7, (y1 - y0) / length * 7
    corners = ((x1, y1), (x1 - ux - uy / 2, y1 - uy + ux / 2), (x1 - ux + uy / 2, y1 - uy - ux / 2))
    points = " ".join(f"{_n(x)},{_n(y)}" for x, y in corners)
    return f'<polygon points="{points}" fill="{colour}"/>'
