"""The vendor's simulator as a device: clocked, spikes counted per step, on the registers of the chip."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hal.device import Device, Reset
from hal.errors import StateError
from hal.intake import Checked, channels
from hal.mapping import Mapping
from hal.pace import Pace
from hal.recorder import Recorder
from hal_dynapse2 import readout, silicon
from hal_dynapse2.config import Dynapse2Config
from hal_emulators import dynapsim

FIRST_PIECE = 256
"""Steps handed to the emulator at first."""


class DynapsimDevice(Device):
    """Clocked: input acts in its step, spikes one step later; a neuron may spike several times in a step."""

    _simulator: dynapsim.DynapSim

    def _load(self, mapping: Mapping) -> None:
        config: Dynapse2Config = mapping.config
        self.spec = silicon.counting(self.spec, config)
        self._simulator = silicon.simulator(config)
        self._step_ns = int(config.step_ns or 1)
        self._heard = readout.heard(config)
        self._taps = readout.taps(mapping)
        self._pace = Pace(FIRST_PIECE)

    def _reset(self, mode: Reset) -> None:
        self._simulator.reset()

    def _run(self, stimulus: Checked, duration_ns: int, recorder: Recorder) -> None:
        config: Dynapse2Config = self.mapping.config
        when, channel = channels(stimulus, {port.name: port.shape for port in config.inputs})
        when = when // self._step_ns
        order = np.lexsort((channel, when))
        when, channel = when[order], channel[order]
        probes = [probe for probe in self.mapping.record if probe.variable != "spikes"]
        sampled = [probe for probe in probes if probe.every_ns is not None]
        wanted = [
            dynapsim.Probe(p.variable, readout.rows(config, p), int(p.every_ns or 1) // self._step_ns) for p in sampled
        ]
        grid = math.lcm(*(probe.every for probe in wanted)) if wanted else 1
        for start, steps in self._pace.pieces(duration_ns // self._step_ns, grid):
            low, high = np.searchsorted(when, (start, start + steps))
            result = self._advance(steps, when[low:high] - start, channel[low:high], wanted, config, start)
            self._deliver(config, result, start, recorder)
            for probe, trace in zip(sampled, result.traces, strict=True):
                t = start * self._step_ns + np.arange(len(trace)) * int(probe.every_ns or 1)
                recorder.sample(probe.node, probe.variable, t, trace)
            recorder.advance((start + steps) * self._step_ns)
        recorder.count("events_in", self._whole(when.size))
        state = self._simulator.state()
        targets = np.diff(self._simulator.w_rec.indptr) > 0
        recorder.count("pending", self._by_core(config, np.where(targets, state.spikes, 0)))
        for probe in probes:
            if probe.every_ns is None and duration_ns:
                values = getattr(state, probe.variable)[readout.rows(config, probe)]
                recorder.sample(probe.node, probe.variable, np.array([duration_ns - 1]), values[None, :])

    def _advance(
        self, steps: int, when: Any, channel: Any, wanted: Any, config: Dynapse2Config, start: int
    ) -> dynapsim.Result:
        try:
            return self._simulator.run(steps, when, channel, probe=wanted)
        except dynapsim.StateError as error:
            name, index = readout.who(config, error.neuron)
            raise StateError(
                f"{name}, neuron {index}: a current is no number any more in step {start + error.step}",
                hint="smaller weights; the rule is explicit and steps too long make it run away",
                node=name,
                index=index,
                step=start + error.step,
            ) from error

    def _deliver(self, config: Dynapse2Config, result: dynapsim.Result, start: int, recorder: Recorder) -> None:
        t = np.repeat((result.spike_step + start) * self._step_ns, result.spike_count)
        t, row = self._heard.of(t, np.repeat(result.spike_index.astype(np.int64), result.spike_count))
        for key, ranges in self._taps.items():
            there, index = readout.tapped(row, ranges)
            recorder.emit(key, t[there], index)
        recorder.count("events_out", self._by_core(config, result.spikes))
        recorder.count("synops", self._whole(result.synops))

    def _whole(self, count: int) -> Any:
        values = np.zeros(self.spec.cores, np.int64)
        values[0] = count
        return values

    def _by_core(self, config: Dynapse2Config, values: Any) -> Any:
        return np.bincount(config.neurons.core_place, values, self.spec.cores).astype(np.int64)
