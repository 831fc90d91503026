"""The numbers of a compartment as registers hold them: threshold, bias, and the bounds of the membrane."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BIAS_LIMIT",
    "VMAX_EXPONENTS",
    "VMIN_EXPONENTS",
    "VTH_LIMIT",
    "VTH_MANT_MAX",
    "VTH_UNIT",
    "bias_registers",
    "threshold_mantissa",
    "v_max_exponent",
    "v_max_of",
    "v_min_exponent",
    "v_min_of",
]

VTH_UNIT: Final = 64
"""A threshold is mantissa * 2**6."""
VTH_MANT_MAX: Final = 2**17 - 1
"""17 bits without sign; at least 1 (nengo-loihi 1.1.0)."""
VTH_LIMIT: Final = VTH_MANT_MAX * VTH_UNIT
_BIAS_EXP_MAX: Final = 7
BIAS_LIMIT: Final = 4095 << _BIAS_EXP_MAX
"""Largest magnitude: mantissa of 13 bits with sign (lava-nc 0.10.0: -4096..4095; nengo-loihi 1.1.0: +-4095)."""
VMIN_EXPONENTS: Final = range(24)
"""Lower bound 1 - 2**e. nengo-loihi 1.1.0 takes up to 31, but the membrane ends at 2**23."""
VMAX_EXPONENTS: Final = range(8)
"""Upper bound 2**(9 + 2e) - 1."""

Float = NDArray[np.float64]
Int = NDArray[np.int32]


def threshold_mantissa(wanted: Float) -> Int:
    """Mantissas nearest to thresholds in chip units (n,), half to even, at least 1: 0 does not exist."""
    return np.clip(np.round(wanted / VTH_UNIT), 1, VTH_MANT_MAX).astype(np.int32)


def bias_registers(wanted: Float) -> tuple[Int, Int]:
    """Mantissas (at most +-4095) and exponents nearest to biases in chip units (n,): the smallest exponent that fits.

    Half to even; clipped to +-4095 * 2**7. Negative biases lose nothing to -4096, which 2 * -2048 is as well.
    """
    high = BIAS_LIMIT >> _BIAS_EXP_MAX
    halvings = np.ceil(np.log2(np.maximum(np.abs(wanted) / (high + 0.5), 1.0)))
    exponent = np.minimum(halvings, _BIAS_EXP_MAX)
    mantissa = np.clip(np.round(wanted / 2**exponent), -high, high)
    return mantissa.astype(np.int32), exponent.astype(np.int32)


def v_min_of(exponent: int) -> int:
    """Lower bound of the membrane: 1 - 2**exponent."""
    return 1 - (1 << exponent)


def v_max_of(exponent: int) -> int:
    """Upper bound of the membrane: 2**(9 + 2 exponent) - 1."""
    return (1 << (9 + 2 * exponent)) - 1


def v_min_exponent(wanted: Float | None) -> int:
    """Exponent whose bound is nearest to those wanted in chip units (least squares); the widest for None."""
    if wanted is None:
        return VMIN_EXPONENTS[-1]
    middle = float(wanted.mean())  # nearest to all in the least squares is nearest to their mean
    return min(VMIN_EXPONENTS, key=lambda e: abs(v_min_of(e) - middle))


def v_max_exponent(wanted: Float | None, threshold: int) -> int:
    """As `v_min_exponent`, among the bounds above the largest threshold: with another no neuron could spike."""
    if wanted is None:
        return VMAX_EXPONENTS[-1]
    middle = float(wanted.mean())
    above = [e for e in VMAX_EXPONENTS if v_max_of(e) > threshold]
    return min(above, key=lambda e: abs(v_max_of(e) - middle))
