"""A Xylo core as arrays: registers in, counts in, counts and states out. Knows nothing of neurohal.

State and undelivered spikes survive from call to call, and so does the hibernation flag: that xylosim's `evolve`
forgets it between calls is an artefact of that simulator; `forget_flag` does the same where it is wanted.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_xylo import kernel
from hal_xylo.registers import Registers

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


@attrs.frozen(kw_only=True, eq=False)
class Trace:
    """States at the end of every step: currents (T, n, synapses), membranes (T, n), and those of the outputs."""

    i_syn: I32
    v_mem: I32
    i_syn_out: I32
    v_mem_out: I32


@attrs.frozen(kw_only=True, eq=False)
class Result:
    """What a run gave.

    spikes (T, n), spikes_out (T, outputs): counts. hibernation (T,): the flag of core v2. Per step (T,): input events
    above 15, deliveries of a spike to a synapse, sums cut to 16 bits and neurons that hold more spikes than a step can
    have, channels with an event, hidden neurons whose spikes were delivered. trace: None unless asked for.
    """

    spikes: NDArray[np.uint8]
    spikes_out: NDArray[np.uint8]
    hibernation: NDArray[np.bool_]
    clipped: I64
    synops: I64
    saturated: I64
    channels: I64
    sources: I64
    trace: Trace | None


class Core:
    """One core. core: "v1" (no bias, no hibernation flag) or "v2"."""

    def __init__(self, registers: Registers, core: Literal["v1", "v2"] = "v2") -> None:
        if core not in ("v1", "v2"):
            raise ValueError(f"no core {core!r}: v1 or v2")
        if core == "v1" and registers.bias is not None:
            raise ValueError("core v1 has no bias")
        registers.check()
        self.registers = r = registers
        self.version = int(core[1])
        self.size, self.synapses = r.dash_syn.shape
        self.outputs = r.threshold_out.size
        self.inputs = len(r.w_in)
        self._into = _by_source(_stored(r.w_in, r.shift_in).transpose(0, 2, 1))
        self._recurrent = _by_source(_stored(r.w_rec, r.shift_rec).transpose(0, 2, 1))
        self._out = _by_source(_stored(r.w_out, r.shift_out))
        self._alias = _aliases(r.alias, self.size)
        none, none_out = np.zeros(self.size, np.int32), np.zeros(self.outputs, np.int32)
        self._hidden = tuple(
            _i32(values) for values in (r.threshold, r.dash_mem, r.dash_syn.T, none if r.bias is None else r.bias)
        )
        self._output = tuple(
            _i32(values)
            for values in (
                r.threshold_out,
                r.dash_mem_out,
                r.dash_syn_out,
                none_out if r.bias_out is None else r.bias_out,
            )
        )
        self.reset()

    def reset(self) -> None:
        """Currents, membranes, spikes under way and the flag: gone. Parameters stay."""
        sizes = (self.size * self.synapses, self.size, self.size, self.outputs, self.outputs)
        self._state = (*(np.zeros(size, np.int32) for size in sizes), np.zeros(1, np.bool_))

    def forget_flag(self) -> None:
        """Forget whether the last step was quiet, as the simulator does between two calls."""
        self._state[5][:] = False

    @property
    def i_syn(self) -> I32:
        """Currents now, (n, synapses)."""
        return self._state[0].reshape(self.synapses, self.size).T.copy()

    @property
    def v_mem(self) -> I32:
        """Membranes now, (n,)."""
        return self._state[1].copy()

    @property
    def i_syn_out(self) -> I32:
        """Currents of the outputs now."""
        return self._state[3].copy()

    @property
    def v_mem_out(self) -> I32:
        """Membranes of the outputs now."""
        return self._state[4].copy()

    @property
    def pending(self) -> int:
        """Spikes of the last step that wait for the next one to reach a synapse."""
        fan = np.diff(self._recurrent[0]) + np.diff(self._out[0])
        return int(self._state[2][fan > 0].sum())

    def run(self, raster: NDArray[Any], *, trace: bool = False) -> Result:
        """One step per row of `raster` (T, inputs), counts >= 0; those above 15 act as 15."""
        given = np.ascontiguousarray(raster, np.int32)
        if given.ndim != 2 or given.shape[1] != self.inputs:
            raise ValueError(f"a raster has shape (steps, {self.inputs}), this one {given.shape}")
        if given.size and given.min() < 0:
            raise ValueError("a count is never below 0")
        steps = len(given)
        spikes = np.zeros((steps, self.size), np.uint8)
        spikes_out = np.zeros((steps, self.outputs), np.uint8)
        flags = np.zeros(steps, np.bool_)
        tallies = np.zeros((steps, kernel.TALLIES), np.int64)
        rows = steps if trace else 0
        kept = tuple(
            np.zeros((rows, size), np.int32)
            for size in (self.size * self.synapses, self.size, self.outputs, self.outputs)
        )
        kernel.run(
            self.version, given, self._into, self._recurrent, self._out, self._hidden, self._output, self._alias,
            self.registers.bias is not None or self.registers.bias_out is not None,
            self._state, spikes, spikes_out, flags, tallies, kept,
        )  # fmt: skip
        return Result(
            spikes=spikes,
            spikes_out=spikes_out,
            hibernation=flags,
            clipped=tallies[:, kernel.CLIPPED],
            synops=tallies[:, kernel.SYNOPS],
            saturated=tallies[:, kernel.SATURATED],
            channels=tallies[:, kernel.CHANNELS],
            sources=tallies[:, kernel.SOURCES],
            trace=self._trace(kept) if trace else None,
        )

    def _trace(self, kept: tuple[I32, ...]) -> Trace:
        currents = kept[0].reshape(-1, self.synapses, self.size).transpose(0, 2, 1)
        return Trace(i_syn=currents, v_mem=kept[1], i_syn_out=kept[2], v_mem_out=kept[3])


def _stored(weight: NDArray[Any], shift: int) -> I32:
    """Weights as they are added: shifted to the left and cut to 16 bits."""
    if not 0 <= shift <= 15:
        raise ValueError(f"a weight shift is 0 to 15, not {shift}")
    return (weight.astype(np.int64) << shift).astype(np.int16).astype(np.int32)


def _by_source(weight: I32) -> tuple[I64, I32, I32]:
    """(indptr, target, weight) of the weights that are not zero; targets are flat over all axes but the first."""
    flat = weight.reshape(len(weight), -1)
    source, target = np.nonzero(flat)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=len(flat)))]).astype(np.int64)
    return indptr, target.astype(np.int32), np.ascontiguousarray(flat[source, target])


def _aliases(pairs: NDArray[Any], size: int) -> tuple[I64, I32]:
    order = np.argsort(pairs[:, 0], kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(pairs[:, 0].astype(np.int64), minlength=size))])
    return indptr.astype(np.int64), pairs[order, 1].astype(np.int32)


def _i32(values: NDArray[Any]) -> I32:
    return np.ascontiguousarray(values, np.int32).reshape(-1)
