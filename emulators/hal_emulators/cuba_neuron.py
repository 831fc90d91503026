"""One current-based leaky neuron between events, in closed form. Times in units of tau_mem unless said otherwise.

With u = V - v_leak and r = tau_mem / tau_syn: u' = -u + I, I' = -r I, so that u = A e^-x + B e^-(r x), which turns at
most once. Where it turns u = I, so a level above both the leak and u is reached iff I at the turn lies above it.
"""

from __future__ import annotations

from math import exp, expm1, inf, log, log1p, sqrt

import numpy as np
from numpy.typing import NDArray

from ._jit import njit, njit_inlined

F64 = NDArray[np.float64]

# columns of the parameters; potentials are above v_leak; PEAK is the most of u that I = 1 makes
TAU, RATE, RATIO, KIND, TH, RESET, HOLD, REF, LOW, HIGH, MOST_I, WINDOW, PEAK = range(13)
N_PARAMETERS = 13
# columns of the state: it is that at T, seconds; V is held until HELD, and nothing counts as a spike until BLIND;
# NEXT_I is I at the spike that is planned; COUNT spikes have come in the WINDOW, seconds, that began at SINCE
T, U, CURRENT, HELD, BLIND, ARMED, NEXT_I, SINCE, COUNT = range(9)
N_STATES = 9

ANY_RATIO, EQUAL, DOUBLE = 0.0, 1.0, 2.0
"""Values of KIND: tau_mem is tau_syn, or twice that."""
_STEEP = 0.05
"""Share of a peak above the threshold, from which on a step along the slope makes the time of a spike more exact."""


@njit_inlined
def decay(x: float, ratio: float, kind: float) -> tuple[float, float, float]:
    """Over x: what is left of u and of I, and how much of u every unit of I makes."""
    if kind == DOUBLE:
        left = exp(-x)
        return left, left * left, left - left * left
    if kind == EQUAL:
        left = exp(-x)
        return left, left, x * left
    apart = abs(ratio - 1.0)
    left, left_i = exp(-x), exp(-ratio * x)
    return left, left_i, max(left, left_i) * (-expm1(-apart * x) / apart)


@njit_inlined
def flow(
    t: float, u: float, i: float, held: float, until: float, rate: float, ratio: float, kind: float
) -> tuple[float, float]:
    """(u, I) at `until`, from those at t; u is held until `held`. Seconds."""
    if until <= held:
        return u, i * exp(-(until - t) * rate * ratio)
    if t < held:
        i *= exp(-(held - t) * rate * ratio)
        t = held
    left, left_i, made = decay((until - t) * rate, ratio, kind)
    return u * left + i * made, i * left_i


@njit_inlined
def _turn(u: float, i: float, ratio: float) -> float:
    """Where u turns, inf if it does not; u and I differ, and u is on its way to where I is."""
    apart = ratio - 1.0
    ahead = i + apart * u
    if i == 0.0 or ahead == 0.0 or (ahead > 0.0) != (i > 0.0):
        return inf
    if apart == 0.0:
        return (i - u) / i
    return log1p(apart * (i - u) / ahead) / apart


@njit
def _before_peak(missing: float, ratio: float) -> float:
    """How long before its peak u lies below it by that share of it, 0..1.

    y before the peak the share is D(y) = e^y g(y) - (e^y - 1), g(y) = (e^((r-1)y) - 1) / (r - 1), all of whose
    derivatives are positive: Newton's steps from a place above the root fall towards it and never pass it. At r = 1
    the root is 1 + W0(-(1 - share) / e), W0 the principal branch of Lambert's function.
    """
    apart = ratio - 1.0
    # D(y) >= r y^2 / 2; and nothing lies further back than where u was 0
    y = min(sqrt(2.0 * missing / ratio), 1.0 if apart == 0.0 else log1p(apart) / apart)
    for _ in range(100):
        grown = expm1(y)
        g = y if apart == 0.0 else expm1(apart * y) / apart
        step = ((1.0 + grown) * g - grown - missing) / (ratio * (1.0 + grown) * g)
        if not step > 1e-16 * y:
            break
        y -= step
    return y


@njit
def _rise(low: float, high: float, u: float, i: float, th: float, ratio: float, kind: float) -> float:
    """Where u passes th between low, where it lies below, and high, where it does not; it rises between."""
    x = low + 0.5 * (high - low)
    for _ in range(2000):
        left, left_i, made = decay(x, ratio, kind)
        over = u * left + i * made - th
        slope = i * left_i - (u * left + i * made)
        if over < 0.0:
            low = x
        else:
            high = x
        following = x - over / slope if slope > 0.0 else low
        if not low < following < high:
            following = low + 0.5 * (high - low)
        if abs(following - x) <= 1e-16 * x or not low < following < high:
            return following
        x = following
    return x


@njit
def _late(u: float, i: float, th: float, ratio: float, kind: float) -> float:
    """When u passes th from below where the leak is not below th: it falls first, or rises to the leak."""
    turn = inf if i == u else _turn(u, i, ratio)
    if th == 0.0 or (u >= th and i >= u):
        # the leak itself is never reached, unless the current drives u past it
        return _rise(0.0, turn, u, i, th, ratio, kind) if u < th and i > 0.0 and turn < inf else inf
    low = 0.0
    if i < u:
        if turn == inf or not i * exp(-ratio * turn) < th:
            return inf
        low = turn
    high = max(1.0, 2.0 * low)
    while True:
        left, _, made = decay(high, ratio, kind)
        if u * left + i * made > th:
            return _rise(low, high, u, i, th, ratio, kind)
        low, high = high, 2.0 * high


@njit_inlined
def crossing(u: float, i: float, th: float, armed: bool, ratio: float, kind: float) -> tuple[float, float]:
    """When u reaches th from below, if nothing happens, and what is left of I then; inf: never.

    To touch th without passing it is not to reach it. `armed`: u has been below since it last counted; then it can be
    at th or above by rounding alone.
    """
    if u >= th and armed and (u > th or i > u):
        return 0.0, 1.0
    if th <= 0.0:
        x = _late(u, i, th, ratio, kind)
        return x, exp(-ratio * x)
    # the peak is where u = I, and I falls
    if u >= th or i <= th:
        return inf, 0.0
    if kind == DOUBLE:
        total = u + i
        room = total * total - 4.0 * i * th
        if total <= 0.0 or room <= 0.0:
            return inf, 0.0
        left = min((total + sqrt(room)) / (2.0 * i), 1.0)
        return -log(left), left * left
    turn = _turn(u, i, ratio)
    peak = i * exp(-ratio * turn)
    if not peak > th:
        return inf, 0.0
    missing = (peak - th) / peak
    x = max(turn - _before_peak(missing, ratio), 0.0)
    if missing > _STEEP:
        # the difference of two times is less exact than where a steep potential is
        left, left_i, made = decay(x, ratio, kind)
        x = max(x - (u * left + i * made - th) / (i * left_i - (u * left + i * made)), 0.0)
    return x, exp(-ratio * x)


@njit_inlined
def plan(
    t: float, u: float, i: float, held: float, blind: float, armed: bool,
    th: float, tau: float, rate: float, ratio: float, kind: float,
) -> tuple[float, float, bool]:  # fmt: skip
    """When a neuron in this state at t, seconds, spikes if nothing happens, later than t; I then; whether it is armed.

    At the end of the holdoff it is armed if it lies below the threshold; else it has to fall below it first.
    """
    start = t
    if t < blind:
        if blind == inf:
            return inf, 0.0, False
        u, i = flow(t, u, i, held, blind, rate, ratio, kind)
        start, armed = blind, u < th
    x, left_i = crossing(u, i, th, armed, ratio, kind)
    if x == inf:
        return inf, 0.0, armed
    when = start + x * tau
    # what happens at t has been dealt with
    return (when if when > t else np.nextafter(t, inf)), i * left_i, armed
