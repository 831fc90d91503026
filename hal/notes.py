"""What a mapper has to say about a model, collected: refusals, changes, notes; and the rules a chip keeps, as data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

import attrs

from hal.errors import ConfigError, Problem
from hal.fit import Finding
from hal.semantics import FIELDS, Rule

LEVELS: Final = ("refused", "changed", "note")


@attrs.frozen(kw_only=True)
class Only:
    """A chip keeps one field of `hal.semantics.Rule` for some values alone; see `Notes.only`.

    keeps: these values. reason: why no other. realised: what the chip does instead. otherwise: what every other value
    is. approximate: a word of `MapOptions.approximate` with which a refused value is changed instead.
    Raises ConfigError where there is no such field or level, or a word beside another level than "refused".
    """

    field: str
    keeps: tuple[Any, ...]
    reason: str
    realised: Any = None
    otherwise: Literal["refused", "changed", "note"] = "refused"
    approximate: str = ""

    def __attrs_post_init__(self) -> None:
        problems = []
        if self.field not in FIELDS:
            problems.append(Problem("no such field of a rule", "field", value=self.field, limit=f"one of {FIELDS}"))
        if self.otherwise not in LEVELS:
            problems.append(Problem("no such level", "otherwise", value=self.otherwise, limit=f"one of {LEVELS}"))
        elif self.approximate and self.otherwise != "refused":
            problems.append(Problem("only what is refused can be approximated", "approximate", self.approximate))
        if problems:
            raise ConfigError(f"this says nothing about a rule: {self.field}", problems=problems)


class Notes:
    """Findings in the order in which they were made; the same one twice counts once.

    Branches that share a node would say its faults once for each of them otherwise. `approximate` holds the words of
    `MapOptions.approximate`: what the user lets the mapper change.
    """

    def __init__(self, approximate: frozenset[str]) -> None:
        self.approximate = approximate
        self.findings: list[Finding] = []

    @property
    def refused(self) -> list[Finding]:
        """What does not run."""
        return [finding for finding in self.findings if finding.level == "refused"]

    def say(
        self,
        level: Literal["refused", "changed", "note"],
        node: str,
        field: str,
        reason: str,
        wanted: Any = None,
        realised: Any = None,
        hint: str = "",
    ) -> None:
        """Note anything."""
        finding = Finding(
            level=level, node=node, field=field, reason=reason, wanted=wanted, realised=realised, hint=hint
        )
        if finding not in self.findings:
            self.findings.append(finding)

    def refuse(self, node: str, field: str, reason: str, wanted: Any = None, limit: Any = None, hint: str = "") -> None:
        """Note a reason for not running. The limit stands where other findings have what is realised."""
        self.say("refused", node, field, reason, wanted, limit, hint)

    def approximated(self, word: str, node: str, field: str, reason: str, wanted: Any, realised: Any) -> None:
        """A change if the user lets the mapper make it, else a refusal."""
        if word in self.approximate:
            self.say("changed", node, field, reason, wanted, realised)
        else:
            hint = f"allow it with approximate={{'{word}'}}"
            self.refuse(node, field, reason, wanted=wanted, limit=realised, hint=hint)

    def only(self, node: str, rule: Rule, table: Iterable[Only]) -> None:
        """Hold the rule of a node against what the chip keeps: one finding for every value it does not."""
        for entry in table:
            wanted = getattr(rule, entry.field)
            if wanted in entry.keeps:
                continue
            if entry.approximate:
                self.approximated(entry.approximate, node, entry.field, entry.reason, wanted, entry.realised)
            else:
                self.say(entry.otherwise, node, entry.field, entry.reason, wanted, entry.realised)
