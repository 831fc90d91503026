"""An emulated DYNAP-SE2: registers in, the host's events in, events of monitored neurons out, in continuous time."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hal.device import Device, Reset
from hal.errors import ConfigError, Problem
from hal.intake import Checked, channels
from hal.mapping import Mapping
from hal.pace import Pace
from hal.recorder import Recorder
from hal_dynapse2 import readout, silicon
from hal_dynapse2.config import Dynapse2Config
from hal_dynapse2.options import Dynapse2OpenOptions
from hal_emulators.dpi import Chip, Probe, Result

I64 = NDArray[np.int64]

GRID_NS: Final = 1000
"""Time stamps of the host are whole microseconds."""
FIRST_PIECE_NS: Final = 5_000_000
"""Handed to the emulator at first."""


class Dynapse2Device(Device):
    """Continuous: nothing waits for a step; events are stamped in microseconds."""

    options: Dynapse2OpenOptions
    _chip: Chip

    def _load(self, mapping: Mapping) -> None:
        config: Dynapse2Config = mapping.config
        self.spec = silicon.counting(self.spec, config)
        try:
            self._chip = silicon.chip(config, self.options, self.seed)
        except ValueError as error:
            problem = Problem(str(error), "registers")
            raise ConfigError("no circuit behaves with these biases", problems=[problem]) from error
        self._heard = readout.heard(config)
        self._taps = readout.taps(mapping)
        self._pace = Pace(FIRST_PIECE_NS, least=GRID_NS, most=1 << 50)

    def _reset(self, mode: Reset) -> None:
        self._chip.reset()

    def _run(self, stimulus: Checked, duration_ns: int, recorder: Recorder) -> None:
        config: Dynapse2Config = self.mapping.config
        when, channel = channels(stimulus, {port.name: port.shape for port in config.inputs})
        self._chip.reseed(self.run_number)
        probes = [probe for probe in self.mapping.record if probe.variable != "spikes"]
        sampled = [probe for probe in probes if probe.every_ns is not None]
        wanted = [Probe(p.variable, readout.rows(config, p), int(p.every_ns or 1)) for p in sampled]
        # every sample of a piece falls on the piece's own grid
        grid = math.lcm(*(probe.every_ns for probe in wanted)) if wanted else 1
        pending = 0
        for start, length in self._pace.pieces(duration_ns, grid):
            low, high = np.searchsorted(when, (start, start + length))
            clock = self._chip.clock_ns
            result = self._chip.run(length, when[low:high] - start, channel[low:high], wanted)
            self._deliver(result, start, clock, recorder)
            pending = result.packets_pending + result.pulses_pending
            for probe, trace in zip(sampled, result.traces, strict=True):
                t = start + np.arange(len(trace)) * int(probe.every_ns or 1)
                recorder.sample(probe.node, probe.variable, t, trace)
            recorder.advance(start + length)
        recorder.count("events_in", self._per_core(np.array([when.size])))
        recorder.count("pending", self._per_core(np.array([pending])))
        for probe in probes:
            if probe.every_ns is None and duration_ns:
                values = self._chip.state(probe.variable)[readout.rows(config, probe)]
                recorder.sample(probe.node, probe.variable, np.array([duration_ns - 1]), values[None, :])

    def _deliver(self, result: Result, start: int, clock: int, recorder: Recorder) -> None:
        """One piece's spikes, as the host hears and stamps them, counts, and intervals in which events were lost."""
        began = clock - start
        t = np.maximum((result.spike_t_ns + clock) // GRID_NS * GRID_NS - began, 0)
        t, row = self._heard.of(t, result.spike_neuron)
        for key, ranges in self._taps.items():
            there, index = readout.tapped(row, ranges)
            recorder.emit(key, t[there], index)
        for counter, values in (
            ("events_out", result.spikes),
            ("synops", result.synops),
            ("dropped", result.dropped),
            ("lost", result.lost),
            ("queued_ns", result.queued_ns.astype(np.int64)),
        ):
            recorder.count(counter, self._per_core(values))
        for core, (first, last) in zip(result.overload_core.tolist(), result.overload_ns.tolist(), strict=True):
            recorder.interval("dropped", core, start + first, start + last)

    def _per_core(self, values: NDArray[Any]) -> I64:
        out = np.zeros(self.spec.cores, np.int64)
        out[: values.size] = values
        return out
