"""Where the search for base values starts: many places, of several kinds, the same for the same seed.

No kind is best for all: what finds the best base values of 12 magnitudes seldom finds those of 12,000.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

__all__ = ["hops", "starts", "subset_sums"]

Float = NDArray[np.float64]

_MANY = 8  # different non-zero masks among which there are always four that are independent


def starts(rising: Float, amount: int, rng: np.random.Generator) -> Float:
    """About `amount` starts (S, 4) for magnitudes in rising order; the first is the uniform 4-bit one."""
    largest, n = rising[-1], amount // 5
    ratios = 1.0 + 2.0 * rng.random((n, 3))
    geometric = np.cumprod(np.concatenate([np.ones((n, 1)), ratios], axis=1), axis=1)
    drawn = np.sort(rising[(rng.random((n, 4)) * rising.size).astype(np.int64)], axis=1)
    kinds = (
        largest * np.array([[1.0, 2.0, 4.0, 8.0]]) / 15.0,
        _summing_up(geometric, largest, rng),
        _summing_up(rng.random((n, 4)), largest, rng),
        largest * rng.random((n, 4)),
        largest * 10.0 ** (-3.0 * rng.random((n, 4))),
        np.diff(drawn, axis=1, prepend=0.0),
    )
    return np.concatenate(kinds)


def hops(bases: Float, each: int, rng: np.random.Generator) -> Float:
    """From each of (B, 4) so many starts nearby: half a little off, half with one value drawn anew."""
    near = np.repeat(bases, each, axis=0)
    largest = near.sum(axis=1)
    off = near * np.exp(0.5 * (rng.random(near.shape) - 0.5))
    anew = near.copy()
    anew[np.arange(len(near)), (4 * rng.random(len(near))).astype(np.int64)] = largest * rng.random(len(near)) ** 2
    made: Float = np.where((np.arange(len(near)) % 2 == 0)[:, None], off, anew)
    return made


def subset_sums(rising: Float) -> Float:
    """All base values (S, 4) of which the given different magnitudes could be subset sums without error; S may be 0.

    If they are, four of them have independent masks, and inverting these gives the base values. Two different masks
    are always independent and the span of three holds at most seven, so the first two, and two of the next six, do.
    """
    quadruples = np.array([(0, 1, *two) for two in combinations(range(2, min(rising.size, _MANY)), 2)], np.int64)
    if not quadruples.size:
        return np.zeros((0, 4))
    bases = np.einsum("mij,qj->qmi", _inverses(), rising[quadruples]).reshape(-1, 4)
    tiny = 1e-9 * rising[-1]
    made: Float = np.maximum(bases[(bases >= -tiny).all(axis=1)], 0.0)
    return made


def _summing_up(bases: Float, largest: float, rng: np.random.Generator) -> Float:
    """Scaled so that each sums up to about the largest magnitude."""
    wanted = largest * (0.3 + rng.random((len(bases), 1)))
    made: Float = bases * wanted / bases.sum(axis=1, keepdims=True)
    return made


@cache
def _inverses() -> Float:
    """(M, 4, 4): inverses of the binary matrices, one of each set that differ in the order of columns."""
    bits = (np.arange(16)[:, None] >> np.arange(4)) & 1
    matrices = bits[np.array(list(permutations(range(1, 16), 4)))]
    columns = (matrices * (1 << np.arange(4))[:, None]).sum(axis=1)
    matrices = matrices[(np.diff(columns, axis=1) > 0).all(axis=1)].astype(np.float64)
    inverses: Float = np.linalg.inv(matrices[np.abs(np.linalg.det(matrices)) > 0.5])
    return inverses
