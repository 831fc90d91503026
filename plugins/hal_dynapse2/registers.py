"""Everything that was decided, as registers; and what registers alone tell: places, and neurons nobody hears."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hal.events import Probe
from hal.fit import Finding
from hal.mapping import Placement
from hal.model import Model
from hal_dynapse2.allocator import Allocation
from hal_dynapse2.cells import Cells
from hal_dynapse2.config import (
    ChipsConfig,
    CoresConfig,
    Dynapse2Config,
    InputConfig,
    NeuronsConfig,
    PopulationConfig,
)
from hal_dynapse2.limits import CORES, LATCHES, NEURONS
from hal_dynapse2.packing import Places
from hal_dynapse2.routes import departures

if TYPE_CHECKING:
    from hal_dynapse2.mapper import Settled

NONE = -1
"""In the placement: no tag."""


def grid(size: tuple[int, int]) -> ChipsConfig:
    """Chips in rows, the first in column 1 of row 0."""
    x, y = np.meshgrid(np.arange(1, size[0] + 1), np.arange(size[1]))
    return ChipsConfig(x=x.ravel(), y=y.ravel())


def monitored(model: Model, cells: Sequence[Cells], record: tuple[Probe, ...]) -> NDArray[np.bool_]:
    """(n,) neurons whose events the host hears: of populations that feed Outputs, and of probed ones."""
    wanted = {p.source for p in model.projections() if p.target in model.outputs}
    wanted |= {probe.node for probe in record if probe.variable == "spikes"}
    wanted |= {
        p.source
        for p in model.projections()
        for probe in record
        if probe.variable == "spikes" and probe.node == p.target
    }
    return np.concatenate([np.full(c.size, c.name in wanted) for c in cells])


def config(
    model: Model,
    cells: Sequence[Cells],
    places: Places,
    chips: ChipsConfig,
    settled: Settled,
    allocation: Allocation,
    record: tuple[Probe, ...],
    *,
    exponential: bool,
) -> Dynapse2Config:
    """All of it."""
    latches = np.zeros((places.chip.size, len(LATCHES)), bool)
    latches[:, LATCHES.index("so_dc")] = np.concatenate([c.drive > 0 for c in cells])
    latches[:, LATCHES.index("soif_type")] = not exponential
    populations, first = [], 0
    for c in cells:
        populations.append(PopulationConfig(name=c.name, first=first, shape=c.shape))
        first += c.size
    firsts = {run.name: run.first for run in populations}
    probed = np.full(settled.numbers.size, -1, np.int64)
    for probe in record:
        if probe.variable == "imem":
            size = next(c.size for c in cells if c.name == probe.node)
            rows = firsts[probe.node] + np.asarray(range(size) if probe.indices is None else probe.indices)
            probed[settled.of_neuron[rows]] = places.neuron[rows]
    return Dynapse2Config(
        step_ns=model.semantics.dt_ns,
        inputs=tuple(InputConfig(name=name, shape=model.nodes[name].output_shape) for name in model.inputs),
        populations=tuple(populations),
        chips=chips,
        neurons=NeuronsConfig(chip=places.chip, core=places.core, neuron=places.neuron, latches=latches),
        cam=allocation.cam,
        sram=allocation.sram,
        cores=CoresConfig(
            chip=settled.numbers // CORES,
            core=settled.numbers % CORES,
            coarse=np.stack([core.coarse for core in settled.cores]),
            fine=np.stack([core.fine for core in settled.cores]),
            asked=np.stack([core.asked for core in settled.cores]),
            wanted=np.stack([core.wanted for core in settled.cores]),
            monitored=probed,
        ),
        host=allocation.host,
    )


def placement(config: Dynapse2Config) -> Placement:
    """Where everything is.

    tag: what its events are sent with on the grid, -1 for none, the first of several. monitor: what they reach the host
    with, -1 where it does not hear them.
    """
    parts: list[dict[str, Any]] = []
    start = 0
    tags = np.full(config.n_inputs, NONE, np.int64)
    tags[config.host.channel[::-1]] = config.host.tag[::-1]
    for port in config.inputs:
        index = np.arange(int(np.prod(port.shape)))
        mine = tags[start : start + index.size]
        parts.append({"node": port.name, "index": index, "core": -1, "neuron": index, "tag": mine, "monitor": NONE})
        start += index.size
    tag, monitor = _tags(config)
    for run in config.populations:
        rows = slice(run.first, run.first + run.size)
        parts.append(
            {
                "node": run.name,
                "index": np.arange(run.size),
                "chip": config.neurons.chip[rows],
                "core": config.neurons.core[rows],
                "neuron": config.neurons.neuron[rows],
                "tag": tag[rows],
                "monitor": monitor[rows],
            }
        )
    return Placement.build(parts, ("tag", "monitor"))


def _tags(config: Dynapse2Config) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n,) each: tag on the grid, and tag to the host."""
    leaving = departures(config)
    monitor = np.full(config.neurons.chip.size, NONE, np.int64)
    monitor[leaving.neuron[::-1]] = leaving.tag[::-1]
    tag = np.full(config.neurons.chip.size, NONE, np.int64)
    x = config.chips.x[config.neurons.chip].astype(np.int64)[:, None] + config.sram.x_hop
    row, slot = np.nonzero((config.sram.core_mask > 0) & (x > 0))
    tag[row[::-1]] = config.sram.tag[row[::-1], slot[::-1]]
    return tag, monitor


def unheard(config: Dynapse2Config) -> Iterator[Finding]:
    """Populations whose neurons the host does not hear."""
    _, monitor = _tags(config)
    for run in config.populations:
        silent = int((monitor[run.first : run.first + run.size] == NONE).sum())
        if silent:
            yield Finding(
                level="note",
                node=run.name,
                field="monitor",
                reason=f"{silent} of its neurons have no destination off the grid: nothing is recorded of them",
            )


__all__ = ["CORES", "NEURONS", "config", "grid", "monitored", "placement", "unheard"]
