"""The layered way of `cuba_layers`: what a layer hears is put in order, then each of its neurons goes through it."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import cuba_bounds as bounds
from . import cuba_neuron as neuron
from ._jit import njit, njit_inlined
from .cuba_bounds import SAFELY
from .cuba_sort import later, merge, sort

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
SAMPLE, WRITTEN = range(2)
DONE, EVENTS_FULL, OUTPUT_FULL, RUNAWAY = range(4)
_FULL, _TOO_MANY = -1, -2
"""Instead of where the list ends."""


class Layers(NamedTuple):
    """Layer k has the neurons neurons[first[k]:first[k + 1]]; packets are numbered anew in every layer they reach."""

    n_inputs: int
    p: F64
    first: I64
    neurons: I64
    packet_ptr: I64
    """(layers, sources + 1)"""
    delay_at: I64
    """Where the delays of a layer's packets begin in `delay`."""
    delay: F64
    table_at: I64
    """Where a layer's table (neurons, packets) begins in `table`."""
    table: F64
    """Weights, 0 where there is no synapse."""
    shared: NDArray[np.bool_]
    """Whether all neurons of a layer have the same time constants."""
    bounded: NDArray[np.bool_]
    """Whether a neuron of a layer has a bound, or a limited current."""
    most_spikes: int
    """Of one neuron in its window."""


class Room(NamedTuple):
    """Used again for every sample."""

    t: F64
    """Of inputs, then of spikes in their order."""
    source: I64
    i: F64
    spare_t: F64
    spare_source: I64
    spare_i: F64
    at: F64
    """Arrivals of the layer at hand."""
    packet: I64
    decay: F64
    """(arrivals, 3): since the arrival before."""
    buckets: I64


@njit_inlined
def _collect(layer: int, n_events: int, until: float, layers: Layers, room: Room) -> int:
    """The arrivals at a layer before `until`, in the order of time and packet; how many, -1 for too many."""
    n, sorted_ = 0, True
    ptr = layers.packet_ptr[layer]
    delays = layers.delay[layers.delay_at[layer] :]
    for k in range(n_events):
        for packet in range(ptr[room.source[k]], ptr[room.source[k] + 1]):
            t = room.t[k] + delays[packet]
            if t >= until:
                continue
            if n >= room.at.size:
                return -1
            room.at[n], room.packet[n] = t, packet
            if n > 0 and later(room.at[n - 1], room.packet[n - 1], t, packet):
                sorted_ = False
            n += 1
    if not sorted_:
        sort(
            room.at[:n], room.packet[:n], room.decay[:n, 0],
            room.spare_t, room.spare_source, room.spare_i, room.buckets,
        )  # fmt: skip
    return n


@njit_inlined
def _layer(
    bounded: bool, neurons: I64, n_inputs: int, p: F64, most_spikes: int,
    table: F64, row: int, packets: int, shared: bool, arrivals: int, until: float,
    at: F64, packet: I64, decay: F64, begin: int, out_t: F64, out_source: I64, out_i: F64,
) -> int:  # fmt: skip
    """The spikes of a layer's neurons, into the list of events from `begin` on; where it ends then.

    _FULL if the list is, _TOO_MANY for more spikes of a neuron than it may have in its window.

    `bounded` is written out where this is called, so that without bounds nothing of them is compiled. Plain arrays,
    since the compiled code counts references of all that lie in a tuple, neuron by neuron.
    """
    filled = begin
    for which in range(neurons.size):
        n = neurons[which]
        th, tau, rate, ratio, kind = (
            p[n, neuron.TH],
            p[n, neuron.TAU],
            p[n, neuron.RATE],
            p[n, neuron.RATIO],
            p[n, neuron.KIND],
        )
        if th == inf:
            continue
        low, high, most_i, peak = p[n, neuron.LOW], p[n, neuron.HIGH], p[n, neuron.MOST_I], p[n, neuron.PEAK]
        t, u, i, held, blind, armed = 0.0, 0.0, 0.0, 0.0, 0.0, th > 0.0
        last = -1
        since, count = 0.0, 0
        weights = row + which * packets
        for k in range(arrivals + 1):
            end = until
            weight = 0.0
            if k < arrivals:
                end, weight = at[k], table[weights + packet[k]]
                if weight == 0.0:
                    continue
            if bounded and abs(i) > most_i and end > t:
                # all that arrived at t has done so
                i = min(max(i, -most_i), most_i)
            if k < arrivals and held <= t:
                if shared and last == k - 1:
                    left, left_i, made = decay[k, 0], decay[k, 1], decay[k, 2]
                else:
                    left, left_i, made = neuron.decay((end - t) * rate, ratio, kind)
                then, then_i = u * left + i * made, i * left_i
                if armed and t >= blind and u < th and th > 0.0:
                    # no current to get there; or still on its way, since it turns once at most
                    below = th - SAFELY * (th + abs(u) + abs(i))
                    if i <= th or (then < below and then_i > then):
                        free = not bounded or low <= i <= high
                        if not free and not bounds.clear(u, i, then, then_i, peak, low, high):
                            then, then_i = bounds.flow(t, u, i, held, end, rate, ratio, kind, low, high)
                        t, u, i, last = end, then, then_i + weight, k
                        continue
            while True:
                if bounded:
                    when, next_i, armed = bounds.plan(
                        t, u, i, held, blind, armed, th, tau, rate, ratio, kind, low, high
                    )
                else:
                    when, next_i, armed = neuron.plan(t, u, i, held, blind, armed, th, tau, rate, ratio, kind)
                if when > end or (when == end and k == arrivals):
                    break
                if filled >= out_t.size:
                    return _FULL
                if when - since >= p[n, neuron.WINDOW]:
                    since, count = when, 0
                count += 1
                if count > most_spikes:
                    return _TOO_MANY
                out_t[filled], out_source[filled], out_i[filled] = when, n + n_inputs, next_i
                filled += 1
                t, u, i = when, p[n, neuron.RESET], next_i
                held, blind = when + p[n, neuron.HOLD], when + p[n, neuron.REF]
                armed, last = u < th, -2
                if blind >= until:
                    break
            if blind >= until:
                break
            if k < arrivals:
                if bounded:
                    u, i = bounds.flow(t, u, i, held, end, rate, ratio, kind, low, high)
                else:
                    u, i = neuron.flow(t, u, i, held, end, rate, ratio, kind)
                if u < th and end >= blind:
                    armed = True
                t, i, last = end, i + weight, k
    return filled


@njit
def _free_layer(
    neurons: I64, n_inputs: int, p: F64, most_spikes: int,
    table: F64, row: int, packets: int, shared: bool, arrivals: int, until: float,
    at: F64, packet: I64, decay: F64, begin: int, out_t: F64, out_source: I64, out_i: F64,
) -> int:  # fmt: skip
    """`_layer` without bounds."""
    return _layer(
        False, neurons, n_inputs, p, most_spikes, table, row, packets, shared, arrivals, until,
        at, packet, decay, begin, out_t, out_source, out_i,
    )  # fmt: skip


@njit
def _bounded_layer(
    neurons: I64, n_inputs: int, p: F64, most_spikes: int,
    table: F64, row: int, packets: int, shared: bool, arrivals: int, until: float,
    at: F64, packet: I64, decay: F64, begin: int, out_t: F64, out_source: I64, out_i: F64,
) -> int:  # fmt: skip
    """`_layer` with bounds."""
    return _layer(
        True, neurons, n_inputs, p, most_spikes, table, row, packets, shared, arrivals, until,
        at, packet, decay, begin, out_t, out_source, out_i,
    )  # fmt: skip


@njit
def _sample(events: int, until: float, layers: Layers, room: Room) -> int:
    """From the first `events` of the list, which are inputs, to all spikes; where the list ends, or as `_layer`."""
    at = events
    for layer in range(layers.first.size - 1):
        arrivals = _collect(layer, at, until, layers, room)
        if arrivals < 0:
            return _FULL
        first, last = layers.first[layer], layers.first[layer + 1]
        p = layers.p[layers.neurons[first]]
        if layers.shared[layer]:
            before = 0.0
            for k in range(arrivals):
                left, left_i, made = neuron.decay(
                    (room.at[k] - before) * p[neuron.RATE], p[neuron.RATIO], p[neuron.KIND]
                )
                room.decay[k, 0], room.decay[k, 1], room.decay[k, 2] = left, left_i, made
                before = room.at[k]
        packets = layers.packet_ptr[layer, layers.packet_ptr.shape[1] - 1]
        begin = at
        if layers.bounded[layer]:
            at = _bounded_layer(
                layers.neurons[first:last], layers.n_inputs, layers.p, layers.most_spikes,
                layers.table, layers.table_at[layer], packets, layers.shared[layer], arrivals, until,
                room.at, room.packet, room.decay, begin, room.t, room.source, room.i,
            )  # fmt: skip
        else:
            at = _free_layer(
                layers.neurons[first:last], layers.n_inputs, layers.p, layers.most_spikes,
                layers.table, layers.table_at[layer], packets, layers.shared[layer], arrivals, until,
                room.at, room.packet, room.decay, begin, room.t, room.source, room.i,
            )  # fmt: skip
        if at < 0:
            return at
        sort(
            room.t[begin:at], room.source[begin:at], room.i[begin:at],
            room.spare_t, room.spare_source, room.spare_i, room.buckets,
        )  # fmt: skip
        if events < begin < at:
            merge(
                room.t[events:at], room.source[events:at], room.i[events:at], begin - events,
                room.spare_t, room.spare_source, room.spare_i,
            )  # fmt: skip
    return at


@njit
def run_samples(
    layers: Layers, until: float, t: F64, channel: I64, ends: I64, progress: I64, room: Room,
    out_t: F64, out_neuron: I64, out_i: F64, counts: I64,
) -> int:  # fmt: skip
    """Samples from progress[SAMPLE] on; nothing is allocated. DONE, or why it ended before the next sample."""
    for sample in range(progress[SAMPLE], ends.size - 1):
        first, events = ends[sample], ends[sample + 1] - ends[sample]
        if events > room.t.size:
            return EVENTS_FULL
        for k in range(events):
            room.t[k], room.source[k] = t[first + k], channel[first + k]
        end = _sample(events, until, layers, room)
        if end < 0:
            return EVENTS_FULL if end == _FULL else RUNAWAY
        n, written = end - events, progress[WRITTEN]
        if written + n > out_t.size:
            return OUTPUT_FULL
        for k in range(n):
            out_t[written + k] = room.t[events + k]
            out_neuron[written + k] = room.source[events + k] - layers.n_inputs
            out_i[written + k] = room.i[events + k]
        counts[sample] = n
        progress[WRITTEN], progress[SAMPLE] = written + n, sample + 1
    return DONE
