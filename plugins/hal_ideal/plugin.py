"""What the registry sees: the device `ideal` and how to make its mapper and its emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hal.capabilities import VOCABULARY
from hal.device import Clock, DeviceSpec
from hal.fit import Observable
from hal.hookspecs import hookimpl
from hal_ideal.config import IdealConfig, IdealMapOptions, IdealOpenOptions

if TYPE_CHECKING:
    from hal.evidence import Evidence
    from hal_ideal.device import IdealDevice
    from hal_ideal.mapper import IdealMapper

HAL_PLUGIN_API = "1.0"

__all__ = ["HAL_PLUGIN_API", "SPEC", "hal_devices", "hal_mapper", "hal_open"]

_NOT_HERE = {"overload.report", "noise.seeded", "profile", "learning.on_chip"}

SPEC = DeviceSpec(
    name="ideal",
    family="ideal",
    summary="reference without limits: any NIR graph in floating point, every semantics profile exactly",
    clock=Clock(kind="clocked"),
    capabilities=VOCABULARY.keys() - _NOT_HERE,
    observables=(
        Observable(variable="spikes", unit="events"),
        Observable(variable="v", unit="model units", period_ns=0),
        Observable(variable="i", unit="model units", period_ns=0, types=("CubaLI", "CubaLIF")),
    ),
    config=IdealConfig,
    map_options=IdealMapOptions,
    open_options=IdealOpenOptions,
)


@hookimpl
def hal_devices() -> list[DeviceSpec]:
    """The one device of this family."""
    return [SPEC]


@hookimpl
def hal_mapper(spec: DeviceSpec, profile: Any) -> IdealMapper:
    """Its mapper."""
    from hal_ideal.mapper import IdealMapper

    return IdealMapper(spec, profile)


@hookimpl
def hal_open(
    spec: DeviceSpec, kind: str, serial: str | None, profile: Any, seed: int, options: IdealOpenOptions
) -> IdealDevice:
    """Its emulator; there is no hardware."""
    from hal_ideal.device import IdealDevice

    return IdealDevice(spec, kind=kind, serial=serial, profile=profile, seed=seed, options=options)


@hookimpl
def hal_conformance(spec: DeviceSpec) -> Evidence:
    """Why it is not gold."""
    from hal.evidence import Evidence

    return Evidence(why="the reference: it has no limits and cannot be overloaded")
