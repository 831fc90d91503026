"""Rate scales, and costs per operation."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import hal
from hal import nodes
from hal.errors import ConfigError
from hal.model import Model
from hal_loihi import rates

STEP = 1_000_000


def cells(name: str, n: int, threshold: float = 1.0) -> nodes.IF:
    one = np.ones(n, np.float32)
    return nodes.IF(name=name, input_shape=(n,), output_shape=(n,), r=one, v_threshold=one * threshold, v_reset=one * 0)


def affine(name: str, weight: Any, bias: Any) -> nodes.Affine:
    w = np.asarray(weight, np.float32)
    return nodes.Affine(
        name=name, input_shape=(w.shape[1],), output_shape=(w.shape[0],), weight=w, bias=np.asarray(bias, np.float32)
    )


def chain(*parts: Any) -> Model:
    first, last = parts[0].input_shape, parts[-1].output_shape
    ends = [nodes.Input(name="input", input_shape=first, output_shape=first),
            nodes.Output(name="output", input_shape=last, output_shape=last)]  # fmt: skip
    row = [ends[0], *parts, ends[1]]
    semantics = hal.Semantics(profile="nir", dt_ns=STEP, gain="one")
    return Model.of({p.name: p for p in row}, pairwise([p.name for p in row]), semantics)


def two() -> Model:
    return chain(
        affine("w0", [[0.5], [0.25]], [0.0, 0.125]), cells("a", 2), affine("w1", [[1.0, 0.5]], [0.0]), cells("b", 1)
    )


def run(device: str, model: Model, steps: int = 400, **options: Any) -> hal.Recording:
    events = hal.events(np.arange(0, steps, 2) * STEP, np.zeros(steps // 2, np.int64))
    with hal.open(device, **options) as chip:
        chip.load(hal.mapper(device).map(model, record=["a", "b"]))
        return chip.run({"input": events}, steps * STEP)


@pytest.mark.parametrize(
    ("given", "scale"), [([100, 300], 1.0), ([0, 0, 50], 4.0), ([[400, 0], [0, 0]], 0.5), ([0, 0], 1.0), ([], 1.0)]
)
def test_the_active_neurons_are_brought_to_the_target(given: Any, scale: float) -> None:
    assert rates.scale_for(given) == scale
    assert rates.scale_for([100.0], target_hz=50) == 0.5


def test_scaled_layers_fire_faster_and_the_next_takes_them_for_less() -> None:
    model = two()
    faster = rates.rescaled(model, {"a": 0.5, "b": 2.0})
    assert faster.nodes["w0"].weight.ravel().tolist() == [0.25, 0.125]  # type: ignore[attr-defined]
    assert faster.nodes["w0"].bias.tolist() == [0.0, 0.0625]  # type: ignore[attr-defined]
    assert faster.nodes["w1"].weight.ravel().tolist() == [4.0, 2.0]  # type: ignore[attr-defined]
    before, after = run("ideal", model), run("ideal", faster)
    assert 0 < after.event_count("a") < before.event_count("a")
    scales = rates.scales_for(before, ["a"])
    mean = before.counts("a").mean() / 0.4
    assert scales == {"a": pytest.approx(rates.TARGET_HZ / mean)}


def test_what_cannot_be_rescaled() -> None:
    with pytest.raises(ConfigError) as error:
        rates.rescaled(two(), {"c": 2.0, "a": 0.0, "input": 2.0})
    assert {p.where for p in error.value.problems} >= {"c", "a", "input"}
    bare = chain(affine("w0", [[1.0]], [0.0]), cells("a", 1), cells("b", 1))
    with pytest.raises(ConfigError, match="no weights on the way"):
        rates.rescaled(bare, {"a": 2.0})


def test_coarse_and_saturated_layers_are_remarked_on() -> None:
    model = chain(
        affine("w0", [[0.0], [0.0]], [2.0, 0.6]), cells("a", 2), affine("w1", [[0.1, 0.1]], [0.0]), cells("b", 1)
    )
    said = rates.remarks(run("loihi", model), ["a", "b"], STEP)
    assert [(f.node, f.reason.split(" neurons")[0]) for f in said] == [("a", "the active"), ("a", "1")]


def test_costs_give_steps_a_duration() -> None:
    """None by default; given ones add up to the barrier of the busiest core."""
    model = two()
    plain = run("loihi", model, 10)
    assert plain.stats["busy_ns"].sum() == 0
    assert not [f for f in plain.diagnostics if f.field == "device time"]
    timed = run("loihi", model, 10, step_cost_ns=100, synop_cost_ns=10, spike_cost_ns=1)
    assert np.array_equal(timed.spikes["b"], plain.spikes["b"])
    spikes = timed.event_count("a") + timed.event_count("b")
    # five events to two synapses each, every spike of `a` to one
    assert timed.stats["busy_ns"].sum() == 5 * 2 * 10 + timed.event_count("a") * 10 + spikes
    (said,) = [f for f in timed.diagnostics if f.field == "device time"]
    assert said.realised == f"{10 * 100 + timed.stats['busy_ns'].sum()} ns"
