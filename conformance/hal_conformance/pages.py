"""A report as people read it, Markdown, and as CI servers do, JUnit XML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from xml.etree import ElementTree

from hal_conformance.report import Outcome, Report

_JUNIT: Final[Mapping[Outcome, str]] = {
    "failed": "failure",
    "blocked": "error",
    "not-applicable": "skipped",
    "expected-failure": "skipped",
}


def markdown(report: Report) -> str:
    """A page with one line of summary, what is missing for gold, and a table."""
    facts = [_cell(f"{key} {value}") for key, value in sorted(report.about.items())]
    counts = ", ".join(f"{n} {outcome}" for outcome, n in report.counts().items() if n)
    lines = [
        f"# Conformance of {_cell(report.device)}: {report.level}",
        "",
        f"{counts or 'no checks'}. {'; '.join(facts)}".rstrip(". ") + ".",
        "",
    ]
    if missing := report.short_of_gold:
        lines += ["Gold needs these passed:", ""]
        lines += [f"- {result.id}: {_cell(result.reason)}" for result in missing] + [""]
    lines += ["| check | level | outcome | seconds | remarks |", "|---|---|---|---|---|"]
    for result in report.results:
        measured = ", ".join(f"{key} = {value}" for key, value in result.measured.items())
        cell = _cell("; ".join(text for text in (result.reason, measured) if text))
        lines.append(f"| {result.id} | {result.level} | {result.outcome} | {result.seconds:.2f} | {cell} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Within one cell: no end of it, no line break, nothing that is read as HTML."""
    return " ".join(_clean(text).replace("|", "\\|").replace("<", "&lt;").split())


def _clean(text: object) -> str:
    """Without control characters, which XML does not have and a terminal obeys."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def junit(report: Report) -> str:
    """A test case per check; what was not applicable, or expected to fail, is skipped."""
    counts = report.counts()
    suite = ElementTree.Element(
        "testsuite",
        name=_clean(f"hal_conformance.{report.device}"),
        tests=str(len(report.results)),
        failures=str(counts["failed"]),
        errors=str(counts["blocked"]),
        skipped=str(counts["not-applicable"] + counts["expected-failure"]),
        time=f"{sum(result.seconds for result in report.results):.3f}",
    )
    about = ElementTree.SubElement(suite, "properties")
    for key, value in {"level": report.level, **report.about}.items():
        ElementTree.SubElement(about, "property", name=_clean(key), value=_clean(value))
    for result in report.results:
        time = f"{result.seconds:.3f}"
        case = ElementTree.SubElement(suite, "testcase", classname=_clean(report.device), name=result.id, time=time)
        if result.outcome != "passed":
            ElementTree.SubElement(case, _JUNIT[result.outcome], message=_clean(f"{result.outcome}: {result.reason}"))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
