"""Time constants from membranes as an ADC sees them, for many circuits at once.

Each candidate of a grid of time constants is fitted with offset and amplitude by linear least squares; the best one is
refined by the parabola through it and its neighbours.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WIDTH: Final = 20.0
"""Candidates lie within this factor of what is expected."""
CANDIDATES: Final = 121


def decay(v: Floats, every_s: float, expected_s: float) -> Floats:
    """Time constants (n,) of exponentials v (t, n), read every so often."""
    t = np.arange(len(v))[:, None] * every_s
    return _best(v, _candidates(expected_s), lambda tau: np.exp(-t / tau))[0]


def response(v: Floats, t: Floats, tau_mem: Floats, expected_s: float) -> tuple[Floats, Floats]:
    """Of membranes v (t, n) after a jump of their current at t = 0: tau_syn (n,), and the size of that jump (n,)."""
    return _best(v, _candidates(expected_s), lambda tau: _response(t[:, None], tau_mem, tau))


def response_peak(tau_mem: float, tau_syn: float) -> float:
    """The highest point of the membrane after a current of 1."""
    t = np.linspace(0, 10 * max(tau_mem, tau_syn), 2001)
    return float(_response(t, np.float64(tau_mem), tau_syn).max())


def _response(t: Floats, tau_mem: Any, tau_syn: float) -> Floats:
    # equal time constants are the limit: near enough to it is as good
    gap = np.where(np.abs(tau_syn / tau_mem - 1) < 1e-4, tau_mem * 1e-4, tau_syn - tau_mem)
    slow = tau_mem + gap
    return np.asarray(slow / gap * (np.exp(-t / slow) - np.exp(-t / tau_mem)))


def _candidates(expected: float) -> Floats:
    return np.asarray(expected * np.geomspace(1 / WIDTH, WIDTH, CANDIDATES))


def _best(v: Floats, taus: Floats, shape: Any) -> tuple[Floats, Floats]:
    """Candidates that fit best, and amplitudes."""
    centred = v - v.mean(axis=0)
    gained, amplitude = np.empty((2, taus.size, v.shape[1]))
    for k, tau in enumerate(taus):
        s = shape(tau)
        s = s - s.mean(axis=0)
        size = np.maximum((s * s).sum(axis=0), 1e-30)
        along = (s * centred).sum(axis=0)
        gained[k], amplitude[k] = along**2 / size, along / size
    k = np.clip(gained.argmax(axis=0), 1, taus.size - 2)
    n = np.arange(v.shape[1])
    below, here, above = (gained[k + step, n] for step in (-1, 0, 1))
    curve = below - 2 * here + above
    shift = np.where(curve < 0, (below - above) / np.where(curve < 0, 2 * curve, 1), 0.0)
    shift = np.clip(shift, -1, 1)
    ratio = taus[1] / taus[0]
    low, middle, high = (amplitude[k + step, n] for step in (-1, 0, 1))
    # through the three points, as the candidates lie evenly in the logarithm
    refined = middle + shift * (high - low) / 2 + shift**2 * (high - 2 * middle + low) / 2
    return taus[k] * ratio**shift, refined
