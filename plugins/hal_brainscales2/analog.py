"""How the analog circuits of one individual turn their codes into potentials, time constants and strengths.

There is no published formula from targets to codes (calix finds codes by search), nor are sizes of the spread. So all
numbers here are assumptions, each with a name; what is known of calibrated chips stands in their docstrings.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_brainscales2.config import CodesConfig, TargetsConfig
from hal_brainscales2.limits import CIRCUITS, MAX_CAPMEM

Ints = NDArray[Any]
Floats = NDArray[np.float64]

PARAMETERS: Final = ("leak", "reset", "threshold", "tau_mem", "tau_syn", "strength")
"""What a circuit has a code for. strength: of synaptic inputs, against that of the targets; its code is `gm`."""
POTENTIALS: Final = PARAMETERS[:3]
LSB_PER_CODE: Final = 0.25
"""Steps of the column ADC per code of a potential: 0..1022 spans its 8 bits (assumption)."""
TAU_MEM_S: Final = 400e-6
"""s: tau_mem at code 1, inversely proportional to the code; 0.4 us at 1022, below the shortest standard target of 0.5
us (assumption)."""
TAU_SYN_S: Final = 250e-6
"""s: tau_syn at code 1; 0.24 us at 1022, below the shortest standard target of 0.3 us (assumption)."""
DIVIDER: Final = 8
"""A bit makes a time constant so many times longer, so that long ones have fine steps too (assumption)."""
LARGEST_DIVIDED: Final = 600
"""The bit is used where a nominal circuit needs no larger code with it; above is room for slow circuits."""

OFFSET_LSB: Final = 5.0
"""Standard deviation of potentials before calibration: spread is "clearly visible" then (tutorial ts_00), its size is
an assumption; 2 LSB of 70 were inferred for the threshold of calibrated chips."""
GAIN_SPREAD: Final = 0.02
"""Relative standard deviation of LSB_PER_CODE (assumption)."""
TAU_SPREAD: Final = 0.2
"""Standard deviation of the logarithm of time constants (assumption; 5 % were inferred for calibrated chips)."""
STRENGTH_SPREAD: Final = 0.2
"""Standard deviation of the logarithm of strengths (assumption; 5 % were inferred for calibrated chips)."""
DEFECTS: Final = 0.01
"""Share of circuits with one parameter out of the reach of common targets: calibrations of the vendor list such; how
many is an assumption."""
STUCK_LSB: Final = 120.0
"""A defect of leak or reset: its potential is at least about so high (assumption)."""
WEAK: Final = 0.3
"""A defect of threshold or strength: the share of the gain that is left (assumption)."""
SLOW: Final = 50.0
"""A defect of a time constant: so many times longer, 20 us for tau_mem and 12 us for tau_syn at least (assumption)."""


@attrs.frozen(kw_only=True, eq=False)
class Values:
    """What circuits do, (n,) each: potentials in CADC LSB, time constants in s, strength against its target."""

    leak: Floats
    reset: Floats
    threshold: Floats
    tau_mem: Floats
    tau_syn: Floats
    strength: Floats


@attrs.frozen(kw_only=True, eq=False)
class Individual:
    """Circuits of one chip: value = offset + gain * code for potentials, factors on what is nominal else. (n,) each."""

    offset: dict[str, Floats]
    gain: dict[str, Floats]
    factor: dict[str, Floats]

    def values(self, codes: CodesConfig, targets: TargetsConfig) -> Values:
        """What these circuits do at these codes; a target only says what strength counts from."""
        tau_mem = TAU_MEM_S * np.where(codes.long_mem, DIVIDER, 1) / np.maximum(codes.tau_mem, 1)
        tau_syn = TAU_SYN_S * np.where(codes.long_syn, DIVIDER, 1) / np.maximum(codes.tau_syn, 1)
        potentials = {
            name: self.offset[name] + self.gain[name] * getattr(codes, name).astype(np.float64) for name in POTENTIALS
        }
        return Values(
            **potentials,
            tau_mem=tau_mem * self.factor["tau_mem"],
            tau_syn=tau_syn * self.factor["tau_syn"],
            strength=codes.gm / np.maximum(targets.i_synin_gm.astype(np.float64), 1) * self.factor["strength"],
        )


def individual(chip_seed: int, mismatch: float, circuits: Ints) -> Individual:
    """The circuits of a chip; each is the same whatever else is in use. mismatch 0: nominal ones, 1: as assumed."""
    drawn, lot, kind = (column[circuits] for column in _drawn(chip_seed))
    bad = np.where(lot < DEFECTS * mismatch, kind, -1)
    offset, gain, factor = {}, {}, {}
    for k, name in enumerate(PARAMETERS):
        here, defect = drawn[:, k] * mismatch, bad == k
        if name in POTENTIALS:
            stuck = defect & (name != "threshold")
            offset[name] = OFFSET_LSB * here + np.where(stuck, STUCK_LSB, 0.0)
            gain[name] = LSB_PER_CODE * (1 + GAIN_SPREAD * mismatch * drawn[:, len(PARAMETERS) + k])
            gain[name] = gain[name] * np.where(defect & ~stuck, WEAK, 1.0)
        else:
            spread, broken = (STRENGTH_SPREAD, WEAK) if name == "strength" else (TAU_SPREAD, SLOW)
            factor[name] = np.exp(spread * here) * np.where(defect, broken, 1.0)
    return Individual(offset=offset, gain=gain, factor=factor)


@lru_cache(maxsize=8)
def _drawn(chip_seed: int) -> tuple[Floats, Floats, Ints]:
    """Normal numbers (512, 9), what decides whether there is a defect (512,), and of which parameter (512,)."""
    count = len(PARAMETERS) + len(POTENTIALS)
    normal, lot, kind = np.empty((CIRCUITS, count)), np.empty(CIRCUITS), np.empty(CIRCUITS, np.int64)
    for circuit in range(CIRCUITS):
        random = np.random.default_rng([chip_seed, circuit])
        normal[circuit], lot[circuit] = random.standard_normal(count), random.random()
        kind[circuit] = random.integers(len(PARAMETERS))
    return normal, lot, kind


def nominal(targets: TargetsConfig) -> CodesConfig:
    """The codes by which a nominal circuit comes nearest to the targets."""
    mem, syn = (_bias(tau, scale) for tau, scale in ((targets.tau_mem, TAU_MEM_S), (targets.tau_syn, TAU_SYN_S)))
    potentials = {name: _code(getattr(targets, name) / LSB_PER_CODE) for name in POTENTIALS}
    return CodesConfig(
        **potentials, tau_mem=mem[0], tau_syn=syn[0], gm=targets.i_synin_gm, long_mem=mem[1], long_syn=syn[1]
    )


def _bias(tau: Floats, scale: float) -> tuple[Ints, NDArray[np.bool_]]:
    divided = DIVIDER * scale / tau
    long = divided <= LARGEST_DIVIDED
    return _code(np.where(long, divided, scale / tau)), long


def _code(value: Any) -> Ints:
    return np.asarray(np.clip(np.rint(value), 0, MAX_CAPMEM).astype(np.uint16))


def realised(targets: TargetsConfig, codes: CodesConfig, circuits: Ints, chip_seed: int, mismatch: float) -> Values:
    """What neurons do at their codes, those of nominal circuits where none are given.

    Without mismatch the codes that `nominal` gives stand for the targets themselves, whatever their resolution: so a
    model is computed exactly as long as nobody touches codes.
    """
    usual = nominal(targets)
    given = codes if codes.leak.size else usual
    made = individual(chip_seed, mismatch, circuits).values(given, targets)
    if mismatch:
        return made
    wanted = {name: getattr(targets, name) for name in PARAMETERS[:-1]} | {"strength": np.ones(circuits.size)}
    fields: dict[str, tuple[str, ...]] = {name: (name,) for name in POTENTIALS}
    fields |= {"strength": ("gm",), "tau_mem": ("tau_mem", "long_mem"), "tau_syn": ("tau_syn", "long_syn")}
    exact = {}
    for name in PARAMETERS:
        same = np.all([getattr(given, field) == getattr(usual, field) for field in fields[name]], axis=0)
        exact[name] = np.where(same, wanted[name], getattr(made, name))
    return Values(**exact)
