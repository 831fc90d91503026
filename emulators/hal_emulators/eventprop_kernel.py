"""Gradients of spike times, compiled: the adjoint of a batch, the rule for single spikes, currents from spikes.

What the formulas are and where they come from stands in `eventprop`.
"""

from __future__ import annotations

from math import exp
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import cuba_neuron as neuron
from ._jit import njit, njit_inlined

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

FLOORED, HELD = range(2)
# columns of the adjoint's state of a neuron: BY_U = dL/du and BY_I = dL/dI are those at AT, seconds, and 0 until it is
# LIVE; END is where the hold after its last spike that is not dealt with ends. Once the way back has PASSED it, AT_END
# is dL/du there and JUMPS what arrived in the hold, as it is left at its end
AT, BY_U, BY_I, LIVE, END, PASSED, AT_END, JUMPS = range(8)
N_STATES = 8


class Graph(NamedTuple):
    """Synapses in the order of source and delay. A packet is what one source sends with one delay."""

    n_inputs: int
    p: F64
    """(N, N_PARAMETERS), as in `cuba_neuron`."""
    packet_ptr: I64
    """(sources + 1,)"""
    packet_delay: F64
    synapse_ptr: I64
    """(packets + 1,)"""
    target: I64
    into_ptr: I64
    """(N + 1,)"""
    into: I64
    """Synapses, by target."""
    source: I64
    delay: F64


class Batch(NamedTuple):
    """Events of all samples: inputs, then spikes, each in the order of time within its sample."""

    in_t: F64
    in_source: I64
    in_ptr: I64
    """(B + 1,)"""
    t: F64
    n: I64
    i: F64
    ptr: I64
    """(B + 1,)"""


class Arrivals(NamedTuple):
    """Packets that reach their targets in one sample. An event is an input's number, or in_t.size + a spike's."""

    t: F64
    event: I64
    packet: I64


@njit
def most_arrivals(graph: Graph, batch: Batch) -> int:
    """Packets of the sample that has the most."""
    most = 0
    for b in range(batch.ptr.size - 1):
        count = 0
        for k in range(batch.in_ptr[b], batch.in_ptr[b + 1]):
            source = batch.in_source[k]
            count += graph.packet_ptr[source + 1] - graph.packet_ptr[source]
        for k in range(batch.ptr[b], batch.ptr[b + 1]):
            source = graph.n_inputs + batch.n[k]
            count += graph.packet_ptr[source + 1] - graph.packet_ptr[source]
        most = max(most, count)
    return most


@njit
def _arrive(b: int, graph: Graph, batch: Batch, out: Arrivals) -> int:
    """All that arrives in sample b, in the order of time, into `out`; how many."""
    a, a_end, s, s_end = batch.in_ptr[b], batch.in_ptr[b + 1], batch.ptr[b], batch.ptr[b + 1]
    count, ordered = 0, True
    while a < a_end or s < s_end:
        if s == s_end or (a < a_end and batch.in_t[a] <= batch.t[s]):
            event, t, source = a, batch.in_t[a], batch.in_source[a]
            a += 1
        else:
            event, t, source = batch.in_t.size + s, batch.t[s], graph.n_inputs + batch.n[s]
            s += 1
        for packet in range(graph.packet_ptr[source], graph.packet_ptr[source + 1]):
            out.t[count], out.event[count], out.packet[count] = t + graph.packet_delay[packet], event, packet
            ordered = ordered and (count == 0 or out.t[count] >= out.t[count - 1])
            count += 1
    if not ordered:
        order = np.argsort(out.t[:count], kind="mergesort")
        out.t[:count], out.event[:count], out.packet[:count] = out.t[order], out.event[order], out.packet[order]
    return count


@njit_inlined
def _back(n: int, t: float, p: F64, s: F64) -> None:
    """Take the adjoint of a neuron back to t, which is not before its last spike."""
    at, end = s[n, AT], s[n, END]
    rate, ratio = p[n, neuron.RATE], p[n, neuron.RATIO]
    if s[n, PASSED] == 0.0:
        stop = max(t, min(end, at))
        left, left_i, made = neuron.decay((at - stop) * rate, ratio, p[n, neuron.KIND])
        s[n, BY_I] = s[n, BY_I] * left_i + s[n, BY_U] * made
        s[n, BY_U] *= left
        at = stop
        if end > t:
            s[n, PASSED], s[n, AT_END], s[n, JUMPS], s[n, BY_U] = 1.0, s[n, BY_U], 0.0, 0.0
    if at > t:
        s[n, BY_I] *= exp(-(at - t) * rate * ratio)
    s[n, AT] = t


@njit
def _packet(t: float, first: int, last: int, target: I64, weight: F64, p: F64, s: F64, by_w: F64) -> float:
    """Undo the arrival of a packet at t: adds dL/dw of its synapses to `by_w` and returns dL/dt."""
    by_t = 0.0
    # neurons with the same time constants, last changed by the same arrival, share the exponentials
    known, known_rate, known_ratio, left, left_i, made = -1.0, 0.0, 0.0, 1.0, 1.0, 0.0
    for k in range(first, last):
        n = target[k]
        if s[n, LIVE] == 0.0:
            continue
        rate, ratio, since = p[n, neuron.RATE], p[n, neuron.RATIO], s[n, AT] - t
        if s[n, END] > t:
            _back(n, t, p, s)
            s[n, JUMPS] += weight[k] * exp(-(s[n, END] - t) * rate * ratio)
        else:
            if since != known or rate != known_rate or ratio != known_ratio:
                known, known_rate, known_ratio = since, rate, ratio
                left, left_i, made = neuron.decay(since * rate, ratio, p[n, neuron.KIND])
            s[n, BY_I] = s[n, BY_I] * left_i + s[n, BY_U] * made
            s[n, BY_U] *= left
            s[n, AT] = t
        by_w[k] += s[n, BY_I]
        by_t += weight[k] * (s[n, BY_I] * ratio - s[n, BY_U]) * rate
    return by_t


@njit_inlined
def _fired(n: int, t: float, i: float, by_t: float, end: float, least: float, p: F64, s: F64, counts: I64) -> float:
    """Undo a spike; `by_t` is dL/dt by all but the neuron's own course after it, returned is that by all.

    `end`: of the hold after the neuron's spike before.
    """
    rate = p[n, neuron.RATE]
    if s[n, LIVE] != 0.0:
        _back(n, t, p, s)
        if s[n, PASSED] != 0.0:
            at_end = s[n, AT_END]
            left = i * exp(-p[n, neuron.HOLD] * rate * p[n, neuron.RATIO]) + s[n, JUMPS]
        else:
            at_end, left = s[n, BY_U], i
        by_t -= at_end * (left - p[n, neuron.RESET]) * rate
    s[n, AT], s[n, BY_U], s[n, END], s[n, PASSED], s[n, AT_END] = t, 0.0, end, 0.0, 0.0
    if by_t == 0.0:
        return 0.0
    if t < end:
        counts[HELD] += 1
        return by_t
    drive = i - p[n, neuron.TH]
    if not drive >= least:
        counts[FLOORED] += 1
        drive = least
    s[n, BY_U], s[n, LIVE] = -by_t / (drive * rate), 1.0
    return by_t


@njit
def adjoint(
    graph: Graph, batch: Batch, weight: F64, least: float, room: Arrivals, by_w: F64, by_in: F64, by_t: F64
) -> I64:
    """Adds dL/dw to `by_w`, dL/dt of inputs to `by_in`; `by_t`: dL/dt of spikes, as the loss has it, then in all.

    Returns how many spikes were FLOORED and HELD.
    """
    counts = np.zeros(2, np.int64)
    p, n_neurons, inputs = graph.p, graph.p.shape[0], batch.in_t.size
    s, ends = np.empty((n_neurons, N_STATES)), np.empty(batch.t.size)
    for b in range(batch.ptr.size - 1):
        s[:] = 0.0
        s[:, END] = -np.inf
        first, spike = batch.ptr[b], batch.ptr[b + 1]
        for k in range(first, spike):
            n = batch.n[k]
            ends[k], s[n, END] = s[n, END], batch.t[k] + p[n, neuron.HOLD]
        arrival = _arrive(b, graph, batch, room)
        # at one time spikes come before arrivals, so arrivals are undone before spikes
        while arrival > 0 or spike > first:
            if spike == first or (arrival > 0 and room.t[arrival - 1] >= batch.t[spike - 1]):
                arrival -= 1
                event, packet = room.event[arrival], room.packet[arrival]
                moved = _packet(
                    room.t[arrival], graph.synapse_ptr[packet], graph.synapse_ptr[packet + 1], graph.target, weight,
                    p, s, by_w,
                )  # fmt: skip
                if event < inputs:
                    by_in[event] += moved
                else:
                    by_t[event - inputs] += moved
            else:
                spike -= 1
                n = batch.n[spike]
                by_t[spike] = _fired(n, batch.t[spike], batch.i[spike], by_t[spike], ends[spike], least, p, s, counts)
    return counts


@njit
def single_spikes(graph: Graph, batch: Batch, weight: F64, least: float, by_w: F64, by_in: F64, by_t: F64) -> I64:
    """As `adjoint`, for neurons that spike at most once in a sample: every spike by all that arrived before it."""
    counts = np.zeros(2, np.int64)
    inputs = batch.in_t.size
    head, following = np.empty(graph.packet_ptr.size - 1, np.int64), np.empty(inputs + batch.t.size, np.int64)
    for b in range(batch.ptr.size - 1):
        head[:] = -1
        for k in range(batch.in_ptr[b], batch.in_ptr[b + 1]):
            source = batch.in_source[k]
            following[k], head[source] = head[source], k
        for k in range(batch.ptr[b], batch.ptr[b + 1]):
            source = graph.n_inputs + batch.n[k]
            following[inputs + k], head[source] = head[source], inputs + k
        for spike in range(batch.ptr[b + 1] - 1, batch.ptr[b] - 1, -1):
            n, t, g = batch.n[spike], batch.t[spike], by_t[spike]
            if g == 0.0:
                continue
            rate, ratio, kind = graph.p[n, neuron.RATE], graph.p[n, neuron.RATIO], graph.p[n, neuron.KIND]
            drive = batch.i[spike] - graph.p[n, neuron.TH]
            if not drive >= least:
                counts[FLOORED] += 1
                drive = least
            by_u = -g / (drive * rate)
            for at in range(graph.into_ptr[n], graph.into_ptr[n + 1]):
                k = graph.into[at]
                event = head[graph.source[k]]
                while event >= 0:
                    since = t - ((batch.in_t[event] if event < inputs else batch.t[event - inputs]) + graph.delay[k])
                    if since > 0.0:
                        _, left_i, made = neuron.decay(since * rate, ratio, kind)
                        by_w[k] += by_u * made
                        moved = by_u * weight[k] * (made - left_i) * rate
                        if event < inputs:
                            by_in[event] += moved
                        else:
                            by_t[event - inputs] += moved
                    event = following[event]
    return counts


@njit
def currents(graph: Graph, batch: Batch, weight: F64, room: Arrivals, out: F64) -> None:
    """What current the recorded spikes and inputs make in every neuron at its spikes, into `out`."""
    n_neurons = graph.p.shape[0]
    i, since = np.empty(n_neurons), np.empty(n_neurons)
    for b in range(batch.ptr.size - 1):
        i[:] = 0.0
        since[:] = 0.0
        spike, end = batch.ptr[b], batch.ptr[b + 1]
        count, arrival = _arrive(b, graph, batch, room), 0
        while spike < end:
            if arrival < count and room.t[arrival] < batch.t[spike]:
                t, packet = room.t[arrival], room.packet[arrival]
                for k in range(graph.synapse_ptr[packet], graph.synapse_ptr[packet + 1]):
                    n = graph.target[k]
                    i[n] *= exp(-(t - since[n]) * graph.p[n, neuron.RATE] * graph.p[n, neuron.RATIO])
                    i[n] += weight[k]
                    since[n] = t
                arrival += 1
            else:
                n, t = batch.n[spike], batch.t[spike]
                out[spike] = i[n] * exp(-(t - since[n]) * graph.p[n, neuron.RATE] * graph.p[n, neuron.RATIO])
                spike += 1
