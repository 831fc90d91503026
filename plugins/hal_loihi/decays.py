"""From time constants to retention factors, and from those to the decay and refractory registers of a compartment.

A retention factor is what is left of a state after one step. The chip keeps u * (4095 - decay_u) / 4096 of the current,
one part less than the register says, and v * (4096 - decay_v) / 4096 of the membrane, both truncated toward zero.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal.errors import ConfigError, Problem

__all__ = ["DECAY_MAX", "REFRACT_MAX", "Registers", "current_decay", "membrane_decay", "refractory_steps", "retention"]

DECAY_MAX: Final = 4095
"""12 bits (nengo-loihi 1.1.0; lava-nc 0.10.0)."""
REFRACT_MAX: Final = 63
"""Largest refractory delay of nengo-loihi 1.1.0; brian2-loihi 0.5.2 takes 64, and the stricter holds."""
_ONE: Final = 4096

Float = NDArray[np.float64]


@attrs.frozen(kw_only=True, eq=False)
class Registers:
    """Decay registers and what they do. All arrays have the shape of the factors given."""

    register: NDArray[np.int32]
    """0..4095."""
    wanted: Float
    """Retention factor asked for."""
    realised: Float
    """Retention factor of the register, without the truncation."""

    @property
    def error(self) -> Float:
        """Realised minus wanted factor: at most 1/8192 in size, 1/4096 where the register cannot reach the factor."""
        return self.realised - self.wanted

    @property
    def out_of_reach(self) -> NDArray[np.bool_]:
        """Where the wanted factor is one no register has: a current that never decays, a membrane that forgets all."""
        return np.abs(self.error) * _ONE > 0.5 + 1e-9


def retention(tau: ArrayLike, dt: float, rule: Literal["exp", "euler", "1-dt/tau"]) -> Float:
    """Factor that a state with time constant `tau` keeps over a step of `dt` (same unit); any shape.

    The rules are those of `hal.Semantics.decay`: exp is exp(-dt/tau), the others are 1 - dt/tau. A tau of 0 keeps
    nothing, an infinite one everything. ConfigError for another rule, a dt that is not positive and finite, a tau that
    is negative or NaN, and a step longer than tau where the rule is linear: the state would change sign.
    """
    values = np.asarray(tau, np.float64)
    problems = []
    if rule not in ("exp", "euler", "1-dt/tau"):
        problems.append(Problem("no such decay rule", "rule", value=rule, limit="exp, euler or 1-dt/tau"))
    if not (np.isfinite(dt) and dt > 0):
        problems.append(Problem("a step has a length", "dt", value=dt, limit="a finite number > 0"))
    problems += _bad_values(values, "tau", ~(values >= 0), "numbers >= 0")
    if not problems and rule != "exp":
        hint = "use a smaller dt, or decay='exp'"
        problems += _bad_values(values, "tau", (values > 0) & (values < dt), f">= dt ({dt:g}) with rule {rule}", hint)
    if problems:
        raise ConfigError("the time constants give no retention factor", problems=problems)
    with np.errstate(divide="ignore"):
        ratio = np.where(values > 0, dt / values, np.inf)
    return np.exp(-ratio) if rule == "exp" else np.where(values > 0, 1.0 - ratio, 0.0)


def _bad_values(values: NDArray[Any], where: str, bad: NDArray[np.bool_], limit: str, hint: str = "") -> list[Problem]:
    if not bad.any():
        return []
    what = f"{np.count_nonzero(bad)} of {values.size} values are not usable"
    return [Problem(what, where, value=float(values[bad].ravel()[0]), limit=limit, hint=hint)]


def _fit(factor: ArrayLike, where: str, offset: int) -> Registers:
    wanted = np.asarray(factor, np.float64)
    problems = _bad_values(wanted, where, ~((wanted >= 0) & (wanted <= 1)), "0..1")
    if problems:
        raise ConfigError("a retention factor is the share of a state that is left after a step", problems=problems)
    register = np.clip(np.round(_ONE * (1.0 - wanted)) - offset, 0, DECAY_MAX).astype(np.int32)
    return Registers(register=register, wanted=wanted, realised=(_ONE - offset - register) / _ONE)


def current_decay(alpha: ArrayLike) -> Registers:
    """decay_u for retention factors of the current (any shape): round(4096 (1 - alpha)) - 1, so the nearest.

    alpha = 0 (no synaptic filter) gives 4095 exactly, alpha = 1 at best 0, which still leaks 1/4096; tau = 5 ms at
    dt = 1 ms with rule exp gives 741. ConfigError for factors outside 0..1 or NaN.
    """
    return _fit(alpha, "alpha", 1)


def membrane_decay(beta: ArrayLike) -> Registers:
    """decay_v for retention factors of the membrane (any shape): round(4096 (1 - beta)), so the nearest.

    beta = 1 (a perfect integrator) gives 0 exactly, beta = 0 at best 4095, which keeps 1/4096; tau = 20 ms at dt = 1 ms
    with rule exp gives 200. ConfigError for factors outside 0..1 or NaN.
    """
    return _fit(beta, "beta", 0)


def refractory_steps(tau_ref: ArrayLike, dt: float) -> NDArray[np.int64]:
    """Whole steps without a membrane after a spike: round(tau_ref / dt), half to even (nengo-loihi 1.1.0).

    ConfigError for a dt that is not positive and finite, and for times that are negative or not finite.
    """
    values = np.asarray(tau_ref, np.float64)
    problems = _bad_values(values, "tau_ref", ~(np.isfinite(values) & (values >= 0)), "finite numbers >= 0")
    if not (np.isfinite(dt) and dt > 0):
        problems.append(Problem("a step has a length", "dt", value=dt, limit="a finite number > 0"))
    if problems:
        raise ConfigError("the refractory times cannot be counted in steps", problems=problems)
    steps: NDArray[np.int64] = np.round(values / dt).astype(np.int64)
    return steps
