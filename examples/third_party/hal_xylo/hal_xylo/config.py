"""The registers of a Xylo part, in arrays: one schema for the family.

Widths: xylosim 0.1.3 and rockpool 3.1.0. `readout` and `monitor` of the vendor's tools are what `record=` asks for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
from hal.config import array, setting
from hal.errors import Problem
from numpy.typing import NDArray

from hal_xylo import limits
from hal_xylo.registers import Registers

I8 = NDArray[np.int8]
U8 = NDArray[np.uint8]
I16 = NDArray[np.int16]
I32 = NDArray[np.int32]


MOST = max(part.hidden for part in limits.PARTS)


def _zeros(dtype: str, *shape: int) -> Any:
    return lambda: np.zeros(shape, dtype)


def _shift(doc: str) -> Any:
    return setting(0, doc=doc, minimum=0, maximum=limits.MAX_SHIFT)


def _dash(doc: str, *shape: None) -> Any:
    return array(
        "uint8", shape or (None,), doc=doc, maximum=limits.MAX_DASH, source="xylosim",
        factory=_zeros("uint8", *([0] * len(shape or (None,)))),
    )  # fmt: skip


def _threshold(doc: str) -> Any:
    return array(
        "int16", (None,), doc=doc, minimum=1, maximum=limits.MAX_THRESHOLD, source="xylosim", factory=_zeros("int16", 0)
    )


@attrs.frozen(kw_only=True)
class RunConfig:
    """A run of channels, hidden neurons or outputs under one name."""

    name: str = setting(doc="the model's name")
    shape: tuple[int, ...] = setting(doc="shape; elements follow in C order", minimum=1)

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)


@attrs.frozen(kw_only=True)
class XyloConfig:
    """A whole network: `inputs`, `populations` and `readouts` name channels, hidden neurons and outputs in their order.

    With n hidden neurons, s synapses, m outputs, c channels: w_in (c, n, s), w_rec (n, n, s), source before
    target, w_out (n, m), dash_syn (n, s), and one value per neuron of all else.
    """

    part: str = setting(doc="which part", choices=tuple(limits.BY_NAME))
    step_ns: int = setting(1_000_000, doc="what a step stands for", unit="ns", minimum=1)
    clock_hz: float = setting(
        limits.CLOCK_HZ, doc="master clock", unit="Hz", minimum=1e3, maximum=1e9, source="rockpool"
    )
    inputs: tuple[RunConfig, ...] = setting((), doc="runs of input channels")
    populations: tuple[RunConfig, ...] = setting((), doc="runs of hidden neurons")
    readouts: tuple[RunConfig, ...] = setting((), doc="runs of output neurons")
    w_in: I8 = array("int8", (None, None, None), doc="input weights", factory=_zeros("int8", 0, 0, 1))
    w_rec: I8 = array("int8", (None, None, None), doc="recurrent weights", factory=_zeros("int8", 0, 0, 1))
    w_out: I8 = array("int8", (None, None), doc="output weights", factory=_zeros("int8", 0, 0))
    shift_in: int = _shift("input weights are times 2^shift_in")
    shift_rec: int = _shift("recurrent weights are times 2^shift_rec")
    shift_out: int = _shift("output weights are times 2^shift_out")
    dash_mem: U8 = _dash("membrane: loses 2^-dash a step")
    dash_mem_out: U8 = _dash("membrane of an output: loses 2^-dash a step")
    dash_syn: U8 = _dash("currents: lose 2^-dash a step; 0 is deaf", None, None)
    dash_syn_out: U8 = _dash("current of an output: loses 2^-dash a step; 0 is deaf")
    threshold: I16 = _threshold("fires at or above it, and loses it")
    threshold_out: I16 = _threshold("fires at or above it, and loses it")
    has_bias: bool = setting(False, doc="biases on")
    bias: I16 = array("int16", (None,), doc="added to the membrane in every step", factory=_zeros("int16", 0))
    bias_out: I16 = array("int16", (None,), doc="added to the membrane in every step", factory=_zeros("int16", 0))
    alias: I32 = array(
        "int32",
        (None,),
        doc="hidden neuron that copies the spikes; -1: none",
        minimum=-1,
        maximum=MOST - 1,
        factory=_zeros("int32", 0),
    )

    @property
    def synapses(self) -> int:
        """Currents per hidden neuron."""
        return int(self.dash_syn.shape[1])

    @property
    def targets(self) -> NDArray[np.bool_]:
        """(n, n): which hidden neuron reaches which; each is one entry of the recurrent memory."""
        reached: NDArray[np.bool_] = (self.w_rec != 0).any(axis=2)
        return reached

    def registers(self) -> Registers:
        """As the emulator takes them."""
        source = np.flatnonzero(self.alias >= 0)
        return Registers(
            **{name: getattr(self, name) for name in _PLAIN},
            alias=np.stack([source, self.alias[source]], axis=1),
            bias=self.bias if self.has_bias else None,
            bias_out=self.bias_out if self.has_bias else None,
        )

    def rules(self) -> Iterator[Problem]:
        """One network, of one size, within what the part has."""
        part = limits.BY_NAME[self.part]
        channels, n, m = (sum(run.size for run in runs) for runs in (self.inputs, self.populations, self.readouts))
        wrong = list(self._shapes(channels, n, m))
        yield from wrong
        names = [run.name for run in (*self.inputs, *self.populations, *self.readouts)]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Problem("a name is used once", "populations", value=name)
        if wrong:
            return
        if self.alias.size and int(self.alias.max()) >= n:
            hint = "populations say how many there are"
            yield Problem("no such hidden neuron", "alias", int(self.alias.max()), f"-1..{n - 1}", hint)
        for what, where, value, limit in (
            ("input channels", "inputs", channels, limits.INPUT_CHANNELS),
            ("hidden neurons", "populations", n, part.hidden),
            ("output neurons", "readouts", m, part.outputs),
            ("synapses per hidden neuron", "dash_syn", self.synapses, part.synapses),
            ("recurrent entries", "w_rec", int(self.targets.sum()), part.entries),
            ("hidden targets of one neuron", "w_rec", int(self.targets.sum(axis=1).max(initial=0)), part.fan_out),
            ("lowest ids that take input", "w_in", 1 + last(np.any(self.w_in, axis=(0, 2))), part.into),
            ("highest ids that drive outputs", "w_out", 1 + last(np.any(self.w_out, axis=1)[::-1]), part.out_of),
        ):
            if not 0 < value <= limit and (value or where in ("inputs", "populations", "readouts")):
                yield Problem(f"{what} of {self.part}", where, value=value, limit=f"1..{limit}")

    def _shapes(self, channels: int, n: int, m: int) -> Iterator[Problem]:
        s = self.synapses
        wanted = {
            "w_in": (channels, n, s), "w_rec": (n, n, s), "w_out": (n, m),
            "dash_mem": (n,), "dash_syn": (n, s), "threshold": (n,), "bias": (n,), "alias": (n,),
            "dash_mem_out": (m,), "dash_syn_out": (m,), "threshold_out": (m,), "bias_out": (m,),
        }  # fmt: skip
        for name, shape in wanted.items():
            given = getattr(self, name).shape
            if given != shape:
                yield Problem("shape", name, value=given, limit=shape, hint="inputs, populations and readouts say it")


_PLAIN = (
    "w_in", "w_rec", "w_out", "shift_in", "shift_rec", "shift_out", "threshold", "threshold_out",
    "dash_mem", "dash_mem_out", "dash_syn", "dash_syn_out",
)  # fmt: skip


def last(flags: Any) -> int:
    """The highest place that is true, -1 where none is."""
    return int(np.flatnonzero(flags)[-1]) if flags.any() else -1
