"""Base values and codes: least error, exactness where it is possible, symmetries, losses, codes set by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal.errors import ConfigError
from hal_dynapse2.quantise import Forced, fit, force, refit
from hal_dynapse2.search import Sums, improve, levels_of, squares

GOLDEN = Path(__file__).parents[1] / "golden" / "dynapse2"

magnitudes = st.lists(st.floats(0.001, 100), min_size=1, max_size=60)
values = st.lists(st.floats(0.01, 10), min_size=4, max_size=4)


def error_of(made: Any, wanted: Any) -> float:
    """The relative error, from codes and base values alone."""
    levels = ((made.codes[..., None] >> np.arange(4)) & 1) @ made.base
    return float(np.linalg.norm(levels - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("name", ["quant_n8_normal", "quant_n32_normal", "quant_n40_2core"])
def test_within_the_bounds_of_the_golden_files(name: str) -> None:
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = dict(file)
    for case in json.loads(str(arrays["meta"]))["per_core"]:
        into = arrays["core_map"] == case["core"]
        weights = np.concatenate([arrays[f"weights_{part}_float"][:, into] for part in ("in", "rec")])
        wanted = np.abs(weights.astype(np.float64))
        made = fit(wanted)
        assert error_of(made, wanted) <= 1.001 * case["bound_rel_rmse"]
        assert made.relative_rmse == pytest.approx(error_of(made, wanted), rel=1e-9)


DRAWS: dict[str, Callable[[np.random.Generator, int], Any]] = {
    "normal": lambda rng, n: np.abs(rng.standard_normal(n)),
    "uniform": lambda rng, n: rng.random(n),
    "lognormal": lambda rng, n: rng.lognormal(0, 1, n),
    "wide": lambda rng, n: 10 ** rng.uniform(-5, 0, n),
    "rounded": lambda rng, n: np.round(np.abs(rng.standard_normal(n)), 1) + 0.05,
    "sparse": lambda rng, n: np.where(rng.random(n) < 0.1, rng.random(n), 0.0),
}


@pytest.mark.parametrize(("draw", "size"), list(product(DRAWS, (7, 30, 300, 12_000))))
def test_many_more_starts_find_nothing_better(draw: str, size: int) -> None:
    rng = np.random.default_rng(size)
    wanted = DRAWS[draw](rng, size)
    sums = Sums.of(wanted[wanted > 0])
    if sums.rising.size == 0:
        assert fit(wanted).relative_rmse == 0
        return
    largest = sums.rising[-1]
    starts = np.concatenate([rng.random((8000, 4)), rng.random((4000, 4)) ** 4]) * largest
    starts = starts[:1500] if size > 1000 else starts
    _, found = improve(sums, starts)
    bound = np.sqrt(found.min() / sums.square)
    assert fit(wanted).relative_rmse <= bound * 1.0005 + 1e-12


@given(magnitudes)
@settings(max_examples=30, deadline=None)
def test_never_worse_than_four_bits_of_uniform_steps(wanted: list[float]) -> None:
    given_ = np.array(wanted)
    step = given_.max() / 15
    uniform = np.linalg.norm(np.rint(given_ / step) * step - given_) / np.linalg.norm(given_)
    assert fit(wanted).relative_rmse <= uniform * (1 + 1e-9) + 1e-12


@given(st.sets(st.floats(1e-6, 1e6), min_size=1, max_size=4), st.integers(1, 5))
@settings(deadline=None)
def test_up_to_four_different_magnitudes_are_exact(wanted: set[float], times: int) -> None:
    made = fit(sorted(wanted) * times)
    assert made.relative_rmse <= 1e-12
    assert made.lost == ()
    assert made.base[4 - len(wanted) :] == pytest.approx(sorted(wanted), rel=1e-12)


@given(st.lists(st.integers(1, 1000), min_size=4, max_size=4, unique=True), st.integers(5, 15), st.randoms())
@settings(max_examples=40, deadline=None)
def test_subset_sums_of_four_numbers_are_exact(base: list[int], amount: int, random: Any) -> None:
    sums = levels_of(np.array(base) * 0.37)
    wanted = [sums[code] for code in random.sample(range(1, 16), amount)]
    made = fit(wanted)
    assert made.relative_rmse <= 1e-12
    np.testing.assert_allclose(made.realised, wanted, rtol=1e-10)


@given(magnitudes, st.integers(-60, 60), st.floats(1e-3, 1e3))
@settings(max_examples=30, deadline=None)
def test_the_unit_does_not_matter(wanted: list[float], exponent: int, factor: float) -> None:
    one, other = fit(wanted), fit(np.array(wanted) * 2.0**exponent)
    assert np.array_equal(one.codes, other.codes)
    assert np.array_equal(one.base * 2.0**exponent, other.base)
    assert fit(np.array(wanted) * factor).relative_rmse == pytest.approx(one.relative_rmse, rel=1e-2, abs=1e-9)


@given(magnitudes, st.randoms())
@settings(max_examples=30, deadline=None)
def test_the_order_does_not_matter_nor_do_zeros(wanted: list[float], random: Any) -> None:
    order = random.sample(range(len(wanted)), len(wanted))
    given_ = np.array(wanted)
    one, other = fit(given_), fit(np.concatenate([given_[order], np.zeros(3)]))
    assert np.array_equal(one.base, other.base)
    assert np.array_equal(one.codes[order], other.codes[:-3])
    assert not other.codes[-3:].any()


def test_the_same_for_the_same_seed() -> None:
    wanted = np.random.default_rng(3).lognormal(size=(20, 30))
    one, other = fit(wanted, seed=7), fit(wanted, seed=7)
    assert np.array_equal(one.codes, other.codes)
    assert np.array_equal(one.base, other.base)
    assert one.codes.shape == one.realised.shape == (20, 30)
    assert one.codes.dtype == np.uint8
    assert (np.diff(one.base) >= 0).all()
    assert fit(wanted, seed=8).relative_rmse == pytest.approx(one.relative_rmse, rel=1e-3)


@given(values, st.lists(st.floats(0, 50), min_size=1, max_size=50))
@settings(deadline=None)
def test_codes_are_the_nearest_levels(base: list[float], wanted: list[float]) -> None:
    made = refit(base, wanted)
    levels = levels_of(np.array(base))
    least = np.abs(levels - np.array(wanted)[:, None]).min(axis=1)
    np.testing.assert_allclose(np.abs(made.realised - wanted), least, atol=1e-12)
    assert np.array_equal(made.realised, levels[made.codes])
    assert [index for (index,) in made.lost] == list(np.flatnonzero((made.codes == 0) & (np.array(wanted) > 0)))


def test_of_two_levels_as_near_the_larger_and_of_equal_ones_the_fewest_bits() -> None:
    made = refit([1, 1, 2, 0], [0.5, 0.25, 2, 3, 4, 9, 0])
    assert made.codes.tolist() == [1, 0, 4, 5, 7, 7, 0]
    assert made.lost == ((1,),)


@pytest.mark.parametrize("wanted", [[], [0.0], np.zeros((3, 2))])
def test_nothing_to_fit(wanted: Any) -> None:
    made = fit(wanted)
    assert made.codes.shape == np.shape(wanted)
    assert not made.codes.any()
    assert not made.base.any()
    assert made.relative_rmse == 0
    assert made.lost == ()


def test_one_weight_and_equal_weights() -> None:
    for wanted in ([2.5], [0.3] * 100, 7e-300, [1e300, 2e300]):
        made = fit(wanted)
        assert made.relative_rmse == 0
        assert made.codes.all()


def test_impossible_magnitudes_are_counted_and_placed() -> None:
    wanted = np.ones((3, 3))
    wanted[0, 1], wanted[1, 1], wanted[2] = np.nan, np.inf, -1
    for call in (fit, lambda given_: refit([1, 2, 3, 4], given_)):
        with pytest.raises(ConfigError) as caught:
            call(wanted)
        first, second = caught.value.problems
        assert first.what == "2 of 9 are not finite, first at (0, 1), (1, 1)"
        assert second.what == "3 of 9 are negative, first at (2, 0), (2, 1), (2, 2)"
        assert second.value == -1
    with pytest.raises(ConfigError, match="base values"):
        refit([1, 2, np.nan, -1], [1])
    with pytest.raises(ConfigError, match="wrong shape"):
        refit([1, 2, 3], [1])


def test_turns_never_make_it_worse() -> None:
    rng = np.random.default_rng(0)
    for size in (10, 5000):
        sums = Sums.of(rng.random(size))
        starts = rng.random((50, 4))
        error = squares(sums, starts)
        for turns in (1, 2, 5, 20):
            bases, now = improve(sums, starts, turns)
            assert (bases >= 0).all()
            assert (now <= error * (1 + 1e-9)).all()
            error = now
            brute = ((sums.rising[:, None, None] - levels_of(bases)) ** 2).min(axis=2).sum(axis=0)
            np.testing.assert_allclose(now, brute, rtol=1e-7)


# --- codes set by hand ----------------------------------------------------------------------------------------------


def test_codes_are_set_and_the_others_kept() -> None:
    codes, signs = np.array([[3, 0], [0, 5]]), np.array([[1, 0], [0, -1]])
    made, dendrites = force(
        codes,
        signs,
        [Forced(index=(1, 0), code=15, sign=-1), Forced(index=(0, 0), code=7), Forced(index=(1, 1), code=0)],
    )
    assert made.tolist() == [[7, 0], [15, 0]]
    assert dendrites.tolist() == [[1, 0], [-1, -1]]
    assert codes.tolist() == [[3, 0], [0, 5]]
    flipped = force(codes, signs, [Forced(index=(0, 0), code=3, sign=-1)])[1]
    assert flipped[0, 0] == -1


def test_all_that_cannot_be_forced_is_named() -> None:
    codes, signs = np.zeros((2, 2), int), np.zeros((2, 2), int)
    wrong = [
        Forced(index=(0, 0), code=16, sign=1),
        Forced(index=(0, 0), code=-1, sign=2),
        Forced(index=(2, 0), code=1, sign=1),
        Forced(index=(-1, 0), code=1, sign=1),
        Forced(index=(0,), code=1, sign=1),
        Forced(index=(1, 1), code=4),
    ]
    with pytest.raises(ConfigError) as caught:
        force(codes, signs, wrong)
    assert [problem.what for problem in caught.value.problems] == [
        "no such code",
        "no such code",
        "no such sign",
        "no such connection",
        "no such connection",
        "no such connection",
        "no dendrite, since the weight is 0",
    ]
    assert caught.value.problems[-1].where == "code at (1, 1)"
    assert "sign=+1" in caught.value.problems[-1].hint
    with pytest.raises(ConfigError) as caught:
        force([[16, 1.5]], [2, 0, 1], [])
    assert [(problem.where, problem.what, problem.value) for problem in caught.value.problems] == [
        ("signs", "shapes differ", (3,)),
        ("codes", "2 of 2 do not exist", 16),
        ("signs", "1 of 3 do not exist", 2),
    ]
    # no connection needs no dendrite
    assert not force(codes, signs, [Forced(index=(1, 1), code=0)])[0].any()
