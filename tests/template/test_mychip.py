"""The made-up chip of the template: every refusal, its registers by hand, and what it answers against `ideal`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import attrs
import numpy as np
import pytest

import hal
from hal import nodes
from hal.errors import ConfigError, DoesNotFitError
from hal.model import Model
from hal.semantics import Semantics

MS = 1_000_000
RULES = {"dt_ns": MS, "gain": "one", "compare": ">="}

pytestmark = pytest.mark.usefixtures("mychip")


def cells(name: str, size: int = 2, **values: Any) -> nodes.IF:
    numbers = {"r": 1.0, "v_threshold": 6.0, "v_reset": 0.0, **values}
    arrays: dict[str, Any] = {key: np.broadcast_to(np.asarray(value, float), (size,)) for key, value in numbers.items()}
    return nodes.IF(name=name, input_shape=(size,), output_shape=(size,), **arrays)


def dense(name: str, weight: Any, bias: Any = None) -> nodes.Node:
    array = np.asarray(weight, float)
    shapes: dict[str, Any] = {"input_shape": array.shape[1:], "output_shape": array.shape[:1], "weight": array}
    if bias is None:
        return nodes.Linear(name=name, **shapes)
    return nodes.Affine(name=name, **shapes, bias=np.asarray(bias, float))


def chain(*parts: nodes.Node, **semantics: Any) -> Model:
    size = parts[0].input_shape
    ends = nodes.Input(name="in", input_shape=size, output_shape=size)
    out = nodes.Output(name="out", input_shape=parts[-1].output_shape, output_shape=parts[-1].output_shape)
    line = (ends, *parts, out)
    edges = list(pairwise(node.name for node in line))
    return Model.of({node.name: node for node in line}, edges, Semantics.from_json({**RULES, **semantics}))


def refused(model: Model) -> list[tuple[str, str]]:
    report = hal.mapper("mychip").check(model)
    with pytest.raises(DoesNotFitError) as error:
        hal.mapper("mychip").map(model)
    assert error.value.report.to_json() == report.to_json()
    return [(finding.node, finding.field) for finding in report.refused]


EYE = np.eye(2) * 6


@pytest.mark.parametrize(("kind", "word"), [("LIF", "neuron.lif"), ("Threshold", "neuron.threshold")])
def test_neurons_of_other_kinds_are_refused_by_their_word_alone(kind: str, word: str) -> None:
    odd: nodes.Node = nodes.Threshold(name="odd", input_shape=(2,), output_shape=(2,), threshold=np.ones(2))
    if kind == "LIF":
        numbers = {name: np.ones(2) for name in nodes.LIF.parameters}
        odd = nodes.LIF(name="odd", input_shape=(2,), output_shape=(2,), **numbers)
    for parts in ((dense("fc", EYE), odd), (dense("fc", EYE), odd, dense("fc2", EYE), cells("last"))):
        assert refused(chain(*parts)) == [("odd", word)]


@pytest.mark.parametrize(
    ("values", "semantics", "field"),
    [
        ({}, {"spike_reset": "subtract_n", "spikes_per_step": "one"}, "spike_reset"),
        ({}, {"spike_reset": "discard_update"}, "spike_reset"),
        ({}, {"reset_delay": 1}, "reset_delay"),
        ({}, {"fires_on": "old"}, "fires_on"),
        ({}, {"spikes_per_step": "many"}, "spikes_per_step"),
        ({}, {"v_min": "-threshold"}, "v_min"),
        ({}, {"start_state": 2.0}, "start_state"),
        ({"v_reset": 1.0}, {}, "v_reset"),
        ({"v_threshold": [6.0, 0.0]}, {}, "v_threshold"),
        ({"v_threshold": [6.0, np.inf]}, {}, "values"),
        ({"r": [1.0, 2.0]}, {"gain": "r"}, "r"),
        ({"r": 0.0}, {"gain": "r"}, "r"),
    ],
)
def test_neurons_that_are_refused(values: dict[str, Any], semantics: dict[str, Any], field: str) -> None:
    assert refused(chain(dense("fc", EYE), cells("n", **values), **semantics)) == [("n", field)]


def test_a_reset_value_is_no_matter_where_the_threshold_is_subtracted() -> None:
    model = chain(dense("fc", EYE), cells("n", v_reset=1.0), spike_reset="subtract")
    assert hal.mapper("mychip").check(model).fits


@pytest.mark.parametrize(
    ("between", "reasons"),
    [
        ((dense("fc", EYE, [0.0, 1.0]),), [("fc", "bias")]),
        ((dense("fc", [[np.nan, 1.0], [0.0, 1.0]]),), [("fc", "values")]),
        ((dense("a", EYE), dense("b", EYE)), [("b", "type")]),
        ((nodes.Scale(name="s", input_shape=(2,), output_shape=(2,), scale=np.ones(2)),), [("s", "type")]),
        ((), [("n", "type")]),
    ],
)
def test_ways_that_are_refused(between: tuple[nodes.Node, ...], reasons: list[tuple[str, str]]) -> None:
    assert refused(chain(*between, cells("n"))) == reasons


def test_delays_of_connections() -> None:
    net = dense("fc", EYE), cells("n")
    assert refused(chain(*net, edge_delay=2)) == [("in", "edge_delay")]
    # nothing is fed back, so that its delay is no matter
    assert hal.mapper("mychip").check(chain(*net, feedback_delay=3)).fits
    model = chain(*net, feedback_delay=2)
    made = {**model.nodes, "back": dense("back", EYE)}
    looped = Model.of(made, [*model.edges, ("n", "back"), ("back", "n")], model.semantics)
    assert refused(looped) == [("n", "feedback_delay")]


def test_ways_to_an_output_that_are_refused() -> None:
    wide = (2, 1, 1)
    pool = nodes.SumPool2d(
        name="pool", input_shape=wide, output_shape=wide, kernel_size=(1, 1), stride=(1, 1), padding=(0, 0)
    )
    neurons = attrs.evolve(cells("n"), input_shape=wide, output_shape=wide)
    flat = nodes.Flatten(name="flat", input_shape=(2,), output_shape=(2,), start_dim=0, end_dim=-1)
    shaped = attrs.evolve(flat, name="shape", input_shape=wide, output_shape=(2,))
    conv = nodes.Conv2d(
        name="conv",
        input_shape=wide,
        output_shape=wide,
        weight=EYE[:, :, None, None],
        bias=np.zeros(2),
        stride=(1, 1),
        padding=((0, 0), (0, 0)),
        dilation=(1, 1),
        groups=1,
    )
    assert refused(chain(conv, neurons, pool)) == [("pool", "type")]
    assert hal.mapper("mychip").check(chain(conv, neurons, shaped)).fits
    assert refused(chain(conv, neurons, shaped, flatten_order="HWC")) == [("shape", "type")]
    model = chain(dense("fc", EYE), cells("n"))
    assert refused(Model.of(model.nodes, [*model.edges, ("in", "out")], model.semantics)) == [("out", "input")]


def test_weights_that_lead_to_two_populations() -> None:
    model = chain(dense("fc", EYE), cells("n"))
    made = {**model.nodes, "m": cells("m")}
    both = Model.of(made, [*model.edges, ("fc", "m"), ("m", "out")], model.semantics)
    assert refused(both) == [("fc", "weight")]


def test_rates_that_were_not_given_are_said() -> None:
    report = hal.mapper("mychip").check(chain(dense("fc", EYE), cells("n")), rates_hz={"n": 10.0})
    assert [(f.node, f.level) for f in report.findings] == [("in", "note")]
    assert report.fits


def test_unmapped_without_a_step() -> None:
    model = chain(dense("fc", EYE), cells("n"))
    assert refused(model.with_semantics(Semantics(gain="one"))) == [("", "dt_ns")]


# --- registers --------------------------------------------------------------------------------------------------------


def registers() -> Any:
    return hal.mapper("mychip").map(chain(dense("a", EYE), cells("n"), dense("b", EYE), cells("m"))).config


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"target": [0, 1, 2, 9]}, "no such neuron in populations"),
        ({"target": [0, 1, 2, 0], "late": [0, 0, 0, 0]}, "or its own, is late"),
        ({"first": [0, 1, 2, 3, 4, 4, 5]}, "rises from 0"),
        ({"first": [0, 1, 2, 3, 2, 4, 4]}, "rises from 0"),
        ({"first": [1, 1, 2, 3, 4, 4, 4]}, "rises from 0"),
        ({"first": [0, 1, 2, 3, 4]}, "wrong length"),
        ({"threshold": [6]}, "wrong length"),
        ({"decrement": [6]}, "wrong length"),
        ({"late": [0]}, "wrong length"),
        ({"weight": [0]}, "wrong length"),
    ],
)
def test_registers_that_contradict_each_other(change: dict[str, Any], says: str) -> None:
    assert hal.mapper("mychip").adopt(registers())
    with pytest.raises(ConfigError, match=says):
        hal.mapper("mychip").adopt(attrs.evolve(registers(), **change))


def test_registers_for_a_larger_chip() -> None:
    from hal_mychip import config

    blocks = (config.Block(name="x", shape=(2000,)),)
    many = np.zeros(config.SYNAPSES + 1, int)
    large = config.MychipConfig(
        step_ns=MS, inputs=blocks, populations=blocks, threshold=np.ones(2000), decrement=np.zeros(2000),
        first=[0] * 4000 + [many.size], target=many, weight=many, late=many + 1,
    )  # fmt: skip
    with pytest.raises(ConfigError) as error:
        hal.mapper("mychip").adopt(large)
    assert [problem.where for problem in error.value.problems] == ["inputs", "populations", "target"]


def test_edited_registers_keep_blocks_and_step() -> None:
    mapping = hal.mapper("mychip").map(chain(dense("a", EYE), cells("n")))
    edited = mapping.with_config(attrs.evolve(mapping.config, weight=-mapping.config.weight))
    assert edited.config.weight.tolist() == (-mapping.config.weight).tolist()
    with pytest.raises(DoesNotFitError, match="edited registers keep it"):
        mapping.with_config(attrs.evolve(mapping.config, step_ns=2 * MS))


# --- what it answers --------------------------------------------------------------------------------------------------


def graph(rng: np.random.Generator, **semantics: Any) -> Model:
    """Two Inputs, three populations, a merge, a fan-out and a loop, with random weights."""
    size = 5

    def weight(name: str) -> nodes.Node:
        return dense(name, rng.normal(0.5, 2.0, (size, size)))

    ends: list[nodes.Node] = [nodes.Input(name=n, input_shape=(size,), output_shape=(size,)) for n in ("i", "j")]
    ends += [nodes.Output(name=n, input_shape=(size,), output_shape=(size,)) for n in ("o", "p")]
    names = ("i.a", "j.b", "a.b", "a.c", "b.c", "c.b")
    made = {node.name: node for node in (*ends, *map(weight, names), *(cells(n, size) for n in "abc"))}
    edges = [edge for name in names for edge in ((name[0], name), (name, name[2]))]
    return Model.of(made, [*edges, ("a", "o"), ("c", "o"), ("b", "p")], Semantics.from_json({**RULES, **semantics}))


@pytest.mark.parametrize("edge_delay", [0, 1])
@pytest.mark.parametrize("reset", ["value", "subtract"])
@pytest.mark.parametrize("compare", [">", ">="])
def test_it_answers_as_the_reference_on_the_realised_numbers(edge_delay: int, reset: str, compare: str) -> None:
    """Spike by spike: routing within a step and a step later, both resets, both comparisons, rounded weights."""
    rng = np.random.default_rng([edge_delay, reset == "value", compare == ">"])
    model = graph(rng, edge_delay=edge_delay, spike_reset=reset, compare=compare)
    mapping = hal.mapper("mychip").map(model, record=["a", "b", "c"])
    realised = mapping.realised_model()
    steps = 400
    stimulus = {
        name: hal.raster((rng.random((steps, 5)) < 0.3).astype(int) * rng.integers(1, 3, (steps, 5)), MS)
        for name in ("i", "j")
    }
    recordings = []
    for name, made in (("mychip", mapping), ("ideal", hal.mapper("ideal").map(realised, record=["a", "b", "c"]))):
        with hal.open(name) as device:
            device.load(made)
            recordings.append(device.run(stimulus, steps * MS))
    own, reference = recordings
    assert set(own.spikes) == set(reference.spikes) == {"a", "b", "c", "o", "p"}
    for key in own.spikes:
        assert own.spikes[key].size > 50
        assert np.array_equal(np.sort(own.spikes[key]), np.sort(reference.spikes[key])), key


def test_a_membrane_at_its_bound_is_counted() -> None:
    from hal_mychip.emulator import V_MAX

    mapping = hal.mapper("mychip").map(chain(dense("fc", -EYE), cells("n")), record=[hal.Probe("n", "v")])
    with hal.open("mychip") as chip:
        chip.load(mapping)
        chip._chip.v[:] = 10 - V_MAX  # type: ignore[attr-defined]
        recording = chip.run({"in": hal.events([0, MS], [0, 0])}, 2 * MS)
    assert recording.stats["saturated"].sum() == 2
    assert recording.traces["n", "v"].values.tolist() == [[-V_MAX, 10 - V_MAX]]


def test_what_is_under_way_is_pending_on_the_core_it_goes_to() -> None:
    mapping = hal.mapper("mychip").map(chain(dense("fc", np.ones((300, 1)) * 6), cells("n", 300), edge_delay=1))
    with hal.open("mychip") as chip:
        chip.load(mapping)
        recording = chip.run({"in": hal.events([0, 0], [0, 0])}, MS)
        assert recording.stats["pending"].tolist() == [512, 88, 0, 0]
        recording = chip.run({}, MS)
        assert (recording.event_count("out"), recording.stats["pending"].sum()) == (300, 0)
