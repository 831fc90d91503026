"""The ideal network: any graph of linear maps and point neurons, in floating point, one step after another.

Arrays are batch first and flat: (B, n). Sums run by source in the order given, then by source index, so a result does
not depend on the batch it was computed in. Values of every node are those of the step; what leaves a neuron within a
cycle arrives a step later (the caller says so by a delay).
"""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_emulators import ideal_kernels as kernels

Float = NDArray[np.floating[Any]]

MAX_SPIKES: Final = 1 << 20
"""Most spikes of a neuron in one step; a network beyond it runs away and would only fill the memory."""

RESETS: Final = ("value", "subtract", "subtract_n", "discard_update")


@attrs.frozen(kw_only=True, eq=False)
class Source:
    """Where a node takes its input from: a name, and how many steps ago."""

    name: str
    delay: int = 0


@attrs.frozen(kw_only=True, eq=False)
class Map:
    """A linear map of the summed sources.

    kind: dense: weight (out, in); conv: weight (Co, Ci/groups, Kh, Kw) on (Ci, H, W); pool: sum over windows, divided
    by `divisor`; scale: weight (n,); reorder: output k is input order[k]; delay: output k is input k, order[k] steps
    ago; identity. bias: flat (out,), added once per step, or empty. Pairs are (y, x); padding is ((top, bottom),
    (left, right)).
    """

    name: str
    kind: str
    sources: tuple[Source, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    weight: Float = attrs.field(factory=lambda: np.zeros(0))
    bias: Float = attrs.field(factory=lambda: np.zeros(0))
    order: NDArray[np.int64] = attrs.field(factory=lambda: np.zeros(0, np.int64))
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    divisor: float = 1.0


@attrs.frozen(kw_only=True, eq=False)
class Neurons:
    """A population. Parameter arrays are (n,) and already per step.

    The membrane: v' = decay v + (1 - decay) leak + gain d, or with `euler` v' = v + (1 - decay)(leak - v) + gain d,
    where d is the summed input, or the synaptic current when `current`. The current: i' = current_decay i +
    current_gain x; with `jump_before` i' = current_decay (i + current_gain x). `undecayed` shows the membrane the
    current before its decay. `spiking` False: the output is v. `memoryless`: the output is x compared with threshold.
    `late_reset`: the reset follows in the next step. `fires_on_old`: decided on the state before the update.
    `many`: several spikes a step. v_min is -inf where there is no bound.
    """

    name: str
    sources: tuple[Source, ...]
    decay: Float
    leak: Float
    gain: Float
    current_decay: Float
    current_gain: Float
    threshold: Float
    v_reset: Float
    v_min: Float
    v_start: Float
    spiking: bool = True
    memoryless: bool = False
    current: bool = False
    euler: bool = False
    jump_before: bool = False
    undecayed: bool = False
    reset: str = "value"
    late_reset: bool = False
    at_threshold: bool = False
    fires_on_old: bool = False
    many: bool = False


class _Ring:
    """The last values of a node, so that others can read them some steps late."""

    def __init__(self, depth: int, batch: int, size: int, dtype: np.dtype[Any]) -> None:
        self.values = np.zeros((depth + 1, batch, size), dtype)
        self.at = 0

    def put(self, value: Float) -> None:
        self.at = (self.at + 1) % len(self.values)
        self.values[self.at] = value

    def get(self, delay: int) -> Float:
        """The value put `delay` - 1 puts ago (1: the latest)."""
        got: Float = self.values[(self.at - delay + 1) % len(self.values)]
        return got


class RunawayError(ArithmeticError):
    """A neuron gave more than MAX_SPIKES spikes in one step, or none that is a number. args: the node."""


class Network:
    """A program of nodes in evaluation order, with the state of B independent copies.

    inputs: name -> flat size. nodes: in the order in which they are evaluated within a step; a source with delay 0
    must stand before its reader, or be an input.
    """

    def __init__(
        self, inputs: dict[str, int], nodes: tuple[Map | Neurons, ...], dtype: str = "float32", batch: int = 1
    ) -> None:
        self.inputs = dict(inputs)
        self.nodes = nodes
        self.dtype = np.dtype(dtype)
        self.sizes = dict(inputs) | {node.name: _size(node) for node in nodes}
        self._work: dict[str, Any] = {node.name: _prepare(node, self.dtype) for node in nodes}
        depths: dict[str, int] = {}
        for node in nodes:
            for source in node.sources:
                depths[source.name] = max(depths.get(source.name, 0), source.delay)
        self._depths = {name: depth for name, depth in depths.items() if depth}
        self.batch = batch
        self.reset()

    def reset(self, batch: int | None = None) -> None:
        """Every copy back to its start state; optionally another number of copies."""
        self.batch = batch if batch is not None else self.batch
        self.values = {name: np.zeros((self.batch, size), self.dtype) for name, size in self.sizes.items()}
        self._rings = {
            name: _Ring(depth, self.batch, self.sizes[name], self.dtype) for name, depth in self._depths.items()
        }
        self._delays: dict[str, _Ring] = {}
        self.state: dict[str, tuple[Float, Float, Float]] = {}
        for node in self.nodes:
            if isinstance(node, Neurons):
                v = np.broadcast_to(node.v_start.astype(self.dtype), (self.batch, node.v_start.size)).copy()
                self.state[node.name] = (v, np.zeros_like(v), np.zeros_like(v))
            elif node.kind == "delay":
                depth = int(node.order.max(initial=0))
                self._delays[node.name] = _Ring(depth + 1, self.batch, node.order.size, self.dtype)
        self.synops = np.zeros(self.batch, np.int64)

    def pending(self) -> NDArray[np.int64]:
        """(B,) values that are not zero and still under way: in delay lines, and to readers that are late."""
        total = np.zeros(self.batch, np.int64)
        for name, depth in self._depths.items():
            for ago in range(1, depth + 1):
                total += np.count_nonzero(self._rings[name].get(ago), axis=1)
        for node in self.nodes:
            if node.name in self._delays and isinstance(node, Map):
                for ago in range(1, int(node.order.max(initial=0)) + 1):
                    waiting = self._delays[node.name].get(ago)[:, node.order >= ago]
                    total += np.count_nonzero(waiting, axis=1)
        return total

    def keep(self, b: int) -> None:
        """Go on with copy b alone."""
        self.batch = 1
        self.values = {name: value[b : b + 1].copy() for name, value in self.values.items()}
        self.state = {
            name: (v[b : b + 1].copy(), i[b : b + 1].copy(), z[b : b + 1].copy())
            for name, (v, i, z) in self.state.items()
        }
        for ring in (*self._rings.values(), *self._delays.values()):
            ring.values = ring.values[:, b : b + 1].copy()
        self.synops = self.synops[b : b + 1].copy()

    def step(self, inputs: dict[str, Float]) -> None:
        """One step. inputs: name -> (B, n) values of this step; afterwards `values` holds every node's output.

        `synops` counts, per copy, the products of a non-zero value with a weight.
        """
        for name, value in inputs.items():
            self.values[name][...] = value
        for node in self.nodes:
            x = self._gather(node)
            if isinstance(node, Neurons):
                v, i, z = self.state[node.name]
                out = self.values[node.name]
                kernels.neurons(x, v, i, z, out, *self._work[node.name])
                # NaN fails the comparison, too
                if node.many and node.spiking and not (out <= MAX_SPIKES).all():
                    raise RunawayError(node.name)
            else:
                self._map(node, x)
        for name, ring in self._rings.items():
            ring.put(self.values[name])

    def _gather(self, node: Map | Neurons) -> Float:
        sources = node.sources
        if len(sources) == 1:
            return self._value(sources[0])
        if not sources:
            size = int(np.prod(node.input_shape)) if isinstance(node, Map) else node.threshold.size
            return np.zeros((self.batch, size), self.dtype)
        total = self._value(sources[0]).copy()
        for source in sources[1:]:
            total += self._value(source)
        return total

    def _value(self, source: Source) -> Float:
        return self._rings[source.name].get(source.delay) if source.delay else self.values[source.name]

    def _map(self, node: Map, x: Float) -> None:
        out = self.values[node.name]
        work = self._work[node.name]
        if node.kind == "dense":
            kernels.dense(x, work[0], work[1], out, self.synops)
        elif node.kind == "conv":
            kernels.conv(x.reshape(self.batch, *node.input_shape), out, self.synops, *work)
        elif node.kind == "pool":
            kernels.pool(x.reshape(self.batch, *node.input_shape), out, *work)
        elif node.kind == "scale":
            np.multiply(x, work[0], out=out)
        elif node.kind == "reorder":
            np.take(x, node.order, axis=1, out=out)
        elif node.kind == "delay":
            ring = self._delays[node.name]
            ring.put(x)
            slots = (ring.at - node.order) % len(ring.values)
            out[...] = ring.values[slots, :, np.arange(node.order.size)].T
        else:
            out[...] = x


def _size(node: Map | Neurons) -> int:
    return node.threshold.size if isinstance(node, Neurons) else int(np.prod(node.output_shape, dtype=np.int64))


def _prepare(node: Map | Neurons, dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """Arguments of a node's kernel, in the arithmetic of the network."""

    def typed(values: Any) -> Float:
        return np.ascontiguousarray(values, dtype)

    if isinstance(node, Neurons):
        arrays = (
            node.decay,
            1.0 - np.asarray(node.decay, np.float64),
            node.leak,
            node.gain,
            node.current_decay,
            node.current_gain,
            node.threshold,
            node.v_reset,
            node.v_min,
        )
        flags = (
            node.spiking,
            node.memoryless,
            node.current,
            node.euler,
            node.jump_before,
            node.undecayed,
            RESETS.index(node.reset),
            node.late_reset,
            node.at_threshold,
            node.fires_on_old,
            node.many,
        )
        return (*(typed(values) for values in arrays), *flags)
    bias = typed(node.bias) if node.bias.size else np.zeros(_size(node), dtype)
    if node.kind == "dense":
        return typed(node.weight.T), bias
    if node.kind == "conv":
        co, ci, kh, kw = node.weight.shape
        grouped = node.weight.reshape(node.groups, co // node.groups, ci, kh, kw).transpose(0, 2, 3, 4, 1)
        return (
            typed(grouped),
            bias,
            node.output_shape[1],
            node.output_shape[2],
            *node.stride,
            node.padding[0][0],
            node.padding[1][0],
            *node.dilation,
        )
    if node.kind == "pool":
        return (
            node.output_shape[1],
            node.output_shape[2],
            *node.kernel,
            *node.stride,
            node.padding[0][0],
            node.padding[1][0],
            dtype.type(node.divisor),
        )
    return (typed(node.weight),)
