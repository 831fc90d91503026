"""An emulated Speck: registers in, events in, events out."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal.device import Device, Reset
from hal.errors import DoesNotFitError
from hal.fit import Finding, FitReport
from hal.intake import Checked
from hal.mapping import Mapping
from hal.recorder import Recorder
from hal_dynapcnn import readout, routing
from hal_dynapcnn.config import CnnLayerConfig, SpeckConfig, SpeckOpenOptions
from hal_emulators.dynapcnn import Chain, CoreParams

FIRST_CHUNK = 1024
"""Events handed to the emulator at first; the number follows what takes about CHUNK_S."""
CHUNK_S = 0.03
"""Wall seconds between two hand-overs to the recorder."""


def core_params(layer: CnnLayerConfig) -> CoreParams:
    """The emulator's view of one core: rows before columns."""
    d = layer.dimensions
    pooling = next((destination.pooling for destination in layer.destinations if destination.enable), 1)
    return CoreParams(
        weights=np.ascontiguousarray(layer.weights.transpose(0, 1, 3, 2)),
        bias=layer.biases,
        in_shape=d.input_shape.shape,
        stride=(d.stride.y, d.stride.x),
        padding=(d.padding.y, d.padding.x),
        threshold_high=layer.threshold_high,
        threshold_low=layer.threshold_low,
        return_to_zero=layer.return_to_zero,
        leak_enable=layer.leak_enable,
        pooling=pooling,
        initial_state=np.ascontiguousarray(layer.neurons_initial_value.transpose(0, 2, 1)),
    )


def build(config: SpeckConfig, options: SpeckOpenOptions) -> tuple[list[int], Chain]:
    """The cores in order, and their emulator."""
    route = routing.chain(config)
    return route, Chain([core_params(config.cnn_layers[core]) for core in route], odd=options.odd_pooling)


class SpeckDevice(Device):
    """Asynchronous and untimed: every event runs through all cores before the next one."""

    options: SpeckOpenOptions
    _chain: Chain

    def _load(self, mapping: Mapping) -> None:
        refused = routing.refusals(mapping.config)
        if refused:
            raise DoesNotFitError(FitReport(device=self.spec.name, findings=tuple(refused)))
        self._route, self._chain = build(mapping.config, self.options)
        self._leaky = [mapping.config.cnn_layers[core].leak_enable for core in self._route]
        self._chunk = FIRST_CHUNK
        self._now_ns = 0

    def _reset(self, mode: Reset) -> None:
        self._chain.reset()
        self._now_ns = 0

    def _run(self, stimulus: Checked, duration_ns: int, recorder: Recorder) -> None:
        taps = readout.taps(self.mapping, self.recorded_events())
        events: Any = next(value for name, value in stimulus.items() if not name.startswith("@"))
        t = np.ascontiguousarray(events["t"])
        index = np.ascontiguousarray(events["index"])
        ticks = self._ticks(stimulus, duration_ns)
        if not any(self._leaky):
            ticks = ticks[:0]
        done = ticked = 0
        while done < t.size or ticked < ticks.size:
            began = time.perf_counter()
            end = min(done + self._chunk, t.size)
            last = ticks.size if end == t.size else int(np.searchsorted(ticks, t[end - 1], side="right"))
            self._step(t[done:end], index[done:end], ticks[ticked:last], taps, recorder)
            reached = duration_ns if end == t.size else int(t[end - 1])
            recorder.advance(reached)
            done, ticked = end, max(last, ticked)
            self._adapt(time.perf_counter() - began)
        self._now_ns += duration_ns
        self._states(duration_ns, recorder)
        self._pooling_finding(recorder)

    def _adapt(self, took_s: float) -> None:
        """Grow or shrink the chunk; results do not depend on it."""
        if took_s < CHUNK_S / 2:
            self._chunk = min(2 * self._chunk, 1 << 20)
        elif took_s > 2 * CHUNK_S:
            self._chunk = max(self._chunk // 2, 64)

    def _ticks(self, stimulus: Checked, duration_ns: int) -> NDArray[np.int64]:
        """Slow-clock ticks of this run: the port's, and those of the board's clock."""
        port: Any = stimulus["@slow_clock"]
        ticks = np.ascontiguousarray(port["t"])
        hz = self.options.slow_clock_hz
        if hz is not None:
            period = 1e9 / hz
            first = int(np.floor(self._now_ns / period)) + 1
            last = int(np.floor((self._now_ns + duration_ns - 1) / period)) if duration_ns else first - 1
            own = np.rint(np.arange(first, last + 1) * period).astype(np.int64) - self._now_ns
            ticks = np.sort(np.concatenate([ticks, own[(own >= 0) & (own < duration_ns)]]), kind="stable")
        return ticks

    def _step(
        self,
        t: NDArray[np.int64],
        index: NDArray[np.uint32],
        ticks: NDArray[np.int64],
        taps: list[readout.Tap],
        recorder: Recorder,
    ) -> None:
        """One chunk through the chain, and what it did to the recorder."""
        results = self._chain.run(t, index, ticks).cores
        by_core = dict(zip(self._route, results, strict=True))
        for tap in taps:
            result = by_core[tap.core]
            recorder.emit(tap.key, *tap.read(result.t, result.index))
        for counter in ("events_in", "events_out", "synops", "saturated", "dropped_by_pooling"):
            self._count(counter, [getattr(result, counter) for result in results], recorder)
        for tap in taps:
            if tap.pool > 1:
                lost = by_core[tap.core].t.size - tap.read(by_core[tap.core].t, by_core[tap.core].index)[0].size
                self._count("dropped_by_pooling", [lost * (core == tap.core) for core in self._route], recorder)
        self._count("ticks", [ticks.size * leaky for leaky in self._leaky], recorder)

    def _count(self, counter: str, along_route: list[int], recorder: Recorder) -> None:
        per_core = np.zeros(self.spec.cores, np.int64)
        per_core[self._route] = along_route
        recorder.count(counter, per_core)

    def _states(self, duration_ns: int, recorder: Recorder) -> None:
        for probe in self.mapping.record:
            if probe.variable != "v" or not duration_ns:
                continue
            core = int(self.mapping.placement.where(probe.node)["core"][0])
            values = self._chain.state(self._route.index(core)).ravel()
            if probe.indices is not None:
                values = values[list(probe.indices)]
            recorder.sample(probe.node, "v", np.array([duration_ns - 1], np.int64), values[None, :].astype(np.float64))

    def _pooling_finding(self, recorder: Recorder) -> None:
        """Odd sizes are a diagnostic, once per run and core."""
        for core in self._route[:-1]:
            layer = self.mapping.config.cnn_layers[core]
            _, y, x = layer.dimensions.output_shape.shape
            pool = next(d.pooling for d in layer.destinations if d.enable)
            if y % pool or x % pool:
                policy = "dropped" if self.options.odd_pooling == "drop" else "delivered beside the next map"
                recorder.note(
                    Finding(
                        level="note",
                        node="",
                        field=f"cnn_layers[{core}].destinations",
                        reason=f"a map of {y} x {x} pooled by {pool} leaves an incomplete row or column; its spikes "
                        f"were {policy} (odd_pooling={self.options.odd_pooling!r}; the chip's way is not published)",
                    )
                )
