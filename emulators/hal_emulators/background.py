"""Event generators of a BrainScaleS-2-like chip: registers in, times and labels out.

A generator counts clock cycles from the reset on. At the end of each period it sends an event (regular), or draws
whether to send one (Poisson in bins). What is drawn follows from the seed and the number of the period alone: any
stretch of time can be asked for, in any order, and pieces are the whole bit for bit.

As in the vendor's haldls (background.h, read, not run):

- the period P is the distance of events, or of draws, in clock cycles, and the first one comes after a full period;
- a draw is of 8 bits, and the rate R sends with probability R / 255: 0 never, 255 always;
- only Poisson events take random bits, where the mask has ones; all others are the label's.

Assumptions:

- the distance is P cycles and not P + 1. The vendor's own test of counts allows 0.5 % at P = 1000, which is no help.
- the generator, since nobody has published the chip's: draw n of seed s is output n of SplitMix64 from the state
  mix(s), where mix is SplitMix64's own; the upper 32 bits decide, the lower 8 are those of the label. As on the chip,
  sources of one seed draw the same.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import attrs
import numpy as np
from numpy.typing import NDArray

from ._jit import njit, njit_inlined

__all__ = ["CLOCK_HZ", "Background", "Events"]

CLOCK_HZ: Final = 250e6
"""Twice the FPGA's clock (the vendor's test of haldls' BackgroundSpikeSource)."""
DRAWS: Final = 255
"""Values of a draw, 1 and up; a rate sends those up to it."""
_LIMITS: Final = {"period": 2**16 - 1, "rate": DRAWS, "seed": 2**32 - 1, "mask": 2**8 - 1, "label": 2**14 - 1}

I64 = NDArray[np.int64]


class Events(NamedTuple):
    """(k,) each, in the order of time, then source."""

    t: NDArray[np.float64]
    """s since the reset."""
    source: I64
    label: I64
    """14 bits."""


def _switches(values: Any) -> NDArray[np.bool_]:
    array = np.asarray(values)
    if array.dtype != np.bool_ or array.ndim != 1:
        raise TypeError(f"needs booleans in one dimension, got {array.dtype} {array.shape}")
    return array


def _integers(values: Any) -> I64:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise TypeError(f"needs integers in one dimension, got {array.dtype} {array.shape}")
    return array.astype(np.int64)


@attrs.frozen(kw_only=True, eq=False)
class Background:
    """Registers of S generators, (S,) each. TypeError for what is no integer, ValueError with all that is wrong."""

    on: NDArray[np.bool_] = attrs.field(converter=_switches)
    poisson: NDArray[np.bool_] = attrs.field(converter=_switches)
    period: I64 = attrs.field(converter=_integers)
    """Clock cycles, 1 or more where the generator is on."""
    rate: I64 = attrs.field(converter=_integers)
    """255ths of a period's chance; of Poisson generators."""
    seed: I64 = attrs.field(converter=_integers)
    mask: I64 = attrs.field(converter=_integers)
    """Lower bits of the label that are drawn; of Poisson generators."""
    label: I64 = attrs.field(converter=_integers)
    clock_hz: float = CLOCK_HZ

    def __attrs_post_init__(self) -> None:
        problems = []
        for name in ("poisson", *_LIMITS):
            size = getattr(self, name).size
            if size != self.on.size:
                problems.append(f"{name} has {size} values, on has {self.on.size}")
        for name, limit in _LIMITS.items():
            values = getattr(self, name)
            wrong = np.flatnonzero((values < 0) | (values > limit))
            if wrong.size:
                problems.append(f"{name}[{wrong[0]}] is {values[wrong[0]]}, must lie in 0..{limit}")
        if self.period.size == self.on.size and (still := np.flatnonzero(self.on & (self.period == 0))).size:
            problems.append(f"period[{still[0]}] is 0, must be 1 or more where the generator is on")
        if not 0 < self.clock_hz < np.inf:
            problems.append(f"clock_hz is {self.clock_hz}, must be finite and greater than 0")
        if problems:
            raise ValueError("; ".join(problems))

    def between(self, start_s: float, until_s: float) -> Events:
        """All events from `start_s` on and before `until_s`, s since the reset. ValueError unless 0 <= start <= end."""
        if not 0 <= start_s <= until_s < np.inf:
            raise ValueError(f"start_s is {start_s} and until_s {until_s}; must be finite, 0 or more, and in order")
        source = np.flatnonzero(self.on)
        if not source.size:
            return Events(np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64))
        period = self.period[source]
        first, end = (self._number(period, t) for t in (start_s, until_s))
        chance = np.where(self.poisson, self.rate, DRAWS)[source]
        key, mask = self.seed[source].astype(np.uint64), np.where(self.poisson, self.mask, 0)[source]
        size = _count(first, end, chance, key)
        cycle, which, label = (np.empty(size, np.int64) for _ in range(3))
        _fill(first, end, period, chance, key, mask, self.label[source], cycle, which, label)
        return Events(cycle / self.clock_hz, source[which], label)

    def _number(self, period: I64, t: float) -> I64:
        """Of each generator the first period, from 1 on, that ends at t or later; by the times that are given out."""
        n = np.ceil(t * self.clock_hz / period).astype(np.int64)
        # the quotient is rounded
        n -= (n - 1) * period / self.clock_hz >= t
        n += n * period / self.clock_hz < t
        return np.maximum(n, 1)


@njit_inlined
def _mix(x: np.uint64) -> np.uint64:
    """A bijection of 64 bits in which every input bit reaches every output bit (constants of splitmix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit_inlined
def _draw(key: np.uint64, n: int) -> np.uint64:
    """Draw n of a seed."""
    return _mix(_mix(key) + np.uint64(n) * np.uint64(0x9E3779B97F4A7C15))


@njit_inlined
def _next(n: int, end: int, chance: int, key: np.uint64) -> int:
    """The first period from n on with an event; `end` if there is none before."""
    if chance == DRAWS:
        return n
    while n < end and np.int64((_draw(key, n) >> np.uint64(32)) * np.uint64(DRAWS) >> np.uint64(32)) >= chance:
        n += 1
    return n


@njit
def _count(first: I64, end: I64, chance: I64, key: NDArray[np.uint64]) -> int:
    """Events of all generators."""
    size = 0
    for k in range(first.size):
        n = _next(first[k], end[k], chance[k], key[k])
        while n < end[k]:
            size += 1
            n = _next(n + 1, end[k], chance[k], key[k])
    return size


@njit
def _fill(
    first: I64,
    end: I64,
    period: I64,
    chance: I64,
    key: NDArray[np.uint64],
    mask: I64,
    label: I64,
    out_cycle: I64,
    out_source: I64,
    out_label: I64,
) -> None:
    """Cycle, generator and label of each event, merged in the order of time."""
    n = np.empty_like(first)
    for k in range(first.size):
        n[k] = _next(first[k], end[k], chance[k], key[k])
    for at in range(out_cycle.size):
        best = -1
        for k in range(n.size):
            if n[k] < end[k] and (best < 0 or n[k] * period[k] < n[best] * period[best]):
                best = k
        bits = mask[best]
        drawn = np.int64(_draw(key[best], n[best]) & np.uint64(0xFF)) & bits if bits else 0
        out_cycle[at] = n[best] * period[best]
        out_source[at] = best
        out_label[at] = (label[best] & ~bits) | drawn
        n[best] = _next(n[best] + 1, end[best], chance[best], key[best])
