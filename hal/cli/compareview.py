"""A comparison as tables that can be read at 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from hal.cli.show import Page, add, assemble, duration, number, quantity, seconds, styled, table

if TYPE_CHECKING:
    from hal.comparison import Comparison, DeviceResult, Divergence
    from hal.difference import MappingDifference, RecordingDifference

STYLES: Final = {"runs": "green", "does not fit": "bold red", "failed": "bold red"}
MAX_REASONS: Final = 6
"""Reasons and changes named of one device before the rest is only counted; --json has all."""
TROUBLE: Final = ("dropped", "late", "clipped_input", "saturated", "overflowed")
"""Counters of what was lost."""


def comparison(page: Page, found: Comparison) -> None:
    """Everything, from the verdicts to each device's reasons."""
    page.heading(assemble((found.model, "bold"), f" on {len(found.devices)} devices"))
    profile, dt = found.semantics.get("profile"), found.semantics.get("dt_ns")
    step = "no dt" if dt is None else f"dt {duration(int(dt))}"
    page.line(f"semantics {profile}, {step}; {number(found.nodes)} nodes, {number(found.neurons)} neurons", "dim")
    each = f"{number(found.samples)} {'sample' if found.samples == 1 else 'samples'} of {duration(found.duration_ns)}"
    classes = f", {found.classes} classes by {_read(found)}" if found.labels is not None else ""
    page.line(f"{each}, {number(found.events)} events in all{classes}", "dim")
    _verdicts(page, found)
    if any(result.layers for result in found.devices):
        _activity(page, found)
        _layers(page, found)
        _divergences(page, found)
    for result in (found.reference, *found.devices):
        _details(page, result)


def _read(found: Comparison) -> str:
    return "most spikes" if found.read == "count" else "the first spike"


def percent(value: float | None) -> str:
    """A share in per cent, or a dash."""
    return "-" if value is None else f"{100 * value:.1f} %"


def _verdicts(page: Page, found: Comparison) -> None:
    def build(level: int) -> Table:
        right = ("accuracy", "agrees", "weights", "cores")
        made = table("device", "verdict", "accuracy", "agrees", "weights", "cores", "fullest", right=right)
        for result in (found.reference, *found.devices):
            fullest = max(result.memory, key=lambda one: one.share, default=None)
            what = "" if fullest is None else f"{percent(fullest.share)} {fullest.resource}"
            add(
                made,
                result.device,
                styled(_word(result), STYLES[result.verdict]),
                percent(result.accuracy) if result.accuracy is not None else "",
                percent(result.agreement()) if result.agreement() is not None else "",
                percent(result.quantisation_error) if result.quantisation_error is not None else "",
                str(result.cores) if result.cores else "",
                what if level < 2 else "",
            )
        return made

    page.heading("Verdicts")
    page.fitting(build)
    page.line(
        "agrees: spikes of all layers that `ideal` gives too, in each device's window; weights: RMS error of the "
        "stored weights",
        "dim",
    )


def _word(result: DeviceResult) -> str:
    if result.verdict == "does not fit":
        return f"no: {len(result.reasons)} reason{'s' if len(result.reasons) != 1 else ''}"
    changed = 0 if result.report is None else len(result.report.changed)
    return f"runs, {changed} changed" if result.verdict == "runs" and changed else result.verdict


def _activity(page: Page, found: Comparison) -> None:
    """What each device did: synaptic operations, stalls, drops."""

    def build(level: int) -> Table:
        made = table(
            "device", "synops", "stalled", "lost", "pending", "untrusted", "took",
            right=("synops", "stalled", "lost", "pending", "untrusted", "took"),
        )  # fmt: skip
        for result in (found.reference, *found.devices):
            if result.verdict != "runs":
                continue
            stats = result.stats
            bad = sum(count for word, count in result.statuses.items() if word != "ok")
            add(
                made,
                result.device,
                quantity(stats.get("synops", 0), "") if "synops" in stats else "-",
                duration(stats.get("stalled_ns", 0)) if stats.get("stalled_ns") else "-",
                sum(stats.get(name, 0) for name in TROUBLE),
                stats.get("pending", 0),
                bad,
                seconds(result.wall_s),
            )
        return made

    page.heading("Activity, all samples")
    page.fitting(build)


def _layers(page: Page, found: Comparison) -> None:
    """A row per layer and device: spikes, and the share that agrees."""
    made = table(
        "layer", "device", "spikes", "agrees", "realised", "count error",
        right=("spikes", "agrees", "realised", "count error"),
    )  # fmt: skip
    order = list(dict.fromkeys(layer.node for r in (found.reference, *found.devices) for layer in r.layers))
    for node in order:
        first = True
        for result in (found.reference, *found.devices):
            for layer in result.layers:
                if layer.node == node:
                    error = "" if layer.given is None else number(layer.given.count_error)
                    shares = ["" if match is None else percent(match.share) for match in (layer.given, layer.realised)]
                    add(made, node if first else "", result.device, layer.spikes, *shares, error)
                    first = False
    page.heading("Layers")
    page.table(made)
    page.line("realised: against `ideal` with the numbers the chip computes with, not the model's", "dim")


def _divergences(page: Page, found: Comparison) -> None:
    page.heading("First event that only one of the two gives")
    for result in found.devices:
        if result.verdict == "runs":
            page.item(assemble((result.device, "bold"), f": {_where(result.first())}"))


def _where(first: Divergence | None) -> str:
    if first is None:
        return "none: every spike is that of `ideal`"
    return f"sample {first.sample}, {duration(max(first.t_ns, 0))}: neuron {first.index} of {first.node}"


def _details(page: Page, result: DeviceResult) -> None:
    """Reasons, changes, losses, and what the runs said."""
    lines: list[tuple[str, str]] = [(reason, "red") for reason in result.reasons]
    if result.report is not None and result.verdict != "does not fit":
        lines += [(f"changed: {finding}", "yellow") for finding in result.report.changed]
    for node, error in result.quantisation.items():
        if error:
            lines.append((f"{node}: weights off by {percent(error)} RMS", ""))
    lines += [(f"lost: {loss.count} of {loss.node}.{loss.parameter}: {loss.reason}", "") for loss in result.losses]
    for name, error in result.signals.items():
        lines.append((f"{name}: values off by {percent(error)} RMS", ""))
    if result.unrecorded:
        lines.append((f"only the outputs are recorded: {result.unrecorded}", ""))
    lines += [(f"in {count} samples: {text}", "") for text, count in result.diagnostics.items()]
    if not lines:
        return
    page.heading(assemble((result.device, "bold"), ": ", (result.verdict, STYLES[result.verdict])), "")
    for text, style in lines[:MAX_REASONS]:
        page.item(text, style)
    if len(lines) > MAX_REASONS:
        page.line(f"and {len(lines) - MAX_REASONS} more: --json has all", "dim", indent=3)


# --- two of a kind ----------------------------------------------------------------------------------------------------


def difference(page: Page, first: str, second: str, found: RecordingDifference | MappingDifference) -> None:
    """Two recordings or two mappings."""
    same: Text = styled("the same", "bold green") if found.same else styled("they differ", "bold yellow")
    page.heading(assemble((first, "bold"), " and ", (second, "bold"), ": ", same))
    for text in found.lines():
        page.item(text)
    counts: Any = getattr(found, "nodes", ())
    if not counts:
        return
    made = table(
        "node", "first", "second", "agree", "count error", "first difference",
        right=("first", "second", "agree", "count error"),
    )  # fmt: skip
    for row in counts:
        match = row.match
        if match is None:
            add(made, row.node, row.first if row.first is not None else "-", row.second if row.second is not None else "-", "", "", "")  # fmt: skip
            continue
        at = "" if match.first is None else f"{duration(max(match.first.t_ns, 0))}, neuron {match.first.index}"
        add(made, row.node, match.spikes, match.reference, percent(match.share), match.count_error, at)
    page.heading("Spikes")
    page.table(made)
