"""Profiles of individual chips: measuring one, and the file that keeps it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from hal.errors import CapabilityError, ConfigError, FormatError, Problem, WriteError

if TYPE_CHECKING:
    from hal.config import Profile
    from hal.spec import DeviceSpec

FORMAT: Final = "neurohal-profile-1"
Progress = Callable[[int, int, str], None]
"""Called with what is done, of how much, and what is being done."""


def calibrate(
    name: str, options: Mapping[str, Any] | Any | None = None, *, progress: Progress | None = None
) -> Profile:
    """Measure one individual of a device, and find what makes it do what the options ask for.

    Args:
        name: name, alias, or name@distribution; `hal.devices()` lists names.
        options: of class `spec.calibration`, or its fields as a mapping.
        progress: called now and then.

    Raises:
        CapabilityError: the device is not calibrated. ConfigError: everything wrong with the options.
    """
    from hal import config, registry

    current = registry.current()
    plugin, spec = current.resolve(name)
    wanted = calibration_of(spec)
    if options is None or isinstance(options, Mapping):
        options = config.build(wanted, options or {}, f"options of the calibration of {spec.name}")
    elif not isinstance(options, wanted):
        problem = Problem("wrong options", "options", value=type(options).__name__, limit=wanted.__name__)
        raise ConfigError(f"cannot calibrate {spec.name}", problems=[problem])
    config.check(options, f"options of the calibration of {spec.name}")
    arguments = {"options": options, "progress": progress or _quiet}
    made: Any = current.loader.call(plugin, "hal_calibrate", spec=spec, **arguments)
    if spec.profile is None or not isinstance(made, spec.profile):
        expected = "a profile" if spec.profile is None else spec.profile.__name__
        raise plugin.fault("hal_calibrate", f"returned {type(made).__name__}, not {expected}")
    return cast("Profile", made)


def _quiet(done: int, of: int, what: str) -> None:
    """Nobody wants to know."""


def calibration_of(spec: DeviceSpec) -> type:
    """The class of the options of a device's calibration. Raises CapabilityError where there is none."""
    if spec.calibration is None:
        hint = "" if spec.profile is not None else "its individuals are not told apart"
        raise CapabilityError(f"{spec.name} is not calibrated", hint=hint, capability="profile", device=spec.name)
    return spec.calibration


def save_profile(profile: Profile, path: str | Path, device: str) -> None:
    """Write a profile of a device as JSON, in place of what lies there. Raises WriteError."""
    from hal import config

    data = {"format": FORMAT, "device": device, "profile": config.to_json(profile)}
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    try:
        partial.write_text(json.dumps(data) + "\n", encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise WriteError(f"cannot write {target}: {error.strerror}", file=str(target)) from error


def read_profile(path: str | Path, spec: DeviceSpec | str) -> Profile:
    """The profile of a device (its spec or name) in a file.

    Raises CapabilityError where the device has no profiles, ConfigError where there is no such file or it is another
    device's, FormatError where it holds no profile.
    """
    from hal import config, registry
    from hal.capabilities import require

    device = registry.spec(spec) if isinstance(spec, str) else spec
    require(device.capabilities, "profile", device.name, "profiles")
    source = Path(path)
    if device.profile is None or not source.is_file():
        hint = f"hal calibrate {device.name} --out FILE writes one" if device.calibration else ""
        problem = Problem("there is no such file", "profile", value=str(path))
        raise ConfigError(f"no profile of {device.name}", problems=[problem], hint=hint)
    try:
        data = json.loads(source.read_text(encoding="utf-8"))
        known = isinstance(data, dict) and data.get("format") == FORMAT
    except (OSError, ValueError):
        known = False
    if not known:
        raise FormatError(f"{source} holds no profile", hint=f"one begins with format {FORMAT!r}", file=str(source))
    if data.get("device") != device.name:
        problem = Problem("of another device", "profile", value=data.get("device"), limit=device.name)
        raise ConfigError(f"{source} is not for {device.name}", problems=[problem])
    try:
        made: Profile = config.from_json(device.profile, data.get("profile"))
    except ConfigError as error:
        raise FormatError(f"{source} is damaged", problems=error.problems, file=str(source)) from error
    return made
