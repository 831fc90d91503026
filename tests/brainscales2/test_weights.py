"""Rounding, clipping and splitting of weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hal_brainscales2.weights import quantise, rows_needed, split

GOLDEN = Path(__file__).parents[1] / "golden" / "brainscales2"


def test_halves_by_either_rule() -> None:
    halves = np.array([2.5, -2.5, 3.5, 0.5, -0.5])
    assert quantise(halves, 1).hw.tolist() == [2, -2, 4, 0, 0]
    assert quantise(halves, 1, "away").hw.tolist() == [3, -3, 4, 1, -1]


def test_what_was_clipped_and_what_became_zero_is_counted() -> None:
    made = quantise([1.2, -1.3, 1.0, 0.004, 0.0], 60)
    assert made.hw.tolist() == [63, -63, 60, 0, 0]
    assert (made.clipped, made.zeroed) == (2, 1)
    # beyond the limit, but by less than rounding takes
    assert quantise([63.4, -63.4], 1).clipped == 0
    assert quantise([1.2], 60, copies=2).hw.tolist() == [72]
    assert quantise([3], 60, copies=2).hw.tolist() == [126]


@given(st.integers(1, 5), arrays(np.float32, 20, elements=st.floats(-4, 4, width=32)))
def test_neither_rule_is_further_off_than_a_half(copies: int, weights: np.ndarray) -> None:
    for rounding in ("even", "away"):
        made = quantise(weights, 64, rounding, copies)  # a power of two: scaling is exact
        wanted = np.clip(weights.astype(np.float64) * 64, -63 * copies, 63 * copies)
        # adding a half may itself round up, in the precision of the weights
        assert (np.abs(made.hw - wanted) <= 0.5 + 1e-4).all()


def test_bad_weights_are_refused_all_at_once() -> None:
    with pytest.raises(
        ValueError, match=r"weight at \[1\] is not finite \(1 such\); scale is 0; .*rounding is 'up'.*copies is 0"
    ):
        quantise([1.0, np.nan], 0, "up", 0)  # type: ignore[arg-type]


def test_200_in_three_rows_leaves_11_and_in_four_none() -> None:
    three = split(np.array([200]), 3)
    assert three.rows[:, 0].tolist() == [63, 63, 63]
    assert (three.left.tolist(), three.needed) == ([11], 4)
    assert three.problems == ("weight 200 at [0]: 3 rows of 63 hold 189, 11 is left; give it 4 rows",)
    four = split(np.array([[-200]]), 4)
    assert four.rows[0, :, 0].tolist() == [-63, -63, -63, -11]
    assert four.problems == ()
    assert split(np.array([[-200]]), 3).problems[0].startswith("weight -200 at [0, 0]")


def test_the_golden_nets_weights_and_rows() -> None:
    with np.load(GOLDEN / "yinyang_5_120_3.npz") as file:
        for floats, integers, copies in (("w1", "hw1_total", 5), ("w2", "hw2", 1)):
            found = quantise(file[floats], 58, copies=copies)
            np.testing.assert_array_equal(found.hw, file[integers])
            assert found.clipped == 0
        made = split(file["hw1_total"])
        np.testing.assert_array_equal(made.rows, file["hw1"])
    assert made.needed == 5


@given(arrays(np.int64, (3, 4), elements=st.integers(-400, 400)), st.integers(1, 7))
def test_rows_and_what_is_left_add_up(total: np.ndarray, copies: int) -> None:
    made = split(total, copies)
    np.testing.assert_array_equal(made.rows.sum(axis=-2) + made.left, total)
    assert made.rows.shape == (3, copies, 4)
    assert np.abs(made.rows).max() <= 63
    used = (made.rows != 0).sum(axis=-2)
    np.testing.assert_array_equal(used, np.minimum(rows_needed(total), copies))
    assert (np.abs(np.diff(np.abs(made.rows), axis=-2)) * (np.abs(made.rows[:, 1:]) == 63) == 0).all()
    assert bool(made.problems) == (made.needed > copies)


def test_only_integers_are_split_and_into_rows() -> None:
    with pytest.raises(ValueError, match="give integers"):
        split(np.array([1.5]))
    with pytest.raises(ValueError, match="copies is 0; give 1 or more"):
        split(np.array([1]), 0)
