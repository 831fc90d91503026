"""map(like=): the same model has the same registers, other numbers leave everything in its place or are refused."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hal import config as config_module
from hal.errors import ConfigError, DoesNotFitError

QUICK = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def nets(graph: Any, seed: int, depth: int, recurrent: bool, bound: float = 2.0) -> Any:
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 9, depth + 1)
    weights = [random.uniform(-bound, bound, (sizes[k + 1], sizes[k])) for k in range(depth)]
    weights = [w * (random.random(w.shape) < 0.8) for w in weights]
    if recurrent:
        return graph.layer(weights[0], random.uniform(-bound, bound, (sizes[1], sizes[1])))
    return graph.chain(*weights)


def changed(model: Any, change: Any) -> Any:
    parts = dict(model.nodes)
    for name, node in parts.items():
        if hasattr(node, "weight"):
            parts[name] = attrs.evolve(node, weight=change(node.weight))
    return type(model).of(parts, model.edges, model.semantics)


def where(mapping: Any) -> Any:
    """All registers but weights and what rows and synapses are for."""
    tree = config_module.to_json(mapping.config)
    for name in ("weight", "label", "row_sign"):
        del tree["routing"][name]
    return tree


@QUICK
@given(
    seed=st.integers(0, 999),
    depth=st.integers(1, 3),
    recurrent=st.booleans(),
    dense=st.booleans(),
    circuits=st.integers(1, 3),
)
def test_the_same_model_has_the_same_registers(
    chip: Any, graph: Any, seed: int, depth: int, recurrent: bool, dense: bool, circuits: int
) -> None:
    model = nets(graph, seed, depth, recurrent)
    name = "n" if recurrent else "n0"
    options: dict[str, Any] = {"dense": dense, "circuits": {name: circuits}}
    first = chip.map(model, **options)
    again = chip.map(model, like=first, **options)
    assert again.config == first.config
    assert again.placement is first.placement
    # options of the placement may be left away
    assert chip.map(model, like=again).config == first.config
    for key, values in first.realised.items():
        np.testing.assert_array_equal(again.realised[key], values)


@QUICK
@given(seed=st.integers(0, 999), dense=st.booleans(), circuits=st.integers(1, 3), factor=st.sampled_from([-1.0, 0.5]))
def test_other_weights_fit_or_it_is_said_what_would_have_to_move(
    chip: Any, graph: Any, seed: int, dense: bool, circuits: int, factor: float
) -> None:
    """Signs turn around, some or all."""
    model = nets(graph, seed, 2, False, 1.0)
    random = np.random.default_rng(seed)
    other = changed(model, lambda w: np.where(random.random(w.shape) < 0.7, factor * w, w))
    first = chip.map(model, dense=dense, circuits={"n0": circuits})
    mapping = error = None
    try:
        mapping = chip.map(other, like=first)
    except ConfigError as caught:
        error = caught
    if mapping is None:
        assert not dense
        assert {problem.where for problem in error.problems} <= {"fc0", "fc1"}
        assert "itory row is left for" in str(error)
        assert "dense" in str(error.hint)
        return
    assert where(mapping) == where(first)
    heard, n_in = chip.heard(mapping), first.config.n_inputs
    sizes = [run.size for run in first.config.populations]
    for k, (low, high) in enumerate(((0, n_in), (n_in, n_in + sizes[0]))):
        wanted = np.rint(other.nodes[f"fc{k}"].weight * first.config.scale)
        target = slice(sum(sizes[:k]), sum(sizes[: k + 1]))
        np.testing.assert_array_equal(heard[low:high, target].T, np.clip(wanted, -63, 63))


def test_signs_that_turn_in_sparse_rows_name_the_weights(chip: Any, graph: Any) -> None:
    first = chip.map(graph.layer([[1.0, 1.0, 1.0], [-1.0, 0.0, 0.0]]), scale=50.0)
    with pytest.raises(ConfigError, match="no inhibitory row is left for 2 weights, the first from source 1") as caught:
        chip.map(graph.layer([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]), like=first)
    assert [problem.where for problem in caught.value.problems] == ["fc"]


def test_larger_weights_than_their_rows_hold_are_clipped_and_told(chip: Any, graph: Any) -> None:
    first = chip.map(graph.layer([[1.0, 0.5]]))
    mapping = chip.map(graph.layer([[2.0, 0.5]]), like=first)
    assert chip.heard(mapping)[:2, 0].tolist() == [63, 29]
    assert [f.reason for f in mapping.fit.findings if f.field == "weight"] == ["weights were clipped (1)"]
    assert len(mapping.losses) == 1
    finer = chip.map(graph.layer([[2.0, 0.5]]), like=first, scale=29.0)
    assert finer.config.scale == 29
    assert chip.heard(finer)[:2, 0].tolist() == [58, 14]


def test_other_neurons_change_targets_alone(chip: Any, graph: Any) -> None:
    first = chip.map(graph.layer(np.ones((2, 3))))
    mapping = chip.map(graph.layer(np.ones((2, 3)), tau_mem=[10e-6, 20e-6], v_threshold=2.0), like=first)
    np.testing.assert_allclose(mapping.config.targets.tau_mem, [10e-6, 20e-6])
    assert (chip.heard(mapping)[:3] == 29).all()
    assert mapping.config.unit.tolist() == [2, 2]
    assert mapping.speedup == first.speedup


def test_a_speedup_is_kept_unless_it_is_given(chip: Any, graph: Any) -> None:
    first = chip.map(graph.layer([[1.0]]), speedup=2.0)
    assert chip.map(graph.layer([[1.0]]), like=first).config == first.config
    faster = chip.map(graph.layer([[1.0]]), like=first, speedup=4.0)
    assert faster.speedup == faster.config.speedup == 4
    np.testing.assert_allclose(faster.config.targets.tau_mem, 3e-6)


def test_edited_registers_are_what_is_kept(chip: Any, graph: Any) -> None:
    """Labels of the two channels change places, and so do their synapses' where weights are mapped again."""
    model = graph.layer([[1.0, 0.5]])
    first = chip.map(model)
    chip.map(model, like=first)
    host = first.config.host
    edited = first.with_config(attrs.evolve(first.config, host=attrs.evolve(host, label=host.label[::-1].copy())))
    assert chip.heard(edited)[:2, 0].tolist() == [29, 58]
    again = chip.map(model, like=edited)
    assert chip.heard(again)[:2, 0].tolist() == [58, 29]
    assert again.config.host == edited.config.host


def test_adopted_registers_can_be_kept_too(chip: Any, graph: Any) -> None:
    model = graph.layer([[1.0, -0.5], [0.5, 0.25]])
    first = chip.map(model)
    mapping = chip.map(model, like=chip.adopt(first.config))
    assert mapping.config == first.config


def test_a_channel_without_weights_that_is_no_longer_sent_overwrites_nothing(chip: Any, graph: Any) -> None:
    """Its pairs have no row: nothing is written where the first row of the last column has a synapse."""
    model = graph.layer([[1.0, 0.0]])
    first = chip.map(model, dense=True, places={"n": (511,)})
    assert first.config.routing.weight[1, 0, 255] == 58
    host = attrs.evolve(first.config.host, channel=first.config.host.channel[:1], label=first.config.host.label[:1])
    again = chip.map(model, like=first.with_config(attrs.evolve(first.config, host=host)))
    assert chip.heard(again)[:2, 0].tolist() == [58, 0]
    with pytest.raises(ConfigError, match="no excitatory row is left for 1 weights, the first from source 1"):
        chip.map(graph.layer([[1.0, 1.0]]), like=again)


@pytest.mark.parametrize(
    ("options", "field", "value", "limit"),
    [
        ({"places": {"n": (5, 6)}}, "places['n']", [5, 6], [0, 1]),
        ({"circuits": {"n": 2}}, "circuits['n']", 2, 1),
        ({"hemisphere": {"n": 1}}, "hemisphere['n']", 1, [0]),
        ({"dense": True}, "dense", True, False),
    ],
)
def test_options_that_would_move_things_are_refused(
    chip: Any, graph: Any, options: Any, field: str, value: Any, limit: Any
) -> None:
    model = graph.layer(np.ones((2, 3)))
    with pytest.raises(ConfigError) as caught:
        chip.map(model, like=chip.map(model), **options)
    assert [(p.where, p.value, p.limit) for p in caught.value.problems] == [(field, value, limit)]


def test_options_that_say_where_things_are_pass(chip: Any, graph: Any) -> None:
    model = graph.layer(np.ones((2, 3)))
    first = chip.map(model, places={"n": (300, 310)})
    again = chip.map(model, like=first, places={"n": (300, 310)}, hemisphere={"n": 1}, circuits={"n": 1})
    assert again.config == first.config


def test_spikes_that_do_not_leave_the_chip_cannot_be_recorded_later(chip: Any, graph: Any) -> None:
    model = graph.chain(np.ones((2, 2)), np.ones((2, 2)))
    apart = {"places": {"n0": (0, 1), "n1": (40, 41)}}
    first = chip.map(model, **apart)
    with pytest.raises(ConfigError, match="record it in the mapping to keep") as caught:
        chip.map(model, like=first, record=["n0"])
    assert [problem.where for problem in caught.value.problems] == ["n0"]
    heard = chip.map(model, record=["n0"], **apart)
    assert chip.map(model, like=heard, record=["n0"]).config == heard.config


def test_other_populations_are_refused(chip: Any, graph: Any) -> None:
    first = chip.map(graph.layer(np.ones((2, 3))))
    with pytest.raises(ConfigError, match="populations are not those") as caught:
        chip.map(graph.layer(np.ones((3, 3))), like=first)
    (problem,) = caught.value.problems
    assert (problem.where, problem.value, problem.limit) == ("like", [("n", (3,))], [("n", (2,))])


def test_other_inputs_are_refused(chip: Any, graph: Any) -> None:
    first = chip.map(graph.layer(np.ones((2, 2))))
    for like in (first, chip.adopt(first.config)):
        with pytest.raises(ConfigError, match="inputs are not those") as caught:
            chip.map(graph.layer(np.ones((2, 3))), like=like)
        assert caught.value.problems[0].limit == [("in", (2,))]
        renamed = graph().source("eye", 2).dense("fc", "eye", np.ones((2, 2))).fire("n", "fc").out("n").model
        with pytest.raises(ConfigError, match="inputs are not those"):
            chip.map(renamed, like=like)


def test_steps_of_another_length_are_a_number_like_others(chip: Any, graph: Any) -> None:
    first = chip.map(graph.layer(np.ones((2, 2))))
    mapping = chip.map(graph.layer(np.ones((2, 2)), semantics={"dt_ns": 2000}), like=first)
    assert mapping.step_ns == mapping.config.step_ns == 2000
    assert chip.map(graph.layer(np.ones((2, 2))), like=mapping).config == first.config


def test_a_model_that_does_not_map_does_not_map_like_another(chip: Any, graph: Any) -> None:
    first = chip.map(graph.layer(np.ones((2, 3))))
    with pytest.raises(DoesNotFitError, match="tau_mem"):
        chip.map(graph.layer(np.ones((2, 3)), tau_mem=-1.0), like=first)
