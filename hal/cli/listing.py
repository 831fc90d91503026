"""`hal devices`: what there is. The plain list comes from metadata alone and imports no plugin, numpy or rich."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hal import registry
from hal.cli.failures import printable

HEADER = ("name", "family", "distribution", "version", "state")


def devices(*, as_json: bool = False, everything: bool = False) -> int:
    """Print the devices; everything: import every plugin, and say which of them cannot be used and why."""
    records = registry.records(load=everything)
    rows = [_row(listing, owner) for listing, owner in registry.current().listed]
    if not everything:
        rows = [row for row in rows if row["state"] != "blocked"]
    for row in rows:
        if everything:
            row["aliases"] = _aliases(row)
    inconsistencies = {str(r): registry.inconsistencies(r) for r in records if r.state == "loaded"}
    plugins = [_plugin(record, inconsistencies.get(str(record), [])) for record in records]
    if as_json:
        print(json.dumps({"devices": rows, "plugins": plugins} if everything else {"devices": rows}))
        return 0
    header = (*HEADER, "aliases") if everything else HEADER
    _table(header, [[" ".join(row[name]) if name == "aliases" else row[name] for name in header] for row in rows])
    if not rows:
        print("no devices are installed; plugins declare them in the entry-point group hal.devices")
    if everything:
        _faults(plugins)
    return 0


def _row(listing: registry.DeviceListing, owner: Any) -> dict[str, Any]:
    """One device; state is that of its plugin."""
    return {
        "name": listing.name,
        "family": listing.family,
        "distribution": listing.distribution,
        "version": listing.version,
        "state": owner.record.state if owner is not None else "without plugin",
    }


def _aliases(row: dict[str, Any]) -> list[str]:
    specs = [
        spec
        for plugin in registry.current().plugins
        if (plugin.record.family, plugin.record.distribution) == (row["family"], row["distribution"])
        for spec in plugin.specs
        if spec.name == row["name"]
    ]
    return sorted(alias for spec in specs for alias in spec.aliases)


def _plugin(record: Any, inconsistencies: list[str]) -> dict[str, Any]:
    return {
        "family": record.family,
        "distribution": record.distribution,
        "version": record.version,
        "module": record.entry,
        "state": record.state,
        "reason": record.error,
        "inconsistencies": inconsistencies,
        "load_ms": record.load_ms,
    }


def _faults(plugins: Sequence[dict[str, Any]]) -> None:
    """What cannot be used, and why."""
    for plugin in plugins:
        reasons = [plugin["reason"]] if plugin["state"] != "loaded" else plugin["inconsistencies"]
        if reasons:
            title = f"{plugin['family']} ({plugin['distribution']} {plugin['version']}, {plugin['module']})"
            print(f"\n{printable(title)}: {plugin['state']}")
            for line in (line for reason in reasons for line in reason.splitlines()):
                print(f"  {printable(line)}")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    lines = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
