"""Parameters of DynapCNN cores and their place in the flat arrays the compiled kernels work on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .dynapcnn_kernel import LANES
from .dynapcnn_records import CORE, LINK

__all__ = ["CoreParams", "Cores", "Layout", "Link", "OddPolicy"]

OddPolicy = Literal["drop", "keep"]
"""What happens to a spike in the incomplete last row or column of a map whose size is no multiple of the pooling.

- ``drop``: it reaches nobody and is counted in `CoreResult.dropped_by_pooling` (what pooling layers of frameworks do).
- ``keep``: the address divider passes it on as coordinate size // pooling, one beyond the next core's input map, and
  the next core applies its kernel there by the ordinary rule: output positions o with o * stride + k - padding equal
  to that coordinate for some kernel position k, as far as o lies in the output map. It counts as an event of the next
  core, even if it reaches no neuron.

What the chip does is not published.
"""

T = TypeVar("T", np.int8, np.int16)


def _integers(values: ArrayLike, dtype: type[T], dimensions: int) -> NDArray[T]:
    """Read-only C-contiguous copy in `dtype`; refuses anything but integers in its range."""
    array = np.asarray(values)
    limits = np.iinfo(dtype)
    if array.dtype.kind not in "iu":
        raise TypeError(f"expected integers, got an array of {array.dtype}")
    if array.ndim != dimensions:
        raise ValueError(f"expected {dimensions} dimensions, got shape {array.shape}")
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise ValueError(f"values {array.min()}..{array.max()} exceed {limits.min}..{limits.max}")
    copy = np.array(array, dtype=dtype, order="C")
    copy.setflags(write=False)
    return copy


def _weights(values: ArrayLike) -> NDArray[np.int8]:
    return _integers(values, np.int8, 4)


def _bias(values: ArrayLike) -> NDArray[np.int16]:
    return _integers(values, np.int16, 1)


def to_state(values: ArrayLike) -> NDArray[np.int16]:
    """State (f, y, x) as int16; ValueError or TypeError for anything but integers in that range."""
    return _integers(values, np.int16, 3)


def _flags(values: ArrayLike) -> NDArray[np.bool_]:
    array = np.array(values, order="C")
    if array.dtype != np.bool_:
        raise TypeError(f"expected flags, got an array of {array.dtype}")
    array.setflags(write=False)
    return array


def _int16(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not -32768 <= value <= 32767:
        raise ValueError(f"{attribute.name} = {value} exceeds -32768..32767")


@attrs.frozen(kw_only=True, eq=False)
class CoreParams:
    """Parameters of one core, in the integers the chip stores.

    Raises ValueError or TypeError for shapes that do not belong together and for values outside their integer type.
    Limits of particular chips (kernel size, strides, memories) are not checked here.
    """

    weights: NDArray[np.int8] = attrs.field(converter=_weights)
    """(f_out, f_in, k, k), int8, index order [out][in][ky][kx]."""
    in_shape: tuple[int, int, int]
    """(channels, height, width) of the input map."""
    threshold_high: int = attrs.field(validator=_int16)
    threshold_low: int = attrs.field(default=-32768, validator=_int16)
    bias: NDArray[np.int16] = attrs.field(converter=_bias)
    """(f_out,), int16, added to every neuron of a feature at each leak tick; zeros if not given."""
    stride: tuple[int, int] = (1, 1)
    """(y, x)."""
    padding: tuple[int, int] = (0, 0)
    """(y, x)."""
    return_to_zero: bool = False
    leak_enable: bool = False
    leak_internal: bool = False
    """Ticks come from the clock inside the chip, which counts sensor events."""
    balancer: bool = False
    """Drop an event that finds the input buffer full, instead of letting its sender wait."""
    every: int = 1
    """Decimator: one output spike of so many goes on."""
    killed: NDArray[np.bool_] | None = attrs.field(default=None, converter=attrs.converters.optional(_flags))
    """(f_out, y, x): neurons that never fire; none if None."""
    pooling: int = 1
    """Sum pooling towards the next core of a chain, kernel = stride. In a network its links say it."""
    initial_state: NDArray[np.int16] | None = attrs.field(default=None, converter=attrs.converters.optional(to_state))
    """(f_out, y, x), int16; zeros if None."""

    @bias.default
    def _no_bias(self) -> NDArray[np.int16]:
        return np.zeros(self.weights.shape[0], np.int16)

    def __attrs_post_init__(self) -> None:
        f_out, f_in, height, width = self.weights.shape
        if height != width or 0 in self.weights.shape:
            raise ValueError(f"weights need shape (f_out, f_in, k, k) without zeros, got {self.weights.shape}")
        if len(self.in_shape) != 3 or min(self.in_shape) < 1 or self.in_shape[0] != f_in:
            raise ValueError(f"in_shape {self.in_shape} does not suit weights for {f_in} input channels")
        if min(self.stride) < 1 or min(self.padding) < 0 or self.pooling < 1 or self.every < 1:
            raise ValueError(
                f"stride {self.stride}, padding {self.padding}, pooling {self.pooling} or every {self.every} is out of "
                "range"
            )
        if min(self.out_shape) < 1:
            raise ValueError(f"kernel {height} does not fit input {self.in_shape} with padding {self.padding}")
        if self.bias.shape != (f_out,):
            raise ValueError(f"bias needs shape ({f_out},), got {self.bias.shape}")
        if self.initial_state is not None and self.initial_state.shape != self.out_shape:
            raise ValueError(f"initial_state needs shape {self.out_shape}, got {self.initial_state.shape}")
        if self.killed is not None and self.killed.shape != self.out_shape:
            raise ValueError(f"killed needs shape {self.out_shape}, got {self.killed.shape}")

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """(features, height, width) of the neurons, that is before pooling."""
        kernel = self.weights.shape[2]
        height, width = (
            (size + 2 * pad - kernel) // stride + 1
            for size, pad, stride in zip(self.in_shape[1:], self.padding, self.stride, strict=True)
        )
        return self.weights.shape[0], height, width


@attrs.frozen
class Link:
    """A way from a source of events to a core."""

    source_shape: tuple[int, int, int]
    """(channels, height, width) of the source's event addresses, before `pooling`."""
    pooling: int
    target: int
    """Number of the core the events go to."""
    shift: int = 0
    """Added to the channel."""


def _stored_order(kernel: int, stride: int) -> list[int]:
    """Kernel positions in storage order: for each stride phase the positions of that phase, descending."""
    return [position for phase in range(stride) for position in range(kernel - 1, -1, -1) if position % stride == phase]


def _stored_weights(core: CoreParams) -> NDArray[np.int8]:
    """Weights in the kernels' order, flat [channel][ky][kx][feature] with rows and columns in storage order."""
    rows, columns = (_stored_order(core.weights.shape[2], stride) for stride in core.stride)
    return core.weights[:, :, rows][:, :, :, columns].transpose(1, 2, 3, 0).ravel()


def _reach(core: CoreParams, axis: int, n_source: int, pooling: int, odd: OddPolicy) -> NDArray[np.int32]:
    """Reach table of one axis (0 y, 1 x), (n_source, 3): first output position, count, stored first kernel position.

    Source coordinate s arrives as i = s // pooling and reaches outputs o with 0 <= i + padding - o * stride < kernel.
    """
    kernel, stride, padding = core.weights.shape[2], core.stride[axis], core.padding[axis]
    n_in, n_out = core.in_shape[1 + axis], core.out_shape[1 + axis]
    stored = _stored_order(kernel, stride)
    table = np.zeros((n_source, 3), np.int32)
    for source in range(n_source):
        arrival = source // pooling
        if arrival >= n_in and odd == "drop":
            table[source, 1] = -1
            continue
        corner = arrival + padding
        first = max(0, -((kernel - 1 - corner) // stride))
        last = min(n_out - 1, corner // stride)
        if first <= last:
            table[source] = first, last - first + 1, stored.index(corner - first * stride)
    return table


class _Shelf:
    """Arrays put one behind the other."""

    def __init__(self) -> None:
        self._parts: list[NDArray[Any]] = []
        self._size = 0

    def put(self, part: NDArray[Any]) -> int:
        """Append `part`; where it starts."""
        start = self._size
        self._parts.append(part)
        self._size += len(part)
        return start

    def joined(self) -> NDArray[Any]:
        """All parts as one array."""
        return np.concatenate(self._parts)


class Layout:
    """Cores and links packed into flat arrays as the kernels take them.

    `cores`, `links`: CORE and LINK records; `reach` (n, 3) int32; `weights` int8, `targets` uint32 and `bias` int16
    flat; `v` int16 flat, the state, which the kernels change.
    """

    def __init__(self, cores: Sequence[CoreParams], links: Sequence[Link], odd: OddPolicy) -> None:
        self._shapes = [core.out_shape for core in cores]
        self.cores = np.zeros(len(cores), CORE)
        self.links = np.zeros(len(links), LINK)
        weights, targets, bias, reach = _Shelf(), _Shelf(), _Shelf(), _Shelf()
        n_state = 0
        for core, record in zip(cores, self.cores, strict=True):
            f, height, width = core.out_shape
            kernel = core.weights.shape[2]
            record["width"], record["features"], record["neurons"] = width, f, f * height * width
            record["channel_step"], record["row_step"] = kernel * kernel * f, kernel * f
            record["threshold_high"], record["threshold_low"] = core.threshold_high, core.threshold_low
            record["keep"] = 0 if core.return_to_zero else -1
            record["leak"] = core.leak_enable * (1 + core.leak_internal)
            record["weights"] = weights.put(_stored_weights(core))
            record["bias"] = bias.put(core.bias)
            run = np.arange(f * min(kernel, width))  # no event reaches more columns than the kernel has
            record["targets"] = targets.put((run % f * height * width + run // f).astype(np.uint32))
            record["state"] = n_state
            n_state += f * height * width + LANES
        for link, record in zip(links, self.links, strict=True):
            core = cores[link.target]
            _, height, width = link.source_shape
            record["plane"], record["width"] = height * width, width
            record["core"], record["shift"] = link.target, link.shift
            record["rows"] = reach.put(_reach(core, 0, height, link.pooling, odd))
            record["columns"] = reach.put(_reach(core, 1, width, link.pooling, odd))
        weights.put(np.zeros(LANES, np.int8))  # the kernels read whole blocks
        self.reach, self.weights = reach.joined(), weights.joined()
        self.targets, self.bias = targets.joined(), bias.joined()
        self.v = np.zeros(n_state, np.int16)

    def block(self, core: int) -> NDArray[np.int16]:
        """View (y, x, f) of the state of one core."""
        f, height, width = self._shapes[core]
        start = int(self.cores[core]["state"])
        return self.v[start : start + f * height * width].reshape(height, width, f)


class Cores:
    """Cores with their state in memory: what all emulators of this family share."""

    def __init__(self, cores: Sequence[CoreParams], links: Sequence[Link], odd: OddPolicy) -> None:
        self.cores = tuple(cores)
        self._layout = Layout(cores, links, odd)

    def state(self, core: int) -> NDArray[np.int16]:
        """Copy of the state of one core, (f, y, x)."""
        return self._layout.block(core).transpose(2, 0, 1).copy()

    def set_state(self, core: int, values: ArrayLike) -> None:
        """Set the state of one core from integers of shape (f, y, x); values outside 16 bits are a ValueError."""
        array = to_state(values)
        if array.shape != self.cores[core].out_shape:
            raise ValueError(f"core {core} has state {self.cores[core].out_shape}, got {array.shape}")
        self._layout.block(core)[:] = array.transpose(1, 2, 0)

    def _to_start(self) -> None:
        """Set every neuron to its initial state."""
        self._layout.v[:] = 0
        for number, core in enumerate(self.cores):
            if core.initial_state is not None:
                self.set_state(number, core.initial_state)
