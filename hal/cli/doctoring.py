"""`hal doctor`: what is installed, what is broken, and what to do about it."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import platform
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote, urlparse

import attrs

from hal import vendor
from hal.cli.failures import FAILED
from hal.cli.show import Page, add, print_json, styled, table
from hal.plugins import DEVICES, PLUGINS, same_distribution

DISTRIBUTION: Final = "neurohal"
PACKAGE: Final = "hal"
OLDEST_PYTHON: Final = (3, 11)

Level = Literal["ok", "warning", "broken"]
STYLES: Final = {"ok": "green", "warning": "yellow", "broken": "bold red"}


@attrs.frozen(kw_only=True)
class Result:
    """What was found about one thing, and what to do about it."""

    what: str
    level: Level
    text: str
    hint: str = ""


def doctor(*, as_json: bool) -> int:
    """Look at everything; 1 when something is broken."""
    results = [*_python(), *_packages(), *_clash(), *_plugins(), *_stale(), *_cache(), *_vendors()]
    broken = [result for result in results if result.level == "broken"]
    if as_json:
        print_json({"ok": not broken, "results": [attrs.asdict(result) for result in results]})
    else:
        _show(Page(), results)
    return FAILED if broken else 0


def _show(page: Page, results: list[Result]) -> None:
    made = table("", " ", "  ", keep=(" ",))
    made.show_header = False
    for result in results:
        add(made, result.what, styled(result.level, STYLES[result.level]), result.text)
        if result.hint:
            add(made, "", styled(""), styled(f"> {result.hint}", "cyan"))
    page.table(made)
    counts = {level: sum(result.level == level for result in results) for level in ("broken", "warning")}
    page.heading(
        f"{counts['broken']} broken, {counts['warning']} to look at", "bold red" if counts["broken"] else "bold"
    )


# --- Python and packages --------------------------------------------------------------------------------------------


def _python() -> Iterator[Result]:
    version = platform.python_version()
    good = sys.version_info >= OLDEST_PYTHON
    text = f"{platform.python_implementation()} {version}, {sys.executable}"
    hint = "" if good else f"at least {'.'.join(map(str, OLDEST_PYTHON))} is needed"
    yield Result(what="Python", level="ok" if good else "broken", text=text, hint=hint)


def _packages() -> Iterator[Result]:
    """The distribution itself and what it requires, with versions."""
    own = _version(DISTRIBUTION)
    if own is None:
        yield Result(
            what=DISTRIBUTION,
            level="broken",
            text="runs from a source tree that was never installed: no devices are known",
            hint="pip install -e . in the source tree",
        )
        return
    yield Result(what=DISTRIBUTION, level="ok", text=own)
    for name, wanted in _requirements():
        found = _version(name)
        if found is None:
            yield Result(
                what=name, level="broken", text=f"missing, needed {wanted}", hint=f"pip install '{name}{wanted}'"
            )
        elif _older(found, wanted):
            hint = f"pip install -U '{name}{wanted}'"
            yield Result(what=name, level="broken", text=f"{found}, needed {wanted}", hint=hint)
        else:
            yield Result(what=name, level="ok", text=found)


def _requirements() -> Iterator[tuple[str, str]]:
    """(name, version condition) of what is always needed."""
    for text in metadata.requires(DISTRIBUTION) or ():
        if ";" not in text:
            end = next((k for k, c in enumerate(text) if c in "<>=!~ [("), len(text))
            yield text[:end], text[end:].strip()


def _older(found: str, wanted: str) -> bool:
    """Whether a version is below the one in `>=version`; other conditions are the installer's business."""
    least = next((part.strip()[2:] for part in wanted.split(",") if part.strip().startswith(">=")), None)
    return least is not None and _numbers(found) < _numbers(least)


def _numbers(version: str) -> tuple[int, ...]:
    out: list[int] = []
    for part in version.split("+")[0].split("."):
        digits = "".join(c for c in part if c.isdecimal())
        if not digits or not part[0].isdecimal():
            break
        out.append(int(digits))
        if len(digits) < len(part):
            break
    while out and out[-1] == 0:
        out.pop()
    return tuple(out)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _clash() -> Iterator[Result]:
    """Other distributions ship a package `hal`, too; whichever was installed last has overwritten files."""
    owners = set(metadata.packages_distributions().get(PACKAGE, ()))
    others = sorted(name for name in owners if not same_distribution(name, DISTRIBUTION))
    if others:
        names = ", ".join(others)
        yield Result(
            what=f"package {PACKAGE}",
            level="broken",
            text=f"also shipped by {names}: the two overwrite each other's files",
            hint=f"use an environment of its own, or: pip uninstall {' '.join(others)}; pip install --force-reinstall "
            f"--no-deps {DISTRIBUTION}",
        )
    else:
        found = importlib.util.find_spec(PACKAGE)
        where = str(Path(found.origin).parent) if found is not None and found.origin else "unknown"
        yield Result(what=f"package {PACKAGE}", level="ok", text=where)


# --- plugins --------------------------------------------------------------------------------------------------------


def _plugins() -> Iterator[Result]:
    from hal import registry

    records = registry.records(load=True)
    if not records:
        yield Result(
            what="plugins", level="broken", text="none found", hint=f"pip install --force-reinstall {DISTRIBUTION}"
        )
    for record in records:
        what = f"plugin {record.family}"
        origin = f"{record.distribution} {record.version}, {record.entry}"
        if record.state == "loaded":
            wrong = registry.inconsistencies(record)
            took = f"loaded in {record.load_ms:.0f} ms" if record.load_ms is not None else "loaded"
            yield Result(what=what, level="ok", text=f"{took}; {origin}")
            for text in wrong:
                yield Result(what=what, level="broken", text=text, hint=f"reinstall {record.distribution}")
        elif record.state == "blocked":
            yield Result(what=what, level="warning", text=f"blocked: {record.error}; {origin}")
        else:
            hint = "hal.registry.records() has the traceback" if record.traceback else ""
            yield Result(what=what, level="broken", text=f"{record.state}: {record.error}; {origin}", hint=hint)
    for listing, owner in registry.current().listed:
        if owner is None:
            text = f"{listing.name} of {listing.distribution} {listing.version} belongs to no plugin in {PLUGINS}"
            yield Result(what="devices", level="broken", text=text, hint=f"reinstall {listing.distribution}")


def _stale() -> Iterator[Result]:
    """Entry points of an editable install are those of the day it was installed."""
    seen = set()
    for group in (PLUGINS, DEVICES):
        for entry in metadata.entry_points(group=group):
            distribution = entry.dist
            if distribution is None or distribution.name in seen:
                continue
            seen.add(distribution.name)
            root = _editable(distribution)
            if root is None:
                continue
            changed = _changed(root, distribution)
            if changed:
                yield Result(
                    what="entry points",
                    level="broken",
                    text=f"of {distribution.name} are not those in {root / 'pyproject.toml'}: {', '.join(changed)}",
                    hint=f"pip install -e {root}",
                )
            else:
                yield Result(what="entry points", level="ok", text=f"{distribution.name}, editable in {root}")


def _editable(distribution: metadata.Distribution) -> Path | None:
    """The source tree of an editable install."""
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        return None
    url = urlparse(str(origin.get("url", "")))
    if url.scheme != "file" or not origin.get("dir_info", {}).get("editable"):
        return None
    root = Path(unquote(url.path))
    return root if (root / "pyproject.toml").is_file() else None


def _changed(root: Path, distribution: metadata.Distribution) -> list[str]:
    """Entry points of our groups that are in one of pyproject.toml and metadata, or differ."""
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError) as error:
        return [f"it cannot be read ({error})"]
    written = project.get("entry-points", {})
    out = []
    for group in (PLUGINS, DEVICES):
        now: dict[str, Any] = dict(written.get(group, {}))
        then = {entry.name: entry.value for entry in distribution.entry_points if entry.group == group}
        out += [f"{group} {name}" for name in sorted(now.keys() | then.keys()) if now.get(name) != then.get(name)]
    return out


# --- surroundings ---------------------------------------------------------------------------------------------------


def _cache() -> Iterator[Result]:
    """Where compiled kernels are kept. Without a place every process compiles anew, which takes seconds."""
    what = "kernel cache"
    asked = os.environ.get("NUMBA_CACHE_DIR")
    places = [Path(asked)] if asked else [_beside_sources(), _user_cache()]
    for place in places:
        if _writable(place):
            yield Result(what=what, level="ok", text=str(place))
            return
    yield Result(
        what=what,
        level="warning",
        text=f"not writable: {', '.join(map(str, places))}; kernels are compiled in every process",
        hint="set NUMBA_CACHE_DIR to a folder that can be written",
    )


def _beside_sources() -> Path:
    """Where numba keeps its files if it may: beside the compiled sources, all installed in one place."""
    return Path(__file__).parent / "__pycache__"


def _user_cache() -> Path:
    """Where numba goes when the sources are read-only."""
    appdirs: Any = importlib.import_module("numba.misc.appdirs")
    return Path(str(appdirs.user_cache_dir("numba", appauthor=False)))


def _writable(folder: Path) -> bool:
    """Whether a file can be made in a folder, or in the nearest one above that is there."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _vendors() -> Iterator[Result]:
    """The packages that drive hardware, as the specs of loaded plugins name them."""
    from hal import registry

    names = {spec.vendor for plugin in registry.current().plugins for spec in plugin.specs if spec.vendor}
    found = [package for package in map(vendor.look, sorted(names)) if package.installed]
    placeholders = [package.name for package in found if not package.compiled]
    yield Result(
        what="vendor packages",
        level="warning" if placeholders else "ok",
        text=f"{', '.join(map(str, found)) or 'none'} (from files; nothing was imported)",
        hint=f"do not import {', '.join(placeholders)}: that may start an installer" if placeholders else "",
    )
