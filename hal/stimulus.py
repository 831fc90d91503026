"""Stimuli from elsewhere: camera events with x, y, t, p, and files, brought into the form a device runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hal.errors import ConfigError, Problem
from hal.eventfile import EventFile, EventFileWarning, read_events
from hal.events import (
    EVENT,
    I64,
    MAX_REPORTED,
    Port,
    Records,
    Signal,
    flat_rows,
    raster,
    raster_problems,
    signal_problems,
)

__all__ = ["UNITS", "EventFile", "EventFileWarning", "as_stimulus", "from_xytp", "read_events", "read_stimulus"]

UNITS: Final = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
"""Units of time, in ns."""
ORIGINS: Final = ("top-left", "bottom-left")
"""Corners where y can be 0. The core's is the top left; Event Stream files count from the bottom."""
POLARITY: Final = ("p", "on", "polarity")
"""Names the polarity field goes by."""


def from_xytp(
    array: NDArray[Any],
    port: Port,
    *,
    unit: str = "us",
    origin: str = "top-left",
    width: int | None = None,
    height: int | None = None,
) -> Records:
    """Events of a structured array, fields in any order and of any integer width, as an event array for a port.

    The index is (p * H + y) * W + x in a port (C, H, W), y * W + x in a port (H, W), and the field `x` or `index`
    itself in a port (n,). A field `index` in place of x and y is the flat index in any port.

    Polarity is called p, on or polarity. With two channels 1 (or True) is "on", channel 1, and 0 (or False) or -1 is
    "off", channel 0; a file that uses both 0 and -1 is refused. With more channels it is the channel. With one channel
    it may be missing or the same throughout; a varying one is refused, since it would be lost.

    Args:
        array: (n,) structured, sorted by t. Fields may also be floats that hold whole numbers; times any floats.
        port: where the events go.
        unit: of the field t: ns, us (as all event cameras), ms or s. Times are rounded to whole ns.
        origin: the corner where x and y are 0: top-left or bottom-left.
        width: of the sensor, where known; it must be the port's.
        height: likewise.

    Returns:
        (n,) EVENT; events of equal time stay in their order.

    Raises:
        ConfigError: every problem, with row, value and limit, a few rows of each kind; rows are never sorted, clipped
            or dropped.
    """
    _require_port(port)
    where = f"stimulus {port.name!r}"
    problems = _argument_problems(array, port, unit, origin, width, height, where)
    if problems:
        raise ConfigError(f"no events for input {port.name!r}", problems=problems)
    t = _times(array["t"], UNITS[unit], where, problems)
    index = _index(array, port, origin, where, problems)
    if problems:
        raise ConfigError(f"the events do not fit input {port.name!r} of shape {port.shape}", problems=problems)
    out = np.empty(len(array), EVENT)
    out["t"], out["index"] = t, index
    return out


def read_stimulus(
    path: str | Path,
    port: Port,
    *,
    unit: str | None = None,
    origin: str | None = None,
    from_first: bool = False,
    step_ns: int | None = None,
    name: str | None = None,
    sample: int | None = None,
) -> Records | Signal:
    """Read a stimulus for a port from a file; see `read_events` for the formats.

    Args:
        path: file, or directory of a recording (whose stimulus for this port is taken).
        port: events ports take events and rasters of counts; signal ports take arrays (T, ...) and sampled data.
        unit: of the times in the file; default what the file says, else us with fields x, y and ns with field index.
        origin: the corner where x and y are 0; default what the format says (Event Stream: bottom-left), else top-left.
            Writers are known that ignore the format's corner: give it where yours is one.
        from_first: let the first event be at 0; cameras count from when they were switched on, or from 1970.
        step_ns: of the rows of an array (T, ...).
        name: which array of a file with several; default the one called like the port.
        sample: which sample of a file with several.

    Raises:
        FormatError: the file cannot be read, or not as this.
        ConfigError: its contents do not fit the port.
        OptionalDependencyError: the format takes a package that is not installed.
    """
    _require_port(port)
    if not isinstance(path, str | Path):
        hint = "arrays go to run() as they are; fields x, y, p: hal.from_xytp"
        raise ConfigError("read_stimulus takes the path of a file", value=type(path).__name__, hint=hint)
    file = read_events(path, name=name, sample=sample, prefer=port.name)
    return as_stimulus(file, port, unit=unit, origin=origin, from_first=from_first, step_ns=step_ns)


def as_stimulus(
    file: EventFile,
    port: Port,
    *,
    unit: str | None = None,
    origin: str | None = None,
    from_first: bool = False,
    step_ns: int | None = None,
) -> Records | Signal:
    """What a file that was read holds, for a port; as `read_stimulus`."""
    _require_port(port)
    if port.kind == "events" and file.is_events:
        assumed = "us" if "x" in (file.array.dtype.names or ()) else "ns"
        _check_facts(file, port, unit)
        events = from_xytp(
            file.array,
            port,
            unit=unit or file.unit or assumed,
            origin=origin or file.origin or "top-left",
            width=file.facts.get("width"),
            height=file.facts.get("height"),
        )
        if from_first and len(events):
            events["t"] -= events["t"][0]
        return events
    if file.is_events:
        raise ConfigError(
            f"{file.path} holds events, and input {port.name!r} takes a signal",
            hint="a signal is a numeric array (T, ...), one row per step",
            path=str(file.path),
        )
    return _from_array(file, port, step_ns)


def _from_array(file: EventFile, port: Port, step_ns: int | None) -> Records | Signal:
    """Rows of numbers as a Signal, or as events where they are counts."""
    values = file.array
    where = f"stimulus {port.name!r}"
    problems: list[Problem] = []
    if values.ndim < 2 or values.shape[1:] not in (port.shape, (port.size,)):
        limit = f"(T, {', '.join(map(str, port.shape))}) or (T, {port.size})"
        problems.append(Problem("shape differs from the port", where, value=values.shape, limit=limit))
    if values.dtype.kind not in "biuf":
        problems.append(Problem("rows of a stimulus are numbers", where, value=str(values.dtype)))
    step = file.step_ns if step_ns is None else step_ns
    if file.t is None and (step is None or step <= 0):
        hint = "give step_ns (--dt): the file does not say how long a row lasts"
        problems.append(Problem("rows need a step", where, value=step, limit="ns > 0", hint=hint))
    if file.step_ns is not None and step != file.step_ns:
        problems.append(Problem("the file has another step", where, value=step, limit=f"{file.step_ns} ns in the file"))
    if problems:
        raise ConfigError(f"{file.path} does not fit input {port.name!r}", problems=problems)
    flat = flat_rows(values)
    times = np.arange(len(flat), dtype=np.int64) * (step or 0) if file.t is None else file.t
    signal = Signal(times, flat)
    problems = signal_problems(signal, port, None) if port.kind == "signal" else raster_problems(flat, where)
    if problems:
        raise ConfigError(f"{file.path} does not fit input {port.name!r}", problems=problems)
    if port.kind == "signal":
        return signal
    events = raster(flat, 1)
    events["t"] = times[events["t"]]
    return events


def _require_port(port: object) -> None:
    if not isinstance(port, Port):
        hint = "mapping.inputs has those of a mapping; else hal.Port(name, shape)"
        raise ConfigError("a stimulus goes to a hal.Port", value=repr(port), hint=hint)


def _check_facts(file: EventFile, port: Port, unit: str | None) -> None:
    """What the file says of itself must agree with the port and with what the user says."""
    where = f"stimulus {port.name!r}"
    problems = []
    size = file.facts.get("size")
    if size is not None and size != port.size:
        problems.append(Problem("number of channels differs", where, value=size, limit=f"{port.size} {port.shape}"))
    if unit is not None and file.unit is not None and unit != file.unit:
        problems.append(Problem("the file has times in another unit", where, value=unit, limit=file.unit))
    if problems:
        raise ConfigError(f"{file.path} does not fit input {port.name!r}", problems=problems)


def _argument_problems(
    array: Any, port: Port, unit: str, origin: str, width: int | None, height: int | None, where: str
) -> list[Problem]:
    """What is wrong before looking at a single row."""
    if port.kind != "events":
        return [Problem("events given for a signal input", where, hint="give a Signal or an array (T, n)")]
    problems = []
    if unit not in UNITS:
        problems.append(Problem("unknown unit of time", where, value=unit, limit=f"one of {', '.join(UNITS)}"))
    if origin not in ORIGINS:
        problems.append(Problem("unknown origin", where, value=origin, limit=f"one of {', '.join(ORIGINS)}"))
    names = getattr(getattr(array, "dtype", None), "names", None)
    if names is None or array.ndim != 1:
        hint = "fields t and x, y, p or index; a raster (T, ...) can be given to run as it is"
        found = getattr(array, "shape", type(array).__name__)
        return [*problems, Problem("not a one-dimensional structured array", where, value=found, hint=hint)]
    problems += [Problem(f"{what} is missing", where, value=names) for what in _missing(names, port)]
    polarity = [name for name in POLARITY if name in names]
    if len(polarity) > 1:
        problems.append(Problem("several polarity fields", where, value=polarity, limit="one"))
    if "index" in names and "x" in names:
        problems.append(Problem("both x and index say where an event is", where, value=names, limit="one"))
    if len(port.shape) not in (1, 2, 3) and "index" not in names:
        problems.append(Problem("x and y need a port (C, H, W) or (H, W)", where, limit=port.shape, hint="give index"))
    sensor = {"width": (width, port.shape[-1] if port.shape else 1)}
    sensor["height"] = (height, port.shape[-2] if len(port.shape) > 1 else 1)
    for name, (given, own) in sensor.items():
        if given is not None and given != own:
            hint = "crop or pool the events first, or build the model for this sensor"
            problems.append(Problem(f"the sensor's {name} is not the port's", where, value=given, limit=own, hint=hint))
    kinds = {name: array.dtype[name].kind for name in names if name in ("t", "x", "y", "index", *POLARITY)}
    problems += [
        Problem(f"field {name} does not hold numbers", where, value=str(array.dtype[name]))
        for name, kind in kinds.items()
        if kind not in "biuf" or array.dtype[name].shape
    ]
    return problems


def _missing(names: Sequence[str], port: Port) -> list[str]:
    """Fields a port needs and an array lacks."""
    missing = [] if "t" in names else ["field t"]
    if "index" in names:
        return missing
    needed = ("x",) if len(port.shape) == 1 else ("x", "y")
    missing += [f"field {name}" for name in needed if name not in names]
    if len(port.shape) == 3 and port.shape[0] > 1 and not any(name in names for name in POLARITY):
        missing.append(f"a polarity field ({', '.join(POLARITY)})")
    return missing


def _rows(
    bad: NDArray[np.bool_], what: str, values: NDArray[Any], limit: Any, where: str, hint: str = ""
) -> list[Problem]:
    """A problem for each of the first bad rows, and one that counts the rest."""
    rows = np.flatnonzero(bad)
    problems = [
        Problem(what, f"{where}, row {row}", value=values[row].item(), limit=limit, hint=hint)
        for row in rows[:MAX_REPORTED]
    ]
    if len(rows) > MAX_REPORTED:
        problems.append(Problem(f"{what}: {len(rows) - MAX_REPORTED} more rows", where))
    return problems


def _times(t: NDArray[Any], factor: int, where: str, problems: list[Problem]) -> I64:
    """Times in whole ns; 0 where a row is reported."""
    bad = np.zeros(len(t), np.bool_)
    if t.dtype.kind == "f":
        t = t.astype(np.float64)
        bad = ~np.isfinite(t)
        problems += _rows(bad, "t is not a finite number (NaN or inf)", t, "finite", where)
    problems += _rows(~bad & (t < 0), "negative time", t, "t >= 0", where)
    late = ~bad & (t >= 2**63 // factor)
    problems += _rows(late, "time too large for 64-bit ns", t, f"< {2**63 // factor}", where, "is the unit right?")
    known = np.flatnonzero(~bad)
    falls = np.zeros(len(t), np.bool_)
    falls[known[1:]] = t[known[1:]] < t[known[:-1]]
    hint = "sort with events[np.argsort(events['t'], kind='stable')] if the order means nothing"
    problems += _rows(falls, "time goes back", t, "sorted by t", where, hint)
    usable = np.where(bad | late, 0, t)
    if t.dtype.kind == "f":
        times: I64 = np.rint(usable * factor).astype(np.int64)
        return times
    return usable.astype(np.int64) * np.int64(factor)


def _whole(values: NDArray[Any], name: str, limit: int, where: str, problems: list[Problem], low: int = 0) -> I64:
    """Whole numbers in [low, limit); `low` where a row is reported."""
    bad = np.zeros(len(values), np.bool_)
    if values.dtype.kind == "f":
        bad = ~np.isfinite(values)
        problems += _rows(bad, f"{name} is not a finite number (NaN or inf)", values, "finite", where)
        broken = ~bad & (values != np.floor(values))
        problems += _rows(broken, f"{name} is not a whole number", values, "integers", where)
        bad |= broken
    outside = ~bad & ((values < low) | (values >= limit)) if values.dtype.kind != "b" else values >= limit
    problems += _rows(outside, f"{name} out of range", values, f"{low}..{limit - 1}", where)
    return np.where(bad | outside, low, values).astype(np.int64)


def _index(array: NDArray[Any], port: Port, origin: str, where: str, problems: list[Problem]) -> I64:
    """Flat positions in the port's shape."""
    names = array.dtype.names or ()
    polarity = next((array[name] for name in POLARITY if name in names), None)
    if "index" in names:
        problems += _lost_polarity(polarity, where)
        return _whole(array["index"], "index", port.size, where, problems)
    if len(port.shape) == 1:
        if "y" in names:
            hint = "give a port (C, H, W), or compute the index"
            problems += [
                Problem("x and y for a port of one dimension", where, value=names, limit=port.shape, hint=hint)
            ]
        problems += _lost_polarity(polarity, where)
        return _whole(array["x"], "x", port.size, where, problems)
    channels, height, width = (1, *port.shape)[-3:]
    x = _whole(array["x"], "x", width, where, problems)
    y = _whole(array["y"], "y", height, where, problems)
    if origin == "bottom-left":
        y = height - 1 - y
    if channels == 1 or polarity is None:
        problems += _lost_polarity(polarity, where)
        return y * width + x
    p = _channel(polarity, channels, where, problems)
    return (p * height + y) * width + x


def _channel(polarity: NDArray[Any], channels: int, where: str, problems: list[Problem]) -> I64:
    """The channel of each event; with two, -1 is another way to write off."""
    if channels != 2 or polarity.dtype.kind == "b" or not (polarity == -1).any():
        return _whole(polarity, "polarity", channels, where, problems)
    p = _whole(polarity, "polarity", 2, where, problems, low=-1)
    zero = polarity == 0
    problems += _rows(zero, "polarity 0 in a file that also has -1", polarity, "-1 and 1, or 0 and 1", where)
    return np.maximum(p, 0)


def _lost_polarity(polarity: NDArray[Any] | None, where: str) -> list[Problem]:
    """A polarity that varies would be lost in a port that has no channel for it."""
    if polarity is None or not len(polarity) or bool((polarity == polarity[0]).all()):
        return []
    hint = "leave the field out to merge the polarities, or keep the events of one"
    return [
        Problem(
            "polarity varies and the port has one channel", where, value=np.unique(polarity)[:4].tolist(), hint=hint
        )
    ]
