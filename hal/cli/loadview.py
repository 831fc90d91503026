"""How busy every core was in a run: synaptic operations and events per second of model time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from rich.table import Table

from hal.cli.show import Page, add, duration, number, quantity, styled, table

if TYPE_CHECKING:
    from hal.mapping import Mapping
    from hal.recording import Recording

BARS = (16, 8, 0)
"""Columns of a bar in the full, the narrower and the narrowest version of the table."""


@attrs.frozen(kw_only=True)
class Load:
    """What one core did. nodes: the populations on it; synops: how many; the others: per second of model time."""

    core: int
    nodes: tuple[str, ...]
    synops: int
    synops_per_s: float
    events_in_hz: float
    events_out_hz: float

    def to_json(self) -> dict[str, Any]:
        """All of it; node is the population's name where the core holds one alone, else null."""
        node = self.nodes[0] if len(self.nodes) == 1 else None
        return {"core": self.core, "node": node, **attrs.asdict(self), "nodes": list(self.nodes)}


def loads(mapping: Mapping, recording: Recording) -> list[Load]:
    """One for each core that holds neurons, by number. Nothing where nobody counts synops, or the run had 0 ns."""
    stats, seconds = recording.stats, recording.duration_ns * 1e-9
    if "synops" not in stats or not seconds:
        return []
    rows = mapping.placement.rows
    held: dict[int, list[str]] = {}
    for code, core in np.unique(rows[["node", "core"]]).tolist():
        if 0 <= core < recording.cores:
            held.setdefault(core, []).append(mapping.placement.nodes[code])

    def of(counter: str, core: int) -> int:
        return int(stats[counter][core]) if counter in stats else 0

    return [
        Load(
            core=core,
            nodes=tuple(held[core]),
            synops=of("synops", core),
            synops_per_s=of("synops", core) / seconds,
            events_in_hz=of("events_in", core) / seconds,
            events_out_hz=of("events_out", core) / seconds,
        )
        for core in sorted(held)
    ]


def show(page: Page, mapping: Mapping, recording: Recording) -> None:
    """One line per core; nothing where no synaptic operation was counted."""
    rows = loads(mapping, recording)
    most = max((row.synops for row in rows), default=0)
    if not most:
        return

    def build(level: int) -> Table:
        events = [] if level == 2 else ["events in", "events out"]
        made = table("core", "layer", *events, "synops", "per second", "", right=(*events, "synops", "per second"))
        for row in rows:
            several = len(row.nodes) > 1
            layer = styled(f"{number(len(row.nodes))} populations", "dim") if several else styled(row.nodes[0])
            rates = [quantity(hz, "Hz") for hz in (row.events_in_hz, row.events_out_hz)] if events else []
            bar = page.bar(row.synops / most, BARS[level], "blue")
            add(made, str(row.core), layer, *rates, row.synops, quantity(row.synops_per_s, "synops/s"), bar)
        return made

    page.heading(f"Load of the cores in {duration(recording.duration_ns)}")
    page.fitting(build)
