"""The checks there are: registered by a decorator, with a permanent id, a level and what they need."""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

import attrs

from hal.capabilities import VOCABULARY
from hal.errors import ConfigError, Problem
from hal_conformance.report import LEVELS, Level

if TYPE_CHECKING:
    from hal_conformance.context import Context

Body = Callable[["Context"], None]

GROUPS: Final = (
    *("LOAD", "SPEC", "CONF", "MAP", "NEUR", "ROUT", "DLY", "SIG", "RUN", "REC", "RST", "NOIS", "PROF", "LRN"),
    *("ERR", "STIM", "LIM", "OVR", "AGR", "VEC"),
)
"""What the letters of an id may be, in the order in which checks run."""
LIMIT_S: Final = 120.0
"""Wall seconds a check may take; emulators that compile on first use need some of it."""

_ID: Final = re.compile(r"([A-Z]+)-([0-9]{3})")
_RULE: Final = re.compile(r"Given [^\n]+, when [^\n]+, then [^\n]+\.")


@attrs.frozen(kw_only=True)
class Check:
    """One rule.

    id: permanent. level: the first level that needs it. requires: capability words without which `twin` runs instead
    of `body`: it uses the feature all the same and fails unless that is refused. binding: the level that needs the
    check passed: that the feature is refused, or that there is nothing to judge, is not enough. rule: given, when,
    then.
    """

    id: str
    level: Level
    rule: str
    body: Body
    requires: frozenset[str] = frozenset()
    twin: Body | None = None
    binding: Level | None = None
    limit_s: float = LIMIT_S

    def __str__(self) -> str:
        return self.id


_found: dict[str, Check] = {}


def check(
    id: str,  # noqa: A002
    *,
    level: Level,
    requires: Iterable[str] = (),
    twin: Body | None = None,
    binding: Level | None = None,
    limit_s: float = LIMIT_S,
) -> Callable[[Body], Body]:
    """Enter a function into the catalogue; its docstring's first line is the rule. The function itself is unchanged.

    Raises ConfigError for an id, level, word or docstring that is not in order, and for needs without a twin.
    """

    def enter(body: Body) -> Body:
        made = Check(
            id=id,
            level=level,
            rule=(inspect.getdoc(body) or "").partition("\n")[0],
            body=body,
            requires=frozenset(requires),
            twin=twin,
            binding=binding,
            limit_s=limit_s,
        )
        if problems := _problems(made):
            raise ConfigError(f"{body.__qualname__} cannot be a check", problems=problems)
        _found[id] = made
        return body

    return enter


def _problems(made: Check) -> list[Problem]:
    found = []
    match = _ID.fullmatch(made.id)
    if match is None or match[1] not in GROUPS:
        found.append(Problem("an id is GROUP-nnn", "id", value=made.id, limit=GROUPS))
    if made.id in _found:
        found.append(Problem("the id is taken", "id", value=made.id, limit=_found[made.id].body.__qualname__))
    if made.level not in LEVELS:
        found.append(Problem("unknown level", "level", value=made.level, limit=LEVELS))
    if made.binding is not None and made.binding not in LEVELS:
        found.append(Problem("unknown level", "binding", value=made.binding, limit=LEVELS))
    for word in sorted(made.requires - VOCABULARY.keys()):
        found.append(Problem("unknown capability", "requires", value=word, limit="hal.capabilities.VOCABULARY"))
    if bool(made.requires) != (made.twin is not None):
        found.append(Problem("a check that requires something has a twin for devices without it", "twin"))
    if not _RULE.fullmatch(made.rule):
        found.append(Problem("the docstring's first line says 'Given ..., when ..., then ...'", "rule", made.rule))
    return found


def catalogue() -> tuple[Check, ...]:
    """Every check, by level, then group, then number."""
    _load()
    order = [(LEVELS.index(c.level), GROUPS.index(c.id.partition("-")[0]), c.id) for c in _found.values()]
    return tuple(_found[name] for _, _, name in sorted(order))


@cache
def _load() -> None:
    package = import_module("hal_conformance.checks")
    for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
        import_module(f"{package.__name__}.{module}")


def chosen(level: str | None = None, only: Iterable[str] = ()) -> tuple[Check, ...]:
    """The checks of a level and those below it, or of all; and of these, only those with the given ids.

    Raises ConfigError for an unknown level, unknown ids, and ids above the level.
    """
    if level is not None and level not in LEVELS:
        raise ConfigError(f"there is no level {level!r}", hint=f"levels: {', '.join(LEVELS)}", value=level)
    only = (only,) if isinstance(only, str) else tuple(only)
    known_ids(only, "only")
    within = LEVELS if level is None else LEVELS[: LEVELS.index(level) + 1]
    out = tuple(c for c in catalogue() if c.level in within and (not only or c.id in only))
    above = sorted(set(only) - {c.id for c in out})
    if above:
        raise ConfigError(f"checks above level {level}: {', '.join(above)}", hint="raise the level, or leave it out")
    return out


def known_ids(ids: Iterable[str], what: str) -> None:
    """Raise ConfigError naming every id that is no check's."""
    known = [c.id for c in catalogue()]
    problems = []
    for name in ids:
        if name not in known:
            near = get_close_matches(str(name), known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "hal_conformance.catalogue() lists them"
            problems.append(Problem("no such check", f"{what} {name!r}", hint=hint))
    if problems:
        raise ConfigError("the checks asked for do not exist", problems=problems)
