"""The noise filter of the sensor of a Speck chip: one 16-bit time stamp for each of the 128 x 128 pixels.

A 16-bit counter counts the ticks of the slow clock and wraps. Whenever an event arrives, the stamps decide whether it
passes, and then its pixel's stamp becomes the present count, whether the event passed or not. With age = (count -
stamp) modulo 65536 (Speck Dev Kit Datasheet 3.2.3.5 and tables 2 and 3):

- ``noise`` (shot noise): passes if a pixel of the window around it has an age below the threshold. The window has 1 to
  15 rows and columns.
- ``hot_pixel``: the noise filter with the hot-pixel filter.
- ``low_pass`` (flicker): passes if the age of its own pixel is not below the threshold, that is if the last event of
  the pixel is at least `threshold` counts old. The window is written as 0.

The modes exclude each other. Because of the wrap a pixel that is silent for 65536 counts looks as if it had just fired.

Assumptions, not published:

- In ``noise`` the event's own pixel belongs to the window: else a window of 1 x 1, which is legal, could pass nothing,
  and a separate hot-pixel mode would be of no use. In ``hot_pixel`` the own pixel's past does not count, so a pixel
  that fires alone, however fast, supports only events of its neighbours.
- The stamp knows no polarity: the memory has one word for each pixel.
- The filter sees sensor pixels, before polarity selection, pooling, region and mirror: the memory has a word for each
  sensor pixel, and windows are given in pixels. The datasheet describes it last.
- A window of even size has one row or column more before the pixel than after it; at the border it is cut off.
- After reset the count is 0 and every pixel has the age `start_age`; the default, half the range, is neither recent
  nor about to wrap.
- A tick acts before events of its own time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ._jit import njit
from .dynapcnn_arrays import NO_TIMES, positions, times
from .dynapcnn_sensor import SENSOR_SHAPE

__all__ = ["EventFilter", "FilterMode", "FilterParams", "FilterResult"]

FilterMode = Literal["noise", "hot_pixel", "low_pass"]

_MODES = ("noise", "hot_pixel", "low_pass")
_WINDOW_MAX = 15
_COUNT_MAX = 65535  # 16-bit words and counter
_HEIGHT, _WIDTH = SENSOR_SHAPE[1:]


@attrs.frozen(kw_only=True)
class FilterParams:
    """Registers of the filter. ValueError names everything that is wrong."""

    mode: FilterMode = "noise"
    window: tuple[int, int] = attrs.field()
    """(rows, columns) around the event; 1 x 1 if not given, and 0 x 0 in mode ``low_pass``."""
    threshold: int
    """Slow-clock counts."""
    start_age: int = 32768
    """Age of every pixel after reset, in counts."""

    @window.default
    def _smallest(self) -> tuple[int, int]:
        return (0, 0) if self.mode == "low_pass" else (1, 1)

    def __attrs_post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))

    def _problems(self) -> Iterator[str]:
        if self.mode not in _MODES:
            yield f"mode = {self.mode!r} is none of {', '.join(_MODES)}"
        low, high = (0, 0) if self.mode == "low_pass" else (1, _WINDOW_MAX)
        for axis, size in zip("yx", self.window, strict=True):
            if not low <= size <= high:
                yield f"filter_size.{axis} = {size} is not within {low}..{high} in mode {self.mode}"
        for name, value in (("threshold", self.threshold), ("start_age", self.start_age)):
            if not 0 <= value <= _COUNT_MAX:
                yield f"{name} = {value} is not within 0..{_COUNT_MAX}"


@attrs.frozen(kw_only=True, eq=False)
class FilterResult:
    """Events that passed; events in = kept.size + removed."""

    t: NDArray[np.int64]
    index: NDArray[np.uint32]
    kept: NDArray[np.int64]
    """Positions of these events among those that came in."""
    removed: int


class EventFilter:
    """The filter with its memory; state carries over from run to run."""

    def __init__(self, params: FilterParams) -> None:
        self.params = params
        self._stamps = np.empty((_HEIGHT, _WIDTH), np.uint16)
        self.reset()

    @property
    def count(self) -> int:
        """Slow-clock count, 0..65535."""
        return self._count

    def stamps(self) -> NDArray[np.uint16]:
        """Copy of the memory, (128, 128), [y][x]."""
        return self._stamps.copy()

    def reset(self) -> None:
        """Count 0, every pixel `start_age` counts old."""
        self._count = 0
        self._stamps[:] = -self.params.start_age & _COUNT_MAX

    def run(self, t: NDArray[np.int64], index: NDArray[np.uint32], ticks: NDArray[np.int64] = NO_TIMES) -> FilterResult:
        """Filter events in list order; a tick acts before events of the same time.

        `t` int64 (n,), non-decreasing, any unit; `index` uint32 (n,), flat (p*128 + y)*128 + x; `ticks` int64 (m,),
        non-decreasing. ValueError, before anything runs, for other arrays.
        """
        t, ticks = times("t", t), times("ticks", ticks)
        index = positions(index, t, SENSOR_SHAPE)
        passed = np.empty(t.size, np.bool_)
        rows, columns = self.params.window
        count = _filter(
            self.params.mode == "low_pass", self.params.mode == "noise", rows, columns, self.params.threshold,
            self._stamps, self._count, t, index, ticks, passed,
        )  # fmt: skip
        self._count = int(count)
        kept = np.flatnonzero(passed)
        return FilterResult(t=t[kept], index=index[kept], kept=kept, removed=t.size - kept.size)


@njit
def _supported(
    y: int, x: int, own: bool, rows: int, columns: int, threshold: int, stamps: NDArray[np.uint16], count: int
) -> bool:
    """True if a pixel in the window around (y, x) has an age below the threshold; (y, x) itself only if `own`."""
    top, left = y - rows // 2, x - columns // 2
    for row in range(max(top, 0), min(top + rows, _HEIGHT)):
        for column in range(max(left, 0), min(left + columns, _WIDTH)):
            if (own or row != y or column != x) and (count - np.int64(stamps[row, column])) & _COUNT_MAX < threshold:
                return True
    return False


@njit
def _filter(
    low_pass: bool,
    own: bool,
    rows: int,
    columns: int,
    threshold: int,
    stamps: NDArray[np.uint16],
    count: int,
    t: NDArray[np.int64],
    index: NDArray[np.uint32],
    ticks: NDArray[np.int64],
    passed: NDArray[np.bool_],
) -> int:
    """Decide on every event, filling `passed` and renewing `stamps`; returns the count after the last tick."""
    tick = 0
    for event in range(len(t)):
        while tick < len(ticks) and ticks[tick] <= t[event]:
            count = (count + 1) & _COUNT_MAX
            tick += 1
        pixel = np.int64(index[event]) % (_HEIGHT * _WIDTH)
        y, x = int(pixel // _WIDTH), int(pixel % _WIDTH)
        if low_pass:
            passed[event] = (count - np.int64(stamps[y, x])) & _COUNT_MAX >= threshold
        else:
            passed[event] = _supported(y, x, own, rows, columns, threshold, stamps, count)
        stamps[y, x] = count
    return (count + len(ticks) - tick) & _COUNT_MAX
