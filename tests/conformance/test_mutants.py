"""Devices broken in one way each: the suite finds every one of them, and nothing wrong with those in order."""

import hal_conformance


def test_each_mutant_fails_the_checks_meant_for_it(mutants, mutant):
    _, meant = mutants.MUTANTS[mutant]
    report = hal_conformance.run(mutant, only=meant)
    outcomes = {result.id: result.outcome for result in report.results}
    assert outcomes == dict.fromkeys(sorted(meant), "failed") | outcomes
    assert set(outcomes.values()) == {"failed"}, {r.id: (r.outcome, r.reason) for r in report.results}
    assert all(result.reason for result in report.results)


def test_the_same_device_unbroken_is_silver(mutants):
    report = hal_conformance.run("faithful")
    assert not report.bad, [(result.id, result.reason) for result in report.bad]
    assert report.level == "silver"
