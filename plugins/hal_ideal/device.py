"""The ideal device: steps the reference network and reads it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.device import Device, Reset
from hal.errors import ModelError
from hal.events import EVENT, EventBatch, Probe, Signal
from hal.intake import Batch, Checked
from hal.mapping import Mapping as ChipMapping
from hal.recorder import Recorder
from hal.recording import BatchRecording
from hal_emulators.ideal import MAX_SPIKES, Map, Network, Neurons, RunawayError, Source
from hal_ideal.config import IdealConfig, MapConfig, NeuronsConfig, OutputConfig

CHUNK_STEPS = 32
"""Most steps between two hand-overs to the recorder."""
CHUNK_BYTES = 1 << 25
"""About how much memory a chunk of recorded values, or the states of the copies stepped together, may take."""


def build(config: IdealConfig, batch: int = 1) -> Network:
    """The emulator for a configuration; outputs are nodes like any other."""
    nodes: dict[str, Map | Neurons] = {node.name: _map(node) for node in config.maps}
    nodes |= {node.name: _neurons(node) for node in config.populations}
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
    _config: IdealConfig

    def _load(self, mapping: ChipMapping) -> None:
        self._config = mapping.config
        self._network = build(self._config)

    def _reset(self, mode: Reset) -> None:
        self._network.reset(1)

    def _run(self, stimulus: Checked, duration_ns: int, recorder: Recorder) -> None:
        step_ns = self._config.step_ns
        feeds = self._feeds({name: _of_one(value) for name, value in stimulus.items()})
        signals = self._signals()
        outputs = {out.name for out in self._config.outputs}
        into = out_of = 0
        self._network.synops[:] = 0
        for start, rows, kept in _play(
            self._network, feeds, duration_ns // step_ns, self._watched(), self._sampler(recorder)
        ):
            into += sum(int(value.sum()) for name, value in rows.items() if isinstance(feeds[name], _Events))
            for name, chunk in kept.items():
                if name in signals:
                    recorder.sample(name, "output", _times(start, len(chunk), step_ns), chunk[:, 0])
                    continue
                _, t, index = _events(chunk, start, step_ns)
                recorder.emit(name, t, index)
                out_of += t.size if name in outputs else 0
            recorder.advance(min((start + CHUNK_STEPS) * step_ns, duration_ns))
        for probe in self._state_probes():
            if probe.every_ns is None and duration_ns:
                self._record_state(probe, duration_ns - 1, recorder)
        recorder.count("events_in", [into])
        recorder.count("events_out", [out_of])
        recorder.count("synops", self._network.synops)
        recorder.count("pending", self._network.pending())

    def _run_batch(self, stimulus: Batch, duration_ns: int, workers: int) -> BatchRecording | None:
        """All copies in step, in as many threads as asked for; with state probes, the loop."""
        if self._state_probes():
            return None
        copies = max(1, CHUNK_BYTES // (8 * sum(self._network.sizes.values())))
        parts = max(workers, -(-len(stimulus) // copies))
        bounds = np.unique(np.linspace(0, len(stimulus), min(parts, len(stimulus)) + 1).astype(int))
        jobs = list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
        with ThreadPoolExecutor(workers) as pool:
            done = list(pool.map(lambda job: self._run_copies(stimulus, duration_ns, *job), jobs))
        recording = self._batch_recording(stimulus, duration_ns, done)
        # the state that the loop would have left: that of the last sample
        self._network = done[-1].network
        self._network.keep(self._network.batch - 1)
        return recording

    def _run_copies(self, stimulus: Batch, duration_ns: int, first: int, last: int) -> _Copies:
        network = build(self._config, last - first)
        columns = {name: _cut(column, first, last) for name, column in stimulus.columns.items()}
        copies = _Copies(network)
        feeds = self._feeds(columns)
        for start, rows, kept in _play(network, feeds, duration_ns // self._config.step_ns, self._watched()):
            copies.take(start, self._config.step_ns, kept, self._signals())
            for name, value in rows.items():
                if isinstance(feeds[name], _Events):
                    copies.events_in += value.sum(axis=(0, 2)).astype(np.int64)
        return copies

    def _batch_recording(self, stimulus: Batch, duration_ns: int, done: list[_Copies]) -> BatchRecording:
        size = len(stimulus)
        header = self._header(duration_ns, next(iter(stimulus)))
        spikes = {name: _joined([part.events(name) for part in done]) for name in self.recorded_events()}
        spikes |= {
            name: column
            for name, column in stimulus.columns.items()
            if name in header.nodes and isinstance(column, EventBatch)
        }
        signals = {name: np.concatenate([part.signal(name) for part in done]) for name in header.signals}
        steps = duration_ns // self._config.step_ns
        stats = {counter: np.zeros((size, 1), np.int64) for counter in header.counters}
        stats["events_in"][:, 0] = np.concatenate([part.events_in for part in done])
        stats["synops"][:, 0] = np.concatenate([part.network.synops for part in done])
        stats["pending"][:, 0] = np.concatenate([part.network.pending() for part in done])
        for output in self._config.outputs:
            if output.kind == "events":
                stats["events_out"][:, 0] += np.diff(spikes[output.name].splits)
        return BatchRecording(
            header=header,
            runs=self.run_number + np.arange(size, dtype=np.int64),
            t0_ns=np.zeros(size, np.int64),
            spikes={name: spikes[name] for name in header.nodes},
            status=tuple("ok" for _ in range(size)),
            signals=signals,
            signal_t={name: _times(0, steps, self._config.step_ns) for name in signals},
            signal_rows={name: np.full(size, steps, np.int64) for name in signals},
            stats=stats,
            stimuli=tuple(stimulus),
        )

    # --- what is fed in, watched and probed --------------------------------------------------------------------

    def _feeds(self, columns: Mapping[str, EventBatch | Sequence[Signal]]) -> dict[str, _Events | _Held]:
        sizes, step_ns = self._network.sizes, self._config.step_ns
        return {
            name: _Events(column, sizes[name], step_ns)
            if isinstance(column, EventBatch)
            else _Held(column, sizes[name], step_ns)
            for name, column in columns.items()
        }

    def _signals(self) -> set[str]:
        return {out.name for out in self._config.outputs if out.kind == "signal"}

    def _watched(self) -> list[str]:
        return [*self.recorded_events(), *sorted(self._signals())]

    def _state_probes(self) -> list[Probe]:
        return [probe for probe in self.mapping.record if probe.variable != "spikes"]

    def _sampler(self, recorder: Recorder) -> Any:
        probes = [probe for probe in self._state_probes() if probe.every_ns is not None]

        def sample(step: int) -> None:
            t_ns = step * self._config.step_ns
            for probe in probes:
                if t_ns % probe.every_ns == 0:  # type: ignore[operator]  # chosen above
                    self._record_state(probe, t_ns, recorder)

        return sample if probes else None

    def _record_state(self, probe: Probe, t_ns: int, recorder: Recorder) -> None:
        v, i, _ = self._network.state[probe.node]
        values = (i if probe.variable == "i" else v)[0]
        if probe.indices is not None:
            values = values[list(probe.indices)]
        recorder.sample(probe.node, probe.variable, np.array([t_ns], np.int64), values[None, :])


def _play(
    network: Network, feeds: Mapping[str, _Events | _Held], steps: int, watched: Sequence[str], sampler: Any = None
) -> Iterator[tuple[int, dict[str, NDArray[Any]], dict[str, NDArray[Any]]]]:
    """Step through a run in chunks: (first step, what was fed in, values of the watched nodes), each (T, B, n)."""
    row_bytes = 4 * network.batch * (sum(network.sizes[name] for name in (*feeds, *watched)) or 1)
    most = int(np.clip(CHUNK_BYTES // row_bytes, 1, CHUNK_STEPS))
    for start in range(0, steps, most):
        length = min(most, steps - start)
        rows = {name: feed.rows(start, length) for name, feed in feeds.items()}
        kept = {name: np.empty((length, network.batch, network.sizes[name]), network.dtype) for name in watched}
        for k in range(length):
            try:
                network.step({name: value[k] for name, value in rows.items()})
            except RunawayError as error:
                node = str(error.args[0])
                raise ModelError(
                    f"{node} gave more than {MAX_SPIKES} spikes in step {start + k}: the network runs away",
                    hint="check gains, thresholds and dt; a loop amplifies what it feeds back",
                    node=node,
                    step=start + k,
                ) from error
            for name, chunk in kept.items():
                chunk[k] = network.values[name]
            if sampler is not None:
                sampler(start + k)
        yield start, rows, kept


class _Copies:
    """What B copies of the network put out, chunk by chunk."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.parts: dict[str, list[tuple[NDArray[np.int64], ...]]] = {}
        self.values: dict[str, list[NDArray[Any]]] = {}
        self.events_in = np.zeros(network.batch, np.int64)

    def take(self, start: int, step_ns: int, kept: Mapping[str, NDArray[Any]], signals: set[str]) -> None:
        """Add a chunk."""
        for name, chunk in kept.items():
            if name in signals:
                self.values.setdefault(name, []).append(chunk)
            else:
                self.parts.setdefault(name, []).append(_events(chunk, start, step_ns))

    def events(self, name: str) -> EventBatch:
        """All events of a node, run by run."""
        nothing = (np.zeros(0, np.int64),) * 3
        run, t, index = (np.concatenate(column) for column in zip(nothing, *self.parts.get(name, ()), strict=True))
        order = np.argsort(run, kind="stable")
        out = np.empty(run.size, EVENT)
        out["t"], out["index"] = t[order], index[order]
        return EventBatch(out, np.concatenate([[0], np.cumsum(np.bincount(run, minlength=self.network.batch))]))

    def signal(self, name: str) -> NDArray[Any]:
        """(B, T, n)."""
        empty = np.zeros((0, self.network.batch, self.network.sizes[name]), self.network.dtype)
        return np.concatenate([empty, *self.values.get(name, ())]).transpose(1, 0, 2)


class _Events:
    """Events of B runs as rows of spike counts."""

    def __init__(self, batch: EventBatch, size: int, step_ns: int) -> None:
        self.shape = (len(batch), size)
        step = batch.events["t"] // step_ns
        order = np.argsort(step, kind="stable")
        self.step = step[order]
        self.index = batch.events["index"][order]
        self.run = np.repeat(np.arange(len(batch)), np.diff(batch.splits))[order]

    def rows(self, start: int, length: int) -> NDArray[np.float32]:
        """(length, B, size) spike counts."""
        first, last = np.searchsorted(self.step, [start, start + length])
        out = np.zeros((length, *self.shape), np.float32)
        np.add.at(out, (self.step[first:last] - start, self.run[first:last], self.index[first:last]), 1)
        return out


class _Held:
    """Signals of B runs as rows of the values held at each step; 0 before the first one."""

    def __init__(self, signals: Sequence[Signal], size: int, step_ns: int) -> None:
        self.signals, self.size, self.step_ns = signals, size, step_ns

    def rows(self, start: int, length: int) -> NDArray[np.float64]:
        """(length, B, size) values."""
        out = np.zeros((length, len(self.signals), self.size))
        t = _times(start, length, self.step_ns)
        for b, signal in enumerate(self.signals):
            at = np.searchsorted(signal.t, t, side="right") - 1
            out[at >= 0, b] = signal.values[at[at >= 0]]
        return out


def _of_one(value: Any) -> EventBatch | tuple[Signal]:
    return (value,) if isinstance(value, Signal) else EventBatch.of([value])


def _cut(column: EventBatch | tuple[Signal, ...], first: int, last: int) -> EventBatch | tuple[Signal, ...]:
    """Runs first..last - 1 of a batch."""
    if not isinstance(column, EventBatch):
        return column[first:last]
    splits = column.splits[first : last + 1]
    return EventBatch(column.events[splits[0] : splits[-1]], splits - splits[0])


def _joined(batches: Sequence[EventBatch]) -> EventBatch:
    return EventBatch.of([batch[b] for batch in batches for b in range(len(batch))])


def _times(start: int, length: int, step_ns: int) -> NDArray[np.int64]:
    return (start + np.arange(length, dtype=np.int64)) * step_ns


def _events(
    chunk: NDArray[Any], start: int, step_ns: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(run, t, index) of a chunk of spike counts (T, B, n), in order of step, run and index."""
    row, run, column = np.nonzero(chunk)
    n = chunk[row, run, column].astype(np.int64)
    if n.size and n.max() > 1:
        row, run, column = (np.repeat(axis, n) for axis in (row, run, column))
    return run, (start + row) * step_ns, column
