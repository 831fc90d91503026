"""What a DYNAP-SE2-like chip is made of: DPI neurons, routes by tag, tag buses, artefacts; checked, as arrays."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from . import dpi_soma as soma

__all__ = ["DENDRITES", "Artefacts", "Bus", "Neurons", "Routes"]

DENDRITES = ("ampa", "gaba", "nmda", "shunt")
"""Order of the columns of Itau_syn, Igain_syn and C_syn, and numbers of the dendrites in routes."""

# default values: rockpool 3.1.0, DynapSim; currents there are made from times, as here
_UT, _KAPPA, _VTH = 25e-3, (0.75 + 0.66) / 2, 0.7
_C_SYN = (24.5e-12, 25e-12, 25e-12, 24.5e-12)
_ITAU_MEM, _ITAU_AHP = _UT * 3e-12 / (_KAPPA * 20e-3), _UT * 40e-12 / (_KAPPA * 50e-3)
_ITAU_SYN = tuple(_UT * c / (_KAPPA * 10e-3) for c in _C_SYN)


def _numbers(values: Any) -> NDArray[Any]:
    """An array of numbers; TypeError for anything else."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"needs numbers, got {array.dtype}")
    return array.astype(np.float64)


def _integers(values: Any) -> NDArray[Any]:
    """An array of integers, one dimension; TypeError for anything else."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"needs integers, got {array.dtype}")
    if array.ndim != 1:
        raise TypeError(f"needs one dimension, got {array.shape}")
    return array.astype(np.int64)


def _flags(values: Any) -> NDArray[Any]:
    """An array of yes and no; TypeError for anything else."""
    array = np.asarray(values)
    if array.dtype.kind != "b":
        raise TypeError(f"needs booleans, got {array.dtype}")
    return array


def _number(default: Any, *, zero: bool = False, four: bool = False, adaptation: bool = False) -> Any:
    """A parameter: may it be zero, is it one of four, does it count only where adaptation is on."""
    return attrs.field(
        default=default, converter=_numbers, metadata={"zero": zero, "four": four, "adaptation": adaptation}
    )


@attrs.frozen(kw_only=True, eq=False)
class Neurons:
    """N DPI neurons. Parameters: (N,), or one number for all; (N, 4) or (4,) for those of dendrites. Arrays once made.

    Currents in A, capacitances in F, voltages in V. What is not given is the default of rockpool 3.1.0's DynapSim (its
    NMDA reversal 5e-13 A lets everything pass). TypeError for what is not a number, ValueError with all that is wrong:
    all must be finite and positive; Idc, If_nmda, Iw and Iw_ahp may be 0, and the parameters of adaptation, where it
    is off, anything finite not negative; Ispkthr must be above Io.
    """

    core: NDArray[np.int64] = attrs.field(converter=_integers)
    """Core number of every neuron, (N,)."""
    thresholded: NDArray[np.bool_] = attrs.field(default=False, converter=_flags)
    """Without the positive feedback of the exponential neuron (latch_soif_type)."""
    adaptation: NDArray[np.bool_] = attrs.field(default=False, converter=_flags)
    dc: NDArray[np.bool_] = attrs.field(default=True, converter=_flags)
    """Whether Idc is injected (latch_so_dc)."""
    Io: NDArray[np.float64] = _number(5e-13)
    kappa_n: NDArray[np.float64] = _number(0.75)
    kappa_p: NDArray[np.float64] = _number(0.66)
    Ut: NDArray[np.float64] = _number(_UT)
    Vth: NDArray[np.float64] = _number(_VTH)
    C_mem: NDArray[np.float64] = _number(3e-12)
    Itau_mem: NDArray[np.float64] = _number(_ITAU_MEM)
    Igain_mem: NDArray[np.float64] = _number(4 * _ITAU_MEM)
    Ispkthr: NDArray[np.float64] = _number(1e-7)
    Idc: NDArray[np.float64] = _number(5e-13, zero=True)
    If_nmda: NDArray[np.float64] = _number(5e-13, zero=True)
    C_ref: NDArray[np.float64] = _number(1.5e-12)
    Iref: NDArray[np.float64] = _number(_VTH * 1.5e-12 / 1e-3)
    C_pulse: NDArray[np.float64] = _number(0.5e-12)
    Ipulse: NDArray[np.float64] = _number(_VTH * 0.5e-12 / 10e-6)
    C_ahp: NDArray[np.float64] = _number(40e-12, adaptation=True)
    Itau_ahp: NDArray[np.float64] = _number(_ITAU_AHP, adaptation=True)
    Igain_ahp: NDArray[np.float64] = _number(_ITAU_AHP, adaptation=True)
    Iw_ahp: NDArray[np.float64] = _number(5e-13, zero=True)
    C_pulse_ahp: NDArray[np.float64] = _number(0.5e-12, adaptation=True)
    Ipulse_ahp: NDArray[np.float64] = _number(_VTH * 0.5e-12 / 1e-6, adaptation=True)
    C_syn: NDArray[np.float64] = _number(_C_SYN, four=True)
    Itau_syn: NDArray[np.float64] = _number(_ITAU_SYN, four=True)
    Igain_syn: NDArray[np.float64] = _number(tuple(100 * i for i in _ITAU_SYN), four=True)
    Iw: NDArray[np.float64] = _number((1e-9, 2e-9, 4e-9, 8e-9), zero=True, four=True)
    """Base currents Iw_0..Iw_3 of the neuron's core."""

    def __attrs_post_init__(self) -> None:
        n = self.core.size
        problems = [] if n else ["there must be a neuron"]
        if n and int(self.core.min()) < 0:
            problems.append(f"core of neuron {self.core.argmin()} is {self.core.min()}, must not be negative")
        for field in attrs.fields(Neurons):
            values = getattr(self, field.name)
            shape = (n, 4) if field.metadata.get("four") else (n,)
            if values.shape not in (shape, shape[1:], ()):
                problems.append(f"{field.name} has shape {values.shape}, must be {shape}")
                continue
            object.__setattr__(self, field.name, np.ascontiguousarray(np.broadcast_to(values, shape)))
        if not problems:
            for field in attrs.fields(Neurons):
                problems += self._outside(field)
        if not problems and not bool((self.Ispkthr > self.Io).all()):
            k = int(np.argmin(self.Ispkthr > self.Io))
            problems.append(f"Ispkthr of neuron {k} is {self.Ispkthr[k]} A, must be above Io, {self.Io[k]} A")
        if problems:
            raise ValueError("; ".join(problems))

    def _outside(self, field: attrs.Attribute[Any]) -> list[str]:
        values = getattr(self, field.name)
        if values.dtype != np.float64:
            return []
        zero_too = np.full(values.shape[0], field.metadata["zero"])
        if field.metadata["adaptation"]:
            zero_too |= ~self.adaptation
        by_row = values.reshape(values.shape[0], -1)
        bad = ~np.isfinite(by_row) | (by_row < 0) | ((by_row == 0) & ~zero_too[:, None])
        rows = np.flatnonzero(bad.any(axis=1))
        if not rows.size:
            return []
        value = by_row[rows[0]][bad[rows[0]]][0]
        more = f" and of {rows.size - 1} more" if rows.size > 1 else ""
        wanted = "not negative" if zero_too[rows[0]] else "positive"
        return [f"{field.name} of neuron {rows[0]}{more} is {value}, must be finite and {wanted}"]

    @property
    def kappa(self) -> NDArray[np.float64]:
        """Both kappas as one, (N,)."""
        return (self.kappa_n + self.kappa_p) / 2

    def parameters(self, pull: bool) -> NDArray[np.float64]:
        """One row per neuron, as `dpi_soma` names the columns."""
        p = np.zeros((self.core.size, soma.N_PARAMETERS))
        per_volt = self.kappa / self.Ut
        on = self.adaptation & (self.Iw_ahp > 0)
        with np.errstate(divide="ignore", invalid="ignore"):  # parameters of adaptation, where it is off
            ahp = np.stack([self.C_ahp / (per_volt * self.Itau_ahp), self.Igain_ahp / self.Itau_ahp * self.Iw_ahp])
            ahp_pulse = self.Vth * self.C_pulse_ahp / self.Ipulse_ahp
        columns: dict[int, Any] = {
            soma.K: per_volt / self.C_mem,
            soma.GAIN: self.Igain_mem,
            # the dark currents of adaptation and shunt are no leak
            soma.LEAK: self.Itau_mem - 2 * self.Io,
            soma.IO: self.Io,
            soma.V_DARK: self.Io / self.Igain_mem + np.log(self.Io / self.Igain_mem),
            soma.LOG_DARK: np.log(self.Io / self.Igain_mem),
            soma.ALPHA: self.kappa / (self.kappa + 1),
            soma.EXPONENTIAL: ~self.thresholded,
            soma.DC: np.where(self.dc, self.Idc, 0.0),
            soma.NMDA_BIAS: self.If_nmda,
            soma.V_THR: self.Ispkthr / self.Igain_mem + np.log(self.Ispkthr / self.Igain_mem),
            soma.I_THR: self.Ispkthr,
            soma.T_REF: self.Vth * self.C_ref / self.Iref,
            soma.PULL: pull,
            soma.T_PULSE: self.Vth * self.C_pulse / self.Ipulse,
            soma.T_AHP: np.where(on, ahp_pulse, 0.0),
            soma.AHP_TARGET: self.Io + np.where(on, ahp[1], 0.0),
            soma.LEAK_MIN: self.Itau_mem,
            soma.GATE_THR: self.Ispkthr / (self.Ispkthr + self.If_nmda),
            soma.TAU + 4: np.where(on, ahp[0], 1.0),
        }
        for column, values in columns.items():
            p[:, column] = values
        p[:, soma.TAU : soma.TAU + 4] = self.C_syn / (per_volt[:, None] * self.Itau_syn)
        p[:, soma.RATIO : soma.RATIO + 4] = self.Igain_syn / self.Itau_syn
        p[:, soma.IW : soma.IW + 4] = self.Iw
        self._barriers(p)
        return p

    def _barriers(self, p: NDArray[np.float64]) -> None:
        """Levels between the dark current and the threshold, and the drive below which none can be passed."""
        part = np.arange(1, soma.N_LEVELS + 1) / soma.N_LEVELS
        i = self.Io[:, None] * (self.Ispkthr / self.Io)[:, None] ** part
        feedback = (i / self.Io[:, None]) ** p[:, soma.ALPHA, None] * self.Io[:, None]
        feedback *= p[:, soma.EXPONENTIAL, None]
        falls = p[:, soma.LEAK_MIN, None] * (1 - self.Io[:, None] / i) - feedback
        gain = self.Igain_mem[:, None]
        # a thousandth less, for the error of integration
        p[:, soma.LEVEL : soma.LEVEL + soma.N_LEVELS] = i
        enough = np.where(falls > 0, 0.999 * falls * (i + gain) / gain, -np.inf)
        p[:, soma.ENOUGH : soma.ENOUGH + soma.N_LEVELS] = enough
        p[:, soma.RISE_THR] = self.Ispkthr * feedback[:, -1] - p[:, soma.LEAK_MIN] * (self.Ispkthr - self.Io)


@attrs.frozen(kw_only=True, eq=False)
class Routes:
    """Where events go: sources are the host's channels, then the neurons.

    The packets of source s are packet_ptr[s]:packet_ptr[s + 1], each to the tag bus of one core; packet k reaches the
    CAM entries synapse_ptr[k]:synapse_ptr[k + 1]. TypeError for what is not integer, ValueError with all that is wrong.
    """

    packet_ptr: NDArray[np.int64] = attrs.field(converter=_integers)
    """(sources + 1,)"""
    packet_core: NDArray[np.int64] = attrs.field(converter=_integers)
    synapse_ptr: NDArray[np.int64] = attrs.field(converter=_integers)
    """(packets + 1,)"""
    neuron: NDArray[np.int64] = attrs.field(converter=_integers)
    """Which neuron the CAM entry belongs to; it lies on the packet's core."""
    dendrite: NDArray[np.int64] = attrs.field(converter=_integers)
    """0..3, see DENDRITES."""
    mask: NDArray[np.int64] = attrs.field(converter=_integers)
    """1..15: bit b adds the core's base current Iw_b."""

    def __attrs_post_init__(self) -> None:
        problems = []
        for name, counted in (("packet_ptr", self.packet_core), ("synapse_ptr", self.neuron)):
            ends = getattr(self, name)
            if ends.size == 0 or ends[0] != 0 or ends[-1] != counted.size or bool((np.diff(ends) < 0).any()):
                problems.append(f"{name} must rise from 0 to {counted.size}")
        if self.synapse_ptr.size != self.packet_core.size + 1:
            problems.append(
                f"synapse_ptr is for {self.synapse_ptr.size - 1} packets, there are {self.packet_core.size}"
            )
        for name, low, high in (
            ("packet_core", 0, 2**31 - 1),
            ("neuron", 0, 2**31 - 1),
            ("dendrite", 0, 3),
            ("mask", 1, 15),
        ):
            values = getattr(self, name)
            if values.size and not low <= int(values.min()) <= int(values.max()) <= high:
                problems.append(f"{name} has {values.min()}..{values.max()}, must lie in {low}..{high}")
        for name in ("dendrite", "mask"):
            if getattr(self, name).size != self.neuron.size:
                problems.append(f"{name} has {getattr(self, name).size} entries, neuron {self.neuron.size}")
        if problems:
            raise ValueError("; ".join(problems))


def _not_negative(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if not value >= 0:
        raise ValueError(f"{field.name} is {value}, must not be negative")


@attrs.frozen(kw_only=True)
class Bus:
    """The tag bus of each core. None of these numbers is published: the defaults are assumptions."""

    event_ns: float = attrs.field(default=100.0, validator=_not_negative)
    """How long one event occupies the bus of a core."""
    latency_ns: float = attrs.field(default=0.0, validator=_not_negative)
    """From the bus to the pulse extender, the same for all."""
    capacity: float = attrs.field(default=float("inf"), validator=_not_negative)
    """Events that may wait for the bus of a core besides the one on it; what finds them all taken is lost."""


def _probability(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{field.name} is {value}, must lie in 0..1")


def _seed(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if not 0 <= value < 2**64:
        raise ValueError(f"{field.name} is {value}, must be 0..2**64 - 1")


@attrs.frozen(kw_only=True)
class Artefacts:
    """What real boards do besides; off by default. Rates are not published."""

    p_double: float = attrs.field(default=0.0, validator=_probability)
    """That a neuron's event is followed by a second one a microsecond later."""
    p_lost: float = attrs.field(default=0.0, validator=_probability)
    """That a packet does not arrive at the bus of its core."""
    seed: int = attrs.field(default=0, validator=_seed)
    """0..2**64 - 1."""
