"""Gradients of spike times against finite differences of the exact core, one rule against the other; every error."""

from __future__ import annotations

from itertools import pairwise
from math import exp, inf, sqrt
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hal_emulators.cuba import BatchResult, Network, Neurons, Synapses
from hal_emulators.eventprop import LEAST_DRIVE, Gradient, Gradients, Inputs

US = 1e-6
UNTIL = 60 * US
SEEDS = st.integers(0, 2**32 - 1)
RATIOS = (0.4, 1.0, 1.3, 2.0, 3.0)
PER_US = 1e6


@attrs.frozen(kw_only=True, eq=False)
class Case:
    """A network, a batch of inputs, and a loss: the sum of all spike times, each with its own factor."""

    neurons: Neurons
    synapses: Synapses
    inputs: Inputs
    spikes: BatchResult
    grad_t: NDArray[np.float64]

    def gradient(self, rule: str = "eventprop", **options: Any) -> Gradient:
        back = Gradients(self.neurons, self.synapses)
        seen: Gradient = getattr(back, rule)(self.inputs, self.spikes, self.grad_t, **options)
        return seen

    def loss_change(self, weight: NDArray[np.float64], t: NDArray[np.float64]) -> float:
        """What the loss has changed by; nan if spikes have come, gone or changed their order."""
        net = Network(self.neurons, attrs.evolve(self.synapses, weight=weight))
        seen = net.run_batch(UNTIL, t, self.inputs.channel, self.inputs.splits)
        if not np.array_equal(seen.splits, self.spikes.splits):
            return np.nan
        mine, theirs = by_neuron(seen), by_neuron(self.spikes)
        if not np.array_equal(seen.neuron[mine], self.spikes.neuron[theirs]):
            return np.nan
        return float(self.grad_t[theirs] @ (seen.t[mine] - self.spikes.t[theirs]))


def by_neuron(spikes: BatchResult) -> NDArray[np.int64]:
    order: NDArray[np.int64] = np.lexsort((spikes.t, spikes.neuron, samples(spikes.splits)))
    return order


def samples(splits: Any) -> NDArray[np.int64]:
    counts = np.diff(np.asarray(splits))
    return np.repeat(np.arange(counts.size), counts)


def case(
    rng: np.random.Generator,
    neurons: Neurons,
    synapses: Synapses,
    size: int = 3,
    events: int = 8,
    start: float = 1 * US,
    end: float = 25 * US,
) -> Case:
    channels = synapses.ptr.size - 1 - neurons.size
    splits = np.arange(size + 1) * events
    t, channel = rng.uniform(start, end, size * events), rng.integers(0, channels, size * events)
    inputs = Inputs(t, channel, splits)
    spikes = Network(neurons, synapses).run_batch(UNTIL, t, channel, splits)
    grad_t = rng.normal(0, PER_US, spikes.t.size)
    return Case(neurons=neurons, synapses=synapses, inputs=inputs, spikes=spikes, grad_t=grad_t)


def draw_neurons(rng: np.random.Generator, n: int, **fixed: Any) -> Neurons:
    tau_mem = 10 * US * 2 ** rng.uniform(-0.5, 0.5, n)
    t_ref = np.where(rng.random(n) < 0.6, rng.uniform(0.5 * US, 6 * US, n), 0.0)
    values = {
        "tau_mem": tau_mem,
        "tau_syn": tau_mem / rng.choice(RATIOS, n),
        "v_leak": rng.uniform(-0.3, 0.3, n),
        "v_th": rng.uniform(0.8, 1.2, n),
        "v_reset": rng.uniform(-0.5, 0.4, n),
        "t_ref": t_ref,
        "t_holdoff": t_ref * rng.choice([0.0, 0.3, 1.0], n),
    }
    return Neurons(size=n, **(values | fixed))


def layered(seed: int, sizes: tuple[int, ...], delay: float = 0.0, **fixed: Any) -> Case:
    rng = np.random.default_rng(seed)
    weights = [rng.normal(6.0 / a, 6.0 / a, (a, b)) for a, b in pairwise(sizes)]
    neurons = draw_neurons(rng, sum(sizes[1:]), **fixed)
    return case(rng, neurons, Synapses.chain(*weights, delay=delay))


def recurrent(seed: int, n: int = 5, channels: int = 3, **fixed: Any) -> Case:
    """All to all, with delays of several lengths, 0 among them, and some weights of 0.

    Neurons without refractory time are not excited by neurons: they might spike without end.
    """
    rng = np.random.default_rng(seed)
    source, target = (each.ravel() for each in np.meshgrid(np.arange(n + channels), np.arange(n), indexing="ij"))
    weight = np.where(source < channels, rng.normal(2.0, 1.5, source.size), rng.normal(0.0, 0.6, source.size))
    weight[rng.random(source.size) < 0.1] = 0.0
    delay = rng.choice([0.0, 0.7 * US, 2.0 * US], source.size)
    neurons = draw_neurons(rng, n, **fixed)
    weight = np.where((source >= channels) & (neurons.t_ref[target] == 0), -np.abs(weight), weight)
    return case(rng, neurons, Synapses.of(n + channels, source, target, weight, delay))


def slope(made: Case, which: str, k: int) -> tuple[float, float]:
    """dL/dx by central differences, each extrapolated from two steps, and how far it is from that of wider steps.

    Of all steps those that agree best; nan where spikes come, go or pass each other even with the finest.
    """

    def change(step: float) -> float:
        weight, t = made.synapses.weight.copy(), np.array(made.inputs.t)
        (weight if which == "weight" else t)[k] += step
        return made.loss_change(weight, t)

    unit = 1.0 if which == "weight" else 10 * US
    steps = unit * 2e-3 / 4.0 ** np.arange(7)
    rough = [(change(step) - change(-step)) / (2 * step) for step in steps.tolist()]
    better = [(16 * fine - coarse) / 15 for coarse, fine in pairwise(rough)]
    apart = [abs(b - a) for a, b in pairwise(better)]
    if np.isnan(apart).all():
        return np.nan, np.nan
    best = int(np.nanargmin(apart))
    return better[best + 1], apart[best]


def check_slopes(made: Case, seen: Gradient, most: int = 20) -> float:
    """Compare, and return the share of what could be."""
    compared, tried = 0, 0
    for which, values in (("weight", seen.weight), ("input_t", seen.input_t)):
        chosen = np.random.default_rng(0).permutation(values.size)[:most]
        expected, apart = np.array([slope(made, which, k) for k in chosen.tolist()]).T
        largest = np.nanmax(np.abs(expected))
        # what is small by cancellation is as exact as its parts
        allowed = 1e-6 * np.abs(expected) + 1e-8 * largest
        known = apart < 0.3 * allowed
        wrong = np.flatnonzero(known & ~(np.abs(values[chosen] - expected) <= allowed))
        assert not wrong.size, (which, chosen[wrong], values[chosen[wrong]], expected[wrong])
        compared += int(known.sum())
        tried += chosen.size
    return compared / tried


# --- against finite differences ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(4, 6), (4, 6, 4), (3, 6, 5, 4)])
@pytest.mark.parametrize("delay", [0.0, 0.9 * US])
def test_single_spikes_over_layers(sizes: tuple[int, ...], delay: float) -> None:
    made = layered(len(sizes), sizes, delay, t_ref=inf, t_holdoff=0.0)
    assert (made.spikes.neuron >= sum(sizes[1:-1])).sum() > 3
    seen = made.gradient()
    assert check_slopes(made, seen) > 0.8
    other = made.gradient("single_spikes")
    assert check_slopes(made, other) > 0.8


@pytest.mark.parametrize("sizes", [(4, 6), (4, 6, 4), (3, 6, 5, 4)])
def test_several_spikes_over_layers(sizes: tuple[int, ...]) -> None:
    made = layered(10 + len(sizes), sizes)
    counts = np.bincount(made.spikes.neuron + made.neurons.size * samples(made.spikes.splits))
    assert counts.max() > 1
    assert check_slopes(made, made.gradient()) > 0.8


@pytest.mark.parametrize("seed", range(6))
def test_recurrence_with_every_ratio_hold_and_holdoff(seed: int) -> None:
    made = recurrent(seed)
    assert check_slopes(made, made.gradient()) > 0.8


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize(("t_ref", "t_holdoff"), [(0.0, 0.0), (3 * US, 0.0), (3 * US, 2 * US), (3 * US, 3 * US)])
def test_one_neuron_that_spikes_again_and_again(ratio: float, t_ref: float, t_holdoff: float) -> None:
    rng = np.random.default_rng(5)
    neurons = Neurons(size=1, tau_syn=12 * US / ratio, t_ref=t_ref, t_holdoff=t_holdoff, v_reset=-0.2)
    made = case(rng, neurons, Synapses.chain([[2.5], [3.0], [-1.0]]), size=2, events=14, end=55 * US)
    assert np.diff(made.spikes.splits).max() > 1
    assert check_slopes(made, made.gradient()) > 0.8


@pytest.mark.parametrize("ratio", RATIOS)
def test_neurons_that_spike_by_themselves(ratio: float) -> None:
    """The leak lies above the threshold: once inhibition has brought them below it, they spike again and again."""
    rng = np.random.default_rng(3)
    neurons = Neurons(size=2, tau_mem=4 * US, tau_syn=4 * US / ratio, v_leak=1.4, v_reset=[0.0, -0.5], t_ref=2 * US)
    weights = [0, 0, 1, 2, 3], [0, 1, 1, 1, 0], [-2.0, -2.0, 0.7, -0.5, 0.4]
    made = case(rng, neurons, Synapses.of(4, *weights, 0.5 * US), size=2, events=5, end=8 * US)
    assert np.diff(made.spikes.splits).max() > 4
    assert check_slopes(made, made.gradient()) > 0.8


def test_one_spike_has_the_slope_of_its_closed_form() -> None:
    w, tau = 6.0, 12 * US
    neurons, synapses = Neurons(size=1, tau_mem=tau), Synapses.chain([[w]])
    inputs = Inputs([2 * US], [0], [0, 1])
    spikes = Network(neurons, synapses).run_batch(15 * US, *inputs)
    assert spikes.t.size == 1
    back = Gradients(neurons, synapses)
    root = sqrt(1 - 4 / w)
    for rule in (back.eventprop, back.single_spikes):
        seen = rule(inputs, spikes, [1.0])
        np.testing.assert_allclose(seen.weight, -tau * 2 / (1 + root) / (w * w * root), rtol=1e-12)
        np.testing.assert_allclose(seen.input_t, 1.0, rtol=1e-12)


# --- rules, symmetries ------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from([(3, 4), (3, 6, 4), (2, 4, 3, 4, 3)]), st.sampled_from([0.0, 1.1 * US]))
def test_both_rules_agree_where_neurons_spike_once(seed: int, sizes: tuple[int, ...], delay: float) -> None:
    made = layered(seed, sizes, delay, t_ref=inf, t_holdoff=0.0)
    one, other = made.gradient(), made.gradient("single_spikes")
    for name in ("weight", "input_t", "spike_t"):
        mine, theirs = getattr(one, name), getattr(other, name)
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-9 * np.abs(theirs).max(initial=0.0), err_msg=name)
    assert (one.floored, one.held) == (other.floored, other.held)


def test_both_rules_agree_with_recurrence() -> None:
    made = recurrent(7, t_ref=inf, t_holdoff=0.0)
    assert made.spikes.t.size > 5
    one, other = made.gradient(), made.gradient("single_spikes")
    np.testing.assert_allclose(one.weight, other.weight, rtol=1e-9, atol=1e-12 * np.abs(other.weight).max())
    np.testing.assert_allclose(one.input_t, other.input_t, rtol=1e-9, atol=1e-12 * np.abs(other.input_t).max())


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_inputs_that_all_come_later_move_all_spikes(seed: int) -> None:
    made = recurrent(seed)
    seen = made.gradient()
    size = made.spikes.splits.size - 1
    moved = np.bincount(samples(made.inputs.splits), seen.input_t, size)
    expected = np.bincount(samples(made.spikes.splits), made.grad_t, size)
    largest = max(np.abs(seen.input_t).max(), np.abs(seen.spike_t).max(initial=0.0))
    np.testing.assert_allclose(moved, expected, rtol=0, atol=1e-9 * largest)


def test_samples_add_up_and_order_does_not_matter() -> None:
    made = recurrent(1)
    whole = made.gradient()
    back = Gradients(made.neurons, made.synapses)
    total = np.zeros_like(whole.weight)
    in_t, channel, in_splits = (np.asarray(each) for each in made.inputs)
    rng = np.random.default_rng(0)
    for b in range(in_splits.size - 1):
        mine = rng.permutation(np.arange(in_splits[b], in_splits[b + 1]))
        its = rng.permutation(np.arange(made.spikes.splits[b], made.spikes.splits[b + 1]))
        s = made.spikes
        spikes = BatchResult(t=s.t[its], neuron=s.neuron[its], i=s.i[its], splits=np.array([0, its.size]))
        seen = back.eventprop(Inputs(in_t[mine], channel[mine], [0, mine.size]), spikes, made.grad_t[its])
        np.testing.assert_allclose(seen.input_t, whole.input_t[mine], rtol=1e-12)
        np.testing.assert_allclose(seen.spike_t, whole.spike_t[its], rtol=1e-12)
        i = back.currents(Inputs(in_t[mine], channel[mine], [0, mine.size]), spikes)
        np.testing.assert_allclose(i, s.i[its], rtol=1e-12, atol=1e-12)
        total += seen.weight
    np.testing.assert_allclose(total, whole.weight, rtol=1e-10, atol=1e-12 * np.abs(total).max())


def test_weights_may_come_with_the_call() -> None:
    made = layered(4, (4, 6, 4), t_ref=inf, t_holdoff=0.0)
    assert np.all(made.synapses.weight)
    back = Gradients(made.neurons, Synapses.chain(np.ones((4, 6)), np.ones((6, 4))))
    for rule in ("eventprop", "single_spikes"):
        seen = getattr(back, rule)(made.inputs, made.spikes, made.grad_t, weight=made.synapses.weight)
        np.testing.assert_array_equal(seen.weight, made.gradient(rule).weight)
    i = back.currents(made.inputs, made.spikes, weight=made.synapses.weight)
    np.testing.assert_allclose(i, made.spikes.i, rtol=1e-12, atol=1e-12)


def test_synapses_that_do_the_same_have_the_same_gradient() -> None:
    rng = np.random.default_rng(2)
    made = case(rng, Neurons(size=1), Synapses.of(2, [0, 0, 0], [0, 0, 0], [2.0, 0.0, 1.5], [0.0, 0.0, 1 * US]))
    assert made.spikes.t.size > 2
    seen = made.gradient()
    assert seen.weight[0] == seen.weight[1] != 0
    assert seen.weight[2] != seen.weight[0]


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_currents_are_those_of_the_forward_run(seed: int) -> None:
    made = recurrent(seed)
    i = Gradients(made.neurons, made.synapses).currents(made.inputs, made.spikes)
    np.testing.assert_allclose(i, made.spikes.i, rtol=1e-9, atol=1e-9)


def test_without_spikes_or_inputs_there_is_nothing() -> None:
    back = Gradients(Neurons(size=2), Synapses.of(3, [0], [1], [1.0]))
    none = BatchResult(t=np.empty(0), neuron=np.empty(0, np.int64), i=np.empty(0), splits=np.zeros(3, np.int64))
    for rule in (back.eventprop, back.single_spikes):
        seen = rule(Inputs([], [], [0, 0, 0]), none, [])
        assert seen.weight.tolist() == [0.0]
        assert seen.input_t.size == seen.spike_t.size == seen.floored == seen.held == 0
        assert rule(Inputs([1 * US], [0], [0, 0, 1]), none, []).input_t.tolist() == [0.0]


# --- recordings that the model would not make -------------------------------------------------------------------------


def two(i: float = 3.0, second: float = 20 * US, **parameters: Any) -> tuple[Gradients, Inputs, BatchResult]:
    """One neuron, an input, two recorded spikes."""
    back = Gradients(Neurons(size=1, **parameters), Synapses.chain([[6.0]]))
    spikes = BatchResult(
        t=np.array([5 * US, second]), neuron=np.zeros(2, np.int64), i=np.array([i, 2.0]), splits=np.array([0, 2])
    )
    return back, Inputs([0.0], [0], [0, 1]), spikes


def test_small_slopes_are_floored_and_counted() -> None:
    back, inputs, spikes = two(i=1.0 + 1e-9)
    seen = back.eventprop(inputs, spikes, [1.0, 0.0])
    assert seen.floored == 1
    limit = back.eventprop(inputs, attrs.evolve(spikes, i=np.array([1.0 + LEAST_DRIVE, 2.0])), [1.0, 0.0])
    assert limit.weight[0] == pytest.approx(seen.weight[0], rel=1e-9)
    # one that does not matter is not counted; one above the least neither
    assert back.eventprop(inputs, spikes, [0.0, 0.0]).floored == 0
    assert back.eventprop(inputs, attrs.evolve(spikes, i=np.array([1.4, 2.0])), [1.0, 0.0]).floored == 0
    wide = back.eventprop(inputs, attrs.evolve(spikes, i=np.array([0.5, 1.4])), [1.0, 1.0], least_drive=0.5)
    assert wide.floored == 2
    once = attrs.evolve(spikes, t=spikes.t[:1], neuron=spikes.neuron[:1], i=np.array([0.9]), splits=np.array([0, 1]))
    both = [rule(inputs, once, [1.0], least_drive=0.25) for rule in (back.eventprop, back.single_spikes)]
    assert [seen.floored for seen in both] == [1, 1]
    # dt/dw is -k tau_mem / least_drive, for the default time constants
    k = exp(-5 / 12) - exp(-5 / 6)
    for seen in both:
        assert seen.weight[0] == pytest.approx(-k * 12 * US / 0.25, rel=1e-12)


def test_a_spike_in_a_hold_is_moved_by_nothing_and_counted() -> None:
    for hold in (10 * US, inf):
        back, inputs, spikes = two(second=12 * US, t_ref=hold)
        seen = back.eventprop(inputs, spikes, [0.0, 1.0])
        assert (seen.held, seen.floored) == (1, 0)
        assert seen.weight.tolist() == seen.input_t.tolist() == [0.0]
        assert back.eventprop(inputs, spikes, [1.0, 0.0]).held == 0
    back, inputs, spikes = two(second=16 * US, t_ref=10 * US)
    seen = back.eventprop(inputs, spikes, [0.0, 1.0])
    assert seen.held == 0
    assert seen.weight[0] != 0


# --- errors -----------------------------------------------------------------------------------------------------------


def test_structures_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="synapses have 2 sources, there are 3 neurons; synapses reach neuron 4"):
        Gradients(Neurons(size=3), Synapses.of(2, [0], [4], [1.0]))


def test_bounds_are_refused() -> None:
    neurons = Neurons(size=2, v_low=[-np.inf, -0.7], v_high=1.9, i_max=[4.0, np.inf])
    with pytest.raises(ValueError, match=r"v_low\[1\] is -0\.7, gradients know no bounds: leave it at -inf") as raised:
        Gradients(neurons, Synapses.of(3, [0], [1], [1.0]))
    assert "v_high[0] is 1.9" in str(raised.value)
    assert "i_max[0] is 4.0" in str(raised.value)


@pytest.mark.parametrize("rule", ["eventprop", "single_spikes", "currents"])
@pytest.mark.parametrize(
    ("inputs", "changes", "text"),
    [
        (([-1.0], [0], [0, 1]), {}, "inputs: 1 times are not finite or below 0, the first is -1.0"),
        (([np.nan], [0], [0, 1]), {}, "inputs: 1 times are not finite or below 0, the first is nan"),
        (([[0.0]], [[0]], [0, 1]), {}, r"inputs: times need numbers in one dimension, got float64 \(1, 1\)"),
        (([0.0], [0.5], [0, 1]), {}, r"inputs: indices need integers, one for every time, \(1,\), got float64"),
        (([0.0], [0, 0], [0, 1]), {}, r"inputs: indices need integers, one for every time, \(1,\), got int64 \(2,\)"),
        (([0.0], [1], [0, 1]), {}, r"inputs: indices are 1..1, must lie in 0..0"),
        (([0.0], [0], [0, 2]), {}, "inputs: splits must rise from 0 to 1, the number of events"),
        (([0.0], [0], [0.0, 1.0]), {}, "inputs: splits need integers, one more than samples, got float64"),
        (([0.0], [0], [0, 1, 1]), {}, "inputs have 2 samples, spikes 1"),
        (([0.0], [0], [0, 1]), {"neuron": np.array([0, 7])}, r"spikes: indices are 0..7, must lie in 0..0"),
        (([0.0], [0], [0, 1]), {"splits": np.array([0, 3, 2])}, "spikes: splits must rise from 0 to 2"),
        (([0.0], [0], [0, 1]), {"t": np.array([1.0, inf])}, "spikes: 1 times are not finite"),
    ],
)
def test_events_that_do_not_fit(rule: str, inputs: tuple[Any, Any, Any], changes: dict[str, Any], text: str) -> None:
    back, _, spikes = two()
    more = () if rule == "currents" else ([1.0, 1.0],)
    with pytest.raises(ValueError, match=text):
        getattr(back, rule)(Inputs(*inputs), attrs.evolve(spikes, **changes), *more)


@pytest.mark.parametrize("rule", ["eventprop", "single_spikes"])
def test_all_that_is_wrong_is_told_at_once(rule: str) -> None:
    back, inputs, spikes = two()
    with pytest.raises(ValueError, match=r"least_drive is 0\.0") as raised:
        getattr(back, rule)(inputs, attrs.evolve(spikes, i=np.ones(1)), [1.0, inf], weight=[1.0, 2.0], least_drive=0.0)
    told = str(raised.value)
    assert "weight needs numbers, one for every synapse, (1,), got float64 (2,)" in told
    assert "grad_t[1] is inf, must be finite" in told
    assert "spikes.i needs numbers, one for every spike, (2,), got float64 (1,)" in told


@pytest.mark.parametrize("least", [-1.0, inf, np.nan])
def test_least_drives_that_are_none_are_refused(least: float) -> None:
    back, inputs, spikes = two()
    with pytest.raises(ValueError, match=f"least_drive is {least}, must be finite and greater than 0"):
        back.eventprop(inputs, spikes, [1.0, 1.0], least_drive=least)


def test_currents_need_weights_that_fit() -> None:
    back, inputs, spikes = two()
    with pytest.raises(ValueError, match=r"weight\[0\] is nan, must be finite; inputs have 0 samples, spikes 1"):
        back.currents(Inputs([], [], [0]), spikes, weight=[np.nan])
    with pytest.raises(ValueError, match=r"weight needs numbers, one for every synapse, \(1,\), got <U1 \(1,\)"):
        back.currents(inputs, spikes, weight=["a"])


def test_single_spikes_refuses_neurons_that_spike_twice() -> None:
    back, inputs, spikes = two()
    with pytest.raises(ValueError, match=r"neuron 0 spikes more than once in sample 0 \(1 such in all\).*eventprop"):
        back.single_spikes(inputs, spikes, [1.0, 1.0])
