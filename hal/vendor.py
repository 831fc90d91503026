"""Packages of chip vendors: looked for in metadata and files, never by importing.

What an index serves under a vendor's name may be a placeholder: a module in plain Python that starts an installer when
it is imported. The library proper has a compiled module. One name stands for distribution and package alike.
"""

from __future__ import annotations

import importlib.util
from importlib import machinery, metadata
from pathlib import Path

import attrs

from hal.errors import OptionalDependencyError


@attrs.frozen(kw_only=True)
class VendorPackage:
    """What was found of a package. version: empty when metadata has none; compiled: has a compiled module."""

    name: str
    installed: bool
    version: str = ""
    compiled: bool = False

    def __str__(self) -> str:
        said = f"{self.name} {self.version}".strip()
        if not self.installed:
            return f"{said} is not installed"
        return said if self.compiled else f"{said} is a placeholder without a compiled module"


def look(name: str) -> VendorPackage:
    """What there is of a package. Nothing of it is imported."""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        version = ""
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        # something in its place was put into sys.modules by hand
        found = None
    if found is None:
        return VendorPackage(name=name, installed=False, version=version)
    return VendorPackage(name=name, installed=True, version=version, compiled=_compiled(found))


def require(name: str, what: str, hint: str) -> None:
    """Raise OptionalDependencyError when the library is missing, or only its placeholder is there.

    what: needs it, such as "driving a board"; hint: how to get it.
    """
    found = look(name)
    if not (found.installed and found.compiled):
        raise OptionalDependencyError(
            f"{what} needs the vendor's package {name}: {found}",
            hint=hint,
            package=name,
            installed=found.installed,
            version=found.version,
        )


def _compiled(found: machinery.ModuleSpec) -> bool:
    """Whether the module, or a file in its folder, is an extension module of any Python."""
    suffixes = (".so", ".pyd", ".dylib", *machinery.EXTENSION_SUFFIXES)
    files = [found.origin or ""]
    for folder in found.submodule_search_locations or ():
        files += map(str, Path(folder).glob("*"))
    return any(file.endswith(suffixes) for file in files)
