"""Checks and bookkeeping of the rows that a device puts out, shared by every kind of recorder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal.errors import ConfigError, Problem
from hal.events import I64, MAX_REPORTED, Probe
from hal.store.manifest import Key, RunHeader, Tally


class Column:
    """Bookkeeping of one recorded column: what may come in, and how it came."""

    __slots__ = ("disorder", "dtype", "key", "last", "repeats", "rows", "size")

    def __init__(self, key: Key, size: int) -> None:
        self.key = key
        self.size = size  # values per row, or neurons; -1 where the first row will tell
        self.dtype: np.dtype[Any] | None = None  # of values, once there are some
        self.rows = self.disorder = self.repeats = 0
        self.last = -1

    def accept(self, t: I64) -> None:
        """Count rows, those before the row above, and those at the time of the row above."""
        before = t[:-1]
        first = int(t[0])
        self.disorder += int(np.count_nonzero(t[1:] < before)) + (first < self.last)
        self.repeats += int(np.count_nonzero(t[1:] == before)) + (first == self.last)
        self.rows += len(t)
        self.last = int(t[-1])

    @property
    def tally(self) -> Tally:
        """How it was written so far."""
        return Tally(self.rows, self.disorder, self.repeats)


def size(shape: Sequence[int]) -> int:
    """Number of elements of a shape."""
    return math.prod(shape)


def trace_width(header: RunHeader, probe: Probe) -> int:
    """Values per row of a trace; -1 where only the first row will tell."""
    if probe.indices is not None:
        return len(probe.indices)
    shape = header.nodes.get(probe.node, header.signals.get(probe.node))
    return -1 if shape is None else size(shape)


def integers(what: str, where: str, values: ArrayLike) -> NDArray[Any]:
    """A one-dimensional integer array, as it is."""
    array = np.asarray(values)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise ConfigError(
            f"{where}: {what} must be a one-dimensional integer array", dtype=str(array.dtype), shape=array.shape
        )
    return array


def check_range(where: str, values: NDArray[Any], limit: int, meaning: str) -> None:
    """Values are in [0, limit); otherwise ConfigError with the first bad rows."""
    if int(values.min()) >= 0 and int(values.max()) < limit:
        return
    rows = np.flatnonzero((values < 0) | (values >= limit))
    problems = [
        Problem(f"outside the {meaning}", f"{where}, row {row}", value=int(values[row]), limit=f"0..{limit - 1}")
        for row in rows[:MAX_REPORTED]
    ]
    if len(rows) > MAX_REPORTED:
        problems.append(Problem(f"outside the {meaning}: {len(rows) - MAX_REPORTED} more rows", where))
    raise ConfigError("what the device put out cannot be recorded", problems=problems)
