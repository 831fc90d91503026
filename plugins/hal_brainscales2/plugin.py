"""What the registry sees: the device `brainscales2`, its limits, and how to make its mapper and its emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hal.device import Clock, Column, DeviceSpec
from hal.errors import CapabilityError
from hal.fit import Observable, Resource
from hal.hookspecs import hookimpl
from hal_brainscales2 import limits
from hal_brainscales2.config import BrainScaleS2Config
from hal_brainscales2.options import MapOptions, OpenOptions
from hal_brainscales2.profile import BrainScaleS2Profile, CalibrationOptions

if TYPE_CHECKING:
    from hal.evidence import Evidence
    from hal.floorplan import FloorPlan
    from hal.mapping import Mapping
    from hal_brainscales2.device import BrainScaleS2Device
    from hal_brainscales2.mapper import BrainScaleS2Mapper

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

_SOURCE = "halco, haldls and grenade, as read"

SPEC = DeviceSpec(
    name="brainscales2",
    family="brainscales2",
    summary="BrainScaleS-2: 512 analog neuron circuits in two hemispheres, a thousand times faster than biology",
    kinds=("emulator", "hardware"),
    clock=Clock(kind="continuous", quantum_in_ns=8, quantum_out_ns=8, max_run_ns=34_359_738_360),
    capabilities=CAPABILITIES,
    resources=(
        Resource(name="circuits", unit="circuits", scope="chip", limit=(limits.CIRCUITS,), source=_SOURCE),
        Resource(name="synapse_rows", unit="rows", scope="bus", limit=(limits.ROWS_PER_BUS,), source=_SOURCE),
        Resource(name="drivers", unit="drivers", scope="bus", limit=(limits.DRIVERS_PER_BUS,), source=_SOURCE),
        Resource(name="fan_in", unit="rows", scope="hemisphere", limit=(limits.ROWS,), source=_SOURCE),
    ),
    observables=(
        Observable(variable="spikes", unit="events"),
        Observable(variable="v", unit="as v of the model, exactly; of the emulator", period_ns=1),
        Observable(
            variable="v_madc", unit="as v of the model, by the fast ADC", at_once=limits.MADC_SIGNALS, period_ns=34
        ),
        Observable(variable="v_cadc", unit="as v of the model, by the column ADC", period_ns=541),
        Observable(variable="spike_s", unit="s since the start of the run, exactly; of the emulator", per="spike"),
        Observable(variable="spike_i", unit="distance of threshold and leak; of the emulator", per="spike"),
    ),
    config=BrainScaleS2Config,
    map_options=MapOptions,
    open_options=OpenOptions,
    profile=BrainScaleS2Profile,
    calibration=CalibrationOptions,
    placement_extras=(Column(name="label", unit="bits", meaning="of the events it sends; -1: it sends none"),),
    why_no_exports="the vendor's stack takes no file",
    cores=limits.HEMISPHERES,
)


@hookimpl
def hal_devices() -> list[DeviceSpec]:
    """The one device of this family."""
    return [SPEC]


@hookimpl
def hal_mapper(spec: DeviceSpec, profile: Any) -> BrainScaleS2Mapper:
    """Its mapper."""
    from hal_brainscales2.mapper import BrainScaleS2Mapper

    return BrainScaleS2Mapper(spec, profile)


@hookimpl
def hal_open(
    spec: DeviceSpec, kind: str, serial: str | None, profile: Any, seed: int, options: OpenOptions
) -> BrainScaleS2Device:
    """Its emulator; the vendor's stack is not to be had as packages, which opening a board says."""
    if kind == "hardware":
        raise CapabilityError(
            "boards are not driven from here",
            hint="the vendor serves them through a platform of its own; open the emulator",
            capability="hardware",
        )
    from hal_brainscales2.device import BrainScaleS2Device

    return BrainScaleS2Device(spec, kind=kind, serial=serial, profile=profile, seed=seed, options=options)


@hookimpl
def hal_calibrate(spec: DeviceSpec, options: CalibrationOptions, progress: Any) -> BrainScaleS2Profile:
    """A profile of one emulated individual."""
    from hal_brainscales2.calibration import calibrate

    return calibrate(options, progress)


@hookimpl
def hal_floorplan(mapping: Mapping) -> FloorPlan:
    """Both hemispheres: synapse rows, drivers, neurons."""
    from hal_brainscales2.floorplan import floorplan

    return floorplan(mapping)


@hookimpl
def hal_conformance(spec: DeviceSpec) -> Evidence:
    """What the suite takes for its trial of this device."""
    from hal_brainscales2.evidence import evidence

    return evidence()
