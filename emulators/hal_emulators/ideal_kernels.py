"""Compiled inner loops of the ideal network. All arrays contiguous; nothing is allocated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal_emulators._jit import njit

Float = NDArray[np.floating[Any]]
Count = NDArray[np.int64]


@njit
def dense(x: Float, weight: Float, bias: Float, out: Float, synops: Count) -> None:
    """out[b] = bias + sum over i of x[b, i] * weight[i]; weight is (in, out)."""
    for b in range(x.shape[0]):
        row = out[b]
        row[:] = 0
        active = 0
        for i in range(x.shape[1]):
            value = x[b, i]
            if value != 0:
                active += 1
                column = weight[i]
                for o in range(row.size):
                    row[o] += value * column[o]
        synops[b] += active * row.size
        for o in range(row.size):
            row[o] += bias[o]


@njit
def conv(
    x: Float,
    out: Float,
    synops: Count,
    weight: Float,
    bias: Float,
    oh: int,
    ow: int,
    sy: int,
    sx: int,
    py: int,
    px: int,
    dy: int,
    dx: int,
) -> None:
    """Cross-correlation by scattering each non-zero input; weight is (groups, Ci, Kh, Kw, Co) per group."""
    _, ci, kh, kw, co = weight.shape
    plane = oh * ow
    for b in range(x.shape[0]):
        row = out[b]
        row[:] = 0
        count = 0
        for c in range(x.shape[1]):
            group = c // ci
            base = group * co * plane
            for y in range(x.shape[2]):
                for xx in range(x.shape[3]):
                    value = x[b, c, y, xx]
                    if value == 0:
                        continue
                    for ky in range(kh):
                        ty = y + py - ky * dy
                        if ty < 0 or ty % sy != 0 or ty // sy >= oh:
                            continue
                        for kx in range(kw):
                            tx = xx + px - kx * dx
                            if tx < 0 or tx % sx != 0 or tx // sx >= ow:
                                continue
                            at = base + (ty // sy) * ow + tx // sx
                            taps = weight[group, c - group * ci, ky, kx]
                            count += co
                            for f in range(co):
                                row[at + f * plane] += value * taps[f]
        synops[b] += count
        for o in range(row.size):
            row[o] += bias[o]


@njit
def pool(
    x: Float, out: Float, oh: int, ow: int, kh: int, kw: int, sy: int, sx: int, py: int, px: int, divisor: Any
) -> None:
    """Sum over windows, divided by `divisor`."""
    plane = oh * ow
    for b in range(x.shape[0]):
        row = out[b]
        row[:] = 0
        for c in range(x.shape[1]):
            for oy in range(oh):
                for ox in range(ow):
                    at = c * plane + oy * ow + ox
                    for ky in range(kh):
                        y = oy * sy + ky - py
                        if y < 0 or y >= x.shape[2]:
                            continue
                        for kx in range(kw):
                            xx = ox * sx + kx - px
                            if 0 <= xx < x.shape[3]:
                                row[at] += x[b, c, y, xx]
                    row[at] /= divisor


@njit
def neurons(
    x: Float,
    v: Float,
    i: Float,
    last: Float,
    out: Float,
    decay: Float,
    forget: Float,
    leak: Float,
    gain: Float,
    current_decay: Float,
    current_gain: Float,
    threshold: Float,
    v_reset: Float,
    v_min: Float,
    spiking: bool,
    memoryless: bool,
    current: bool,
    euler: bool,
    jump_before: bool,
    undecayed: bool,
    reset: int,
    late_reset: bool,
    at_threshold: bool,
    fires_on_old: bool,
    many: bool,
) -> None:
    """One step of B x n neurons in place; `last` holds the spikes of the step before, `out` gets spikes or v.

    reset: 0 value, 1 subtract, 2 subtract_n, 3 discard_update. forget is 1 - decay.
    """
    for b in range(x.shape[0]):
        for n in range(x.shape[1]):
            theta = threshold[n]
            drive = x[b, n]
            if memoryless:
                fired = drive >= theta if at_threshold else drive > theta
                out[b, n] = 1 if fired else 0
                continue
            if current:
                before = i[b, n]
                if jump_before:
                    before = before + current_gain[n] * drive
                    after = before * current_decay[n]
                else:
                    after = before * current_decay[n] + current_gain[n] * drive
                i[b, n] = after
                drive = before if undecayed else after
            old = v[b, n]
            due = last[b, n] if late_reset else 0 * old
            if due > 0 and reset == 0:
                old = v_reset[n]
            if euler:
                new = old + forget[n] * (leak[n] - old) + gain[n] * drive
            else:
                new = old * decay[n] + forget[n] * leak[n] + gain[n] * drive
            if due > 0:
                if reset == 1:
                    new -= theta
                elif reset == 2:
                    new -= due * theta
                elif reset == 3:
                    new = v_reset[n]
            if not spiking:
                v[b, n] = max(new, v_min[n])
                out[b, n] = v[b, n]
                continue
            tested = v[b, n] if fires_on_old else new
            fired = tested >= theta if at_threshold else tested > theta
            spikes = 0 * new
            if fired:
                spikes += 1
                if many and tested > 0:
                    spikes = np.floor(tested / theta)
                    if not at_threshold and spikes * theta == tested:
                        spikes -= 1
                    spikes = max(spikes, 0 * new + 1)
                if not late_reset:
                    if reset == 1:
                        new -= theta
                    elif reset == 2:
                        new -= spikes * theta
                    else:
                        new = v_reset[n]
            v[b, n] = max(new, v_min[n])
            last[b, n] = spikes
            out[b, n] = spikes
