"""What golden files of nengo-loihi 1.1.0 were made with: its rule of discretisation, and its networks of blocks.

Reference for tests and replays; the product has rules of its own.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_loihi.topology import Connection, Conv, Dense, Layer, Network

VTH_MAX, BIAS_MAX = 8_388_544, 524_160

Float = NDArray[np.float64]


def decay_sum(register: Any, offset: int) -> Any:
    """What a unit impulse adds up to while a register lets it decay, lost fractions included."""
    keep = (4096 - offset - register) / 4096
    lost, start = 0.494, 2**21
    n = -np.log1p(start * (1 - keep) / lost) / np.log(keep)
    whole = (1 - keep ** (n + 1)) / (1 - keep)
    return whole - lost / ((1 - keep) * start) * (n + 1 - whole)


@attrs.frozen(kw_only=True)
class Peer:
    """Integers by the rule of nengo-loihi 1.1.0, and the scales they were made with."""

    decay_u: Any
    decay_v: Any
    current_gain: Float
    membrane_gain: Float
    v_scale: Float
    b_scale: Float
    w_scale: Float
    w_exp: int
    vth_mant: Any
    bias_mant: Any
    bias_exp: Any
    vmin: float
    vmax: float
    exponents: list[int]
    weights: list[Any]


def peer_scale(threshold: Float, bias: Float, w_max: float, cu: Float, cv: Float) -> tuple[Any, Any, Any, int] | None:
    """Scales of membrane, bias and weights, and the exponent of the strongest group."""
    b_max = float(np.abs(bias).max())
    if w_max > 1e-8:
        w_scale = 255.0 / w_max
        for exponent in range(0, -8, -1):
            v_scale = w_scale * 2.0 ** (6 + exponent) / (cu * cv)
            vth, b = np.round(threshold * v_scale), np.round(bias * v_scale * cv)
            if (vth <= VTH_MAX).all() and (np.abs(b) <= BIAS_MAX).all():
                return v_scale, v_scale * cv, np.full(threshold.shape, w_scale), exponent
        return None
    if b_max > 1e-8:
        b_scale = BIAS_MAX / b_max
        while b_scale * b_max > 1:
            v_scale = b_scale / cv
            if (np.round(threshold * v_scale) <= VTH_MAX).all():
                return v_scale, np.full(threshold.shape, b_scale), b_scale * cu / 64, 0
            b_scale /= 2
        return None
    v_scale = np.full(threshold.shape, (2**21 - 1) / (threshold.max() + 1))
    return v_scale, v_scale * cv, v_scale * cv * cu / 64, 0


def peer_group(weights: Float, w_max: float, w_scale: Float, w_exp: int, defect: bool) -> tuple[int, Any]:
    """Exponent and effective weights of one group. defect: the strength is not reduced where the exponent stops."""
    largest = float(np.abs(weights).max(initial=0.0))
    k = max(int(np.floor(np.log2(w_max / largest))), 0) if largest > 1e-16 else 0
    exponent = max(w_exp - k, -6)
    x = weights * w_scale * 2.0 ** (k if defect else w_exp - exponent)
    half = np.clip(np.round(x / 2), -127, 127)
    shift = 1 + exponent
    if shift < 0:
        # the limit holds after the rounding, too, and the shift to the right then floors
        half = np.clip(np.round(half * 2.0**shift) / 2.0**shift, -127, 127)
    return exponent, (np.floor(half * 2.0**shift) * 64).astype(np.int64)


def peer_discretise(
    decay_u: Float, decay_v: Float, threshold: Float, bias: Float, groups: list[Float], case: dict[str, Any]
) -> Peer | None:
    """The whole rule; case: scale_u, scale_v, vmin_float, and `defect` (default: as it is there)."""
    du = np.clip(np.round(decay_u * 4095 - 1), 0, 4095)
    dv = np.round(decay_v * 4095)
    one = np.ones(threshold.shape)
    cu = one / decay_sum(du, 1) if case["scale_u"] else one
    cv = one / decay_sum(dv, 0) if case["scale_v"] else one
    w_max = max((float(np.abs(w).max(initial=0.0)) for w in groups), default=0.0)
    scales = peer_scale(threshold, bias, w_max, cu, cv)
    if scales is None:
        return None
    v_scale, b_scale, w_scale, w_exp = scales
    b = np.round(bias * b_scale)
    bias_exp = np.ceil(np.log2(np.maximum(np.abs(b) / 4095, 1)))
    stored = [peer_group(w, w_max, w_scale, w_exp, case.get("defect", True)) for w in groups]
    vmin = np.clip(np.round(np.log2(1 - case["vmin_float"] * v_scale.max())), 0, 31)
    return Peer(
        decay_u=du.astype(int),
        decay_v=dv.astype(int),
        current_gain=cu,
        membrane_gain=cv,
        v_scale=v_scale,
        b_scale=b_scale,
        w_scale=w_scale,
        w_exp=w_exp,
        vth_mant=np.maximum(np.round(np.round(threshold * v_scale) / 64), 1).astype(int),
        bias_mant=np.round(b / 2**bias_exp).astype(int),
        bias_exp=bias_exp.astype(int),
        vmin=float(1 - 2.0**vmin),
        vmax=2.0**23 - 1,
        exponents=[e for e, _ in stored],
        weights=[w for _, w in stored],
    )


def _conv(source: Layer, spec: dict[str, Any]) -> tuple[Conv, Layer]:
    kernel, stride = spec["kernel"], spec["stride"]
    sides, pads = [], [0, 0]
    for axis, n in enumerate(source.shape[:2]):
        if spec.get("padding", "valid") == "valid":
            sides.append((n - kernel) // stride + 1)
        else:
            sides.append(-(-n // stride))
            pads[axis] = max((sides[axis] - 1) * stride + kernel - n, 0) // 2
    target = Layer(spec["name"], (*sides, spec["filters"]))
    conv = Conv(
        source.name,
        target.name,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        pad_top=pads[0],
        pad_left=pads[1],
        in_shape=source.shape,  # type: ignore[arg-type]
        out_shape=target.shape,  # type: ignore[arg-type]
        pop_type=spec.get("pop_type", 32),
    )
    return conv, target


def build(spec: dict[str, Any]) -> tuple[Network, dict[str, tuple[int, ...]]]:
    """The network of an accounting case, and its block shapes by hand."""
    last = first = Layer("input", spec["input"])
    layers: list[Layer] = []
    connections: list[Connection] = []
    shapes = {}
    for one in spec["layers"]:
        if one["type"] == "conv":
            conv, last = _conv(last, one)
            connections.append(conv)
        else:
            connections.append(Dense(last.name, one["name"]))
            last = Layer(one["name"], (one["units"],))
        if one.get("recurrent"):
            connections.append(Dense(last.name, last.name))
        if one.get("block_shape"):
            shapes[last.name] = tuple(one["block_shape"])
        layers.append(last)
    return Network([first], layers, connections), shapes
