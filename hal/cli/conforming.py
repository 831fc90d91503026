"""`hal conform`: judges a device by the conformance suite, which the core knows by name alone."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from hal.cli import resolve
from hal.cli.failures import FAILED, BadUsageError
from hal.cli.show import Page, add, assemble, plain, print_json, seconds, styled, table
from hal.errors import OptionalDependencyError

LEVELS: Final = ("none", "bronze", "silver", "gold")
SUITE: Final = "hal_conformance"
STYLES: Final = {
    "passed": "green",
    "failed": "bold red",
    "not-applicable": "dim",
    "expected-failure": "yellow",
    "blocked": "bold magenta",
}


def conform(name: str, level: str, report: str | None, *, as_json: bool) -> int:
    """Run the suite; 0 when the level asked for is reached."""
    if level not in LEVELS[1:]:
        near = get_close_matches(level, LEVELS[1:], n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise BadUsageError(f"--level {level}: there is no such level", hint=f"{hint}one of {', '.join(LEVELS[1:])}")
    if report is not None and Path(report).exists() and not Path(report).is_dir():
        raise BadUsageError(f"--report {report} is a file", hint="give a folder")
    device = resolve.device(name)
    # `name` may choose one of two distributions; the spec does not know that
    result = _suite().run(name, level=level, progress=_progress())
    if report is not None:
        result.save(report)
    reached = LEVELS.index(result.level) >= LEVELS.index(level)
    if as_json:
        print_json({**plain(result.to_json()), "asked": level, "reached": reached})
    else:
        _show(Page(), device.name, result, level, reached)
        if report is not None:
            print(f"report in {report}")
    return 0 if reached else FAILED


def _suite() -> Any:
    try:
        return importlib.import_module(SUITE)
    except ImportError as error:
        if error.name != SUITE and error.name != "pytest":
            raise
        raise OptionalDependencyError(
            f"the conformance suite cannot be imported: {error}",
            hint="pip install 'neurohal[conformance]'",
            package=error.name,
        ) from error


def _progress() -> Any:
    """Names of checks on one line of stderr, rewritten; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        return None

    def told(check: str) -> None:
        sys.stderr.write(f"\r\033[K{check:.70}")
        sys.stderr.flush()

    return told


def _show(page: Page, name: str, result: Any, level: str, reached: bool) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()
    verdict = styled(result.level, "bold green" if reached else "bold red")
    page.heading(assemble((name, "bold"), ": ", verdict, ("" if reached else f", asked for {level}", "red")))
    page.line(_tally(result.results), "dim")
    made = table("check", "level", "outcome", "time", "reason", right=("time",), keep=("outcome",))
    for row in result.results:
        style = STYLES.get(row.outcome, "")
        add(made, row.id, row.level, styled(row.outcome, style), seconds(row.seconds), row.reason or "")
    page.table(made)


def _tally(results: Sequence[Any]) -> str:
    counts = Counter(row.outcome for row in results)
    return ", ".join(f"{counts[word]} {word}" for word in (*STYLES, *(counts.keys() - STYLES.keys())) if counts[word])
