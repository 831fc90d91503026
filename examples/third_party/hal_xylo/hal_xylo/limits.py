"""How much of what each part has. No numpy: the registry reads this.

Sources: "overview" is the vendor's page "Overview of the Xylo family", "rockpool" is rockpool 3.1.0, "xylosim" is
xylosim 0.1.3. What nobody has published is marked as an assumption, and is a parameter here.
"""

from __future__ import annotations

from typing import Final

import attrs

INPUT_CHANNELS: Final = 16
MAX_INPUT: Final = 15
"""Events per channel and step that count; the rest is lost (overview, xylosim)."""
MAX_SPIKES: Final = 31
"""Spikes of a hidden neuron per step (overview, xylosim)."""
MAX_SPIKES_OUT: Final = 1
"""Spikes of an output neuron per step: xylosim for all parts; the overview says so of Audio 2 alone."""
WEIGHT: Final = (-128, 127)
STATE: Final = (-32768, 32767)
"""Currents, membranes, biases: signed 16 bits, saturating (xylosim)."""
MAX_THRESHOLD: Final = 32767
MAX_DASH: Final = 15
"""A decay shift has 4 bits (xylosim)."""
MAX_SHIFT: Final = 7
"""Assumption: nobody says how wide the register is; from 9 on a weight of 127 would leave 16 bits."""
ALIASES: Final = 1
SYNAPSES_OUT: Final = 1
CLOCK_HZ: Final = 50e6
"""Default of the kits (rockpool)."""


@attrs.frozen(kw_only=True)
class Part:
    """One part of the family.

    fan_out: hidden targets of one hidden neuron; entries: of the recurrent memory, a target with both its weights;
    into, out_of: how many of the lowest ids may take input, and of the highest ids may drive the outputs.
    sparse: the cost of a step counts the neurons that are connected, not all (rockpool's cycle model).
    """

    name: str
    product: str
    hidden: int
    synapses: int
    outputs: int
    fan_out: int
    entries: int
    into: int
    out_of: int
    sparse: bool


PARTS: Final = (
    Part(
        name="xylo-audio2", product="SYNS61201", hidden=1000, synapses=2, outputs=8, fan_out=64, entries=32_000,
        into=1000, out_of=1000, sparse=False,
    ),
    Part(
        name="xylo-audio3", product="SYNS65302", hidden=992, synapses=2, outputs=32, fan_out=1024, entries=31_744,
        into=128, out_of=128, sparse=True,
    ),
    Part(
        name="xylo-imu", product="SYNS63300", hidden=496, synapses=1, outputs=16, fan_out=512, entries=31_744,
        into=128, out_of=128, sparse=True,
    ),
)  # fmt: skip
"""fan_out of Audio 2: the overview says 64, open-neuromorphic.org 63 (as fan-in). entries: mean fan-out of the overview
times hidden neurons; not published as such."""
BY_NAME: Final = {part.name: part for part in PARTS}
