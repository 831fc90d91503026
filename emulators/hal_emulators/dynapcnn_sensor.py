"""The sensor block of a Speck chip: pre-processing of the events of the 128 x 128 DVS, and the clock derived from them.

Order (Speck Dev Kit Datasheet 3.2.3; sinabs 3.1.3 gives the same): merge or select polarities, sum pooling by address,
region of interest (shifted to 0, 0), mirror within the region, swap of x and y. Every event is handled by itself, so
there is no state. The noise filter is in `dynapcnn_filter`; it works on sensor pixels and comes before this block.

Established: pooling 1, 2 or 4 for each axis (datasheet 3.2.3.2); the region is written in pooled coordinates with an
inclusive last corner (sinabs 3.1.3; the vendor's notebook on the DVS gives 31..94 for 64 pixels. The datasheet's
32..96 for 64 pixels is one off); one tick of the internal slow clock for 2^n raw sensor events, n = 14..17 (datasheet
3.2.6.3).

Assumptions, not published:

- A single polarity keeps its channel, so `out_shape` has two features unless polarities are merged. That is how event
  addresses pass through the other stages, and sinabs knows no other count.
- on_channel and off_channel select also when polarities are merged (public code for the chip sets both).
- A region beyond the pooled map is refused: where its mirror image would lie is not known.
- The tick of the internal clock falls on the 2^n-th event. As every tick acts before events of its own time, it acts
  before that event.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

from .dynapcnn_arrays import positions, times

__all__ = ["CLOCK_DIVIDERS", "SENSOR_SHAPE", "Sensor", "SensorParams", "SensorResult", "internal_ticks"]

SENSOR_SHAPE = (2, 128, 128)
"""(polarity, y, x) of the raw events; polarity 1 is "on". Datasheet 2.2."""

CLOCK_DIVIDERS = range(14, 18)
"""Legal values of internal_slow_clk_divider; datasheet 3.2.6.3."""

_POOLINGS = (1, 2, 4)
_WRONG_POLARITY, _OUTSIDE = -2, -1  # what the table holds instead of an output position


@attrs.frozen(kw_only=True)
class SensorParams:
    """Registers of the pre-processing block; pairs are (y, x). ValueError names everything that is wrong."""

    merge: bool = False
    """Both polarities into one channel."""
    on_channel: bool = True
    """Pass events of polarity 1."""
    off_channel: bool = True
    """Pass events of polarity 0."""
    pooling: tuple[int, int] = (1, 1)
    origin: tuple[int, int] = (0, 0)
    """First row and column of the region, in pooled coordinates."""
    cut: tuple[int, int] = attrs.field()
    """Last row and column of the region, inclusive, in pooled coordinates; the whole map if not given."""
    mirror: tuple[bool, bool] = (False, False)
    """Reverse the rows (y), the columns (x)."""
    mirror_diagonal: bool = False
    """Swap x and y, after mirroring."""

    @cut.default
    def _last_pixel(self) -> tuple[int, int]:
        if any(size not in _POOLINGS for size in self.pooling):
            return self.origin  # refused anyway, for the pooling
        rows, columns = self._map
        return rows - 1, columns - 1

    def __attrs_post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))

    def _problems(self) -> Iterator[str]:
        for axis, pool, first, last, size in zip(
            "yx", self.pooling, self.origin, self.cut, SENSOR_SHAPE[1:], strict=True
        ):
            if pool not in _POOLINGS:
                yield f"pooling.{axis} = {pool} is none of 1, 2, 4"
            elif last >= size // pool:
                yield (
                    f"cut.{axis} = {last} lies beyond the last pixel {size // pool - 1} of the sensor pooled by {pool}"
                    "; cut is inclusive and counts pooled pixels"
                )
            if first < 0:
                yield f"origin.{axis} = {first} is negative"
            if last < first:
                yield f"cut.{axis} = {last} comes before origin.{axis} = {first}: the region is empty"

    @property
    def _map(self) -> tuple[int, int]:
        return SENSOR_SHAPE[1] // self.pooling[0], SENSOR_SHAPE[2] // self.pooling[1]

    @property
    def region(self) -> tuple[int, int]:
        """(rows, columns) of the region, before x and y are swapped."""
        return self.cut[0] - self.origin[0] + 1, self.cut[1] - self.origin[1] + 1

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """(features, y, x) of the block's output: 1 feature if polarities are merged, else 2."""
        rows, columns = self.region
        return (1 if self.merge else 2, *((columns, rows) if self.mirror_diagonal else (rows, columns)))


@attrs.frozen(kw_only=True, eq=False)
class SensorResult:
    """Events that leave the block; events in = kept.size + removed_polarity + removed_region."""

    t: NDArray[np.int64]
    index: NDArray[np.uint32]
    """Flat position in out_shape, (p*H + y)*W + x."""
    kept: NDArray[np.int64]
    """Positions of these events among those that came in."""
    removed_polarity: int
    removed_region: int
    """Events of a passed polarity outside the region."""


class Sensor:
    """The pre-processing block. Has no state: chunks of events give the same as all at once."""

    def __init__(self, params: SensorParams) -> None:
        """Tabulate where an event of each pixel and polarity goes."""
        self.params = params
        self._table = _destinations(params)

    def process(self, t: NDArray[np.int64], index: NDArray[np.uint32]) -> SensorResult:
        """Pass events through the block.

        `t` int64 (n,), non-decreasing, any unit; `index` uint32 (n,), flat (p*128 + y)*128 + x. ValueError for other
        arrays.
        """
        t = times("t", t)
        target = self._table[positions(index, t, SENSOR_SHAPE)]
        kept = np.flatnonzero(target >= 0)
        return SensorResult(
            t=t[kept],
            index=target[kept].astype(np.uint32),
            kept=kept,
            removed_polarity=int(np.count_nonzero(target == _WRONG_POLARITY)),
            removed_region=int(np.count_nonzero(target == _OUTSIDE)),
        )


def _destinations(params: SensorParams) -> NDArray[np.int32]:
    """For each flat sensor position the flat output position, or which stage removes its events."""
    p, y, x = np.indices(SENSOR_SHAPE, np.int32)
    passes = np.array([params.off_channel, params.on_channel])[p]
    feature = np.zeros_like(p) if params.merge else p
    y, x = y // params.pooling[0] - params.origin[0], x // params.pooling[1] - params.origin[1]
    rows, columns = params.region
    inside = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
    if params.mirror[0]:
        y = rows - 1 - y
    if params.mirror[1]:
        x = columns - 1 - x
    if params.mirror_diagonal:
        y, x = x, y
    _, height, width = params.out_shape
    target = (feature * height + y) * width + x
    return np.where(passes, np.where(inside, target, _OUTSIDE), _WRONG_POLARITY).astype(np.int32).ravel()


def internal_ticks(t: NDArray[np.int64], divider: int, carry: int = 0) -> tuple[NDArray[np.int64], int]:
    """Ticks of the internal slow clock, and the new `carry`: raw sensor events counted since the last tick.

    `t` int64 (n,), non-decreasing: times of the raw events, before filter and pre-processing. `divider` 14..17: one
    tick for 2^divider events, at the time of the last of them. ValueError for other arguments.
    """
    if divider not in CLOCK_DIVIDERS:
        raise ValueError(f"internal_slow_clk_divider = {divider} is not within 14..17")
    period = 1 << divider
    if not 0 <= carry < period:
        raise ValueError(f"carry = {carry} is not within 0..{period - 1}, the counts below 2^{divider}")
    t = times("t", t)
    return t[period - 1 - carry :: period].copy(), (carry + t.size) % period
