"""One DPI neuron of a DYNAP-SE2-like chip in continuous time: its equation, a stiff step, and when it may next fire.

The dendrites and the adaptation between two changes of their drive are exponentials in closed form. The soma is one
scalar equation in x = ln(I_mem), solved by RODAS (Hairer and Wanner, Solving Ordinary Differential Equations II,
section IV.7: L-stable, order 4(3), with dense output of order 3). docs/chips/dynapse2_equations.md has the equations.

A neuron is two rows: parameters `p` and state `s`, the columns as named below. Times are seconds since the reset,
currents are in ampere.
"""

from __future__ import annotations

from math import exp, inf, sqrt

import numpy as np
from numpy.typing import NDArray

from ._jit import njit, njit_inlined

__all__ = ["N_LEVELS", "N_PARAMETERS", "N_STATES", "TOLERANCE", "advance", "current_at", "membrane_at", "plan"]

F64 = NDArray[np.float64]

TOLERANCE = 1e-7
"""Estimated error of ln(I_mem) allowed per step; the estimate is of order 3, what is kept of order 4."""
_SHRINK, _GROW = 0.2, 6.0
FIRST_STEP = 1e-5
"""Seconds: the first step a neuron tries after a reset of the chip."""

N_LEVELS = 8
# parameters, one column each
K, GAIN, LEAK, IO, XO, ALPHA, EXPONENTIAL, DC, NMDA_BIAS, X_THR, I_THR, T_REF, PULL = range(13)
T_PULSE, T_AHP, AHP_TARGET, LEAK_MIN, RISE_THR, GATE_THR = range(13, 19)
TAU = 19  # ampa, gaba, nmda, shunt, ahp
RATIO = 24  # Igain / Itau of the four dendrites
IW = 28
LEVEL = 32  # membrane currents ...
ENOUGH = LEVEL + N_LEVELS  # ... and the drive that is needed to pass them
N_PARAMETERS = ENOUGH + N_LEVELS
# state, one column each
T, X, STEP, HELD_UNTIL, AHP_UNTIL, TRIAL_T, TRIAL_X, TRIAL_STEP, DOUBLE = range(9)
CURRENT = 9  # ampa, gaba, nmda, shunt, ahp at time T
TARGET = 14  # where they go
N_STATES = 19
AMPA, GABA, NMDA, SHUNT, AHP = range(5)


@njit_inlined
def current_at(p: F64, s: F64, which: int, dt: float) -> float:
    """A dendrite's current or the adaptation's, `dt` after s[T]."""
    target, now = s[TARGET + which], s[CURRENT + which]
    if now == target:
        return target
    return target + (now - target) * exp(-dt / p[TAU + which])


@njit_inlined
def _inputs(p: F64, s: F64, dt: float) -> tuple[float, float, float]:
    """Drive without NMDA, NMDA before its gate, and leak, `dt` after s[T]."""
    drive = current_at(p, s, AMPA, dt) - current_at(p, s, GABA, dt) + p[DC]
    return drive, current_at(p, s, NMDA, dt), p[LEAK] + current_at(p, s, AHP, dt) + current_at(p, s, SHUNT, dt)


@njit_inlined
def _slope_of(p: F64, s: F64, which: int, dt: float) -> float:
    return (s[TARGET + which] - current_at(p, s, which, dt)) / p[TAU + which]


@njit_inlined
def _rate(p: F64, x: float, drive: float, nmda: float, leak: float) -> float:
    """dx/dt."""
    i = exp(x)
    net = drive + nmda * i / (i + p[NMDA_BIAS])
    above_dark = 1.0 - p[IO] / i
    pushed = p[GAIN] / (i + p[GAIN]) * net
    if net < 0.0:
        pushed *= p[PULL] * above_dark
    feedback = p[IO] * exp(p[ALPHA] * (x - p[XO])) if p[EXPONENTIAL] != 0.0 else 0.0
    return p[K] * (pushed + feedback - leak * above_dark)


@njit_inlined
def _rate_and_slopes(p: F64, s: F64, dt: float, x: float) -> tuple[float, float, float]:
    """dx/dt, and its derivatives by x and by time."""
    drive, nmda, leak = _inputs(p, s, dt)
    i = exp(x)
    gate = i / (i + p[NMDA_BIAS])
    net = drive + nmda * gate
    net_x = nmda * gate * p[NMDA_BIAS] / (i + p[NMDA_BIAS])
    net_t = _slope_of(p, s, AMPA, dt) - _slope_of(p, s, GABA, dt) + _slope_of(p, s, NMDA, dt) * gate
    leak_t = _slope_of(p, s, AHP, dt) + _slope_of(p, s, SHUNT, dt)
    dark = p[IO] / i
    q = p[GAIN] / (i + p[GAIN])
    q_x = -q * i / (i + p[GAIN])
    pushed, pushed_x, pushed_t = q * net, q_x * net + q * net_x, q * net_t
    if net < 0.0:
        part = p[PULL] * (1.0 - dark)
        pushed_x = pushed_x * part + pushed * p[PULL] * dark
        pushed, pushed_t = pushed * part, pushed_t * part
    feedback = p[IO] * exp(p[ALPHA] * (x - p[XO])) if p[EXPONENTIAL] != 0.0 else 0.0
    value = pushed + feedback - leak * (1.0 - dark)
    by_x = pushed_x + p[ALPHA] * feedback - leak * dark
    by_t = pushed_t - leak_t * (1.0 - dark)
    return p[K] * value, p[K] * by_x, p[K] * by_t


@njit
def _step(
    p: F64, s: F64, dt: float, x: float, h: float, f: float, fx: float, ft: float
) -> tuple[float, float, float, float]:
    """A RODAS step of length h from x at `dt` after s[T]: the new x, its error, and two numbers of the dense output.

    Between its ends x is x0 (1 - z) + z (x1 + (1 - z) (c2 + z c3)), z = 0..1.
    """
    w = 1.0 / (4.0 / h - fx)
    r = 1.0 / h
    u1 = w * (f + h * 0.25 * ft)
    drive, nmda, leak = _inputs(p, s, dt + 0.386 * h)
    f = _rate(p, x + 1.544 * u1, drive, nmda, leak)
    u2 = w * (f - 5.6688 * u1 * r - h * 0.1043 * ft)
    drive, nmda, leak = _inputs(p, s, dt + 0.21 * h)
    f = _rate(p, x + 0.9466785280815826 * u1 + 0.2557011698983284 * u2, drive, nmda, leak)
    u3 = w * (f + (-2.430093356833875 * u1 - 0.2063599157091915 * u2) * r + h * 0.1035 * ft)
    drive, nmda, leak = _inputs(p, s, dt + 0.63 * h)
    y = x + 3.314825187068521 * u1 + 2.896124015972201 * u2 + 0.9986419139977817 * u3
    f = _rate(p, y, drive, nmda, leak)
    y = -0.1073529058151375 * u1 - 9.594562251023355 * u2 - 20.47028614809616 * u3
    u4 = w * (f + y * r - h * 0.0362 * ft)
    drive, nmda, leak = _inputs(p, s, dt + h)
    y = x + 1.221224509226641 * u1 + 6.019134481288629 * u2 + 12.53708332932087 * u3 - 0.6878860361058950 * u4
    f = _rate(p, y, drive, nmda, leak)
    c = 7.496443313967647 * u1 - 10.24680431464352 * u2 - 33.99990352819905 * u3 + 11.70890893206160 * u4
    u5 = w * (f + c * r)
    y += u5
    f = _rate(p, y, drive, nmda, leak)
    c = 8.083246795921522 * u1 - 7.981132988064893 * u2 - 31.52159432874371 * u3 + 16.31930543123136 * u4
    u6 = w * (f + (c - 6.058818238834054 * u5) * r)
    c2 = 10.12623508344586 * u1 - 7.487995877610167 * u2 - 34.80091861555747 * u3 - 7.992771707568823 * u4
    c2 += 1.025137723295662 * u5
    c3 = -0.6762803392801253 * u1 + 6.087714651680015 * u2 + 16.43084320892478 * u3 + 24.76722511418386 * u4
    c3 -= 6.594389125716872 * u5
    return y + u6, abs(u6), c2, c3


@njit
def _accepted(p: F64, s: F64, dt: float, x: float, h: float) -> tuple[float, float, float, float, float]:
    """A step of at most h that is accurate enough: its length, x, the length to try next, and the dense output."""
    f, fx, ft = _rate_and_slopes(p, s, dt, x)
    if h * fx > 1.0:  # a run-away membrane: keep the step's equation well away from its pole at h fx = 4
        h = 1.0 / fx
    while True:
        y, error, c2, c3 = _step(p, s, dt, x, h, f, fx, ft)
        ratio = error / TOLERANCE
        if ratio <= 1.0:
            grown = _GROW if ratio < 4e-4 else 0.9 / sqrt(sqrt(ratio))
            return h, y, h * grown, c2, c3
        h *= max(_SHRINK, 0.9 / sqrt(sqrt(ratio))) if ratio < inf else _SHRINK


@njit
def _march(p: F64, s: F64, t: float, x: float, h: float, until: float) -> tuple[float, float]:
    """From x at t >= s[T] to x at `until`, and the length of step to go on with. The drive changes nowhere between."""
    while t < until:
        rest = until - t
        last = h >= rest
        done, x, longer, _, _ = _accepted(p, s, t - s[T], x, rest if last else h)
        if last and done == rest:
            return x, max(h, longer)
        h = longer
        t += done
    return x, h


@njit
def membrane_at(p: F64, s: F64, shadow: F64, t: float) -> float:
    """I_mem at t, up to which nothing happens to the neuron; the state stays. `shadow`: (t, x, step) of the last look.

    Looking does not disturb the integration, and looking often costs no more than looking once.
    """
    if s[HELD_UNTIL] >= t:
        return p[IO]
    if shadow[0] <= s[T]:
        shadow[:3] = s[T], s[X], s[STEP]
    shadow[1], shadow[2] = _march(p, s, shadow[0], shadow[1], shadow[2], t)
    shadow[0] = t
    return exp(shadow[1])


@njit
def advance(p: F64, s: F64, t: float) -> None:
    """Bring the neuron to t; it does not fire before, and nothing changes its drive."""
    dt = t - s[T]
    if dt <= 0.0:
        return
    if s[HELD_UNTIL] <= s[T]:
        if s[TRIAL_T] == t:
            s[X], s[STEP] = s[TRIAL_X], s[TRIAL_STEP]
        else:
            s[X], s[STEP] = _march(p, s, s[T], s[X], s[STEP], t)
    for which in range(5):
        now = current_at(p, s, which, dt)
        target = s[TARGET + which]
        # what is left of a pulse after 20 to 30 time constants counts as nothing
        s[CURRENT + which] = target if abs(now - target) < 1e-10 * p[IO] else now
    s[T] = t


@njit
def _most(p: F64, s: F64, which: int, dt: float) -> float:
    """An upper bound of a current during the next dt; finite also for endless dt."""
    now, target = s[CURRENT + which], s[TARGET + which]
    return now if target <= now else now + (target - now) * min(1.0, dt / p[TAU + which])


@njit
def _least(p: F64, s: F64, which: int, dt: float) -> float:
    now, target = s[CURRENT + which], s[TARGET + which]
    return now if target >= now else now + (target - now) * min(1.0, dt / p[TAU + which])


@njit
def _earliest(p: F64, s: F64, until: float) -> float:
    """A time before which the neuron cannot fire, if nothing changes its drive up to `until`; endless if it never can.

    With E the largest drive, I_mem I_a - leak (I_mem - Io) is convex in I_mem, so it is largest at an end; what the
    drive adds is at most Igain E. A level at which everything together falls cannot be passed.
    """
    dt = until - s[T]
    i = exp(s[X])
    drive = _most(p, s, AMPA, dt) + p[GATE_THR] * _most(p, s, NMDA, dt) + p[DC] - _least(p, s, GABA, dt)
    for level in range(N_LEVELS):
        if i <= p[LEVEL + level] and drive < p[ENOUGH + level]:
            return inf
    rise = max(0.0, p[RISE_THR])
    if p[EXPONENTIAL] != 0.0:
        rise = max(rise, i * p[IO] * exp(p[ALPHA] * (s[X] - p[XO])) - p[LEAK_MIN] * (i - p[IO]))
    rise += p[GAIN] * max(0.0, drive)
    return s[T] + (p[I_THR] - i) / (p[K] * rise) if rise > 0.0 else inf


@njit
def _crossing(x0: float, x1: float, c2: float, c3: float, threshold: float) -> float:
    """Where in 0..1 the dense output first reaches the threshold from below; -1 if nowhere."""
    # x0 + a z + b z^2 + c z^3, cut where its slope is zero: between two cuts it rises or falls
    a, b, c = x1 - x0 + c2, c3 - c2, -c3
    first = second = 1.0
    if c != 0.0:
        root = b * b - 3.0 * a * c
        if root > 0.0:
            q = -(b + sqrt(root) if b >= 0.0 else b - sqrt(root))
            first, second = q / (3.0 * c), (a / q if q != 0.0 else 1.0)
    elif b != 0.0:
        first = -0.5 * a / b
    low = 0.0
    for cut in (min(first, second), max(first, second), 1.0):
        high = min(max(cut, 0.0), 1.0)
        if high > low and x0 + high * (a + high * (b + high * c)) >= threshold:
            for _ in range(60):
                middle = 0.5 * (low + high)
                if x0 + middle * (a + middle * (b + middle * c)) >= threshold:
                    high = middle
                else:
                    low = middle
            return high
        low = max(low, high)
    return -1.0


@njit
def plan(p: F64, s: F64, until: float) -> tuple[float, bool]:
    """When to look at the neuron next, at the latest at `until`, and whether it fires then. To be redone on any change.

    Far from firing, the time is a bound. Near it one step is tried, to be used by `advance` if nothing comes between.
    """
    s[TRIAL_T] = inf
    if s[HELD_UNTIL] > s[T]:
        return min(until, s[HELD_UNTIL]), False
    if s[X] >= p[X_THR]:
        return s[T], True
    earliest = _earliest(p, s, until)
    if earliest >= until:
        return until, False
    h = s[STEP]
    if earliest - s[T] >= 0.5 * h:
        return earliest, False
    cut = until - s[T] <= h
    h, x, longer, c2, c3 = _accepted(p, s, 0.0, s[X], min(h, until - s[T]))
    z = _crossing(s[X], x, c2, c3, p[X_THR])
    if z < 0.0:
        s[TRIAL_T] = min(s[T] + h, until)
        s[TRIAL_X], s[TRIAL_STEP] = x, max(longer, s[STEP]) if cut else longer
        return s[TRIAL_T], False
    # the dense output is one order less than the step: go there, and correct by the slope
    f, fx, ft = _rate_and_slopes(p, s, 0.0, s[X])
    x, _, _, _ = _step(p, s, 0.0, s[X], max(z * h, 1e-15), f, fx, ft)
    drive, nmda, leak = _inputs(p, s, z * h)
    slope = _rate(p, x, drive, nmda, leak)
    dt = z * h + ((p[X_THR] - x) / slope if slope > 0.0 else 0.0)
    return s[T] + min(max(dt, 0.0), h), True
