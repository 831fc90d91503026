"""The ideal device: steps the reference network and reads it out."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.device import Device, Reset
from hal.events import Records, Signal
from hal.intake import Checked
from hal.mapping import Mapping
from hal.recorder import Recorder
from hal_emulators.ideal import Map, Network, Neurons, Source
from hal_ideal.config import IdealConfig, MapConfig, NeuronsConfig, OutputConfig

CHUNK_STEPS = 32
"""Steps between two hand-overs to the recorder."""


def build(config: IdealConfig, batch: int = 1) -> Network:
    """The emulator for a configuration; outputs are nodes like any other."""
    nodes: dict[str, Map | Neurons] = {
        node.name: _map(node) if isinstance(node, MapConfig) else _neurons(node)
        for node in (*config.maps, *config.populations)
    }
    outputs = tuple(
        Map(name=out.name, kind="identity", sources=_sources(out), input_shape=out.shape, output_shape=out.shape)
        for out in config.outputs
    )
    inputs = {port.name: int(np.prod(port.shape, dtype=np.int64)) for port in config.inputs}
    return Network(inputs, (*(nodes[name] for name in config.order), *outputs), config.dtype, batch)


def _sources(node: MapConfig | NeuronsConfig | OutputConfig) -> tuple[Source, ...]:
    return tuple(Source(name=source.name, delay=source.delay) for source in node.sources)


def _map(node: MapConfig) -> Map:
    return Map(**{**_plain(node), "sources": _sources(node)})


def _neurons(node: NeuronsConfig) -> Neurons:
    values = _plain(node)
    del values["shape"]
    return Neurons(**{**values, "sources": _sources(node)})


def _plain(node: Any) -> dict[str, Any]:
    return {field.name: getattr(node, field.name) for field in attrs.fields(type(node))}


class IdealDevice(Device):
    """Clocked; exact continuation from run to run; state observable at every step."""

    _network: Network

    def _load(self, mapping: Mapping) -> None:
        self._network = build(mapping.config)
        self._config: IdealConfig = mapping.config

    def _reset(self, mode: Reset) -> None:
        self._network.reset(1)

    def _run(self, stimulus: Checked, duration_ns: int, recorder: Recorder) -> None:
        step_ns = self._config.step_ns
        network = self._network
        kinds = {out.name: out.kind for out in self._config.outputs}
        watched = [name for name in self.recorded_events() if kinds.get(name) != "signal"]
        signals = [name for name, kind in kinds.items() if kind == "signal"]
        feeds = {name: _Feed(value, network.inputs[name], step_ns) for name, value in stimulus.items()}
        network.synops[:] = 0
        counts = np.zeros(2, np.int64)
        steps = duration_ns // step_ns
        for start in range(0, steps, CHUNK_STEPS):
            length = min(CHUNK_STEPS, steps - start)
            rows = {name: feed.rows(start, length) for name, feed in feeds.items()}
            kept = {name: np.zeros((length, network.sizes[name]), network.dtype) for name in (*watched, *signals)}
            for k in range(length):
                network.step({name: value[k] for name, value in rows.items()})
                for name, chunk in kept.items():
                    chunk[k] = network.values[name][0]
                self._sample((start + k) * step_ns, recorder)
            counts += self._hand_over(kept, rows, start, signals, recorder)
            recorder.advance((start + length) * step_ns)
        self._final(duration_ns, recorder)
        recorder.count("events_in", counts[:1])
        recorder.count("events_out", counts[1:])
        recorder.count("synops", network.synops)

    def _hand_over(
        self,
        kept: dict[str, NDArray[Any]],
        rows: dict[str, NDArray[Any]],
        start: int,
        signals: list[str],
        recorder: Recorder,
    ) -> NDArray[np.int64]:
        """Give a chunk of steps to the recorder; returns the number of events (in, out)."""
        step_ns = self._config.step_ns
        out = 0
        outputs = {output.name for output in self._config.outputs}
        for name, chunk in kept.items():
            if name in signals:
                t = (start + np.arange(len(chunk), dtype=np.int64)) * step_ns
                recorder.sample(name, "output", t, chunk)
                continue
            t, index = _events(chunk, start, step_ns)
            recorder.emit(name, t, index)
            out += t.size if name in outputs else 0
        into = sum(int(value.sum()) for name, value in rows.items() if name not in self._signal_inputs())
        return np.array([into, out], np.int64)

    def _signal_inputs(self) -> set[str]:
        """Names of inputs that take analog values."""
        return {port.name for port in self.mapping.inputs if port.kind == "signal"}

    def _sample(self, t_ns: int, recorder: Recorder) -> None:
        for probe in self.mapping.record:
            if probe.variable != "spikes" and probe.every_ns is not None and t_ns % probe.every_ns == 0:
                self._record_state(probe, t_ns, recorder)

    def _final(self, duration_ns: int, recorder: Recorder) -> None:
        for probe in self.mapping.record:
            if probe.variable != "spikes" and probe.every_ns is None and duration_ns:
                self._record_state(probe, duration_ns - 1, recorder)

    def _record_state(self, probe: Any, t_ns: int, recorder: Recorder) -> None:
        v, i, _ = self._network.state[probe.node]
        values = (i if probe.variable == "i" else v)[0]
        if probe.indices is not None:
            values = values[list(probe.indices)]
        recorder.sample(probe.node, probe.variable, np.array([t_ns], np.int64), values[None, :].astype(np.float64))


class _Feed:
    """A stimulus as rows of one step each."""

    def __init__(self, value: Records | Signal, size: int, step_ns: int) -> None:
        self.size = size
        self.step_ns = step_ns
        self.signal = value if isinstance(value, Signal) else None
        if not isinstance(value, Signal):
            self.steps = value["t"] // step_ns
            self.index = value["index"]

    def rows(self, start: int, length: int) -> NDArray[Any]:
        """(length, size): event counts, or the values held at each step."""
        if self.signal is not None:
            t = (start + np.arange(length, dtype=np.int64)) * self.step_ns
            at = np.searchsorted(self.signal.t, t, side="right") - 1
            held = self.signal.values[np.maximum(at, 0)].copy()
            held[at < 0] = 0
            return held
        first, last = np.searchsorted(self.steps, [start, start + length])
        out = np.zeros((length, self.size), np.float32)
        np.add.at(out, (self.steps[first:last] - start, self.index[first:last]), 1)
        return out


def _events(chunk: NDArray[Any], start: int, step_ns: int) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Events of a chunk of spike counts (T, n), in order of step and index."""
    row, column = np.nonzero(chunk)
    n = chunk[row, column].astype(np.int64)
    if n.size and n.max() > 1:
        row, column = np.repeat(row, n), np.repeat(column, n)
    return (start + row.astype(np.int64)) * step_ns, column.astype(np.uint32)
