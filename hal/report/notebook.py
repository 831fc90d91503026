"""What a notebook shows of a fit report, a mapping and a recording: small pieces of HTML without any script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hal import floorplan
from hal.errors import HalError
from hal.report import html, sections
from hal.report.drawing import svg
from hal.report.html import text
from hal.wording import number, shape

if TYPE_CHECKING:
    from hal.fit import FitReport
    from hal.mapping import Mapping
    from hal.recording import Recording

READ: Final = 2_000_000
"""Events up to which a recording is read for being shown; of a larger one stands what its manifest says."""


def _piece(inside: str) -> str:
    return f'<div class="hal"><style>{sections.style()}</style>{inside}</div>'


def fit_report(report: FitReport) -> str:
    """The verdict, every reason, and how much of each resource is used."""
    title = f"<p><b>{text(report.device)}</b> {html.verdict(report)}</p>"
    problems = html.items(str(problem) for problem in report.problems())
    return _piece(title + problems + html.resources(report.rows) + html.findings(report.findings, shown=("changed",)))


def mapping(made: Mapping) -> str:
    """Where everything sits, as the chip's floor plan, and what was changed or lost."""
    title = f"<p><b>{text(made.device)}</b> <span class='dim'>{text(repr(made)[1:-1])}</span></p>"
    try:
        plan = floorplan.of(made)
    except HalError as error:
        drawn = f'<p class="dim">No floor plan: {text(error.message)}.</p>'
    else:
        drawn = f"<div class='wide'>{svg(plan, sections.colours(made))}</div><p class='dim'>{text(plan.caption)}</p>"
    lost = html.table(("node", "parameter", "lost", "values"), made.losses.summary(), right=("values",))
    return _piece(title + drawn + lost + html.findings(made.fit.findings, shown=()))


def recording(made: Recording) -> str:
    """How the run ended, its numbers, and how active every node was."""
    if made.event_count() <= READ or made.path is None:
        subject = sections.Subject(made)
        return _piece(sections.head(subject) + sections.activity(subject) + html.findings(made.diagnostics))
    rows = [(name, shape(size), made.event_count(name)) for name, size in made.shapes.items()]
    title = f"<p>{text(repr(made)[1:-1])}; {number(made.event_count())} events</p>"
    return _piece(title + html.table(("node", "shape", "events"), rows, right=("events",)))
