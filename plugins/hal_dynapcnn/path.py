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


def core_shapes(model: Model) -> dict[str, Shape3]:
    """(features, y, x) of every population as its core sees it.

    A population behind Conv2d and Flatten is flat in the model and a map on its core; a flat one otherwise has one
    pixel.
    """
    incoming: dict[str, list[Projection]] = {}
    for projection in model.projections():
        incoming.setdefault(projection.target, []).append(projection)

    def shape(name: str, seen: tuple[str, ...]) -> Shape3:
        node = model.nodes[name]
        own = node.output_shape
        if len(own) == 3:
            return own
        for projection in incoming.get(name, []):
            found: tuple[int, ...] = ()
            maps = [part for part in projection.path if not isinstance(part, nodes.Flatten | nodes.Scale)]
            if maps:
                found = maps[-1].output_shape
            elif projection.source not in seen:
                found = shape(projection.source, (*seen, name))
            if len(found) == 3 and math.prod(found) == node.size:
                return found
        return node.size, 1, 1

    return {node.name: shape(node.name, (node.name,)) for node in model.populations()}


class Path:
    """The nodes between two populations as one convolution with pooling before it.

    Attributes:
        weight: the node that holds the kernel; None for the identity, a path without weights.
        weights: (features out, features in, side, side), as the model has them.
        bias: (features out,) of the model, or None.
        average, scale: what average pooling and Scale nodes multiply the weights with.
        bias_factor: what Scale nodes behind the weights multiply the bias with.
        pooling: side of the pool before the weights.
        way: names from the weights on; what several paths have in common counts once.
        refused: whether something was refused; then the other attributes are not complete.
    """

    def __init__(self, model: Model, projection: Projection, source_shape: Shape3, refuse: Refuse) -> None:
        self.model = model
        self.source = projection.source
        self._tell = refuse
        self.refused = False
        self.weight: Any = None
        self.average, self.scale, self.bias_factor = 1.0, 1.0, 1.0
        self.pooling = 1
        self.bias: Float | None = None
        self.stride, self.padding = (1, 1), (0, 0)
        self.spatial = source_shape
        self.order = "CHW"
        self.folded = tuple(node.name for node in projection.path)
        for node in projection.path:
            self._take(node)
        self.way = () if self.weight is None else self.folded[self.folded.index(self.weight.name) :]
        pools = [node.name for node in projection.path if isinstance(node, nodes.SumPool2d)]
        if projection.source in model.inputs and self.pooling > 1:
            self._refuse(
                pools[0],
                "kernel_size",
                "pooling before the first layer",
                hint="pool the events before, or use a stride",
            )
        if self.pooling not in chips.POOLINGS:
            reason = "pooling between two cores"
            self._refuse(pools[0], "kernel_size", reason, wanted=self.pooling, limit=chips.POOLINGS)
        if self.weight is None and not self.refused:
            self._identity(projection.target)

    def _refuse(self, *said: Any, **more: Any) -> None:
        self.refused = True
        self._tell(*said, **more)

    def _take(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.SumPool2d):
            self._pool(node)
        elif isinstance(node, nodes.Scale):
            self._scale(node)
        elif isinstance(node, nodes.Flatten):
            self._flatten(node)
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
            self.spatial = node.output_shape  # type: ignore[assignment]  # inferred as (C, H, W)
            if isinstance(node, nodes.AvgPool2d):
                self.average /= size * size

    def _scale(self, node: nodes.Scale) -> None:
        values = np.unique(np.asarray(node.scale, np.float64))
        if not np.isfinite(values).all():
            bad = int((~np.isfinite(node.scale)).sum())
            reason = "values that are not finite (NaN or inf)"
            self._refuse(node.name, "scale", reason, wanted=bad, limit="finite numbers")
            return
        if values.size > 1:
            self._refuse(
                node.name,
                "scale",
                "only one factor for a whole layer can be folded into weights",
                wanted=f"{values.size} values",
                limit="one value",
            )
            return
        self.scale *= float(values[0])
        if self.weight is not None:
            self.bias_factor *= float(values[0])

    def _flatten(self, node: nodes.Flatten) -> None:
        """Channels last is an order of a dense layer's inputs; neurons have the order of their core."""
        order = self.model.semantics.rule(node).flatten_order
        if self.weight is None:
            self.order = order
        elif order == "HWC" and math.prod(self.out_shape[1:]) > 1:
            self._refuse_order(node.name)

    def _refuse_order(self, node: str) -> None:
        reason = "neurons in H, W, C order; those of a core are in C, H, W order"
        self._refuse(node, "flatten_order", reason, wanted="HWC", limit="CHW", hint="flatten behind the neurons")

    def _identity(self, target: str) -> None:
        """Spikes added as they are: a 1 x 1 kernel that passes every feature on."""
        features = self.spatial[0]
        if math.prod(self.spatial) != self.model.nodes[target].size:
            size = self.model.nodes[target].size
            reason = f"no weights between it and {self.source}, and other sizes"
            self._refuse(target, "input", reason, wanted=self.spatial, limit=f"{size} neurons")
            return
        if self.order == "HWC" and math.prod(self.spatial[1:]) > 1:
            self._refuse_order(target)
            return
        self.weights = np.eye(features)[:, :, None, None]
        self.in_shape = self.out_shape = self.spatial

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
        self.in_shape = node.input_shape  # type: ignore[assignment]  # inferred as (C, H, W)
        self.out_shape = node.output_shape  # type: ignore[assignment]

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
        if shape[1] != shape[2]:
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
