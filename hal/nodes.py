"""The nodes of a NIR graph as typed, frozen records: the primitives of nir 0.1 to 1.0.8.

Shapes have no batch and no time axis. Every neuron parameter is an array of the neuron's shape. Units are those of
the file; `Semantics` says what they mean (seconds or steps, what r and w_in do).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
Array = NDArray[np.floating[Any]]


@attrs.frozen(kw_only=True, eq=False)
class Node:
    """What all nodes share. Shapes are those of one time step, without batch."""

    name: str
    input_shape: Shape
    output_shape: Shape
    metadata: Mapping[str, Any] = attrs.field(factory=dict, repr=False)

    population: ClassVar[bool] = False
    """Whether it holds neurons (or stands for them, as an Input does); everything else lies on a path."""
    spiking: ClassVar[bool] = False
    """Whether its output is events."""
    parameters: ClassVar[tuple[str, ...]] = ()
    """Names of its per-element array parameters."""

    @property
    def type(self) -> str:
        """The NIR name of the primitive."""
        return type(self).__name__

    @property
    def size(self) -> int:
        """Number of elements of the output."""
        return int(np.prod(self.output_shape, dtype=np.int64))


@attrs.frozen(kw_only=True, eq=False)
class Input(Node):
    """Where a stimulus enters."""

    population = True


@attrs.frozen(kw_only=True, eq=False)
class Output(Node):
    """Where a result leaves."""


@attrs.frozen(kw_only=True, eq=False)
class Affine(Node):
    """y = W x + b; weight (..., out, in), bias (..., out)."""

    weight: Array
    bias: Array
    parameters = ("weight", "bias")


@attrs.frozen(kw_only=True, eq=False)
class Linear(Node):
    """y = W x; weight (..., out, in)."""

    weight: Array
    parameters = ("weight",)


@attrs.frozen(kw_only=True, eq=False)
class Scale(Node):
    """y = s x, element by element."""

    scale: Array
    parameters = ("scale",)


@attrs.frozen(kw_only=True, eq=False)
class Conv1d(Node):
    """Cross-correlation; weight (Co, Ci/groups, K), bias (Co,); padding is explicit, (before, after)."""

    weight: Array
    bias: Array
    stride: int
    padding: tuple[int, int]
    dilation: int
    groups: int
    parameters = ("weight", "bias")


@attrs.frozen(kw_only=True, eq=False)
class Conv2d(Node):
    """Cross-correlation as in PyTorch; weight (Co, Ci/groups, Kh, Kw), bias (Co,); pairs are (y, x).

    padding is explicit: ((top, bottom), (left, right)); 'same' and 'valid' have been resolved.
    """

    weight: Array
    bias: Array
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]
    groups: int
    parameters = ("weight", "bias")


@attrs.frozen(kw_only=True, eq=False)
class SumPool2d(Node):
    """Sum over the window; pairs are (y, x)."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


@attrs.frozen(kw_only=True, eq=False)
class AvgPool2d(SumPool2d):
    """Mean over the window, padding counted (PyTorch's default; NIR has no flag for it)."""


@attrs.frozen(kw_only=True, eq=False)
class Flatten(Node):
    """Reshape in C order (Semantics.flatten_order may say otherwise)."""

    start_dim: int
    end_dim: int


@attrs.frozen(kw_only=True, eq=False)
class Delay(Node):
    """y(t) = x(t - delay); unit as tau's (Semantics.tau_unit)."""

    delay: Array
    parameters = ("delay",)


@attrs.frozen(kw_only=True, eq=False)
class Threshold(Node):
    """1 where x > threshold, else 0; no state."""

    threshold: Array
    population = True
    spiking = True
    parameters = ("threshold",)


@attrs.frozen(kw_only=True, eq=False)
class I(Node):  # noqa: E742  (NIR's own name)
    """Integrator: dv/dt = r x; output v."""

    r: Array
    population = True
    parameters = ("r",)


@attrs.frozen(kw_only=True, eq=False)
class LI(Node):
    """Leaky integrator: tau dv/dt = (v_leak - v) + r x; output v."""

    tau: Array
    r: Array
    v_leak: Array
    population = True
    parameters = ("tau", "r", "v_leak")


@attrs.frozen(kw_only=True, eq=False)
class IF(Node):
    """Integrate and fire: dv/dt = r x; spike above v_threshold, then v = v_reset."""

    r: Array
    v_threshold: Array
    v_reset: Array
    population = True
    spiking = True
    parameters = ("r", "v_threshold", "v_reset")


@attrs.frozen(kw_only=True, eq=False)
class LIF(Node):
    """Leaky integrate and fire."""

    tau: Array
    r: Array
    v_leak: Array
    v_threshold: Array
    v_reset: Array
    population = True
    spiking = True
    parameters = ("tau", "r", "v_leak", "v_threshold", "v_reset")


@attrs.frozen(kw_only=True, eq=False)
class CubaLI(Node):
    """Leaky integrator with a synaptic current: tau_syn di/dt = -i + w_in x; tau_mem dv/dt = (v_leak - v) + r i."""

    tau_syn: Array
    tau_mem: Array
    r: Array
    v_leak: Array
    w_in: Array
    population = True
    parameters = ("tau_syn", "tau_mem", "r", "v_leak", "w_in")


@attrs.frozen(kw_only=True, eq=False)
class CubaLIF(Node):
    """Leaky integrate and fire with a synaptic current."""

    tau_syn: Array
    tau_mem: Array
    r: Array
    v_leak: Array
    v_threshold: Array
    v_reset: Array
    w_in: Array
    population = True
    spiking = True
    parameters = ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in")


PRIMITIVES: dict[str, type[Node]] = {
    cls.__name__: cls
    for cls in (
        Input, Output, Affine, Linear, Scale, Conv1d, Conv2d, SumPool2d, AvgPool2d, Flatten, Delay,
        Threshold, I, LI, IF, LIF, CubaLI, CubaLIF,
    )
}  # fmt: skip
