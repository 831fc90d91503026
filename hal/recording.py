"""What a run left behind: spikes, signals, traces, counters, intervals, and everything there is to say about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.errors import ConfigError, Problem
from hal.events import I64, EventBatch, Records, Signal, SignalBatch
from hal.fit import Finding
from hal.paths import as_path
from hal.store import readback
from hal.store.manifest import (
    INTERVAL,
    MAPPING,
    Key,
    RunHeader,
    Status,
    Tally,
    finding_to_json,
    plain,
)

if TYPE_CHECKING:
    from hal.mapping import Mapping as ChipMapping
    from hal.recorder import Recorder

__all__ = ["INTERVAL", "BatchRecording", "Key", "Recording", "RunHeader", "Status", "Tally", "read_recording"]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Recording:
    """One run. Times are model ns since its start; `t0_ns` places it after the runs before it.

    Attributes:
        header: what was known before the run.
        spikes: node -> event array (t, index), in order of emission. signals: Output -> Signal.
        traces: (node, variable) -> Signal. stats: counter -> (cores,) int64. intervals: see INTERVAL.
        diagnostics: everything the run had to say. status: ok, interrupted (ended early, or lost a part on disk) or
        untrusted (ran, but the chip's behaviour cannot be relied on).
        tallies: (node, variable) -> rows, and how many of them were out of order. path: where it lies on disk.
    """

    header: RunHeader
    spikes: Mapping[str, Records]
    signals: Mapping[str, Signal] = attrs.field(factory=dict)
    traces: Mapping[Key, Signal] = attrs.field(factory=dict)
    stats: Mapping[str, I64] = attrs.field(factory=dict)
    intervals: Records = attrs.field(factory=lambda: np.empty(0, INTERVAL))
    diagnostics: tuple[Finding, ...] = ()
    status: Status = "ok"
    tallies: Mapping[Key, Tally] = attrs.field(factory=dict)
    path: Path | None = None

    @property
    def device(self) -> str:
        """Name of the device."""
        return self.header.device

    @property
    def t0_ns(self) -> int:
        """Model time at which the run started."""
        return self.header.t0_ns

    @property
    def duration_ns(self) -> int:
        """Length of the run, also where it was interrupted."""
        return self.header.duration_ns

    @property
    def step_ns(self) -> int | None:
        """Length of a step, None on event devices."""
        return self.header.step_ns

    @property
    def cores(self) -> int:
        """How many cores the counters are kept for."""
        return self.header.cores

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of the nodes whose events were recorded."""
        return self.header.nodes

    @property
    def stimulus(self) -> Mapping[str, Records | Signal]:
        """What was fed in, per port."""
        return self.header.stimulus

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Versions, mapping, fingerprint of the model, semantics, options."""
        return self.header.provenance

    @property
    def mapping(self) -> ChipMapping | None:
        """What was loaded, read from disk at each use where the recording lies there; None where nobody kept it.

        Raises FormatError when the file is damaged, PluginError when the device is not installed.
        """
        if self.header.mapping is not None or self.path is None:
            return self.header.mapping
        from hal.mapping import read_mapping

        kept = self.path / MAPPING
        return read_mapping(kept) if kept.is_file() else None

    @property
    def disorder(self) -> dict[Key, int]:
        """Columns with rows out of order in time, and how many."""
        return {key: tally.disorder for key, tally in self.tallies.items() if tally.disorder}

    def event_count(self, node: str | None = None) -> int:
        """How many events were recorded, of one node or of all; reads nothing from disk."""
        nodes = self.header.nodes if node is None else (node,)
        return sum(
            self.tallies[name, "spikes"].rows if (name, "spikes") in self.tallies else len(self.spikes[name])
            for name in nodes
        )

    def counts(self, node: str) -> I64:
        """Events per neuron, in the node's shape."""
        shape = self._shape(node)
        size = int(np.prod(shape, dtype=np.int64))
        return np.bincount(self.spikes[node]["index"], minlength=size).astype(np.int64).reshape(shape)

    def rates_hz(self) -> dict[str, float]:
        """Events per second of model time of every recorded node and of every Input fed with events.

        A rate is of the whole node, whatever its shape: all its events divided by `duration_ns`. Signals and ports of
        the chip (`@...`) have none. `Mapper.check(model, rates_hz=recording.rates_hz())` takes them.

        Raises:
            ConfigError: the run lasted 0 ns, or it was broken off or lost a part, so that how long these events took
                is not known. FormatError: the stimulus on disk is damaged.
        """
        if not self.duration_ns:
            raise ConfigError("a run of 0 ns has no rates", duration_ns=0)
        if self.status == "interrupted":
            raise ConfigError(
                "an interrupted recording has no rates: how long its events took is not known",
                hint="record again; what there is stands in .event_count(node)",
            )
        fed = {name: events for name, events in self.stimulus.items() if not name.startswith("@")}
        counts = {name: len(events) for name, events in fed.items() if not isinstance(events, Signal)}
        counts |= {node: self.event_count(node) for node in self.header.nodes}
        return {node: count / (self.duration_ns * 1e-9) for node, count in counts.items()}

    def raster(self, node: str, step_ns: int | None = None) -> NDArray[np.int32]:
        """Events per step and neuron, (T, *shape); T covers the whole run, a last part of a step included.

        step_ns: default the run's own; an event device has none, so give one.
        """
        shape = self._shape(node)
        step = self.step_ns if step_ns is None else step_ns
        if step is None or step <= 0:
            raise ConfigError(
                f"a raster of {node!r} needs steps of a positive length",
                hint=f"{self.device} has no steps of its own: give step_ns" if step is None else "",
                step_ns=step,
            )
        size = int(np.prod(shape, dtype=np.int64))
        steps = -(-self.duration_ns // step)
        out = np.zeros(steps * size, np.int32)
        spikes = self.spikes[node]
        np.add.at(out, spikes["t"] // step * size + spikes["index"], 1)
        return out.reshape(steps, *shape)

    def _shape(self, node: str) -> tuple[int, ...]:
        if node not in self.header.nodes:
            raise ConfigError(
                f"no events of {node!r} were recorded",
                problems=[Problem("not recorded", node, limit=f"one of {list(self.header.nodes)}")],
                hint="ask for them at map(record=[...]); values over time are in .signals and .traces",
            )
        return self.header.nodes[node]

    def save(self, directory: str | Path) -> Recording:
        """Write to a new directory in the format of `run(to=...)`; gives the recording that lies there."""
        from hal.recorder import ArrowRecorder

        recorder = ArrowRecorder(directory)
        recorder.start(attrs.evolve(self.header, mapping=self.mapping))
        try:
            self._replay(recorder)
        except BaseException:
            recorder.finish("interrupted")
            raise
        return recorder.finish(self.status)

    def _replay(self, recorder: Recorder) -> None:
        """Put everything into a recorder."""
        for node, spikes in self.spikes.items():
            recorder.emit(node, spikes["t"], spikes["index"])
        for output, signal in self.signals.items():
            recorder.sample(output, "output", signal.t, signal.values)
        for (node, variable), signal in self.traces.items():
            recorder.sample(node, variable, signal.t, signal.values)
        for counter, per_core in self.stats.items():
            recorder.count(counter, per_core)
        for what, core, t0, t1 in self.intervals.tolist():
            recorder.interval(what, core, t0, t1)
        for finding in self.diagnostics:
            recorder.note(finding)

    def to_json(self) -> dict[str, Any]:
        """A summary as a JSON object: facts of the run, numbers per node, no columns."""
        summary: dict[str, Any] = {
            "status": self.status,
            "events": self.event_count(),
            "spikes": {node: self.event_count(node) for node in self.header.nodes},
            "disorder": [[*key, count] for key, count in self.disorder.items()],
            "stats": {counter: per_core.tolist() for counter, per_core in self.stats.items()},
            "intervals": len(self.intervals),
            "diagnostics": [finding_to_json(finding) for finding in self.diagnostics],
            "path": None if self.path is None else str(self.path),
        }
        out: dict[str, Any] = plain(self.header.to_json() | summary)
        return out

    def summary(self) -> str:
        """A few lines for a person."""
        lines = [repr(self)[1:-1]]
        lines += [f"  {node} {shape}: {self.event_count(node)} events" for node, shape in self.header.nodes.items()]
        lines += [f"  {output} {shape}: signal" for output, shape in self.header.signals.items()]
        lines += [f"  {node}.{variable}: trace" for node, variable in self.traces]
        lines += [f"  {counter}: {per_core.sum()}" for counter, per_core in self.stats.items() if per_core.any()]
        lines += [
            f"  {node}.{variable}: {count} rows out of order" for (node, variable), count in self.disorder.items()
        ]
        lines += [f"  {finding.level}: {finding}" for finding in self.diagnostics]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from hal.report import notebook

        return notebook.recording(self)

    def __repr__(self) -> str:
        end = f", {self.path}" if self.path else ""
        return (
            f"<Recording of {self.device} ({self.header.kind}), run {self.header.run}: {self.status}, "
            f"{self.event_count()} events in {self.duration_ns} ns{end}>"
        )


@attrs.frozen(kw_only=True, eq=False, repr=False)
class BatchRecording:
    """B independent runs of one length, column by column; `[b]` is run b as a Recording.

    Attributes:
        header: of run 0. runs, t0_ns: (B,) numbers and starts of the runs.
        spikes: node -> EventBatch. signals: Output -> (B, T, n), and `signal_t`: Output -> (T,) their common times;
        a run that ended early has NaN where it has no value, and `signal_rows`: Output -> (B,) says where that begins.
        stats: counter -> (B, cores) int64. traces: (node, variable) -> SignalBatch. status, intervals, diagnostics,
        stimuli: one entry per run.
    """

    header: RunHeader
    runs: I64
    t0_ns: I64
    spikes: Mapping[str, EventBatch]
    status: tuple[Status, ...]
    signals: Mapping[str, NDArray[np.floating[Any]]] = attrs.field(factory=dict)
    signal_t: Mapping[str, I64] = attrs.field(factory=dict)
    signal_rows: Mapping[str, I64] = attrs.field(factory=dict)
    stats: Mapping[str, I64] = attrs.field(factory=dict)
    intervals: tuple[Records, ...] = ()
    diagnostics: tuple[tuple[Finding, ...], ...] = ()
    traces: Mapping[Key, SignalBatch] = attrs.field(factory=dict)
    stimuli: Sequence[Mapping[str, Records | Signal]] = ()

    @classmethod
    def of(cls, recordings: Sequence[Recording]) -> BatchRecording:
        """Put single recordings into one batch. They must be of the same device, nodes, duration and steps."""
        if not recordings:
            raise ConfigError("a batch needs at least one recording")
        first = recordings[0].header
        for name in ("device", "duration_ns", "step_ns", "nodes", "signals", "cores", "counters"):
            for b, recording in enumerate(recordings):
                if getattr(recording.header, name) != getattr(first, name):
                    raise ConfigError(
                        "the recordings differ and make no batch",
                        problems=[
                            Problem("differs", f"run {b}.{name}", getattr(recording.header, name), getattr(first, name))
                        ],
                    )
        signals = {output: _stack(output, [r.signals[output] for r in recordings]) for output in first.signals}
        return cls(
            header=first,
            runs=np.array([r.header.run for r in recordings], np.int64),
            t0_ns=np.array([r.t0_ns for r in recordings], np.int64),
            spikes={node: EventBatch.of([r.spikes[node] for r in recordings]) for node in first.nodes},
            status=tuple(r.status for r in recordings),
            signals={output: values for output, (values, _, _) in signals.items()},
            signal_t={output: t for output, (_, t, _) in signals.items()},
            signal_rows={output: rows for output, (_, _, rows) in signals.items()},
            stats={name: np.stack([r.stats[name] for r in recordings]) for name in recordings[0].stats},
            intervals=tuple(r.intervals for r in recordings),
            diagnostics=tuple(r.diagnostics for r in recordings),
            traces={key: SignalBatch.of([r.traces[key] for r in recordings]) for key in recordings[0].traces},
            stimuli=tuple(r.stimulus for r in recordings),
        )

    @property
    def duration_ns(self) -> int:
        """Length of every run."""
        return self.header.duration_ns

    def __len__(self) -> int:
        return len(self.status)

    def __getitem__(self, b: int) -> Recording:
        if not -len(self) <= b < len(self):
            raise IndexError(f"batch of {len(self)} runs has no run {b}")
        b %= len(self)
        changes: dict[str, Any] = {"run": int(self.runs[b]), "t0_ns": int(self.t0_ns[b])}
        if self.stimuli:
            changes["stimulus"] = self.stimuli[b]
        rows = {output: int(self.signal_rows[output][b]) for output in self.signal_rows}
        return Recording(
            header=attrs.evolve(self.header, **changes),
            spikes={node: batch[b] for node, batch in self.spikes.items()},
            signals={
                output: Signal(self.signal_t[output][: rows.get(output)], values[b][: rows.get(output)])
                for output, values in self.signals.items()
            },
            traces={key: batch[b] for key, batch in self.traces.items()},
            stats={counter: per_run[b] for counter, per_run in self.stats.items()},
            intervals=self.intervals[b] if self.intervals else np.empty(0, INTERVAL),
            diagnostics=self.diagnostics[b] if self.diagnostics else (),
            status=self.status[b],
        )

    def __repr__(self) -> str:
        total = sum(len(batch.events) for batch in self.spikes.values())
        ends = ", ".join(f"{self.status.count(status)} {status}" for status in dict.fromkeys(self.status))
        return f"<BatchRecording of {len(self)} runs of {self.header.device}: {ends}, {total} events>"


def _stack(output: str, runs: Sequence[Signal]) -> tuple[NDArray[np.floating[Any]], I64, I64]:
    """Signals of several runs as values (B, T, n), common times (T,) and rows per run (B,)."""
    longest = max(runs, key=lambda run: len(run.t))
    for b, run in enumerate(runs):
        if not np.array_equal(run.t, longest.t[: len(run.t)]):
            raise ConfigError(f"signal {output!r} of run {b} was sampled at other times than in the longest run", run=b)
    values = np.full((len(runs), *longest.values.shape), np.nan, longest.values.dtype)
    for b, run in enumerate(runs):
        values[b, : len(run.t)] = run.values
    return values, longest.t, np.array([len(run.t) for run in runs], np.int64)


def read_recording(path: str | Path, *, verify: bool = True) -> Recording:
    """Read a recording, also one exported to HDF5 or Parquet. Columns are read when first used.

    A run that was never finished, or a file that lost its end, gives back every complete batch; the status is then
    "interrupted" and the diagnostics say what is missing.

    Args:
        path: the directory; or the HDF5 file.
        verify: check each stream against its checksum when it is read (HDF5 has none).

    Raises:
        FormatError: not a recording, one of another format, or (when a column is read) a checksum differs.
        OptionalDependencyError: (when a column is read) Parquet without the extra `parquet`.
    """
    path = as_path(path, "read_recording")
    if path.is_file():
        from hal.exchange import hdf5

        return Recording(**hdf5.contents(path))
    return Recording(**readback.contents(path, verify))
