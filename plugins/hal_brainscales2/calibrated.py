"""Mapping for one individual: what a calibration aimed at is what its circuits do, and its codes go into registers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.notes import Notes
from hal_brainscales2.cells import Cells
from hal_brainscales2.config import BrainScaleS2Config, TargetsConfig
from hal_brainscales2.options import MapOptions
from hal_brainscales2.profile import BrainScaleS2Profile

Floats = NDArray[np.float64]

SETTLED: Final = ("leak", "threshold", "i_synin_gm", "synapse_dac_bias", "membrane_capacitance")
"""Options of the mapper that a calibration has settled."""
SAME_TIME: Final = 0.01
"""Relative: a time constant this near to that of the calibration is not worth a finding."""
SAME_LSB: Final = 1.0
"""The same of reset potentials."""


def settled(profile: BrainScaleS2Profile | None, options: MapOptions) -> MapOptions:
    """Options with what the calibration aimed at."""
    if profile is None or profile.aims is None:
        return options
    return attrs.evolve(options, **{name: getattr(profile.aims, name) for name in SETTLED})


def contradictions(profile: BrainScaleS2Profile | None, options: MapOptions, notes: Notes) -> None:
    """Refuse options that ask for something else than the calibration; the default asks for nothing."""
    if profile is None or profile.aims is None:
        return
    for field in attrs.fields(MapOptions):
        if field.name in SETTLED:
            given, aim = getattr(options, field.name), getattr(profile.aims, field.name)
            if given not in (field.default, aim):
                reason = f"profile {profile.id!r} was calibrated for another value"
                notes.refuse("", field.name, reason, given, aim, hint="calibrate again for this one")


def paced(profile: BrainScaleS2Profile | None, cells: Iterable[Cells], options: MapOptions) -> MapOptions:
    """With the speedup at which the model's membranes are those of the calibration, unless one was given."""
    if profile is None or profile.aims is None or options.speedup is not None:
        return options
    tau_mem = float(np.median(np.concatenate([c.tau_mem for c in cells])))
    return attrs.evolve(options, speedup=tau_mem / profile.aims.tau_mem)


def silent(
    profile: BrainScaleS2Profile | None, cells: Sequence[Cells], options: MapOptions, speedup: float
) -> list[Cells]:
    """Populations with the refractory time of the calibration, where options give none."""
    if profile is None or profile.aims is None:
        return list(cells)
    time = profile.aims.refractory_time * speedup
    return [c if c.name in options.refractory_s else attrs.evolve(c, refractory=np.full(c.size, time)) for c in cells]


def targets(
    profile: BrainScaleS2Profile | None, wanted: TargetsConfig, cells: Iterable[Cells], notes: Notes
) -> TargetsConfig:
    """Those of the calibration; what the model wants otherwise is told."""
    if profile is None or profile.aims is None:
        return wanted
    made = {}
    for field in ("tau_mem", "tau_syn", "reset"):
        values, aim = getattr(wanted, field), profile.aim(field)
        near = SAME_LSB if field == "reset" else SAME_TIME * aim
        hint = "a refractory period keeps a neuron silent: option refractory_s" if field == "reset" else ""
        first = 0
        for c in cells:
            mine = values[first : first + c.size]
            first += c.size
            worst = int(np.argmax(np.abs(mine - aim)))
            if abs(mine[worst] - aim) > near and (c.spiking or field != "reset"):
                reason = f"all circuits were calibrated for one value, on the chip (profile {profile.id!r})"
                notes.say("changed", c.name, f"targets.{field}", reason, f"{mine[worst]:.4g}", f"{aim:.4g}", hint)
        made[field] = np.full(values.size, aim)
    return attrs.evolve(wanted, **made)


def registers(profile: BrainScaleS2Profile | None, config: BrainScaleS2Config, notes: Notes) -> BrainScaleS2Config:
    """With the codes of the circuits in use; a neuron of several has those of its first. Failed ones are told."""
    if profile is None or profile.aims is None:
        return config
    failed = np.intersect1d(config.circuits.circuit, profile.bad)
    if failed.size:
        reason = f"circuits whose calibration failed are in use ({failed.size}), placed by hand or as in like="
        notes.say("note", "", "circuits", reason, int(failed[0]), profile.reasons[int(failed[0])])
    first = np.searchsorted(config.circuits.neuron, np.arange(config.size))
    return attrs.evolve(config, codes=profile.codes.of(config.circuits.circuit[first]))


def denied(profile: BrainScaleS2Profile | None) -> tuple[int, ...]:
    """Circuits that are not to be used."""
    return () if profile is None else tuple(profile.bad.tolist())
