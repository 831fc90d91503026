"""One connection by several entries of the CAM: those with one tag and dendrite add up, and each takes fan-in."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Final

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal.errors import ConfigError, Problem
from hal_dynapse2.limits import CAM_ENTRIES
from hal_dynapse2.quantise import Codes, Float, magnitudes_of, nearest_codes
from hal_dynapse2.search import LEVELS, levels_of

__all__ = ["Split", "split", "within"]

_EXACT: Final = 3
"""All sums of so many levels are looked at; entries beyond them have the largest level."""


@attrs.frozen(kw_only=True, eq=False)
class Split:
    """Magnitudes of shape S by several masks each."""

    codes: Codes
    """(*S, most_entries): those used first, then 0."""
    used: NDArray[np.int64]
    """S: how many entries each takes. 0: lost, or no connection."""
    realised: Float
    """S: what they sum up to, in the unit of the magnitudes."""


def split(magnitudes: ArrayLike, base: ArrayLike, most_entries: int, *, tolerance: float = 0.0) -> Split:
    """As few entries per magnitude as come within the tolerance, an absolute error; else as few as come nearest.

    Exact up to three entries; of more, all but three have the largest level. One entry is what `refit` gives.

    ConfigError, with every problem, for magnitudes, base values (4,) or a tolerance that are negative or not finite,
    and for a number of entries outside 1..64.
    """
    wanted, values = magnitudes_of(magnitudes), magnitudes_of(base, "base values")
    problems = []
    if values.shape != (4,):
        problems.append(Problem("wrong shape", "base values", value=values.shape, limit=(4,)))
    if most_entries not in range(1, CAM_ENTRIES + 1):
        problems.append(Problem("no such number", "most_entries", value=most_entries, limit=f"1..{CAM_ENTRIES}"))
    if not (np.isfinite(tolerance) and tolerance >= 0):
        problems.append(Problem("no such error", "tolerance", value=tolerance, limit="0 or more"))
    if problems:
        raise ConfigError("connections that cannot be split", problems=problems)
    flat = wanted.ravel()
    codes = np.zeros((flat.size, most_entries), np.uint8)
    codes[:, 0] = nearest_codes(values, flat)
    level = levels_of(values)
    error = np.abs(level[codes[:, 0]] - flat)
    largest = int(nearest_codes(values, level[-1:])[0])
    for entries in range(2, most_entries + 1):
        open_ = np.flatnonzero(error > tolerance)
        full, free = max(entries - _EXACT, 0), min(entries, _EXACT)
        found = _nearest(level, flat[open_] - full * level[largest], free)
        made = full * level[largest] + level[found].sum(axis=1)
        # an entry more must be worth it: rounding errors are not
        better = np.abs(made - flat[open_]) < error[open_] - 1e-12 * level[largest]
        rows = open_[better]
        codes[rows] = 0
        codes[rows, :full] = largest
        codes[rows, full:entries] = found[better]
        error[rows] = np.abs(made - flat[open_])[better]
    codes.sort(axis=1)
    codes = codes[:, ::-1]
    return Split(
        codes=np.ascontiguousarray(codes).reshape(*wanted.shape, most_entries),
        used=(codes > 0).sum(axis=1).reshape(wanted.shape),
        realised=level[codes].sum(axis=1).reshape(wanted.shape),
    )


def within(codes: Codes, magnitudes: Float, base: Float, target: NDArray[np.int64], room: NDArray[np.int64]) -> Codes:
    """The same codes (N, k), but no more entries of a target than it has room for, if one for each is not too many.

    target: (N,) of each connection. room: (T,) entries of each target. Those connections get along with one entry that
    gain least by more.
    """
    level, made = levels_of(base), codes.copy()
    used, single = (codes > 0).sum(axis=1), nearest_codes(base, magnitudes)
    gain = np.abs(level[single] - magnitudes) - np.abs(level[codes].sum(axis=1) - magnitudes)
    excess = np.bincount(target, used, minlength=room.size) - room
    for crowded in np.flatnonzero(excess > 0).tolist():
        mine = np.flatnonzero((target == crowded) & (used > 1))
        order = mine[np.argsort(gain[mine], kind="stable")]
        freed = np.cumsum(used[order] - (single[order] > 0))
        chosen = order[: int(np.searchsorted(freed, excess[crowded])) + 1]
        made[chosen] = 0
        made[chosen, 0] = single[chosen]
    return made


def _nearest(level: Float, wanted: Float, entries: int) -> NDArray[np.uint8]:
    """(N, entries): the codes whose levels sum up nearest to each wanted magnitude; the larger sum of two as near."""
    sets = np.array(list(combinations_with_replacement(range(LEVELS), entries)), np.uint8)
    rising, place = np.unique(level[sets].sum(axis=1), return_index=True)
    middle = rising[:-1] + np.diff(rising) / 2
    found: NDArray[np.uint8] = sets[place[np.searchsorted(middle, wanted, side="right")]]
    return found
