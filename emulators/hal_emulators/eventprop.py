"""Gradients of a loss of spike times, from recorded spikes, for the neurons of `cuba`; arrays in, arrays out.

The chip runs forward, the host goes back: what a loss changes by with every weight and every input's time, exactly,
from when which neuron spiked and its current then. Two rules, which agree wherever both apply.

**EventProp** (Wunderlich and Pehl 2021, doi 10.1038/s41598-021-91786-z), for any network. With u = V - v_leak and I as
in `cuba_neuron`, let p = dL/du and q = dL/dI be what a small change of the state of a neuron at t does to the loss.
Going back by d from where nothing happened they follow from the closed form of u and I: p goes to p e^(-d/tau_mem), q
to q e^(-d/tau_syn) + p k(d), where k(d) is the u that a unit of I makes in d. While the membrane is held p is 0, since
whatever u was is gone, and q decays. With the slope u' = (I - u) / tau_mem, at

- an arrival with weight w at time a: dL/dw is q, and dL/da = w (q / tau_syn - p / tau_mem), since for da the current
  was without w and u did not rise. dL/da is part of dL/dt of the spike or input that was sent.
- the end of a hold, or the reset of a membrane that is not held: u starts there from the reset, so that moving the end
  moves what follows: -p u' is part of dL/dt of the spike that began it. I goes on at a spike and during a hold, so u'
  at the end has the current at the spike, decayed, and what arrived in the hold.
- a spike, when dL/dt is complete: u - v_th changes sign at it, hence dt = -du / u', and just before it p is
  -dL/dt tau_mem / (I - v_th), I the recorded current (both above v_leak). What p was just after it ends there, as u is
  overwritten; q goes on.

Neurons are dealt with together in the order of time, so layers and recurrence need no rule of their own. The end of the
refractory time by itself decides whether there is a spike, not when.

**Single spikes** (Goeltz et al. 2021, doi 10.1038/s42256-021-00388-x), where every neuron spikes at most once: V at the
spike is the sum of w k(t - a), so dt/dw = -k tau_mem / (I - v_th) and dt/da = w k' tau_mem / (I - v_th), spike after
spike from the last to the first.

Neither rule sees a spike that would appear or vanish.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import eventprop_kernel as kernel
from .cuba import BatchResult
from .cuba_arrays import Neurons, Synapses

__all__ = ["LEAST_DRIVE", "Gradient", "Gradients", "Inputs"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

LEAST_DRIVE = 1e-6
"""In units of the potential: a spike's I - v_th is taken to be at least that. The default is the vendor's (jaxsnn
0.3.0, in units of v_th); noise and time stamps ask for more."""


class Inputs(NamedTuple):
    """Input events of a batch, those of sample b from splits[b] to splits[b + 1], in any order within it."""

    t: ArrayLike
    """(m,), s."""
    channel: ArrayLike
    """(m,)"""
    splits: ArrayLike
    """(B + 1,)"""


@attrs.frozen(kw_only=True, eq=False)
class Gradient:
    """What a loss changes by, summed over the batch for weights."""

    weight: F64
    """dL/dw, in the order of the synapses."""
    input_t: F64
    """dL/dt of every input event, in the order given, 1/s."""
    spike_t: F64
    """dL/dt of every spike, in the order given, 1/s: the loss' own and what other spikes make of it."""
    floored: int
    """Spikes that mattered and whose I - v_th was less than the least: the gradient through them is too small."""
    held: int
    """Spikes that mattered and came while their membrane was still held by the spike before, which a recording with
    coarse times may have: nothing moves these, the gradient ends there."""


class Gradients:
    """The way back through a network. Its structure is looked at once; weights may come anew with every call."""

    def __init__(self, neurons: Neurons, synapses: Synapses) -> None:
        """Sources and synapses as for `cuba.Network`, but one with weight 0 is one.

        ValueError with all that is wrong, v_low, v_high and i_max among it: at a bound these rules do not hold.
        Weights of layers one after the other: `Synapses.chain` of matrices of ones, and the raveled matrices, joined,
        are the weights.
        """
        sources = synapses.ptr.size - 1
        self.n_inputs = sources - neurons.size
        problems = []
        if self.n_inputs < 0:
            problems.append(f"synapses have {sources} sources, there are {neurons.size} neurons")
        if synapses.target.size and int(synapses.target.max()) >= neurons.size:
            problems.append(f"synapses reach neuron {synapses.target.max()}, there are {neurons.size}")
        problems += _bounds(neurons)
        if problems:
            raise ValueError("; ".join(problems))
        self.neurons, self.synapses = neurons, synapses
        source: I64 = np.repeat(np.arange(sources), np.diff(synapses.ptr))
        self._order = np.lexsort((synapses.delay, source))
        source, delay, target = source[self._order], synapses.delay[self._order], synapses.target[self._order]
        first = np.ones(source.size, np.bool_)
        first[1:] = (np.diff(source) != 0) | (np.diff(delay) != 0)
        starts = np.flatnonzero(first)
        self._graph = kernel.Graph(
            n_inputs=self.n_inputs,
            p=neurons.parameters(),
            packet_ptr=np.searchsorted(source[starts], np.arange(sources + 1)).astype(np.int64),
            packet_delay=delay[starts],
            synapse_ptr=np.append(starts, source.size).astype(np.int64),
            target=target,
            into_ptr=np.concatenate([[0], np.cumsum(np.bincount(target, minlength=neurons.size))]).astype(np.int64),
            into=np.argsort(target, kind="stable"),
            source=source,
            delay=delay,
        )

    def eventprop(
        self,
        inputs: Inputs,
        spikes: BatchResult,
        grad_t: ArrayLike,
        *,
        weight: ArrayLike | None = None,
        least_drive: float = LEAST_DRIVE,
    ) -> Gradient:
        """By EventProp. `spikes` are all spikes of the network, `grad_t` is what the loss changes by with their times.

        grad_t: (spikes,), 1/s, 0 for those the loss does not see. weight: (synapses,), those of the forward run if they
        are not the structure's. ValueError with all that is wrong.
        """
        return self._gradient(inputs, spikes, grad_t, weight, least_drive, single=False)

    def single_spikes(
        self,
        inputs: Inputs,
        spikes: BatchResult,
        grad_t: ArrayLike,
        *,
        weight: ArrayLike | None = None,
        least_drive: float = LEAST_DRIVE,
    ) -> Gradient:
        """As `eventprop`, by the rule for single spikes; ValueError if a neuron spikes twice in a sample."""
        return self._gradient(inputs, spikes, grad_t, weight, least_drive, single=True)

    def currents(self, inputs: Inputs, spikes: BatchResult, *, weight: ArrayLike | None = None) -> F64:
        """The model's I at every spike, (spikes,), where the device records none; spikes.i is not looked at."""
        problems: list[str] = []
        w = self._weights(weight, problems)
        batch, _, spike_order = self._batch(inputs, attrs.evolve(spikes, i=np.zeros(np.shape(spikes.t))), problems)
        out = np.empty(batch.t.size)
        kernel.currents(self._graph, batch, w, self._room(batch), out)
        return _unsorted(out, spike_order)

    def _gradient(
        self,
        inputs: Inputs,
        spikes: BatchResult,
        grad_t: ArrayLike,
        weight: ArrayLike | None,
        least_drive: float,
        *,
        single: bool,
    ) -> Gradient:
        problems: list[str] = []
        if not 0 < least_drive < np.inf:
            problems.append(f"least_drive is {least_drive}, must be finite and greater than 0")
        w = self._weights(weight, problems)
        by_t = _finite("grad_t", grad_t, np.shape(spikes.t), "one for every spike", problems)
        batch, in_order, spike_order = self._batch(inputs, spikes, problems)
        by_t = by_t.copy() if spike_order is None else by_t[spike_order]
        by_w, by_in = np.zeros(w.size), np.zeros(batch.in_t.size)
        if single:
            _at_most_once(batch, self.neurons.size)
            counts = kernel.single_spikes(self._graph, batch, w, least_drive, by_w, by_in, by_t)
        else:
            counts = kernel.adjoint(self._graph, batch, w, least_drive, self._room(batch), by_w, by_in, by_t)
        return Gradient(
            weight=_unsorted(by_w, self._order),
            input_t=_unsorted(by_in, in_order),
            spike_t=_unsorted(by_t, spike_order),
            floored=int(counts[kernel.FLOORED]),
            held=int(counts[kernel.HELD]),
        )

    def _weights(self, weight: ArrayLike | None, problems: list[str]) -> F64:
        given = self.synapses.weight if weight is None else weight
        w = _finite("weight", given, self.synapses.weight.shape, "one for every synapse", problems)
        return w[self._order] if w.shape == self._order.shape else w

    def _batch(
        self, inputs: Inputs, spikes: BatchResult, problems: list[str]
    ) -> tuple[kernel.Batch, I64 | None, I64 | None]:
        """In the order of time within every sample, and these orders, None where it was so. Raises the problems."""
        in_t, channel, in_ptr = _events("inputs", inputs.t, inputs.channel, inputs.splits, self.n_inputs, problems)
        t, n, ptr = _events("spikes", spikes.t, spikes.neuron, spikes.splits, self.neurons.size, problems)
        i = _finite("spikes.i", spikes.i, np.shape(spikes.t), "one for every spike", problems)
        if in_ptr.size != ptr.size:
            problems.append(f"inputs have {in_ptr.size - 1} samples, spikes {ptr.size - 1}")
        if problems:
            raise ValueError("; ".join(problems))
        in_order, order = _time_order(in_t, in_ptr), _time_order(t, ptr)
        if in_order is not None:
            in_t, channel = in_t[in_order], channel[in_order]
        if order is not None:
            t, n, i = t[order], n[order], i[order]
        return kernel.Batch(in_t, channel, in_ptr, t, n, i, ptr), in_order, order

    def _room(self, batch: kernel.Batch) -> kernel.Arrivals:
        most = kernel.most_arrivals(self._graph, batch)
        return kernel.Arrivals(np.empty(most), np.empty(most, np.int64), np.empty(most, np.int64))


def _bounds(neurons: Neurons) -> list[str]:
    """What of the neurons the rules do not know."""
    problems = []
    for name, none in (("v_low", -np.inf), ("v_high", np.inf), ("i_max", np.inf)):
        values: F64 = getattr(neurons, name)
        wrong = np.flatnonzero(values != none)
        if wrong.size:
            n = wrong[0]
            problems.append(f"{name}[{n}] is {values[n]}, gradients know no bounds: leave it at {none} here")
    return problems


def _finite(name: str, values: Any, shape: tuple[int, ...], what: str, problems: list[str]) -> F64:
    """An array of finite numbers of that shape; `problems` says what it is not."""
    array = np.asarray(values)
    if array.shape != shape or (array.size and array.dtype.kind not in "fiu"):
        problems.append(f"{name} needs numbers, {what}, {shape}, got {array.dtype} {array.shape}")
        return np.zeros(shape)
    array = array.astype(np.float64, copy=False)
    wrong = np.flatnonzero(~np.isfinite(array))
    if wrong.size:
        problems.append(f"{name}[{wrong[0]}] is {array.ravel()[wrong[0]]}, must be finite")
    return array


def _events(
    name: str, times: ArrayLike, indices: ArrayLike, splits: ArrayLike, limit: int, problems: list[str]
) -> tuple[F64, I64, I64]:
    """Times, indices and splits as arrays of one dimension; `problems` says what they are not."""
    t, index, ptr = np.asarray(times), np.asarray(indices), np.asarray(splits)
    if t.ndim != 1 or (t.size and t.dtype.kind not in "fiu"):
        problems.append(f"{name}: times need numbers in one dimension, got {t.dtype} {t.shape}")
    elif wrong := np.flatnonzero(~((t >= 0) & (t < np.inf))).tolist():
        problems.append(f"{name}: {len(wrong)} times are not finite or below 0, the first is {t[wrong[0]]}")
    if index.shape != t.shape or (index.size and index.dtype.kind not in "iu"):
        problems.append(
            f"{name}: indices need integers, one for every time, {t.shape}, got {index.dtype} {index.shape}"
        )
    elif index.size and not 0 <= int(index.min()) <= int(index.max()) < limit:
        problems.append(f"{name}: indices are {index.min()}..{index.max()}, must lie in 0..{limit - 1}")
    if ptr.ndim != 1 or ptr.size == 0 or ptr.dtype.kind not in "iu":
        problems.append(f"{name}: splits need integers, one more than samples, got {ptr.dtype} {ptr.shape}")
        ptr = np.zeros(1, np.int64)
    elif ptr[0] != 0 or ptr[-1] != t.size or bool((np.diff(ptr.astype(np.int64)) < 0).any()):
        problems.append(f"{name}: splits must rise from 0 to {t.size}, the number of events")
    if problems:
        return np.empty(0), np.empty(0, np.int64), ptr
    return t.astype(np.float64, copy=False), index.astype(np.int64, copy=False), ptr.astype(np.int64, copy=False)


def _time_order(t: F64, ptr: I64) -> I64 | None:
    """What puts every sample in the order of time; None if it is so."""
    falls = np.flatnonzero(np.diff(t) < 0) + 1
    if np.isin(falls, ptr).all():
        return None
    sample: I64 = np.repeat(np.arange(ptr.size - 1), np.diff(ptr))
    return np.lexsort((t, sample))


def _unsorted(values: F64, order: I64 | None) -> F64:
    if order is None:
        return values
    out = np.empty_like(values)
    out[order] = values
    return out


def _at_most_once(batch: kernel.Batch, n_neurons: int) -> None:
    sample: I64 = np.repeat(np.arange(batch.ptr.size - 1), np.diff(batch.ptr))
    key = np.sort(sample * n_neurons + batch.n)
    twice = key[1:][key[1:] == key[:-1]]
    if twice.size:
        b, n = divmod(int(twice[0]), n_neurons)
        raise ValueError(
            f"neuron {n} spikes more than once in sample {b} ({np.unique(twice).size} such in all); "
            "this rule is for single spikes, use eventprop, or a refractory time longer than the sample"
        )
