"""From real-valued parameters of one layer to the integers a core stores. Pure functions of arrays.

A core computes with int8 weights and 16-bit thresholds, bias and state that share one scale: q = round(scale * value).
Only ratios to the threshold matter to the spikes, so the scale is free, and choosing it is the whole task. Three rules:

- `quantise`: the default. Integers in range stay as they are; else a scale near the largest one the ranges permit.
- `keep_integers`: only the first half of that; None if the parameters are no integers in range.
- `quantise_as_sinabs`: the rule of sinabs 3.1.3 (backend dynapcnn, discretize), for networks compared with it.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Note", "NoteCode", "Quantised", "keep_integers", "quantise", "quantise_as_sinabs"]

_WEIGHT_MIN, _WEIGHT_MAX = -128, 127
_STATE_MIN, _STATE_MAX = -32768, 32767
_CODE_KEPT = 32  # the largest weight never gets a smaller code than this for the sake of the lower threshold
_CANDIDATES = 64  # scales tried below the largest one, per anchor


class NoteCode(StrEnum):
    """What a quantisation could not keep."""

    WEIGHTS_ALL_ZERO = "weights_all_zero"
    """Every weight became 0 though some were not: the layer is dead."""
    WEIGHTS_UNDERFLOW = "weights_underflow"
    """`count` non-zero weights became 0; `wanted` is the largest of them."""
    BIAS_ALL_ZERO = "bias_all_zero"
    """Every bias became 0 though some were not."""
    SCALE_LIMITED = "scale_limited"
    """The 16-bit range of `parameter` keeps the weights from using 8 bits; `wanted` is the weights' own scale."""
    THRESHOLD_HIGH_RAISED = "threshold_high_raised"
    """A positive threshold rounded to 0 and was set to 1."""
    THRESHOLD_HIGH_ZERO = "threshold_high_zero"
    """A positive threshold rounded to 0, so that every update fires."""
    THRESHOLD_LOW_ZERO = "threshold_low_zero"
    """A lower threshold of 0 does not work on the chip (Speck Dev Kit Datasheet 3.2.4.6.3); see `realised`."""
    THRESHOLD_LOW_CLIPPED = "threshold_low_clipped"
    """The lower threshold was moved to the nearest one that can be stored: within 16 bits and below threshold_high."""


@attrs.frozen(kw_only=True)
class Note:
    """One deviation. `wanted` and `realised` are in the units of the given parameters (for scales: the scales)."""

    code: NoteCode
    parameter: str
    wanted: float
    realised: float
    count: int = 1


@attrs.frozen(kw_only=True, eq=False)
class Quantised:
    """Integers for one core and what they mean in the units of the given parameters."""

    weights: NDArray[np.int8]
    """Shape as given."""
    bias: NDArray[np.int16]
    """(f_out,); zeros if none was given."""
    threshold_high: int
    threshold_low: int
    state: NDArray[np.int16] | None
    """Initial state, shape as given; None if none was given."""
    scale: float
    """Stored number per unit of the given parameters."""
    notes: tuple[Note, ...]
    weight_rms_error: float
    """Root mean square of realised minus given weights."""
    weight_max_error: float
    bias_max_error: float
    threshold_error: float
    """Realised minus given threshold_high."""

    @property
    def realised_weights(self) -> NDArray[np.float64]:
        """Weights the core computes with, in given units."""
        return self.weights / self.scale

    @property
    def realised_bias(self) -> NDArray[np.float64]:
        """Bias the core computes with, in given units."""
        return self.bias / self.scale

    @property
    def realised_threshold_high(self) -> float:
        """Upper threshold in given units."""
        return self.threshold_high / self.scale

    @property
    def realised_threshold_low(self) -> float:
        """Lower threshold in given units."""
        return self.threshold_low / self.scale

    @property
    def realised_state(self) -> NDArray[np.float64] | None:
        """Initial state in given units; None if none was given."""
        return None if self.state is None else self.state / self.scale


@attrs.frozen(kw_only=True, eq=False)
class _Given:
    """Checked parameters of one layer in float64. `low` None: no lower bound."""

    weights: NDArray[np.float64]
    bias: NDArray[np.float64] | None
    high: float
    low: float | None
    state: NDArray[np.float64] | None


def _given(
    weights: ArrayLike, bias: ArrayLike | None, high: float, low: float | None, state: ArrayLike | None
) -> _Given:
    """Parameters as float64; a low of -inf means None. ValueError as in `quantise`."""
    low = None if low is None or low == -math.inf else float(low)
    arrays = {"weights": weights, "bias": bias, "state": state, "threshold_high": high, "threshold_low": low}
    numbers: dict[str, Any] = {
        name: None if value is None else np.asarray(value, np.float64) for name, value in arrays.items()
    }
    for name, value in numbers.items():
        if value is not None and not np.isfinite(value).all():
            raise ValueError(f"{name} contains values that are not finite")
    if numbers["weights"].ndim < 1 or numbers["weights"].size == 0:
        raise ValueError("weights are empty")
    if bias is not None and numbers["bias"].shape != numbers["weights"].shape[:1]:
        raise ValueError(
            f"bias has shape {numbers['bias'].shape}, weights are for {numbers['weights'].shape[0]} features"
        )
    if low is not None and low >= high:
        raise ValueError(f"threshold_low {low} is not below threshold_high {high}")
    return _Given(weights=numbers["weights"], bias=numbers["bias"], high=float(high), low=low, state=numbers["state"])


def quantise(
    weights: ArrayLike,
    bias: ArrayLike | None,
    threshold_high: float,
    threshold_low: float | None,
    state: ArrayLike | None = None,
) -> Quantised:
    """Integers for one core: untouched if the parameters are integers in range, else scaled near the largest scale.

    `weights` (f_out, ...), `bias` (f_out,) or None, thresholds in the same units, `state` initial values of any shape
    or None. Ranges: weights int8; bias, thresholds and state int16 (Speck Dev Kit Datasheet, table 3).

    A `threshold_low` of None (or -inf) means no lower bound and does not limit the scale: it is stored as -32768. A
    finite one limits the scale as long as the largest weight keeps 6 bits; beyond that it is clipped, and noted. One
    that comes out as 0 is stored as -1. Bias limits the scale only where it is not zero.

    The scale is searched among the largest one, the next smaller ones that store threshold_high exactly, and those that
    store the largest weight exactly, for the least error of the ratio weight to threshold. Against the
    largest scale alone the RMS error of random layers (8x2x3x3 to 32x32x3x3, thresholds 0.1 to 3.7) falls by 0 to 53 %,
    most where the threshold is only a few stored units; where weights and threshold are multiples of a common unit the
    search finds the scale without any error, which the largest one misses.

    ValueError for values that are not finite, empty weights, a bias of another shape, or threshold_low
    not below threshold_high.
    """
    whole = keep_integers(weights, bias, threshold_high, threshold_low, state)
    if whole is not None:
        return whole
    given = _given(weights, bias, threshold_high, threshold_low, state)
    notes: list[Note] = []
    limits = {"threshold_high": _limit(given.high, _STATE_MIN, _STATE_MAX)}
    if given.bias is not None:
        limits["bias"] = _limit(given.bias, _STATE_MIN, _STATE_MAX)
    if given.state is not None:
        limits["state"] = _limit(given.state, _STATE_MIN, _STATE_MAX)
    if given.low is not None:
        largest = float(np.abs(given.weights).max())
        enough = _CODE_KEPT / largest if largest else 0.0
        limits["threshold_low"] = max(_limit(given.low, _STATE_MIN, _STATE_MAX), enough)
    own = _limit(given.weights, _WEIGHT_MIN, _WEIGHT_MAX)
    limiter = min(limits, key=limits.__getitem__)
    most = min(own, limits[limiter])
    scale = _best_scale(given, most) if math.isfinite(most) else 1.0
    if given.weights.any() and limits[limiter] < own:
        notes.append(Note(code=NoteCode.SCALE_LIMITED, parameter=limiter, wanted=own, realised=scale))

    def rounded(values: ArrayLike) -> NDArray[np.float64]:
        return np.round(np.asarray(values, np.float64) * scale)

    high = _stored_high(given.high, scale)
    if high != rounded(given.high):
        notes.append(
            Note(
                code=NoteCode.THRESHOLD_HIGH_RAISED,
                parameter="threshold_high",
                wanted=given.high,
                realised=high / scale,
            )
        )
    low = _stored_low(given.low, scale, high, notes)
    return _result(given, scale, rounded, high, low, notes)


def keep_integers(
    weights: ArrayLike,
    bias: ArrayLike | None,
    threshold_high: float,
    threshold_low: float | None,
    state: ArrayLike | None = None,
) -> Quantised | None:
    """The parameters as they are, scale 1, or None unless all are integers in range.

    Ranges: weights int8; bias, thresholds and state int16. A lower threshold of 0 becomes -1 and of None -32768, as in
    `quantise`; shapes and errors as there.
    """
    given = _given(weights, bias, threshold_high, threshold_low, state)
    state_values = [values for values in (given.bias, given.high, given.low, given.state) if values is not None]
    if not _are_integers(given.weights, _WEIGHT_MIN, _WEIGHT_MAX):
        return None
    if not all(_are_integers(values, _STATE_MIN, _STATE_MAX) for values in state_values):
        return None
    notes: list[Note] = []
    low = _stored_low(given.low, 1.0, int(given.high), notes)
    return _result(given, 1.0, np.asarray, int(given.high), low, notes)


def _are_integers(values: ArrayLike, least: int, most: int) -> bool:
    array = np.asarray(values)
    return bool(((array == np.round(array)) & (array >= least) & (array <= most)).all())


def _limit(values: ArrayLike, least: int, most: int) -> float:
    """Largest factor that keeps `values` within least..most; infinity if they are all zero."""
    array = np.asarray(values, np.float64)
    if not array.size:
        return math.inf
    top, bottom = float(array.max()), float(array.min())
    return min(most / top if top > 0 else math.inf, least / bottom if bottom < 0 else math.inf)


def _best_scale(given: _Given, most: float) -> float:
    """The scale up to `most` with the least RMS error of weight / threshold; the largest of equals."""
    if given.high <= 0 or not given.weights.any():
        return most
    candidates = [most]
    for anchor in (given.high, float(np.abs(given.weights).max())):
        top = math.floor(most * anchor * (1 + 1e-12))  # an exact quotient must not be lost to its own rounding
        candidates += [min(code / anchor, most) for code in range(top, max(top - _CANDIDATES, top // 2, 0), -1)]
    best, least = most, math.inf
    for scale in sorted(candidates, reverse=True):
        codes = np.round(given.weights * scale)
        error = float(np.mean((codes / _stored_high(given.high, scale) - given.weights / given.high) ** 2))
        if error < least * (1 - 1e-9):
            best, least = scale, error
    return best


def _stored_high(high: float, scale: float) -> int:
    """Upper threshold as stored; a positive one is at least 1, since at 0 a neuron at rest fires."""
    code = round(high * scale)
    return max(code, 1) if high > 0 else code


def _stored_low(low: float | None, scale: float, high: int, notes: list[Note]) -> int:
    """Lower threshold as stored: 16 bits, below `high`, never 0. Adds a note where that moves it."""
    if low is None:
        return _STATE_MIN
    wanted = round(low * scale)
    code = max(min(wanted, high - 1), _STATE_MIN)
    if code == 0:
        code = -1
        notes.append(
            Note(code=NoteCode.THRESHOLD_LOW_ZERO, parameter="threshold_low", wanted=low, realised=code / scale)
        )
    elif code != wanted:
        notes.append(
            Note(code=NoteCode.THRESHOLD_LOW_CLIPPED, parameter="threshold_low", wanted=low, realised=code / scale)
        )
    return code


def quantise_as_sinabs(
    weights: ArrayLike,
    bias: ArrayLike | None,
    threshold_high: float,
    threshold_low: float | None,
    state: ArrayLike | None = None,
) -> Quantised:
    """Integers by the rule of sinabs 3.1.3, in float32 arithmetic as there.

    The scale is the least of: weights to 8 bits, bias to 8 bits, both thresholds to 16 bits, initial state to 16 bits.
    A `threshold_low` of None enters as -32768 before scaling, so the scale becomes 1 and small weights vanish: kept as
    it is there, and noted. Shapes and errors as in `quantise`.
    """
    given = _given(weights, bias, threshold_high, threshold_low, state)
    low = np.float32(_STATE_MIN if given.low is None else given.low)
    thresholds = np.array([low, given.high], np.float32)
    scales = [_sinabs_scale(given.weights, 8), _sinabs_scale(thresholds, 16)]
    if given.bias is not None:
        scales.append(_sinabs_scale(given.bias, 8))
    if given.state is not None:
        scales.append(_sinabs_scale(given.state, 16))
    scale = min(scales)
    if not np.isfinite(scale):
        scale = np.float32(1)  # everything is zero

    def rounded(values: ArrayLike) -> NDArray[np.float64]:
        return np.round(np.asarray(values, np.float32) * scale).astype(np.float64)

    notes = []
    stored_low = int(rounded(low))
    if stored_low == 0:
        notes.append(Note(code=NoteCode.THRESHOLD_LOW_ZERO, parameter="threshold_low", wanted=float(low), realised=0.0))
    stored_high = int(rounded(given.high))
    if given.high > 0 and stored_high == 0:
        code = NoteCode.THRESHOLD_HIGH_ZERO
        notes.append(Note(code=code, parameter="threshold_high", wanted=given.high, realised=0.0))
    return _result(given, float(scale), rounded, stored_high, stored_low, notes)


def _sinabs_scale(values: ArrayLike, bits: int) -> np.float32:
    """Largest factor that keeps `values` in signed integers of `bits`, by that package's choice of the binding end."""
    array = np.asarray(values, np.float32)
    bottom, top = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    least, most = array.min(), array.max()
    with np.errstate(divide="ignore"):
        if abs(least) <= abs(most) * np.float32(abs(bottom / top)):
            return np.float32(abs(np.float32(top) / most))
        return np.float32(abs(np.float32(bottom) / least))


def _result(given: _Given, scale: float, rounded: Any, high: int, low: int, notes: list[Note]) -> Quantised:
    """Round everything else, measure errors, and add the notes every rule shares."""
    weights = rounded(given.weights)
    bias = np.zeros(given.weights.shape[0]) if given.bias is None else rounded(given.bias)
    error = np.abs(weights / scale - given.weights)
    vanished = (weights == 0) & (given.weights != 0)
    if vanished.any():
        largest = float(np.abs(given.weights[vanished]).max())
        dead = not weights.any()
        code = NoteCode.WEIGHTS_ALL_ZERO if dead else NoteCode.WEIGHTS_UNDERFLOW
        notes.append(Note(code=code, parameter="weights", wanted=largest, realised=0.0, count=int(vanished.sum())))
    if given.bias is not None and given.bias.any() and not bias.any():
        count = int(np.count_nonzero(given.bias))
        largest = float(np.abs(given.bias).max())
        notes.append(Note(code=NoteCode.BIAS_ALL_ZERO, parameter="bias", wanted=largest, realised=0.0, count=count))
    return Quantised(
        weights=weights.astype(np.int8),
        bias=bias.astype(np.int16),
        threshold_high=high,
        threshold_low=low,
        state=None if given.state is None else rounded(given.state).astype(np.int16),
        scale=scale,
        notes=tuple(notes),
        weight_rms_error=float(np.sqrt(np.mean(error**2))),
        weight_max_error=float(error.max()),
        bias_max_error=0.0 if given.bias is None else float(np.abs(bias / scale - given.bias).max()),
        threshold_error=high / scale - given.high,
    )
