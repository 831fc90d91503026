"""Networks without recurrence, layer by layer and neuron by neuron: the same rules and roundings, several times faster.

All that reaches a layer is known before any of its neurons is looked at, and neurons of one layer that share their
time constants share the exponentials between arrivals.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import cuba_neuron as neuron
from ._jit import njit, njit_inlined
from .cuba_kernel import Wiring
from .cuba_sort import later, merge, sort

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
_LARGEST = 2**24
"""Weights of all tables of all layers; above it the tables are not worth their room."""
_SAFELY = 1e-12
"""Relative: so far below the threshold no rounding takes a potential past it."""
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
    most_spikes: int
    """Of one neuron in its window."""


class Spikes(NamedTuple):
    """Of several samples, one after the other."""

    t: F64
    neuron: I64
    i: F64
    counts: I64
    """(samples,)"""


class _Room(NamedTuple):
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


def build(wiring: Wiring, parameters: F64, most_spikes: int) -> Layers | None:
    """None for a network with recurrence or with bounds, and for one whose tables would be too large."""
    if np.isfinite(parameters[:, [neuron.LOW, neuron.HIGH, neuron.MOST_I]]).any():
        return None
    n, n_inputs = parameters.shape[0], wiring.n_inputs
    source_of = np.repeat(np.arange(wiring.packet_ptr.size - 1), np.diff(wiring.packet_ptr))
    packet_of = np.repeat(np.arange(source_of.size), np.diff(wiring.synapse_ptr))
    start, end = source_of[packet_of] - n_inputs, wiring.target
    inner = start >= 0
    level = _levels(n, start[inner], end[inner])
    if level is None:
        return None
    depth = int(level.max()) + 1
    neurons = np.argsort(level, kind="stable")
    first = np.searchsorted(level[neurons], np.arange(depth + 1)).astype(np.int64)
    packet_ptr = np.zeros((depth, wiring.packet_ptr.size), np.int64)
    delays, tables = [], []
    reached = [np.unique(packet_of[level[end] == k]) for k in range(depth)]
    if sum(int(first[k + 1] - first[k]) * reached[k].size for k in range(depth)) > _LARGEST:
        return None
    for k, packets in enumerate(reached):
        packet_ptr[k] = np.searchsorted(source_of[packets], np.arange(wiring.packet_ptr.size))
        mine = level[end] == k
        table = np.zeros((first[k + 1] - first[k], packets.size))
        row = np.searchsorted(neurons[first[k] : first[k + 1]], end[mine])
        table[row, np.searchsorted(packets, packet_of[mine])] = wiring.weight[mine]
        delays.append(wiring.packet_delay[packets])
        tables.append(table.ravel())
    constants = parameters[:, [neuron.RATE, neuron.RATIO, neuron.KIND]]
    shared = [bool((constants[mine] == constants[mine[0]]).all()) for mine in np.split(neurons, first[1:-1])]
    return Layers(
        n_inputs=n_inputs,
        p=parameters,
        first=first,
        neurons=neurons,
        packet_ptr=packet_ptr,
        delay_at=np.cumsum([0, *(each.size for each in delays)])[:-1],
        delay=np.concatenate(delays),
        table_at=np.cumsum([0, *(each.size for each in tables)])[:-1],
        table=np.concatenate(tables),
        shared=np.array(shared),
        most_spikes=most_spikes,
    )


def _levels(n: int, start: I64, end: I64) -> I64 | None:
    """For every neuron the longest way to it from one that hears no neuron; None where a way comes back."""
    level = np.zeros(n, np.int64)
    left = np.bincount(end, minlength=n)
    order = np.argsort(start, kind="stable")
    ptr, end = np.searchsorted(start[order], np.arange(n + 1)), end[order]
    ready, seen = list(np.flatnonzero(left == 0)), 0
    while ready:
        one = ready.pop()
        seen += 1
        after = end[ptr[one] : ptr[one + 1]]
        np.maximum.at(level, after, level[one] + 1)
        np.subtract.at(left, after, 1)
        ready += list(np.unique(after[left[after] == 0]))
    return level if seen == n else None


def run(layers: Layers, until: float, t: F64, channel: I64, ends: I64) -> Spikes | None:
    """Samples from rest; the events of sample b are ends[b]:ends[b + 1], in the order of time and channel.

    None if a neuron has more spikes than it may; `cuba_kernel` finds which.
    """
    samples = ends.size - 1
    counts, progress = np.zeros(samples, np.int64), np.zeros(2, np.int64)
    events, size = _events_of(256), 1024 + 2 * samples
    out: list[NDArray[Any]] = [np.empty(size), np.empty(size, np.int64), np.empty(size)]
    while full := _run(layers, until, t, channel, ends, progress, events, out[0], out[1], out[2], counts):
        if full == RUNAWAY:
            return None
        if full == EVENTS_FULL:
            events = _events_of(2 * events.t.size)
            continue
        # as many more as the samples so far make likely
        done = max(int(progress[SAMPLE]), 1)
        size = max(2 * size, int(1.05 * size / done * samples))
        out = [_larger(each, size) for each in out]
    n = int(progress[WRITTEN])
    return Spikes(out[0][:n], out[1][:n], out[2][:n], counts)


def _larger(array: NDArray[Any], size: int) -> NDArray[Any]:
    out = np.empty(size, array.dtype)
    out[: array.size] = array
    return out


def _events_of(size: int) -> _Room:
    t, i, spare_t, spare_i, at = (np.empty(size) for _ in range(5))
    source, spare_source, packet = (np.empty(size, np.int64) for _ in range(3))
    decay, buckets = np.empty((size, 3)), np.empty(size + 1, np.int64)
    return _Room(t, source, i, spare_t, spare_source, spare_i, at, packet, decay, buckets)


@njit_inlined
def _collect(layer: int, n_events: int, until: float, layers: Layers, room: _Room) -> int:
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
            room.at[:n], room.packet[:n], room.decay[:n, 0], until,
            room.spare_t, room.spare_source, room.spare_i, room.buckets,
        )  # fmt: skip
    return n


@njit
def _layer(
    neurons: I64, n_inputs: int, p: F64, most_spikes: int,
    table: F64, row: int, packets: int, shared: bool, arrivals: int, until: float,
    at: F64, packet: I64, decay: F64, begin: int, out_t: F64, out_source: I64, out_i: F64,
) -> int:  # fmt: skip
    """The spikes of a layer's neurons, into the list of events from `begin` on; where it ends then.

    _FULL if the list is, _TOO_MANY for more spikes of a neuron than it may have in its window.

    Plain arrays, since the compiled code counts references of all that lie in a tuple, neuron by neuron.
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
                if held <= t:
                    if shared and last == k - 1:
                        left, left_i, made = decay[k, 0], decay[k, 1], decay[k, 2]
                    else:
                        left, left_i, made = neuron.decay((end - t) * rate, ratio, kind)
                    then, then_i = u * left + i * made, i * left_i
                    if armed and t >= blind and u < th and th > 0.0:
                        # no current to get there; or still on its way, since it turns once at most
                        below = th - _SAFELY * (th + abs(u) + abs(i))
                        if i <= th or (then < below and then_i > then):
                            t, u, i, last = end, then, then_i + weight, k
                            continue
            when, next_i, armed = neuron.plan(t, u, i, held, blind, armed, th, tau, rate, ratio, kind)
            while when < end or (when == end and k < arrivals):
                if filled >= out_t.size:
                    return _FULL
                if when - since >= p[n, neuron.WINDOW]:
                    since, count = when, 0
                count += 1
                if count > most_spikes:
                    return _TOO_MANY
                out_t[filled], out_source[filled], out_i[filled] = when, n + n_inputs, next_i
                filled += 1
                t, u, i, held, blind = (
                    when,
                    p[n, neuron.RESET],
                    next_i,
                    when + p[n, neuron.HOLD],
                    when + p[n, neuron.REF],
                )
                armed, last = u < th, -2
                if blind >= until:
                    break
                when, next_i, armed = neuron.plan(t, u, i, held, blind, armed, th, tau, rate, ratio, kind)
            if blind >= until:
                break
            if k < arrivals:
                u, i = neuron.flow(t, u, i, held, end, rate, ratio, kind)
                if u < th and end >= blind:
                    armed = True
                t, i, last = end, i + weight, k
    return filled


@njit
def _sample(events: int, until: float, layers: Layers, room: _Room) -> int:
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
        at = _layer(
            layers.neurons[first:last], layers.n_inputs, layers.p, layers.most_spikes,
            layers.table, layers.table_at[layer], packets, layers.shared[layer], arrivals, until,
            room.at, room.packet, room.decay, begin, room.t, room.source, room.i,
        )  # fmt: skip
        if at < 0:
            return at
        sort(
            room.t[begin:at], room.source[begin:at], room.i[begin:at], until,
            room.spare_t, room.spare_source, room.spare_i, room.buckets,
        )  # fmt: skip
        if events < begin < at:
            merge(
                room.t[events:at], room.source[events:at], room.i[events:at], begin - events,
                room.spare_t, room.spare_source, room.spare_i,
            )  # fmt: skip
    return at


@njit
def _run(
    layers: Layers, until: float, t: F64, channel: I64, ends: I64, progress: I64, room: _Room,
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
