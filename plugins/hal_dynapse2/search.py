"""The search for four base values whose 16 subset sums lie nearest to given magnitudes. Arrays in, arrays out.

For fixed base values the best mask of a magnitude is the nearest of 16 levels; for fixed masks the best base values are
four non-negative least squares. Taking turns can only get better, and stops somewhere: hence many starts. Magnitudes
are sorted and summed up once (`Sums`); a turn is then 15 binary searches, whatever their number, and exact.
"""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["LEVELS", "Sums", "improve", "levels_of", "squares"]

Float = NDArray[np.float64]

LEVELS: Final = 16
_TURNS: Final = 300


_DIRECT: Final = 256
"""Up to so many magnitudes errors are summed up one by one: differences of sums cannot tell tiny ones from none."""


@attrs.frozen(eq=False)
class Sums:
    """Different magnitudes, rising, and how often each occurs, (N,); sums over all before each place, (N + 1,)."""

    rising: Float
    often: Float
    count: Float
    first: Float
    second: Float

    @classmethod
    def of(cls, magnitudes: Float) -> Sums:
        """Of magnitudes in any order and shape."""
        rising, often = np.unique(magnitudes, return_counts=True)
        weight = often.astype(np.float64)
        sums = (np.concatenate([[0.0], np.cumsum(weight * rising**power)]) for power in (0, 1, 2))
        return cls(rising, weight, *sums)

    @property
    def square(self) -> float:
        """Sum of all squares."""
        return float(self.second[-1])


def levels_of(base: Float) -> Float:
    """(..., 16): what each mask sums up to, of base values (..., 4). Bit k selects the k-th."""
    masks = (np.arange(LEVELS)[:, None] >> np.arange(4)) & 1
    made: Float = base @ masks.T.astype(np.float64)
    return made


def improve(sums: Sums, starts: Float, turns: int = _TURNS) -> tuple[Float, Float]:
    """Base values (S, 4) that starts (S, 4) lead to in at most so many turns, and the sum of squared errors of each."""
    bases = np.ascontiguousarray(starts, np.float64).copy()
    return bases, _improve(*attrs.astuple(sums, recurse=False), bases, turns)


def squares(sums: Sums, bases: Float) -> Float:
    """(S,): sum of squared errors of base values (S, 4), every magnitude at its nearest level."""
    made: Float = _squares(*attrs.astuple(sums, recurse=False), np.ascontiguousarray(bases, np.float64))
    return made


def _order(base: Any, level: Any, mask: Any) -> None:
    """Levels in rising order, and the mask of each."""
    for m in range(16):
        value = 0.0
        for k in range(4):
            if m >> k & 1:
                value += base[k]
        at = m
        while at > 0 and level[at - 1] > value:
            level[at], mask[at] = level[at - 1], mask[at - 1]
            at -= 1
        level[at], mask[at] = value, m


def _cuts(rising: Any, level: Any, cut: Any) -> bool:
    """cut[i]: how many magnitudes lie below the middle between levels i - 1 and i. True if any of it changed."""
    changed = False
    low = 0
    for i in range(1, 16):
        middle = 0.5 * (level[i - 1] + level[i])
        high = rising.size
        at = low
        # from what it was the last time outwards: most of the time it hardly moves
        near, step = cut[i], 1
        if near >= low and near <= high:
            if near < rising.size and rising[near] < middle:
                at = near + 1
                while near + step < high and rising[near + step] < middle:
                    at = near + step + 1
                    step *= 2
                high = min(near + step, high)
            else:
                high = near
                while near - step >= at and rising[near - step] >= middle:
                    high = near - step
                    step *= 2
                at = max(near - step + 1, at)
        while at < high:
            half = (at + high) // 2
            if rising[half] < middle:
                at = half + 1
            else:
                high = half
        if at != cut[i]:
            cut[i] = at
            changed = True
        low = at
    return changed


def _solve(matrix: Any, right: Any, base: Any, work: Any) -> float:
    """Non-negative least squares: the best of the solutions on each subset of the four that has none below 0.

    Returns what it takes off the sum of squares; `base` is left as it is if nothing takes off anything.
    """
    best = 0.0
    for chosen in range(15, 0, -1):
        # a subset of one that was good cannot be better
        size = 0
        for k in range(4):
            if chosen >> k & 1:
                work[4, size] = k
                size += 1
        good = True
        for i in range(size):
            p = int(work[4, i])
            for j in range(i + 1):
                value = matrix[p, int(work[4, j])]
                for k in range(j):
                    value -= work[i, k] * work[j, k]
                if i == j:
                    if value <= 1e-12 * matrix[p, p] or value <= 0.0:
                        good = False
                        break
                    work[i, i] = value**0.5
                else:
                    work[i, j] = value / work[j, j]
            if not good:
                break
        if not good:
            continue
        for i in range(size):
            value = right[int(work[4, i])]
            for k in range(i):
                value -= work[i, k] * work[5, k]
            work[5, i] = value / work[i, i]
        gain = 0.0
        for i in range(size):
            gain += work[5, i] * work[5, i]
        if gain <= best:
            continue
        for i in range(size - 1, -1, -1):
            value = work[5, i]
            for k in range(i + 1, size):
                value -= work[k, i] * work[6, k]
            work[6, i] = value / work[i, i]
            if work[6, i] < 0.0:
                good = False
                break
        if not good:
            continue
        best = gain
        for k in range(4):
            base[k] = 0.0
        for i in range(size):
            base[int(work[4, i])] = work[6, i]
        if chosen == 15:
            break
    return best


def _improve_all(rising: Any, often: Any, count: Any, first: Any, second: Any, bases: Any, turns: int) -> Any:
    """Turns for each start, in place; the sums of squared errors."""
    level, mask, last = np.empty(16), np.empty(16, np.int64), np.empty(16, np.int64)
    cut = np.zeros(17, np.int64)
    matrix, right, work = np.empty((4, 4)), np.empty(4), np.empty((7, 4))
    error = np.empty(bases.shape[0])
    for start in range(bases.shape[0]):
        base = bases[start]
        cut[16] = rising.size
        last[:] = -1
        for turn in range(turns):
            _ordered(base, level, mask)
            changed = _cut(rising, level, cut)
            for i in range(16):
                if mask[i] != last[i]:
                    changed = True
                last[i] = mask[i]
            if turn and not changed:
                break
            matrix[:] = 0.0
            right[:] = 0.0
            for i in range(16):
                amount = count[cut[i + 1]] - count[cut[i]]
                if amount == 0:
                    continue
                total = first[cut[i + 1]] - first[cut[i]]
                for p in range(4):
                    if mask[i] >> p & 1:
                        right[p] += total
                        for q in range(p + 1):
                            if mask[i] >> q & 1:
                                matrix[p, q] += amount
            for p in range(4):
                for q in range(p):
                    matrix[q, p] = matrix[p, q]
            _solved(matrix, right, base, work)
        error[start] = _square(rising, often, count, first, second, base, level, mask, cut)
    return error


def _square_of(
    rising: Any, often: Any, count: Any, first: Any, second: Any, base: Any, level: Any, mask: Any, cut: Any
) -> float:
    """Sum of squared errors of one set of base values."""
    _ordered(base, level, mask)
    cut[16] = rising.size
    _cut(rising, level, cut)
    error = 0.0
    for i in range(16):
        if rising.size <= _DIRECT:
            for j in range(cut[i], cut[i + 1]):
                error += often[j] * (rising[j] - level[i]) ** 2
        elif cut[i + 1] > cut[i]:
            amount = count[cut[i + 1]] - count[cut[i]]
            total = first[cut[i + 1]] - first[cut[i]]
            mean = total / amount
            spread = second[cut[i + 1]] - second[cut[i]] - total * mean
            error += max(spread, 0.0) + amount * (mean - level[i]) ** 2
    return error


def _squares_of_all(rising: Any, often: Any, count: Any, first: Any, second: Any, bases: Any) -> Any:
    level, mask, cut = np.empty(16), np.empty(16, np.int64), np.zeros(17, np.int64)
    error = np.empty(bases.shape[0])
    for start in range(bases.shape[0]):
        error[start] = _square(rising, often, count, first, second, bases[start], level, mask, cut)
    return error


_ordered: Any = njit(cache=True)(_order)
_cut: Any = njit(cache=True)(_cuts)
_solved: Any = njit(cache=True)(_solve)
_square: Any = njit(cache=True)(_square_of)
_improve: Any = njit(cache=True)(_improve_all)
_squares: Any = njit(cache=True)(_squares_of_all)
