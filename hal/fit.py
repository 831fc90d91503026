"""Does it fit, and why not: resources, rows, findings, and the report that carries all of them."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from hal.errors import Problem


@attrs.frozen(kw_only=True)
class Resource:
    """Something a chip has a limited amount of.

    limit: one number per place (Speck's cores differ), or a single one that holds everywhere.
    when: "map" is known before running, "run" depends on activity and is checked against `rates_hz`.
    source: where the number was published, or "assumption: ..." where nobody has.
    """

    name: str
    unit: str
    scope: str
    limit: tuple[float, ...]
    when: Literal["map", "run"] = "map"
    source: str = ""


@attrs.frozen(kw_only=True)
class Observable:
    """What can be recorded, and what that costs.

    per: what is counted: neuron; node, where a node has it once; or spike, with one row for each of the node's spikes,
    in their order, and none in between. at_once: how many may be recorded at a time (None: all). scope: per chip or
    core. period_ns: sampling period, of which all others are multiples, 0 for a step of the clock; on continuous
    devices the shortest, in ns of the chip; None where there is no sampling over time (events, one row per spike, or
    the final state alone). excludes: observables that cannot be recorded at the same time. types: NIR types that have
    it, empty for all populations.
    """

    variable: str
    unit: str
    per: str = "neuron"
    at_once: int | None = None
    scope: str = "chip"
    period_ns: int | None = None
    excludes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class FitRow:
    """One resource at one place: how much is needed, how much there is.

    when: as of the resource; needed of a "run" row is what the rates given to `check` come to.
    """

    resource: str
    place: str
    node: str
    needed: float = attrs.field(converter=float)
    limit: float = attrs.field(converter=float)
    unit: str
    hint: str = ""
    when: Literal["map", "run"] = "map"

    @property
    def ok(self) -> bool:
        """Whether what is needed is there."""
        return self.needed <= self.limit


@attrs.frozen(kw_only=True)
class Finding:
    """One thing to say about one node.

    level: refused (does not run), changed (runs, but not as the model's semantics say), note.
    """

    level: Literal["refused", "changed", "note"]
    node: str
    field: str
    reason: str
    wanted: Any = None
    realised: Any = None
    hint: str = ""

    def __str__(self) -> str:
        """One line."""
        text = f"{self.node}.{self.field}: {self.reason}" if self.node else f"{self.field}: {self.reason}"
        if self.wanted is not None:
            text += f" (wanted {self.wanted}"
            text += f", realised {self.realised})" if self.realised is not None else ")"
        return f"{text}; {self.hint}" if self.hint else text


@attrs.frozen(kw_only=True)
class FitReport:
    """All reasons at once: every resource row, every finding."""

    device: str
    rows: tuple[FitRow, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def fits(self) -> bool:
        """True when no row is over its limit, at the given rates either, and nothing is refused."""
        return all(row.ok for row in self.rows) and not self.refused

    @property
    def maps(self) -> bool:
        """True when nothing stops the model from being mapped: a limit at run time does not."""
        return all(row.ok for row in self.rows if row.when == "map") and not self.refused

    @property
    def refused(self) -> tuple[Finding, ...]:
        """Findings that stop the model from running."""
        return tuple(finding for finding in self.findings if finding.level == "refused")

    @property
    def changed(self) -> tuple[Finding, ...]:
        """Findings that say where the chip departs from the model's semantics."""
        return tuple(finding for finding in self.findings if finding.level == "changed")

    def problems(self) -> list[Problem]:
        """Every reason for not fitting, as the lines of an error."""
        over = [
            Problem(
                f"needs {row.needed:g} {row.unit}"
                + ("" if row.unit == row.resource else f" of {row.resource}")
                + (" at the given rates" if row.when == "run" else ""),
                f"{row.node} on {row.place}" if row.place else row.node,
                limit=f"{row.limit:g}",
                hint=row.hint,
            )
            for row in self.rows
            if not row.ok
        ]
        return over + [
            Problem(
                f"{f.field}: {f.reason}" if f.field else f.reason, f.node, value=f.wanted, limit=f.realised, hint=f.hint
            )
            for f in self.refused
        ]

    def to_json(self) -> dict[str, Any]:
        """A JSON object: device, fits, rows, findings."""
        return {
            "device": self.device,
            "fits": self.fits,
            "rows": [attrs.asdict(row) | {"ok": row.ok} for row in self.rows],
            "findings": [
                {key: _plain(value) for key, value in attrs.asdict(finding).items()} for finding in self.findings
            ],
        }

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from hal.report import notebook

        return notebook.fit_report(self)

    def __str__(self) -> str:
        """A few lines of text; the command line prints tables instead."""
        verdict = "fits" if self.fits else "does not fit at the given rates" if self.maps else "does not fit"
        lines = [f"{self.device}: {verdict}"]
        lines += [f"  {problem}" for problem in self.problems()]
        lines += [f"  {finding.level}: {finding}" for finding in self.findings if finding.level != "refused"]
        return "\n".join(lines)


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)
