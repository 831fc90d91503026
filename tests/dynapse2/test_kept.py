"""Nothing is lost without a line: weights on the chip or in the losses, neurons with no part in it, numbers as set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hal
from hal import nodes
from hal.errors import DoesNotFitError
from hal_dynapse2 import biases
from hal_dynapse2.cells import Reader
from hal_dynapse2.config import PARAMETERS
from hal_dynapse2.options import Dynapse2MapOptions
from hal_dynapse2.routes import routes


def _on_chip(mapping: Any) -> Any:
    """(n, sources) signed areas, thresholds at 1, from the registers alone."""
    config = mapping.config
    found = routes(config)
    source = np.repeat(np.arange(found.packet_ptr.size - 1), np.diff(found.synapse_ptr[found.packet_ptr]))
    core = {int(place): k for k, place in enumerate(config.cores.place)}
    row = np.array([core[int(place)] for place in config.neurons.core_place])[found.target]

    def of(name: str) -> Any:
        at = PARAMETERS.index(name)
        return biases.actual(name, config.cores.coarse[:, at], config.cores.fine[:, at])[row]

    base = np.stack([of(f"SYAM_W{k}_P") for k in range(4)], axis=1)
    current = (((found.mask[:, None] >> np.arange(4)) & 1) * base).sum(axis=1)
    ampa = of("DEAM_EGAIN_P") / of("DEAM_ETAU_P")
    gaba = of("DEGA_IGAIN_P") / of("DEGA_ITAU_P")
    gain = np.where(found.dendrite == 0, ampa, -gaba) * of("SOIF_GAIN_N") / of("SOIF_LEAK_N")
    area = current * gain * (0.7 * 0.5e-12 / of("SYPD_EXT_N")) / of("SOIF_SPKTHR_P")
    made = np.zeros((config.neurons.chip.size, found.packet_ptr.size - 1))
    np.add.at(made, (found.target, source), area)
    return made


def _drive(mapping: Any) -> float:
    """Where the direct current of core 0 lifts a membrane to, thresholds at 1, from the registers."""
    cores = mapping.config.cores

    def of(name: str) -> float:
        at = PARAMETERS.index(name)
        return float(biases.actual(name, cores.coarse[0, at], cores.fine[0, at]))

    return of("SOIF_DC_P") * of("SOIF_GAIN_N") / of("SOIF_LEAK_N") / of("SOIF_SPKTHR_P")


def _losses(mapping: Any, node: str, parameter: str = "weight") -> dict[int, tuple[float, float, str]]:
    return {
        int(index): (float(wanted), float(realised), str(reason))
        for name, field, index, wanted, realised, reason in mapping.losses
        if (name, field) == (node, parameter)
    }


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 12), m=st.integers(1, 12), entries=st.integers(1, 2))
def test_every_weight_is_on_the_chip_or_in_the_losses(
    net: Any, chip: Any, seed: int, n: int, m: int, entries: int
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.lognormal(-2, 1.5, (n, m)) * rng.choice([-1, 0, 1, 1], (n, m))
    mapping = chip.map(net.layer(weight), entries=entries)
    made = _on_chip(mapping)[:, :m]
    lost = _losses(mapping, "fc")
    for k, (w, there) in enumerate(zip(np.float32(weight).ravel(), made.ravel(), strict=True)):
        if k in lost and lost[k][1] == 0:
            assert lost[k] == (pytest.approx(w), 0.0, "code 0: no connection")
            assert there == 0
        else:
            assert (there != 0) == (w != 0)
            assert np.sign(there) == np.sign(w)
    assert not {k for k in lost if weight.ravel()[k] == 0}


@pytest.mark.parametrize("entries", [1, 2])
def test_realised_weights_are_the_arithmetic_of_the_registers(net: Any, chip: Any, entries: int) -> None:
    weight = np.random.default_rng(3).normal(0, 0.3, (6, 5))
    made = net.layer(weight, r=0.5, w_in=3.0, v_threshold=np.linspace(1, 2, 6))
    mapping = chip.map(made, entries=entries)
    areas = _on_chip(mapping)[:, :5]
    # a realised neuron with the realised weights has these very areas
    reader = Reader(mapping.realised_model(), Dynapse2MapOptions())
    again = mapping.realised["fc", "weight"] * reader.cells[0].area[:, None]
    np.testing.assert_allclose(again, areas, rtol=1e-6, atol=1e-12)
    error = np.linalg.norm(mapping.realised["fc", "weight"] - weight) / np.linalg.norm(weight)
    assert error < (0.1 if entries == 1 else 0.05)


def test_realised_numbers_map_to_the_same_registers_again(net: Any, chip: Any) -> None:
    made = net.recurrent(np.random.default_rng(0).normal(0, 0.4, (5, 4)), np.eye(5)[::-1] * 0.1, v_leak=0.3)
    mapping = chip.map(made)
    model = mapping.realised_model()
    again = hal.mapper("dynapse2").map(model)
    np.testing.assert_allclose(_on_chip(again), _on_chip(mapping), rtol=0.03, atol=1e-7)
    for name in ("tau_mem", "tau_syn"):
        np.testing.assert_allclose(again.realised["n", name], mapping.realised["n", name], rtol=1e-9)


def test_time_constants_are_realised_in_the_models_own_unit_and_formula(net: Any, chip: Any) -> None:
    steps = {"profile": "snntorch", "tau_unit": "steps", "decay": "1-dt/tau", "spike_reset": "value", "reset_delay": 0}
    mapping = chip.map(net.layer([[0.5]], semantics=steps, tau_mem=20.0, tau_syn=5.0))
    for name, tau in (("tau_mem", 20.0), ("tau_syn", 5.0)):
        made = float(mapping.realised["n", name][0])
        assert made == pytest.approx(tau, rel=0.06)
        assert made != tau
    at = PARAMETERS.index("SOIF_LEAK_N")
    leak = biases.actual("SOIF_LEAK_N", mapping.config.cores.coarse[0, at], mapping.config.cores.fine[0, at])
    factor = np.exp(-1e-3 * float(leak) * 0.705 / 25e-3 / 3e-12)
    assert mapping.realised["n", "tau_mem"][0] == pytest.approx(1 / (1 - factor), rel=1e-9)


def test_drives_are_realised_as_set_on_leaks_and_on_biases(net: Any, chip: Any) -> None:
    made = net(1).dense("fc", "in", [[0.5], [0.2]], [0.004, 0.0]).fire("n", "fc", v_leak=[0.2, 0.0]).out("n")
    mapping = chip.map(made)
    cells = Reader(mapping.realised_model(), Dynapse2MapOptions()).cells[0]
    assert mapping.config.cores.asked[0, PARAMETERS.index("SOIF_DC_P")]
    level = _drive(mapping)
    assert cells.drive == pytest.approx([level, 0.0], rel=1e-6)
    assert mapping.config.neurons.latch("so_dc").tolist() == [True, False]


def test_a_kernels_bias_is_realised_by_channel(net: Any, chip: Any) -> None:
    made = net(1, 3, 3).conv("conv", "in", np.full((2, 1, 2, 2), 0.1), [0.004, 0.0]).fire("n", "conv").out("n")
    mapping = chip.map(made)
    given, after = (Reader(m, Dynapse2MapOptions()).cells[0].drive for m in (made.model, mapping.realised_model()))
    assert mapping.realised["conv", "bias"][1] == 0
    assert mapping.realised["conv", "bias"][0] == pytest.approx(0.004, rel=0.06)
    level = _drive(mapping)
    assert after == pytest.approx([level] * 4 + [0.0] * 4, rel=1e-6)
    assert given == pytest.approx(after, rel=0.06)


def test_a_kernels_weight_is_the_mean_of_its_synapses(net: Any, chip: Any) -> None:
    made = net(1, 3, 3).conv("conv", "in", [[[[0.3, -0.1], [0.05, 0.2]]]]).fire("n", "conv").out("n")
    mapping = chip.map(made)
    np.testing.assert_allclose(mapping.realised["conv", "weight"].ravel(), [0.3, -0.1, 0.05, 0.2], rtol=0.05)


# --- codes by hand ----------------------------------------------------------------------------------------------------


def test_a_code_by_hand_is_in_the_cam_and_code_0_is_a_loss(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer([[0.1, 0.2, 0.3]]), codes={"fc": ((0, 15), (2, 0))})
    assert mapping.config.cam.mask[0, 0] == 15
    assert _losses(mapping, "fc") == {2: (pytest.approx(0.3), 0.0, "code 0: no connection")}


def test_codes_by_hand_are_told_as_such_and_not_as_weakness(net: Any, chip: Any) -> None:
    made = net.layer([[0.1, 0.2, 0.3, 1e6]])
    mapping = chip.map(made, codes={"fc": ((0, 15), (2, 0), (3, 15))})
    assert [(f.node, f.field, f.reason) for f in mapping.fit.changed] == [("fc", "weight", "codes set by hand (3)")]
    assert not chip.map(net.layer([[0.1, 0.2]])).fit.changed


@pytest.mark.parametrize("values", [{"r": [0.0, 1.0]}, {"w_in": 0.0}])
def test_weights_that_their_neuron_multiplies_by_0_are_losses(net: Any, chip: Any, values: Any) -> None:
    semantics = {"gain": "r", "current_gain": "r"}
    made = net(1, **semantics).dense("fc", "in", [[0.5], [0.4]], 0.01).fire("n", "fc", **values).out("n")
    mapping = chip.map(made)
    dead = {0} if "r" in values else {0, 1}
    assert set(_losses(mapping, "fc")) == dead
    assert set(np.flatnonzero(mapping.realised["fc", "weight"] == 0).tolist()) == dead
    assert all(np.isfinite(made).all() for made in mapping.realised.values())


def test_exponential_neurons_are_a_change_of_the_rule(net: Any, chip: Any) -> None:
    found = chip.finding(net.layer([[0.5]]), "changed", "n", "rule", exponential=True)
    assert (found.wanted, found.realised) == ("at the threshold", "exponential")


@pytest.mark.parametrize(
    ("codes", "node", "words"),
    [
        ({"x": ((0, 1),)}, "x", "no weights of that name"),
        ({"n": ((0, 1),)}, "n", "no weights of that name"),
        ({"fc": ((4, 1),)}, "fc", "no such weight"),
        ({"fc": ((1, 3),)}, "fc", "weight 1 is 0, so it has no dendrite"),
    ],
)
def test_codes_for_what_is_not_there_are_refused(net: Any, chip: Any, codes: Any, node: str, words: str) -> None:
    found = chip.findings(net.layer([[0.1, 0.0], [0.2, 0.3]]), "refused", codes=codes)
    assert [(f.node, f.field) for f in found] == [(node, "codes")]
    assert words in found[0].reason


# --- findings ---------------------------------------------------------------------------------------------------------


def test_weights_that_are_too_weak_are_counted_and_the_strongest_of_them_is_told(net: Any, chip: Any) -> None:
    weight = [[1.0, 1e-6, 0.8, 2e-6, 0.6, 0.4, 0.3, 0.7, 0.9, 0.2]]
    mapping = chip.map(net.layer(weight))
    assert set(_losses(mapping, "fc")) == {1, 3}
    finding = next(f for f in mapping.fit.changed if f.node == "fc")
    assert finding.reason == "connections too weak for four base currents became none (2)"
    assert finding.realised == 0


def test_weights_that_are_too_strong_are_weakened_and_are_losses(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer([[1e5, 0.5]]))
    finding = next(f for f in mapping.fit.changed if f.node == "fc")
    assert finding.reason == "connections stronger than any base current were weakened (1)"
    wanted, made, reason = _losses(mapping, "fc")[0]
    assert (wanted, reason) == (1e5, "weakened: no base current is as strong")
    assert made == pytest.approx(float(mapping.realised["fc", "weight"][0, 0]))
    assert 1.0 < made < 1e4


@pytest.mark.parametrize(
    ("field", "value", "parameter", "words"),
    [
        ("tau_mem", 50.0, "SOIF_LEAK_N", "is less than the bias generator gives"),
        ("tau_syn", 1e-6, "DEAM_ETAU_P", "is more than the bias generator gives"),
    ],
)
def test_time_constants_beyond_the_generator_are_refused_or_approximated(
    net: Any, chip: Any, field: str, value: float, parameter: str, words: str
) -> None:
    made = net.layer([[0.5]], semantics={"dt_ns": 1000}, **{field: value})
    found = [f for f in chip.findings(made, "refused") if parameter in f.reason]
    assert [(f.node, f.field) for f in found] == [("n", field)]
    assert words in found[0].reason
    assert "chip 0, core 0" in found[0].reason
    assert found[0].hint == "allow it with approximate={'time_constants'}"
    report = chip.check(made, approximate=["time_constants"])
    assert any(f.field == field and parameter in f.reason for f in report.changed)


def test_other_biases_beyond_the_generator_are_changes(net: Any, chip: Any) -> None:
    found = chip.findings(net.layer([[0.5]]), "changed", iscale=1e-3)
    assert any(f.field == "SOIF_SPKTHR_P" and "is more than the bias generator gives" in f.reason for f in found)
    # the wanted and the set value
    assert all(f.wanted.endswith(" A") and f.realised.endswith(" A") for f in found if f.field == "SOIF_SPKTHR_P")


def test_rounding_of_time_constants_above_one_percent_is_noted(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer([[0.5]], tau_mem=0.3))
    made = float(mapping.realised["n", "tau_mem"][0])
    told = [f for f in mapping.fit.findings if f.field == "tau_mem"]
    assert bool(told) == (abs(made / 0.3 - 1) > 0.01)
    assert told
    assert told[0].level == "note"


# --- neurons without a part -------------------------------------------------------------------------------------------


def test_neurons_without_a_part_are_listed_by_reason(net: Any, chip: Any) -> None:
    # n: fed, inhibited only, not fed at all, fed and not passed on; m hears the first two and one nobody
    made = net(1).dense("fc", "in", [[0.5], [-0.5], [0.0], [0.5]]).fire("n", "fc")
    made.dense("on", "n", [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.0]]).fire("m", "on").out("m")
    mapping = chip.map(made)
    listed = [(node, int(index), reason) for node, _, index, _, _, reason in mapping.losses]
    assert sorted(listed) == sorted(
        [
            ("n", 1, "unreachable: nothing that excites it is reached from an Input"),
            ("n", 2, "silent: it has no connection into it in the model"),
            ("n", 3, "orphan: it reaches no neuron in the model, and is not recorded"),
            ("m", 1, "unreachable: nothing that excites it is reached from an Input"),
        ]
    )


def test_an_unrecorded_neuron_is_no_orphan_where_it_is_recorded(net: Any, chip: Any) -> None:
    made = (
        net(1).dense("fc", "in", [[0.5], [0.5]]).fire("n", "fc").dense("on", "n", [[0.5, 0.0]]).fire("m", "on").out("m")
    )
    assert "orphan" in _losses(chip.map(made), "n", "neuron")[1][2]
    assert not _losses(chip.map(made, record=["n"]), "n", "neuron")


def test_a_neuron_whose_connections_were_lost_is_silent_for_that_reason(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer([[0.5], [0.4]]), codes={"fc": ((1, 0),)})
    assert _losses(mapping, "n", "neuron") == {1: (1.0, 0.0, "silent: no connection into it is left")}


def test_a_driven_neuron_is_neither_silent_nor_unreachable_nor_are_those_behind_it(net: Any, chip: Any) -> None:
    made = (
        net(1).dense("fc", "in", [[0.0]]).fire("n", "fc", v_leak=2.0).dense("on", "n", [[0.5]]).fire("m", "on").out("m")
    )
    assert len(chip.map(made).losses) == 0


def test_what_does_not_fit_is_raised_with_the_findings(net: Any, chip: Any) -> None:
    with pytest.raises(DoesNotFitError, match="allow it with approximate"):
        chip.map(net.layer([[0.5]], kind=nodes.LIF))
