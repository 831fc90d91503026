"""From an allocation to the chip's registers; and where everything is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hal.events import Probe
from hal.mapping import Placement
from hal.model import Model
from hal_brainscales2.allocator import Allocation
from hal_brainscales2.cells import Cells
from hal_brainscales2.config import (
    BrainScaleS2Config,
    CircuitsConfig,
    HostConfig,
    InputConfig,
    PopulationConfig,
    RefractoryConfig,
    RoutingConfig,
    TargetsConfig,
)
from hal_brainscales2.limits import COLUMNS
from hal_brainscales2.options import MapOptions
from hal_brainscales2.refractory import Refractory


def registers(
    model: Model,
    cells: Sequence[Cells],
    allocation: Allocation,
    scale: float,
    **settings: Any,
) -> BrainScaleS2Config:
    """Of an allocation that fits. settings: as of `neurons` and `readers`, and of time."""
    tables, where = allocation.tables, allocation.placement
    if tables is None or where is None:
        raise TypeError("an allocation that fits has tables")
    starts = np.concatenate([[0], np.cumsum([c.size for c in cells])]).astype(int).tolist()
    return BrainScaleS2Config(
        scale=scale,
        inputs=tuple(InputConfig(name=name, shape=model.nodes[name].output_shape) for name in model.inputs),
        populations=tuple(
            PopulationConfig(name=c.name, first=first, shape=c.shape)
            for c, first in zip(cells, starts[:-1], strict=True)
        ),
        circuits=CircuitsConfig(circuit=where.circuit, neuron=np.repeat(np.arange(starts[-1]), np.diff(where.ptr))),
        neuron_label=tables.neuron_label,
        routing=RoutingConfig(
            crossbar_mask=tables.crossbar_mask,
            crossbar_target=tables.crossbar_target,
            driver_on=tables.driver_group >= 0,
            driver_mask=tables.driver_mask,
            row_sign=tables.row_sign,
            weight=tables.weight,
            label=tables.label,
        ),
        host=HostConfig(channel=tables.event_source, label=tables.event_label),
        **settings,
    )


def neurons(cells: Sequence[Cells], targets: TargetsConfig, made: Refractory, options: MapOptions) -> dict[str, Any]:
    """Fields of `BrainScaleS2Config` that say what neurons are like, wherever they are."""
    return {
        "targets": targets,
        "synapse_dac_bias": options.synapse_dac_bias,
        "refractory": RefractoryConfig(
            counter=made.counter,
            holdoff_code=made.holdoff_code,
            fast=made.fast,
            fast_scale=made.fast_scale,
            slow_scale=made.slow_scale,
        ),
        "unit": np.concatenate([c.unit for c in cells]),
        "rest": np.concatenate([c.rest for c in cells]),
    }


def readers(cells: Sequence[Cells], record: Sequence[Probe]) -> dict[str, Any]:
    """Fields of `BrainScaleS2Config` that say whose membranes are read, and by which converter."""
    first, read = 0, {"v_madc": list[int](), "v_cadc": list[int]()}
    for c in cells:
        if not c.spiking:
            read["v_cadc"] += range(first, first + c.size)
        for probe in record:
            if probe.node == c.name and probe.variable in read:
                index = range(c.size) if probe.indices is None else probe.indices
                read[probe.variable] += [first + k for k in index]
        first += c.size
    return {"madc": tuple(read["v_madc"]), "cadc": np.unique(np.array(read["v_cadc"], np.int64))}


def placement(config: BrainScaleS2Config) -> Placement:
    """One row per circuit: core is the hemisphere, neuron the column; label: of the events that leave it."""
    parts_: list[dict[str, Any]] = []
    first = 0
    for port in config.inputs:
        index = np.arange(int(np.prod(port.shape)))
        labels = np.full(config.n_inputs, -1, np.int64)
        labels[config.host.channel[::-1]] = config.host.label[::-1]
        mine = labels[first : first + index.size]
        parts_.append({"node": port.name, "index": index, "core": -1, "neuron": index, "label": mine})
        first += index.size
    neuron = config.circuits.neuron.astype(np.int64)
    part = np.arange(neuron.size) - np.searchsorted(neuron, neuron)
    core, column = np.divmod(config.circuits.circuit.astype(np.int64), COLUMNS)
    for run in config.populations:
        mine = np.flatnonzero((neuron >= run.first) & (neuron < run.first + run.size))
        parts_.append(
            {
                "node": run.name,
                "index": neuron[mine] - run.first,
                "part": part[mine],
                "core": core[mine],
                "neuron": column[mine],
                "label": config.neuron_label[neuron[mine]],
            }
        )
    return Placement.build(parts_, ("label",))
