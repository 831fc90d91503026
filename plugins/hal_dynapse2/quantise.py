"""Weights as the chip holds them: of each connection a mask of 4 bits over the four base currents of its target's core.

Magnitudes only; signs choose the dendrite. Base values are in the unit of the magnitudes; times Iscale they are base
currents, which `base_currents` rounds to the bias generator. Nothing here knows cores: one call is one core.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal.errors import ConfigError, Problem
from hal_dynapse2.search import LEVELS, Sums, improve, levels_of, squares
from hal_dynapse2.starts import hops, starts, subset_sums

__all__ = ["Forced", "Quantised", "fit", "force", "length", "magnitudes_of", "nearest_codes", "refit"]

Float = NDArray[np.float64]
Codes = NDArray[np.uint8]
Signs = NDArray[np.int8]

_STARTS: Final = 6000
_STARTS_OF_MANY: Final = 2500
"""From _MANY different magnitudes on, where a turn takes longer and fewer places are traps."""
_MANY: Final = 2000
_FIRST_TURNS: Final = 6
_KEPT: Final = 100
_ROUNDS: Final = 4
_HOPS: Final = 60
_BITS: Final = np.array([code.bit_count() for code in range(LEVELS)])
_FEW: Final = 15
"""Up to so many different magnitudes can be the subset sums of four numbers."""


@attrs.frozen(kw_only=True, eq=False)
class Quantised:
    """Magnitudes by masks over four base values. Arrays have the shape of the magnitudes, but for `base`."""

    base: Float
    """(4,), in the unit of the magnitudes; bit k of a code selects the k-th."""
    codes: Codes
    """0..15; 0 is no connection."""
    realised: Float
    """Sum of the selected base values."""
    relative_rmse: float
    """sqrt(sum of squared errors / sum of squared magnitudes); 0 if all are 0."""
    lost: tuple[tuple[int, ...], ...]
    """Indices of the magnitudes other than 0 whose code is 0."""

    @classmethod
    def of(cls, base: Float, codes: Codes, magnitudes: Float) -> Quantised:
        """With what codes over base values mean for the magnitudes."""
        realised = levels_of(base)[codes]
        unit = _unit(magnitudes)
        error, size = (length(part / unit) for part in (realised - magnitudes, magnitudes))
        return cls(
            base=base,
            codes=codes,
            realised=realised,
            relative_rmse=float(error / size) if size else 0.0,
            lost=tuple(tuple(int(i) for i in place) for place in np.argwhere((codes == 0) & (magnitudes != 0))),
        )


@attrs.frozen(kw_only=True)
class Forced:
    """A code set by hand. `sign`, +1 or -1, is needed where the weight was 0, and turns the others' if given."""

    index: tuple[int, ...]
    code: int
    sign: int | None = None


def fit(magnitudes: ArrayLike, *, seed: int = 0) -> Quantised:
    """The base values and codes with the least sum of squared errors that many starts find; zeros are no connections.

    Without error if there are at most four different magnitudes, and if there are four numbers of which all are subset
    sums. Never worse than 4 bits of uniform steps. Base values rise; those not needed are 0. The same for the same seed
    and magnitudes, in any order.

    ConfigError for magnitudes that are negative or not finite.
    """
    wanted = magnitudes_of(magnitudes)
    unit = _unit(wanted)
    connected = wanted[wanted != 0] / unit
    base = _search(Sums.of(connected), np.random.default_rng(seed)) * unit if connected.size else np.zeros(4)
    return refit(base, wanted)


def refit(base: ArrayLike, magnitudes: ArrayLike) -> Quantised:
    """The best codes over given base values (4,), be they rounded to the bias generator or of one's own.

    ConfigError, with every problem, for base values or magnitudes that are negative or not finite, or not four.
    """
    values = magnitudes_of(base, "base values")
    if values.shape != (4,):
        problem = Problem("wrong shape", "base values", value=values.shape, limit=(4,))
        raise ConfigError("the chip has four base currents", problems=[problem])
    wanted = magnitudes_of(magnitudes)
    return Quantised.of(values, nearest_codes(values, wanted), wanted)


def nearest_codes(base: Float, magnitudes: Float) -> Codes:
    """The code of the nearest level: of two as near that of the larger, of equal levels that with the fewest bits."""
    level = levels_of(base)
    order = np.lexsort((np.arange(LEVELS), _BITS, level))
    rising, place = np.unique(level[order], return_index=True)
    middle = rising[:-1] + np.diff(rising) / 2
    codes = order[place][np.searchsorted(middle, magnitudes, side="right")]
    return np.where(magnitudes == 0, 0, codes).astype(np.uint8)


def force(codes: ArrayLike, signs: ArrayLike, forced: Iterable[Forced]) -> tuple[Codes, Signs]:
    """Copies of codes (0..15) and signs (-1, 0, +1) with some set by hand.

    ConfigError, with every problem, for codes outside 0..15, places that do not exist, signs that are not +1 or -1, and
    for a connection made where the weight was 0 without a sign: it would have no dendrite and never act.
    """
    given, given_signs = np.asarray(codes), np.asarray(signs)
    problems = []
    if given.shape != given_signs.shape:
        problems.append(Problem("shapes differ", "signs", value=given_signs.shape, limit=given.shape))
    for name, values, least, most in (("codes", given, 0, LEVELS - 1), ("signs", given_signs, -1, 1)):
        wrong = ~np.isin(values, np.arange(least, most + 1))
        if wrong.any():
            what = f"{np.count_nonzero(wrong)} of {values.size} do not exist"
            problems.append(Problem(what, name, value=values[wrong].flat[0], limit=f"{least}..{most}"))
    if problems:
        raise ConfigError("codes and signs that cannot be changed", problems=problems)
    made, dendrites = given.astype(np.uint8), given_signs.astype(np.int8)
    for one in forced:
        found = _problems(one, made.shape)
        problems += found
        if found:
            continue
        if one.sign is not None:
            dendrites[one.index] = one.sign
        elif one.code and not dendrites[one.index]:
            hint = "give sign=+1 (excitatory) or -1 (inhibitory)"
            problems.append(Problem("no dendrite, since the weight is 0", f"code at {one.index}", one.code, hint=hint))
        made[one.index] = one.code
    if problems:
        raise ConfigError("codes that cannot be set by hand", problems=problems)
    return made, dendrites


def _problems(one: Forced, shape: tuple[int, ...]) -> list[Problem]:
    where = f"code at {one.index}"
    problems = []
    if len(one.index) != len(shape) or any(not 0 <= i < n for i, n in zip(one.index, shape, strict=False)):
        problems.append(Problem("no such connection", where, value=one.index, limit=f"shape {shape}"))
    if one.code not in range(LEVELS):
        problems.append(Problem("no such code", where, value=one.code, limit="0..15"))
    if one.sign not in (None, -1, 1):
        problems.append(Problem("no such sign", where, value=one.sign, limit="-1 or +1"))
    return problems


def magnitudes_of(values: ArrayLike, name: str = "magnitudes") -> Float:
    """As float64. ConfigError that counts those that are negative or not finite, and says where the first ones are."""
    array = np.asarray(values, np.float64)
    finite = np.isfinite(array)
    problems = []
    for words, wrong in (("not finite", ~finite), ("negative", finite & (array < 0))):
        if wrong.any():
            first = ", ".join(str(tuple(int(i) for i in place)) for place in np.argwhere(wrong)[:3])
            what = f"{np.count_nonzero(wrong)} of {array.size} are {words}, first at {first}"
            problems.append(Problem(what, name, value=float(array[wrong].flat[0]), limit="0 or more"))
    if problems:
        raise ConfigError(f"{name} that cannot be quantised", problems=problems)
    return array


def length(values: Float) -> float:
    """Root of the sum of squares. Not by BLAS, whose threads wait for each other on a busy machine."""
    return float(np.sqrt(np.square(values).sum()))


def _unit(values: Float) -> float:
    """A power of two near the largest: to divide by it changes no digit."""
    return float(2.0 ** (np.frexp(values.max(initial=0.0))[1] - 1.0))


def _search(sums: Sums, rng: np.random.Generator) -> Float:
    """The best base values (4,), rising, of magnitudes about 1."""
    rising = sums.rising
    if rising.size <= 4:
        return np.concatenate([np.zeros(4 - rising.size), rising])
    many = rising.size >= _MANY
    bases = starts(rising, _STARTS_OF_MANY if many else _STARTS, rng)
    if rising.size <= _FEW:
        bases = np.concatenate([bases, subset_sums(rising)])
    bases, error = improve(sums, bases, _FIRST_TURNS)
    bases, error = improve(sums, _best(bases, error, _KEPT))
    for _ in range(_ROUNDS):
        places = _best(bases, error, 6)
        near, rough = improve(sums, hops(places, _HOPS, rng), _FIRST_TURNS)
        near, finer = improve(sums, _best(near, rough, 12))
        bases = np.concatenate([places, near])
        error = np.concatenate([squares(sums, places), finer])
    return np.sort(_best(bases, error, 1)[0])


def _best(bases: Float, error: Float, amount: int) -> Float:
    """The best few, without those that are the same but for their order."""
    ranked = np.argsort(error, kind="stable")[: 8 * amount]
    rising = np.sort(bases[ranked], axis=1)
    _, first = np.unique(np.round(rising, 6), axis=0, return_index=True)
    chosen: Float = rising[np.sort(first)[:amount]]
    return chosen
