"""Refractory times in clock cycles: which of two clocks a neuron counts, how fast they are, what it counts to.

The rule is that of calix (spiking/refractory_period.py, commit e573081, as read): golden `refractory.npz`, exactly.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal_brainscales2.limits import (
    MAX_CLOCK_SCALE,
    MAX_HOLDOFF_CODE,
    MAX_REFRACTORY_COUNTER,
    REFRACTORY_CLOCK_HZ,
)

Floats = NDArray[np.float64]
MAX_HOLDOFF_CYCLES = 2 * MAX_HOLDOFF_CODE + 1
MIN_CYCLES = 30
"""A time should be worth at least so many cycles: about 3 percent (calix)."""
FIRST_SCALE = 4
"""Where the search for a scale starts; it ends at the first that will do (calix)."""
MEAN_TOLERANCE = 1e-9
"""Of the comparison with the mean, relative: equal targets are all fast. The original compares exactly, and rounding
puts some of them on the slow clock."""


@attrs.frozen
class Finding:
    """One thing to know of a target. neurons: those concerned, all of a clock where it is the clock's."""

    reason: str
    neurons: tuple[int, ...]

    def __str__(self) -> str:
        return self.reason


@attrs.frozen(eq=False)
class Refractory:
    """Registers and what they come to. (n,) each, scales for the chip.

    counter: 1..255 cycles. holdoff_code: 0..15. fast: on the fast clock. fast_scale, slow_scale: 0..15; 0 is also that
    of a clock that nobody uses. time_s: not able to spike; reset_s: held at reset; holdoff_s: the rest, in which the
    membrane integrates. errors: what cannot be set; warnings: what is not as asked for.
    """

    counter: NDArray[np.int64]
    holdoff_code: NDArray[np.int64]
    fast: NDArray[np.bool_]
    fast_scale: int
    slow_scale: int
    time_s: Floats
    reset_s: Floats
    holdoff_s: Floats
    warnings: tuple[Finding, ...]
    errors: tuple[Finding, ...]


def period_s(scale: Any) -> Any:
    """Of a clock: 8 ns at scale 0, twice that at each step."""
    return 2.0**scale / (REFRACTORY_CLOCK_HZ / 2)


def refractory(time_s: ArrayLike, holdoff_s: ArrayLike = 0.0) -> Refractory:
    """Registers of refractory times (n,) in s and holdoff times in s, (n,) or one for all.

    Raises ValueError where a time is negative or not finite, or holdoffs are neither one nor n.
    """
    tau, holdoff = _checked(time_s, holdoff_s)
    fast = tau <= tau.mean() * (1 + MEAN_TOLERANCE)
    fast_scale = _scale(tau[fast].max() / MAX_REFRACTORY_COUNTER, tau[fast].min() / MIN_CYCLES)
    clocks = [("fast", np.flatnonzero(fast), fast_scale)]
    fast &= holdoff <= MAX_HOLDOFF_CYCLES * period_s(max(fast_scale, 0))
    slow_scale = 0
    if not fast.all():
        late, long = holdoff[~fast], tau[~fast]
        low = max(late.max() / MAX_HOLDOFF_CYCLES, long.max() / MAX_REFRACTORY_COUNTER)
        slow_scale = _scale(low, min(late.min(), long.min() / MIN_CYCLES))
        clocks.append(("slow", np.flatnonzero(~fast), slow_scale))
    errors = tuple(_too_slow(*clock) for clock in clocks if clock[2] > MAX_CLOCK_SCALE)
    warnings = tuple(_clamped(*clock) for clock in clocks if clock[2] < 0)
    scales = [min(max(scale, 0), MAX_CLOCK_SCALE) for scale in (fast_scale, slow_scale)]
    return _realised(tau, holdoff, fast, scales, warnings, errors)


def _checked(time_s: ArrayLike, holdoff_s: ArrayLike) -> tuple[Floats, Floats]:
    tau, holdoff = (np.atleast_1d(np.asarray(values, np.float64)) for values in (time_s, holdoff_s))
    problems = []
    if tau.ndim != 1 or not tau.size:
        problems.append(f"refractory times have shape {tau.shape}; give one for each neuron")
    elif holdoff.shape not in ((1,), tau.shape):
        problems.append(f"holdoff times have shape {holdoff.shape}; give one, or one for each of {tau.size} neurons")
    for what, values in (("refractory", tau), ("holdoff", holdoff)):
        bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)).ravel())
        if bad.size:
            k = int(bad[0])
            problems.append(f"{what} time of neuron {k} is {values.ravel()[k]} s ({bad.size} such); give 0 s or more")
    if problems:
        raise ValueError("; ".join(problems))
    return tau, np.broadcast_to(holdoff, tau.shape)


def _scale(low: float, high: float) -> int:
    """The first scale from 4 on, up or down, whose period lies in low..max(high, 2 low); -1 where 0 is too slow."""
    scale, high = FIRST_SCALE, max(high, 2 * low)
    while period_s(scale) < low:
        scale += 1
    while scale >= 0 and period_s(scale) > high:
        scale -= 1
    return scale


def _too_slow(clock: str, neurons: Any, scale: int) -> Finding:
    longest = MAX_REFRACTORY_COUNTER * period_s(MAX_CLOCK_SCALE)
    return Finding(
        f"{clock} refractory clock: scale {scale} is larger than feasible, limit {MAX_CLOCK_SCALE}; "
        f"refractory times up to {longest:.4g} s and holdoffs up to {MAX_HOLDOFF_CYCLES * period_s(15):.4g} s can be",
        tuple(neurons.tolist()),
    )


def _clamped(clock: str, neurons: Any, scale: int) -> Finding:
    return Finding(
        f"{clock} refractory clock: clamped at scale 0, its fastest, of period {period_s(0):.4g} s; "
        f"times shorter than {MIN_CYCLES} periods are coarse",
        tuple(neurons.tolist()),
    )


def _realised(
    tau: Floats, holdoff: Floats, fast: NDArray[np.bool_], scales: list[int], warnings: Any, errors: Any
) -> Refractory:
    divider = 2.0 ** (np.where(fast, *scales) + 1)
    counter = np.floor(tau * REFRACTORY_CLOCK_HZ / divider).astype(np.int64) + 1
    code = np.ceil(MAX_HOLDOFF_CODE - np.floor(holdoff * REFRACTORY_CLOCK_HZ / divider) / 2)
    code = np.where(fast, MAX_HOLDOFF_CODE, np.maximum(code, 0)).astype(np.int64)
    over = np.flatnonzero(counter > MAX_REFRACTORY_COUNTER)
    if over.size and not errors:
        what = f"counters of {counter[over].max()} are over the limit {MAX_REFRACTORY_COUNTER} and set to it"
        warnings = (*warnings, Finding(f"refractory time: {what}", tuple(over.tolist())))
    counter = np.minimum(counter, MAX_REFRACTORY_COUNTER)
    cycles = MAX_HOLDOFF_CYCLES - 2 * code
    never = np.flatnonzero(counter < cycles)
    if never.size:
        k = never[0]
        what = f"neuron {k} counts {counter[k]} cycles but holds off for {cycles[k]}, so its reset never ends"
        text = f"holdoff time: {what} ({never.size} such); make it shorter than the refractory time"
        errors = (*errors, Finding(text, tuple(never.tolist())))
    period = period_s(np.where(fast, *scales))
    lost = np.flatnonzero(np.abs(holdoff - cycles * period) > 2 * period)
    if lost.size:
        k = lost[0]
        what = f"neuron {k} asks for {holdoff[k]:.4g} s and has {cycles[k] * period[k]:.4g} s ({lost.size} such)"
        text = f"holdoff time: {what}; neurons on the fast clock hold off for one cycle"
        warnings = (*warnings, Finding(text, tuple(lost.tolist())))
    return Refractory(
        counter=counter,
        holdoff_code=code,
        fast=fast,
        fast_scale=scales[0],
        slow_scale=scales[1],
        time_s=counter * period,
        reset_s=np.maximum(counter - cycles, 0) * period,
        holdoff_s=cycles * period,
        warnings=tuple(warnings),
        errors=tuple(errors),
    )
