"""One copy of the emulated chip: plays a stimulus into a recorder and keeps its state."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal.fit import Finding
from hal.intake import Checked
from hal.mapping import Mapping
from hal.pace import Pace
from hal.recorder import Recorder
from hal_dynapcnn import readout, routing
from hal_dynapcnn.blocks import NO_EVENTS, ReadoutBlock, Report, SensorBlock
from hal_dynapcnn.config import SpeckConfig
from hal_dynapcnn.engine import I64, Step, engine
from hal_dynapcnn.options import SpeckOpenOptions

FIRST_CHUNK = 1024
"""Events handed to the emulator at first."""


class Player:
    """An emulator with its clock, and the way from its spikes to the keys of a recording."""

    def __init__(self, mapping: Mapping, options: SpeckOpenOptions, recorded: dict[str, tuple[int, ...]]) -> None:
        config: SpeckConfig = mapping.config
        self.mapping = mapping
        self.options = options
        self.cores = len(config.cnn_layers)
        leaky = [layer for layer in config.cnn_layers if layer.leak_enable]
        self.clocks = {int(layer.leak_internal_slow_clk_enable) for layer in leaky}
        self.sensor = SensorBlock(config)
        self.readout = ReadoutBlock.of(config)
        self.reported = readout.reported(mapping, recorded, self.readout.tap.core) if self.readout else {}
        self.ports = readout.ports(mapping)
        # what is not monitored does not leave the chip
        self.taps: dict[str, list[readout.Tap]] = {}
        for tap in readout.taps(mapping, recorded):
            if config.cnn_layers[tap.core].monitor_enable and tap.key not in self.reported:
                self.taps.setdefault(tap.key, []).append(tap)
        taps = [tap for group in self.taps.values() for tap in group]
        wanted = {tap.core for tap in taps} | ({self.readout.tap.core} if self.readout else set())
        ordered = any(len(group) > 1 for group in self.taps.values())
        shapes = self.ports | ({"@dvs": routing.sensor_shape(config.dvs_layer)} if self.sensor.leads else {})
        self.engine = engine(config, shapes, options, wanted, ordered)
        self.findings = _odd_findings(config, options) + _odd_readouts(taps)
        self.pace = Pace(FIRST_CHUNK, least=64, most=1 << 17)
        self.now_ns = 0

    def reset(self) -> None:
        """State and clock back to the start."""
        self.engine.reset()
        self.sensor.reset()
        if self.readout is not None:
            self.readout.reset()
        self.now_ns = 0

    def run(self, stimulus: Checked, duration_ns: int, recorder: Recorder) -> None:
        """Play a stimulus from the present state; what is under way at the end stays."""
        raw: Any = stimulus["@dvs"]
        raw_t, raw_index = np.ascontiguousarray(raw["t"]), np.ascontiguousarray(raw["index"])
        clocks = self._ticks(stimulus, duration_ns), self.sensor.ticks(raw_t)
        seen = self.sensor.process(raw_t, raw_index, clocks, recorder)
        events: list[Any] = [stimulus[name] for name in self.ports]
        parts = [(part["t"], part["index"]) for part in events] + [seen] * self.sensor.leads
        t, port, order = _merged([part[0] for part in parts])
        index = np.concatenate([NO_EVENTS[1], *(part[1] for part in parts)])[order]
        ticks, clock, _ = _merged([ticks if n in self.clocks else ticks[:0] for n, ticks in enumerate(clocks)])
        self.engine.begin(t, port, index, ticks, clock, duration_ns)
        longest, done, ticked = 0, not duration_ns, 0
        while not done:
            began = time.perf_counter()
            step = self.engine.advance(self.pace.size)
            longest = max(longest, self._deliver(step, recorder))
            if self.readout is not None:
                mine = clocks[self.readout.clock]
                up_to = int(np.searchsorted(mine, step.now, side="right"))
                self._report(self.readout.read(step, mine[ticked:up_to]), recorder)
                ticked = up_to
            recorder.advance(step.now)
            done = step.done
            self.pace.took(time.perf_counter() - began)
        self.now_ns += duration_ns
        self._states(duration_ns, recorder)
        for finding in self.findings:
            recorder.note(finding)
        self._about_load(longest, recorder)

    def _ticks(self, stimulus: Checked, duration_ns: int) -> I64:
        """Ticks of the outer slow clock in this run: the port's, and those of the board's own."""
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

    def _deliver(self, step: Step, recorder: Recorder) -> int:
        """What a part of a run gave to the recorder; the longest stall in ns."""
        counts = dict(step.counts)
        for key, group in self.taps.items():
            order, times, indices = [], [], []
            for tap in group:
                at = np.flatnonzero(step.core == tap.core)
                kept, index = tap.read(step.index[at])
                order.append(at[kept])
                times.append(step.t[at[kept]])
                indices.append(index)
                lost = at.size - index.size
                if lost:
                    counts["dropped_by_pooling"] = counts["dropped_by_pooling"] + lost * (
                        np.arange(self.cores) == tap.core
                    )
            emission = slice(None) if len(group) == 1 else np.argsort(np.concatenate(order))
            recorder.emit(key, np.concatenate(times)[emission], np.concatenate(indices)[emission])
        spans = step.stalls["t1"] - step.stalls["t0"]
        counts["stalled_ns"] = np.bincount(step.stalls["core"], spans, self.cores).astype(np.int64)
        for name, values in counts.items():
            recorder.count(name, values)
        for core, t0, t1 in step.stalls.tolist():
            recorder.interval("stall", core, t0, t1)
        return int(spans.max(initial=0))

    def _report(self, report: Report, recorder: Recorder) -> None:
        """What the readout block put out."""
        assert self.readout is not None
        core = self.readout.tap.core
        for key, size in self.reported.items():
            there = report.index < size
            recorder.emit(key, report.t[there], report.index[there])
        lost = np.zeros(self.cores, np.int64)
        lost[core] = report.lost
        recorder.count("unclassified", lost)
        for probe in self.mapping.record:
            if probe.variable == "readout":
                recorder.sample(probe.node, "readout", report.ticks, report.words[:, None].astype(np.float64))

    def _about_load(self, longest: int, recorder: Recorder) -> None:
        """What is left, and whether the chip stalled."""
        pending, latest, dead = self.engine.end()
        recorder.count("pending", pending)
        waited = max(longest, latest)
        if dead:
            chain = ", ".join(f"core {a} waits for core {b}" for a, b in dead)
            recorder.distrust(
                Finding(
                    level="changed",
                    node="",
                    field="deadlock",
                    reason=f"nothing moves any more: {chain}",
                    wanted="running",
                    realised="deadlock",
                    hint="sparser feedback, or a larger buffer_depth; reset the device",
                )
            )
        elif waited > self.options.stall_after_us * 1000:
            recorder.distrust(
                Finding(
                    level="changed",
                    node="",
                    field="stall",
                    reason="the chip stalled: a core's buffer was full and its sources had to wait, at the end the "
                    "stimulus; what a real chip does then cannot be relied on",
                    wanted=f"at most {self.options.stall_after_us:g} us",
                    realised=f"{waited / 1000:g} us",
                    hint="fewer events, smaller kernels, fewer channels, a decimator, or the congestion balancer; "
                    "stats['stalled_ns'] and the intervals say which core",
                )
            )

    def _state(self, core: int) -> NDArray[np.int16]:
        """(f, y, x) of a core; one that nothing reaches stays as it began."""
        config: SpeckConfig = self.mapping.config
        if core in routing.in_use(config):
            return self.engine.state(core)
        return config.cnn_layers[core].neurons_initial_value.transpose(0, 2, 1)

    def _states(self, duration_ns: int, recorder: Recorder) -> None:
        for probe in self.mapping.record:
            if probe.variable != "v" or not duration_ns:
                continue
            at = self.mapping.placement.where(probe.node)
            values: NDArray[Any] = self._state(int(at["core"][0]))[at["feature"], at["y"], at["x"]]
            if probe.indices is not None:
                values = values[list(probe.indices)]
            recorder.sample(probe.node, "v", np.array([duration_ns - 1], np.int64), values[None, :])


def _merged(times: list[I64]) -> tuple[I64, I64, NDArray[np.intp]]:
    """Sorted times, which list each came from, and the order; equal times in the order of the lists."""
    if not any(part.size for part in times):
        return NO_EVENTS[0], NO_EVENTS[0], np.empty(0, np.intp)
    t = np.concatenate(times)
    which = np.repeat(np.arange(len(times)), [part.size for part in times]).astype(np.int64)
    if sum(part.size > 0 for part in times) < 2:
        return t, which, np.arange(t.size)
    order = np.argsort(t, kind="stable")
    return t[order], which[order], order


def _odd_findings(config: SpeckConfig, options: SpeckOpenOptions) -> list[Finding]:
    """What to say of every map whose pooling leaves a row or column over."""
    policy = "dropped" if options.odd_pooling == "drop" else "delivered beside the next map"
    findings = []
    for core, (_, y, x) in routing.shapes(config).items():
        for way in routing.ways(config):
            if way.source == core and (y % way.pooling or x % way.pooling):
                findings.append(
                    Finding(
                        level="note",
                        node="",
                        field=way.where,
                        reason=f"a map of {y} x {x} pooled by {way.pooling} leaves an incomplete row or column; its "
                        f"spikes were {policy} (odd_pooling={options.odd_pooling!r}; the chip's way is not published)",
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
