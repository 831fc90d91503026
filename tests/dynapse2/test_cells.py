"""A model's neurons as the chip has them: the same answer at the end of every step, and every word about the rest."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import hal
from hal import nodes
from hal.events import Probe
from hal.flowing import response
from hal.semantics import Semantics
from hal_dynapse2.cells import Reader
from hal_dynapse2.options import Dynapse2MapOptions

RULES = ("after decayed", "before decayed", "before undecayed", "after undecayed")
TAUS = st.floats(0.3, 80.0)


def _node(cls: Any = nodes.CubaLIF, **values: float) -> Any:
    usual = {"tau": 20e-3, "tau_mem": 20e-3, "tau_syn": 5e-3, "r": 1.0, "w_in": 1.0, "v_leak": 0.0, "v_reset": 0.0}
    usual |= {"v_threshold": 1.0} | values
    fields = {key: np.array([usual[key]]) for key in cls.parameters}
    return cls(name="n", input_shape=(1,), output_shape=(1,), **fields)


def _alpha(t: Any, made: Any) -> Any:
    """The membrane after an event at t = 0."""
    mem, syn = float(made.tau_mem[0]), float(made.tau_syn[0])
    if abs(mem - syn) < 1e-9 * mem:
        return made.area[0] * t * np.exp(-t / mem) / mem**2
    return made.area[0] / (mem - syn) * (np.exp(-t / mem) - np.exp(-t / syn))


def _steps(semantics: Semantics, node: Any, steps: int, x: Any) -> Any:
    """The model's own rule for x in each step."""
    rule = semantics.rule(node)
    dt = (semantics.dt_ns or 0) * 1e-9
    a, b = np.exp(-dt / node.tau_syn[0]), np.exp(-dt / node.tau_mem[0])
    i = v = 0.0
    out = []
    for k in range(steps):
        before = i + x[k] * node.w_in[0] if rule.jump == "before" else i
        i = a * before if rule.jump == "before" else a * i + x[k] * node.w_in[0]
        v = b * v + node.r[0] * (i if rule.membrane_sees == "decayed" else before)
        out.append(v)
    return np.array(out)


def _semantics(words: str, dt_ns: int) -> Semantics:
    jump, sees = words.split()
    more: dict[str, Any] = {"gain": "r", "current_gain": "r", "v_min": 0.0, "decay": "exp", "tau_unit": "s"}
    return Semantics(dt_ns=dt_ns, jump=jump, membrane_sees=sees, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("words", RULES)
@settings(deadline=None, max_examples=60)
@given(tau_mem=TAUS, tau_syn=TAUS, dt=st.floats(0.05, 3.0), r=st.floats(0.1, 10), w_in=st.floats(0.01, 5))
@example(tau_mem=10.0, tau_syn=10.0, dt=1.0, r=2.0, w_in=0.5)
@example(tau_mem=3.0, tau_syn=60.0, dt=1.0, r=1.0, w_in=1.0)
@example(tau_mem=68.0, tau_syn=68.125, dt=0.25, r=1.0, w_in=1.0)
def test_the_membrane_in_continuous_time_is_the_models_at_the_end_of_every_step(
    words: str, tau_mem: float, tau_syn: float, dt: float, r: float, w_in: float
) -> None:
    dt_ns = round(dt * 1e6)
    node = _node(tau_mem=tau_mem * 1e-3, tau_syn=tau_syn * 1e-3, r=r, w_in=w_in)
    semantics = _semantics(words, dt_ns)
    made = response(node, semantics, dt_ns, 2e-4)
    assert not made.jump
    late = 1 if words == "after undecayed" else 0
    wanted = _steps(semantics, node, 30, np.eye(1, 30)[0])[late:]
    got = _alpha(np.arange(1, wanted.size + 1) * dt_ns * 1e-9, made)
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-9 * np.abs(wanted).max())


@pytest.mark.parametrize("words", RULES)
def test_under_input_in_every_step_the_membrane_settles_where_the_models_does(words: str) -> None:
    semantics, node = _semantics(words, 1_000_000), _node(tau_mem=12e-3, tau_syn=7e-3, r=0.4, w_in=-1.5)
    wanted = _steps(semantics, node, 500, np.ones(500))[-1]
    assert response(node, semantics, 1_000_000, 2e-4).steady[0] == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("words", RULES)
def test_the_device_ideal_answers_as_the_rule_that_the_tests_hold_it_against(net: Any, chip: Any, words: str) -> None:
    semantics = _semantics(words, chip.step)
    fields = {name: getattr(semantics, name) for name in ("jump", "membrane_sees", "gain", "current_gain")}
    model = net.layer([[1.0]], semantics=fields, v_threshold=1e9).model
    mapping = hal.mapper("ideal").map(model, record=[Probe("n", "v", every_ns=chip.step)])
    trace = chip.run(mapping, {"in": hal.events([0], [0])}, 20 * chip.step, "ideal").traces["n", "v"]
    wanted = _steps(semantics, model.nodes["n"], 20, np.eye(1, 20)[0])
    np.testing.assert_allclose(np.ravel(trace.values), wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_without_steps_an_event_is_an_impulse_into_the_equations_of_nir(unit: str) -> None:
    scale = {"s": 1.0, "ms": 1e3}[unit]
    node = _node(tau_mem=20e-3 * scale, tau_syn=5e-3 * scale, r=2.0, w_in=3.0)
    made = response(node, Semantics(tau_unit=unit), None, 2e-4)  # type: ignore[arg-type]
    assert (made.tau_mem[0], made.tau_syn[0]) == pytest.approx((20e-3, 5e-3))
    # tau_syn i' = -i + w_in x, tau_mem v' = -v + r i, by small steps in the unit of the file
    dt, i, v = 1e-5 * scale, 3.0 / (5e-3 * scale), 0.0
    for _ in range(1000):
        i, v = i - dt / (5e-3 * scale) * i, v + dt / (20e-3 * scale) * (2.0 * i - v)
    assert _alpha(10e-3, made) == pytest.approx(v, rel=5e-3)
    assert made.steady[0] == pytest.approx(6.0)


@pytest.mark.parametrize("dt_ns", [None, 1_000_000])
def test_a_jump_becomes_a_short_current_that_lifts_the_membrane_as_high(dt_ns: int | None) -> None:
    more: dict[str, Any] = {} if dt_ns is None else {"gain": "r", "decay": "exp"}
    made = response(_node(nodes.LIF, r=0.7), Semantics(dt_ns=dt_ns, **more), dt_ns, 2e-4)
    t = np.linspace(0, 5e-3, 200_001)
    jump = 0.7 if dt_ns else 0.7 / 20e-3
    assert _alpha(t, made).max() == pytest.approx(jump, rel=1e-6)
    assert made.jump
    assert made.tau_syn[0] == 2e-4
    # of a membrane that is itself as fast, a quarter
    assert response(_node(nodes.LIF, tau=4e-4), Semantics(dt_ns=dt_ns, **more), dt_ns, 2e-4).tau_syn[0] == 1e-4


def test_a_current_that_lasts_for_one_step_is_a_jump() -> None:
    node = _node(tau_syn=1e-3)
    made = response(node, Semantics(dt_ns=1_000_000, decay="1-dt/tau", gain="r", current_gain="r"), 1_000_000, 2e-4)
    assert made.jump
    assert made.tau_syn[0] == 2e-4
    assert _alpha(np.linspace(0, 5e-3, 200_001), made).max() == pytest.approx(1.0, rel=1e-6)


# --- what is refused, with its words ----------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "subtract": ({"spike_reset": "subtract"}, {}, "spike_reset", "starts again from its lowest current"),
    "reset later": ({"reset_delay": 1}, {}, "reset_delay", "starts again"),
    "old state": ({"fires_on": "old"}, {}, "fires_on", "starts again"),
    "edge delay": ({"edge_delay": 1}, {}, "edge_delay", "events arrive at once"),
    "threshold 0": ({}, {"v_threshold": 0.0}, "v_threshold", "a neuron at rest would fire"),
    "threshold below": ({}, {"v_threshold": -1.0}, "v_threshold", "a neuron at rest would fire"),
    "leak below": ({}, {"v_leak": -0.5}, "v_leak", "a direct current only adds"),
    "bound above": ({"v_min": 0.5}, {}, "v_min", "within the bounds of v"),
    "start": ({"start_state": 0.5}, {}, "start_state", "starts at the value it resets to"),
    "start at the leak": ({"start_state": "v_leak"}, {"v_leak": 0.5}, "start_state", "starts at the value it resets"),
    "reset elsewhere": ({"v_min": -0.5}, {"v_reset": -0.5}, "v_reset", "starts at the value it resets to"),
    "no leak": ({}, {"tau_mem": np.inf}, "tau_mem", "every current of the chip leaks"),
    "no current": ({}, {"tau_syn": 0.0}, "synapse", "input arrives through a synaptic current"),
    "negative time": ({}, {"tau_mem": -1.0}, "tau_mem", "no time constant of the chip"),
    "NaN": ({}, {"r": np.nan}, "r", "not finite"),
    "Euler, too short": ({"decay": "1-dt/tau"}, {"tau_mem": 0.5e-3}, "tau_mem", "no time constant of the chip"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_chip_has_not_is_refused_by_node_field_and_reason(net: Any, chip: Any, case: str) -> None:
    semantics, values, field, words = REFUSED[case]
    found = chip.findings(net.layer([[1.0]], semantics=semantics, **values), "refused")
    assert [(f.node, f.field) for f in found] == [("n", field)]
    assert words in found[0].reason


@pytest.mark.parametrize("case", ["subtract", "reset later", "old state", "edge delay"])
def test_what_may_be_approximated_is_so_by_name_and_listed(net: Any, chip: Any, case: str) -> None:
    semantics, values, field, _ = REFUSED[case]
    made = net.layer([[1.0]], semantics=semantics, **values)
    word = "delays" if case == "edge delay" else "reset"
    assert f"approximate={{'{word}'}}" in chip.findings(made, "refused")[0].hint
    report = chip.check(made, approximate=[word])
    assert report.fits
    assert [(f.node, f.field) for f in report.changed] == [("n", field)]


def test_all_that_is_wrong_with_all_populations_is_said_at_once(net: Any, chip: Any) -> None:
    made = net(2).dense("fa", "in", np.ones((2, 2))).fire("a", "fa", v_threshold=-1.0, v_leak=-2.0)
    made.dense("fb", "a", [[np.nan, 1.0]]).fire("b", "fb", tau_syn=0.0).out("b")
    found = {(f.node, f.field) for f in chip.findings(made, "refused")}
    assert found == {("a", "v_threshold"), ("a", "v_leak"), ("fb", "weight")}


def test_every_number_that_is_not_finite_is_named_with_its_count(net: Any, chip: Any) -> None:
    found = chip.finding(net.layer([[np.nan, np.inf, 1.0]]), "refused", "fc", "weight")
    assert "(2)" in found.reason
    assert np.isnan(found.wanted)
    assert found.realised == "finite numbers"


def test_neurons_of_other_kinds_are_refused_by_their_word(net: Any, chip: Any) -> None:
    found = chip.findings(net.layer([[1.0]], kind=nodes.IF), "refused")
    assert any(f.node == "n" and "neuron.if" in f.field + f.reason for f in found)


def test_a_network_without_neurons_is_refused(net: Any, chip: Any) -> None:
    found = chip.findings(net(2).dense("fc", "in", [[1.0, 1.0]]).out("fc"), "refused")
    assert {"neurons", "input"} & {f.field for f in found}


def test_an_input_beside_neurons_on_an_output_is_refused(net: Any, chip: Any) -> None:
    made = net(1).dense("fc", "in", [[1.0]]).fire("n", "fc").out("n").link("in", "out")
    assert "no neurons between Input and Output" in chip.finding(made, "refused", "out", "input").reason


def test_what_stands_between_neurons_and_an_output_is_refused(net: Any) -> None:
    made = net(1).dense("fc", "in", [[1.0]]).fire("n", "fc").dense("end", "n", [[1.0]]).out("end")
    # the core leaves that to the host; what is left for the chip has no such part
    found = Reader(made.model, Dynapse2MapOptions()).notes.refused
    assert [(f.node, f.field, f.reason) for f in found] == [("end", "type", "Linear between neurons and Output")]
    assert found[0].hint == "end the network with neurons"


def test_steps_of_unknown_length_are_asked_for_where_they_enter_the_rule(net: Any, chip: Any) -> None:
    found = chip.findings(net.layer([[1.0]], semantics={"dt_ns": None}), "refused")
    assert [(f.node, f.field) for f in found] == [("n", "dt_ns")]
    assert "Semantics(dt_ns=...)" in found[0].hint


@pytest.mark.parametrize(("current_gain", "weight"), [("r*dt/tau", 0.02), ("one", 2.0)])
def test_the_equations_of_nir_need_no_step(net: Any, chip: Any, current_gain: str, weight: float) -> None:
    plain = {"dt_ns": None, "decay": "euler", "gain": "r*dt/tau", "current_gain": current_gain}
    mapping = chip.map(net.layer([[weight]], semantics=plain))
    assert mapping.step_ns is None
    assert mapping.config.step_ns is None
    assert set(mapping.latency_ns.values()) == {0}


@pytest.mark.parametrize(("option", "value"), [("refractory_s", {"x": 1e-3}), ("cores", {"fc": (0,)})])
def test_options_name_populations(net: Any, chip: Any, option: str, value: Any) -> None:
    found = chip.findings(net.layer([[1.0]]), "refused", **{option: value})
    assert [(f.node, f.field, f.reason) for f in found] == [
        (next(iter(value)), option, "no such population on the chip")
    ]


# --- what is changed --------------------------------------------------------------------------------------------------


def test_several_spikes_of_a_step_are_a_refractory_period_apart(net: Any, chip: Any) -> None:
    found = chip.finding(net.layer([[1.0]], semantics={"spikes_per_step": "many"}), "changed", "n", "spikes_per_step")
    assert (found.wanted, found.realised) == ("many", "a refractory period apart")


@pytest.mark.parametrize("bound", [None, -1.0, "-threshold"])
def test_a_lower_bound_below_the_reset_is_changed(net: Any, chip: Any, bound: Any) -> None:
    found = chip.finding(net.layer([[1.0]], semantics={"v_min": bound}), "changed", "n", "v_min")
    assert (found.wanted, found.realised) == (bound, 0.0)


def test_a_bias_is_a_direct_current_and_one_below_zero_is_refused_by_name(net: Any, chip: Any) -> None:
    def made(bias: float) -> Any:
        return net(1).dense("fc", "in", [[0.5]], bias).fire("n", "fc").out("n")

    found = chip.finding(made(0.01), "changed", "fc", "bias")
    assert (found.wanted, found.realised) == ("once per step", "constant")
    refused = chip.finding(made(-0.01), "refused", "n", "bias")
    assert refused.wanted < 0
    assert refused.realised == 0


def test_delays_are_left_out_by_name_alone(net: Any, chip: Any) -> None:
    made = net(1).delay("d", "in", 3e-3).dense("fc", "d", [[1.0]]).fire("n", "fc").out("n")
    found = chip.finding(made, "refused", "n", "delay")
    assert found.wanted == "0.003 s"
    assert "approximate={'delays'}" in found.hint
    assert chip.finding(made, "changed", "n", "delay", approximate=["delays"]).realised == 0


def test_feedback_arrives_at_once(net: Any, chip: Any) -> None:
    found = chip.finding(net.recurrent([[1.0]], [[0.2]]), "changed", "n", "feedback_delay")
    assert (found.wanted, found.realised) == (1, 0)


def test_lif_neurons_are_taken_where_a_jump_may_be_approximated(net: Any, chip: Any) -> None:
    made = net.layer([[0.6]], kind=nodes.LIF)
    refused = chip.findings(made, "refused")
    assert any(f.field == "neuron.lif" and f.hint == "allow it with approximate={'synapse'}" for f in refused)
    report = chip.check(made, approximate=["synapse"])
    assert report.fits
    found = next(f for f in report.changed if f.field == "synapse")
    assert (found.node, found.wanted, found.realised) == ("n", "a jump", "tau_syn 0.0002 s")


# --- refractory periods, drives, latencies ----------------------------------------------------------------------------


def _cells(net: Any, **options: Any) -> list[Any]:
    reader = Reader(net.model, Dynapse2MapOptions(**options))
    assert not reader.notes.refused
    return reader.cells


def test_refractory_periods_are_half_a_step_or_as_asked(net: Any) -> None:
    made = net.chain([[1.0]], [[1.0]])
    cells = _cells(made, refractory_s={"n1": 3e-3})
    assert [c.refractory.tolist() for c in cells] == [[5e-4], [3e-3]]


def test_areas_and_drives_are_in_units_of_the_threshold_above_reset(net: Any) -> None:
    plain = _cells(net.layer([[1.0]], v_leak=0.5))[0]
    double = _cells(net.layer([[1.0]], v_leak=0.5, v_threshold=2.0))[0]
    assert double.area == pytest.approx(plain.area / 2)
    assert (plain.drive[0], double.drive[0]) == (0.5, 0.25)


def test_a_bias_drives_as_its_input_in_every_step_would(net: Any, chip: Any) -> None:
    made = net(1).dense("fc", "in", [[0.5]], 0.01).fire("n", "fc").out("n")
    semantics = attrs.evolve(made.model.semantics)
    wanted = _steps(semantics, made.model.nodes["n"], 2000, np.full(2000, 0.01))[-1]
    assert _cells(made)[0].drive[0] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(("words", "half"), [("after decayed", 1), ("before undecayed", 1), ("after undecayed", -1)])
def test_each_layer_is_half_a_step_off(net: Any, chip: Any, words: str, half: int) -> None:
    jump, sees = words.split()
    made = net.chain([[1.0]], [[1.0]], [[1.0]], semantics={"jump": jump, "membrane_sees": sees})
    assert [c.latency for c in _cells(made)] == [half, 2 * half, 3 * half]
    latency = chip.map(made).latency_ns
    assert [latency[name] for name in ("n0", "n1", "n2", "out")] == [500_000 * half * k for k in (1, 2, 3, 3)]


def test_a_cycle_is_late_as_a_whole_and_what_follows_it_after_that(net: Any) -> None:
    made = net.recurrent([[1.0]], [[0.2]]).dense("end", "n", [[1.0]]).fire("last", "end").out("last", "out2")
    assert {c.name: c.latency for c in _cells(made)} == {"n": 1, "last": 2}
