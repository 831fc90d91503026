"""What an allocation takes of the chip, and what it lacks, as data."""

from __future__ import annotations

import attrs


@attrs.frozen
class Usage:
    """resource: circuits, synapse_rows, drivers, fan_in (rows of a circuit), labels. where: which one of them.

    population: its name, where it is of one alone.
    """

    resource: str
    where: str
    needed: int
    available: int
    population: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is enough."""
        return self.needed <= self.available


@attrs.frozen
class Violation:
    """Something of which there is not enough (or, row_selects, that cannot be told apart; weight, that is too large).

    helps: what would.
    """

    resource: str
    where: str
    needed: int
    available: int
    helps: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.resource} ({self.where}): {self.needed} needed, {self.available} available"
        return f"{text}; what helps: {', '.join(self.helps)}" if self.helps else text

    @property
    def excess(self) -> float:
        """How far over, relative to what there is."""
        return (self.needed - self.available) / max(self.available, 1)
