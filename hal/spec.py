"""What a device is, as plain data: clock, capabilities, limits, ports, config classes. Making one opens nothing."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs

from hal.capabilities import VOCABULARY
from hal.config import MapOptions, OpenOptions
from hal.errors import ConfigError, Problem
from hal.events import Port
from hal.fit import Observable, Resource

COUNTERS = (
    "events_in",
    "events_out",
    "synops",
    "dropped",
    "late",
    "clipped_input",
    "saturated",
    "overflowed",
    "stalled_ns",
    "pending",
)
"""The closed set of counters every recording may carry, per core; a spec adds its own."""


class Reset(enum.Enum):
    """How far back a reset goes."""

    STATE = "state"
    """Dynamics, queues and clock; what was learned stays, runs go on being numbered."""
    LOADED = "loaded"
    """As just after load."""
    CONFIG = "config"
    """Memories erased, nothing loaded."""
    POWER = "power"
    """As after switching on."""


@attrs.frozen(kw_only=True)
class Clock:
    """How a device keeps time. Quanta and max_run are in device ns; the core multiplies by a mapping's speedup.

    kind: clocked (steps), event (no time of its own) or continuous. quantum_in_ns, quantum_out_ns: grid of event
    times. free_running: state moves on between runs.
    """

    kind: Literal["clocked", "event", "continuous"]
    quantum_in_ns: int = 1
    quantum_out_ns: int = 1
    max_run_ns: int | None = None
    free_running: bool = False


@attrs.frozen(kw_only=True)
class Column:
    """A chip-specific column of the placement: its unit and meaning."""

    name: str
    unit: str
    meaning: str


def _words(words: Iterable[str]) -> frozenset[str]:
    return frozenset(words)


@attrs.frozen(kw_only=True)
class DeviceSpec:
    """Everything about a device that does not depend on a model. Plain data; making one opens nothing.

    exports: formats of vendors' tools that `hal.export` writes, for which the family has the hook `hal_export`.
    why_no_exports: what `hal.export` says where there is no format.
    approximates: capability words the device lacks, each with the word of `MapOptions.approximate` by which a model
    that needs it is taken all the same; the mapper lists what it changes.
    imports: formats of vendors' tools that `hal.import_mapping` reads, for which the family has the hook `hal_import`.
    calibration: class of the options of `hal.calibrate`, for which the family has the hook `hal_calibrate`.
    vendor: the package that drives the hardware, looked for by `hal.vendor` without importing it; empty without one.
    """

    name: str
    family: str
    summary: str
    clock: Clock
    config: type
    aliases: tuple[str, ...] = ()
    kinds: tuple[Literal["emulator", "hardware"], ...] = ("emulator",)
    capabilities: frozenset[str] = attrs.field(default=frozenset(), converter=_words)
    resources: tuple[Resource, ...] = ()
    observables: tuple[Observable, ...] = (Observable(variable="spikes", unit="events"),)
    map_options: type[MapOptions] = MapOptions
    open_options: type[OpenOptions] = OpenOptions
    profile: type | None = None
    calibration: type | None = None
    ports: tuple[Port, ...] = ()
    placement_extras: tuple[Column, ...] = ()
    counters: tuple[Column, ...] = ()
    loads: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    why_no_exports: str = ""
    approximates: Mapping[str, str] = attrs.field(factory=dict)
    imports: tuple[str, ...] = ()
    vendor: str = ""
    cores: int = 1

    @capabilities.validator
    def _known_words(self, _: Any, value: frozenset[str]) -> None:
        unknown = sorted((value | self.approximates.keys()) - VOCABULARY.keys())
        if unknown:
            raise ConfigError(
                f"{self.name} declares capabilities that are not in the vocabulary",
                problems=[Problem("unknown capability", word, limit="hal.capabilities.VOCABULARY") for word in unknown],
            )

    @property
    def all_counters(self) -> tuple[str, ...]:
        """Names of the counters its recordings may carry."""
        return COUNTERS + tuple(column.name for column in self.counters)
