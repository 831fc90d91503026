"""How many ns of the model pass in one ns of the chip, so that its time constants are the chip's.

The circuits are about a thousand times faster than biology, but what a model's time constants are is its own affair:
20 ms are reached at a speedup of 1000, 6 us at 1. Ranges: the vendor's calibration (calix), which warns outside the
standard one and fails outside the other.
"""

from __future__ import annotations

import math
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

STANDARD: Final = {"tau_mem": (0.5e-6, 60e-6), "tau_syn": (0.3e-6, 30e-6)}
"""s: within these a calibration is expected to succeed."""
POSSIBLE: Final = {"tau_mem": (0.1e-6, 2000e-6), "tau_syn": (0.1e-6, 100e-6)}
"""s: outside these it is refused."""
SLACK: Final = 1e-6
"""Relative: rounding of a time constant at the end of its standard range."""
LIMITS: Final = (1e-3, 1e12)
"""Speedups that registers and options take."""
USUAL: Final = (1.0, 1000.0)
"""Speedups that are taken where they do: models in the chip's own time, and in that of biology."""
_SANE: Final = (1e-100, 1e100)
"""s."""


@attrs.frozen
class Excess:
    """A time constant of the chip (s) outside a range (s). possible: whether it can be tried all the same."""

    field: str
    value: float
    least: float
    largest: float
    possible: bool


def choose(tau_mem: Float, tau_syn: Float) -> float:
    """The speedup that puts all time constants (s, of the model) into the chip's standard range, or nearest to that.

    1 or 1000 where they do; else a power of ten that does; else the middle, on a logarithmic scale, of all that do.
    Where none does it is the middle of what each end asks for.
    """
    # what lies beyond is out of reach of any speedup, and its ratios are no numbers
    taus = {"tau_mem": np.clip(tau_mem, *_SANE), "tau_syn": np.clip(tau_syn, *_SANE)}
    least = max(float(taus[field].max()) / high for field, (_, high) in STANDARD.items())
    most = min(float(taus[field].min()) / low for field, (low, _) in STANDARD.items())
    tens = [10.0**k for k in range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)]
    middle = math.sqrt(least * most)
    good = [
        value
        for value in (*USUAL, *sorted(tens, key=lambda ten: abs(math.log(ten / middle))))
        if least <= value <= most
    ]
    return good[0] if good else middle


def excesses(tau_mem: Float, tau_syn: Float, speedup: float) -> list[Excess]:
    """Time constants that this speedup leaves outside the chip's ranges: the worst at each end."""
    found = []
    for field, taus in (("tau_mem", tau_mem), ("tau_syn", tau_syn)):
        on_chip = taus / speedup
        for value in sorted({float(on_chip.min()), float(on_chip.max())}):
            low, high = STANDARD[field]
            if not low * (1 - SLACK) <= value <= high * (1 + SLACK):
                lowest, highest = POSSIBLE[field]
                possible = lowest <= value <= highest
                found.append(Excess(field, value, *((low, high) if possible else (lowest, highest)), possible))
    return found
