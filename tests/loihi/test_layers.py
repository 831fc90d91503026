"""What each word of the semantics becomes on the chip: refused, changed, a note, or exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hal import nodes
from hal.agreement import agreement
from hal.errors import CapabilityError


def one(
    net: Any, cls: Any = nodes.IF, weight: Any = 256, bias: Any = None, semantics: Any = None, **values: Any
) -> Any:
    made = net(1).dense("w", "in", [[weight]], bias).fire("n", "w", cls, **values).out("n")
    return made.model(**(semantics or {}))


def share(loihi: Any, model: Any, steps: int = 60, seed: int = 0, **options: Any) -> float:
    """Agreement of the output with `ideal`, latency taken off; both fire."""
    rng = np.random.default_rng(seed)
    stimulus = {name: loihi.noise(rng, model.nodes[name].size, steps) for name in model.inputs}
    mapping = loihi.map(model, **options)
    late = mapping.latency_ns["out"]
    spikes = loihi.run(mapping, stimulus, steps + late // loihi.step).spikes["out"]
    reference = loihi.ideal(model, stimulus, steps).spikes["out"]
    assert reference.size > 0
    kept = spikes[spikes["t"] < steps * loihi.step + late]
    return agreement(kept, reference, model.nodes["out"].size, latency_ns=late).share


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ({"spike_reset": "subtract"}, "spike_reset"),
        ({"spike_reset": "subtract_n"}, "spike_reset"),
        ({"spike_reset": "subtract", "reset_delay": 1}, "reset_delay"),
        ({"fires_on": "old"}, "fires_on"),
    ],
)
def test_reset_rules_the_chip_lacks(words: Any, field: str, loihi: Any, net: Any) -> None:
    model = one(net, semantics=words)
    refused = loihi.one(model, "refused", "n", field)
    assert "approximate={'reset'}" in refused.hint
    assert ("n", field) in loihi.found(model, "changed", approximate={"reset"})
    assert not loihi.found(model, "refused", approximate={"reset"})


def test_a_bias_is_ahead_of_the_input(loihi: Any, net: Any) -> None:
    said = loihi.one(one(net, bias=64), "changed", "n", "bias")
    assert said.realised == 1


def test_a_threshold_of_one_unit_cannot_be_lowered(loihi: Any, net: Any) -> None:
    words = {"compare": ">="}
    assert loihi.found(one(net, v_threshold=128, semantics=words), "changed") == []
    said = loihi.one(one(net, weight=128, v_threshold=64, semantics=words), "changed", "n", "compare")
    assert said.realised == "> threshold"


def test_learning_on_the_chip_is_refused(loihi: Any, net: Any) -> None:
    with pytest.raises(CapabilityError, match="loihi does not support on-chip learning") as caught:
        loihi.map(one(net), learning="stdp")
    assert caught.value.data["capability"] == "learning.on_chip"


def test_what_is_exact_is_not_mentioned(loihi: Any, net: Any) -> None:
    assert loihi.found(one(net), "refused") == []
    assert loihi.found(one(net), "changed") == []
    assert loihi.found(one(net), "note") == []
    assert share(loihi, one(net)) == 1.0


@pytest.mark.parametrize(
    ("reset", "delay", "refract"), [("discard_update", 1, 2), ("discard_update", 0, 1), ("value", 1, 1)]
)
@pytest.mark.parametrize("cls", [nodes.IF, nodes.CubaLIF])
def test_a_reset_one_step_late(cls: Any, reset: str, delay: int, refract: int, loihi: Any, net: Any) -> None:
    """The value is the same one step later; a discarded update is a dead time of one step."""
    values = {"tau_syn": 1, "tau_mem": 2.0**20}
    model = one(net, cls, 1280, semantics={"spike_reset": reset, "reset_delay": delay}, **values)
    assert loihi.map(model).config.compartments.refract_delay.tolist() == [refract]
    assert (("n", "reset_delay") in loihi.found(model, "note")) is bool(delay)
    assert share(loihi, model) == 1.0


def test_many_spikes_become_one(loihi: Any, net: Any) -> None:
    change = loihi.one(one(net, semantics={"spikes_per_step": "many"}), "changed", "n", "spikes_per_step")
    assert (change.wanted, change.realised) == ("many", "one")


@pytest.mark.parametrize(("compare", "mantissa"), [(">", 10), (">=", 9)])
def test_equality(compare: str, mantissa: int, loihi: Any, net: Any) -> None:
    """Five times 128 is the threshold of 640."""
    model = one(net, weight=128, semantics={"compare": compare})
    mapping = loihi.map(model)
    assert mapping.config.compartments.vth_mant.tolist() == [mantissa]
    spikes = loihi.run(mapping, {"in": loihi.events([(k, 0) for k in range(5)])}, 8).spikes["out"]
    assert spikes.size == (compare == ">=")
    assert share(loihi, model) == 1.0
    assert (loihi.found(model, "note") == [("n", "compare")]) is (compare == ">=")


@pytest.mark.parametrize("v_min", [0.0, -1023.0])
def test_a_lower_bound(v_min: float, loihi: Any, net: Any) -> None:
    made = net(2).dense("w", "in", [[512, -256]]).fire("n", "w").out("n")
    model = made.model(v_min=v_min)
    mapping = loihi.map(model)
    assert mapping.config.cores.vmin.tolist() == [v_min]
    assert loihi.found(model, "changed") == []
    assert share(loihi, model, 300) == 1.0


def test_a_lower_bound_that_is_moved_is_said_and_realised(loihi: Any, net: Any) -> None:
    model = one(net, semantics={"v_min": -800.0})
    change = loihi.one(model, "changed", "n", "v_min")
    assert (change.wanted, change.realised) == ("-800", "-1023")
    mapping = loihi.map(model)
    assert mapping.realised["n", "v_min"].tolist() == [-1023]
    assert mapping.realised_model().semantics.rule(model.nodes["n"]).v_min == -1023


@pytest.mark.parametrize("cls", [nodes.IF, nodes.LIF])
def test_a_reset_value_shifts_the_membrane(cls: Any, loihi: Any, net: Any) -> None:
    values = {"v_reset": 128, "v_threshold": 768, "v_leak": 128} if cls is nodes.LIF else {"v_reset": 128}
    values |= {"v_threshold": 768} | ({"tau": 4096.0} if cls is nodes.LIF else {})
    model = one(net, cls, semantics={"start_state": "v_reset"}, **values)
    registers = loihi.map(model).config.compartments
    assert registers.vth_mant.tolist() == [10]
    assert registers.bias.tolist() == [0]
    assert loihi.found(model, "changed") == []
    assert share(loihi, model) == (1.0 if cls is nodes.IF else pytest.approx(1.0, abs=0.3))


def test_start_states_other_than_the_reset_value(loihi: Any, net: Any) -> None:
    assert loihi.found(one(net, semantics={"start_state": 64.0}), "refused") == [("n", "start_state")]
    assert loihi.found(one(net, v_reset=64), "refused") == [("n", "v_reset")]
    leaky = one(net, nodes.LIF, v_leak=64, semantics={"start_state": "v_leak"})
    assert loihi.found(leaky, "refused") == [("n", "start_state")]
    refused = loihi.one(one(net, v_reset=700), "refused", "n", "v_threshold")
    assert refused.wanted == -60


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0, 1, 2, 5])
def test_steps_on_every_edge(delay: int, loihi: Any, net: Any) -> None:
    model = one(net, semantics={"edge_delay": delay})
    mapping = loihi.map(model)
    assert set(mapping.config.synapses.delay.tolist()) == {delay}
    assert mapping.latency_ns["n"] == loihi.step
    assert share(loihi, model) == 1.0


@pytest.mark.parametrize("delay", [1, 4])
def test_steps_on_feedback(delay: int, loihi: Any, net: Any) -> None:
    made = net(2).dense("w", "in", [[512, 256], [256, 640]]).dense("r", "n", [[0, -256], [384, 0]])
    model = made.fire("n", ["w", "r"]).out("n").model(feedback_delay=delay)
    assert set(loihi.map(model).config.synapses.delay.tolist()) == {0, delay - 1}
    assert share(loihi, model) == 1.0


def test_delays_of_each_channel(loihi: Any, net: Any) -> None:
    made = net(3).delay("d", "in", [0, 3, 62]).dense("w", "d", [[768] * 3]).fire("n", "w").out("n")
    mapping = loihi.map(made.model())
    assert mapping.config.synapses.delay.tolist() == [0, 3, 62]
    spikes = loihi.run(mapping, {"in": loihi.events([(0, 0), (0, 1), (0, 2)])}, 70).spikes["out"]
    assert (spikes["t"] // loihi.step).tolist() == [1, 4, 63]
    assert share(loihi, made.model()) == 1.0


def test_delays_that_are_too_long_or_no_whole_steps(loihi: Any, net: Any) -> None:
    def delayed(steps: float) -> Any:
        return net(1).delay("d", "in", steps).dense("w", "d", [[768]]).fire("n", "w").out("n").model()

    assert loihi.found(delayed(62), "refused") == []
    refused = loihi.one(delayed(63), "refused", "n", "delay")
    assert (refused.wanted, refused.realised) == (63, 62)
    assert loihi.found(delayed(63), "changed", approximate={"delays"}) == [("n", "delay")]
    assert loihi.map(delayed(63), approximate={"delays"}).config.synapses.delay.tolist() == [62]
    assert loihi.found(delayed(2.4), "refused") == [("n", "delay")]
    assert loihi.map(delayed(2.4), approximate={"delays"}).config.synapses.delay.tolist() == [2]


# --- currents and biases ----------------------------------------------------------------------------------------------


def test_a_bias_without_current_is_exact(loihi: Any, net: Any) -> None:
    model = one(net, bias=64)
    # the host's spikes are a step late, a bias is not: it is compared alone
    mapping = loihi.map(model)
    spikes = loihi.run(mapping, {}, 50).spikes["out"]
    assert np.array_equal(spikes, loihi.ideal(model, {}, 50).spikes["out"])
    assert spikes.size > 2


def test_a_bias_through_a_current_is_its_limit(loihi: Any, net: Any) -> None:
    model = one(net, nodes.CubaLIF, bias=64, tau_syn=2, tau_mem=2)
    change = loihi.one(model, "changed", "n", "bias")
    assert (change.wanted, change.realised) == ("through the current", "constant")
    registers = loihi.map(model).config
    assert registers.compartments.bias[0] / registers.compartments.vth[0] == pytest.approx(64 * 2 / 640, rel=0.01)


def test_a_bias_through_a_current_that_never_leaks(loihi: Any, net: Any) -> None:
    assert loihi.found(one(net, nodes.CubaLIF, bias=64, tau_syn=1e30), "refused") == [("n", "bias")]
    assert loihi.found(one(net, nodes.CubaLIF, tau_syn=1e30), "refused") == []


def test_a_bias_per_tick_is_refused(loihi: Any, net: Any) -> None:
    model = one(net, bias=64, semantics={"bias_meaning": "per_tick"})
    assert ("w", "bias_meaning") in loihi.found(model, "refused")


@pytest.mark.parametrize(
    ("jump", "sees", "factor"),
    [("after", "decayed", 1.0), ("before", "undecayed", 1.0), ("before", "decayed", 0.5), ("after", "undecayed", 0.0)],
)
def test_when_the_membrane_sees_the_input(jump: str, sees: str, factor: float, loihi: Any, net: Any) -> None:
    """Current halves and the membrane forgets: v is the current as it enters. `ideal` has the same values."""
    words = {"jump": jump, "membrane_sees": sees}
    model = one(net, nodes.CubaLIF, 1024, tau_syn=2, tau_mem=4, v_threshold=64000, semantics=words)
    mapping = loihi.map(model, record=[_every(loihi, "v")])
    stimulus = {"in": loihi.events([(0, 0), (4, 0)])}
    unit = mapping.config.compartments.vth[0] / 64000
    v = loihi.run(mapping, stimulus, 12).traces["n", "v"].values[1:, 0] / unit
    assert v[0] == pytest.approx(1024 * factor, rel=1e-2)
    wanted = loihi.ideal(model, stimulus, 11, [_every(loihi, "v")]).traces["n", "v"].values[:, 0]
    assert v == pytest.approx(wanted, rel=0.01, abs=8)


def _every(loihi: Any, variable: str) -> Any:
    from hal.events import Probe

    return Probe("n", variable, every_ns=loihi.step)


# --- what is no model for the chip ------------------------------------------------------------------------------------


def test_numbers_that_are_not_finite(loihi: Any, net: Any) -> None:
    assert ("n", "parameters") in loihi.found(one(net, v_threshold=np.nan), "refused")
    assert ("w", "weight") in loihi.found(one(net, weight=np.inf), "refused")
    assert ("w", "weight") in loihi.found(one(net, bias=np.nan), "refused")
    assert ("n", "tau") in loihi.found(one(net, nodes.LIF, tau=0.5), "refused")
    both = one(net, nodes.CubaLIF, tau_mem=0.5, tau_syn=-1)
    assert {("n", "tau_mem"), ("n", "tau_syn")} <= set(loihi.found(both, "refused"))
    none = one(net, nodes.CubaLIF, tau_mem=0, tau_syn=0)
    assert {("n", "tau_mem"), ("n", "tau_syn")} <= set(loihi.found(none, "refused"))


def test_no_neurons_or_others_than_the_chip_has(loihi: Any, net: Any) -> None:
    assert loihi.found(net(2).out("in").model(), "refused")
    threshold = net(1).dense("w", "in", [[1]]).fire("n", "w", nodes.Threshold).out("n").model()
    assert any(node == "n" for node, _ in loihi.found(threshold, "refused"))
    read = net(1).dense("w", "in", [[1]]).fire("n", "w").delay("x", "n", 1).out("x").model()
    assert loihi.found(read, "refused") == [("x", "type")]
    assert ("m", "refract_delay") in loihi.found(one(net), "refused", refract_delay={"m": 2})
    assert loihi.found(one(net, semantics={"v_min": 1.0}), "refused") == [("n", "v_min")]
    endless = net(1)
    for k in range(9):
        endless.dense(f"w{k}", f"w{k - 1}" if k else "in", [[3e38]])
    model = endless.fire("n", "w8").out("n").model()
    refused = loihi.one(model, "refused", "n", "parameters")
    assert "not finite" in refused.reason


@pytest.mark.parametrize("order", ["CHW", "HWC"])
def test_a_map_flattened_before_the_output_leaves_channels_first_or_not_at_all(
    order: str, loihi: Any, net: Any
) -> None:
    made = net(1, 3, 3).conv("fc", "in", np.ones((2, 1, 1, 1))).fire("n", "fc")
    made.put(nodes.Flatten, "flat", "n", (18,), (2, 3, 3), start_dim=0, end_dim=-1).out("flat")
    model = made.model(flatten_order=order)
    if order == "CHW":
        assert loihi.found(model, "refused") == []
    else:
        assert loihi.one(model, "refused", "flat", "flatten_order").wanted == "HWC"
