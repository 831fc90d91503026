"""What one comparison of a replay with a golden file found."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np


@attrs.frozen
class Comparison:
    """what was compared, how many values, and how many of them are equal (or within `tolerance`)."""

    what: str
    values: int
    equal: int
    tolerance: float = 0.0

    @property
    def ok(self) -> bool:
        return self.values == self.equal


class UnreadableError(Exception):
    """The file is in no format that can be replayed."""


def compare(what: str, got: Any, wanted: Any, tolerance: float = 0.0) -> Comparison:
    """Element by element; arrays of different shape have nothing in common."""
    a, b = np.asarray(got), np.asarray(wanted)
    if a.shape != b.shape:
        return Comparison(f"{what} (shape {a.shape}, golden {b.shape})", max(a.size, b.size, 1), 0, tolerance)
    if a.dtype.names or b.dtype.names:
        same = np.ones(a.shape, bool)
        for name in b.dtype.names or ():
            same &= a[name] == b[name]
    elif tolerance:
        same = np.isclose(a, b, rtol=tolerance, atol=tolerance)
    else:
        same = a == b
    return Comparison(what, int(a.size), int(np.count_nonzero(same)), tolerance)
