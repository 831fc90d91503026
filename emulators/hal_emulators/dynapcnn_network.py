"""Emulator of Speck / DynapCNN cores that hand events on to each other: branches, sums, cycles, limited speed.

What a core does with an event is the rule of `hal_emulators.dynapcnn`. Here cores are joined by links: every spike goes
to the links of its core in order, and several links may lead to one core. A core serves one event at a time. Serving
takes `updates / rate`; then its spikes leave one by one, each handed to every destination before the next. A core that
is busy keeps up to `depth` events waiting; when its buffer is full whoever sends has to wait (a blocking handshake), so
that a slow core holds up its sources and in the end the stimulus. A core with a congestion balancer drops such an event
instead, and nobody waits. Rates and depths of the silicon are not published: these are assumptions.

With unlimited rate nothing takes time, nobody waits, and everything an event causes, depth first and destination 0
before destination 1, is over before the next event: the untimed rule. Feedback to a core that is not done yet waits
in its buffer. A decimator lets every n-th spike of its core on. A tick of the slow clock keeps a core busy for one
update per neuron.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import attrs
import numpy as np
from numpy.typing import NDArray

from .dynapcnn_arrays import NO_TIMES, times
from .dynapcnn_kernel import run_network
from .dynapcnn_layout import CoreParams, Cores, OddPolicy
from .dynapcnn_layout import Link as _Way
from .dynapcnn_records import CELL, CLOCK, STALL, Stop

__all__ = ["CoreParams", "EndlessError", "Link", "Network", "Step", "Timing"]

COUNTERS = (
    "events_in", "events_out", "synops", "saturated", "dropped", "dropped_by_pooling", "decimated", "late", "ticks",
)  # fmt: skip
"""What is counted per core."""

_FIRST_CAPACITY = 4096


class EndlessError(RuntimeError):
    """Activity in a loop of infinitely fast cores that never ends."""


@attrs.frozen
class Link:
    """A destination: spikes of core `source` go to core `target`. Ports of the stimulus are sources -1, -2, ..."""

    source: int
    target: int
    pooling: int = 1
    """Sum pooling on the way, kernel = stride."""
    shift: int = 0
    """Added to the channel."""


@attrs.frozen(kw_only=True)
class Timing:
    """How fast cores are. ValueError for numbers that make no sense."""

    rate: float | Sequence[float] | None = None
    """Updates per second, of all cores or of each; None: unlimited, and buffers that are never full."""
    depth: int | Sequence[int] = 16
    """Events that can wait before a core, besides the one it serves."""
    first_passes: bool = False
    """A decimator lets the first of n spikes on, not the last."""
    monitor_all: bool = False
    """Recorded are also spikes that a decimator holds back."""
    endless: int = 10_000_000
    """Events served without time or stimulus going on that are taken for activity without end."""

    def __attrs_post_init__(self) -> None:
        rates, depths = np.ravel([] if self.rate is None else self.rate), np.ravel(self.depth)
        if (~(rates > 0)).any() or (depths < 1).any() or self.endless < 1:
            raise ValueError(f"rate {self.rate}, depth {self.depth} and endless {self.endless} must be positive")


@attrs.frozen(kw_only=True, eq=False)
class Step:
    """What happened in a part of a run. Arrays of spikes are in the order of emission."""

    now: int
    """Time reached, ns since the start of the run."""
    done: bool
    t: NDArray[np.int64]
    core: NDArray[np.int64]
    index: NDArray[np.uint32]
    """Flat (f*H + y)*W + x, before pooling."""
    counts: dict[str, NDArray[np.int64]]
    """Per counter of `COUNTERS` one number per core."""
    stalls: NDArray[np.void]
    """Records (core, t0, t1): someone waited for room in the buffer of that core."""


class Network(Cores):
    """Cores, links and ports. State, queues and what is under way carry over from run to run.

    Not to be used from several threads at once; different networks may run in parallel, the kernel releases the GIL.
    """

    def __init__(
        self,
        cores: Sequence[CoreParams],
        links: Sequence[Link],
        ports: Sequence[tuple[int, int, int]],
        *,
        odd: OddPolicy = "drop",
        timing: Timing | None = None,
        recorded: Sequence[int] | None = None,
    ) -> None:
        """Lay out in memory.

        `links` in the order in which each source serves them; `ports` (channels, height, width) of each kind of
        stimulus; `recorded` cores whose spikes are wanted (None: all). ValueError for what does not fit together.
        """
        timing = timing or Timing()
        self.links, self.ports = tuple(links), tuple(ports)
        n = len(cores)
        shapes = [core.out_shape for core in cores] + [*reversed(self.ports)]
        _check(tuple(cores), self.links, shapes, len(self.ports))
        ordered = sorted(self.links, key=lambda link: link.source)  # stable: the order within a source stays
        ways = [_Way(shapes[link.source], link.pooling, link.target, link.shift) for link in ordered]
        super().__init__(cores, ways, odd)
        self._timing = timing
        self._cells = np.zeros(n + 1, CELL)
        self._clock = np.zeros(1, CLOCK)
        self._stack = np.zeros(2 * n + 4, np.int64)
        sources = [link.source for link in ordered]
        first = {s: sources.index(s) for s in set(sources)}
        ports_table = [(first.get(-1 - p, 0), sources.count(-1 - p)) for p in range(len(ports))]
        self._ports = np.array(ports_table, np.int64).reshape(-1, 2)
        killed: list[NDArray[np.bool_]] = []
        emit = n_killed = 0
        recorded = range(n) if recorded is None else recorded
        for number, core in enumerate(self.cores):
            cell = self._cells[number]
            f, height, width = core.out_shape
            kernel = core.weights.shape[2]
            cell["emit"] = emit
            emit += f * min(kernel, height) * min(kernel, width)
            cell["first_link"], cell["n_links"] = first.get(number, 0), sources.count(number)
            cell["every"], cell["balancer"], cell["recorded"] = core.every, core.balancer, number in recorded
            cell["killed"] = -1
            if core.killed is not None:
                cell["killed"] = n_killed
                killed.append(core.killed.ravel())
                n_killed += core.killed.size
        if timing.rate is not None:
            self._cells["cost"][:n] = 1e9 / np.broadcast_to(np.asarray(timing.rate, np.float64), n)
        self._killed = np.concatenate([*killed, np.zeros(1, np.bool_)])
        self._emit = np.empty(emit, np.uint32)
        self._out_t = np.empty(0, np.int64)
        self._out_core = np.empty(0, np.int64)
        self._out_index = np.empty(0, np.uint32)
        self._room(_FIRST_CAPACITY)
        self._stalls = np.zeros(_FIRST_CAPACITY, STALL)
        depth = np.broadcast_to(np.asarray(timing.depth, np.int64), n)
        unlimited = timing.rate is None
        self._depth = np.full(n, 64, np.int64) if unlimited else depth
        self._queue_index = np.empty((n, 0), np.uint32)
        self._queue_link = np.empty((n, 0), np.int64)
        self.reset()

    # --- state ---------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Every neuron to its initial state; nothing under way."""
        n = len(self.cores)
        cells, clock = self._cells, self._clock[0]
        kept = ("emit", "first_link", "n_links", "every", "balancer", "recorded", "killed", "cost")
        for name in CELL.names or ():
            if name not in kept:
                cells[name] = 0
        cells["waits_for"] = cells["stall_from"] = cells["stall_to"] = -1
        cells["depth"][:n] = self._depth
        if self._timing.first_passes:
            cells["passed"] = np.maximum(cells["every"] - 1, 0)
        self._clock[:] = 0
        clock["endless"], clock["unlimited"] = self._timing.endless, self._timing.rate is None
        clock["monitor_all"] = self._timing.monitor_all
        self._queue(int(self._depth.max(initial=1)), keep=False)
        self._stimulus = _nothing()
        self._ticks = (np.empty(0, np.int64), np.empty(0, np.int64))
        self._to_start()

    @property
    def pending(self) -> NDArray[np.int64]:
        """Per core: events that wait before it or are being served, and spikes it has not handed on.

        Stimulus that could not be taken in yet counts for the core it goes to first.
        """
        cells = self._cells[:-1]
        left = (
            cells["fill"] + (cells["status"] == 1) + np.where(cells["status"] == 2, cells["to_send"] - cells["sent"], 0)
        )
        _, port, _ = self._stimulus
        waiting = np.bincount(port[int(self._clock[0]["event"]) :], minlength=len(self.ports))
        for (first, count), number in zip(self._ports, waiting, strict=True):
            if count:
                left[int(self._layout.links[first]["core"])] += number
        return np.asarray(left, np.int64)

    @property
    def latest(self) -> int:
        """How late, in ns, the latest event of the stimulus was taken in during this run, or still waits."""
        clock, (t, _, _) = self._clock[0], self._stimulus
        waiting = int(clock["now"] - t[clock["event"]]) if clock["event"] < t.size else 0
        return max(int(clock["latest"]), waiting)

    @property
    def deadlock(self) -> list[tuple[int, int]]:
        """(core that waits, core it waits for) where nothing can ever go on; empty otherwise. After a run."""
        cells = self._cells
        if (cells["status"][:-1] == 1).any():
            return []
        return [(int(n), int(cells[n]["waits_for"])) for n in np.flatnonzero(cells["waits_for"][:-1] >= 0)]

    # --- running -------------------------------------------------------------------------------------------------

    def begin(
        self,
        t: NDArray[np.int64],
        port: NDArray[np.int64],
        index: NDArray[np.uint32],
        ticks: NDArray[np.int64] | None = None,
        clocks: NDArray[np.int64] | None = None,
        *,
        duration: int,
    ) -> None:
        """Start a run of `duration` ns.

        t, port, index (n,): stimulus in order of time, each index flat in the shape of its port. ticks (m,): of the
        slow clock, clocks (m,): 0 for the outer, 1 for the inner one. Times are in [0, duration). ValueError otherwise.
        """
        t, ticks = times("t", t), times("ticks", NO_TIMES if ticks is None else ticks)
        clocks = np.zeros(ticks.shape, np.int64) if clocks is None else clocks
        for name, moments in (("t", t), ("ticks", ticks)):
            if moments.size and not (moments[0] >= 0 and moments[-1] < duration):
                raise ValueError(f"{name} from {moments[0]} to {moments[-1]} must lie in 0..{duration - 1}")
        if not t.shape == port.shape == index.shape or ticks.shape != clocks.shape:
            raise ValueError(f"t, port, index {t.shape}, {port.shape}, {index.shape} must be equally long")
        if port.size and not (port.min() >= 0 and port.max() < len(self.ports)):
            raise ValueError(f"ports are 0..{len(self.ports) - 1}, got {port.min()}..{port.max()}")
        for number, shape in enumerate(self.ports):
            mine = index[port == number]
            if mine.size and mine.max() >= prod(shape):
                raise ValueError(f"index {mine.max()} lies outside the {prod(shape)} addresses of port {number}")
        old_t, old_port, old_index = self._stimulus
        self._stimulus = (
            np.concatenate([old_t, t.astype(np.int64)]),
            np.concatenate([old_port, port.astype(np.int64)]),
            np.concatenate([old_index, index.astype(np.uint32)]),
        )
        self._ticks = np.array(ticks, np.int64), np.array(clocks, np.int64)
        self._duration = duration
        self._clock["latest"] = 0

    def advance(self, budget: int = 2**62) -> Step:
        """Go on for at most about `budget` events served. EndlessError where time cannot go on."""
        layout, cells, clock = self._layout, self._cells, self._clock
        for name in COUNTERS:
            cells[name] = 0
        clock["out"] = clock["stalls"] = 0
        while True:
            stop = Stop(
                run_network(
                    clock, cells, self._stack, layout.links, layout.cores, layout.reach, layout.v, layout.weights,
                    layout.targets, layout.bias, self._killed, self._ports, *self._stimulus, *self._ticks, self._emit,
                    self._queue_index, self._queue_link, self._out_t, self._out_core, self._out_index, self._stalls,
                    self._duration, budget,
                )
            )  # fmt: skip
            if stop is Stop.OUT_FULL:
                self._room(2 * self._out_t.size)
            elif stop is Stop.STALLS_FULL:
                self._stalls = np.concatenate([self._stalls, np.zeros_like(self._stalls)])
            elif stop is Stop.QUEUE_FULL:
                self._queue(2 * self._queue_index.shape[1], keep=True)
                cells["depth"][:-1] = self._queue_index.shape[1]
            else:
                break
        if stop is Stop.ENDLESS:
            raise EndlessError(f"{self._timing.endless} events in one moment, at {int(clock[0]['now'])} ns, and no end")
        n, m = int(clock[0]["out"]), int(clock[0]["stalls"])
        done = stop is Stop.DONE
        stalls = self._stalls[:m].copy()
        return Step(
            now=self._duration if done else int(clock[0]["now"]),
            done=done,
            t=self._out_t[:n].copy(),
            core=self._out_core[:n].copy(),
            index=self._out_index[:n].copy(),
            counts={name: cells[name][:-1].copy() for name in COUNTERS},
            stalls=np.concatenate([stalls, self._finish()]) if done else stalls,
        )

    def _finish(self) -> NDArray[np.void]:
        """Make the end of this run the start of the next one; the stalls not reported yet."""
        cells, clock, duration = self._cells, self._clock[0], self._duration
        found = []
        for number, cell in enumerate(cells[:-1]):
            if cell["stall_from"] >= 0:
                end = duration if cell["waiters"] else cell["stall_to"]
                found.append((number, cell["stall_from"], end))
            cell["stall_from"] = 0 if cell["waiters"] else -1
            cell["stall_to"] = -1
        busy = cells["status"] == 1
        cells["until"][busy] -= duration
        left = int(clock["event"])
        t, port, index = self._stimulus
        late = max(0, duration - int(t[left])) if left < t.size else 0
        clock["latest"] = max(int(clock["latest"]), late)
        self._stimulus = (t[left:] - duration, port[left:], index[left:])
        clock["now"] = clock["event"] = clock["tick"] = 0
        stalls = np.array(found, STALL)
        return stalls[stalls["t1"] > stalls["t0"]]

    # --- memory --------------------------------------------------------------------------------------------------

    def _room(self, capacity: int) -> None:
        """Arrays for so many spikes; those that are there stay."""
        used = int(self._clock[0]["out"])
        for name in ("_out_t", "_out_core", "_out_index"):
            old = getattr(self, name)
            new = np.empty(capacity, old.dtype)
            new[:used] = old[:used]
            setattr(self, name, new)

    def _queue(self, capacity: int, *, keep: bool) -> None:
        """Rings for so many waiting events per core."""
        n = max(1, len(self.cores))
        index, link = np.zeros((n, capacity), np.uint32), np.zeros((n, capacity), np.int64)
        if keep:
            for number in range(len(self.cores)):
                cell = self._cells[number]
                order = (cell["head"] + np.arange(cell["fill"])) % self._queue_index.shape[1]
                index[number, : order.size] = self._queue_index[number, order]
                link[number, : order.size] = self._queue_link[number, order]
                cell["head"] = 0
        self._queue_index, self._queue_link = index, link


def _nothing() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32]]:
    return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint32)


def _check(
    cores: tuple[CoreParams, ...], links: tuple[Link, ...], shapes: list[tuple[int, int, int]], n_ports: int
) -> None:
    """ValueError with everything about the links that cannot be."""
    wrong = [] if cores else ["a network needs at least one core"]
    for link in links:
        if not -n_ports <= link.source < len(cores) or not 0 <= link.target < len(cores):
            wrong.append(f"{link}: sources are {-n_ports}..{len(cores) - 1}, targets 0..{len(cores) - 1}")
            continue
        if link.pooling < 1 or link.shift < 0:
            wrong.append(f"{link}: pooling is at least 1, shift at least 0")
            continue
        f, height, width = shapes[link.source]
        features, *size = cores[link.target].in_shape
        if [height // link.pooling, width // link.pooling] != size or link.shift + f > features:
            wrong.append(f"{link} delivers {shapes[link.source]} pooled, its core takes {cores[link.target].in_shape}")
    if wrong:
        raise ValueError("; ".join(wrong))
