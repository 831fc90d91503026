"""A current-based neuron between events whose potential is held within bounds, in closed form; as in `cuba_neuron`.

At a bound the membrane stays while the current pushes outwards: u = bound until I has decayed to it. The leak lies
between the bounds, so only that bound matters which lies on the side of I. Without it u turns where u = I, which it
does outside only after it has passed the bound, and back inside I lies below it: until I is at the bound, u within
bounds is the free u cut off there, and from then on it is free. Nothing has to be searched for.
"""

from __future__ import annotations

from math import exp, inf, log

import numpy as np

from . import cuba_neuron as neuron
from ._jit import njit, njit_inlined

SAFELY = 1e-12
"""Relative: so far from a level no rounding takes a potential past it."""


@njit_inlined
def flow(
    t: float, u: float, i: float, held: float, until: float, rate: float, ratio: float, kind: float,
    low: float, high: float,
) -> tuple[float, float]:  # fmt: skip
    """(u, I) at `until`, from those at t; u is held until `held`. Seconds."""
    if low <= i <= high:
        # the current only decays, and takes no potential past a bound
        return neuron.flow(t, u, i, held, until, rate, ratio, kind)
    return _driven(t, u, i, held, until, rate, ratio, kind, low, high)


@njit_inlined
def plan(
    t: float, u: float, i: float, held: float, blind: float, armed: bool,
    th: float, tau: float, rate: float, ratio: float, kind: float, low: float, high: float,
) -> tuple[float, float, bool]:  # fmt: skip
    """As `neuron.plan`, of a threshold that lies between the bounds or is inf.

    With the leak below the threshold no bound matters: what has been at the lower one lacks the current to get up, and
    what has been at the upper one lies above the threshold until it lacks it too.
    """
    if low <= i <= high or th > 0.0:
        return neuron.plan(t, u, i, held, blind, armed, th, tau, rate, ratio, kind)
    return _plan_driven(t, u, i, held, blind, armed, th, tau, rate, ratio, kind, low, high)


@njit_inlined
def clear(u: float, i: float, then: float, then_i: float, peak: float, low: float, high: float) -> bool:
    """Whether u, free from where I is below the lower bound to (then, then_i), surely has come to none; False: unknown.

    Also where I is above the upper bound, of a u that has not turned. u turns at most once, and it has not where it
    still goes towards I. Else it has gone no further down than from its start, or 0, by `peak` for all of I, which is
    the most that I = 1 makes of u.
    """
    least = min(u, 0.0) + peak * i if i < low and then_i >= then else min(u, then)
    slack = SAFELY * (abs(u) + abs(i))
    return low + slack < least and max(u, then) < high - slack


@njit
def _released(i: float, bound: float, ratio: float) -> float:
    """When I, which lies beyond the bound, has decayed to it; never, where the bound is the leak itself."""
    return inf if bound == 0.0 else log(i / bound) / ratio


@njit
def _driven(
    t: float, u: float, i: float, held: float, until: float, rate: float, ratio: float, kind: float,
    low: float, high: float,
) -> tuple[float, float]:  # fmt: skip
    """As `flow`, wherever I is."""
    if until <= held:
        return u, i * exp(-(until - t) * rate * ratio)
    if t < held:
        i *= exp(-(held - t) * rate * ratio)
        t = held
    x = (until - t) * rate
    left, left_i, made = neuron.decay(x, ratio, kind)
    free, last_i = u * left + i * made, i * left_i
    if low <= i <= high:
        return free, last_i
    bound = high if i > high else low
    released = _released(i, bound, ratio)
    if x > released:
        left, left_i, made = neuron.decay(released, ratio, kind)
        there = u * left + i * made
        if there > high or there < low:
            left, left_i, made = neuron.decay(x - released, ratio, kind)
            free = bound * (left + made)
    return min(max(free, low), high), last_i


@njit
def _plan_driven(
    t: float, u: float, i: float, held: float, blind: float, armed: bool,
    th: float, tau: float, rate: float, ratio: float, kind: float, low: float, high: float,
) -> tuple[float, float, bool]:  # fmt: skip
    """As `plan`, wherever I is.

    On the way up to it there is no bound. One is left behind before the threshold only where the leak is not below
    that: inhibition has brought the potential down to the lower bound, and the leak takes it up again.
    """
    if blind == inf:
        return inf, 0.0, False
    start = t
    if t < blind:
        u, i = _driven(t, u, i, held, blind, rate, ratio, kind, low, high)
        start, armed = blind, u < th
    if i < low and th <= 0.0 and not (armed and u >= th):
        released = _released(i, low, ratio)
        left, _, made = neuron.decay(released, ratio, kind)
        if u * left + i * made < low:
            x, left_i = neuron.crossing(low, low, th, True, ratio, kind)
            return max(start + (released + x) * tau, np.nextafter(t, inf)), low * left_i, armed
    return neuron.plan(start, u, i, start, blind, armed, th, tau, rate, ratio, kind)
