"""Weights as synapses hold them: 6 bit and unsigned, the sign being the row's; more than 63 takes several rows.

Rounding rules: golden `weights.npz` (jaxsnn 0.3.0, run; hxtorch 3bfc7aa, as read). Splitting: grenade, as read.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal_brainscales2.limits import MAX_WEIGHT

Ints = NDArray[np.int64]
Rounding = Literal["even", "away"]
ROUNDINGS: tuple[Rounding, ...] = ("even", "away")


@attrs.frozen(eq=False)
class Quantised:
    """hw: integers in the shape of the weights.

    over: which would be other integers without the limit, clipped: how many; zeroed: how many others than 0 became 0.
    """

    hw: Ints
    over: NDArray[np.bool_]
    zeroed: int

    @property
    def clipped(self) -> int:
        """How many are at the limit that would lie beyond it."""
        return int(np.count_nonzero(self.over))


@attrs.frozen(eq=False)
class Split:
    """rows: (..., copies, targets) in -63..63. left: (..., targets) what found no room. needed: rows of the largest."""

    rows: Ints
    left: Ints
    needed: int

    @property
    def problems(self) -> tuple[str, ...]:
        """Each weight that needs more rows than there are."""
        copies = self.rows.shape[-2]
        found = []
        for place in np.argwhere(self.left):
            at = tuple(place.tolist())
            total = int(self.rows[(*at[:-1], slice(None), at[-1])].sum() + self.left[at])
            found.append(
                f"weight {total} at {list(at)}: {copies} rows of {MAX_WEIGHT} hold {copies * MAX_WEIGHT}, "
                f"{abs(int(self.left[at]))} is left; give it {rows_needed(total)} rows"
            )
        return tuple(found)


def quantise(weights: ArrayLike, scale: float, rounding: Rounding = "even", copies: int = 1) -> Quantised:
    """Integer weights of weights times scale, clipped to +-63 for each of `copies` rows.

    rounding of halves: "even" is jaxsnn's, "away" from zero is hxtorch's (a half is added to the magnitude and the
    rest cut off, in the precision of the weights). Arithmetic is in the precision of the weights. Raises ValueError
    where a weight is not finite, the scale is not positive or there are no copies.
    """
    values = np.asarray(weights)
    values = values if np.issubdtype(values.dtype, np.floating) else values.astype(np.float64)
    problems = []
    bad = np.argwhere(~np.isfinite(values))
    if bad.size:
        problems.append(f"weight at {bad[0].tolist()} is not finite ({len(bad)} such)")
    if not (np.isfinite(scale) and scale > 0):
        problems.append(f"scale is {scale}; give a positive number")
    if rounding not in ROUNDINGS:
        problems.append(f"rounding is {rounding!r}; give one of {', '.join(ROUNDINGS)}")
    if copies < 1:
        problems.append(f"copies is {copies}; give 1 or more")
    if problems:
        raise ValueError("; ".join(problems))
    limit = values.dtype.type(MAX_WEIGHT * copies)
    scaled = values * values.dtype.type(scale)
    hw = _rounded(np.clip(scaled, -limit, limit), rounding)
    over = np.abs(_rounded(scaled, rounding)) > limit
    hw = np.clip(hw, -limit, limit).astype(np.int64)
    return Quantised(hw, over, int(np.count_nonzero((hw == 0) & (values != 0))))


def _rounded(values: Any, rounding: Rounding) -> Any:
    if rounding == "even":
        return np.rint(values)
    return np.trunc(values + np.copysign(values.dtype.type(0.5), values))


def rows_needed(weight: Any) -> Any:
    """Rows of a source that hold an integer weight: ceil(|w| / 63), 0 for none."""
    return -(-abs(weight) // MAX_WEIGHT)


def split(weights: ArrayLike, copies: int | None = None) -> Split:
    """Integer weights (..., targets) over rows of the same source: full rows of 63, then the remainder, then zeros.

    copies: rows of each source; as many as the largest needs where not given. Raises ValueError where weights are not
    integers, or copies is below 1.
    """
    total = np.asarray(weights)
    if not np.issubdtype(total.dtype, np.integer) or not total.ndim:
        raise ValueError(f"weights are {total.dtype} of shape {total.shape}; give integers, one for each target")
    if copies is not None and copies < 1:
        raise ValueError(f"copies is {copies}; give 1 or more")
    size = np.abs(total.astype(np.int64))
    needed = max(int(rows_needed(size).max(initial=0)), 1)
    used = needed if copies is None else copies
    before = MAX_WEIGHT * np.arange(used)[:, None]
    rows = np.clip(size[..., None, :] - before, 0, MAX_WEIGHT)
    left = size - rows.sum(axis=-2)
    sign = np.sign(total).astype(np.int64)
    return Split(rows * sign[..., None, :], left * sign, needed)
