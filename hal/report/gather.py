"""What a report shows of a recording, in bounded size: its numbers, and its events and values as drawable blocks."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.events import Records, Signal

if TYPE_CHECKING:
    from hal.mapping import Mapping
    from hal.recording import Recording

EXACT_EVENTS: Final = 20_000
"""Events of one node that are kept one by one; of more, counts in bins of time and index."""
EXACT_IN_ALL: Final = 200_000
"""The same of all nodes together; the last ones are binned where there are more."""
CELLS: Final = 1 << 20
"""Bins of one node's raster."""
CELLS_IN_ALL: Final = 1 << 22
COLUMNS: Final = 4096
"""Bins of time at most."""
ROWS: Final = 512
"""Bins of indices at most."""
LISTED: Final = 4096
"""Neurons up to which the counts of a node are listed one by one."""
SAMPLES: Final = 4000
"""Samples of a signal that are kept one by one; of more, the least and the largest in each of SAMPLES / 4 bins."""
CHANNELS: Final = 12
"""Channels of a signal that are drawn: those that vary most."""


@attrs.frozen(kw_only=True, eq=False)
class Raster:
    """The events of one node, ready to be drawn.

    Either one by one: t (n,) ns and index (n,); or counted: counts (columns, rows), a column is `bin_ns` long, row r
    holds the indices from ceil(r * size / rows) up to that of row r + 1.
    """

    name: str
    shape: tuple[int, ...]
    size: int
    events: int
    t: NDArray[np.int64] | None = None
    index: NDArray[np.uint32] | None = None
    counts: NDArray[Any] | None = None
    bin_ns: int = 0
    stimulus: bool = False


@attrs.frozen(kw_only=True, eq=False)
class Curves:
    """Values over time: t (T,) ns; values (T, channels); of a long signal every second row is the least of a bin.

    channels: which of the `width` there are. samples: how many there were.
    """

    name: str
    variable: str
    t: NDArray[np.int64]
    values: NDArray[np.float32]
    channels: list[int]
    width: int
    samples: int
    binned: bool


def plain_int(shape: tuple[int, ...]) -> int:
    """How many elements a shape has."""
    return int(np.prod(shape, dtype=np.int64))


def numbers(recording: Recording, mapping: Mapping | None) -> dict[str, Any]:
    """The recording's numbers as JSON, for tests and other programs: what the page says is said here."""
    losses = [] if mapping is None else [list(line) for line in mapping.losses.summary()]
    return {
        "device": recording.device,
        "kind": recording.header.kind,
        "status": recording.status,
        "run": recording.header.run,
        "seed": recording.header.seed,
        "t0_ns": recording.t0_ns,
        "duration_ns": recording.duration_ns,
        "step_ns": recording.step_ns,
        "events": recording.event_count(),
        "nodes": {name: _node_numbers(recording, name, shape) for name, shape in recording.shapes.items()},
        "stimulus": {port: len(fed.t if isinstance(fed, Signal) else fed) for port, fed in recording.stimulus.items()},
        "signals": {name: list(signal.values.shape) for name, signal in recording.signals.items()},
        "traces": [[*key, *signal.values.shape] for key, signal in recording.traces.items()],
        "stats": {counter: per_core.tolist() for counter, per_core in recording.stats.items()},
        "intervals": len(recording.intervals),
        "diagnostics": len(recording.diagnostics),
        "losses": {"rows": sum(line[-1] for line in losses), "groups": losses},
    }


def _node_numbers(recording: Recording, name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    counts = recording.counts(name).ravel()
    seconds = recording.duration_ns * 1e-9
    total = int(counts.sum())
    facts = {
        "events": total,
        "shape": list(shape),
        "neurons": int(counts.size),
        "silent": int((counts == 0).sum()),
        "most": int(counts.max(initial=0)),
        "rate_hz": total / counts.size / seconds if counts.size and seconds else 0.0,
    }
    return facts | ({"counts": counts.tolist()} if counts.size <= LISTED else {})


# --- events ---------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True, eq=False)
class Train:
    """Events of one node, or of one port that was fed."""

    name: str
    shape: tuple[int, ...]
    events: Records
    stimulus: bool


def ordered(recording: Recording, mapping: Mapping | None) -> list[Train]:
    """What was fed in, then every recorded node in the model's order."""
    fed = {
        port: events for port, events in recording.stimulus.items() if not isinstance(events, Signal) and len(events)
    }
    ports = {} if mapping is None else {port.name: port.shape for port in mapping.inputs}
    order = [] if mapping is None or mapping.model is None else list(mapping.model.order())
    names = sorted(recording.shapes, key=lambda name: order.index(name) if name in order else len(order))
    # an Input that was recorded is what was fed in
    out = [
        Train(name=port, shape=ports.get(port, ()), events=events, stimulus=True)
        for port, events in fed.items()
        if port not in names
    ]
    return out + [
        Train(name=name, shape=recording.shapes[name], events=recording.spikes[name], stimulus=False) for name in names
    ]


def rasters(recording: Recording, mapping: Mapping | None) -> list[Raster]:
    """All of them in bounded size: the smaller ones event by event, the larger ones counted."""
    trains = ordered(recording, mapping)
    left = EXACT_IN_ALL
    exact = set()
    for number, train in sorted(enumerate(trains), key=lambda item: len(item[1].events)):
        if len(train.events) <= min(EXACT_EVENTS, left):
            exact.add(number)
            left -= len(train.events)
    cells = min(CELLS, CELLS_IN_ALL // max(1, len(trains) - len(exact)))
    step = grid_ns(recording)
    return [
        raster(train, recording.duration_ns, cells=0 if number in exact else cells, step_ns=step)
        for number, train in enumerate(trains)
    ]


def raster(train: Train, duration_ns: int, *, cells: int, step_ns: int | None = None) -> Raster:
    """The events of a node one by one (cells 0), or counted in at most so many bins; bins hold whole steps."""
    events = train.events
    size = max(plain_int(train.shape), 1) if train.shape else int(events["index"].max(initial=0)) + 1
    facts: dict[str, Any] = {
        "name": train.name,
        "shape": train.shape or (size,),
        "size": size,
        "events": len(events),
        "stimulus": train.stimulus,
    }
    if not cells:
        order = np.argsort(events["t"], kind="stable")
        return Raster(**facts, t=events["t"][order].astype(np.int64), index=events["index"][order])
    rows = max(1, min(size, ROWS, cells))
    columns = max(1, min(COLUMNS, cells // rows, duration_ns or 1))
    bin_ns = bin_width(duration_ns, columns, step_ns)
    columns = max(1, -(-duration_ns // bin_ns))
    counts = np.zeros(columns * rows, np.int64)
    step = 1 << 21
    # in pieces: the places of ten million events at once would take hundreds of megabytes
    for start in range(0, len(events), step):
        some = events[start : start + step]
        place = (some["t"] // bin_ns) * rows + some["index"].astype(np.int64) * rows // size
        counts += np.bincount(place, minlength=counts.size)
    return Raster(**facts, counts=counts.reshape(columns, rows), bin_ns=int(bin_ns))


LOOKED_AT: Final = 10_000
"""Events of each node that are looked at to see whether times are whole steps."""


def grid_ns(recording: Recording) -> int | None:
    """The step of the run where its events lie on it; None on devices without one, and where a step is only a unit."""
    step = recording.step_ns
    if not step or any((events[:LOOKED_AT]["t"] % step).any() for events in recording.spikes.values()):
        return None
    return step


def bin_width(duration_ns: int, bins: int, step_ns: int | None) -> int:
    """Length of a bin, so that at most so many cover the run; whole steps, lest some bins hold more of them."""
    wide = max(1, -(-duration_ns // max(bins, 1)))
    return wide if not step_ns else -(-wide // step_ns) * step_ns


def course(events: Records, bin_ns: int, bins: int, weights: NDArray[np.float64] | None = None) -> NDArray[Any]:
    """Events, or what each index of them weighs, in `bins` bins: (bins,)."""
    of = None if weights is None else weights[events["index"]]
    return np.bincount(events["t"] // bin_ns, weights=of, minlength=bins)[:bins]


# --- values ---------------------------------------------------------------------------------------------------------


def curves(recording: Recording) -> list[Curves]:
    """Signals fed in, signal Outputs, then traces."""
    fed = {(port, "input"): given for port, given in recording.stimulus.items() if isinstance(given, Signal)}
    out = {(name, "output"): signal for name, signal in recording.signals.items()}
    every: MappingABC[tuple[str, str], Signal] = fed | out | dict(recording.traces)
    return [_curves(*key, signal) for key, signal in every.items()]


def _curves(name: str, variable: str, signal: Signal) -> Curves:
    samples, width = signal.values.shape
    if samples > 1:
        spread = np.nan_to_num(np.ptp(signal.values, axis=0), nan=0.0, posinf=np.inf)
        channels = sorted(np.argsort(-spread, kind="stable")[:CHANNELS].tolist())
    else:
        channels = list(range(min(width, LISTED)))
    t, values = signal.t, signal.values[:, channels]
    binned = samples > SAMPLES
    if binned:
        starts = np.linspace(0, samples, SAMPLES // 4, endpoint=False).astype(np.int64)
        low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
        t = np.repeat(t[starts], 2)
        values = np.stack([low, high], axis=1).reshape(-1, values.shape[1])
    return Curves(
        name=name,
        variable=variable,
        t=t,
        values=values.astype(np.float32),
        channels=channels,
        width=width,
        samples=samples,
        binned=binned,
    )
