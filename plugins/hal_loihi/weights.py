"""How a synapse stores its weight: mantissa, exponent, weight bits and sign mode, and what a spike then adds.

The mantissa has 8 bits. In mixed mode one of them is the sign, so the lowest bit is lost and steps are of 2. With n
weight bits the lowest 8 - n bits are lost as well. What a spike adds is floor(mantissa * 2**(6 + exponent) / 64) * 64,
limited to +-(2**21 - 64): always a multiple of 64 (brian2-loihi 0.5.2, run).
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal.errors import ConfigError, Problem

__all__ = [
    "EXPONENTS",
    "WEIGHT_BITS",
    "WEIGHT_LIMIT",
    "WEIGHT_UNIT",
    "SignMode",
    "covers",
    "effective",
    "exponent_for",
    "grid",
    "mantissa_range",
    "nearest",
    "quantum",
    "stored",
]

EXPONENTS: Final = range(-8, 8)
"""Weight exponents: -8..7 in brian2-loihi 0.5.2 (run); nengo-loihi 1.1.0 uses -7..7."""
WEIGHT_BITS: Final = (0, 1, 2, 3, 4, 5, 6, 8)
"""What the 3-bit code of a synapse format can mean (nengo-loihi 1.1.0); 7 bits do not exist."""
WEIGHT_LIMIT: Final = 2**21 - 64
"""Largest magnitude of an effective weight (brian2-loihi 0.5.2, run)."""
WEIGHT_UNIT: Final = 64
"""Effective weights are multiples of it."""


class SignMode(StrEnum):
    """What the 8 bits of a mantissa hold."""

    MIXED = "mixed"
    """-256..254, even: one bit is the sign."""
    EXCITATORY = "excitatory"
    """0..255."""
    INHIBITORY = "inhibitory"
    """-256..0."""


_HAIR = 1e-9
"""A weight scaled to the very edge of the range must not fall off it by its own rounding."""
_ACCEPTED: Final = {SignMode.MIXED: (-256, 255), SignMode.EXCITATORY: (0, 255), SignMode.INHIBITORY: (-256, 0)}


def _format(bits: int, sign_mode: str) -> SignMode:
    """The sign mode, once it and the bits are known to exist."""
    problems = []
    if bits not in WEIGHT_BITS:
        hint = "7 bits have no code: use 6 or 8" if bits == 7 else ""
        problems.append(Problem("no such number of bits", "weight_bits", value=bits, limit=WEIGHT_BITS, hint=hint))
    if sign_mode not in list(SignMode):
        modes = tuple(str(mode) for mode in SignMode)
        problems.append(Problem("no such sign mode", "sign_mode", value=sign_mode, limit=modes))
    if problems:
        raise ConfigError("the synapse format does not exist", problems=problems)
    return SignMode(sign_mode)


def _exponents(exponent: ArrayLike) -> NDArray[np.int64]:
    values = np.asarray(exponent)
    if values.dtype.kind not in "iu" or not np.isin(values, EXPONENTS).all():
        limit = f"integers {EXPONENTS[0]}..{EXPONENTS[-1]}"
        problem = Problem("outside what the chip has", "weight_exp", value=_first_bad(values), limit=limit)
        raise ConfigError("a weight exponent does not exist", problems=[problem])
    return values.astype(np.int64)


def _first_bad(values: NDArray[Any]) -> Any:
    bad = values[~np.isin(values, EXPONENTS)] if values.dtype.kind in "iu" else values
    return bad.ravel()[0].item()


def quantum(bits: int = 8, sign_mode: str = SignMode.MIXED) -> int:
    """Step between mantissas: 2**(8 - bits), twice that in mixed mode.

    ConfigError for bits or a sign mode that do not exist; so in all functions here.
    """
    mode = _format(bits, sign_mode)
    return int(2 ** (8 - bits + (mode is SignMode.MIXED)))


def mantissa_range(bits: int = 8, sign_mode: str = SignMode.MIXED) -> tuple[int, int]:
    """Least and largest mantissa: multiples of the quantum within 8 bits."""
    step = quantum(bits, sign_mode)
    low, high = _ACCEPTED[SignMode(sign_mode)]
    return -(-low // step * step), high // step * step


def stored(mantissa: ArrayLike, bits: int = 8, sign_mode: str = SignMode.MIXED) -> NDArray[np.int32]:
    """The mantissas (any shape) as the memory holds them, once the bits that do not exist are gone.

    An odd mantissa of 8 bits in mixed mode becomes even as in nengo-loihi 1.1.0, half to even on mantissa / 2: +-101 ->
    +-100, +-103 -> +-104, +-1 -> 0, and 255 -> 254, the largest. (brian2-loihi would take +-102 for +-103, lava-nc
    floors.) With fewer bits the missing ones are cleared toward zero, as in brian2-loihi 0.5.2; nengo-loihi always has
    8. The discretiser makes no mantissa that either rule would move.

    ConfigError for mantissas that are no integers or outside the range of the sign mode: -256..255 mixed, 0..255
    excitatory, -256..0 inhibitory.
    """
    step = quantum(bits, sign_mode)
    values = np.asarray(mantissa)
    low, high = _ACCEPTED[SignMode(sign_mode)]
    if values.dtype.kind not in "iu" and values.size:
        problem = Problem("not integers", "mantissa", value=str(values.dtype), limit="an integer array")
        raise ConfigError("mantissas are whole numbers", problems=[problem])
    bad = (values < low) | (values > high)
    if bad.any():
        limit = f"{low}..{high} in sign mode {sign_mode}"
        what = f"{np.count_nonzero(bad)} mantissas out of range"
        problem = Problem(what, "mantissa", value=int(values[bad].ravel()[0]), limit=limit)
        raise ConfigError("mantissas do not fit their 8 bits", problems=[problem])
    values = values.astype(np.int64)
    if step == 2:
        kept = np.round(values / step).astype(np.int64) * step
    else:
        kept = np.sign(values) * (np.abs(values) // step * step)
    return np.minimum(kept, mantissa_range(bits, sign_mode)[1]).astype(np.int32)


def effective(
    mantissa: ArrayLike, exponent: ArrayLike, bits: int = 8, sign_mode: str = SignMode.MIXED
) -> NDArray[np.int32]:
    """What one spike adds to the accumulator: `stored` mantissas (any shape) with exponents that broadcast to them.

    floor(m * 2**(6 + e) / 64) * 64, limited to +-(2**21 - 64). The floor makes small negative weights more negative:
    -100 at exponent -3 is -832, not -768. ConfigError as in `stored`, and for exponents outside -8..7.
    """
    kept = stored(mantissa, bits, sign_mode).astype(np.int64)
    # 2**(6 - 8) is no integer: two bits of headroom keep the shift exact
    whole = (kept << (_exponents(exponent) + 8)) >> 8
    limited: NDArray[np.int32] = np.clip(whole * WEIGHT_UNIT, -WEIGHT_LIMIT, WEIGHT_LIMIT).astype(np.int32)
    return limited


@lru_cache(maxsize=1024)
def grid(exponent: int, bits: int = 8, sign_mode: str = SignMode.MIXED) -> tuple[int, int, int]:
    """Step, least and largest of the effective weights that some mantissa gives without the floor."""
    step = quantum(bits, sign_mode)
    low, high = mantissa_range(bits, sign_mode)
    if exponent >= 0:
        unit = WEIGHT_UNIT << exponent
        return step * unit, max(low * unit, -WEIGHT_LIMIT), min(high * unit, WEIGHT_LIMIT)
    lost = 1 << -exponent
    least, most = -(-low // lost) * WEIGHT_UNIT, high // lost * WEIGHT_UNIT
    width = max(step * WEIGHT_UNIT // lost, WEIGHT_UNIT)
    return width, -(-least // width * width), most // width * width


def covers(least: float, most: float, exponent: int, bits: int = 8, sign_mode: str = SignMode.MIXED) -> bool:
    """Whether effective weights least..most are all stored within half a step at this exponent."""
    step, low, high = grid(exponent, bits, sign_mode)
    half = step / 2 * (1 + _HAIR)
    return low - half <= least and most <= high + half


def exponent_for(least: float, most: float, bits: int = 8, sign_mode: str = SignMode.MIXED) -> int | None:
    """The exponent that stores effective weights least..most most finely without clipping; None if none does.

    Every coarser exponent stores each of them no nearer, and every finer one clips the largest. Exponents below the
    one where steps reach 64 are finer for none, as nothing is finer than 64: the largest of equals is returned.
    """
    step = quantum(bits, sign_mode)
    finest = -step.bit_length() + 1
    for exponent in range(max(finest, EXPONENTS[0]), EXPONENTS[-1] + 1):
        if covers(least, most, exponent, bits, sign_mode):
            return exponent
    return None


def nearest(wanted: ArrayLike, exponent: int, bits: int = 8, sign_mode: str = SignMode.MIXED) -> NDArray[np.int32]:
    """Mantissas whose effective weights are nearest to those wanted (float, any shape), half to even; clipped.

    `effective` gives back exactly the multiple that was meant: no bit is lost to a floor.
    """
    step, low, high = grid(int(_exponents(exponent)), bits, sign_mode)
    meant = np.clip(np.round(np.asarray(wanted, np.float64) / step) * step, low, high)
    return np.round(meant / (WEIGHT_UNIT * 2.0**exponent)).astype(np.int32)
