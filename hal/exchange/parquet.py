"""Recordings as Parquet: the directory of a recording whose streams are Parquet files (extra `parquet`, pyarrow).

manifest.json                as in a recording
spikes/NODE.parquet          t (int64, ns), index (uint32)
signals/OUTPUT.parquet       t, values (a list of one length per row); traces and stimulus likewise
intervals.parquet            what, core, t0, t1
"""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.errors import FormatError, OptionalDependencyError
from hal.exchange import columns, described
from hal.store.manifest import header_metadata, stream_metadata

if TYPE_CHECKING:
    from hal.recording import Recording


def write(recording: Recording, directory: Path) -> None:
    """Make the directory. Raises OptionalDependencyError, OSError."""
    pa, pq = _pyarrow("writing Parquet")
    manifest = described(recording)
    shared = header_metadata(manifest.header)
    directory.mkdir()
    streams = []
    for entry in manifest.streams:
        entry = attrs.evolve(entry, file=f"{entry.file}.parquet")
        path = directory / entry.file
        path.parent.mkdir(exist_ok=True)
        arrays = {name: _to_arrow(pa, column) for name, column in columns(recording, entry).items()}
        table = pa.table(arrays).replace_schema_metadata(shared | stream_metadata(entry))
        pq.write_table(table, path, compression="zstd")
        data = path.read_bytes()
        streams.append(attrs.evolve(entry, bytes=len(data), sha256=hashlib.sha256(data).hexdigest()))
    attrs.evolve(manifest, streams=tuple(streams)).write(directory)


def load(path: Path, names: tuple[str, ...], sha256: str | None) -> dict[str, NDArray[Any]]:
    """The named columns of a file. Raises FormatError where it is damaged, OptionalDependencyError."""
    pa, pq = _pyarrow(f"reading {path}")
    try:
        if sha256 is not None and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            raise FormatError(
                f"{path} is not what was exported: its checksum differs from the manifest's",
                hint="read_recording(path, verify=False) gives what can still be read",
                path=str(path),
            )
        table = pq.read_table(path)
        return {name: _from_arrow(table.column(name).combine_chunks(), name) for name in names}
    except (OSError, pa.ArrowException, KeyError) as error:
        raise FormatError(f"{path} cannot be read as Parquet: {error}", path=str(path)) from error


def _pyarrow(doing: str) -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise OptionalDependencyError(
            f"{doing} takes the package pyarrow",
            hint="pip install 'neurohal[parquet]' (or: pip install pyarrow)",
            package="pyarrow",
        ) from error


def _to_arrow(pa: Any, column: NDArray[Any]) -> Any:
    if column.ndim == 1:
        return pa.array(column.tolist(), pa.string()) if column.dtype.kind == "U" else pa.array(column)
    if not column.shape[1]:
        # Parquet has no lists of length 0
        return pa.nulls(len(column), pa.from_numpy_dtype(column.dtype))
    kind = pa.list_(pa.from_numpy_dtype(column.dtype), column.shape[1])
    return pa.FixedSizeListArray.from_arrays(pa.array(column.reshape(-1)), type=kind)


def _from_arrow(column: Any, name: str) -> NDArray[Any]:
    kind = column.type
    if name == "values" and not hasattr(kind, "list_size"):
        return np.empty((len(column), 0), kind.to_pandas_dtype())
    if hasattr(kind, "list_size"):
        values: NDArray[Any] = column.flatten().to_numpy(zero_copy_only=False)
        return values.reshape(len(column), kind.list_size)
    array: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return array.astype(np.str_) if array.dtype == object else array
