"""Chip-like emulator of DYNAP-SE2: DPI neurons in continuous time, tag buses, queues; arrays in, arrays out.

Nothing goes in steps: each neuron is integrated from event to event, looked at when it may fire, and sleeps while it
cannot. docs/chips/dynapse2_equations.md has the equations, with a source or the word "assumption" for every term.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import dpi_kernel as kernel
from . import dpi_soma as soma
from .dpi_arrays import DENDRITES, Artefacts, Bus, Neurons, Routes

__all__ = ["DENDRITES", "VARIABLES", "Artefacts", "Bus", "Chip", "Neurons", "Probe", "Result", "Routes"]

VARIABLES = ("imem", "iampa", "igaba", "inmda", "ishunt", "iahp")
"""What can be probed, in A: I_mem, the currents of the dendrites (I_nmda before its gate), the adaptation's."""
_LONGEST = 2**53
"""Nanoseconds since the reset up to which a time is exact (104 days)."""


class Probe(NamedTuple):
    """What to record, at 0, every_ns, 2 * every_ns and so on of a run; an event at that time comes after it."""

    variable: str
    """One of VARIABLES."""
    neurons: ArrayLike
    """(n,)"""
    every_ns: int


@attrs.frozen(kw_only=True, eq=False)
class Result:
    """What a chip did during one run. Counters are per core, (cores,)."""

    spike_t_ns: NDArray[np.int64]
    """Nanoseconds since the start of the run, rounded down."""
    spike_t: NDArray[np.float64]
    """Seconds since the reset, as computed."""
    spike_neuron: NDArray[np.int64]
    """In the order of time, then number."""
    events: NDArray[np.int64]
    """Events sent to the core's bus, those that were lost included."""
    delivered: NDArray[np.int64]
    """Packets that left the bus, to the CAMs."""
    synops: NDArray[np.int64]
    """CAM entries that matched: pulses begun."""
    dropped: NDArray[np.int64]
    """Events that found the queue full."""
    lost: NDArray[np.int64]
    """Events lost as an artefact."""
    queued_ns: NDArray[np.float64]
    """Time that events waited for the bus, summed."""
    spikes: NDArray[np.int64]
    overload_core: NDArray[np.int64]
    overload_ns: NDArray[np.int64]
    """(m, 2): on core overload_core[k], every event between these two times was dropped, both included."""
    packets_pending: int
    """Packets that wait for a bus or are on it at the end of the run."""
    pulses_pending: int
    """Pulses that are on at the end of the run."""
    traces: tuple[NDArray[np.float64], ...]
    """For every probe the samples, (ceil(duration_ns / every_ns), n), A."""


class Chip:
    """Neurons on cores, wired. State carries over from run to run, and runs in pieces are one run bit for bit.

    Not to be used from several threads at once; different chips may run in parallel, the kernels release the GIL.
    """

    def __init__(
        self,
        neurons: Neurons,
        routes: Routes,
        bus: Bus | None = None,
        *,
        artefacts: Artefacts | None = None,
        pull: bool = True,
    ) -> None:
        """Of the sources in `routes` the last N are the neurons, those before them the host's channels.

        `pull`: inhibition that exceeds excitation draws from the membrane; else what the dendrites give together is
        cut off at zero, as the vendor's simulator does. ValueError with all that is wrong.
        """
        n = neurons.core.size
        self.neurons, self.routes, self.pull = neurons, routes, pull
        self.bus, self.artefacts = bus or Bus(), artefacts or Artefacts()
        self.n_inputs = routes.packet_ptr.size - 1 - n
        problems = []
        if self.n_inputs < 0:
            problems.append(f"routes have {routes.packet_ptr.size - 1} sources, there are {n} neurons")
        if routes.neuron.size and int(routes.neuron.max()) >= n:
            problems.append(f"routes reach neuron {routes.neuron.max()}, there are {n}")
        else:
            at = np.repeat(routes.packet_core, np.diff(routes.synapse_ptr))
            wrong = np.flatnonzero(neurons.core[routes.neuron] != at)
            if wrong.size:
                target = routes.neuron[wrong[0]]
                where = f"core {neurons.core[target]}, not on core {at[wrong[0]]}"
                problems.append(f"synapse {wrong[0]}: neuron {target} lies on {where}, to which its packet goes")
        if problems:
            raise ValueError("; ".join(problems))
        self.n_cores = int(max(neurons.core.max(), routes.packet_core.max(initial=0))) + 1
        self._wiring = self._wire(0)
        self.reset()

    def _wire(self, stream: int) -> kernel.Wiring:
        routes, artefacts = self.routes, self.artefacts
        key = np.random.SeedSequence([artefacts.seed, stream]).generate_state(1, np.uint64)[0]
        return kernel.Wiring(
            n_inputs=self.n_inputs,
            packet_ptr=routes.packet_ptr,
            packet_core=routes.packet_core.astype(np.int32),
            synapse_ptr=routes.synapse_ptr,
            neuron=routes.neuron.astype(np.int32),
            dendrite=routes.dendrite.astype(np.int8),
            mask=routes.mask.astype(np.int8),
            core=self.neurons.core.astype(np.int32),
            service=self.bus.event_ns * 1e-9,
            latency=self.bus.latency_ns * 1e-9,
            capacity=float(self.bus.capacity),
            p_double=float(artefacts.p_double),
            p_lost=float(artefacts.p_lost),
            key=np.uint64(key),
        )

    def reset(self) -> None:
        """As new, but for the stream: all currents at their dark currents, nothing under way, draws from the start."""
        n, items = self.neurons.core.size, self.neurons.core.size + self.n_cores
        parameters = self.neurons.parameters(self.pull)
        state = np.zeros((n, soma.N_STATES))
        state[:, soma.V] = parameters[:, soma.V_DARK]
        dark = self.neurons.Io[:, None]
        state[:, soma.CURRENT : soma.CURRENT + 5] = state[:, soma.TARGET : soma.TARGET + 5] = dark
        state[:, soma.STEP] = soma.FIRST_STEP
        state[:, [soma.AHP_UNTIL, soma.TRIAL_T, soma.DOUBLE]] = np.inf
        shadow = np.full((n, 3), -1.0)
        self._memory = kernel.Memory(
            p=parameters,
            s=state,
            shadow=shadow,
            counts=np.zeros((n, 4, 4), np.int32),
            heap=np.arange(items, dtype=np.int32),
            place=np.arange(items, dtype=np.int32),
            when=np.full(items, np.inf),
            fires=np.zeros(n, np.bool_),
            ordinal=np.zeros(self.n_inputs + n, np.int64),
            bus_free=np.zeros(self.n_cores),
            overloaded=np.zeros(self.n_cores, np.bool_),
            head=np.full(items, -1, np.int32),
            tail=np.full(items, -1, np.int32),
            node_time=np.empty(0),
            node_what=np.empty(0, np.int32),
            node_next=np.empty(0, np.int32),
            pool=np.array([-1, 0, 0, 0], np.int64),
        )
        self._widen()
        self._clock = 0
        kernel.plan_all(self._memory)

    def reseed(self, stream: int) -> None:
        """Draw the artefacts of events to come from another stream, 0..2**64 - 1, of the same seed."""
        if not 0 <= stream < 2**64:
            raise ValueError(f"stream is {stream}, must be 0..2**64 - 1")
        self._wiring = self._wire(stream)

    @property
    def clock_ns(self) -> int:
        """Since the reset."""
        return self._clock

    def state(self, variable: str) -> NDArray[np.float64]:
        """One of VARIABLES of all neurons, (N,), A, at the end of the last run; nothing is disturbed."""
        which = self._which(variable)
        memory = self._memory._replace(shadow=self._memory.shadow.copy())
        return kernel.values_at(memory, which, self._clock / 1e9)

    def run(
        self,
        duration_ns: int,
        t_ns: ArrayLike,
        source: ArrayLike,
        probes: Sequence[Probe | tuple[str, ArrayLike, int]] = (),
    ) -> Result:
        """Go on by `duration_ns`.

        Host event k comes from channel source[k] at t_ns[k] (integers (m,), non-decreasing, 0..duration_ns - 1);
        events at the same time are taken in the order of their channels. ValueError, before anything runs, for other
        arrays and for probes of what is not there.
        """
        if not 0 <= duration_ns < _LONGEST - self._clock:
            raise ValueError(
                f"duration_ns is {duration_ns}, must be 0..{_LONGEST - self._clock - 1}; reset the chip to go on longer"
            )
        when, channel = self._events(duration_ns, t_ns, source)
        out = self._output(duration_ns, probes)
        start, end = self._clock, self._clock + duration_ns
        while full := kernel.run_until(start, end, when, channel, self._wiring, self._memory, out):
            if full == kernel.LISTS_FULL:
                self._widen()
            elif full == kernel.SPIKES_FULL:
                t, neuron = (_doubled(array) for array in (out.spike_t, out.spike_neuron))
                out = out._replace(spike_t=t, spike_neuron=neuron)
            else:
                core, interval = (_doubled(array) for array in (out.interval_core, out.interval))
                out = out._replace(interval_core=core, interval=interval)
        self._clock = end
        return self._result(start, out)

    def _widen(self) -> None:
        """Twice as many nodes for pulses and packets, and enough for any packet and any source."""
        routes, memory = self.routes, self._memory
        old = memory.node_time.size
        most = max(int(np.diff(each).max(initial=0)) for each in (routes.packet_ptr, routes.synapse_ptr))
        new = max(2 * old, old + most, 256)
        following = np.concatenate([memory.node_next, np.arange(old + 1, new + 1, dtype=np.int32)])
        following[-1] = memory.pool[kernel.FREE]
        memory.pool[kernel.FREE] = old
        memory.pool[kernel.N_FREE] += new - old
        self._memory = memory._replace(
            node_time=np.resize(memory.node_time, new) if old else np.zeros(new),
            node_what=np.resize(memory.node_what, new) if old else np.zeros(new, np.int32),
            node_next=following,
        )

    def _events(
        self, duration_ns: int, t_ns: ArrayLike, source: ArrayLike
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The host's events, checked, in the order of time and channel."""
        given = []
        for name, values, limit in (("t_ns", t_ns, duration_ns), ("source", source, self.n_inputs)):
            array = np.asarray(values)
            if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
                raise ValueError(f"{name} needs integers in one dimension, got {array.dtype} {array.shape}")
            if array.size and not 0 <= int(array.min()) <= int(array.max()) < limit:
                raise ValueError(f"{name} has {array.min()}..{array.max()}, must lie in 0..{limit - 1}")
            given.append(array.astype(np.int64))
        when, channel = given
        if when.size != channel.size:
            raise ValueError(f"t_ns has {when.size} entries, source {channel.size}")
        later = np.diff(when)
        if bool((later < 0).any()):
            first = int(np.argmax(later < 0)) + 1
            raise ValueError(f"t_ns decreases at position {first}: {when[first - 1]} then {when[first]}")
        order = np.lexsort((channel, when))
        return when[order], channel[order]

    def _which(self, variable: str) -> int:
        if variable not in VARIABLES:
            raise ValueError(f"variable is {variable!r}, must be one of {', '.join(VARIABLES)}")
        return VARIABLES.index(variable) - 1

    def _output(self, duration_ns: int, probes: Sequence[Probe | tuple[str, ArrayLike, int]]) -> kernel.Output:
        """Room for what the run leaves, and its probes."""
        which, every, places = [], [], []
        for number, (variable, neurons, every_ns) in enumerate(Probe(*probe) for probe in probes):
            wanted = np.asarray(neurons)
            if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "iu"):
                raise ValueError(f"probe {number} needs integers in one dimension, got {wanted.dtype} {wanted.shape}")
            n = self.neurons.core.size
            if wanted.size and not 0 <= int(wanted.min()) <= int(wanted.max()) < n:
                raise ValueError(f"probe {number} has {wanted.min()}..{wanted.max()}, must lie in 0..{n - 1}")
            if every_ns < 1:
                raise ValueError(f"probe {number}: every_ns is {every_ns}, must be 1 or more")
            which.append(self._which(variable))
            every.append(every_ns)
            places.append(wanted.astype(np.int64))
        sizes = np.array([place.size for place in places], np.int64)
        rows = -(-duration_ns // np.array(every, np.int64)) if every else np.empty(0, np.int64)
        starts = np.concatenate([[0], np.cumsum(rows * sizes)]).astype(np.int64)
        return kernel.Output(
            progress=np.zeros(3, np.int64),
            spike_t=np.empty(1024),
            spike_neuron=np.empty(1024, np.int32),
            counters=np.zeros((kernel.N_COUNTERS, self.n_cores)),
            interval_core=np.empty(max(64, int(np.diff(self.routes.packet_ptr).max(initial=0))), np.int32),
            interval=np.empty((max(64, int(np.diff(self.routes.packet_ptr).max(initial=0))), 2)),
            probe_at=np.zeros(sizes.size, np.int64),
            probe_every=np.array(every, np.int64),
            probe_rows=rows,
            probe_which=np.array(which, np.int64),
            probe_ptr=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            probe_neuron=np.concatenate([np.empty(0, np.int64), *places]),
            trace_start=starts,
            trace=np.empty(int(starts[-1])),
        )

    def _result(self, start: int, out: kernel.Output) -> Result:
        n, intervals = int(out.progress[kernel.SPIKES]), int(out.progress[kernel.INTERVALS])
        counts = out.counters.astype(np.int64)
        samples = np.split(out.trace, out.trace_start[1:])[:-1]
        interval = kernel.nanoseconds(out.interval[:intervals].ravel(), start).reshape(-1, 2)
        return Result(
            spike_t_ns=kernel.nanoseconds(out.spike_t[:n], start),
            spike_t=out.spike_t[:n].copy(),
            spike_neuron=out.spike_neuron[:n].astype(np.int64),
            events=counts[kernel.EVENTS_IN],
            delivered=counts[kernel.DELIVERED],
            synops=counts[kernel.SYNOPS],
            dropped=counts[kernel.DROPPED],
            lost=counts[kernel.LOST],
            queued_ns=out.counters[kernel.QUEUED] * 1e9,
            spikes=counts[kernel.FIRED],
            overload_core=out.interval_core[:intervals].astype(np.int64),
            overload_ns=interval,
            packets_pending=int(self._memory.pool[kernel.PACKETS]),
            pulses_pending=int(self._memory.pool[kernel.PULSES]),
            traces=tuple(
                values.reshape(int(rows), -1) if rows else values.reshape(0, int(size))
                for values, rows, size in zip(samples, out.probe_rows, np.diff(out.probe_ptr), strict=True)
            ),
        )


def _doubled(array: NDArray[Any]) -> NDArray[Any]:
    """A copy with room for as many again."""
    return np.concatenate([array, np.empty_like(array)])
