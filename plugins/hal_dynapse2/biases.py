"""The bias generator: from a wanted current to (coarse, fine), and what the chip then really has.

A current is table[type][coarse][fine] * scale of the parameter; the type, N or P, is the last letter of its name. The
tables do not rise steadily (fine 32, 64, ... 224 give less than the value before), so every entry is looked at. Tables
and scales: rockpool 3.1.0's look-up module, which credits the vendor's hardware documentation (`tables.md`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Final

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal.errors import ConfigError, Problem
from hal_dynapse2.circuit import KAPPA_N, KAPPA_P, UT, VTH
from hal_dynapse2.parameters import PARAMETERS

__all__ = [
    "COARSE", "FINE", "Nearest", "Note", "Span", "Verdict", "actual", "currents", "nearest", "nearest_of",
    "pulse_current", "pulse_width", "span", "time_constant", "time_current",
]  # fmt: skip

Float = NDArray[np.float64]
Int = NDArray[np.int64]

COARSE: Final = 6
FINE: Final = 256


class Verdict(StrEnum):
    """What became of a wanted current."""

    KEPT = "kept"
    """Within the range: rounded to the nearest entry."""
    SATURATED = "saturated"
    """Above the largest current, which is set instead."""
    BELOW = "below the least"
    """Below the least current, which is set instead."""
    ZERO = "cannot be zero"
    """0 A was wanted; the least current is set instead."""


@attrs.frozen(kw_only=True)
class Span:
    """The currents of a parameter, A."""

    least: float
    largest: float


@attrs.frozen(kw_only=True)
class Note:
    """A wanted current outside the range. `index` is its place in the array that was wanted."""

    parameter: str
    index: tuple[int, ...]
    verdict: Verdict
    wanted: float
    actual: float
    limit: float

    def __str__(self) -> str:
        """One line."""
        return f"{self.parameter}: {self.verdict} (wanted {self.wanted:g} A, set {self.actual:g} A)"


@attrs.frozen(kw_only=True, eq=False)
class Nearest:
    """Entries nearest to `wanted`; all arrays have its shape."""

    parameter: str
    wanted: Float
    coarse: Int
    fine: Int
    actual: Float
    notes: tuple[Note, ...]
    """One for each element whose verdict is not "kept"."""


def currents(parameter: str) -> Float:
    """(6, 256) A: what each (coarse, fine) gives. ConfigError for a name without a known scale."""
    _known([parameter])
    return _entries(parameter)[0]


def span(parameter: str) -> Span:
    """Least and largest current. ConfigError for a name without a known scale."""
    given = currents(parameter)
    return Span(least=float(given.min()), largest=float(given.max()))


def nearest(parameter: str, wanted: ArrayLike) -> Nearest:
    """The entry nearest to each wanted current (any shape, A); of two as near, the first by coarse, then by fine.

    ConfigError, with every problem, for an unknown name, and for currents that are negative or not finite.
    """
    return nearest_of({parameter: wanted})[parameter]


def nearest_of(wanted: Mapping[str, ArrayLike]) -> dict[str, Nearest]:
    """`nearest` of several parameters at once; the problems of all of them are in one ConfigError."""
    _known(wanted)
    arrays = {name: np.asarray(values, np.float64) for name, values in wanted.items()}
    problems = []
    for name, values in arrays.items():
        finite = np.isfinite(values)
        for words, wrong in (("not finite", ~finite), ("negative", finite & (values < 0))):
            if wrong.any():
                what = f"{np.count_nonzero(wrong)} of {values.size} wanted currents are {words}"
                where = tuple(int(i) for i in np.argwhere(wrong)[0])
                problems.append(Problem(what, name, f"{values[where]:g} A at {where}", f"{span(name).largest:.3g} A"))
    if problems:
        raise ConfigError("currents that no bias can have", problems=problems, hint="currents are 0 A or more")
    return {name: _nearest(name, values) for name, values in arrays.items()}


def _nearest(parameter: str, wanted: Float) -> Nearest:
    table, rising, place = _entries(parameter)
    inside = np.clip(wanted, rising[0], rising[-1])
    above = np.clip(np.searchsorted(rising, inside), 1, rising.size - 1)
    over, under = rising[above] - inside, inside - rising[above - 1]
    first = place[above] < place[above - 1]
    chosen = place[np.where((over < under) | ((over == under) & first), above, above - 1)]
    coarse, fine = np.divmod(chosen, FINE)
    made = table[coarse, fine]
    return Nearest(
        parameter=parameter, wanted=wanted, coarse=coarse, fine=fine, actual=made, notes=_notes(parameter, wanted, made)
    )


def _notes(parameter: str, wanted: Float, made: Float) -> tuple[Note, ...]:
    limits = span(parameter)
    notes = []
    for place in np.argwhere((wanted < limits.least) | (wanted > limits.largest)):
        index = tuple(int(i) for i in place)
        value, above = float(wanted[index]), bool(wanted[index] > limits.largest)
        notes.append(
            Note(
                parameter=parameter,
                index=index,
                verdict=Verdict.SATURATED if above else Verdict.BELOW if value else Verdict.ZERO,
                wanted=value,
                actual=float(made[index]),
                limit=limits.largest if above else limits.least,
            )
        )
    return tuple(notes)


def actual(parameter: str, coarse: ArrayLike, fine: ArrayLike) -> Float:
    """The current of (coarse, fine), A; both of one shape, or broadcast.

    ConfigError, with every problem, for a name without a known scale and for what is no integer of 0..5 and 0..255.
    """
    given = currents(parameter)
    problems = []
    for name, values, size in (("coarse", np.asarray(coarse), COARSE), ("fine", np.asarray(fine), FINE)):
        integers = values.dtype.kind in "iu"
        wrong = (values < 0) | (values >= size) if integers else np.ones(values.shape, bool)
        if wrong.any():
            what = "no such value" if integers else "not integers"
            problems.append(Problem(what, f"{parameter}, {name}", values[wrong].flat[0], f"0..{size - 1}"))
    if problems:
        raise ConfigError("the bias generator has no such entry", problems=problems)
    made: Float = np.asarray(given[np.asarray(coarse), np.asarray(fine)])
    return made


@cache
def _tables() -> dict[str, Float]:
    with resources.files("hal_dynapse2").joinpath("tables.npz").open("rb") as file, np.load(file) as arrays:
        return {letter: arrays[letter].astype(np.float64) for letter in "NP"}


@cache
def _entries(parameter: str) -> tuple[Float, Float, Int]:
    """Currents (6, 256); the different ones, rising; and of each its first place in the flat table."""
    scale = PARAMETERS[parameter] or 0.0
    table = _tables()[parameter[-1]] * scale
    rising, place = np.unique(table, return_index=True)
    for array in (table, rising, place):
        array.setflags(write=False)
    return table, rising, place


def _known(parameters: Iterable[str]) -> None:
    problems = []
    for name in parameters:
        if name not in PARAMETERS:
            problems.append(Problem("no such parameter", str(name), hint="see hal_dynapse2.parameters"))
        elif PARAMETERS[name] is None:
            problems.append(Problem("its scale is not known", name, hint="set (coarse, fine) instead of a current"))
    if problems:
        raise ConfigError("currents of these parameters cannot be told", problems=problems)


# --- what currents stand for ----------------------------------------------------------------------------------------

KAPPA: Final = (KAPPA_N + KAPPA_P) / 2
"""As the vendor's equations take it."""


def time_current(tau: ArrayLike, capacitance: float, *, kappa: float = KAPPA, ut: float = UT) -> Float:
    """The current that makes time constants tau (s) of a capacitance (F): Ut C / (kappa tau). ConfigError at 0 s."""
    return ut * capacitance / (kappa * _positive("time constant", tau, "s"))


def time_constant(current: ArrayLike, capacitance: float, *, kappa: float = KAPPA, ut: float = UT) -> Float:
    """The time constant (s) that currents (A) make: Ut C / (kappa I). ConfigError at 0 A."""
    return ut * capacitance / (kappa * _positive("current", current, "A"))


def pulse_current(width: ArrayLike, capacitance: float, *, vth: float = VTH) -> Float:
    """The current that makes a pulse or a refractory period of this width (s): Vth C / width. ConfigError at 0 s."""
    return vth * capacitance / _positive("width", width, "s")


def pulse_width(current: ArrayLike, capacitance: float, *, vth: float = VTH) -> Float:
    """The width (s) of the pulse or refractory period that currents (A) make: Vth C / I. ConfigError at 0 A."""
    return vth * capacitance / _positive("current", current, "A")


def _positive(what: str, values: ArrayLike, unit: str) -> Float:
    array = np.asarray(values, np.float64)
    wrong = ~(np.isfinite(array) & (array > 0))
    if wrong.any():
        problem = Problem("more than 0 and finite", what, value=float(array[wrong].flat[0]), limit=f"> 0 {unit}")
        raise ConfigError(f"{np.count_nonzero(wrong)} of {array.size} numbers cannot be turned", problems=[problem])
    return array
