"""Reads a recording back from its directory: what is whole is checked, what is torn gives its complete batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.errors import FormatError, HalError
from hal.events import EVENT, Records, Signal
from hal.fit import Finding
from hal.store import arrow
from hal.store.manifest import INTERVAL, MANIFEST, Key, Manifest, StreamEntry, Tally, read_manifest

K = TypeVar("K")
V = TypeVar("V")


class Lazy(Mapping[K, V], Generic[K, V]):
    """Values that are read from disk when they are first asked for."""

    def __init__(self, loaders: Mapping[K, Callable[[], V]]) -> None:
        self._loaders = dict(loaders)
        self._values: dict[K, V] = {}

    def __getitem__(self, key: K) -> V:
        if key not in self._values:
            if key not in self._loaders:
                raise KeyError(f"{key!r} was not recorded; recorded are {list(self._loaders)}")
            self._values[key] = self._loaders[key]()
        return self._values[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._loaders)

    def __len__(self) -> int:
        return len(self._loaders)

    def __repr__(self) -> str:
        return f"<{', '.join(f'{key!r}' + ('' if key in self._values else ' (on disk)') for key in self)}>"


def guarded(read: Callable[[], V], directory: Path) -> V:
    """What `read` gives; whatever a damaged file makes it raise is a FormatError."""
    try:
        return read()
    except HalError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, MemoryError) as error:
        raise FormatError(f"{directory} is damaged: {type(error).__name__}: {error}", path=str(directory)) from error


def contents(directory: Path, verify: bool) -> dict[str, Any]:
    """The fields of the Recording that lies in a directory; columns are read when first used."""
    return guarded(partial(_contents, directory, verify), directory)


def _contents(directory: Path, verify: bool) -> dict[str, Any]:
    manifest, notes = read_manifest(directory)
    return assembled(directory, manifest, notes, partial(_survey, directory), partial(_columns, directory, verify))


Columns = dict[str, NDArray[Any]]


def assembled(
    path: Path,
    manifest: Manifest,
    notes: tuple[Finding, ...],
    survey: Callable[[StreamEntry, bool], tuple[int, Finding | None]],
    columns: Callable[[StreamEntry, bool, tuple[str, ...]], Columns],
) -> dict[str, Any]:
    """The fields of a Recording.

    survey: rows that a stream has, and what is missing, given whether the run was finished. columns: the named columns
    of a stream, given whether all of it is there; called when they are first asked for.
    """
    status = manifest.status
    tallies: dict[Key, Tally] = {}
    loaders: dict[str, dict[Any, Any]] = {"spikes": {}, "signals": {}, "traces": {}, "stimulus": {}, "intervals": {}}
    for entry in manifest.streams:
        rows, finding = survey(entry, manifest.finished)
        whole = manifest.finished and finding is None
        if finding is not None:
            notes += (finding,)
            status = "interrupted" if status == "ok" else status
        if entry.group not in ("stimulus", "intervals"):
            tallies[entry.key] = Tally(rows, entry.disorder, entry.repeats)
        load: Callable[..., Any] = _LOADERS[entry.kind]
        key = entry.key if entry.group == "traces" else entry.node
        column = partial(load, entry, partial(columns, entry, whole))
        loaders[entry.group][key] = partial(guarded, column, path)
    if not manifest.finished:
        count = sum(tally.rows for (_, variable), tally in tallies.items() if variable == "spikes")
        what = "what the manifest said is lost" if any(n.field == MANIFEST for n in notes) else "it was never finished"
        reason = f"{what}; {count} events came back"
        notes += (Finding(level="note", node="", field="status", reason=reason),)
    intervals = np.empty(0, INTERVAL)
    for load in loaders["intervals"].values():
        try:
            intervals = load()
        except FormatError as error:  # the spikes are worth reading all the same
            notes += (Finding(level="note", node="", field="intervals", reason=error.message),)
            status = "interrupted" if status == "ok" else status
    return {
        "header": attrs.evolve(manifest.header, stimulus=Lazy(loaders["stimulus"])),
        "spikes": Lazy(loaders["spikes"]),
        "signals": Lazy(loaders["signals"]),
        "traces": Lazy(loaders["traces"]),
        "stats": dict(manifest.stats),
        "intervals": intervals,
        "diagnostics": manifest.diagnostics + notes,
        "status": status,
        "tallies": tallies,
        "path": path,
    }


def _survey(directory: Path, entry: StreamEntry, finished: bool) -> tuple[int, Finding | None]:
    """How many rows of a stream can be read, and what is missing."""
    path = directory / entry.file
    size = path.stat().st_size if path.is_file() else -1
    if finished and size >= entry.bytes:
        return entry.rows, None
    if size < 0 and not finished:
        return 0, None  # not one batch of it was written
    state, _ = arrow.scan(path)
    if not finished and not state.fault:
        return state.rows, None
    expected = f" of {entry.rows}" if finished else ""
    reason = f"{entry.file}: {state.rows}{expected} rows came back; after byte {state.good_bytes} it cannot be read"
    return state.rows, Finding(
        level="note",
        node=entry.node,
        field=entry.variable,
        reason=f"{reason} ({state.fault or 'the file ends'})",
        wanted=entry.rows if finished else None,
        realised=state.rows if finished else None,
    )


def _columns(directory: Path, verify: bool, entry: StreamEntry, whole: bool, names: tuple[str, ...]) -> Columns:
    path = directory / entry.file
    sha256 = entry.sha256 if verify and whole else None
    if path.suffix != ".parquet":
        return arrow.load(path, names, sha256)
    from hal.exchange import parquet

    return parquet.load(path, names, sha256)


Read = Callable[[tuple[str, ...]], Columns]


def _load_events(_: StreamEntry, read: Read) -> Records:
    return _table(read(("t", "index")), EVENT)


def _load_signal(entry: StreamEntry, read: Read) -> Signal:
    columns = read(("t", "values"))
    if not columns:
        return Signal(np.empty(0, np.int64), np.empty((0, int(np.prod(entry.shape, dtype=np.int64)))))
    return Signal(columns["t"], columns["values"])


def _load_intervals(_: StreamEntry, read: Read) -> Records:
    return _table(read(INTERVAL.names or ()), INTERVAL)


def _table(columns: Columns, dtype: np.dtype[Any]) -> Records:
    """Columns as records; no column where no batch was written."""
    out = np.empty(len(next(iter(columns.values()))) if columns else 0, dtype)
    for name, column in columns.items():
        out[name] = column
    return out


_LOADERS: Final = {"events": _load_events, "signal": _load_signal, "intervals": _load_intervals}
