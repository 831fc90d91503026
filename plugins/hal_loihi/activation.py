"""Rates of the chip's neurons under constant drive: as training packages model them, and as the integers give them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal.errors import ConfigError, Problem

__all__ = ["bias_period", "bias_rate", "bias_spikes", "lif_rate", "rectified_linear_rate"]

_DECAY_MAX: Final = 4095

Float = NDArray[np.float64]


def _positive(**numbers: float) -> None:
    """ConfigError naming every number that is not positive and finite."""
    problems = [
        Problem("not usable", name, value=value, limit="a finite number > 0")
        for name, value in numbers.items()
        if not (np.isfinite(value) and value > 0)
    ]
    if problems:
        raise ConfigError("the neuron has no rate", problems=problems)


def rectified_linear_rate(drive: ArrayLike, *, amplitude: float = 1.0, dt: float = 1e-3) -> Float:
    """Rate in Hz of the integrate-and-fire neuron for `drive` (gain * x + bias, in threshold per second; any shape).

    amplitude / dt / ceil(1 / (drive * dt)), 0 for a drive that is not positive: 1000/k Hz at dt = 1 ms, so 1000, 500,
    333.3 ... (LoihiSpikingRectifiedLinear of nengo-loihi 1.1.0). At an exact boundary the chip is one step slower, as
    its threshold is strict; see `bias_rate`. ConfigError for a dt or an amplitude that is not positive.
    """
    _positive(amplitude=amplitude, dt=dt)
    j = np.asarray(drive, np.float64)
    with np.errstate(divide="ignore"):
        steps = np.ceil((1.0 / np.where(j > 0, j, 0.0)) / dt)
    # more than one spike per step does not exist; the largest drives give a period that rounds to no step
    return np.where(j > 0, amplitude / dt / np.maximum(steps, 1.0), 0.0)


def lif_rate(
    drive: ArrayLike, *, tau_rc: float = 0.02, tau_ref: float = 0.002, amplitude: float = 1.0, dt: float = 1e-3
) -> Float:
    """Rate in Hz of the leaky neuron for `drive` (input that settles at `drive` thresholds; any shape), times in s.

    The refractory time is rounded to steps, and the membrane's time constant is that of its 12-bit register:
    d = round(4095 (1 - exp(-dt/tau_rc))) / 4095, tau' = -dt / ln(1 - d); then amplitude / dt /
    ceil((tau_ref' + tau' ln(1 + 1 / (drive - 1))) / dt), and 0 for a drive of at most 1 (LoihiLIF of nengo-loihi
    1.1.0). With the defaults it ends at 333.3 Hz.

    ConfigError for a dt, tau_rc or amplitude that is not positive, a tau_ref that is negative, and a tau_rc so far from
    dt that its register is 0 (no leak) or 4095 (no memory).
    """
    _positive(amplitude=amplitude, dt=dt, tau_rc=tau_rc)
    if not (np.isfinite(tau_ref) and tau_ref >= 0):
        problem = Problem("not usable", "tau_ref", value=tau_ref, limit="a finite number >= 0")
        raise ConfigError("the neuron has no rate", problems=[problem])
    decay = np.round(_DECAY_MAX * -np.expm1(-dt / tau_rc)) / _DECAY_MAX
    if not 0 < decay < 1:
        limit = f"about {dt / 8.6:.3g} to {dt * 8190:.3g} s at this dt"
        problem = Problem("its decay register holds no leak, or no memory", "tau_rc", value=tau_rc, limit=limit)
        raise ConfigError("the neuron has no rate", problems=[problem])
    tau = -dt / np.log1p(-decay)
    rest = dt * np.round(tau_ref / dt)
    over = np.asarray(drive, np.float64) - 1
    with np.errstate(divide="ignore"):
        steps = np.ceil((rest + tau * np.log1p(1.0 / np.where(over > 0, over, 0.0))) / dt)
    return np.where(over > 0, amplitude / dt / np.maximum(steps, 1.0), 0.0)


def bias_period(
    threshold: ArrayLike, bias: ArrayLike, refract_delay: ArrayLike = 1, *, v_max: int = 2**23 - 1
) -> NDArray[np.int64]:
    """Steps between spikes of a perfect integrator (decay_v = 0) driven by its bias alone; 0 where it never spikes.

    floor(threshold / bias) + refract_delay, all integers of the chip (threshold with its factor 64, bias with its
    exponent) that broadcast together. It never spikes with a bias of at most 0, or a threshold of at least `v_max`,
    where the membrane ends.

    ConfigError for a threshold below 1 or a refractory delay below 1, and for arrays that are not integers.
    """
    vth, b, rest = _integers(threshold=threshold, bias=bias, refract_delay=refract_delay)
    fires = (b > 0) & (vth < v_max)
    return np.where(fires, vth // np.where(b > 0, b, 1) + rest, 0)


def bias_spikes(
    threshold: ArrayLike, bias: ArrayLike, refract_delay: ArrayLike = 1, *, steps: int, v_max: int = 2**23 - 1
) -> NDArray[np.int64]:
    """Spikes of such a neuron within the first `steps` steps from rest: the first in step floor(threshold / bias) + 1.

    Arguments and errors as in `bias_period`; ConfigError for negative steps.
    """
    if steps < 0:
        problem = Problem("not usable", "steps", value=steps, limit="an integer >= 0")
        raise ConfigError("the neuron cannot be counted", problems=[problem])
    period = bias_period(threshold, bias, refract_delay, v_max=v_max)
    first = period - np.asarray(refract_delay, np.int64) + 1
    return np.where((period > 0) & (first <= steps), 1 + (steps - first) // np.maximum(period, 1), 0)


def bias_rate(
    threshold: ArrayLike,
    bias: ArrayLike,
    refract_delay: ArrayLike = 1,
    *,
    dt: float = 1e-3,
    v_max: int = 2**23 - 1,
) -> Float:
    """Rate in Hz of such a neuron: 1 / (period * dt), 0 where it never spikes. Errors: `bias_period`, and for dt."""
    _positive(dt=dt)
    period = bias_period(threshold, bias, refract_delay, v_max=v_max)
    return np.where(period > 0, 1.0 / (np.maximum(period, 1) * dt), 0.0)


def _integers(**numbers: ArrayLike) -> list[NDArray[np.int64]]:
    arrays: dict[str, NDArray[Any]] = {name: np.asarray(value) for name, value in numbers.items()}
    problems = []
    for name, array in arrays.items():
        if array.dtype.kind not in "iu":
            problems.append(Problem("not integers", name, value=str(array.dtype), limit="integers of the chip"))
        elif name != "bias" and array.size and array.min() < 1:
            problems.append(Problem("out of range", name, value=int(array.min()), limit=">= 1"))
    if problems:
        raise ConfigError("the neuron's integers are not usable", problems=problems)
    return [array.astype(np.int64) for array in arrays.values()]
