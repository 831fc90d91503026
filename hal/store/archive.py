"""Writes a recording's directory: one stream file per column, the stimulus, and the manifest."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.errors import ConfigError, WriteError
from hal.events import I64, Records, Signal
from hal.fit import Finding
from hal.store.arrow import StreamWriter
from hal.store.beside import beside
from hal.store.manifest import (
    INTERVAL,
    MAPPING,
    Group,
    Key,
    Manifest,
    RunHeader,
    Status,
    StreamEntry,
    Tally,
    file_names,
    header_metadata,
    stream_metadata,
)

BATCH_ROWS = 1000
"""Rows of one stream that are worth a batch on disk: below, the fixed cost of a batch outweighs its rows."""
BATCH_S = 0.05
"""Wall seconds after which what waits is written at the next call, however little it is."""
BATCH_BYTES = 1 << 20
"""Bytes of one stream that are worth a batch, whatever the rows; and the most that is put into one."""
INTERVALS: Key = ("", "intervals")
"""The key of the intervals among the columns."""

_FIELDS = {"events": ("t", "index"), "signal": ("t", "values"), "intervals": INTERVAL.names or ()}
_Name: TypeAlias = tuple[Literal["recorded", "stimulus"], str, str]


def refuse_existing(directory: Path) -> None:
    """Raise ConfigError when there is something at the place of a new recording."""
    if directory.exists():
        raise ConfigError(
            f"{directory} exists; a recording goes into a new directory",
            hint="choose another name, or remove it first",
            path=str(directory),
        )


class Waiting:
    """Rows of one stream that are too few for a batch."""

    __slots__ = ("bytes", "parts", "rows", "since")

    def __init__(self) -> None:
        self.parts: list[tuple[I64, NDArray[Any]]] = []
        self.rows = self.bytes = 0
        self.since = 0.0

    def add(self, t: I64, values: NDArray[Any]) -> bool:
        """Keep a copy; True when there is enough for a batch, or the first row has waited long enough."""
        now = time.monotonic()
        if not self.parts:
            self.since = now
        self.parts.append((t.copy(), values.copy()))
        self.rows += len(t)
        self.bytes += t.nbytes + values.nbytes
        return self.rows >= BATCH_ROWS or self.bytes >= BATCH_BYTES or now - self.since >= BATCH_S

    def take(self) -> tuple[I64, NDArray[Any]]:
        """All of them, as one block."""
        parts, self.parts = self.parts, []
        self.rows = self.bytes = 0
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([t for t, _ in parts]), np.concatenate([values for _, values in parts])


class Archive:
    """The directory of one run, while it is written.

    Args:
        directory: new; parents are made.
        header: of the run; its stimulus is written at once.
        widths: values per row of every recorded column, -1 where the first rows will tell.

    Raises ConfigError when the directory exists or the header has no JSON form, WriteError when the disk refuses.
    """

    def __init__(self, directory: Path, header: RunHeader, widths: Mapping[Key, int]) -> None:
        refuse_existing(directory)
        self.path = directory
        self._header = header
        self._widths = dict(widths)
        self._entries = stream_entries(header, self._widths)
        self._writers: dict[_Name, StreamWriter] = {}
        self._mapping: Future[None] | None = None
        stats = {counter: np.zeros(header.cores, np.int64) for counter in header.counters}
        shared = header_metadata(header)
        self._metadata = {name: shared | stream_metadata(entry) for name, entry in self._entries.items()}
        try:
            directory.mkdir(parents=True)
            for group in dict.fromkeys(entry.group for entry in self._entries.values() if entry.group != "intervals"):
                (directory / group).mkdir()
        except OSError as error:
            raise WriteError(
                f"cannot make {directory}: {error.strerror}", file=str(directory), reason=str(error), events_safe=0
            ) from error
        try:
            self.describe(stats, (), {})
            with self._telling_what_is_safe():
                for name, entry in self._entries.items():
                    if entry.group == "spikes":
                        self._writer(name, (np.empty(0, np.int64), np.empty(0, np.uint32)))
                    elif entry.group == "stimulus":
                        self._write_stimulus(name, header.stimulus[entry.node])
                if header.mapping is not None:
                    from hal.store import mappings

                    # as it is: packing it would take longer than many a run
                    self._mapping = beside(mappings.write, header.mapping, directory / MAPPING, packed=False)
        except BaseException:
            self.close()
            raise

    def write(self, key: Key, *columns: NDArray[Any]) -> None:
        """Append rows of a recorded column, or of the intervals. Raises WriteError; data: file, events_safe."""
        with self._telling_what_is_safe():
            self._write(("recorded", *key), columns)

    def settle(self) -> None:
        """Wait until the mapping is there. Raises WriteError; data: file, events_safe."""
        with self._telling_what_is_safe():
            if self._mapping is not None:
                self._mapping.result()

    def describe(self, stats: Mapping[str, I64], notes: Sequence[Finding], tallies: Mapping[Key, Tally]) -> None:
        """Bring the manifest of the unfinished run up to date."""
        self._manifest("interrupted", False, stats, notes, tallies)

    def finish(
        self, status: Status, stats: Mapping[str, I64], notes: Sequence[Finding], tallies: Mapping[Key, Tally]
    ) -> None:
        """Close every stream with its end marker and write the final manifest."""
        with self._telling_what_is_safe():
            for name, entry in self._entries.items():
                if entry.kind == "signal":
                    width = max(0, self._widths.get(entry.key, 0))
                    self._writer(name, (np.empty(0, np.int64), np.empty((0, width))))
                elif entry.kind == "intervals":
                    table = np.empty(0, INTERVAL)
                    self._writer(name, [table[field] for field in table.dtype.names or ()])
            for writer in self._writers.values():
                writer.finish()
        self.settle()
        self._manifest(status, True, stats, notes, tallies)

    def close(self) -> None:
        """Let go of the files. Never raises."""
        for writer in self._writers.values():
            writer.close()
        if self._mapping is not None:
            self._mapping.exception()

    @contextlib.contextmanager
    def _telling_what_is_safe(self) -> Iterator[None]:
        """An error about one file also says how many events of the whole run are on disk."""
        try:
            yield
        except WriteError as error:
            safe = sum(w.rows for n, w in self._writers.items() if self._entries[n].group == "spikes")
            message = f"{error.message}; {safe} events in {self.path} are safe"
            raise WriteError(message, hint=error.hint, **error.data, events_safe=safe) from error

    def _write(self, name: _Name, columns: Sequence[NDArray[Any]]) -> None:
        length = len(columns[0])
        rows = max(1, BATCH_BYTES * length // max(1, sum(column.nbytes for column in columns)))
        writer = self._writer(name, columns)
        for start in range(0, length, rows):
            writer.append(*(column[start : start + rows] for column in columns))

    def _write_stimulus(self, name: _Name, data: Records | Signal) -> None:
        columns = (data.t, data.values) if isinstance(data, Signal) else (data["t"], data["index"])
        self._write(name, columns)
        self._writers[name].finish()

    def _writer(self, name: _Name, columns: Sequence[NDArray[Any]]) -> StreamWriter:
        """The file of a stream, made when its first rows, or an empty array like them, are there."""
        if name not in self._writers:
            entry = self._entries[name]
            fields = {"events": ("t", "index"), "signal": ("t", "values"), "intervals": INTERVAL.names or ()}[
                entry.kind
            ]
            empty = {field: column[:0] for field, column in zip(fields, columns, strict=True)}
            self._writers[name] = StreamWriter(self.path / entry.file, empty, self._metadata[name])
        return self._writers[name]

    def _manifest(
        self,
        status: Status,
        finished: bool,
        stats: Mapping[str, I64],
        notes: Sequence[Finding],
        tallies: Mapping[Key, Tally],
    ) -> None:
        manifest = Manifest(
            header=self._header,
            status=status,
            finished=finished,
            streams=tuple(self._described(name, entry, tallies) for name, entry in self._entries.items()),
            stats=stats,
            diagnostics=tuple(notes),
        )
        with self._telling_what_is_safe():
            manifest.write(self.path)

    def _described(self, name: _Name, entry: StreamEntry, tallies: Mapping[Key, Tally]) -> StreamEntry:
        if (writer := self._writers.get(name)) is None:
            return entry
        tally = tallies.get(entry.key, Tally()) if name[0] == "recorded" else Tally()
        return attrs.evolve(
            entry,
            rows=writer.rows,
            batches=writer.batches,
            bytes=writer.bytes,
            sha256=writer.sha256,
            disorder=tally.disorder,
            repeats=tally.repeats,
        )


def stream_entries(header: RunHeader, widths: Mapping[Key, int]) -> dict[_Name, StreamEntry]:
    """A file for everything this run may record, and for what is fed in."""
    out: dict[_Name, StreamEntry] = {}

    def add(group: Group, name: str, node: str, variable: str, kind: Any, shape: Sequence[int]) -> None:
        place: Literal["recorded", "stimulus"] = "stimulus" if group == "stimulus" else "recorded"
        out[place, node, variable] = StreamEntry(
            group=group, node=node, variable=variable, kind=kind, shape=tuple(shape), file=name
        )

    for (node, shape), name in zip(header.nodes.items(), file_names("spikes", [*header.nodes]), strict=True):
        add("spikes", name, node, "spikes", "events", shape)
    for (node, shape), name in zip(header.signals.items(), file_names("signals", [*header.signals]), strict=True):
        add("signals", name, node, "output", "signal", shape)
    traces = [key for key in widths if ("recorded", *key) not in out]
    for (node, variable), name in zip(traces, file_names("traces", [f"{n}.{v}" for n, v in traces]), strict=True):
        add("traces", name, node, variable, "signal", (max(0, widths[node, variable]),))
    for (port, data), name in zip(header.stimulus.items(), file_names("stimulus", [*header.stimulus]), strict=True):
        if isinstance(data, Signal):
            add("stimulus", name, port, "stimulus", "signal", data.values.shape[1:])
        else:
            add("stimulus", name, port, "stimulus", "events", ())
    add("intervals", "intervals.arrows", *INTERVALS, "intervals", ())
    return out
