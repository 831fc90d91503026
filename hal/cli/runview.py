"""The result of a run as tables and bars: what was fed, how active every layer was, what came out, at what speed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from hal.cli import fitview, loadview
from hal.cli.show import Page, add, assemble, duration, number, quantity, seconds, shape, spans, styled, table

if TYPE_CHECKING:
    from hal.mapping import Mapping
    from hal.recording import Recording

CLASSES_MAX: Final = 20
"""Outputs up to this many neurons are shown neuron by neuron."""
TOP: Final = 5
"""Neurons named of a larger output."""
BAR: Final = 24
BARS: Final = (24, 10, 0)
"""Columns of a bar in the full, the narrower and the narrowest version of a table."""
ORDINARY: Final = frozenset({"events_in", "events_out", "synops"})
"""Counters that are shown elsewhere, or expected not to be zero."""


@attrs.frozen(kw_only=True, eq=False)
class Took:
    """A run and what it took. events: fed in. wall_s: without compiling."""

    recording: Recording
    events: int
    wall_s: float
    compile_s: float
    kind: str


def show(page: Page, title: str, mapping: Mapping, took: Took) -> None:
    """Everything about a run, from where it went to where it lies."""
    recording = took.recording
    page.heading(assemble((title, "bold"), " on ", (mapping.device, "bold"), f" ({took.kind})"))
    if mapping.model is not None:
        page.line(fitview.about(mapping.model), "dim")
    if fitview.places(mapping):
        fitview.placement(page, mapping)
    fitview.findings(page, mapping.fit, levels=("changed",))
    notes = sum(finding.level == "note" for finding in mapping.fit.findings)
    if notes:
        page.line(f"{number(notes)} notes on the mapping: hal check lists them", "dim")
    activity(page, mapping, recording, took.events)
    loadview.show(page, mapping, recording)
    for result in results(mapping, recording):
        output(page, result)
    ending(page, took)


# --- activity -------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Layer:
    """How active one layer was."""

    node: str
    cores: tuple[int, ...]
    spikes: int
    per_neuron: float
    rate_hz: float


def activity(page: Page, mapping: Mapping, recording: Recording, events: int) -> None:
    """Spikes per layer."""
    rows = layers(mapping, recording)
    longest = max([row.spikes for row in rows] + [events, 1])

    def build(level: int) -> Table:
        rates = [] if level == 2 else ["per neuron", "rate"]
        made = table("layer", "core", "spikes", *rates, "", right=("spikes", "per neuron", "rate"))
        blank = [""] * len(rates)
        add(made, styled("stimulus", "dim"), "", events, *blank, page.bar(events / longest, BARS[level], "blue"))
        for row in rows:
            of = [number(row.per_neuron), quantity(row.rate_hz, "Hz")] if rates else []
            bar = page.bar(row.spikes / longest, BARS[level], "blue")
            add(made, row.node, spans(row.cores), row.spikes, *of, bar)
        return made

    page.heading(f"Activity in {duration(recording.duration_ns)}")
    page.fitting(build)
    for (node, variable), signal in recording.traces.items():
        page.line(f"{node}.{variable}: trace of {number(len(signal.t))} x {number(signal.values.shape[1])} values")


def layers(mapping: Mapping, recording: Recording) -> list[Layer]:
    """What was recorded, in the model's order; Outputs only where no layer was recorded by name."""
    cores = {place.node: place.cores for place in fitview.places(mapping)}
    outputs = {port.name for port in mapping.outputs}
    names = [node for node in recording.header.nodes if node not in outputs or not _probed(mapping)]
    out = []
    for node in _ordered(names, mapping):
        spikes = recording.event_count(node)
        per_neuron = spikes / (int(np.prod(recording.header.nodes[node], dtype=np.int64)) or 1)
        out.append(
            Layer(
                node=node,
                cores=cores.get(node, ()),
                spikes=spikes,
                per_neuron=per_neuron,
                rate_hz=per_neuron / (recording.duration_ns * 1e-9) if recording.duration_ns else 0.0,
            )
        )
    return out


def _probed(mapping: Mapping) -> bool:
    """Whether layers were recorded by name; their Outputs repeat them then."""
    return any(probe.variable == "spikes" for probe in mapping.record)


def _ordered(names: list[str], mapping: Mapping) -> list[str]:
    if mapping.model is None:
        return names
    order = mapping.model.order()
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def _by_core(per_core: NDArray[np.int64]) -> str:
    held = np.flatnonzero(per_core)
    total = number(int(per_core.sum()))
    if len(per_core) == 1 or not 0 < held.size <= TOP:
        return total
    return f"{total} ({', '.join(f'core {core}: {number(int(per_core[core]))}' for core in held)})"


# --- outputs --------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True, eq=False)
class Result:
    """What flowed into an Output. values: spike counts, or the values after the last step, (n,)."""

    name: str
    shape: tuple[int, ...]
    kind: str
    values: NDArray[Any]

    @property
    def best(self) -> list[int]:
        """Where the largest value is; several where they tie, none where nothing came out."""
        if not self.values.size or not self.values.any():
            return []
        return [int(i) for i in np.flatnonzero(self.values == self.values.max())]

    def to_json(self) -> dict[str, Any]:
        """Kind, shape, values and where they are largest."""
        key = "counts" if self.kind == "events" else "final"
        best = self.best[0] if len(self.best) == 1 else None
        return {"kind": self.kind, "shape": list(self.shape), key: self.values.tolist(), "argmax": best}


def results(mapping: Mapping, recording: Recording) -> list[Result]:
    """One for each Output."""
    out = []
    for port in mapping.outputs:
        if port.kind == "events":
            values: NDArray[Any] = recording.counts(port.name).ravel()
        else:
            signal = recording.signals[port.name]
            values = signal.values[-1] if len(signal.values) else np.zeros(port.size)
        out.append(Result(name=port.name, shape=port.shape, kind=port.kind, values=values))
    return out


def output(page: Page, result: Result) -> None:
    """A bar for each neuron of a small Output, the most active ones of a large one, and the largest of all."""
    what = "spikes" if result.kind == "events" else "values after the last step"
    total = f", {number(int(result.values.sum()))} in all" if result.kind == "events" else ""
    page.heading(assemble(("Output ", "bold"), (result.name, "bold"), (f"  {shape(result.shape)}", "dim")))
    if result.values.size <= CLASSES_MAX:
        _bars(page, result, range(result.values.size))
    else:
        page.line(f"{what}: {number(result.values.size)} neurons{total}; the largest are")
        _bars(page, result, np.argsort(-result.values, kind="stable")[:TOP])
    best = result.best
    word = "spike counts" if result.kind == "events" else "values after the last step"
    if not best:
        page.line(
            "no spikes: no prediction" if result.kind == "events" else "all values are 0: no prediction", "yellow"
        )
    elif len(best) > 1:
        page.line(f"tie between {', '.join(map(str, best))}: no prediction (largest {word} are equal)", "yellow")
    elif result.values.size > 1:
        page.line(assemble("predicted class: ", (str(best[0]), "bold green"), (f"  (argmax of {word})", "dim")))


def _bars(page: Page, result: Result, indices: Any) -> None:
    grid = table("", "", " ", right=("", " "))
    grid.show_header = False
    grid.columns[1].justify = "left"
    longest = float(np.abs(result.values).max()) if result.values.size else 0.0
    for index in indices:
        value = result.values[index].item()
        largest = index in result.best
        bar = page.bar(abs(value) / longest if longest else 0.0, BAR, "green" if largest else "blue")
        add(grid, styled(str(index), "bold" if largest else ""), bar, styled(number(value), "bold" if largest else ""))
    page.table(grid)


# --- the end --------------------------------------------------------------------------------------------------------


def ending(page: Page, took: Took) -> None:
    """Status, what went wrong on the chip, speed, and where the recording lies."""
    recording = took.recording
    style = {"ok": "bold green", "untrusted": "bold yellow"}.get(recording.status, "bold red")
    page.heading(assemble("status ", (recording.status, style)), "")
    for counter, per_core in recording.stats.items():
        if counter not in ORDINARY and per_core.any():
            page.line(f"{counter}: {_by_core(per_core)}", "yellow")
    if len(recording.intervals):
        page.line(f"{number(len(recording.intervals))} intervals of {', '.join(_kinds(recording))}", "yellow")
    for (node, variable), count in recording.disorder.items():
        page.line(f"{node}.{variable}: {number(count)} rows out of order in time", "yellow")
    for finding in recording.diagnostics:
        page.item(str(finding), "yellow" if finding.level != "note" else "")
    synops = int(recording.stats["synops"].sum()) if "synops" in recording.stats else 0
    speed = [quantity(took.events / took.wall_s, "events/s")] if took.events else []
    speed += [quantity(synops / took.wall_s, "synops/s")] if synops else []
    line = f"{duration(recording.duration_ns)} of model time in {seconds(took.wall_s)}"
    line += f": {', '.join(speed)}" if speed else ""
    page.line(line + (f"; compiling took {seconds(took.compile_s)} more" if took.compile_s else ""))
    if recording.path is not None:
        page.verbatim(f"recording in {recording.path}")
    else:
        page.line("recording not kept: --out DIR writes it", "dim")


def _kinds(recording: Recording) -> list[str]:
    return sorted({str(what) for what in recording.intervals["what"]})
