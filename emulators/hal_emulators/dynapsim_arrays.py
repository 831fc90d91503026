"""What DynapSim is made of: neurons with their 24 parameters, and synapses by source, checked; the kernel's memory.

Defaults: those of rockpool 3.1.0, stated there as time constants and ratios of currents.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import dynapsim_kernel as kernel

__all__ = ["Neurons", "Synapses"]

F32 = NDArray[np.float32]

_KAPPA, _UT, _VTH = (0.75 + 0.66) / 2, 25e-3, 0.7
_ITAU_MEM, _ITAU_SYN, _ITAU_AHP = (
    _UT * c / (_KAPPA * tau) for c, tau in ((3e-12, 20e-3), (24.5e-12, 10e-3), (40e-12, 50e-3))
)
_POSITIVE = ("Io", "Ispkthr", "Ut", "C_mem", "C_syn", "C_ahp")
_NOT_NEGATIVE = ("Ipulse", "Ipulse_ahp", "Iref", "C_pulse", "C_pulse_ahp", "C_ref", "Vth")


def _reals(values: Any) -> F32:
    """float32, an own copy that nobody writes to."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"needs real numbers, got {array.dtype}")
    with np.errstate(over="ignore"):  # what is too large for float32 becomes inf and is refused with its place
        own = np.array(array, np.float32)
    own.flags.writeable = False
    return own


def _parameter(default: float) -> Any:
    return attrs.field(default=default, converter=_reals)


@attrs.frozen(kw_only=True, eq=False)
class Neurons:
    """The 24 parameters of n neurons, float32 (n,) each; scalars stand for all, and n is 1 without any array.

    Currents in A, capacitances in F, voltages in V. ValueError with all that is wrong: every value must be finite; Io,
    Ispkthr, Ut, C_mem, C_syn, C_ahp and kappa_n + kappa_p above 0; the other capacitances, Ipulse, Ipulse_ahp, Iref and
    Vth not below 0; and what the rule derives must be finite. TypeError for what is no real number.
    """

    Idc: F32 = _parameter(5e-13)
    If_nmda: F32 = _parameter(5e-13)
    """Held, and not used by the rule."""
    Igain_ahp: F32 = _parameter(_ITAU_AHP)
    Igain_mem: F32 = _parameter(4 * _ITAU_MEM)
    Igain_syn: F32 = _parameter(100 * _ITAU_SYN)
    Ipulse_ahp: F32 = _parameter(_VTH * 0.5e-12 / 1e-6)
    Ipulse: F32 = _parameter(_VTH * 0.5e-12 / 10e-6)
    Iref: F32 = _parameter(_VTH * 1.5e-12 / 1e-3)
    Ispkthr: F32 = _parameter(1e-7)
    Itau_ahp: F32 = _parameter(_ITAU_AHP)
    Itau_mem: F32 = _parameter(_ITAU_MEM)
    Itau_syn: F32 = _parameter(_ITAU_SYN)
    Iw_ahp: F32 = _parameter(5e-13)
    C_ahp: F32 = _parameter(40e-12)
    C_syn: F32 = _parameter(24.5e-12)
    C_pulse_ahp: F32 = _parameter(0.5e-12)
    C_pulse: F32 = _parameter(0.5e-12)
    C_ref: F32 = _parameter(1.5e-12)
    C_mem: F32 = _parameter(3e-12)
    Io: F32 = _parameter(5e-13)
    kappa_n: F32 = _parameter(0.75)
    kappa_p: F32 = _parameter(0.66)
    Ut: F32 = _parameter(_UT)
    Vth: F32 = _parameter(_VTH)

    def __attrs_post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in attrs.fields(Neurons)}
        n = next((values.size for values in given.values() if values.ndim), 1)
        problems = [] if n else ["there must be a neuron"]
        for name, values in given.items():
            if values.ndim and values.shape != (n,):
                problems.append(f"{name} has shape {values.shape}, must be ({n},) as the others")
                continue
            object.__setattr__(self, name, np.ascontiguousarray(np.broadcast_to(values, n)))
        if not problems:
            problems += self._outside()
        if not problems:
            problems += self._not_finite()
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def size(self) -> int:
        """How many."""
        return self.Io.size

    def _outside(self) -> list[str]:
        problems = []
        for field in attrs.fields(Neurons):
            values = getattr(self, field.name)
            limits = [(~np.isfinite(values), "finite")]
            if field.name in _POSITIVE:
                limits.append((values <= 0, "above 0"))
            if field.name in _NOT_NEGATIVE:
                limits.append((values < 0, "not below 0"))
            for bad, limit in limits:
                problems += _named(field.name, values, bad, f"must be {limit}")
        kappas = self.kappa_n + self.kappa_p
        return problems + _named("kappa_n + kappa_p", kappas, kappas <= 0, "must be above 0")

    def _not_finite(self) -> list[str]:
        factors = self.factors(np.float32(1e-3))
        at = {kernel.KEEP_SYN: "exp(-dt/tau_syn)", kernel.JUMP_SYN: "1 - exp(-t_pulse/tau_syn)"}
        at |= {kernel.GAIN_SYN: "Igain_syn/Itau_syn", kernel.KEEP_AHP: "exp(-dt/tau_ahp)"}
        at |= {kernel.JUMP_AHP: "1 - exp(-t_pulse_ahp/tau_ahp)", kernel.GAIN_AHP: "Igain_ahp/Itau_ahp"}
        at |= {kernel.GAIN_MEM: "Igain_mem/Itau_mem", kernel.CHARGE: "Ut C_mem/kappa"}
        at |= {kernel.PER_DARK: "1/Io", kernel.PER_THRESHOLD: "1/Ispkthr"}
        bad = [_named(what, factors[k], ~np.isfinite(factors[k]), "must be finite") for k, what in at.items()]
        dead = factors[kernel.DEAD_TIME]
        bad.append(_named("t_ref = Vth C_ref/Iref", dead, np.isnan(dead), "must be a number"))
        return [problem for found in bad for problem in found]

    def factors(self, dt: np.float32) -> F32:
        """What does not change from step to step, (N_FACTORS, n), computed in float32; `dt` in s."""
        with np.errstate(all="ignore"):  # a pulse current of 0 is a pulse without end; the rest is refused
            kappa = (self.kappa_n + self.kappa_p) / np.float32(2)
            slope = self.Ut / kappa
            names = ("Itau_syn", "Igain_syn", "Itau_ahp", "Igain_ahp", "Itau_mem", "Igain_mem")
            itau_syn, igain_syn, itau_ahp, igain_ahp, itau_mem, igain_mem = (
                np.maximum(getattr(self, name), self.Io) for name in names
            )
            tau_syn, tau_ahp = slope * self.C_syn / itau_syn, slope * self.C_ahp / itau_ahp
            pulse, pulse_ahp = self.Vth * self.C_pulse / self.Ipulse, self.Vth * self.C_pulse_ahp / self.Ipulse_ahp
            one = np.float32(1)
            rows = {
                kernel.KEEP_SYN: _exp(-dt / tau_syn),
                kernel.JUMP_SYN: one - _exp(-pulse / tau_syn),
                kernel.GAIN_SYN: igain_syn / itau_syn,
                kernel.DARK: self.Io,
                kernel.PER_DARK: one / self.Io,
                kernel.KEEP_AHP: _exp(-dt / tau_ahp),
                kernel.JUMP_AHP: one - _exp(-pulse_ahp / tau_ahp),
                kernel.GAIN_AHP: igain_ahp / itau_ahp,
                kernel.WEIGHT_AHP: self.Iw_ahp,
                kernel.LEAK: itau_mem,
                kernel.DC: self.Idc,
                kernel.GAIN_MEM: igain_mem / itau_mem,
                kernel.HEADROOM: igain_mem,
                kernel.FEED: kappa * kappa / (kappa + one) * (one / self.Ut),
                kernel.CHARGE: slope * self.C_mem,
                kernel.SLOPE: slope,
                kernel.PER_THRESHOLD: one / self.Ispkthr,
                kernel.DEAD_TIME: self.Vth * self.C_ref / self.Iref,
            }
        return np.stack([rows[k] for k in range(kernel.N_FACTORS)])

    def memory(self, dt: float, scale: float, initial: float) -> kernel.Memory:
        """Fresh memory for the kernel. Lanes past the last neuron are default ones, which rest without input."""
        n = self.size
        blocks = -(-n // kernel.LANES)
        factors = np.repeat(Neurons().factors(np.float32(dt)), blocks * kernel.LANES, axis=1)
        factors[:, :n] = self.factors(np.float32(dt))
        shape = (kernel.N_FACTORS, blocks, kernel.LANES)
        memory = kernel.Memory(
            factors=np.ascontiguousarray(factors.reshape(shape).transpose(1, 0, 2)).ravel(),
            state=np.zeros(blocks * kernel.N_STATES * kernel.LANES, np.float32),
            external=np.zeros(blocks * kernel.LANES, np.float32),
            recurrent=np.zeros(blocks * kernel.LANES, np.float32),
            outcome=np.zeros(kernel.LANES, np.uint8),
            scale=np.float32(scale),
            dt=np.float32(dt),
        )
        begin(memory, initial)
        return memory


def begin(memory: kernel.Memory, initial: float) -> None:
    """Set the state at the start: all currents `initial` (A), no voltage, no spike under way."""
    fields = memory.state.reshape(-1, kernel.N_STATES, kernel.LANES)
    fields[:] = 0
    fields[:, (kernel.ISYN, kernel.IAHP, kernel.IMEM)] = np.float32(initial)
    memory.external[:] = 0
    memory.recurrent[:] = 0


def _exp(x: F32) -> F32:
    """e**x, correctly rounded, as a compiler does to what does not change."""
    return np.exp(x.astype(np.float64)).astype(np.float32)


def _named(what: str, values: NDArray[Any], bad: NDArray[np.bool_], limit: str) -> list[str]:
    """One problem for all bad values of one kind, naming the first."""
    at = np.flatnonzero(bad)
    if not at.size:
        return []
    more = f" and {at.size - 1} more" if at.size > 1 else ""
    return [f"{what} of neuron {at[0]} is {values[at[0]]:g}{more}, {limit}"]


def _integers(values: Any) -> NDArray[Any]:
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"needs integers, got {array.dtype}")
    return array.astype(np.int64)


@attrs.frozen(kw_only=True, eq=False)
class Synapses:
    """Synapses by source: those of source s are indptr[s]:indptr[s + 1]. Several from one source to a target add up.

    TypeError for what is of another type; ValueError with all that is wrong: indptr must rise from 0 to the number of
    synapses, targets must not be negative, weights must be finite.
    """

    indptr: NDArray[np.int64] = attrs.field(converter=_integers)
    """(sources + 1,)"""
    target: NDArray[np.int64] = attrs.field(converter=_integers)
    """Neurons, (m,)."""
    weight: F32 = attrs.field(converter=_reals)
    """What one spike brings, in units of Iscale, (m,)."""

    def __attrs_post_init__(self) -> None:
        problems = []
        for name in ("indptr", "target", "weight"):
            if getattr(self, name).ndim != 1:
                problems.append(f"{name} has shape {getattr(self, name).shape}, must have one dimension")
        ends, n = self.indptr, self.target.size
        if not problems and (ends.size == 0 or ends[0] != 0 or ends[-1] != n or bool((np.diff(ends) < 0).any())):
            problems.append(f"indptr must rise from 0 to {n}, the number of synapses")
        if self.weight.shape != self.target.shape:
            problems.append(f"weight has shape {self.weight.shape}, target {self.target.shape}")
        if n and not 0 <= int(self.target.min()) <= int(self.target.max()) < 2**31:
            problems.append(f"target has {self.target.min()}..{self.target.max()}, must lie in 0..{2**31 - 1}")
        bad = np.flatnonzero(~np.isfinite(self.weight))
        if bad.size:
            more = f" and {bad.size - 1} more" if bad.size > 1 else ""
            problems.append(f"weight {bad[0]} is {self.weight.flat[bad[0]]:g}{more}, must be finite")
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def sources(self) -> int:
        """How many."""
        return self.indptr.size - 1

    @classmethod
    def from_dense(cls, weights: ArrayLike) -> Synapses:
        """Of a matrix (sources, targets); 0 is no synapse."""
        matrix = np.asarray(weights)
        if matrix.ndim != 2:
            raise ValueError(f"weights have shape {matrix.shape}, must be (sources, targets)")
        source, target = np.nonzero(matrix)
        ends = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=matrix.shape[0]))])
        return cls(indptr=ends, target=target, weight=matrix[source, target])

    @classmethod
    def from_lists(cls, sources: int, source: ArrayLike, target: ArrayLike, weight: ArrayLike) -> Synapses:
        """Of one entry per synapse, (m,) each; those of a source are sorted by target. Sources are 0..sources - 1."""
        pre, post, values = _integers(source), _integers(target), _reals(weight)
        if not pre.ndim == post.ndim == values.ndim == 1 or not pre.size == post.size == values.size:
            raise ValueError(f"source, target, weight have shapes {pre.shape}, {post.shape}, {values.shape}")
        if pre.size and not 0 <= int(pre.min()) <= int(pre.max()) < sources:
            raise ValueError(f"source has {pre.min()}..{pre.max()}, must lie in 0..{sources - 1}")
        order = np.lexsort((post, pre))
        ends = np.concatenate([[0], np.cumsum(np.bincount(pre, minlength=sources))])
        return cls(indptr=ends, target=post[order], weight=values[order])
