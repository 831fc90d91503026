"""Options and report of `pytest --pyargs hal_conformance`. Loaded into every test run, so it imports next to nothing.

The checks themselves are in `hal_conformance.test_conformance`, which is collected only when it is asked for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SUITE = "hal_conformance"
PROPERTY = "hal_conformance"
"""User property that carries a result from the test, perhaps in another process, to the report."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the suite."""
    group = parser.getgroup("hal_conformance", "conformance of neurohal devices")
    group.addoption(
        "--hal-device", action="append", default=[], metavar="NAME", help="device to check; may be given again"
    )
    group.addoption("--hal-level", metavar="LEVEL", help="bronze, silver or gold: only checks of it and below")
    group.addoption("--hal-report", metavar="FILE", help="write a JSON report; with several devices, FILE-NAME each")
    group.addoption("--hal-expect", metavar="FILE.toml", help="expected failures, with reason and date")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what cannot be meant, before anything is collected."""
    devices = list(dict.fromkeys(config.getoption("--hal-device")))
    asked = config.getoption("pyargs", False) and any(
        arg.partition("::")[0].partition(".")[0] == SUITE for arg in config.args
    )
    if not devices:
        given = [name for name in ("--hal-level", "--hal-report", "--hal-expect") if config.getoption(name)]
        if asked or given:
            raise pytest.UsageError(
                f"{given[0] if given else SUITE} needs --hal-device NAME; `hal devices` lists the names"
            )
        return
    session = _Session(config, devices)
    config.pluginmanager.register(session, "hal_conformance_session")


class _Session:
    """What one run of the suite knows: the cases of each device, and the results as they come in."""

    def __init__(self, config: pytest.Config, devices: list[str]) -> None:
        # only here: without --hal-device nothing of ours is imported
        from hal.errors import HalError
        from hal_conformance.expectations import read_expected
        from hal_conformance.parametrize import cases
        from hal_conformance.runner import blank

        try:
            expect = config.getoption("--hal-expect")
            expected = read_expected(expect) if expect else {}
            level = config.getoption("--hal-level")
            self.cases = [case for name in devices for case in cases(name, level, expected)]
            self.reports = {case.subject.name: case.subject for case in self.cases}
            self.blank = {name: blank(subject) for name, subject in self.reports.items()}
            _known_to_run(expected, {case.check.id for case in self.cases})
        except HalError as error:
            raise pytest.UsageError(str(error)) from error
        self.results: dict[str, list[Any]] = {name: [] for name in devices}
        self.file = config.getoption("--hal-report")
        self.worker = hasattr(config, "workerinput")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect results; with xdist they arrive here from the workers."""
        if report.when == "call":
            for name, value in report.user_properties:
                if name == PROPERTY and isinstance(value, str):
                    data = json.loads(value)
                    self.results[data.pop("device")].append(data)

    def pytest_sessionfinish(self) -> None:
        """Write the reports."""
        if self.file and not self.worker:
            for name, report in self._reports().items():
                path = Path(self.file)
                if len(self.blank) > 1:
                    path = path.with_name(f"{path.stem}-{name}{path.suffix}")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """One line per device."""
        terminalreporter.section("conformance")
        for name, report in self._reports().items():
            counts = ", ".join(f"{n} {outcome.replace('_', ' ')}" for outcome, n in report.counts().items() if n)
            terminalreporter.write_line(f"{name}: {report.level} ({counts or 'no checks'})")

    def _reports(self) -> dict[str, Any]:
        import attrs

        from hal_conformance.report import Result

        order = {case.check.id: k for k, case in enumerate(self.cases)}
        done = {
            name: sorted((Result(**row) for row in rows), key=lambda result: order[result.id])
            for name, rows in self.results.items()
        }
        return {name: attrs.evolve(report, results=tuple(done[name])) for name, report in self.blank.items()}


def _known_to_run(expected: dict[str, str], ids: set[str]) -> None:
    """An expectation that nothing can meet is a mistake in the call."""
    from hal.errors import ConfigError

    left = sorted(set(expected) - ids)
    if left:
        raise ConfigError(f"expected failures above the level asked for: {', '.join(left)}", hint="raise --hal-level")
