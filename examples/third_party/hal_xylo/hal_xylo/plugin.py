"""What the registry sees: three parts of the Xylo family, their limits, and how to make their mapper and emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hal.device import Clock, Column, DeviceSpec
from hal.fit import Observable
from hal.hookspecs import hookimpl

from hal_xylo.config import XyloConfig
from hal_xylo.limits import PARTS, Part
from hal_xylo.options import XyloMapOptions, XyloOpenOptions
from hal_xylo.resources import resources

if TYPE_CHECKING:
    from hal.evidence import Evidence

    from hal_xylo.device import XyloDevice
    from hal_xylo.mapper import XyloMapper

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
    }
)


def _spec(part: Part) -> DeviceSpec:
    short = part.name.removeprefix("xylo-")
    currents = "two currents" if part.synapses == 2 else "one current"
    return DeviceSpec(
        name=part.name,
        family="xylo",
        summary=f"SynSense Xylo {short} ({part.product}): clocked integer core, 16 inputs, {part.hidden} hidden "
        f"neurons of {currents}, {part.outputs} outputs",
        kinds=("emulator",),
        clock=Clock(kind="clocked"),
        capabilities=CAPABILITIES,
        resources=resources(part),
        observables=(
            Observable(variable="spikes", unit="events"),
            Observable(variable="v_mem", unit="stored integer", period_ns=0),
            Observable(variable="i_syn", unit="stored integer", period_ns=0),
            *([Observable(variable="i_syn2", unit="stored integer", period_ns=0)] if part.synapses == 2 else []),
        ),
        config=XyloConfig,
        map_options=XyloMapOptions,
        open_options=XyloOpenOptions,
        counters=(Column(name="hibernating", unit="steps", meaning="steps in which nothing moved"),),
        why_no_exports="the layout of the vendor's file is not published",
    )


SPECS = tuple(_spec(part) for part in PARTS)


@hookimpl
def hal_devices() -> tuple[DeviceSpec, ...]:
    """Audio 2, Audio 3 and IMU."""
    return SPECS


@hookimpl
def hal_mapper(spec: DeviceSpec, profile: Any) -> XyloMapper:
    """The mapper of a part."""
    from hal_xylo.mapper import XyloMapper

    return XyloMapper(spec, profile)


@hookimpl
def hal_open(
    spec: DeviceSpec, kind: str, serial: str | None, profile: Any, seed: int, options: XyloOpenOptions
) -> XyloDevice:
    """The emulator of a part."""
    from hal_xylo.device import XyloDevice

    return XyloDevice(spec, kind=kind, serial=serial, profile=profile, seed=seed, options=options)


@hookimpl
def hal_conformance(spec: DeviceSpec) -> Evidence:
    """Vectors of the simulator, models at each limit, an overload."""
    from hal_xylo.evidence import evidence
    from hal_xylo.limits import BY_NAME

    return evidence(BY_NAME[spec.name])
