"""Background generators: when they send, what labels, runs in pieces, and every error."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal_emulators.background import Background, Events

SEEDS = st.integers(0, 2**32 - 1)


def made(size: int = 1, **registers: Any) -> Background:
    """Regular generators with a period of 10 cycles, unless told otherwise."""
    fields: dict[str, Any] = {"on": True, "poisson": False, "period": 10, "rate": 0, "seed": 0, "mask": 0, "label": 0}
    clock = {name: registers.pop(name) for name in ("clock_hz",) if name in registers}
    return Background(
        **{name: np.resize(np.array(value), size) for name, value in (fields | registers).items()}, **clock
    )


def equal(a: Events, b: Events) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# --- when -------------------------------------------------------------------------------------------------------------


def test_regular_events_come_at_the_end_of_each_period() -> None:
    seen = made(3, period=[1000, 500, 7], label=[5, 6, 7], on=[True, True, False]).between(0.0, 12e-6)
    # 250 MHz: 4 us and 2 us; a rate, a seed and a mask are for Poisson generators
    assert seen.t.tolist() == pytest.approx([2e-6, 4e-6, 4e-6, 6e-6, 8e-6, 8e-6, 10e-6], rel=1e-15)
    assert seen.source.tolist() == [1, 0, 1, 1, 0, 1, 1]
    assert seen.label.tolist() == [6, 5, 6, 6, 5, 6, 6]


def test_a_regular_generator_does_not_look_at_rate_seed_and_mask() -> None:
    plain = made(label=1234).between(0.0, 1e-5)
    assert plain.t.size == 249
    assert equal(plain, made(label=1234, rate=3, seed=77, mask=255).between(0.0, 1e-5))


def test_all_eight_at_125_million_events_a_second() -> None:
    seen = made(8, period=2, label=np.arange(8)).between(0.0, 1e-3 + 1e-9)
    assert seen.t.size == 1_000_000
    assert np.array_equal(seen.source[:16], np.tile(np.arange(8), 2))
    assert np.array_equal(seen.t, np.repeat(np.arange(1, 125_001) * 2 / 250e6, 8))


def test_another_clock() -> None:
    assert made(clock_hz=1e6).between(0.0, 2.5e-5).t.tolist() == [1e-5, 2e-5]


@pytest.mark.parametrize("rate", [1, 17, 128, 254])
def test_rates_of_poisson_generators(rate: int) -> None:
    draws = 200_000
    seen = made(4, poisson=True, period=3, rate=rate, seed=[0, 1, 2, 2**32 - 1]).between(0.0, (draws * 3 + 1) / 250e6)
    p = rate / 255
    counts = np.bincount(seen.source, minlength=4)
    assert (np.abs(counts - p * draws) < 5 * np.sqrt(draws * p * (1 - p))).all()
    assert np.unique(counts).size > 1
    # bins are independent: the same holds of events that follow each other
    period = np.rint(seen.t * 250e6 / 3).astype(np.int64)
    pairs = np.bincount(seen.source[np.isin(period + 1 << 2 | seen.source, period << 2 | seen.source)], minlength=4)
    assert (np.abs(pairs - p * p * draws) < 5 * np.sqrt(draws * p * p * (1 + 2 * p))).all()


def test_rate_0_is_silence_and_rate_255_every_period() -> None:
    assert made(poisson=True, rate=0, seed=9).between(0.0, 1e-3).t.size == 0
    assert np.array_equal(made(poisson=True, rate=255, seed=9).between(0.0, 1e-4).t, made().between(0.0, 1e-4).t)


# --- labels -----------------------------------------------------------------------------------------------------------


@given(mask=st.integers(0, 255), label=st.integers(0, 2**14 - 1), seed=SEEDS)
@settings(max_examples=30, deadline=None)
def test_the_mask_says_which_bits_are_drawn(mask: int, label: int, seed: int) -> None:
    seen = made(poisson=True, rate=255, mask=mask, label=label, seed=seed).between(0.0, 2e-4).label
    assert seen.size == 4999
    assert np.unique(seen & ~mask).tolist() == [label & ~mask]
    ones = np.array([np.count_nonzero(seen >> bit & 1) for bit in range(8) if mask >> bit & 1])
    assert (np.abs(ones - seen.size / 2) < 5.5 * np.sqrt(seen.size / 4)).all()


def test_all_labels_of_a_population_are_drawn_alike_and_whatever_the_rate() -> None:
    seen = made(poisson=True, period=1, rate=100, mask=63, label=64, seed=3).between(0.0, 2e-3).label
    counts = np.bincount(seen - 64, minlength=64)
    assert counts.size == 64
    assert np.abs(counts - seen.size / 64).max() < 5 * np.sqrt(seen.size / 64)


# --- seeds ------------------------------------------------------------------------------------------------------------


@given(seed=SEEDS, other=SEEDS)
@settings(max_examples=20, deadline=None)
def test_seeds_are_independent(seed: int, other: int) -> None:
    draws = 5000
    seen = made(2, poisson=True, period=1, rate=127, seed=[seed, other]).between(0.0, (draws + 1) / 250e6)
    first, second = (np.rint(seen.t[seen.source == k] * 250e6) for k in range(2))
    both = np.intersect1d(first, second).size
    p = (127 / 255) ** 2
    assert (seed == other) == np.array_equal(first, second)
    assert seed == other or abs(both - p * draws) < 6 * np.sqrt(draws * p * (1 - p))


def test_what_is_drawn_depends_on_the_seed_alone() -> None:
    alone = made(poisson=True, rate=50, seed=7, mask=15).between(0.0, 1e-4)
    among = made(3, poisson=True, rate=[90, 50, 3], seed=[1, 7, 2], mask=15).between(0.0, 1e-4)
    mine = among.source == 1
    assert np.array_equal(among.t[mine], alone.t)
    assert np.array_equal(among.label[mine], alone.label)


# --- pieces -----------------------------------------------------------------------------------------------------------


@given(
    period=st.lists(st.integers(1, 2**16 - 1), min_size=1, max_size=4),
    cuts=st.lists(st.floats(0, 1e-3), max_size=5),
    seed=SEEDS,
)
@settings(max_examples=40, deadline=None)
def test_pieces_are_the_whole(period: list[int], cuts: list[float], seed: int) -> None:
    size = len(period)
    generators = made(size, poisson=np.arange(size) % 2 == 0, period=period, rate=200, seed=seed, mask=3)
    # cuts anywhere, and where events are
    ends = sorted([0.0, *cuts, *generators.between(0.0, 1e-3).t[:3].tolist(), 1e-3])
    pieces = [generators.between(a, b) for a, b in pairwise(ends)]
    assert all(((p.t >= a) & (p.t < b)).all() for p, (a, b) in zip(pieces, pairwise(ends), strict=True))
    whole = Events(*(np.concatenate(column) for column in zip(*pieces, strict=True)))
    assert equal(whole, generators.between(0.0, 1e-3))


def test_late_in_a_long_run_nothing_is_lost_at_the_cuts() -> None:
    generator = made(period=3)
    start, n = 30.0, 2_500_000_001
    times = np.arange(n, n + 100) * 3 / 250e6
    for t in times[::7].tolist():
        assert generator.between(start, t).t[-1] < t
        assert generator.between(t, t + 1e-9).t.tolist() == [t]


def test_an_empty_stretch_and_no_generators() -> None:
    assert made().between(1e-3, 1e-3).t.size == 0
    assert made(2, on=False, period=0).between(0.0, 1.0).t.size == 0
    assert made(0).between(0.0, 1.0).t.size == 0


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("registers", "text"),
    [
        ({"period": 2**16}, r"period\[0\] is 65536, must lie in 0..65535"),
        ({"rate": -1}, r"rate\[0\] is -1, must lie in 0..255"),
        ({"seed": 2**32}, r"seed\[0\] is 4294967296, must lie in 0..4294967295"),
        ({"mask": 256}, r"mask\[0\] is 256, must lie in 0..255"),
        ({"label": 2**14}, r"label\[0\] is 16384, must lie in 0..16383"),
        ({"period": 0}, r"period\[0\] is 0, must be 1 or more where"),
        ({"clock_hz": 0.0}, "clock_hz is 0.0, must be finite"),
        ({"rate": 256, "mask": -1}, r"rate\[0\] is 256.*; mask\[0\] is -1"),
    ],
)
def test_registers_out_of_range(registers: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        made(**registers)


def test_registers_of_other_kinds() -> None:
    good: dict[str, Any] = {name: np.zeros(2, int) for name in ("period", "rate", "seed", "mask", "label")}
    good |= {"on": np.zeros(2, bool), "poisson": np.zeros(2, bool)}
    with pytest.raises(ValueError, match=r"poisson has 1 values, on has 2; rate has 3 values, on has 2"):
        Background(**good | {"poisson": np.zeros(1, bool), "rate": np.zeros(3, int)})
    with pytest.raises(TypeError, match="needs booleans in one dimension, got int"):
        Background(**good | {"on": np.zeros(2, int)})
    with pytest.raises(TypeError, match=r"needs integers in one dimension, got float64 \(2,\)"):
        Background(**good | {"rate": np.zeros(2)})


@pytest.mark.parametrize(("start", "until"), [(-1e-9, 1.0), (1.0, 0.5), (0.0, np.inf), (np.nan, 1.0)])
def test_stretches_that_are_none(start: float, until: float) -> None:
    with pytest.raises(ValueError, match=f"start_s is {start} and until_s {until}"):
        made().between(start, until)
