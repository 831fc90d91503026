"""The registers of DYNAP-SE2: per neuron 64 CAM and 4 SRAM entries and 14 latches, per core its biases, in arrays.

A row stands for a neuron in use; every other neuron of the chips is as after power-on: no entries, no latches.
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
from hal_dynapse2 import biases
from hal_dynapse2.limits import (
    CAM_ENTRIES,
    CORES,
    DENDRITES,
    LATCHES,
    MAX_GRID,
    MAX_HOP,
    NEURONS,
    SRAM_ENTRIES,
    TAGS,
)
from hal_dynapse2.parameters import CORE_PARAMETERS

Ints = NDArray[Any]

PARAMETERS = tuple(CORE_PARAMETERS)
"""Columns of a core's biases."""
MAX_CHIPS = MAX_GRID * (MAX_GRID + 1)


def _none(dtype: str, *rest: int) -> Any:
    return lambda: np.zeros((0, *rest), dtype)


def ints(dtype: str, doc: str, maximum: int, *rest: int, minimum: int = 0) -> Any:
    """One value (or row of them) per neuron, core, chip or destination."""
    return array(dtype, (None, *rest), doc=doc, minimum=minimum, maximum=maximum, factory=_none(dtype, *rest))


def flags(doc: str, *rest: int) -> Any:
    """Switches, as `ints`."""
    return array("bool", (None, *rest), doc=doc, factory=_none("bool", *rest))


@attrs.frozen(kw_only=True)
class InputConfig:
    """Where the host's events come from."""

    name: str = setting(doc="the model's name of the input")
    shape: tuple[int, ...] = setting(doc="shape of one step", minimum=1)


@attrs.frozen(kw_only=True)
class PopulationConfig:
    """A run of rows under one name."""

    name: str = setting(doc="the model's name of the population")
    first: int = setting(0, doc="its first row", minimum=0)
    shape: tuple[int, ...] = setting(doc="shape; rows follow in C order", minimum=1)

    @property
    def size(self) -> int:
        """Neurons."""
        return math.prod(self.shape)


@attrs.frozen(kw_only=True)
class ChipsConfig:
    """The grid, (k,) each: where each chip stands. Hops are differences of these."""

    x: Ints = ints("uint8", "column, counted from 1: the host's virtual chip is in column 0", MAX_GRID, minimum=1)
    y: Ints = ints("uint8", "row", MAX_GRID)

    def rules(self) -> Iterator[Problem]:
        """One place each, and no two chips at one."""
        yield from equal_lengths(self, "x")
        places = list(zip(self.x.tolist(), self.y.tolist(), strict=False))
        if len(set(places)) != len(places):
            yield Problem("one chip at a place", "x", value=len(places), limit=len(set(places)))


@attrs.frozen(kw_only=True)
class NeuronsConfig:
    """Neurons in use, (n,) each: where they sit, and their latches."""

    chip: Ints = ints("uint8", "row of the chip table", MAX_CHIPS - 1)
    core: Ints = ints("uint8", "core of the chip", CORES - 1)
    neuron: Ints = ints("uint8", "neuron of the core", NEURONS - 1)
    latches: NDArray[np.bool_] = flags(f"switches, in this order: {', '.join(LATCHES)}", len(LATCHES))

    @property
    def place(self) -> NDArray[np.int64]:
        """(n,) number of the neuron over all chips."""
        return (self.chip.astype(np.int64) * CORES + self.core) * NEURONS + self.neuron

    @property
    def core_place(self) -> NDArray[np.int64]:
        """(n,) number of its core over all chips."""
        return self.chip.astype(np.int64) * CORES + self.core

    def latch(self, name: str) -> NDArray[np.bool_]:
        """(n,) one switch, by name."""
        return np.asarray(self.latches[:, LATCHES.index(name)])

    def rules(self) -> Iterator[Problem]:
        """One value each, and no neuron twice."""
        yield from equal_lengths(self, "chip")
        if len({self.chip.size, self.core.size, self.neuron.size}) == 1:
            twice = self.chip.size - np.unique(self.place).size
            if twice:
                yield Problem("no neuron twice", "neuron", value=f"{twice} rows again", limit="one row per neuron")


@attrs.frozen(kw_only=True)
class CamConfig:
    """What neurons listen to, (n, 64) each."""

    dendrite: Ints = ints("uint16", "0 none (unused), 128 shunt, 256 nmda, 512 gaba, 1024 ampa", 1024, CAM_ENTRIES)
    mask: Ints = ints("uint8", "bit k: base current Iw_k of the core", 15, CAM_ENTRIES)
    tag: Ints = ints("uint16", "what it reacts to", TAGS - 1, CAM_ENTRIES)
    stp: NDArray[np.bool_] = flags("short-term depression; emulated as off", CAM_ENTRIES)
    precise_delay: NDArray[np.bool_] = flags("delay of one class; emulated as none", CAM_ENTRIES)
    mismatched_delay: NDArray[np.bool_] = flags("delay of the other class; emulated as none", CAM_ENTRIES)

    def rules(self) -> Iterator[Problem]:
        """One row each, and dendrites there are."""
        yield from equal_lengths(self, "dendrite")
        unknown = self.dendrite[~np.isin(self.dendrite, list(DENDRITES.values()))]
        if unknown.size:
            yield Problem("no such dendrite", "dendrite", value=int(unknown[0]), limit=tuple(DENDRITES.values()))


@attrs.frozen(kw_only=True)
class SramConfig:
    """Where neurons' events go, (n, 4) each. A destination reaches the cores of its mask on one chip."""

    core_mask: Ints = ints("uint8", "bit c: core c of the target chip; 0: unused", 15, SRAM_ENTRIES)
    x_hop: Ints = ints("int8", "chips to the east", MAX_HOP, SRAM_ENTRIES, minimum=-MAX_HOP)
    y_hop: Ints = ints("int8", "chips to the north", MAX_HOP, SRAM_ENTRIES, minimum=-MAX_HOP)
    tag: Ints = ints("uint16", "what it is sent with", TAGS - 1, SRAM_ENTRIES)

    def rules(self) -> Iterator[Problem]:
        """One row each."""
        yield from equal_lengths(self, "core_mask")


@attrs.frozen(kw_only=True)
class CoresConfig:
    """Cores in use, (c,) each: their biases, of which the vendor's tool takes (coarse, fine)."""

    chip: Ints = ints("uint8", "row of the chip table", MAX_CHIPS - 1)
    core: Ints = ints("uint8", "core of the chip", CORES - 1)
    coarse: Ints = ints("uint8", f"columns: {', '.join(PARAMETERS)}", 5, len(PARAMETERS))
    fine: Ints = ints("uint8", "of the same parameters", 255, len(PARAMETERS))
    asked: NDArray[np.bool_] = flags("whether a current was asked for", len(PARAMETERS))
    wanted: NDArray[np.float64] = array(
        "float64", (None, len(PARAMETERS)), doc="that current, 0 where none was", unit="A", minimum=0,
        factory=_none("float64", len(PARAMETERS)),
    )  # fmt: skip
    monitored: Ints = ints("int16", "neuron whose membrane can be seen, -1: none", NEURONS - 1, minimum=-1)

    @property
    def place(self) -> NDArray[np.int64]:
        """(c,) number of the core over all chips."""
        return self.chip.astype(np.int64) * CORES + self.core

    def realised(self) -> NDArray[np.float64]:
        """(c, parameters) A: what the bias generator really gives; nan where no factor is published."""
        made = np.full(self.coarse.shape, np.nan)
        for column, (name, scale) in enumerate(CORE_PARAMETERS.items()):
            if scale is not None:
                made[:, column] = biases.actual(name, self.coarse[:, column], self.fine[:, column])
        return made

    def rules(self) -> Iterator[Problem]:
        """One value each, and no core twice."""
        yield from equal_lengths(self, "chip")
        if self.chip.size == self.core.size and np.unique(self.place).size != self.chip.size:
            yield Problem("one row per core", "core", value=self.chip.size, limit=np.unique(self.place).size)


@attrs.frozen(kw_only=True)
class HostConfig:
    """What the host sends for an event of a channel, (d,) each: one destination per chip that listens."""

    channel: Ints = array(
        "int32", (None,), doc="channel, over all inputs", minimum=0, factory=_none("int32")
    )  # fmt: skip
    core_mask: Ints = ints("uint8", "bit c: core c of the target chip", 15)
    x_hop: Ints = ints("int8", "chips to the east of chip 0", MAX_HOP, minimum=-MAX_HOP)
    y_hop: Ints = ints("int8", "chips to the north of chip 0", MAX_HOP, minimum=-MAX_HOP)
    tag: Ints = ints("uint16", "what it is sent with", TAGS - 1)

    def rules(self) -> Iterator[Problem]:
        """One value each."""
        yield from equal_lengths(self, "channel")


@attrs.frozen(kw_only=True)
class Dynapse2Config:
    """A network on its chips."""

    step_ns: int | None = setting(None, doc="step of the clocked device; None: continuous time", unit="ns", minimum=1)
    inputs: tuple[InputConfig, ...] = setting((), doc="host inputs, in the order of channels")
    populations: tuple[PopulationConfig, ...] = setting((), doc="runs of rows")
    chips: ChipsConfig = setting(doc="the grid", factory=ChipsConfig)
    neurons: NeuronsConfig = setting(doc="neurons in use", factory=NeuronsConfig)
    cam: CamConfig = setting(doc="synapses", factory=CamConfig)
    sram: SramConfig = setting(doc="destinations", factory=SramConfig)
    cores: CoresConfig = setting(doc="cores in use", factory=CoresConfig)
    host: HostConfig = setting(doc="the host's events", factory=HostConfig)

    @property
    def n_inputs(self) -> int:
        """Channels of all inputs."""
        return sum(math.prod(port.shape) for port in self.inputs)

    def rules(self) -> Iterator[Problem]:
        """Rows that exist, runs that cover all neurons, a row for each core in use."""
        n, chips = self.neurons.chip.size, self.chips.x.size
        if not n:
            yield Problem("a network has neurons", "neurons", value=0, limit="1 or more")
        names = [port.name for port in self.inputs] + [run.name for run in self.populations]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Problem("a name is used once, among inputs and populations", "populations", value=name)
        for where, size in (("cam", len(self.cam.dendrite)), ("sram", len(self.sram.core_mask))):
            if size != n:
                yield Problem("one row per neuron", where, value=size, limit=n)
        for where, rows, count in (
            ("neurons.chip", self.neurons.chip, chips),
            ("cores.chip", self.cores.chip, chips),
            ("host.channel", self.host.channel, self.n_inputs),
        ):
            if rows.size and int(rows.max()) >= count:
                yield Problem("no such row", where, value=int(rows.max()), limit=f"0..{count - 1}")
        missing = np.setdiff1d(self.neurons.core_place, self.cores.place)
        if missing.size:
            where = f"chip {missing[0] // CORES}, core {missing[0] % CORES}"
            yield Problem("a core in use has biases", "cores", value=where, limit="one row of cores")
        ends = 0
        for run in self.populations:
            if run.first != ends:
                yield Problem("must follow the one before", f"populations {run.name!r}", value=run.first, limit=ends)
            ends = run.first + run.size
        if ends != n:
            yield Problem("must cover all neurons", "populations", value=ends, limit=n)


def equal_lengths(config: Any, first: str) -> Iterator[Problem]:
    """Every array of a table has as many rows as the first."""
    size = len(getattr(config, first))
    for field in attrs.fields(type(config)):
        if len(getattr(config, field.name)) != size:
            yield Problem("one row each", field.name, value=len(getattr(config, field.name)), limit=size)
