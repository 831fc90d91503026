"""The scale of a block: what decays drop weighs in, doubling is free, and neurons that are alike are counted once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hal_loihi import scaling
from hal_loihi.block import Block, Group, numbers_of
from hal_loihi.discretise import discretise
from hal_loihi.scaling import Numbers, best_scale, costs

REALS = st.floats(-3, 3).filter(lambda value: value == 0 or abs(value) > 1e-3)


def numbers(**fields: Any) -> Numbers:
    """Of a block of neurons with threshold 1 and one group of weights."""
    alpha, beta = fields.pop("alpha", 0.0), fields.pop("beta", 1.0)
    weights = np.asarray(fields.pop("weights", [[0.3]]))
    n = weights.shape[1]
    made = {"threshold": np.ones(n), "name": "block", "groups": (Group(name="in", weights=weights),), **fields}
    return numbers_of(Block(**made), np.full(n, alpha), np.full(n, beta))


@st.composite
def blocks(draw: st.DrawFn) -> Numbers:
    """Of random weights, thresholds and biases."""
    n = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(REALS, min_size=n, max_size=n), min_size=1, max_size=6))
    threshold = draw(st.lists(st.floats(0.05, 20), min_size=n, max_size=n))
    bias = draw(st.lists(REALS, min_size=n, max_size=n))
    return numbers(weights=rows, threshold=np.array(threshold), bias=np.array(bias))


@settings(max_examples=300, deadline=None)
@given(blocks(), st.floats(-6, 16))
def test_twice_a_scale_never_costs_more_where_the_registers_suffice(made: Numbers, exponent: float) -> None:
    scale = 2.0**exponent
    room = min(scaling._limits(made).values())
    assume(2 * scale <= room)
    assert costs(made, 2 * scale).nowhere_above(costs(made, scale))


@given(st.floats(1e-3, 1e6), st.floats(1.0, 1e6))
def test_a_scale_is_doubled_as_often_as_there_is_room(scale: float, room: float) -> None:
    most = scale * room
    found = scaling._doubled(scale, most)
    assert scale <= found <= most * (1 + 1e-12)
    assert 2 * found > most * (1 - 1e-12)
    assert math.log2(found / scale) == pytest.approx(round(math.log2(found / scale)), abs=1e-9)


@pytest.mark.parametrize(
    ("fields", "units"),
    [
        ({}, 0),
        ({"beta": 0.75}, 4),
        ({"beta": 0.999}, 100),  # reset within so many steps, by assumption
        ({"alpha": 0.5, "beta": 0.75}, 2 * 4 + 4),
        ({"alpha": 0.5}, 2 * 100),  # a membrane that keeps everything sums up what its current lost
    ],
)
def test_what_decays_drop_is_counted_in_units_of_the_chip(fields: dict[str, float], units: float) -> None:
    assert numbers(**fields).truncated == pytest.approx(units)


def test_a_leak_takes_the_largest_power_of_two_and_without_one_nothing_changes() -> None:
    rng = np.random.default_rng(5)
    weights = rng.normal(0, 0.2, (40, 3))
    still, leaky = (discretise(Block(**about(weights, beta))) for beta in (1.0, 0.9))
    room = min(scaling._limits(numbers(weights=weights)).values())
    most = min(room, scaling.Q_LIMIT / numbers(weights=weights).q_most, scaling.V_LIMIT / scaling.LEAKY_ROOM)
    assert leaky.scale >= still.scale
    assert 2 * leaky.scale > most


def about(weights: Any, beta: float) -> dict[str, Any]:
    """The fields of a block of three neurons."""
    return {
        "name": "block",
        "threshold": np.ones(3),
        "beta": beta,
        "groups": (Group(name="in", weights=weights),),
    }


@settings(max_examples=60, deadline=None)
@given(st.floats(0.05, 20), st.floats(-2, 2), st.lists(REALS, min_size=1, max_size=5))
def test_neurons_that_are_alike_cost_what_one_costs(threshold: float, bias: float, row: list[float]) -> None:
    same = [[value] * 6 for value in row]
    many = numbers(weights=same, threshold=np.full(6, threshold), bias=np.full(6, bias), v_min=-threshold)
    brief = scaling._brief(many)
    assert [brief.threshold.size, brief.bias.size, np.size(brief.v_min)] == [1, 1, 1]
    for exponent in (-3.3, 0.0, 7.1):
        one, all_six = (costs(each, 2.0**exponent) for each in (brief, many))
        assert one.nowhere_above(all_six)
        assert all_six.nowhere_above(one)


def test_neurons_that_differ_are_all_counted() -> None:
    differing = numbers(weights=np.ones((1, 3)), threshold=np.array([1.0, 1.0, 2.0]), bias=np.zeros(3))
    brief = scaling._brief(differing)
    assert (brief.threshold.size, brief.bias.size, brief.v_min) == (3, 1, None)
    assert best_scale(differing) == best_scale(brief)
