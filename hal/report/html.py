"""Pieces of HTML: escaped text, tables, bars. The one place that turns data into markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

from hal.fit import Finding, FitReport, FitRow
from hal.report.drawing import NEUTRAL, OVER
from hal.wording import number

MAX_ROWS: Final = 400
"""Rows of one table; the rest is counted."""
LEVELS: Final = (("refused", "Refused: does not run"), ("changed", "Changed: not as the model says"), ("note", "Notes"))


class Markup(str):
    """Text that is markup already; all other text is escaped."""

    __slots__ = ()


def text(value: Any) -> Markup:
    """Anything as text: numbers with separators, control characters made harmless."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Markup(number(value) if value == value and abs(value) != float("inf") else str(value))
    return Markup(escape("".join(c if c.isprintable() or c in "\n\t" else "�" for c in str(value))))


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[str] = ()) -> Markup:
    """A table; columns named in `right` hold numbers. Empty without rows."""
    every = list(rows)
    if not every:
        return Markup("")
    sides = [' class="r"' if head in right else "" for head in heads]
    head = "".join(f"<th{side}>{text(name)}</th>" for name, side in zip(heads, sides, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{side}>{text(cell)}</td>" for cell, side in zip(row, sides, strict=True)) + "</tr>"
        for row in every[:MAX_ROWS]
    )
    more = f'<p class="dim">and {number(len(every) - MAX_ROWS)} more rows</p>' if len(every) > MAX_ROWS else ""
    return Markup(f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>{more}')


def bar(share: float, colour: str = NEUTRAL) -> Markup:
    """A bar filled to a share; red where that is more than all."""
    width = min(max(share, 0.0), 1.0) * 100 if share == share else 0.0
    return Markup(
        f'<span class="bar"><i style="width:{width:.1f}%;background:{OVER if share > 1 else colour}"></i></span>'
    )


def mark(colour: str) -> Markup:
    """The colour of a node."""
    return Markup(f'<span class="mark" style="background:{colour}"></span>')


def items(lines: Iterable[Any]) -> Markup:
    """A list; of a long one the first lines."""
    every = list(lines)
    shown = "".join(f"<li>{text(line)}</li>" for line in every[:MAX_ROWS])
    more = f"<li>and {number(len(every) - MAX_ROWS)} more</li>" if len(every) > MAX_ROWS else ""
    return Markup(f"<ul>{shown}{more}</ul>" if every else "")


def folded(summary: str, inside: str, *, shown: bool = False) -> Markup:
    """Something to be opened."""
    return Markup(f"<details{' open' if shown else ''}><summary>{text(summary)}</summary>{inside}</details>")


def used(row: FitRow) -> tuple[float, str]:
    """Share of a limit, as a number and in words."""
    share = row.needed / row.limit if row.limit else (float("inf") if row.needed else 0.0)
    if share == float("inf"):
        return share, "none there"
    return share, f"{share:.0%}" if share >= 0.1 or not share else f"{share:.1%}"


def resources(rows: Iterable[FitRow]) -> Markup:
    """A row for each resource at each place, with a bar."""
    every = []
    for row in rows:
        share, words = used(row)
        words += "" if row.ok else " over"
        every.append((row.resource, row.place, row.node, row.needed, row.limit, row.unit, bar(share), words))
    heads = ("resource", "place", "node", "needed", "limit", "unit", "used", "")
    return table(heads, every, right=("needed", "limit"))


def findings(said: Sequence[Finding], *, shown: Sequence[str] = ("refused", "changed")) -> Markup:
    """Everything there is to say, by gravity; notes folded."""
    out = ""
    for level, heading in LEVELS:
        own = [str(finding) for finding in said if finding.level == level]
        if own:
            out += folded(f"{heading} ({number(len(own))})", items(own), shown=level in shown)
    return Markup(out)


def verdict(report: FitReport) -> Markup:
    """Whether it fits, in a word and a colour."""
    word = "fits" if report.fits else "does not fit at the given rates" if report.maps else "does not fit"
    kind = "ok" if report.fits else "untrusted" if report.maps else "interrupted"
    return Markup(f'<span class="status {kind}">{word}</span>')
