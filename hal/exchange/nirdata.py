"""Recordings as NIR data (nir >= 1.0.8): per node events, or values over time, times in seconds.

A population's spikes are the observable "spikes", a signal Output's values "output", a trace its state variable.
Values at equal distances from 0 are TimeGriddedData, others ValuedEventData.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from hal.errors import ConfigError, Problem
from hal.events import I64, Records, Signal
from hal.exchange.hdf5 import made_in_memory
from hal.store.rows import size

if TYPE_CHECKING:
    from hal.recording import Recording

MAX_NS: Final = 1 << 50
"""Up to here ns survive the way to seconds in float64 and back, with two roundings: 13 days."""


def write(recording: Recording, path: Path) -> None:
    """Make the file. Raises ConfigError for what NIR data cannot hold, OSError."""
    header = recording.header
    names = [*header.nodes, *header.signals, *(node for node, _ in recording.traces)]
    problems = [
        Problem("HDF5 would read the name as a path", name)
        for name in dict.fromkeys(names)
        if "/" in name or name in ("", ".")
    ]
    if header.duration_ns > MAX_NS:
        problems.append(Problem("too long for ns in float64 seconds", "duration_ns", header.duration_ns, limit=MAX_NS))
    if problems:
        hint = "hdf5 and parquet hold any recording"
        raise ConfigError("the recording does not go into NIR data", problems=problems, hint=hint)
    t_max = header.duration_ns / 1e9
    with made_in_memory(path) as file:
        file.attrs["__type__"] = "NIRGraphData"
        nodes = file.create_group("nodes")
        for node, shape in header.nodes.items():
            _events(_observable(nodes, node, "spikes"), recording.spikes[node], size(shape), t_max)
        for output, signal in recording.signals.items():
            _values(_observable(nodes, output, "output"), signal, t_max)
        for (node, variable), signal in recording.traces.items():
            _values(_observable(nodes, node, variable), signal, t_max)


def _observable(nodes: h5py.Group, node: str, name: str) -> h5py.Group:
    if node not in nodes:
        nodes.create_group(node).attrs["__type__"] = "NIRNodeData"
    return nodes[node].require_group("observables").create_group(name)


def _events(group: h5py.Group, spikes: Records, neurons: int, t_max: float) -> None:
    _event_list(group, "EventData", spikes["index"].astype(np.int64), spikes["t"], neurons, t_max)


def _event_list(group: h5py.Group, kind: str, index: I64, t: I64, neurons: int, t_max: float) -> None:
    group.attrs["__type__"] = kind
    group.attrs["n_neurons"], group.attrs["t_max"] = neurons, t_max
    _put(group, "idx", index)
    _put(group, "time", t / 1e9)


def _values(group: h5py.Group, signal: Signal, t_max: float) -> None:
    """Rows on a grid, or an event for each value."""
    rows, width = signal.values.shape
    step = int(signal.t[1]) if rows > 1 else 0
    if step and np.array_equal(signal.t, np.arange(rows, dtype=np.int64) * step):
        group.attrs["__type__"] = "TimeGriddedData"
        group.attrs["dt"] = step / 1e9
        _put(group, "data", signal.values)
        return
    index = np.tile(np.arange(width, dtype=np.int64), rows)
    _event_list(group, "ValuedEventData", index, np.repeat(signal.t, width), width, t_max)
    _put(group, "value", signal.values.reshape(-1))


def _put(group: h5py.Group, name: str, values: NDArray[Any]) -> None:
    """One sample."""
    packed: dict[str, Any] = {"compression": "gzip", "compression_opts": 1} if values.size else {}
    group.create_dataset(name, data=values[None], **packed)
