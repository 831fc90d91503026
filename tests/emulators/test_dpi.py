"""DPI neurons behind tag buses: dendrites, soma, buses, artefacts, runs in pieces, and every error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hal_emulators.dpi import VARIABLES, Artefacts, Bus, Chip, Neurons, Probe, Result, Routes
from hal_emulators.dpi_mismatch import PARAMETERS, mismatched

MS = 1_000_000
US = 1_000
AMPA, GABA, NMDA, SHUNT = range(4)
LINEAR = {"thresholded": True, "Ispkthr": 1.0}
"""Never fires and has no feedback."""

Wires = Sequence[tuple[int, int, int, int]]
"""(source, target neuron, dendrite, mask); sources as the chip numbers them; one packet per source and core."""


def wire(n_sources: int, core: NDArray[np.int64], wires: Wires) -> Routes:
    packet_ptr, packet_core, synapse_ptr, kept = [0], [], [0], []
    for source in range(n_sources):
        mine = [each for each in wires if each[0] == source]
        for c in sorted({int(core[each[1]]) for each in mine}):
            packet_core.append(c)
            kept += [each for each in mine if core[each[1]] == c]
            synapse_ptr.append(len(kept))
        packet_ptr.append(len(packet_core))
    columns = np.array(kept, np.int64).reshape(-1, 4)
    return Routes(
        packet_ptr=packet_ptr,
        packet_core=np.array(packet_core, np.int64),
        synapse_ptr=synapse_ptr,
        neuron=columns[:, 1],
        dendrite=columns[:, 2],
        mask=columns[:, 3],
    )


def make(n: int = 1, wires: Wires = (), n_inputs: int = 0, core: Any = None, **more: Any) -> Chip:
    options = {key: more.pop(key) for key in ("bus", "artefacts", "pull") if key in more}
    cores = np.zeros(n, np.int64) if core is None else np.asarray(core)
    options.setdefault("bus", Bus(event_ns=0))
    return Chip(Neurons(core=cores, **more), wire(n_inputs + n, cores, wires), **options)


def play(chip: Chip, duration_ns: int, events: Sequence[tuple[int, int]] = (), **more: Any) -> Result:
    t, source = np.array(events, np.int64).reshape(-1, 2).T
    return chip.run(duration_ns, t, source, **more)


def traced(chip: Chip, duration_ns: int, variable: str, events: Sequence[tuple[int, int]] = (), every: int = US) -> Any:
    n = np.arange(chip.neurons.core.size)
    return play(chip, duration_ns, events, probes=[Probe(variable, n, every)]).traces[0]


# --- dendrites --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dendrite", range(4))
def test_a_pulse_drives_its_dendrite_for_its_width_and_decays_with_tau(dendrite: int) -> None:
    chip = make(1, [(0, 0, dendrite, 0b0101)], 1, **LINEAR)
    name = VARIABLES[1 + dendrite]
    seen = traced(chip, 30 * MS, name, [(0, 0)], 10 * US)[:, 0]
    io, tau = 5e-13, 10e-3
    target = io + 100 * 5e-9
    np.testing.assert_allclose(seen[1], target + (io - target) * np.exp(-10e-6 / tau), rtol=1e-6)
    np.testing.assert_allclose(seen[1 + 1000], io + (seen[1] - io) * np.exp(-1), rtol=1e-6)
    for other in set(VARIABLES[1:]) - {name}:
        assert chip.state(other)[0] == io


def test_pulses_that_overlap_add() -> None:
    one = make(1, [(0, 0, AMPA, 1)], 2, Ipulse=3.5e-10, **LINEAR)
    both = make(1, [(0, 0, AMPA, 1), (1, 0, AMPA, 1)], 2, Ipulse=3.5e-10, **LINEAR)
    alone, later, together = (
        traced(chip, 5 * MS, "iampa", events, 100 * US)[:, 0]
        for chip, events in ((one, [(0, 0)]), (one, [(5 * MS // 10, 0)]), (both, [(0, 0), (5 * MS // 10, 1)]))
    )
    one.reset()
    later = traced(one, 5 * MS, "iampa", [(MS // 2, 0)], 100 * US)[:, 0]
    np.testing.assert_allclose(together - 5e-13, alone + later - 1e-12, rtol=1e-6, atol=1e-16)


def test_dendrites_do_not_drift() -> None:
    chip = make(1, [(0, 0, AMPA, 15), (0, 0, GABA, 3)], 1, **LINEAR)
    seen = play(chip, 3000 * MS, [(int(t), 0) for t in np.arange(2000) * 7919])
    assert seen.synops.tolist() == [4000]
    assert seen.pulses_pending == 0
    assert chip.state("iampa")[0] == chip.state("igaba")[0] == 5e-13


# --- soma -------------------------------------------------------------------------------------------------------------


def test_a_small_signal_decays_with_the_membrane_time_constant() -> None:
    # far above Igain_mem and the dark current, without drive: tau = Ut C_mem / (kappa Itau_mem) = 20 ms
    chip = make(1, [(0, 0, AMPA, 15)], 1, Igain_mem=1e-12, Itau_syn=8.688e-9, Igain_syn=8.688e-7, **LINEAR)
    seen = traced(chip, 30 * MS, "imem", [(k * 10 * US, 0) for k in range(40)], MS)[:, 0]
    leak = chip.neurons.Itau_mem[0]
    tau = -10e-3 / np.log(seen[20] / seen[10])
    assert seen[10] > 100e-12
    np.testing.assert_allclose(tau, 25e-3 * 3e-12 / (0.705 * leak), rtol=0.01)


@pytest.mark.parametrize("pull", [True, False])
def test_inhibition_after_excitation_lowers_the_membrane(pull: bool) -> None:
    wires = [(0, 0, AMPA, 1), (1, 0, GABA, 1)]
    alone = traced(make(1, wires, 2, pull=pull, **LINEAR), 20 * MS, "imem", [(0, 0)])[:, 0]
    both = traced(make(1, wires, 2, pull=pull, **LINEAR), 20 * MS, "imem", [(0, 0), (3 * MS, 1)])[:, 0]
    np.testing.assert_allclose(both[:3000], alone[:3000], rtol=1e-6)
    assert (both[3100:] < alone[3100:]).all()
    assert both[10_000] < 0.9 * alone[10_000]


def test_only_with_pull_inhibition_draws_from_the_membrane() -> None:
    wires = [(0, 0, AMPA, 1), (1, 0, GABA, 15)]
    events = [(0, 0), (5 * MS, 1)]
    drawn, cut = (
        traced(make(1, wires, 2, pull=pull, **LINEAR), 20 * MS, "imem", events)[-1, 0] for pull in (True, False)
    )
    assert drawn < 0.5 * cut


def test_the_rate_saturates_at_the_refractory_time() -> None:
    chip = make(1, Idc=1e-6, Ispkthr=1e-9)
    seen = play(chip, 100 * MS)
    gaps = np.diff(seen.spike_t)
    assert (gaps > 1e-3).all()
    assert (gaps < 1.02e-3).all()
    assert 97 < seen.spikes[0] <= 100


def test_adaptation_lowers_a_steady_rate() -> None:
    more = {"Idc": 3e-10, "Iw_ahp": 5e-8, "Ipulse_ahp": 3.5e-9}
    plain, adapted = (play(make(1, adaptation=on, **more), 1000 * MS) for on in (False, True))
    assert plain.spikes[0] > 1.2 * adapted.spikes[0] > 0
    # the first spike comes before any adaptation
    assert adapted.spike_t[0] == plain.spike_t[0]
    assert np.diff(adapted.spike_t)[-1] > 1.1 * np.diff(plain.spike_t)[-1]


def test_nmda_passes_only_above_its_reversal_bias() -> None:
    wires = [(0, 0, NMDA, 15)]
    low, high = (
        traced(make(1, wires, 1, Idc=idc, If_nmda=3e-11, **LINEAR), 300 * MS, "imem", [(280 * MS, 0)], MS)[:, 0]
        for idc in (5e-13, 5e-10)
    )
    without = traced(make(1, Idc=5e-10, **LINEAR), 300 * MS, "imem", (), MS)[:, 0]
    weak = traced(make(1, wires, 1, Idc=5e-10, If_nmda=1e-7, **LINEAR), 300 * MS, "imem", [(280 * MS, 0)], MS)[:, 0]
    assert low[279] < 3e-11 < high[279] < 1e-7
    assert high[299] - without[299] > 10 * (weak[299] - without[299]) > 0


def test_shunting_divides() -> None:
    seen = traced(make(1, [(0, 0, SHUNT, 1)], 1, Idc=5e-10, **LINEAR), 400 * MS, "imem", [(300 * MS, 0)], MS)[:, 0]
    assert seen[300:].min() < 0.3 * seen[299]


def test_exponential_neurons_run_away_where_thresholded_ones_settle() -> None:
    seen = play(make(2, thresholded=[True, False], Idc=4e-11), 1000 * MS)
    assert set(seen.spike_neuron.tolist()) == {1}


def test_dc_is_for_those_that_have_it_on() -> None:
    seen = play(make(2, dc=[True, False], Idc=1e-9), 200 * MS)
    assert set(seen.spike_neuron.tolist()) == {0}


def test_a_neuron_at_rest_stays_at_the_dark_current() -> None:
    chip = make(1)
    assert play(chip, 10**12).spikes[0] == 0
    assert 5e-13 <= chip.state("imem")[0] < 2e-12


# --- order, pieces, buses ---------------------------------------------------------------------------------------------


def network(**more: Any) -> tuple[Chip, NDArray[np.int64], NDArray[np.int64]]:
    rng = np.random.default_rng(5)
    wires = [
        (int(s), int(t), int(rng.integers(4)), int(rng.integers(1, 16)))
        for s in range(20)
        for t in rng.choice(12, 3, False)
    ]
    chip = make(
        12, wires, 8, core=np.arange(12) // 6, adaptation=np.arange(12) % 2 == 0, Idc=2e-9, Ispkthr=5e-9, **more
    )
    t = np.sort(rng.integers(0, 200 * MS, 400))
    return chip, t, rng.integers(0, 8, t.size)


SAMPLED = [Probe(name, np.arange(12), MS) for name in VARIABLES]
MESSY = {"bus": Bus(event_ns=300, latency_ns=70, capacity=2), "artefacts": Artefacts(p_double=0.2, p_lost=0.1, seed=3)}


@pytest.fixture(scope="module")
def whole() -> Result:
    chip, t, source = network(**MESSY)
    return chip.run(200 * MS, t, source, SAMPLED)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 199), max_size=6), looking=st.booleans())
def test_pieces_are_the_whole_bit_for_bit(whole: Result, cuts: list[int], looking: bool) -> None:
    chip, t, source = network(**MESSY)
    parts = []
    for start, stop in zip(edges := [0, *sorted(cuts)], [*edges[1:], 200], strict=True):
        mine = (t >= start * MS) & (t < stop * MS)
        parts.append(chip.run((stop - start) * MS, t[mine] - start * MS, source[mine], SAMPLED if looking else ()))
        chip.state("imem")
    assert whole.spikes.sum() > 60
    for name in ("spike_t", "spike_neuron"):
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))
    for name in ("events", "delivered", "synops", "dropped", "lost", "spikes"):
        np.testing.assert_array_equal(sum(getattr(part, name) for part in parts), getattr(whole, name))
    ns = np.concatenate([part.spike_t_ns + start * MS for part, start in zip(parts, edges, strict=True)])
    np.testing.assert_array_equal(ns, whole.spike_t_ns)
    assert (ns == np.floor(whole.spike_t * 1e9)).mean() > 0.99
    if looking:
        for k, trace in enumerate(whole.traces):
            np.testing.assert_array_equal(np.concatenate([part.traces[k] for part in parts]), trace)


def test_reset_repeats_and_a_seed_repeats(whole: Result) -> None:
    chip, t, source = network(**MESSY)
    for _ in range(2):
        seen = chip.run(200 * MS, t, source)
        np.testing.assert_array_equal(seen.spike_t, whole.spike_t)
        chip.reset()
    chip.reseed(1)
    other = chip.run(200 * MS, t, source)
    assert other.spike_t.size != whole.spike_t.size or bool((other.spike_t != whole.spike_t).any())


def test_simultaneous_events_are_taken_by_channel_one_after_the_other() -> None:
    wires = [(s, s, AMPA, 1) for s in range(3)]
    chip = make(3, wires, 3, bus=Bus(event_ns=100_000, latency_ns=50_000), **LINEAR)
    seen = play(chip, MS, [(0, 2), (0, 0), (0, 1)], probes=[Probe("iampa", [0, 1, 2], 50_000)])
    begins = (seen.traces[0] > 6e-13).argmax(axis=0) * 50
    assert begins.tolist() == [200, 300, 400]  # the first sample after 150, 250, 350 us
    assert seen.queued_ns.tolist() == pytest.approx([300_000])
    assert seen.delivered.tolist() == seen.synops.tolist() == [3]


def test_what_finds_the_queue_full_is_dropped_and_counted() -> None:
    wires = [(s, s // 4, AMPA, 1) for s in range(8)]
    chip = make(2, wires, 8, core=[0, 1], bus=Bus(event_ns=10_000, capacity=1), **LINEAR)
    first = play(chip, 5_000, [(100, s) for s in range(4)] + [(200, 4), (300, 0)])
    assert first.events.tolist() == [5, 1]
    assert first.dropped.tolist() == [3, 0]
    assert first.overload_core.tolist() == [0]
    assert first.overload_ns.tolist() == [[100, 300]]
    assert first.packets_pending == 3
    second = play(chip, 100_000, [(50_000, 1)])
    assert second.delivered.tolist() == [3, 1]
    assert second.packets_pending == 0
    assert second.dropped.sum() == 0


def test_many_overloads_and_pulses_find_room() -> None:
    chip = make(1, [(s, 0, AMPA, 1) for s in range(3)], 3, bus=Bus(event_ns=1000, capacity=0), Ipulse=3.5e-12, **LINEAR)
    seen = play(chip, MS, [(k * 5000, s) for k in range(200) for s in range(3)])
    assert seen.dropped.tolist() == [400]
    assert seen.overload_ns[:, 0].tolist() == [k * 5000 for k in range(200)]
    assert seen.pulses_pending == 200


def test_neurons_talk_over_the_bus() -> None:
    chip = make(2, [(0, 1, AMPA, 15)], 0, dc=[True, False], Idc=1e-8, bus=Bus(event_ns=1000), Ispkthr=1e-9)
    seen = play(chip, 50 * MS)
    assert seen.spikes[0] > seen.synops[0] > 10
    assert 1 in seen.spike_neuron


def test_double_events_and_losses_come_at_their_rate() -> None:
    double = play(make(1, Idc=1e-6, artefacts=Artefacts(p_double=0.25)), 2000 * MS)
    gaps = np.diff(double.spike_t)
    twice = np.isclose(gaps, 1e-6, rtol=1e-3)
    assert 0.2 < twice.sum() / (~twice).sum() < 0.3
    chip = make(1, [(0, 0, AMPA, 1)], 1, artefacts=Artefacts(p_lost=0.25), **LINEAR)
    lossy = play(chip, 1000 * MS, [(k * MS // 2, 0) for k in range(2000)])
    assert 400 < lossy.lost[0] < 600
    assert lossy.delivered[0] + lossy.lost[0] == lossy.events[0] == 2000


# --- mismatch ---------------------------------------------------------------------------------------------------------


def test_mismatch_is_of_the_place_and_of_no_neighbour() -> None:
    neurons = Neurons(core=np.zeros(500, np.int64))
    at = {"chip_seed": 4, "chip": np.zeros(500, int), "core": np.arange(500) % 4, "neuron": np.arange(500)}
    made = mismatched(neurons, **at)
    few = [400, 3, 77]
    some = mismatched(
        Neurons(core=np.zeros(3, np.int64)),
        chip_seed=4, chip=np.zeros(3, int), core=np.array(few) % 4, neuron=few,
    )  # fmt: skip
    for name in PARAMETERS:
        values = getattr(made, name)
        np.testing.assert_array_equal(getattr(some, name), values[few])
        spread = values / getattr(neurons, name) - 1
        assert abs(spread.mean()) < 0.02
        assert 0.085 < spread.std() < 0.115
    np.testing.assert_array_equal(made.Iw, neurons.Iw)
    assert abs(np.corrcoef(made.Itau_syn.T) - np.eye(4)).max() < 0.2
    assert (mismatched(neurons, **at | {"chip_seed": 5}).Itau_mem != made.Itau_mem).all()
    wide = mismatched(neurons, **at, sigma=0.9)
    assert all((getattr(wide, name) > 0).all() for name in PARAMETERS)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"chip_seed": -1}, "chip_seed is -1, must be 0"),
        ({"sigma": 2.0}, "sigma is 2.0, must lie in 0..1"),
        ({"core": [0, -1]}, "core needs 2 integers that are not negative"),
        ({"neuron": [0]}, "neuron needs 2 integers"),
        ({"chip": [0.5, 0.5]}, "chip needs 2 integers"),
    ],
)
def test_mismatch_refuses_what_is_no_place(change: dict[str, Any], text: str) -> None:
    at = {"chip_seed": 0, "chip": [0, 0], "core": [0, 0], "neuron": [0, 1]} | change
    with pytest.raises(ValueError, match=text):
        mismatched(Neurons(core=[0, 0]), **at)


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"core": np.empty(0, int)}, ValueError, "there must be a neuron"),
        ({"core": [0, -1]}, ValueError, "core of neuron 1 is -1, must not be negative"),
        ({"core": [0.5, 1.5]}, TypeError, "needs integers, got float64"),
        ({"core": 0}, TypeError, "needs one dimension"),
        ({"Io": [1e-13] * 3}, ValueError, r"Io has shape \(3,\), must be \(2,\)"),
        ({"Iw": np.ones((4, 4))}, ValueError, r"Iw has shape \(4, 4\), must be \(2, 4\)"),
        ({"Itau_mem": [1e-12, 0.0]}, ValueError, "Itau_mem of neuron 1 is 0.0, must be finite and positive"),
        ({"C_syn": -1.0}, ValueError, "C_syn of neuron 0 and of 1 more is -1.0"),
        ({"Idc": np.nan}, ValueError, "Idc of neuron 0 and of 1 more is nan, must be finite and not negative"),
        ({"Itau_ahp": 0.0, "adaptation": [False, True]}, ValueError, "Itau_ahp of neuron 1 is 0.0"),
        ({"Ispkthr": 5e-13}, ValueError, "Ispkthr of neuron 0 is 5e-13 A, must be above Io"),
        ({"Ut": "warm"}, TypeError, "needs numbers"),
        ({"dc": [1, 0]}, TypeError, "needs booleans"),
    ],
)
def test_neurons_refuse(change: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        Neurons(**{"core": [0, 0]} | change)


def test_adaptation_that_is_off_may_be_zero() -> None:
    Neurons(core=[0], Itau_ahp=0.0, Igain_ahp=0.0, Iw_ahp=0.0, If_nmda=0.0)


ROUTES: dict[str, Any] = {
    "packet_ptr": [0, 1], "packet_core": [0], "synapse_ptr": [0, 1], "neuron": [0], "dendrite": [0], "mask": [1]
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"packet_ptr": [0, 2]}, ValueError, "packet_ptr must rise from 0 to 1"),
        ({"packet_ptr": [0, 2, 1]}, ValueError, "packet_ptr must rise from 0 to 1"),
        ({"synapse_ptr": [1, 1]}, ValueError, "synapse_ptr must rise"),
        ({"synapse_ptr": [0, 0, 1]}, ValueError, "synapse_ptr is for 2 packets, there are 1"),
        ({"dendrite": [4]}, ValueError, r"dendrite has 4..4, must lie in 0..3"),
        ({"mask": [0]}, ValueError, r"mask has 0..0, must lie in 1..15"),
        ({"mask": [1, 1]}, ValueError, "mask has 2 entries, neuron 1"),
        ({"neuron": [-1]}, ValueError, "neuron has -1"),
        ({"neuron": [0.5]}, TypeError, "needs integers"),
    ],
)
def test_routes_refuse(change: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        Routes(**ROUTES | change)


@pytest.mark.parametrize(
    ("kind", "values", "text"),
    [
        (Bus, {"event_ns": -1.0}, "event_ns is -1.0, must not be negative"),
        (Bus, {"latency_ns": float("nan")}, "latency_ns is nan"),
        (Bus, {"capacity": -1}, "capacity is -1"),
        (Artefacts, {"p_double": 1.5}, "p_double is 1.5, must lie in 0..1"),
        (Artefacts, {"p_lost": -0.1}, "p_lost is -0.1"),
        (Artefacts, {"seed": -1}, "seed is -1"),
    ],
)
def test_bus_and_artefacts_refuse(kind: Any, values: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        kind(**values)


@pytest.mark.parametrize(
    ("core", "change", "text"),
    [
        ([0, 0], {}, "routes have 1 sources, there are 2 neurons"),
        ([0], {"neuron": [3]}, "routes reach neuron 3, there are 1"),
        ([1], {}, "synapse 0: neuron 0 lies on core 1, not on core 0, to which its packet goes"),
    ],
)
def test_a_chip_refuses_routes_of_another(core: list[int], change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Chip(Neurons(core=core), Routes(**ROUTES | change))


@pytest.mark.parametrize(
    ("t_ns", "source", "probes", "text"),
    [
        ([0.5], [0], [], "t_ns needs integers in one dimension"),
        ([1000], [0], [], r"t_ns has 1000..1000, must lie in 0..999"),
        ([0], [1], [], r"source has 1..1, must lie in 0..0"),
        ([0, 1], [0], [], "t_ns has 2 entries, source 1"),
        ([5, 4], [0, 0], [], "t_ns decreases at position 1: 5 then 4"),
        ([], [], [("vmem", [0], 1)], "variable is 'vmem', must be one of imem"),
        ([], [], [("imem", [1], 1)], r"probe 0 has 1..1, must lie in 0..0"),
        ([], [], [("imem", 0, 1)], "probe 0 needs integers in one dimension"),
        ([], [], [("imem", [0], 0)], "probe 0: every_ns is 0, must be 1 or more"),
    ],
)
def test_a_run_refuses(t_ns: Any, source: Any, probes: Any, text: str) -> None:
    chip = make(1, [(0, 0, AMPA, 1)], 1)
    with pytest.raises(ValueError, match=text):
        chip.run(1000, t_ns, source, probes)
    assert chip.clock_ns == 0


def test_a_chip_refuses_times_and_streams_that_are_none() -> None:
    chip = make()
    for duration in (-1, 2**53):
        with pytest.raises(ValueError, match=f"duration_ns is {duration}"):
            chip.run(duration, [], [])
    with pytest.raises(ValueError, match="stream is -1"):
        chip.reseed(-1)
    with pytest.raises(ValueError, match="variable is 'v'"):
        chip.state("v")
