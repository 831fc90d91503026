"""Emulator of DynapSim, the clocked simulator of DYNAP-SE2 by its vendor, in float32; arrays in, arrays out.

State per neuron: I_syn, I_ahp, I_mem (A), V_mem (V), spikes s of the step before, refractory timer r (s). At the start
the currents are 5e-13 A (nominal, whatever the neuron's own Io), the rest 0. With kappa = (kappa_n + kappa_p)/2,
Ix' = max(Ix, Io), tau_x = Ut C_x/(kappa Itau_x'), t_pulse = Vth C_pulse/Ipulse (and so t_pulse_ahp, t_ref), a step is

    I_w    = (W_rec^T s + W_in^T x) Iscale                                     x: events of the inputs in this step
    I_syn  = exp(-dt/tau_syn) I_syn + (1 - exp(-t_pulse/tau_syn)) max(Igain_syn'/Itau_syn' I_w, Io)
    I_ahp  = max(exp(-dt/tau_ahp) I_ahp + (1 - exp(-t_pulse_ahp/tau_ahp)) Igain_ahp'/Itau_ahp' Iw_ahp s, Io)
    I_leak = Itau_mem' + I_ahp
    I_in   = max(I_syn - I_leak + Idc if r = 0 else 0, Io)
    I_inf  = Igain_mem'/Itau_mem' (I_in - I_leak)                              the leak counts twice, as in the peer
    F      = Io exp(kappa^2/(kappa + 1) V_mem/Ut)/I_leak (I_mem + Igain_mem')
    I_mem  = max(I_mem + dt I_mem/(tau_m (I_mem + Igain_mem')) (I_inf + F - I_mem (1 + I_ahp/Itau_mem')), Io)
    V_mem  = Ut/kappa ln(I_mem/Io)                                             tau_m = Ut C_mem/(kappa I_leak)
    s      = max(ceil(ln(I_mem/Ispkthr)), 0): a count, not a flag
    s > 0: I_mem = Io, r = t_ref, V_mem stays at its peak; else r = max(r - dt, 0)

Everything is float32, rounded where the compiled code of rockpool 3.1.0 (jax 0.10.2, CPU) rounds it for parameters that
are the same in all neurons: what does not change is computed once, with exp rounded correctly, and some products are
added without a rounding of their own. Its states are met bit for bit then, but for the order of sums: here a sum goes
by source in ascending order, inputs and neurons apart. Work is n per step and one addition per synapse that a spike
meets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import dynapsim_kernel as kernel
from .dynapsim_arrays import Neurons, Synapses, begin

__all__ = [
    "NOMINAL_DARK_CURRENT",
    "DynapSim",
    "Neurons",
    "Probe",
    "Result",
    "State",
    "StateError",
    "Synapses",
    "events",
]

NOMINAL_DARK_CURRENT = 5e-13
"""A; the currents at the start."""
_FIELDS = {"isyn": kernel.ISYN, "iahp": kernel.IAHP, "imem": kernel.IMEM, "vmem": kernel.VMEM}
_INITIAL_CAPACITY = 4096  # spikes beyond those one step may bring; the buffer doubles from here on
_MOST_AT_ONCE = 2**24  # of one input in one step: exact in float32

F32 = NDArray[np.float32]


class Probe(NamedTuple):
    """What to record at the end of the run's steps 0, every, 2 * every and so on.

    "isyn", "iahp", "imem" (A; after the reset of a spike) or "vmem" (V; before it).
    """

    variable: str
    indices: ArrayLike
    """Neurons, (n,)."""
    every: int = 1
    """Steps."""


class State(NamedTuple):
    """Copies, float32 (n,), at the end of the last step; currents in A."""

    isyn: F32
    iahp: F32
    imem: F32
    vmem: F32
    """V."""
    spikes: F32
    """Of the last step; they arrive in the next."""
    refractory: F32
    """What is left of the refractory time, s."""


class StateError(ArithmeticError):
    """A current became infinite or not a number. The simulator stands at the end of that step; `reset` mends it."""

    def __init__(self, step: int, neuron: int, state: State) -> None:
        self.step = step
        """Step of the run, from 0."""
        self.neuron = neuron
        """The lowest of those concerned."""
        values = ", ".join(f"{name} {getattr(state, name)[neuron]:g}" for name in _FIELDS)
        super().__init__(
            f"step {step}, neuron {neuron}: the state is not finite ({values}); make its weights, Iscale, gains or dt "
            "smaller, then reset"
        )


@attrs.frozen(kw_only=True, eq=False)
class Result:
    """What happened during one run. Steps count from 0 at the start of the run."""

    spike_step: NDArray[np.int64]
    spike_index: NDArray[np.uint32]
    """Neurons, ascending within a step."""
    spike_count: NDArray[np.int32]
    """How often the neuron spiked in this step, at least 1."""
    traces: tuple[F32, ...]
    """For every probe the samples, (ceil(steps / every), n)."""
    spikes: NDArray[np.int64]
    """Per neuron, (n,)."""
    input_events: NDArray[np.int64]
    """Per input, (n_in,)."""
    arrived: NDArray[np.int64]
    """Per neuron as a source, (n,): its spikes that reached their targets during the run, one step after they fell."""
    synops: int
    """Deliveries of one event or spike to one synapse during the run."""


def events(raster: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Step, input and count of all events of a raster of counts (steps, inputs), as `DynapSim.run` takes them."""
    counts = np.asarray(raster)
    if counts.ndim != 2:
        raise ValueError(f"a raster has the shape (steps, inputs), not {counts.shape}")
    step, channel = np.nonzero(counts)
    values = counts[step, channel]
    if not bool(((values >= 1) & (values % 1 == 0)).all()):  # what is not a number is neither
        first = int(np.argmin((values >= 1) & (values % 1 == 0)))
        raise ValueError(f"step {step[first]}, input {channel[first]}: {values[first]} is no count of events")
    return step, channel, values.astype(np.int64)


class DynapSim:
    """Neurons, wired. State carries over from run to run exactly: a run in pieces is the run.

    Not to be used from several threads at once; different ones may run in parallel, the kernels release the GIL.
    """

    def __init__(
        self,
        neurons: Neurons,
        w_in: Synapses,
        w_rec: Synapses | None = None,
        *,
        dt_s: float = 1e-3,
        i_scale: float = 1e-8,
    ) -> None:
        """Synapses by input, and by neuron; `dt_s` in s, `i_scale` in A per unit of weight (defaults of the peer).

        ValueError with all that is wrong.
        """
        n = neurons.size
        rec = Synapses(indptr=np.zeros(n + 1, np.int64), target=[], weight=[]) if w_rec is None else w_rec
        problems = []
        for name, value in (("dt_s", dt_s), ("i_scale", i_scale)):
            if not (np.finfo(np.float32).tiny <= value < np.inf):
                problems.append(f"{name} is {value}, must be above 0 and finite")
        if rec.sources != n:
            problems.append(f"w_rec has {rec.sources} sources, there are {n} neurons")
        for name, synapses in (("w_in", w_in), ("w_rec", rec)):
            if synapses.target.size and int(synapses.target.max()) >= n:
                problems.append(f"{name} reaches neuron {synapses.target.max()}, there are {n}")
        if problems:
            raise ValueError("; ".join(problems))
        self.neurons, self.w_in, self.w_rec = neurons, w_in, rec
        self.dt_s, self.i_scale = dt_s, i_scale
        self.n_inputs = w_in.sources
        rows = [(s.indptr, s.target.astype(np.uint32), s.weight) for s in (w_in, rec)]
        self._wiring = kernel.Wiring(*rows[0], *rows[1])
        self._fan_out = np.diff(w_in.indptr), np.diff(rec.indptr)
        self._memory = neurons.memory(dt_s, i_scale, NOMINAL_DARK_CURRENT)
        self._capacity = self._memory.external.size + _INITIAL_CAPACITY

    def reset(self) -> None:
        """As new: all currents dark, no voltage, no spike under way."""
        begin(self._memory, NOMINAL_DARK_CURRENT)

    def state(self) -> State:
        """Copies of all state."""
        order = (kernel.ISYN, kernel.IAHP, kernel.IMEM, kernel.VMEM, kernel.COUNT, kernel.TIMER)
        return State(*(self._field(field) for field in order))

    def _field(self, field: int) -> F32:
        fields = self._memory.state.reshape(-1, kernel.N_STATES, kernel.LANES)
        return fields[:, field].ravel()[: self.neurons.size].copy()

    def run(
        self,
        steps: int,
        event_step: ArrayLike,
        event_input: ArrayLike,
        event_count: ArrayLike = 1,
        *,
        probe: Sequence[Probe | tuple[str, ArrayLike, int]] | None = None,
    ) -> Result:
        """Go on by `steps` steps.

        Entry k: event_count[k] events (1..2**24) of input event_input[k] in step event_step[k] (integers (m,),
        non-decreasing, 0..steps - 1), in any order within a step. They act in their step, spikes one step later.
        ValueError, before anything runs, for other arrays and for probes of what is not there. StateError when a
        current is no longer finite.
        """
        if steps < 0:
            raise ValueError(f"steps is {steps}, must not be negative")
        when, channel, count = self._events(steps, event_step, event_input, event_count)
        probed, table, shapes = self._probes(steps, probe or ())
        under_way = self._field(kernel.COUNT).astype(np.int64)
        out, stop = self._advance(
            steps,
            (when, channel, count),
            kernel.Output(
                progress=np.array([0, 0, 0, -1], np.int64),
                spikes=np.empty(self._capacity, np.uint32),
                counts=np.empty(self._capacity, np.int32),
                per_step=np.zeros(steps, np.int64),
                trace=np.empty(sum(rows * columns for rows, columns in shapes), np.float32),
                probed=probed,
                probes=table,
            ),
        )
        if stop == kernel.NOT_FINITE:
            raise StateError(int(out.progress[kernel.STEP]) - 1, int(out.progress[kernel.BAD_NEURON]), self.state())
        n = int(out.progress[kernel.OUT])
        index, counts = out.spikes[:n].copy(), out.counts[:n].copy()
        spikes = np.bincount(index, counts, minlength=self.neurons.size).astype(np.int64)
        heard = np.bincount(channel, count, minlength=self.n_inputs).astype(np.int64)
        arrived = under_way + spikes - self._field(kernel.COUNT).astype(np.int64)
        samples = np.split(out.trace, np.cumsum([rows * columns for rows, columns in shapes]))[:-1]
        return Result(
            spike_step=np.repeat(np.arange(steps), out.per_step),
            spike_index=index,
            spike_count=counts,
            traces=tuple(values.reshape(shape) for values, shape in zip(samples, shapes, strict=True)),
            spikes=spikes,
            input_events=heard,
            arrived=arrived,
            synops=int(heard @ self._fan_out[0] + arrived @ self._fan_out[1]),
        )

    def _advance(
        self, steps: int, given: tuple[NDArray[np.int64], ...], out: kernel.Output
    ) -> tuple[kernel.Output, int]:
        """Run to the end or to a state that is not finite, enlarging the buffer of spikes as needed."""
        when, channel, count = given
        while True:
            stop = kernel.run_steps(steps, self._wiring, self._memory, when, channel, count, out)
            if stop != kernel.OUT_FULL:
                return out, stop
            used = out.spikes.size
            self._capacity = 2 * used
            spikes, counts = np.empty(self._capacity, np.uint32), np.empty(self._capacity, np.int32)
            spikes[:used], counts[:used] = out.spikes, out.counts
            out = out._replace(spikes=spikes, counts=counts)

    def _events(
        self, steps: int, event_step: ArrayLike, event_input: ArrayLike, event_count: ArrayLike
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The inputs' events, checked, by step and input."""
        given = []
        number = np.ndim(event_count) == 0
        counts = np.full(np.size(event_step), event_count) if number else np.asarray(event_count)
        ranges = (
            ("event_step", event_step, 0, steps - 1),
            ("event_input", event_input, 0, self.n_inputs - 1),
            ("event_count", counts, 1, _MOST_AT_ONCE),
        )
        for name, values, low, high in ranges:
            array = np.asarray(values)
            if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
                raise ValueError(f"{name} needs integers in one dimension, got {array.dtype} {array.shape}")
            if array.size and not low <= int(array.min()) <= int(array.max()) <= high:
                raise ValueError(f"{name} has {array.min()}..{array.max()}, must lie in {low}..{high}")
            given.append(np.require(array, np.int64, ["C", "A", "W"]))
        when, channel, count = given
        if not when.size == channel.size == count.size:
            raise ValueError(
                f"event_step has {when.size} entries, event_input {channel.size}, event_count {count.size}"
            )
        later = np.diff(when)
        if bool((later < 0).any()):
            first = int(np.argmax(later < 0)) + 1
            raise ValueError(f"event_step decreases at position {first}: {when[first - 1]} then {when[first]}")
        if not bool(((later > 0) | (np.diff(channel) >= 0)).all()):
            order = np.lexsort((channel, when))
            channel, count = channel[order], count[order]
        return when, channel, count

    def _probes(
        self, steps: int, probes: Sequence[Probe | tuple[str, ArrayLike, int]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], list[tuple[int, int]]]:
        """Probes as the kernel wants them: positions, table, and the shapes of the traces."""
        places, rows, shapes = [np.empty(0, np.int64)], [], []
        first = at = 0
        for number, (variable, indices, every) in enumerate(Probe(*probe) for probe in probes):
            wanted = np.asarray(indices)
            if variable not in _FIELDS:
                raise ValueError(f"probe {number}: variable is {variable!r}, must be one of {', '.join(_FIELDS)}")
            if every < 1:
                raise ValueError(f"probe {number}: every is {every}, must be at least 1")
            if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "iu"):
                raise ValueError(f"probe {number}: indices need integers in one dimension")
            if wanted.size and not 0 <= int(wanted.min()) <= int(wanted.max()) < self.neurons.size:
                limit = self.neurons.size - 1
                raise ValueError(f"probe {number}: indices {wanted.min()}..{wanted.max()} outside 0..{limit}")
            block, lane = np.divmod(wanted.astype(np.int64), kernel.LANES)
            places.append((block * kernel.N_STATES + _FIELDS[variable]) * kernel.LANES + lane)
            rows.append((first, first + wanted.size, every, at))
            shapes.append((-(-steps // every), wanted.size))
            first += wanted.size
            at += shapes[-1][0] * shapes[-1][1]
        table = np.array(rows, np.int64).reshape(-1, 4)
        return np.concatenate(places), table, shapes
