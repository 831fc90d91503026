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
ROOM: Final = 2048
"""Thresholds are shifted up to here: what rounding moves is a thousandth of them, and a membrane holds sixteen."""
PULL: Final = limits.STATE[1] // 4
"""All weights of a neuron together are shifted up to here: four events of every source at once do not saturate."""
HALF_RANGE: Final = FULL // 2 + 1
"""Whole numbers whose largest weight is at least this use the range: no whole factor fits above them."""
WHOLE: Final = 1e-6
"""How far from a whole number still counts as one: what units and gains leave of it in 64 bits."""


@attrs.frozen(kw_only=True, eq=False)
class Group:
    """All neurons that share a weight shift, hidden or output: (n,) arrays, in units of the membrane.

    largest: of the weights of each neuron; what adds up in one synapse counts together. pull: the larger of the sums of
    its positive and of its negative weights. threshold, bias as they are. whole: whether weights, threshold and bias of
    a neuron are whole numbers. shared: an id for each set of neurons that need one scale, -1 for none.
    """

    largest: Float
    pull: Float
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
    with np.errstate(divide="ignore"):
        top = np.where(group.largest > 0, FULL / np.where(group.largest > 0, group.largest, 1.0), np.inf)
    if method == "global":
        top = np.full_like(top, top.min())
    # a neuron without weights needs none
    top = np.where(np.isinf(top), 1.0, top)
    if method == "auto":
        top = np.where(group.whole & (top >= 1.0), np.floor(top), top)
        for k in np.unique(group.shared[group.shared >= 0]):
            mine = group.shared == k
            top[mine] = top[mine].min()
    most = _most(group, limits.MAX_THRESHOLD)
    scale = np.minimum(top, most)
    if method == "global":
        scale = np.full_like(scale, scale.min())
    if method != "auto":
        return scale, 0
    room = np.minimum(_most(group, ROOM), PULL / np.maximum(group.pull, 1e-300))
    fits = np.floor(np.log2(np.maximum(room / scale, 1.0))).min()
    shift = int(min(fits, limits.MAX_SHIFT))
    return scale * 2.0**shift, shift


def _most(group: Group, threshold: int) -> Float:
    """The largest scale with which thresholds and biases can be stored."""
    by_bias = limits.STATE[1] / np.maximum(np.abs(group.bias), 1e-300)
    return np.asarray(np.minimum(threshold / group.threshold, by_bias))


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
        threshold=np.asarray(threshold, np.float64),
        bias=np.asarray(bias, np.float64),
        whole=np.zeros(n, np.bool_),
        shared=np.full(n, -1),
    )
