"""Running: outcomes, expectations, limits, and what is raised instead of being a result."""

import threading
import time
from pathlib import Path

import pytest

import hal_conformance
from hal.errors import ConfigError, PluginError
from hal.evidence import evidence
from hal_conformance import rulebook
from hal_conformance.failure import nothing


@pytest.fixture
def checks():
    """Enter checks for one test: an id, a body, and what else a check has."""
    entered = []

    def enter(name, body, **about):
        def check_it(ctx):
            """Given a, when b, then c."""
            body(ctx)

        entered.append(name)
        hal_conformance.check(name, **about)(check_it)

    yield enter
    for name in entered:
        rulebook._found.pop(name)


README = Path(__file__).parents[2] / "README.md"
SPECKS = ("speck2e", "speck2f", "speck2b", "speck2cmini", "speck2dmini", "dynapcnndevkit")


@pytest.mark.parametrize("name", [pytest.param("loihi", marks=pytest.mark.full), *SPECKS])
def test_our_chips_are_gold(name):
    report = hal_conformance.run(name)
    assert not report.bad, [(result.id, result.reason) for result in report.bad]
    assert report.level == "gold"
    assert report.short_of_gold == ()
    assert report.device == name
    assert sum(result.seconds for result in report.results) < 90
    assert report.about["distribution"] == "neurohal"
    assert "neuron.if" in report.capabilities
    assert report["MAP-001"].measured["witness"].startswith("IF")


def test_the_reference_is_silver_and_says_why():
    report = hal_conformance.run("ideal")
    assert not report.bad, [(result.id, result.reason) for result in report.bad]
    assert report.level == "silver"
    assert {result.id: result.reason for result in report.short_of_gold} == {
        "LIM-001": "no limits are declared",
        "LIM-002": "no limits are declared",
        "OVR-001": "overload.report is not declared, and refused",
        "VEC-001": "the plugin brings no vectors: Evidence(vectors=...)",
    }
    assert evidence("ideal").why == "the reference: it has no limits and cannot be overloaded"


def test_nothing_offered_is_not_applicable_where_a_level_needs_it_and_else_a_failure(mutants, checks):
    checks("LIM-990", lambda ctx: nothing("no limits"), level="gold", binding="gold")
    checks("LIM-991", lambda ctx: nothing("no limits"), level="gold")
    report = hal_conformance.run("faithful", only=["LIM-990", "LIM-991"])
    bound, free = report.results
    assert (bound.outcome, bound.reason, bound.binding) == ("not-applicable", "no limits", "gold")
    assert (free.outcome, free.reason, free.binding) == ("failed", "NothingOffered: no limits", "")
    assert report.short_of_gold == (bound,)


def test_a_binding_check_may_be_of_a_level_below(mutants, checks):
    checks("RST-990", lambda ctx: None, level="silver", requires={"profile"}, twin=lambda ctx: None, binding="gold")
    (result,) = hal_conformance.run("faithful", only=["RST-990"]).results
    assert (result.level, result.outcome, result.binding) == ("silver", "not-applicable", "gold")
    assert (result.denies("silver"), result.denies("gold")) == (False, True)


def test_an_alias_is_reported_by_the_devices_own_name():
    assert hal_conformance.run("speck2fmodule", only=["SPEC-001"]).device == "speck2f"


def test_progress_names_each_check_before_it_runs():
    told = []
    report = hal_conformance.run("ideal", level="bronze", only=["SPEC-001", "SPEC-002"], progress=told.append)
    assert [text.partition(" ")[0] for text in told] == ["SPEC-001", "SPEC-002"]
    assert all(" Given " in text for text in told)
    assert [result.id for result in report.results] == ["SPEC-001", "SPEC-002"]


def test_a_report_on_some_checks_claims_no_level():
    report = hal_conformance.run("ideal", only=["SPEC-001"])
    assert not report.bad
    assert report.level == "none"
    assert hal_conformance.run("ideal", level="bronze").level == "bronze"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"name": "speck2g"}, PluginError, "did you mean speck2f"),
        ({"name": "ideal", "only": ["MAP-0001"]}, ConfigError, "did you mean MAP-001"),
        ({"name": "ideal", "level": "Silver"}, ConfigError, "levels: bronze, silver, gold"),
        ({"name": "ideal", "expected": {"NO-1": "why"}}, ConfigError, "no such check"),
        ({"name": "ideal", "expected": {"MAP-001": " "}}, ConfigError, "has a reason"),
    ],
)
def test_mistakes_of_the_caller_are_raised(arguments, error, words):
    with pytest.raises(error) as caught:
        hal_conformance.run(**arguments)
    assert words in str(caught.value)


def test_a_broken_plugin_is_raised():
    import types

    from hal.testing import registered

    with registered(types.ModuleType("hal_hollow"), "hollow") as record:
        assert record.state == "incompatible"
        with pytest.raises(PluginError, match="no device 'hollow'"):
            hal_conformance.run("hollow")


def test_another_exception_is_a_failure_with_its_type(mutants):
    result = hal_conformance.run("crashes", only=["RUN-001"])["RUN-001"]
    assert result.outcome == "failed"
    assert result.reason == "ZeroDivisionError: the emulator divides by zero"


def test_a_device_cannot_end_the_suite(mutants):
    report = hal_conformance.run("exits", only=["RUN-001", "SPEC-001"])
    assert report["RUN-001"].outcome == "failed"
    assert report["RUN-001"].reason.startswith("SystemExit")
    assert report["SPEC-001"].outcome == "passed"


def test_a_busy_device_is_blocked_and_never_green(mutants):
    report = hal_conformance.run("busy", only=["RUN-001", "LOAD-003", "SPEC-001"])
    assert {result.id: result.outcome for result in report.results} == {
        "SPEC-001": "passed",
        "LOAD-003": "blocked",
        "RUN-001": "blocked",
    }
    assert len(report.bad) == 2
    assert "somebody else holds it" in report["RUN-001"].reason
    expected = hal_conformance.run("busy", only=["RUN-001"], expected={"RUN-001": "is busy"})
    assert expected["RUN-001"].outcome == "blocked"


def test_a_check_that_hangs_fails_in_its_time_and_others_go_on(mutants):
    start = time.monotonic()
    report = hal_conformance.run("hangs", only=["RUN-001", "MAP-001"], limit_s=0.4)
    assert time.monotonic() - start < 3
    assert report["RUN-001"].outcome == "failed"
    assert report["RUN-001"].reason == "the check did not end within 0.4 s"
    assert report["MAP-001"].outcome == "passed"
    left = hal_conformance.run("hangs", only=["RUN-001"], expected={"RUN-001": "it hangs"}, limit_s=0.2)["RUN-001"]
    assert left.outcome == "failed"
    # nothing of this may outlive the test: the next one counts threads
    for thread in threading.enumerate():
        if thread.name == "hal-conformance":
            thread.join(10)


def test_expected_failures_are_strict(mutants):
    reasons = {"RUN-002": "loses one", "MAP-001": "was wrong once"}
    report = hal_conformance.run("drops-last", only=reasons, expected=reasons)
    assert report["RUN-002"].outcome == "expected-failure"
    assert report["RUN-002"].reason.startswith("loses one (stimulus 0")
    assert report["MAP-001"].outcome == "failed"
    assert "take it off the list" in report["MAP-001"].reason
    assert "is passed" in report["MAP-001"].reason


def test_an_expected_failure_must_be_the_suites_own(mutants):
    result = hal_conformance.run("crashes", only=["RUN-001"], expected={"RUN-001": "known"})["RUN-001"]
    assert result.outcome == "failed"
    assert "ZeroDivisionError" in result.reason
    assert "(known) is another" in result.reason


def test_what_is_not_applicable_cannot_be_expected_to_fail(mutants):
    result = hal_conformance.run("modest", only=["MAP-009"], expected={"MAP-009": "no like"})["MAP-009"]
    assert result.outcome == "failed"
    assert "is not-applicable" in result.reason


def test_expected_failures_lower_the_level(mutants):
    expected = dict.fromkeys(mutants.mutants()["no-source"].meant, "nobody knows")
    report = hal_conformance.run("no-source", level="bronze", expected=expected)
    assert not report.bad
    assert report.level == "none"


def test_a_check_leaves_no_device_open_and_no_folder(mutants, tmp_path, monkeypatch):
    import tempfile

    from hal_ideal.device import IdealDevice

    made = []
    begin = IdealDevice.__init__
    monkeypatch.setattr(IdealDevice, "__init__", lambda self, *a, **k: (made.append(self), begin(self, *a, **k))[1])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    report = hal_conformance.run("faithful", only=["REC-001", "RUN-011", "RUN-003"])
    assert not report.bad
    assert len(made) >= 6
    assert {device.state for device in made} == {"closed"}
    assert not list(tmp_path.iterdir())


def test_an_error_of_closing_is_a_failure(mutants, monkeypatch):
    from hal_ideal.device import IdealDevice

    def fails(self):
        raise OSError("the cable fell out")

    monkeypatch.setattr(IdealDevice, "_close", fails)
    result = hal_conformance.run("faithful", only=["RUN-001"])["RUN-001"]
    assert result.outcome == "failed"
    assert "OSError: the cable fell out" in result.reason


def test_randomness_depends_on_check_and_device_alone():
    from hal_conformance.context import Context, Subject

    def draws(name, check):
        return Context(Subject(name=name), check, 60).rng.integers(0, 1 << 30, 4).tolist()

    assert draws("ideal", "RUN-001") == draws("ideal", "RUN-001")
    assert draws("ideal", "RUN-001") != draws("ideal", "RUN-002")
    assert draws("ideal", "RUN-001") != draws("speck2f", "RUN-001")
