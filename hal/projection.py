"""What one population adds to another: the path between them, and its sparse matrix on demand."""

from __future__ import annotations

import math

import attrs
import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hal.events import I64
from hal.nir.shapes import flatten_range
from hal.nodes import (
    Affine,
    Array,
    AvgPool2d,
    Conv1d,
    Conv2d,
    Delay,
    Flatten,
    Linear,
    Node,
    Scale,
    Shape,
    SumPool2d,
)


@attrs.frozen(kw_only=True, eq=False)
class Projection:
    """One path from a population to the next, through nodes that hold no neurons.

    Attributes:
        source, target: populations (an Input counts as one); the target may be an Output.
        path: the NIR nodes between them, in order.
        bias: flat (target size,) float64: what this projection adds to its target once per step; None for nothing.
            Where paths merge before a node with a bias, the first of them by source name carries it.
        delay_ns: of the Delay nodes on the path. An array has one value per source element where the Delay stands
            before any node that mixes elements, else one per target element.
        recurrent: whether source and target lie in one strongly connected component.
        hwc: names of the Flatten nodes that read channels last (`Semantics.flatten_order`).
    """

    source: str
    target: str
    path: tuple[Node, ...]
    bias: Array | None
    delay_ns: int | I64
    recurrent: bool
    source_shape: Shape
    hwc: frozenset[str] = frozenset()

    @property
    def source_size(self) -> int:
        """Number of elements of the source."""
        return math.prod(self.source_shape)

    def matrix(self) -> csr_array:
        """(target size, source size) float64: what one event or unit of each source element adds to each target.

        Delays and biases are not in it. Entries that are zero are left out.
        """
        return through(self.path, self.source_size, self.hwc)

    def labels(self) -> tuple[Affine | Linear | Conv1d | Conv2d, csr_array] | None:
        """The node with the weights, and which of them joins each pair: (target size, source size), flat index + 1.

        All weights have a label, those that are 0, too. None where a pair is joined by more or less than one weight as
        it stands: no node with weights on the path, several, or a Scale or a pool.
        """
        weighty = [node for node in self.path if isinstance(node, Affine | Linear | Conv1d | Conv2d)]
        others = [node for node in self.path if node not in weighty]
        if len(weighty) != 1 or not all(isinstance(node, Flatten | Delay) for node in others):
            return None
        (node,) = weighty
        numbered = attrs.evolve(node, weight=(np.arange(node.weight.size) + 1.0).reshape(node.weight.shape))
        path = tuple(numbered if other is node else other for other in self.path)
        return node, through(path, self.source_size, self.hwc).astype(np.int64)


def through(path: tuple[Node, ...], size: int, hwc: frozenset[str]) -> csr_array:
    """The matrix of a path that starts with `size` elements."""
    if not path:
        return csr_array(scipy.sparse.eye_array(size, dtype=np.float64))
    result = node_matrix(path[0], path[0].name in hwc)
    for node in path[1:]:
        result = csr_array(node_matrix(node, node.name in hwc) @ result)
    result.eliminate_zeros()
    result.sort_indices()
    return result


def node_matrix(node: Node, hwc: bool = False) -> csr_array:
    """The matrix (output size, input size) of a node without neurons; float64."""
    if isinstance(node, Affine | Linear):
        return _dense(node.weight)
    if isinstance(node, Scale):
        return csr_array(scipy.sparse.diags_array(node.scale.reshape(-1).astype(np.float64)))
    if isinstance(node, Conv2d):
        return _conv(node, node.stride, node.padding, node.dilation)
    if isinstance(node, Conv1d):
        return _conv(node, (node.stride,), (node.padding,), (node.dilation,))
    if isinstance(node, SumPool2d):
        return _pool(node)
    if isinstance(node, Flatten) and hwc:
        order = flatten_sources(node, hwc)
        ones = np.ones(order.size)
        return csr_array((ones, (np.arange(order.size), order)), shape=(order.size, order.size))
    if isinstance(node, Flatten | Delay):
        return csr_array(scipy.sparse.eye_array(node.size, dtype=np.float64))
    raise TypeError(f"{node.name!r} is a {node.type}: it holds neurons and has no matrix")


def flatten_sources(node: Flatten, hwc: bool) -> I64:
    """Flat input index of every output element of a Flatten.

    Channels last (hwc) concerns the axes that are merged, where the first of all, the channels, is among them.
    """
    index = np.arange(node.size, dtype=np.int64).reshape(node.input_shape)
    first, last = flatten_range(len(node.input_shape), node.start_dim, node.end_dim)
    if hwc and first == 0:
        index = np.moveaxis(index, 0, last)
    return index.reshape(-1)


def _dense(weight: Array) -> csr_array:
    """(..., out, in): one block per leading index."""
    blocks = weight.reshape(-1, *weight.shape[-2:]).astype(np.float64)
    if len(blocks) == 1:
        return csr_array(blocks[0])
    return csr_array(scipy.sparse.block_diag([csr_array(block) for block in blocks], format="csr"))


def _taps(
    shape: Shape, out: Shape, stride: Shape, before: Shape, dilation: Shape, offset: Shape
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Flat positions (output, input) within one channel that a kernel element at `offset` joins."""
    outs = np.arange(math.prod(out), dtype=np.int64)
    grid = np.stack(np.unravel_index(outs, out), axis=1)
    at = grid * np.array(stride) - np.array(before) + np.array(offset) * np.array(dilation)
    inside = np.all((at >= 0) & (at < np.array(shape)), axis=1)
    return outs[inside], np.ravel_multi_index(tuple(at[inside].T), shape).astype(np.int64)


def _conv(node: Conv1d | Conv2d, stride: Shape, padding: tuple[tuple[int, int], ...], dilation: Shape) -> csr_array:
    shape, out = node.input_shape[1:], node.output_shape[1:]
    weight = node.weight.astype(np.float64)
    per_group = weight.shape[0] // node.groups
    # input channel of each (output channel, weight channel)
    channel = np.arange(weight.shape[0])[:, None] // per_group * weight.shape[1] + np.arange(weight.shape[1])
    n_in, n_out = math.prod(shape), math.prod(out)
    before = tuple(pad[0] for pad in padding)
    rows, columns, values = [], [], []
    for offset in np.ndindex(*weight.shape[2:]):
        outs, ins = _taps(shape, out, stride, before, dilation, offset)
        tap = weight[(..., *offset)]
        to, of = np.nonzero(tap)
        rows.append((to[:, None] * n_out + outs).reshape(-1))
        columns.append((channel[to, of][:, None] * n_in + ins).reshape(-1))
        values.append(np.repeat(tap[to, of], outs.size))
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return csr_array(entries, shape=(weight.shape[0] * n_out, node.input_shape[0] * n_in))


def _pool(node: SumPool2d) -> csr_array:
    shape, out = node.input_shape[1:], node.output_shape[1:]
    taps = [_taps(shape, out, node.stride, node.padding, (1, 1), o) for o in np.ndindex(*node.kernel_size)]
    outs, ins = (np.concatenate(side) for side in zip(*taps, strict=True))
    share = 1.0 / math.prod(node.kernel_size) if isinstance(node, AvgPool2d) else 1.0
    one = csr_array((np.full(outs.size, share), (outs, ins)), shape=(math.prod(out), math.prod(shape)))
    return csr_array(scipy.sparse.kron(scipy.sparse.eye_array(node.input_shape[0]), one, format="csr"))


def node_bias(node: Node) -> NDArray[np.float64] | None:
    """The flat bias of a node, (output size,), or None if it has none or only zeros."""
    if isinstance(node, Affine):
        bias = node.bias.astype(np.float64).reshape(-1)
    elif isinstance(node, Conv1d | Conv2d):
        bias = np.repeat(node.bias.astype(np.float64), math.prod(node.output_shape[1:]))
    else:
        return None
    return bias if bias.any() else None
