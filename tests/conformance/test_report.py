"""Results as data: levels, JSON, files, comparisons."""

import json
from importlib import resources
from xml.etree import ElementTree

import attrs
import jsonschema
import pytest

import hal_conformance
from hal.errors import FormatError
from hal_conformance import Report, Result, compare, read_report
from hal_conformance.report import FORMAT, LEVELS

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


GOLD = {"bronze": 1, "silver": 1, "gold": 2}


def gilt(silver="passed", free="passed", bound="passed"):
    """A bronze check, a silver one that gold needs passed, and two gold ones of which one is binding."""
    rows = (
        result("LOAD-001"),
        result("RST-002", "silver", silver, binding="gold"),
        result("OVR-002", "gold", free),
        result("LIM-001", "gold", bound, binding="gold"),
    )
    return Report(device="chip", results=rows, suite=GOLD)


@pytest.mark.parametrize(
    ("outcomes", "level", "short"),
    [
        ({}, "gold", []),
        ({"free": "not-applicable"}, "gold", []),
        ({"bound": "not-applicable"}, "silver", ["LIM-001"]),
        ({"silver": "not-applicable"}, "silver", ["RST-002"]),
        ({"silver": "not-applicable", "bound": "not-applicable"}, "silver", ["RST-002", "LIM-001"]),
        ({"silver": "failed"}, "bronze", []),
        ({"silver": "expected-failure"}, "bronze", []),
        ({"bound": "failed"}, "silver", []),
        ({"bound": "expected-failure", "silver": "not-applicable"}, "silver", ["RST-002"]),
        ({"bound": "blocked"}, "silver", []),
        ({"free": "failed"}, "silver", []),
    ],
)
def test_gold_needs_binding_checks_passed_and_says_which_were_not(outcomes, level, short):
    made = gilt(**outcomes)
    assert made.level == level
    assert [row.id for row in made.short_of_gold] == short


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_result_denies_its_own_level_and_the_one_it_is_binding_for(outcome):
    good, passed = outcome in ("passed", "not-applicable"), outcome == "passed"
    bound = result("RST-002", "silver", outcome, binding="gold")
    assert [bound.denies(level) for level in ("bronze", "silver", "gold")] == [False, not good, not passed]
    free = result("RUN-001", "silver", outcome)
    assert [free.denies(level) for level in ("bronze", "silver", "gold")] == [False, not good, False]
    strict = result("LIM-001", "gold", outcome, binding="gold")
    assert [strict.denies(level) for level in ("bronze", "silver", "gold")] == [False, False, not passed]


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
        result("LIM-001", "gold", "not-applicable", reason="no limits are declared", binding="gold"),
    )
    return Report(
        device="chip",
        results=rows,
        suite={"bronze": 1, "silver": 1, "gold": 1},
        capabilities=("neuron.if",),
        about={"python": "3.11"},
    )


@pytest.fixture(scope="module")
def schema():
    """A validator of reports."""
    text = resources.files("hal_conformance").joinpath("report.schema.json").read_text(encoding="utf-8")
    jsonschema.Draft202012Validator.check_schema(json.loads(text))
    return jsonschema.Draft202012Validator(json.loads(text))


@pytest.mark.parametrize(
    "made",
    [_full(), gilt(), gilt("blocked", "expected-failure", "failed"), report(), report(*OUTCOMES[:4], suite=GOLD)],
    ids=["full", "gold", "all outcomes", "empty", "some"],
)
def test_reports_are_valid_by_their_schema(made, schema):
    assert list(schema.iter_errors(json.loads(json.dumps(made.to_json())))) == []


def test_reports_of_devices_are_valid_by_their_schema(mutants, schema):
    for name in ("faithful", "scrambled", "busy", "modest"):
        made = hal_conformance.run(name, only=["SPEC-001", "LOAD-003", "MAP-009", "RUN-002", "VEC-001"])
        assert list(schema.iter_errors(json.loads(json.dumps(made.to_json())))) == []


def test_the_schema_knows_the_words_and_the_fields(schema):
    found = schema.schema["properties"]
    row = found["results"]["items"]
    assert row["properties"].keys() == set(row["required"]) == {field.name for field in attrs.fields(Result)}
    assert found.keys() == set(schema.schema["required"]) == _full().to_json().keys()
    assert found["format"]["const"] == FORMAT
    assert tuple(row["properties"]["outcome"]["enum"]) == OUTCOMES
    assert tuple(found["counts"]["properties"]) == OUTCOMES
    assert tuple(row["properties"]["level"]["enum"]) == LEVELS
    assert tuple(row["properties"]["binding"]["enum"]) == ("", *LEVELS)
    assert tuple(found["level"]["enum"]) == ("none", *LEVELS)
    assert all(found[key]["description"] for key in found if key != "format")


def test_json_and_back_is_the_same_report():
    made = _full()
    data = json.loads(json.dumps(made.to_json()))
    assert data["level"] == "bronze"
    assert data["counts"]["failed"] == 1
    assert [row["binding"] for row in data["results"]] == ["", "", "gold"]
    again = Report.from_json(data)
    assert again.to_json() == made.to_json()
    assert again.results == made.results


BROKEN = [
    (lambda d: d.update(format="something"), "format: another format"),
    (lambda d: d.pop("results"), "results: missing or of another type"),
    (lambda d: d.pop("counts"), "counts: missing or of another type"),
    (lambda d: d.update(suite=[], about=3), "about: missing or of another type"),
    (lambda d: d["results"][0].update(outcome="green"), "results[0].outcome: unknown word"),
    (lambda d: d["results"][1].update(level="platinum"), "results[1].level: unknown word"),
    (lambda d: d["results"][2].update(binding="platinum"), "results[2].binding: unknown word"),
    (lambda d: d["results"][2].update(binding=None), "results[2].binding: unknown word"),
    (lambda d: d["results"][0].update(seconds="1"), "results[0].seconds: of another type"),
    (lambda d: d["results"][0].update(measured=[]), "results[0].measured: of another type"),
    (lambda d: d["results"][0].pop("reason"), "results[0]: does not have the fields of a result"),
    (lambda d: d["results"][0].update(more=1), "results[0]: does not have the fields of a result"),
]


@pytest.mark.parametrize(("change", "words"), BROKEN)
def test_what_is_no_report_is_refused_with_the_place_and_by_the_schema(change, words, schema):
    data = _full().to_json()
    change(data)
    with pytest.raises(FormatError) as caught:
        Report.from_json(data)
    assert words in str(caught.value)
    assert list(schema.iter_errors(data))


@pytest.mark.parametrize(("key", "value"), [("level", "gold"), ("counts", dict.fromkeys(OUTCOMES, 0))])
def test_what_does_not_follow_from_the_results_is_refused(key, value):
    data = _full().to_json() | {key: value}
    with pytest.raises(FormatError, match=f"{key}: does not follow from the results"):
        Report.from_json(data)


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
    assert "1 passed, 1 failed, 1 not-applicable. python 3.11." in text
    assert ElementTree.parse(path.parent / "junit.xml").getroot().tag == "testsuites"


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
