"""The report: what is over, what is refused, what is changed, in text, JSON and errors."""

from __future__ import annotations

import json
from typing import Any

import attrs
import numpy as np
import pytest

from hal.fit import Finding, FitReport, FitRow, Observable, Resource


def row(needed: float, limit: float, **more: Any) -> FitRow:
    fields: dict[str, Any] = {"resource": "neurons", "place": "core 0", "node": "fc", "unit": "neurons"}
    return FitRow(needed=needed, limit=limit, **(fields | more))


def finding(level: Any, **more: Any) -> Finding:
    return Finding(**({"level": level, "node": "lif", "field": "tau", "reason": "no leak"} | more))


def test_an_empty_report_fits() -> None:
    assert FitReport(device="toy").fits
    assert FitReport(device="toy").problems() == []


@pytest.mark.parametrize(
    ("rows", "findings", "fits"),
    [
        ([row(4, 4)], [], True),
        ([row(4, 4), row(5, 4)], [], False),
        ([], [finding("refused")], False),
        ([], [finding("changed"), finding("note")], True),
        ([row(1, 4)], [finding("changed"), finding("refused")], False),
    ],
)
def test_it_fits_when_nothing_is_over_and_nothing_refused(rows: Any, findings: Any, fits: bool) -> None:
    report = FitReport(device="toy", rows=tuple(rows), findings=tuple(findings))
    assert report.fits is fits
    assert bool(report.problems()) is not fits
    assert report.to_json()["fits"] is fits


def test_a_limit_at_run_time_stops_no_mapping() -> None:
    running = row(5, 4, when="run", resource="synops/s", unit="synops/s")
    report = FitReport(device="toy", rows=(row(4, 4), running))
    assert (report.fits, report.maps) == (False, True)
    assert str(report).startswith("toy: does not fit at the given rates\n")
    assert [problem.what for problem in report.problems()] == ["needs 5 synops/s at the given rates"]
    assert [entry["when"] for entry in report.to_json()["rows"]] == ["map", "run"]
    for reason in ({"rows": (row(5, 4), running)}, {"findings": (finding("refused"),)}):
        report = FitReport(device="toy", **reason)
        assert (report.fits, report.maps) == (False, False)
        assert str(report).startswith("toy: does not fit\n")
    assert FitReport(device="toy", rows=(row(4, 4),)).maps


def test_a_row_is_over_when_more_is_needed_than_there_is() -> None:
    assert [row(needed, 4).ok for needed in (3, 4, 4.5, 5)] == [True, True, False, False]
    with pytest.raises(TypeError):
        row(5, 4, ok=True)


def test_findings_by_level() -> None:
    findings = (finding("refused"), finding("changed"), finding("note"), finding("changed", node="b"))
    report = FitReport(device="toy", findings=findings)
    assert report.refused == findings[:1]
    assert report.changed == (findings[1], findings[3])


def test_problems_have_the_place_the_value_the_limit_and_the_hint() -> None:
    report = FitReport(
        device="toy",
        rows=(row(5, 4, hint="fewer"), row(9, 4, place="", node="out"), row(1, 4)),
        findings=(finding("refused", wanted=0.1, realised=0.0, hint="use IF"), finding("changed")),
    )
    assert [str(p) for p in report.problems()] == [
        "fc on core 0: needs 5 neurons (limit 4); fewer",
        "out: needs 9 neurons (limit 4)",
        "lif: tau: no leak (value 0.1, limit 0.0); use IF",
    ]


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (finding("note"), "lif.tau: no leak"),
        (finding("note", node=""), "tau: no leak"),
        (finding("changed", wanted=1), "lif.tau: no leak (wanted 1)"),
        (finding("changed", wanted=1, realised=0), "lif.tau: no leak (wanted 1, realised 0)"),
        (finding("refused", hint="use IF"), "lif.tau: no leak; use IF"),
    ],
)
def test_a_finding_in_one_line(made: Finding, text: str) -> None:
    assert str(made) == text


def test_the_text_says_everything() -> None:
    report = FitReport(device="toy", rows=(row(5, 4),), findings=(finding("changed"), finding("note", node="x")))
    text = str(report)
    assert text.startswith("toy: does not fit")
    for word in ("needs 5 neurons", "changed: lif.tau", "note: x.tau"):
        assert word in text
    assert str(FitReport(device="toy")) == "toy: fits"


def test_json_holds_numpy_values_of_authors() -> None:
    report = FitReport(
        device="toy",
        rows=(row(np.int64(5), np.float32(4.0)), row(1, 1)),
        findings=(
            finding("changed", wanted=np.array([1, 2]), realised=np.float32(0.5)),
            finding("note", wanted=(1, {2}), realised=object),
        ),
    )
    data = json.loads(json.dumps(report.to_json()))
    assert data["rows"][0]["needed"] == 5
    assert data["rows"][1]["ok"] is True
    assert data["findings"][0]["wanted"] == [1, 2]
    assert data["findings"][0]["realised"] == 0.5
    assert data["findings"][1]["wanted"] == [1, [2]]
    assert isinstance(data["findings"][1]["realised"], str)


@pytest.mark.parametrize("cls", [Resource, Observable, FitRow, Finding, FitReport])
def test_all_of_it_is_frozen_and_by_keyword(cls: type) -> None:
    assert all(field.kw_only for field in attrs.fields(cls))
    made = {
        Resource: Resource(name="a", unit="b", scope="c", limit=(1,)),
        Observable: Observable(variable="v", unit="mV"),
        FitRow: row(1, 1),
        Finding: finding("note"),
        FitReport: FitReport(device="toy"),
    }[cls]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        made.device = "x"
