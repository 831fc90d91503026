"""What a current-based analog network is made of: neurons and synapses; checked, as arrays."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import cuba_neuron as neuron

__all__ = ["Neurons", "Synapses"]

_TIGHT = 8 * np.finfo(np.float64).eps
"""Relative: so near to 1 or 2 a ratio of time constants is taken to be it, which changes nothing but rounding."""
_BRIEF = 1e-6
"""Share of the shorter time constant: a refractory time up to it does not bound the number of spikes in practice."""


def _numbers(values: Any) -> NDArray[np.float64]:
    """An array of numbers, at most one dimension; TypeError for anything else."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu" and array.size:
        raise TypeError(f"needs numbers, got {array.dtype}")
    if array.ndim > 1:
        raise TypeError(f"needs at most one dimension, got {array.shape}")
    return array.astype(np.float64)


def _integers(values: Any) -> NDArray[np.int64]:
    """An array of integers, one dimension; TypeError for anything else."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"needs integers, got {array.dtype}")
    if array.ndim != 1:
        raise TypeError(f"needs one dimension, got {array.shape}")
    return array.astype(np.int64)


_Rule = tuple[Callable[[NDArray[np.float64]], NDArray[np.bool_]], str]
_POSITIVE: _Rule = (lambda x: (x > 0) & np.isfinite(x), "must be finite and greater than 0")
_FINITE: _Rule = (np.isfinite, "must be finite")
_LEVEL: _Rule = (lambda x: np.isfinite(x) | (x == np.inf), "must be finite, or inf for a neuron that never spikes")
_SPAN: _Rule = (lambda x: x >= 0, "must be 0 or more; inf lets a neuron spike once")
_LOWEST: _Rule = (lambda x: x < np.inf, "must be finite, or -inf for no bound")
_HIGHEST: _Rule = (lambda x: x > -np.inf, "must be finite, or inf for no bound")
_LIMIT: _Rule = (lambda x: x > 0, "must be greater than 0; inf is no limit")
_DELAY: _Rule = (lambda x: (x >= 0) & np.isfinite(x), "must be finite and 0 or more")


def _parameter(default: Any, rule: _Rule) -> Any:
    return attrs.field(default=default, converter=_numbers, metadata={"rule": rule})


def _broken(name: str, values: NDArray[np.float64], rule: _Rule) -> list[str]:
    good, text = rule
    wrong = np.flatnonzero(~good(values))
    return [f"{name}[{wrong[0]}] is {values[wrong[0]]}, {text}"] if wrong.size else []


@attrs.frozen(kw_only=True, eq=False)
class Neurons:
    """N neurons: tau_mem dV/dt = (v_leak - V) + I, dI/dt = -I / tau_syn. Parameters: (N,), or one number for all.

    One time constant of the synapses for both signs: with two the potential may turn twice between events, and no
    ratio has a closed form; the vendor's event-based simulator has one, too (jaxsnn 0.3.0).
    TypeError for what is no number, ValueError with all that is wrong.
    """

    size: int
    tau_mem: NDArray[np.float64] = _parameter(12e-6, _POSITIVE)
    """s. The defaults of both time constants are those of the vendor's yin-yang example."""
    tau_syn: NDArray[np.float64] = _parameter(6e-6, _POSITIVE)
    """s."""
    v_leak: NDArray[np.float64] = _parameter(0.0, _FINITE)
    """Where V starts; at v_th or above, it has to fall below v_th before it can reach it."""
    v_th: NDArray[np.float64] = _parameter(1.0, _LEVEL)
    v_reset: NDArray[np.float64] = _parameter(0.0, _FINITE)
    """At v_th or above: one spike, and the next one after V has fallen below v_th."""
    t_ref: NDArray[np.float64] = _parameter(0.0, _SPAN)
    """s: so long after a spike there is no other."""
    t_holdoff: NDArray[np.float64] = _parameter(0.0, _DELAY)
    """s: so long before the end of t_ref the membrane is let go; what it crosses then does not count."""
    v_low: NDArray[np.float64] = _parameter(-np.inf, _LOWEST)
    """The membrane goes no lower: it stays there until the current lets it up again. With v_th there or below the
    neuron never spikes, since it is never below v_th."""
    v_high: NDArray[np.float64] = _parameter(np.inf, _HIGHEST)
    """And no higher. With v_th above it the neuron never spikes."""
    i_max: NDArray[np.float64] = _parameter(np.inf, _LIMIT)
    """After all that arrives at one time the current is cut off at +-i_max. An assumption: that the summed current
    saturates is known of the chip, the curve is not."""

    def __attrs_post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size is {self.size}, must be 1 or more")
        problems = []
        for field in attrs.fields(Neurons)[1:]:
            values = getattr(self, field.name)
            if values.size not in (1, self.size) or (values.ndim and values.size != self.size):
                problems.append(f"{field.name} has {values.size} values, must be {self.size} or one number")
                continue
            object.__setattr__(self, field.name, np.broadcast_to(values, self.size).copy())
            problems += _broken(field.name, getattr(self, field.name), field.metadata["rule"])
        if not problems:
            problems = self._at_odds()
        if problems:
            raise ValueError("; ".join(problems))

    def _at_odds(self) -> list[str]:
        """What is wrong of parameters together."""
        problems = []
        wrong = np.flatnonzero(self.t_holdoff > self.t_ref)
        if wrong.size:
            n = wrong[0]
            problems.append(f"t_holdoff[{n}] is {self.t_holdoff[n]} s, longer than t_ref, {self.t_ref[n]} s")
        for name in ("v_leak", "v_reset"):
            values = getattr(self, name)
            wrong = np.flatnonzero(~((self.v_low <= values) & (values <= self.v_high)))
            if wrong.size:
                n = wrong[0]
                bounds = f"v_low..v_high, {self.v_low[n]}..{self.v_high[n]}"
                problems.append(f"{name}[{n}] is {values[n]}, must lie in {bounds}")
        return problems

    def parameters(self) -> NDArray[np.float64]:
        """(N, N_PARAMETERS), columns as in `cuba_neuron`."""
        p = np.empty((self.size, neuron.N_PARAMETERS))
        ratio = self.tau_mem / self.tau_syn
        shorter = np.minimum(self.tau_mem, self.tau_syn)
        reachable = (self.v_low < self.v_th) & (self.v_th <= self.v_high)
        kind = np.full(self.size, neuron.ANY_RATIO)
        for special in (neuron.EQUAL, neuron.DOUBLE):
            kind[np.abs(ratio - special) <= _TIGHT] = special
        unequal = np.where(kind == neuron.EQUAL, 2.0, ratio)
        columns = {
            neuron.TAU: self.tau_mem,
            neuron.RATE: 1.0 / self.tau_mem,
            neuron.RATIO: np.where(kind == neuron.ANY_RATIO, ratio, kind),
            neuron.KIND: kind,
            neuron.TH: np.where(reachable, self.v_th - self.v_leak, np.inf),
            neuron.RESET: self.v_reset - self.v_leak,
            neuron.HOLD: self.t_ref - self.t_holdoff,
            neuron.REF: self.t_ref,
            neuron.LOW: self.v_low - self.v_leak,
            neuron.HIGH: self.v_high - self.v_leak,
            neuron.MOST_I: self.i_max,
            neuron.PEAK: np.where(kind == neuron.EQUAL, np.exp(-1.0), unequal ** (-unequal / (unequal - 1.0))),
            neuron.WINDOW: np.where(self.t_ref > _BRIEF * shorter, 0.0, shorter),
        }
        for column, values in columns.items():
            p[:, column] = values
        return p


@attrs.frozen(kw_only=True, eq=False)
class Synapses:
    """Who hears whom: sources are the input channels, then the neurons. Those of source s are ptr[s]:ptr[s + 1].

    TypeError for what is no number or integer, ValueError with all that is wrong.
    """

    ptr: NDArray[np.int64] = attrs.field(converter=_integers)
    """(sources + 1,)"""
    target: NDArray[np.int64] = attrs.field(converter=_integers)
    """Neurons, 0 or more."""
    weight: NDArray[np.float64] = attrs.field(converter=_numbers)
    """By so much, of either sign, the target's current jumps."""
    delay: NDArray[np.float64] = attrs.field(default=0.0, converter=_numbers)
    """s, for every synapse, or one number for all."""

    def __attrs_post_init__(self) -> None:
        problems, n = [], self.target.size
        ptr = self.ptr
        if ptr.size == 0 or ptr[0] != 0 or ptr[-1] != n or bool((np.diff(ptr) < 0).any()):
            problems.append(f"ptr must rise from 0 to {n}, the number of targets")
        if n and int(self.target.min()) < 0:
            problems.append(f"target has {self.target.min()}, must be 0 or more")
        if self.weight.shape != (n,):
            problems.append(f"weight has {self.weight.size} entries, target {n}")
        if self.delay.ndim == 0:
            object.__setattr__(self, "delay", np.full(n, self.delay))
        if self.delay.size != n:
            problems.append(f"delay has {self.delay.size} entries, target {n}")
        problems += _broken("weight", np.atleast_1d(self.weight), _FINITE)
        problems += _broken("delay", self.delay, _DELAY)
        if problems:
            raise ValueError("; ".join(problems))

    @classmethod
    def of(
        cls, n_sources: int, source: ArrayLike, target: ArrayLike, weight: ArrayLike, delay: ArrayLike = 0.0
    ) -> Synapses:
        """From lists in any order, (k,) each; delay may be one number."""
        start, end = _integers(source), _integers(target)
        w, late = _numbers(weight), _numbers(delay)
        sizes = {"target": end.size, "weight": w.size, "delay": start.size if late.ndim == 0 else late.size}
        wrong = [
            f"{name} has {size} entries, source {start.size}" for name, size in sizes.items() if size != start.size
        ]
        if start.size and not 0 <= int(start.min()) <= int(start.max()) < n_sources:
            wrong.append(f"source has {start.min()}..{start.max()}, must lie in 0..{n_sources - 1}")
        if wrong:
            raise ValueError("; ".join(wrong))
        order = np.argsort(start, kind="stable")
        ptr = np.concatenate([[0], np.cumsum(np.bincount(start, minlength=n_sources))])
        return cls(ptr=ptr, target=end[order], weight=w[order], delay=late if late.ndim == 0 else late[order])

    @classmethod
    def chain(cls, *weights: ArrayLike, delay: float = 0.0) -> Synapses:
        """Layers one after the other, all to all: weights (channels, n0), (n0, n1) and so on; zeros are no synapses."""
        matrices = [np.asarray(each, np.float64) for each in weights]
        wrong = [f"weights {k} are {w.shape}, must be a matrix" for k, w in enumerate(matrices) if w.ndim != 2]
        if not wrong:
            for k, (before, w) in enumerate(pairwise(matrices), 1):
                if len(w) != before.shape[1]:
                    rows = f"{before.shape[1]} rows, one for every column before"
                    wrong.append(f"weights {k} are {w.shape}, must have {rows}")
        if wrong or not matrices:
            raise ValueError("; ".join(wrong) or "needs weights")
        source, target, value, first = [], [], [], 0
        n_inputs = len(matrices[0])
        for w in matrices:
            pre, post = np.nonzero(w)
            source.append(pre + first)
            first += len(w)
            target.append(post + first - n_inputs)
            value.append(w[pre, post])
        n_sources = first + matrices[-1].shape[1]
        return cls.of(n_sources, np.concatenate(source), np.concatenate(target), np.concatenate(value), delay)
