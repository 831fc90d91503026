"""An emulated BrainScaleS-2: registers in, the host's events in, spikes out, exactly or as the chip stamps them."""

from __future__ import annotations

import math
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.device import Device, DeviceSpec, Reset
from hal.intake import Checked
from hal.mapping import Mapping
from hal.pace import Pace
from hal.probes import feeding
from hal.recorder import Recorder
from hal_brainscales2 import silicon
from hal_brainscales2.background import Feed, Sent
from hal_brainscales2.config import BrainScaleS2Config
from hal_brainscales2.limits import COLUMNS
from hal_brainscales2.options import OpenOptions
from hal_emulators.cuba import Network, Probe, Result
from hal_emulators.link import Link

I64 = NDArray[np.int64]
Floats = NDArray[np.float64]

GRID_NS: Final = 8
"""Of the chip's time stamps."""
FIRST_PIECE: Final = 1 << 20
"""Model ns handed to the emulator at first."""


class BrainScaleS2Device(Device):
    """Continuous: spikes are where membranes reach their thresholds."""

    options: OpenOptions
    _network: Network

    def __init__(self, spec: DeviceSpec, **more: Any) -> None:
        super().__init__(spec, **more)
        self.options = silicon.resolved(self.options)
        if not self.options.stamps:
            self.spec = attrs.evolve(spec, clock=attrs.evolve(spec.clock, quantum_in_ns=1, quantum_out_ns=1))

    def _load(self, mapping: Mapping) -> None:
        self._network = silicon.network(mapping.config, self.options)
        self._speedup = mapping.speedup
        service = self.options.link_event_s or 0.0
        self._links = tuple(Link(service, self.options.link_capacity) for _ in range(2))
        self._late = np.zeros(0), np.zeros(0, np.int64)
        runs = {run.name: (run.first, run.size) for run in mapping.config.populations}
        self._taps = {key: [runs[name] for name in names] for key, names in feeding(mapping).items()}
        self._pace = Pace(FIRST_PIECE, most=1 << 50)
        config: BrainScaleS2Config = mapping.config
        self._background = Feed(config.background, silicon.tables(config))
        first = np.searchsorted(config.circuits.neuron, np.arange(config.size))
        self._core = config.circuits.circuit[first].astype(np.int64) // COLUMNS
        self._fan_out = _fan_out(self._network, self._core, self.spec.cores)
        self._now = 0

    def _reset(self, mode: Reset) -> None:
        self._network.reset()
        for link in self._links:
            link.reset()
        self._late = np.zeros(0), np.zeros(0, np.int64)
        self._now = 0

    def _seconds(self, ns: Any) -> Any:
        """Chip seconds since the reset, of model ns since then."""
        return ns * 1e-9 / self._speedup

    def _run(self, stimulus: Checked, duration_ns: int, recorder: Recorder) -> None:
        config: BrainScaleS2Config = self.mapping.config
        when, channel = _channels(config, stimulus)
        noise = self.rng()
        start_ns, pending = self._now, 0
        probes = [probe for probe in self.mapping.record if probe.variable != "spikes"]
        sampled = [probe for probe in probes if probe.every_ns is not None]
        wanted = [Probe(p.variable, _rows(config, p), self._seconds(int(p.every_ns or 1))) for p in sampled]
        for start, length in self._pace.pieces(duration_ns):
            low, high = np.searchsorted(when, (start, start + length))
            self._now = start_ns + start + length
            times, sent = self._sent(when[low:high] + start_ns, channel[low:high], start_ns, duration_ns, recorder)
            until_s = self._seconds(self._now)
            own = self._background.between(self._network.clock_s, until_s)
            sent = np.concatenate([sent, own.number + config.n_inputs])
            result = self._network.run(until_s, np.concatenate([times, own.t]), sent, wanted)
            pending = result.pending + self._late[0].size
            self._deliver(result, own, start_ns, duration_ns, noise, recorder)
            sources = np.concatenate([sent, result.neuron + self._network.n_inputs])
            recorder.count("synops", self._fan_out[sources].sum(axis=0))
            for probe, (at, values) in zip(sampled, result.traces, strict=True):
                t = np.clip(np.rint(at * self._speedup * 1e9).astype(np.int64) - start_ns, 0, duration_ns - 1)
                recorder.sample(probe.node, probe.variable, t, values)
            recorder.advance(start + length)
        self._count("events_in", 0, when.size, recorder)
        self._count("pending", 0, pending, recorder)
        for probe in probes:
            if probe.every_ns is None and duration_ns:
                values = self._network.state(probe.variable)[_rows(config, probe)]
                recorder.sample(probe.node, probe.variable, np.array([duration_ns - 1]), values[None, :])

    def _sent(self, when: I64, channel: I64, start_ns: int, duration_ns: int, recorder: Recorder) -> tuple[Floats, I64]:
        """Times on the chip (s since the reset) and channels of events that came over the link by now.

        What is still on the link waits for the next piece; what finds it full is counted.
        """
        passed = self._links[0].send(self._seconds(when))
        lost = when[~passed.kept]
        if lost.size:
            self._count("dropped", 0, lost.size, recorder)
            low, high = (int(np.clip(t - start_ns, 0, duration_ns)) for t in (lost[0], lost[-1]))
            recorder.interval("dropped", 0, low, high)
        t = np.concatenate([self._late[0], passed.t[passed.kept]])
        index = np.concatenate([self._late[1], channel[passed.kept]])
        there = t < self._seconds(self._now)
        self._late = t[~there], index[~there]
        return t[there], index[there]

    def _deliver(
        self,
        result: Result,
        own: Sent,
        start_ns: int,
        duration_ns: int,
        noise: np.random.Generator,
        recorder: Recorder,
    ) -> None:
        """One piece's spikes, as the host stamps them.

        Events of background sources that are let out take their time on the link; they are no node's, and not recorded.
        """
        out, neuron = _merged(result, own)
        passed = self._links[1].send(out)
        if not passed.kept.all():
            lost = out[~passed.kept] * self._speedup * 1e9 - start_ns
            self._count("dropped", 1, lost.size, recorder)
            low, high = (int(np.clip(x, 0, duration_ns)) for x in (lost[0], lost[-1]))
            recorder.interval("dropped", 1, low, high)
        # stamps are made on the chip: waiting does not change them
        kept = passed.kept & (neuron >= 0)
        t, neuron = out[kept], neuron[kept]
        if self.options.offset_s or self.options.jitter_s:
            t = t + (self.options.offset_s or 0.0) + noise.normal(0.0, self.options.jitter_s or 0.0, t.size)
        if self.options.stamps:
            grid = GRID_NS * 1e-9
            t = np.floor(t / grid * (1 + 1e-12)) * grid
        stamp = np.floor(t * self._speedup * 1e9 * (1 + 1e-15)).astype(np.int64) - start_ns
        stamp = np.clip(stamp, 0, duration_ns - 1)
        for key, ranges in self._taps.items():
            there, index = np.zeros(stamp.size, bool), neuron.copy()
            for first, size in ranges:
                mine = (neuron >= first) & (neuron < first + size)
                there |= mine
                index[mine] -= first
            recorder.emit(key, stamp[there], index[there])
        sent = np.concatenate([self._core[result.neuron], own.hemisphere[own.to_host]])
        recorder.count("events_out", np.bincount(sent, minlength=self.spec.cores).astype(np.int64))

    def _count(self, counter: str, core: int, count: int, recorder: Recorder) -> None:
        values = np.zeros(self.spec.cores, np.int64)
        values[core] = count
        recorder.count(counter, values)


def _fan_out(network: Network, core: I64, cores: int) -> I64:
    """(sources, hemispheres): synapses that an event of a source meets."""
    synapses = network.synapses
    source = np.repeat(np.arange(synapses.ptr.size - 1), np.diff(synapses.ptr))
    made = np.zeros((synapses.ptr.size - 1, cores), np.int64)
    np.add.at(made, (source, core[synapses.target]), 1)
    return made


def _merged(result: Result, own: Sent) -> tuple[Floats, I64]:
    """Times of all that leaves the chip, in order, and their neurons; -1 for what a background source sends."""
    t = np.concatenate([result.t, own.t[own.to_host]])
    order = np.argsort(t, kind="stable")
    neuron = np.concatenate([result.neuron, np.full(t.size - result.t.size, -1)])
    return t[order], neuron[order]


def _channels(config: BrainScaleS2Config, stimulus: Checked) -> tuple[I64, I64]:
    when, channel = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    base = 0
    for port in config.inputs:
        events: Any = stimulus[port.name]
        when.append(events["t"])
        channel.append(events["index"].astype(np.int64) + base)
        base += math.prod(port.shape)
    t, index = np.concatenate(when), np.concatenate(channel)
    order = np.lexsort((index, t))
    return t[order], index[order]


def _rows(config: BrainScaleS2Config, probe: Any) -> I64:
    run = next(run for run in config.populations if run.name == probe.node)
    index = np.arange(run.size) if probe.indices is None else np.array(probe.indices, np.int64)
    return index + run.first
