"""What the registry sees: the device `loihi`, its limits, and how to make its mapper and its emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hal.device import Clock, Column, DeviceSpec
from hal.errors import CapabilityError
from hal.fit import Observable, Resource
from hal.hookspecs import hookimpl
from hal_loihi import limits
from hal_loihi.config import LoihiConfig
from hal_loihi.options import LoihiMapOptions, LoihiOpenOptions

if TYPE_CHECKING:
    from hal.evidence import Evidence
    from hal.floorplan import FloorPlan
    from hal.mapping import Mapping
    from hal_loihi.device import LoihiDevice
    from hal_loihi.mapper import LoihiMapper

HAL_PLUGIN_API = "1.0"

CAPABILITIES = frozenset(
    {
        "neuron.if",
        "neuron.lif",
        "neuron.cuba",
        "route.fanout",
        "route.merge",
        "route.recurrent",
        "route.inputs",
        "route.outputs",
        "delay.axonal",
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

_SOURCE = "nengo-loihi 1.1.0"
_NO_TOOL = "no public tool loads a network onto a Loihi chip"

SPEC = DeviceSpec(
    name="loihi",
    family="loihi",
    summary="Intel Loihi 1: 128 clocked cores of 1024 compartments, integer current and voltage, 8-bit weights",
    kinds=("emulator", "hardware"),
    clock=Clock(kind="clocked"),
    capabilities=CAPABILITIES,
    resources=(
        Resource(name="cores", unit="cores", scope="chip", limit=(limits.CORES_PER_CHIP,), source=_SOURCE),
        Resource(name="compartments", unit="compartments", scope="core", limit=(limits.COMPARTMENTS,), source=_SOURCE),
        Resource(name="in axons", unit="in axons", scope="core", limit=(limits.IN_AXONS,), source=_SOURCE),
        Resource(name="out axons", unit="out axons", scope="core", limit=(limits.OUT_AXONS,), source=_SOURCE),
        Resource(name="synapse bits", unit="bits", scope="core", limit=(limits.SYNAPSE_BITS,), source=_SOURCE),
    ),
    observables=(
        Observable(variable="spikes", unit="events"),
        Observable(variable="u", unit="stored integer", period_ns=0),
        Observable(variable="v", unit="stored integer", period_ns=0),
    ),
    config=LoihiConfig,
    map_options=LoihiMapOptions,
    open_options=LoihiOpenOptions,
    counters=(Column(name="busy_ns", unit="ns", meaning="work of a core by the costs that were given"),),
    why_no_exports=f"none, as {_NO_TOOL}",
    cores=limits.CORES_PER_CHIP,
)


@hookimpl
def hal_devices() -> list[DeviceSpec]:
    """The one device of this family."""
    return [SPEC]


@hookimpl
def hal_mapper(spec: DeviceSpec, profile: Any) -> LoihiMapper:
    """Its mapper."""
    from hal_loihi.mapper import LoihiMapper

    return LoihiMapper(spec, profile)


@hookimpl
def hal_open(
    spec: DeviceSpec, kind: str, serial: str | None, profile: Any, seed: int, options: LoihiOpenOptions
) -> LoihiDevice:
    """Its emulator. No public tool loads a network onto the chip: opening one says so."""
    if kind == "hardware":
        raise CapabilityError(
            _NO_TOOL,
            hint="Intel's NxSDK, which did, is not published; open the emulator",
            capability="hardware",
        )
    from hal_loihi.device import LoihiDevice

    return LoihiDevice(spec, kind=kind, serial=serial, profile=profile, seed=seed, options=options)


@hookimpl
def hal_floorplan(mapping: Mapping) -> FloorPlan:
    """The grid of cores."""
    from hal_loihi.floorplan import floorplan

    return floorplan(mapping)


@hookimpl
def hal_conformance(spec: DeviceSpec) -> Evidence:
    """What it brings to the conformance suite."""
    from hal_loihi.evidence import evidence

    return evidence()
