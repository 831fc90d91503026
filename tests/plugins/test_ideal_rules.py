"""Each field of Semantics on the reference, by hand: one to three neurons, numbers that are exact in binary."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hal
from hal import nodes
from hal.errors import DoesNotFitError
from hal.model import Model
from hal.semantics import PROFILES, Semantics

STEP = 1000
BASE: dict[str, Any] = {"profile": "nir", "dt_ns": STEP, "tau_unit": "steps", "decay": "1-dt/tau", "gain": "one"}


def node(cls: Any, name: str, size: int = 1, **values: Any) -> Any:
    """Neurons; left out: tau 2, v_threshold 1, r and w_in 1, the rest 0."""
    usual = {"tau": 2, "tau_mem": 2, "tau_syn": 2, "r": 1, "w_in": 1, "v_threshold": 1, "threshold": 1}
    given_values = {
        key: np.broadcast_to(np.asarray(values.pop(key, usual.get(key, 0)), np.float64), (size,)).copy()
        for key in cls.parameters
    }
    assert not values
    return cls(name=name, input_shape=(size,), output_shape=(size,), **given_values)


def port(cls: Any, name: str, *shape: int) -> Any:
    return cls(name=name, input_shape=shape, output_shape=shape)


def affine(name: str, weight: Any, bias: Any = None) -> Any:
    w = np.asarray(weight, np.float64)
    shapes: dict[str, Any] = {"input_shape": (w.shape[1],), "output_shape": (w.shape[0],)}
    if bias is None:
        return nodes.Linear(name=name, weight=w, **shapes)
    return nodes.Affine(name=name, weight=w, bias=np.asarray(bias, np.float64), **shapes)


def delay(name: str, *values: float) -> Any:
    shape = (len(values),)
    return nodes.Delay(name=name, input_shape=shape, output_shape=shape, delay=np.asarray(values, np.float64))


def model(parts: list[Any], edges: list[tuple[str, str]], **semantics: Any) -> Model:
    return Model.of({p.name: p for p in parts}, edges, Semantics(**({"dtype": "float64"} | BASE | semantics)))


def chain(*parts: Any, **semantics: Any) -> Model:
    return model([*parts], [(a.name, b.name) for a, b in itertools.pairwise(parts)], **semantics)


def run(graph: Model, stimulus: Any, steps: int, record: Any = ()) -> Any:
    mapping = hal.mapper("ideal").map(graph, record=record)
    with hal.open("ideal") as chip:
        chip.load(mapping)
        return chip.run(stimulus, steps * STEP)


def alone(neuron: Any, drive: list[float], **semantics: Any) -> tuple[list[int], list[float]]:
    """Spikes and membrane of one neuron per step, for analog drive."""
    graph = chain(
        port(nodes.Input, "input", 1), neuron, port(nodes.Output, "output", 1), signals={"input"}, **semantics
    )
    record = [hal.Probe(neuron.name, "v", None, STEP)] if "v_threshold" in neuron.parameters else []
    recording = run(graph, {"input": np.array(drive)[:, None]}, len(drive), record)
    if neuron.spiking:
        counts = recording.raster("output")[:, 0].tolist()
        return counts, recording.traces[neuron.name, "v"].values[:, 0].tolist() if record else []
    return [], recording.signals["output"].values[:, 0].tolist()


def lif(**values: Any) -> Any:
    return node(nodes.LIF, "n", **values)


def steps_of(recording: Any, name: str) -> list[tuple[int, int]]:
    return [(int(t) // STEP, int(i)) for t, i in recording.spikes[name].tolist()]


def kick(*rows: tuple[int, int]) -> dict[str, Any]:
    return {"input": hal.events([t * STEP for t, _ in rows], [i for _, i in rows])}


# --- spike_reset, reset_delay ----------------------------------------------------------------------------------------

DRIVE = [1.5, 0.5, 0.0, 2.0, 0.0]


@pytest.mark.parametrize(
    ("reset", "late", "many", "spikes", "v"),
    [
        ("value", 0, False, [1, 0, 0, 1, 0], [-0.25, 0.375, 0.1875, -0.25, -0.125]),
        ("subtract", 0, False, [1, 0, 0, 1, 0], [0.5, 0.75, 0.375, 1.1875, 0.59375]),
        ("subtract_n", 0, False, [1, 0, 0, 1, 0], [0.5, 0.75, 0.375, 1.1875, 0.59375]),
        ("discard_update", 0, False, [1, 0, 0, 1, 0], [-0.25, 0.375, 0.1875, -0.25, -0.125]),
        ("value", 1, False, [1, 0, 0, 1, 0], [1.5, 0.375, 0.1875, 2.09375, -0.125]),
        ("subtract", 1, False, [1, 0, 0, 1, 0], [1.5, 0.25, 0.125, 2.0625, 0.03125]),
        ("subtract_n", 1, False, [1, 0, 0, 1, 0], [1.5, 0.25, 0.125, 2.0625, 0.03125]),
        ("discard_update", 1, False, [1, 0, 0, 1, 0], [1.5, -0.25, -0.125, 1.9375, -0.25]),
        ("value", 0, True, [1, 0, 0, 2, 0], [-0.25, 0.375, 0.1875, -0.25, -0.125]),
        ("subtract", 0, True, [1, 0, 0, 2, 0], [0.5, 0.75, 0.375, 1.1875, 0.59375]),
        ("subtract_n", 0, True, [1, 0, 0, 2, 0], [0.5, 0.75, 0.375, 0.1875, 0.09375]),
        ("subtract_n", 1, True, [1, 0, 0, 2, 0], [1.5, 0.25, 0.125, 2.0625, -0.96875]),
    ],
)
def test_resets(reset: str, late: int, many: bool, spikes: list[int], v: list[float]) -> None:
    words = {"spike_reset": reset, "reset_delay": late, "spikes_per_step": "many" if many else "one"}
    assert alone(lif(v_reset=-0.25), DRIVE, **words) == (spikes, v)


# --- compare, fires_on, spikes_per_step ------------------------------------------------------------------------------


@pytest.mark.parametrize(("compare", "fires"), [(">", 0), (">=", 1)])
@pytest.mark.parametrize("cls", [nodes.IF, nodes.LIF, nodes.CubaLIF, nodes.Threshold])
def test_equality_fires_or_does_not(cls: Any, compare: str, fires: int) -> None:
    assert alone(node(cls, "n"), [1.0], compare=compare)[0] == [fires]
    assert alone(node(cls, "n"), [1.0 + 2**-20], compare=compare)[0] == [1]
    assert alone(node(cls, "n"), [1.0 - 2**-20], compare=compare)[0] == [0]


@pytest.mark.parametrize(
    ("reset", "v"),
    [("subtract", [1.5, -0.25, -0.125, 1.9375, -0.03125]), ("value", [1.5, -0.25, -0.125, 1.9375, -0.25])],
)
def test_firing_on_the_old_state_is_one_step_late(reset: str, v: list[float]) -> None:
    drive = [1.5, 0.0, 0.0, 2.0, 0.0]
    assert alone(lif(v_reset=-0.25), drive, fires_on="old", spike_reset=reset) == ([0, 1, 0, 0, 1], v)


def test_many_spikes_are_the_whole_thresholds_in_the_membrane() -> None:
    words = {"spikes_per_step": "many", "spike_reset": "subtract_n", "compare": ">="}
    spikes, v = alone(node(nodes.IF, "n", v_threshold=0.75), [2.0, 0.25, -5.0, 5.5, 0.0], **words)
    assert spikes == [2, 1, 0, 0, 0]
    assert v == [0.5, 0.0, -5.0, 0.5, 0.5]
    assert alone(node(nodes.IF, "n"), [3.0], **words) == ([3], [0.0])
    assert alone(node(nodes.IF, "n"), [-3.0], **words) == ([0], [-3.0])


def test_many_spikes_are_many_events_and_add_up_downstream() -> None:
    parts = [
        port(nodes.Input, "input", 1),
        node(nodes.IF, "a"),
        affine("w", [[0.5]]),
        node(nodes.IF, "b", v_threshold=9),
    ]
    words = {"spikes_per_step": "many", "spike_reset": "subtract_n", "compare": ">="}
    graph = chain(*parts, port(nodes.Output, "output", 1), **words)
    recording = run(graph, kick((0, 0), (0, 0), (0, 0), (1, 0)), 2, ["a", hal.Probe("b", "v", None, STEP)])
    assert recording.spikes["a"].tolist() == [(0, 0), (0, 0), (0, 0), (STEP, 0)]
    assert recording.traces["b", "v"].values[:, 0].tolist() == [1.5, 2.0]


# --- v_min, start_state ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("v_min", "v"), [(None, [-5.0, -4.0]), (-2.0, [-2.0, -1.0]), ("-threshold", [-1.5, -0.5])])
def test_the_lower_bound(v_min: Any, v: list[float]) -> None:
    assert alone(node(nodes.IF, "n", v_threshold=1.5), [-5.0, 1.0], v_min=v_min)[1] == v


def test_the_lower_bound_comes_after_the_reset() -> None:
    assert alone(node(nodes.IF, "n", v_reset=-3), [2.0, 0.0], v_min=-2.0)[1] == [-2.0, -2.0]
    late = {"spike_reset": "subtract", "reset_delay": 1, "v_min": -0.25}
    assert alone(node(nodes.IF, "n"), [1.5, -1.0], **late)[1] == [1.5, -0.25]


def test_a_lower_bound_in_thresholds_is_for_spiking_nodes() -> None:
    assert alone(node(nodes.I, "n"), [-5.0], v_min="-threshold")[1] == [-5.0]


@pytest.mark.parametrize(("start", "v"), [(0.0, 0.0), (0.5, 0.25), ("v_reset", -0.25), ("v_leak", 0.5)])
def test_the_start_state(start: Any, v: float) -> None:
    leak = 0.5 if start == "v_leak" else 0.0
    assert alone(lif(v_reset=-0.5, v_leak=leak), [0.0], start_state=start)[1] == [v]


def test_the_start_state_comes_back_with_a_reset() -> None:
    graph = chain(port(nodes.Input, "input", 1), node(nodes.IF, "n"), port(nodes.Output, "output", 1), start_state=1.5)
    with hal.open("ideal") as chip:
        chip.load(hal.mapper("ideal").map(graph))
        first = chip.run({}, STEP).spikes["output"].tolist()
        silent = chip.run({}, STEP).spikes["output"].tolist()
        chip.reset()
        again = chip.run({}, STEP).spikes["output"].tolist()
    assert (first, silent, again) == ([(0, 0)], [], [(0, 0)])


# --- decay, tau_unit, gain -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("unit", "tau"), [("s", 2e-6), ("ms", 2e-3), ("steps", 2.0), ("s*dt", 2e-12)])
def test_units_of_time_constants(unit: str, tau: float) -> None:
    assert alone(lif(tau=tau, v_threshold=9), [1.0, 0.0], tau_unit=unit)[1] == pytest.approx([1.0, 0.5], rel=1e-12)


@pytest.mark.parametrize(("decay", "a"), [("exp", math.exp(-0.25)), ("1-dt/tau", 0.75), ("euler", 0.75)])
def test_decays_towards_the_leak(decay: str, a: float) -> None:
    v = alone(lif(tau=4, v_leak=2, v_threshold=9), [1.0, 0.0], decay=decay)[1]
    first = (1 - a) * 2 + 1.0
    assert v == pytest.approx([first, a * first + (1 - a) * 2], rel=1e-15)


@pytest.mark.parametrize(
    ("gain", "factor"),
    [("one", 1.0), ("r", 3.0), ("r*dt", 3.0), ("r*dt/tau", 0.75), ("1-decay", 0.25)],
)
def test_gains_of_a_leaky_neuron(gain: str, factor: float) -> None:
    assert alone(lif(tau=4, r=3, v_threshold=9), [2.0], gain=gain)[1] == [2 * factor]


@pytest.mark.parametrize(("unit", "dt"), [("s", 1e-6), ("ms", 1e-3), ("steps", 1.0), ("s*dt", 1e-6)])
@pytest.mark.parametrize("gain", ["r*dt", "r*dt/tau"])
def test_without_a_leak_a_gain_of_dt_is_the_step_in_the_files_unit(unit: str, dt: float, gain: str) -> None:
    v = alone(node(nodes.IF, "n", r=3, v_threshold=9), [2.0], tau_unit=unit, gain=gain)[1]
    assert v == pytest.approx([6 * dt], rel=1e-12)


@pytest.mark.parametrize(("gain", "factor"), [("one", 1.0), ("r", 3.0), ("1-decay", 1.0)])
def test_other_gains_without_a_leak(gain: str, factor: float) -> None:
    assert alone(node(nodes.IF, "n", r=3, v_threshold=99), [2.0], gain=gain)[1] == [2 * factor]


def test_the_gain_of_the_equation_in_seconds() -> None:
    """A golden `dt_s: null` is dt_ns = 1e9: dt is 1 s in the equation."""
    graph = chain(
        port(nodes.Input, "input", 1), node(nodes.IF, "n", r=3, v_threshold=9), port(nodes.Output, "output", 1),
        dt_ns=10**9, gain="r*dt", tau_unit="s",
    )  # fmt: skip
    with hal.open("ideal") as chip:
        chip.load(hal.mapper("ideal").map(graph, record=[hal.Probe("n", "v")]))
        recording = chip.run({"input": hal.events([5], [0])}, 10**9)
    trace = recording.traces["n", "v"]
    assert (trace.t.tolist(), trace.values.tolist()) == ([10**9 - 1], [[3.0]])


# --- synaptic current ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jump", "sees", "v", "i"),
    [
        ("after", "decayed", [1.0, 1.0, 0.75], [1.0, 0.5, 0.25]),
        ("after", "undecayed", [0.0, 1.0, 1.0], [1.0, 0.5, 0.25]),
        ("before", "decayed", [0.5, 0.5, 0.375], [0.5, 0.25, 0.125]),
        ("before", "undecayed", [1.0, 1.0, 0.75], [0.5, 0.25, 0.125]),
    ],
)
def test_when_input_jumps_and_what_the_membrane_sees(jump: str, sees: str, v: list[float], i: list[float]) -> None:
    neuron = node(nodes.CubaLIF, "n", v_threshold=9)
    graph = chain(port(nodes.Input, "input", 1), neuron, port(nodes.Output, "output", 1), jump=jump, membrane_sees=sees)
    probes = [hal.Probe("n", "v", None, STEP), hal.Probe("n", "i", None, STEP)]
    recording = run(graph, kick((0, 0)), 3, probes)
    assert recording.traces["n", "v"].values[:, 0].tolist() == v
    assert recording.traces["n", "i"].values[:, 0].tolist() == i


def test_the_same_current_under_a_non_spiking_neuron() -> None:
    assert alone(node(nodes.CubaLI, "n"), [1.0, 0.0, 0.0])[1] == [1.0, 1.0, 0.75]


@pytest.mark.parametrize(
    ("current_gain", "factor"),
    [("one", 1.0), ("r", 3.0), ("r*dt", 3.0), ("r*dt/tau", 0.75), ("1-decay", 0.25)],
)
def test_gains_of_the_current(current_gain: str, factor: float) -> None:
    neuron = node(nodes.CubaLI, "n", w_in=3, tau_syn=4)
    assert alone(neuron, [2.0], current_gain=current_gain)[1] == [2 * factor]


def test_gains_of_both_stages() -> None:
    neuron = node(nodes.CubaLI, "n", w_in=3, r=5, tau_syn=4)
    assert alone(neuron, [1.0], gain="r")[1] == [15.0]
    assert alone(neuron, [1.0], gain="r", current_gain="one")[1] == [5.0]


# --- delays of connections -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("edge", [0, 1, 3])
def test_every_connection_between_populations_takes_edge_delay(edge: int) -> None:
    parts = [port(nodes.Input, "input", 1), affine("w", [[2.0]]), node(nodes.IF, "a"), affine("u", [[2.0]])]
    graph = chain(*parts, node(nodes.IF, "b"), port(nodes.Output, "output", 1), edge_delay=edge)
    recording = run(graph, kick((0, 0)), 8, ["a"])
    assert steps_of(recording, "a") == [(edge, 0)]
    assert steps_of(recording, "output") == [(2 * edge, 0)]


@pytest.mark.parametrize("feedback", [1, 2, 3])
def test_a_projection_in_a_cycle_takes_feedback_delay(feedback: int) -> None:
    parts = [port(nodes.Input, "input", 1), affine("w", [[2.0]]), node(nodes.IF, "a"), affine("back", [[2.0]])]
    edges = [("input", "w"), ("w", "a"), ("a", "back"), ("back", "a"), ("a", "output")]
    graph = model([*parts, port(nodes.Output, "output", 1)], edges, feedback_delay=feedback)
    assert steps_of(run(graph, kick((0, 0)), 7), "output") == [(k, 0) for k in range(0, 7, feedback)]


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("z", "b"), ("b", "a")])
def test_in_a_cycle_every_projection_takes_a_step_whatever_the_names(first: str, second: str) -> None:
    parts = [
        port(nodes.Input, "input", 1),
        affine("w", [[2.0]]),
        node(nodes.IF, first),
        affine("there", [[2.0]]),
        node(nodes.IF, second),
        affine("back", [[2.0]]),
        affine("on", [[2.0]]),
        node(nodes.IF, "outside"),
        port(nodes.Output, "output", 1),
    ]
    edges = [("input", "w"), ("w", first), (first, "there"), ("there", second), (second, "back"), ("back", first)]
    edges += [(second, "on"), ("on", "outside"), ("outside", "output")]
    for order in (edges, edges[::-1]):
        recording = run(model(parts, order), kick((0, 0)), 6, [first, second])
        assert steps_of(recording, first) == [(0, 0), (2, 0), (4, 0)]
        assert steps_of(recording, second) == [(1, 0), (3, 0), (5, 0)]
        assert steps_of(recording, "output") == steps_of(recording, second)


@pytest.mark.parametrize(("unit", "factor"), [("steps", 1.0), ("s", 1e-6), ("ms", 1e-3)])
def test_delay_nodes(unit: str, factor: float) -> None:
    line = delay("late", *(np.array([0.0, 1.0, 3.0]) * factor))
    graph = chain(
        port(nodes.Input, "input", 3), line, node(nodes.IF, "a", 3, v_threshold=0.5), port(nodes.Output, "output", 3),
        tau_unit=unit,
    )  # fmt: skip
    recording = run(graph, kick((0, 0), (0, 1), (0, 2), (1, 0)), 5)
    assert steps_of(recording, "output") == [(0, 0), (1, 0), (1, 1), (3, 2)]


def test_delays_in_series_add_up() -> None:
    parts = [port(nodes.Input, "input", 1), delay("one", 2.0), affine("w", [[2.0]]), delay("two", 3.0)]
    graph = chain(*parts, node(nodes.IF, "a"), port(nodes.Output, "output", 1), edge_delay=1)
    assert steps_of(run(graph, kick((0, 0)), 8), "output") == [(6, 0)]


@pytest.mark.parametrize("length", [1, 2])
def test_a_loop_closed_through_a_delay_takes_the_feedback_step_and_the_delay(length: int) -> None:
    parts = [port(nodes.Input, "input", 1), affine("w", [[2.0]]), node(nodes.IF, "a"), affine("back", [[2.0]])]
    parts += [delay("late", length), port(nodes.Output, "output", 1)]
    edges = [("input", "w"), ("w", "a"), ("a", "late"), ("late", "back"), ("back", "a"), ("a", "output")]
    recording = run(model(parts, edges), kick((0, 0)), 8)
    assert steps_of(recording, "output") == [(k, 0) for k in range(0, 8, length + 1)]


def test_a_loop_of_a_delay_without_neurons_is_refused_with_the_loop_or_runs_as_written() -> None:
    """y(t) = x(t) + y(t - 2 steps) / 2: no projection between populations can say that."""
    parts = [port(nodes.Input, "input", 1), affine("sum", [[1.0]]), delay("late", 2.0), affine("half", [[0.5]])]
    parts += [node(nodes.I, "out"), port(nodes.Output, "output", 1)]
    edges = [("input", "sum"), ("sum", "late"), ("late", "half"), ("half", "sum"), ("sum", "out"), ("out", "output")]
    report = hal.mapper("ideal").check(model(parts, edges))
    if report.fits:
        values = run(model(parts, edges), kick((0, 0)), 5).signals["output"].values[:, 0]
        assert np.diff(values, prepend=0).tolist() == [1.0, 0.0, 0.5, 0.0, 0.25]
    else:
        assert "late" in str(report)


def test_delays_that_are_no_steps_are_refused_or_rounded_by_request() -> None:
    graph = chain(
        port(nodes.Input, "input", 1), delay("late", 1.75), node(nodes.IF, "a", v_threshold=0.5),
        port(nodes.Output, "output", 1),
    )  # fmt: skip
    with pytest.raises(DoesNotFitError, match="late") as caught:
        hal.mapper("ideal").map(graph)
    assert "approximate" in str(caught.value)
    mapping = hal.mapper("ideal").map(graph, {"approximate": {"delays"}})
    (changed,) = mapping.fit.changed
    assert (changed.node, changed.wanted, changed.realised) == ("late", 1.75, 2.0)
    assert mapping.realised["late", "delay"].tolist() == [2.0]
    with hal.open("ideal") as chip:
        chip.load(mapping)
        assert chip.run(kick((0, 0)), 4 * STEP).spikes["output"].tolist() == [(2 * STEP, 0)]


# --- bias, flatten, sums ---------------------------------------------------------------------------------------------


def test_a_bias_acts_once_per_step_from_step_0_with_and_without_spikes() -> None:
    graph = chain(
        port(nodes.Input, "input", 1), affine("w", [[1.0]], [0.5]), node(nodes.IF, "a", v_threshold=99),
        port(nodes.Output, "output", 1),
    )  # fmt: skip
    recording = run(graph, kick((1, 0), (1, 0)), 4, [hal.Probe("a", "v", None, STEP)])
    assert recording.traces["a", "v"].values[:, 0].tolist() == [0.5, 3.0, 3.5, 4.0]


@pytest.mark.parametrize("feedback", [1, 3])
def test_a_bias_on_a_feedback_path_acts_from_step_0(feedback: int) -> None:
    parts = [port(nodes.Input, "input", 1), node(nodes.IF, "a", v_threshold=99), affine("back", [[1.0]], [0.5])]
    edges = [("input", "a"), ("a", "back"), ("back", "a"), ("a", "output")]
    graph = model([*parts, port(nodes.Output, "output", 1)], edges, feedback_delay=feedback)
    recording = run(graph, {}, 4, [hal.Probe("a", "v", None, STEP)])
    assert recording.traces["a", "v"].values[:, 0].tolist() == [0.5, 1.0, 1.5, 2.0]


def test_a_bias_behind_edge_delays_acts_from_step_0() -> None:
    graph = chain(
        port(nodes.Input, "input", 1), affine("w", [[1.0]], [0.5]), node(nodes.IF, "a", v_threshold=99),
        port(nodes.Output, "output", 1), edge_delay=2,
    )  # fmt: skip
    recording = run(graph, kick((0, 0)), 3, [hal.Probe("a", "v", None, STEP)])
    assert recording.traces["a", "v"].values[:, 0].tolist() == [0.5, 1.0, 2.5]


def test_a_bias_per_tick_is_not_executed_per_step_in_silence() -> None:
    parts = [port(nodes.Input, "input", 1), affine("w", [[1.0]], [0.5]), node(nodes.IF, "a")]
    report = hal.mapper("ideal").check(chain(*parts, port(nodes.Output, "output", 1), bias_meaning="per_tick"))
    assert any("bias" in f"{f.field} {f.reason}" for f in report.findings if f.level != "note")
    parts[1] = affine("w", [[1.0]], [0.0])
    assert hal.mapper("ideal").check(chain(*parts, port(nodes.Output, "output", 1), bias_meaning="per_tick")).fits


@pytest.mark.parametrize(("order", "expected"), [("CHW", [0, 1, 2, 3, 4, 5]), ("HWC", [0, 2, 4, 1, 3, 5])])
def test_flatten_order(order: str, expected: list[int]) -> None:
    flat = nodes.Flatten(name="flat", input_shape=(2, 1, 3), output_shape=(6,), start_dim=0, end_dim=-1)
    parts = [port(nodes.Input, "input", 2, 1, 3), flat, node(nodes.IF, "a", 6, v_threshold=0.5)]
    graph = chain(*parts, port(nodes.Output, "output", 6), flatten_order=order)
    recording = run(graph, kick(*((k, k) for k in range(6))), 6)
    assert [i for _, i in steps_of(recording, "output")] == expected


def test_sums_run_by_source_population_not_by_the_names_on_the_path() -> None:
    """1e8 - 1e8 + 1 in float32 is 1 in this order and 0 in the order of the weights' names."""
    parts = [port(nodes.Input, name, 1) for name in "abc"]
    parts += [affine("w3", [[1e8]]), affine("w1", [[-1e8]]), affine("w2", [[1.0]])]
    parts += [node(nodes.IF, "n", v_threshold=0.5), port(nodes.Output, "output", 1)]
    edges = [("a", "w3"), ("b", "w1"), ("c", "w2"), ("w3", "n"), ("w1", "n"), ("w2", "n"), ("n", "output")]
    one = hal.events([0], [0])
    graph = model(parts, edges, dtype="float32")
    assert run(graph, {"a": one, "b": one, "c": one}, 1).spikes["output"].tolist() == [(0, 0)]


def test_within_a_projection_sums_run_by_source_index() -> None:
    parts = [port(nodes.Input, "input", 3), affine("w", [[1e8, -1e8, 1.0], [1e8, 1.0, -1e8]])]
    graph = chain(*parts, node(nodes.IF, "n", 2, v_threshold=0.5), port(nodes.Output, "output", 2), dtype="float32")
    assert steps_of(run(graph, kick((0, 0), (0, 1), (0, 2)), 1), "output") == [(0, 0)]


def test_a_network_that_runs_away_is_stopped_by_name_and_values_are_not_taken_for_spikes() -> None:
    words = {"spikes_per_step": "many", "spike_reset": "subtract_n", "compare": ">="}
    parts = [
        port(nodes.Input, "input", 1),
        node(nodes.IF, "a"),
        affine("back", [[4.0]]),
        port(nodes.Output, "output", 1),
    ]
    edges = [("input", "a"), ("a", "back"), ("back", "a"), ("a", "output")]
    with pytest.raises(hal.HalError, match="a gave more than") as caught:
        run(model(parts, edges, **words), kick((0, 0)), 200)
    assert "step" in str(caught.value)
    large = chain(
        port(nodes.Input, "input", 1), affine("w", [[1e9]]), node(nodes.LI, "n"), port(nodes.Output, "output", 1),
        **words,
    )  # fmt: skip
    assert run(large, kick((0, 0)), 1).signals["output"].values.tolist() == [[1e9]]


@pytest.mark.parametrize("workers", [1, 2])
def test_one_sample_that_runs_away_is_untrusted_and_stops_nothing(workers: int) -> None:
    words = {"spikes_per_step": "many", "spike_reset": "subtract_n", "compare": ">="}
    parts = [port(nodes.Input, "input", 2), affine("w", [[1.0, 0.5]]), node(nodes.IF, "a"), affine("back", [[4.0]])]
    edges = [("input", "w"), ("w", "a"), ("a", "back"), ("back", "a"), ("a", "output")]
    graph = model([*parts, port(nodes.Output, "output", 1)], edges, **words)
    samples = [hal.events([0], [1]), hal.events([0], [0]), hal.events([5 * STEP], [1])]
    with hal.open("ideal") as chip:
        chip.load(hal.mapper("ideal").map(graph))
        batch = chip.run_batch({"input": samples}, 200 * STEP, workers=workers)
    assert batch.status == ("ok", "untrusted", "ok")
    assert "runs away" in str(batch.diagnostics[1])


# --- inputs and outputs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_signal_out_has_a_row_per_step_in_the_semantics_dtype(dtype: str) -> None:
    graph = chain(
        port(nodes.Input, "input", 1), node(nodes.LI, "n", tau=3), port(nodes.Output, "output", 1), dtype=dtype
    )
    signal = run(graph, kick((0, 0)), 3).signals["output"]
    assert signal.t.tolist() == [0, STEP, 2 * STEP]
    assert signal.values.shape == (3, 1)
    assert signal.values.dtype == dtype
    a = np.dtype(dtype).type(1 - 1 / 3)
    assert signal.values[:, 0].tolist() == [1.0, a, a * a]


def test_a_signal_in_is_held_until_its_next_row() -> None:
    graph = chain(port(nodes.Input, "input", 1), node(nodes.I, "n"), port(nodes.Output, "output", 1), signals={"input"})
    stimulus = {"input": hal.Signal([STEP + 1, 3 * STEP], [[2.0], [-1.0]])}
    assert run(graph, stimulus, 5).signals["output"].values[:, 0].tolist() == [0.0, 0.0, 2.0, 1.0, 0.0]


def test_inputs_of_both_kinds_side_by_side() -> None:
    parts = [
        port(nodes.Input, "ev", 1),
        port(nodes.Input, "an", 1),
        node(nodes.I, "n"),
        port(nodes.Output, "output", 1),
    ]
    graph = model(parts, [("ev", "n"), ("an", "n"), ("n", "output")], signals={"an"})
    assert graph.inputs == ("an", "ev")
    stimulus = {"ev": hal.events([0, 0], [0, 0]), "an": np.array([[0.25], [0.5]])}
    assert run(graph, stimulus, 2).signals["output"].values[:, 0].tolist() == [2.25, 2.75]


@pytest.mark.parametrize("from_input", [False, True])
@pytest.mark.parametrize("weight", [0.5, -1.0, 2.0])
def test_spikes_behind_weights_are_values_and_so_a_signal(weight: float, from_input: bool) -> None:
    parts = [port(nodes.Input, "input", 1), node(nodes.IF, "a", v_threshold=0.5)][: 1 if from_input else 2]
    graph = chain(*parts, affine("w", [[weight]], [0.25]), port(nodes.Output, "output", 1))
    assert graph.kind("output") == "signal"
    recording = run(graph, kick((0, 0), (2, 0)), 3)
    assert recording.signals["output"].values[:, 0].tolist() == [weight + 0.25, 0.25, weight + 0.25]
    assert "output" not in recording.spikes


def test_spikes_behind_a_mean_are_a_signal_and_behind_a_sum_are_counts() -> None:
    shape = (1, 2, 2)
    neurons = nodes.IF(
        name="a", input_shape=shape, output_shape=shape, r=np.ones(shape), v_threshold=np.full(shape, 0.5),
        v_reset=np.zeros(shape),
    )  # fmt: skip
    recordings = {}
    for cls in (nodes.SumPool2d, nodes.AvgPool2d):
        pool = cls(
            name="pool", input_shape=shape, output_shape=(1, 1, 1), kernel_size=(2, 2), stride=(2, 2), padding=(0, 0)
        )
        graph = chain(port(nodes.Input, "input", *shape), neurons, pool, port(nodes.Output, "output", 1, 1, 1))
        recordings[cls] = run(graph, kick((0, 0), (0, 3), (1, 2)), 2)
    assert steps_of(recordings[nodes.SumPool2d], "output") == [(0, 0), (0, 0), (1, 0)]
    assert recordings[nodes.AvgPool2d].signals["output"].values[:, 0].tolist() == [0.5, 0.25]


# --- overrides and dtype ---------------------------------------------------------------------------------------------


def test_an_override_is_for_one_node() -> None:
    parts = [port(nodes.Input, "input", 1), node(nodes.IF, "a"), node(nodes.IF, "b"), port(nodes.Output, "output", 1)]
    for overrides, expected in (({}, []), ({"a": {"compare": ">="}}, [0]), ({"b": {"compare": ">="}}, [])):
        recording = run(chain(*parts, overrides=overrides), kick((0, 0)), 1, ["a"])
        assert [i for _, i in steps_of(recording, "a")] == expected


def test_arithmetic_of_two_kinds_is_said_or_refused() -> None:
    parts = [port(nodes.Input, "input", 1), node(nodes.IF, "a"), node(nodes.IF, "b"), port(nodes.Output, "output", 1)]
    graph = chain(*parts, dtype="float32", overrides={"a": {"dtype": "float64"}})
    report = hal.mapper("ideal").check(graph)
    assert any(finding.field == "dtype" for finding in report.findings)


# --- against the equations, and against itself -----------------------------------------------------------------------


def reference(rule: Any, neuron: Any, drive: list[float]) -> tuple[list[int], list[float]]:
    """One LIF or IF neuron by the words of Semantics, in Python."""
    leaky = isinstance(neuron, nodes.LIF)
    ratio = 1 / float(neuron.tau[0]) if leaky else 0.0
    theta, v_reset, r = (float(getattr(neuron, name)[0]) for name in ("v_threshold", "v_reset", "r"))
    leak = float(neuron.v_leak[0]) if leaky else 0.0
    factor = {"one": 1.0, "r": r, "r*dt": r, "r*dt/tau": r * (ratio if leaky else 1.0), "1-decay": ratio or 1.0}[
        rule.gain
    ]
    v = {"v_reset": v_reset, "v_leak": leak}.get(rule.start_state, rule.start_state)
    bound = {"-threshold": -theta, None: -math.inf}.get(rule.v_min, rule.v_min)
    last, spikes, trace = 0, [], []
    for x in drive:
        old = v
        due = last if rule.reset_delay else 0
        if due and rule.spike_reset == "value":
            old = v_reset
        new = old + ratio * (leak - old) + factor * x
        if due:
            new = {"subtract": new - theta, "subtract_n": new - due * theta, "discard_update": v_reset}.get(
                rule.spike_reset, new
            )
        tested = v if rule.fires_on == "old" else new
        n = 0
        while (tested - n * theta > theta) if rule.compare == ">" else (tested - n * theta >= theta):
            n += 1
        n = min(n, 1) if rule.spikes_per_step == "one" else n
        if n and not rule.reset_delay:
            new = {"subtract": new - theta, "subtract_n": new - n * theta}.get(rule.spike_reset, v_reset)
        v, last = max(new, bound), n
        spikes.append(n)
        trace.append(v)
    return spikes, trace


eighths = st.integers(-32, 32).map(lambda n: n / 8)


@settings(max_examples=300, deadline=None)
@given(
    words=st.fixed_dictionaries(
        {
            "decay": st.sampled_from(["euler", "1-dt/tau"]),
            "gain": st.sampled_from(["one", "r", "r*dt", "r*dt/tau", "1-decay"]),
            "spike_reset": st.sampled_from(["value", "subtract", "subtract_n", "discard_update"]),
            "reset_delay": st.sampled_from([0, 1]),
            "compare": st.sampled_from([">", ">="]),
            "fires_on": st.sampled_from(["new", "old"]),
            "spikes_per_step": st.sampled_from(["one", "many"]),
            "v_min": st.sampled_from([None, "-threshold", -0.5]),
            "start_state": st.sampled_from([0.0, 0.5, "v_reset", "v_leak"]),
        }
    ),
    leaky=st.booleans(),
    tau=st.sampled_from([1, 2, 4]),
    values=st.tuples(st.sampled_from([0.5, 1.0, 2.0]), eighths, st.sampled_from([1.0, 2.0, -1.0]), eighths),
    drive=st.lists(eighths, min_size=1, max_size=6),
)
def test_any_combination_of_words_is_what_the_words_say(
    words: dict[str, Any], leaky: bool, tau: int, values: tuple[float, ...], drive: list[float]
) -> None:
    theta, v_reset, r, leak = values
    common = {"v_threshold": theta, "v_reset": v_reset, "r": r}
    neuron = lif(tau=tau, v_leak=leak, **common) if leaky else node(nodes.IF, "n", **common)
    rule = Semantics(**(BASE | words)).rule(neuron)
    assert alone(neuron, drive, **words) == reference(rule, neuron, drive)


def mixing(rng: np.random.Generator, rows: int, columns: int, norm: float) -> np.ndarray:
    """Random weights of a given norm: loops of less than 1 keep neurons that fire many times from running away."""
    weights = rng.normal(size=(rows, columns))
    return norm * weights / np.linalg.norm(weights, 2)


def network(seed: int, profile: str, cls: Any, edge: int, feedback: int, steps: int) -> tuple[Model, np.ndarray]:
    """Two populations with random weights, a loop, a delay, a skip and a read-out; and a raster."""
    rng = np.random.default_rng(seed)
    # tau and delays of 4 and 0 to 3 steps in the unit of the profile
    tau = {"norse": 4e-12, "sinabs": 4.0, "spyx": 4.0, "jaxsnn": 4e-3}.get(profile, 4e-6)
    step = {"sinabs": 1.0, "spyx": 1.0, "jaxsnn": 1e-3}.get(profile, 1e-6)
    taus = {key: tau for key in cls.parameters if key.startswith("tau")}
    # where the equation has r * dt, weights of this size move an IF neuron
    scale = 1e6 if cls is nodes.IF and profile in ("nir", "norse", "spikingjelly") else 1.0
    # a neuron that fires many times amplifies by 1 / (1 - decay) per stage: less than 1 around the loop
    loop = {nodes.IF: 0.9, nodes.LIF: 0.2, nodes.CubaLIF: 0.04}[cls]
    parts = [
        port(nodes.Input, "input", 3),
        affine("w", mixing(rng, 4, 3, 3 * scale), scale * rng.normal(size=4) / 4),
        node(cls, "a", 4, **taus),
        affine("u", mixing(rng, 4, 4, loop * scale)),
        delay("late", *(step * rng.integers(0, 4, 4))),
        node(cls, "b", 4, **taus),
        affine("back", mixing(rng, 4, 4, loop * scale)),
        affine("skip", mixing(rng, 4, 3, 3 * scale)),
        affine("read", rng.normal(size=(2, 4))),
        node(nodes.LI, "li", 2, tau=tau),
        port(nodes.Output, "spikes", 4),
        port(nodes.Output, "values", 2),
    ]
    edges = [("input", "w"), ("w", "a"), ("a", "u"), ("u", "late"), ("late", "b"), ("b", "back"), ("back", "a")]
    edges += [("input", "skip"), ("skip", "b"), ("b", "spikes"), ("b", "read"), ("read", "li"), ("li", "values")]
    semantics = Semantics(profile=profile, dt_ns=STEP, edge_delay=edge, feedback_delay=feedback)
    graph = Model.of({p.name: p for p in parts}, edges, semantics)
    return graph, rng.integers(0, 2, (steps, 3))


networks = st.tuples(
    st.integers(0, 2**20),
    st.sampled_from(sorted(PROFILES)),
    st.sampled_from([nodes.IF, nodes.LIF, nodes.CubaLIF]),
    st.integers(0, 2),
    st.integers(1, 3),
    st.integers(1, 80),
)


@settings(max_examples=40, deadline=None)
@given(networks, st.data())
def test_short_runs_are_one_long_run(choice: Any, data: Any) -> None:
    graph, raster = network(*choice)
    steps = len(raster)
    cuts = sorted(data.draw(st.sets(st.integers(1, steps), max_size=4)) - {steps})
    mapping = hal.mapper("ideal").map(graph, record=["a"])
    with hal.open("ideal") as chip:
        chip.load(mapping)
        whole = chip.run({"input": raster}, steps * STEP)
        chip.reset()
        parts = [chip.run({"input": raster[i:j]}, (j - i) * STEP) for i, j in itertools.pairwise([0, *cuts, steps])]
    for name in ("spikes", "a"):
        found = [(int(t) + p.t0_ns, int(i)) for p in parts for t, i in p.spikes[name].tolist()]
        assert found == whole.spikes[name].tolist()
    values = np.concatenate([p.signals["values"].values for p in parts])
    assert values.tobytes() == whole.signals["values"].values.tobytes()
    for counter in ("synops", "events_in", "events_out"):
        assert sum(p.stats[counter].sum() for p in parts) == whole.stats[counter].sum()


@settings(max_examples=25, deadline=None)
@given(networks, st.integers(1, 5), st.sampled_from([1, 2, 3]), st.integers(0, 2**20))
def test_a_batch_is_the_loop(choice: Any, size: int, workers: int, seed: int) -> None:
    graph, raster = network(*choice)
    duration = len(raster) * STEP
    samples = list(np.random.default_rng(seed).integers(0, 2, (size, *raster.shape)))
    mapping = hal.mapper("ideal").map(graph, record=["a", "input"])
    with hal.open("ideal") as chip:
        chip.load(mapping)
        loop = []
        for sample in samples:
            chip.reset()
            loop.append(chip.run({"input": sample}, duration))
        after = chip.run({}, 2 * STEP)
        chip.reset(hal.Reset.LOADED)
        batch = chip.run_batch({"input": samples}, duration, workers=workers)
        again = chip.run({}, 2 * STEP)
    for b, one in enumerate(loop):
        for name, spikes in one.spikes.items():
            assert batch[b].spikes[name].tolist() == spikes.tolist()
        assert batch[b].signals["values"].values.tobytes() == one.signals["values"].values.tobytes()
        assert {k: v.tolist() for k, v in batch[b].stats.items()} == {k: v.tolist() for k, v in one.stats.items()}
        assert batch[b].header.run == one.header.run
    assert again.spikes["a"].tolist() == after.spikes["a"].tolist()
    assert again.signals["values"].values.tobytes() == after.signals["values"].values.tobytes()


@settings(max_examples=20, deadline=None)
@given(networks)
def test_the_order_in_the_file_changes_nothing(choice: Any) -> None:
    graph, raster = network(*choice)
    shuffled = Model.of(dict(reversed(list(graph.nodes.items()))), graph.edges[::-1], graph.semantics)
    one, other = (run(g, {"input": raster}, len(raster)) for g in (graph, shuffled))
    assert one.spikes["spikes"].tolist() == other.spikes["spikes"].tolist()
    assert one.signals["values"].values.tobytes() == other.signals["values"].values.tobytes()
