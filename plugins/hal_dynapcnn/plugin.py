"""What the registry sees: the six chips of the family, their limits, and how to make mapper and emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hal.device import Clock, Column, DeviceSpec
from hal.events import Port
from hal.fit import Observable, Resource
from hal.hookspecs import hookimpl
from hal_dynapcnn import chips, samna_script
from hal_dynapcnn.config import SpeckConfig
from hal_dynapcnn.options import SpeckMapOptions, SpeckOpenOptions

if TYPE_CHECKING:
    from hal.evidence import Evidence
    from hal.floorplan import FloorPlan
    from hal.mapping import Mapping
    from hal_dynapcnn.device import SpeckDevice
    from hal_dynapcnn.mapper import SpeckMapper

HAL_PLUGIN_API = "1.0"

CAPABILITIES = frozenset(
    {
        "neuron.if",
        "route.fanout",
        "route.merge",
        "route.recurrent",
        "route.inputs",
        "route.outputs",
        "record.state",
        "run.continue",
        "reset.state",
        "reset.loaded",
        "reset.config",
        "reset.power",
        "map.like",
        "map.adopt",
        "map.edit",
        "overload.report",
    }
)

EXTRAS = (
    Column(name="feature", unit="index", meaning="output feature of the core"),
    Column(name="y", unit="pixel", meaning="row of the core's output map, before pooling"),
    Column(name="x", unit="pixel", meaning="column of the core's output map, before pooling"),
)

COUNTERS = (
    Column(name="dropped_by_pooling", unit="events", meaning="spikes of an incomplete last row or column"),
    Column(name="decimated", unit="events", meaning="spikes that the output decimator held back"),
    Column(name="unclassified", unit="events", meaning="spikes that belong to no class of the readout block"),
    Column(name="ticks", unit="ticks", meaning="slow-clock ticks that acted on a core"),
)


def _resources(table: chips.ChipTable) -> tuple[Resource, ...]:
    memory = "Speck Dev Kit Datasheet, table 1; sinabs 3.1.3 chip classes"
    limits = "Speck Dev Kit Datasheet 2.4"
    return (
        Resource(name="cores", unit="cores", scope="chip", limit=(table.n_cores,), source=memory),
        Resource(name="kernel memory", unit="8-bit words", scope="core", limit=table.kernel_words, source=memory),
        Resource(name="neuron memory", unit="16-bit words", scope="core", limit=table.neuron_words, source=memory),
        Resource(name="bias memory", unit="16-bit words", scope="core", limit=table.bias_words, source=memory),
        Resource(name="input size", unit="pixels", scope="core", limit=(chips.INPUT_SIZE_MAX,), source=limits),
        Resource(name="output size", unit="pixels", scope="core", limit=(chips.OUTPUT_SIZE_MAX,), source=limits),
        Resource(name="features", unit="features", scope="core", limit=(chips.FEATURES_MAX,), source="flash layout"),
        Resource(name="kernel size", unit="pixels", scope="core", limit=(chips.KERNEL_MAX,), source="flash layout"),
        Resource(name="padding", unit="pixels", scope="core", limit=(chips.PADDING_MAX,), source=limits),
        Resource(
            name="synops/s",
            unit="synops/s",
            scope="core",
            limit=(chips.SYNOPS_PER_S,) * table.n_cores,
            when="run",
            source="assumption: limits per core are not published; from 0.37 us per layer and event, arXiv 2304.06793",
        ),
    )


def _observables(table: chips.ChipTable) -> tuple[Observable, ...]:
    """Words of the readout block, where there is one."""
    words = Observable(variable="readout", unit="21-bit word", per="node", at_once=1)
    own = (Observable(variable="spikes", unit="events"), Observable(variable="v", unit="stored integer"))
    return (*own, words) if table.readout else own


def _spec(table: chips.ChipTable) -> DeviceSpec:
    return DeviceSpec(
        name=table.name,
        family="dynapcnn",
        summary=f"SynSense {table.name}: {table.n_cores} asynchronous convolution cores, integrate-and-fire, int8",
        aliases=tuple(alias for alias, name in chips.ALIASES.items() if name == table.name),
        # events carry microseconds on the board; the data path itself has no clock
        clock=Clock(kind="event"),
        capabilities=CAPABILITIES,
        resources=_resources(table),
        observables=_observables(table),
        config=SpeckConfig,
        map_options=SpeckMapOptions,
        open_options=SpeckOpenOptions,
        ports=(Port("@dvs", chips.DVS_SHAPE, "events"), Port("@slow_clock", (1,), "events")),
        placement_extras=EXTRAS,
        counters=COUNTERS,
        cores=table.n_cores,
        exports=samna_script.exports(table.name),
        kinds=("emulator", "hardware") if samna_script.exports(table.name) else ("emulator",),
        vendor="samna" if samna_script.exports(table.name) else "",
    )


SPECS = tuple(_spec(table) for table in chips.CHIPS.values())


@hookimpl
def hal_devices() -> list[DeviceSpec]:
    """The six chips."""
    return list(SPECS)


@hookimpl
def hal_mapper(spec: DeviceSpec, profile: Any) -> SpeckMapper:
    """A mapper for one of them."""
    from hal_dynapcnn.mapper import SpeckMapper

    return SpeckMapper(spec, profile)


@hookimpl
def hal_open(
    spec: DeviceSpec, kind: str, serial: str | None, profile: Any, seed: int, options: SpeckOpenOptions
) -> SpeckDevice:
    """An emulator of one of them; as hardware the error that says what is missing."""
    if kind == "hardware":
        from hal_dynapcnn import hardware

        hardware.refuse(spec)
    from hal_dynapcnn.device import SpeckDevice

    return SpeckDevice(spec, kind=kind, serial=serial, profile=profile, seed=seed, options=options)


@hookimpl
def hal_export(mapping: Mapping) -> str:
    """The mapping as a script for samna, the one format there is."""
    return samna_script.script(mapping)


@hookimpl
def hal_floorplan(mapping: Mapping) -> FloorPlan:
    """The cores, their memories and arrows."""
    from hal_dynapcnn.floorplan import floorplan

    return floorplan(mapping)


@hookimpl
def hal_conformance(spec: DeviceSpec) -> Evidence:
    """What it brings to the conformance suite."""
    from hal_dynapcnn.evidence import evidence

    return evidence(spec.name)
