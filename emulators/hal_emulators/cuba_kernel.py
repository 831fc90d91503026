"""Current-based neurons from event to event: spikes that are planned, packets that are under way, probes.

At any instant, in this order: the neurons whose potential reaches the threshold spike, all of them; then all that
arrives at that instant acts, by number of packet, that of a spike without delay included; then the neurons that were
reached limit their current and plan anew, and what they plan is later. An arrival does not move a potential, so no
spike is lost.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import cuba_bounds as bounds
from . import cuba_neuron as neuron
from ._jit import njit, njit_inlined
from .heap import sift

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]
DONE, SPIKES_FULL, QUEUE_FULL, RUNAWAY = range(4)
EVENT, SPIKES = range(2)
PENDING = 0


class Wiring(NamedTuple):
    """A packet is what one source sends with one delay. Sources are the channels, then the neurons."""

    n_inputs: int
    packet_ptr: I64
    """(sources + 1,)"""
    packet_delay: F64
    synapse_ptr: I64
    """(packets + 1,)"""
    target: I64
    weight: F64


class Memory(NamedTuple):
    """What carries over from run to run."""

    p: F64
    s: F64
    heap: I64
    """Neurons, by the times they are to spike, `when`; `place` is where each is."""
    place: I64
    when: F64
    queue_t: F64
    """Packets under way: a heap by time, then number."""
    queue_packet: I64
    counts: I64
    """PENDING: packets in the queue."""
    touched: I64
    mark: Flags
    most_spikes: int
    """Of one neuron in its window."""


class Output(NamedTuple):
    """What a run leaves."""

    progress: I64
    spike_t: F64
    spike_neuron: I64
    spike_i: F64
    probe_k: I64
    """The next sample of every probe is at this many times its interval."""
    probe_every: F64
    probe_which: I64
    """neuron.U or neuron.CURRENT"""
    probe_end: I64
    """Past its last sample."""
    probe_ptr: I64
    probe_neuron: I64
    trace_at: I64
    """Where the next sample goes."""
    trace: F64


@njit
def _push(t: float, packet: int, times: F64, packets: I64, counts: I64) -> None:
    """A packet that will arrive at t; there is room."""
    at = counts[PENDING]
    counts[PENDING] = at + 1
    while at > 0:
        above = (at - 1) >> 1
        if times[above] < t or (times[above] == t and packets[above] <= packet):
            break
        times[at], packets[at] = times[above], packets[above]
        at = above
    times[at], packets[at] = t, packet


@njit
def _pop(times: F64, packets: I64, counts: I64) -> int:
    """The packet that arrives first."""
    first = packets[0]
    last = counts[PENDING] - 1
    counts[PENDING] = last
    t, packet, at = times[last], packets[last], 0
    while True:
        below = 2 * at + 1
        if below >= last:
            break
        if below + 1 < last and (
            times[below + 1] < times[below]
            or (times[below + 1] == times[below] and packets[below + 1] < packets[below])
        ):
            below += 1
        if t < times[below] or (t == times[below] and packet <= packets[below]):
            break
        times[at], packets[at] = times[below], packets[below]
        at = below
    times[at], packets[at] = t, packet
    return int(first)


@njit_inlined
def _replan(n: int, p: F64, s: F64, heap: I64, place: I64, whens: F64) -> None:
    armed = s[n, neuron.ARMED] != 0.0
    when, s[n, neuron.NEXT_I], armed = bounds.plan(
        s[n, neuron.T], s[n, neuron.U], s[n, neuron.CURRENT], s[n, neuron.HELD], s[n, neuron.BLIND], armed,
        p[n, neuron.TH], p[n, neuron.TAU], p[n, neuron.RATE], p[n, neuron.RATIO], p[n, neuron.KIND],
        p[n, neuron.LOW], p[n, neuron.HIGH],
    )  # fmt: skip
    s[n, neuron.ARMED] = 1.0 if armed else 0.0
    if whens[n] != when:
        whens[n] = when
        sift(heap, place, whens, n)


@njit
def plan_all(memory: Memory) -> None:
    """After a reset."""
    for n in range(memory.s.shape[0]):
        _replan(n, memory.p, memory.s, memory.heap, memory.place, memory.when)


@njit_inlined
def _at(n: int, t: float, p: F64, s: F64) -> tuple[float, float]:
    """(u, I) of a neuron at t, before which nothing happens to it."""
    return bounds.flow(
        s[n, neuron.T], s[n, neuron.U], s[n, neuron.CURRENT], s[n, neuron.HELD], t,
        p[n, neuron.RATE], p[n, neuron.RATIO], p[n, neuron.KIND], p[n, neuron.LOW], p[n, neuron.HIGH],
    )  # fmt: skip


@njit_inlined
def _send(source: int, t: float, wiring: Wiring, memory: Memory) -> None:
    for packet in range(wiring.packet_ptr[source], wiring.packet_ptr[source + 1]):
        _push(t + wiring.packet_delay[packet], packet, memory.queue_t, memory.queue_packet, memory.counts)


@njit_inlined
def _fire(n: int, t: float, wiring: Wiring, memory: Memory, out: Output) -> bool:
    """A potential has reached the threshold; whether the neuron does so more often than is allowed."""
    s, p = memory.s, memory.p
    i = s[n, neuron.NEXT_I]
    at = out.progress[SPIKES]
    out.spike_t[at], out.spike_neuron[at], out.spike_i[at] = t, n, i
    out.progress[SPIKES] = at + 1
    s[n, neuron.T], s[n, neuron.U], s[n, neuron.CURRENT] = t, p[n, neuron.RESET], i
    s[n, neuron.HELD], s[n, neuron.BLIND] = t + p[n, neuron.HOLD], t + p[n, neuron.REF]
    s[n, neuron.ARMED] = 1.0 if p[n, neuron.RESET] < p[n, neuron.TH] else 0.0
    _replan(n, p, s, memory.heap, memory.place, memory.when)
    _send(wiring.n_inputs + n, t, wiring, memory)
    if t - s[n, neuron.SINCE] >= p[n, neuron.WINDOW]:
        s[n, neuron.SINCE], s[n, neuron.COUNT] = t, 0.0
    s[n, neuron.COUNT] += 1.0
    return bool(s[n, neuron.COUNT] > memory.most_spikes)


@njit_inlined
def _reach(n: int, t: float, weight: float, p: F64, s: F64) -> None:
    """A current jumps."""
    if s[n, neuron.T] != t:
        u, i = _at(n, t, p, s)
        s[n, neuron.T], s[n, neuron.U], s[n, neuron.CURRENT] = t, u, i
        if u < p[n, neuron.TH] and t >= s[n, neuron.BLIND]:
            s[n, neuron.ARMED] = 1.0
    s[n, neuron.CURRENT] += weight


@njit
def _packet(
    t: float, first: int, last: int, target: I64, weight: F64, p: F64, s: F64, touched: I64, mark: Flags, n_touched: int
) -> int:
    """The synapses first..last act; how many neurons have been touched then."""
    for k in range(first, last):
        n = target[k]
        _reach(n, t, weight[k], p, s)
        if not mark[n]:
            mark[n] = True
            touched[n_touched] = n
            n_touched += 1
    return n_touched


@njit
def _replan_all(touched: I64, mark: Flags, p: F64, s: F64, heap: I64, place: I64, when: F64) -> None:
    for n in touched:
        mark[n] = False
        most = p[n, neuron.MOST_I]
        s[n, neuron.CURRENT] = min(max(s[n, neuron.CURRENT], -most), most)
        _replan(n, p, s, heap, place, when)


@njit_inlined
def _arrivals(t: float, wiring: Wiring, memory: Memory) -> None:
    """All that arrives at t. Loops over neurons take plain arrays: references of all in a tuple would be counted."""
    n = 0
    while memory.counts[PENDING] > 0 and memory.queue_t[0] == t:
        packet = _pop(memory.queue_t, memory.queue_packet, memory.counts)
        n = _packet(
            t, wiring.synapse_ptr[packet], wiring.synapse_ptr[packet + 1], wiring.target, wiring.weight,
            memory.p, memory.s, memory.touched, memory.mark, n,
        )  # fmt: skip
    _replan_all(memory.touched[:n], memory.mark, memory.p, memory.s, memory.heap, memory.place, memory.when)


@njit
def values_at(neurons: I64, which: int, t: float, memory: Memory, trace: F64) -> None:
    """U or I of some neurons, into `trace`; nothing is disturbed."""
    for k in range(neurons.size):
        u, i = _at(neurons[k], t, memory.p, memory.s)
        trace[k] = u if which == neuron.U else i


@njit
def _next_sample(out: Output) -> float:
    due = inf
    for probe in range(out.probe_k.size):
        if out.probe_k[probe] < out.probe_end[probe]:
            due = min(due, out.probe_k[probe] * out.probe_every[probe])
    return due


@njit
def _sample(due: float, memory: Memory, out: Output) -> float:
    """Take the samples that are due at that time, and return that of the next ones."""
    for probe in range(out.probe_k.size):
        k = out.probe_k[probe]
        if k < out.probe_end[probe] and k * out.probe_every[probe] == due:
            first, last = out.probe_ptr[probe], out.probe_ptr[probe + 1]
            at = out.trace_at[probe]
            values_at(
                out.probe_neuron[first:last], out.probe_which[probe], due, memory, out.trace[at : at + last - first]
            )
            out.trace_at[probe] = at + last - first
            out.probe_k[probe] = k + 1
    return _next_sample(out)


@njit
def run_until(until: float, event_t: F64, event_source: I64, wiring: Wiring, memory: Memory, out: Output) -> int:
    """Go on to `until`, seconds; the events are in the order of time and source, and before it. Nothing is allocated.

    Returns DONE, or what was full before the next thing to do; to be called again with more room. RUNAWAY: the last
    spike is one more than its neuron may have in its window, and the memory is of no use any more.
    """
    sample = _next_sample(out)
    while True:
        event = out.progress[EVENT]
        t = memory.when[memory.heap[0]]
        if memory.counts[PENDING] > 0:
            t = min(t, memory.queue_t[0])
        if event < event_t.size:
            t = min(t, event_t[event])
        while sample <= t and sample < inf:
            sample = _sample(sample, memory, out)
        if t >= until:
            return DONE
        while event < event_t.size and event_t[event] == t:
            source = event_source[event]
            if memory.counts[PENDING] + wiring.packet_ptr[source + 1] - wiring.packet_ptr[source] > memory.queue_t.size:
                return QUEUE_FULL
            _send(source, t, wiring, memory)
            event += 1
            out.progress[EVENT] = event
        while memory.when[memory.heap[0]] == t:
            if out.progress[SPIKES] >= out.spike_t.size:
                return SPIKES_FULL
            n = memory.heap[0]
            source = wiring.n_inputs + n
            if memory.counts[PENDING] + wiring.packet_ptr[source + 1] - wiring.packet_ptr[source] > memory.queue_t.size:
                return QUEUE_FULL
            if _fire(n, t, wiring, memory, out):
                return RUNAWAY
        _arrivals(t, wiring, memory)
