"""Paths as users give them."""

from __future__ import annotations

import os
from pathlib import Path

from hal.errors import ConfigError


def as_path(given: object, what: str) -> Path:
    """A path from a text or a path object; ConfigError for anything else."""
    if not isinstance(given, str | os.PathLike) or not os.fspath(given) or "\0" in str(given):
        raise ConfigError(f"{what} takes the path of a file or directory", value=repr(given))
    return Path(given)
