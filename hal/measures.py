"""What a comparison measures: errors of weights, use of resources, spikes and classes of a batch of runs."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from hal.agreement import agreement
from hal.comparison import Divergence, Fullest, Layer, Loss, Match, Read
from hal.events import I64, EventBatch, Records
from hal.fit import FitReport, FitRow

if TYPE_CHECKING:
    from hal.mapping import Mapping as ChipMapping
    from hal.model import Model
    from hal.recording import BatchRecording

WEIGHTS: Final = ("weight", "scale")
"""Parameters that are weights of a connection."""


# --- before a run -----------------------------------------------------------------------------------------------------


def quantisation(mapping: ChipMapping) -> tuple[dict[str, float], float | None]:
    """RMS of (realised - given) over RMS of given, per node with weights and of all weights together.

    Each node's weights are taken relative to its own RMS, so that a layer of small weights counts as much as another.
    None where the mapper tells no weights; a node whose weights are all 0 and stay so has an error of 0.
    """
    by_node: dict[str, float] = {}
    squares, count = 0.0, 0
    for (name, parameter), realised in mapping.realised.items():
        node = None if mapping.model is None else mapping.model.nodes.get(name)
        if node is None or parameter not in WEIGHTS or getattr(node, parameter, None) is None:
            continue
        given = np.asarray(getattr(node, parameter), np.float64).ravel()
        if not given.size:
            continue
        error = float(np.sqrt(np.mean((np.asarray(realised, np.float64).ravel() - given) ** 2)))
        size = float(np.sqrt(np.mean(given**2)))
        by_node[name] = error / size if size else (math.inf if error else 0.0)
        squares, count = squares + by_node[name] ** 2 * given.size, count + given.size
    return by_node, math.sqrt(squares / count) if count else None


def losses(mapping: ChipMapping) -> tuple[Loss, ...]:
    """A line for each node, parameter and reason."""
    return tuple(
        Loss(node=node, parameter=parameter, reason=reason, count=count)
        for node, parameter, reason, count in mapping.losses.summary()
    )


def cores(mapping: ChipMapping) -> int:
    """How many cores hold neurons."""
    rows = mapping.placement.rows
    return len(np.unique(rows[rows["core"] >= 0][["chip", "core"]]))


def memory(report: FitReport) -> tuple[Fullest, ...]:
    """Every resource at the place where most of it is used, in the order of the report."""
    fullest: dict[str, FitRow] = {}
    for row in report.rows:
        if row.when == "map" and (row.resource not in fullest or _share(row) > _share(fullest[row.resource])):
            fullest[row.resource] = row
    return tuple(
        Fullest(resource=r.resource, place=r.place, node=r.node, needed=r.needed, limit=r.limit, unit=r.unit)
        for r in fullest.values()
    )


def _share(row: FitRow) -> float:
    return row.needed / row.limit if row.limit else math.inf


# --- spikes -----------------------------------------------------------------------------------------------------------


def layers(mapping: ChipMapping, seen: BatchRecording) -> tuple[Layer, ...]:
    """Recorded layers in the model's order; Outputs only where no population was recorded."""
    outputs = {port.name for port in mapping.outputs}
    inner = [name for name in seen.spikes if name not in outputs]
    order = mapping.model.order() if mapping.model is not None else tuple(seen.spikes)
    return tuple(
        Layer(node=name, neurons=math.prod(seen.header.nodes[name]), spikes=len(seen.spikes[name].events))
        for name in order
        if name in (inner or seen.spikes)
    )


def match(
    mapping: ChipMapping, seen: BatchRecording, reference: BatchRecording, node: str, *, window_ns: int
) -> Match | None:
    """A layer against the reference, over all samples; None where the reference does not have it.

    What the reference gives in the last `latency_ns` of a sample, a device that is late by that has not shown yet: it
    is left out.
    """
    if node not in reference.spikes:
        return None
    late, duration = mapping.latency_ns.get(node, 0), seen.duration_ns
    size = math.prod(seen.header.nodes[node])
    # samples one after the other, further apart than any pair can be
    apart = duration + abs(late) + window_ns + 1
    wanted = reference.spikes[node]
    shown = wanted.events["t"] < duration - late
    mine = _in_line(seen.spikes[node], apart, None)
    found = agreement(mine, _in_line(wanted, apart, shown), size, window_ns=window_ns, latency_ns=late)
    first = None
    if found.first_difference is not None:
        t, index = found.first_difference
        sample = (t + abs(late)) // apart
        first = Divergence(sample=sample, t_ns=t - sample * apart, node=node, index=index)
    return Match(
        matched=found.matched,
        spikes=found.spikes,
        reference=found.reference,
        count_error=int(np.abs(found.count_error).max(initial=0)),
        first=first,
    )


def _in_line(batch: EventBatch, apart_ns: int, keep: NDArray[np.bool_] | None) -> Records:
    out = batch.events.copy()
    out["t"] += np.repeat(np.arange(len(batch), dtype=np.int64) * apart_ns, np.diff(batch.splits))
    return out if keep is None else out[keep]


def signal_errors(seen: BatchRecording, reference: BatchRecording) -> dict[str, float]:
    """RMS of the difference over RMS of the reference, of every Output that gives values."""
    out = {}
    for name, values in seen.signals.items():
        wanted = np.asarray(reference.signals[name], np.float64)
        rows = min(values.shape[1], wanted.shape[1])
        difference = np.asarray(values[:, :rows], np.float64) - wanted[:, :rows]
        size = math.sqrt(float(np.mean(wanted**2))) if wanted.size else 0.0
        error = math.sqrt(float(np.nanmean(difference**2))) if difference.size else 0.0
        out[name] = error / size if size else (math.inf if error else 0.0)
    return out


def diagnostics(seen: BatchRecording) -> dict[str, int]:
    """What runs had to say, and in how many samples."""
    return dict(Counter(text for one in seen.diagnostics for text in dict.fromkeys(map(str, one))))


# --- classes ----------------------------------------------------------------------------------------------------------


def predictions(model: Model, seen: BatchRecording, read: Read) -> I64 | None:
    """(B,) the class of each sample, -1 where there is none; None unless the model has one Output of several neurons.

    See `hal.compare` for how a class is read off.
    """
    if len(model.outputs) != 1 or model.nodes[model.outputs[0]].size < 2:
        return None
    (output,) = model.outputs
    if output in seen.signals:
        values = np.asarray(seen.signals[output], np.float64)
        score = np.nansum(values, axis=1) if read == "count" else np.nanmax(values, axis=1, initial=-np.inf)
        return _best(score)
    counts, first = tally(seen.spikes[output], model.nodes[output].size)
    silent = counts.sum(axis=1) == 0
    made = _best(counts, -first) if read == "count" else _best(-first, counts)
    return np.where(silent, -1, made)


def tally(batch: EventBatch, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(B, n) spikes of each neuron, and ns of its first one, infinite without any."""
    counts, first = np.zeros((len(batch), size)), np.full((len(batch), size), np.inf)
    at = np.repeat(np.arange(len(batch)), np.diff(batch.splits)), batch.events["index"]
    np.add.at(counts, at, 1.0)
    np.minimum.at(first, at, batch.events["t"].astype(np.float64))
    return counts, first


def _best(score: NDArray[np.float64], ties: NDArray[np.float64] | None = None) -> I64:
    """(B,) where the score is largest; of equal ones where `ties` is; -1 where that is equal, too."""
    best = score == score.max(axis=1, keepdims=True)
    if ties is not None:
        broken = np.where(best, ties, -np.inf)
        best &= broken == broken.max(axis=1, keepdims=True)
    return np.where(best.sum(axis=1) == 1, best.argmax(axis=1), -1).astype(np.int64)
