"""Reads NIR data files (HDF5, written by nir >= 1.0.8): events and sampled values per node, times in seconds.

Only what lies in the file itself is read: links to elsewhere, external storage and virtual datasets are refused, since
they would read other files of the user as data.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from hal.errors import FormatError
from hal.eventfile import EventFile, choose

MAX_BYTES: Final = 4 << 30
"""Largest array that is read; a few bytes of a compressed file can claim any size."""
MAX_NESTING: Final = 32
"""Levels of graphs inside graphs."""
_OBSERVABLES: Final = ("EventData", "TimeGriddedData", "ValuedEventData")


def read_nir_data(path: Path, name: str | None, sample: int | None, prefer: str | None) -> EventFile:
    """One observable of a NIR data file: events (fields t in s, index) or rows (T, n).

    name: "node/observable", or a node with one observable. Raises FormatError.
    """
    try:
        with h5py.File(path, "r") as file:
            if _type(file) is None:
                model = " (it is a NIR model)" if "node" in file else ""
                model = " (it is a recording: hal.read_recording)" if "recording" in file else model
                raise FormatError(f"{path} is HDF5 but not NIR data{model}", path=str(path))
            found = dict(_observables(file, "", path, 0))
            group = found[_chosen(list(found), name, prefer, path)]
            if _type(group) == "TimeGriddedData":
                return _gridded(group, sample, path)
            return _events(group, sample, path)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path} cannot be read as NIR data: {error}", path=str(path)) from error


def _chosen(names: list[str], name: str | None, prefer: str | None, path: Path) -> str:
    """A name may be cut short to the node where that has one observable."""
    wanted = prefer if name is None else name
    of_node = [full for full in names if full.rpartition("/")[0] == wanted]
    if wanted is not None and wanted not in names and len(of_node) == 1:
        return of_node[0]
    return choose(names, name, prefer, path, "observables")


def _type(group: h5py.Group) -> str | None:
    value = group.attrs.get("__type__")
    return value.decode() if isinstance(value, bytes) else value if isinstance(value, str) else None


def member(group: h5py.Group, name: str, path: Path) -> Any:
    """A member that lies in this very file."""
    link = group.get(name, getlink=True)
    if link is None:
        raise FormatError(f"{path}: {group.name} has no {name!r}", path=str(path))
    if not isinstance(link, h5py.HardLink):
        raise FormatError(
            f"{path}: {group.name}/{name} is a link to elsewhere, which is not followed",
            hint="write the data into the file itself",
            path=str(path),
            link=type(link).__name__,
        )
    return group[name]


def _observables(group: h5py.Group, prefix: str, path: Path, depth: int) -> Iterator[tuple[str, h5py.Group]]:
    """Every observable under a graph or node, as (node/observable, group)."""
    if depth > MAX_NESTING:
        raise FormatError(f"{path}: graphs are nested more than {MAX_NESTING} deep", path=str(path))
    inner = {"NIRGraphData": "nodes", "NIRNodeData": "observables"}.get(_type(group) or "")
    if inner is None:
        raise FormatError(
            f"{path}: {group.name} is of unknown type {_type(group)!r}",
            hint=f"known are NIRGraphData, NIRNodeData, {', '.join(_OBSERVABLES)}",
            path=str(path),
        )
    members = member(group, inner, path)
    for name in members:
        one = member(members, name, path)
        full = f"{prefix}/{name}" if prefix else name
        if _type(one) in _OBSERVABLES:
            yield full, one
        else:
            yield from _observables(one, full, path, depth + 1)


def stored_array(group: h5py.Group, name: str, path: Path, kinds: str, axes: int) -> NDArray[Any]:
    """A dataset stored in the file itself, of the kinds and the number of axes it must have."""
    dataset = member(group, name, path)
    if not isinstance(dataset, h5py.Dataset):
        raise FormatError(f"{path}: {group.name}/{name} is no array", path=str(path))
    if dataset.is_virtual or dataset.external:
        raise FormatError(
            f"{path}: {dataset.name} is stored outside the file, which is not followed",
            hint="write the data into the file itself",
            path=str(path),
        )
    if dataset.dtype.kind not in kinds or dataset.ndim != axes:
        raise FormatError(
            f"{path}: {dataset.name} has dtype {dataset.dtype} and shape {dataset.shape}",
            hint=f"expected {axes} axes and a dtype of kind {', '.join(kinds)}",
            path=str(path),
        )
    if dataset.nbytes > MAX_BYTES:
        raise FormatError(f"{path}: {dataset.name} claims {dataset.nbytes} bytes, limit {MAX_BYTES}", path=str(path))
    array: NDArray[Any] = dataset[()]
    return array


def _sample(array: NDArray[Any], sample: int | None, path: Path) -> NDArray[Any]:
    """One sample; which one must be said where there are several."""
    number = sample if sample is not None else 0
    if (sample is None and len(array) != 1) or not 0 <= number < len(array):
        raise FormatError(
            f"{path} holds {len(array)} samples" + ("" if sample is None else f" and no number {sample}"),
            hint="give sample= a number from 0" if len(array) else "",
            path=str(path),
            samples=len(array),
        )
    one: NDArray[Any] = array[number]
    return one


def _events(group: h5py.Group, sample: int | None, path: Path) -> EventFile:
    """Events of one sample, without the padding of index -1 at time inf."""
    if _type(group) == "ValuedEventData":
        raise FormatError(
            f"{path}: {group.name} holds events with values, and an event carries none",
            hint="convert it to time-gridded data for a signal input",
            path=str(path),
        )
    index = _sample(stored_array(group, "idx", path, "iu", 2), sample, path)
    time = _sample(stored_array(group, "time", path, "f", 2), sample, path)
    if index.shape != time.shape:
        raise FormatError(f"{path}: idx has shape {index.shape}, time {time.shape}", path=str(path))
    padding = (index == -1) & np.isposinf(time)
    out = np.empty(int((~padding).sum()), [("t", "<f8"), ("index", "<i8")])
    out["t"], out["index"] = time[~padding], index[~padding]
    facts = {"size": int(group.attrs["n_neurons"]), "t_max_s": float(group.attrs["t_max"])}
    return EventFile(path=path, format="nir data", array=out, unit="s", facts=facts)


def _gridded(group: h5py.Group, sample: int | None, path: Path) -> EventFile:
    """Rows of one sample, with the step they are apart."""
    rows = _sample(stored_array(group, "data", path, "biuf", 3), sample, path)
    step = float(group.attrs["dt"]) * 1e9
    if not 0 < step < 2**63 or abs(step - round(step)) > 1e-6 * step:
        raise FormatError(
            f"{path}: dt of {group.name} is {step / 1e9} s, which is no whole number of ns", path=str(path)
        )
    return EventFile(path=path, format="nir data", array=rows, step_ns=round(step), facts={"size": rows.shape[1]})
