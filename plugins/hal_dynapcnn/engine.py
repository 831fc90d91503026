"""Registers to emulator: which emulator runs a configuration, and what it gives back by core of the chip."""

from __future__ import annotations

from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.errors import ConfigError, Problem, StateError
from hal_dynapcnn import routing
from hal_dynapcnn.config import DECIMATION, CnnLayerConfig, SpeckConfig
from hal_dynapcnn.options import SpeckOpenOptions
from hal_emulators.dynapcnn import Chain
from hal_emulators.dynapcnn_network import COUNTERS, CoreParams, EndlessError, Link, Network, Timing

I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
Shape3 = tuple[int, int, int]

NO_STALLS = np.empty(0, [("core", "<i8"), ("t0", "<i8"), ("t1", "<i8")])


@attrs.frozen(kw_only=True, eq=False)
class Step:
    """What happened in a part of a run, by core of the chip."""

    now: int
    done: bool
    t: I64
    core: I64
    index: U32
    """Spikes in order of emission, (n,) each."""
    counts: dict[str, I64]
    """(cores of the chip,) each."""
    stalls: NDArray[np.void]
    """Records (core, t0, t1)."""


class Engine(Protocol):
    """An emulator of the cores in use."""

    def reset(self) -> None:
        """Back to the state after load."""

    def begin(self, t: I64, port: I64, index: U32, ticks: I64, clocks: I64, duration: int) -> None:
        """Start a run; see `Network.begin`."""

    def advance(self, budget: int) -> Step:
        """Go on with about `budget` events."""

    def state(self, core: int) -> NDArray[np.int16]:
        """(f, y, x) of a core of the chip."""

    def end(self) -> tuple[I64, int, list[tuple[int, int]]]:
        """After a run: pending per core, latest ns, and (waiting core, core waited for) of a deadlock."""


def engine(
    config: SpeckConfig, ports: dict[str, Shape3], options: SpeckOpenOptions, recorded: set[int], ordered: bool
) -> Engine:
    """The emulator for a configuration.

    ports: inputs and their shapes, in the order of port numbers. recorded: cores whose spikes are wanted. ordered:
    whether the order between spikes of different cores matters.
    """
    cores = routing.in_use(config)
    params = [core_params(config.cnn_layers[core]) for core in cores]
    number = {core: n for n, core in enumerate(cores)}
    names = list(ports)
    links = [
        Link(
            number[way.source] if isinstance(way.source, int) else -1 - names.index(way.source),
            number[way.target],
            way.pooling,
            way.shift,
        )
        for way in routing.ways(config)
        if way.source in number or way.source in ports
    ]
    plain = all(c.every == 1 and c.killed is None and not c.leak_internal for c in params)
    row = sorted((link.source, link.target) for link in links) == [(n - 1, n) for n in range(len(cores))]
    shifted = any(link.shift for link in links)
    if options.rate is None and plain and row and not shifted and not ordered:
        return _ChainEngine(cores, len(config.cnn_layers), recorded, Chain(params, odd=options.odd_pooling))
    n_cores = len(config.cnn_layers)
    depth = _per_core("buffer_depth", options.buffer_depth, n_cores)
    rate = None if options.rate is None else _per_core("rate", options.rate, n_cores)
    network = Network(
        params,
        links,
        list(ports.values()),
        odd=options.odd_pooling,
        timing=Timing(
            rate=None if rate is None else [rate[core] for core in cores],
            depth=[
                options.balancer_depth if param.balancer else int(depth[core])
                for core, param in zip(cores, params, strict=True)
            ],
            first_passes=options.decimator_passes == "first",
            monitor_all=options.monitor == "before decimator",
        ),
        recorded=[number[core] for core in recorded if core in number],
    )
    return _NetworkEngine(cores, n_cores, network)


def _per_core(name: str, value: float | tuple[float, ...], n_cores: int) -> tuple[float, ...]:
    """One number per core of the chip. Raises ConfigError where a list has another length."""
    values = (value,) * n_cores if isinstance(value, int | float) else value
    if len(values) != n_cores:
        problem = Problem("one number per core, or one for all", name, value=len(values), limit=n_cores)
        raise ConfigError("the open options do not suit this chip", problems=[problem])
    return values


def core_params(layer: CnnLayerConfig) -> CoreParams:
    """The emulator's view of one core: rows before columns, killed weights and biases as 0."""
    d = layer.dimensions
    weights, bias, neurons = layer.weights, layer.biases, layer.neurons_value_kill_bit
    if layer.weights_kill_bit.size:
        weights = np.where(layer.weights_kill_bit, np.int8(0), weights)
    if layer.biases_kill_bit.size:
        bias = np.where(layer.biases_kill_bit, np.int16(0), bias)
    return CoreParams(
        weights=np.ascontiguousarray(weights.transpose(0, 1, 3, 2)),
        bias=bias,
        in_shape=d.input_shape.shape,
        stride=(d.stride.y, d.stride.x),
        padding=(d.padding.y, d.padding.x),
        threshold_high=layer.threshold_high,
        threshold_low=layer.threshold_low,
        return_to_zero=layer.return_to_zero,
        leak_enable=layer.leak_enable,
        leak_internal=layer.leak_enable and layer.leak_internal_slow_clk_enable,
        balancer=layer.input_congestion_balancer_enable,
        every=DECIMATION[layer.output_decimator_interval] if layer.output_decimator_enable else 1,
        killed=neurons.transpose(0, 2, 1) if neurons.any() else None,
        pooling=next((to.pooling for to in layer.destinations if to.enable), 1),
        initial_state=np.ascontiguousarray(layer.neurons_initial_value.transpose(0, 2, 1)),
    )


class _NetworkEngine:
    """Any graph, timed or not."""

    def __init__(self, cores: list[int], n_cores: int, network: Network) -> None:
        self.cores = np.array(cores, np.int64)
        self.n_cores = n_cores
        self.network = network
        self.reset = network.reset

    def begin(self, t: I64, port: I64, index: U32, ticks: I64, clocks: I64, duration: int) -> None:
        self.network.begin(t, port, index, ticks, clocks, duration=duration)

    def advance(self, budget: int) -> Step:
        try:
            step = self.network.advance(budget)
        except EndlessError as error:
            raise StateError(
                f"activity in a cycle never ends: {error}",
                hint="with unlimited rate no time passes in a cycle: open with a rate",
            ) from error
        stalls = step.stalls.copy()
        stalls["core"] = self.cores[stalls["core"]]
        return Step(
            now=step.now,
            done=step.done,
            t=step.t,
            core=self.cores[step.core],
            index=step.index,
            counts={name: self._whole(values) for name, values in step.counts.items()},
            stalls=stalls,
        )

    def state(self, core: int) -> NDArray[np.int16]:
        return self.network.state(self.cores.tolist().index(core))

    def end(self) -> tuple[I64, int, list[tuple[int, int]]]:
        dead = [(int(self.cores[a]), int(self.cores[b])) for a, b in self.network.deadlock]
        return self._whole(self.network.pending), self.network.latest, dead

    def _whole(self, values: I64) -> I64:
        out = np.zeros(self.n_cores, np.int64)
        out[self.cores] = values
        return out


class _ChainEngine:
    """Cores in a row, infinitely fast: layer by layer, which gives the same and is faster."""

    def __init__(self, cores: list[int], n_cores: int, recorded: set[int], chain: Chain) -> None:
        self.cores, self.n_cores, self.chain = cores, n_cores, chain
        self.recorded = [core in recorded for core in cores]
        self.leaky = [core.leak_enable for core in chain.cores]
        self.reset = chain.reset

    def begin(self, t: I64, port: I64, index: U32, ticks: I64, clocks: I64, duration: int) -> None:
        self._t, self._index, self._ticks, self._duration = t, index, ticks, duration
        self._at = self._ticked = 0

    def advance(self, budget: int) -> Step:
        t, ticks = self._t, self._ticks
        end = min(self._at + budget, t.size)
        done = end == t.size
        last = ticks.size if done else int(np.searchsorted(ticks, t[end - 1], side="right"))
        part = slice(self._at, end)
        results = self.chain.run(t[part], self._index[part], ticks[self._ticked : last]).cores
        counts = {name: np.zeros(self.n_cores, np.int64) for name in COUNTERS}
        for core, leaky, result in zip(self.cores, self.leaky, results, strict=True):
            for name in ("events_in", "events_out", "synops", "saturated", "dropped_by_pooling"):
                counts[name][core] = getattr(result, name)
            counts["ticks"][core] = leaky * (last - self._ticked)
        self._at, self._ticked = end, last
        wanted = [result for result, recorded in zip(results, self.recorded, strict=True) if recorded]
        cores = [core for core, recorded in zip(self.cores, self.recorded, strict=True) if recorded]
        return Step(
            now=self._duration if done else int(t[end - 1]),
            done=done,
            t=np.concatenate([np.empty(0, np.int64), *(result.t for result in wanted)]),
            core=np.repeat(np.array(cores, np.int64), [result.t.size for result in wanted]),
            index=np.concatenate([np.empty(0, np.uint32), *(result.index for result in wanted)]),
            counts=counts,
            stalls=NO_STALLS,
        )

    def state(self, core: int) -> NDArray[np.int16]:
        return self.chain.state(self.cores.index(core))

    def end(self) -> tuple[I64, int, list[tuple[int, int]]]:
        return np.zeros(self.n_cores, np.int64), 0, []
