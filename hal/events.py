"""What goes in and comes out: event arrays, sampled signals, batches, and the checks that guard them."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal.errors import ConfigError, Problem

EVENT = np.dtype([("t", "<i8"), ("index", "<u4")])
"""One event: `t` is model time in ns since the start of the run, `index` the C-order flat position in the port's
shape. n spikes of one neuron in one step are n equal rows."""

Records: TypeAlias = NDArray[np.void]
I64: TypeAlias = NDArray[np.int64]
U32: TypeAlias = NDArray[np.uint32]
F64: TypeAlias = NDArray[np.float64]
Kind: TypeAlias = Literal["events", "signal"]

MAX_REPORTED = 5
"""How many rows of one kind of fault are named before the rest is only counted."""


MAX_EVENTS = 1 << 28
"""How many events a raster may stand for: 3 GiB of them."""


def events(t: ArrayLike, index: ArrayLike) -> Records:
    """Make an event array of dtype EVENT from times (ns, integers) and flat indices of equal length."""
    t, index = np.asarray(t), np.asarray(index)
    if t.shape != index.shape or t.ndim != 1:
        raise ConfigError("t and index must be one-dimensional and equally long", t=t.shape, index=index.shape)
    problems = []
    if t.size and not np.issubdtype(t.dtype, np.integer):
        problems.append(Problem("times are whole nanoseconds", "t", value=str(t.dtype), limit="an integer dtype"))
    elif t.size and int(t.max()) > np.iinfo(np.int64).max:
        row = int(np.argmax(t))
        problems.append(Problem("time out of range", f"row {row}", value=int(t[row]), limit="64 bits, signed"))
    if index.size and not np.issubdtype(index.dtype, np.integer):
        problems.append(Problem("indices are integers", "index", value=str(index.dtype), limit="an integer dtype"))
    elif index.size and (int(index.min()) < 0 or int(index.max()) > 0xFFFFFFFF):
        row = int(np.argmax((index < 0) | (index > 0xFFFFFFFF)))
        problems.append(Problem("index out of range", f"row {row}", value=int(index[row]), limit="0..4294967295"))
    if problems:
        raise ConfigError("cannot make an event array", problems=problems)
    out = np.empty(t.size, EVENT)
    out["t"], out["index"] = t, index
    return out


def flat_rows(array: NDArray[Any]) -> NDArray[Any]:
    """(T, ...) as (T, n), no rows included."""
    return array.reshape(len(array), int(np.prod(array.shape[1:], dtype=np.int64)))


def _int64(values: ArrayLike) -> I64:
    array = np.asarray(values)
    if array.size and (array.dtype.kind not in "iu" or int(array.max()) > np.iinfo(np.int64).max):
        raise ConfigError("times and splits are integers of 64 bits", dtype=str(array.dtype))
    return np.ascontiguousarray(array, np.int64)


def _rows(values: ArrayLike) -> NDArray[np.floating[Any]]:
    """(T, n), float32 or float64."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ConfigError("the values of a signal are numbers", dtype=str(array.dtype))
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if array.ndim < 1:
        raise ConfigError("the values of a signal have one row per time, (T, n)", shape=array.shape)
    return np.ascontiguousarray(flat_rows(array))


@attrs.frozen(eq=False)
class Signal:
    """Values over time: held until the next row as a stimulus, sampled as a result.

    t: (T,) int64 ns, rising. values: (T, n) float, n = flat size of the port.
    """

    t: I64 = attrs.field(converter=_int64)
    values: NDArray[np.floating[Any]] = attrs.field(converter=_rows)

    @classmethod
    def sampled(cls, values: ArrayLike, step_ns: int) -> Signal:
        """Rows of `values` (T, ...) at 0, step_ns, 2 step_ns, ..."""
        array = np.asarray(values)
        return cls(np.arange(len(array), dtype=np.int64) * step_ns, array)


@attrs.frozen(eq=False)
class SignalBatch:
    """Rows of B independent runs: run b is rows splits[b]:splits[b + 1] of t (R,) and values (R, n)."""

    t: I64 = attrs.field(converter=_int64)
    values: NDArray[np.floating[Any]] = attrs.field(converter=_rows)
    splits: I64 = attrs.field(converter=_int64)

    @classmethod
    def of(cls, runs: Sequence[Signal]) -> SignalBatch:
        """Put several signals of one width into one batch; those without rows have any width."""
        splits = np.concatenate([[0], np.cumsum([len(run.t) for run in runs], dtype=np.int64)])
        some = (
            [run for run in runs if len(run.t)] or list(runs[:1]) or [Signal(np.empty(0, np.int64), np.empty((0, 0)))]
        )
        t, values = (np.concatenate([getattr(run, name) for run in some]) for name in ("t", "values"))
        return cls(t, values, splits)

    def __len__(self) -> int:
        return max(0, self.splits.size - 1)

    def __getitem__(self, b: int) -> Signal:
        if not -len(self) <= b < len(self):
            raise IndexError(f"batch of {len(self)} runs has no run {b}")
        b %= len(self)
        rows = slice(self.splits[b], self.splits[b + 1])
        return Signal(self.t[rows], self.values[rows])


@attrs.frozen(eq=False)
class EventBatch:
    """Events of B independent runs: run b is `events[splits[b]:splits[b + 1]]`; splits is (B + 1,) int64."""

    events: Records
    splits: I64 = attrs.field(converter=_int64)

    @classmethod
    def of(cls, runs: Sequence[Records]) -> EventBatch:
        """Put several event arrays into one batch."""
        splits = np.concatenate([[0], np.cumsum([len(run) for run in runs], dtype=np.int64)]).astype(np.int64)
        joined = np.concatenate(runs) if runs else np.empty(0, EVENT)
        return cls(joined.astype(EVENT, copy=False), splits)

    def __len__(self) -> int:
        return max(0, self.splits.size - 1)

    def __getitem__(self, b: int) -> Records:
        if not -len(self) <= b < len(self):
            raise IndexError(f"batch of {len(self)} runs has no run {b}")
        b %= len(self)
        return self.events[self.splits[b] : self.splits[b + 1]]


Stimulus: TypeAlias = Mapping[str, "Records | Signal | NDArray[Any]"]
BatchStimulus: TypeAlias = Mapping[str, "EventBatch | Sequence[Records | Signal | NDArray[Any]]"]


def _integer(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ConfigError("a whole number is needed", value=value)
    return operator.index(value)


def _shape(shape: Any) -> tuple[int, ...]:
    if isinstance(shape, str) or not hasattr(shape, "__iter__"):
        raise ConfigError("a shape is a tuple of sizes", value=shape)
    return tuple(_integer(size) or 0 for size in shape)


@attrs.frozen
class Port:
    """A named place where data enters or leaves: a model's Input or Output, or a chip-level port `@name`."""

    name: str
    shape: tuple[int, ...] = attrs.field(converter=_shape)
    kind: Kind = attrs.field(default="events", validator=attrs.validators.in_(("events", "signal")))

    @property
    def size(self) -> int:
        """Number of channels: the product of the shape."""
        return math.prod(self.shape)


def _integers(values: Any) -> tuple[int, ...] | None:
    return None if values is None else tuple(operator.index(_integer(value) or 0) for value in values)


@attrs.frozen
class Probe:
    """A request to record: a node's spikes, or a state variable of it.

    indices: which neurons, None for all. every_ns: sampling period in model ns; None for a state variable means one
    sample of the final state, stamped duration_ns - 1.
    """

    node: str
    variable: str = "spikes"
    indices: tuple[int, ...] | None = attrs.field(default=None, converter=_integers)
    every_ns: int | None = attrs.field(default=None, converter=_integer)


def raster(values: ArrayLike, step_ns: int) -> Records:
    """Events of an integer raster (T, ...): n >= 0 in row k becomes n events at k * step_ns.

    Raises ConfigError naming the first bad rows when a value is negative, fractional or not finite.
    """
    array = np.asarray(values)
    if array.ndim < 2:
        raise ConfigError("a raster has one row per step, (T, ...)", shape=array.shape)
    step_ns = _integer(step_ns) or 0
    if step_ns <= 0 or len(array) * step_ns > np.iinfo(np.int64).max:
        limit = f"> 0, and {len(array)} of them within 64 bits"
        raise ConfigError("not a step", problems=[Problem("ns", "step_ns", value=step_ns, limit=limit)])
    flat = flat_rows(array)
    problems = raster_problems(flat, "raster")
    if problems:
        raise ConfigError("not a raster of spike counts", problems=problems)
    rows, columns = np.nonzero(flat)
    counts = flat[rows, columns].astype(np.int64)
    return events(np.repeat(rows.astype(np.int64) * step_ns, counts), np.repeat(columns, counts))


def raster_problems(flat: NDArray[Any], where: str) -> list[Problem]:
    """Faults of a raster (T, n) meant as spike counts."""
    if flat.dtype.kind not in "biuf":
        return [Problem("a raster holds numbers", where, value=str(flat.dtype))]
    bad = (flat < 0) | (flat != np.floor(flat)) | ~np.isfinite(flat) if flat.dtype.kind == "f" else flat < 0
    if not np.any(bad):
        return _too_many(flat, where)
    row, column = (int(i) for i in np.argwhere(bad)[0])
    return [
        Problem(
            f"{int(bad.sum())} values are no spike counts, the first in row {row}, channel {column}",
            where,
            value=flat[row, column].item(),
            limit="integers >= 0",
            hint="if these are analog values, name the Input node in Semantics(signals=...)",
        )
    ]


def _too_many(flat: NDArray[Any], where: str) -> list[Problem]:
    """Counts that would only fill the memory."""
    total = float(flat.sum(dtype=np.float64))
    if total <= MAX_EVENTS:
        return []
    row, column = (int(i) for i in np.unravel_index(int(np.argmax(flat)), flat.shape))
    value = flat[row, column].item()
    what = f"more events than can be held: {total:.3g}, most in row {row}, channel {column} ({value})"
    return [Problem(what, where, limit=f"{MAX_EVENTS} events", hint="is this a raster of spike counts?")]


def event_problems(array: Any, port: Port, duration_ns: int | None) -> list[Problem]:
    """Faults of an event array meant for `port`: dtype, order, range of times and indices; at most a few of each."""
    where = f"stimulus {port.name!r}"
    names = getattr(getattr(array, "dtype", None), "names", None) or ()
    if "t" not in names or "index" not in names:
        hint = "fields x, y, p: convert with hal.from_xytp" if "x" in names else "make it with hal.events(t, index)"
        return [Problem("not an event array with fields t and index", where, value=names or type(array), hint=hint)]
    if array.ndim != 1:
        return [Problem("event arrays have one dimension", where, value=array.shape)]
    t, index = array["t"], array["index"]
    if _faultless(t, index, port, duration_ns):
        return []
    problems: list[Problem] = []

    def add(bad: NDArray[np.bool_], what: str, values: NDArray[Any], limit: Any, hint: str = "") -> None:
        rows = np.flatnonzero(bad)
        for row in rows[:MAX_REPORTED]:
            problems.append(Problem(what, f"{where}, row {row}", value=values[row].item(), limit=limit, hint=hint))
        if rows.size > MAX_REPORTED:
            problems.append(Problem(f"{what}: {rows.size - MAX_REPORTED} more rows", where))

    for name, values in (("t", t), ("index", index)):
        if values.dtype.kind == "f":
            add(~np.isfinite(values), f"{name} is not a finite number (NaN or inf)", values, "finite")
        if values.dtype.kind not in "iu":
            problems.append(Problem(f"{name} is not an integer array", where, value=str(values.dtype), limit="integer"))
    if problems:
        return problems
    add(t < 0, "negative time", t, "t >= 0")
    if duration_ns is not None:
        add(t >= duration_ns, "event after the end of the run", t, f"t < {duration_ns} ns", "lengthen duration_ns")
    if t.size > 1:
        falls = np.concatenate([[False], t[1:] < t[:-1]])
        add(falls, "time goes back", t, "sorted by t", "sort with events[np.argsort(events['t'], kind='stable')]")
    add((index < 0) | (index >= port.size), "index out of range", index, f"0..{port.size - 1} for shape {port.shape}")
    return problems


def _faultless(t: NDArray[Any], index: NDArray[Any], port: Port, duration_ns: int | None) -> bool:
    """Whether there is nothing to look for: the usual case, told by the ends alone."""
    if t.dtype.kind not in "iu" or index.dtype.kind not in "iu":
        return False
    if not t.size:
        return True
    in_time = t[0] >= 0 and (duration_ns is None or t[-1] < duration_ns) and bool((t[1:] >= t[:-1]).all())
    return bool(in_time and index.min() >= 0 and index.max() < port.size)


def signal_problems(signal: Signal, port: Port, duration_ns: int | None) -> list[Problem]:
    """Faults of a Signal meant for `port`."""
    where = f"stimulus {port.name!r}"
    problems = []
    if signal.t.shape != (len(signal.values),):
        problems.append(Problem("one time per row", where, value=signal.t.shape, limit=(len(signal.values),)))
    elif signal.t.size:
        if (np.diff(signal.t) <= 0).any():
            row = int(np.argmax(np.diff(signal.t) <= 0)) + 1
            problems.append(Problem("times must rise", f"{where}, row {row}", value=int(signal.t[row])))
        if signal.t[0] < 0:
            problems.append(Problem("negative time", f"{where}, row 0", value=int(signal.t[0]), limit="t >= 0"))
        if duration_ns is not None and signal.t[-1] >= duration_ns:
            row = int(np.argmax(signal.t >= duration_ns))
            limit = f"t < {duration_ns} ns"
            problems.append(
                Problem("row after the end of the run", f"{where}, row {row}", value=int(signal.t[row]), limit=limit)
            )
    if signal.values.shape[1] != port.size:
        problems.append(
            Problem("channels differ from the port", where, signal.values.shape[1], f"{port.size} for {port.shape}")
        )
    bad = ~np.isfinite(signal.values)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        problems.append(
            Problem("value is not finite (NaN or inf)", f"{where}, row {row}, channel {column}", limit="finite")
        )
    return problems
