"""An emulated Speck: registers in, events in, events out."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.device import Device, Reset
from hal.errors import DoesNotFitError
from hal.fit import Finding, FitReport
from hal.intake import Batch, Checked
from hal.mapping import Mapping
from hal.probes import recorded_events
from hal.recorder import MemoryRecorder, Recorder
from hal.recording import BatchRecording, Recording
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


class Player:
    """One copy of the emulated chip: plays a stimulus into a recorder and keeps its state."""

    def __init__(self, mapping: Mapping, options: SpeckOpenOptions, recorded: dict[str, tuple[int, ...]]) -> None:
        config: SpeckConfig = mapping.config
        self.mapping = mapping
        self.options = options
        self.route = routing.chain(config)
        layers = [config.cnn_layers[core] for core in self.route]
        self.chain = Chain([core_params(layer) for layer in layers], odd=options.odd_pooling)
        self.leaky = [layer.leak_enable for layer in layers]
        self.cores = len(config.cnn_layers)
        # what is not monitored does not leave the chip
        taps = readout.taps(mapping, recorded)
        self.taps = [tap for tap in taps if config.cnn_layers[tap.core].monitor_enable]
        self.findings = _odd_findings(config, self.route, options) + _odd_readouts(self.taps)
        self.chunk = FIRST_CHUNK
        self.now_ns = 0

    def reset(self) -> None:
        """State and clock back to the start."""
        self.chain.reset()
        self.now_ns = 0

    def run(self, stimulus: Checked, duration_ns: int, recorder: Recorder) -> None:
        """Events in order, each through all cores before the next; ticks before events of their time."""
        events: Any = next(value for name, value in stimulus.items() if not name.startswith("@"))
        t, index = np.ascontiguousarray(events["t"]), np.ascontiguousarray(events["index"])
        ticks = self._ticks(stimulus, duration_ns)
        done = ticked = 0
        while done < t.size or ticked < ticks.size:
            began = time.perf_counter()
            end = min(done + self.chunk, t.size)
            last = ticks.size if end == t.size else int(np.searchsorted(ticks, t[end - 1], side="right"))
            self._step(t[done:end], index[done:end], ticks[ticked:last], recorder)
            recorder.advance(duration_ns if end == t.size else int(t[end - 1]))
            done, ticked = end, last
            self._adapt(time.perf_counter() - began)
        self.now_ns += duration_ns
        self._states(duration_ns, recorder)
        for finding in self.findings:
            recorder.note(finding)

    def _adapt(self, took_s: float) -> None:
        """Grow or shrink the chunk; results do not depend on it."""
        if took_s < CHUNK_S / 2:
            self.chunk = min(2 * self.chunk, 1 << 17)
        elif took_s > 2 * CHUNK_S:
            self.chunk = max(self.chunk // 2, 64)

    def _ticks(self, stimulus: Checked, duration_ns: int) -> NDArray[np.int64]:
        """Slow-clock ticks of this run that act on a core: the port's, and those of the board's clock."""
        if not any(self.leaky):
            return np.empty(0, np.int64)
        port: Any = stimulus["@slow_clock"]
        ticks = np.ascontiguousarray(port["t"])
        hz = self.options.slow_clock_hz
        if hz is None:
            return ticks
        # tick n falls on n / hz since the start of the first run; none at 0
        first = max(1, int(np.floor(self.now_ns * hz / 1e9)))
        last = int(np.ceil((self.now_ns + duration_ns) * hz / 1e9))
        own = np.rint(np.arange(first, last + 1) * (1e9 / hz)).astype(np.int64) - self.now_ns
        own = own[(own >= 0) & (own < duration_ns)]
        return np.sort(np.concatenate([ticks, own]), kind="stable")

    def _step(
        self, t: NDArray[np.int64], index: NDArray[np.uint32], ticks: NDArray[np.int64], recorder: Recorder
    ) -> None:
        """One chunk through the chain, and what came of it to the recorder."""
        results = self.chain.run(t, index, ticks).cores
        by_core = dict(zip(self.route, results, strict=True))
        lost = dict.fromkeys(self.route, 0)
        for tap in self.taps:
            result = by_core[tap.core]
            times, indices = tap.read(result.t, result.index)
            recorder.emit(tap.key, times, indices)
            lost[tap.core] += result.t.size - times.size
        for counter in ("events_in", "events_out", "synops", "saturated"):
            self._count(counter, [getattr(result, counter) for result in results], recorder)
        dropped = [result.dropped_by_pooling + lost[core] for core, result in by_core.items()]
        self._count("dropped_by_pooling", dropped, recorder)
        self._count("ticks", [ticks.size * leaky for leaky in self.leaky], recorder)

    def _count(self, counter: str, along_route: list[int], recorder: Recorder) -> None:
        per_core = np.zeros(self.cores, np.int64)
        per_core[self.route] = along_route
        recorder.count(counter, per_core)

    def _states(self, duration_ns: int, recorder: Recorder) -> None:
        for probe in self.mapping.record:
            if probe.variable != "v" or not duration_ns:
                continue
            core = int(self.mapping.placement.where(probe.node)["core"][0])
            values = self.chain.state(self.route.index(core)).ravel()
            if probe.indices is not None:
                values = values[list(probe.indices)]
            recorder.sample(probe.node, "v", np.array([duration_ns - 1], np.int64), values[None, :])


def _odd_findings(config: SpeckConfig, route: list[int], options: SpeckOpenOptions) -> list[Finding]:
    """What to say of every map whose pooling leaves a row or column over."""
    policy = "dropped" if options.odd_pooling == "drop" else "delivered beside the next map"
    findings = []
    for core in route:
        layer = config.cnn_layers[core]
        _, y, x = layer.dimensions.output_shape.shape
        for destination in layer.destinations:
            pool = destination.pooling
            if destination.enable and (y % pool or x % pool):
                findings.append(
                    Finding(
                        level="note",
                        node="",
                        field=f"cnn_layers[{core}].destinations",
                        reason=f"a map of {y} x {x} pooled by {pool} leaves an incomplete row or column; its spikes "
                        f"were {policy} (odd_pooling={options.odd_pooling!r}; the chip's way is not published)",
                    )
                )
    return findings


def _odd_readouts(taps: list[readout.Tap]) -> list[Finding]:
    """The same for pooling done at read-out, which drops whatever the options say."""
    return [
        Finding(
            level="note",
            node=tap.key,
            field="pooling",
            reason=f"a map of {tap.shape[1]} x {tap.shape[2]} pooled by {tap.pool} leaves an incomplete row or column; "
            "its spikes were dropped at read-out",
        )
        for tap in taps
        if tap.shape[1] % tap.pool or tap.shape[2] % tap.pool
    ]


class SpeckDevice(Device):
    """Asynchronous and untimed: every event runs through all cores before the next one."""

    options: SpeckOpenOptions
    _player: Player

    def _load(self, mapping: Mapping) -> None:
        refused = routing.refusals(mapping.config)
        if refused:
            raise DoesNotFitError(FitReport(device=self.spec.name, findings=tuple(refused)))
        self._player = Player(mapping, self.options, recorded_events(mapping))

    def _reset(self, mode: Reset) -> None:
        self._player.reset()

    def _run(self, stimulus: Checked, duration_ns: int, recorder: Recorder) -> None:
        self._player.run(stimulus, duration_ns, recorder)

    def _run_batch(self, stimulus: Batch, duration_ns: int, workers: int) -> BatchRecording:
        """Samples side by side, each worker with a chip of its own."""
        header = self._header(duration_ns, next(iter(stimulus)))
        recorded = recorded_events(self.mapping)
        free: SimpleQueue[Player] = SimpleQueue()
        for _ in range(min(workers, len(stimulus))):
            free.put(Player(self.mapping, self.options, recorded))

        def play(b: int, sample: Checked) -> tuple[Recording, Player | None]:
            player = free.get()
            last = b == len(stimulus) - 1
            try:
                player.reset()
                recorder = MemoryRecorder()
                recorder.start(attrs.evolve(header, run=header.run + b, t0_ns=0, stimulus=dict(sample)))
                self._emit_inputs(sample, recorder)
                player.run(sample, duration_ns, recorder)
                # the last sample's state is the one the loop would have left
                return recorder.finish("ok"), player if last else None
            finally:
                if not last:
                    free.put(player)

        with ThreadPoolExecutor(workers) as pool:
            done = list(pool.map(play, range(len(stimulus)), stimulus))
        self._player = done[-1][1] or self._player
        return BatchRecording.of([recording for recording, _ in done])
