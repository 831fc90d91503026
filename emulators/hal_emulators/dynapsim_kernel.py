"""Compiled heart of the DynapSim emulator: weighted sums, the update of all neurons, and the counting of spikes.

Everything numba compiles for this family lives in this one file, because numba's disk cache is renewed only when the
file of the calling function changes.

Layout. Neurons are cut into blocks of `LANES`; a block's factors (and its state) lie together, field after field, so
the update of a block is one loop of constant length over few pieces of memory, without a branch, and the compiler makes
vectors of it. exp and log are polynomials for the same reason, and because the answer is then the same on every machine
and at every place in a vector. Where a product and a sum are rounded as one (`fma32`) is written out, never left to the
compiler; the places are those of the peer's compiled code on a CPU, which so gives the same bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._jit import fma32, njit, njit_inlined

__all__ = [
    "LANES",
    "N_FACTORS",
    "N_STATES",
    "Memory",
    "Output",
    "Wiring",
    "exp32",
    "log32",
    "run_steps",
]

LANES = 64
DONE, OUT_FULL, NOT_FINITE = 0, 1, 2
# places in `Output.progress`
STEP, EVENT, OUT, BAD_NEURON, N_PROGRESS = range(5)
# fields of a block of factors: what of the rule does not change from step to step
(
    KEEP_SYN, JUMP_SYN, GAIN_SYN, DARK, PER_DARK, KEEP_AHP, JUMP_AHP, GAIN_AHP, WEIGHT_AHP, LEAK, DC, GAIN_MEM,
    HEADROOM, FEED, CHARGE, SLOPE, PER_THRESHOLD, DEAD_TIME, N_FACTORS,
) = range(19)  # fmt: skip
# fields of a block of state; LEVEL is I_mem/Ispkthr before the reset, of the step just done
ISYN, IAHP, IMEM, VMEM, COUNT, TIMER, LEVEL, N_STATES = range(8)
_SPIKE, _BAD = 1, 2  # bits of a lane's outcome
_ANY_BAD = _BAD * 0x0101010101010101

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
U32 = NDArray[np.uint32]

_ZERO, _HALF, _ONE, _TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
_LOG2E = np.float32(1.44269504088896341)
# ln 2 in two parts, the first with few enough bits that k times it is exact
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_EXP_LOW, _EXP_HIGH = np.float32(-87), np.float32(88)
_ROOT_HALF = np.int32(0x3F3504F3)  # the bits of sqrt(1/2)
# The polynomials of expf and logf in S. Moshier's Cephes library, which XLA uses, too.
_E0, _E1, _E2, _E3, _E4, _E5 = (
    np.float32(c)
    for c in (5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4)
)
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8 = (
    np.float32(c)
    for c in (3.3333331174e-1, -2.4999993993e-1, 2.0000714765e-1, -1.6668057665e-1, 1.4249322787e-1, -1.2420140846e-1,
              1.1676998740e-1, -1.1514610310e-1, 7.0376836292e-2)
)  # fmt: skip


class Wiring(NamedTuple):
    """Synapses by source: those of inputs, those of neurons."""

    in_ptr: I64
    in_target: U32
    in_weight: F32
    rec_ptr: I64
    rec_target: U32
    rec_weight: F32


class Memory(NamedTuple):
    """Factors, state and what has arrived; see the layout above."""

    factors: F32  # (blocks, N_FACTORS, LANES), flat
    state: F32  # (blocks, N_STATES, LANES), flat
    external: F32  # (blocks * LANES,): sums of the inputs' weights in this step
    recurrent: F32  # (blocks * LANES,): sums of the weights of the spikes of the step before
    outcome: NDArray[np.uint8]  # (LANES,), scratch
    scale: np.float32  # Iscale, A
    dt: np.float32  # s


class Output(NamedTuple):
    """Where a run writes."""

    progress: I64  # (N_PROGRESS,)
    spikes: U32  # neurons that spiked, in order of step, then number
    counts: I32  # how often, of every entry of `spikes`
    per_step: I64  # entries of every step
    trace: F32  # samples of all probes
    probed: I64  # positions in `Memory.state`, of all probes
    probes: I64  # (probes, 4): first and last + 1 in `probed`, every so many steps, next in `trace`


@njit_inlined
def exp32(x: np.float32) -> np.float32:
    """e**x within 1 unit in the last place, for x in -87..88; beyond, e**-87 or e**88."""
    x = x if x < _EXP_HIGH else _EXP_HIGH
    x = x if x > _EXP_LOW else _EXP_LOW
    k = np.floor(fma32(x, _LOG2E, _HALF))
    r = fma32(-k, _LN2_LOW, fma32(-k, _LN2_HIGH, x))
    p = fma32(_E5, r, _E4)
    p = fma32(p, r, _E3)
    p = fma32(p, r, _E2)
    p = fma32(p, r, _E1)
    p = fma32(p, r, _E0)
    power = np.int32((np.int32(k) + np.int32(127)) << 23).view(np.float32)
    return np.float32((fma32(p, r * r, r) + _ONE) * power)


@njit_inlined
def log32(x: np.float32) -> np.float32:
    """Natural logarithm of a positive normal number, within 1 unit in the last place; 0 at 1 exactly."""
    bits = np.int32(np.float32(x).view(np.int32) - _ROOT_HALF)
    k = np.float32(np.int32(bits >> 23))
    r = np.int32(np.int32(bits & 0x7FFFFF) + _ROOT_HALF).view(np.float32) - _ONE  # from sqrt(1/2) - 1 to sqrt(2) - 1
    square = r * r
    cube = square * r
    high = fma32(fma32(_L8, r, _L7), r, _L6)
    middle = fma32(fma32(_L5, r, _L4), r, _L3)
    p = fma32(fma32(high, cube, middle), cube, fma32(fma32(_L2, r, _L1), r, _L0))
    low = fma32(p, cube, k * _LN2_LOW)
    return np.float32(fma32(k, _LN2_HIGH, fma32(-square, _HALF, r) + low))


@njit_inlined
def _update(
    p: F32, s: F32, external: F32, recurrent: F32, scale: np.float32, dt: np.float32, outcome: NDArray[np.uint8]
) -> None:
    """One step of a block, in the order of the rule. `x if x < y else y` keeps what is not a number in view."""
    for i in range(LANES):
        dark, leak_mem, headroom = p[DARK * LANES + i], p[LEAK * LANES + i], p[HEADROOM * LANES + i]
        count, timer, imem = s[COUNT * LANES + i], s[TIMER * LANES + i], s[IMEM * LANES + i]
        weighted = (recurrent[i] + external[i]) * scale
        drive = p[GAIN_SYN * LANES + i] * weighted
        drive = dark if drive < dark else drive
        isyn = fma32(p[KEEP_SYN * LANES + i], s[ISYN * LANES + i], p[JUMP_SYN * LANES + i] * drive)
        jump = p[JUMP_AHP * LANES + i] * (p[GAIN_AHP * LANES + i] * (p[WEIGHT_AHP * LANES + i] * count))
        iahp = fma32(p[KEEP_AHP * LANES + i], s[IAHP * LANES + i], jump)
        iahp = dark if iahp < dark else iahp
        leak = leak_mem + iahp
        into = (isyn - leak) + p[DC * LANES + i]
        into = into if timer == _ZERO else _ZERO
        into = dark if into < dark else into
        steady = p[GAIN_MEM * LANES + i] * (into - leak)
        feedback = dark * exp32(p[FEED * LANES + i] * s[VMEM * LANES + i])
        wide = imem + headroom
        rate = imem / (p[CHARGE * LANES + i] / leak * wide)
        total = fma32(-imem, _ONE + iahp / leak_mem, fma32(feedback / leak, wide, steady))
        imem = fma32(rate * total, dt, imem)
        imem = dark if imem < dark else imem
        vmem = p[SLOPE * LANES + i] * log32(imem * p[PER_DARK * LANES + i])
        level = imem * p[PER_THRESHOLD * LANES + i]
        spiked = level > _ONE
        timer = timer - dt
        timer = _ZERO if timer < _ZERO else timer
        strange = ((isyn - isyn) + (iahp - iahp)) + (imem - imem)
        s[ISYN * LANES + i] = isyn
        s[IAHP * LANES + i] = iahp
        s[IMEM * LANES + i] = dark if spiked else imem
        s[VMEM * LANES + i] = vmem
        s[COUNT * LANES + i] = _ONE if spiked else _ZERO
        s[TIMER * LANES + i] = p[DEAD_TIME * LANES + i] if spiked else timer
        s[LEVEL * LANES + i] = level
        bad = np.int32(0) if strange == _ZERO else np.int32(_BAD)
        outcome[i] = np.uint8(bad | (np.int32(_SPIKE) if spiked else np.int32(0)))


@njit
def _count(s: F32, i: int) -> np.float32:
    """Spikes of lane `i`, which is above its threshold: ceil(ln(I_mem/Ispkthr)), at least 1."""
    return np.float32(np.ceil(log32(s[LEVEL * LANES + i])))


@njit
def _advance(memory: Memory, out: Output, n: int) -> int:
    """All neurons by one step; spikes go to `out` from entry `n` on. Returns the new number of entries."""
    words = memory.outcome.view(np.uint64)
    for block in range(memory.external.size // LANES):
        first = block * LANES
        p = memory.factors[first * N_FACTORS : (first + LANES) * N_FACTORS]
        s = memory.state[first * N_STATES : (first + LANES) * N_STATES]
        external = memory.external[first : first + LANES]
        recurrent = memory.recurrent[first : first + LANES]
        _update(p, s, external, recurrent, memory.scale, memory.dt, memory.outcome)
        bad = np.uint64(0)
        for w in range(LANES // 8):
            word = words[w]
            bad |= word
            if word:
                for i in range(w * 8, w * 8 + 8):
                    if memory.outcome[i] & _SPIKE:
                        count = _count(s, i)
                        s[COUNT * LANES + i] = count
                        out.spikes[n] = first + i
                        out.counts[n] = np.int32(count)
                        n += 1
        if bad & np.uint64(_ANY_BAD) and out.progress[BAD_NEURON] < 0:
            for i in range(LANES):
                if memory.outcome[i] & _BAD and out.progress[BAD_NEURON] < 0:
                    out.progress[BAD_NEURON] = first + i
    return n


@njit
def _add_inputs(channel: I64, count: I64, wiring: Wiring, sums: F32) -> None:
    """Weights of the inputs' events to their targets, event after event."""
    for e in range(channel.size):
        first, last = wiring.in_ptr[channel[e]], wiring.in_ptr[channel[e] + 1]
        targets, weights = wiring.in_target[first:last], wiring.in_weight[first:last]
        times = np.float32(count[e])
        for k in range(targets.size):
            sums[targets[k]] = fma32(times, weights[k], sums[targets[k]])


@njit
def _add_spikes(spikes: U32, counts: I32, wiring: Wiring, sums: F32) -> None:
    """Weights of the neurons' spikes to their targets, for the next step, neuron after neuron."""
    for e in range(spikes.size):
        first, last = wiring.rec_ptr[spikes[e]], wiring.rec_ptr[spikes[e] + np.uint32(1)]
        targets, weights = wiring.rec_target[first:last], wiring.rec_weight[first:last]
        times = np.float32(counts[e])
        for k in range(targets.size):
            sums[targets[k]] = fma32(times, weights[k], sums[targets[k]])


@njit
def _sample(step: int, memory: Memory, out: Output) -> None:
    """Write what the probes see at the end of step `step` of the run."""
    for probe in range(out.probes.shape[0]):
        first, last, every, at = out.probes[probe]
        if step % every:
            continue
        for j in range(first, last):
            out.trace[at] = memory.state[out.probed[j]]
            at += 1
        out.probes[probe, 3] = at


@njit
def run_steps(
    steps: int, wiring: Wiring, memory: Memory, event_step: I64, channel: I64, count: I64, out: Output
) -> int:
    """Go on from `out.progress` to the end of the run (DONE).

    Stops before a step for which `out.spikes` might be too small (OUT_FULL), and after a step in which a state was not
    finite (NOT_FINITE, `out.progress[BAD_NEURON]` is the lowest such neuron). Nothing is allocated.
    """
    width = memory.external.size
    n, event = out.progress[OUT], out.progress[EVENT]
    for step in range(out.progress[STEP], steps):
        if n + width > out.spikes.size:
            return OUT_FULL
        before, first = n, event
        while event < event_step.size and event_step[event] == step:
            event += 1
        _add_inputs(channel[first:event], count[first:event], wiring, memory.external)
        n = _advance(memory, out, n)
        memory.external[:] = 0
        memory.recurrent[:] = 0
        _add_spikes(out.spikes[before:n], out.counts[before:n], wiring, memory.recurrent)
        out.per_step[step] = n - before
        _sample(step, memory, out)
        out.progress[STEP], out.progress[EVENT], out.progress[OUT] = step + 1, event, n
        if out.progress[BAD_NEURON] >= 0:
            return NOT_FINITE
    return DONE
