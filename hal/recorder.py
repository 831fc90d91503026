"""Where the output of a run goes while it runs: into memory, or into an Arrow stream on disk."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal.errors import ConfigError, Problem, StateError, WriteError
from hal.events import EVENT, I64, Records, Signal
from hal.fit import Finding
from hal.recording import Recording, read_recording
from hal.store.archive import BATCH_ROWS, INTERVALS, Archive, Waiting, refuse_existing
from hal.store.manifest import INTERVAL, STATUSES, Key, RunHeader, Status, Tally
from hal.store.rows import Column, check_range, integers, size, trace_width

__all__ = ["ArrowRecorder", "MemoryRecorder", "Recorder", "RunHeader"]

MANIFEST_S = 1.0
"""Wall seconds between updates of an unfinished manifest, when counters or findings have changed."""


class Recorder(ABC):
    """Takes in what a run puts out, checks it, and makes a Recording of it.

    One run is `start`, any number of `emit`, `sample`, `count`, `interval`, `note`, `advance`, then `finish`. The
    device calls `start` and `finish`; a plugin's `_run` the rest. Arrays may be reused by the caller after a call.

    Attributes:
        on_advance: called with the model time at each `advance`, after what was emitted is safe; what a hook raises
            ends the run.
    """

    def __init__(self) -> None:
        self.on_advance: list[Callable[[int], None]] = []
        self._header: RunHeader | None = None
        self._columns: dict[Key, Column] = {}
        self._stats: dict[str, I64] = {}
        self._notes: list[Finding] = []
        self._untrusted = False

    @property
    def header(self) -> RunHeader:
        """What is known of the run under way. Raises StateError when there is none."""
        return self._running()

    @property
    def events(self) -> int:
        """How many events were emitted in the run under way, or in the last one."""
        return sum(column.rows for (_, variable), column in self._columns.items() if variable == "spikes")

    # --- what a run calls --------------------------------------------------------------------------------------

    def start(self, header: RunHeader) -> None:
        """Begin a run. Raises StateError when one is under way."""
        if self._header is not None:
            raise StateError("the recorder is in the middle of a run", hint="finish it first, or take another recorder")
        self._columns = {(n, "spikes"): Column((n, "spikes"), size(shape)) for n, shape in header.nodes.items()}
        for output, shape in header.signals.items():
            self._columns[output, "output"] = Column((output, "output"), size(shape))
        for probe in header.traces:
            if probe.variable != "spikes":
                key = (probe.node, probe.variable)
                self._columns.setdefault(key, Column(key, trace_width(header, probe)))
        self._stats = {counter: np.zeros(header.cores, np.int64) for counter in header.counters}
        self._notes = []
        self._untrusted = False
        self._open(header)
        self._header = header

    def emit(self, node: str, t: NDArray[np.integer[Any]], index: NDArray[np.integer[Any]]) -> None:
        """Record events of a node.

        t: (n,) model ns, each in [0, duration_ns); kept as they are, and counted where they fall back. index: (n,)
        flat positions in the node's shape. Raises ConfigError naming node, rows, values and limits.
        """
        header = self._running()
        column = self._columns.get((node, "spikes"))
        if column is None:
            self._unknown(node, "spikes")
        t, index = integers("t", node, t), integers("index", node, index)
        if t.shape != index.shape:
            raise ConfigError(f"{node}: t and index must be equally long", t=t.shape, index=index.shape)
        if not t.size:
            return
        check_range(f"{node}: t", t, header.duration_ns, "model ns in the run")
        check_range(f"{node}: index", index, column.size, f"neurons in shape {header.nodes[node]}")
        times: I64 = t.astype(np.int64, copy=False)
        column.accept(times)
        self._append(column.key, times, index.astype(np.uint32, copy=False))

    def sample(self, node: str, variable: str, t: NDArray[np.integer[Any]], values: ArrayLike) -> None:
        """Record rows of a signal Output (variable "output") or of a probed state variable.

        t: (T,) model ns, each in [0, duration_ns). values: (T, n) or (T, ...) numbers; float32 stays, all else becomes
        float64. n is the same in every call. Raises ConfigError.
        """
        header = self._running()
        column = self._columns.get((node, variable))
        if column is None or variable == "spikes":
            self._unknown(node, variable)
        where = f"{node}.{variable}"
        t = integers("t", where, t)
        block = np.asarray(values)
        if block.dtype.kind not in "biuf" or block.ndim < 1 or len(block) != len(t):
            raise ConfigError(f"{where}: values are numbers, one row per time", t=t.shape, values=block.shape)
        if not t.size:
            return
        precision = np.dtype(np.float32 if block.dtype == np.float32 else np.float64)
        block = block.reshape(len(t), -1).astype(precision, copy=False)
        problems = []
        if block.shape[1] != column.size >= 0:
            problems.append(Problem("values per row", where, value=block.shape[1], limit=column.size))
        if column.dtype is not None and precision != column.dtype:
            problems.append(
                Problem("precision changes in mid-run", where, value=precision.name, limit=column.dtype.name)
            )
        if problems:
            raise ConfigError(f"{where}: the values are not like what was announced", problems=problems)
        check_range(f"{where}: t", t, header.duration_ns, "model ns in the run")
        column.dtype, column.size = precision, block.shape[1]
        times: I64 = t.astype(np.int64, copy=False)
        column.accept(times)
        self._append(column.key, times, block)

    def count(self, counter: str, per_core: ArrayLike) -> None:
        """Add to a counter: (cores,) integers."""
        header = self._running()
        if counter not in self._stats:
            raise ConfigError(
                f"unknown counter {counter!r}",
                problems=[Problem("not declared", counter, limit=f"one of {list(self._stats)}")],
                hint="counters of one chip are declared in DeviceSpec.counters",
            )
        amount = np.asarray(per_core)
        if amount.shape != (header.cores,) or amount.dtype.kind not in "iub":
            raise ConfigError(
                f"counter {counter!r} takes one integer per core",
                problems=[
                    Problem("shape and type", counter, f"{amount.shape} {amount.dtype}", f"({header.cores},) integers")
                ],
            )
        self._stats[counter] += amount.astype(np.int64, copy=False)
        self._changed()

    def interval(self, what: str, core: int, t0_ns: int, t1_ns: int) -> None:
        """Record that something held on a core (-1: the whole chip) from t0_ns up to t1_ns."""
        header = self._running()
        problems = []
        if not 0 <= t0_ns <= t1_ns <= header.duration_ns:
            limit = f"0 <= t0 <= t1 <= {header.duration_ns}"
            problems.append(Problem("not within the run", f"interval {what!r}", f"{t0_ns}..{t1_ns} ns", limit))
        if not -1 <= core < header.cores:
            problems.append(Problem("no such core", f"interval {what!r}", core, f"-1..{header.cores - 1}"))
        if not 0 < len(what) <= 32:
            problems.append(Problem("a name of 1 to 32 characters", "interval", repr(what)))
        if problems:
            raise ConfigError("the interval cannot be recorded", problems=problems)
        self._append_interval((what, core, t0_ns, t1_ns))

    def note(self, finding: Finding) -> None:
        """Add to the diagnostics."""
        self._running()
        self._notes.append(finding)
        self._changed()

    def distrust(self, finding: Finding) -> None:
        """Add to the diagnostics, and let a run that ends well be "untrusted" all the same."""
        self.note(finding)
        self._untrusted = True

    def advance(self, t_ns: int) -> None:
        """Say that the run has reached t_ns: what was emitted is made safe, then the hooks are called.

        Call it at least every 0.1 s of wall time; not at every step, since each call may write to disk.
        """
        self._running()
        self._flush()
        for hook in self.on_advance:
            hook(t_ns)

    def finish(self, status: Status) -> Recording:
        """End the run. Raises StateError when none is under way, ConfigError for an unknown status."""
        header = self._running()
        if status not in STATUSES:
            raise ConfigError(f"unknown status {status!r}", hint=f"one of {', '.join(STATUSES)}", status=status)
        try:
            return self._finish(header, "untrusted" if self._untrusted and status == "ok" else status)
        finally:
            self._header = None

    # --- what a kind of recorder writes ------------------------------------------------------------------------

    @abstractmethod
    def _open(self, header: RunHeader) -> None:
        """Make ready for a run."""

    @abstractmethod
    def _append(self, key: Key, t: I64, values: NDArray[Any]) -> None:
        """Keep a copy of checked, non-empty rows: index (n,) uint32, or values (n, width) float."""

    @abstractmethod
    def _append_interval(self, interval: tuple[str, int, int, int]) -> None:
        """Keep an interval."""

    @abstractmethod
    def _finish(self, header: RunHeader, status: Status) -> Recording:
        """Close, and make the recording."""

    def _flush(self) -> None:
        """Make safe what was appended."""

    def _changed(self) -> None:
        """Counters or findings have changed."""

    def _running(self) -> RunHeader:
        if self._header is None:
            raise StateError("no run is being recorded", hint="the device calls start(header) before a run")
        return self._header

    def _tallies(self) -> dict[Key, Tally]:
        return {key: column.tally for key, column in self._columns.items()}

    def _unknown(self, node: str, variable: str) -> NoReturn:
        asked = [f"{name}.{what}" for name, what in self._columns]
        raise ConfigError(
            f"{node}.{variable} is not recorded in this run",
            problems=[Problem("not asked for", f"{node}.{variable}", limit=f"one of {asked}")],
            hint="what is recorded is decided at map(record=...)",
        )


class MemoryRecorder(Recorder):
    """Keeps everything in memory; may be used for one run after another."""

    def _open(self, header: RunHeader) -> None:
        kept = {port: _kept(data) for port, data in header.stimulus.items()}
        shared = all(data is header.stimulus[port] for port, data in kept.items())
        self._kept = header if shared else attrs.evolve(header, stimulus=kept)
        self._blocks: dict[Key, list[tuple[I64, NDArray[Any]]]] = {key: [] for key in self._columns}
        self._intervals: list[tuple[str, int, int, int]] = []

    def _append(self, key: Key, t: I64, values: NDArray[Any]) -> None:
        self._blocks[key].append((t.copy(), values.copy()))

    def _append_interval(self, interval: tuple[str, int, int, int]) -> None:
        self._intervals.append(interval)

    def _finish(self, header: RunHeader, status: Status) -> Recording:
        blocks, self._blocks = self._blocks, {}
        signals = {
            key: _joined_signal(parts, self._columns[key].size) for key, parts in blocks.items() if key[1] != "spikes"
        }
        return Recording(
            header=self._kept,
            spikes={node: _joined_events(blocks[node, "spikes"]) for node in header.nodes},
            signals={output: signals.pop((output, "output")) for output in header.signals},
            traces=signals,
            stats=self._stats,
            intervals=np.array(self._intervals, INTERVAL),
            diagnostics=tuple(self._notes),
            status=status,
            tallies=self._tallies(),
        )


class ArrowRecorder(Recorder):
    """Streams one run into a new directory, in constant memory; `hal.store.manifest` says what lies in it.

    After `advance` everything emitted so far is with the operating system and survives a SIGKILL of this process (not
    a loss of power: nothing is fsynced). Between two calls of `advance` at most 999 rows per stream wait in memory.

    Raises ConfigError when the directory exists, WriteError (an OSError) when the disk refuses; its data has
    `file` and `events_safe`.
    """

    def __init__(self, directory: str | Path) -> None:
        super().__init__()
        self.path = Path(directory)
        refuse_existing(self.path)

    def _open(self, header: RunHeader) -> None:
        self._waiting = {key: Waiting() for key in self._columns}
        self._intervals: list[tuple[str, int, int, int]] = []
        self._dirty = False
        self._manifest_at = time.monotonic()
        self._archive = Archive(self.path, header, {key: column.size for key, column in self._columns.items()})

    def _append(self, key: Key, t: I64, values: NDArray[Any]) -> None:
        waiting = self._waiting[key]
        if len(t) >= BATCH_ROWS and not waiting.rows:
            self._archive.write(key, t, values)
        elif waiting.add(t, values):
            self._archive.write(key, *waiting.take())

    def _append_interval(self, interval: tuple[str, int, int, int]) -> None:
        self._intervals.append(interval)
        if len(self._intervals) >= BATCH_ROWS:
            self._write_intervals()

    def _changed(self) -> None:
        self._dirty = True

    def _flush(self) -> None:
        for key, waiting in self._waiting.items():
            if waiting.rows:
                self._archive.write(key, *waiting.take())
        self._write_intervals()
        self._archive.settle()
        if self._dirty and time.monotonic() - self._manifest_at >= MANIFEST_S:
            self._archive.describe(self._stats, self._notes, self._tallies())
            self._dirty, self._manifest_at = False, time.monotonic()

    def _finish(self, header: RunHeader, status: Status) -> Recording:
        try:
            self._flush()
            self._archive.finish(status, self._stats, self._notes, self._tallies())
        except WriteError:
            # an interrupted run keeps what is safe: the full disk may be what interrupted it
            if status != "interrupted":
                raise
        finally:
            self._archive.close()
        return read_recording(self.path)

    def _write_intervals(self) -> None:
        if self._intervals:
            table = np.array(self._intervals, INTERVAL)
            self._intervals = []
            self._archive.write(INTERVALS, *(table[name] for name in table.dtype.names or ()))


def _kept(data: Records | Signal) -> Records | Signal:
    """A stimulus that does not change when its owner reuses the array; read-only arrays are shared."""
    if isinstance(data, Signal):
        writeable = data.t.flags.writeable or data.values.flags.writeable
        return Signal(data.t.copy(), data.values.copy()) if writeable else data
    return data.copy() if data.size and data.flags.writeable else data


def _joined_events(blocks: list[tuple[I64, NDArray[Any]]]) -> Records:
    out = np.empty(sum(len(t) for t, _ in blocks), EVENT)
    start = 0
    for t, index in blocks:
        part = out[start : start + len(t)]
        part["t"], part["index"] = t, index
        start += len(t)
    return out


def _joined_signal(blocks: list[tuple[I64, NDArray[Any]]], width: int) -> Signal:
    if not blocks:
        return Signal(np.empty(0, np.int64), np.empty((0, max(0, width))))
    return Signal(np.concatenate([t for t, _ in blocks]), np.concatenate([values for _, values in blocks]))
