"""Several stimuli with labels: what a model is compared on, and the files that hold them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal.errors import ConfigError, FormatError, Problem
from hal.events import EVENT, I64, EventBatch, Port, Records, Signal, raster, raster_problems
from hal.intake import duration_problems
from hal.paths import as_path
from hal.recording import read_recording
from hal.stimulus import from_xytp, read_stimulus

if TYPE_CHECKING:
    from hal.model import Model

GRID_NS: Final = 1_000
"""What the end of a sample is rounded to where there are no steps: 1 us."""
COLUMNS: Final = ("t", "index", "x", "y", "p", "on", "polarity")
HINT: Final = (
    "a set of samples is an .npz with t and index (or t, x, y, p) of all events, splits (B + 1) and, if known, labels "
    "(B,) and duration_ns; or with a raster (B, T, ...)"
)
_NUMPY_FAULTS: Final = (ValueError, EOFError, OSError, zipfile.BadZipFile)

Column: TypeAlias = "EventBatch | Sequence[Signal]"


@attrs.frozen(kw_only=True, eq=False)
class Samples:
    """B independent stimuli of one length.

    stimuli: per Input an EventBatch, or B Signals. duration_ns: of every sample. labels: (B,) classes >= 0, or None.
    """

    stimuli: Mapping[str, Column]
    duration_ns: int
    labels: I64 | None = None

    def __len__(self) -> int:
        return len(next(iter(self.stimuli.values()), ()))

    @property
    def events(self) -> int:
        """How many events there are in all."""
        return sum(len(column.events) for column in self.stimuli.values() if isinstance(column, EventBatch))

    def part(self, start: int, stop: int) -> dict[str, Column]:
        """The stimuli of samples start..stop - 1, as `Device.run_batch` takes them."""
        return {
            name: EventBatch.of([column[b] for b in range(start, stop)])
            if isinstance(column, EventBatch)
            else column[start:stop]
            for name, column in self.stimuli.items()
        }


def input_ports(model: Model) -> tuple[Port, ...]:
    """The Inputs of a model, as ports."""
    return tuple(
        Port(name, model.nodes[name].output_shape, "signal" if name in model.semantics.signals else "events")
        for name in model.inputs
    )


def samples(
    stimulus: Any,
    model: Model,
    *,
    labels: ArrayLike | None = None,
    duration_ns: int | None = None,
    unit: str | None = None,
) -> Samples:
    """Make a set of samples of anything that can be run.

    Args:
        stimulus: Samples; the path of a file for a model with one Input; or per Input a path, an event array, a Signal
            or a raster (T, ...) for one sample, an EventBatch, a raster (B, T, ...) or a sequence of B of the former.
        model: whose Inputs these are; its step is that of rasters.
        labels: (B,) classes, integers >= 0; default: those of the file.
        duration_ns: of each sample; default: as the file says, else the last event, rounded up to a step, plus one.
        unit: of times in files (ns, us, ms, s); default: what the file says, else us with x and y, ns with index.

    Raises:
        ConfigError: everything that does not fit the Inputs. FormatError: a file cannot be read.
    """
    said_ns: int | None
    if isinstance(stimulus, Samples):
        found, said_labels, said_ns = dict(stimulus.stimuli), stimulus.labels, stimulus.duration_ns
    else:
        found, said_labels, said_ns = _columns(stimulus, model, unit)
    sizes = {name: len(column) for name, column in found.items()}
    if len(set(sizes.values())) != 1 or 0 in sizes.values():
        raise ConfigError("every Input needs the same number of samples, at least one", samples=sizes)
    count = next(iter(sizes.values()))
    step = model.semantics.dt_ns or GRID_NS
    last = max((_last_ns(column) for column in found.values()), default=-1)
    asked = duration_ns if duration_ns is not None else said_ns
    if asked is None:
        asked = (-(-last // step) + 1) * step if last >= 0 else step
    if asked <= last:
        raise ConfigError("the samples have events after their end", duration_ns=asked, last_ns=last)
    if found_bad := duration_problems(asked, model.semantics.dt_ns, None):
        raise ConfigError("the samples cannot be run for that long", problems=found_bad)
    given = said_labels if labels is None else np.asarray(labels)
    return Samples(stimuli=found, duration_ns=int(asked), labels=None if given is None else _labels(given, count))


def read_labels(path: str | Path) -> I64:
    """Classes from a file: .npy, .npz with an array `labels`, or text, integers apart by lines or commas."""
    path = as_path(path, "read_labels")
    if not path.is_file():
        raise FormatError(f"{path} does not exist or is no file", path=str(path))
    if path.suffix in (".npy", ".npz"):
        arrays = _load(path)
        if "labels" not in arrays and "" not in arrays:
            raise FormatError(f"{path} has no array 'labels'", hint=f"it has {', '.join(arrays)}", path=str(path))
        return _labels(arrays.get("labels", arrays.get("")), None)
    try:
        return _labels(
            np.array([int(word) for word in path.read_text(encoding="utf-8").replace(",", " ").split()]), None
        )
    except (ValueError, OSError) as error:
        raise FormatError(
            f"{path} holds no labels: {error}", hint="one integer a line, or .npy", path=str(path)
        ) from error


def _labels(values: Any, count: int | None) -> I64:
    array = np.asarray(values)
    problems = []
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        problems.append(Problem("labels are integers (B,)", "labels", f"{array.dtype} {array.shape}"))
    elif array.size and array.min() < 0:
        problems.append(Problem("a class is >= 0", "labels", int(array.min())))
    elif count is not None and array.size != count:
        problems.append(Problem("one label for each sample", "labels", array.size, f"{count} samples"))
    if problems:
        raise ConfigError("these are no labels of the samples", problems=problems)
    return array.astype(np.int64)


def _last_ns(column: Column) -> int:
    if isinstance(column, EventBatch):
        return int(column.events["t"].max(initial=-1))
    return max((int(signal.t[-1]) for signal in column if len(signal.t)), default=-1)


# --- from values ------------------------------------------------------------------------------------------------------


def _columns(stimulus: Any, model: Model, unit: str | None) -> tuple[dict[str, Column], I64 | None, int | None]:
    ports = {port.name: port for port in input_ports(model)}
    if isinstance(stimulus, str | Path):
        if len(ports) != 1:
            raise ConfigError("the model has several Inputs", hint="give {name: path}", inputs=list(ports))
        stimulus = {next(iter(ports)): stimulus}
    if not isinstance(stimulus, Mapping):
        raise ConfigError("a stimulus is a path, or values by Input", value=type(stimulus).__name__, hint=HINT)
    strange = [str(name) for name in stimulus if name not in ports]
    if strange or not stimulus:
        problems = [Problem("no such Input", name, limit=f"one of {', '.join(ports)}") for name in strange]
        raise ConfigError("the stimulus does not fit the model's Inputs", problems=problems, hint=HINT)
    columns: dict[str, Column] = {}
    labels: I64 | None = None
    ends: list[int] = []
    for name, value in stimulus.items():
        port, step = ports[name], model.semantics.dt_ns
        if isinstance(value, str | Path):
            columns[name], about = _read(Path(value), port, step, unit)
            labels = about.get("labels", labels)
        else:
            columns[name], about = _column(value, port, step), {"duration_ns": _raster_ns(value, port, step)}
        ends += [int(about["duration_ns"])] if about.get("duration_ns") is not None else []
    silent = len(next(iter(columns.values())))
    for name in ports.keys() - columns.keys():
        nothing = Signal(np.zeros(0, np.int64), np.zeros((0, ports[name].size)))
        quiet = [nothing] * silent
        columns[name] = quiet if ports[name].kind == "signal" else EventBatch.of([np.empty(0, EVENT)] * silent)
    return columns, labels, max(ends) if ends else None


def _raster_ns(value: Any, port: Port, step: int | None) -> int | None:
    """How long rows of numbers last."""
    if not isinstance(value, np.ndarray) or value.dtype.names is not None or step is None:
        return None
    return int(value.shape[value.ndim - len(port.shape) - 1]) * step if value.ndim > len(port.shape) else None


def _column(value: Any, port: Port, step: int | None) -> Column:
    """Anything that stands for one Input, as B samples."""
    if isinstance(value, EventBatch):
        return value
    if isinstance(value, Signal):
        return [value]
    if isinstance(value, np.ndarray):
        if value.dtype.names is not None:
            return EventBatch.of([value])
        value = list(value) if value.ndim == 2 + len(port.shape) else [value]
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ConfigError(f"no samples for input {port.name!r}", value=type(value).__name__, hint=HINT)
    made = [_sample(one, port, step) for one in value]
    if port.kind == "signal":
        return [one for one in made if isinstance(one, Signal)]
    return EventBatch.of([one for one in made if not isinstance(one, Signal)])


def _sample(value: Any, port: Port, step: int | None) -> Records | Signal:
    """One sample of one Input; rows of numbers are a raster, or the values of a Signal."""
    if isinstance(value, Signal) and port.kind == "signal":
        return value
    array = np.asarray(value)
    if array.dtype.names is not None and port.kind == "events":
        return array
    where = f"stimulus {port.name!r}"
    problems = []
    if array.dtype.kind not in "biuf" or array.shape[1:] not in (port.shape, (port.size,)):
        limit = f"(T, {', '.join(map(str, port.shape))}) or (T, {port.size})"
        problems.append(Problem("no rows of this input", where, value=f"{array.dtype} {array.shape}", limit=limit))
    elif port.kind == "events":
        problems += raster_problems(array.reshape(len(array), port.size), where)
    if step is None:
        problems.append(Problem("rows need a step", where, hint="Semantics(dt_ns=...), --dt"))
    if problems or step is None:
        raise ConfigError(f"no samples for input {port.name!r}", problems=problems)
    return Signal.sampled(array, step) if port.kind == "signal" else raster(array.reshape(len(array), port.size), step)


# --- from files -------------------------------------------------------------------------------------------------------


def _read(path: Path, port: Port, step: int | None, unit: str | None) -> tuple[Column, dict[str, Any]]:
    """Samples of a file, and what else it says: labels, duration_ns."""
    if path.suffix in (".npz", ".npy") and path.is_file():
        arrays = _load(path)
        about: dict[str, Any] = {key: arrays[key] for key in ("labels", "duration_ns") if key in arrays}
        if "splits" in arrays:
            return _read_events(path, arrays, port, unit), about
        rows = [a for key, a in arrays.items() if key not in about and a.ndim == 2 + len(port.shape)]
        if len(rows) == 1 and rows[0].dtype.names is None:
            about.setdefault("duration_ns", _raster_ns(rows[0], port, step))
            return _column(rows[0], port, step), about
    if path.is_dir():
        recorded = read_recording(path).duration_ns
        about = {"duration_ns": -(-recorded // step) * step if step else recorded}
        return _column(read_stimulus(path, port, step_ns=step, unit=unit), port, step), about
    one = read_stimulus(path, port, step_ns=step, unit=unit)
    return _column(one, port, step), {}


def _read_events(path: Path, arrays: Mapping[str, NDArray[Any]], port: Port, unit: str | None) -> EventBatch:
    columns = {name: arrays[name] for name in COLUMNS if name in arrays}
    splits = arrays["splits"]
    lengths = {len(column) for column in columns.values()}
    total = next(iter(lengths), 0)
    good = splits.ndim == 1 and splits.size > 1 and splits.dtype.kind in "iu" and len(lengths) == 1
    if not good or splits[0] != 0 or splits[-1] != total or (np.diff(splits.astype(np.int64)) < 0).any():
        raise FormatError(
            f"{path}: splits must rise from 0 to the number of events, and all columns have one length",
            hint=HINT,
            path=str(path),
            lengths=sorted(lengths),
        )
    table = np.empty(total, [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        table[name] = column
    unit = unit or ("us" if "x" in columns else "ns")
    return EventBatch.of([from_xytp(table[a:b], port, unit=unit) for a, b in pairwise(splits.tolist())])


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays by name, without pickles; a lone array has the name ""."""
    try:
        loaded = np.load(path, allow_pickle=False)
        return {"": loaded} if isinstance(loaded, np.ndarray) else {key: loaded[key] for key in loaded.files}
    except _NUMPY_FAULTS as error:
        raise FormatError(f"{path} cannot be read as NumPy data: {error}", path=str(path)) from error
