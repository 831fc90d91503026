"""From what the chip does to what the host sees: stamps of spikes, whose they are, membranes through their ADCs."""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.events import Probe
from hal.mapping import Mapping
from hal.probes import feeding
from hal_brainscales2.config import BrainScaleS2Config
from hal_brainscales2.limits import CADC_MAX, CYCLE_NS, MADC_MAX
from hal_brainscales2.options import OpenOptions

Bools = NDArray[np.bool_]
I64 = NDArray[np.int64]
Floats = NDArray[np.float64]

PER_SPIKE: Final = ("spike_s", "spike_i")
FARTHEST: Final = 5.0
"""Jitter ends at so many standard deviations, so that spikes can be put in order as they come."""
MADC_STEPS: Final = 4
"""Codes of the fast ADC per CADC LSB: both are taken to have one range (assumption)."""


@attrs.frozen(eq=False)
class Spikes:
    """Spikes, (k,) each.

    t: s on the chip since the reset. read: the same as the host is told it, before it is stamped. neuron: which. i: its
    current.
    """

    t: Floats
    read: Floats
    neuron: I64
    i: Floats

    def __getitem__(self, which: Any) -> Spikes:
        return Spikes(self.t[which], self.read[which], self.neuron[which], self.i[which])

    def plus(self, other: Spikes) -> Spikes:
        """Both."""
        both = zip(attrs.astuple(self, recurse=False), attrs.astuple(other, recurse=False), strict=True)
        return Spikes(*(np.concatenate(pair) for pair in both))


def no_spikes() -> Spikes:
    """None."""
    return Spikes(np.zeros(0), np.zeros(0), np.zeros(0, np.int64), np.zeros(0))


class Readout:
    """Of one mapping, under the device's options."""

    def __init__(self, mapping: Mapping, options: OpenOptions) -> None:
        self.options, self.speedup = options, mapping.speedup
        self.config: BrainScaleS2Config = mapping.config
        runs = {run.name: (run.first, run.size) for run in self.config.populations}
        values = {port.name for port in mapping.outputs if port.kind == "signal"}
        self.places = {key: self._places([runs[name] for name in names]) for key, names in feeding(mapping).items()}
        """For every key of the recording the index of each neuron in it, -1 where it is not."""
        self.signals = {key: _neurons(ranges) for key, ranges in self._feeding(mapping, values, runs).items()}
        self.per_spike = [(p.node, p.variable, runs[p.node]) for p in mapping.record if p.variable in PER_SPIKE]
        targets = self.config.targets
        self._leak, self._distance = targets.leak, targets.threshold - targets.leak

    def _places(self, ranges: list[tuple[int, int]]) -> I64:
        made = np.full(self.config.size, -1, np.int64)
        for first, size in ranges:
            made[first : first + size] = np.arange(size)
        return made

    @staticmethod
    def _feeding(
        mapping: Mapping, values: set[str], runs: dict[str, tuple[int, int]]
    ) -> dict[str, list[tuple[int, int]]]:
        part = mapping.on_chip
        if part is None:
            return {}
        before: dict[str, list[tuple[int, int]]] = {}
        for projection in part.projections():
            if projection.target in values:
                before.setdefault(projection.target, []).append(runs[projection.source])
        return before

    # --- spikes -------------------------------------------------------------------------------------------------------

    @property
    def late_s(self) -> float:
        """How long after a spike's time others may still be told to be before it."""
        return FARTHEST * (self.options.jitter_s or 0.0) + max(0.0, -(self.options.offset_s or 0.0))

    def read(self, t: Floats, noise: np.random.Generator) -> Floats:
        """Times as the host is told, before they are stamped."""
        offset, jitter = self.options.offset_s or 0.0, self.options.jitter_s or 0.0
        if jitter:
            return t + offset + jitter * np.clip(noise.standard_normal(t.size), -FARTHEST, FARTHEST)
        return t + offset if offset else t

    def stamps(self, read: Floats, start_ns: int | I64, duration_ns: int) -> I64:
        """Model ns since the start of the run, of times on the chip."""
        if self.options.stamps:
            # whole numbers times whole numbers: on the grid, however long it has run
            at = read / (CYCLE_NS * 1e-9)
            at *= 1 + 1e-12
            np.floor(at, out=at)
            at *= CYCLE_NS * self.speedup
        else:
            at = read * self.speedup
            at *= 1e9
            at *= 1 + 1e-15
        stamps = np.floor(at, out=at).astype(np.int64)
        stamps -= start_ns
        np.maximum(stamps, 0, out=stamps)
        return np.minimum(stamps, duration_ns - 1, out=stamps)

    def of(self, key: str, neuron: I64) -> tuple[Bools, I64]:
        """Which spikes belong to a key of the recording, and the index of these in it."""
        index = self.places[key][neuron]
        return index >= 0, index

    def rows(
        self, spikes: Spikes, variable: str, run: tuple[int, int], start_s: float | Floats
    ) -> tuple[Bools, Floats]:
        """Which spikes are a population's, and what is known of each of these, (k, 1). start_s: of the run, model."""
        mine = (spikes.neuron >= run[0]) & (spikes.neuron < run[0] + run[1])
        known = spikes.t * self.speedup - start_s if variable == "spike_s" else spikes.i
        return mine, known[mine][:, None]

    # --- membranes ----------------------------------------------------------------------------------------------------

    def volts(self, v: Floats, neurons: I64, variable: str) -> Floats:
        """Membranes in the model's unit, (..., n), as read; v in distances of threshold and leak."""
        if self.options.adc and variable != "v":
            steps, most = (1, CADC_MAX) if variable == "v_cadc" else (MADC_STEPS, MADC_MAX)
            codes = np.clip(np.rint((self._leak[neurons] + v * self._distance[neurons]) * steps), 0, most)
            v = (codes / steps - self._leak[neurons]) / self._distance[neurons]
        return np.asarray(self.config.rest[neurons] + v * self.config.unit[neurons])

    def probed(self, probe: Probe) -> I64:
        """The neurons of a probe."""
        run = next(run for run in self.config.populations if run.name == probe.node)
        index = np.arange(run.size) if probe.indices is None else np.array(probe.indices, np.int64)
        return index + run.first


def _neurons(ranges: list[tuple[int, int]]) -> I64:
    return np.concatenate([np.arange(first, first + size) for first, size in ranges])
