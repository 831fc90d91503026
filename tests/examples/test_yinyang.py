"""The Yin-Yang data set of the examples: its classes, their balance, and the times of spikes."""

from __future__ import annotations

import importlib.util
import sys
from math import inf, pi, sqrt
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "brainscales2" / "yinyang_5_120_3.npz"
TAU_SYN = 6e-6
SEEDS = st.integers(0, 2**32 - 1)
YANG, YIN, DOT = range(3)


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("yinyang", ROOT / "examples" / "yinyang.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["yinyang"] = module
    spec.loader.exec_module(module)
    return module


yy = _load()


@pytest.mark.parametrize(
    ("x", "y", "label"),
    [
        (0.75, 0.5, DOT),
        (0.25, 0.5, DOT),
        (0.849, 0.5, DOT),
        (0.25, 0.401, DOT),
        (0.851, 0.5, YANG),  # round the right dot
        (0.75, 0.74, YANG),
        (0.75, 0.7501, YIN),  # and just above what is round it
        (0.25, 0.399, YIN),  # round the left dot
        (0.25, 0.2501, YIN),
        (0.25, 0.2499, YANG),  # and just below that
        (0.5, 0.9, YIN),
        (0.5, 0.1, YANG),
        (0.51, 0.5001, YANG),
        (0.49, 0.4999, YIN),
    ],
)
def test_the_sign_is_parted_as_it_should_be(x: float, y: float, label: int) -> None:
    assert yy.in_disc([[x, y]]).tolist() == [True]
    assert yy.classes([[x, y]]).tolist() == [label]
    assert yy.CLASSES[label] == ("yang", "yin", "dot")[label]


def test_what_lies_on_a_border() -> None:
    """All of these numbers are exact in binary."""
    assert yy.classes([[0.5, 0.5], [0.25, 0.75], [0.25, 0.25], [0.75, 0.75], [1.0, 0.5]]).tolist() == [1, 1, 1, 0, 0]
    assert yy.in_disc([[0.0, 0.5], [0.5, 1.0], [0.0, 0.0]]).tolist() == [True, True, False]


@settings(max_examples=200, deadline=None)
@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_half_a_turn_swaps_yin_and_yang(x: float, y: float) -> None:
    """Away from the borders, which belong to one of both sides."""
    right, left = sqrt((x - 0.75) ** 2 + (y - 0.5) ** 2), sqrt((x - 0.25) ** 2 + (y - 0.5) ** 2)
    if min(abs(d - r) for d in (right, left) for r in (0.1, 0.25)) < 1e-9 or abs(y - 0.5) < 1e-9:
        return
    here, there = yy.classes([[x, y], [1.0 - x, 1.0 - y]]).tolist()
    assert there == (DOT if here == DOT else 1 - here)
    assert (here == DOT) == (min(right, left) < 0.1)


def test_labels_are_those_of_recorded_samples() -> None:
    """Their times are on a grid of 8 ns, so that what lies nearer to a border than that may have changed sides."""
    made = np.load(GOLDEN)
    lines = np.argsort(made["in_idx"], axis=1)
    times = np.take_along_axis(made["in_time"], lines, 1)
    xy = times[:, :2] / (2 * TAU_SYN)
    assert yy.in_disc(xy).all()
    around = [yy.classes(np.clip(xy + step, 0, 1)) for step in (np.indices((3, 3)).reshape(2, -1).T - 1) * 7e-4]
    clear = (np.array(around) == around[0]).all(axis=0)
    assert clear.sum() > 180
    np.testing.assert_array_equal(yy.classes(xy)[clear], made["label"][clear])
    np.testing.assert_allclose(yy.spike_times(xy, TAU_SYN), times, rtol=0, atol=8.001e-9)


# --- points -----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2500), SEEDS)
def test_points_lie_in_the_disc_have_their_labels_and_are_balanced(n: int, seed: int) -> None:
    xy, labels = yy.points(n, seed)
    assert (xy.shape, xy.dtype, labels.shape, labels.dtype) == ((n, 2), np.float64, (n,), np.int64)
    assert yy.in_disc(xy).all()
    np.testing.assert_array_equal(yy.classes(xy), labels)
    counts = np.bincount(labels, minlength=3).tolist()
    assert counts == [n // 3 + (label < n % 3) for label in range(3)]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2500), st.integers(0, 2500), SEEDS)
def test_fewer_points_are_the_first_of_more(n: int, m: int, seed: int) -> None:
    fewer, more = sorted((n, m))
    np.testing.assert_array_equal(yy.points(fewer, seed)[0], yy.points(more, seed)[0][:fewer])


def test_the_same_seed_gives_the_same_points_and_another_others() -> None:
    first = yy.points(300, 4)[0]
    assert first.tobytes() == yy.points(300, 4)[0].tobytes()
    other = yy.points(300, 5)[0]
    assert not np.isin(first, other).any()
    assert len(np.unique(first, axis=0)) == 300


def test_points_are_spread_evenly_over_their_class() -> None:
    """By area: the two dots are alike; each half of the sign has the share of its class that its area is."""
    xy, labels = yy.points(30_000, 8)
    dots = xy[labels == DOT]
    right = dots[dots[:, 0] > 0.5] - [0.75, 0.5]
    assert len(right) == pytest.approx(5000, abs=5 * sqrt(2500))
    # a disc of radius r has a mean squared radius of r^2 / 2
    assert (right**2).sum(axis=1).mean() == pytest.approx(0.1**2 / 2, rel=0.03)
    # yin: half of the disc, less one dot; the ring round the left dot lies in it
    area = pi * 0.5**2 / 2 - pi * 0.1**2
    ring = np.hypot(*(xy[labels == YIN] - [0.25, 0.5]).T) <= 0.25
    share = pi * (0.25**2 - 0.1**2) / area
    assert ring.mean() == pytest.approx(share, abs=5 * sqrt(share * (1 - share) / 10_000))


def test_counts_and_seeds_below_0_are_refused() -> None:
    with pytest.raises(ValueError, match=r"n is -1, must be 0 or more; seed is -2, must be 0 or more"):
        yy.points(-1, -2)


# --- times of spikes --------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 100), SEEDS, st.floats(1e-7, 1e-4))
def test_times_are_linear_in_the_values(n: int, seed: int, tau_syn: float) -> None:
    xy, _ = yy.points(n, seed)
    times = yy.spike_times(xy, tau_syn)
    assert times.shape == (n, 5)
    np.testing.assert_allclose(times[:, :2], 2 * tau_syn * xy, rtol=1e-12)
    np.testing.assert_allclose(times[:, 2:4], 2 * tau_syn * (1 - xy), rtol=1e-12, atol=1e-25)
    assert not times[:, 4].any()
    assert times.min() >= 0
    assert times.max() <= 2 * tau_syn


def test_times_of_one_point() -> None:
    np.testing.assert_allclose(yy.spike_times([[0.25, 1]], 6e-6), [[3e-6, 12e-6, 9e-6, 0.0, 0.0]], rtol=1e-12)
    assert yy.spike_times(np.empty((0, 2)), 6e-6).shape == (0, 5)


@pytest.mark.parametrize(
    ("xy", "text"),
    [
        ([0.5, 0.5], r"xy needs numbers, \(n, 2\), got float64 \(2,\)"),
        ([[0.5, 0.5, 0.5]], r"xy needs numbers, \(n, 2\), got float64 \(1, 3\)"),
        ([["a", "b"]], r"xy needs numbers, \(n, 2\), got <U1 \(1, 2\)"),
        ([[0.5, 0.5], [0.1, 1.5], [-0.5, 0.2]], r"xy\[1, 1\] is 1\.5, must lie in 0\.\.1 \(2 such in all\)"),
        ([[np.nan, 0.5]], r"xy\[0, 0\] is nan, must lie in 0\.\.1 \(1 such in all\)"),
    ],
)
def test_points_that_are_none_are_refused(xy: Any, text: str) -> None:
    for function in (yy.classes, yy.in_disc):
        with pytest.raises(ValueError, match=text):
            function(xy)
    with pytest.raises(ValueError, match=text + r"; tau_syn is 0\.0 s, must be finite and greater than 0"):
        yy.spike_times(xy, 0.0)


@pytest.mark.parametrize("tau_syn", [0.0, -6e-6, inf, np.nan])
def test_time_constants_that_are_none_are_refused(tau_syn: float) -> None:
    with pytest.raises(ValueError, match=f"tau_syn is {tau_syn} s, must be finite and greater than 0"):
        yy.spike_times([[0.5, 0.5]], tau_syn)
