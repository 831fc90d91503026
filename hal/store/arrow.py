"""Append-only Arrow IPC stream files: what is written survives a kill, and a torn tail costs one batch."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import nanoarrow as na
import numpy as np
from nanoarrow.ipc import InputStream
from numpy.typing import NDArray

from hal.errors import FormatError, WriteError
from hal.store.beside import Checksum

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""The marker that closes an Arrow IPC stream: continuation word and a message of length zero (Arrow columnar format,
"IPC Streaming Format"). A file without it was not closed."""

TAIL_BYTES = 1 << 26
"""Bytes of a growing file that are looked at in one go; batches are much smaller."""

Columns: TypeAlias = Mapping[str, NDArray[Any]]


_FLOATS = {"float": "float32", "double": "float64"}
"""Arrow's names of floating-point types; those of integers are numpy's."""


def column_schema(array: NDArray[Any]) -> Any:
    """The Arrow type of a column: numbers (n,), float rows (n, width) as fixed-size lists, or text."""
    if array.dtype.kind == "U":
        return na.string(nullable=False)
    kinds: dict[str, Callable[..., Any]] = {
        "int64": na.int64,
        "int32": na.int32,
        "uint32": na.uint32,
        "float64": na.float64,
        "float32": na.float32,
    }
    scalar = kinds[array.dtype.name](nullable=False)
    return scalar if array.ndim == 1 else na.fixed_size_list(scalar, array.shape[1], nullable=False)


def _column(schema: Any, array: NDArray[Any]) -> Any:
    """One column as an Arrow array that borrows the numpy buffer."""
    if array.dtype.kind == "U":
        return na.c_array(array.tolist(), schema)
    flat = np.ascontiguousarray(array)
    if array.ndim == 1:
        return na.c_array_from_buffers(schema, len(flat), [None, flat], null_count=0)
    values = na.c_array_from_buffers(column_schema(flat[0]), flat.size, [None, flat.reshape(-1)], null_count=0)
    return na.c_array_from_buffers(schema, len(flat), [None], null_count=0, children=[values], move=True)


class StreamWriter:
    """One Arrow IPC stream file, written a whole batch at a time and without a buffer between us and the system.

    Args:
        path: the file, which must not exist.
        columns: empty or filled arrays whose names, dtypes and widths become the schema.
        metadata: text by key, kept in the schema.
    """

    def __init__(self, path: Path, columns: Columns, metadata: Mapping[str, str]) -> None:
        self.path = path
        self.rows = 0
        self.batches = 0
        self.bytes = 0
        self._names = tuple(columns)
        self._types = tuple(na.c_schema(column_schema(column)) for column in columns.values())
        fields = {name: column_schema(column) for name, column in columns.items()}
        schema = na.Schema(na.struct(fields, nullable=False), metadata=dict(metadata))
        self._schema = na.c_schema(schema)
        self._digest = Checksum()
        self._broken = False
        try:
            self._file = open(path, "xb", buffering=0)  # noqa: SIM115 - lives as long as the run
        except OSError as error:
            raise self._error(error) from error
        self._write(schema.serialize())

    def append(self, *columns: NDArray[Any]) -> None:
        """Write one batch of equally long columns, in the order of the schema. An empty batch is not written.

        Raises WriteError when the system refuses; the file then ends with the last complete batch.
        """
        length = len(columns[0])
        if not length:
            return
        parts = [_column(schema, column) for schema, column in zip(self._types, columns, strict=True)]
        batch = na.c_array_from_buffers(self._schema, length, [None], null_count=0, children=parts, move=True)
        self._write(na.Array(batch).serialize())
        self.rows += length
        self.batches += 1

    def finish(self) -> None:
        """Write the end marker and close."""
        if not self._file.closed:
            self._write(END_OF_STREAM)
            self._file.close()

    def close(self) -> None:
        """Close without the end marker: the file then counts as interrupted. Never raises."""
        with contextlib.suppress(OSError):
            self._file.close()

    @property
    def sha256(self) -> str:
        """Checksum of everything written so far."""
        return self._digest.hexdigest()

    def _write(self, message: bytes) -> None:
        view = memoryview(message)
        try:
            if self._broken:
                raise OSError(errno.EIO, "its end could not be repaired after a failed write")
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            self._drop_tail()
            raise self._error(error) from error
        except BaseException:  # Ctrl-C in the middle of a write
            self._drop_tail()
            raise
        self._digest.update(message)
        self.bytes += len(message)

    def _drop_tail(self) -> None:
        """Cut off a half-written batch, so that whatever follows can be read."""
        try:
            self._file.truncate(self.bytes)
            self._file.seek(self.bytes)
        except (OSError, ValueError):
            self._broken = True

    def _error(self, error: OSError) -> WriteError:
        return WriteError(
            f"cannot write {self.path}: {error.strerror or error}; {self.rows} rows of it are safe",
            hint="free space or record to another disk; what is safe reads back with hal.read_recording",
            file=str(self.path),
            rows_safe=self.rows,
            reason=str(error),
        )


@attrs.frozen(kw_only=True)
class StreamState:
    """What a stream file holds: complete batches, and how it ends.

    rows, batches: in complete batches. good_bytes: up to the end of the last of them. size: of the file.
    closed: the end marker was read. fault: what the reader said about the rest, empty where nothing is wrong.
    """

    rows: int
    batches: int
    good_bytes: int
    size: int
    closed: bool
    fault: str

    @property
    def lost_bytes(self) -> int:
        """Bytes after the last complete batch that could not be read."""
        return self.size - self.good_bytes - (len(END_OF_STREAM) if self.closed else 0)


class StreamReader:
    """The complete batches of a stream file, in order; iterate, then look at `state`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata: dict[str, str] = {}
        self.state = StreamState(rows=0, batches=0, good_bytes=0, size=0, closed=False, fault="not read yet")

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        try:
            with open(self.path, "rb") as file:
                yield from self._batches(file)
        except FileNotFoundError:
            self.state = attrs.evolve(self.state, fault="the file is missing")
        except OSError as error:
            self.state = attrs.evolve(self.state, fault=f"the file cannot be opened: {error.strerror or error}")

    def _batches(self, file: io.BufferedReader) -> Iterator[dict[str, NDArray[Any]]]:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        rows = batches = good = 0
        fault = ""
        source = InputStream.from_readable(file)
        try:
            with na.c_array_stream(source) as stream:
                schema = na.Schema(stream.get_schema())
                self.metadata = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
                names = [field.name for field in schema.fields]
                good = file.tell()
                while (batch := _next(stream)) is not None:
                    columns = _columns(batch, names)
                    rows, batches, good = rows + batch.length, batches + 1, file.tell()
                    yield columns
        except (na._utils.NanoarrowException, ValueError) as error:
            fault = str(error)
        file.seek(good)
        closed = file.read(len(END_OF_STREAM)) == END_OF_STREAM
        if not fault and good + (len(END_OF_STREAM) if closed else 0) < size:
            fault = "bytes follow the end of the stream"
        self.state = StreamState(
            rows=rows, batches=batches, good_bytes=good, size=size, closed=closed and not fault, fault=fault
        )


class Tail:
    """A stream file that another process is writing: gives every complete batch once, as they come.

    closed: the end marker was read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.closed = False
        self._schema = b""
        self._good = 0

    def new(self) -> Iterator[dict[str, NDArray[Any]]]:
        """The batches that were completed since the last call; none while there is no file."""
        try:
            with open(self.path, "rb") as file:
                while not self.closed:
                    file.seek(self._good)
                    found = self._complete(file.read(TAIL_BYTES))
                    if not found:
                        return
                    yield from found
        except FileNotFoundError:
            return

    def _complete(self, data: bytes) -> list[dict[str, NDArray[Any]]]:
        """Batches at the start of `data`; a half-written one waits for the next call."""
        source = io.BytesIO(self._schema + data)
        known = end = len(self._schema)
        found = []
        try:
            with na.c_array_stream(InputStream.from_readable(source)) as stream:
                names = [field.name for field in na.Schema(stream.get_schema()).fields]
                end = source.tell()
                self._schema = self._schema or data[:end]
                while (batch := _next(stream)) is not None:
                    found.append(_columns(batch, names))
                    end = source.tell()
        except (na._utils.NanoarrowException, ValueError):
            pass  # the rest is not complete yet
        self._good += end - known
        self.closed = data[end - known :].startswith(END_OF_STREAM)
        return found


def _next(stream: Any) -> Any:
    """The next batch, or None at the end."""
    try:
        return stream.get_next()
    except StopIteration:
        return None


def _columns(batch: Any, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """A batch as numpy arrays of their own: the library's views do not keep the batch alive."""
    view = batch.view()
    return {name: _array(view.child(place)) for place, name in enumerate(names)}


def _array(view: Any) -> NDArray[Any]:
    """A copy of one column."""
    if view.storage_type == "fixed_size_list":
        values = _array(view.child(0))
        return values.reshape(view.length, values.size // view.length if view.length else 0)
    if view.storage_type == "string":
        offsets = np.frombuffer(view.buffer(1), np.int32)[: view.length + 1]
        text = bytes(view.buffer(2))
        return np.array([text[a:b].decode() for a, b in itertools.pairwise(offsets)], np.str_)
    dtype = np.dtype(_FLOATS.get(view.storage_type, view.storage_type)).newbyteorder("<")
    return np.frombuffer(view.buffer(1), dtype)[: view.length].copy()


def scan(path: Path) -> tuple[StreamState, dict[str, str]]:
    """Count what a stream file holds, one batch in memory at a time; and its metadata."""
    reader = StreamReader(path)
    for _ in reader:
        pass
    return reader.state, reader.metadata


def load(path: Path, names: Sequence[str], sha256: str | None = None) -> dict[str, NDArray[Any]]:
    """The named columns of every complete batch, joined; an empty dictionary where there is no batch.

    sha256: what the whole file must have, or None to take what is there.
    Raises FormatError when the checksum differs or a column is missing.
    """
    if sha256 is not None:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            raise FormatError(
                f"{path} is not what was recorded: its checksum differs from the manifest's",
                hint="read_recording(path, verify=False) gives what can still be read",
                path=str(path),
                expected=sha256,
                found=found,
            )
    chunks = list(StreamReader(path))
    if not chunks:
        return {}
    missing = [name for name in names if name not in chunks[0]]
    if missing:
        raise FormatError(f"{path} has no column {', '.join(missing)}", path=str(path), columns=list(chunks[0]))
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in names}
