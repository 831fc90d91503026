"""What has to be placed: layers of compartments, connections between them, and the blocks layers are cut into.

Plain data without weights: where synapses are, not how strong they are. Images are (rows, columns, channels) with flat
index (row * columns + column) * channels + channel.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from itertools import product
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from hal_loihi import limits

__all__ = ["Block", "Connection", "Conv", "Dense", "Layer", "Network", "SynapseFormat", "tiles"]

Shape = tuple[int, ...]
Image = tuple[int, int, int]
Ints = NDArray[np.int64]


def _shape(value: Iterable[int]) -> Shape:
    return tuple(int(n) for n in value)


def _tuple(items: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(items)


def _profiles(value: Any) -> Ints | None:
    return None if value is None else np.asarray(value, np.int64)


@attrs.frozen(eq=False)
class Layer:
    """Compartments with a name: shape (n,) or (rows, columns, channels). Host inputs are layers too.

    compartment_profiles, threshold_profiles: (n,) integers, equal where the registers are equal; None: all equal, with
    those of every layer that has None. settings: what a core has once (vmin, vmax, noise); only blocks with equal
    settings may share a core.
    """

    name: str
    shape: Shape = attrs.field(converter=_shape)
    compartment_profiles: Ints | None = attrs.field(default=None, converter=_profiles, kw_only=True)
    threshold_profiles: Ints | None = attrs.field(default=None, converter=_profiles, kw_only=True)
    settings: Hashable = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if len(self.shape) not in (1, 3) or min(self.shape) < 1:
            raise ValueError(f"layer {self.name!r}: shape {self.shape}; give (n,) or (rows, columns, channels)")
        for what in ("compartment_profiles", "threshold_profiles"):
            value = getattr(self, what)
            if value is not None and value.shape != (self.size,):
                raise ValueError(f"layer {self.name!r}: {what} has shape {value.shape}; give ({self.size},)")

    @property
    def size(self) -> int:
        """Number of compartments."""
        return math.prod(self.shape)


@attrs.frozen(kw_only=True)
class SynapseFormat:
    """What the synapses of a connection look like in memory; connections of equal format share one of a core's formats.

    compression: "dense" stores one weight for every target from the first compartment of the block to the last one
    reached, "sparse" an index beside each weight; None takes the smaller one. Population axons are always sparse.
    """

    weight_bits: int = 8
    delay_bits: int = 0
    tag_bits: int = 0
    weight_exp: int = 0
    sign_mode: Literal["mixed", "excitatory", "inhibitory"] = "mixed"
    compression: Literal["dense", "sparse"] | None = None

    def __attrs_post_init__(self) -> None:
        wrong = []
        if self.weight_bits not in limits.WEIGHT_BITS[1:]:
            wrong.append(f"weight_bits {self.weight_bits}, allowed {limits.WEIGHT_BITS[1:]}")
        for what, (low, high) in (
            ("delay_bits", limits.DELAY_BITS),
            ("tag_bits", limits.TAG_BITS),
            ("weight_exp", limits.WEIGHT_EXP),
        ):
            if not low <= getattr(self, what) <= high:
                wrong.append(f"{what} {getattr(self, what)}, allowed {low} to {high}")
        if self.sign_mode not in ("mixed", "excitatory", "inhibitory"):
            wrong.append(f"sign_mode {self.sign_mode!r}, allowed 'mixed', 'excitatory', 'inhibitory'")
        if self.compression not in (None, "dense", "sparse"):
            wrong.append(f"compression {self.compression!r}, allowed 'dense', 'sparse', None")
        if wrong:
            raise ValueError("synapse format: " + "; ".join(wrong))

    @property
    def entry_bits(self) -> int:
        """Bits of a synapse, without its index."""
        return self.weight_bits + self.delay_bits + self.tag_bits


def _pattern(value: Any) -> Any:
    """CSC without explicit zeros, or None."""
    if value is None:
        return None
    pattern = sparse.csc_array(value).astype(bool)
    pattern.eliminate_zeros()
    pattern.sort_indices()
    return pattern


@attrs.frozen(eq=False)
class Dense:
    """One axon for every source compartment. pattern: (n_pre, n_post) where there are synapses, None for all of them.

    pattern is any scipy sparse matrix or array; stored weights of 0 count as no synapse.
    """

    source: str
    target: str
    pattern: Any = attrs.field(default=None, converter=_pattern)
    format: SynapseFormat = attrs.field(factory=SynapseFormat, kw_only=True)

    pop_type = 0


@attrs.frozen(eq=False)
class Conv:
    """A convolution through population axons: one axon for every input pixel, the channel is the atom.

    kernel, stride: (rows, columns). pad_top, pad_left: rows and columns of zeros before the image. in_shape, out_shape:
    (rows, columns, channels); output row y sees input rows y * stride - pad_top + (0 .. kernel rows - 1).
    """

    source: str
    target: str
    kernel: tuple[int, int] = attrs.field(kw_only=True)
    stride: tuple[int, int] = attrs.field(default=(1, 1), kw_only=True)
    pad_top: int = attrs.field(default=0, kw_only=True)
    pad_left: int = attrs.field(default=0, kw_only=True)
    in_shape: Image = attrs.field(kw_only=True)
    out_shape: Image = attrs.field(kw_only=True)
    pop_type: Literal[16, 32] = attrs.field(default=32, kw_only=True)
    format: SynapseFormat = attrs.field(factory=SynapseFormat, kw_only=True)

    def __attrs_post_init__(self) -> None:
        where = f"conv {self.source!r} -> {self.target!r}"
        if self.pop_type not in (16, 32):
            raise ValueError(f"{where}: pop_type {self.pop_type}; give 16 or 32")
        if len(self.in_shape) != 3 or len(self.out_shape) != 3:
            raise ValueError(f"{where}: shapes {self.in_shape} -> {self.out_shape}; give (rows, columns, channels)")
        if min(*self.kernel, *self.stride, *self.in_shape, *self.out_shape) < 1 or min(self.pad_top, self.pad_left) < 0:
            raise ValueError(f"{where}: kernel, stride and shapes start at 1, padding at 0")

    def rows(self, start: int, stop: int) -> tuple[int, int]:
        """First and last input row, seen or padded, of output rows start .. stop - 1."""
        return start * self.stride[0] - self.pad_top, (stop - 1) * self.stride[0] - self.pad_top + self.kernel[0] - 1

    def columns(self, start: int, stop: int) -> tuple[int, int]:
        """First and last input column, seen or padded, of output columns start .. stop - 1."""
        return start * self.stride[1] - self.pad_left, (stop - 1) * self.stride[1] - self.pad_left + self.kernel[1] - 1


Connection = Dense | Conv


@attrs.frozen(eq=False)
class Network:
    """Host inputs, layers on the chip, and connections into layers. ValueError names every mistake at once."""

    inputs: tuple[Layer, ...] = attrs.field(converter=_tuple)
    layers: tuple[Layer, ...] = attrs.field(converter=_tuple)
    connections: tuple[Connection, ...] = attrs.field(converter=_tuple)

    def __attrs_post_init__(self) -> None:
        wrong = list(self._mistakes())
        if wrong:
            raise ValueError("network: " + "; ".join(wrong))

    def _mistakes(self) -> Iterator[str]:
        names = [layer.name for layer in (*self.inputs, *self.layers)]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"the name {name!r} is used more than once"
        sizes = {layer.name: layer.size for layer in (*self.inputs, *self.layers)}
        on_chip = {layer.name for layer in self.layers}
        for connection in self.connections:
            where = f"{connection.source!r} -> {connection.target!r}"
            if connection.source not in sizes:
                yield f"{where}: there is no layer or input {connection.source!r}"
            elif connection.target not in on_chip:
                yield f"{where}: there is no layer {connection.target!r}"
            else:
                have = sizes[connection.source], sizes[connection.target]
                want = _sizes(connection) or have
                if want != have:
                    yield f"{where}: connects {want[0]} to {want[1]} compartments, layers have {have[0]} and {have[1]}"

    def layer(self, name: str) -> Layer:
        """The layer on the chip; KeyError when there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)


def _sizes(connection: Connection) -> tuple[int, int] | None:
    if isinstance(connection, Conv):
        return math.prod(connection.in_shape), math.prod(connection.out_shape)
    return None if connection.pattern is None else connection.pattern.shape


@attrs.frozen(eq=False)
class Block:
    """Compartments that go on one core together: a box of the layer's index space.

    shape: the index space, the layer's own or (n,); box: (start, stop) in each of its dimensions; label: its name in
    messages. Compartment k of the block is the k-th of the box in C order.
    """

    layer: str
    label: str
    shape: Shape
    box: tuple[tuple[int, int], ...]

    @property
    def extent(self) -> Shape:
        """Size of the box in each dimension."""
        return tuple(stop - start for start, stop in self.box)

    @property
    def size(self) -> int:
        """Number of compartments."""
        return math.prod(self.extent)

    @property
    def compartments(self) -> Ints:
        """(size,) flat indices in the layer, ascending."""
        axes = np.ix_(*(np.arange(start, stop, dtype=np.int64) for start, stop in self.box))
        flat = np.ravel_multi_index(axes, self.shape)
        return np.asarray(flat, np.int64).ravel()


def tiles(layer: Layer, tile: Shape, shape: Shape | None = None) -> tuple[Block, ...]:
    """The layer cut into boxes of shape `tile`, in C order; the last ones of a dimension may be smaller.

    shape: index space to cut, the layer's by default, (n,) for runs of consecutive compartments. ValueError when the
    tile has another rank or a side below 1, or the shape another size than the layer.
    """
    shape = layer.shape if shape is None else shape
    if math.prod(shape) != layer.size:
        raise ValueError(f"layer {layer.name!r} has {layer.size} compartments, shape {shape} has {math.prod(shape)}")
    if len(tile) != len(shape) or min(tile) < 1:
        raise ValueError(f"layer {layer.name!r} of shape {shape}: block shape {tile}; give {len(shape)} sizes from 1")
    ranges = [[(at, min(at + step, n)) for at in range(0, n, step)] for n, step in zip(shape, tile, strict=True)]
    boxes = list(product(*ranges))
    if len(boxes) == 1:
        return (Block(layer.name, layer.name, shape, boxes[0]),)
    return tuple(Block(layer.name, f"{layer.name}[{_inside(box)}]", shape, box) for box in boxes)


def _inside(box: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(f"{start}:{stop}" for start, stop in box)
