"""Recordings as one HDF5 file.

    recording                    text: a JSON object, as in the manifest of a recording; `streams` says whose is what
    spikes/NODE/t, index         int64 ns, uint32; signals/OUTPUT/t, values; traces and stimulus likewise
    intervals/what, core, t0, t1

Groups carry the attributes node, variable and shape. Only what lies in the file itself is read.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from hal.errors import FormatError
from hal.exchange import columns, described
from hal.fit import Finding
from hal.nir.data import member, stored_array
from hal.store.manifest import Manifest, StreamEntry, to_text
from hal.store.readback import assembled, guarded

if TYPE_CHECKING:
    from hal.recording import Recording

ABOUT: Final = "recording"
MAGIC: Final = b"\x89HDF\r\n\x1a\n"
_CHUNK_ROWS: Final = 1 << 16
_KINDS: Final = {"t": ("i", 1), "index": ("u", 1), "values": ("f", 2), "what": ("S", 1), "core": ("i", 1)}
_FAULTS: Final = (OSError, RuntimeError, KeyError, ValueError, TypeError)


def write(recording: Recording, path: Path) -> None:
    """Make the file. Raises OSError."""
    manifest = described(recording)
    with made_in_memory(path) as file:
        file.create_dataset(ABOUT, data=to_text(manifest.to_json()), dtype=h5py.string_dtype())
        for entry in manifest.streams:
            group = file.create_group(entry.file)
            group.attrs["node"], group.attrs["variable"] = entry.node, entry.variable
            group.attrs["shape"] = np.array(entry.shape, np.int64)
            for name, column in columns(recording, entry).items():
                _put(group, name, column)


@contextlib.contextmanager
def made_in_memory(path: Path) -> Iterator[h5py.File]:
    """A file that is written out once it is complete: libhdf5 (2.0) crashes where the disk refuses in between."""
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        yield file
    path.write_bytes(image.getbuffer())


def _put(group: h5py.Group, name: str, column: NDArray[Any]) -> None:
    if column.dtype.kind == "U":
        column = np.char.encode(column, "utf-8") if len(column) else np.empty(0, "S1")
    packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if column.size > 1000 else {}
    if packed:
        packed["chunks"] = (min(len(column), _CHUNK_ROWS), *column.shape[1:])
    group.create_dataset(name, data=column, **packed)


def contents(path: Path) -> dict[str, Any]:
    """The fields of the recording in a file; columns are read when first used. Raises FormatError."""
    with open(path, "rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise FormatError(
                f"{path} is no recording: it is a file, and not HDF5",
                hint="a recording is a directory with a manifest.json, or an HDF5 file that was exported from one",
                path=str(path),
            )
    return guarded(partial(_contents, path), path)


def _contents(path: Path) -> dict[str, Any]:
    try:
        with h5py.File(path, "r") as file:
            if ABOUT not in file:
                raise FormatError(f"{path} is HDF5 and no recording: it has no {ABOUT!r}", path=str(path))
            about = member(file, ABOUT, path)
            if not isinstance(about, h5py.Dataset) or about.shape != () or h5py.check_string_dtype(about.dtype) is None:
                raise FormatError(f"{path}: {ABOUT!r} is no text", path=str(path))
            manifest = Manifest.from_json(json.loads(about[()]))
    except _FAULTS as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path} cannot be read as a recording: {error}", path=str(path)) from error
    return assembled(path, manifest, (), _survey, partial(_columns, path))


def _survey(entry: StreamEntry, _: bool) -> tuple[int, Finding | None]:
    return entry.rows, None


def _columns(path: Path, entry: StreamEntry, _: bool, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    try:
        with h5py.File(path, "r") as file:
            group = file
            for part in entry.file.split("/"):
                group = member(group, part, path)
            found = {name: stored_array(group, name, path, *_KINDS.get(name, ("i", 1))) for name in names}
    except _FAULTS as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: {entry.file} cannot be read: {error}", path=str(path)) from error
    if wrong := {name: len(column) for name, column in found.items() if len(column) != entry.rows}:
        raise FormatError(f"{path}: {entry.file} has {wrong} rows, {entry.rows} were exported", path=str(path))
    return {name: np.char.decode(c, "utf-8") if c.dtype.kind == "S" else c for name, c in found.items()}
