"""One DPI neuron of a DYNAP-SE2-like chip in continuous time: its equation, a stiff step, and when it may next fire.

The dendrites and the adaptation between two changes of their drive are exponentials in closed form. The soma is one
scalar equation, taken in v = w + ln(w) with w = I_mem / Igain_mem, so that w is Wright's omega of v: in v the net
current of the dendrites just adds, in the exponential as in the linear regime, and steps can be long. It is solved by
the pair of Dormand and Prince, order 5(4), and where strong inhibition or a strong leak makes it stiff by RODAS (Hairer
and Wanner, Solving Ordinary Differential Equations II, section IV.7: L-stable, order 4(3)).
docs/chips/dynapse2_equations.md has the equations.

A neuron is two rows: parameters `p` and state `s`, the columns as named below. Times are seconds since the reset,
currents are in ampere.
"""

from __future__ import annotations

from math import exp, inf, log, sqrt

import numpy as np
from numpy.typing import NDArray

from ._jit import njit, njit_inlined

__all__ = ["N_LEVELS", "N_PARAMETERS", "N_STATES", "TOLERANCE", "advance", "current_at", "membrane_at", "plan"]

F64 = NDArray[np.float64]

TOLERANCE = 1e-8
"""Estimated error of ln(I_mem) allowed per step; the estimate is of order 3, what is kept of order 4."""
_SHRINK, _GROW = 0.2, 6.0
FIRST_STEP = 1e-5
"""Seconds: the first step a neuron tries after a reset of the chip."""

N_LEVELS = 8
# parameters, one column each
K, GAIN, LEAK, IO, V_DARK, ALPHA, EXPONENTIAL, DC, NMDA_BIAS, V_THR, I_THR, T_REF, PULL = range(13)
T_PULSE, T_AHP, AHP_TARGET, LEAK_MIN, RISE_THR, GATE_THR, LOG_DARK = range(13, 20)
TAU = 20  # ampa, gaba, nmda, shunt, ahp
RATIO = 25  # Igain / Itau of the four dendrites
IW = 29
LEVEL = 33  # membrane currents ...
ENOUGH = LEVEL + N_LEVELS  # ... and the drive that is needed to pass them
N_PARAMETERS = ENOUGH + N_LEVELS
# state, one column each
T, V, STEP, HELD_UNTIL, AHP_UNTIL, TRIAL_T, TRIAL_V, TRIAL_STEP, DOUBLE = range(9)
CURRENT = 9  # ampa, gaba, nmda, shunt, ahp at time T
TARGET = 14  # where they go
N_STATES = 19
AMPA, GABA, NMDA, SHUNT, AHP = range(5)


@njit_inlined
def current_at(p: F64, s: F64, which: int, dt: float) -> float:
    """A dendrite's current or the adaptation's, `dt` after s[T]."""
    target, now = s[TARGET + which], s[CURRENT + which]
    if now == target:
        return float(target)
    return float(target + (now - target) * exp(-dt / p[TAU + which]))


@njit_inlined
def _inputs(p: F64, s: F64, dt: float) -> tuple[float, float, float]:
    """Drive without NMDA, NMDA before its gate, and leak, `dt` after s[T]."""
    drive = current_at(p, s, AMPA, dt) - current_at(p, s, GABA, dt) + p[DC]
    return drive, current_at(p, s, NMDA, dt), p[LEAK] + current_at(p, s, AHP, dt) + current_at(p, s, SHUNT, dt)


@njit_inlined
def _slope_of(p: F64, s: F64, which: int, dt: float) -> float:
    return float((s[TARGET + which] - current_at(p, s, which, dt)) / p[TAU + which])


@njit_inlined
def _omega(v: float, v0: float, w0: float) -> float:
    """Wright's omega, w + ln(w) = v, from the neighbour w0 + ln(w0) = v0; Fritsch, Shafer and Crowley 1973."""
    part = (v - v0) / (1.0 + w0)
    if w0 < inf and abs(part) < 0.3:
        w = w0 * (1.0 + part * (1.0 + 0.5 * part / (1.0 + w0)))
    else:
        w = exp(v) if v < -1.0 else (0.5 + 0.35 * (v + 0.7) if v < 2.0 else v - log(v))
    for _ in range(8):  # two are enough; a stage that has run away must not go on for ever
        rest = v - w - log(w)
        t = (1.0 + w) * (1.0 + w + 2.0 / 3.0 * rest)
        w *= 1.0 + rest / (1.0 + w) * (t - 0.5 * rest) / (t - rest)
        if abs(rest) < 1e-3 * (1.0 + w):  # its fourth power is left
            break
    return w


@njit
def omega(v: float) -> float:
    """Wright's omega, I_mem / Igain_mem of v."""
    return _omega(v, 0.0, inf)


@njit_inlined
def _feedback(p: F64, v: float, w: float) -> float:
    """I_a; ln(I_mem) = v - w + ln(Igain_mem)."""
    return p[IO] * exp(p[ALPHA] * (v - w - p[LOG_DARK])) if p[EXPONENTIAL] != 0.0 else 0.0


@njit_inlined
def _rate(p: F64, v: float, w: float, drive: float, nmda: float, leak: float) -> float:
    """dv/dt."""
    i = p[GAIN] * w
    net = drive + nmda * i / (i + p[NMDA_BIAS])
    above_dark = 1.0 - p[IO] / i
    if net < 0.0:
        net *= p[PULL] * above_dark
    return float(p[K] * (net + (1.0 + w) * (_feedback(p, v, w) - leak * above_dark)))


@njit_inlined
def _rate_and_slopes(p: F64, s: F64, dt: float, v: float, w: float) -> tuple[float, float, float]:
    """dv/dt, and its derivatives by v and by time."""
    drive, nmda, leak = _inputs(p, s, dt)
    i = p[GAIN] * w
    gate = i / (i + p[NMDA_BIAS])
    net = drive + nmda * gate
    net_v = nmda * gate * p[NMDA_BIAS] / (i + p[NMDA_BIAS]) / (1.0 + w)
    net_t = _slope_of(p, s, AMPA, dt) - _slope_of(p, s, GABA, dt) + _slope_of(p, s, NMDA, dt) * gate
    leak_t = _slope_of(p, s, AHP, dt) + _slope_of(p, s, SHUNT, dt)
    dark = p[IO] / i
    if net < 0.0:
        part = p[PULL] * (1.0 - dark)
        net_v = net_v * part + net * p[PULL] * dark / (1.0 + w)
        net, net_t = net * part, net_t * part
    feedback = _feedback(p, v, w)
    inner = feedback - leak * (1.0 - dark)
    by_v = net_v + w / (1.0 + w) * inner + p[ALPHA] * feedback - leak * dark
    by_t = net_t - (1.0 + w) * leak_t * (1.0 - dark)
    return p[K] * (net + (1.0 + w) * inner), p[K] * by_v, p[K] * by_t


@njit
def _step(
    p: F64, s: F64, dt: float, v: float, w: float, h: float, f: float, fv: float, ft: float
) -> tuple[float, float, float, float]:
    """A RODAS step of length h from v at `dt` after s[T]: the new v, its error, and two numbers of the dense output.

    w is omega(v). Between its ends v is v0 (1 - z) + z (v1 + (1 - z) (c2 + z c3)), z = 0..1.
    """
    m = 1.0 / (4.0 / h - fv)
    r = 1.0 / h
    u1 = m * (f + h * 0.25 * ft)
    drive, nmda, leak = _inputs(p, s, dt + 0.386 * h)
    y = v + 1.544 * u1
    f = _rate(p, y, _omega(y, v, w), drive, nmda, leak)
    u2 = m * (f - 5.6688 * u1 * r - h * 0.1043 * ft)
    drive, nmda, leak = _inputs(p, s, dt + 0.21 * h)
    y = v + 0.9466785280815826 * u1 + 0.2557011698983284 * u2
    f = _rate(p, y, _omega(y, v, w), drive, nmda, leak)
    u3 = m * (f + (-2.430093356833875 * u1 - 0.2063599157091915 * u2) * r + h * 0.1035 * ft)
    drive, nmda, leak = _inputs(p, s, dt + 0.63 * h)
    y = v + 3.314825187068521 * u1 + 2.896124015972201 * u2 + 0.9986419139977817 * u3
    f = _rate(p, y, _omega(y, v, w), drive, nmda, leak)
    c = -0.1073529058151375 * u1 - 9.594562251023355 * u2 - 20.47028614809616 * u3
    u4 = m * (f + c * r - h * 0.0362 * ft)
    drive, nmda, leak = _inputs(p, s, dt + h)
    y = v + 1.221224509226641 * u1 + 6.019134481288629 * u2 + 12.53708332932087 * u3 - 0.6878860361058950 * u4
    f = _rate(p, y, _omega(y, v, w), drive, nmda, leak)
    c = 7.496443313967647 * u1 - 10.24680431464352 * u2 - 33.99990352819905 * u3 + 11.70890893206160 * u4
    u5 = m * (f + c * r)
    y += u5
    f = _rate(p, y, _omega(y, v, w), drive, nmda, leak)
    c = 8.083246795921522 * u1 - 7.981132988064893 * u2 - 31.52159432874371 * u3 + 16.31930543123136 * u4
    u6 = m * (f + (c - 6.058818238834054 * u5) * r)
    c2 = 10.12623508344586 * u1 - 7.487995877610167 * u2 - 34.80091861555747 * u3 - 7.992771707568823 * u4
    c2 += 1.025137723295662 * u5
    c3 = -0.6762803392801253 * u1 + 6.087714651680015 * u2 + 16.43084320892478 * u3 + 24.76722511418386 * u4
    c3 -= 6.594389125716872 * u5
    return y + u6, abs(u6), c2, c3


@njit_inlined
def _at(p: F64, s: F64, dt: float, y: float, v: float, w: float) -> float:
    """dv/dt for y, a neighbour of v, `dt` after s[T]."""
    drive, nmda, leak = _inputs(p, s, dt)
    return _rate(p, y, _omega(y, v, w), drive, nmda, leak)


@njit
def _explicit_step(
    p: F64, s: F64, dt: float, v: float, w: float, h: float, f: float
) -> tuple[float, float, float, float]:
    """The same by Dormand and Prince 5(4), with cubic Hermite output: far longer steps, but only where not stiff."""
    k2 = _at(p, s, dt + h / 5, v + h * f / 5, v, w)
    k3 = _at(p, s, dt + 0.3 * h, v + h * (3 / 40 * f + 9 / 40 * k2), v, w)
    k4 = _at(p, s, dt + 0.8 * h, v + h * (44 / 45 * f - 56 / 15 * k2 + 32 / 9 * k3), v, w)
    y = v + h * (19372 / 6561 * f - 25360 / 2187 * k2 + 64448 / 6561 * k3 - 212 / 729 * k4)
    k5 = _at(p, s, dt + 8 / 9 * h, y, v, w)
    drive, nmda, leak = _inputs(p, s, dt + h)
    y = v + h * (9017 / 3168 * f - 355 / 33 * k2 + 46732 / 5247 * k3 + 49 / 176 * k4 - 5103 / 18656 * k5)
    k6 = _rate(p, y, _omega(y, v, w), drive, nmda, leak)
    y = v + h * (35 / 384 * f + 500 / 1113 * k3 + 125 / 192 * k4 - 2187 / 6784 * k5 + 11 / 84 * k6)
    k7 = _rate(p, y, _omega(y, v, w), drive, nmda, leak)
    error = 71 / 57600 * f - 71 / 16695 * k3 + 71 / 1920 * k4 - 17253 / 339200 * k5 + 22 / 525 * k6 - k7 / 40
    return y, abs(h * error), h * f - (y - v), 2 * (y - v) - h * (f + k7)


@njit
def _accepted(p: F64, s: F64, dt: float, v: float, h: float) -> tuple[float, float, float, float, float]:
    """A step of at most h that is accurate enough: its length, v, the length to try next, and the dense output."""
    w = omega(v)
    f, fv, ft = _rate_and_slopes(p, s, dt, v, w)
    if h * fv > 1.0:  # a run-away membrane: keep the step's equation well away from its pole at h fv = 4
        h = 1.0 / fv
    while True:
        if h * fv < -2.0:
            y, error, c2, c3 = _step(p, s, dt, v, w, h, f, fv, ft)
            power = 0.25
        else:
            y, error, c2, c3 = _explicit_step(p, s, dt, v, w, h, f)
            power = 0.2
        ratio = error / (TOLERANCE * (1.0 + w))
        if ratio <= 1.0:
            grown = _GROW if ratio < 7e-5 else 0.9 * ratio**-power
            return h, max(y, p[V_DARK]), h * grown, c2, c3
        h *= max(_SHRINK, 0.9 * ratio**-power) if ratio < inf else _SHRINK


@njit
def _march(p: F64, s: F64, t: float, v: float, h: float, until: float) -> tuple[float, float]:
    """From v at t >= s[T] to v at `until`, and the length of step to go on with. The drive changes nowhere between."""
    while t < until:
        rest = until - t
        last = h >= rest
        done, v, longer, _, _ = _accepted(p, s, t - s[T], v, rest if last else h)
        if last and done == rest:
            return v, max(h, longer)
        h = longer
        t += done
    return v, h


@njit
def membrane_at(p: F64, s: F64, shadow: F64, t: float) -> float:
    """I_mem at t, up to which nothing happens to the neuron; the state stays. `shadow`: (t, v, step) of the last look.

    Looking does not disturb the integration, and looking often costs no more than looking once.
    """
    if s[HELD_UNTIL] >= t:
        return float(p[IO])
    if shadow[0] <= s[T]:
        shadow[:3] = s[T], s[V], s[STEP]
    shadow[1], shadow[2] = _march(p, s, shadow[0], shadow[1], shadow[2], t)
    shadow[0] = t
    return float(p[GAIN] * omega(shadow[1]))


@njit
def advance(p: F64, s: F64, t: float) -> None:
    """Bring the neuron to t; it does not fire before, and nothing changes its drive."""
    dt = t - s[T]
    if dt <= 0.0:
        return
    if s[HELD_UNTIL] <= s[T]:
        if s[TRIAL_T] == t:
            s[V], s[STEP] = s[TRIAL_V], s[TRIAL_STEP]
        else:
            s[V], s[STEP] = _march(p, s, s[T], s[V], s[STEP], t)
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
    return float(now if target <= now else now + (target - now) * min(1.0, dt / p[TAU + which]))


@njit
def _least(p: F64, s: F64, which: int, dt: float) -> float:
    now, target = s[CURRENT + which], s[TARGET + which]
    return float(now if target >= now else now + (target - now) * min(1.0, dt / p[TAU + which]))


@njit
def _earliest(p: F64, s: F64, until: float) -> float:
    """A time before which the neuron cannot fire, if nothing changes its drive up to `until`; endless if it never can.

    With E the largest drive, I_mem I_a - leak (I_mem - Io) is convex in I_mem, so it is largest at an end; what the
    drive adds is at most Igain E. A level at which everything together falls cannot be passed.
    """
    dt = until - s[T]
    w = omega(s[V])
    i = p[GAIN] * w
    drive = _most(p, s, AMPA, dt) + p[GATE_THR] * _most(p, s, NMDA, dt) + p[DC] - _least(p, s, GABA, dt)
    for level in range(N_LEVELS):
        if i <= p[LEVEL + level] and drive < p[ENOUGH + level]:
            return inf
    rise = max(0.0, p[RISE_THR])
    if p[EXPONENTIAL] != 0.0:
        rise = max(rise, i * _feedback(p, s[V], w) - p[LEAK_MIN] * (i - p[IO]))
    rise += p[GAIN] * max(0.0, drive)
    return s[T] + (p[I_THR] - i) / (p[K] * rise) if rise > 0.0 else inf


@njit
def _crossing(v0: float, v1: float, c2: float, c3: float, threshold: float) -> float:
    """Where in 0..1 the dense output first reaches the threshold from below; -1 if nowhere."""
    # v0 + a z + b z^2 + c z^3, cut where its slope is zero: between two cuts it rises or falls
    a, b, c = v1 - v0 + c2, c3 - c2, -c3
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
        if high > low and v0 + high * (a + high * (b + high * c)) >= threshold:
            for _ in range(60):
                middle = 0.5 * (low + high)
                if v0 + middle * (a + middle * (b + middle * c)) >= threshold:
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
    if s[V] >= p[V_THR]:
        return s[T], True
    earliest = _earliest(p, s, until)
    if earliest >= until:
        return until, False
    h = s[STEP]
    if earliest - s[T] >= 0.5 * h:
        return earliest, False
    cut = until - s[T] <= h
    h, v, longer, c2, c3 = _accepted(p, s, 0.0, s[V], min(h, until - s[T]))
    z = _crossing(s[V], v, c2, c3, p[V_THR])
    if z < 0.0:
        s[TRIAL_T] = min(s[T] + h, until)
        s[TRIAL_V], s[TRIAL_STEP] = v, max(longer, s[STEP]) if cut else longer
        return s[TRIAL_T], False
    # the dense output is one order less than the step: go there, and correct by the slope
    v, _ = _march(p, s, s[T], s[V], h, s[T] + z * h)
    drive, nmda, leak = _inputs(p, s, z * h)
    slope = _rate(p, v, omega(v), drive, nmda, leak)
    dt = z * h + ((p[V_THR] - v) / slope if slope > 0.0 else 0.0)
    return s[T] + min(max(dt, 0.0), h), True
