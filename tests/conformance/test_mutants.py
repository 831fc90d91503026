"""Devices broken in one way each: the suite finds every one of them, and nothing wrong with those in order."""

import sys
import types

import attrs
import pytest

import hal_conformance
from hal.testing import registered

# what only another kind of plugin can break; the tests below
ELSEWHERE = {"LOAD-001", "LOAD-002"}


def test_each_mutant_fails_the_checks_meant_for_it(mutants, mutant):
    _, meant = mutants.MUTANTS[mutant]
    report = hal_conformance.run(mutant, only=meant)
    assert [result.id for result in report.results] == [c.id for c in hal_conformance.catalogue() if c.id in meant]
    for result in report.results:
        assert result.outcome == "failed", result
        assert meant[result.id] in result.reason


def test_every_check_has_a_mutant(plugin):
    from hal_mutants import catalogue

    met = {name for _, meant in plugin.MUTANTS.values() for name in meant}
    met |= {name for mutant in catalogue.mutants().values() for name in mutant.meant}
    assert met | ELSEWHERE == {check.id for check in hal_conformance.catalogue()}


@pytest.mark.parametrize(
    "name",
    ["ignores-compare", "ignores-decay", "rounds-weights", "realised-lies", "counts-no-synops", "counts-no-output"],
)
def test_a_device_that_is_dishonest_in_one_thing_fails_that_check_alone(mutants, name):
    _, meant = mutants.MUTANTS[name]
    slow = {"LOAD-002"}
    report = hal_conformance.run(name, only=[c.id for c in hal_conformance.catalogue() if c.id not in slow])
    assert {result.id: result.outcome for result in report.bad} == dict.fromkeys(meant, "failed")


def test_the_same_device_unbroken_is_silver(mutants):
    report = hal_conformance.run("faithful")
    assert not report.bad, [(result.id, result.reason) for result in report.bad]
    assert report.level == "silver"
    assert set(report.ids("not-applicable")) == {"NOIS-001", "NOIS-002", "PROF-001", "LRN-001", "LRN-002"}


def test_a_device_that_takes_its_time_and_says_so_is_silver(mutants):
    report = hal_conformance.run("slow")
    assert not report.bad, [(result.id, result.reason) for result in report.bad]
    assert report.level == "silver"


def test_a_device_that_declares_little_and_refuses_the_rest_is_silver_too(mutants):
    report = hal_conformance.run("modest")
    assert not report.bad, [(result.id, result.reason) for result in report.bad]
    assert report.level == "silver"
    refused = {result.id for result in report.results if result.outcome == "not-applicable"}
    assert refused == {check.id for check in hal_conformance.catalogue() if check.requires - {"neuron.if"}}


@pytest.mark.parametrize("name", ["null", "refuses-all"])
def test_a_device_that_refuses_everything_is_not_silver(mutants, name):
    report = hal_conformance.run(name)
    assert report.level == "none"
    failed = {result.id for result in report.bad}
    assert failed >= {"MAP-001", "CONF-001", "RUN-001", "RUN-002", "REC-001"}
    assert not failed & {"LOAD-001", "LOAD-002", "LOAD-003", "LOAD-004", "SPEC-001", "SPEC-002", "ERR-001"}
    assert "maps none of the suite's witness networks" in report["RUN-001"].reason


def test_a_device_that_scrambles_its_output_is_bronze(mutants):
    report = hal_conformance.run("scrambled")
    assert report.level == "bronze"
    failed = {result.id for result in report.bad}
    assert failed >= {"RUN-002", "RUN-003", "RUN-006", "RUN-007", "RUN-011", "REC-002", "MAP-008"}
    in_order = {"RUN-001", "RUN-004", "RUN-008", "RUN-009", "RUN-010", "RUN-012", "RUN-013", "RST-002", "REC-001"}
    assert not failed & in_order


def _module(name, plugin, **changes):
    """A module with the mutants' hooks, all but those that are replaced."""
    made = types.ModuleType(name)
    for key in ("HAL_PLUGIN_API", "hal_devices", "hal_mapper", "hal_open"):
        setattr(made, key, changes.get(key, getattr(plugin, key)))
    return made


def _one_device(plugin, **changes):
    from hal.hookspecs import hookimpl

    spec = attrs.evolve(next(spec for spec in plugin.SPECS if spec.name == "faithful"), **changes)

    @hookimpl
    def hal_devices():
        return [spec]

    return hal_devices


def test_metadata_that_disagree_with_the_plugin_are_found(plugin):
    module = _module("hal_mutants.plugin", plugin, hal_devices=_one_device(plugin, name="alien", family="ideal"))
    with registered(module, "mutants"):
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
