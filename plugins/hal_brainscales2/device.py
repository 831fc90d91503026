"""An emulated BrainScaleS-2: registers in, the host's events in, spikes out, exactly or as the chip stamps them."""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.device import Device, DeviceSpec, Reset
from hal.intake import Batch, Checked, channels
from hal.mapping import Mapping
from hal.pace import Pace
from hal.recorder import MemoryRecorder, Recorder
from hal.recording import BatchRecording
from hal_brainscales2 import batches, silicon
from hal_brainscales2.background import Feed, Sent
from hal_brainscales2.config import BrainScaleS2Config
from hal_brainscales2.limits import COLUMNS
from hal_brainscales2.options import OpenOptions
from hal_brainscales2.readout import PER_SPIKE, Readout, Spikes, no_spikes
from hal_emulators.cuba import Network, Probe, Result
from hal_emulators.link import Link

I64 = NDArray[np.int64]
Floats = NDArray[np.float64]

Lost = dict[int, tuple[float, float]]
"""Way -> model ns since the reset of the first and the last event that found the link full."""
FIRST_PIECE: Final = 1 << 20
"""Model ns handed to the emulator at first."""


class BrainScaleS2Device(Device):
    """Continuous: spikes are where membranes reach their thresholds."""

    options: OpenOptions
    _network: Network

    def __init__(self, spec: DeviceSpec, **more: Any) -> None:
        super().__init__(spec, **more)
        self.options = silicon.resolved(self.options, self.profile)
        if not self.options.stamps:
            self.spec = attrs.evolve(spec, clock=attrs.evolve(spec.clock, quantum_in_ns=1, quantum_out_ns=1))

    def _load(self, mapping: Mapping) -> None:
        config: BrainScaleS2Config = mapping.config
        self._network = silicon.network(config, self.options)
        self._background = Feed(config.background, silicon.tables(config))
        self._readout = Readout(mapping, self.options)
        self._to_host = silicon.to_host(config)
        self._speedup = mapping.speedup
        service = self.options.link_event_s or 0.0
        self._links = tuple(Link(service, self.options.link_capacity) for _ in range(2))
        self._pace = Pace(FIRST_PIECE, most=1 << 50)
        first = np.searchsorted(config.circuits.neuron, np.arange(config.size))
        self._core = config.circuits.circuit[first].astype(np.int64) // COLUMNS
        self._fan_out = _fan_out(self._network, self._core, self.spec.cores)
        self._rest()

    def _rest(self) -> None:
        self._late = np.zeros(0), np.zeros(0, np.int64)
        self._held = no_spikes()
        self._ahead: dict[tuple[str, str], Floats] = {}
        self._now = 0

    def _reset(self, mode: Reset) -> None:
        self._network.reset()
        for link in self._links:
            link.reset()
        self._rest()

    def _seconds(self, ns: Any) -> Any:
        """Chip seconds since the reset, of model ns since then."""
        return ns * 1e-9 / self._speedup

    def _quantum_ns(self) -> int:
        """Without stamps there is no grid, however many ns of the model are one of the chip."""
        return super()._quantum_ns() if self.options.stamps else 1

    def _run(self, stimulus: Checked, duration_ns: int, recorder: Recorder) -> None:
        self._go(stimulus, duration_ns, self.rng(), recorder)

    def _go(self, stimulus: Checked, duration_ns: int, noise: np.random.Generator, recorder: Recorder) -> None:
        config: BrainScaleS2Config = self.mapping.config
        when, channel = channels(stimulus, {port.name: port.shape for port in config.inputs})
        start_ns, under_way = self._now, 0
        lost: Lost = {}
        watched = self._watched(start_ns, duration_ns)
        for start, length in self._pace.pieces(duration_ns):
            low, high = np.searchsorted(when, (start, start + length))
            self._now = start_ns + start + length
            times, sent = self._sent(when[low:high] + start_ns, channel[low:high], lost, recorder)
            until_s = self._seconds(self._now)
            own = self._background.between(self._network.clock_s, until_s)
            sent = np.concatenate([sent, own.number + config.n_inputs])
            probes = [watch.probe for watch in watched]
            result = self._network.run(until_s, np.concatenate([times, own.t]), sent, probes)
            under_way = result.pending
            self._receive(result, own, noise, lost, recorder)
            self._deliver(until_s, start + length == duration_ns, start_ns, duration_ns, recorder)
            sources = np.concatenate([sent, result.neuron + self._network.n_inputs])
            recorder.count("synops", self._fan_out[sources].sum(axis=0))
            for watch, (at, values) in zip(watched, result.traces, strict=True):
                watch.take(at, values, recorder)
            recorder.advance(start + length)
        for way, (first, last) in lost.items():
            low, high = (int(np.clip(t - start_ns, 0, duration_ns)) for t in (first, last))
            recorder.interval("dropped", way, low, high)
        self._count("events_in", 0, when.size, recorder)
        self._count("pending", 0, under_way + self._late[0].size + self._held.t.size, recorder)
        if duration_ns:
            self._last(duration_ns, recorder)

    def _watched(self, start_ns: int, duration_ns: int) -> list[_Watch]:
        """Membranes that are read again and again: probes, and those that give Outputs their values."""
        readout, made = self._readout, []
        for probe in self.mapping.record:
            if probe.every_ns is not None:
                neurons = readout.probed(probe)
                made.append(_Watch(self, neurons, probe.every_ns, start_ns, duration_ns, (probe.node, probe.variable)))
        for output, neurons in readout.signals.items():
            step_ns = int(self.mapping.step_ns or 1)
            made.append(_Watch(self, neurons, step_ns, start_ns, duration_ns, (output, "output")))
        return made

    def _last(self, duration_ns: int, recorder: Recorder) -> None:
        """Membranes as they stand at the end of the run."""
        at = np.array([duration_ns - 1])
        v = self._network.state("v")
        for probe in self.mapping.record:
            if probe.every_ns is None and probe.variable not in ("spikes", *PER_SPIKE):
                neurons = self._readout.probed(probe)
                values = self._readout.volts(v[neurons], neurons, probe.variable)
                recorder.sample(probe.node, probe.variable, at, values[None, :])
        for output, neurons in self._readout.signals.items():
            row = np.array([duration_ns - int(self.mapping.step_ns or 1)])
            recorder.sample(output, "output", row, self._readout.volts(v[neurons], neurons, "v_cadc")[None, :])

    def _run_batch(self, stimulus: Batch, duration_ns: int, workers: int) -> BatchRecording | None:
        """All samples in one go; the loop where membranes are watched, events are lost or the chip makes its own."""
        states = any(probe.variable not in ("spikes", *PER_SPIKE) for probe in self.mapping.record)
        if states or self._readout.signals or self.mapping.config.background.on.any() or not duration_ns:
            return None
        chip = batches.Chip(
            network=self._network,
            readout=self._readout,
            link=self._links[0],
            to_host=self._to_host,
            fan_out=self._fan_out,
            core=self._core,
            seed=self.seed,
        )
        done = batches.run(chip, stimulus, duration_ns, workers, self._header(duration_ns, stimulus[0]))
        if done is not None:
            self._again(stimulus[len(stimulus) - 1], duration_ns, self.run_number + len(stimulus) - 1)
        return done

    def _again(self, sample: Checked, duration_ns: int, run: int) -> None:
        """Leave the state that the loop would have left: that of the last sample, with that run's noise."""
        self._reset(Reset.STATE)
        recorder = MemoryRecorder()
        recorder.start(self._header(duration_ns, sample))
        self._go(sample, duration_ns, np.random.default_rng([self.seed, run]), recorder)

    def _sent(self, when: I64, channel: I64, lost: Lost, recorder: Recorder) -> tuple[Floats, I64]:
        """Times on the chip (s since the reset) and channels of events that came over the link by now.

        What is still on the link waits for the next piece; what finds it full is counted.
        """
        passed = self._links[0].send(self._seconds(when))
        self._dropped(0, when[~passed.kept], lost, recorder)
        t = np.concatenate([self._late[0], passed.t[passed.kept]])
        index = np.concatenate([self._late[1], channel[passed.kept]])
        there = t < self._seconds(self._now)
        self._late = t[~there], index[~there]
        return t[there], index[there]

    def _receive(
        self,
        result: Result,
        own: Sent,
        noise: np.random.Generator,
        lost: Lost,
        recorder: Recorder,
    ) -> None:
        """One piece's events on their way to the host; stamps are made on the chip, so waiting does not change them.

        Events of background sources that are let out take their time on the link; they are no node's, and not recorded.
        """
        out = self._to_host[result.neuron]
        spikes = Spikes(result.t, self._readout.read(result.t, noise), result.neuron, result.i)[out]
        others = own.t[own.to_host]
        nobody = Spikes(others, others, np.full(others.size, -1), np.zeros(others.size))
        leaving = spikes.plus(nobody)
        leaving = leaving[np.argsort(leaving.t, kind="stable")]
        passed = self._links[1].send(leaving.t)
        self._dropped(1, leaving.t[~passed.kept] * self._speedup * 1e9, lost, recorder)
        self._held = self._held.plus(leaving[passed.kept & (leaving.neuron >= 0)])
        sent = np.concatenate([self._core[result.neuron], own.hemisphere[own.to_host]])
        recorder.count("events_out", np.bincount(sent, minlength=self.spec.cores).astype(np.int64))

    def _deliver(self, until_s: float, last: bool, start_ns: int, duration_ns: int, recorder: Recorder) -> None:
        """Spikes that the host is told of by now: in order, and none before one that may still come."""
        readout = self._readout
        told = self._held.read < (until_s if last else until_s - readout.late_s)
        spikes, self._held = self._held[told], self._held[~told]
        spikes = spikes[np.argsort(spikes.read, kind="stable")]
        stamp = readout.stamps(spikes.read, start_ns, duration_ns)
        for key in readout.places:
            there, index = readout.of(key, spikes.neuron)
            recorder.emit(key, stamp[there], index[there])
        for node, variable, run in readout.per_spike:
            mine, values = readout.rows(spikes, variable, run, start_ns * 1e-9)
            recorder.sample(node, variable, stamp[mine], values)

    def _dropped(self, way: int, t: Any, lost: Lost, recorder: Recorder) -> None:
        """Count what a link lost, at these model ns; from when to when is told once, at the end of the run.

        Told piece by piece it would depend on the pieces, which follow the clock on the wall.
        """
        if t.size:
            self._count("dropped", way, t.size, recorder)
            lost[way] = (lost[way][0] if way in lost else t[0], t[-1])

    def _count(self, counter: str, core: int, count: int, recorder: Recorder) -> None:
        values = np.zeros(self.spec.cores, np.int64)
        values[core] = count
        recorder.count(counter, values)


class _Watch:
    """Membranes read every so often. Values of Outputs stand after a step, so their first sample is a step late.

    A sample at the very end of a run is the next run's; by rounding the emulator may take it in this one, and then it
    waits in `ahead`.
    """

    def __init__(
        self, device: BrainScaleS2Device, neurons: I64, every_ns: int, start_ns: int, duration_ns: int,
        key: tuple[str, str],
    ) -> None:  # fmt: skip
        self.probe = Probe("v", neurons, device._seconds(every_ns))
        self._readout, self._neurons, self._key, self._ahead = device._readout, neurons, key, device._ahead
        self._every_ns, self._start_ns, self._duration_ns = every_ns, start_ns, duration_ns
        self._behind = every_ns if key[1] == "output" else 0

    def take(self, at: Floats, values: Floats, recorder: Recorder) -> None:
        """One piece's samples."""
        taken = np.rint(at / self.probe.every_s).astype(np.int64) * self._every_ns - self._start_ns
        if self._key in self._ahead:
            taken, values = np.append(0, taken), np.concatenate([self._ahead.pop(self._key), values])
        if taken.size and taken[-1] == self._duration_ns:
            self._ahead[self._key] = values[-1:]
        t = taken - self._behind
        own = (t >= 0) & (taken < self._duration_ns)
        variable = "v_cadc" if self._behind else self._key[1]
        recorder.sample(*self._key, t[own], self._readout.volts(values[own], self._neurons, variable))


def _fan_out(network: Network, core: I64, cores: int) -> I64:
    """(sources, hemispheres): synapses that an event of a source meets."""
    synapses = network.synapses
    source = np.repeat(np.arange(synapses.ptr.size - 1), np.diff(synapses.ptr))
    made = np.zeros((synapses.ptr.size - 1, cores), np.int64)
    np.add.at(made, (source, core[synapses.target]), 1)
    return made
