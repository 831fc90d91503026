"""The readout block of a Speck chip: moving averages of up to 15 classes, and the most active of them.

Spikes of the last core are counted for each class in 16-bit counters. At every tick of the slow clock the counts of the
period that ends are put away, and (Speck Dev Kit Datasheet 3.2.5; vendor's notebook on the readout layer):

    average[c] = sum of the counts of the last `window` periods // window       window 1, 16 or 32
    index      = class of the largest average, 0 ("none") if all are zero; of equals the lowest
    interrupt  = average[index] > threshold, or override_threshold_max

The 21-bit word has bit 20 "data valid", bits 19:16 `index` and bits 15:0, by output_mode_sel:

- 0: off. The whole word is 0; the pins, that is `index` and `interrupt`, go on working (public code reads them so).
- 1: threshold compare, bit c is average[c] > threshold; bit 0 belongs to no class.
- 2: average of the class output_neuron_num.
- 3: average of the class `index`.

The 16 channels are addressed by x, y and feature (readout_configuration_sel, datasheet table 5): 0: 2x * 2y * 4f,
1: 2x * 4y * 2f, 2: 4x * 4y * 1f, 3: 1x * 1y * 16f. Channel i is class i + 1. On Speck 2e and 2f feature 4*i takes the
place of feature i (vendor's notebook): the last layer needs 4 * (n - 1) + 1 features for n classes.

Assumptions, not published:

- Channels are numbered (y * X + x) * F + feature, feature fastest, as neuron addresses are. The last of the 16 has no
  class, since classes end at 15. Spikes without a class are counted as lost: those of the last channel, those outside
  the addressed x, y and features, and on 2e and 2f those of features that are no multiple of 4. There the multiples
  take the place of features in every addressing mode; the notebook shows it for mode 3.
- The average is rounded down: the windows are powers of two, made to be divided by with a shift. Periods before the
  first tick count as zero.
- A counter that is full stays at 65535; what comes on top is counted as saturated.
- Bit 20 is 1 at every tick, as in datasheet table 6; its text on mode 3 could also be read as the comparison of the
  largest average with the threshold, which is in `interrupt` here.
- output_neuron_num counts as `index` does; 0 gives 0.
- A tick acts before spikes of its own time.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

from ._jit import njit
from .dynapcnn_arrays import positions, times

__all__ = ["ADDRESSING", "CLASSES", "Readout", "ReadoutParams", "ReadoutResult"]

CLASSES = 15
"""Classes 1..15; 0 is "none". Datasheet 2.5."""

ADDRESSING = ((4, 2, 2), (2, 4, 2), (1, 4, 4), (16, 1, 1))
"""(features, y, x) of the 16 channels by readout_configuration_sel; datasheet table 5."""

_FEATURE_STEP = 4  # of Speck 2e and 2f; vendor's notebook on the readout layer
_COUNT_MAX = 65535
_LONG, _SHORT = 32, 16  # windows in ticks; datasheet 3.2.5.3
_OFF, _COMPARE, _SELECTED = 0, 1, 2  # output_mode_sel; 3 is the maximum
_VALID = 1 << 20


@attrs.frozen(kw_only=True)
class ReadoutParams:
    """Registers of the readout block. ValueError names everything that is wrong."""

    in_shape: tuple[int, int, int]
    """(features, y, x) of the map the spikes come from, pooled as the destination asks."""
    readout_configuration_sel: int = 3
    output_mode_sel: int = 0
    threshold: int = 0
    """Spikes per tick, 0..65535; compared with the averages."""
    low_pass_filter_disable: bool = False
    """Window of 1 tick."""
    low_pass_filter32_not16: bool = False
    """Window of 32 ticks, else 16."""
    override_threshold_max: bool = False
    """Interrupt at every tick."""
    output_neuron_num: int = 0
    """Class shown in output mode 2, 0..15."""
    feature_erratum: bool = False
    """Speck 2e and 2f: feature 4*i of the last core takes the place of feature i."""

    def __attrs_post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))

    def _problems(self) -> Iterator[str]:
        if len(self.in_shape) != 3 or min(self.in_shape) < 1:
            yield f"in_shape = {self.in_shape} is not (features, y, x), each at least 1"
        limits = {
            "readout_configuration_sel": 3,
            "output_mode_sel": 3,
            "threshold": _COUNT_MAX,
            "output_neuron_num": CLASSES,
        }
        for name, limit in limits.items():
            if not 0 <= getattr(self, name) <= limit:
                yield f"{name} = {getattr(self, name)} is not within 0..{limit}"

    @property
    def window(self) -> int:
        """Length of the moving average in ticks."""
        if self.low_pass_filter_disable:
            return 1
        return _LONG if self.low_pass_filter32_not16 else _SHORT

    def classes(self) -> NDArray[np.uint8]:
        """Class of each flat position in `in_shape`, 1..15, or 0 where spikes are lost."""
        feature, y, x = np.indices(self.in_shape)
        features, rows, columns = ADDRESSING[self.readout_configuration_sel]
        addressed = (y < rows) & (x < columns)
        if self.feature_erratum:
            addressed &= feature % _FEATURE_STEP == 0
            feature //= _FEATURE_STEP
        number = (y * columns + x) * features + feature + 1
        return np.where(addressed & (feature < features) & (number <= CLASSES), number, 0).astype(np.uint8).ravel()


@attrs.frozen(kw_only=True, eq=False)
class ReadoutResult:
    """What the block shows at each tick; spikes in = counted + lost + saturated."""

    t: NDArray[np.int64]
    """Times of the ticks."""
    word: NDArray[np.uint32]
    """The 21-bit value."""
    index: NDArray[np.uint8]
    """Class of the largest average, 1..15, or 0; also in output mode 0, where the word has none."""
    interrupt: NDArray[np.bool_]
    """Ticks at which the pins are renewed: t[interrupt], index[interrupt] are the chip's pin events."""
    counted: int
    lost: int
    """Spikes that belong to no class."""
    saturated: int

    @property
    def value(self) -> NDArray[np.uint16]:
        """Bits 15:0 of the words."""
        return (self.word & _COUNT_MAX).astype(np.uint16)


class Readout:
    """The block with its counters; state carries over from run to run."""

    def __init__(self, params: ReadoutParams) -> None:
        self.params = params
        self._classes = params.classes()
        self._history = np.zeros((params.window, CLASSES + 1), np.int64)
        self._counts = np.zeros(CLASSES + 1, np.int64)
        self._oldest = 0

    def reset(self) -> None:
        """Set all counters to zero."""
        self._history[:] = 0
        self._counts[:] = 0
        self._oldest = 0

    def run(self, t: NDArray[np.int64], index: NDArray[np.uint32], ticks: NDArray[np.int64]) -> ReadoutResult:
        """Count spikes and show averages; spikes after the last tick stay in the counters.

        `t` int64 (n,), non-decreasing, any unit; `index` uint32 (n,), flat in `in_shape`; `ticks` int64 (m,),
        non-decreasing. ValueError, before anything runs, for other arrays.
        """
        t, ticks = times("t", t), times("ticks", ticks)
        classes = self._classes[positions(index, t, self.params.in_shape)]
        word, top = np.empty(ticks.size, np.uint32), np.empty(ticks.size, np.uint8)
        interrupt = np.empty(ticks.size, np.bool_)
        count = _read(
            self.params.output_mode_sel, self.params.output_neuron_num, self.params.threshold,
            self.params.override_threshold_max, self._history, self._oldest, self._counts,
            t, classes, ticks, word, top, interrupt,
        )  # fmt: skip
        saturated = int(count)
        self._oldest = (self._oldest + ticks.size) % self.params.window
        lost = int(np.count_nonzero(classes == 0))
        return ReadoutResult(
            t=ticks.copy(), word=word, index=top, interrupt=interrupt,
            counted=t.size - lost - saturated, lost=lost, saturated=saturated,
        )  # fmt: skip


@njit
def _bits(mode: int, selected: int, threshold: int, averages: NDArray[np.int64], top: np.intp) -> np.int64:
    """Bits 15:0 of the word."""
    if mode == _COMPARE:
        bits = np.int64(0)
        for number in range(1, CLASSES + 1):
            bits |= np.int64(averages[number] > threshold) << number
        return bits
    return np.int64(averages[selected] if mode == _SELECTED else averages[top])


@njit
def _read(
    mode: int,
    selected: int,
    threshold: int,
    override: bool,
    history: NDArray[np.int64],
    oldest: int,
    counts: NDArray[np.int64],
    t: NDArray[np.int64],
    classes: NDArray[np.uint8],
    ticks: NDArray[np.int64],
    word: NDArray[np.uint32],
    index: NDArray[np.uint8],
    interrupt: NDArray[np.bool_],
) -> int:
    """Go through ticks and spikes in order of time; fills the last three arrays, returns the saturated spikes.

    `history` (window, 16) holds the counts of the last periods, the oldest in row `oldest`; `counts` (16,) those of
    the present one. Column 0 stays 0.
    """
    window = len(history)
    sums = history.sum(axis=0)
    spike, saturated = 0, 0
    for tick in range(len(ticks) + 1):
        while spike < len(t) and (tick == len(ticks) or t[spike] < ticks[tick]):
            number = classes[spike]
            if number > 0:
                if counts[number] < _COUNT_MAX:
                    counts[number] += 1
                else:
                    saturated += 1
            spike += 1
        if tick == len(ticks):
            break
        sums += counts - history[oldest]
        history[oldest] = counts
        counts[:] = 0
        oldest = (oldest + 1) % window
        averages = sums // window
        top = np.argmax(averages)  # the first of equals; 0, the column of no class, if all are zero
        word[tick] = 0 if mode == _OFF else _VALID | top << 16 | _bits(mode, selected, threshold, averages, top)
        index[tick] = top
        interrupt[tick] = override or averages[top] > threshold
    return saturated
