"""What the registry sees: the device `mychip`, what it can do, its limits, and how to make its mapper and emulator.

Asking for the devices imports this module: mapper, emulator and a vendor's package are imported in the hooks alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hal.device import Clock, DeviceSpec
from hal.evidence import Evidence, read_vectors
from hal.fit import Observable, Resource
from hal.hookspecs import hookimpl

from hal_mychip import config

if TYPE_CHECKING:
    from hal_mychip.device import MychipDevice
    from hal_mychip.mapper import MychipMapper

HAL_PLUGIN_API = "1.0"

# region: spec
# where a number was published: "data sheet 2.1, table 3"; what nobody has published is an assumption, and says so
SOURCE = "assumption: this chip is made up"

SPEC = DeviceSpec(
    name="mychip",
    family="mychip",
    summary="a made-up clocked chip: 4 cores of 256 integrate-and-fire neurons, 8-bit weights",
    clock=Clock(kind="clocked"),
    # words of hal.capabilities.VOCABULARY; what is not here is refused for you, in models and in calls
    capabilities=frozenset(
        {
            "neuron.if",
            *("route.fanout", "route.merge", "route.recurrent", "route.inputs", "route.outputs"),
            *("reset.state", "reset.loaded", "reset.config", "reset.power", "run.continue"),
            *("map.like", "map.adopt", "map.edit", "record.state", "overload.report"),
        }
    ),
    resources=(
        Resource(name="neurons", unit="neurons", scope="chip", limit=(config.NEURONS,), source=SOURCE),
        Resource(name="synapses", unit="synapses", scope="chip", limit=(config.SYNAPSES,), source=SOURCE),
        Resource(name="channels", unit="channels", scope="chip", limit=(config.CHANNELS,), source=SOURCE),
        Resource(
            name="input events", unit="events per step", scope="chip", when="run",
            limit=(config.EVENTS_PER_STEP,), source=SOURCE,
        ),
    ),
    observables=(Observable(variable="spikes", unit="events"), Observable(variable="v", unit="stored integer")),
    config=config.MychipConfig,
    open_options=config.MychipOpenOptions,
    cores=config.CORES,
)  # fmt: skip
# endregion


# region: hooks
@hookimpl
def hal_devices() -> list[DeviceSpec]:
    """The devices of this family, under the names that pyproject.toml lists in `hal.devices`."""
    return [SPEC]


@hookimpl
def hal_mapper(spec: DeviceSpec, profile: Any) -> MychipMapper:
    """What places models on the chip."""
    from hal_mychip.mapper import MychipMapper

    return MychipMapper(spec, profile)


@hookimpl
def hal_open(
    spec: DeviceSpec, kind: str, serial: str | None, profile: Any, seed: int, options: config.MychipOpenOptions
) -> MychipDevice:
    """The emulator; with kind "hardware" (add it to `SPEC.kinds`) the vendor's package would be imported here."""
    from hal_mychip.device import MychipDevice

    return MychipDevice(spec, kind=kind, serial=serial, profile=profile, seed=seed, options=options)


# endregion


# region: evidence
@hookimpl
def hal_conformance(spec: DeviceSpec) -> Evidence:
    """What speaks for the device at its trial: answers of a simulator or of silicon, kept beside this file."""
    return Evidence(
        vectors=read_vectors(Path(__file__).with_name("vectors")),
        why="a made-up chip has no simulator and no silicon to give it vectors",
    )


# endregion
