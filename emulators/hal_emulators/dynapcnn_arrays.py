"""Checks of the event arrays that the blocks beside the DynapCNN cores take."""

from __future__ import annotations

from math import prod
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_TIMES", "positions", "times"]

T = TypeVar("T", np.int64, np.uint32)

NO_TIMES = np.empty(0, np.int64)


def times(name: str, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """`values` as the kernels take them; ValueError unless one-dimensional int64 and non-decreasing."""
    if values.dtype != np.int64 or values.ndim != 1:
        raise ValueError(f"{name} needs a one-dimensional int64 array, got {values.dtype} {values.shape}")
    falls = values[1:] < values[:-1]
    if falls.size and bool(falls.any()):
        first = int(np.argmax(falls)) + 1
        raise ValueError(f"{name} decreases at position {first}: {values[first - 1]} then {values[first]}")
    return _plain(values)


def positions(values: NDArray[np.uint32], t: NDArray[np.int64], shape: tuple[int, int, int]) -> NDArray[np.uint32]:
    """`values` as the kernels take them; ValueError unless one uint32 per time, each a flat position in `shape`."""
    if values.dtype != np.uint32 or values.shape != t.shape:
        raise ValueError(f"index needs dtype uint32 and shape {t.shape}, got {values.dtype} {values.shape}")
    if values.size and int(values.max()) >= prod(shape):
        raise ValueError(f"index {values.max()} lies outside the {prod(shape)} positions of shape {shape}")
    return _plain(values)


def _plain(values: NDArray[T]) -> NDArray[T]:
    """`values` contiguous, aligned and writable, copied if need be: every other kind would be compiled for anew."""
    if values.flags.carray:
        return values
    return np.require(values, requirements=["C", "A", "W"])
