"""Bit-exact emulator of Loihi 1: compartments, synapses with delays, host spikes; arrays in, arrays out.

One step, for every compartment at once, in integers (the rule of nengo-loihi 1.1.0; delays as in brian2-loihi 0.5.2);
wrapN is two's complement of N bits and sign; D(x, k) = sign(x) * floor(|x| * k / 4096):

    q = wrap21(sum of the weights of all spikes that arrive in this step)
    u = wrap23(D(u, 4095 - decay_u) + q)
    v = D(v, 4096 - decay_v) + wrap23(u + bias)
    v = clip(v, vmin, vmax), and 0 while refractory
    v > vth: spike, v = 0, refractory for the `refract` - 1 following steps

A spike of step t, of a compartment or from the host, with delay d arrives in step t + 1 + d. Where a spike comes from
(same core, other core, other chip) changes nothing. Noise, where enabled: trunc((x + 64 * offset) * 2**(exp - 7)) with
x uniform in -127..127, added to q or to u + bias before the wrap. The chip's own generator is not published: x comes
from a counter-based one, so only the distribution is the chip's. On silicon exponents below 7 act as one higher
(nengo-loihi's hardware builder); here the exponent is what acts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import loihi_kernel as kernel
from .loihi_arrays import Compartments, Synapses

__all__ = ["OVERFLOWS", "Board", "Compartments", "Probe", "RegisterOverflowError", "Result", "State", "Synapses"]

OVERFLOWS = ("accumulator", "current", "drive")
"""What can overflow: q beyond 21 bits and sign, u beyond 23, u + bias beyond 23. The rows of `Result.overflowed`."""
_BITS = (21, 23, 23)
_VARIABLES = ("u", "v", "v_register")
_INITIAL_CAPACITY = 4096  # spikes beyond those one step may bring; the buffer doubles from here on


class Probe(NamedTuple):
    """What to record: "u", "v", or "v_register", at the end of the run's steps 0, every, 2 * every and so on.

    "v_register" is what the chip's register holds: v, but during the refractory time the counter times 128, beginning
    with refract * 128 in the step of the spike (seen on silicon, and reported for nengo-loihi in its issue 170).
    """

    variable: str
    indices: ArrayLike
    """Compartments, (n,)."""
    every: int = 1
    """Steps."""


class State(NamedTuple):
    """Copies, int32 (N,), at the end of the last step."""

    u: NDArray[np.int32]
    v: NDArray[np.int32]
    refractory: NDArray[np.int32]
    """Steps for which v will be held at 0."""
    v_register: NDArray[np.int32]
    """What the chip's register of the voltage holds, see `Probe`."""


class RegisterOverflowError(OverflowError):
    """A register overflowed on a board with overflow="error"."""

    def __init__(self, kind: str, step: int, compartment: int, more: int) -> None:
        self.kind = kind
        """One of OVERFLOWS."""
        self.step = step
        """Step of the run, from 0."""
        self.compartment = compartment
        """The lowest of those that overflowed in this step."""
        bits = _BITS[OVERFLOWS.index(kind)]
        others = f"; {more} more overflows in this step" if more else ""
        super().__init__(
            f"step {step}, compartment {compartment}: {kind} left -2**{bits}..2**{bits} - 1{others}; "
            'make weights or biases smaller, or let it wrap with overflow="wrap"'
        )


@attrs.frozen(kw_only=True, eq=False)
class Result:
    """What a board did during one run. Steps count from 0 at the start of the run."""

    spike_step: NDArray[np.int64]
    spike_index: NDArray[np.uint32]
    """Compartments, ascending within a step."""
    traces: tuple[NDArray[np.int32], ...]
    """For every probe the samples, (ceil(steps / every), n)."""
    spikes: NDArray[np.int64]
    """Per core."""
    synops: NDArray[np.int64]
    """Per core: deliveries (one spike to one synapse) that arrived during the run."""
    overflowed: NDArray[np.int64]
    """(3, cores), rows as in OVERFLOWS: compartment-steps in which the register overflowed."""
    saturated: NDArray[np.int64]
    """Per core: compartment-steps in which the membrane would have gone below its register of 23 bits and sign."""


class Board:
    """Compartments on cores, wired. State carries over from run to run, spikes under way included.

    Not to be used from several threads at once; different boards may run in parallel, the kernels release the GIL.
    """

    def __init__(
        self,
        compartments: Compartments,
        synapses: Synapses,
        n_inputs: int,
        *,
        overflow: Literal["wrap", "error"] = "wrap",
        seed: int = 0,
        core: ArrayLike | None = None,
    ) -> None:
        """Sources 0..n_inputs - 1 are the host's, source n_inputs + i is compartment i.

        `overflow`: registers wrap and are counted, or the run ends with RegisterOverflowError. `seed`: of the noise,
        0..2**64 - 1. `core`: core number of every compartment, (N,), not negative; results are counted per core.
        ValueError with all that is wrong.
        """
        n = compartments.decay_u.size
        numbers = np.zeros(n, np.int64) if core is None else np.asarray(core)
        problems = []
        if overflow not in ("wrap", "error"):
            problems.append(f"overflow is 'wrap' or 'error', not {overflow!r}")
        if not 0 <= seed < 2**64:
            problems.append(f"seed is {seed}, must be 0..2**64 - 1")
        if n_inputs < 0:
            problems.append(f"n_inputs is {n_inputs}, must not be negative")
        if synapses.indptr.size != n_inputs + n + 1:
            sources = f"{n_inputs} inputs and {n} compartments"
            problems.append(f"synapses have {synapses.indptr.size - 1} sources, the board has {sources}")
        if synapses.target.size and int(synapses.target.max()) >= n:
            problems.append(f"synapses reach compartment {synapses.target.max()}, there are {n}")
        if numbers.shape != (n,) or numbers.dtype.kind not in "iu" or int(numbers.min()) < 0:
            problems.append(f"core needs {n} integers that are not negative, got {numbers.dtype} {numbers.shape}")
        if problems:
            raise ValueError("; ".join(problems))
        self.compartments, self.synapses, self.n_inputs = compartments, synapses, n_inputs
        self.core = numbers.astype(np.int64)
        self.n_cores = int(self.core.max()) + 1
        self._strict = overflow == "error"
        self._fan_in = int(np.bincount(synapses.target).max(initial=0))
        self._wiring = synapses.wiring(n_inputs)
        self._noise = compartments.noise(seed)
        self._memory = compartments.memory(synapses.max_delay, self.core)
        self._capacity = self._memory.core.size + _INITIAL_CAPACITY
        self._clock = 0

    def reset(self) -> None:
        """As new: no current, no voltage, no spike under way, and the noise starts again."""
        self._memory.state[:] = 0
        self._memory.ring[:] = 0
        self._clock = 0

    def reseed(self, seed: int) -> None:
        """Draw the noise of the steps to come from another stream, 0..2**64 - 1."""
        self._noise = self.compartments.noise(seed)

    def state(self) -> State:
        """Copies of u, v, the refractory counters, and v as the register holds it."""
        fields = self._memory.state.reshape(-1, kernel.N_STATES, kernel.LANES)
        u, v, counter = (fields[:, field].ravel()[: self.core.size].copy() for field in range(kernel.N_STATES))
        register = np.where(counter > 0, counter * 128, v).astype(np.int32)
        return State(u, v, np.maximum(counter - 1, 0).astype(np.int32), register)

    def run(
        self,
        steps: int,
        event_step: ArrayLike,
        event_source: ArrayLike,
        *,
        probe: Sequence[Probe | tuple[str, ArrayLike, int]] | None = None,
    ) -> Result:
        """Go on by `steps` steps.

        Host spike k is emitted in step event_step[k] (integers (m,), non-decreasing, 0..steps - 1) by input
        event_source[k] and arrives one step and its synapse's delay later, in the next run if need be. The same input
        may spike several times in a step. ValueError, before anything runs, for other arrays and for probes of what
        is not there. RegisterOverflowError on a strict board; it then stands at the end of the step in question.
        """
        if steps < 0:
            raise ValueError(f"steps is {steps}, must not be negative")
        when, source = self._events(steps, event_step, event_source)
        probed, table, shapes = self._probes(steps, probe or ())
        out = kernel.Output(
            progress=np.zeros(kernel.N_PROGRESS, np.int64),
            spikes=np.empty(self._capacity, np.uint32),
            per_step=np.zeros(steps, np.int64),
            synops=np.zeros(self.n_cores, np.int64),
            overflowed=np.zeros((len(OVERFLOWS), self.n_cores), np.int64),
            saturated=np.zeros(self.n_cores, np.int64),
            trace=np.empty(sum(rows * columns for rows, columns in shapes), np.int32),
            probed=probed,
            probes=table,
        )
        out, stop = self._advance(steps, when, source, out)
        self._clock += int(out.progress[kernel.STEP])
        if stop == kernel.OVERFLOWED:
            step, kind, at, count = (
                int(out.progress[i]) for i in (kernel.STEP, kernel.LOST_KIND, kernel.LOST_AT, kernel.LOST_COUNT)
            )
            raise RegisterOverflowError(OVERFLOWS[kind], step - 1, at, count - 1)
        index = out.spikes[: out.progress[kernel.OUT]].copy()
        samples = np.split(out.trace, np.cumsum([rows * columns for rows, columns in shapes]))[:-1]
        return Result(
            spike_step=np.repeat(np.arange(steps), out.per_step),
            spike_index=index,
            traces=tuple(values.reshape(shape) for values, shape in zip(samples, shapes, strict=True)),
            spikes=np.bincount(self.core[index], minlength=self.n_cores),
            synops=out.synops,
            overflowed=out.overflowed,
            saturated=out.saturated,
        )

    def _advance(
        self, steps: int, when: NDArray[np.int64], source: NDArray[np.int64], out: kernel.Output
    ) -> tuple[kernel.Output, int]:
        """Run to the end or to an overflow that counts as an error, enlarging the buffer of spikes as needed."""
        while True:
            stop = kernel.run_steps(
                steps, self._clock, self._wiring, self._memory, self._noise, when, source, out, self._strict
            )
            if stop != kernel.OUT_FULL:
                return out, stop
            self._capacity = 2 * out.spikes.size
            spikes = np.empty(self._capacity, np.uint32)
            spikes[: out.spikes.size] = out.spikes
            out = out._replace(spikes=spikes)

    def _events(
        self, steps: int, event_step: ArrayLike, event_source: ArrayLike
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The host's spikes, checked."""
        given = []
        for name, values, limit in (("event_step", event_step, steps), ("event_source", event_source, self.n_inputs)):
            array = np.asarray(values)
            if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
                raise ValueError(f"{name} needs integers in one dimension, got {array.dtype} {array.shape}")
            if array.size and not 0 <= int(array.min()) <= int(array.max()) < limit:
                raise ValueError(f"{name} has {array.min()}..{array.max()}, must lie in 0..{limit - 1}")
            given.append(np.require(array, np.int64, ["C", "A", "W"]))
        when, source = given
        if when.size != source.size:
            raise ValueError(f"event_step has {when.size} entries, event_source {source.size}")
        later = when[1:] - when[:-1]
        if bool((later < 0).any()):
            first = int(np.argmax(later < 0)) + 1
            raise ValueError(f"event_step decreases at position {first}: {when[first - 1]} then {when[first]}")
        most = 1
        if not bool(((later > 0) | (source[1:] > source[:-1])).all()):
            most = int(np.unique(when * self.n_inputs + source, return_counts=True)[1].max())
        if most * self._fan_in > kernel.MAX_DELIVERIES:
            raise ValueError(
                f"an input spikes {most} times in one step and a compartment has {self._fan_in} synapses: at most "
                f"{kernel.MAX_DELIVERIES} deliveries to one compartment in one step can be added up"
            )
        return when, source

    def _probes(
        self, steps: int, probes: Sequence[Probe | tuple[str, ArrayLike, int]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], list[tuple[int, int]]]:
        """Probes as the kernel wants them: positions, table, and the shapes of the traces."""
        places, rows, shapes = [np.empty(0, np.int64)], [], []
        first = at = 0
        for number, (variable, indices, every) in enumerate(Probe(*probe) for probe in probes):
            wanted = np.asarray(indices)
            if variable not in _VARIABLES:
                raise ValueError(f"probe {number}: variable is {variable!r}, must be one of {', '.join(_VARIABLES)}")
            if every < 1:
                raise ValueError(f"probe {number}: every is {every}, must be at least 1")
            if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "iu"):
                raise ValueError(f"probe {number}: indices need integers in one dimension")
            if wanted.size and not 0 <= int(wanted.min()) <= int(wanted.max()) < self.core.size:
                raise ValueError(
                    f"probe {number}: indices {wanted.min()}..{wanted.max()} outside 0..{self.core.size - 1}"
                )
            field = kernel.U if variable == "u" else kernel.V
            block, lane = np.divmod(wanted.astype(np.int64), kernel.LANES)
            places.append((block * kernel.N_STATES + field) * kernel.LANES + lane)
            rows.append((first, first + wanted.size, every, int(variable == "v_register"), at))
            shapes.append((-(-steps // every), wanted.size))
            first += wanted.size
            at += shapes[-1][0] * shapes[-1][1]
        table: NDArray[Any] = np.array(rows, np.int64).reshape(-1, 5)
        return np.concatenate(places), table, shapes
