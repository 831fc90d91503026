"""One time step of a Xylo core after another, compiled. Integers throughout; nothing is allocated per step.

The rule is that of xylosim 0.1.3, cores v1 and v2: deliver, decay the currents, move the membranes, fire, copy.
"""

from __future__ import annotations

from typing import Any, Final

import numba

LOW: Final = -32768
HIGH: Final = 32767
MAX_INPUT: Final = 15
MAX_SPIKES: Final = 31
MAX_SPIKES_OUT: Final = 1

CLIPPED, SYNOPS, SATURATED, CHANNELS, SOURCES = range(5)
"""Columns of the tally of a step: input events above 15, deliveries, sums cut to 16 bits and neurons that hold more
spikes than a step can have, channels with an event,
hidden neurons whose spikes were delivered."""
TALLIES: Final = 5


@numba.njit(cache=True, inline="always")
def _loss(x: int, dash: int) -> int:
    """What decay takes from x: the shift rounds down, and a positive x loses one at least."""
    lost = x >> dash
    if lost == 0 and x > 0:
        lost = 1
    return lost


@numba.njit(cache=True, inline="always")
def _clip(x: int) -> int:
    return min(max(x, -32768), 32767)


@numba.njit(cache=True)
def _deliver(source: int, count: int, indptr: Any, target: Any, weight: Any, current: Any) -> int:
    """All spikes of one source in one step; how many sums were cut. Clipping comes after each source."""
    saturated = 0
    for k in range(indptr[source], indptr[source + 1]):
        at = target[k]
        x = current[at] + count * weight[k]
        y = _clip(x)
        saturated += x != y
        current[at] = y
    return saturated


@numba.njit(cache=True)
def _decay(current: Any, dash: Any) -> bool:
    """Currents lose their share; whether any of them changed."""
    changed = False
    for k in range(current.size):
        lost = _loss(current[k], dash[k])
        if lost != 0:
            current[k] -= lost
            changed = True
    return changed


@numba.njit(cache=True)
def _integrate(v: Any, k: int, dash: int, current: int, bias: int, core: int) -> tuple[int, bool]:
    """Move one membrane: (sums that were cut, whether there was anything to add)."""
    lost = _loss(v[k], dash)
    if core == 1:
        x = v[k] - lost + current
        v[k] = _clip(x)
        return int(x != v[k]), True
    if lost == -32768:
        # minus that has no place in 16 bits
        lost = 32768
    change = current - lost
    step = _clip(change)
    saturated = int(step != change)
    change = step + bias
    step = _clip(change)
    saturated += step != change
    x = v[k] + step
    v[k] = _clip(x)
    saturated += x != v[k]
    return saturated, step != 0


@numba.njit(cache=True)
def _fire(v: Any, threshold: Any, k: int, count: int, most: int) -> int:
    """Spikes of one neuron, those that are there already included; what is left above the threshold stays."""
    while v[k] >= threshold[k] and count < most:
        count += 1
        v[k] -= threshold[k]
    return count


@numba.njit(cache=True, nogil=True)
def run(
    core: int, raster: Any, into: Any, recurrent: Any, out: Any, hidden: Any, output: Any, alias: Any, has_bias: bool,
    state: Any, spikes: Any, spikes_out: Any, flags: Any, tallies: Any, trace: Any,
) -> None:  # fmt: skip
    """Run one step for every row of `raster` (T, inputs), counts >= 0.

    into, recurrent, out: (indptr by source, target, weight); a target of the first two is a neuron, or for the second
    synapse the number of neurons more. hidden, output: (threshold, dash of the membrane, dashes of the currents, bias).
    alias: (indptr by source, target). state: (currents, membranes, spikes of the last step, output currents, output
    membranes, [whether nothing moved in the last step]), all changed in place. What comes out: spikes (T, neurons),
    spikes_out (T, outputs), flags (T,), tallies (T, TALLIES); trace: four arrays (T, ...) of currents and membranes,
    hidden and output, or without rows.
    """
    threshold, dash_mem, dash_syn, bias = hidden
    threshold_out, dash_mem_out, dash_syn_out, bias_out = output
    current, v, count, current_out, v_out, quiet = state
    n = v.size
    two = current.size == 2 * n
    for t in range(raster.shape[0]):
        tally = tallies[t]
        for channel in range(raster.shape[1]):
            given = raster[t, channel]
            if given > 0:
                events = min(given, MAX_INPUT)
                tally[CLIPPED] += given - events
                tally[CHANNELS] += 1
                tally[SYNOPS] += events * (into[0][channel + 1] - into[0][channel])
                tally[SATURATED] += _deliver(channel, events, into[0], into[1], into[2], current)
        for source in range(n):
            events = count[source]
            if events > 0:
                tally[SOURCES] += 1
                fan = recurrent[0][source + 1] - recurrent[0][source] + out[0][source + 1] - out[0][source]
                tally[SYNOPS] += events * fan
                tally[SATURATED] += _deliver(source, events, recurrent[0], recurrent[1], recurrent[2], current)
                tally[SATURATED] += _deliver(source, events, out[0], out[1], out[2], current_out)
        heard = tally[CHANNELS] + tally[SOURCES] > 0
        moved = _decay(current, dash_syn)
        moved |= _decay(current_out, dash_syn_out)
        for k in range(n):
            j = current[k] + (current[n + k] if two else 0)
            cut, changed = _integrate(v, k, dash_mem[k], j, bias[k], core)
            tally[SATURATED] += cut
            moved |= changed
            count[k] = 0
        for k in range(v_out.size):
            cut, changed = _integrate(v_out, k, dash_mem_out[k], current_out[k], bias_out[k], core)
            tally[SATURATED] += cut
            moved |= changed
            spikes_out[t, k] = _fire(v_out, threshold_out, k, 0, MAX_SPIKES_OUT)
            tally[SATURATED] += v_out[k] >= threshold_out[k]
        for k in range(n):
            own = _fire(v, threshold, k, count[k], MAX_SPIKES)
            tally[SATURATED] += v[k] >= threshold[k]
            count[k] = own
            for a in range(alias[0][k], alias[0][k + 1]):
                copy = alias[1][a]
                count[copy] = min(MAX_SPIKES, count[copy] + own)
        for k in range(n):
            spikes[t, k] = count[k]
        rests = not heard and not moved
        if core == 2:
            flags[t] = (quiet[0] and not heard) if has_bias else rests
        quiet[0] = rests
        if trace[0].shape[0]:
            trace[0][t] = current
            trace[1][t] = v
            trace[2][t] = current_out
            trace[3][t] = v_out
