"""Models as jaxsnn means them, on the chip: near the reference at slow rates, with a step and without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import pytest

import hal
import hal_brainscales2.plugin
from hal import nodes
from hal.agreement import agreement
from hal.model import Model
from hal.semantics import Semantics
from hal.testing import registered

MS = 1_000_000
N_IN, HIDDEN, OUT, KICKS = 4, 6, 3, 40
EVENTS = hal.events(np.arange(KICKS) * 100 * MS, np.arange(KICKS) % N_IN)
DURATION = KICKS * 100 * MS


@pytest.fixture(autouse=True)
def plugin() -> Iterator[None]:
    with registered(hal_brainscales2.plugin, "brainscales2"):
        yield


def linear(name: str, weight: Any) -> nodes.Linear:
    w = np.asarray(weight, np.float64)
    return nodes.Linear(name=name, input_shape=w.shape[1:], output_shape=w.shape[:1], weight=w)


def neurons(name: str, size: int) -> nodes.CubaLIF:
    """Time constants in ms. jaxsnn reads neither r nor w_in."""
    values = {"tau_mem": 20, "tau_syn": 10, "r": 3, "w_in": 7, "v_leak": 0, "v_threshold": 1, "v_reset": 0}
    full = {key: np.full(size, float(value)) for key, value in values.items()}
    return nodes.CubaLIF(name=name, input_shape=(size,), output_shape=(size,), **full)


def model(dt_ns: int | None, **semantics: Any) -> Model:
    """Two layers; every input makes a few spikes and dies away."""
    random = np.random.default_rng(0)
    fan = np.arange(HIDDEN) % OUT == np.arange(OUT)[:, None]
    parts: list[nodes.Node] = [
        nodes.Input(name="in", input_shape=(N_IN,), output_shape=(N_IN,)),
        linear("fa", random.uniform(4.6, 7.0, (HIDDEN, N_IN))),
        neurons("a", HIDDEN),
        linear("fb", np.where(fan, random.uniform(2.6, 3.4, (OUT, HIDDEN)), 0.0)),
        neurons("b", OUT),
        nodes.Output(name="out", input_shape=(OUT,), output_shape=(OUT,)),
    ]
    edges = [("in", "fa"), ("fa", "a"), ("a", "fb"), ("fb", "b"), ("b", "out")]
    return Model.of({p.name: p for p in parts}, edges, Semantics(profile="jaxsnn", dt_ns=dt_ns, **semantics))


def run(device: str, graph: Model, **options: Any) -> tuple[Any, Any]:
    mapping = hal.mapper(device).map(graph, record=["a"])
    with hal.open(device, **options) as chip:
        chip.load(mapping)
        return mapping, chip.run({"in": EVENTS}, DURATION)


@pytest.mark.parametrize("dt_ns", [MS, MS // 5, None])
def test_at_slow_rates_the_chip_agrees_with_the_reference(dt_ns: int | None) -> None:
    graph = model(dt_ns)
    mapping, got = run("brainscales2", graph, preset="ideal")
    fine = graph if dt_ns else graph.with_semantics(attrs.evolve(graph.semantics, dt_ns=20_000))
    _, wanted = run("ideal", fine)
    for name, size, floor in (("a", HIDDEN, 0.93), ("out", OUT, 0.85)):
        window = 2 * (dt_ns or MS // 5)
        found = agreement(
            got.spikes[name], wanted.spikes[name], size, window_ns=window, latency_ns=mapping.latency_ns[name]
        )
        assert found.share > floor
        assert found.reference > 5 * KICKS


def test_spikes_stand_half_a_step_before_the_models_and_again_for_every_layer() -> None:
    """The membrane sees a current one step late; the chip's at once."""
    mapping, got = run("brainscales2", model(MS), preset="ideal")
    _, wanted = run("ideal", model(MS))
    assert [mapping.latency_ns[name] for name in ("a", "b", "out")] == [-MS // 2, -MS, -MS]
    for name, size in (("a", HIDDEN), ("out", OUT)):
        first = []
        for recording in (got, wanted):
            spikes = recording.spikes[name]
            when = np.full((KICKS, size), np.inf)
            np.minimum.at(when, (spikes["t"] // (100 * MS), spikes["index"]), spikes["t"].astype(float))
            first.append(when)
        late = np.median(first[0] - first[1])
        assert abs(late - mapping.latency_ns[name]) < 0.2 * MS


def test_without_a_step_an_event_leaves_its_weight_on_the_current_whatever_w_in() -> None:
    mapping, _ = run("brainscales2", model(None), preset="ideal")
    assert mapping.step_ns is None
    assert set(mapping.latency_ns.values()) == {0}
    network = mapping.config
    assert np.allclose(network.targets.tau_mem * mapping.speedup, 20e-3)
    assert np.allclose(network.targets.tau_syn * mapping.speedup, 10e-3)
    # one input of w fires neurons of tau_mem = 2 tau_syn if w is above 4 thresholds
    for weight, fires in ((3.9, 0), (4.1, 1)):
        graph = model(None)
        parts = {**graph.nodes, "fa": linear("fa", np.full((HIDDEN, N_IN), weight))}
        _, got = run("brainscales2", Model.of(parts, graph.edges, graph.semantics), preset="ideal")
        assert got.spikes["a"].size == fires * HIDDEN * KICKS


def test_a_rule_that_steps_enter_needs_one() -> None:
    report = hal.mapper("brainscales2").check(model(None, gain="r"))
    assert [(f.node, f.field) for f in report.refused] == [("a", "dt_ns"), ("b", "dt_ns")]


def test_a_read_out_runs_on_the_host_on_the_spikes_of_the_chip() -> None:
    graph = model(MS)
    values = {"tau_mem": 20.0, "tau_syn": 10.0, "r": 3.0, "w_in": 7.0, "v_leak": 0.0}
    full = {key: np.full(2, value) for key, value in values.items()}
    more: list[nodes.Node] = [
        linear("fo", np.full((2, OUT), 0.1)),
        nodes.CubaLI(name="li", input_shape=(2,), output_shape=(2,), **full),
        nodes.Output(name="values", input_shape=(2,), output_shape=(2,)),
    ]
    edges = [*graph.edges, ("b", "fo"), ("fo", "li"), ("li", "values")]
    graph = Model.of(graph.nodes | {node.name: node for node in more}, edges, graph.semantics)
    _, got = run("brainscales2", graph, preset="ideal")
    counts = np.zeros((DURATION // MS, OUT))
    spikes = got.spikes["out"]
    np.add.at(counts, (spikes["t"] // MS, spikes["index"]), 1)
    v, i, wanted = np.zeros(2), np.zeros(2), []
    for x in counts.sum(axis=1) * 0.1:
        i = i + x
        v = v + (i - v) / 20
        i = i - i / 10
        wanted.append(v)
    assert counts.sum() > 5 * KICKS
    np.testing.assert_allclose(got.signals["values"].values, wanted, rtol=0, atol=1e-12)
