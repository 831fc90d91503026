"""What a calibration is asked for: targets of all neurons, and where they leave the range it is made for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hal.fit import Finding
from hal.notes import Notes
from hal_brainscales2.cells import Cells
from hal_brainscales2.config import BrainScaleS2Config, TargetsConfig
from hal_brainscales2.options import MapOptions
from hal_brainscales2.refractory import Refractory
from hal_brainscales2.scale import SLACK

Floats = NDArray[np.float64]

STANDARD: Final = {
    "leak": (50.0, 160.0, "CADC LSB"),
    "reset": (50.0, 160.0, "CADC LSB"),
    "threshold": (50.0, 220.0, "CADC LSB"),
    "tau_mem": (0.5e-6, 60e-6, "s"),
    "tau_syn": (0.3e-6, 30e-6, "s"),
    "i_synin_gm": (30.0, 800.0, ""),
    "membrane_capacitance": (0.0, 63.0, ""),
    "refractory_time": (40e-9, 32e-6, "s"),
    "holdoff_time": (0.0, 4e-6, "s"),
}
"""Within these a calibration is expected to succeed (calix, as read); registers refuse what it cannot even try."""
DAC_BIAS: Final = (30, 1022)
CHOSEN: Final = ("leak", "reset", "threshold", "i_synin_gm", "membrane_capacitance")
"""Targets that are options; those of time are told by the names of the model."""


def targets(cells: Sequence[Cells], options: MapOptions, speedup: float, made: Refractory) -> TargetsConfig:
    """Of all neurons."""
    n = sum(c.size for c in cells)
    distance = options.threshold - options.leak
    return TargetsConfig(
        leak=np.full(n, options.leak),
        reset=options.leak + distance * np.concatenate([reset(c, options) for c in cells]),
        threshold=np.full(n, options.threshold),
        tau_mem=np.concatenate([c.tau_mem for c in cells]) / speedup,
        tau_syn=np.concatenate([c.tau_syn for c in cells]) / speedup,
        i_synin_gm=np.full(n, options.i_synin_gm),
        membrane_capacitance=np.full(n, options.membrane_capacitance),
        refractory_time=made.time_s,
        holdoff_time=made.holdoff_s,
        comparator=np.concatenate([np.full(c.size, c.spiking) for c in cells]),
    )


def reset(c: Cells, options: MapOptions) -> Floats:
    """Reset potentials within the standard range of a calibration, in distances of threshold and leak."""
    low, high, _ = STANDARD["reset"]
    distance = options.threshold - options.leak
    return np.clip(c.reset, (low - options.leak) / distance, (high - options.leak) / distance)


def about(cells: Sequence[Cells], options: MapOptions, notes: Notes) -> None:
    """Refuse a threshold that is none, and tell what became of reset potentials."""
    if options.threshold <= options.leak:
        notes.refuse("", "threshold", "must lie above the leak", options.threshold, f"> {options.leak:g} CADC LSB")
        return
    for c in cells:
        made = reset(c, options)
        if (made != c.reset).any():
            worst = int(np.argmax(np.abs(made - c.reset)))
            reason = "outside the standard range of a calibration, in distances of threshold and leak; "
            reason += "a refractory period keeps a neuron silent: option refractory_s"
            notes.say("changed", c.name, "v_reset", reason, float(c.reset[worst]), round(float(made[worst]), 3))


def outside(config: BrainScaleS2Config, fields: Iterable[str] = STANDARD) -> Iterator[Finding]:
    """A note for each target beyond its standard range: the farthest neuron, and how many."""
    starts = np.array([run.first for run in config.populations])
    for field in fields:
        low, high, unit = STANDARD[field]
        values = np.asarray(getattr(config.targets, field), np.float64)
        if field == "threshold":
            values = np.where(config.targets.comparator, values, low)
        beyond = np.maximum(low * (1 - SLACK) - values, values - high * (1 + SLACK))
        count = int((beyond > 0).sum())
        if count:
            k = int(np.argmax(beyond))
            run = config.populations[int(np.searchsorted(starts, k, side="right")) - 1]
            limit = f"{low:g}..{high:g} {unit}".strip() + f" ({count} neuron{'s' if count > 1 else ''})"
            yield _note(run.name, f"targets.{field}", float(values[k]), limit)
    if not DAC_BIAS[0] <= config.synapse_dac_bias <= DAC_BIAS[1]:
        yield _note("", "synapse_dac_bias", config.synapse_dac_bias, f"{DAC_BIAS[0]}..{DAC_BIAS[1]}")


def _note(node: str, field: str, value: float, limit: str) -> Finding:
    reason = f"outside the standard range of a calibration, {limit}: expect imperfect results"
    return Finding(level="note", node=node, field=field, reason=reason, wanted=value)
