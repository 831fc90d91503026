"""`hal conform`: judges a device by the conformance suite, which the core knows by name alone."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import attrs

from hal.cli import resolve
from hal.cli.failures import FAILED, BadUsageError
from hal.cli.show import Page, add, assemble, plain, print_json, seconds, styled, table
from hal.errors import ConfigError, FormatError, HalError, OptionalDependencyError

LEVELS: Final = ("none", "bronze", "silver", "gold")
SUITE: Final = "hal_conformance"
STYLES: Final = {
    "passed": "green",
    "failed": "bold red",
    "not-applicable": "dim",
    "expected-failure": "yellow",
    "blocked": "bold magenta",
}


@attrs.frozen(kw_only=True)
class Asked:
    """What is asked of the suite: the options of the command line as they were given."""

    level: str | None = None
    only: tuple[str, ...] = ()
    report: str | None = None
    compare: str | None = None
    expect: str | None = None


def conform(name: str, asked: Asked, *, as_json: bool) -> int:
    """Run the suite; 0 when the level asked for is reached, or, without one, when nothing failed.

    With an older report to compare with, nothing may have got worse, either.
    """
    _check(asked)
    device = resolve.device(name)
    suite = _suite()
    old = _read(suite.read_report, asked.compare, "a report.json that --report wrote, or its folder")
    expected = _read(
        suite.read_expected, asked.expect, "lines of TOML: [RUN-002] with reason = 'why it fails', until = 2027-03-01"
    )
    try:
        # `name` may choose one of two distributions; the spec does not know that
        result = suite.run(name, level=asked.level, only=asked.only, expected=expected, progress=_progress())
    except ConfigError as error:
        raise _meant_otherwise(error) from error
    compared = None if old is None else suite.compare(_asked_again(suite, old, result), result)
    if asked.report is not None:
        result.save(asked.report)
    good = _good(result, asked.level) and not (compared is not None and compared.regressed)
    if as_json:
        more = (
            {} if compared is None else {"compared": {**plain(attrs.asdict(compared)), "regressed": compared.regressed}}
        )
        print_json({**plain(result.to_json()), "asked": asked.level, "good": good, **more})
    else:
        page = Page()
        _show(page, device.name, result, asked.level, good)
        if compared is not None:
            _show_changes(page, compared)
        if asked.report is not None:
            print(f"report in {asked.report}")
    return 0 if good else FAILED


def _check(asked: Asked) -> None:
    """Refuse what cannot be meant, before minutes are spent."""
    if asked.level is not None and asked.level not in LEVELS[1:]:
        near = get_close_matches(asked.level, LEVELS[1:], n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise BadUsageError(
            f"--level {asked.level}: there is no such level", hint=f"{hint}one of {', '.join(LEVELS[1:])}"
        )
    if asked.level is not None and asked.only:
        raise BadUsageError("--level and --only: a report on some checks cannot claim a level", hint="give one of them")
    if asked.report is not None and Path(asked.report).exists() and not Path(asked.report).is_dir():
        raise BadUsageError(f"--report {asked.report} is a file", hint="give a folder")


def _read(read: Callable[[str], Any], path: str | None, hint: str) -> Any:
    """A file that the command line names, None where it names none; a file that cannot be used is its fault."""
    if path is None:
        return None
    try:
        return read(path)
    except (FormatError, ConfigError) as error:
        raise _meant_otherwise(error, hint) from error


def _meant_otherwise(error: HalError, hint: str = "") -> BadUsageError:
    return BadUsageError(error.message, hint=error.hint or hint, problems=error.problems)


def _asked_again(suite: Any, old: Any, new: Any) -> Any:
    """The older report without the checks that were left out this time; those that are no more stay, as removed."""
    left_out = {check.id for check in suite.catalogue()} - {row.id for row in new.results}
    return attrs.evolve(old, results=tuple(row for row in old.results if row.id not in left_out))


def _good(result: Any, level: str | None) -> bool:
    if level is None:
        return not result.bad
    return LEVELS.index(result.level) >= LEVELS.index(level)


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


def _show(page: Page, name: str, result: Any, level: str | None, good: bool) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()
    verdict = styled(result.level, "bold green" if good else "bold red")
    short = level is not None and not _good(result, level)
    page.heading(assemble((name, "bold"), ": ", verdict, (f", asked for {level}" if short else "", "red")))
    page.line(_tally(result.results), "dim")
    made = table("check", "level", "outcome", "time", "reason", right=("time",), keep=("outcome",))
    for row in result.results:
        style = STYLES.get(row.outcome, "")
        add(made, row.id, row.level, styled(row.outcome, style), seconds(row.seconds), row.reason or "")
    page.table(made)
    if result.level == "silver" and (missing := result.short_of_gold):
        page.line(f"for gold: {', '.join(row.id for row in missing)} must be passed, not refused")


def _show_changes(page: Page, compared: Any) -> None:
    page.line(f"before {compared.old_level}, now {compared.new_level}")
    for word, style in (("worse", "red"), ("removed", "red"), ("better", "green"), ("added", "")):
        if ids := getattr(compared, word):
            page.line(f"{word}: {', '.join(ids)}", style)


def _tally(results: Sequence[Any]) -> str:
    counts = Counter(row.outcome for row in results)
    return ", ".join(f"{counts[word]} {word}" for word in (*STYLES, *(counts.keys() - STYLES.keys())) if counts[word])
