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
        self._free = self._last = -np.inf

    def send(self, t: ArrayLike) -> Passed:
        """Events at these times, s, non-decreasing and not before those of the last call. ValueError for others."""
        times = _checked(t, np.array([0, np.size(t)]), self._last)
        self._last = times[-1] if times.size else self._last
        out, kept = np.empty_like(times), np.empty(times.size, np.bool_)
        self._free = _send(times, self._free, self.service_s, float(self.capacity), out, kept)
        return Passed(t=out, kept=kept)

    def alone(self, t: ArrayLike, splits: ArrayLike) -> Passed:
        """Batches of events, batch b from splits[b] to splits[b + 1], each on a link of its own that nothing is on."""
        ends = np.asarray(splits, np.int64)
        times = _checked(t, ends)
        if not self.service_s:
            return Passed(t=times, kept=np.ones(times.size, np.bool_))
        out, kept = np.empty_like(times), np.empty(times.size, np.bool_)
        _alone(times, ends, self.service_s, float(self.capacity), out, kept)
        return Passed(t=out, kept=kept)


def _checked(t: ArrayLike, splits: NDArray[np.int64], last: float = -np.inf) -> NDArray[np.float64]:
    times = np.ascontiguousarray(t, np.float64)
    if splits.ndim != 1 or not splits.size or splits[0] != 0 or splits[-1] != times.size or (np.diff(splits) < 0).any():
        raise ValueError(f"splits must not decrease and must go from 0 to the number of events, {times.size}")
    fine = times.ndim == 1 and bool(np.isfinite(times).all())
    falls = np.flatnonzero(times[1:] < times[:-1]) + 1 if fine else splits
    if not fine or (falls.size and not np.isin(falls, splits).all()):
        raise ValueError("times must be finite, in one dimension, and must not decrease")
    if times.size and times[0] < last:
        raise ValueError(f"the first time is {times[0]}, before the last one of the call before, {last}")
    return times


@njit
def _alone(
    t: NDArray[np.float64],
    splits: NDArray[np.int64],
    service: float,
    capacity: float,
    out: NDArray[np.float64],
    kept: NDArray[np.bool_],
) -> None:
    for b in range(splits.size - 1):
        part = slice(splits[b], splits[b + 1])
        _send(t[part], -np.inf, service, capacity, out[part], kept[part])


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
        # what is under way takes at most one service more, and each before it that waits a whole one; a hundredth of
        # one more, since times are rounded
        kept[k] = start - t[k] <= (capacity + 0.01) * service
        out[k] = start + service if kept[k] else t[k]
        if kept[k]:
            free = out[k]
    return free
