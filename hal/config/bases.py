"""What plugins subclass: options of a mapper, of an open device, and the profile of an individual."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from difflib import get_close_matches
from typing import Any, ClassVar

import attrs

from hal.config.fields import setting
from hal.errors import Problem


def words(given: Any) -> frozenset[str]:
    """A set of words; a single one may stand for itself. What is no collection is kept, to be refused."""
    if isinstance(given, str):
        return frozenset([given])
    return frozenset(given) if isinstance(given, Iterable) else given


@attrs.frozen(kw_only=True)
class MapOptions:
    """What the user asks of the mapper; plugins subclass it.

    `approximate` lists what the mapper may change about the model's semantics (words such as leak, reset, delays);
    nothing is approximated that is not listed here, and what is approximated is a finding.
    """

    approximations: ClassVar[tuple[str, ...]] = ()
    """The words this mapper understands."""

    approximate: Set[str] = setting(
        frozenset(), doc="what the mapper may change about the model's semantics", converter=words
    )

    def rules(self) -> Iterator[Problem]:
        """Only words that mean something."""
        for word in sorted(self.approximate - set(self.approximations)):
            near = get_close_matches(word, self.approximations, n=1)
            hint = f"did you mean {near[0]!r}?" if near else ""
            limit = f"one of {list(self.approximations)}" if self.approximations else "nothing"
            yield Problem("cannot be approximated here", "approximate", value=word, limit=limit, hint=hint)


@attrs.frozen(kw_only=True)
class OpenOptions:
    """How this device behaves while it is open; plugins subclass it."""


@attrs.frozen(kw_only=True)
class Profile:
    """One individual chip: what was calibrated or is known to be bad. Plugins subclass it where they have one."""

    id: str = setting(doc="name of the individual")
