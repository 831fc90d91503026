"""Results as data: one row per check, the level that follows from them, and two reports compared."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, get_args

import attrs

from hal.errors import FormatError, Problem

Level = Literal["bronze", "silver", "gold"]
Reached = Literal["none", "bronze", "silver", "gold"]
Outcome = Literal["passed", "failed", "not-applicable", "expected-failure", "blocked"]

LEVELS: Final[tuple[Level, ...]] = get_args(Level)
"""From the first to the last; each includes those before it."""
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
GOOD: Final[frozenset[Outcome]] = frozenset({"passed", "not-applicable"})
"""The outcomes that count towards a level."""
FORMAT: Final = "neurohal-conformance-2"


@attrs.frozen(kw_only=True)
class Result:
    """What one check found.

    outcome: passed; failed; not-applicable (the device does not declare what the check needs, and properly refuses
    it, or offers nothing to judge); expected-failure; blocked (the device was busy). reason: why, for all but passed.
    binding: the level that needs it passed, "" where not-applicable will do. seconds: wall time. measured: numbers and
    words the check noted.
    """

    id: str
    level: Level
    outcome: Outcome
    reason: str = ""
    binding: Level | Literal[""] = ""
    seconds: float = 0.0
    measured: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def good(self) -> bool:
        """Whether it counts towards its level."""
        return self.outcome in GOOD

    def denies(self, level: Level) -> bool:
        """Whether a device with this result cannot have that level."""
        return self.outcome != "passed" if self.binding == level else self.level == level and not self.good


@attrs.frozen(kw_only=True)
class Report:
    """All results for one device.

    suite: how many checks the suite has per level; a level is reached only where all of them ran. about: versions,
    distribution and what else identifies the run. capabilities: the words the device declared.
    """

    device: str
    results: tuple[Result, ...]
    suite: Mapping[str, int]
    capabilities: tuple[str, ...] = ()
    about: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def level(self) -> Reached:
        """The highest level all of whose checks, and all of those below, ran and are good, the binding ones passed."""
        reached: Reached = "none"
        for level in LEVELS:
            there = [result for result in self.results if result.level == level]
            wanted = self.suite.get(level, 0)
            if not wanted or len(there) != wanted or any(result.denies(level) for result in self.results):
                return reached
            reached = level
        return reached

    @property
    def short_of_gold(self) -> tuple[Result, ...]:
        """What a device without any failure still lacks for gold."""
        return tuple(result for result in self.results if result.good and result.denies("gold"))

    @property
    def bad(self) -> tuple[Result, ...]:
        """Failed and blocked results: what makes a run red."""
        return tuple(result for result in self.results if result.outcome in ("failed", "blocked"))

    def counts(self) -> dict[str, int]:
        """How many results there are of each outcome."""
        found = Counter(result.outcome for result in self.results)
        return {outcome: found[outcome] for outcome in OUTCOMES}

    def __getitem__(self, id: str) -> Result:  # noqa: A002
        for result in self.results:
            if result.id == id:
                return result
        raise KeyError(f"no result of {id} in this report")

    def to_json(self) -> dict[str, Any]:
        """A JSON object, described by report.schema.json in this package; `from_json` is the inverse."""
        return {
            "format": FORMAT,
            "device": self.device,
            "level": self.level,
            "counts": self.counts(),
            "suite": dict(self.suite),
            "capabilities": list(self.capabilities),
            "about": dict(self.about),
            "results": [{**attrs.asdict(result), "measured": dict(result.measured)} for result in self.results],
        }

    @classmethod
    def from_json(cls, data: Any) -> Report:
        """The inverse of `to_json`. Raises FormatError with every problem."""
        problems = _problems(data)
        if not problems:
            report = cls(
                device=data["device"],
                results=tuple(Result(**row) for row in data["results"]),
                suite=data["suite"],
                capabilities=tuple(data["capabilities"]),
                about=data["about"],
            )
            follows = {"level": report.level, "counts": report.counts()}
            problems = [
                Problem("does not follow from the results", key, value=data[key], limit=value)
                for key, value in follows.items()
                if data[key] != value
            ]
            if not problems:
                return report
        raise FormatError("not a conformance report", problems=problems)

    def save(self, directory: str | Path) -> Path:
        """Write report.json, report.md and junit.xml into a directory, made if need be; gives the first's path."""
        from hal_conformance import pages

        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "report.json"
        path.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        (folder / "report.md").write_text(pages.markdown(self), encoding="utf-8")
        (folder / "junit.xml").write_text(pages.junit(self), encoding="utf-8")
        return path


def read_report(path: str | Path) -> Report:
    """Read a report.json, or the one in a directory. Raises FormatError."""
    file = Path(path)
    file = file / "report.json" if file.is_dir() else file
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"{file} is not a conformance report", problems=[Problem(str(error))]) from error
    return Report.from_json(data)


_KEYS: Final[Mapping[str, type]] = {
    "format": str,
    "device": str,
    "level": str,
    "counts": dict,
    "suite": dict,
    "capabilities": list,
    "about": dict,
    "results": list,
}


def _problems(data: Any) -> list[Problem]:
    if not isinstance(data, Mapping):
        return [Problem("not a JSON object", value=type(data).__name__)]
    found = [
        Problem("missing or of another type", key, limit=kind.__name__)
        for key, kind in _KEYS.items()
        if not isinstance(data.get(key), kind)
    ]
    if not found and data["format"] != FORMAT:
        found = [Problem("another format", "format", value=data["format"], limit=FORMAT)]
    return found or [problem for k, row in enumerate(data["results"]) for problem in _row_problems(k, row)]


def _row_problems(k: int, row: Any) -> list[Problem]:
    where = f"results[{k}]"
    names = [field.name for field in attrs.fields(Result)]
    if not isinstance(row, Mapping) or sorted(row) != sorted(names):
        return [Problem("does not have the fields of a result", where, value=row, limit=names)]
    found = []
    for key, words in (("level", LEVELS), ("outcome", OUTCOMES), ("binding", ("", *LEVELS))):
        if row[key] not in words:
            found.append(Problem("unknown word", f"{where}.{key}", value=row[key], limit=words))
    kinds: tuple[tuple[str, Any], ...] = (("id", str), ("reason", str), ("seconds", int | float), ("measured", Mapping))
    for key, kind in kinds:
        if not isinstance(row[key], kind):
            found.append(Problem("of another type", f"{where}.{key}", value=type(row[key]).__name__))
    return found


@attrs.frozen(kw_only=True)
class Comparison:
    """How a new report departs from an old one: ids by what became of them, and both levels."""

    worse: tuple[str, ...]
    better: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    old_level: Reached
    new_level: Reached

    @property
    def regressed(self) -> bool:
        """Whether something that was good is not any more, is no longer checked, or a level was lost."""
        order: Sequence[Reached] = ("none", *LEVELS)
        return bool(self.worse or self.removed) or order.index(self.new_level) < order.index(self.old_level)


def compare(old: Report, new: Report) -> Comparison:
    """What changed between two reports of one device, or of two. A check that came in with a failure is in `added`."""
    before, after = ({result.id: result for result in report.results} for report in (old, new))
    both = [name for name in before if name in after]
    return Comparison(
        worse=tuple(name for name in both if before[name].good and not after[name].good),
        better=tuple(name for name in both if after[name].good and not before[name].good),
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        old_level=old.level,
        new_level=new.level,
    )
