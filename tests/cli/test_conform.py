"""`hal conform`: the level asked for, checks by id, expectations, an older report, and what is a usage error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

import hal_conformance
from hal.errors import ConfigError
from hal_conformance import Report, Result

SUITE = {"bronze": 1, "silver": 2, "gold": 1}
FAILING = (
    Result(id="SPEC-001", level="bronze", outcome="passed", seconds=0.01),
    Result(id="RUN-001", level="silver", outcome="failed", reason="spikes differ", seconds=0.5),
    Result(id="RUN-002", level="silver", outcome="not-applicable", reason="undeclared"),
    Result(id="LIM-001", level="gold", outcome="passed", binding="gold"),
)


def changed(**outcomes: str) -> tuple[Result, ...]:
    """The results with other outcomes, by id with an underscore."""
    return tuple(attrs.evolve(row, outcome=outcomes.get(row.id.replace("-", "_"), row.outcome)) for row in FAILING)


SILVER = changed(RUN_001="passed", LIM_001="not-applicable")
GOLD = changed(RUN_001="passed")


@attrs.define
class Suite:
    """What the suite is made to find, and what was asked of it."""

    results: tuple[Result, ...] = FAILING
    calls: list[dict[str, Any]] = attrs.field(factory=list)
    error: Exception | None = None

    def run(self, name: str, *, progress: Callable[[str], None] | None = None, **asked: Any) -> Report:
        self.calls.append({"name": name, "progress": progress, **asked})
        if self.error is not None:
            raise self.error
        rows = [row for row in self.results if not asked["only"] or row.id in asked["only"]]
        levels = ("bronze", "silver", "gold")
        most = levels.index(asked["level"] or "gold")
        return Report(device=name, results=tuple(r for r in rows if levels.index(r.level) <= most), suite=SUITE)


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Suite:
    """The suite with results that are made up."""
    made = Suite()
    monkeypatch.setattr(hal_conformance, "run", made.run, raising=False)
    monkeypatch.setattr(hal_conformance, "catalogue", lambda: FAILING, raising=False)
    return made


def saved(folder: Path, results: tuple[Result, ...]) -> Path:
    """A report of these results, on disk."""
    return Report(device="ideal", results=results, suite=SUITE).save(folder)


@pytest.mark.parametrize(
    ("results", "level", "code"),
    [
        (FAILING, None, 1),
        (FAILING, "bronze", 0),
        (FAILING, "silver", 1),
        (SILVER, None, 0),
        (SILVER, "silver", 0),
        (SILVER, "gold", 1),
        (GOLD, "gold", 0),
        (changed(RUN_001="expected-failure"), None, 0),
        (changed(RUN_001="expected-failure"), "silver", 1),
        (changed(RUN_001="blocked"), None, 1),
    ],
)
def test_the_level_asked_for_decides_and_without_one_any_failure(
    hal: Any, suite: Suite, results: tuple[Result, ...], level: str | None, code: int
) -> None:
    suite.results = results
    outcome = hal("conform", "ideal", *(() if level is None else ("--level", level)))
    assert (outcome.code, outcome.err) == (code, "")
    assert ("asked for" in outcome.out) == bool(code and level)
    # without a terminal nothing is told on the way
    assert suite.calls == [{"name": "ideal", "level": level, "only": (), "expected": None, "progress": None}]


def test_what_is_printed(hal: Any, suite: Suite) -> None:
    outcome = hal("conform", "ideal")
    assert "ideal: bronze" in outcome.out
    assert "2 passed, 1 failed, 1 not-applicable" in outcome.out
    assert "spikes differ" in outcome.out
    assert "for gold" not in outcome.out
    suite.results = SILVER
    assert "for gold: LIM-001 must be passed, not refused" in hal("conform", "ideal").out
    suite.results = GOLD
    assert "for gold" not in hal("conform", "ideal").out


def test_json_and_a_report(hal: Any, suite: Suite, tmp_path: Path) -> None:
    outcome = hal("conform", "ideal", "--level", "bronze", "--json", "--report", tmp_path / "report")
    assert outcome.code == 0
    assert outcome.json["level"] == outcome.json["asked"] == "bronze"
    assert outcome.json["good"] is True
    assert "compared" not in outcome.json
    assert [row["id"] for row in outcome.json["results"]] == ["SPEC-001"]
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == ["junit.xml", "report.json", "report.md"]
    assert json.loads((tmp_path / "report" / "report.json").read_text())["level"] == "bronze"
    outcome = hal("conform", "ideal", "--json")
    assert (outcome.code, outcome.json["asked"], outcome.json["good"]) == (1, None, False)
    outcome = hal("conform", "ideal", "--report", tmp_path / "again")
    assert f"report in {tmp_path / 'again'}" in outcome.out


def test_checks_by_id(hal: Any, suite: Suite) -> None:
    assert hal("conform", "ideal", "--only", "SPEC-001", "--only", "RUN-002").code == 0
    assert suite.calls[-1]["only"] == ("SPEC-001", "RUN-002")
    outcome = hal("conform", "ideal", "--only", "RUN-002", "--json")
    assert [row["id"] for row in outcome.json["results"]] == ["RUN-002"]
    assert outcome.json["level"] == "none"


def test_expected_failures_come_from_a_file(hal: Any, suite: Suite, tmp_path: Path) -> None:
    path = tmp_path / "expect.toml"
    path.write_text("[RUN-001]\nreason = 'noise'\nuntil = 2099-01-31\n")
    assert hal("conform", "ideal", "--expect", path).code == 1
    assert suite.calls[-1]["expected"] == {"RUN-001": "noise, until 2099-01-31"}


@pytest.mark.parametrize(
    ("before", "after", "code", "words"),
    [
        (GOLD, GOLD, 0, {}),
        (FAILING, SILVER, 0, {"better": ["RUN-001"]}),
        (SILVER, FAILING, 1, {"worse": ["RUN-001"]}),
        # still without any failure, and a level is lost
        (GOLD, SILVER, 1, {}),
        (GOLD[1:], GOLD, 0, {"added": ["SPEC-001"]}),
        ((*GOLD, Result(id="RUN-099", level="silver", outcome="passed")), GOLD, 1, {"removed": ["RUN-099"]}),
    ],
)
def test_an_older_report_must_not_have_been_better(
    hal: Any,
    suite: Suite,
    tmp_path: Path,
    before: tuple[Result, ...],
    after: tuple[Result, ...],
    code: int,
    words: dict[str, list[str]],
) -> None:
    suite.results = after
    old = saved(tmp_path / "old", before)
    outcome = hal("conform", "ideal", "--compare", old, "--json")
    assert (outcome.code, outcome.json["good"]) == (code, not code)
    compared = outcome.json["compared"]
    assert compared["regressed"] is bool(code)
    assert {key: compared[key] for key in ("worse", "better", "added", "removed") if compared[key]} == words
    assert compared["new_level"] == outcome.json["level"]
    text = hal("conform", "ideal", "--compare", old.parent).out
    assert f"before {compared['old_level']}, now {compared['new_level']}" in text
    for word, ids in words.items():
        assert f"{word}: {', '.join(ids)}" in text


def test_checks_left_out_are_not_compared(hal: Any, suite: Suite, tmp_path: Path) -> None:
    suite.results = GOLD
    old = saved(tmp_path / "old", GOLD)
    for asked in (("--only", "RUN-001"), ("--level", "bronze")):
        outcome = hal("conform", "ideal", "--compare", old, *asked, "--json")
        assert (outcome.code, outcome.json["compared"]["removed"]) == (0, [])
    suite.results = FAILING
    outcome = hal("conform", "ideal", "--compare", old, "--only", "RUN-001", "--json")
    assert (outcome.code, outcome.json["compared"]["worse"]) == (1, ["RUN-001"])


def test_one_that_was_failing_before_is_still_a_failure(hal: Any, suite: Suite, tmp_path: Path) -> None:
    outcome = hal("conform", "ideal", "--compare", saved(tmp_path / "old", FAILING), "--json")
    assert (outcome.code, outcome.json["compared"]["regressed"]) == (1, False)


FILES = {
    "broken.json": "{",
    "other.json": '{"format": "something"}',
    "broken.toml": "RUN-001 = ",
    "typo.toml": "[RUN-0001]\nreason = 'typo'\nuntil = 2099-01-31",
    "empty.toml": "[RUN-001]\nreason = ' '\nuntil = 2099-01-31",
}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("idol",), "did you mean ideal"),
        (("ideal", "--level", "sliver"), "did you mean silver?"),
        (("ideal", "--level", "none"), "one of bronze, silver, gold"),
        (("ideal", "--level", "silver", "--only", "RUN-001"), "a report on some checks cannot claim a level"),
        (("ideal", "--report", "typo.toml"), "is a file"),
        (("ideal", "--compare", "nowhere"), "a report.json that --report wrote"),
        (("ideal", "--compare", "broken.json"), "broken.json is not a conformance report"),
        (("ideal", "--compare", "other.json"), "results: missing or of another type"),
        (("ideal", "--expect", "nowhere.toml"), "reason = 'why it fails'"),
        (("ideal", "--expect", "broken.toml"), "broken.toml holds no expected failures"),
        (("ideal", "--expect", "empty.toml"), "an expected failure has a reason"),
        (("ideal", "--expect"), "requires an argument"),
        (("ideal", "--levle", "gold"), "No such option"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error_before_anything_runs(
    hal: Any,
    suite: Suite,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text)
    outcome = hal("conform", *arguments)
    assert outcome.code == 2, outcome.flat
    assert words in outcome.flat
    assert "hint: " in outcome.err
    assert suite.calls == []


def test_usage_errors_as_json(hal: Any, suite: Suite, tmp_path: Path) -> None:
    outcome = hal("conform", "ideal", "--compare", tmp_path / "nowhere", "--json")
    assert outcome.code == 2
    assert outcome.json["error"] == "FormatError"
    assert outcome.json["problems"]
    assert outcome.json["hint"]


def test_what_the_suite_refuses_is_a_usage_error_with_all_its_problems(hal: Any, suite: Suite) -> None:
    suite.error = ConfigError("no such checks", hint="look at the list", problems=["RUN-0001", "RUN-0002"])
    outcome = hal("conform", "ideal", "--only", "RUN-0001", "--only", "RUN-0002")
    assert outcome.code == 2
    assert outcome.flat.count("RUN-000") == 2
    assert "look at the list" in outcome.flat


def test_unknown_ids_are_named_with_what_may_be_meant(hal: Any, tmp_path: Path) -> None:
    outcome = hal("conform", "ideal", "--only", "SPEC-0001", "--only", "SPEC-002")
    assert outcome.code == 2
    assert "did you mean SPEC-001" in outcome.flat
    (tmp_path / "typo.toml").write_text("[SPEC-0001]\nreason = 'typo'\nuntil = 2099-01-31")
    outcome = hal("conform", "ideal", "--expect", tmp_path / "typo.toml")
    assert outcome.code == 2
    assert "did you mean SPEC-001" in outcome.flat
    assert "typo.toml" in outcome.flat


def test_the_real_suite_on_some_checks(hal: Any, tmp_path: Path) -> None:
    asked = ("conform", "ideal", "--only", "SPEC-001", "--only", "LIM-001")
    outcome = hal(*asked, "--report", tmp_path / "old", "--json")
    assert outcome.code == 0
    assert [(row["id"], row["outcome"]) for row in outcome.json["results"]] == [
        ("SPEC-001", "passed"),
        ("LIM-001", "not-applicable"),
    ]
    again = hal(*asked, "--compare", tmp_path / "old", "--json")
    assert (again.code, again.json["compared"]["regressed"]) == (0, False)
    (tmp_path / "expect.toml").write_text("[SPEC-001]\nreason = 'was wrong once'\nuntil = 2099-01-31\n")
    outcome = hal(*asked, "--expect", tmp_path / "expect.toml", "--compare", tmp_path / "old", "--json")
    assert (outcome.code, outcome.json["compared"]["worse"]) == (1, ["SPEC-001"])
    assert "take it off the list" in outcome.json["results"][0]["reason"]


def test_a_suite_that_is_not_installed(hal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hal_conformance", None)
    outcome = hal("conform", "ideal")
    assert outcome.code == 1
    assert "neurohal[conformance]" in outcome.err
