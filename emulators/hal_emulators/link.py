"""A link that takes events one after another, with a queue of limited length; what finds it full is lost."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._jit import njit

__all__ = ["Link", "Passed"]


@attrs.frozen(kw_only=True, eq=False)
class Passed:
    """What became of events, (m,) each. t: when they are through, s; kept: whether they are."""

    t: NDArray[np.float64]
    kept: NDArray[np.bool_]


class Link:
    """Times go on from call to call: what is under way keeps later events waiting."""

    def __init__(self, service_s: float, capacity: int) -> None:
        """service_s: that one event takes. capacity: events that can wait besides the one under way. ValueError."""
        if not (0 <= service_s < np.inf) or capacity < 0:
            raise ValueError(f"service_s is {service_s} and capacity {capacity}; give 0 or more, finite")
        self.service_s, self.capacity = service_s, capacity
        self.reset()

    def reset(self) -> None:
        """Nothing under way."""
        self._free = -np.inf

    def send(self, t: ArrayLike) -> Passed:
        """Events at these times, s, non-decreasing and not before those of the last call. ValueError for others."""
        times = np.ascontiguousarray(t, np.float64)
        if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) < 0).any():
            raise ValueError("times must be finite, in one dimension, and must not decrease")
        out, kept = np.empty_like(times), np.empty(times.size, np.bool_)
        self._free = _send(times, self._free, self.service_s, float(self.capacity), out, kept)
        return Passed(t=out, kept=kept)


@njit
def _send(
    t: NDArray[np.float64],
    free: float,
    service: float,
    capacity: float,
    out: NDArray[np.float64],
    kept: NDArray[np.bool_],
) -> float:
    for k in range(t.size):
        start = max(t[k], free)
        # one is under way, and each that waits takes one service
        kept[k] = start - t[k] <= (capacity + 1.0) * service * (1.0 + 1e-9)
        out[k] = start + service if kept[k] else t[k]
        if kept[k]:
            free = out[k]
    return free
