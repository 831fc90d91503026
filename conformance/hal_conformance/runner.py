"""Running checks against one device: each on fresh devices, in a thread of its own, within its time."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Iterable, Mapping

import attrs

from hal.errors import ConfigError, DeviceBusyError, Problem
from hal_conformance.context import Context, Subject
from hal_conformance.failure import ConformanceFailure, NothingOffered
from hal_conformance.report import LEVELS, Outcome, Report, Result
from hal_conformance.rulebook import Check, catalogue, chosen, known_ids

Progress = Callable[[str], None]


def run(
    name: str,
    *,
    level: str | None = None,
    only: Iterable[str] = (),
    expected: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    limit_s: float | None = None,
) -> Report:
    """Check a device by name.

    Args:
        name: as for `hal.open`.
        level: bronze, silver or gold: only checks of it and below.
        only: ids of checks; a report on some cannot claim a level.
        expected: id -> reason of failures that are known. Strict: such a check must fail, by a ConformanceFailure.
        progress: called with id and rule of each check before it begins.
        limit_s: wall seconds for each check instead of its own limit.

    Raises:
        PluginError: no such device, or its plugin does not load.
        ConfigError: unknown ids or level, expectations without a reason.
    """
    expected = {} if expected is None else dict(expected)
    check_expected(expected)
    checks = chosen(level, only)
    subject = Subject(name=name)
    report = blank(subject)
    results = []
    for check in checks:
        if progress is not None:
            progress(f"{check.id} {check.rule}")
        limited = check if limit_s is None else attrs.evolve(check, limit_s=limit_s)
        result, _ = execute(limited, subject, expected.get(check.id))
        results.append(result)
    return attrs.evolve(report, results=tuple(results))


def check_expected(expected: Mapping[str, str]) -> None:
    """Raise ConfigError for ids that do not exist and for reasons left out."""
    known_ids(expected, "expected")
    problems = [
        Problem("an expected failure has a reason", f"expected[{name!r}]", value=reason)
        for name, reason in expected.items()
        if not isinstance(reason, str) or not reason.strip()
    ]
    if problems:
        raise ConfigError("the expected failures are not in order", problems=problems)


def blank(subject: Subject) -> Report:
    """A report on the device without results; raises PluginError where the device cannot be had."""
    from hal import __version__, registry

    plugin, spec = registry.current().resolve(subject.name)
    about = {
        "neurohal": __version__,
        "python": platform.python_version(),
        "family": spec.family,
        "distribution": plugin.record.distribution,
        "version": plugin.record.version,
        "kind": "emulator",
    }
    suite: dict[str, int] = {level: sum(check.level == level for check in catalogue()) for level in LEVELS}
    return Report(device=spec.name, results=(), suite=suite, capabilities=tuple(sorted(spec.capabilities)), about=about)


def execute(check: Check, subject: Subject, expected: str | None = None) -> tuple[Result, BaseException | None]:
    """One check, and the error behind a bad result."""
    missing = check.requires - subject.spec.capabilities
    body = check.twin if missing and check.twin is not None else check.body
    context = Context(subject, check.id, check.limit_s)
    start = time.perf_counter()
    error = _within(lambda: body(context), context, check.limit_s)
    seconds = time.perf_counter() - start
    outcome, reason = _judge(check, error, missing)
    if expected is not None:
        outcome, reason = _against(expected, outcome, reason, error)
    result = Result(
        id=check.id,
        level=check.level,
        outcome=outcome,
        reason=reason,
        binding=check.binding or "",
        seconds=round(seconds, 4),
        measured=dict(context.measured),
    )
    return result, error if outcome in ("failed", "blocked") else None


def _within(body: Callable[[], None], context: Context, limit_s: float) -> BaseException | None:
    """What the body raised, or a failure when it did not end in time.

    A thread, since a signal reaches the main thread only and not into compiled code. A body that hangs is left behind
    with its devices: a daemon thread ends with the process.
    """
    box: list[BaseException] = []

    def work() -> None:
        try:
            try:
                body()
            finally:
                context.clear()
        except BaseException as error:  # SystemExit too: a device must not end the suite
            box.append(error)

    thread = threading.Thread(target=work, name="hal-conformance", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        return TimeLimitError(f"the check did not end within {limit_s:g} s")
    return box[0] if box else None


class TimeLimitError(Exception):
    """A check did not come back; nothing that could be expected."""


def _judge(check: Check, error: BaseException | None, missing: frozenset[str]) -> tuple[Outcome, str]:
    words = ", ".join(sorted(missing))
    if error is None:
        return ("not-applicable", f"{words} is not declared, and refused") if missing else ("passed", "")
    if isinstance(error, DeviceBusyError):
        return "blocked", f"the device is busy: {error}"
    if isinstance(error, NothingOffered) and check.binding is not None:
        return "not-applicable", str(error)
    own = isinstance(error, ConformanceFailure | TimeLimitError)
    text = str(error) if own else f"{type(error).__name__}: {error}"
    return "failed", f"{words} is not declared, and not properly refused: {text}" if missing else text


def _against(expected: str, outcome: Outcome, reason: str, error: BaseException | None) -> tuple[Outcome, str]:
    """Strict: an expected failure is one by a ConformanceFailure, and nothing else."""
    if outcome == "blocked":
        return outcome, reason
    if outcome == "failed" and isinstance(error, ConformanceFailure):
        return "expected-failure", f"{expected} ({reason})"
    if outcome == "failed":
        return "failed", f"{reason}; the failure that was expected ({expected}) is another"
    return "failed", f"was expected to fail ({expected}) and is {outcome}: take it off the list"
