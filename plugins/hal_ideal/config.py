"""The registers of the ideal device: a program of nodes in evaluation order, and what the user may ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from hal import config
from hal.config import array, setting
from hal.errors import Problem

Float = NDArray[np.floating[Any]]


def _empty() -> Float:
    return np.zeros(0)


@attrs.frozen(kw_only=True)
class SourceConfig:
    """Where a node takes its input from."""

    name: str = setting(doc="an input or a node")
    delay: int = setting(0, doc="how many steps ago", unit="steps", minimum=0)


@attrs.frozen(kw_only=True)
class InputConfig:
    """Where a stimulus enters."""

    name: str = setting(doc="the model's name of the input")
    shape: tuple[int, ...] = setting(doc="shape of one step", minimum=1)
    kind: Literal["events", "signal"] = setting("events", doc="spike counts, or values")


@attrs.frozen(kw_only=True)
class MapConfig:
    """A linear map of the summed sources."""

    name: str = setting(doc="the model's name of the node")
    kind: Literal["dense", "conv", "pool", "scale", "reorder", "delay", "identity"] = setting(doc="what it computes")
    sources: tuple[SourceConfig, ...] = setting(doc="what is summed, in this order")
    input_shape: tuple[int, ...] = setting(doc="shape of one step, (C, H, W) for conv and pool", minimum=1)
    output_shape: tuple[int, ...] = setting(doc="shape of one step", minimum=1)
    weight: Float = array("float64", doc="dense (out, in), conv (Co, Ci/groups, Kh, Kw), scale (n,)", factory=_empty)
    bias: Float = array("float64", (None,), doc="added once per step; (out,) flat, or empty", factory=_empty)
    order: NDArray[np.int64] = array(
        "int64", (None,), doc="reorder: source index; delay: steps", minimum=0, factory=lambda: np.zeros(0, np.int64)
    )
    kernel: tuple[int, int] = setting((1, 1), doc="(y, x) of a pool", minimum=1)
    stride: tuple[int, int] = setting((1, 1), doc="(y, x)", minimum=1)
    padding: tuple[tuple[int, int], tuple[int, int]] = setting(
        ((0, 0), (0, 0)), doc="((top, bottom), (left, right))", minimum=0
    )
    dilation: tuple[int, int] = setting((1, 1), doc="(y, x)", minimum=1)
    groups: int = setting(1, doc="of a conv", minimum=1)
    divisor: float = setting(1.0, doc="of a pool: its window's size for the mean")

    def rules(self) -> Iterator[Problem]:
        """Sizes that must agree."""
        size = int(np.prod(self.output_shape))
        if self.bias.size not in (0, size):
            yield Problem("bias differs from the output", "bias", value=self.bias.shape, limit=(size,))
        if self.kind == "dense" and self.weight.shape != (size, int(np.prod(self.input_shape))):
            yield Problem("weight differs from the shapes", "weight", value=self.weight.shape, limit=self.output_shape)


@attrs.frozen(kw_only=True)
class NeuronsConfig:
    """A population; every array is (n,) and already per step."""

    name: str = setting(doc="the model's name of the population")
    shape: tuple[int, ...] = setting(doc="shape of one step", minimum=1)
    sources: tuple[SourceConfig, ...] = setting(doc="what is summed, in this order")
    decay: Float = array("float64", (None,), doc="factor on the membrane")
    leak: Float = array("float64", (None,), doc="what the membrane decays towards")
    gain: Float = array("float64", (None,), doc="factor on what the membrane takes in")
    current_decay: Float = array("float64", (None,), doc="factor on the synaptic current")
    current_gain: Float = array("float64", (None,), doc="factor on what the synaptic current takes in")
    threshold: Float = array("float64", (None,), doc="spike threshold")
    v_reset: Float = array("float64", (None,), doc="membrane after a spike, for reset `value`")
    v_min: Float = array("float64", (None,), doc="lower bound of the membrane, -inf for none", infinite=True)
    v_start: Float = array("float64", (None,), doc="membrane at the start")
    spiking: bool = setting(True, doc="output spikes; else the membrane")
    memoryless: bool = setting(False, doc="compare the input itself")
    current: bool = setting(False, doc="a synaptic current stands before the membrane")
    euler: bool = setting(False, doc="forward Euler rounding")
    jump_before: bool = setting(False, doc="input reaches the current before it decays")
    undecayed: bool = setting(False, doc="the membrane sees the current before its decay")
    reset: Literal["value", "subtract", "subtract_n", "discard_update"] = setting("value", doc="rule after a spike")
    late_reset: bool = setting(False, doc="the reset follows one step later")
    at_threshold: bool = setting(False, doc="equality fires")
    fires_on_old: bool = setting(False, doc="decided on the state before the update")
    many: bool = setting(False, doc="several spikes a step")

    def rules(self) -> Iterator[Problem]:
        """All arrays have one entry per neuron."""
        size = int(np.prod(self.shape))
        for name in (
            "decay",
            "leak",
            "gain",
            "current_decay",
            "current_gain",
            "threshold",
            "v_reset",
            "v_min",
            "v_start",
        ):
            if getattr(self, name).size != size:
                yield Problem("one value per neuron", name, value=getattr(self, name).size, limit=size)


@attrs.frozen(kw_only=True)
class OutputConfig:
    """Where a result leaves."""

    name: str = setting(doc="the model's name of the output")
    shape: tuple[int, ...] = setting(doc="shape of one step", minimum=1)
    sources: tuple[SourceConfig, ...] = setting(doc="what is summed, in this order")
    kind: Literal["events", "signal"] = setting("events", doc="spike counts, or values")


@attrs.frozen(kw_only=True)
class IdealConfig:
    """A whole network."""

    step_ns: int = setting(doc="length of a step", unit="ns", minimum=1)
    dtype: Literal["float32", "float64"] = setting("float32", doc="arithmetic")
    inputs: tuple[InputConfig, ...] = setting((), doc="stimuli")
    maps: tuple[MapConfig, ...] = setting((), doc="linear maps")
    populations: tuple[NeuronsConfig, ...] = setting((), doc="neurons")
    outputs: tuple[OutputConfig, ...] = setting((), doc="results")
    order: tuple[str, ...] = setting((), doc="names of maps and populations as evaluated within a step")

    def rules(self) -> Iterator[Problem]:
        """Names are unique, the order is complete, every source exists."""
        nodes = [node.name for node in self.maps] + [node.name for node in self.populations]
        if sorted(nodes) != sorted(self.order):
            yield Problem("must name every map and population once", "order", value=self.order, limit=tuple(nodes))
        known = {*nodes, *(port.name for port in self.inputs)}
        readers: tuple[Any, ...] = (*self.maps, *self.populations, *self.outputs)
        for reader in readers:
            for source in reader.sources:
                if source.name not in known:
                    yield Problem("no such source", f"{reader.name}.sources", value=source.name)


@attrs.frozen(kw_only=True)
class IdealMapOptions(config.MapOptions):
    """`approximate` may name: delays (rounded to whole steps)."""

    approximations: ClassVar[tuple[str, ...]] = ("delays",)


@attrs.frozen(kw_only=True)
class IdealOpenOptions(config.OpenOptions):
    """The ideal device has nothing to choose."""
