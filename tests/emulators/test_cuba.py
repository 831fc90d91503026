"""Current-based neurons, exactly: when they spike, what arrives when, runs in pieces, batches, and every error."""

from __future__ import annotations

from math import e, exp, log
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hal_emulators.cuba import BatchResult, Network, Neurons, Probe, Result, Synapses

US = 1e-6
SEEDS = st.integers(0, 2**32 - 1)


def single(weight: float | list[float] = 1.0, **parameters: Any) -> Network:
    """One neuron with a channel for every weight."""
    return Network(Neurons(size=1, **parameters), Synapses.chain(np.reshape(weight, (-1, 1))))


def first(weight: float, **parameters: Any) -> float:
    """When the only spike comes that an input at 0 makes, us."""
    seen = single(weight, t_ref=np.inf, **parameters).run(1e-3, [0.0], [0])
    assert seen.t.size == 1
    return float(seen.t[0]) / US


# --- one neuron -------------------------------------------------------------------------------------------------------


def test_known_first_spikes() -> None:
    assert first(6.0) == pytest.approx(2.8488094338, abs=1e-10)
    assert first(6.0, tau_mem=18e-6) == pytest.approx(5.3657979, abs=1e-7)
    assert first(6.0, tau_mem=8e-6) == pytest.approx(1.711, abs=1e-3)
    assert first(6.0, tau_mem=3e-6) == pytest.approx(0.577, abs=1e-3)


@pytest.mark.parametrize("ratio", [1e-3, 0.1, 0.5, 0.999, 1 - 1e-12, 1.0, 1 + 1e-12, 1.001, 1.5, 2.0, 2.0001, 10, 1e3])
@pytest.mark.parametrize("excess", [1e-7, 1e-4, 0.1, 10.0, 1e4])
def test_at_the_spike_the_potential_is_the_threshold(ratio: float, excess: float) -> None:
    # an input w peaks at w r^(-r / (r - 1)); w e at r = 1
    peak = ratio ** (-ratio / (ratio - 1)) if abs(ratio - 1) > 1e-6 else exp(-1) * (1 - (ratio - 1) / 2)
    w = (1 + excess) / peak
    x = first(w, tau_mem=6e-6 * ratio) / (6 * ratio)
    if abs(ratio - 1) > 1e-6:
        v, slope = w * (exp(-x) - exp(-ratio * x)) / (ratio - 1), abs(1 - w * exp(-ratio * x))
        rounding = 4e-16 * w / abs(ratio - 1)
    else:
        v, slope, rounding = w * x * exp(-x) * (1 - (ratio - 1) * x / 2), abs(1 - w * exp(-x)), 4e-16 * w
    assert abs(v - 1) < rounding + 1e-15 + slope * (1 + x) * 1e-15
    assert x < (log(ratio) / (ratio - 1) if abs(ratio - 1) > 1e-6 else 1.0)
    assert single(w / (1 + 1.01 * excess), tau_mem=6e-6 * ratio).run(1e-2, [0.0], [0]).t.size == 0


def test_special_ratios_are_the_limits_of_others() -> None:
    for tau in (6e-6, 12e-6):
        near = [first(5.0, tau_mem=tau * factor) for factor in (1 - 1e-9, 1, 1 + 1e-9, 1 + 2e-16)]
        assert max(near) - min(near) < 2e-8
        assert near[1] == pytest.approx((near[0] + near[2]) / 2, abs=1e-14)


@pytest.mark.parametrize(("tau_mem", "limit"), [(12e-6, 4.0), (6e-6, e)])
def test_a_peak_above_the_threshold_is_a_spike_and_one_at_it_is_none(tau_mem: float, limit: float) -> None:
    for factor, spikes in ((1 + 1e-6, 1), (1 - 1e-6, 0), (1 + 1e-12, 1), (1 - 1e-12, 0)):
        net = single(limit * factor, tau_mem=tau_mem, v_reset=-1000.0)
        assert net.run(1e-3, [0.0], [0]).t.size == spikes
    if limit == 4:
        assert single(4.0).run(1e-3, [0.0], [0]).t.size == 0


def test_the_current_jumps_by_the_weight_and_is_kept_at_a_spike() -> None:
    net = single([6.0, -2.5], v_reset=0.25)
    seen = net.run(40 * US, [0.0, 10 * US], [0, 1], [Probe("i", [0], 1 * US), Probe("v", [0], 1 * US)])
    t, i = seen.traces[0]
    np.testing.assert_allclose(t, np.arange(40) * US)
    # a sample comes before what happens at its time
    np.testing.assert_allclose(i[1:11, 0], 6 * np.exp(-t[1:11] / 6e-6), rtol=1e-14)
    np.testing.assert_allclose(i[11:, 0], (6 * exp(-10 / 6) - 2.5) * np.exp(-(t[11:] - 10e-6) / 6e-6), rtol=1e-13)
    assert i[0, 0] == 0
    np.testing.assert_allclose(seen.i, 6 * np.exp(-seen.t / 6e-6), rtol=1e-14)
    spike = seen.t[0]
    k = int(spike / US) + 1
    d = k * US - spike
    v = 0.25 * exp(-d / 12e-6) + seen.i[0] * (exp(-d / 12e-6) - exp(-d / 6e-6))
    assert seen.traces[1][1][k, 0] == pytest.approx(v, rel=1e-13)


def test_potentials_are_about_the_leak() -> None:
    plain = single(8.0, v_reset=-0.5)
    moved = single(8.0, v_leak=2.0, v_th=3.0, v_reset=1.5)
    one, other = (net.run(30 * US, [0.0, 5 * US], [0, 0], [("v", [0], US)]) for net in (plain, moved))
    np.testing.assert_array_equal(one.t, other.t)
    np.testing.assert_allclose(other.traces[0][1], one.traces[0][1] + 2, rtol=1e-14)
    assert moved.state("v")[0] == pytest.approx(plain.state("v")[0] + 2, rel=1e-14)
    assert one.t.size > 1


def test_a_threshold_of_infinity_is_never_reached() -> None:
    assert single(1e6, v_th=np.inf).run(1e-3, [0.0], [0]).t.size == 0


# --- refractory time --------------------------------------------------------------------------------------------------


def test_the_membrane_is_held_and_the_current_goes_on() -> None:
    net = single(30.0, t_ref=5 * US, t_holdoff=2 * US, v_reset=-0.25)
    seen = net.run(20 * US, [0.0, 2 * US], [0, 0], [("v", [0], 0.1 * US), ("i", [0], 0.1 * US)])
    t, v = seen.traces[0]
    spike = seen.t[0]
    held = (t > spike) & (t < spike + 3 * US)
    assert held.sum() == 30
    assert (v[held] == -0.25).all()
    assert v[np.argmax(t >= spike + 3 * US), 0] > -0.25
    i = 30 * np.exp(-t / 6e-6) + np.where(t > 2 * US, 30 * np.exp(-(t - 2 * US) / 6e-6), 0)
    np.testing.assert_allclose(seen.traces[1][1][1:, 0], i[1:], rtol=1e-13)


@given(seed=SEEDS)
@settings(max_examples=30, deadline=None)
def test_no_two_spikes_within_the_refractory_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    t_ref = rng.uniform(0.5, 5) * US
    net = single(20.0, t_ref=t_ref, t_holdoff=t_ref * rng.choice([0.0, 0.3, 1.0]), tau_mem=rng.uniform(3, 20) * US)
    seen = net.run(200 * US, rng.uniform(0, 200 * US, 60), np.zeros(60, int))
    assert seen.t.size > 0
    assert (seen.t[1:] >= seen.t[:-1] + t_ref).all()


def test_what_crosses_in_the_holdoff_has_to_fall_below_before_it_counts() -> None:
    # let go at once, above the threshold long before the refractory time ends
    parameters = {"t_ref": 4 * US, "t_holdoff": 4 * US, "tau_mem": 6 * US, "tau_syn": 6 * US}
    net = single([12.0, -60.0], **parameters)
    seen = net.run(100 * US, [0.0], [0], [("v", [0], 0.5 * US)])
    assert seen.t.size == 1
    v = seen.traces[0][1][:, 0]
    assert v[int((seen.t[0] + 4 * US) / (0.5 * US)) + 1] > 1
    # inhibition takes it down, another input up again: that counts
    net.reset()
    again = net.run(100 * US, [0.0, 6 * US, 12 * US], [0, 1, 0])
    assert again.t.size == 1
    net = single([12.0, -60.0, 200.0], **parameters)
    assert net.run(100 * US, [0.0, 6 * US, 12 * US], [0, 1, 2]).t.size == 2
    # excitation alone while it is above does not
    assert single([12.0, -60.0, 200.0], **parameters).run(100 * US, [0.0, 7 * US], [0, 2]).t.size == 1


def test_below_the_threshold_at_the_end_of_the_holdoff_it_spikes_when_it_gets_there() -> None:
    free = single(12.0)
    wait = single(12.0, t_ref=0.4 * US, t_holdoff=0.4 * US)
    one, other = (net.run(10 * US, [0.0], [0]) for net in (free, wait))
    np.testing.assert_allclose(one.t, other.t, rtol=1e-12)
    assert one.t.size > 1


def test_a_reset_above_the_threshold_gives_one_spike_until_it_has_been_below() -> None:
    for reset in (1.0, 2.0):
        net = single(8.0, v_reset=reset)
        seen = net.run(100 * US, [0.0, 5 * US, 90 * US], [0, 0, 0])
        assert seen.t.size == 2
        assert seen.t[1] > 90 * US


# --- a leak at the threshold or above ---------------------------------------------------------------------------------


def test_a_leak_above_the_threshold_makes_it_spike_for_ever() -> None:
    # from reset 0 to 1 with the leak at 1.25: tau ln 5; it starts above and has to be brought below
    for ratio in (0.5, 1.0, 2.0, 3.3):
        net = single(-40.0, v_leak=1.25, tau_syn=12 * US / ratio)
        assert net.run(50 * US).t.size == 0
        seen = net.run(2000 * US, [100 * US], [0])
        assert seen.t.size > 90
        np.testing.assert_allclose(np.diff(seen.t)[40:], 12e-6 * log(5), rtol=1e-9)
        assert net.state("v")[0] < 1


def test_a_leak_at_the_threshold_is_never_reached() -> None:
    net = single([-3.0, 1.0], v_leak=1.0)
    assert net.run(500 * US, [0.0], [0]).t.size == 0
    assert net.run(1000 * US, [520 * US, 525 * US], [0, 1]).t.size == 0
    net = single([-3.0, 30.0], v_leak=1.0)
    assert net.run(1000 * US, [0.0, 5 * US], [0, 1]).t.size > 0


def test_inhibition_too_weak_to_bring_it_below_makes_no_spike() -> None:
    assert single(-0.5, v_leak=1.25).run(500 * US, [0.0], [0]).t.size == 0


# --- ties and order ---------------------------------------------------------------------------------------------------


def test_identical_neurons_all_spike_at_one_time() -> None:
    for n in (10, 1000):
        w = np.full((1, n), 6.0)
        net = Network(Neurons(size=n + 1, v_reset=-1000.0), Synapses.chain(w, np.full((n, 1), 5.0 / n)))
        seen = net.run(50 * US, [0.0], [0])
        batch = net.run_batch(50 * US, [[0.0]], [[0]])
        for spikes in (seen, batch):
            assert spikes.neuron.tolist() == list(range(n + 1))
            assert np.unique(spikes.t[:n]).size == 1
            assert spikes.t[n] > spikes.t[0]


def test_two_inputs_at_one_time_are_one_of_the_summed_weight() -> None:
    two, one = single([5.0, -1.5]), single([3.5 + 1.0, 0.0])
    many = single([1.0, 1.5])
    for net, channels in ((two, [0, 1, 0]), (many, [0, 0, 0, 1, 0, 1, 1, 1])):
        seen = net.run(50 * US, np.full(len(channels), 3 * US), channels)
        total = sum([5.0, -1.5][c] for c in channels) if net is two else sum([1.0, 1.5][c] for c in channels)
        wanted = single(total).run(50 * US, [3 * US], [0])
        np.testing.assert_array_equal(seen.t, wanted.t)
        assert seen.t.size > 0
    assert one.run(50 * US, [0.0, 0.0], [0, 1]).t.tolist() == single(4.5).run(50 * US, [0.0], [0]).t.tolist()


def test_an_input_at_the_time_of_a_spike_does_not_undo_it() -> None:
    when = float(single(6.0).run(50 * US, [0.0], [0]).t[0])
    for w in (-100.0, 100.0):
        net = single([6.0, w], v_reset=-1000.0)
        seen = net.run(50 * US, [0.0, when], [0, 1])
        assert seen.t.tolist() == [when]
        batch = single([6.0, w], v_reset=-1000.0).run_batch(50 * US, [[0.0, when]], [[0, 1]])
        assert batch.t.tolist() == [when]
        assert batch.i[0] == seen.i[0] == pytest.approx(6 * exp(-when / 6e-6))


def test_connections_without_delay_act_at_once_also_in_a_loop() -> None:
    # neuron 0 inhibits itself and excites 1, which excites 0; all without delay
    synapses = Synapses.of(3, [0, 1, 1, 2], [0, 0, 1, 0], [6.0, -100.0, 12.0, 400.0])
    net = Network(Neurons(size=2, t_ref=[0.0, np.inf]), synapses)
    seen = net.run(60 * US, [0.0], [0])
    assert not net.layered
    assert seen.neuron[:3].tolist() == [0, 1, 0]
    alone = single(12.0).run(60 * US, [float(seen.t[0])], [0])
    assert seen.t[1] == pytest.approx(alone.t[0], rel=1e-13)


def test_delays_are_those_of_the_synapses() -> None:
    synapses = Synapses.of(4, [0, 0, 1], [0, 1, 2], [6.0, 6.0, 6.0], [0.0, 7 * US, 3 * US])
    net = Network(Neurons(size=3, v_reset=-1000.0), synapses)
    seen = net.run(60 * US, [0.0], [0])
    batch = net.run_batch(60 * US, [[0.0]], [[0]])
    plain = first(6.0) * US
    for spikes in (seen, batch):
        np.testing.assert_allclose(spikes.t, [plain, 2 * plain + 3 * US, 7 * US + plain], rtol=1e-13)
        assert spikes.neuron.tolist() == [0, 2, 1]


def test_packets_under_way_are_pending_and_arrive_in_the_next_run() -> None:
    net = Network(Neurons(size=1), Synapses.of(2, [0], [0], [6.0], 30 * US))
    seen = net.run(20 * US, [0.0, 5 * US], [0, 0])
    assert (seen.pending, seen.t.size, net.clock_s) == (2, 0, 20 * US)
    later = net.run(100 * US)
    assert later.pending == 0
    assert later.t[0] == pytest.approx((30 + 2.8488094338) * US, abs=1e-15)


def test_parallel_synapses_are_one_and_those_that_cancel_are_none() -> None:
    synapses = Synapses.of(2, [0, 0, 0, 0], [0, 0, 0, 0], [2.0, 4.0, 9.0, -9.0], [0.0, 0.0, US, US])
    seen = Network(Neurons(size=1), synapses).run(50 * US, [0.0], [0])
    assert seen.t.tolist() == single(6.0).run(50 * US, [0.0], [0]).t.tolist()


def test_nothing_is_truncated() -> None:
    rng = np.random.default_rng(1)
    n = 40
    net = Network(Neurons(size=n, t_ref=0.1 * US), Synapses.chain(np.full((3, n), 9.0), delay=50 * US))
    times = rng.uniform(0, 100 * US, 3000)
    seen = net.run(400 * US, times, rng.integers(0, 3, 3000))
    assert seen.t.size > 30_000
    assert (np.bincount(seen.neuron) == seen.t.size // n).all()
    net.reset()
    batch = net.run_batch(400 * US, [times], [np.zeros(3000, int)])
    assert batch.t.size == seen.t.size
    np.testing.assert_array_equal(batch.t, seen.t)


# --- properties of random networks ------------------------------------------------------------------------------------


def draw(seed: int, recurrent: bool) -> tuple[Network, NDArray[np.float64], NDArray[np.int64]]:
    """A network and its inputs, some of which share a time; until 64 us."""
    rng = np.random.default_rng(seed)
    n_inputs, n = int(rng.integers(1, 5)), int(rng.integers(1, 12))
    k = int(rng.integers(0, 60))
    source = rng.integers(0, n_inputs + n, k)
    target = rng.integers(0, n, k)
    if not recurrent:
        source = np.where(source - n_inputs >= target, rng.integers(0, n_inputs, k), source)
    delay = rng.choice([0.0, 1 * US, 2.5 * US], k) if rng.random() < 0.5 else 0.0
    tau_mem = rng.choice([6 * US, 12 * US, 12 * US, 20 * US], n if rng.random() < 0.5 else 1)
    # without a refractory time a loop without delay may have no end of spikes, and a chain too many
    t_ref = rng.choice([1 * US, 3 * US, np.inf], n)
    if not recurrent:
        t_ref[-1] = 0.0
    neurons = Neurons(
        size=n,
        tau_mem=np.broadcast_to(tau_mem, n),
        tau_syn=rng.choice([6 * US, 10 * US]),
        v_leak=rng.choice([0.0, 0.0, 0.2, 1.1]),
        v_reset=rng.choice([0.0, -1000.0, 0.9, 1.5], n),
        t_ref=t_ref,
        t_holdoff=np.minimum(t_ref, rng.choice([0.0, 0.5 * US], n)),
    )
    synapses = Synapses.of(n_inputs + n, source, target, rng.choice([3.0, 6.0, -2.0, 9.5], k), delay)
    m = int(rng.integers(0, 40))
    times = rng.choice(rng.uniform(0, 64 * US, max(m // 2, 1)), m)
    return Network(neurons, synapses), times, rng.integers(0, n_inputs, m)


def same(one: Result | BatchResult, other: Result | BatchResult) -> None:
    """Bit for bit."""
    for name in ("t", "neuron", "i"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True)


@given(seed=SEEDS, cuts=st.lists(st.floats(0, 64 * US), max_size=6), recurrent=st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_run_in_pieces_is_one_run_bit_for_bit(seed: int, cuts: list[float], recurrent: bool) -> None:
    net, times, channels = draw(seed, recurrent)
    everyone = np.arange(net.neurons.size)
    probes = [("v", everyone, 1.7 * US), ("i", everyone[:1], 0.3 * US)]
    whole = net.run(64 * US, times, channels, probes)
    ends = net.state("v"), net.state("i")
    net.reset()
    cuts = sorted([*cuts, *times[:1], 64 * US])
    pieces, start = [], 0.0
    for stop in cuts:
        mine = (times >= start) & (times < stop)
        pieces.append(net.run(stop, times[mine], channels[mine], probes))
        start = stop
    for name in ("t", "neuron", "i"):
        joined = np.concatenate([getattr(piece, name) for piece in pieces])
        np.testing.assert_array_equal(joined, getattr(whole, name))
    for k in range(2):
        for part in range(2):
            joined = np.concatenate([piece.traces[k][part] for piece in pieces])
            np.testing.assert_array_equal(joined, whole.traces[k][part])
    np.testing.assert_array_equal(ends, (net.state("v"), net.state("i")))
    assert pieces[-1].pending == whole.pending


@given(seed=SEEDS, shuffle=SEEDS, recurrent=st.booleans())
@settings(max_examples=100, deadline=None)
def test_the_order_of_inputs_does_not_matter(seed: int, shuffle: int, recurrent: bool) -> None:
    net, times, channels = draw(seed, recurrent)
    order = np.random.default_rng(shuffle).permutation(times.size)
    one = net.run(64 * US, times, channels)
    net.reset()
    same(one, net.run(64 * US, times[order], channels[order]))
    batch = net.run_batch(64 * US, np.stack([times, times[order]]), np.stack([channels, channels[order]]))
    half = batch.splits[1]
    np.testing.assert_array_equal(batch.t[:half], batch.t[half:])
    np.testing.assert_array_equal(batch.i[:half], batch.i[half:])


@given(seed=SEEDS, power=st.integers(-40, 40), recurrent=st.booleans())
@settings(max_examples=100, deadline=None)
def test_time_scaled_by_a_power_of_two_scales_spikes_exactly(seed: int, power: int, recurrent: bool) -> None:
    net, times, channels = draw(seed, recurrent)
    factor = 2.0**power
    old, wires = net.neurons, net.synapses
    scaled = {name: getattr(old, name) * factor for name in ("tau_mem", "tau_syn", "t_ref", "t_holdoff")}
    same_ = {name: getattr(old, name) for name in ("v_leak", "v_th", "v_reset")}
    other = Network(
        Neurons(size=old.size, **scaled, **same_),
        Synapses(ptr=wires.ptr, target=wires.target, weight=wires.weight, delay=wires.delay * factor),
    )
    one, two = net.run(64 * US, times, channels), other.run(64 * US * factor, times * factor, channels)
    np.testing.assert_array_equal(one.t * factor, two.t)
    np.testing.assert_array_equal(one.neuron, two.neuron)
    np.testing.assert_array_equal(one.i, two.i)


@given(seed=SEEDS, recurrent=st.booleans(), workers=st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_a_batch_is_the_loop_of_reset_and_run(seed: int, recurrent: bool, workers: int) -> None:
    net, times, channels = draw(seed, recurrent)
    assert net.layered or recurrent
    rng = np.random.default_rng(seed)
    splits = np.sort(rng.integers(0, times.size + 1, 4))
    splits = np.concatenate([[0], splits, [times.size]])
    batch = net.run_batch(64 * US, times, channels, splits, workers=workers)
    assert batch.splits.size == splits.size
    assert batch.splits[-1] == batch.t.size
    for b in range(splits.size - 1):
        net.reset()
        mine = slice(splits[b], splits[b + 1])
        seen = net.run(64 * US, times[mine], channels[mine])
        got = slice(batch.splits[b], batch.splits[b + 1])
        for name in ("t", "neuron", "i"):
            np.testing.assert_array_equal(getattr(batch, name)[got], getattr(seen, name), err_msg=f"{name}, {b}")


@pytest.mark.parametrize("crowded", [False, True])
def test_layers_of_many_neurons_are_the_loop_bit_for_bit(crowded: bool) -> None:
    rng = np.random.default_rng(7)
    w = [rng.normal(2.0, 1.5, (6, 200)), rng.normal(0.05, 0.2, (200, 60)), rng.normal(0.2, 0.6, (60, 5))]
    # many spikes in a small part of the time, and many at one time
    w[0] = np.round(w[0]) if crowded else w[0]
    net = Network(Neurons(size=265), Synapses.chain(*w))
    times = rng.uniform(0, (1 if crowded else 40) * US, (8, 12))
    channels = rng.integers(0, 6, (8, 12))
    batch = net.run_batch((4000 if crowded else 60) * US, times, channels)
    for b in range(8):
        net.reset()
        seen = net.run((4000 if crowded else 60) * US, times[b], channels[b])
        mine = slice(batch.splits[b], batch.splits[b + 1])
        for name in ("t", "neuron", "i"):
            np.testing.assert_array_equal(getattr(batch, name)[mine], getattr(seen, name))
    assert (np.bincount(batch.neuron)[260:] > 0).any()


def test_padding_is_no_event_and_the_network_keeps_its_state() -> None:
    net = single([6.0, 7.0])
    net.run(3 * US, [0.0], [0])
    before = net.state("v"), net.state("i"), net.clock_s
    batch = net.run_batch(50 * US, [[np.inf, 0.0], [np.inf, np.inf], [0.0, 5 * US]], [[0, 1], [0, 0], [0, 1]])
    assert before == (net.state("v"), net.state("i"), net.clock_s)
    assert np.diff(batch.splits).tolist() == [batch.splits[1], 0, batch.splits[3] - batch.splits[2]]
    assert batch.t[0] == single(7.0).run(50 * US, [0.0], [0]).t[0]
    assert net.run_batch(50 * US, np.empty((0, 0)), np.empty((0, 0), int)).splits.tolist() == [0]


def test_tables_too_large_are_run_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    w = rng.normal(3, 2, (4, 30)), rng.normal(0.5, 1, (30, 3))
    times, channels = rng.uniform(0, 50 * US, (5, 9)), rng.integers(0, 4, (5, 9))
    net = Network(Neurons(size=33), Synapses.chain(*w))
    fast = net.run_batch(60 * US, times, channels)
    monkeypatch.setattr("hal_emulators.cuba_layers._LARGEST", 30 * 4 + 3 * 30 - 1)
    other = Network(Neurons(size=33), Synapses.chain(*w))
    assert net.layered
    assert not other.layered
    slow = other.run_batch(60 * US, times, channels)
    same(fast, slow)
    np.testing.assert_array_equal(fast.splits, slow.splits)


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"size": 0}, "size is 0, must be 1 or more"),
        ({"tau_mem": 0.0}, r"tau_mem\[0\] is 0.0, must be finite and greater than 0"),
        ({"tau_syn": [1e-6, -1e-6]}, r"tau_syn\[1\] is -1e-06, must be"),
        ({"tau_syn": np.inf, "v_leak": np.nan}, r"tau_syn\[0\] is inf.*; v_leak\[0\] is nan, must be finite"),
        ({"v_th": -np.inf}, r"v_th\[0\] is -inf, must be finite, or inf"),
        ({"v_reset": np.inf}, r"v_reset\[0\] is inf"),
        ({"t_ref": -1e-6}, r"t_ref\[0\] is -1e-06, must be 0 or more"),
        ({"t_holdoff": np.inf}, r"t_holdoff\[0\] is inf"),
        ({"t_ref": 1e-6, "t_holdoff": [0, 2e-6]}, r"t_holdoff\[1\] is 2e-06 s, longer than t_ref, 1e-06 s"),
        ({"v_th": [1.0, 1.0, 1.0]}, "v_th has 3 values, must be 2 or one number"),
    ],
)
def test_parameters_that_are_no_neurons(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Neurons(**{"size": 2} | parameters)


@pytest.mark.parametrize(("value", "said"), [("fast", "needs numbers"), (np.ones((2, 2)), "at most one dimension")])
def test_parameters_that_are_no_numbers(value: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Neurons(size=2, tau_mem=value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ptr": [0, 1]}, "ptr must rise from 0 to 2"),
        ({"ptr": [0, 3, 2]}, "ptr must rise"),
        ({"target": [0, -1]}, "target has -1, must be 0 or more"),
        ({"weight": [1.0]}, "weight has 1 entries, target 2"),
        ({"weight": [1.0, np.nan]}, r"weight\[1\] is nan, must be finite"),
        ({"delay": [1.0]}, "delay has 1 entries, target 2"),
        ({"delay": [0.0, -1.0]}, r"delay\[1\] is -1.0, must be finite and 0 or more"),
    ],
)
def test_arrays_that_are_no_synapses(changes: dict[str, Any], said: str) -> None:
    arrays = {"ptr": [0, 1, 2], "target": [0, 0], "weight": [1.0, 2.0]}
    with pytest.raises(ValueError, match=said):
        Synapses(**arrays | changes)


@pytest.mark.parametrize(("target", "said"), [([0.5, 1.0], "needs integers"), ([[0, 1]], "needs one dimension")])
def test_targets_that_are_no_integers(target: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Synapses(ptr=[0, 1, 2], target=target, weight=[1.0, 2.0])


def test_lists_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="weight has 1 entries, source 2; delay has 3 entries, source 2"):
        Synapses.of(2, [0, 1], [0, 0], [1.0], [0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match=r"source has 0\.\.2, must lie in 0\.\.1"):
        Synapses.of(2, [0, 2], [0, 0], [1.0, 1.0])
    with pytest.raises(ValueError, match=r"weights 1 are \(4, 2\), must have 3 rows, one for every column before"):
        Synapses.chain(np.ones((2, 3)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="needs weights"):
        Synapses.chain()
    with pytest.raises(ValueError, match=r"weights 0 are \(3,\), must be a matrix"):
        Synapses.chain(np.ones(3))


def test_synapses_of_another_network() -> None:
    with pytest.raises(ValueError, match="1 sources, there are 2 neurons; synapses reach neuron 4, there are 2"):
        Network(Neurons(size=2), Synapses(ptr=[0, 1], target=[4], weight=[1.0]))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((1e-6,), "until_s is 1e-06, must be finite and 2e-06"),
        ((np.nan,), "until_s is nan"),
        ((np.inf,), "until_s is inf"),
        ((9e-6, [1e-6, 3e-6], [0, 0]), r"times: 1 not in 2e-06\.\.9e-06 s \(the end excluded\), the first is 1e-06"),
        ((9e-6, [9e-6], [0]), "the first is 9e-06"),
        ((9e-6, [np.nan], [0]), "the first is nan"),
        ((9e-6, [3e-6], [2]), r"channels has 2\.\.2, must lie in 0\.\.1"),
        ((9e-6, [3e-6], [-1]), r"channels has -1\.\.-1"),
        ((9e-6, [3e-6], [0.5]), "channels needs integers in one dimension, got float64"),
        ((9e-6, ["a"], [0]), "times needs numbers in one dimension"),
        ((9e-6, [3e-6, 4e-6], [0]), r"times is \(2,\), channels \(1,\)"),
        ((9e-6, (), (), [("v", [1], 1e-6)]), r"probe 0 has 1\.\.1, must lie in 0\.\.0"),
        ((9e-6, (), (), [("v", [0.5], 1e-6)]), "probe 0 needs integers"),
        ((9e-6, (), (), [("i", [0], 0.0)]), "probe 0: every_s is 0.0, must be finite and greater than 0"),
        ((9e-6, (), (), [("spikes", [0], 1e-6)]), "variable is 'spikes', must be one of v, i"),
    ],
)
def test_runs_that_are_refused_change_nothing(arguments: tuple[Any, ...], said: str) -> None:
    net = single([1.0, 2.0])
    net.run(2e-6, [0.0], [0])
    before = net.state("v")[0], net.state("i")[0], net.clock_s
    with pytest.raises(ValueError, match=said):
        net.run(*arguments)
    assert before == (net.state("v")[0], net.state("i")[0], net.clock_s)


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        ((-1.0, [[0.0]], [[0]]), {}, "until_s is -1.0, must be finite and 0 or more"),
        ((1.0, [[0.0]], [[0]]), {"workers": 0}, "workers is 0, must be 1 or more"),
        ((1.0, [0.0], [0]), {}, "times needs numbers in two dimensions"),
        ((1.0, [[0.0]], [[0]], [0, 1]), {}, "times needs numbers in one dimension"),
        ((1.0, [0.0], [0], [0, 2]), {}, "splits must rise from 0 to 1, the number of events"),
        ((1.0, [0.0], [0], []), {}, "splits needs integers, one more than samples"),
        ((1.0, [[0.0, 1.0]], [[0, 0]]), {}, "the first is 1.0"),
        ((1.0, [[-1e-9]], [[0]]), {}, "the first is -1e-09"),
        ((1.0, [[0.0]], [[5]]), {}, r"channels has 5\.\.5, must lie in 0\.\.1"),
    ],
)
def test_batches_that_are_refused(arguments: tuple[Any, ...], options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        single([1.0, 2.0]).run_batch(*arguments, **options)


def test_a_network_without_channels_says_so() -> None:
    net = Network(Neurons(size=1), Synapses(ptr=[0, 0], target=[], weight=[]))
    with pytest.raises(ValueError, match="the network has no channels"):
        net.run(1.0, [0.0], [0])
    with pytest.raises(ValueError, match="variable is 'w'"):
        net.state("w")
