"""A comparison as tables that can be read at 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from hal.cli.show import Page, add, assemble, duration, number, quantity, seconds, styled, table

if TYPE_CHECKING:
    from hal.comparison import Comparison, DeviceResult, Divergence
    from hal.differing import MappingDifference, RecordingDifference

STYLES: Final = {"runs": "green", "does not fit": "bold red", "failed": "bold red"}
SHORT: Final = {"does not fit": "no fit"}
"""So that the table keeps to 80 columns."""
MAX_LINES: Final = 12
"""Reasons and changes named of one device before the rest is only counted; --json has all."""
MAX_RESOURCES: Final = 3
"""Resources named of one device, the fullest ones."""
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
        _memory(page, found)
        _activity(page, found)
        _layers(page, found)
        _divergences(page, found)
    for names, result in _alike(found):
        _details(page, names, result)


def _read(found: Comparison) -> str:
    return "most spikes" if found.read == "count" else "the first spike"


def percent(value: float | None) -> str:
    """A share in per cent, or a dash."""
    return "-" if value is None else f"{100 * value:.1f} %"


def _verdicts(page: Page, found: Comparison) -> None:
    right = ("changes", "accuracy", "agrees", "realised", "weights")
    made = table("device", "verdict", *right, right=right, keep=("device", "verdict"))
    for result in (found.reference, *found.devices):
        runs = result.verdict == "runs"
        shares = (
            result.accuracy, result.agreement("given"), result.agreement("realised"), result.quantisation_error
        )  # fmt: skip
        changes = str(len(result.report.changed)) if runs and result.report is not None else ""
        word = styled(SHORT.get(result.verdict, result.verdict), STYLES[result.verdict])
        add(made, result.device, word, changes, *(percent(share) if share is not None else "" for share in shares))
    page.heading("Verdicts")
    page.table(made)
    page.line(
        "agrees: spikes of all layers that `ideal` gives too, within each device's window; realised: the same, where "
        "`ideal` has the numbers the chip computes with; weights: RMS error of the stored ones",
        "dim",
    )


def _memory(page: Page, found: Comparison) -> None:
    """What is used most on each device that runs the model."""
    page.heading("Cores, and the fullest memories")
    for result in found.devices:
        if result.verdict == "runs":
            most = sorted(result.memory, key=lambda one: -one.share)[:MAX_RESOURCES]
            shown = ", ".join(f"{one.resource} {percent(one.share)}" for one in most if one.needed)
            cores = f"{number(result.cores)} {'core' if result.cores == 1 else 'cores'}"
            page.item(assemble((result.device, "bold"), f": {', '.join(filter(None, (cores, shown)))}"))


def _activity(page: Page, found: Comparison) -> None:
    """What each device did: synaptic operations, stalls, drops."""
    right = ("synops", "stalled", "lost", "pending", "untrusted", "took")
    made = table("device", *right, right=right, keep=("device",))
    for result in (found.reference, *found.devices):
        if result.verdict != "runs":
            continue
        stats = result.stats
        bad = sum(count for word, count in result.statuses.items() if word != "ok")
        stalled = stats.get("stalled_ns", 0)
        add(
            made,
            result.device,
            quantity(stats["synops"], "") if "synops" in stats else "",
            seconds(stalled * 1e-9) if stalled else "0",
            sum(stats.get(name, 0) for name in TROUBLE),
            stats.get("pending", 0),
            bad,
            seconds(result.wall_s),
        )
    page.heading("Activity, all samples")
    page.table(made)
    page.line(f"lost: {', '.join(TROUBLE)}; untrusted: samples; took: wall time with compiling", "dim")


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


def _divergences(page: Page, found: Comparison) -> None:
    page.heading("First event that only one of the two gives")
    for result in found.devices:
        if result.verdict == "runs":
            page.item(assemble((result.device, "bold"), f": {_where(result.first())}"))


def _where(first: Divergence | None) -> str:
    if first is None:
        return "none: every spike is that of `ideal`"
    return f"sample {first.sample}, {duration(max(first.t_ns, 0))}: neuron {first.index} of {first.node}"


def _alike(found: Comparison) -> list[tuple[str, DeviceResult]]:
    """Devices of which the same is to be said, as one."""
    groups: dict[tuple[str, ...], list[DeviceResult]] = {}
    for result in (found.reference, *found.devices):
        said = tuple(text.replace(result.device, "the chip") for text, _ in _lines(result))
        groups.setdefault((result.verdict, *said), []).append(result)
    return [(", ".join(result.device for result in group), group[0]) for group in groups.values()]


def _lines(result: DeviceResult) -> list[tuple[str, str]]:
    """Reasons, changes, losses, and what the runs said, with their style."""
    lines: list[tuple[str, str]] = [(reason, "red") for reason in result.reasons]
    if result.verdict == "does not fit":
        return lines
    changed = () if result.report is None else result.report.changed
    lines += [(f"changed: {finding}", "yellow") for finding in changed]
    lines += [
        (f"{node}: weights off by {percent(error)} RMS", "") for node, error in result.quantisation.items() if error
    ]
    lines += [(f"lost: {loss.count} of {loss.node}.{loss.parameter}: {loss.reason}", "") for loss in result.losses]
    lines += [(f"{name}: values off by {percent(error)} RMS", "") for name, error in result.signals.items() if error]
    lines += [(f"{name}: {number(result.stats[name])}", "yellow") for name in TROUBLE if result.stats.get(name)]
    if result.unrecorded:
        lines.append((f"only the outputs are recorded: {result.unrecorded}", ""))
    return lines + [(f"in {count} samples: {text}", "") for text, count in result.diagnostics.items()]


def _details(page: Page, names: str, result: DeviceResult) -> None:
    lines = _lines(result)
    if not lines:
        return
    page.heading(assemble((names, "bold"), ": ", (result.verdict, STYLES[result.verdict])), "")
    for text, style in lines[:MAX_LINES]:
        page.item(text, style)
    if len(lines) > MAX_LINES:
        page.line(f"and {len(lines) - MAX_LINES} more: --json has all", "dim", indent=3)


# --- two of a kind ----------------------------------------------------------------------------------------------------


def difference(page: Page, first: str, second: str, found: RecordingDifference | MappingDifference) -> None:
    """Two recordings or two mappings."""
    same: Text = styled("the same", "bold green") if found.same else styled("they differ", "bold yellow")
    page.heading(assemble((first, "bold"), " and ", (second, "bold"), ": ", same))
    for text in found.lines():
        page.item(text)
    rows: Any = getattr(found, "nodes", ())
    if not rows:
        return
    right = ("first", "second", "agree", "count error")
    made = table("node", *right, "first difference", right=right)
    for row in rows:
        counts = ["-" if count is None else number(count) for count in (row.first, row.second)]
        match = row.match
        at = None if match is None else match.first
        where = "" if at is None else f"{duration(max(at.t_ns, 0))}, neuron {at.index}"
        judged = ["", ""] if match is None else [percent(match.share), number(match.count_error)]
        add(made, row.node, *counts, *judged, where)
    page.heading("Spikes")
    page.table(made)
