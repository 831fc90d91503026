"""Compiled heart of the DynapSim emulator: weighted sums, the update of all neurons, and the counting of spikes.

Everything numba compiles for this family lives in this one file, because numba's disk cache is renewed only when the
file of the calling function changes.

Layout. Neurons are cut into blocks of `LANES`; a block's factors (and its state) lie together, field after field, so
the update of a block is one loop of constant length over few pieces of memory, without a branch, and the compiler makes
vectors of it. exp and log are polynomials of additions and multiplications for the same reason, and because the answer
is then the same on every machine and at every place in a vector: no operation is contracted or reordered.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._jit import njit, njit_inlined

__all__ = ["LANES", "N_FACTORS", "N_STATES", "Memory", "Output", "Wiring", "exp32", "log32", "run_steps"]

LANES = 64
DONE, OUT_FULL, NOT_FINITE = 0, 1, 2
# places in `Output.progress`
STEP, EVENT, OUT, BAD_NEURON, N_PROGRESS = range(5)
# fields of a block of factors: what of the rule does not change from step to step
(
    KEEP_SYN, JUMP_SYN, GAIN_SYN, DARK, KEEP_AHP, JUMP_AHP, WEIGHT_AHP, LEAK, DC, GAIN_MEM, HEADROOM, FEED, UT, CHARGE,
    SLOPE, THRESHOLD, DEAD_TIME, N_FACTORS,
) = range(18)  # fmt: skip
# fields of a block of state; LEVEL is I_mem/Ispkthr before the reset, of the step just done
ISYN, IAHP, IMEM, VMEM, COUNT, TIMER, LEVEL, N_STATES = range(8)
_SPIKE, _BAD = 1, 2  # bits of a lane's outcome
_ANY_BAD = _BAD * 0x0101010101010101

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
U32 = NDArray[np.uint32]

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_LOG2E = np.float32(1.4426950408889634)
# ln 2 in two parts, the first with few enough bits that k times it is exact
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(np.log(2) - 0.693359375)
_EXP_LOW, _EXP_HIGH = np.float32(-87.0), np.float32(88.0)
# e^r = 1 + r + r^2 (E0 + E1 r + ...) for |r| <= ln(2)/2, ln(1 + r) = r - r^2/2 + r^3 (L0 + L1 r + ...) for
# 1 + r in sqrt(1/2)..sqrt(2): least largest relative error, found by reweighted least squares
_E0, _E1, _E2, _E3, _E4, _E5 = (
    np.float32(c)
    for c in (0.5, 0.1666666567325592, 0.04166629537940025, 0.008333497680723667, 0.0013944703387096524,
              0.000197902976651676)
)  # fmt: skip
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8 = (
    np.float32(c)
    for c in (0.3333331346511841, -0.25000008940696716, 0.2000211924314499, -0.1666799634695053, 0.14219550788402557,
              -0.12405586242675781, 0.11888168007135391, -0.11675669997930527, 0.06746648997068405)
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
    external: F64  # (blocks * LANES,): sums of the inputs' weights in this step
    recurrent: F64  # (blocks * LANES,): sums of the weights of the spikes of the step before
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
    k = np.floor(x * _LOG2E + _HALF)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    p = _E4 + r * _E5
    p = _E3 + r * p
    p = _E2 + r * p
    p = _E1 + r * p
    p = _E0 + r * p
    y = _ONE + (r + (r * r) * p)
    power = np.int32((np.int32(k) + np.int32(127)) << 23).view(np.float32)
    return np.float32(y * power)


@njit_inlined
def log32(x: np.float32) -> np.float32:
    """Natural logarithm of a positive normal number, within 1 unit in the last place; 0 at 1 exactly."""
    bits = np.int32(np.float32(x).view(np.int32) - np.int32(0x3F3504F3))  # 1/sqrt(2): 1 + r lies around 1
    k = np.float32(np.int32(bits >> 23))
    r = np.int32(np.int32(bits & 0x7FFFFF) + np.int32(0x3F3504F3)).view(np.float32) - _ONE
    square = r * r
    p = _L7 + r * _L8
    p = _L6 + r * p
    p = _L5 + r * p
    p = _L4 + r * p
    p = _L3 + r * p
    p = _L2 + r * p
    p = _L1 + r * p
    p = _L0 + r * p
    low = (r * square) * p + k * _LN2_LOW
    return np.float32(((low - _HALF * square) + r) + k * _LN2_HIGH)


@njit_inlined
def _update(
    p: F32, s: F32, external: F64, recurrent: F64, scale: np.float32, dt: np.float32, outcome: NDArray[np.uint8]
) -> None:
    """One step of a block, in the order of the rule. `x if x < y else y` keeps what is not a number in view."""
    for i in range(LANES):
        dark, leak_mem, headroom = p[DARK * LANES + i], p[LEAK * LANES + i], p[HEADROOM * LANES + i]
        count, timer, imem = s[COUNT * LANES + i], s[TIMER * LANES + i], s[IMEM * LANES + i]
        weighted = (np.float32(recurrent[i]) + np.float32(external[i])) * scale
        drive = p[GAIN_SYN * LANES + i] * weighted
        drive = dark if drive < dark else drive
        isyn = p[KEEP_SYN * LANES + i] * s[ISYN * LANES + i] + p[JUMP_SYN * LANES + i] * drive
        iahp = p[KEEP_AHP * LANES + i] * s[IAHP * LANES + i]
        iahp = iahp + p[JUMP_AHP * LANES + i] * (p[WEIGHT_AHP * LANES + i] * count)
        iahp = dark if iahp < dark else iahp
        leak = leak_mem + iahp
        into = (isyn - leak) + p[DC * LANES + i]
        into = into if timer == _ZERO else _ZERO
        into = dark if into < dark else into
        steady = p[GAIN_MEM * LANES + i] * (into - leak)
        feedback = dark * exp32(p[FEED * LANES + i] * (s[VMEM * LANES + i] / p[UT * LANES + i]))
        wide = imem + headroom
        pushed = feedback / leak * wide
        rate = imem / (p[CHARGE * LANES + i] / leak * wide)
        change = rate * ((steady + pushed) - imem * (_ONE + iahp / leak_mem))
        imem = imem + change * dt
        imem = dark if imem < dark else imem
        vmem = p[SLOPE * LANES + i] * log32(imem / dark)
        level = imem / p[THRESHOLD * LANES + i]
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
def _add_inputs(channel: I64, count: I64, wiring: Wiring, sums: F64) -> None:
    """Weights of the inputs' events to their targets, event after event."""
    for e in range(channel.size):
        first, last = wiring.in_ptr[channel[e]], wiring.in_ptr[channel[e] + 1]
        targets, weights = wiring.in_target[first:last], wiring.in_weight[first:last]
        times = np.float64(count[e])
        for k in range(targets.size):
            sums[targets[k]] += times * np.float64(weights[k])


@njit
def _add_spikes(spikes: U32, counts: I32, wiring: Wiring, sums: F64) -> None:
    """Weights of the neurons' spikes to their targets, for the next step, neuron after neuron."""
    for e in range(spikes.size):
        first, last = wiring.rec_ptr[spikes[e]], wiring.rec_ptr[spikes[e] + np.uint32(1)]
        targets, weights = wiring.rec_target[first:last], wiring.rec_weight[first:last]
        times = np.float64(counts[e])
        for k in range(targets.size):
            sums[targets[k]] += times * np.float64(weights[k])


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
