"""Base values as the chip has them: times Iscale, on entries of the bias generator, with codes chosen again for those.

The four are rounded together: which entries lie nearest matters less than what error their sums leave, so neighbours
of each are tried, and the codes are those nearest to what the chip really has.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal.errors import ConfigError, Problem
from hal_dynapse2 import biases
from hal_dynapse2.parameters import WEIGHT_PARAMETERS
from hal_dynapse2.quantise import Quantised, magnitudes_of, refit
from hal_dynapse2.search import Sums, squares

__all__ = ["ISCALE", "BaseCurrents", "choose_iscale", "round_bases"]

Float = NDArray[np.float64]
Int = NDArray[np.int64]

ISCALE: Final = 1e-8
"""A per unit of weight (rockpool 3.1.0's default)."""
_NEIGHBOURS: Final = 2
"""Entries to each side of the nearest of each base current that are tried together."""
_WINDOW: Final = 64
"""Entries to each side that are then tried of one base current at a time."""


@attrs.frozen(kw_only=True, eq=False)
class BaseCurrents:
    """Four base currents on their entries, and the magnitudes over them. Arrays are (4,)."""

    iscale: float
    wanted: Float
    """A: base values * iscale."""
    coarse: Int
    fine: Int
    actual: Float
    """A."""
    notes: tuple[biases.Note, ...]
    """Base currents outside the range of the generator; one that is not needed is not 0 either, but left out here."""
    quantised: Quantised
    """Over actual / iscale."""


def choose_iscale(
    base: ArrayLike, *, preferred: float = ISCALE, parameters: Sequence[str] = WEIGHT_PARAMETERS
) -> float:
    """An Iscale at which the largest base current lies within the generator's range, and the least, if both can.

    The preferred one if it does; else the one nearest to it. ConfigError as `round_bases`.
    """
    values = _checked(base, preferred, parameters)
    used = values[values > 0]
    if not used.size:
        return preferred
    largest = min(biases.span(name).largest for name in parameters)
    least = max(biases.span(name).least for name in parameters)
    return float(min(max(preferred, least / used.min()), largest / used.max()))


def round_bases(
    base: ArrayLike, magnitudes: ArrayLike, iscale: float = ISCALE, *, parameters: Sequence[str] = WEIGHT_PARAMETERS
) -> BaseCurrents:
    """Entries for base values (4,), and codes for magnitudes of any shape, such that the error left is least.

    Looks at the nearest entries of all four together, then at more of one after the other. What lies above the largest
    current is set to that, and is noted. ConfigError, with every problem, for base values, magnitudes or an Iscale that
    are negative or not finite (an Iscale of 0 as well), and for parameters that are not four with known scales.
    """
    values = _checked(base, iscale, parameters)
    given = magnitudes_of(magnitudes)
    wanted = values * iscale
    near = [biases.nearest(name, value) for name, value in zip(parameters, wanted, strict=True)]
    rising, place = zip(*(np.unique(biases.currents(name), return_index=True) for name in parameters), strict=True)
    chosen = np.array([int(np.searchsorted(r, one.actual)) for r, one in zip(rising, near, strict=True)])
    connected = given[given != 0]
    if connected.size:
        unit = float(connected.max())
        spare = values == 0
        levels = [currents / iscale / unit for currents in rising]
        chosen = _least(Sums.of(connected / unit), levels, chosen, spare)
    coarse, fine = np.divmod(np.array([int(p[i]) for p, i in zip(place, chosen, strict=True)]), biases.FINE)
    actual = np.array([float(r[i]) for r, i in zip(rising, chosen, strict=True)])
    notes = tuple(
        attrs.evolve(note, actual=float(now))
        for one, now, value in zip(near, actual, values, strict=True)
        for note in one.notes
        if value > 0
    )
    return BaseCurrents(
        iscale=iscale,
        wanted=wanted,
        coarse=coarse,
        fine=fine,
        actual=actual,
        notes=notes,
        quantised=refit(actual / iscale, given),
    )


def _least(sums: Sums, levels: list[Float], start: Int, spare: NDArray[np.bool_]) -> Int:
    """Indices (4,) into the rising values that each can have, with the least error; the start if none is better."""
    steps = np.arange(-_NEIGHBOURS, _NEIGHBOURS + 1)
    window, every = np.arange(-_WINDOW, _WINDOW + 1), [np.arange(values.size) for values in levels]
    best = _better(sums, levels, start, start + np.array(list(product(steps, repeat=4))))
    while True:
        before = best
        for k in range(4):
            if spare[k]:
                # what the wanted levels do not need may correct what rounding did to the others
                for other in np.flatnonzero(~spare):
                    best = _better(sums, levels, best, _moved(best, {int(other): best[other] + steps, k: every[k]}))
            else:
                best = _better(sums, levels, best, _moved(best, {k: best[k] + window}))
        if (best == before).all():
            return best


def _moved(now: Int, moves: dict[int, Int]) -> Int:
    """(S, 4): the present indices (4,), with all combinations of some of them."""
    grid = np.stack(np.meshgrid(*moves.values(), indexing="ij"), axis=-1).reshape(-1, len(moves))
    others = np.repeat(now[None], len(grid), axis=0)
    others[:, list(moves)] = grid
    return others


def _better(sums: Sums, levels: list[Float], now: Int, others: Int) -> Int:
    """Of the present indices (4,) and others (S, 4) those with the least error, the present ones if as good."""
    sizes = np.array([values.size for values in levels])
    tried = np.concatenate([now[None], np.clip(others, 0, sizes - 1)])
    error = squares(sums, np.stack([values[tried[:, k]] for k, values in enumerate(levels)], axis=1))
    chosen: Int = tried[int(np.argmin(error))]
    return chosen


def _checked(base: ArrayLike, iscale: float, parameters: Sequence[str]) -> Float:
    values = magnitudes_of(base, "base values")
    problems = []
    if values.shape != (4,):
        problems.append(Problem("wrong shape", "base values", value=values.shape, limit=(4,)))
    if len(parameters) != 4:
        problems.append(Problem("there are four base currents", "parameters", value=len(parameters), limit=4))
    if not (np.isfinite(iscale) and iscale > 0):
        problems.append(Problem("no current per unit of weight", "iscale", value=iscale, limit="> 0 A"))
    if problems:
        raise ConfigError("base currents that cannot be made", problems=problems)
    return values
