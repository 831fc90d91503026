"""Results as data: levels, JSON, files, comparisons."""

import json

import attrs
import pytest

from hal.errors import FormatError
from hal_conformance import Report, Result, compare, read_report

SUITE = {"bronze": 2, "silver": 2, "gold": 0}
OUTCOMES = ("passed", "failed", "not-applicable", "expected-failure", "blocked")


def result(name, level="bronze", outcome="passed", **more):
    return Result(id=name, level=level, outcome=outcome, **more)


def report(*outcomes, suite=SUITE, **more):
    """Two bronze checks, then silver ones."""
    levels = ("bronze", "bronze", "silver", "silver")
    rows = [result(f"MAP-00{k}", level, outcome) for k, (level, outcome) in enumerate(zip(levels, outcomes))]  # noqa: B905
    return Report(device="chip", results=tuple(rows), suite=suite, **more)


@pytest.mark.parametrize(
    ("outcomes", "level"),
    [
        ((), "none"),
        (("passed",), "none"),
        (("passed", "passed"), "bronze"),
        (("passed", "not-applicable"), "bronze"),
        (("passed", "failed"), "none"),
        (("passed", "expected-failure"), "none"),
        (("passed", "blocked"), "none"),
        (("passed", "passed", "passed"), "bronze"),
        (("passed", "passed", "passed", "failed"), "bronze"),
        (("passed", "passed", "passed", "not-applicable"), "silver"),
        (("passed", "failed", "passed", "passed"), "none"),
    ],
)
def test_the_level_needs_all_checks_of_it_and_below(outcomes, level):
    assert report(*outcomes).level == level


def test_a_level_without_checks_is_never_reached():
    assert report("passed", "passed", suite={"bronze": 2}).level == "bronze"
    assert report("passed", "passed", "passed", "passed", suite={"bronze": 2, "silver": 2, "gold": 1}).level == "silver"
    assert report(suite={}).level == "none"


def test_bad_are_the_failed_and_the_blocked():
    made = report(*OUTCOMES[:4])
    assert [row.outcome for row in made.bad] == ["failed"]
    assert [row.outcome for row in report("blocked", "expected-failure").bad] == ["blocked"]
    assert made.counts() == {"passed": 1, "failed": 1, "not-applicable": 1, "expected-failure": 1, "blocked": 0}


def test_results_are_found_by_id():
    made = report("passed", "failed")
    assert made["MAP-001"].outcome == "failed"
    with pytest.raises(KeyError, match="no result of MAP-009"):
        made["MAP-009"]


def _full():
    rows = (
        result("LOAD-001", measured={"import_ms": 3.5}, seconds=0.25),
        result("MAP-001", "silver", "failed", reason="one | two\nthree"),
    )
    return Report(
        device="chip",
        results=rows,
        suite={"bronze": 1, "silver": 1, "gold": 0},
        capabilities=("neuron.if",),
        about={"python": "3.11"},
    )


def test_json_and_back_is_the_same_report():
    made = _full()
    data = json.loads(json.dumps(made.to_json()))
    assert data["level"] == "bronze"
    assert data["counts"]["failed"] == 1
    again = Report.from_json(data)
    assert again.to_json() == made.to_json()
    assert again.results == made.results


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(level="gold"), "level: does not follow from the results"),
        (lambda d: d.update(format="something"), "format: another format"),
        (lambda d: d.pop("results"), "results: missing or of another type"),
        (lambda d: d.update(suite=[], about=3), "about: missing or of another type"),
        (lambda d: d["results"][0].update(outcome="green"), "results[0].outcome: unknown word"),
        (lambda d: d["results"][1].update(level="platinum"), "results[1].level: unknown word"),
        (lambda d: d["results"][0].update(seconds="1"), "results[0].seconds: of another type"),
        (lambda d: d["results"][0].pop("reason"), "results[0]: does not have the fields of a result"),
    ],
)
def test_what_is_no_report_is_refused_with_the_place(change, words):
    data = _full().to_json()
    change(data)
    with pytest.raises(FormatError) as caught:
        Report.from_json(data)
    assert words in str(caught.value)


def test_all_problems_of_a_broken_report_are_listed():
    data = _full().to_json()
    data["results"][0]["outcome"] = data["results"][1]["outcome"] = "green"
    with pytest.raises(FormatError) as caught:
        Report.from_json(data)
    assert len(caught.value.problems) == 2
    with pytest.raises(FormatError, match="not a JSON object"):
        Report.from_json([])


def test_a_saved_report_is_read_by_file_or_folder(tmp_path):
    made = _full()
    path = made.save(tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "report.json"
    assert read_report(path).to_json() == read_report(path.parent).to_json() == made.to_json()
    text = (path.parent / "report.md").read_text(encoding="utf-8")
    assert "# Conformance of chip: bronze" in text
    assert "| LOAD-001 | bronze | passed | 0.25 | import_ms = 3.5 |" in text
    assert "| MAP-001 | silver | failed | 0.00 | one \\| two three |" in text
    assert "1 passed, 1 failed. python 3.11." in text


def test_reading_what_is_not_there_or_not_json_says_which_file(tmp_path):
    (tmp_path / "report.json").write_text("{", encoding="utf-8")
    for path in (tmp_path, tmp_path / "nothing.json"):
        with pytest.raises(FormatError, match="is not a conformance report"):
            read_report(path)


def test_comparing_lists_what_got_worse_better_came_and_went():
    old = report("passed", "failed", "passed")
    new = report("failed", "not-applicable")
    new = attrs.evolve(new, results=(*new.results, result("RUN-001", "silver", "failed")))
    found = compare(old, new)
    assert found.worse == ("MAP-000",)
    assert found.better == ("MAP-001",)
    assert found.added == ("RUN-001",)
    assert found.removed == ("MAP-002",)
    assert (found.old_level, found.new_level) == ("none", "none")
    assert found.regressed


def test_a_lost_level_is_a_regression_and_a_new_failure_alone_is_not():
    base = report("passed", "failed")
    same = attrs.evolve(base, results=(*base.results, result("RUN-001", "silver", "failed")))
    assert not compare(base, same).regressed
    assert not compare(base, base).regressed
    silver = report("passed", "passed", "passed", "passed")
    stricter = attrs.evolve(silver, suite={"bronze": 2, "silver": 3})
    assert compare(silver, stricter).regressed
    assert not compare(stricter, silver).regressed
