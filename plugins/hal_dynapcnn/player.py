"""One copy of the emulated chip: plays a stimulus into a recorder and keeps its state."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal.fit import Finding
from hal.intake import Checked
from hal.mapping import Mapping
from hal.recorder import Recorder
from hal_dynapcnn import readout, routing
from hal_dynapcnn.config import SpeckConfig, SpeckOpenOptions
from hal_dynapcnn.engine import I64, U32, Shape3, Step, engine

FIRST_CHUNK = 1024
"""Events handed to the emulator at first; the number follows what takes about CHUNK_S."""
CHUNK_S = 0.03
"""Wall seconds between two hand-overs to the recorder."""


class Player:
    """An emulator with its clock, and the way from its spikes to the keys of a recording."""

    def __init__(self, mapping: Mapping, options: SpeckOpenOptions, recorded: dict[str, tuple[int, ...]]) -> None:
        config: SpeckConfig = mapping.config
        self.mapping = mapping
        self.options = options
        self.leaky = any(layer.leak_enable for layer in config.cnn_layers)
        self.cores = len(config.cnn_layers)
        self.ports = _ports(mapping)
        # what is not monitored does not leave the chip
        self.taps: dict[str, list[readout.Tap]] = {}
        for tap in readout.taps(mapping, recorded):
            if config.cnn_layers[tap.core].monitor_enable:
                self.taps.setdefault(tap.key, []).append(tap)
        taps = [tap for group in self.taps.values() for tap in group]
        ordered = any(len(group) > 1 for group in self.taps.values())
        self.engine = engine(config, self.ports, options, {tap.core for tap in taps}, ordered)
        self.findings = _odd_findings(config, options) + _odd_readouts(taps)
        self.chunk = FIRST_CHUNK
        self.now_ns = 0

    def reset(self) -> None:
        """State and clock back to the start."""
        self.engine.reset()
        self.now_ns = 0

    def run(self, stimulus: Checked, duration_ns: int, recorder: Recorder) -> None:
        """Play a stimulus from the present state; what is under way at the end stays."""
        ticks = self._ticks(stimulus, duration_ns)
        self.engine.begin(*self._events(stimulus), ticks, np.zeros(ticks.size, np.int64), duration_ns)
        longest, done = 0, not duration_ns
        while not done:
            began = time.perf_counter()
            step = self.engine.advance(self.chunk)
            longest = max(longest, self._deliver(step, recorder))
            recorder.advance(step.now)
            done = step.done
            self._adapt(time.perf_counter() - began)
        self.now_ns += duration_ns
        self._states(duration_ns, recorder)
        for finding in self.findings:
            recorder.note(finding)
        self._about_load(longest, recorder)

    def _adapt(self, took_s: float) -> None:
        """Grow or shrink the chunk; results do not depend on it."""
        if took_s < CHUNK_S / 2:
            self.chunk = min(2 * self.chunk, 1 << 17)
        elif took_s > 2 * CHUNK_S:
            self.chunk = max(self.chunk // 2, 64)

    def _events(self, stimulus: Checked) -> tuple[I64, I64, U32]:
        """Times, port numbers and indices; equal times in the order of the ports."""
        parts: list[Any] = [stimulus[name] for name in self.ports]
        t = np.concatenate([np.empty(0, np.int64), *(part["t"] for part in parts)])
        port = np.repeat(np.arange(len(parts)), [part.size for part in parts])
        index = np.concatenate([np.empty(0, np.uint32), *(part["index"] for part in parts)])
        if len(parts) > 1:
            order = np.argsort(t, kind="stable")
            t, port, index = t[order], port[order], index[order]
        return t, port, index

    def _ticks(self, stimulus: Checked, duration_ns: int) -> I64:
        """Slow-clock ticks of this run that act on something: the port's, and those of the board's clock."""
        if not self.leaky:
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
            if len(group) == 1:
                recorder.emit(key, times[0], indices[0])
            else:
                by_emission = np.argsort(np.concatenate(order))
                recorder.emit(key, np.concatenate(times)[by_emission], np.concatenate(indices)[by_emission])
        spans = step.stalls["t1"] - step.stalls["t0"]
        counts["stalled_ns"] = np.bincount(step.stalls["core"], spans, self.cores).astype(np.int64)
        for name, values in counts.items():
            recorder.count(name, values)
        for core, t0, t1 in step.stalls.tolist():
            recorder.interval("stall", core, t0, t1)
        return int(spans.max(initial=0))

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

    def _states(self, duration_ns: int, recorder: Recorder) -> None:
        for probe in self.mapping.record:
            if probe.variable != "v" or not duration_ns:
                continue
            core = int(self.mapping.placement.where(probe.node)["core"][0])
            values: NDArray[Any] = self.engine.state(core).ravel()
            if probe.indices is not None:
                values = values[list(probe.indices)]
            recorder.sample(probe.node, "v", np.array([duration_ns - 1], np.int64), values[None, :])


def _ports(mapping: Mapping) -> dict[str, Shape3]:
    """Inputs of the chip, which are not the model's where the host has a part before it."""
    model = mapping.on_chip
    if model is None:
        return {port.name: readout.three(port.shape) for port in mapping.inputs}
    return {name: readout.three(model.nodes[name].output_shape) for name in model.inputs}


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
