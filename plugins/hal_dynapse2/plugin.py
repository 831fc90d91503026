"""What the registry sees: the chip and the vendor's simulator, their limits, and how to make mappers and emulators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from hal.device import Clock, Column, DeviceSpec
from hal.fit import Observable, Resource
from hal.hookspecs import hookimpl
from hal_dynapse2 import limits
from hal_dynapse2.config import Dynapse2Config
from hal_dynapse2.options import Dynapse2MapOptions, Dynapse2OpenOptions, Dynapse2Profile, DynapsimOpenOptions

if TYPE_CHECKING:
    from pathlib import Path

    from hal.device import Device
    from hal.evidence import Evidence
    from hal.floorplan import FloorPlan
    from hal.mapping import Mapping
    from hal_dynapse2.mapper import Dynapse2Mapper

HAL_PLUGIN_API = "1.0"

CAPABILITIES = frozenset(
    {
        "neuron.cuba",
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
        "profile",
    }
)

_SOURCE = "rockpool 3.1.0, rockpool.devices.dynapse"

CHIP = DeviceSpec(
    name="dynapse2",
    family="dynapse2",
    summary="SynSense DYNAP-SE2: 4 cores of 256 analog neurons, 64 synapses of 4 bits each, routed by tags",
    kinds=("emulator", "hardware"),
    clock=Clock(kind="continuous", quantum_in_ns=1000, quantum_out_ns=1000),
    capabilities=CAPABILITIES,
    resources=(
        Resource(
            name="cores", unit="cores", scope="grid", limit=(limits.CORES,),
            source=f"{_SOURCE}; per chip, see option grid",
        ),
        Resource(name="neurons", unit="neurons", scope="core", limit=(limits.NEURONS,), source=_SOURCE),
        Resource(name="CAM entries", unit="entries", scope="neuron", limit=(limits.CAM_ENTRIES,), source=_SOURCE),
        Resource(name="SRAM entries", unit="entries", scope="neuron", limit=(limits.SRAM_ENTRIES,), source=_SOURCE),
        Resource(name="tags", unit="tags", scope="core", limit=(limits.TAGS,), source=_SOURCE),
    ),
    observables=(
        Observable(variable="spikes", unit="events"),
        Observable(variable="imem", unit="A", at_once=1, scope="core", period_ns=1),
    ),
    config=Dynapse2Config,
    map_options=Dynapse2MapOptions,
    open_options=Dynapse2OpenOptions,
    profile=Dynapse2Profile,
    placement_extras=(
        Column(name="tag", unit="tag", meaning="what its events are sent with on the grid; -1: nobody hears them"),
        Column(name="monitor", unit="tag", meaning="tag with which its events reach the host; -1: they do not"),
    ),
    counters=(
        Column(name="queued_ns", unit="ns", meaning="time that events waited for a core's tag bus, summed"),
        Column(name="lost", unit="events", meaning="lost on the way (option lost_events)"),
    ),
    exports=("dynapse2-json",),
    imports=("dynapse2-json",),
    approximates={"neuron.lif": "synapse"},
    vendor="samna",
    cores=limits.CORES,
)  # fmt: skip

SIMULATOR = attrs.evolve(
    CHIP,
    name="dynapse2-dynapsim",
    summary="the clocked rule of DynapSim, the vendor's simulator of DYNAP-SE2, on the same registers",
    kinds=("emulator",),
    clock=Clock(kind="clocked"),
    capabilities=CAPABILITIES - {"overload.report"},
    observables=(
        Observable(variable="spikes", unit="events"),
        *(
            Observable(variable=name, unit=unit, period_ns=0)
            for name, unit in (("imem", "A"), ("isyn", "A"), ("iahp", "A"), ("vmem", "V"))
        ),
    ),
    open_options=DynapsimOpenOptions,
    counters=(),
    loads=("dynapse2",),
    # the chip's registers are adopted by the chip; the simulator loads that mapping
    imports=(),
    vendor="",
)


@hookimpl
def hal_devices() -> list[DeviceSpec]:
    """The chip, and the vendor's simulator of it."""
    return [CHIP, SIMULATOR]


@hookimpl
def hal_mapper(spec: DeviceSpec, profile: Any) -> Dynapse2Mapper:
    """One mapper for both."""
    from hal_dynapse2.mapper import Dynapse2Mapper

    return Dynapse2Mapper(spec, profile)


@hookimpl
def hal_open(spec: DeviceSpec, kind: str, serial: str | None, profile: Any, seed: int, options: Any) -> Device:
    """An emulator; opening a board says what is missing."""
    if kind == "hardware":
        from hal_dynapse2.hardware import refuse

        refuse(spec)
    if spec.name == SIMULATOR.name:
        from hal_dynapse2.simulator import DynapsimDevice

        return DynapsimDevice(spec, kind=kind, serial=serial, profile=profile, seed=seed, options=options)
    from hal_dynapse2.device import Dynapse2Device

    return Dynapse2Device(spec, kind=kind, serial=serial, profile=profile, seed=seed, options=options)


@hookimpl
def hal_export(spec: DeviceSpec, mapping: Mapping, to: str) -> str:
    """The registers as the vendor's configuration in JSON."""
    from hal_dynapse2 import vendor_json

    return vendor_json.write(mapping.config)


@hookimpl
def hal_import(spec: DeviceSpec, path: Path, format: str) -> Dynapse2Config:  # noqa: A002
    """Registers from the vendor's JSON."""
    from hal_dynapse2 import vendor_json

    return vendor_json.read(path)


@hookimpl
def hal_floorplan(mapping: Mapping) -> FloorPlan:
    """Cores, neurons and how full CAM and SRAM are."""
    from hal_dynapse2.floorplan import floorplan

    return floorplan(mapping)


@hookimpl
def hal_conformance(spec: DeviceSpec) -> Evidence:
    """What it brings to the conformance suite."""
    from hal_dynapse2.evidence import evidence

    return evidence(spec.name)
