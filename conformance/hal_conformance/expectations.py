"""Expected failures in a file: TOML, a table per check id, with a reason and the day until which it stands."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

from hal.errors import ConfigError, FormatError, Problem
from hal_conformance.runner import check_expected

FIELDS = ("reason", "until", "issue")


def read_expected(path: str | Path) -> dict[str, str]:
    """Id -> reason, from tables `[MAP-003]` with `reason`, `until` (a date, 2027-03-01) and, if there is one, `issue`.

    Raises FormatError where it cannot be read; ConfigError naming the file, with every problem, for unknown ids and
    fields, reasons and dates that are missing, and dates that have passed: a failure is expected for a while.
    """
    file = Path(path)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"{file} holds no expected failures", problems=[Problem(str(error))]) from error
    problems = [problem for name, entry in data.items() for problem in _problems(name, entry)]
    try:
        check_expected(dict.fromkeys(data, "known"))
    except ConfigError as error:
        problems += error.problems
    if problems:
        hint = '[MAP-003] with reason = "why", until = 2027-03-01'
        raise ConfigError(f"{file}: the expected failures are not in order", problems=problems, hint=hint)
    return {name: _told(entry) for name, entry in data.items()}


def _problems(name: str, entry: Any) -> list[Problem]:
    where = f"[{name}]"
    if not isinstance(entry, dict):
        return [Problem("an expected failure has a reason and a date", where, value=entry, limit="a table")]
    found = [Problem("no such field", f"{where} {key}", limit=FIELDS) for key in entry if key not in FIELDS]
    reason, until = entry.get("reason"), entry.get("until")
    if not isinstance(reason, str) or not reason.strip():
        found.append(Problem("an expected failure has a reason", f"{where} reason", value=reason, limit="a text"))
    if type(until) is not date:
        found.append(Problem("until when is it expected?", f"{where} until", value=until, limit="a date, 2027-03-01"))
    elif until < date.today():
        hint = "mend it, or say why it may go on"
        found.append(Problem("has passed", f"{where} until", value=until.isoformat(), hint=hint))
    return found


def _told(entry: dict[str, Any]) -> str:
    """One line."""
    issue = [f"issue {entry['issue']}"] if "issue" in entry else []
    return ", ".join([entry["reason"], *issue, f"until {entry['until'].isoformat()}"])
