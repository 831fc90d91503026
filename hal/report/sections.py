"""Sections of a report that need no script: what ran, floor plan, activity, counters, losses, provenance."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from hal import floorplan
from hal.errors import HalError
from hal.report import gather, html
from hal.report.drawing import Colours, svg
from hal.report.html import Markup, text
from hal.wording import duration, number, quantity, shape, spans

if TYPE_CHECKING:
    from hal.mapping import Mapping
    from hal.recording import Recording


def file(name: str) -> str:
    """Text that lies beside this module."""
    return resources.files("hal.report").joinpath(name).read_text(encoding="utf-8")


def style() -> str:
    """The style sheet; all of it is about what lies in an element of class `hal`."""
    return file("page.css")


class Subject:
    """What a report is about: a recording, what was loaded (or why nobody knows), its numbers, a colour per node."""

    def __init__(self, recording: Recording, mapping: Mapping | None = None, why: str = "") -> None:
        self.recording, self.mapping, self.why = recording, mapping, why
        self.numbers = gather.numbers(recording, mapping)
        self.colours = colours(mapping, recording.shapes)


def colours(mapping: Mapping | None, recorded: Any = ()) -> Colours:
    """The same colours wherever a mapping is shown: by the model's order, for what has neurons on the chip."""
    if mapping is None:
        return Colours(recorded)
    order = mapping.placement.nodes if mapping.model is None else mapping.model.order()
    inputs = {port.name for port in mapping.inputs}
    return Colours(name for name in order if name in mapping.placement.nodes and name not in inputs)


def loaded(recording: Recording, mapping: Mapping | None) -> tuple[Mapping | None, str]:
    """What was loaded, and why nobody knows where that is so: a report is made all the same."""
    try:
        found = recording.mapping if mapping is None else mapping
    except HalError as error:
        return None, f"the mapping kept with the recording cannot be read: {error.message}"
    return found, "" if found is not None else "the recording kept no mapping"


def head(of: Subject) -> str:
    """What ran, how it ended, and its numbers."""
    recording, facts = of.recording, of.numbers
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
    if of.mapping is not None:
        tiles["losses"] = number(facts["losses"]["rows"])
    boxes = "".join(f"<div><b>{text(value)}</b>{text(word)}</div>" for word, value in tiles.items())
    about = f"{recording.header.kind}, run {recording.header.run}, seed {recording.header.seed}"
    if of.mapping is not None and of.mapping.model is not None:
        model = of.mapping.model
        neurons = sum(node.size for node in model.nodes.values() if node.population and node.type != "Input")
        about += f"; {len(model.nodes)} nodes, {number(neurons)} neurons, semantics {model.semantics.profile}"
    step = recording.step_ns
    about += f"; steps of {duration(step)}" if step else "; no steps"
    return (
        f"<h1>{text(recording.device)} "
        f'<span class="status {recording.status}">{recording.status}</span></h1>'
        f'<p class="dim">{text(about)}</p><div class="facts">{boxes}</div>'
    )


def plan(of: Subject) -> str:
    """The floor plan, and every row of the fit report, folded."""
    if of.mapping is None:
        return f'<p class="dim">None: {text(of.why)}.</p>'
    try:
        plan = floorplan.of(of.mapping)
    except HalError as error:
        return f'<p class="dim">None: {text(error.message)}.</p>'
    rows = [row for row in of.mapping.fit.rows if row.when == "map"]
    every = html.folded(f"every limit and how much of it is used ({number(len(rows))})", html.resources(rows))
    caption = f'<p class="dim">{text(plan.caption)}</p>' if plan.caption else ""
    return f"{caption}<div class='wide'>{svg(plan, of.colours)}</div>{every if rows else ''}"


def activity(of: Subject) -> str:
    """A row per node: where it sits, how many events, how many neurons were silent."""
    cores: dict[str, list[int]] = {}
    if of.mapping is not None:
        for node, core in np.unique(of.mapping.placement.rows[["node", "core"]]).tolist():
            if core >= 0:
                cores.setdefault(of.mapping.placement.nodes[node], []).append(core)
    order = [raster.name for raster in gather.ordered(of.recording, of.mapping)]
    facts = {name: of.numbers["nodes"][name] for name in order if name in of.numbers["nodes"]}
    most = max([node["events"] for node in facts.values()] + list(of.numbers["stimulus"].values()) + [1])
    rows: list[tuple[Any, ...]] = [
        (text(f"{port} (fed in)"), "", "", number(count), "", "", "", html.bar(count / most))
        for port, count in of.numbers["stimulus"].items()
        if port not in facts and (count or not port.startswith("@"))
    ]
    rows += [
        (
            Markup(html.mark(of.colours.of(name)) + text(name)),
            shape(node["shape"]),
            spans(cores.get(name, ())),
            Markup(f'<span data-node="{text(name)}">{number(node["events"])}</span>'),
            node["events"] / node["neurons"] if node["neurons"] else 0,
            quantity(node["rate_hz"], "Hz"),
            node["silent"],
            html.bar(node["events"] / most, of.colours.of(name)),
        )
        for name, node in facts.items()
    ]
    heads = ("node", "shape", "core", "events", "per neuron", "mean rate", "silent", "")
    return html.table(heads, rows, right=("events", "per neuron", "mean rate", "silent"))


def counters(of: Subject) -> str:
    """A row per core that counted anything, a column per counter."""
    stats = {name: per_core for name, per_core in of.recording.stats.items() if per_core.any()}
    if not stats:
        return ""
    busy = np.flatnonzero(sum(np.abs(per_core) for per_core in stats.values()))
    seconds = of.recording.duration_ns * 1e-9
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


def losses(of: Subject) -> str:
    """What became of parameters that the chip has no room for, and of semantics it does not follow."""
    if of.mapping is None:
        return f'<p class="dim">Not known: {text(of.why)}.</p>'
    groups = of.numbers["losses"]["groups"]
    lost = html.table(("node", "parameter", "what happened", "values"), groups, right=("values",))
    none = "" if groups else '<p class="dim">No parameter was lost.</p>'
    return none + lost + html.findings(of.mapping.fit.findings, shown=("refused", "changed"))


def provenance(of: Subject) -> str:
    """Where the recording is from."""
    header = of.recording.header
    path = of.recording.path
    facts: dict[str, Any] = {"recording": "in memory" if path is None else path.name, "device": header.device}
    facts |= {
        "kind": header.kind,
        "run": str(header.run),
        "seed": str(header.seed),
        "started at": duration(header.t0_ns),
    }
    given = header.provenance
    short = {key: value for key, value in given.items() if not isinstance(value, dict) and value is not None}
    long = {key: value for key, value in given.items() if isinstance(value, dict) and value}
    out: str = html.table(("", ""), [(key, str(value)) for key, value in (facts | short).items()])
    for key, value in long.items():
        out += html.folded(key, html.table(("", ""), [(name, str(item)) for name, item in value.items()]))
    return out
