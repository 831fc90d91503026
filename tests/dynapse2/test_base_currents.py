"""Base currents on entries of the bias generator, and connections of several entries."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal.errors import ConfigError
from hal_dynapse2.base_currents import ISCALE, choose_iscale, round_bases
from hal_dynapse2.biases import Verdict, actual, nearest, span
from hal_dynapse2.entries import split, within
from hal_dynapse2.parameters import WEIGHT_PARAMETERS
from hal_dynapse2.quantise import fit, refit
from hal_dynapse2.search import levels_of

magnitudes = st.lists(st.floats(0.05, 10), min_size=1, max_size=40)
bases = st.lists(st.floats(0.1, 10), min_size=4, max_size=4)


@given(magnitudes)
@settings(max_examples=30, deadline=None)
def test_codes_are_chosen_again_and_the_error_is_that_of_the_real_currents(wanted: list[float]) -> None:
    made = round_bases(fit(wanted).base, wanted)
    table = [actual(name, made.coarse[k], made.fine[k]) for k, name in enumerate(WEIGHT_PARAMETERS)]
    assert np.array_equal(made.actual, table)
    again = refit(made.actual / ISCALE, wanted)
    assert np.array_equal(made.quantised.codes, again.codes)
    assert made.quantised.relative_rmse == again.relative_rmse


@given(bases, magnitudes)
@settings(max_examples=50, deadline=None)
def test_never_worse_than_the_nearest_entry_of_each(base: list[float], wanted: list[float]) -> None:
    each = [float(nearest(name, b * ISCALE).actual) for name, b in zip(WEIGHT_PARAMETERS, base, strict=True)]
    plain = refit(np.array(each) / ISCALE, wanted).relative_rmse
    assert round_bases(base, wanted).quantised.relative_rmse <= plain * (1 + 1e-9) + 1e-12


def test_rounding_together_is_better_than_one_by_one() -> None:
    gains = []
    for seed in range(10):
        wanted = np.random.default_rng(seed).random(5)
        base = fit(wanted).base
        each = [float(nearest(name, b * ISCALE).actual) for name, b in zip(WEIGHT_PARAMETERS, base, strict=True)]
        gains.append(
            refit(np.array(each) / ISCALE, wanted).relative_rmse / round_bases(base, wanted).quantised.relative_rmse
        )
    assert max(gains) > 1.1


def test_base_currents_that_are_not_needed_correct_the_others() -> None:
    made = round_bases(fit([3.0]).base, [3.0])
    assert made.quantised.relative_rmse < 1e-4
    assert abs(float(nearest("SYAM_W0_P", 3 * ISCALE).actual) / ISCALE - 3) > 3e-3
    assert made.notes == ()


def test_nothing_to_hold_is_held_by_the_least_currents() -> None:
    for wanted in ([], np.zeros((2, 2))):
        made = round_bases(fit(wanted).base, wanted)
        assert made.actual.tolist() == [span(name).least for name in WEIGHT_PARAMETERS]
        assert not made.coarse.any()
        assert not made.fine.any()
        assert made.notes == ()
        assert made.quantised.codes.shape == np.shape(wanted)


def test_currents_outside_the_range_are_told_with_what_is_set() -> None:
    made = round_bases([1.0, 2.0, 4.0, 1000.0], [1.0, 2.0, 4.0, 1000.0])
    (note,) = made.notes
    assert (note.parameter, note.verdict) == ("SYAM_W3_P", Verdict.SATURATED)
    assert note.wanted == pytest.approx(1e-5)
    assert note.actual == made.actual[3] == span("SYAM_W3_P").largest
    low = round_bases([1.0, 2.0, 4.0, 8.0], [1.0, 2.0, 4.0, 8.0], 1e-15)
    assert {note.verdict for note in low.notes} == {Verdict.BELOW}
    assert len(low.notes) == 4


@given(st.lists(st.floats(0, 1e6), min_size=4, max_size=4))
@settings(deadline=None)
def test_the_chosen_scale_keeps_the_largest_current_in_range(base: list[float]) -> None:
    used = np.array([value for value in base if value > 1e-6])
    scale = choose_iscale(np.where(np.array(base) > 1e-6, base, 0))
    limits = span("SYAM_W0_P")
    if not used.size:
        assert scale == ISCALE
        return
    assert used.max() * scale <= limits.largest * (1 + 1e-12)
    if used.max() / used.min() < limits.largest / limits.least:
        assert used.min() * scale >= limits.least * (1 - 1e-12)
    if used.max() * ISCALE <= limits.largest and used.min() * ISCALE >= limits.least:
        assert scale == ISCALE


def test_small_base_values_take_a_larger_scale() -> None:
    scale = choose_iscale([1e-6, 2e-6, 4e-6, 8e-6])
    assert scale == pytest.approx(span("SYAM_W0_P").least / 1e-6)
    assert choose_iscale([1, 2, 4, 8], preferred=1e-9) == 1e-9


def test_all_that_cannot_be_rounded_is_named() -> None:
    for call in (lambda: round_bases([1, 2, 3], [1], 0.0, parameters=("SYAM_W0_P",)),
                 lambda: choose_iscale([1, 2, 3], preferred=np.nan, parameters=("SYAM_W0_P",))):  # fmt: skip
        with pytest.raises(ConfigError) as caught:
            call()
        assert [problem.where for problem in caught.value.problems] == ["base values", "parameters", "iscale"]
    with pytest.raises(ConfigError, match="not finite"):
        round_bases([1, 2, 3, 4], [np.nan])
    with pytest.raises(ConfigError, match="negative"):
        round_bases([1, 2, 3, -4], [1])
    with pytest.raises(ConfigError, match="no such parameter"):
        round_bases([1, 2, 3, 4], [1], parameters=("SYAM_W0_P", "SYAM_W1_P", "SYAM_W2_P", "SYAM_W4_P"))


# --- several entries ------------------------------------------------------------------------------------------------


def best(levels: np.ndarray, wanted: float, entries: int) -> float:
    """The least error of any so many masks."""
    return min(abs(sum(levels[list(some)]) - wanted) for some in combinations_with_replacement(range(16), entries))


@given(bases, st.lists(st.floats(0, 60), min_size=1, max_size=5), st.integers(1, 3), st.sampled_from([0.0, 0.05, 1.0]))
@settings(max_examples=40, deadline=None)
def test_as_few_entries_as_come_within_the_tolerance(
    base: list[float], wanted: list[float], most: int, tolerance: float
) -> None:
    made = split(wanted, base, most, tolerance=tolerance)
    levels = levels_of(np.array(base))
    assert made.codes.shape == (len(wanted), most)
    np.testing.assert_allclose(made.realised, levels[made.codes].sum(axis=1))
    assert np.array_equal(made.used, (made.codes > 0).sum(axis=1))
    for value, used, got, codes in zip(wanted, made.used, made.realised, made.codes, strict=True):
        errors = [best(levels, value, entries) for entries in range(1, most + 1)]
        enough = [entries for entries, error in enumerate(errors, 1) if error <= tolerance]
        if enough and value > 0:
            assert used <= enough[0]
            assert abs(got - value) <= tolerance + 1e-9
        elif value > 0:
            assert abs(got - value) == pytest.approx(errors[-1], abs=1e-9)
        else:
            assert used == 0
        assert not codes[used:].any()


@given(bases, magnitudes)
@settings(deadline=None)
def test_one_entry_is_what_refit_gives(base: list[float], wanted: list[float]) -> None:
    assert np.array_equal(split(wanted, base, 1).codes[:, 0], refit(base, wanted).codes)


@given(bases, magnitudes, st.integers(2, 8))
@settings(max_examples=30, deadline=None)
def test_more_entries_are_never_worse(base: list[float], wanted: list[float], most: int) -> None:
    fewer, more = (np.abs(split(wanted, base, n).realised - wanted) for n in (most - 1, most))
    assert (more <= fewer + 1e-9).all()


def test_a_weight_beyond_all_levels_takes_many_entries() -> None:
    made = split([[150.0, 15.0]], [1, 2, 4, 8], 12)
    assert made.codes.shape == (1, 2, 12)
    assert made.used.tolist() == [[10, 1]]
    assert made.realised.tolist() == [[150.0, 15.0]]
    assert split([150.0], [1, 2, 4, 8], 4).realised.tolist() == [60.0]
    assert split([5.0], [0, 0, 0, 0], 3).used.tolist() == [0]


def test_all_that_cannot_be_split_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        split([1.0], [1, 2, 3], 65, tolerance=-1.0)
    assert [problem.where for problem in caught.value.problems] == ["base values", "most_entries", "tolerance"]
    for most in (0, 1.5):
        with pytest.raises(ConfigError, match="most_entries"):
            split([1.0], [1, 2, 3, 4], most)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="not finite"):
        split([np.inf], [1, 2, 3, 4], 2)
    with pytest.raises(ConfigError, match="tolerance"):
        split([1.0], [1, 2, 3, 4], 2, tolerance=np.nan)


def test_neurons_without_room_do_with_fewer_entries_where_these_gain_least() -> None:
    base = np.array([1.0, 2.0, 4.0, 8.0])
    wanted = np.array([15.4, 22.0, 30.0, 16.2, 3.0])
    target = np.array([0, 0, 0, 0, 1])
    codes = split(wanted, base, 3).codes
    several = (codes > 0).sum(axis=1)
    assert several.tolist() == [1, 2, 2, 2, 1]
    room = np.array([6, 6])
    made = within(codes, wanted, base, target, room)
    # the one of 16.2 gains 1.2 - 0.2 by a second entry, the others 7 and 15
    assert (made > 0).sum(axis=1).tolist() == [1, 2, 2, 1, 1]
    np.testing.assert_array_equal(made[:3], codes[:3])
    one_each = within(codes, wanted, base, target, np.array([1, 1]))
    assert (one_each > 0).sum(axis=1).tolist() == [1, 1, 1, 1, 1]
    np.testing.assert_array_equal(within(codes, wanted, base, target, np.array([64, 64])), codes)
