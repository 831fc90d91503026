"""A device: the registers go into an emulator, events into and spikes out of it. Here a real chip would be driven."""

from __future__ import annotations

from typing import Any

import numpy as np
from hal.device import Device, Reset
from hal.fit import Finding
from hal.intake import Checked
from hal.mapping import Mapping
from hal.pace import Pace
from hal.probes import feeding
from hal.recorder import Recorder
from numpy.typing import NDArray

from hal_mychip.config import CORES, NEURONS_PER_CORE, MychipConfig, MychipOpenOptions
from hal_mychip.emulator import Emulator

I64 = NDArray[np.int64]


class MychipDevice(Device):
    """The emulated chip."""

    options: MychipOpenOptions

    # region: load
    def _load(self, mapping: Mapping) -> None:
        registers: MychipConfig = mapping.config
        self._registers = registers
        self._chip = Emulator(
            channels=sum(block.size for block in registers.inputs),
            threshold=registers.threshold,
            decrement=registers.decrement,
            synapses=(registers.first, registers.target, registers.weight, registers.late),
            events_per_step=self.options.events_per_step,
        )
        first, self._at = 0, {}
        for block in registers.populations:
            self._at[block.name] = (first, first + block.size)
            first += block.size
        # of every key of the recording the neurons behind it
        self._taps = {key: [self._at[name] for name in names] for key, names in feeding(mapping).items()}
        self._pace = Pace(64, most=4096)

    def _reset(self, mode: Reset) -> None:
        self._chip.reset()

    # endregion

    # region: run
    def _run(self, stimulus: Checked, duration_ns: int, recorder: Recorder) -> None:
        step_ns = self._registers.step_ns
        when, source = self._events(stimulus)
        dropped, pending = 0, np.zeros(0, np.int64)
        for start, count in self._pace.pieces(duration_ns // step_ns):
            low, high = np.searchsorted(when, (start, start + count))
            result = self._chip.run(count, when[low:high] - start, source[low:high])
            self._emit((start + result.step) * step_ns, result.neuron, recorder)
            recorder.count("events_in", self._per_core(0, high - low - result.dropped))
            recorder.count("dropped", self._per_core(0, result.dropped))
            recorder.count("events_out", self._per_core(result.neuron))
            recorder.count("synops", self._per_core(np.arange(result.synops.size), result.synops))
            recorder.count("saturated", self._per_core(np.arange(result.synops.size), result.saturated))
            dropped, pending = dropped + result.dropped, result.pending
            recorder.advance((start + count) * step_ns)
        recorder.count("pending", self._per_core(np.arange(pending.size), pending))
        if dropped:
            reason = f"{dropped} input events above {self.options.events_per_step} per step were dropped"
            recorder.note(Finding(level="changed", node="", field="input events", reason=reason))
        self._states(duration_ns, recorder)

    # endregion

    def _events(self, stimulus: Checked) -> tuple[I64, I64]:
        """Step and channel of all events, in order of arrival."""
        t, source, base = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
        for block in self._registers.inputs:
            events: Any = stimulus[block.name]
            t.append(events["t"])
            source.append(events["index"].astype(np.int64) + base)
            base += block.size
        times = np.concatenate(t)
        order = np.argsort(times, kind="stable")
        return times[order] // self._registers.step_ns, np.concatenate(source)[order]

    def _emit(self, t: I64, neuron: I64, recorder: Recorder) -> None:
        """Each recorded key gets the spikes of the neurons behind it, in its own indices."""
        for key, runs in self._taps.items():
            index = np.full(neuron.size, -1)
            for first, last in runs:
                mine = (neuron >= first) & (neuron < last)
                index[mine] = neuron[mine] - first
            recorder.emit(key, t[index >= 0], index[index >= 0])

    def _per_core(self, neuron: Any, count: Any = 1) -> I64:
        """Counts of neurons as counts of their cores."""
        cores = np.zeros(CORES, np.int64)
        np.add.at(cores, np.asarray(neuron) // NEURONS_PER_CORE, count)
        return cores

    def _states(self, duration_ns: int, recorder: Recorder) -> None:
        """Probes of v: its value at the end of the run."""
        for probe in self.mapping.record:
            if probe.variable == "v" and duration_ns:
                first, last = self._at[probe.node]
                values = self._chip.v[first:last]
                chosen = values if probe.indices is None else values[list(probe.indices)]
                recorder.sample(probe.node, "v", np.array([duration_ns - 1]), chosen[None, :])
