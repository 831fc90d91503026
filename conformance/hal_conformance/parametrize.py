"""The checks as parameters of an author's own pytest function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from hal_conformance.failure import ConformanceFailure
from hal_conformance.report import Result
from hal_conformance.rulebook import Check, chosen
from hal_conformance.runner import check_expected, execute

if TYPE_CHECKING:
    import pytest

    from hal_conformance.context import Subject


@attrs.frozen(eq=False)
class Case:
    """One check of one device; call it within a test. `result` runs it and never raises for what the device does."""

    check: Check
    subject: Subject
    expected: str | None = None

    def __str__(self) -> str:
        return f"{self.subject.name}-{self.check.id}"

    def result(self) -> tuple[Result, BaseException | None]:
        """Run; the result and the error behind a bad one."""
        return execute(self.check, self.subject, self.expected)

    def __call__(self) -> None:
        """Run, and tell pytest: failed and blocked raise, not applicable skips, expected failures are xfailed."""
        __tracebackhide__ = True
        tell(*self.result())


def tell(result: Result, error: BaseException | None) -> None:
    """A result in pytest's words."""
    import pytest

    __tracebackhide__ = True
    if result.outcome == "not-applicable":
        pytest.skip(f"not applicable: {result.reason}")
    if result.outcome == "expected-failure":
        pytest.xfail(result.reason)
    if result.outcome != "passed":
        # an expected failure gets here under --runxfail, where `xfail` does nothing
        if result.outcome == "failed":
            raise ConformanceFailure(f"{result.id}: {result.reason}") from error
        pytest.fail(f"{result.outcome}: {result.reason}", pytrace=False)


def cases(name: str, level: str | None = None, expected: Mapping[str, str] | None = None) -> list[Case]:
    """All cases of a device. Raises ConfigError; the device itself is looked for when a case runs."""
    from hal_conformance.context import Subject

    expected = {} if expected is None else expected
    check_expected(expected)
    subject = Subject(name=name)
    return [Case(check, subject, expected.get(check.id)) for check in chosen(level)]


def parametrize_checks(
    name: str, *, level: str | None = None, expected: Mapping[str, str] | None = None
) -> pytest.MarkDecorator:
    """A decorator for a test function with one argument, `check`, which it calls.

        @hal_conformance.parametrize_checks("mychip")
        def test_conformance(check):
            check()

    Args:
        name: of the device, looked for when the tests run, so that a fixture may register it.
        level: only checks of it and below.
        expected: id -> reason of failures that are known; strict.
    """
    import pytest

    return pytest.mark.parametrize("check", [pytest.param(case, id=str(case)) for case in cases(name, level, expected)])
