"""What users may ask of the mapper, and of the emulator, of Loihi."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import attrs

from hal import config
from hal.config import setting
from hal_loihi.limits import CHIPS, CORES_PER_CHIP


@attrs.frozen(kw_only=True)
class LoihiMapOptions(config.MapOptions):
    """What a user may ask of the mapper.

    `approximate` may name: reset (reset rules the chip lacks), delays (rounded to whole steps, at most 62).
    """

    approximations: ClassVar[tuple[str, ...]] = ("reset", "delays")

    chips: int = setting(1, doc="how many chips there are", minimum=1, maximum=CHIPS)
    cores_per_chip: int = setting(128, doc="how many cores of a chip may be used", minimum=1, maximum=CORES_PER_CHIP)
    block_shape: Mapping[str, tuple[int, ...]] = setting(
        doc="population -> shape of the part that one core takes: (rows, columns, channels), or (n,)",
        minimum=1,
        factory=dict,
    )
    refract_delay: Mapping[str, int] = setting(
        doc="population -> refractory delay; NIR has none. 1: no dead time",
        unit="steps",
        minimum=1,
        maximum=63,
        factory=dict,
    )
    pop_type: Literal[16, 32] = setting(
        32, doc="population axons of convolutions: 32 takes two slots of a source's output axons, 16 one, with limits"
    )
    noise_exp: int | None = setting(None, doc="size of the noise of all compartments; None: off", minimum=1, maximum=23)
    noise_offset: int = setting(0, doc="mean of the noise, in units of 64", minimum=-64, maximum=64)
    noise_at_membrane: bool = setting(False, doc="noise on the voltage, else on the current")
    allocator: Literal["packed", "greedy", "round_robin", "interchip"] = setting(
        "packed", doc="packed: several small blocks on a core, few axons between chips; the others as nengo-loihi 1.1.0"
    )


@attrs.frozen(kw_only=True)
class LoihiOpenOptions(config.OpenOptions):
    """How the emulator behaves."""

    overflow: Literal["wrap", "error"] = setting(
        "wrap", doc="sums that leave their register: wrap and are counted, or end the run"
    )
    max_input_spikes_per_step: int | None = setting(
        None,
        doc="host spikes taken in per step, the rest is dropped and counted; 50 is nengo-loihi's default for boards",
        minimum=0,
        maximum=1_000_000,
    )
    v_register: Literal["voltage", "chip"] = setting(
        "voltage",
        doc="a probe of v reads 0 while a neuron is refractory, or as the chip's register the count times 128",
    )
    step_cost_ns: float | None = setting(
        None, doc="board time of a step without work", unit="ns", minimum=0, maximum=1e12
    )
    synop_cost_ns: float | None = setting(
        None,
        doc="board time of delivering a spike to one synapse; no cost is published",
        unit="ns",
        minimum=0,
        maximum=1e12,
    )
    spike_cost_ns: float | None = setting(None, doc="board time of sending a spike", unit="ns", minimum=0, maximum=1e12)

    @property
    def timed(self) -> bool:
        """Whether any cost is given."""
        return any(cost is not None for cost in (self.step_cost_ns, self.synop_cost_ns, self.spike_cost_ns))
