"""An emulated Loihi: registers in, host spikes in, spikes out, one step after another."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.device import Device, Reset
from hal.errors import StateError
from hal.events import Probe
from hal.fit import Finding
from hal.intake import Checked
from hal.mapping import Mapping
from hal.pace import Pace
from hal.recorder import Recorder
from hal_emulators.loihi import Board, Compartments, RegisterOverflowError, Result, Synapses
from hal_loihi import readout
from hal_loihi.config import LoihiConfig
from hal_loihi.costs import Costs
from hal_loihi.limits import CORES_PER_CHIP
from hal_loihi.options import LoihiOpenOptions

FIRST_CHUNK = 64
"""Steps handed to the emulator at first."""

I64 = NDArray[np.int64]


def build(config: LoihiConfig, options: LoihiOpenOptions, seed: int) -> Board:
    """The emulator of a configuration."""
    n, rows = config.compartments, config.compartments.core
    cores, s = config.cores, config.synapses
    compartments = Compartments(
        decay_u=n.decay_u,
        decay_v=n.decay_v,
        vth=n.vth,
        bias=n.bias,
        refract=n.refract_delay,
        vmin=cores.vmin[rows],
        vmax=cores.vmax[rows],
        enable_noise=cores.enable_noise[rows],
        noise_exp=cores.noise_exp[rows],
        noise_offset=cores.noise_offset[rows],
        noise_at_membrane=cores.noise_at_membrane[rows],
    )
    synapses = Synapses(indptr=s.indptr, target=s.target, weight=config.weights(), delay=s.delay)
    return Board(
        compartments, synapses, config.n_inputs, overflow=options.overflow, seed=seed, core=config.places[rows]
    )


class LoihiDevice(Device):
    """Clocked: an event of step k reaches its targets in step k + 1."""

    options: LoihiOpenOptions
    _board: Board

    def _load(self, mapping: Mapping) -> None:
        config: LoihiConfig = mapping.config
        cores = (int(config.cores.chip.max(initial=0)) + 1) * CORES_PER_CHIP
        if cores != self.spec.cores:
            # counters have a place for every core of every chip
            self.spec = attrs.evolve(self.spec, cores=cores)
        self._config = config
        self._board = build(config, self.options, self.seed)
        self._taps = readout.taps(mapping)
        self._pace = Pace(FIRST_CHUNK)
        self._pending = _Pending(config)

    def _reset(self, mode: Reset) -> None:
        self._board.reset()
        self._pending = _Pending(self._config)

    def _run(self, stimulus: Checked, duration_ns: int, recorder: Recorder) -> None:
        step_ns = self._config.step_ns
        steps = duration_ns // step_ns
        when, source = self._events(stimulus, steps, recorder)
        probes = [probe for probe in self.mapping.record if probe.variable != "spikes"]
        sampled = [probe for probe in probes if probe.every_ns is not None]
        # every sample of a chunk falls on the chunk's own grid
        grid = math.lcm(*(int(probe.every_ns or 0) // step_ns for probe in sampled)) if sampled else 1
        wanted = [readout.wanted(self._config, probe, self.options.v_register) for probe in sampled]
        costs = Costs(self._config, self.options, self.spec.cores) if self.options.timed else None
        if self._config.cores.enable_noise.any():
            stream = np.random.SeedSequence([self.seed, self.run_number]).generate_state(1, np.uint64)[0]
            self._board.reseed(int(stream))
        for start, n in self._pace.pieces(steps, grid):
            low, high = np.searchsorted(when, (start, start + n))
            result = self._advance(n, when[low:high] - start, source[low:high], wanted, start)
            self._deliver(result, start, sampled, recorder)
            fed = when[low:high] - start, source[low:high]
            fired = result.spike_step, result.spike_index.astype(np.int64) + self._config.n_inputs
            for spikes in (fed, fired):
                self._pending.add(*spikes)
            self._pending.advance(n)
            if costs is not None:
                both = [np.concatenate(pair) for pair in zip(fed, fired, strict=True)]
                costs.add(start, n, both[0], both[1])
            recorder.advance((start + n) * step_ns)
        self._whole("events_in", 0, when.size, recorder)
        if costs is not None:
            recorder.count("busy_ns", costs.busy.astype(np.int64))
            recorder.note(costs.finding(duration_ns))
        recorder.count("pending", self._pending.counts(self.spec.cores))
        for probe in probes:
            if probe.every_ns is None and steps:
                values = readout.state(self._config, self._board, probe, self.options.v_register)
                recorder.sample(probe.node, probe.variable, np.array([duration_ns - 1]), values[None, :])

    def _advance(self, n: int, when: I64, source: I64, probes: list[Any], start: int) -> Result:
        try:
            return self._board.run(n, when, source, probe=probes)
        except RegisterOverflowError as error:
            name, index = readout.who(self._config, error.compartment)
            raise StateError(
                f"{name}, neuron {index}: the {error.kind} overflowed in step {start + error.step}",
                hint="smaller weights or biases, fewer spikes at once, or overflow='wrap'",
                node=name,
                index=index,
                step=start + error.step,
            ) from error

    def _events(self, stimulus: Checked, steps: int, recorder: Recorder) -> tuple[I64, I64]:
        """Step and source of the host's spikes, in order; what is above the limit per step is dropped and counted."""
        when, source = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        base = 0
        for port in self._config.inputs:
            events: Any = stimulus[port.name]
            when.append(events["t"] // self._config.step_ns)
            source.append(events["index"].astype(np.int64) + base)
            base += math.prod(port.shape)
        t, index = np.concatenate(when), np.concatenate(source)
        order = np.lexsort((index, t))
        t, index = t[order], index[order]
        most = self.options.max_input_spikes_per_step
        if most is None or not t.size:
            return t, index
        rank = np.arange(t.size) - np.searchsorted(t, t)
        kept = rank < most
        lost = int(t.size - np.count_nonzero(kept))
        if lost:
            self._whole("dropped", 0, lost, recorder)
            recorder.note(
                Finding(
                    level="changed",
                    node="",
                    field="max_input_spikes_per_step",
                    reason=f"{lost} host spikes above the limit per step were dropped, those of the highest channels",
                    wanted=int(rank.max()) + 1,
                    realised=most,
                )
            )
        return t[kept], index[kept]

    def _deliver(self, result: Result, start: int, sampled: list[Probe], recorder: Recorder) -> None:
        """One chunk's spikes, samples and counts."""
        step_ns = self._config.step_ns
        t = (result.spike_step + start) * step_ns
        for key, ranges in self._taps.items():
            where = np.zeros(t.size, bool)
            index = result.spike_index.astype(np.int64)
            for first, size in ranges:
                mine = (index >= first) & (index < first + size)
                where |= mine
                index[mine] -= first
            recorder.emit(key, t[where], index[where])
        for probe, trace in zip(sampled, result.traces, strict=True):
            every = int(probe.every_ns or 1)
            recorder.sample(probe.node, probe.variable, start * step_ns + np.arange(len(trace)) * every, trace)
        for counter, values in (
            ("events_out", result.spikes),
            ("synops", result.synops),
            ("overflowed", result.overflowed.sum(axis=0)),
            ("saturated", result.saturated),
        ):
            per_core = np.zeros(self.spec.cores, np.int64)
            per_core[: values.size] = values
            recorder.count(counter, per_core)

    def _whole(self, counter: str, core: int, count: int, recorder: Recorder) -> None:
        values = np.zeros(self.spec.cores, np.int64)
        values[core] = count
        recorder.count(counter, values)


class _Pending:
    """Spikes still under way, those of runs before included: a spike is until its slowest synapse was reached."""

    def __init__(self, config: LoihiConfig) -> None:
        self.config = config
        s = config.synapses
        # -1: a source without synapses; its spikes are never under way
        self.slowest = np.full(s.indptr.size - 1, -1, np.int64)
        of = np.repeat(np.arange(s.indptr.size - 1), np.diff(s.indptr))
        np.maximum.at(self.slowest, of, s.delay.astype(np.int64) + 1)
        self.arrives = self.source = np.empty(0, np.int64)

    def add(self, when: I64, source: I64) -> None:
        """Spikes of sources, in steps from now."""
        self.arrives = np.concatenate([self.arrives, when + self.slowest[source]])
        self.source = np.concatenate([self.source, source])

    def advance(self, steps: int) -> None:
        """Time goes on: what has arrived is forgotten."""
        waits = self.arrives >= steps
        self.arrives, self.source = self.arrives[waits] - steps, self.source[waits]

    def counts(self, cores: int) -> I64:
        """(cores,) spikes under way by core of their source, 0 for the host's."""
        core = np.zeros(self.source.size, np.int64)
        own = self.source >= self.config.n_inputs
        compartment = self.source[own] - self.config.n_inputs
        core[own] = self.config.places[self.config.compartments.core[compartment]]
        return np.bincount(core, minlength=cores)
