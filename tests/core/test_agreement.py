"""The one metric: against brute force, and by hand."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hal
from hal import nodes
from hal.agreement import TIE, agreement, decided
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


# --- ties -----------------------------------------------------------------------------------------------------------


def chain(weights: list[float], threshold: float, compare: str, overrides: Any = None) -> hal.Model:
    """One neuron that keeps everything, fed by a channel for each weight, in single precision."""
    n = len(weights)
    made = (
        nodes.Input(name="input", input_shape=(n,), output_shape=(n,)),
        nodes.Linear(name="fc", input_shape=(n,), output_shape=(1,), weight=np.array([weights], np.float32)),
        nodes.IF(
            name="neuron",
            input_shape=(1,),
            output_shape=(1,),
            r=np.ones(1, np.float32),
            v_threshold=np.full(1, threshold, np.float32),
            v_reset=np.zeros(1, np.float32),
        ),
        nodes.Output(name="output", input_shape=(1,), output_shape=(1,)),
    )
    named = {node.name: node for node in made}
    semantics = hal.Semantics(profile="nir", dt_ns=1000, gain="one", compare=compare, overrides=overrides or {})
    return hal.Model.of(named, list(pairwise(named)), semantics)


def fired(model: hal.Model) -> list[int]:
    """The steps in which `ideal` fires when the channels get an event each, one after another."""
    n = model.nodes["input"].size
    with hal.open("ideal") as device:
        device.load(hal.mapper("ideal").map(model))
        recording = device.run({"input": hal.events(1000 * np.arange(n), np.arange(n))}, 1000 * n)
    return (recording.spikes["output"]["t"] // 1000).tolist()


def test_floating_point_misses_a_tie_and_decided_does_not() -> None:
    three = [0.9] * 6
    assert fired(chain(three, 2.7, ">=")) == [3]
    assert fired(decided(chain(three, 2.7, ">="))) == [2, 5]
    assert fired(decided(chain(three, 2.7, ">"))) == [3]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-6, 9), min_size=1, max_size=40), st.integers(1, 30), st.sampled_from([">", ">="]))
def test_decided_fires_as_integers_do(tenths: list[int], threshold: int, compare: str) -> None:
    v, wanted = 0, []
    for step, weight in enumerate(tenths):
        v += weight
        if v > threshold or (compare == ">=" and v == threshold):
            wanted.append(step)
            v = 0
    assert fired(decided(chain([weight / 10 for weight in tenths], threshold / 10, compare))) == wanted


def test_decided_changes_thresholds_and_precision_alone() -> None:
    model = chain([0.1, 0.2], 0.3, ">=")
    before = model.fingerprint
    made = decided(model)
    assert made.semantics == attrs.evolve(model.semantics, dtype="float64")
    threshold = made.nodes["neuron"].v_threshold
    assert threshold.dtype == np.float64
    assert threshold[0] == pytest.approx(0.3 * (1 - TIE), rel=1e-7)
    assert list(made.nodes) == list(model.nodes)
    assert all(made.nodes[name] is node for name, node in model.nodes.items() if name != "neuron")
    assert model.fingerprint == before


def test_decided_follows_the_rule_of_each_node() -> None:
    model = chain([0.1], 0.5, ">=", overrides={"neuron": {"compare": ">"}})
    assert decided(model).nodes["neuron"].v_threshold[0] > np.float32(0.5)
