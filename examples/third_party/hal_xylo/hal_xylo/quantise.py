"""From real numbers to registers: scales, shifts and rounding. Arrays in, arrays out.

A scale turns units of the membrane into units of the register: one for each neuron, the same for its weights, its
threshold and its bias, so that it changes nothing but the precision. `quantise` follows rockpool 3.1.0 where that is
sound; where its result is not (biases with the wrong scale, thresholds of outputs that shrink recurrent weights,
values that wrap), it does what was meant.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_xylo import limits

Float = NDArray[np.float64]
I64 = NDArray[np.int64]

FULL: Final = limits.WEIGHT[1]
"""Weights are scaled to +-127, so that signs are alike."""
SMALLER: Final = 0.9
"""So many of the neurons may have smaller weights than 127, for the sake of large thresholds: what rounding moves is
small then, and it moves spikes in every step, where a rounded weight does so once."""
BUSY: Final = (1.5, 2.0)
"""Times the root of the sum of squares of a neuron's weights: what a current holds, and a membrane on top of its
threshold. On random networks smaller numbers saturate, and larger ones leave thresholds to rounding."""
HALF_RANGE: Final = FULL // 2 + 1
"""Whole numbers whose largest weight is at least this use the range: no whole factor fits above them."""
WHOLE: Final = 1e-6
"""How far from a whole number still counts as one: what units and gains leave of it in 64 bits."""


@attrs.frozen(kw_only=True, eq=False)
class Group:
    """All neurons that share a weight shift, hidden or output: (n,) arrays, in units of the membrane.

    largest: of the weights of each neuron; what adds up in one synapse counts together. pull: the root of
    the sum of squares of all its weights, as the current takes them in; lift: that of the positive ones, as the
    membrane does, after the decay. threshold, bias as they are. whole: whether weights, threshold and bias of
    a neuron are whole numbers. shared: an id for each set of neurons that need one scale, -1 for none.
    """

    largest: Float
    pull: Float
    lift: Float
    threshold: Float
    bias: Float
    whole: NDArray[np.bool_]
    shared: I64


def is_whole(values: Any) -> NDArray[np.bool_]:
    """Which numbers are whole, but for what rounding of floats leaves."""
    values = np.asarray(values, np.float64)
    return np.asarray(np.abs(values - np.rint(values)) <= WHOLE * np.maximum(1.0, np.abs(values)))


def fits_registers(group: Group) -> bool:
    """Whether numbers are registers as they stand: whole, in range, and using the range of the weights."""
    return bool(is_register(group) and (not group.largest.size or group.largest.max() >= HALF_RANGE))


def is_register(group: Group) -> bool:
    """Whether numbers can be stored as they stand."""
    if not group.largest.size:
        return True
    return bool(
        group.whole.all()
        and group.largest.max() <= FULL
        and group.threshold.max() <= limits.MAX_THRESHOLD
        and np.abs(group.bias).max() <= limits.STATE[1]
    )


def scales(group: Group, method: Literal["auto", "global", "channel"]) -> tuple[Float, int]:
    """(scale per neuron, weight shift). The scale is that of thresholds and biases; weights have it less the shift."""
    if not group.largest.size:
        return np.zeros(0), 0
    # a neuron without weights needs no scale of its own
    top = FULL / np.where(group.largest > 0, group.largest, FULL)
    if method == "auto":
        return _fine(group, top)
    if method == "global":
        top = np.full_like(top, FULL / max(float(group.largest.max()), 1e-300) if group.largest.any() else 1.0)
    scale = np.minimum(top, np.minimum(limits.MAX_THRESHOLD / group.threshold, _by_bias(group)))
    return np.full_like(scale, scale.min()) if method == "global" else scale, 0


def _fine(group: Group, top: Float) -> tuple[Float, int]:
    """All the precision there is: thresholds as large as membranes allow, weights as large as the shift makes up for.

    A current, and a membrane just below its threshold, hold what sources that fire by themselves seldom exceed. What is
    in whole numbers stays exact.
    """
    most = limits.STATE[1]
    room = np.minimum(most / (group.threshold + BUSY[1] * group.lift), most / np.maximum(BUSY[0] * group.pull, 1e-300))
    room = np.minimum(room, _by_bias(group))
    wanted = np.log2(room / top)
    exact = group.whole & (group.largest > 0) & (np.minimum(top, room) >= 1.0)
    shift = np.floor(np.quantile(wanted, SMALLER))
    if exact.any():
        # a whole number of steps above the shift for each of them
        shift = min(shift, np.floor(np.log2(room[exact])).min())
    shift = int(np.clip(shift, 0, limits.MAX_SHIFT))
    scale = np.minimum(top, room / 2.0**shift)
    for k in np.unique(group.shared[group.shared >= 0]):
        mine = group.shared == k
        scale[mine] = scale[mine].min()
    scale = np.where(group.whole & (scale >= 1.0), np.floor(scale), scale)
    return scale * 2.0**shift, shift


def _by_bias(group: Group) -> Float:
    """The largest scale with which biases can be stored."""
    return np.asarray(limits.STATE[1] / np.maximum(np.abs(group.bias), 1e-300))


def codes(values: Float, scale: Float, shift: int = 0) -> I64:
    """Weights as stored: scaled, less the shift, rounded to the nearest, halves to even; in range whatever comes."""
    stored: I64 = np.clip(np.rint(values * scale / 2.0**shift), *limits.WEIGHT).astype(np.int64)
    return stored


def thresholds(values: Float, scale: Float) -> I64:
    """Thresholds as stored: 0 would fire for ever, so that the least is 1."""
    stored: I64 = np.clip(np.rint(values * scale), 1, limits.MAX_THRESHOLD).astype(np.int64)
    return stored


def biases(values: Float, scale: Float) -> I64:
    """Biases as stored."""
    stored: I64 = np.clip(np.rint(values * scale), *limits.STATE).astype(np.int64)
    return stored


def trims(dash_mem: I64, dash_syn: I64, threshold: I64) -> I64:
    """Biases that make up for what decays round away on average; whole numbers, mostly a few below 0.

    A decayed value is rounded up, so that a membrane and the current it sums up stand too high; only a positive value
    below 2^dash loses more than its share. Assumed is a current that flows, and a membrane up to its threshold.
    """
    keep = 2.0 ** -dash_syn.astype(np.float64)
    by_current = 0.5 * (1.0 - keep) / keep
    step = 2.0**dash_mem
    # below 2^dash 1 is lost for a share of it, above a half less on average
    low = np.minimum(step, threshold)
    by_membrane = (low * (0.5 * low / step - 1.0) + (threshold - low) * 0.5 * (1.0 - 1.0 / step)) / threshold
    trim: I64 = -np.rint(by_current + by_membrane).astype(np.int64)
    return trim


# --- specifications as rockpool has them ------------------------------------------------------------------------------


@attrs.frozen(kw_only=True, eq=False)
class Specification:
    """A network in real numbers, by the names of rockpool's specifications.

    weights_in (inputs, n, synapses), weights_rec (n, n, synapses), weights_out (n, outputs); all else one per neuron.
    Dashes are shifts that need not be whole.
    """

    weights_in: NDArray[Any]
    weights_rec: NDArray[Any]
    weights_out: NDArray[Any]
    threshold: NDArray[Any]
    threshold_out: NDArray[Any]
    dash_mem: NDArray[Any]
    dash_mem_out: NDArray[Any]
    dash_syn: NDArray[Any]
    dash_syn_2: NDArray[Any]
    dash_syn_out: NDArray[Any]
    bias: NDArray[Any] | None = None
    bias_out: NDArray[Any] | None = None


def quantise(spec: Specification, method: Literal["global", "channel"]) -> dict[str, I64]:
    """Integers of a specification, by the same names.

    global: one scale for all hidden and one for all output neurons; channel: one for every neuron. Without bias and
    without thresholds above 32767 the numbers are those of rockpool 3.1.0. A dash of 0 stays where it is given: it is
    the mapper that refuses a deaf neuron.
    """
    none, none_out = np.zeros(spec.threshold.size), np.zeros(spec.threshold_out.size)
    bias = none if spec.bias is None else spec.bias
    bias_out = none_out if spec.bias_out is None else spec.bias_out
    hidden = np.concatenate([spec.weights_in, spec.weights_rec]).transpose(1, 0, 2).reshape(spec.threshold.size, -1)
    a, _ = scales(_group(hidden, spec.threshold, bias, method), method)
    b, _ = scales(_group(spec.weights_out.T, spec.threshold_out, bias_out, method), method)
    out = {
        "weights_in": codes(spec.weights_in, a[:, None]),
        "weights_rec": codes(spec.weights_rec, a[:, None]),
        "weights_out": codes(spec.weights_out, b),
        "threshold": thresholds(spec.threshold, a),
        "threshold_out": thresholds(spec.threshold_out, b),
    }
    for name in ("dash_mem", "dash_mem_out", "dash_syn", "dash_syn_2", "dash_syn_out"):
        out[name] = np.clip(np.rint(getattr(spec, name)), 0, limits.MAX_DASH).astype(np.int64)
    if spec.bias is not None:
        out["bias"] = biases(bias, a)
    if spec.bias_out is not None:
        out["bias_out"] = biases(bias_out, b)
    return out


def _group(weights: Float, threshold: Float, bias: Float, method: str) -> Group:
    largest = np.abs(weights).max(axis=1, initial=0.0)
    if method == "global":
        largest = np.maximum(largest, np.abs(bias))
    n = threshold.size
    return Group(
        largest=largest,
        pull=np.zeros(n),
        lift=np.zeros(n),
        threshold=np.asarray(threshold, np.float64),
        bias=np.asarray(bias, np.float64),
        whole=np.zeros(n, np.bool_),
        shared=np.full(n, -1),
    )
