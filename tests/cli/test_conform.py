from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest


@attrs.frozen
class Result:
    id: str
    level: str
    outcome: str
    reason: str
    seconds: float


@attrs.frozen
class Report:
    device: str
    level: str
    results: tuple[Result, ...]

    def to_json(self) -> dict[str, Any]:
        return attrs.asdict(self)

    def save(self, directory: str) -> None:
        Path(directory).mkdir()
        (Path(directory) / "report.json").write_text(json.dumps(self.to_json()))


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """A conformance suite that always finds bronze."""
    calls: list[tuple[Any, ...]] = []

    def run(name: str, *, level: str | None = None, progress: Callable[[str], None] | None = None) -> Report:
        calls.append((name, level, progress))
        results = (
            Result("HAL-001", "bronze", "passed", "", 0.01),
            Result("HAL-100", "silver", "failed", "spikes differ", 0.5),
            Result("HAL-101", "silver", "not-applicable", "undeclared", 0.0),
        )
        return Report(name, "bronze", results)

    module = types.ModuleType("hal_conformance")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hal_conformance", module)
    return calls


@pytest.mark.parametrize(("level", "code"), [((), 1), (("--level", "bronze"), 0), (("--level", "gold"), 1)])
def test_the_level_asked_for_decides(hal, suite, level: tuple[str, ...], code: int) -> None:
    outcome = hal("conform", "ideal", *level)
    assert (outcome.code, outcome.err) == (code, "")
    assert "ideal: bronze" in outcome.out
    assert ("asked for" in outcome.out) == bool(code)
    assert "1 passed, 1 failed, 1 not-applicable" in outcome.out
    assert "spikes differ" in outcome.out
    # without a terminal nothing is told on the way
    assert suite == [("ideal", level[1] if level else "silver", None)]


def test_conform_as_json_and_report(hal, suite, tmp_path: Path) -> None:
    outcome = hal("conform", "ideal", "--level", "bronze", "--json", "--report", tmp_path / "report")
    assert outcome.json["level"] == outcome.json["asked"] == "bronze"
    assert outcome.json["reached"] is True
    assert len(outcome.json["results"]) == 3
    assert json.loads((tmp_path / "report" / "report.json").read_text())["level"] == "bronze"


def test_faults_of_the_command_line(hal, suite, tmp_path: Path) -> None:
    assert hal("conform", "idol").code == 2
    outcome = hal("conform", "ideal", "--level", "sliver")
    assert outcome.code == 2
    assert "did you mean silver?" in outcome.err
    (tmp_path / "file").touch()
    assert hal("conform", "ideal", "--report", tmp_path / "file").code == 2
    assert suite == []


def test_a_suite_that_is_not_installed(hal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hal_conformance", None)
    outcome = hal("conform", "ideal")
    assert outcome.code == 1
    assert "neurohal[conformance]" in outcome.err
