"""DynapSim's step: the rule value by value, against a model in float64, golden defaults, pieces, limits and errors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal_emulators.dynapsim import DynapSim, Neurons, Probe, Result, StateError, Synapses, events
from hal_emulators.dynapsim_kernel import exp32, log32

GOLDEN = Path(__file__).parents[1] / "golden" / "dynapse2"
NAMES = [field.name for field in attrs.fields(Neurons)]
TRACES = ("isyn", "iahp", "imem", "vmem")
DARK, DT, SCALE = 5e-13, 1e-3, 1e-8
KAPPA, UT = 0.705, 25e-3
KEEP_SYN, JUMP_SYN, GAIN_SYN = np.exp(-0.1), 1 - np.exp(-1e-3), 100
ADAPTING = {"Iw_ahp": 2e-7, "Ipulse_ahp": 3.5e-9}


def neurons(n: int = 1, **values: Any) -> Neurons:
    return Neurons(**{"Io": np.full(n, DARK)} | values)


def simulator(w_in: Any, w_rec: Any = None, dt_s: float = DT, i_scale: float = SCALE, **values: Any) -> DynapSim:
    matrix = np.asarray(w_in, np.float32)
    recurrent = None if w_rec is None else Synapses.from_dense(w_rec)
    given = neurons(matrix.shape[1], **values)
    return DynapSim(given, Synapses.from_dense(matrix), recurrent, dt_s=dt_s, i_scale=i_scale)


@attrs.frozen
class Seen:
    isyn: Any
    iahp: Any
    imem: Any
    vmem: Any
    counts: Any
    result: Result


def play(made: DynapSim, raster: Any) -> Seen:
    """A raster of counts (steps, inputs) in; everything of all neurons and steps out."""
    everyone = np.arange(made.neurons.size)
    result = made.run(len(raster), *events(raster), probe=[Probe(name, everyone) for name in TRACES])
    counts = np.zeros((len(raster), everyone.size), int)
    counts[result.spike_step, result.spike_index] = result.spike_count
    return Seen(*result.traces, counts, result)


def pulses(steps: int, at: Sequence[tuple[int, int]], inputs: int = 1) -> Any:
    raster = np.zeros((steps, inputs), int)
    for step, channel in at:
        raster[step, channel] += 1
    return raster


def same(one: Seen, other: Seen) -> None:
    for name in (*TRACES, "counts"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.fixture(scope="module")
def busy() -> tuple[dict[str, Any], Any]:
    """100 neurons with parameters of their own, wired and adapting; and a raster with counts."""
    random = np.random.default_rng(3)
    n, inputs = 100, 9
    usual = neurons(n, **ADAPTING)
    values = {k: (getattr(usual, k) * (1 + 0.1 * random.standard_normal(n))).astype(np.float32) for k in NAMES}
    w_in = 80 * random.random((inputs, n)) * (random.random((inputs, n)) < 0.5)
    w_rec = 30 * random.standard_normal((n, n)) * (random.random((n, n)) < 0.1)
    raster = random.integers(1, 4, (150, inputs)) * (random.random((150, inputs)) < 0.1)
    return {"w_in": w_in, "w_rec": w_rec, **values}, raster


# --- the rule -------------------------------------------------------------------------------------------------------


def test_an_event_charges_the_synapse_in_its_step_and_the_charge_decays() -> None:
    seen = play(simulator([[10.0]]), pulses(6, [(1, 0)]))
    rest = KEEP_SYN * DARK + JUMP_SYN * DARK
    peak = KEEP_SYN * rest + JUMP_SYN * GAIN_SYN * 10 * SCALE
    np.testing.assert_allclose(seen.isyn[:2, 0], [rest, peak], rtol=1e-4)
    np.testing.assert_allclose(seen.isyn[3:, 0] / seen.isyn[2:-1, 0], KEEP_SYN, rtol=1e-4)


def test_counts_of_events_and_several_synapses_add_up() -> None:
    three = play(simulator([[10.0]]), 3 * pulses(4, [(1, 0)]))
    thirty = play(simulator([[30.0]]), pulses(4, [(1, 0)]))
    twice = Synapses.from_lists(1, [0, 0, 0], [0, 0, 0], [10, 5, 15])
    np.testing.assert_array_equal(three.isyn, thirty.isyn)
    np.testing.assert_array_equal(play(DynapSim(neurons(), twice), pulses(4, [(1, 0)])).isyn, thirty.isyn)


def test_the_synapse_settles_below_the_dark_current() -> None:
    seen = play(simulator([[1.0]]), pulses(200, []))
    np.testing.assert_allclose(seen.isyn[-1], DARK * JUMP_SYN / (1 - KEEP_SYN), rtol=1e-3)


def test_inhibition_cancels_excitation_of_the_same_step_only() -> None:
    made = [simulator([[100.0], [-100.0]]) for _ in range(3)]
    alone = play(made[0], pulses(40, [(1, 0)], 2))
    late = play(made[1], pulses(40, [(1, 0), (4, 1)], 2))
    together = play(made[2], pulses(40, [(1, 0), (1, 1)], 2))
    assert alone.counts.sum() > 0
    same(alone, late)
    same(together, play(simulator([[1.0], [1.0]]), pulses(40, [], 2)))


def test_spikes_act_one_step_later_as_often_as_they_were_counted() -> None:
    seen = play(simulator([[3e4, 0.0]], [[0.0, 7.0], [0.0, 0.0]]), pulses(30, [(0, 0)]))
    assert seen.counts[:, 0].max() > 1
    charged = seen.isyn[1:, 1] - KEEP_SYN * seen.isyn[:-1, 1]
    drive = np.maximum(GAIN_SYN * 7 * seen.counts[:-1, 0] * SCALE, DARK)
    np.testing.assert_allclose(charged, JUMP_SYN * drive, rtol=1e-3, atol=1e-13)


def test_a_count_is_the_logarithm_of_the_peak_over_the_threshold_rounded_up() -> None:
    seen = play(simulator([[10.0, 300.0, 3e3, 3e4]], Ispkthr=1e-7), pulses(60, [(1, 0), (20, 0)]))
    peak = np.log(DARK / 1e-7) + KAPPA / UT * seen.vmem.astype(float)
    clear = np.abs(peak - np.round(peak)) > 1e-3
    np.testing.assert_array_equal(seen.counts[clear], np.maximum(np.ceil(peak[clear]), 0))
    assert set(seen.counts.ravel()) >= {0, 1, 2, 3}


def test_a_spike_resets_the_current_and_not_the_voltage() -> None:
    seen = play(simulator([[300.0]]), pulses(40, [(1, 0)]))
    at = np.flatnonzero(seen.counts[:, 0])
    np.testing.assert_array_equal(seen.imem[at], np.float32(DARK))
    assert (seen.vmem[at] > 0.4).all()
    quiet = seen.counts == 0
    np.testing.assert_allclose(seen.vmem[quiet], UT / KAPPA * np.log(seen.imem[quiet] / DARK), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_refractory_time_of_k_steps_keeps_the_input_out_for_k_steps(k: int) -> None:
    made = simulator([[300.0]], Iref=0.7 * 1.5e-12 / (k * DT))
    seen, left = [], []
    for step in range(30):
        seen.append(play(made, pulses(1, [(0, 0)] if step == 1 else [])))
        left.append(made.state().refractory[0])
    first = next(step for step, each in enumerate(seen) if each.counts.any())
    np.testing.assert_allclose(left[first : first + k], [(k - i) * DT for i in range(k)], rtol=1e-5)
    assert left[first + k] < 1e-8
    assert seen[first].isyn[0, 0] > 1e-9  # there is input to keep out
    shut = [seen[first + i].imem[0, 0] for i in range(1, k + 1)]
    assert max(shut) < 2 * DARK
    assert seen[first + k + 1].imem[0, 0] > 2 * DARK


def test_a_spike_raises_adaptation_in_the_next_step() -> None:
    seen = play(simulator([[300.0]], **ADAPTING), pulses(20, [(1, 0)]))
    at = np.flatnonzero(seen.counts[:, 0])[0]
    raised = seen.iahp[at + 1, 0] - np.exp(-0.02) * seen.iahp[at, 0]
    assert seen.iahp[at, 0] == np.float32(DARK)
    np.testing.assert_allclose(raised, (1 - np.exp(-1e-4 / 50e-3)) * 2e-7 * seen.counts[at, 0], rtol=1e-4)
    assert play(simulator([[300.0]]), pulses(200, [(1, 0)])).counts.sum() > 0


def test_adaptation_lowers_a_steady_rate() -> None:
    plain, adapting = (play(simulator([[0.0]], Idc=1e-9, **more), pulses(400, [])) for more in ({}, ADAPTING))
    assert 0 < adapting.counts.sum() < 0.8 * plain.counts.sum()


def test_every_step_follows_the_rule_from_the_state_before(busy: tuple[dict[str, Any], Any]) -> None:
    network, raster = busy
    seen = play(simulator(**network), raster)
    p = {name: np.asarray(network[name], float) for name in NAMES}
    kappa, io = (p["kappa_n"] + p["kappa_p"]) / 2, p["Io"]
    held = {name: np.maximum(p[name], io) for name in NAMES if name.startswith(("Itau", "Igain"))}
    tau_syn, tau_ahp = (p["Ut"] * p[f"C_{x}"] / (kappa * held[f"Itau_{x}"]) for x in ("syn", "ahp"))
    t_pulse, t_pulse_ahp, t_ref = (
        p["Vth"] * p[f"C_{c}"] / p[i] for c, i in (("pulse", "Ipulse"), ("pulse_ahp", "Ipulse_ahp"), ("ref", "Iref"))
    )
    start = {"isyn": DARK, "iahp": DARK, "imem": DARK, "vmem": 0.0}
    before = {name: np.vstack([np.full(io.size, start[name]), getattr(seen, name)[:-1]]) for name in TRACES}
    spikes = np.vstack([np.zeros(io.size), seen.counts[:-1]])
    weighted = (spikes @ network["w_rec"] + raster @ network["w_in"]) * SCALE
    drive = np.maximum(held["Igain_syn"] / held["Itau_syn"] * weighted, io)
    isyn = np.exp(-DT / tau_syn) * before["isyn"] + (1 - np.exp(-t_pulse / tau_syn)) * drive
    np.testing.assert_allclose(seen.isyn, isyn, rtol=5e-4)  # 1 - exp of a short pulse has few digits in float32
    jump = (1 - np.exp(-t_pulse_ahp / tau_ahp)) * held["Igain_ahp"] / held["Itau_ahp"] * p["Iw_ahp"] * spikes
    np.testing.assert_allclose(seen.iahp, np.maximum(np.exp(-DT / tau_ahp) * before["iahp"] + jump, io), rtol=1e-4)
    timer, shut = np.zeros(io.size), []
    for count in seen.counts:
        shut.append(timer > 1e-7)
        timer = np.where(count > 0, t_ref, np.maximum(timer - DT, 0))
    leak, old = held["Itau_mem"] + seen.iahp, before["imem"]
    into = np.maximum(np.where(shut, 0, seen.isyn - leak + p["Idc"]), io)
    steady = held["Igain_mem"] / held["Itau_mem"] * (into - leak)
    wide = old + held["Igain_mem"]
    push = io * np.exp(kappa**2 / (kappa + 1) * before["vmem"] / p["Ut"]) / leak * wide
    tau = p["Ut"] * p["C_mem"] / (kappa * leak)
    change = old / (tau * wide) * (steady + push - old * (1 + seen.iahp / held["Itau_mem"]))
    imem = np.maximum(old + DT * change, io)
    np.testing.assert_allclose(seen.vmem, p["Ut"] / kappa * np.log(imem / io), rtol=1e-4, atol=2e-5)
    spiked = seen.counts > 0
    np.testing.assert_allclose(seen.imem[~spiked], imem[~spiked], rtol=1e-3)
    np.testing.assert_array_equal(seen.imem[spiked], np.broadcast_to(np.float32(io), spiked.shape)[spiked])
    assert spiked.sum() > 500


def test_exp_and_log_are_within_a_unit_in_the_last_place() -> None:
    x = np.linspace(-60, 87, 3001, dtype=np.float32)
    got = np.array([exp32(each) for each in x])
    assert np.abs(got / np.exp(x.astype(float)) - 1).max() < 2**-22.9
    y = np.geomspace(1e-37, 1e38, 3001).astype(np.float32)
    got = np.array([log32(each) for each in y])
    exact = np.log(y.astype(float))
    assert (np.abs(got - exact) <= 2**-22.9 * np.abs(exact)).all()
    assert log32(np.float32(1)) == 0
    assert log32(np.nextafter(np.float32(1), np.float32(2))) > 0
    assert [exp32(np.float32(each)) for each in (0, 1e9)] == [1, exp32(np.float32(88))]


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_those_of_the_golden_files(name: str) -> None:
    with np.load(GOLDEN / "dyn_single.npz") as file:
        np.testing.assert_array_equal(getattr(Neurons(), name), file[f"p_{name}"])
    assert len(NAMES) == 24


# --- properties -----------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 150), max_size=5), every=st.integers(1, 7))
def test_a_run_in_pieces_is_the_run(busy: tuple[dict[str, Any], Any], cuts: list[int], every: int) -> None:
    network, raster = busy
    whole = play(simulator(**network), raster)
    made = simulator(**network)
    ends = [0, *sorted(cuts), len(raster)]
    pieces = [play(made, raster[first:last]) for first, last in pairwise(ends)]
    for name in (*TRACES, "counts"):
        np.testing.assert_array_equal(np.concatenate([getattr(p, name) for p in pieces]), getattr(whole, name))
    assert sum(p.result.synops for p in pieces) == whole.result.synops
    np.testing.assert_array_equal(sum(p.result.arrived for p in pieces), whole.result.arrived)
    sparse = simulator(**network).run(len(raster), *events(raster), probe=[("imem", [99, 3], every), ("vmem", [0], 1)])
    np.testing.assert_array_equal(sparse.traces[0], whole.imem[::every][:, [99, 3]])
    np.testing.assert_array_equal(sparse.traces[1], whole.vmem[:, [0]])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_events_within_a_step_does_not_matter(busy: tuple[dict[str, Any], Any], seed: int) -> None:
    network, raster = busy
    step, channel, count = (np.repeat(each, events(raster)[2]) for each in events(raster))
    order = np.lexsort((np.random.default_rng(seed).random(step.size), step))
    result = simulator(**network).run(len(raster), step[order], channel[order])
    whole = play(simulator(**network), raster).result
    for name in ("spike_step", "spike_index", "spike_count", "input_events"):
        np.testing.assert_array_equal(getattr(result, name), getattr(whole, name))
    assert count.sum() > count.size


def test_a_neuron_does_the_same_alone_and_at_any_place_in_a_crowd(busy: tuple[dict[str, Any], Any]) -> None:
    network, raster = busy
    crowd = play(simulator(**network | {"w_rec": None}), raster)
    for at in (0, 63, 64, 99):
        values = {name: network[name][at : at + 1] for name in NAMES}
        alone = play(simulator(network["w_in"][:, at : at + 1], **values), raster)
        for name in (*TRACES, "counts"):
            np.testing.assert_array_equal(getattr(alone, name)[:, 0], getattr(crowd, name)[:, at])


def test_reset_is_a_new_start(busy: tuple[dict[str, Any], Any]) -> None:
    network, raster = busy
    made = simulator(**network)
    first = play(made, raster)
    made.reset()
    state = made.state()
    for name in ("isyn", "iahp", "imem"):
        np.testing.assert_array_equal(getattr(state, name), np.float32(DARK))
    for name in ("vmem", "spikes", "refractory"):
        assert not getattr(state, name).any()
    same(play(made, raster), first)


def test_counters_and_state_are_those_of_the_traces(busy: tuple[dict[str, Any], Any]) -> None:
    network, raster = busy
    made = simulator(**network)
    seen = play(made, raster)
    result, state = seen.result, made.state()
    np.testing.assert_array_equal(result.spikes, seen.counts.sum(0))
    np.testing.assert_array_equal(result.input_events, raster.sum(0))
    np.testing.assert_array_equal(result.arrived, seen.counts[:-1].sum(0))
    fan_out = [(network[name] != 0).sum(1) for name in ("w_in", "w_rec")]
    assert result.synops == (raster @ fan_out[0]).sum() + (seen.counts[:-1] @ fan_out[1]).sum()
    for name in TRACES:
        np.testing.assert_array_equal(getattr(state, name), getattr(seen, name)[-1])
    np.testing.assert_array_equal(state.spikes, seen.counts[-1])


def test_more_spikes_than_the_buffer_holds_at_first_are_all_kept() -> None:
    n = 70
    made = simulator(np.full((1, n), 1e4), Iref=1.05e-8)
    seen = play(made, np.ones((400, 1), int))
    assert np.count_nonzero(seen.counts) > 2 * 4300
    for column in seen.counts.T:
        np.testing.assert_array_equal(column, seen.counts[:, 0])
    same(seen, play(simulator(np.full((1, n), 1e4), Iref=1.05e-8), np.ones((400, 1), int)))


def test_nothing_to_do_is_done() -> None:
    made = simulator([[1.0]])
    result = made.run(0, [], [], probe=[("imem", [0], 1), ("vmem", [], 2)])
    assert [each.shape for each in result.traces] == [(0, 1), (0, 0)]
    assert result.spike_step.size == result.synops == 0
    assert [each.size for each in events(np.zeros((3, 0)))] == [0, 0, 0]


def test_a_pulse_current_of_zero_is_a_pulse_without_end() -> None:
    seen = play(simulator([[0.001]], Ipulse=0.0), pulses(3, [(0, 0)]))
    np.testing.assert_allclose(seen.isyn[0], KEEP_SYN * DARK + GAIN_SYN * 1e-3 * SCALE, rtol=1e-4)


def test_synapses_from_lists_are_those_of_the_matrix() -> None:
    matrix = np.array([[0, 2, 0], [1, 0, -3]], np.float32)
    dense = Synapses.from_dense(matrix)
    lists = Synapses.from_lists(2, [1, 0, 1], [2, 1, 0], [-3, 2, 1])
    for name in ("indptr", "target", "weight"):
        np.testing.assert_array_equal(getattr(dense, name), getattr(lists, name))
    assert dense.sources == 2


# --- errors ---------------------------------------------------------------------------------------------------------


def test_a_state_that_is_not_finite_names_step_and_neuron_until_reset() -> None:
    w_in = np.ones((2, 80))
    w_in[1, 70:] = 1e38
    made = simulator(w_in, i_scale=1.0)
    with pytest.raises(
        StateError, match=r"step 2, neuron 70: the state is not finite \(isyn inf.*then reset"
    ) as caught:
        play(made, pulses(5, [(2, 1)], 2))
    assert (caught.value.step, caught.value.neuron) == (2, 70)
    with pytest.raises(StateError, match="step 0, neuron 70"):
        play(made, pulses(5, [], 2))
    made.reset()
    same(play(made, pulses(5, [(2, 0)], 2)), play(simulator(w_in, i_scale=1.0), pulses(5, [(2, 0)], 2)))


def refused(message: str, make: Any, kind: type[Exception] = ValueError) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"Io": np.empty(0)}, "there must be a neuron"),
        ({"Io": [5e-13] * 2, "Ut": [0.025] * 3}, "Ut has shape (3,), must be (2,) as the others"),
        ({"Idc": [0, np.nan, np.inf]}, "Idc of neuron 1 is nan and 1 more, must be finite"),
        ({"C_mem": 1e300}, "C_mem of neuron 0 is inf, must be finite"),
        ({"Io": 0.0}, "Io of neuron 0 is 0, must be above 0"),
        ({"Ispkthr": -1e-7}, "Ispkthr of neuron 0 is -1e-07, must be above 0"),
        ({"Iref": -1e-9}, "Iref of neuron 0 is -1e-09, must be not below 0"),
        ({"kappa_n": -1.0}, "kappa_n + kappa_p of neuron 0 is -0.34, must be above 0"),
        ({"C_pulse": 0.0, "Ipulse": 0.0}, "1 - exp(-t_pulse/tau_syn) of neuron 0 is nan, must be finite"),
        ({"Igain_mem": 3e38}, "Igain_mem/Itau_mem of neuron 0 is inf, must be finite"),
        ({"C_ref": 0.0, "Iref": 0.0}, "t_ref = Vth C_ref/Iref of neuron 0 is nan, must be a number"),
        ({"Io": 1e-45}, "1/Io of neuron 0 is inf, must be finite"),
    ],
)
def test_parameters_out_of_range_are_refused_with_neuron_and_value(values: dict[str, Any], message: str) -> None:
    refused(message, lambda: Neurons(**values))


def test_all_that_is_wrong_with_parameters_is_said_at_once() -> None:
    refused(
        "Idc of neuron 0 is nan, must be finite; Ut of neuron 0 is 0, must be above 0",
        lambda: Neurons(Idc=np.nan, Ut=0),
    )
    refused("needs real numbers, got <U1", lambda: Neurons(Idc="a"), TypeError)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Synapses(indptr=[0, 2], target=[0], weight=[1]), "indptr must rise from 0 to 1"),
        (lambda: Synapses(indptr=[[0]], target=[], weight=[]), "indptr has shape (1, 1), must have one dimension"),
        (lambda: Synapses(indptr=[0, 1], target=[0], weight=[1, 2]), "weight has shape (2,), target (1,)"),
        (lambda: Synapses(indptr=[0, 1], target=[-1], weight=[1]), "target has -1..-1, must lie in 0.."),
        (lambda: Synapses(indptr=[0, 1], target=[0], weight=[np.nan]), "weight 0 is nan, must be finite"),
        (lambda: Synapses.from_dense([1, 2]), "weights have shape (2,), must be (sources, targets)"),
        (lambda: Synapses.from_lists(1, [0], [0, 1], [1]), "source, target, weight have shapes (1,), (2,), (1,)"),
        (lambda: Synapses.from_lists(1, [1], [0], [1]), "source has 1..1, must lie in 0..0"),
        (lambda: events([1, 2]), "a raster has the shape (steps, inputs), not (2,)"),
        (lambda: events([[0, -1]]), "step 0, input 1: -1 is no count of events"),
        (lambda: events([[0], [0.5]]), "step 1, input 0: 0.5 is no count of events"),
        (lambda: events([[np.nan]]), "step 0, input 0: nan is no count of events"),
        (lambda: simulator([[1.0]], dt_s=0), "dt_s is 0, must be above 0 and finite"),
        (lambda: simulator([[1.0]], i_scale=np.nan), "i_scale is nan, must be above 0 and finite"),
        (lambda: simulator([[1.0]], [[1.0], [1.0]]), "w_rec has 2 sources, there are 1 neurons"),
        (lambda: DynapSim(neurons(2), Synapses.from_dense([[0, 0, 1]])), "w_in reaches neuron 2, there are 2"),
    ],
)
def test_wrong_wiring_is_refused(make: Any, message: str) -> None:
    refused(message, make)


def test_wiring_of_the_wrong_type_is_refused() -> None:
    refused("needs integers, got float64", lambda: Synapses(indptr=[0, 1], target=[0.5], weight=[1]), TypeError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, [], []), "steps is -1, must not be negative"),
        ((3, [3], [0]), "event_step has 3..3, must lie in 0..2"),
        ((3, [0], [1]), "event_input has 1..1, must lie in 0..0"),
        ((3, [0], [0], [0]), "event_count has 0..0, must lie in 1..16777216"),
        ((3, [0.5], [0]), "event_step needs integers in one dimension, got float64 (1,)"),
        ((3, [0, 1], [0]), "event_step has 2 entries, event_input 1, event_count 2"),
        ((3, [0, 2, 1], [0, 0, 0]), "event_step decreases at position 2: 2 then 1"),
    ],
)
def test_wrong_events_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    refused(message, lambda: simulator([[1.0]]).run(*arguments))


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        (("v", [0], 1), "probe 0: variable is 'v', must be one of isyn, iahp, imem, vmem"),
        (("vmem", [0], 0), "probe 0: every is 0, must be at least 1"),
        (("vmem", [0.5], 1), "probe 0: indices need integers in one dimension"),
        (("vmem", [0, 1], 1), "probe 0: indices 0..1 outside 0..0"),
    ],
)
def test_probes_of_what_is_not_there_are_refused(probe: Any, message: str) -> None:
    refused(message, lambda: simulator([[1.0]]).run(1, [], [], probe=[probe]))
