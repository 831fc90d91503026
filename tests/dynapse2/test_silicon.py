"""From registers to emulators: currents per neuron, whom the host hears, and what the simulator gets."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

import hal
from hal_dynapse2 import biases, readout, silicon
from hal_dynapse2.config import PARAMETERS
from hal_dynapse2.limits import LATCHES
from hal_dynapse2.options import Dynapse2OpenOptions

PLAIN = Dynapse2OpenOptions()


def _two_cores(net: Any, chip: Any) -> Any:
    made = net(2).dense("fa", "in", [[0.5, 0.2]]).fire("a", "fa", tau_mem=10e-3).out("a")
    made.dense("fb", "in", [[0.3, -0.4]]).fire("b", "fb", tau_mem=40e-3, v_leak=0.5).out("b", "out2")
    return chip.map(made, cores={"a": (3,), "b": (1,)})


def test_every_neuron_has_the_currents_of_its_own_core(net: Any, chip: Any) -> None:
    config = _two_cores(net, chip).config
    of = silicon.currents(config)
    for row in range(2):
        core = int(np.flatnonzero(config.cores.core == config.neurons.core[row])[0])
        for name, parameter in (("Itau_mem", "SOIF_LEAK_N"), ("Igain_nmda", "DENM_EGAIN_P"), ("Iw_ahp", "SOAD_W_N")):
            at = PARAMETERS.index(parameter)
            wanted = biases.actual(parameter, config.cores.coarse[core, at], config.cores.fine[core, at])
            assert of[name][row] == wanted
        at = [PARAMETERS.index(f"SYAM_W{k}_P") for k in range(4)]
        wanted = [
            float(biases.actual(PARAMETERS[k], config.cores.coarse[core, k], config.cores.fine[core, k])) for k in at
        ]
        assert of["Iw"][row].tolist() == wanted
    assert of["Itau_mem"][0] == pytest.approx(4 * of["Itau_mem"][1], rel=0.06)


def test_rows_of_cores_may_stand_in_any_order(net: Any, chip: Any) -> None:
    config = _two_cores(net, chip).config
    turned = {field.name: getattr(config.cores, field.name)[::-1].copy() for field in attrs.fields(type(config.cores))}
    other = silicon.currents(attrs.evolve(config, cores=attrs.evolve(config.cores, **turned)))
    for name, values in silicon.currents(config).items():
        np.testing.assert_array_equal(other[name], values)


def test_latches_reach_the_emulator(net: Any, chip: Any) -> None:
    config = _two_cores(net, chip).config
    made = silicon.neurons(config)
    assert np.broadcast_to(made.dc, 2).tolist() == [False, True]
    assert np.broadcast_to(made.thresholded, 2).tolist() == [True, True]
    assert np.broadcast_to(made.adaptation, 2).tolist() == [False, False]
    latches = config.neurons.latches.copy()
    latches[0, LATCHES.index("soif_kill")] = latches[1, LATCHES.index("so_adaptation")] = True
    made = silicon.neurons(attrs.evolve(config, neurons=attrs.evolve(config.neurons, latches=latches)))
    assert np.broadcast_to(made.adaptation, 2).tolist() == [False, True]
    assert made.Ispkthr[0] == silicon.NEVER > 1e-3 > made.Ispkthr[1]


def test_the_simulator_gets_signed_weights_by_source_and_target(net: Any, chip: Any) -> None:
    made = net.recurrent([[0.5, -0.25], [0.0, 0.4]], [[0.0, 0.1], [0.0, 0.0]])
    mapping = hal.mapper("dynapse2-dynapsim").map(made.model)
    simulator = silicon.simulator(mapping.config)

    def dense(synapses: Any, sources: int) -> Any:
        table = np.zeros((sources, 2))
        for k in range(sources):
            for at in range(synapses.indptr[k], synapses.indptr[k + 1]):
                table[k, synapses.target[at]] += synapses.weight[at]
        return table

    unit = dense(simulator.w_in, 2)[0, 0] / mapping.realised["fc", "weight"][0, 0]
    np.testing.assert_allclose(dense(simulator.w_in, 2).T / unit, [[0.5, -0.25], [0, 0.4]], rtol=0.1)
    np.testing.assert_allclose(dense(simulator.w_rec, 2).T / unit, [[0, 0.1], [0, 0]], rtol=0.1)


def test_dead_cam_entries_are_the_same_for_every_network_of_a_place(net: Any, chip: Any) -> None:
    options = attrs.evolve(PLAIN, dead_cam=0.5, chip_seed=3)
    one, other = (chip.map(net.layer(weight)).config for weight in (np.full((2, 40), 0.1), np.full((9, 40), 0.2)))
    dead = [(config.cam.mask > 0) & (silicon._alive(config, options).mask == 0) for config in (one, other)]
    np.testing.assert_array_equal(dead[0][:2], dead[1][:2])
    assert not np.array_equal(dead[0][0], dead[0][1])
    assert 8 <= dead[0][0].sum() <= 32
    assert silicon._alive(one, PLAIN) is one.cam


def test_the_host_takes_a_neuron_for_the_one_whose_tag_it_sends(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer([[0.9], [0.9], [0.0]]))
    config = mapping.config
    assert readout.heard(config).row.tolist() == [0, 1, 2]
    tag = config.sram.tag.copy()
    tag[0, 0] = 2  # of the third neuron
    edited = mapping.with_config(attrs.evolve(config, sram=attrs.evolve(config.sram, tag=tag)))
    spikes = chip.run(edited, {"in": chip.events([(1, 0)])}, 20 * chip.step).spikes["out"]
    assert set(spikes["index"]) == {1, 2}


def test_a_neuron_with_two_destinations_to_the_host_is_heard_twice(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer([[0.9]]))
    sram = mapping.config.sram
    twice = {field.name: getattr(sram, field.name).copy() for field in attrs.fields(type(sram))}
    for column in twice.values():
        column[0, 1] = column[0, 0]
    edited = mapping.with_config(attrs.evolve(mapping.config, sram=attrs.evolve(sram, **twice)))
    stimulus = {"in": chip.events([(1, 0)])}
    once, double = (chip.run(m, stimulus, 20 * chip.step).spikes["out"]["t"] for m in (mapping, edited))
    np.testing.assert_array_equal(double, np.repeat(once, 2))


def test_heard_repeats_and_leaves_out() -> None:
    made = readout.Heard(np.array([0, 2, 2]), np.array([5, 6, 7]))
    t, row = made.of(np.array([10, 11, 12, 13]), np.array([2, 1, 0, 2]))
    assert t.tolist() == [10, 10, 12, 13, 13]
    assert row.tolist() == [6, 7, 5, 6, 7]


def test_an_output_of_two_populations_counts_each_from_its_start(net: Any, chip: Any) -> None:
    made = net(1).dense("fa", "in", [[0.9], [0.0]]).fire("a", "fa").dense("fb", "in", [[0.0], [0.9]]).fire("b", "fb")
    made.out("a").link("b", "out")
    mapping = chip.map(made, record=["a", "b"])
    spikes = chip.run(mapping, {"in": chip.events([(1, 0)])}, 20 * chip.step).spikes
    assert set(spikes["a"]["index"]) == {0}
    assert set(spikes["b"]["index"]) == {1}
    assert set(spikes["out"]["index"]) == {0, 1}
    assert spikes["out"].size == spikes["a"].size + spikes["b"].size


def test_rows_tell_population_and_index(net: Any, chip: Any) -> None:
    config = chip.map(net.chain(np.ones((3, 1)), np.ones((2, 3)))).config
    assert [readout.who(config, row) for row in range(5)] == [("n0", 0), ("n0", 1), ("n0", 2), ("n1", 0), ("n1", 1)]


def test_a_core_that_counts_nothing_has_a_place_in_the_counters(net: Any, chip: Any) -> None:
    recording = chip.run(_two_cores(net, chip), {"in": chip.regular(100, 50, 2)}, 50 * chip.step)
    out = recording.stats["events_out"]
    assert out.shape == (4,)
    assert out[3] == recording.spikes["out"].size
    assert out[1] == recording.spikes["out2"].size
    assert (out[0], out[2]) == (0, 0)
