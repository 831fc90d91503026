"""Compiled heart of the Loihi emulator: noise, the update of all compartments, and the delivery of spikes.

Everything numba compiles for this family lives in this one file, because numba's disk cache is renewed only when the
file of the calling function changes.

Layout. Compartments are cut into blocks of `LANES`; a block's parameters (and its state) lie together, field after
field, so the update of a block is one loop of constant length over two pieces of memory, without a branch, and the
compiler makes vectors of it. What arrives waits in a ring of one row per step, `ring[step & mask]`, 64 bits per
compartment: the low `SUM_BITS` hold the sum of the weights, the rest counts the deliveries, so one addition per synapse
does both and the counts are exact in the step of arrival.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._jit import njit, njit_inlined

__all__ = [
    "LANES",
    "MAX_DELIVERIES",
    "N_PARAMETERS",
    "N_STATES",
    "Memory",
    "Noise",
    "Output",
    "Wiring",
    "counting_order",
    "run_steps",
]

LANES = 64
SUM_BITS = 44
MAX_DELIVERIES = 2 ** (64 - SUM_BITS) - 1
"""Most spikes one compartment can get in one step: all may have the largest weight, 2**21, without leaving SUM_BITS."""
DONE, OUT_FULL, OVERFLOWED = 0, 1, 2
# places in `Output.progress`
STEP, EVENT, OUT, LOST_KIND, LOST_AT, LOST_COUNT, N_PROGRESS = range(7)
# fields of a block of parameters and of a block of state
KEEP_U, KEEP_V, VTH, BIAS, REFRACT, VMIN, VMAX, N_PARAMETERS = range(8)
U, V, COUNTER, N_STATES = range(4)
_V_BOTTOM = np.int32(1 - (1 << 23))  # the membrane's register holds no less
_SPIKE, _CURRENT, _DRIVE, _BOTTOM = 1, 2, 4, 8  # bits of a lane's outcome
_ANY_LOST = (_CURRENT | _DRIVE | _BOTTOM) * 0x0101010101010101
_ONE_DELIVERY = 1 << SUM_BITS
_SUM_MASK = _ONE_DELIVERY - 1
_SUM_BIAS = 1 << (SUM_BITS - 1)
_Q_HALF = 1 << 21

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


class Wiring(NamedTuple):
    """Synapses by source; `delay` is empty where all have `common_delay`."""

    indptr: I64
    target: NDArray[np.uint32]
    weight: I32
    delay: NDArray[np.uint8]
    common_delay: int
    n_inputs: int


class Memory(NamedTuple):
    """Parameters, state and what is under way; see the layout above."""

    parameters: I32  # (blocks, N_PARAMETERS, LANES), flat
    state: I32  # (blocks, N_STATES, LANES), flat
    ring: I64  # (rows, blocks * LANES), flat; the number of rows is a power of two
    mask: int  # rows - 1
    core: I64  # (blocks * LANES,)
    block_core: I64  # (blocks,); -1 where a block lies on several cores
    drive: I32  # (LANES,), scratch
    outcome: NDArray[np.uint8]  # (LANES,), scratch


class Noise(NamedTuple):
    """One entry per compartment that has noise."""

    compartment: I64
    exponent: I64
    offset: I64
    at_membrane: NDArray[np.bool_]
    bias: I64  # the bias without noise
    key: np.uint64


class Output(NamedTuple):
    """Where a run writes."""

    progress: I64  # (N_PROGRESS,)
    spikes: NDArray[np.uint32]  # compartments, in order of step, then number
    per_step: I64  # spikes of every step
    synops: I64  # (cores,)
    overflowed: I64  # (3, cores): accumulator, current, drive
    saturated: I64  # (cores,): membranes at the end of their register
    trace: I32  # samples of all probes
    probed: I64  # positions in `Memory.state`, of all probes
    probes: I64  # (probes, 5): first and last + 1 in `probed`, every so many steps, as a register?, next in `trace`


@njit_inlined
def _kept(x: np.int32, factor: np.int32) -> np.int32:
    """|x| * factor / 4096 with the sign of x, cut toward zero; in 32 bits, as |x| <= 2**23 and factor <= 4096."""
    sign = np.int32(x >> 31)
    size = np.int32(np.int32(x ^ sign) - sign)
    high = np.int32(np.int32(size >> 12) * factor)
    low = np.int32(np.int32(np.int32(size & 4095) * factor) >> 12)
    return np.int32(np.int32(np.int32(high + low) ^ sign) - sign)


@njit_inlined
def _wrapped(x: np.int32, spare: int) -> np.int32:
    """`x` in two's complement of 32 - spare bits."""
    return np.int32(np.int32(x << spare) >> spare)


@njit_inlined
def _update(p: I32, s: I32, q: I32, outcome: NDArray[np.uint8]) -> None:
    """One step of a block: parameters, state, the arrived sums modulo 2**32, and what became of every lane."""
    for i in range(LANES):
        kept = _kept(s[U * LANES + i], p[KEEP_U * LANES + i])
        plain = np.int32(kept + _wrapped(q[i], 10))
        u = _wrapped(plain, 8)
        full = np.int32(u + p[BIAS * LANES + i])
        drive = _wrapped(full, 8)
        v = np.int32(_kept(s[V * LANES + i], p[KEEP_V * LANES + i]) + drive)
        bottom = v < _V_BOTTOM
        v = max(v, p[VMIN * LANES + i])
        v = min(v, p[VMAX * LANES + i])
        # The counter is kept as it stands before the last line of the rule, so that a probe can show it.
        counter = max(np.int32(s[COUNTER * LANES + i] - 1), np.int32(0))
        v = np.int32(0) if counter > 0 else v
        spike = v > p[VTH * LANES + i]
        s[U * LANES + i] = u
        s[V * LANES + i] = np.int32(0) if spike else v
        s[COUNTER * LANES + i] = p[REFRACT * LANES + i] if spike else counter
        lost = (np.int32(_CURRENT) if plain != u else np.int32(0)) | (
            np.int32(_DRIVE) if full != drive else np.int32(0)
        )
        # only the end of the register: a bound above it was asked for
        lost |= np.int32(_BOTTOM) if bottom and p[VMIN * LANES + i] == _V_BOTTOM else np.int32(0)
        outcome[i] = np.uint8(lost | np.int32(spike))


@njit_inlined
def _sum(packed: np.int64) -> np.int64:
    """The sum of weights in a place of the ring."""
    return np.int64(((packed + _SUM_BIAS) & _SUM_MASK) - _SUM_BIAS)


@njit_inlined
def _delivered(packed: np.int64) -> np.int64:
    """The number of deliveries in a place of the ring."""
    return np.int64(np.uint64(packed + _SUM_BIAS) >> np.uint64(SUM_BITS))


@njit_inlined
def _arrive(row: I64, q: I32) -> tuple[Any, Any]:
    """Unpack what arrived for a block: sums modulo 2**32 to `q`; deliveries, and whether any sum leaves 22 bits."""
    count = np.int64(0)
    outside = np.int64(0)
    for i in range(LANES):
        total = _sum(row[i])
        count += _delivered(row[i])
        outside |= (total + _Q_HALF) & ~np.int64(2 * _Q_HALF - 1)
        q[i] = np.int32(total)
    return count, outside != 0


@njit
def _lose(kind: int, compartment: int, memory: Memory, out: Output) -> None:
    """Count one overflow; the first of a run is kept, to be named."""
    out.overflowed[kind, memory.core[compartment]] += 1
    if out.progress[LOST_COUNT] == 0:
        out.progress[LOST_KIND] = kind
        out.progress[LOST_AT] = compartment
    out.progress[LOST_COUNT] += 1


@njit
def _count_mixed(row: I64, first: int, memory: Memory, out: Output) -> None:
    """Deliveries to a block that lies on several cores."""
    for i in range(LANES):
        out.synops[memory.core[first + i]] += _delivered(row[i])


@njit
def _collect_lost(row: I64, outside: bool, first: int, memory: Memory, out: Output) -> None:
    """Count the overflows of a block, and membranes at their lowest, in the order of the rule for every compartment."""
    for i in range(LANES):
        total = _sum(row[i])
        if outside and not -_Q_HALF <= total < _Q_HALF:
            _lose(0, first + i, memory, out)
        if memory.outcome[i] & _CURRENT:
            _lose(1, first + i, memory, out)
        if memory.outcome[i] & _DRIVE:
            _lose(2, first + i, memory, out)
        if memory.outcome[i] & _BOTTOM:
            out.saturated[memory.core[first + i]] += 1


@njit
def _advance(row: I64, memory: Memory, out: Output, n: int) -> int:
    """All compartments by one step; the spikes go to `out.spikes` from `n` on. Returns their new number."""
    words = memory.outcome.view(np.uint64)
    for block in range(memory.block_core.size):
        first = block * LANES
        p = memory.parameters[first * N_PARAMETERS : (first + LANES) * N_PARAMETERS]
        s = memory.state[first * N_STATES : (first + LANES) * N_STATES]
        arrived = row[first : first + LANES]
        count, outside = _arrive(arrived, memory.drive)
        _update(p, s, memory.drive, memory.outcome)
        core = memory.block_core[block]
        if core >= 0:
            out.synops[core] += count
        elif count:
            _count_mixed(arrived, first, memory, out)
        lost = np.uint64(0)
        for w in range(LANES // 8):
            word = words[w]
            lost |= word
            if word:
                for i in range(w * 8, w * 8 + 8):
                    out.spikes[n] = first + i
                    n += memory.outcome[i] & _SPIKE
        if outside or lost & np.uint64(_ANY_LOST):
            _collect_lost(arrived, outside, first, memory, out)
        arrived[:] = 0
    return n


@njit_inlined
def _mix(x: np.uint64) -> np.uint64:
    """A bijection of 64 bits in which every input bit reaches every output bit (constants of splitmix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit
def _add_noise(clock: int, row: I64, memory: Memory, noise: Noise) -> None:
    """Draw for every compartment with noise, from its number and the step alone: parts of a run draw as the whole."""
    now = _mix(noise.key + np.uint64(clock) * np.uint64(0x9E3779B97F4A7C15))
    for j in range(noise.compartment.size):
        i = noise.compartment[j]
        drawn = _mix(now + np.uint64(i) * np.uint64(0xD1B54A32D192ED03))
        x = np.int64(((drawn >> np.uint64(32)) * np.uint64(255)) >> np.uint64(32)) - 127 + 64 * noise.offset[j]
        shift = noise.exponent[j] - 7
        size = abs(x) << shift if shift >= 0 else abs(x) >> -shift
        value = size if x >= 0 else -size
        if noise.at_membrane[j]:
            place = (i // LANES * N_PARAMETERS + BIAS) * LANES + i % LANES
            memory.parameters[place] = noise.bias[j] + value
        else:
            row[i] += value


@njit
def _push(spiking: NDArray[Any], shift: int, wiring: Wiring, following: I64) -> None:
    """Deliver one spike of every source shift + spiking[...] to the row in which it arrives."""
    for source in spiking:
        first, last = wiring.indptr[source + shift], wiring.indptr[source + shift + 1]
        targets, weights = wiring.target[first:last], wiring.weight[first:last]
        for k in range(targets.size):
            following[targets[k]] += _ONE_DELIVERY + np.int64(weights[k])


@njit
def _push_delayed(spiking: NDArray[Any], shift: int, wiring: Wiring, clock: int, width: int, ring: I64) -> None:
    """The same where every synapse has a delay of its own: spikes of step `clock` arrive in rows of the whole ring."""
    mask = ring.size // width - 1
    for source in spiking:
        first, last = wiring.indptr[source + shift], wiring.indptr[source + shift + 1]
        targets, weights, delays = wiring.target[first:last], wiring.weight[first:last], wiring.delay[first:last]
        for k in range(targets.size):
            row = np.uint64((clock + 1 + delays[k]) & mask)
            ring[row * np.uint64(width) + targets[k]] += _ONE_DELIVERY + np.int64(weights[k])


@njit
def _deliver(spiking: NDArray[Any], shift: int, clock: int, wiring: Wiring, memory: Memory) -> None:
    """Send one spike of every source shift + spiking[...] on its way, in step `clock`."""
    width = memory.core.size
    if wiring.delay.size:
        _push_delayed(spiking, shift, wiring, clock, width, memory.ring)
    else:
        slot = ((clock + 1 + wiring.common_delay) & memory.mask) * width
        _push(spiking, shift, wiring, memory.ring[slot : slot + width])


@njit
def _sample(step: int, memory: Memory, out: Output) -> None:
    """Write what the probes see at the end of step `step` of the run."""
    for probe in range(out.probes.shape[0]):
        first, last, every, as_register, at = out.probes[probe]
        if step % every:
            continue
        for j in range(first, last):
            place = out.probed[j]
            value = memory.state[place]
            if as_register:
                counter = memory.state[place + (COUNTER - V) * LANES]
                value = np.int32(counter * 128) if counter > 0 else value
            out.trace[at] = value
            at += 1
        out.probes[probe, 4] = at


@njit
def run_steps(
    steps: int,
    clock: int,
    wiring: Wiring,
    memory: Memory,
    noise: Noise,
    event_step: I64,
    event_source: I64,
    out: Output,
    strict: bool,
) -> int:
    """Go on from `out.progress` to the end of the run (DONE).

    `clock` is the number of the run's first step since reset. Stops before a step for which `out.spikes` might be too
    small (OUT_FULL), and after a step in which something overflowed if `strict` (OVERFLOWED). Nothing is allocated.
    """
    width = memory.core.size
    n, event = out.progress[OUT], out.progress[EVENT]
    for step in range(out.progress[STEP], steps):
        if n + width >= out.spikes.size:
            return OUT_FULL
        now = clock + step
        slot = (now & memory.mask) * width
        row = memory.ring[slot : slot + width]
        if noise.compartment.size:
            _add_noise(now, row, memory, noise)
        before = n
        n = _advance(row, memory, out, n)
        host = event
        while event < event_step.size and event_step[event] == step:
            event += 1
        _deliver(event_source[host:event], 0, now, wiring, memory)
        _deliver(out.spikes[before:n], wiring.n_inputs, now, wiring, memory)
        out.per_step[step] = n - before
        _sample(step, memory, out)
        out.progress[STEP], out.progress[EVENT], out.progress[OUT] = step + 1, event, n
        if strict and out.progress[LOST_COUNT]:
            return OVERFLOWED
    return DONE


@njit
def counting_order(keys: I64, n_keys: int, order: I64) -> I64:
    """`order` sorted by keys[order], stable; keys are 0..n_keys - 1. Linear in time."""
    start = np.zeros(n_keys + 1, np.int64)
    for k in range(keys.size):
        start[keys[k] + 1] += 1
    for k in range(n_keys):
        start[k + 1] += start[k]
    out = np.empty_like(order)
    for j in order:
        out[start[keys[j]]] = j
        start[keys[j]] += 1
    return out
