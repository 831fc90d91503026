"""Devices broken in one way each: the suite finds every one of them, and nothing wrong with those in order."""

import re
import sys
import types

import attrs
import pytest

import hal_conformance
from hal.device import Device
from hal.mapper import Mapper
from hal.testing import registered

# what only another kind of plugin can break; the tests below
ELSEWHERE = {"LOAD-001", "LOAD-002"}


def test_each_mutant_fails_the_checks_meant_for_it(mutants, mutant):
    report = hal_conformance.run(mutant.name, only=mutant.meant)
    wanted = [check.id for check in hal_conformance.catalogue() if check.id in mutant.meant]
    assert [result.id for result in report.results] == wanted
    for result in report.results:
        assert result.outcome == "failed", result
        assert mutant.meant[result.id] in result.reason


@pytest.mark.parametrize("base", ["toy", "loihi"])
def test_every_check_has_a_mutant_on_each_base(plugin, base):
    met = {name for mutant in plugin.mutants().values() if mutant.base.name == base for name in mutant.meant}
    assert met | ELSEWHERE == {check.id for check in hal_conformance.catalogue()}


def test_what_is_on_one_base_alone_says_why(plugin):
    from hal_mutants.catalogue import BOTH

    homes = {}
    for mutant in plugin.mutants().values():
        if mutant.meant and mutant.base.name in BOTH:
            homes.setdefault(mutant.name.removeprefix(mutant.base.prefix), []).append(mutant)
    assert len(homes) > 100
    for name, found in homes.items():
        assert (len(found) == 2) != any(mutant.why for mutant in found), name


def test_every_fault_says_what_is_wrong_in_one_line(plugin):
    for mutant in plugin.mutants().values():
        assert re.fullmatch(r"[A-Z].{10,119}\.", mutant.says), mutant.name
        assert mutant.says == mutant.fault.__dict__["__doc__"], mutant.name


def test_no_fault_has_a_base_of_its_own(plugin):
    for mutant in plugin.mutants().values():
        assert not issubclass(mutant.fault, Device | Mapper), mutant.name
        assert issubclass(mutant.device, mutant.base.device)
        assert issubclass(mutant.mapper, mutant.base.mapper)


SAMPLE = ("ignores-compare", "rounds-weights")
REST = ("ignores-decay", "realised-lies", "counts-no-synops", "counts-no-output")


@pytest.mark.parametrize("name", [*SAMPLE, *(pytest.param(name, marks=pytest.mark.full) for name in REST)])
def test_a_device_that_is_dishonest_in_one_thing_fails_that_check_alone(mutants, name):
    slow = {"LOAD-002"}
    report = hal_conformance.run(name, only=[c.id for c in hal_conformance.catalogue() if c.id not in slow])
    assert {result.id: result.outcome for result in report.bad} == dict.fromkeys(
        mutants.mutants()[name].meant, "failed"
    )


@pytest.mark.parametrize("name", ["faithful", "rated", "slow"])
def test_a_device_that_is_in_order_is_gold(mutants, name):
    report = hal_conformance.run(name)
    assert not report.bad, [(result.id, result.reason) for result in report.bad]
    assert report.level == "gold"
    assert report.short_of_gold == ()
    refused = {result.id for result in report.results if result.outcome == "not-applicable"}
    assert refused == {"NOIS-001", "NOIS-002", "PROF-001", "LRN-001", "LRN-002"}


@pytest.mark.parametrize("name", ["rated", "loihi-rated"])
def test_limits_at_run_time_are_judged_by_their_rates(mutants, name):
    result = hal_conformance.run(name, only=["OVR-003"])["OVR-003"]
    assert result.outcome == "passed", result.reason
    assert result.measured == {"resources": "synops/s"}


@pytest.mark.full
def test_a_chip_under_another_name_gets_as_far_as_under_its_own(mutants):
    own, other = hal_conformance.run("loihi"), hal_conformance.run("loihi-faithful")
    assert own.level == other.level == "gold"
    assert [(r.id, r.outcome) for r in own.results] == [(r.id, r.outcome) for r in other.results]


def test_a_device_that_declares_little_and_refuses_the_rest_is_silver(mutants):
    report = hal_conformance.run("modest")
    assert not report.bad, [(result.id, result.reason) for result in report.bad]
    assert report.level == "silver"
    refused = {result.id for result in report.results if result.outcome == "not-applicable"}
    assert refused == {check.id for check in hal_conformance.catalogue() if check.requires - {"neuron.if"}}
    missing = {result.id: result.reason for result in report.short_of_gold}
    needed = {
        "ROUT-001": "route.fanout",
        "ROUT-002": "route.merge",
        "RST-002": "reset.state",
        "RST-003": "reset.loaded",
        "RST-004": "reset.config",
        "RST-005": "reset.power",
        "OVR-001": "overload.report",
    }
    assert missing == {name: f"{word} is not declared, and refused" for name, word in needed.items()}


@pytest.mark.parametrize(("name", "level"), [("dressed-up", "bronze"), ("dressed-loosely", "silver")])
def test_the_reference_in_the_clothes_of_a_chip_is_found(mutants, name, level):
    report = hal_conformance.run(name)
    assert report.level == level
    assert {result.id for result in report.bad} == mutants.mutants()[name].meant.keys()


@pytest.mark.parametrize("name", ["null", "refuses-all"])
def test_a_device_that_refuses_everything_is_not_silver(mutants, name):
    report = hal_conformance.run(name)
    assert report.level == "none"
    failed = {result.id for result in report.bad}
    assert failed >= {
        "MAP-001",
        "CONF-001",
        "RUN-001",
        "RUN-002",
        "REC-001",
        "LIM-001",
        "ROUT-010",
        "AGR-001",
        "VEC-001",
    }
    assert not failed & {"LOAD-001", "LOAD-002", "LOAD-003", "LOAD-004", "SPEC-001", "SPEC-002", "ERR-001"}
    assert "maps none of the suite's witness networks" in report["RUN-001"].reason


def test_a_device_that_scrambles_its_output_is_bronze(mutants):
    report = hal_conformance.run("scrambled")
    assert report.level == "bronze"
    failed = {result.id for result in report.bad}
    assert failed >= {"RUN-002", "RUN-003", "RUN-006", "RUN-007", "RUN-011", "REC-002", "MAP-008"}
    assert failed >= {"LIM-002", "ROUT-010", "OVR-002", "AGR-001", "VEC-001"}
    in_order = {"RUN-001", "RUN-004", "RUN-008", "RUN-009", "RUN-010", "RUN-012", "RUN-013", "RST-002", "REC-001"}
    assert not failed & in_order


def _module(name, plugin, **changes):
    """A module with the mutants' hooks, all but those that are replaced."""
    made = types.ModuleType(name)
    for key in ("HAL_PLUGIN_API", "hal_devices", "hal_mapper", "hal_open"):
        setattr(made, key, changes.get(key, getattr(plugin, key)))
    return made


@pytest.mark.parametrize("base", ["toy", "loihi"])
def test_metadata_that_disagree_with_the_plugin_are_found(plugin, base):
    from hal_mutants.catalogue import bases

    from hal.hookspecs import hookimpl

    spec = attrs.evolve(bases()[base].spec, name="alien", family="ideal")

    @hookimpl
    def hal_devices():
        return [spec]

    with registered(_module("hal_mutants.plugin", plugin, hal_devices=hal_devices), "mutants"):
        report = hal_conformance.run("alien", only=["LOAD-001"])
    assert report["LOAD-001"].outcome == "failed"
    assert "says it is of family 'ideal'" in report["LOAD-001"].reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("print('hello')", "printed: hello"),
        ("import sys; print('careful', file=sys.stderr)", "printed: careful"),
        ("import logging; logging.basicConfig(level='DEBUG')", "configures logging"),
        ("import structlog; structlog.configure()", "configures structlog"),
        ("import samna", "imports samna"),
        ("import threading, time; threading.Thread(target=time.sleep, args=(1,)).start()", "1 threads running"),
        ("import time; time.sleep(3.2)", "the limit is 3 s"),
        ("1 / 0", "cannot be imported in a new interpreter"),
        ("", None),
    ],
)
def test_an_import_that_is_not_light_and_quiet_is_found(plugin, tmp_path, monkeypatch, text, words):
    name = "hal_noisy_plugin"
    (tmp_path / f"{name}.py").write_text(text + "\n", encoding="utf-8")
    (tmp_path / "samna.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    # the file is never imported here: only the child that the check starts does that
    with registered(_module(name, plugin), "mutants"):
        result = hal_conformance.run("faithful", only=["LOAD-002"])["LOAD-002"]
    assert name not in sys.modules
    if words is None:
        assert result.outcome == "passed", result.reason
        assert result.measured["import_ms"] < 3000
    else:
        assert result.outcome == "failed"
        assert words in result.reason
