"""Expected failures in a file: TOML, one line or table per check id, always with a reason."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hal.errors import ConfigError, FormatError, Problem
from hal_conformance.runner import check_expected


def read_expected(path: str | Path) -> dict[str, str]:
    """Id -> reason, from lines `MAP-003 = "reason"` or tables `[MAP-003]` with `reason` and, if any, `issue`, `until`.

    Raises FormatError where it cannot be read, ConfigError naming the file for unknown ids and missing reasons.
    """
    file = Path(path)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"{file} holds no expected failures", problems=[Problem(str(error))]) from error
    expected = {name: _reason(entry) for name, entry in data.items()}
    try:
        check_expected(expected)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error.message}", problems=error.problems, hint=error.hint) from error
    return expected


def _reason(entry: Any) -> str:
    """One text; empty where nothing of the kind is there, which is then refused by name."""
    if isinstance(entry, str):
        return entry
    if not isinstance(entry, dict) or not isinstance(entry.get("reason"), str) or not entry["reason"].strip():
        return ""
    more = [f"{key} {entry[key]}" for key in ("issue", "until") if key in entry]
    return ", ".join([entry["reason"], *more])
