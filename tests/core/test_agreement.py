"""The one metric: against brute force, and by hand."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hal
from hal.agreement import agreement
from hal.errors import ConfigError
from hal.events import Records

trains = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), max_size=9)


def train(rows: list[tuple[int, int]]) -> Records:
    return hal.events(
        [t for t, _ in sorted(rows)] or np.zeros(0, int), [i for _, i in sorted(rows)] or np.zeros(0, int)
    )


def most_pairs(a: tuple[int, ...], b: tuple[int, ...], window: int) -> int:
    """The size of a largest matching, by trying everything."""

    @cache
    def best(i: int, left: frozenset[int]) -> int:
        if i == len(a):
            return 0
        skip = best(i + 1, left)
        return max([skip] + [1 + best(i + 1, left - {j}) for j in left if abs(a[i] - b[j]) <= window])

    return best(0, frozenset(range(len(b))))


@settings(max_examples=200, deadline=None)
@given(trains, trains, st.integers(0, 6), st.integers(-3, 3))
def test_the_match_is_a_largest_one(a: list, b: list, window: int, latency: int) -> None:
    result = agreement(train(a), train(b), 3, window_ns=window, latency_ns=latency)
    expected = sum(
        most_pairs(tuple(t - latency for t, i in a if i == n), tuple(t for t, i in b if i == n), window)
        for n in range(3)
    )
    assert result.matched == expected
    assert (result.spikes, result.reference) == (len(a), len(b))
    counts = [sum(i == n for _, i in a) - sum(i == n for _, i in b) for n in range(3)]
    assert result.count_error.tolist() == counts
    whole = len(a) + len(b)
    assert result.share == (2 * expected / whole if whole else 1.0)
    assert (result.first_difference is None) == (2 * expected == whole)


@settings(max_examples=100, deadline=None)
@given(trains, trains)
def test_without_window_it_is_the_common_multiset(a: list, b: list) -> None:
    result = agreement(train(a), train(b), 3)
    rest_a, rest_b = list(a), list(b)
    for row in a:
        if row in rest_b:
            rest_b.remove(row)
            rest_a.remove(row)
    assert result.matched == len(a) - len(rest_a)
    alone = rest_a + rest_b
    assert result.first_difference == (min(alone) if alone else None)


@given(trains, trains, st.integers(0, 6))
def test_it_is_symmetric(a: list, b: list, window: int) -> None:
    one = agreement(train(a), train(b), 3, window_ns=window)
    other = agreement(train(b), train(a), 3, window_ns=window)
    assert one.matched == other.matched
    assert one.share == other.share
    assert (one.count_error == -other.count_error).all()


def test_latency_is_taken_off_the_judged_train() -> None:
    late = hal.events([1005, 2005], [0, 1])
    reference = hal.events([1000, 2000], [0, 1])
    assert agreement(late, reference, 2).matched == 0
    assert agreement(late, reference, 2, latency_ns=5).share == 1.0
    assert agreement(late, reference, 2, latency_ns=-5).matched == 0


def test_the_window_includes_its_edge() -> None:
    a, b = hal.events([10], [0]), hal.events([13], [0])
    assert agreement(a, b, 1, window_ns=3).matched == 1
    assert agreement(a, b, 1, window_ns=2).matched == 0


def test_trains_are_not_changed() -> None:
    a, b = hal.events([10, 20], [1, 0]), hal.events([5], [1])
    before = a.copy(), b.copy()
    agreement(a, b, 2, window_ns=3, latency_ns=4)
    assert a.tolist() == before[0].tolist()
    assert b.tolist() == before[1].tolist()


def test_two_silent_trains_agree() -> None:
    silent = hal.events(np.zeros(0, int), np.zeros(0, int))
    result = agreement(silent, silent, 4)
    assert (result.share, result.matched, result.first_difference) == (1.0, 0, None)
    assert result.count_error.tolist() == [0, 0, 0, 0]
    assert agreement(hal.events([0], [0]), silent, 1).share == 0.0


def test_a_negative_window_is_refused() -> None:
    with pytest.raises(ConfigError, match="window"):
        agreement(hal.events([0], [0]), hal.events([0], [0]), 1, window_ns=-1)


@pytest.mark.parametrize("which", ["spikes", "reference"])
def test_an_index_beyond_the_node_is_refused(which: str) -> None:
    good, bad = hal.events([0], [0]), hal.events([0], [3])
    with pytest.raises(ConfigError, match="3"):
        agreement(*((bad, good) if which == "spikes" else (good, bad)), 3)


@pytest.mark.parametrize("seed", range(3))
def test_a_witness_net_agrees_exactly_with_the_model_as_given_and_as_realised(net: Any, seed: int) -> None:
    """Integer weights, no leak, at most one event per neuron and step: the chip gives what the reference gives."""
    rng = np.random.default_rng(seed)
    parts = [
        net.input("input", 3),
        net.linear("fc", rng.integers(-2, 4, (4, 3))),
        net.spiking("cells", 4, v_threshold=5),
    ]
    model = net.chain(*parts, net.output("output", 4), v_min=None)
    order = rng.integers(0, 3, 200)
    stimulus = {"input": hal.events(np.arange(200) * 1000, order)}
    mapping = hal.mapper("speck2f").map(model)
    with hal.open("speck2f", rate=None) as chip:
        chip.load(mapping)
        spikes = chip.run(stimulus, 200_000).spikes["output"]
    for against in (model, mapping.realised_model()):
        expected = net.run("ideal", against, stimulus, 200_000).spikes["output"]
        result = agreement(spikes, expected, 4, latency_ns=mapping.latency_ns.get("output", 0))
        assert result.share == 1.0
        assert result.first_difference is None
        assert result.reference > 10
