"""What users may ask of the mapper, and of the emulator, of a Speck / DynapCNN chip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import attrs

from hal import config
from hal.config import setting
from hal.errors import Problem
from hal_dynapcnn import chips
from hal_dynapcnn.config import DECIMATION, DvsFilterConfig, DvsLayerConfig


@attrs.frozen(kw_only=True)
class SpeckMapOptions(config.MapOptions):
    """What a user may ask of the mapper.

    `approximate` may name: leak (a bias per step as a leak per tick), reset (reset rules the chip lacks), delays
    (delays of a step on every connection).
    """

    approximations: ClassVar[tuple[str, ...]] = ("leak", "reset", "delays")

    chip_layers_ordering: tuple[int, ...] | Literal["auto"] = setting(
        "auto", doc="core of each layer in the model's order, or auto", minimum=0, maximum=8
    )
    fixed_cores: Mapping[str, int] = setting(
        doc="population -> core it must sit on", minimum=0, maximum=8, factory=dict
    )
    reserved_cores: tuple[int, ...] = setting((), doc="cores to leave alone", minimum=0, maximum=8)
    quantisation: Literal["default", "keep_integers", "sinabs"] = setting(
        "default",
        doc="default: integers stay, else near the largest scale; keep_integers: never scale; sinabs: its 3.1.3 rule",
    )
    average_merge: Literal["exact", "sinabs"] = setting(
        "exact",
        doc="where branches into one weight node average over different areas: exact: a kernel for each factor, which "
        "takes kernel memory; sinabs: one, with round(mean(factors) / 2, 2), its 3.1.3 rule",
    )
    drop_zero_bias: bool = setting(
        False,
        doc="give a layer whose biases are all zero no bias memory; NIR's Conv2d and Affine always have a bias",
    )
    v_min_factor: float = setting(
        1.0,
        doc="widen a negative lower bound of the membrane: taking input in event by event cuts off inhibition that "
        "comes before excitation, which summing over a step does not; 1.5 recovers half of what that costs the N-MNIST "
        "network of the NIR paper (docs/chips/speck.md)",
        minimum=1.0,
        maximum=16.0,
    )
    synops_limits: Mapping[str, float] = setting(
        doc="population -> most synaptic operations per second its core may be asked for at given rates, instead of "
        "the assumed limit of a core",
        unit="synops/s",
        minimum=0,
        factory=dict,
    )
    dvs: DvsLayerConfig | None = setting(
        None,
        doc="let the sensor feed the Input of this size; by the names of the registers: pooling, origin, cut, mirror, "
        "mirror_diagonal, merge, on_channel, off_channel; destinations are filled in",
    )
    dvs_filter: DvsFilterConfig | None = setting(None, doc="the sensor's noise filter, by the names of the registers")
    decimate: Mapping[str, int] = setting(
        doc="population -> N: one of N of its spikes leaves its core", choices=DECIMATION, factory=dict
    )
    balance: tuple[str, ...] = setting((), doc="populations whose cores drop input while they are busy")
    readout: Literal["off", "pins", "values"] = setting(
        "off",
        doc="let the readout block find the most active class: the Output then gets classes, not spikes; pins: whenever"
        " the largest average exceeds readout_threshold; values: at every tick of the slow clock, and no spikes at all "
        "can be recorded",
    )
    readout_threshold: int = setting(0, doc="average spikes per tick", minimum=0, maximum=65535)
    readout_window: int = setting(16, doc="ticks of the readout block's average", choices=(1, 16, 32))

    def rules(self) -> Iterator[Problem]:
        """A filter needs a sensor."""
        yield from super().rules()
        if self.dvs_filter is not None and self.dvs is None:
            hint = "dvs={} takes the sensor as it is"
            yield Problem("filters a sensor that is not asked for", "dvs_filter", hint=hint)


@attrs.frozen(kw_only=True)
class SpeckOpenOptions(config.OpenOptions):
    """How the emulator behaves."""

    rate: float | tuple[float, ...] | None = setting(
        chips.SYNOPS_PER_S,
        doc="synaptic operations per second of every core, or of each; None: infinitely fast cores that never stall",
        unit="1/s",
        minimum=1,
        maximum=1e15,
        source="assumption: not published; agrees in magnitude with the published 0.37 us per layer",
    )
    buffer_depth: int | tuple[int, ...] = setting(
        64,
        doc="events that can wait before a core, besides the one it serves; one number, or one per core",
        minimum=1,
        maximum=1_000_000,
        source="assumption: not published",
    )
    balancer_depth: int = setting(
        4,
        doc="the same for a core with the congestion balancer, which drops what comes after them",
        minimum=1,
        maximum=1_000_000,
        source="assumption: the datasheet (3.2.4.2) says 'a few events'",
    )
    stall_after_us: float = setting(
        100.0,
        doc="a sender, or the stimulus, that waits longer makes a recording untrusted; all waiting is counted",
        unit="us",
        minimum=0,
        maximum=1e9,
        source="assumption: shorter waits are the ordinary handshake; time stamps of a sensor jitter by as much",
    )
    decimator_passes: Literal["last", "first"] = setting(
        "last", doc="which of n spikes the output decimator lets on", source="assumption: not published"
    )
    monitor: Literal["after decimator", "before decimator"] = setting(
        "after decimator",
        doc="whether monitors see the spikes that the decimator holds back",
        source="assumption: not published",
    )
    odd_pooling: Literal["drop", "keep"] = setting(
        "drop",
        doc="spikes of an incomplete last row or column: drop them, or let the divided address through",
        source="assumption: not published; torch drops them",
    )
    slow_clock_hz: float | None = setting(
        None, doc="board clock that ticks the leak, besides the port @slow_clock", unit="Hz", minimum=0.001, maximum=1e6
    )
