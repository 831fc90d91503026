"""The limits of the chip, its registers, and the options of its emulator."""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs
import numpy as np
from hal.config import OpenOptions, array, setting
from hal.errors import Problem
from numpy.typing import NDArray

# region: limits
CORES = 4
NEURONS_PER_CORE = 256
NEURONS = CORES * NEURONS_PER_CORE
SYNAPSES = 65_536
CHANNELS = 256
"""Input channels."""
EVENTS_PER_STEP = 64
"""Input events that the chip takes in per step; those after them are dropped."""
WEIGHT_MAX = 127
"""8 bits with sign, symmetric."""
THRESHOLD_MAX = 32_767
# endregion


@attrs.frozen(kw_only=True)
class Block:
    """Channels or neurons in a row: a node of the model."""

    name: str = setting(doc="the model's name of the node")
    shape: tuple[int, ...] = setting(doc="as in the model; addresses follow it in C order", minimum=1)

    @property
    def size(self) -> int:
        """How many there are."""
        return math.prod(self.shape)


# region: registers
@attrs.frozen(kw_only=True)
class MychipConfig:
    """All registers. Sources are the input channels, then the neurons, each by address."""

    step_ns: int = setting(doc="length of a step", unit="ns", minimum=1)
    inputs: tuple[Block, ...] = setting(doc="what enters, from channel 0 on")
    populations: tuple[Block, ...] = setting(doc="the neurons, from address 0 on")
    threshold: NDArray[np.int32] = array("int32", (None,), doc="fires from here on", minimum=1, maximum=1 << 15)
    decrement: NDArray[np.int32] = array(
        "int32", (None,), doc="taken off v after a spike; 0: v starts again from 0", minimum=0, maximum=THRESHOLD_MAX
    )
    first: NDArray[np.int64] = array("int64", (None,), doc="of every source its first synapse; then the end", minimum=0)
    target: NDArray[np.int32] = array("int32", (None,), doc="of every synapse its neuron", minimum=0)
    weight: NDArray[np.int8] = array("int8", (None,), doc="of every synapse", minimum=-WEIGHT_MAX, maximum=WEIGHT_MAX)
    late: NDArray[np.uint8] = array("uint8", (None,), doc="1: a synapse acts in the next step", minimum=0, maximum=1)

    def rules(self) -> Iterator[Problem]:
        """What fields of the right type may still get wrong together."""
        channels, neurons = (sum(block.size for block in blocks) for blocks in (self.inputs, self.populations))
        for name, have, limit in (("inputs", channels, CHANNELS), ("populations", neurons, NEURONS)):
            if have > limit:
                yield Problem("more than the chip has", name, value=have, limit=limit)
        for name, size in (
            ("threshold", neurons),
            ("decrement", neurons),
            ("first", channels + neurons + 1),
            ("weight", self.target.size),
            ("late", self.target.size),
        ):
            if getattr(self, name).size != size:
                yield Problem("wrong length", name, value=getattr(self, name).size, limit=size)
        if self.target.size > SYNAPSES:
            yield Problem("more than the chip has", "target", value=self.target.size, limit=SYNAPSES)
        if self.target.max(initial=-1) >= neurons:
            yield Problem(
                "there is no such neuron in populations", "target", value=int(self.target.max()), limit=neurons - 1
            )
        steps = np.diff(self.first, prepend=0, append=self.target.size)
        if (steps < 0).any() or steps[0] or steps[-1]:
            yield Problem("rises from 0 to the length of target", "first", limit=self.target.size)
        elif self.first.size == channels + neurons + 1 and self.late.size == self.target.size:
            # neurons are updated from address 0 on: what is not late must still be to come
            source = np.repeat(np.arange(-channels, neurons), np.diff(self.first))
            if ((self.target <= source) & (self.late == 0)).any():
                yield Problem("a synapse whose target is an earlier neuron, or its own, is late", "late")


# endregion


# region: options
@attrs.frozen(kw_only=True)
class MychipOpenOptions(OpenOptions):
    """What the emulator leaves open. A number that nobody has published belongs here, with a documented assumption."""

    events_per_step: int = setting(
        EVENTS_PER_STEP, doc="input events taken in per step; the chip's own number by default", minimum=1
    )


# endregion
