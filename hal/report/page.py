"""The page of a recording: sections of HTML, the data of its figures, and the script that draws them."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hal import floorplan
from hal.errors import ConfigError, HalError
from hal.report import blocks, gather, html, load
from hal.report.drawing import NEUTRAL, Colours, svg
from hal.report.html import Markup, text
from hal.wording import duration, number, quantity, shape

if TYPE_CHECKING:
    from hal.mapping import Mapping
    from hal.recording import Recording

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
"""What the page may load: nothing but itself."""
GENERATOR: Final = "neurohal report"
"""By this a file is known to be a report."""
HEIGHT, SMALL, TALL = 150, 70, 260
"""Of a raster, in pixels: of most nodes, of a few neurons, of many."""


class _Page:
    """One page in the making: what it shows, and the data of its panels."""

    def __init__(self, recording: Recording, mapping: Mapping | None, why: str) -> None:
        self.recording, self.mapping, self.why = recording, mapping, why
        self.numbers = gather.numbers(recording, mapping)
        self.panels: list[dict[str, Any]] = []
        placed = [] if mapping is None else list(mapping.placement.nodes)
        order = [] if mapping is None or mapping.model is None else list(mapping.model.order())
        inputs = [] if mapping is None else [port.name for port in mapping.inputs]
        names = [name for name in (order or placed) if name in placed or name in recording.shapes]
        self.colours = Colours(name for name in names if name not in inputs)

    def canvas(self, spec: dict[str, Any]) -> Markup:
        """A place for a panel."""
        self.panels.append(spec)
        return Markup(f'<canvas data-panel="{len(self.panels) - 1}" height="{spec["height"]}"></canvas>')


def build(recording: Recording, mapping: Mapping | None) -> str:
    """See `hal.report`."""
    from hal.recording import Recording

    if not isinstance(recording, Recording):
        raise ConfigError(
            "a report is of one Recording", value=type(recording).__name__, hint="hal.read_recording reads one from disk"
        )  # fmt: skip
    page = _Page(recording, *_loaded(recording, mapping))
    sections = (
        _head(page),
        _section("Floor plan", _plan(page)),
        _section("Activity", _activity(page)),
        _section("Events", _tools(page) + _rasters(page)),
        _section("Signals and traces", _curves(page)),
        _section("Load of the cores", _load(page)),
        _section("What the chip could not keep", _losses(page)),
        _section("What the run had to say", html.findings(recording.diagnostics, shown=("refused", "changed", "note"))),
        _section("Provenance", _provenance(page)),
    )
    data = {"duration_ns": recording.duration_ns, "panels": page.panels}
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="generator" content="{GENERATOR}"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{text(recording.device)}, run {recording.header.run}</title><style>{_file('page.css')}</style></head>"
        f'<body>{"".join(sections)}<div class="tip"></div>'
        f"{blocks.script(page.numbers, 'numbers')}{blocks.script(data, 'blocks')}"
        f"<script>{_file('page.js')}</script></body></html>\n"
    )


def _loaded(recording: Recording, mapping: Mapping | None) -> tuple[Mapping | None, str]:
    """What was loaded, and why nobody knows where that is so: a report is made all the same."""
    try:
        found = recording.mapping if mapping is None else mapping
    except HalError as error:
        return None, f"the mapping kept with the recording cannot be read: {error.message}"
    return found, "" if found is not None else "the recording kept no mapping"


def _file(name: str) -> str:
    return resources.files("hal.report").joinpath(name).read_text(encoding="utf-8")


def _section(title: str, inside: str) -> str:
    return f"<section><h2>{text(title)}</h2>{inside}</section>" if inside else ""


def _head(page: _Page) -> str:
    """What ran, how it ended, and its numbers."""
    recording, facts = page.recording, page.numbers
    stats = recording.stats
    tiles = {
        "model time": duration(recording.duration_ns),
        "events fed in": number(sum(facts["stimulus"].values())),
        "events recorded": number(facts["events"]),
    }
    for counter, word in (("synops", "synaptic operations"), ("dropped", "dropped"), ("pending", "pending")):
        if counter in stats and (counter == "synops" or stats[counter].any()):
            tiles[word] = number(int(stats[counter].sum()))
    if "stalled_ns" in stats and stats["stalled_ns"].any():
        tiles["stalled"] = duration(int(stats["stalled_ns"].sum()))
    if page.mapping is not None:
        tiles["losses"] = number(facts["losses"]["rows"])
    boxes = "".join(f"<div><b>{text(value)}</b>{text(word)}</div>" for word, value in tiles.items())
    about = f"{recording.header.kind}, run {recording.header.run}, seed {recording.header.seed}"
    if page.mapping is not None and page.mapping.model is not None:
        model = page.mapping.model
        neurons = sum(node.size for node in model.nodes.values() if node.population and node.type != "Input")
        about += f"; {len(model.nodes)} nodes, {number(neurons)} neurons, semantics {model.semantics.profile}"
    step = recording.step_ns
    about += f"; steps of {duration(step)}" if step else "; no steps"
    return (
        f"<h1>{text(recording.device)} "
        f'<span class="status {recording.status}">{recording.status}</span></h1>'
        f'<p class="dim">{text(about)}</p><div class="facts">{boxes}</div>'
    )


def _plan(page: _Page) -> str:
    if page.mapping is None:
        return f'<p class="dim">None: {text(page.why)}.</p>'
    try:
        plan = floorplan.of(page.mapping)
    except HalError as error:
        return f'<p class="dim">None: {text(error.message)}.</p>'
    rows = [row for row in page.mapping.fit.rows if row.when == "map"]
    every = html.folded(f"every limit and how much of it is used ({number(len(rows))})", html.resources(rows))
    caption = f'<p class="dim">{text(plan.caption)}</p>' if plan.caption else ""
    return f"{caption}<div class='wide'>{svg(plan, page.colours)}</div>{every if rows else ''}"


def _activity(page: _Page) -> str:
    """A row per node: where it sits, how many events, how many neurons were silent."""
    cores: dict[str, list[int]] = {}
    if page.mapping is not None:
        rows = page.mapping.placement.rows
        for node, core in np.unique(rows[["node", "core"]]).tolist():
            if core >= 0:
                cores.setdefault(page.mapping.placement.nodes[node], []).append(core)
    from hal.wording import spans

    facts = page.numbers["nodes"]
    most = max([node["events"] for node in facts.values()] + list(page.numbers["stimulus"].values()) + [1])
    fed = [
        (text(f"{port} (fed in)"), "", "", number(count), "", "", "", html.bar(count / most))
        for port, count in page.numbers["stimulus"].items()
        if port not in facts
    ]
    own = [
        (
            Markup(html.mark(page.colours.of(name)) + text(name)),
            shape(node["shape"]),
            spans(cores.get(name, ())),
            Markup(f'<span data-node="{text(name)}">{number(node["events"])}</span>'),
            node["events"] / node["neurons"] if node["neurons"] else 0,
            quantity(node["rate_hz"], "Hz"),
            node["silent"],
            html.bar(node["events"] / most, page.colours.of(name)),
        )
        for name, node in facts.items()
    ]
    heads = ("node", "shape", "core", "events", "per neuron", "mean rate", "silent", "")
    return html.table(heads, fed + own, right=("events", "per neuron", "mean rate", "silent"))


def _tools(page: _Page) -> str:
    if not page.recording.duration_ns:
        return ""
    return (
        '<div class="tools"><button id="in">zoom in</button><button id="out">zoom out</button>'
        '<button id="all">whole run</button><b id="range"></b><span class="dim">drag to zoom, shift and drag to move, '
        "ctrl and wheel, double click for all; every figure follows</span></div>"
    )


def _rasters(page: _Page) -> str:
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
                how += f" and {number(raster.size / raster.counts.shape[1])} indices"
        elif raster.t is not None and raster.index is not None:
            spec |= {"t": blocks.times(raster.t), "index": blocks.block(raster.index.astype(np.uint32))}
        title = f"{shape(raster.shape)}, {number(raster.events)} events{' fed in' if raster.stimulus else ''}{how}"
        out += f'<h3>{html.mark(colour)}{text(raster.name)} <span class="dim">{text(title)}</span></h3>'
        out += page.canvas(spec)
    return out


def _curves(page: _Page) -> str:
    out = ""
    for curves in gather.curves(page.recording):
        at_end = curves.samples == 1 and curves.width > 1
        if not curves.values.size:
            continue
        spec: dict[str, Any] = {
            "kind": "curves",
            "name": curves.name,
            "channels": curves.channels,
            "colours": [page.colours.of(curves.name)] if at_end else list(_line_colours()),
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


def _line_colours() -> tuple[str, ...]:
    from hal.report.drawing import PALETTE

    return PALETTE


def _load(page: _Page) -> str:
    """Synaptic operations over time with what held the cores up, and every counter that counted."""
    recording = page.recording
    lanes = load.lanes(recording, page.mapping)
    stopped = load.intervals(recording)
    out = ""
    if lanes:
        wide = max(1, -(-recording.duration_ns // load.BINS))
        spec = {
            "kind": "lanes",
            "height": 26 + max(38, min(64, 380 // len(lanes))) * len(lanes),
            "bin_ns": wide,
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
            "intervals": [list(row) for row in stopped],
        }
        note = (
            "Synaptic operations per second: each core's total is counted; its course is laid out by the recorded events "
            "that went in, each with its connections there."
        )
        if any(lane.course is None for lane in lanes):
            note += " Where no events that went in were recorded, there is no course."
        out += f'<p class="dim">{note}{_stops(page)}</p>{page.canvas(spec)}'
    elif len(stopped):
        out += f'<p class="dim">{_stops(page)}</p>'
    return out + _counters(page)


def _stops(page: _Page) -> str:
    kinds, counts = np.unique(page.recording.intervals["what"], return_counts=True)
    said = ", ".join(f"{number(n)} of {text(what)}" for what, n in zip(kinds.tolist(), counts.tolist(), strict=True))
    return f" Red: intervals ({said})." if said else ""


def _counters(page: _Page) -> str:
    """A row per core that counted anything, a column per counter."""
    stats = {name: per_core for name, per_core in page.recording.stats.items() if per_core.any()}
    if not stats:
        return ""
    busy = np.flatnonzero(sum(np.abs(per_core) for per_core in stats.values()))
    seconds = page.recording.duration_ns * 1e-9
    rates = "synops" in stats and seconds > 0
    most = int(stats["synops"].max()) if rates else 1
    heads = ["core", *stats, *(["per second", ""] if rates else [])]
    rows = []
    for core in busy.tolist():
        row: list[Any] = [str(core), *(int(per_core[core]) for per_core in stats.values())]
        if rates:
            synops = int(stats["synops"][core])
            row += [quantity(synops / seconds, "synops/s"), html.bar(synops / most)]
        rows.append(row)
    if len(rows) > 1:
        total: list[Any] = ["all", *(int(per_core.sum()) for per_core in stats.values())]
        rows.append(total + ([quantity(int(stats["synops"].sum()) / seconds, "synops/s"), ""] if rates else []))
    return html.table(heads, rows, right=(*stats, "per second"))


def _losses(page: _Page) -> str:
    """What became of parameters that the chip has no room for, and of semantics it does not follow."""
    if page.mapping is None:
        return f'<p class="dim">Not known: {text(page.why)}.</p>'
    groups = page.numbers["losses"]["groups"]
    lost = html.table(("node", "parameter", "what happened", "values"), groups, right=("values",))
    none = "" if groups else '<p class="dim">No parameter was lost.</p>'
    return none + lost + html.findings(page.mapping.fit.findings, shown=("refused", "changed"))


def _provenance(page: _Page) -> str:
    header = page.recording.header
    facts: dict[str, Any] = {"recording": page.recording.path or "in memory", "device": header.device}
    facts |= {"kind": header.kind, "run": str(header.run), "seed": str(header.seed), "started at": duration(header.t0_ns)}
    given = header.provenance
    short = {key: value for key, value in given.items() if not isinstance(value, dict) and value is not None}
    long = {key: value for key, value in given.items() if isinstance(value, dict) and value}
    out: str = html.table(("", ""), [(key, str(value)) for key, value in (facts | short).items()])
    for key, value in long.items():
        out += html.folded(key, html.table(("", ""), [(name, str(item)) for name, item in value.items()]))
    return out
