"""What a mapper has to say about a model, collected: refusals, changes, notes."""

from __future__ import annotations

from typing import Any, Literal

from hal.fit import Finding


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
