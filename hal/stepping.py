"""A population's numbers per step, as its semantics say: decay factors, gains, thresholds, bounds.

    i' = current_decay i + current_gain x       with a synaptic current; x is the summed input
    v' = decay v + (1 - decay) leak + gain d    d is the current, or x where there is none

What else a rule says (order of jump and decay, reset, comparison) stays with the `Rule`.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal import nodes
from hal.semantics import Rule, Semantics

Float = NDArray[np.float64]


@attrs.frozen(kw_only=True, eq=False)
class PerStep:
    """Parameters of one population, (n,) float64 each.

    ratio, current_ratio: the step over the time constants, 0 where there is none. threshold: 1 for what never spikes.
    v_min: -inf without a bound.
    """

    rule: Rule
    decay: Float
    gain: Float
    leak: Float
    current_decay: Float
    current_gain: Float
    threshold: Float
    v_reset: Float
    v_min: Float
    v_start: Float
    ratio: Float
    current_ratio: Float
    has_current: bool


def step_in(unit: str, dt_ns: int) -> float:
    """The step in the unit of a file's time constants (`Semantics.tau_unit`)."""
    return {"s": dt_ns * 1e-9, "ms": dt_ns * 1e-6, "steps": 1.0, "s*dt": dt_ns * 1e-9}[unit]


def per_step(node: Any, semantics: Semantics, dt_ns: int) -> PerStep:
    """The numbers of a population node (I, LI, IF, LIF, CubaLI, CubaLIF or Threshold) with steps of `dt_ns`."""
    rule = semantics.rule(node)
    size = node.size

    def of(name: str, default: float = 0.0) -> Float:
        values = getattr(node, name, None)
        return np.full(size, default) if values is None else np.asarray(values, np.float64).ravel()

    has_current = isinstance(node, nodes.CubaLI | nodes.CubaLIF)
    leaky = has_current or isinstance(node, nodes.LI | nodes.LIF)
    ratio = _ratio(node.tau_mem if has_current else node.tau, rule.tau_unit, dt_ns) if leaky else np.zeros(size)
    decay = _decay(rule, ratio) if leaky else np.ones(size)
    current_ratio = _ratio(node.tau_syn, rule.tau_unit, dt_ns) if has_current else np.zeros(size)
    current_decay = _decay(rule, current_ratio) if has_current else np.ones(size)
    dt = step_in(rule.tau_unit, dt_ns)
    threshold = of("threshold" if isinstance(node, nodes.Threshold) else "v_threshold", np.inf)
    threshold = np.where(np.isinf(threshold), 1.0, threshold)
    v_start = {"v_reset": of("v_reset"), "v_leak": of("v_leak")}.get(
        str(rule.start_state), np.full(size, rule.start_state if isinstance(rule.start_state, int | float) else 0.0)
    )
    v_min = np.full(size, -np.inf)
    if rule.v_min == "-threshold":
        v_min = -threshold if node.spiking else v_min
    elif rule.v_min is not None:
        v_min = np.full(size, float(rule.v_min))
    return PerStep(
        rule=rule,
        decay=decay,
        gain=_gain(rule.gain, of("r", 1.0), dt, ratio, decay),
        leak=of("v_leak"),
        current_decay=current_decay,
        current_gain=_gain(rule.current_gain, of("w_in", 1.0), dt, current_ratio, current_decay),
        threshold=threshold,
        v_reset=of("v_reset"),
        v_min=v_min,
        v_start=v_start,
        ratio=ratio,
        current_ratio=current_ratio,
        has_current=has_current,
    )


def time_constant(rule: Rule, decay: Float, dt_ns: int) -> Float:
    """What tau a factor per step means, in the unit and by the formula of a rule: the inverse of `PerStep.decay`.

    Infinite for a factor of 1. Chips that hold other factors than were asked for realise another tau.
    """
    with np.errstate(divide="ignore"):
        # no minus: -log(1) would be a zero below zero, and its inverse minus infinity
        ratio = np.log(1.0 / decay) if rule.decay == "exp" else 1.0 - decay
        dt = step_in(rule.tau_unit, dt_ns)
        return np.asarray((dt * dt if rule.tau_unit == "s*dt" else dt) / ratio)


def _ratio(tau: Any, unit: str, dt_ns: int) -> Float:
    """The step over the time constant; infinite where that is 0."""
    tau = np.asarray(tau, np.float64).ravel()
    dt = step_in(unit, dt_ns)
    with np.errstate(divide="ignore"):
        return np.asarray(dt * dt / tau if unit == "s*dt" else dt / tau)


def _decay(rule: Rule, ratio: Float) -> Float:
    return np.asarray(np.exp(-ratio) if rule.decay == "exp" else 1.0 - ratio)


def _gain(word: str, factor: Float, dt: float, ratio: Float, decay: Float) -> Float:
    """The factor per step; for a neuron without leak, dt/tau reads as dt."""
    if word == "one":
        return np.ones_like(factor)
    if word == "r":
        return factor
    if word == "1-decay":
        return np.where(ratio > 0, 1.0 - decay, 1.0)
    return np.asarray(factor * (ratio if word == "r*dt/tau" and ratio.any() else dt), np.float64)
