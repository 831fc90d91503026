"""From a model to the registers of a chip: limits, quantisation, cores, placement, losses."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal import nodes
from hal.errors import DoesNotFitError
from hal.events import Port, Probe
from hal.fit import Finding, FitReport, FitRow
from hal.mapper import Mapper, Plan
from hal.mapping import Fate, Mapping, Placement
from hal.model import Model
from hal.probes import recorded_events
from hal_dynapcnn import chips, cores, integers, peripherals, readout, registers, routing, synops
from hal_dynapcnn.allocator import Allocation
from hal_dynapcnn.config import (
    SpeckConfig,
)
from hal_dynapcnn.layers import Layer, Reader
from hal_dynapcnn.options import SpeckMapOptions


class SpeckMapper(Mapper):
    """Graphs of convolution or dense layers with IF neurons and sum pooling."""

    def _plan(
        self,
        model: Model,
        options: SpeckMapOptions,
        record: tuple[Probe, ...],
        like: Mapping | None,
        seed: int,
        rates_hz: MappingABC[str, float] | None,
    ) -> Plan:
        chip = chips.CHIPS[self.spec.name]
        reader = Reader(model, options)
        layers, findings = reader.layers, reader.findings
        if options.drop_zero_bias:
            layers = [attrs.evolve(layer, bias=None) if not np.any(layer.bias) else layer for layer in layers]
        # with layers missing, what could be said of the others would be wrong
        if reader.complete:
            layers = peripherals.asked(model, layers, chip, options, record, reader.notes)
        rows = [row for layer in layers for row in cores.limits(layer)]
        needs = [cores.memory(layer) for layer in layers]
        allocation = Allocation(cores=None, problems=())
        if reader.complete:
            asked = options if like is None else cores.as_before(options, like, layers)
            allocation, orders = cores.assign(needs, chip, asked, layers, model.inputs)
            findings += orders
        rows += cores.memory_rows(layers, needs, allocation, chip)
        rows += synops.rows(model, layers, allocation.cores, chip, options.synops_limits, rates_hz, findings)
        if any(finding.level == "refused" for finding in findings):
            return Plan(rows=rows, findings=findings)
        quantised = [integers.quantised_layer(layer, options.quantisation, findings) for layer in layers]
        stored = [q for q in quantised if q is not None]
        fits = all(row.ok for row in rows) and not any(finding.level == "refused" for finding in findings)
        if allocation.cores is None or not fits:
            return Plan(rows=rows, findings=findings)
        integers.identities(layers, stored, findings)
        integers.copies(layers, stored, findings)
        return Plan(
            rows=rows,
            findings=findings,
            config=registers.made(chip, model, layers, stored, allocation.cores, options, record),
            placement=_placement(model, layers, allocation.cores),
            fates=_fates(model, reader),
            losses=integers.losses(layers, stored),
            realised=integers.realised(layers, stored),
            step_ns=model.semantics.dt_ns,
        )

    def _adopt(self, config: SpeckConfig) -> Mapping:
        said = routing.refusals(config)
        if config.chip != self.spec.name:
            said.append(
                Finding(
                    level="refused",
                    node="",
                    field="chip",
                    reason=f"registers of a {config.chip}",
                    wanted=config.chip,
                    realised=self.spec.name,
                )
            )
        report = FitReport(device=self.spec.name, findings=(*said, *routing.remarks(config)))
        if not report.fits:
            raise DoesNotFitError(report)
        shapes, inputs = routing.shapes(config), routing.ports(config)
        parts: list[dict[str, Any]] = [
            {"node": name, "core": -1, **_coordinates(shape)} for name, shape in inputs.items()
        ]
        parts += [{"node": f"core{core}", "core": core, **_coordinates(shape)} for core, shape in shapes.items()]
        monitored = [core for core in shapes if config.cnn_layers[core].monitor_enable]
        return Mapping(
            device=self.spec.name,
            config=config,
            placement=Placement.build(parts, [column.name for column in self.spec.placement_extras]),
            fit=report,
            inputs=tuple(Port(name, shape) for name, shape in inputs.items()),
            outputs=(*(Port(f"core{core}", shapes[core]) for core in monitored), *_readout_port(config)),
        )

    def _edit(self, mapping: Mapping, config: SpeckConfig) -> Sequence[FitRow | Finding]:
        said = routing.refusals(config) + routing.remarks(config)
        before = mapping.config
        for tap in readout.taps(mapping, recorded_events(mapping)):
            if not config.cnn_layers[tap.core].monitor_enable:
                said.append(
                    Finding(
                        level="changed",
                        node=tap.key,
                        field=f"cnn_layers[{tap.core}].monitor_enable",
                        reason="the core is not monitored: nothing of it is recorded",
                    )
                )
        if config.chip != before.chip or _placed(config, mapping) != _placed(before, mapping):
            said.append(
                Finding(
                    level="refused",
                    node="",
                    field="cnn_layers",
                    reason="edited registers keep chip and shapes",
                    hint="map again, or adopt the registers as they are",
                )
            )
        return said


def _readout_port(config: SpeckConfig) -> list[Port]:
    """Where the classes of the readout block come out."""
    block = config.readout
    on = block.enable and (block.monitor_enable or block.readout_pin_monitor_enable)
    return [Port("readout", (chips.READOUT_CLASSES_MAX,))] if on and any(routing.readout_feeds(config)) else []


def _placed(config: SpeckConfig, mapping: Mapping) -> list[Any]:
    """What the placement of a mapping rests on."""
    cores = [core for core in np.unique(mapping.placement.rows["core"]) if core >= 0]
    entries = [(entry.port, config.cnn_layers[entry.layer].dimensions.input_shape) for entry in config.entries]
    return [sorted(entries, key=str), *(config.cnn_layers[core].dimensions.output_shape for core in cores)]


def _coordinates(shape: tuple[int, ...], spread: int = 1) -> dict[str, NDArray[np.int64]]:
    """index, feature, y, x and the neuron's address of every element of (features, y, x).

    With `spread` only every so-manieth feature of the core is one of the model's.
    The address is y << (bits of features + bits of columns) | x << bits of features | feature (the vendor's neuron
    read-out; sinabs 3.1.3 shifts y by the bits of the rows instead, which is wrong for maps that are not square).
    """
    features, height, width = (*shape, 1, 1)[:3]
    feature, y, x = (axis.ravel() for axis in np.indices((features, height, width)))
    feature = feature * spread
    bits_f, bits_x = ((features - 1) * spread).bit_length(), (width - 1).bit_length()
    return {
        "index": np.arange(feature.size),
        "feature": feature,
        "y": y,
        "x": x,
        "neuron": (y << (bits_f + bits_x)) | (x << bits_f) | feature,
    }


def _placement(model: Model, layers: list[Layer], cores: tuple[int, ...]) -> Placement:
    parts: list[dict[str, Any]] = [
        {"node": name, "core": -1, **_coordinates(model.nodes[name].output_shape)} for name in model.inputs
    ]
    parts += [
        {"node": layer.population, "core": core, **_coordinates(layer.out_shape, layer.spread)}
        for layer, core in zip(layers, cores, strict=True)
    ]
    return Placement.build(parts, ("feature", "y", "x"))


def _fates(model: Model, reader: Reader) -> list[Fate]:
    """One line per node. What serves several branches is folded onto the first of them and names them all."""
    fates = {name: Fate(node=name, fate="folded") for name in (*model.inputs, *model.outputs)}
    onto: dict[str, list[str]] = {}
    for layer in reader.layers:
        fates[layer.population] = Fate(node=layer.population, fate="chip")
        for feed in layer.feeds:
            for name in feed.folded:
                pool = isinstance(model.nodes[name], nodes.SumPool2d)
                onto.setdefault(name, []).append(feed.source if pool else layer.population)
    for name, parts in onto.items():
        several = list(dict.fromkeys(parts))
        reason = "destination pooling" if isinstance(model.nodes[name], nodes.SumPool2d) else ""
        if len(several) > 1:
            reason = f"{reason or 'part'} of {', '.join(several)}"
        fates[name] = Fate(node=name, fate="folded", onto=several[0], reason=reason)
    for name in reader.host_nodes:
        before = f"{fates[name].reason}; before the Output: " if name in fates else ""
        host = Fate(node=name, fate="host", reason="monitors tap before pooling: done at read-out")
        fates[name] = attrs.evolve(fates.get(name, host), reason=before + host.reason)
    return list(fates.values())
