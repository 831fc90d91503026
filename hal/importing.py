"""Files of vendors' tools as mappings: the way from the chip's own configuration into the emulator."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from hal.errors import CapabilityError, FormatError

if TYPE_CHECKING:
    from hal.mapping import Mapping
    from hal.spec import DeviceSpec


def import_mapping(path: str | Path, format: str, *, device: str | None = None) -> Mapping:  # noqa: A002
    """The registers in a vendor's file, as a mapping without a model (`Mapper.adopt`).

    format: one of `spec.imports` of the device. device: needed where several read the format; nothing of the vendor's
    package is imported. Raises CapabilityError for a format that is not read, FormatError for a file that is not there
    or broken, what `adopt` raises for registers that the device does not take, and PluginError when a plugin is to
    blame.
    """
    from hal import registry

    spec = reader(format, device)
    current = registry.current()
    plugin, _ = current.resolve(spec.name)
    source = Path(path)
    if not source.is_file():
        raise FormatError(f"there is no file {source}", hint="give the name of a file", file=str(source))
    made = current.loader.call(plugin, "hal_import", spec=spec, path=source, format=format)
    if not isinstance(made, spec.config):
        raise plugin.fault("hal_import", f"returned {type(made).__name__}, not {spec.config.__name__}")
    return registry.mapper(spec.name).adopt(made)


def reader(format: str, device: str | None = None) -> DeviceSpec:  # noqa: A002
    """The device that reads a format: the one named, or the only one there is."""
    from hal import registry

    if device is not None:
        spec = registry.spec(device)
        if format in spec.imports:
            return spec
        there = ", ".join(spec.imports) or "none"
        raise CapabilityError(
            f"{spec.name} does not read {format!r}",
            hint=f"{_near(format, spec.imports)}imports of {spec.name}: {there}",
            capability="import",
            device=spec.name,
            imports=spec.imports,
        )
    current = registry.current()
    current.load_all()
    specs = [spec for plugin in current.plugins if plugin.record.state == "loaded" for spec in plugin.specs]
    able = [spec for spec in specs if format in spec.imports]
    if len(able) == 1:
        return able[0]
    if able:
        names = tuple(sorted(spec.name for spec in able))
        raise CapabilityError(
            f"{len(able)} devices read {format!r}: {', '.join(names)}",
            hint=f"say which: device={names[0]!r}, or --device {names[0]}",
            capability="import",
            devices=names,
        )
    formats = tuple(sorted({name for spec in specs for name in spec.imports}))
    raise CapabilityError(
        f"no device reads {format!r}",
        hint=f"{_near(format, formats)}formats that are read: {', '.join(formats) or 'none'}",
        capability="import",
        imports=formats,
    )


def _near(word: str, there: tuple[str, ...]) -> str:
    near = get_close_matches(str(word), there, n=1)
    return f"did you mean {near[0]}? " if near else ""
