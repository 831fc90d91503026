"""The order of events on a DYNAP-SE2-like chip: neurons and tag buses in one heap by time, queues, artefacts.

Every neuron and every core's bus has one next time; the heap is ordered by (time, neuron or n + core). Host events at
the same time come first, as host channels are the lower sources. Where a run ends, nothing is cut: what would happen
at its end or later stays planned, so a run in pieces is the whole run.
"""

from __future__ import annotations

from math import ceil, floor, inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import dpi_soma as soma
from ._jit import njit, njit_inlined
from .heap import sift

__all__ = ["DONE", "INTERVALS_FULL", "LISTS_FULL", "SPIKES_FULL", "Memory", "Output", "Wiring", "run_until"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]

DONE, SPIKES_FULL, LISTS_FULL, INTERVALS_FULL = range(4)
# progress of a run: spikes written, host events taken, intervals written
SPIKES, EVENT, INTERVALS = range(3)
# of the chip: first free node of the lists, how many are free, packets and pulses under way
FREE, N_FREE, PACKETS, PULSES = range(4)
# rows of the counters per core
EVENTS_IN, DELIVERED, SYNOPS, DROPPED, LOST, QUEUED, FIRED = range(7)
N_COUNTERS = 7
_DOUBLE_AFTER = 1e-6


class Wiring(NamedTuple):
    """Routes, bus and artefacts."""

    n_inputs: int
    packet_ptr: I64
    packet_core: I32
    synapse_ptr: I64
    neuron: I32
    dendrite: NDArray[np.int8]
    mask: NDArray[np.int8]
    core: I32
    """Of the neurons."""
    service: float
    """Seconds that one event takes on a core's bus."""
    latency: float
    capacity: float
    p_double: float
    p_lost: float
    key: np.uint64
    """Of the draws: seed and stream."""


class Memory(NamedTuple):
    """What carries over from run to run."""

    p: F64
    s: F64
    shadow: F64
    """(n, 3): where probes last looked."""
    counts: I32
    """(n, 4, 4): pulses that are on, by neuron, dendrite and base current."""
    heap: I32
    place: I32
    when: F64
    fires: NDArray[np.bool_]
    """Whether the planned time of a neuron is a spike."""
    ordinal: I64
    """Events so far, by source."""
    bus_free: F64
    overloaded: NDArray[np.bool_]
    head: I32
    tail: I32
    """Lists: pulses of a neuron in order of their ends, packets of a core in order of delivery; -1 where empty."""
    node_time: F64
    node_what: I32
    node_next: I32
    pool: I64


class Output(NamedTuple):
    """What a run leaves."""

    progress: I64
    spike_t: F64
    spike_neuron: I32
    counters: F64
    interval_core: I32
    interval: F64
    """(m, 2): first and last event lost, seconds since the reset."""
    probe_at: I64
    """Next sample of every probe."""
    probe_every: I64
    """Nanoseconds."""
    probe_rows: I64
    """Samples of every probe."""
    probe_which: I64
    """-1 for I_mem, else the current."""
    probe_ptr: I64
    probe_neuron: I64
    trace_start: I64
    trace: F64


@njit_inlined
def set_time(memory: Memory, item: int, t: float) -> None:
    """Put a neuron or bus at its new place in the heap."""
    if memory.when[item] != t:
        memory.when[item] = t
        sift(memory.heap, memory.place, memory.when, item)


@njit_inlined
def _append(memory: Memory, item: int, t: float, what: int) -> None:
    """Put a node at the end of a list; there is a free one."""
    node = memory.pool[FREE]
    memory.pool[FREE] = memory.node_next[node]
    memory.pool[N_FREE] -= 1
    memory.node_time[node], memory.node_what[node], memory.node_next[node] = t, what, -1
    if memory.head[item] < 0:
        memory.head[item] = node
    else:
        memory.node_next[memory.tail[item]] = node
    memory.tail[item] = node


@njit_inlined
def _pop(memory: Memory, item: int) -> int:
    node = memory.head[item]
    memory.head[item] = memory.node_next[node]
    memory.node_next[node] = memory.pool[FREE]
    memory.pool[FREE] = node
    memory.pool[N_FREE] += 1
    return int(memory.node_what[node])


@njit_inlined
def set_targets(memory: Memory, n: int, dendrite: int) -> None:
    """Where a dendrite's current goes with the pulses that are on: from whole counts, so that nothing drifts."""
    drive = 0.0
    for base in range(4):
        drive += memory.counts[n, dendrite, base] * memory.p[n, soma.IW + base]
    target = memory.p[n, soma.IO] + memory.p[n, soma.RATIO + dendrite] * drive
    memory.s[n, soma.TARGET + dendrite] = target


@njit_inlined
def _switch(memory: Memory, n: int, what: int, by: int) -> None:
    """Pulses of one CAM entry on (1) or off (-1)."""
    dendrite = what >> 4
    for base in range(4):
        if what >> base & 1:
            memory.counts[n, dendrite, base] += by
    set_targets(memory, n, dendrite)
    memory.pool[PULSES] += by


@njit_inlined
def replan(memory: Memory, n: int) -> None:
    """When to look at a neuron next, after anything of it has changed."""
    s = memory.s[n]
    until = min(s[soma.AHP_UNTIL], s[soma.DOUBLE])
    if memory.head[n] >= 0:
        until = min(until, memory.node_time[memory.head[n]])
    t, fires = soma.plan(memory.p[n], s, until)
    memory.fires[n] = fires
    set_time(memory, n, t)


@njit_inlined
def _mix(x: np.uint64) -> np.uint64:
    """A bijection of 64 bits in which every input bit reaches every output bit (constants of splitmix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit
def _draw(key: np.uint64, source: int, ordinal: int, which: int) -> float:
    """Uniform in 0..1, from the source's number, the ordinal of its event and `which` draw of it alone."""
    h = _mix(key + np.uint64(source + 1) * np.uint64(0x9E3779B97F4A7C15))
    h = _mix(h + np.uint64(ordinal + 1) * np.uint64(0xD1B54A32D192ED03))
    return float(_mix(h + np.uint64(which + 1) * np.uint64(0x8CB92BA72F3D8DD7)) >> np.uint64(11)) * 2.0**-53


@njit_inlined
def _open_interval(core: int, out: Output) -> int:
    """The last interval of a core in this run, -1 if there is none."""
    for at in range(out.progress[INTERVALS] - 1, -1, -1):
        if out.interval_core[at] == core:
            return at
    return -1


@njit_inlined
def _refuse(core: int, t: float, memory: Memory, out: Output) -> None:
    """An event finds the queue of a core full."""
    out.counters[DROPPED, core] += 1
    if not memory.overloaded[core]:
        memory.overloaded[core] = True
    else:
        last = _open_interval(core, out)
        if last >= 0:
            out.interval[last, 1] = t
            return
    at = out.progress[INTERVALS]
    out.interval_core[at] = core
    out.interval[at] = t
    out.progress[INTERVALS] = at + 1


@njit_inlined
def _send(source: int, t: float, wiring: Wiring, memory: Memory, out: Output) -> None:
    """An event of a source to the tag buses of all cores it goes to."""
    ordinal = memory.ordinal[source]
    memory.ordinal[source] = ordinal + 1
    n = wiring.core.size
    first = wiring.packet_ptr[source]
    for packet in range(first, wiring.packet_ptr[source + 1]):
        core = wiring.packet_core[packet]
        out.counters[EVENTS_IN, core] += 1
        if wiring.p_lost > 0.0 and _draw(wiring.key, source, ordinal, 1 + packet - first) < wiring.p_lost:
            out.counters[LOST, core] += 1
            continue
        wait = max(memory.bus_free[core] - t, 0.0)
        # one event on the bus, the others wait; rounding of times must not make one more
        waiting = ceil(wait / wiring.service - 1e-6) - 1 if wait > 0.0 else -1
        if waiting >= wiring.capacity:
            _refuse(core, t, memory, out)
            continue
        memory.overloaded[core] = False
        out.counters[QUEUED, core] += wait
        memory.bus_free[core] = t + wait + wiring.service
        _append(memory, n + core, memory.bus_free[core] + wiring.latency, packet)
        memory.pool[PACKETS] += 1
        if memory.head[n + core] == memory.tail[n + core]:
            set_time(memory, n + core, memory.node_time[memory.head[n + core]])


@njit_inlined
def _deliver(core: int, t: float, wiring: Wiring, memory: Memory, out: Output) -> None:
    """One packet reaches the CAM entries that hold its tag: their pulses begin."""
    item = wiring.core.size + core
    packet = _pop(memory, item)
    memory.pool[PACKETS] -= 1
    set_time(memory, item, memory.node_time[memory.head[item]] if memory.head[item] >= 0 else inf)
    first, last = wiring.synapse_ptr[packet], wiring.synapse_ptr[packet + 1]
    out.counters[DELIVERED, core] += 1
    out.counters[SYNOPS, core] += last - first
    for k in range(first, last):
        n = wiring.neuron[k]
        soma.advance(memory.p[n], memory.s[n], t)
        what = wiring.dendrite[k] << 4 | wiring.mask[k]
        _switch(memory, n, what, 1)
        _append(memory, n, t + memory.p[n, soma.T_PULSE], what)
        if k + 1 == last or wiring.neuron[k + 1] != n:
            replan(memory, n)


@njit_inlined
def _emit(n: int, t: float, wiring: Wiring, memory: Memory, out: Output) -> None:
    """A neuron's event leaves it."""
    at = out.progress[SPIKES]
    out.spike_t[at], out.spike_neuron[at] = t, n
    out.progress[SPIKES] = at + 1
    out.counters[FIRED, wiring.core[n]] += 1
    _send(wiring.n_inputs + n, t, wiring, memory, out)


@njit_inlined
def _fire(n: int, t: float, wiring: Wiring, memory: Memory, out: Output) -> None:
    """The membrane has reached the threshold: reset, held, adaptation switched on."""
    p, s = memory.p[n], memory.s[n]
    s[soma.V], s[soma.HELD_UNTIL] = p[soma.V_DARK], t + p[soma.T_REF]
    if p[soma.AHP_TARGET] > p[soma.IO]:
        s[soma.TARGET + soma.AHP] = p[soma.AHP_TARGET]
        s[soma.AHP_UNTIL] = t + p[soma.T_AHP]
    source = wiring.n_inputs + n
    double = wiring.p_double > 0.0 and s[soma.DOUBLE] == inf
    # draws of an event: its double, then the losses of its packets
    if double and _draw(wiring.key, source, memory.ordinal[source], 0) < wiring.p_double:
        s[soma.DOUBLE] = t + _DOUBLE_AFTER
    _emit(n, t, wiring, memory, out)


@njit_inlined
def _look(n: int, t: float, wiring: Wiring, memory: Memory, out: Output) -> None:
    """The planned time of a neuron has come: whatever is due, in a fixed order; then the next plan."""
    s = memory.s[n]
    soma.advance(memory.p[n], s, t)
    if memory.fires[n]:
        _fire(n, t, wiring, memory, out)
    elif s[soma.DOUBLE] == t:
        s[soma.DOUBLE] = inf
        _emit(n, t, wiring, memory, out)
    while memory.head[n] >= 0 and memory.node_time[memory.head[n]] <= t:
        _switch(memory, n, _pop(memory, n), -1)
    if s[soma.AHP_UNTIL] <= t:
        s[soma.AHP_UNTIL] = inf
        s[soma.TARGET + soma.AHP] = memory.p[n, soma.IO]
    replan(memory, n)


@njit_inlined
def value_at(memory: Memory, n: int, which: int, t: float) -> float:
    """I_mem (-1) or a current of a neuron at t, up to which nothing happens to it."""
    p, s = memory.p[n], memory.s[n]
    if which < 0:
        return soma.membrane_at(p, s, memory.shadow[n], t)
    return soma.current_at(p, s, which, t - s[soma.T])


@njit
def values_at(memory: Memory, which: int, t: float) -> F64:
    """The same of all neurons."""
    out = np.empty(memory.s.shape[0])
    for n in range(out.size):
        out[n] = value_at(memory, n, which, t)
    return out


@njit
def plan_all(memory: Memory) -> None:
    """After a reset."""
    for n in range(memory.s.shape[0]):
        replan(memory, n)


@njit
def _sample(start: int, memory: Memory, out: Output) -> float:
    """Take the samples that are due first, and return the time of the next ones."""
    due = _next_sample(out)
    following = np.int64(2**62)
    for probe in range(out.probe_at.size):
        row = out.probe_at[probe]
        if row < out.probe_rows[probe] and row * out.probe_every[probe] == due:
            first, last = out.probe_ptr[probe], out.probe_ptr[probe + 1]
            at = out.trace_start[probe] + row * (last - first)
            for k in range(first, last):
                t = (start + due) / 1e9
                out.trace[at + k - first] = value_at(memory, out.probe_neuron[k], out.probe_which[probe], t)
            out.probe_at[probe] = row = row + 1
        if row < out.probe_rows[probe]:
            following = min(following, row * out.probe_every[probe])
    return (start + following) / 1e9 if following < 2**62 else inf


@njit
def _next_sample(out: Output) -> int:
    """Nanoseconds of the run, 2**62 if all are taken."""
    due = np.int64(2**62)
    for probe in range(out.probe_at.size):
        if out.probe_at[probe] < out.probe_rows[probe]:
            due = min(due, out.probe_at[probe] * out.probe_every[probe])
    return int(due)


@njit_inlined
def _fits(source: int, wiring: Wiring, memory: Memory, out: Output) -> int:
    """DONE if there is room for what an event of a source can bring, else what is full."""
    packets = wiring.packet_ptr[source + 1] - wiring.packet_ptr[source]
    if out.progress[SPIKES] >= out.spike_t.size:
        return SPIKES_FULL
    if memory.pool[N_FREE] < packets:
        return LISTS_FULL
    return INTERVALS_FULL if out.progress[INTERVALS] + packets > out.interval_core.size else DONE


@njit
def run_until(
    start: int, end: int, event_t: I64, event_source: I64, wiring: Wiring, memory: Memory, out: Output
) -> int:
    """Go on to `end`, nanoseconds since the reset; host events in nanoseconds of the run. Nothing is allocated.

    Returns DONE, or what was full before the next thing to do; to be called again with more room.
    """
    stop = end / 1e9
    n = wiring.core.size
    sample = _next_sample(out)
    sample_t = (start + sample) / 1e9 if sample < 2**62 else inf
    while True:
        event = out.progress[EVENT]
        host_t = (start + event_t[event]) / 1e9 if event < event_t.size else inf
        item = memory.heap[0]
        t = memory.when[item]
        if sample_t <= min(host_t, t):
            if sample_t == inf:
                return DONE
            sample_t = _sample(start, memory, out)
            continue
        if host_t <= t:
            full = _fits(event_source[event], wiring, memory, out)
            if full:
                return full
            _send(event_source[event], host_t, wiring, memory, out)
            out.progress[EVENT] = event + 1
            continue
        if t >= stop:
            return DONE
        if item >= n:
            packet = memory.node_what[memory.head[item]]
            if memory.pool[N_FREE] < wiring.synapse_ptr[packet + 1] - wiring.synapse_ptr[packet]:
                return LISTS_FULL
            _deliver(item - n, t, wiring, memory, out)
            continue
        full = _fits(wiring.n_inputs + item, wiring, memory, out)
        if full:
            return full
        _look(item, t, wiring, memory, out)


@njit
def nanoseconds(t: F64, start: int) -> I64:
    """Seconds since the reset, rounded down to nanoseconds since `start`; exact, so that no time leaves its run."""
    out = np.empty(t.size, np.int64)
    for k in range(t.size):
        ns = np.int64(floor(t[k] * 1e9))
        while ns / 1e9 > t[k]:
            ns -= 1
        while (ns + 1) / 1e9 <= t[k]:
            ns += 1
        out[k] = ns - start
    return out
