"""What users may ask of the mapper, and of the emulator, of Xylo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import attrs
from hal import config
from hal.config import setting
from hal.errors import Problem

from hal_xylo.limits import CLOCK_HZ, MAX_DASH


def _names(given: Any) -> Any:
    """Lists of names as tuples, and a single name as one; what is no mapping is kept, to be refused."""
    if not isinstance(given, Mapping):
        return given
    single = {key: (names,) if isinstance(names, str) else names for key, names in given.items()}
    return {key: tuple(names) if isinstance(names, list) else names for key, names in single.items()}


@attrs.frozen(kw_only=True)
class XyloMapOptions(config.MapOptions):
    """What a user may ask of the mapper.

    `approximate` may name: reset (rules of reset and firing the chip lacks), delays (steps that a connection takes on
    the chip, where the model says otherwise), v_min (the chip's bound is that of 16 bits).
    """

    approximations: ClassVar[tuple[str, ...]] = ("reset", "delays", "v_min")

    quantiser: Literal["auto", "registers", "global", "channel"] = setting(
        "auto",
        doc="registers: numbers stay as they are; global, channel: scales of rockpool 3.1.0, without its defects; "
        "auto: registers where the model is in whole numbers that use the range, else all the precision there is",
    )
    trim: bool = setting(
        True,
        doc="biases make up for what decays round away on average; quantiser auto only, and not for numbers that are "
        "registers as they stand",
    )
    synapse2: Mapping[str, int] = setting(
        doc="weight node -> decay shift of the second current, through which its events then act; NIR has only one",
        minimum=1,
        maximum=MAX_DASH,
        factory=dict,
    )
    alias: Mapping[str, tuple[str, ...]] = setting(
        doc="hidden population -> populations of its size that copy its spikes within the step; NIR has none",
        factory=dict,
        converter=_names,
    )
    fan_out: int | None = setting(
        None,
        doc="hidden targets that a hidden neuron may have; None: as the part. Of Audio 2 one source says 64, one 63",
        minimum=0,
        maximum=64,
    )
    clock_hz: float = setting(
        CLOCK_HZ, doc="master clock; what runs at it is in time", unit="Hz", minimum=1e3, maximum=1e9
    )

    def rules(self) -> Iterator[Problem]:
        """Words that mean something, populations that are not their own name twice."""
        yield from super().rules()
        for name, targets in self.alias.items():
            if len(set(targets)) != len(targets):
                yield Problem("an alias is named once", f"alias[{name!r}]", value=list(targets))


@attrs.frozen(kw_only=True)
class XyloOpenOptions(config.OpenOptions):
    """How the emulator behaves."""

    clock_hz: float | None = setting(
        None, doc="master clock; None: as the mapping says", unit="Hz", minimum=1e3, maximum=1e9
    )
    overrun: Literal["late", "wait"] = setting(
        "late",
        doc="a step that needs more cycles than it lasts: late, it is counted and the recording untrusted (assumption: "
        "nobody says what the chip does then); wait, the host waits as in the kit's accelerated time",
    )
