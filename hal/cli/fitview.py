"""Fit reports and placements as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs
import numpy as np
from rich.table import Table
from rich.text import Text

from hal.cli.show import Page, add, assemble, duration, number, quantity, shape, spans, styled, table

if TYPE_CHECKING:
    from hal.fit import Finding, FitReport, FitRow
    from hal.mapping import Fate, Mapping
    from hal.model import Model

Word = Literal["fits", "changed", "over", "refused", "host", "folded"]
STYLES: Final = {
    "fits": "green",
    "changed": "yellow",
    "over": "bold yellow",
    "refused": "bold red",
    "host": "cyan",
    "folded": "dim",
}
"""over: it maps, and needs more than there is at the given rates."""
LEVELS: Final = (
    ("refused", "Refused: does not run", "bold red"),
    ("changed", "Changed: runs, and not as the model says", "yellow"),
    ("note", "Notes", "bold"),
)
BARS: Final = (12, 6, 0)
"""Columns of a bar in the full, the narrower and the narrowest version of a table."""
MAX_COLUMNS: Final = 3
"""Resources shown beside each node of a placement; the fullest ones."""
MAX_NAMES: Final = 8
"""Node names said in one finding before the rest is only counted."""


@attrs.frozen(kw_only=True)
class Verdict:
    """What becomes of one node. why: the reason in a few words."""

    node: str
    type: str
    shape: tuple[int, ...]
    verdict: Word
    why: str = ""


def verdicts(model: Model, report: FitReport, fates: Iterable[Fate]) -> list[Verdict]:
    """One for each node, in the order of evaluation; the gravest word counts. fates: empty when nothing was mapped."""
    known = {fate.node: fate for fate in fates}
    return [_verdict(model, name, report, known.get(name)) for name in model.order()]


def _verdict(model: Model, name: str, report: FitReport, fate: Fate | None) -> Verdict:
    node = model.nodes[name]
    word: Word = "fits"
    why = ""
    over = [_where(row) for row in report.rows if _over(row, name) and row.when == "map"]
    running = [_where(row) for row in report.rows if _over(row, name) and row.when == "run"]
    refused = [finding.field or finding.reason for finding in report.refused if finding.node == name]
    changed = [finding.field for finding in report.changed if finding.node == name]
    host = fate.fate == "host" if fate else any(f.node == name and f.field == "host" for f in report.findings)
    if over or refused:
        word, why = "refused", ", ".join(dict.fromkeys(over + refused))
    elif running:
        word, why = "over", ", ".join(dict.fromkeys(running))
    elif changed:
        word, why = "changed", ", ".join(dict.fromkeys(changed))
    elif host:
        word, why = "host", fate.reason if fate else ""
    elif node.type in ("Input", "Output"):
        word = "folded"
    elif fate is not None and fate.fate == "folded":
        word = "folded"
        why = f"into {fate.onto}" if fate.onto else ""
        why += f"{', ' if why else ''}{fate.reason}" if fate.reason else ""
    return Verdict(node=name, type=node.type, shape=node.output_shape, verdict=word, why=why)


def _over(row: FitRow, node: str) -> bool:
    return row.node == node and not row.ok


def _where(row: FitRow) -> str:
    return f"{row.resource} on {row.place}" if row.place else row.resource


# --- check ----------------------------------------------------------------------------------------------------------


def title(page: Page, path: str, model: Model, report: FitReport) -> None:
    """Which model on which device, and the verdict."""
    at_rates = " at the given rates" if report.maps else ""
    fits = styled("fits", "bold green") if report.fits else styled(f"does not fit{at_rates}", "bold red")
    page.heading(assemble((path, "bold"), " on ", (report.device, "bold"), ": ", fits))
    page.line(about(model), "dim")


def about(model: Model) -> str:
    """Semantics and size in one line."""
    semantics = model.semantics
    neurons = sum(node.size for node in model.nodes.values() if node.population and node.type != "Input")
    step = "no dt" if semantics.dt_ns is None else f"dt {duration(semantics.dt_ns)}"
    assumed = "" if model.semantics_given else " (assumed)"
    return f"semantics {semantics.profile}{assumed}, {step}; {len(model.nodes)} nodes, {number(neurons)} neurons"


def nodes(page: Page, rows: Sequence[Verdict]) -> None:
    """One line per node."""
    made = table("node", "type", "shape", "verdict", "", keep=("type", "shape", "verdict"))
    for row in rows:
        add(
            made, row.node, row.type, shape(row.shape), styled(row.verdict, STYLES[row.verdict]), styled(row.why, "dim")
        )
    page.heading("Nodes")
    page.table(made)


def resources(page: Page, report: FitReport) -> None:
    """One line per resource and place; of limits that hold for each node, what comes nearest or is over."""
    rows = _worst([row for row in report.rows if row.when == "map"])
    if not rows:
        return

    def build(level: int) -> Table:
        units = [] if level else ["unit"]
        made = table("resource", "place", "node", "needed", "limit", *units, "used", "", right=("needed", "limit"))
        for row in rows:
            unit = [] if level else [styled(row.unit, "dim")]
            share_of = _used(page, row, level)
            add(made, row.resource, row.place or "each", row.node, row.needed, row.limit, *unit, *share_of)
        return made

    page.heading("Resources")
    page.fitting(build)


def at_rates(page: Page, report: FitReport) -> None:
    """What nodes need at the given rates: one line per row, in the model's order, and what helps where it is over."""
    rows = [row for row in report.rows if row.when == "run"]
    if not rows:
        return

    def build(level: int) -> Table:
        made = table("node", "place", "resource", "needed", "limit", "used", "", right=("needed", "limit"))
        for row in rows:
            needed, limit = (quantity(value, row.unit) for value in (row.needed, row.limit))
            add(made, row.node, row.place, row.resource, needed, limit, *_used(page, row, level))
        return made

    page.heading("At the given rates")
    page.fitting(build)
    over = [row for row in rows if not row.ok]
    if over:
        page.heading("Over a limit at the given rates: maps, and does not keep up", "yellow")
    for row in over:
        need = f"needs {quantity(row.needed, row.unit)}, limit {quantity(row.limit, row.unit)}"
        _say(page, " on ".join(filter(None, (row.node, row.place))), need, row.hint)


def _used(page: Page, row: FitRow, level: int) -> tuple[Text, Text]:
    """Bar and per cent of the limit, and a word where it is over."""
    mark = styled("") if row.ok else styled("over", "bold red")
    return page.bar(share(row), BARS[level]) + styled(f" {_percent(share(row)):>5}"), mark


def _worst(rows: Sequence[FitRow]) -> list[FitRow]:
    """Rows with a place as they are, by place; others only where over, or the fullest of its resource."""
    placed = sorted((row for row in rows if row.place), key=lambda row: _natural(row.place))
    elsewhere = [row for row in rows if not row.place]
    best: dict[str, FitRow] = {}
    for row in elsewhere:
        if row.resource not in best or share(row) > share(best[row.resource]):
            best[row.resource] = row
    return placed + [row for row in elsewhere if not row.ok or best[row.resource] is row]


def _natural(place: str) -> list[tuple[int, Any]]:
    """Core 10 after core 9."""
    return [(1, int(word)) if word.isdecimal() else (0, word) for word in place.split()]


def share(row: FitRow) -> float:
    """Needed of limit; infinite where there is none and some is needed."""
    return row.needed / row.limit if row.limit else (float("inf") if row.needed else 0.0)


def _percent(value: float) -> str:
    return "none" if value == float("inf") else f"{value * 100:.0f}%" if value >= 0.1 or value == 0 else f"{value:.1%}"


def findings(page: Page, report: FitReport, levels: Sequence[str] = ("refused", "changed", "note")) -> None:
    """Everything there is to say, by gravity; what holds for several nodes is said once."""
    for level, heading, style in LEVELS:
        said = _grouped(finding for finding in report.findings if finding.level == level)
        over = [row for row in report.rows if not row.ok and row.when == "map"] if level == "refused" else []
        if level not in levels or not (said or over):
            continue
        page.heading(styled(heading, style))
        for row in over:
            place = f"{row.node} on {row.place}" if row.node and row.place else row.node or row.place
            need = f"needs {number(row.needed)} {row.unit} of {row.resource}, limit {number(row.limit)}"
            _say(page, place, need, row.hint)
        for names, finding in said:
            _say(page, names, _reason(finding), finding.hint)


def _grouped(found: Iterable[Finding]) -> list[tuple[str, Finding]]:
    groups: dict[Any, list[Finding]] = {}
    for finding in found:
        rest = (finding.field, finding.reason, str(finding.wanted), str(finding.realised), finding.hint)
        groups.setdefault(rest, []).append(finding)
    out = []
    for same in groups.values():
        names = sorted((finding.node for finding in same if finding.node), key=_natural)
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        out.append((", ".join(names[:MAX_NAMES]) + more, same[0]))
    return out


def _reason(finding: Finding) -> str:
    text = f"{finding.field}: {finding.reason}" if finding.field else finding.reason
    said = {"wanted": finding.wanted, "realised": finding.realised}
    values = ", ".join(f"{word} {value}" for word, value in said.items() if value is not None)
    return f"{text} ({values})" if values else text


def _say(page: Page, where: str, what: str, hint: str) -> None:
    text = assemble((f"{where}: " if where else "", "bold"), what)
    page.item(text)
    if hint:
        page.item(hint, "cyan", bullet="  >")


# --- map ------------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Place:
    """Where the neurons of one node sit. used: resource -> (needed, limit) at the fullest of its places."""

    node: str
    neurons: int
    chips: tuple[int, ...]
    cores: tuple[int, ...]
    used: dict[str, tuple[float, float]]


def places(mapping: Mapping) -> list[Place]:
    """One for each node that has neurons on the chip, in the model's order."""
    rows = mapping.placement.rows
    order = list(mapping.placement.nodes) if mapping.model is None else list(mapping.model.order())
    out = []
    for name in sorted(mapping.placement.nodes, key=lambda n: order.index(n) if n in order else len(order)):
        own = rows[rows["node"] == mapping.placement.nodes.index(name)]
        on_chip = own[own["core"] >= 0]
        if not on_chip.size:
            continue
        used: dict[str, tuple[float, float]] = {}
        for row in mapping.fit.rows:
            if row.node == name and row.place:
                before = used.get(row.resource)
                if before is None or row.needed * before[1] > before[0] * row.limit:
                    used[row.resource] = (row.needed, row.limit)
        out.append(
            Place(
                node=name,
                neurons=int(np.unique(own["index"]).size),
                chips=tuple(int(chip) for chip in np.unique(on_chip["chip"])),
                cores=tuple(int(core) for core in np.unique(on_chip["core"])),
                used=used,
            )
        )
    return out


def placement(page: Page, mapping: Mapping) -> None:
    """One line per node: where it sits, and what of its core's memories it takes."""
    rows = places(mapping)
    resources = _fullest(rows)
    several = any(row.chips != (0,) for row in rows)

    def build(level: int) -> Table:
        types = [] if level == 2 or mapping.model is None else ["type"]
        chips = ["chip"] if several else []
        whole = resources if level < 2 else ()
        made = table("layer", *types, "neurons", *chips, "core", *resources, right=("neurons",), keep=whole)
        for row in rows:
            cells: list[Any] = [row.node]
            cells += [styled(mapping.model.nodes[row.node].type, "dim")] if types and mapping.model is not None else []
            cells += [row.neurons, *([spans(row.chips)] if several else []), spans(row.cores)]
            add(made, *cells, *(_memory(page, row.used.get(name), level) for name in resources))
        return made

    page.heading("Placement")
    page.fitting(build)
    elsewhere = [f"{fate.node} ({fate.reason})" if fate.reason else fate.node for fate in _on_host(mapping)]
    if elsewhere:
        page.line(f"on the host: {', '.join(elsewhere)}", "cyan")


def _memory(page: Page, used: tuple[float, float] | None, level: int) -> Text:
    """A bar with needed of limit; where there is less room the share, then the share alone."""
    if used is None:
        return styled("")
    needed, limit = used
    of = needed / limit if limit else float(needed > 0)
    bar = page.bar(of, BARS[level] // 2)
    return bar + (
        styled(f" {_percent(of)}") if level else styled(f" {number(needed)}") + styled(f"/{number(limit)}", "dim")
    )


def _fullest(rows: Sequence[Place]) -> list[str]:
    """The resources that matter most, in the order in which the mapper names them."""
    names = list(dict.fromkeys(name for row in rows for name in row.used))

    def most(name: str) -> float:
        return max(needed / limit if limit else 1.0 for row in rows for needed, limit in [row.used.get(name, (0, 1))])

    kept = set(sorted(names, key=most, reverse=True)[:MAX_COLUMNS])
    return [name for name in names if name in kept]


def _on_host(mapping: Mapping) -> list[Fate]:
    return [fate for fate in mapping.fates if fate.fate == "host"]


def losses(page: Page, mapping: Mapping) -> None:
    """How many numbers were lost, by node, parameter and reason."""
    rows = mapping.losses.summary()
    if not rows:
        return
    made = table("node", "parameter", "values", "reason", right=("values",))
    for node, parameter, reason, count in rows:
        add(made, node, parameter, count, reason)
    page.heading("Losses")
    page.table(made)
