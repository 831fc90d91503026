"""How busy cores were: totals from the counters, their course over time from the events that went in, and intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.events import Records, Signal
from hal.report.gather import bin_width, course, grid_ns

if TYPE_CHECKING:
    from hal.mapping import Mapping
    from hal.projection import Projection
    from hal.recording import Recording

BINS: Final = 500
"""Parts of the run, at most, in which synaptic operations are shown."""
LANES: Final = 32
"""Cores that are drawn, the busiest ones."""
MOST_INTERVALS: Final = 2000
"""Intervals kept one by one; of more, those of a core that begin within about as many parts of the run are one."""
MOST_NEURONS: Final = 100_000
"""Of a source or target, up to which its connections are counted; beyond, every source neuron counts alike."""


@attrs.frozen(kw_only=True, eq=False)
class Lane:
    """One core. synops: as counted. course: (bins,) how they are spread over the run, None where nobody knows."""

    core: int
    nodes: tuple[str, ...]
    synops: int
    course: NDArray[np.float64] | None


def lanes(recording: Recording, mapping: Mapping | None) -> list[Lane]:
    """The busiest cores, by number; none where nobody counts synaptic operations."""
    totals = recording.stats.get("synops")
    if totals is None or not totals.any() or not recording.duration_ns:
        return []
    held = _held(mapping)
    bins = -(-recording.duration_ns // bin_ns(recording))
    spread = {} if mapping is None else _spread(recording, mapping, bins)
    # a device that counts for the whole chip does so on core 0
    whole = totals[1:].sum() == 0 and len(totals) > 1
    busiest = sorted(np.argsort(-totals, kind="stable")[:LANES].tolist())
    out = []
    for core in [core for core in busiest if totals[core]]:
        shape = sum(spread.values(), np.zeros(bins)) if whole else spread.get(core, np.zeros(bins))
        known = bool(shape.sum() > 0)
        nodes = tuple(dict.fromkeys(name for names in held.values() for name in names)) if whole else held.get(core, ())
        scaled = shape * (float(totals[core]) / shape.sum()) if known else None
        out.append(Lane(core=core, nodes=nodes, synops=int(totals[core]), course=scaled))
    return out


def bin_ns(recording: Recording) -> int:
    """Length of one part of a course."""
    return bin_width(recording.duration_ns, BINS, grid_ns(recording))


def _held(mapping: Mapping | None) -> dict[int, tuple[str, ...]]:
    """Core -> the populations on it."""
    if mapping is None:
        return {}
    out: dict[int, tuple[str, ...]] = {}
    for node, core in np.unique(mapping.placement.rows[["node", "core"]]).tolist():
        if core >= 0:
            out[core] = (*out.get(core, ()), mapping.placement.nodes[node])
    return out


def _spread(recording: Recording, mapping: Mapping, bins: int) -> dict[int, NDArray[np.float64]]:
    """Core -> (bins,) connections that events met there, by the time of the events; recorded sources alone."""
    out: dict[int, NDArray[np.float64]] = {}
    if mapping.on_chip is None:
        return out
    for projection in mapping.on_chip.projections():
        events = _events(recording, projection.source)
        if events is None or not len(events) or projection.target not in mapping.placement.nodes:
            continue
        for core, fan_out in _fan_out(mapping, projection).items():
            met = course(events, bin_ns(recording), bins, fan_out)
            out[core] = out[core] + met if core in out else met
    return out


def _events(recording: Recording, node: str) -> Records | None:
    if node in recording.shapes:
        return recording.spikes[node]
    fed = recording.stimulus.get(node)
    return None if fed is None or isinstance(fed, Signal) else fed


def _fan_out(mapping: Mapping, projection: Projection) -> dict[int, NDArray[np.float64]]:
    """Core -> (source neurons,) connections to neurons on that core."""
    assert mapping.on_chip is not None
    place = mapping.placement.where(projection.target)
    place = place[place["core"] >= 0]
    nodes = mapping.on_chip.nodes
    sources, targets = nodes[projection.source].size, nodes[projection.target].size
    cores = np.unique(place["core"]).tolist()
    if max(sources, targets) > MOST_NEURONS:
        return {core: np.ones(sources) for core in cores}
    matrix: Any = projection.matrix()
    pattern = matrix.copy()
    pattern.data = (pattern.data != 0).astype(np.float64)
    out = {}
    for core in cores:
        there = np.bincount(place["index"][place["core"] == core], minlength=targets)[:targets]
        out[core] = np.asarray(pattern.T @ there.astype(np.float64)).ravel()
    return out


@attrs.frozen(kw_only=True)
class Stretch:
    """A part of the run in which something held on a core (-1: the chip), for a share of the time from t0 to t1, ns."""

    what: str
    core: int
    t0: int
    t1: int
    share: float = 1.0


def stretches(recording: Recording) -> list[Stretch]:
    """The intervals, at most a few thousand: of more, close ones of a core are put together."""
    rows = recording.intervals
    if len(rows) <= MOST_INTERVALS:
        return [Stretch(what=what, core=core, t0=t0, t1=t1) for what, core, t0, t1 in rows.tolist()]
    groups = np.unique(rows[["what", "core"]])
    gap = recording.duration_ns * len(groups) // MOST_INTERVALS
    out = []
    for what, core in groups.tolist():
        own = np.sort(rows[(rows["what"] == what) & (rows["core"] == core)], order="t0")
        ends = np.maximum.accumulate(own["t1"])
        # what none before it has covered
        held = ends - np.maximum(own["t0"], np.concatenate([[0], ends[:-1]]))
        cuts = np.flatnonzero((own["t0"][1:] - ends[:-1] > gap) | (np.diff(own["t0"] // max(gap, 1)) > 0)) + 1
        firsts, lasts = np.concatenate([[0], cuts]), np.concatenate([cuts, [len(own)]]) - 1
        for i, j in zip(firsts.tolist(), lasts.tolist(), strict=True):
            t0, t1 = int(own["t0"][i]), int(ends[j])
            share = min(1.0, float(np.maximum(held[i : j + 1], 0).sum()) / (t1 - t0)) if t1 > t0 else 1.0
            out.append(Stretch(what=what, core=core, t0=t0, t1=t1, share=share))
    return out
