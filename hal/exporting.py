"""Mappings in the formats of vendors' tools: the way from the emulator to the chip."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from hal.errors import CapabilityError, ConfigError

if TYPE_CHECKING:
    from hal.mapping import Mapping
    from hal.spec import DeviceSpec


def export(mapping: Mapping, to: str) -> str | bytes:
    """The mapping in a vendor's format, one of `spec.exports` of its device.

    Text for formats that are text, bytes for others; nothing is written, nothing of the vendor's is imported.
    Raises CapabilityError for a format that the device does not export, PluginError when its plugin is not loaded.
    """
    from hal import registry
    from hal.mapping import Mapping

    if not isinstance(mapping, Mapping):
        raise ConfigError(
            "export takes a mapping", value=type(mapping).__name__, hint="hal.read_mapping reads a saved one"
        )
    current = registry.current()
    plugin, spec = current.resolve(mapping.device)
    check_format(spec, to)
    made = current.loader.call(plugin, "hal_export", spec=spec, mapping=mapping, to=to)
    if not isinstance(made, str | bytes):
        raise plugin.fault("hal_export", f"returned {type(made).__name__}, not text or bytes")
    return made


def check_format(spec: DeviceSpec, to: str) -> None:
    """Refuse a format that a device does not export, with the list of those it does."""
    if to in spec.exports:
        return
    near = get_close_matches(str(to), spec.exports, n=1)
    advice = f"did you mean {near[0]}? " if near else ""
    raise CapabilityError(
        f"{spec.name} is not exported to {to!r}",
        hint=f"{advice}exports of {spec.name}: {', '.join(spec.exports) or spec.why_no_exports or 'none'}",
        capability="export",
        device=spec.name,
        exports=spec.exports,
    )
