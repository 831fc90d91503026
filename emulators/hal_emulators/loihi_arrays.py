"""What a Loihi board is made of: compartments and synapses by source, checked, and as the memory of the kernel.

Limits: nengo-loihi 1.1.0 and brian2-loihi 0.5.2, the stricter where they differ.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import loihi_kernel as kernel

__all__ = ["MAX_DELAY", "MAX_WEIGHT", "Compartments", "Synapses"]

MAX_DELAY = 62
MAX_WEIGHT = 2**21
_V_MAX = 2**23 - 1
_NOISE_MAX = 2**30
"""Largest noise that can be added in 32 bits; far above the 24 bits of any register."""
_RANGES = {
    "decay_u": (0, 4095),
    "decay_v": (0, 4095),
    "vth": (0, 131071 * 64),
    "bias": (-4096 * 128, 4095 * 128),
    "refract": (1, 63),
    "vmin": (-_V_MAX, 0),
    "vmax": (0, _V_MAX),
    "noise_exp": (1, 23),
    "noise_offset": (-_NOISE_MAX, _NOISE_MAX),
}


def _integers(values: Any) -> NDArray[Any]:
    """An array of integers; TypeError for anything that is not."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"needs integers, got {array.dtype}")
    return array if array.size else array.astype(np.int64)


def _flags(values: Any) -> NDArray[Any]:
    """An array of yes and no; TypeError for anything else."""
    array = np.asarray(values)
    if array.dtype.kind not in "biu":
        raise TypeError(f"needs booleans, got {array.dtype}")
    return array.astype(np.bool_)


@attrs.frozen(kw_only=True, eq=False)
class Compartments:
    """Parameters of N compartments: arrays (N,), or one number for all; arrays once made.

    vth and bias are whole integers (mantissa times power of two). TypeError for what is not integer; ValueError with
    all that is out of range: decays 0..4095, vth 0..8388544, bias -524288..524160, refract 1..63, vmin -8388607..0,
    vmax 0..8388607, noise_exp 1..23 and the noise below 2**30 where it is enabled.
    """

    decay_u: NDArray[np.int32] = attrs.field(converter=_integers)
    decay_v: NDArray[np.int32] = attrs.field(converter=_integers)
    vth: NDArray[np.int32] = attrs.field(converter=_integers)
    bias: NDArray[np.int32] = attrs.field(converter=_integers)
    refract: NDArray[np.int32] = attrs.field(converter=_integers)
    """v is held at 0 for refract - 1 steps after a spike; 1 is no dead time."""
    vmin: NDArray[np.int32] = attrs.field(converter=_integers)
    vmax: NDArray[np.int32] = attrs.field(converter=_integers)
    noise_exp: NDArray[np.int32] = attrs.field(default=7, converter=_integers)
    noise_offset: NDArray[np.int32] = attrs.field(default=0, converter=_integers)
    noise_at_membrane: NDArray[np.bool_] = attrs.field(default=False, converter=_flags)
    """Add it to u + bias, not to what arrives."""
    enable_noise: NDArray[np.bool_] = attrs.field(default=False, converter=_flags)

    def __attrs_post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in attrs.fields(Compartments)}
        n = next((values.size for values in given.values() if values.ndim), 1)
        problems = [] if n else ["there must be a compartment"]
        for name, values in given.items():
            if values.ndim and values.shape != (n,):
                problems.append(f"{name} has shape {values.shape}, must be ({n},) as the others")
                continue
            full = np.broadcast_to(values, n)
            if name in _RANGES:
                problems += self._outside(name, full)
            object.__setattr__(self, name, full.astype(np.int32 if name in _RANGES else np.bool_))
        if not problems:
            problems += self._loud()
        if problems:
            raise ValueError("; ".join(problems))

    @staticmethod
    def _outside(name: str, values: NDArray[Any]) -> list[str]:
        low, high = _RANGES[name]
        bad = np.flatnonzero((values < low) | (values > high))
        if not bad.size:
            return []
        more = f" and {bad.size - 1} more" if bad.size > 1 else ""
        return [f"{name} of compartment {bad[0]} is {values[bad[0]]}{more}, must be {low}..{high}"]

    def _loud(self) -> list[str]:
        largest = (127 + 64 * np.abs(self.noise_offset.astype(np.float64))) * 2.0 ** (self.noise_exp - 7)
        bad = np.flatnonzero(self.enable_noise & (largest >= _NOISE_MAX))
        if not bad.size:
            return []
        more = f" and of {bad.size - 1} more" if bad.size > 1 else ""
        return [f"noise of compartment {bad[0]}{more} reaches {largest[bad[0]]:.0f}, must stay below {_NOISE_MAX}"]

    def noise(self, seed: int) -> kernel.Noise:
        """The compartments with noise, for the kernel."""
        at = np.flatnonzero(self.enable_noise)
        exponent, offset, bias = (
            values[at].astype(np.int64) for values in (self.noise_exp, self.noise_offset, self.bias)
        )
        return kernel.Noise(at, exponent, offset, self.noise_at_membrane[at], bias, np.uint64(seed))

    def memory(self, max_delay: int, core: NDArray[np.int64]) -> kernel.Memory:
        """Fresh memory for the kernel: zero state, nothing under way. Lanes past the last compartment stay silent."""
        n = self.decay_u.size
        blocks = -(-n // kernel.LANES)
        width = blocks * kernel.LANES
        rows = 1 << max_delay.bit_length()
        silent = (0, 0, _V_MAX, 0, 1, 0, 0)
        fields = (4095 - self.decay_u, 4096 - self.decay_v, self.vth, self.bias, self.refract, self.vmin, self.vmax)
        parameters = np.empty((blocks, kernel.N_PARAMETERS, kernel.LANES), np.int32)
        for number, (values, rest) in enumerate(zip(fields, silent, strict=True)):
            filled = np.full(width, rest, np.int32)
            filled[:n] = values
            parameters[:, number] = filled.reshape(blocks, kernel.LANES)
        cores = np.full(width, core[-1])
        cores[:n] = core
        by_block = cores.reshape(blocks, kernel.LANES)
        alone = (by_block == by_block[:, :1]).all(axis=1)
        return kernel.Memory(
            parameters=parameters.ravel(),
            state=np.zeros(blocks * kernel.N_STATES * kernel.LANES, np.int32),
            ring=np.zeros(rows * width, np.int64),
            mask=rows - 1,
            core=cores,
            block_core=np.where(alone, by_block[:, 0], -1),
            drive=np.zeros(kernel.LANES, np.int32),
            outcome=np.zeros(kernel.LANES, np.uint8),
        )


def _sort(order: NDArray[np.int64], keys: NDArray[Any]) -> NDArray[np.int64]:
    """`order` by keys[order], stable; in linear time where the keys are about as many as their values."""
    n_keys = int(keys.max(initial=-1)) + 1
    if n_keys <= 4 * keys.size + 1024:
        return kernel.counting_order(keys.astype(np.int64), n_keys, order)
    return order[np.argsort(keys[order], kind="stable")]


def _delays(values: Any) -> int | NDArray[Any]:
    """One number where all are equal: a board then needs no ring of delays."""
    array = _integers(values)
    if array.ndim == 0:
        return int(array)
    return int(array[0]) if array.ndim == 1 and array.size and bool((array == array[0]).all()) else array


@attrs.frozen(kw_only=True, eq=False)
class Synapses:
    """Synapses by source: those of source s are indptr[s]:indptr[s + 1].

    Arrays that have the right type already are taken, not copied: do not change them while a board uses them.
    TypeError for what is not integer; ValueError with all that is wrong: indptr must begin at 0, end at the number of
    synapses and not decrease; weights -2097152..2097151, delays 0..62, targets not negative.
    """

    indptr: NDArray[np.int64] = attrs.field(converter=_integers)
    """(sources + 1,)"""
    target: NDArray[np.int32] = attrs.field(converter=_integers)
    """Compartments, (n,)."""
    weight: NDArray[np.int32] = attrs.field(converter=_integers)
    """What one spike adds to the accumulator, (n,)."""
    delay: int | NDArray[np.uint8] = attrs.field(default=0, converter=_delays)
    """Steps beyond the one every spike needs: (n,), or one number for all."""

    def __attrs_post_init__(self) -> None:
        problems = []
        n = self.target.size
        for name in ("indptr", "target", "weight"):
            if getattr(self, name).ndim != 1:
                problems.append(f"{name} has shape {getattr(self, name).shape}, must have one dimension")
        ends = self.indptr
        if not problems and (ends.size == 0 or ends[0] != 0 or ends[-1] != n or bool((np.diff(ends) < 0).any())):
            problems.append(f"indptr must rise from 0 to {n}, the number of synapses")
        if self.weight.shape != self.target.shape:
            problems.append(f"weight has shape {self.weight.shape}, target {self.target.shape}")
        delays = np.asarray(self.delay)
        if delays.ndim and delays.shape != self.target.shape:
            problems.append(f"delay has shape {delays.shape}, target {self.target.shape}")
        ranges = (
            ("target", self.target, 0, 2**31 - 1),
            ("weight", self.weight, -MAX_WEIGHT, MAX_WEIGHT - 1),
            ("delay", delays, 0, MAX_DELAY),
        )
        for name, values, low, high in ranges:
            if values.size and not low <= int(values.min()) <= int(values.max()) <= high:
                problems.append(f"{name} has {values.min()}..{values.max()}, must lie in {low}..{high}")
        if problems:
            raise ValueError("; ".join(problems))
        for name, kind in (("indptr", np.int64), ("target", np.int32), ("weight", np.int32)):
            object.__setattr__(self, name, np.require(getattr(self, name), kind, ["C", "A", "W"]))
        if delays.ndim:
            object.__setattr__(self, "delay", np.require(delays, np.uint8, ["C", "A", "W"]))

    @property
    def max_delay(self) -> int:
        """Longest delay, steps."""
        return int(np.max(self.delay, initial=0))

    @classmethod
    def from_lists(
        cls, n_sources: int, pre: ArrayLike, post: ArrayLike, weight: ArrayLike, delay: ArrayLike = 0
    ) -> Synapses:
        """Synapses from lists (n,) in any order; `weight` and `delay` may be one number.

        Sorted by source, delay and target; two synapses between the same pair stay two. TypeError and ValueError as
        for the class, and for sources outside 0..n_sources - 1 and lists of unequal length.
        """
        sources, targets, weights, delays = (_integers(each) for each in (pre, post, weight, delay))
        shapes = {"pre": sources.shape, "post": targets.shape, "weight": weights.shape, "delay": delays.shape}
        single = {"weight", "delay"}
        if sources.ndim != 1 or any(s != sources.shape and (s or n not in single) for n, s in shapes.items()):
            raise ValueError(f"lists of unequal length: {', '.join(f'{n} {s}' for n, s in shapes.items())}")
        weights = np.broadcast_to(weights, sources.shape)
        for name, values, limit in (("pre", sources, n_sources - 1), ("post", targets, 2**31 - 1)):
            if values.size and not 0 <= int(values.min()) <= int(values.max()) <= limit:
                raise ValueError(f"{name} has {values.min()}..{values.max()}, must lie in 0..{limit}")
        if delays.size and not 0 <= int(delays.min()) <= int(delays.max()) <= MAX_DELAY:
            raise ValueError(f"delay has {delays.min()}..{delays.max()}, must lie in 0..{MAX_DELAY}")
        order = _sort(np.arange(sources.size), targets)
        several = bool(delays.ndim and delays.size and (delays != delays[0]).any())
        if several:
            order = _sort(order, delays)
        order = _sort(order, sources)
        indptr = np.zeros(n_sources + 1, np.int64)
        np.cumsum(np.bincount(sources, minlength=n_sources), out=indptr[1:])
        kept = delays[order] if several else delays
        return cls(indptr=indptr, target=targets[order], weight=weights[order], delay=kept)

    def wiring(self, n_inputs: int) -> kernel.Wiring:
        """The arrays, for the kernel."""
        if isinstance(self.delay, np.ndarray):
            delay, common = self.delay, 0
        else:
            delay, common = np.empty(0, np.uint8), self.delay
        return kernel.Wiring(self.indptr, self.target.view(np.uint32), self.weight, delay, common, n_inputs)
