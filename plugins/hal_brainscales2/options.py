"""What users may ask of the mapper and of the emulator of BrainScaleS-2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import attrs

from hal import config
from hal.config import setting
from hal_brainscales2.limits import CIRCUITS, CIRCUITS_PER_NEURON


@attrs.frozen(kw_only=True)
class MapOptions(config.MapOptions):
    """What a user may ask of the mapper.

    `approximate` may name: reset (reset rules the chip lacks), delays (the chip has none), bounds (of membranes).
    """

    approximations: ClassVar[tuple[str, ...]] = ("reset", "delays", "bounds")

    speedup: float | None = setting(
        None,
        doc="model s per chip s; none: 1 or 1000 if time constants are then the chip's, else one that makes them so",
        minimum=1e-3,
        maximum=1e12,
    )
    scale: float | None = setting(
        None,
        doc="integer weight per distance of threshold and leak; none: 58 (jaxsnn 0.3.0), or less where rows run short",
        minimum=1e-3,
        maximum=1e6,
    )
    readout: Literal["host", "chip"] = setting(
        "host", doc="where CubaLI neurons are that give an Output its values: computed, or circuits read out every step"
    )
    leak: float = setting(
        80.0,
        doc="resting potential, in steps of the column ADC; 50..160 is standard",
        unit="CADC LSB",
        minimum=0,
        maximum=255,
    )
    threshold: float = setting(
        150.0, doc="of neurons that fire; 50..220 is standard", unit="CADC LSB", minimum=0, maximum=255
    )
    i_synin_gm: int = setting(
        500, doc="strength of synaptic inputs, for a board alone; 30..800 is standard", minimum=0, maximum=1022
    )
    synapse_dac_bias: int = setting(
        1000, doc="of the whole chip, for a board alone; 30..1022 is standard", minimum=0, maximum=1022
    )
    membrane_capacitance: int = setting(63, doc="for a board alone; about 2.3 pF at 63", minimum=0, maximum=63)
    rounding: Literal["even", "away"] = setting(
        "even", doc="of weights that lie between two integers: as jaxsnn, or as hxtorch"
    )
    copies: Mapping[str, int] = setting(
        doc="weight node -> rows over which each weight may be spread; else as many as the largest needs",
        minimum=1,
        maximum=64,
        factory=dict,
    )
    dense: bool = setting(
        False, doc="every pair of a projection takes a synapse of each sign, as the vendor's tools do"
    )
    circuits: Mapping[str, int] = setting(
        doc="population -> circuits of each neuron: more fan-in", minimum=1, maximum=CIRCUITS_PER_NEURON, factory=dict
    )
    hemisphere: Mapping[str, int] = setting(
        doc="population -> hemisphere; else found", minimum=0, maximum=1, factory=dict
    )
    places: Mapping[str, tuple[int, ...]] = setting(
        doc="population -> circuit of each neuron, by hand", minimum=0, maximum=CIRCUITS - 1, factory=dict
    )
    refractory_s: Mapping[str, float] = setting(
        doc="population -> refractory period, of model time; else half a step, or the chip's shortest (40 ns)",
        unit="s",
        minimum=0,
        maximum=1e6,
        factory=dict,
    )
    holdoff_s: Mapping[str, float] = setting(
        doc="population -> its last part, of model time, in which the membrane integrates already",
        unit="s",
        minimum=0,
        maximum=1e6,
        factory=dict,
    )


@attrs.frozen(kw_only=True)
class OpenOptions(config.OpenOptions):
    """How the emulator behaves. `preset` sets what is not given: ideal (none of it), chip, mock (as jaxsnn 0.1.0's)."""

    preset: Literal["ideal", "chip", "mock"] = setting("chip", doc="what every other option is by default")
    stamps: bool | None = setting(None, doc="events in and out on the grid of 8 ns; chip and mock: yes")
    offset_s: float | None = setting(
        None,
        doc="added to spike times at read-out, of chip time; mock: 1e-7 (jaxsnn 0.1.0)",
        unit="s",
        minimum=-1e-5,
        maximum=1e-5,
    )
    jitter_s: float | None = setting(
        None,
        doc="standard deviation of spike times at read-out, of chip time; mock: 1e-7 (jaxsnn 0.1.0)",
        unit="s",
        minimum=0,
        maximum=1e-5,
    )  # fmt: skip
    mismatch: float | None = setting(
        None, doc="how much circuits differ: 0 not at all (every preset), 1 as assumed (hal_brainscales2.analog); a "
        "profile has its own", minimum=0, maximum=2,
    )  # fmt: skip
    adc: bool | None = setting(
        None, doc="membranes are read in the steps and the range of their ADC; chip and mock: yes"
    )
    clipping: bool | None = setting(
        None,
        doc="membranes stay within 30..210 CADC LSB (inferred from calix constants), or as far as leak, reset and "
        "threshold if these lie outside; mock: yes",
    )
    saturation: float | None = setting(
        None,
        doc="largest synaptic current, in distances of threshold and leak; none: no limit, as no size is published",
        minimum=1e-3,
        maximum=1e6,
    )
    link_event_s: float | None = setting(
        None,
        doc="chip time an event takes on the link, each way; chip and mock: 8e-9, a word",
        unit="s",
        minimum=0,
        maximum=1e-3,
    )
    link_capacity: int = setting(
        1024, doc="events that can wait for the link, each way; more are lost (assumption)", minimum=1, maximum=1 << 24
    )
    chip_seed: int | None = setting(
        None, doc="the individual, if circuits differ; None: that of the profile, or 0", minimum=0, maximum=2**63 - 1
    )
