"""Current-based neurons with bounds of the potential, a limited current, and a guard against spikes without end."""

from __future__ import annotations

from itertools import pairwise
from math import exp, inf, log
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from hal_emulators.cuba import Network, Neurons, Probe, Synapses

US = 1e-6
UNTIL = 60e-6
SEEDS = st.integers(0, 2**32 - 1)
RATIOS = [0.2, 0.999, 1.0, 1.7, 2.0, 5.0]


def single(weight: float | list[float] = 1.0, most_spikes: int = 10_000, **parameters: Any) -> Network:
    """One neuron with a channel for every weight."""
    synapses = Synapses.chain(np.reshape(weight, (-1, 1)))
    return Network(Neurons(size=1, **parameters), synapses, most_spikes=most_spikes)


def trace(net: Network, times: list[float], channels: list[int], until: float = UNTIL) -> NDArray[np.float64]:
    """V of neuron 0 every 0.1 us."""
    return net.run(until, times, channels, [Probe("v", [0], 0.1 * US)]).traces[0][1][:, 0]


# --- against scipy ----------------------------------------------------------------------------------------------------


def reference(
    neurons: Neurons, n: int, inputs: list[tuple[float, float]], samples: NDArray[np.float64]
) -> tuple[list[float], list[float], int]:
    """Times of one neuron's spikes, V at the samples, and how often it has come to a bound; in units of tau_mem."""
    tau, ratio = float(neurons.tau_mem[n]), float(neurons.tau_mem[n] / neurons.tau_syn[n])
    names = ("v_leak", "v_th", "v_reset", "v_low", "v_high", "i_max")
    leak, th, reset, low, high, i_max = (float(getattr(neurons, name)[n]) for name in names)
    t_ref, hold = float(neurons.t_ref[n]) / tau, float(neurons.t_ref[n] - neurons.t_holdoff[n]) / tau

    def slopes(_: float, y: NDArray[np.float64], fixed: bool) -> list[float]:
        return [0.0 if fixed else leak - y[0] + y[1], -ratio * y[1]]

    def reaches(level: float, direction: int, column: int) -> Any:
        def event(_: float, y: NDArray[np.float64], __: bool) -> float:
            return float(y[column] - level)

        event.terminal, event.direction = True, direction  # type: ignore[attr-defined]
        return event

    spike, top, bottom = reaches(th, 1, 0), reaches(high, 1, 0), reaches(low, -1, 0)
    # at a bound, I is on its way to where it no longer pushes outwards
    off_top, off_bottom = reaches(high - leak, -1, 1), reaches(low - leak, 1, 1)
    jumps: dict[float, float] = {}
    for t, w in inputs:
        jumps[t / tau] = jumps.get(t / tau, 0.0) + w
    at = [float(sample) / tau for sample in samples]
    times, values, touches = [], [], 0
    y, t, held_until, blind_until, end, armed = np.array([leak, 0.0]), 0.0, 0.0, 0.0, UNTIL / tau, leak < th
    while t < end:
        if t in at:
            values.append(float(y[0]))
        if t in jumps:
            y[1] = min(max(y[1] + jumps.pop(t), -i_max), i_max)
        stop = min([some for some in (*jumps, *at, held_until, blind_until, end) if some > t])
        held = t < held_until
        up, down = y[1] > high - leak, y[1] < low - leak
        on_top, on_bottom = up and y[0] == high, down and y[0] == low
        armed = armed or (y[0] < th and t >= blind_until)
        # a threshold that is reached in the refractory time, or from where it has been passed, does not count
        watched = {"spike": spike} if t >= blind_until and (armed or y[0] < th) and not held else {}
        if not held:
            watched |= {"off": off_top} if on_top else {"top": top} if up else {}
            watched |= {"off": off_bottom} if on_bottom else {"bottom": bottom} if down else {}
        seen = solve_ivp(
            slopes, (t, stop), y, "DOP853", events=list(watched.values()), args=(held or on_top or on_bottom,),
            rtol=1e-12, atol=1e-14, max_step=0.25,
        )  # fmt: skip
        assert seen.success
        y, t = seen.y[:, -1].copy(), float(seen.t[-1])
        if seen.status == 1:
            what = [name for name, hits in zip(watched, seen.t_events, strict=True) if hits.size]
            if "spike" in what:
                times.append(t * tau)
                y[0], held_until, blind_until, armed = reset, t + hold, t + t_ref, reset < th
            elif "off" in what:
                y[1] = np.nextafter((high if on_top else low) - leak, 0.0)
            else:
                y[0], touches = high if "top" in what else low, touches + 1
    return times, values, touches


def draw(rng: np.random.Generator, n: int, **fixed: Any) -> Neurons:
    tau_mem = 10e-6 * 2 ** rng.uniform(-1, 1, n)
    t_ref = np.where(rng.random(n) < 0.7, rng.uniform(1e-6, 9e-6, n), 0.0)
    values = {
        "tau_mem": tau_mem,
        "tau_syn": tau_mem / 5 ** rng.uniform(-1, 1, n),
        "v_leak": rng.uniform(-0.2, 0.3, n),
        "v_th": rng.uniform(0.6, 1.1, n),
        "v_reset": rng.uniform(-0.2, 0.5, n),
        "t_ref": t_ref,
        "t_holdoff": t_ref * rng.uniform(0, 1, n),
        "v_low": rng.uniform(-0.5, -0.2, n),
        "v_high": rng.uniform(0.8, 1.4, n),
        "i_max": rng.choice([2.0, 4.0, inf], n),
    }
    return Neurons(size=n, **(values | fixed))


@pytest.mark.parametrize(
    "fixed",
    [
        {},
        {"tau_mem": 9e-6, "tau_syn": 9e-6},
        {"tau_mem": 20e-6, "tau_syn": 10e-6},
        {"tau_mem": 18e-6, "tau_syn": 6e-6, "v_th": 0.7, "v_high": 0.75, "v_reset": 0.74},
        # a leak above the threshold: the way up to it may begin at the lower bound
        {"v_leak": 0.75, "v_th": 0.6, "v_reset": -0.1},
        {"v_leak": 0.75, "v_th": 0.6, "v_reset": -0.1, "tau_mem": 5e-6, "tau_syn": 5e-6},
        {"v_leak": -0.15, "v_low": -0.15, "v_reset": -0.15, "v_high": 0.9},
    ],
)
def test_spikes_and_potentials_are_those_of_scipy(fixed: dict[str, Any]) -> None:
    rng, n, lines = np.random.default_rng(11), 12, 6
    neurons = draw(rng, n, **fixed)
    weight = rng.normal(0.5, 4.0, (lines, n))
    net = Network(neurons, Synapses.chain(weight))
    times, channels = rng.uniform(0, UNTIL, 40), rng.integers(0, lines, 40)
    seen = net.run(UNTIL, times, channels, [Probe("v", np.arange(n), 2.7 * US)])
    at, v = seen.traces[0]
    spikes, touches = 0, 0
    for k in range(n):
        inputs = [(t, weight[c, k]) for t, c in zip(times.tolist(), channels.tolist(), strict=True)]
        expected, values, touched = reference(neurons, k, inputs, at)
        np.testing.assert_allclose(seen.t[seen.neuron == k], expected, rtol=1e-9, atol=1e-14, err_msg=f"neuron {k}")
        np.testing.assert_allclose(v[:, k], values, rtol=1e-9, atol=1e-9, err_msg=f"neuron {k}")
        spikes, touches = spikes + len(expected), touches + touched
    assert spikes > 3
    assert touches > 20


# --- bounds, by hand --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_the_membrane_stays_at_a_bound_until_the_current_draws_it_off(side: float, ratio: float) -> None:
    tau_mem, bound, w = 12e-6, 0.5, 40.0
    parameters = {"v_low": -bound, "v_high": bound, "v_th": inf, "tau_mem": tau_mem, "tau_syn": tau_mem / ratio}
    v = trace(single(side * w, **parameters), [0.0], [0])
    off = tau_mem / ratio * log(w / bound)
    t = np.arange(v.size) * 0.1 * US
    begin = int(np.argmax(v == side * bound))
    at_bound = v == side * bound
    assert (at_bound == ((t >= t[begin]) & (t <= off))).all()
    assert t[begin] < off
    assert (np.abs(v[:begin]) < bound).all()
    x = (t[t > off] - off) / tau_mem
    near = abs(ratio - 1) < 1e-9
    made = x * np.exp(-x) if near else (np.exp(-x) - np.exp(-ratio * x)) / (ratio - 1)
    np.testing.assert_allclose(v[t > off], side * bound * (np.exp(-x) + made), rtol=1e-11)


def test_at_the_leak_the_current_of_that_side_does_nothing() -> None:
    v = trace(single([-30.0, 3.0], v_low=0.0, v_th=inf), [0.0, 20 * US], [0, 1])
    i = -30 * exp(-20 / 6) + 3
    assert (v[:201] == 0).all()
    assert i > 0
    np.testing.assert_allclose(v[201:600], i * (np.exp(-np.arange(1, 400) / 120) - np.exp(-np.arange(1, 400) / 60)))


def test_an_event_that_turns_the_current_draws_it_off_at_once() -> None:
    v = trace(single([-50.0, 90.0], v_low=-0.4, v_th=inf), [0.0, 5 * US], [0, 1])
    assert v[50] == -0.4
    assert v[51] > -0.4


def test_a_threshold_out_of_bounds_is_never_reached_and_one_at_the_upper_is() -> None:
    plain = single(60.0).run(UNTIL, [0.0], [0])
    assert plain.t.size > 2
    at = single(60.0, v_high=1.0).run(UNTIL, [0.0], [0])
    np.testing.assert_array_equal(plain.t, at.t)
    assert single(60.0, v_high=0.999).run(UNTIL, [0.0], [0]).t.size == 0
    # never below it, though the leak lies above
    down = {"v_leak": 1.0, "v_th": 0.5, "v_reset": 0.6}
    assert single(-60.0, v_low=0.499, **down).run(500 * US, [0.0], [0]).t.size == 1
    assert single(-60.0, v_low=0.5, **down).run(500 * US, [0.0], [0]).t.size == 0


def test_from_the_lower_bound_the_leak_takes_it_to_the_threshold() -> None:
    # released where I = -1.4, from 1 - 1.4 to 0.5 with u = -1.4 (2 e^-x - e^-2x): e^-x = 1 - sqrt(1 - 5 / 14)
    net = single(-60.0, v_leak=1.0, v_th=0.5, v_low=-0.4, v_reset=0.6)
    seen = net.run(500 * US, [0.0], [0])
    left = 1 - (1 - 5 / 14) ** 0.5
    assert seen.t.tolist() == [pytest.approx(6e-6 * log(60 / 1.4) - 12e-6 * log(left), rel=1e-13)]
    assert seen.i[0] == pytest.approx(-1.4 * left**2, rel=1e-13)


def test_the_upper_bound_holds_what_may_not_spike() -> None:
    # in the holdoff, and after it until the potential has been below the threshold
    net = single([80.0, -200.0], t_ref=6 * US, t_holdoff=6 * US, v_high=1.2)
    seen = net.run(UNTIL, [0.0, 20 * US], [0, 1], [Probe("v", [0], 0.1 * US)])
    v = seen.traces[0][1][:, 0]
    assert seen.t.size == 1
    assert (v[80:200] == 1.2).all()
    assert v[230] < 1
    assert single(80.0, v_reset=1.1, v_high=1.2).run(UNTIL, [0.0], [0]).t.size == 1


def test_once_in_a_run_is_no_bound_below_the_threshold() -> None:
    # an infinite refractory time: at the reset for good, whatever the bound and the current
    net = single([9.0, -90.0], t_ref=inf, v_leak=0.0, v_low=-0.3)
    seen = net.run(UNTIL, [0.0, 10 * US], [0, 1])
    assert seen.t.size == 1
    assert net.state("v")[0] == 0
    net = single([-9.0], t_ref=[inf], v_leak=1.5, v_low=0.2, v_reset=0.3)
    assert net.run(900 * US, [0.0, 400 * US], [0, 0]).t.size == 1


# --- properties -------------------------------------------------------------------------------------------------------


def network(seed: int, **fixed: Any) -> tuple[Network, NDArray[np.float64], NDArray[np.int64]]:
    """A recurrent network with bounds that matter, and its inputs, some of which share a time; until 60 us."""
    rng = np.random.default_rng(seed)
    n_inputs, n = int(rng.integers(1, 4)), int(rng.integers(1, 8))
    t_ref = rng.choice([1 * US, 3 * US, inf], n)
    values = {
        "tau_mem": rng.choice([6 * US, 12 * US, 20 * US], n),
        "tau_syn": rng.choice([6 * US, 10 * US]),
        "v_leak": rng.choice([0.0, 0.1, 1.1], n),
        "v_reset": rng.choice([0.0, -0.2, 1.2], n),
        "t_ref": t_ref,
        "t_holdoff": np.minimum(t_ref, rng.choice([0.0, 0.5 * US, 1 * US], n)),
        "v_low": rng.choice([-0.7, -0.2, -inf], n),
        "v_high": rng.choice([1.2, 1.86, inf], n),
        "i_max": rng.choice([3.0, 8.0, inf], n),
    }
    k = int(rng.integers(0, 50))
    ends = rng.integers(0, n_inputs + n, k), rng.integers(0, n, k)
    synapses = Synapses.of(n_inputs + n, *ends, rng.choice([3.0, 9.5, -4.0, -12.0], k), rng.choice([0.0, 1 * US], k))
    m = int(rng.integers(0, 40))
    times = rng.choice(rng.uniform(0, UNTIL, max(m // 2, 1)), m)
    return Network(Neurons(size=n, **(values | fixed)), synapses), times, rng.integers(0, n_inputs, m)


@given(seed=SEEDS, cuts=st.lists(st.floats(0, UNTIL), max_size=6))
@settings(max_examples=100, deadline=None)
def test_a_run_in_pieces_is_one_run_bit_for_bit_within_bounds(seed: int, cuts: list[float]) -> None:
    net, times, channels = network(seed)
    neurons, everyone = net.neurons, np.arange(net.neurons.size)
    probes = [("v", everyone, 0.7 * US), ("i", everyone, 0.7 * US)]
    whole = net.run(UNTIL, times, channels, probes)
    ends = net.state("v"), net.state("i")
    for v in (whole.traces[0][1], ends[0]):
        assert ((neurons.v_low <= v) & (v <= neurons.v_high)).all()
    for i in (whole.traces[1][1], ends[1]):
        assert (np.abs(i) <= neurons.i_max).all()
    net.reset()
    pieces, start = [], 0.0
    for stop in sorted([*cuts, *times[:1], UNTIL]):
        mine = (times >= start) & (times < stop)
        pieces.append(net.run(stop, times[mine], channels[mine], probes))
        start = stop
    for name in ("t", "neuron", "i"):
        np.testing.assert_array_equal(np.concatenate([getattr(each, name) for each in pieces]), getattr(whole, name))
    for k in range(2):
        joined = np.concatenate([piece.traces[k][1] for piece in pieces])
        np.testing.assert_array_equal(joined, whole.traces[k][1])
    np.testing.assert_array_equal(ends, (net.state("v"), net.state("i")))


@given(seed=SEEDS, workers=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_a_batch_is_the_loop_within_bounds_and_order_does_not_matter(seed: int, workers: int) -> None:
    net, times, channels = network(seed)
    order = np.random.default_rng(seed).permutation(times.size)
    batch = net.run_batch(
        UNTIL, np.stack([times, times[order]]), np.stack([channels, channels[order]]), workers=workers
    )
    seen = net.run(UNTIL, times, channels)
    for name in ("t", "neuron", "i"):
        for b in range(2):
            part = getattr(batch, name)[batch.splits[b] : batch.splits[b + 1]]
            np.testing.assert_array_equal(part, getattr(seen, name))


@given(seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_bounds_far_away_change_no_bit(seed: int) -> None:
    net, times, channels = network(seed, v_low=-inf, v_high=inf, i_max=inf)
    far, _, _ = network(seed, v_low=-1e9, v_high=1e9, i_max=1e9)
    assert far.layered == net.layered
    probes = [("v", np.arange(net.neurons.size), 0.7 * US)]
    one, other = (each.run(UNTIL, times, channels, probes) for each in (net, far))
    for name in ("t", "neuron", "i"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.traces[0][1], other.traces[0][1])


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("weight", [-30.0, 30.0])
def test_bounds_just_not_reached_change_no_bit(ratio: float, weight: float) -> None:
    constants = {"tau_syn": 12 * US / ratio, "v_th": inf}
    free = trace(single(weight, **constants), [0.0], [0], 200 * US)
    bound = 1.001 * float(np.abs(free).max())
    assert bound < abs(weight)
    near = trace(single(weight, v_low=-bound, v_high=bound, **constants), [0.0], [0], 200 * US)
    np.testing.assert_array_equal(free, near)


def test_with_bounds_that_are_far_away_the_layered_way_does_the_same() -> None:
    rng = np.random.default_rng(5)
    synapses = Synapses.chain(rng.normal(3, 2, (4, 20)), rng.normal(0.5, 1, (20, 3)))
    times, channels = rng.uniform(0, 40 * US, (5, 9)), rng.integers(0, 4, (5, 9))
    wanted = Network(Neurons(size=23), synapses).run_batch(UNTIL, times, channels)
    assert wanted.t.size > 50
    for bound in ({"v_low": -1e9}, {"v_high": 1e9}, {"i_max": 1e9}):
        net = Network(Neurons(size=23, **bound), synapses)
        assert net.layered
        np.testing.assert_array_equal(net.run_batch(UNTIL, times, channels).t, wanted.t)


FEED_FORWARD = {
    "v_low": [-0.8, -0.3, 0.0, -inf],
    "v_high": [1.001, 1.2, 1.86, inf],
    "i_max": [2.0, 5.0, 20.0, inf],
    "v_th": [1.0, 1.0, 1.0, 0.05, inf],
    "v_leak": [0.0, 0.0, 0.1, 1.0],
    "t_ref": [0.0, 0.5 * US, 4 * US, inf],
}
"""What neurons of a layered network have; the leak of the last layer lies at the threshold or above too."""


@given(seed=SEEDS, kinds=st.sampled_from([(2.0,), (1.0,), (0.4,), (3.3,), (0.4, 1.0, 2.0)]), alike=st.booleans())
@settings(max_examples=150, deadline=None)
def test_layers_within_bounds_are_the_loop_bit_for_bit(seed: int, kinds: tuple[float, ...], alike: bool) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, 3)
    n = int(sizes[1:].sum())
    values = {name: rng.choice(some, 1 if alike else n) * np.ones(n) for name, some in FEED_FORWARD.items()}
    values["v_reset"] = np.maximum(values["v_low"], rng.choice([0.0, 0.9, -0.5], n))
    values["t_holdoff"] = np.minimum(values["t_ref"], rng.choice([0.0, 0.5 * US, 2 * US], n))
    net = Network(
        Neurons(size=n, tau_syn=12 * US / rng.choice(kinds, n), **values),
        Synapses.chain(*(rng.normal(1.0, 9.0, (a, b)) for a, b in pairwise(sizes.tolist())), delay=1 * US),
        most_spikes=1_000_000,
    )
    assert net.layered
    m = 30
    # many at one time, so that what is cut off is the sum
    times = rng.choice(rng.uniform(0, UNTIL, m // 2), (3, m))
    channels = rng.integers(0, sizes[0], (3, m))
    batch = net.run_batch(UNTIL, times, channels)
    for b in range(3):
        net.reset()
        seen, part = net.run(UNTIL, times[b], channels[b]), slice(batch.splits[b], batch.splits[b + 1])
        for name in ("t", "neuron", "i"):
            np.testing.assert_array_equal(getattr(batch, name)[part], getattr(seen, name), err_msg=name)


# --- saturation -------------------------------------------------------------------------------------------------------


def test_the_current_is_limited_after_all_that_arrives_at_a_time() -> None:
    net = single([10.0, -5.0], i_max=8.0, v_th=inf)
    seen = net.run(30 * US, [1 * US, 1 * US, 12 * US, 25 * US], [0, 1, 0, 1], [Probe("i", [0], 1 * US)])
    i = seen.traces[0][1][:, 0]
    left = exp(-1 / 6)
    assert i[2] == pytest.approx(5 * left, rel=1e-13)
    assert i[13] == pytest.approx(8 * left, rel=1e-13)
    assert i[26] == pytest.approx((8 * exp(-13 / 6) - 5) * left, rel=1e-12)
    net.reset()
    net.run(3 * US, np.full(3, 2 * US), [1, 1, 1])
    assert net.state("i")[0] == pytest.approx(-8 * left, rel=1e-13)


def test_at_its_limit_the_current_is_that_of_the_limit() -> None:
    at, above = (single(w, i_max=6.0, v_reset=-0.2).run(UNTIL, [0.0, 9 * US], [0, 0]) for w in (6.0, 60.0))
    wanted = single(6.0, v_reset=-0.2).run(UNTIL, [0.0], [0])
    assert at.t[0] == above.t[0] == wanted.t[0]
    assert at.t.size > 1


@given(
    weights=st.lists(st.floats(-40, 40), min_size=2, max_size=12),
    more=st.floats(0, 30),
    i_max=st.floats(0.5, 20),
    ratio=st.sampled_from(RATIOS),
)
@settings(max_examples=100, deadline=None)
def test_more_weight_never_makes_less_of_it(weights: list[float], more: float, i_max: float, ratio: float) -> None:
    times = [3 * US * k for k in range(len(weights))]
    channels = list(range(len(weights)))
    bounds = {"v_low": -0.71, "v_high": 1.86, "v_th": inf, "i_max": i_max, "tau_syn": 12 * US / ratio}
    one = trace(single(weights, **bounds), times, channels)
    other = trace(single([w + more for w in weights], **bounds), times, channels)
    assert (other >= one - 1e-12).all()
    assert (np.abs(one) <= max(i_max, 0.0) + 1e-12).all()


# --- spikes without end -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("t_ref", [0.0, 1e-30])
def test_a_neuron_that_excites_itself_ends_with_its_name(t_ref: float) -> None:
    net = Network(Neurons(size=3, t_ref=[1 * US, t_ref, 1 * US]), Synapses.of(4, [0, 2], [1, 1], [6.0, 200.0]))
    said = rf"neuron 1 at 3\.4399.*e-06 s: more than 10000 spikes within 6e-06 s.*with t_ref {t_ref} s; give it"
    with pytest.raises(RuntimeError, match=said):
        net.run(UNTIL, [0.0], [0])
    assert net.clock_s == 0
    assert net.state("i").tolist() == [0, 0, 0]
    assert net.run(2 * US, [0.0], [0]).t.size == 0
    with pytest.raises(RuntimeError, match="neuron 1 at"):
        net.run_batch(UNTIL, [[0.0]], [[0]])
    assert net.clock_s == 2 * US


def test_two_that_excite_each_other_end_and_with_a_refractory_time_they_go_on() -> None:
    synapses = Synapses.of(3, [0, 1, 2], [0, 1, 0], [6.0, 50.0, 50.0])
    with pytest.raises(RuntimeError, match=r"neuron [01] at .*: more than 500 spikes"):
        Network(Neurons(size=2), synapses, most_spikes=500).run(UNTIL, [0.0], [0])
    seen = Network(Neurons(size=2, t_ref=8e-9), synapses, most_spikes=500).run(20 * US, [0.0], [0])
    assert seen.t.size > 3500
    # a reset at the threshold or above: once
    assert Network(Neurons(size=2, v_reset=1.0), synapses).run(UNTIL, [0.0], [0]).t.size == 2


def test_a_limited_current_ends_a_runaway() -> None:
    net = Network(Neurons(size=1, i_max=100.0), Synapses.of(2, [0, 1], [0, 0], [6.0, 200.0]))
    seen = net.run(UNTIL, [0.0], [0])
    assert 100 < seen.t.size < 1000


@pytest.mark.parametrize("bound", [-inf, -5.0])
def test_a_reset_next_to_the_threshold_ends_too_layered_or_not(bound: float) -> None:
    net = single(30.0, v_reset=np.nextafter(1.0, 0.0), v_low=bound)
    assert net.layered
    for attempt in (
        lambda: net.run(UNTIL, [0.0], [0]),
        lambda: net.run_batch(UNTIL, [[inf], [0.0], [1 * US]], np.zeros((3, 1), int), workers=2),
    ):
        with pytest.raises(RuntimeError, match=r"neuron 0 at 4\.\d*e-07 s: more than 10000 spikes"):
            attempt()


def test_spikes_are_counted_anew_in_every_window() -> None:
    # the leak makes it spike every 12 us ln(5) = 19.3 us, and 6 us count
    net = single(-4.0, v_leak=1.25, tau_syn=6 * US, most_spikes=1)
    assert net.run(2000 * US, [0.0], [0]).t.size > 90
    slow = {"tau_mem": 50 * US, "tau_syn": 50 * US, "v_leak": 9.0}
    for many, ends in ((8, True), (9, False)):
        # from 0 to 1 with the leak at 9: 50 us ln(9 / 8) = 5.9 us, 9 in 50 us
        net = single(-60.0, most_spikes=many, **slow)
        if ends:
            with pytest.raises(RuntimeError, match="more than 8 spikes within 5e-05 s"):
                net.run(2000 * US, [0.0], [0])
        else:
            assert net.run(2000 * US, [0.0], [0]).t.size > 200


def test_the_limit_of_spikes_is_the_same_in_pieces() -> None:
    net = single(-60.0, most_spikes=8, tau_mem=50 * US, tau_syn=50 * US, v_leak=9.0)
    with pytest.raises(RuntimeError) as whole:
        net.run(2000 * US, [0.0], [0])
    stopped = float(str(whole.value).split()[3])
    net.run(1 * US, [0.0], [0])
    for stop in np.linspace(2 * US, stopped, 40):
        net.run(stop)
    with pytest.raises(RuntimeError) as pieces:
        net.run(2000 * US)
    assert str(whole.value) == str(pieces.value)


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"v_low": np.inf}, r"^v_low\[0\] is inf, must be finite, or -inf for no bound$"),
        ({"v_low": [-1.0, np.nan]}, r"v_low\[1\] is nan"),
        ({"v_high": -np.inf}, r"^v_high\[0\] is -inf, must be finite, or inf for no bound$"),
        ({"v_high": np.nan, "i_max": 0.0}, r"v_high\[0\] is nan.*; i_max\[0\] is 0.0, must be greater than 0; inf is"),
        ({"i_max": [1.0, -2.0]}, r"i_max\[1\] is -2.0"),
        ({"i_max": np.nan}, r"i_max\[0\] is nan"),
        ({"v_high": [1.0, 1.0, 1.0]}, "v_high has 3 values, must be 2 or one number"),
        (
            {"v_low": [-1.0, -0.5], "v_reset": -0.6},
            r"^v_reset\[1\] is -0.6, must lie in v_low\.\.v_high, -0.5\.\.inf$",
        ),
        ({"v_high": 0.4, "v_reset": 0.5}, r"^v_reset\[0\] is 0.5, must lie in v_low\.\.v_high, -inf\.\.0.4$"),
        ({"v_low": 0.2, "v_reset": 0.3}, r"^v_leak\[0\] is 0.0, must lie in v_low\.\.v_high, 0.2\.\.inf$"),
        (
            {"v_low": 0.2, "v_high": 0.1, "t_holdoff": 1e-6},
            r"^t_holdoff\[0\] is 1e-06 s.*; v_leak\[0\] is 0.0, .*0\.2\.\.0\.1; v_reset\[0\] is 0.0, .*0\.2\.\.0\.1$",
        ),
    ],
)
def test_bounds_that_are_refused(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Neurons(**{"size": 2} | parameters)


def test_a_limit_of_spikes_that_is_refused() -> None:
    with pytest.raises(ValueError, match="synapses reach neuron 4, there are 1; most_spikes is 0, must be 1 or more"):
        Network(Neurons(size=1), Synapses(ptr=[0, 1], target=[4], weight=[1.0]), most_spikes=0)
