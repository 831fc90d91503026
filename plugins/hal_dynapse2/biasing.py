"""What a core is set to: its parameter set as currents, thresholds and base currents that go together, and masks.

With thresholds at 1, an event of area q lifts the membrane by q / (tau_mem - tau_syn) (...), see `cells`. On the chip
its current has the area Igain_syn / Itau_syn * Iw * t_pulse, and enters the membrane times Igain_mem / Itau_mem; so

    Iw = q Ispkthr / (Igain_mem / Itau_mem * Igain_syn / Itau_syn * t_pulse)
"""

from __future__ import annotations

from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_dynapse2 import biases, circuit, quantise
from hal_dynapse2.base_currents import BaseCurrents, round_bases
from hal_dynapse2.biases import Note, Verdict
from hal_dynapse2.config import PARAMETERS
from hal_dynapse2.entries import split, within
from hal_dynapse2.parameters import SIMULATOR_NAMES
from hal_dynapse2.sets import ParameterSet

Float = NDArray[np.float64]

DENDRITES: Final = ("ampa", "gaba", "nmda", "shunt")
OFF: Final = ("If_nmda", "Iw_ahp", "Idc")
"""Currents that are off by a switch or by no entry that uses them: set to the least, and that is no news."""


@attrs.frozen(kw_only=True, eq=False)
class Core:
    """One core's biases, and the synapses that end on it.

    coarse, fine, asked, wanted: (parameters,), columns as in `CoresConfig`. masks: (synapses, entries). areas:
    (synapses,) as realised, thresholds at 1, without signs. tau_mem, tau_syn (excitatory, inhibitory), drive, spkthr:
    as realised. error: relative RMSE of the areas. clipped: (synapses,) stronger than any base current. notes: currents
    beyond the range.
    """

    coarse: NDArray[np.int64]
    fine: NDArray[np.int64]
    asked: NDArray[np.bool_]
    wanted: Float
    masks: NDArray[np.uint8]
    areas: Float
    tau_mem: float
    tau_syn: tuple[float, float]
    drive: float
    error: float
    clipped: NDArray[np.bool_]
    notes: tuple[Note, ...]


@attrs.define
class _Currents:
    """Currents set so far, by the names of the equations."""

    wanted: dict[str, float] = attrs.field(factory=dict)
    entries: dict[str, biases.Nearest] = attrs.field(factory=dict)

    def set(self, name: str, current: float) -> float:
        """The current that is really there."""
        made = biases.nearest(SIMULATOR_NAMES[name], current)
        self.wanted[name], self.entries[name] = current, made
        return float(made.actual)

    def take(self, name: str, made: BaseCurrents, k: int) -> None:
        """The k-th of base currents that were rounded together."""
        notes = tuple(note for note in made.notes if note.parameter == SIMULATOR_NAMES[name])
        self.wanted[name] = float(made.wanted[k])
        self.entries[name] = biases.Nearest(
            parameter=SIMULATOR_NAMES[name],
            wanted=made.wanted[k],
            coarse=made.coarse[k],
            fine=made.fine[k],
            actual=made.actual[k],
            notes=notes,
        )

    def limit(self, name: str) -> float:
        """The largest that the mapper takes by itself."""
        return circuit.MARGIN * biases.span(SIMULATOR_NAMES[name]).largest


def settle(
    given: ParameterSet,
    areas: Float,
    excites: NDArray[np.bool_],
    forced: NDArray[np.int64],
    target: NDArray[np.int64],
    room: NDArray[np.int64],
    *,
    iscale: float | None,
    entries: int,
    seed: int,
) -> Core:
    """Set a core and choose the masks.

    areas: (synapses,) > 0, thresholds at 1. forced: (synapses,) codes set by hand, -1 for none. target:
    (synapses,) neurons, of which each has CAM entries room[neuron]. iscale: base current per unit of area, None to
    choose. entries: CAM entries one synapse may take, where there is room.
    """
    currents = _Currents()
    itau = currents.set("Itau_mem", float(biases.time_current(given.tau_mem, circuit.C_MEM)))
    gain = currents.set("Igain_mem", min(circuit.GAIN_MEM * itau, currents.limit("Igain_mem"))) / itau
    ratios, taus = {}, {}
    for dendrite, capacitance in zip(DENDRITES, circuit.C_SYN, strict=True):
        leak = currents.set(f"Itau_{dendrite}", float(biases.time_current(given.tau_syn, capacitance)))
        most = currents.limit(f"Igain_{dendrite}")
        ratios[dendrite] = currents.set(f"Igain_{dendrite}", min(circuit.GAIN_SYN * leak, most)) / leak
        taus[dendrite] = float(biases.time_constant(leak, capacitance))
    pulse = currents.set("Ipulse", float(biases.pulse_current(circuit.T_PULSE, circuit.C_PULSE)))
    width = float(biases.pulse_width(pulse, circuit.C_PULSE))
    currents.set("Iref", float(biases.pulse_current(given.refractory, circuit.C_REF)))
    _adaptation(currents)
    # an inhibitory event's area per base current, over an excitatory one's: the two dendrites are set apart
    unequal = ratios["gaba"] / ratios["ampa"]
    magnitudes = np.where(excites, areas, areas / unequal)
    per_ampere = gain * ratios["ampa"] * width
    strongest = min(currents.limit(f"Iw_{k}") for k in range(4)) * per_ampere
    most = np.inf
    if iscale is None:
        # a threshold near the gain current would make another neuron of it: rather weaken what is stronger than that
        most = strongest / min(circuit.SPKTHR, circuit.LINEAR * gain * itau)
    clipped = magnitudes > most
    magnitudes = np.minimum(magnitudes, most)
    fitted = quantise.fit(magnitudes, seed=seed)
    largest = float(fitted.base.max(initial=0.0))
    if iscale is not None:
        aim = iscale * per_ampere
    else:
        aim = min(circuit.SPKTHR, strongest / largest) if largest else circuit.SPKTHR
    spkthr = currents.set("Ispkthr", aim)
    unit = per_ampere / spkthr
    masks, levels, error = _weights(currents, magnitudes, forced, target, room, fitted, unit, entries)
    drive = currents.set("Idc", given.drive * spkthr / gain) * gain / spkthr if given.drive else 0.0
    if not given.drive:
        currents.set("Idc", 0.0)
    coarse, fine, asked, wanted = _columns(currents)
    return Core(
        coarse=coarse,
        fine=fine,
        asked=asked,
        wanted=wanted,
        masks=masks,
        areas=np.where(excites, levels, levels * unequal),
        tau_mem=float(biases.time_constant(itau, circuit.C_MEM)),
        tau_syn=(taus["ampa"], taus["gaba"]),
        drive=drive,
        error=error,
        clipped=clipped,
        notes=_notes(currents, given),
    )


def _adaptation(currents: _Currents) -> None:
    """Off: at its defaults but for the weight, which is the least there is. So are the NMDA gate and its bias."""
    leak = currents.set("Itau_ahp", float(biases.time_current(50e-3, circuit.C_AHP)))
    currents.set("Igain_ahp", leak)
    currents.set("Ipulse_ahp", float(biases.pulse_current(circuit.T_PULSE_AHP, circuit.C_PULSE_AHP)))
    currents.set("Iw_ahp", 0.0)
    currents.set("If_nmda", 0.0)


def _weights(
    currents: _Currents,
    magnitudes: Float,
    forced: NDArray[np.int64],
    target: NDArray[np.int64],
    room: NDArray[np.int64],
    fitted: quantise.Quantised,
    unit: float,
    entries: int,
) -> tuple[NDArray[np.uint8], Float, float]:
    """Masks, what they come to, and the error; base currents are rounded first, the masks chosen again after that."""
    if not magnitudes.any():
        for k, base in enumerate(circuit.BASES):
            currents.set(f"Iw_{k}", base)
        return np.zeros((magnitudes.size, entries), np.uint8), np.zeros_like(magnitudes), 0.0
    made = round_bases(fitted.base, magnitudes, 1 / unit)
    for k in range(4):
        currents.take(f"Iw_{k}", made, k)
    bases = made.actual * unit
    parts = within(split(magnitudes, bases, entries).codes, magnitudes, bases, target, room)
    masks = np.where(forced[:, None] >= 0, 0, parts)
    masks[:, 0] = np.where(forced >= 0, forced, masks[:, 0])
    areas = ((masks[:, :, None] >> np.arange(4)) & 1).sum(axis=1) @ bases
    error = quantise.length(areas - magnitudes) / quantise.length(magnitudes)
    return masks, areas, error


def _columns(currents: _Currents) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], Float]:
    """Coarse, fine, asked, wanted."""
    size = len(PARAMETERS)
    coarse, fine, asked, wanted = (
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
        np.zeros(size, bool),
        np.zeros(size),
    )
    for name, made in currents.entries.items():
        at = PARAMETERS.index(SIMULATOR_NAMES[name])
        coarse[at], fine[at] = int(made.coarse), int(made.fine)
        asked[at], wanted[at] = True, currents.wanted[name]
    return coarse, fine, asked, wanted


def _notes(currents: _Currents, given: ParameterSet) -> tuple[Note, ...]:
    """Currents that could not be set, but for those that are meant to be off."""
    off = {SIMULATOR_NAMES[name] for name in OFF if name != "Idc" or not given.drive}
    notes = [note for made in currents.entries.values() for note in made.notes]
    return tuple(note for note in notes if note.parameter not in off or note.verdict is not Verdict.ZERO)
