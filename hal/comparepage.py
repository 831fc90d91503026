"""A comparison as one HTML page that stands alone: no scripts, no network, names from files escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from hal.comparison import Comparison, DeviceResult

STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid #8884; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.runs { color: #1a7f37; } .no { color: #cf222e; font-weight: 600; }
.bar { background: #8883; width: 6rem; height: .7rem; display: inline-block; }
.bar i { background: #2f81f7; height: 100%; display: block; }
.dim { opacity: .65; }
"""


def page(found: Comparison) -> str:
    """The whole page."""
    every = (found.reference, *found.devices)
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(found.model)}</title>',
        f"<style>{STYLE}</style></head><body>",
        f"<h1>{escape(found.model)} on {len(found.devices)} devices</h1>",
        f'<p class="dim">{found.nodes} nodes, {found.neurons:,} neurons; {found.samples} samples of '
        f"{found.duration_ns * 1e-6:g} ms, {found.events:,} events; semantics "
        f"{escape(str(found.semantics.get('profile')))}; fingerprint {found.fingerprint[:12]}</p>",
        "<h2>Verdicts</h2>",
        _verdicts(every),
        "<h2>Layers</h2>",
        _layers(every),
        "<h2>Devices</h2>",
        *(_device(result) for result in every),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int) -> str:
    """Cells are HTML; from column `numbers` on they stand on the right."""

    def line(cells: Sequence[str], tag: str) -> str:
        made = (f"<{tag}{' class=n' if k >= numbers else ''}>{cell}</{tag}>" for k, cell in enumerate(cells))
        return f"<tr>{''.join(made)}</tr>"

    return "<table>\n" + line(head, "th") + "\n" + "\n".join(line(row, "td") for row in rows) + "\n</table>"


def _share(value: float | None) -> str:
    """Per cent with a bar."""
    if value is None:
        return ""
    return f'{100 * value:.1f} % <span class="bar"><i style="width:{100 * min(value, 1):.0f}%"></i></span>'


def _verdicts(every: Sequence[DeviceResult]) -> str:
    rows = []
    for result in every:
        runs = result.verdict == "runs"
        weights = "" if result.quantisation_error is None else f"{100 * result.quantisation_error:.2f} %"
        rows.append(
            [
                escape(result.device),
                f'<span class="{"runs" if runs else "no"}">{result.verdict}</span>',
                _share(result.accuracy),
                _share(result.agreement("given")),
                _share(result.agreement("realised")),
                weights,
                str(result.cores) if runs else "",
                f"{result.stats['synops']:,}" if "synops" in result.stats else "",
                f"{result.stats.get('stalled_ns', 0) * 1e-6:g} ms" if runs else "",
                f"{result.stats.get('dropped', 0):,}" if runs else "",
            ]
        )
    head = ("device", "verdict", "accuracy", "agrees", "realised", "weights", "cores", "synops", "stalled", "dropped")
    return _table(head, rows, 2)


def _layers(every: Sequence[DeviceResult]) -> str:
    rows = [
        [
            escape(layer.node),
            escape(result.device),
            f"{layer.spikes:,}",
            _share(None if layer.given is None else layer.given.share),
            _share(None if layer.realised is None else layer.realised.share),
        ]
        for node in dict.fromkeys(layer.node for result in every for layer in result.layers)
        for result in every
        for layer in result.layers
        if layer.node == node
    ]
    return _table(("layer", "device", "spikes", "agrees", "realised"), rows, 2)


def _device(result: DeviceResult) -> str:
    """Reasons, the first divergence, resources, changes, losses."""
    lines = list(result.reasons)
    if (first := result.first()) is not None:
        where = f"neuron {first.index} of {first.node}"
        lines.append(f"first difference: sample {first.sample}, {first.t_ns * 1e-6:g} ms, {where}")
    if result.verdict == "runs" and result.report is not None:
        lines += [f"changed: {finding}" for finding in result.report.changed]
    lines += [f"weights of {node}: {100 * error:.2f} % RMS" for node, error in result.quantisation.items() if error]
    lines += [f"lost: {loss.count} of {loss.node}.{loss.parameter}: {loss.reason}" for loss in result.losses]
    lines += [
        f"{one.resource}: {one.needed:g} of {one.limit:g} {one.unit} ({one.place or one.node})"
        for one in result.memory
        if one.needed
    ]
    lines += [f"{counter}: {count:,}" for counter, count in result.stats.items() if count]
    lines += [f"in {count} samples: {text}" for text, count in result.diagnostics.items()]
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h3>{escape(result.device)}: {result.verdict}</h3>\n<ul>{items}</ul>"
