"""Shape rules of the NIR primitives, as plain functions: groups, rectangular kernels, strides, 'same' and 'valid'.

Shapes are those of one time step, without batch: images (C, H, W), sequences (C, N). Sizes follow PyTorch's rule:
floor((n + before + after - dilation * (kernel - 1) - 1) / stride) + 1 per spatial axis.
"""

from __future__ import annotations

import math
from typing import Any

from hal.nodes import Shape

Pads = tuple[tuple[int, int], ...]


class ShapeError(Exception):
    """A shape that a node cannot take: field, what, value, limit, hint; made into a Problem by the caller."""

    def __init__(self, field: str, what: str, value: Any = None, limit: Any = None, hint: str = "") -> None:
        super().__init__(what)
        self.field, self.what, self.value, self.limit, self.hint = field, what, value, limit, hint


def spread(field: str, values: tuple[int, ...], axes: int, least: int) -> tuple[int, ...]:
    """One integer per axis, from one for all or one each.

    Raises ShapeError for another count or for a value below `least`.
    """
    if len(values) not in (1, axes):
        raise ShapeError(field, "wrong number of values", value=values, limit=f"1 or {axes}")
    if min(values) < least:
        raise ShapeError(field, "too small", value=values, limit=f">= {least}")
    return values * axes if len(values) == 1 else values


def explicit_padding(
    padding: str | tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> Pads:
    """Padding as (before, after) per axis.

    'same' puts the odd element after, as PyTorch does, and exists for stride 1 only.
    """
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding == "same":
        if any(step != 1 for step in stride):
            hint = "PyTorch refuses this too; write the padding as numbers"
            raise ShapeError(
                "padding", "'same' has no meaning with a stride", value=stride, limit="stride 1", hint=hint
            )
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((t // 2, t - t // 2) for t in total)
    if isinstance(padding, str):
        raise ShapeError("padding", "unknown word", value=repr(padding), limit="'same', 'valid' or integers")
    return tuple((p, p) for p in spread("padding", padding, len(kernel), 0))


def window_count(size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int = 1) -> int:
    """Number of places a window takes along one axis; below 1 when it does not fit."""
    return (size + sum(pads) - dilation * (kernel - 1) - 1) // stride + 1


def conv_output(
    shape: Shape, weight: Shape, stride: tuple[int, ...], pads: Pads, dilation: tuple[int, ...], groups: int
) -> Shape:
    """Output of a convolution; weight (Co, Ci / groups, *kernel)."""
    channels = weight[1] * groups
    if len(shape) != len(weight) - 1:
        names = "(C, H, W)" if len(weight) == 4 else "(C, N)"
        raise ShapeError("weight", f"the convolution takes {names}", value=shape, limit=f"{len(weight) - 1} axes")
    if shape[0] != channels:
        what = f"the weight takes {channels} channels ({weight[1]} in each of {groups} groups), {shape} has {shape[0]}"
        raise ShapeError("weight", what)
    return (weight[0], *_windows("weight", shape[1:], weight[2:], stride, pads, dilation))


def pool_output(shape: Shape, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...]) -> Shape:
    """Output of a pool: channels stay, incomplete windows are left out."""
    if len(shape) != 3:
        raise ShapeError("kernel_size", "a pool takes (C, H, W)", value=shape, limit="3 axes")
    pads = tuple((p, p) for p in padding)
    return (shape[0], *_windows("kernel_size", shape[1:], kernel, stride, pads, (1, 1)))


def _windows(
    field: str, spatial: Shape, kernel: Shape, stride: tuple[int, ...], pads: Pads, dilation: tuple[int, ...]
) -> Shape:
    counts = tuple(
        window_count(n, k, s, p, d) for n, k, s, p, d in zip(spatial, kernel, stride, pads, dilation, strict=True)
    )
    if min(counts) < 1:
        what = f"the kernel {kernel} with dilation {dilation} does not fit into {spatial} with padding {pads}"
        raise ShapeError(field, what)
    return counts


def flatten_range(rank: int, start_dim: int, end_dim: int) -> tuple[int, int]:
    """First and last axis to merge, as indices >= 0."""
    first, last = (axis + rank if axis < 0 else axis for axis in (start_dim, end_dim))
    hint = "NIR has no batch axis: start_dim = 0 flattens everything"
    for field, axis, value in (("start_dim", first, start_dim), ("end_dim", last, end_dim)):
        if not 0 <= axis < rank:
            raise ShapeError(
                field, f"no such axis in {rank} axes", value=value, limit=f"{-rank}..{rank - 1}", hint=hint
            )
    if first > last:
        raise ShapeError("end_dim", "lies before start_dim", value=(start_dim, end_dim), hint=hint)
    return first, last


def flatten_output(shape: Shape, start_dim: int, end_dim: int) -> Shape:
    """Output of a Flatten: axes start_dim to end_dim, both included, become one."""
    first, last = flatten_range(len(shape), start_dim, end_dim)
    return (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
