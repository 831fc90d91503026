"""The page of a recording: sections of HTML, the data of its figures, and the script that draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hal.errors import ConfigError
from hal.report import blocks, gather, html, load, sections
from hal.report.drawing import NEUTRAL, PALETTE
from hal.report.html import Markup, text
from hal.wording import duration, number, shape

if TYPE_CHECKING:
    from hal.mapping import Mapping
    from hal.recording import Recording

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
"""What the page may load: nothing but itself."""
GENERATOR: Final = "neurohal report"
"""By this a file is known to be a report."""
HEIGHT, SMALL, TALL = 150, 70, 260
"""Of a raster, in pixels: of most nodes, of a few neurons, of many."""


class Page(sections.Subject):
    """One page in the making: its subject, and the data of its figures."""

    def __init__(self, recording: Recording, mapping: Mapping | None, why: str) -> None:
        super().__init__(recording, mapping, why)
        self.panels: list[dict[str, Any]] = []

    def canvas(self, spec: dict[str, Any]) -> Markup:
        """A place for a figure."""
        self.panels.append(spec)
        return Markup(f'<canvas data-panel="{len(self.panels) - 1}" height="{spec["height"]}"></canvas>')


def build(recording: Recording, mapping: Mapping | None) -> str:
    """See `hal.report`."""
    from hal.recording import Recording

    if not isinstance(recording, Recording):
        hint = "hal.read_recording reads one from disk"
        raise ConfigError("a report is of one Recording", value=type(recording).__name__, hint=hint)
    page = Page(recording, *sections.loaded(recording, mapping))
    parts = (
        sections.head(page),
        _section("Floor plan", sections.plan(page)),
        _section("Activity", sections.activity(page)),
        _section("Events", _tools(page) + _rasters(page)),
        _section("Signals and traces", _curves(page)),
        _section("Load of the cores", _load(page)),
        _section("What the chip could not keep", sections.losses(page)),
        _section("What the run had to say", html.findings(recording.diagnostics, shown=("refused", "changed", "note"))),
        _section("Provenance", sections.provenance(page)),
    )
    data = {"duration_ns": recording.duration_ns, "panels": page.panels}
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="generator" content="{GENERATOR}"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{text(recording.device)}, run {recording.header.run}</title><style>{sections.style()}</style></head>"
        f'<body class="hal">{"".join(parts)}<div class="tip"></div>'
        f"{blocks.script(page.numbers, 'numbers')}{blocks.script(data, 'blocks')}"
        f"<script>{sections.file('page.js')}</script></body></html>\n"
    )


def _section(title: str, inside: str) -> str:
    return f"<section><h2>{text(title)}</h2>{inside}</section>" if inside else ""


def _tools(page: Page) -> str:
    if not page.recording.duration_ns:
        return ""
    return (
        '<div class="tools"><button id="in">zoom in</button><button id="out">zoom out</button>'
        '<button id="all">whole run</button><b id="range"></b><span class="dim">drag to zoom, shift and drag to move, '
        "ctrl and wheel, double click for all; every figure follows</span></div>"
    )


def _rasters(page: Page) -> str:
    out = ""
    for raster in gather.rasters(page.recording, page.mapping):
        colour = NEUTRAL if raster.stimulus else page.colours.of(raster.name)
        spec: dict[str, Any] = {
            "kind": "raster",
            "name": raster.name,
            "size": raster.size,
            "colour": colour,
            "rows": min(raster.size, gather.ROWS),
            "whole": raster.size < 20,
            "height": SMALL + 26 if raster.size <= 12 else HEIGHT if raster.size <= 256 else TALL,
        }
        how = ""
        if raster.counts is not None:
            spec |= {"counts": blocks.block(blocks.smallest(raster.counts.ravel())), "bin_ns": raster.bin_ns}
            spec["rows"] = raster.counts.shape[1]
            how = f"; counted in bins of {duration(raster.bin_ns)}"
            if raster.counts.shape[1] < raster.size:
                how += f" and {number(-(-raster.size // raster.counts.shape[1]))} indices"
        elif raster.t is not None and raster.index is not None:
            spec |= {"t": blocks.times(raster.t), "index": blocks.block(raster.index.astype(np.uint32))}
        title = f"{shape(raster.shape)}, {number(raster.events)} events{' fed in' if raster.stimulus else ''}{how}"
        out += f'<h3>{html.mark(colour)}{text(raster.name)} <span class="dim">{text(title)}</span></h3>'
        out += page.canvas(spec)
    return out


def _curves(page: Page) -> str:
    out = ""
    for curves in gather.curves(page.recording):
        at_end = curves.samples == 1 and curves.width > 1
        if not curves.values.size:
            continue
        spec: dict[str, Any] = {
            "kind": "curves",
            "name": curves.name,
            "channels": curves.channels,
            "colours": [page.colours.of(curves.name)] if at_end else list(PALETTE),
            "values": blocks.block(curves.values.ravel()),
            "height": HEIGHT,
            "timeless": at_end,
            "width": len(curves.channels),
        }
        if not at_end:
            spec["t"] = blocks.times(np.sort(curves.t))
        title = f"{curves.variable}, {number(curves.width)} values"
        title += f" at {duration(int(curves.t[0]))}, by index" if at_end else f", {number(curves.samples)} samples"
        if len(curves.channels) < curves.width:
            title += f"; drawn: {len(curves.channels)} of {number(curves.width)}, those that vary most"
        title += "; least and largest of each bin" if curves.binned else ""
        out += f'<h3>{text(curves.name)} <span class="dim">{text(title)}</span></h3>{page.canvas(spec)}'
    return out


def _load(page: Page) -> str:
    """Synaptic operations over time with what held the cores up, and every counter that counted."""
    recording = page.recording
    lanes = load.lanes(recording, page.mapping)
    stopped = load.stretches(recording)
    out = ""
    if lanes:
        spec = {
            "kind": "lanes",
            "height": 26 + max(38, min(64, 380 // len(lanes))) * len(lanes),
            "bin_ns": load.bin_ns(recording),
            "lanes": [
                {
                    "core": lane.core,
                    "label": f"core {lane.core}",
                    "title": f"core {lane.core} ({', '.join(lane.nodes[:4])})" if lane.nodes else f"core {lane.core}",
                    "colour": page.colours.of(lane.nodes[0]) if len(lane.nodes) == 1 else NEUTRAL,
                    "course": None if lane.course is None else blocks.block(lane.course.astype(np.float32)),
                }
                for lane in lanes
            ],
            "intervals": [[s.what, s.core, s.t0, s.t1, round(s.share, 3)] for s in stopped],
        }
        note = (
            "Synaptic operations per second: each core's total is counted; its course is laid out by when the events "
            "meant for it were sent, each with its connections there."
        )
        if any(lane.course is None for lane in lanes):
            note += " Where none of these events were recorded, there is no course."
        out += f'<p class="dim">{note}{_stops(page)}</p>{page.canvas(spec)}'
    elif len(stopped):
        out += f'<p class="dim">{_stops(page)}</p>'
    return out + sections.counters(page)


def _stops(page: Page) -> str:
    kinds, counts = np.unique(page.recording.intervals["what"], return_counts=True)
    said = ", ".join(f"{number(n)} of {text(what)}" for what, n in zip(kinds.tolist(), counts.tolist(), strict=True))
    return f" Red: intervals ({said})." if said else ""
