"""Time on the chip: its scale, refractory periods, and what targets a calibration is not made for."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hal.model import Model
from hal.notes import Notes
from hal_brainscales2 import scale
from hal_brainscales2.cells import Cells, Reader
from hal_brainscales2.limits import CADC_RATE_HZ, CYCLE_NS
from hal_brainscales2.options import MapOptions
from hal_brainscales2.refractory import Refractory, refractory

Floats = NDArray[np.float64]

SHORTEST_REFRACTORY: Final = 40e-9
"""s: the shortest the vendor's calibration takes."""


def speedup(reader: Reader, options: MapOptions, kept: float | None) -> float:
    """As given, as kept, or chosen; what it leaves outside the chip's ranges is told."""
    cells, notes = reader.cells, reader.notes
    tau_mem, tau_syn = (np.concatenate([getattr(c, name) for c in cells]) for name in ("tau_mem", "tau_syn"))
    made = options.speedup or kept or scale.choose(tau_mem, tau_syn)
    if not scale.LIMITS[0] <= made <= scale.LIMITS[1]:
        limit = f"{scale.LIMITS[0]:g}..{scale.LIMITS[1]:g}"
        notes.refuse("", "speedup", "no speedup within its range makes time constants the chip's", made, limit)
    for c in cells:
        for excess in scale.excesses(c.tau_mem, c.tau_syn, made):
            wanted, limit = f"{excess.value:.3g} s on the chip", f"{excess.least:.3g}..{excess.largest:.3g} s"
            if excess.possible:
                reason = "outside the standard range of a calibration"
                notes.say("changed", c.name, excess.field, reason, wanted, limit)
            else:
                hint = "another speedup, or time constants that lie closer together"
                notes.refuse(c.name, excess.field, "no calibration reaches it", wanted, limit, hint)
    dt_ns = reader.dt_ns
    if dt_ns is not None and dt_ns / made < CYCLE_NS:
        reason = f"at a speedup of {made:g} a step is less than the {CYCLE_NS} ns of the chip's time stamps"
        hint = "shorter time constants against the step, or longer steps"
        notes.refuse(cells[0].name, "tau_mem", reason, f"{dt_ns / made:.3g} ns", f"{CYCLE_NS} ns", hint)
    notes.say("note", "", "speedup", "one s of the chip stands for so many s of the model", None, f"{made:g}")
    return made


def periods(cells: list[Cells], speedup: float, notes: Notes) -> Refractory:
    """Refractory registers of all neurons."""
    times, holdoff = (np.concatenate([getattr(c, name) for c in cells]) / speedup for name in ("refractory", "holdoff"))
    made = refractory(np.maximum(times, SHORTEST_REFRACTORY), holdoff)
    names = np.concatenate([np.full(c.size, k) for k, c in enumerate(cells)])
    for level, found in (("refused", made.errors), ("changed", made.warnings)):
        for finding in found:
            for k in np.unique(names[list(finding.neurons)]).tolist():
                notes.say(level, cells[k].name, "refractory_s", finding.reason)  # type: ignore[arg-type]  # one of two
    first = 0
    for c in cells:
        mine = slice(first, first + c.size)
        first += c.size
        off = np.abs(made.time_s[mine] * speedup - c.refractory)
        if (off > 0.05 * np.maximum(c.refractory, SHORTEST_REFRACTORY * speedup)).any():
            k = int(np.argmax(off))
            wanted, realised = f"{c.refractory[k]:.3g} s", f"{made.time_s[mine][k] * speedup:.3g} s"
            reason = "periods are whole cycles of two clocks"
            if c.refractory[k] < SHORTEST_REFRACTORY * speedup:
                reason = f"a neuron pauses after a spike, {SHORTEST_REFRACTORY:g} s of the chip at least"
            notes.say("changed", c.name, "refractory_s", reason, wanted, realised, hint="option refractory_s sets it")
    return made


def latencies(model: Model, cells: list[Cells]) -> dict[str, int]:
    """Delays in ns by which spikes of each population and Output stand later than the model's, on average."""
    dt_ns = model.semantics.dt_ns or 0
    late = {c.name: c.latency * dt_ns // 2 for c in cells}
    for output in model.outputs:
        sources = {p.source for p in model.projections() if p.target == output}
        late[output] = max((late[name] for name in sources if name in late), default=0)
    return late


def reading(reader: Reader, speedup: float) -> None:
    """Refuse steps in which the column ADCs cannot read membranes that give an Output its values."""
    least = 1e9 / CADC_RATE_HZ
    for c in reader.cells:
        if not c.spiking and reader.dt_ns is not None and reader.dt_ns / speedup < least:
            reason = "a step is shorter than a column ADC takes to read a membrane"
            hint = "longer steps, a smaller speedup, or option readout=host"
            reader.notes.refuse(c.name, "dt_ns", reason, f"{reader.dt_ns / speedup:.3g} ns", f"{least:.3g} ns", hint)
