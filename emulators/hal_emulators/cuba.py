"""Event-exact core of a BrainScaleS-2-like chip: current-based neurons in continuous time; arrays in, arrays out.

Nothing goes in steps: spikes are where the potential, known in closed form, reaches the threshold. Any ratio of time
constants, all spikes of an instant, any number of events. Times are float64 seconds since the reset.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import cuba_kernel as kernel
from . import cuba_layers as layers
from . import cuba_neuron as neuron
from .cuba_arrays import Neurons, Synapses
from .cuba_events import Events, batch_events, checked_events
from .cuba_wiring import wire

__all__ = ["VARIABLES", "BatchResult", "Network", "Neurons", "Probe", "Result", "Synapses"]

VARIABLES = ("v", "i")
"""What can be probed: membrane potential and synaptic current, in the unit of the parameters."""


class Probe(NamedTuple):
    """What to record, at 0, every_s, 2 * every_s and so on since the reset; an event at that time comes after it."""

    variable: str
    """One of VARIABLES."""
    neurons: ArrayLike
    """(n,)"""
    every_s: float


@attrs.frozen(kw_only=True, eq=False)
class Result:
    """What a network did during one run."""

    t: NDArray[np.float64]
    """(spikes,), s since the reset, in the order of time, then neuron."""
    neuron: NDArray[np.int64]
    i: NDArray[np.float64]
    """The neuron's current at its spike."""
    pending: int
    """Packets (what one source sends with one delay) that are under way at the end."""
    traces: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]
    """For every probe the times of its samples, (k,), s, and the values, (k, n)."""


@attrs.frozen(kw_only=True, eq=False)
class BatchResult:
    """What happened to every sample: its spikes are splits[b]:splits[b + 1], in the order of time, then neuron."""

    t: NDArray[np.float64]
    """s since the sample's start."""
    neuron: NDArray[np.int64]
    i: NDArray[np.float64]
    splits: NDArray[np.int64]
    """(B + 1,)"""


class Network:
    """Neurons, wired. State carries over from run to run, and runs in pieces are one run bit for bit.

    Not to be used from several threads at once; different networks may run in parallel, kernels release the GIL.
    """

    def __init__(self, neurons: Neurons, synapses: Synapses, *, most_spikes: int = 10_000) -> None:
        """Of the sources in `synapses` the last N are the neurons, those before them the input channels.

        Synapses of one source with one target and one delay are one with the sum of their weights. Neurons without
        refractory time that excite each other may have spikes without end in a finite time: a run with more than
        `most_spikes` of one neuron within the shorter of its time constants ends with RuntimeError. No neuron with a
        refractory time above a millionth of that is limited. ValueError with all that is wrong.
        """
        sources = synapses.ptr.size - 1
        problems = []
        if sources < neurons.size:
            problems.append(f"synapses have {sources} sources, there are {neurons.size} neurons")
        if synapses.target.size and int(synapses.target.max()) >= neurons.size:
            problems.append(f"synapses reach neuron {synapses.target.max()}, there are {neurons.size}")
        if most_spikes < 1:
            problems.append(f"most_spikes is {most_spikes}, must be 1 or more")
        if problems:
            raise ValueError("; ".join(problems))
        self.most_spikes = most_spikes
        self.neurons, self.synapses = neurons, synapses
        self.n_inputs = sources - neurons.size
        self._wiring = wire(synapses, self.n_inputs)
        self._parameters = neurons.parameters()
        self._layers = layers.build(self._wiring, self._parameters, most_spikes)
        self._most = int(np.diff(self._wiring.packet_ptr).max(initial=0))
        self.reset()

    @property
    def layered(self) -> bool:
        """Whether there is no recurrence: `run_batch` may go layer by layer, faster and the same."""
        return self._layers is not None

    @property
    def clock_s(self) -> float:
        """Where the last run ended, since the reset."""
        return self._clock

    def reset(self) -> None:
        """All at rest at time 0, nothing under way."""
        self._memory, self._clock = self._at_rest(), 0.0

    def _at_rest(self) -> kernel.Memory:
        n = self.neurons.size
        state = np.zeros((n, neuron.N_STATES))
        state[:, neuron.ARMED] = self._parameters[:, neuron.TH] > 0
        room = max(256, 2 * self._most)
        memory = kernel.Memory(
            p=self._parameters,
            s=state,
            heap=np.arange(n),
            place=np.arange(n),
            when=np.full(n, np.inf),
            queue_t=np.empty(room),
            queue_packet=np.empty(room, np.int64),
            counts=np.zeros(1, np.int64),
            touched=np.empty(n, np.int64),
            mark=np.zeros(n, np.bool_),
            most_spikes=self.most_spikes,
        )
        kernel.plan_all(memory)
        return memory

    def state(self, variable: str) -> NDArray[np.float64]:
        """One of VARIABLES of all neurons, (N,), at the end of the last run; nothing is disturbed."""
        which, out = self._which(variable), np.empty(self.neurons.size)
        kernel.values_at(np.arange(out.size), which, self._clock, self._memory, out)
        return self._potential(out, np.arange(out.size)) if which == neuron.U else out

    def run(
        self,
        until_s: float,
        times: ArrayLike = (),
        channels: ArrayLike = (),
        probes: Sequence[Probe | tuple[str, ArrayLike, float]] = (),
    ) -> Result:
        """Go on to `until_s`, s since the reset, which is not part of the run.

        Event k comes from input channel channels[k] at times[k], s since the reset, from `clock_s` on and before
        `until_s`; (m,), in any order. ValueError, before anything runs, for others and for probes of what is not
        there. RuntimeError for too many spikes, see `most_spikes`; then all is as after `reset`.
        """
        if not self._clock <= until_s < np.inf:
            raise ValueError(
                f"until_s is {until_s}, must be finite and {self._clock} (where the last run ended) or more"
            )
        events = checked_events(times, channels, self._clock, until_s, self.n_inputs)
        out = self._output(until_s, probes)
        try:
            self._memory, out = self._go(until_s, events.t, events.channel, self._memory, out)
        except RuntimeError:
            self.reset()
            raise
        traces, ends = [], np.diff(out.probe_ptr)
        firsts = self._first_samples(out.probe_every, self._clock)
        stops = np.cumsum((out.probe_end - firsts) * ends)
        for k, values in enumerate(np.split(out.trace, stops)[:-1]):
            at = np.arange(firsts[k], out.probe_end[k]) * out.probe_every[k]
            table = values.reshape(at.size, ends[k])
            if out.probe_which[k] == neuron.U:
                table = self._potential(table, out.probe_neuron[out.probe_ptr[k] : out.probe_ptr[k + 1]])
            traces.append((at, table))
        self._clock = float(until_s)
        n = int(out.progress[kernel.SPIKES])
        return Result(
            t=out.spike_t[:n].copy(),
            neuron=out.spike_neuron[:n].copy(),
            i=out.spike_i[:n].copy(),
            pending=int(self._memory.counts[kernel.PENDING]),
            traces=tuple(traces),
        )

    def run_batch(
        self,
        until_s: float,
        times: ArrayLike,
        channels: ArrayLike,
        splits: ArrayLike | None = None,
        *,
        workers: int = 1,
    ) -> BatchResult:
        """Independent samples from rest to `until_s` each, in as many threads; results do not depend on their number.

        `times` and `channels` are (B, m), inf where a sample has fewer events; or, with `splits` (B + 1,), (k,), and
        the events of sample b are splits[b]:splits[b + 1]. In any order within a sample. The network's own state and
        clock stay as they are. ValueError for events that `run` refuses, RuntimeError for too many spikes, see
        `most_spikes`.
        """
        if not 0 <= until_s < np.inf:
            raise ValueError(f"until_s is {until_s}, must be finite and 0 or more")
        if workers < 1:
            raise ValueError(f"workers is {workers}, must be 1 or more")
        events, ends = batch_events(times, channels, splits, until_s, self.n_inputs)
        size = ends.size - 1
        cuts = np.linspace(0, size, min(workers, max(size, 1)) + 1).astype(np.int64)
        parts = list(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True))

        def part(bounds: tuple[int, int]) -> layers.Spikes:
            mine = ends[bounds[0] : bounds[1] + 1]
            done = None
            if self._layers is not None:
                done = layers.run(self._layers, until_s, events.t, events.channel, mine)
            return done if done is not None else self._loop(until_s, events, mine)

        if len(parts) == 1:
            done = [part(parts[0])]
        else:
            with ThreadPoolExecutor(len(parts)) as pool:
                done = list(pool.map(part, parts))
        counts = np.concatenate([each.counts for each in done])
        if len(done) == 1:
            t, n, i = done[0].t, done[0].neuron, done[0].i
        else:
            t, n, i = (np.concatenate([getattr(each, name) for each in done]) for name in ("t", "neuron", "i"))
        return BatchResult(t=t, neuron=n, i=i, splits=np.concatenate([[0], np.cumsum(counts)]))

    def _loop(self, until_s: float, events: Events, ends: NDArray[np.int64]) -> layers.Spikes:
        """Sample after sample, by the way that knows recurrence."""
        out, memory = self._output(until_s, ()), self._at_rest()
        fresh = (memory.s.copy(), memory.heap.copy(), memory.place.copy(), memory.when.copy())
        done = []
        for first, last in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            for array, values in zip((memory.s, memory.heap, memory.place, memory.when), fresh, strict=True):
                array[:] = values
            memory.counts[:] = out.progress[:] = 0
            memory, out = self._go(until_s, events.t[first:last], events.channel[first:last], memory, out)
            n = int(out.progress[kernel.SPIKES])
            done.append((out.spike_t[:n].copy(), out.spike_neuron[:n].copy(), out.spike_i[:n].copy()))
        counts = np.array([each[0].size for each in done], np.int64)
        empty = (np.empty(0), np.empty(0, np.int64), np.empty(0))
        t, n_, i = (np.concatenate(each) for each in zip(empty, *done, strict=True))
        return layers.Spikes(t, n_, i, counts)

    def _go(
        self,
        until_s: float,
        t: NDArray[np.float64],
        source: NDArray[np.int64],
        memory: kernel.Memory,
        out: kernel.Output,
    ) -> tuple[kernel.Memory, kernel.Output]:
        """Run, with more room when there is need of it."""
        while full := kernel.run_until(until_s, t, source, self._wiring, memory, out):
            if full == kernel.RUNAWAY:
                raise RuntimeError(self._too_many(out))
            if full == kernel.SPIKES_FULL:
                more = {name: _doubled(getattr(out, name)) for name in ("spike_t", "spike_neuron", "spike_i")}
                out = out._replace(**more)
            else:
                memory = memory._replace(queue_t=_doubled(memory.queue_t), queue_packet=_doubled(memory.queue_packet))
        return memory, out

    def _too_many(self, out: kernel.Output) -> str:
        last = out.progress[kernel.SPIKES] - 1
        n, t = int(out.spike_neuron[last]), float(out.spike_t[last])
        many = f"more than {self.most_spikes} spikes within {self._parameters[n, neuron.WINDOW]:.6g} s"
        short = f"the shorter of its time constants, with t_ref {self.neurons.t_ref[n]} s"
        return f"neuron {n} at {t} s: {many}, {short}; give it a t_ref, excite it less, or raise most_spikes"

    def _potential(self, u: NDArray[np.float64], which: NDArray[np.int64]) -> NDArray[np.float64]:
        """V of u, (..., k), of the neurons `which`, (k,); rounding takes none past a bound."""
        made: NDArray[np.float64] = u + self.neurons.v_leak[which]
        return np.clip(made, self.neurons.v_low[which], self.neurons.v_high[which])

    def _which(self, variable: str) -> int:
        if variable not in VARIABLES:
            raise ValueError(f"variable is {variable!r}, must be one of {', '.join(VARIABLES)}")
        return neuron.U if variable == "v" else neuron.CURRENT

    @staticmethod
    def _first_samples(every: NDArray[np.float64], t: float) -> NDArray[np.int64]:
        """For every probe the number of its first sample at t or later."""
        k = np.ceil(t / every).astype(np.int64)
        k -= (k - 1) * every >= t  # where the quotient was rounded
        return np.maximum(k + (k * every < t), 0)

    def _output(self, until_s: float, probes: Sequence[Probe | tuple[str, ArrayLike, float]]) -> kernel.Output:
        """Room for what the run leaves, and its probes."""
        which, every, places = [], [], []
        for number, (variable, neurons, every_s) in enumerate(Probe(*probe) for probe in probes):
            wanted = np.asarray(neurons)
            if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "iu"):
                raise ValueError(f"probe {number} needs integers in one dimension, got {wanted.dtype} {wanted.shape}")
            n = self.neurons.size
            if wanted.size and not 0 <= int(wanted.min()) <= int(wanted.max()) < n:
                raise ValueError(f"probe {number} has {wanted.min()}..{wanted.max()}, must lie in 0..{n - 1}")
            if not 0 < every_s < np.inf:
                raise ValueError(f"probe {number}: every_s is {every_s}, must be finite and greater than 0")
            which.append(self._which(variable))
            every.append(float(every_s))
            places.append(wanted.astype(np.int64))
        sizes, spacing = np.array([place.size for place in places], np.int64), np.array(every)
        first, end = (self._first_samples(spacing, t) for t in (self._clock, until_s))
        starts = np.concatenate([[0], np.cumsum((end - first) * sizes)]).astype(np.int64)
        return kernel.Output(
            progress=np.zeros(2, np.int64),
            spike_t=np.empty(1024),
            spike_neuron=np.empty(1024, np.int64),
            spike_i=np.empty(1024),
            probe_k=first,
            probe_every=spacing,
            probe_which=np.array(which, np.int64),
            probe_end=end,
            probe_ptr=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            probe_neuron=np.concatenate([np.empty(0, np.int64), *places]),
            trace_at=starts[:-1].copy(),
            trace=np.empty(int(starts[-1])),
        )


def _doubled(array: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([array, np.empty_like(array)])
