"""All spikes of a batch in one pass each: arrays in, arrays filled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

I64 = NDArray[np.int64]
_compiled: Any = njit(cache=True, nogil=True)


def _tally(splits: I64, source: I64, core: I64, fan_out: I64, events_out: I64, synops: I64) -> None:
    for b in range(splits.size - 1):
        for k in range(splits[b], splits[b + 1]):
            n = source[k]
            events_out[b, core[n]] += 1
            for c in range(fan_out.shape[1]):
                synops[b, c] += fan_out[n, c]


tally: Any = _compiled(_tally)
"""Add events of sources, (k,), those of sample b at splits[b]:splits[b + 1], to what each core, (n,), sends and to what
each is met by, fan_out (n, cores); both (samples, cores)."""


def _count(splits: I64, source: I64, place: I64, ends: I64) -> int:
    n = 0
    for b in range(splits.size - 1):
        for k in range(splits[b], splits[b + 1]):
            n += place[source[k]] >= 0
        ends[b + 1] = n
    return n


count: Any = _compiled(_count)
"""How many events have a source whose place, (n,), is 0 or more, and where samples end among them, (samples + 1,)."""


def _write(source: I64, place: I64, stamp: I64, t: I64, index: NDArray[np.uint32]) -> None:
    n = 0
    for k in range(source.size):
        at = place[source[k]]
        if at >= 0:
            t[n], index[n] = stamp[k], at
            n += 1


write: Any = _compiled(_write)
"""Stamps, and places as indices, of the events that `count` counts."""
