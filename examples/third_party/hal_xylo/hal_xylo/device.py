"""An emulated Xylo: registers in, counts of events in, spikes out, one step after another."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hal.device import Device, Reset
from hal.events import Probe
from hal.fit import Finding
from hal.intake import Checked
from hal.mapping import Mapping
from hal.pace import Pace
from hal.probes import feeding
from hal.recorder import Recorder
from numpy.typing import NDArray

from hal_xylo.config import RunConfig, XyloConfig
from hal_xylo.cycles import Load
from hal_xylo.emulator import Core, Result
from hal_xylo.limits import MAX_INPUT
from hal_xylo.options import XyloOpenOptions

FIRST_PIECE = 64
"""Steps handed to the emulator at first."""
LONGEST_PIECE = 1 << 10
"""So that memory stays the same however long a run is."""

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


class XyloDevice(Device):
    """Clocked: an input event of a step acts in that step, a spike of a neuron in the next one."""

    options: XyloOpenOptions
    _core: Core

    def _load(self, mapping: Mapping) -> None:
        self._config: XyloConfig = mapping.config
        self._core = Core(self._config.registers())
        self._cost = Load.of(self._config)
        self._places = _places(self._config)
        self._pace = Pace(FIRST_PIECE, most=LONGEST_PIECE)

    def _reset(self, mode: Reset) -> None:
        self._core.reset()

    def _run(self, stimulus: Checked, duration_ns: int, recorder: Recorder) -> None:
        step_ns = self._config.step_ns
        steps = duration_ns // step_ns
        when, channel = self._events(stimulus)
        probes = [probe for probe in self.mapping.record if probe.variable != "spikes"]
        sampled = [probe for probe in probes if probe.every_ns is not None]
        before = feeding(self.mapping)
        tally = _Tally(step_ns, self._cycles_per_step())
        for start, n in self._pace.pieces(steps):
            low, high = np.searchsorted(when, (start, start + n))
            raster = np.zeros((n, self._core.inputs), np.int32)
            np.add.at(raster, (when[low:high] - start, channel[low:high]), 1)
            result = self._core.run(raster, trace=bool(sampled))
            self._deliver(result, start, before, recorder)
            for probe in sampled:
                self._sample(probe, result, start, recorder)
            tally.add(result, self._late(result), start)
            recorder.advance((start + n) * step_ns)
        recorder.count("events_in", [when.size])
        recorder.count("pending", [self._core.pending])
        tally.report(recorder)
        for probe in probes:
            if probe.every_ns is None and steps:
                recorder.sample(probe.node, probe.variable, np.array([duration_ns - 1]), self._final(probe)[None, :])

    # --- in and out ----------------------------------------------------------------------------------------------

    def _events(self, stimulus: Checked) -> tuple[I64, I64]:
        """Step and channel of all events, in the order of steps."""
        when, channel = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for run in self._config.inputs:
            events: Any = stimulus[run.name]
            when.append(events["t"] // self._config.step_ns)
            channel.append(events["index"].astype(np.int64) + self._places[run.name][1])
        t, c = np.concatenate(when), np.concatenate(channel)
        order = np.argsort(t, kind="stable")
        return t[order], c[order]

    def _deliver(self, result: Result, start: int, before: dict[str, tuple[str, ...]], recorder: Recorder) -> None:
        """Spikes of a piece: n spikes of a neuron in a step are n equal rows."""
        for name, sources in before.items():
            # several populations of one Output add up, element by element
            parts = []
            for readout, first, size in (self._places[source] for source in sources):
                counts = result.spikes_out if readout else result.spikes
                parts.append(counts[:, first : first + size].astype(np.int64))
            total = sum(parts[1:], parts[0])
            row, index = np.nonzero(total)
            many = total[row, index]
            t = (np.repeat(row, many) + start) * self._config.step_ns
            recorder.emit(name, t, np.repeat(index, many))

    # --- states --------------------------------------------------------------------------------------------------

    def _sample(self, probe: Probe, result: Result, start: int, recorder: Recorder) -> None:
        """The rows of a piece that fall on the probe's period."""
        every = int(probe.every_ns or 0) // self._config.step_ns
        rows = np.arange(-start % every, len(result.spikes), every)
        if not rows.size or result.trace is None:
            return
        t = result.trace
        values = self._seen(probe, t.i_syn, t.v_mem, t.i_syn_out, t.v_mem_out)
        recorder.sample(probe.node, probe.variable, (rows + start) * self._config.step_ns, values[rows])

    def _final(self, probe: Probe) -> I32:
        """What a probe sees after the last step."""
        core = self._core
        return self._seen(probe, core.i_syn, core.v_mem, core.i_syn_out, core.v_mem_out)

    def _seen(self, probe: Probe, i_syn: I32, v_mem: I32, i_syn_out: I32, v_mem_out: I32) -> I32:
        """What a probe picks of the states; the neurons are the last axis of all but i_syn (..., n, synapses)."""
        readout, first, size = self._places[probe.node]
        index = first + (np.arange(size) if probe.indices is None else np.array(probe.indices, np.int64))
        if probe.variable == "v_mem":
            values = v_mem_out if readout else v_mem
        elif readout:
            values = i_syn_out
        elif probe.variable == "i_syn":
            values = i_syn[..., 0]
        else:
            # a second current that is not in use stays at 0
            values = i_syn[..., 1] if self._core.synapses == 2 else np.zeros_like(v_mem)
        return np.asarray(values[..., index])

    # --- time ----------------------------------------------------------------------------------------------------

    def _cycles_per_step(self) -> float:
        clock_hz = self._config.clock_hz if self.options.clock_hz is None else self.options.clock_hz
        return clock_hz * self._config.step_ns * 1e-9

    def _late(self, result: Result) -> NDArray[np.bool_]:
        """Steps that need more cycles than they last."""
        if self.options.overrun == "wait":
            return np.zeros(len(result.spikes), np.bool_)
        cycles = self._cost.cycles(
            result.channels / max(self._core.inputs, 1), result.sources / max(self._core.size, 1)
        )
        return np.asarray(cycles > self._cycles_per_step())


class _Tally:
    """What is counted over a run, and the stretches of late steps."""

    def __init__(self, step_ns: int, cycles: float) -> None:
        self.step_ns, self.cycles = step_ns, cycles
        self.counts = dict.fromkeys(("events_out", "synops", "clipped_input", "saturated", "late", "hibernating"), 0)
        self.late: list[list[int]] = []

    def add(self, result: Result, late: NDArray[np.bool_], start: int) -> None:
        """A piece that begins with step `start`."""
        for name, values in (
            ("events_out", result.spikes_out),
            ("synops", result.synops),
            ("clipped_input", result.clipped),
            ("saturated", result.saturated),
            ("late", late),
            ("hibernating", result.hibernation),
        ):
            self.counts[name] += int(values.sum())
        for step in (np.flatnonzero(late) + start).tolist():
            if self.late and self.late[-1][1] == step:
                self.late[-1][1] = step + 1
            else:
                self.late.append([step, step + 1])

    def report(self, recorder: Recorder) -> None:
        """Counters, intervals, and what is to be said of them."""
        for name, count in self.counts.items():
            recorder.count(name, [count])
        for first, end in self.late:
            recorder.interval("late", 0, first * self.step_ns, end * self.step_ns)
        if self.late:
            reason = (
                f"{self.counts['late']} steps need more cycles than they last; what the chip does then is not published"
            )
            hint = "a longer step, a faster clock, or overrun='wait' for accelerated time"
            recorder.distrust(
                Finding(
                    level="changed",
                    node="",
                    field="late",
                    reason=reason,
                    wanted=f"{self.cycles:g} cycles a step",
                    hint=hint,
                )
            )
        clipped = self.counts["clipped_input"]
        if clipped:
            reason = f"{clipped} input events above {MAX_INPUT} per channel and step had no effect"
            recorder.note(Finding(level="changed", node="", field="clipped_input", reason=reason, realised=MAX_INPUT))


def _places(config: XyloConfig) -> dict[str, tuple[bool, int, int]]:
    """By name: whether output neurons, the first channel, id or output, and how many."""
    out = {}

    def lay(runs: tuple[RunConfig, ...], readout: bool) -> None:
        first = 0
        for run in runs:
            out[run.name] = (readout, first, math.prod(run.shape))
            first += run.size

    lay(config.inputs, False)
    lay(config.populations, False)
    lay(config.readouts, True)
    return out
