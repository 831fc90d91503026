"""Registers of refractory times: golden files are replayed elsewhere; here what they come to, and what goes wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_brainscales2.refractory import period_s, refractory


@pytest.mark.parametrize(("time_s", "scale", "counter"), [(2e-6, 3, 32), (30e-6, 4, 235), (40e-9, 0, 6)])
def test_the_sheets_examples(time_s: float, scale: int, counter: int) -> None:
    made = refractory(np.full(512, time_s))
    assert (made.fast_scale, set(made.counter.tolist()), made.fast.all()) == (scale, {counter}, True)
    assert not made.errors
    np.testing.assert_allclose(made.time_s, counter * 8e-9 * 2**scale)
    np.testing.assert_allclose(made.reset_s, (counter - 1) * 8e-9 * 2**scale)
    np.testing.assert_allclose(made.holdoff_s, 8e-9 * 2**scale)


def test_a_time_too_short_for_the_fastest_clock_is_told() -> None:
    made = refractory([40e-9, 40e-9])
    (finding,) = made.warnings
    assert "fast refractory clock: clamped at scale 0" in str(finding)
    assert finding.neurons == (0, 1)
    assert not refractory([2e-6]).warnings


def test_the_longest_time_and_one_beyond() -> None:
    longest = 255 * period_s(15)
    assert not refractory([longest * 0.999]).errors
    made = refractory([1e-6, longest * 1.01])
    (finding,) = made.errors
    assert "slow refractory clock: scale 16 is larger than feasible, limit 15" in str(finding)
    assert finding.neurons == (1,)
    assert made.slow_scale == 15
    assert "fast refractory clock" in str(refractory([longest * 1.01]).errors[0])


def test_a_counter_that_would_be_256_is_held_and_told() -> None:
    made = refractory([255 * period_s(4)])
    assert made.counter.tolist() == [255]
    assert "counters of 256 are over the limit 255" in str(made.warnings[0])


def test_holdoff_beyond_the_fast_clock_goes_to_the_slow_one() -> None:
    made = refractory([32e-6] * 3, 4e-6)
    assert not made.fast.any()
    assert (made.fast_scale, made.slow_scale) == (4, 5)
    assert (made.counter[0], made.holdoff_code[0]) == (126, 8)
    np.testing.assert_allclose(made.holdoff_s, 15 * period_s(5))
    np.testing.assert_allclose(made.reset_s + made.holdoff_s, made.time_s)
    assert not made.errors
    assert not made.warnings


def test_holdoff_on_the_fast_clock_is_one_cycle_and_told() -> None:
    made = refractory([5e-6, 5e-6], [5e-7, 0])
    assert made.holdoff_code.tolist() == [15, 15]
    (finding,) = made.warnings
    assert "neuron 0 asks for 5e-07 s and has 1.28e-07 s (1 such)" in str(finding)
    assert finding.neurons == (0,)


def test_a_reset_that_never_ends_is_an_error() -> None:
    made = refractory([2e-7, 2e-7], 4e-6)
    assert "counts 1 cycles but holds off for 15, so its reset never ends (2 such)" in str(made.errors[-1])
    assert made.errors[-1].neurons == (0, 1)
    assert (made.reset_s == 0).all()


@given(st.lists(st.floats(4e-8, 3.2e-5), min_size=1, max_size=20))
def test_what_is_realised_is_the_target_and_at_most_a_cycle_more(times: list[float]) -> None:
    made = refractory(times)
    period = period_s(np.where(made.fast, made.fast_scale, made.slow_scale))
    held = made.counter < 255
    error = made.time_s - np.array(times)
    assert (error[held] <= period[held] * (1 + 1e-9)).all()
    assert (error[held] >= -1e-9 * period[held]).all()
    np.testing.assert_array_equal(made.fast, np.array(times) <= np.mean(times) * (1 + 1e-9))


@given(st.floats(1e-7, 1e-4), st.integers(1, 512))
def test_equal_targets_are_all_fast_round_or_not(time_s: float, n: int) -> None:
    assert refractory(np.full(n, time_s)).fast.all()


def test_bad_targets_are_refused_all_at_once() -> None:
    with pytest.raises(ValueError, match=r"refractory time of neuron 1 is -1\.0 s.*holdoff time of neuron 0 is nan"):
        refractory([1e-6, -1.0], [np.nan])
    with pytest.raises(ValueError, match=r"holdoff times have shape \(3,\); give one, or one for each of 2 neurons"):
        refractory([1e-6, 1e-6], [0, 0, 0])
    with pytest.raises(ValueError, match=r"refractory times have shape \(0,\)"):
        refractory([])
