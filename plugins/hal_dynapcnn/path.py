"""What lies between two populations, as one convolution with pooling before it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal import nodes
from hal.model import Model, Projection
from hal_dynapcnn import chips

Float = NDArray[np.float64]
Shape3 = tuple[int, int, int]
Refuse = Callable[..., None]
"""Takes node, field, reason, and optionally wanted, limit and hint."""


def pool_size(node: nodes.SumPool2d, refuse: Refuse) -> int | None:
    """The side of a pool the chip can do, or None with a reason."""
    (ky, kx), (sy, sx) = node.kernel_size, node.stride
    if ky != kx or (sy, sx) != (ky, kx) or any(node.padding):
        refuse(
            node.name,
            "kernel_size",
            "pooling on chip is square, with stride = kernel and no padding",
            wanted=f"kernel {node.kernel_size}, stride {node.stride}, padding {node.padding}",
            limit=f"sizes {chips.POOLINGS}",
        )
        return None
    return int(ky)


class Path:
    """The nodes between two populations as one convolution with pooling before it."""

    def __init__(self, model: Model, projection: Projection, refuse: Refuse) -> None:
        self.model = model
        self._tell = refuse
        self.refused = False
        self.weight: Any = None
        self.factor = 1.0
        self.bias_factor = 1.0
        self.pooling = 1
        self.bias: Float | None = None
        self.stride, self.padding = (1, 1), (0, 0)
        names = []
        shape = model.nodes[projection.source].output_shape
        self.spatial: tuple[int, ...] = shape
        self.order = "CHW"
        for node in projection.path:
            names.append(node.name)
            self._take(node)
        self.folded = tuple(names)
        if self.weight is None and not self.refused:
            self._refuse(
                projection.target,
                "input",
                "no weights between it and " + projection.source,
                hint="put a convolution or dense layer in between",
            )
        if projection.source in model.inputs and self.pooling > 1:
            self._refuse(
                projection.path[0].name,
                "kernel_size",
                "pooling before the first layer",
                hint="pool the events before, or use a stride",
            )
        if self.pooling not in chips.POOLINGS:
            self._refuse(
                projection.path[0].name,
                "kernel_size",
                "pooling between two cores",
                wanted=self.pooling,
                limit=chips.POOLINGS,
            )

    def _refuse(self, *said: Any, **more: Any) -> None:
        self.refused = True
        self._tell(*said, **more)

    def _take(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.SumPool2d):
            self._pool(node)
        elif isinstance(node, nodes.Scale):
            self._scale(node)
        elif isinstance(node, nodes.Flatten):
            self.order = self.model.semantics.rule(node).flatten_order
        elif isinstance(node, nodes.Conv2d | nodes.Affine | nodes.Linear):
            if self.weight is not None:
                self._refuse(
                    node.name,
                    "type",
                    f"{node.type} directly after {self.weight.name}: a core has one kernel",
                    hint="multiply the two, or put IF neurons in between",
                )
            elif isinstance(node, nodes.Conv2d):
                self._conv(node)
            else:
                self._dense(node)
        else:
            self._refuse(node.name, "type", f"{node.type} is not on this chip")

    def _pool(self, node: nodes.SumPool2d) -> None:
        size = pool_size(node, self._refuse)
        if self.weight is not None:
            self._refuse(
                node.name,
                "type",
                "pooling between weights and neurons; the chip pools spikes",
                hint="put the pool after the neurons",
            )
        elif size is not None:
            self.pooling *= size
            self.spatial = node.output_shape
            if isinstance(node, nodes.AvgPool2d):
                self.factor = self.factor / (size * size)

    def _scale(self, node: nodes.Scale) -> None:
        values = np.unique(np.asarray(node.scale, np.float64))
        if values.size > 1:
            self._refuse(
                node.name,
                "scale",
                "only one factor for a whole layer can be folded into weights",
                wanted=f"{values.size} values",
                limit="one value",
            )
            return
        self.factor = self.factor * float(values[0])
        if self.weight is not None:
            self.bias_factor *= float(values[0])

    def _conv(self, node: nodes.Conv2d) -> None:
        self.weight, refuse = node, self._refuse
        if node.groups != 1:
            refuse(node.name, "groups", "a core has one kernel over all input features", node.groups, 1)
        if node.dilation != (1, 1):
            refuse(node.name, "dilation", "kernels are dense", node.dilation, (1, 1))
        if node.weight.shape[2] != node.weight.shape[3]:
            refuse(node.name, "weight", "kernels are square", node.weight.shape[2:], "square")
        (top, bottom), (left, right) = node.padding
        if top != bottom or left != right:
            refuse(node.name, "padding", "padding is equal on both sides", node.padding, "symmetric")
        self.padding = (top, left)
        for axis, stride in zip("yx", node.stride, strict=True):
            if stride not in chips.STRIDES:
                refuse(node.name, f"stride.{axis}", "no such stride", stride, chips.STRIDES)
        self.stride = node.stride
        self.weights = np.asarray(node.weight, np.float64)
        self.bias = np.asarray(node.bias, np.float64)
        self.in_shape: Shape3 = node.input_shape  # type: ignore[assignment]  # inferred as (C, H, W)
        self.out_shape: Shape3 = node.output_shape  # type: ignore[assignment]

    def _dense(self, node: nodes.Affine | nodes.Linear) -> None:
        """A dense layer is a convolution whose kernel covers its whole input."""
        self.weight = node
        weight = np.asarray(node.weight, np.float64)
        if weight.ndim != 2:
            self._refuse(node.name, "weight", "a matrix (out, in)", weight.shape, "two axes")
            self.weight = None
            return
        shape = self.spatial
        inputs = math.prod(shape)
        if weight.shape[1] != inputs or node.output_shape != weight.shape[:1]:
            self._refuse(
                node.name,
                "weight",
                "a dense layer reads its whole input",
                wanted=weight.shape,
                limit=f"(out, {inputs})",
                hint="flatten the map first, from dimension 0",
            )
            self.weight = None
            return
        if len(shape) == 1:
            shape = (shape[0], 1, 1)
        if len(shape) != 3 or shape[1] != shape[2]:
            self._refuse(
                node.name,
                "weight",
                "a dense layer becomes a kernel over its input map, which must be square",
                wanted=self.spatial,
                limit="(features, n, n)",
                hint="crop or pad the map to a square before flattening",
            )
            self.weight = None
            return
        f_in, height, width = shape
        if self.order == "HWC":
            self.weights = weight.reshape(-1, height, width, f_in).transpose(0, 3, 1, 2)
        else:
            self.weights = weight.reshape(-1, f_in, height, width)
        self.bias = np.asarray(node.bias, np.float64) if isinstance(node, nodes.Affine) else None
        self.in_shape, self.out_shape = (f_in, height, width), (weight.shape[0], 1, 1)
