"""Spikes put in order, in place and without allocation; stretches of arrays are time, number and current."""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray

from ._jit import njit, njit_inlined

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
_NARROW = 1e-290
"""s: times so near to each other share one bucket, whose number would not be finite else."""


@njit_inlined
def later(t: float, number: int, other_t: float, other: int) -> bool:
    """Whether the first comes after the other."""
    return t > other_t or (t == other_t and number > other)


@njit
def sort(t: F64, number: I64, i: F64, spare_t: F64, spare_number: I64, spare_i: F64, buckets: I64) -> None:
    """In place, by finite time, then number. Buckets of equal width from the first to the last, then insertion."""
    n = t.size
    first, last = inf, -inf
    for k in range(n):
        first, last = min(first, t[k]), max(last, t[k])
    scale = (n - 1) / (last - first) if last - first > _NARROW else 0.0
    buckets[: n + 1] = 0
    for k in range(n):
        spare_t[k], spare_number[k], spare_i[k] = t[k], number[k], i[k]
        buckets[int((t[k] - first) * scale) + 1] += 1
    most = 0
    for k in range(n):
        most = max(most, buckets[k + 1])
        buckets[k + 1] += buckets[k]
    for k in range(n):
        bucket = int((spare_t[k] - first) * scale)
        at = buckets[bucket]
        buckets[bucket] = at + 1
        t[at], number[at], i[at] = spare_t[k], spare_number[k], spare_i[k]
    # a full bucket is brought near its order in wide strides first
    gap = 1
    while most > 16 and 3 * gap + 1 < most:
        gap = 3 * gap + 1
    while gap > 0:
        for k in range(gap, n):
            one_t, one, one_i, at = t[k], number[k], i[k], k
            while at >= gap and later(t[at - gap], number[at - gap], one_t, one):
                t[at], number[at], i[at] = t[at - gap], number[at - gap], i[at - gap]
                at -= gap
            t[at], number[at], i[at] = one_t, one, one_i
        gap //= 3


@njit
def merge(t: F64, number: I64, i: F64, cut: int, spare_t: F64, spare_number: I64, spare_i: F64) -> None:
    """Two sorted parts, before and from `cut`, become one: from the end on, as far as they overlap."""
    a, b, at = cut - 1, t.size - cut - 1, t.size - 1
    for k in range(b + 1):
        spare_t[k], spare_number[k], spare_i[k] = t[cut + k], number[cut + k], i[cut + k]
    while a >= 0 and b >= 0:
        if later(t[a], number[a], spare_t[b], spare_number[b]):
            t[at], number[at], i[at] = t[a], number[a], i[a]
            a -= 1
        else:
            t[at], number[at], i[at] = spare_t[b], spare_number[b], spare_i[b]
            b -= 1
        at -= 1
    for k in range(b + 1):
        t[k], number[k], i[k] = spare_t[k], spare_number[k], spare_i[k]
