"""The registers and targets of BrainScaleS-2, in arrays.

Where the vendor has a formula (refractory clocks, routing, weights) there are registers. Analog parameters have none:
they are found by a search on the chip, so what is kept of them is the target of that search.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.config import array, setting
from hal.errors import Problem
from hal_brainscales2.limits import (
    BACKGROUND_MASK,
    BACKGROUND_PERIOD,
    BACKGROUND_RATE,
    BACKGROUND_SEED,
    BACKGROUND_SOURCES,
    BLOCK_COLUMNS,
    CIRCUITS,
    COLUMNS,
    CROSSBAR_INPUTS,
    CROSSBAR_OUTPUTS,
    DRIVERS,
    HEMISPHERES,
    LABEL_BITS,
    LABELS,
    MADC_SIGNALS,
    MAX_HOLDOFF_CODE,
    MAX_WEIGHT,
    OUTPUT_SHIFT,
    ROW_SELECTS,
    ROWS,
    SHORTEST_BACKGROUND_PERIOD,
    event_output,
)

Ints = NDArray[Any]
Floats = NDArray[np.float64]


def _zeros(dtype: str, *shape: int) -> Any:
    return lambda: np.zeros(shape, dtype)


def _table(dtype: str, doc: str, maximum: int, *shape: int, minimum: int = 0) -> Any:
    """A register at every place of the chip."""
    return array(dtype, shape, doc=doc, minimum=minimum, maximum=maximum, factory=_zeros(dtype, *shape))


def _switch(doc: str, *shape: int) -> Any:
    return array("bool", shape, doc=doc, factory=_zeros("bool", *shape))


def _each(dtype: str, doc: str, maximum: float | None, *, minimum: float | None = 0, unit: str = "") -> Any:
    """One per neuron, circuit or event."""
    return array(dtype, (None,), doc=doc, unit=unit, minimum=minimum, maximum=maximum, factory=_zeros(dtype, 0))


@attrs.frozen(kw_only=True)
class InputConfig:
    """Where the host's events come from."""

    name: str = setting(doc="the model's name of the input")
    shape: tuple[int, ...] = setting(doc="shape of one step", minimum=1)


@attrs.frozen(kw_only=True)
class PopulationConfig:
    """A run of neurons under one name."""

    name: str = setting(doc="the model's name of the population")
    first: int = setting(0, doc="its first neuron", minimum=0)
    shape: tuple[int, ...] = setting(doc="shape; neurons follow in C order", minimum=1)

    @property
    def size(self) -> int:
        """Neurons."""
        return math.prod(self.shape)


@attrs.frozen(kw_only=True)
class CircuitsConfig:
    """Circuits in use, (k,) each, by neuron; the first of each neuron sends its spikes."""

    circuit: Ints = _each("uint16", "row * 256 + column", CIRCUITS - 1)
    neuron: Ints = _each("uint16", "the neuron it is part of", CIRCUITS - 1)

    def rules(self) -> Iterator[Problem]:
        """One neuron each, in order, and no circuit twice."""
        yield from equal_lengths(self, "circuit")
        again, count = np.unique(self.circuit, return_counts=True)
        for at in again[count > 1].tolist():
            yield Problem("no circuit twice", "circuit", at, f"one of 0..{CIRCUITS - 1} each")
        for neuron in np.setdiff1d(np.arange(int(self.neuron.max(initial=0))), self.neuron)[:1].tolist():
            yield Problem("every neuron has circuits", "neuron", neuron, "1 circuit or more")
        if (np.diff(self.neuron.astype(np.int64)) < 0).any():
            yield Problem("by neuron", "neuron", limit="non-decreasing")
        if self.circuit.shape == self.neuron.shape:
            block = self.circuit.astype(np.int64) % COLUMNS // BLOCK_COLUMNS
            for neuron in np.intersect1d(self.neuron[block == 0], self.neuron[block == 1]).tolist():
                mine = self.circuit[self.neuron == neuron].tolist()
                yield Problem(
                    "a neuron lies within a backend block", f"neuron {neuron}", mine, "columns 0..127 or 128..255"
                )


@attrs.frozen(kw_only=True)
class TargetsConfig:
    """What a calibration of each neuron has to reach, (n,) each. Potentials in steps of the column ADC (calix).

    comparator: without it a neuron never fires, and is there to be read out.
    """

    leak: Floats = _each("float64", "resting potential; 50..160 is standard", 255, unit="CADC LSB")
    reset: Floats = _each("float64", "after a spike; 50..160 is standard", 255, unit="CADC LSB")
    threshold: Floats = _each("float64", "50..220 is standard", 255, unit="CADC LSB")
    tau_mem: Floats = _each("float64", "0.5..60 us is standard", 2e-3, minimum=0.1e-6, unit="s")
    tau_syn: Floats = _each("float64", "both signs; 0.3..30 us is standard", 100e-6, minimum=0.1e-6, unit="s")
    i_synin_gm: Ints = _each("uint16", "strength of synaptic inputs; 30..800 is standard", 1022)
    membrane_capacitance: Ints = _each("uint8", "about 2.3 pF at 63", 63)
    refractory_time: Floats = _each("float64", "40 ns..32 us is standard", 1.0, unit="s")
    holdoff_time: Floats = _each("float64", "0..4 us is standard", 1.0, unit="s")
    comparator: NDArray[np.bool_] = array("bool", (None,), doc="whether it fires", factory=_zeros("bool", 0))

    def rules(self) -> Iterator[Problem]:
        """One value each, thresholds above the leak."""
        yield from equal_lengths(self, "leak")
        if self.leak.shape == self.threshold.shape and (self.threshold <= self.leak).any():
            k = int(np.argmax(self.threshold <= self.leak))
            yield Problem("must lie above the leak", f"threshold[{k}]", float(self.threshold[k]), f"> {self.leak[k]}")


@attrs.frozen(kw_only=True)
class RefractoryConfig:
    """Registers of refractory periods, (n,) each, and the scales of the chip's two clocks."""

    counter: Ints = _each("uint8", "clock cycles without a spike", 255)
    holdoff_code: Ints = _each("uint8", "15: the reset ends a cycle before that", 15)
    fast: NDArray[np.bool_] = array("bool", (None,), doc="on the fast clock", factory=_zeros("bool", 0))
    fast_scale: int = setting(0, doc="its period is 8 ns times 2^scale", minimum=0, maximum=15)
    slow_scale: int = setting(0, doc="of the slow clock", minimum=0, maximum=15)

    def rules(self) -> Iterator[Problem]:
        """One value each."""
        for name in ("holdoff_code", "fast"):
            if len(getattr(self, name)) != self.counter.size:
                yield Problem("one row each", name, len(getattr(self, name)), self.counter.size)
        if self.holdoff_code.shape == self.counter.shape:
            free = 2 * MAX_HOLDOFF_CODE + 1 - 2 * self.holdoff_code.astype(np.int64)
            for k in np.flatnonzero(self.counter < free)[:1].tolist():
                reason = "fewer cycles than the neuron holds off for, so its reset never ends"
                yield Problem(reason, f"counter[{k}]", int(self.counter[k]), f">= {free[k]}")


@attrs.frozen(kw_only=True)
class RoutingConfig:
    """How events travel: crossbar, synapse drivers, rows and synapses of both hemispheres."""

    crossbar_mask: Ints = _table(
        "uint16", "14 bits of a label that are looked at", 2**14 - 1, CROSSBAR_INPUTS, CROSSBAR_OUTPUTS
    )
    crossbar_target: Ints = _table("uint16", "what they have to be", 2**14 - 1, CROSSBAR_INPUTS, CROSSBAR_OUTPUTS)
    driver_on: NDArray[np.bool_] = _switch("drivers in use", HEMISPHERES, DRIVERS)
    driver_mask: Ints = _table(
        "uint8", "bits of the row select that are compared", ROW_SELECTS - 1, HEMISPHERES, DRIVERS
    )
    row_sign: Ints = _table("int8", "1 excites, -1 inhibits, 0 off", 1, HEMISPHERES, ROWS, minimum=-1)
    weight: Ints = _table("uint8", "of every synapse", MAX_WEIGHT, HEMISPHERES, ROWS, COLUMNS)
    label: Ints = _table("uint8", "that it reacts to", LABELS - 1, HEMISPHERES, ROWS, COLUMNS)


@attrs.frozen(kw_only=True)
class BackgroundConfig:
    """The chip's own sources of events, (8,) each: 0..3 of the top hemisphere, 4..7 of the bottom one. Off by default.

    Source s sends an event every `period` cycles of 250 MHz; a Poisson one draws then whether to send, with a chance of
    rate / 255. Its mean rate is 250 MHz / period * rate / 255 on the chip, and that over `speedup` in the model. What
    is drawn follows from the seed and the time since the reset alone: every run from a reset, and every sample of a
    batch, has the same events. `hal_emulators.background` has the rules and what of them is assumed.

    A mask of 2^k - 1 makes 2^k Poisson sources of one, each with its own label and its share of the rate: so the
    vendor's tools make a population of at most 256, by one source in each hemisphere that hears it (grenade).

    The mapper uses none of them. To have source s drive neurons, edit the registers and give them to
    `Mapping.with_config`, or to `Mapper.adopt`. Its events are input 12 + s of the crossbar and reach bus b = s mod 4
    of their own hemisphere h = s div 4, so in `routing`:

    - crossbar_mask and crossbar_target at [12 + s, 4 h + b] let its labels pass (mask 0, target 0: all of them);
    - driver_on and driver_mask at [h, d], for a driver d with d mod 4 = b that no one uses, take those whose bits 6..10
      agree with d div 4 under the mask (mask 0: all of them);
    - row_sign at [h, 2 d] or [h, 2 d + 1] says which way they act;
    - weight and label at [h, row, column] are the synapses; a label is bits 0..5.

    The node [12 + s, 8 + b] sends them to the host as well. There they take time on the link and count as events out,
    but no node of a model is theirs, so no recording has them. Events that no node lets pass are counted nowhere.
    """

    on: NDArray[np.bool_] = _switch("sends events, the first one a period after the reset", BACKGROUND_SOURCES)
    poisson: NDArray[np.bool_] = _switch("draws each period whether to send; else always", BACKGROUND_SOURCES)
    period: Ints = _table("uint16", "clock cycles; 2 or more if on", BACKGROUND_PERIOD, BACKGROUND_SOURCES)
    rate: Ints = _table("uint8", "255ths of a chance per period, if Poisson", BACKGROUND_RATE, BACKGROUND_SOURCES)
    seed: Ints = _table("uint32", "of what is drawn", BACKGROUND_SEED, BACKGROUND_SOURCES)
    mask: Ints = _table(
        "uint8", "lower bits of the label that are drawn, if Poisson", BACKGROUND_MASK, BACKGROUND_SOURCES
    )
    label: Ints = _table("uint16", "14 bits that its events carry", 2**LABEL_BITS - 1, BACKGROUND_SOURCES)

    def rules(self) -> Iterator[Problem]:
        """No source faster than it can be."""
        for k in np.flatnonzero(self.on & (self.period < SHORTEST_BACKGROUND_PERIOD)).tolist():
            reason = "more than 125 million events a second, which is what a source can send"
            yield Problem(reason, f"period[{k}]", int(self.period[k]), f">= {SHORTEST_BACKGROUND_PERIOD}")


@attrs.frozen(kw_only=True)
class HostConfig:
    """What the host sends for an event of a channel, (e,) each."""

    channel: Ints = _each("int32", "channel, over all inputs", 2**31 - 1)
    label: Ints = _each("uint16", "16 bits; the upper two choose the external input", 2**16 - 1)

    def rules(self) -> Iterator[Problem]:
        """One value each."""
        yield from equal_lengths(self, "channel")


@attrs.frozen(kw_only=True)
class BrainScaleS2Config:
    """A network on the chip. One ns of the chip is `speedup` ns of the model."""

    step_ns: int | None = setting(None, doc="step of the model, None without one", unit="ns", minimum=1)
    speedup: float = setting(1.0, doc="model ns per chip ns", minimum=1e-6, maximum=1e15)
    scale: float = setting(58.0, doc="integer weight per distance of threshold and leak", minimum=1e-6, maximum=1e9)
    synapse_dac_bias: int = setting(1000, doc="of the whole chip; 30..1022 is standard", minimum=0, maximum=1022)
    inputs: tuple[InputConfig, ...] = setting((), doc="host inputs, in the order of channels")
    populations: tuple[PopulationConfig, ...] = setting((), doc="runs of neurons")
    circuits: CircuitsConfig = setting(doc="circuits in use", factory=CircuitsConfig)
    neuron_label: Ints = _each("uint16", "14 bits that a neuron's event carries", 2**14 - 1)
    targets: TargetsConfig = setting(doc="of the calibration", factory=TargetsConfig)
    refractory: RefractoryConfig = setting(doc="refractory periods", factory=RefractoryConfig)
    routing: RoutingConfig = setting(doc="crossbar, drivers, rows, synapses", factory=RoutingConfig)
    host: HostConfig = setting(doc="the host's events", factory=HostConfig)
    background: BackgroundConfig = setting(doc="the chip's own sources of events", factory=BackgroundConfig)
    madc: tuple[int, ...] = setting((), doc="neurons whose membrane the fast ADC sees, at most two", minimum=0)
    cadc: Ints = _each("uint16", "neurons whose membranes the column ADCs see", CIRCUITS - 1)
    unit: Floats = _each("float64", "of each neuron: the model's v per distance of threshold and leak", None)
    rest: Floats = _each("float64", "of each neuron: the model's v at its leak", None, minimum=None)

    @property
    def n_inputs(self) -> int:
        """Channels of all inputs."""
        return sum(math.prod(port.shape) for port in self.inputs)

    @property
    def size(self) -> int:
        """Neurons."""
        return self.neuron_label.size

    def rules(self) -> Iterator[Problem]:
        """Rows that exist, runs that cover all neurons, as many of each as there are neurons."""
        n = self.size
        if not n:
            yield Problem("a network has neurons", "neuron_label", value=0, limit="1 or more")
        names = [port.name for port in self.inputs] + [run.name for run in self.populations]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Problem("a name is used once, among inputs and populations", "populations", value=name)
        neurons = int(self.circuits.neuron.astype(np.int64).max(initial=-1)) + 1
        for where, size in (
            ("circuits.neuron", neurons),
            ("targets.leak", self.targets.leak.size),
            ("refractory.counter", self.refractory.counter.size),
            ("unit", self.unit.size),
            ("rest", self.rest.size),
        ):
            if size != n:
                yield Problem("as many as neurons", where, value=size, limit=n)
        yield from self._labels()
        if self.host.channel.size and int(self.host.channel.max()) >= self.n_inputs:
            yield Problem("no such channel", "host.channel", int(self.host.channel.max()), f"0..{self.n_inputs - 1}")
        if len(self.madc) > MADC_SIGNALS:
            yield Problem("more than the fast ADC sees at once", "madc", len(self.madc), MADC_SIGNALS)
        for neuron in [neuron for neuron in self.madc if neuron >= n]:
            yield Problem("no such neuron", "madc", neuron, f"0..{n - 1}")
        if self.cadc.size and int(self.cadc.max()) >= n:
            yield Problem("no such neuron", "cadc", int(self.cadc.max()), f"0..{n - 1}")
        ends = 0
        for run in self.populations:
            if run.first != ends:
                yield Problem("must follow the one before", f"populations {run.name!r}", value=run.first, limit=ends)
            ends = run.first + run.size
        if ends != n:
            yield Problem("must cover all neurons", "populations", value=ends, limit=n)

    def _labels(self) -> Iterator[Problem]:
        """Bits 8..10 of a neuron's label are not free: its column sets them."""
        _, first = np.unique(self.circuits.neuron, return_index=True)
        if self.circuits.circuit.shape != self.circuits.neuron.shape or first.size != self.size:
            return
        output = event_output(self.circuits.circuit.astype(np.int64)[first] % COLUMNS)
        for k in np.flatnonzero(self.neuron_label >> OUTPUT_SHIFT != output)[:1].tolist():
            reason = "bits 8 and up are the event output of the neuron's column"
            low = int(output[k]) << OUTPUT_SHIFT
            yield Problem(reason, f"neuron_label[{k}]", int(self.neuron_label[k]), f"{low}..{low + 255}")


def equal_lengths(config: Any, first: str) -> Iterator[Problem]:
    """Every array of a table has as many rows as the first."""
    size = len(getattr(config, first))
    for field in attrs.fields(type(config)):
        if len(getattr(config, field.name)) != size:
            yield Problem("one row each", field.name, value=len(getattr(config, field.name)), limit=size)
