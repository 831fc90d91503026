"""Recordings for everyone's tools: NIR data, HDF5 and Parquet."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
from numpy.typing import NDArray

from hal.errors import ConfigError, WriteError
from hal.events import Signal
from hal.paths import as_path
from hal.store.archive import stream_entries
from hal.store.manifest import INTERVAL, Manifest, StreamEntry, Tally

if TYPE_CHECKING:
    from hal.recording import Recording

FORMATS: Final = {
    "nir": "hal.exchange.nirdata",
    "hdf5": "hal.exchange.hdf5",
    "parquet": "hal.exchange.parquet",
}
"""Formats of recordings, and the modules that write them: `write(recording, path)`, to a path that is free."""


def export_recording(recording: Recording, path: str | Path, to: str) -> Path:
    """Write a recording in a format of other tools; gives where it lies.

    hdf5: one file with all but the mapping, a group per column. parquet: a new directory with the same, a file per
    column (extra `parquet`). `hal.read_recording` reads both back equal. nir: NIR data (nir >= 1.0.8), events and
    values per node in seconds; counters, intervals, diagnostics and the stimulus have no place in it.

    Raises:
        ConfigError: an unknown format, a path that is taken, or a recording that the format cannot hold.
        OptionalDependencyError: the extra is missing. WriteError: the disk refuses; then nothing is left behind.
        FormatError: the recording is damaged.
    """
    from hal.recording import Recording

    if not isinstance(recording, Recording):
        hint = "hal.read_recording reads a saved one; hal.export takes mappings"
        raise ConfigError("export_recording takes a recording", value=type(recording).__name__, hint=hint)
    check_format(to)
    path = as_path(path, "export_recording")
    if os.path.lexists(path):
        raise ConfigError(f"{path} exists; an export overwrites nothing", hint="give another name", path=str(path))
    write: Callable[[Recording, Path], None] = import_module(FORMATS[to]).write
    with _whole_or_none(path) as partial:
        write(recording, partial)
    return path


def check_format(to: str) -> None:
    """Refuse an unknown format."""
    if to not in FORMATS:
        near = get_close_matches(str(to), FORMATS, n=1)
        advice = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"recordings are not exported to {to!r}", hint=f"{advice}one of {', '.join(FORMATS)}")


@contextlib.contextmanager
def _whole_or_none(path: Path) -> Iterator[Path]:
    """A place beside the target, which is put there once it is written, and removed when that fails."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if os.path.lexists(path):
            raise FileExistsError("another program has written it meanwhile")
        partial.rename(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            shutil.rmtree(partial) if partial.is_dir() else partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, WriteError):
            hint = "free space or export to another disk; the recording itself is untouched"
            raise WriteError(f"cannot write {path}: {error.strerror or error}", hint=hint, file=str(path)) from error
        raise


def described(recording: Recording) -> Manifest:
    """What the columns of a recording are, without what depends on how they are stored."""
    header = recording.header
    values = {(output, "output"): signal for output, signal in recording.signals.items()} | dict(recording.traces)
    widths = {key: signal.values.shape[1] for key, signal in values.items()}
    entries = stream_entries(header, {(node, "spikes"): 0 for node in header.nodes} | widths)
    streams = []
    for entry in entries.values():
        rows = len(next(iter(columns(recording, entry).values())))
        # what is fed in may be called like what comes out, and has no tally
        tally = Tally() if entry.group == "stimulus" else recording.tallies.get(entry.key, Tally())
        stem = entry.file.removesuffix(".arrows")
        streams.append(attrs.evolve(entry, file=stem, rows=rows, disorder=tally.disorder, repeats=tally.repeats))
    return Manifest(
        header=header,
        status=recording.status,
        finished=True,
        streams=tuple(streams),
        stats=recording.stats,
        diagnostics=recording.diagnostics,
    )


def columns(recording: Recording, entry: StreamEntry) -> dict[str, NDArray[Any]]:
    """The columns of one stream, by name."""
    if entry.group == "intervals":
        return {name: recording.intervals[name] for name in INTERVAL.names or ()}
    key: Any = entry.key if entry.group == "traces" else entry.node
    data = getattr(recording, entry.group)[key]
    if isinstance(data, Signal):
        return {"t": data.t, "values": data.values}
    return {"t": data["t"], "index": data["index"]}
