"""A model's populations as the chip has them: units, areas of events, and every word about what it has not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal import nodes
from hal.semantics import Semantics
from hal_brainscales2.cells import LARGEST, Reader
from hal_brainscales2.options import MapOptions

PAIR = np.ones((2, 2))
NUMBERS = st.floats(-3, 3).map(lambda x: round(x, 3))


def read(model: Any, **options: Any) -> Reader:
    return Reader(model, MapOptions(**options))


def refused(model: Any, **options: Any) -> list[tuple[str, str, Any, Any]]:
    return [(f.node, f.field, f.wanted, f.realised) for f in read(model, **options).notes.refused]


def said(model: Any, level: str, **options: Any) -> list[tuple[str, str, Any, Any]]:
    found = read(model, **options).notes.findings
    return [(f.node, f.field, f.wanted, f.realised) for f in found if f.level == level]


def neurons(graph: Any, **values: Any) -> Any:
    return graph.layer(PAIR, **values)


# --- numbers ----------------------------------------------------------------------------------------------------------


@given(
    leak=st.lists(NUMBERS, min_size=2, max_size=2),
    above=st.lists(st.floats(0.1, 5).map(lambda x: round(x, 3)), min_size=2, max_size=2),
    below=st.lists(st.floats(0.05, 4).map(lambda x: round(x, 3)), min_size=2, max_size=2),
)
def test_potentials_count_from_each_neurons_leak_in_its_own_distance(
    graph: Any, leak: list[float], above: list[float], below: list[float]
) -> None:
    low, high, down = np.array(leak), np.array(above), np.array(below)
    model = neurons(
        graph, v_leak=low, v_threshold=low + high, v_reset=low + high - down, semantics={"start_state": "v_leak"}
    )
    reader = read(model)
    assert not reader.notes.refused
    (cells,) = reader.cells
    np.testing.assert_allclose(cells.unit, high)
    np.testing.assert_allclose(cells.rest, low)
    np.testing.assert_allclose(cells.reset, (high - down) / high, atol=1e-9)
    np.testing.assert_allclose(cells.weight, 1 / high)


@pytest.mark.parametrize(("gain", "wanted"), [("one", 1.0), ("r", 3.0)])
def test_an_event_leaves_its_weight_on_the_current_or_that_times_w_in(graph: Any, gain: str, wanted: float) -> None:
    (cells,) = read(neurons(graph, w_in=3.0, semantics={"current_gain": gain})).cells
    np.testing.assert_allclose(cells.weight, wanted)


def test_the_equations_of_nir_divide_by_tau_syn(graph: Any) -> None:
    (cells,) = read(neurons(graph, w_in=6e-6, semantics={"current_gain": "r*dt/tau"})).cells
    np.testing.assert_allclose(cells.weight, 1.0)


def test_the_profile_jaxsnn_reads_ms_and_neither_r_nor_w_in(graph: Any) -> None:
    plain = {"tau_mem": 20.0, "tau_syn": 10.0, "r": 3.0, "w_in": 7.0}
    model = neurons(graph, semantics={"profile": "jaxsnn"}, **plain)
    model = type(model).of(model.nodes, model.edges, Semantics(profile="jaxsnn"))
    (cells,) = read(model).cells
    np.testing.assert_allclose(cells.tau_mem, 20e-3)
    np.testing.assert_allclose(cells.tau_syn, 10e-3)
    np.testing.assert_allclose(cells.weight, 1.0)


def test_refractory_periods_are_half_a_step_or_as_asked(graph: Any) -> None:
    for dt_ns, wanted in ((None, 0.0), (1000, 0.5e-6)):
        model = neurons(graph, semantics={"dt_ns": dt_ns})
        (cells,) = read(model).cells
        assert (cells.refractory.tolist(), cells.holdoff.tolist()) == ([pytest.approx(wanted)] * 2, [0.0] * 2)
        (cells,) = read(model, refractory_s={"n": 2e-6}, holdoff_s={"n": 1e-6}).cells
        assert (cells.refractory.tolist(), cells.holdoff.tolist()) == ([2e-6] * 2, [1e-6] * 2)


# --- what the chip has not --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "word", "realised"),
    [
        ("spike_reset", "subtract", "reset", "value"),
        ("reset_delay", 1, "reset", 0),
        ("fires_on", "old", "reset", "new"),
        ("edge_delay", 1, "delays", 0),
        ("v_min", -1.0, "bounds", None),
    ],
)
def test_rules_of_steps_are_refused_unless_they_may_be_approximated(
    graph: Any, field: str, value: Any, word: str, realised: Any
) -> None:
    model = neurons(graph, semantics={"dt_ns": 1000, field: value})
    ((node, name, wanted, _),) = refused(model)
    assert (node, name, wanted) == ("n", field, value)
    (finding,) = read(model).notes.refused
    assert f"approximate={{'{word}'}}" in finding.hint
    told = said(model, "changed", approximate=frozenset({word}))
    assert ("n", field, value, realised) in told
    assert not refused(model, approximate=frozenset({word}))


def test_several_spikes_of_a_step_are_told(graph: Any) -> None:
    told = said(neurons(graph, semantics={"dt_ns": 1000, "spikes_per_step": "many"}), "changed")
    assert ("n", "spikes_per_step", "many", "a refractory period apart") in told


def test_delays_are_left_out_by_name_alone(graph: Any) -> None:
    made = graph().source("in", 2).put(nodes.Delay, "late", "in", 2, 2, delay=np.array([0.0, 3e-6]))
    model = made.dense("fc", "late", PAIR).fire("n", "fc").out("n").model
    assert refused(model) == [("n", "delay", "3e-06 s", 0)]
    assert ("n", "delay", "3e-06 s", 0) in said(model, "changed", approximate=frozenset({"delays"}))
    none = graph().source("in", 2).put(nodes.Delay, "late", "in", 2, 2, delay=np.zeros(2))
    assert not refused(none.dense("fc", "late", PAIR).fire("n", "fc").out("n").model)


def test_feedback_arrives_at_once(graph: Any) -> None:
    model = graph.layer(PAIR, PAIR, semantics={"dt_ns": 1000})
    assert ("n", "feedback_delay", 1, 0) in said(model, "changed")


def test_membranes_start_where_they_rest(graph: Any) -> None:
    told = refused(neurons(graph, v_leak=[0.0, 0.5], semantics={"start_state": 0.0}))
    assert told == [("n", "start_state", 0.5, 0)]
    assert refused(neurons(graph, v_leak=0.5, v_reset=0.25, semantics={"start_state": "v_reset"})) == [
        ("n", "start_state", 0.25, 0)
    ]
    assert not refused(neurons(graph, v_leak=0.5, v_reset=0.5, semantics={"start_state": "v_reset"}))


def test_steps_of_unknown_length_are_asked_for_where_they_enter_the_rule(graph: Any) -> None:
    model = neurons(graph, semantics={"tau_unit": "steps"})
    assert refused(model) == [("n", "dt_ns", "steps", None)]
    assert "--dt" in read(model).notes.refused[0].hint
    known = neurons(graph, tau_mem=12.0, tau_syn=6.0, semantics={"tau_unit": "steps", "dt_ns": 1000})
    (cells,) = read(known).cells
    np.testing.assert_allclose(cells.tau_mem, 12e-6, rtol=0.1)


@pytest.mark.parametrize("field", ["tau_mem", "tau_syn", "v_leak", "v_reset", "v_threshold", "r", "w_in"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_every_number_of_a_neuron_that_is_none_is_named_and_counted(graph: Any, field: str, value: float) -> None:
    model = neurons(graph, **{field: [value, value]})
    ((node, name, wanted, limit),) = refused(model)
    assert (node, name, limit) == ("n", field, "finite numbers")
    np.testing.assert_equal(wanted, value)
    assert "(2)" in read(model).notes.refused[0].reason


def test_weights_up_to_the_largest_have_a_scale(graph: Any, chip: Any) -> None:
    mapping = chip.map(graph.layer([[LARGEST, 1.0]]), copies={"fc": 1})
    assert chip.heard(mapping)[0, 0] in (62, 63)
    assert refused(graph.layer([[LARGEST * 1.001]]))[0][:2] == ("fc", "weight")


def test_inputs_straight_onto_neurons_are_weights_of_1(graph: Any, chip: Any) -> None:
    model = graph().source("n_in", 3).fire("n", "n_in").out("n").model
    assert chip.heard(chip.map(model))[:3].tolist() == (58 * np.eye(3, dtype=int)).tolist()
    strong = graph().source("n_in", 3).fire("n", "n_in", v_threshold=1e-9).out("n").model
    assert refused(strong)[0][:2] == ("n", "weight")


# --- graphs -----------------------------------------------------------------------------------------------------------


def test_an_input_beside_neurons_on_an_output_is_refused(graph: Any) -> None:
    made = graph().source("in", 2).dense("fc", "in", PAIR).fire("n", "fc").out("n")
    assert ("out", "input", None, None) in refused(made.link("in", "out").model)


def test_what_stands_between_neurons_and_an_output_is_refused(graph: Any) -> None:
    made = graph().source("in", 2).dense("fc", "in", PAIR).fire("n", "fc").dense("last", "n", PAIR)
    told = read(made.out("last").model).notes.refused
    assert [(f.node, f.field, f.reason, f.hint) for f in told] == [
        ("last", "type", "Linear between neurons and Output", "end the network with neurons")
    ]


def test_a_network_without_neurons_is_refused(graph: Any) -> None:
    model = graph().source("in", 2).dense("fc", "in", PAIR).out("fc").model
    assert ("", "neurons", None, None) in refused(model)


def test_a_membrane_that_is_read_out_feeds_nobody_and_needs_a_step(graph: Any) -> None:
    made = graph().source("in", 2).dense("fc", "in", PAIR).fire("li", "fc", nodes.CubaLI)
    assert refused(made.out("li").model)[:1] == [("li", "dt_ns", None, None)]
    made = graph(dt_ns=1000).source("in", 2).dense("fc", "in", PAIR).fire("li", "fc", nodes.CubaLI).out("li")
    (cells,) = read(made.model).cells
    assert not cells.spiking
    # nothing fires: the distance is 1
    assert cells.unit.tolist() == [1.0, 1.0]
    more = made.dense("fd", "li", PAIR).fire("n", "fd").out("n", "out2").model
    ((node, field, wanted, _),) = refused(more)
    assert (node, field, set(wanted.split()[1:])) == ("li", "type", {"n,", "out"})


def test_what_is_read_out_has_the_typical_distance_of_what_fires(graph: Any) -> None:
    made = graph(dt_ns=1000).source("in", 3).dense("fc", "in", np.ones((3, 3)))
    made.fire("n", "fc", v_threshold=[1.0, 2.0, 7.0]).dense("fo", "n", np.ones((2, 3)))
    cells = read(made.fire("li", "fo", nodes.CubaLI).out("li").model).cells
    assert [c.unit.tolist() for c in cells] == [[1.0, 2.0, 7.0], [2.0, 2.0]]


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("circuits", 2),
        ("hemisphere", 1),
        ("places", (1, 2)),
        ("refractory_s", 1e-6),
        ("holdoff_s", 1e-6),
        ("copies", 2),
    ],
)
@pytest.mark.parametrize("name", ["nobody", "in"])
def test_options_name_what_is_on_the_chip(graph: Any, option: str, value: Any, name: str) -> None:
    told = [entry[:2] for entry in refused(neurons(graph), **{option: {name: value}})]
    assert told[:1] == [(name, option)]


def test_places_are_as_many_as_circuits_and_where_they_are_asked_to_be(graph: Any) -> None:
    model = neurons(graph)
    assert refused(model, places={"n": (1, 2, 3)}) == [("n", "places", 3, "2 * 1")]
    assert refused(model, places={"n": (1, 2)}, circuits={"n": 2}) == [("n", "places", 2, "2 * 2")]
    assert refused(model, places={"n": (1, 300)}, hemisphere={"n": 0}) == [("n", "places", [1, 300], "hemisphere 0")]
    assert not refused(model, places={"n": (256, 300)}, hemisphere={"n": 1})


@pytest.mark.parametrize("name", ["fc", "n"])
def test_copies_are_of_weights_or_of_neurons_without_any(graph: Any, chip: Any, name: str) -> None:
    made = graph().source("in", 2)
    model = (made.dense("fc", "in", PAIR).fire("n", "fc") if name == "fc" else made.fire("n", "in")).out("n").model
    assert chip.heard(chip.map(model, copies={name: 2}, scale=100.0)).max() == 100
    other = "n" if name == "fc" else "fc"
    assert refused(model, copies={other: 2}) == [(other, "copies", None, f"one of {[name]}")]
