"""A heap of items by time and then by number, whose times change: neurons and buses of event-exact emulators."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._jit import njit, njit_inlined

F64 = NDArray[np.float64]


@njit_inlined
def before(when: F64, a: int, b: int) -> bool:
    """Whether a comes first."""
    return when[a] < when[b] or (when[a] == when[b] and a < b)


@njit
def sift(heap: NDArray[Any], place: NDArray[Any], when: F64, item: int) -> None:
    """Move an item whose time has changed to its place. heap: items; place: where each item is in it; all (n,)."""
    at = place[item]
    while at > 0:
        above = (at - 1) >> 1
        if not before(when, item, heap[above]):
            break
        heap[at] = heap[above]
        place[heap[at]] = at
        at = above
    while True:
        below = 2 * at + 1
        if below >= heap.size:
            break
        if below + 1 < heap.size and before(when, heap[below + 1], heap[below]):
            below += 1
        if not before(when, heap[below], item):
            break
        heap[at] = heap[below]
        place[heap[at]] = at
        at = below
    heap[at] = item
    place[item] = at
