"""The time scale: usual ones where they do, ranges of the calibration, what is out of reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_brainscales2.scale import POSSIBLE, SLACK, STANDARD, choose, excesses

TAU = st.floats(-9, 2).map(lambda e: 10.0**e)


def of(*values: float) -> Any:
    return np.array(values)


@given(st.lists(st.tuples(TAU, TAU), min_size=1, max_size=5))
def test_where_a_speedup_makes_all_time_constants_standard_it_is_taken(taus: list[tuple[float, float]]) -> None:
    mem, syn = np.array(taus).T
    least = max(mem.max() / 60e-6, syn.max() / 30e-6)
    most = min(mem.min() / 0.5e-6, syn.min() / 0.3e-6)
    made = choose(mem, syn)
    if least <= most:
        assert least * (1 - 1e-9) <= made <= most * (1 + 1e-9)
        assert not excesses(mem, syn, made)
        if least <= 1 <= most:
            assert made == 1
        elif least <= 1000 <= most:
            assert made == 1000
    else:
        assert excesses(mem, syn, made)
        assert made == pytest.approx(np.sqrt(least * most))


@pytest.mark.parametrize(
    ("mem", "syn", "wanted"),
    [
        (12e-6, 6e-6, 1.0),
        (20e-3, 5e-3, 1000.0),
        # 1 and 1000 both do not: the power of ten nearest to the middle
        (0.5, 0.25, 1e5),
        (200e-9, 100e-9, 0.1),
        # none of the tens does
        (60e-6 * 20, 0.3e-6 * 15, np.sqrt(20 * 15)),
    ],
)
def test_usual_speedups_then_powers_of_ten_then_the_middle(mem: float, syn: float, wanted: float) -> None:
    assert choose(of(mem), of(syn)) == pytest.approx(wanted)


def test_all_populations_count_together() -> None:
    """20 us and 30 ms are both standard at no speedup; 20 us and 500 us at 10."""
    assert choose(of(20e-6, 500e-6), of(5e-6, 5e-6)) == 10
    made = choose(of(20e-6, 30e-3), of(5e-6, 5e-6))
    found = excesses(of(20e-6, 30e-3), of(5e-6, 5e-6), made)
    assert {excess.field for excess in found} >= {"tau_mem"}


@pytest.mark.parametrize("field", ["tau_mem", "tau_syn"])
@pytest.mark.parametrize("speedup", [1.0, 1000.0])
def test_both_ends_of_both_ranges(field: str, speedup: float) -> None:
    (low, high), (lowest, highest) = STANDARD[field], POSSIBLE[field]
    usual = {"tau_mem": of(10e-6 * speedup), "tau_syn": of(5e-6 * speedup)}
    for inside in (low, high, low * (1 - SLACK / 2), high * (1 + SLACK / 2)):
        assert excesses(**(usual | {field: of(inside * speedup)}), speedup=speedup) == []
    for tau, limits, possible in (
        (low * 0.99, (low, high), True),
        (high * 1.01, (low, high), True),
        (lowest * 0.99, (lowest, highest), False),
        (highest * 1.01, (lowest, highest), False),
    ):
        (found,) = excesses(**(usual | {field: of(tau * speedup)}), speedup=speedup)
        assert (found.field, found.least, found.largest, found.possible) == (field, *limits, possible)
        assert found.value == pytest.approx(tau)


def test_each_end_has_its_own_excess() -> None:
    found = excesses(of(0.01e-6, 1e-6, 100e-6), of(5e-6), 1.0)
    assert [(excess.value, excess.possible) for excess in found] == [(0.01e-6, False), (100e-6, True)]


@pytest.mark.parametrize("tau", [1e306, 1e-300])
def test_ratios_that_are_no_numbers_are_out_of_reach_and_no_crash(tau: float) -> None:
    made = choose(of(tau), of(5e-6))
    assert np.isfinite(made)
    assert made > 0
    assert any(not excess.possible for excess in excesses(of(tau), of(5e-6), made))


# --- through the mapper -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [6e-6, 20e-3])
def test_6_us_and_20_ms_are_the_same_chip(chip: Any, graph: Any, tau: float) -> None:
    mapping = chip.map(graph.layer([[1.0]], tau_mem=tau, tau_syn=tau / 2))
    config = mapping.config
    assert mapping.speedup == (1.0 if tau < 1e-3 else 1000.0)
    np.testing.assert_allclose(config.targets.tau_mem * mapping.speedup, tau)
    np.testing.assert_allclose(config.targets.tau_syn * mapping.speedup, tau / 2)
    (finding,) = [f for f in mapping.fit.findings if f.field == "speedup"]
    assert (finding.level, finding.realised) == ("note", f"{mapping.speedup:g}")


def test_taus_that_no_speedup_brings_together_are_told_or_refused(chip: Any, graph: Any) -> None:
    report = chip.check(graph.layer(np.ones((2, 1)), tau_mem=[1e-6, 400e-6]))
    assert report.fits
    told = [(f.level, f.node) for f in report.findings if f.field == "tau_mem"]
    assert told == [("changed", "n"), ("changed", "n")]
    told = chip.refused(graph.layer(np.ones((2, 1)), tau_mem=[1e-9, 1.0]))
    assert [entry[:2] for entry in told] == [("n", "tau_mem"), ("n", "tau_mem")]


@pytest.mark.parametrize("tau", [1e15, 1e-18])
def test_a_speedup_beyond_the_registers_is_refused(chip: Any, graph: Any, tau: float) -> None:
    told = chip.refused(graph.layer([[1.0]], tau_mem=tau, tau_syn=tau))
    assert ("", "speedup", pytest.approx(tau / 5.0e-6, rel=10), "0.001..1e+12") in told


def test_steps_shorter_than_a_stamp_are_refused(chip: Any, graph: Any) -> None:
    model = graph.layer([[1.0]], semantics={"dt_ns": 7})
    assert chip.refused(model) == [("n", "tau_mem", "7 ns", "8 ns")]
    assert chip.check(graph.layer([[1.0]], semantics={"dt_ns": 8})).fits
    ((where, what, value, limit),) = chip.refused(graph.layer([[1.0]], semantics={"dt_ns": 1000}), speedup=200.0)[-1:]
    assert (where, what, value, limit) == ("n", "tau_mem", "5 ns", "8 ns")
