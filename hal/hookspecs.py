"""What a plugin may implement: the hooks, their versions, and the checks a plugin passes before it is registered.

A plugin is a module, named in the entry-point group `hal.plugins` under its family's name:

    from hal.hookspecs import hookimpl

    HAL_PLUGIN_API = "1.0"

    @hookimpl
    def hal_devices(): return (MY_CHIP,)

An implementation may name fewer arguments than its hook offers, in any order; they are passed by keyword. It must not
name others. Adding an argument or a hook raises the minor number of `API_VERSION`, removing or redefining one the
major number.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

    from hal.device import Device, DeviceSpec
    from hal.evidence import Evidence
    from hal.floorplan import FloorPlan
    from hal.mapper import Mapper
    from hal.mapping import Mapping

PROJECT: Final = "hal"
API_VERSION: Final = "1.0"
"""The plugin interface this core speaks. A plugin's `HAL_PLUGIN_API` has the same major and no greater minor."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook of the same name."""


@hookspec
def hal_devices() -> Sequence[DeviceSpec]:
    """The devices of this family. Required. Since 1.0.

    Called once, when the plugin is loaded. The names are those that the distribution lists in the entry-point group
    `hal.devices`, so that listing devices imports nothing; `family` is the name in `hal.plugins`.
    """
    raise NotImplementedError


@hookspec
def hal_mapper(spec: DeviceSpec, profile: Any | None) -> Mapper:
    """A mapper for the device. Required. Since 1.0.

    profile: an instance of `spec.profile` (calibration and deny-lists of one individual), already checked, or None.
    """
    raise NotImplementedError


@hookspec
def hal_open(spec: DeviceSpec, kind: str, serial: str | None, profile: Any | None, seed: int, options: Any) -> Device:
    """Open the device. Required. Since 1.0.

    kind: one of `spec.kinds`; "hardware" imports the vendor's package here and nowhere else, and raises
    OptionalDependencyError where it is missing (`hal.vendor.require`). serial: which individual, None for any. seed: of
    the noise of runs, >= 0. options: a checked instance of `spec.open_options`.
    """
    raise NotImplementedError


@hookspec
def hal_conformance(spec: DeviceSpec) -> Evidence | None:
    """What the plugin brings to its trial: a `hal.evidence.Evidence`, or None. Optional; gold needs it. Since 1.0."""
    raise NotImplementedError


@hookspec
def hal_export(spec: DeviceSpec, mapping: Mapping, to: str) -> Any:
    """The mapping in the vendor's format `to`, as text or bytes. Optional; goes with `spec.exports`. Since 1.0.

    to: one of `spec.exports`, already checked. Nothing is written, and the vendor's package is not imported.
    """
    raise NotImplementedError


@hookspec
def hal_import(spec: DeviceSpec, path: Path, format: str) -> Any:  # noqa: A002
    """The registers stored in a vendor's file, as an instance of `spec.config`. Optional; goes with `spec.imports`.

    path: of a file that is there. format: one of `spec.imports`, already checked. A file that is no such format, or
    holds what the registers cannot, is a FormatError with every problem. Since 1.0.
    """
    raise NotImplementedError


@hookspec
def hal_calibrate(spec: DeviceSpec, options: Any, progress: Callable[[int, int, str], None]) -> Any:
    """Measure one individual; an instance of `spec.profile`. Optional; goes with `spec.calibration`. Since 1.0.

    options: an instance of `spec.calibration`, already checked. progress: to be called now and then with what is done,
    of how much, and what is being done. For `hal calibrate` the profile has `before` and `after` (an array of each
    parameter, one value per circuit), `failed` (per circuit, < 0 where all is well), `reasons` (circuit -> parameter),
    `versions`, and `table()`: rows of parameter, aim, and mean_, sd_ and worst_ of before and after.
    """
    raise NotImplementedError


@hookspec
def hal_floorplan(spec: DeviceSpec, mapping: Mapping) -> FloorPlan:
    """The chip as its users know it, with what sits where and how full each memory is. Optional. Since 1.0.

    Plain data, `hal.floorplan`: boxes with labels and fills, and arrows; `hal report` draws them. Without the hook the
    cores in use are drawn as a plain grid. What is drawn follows from placement and registers: a mapping may have been
    adopted from registers alone, or edited, and its fit report is then empty.
    """
    raise NotImplementedError


HOOKS: Final = tuple(sorted(name for name in globals() if name.startswith("hal_")))
REQUIRED: Final = ("hal_devices", "hal_mapper", "hal_open")


def manager() -> pluggy.PluginManager:
    """A plugin manager that knows the hooks and no plugin."""
    made = pluggy.PluginManager(PROJECT)
    made.add_hookspecs(sys.modules[__name__])
    return made


def api_problem(plugin: object) -> str:
    """Why the plugin's `HAL_PLUGIN_API` does not go with this core's `API_VERSION`; empty when it does."""
    declared = getattr(plugin, "HAL_PLUGIN_API", None)
    if declared is None:
        return f'declares no HAL_PLUGIN_API; this core speaks {API_VERSION}: add HAL_PLUGIN_API = "{API_VERSION}"'
    if not isinstance(declared, str) or not re.fullmatch(r"[0-9]+\.[0-9]+", declared):
        return f'HAL_PLUGIN_API is {declared!r}, not a text "major.minor"; this core speaks {API_VERSION}'
    (major, minor), (own_major, own_minor) = _numbers(declared), _numbers(API_VERSION)
    if major == own_major and minor <= own_minor:
        return ""
    advice = "update the plugin" if (major, minor) < (own_major, own_minor) else "update neurohal"
    return f"was written for plugin API {declared}, this core speaks {API_VERSION}; {advice}"


def _numbers(version: str) -> tuple[int, int]:
    """Compared as numbers: as text, 1.10 would come before 1.9."""
    major, minor = version.split(".")
    return int(major), int(minor)


def hook_problems(plugin: object, opts: pluggy.PluginManager) -> list[str]:
    """Everything about the plugin's hooks that would make pluggy ignore them in silence, and what is missing.

    opts: any plugin manager of this project; it reads the marker's options.
    """
    found: list[str] = []
    given: set[str] = set()
    for name in dir(plugin):
        if not name.startswith("_"):
            marker = opts.parse_hookimpl_opts(plugin, name)
            hook = (marker.get("specname") if marker else None) or name
            if marker or (name.startswith("hal_") and not isinstance(getattr(plugin, name), ModuleType)):
                found += _one_hook(plugin, name, hook, marker)
                given.add(hook)
    found += [f"{name} is missing; a plugin must implement it" for name in REQUIRED if name not in given]
    return found


def _one_hook(plugin: object, name: str, hook: str, marker: Any) -> Iterator[str]:
    if problem := no_hook(hook):
        # optionalhook is the author's way of saying "where the core knows it"
        if not (marker and marker.get("optionalhook")):
            yield problem
        return
    if not marker:
        yield f"{name} is not marked with @hookimpl, so it would never be called"
        return
    if marker.get("hookwrapper") or marker.get("wrapper"):
        yield f"{name} is a hook wrapper; each plugin is asked on its own, there is nothing to wrap"
    offered = tuple(inspect.signature(globals()[hook]).parameters)
    for parameter in inspect.signature(getattr(plugin, name)).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            yield f"{name} must name its arguments, passed by keyword; {parameter} is not that"
        elif parameter.name not in offered:
            yield f"{name} has an unknown argument {parameter.name!r}; {_advice(parameter.name, offered)}"


def no_hook(name: str) -> str:
    """What is wrong when there is no hook of that name; empty when there is."""
    return "" if name in HOOKS else f"{name} is no hook; {_advice(name, HOOKS)}"


def _advice(name: str, there: Sequence[str]) -> str:
    near = get_close_matches(name, there, n=1)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(there) or 'none'}"
