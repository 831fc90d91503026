"""What goes into a run, checked and brought into one form before anything runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias, overload

import attrs
import numpy as np

from hal.errors import ConfigError, HalError, Problem
from hal.events import (
    EVENT,
    I64,
    BatchStimulus,
    EventBatch,
    Port,
    Records,
    Signal,
    Stimulus,
    event_problems,
    flat_rows,
    raster,
    raster_problems,
    signal_problems,
)
from hal.fit import Finding

Checked: TypeAlias = Mapping[str, "Records | Signal"]


@attrs.frozen(eq=False)
class Batch(Sequence[Checked]):
    """B checked stimuli of equal keys, column by column."""

    columns: Mapping[str, EventBatch | tuple[Signal, ...]]
    size: int

    def __len__(self) -> int:
        return self.size

    def replaced(self, samples: Sequence[Checked]) -> Batch:
        """The batch with other samples of the same keys."""
        columns: dict[str, EventBatch | tuple[Signal, ...]] = {}
        for name, column in self.columns.items():
            values: list[Any] = [sample[name] for sample in samples]
            columns[name] = EventBatch.of(values) if isinstance(column, EventBatch) else tuple(values)
        return Batch(columns, self.size)

    @overload
    def __getitem__(self, b: int) -> Checked: ...

    @overload
    def __getitem__(self, b: slice) -> tuple[Checked, ...]: ...

    def __getitem__(self, b: int | slice) -> Checked | tuple[Checked, ...]:
        if isinstance(b, slice):
            return tuple(self[k] for k in range(self.size)[b])
        if not -self.size <= b < self.size:
            raise IndexError(f"batch of {self.size} samples has no sample {b}")
        return {name: column[b] for name, column in self.columns.items()}


def check(
    stimulus: Stimulus,
    ports: Sequence[Port],
    duration_ns: int,
    step_ns: int | None,
    max_run_ns: int | None = None,
    *,
    clocked: bool = True,
) -> dict[str, Records | Signal]:
    """One entry per port: checked event arrays and Signals, silence where nothing was given.

    step_ns: of the rows of a raster; a clocked device also runs for whole steps only.
    Raises ConfigError with every problem of duration, names, dtypes, order, times, indices and values.
    """
    problems = duration_problems(duration_ns, step_ns if clocked else None, max_run_ns)
    usable = None if problems else int(duration_ns)
    problems += name_problems(stimulus, ports)
    out: dict[str, Records | Signal] = {}
    for port in ports:
        value, faults = _one(stimulus.get(port.name), port, usable, step_ns)
        problems += faults
        out[port.name] = value
    if problems:
        raise ConfigError("the stimulus cannot be run", problems=problems)
    return out


def check_batch(
    stimuli: BatchStimulus,
    ports: Sequence[Port],
    duration_ns: int,
    step_ns: int | None,
    max_run_ns: int | None = None,
    *,
    clocked: bool = True,
) -> Batch:
    """As `check` for B samples; all keys must have equal B."""
    problems = duration_problems(duration_ns, step_ns if clocked else None, max_run_ns)
    usable = None if problems else int(duration_ns)
    problems += name_problems(stimuli, ports)
    sizes = {}
    for name, column in stimuli.items():
        try:
            sizes[name] = len(column)
        except TypeError:
            what = "neither an EventBatch nor a sequence of stimuli"
            problems.append(Problem(what, f"stimulus {name!r}", value=type(column).__name__))
    if len(set(sizes.values())) > 1:
        problems.append(Problem("all keys of a batch have equal length", "stimuli", value=sizes))
    if not any(sizes.values()) and not problems:
        problems.append(Problem("a batch has at least one sample", "stimuli", value=sizes or None))
    size = next(iter(sizes.values()), 0)
    columns: dict[str, EventBatch | tuple[Signal, ...]] = {}
    for port in ports:
        if port.name in stimuli and port.name not in sizes:
            continue
        column, faults = _column(stimuli.get(port.name), port, size, usable, step_ns)
        problems += faults
        columns[port.name] = column
    if problems:
        raise ConfigError("the batch cannot be run", problems=problems)
    return Batch(columns, size)


def channels(stimulus: Checked, shapes: Mapping[str, tuple[int, ...]]) -> tuple[I64, I64]:
    """Times in ns and channels of all events, in the order of time and then of channel.

    shapes: of each input, by name; its channels follow those of the one before.
    """
    when, channel = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    base = 0
    for name, shape in shapes.items():
        events: Any = stimulus[name]
        when.append(events["t"])
        channel.append(events["index"].astype(np.int64) + base)
        base += math.prod(shape)
    t, index = np.concatenate(when), np.concatenate(channel)
    order = np.lexsort((index, t))
    return t[order], index[order]


def floored(stimulus: Checked, quantum_ns: int) -> tuple[Checked, list[Finding]]:
    """Event times put on the device's grid, and a note per port on how many moved."""
    if quantum_ns == 1:
        return stimulus, []
    out, notes = dict(stimulus), []
    for name, given in stimulus.items():
        if isinstance(given, Signal):
            continue
        moved = int(np.count_nonzero(given["t"] % quantum_ns))
        if moved:
            out[name] = given.copy()
            out[name]["t"] -= given["t"] % quantum_ns  # type: ignore[index]  # an event array
            notes.append(_moved(name, moved, quantum_ns))
    return out, notes


def floored_batch(batch: Batch, quantum_ns: int) -> tuple[Batch, list[tuple[Finding, ...]]]:
    """As `floored` for every sample."""
    columns = dict(batch.columns)
    notes: list[tuple[Finding, ...]] = [()] * len(batch)
    for name, column in batch.columns.items():
        if quantum_ns == 1 or not isinstance(column, EventBatch):
            continue
        late = column.events["t"] % quantum_ns
        ends = np.concatenate([[0], np.cumsum(late != 0)])[column.splits]
        if ends[-1]:
            events = column.events.copy()
            events["t"] -= late
            columns[name] = EventBatch(events, column.splits)
            counts = np.diff(ends)
            said = {count: _moved(name, count, quantum_ns) for count in np.unique(counts).tolist()}
            for b in np.flatnonzero(counts).tolist():
                notes[b] = (*notes[b], said[int(counts[b])])
    return Batch(columns, batch.size), notes


def _moved(name: str, count: int, quantum_ns: int) -> Finding:
    reason = f"{count} events were moved to the grid of {quantum_ns} ns"
    return Finding(level="note", node=name, field="quantum_in_ns", reason=reason, realised=count)


def duration_problems(duration_ns: Any, step_ns: int | None, max_run_ns: int | None) -> list[Problem]:
    """Faults of a duration: type, sign, whole steps, the longest run."""
    if isinstance(duration_ns, bool) or not isinstance(duration_ns, int | np.integer):
        return [Problem("a duration is a whole number of ns", "duration_ns", value=duration_ns, limit="int")]
    problems = []
    if duration_ns < 0:
        problems.append(Problem("negative duration", "duration_ns", value=duration_ns, limit=">= 0"))
    if step_ns and duration_ns % step_ns:
        near = round(duration_ns / step_ns) * step_ns
        problems.append(
            Problem("no whole number of steps", "duration_ns", duration_ns, f"steps of {step_ns} ns", f"try {near}")
        )
    if max_run_ns is not None and duration_ns > max_run_ns:
        problems.append(Problem("longer than the device can run now", "duration_ns", duration_ns, max_run_ns))
    return problems


def name_problems(stimulus: Any, ports: Sequence[Port]) -> list[Problem]:
    """Keys that name no port. Raises ConfigError for what is no mapping at all."""
    if not isinstance(stimulus, Mapping):
        hint = "inputs: " + ", ".join(repr(port.name) for port in ports)
        raise ConfigError("a stimulus maps input names to data", value=type(stimulus).__name__, hint=hint)
    names = [port.name for port in ports]
    problems = []
    for name in stimulus:
        if name not in names:
            near = get_close_matches(str(name), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(map(repr, names))}"
            problems.append(Problem("no such input", f"stimulus {name!r}", hint=hint))
    return problems


def _silence(port: Port) -> Records | Signal:
    if port.kind == "events":
        return np.empty(0, EVENT)
    return Signal(np.zeros(1, np.int64), np.zeros((1, port.size)))


def _one(value: Any, port: Port, duration_ns: int | None, step_ns: int | None) -> tuple[Any, list[Problem]]:
    """A checked value for a port, or the problems with it. duration_ns None: the duration itself is faulty."""
    where = f"stimulus {port.name!r}"
    if value is None:
        return _silence(port), []
    try:
        if isinstance(value, Signal):
            return _from_signal(value, port, duration_ns, step_ns)
        array = np.asarray(value)
    except (ValueError, HalError) as error:
        return None, [Problem(f"not an array: {error}", where)]
    if array.dtype.names is not None:
        if port.kind == "signal":
            return None, [Problem("events given for a signal input", where, hint="give a Signal or an array (T, n)")]
        faults = event_problems(array, port, duration_ns)
        return (None, faults) if faults else (_as_events(array), [])
    return _from_rows(array, port, duration_ns, step_ns)


def _as_events(array: Records) -> Records:
    if array.dtype == EVENT and array.flags.c_contiguous:
        return array
    out = np.empty(array.size, EVENT)
    out["t"], out["index"] = array["t"], array["index"]
    return out


def _from_signal(signal: Signal, port: Port, duration_ns: int | None, step_ns: int | None) -> tuple[Any, list[Problem]]:
    faults = signal_problems(signal, port, duration_ns)
    if port.kind == "signal" or faults:
        return signal, faults
    where = f"stimulus {port.name!r}"
    faults = raster_problems(signal.values, where)
    if step_ns and (signal.t % step_ns).any():
        row = int(np.argmax(signal.t % step_ns != 0))
        faults.append(Problem("row off the grid of steps", f"{where}, row {row}", int(signal.t[row]), f"{step_ns} ns"))
    if faults:
        return None, faults
    events = raster(signal.values, 1)
    events["t"] = signal.t[events["t"]]
    return events, []


def _from_rows(array: Any, port: Port, duration_ns: int | None, step_ns: int | None) -> tuple[Any, list[Problem]]:
    """A raster (T, ...): one row per step."""
    where = f"stimulus {port.name!r}"
    if array.dtype.kind not in "biuf" or array.ndim < 2:
        what = "neither an event array nor a raster (T, ...)"
        return None, [Problem(what, where, value=f"{array.dtype} {array.shape}", hint="make it with hal.events")]
    if step_ns is None:
        hint = "give events, or a Signal with times, or a dt in the model's semantics"
        return None, [Problem("a raster needs a step and this mapping has none", where, hint=hint)]
    flat = flat_rows(array)
    faults = []
    if array.shape[1:] not in (port.shape, (port.size,)):
        faults.append(Problem("shape differs from the port", where, value=array.shape[1:], limit=port.shape))
    if duration_ns is not None and len(flat) * step_ns != duration_ns:
        limit = f"duration_ns == {len(flat)} rows * {step_ns} ns = {len(flat) * step_ns}"
        faults.append(Problem("rows differ from the duration", where, value=duration_ns, limit=limit))
    if port.kind == "signal":
        signal = Signal.sampled(flat, step_ns)
        return signal, faults or signal_problems(signal, port, duration_ns)
    faults += raster_problems(flat, where)
    return (None, faults) if faults else (raster(flat, step_ns), [])


def _column(
    column: Any, port: Port, size: int, duration_ns: int | None, step_ns: int | None
) -> tuple[Any, list[Problem]]:
    if column is None:
        one = _silence(port)
        if port.kind == "signal":
            return (one,) * size, []
        return EventBatch(np.empty(0, EVENT), np.zeros(size + 1, np.int64)), []
    if isinstance(column, EventBatch):
        if port.kind == "signal":
            return None, [Problem("events given for a signal input", f"stimulus {port.name!r}")]
        faults = batch_problems(column, port, duration_ns)
        return (None, faults) if faults else (EventBatch(_as_events(column.events), column.splits), [])
    made, problems = [], []
    for b, value in enumerate(column):
        one, faults = _one(value, port, duration_ns, step_ns)
        problems += [attrs.evolve(fault, where=f"sample {b}, {fault.where}") for fault in faults]
        made.append(one)
    if problems:
        return None, problems
    return (tuple(made) if port.kind == "signal" else EventBatch.of(made)), []


def batch_problems(batch: EventBatch, port: Port, duration_ns: int | None) -> list[Problem]:
    """Faults of a whole batch, column by column; only a faulty one is looked at sample by sample."""
    splits, events = batch.splits, batch.events
    where = f"stimulus {port.name!r}"
    if (
        splits.ndim != 1
        or not splits.size
        or splits[0] != 0
        or splits[-1] != len(events)
        or (np.diff(splits) < 0).any()
    ):
        return [Problem("splits must rise from 0 to the number of events", where, value=splits.ravel()[:8].tolist())]
    if not len(events) or any(
        events.dtype.fields is None or name not in events.dtype.fields for name in ("t", "index")
    ):
        return event_problems(events, port, duration_ns)
    if events["t"].dtype.kind not in "iu" or events["index"].dtype.kind not in "iu":
        return event_problems(events, port, None)
    t, index = events["t"], events["index"]
    limits = ((index, port.size), (t, duration_ns))
    if all(int(v.min()) >= 0 and (end is None or int(v.max()) < end) for v, end in limits):
        falls = np.flatnonzero(t[1:] < t[:-1]) + 1
        if np.isin(falls, splits).all():
            return []
    return [
        attrs.evolve(fault, where=f"sample {b}, {fault.where}")
        for b in range(len(batch))
        for fault in event_problems(batch[b], port, duration_ns)
    ]
