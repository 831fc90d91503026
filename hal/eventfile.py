"""Reads event files as they are: NumPy, CSV, cameras' formats, NIR data, recordings.

What they mean for a port is `hal.stimulus`.
"""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.errors import FormatError
from hal.events import I64, Signal
from hal.paths import as_path
from hal.store.manifest import MANIFEST

READABLE: Final = (
    "readable are: .npy (fields t, x, y, p or t, index; or a raster (T, ...)), .npz, .csv with a header line, "
    "Event Stream (.es), Prophesee DAT and RAW (EVT 2.0, EVT 3.0), AEDAT 4, NIR data (.h5, .nir), and the directory of "
    "a recording"
)
_OTHER_FORMATS: Final = {".bin": "N-MNIST binary", ".mat": "MATLAB"}
XYTP: Final = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
"""Events of cameras' formats."""


class EventFileWarning(UserWarning):
    """Something is wrong with an event file, and what could be read of it was read."""


_COLUMNS: Final = ("t", "x", "y", "p", "on", "polarity", "index")
_WORDS: Final = {"true": 1, "false": 0, "on": 1, "off": 0}
_NUMPY_FAULTS: Final = (ValueError, EOFError, OSError, MemoryError, SyntaxError, zipfile.BadZipFile, zlib.error)


@attrs.frozen(kw_only=True, eq=False)
class EventFile:
    """What a file holds, unchanged, and what it says about itself.

    Attributes:
        path, format: where it lies; "npy", "npz", "csv", "event stream", "dat", "evt2", "evt3", "aedat4", "nir data"
        or "recording".
        array: events as a structured array with the file's own fields, or rows of numbers (T, ...).
        unit: of the field t: "ns", "us", "s", or None where the file does not say.
        origin: the corner where x and y are 0, "top-left" or "bottom-left"; None where the file does not say.
        step_ns: length of a row, where the file says. t: (T,) ns, the rows' times, where it has them.
        facts: what else it says, such as width, height, size (number of channels), t_max_s.
        notes: what is wrong with it; reading it warned of each.
    """

    path: Path
    format: str
    array: NDArray[Any]
    unit: str | None = None
    step_ns: int | None = None
    t: I64 | None = None
    facts: Mapping[str, Any] = attrs.field(factory=dict)
    origin: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_events(self) -> bool:
        """Structured events, not rows of numbers."""
        return self.array.dtype.names is not None


def read_events(
    path: str | Path, *, name: str | None = None, sample: int | None = None, prefer: str | None = None
) -> EventFile:
    """Read a file as it is, told apart by its content, CSV by its suffix.

    Warns (EventFileWarning) where a camera's file is damaged and a part of it was read; its `notes` say the same.

    Args:
        path: a file, or the directory of a recording.
        name: which array, observable ("node/observable"), stream or port, in a file with several.
        sample: which sample, in NIR data with several.
        prefer: taken where `name` is not given, there are several, and one is called so.

    Raises:
        FormatError: missing, broken, not one of the formats, or several and none chosen.
        OptionalDependencyError: AEDAT 4 without the extra `events`.
    """
    file = _read(path, name, sample, prefer)
    for note in file.notes:
        warnings.warn(f"{file.path}: {note}", EventFileWarning, stacklevel=2)
    return file


def _read(path: str | Path, name: str | None, sample: int | None, prefer: str | None) -> EventFile:
    path = as_path(path, "read_events")
    if path.is_dir():
        return _read_recording(path, name, prefer)
    if not path.is_file():
        fault = "is no ordinary file" if path.exists() else "does not exist"
        raise FormatError(f"{path} {fault}", path=str(path))
    with open(path, "rb") as file:
        start = file.read(12)
    if start.startswith(b"\x93NUMPY"):
        return EventFile(path=path, format="npy", array=_load(path)[""])
    if start.startswith(b"PK\x03\x04"):
        return _read_npz(path, name, prefer)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        from hal.nir.data import read_nir_data

        return read_nir_data(path, name, sample, prefer)
    camera = _read_camera(path, start, name)
    if camera is not None:
        return camera
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return _read_csv(path)
    what = _OTHER_FORMATS.get(suffix)
    raise FormatError(
        f"{path}: {what} files are not read" if what else f"{path} is in no format that can be read",
        hint=f"{READABLE}; convert it, for instance to a structured .npy" if what else READABLE,
        path=str(path),
        suffix=suffix,
    )


def _read_camera(path: Path, start: bytes, name: str | None) -> EventFile | None:
    """A file of an event camera, by its first bytes; None where it is something else."""
    from hal.cameras import aedat, eventstream, prophesee

    if start.startswith(eventstream.MAGIC):
        return eventstream.read_event_stream(path)
    if start.startswith(aedat.MAGIC):
        return aedat.read_aedat(path, name)
    if start.startswith(prophesee.MAGIC) and path.suffix.lower() != ".csv":
        return prophesee.read_prophesee(path)
    return None


def choose(names: Sequence[str], name: str | None, prefer: str | None, path: Path, what: str) -> str:
    """The one that is meant among several."""
    if name is not None:
        if name in names:
            return name
        raise FormatError(
            f"{path} has no {what} {name!r}", hint=f"it has {', '.join(names) or 'none'}", names=list(names)
        )
    if len(names) == 1:
        return names[0]
    if prefer is not None and prefer in names:
        return prefer
    raise FormatError(
        f"{path} holds {len(names)} of {what}, and none was chosen" if names else f"{path} holds no {what}",
        hint=f"give name= one of {', '.join(names)}" if names else "",
        path=str(path),
        names=list(names),
    )


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays by name, without pickles; a lone array has the name ""."""
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            members = {"": loaded} if isinstance(loaded, np.ndarray) else {key: loaded[key] for key in loaded.files}
    except _NUMPY_FAULTS as error:
        raise FormatError(f"{path} cannot be read as NumPy data: {error}", path=str(path)) from error
    return {key: array for key, array in members.items() if isinstance(array, np.ndarray)}


def _read_npz(path: Path, name: str | None, prefer: str | None) -> EventFile:
    """One array; or the columns t, x, y, p (or t, index) as arrays of their own, with width and height beside them."""
    arrays = _load(path)
    columns = {key: array for key, array in arrays.items() if key in _COLUMNS and array.ndim == 1}
    if name is None and "t" in columns and len(columns) > 1:
        lengths = {key: len(array) for key, array in columns.items()}
        if len(set(lengths.values())) > 1:
            raise FormatError(f"{path}: columns differ in length", path=str(path), lengths=lengths)
        facts = {key: int(array) for key, array in arrays.items() if array.ndim == 0 and array.dtype.kind in "iu"}
        return EventFile(path=path, format="npz", array=_table(columns), facts=facts)
    key = choose(list(arrays), name, prefer, path, "arrays")
    return EventFile(path=path, format="npz", array=arrays[key], facts={"name": key})


def _table(columns: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Columns as one structured array."""
    out = np.empty(len(next(iter(columns.values()))), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        out[name] = column
    return out


def _read_recording(path: Path, name: str | None, prefer: str | None) -> EventFile:
    """What a recorded run was fed with."""
    from hal.recording import read_recording

    if not (path / MANIFEST).exists() and not any(path.rglob("*.arrows")):
        raise FormatError(f"{path} is a directory and no recording", hint=READABLE, path=str(path))
    stimulus = read_recording(path).stimulus
    port = choose(list(stimulus), name, prefer, path, "recorded stimuli")
    data = stimulus[port]
    if isinstance(data, Signal):
        return EventFile(path=path, format="recording", array=data.values, t=data.t, facts={"name": port})
    return EventFile(path=path, format="recording", array=data, unit="ns", facts={"name": port})


def _read_csv(path: Path) -> EventFile:
    """Comma-separated columns under a line that names them."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            number, header = next(((n, line) for n, line in enumerate(file) if line.strip()), (0, ""))
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is not text: {error}", path=str(path)) from error
    names = [name.strip().strip("\"'").lower() for name in header.strip().lstrip("#").split(",")]
    if not any(name in _COLUMNS for name in names) or any(_is_number(name) for name in names):
        raise FormatError(
            f"{path} does not say what its columns are",
            hint="the first line must name them, such as t,x,y,p or t,index",
            path=str(path),
            first_line=header.strip()[:80],
        )
    if len(set(names)) < len(names):
        raise FormatError(f"{path}: column names repeat", path=str(path), names=names)
    columns = _csv_columns(path, number + 1, names)
    return EventFile(path=path, format="csv", array=_table(columns), facts={"columns": names})


def _csv_columns(path: Path, skip: int, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Each column as integers, else as floats, else as words for on and off; other columns only if all are integers."""
    try:
        table = _loadtxt(path, skip, np.int64, None)
        if table.shape[1] == len(names) or not table.size:
            return {name: table.reshape(-1, len(names))[:, place] for place, name in enumerate(names)}
        raise FormatError(
            f"{path}: {table.shape[1]} values per row under {len(names)} names", path=str(path), names=list(names)
        )
    except ValueError as error:
        if isinstance(error, FormatError):
            raise
    tries: list[Callable[[int], NDArray[Any]]] = [
        lambda place: _loadtxt(path, skip, np.int64, place)[:, 0],
        lambda place: _loadtxt(path, skip, np.float64, place)[:, 0],
        lambda place: _words(_loadtxt(path, skip, np.dtype("U16"), place)[:, 0]),
    ]
    return {name: _first_that_works(tries, place, name, path) for place, name in enumerate(names) if name in _COLUMNS}


def _first_that_works(
    tries: Sequence[Callable[[int], NDArray[Any]]], place: int, name: str, path: Path
) -> NDArray[Any]:
    message = ""
    for attempt in tries:
        try:
            return attempt(place)
        except ValueError as error:
            message = message or str(error)
    hint = "rows are counted after the header, from 0; numbers stand without quotes"
    raise FormatError(f"{path}, column {name}: {message}", hint=hint, path=str(path), column=name)


def _loadtxt(path: Path, skip: int, dtype: Any, place: int | None) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a file with a header and no rows is an empty stimulus
        return np.loadtxt(
            path, dtype, delimiter=",", skiprows=skip, usecols=place, ndmin=2, comments=None, encoding="utf-8-sig"
        )


def _words(column: NDArray[Any]) -> NDArray[Any]:
    try:
        return np.array([_WORDS[word.strip().lower()] for word in column.tolist()], np.int8)
    except KeyError as error:
        raise ValueError(f"{error} is neither a number nor one of {', '.join(_WORDS)}") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
