"""What the user asks of the blocks around the cores, and whether the chip can do it: sensor, readout, switches."""

from __future__ import annotations

import attrs

from hal.events import Probe
from hal.model import Model
from hal.notes import Notes
from hal_dynapcnn import chips, routing
from hal_dynapcnn.config import DvsLayerConfig
from hal_dynapcnn.layers import Layer
from hal_dynapcnn.options import SpeckMapOptions
from hal_dynapcnn.readout import three

READOUT_SPREAD = 4
"""Feature 4 * i of the last core is class i on 2e and 2f (vendor's notebook on the readout layer)."""


def asked(
    model: Model,
    layers: list[Layer],
    chip: chips.ChipTable,
    options: SpeckMapOptions,
    record: tuple[Probe, ...],
    notes: Notes,
) -> list[Layer]:
    """Say what cannot be, and what changes; the layers, with the features of the last one apart if need be."""
    if options.dvs is not None:
        _sensor(model, layers, options.dvs, notes)
    _switches(layers, chip, options, notes)
    if options.readout == "off":
        for probe in record:
            if probe.variable == "readout":
                notes.refuse(probe.node, "readout", "no readout block is asked for", hint="readout='pins' or 'values'")
        return layers
    name = _readout(model, layers, chip, options, record, notes)
    spread = READOUT_SPREAD if chip.readout_erratum else 1
    return [attrs.evolve(layer, spread=spread) if layer.population == name else layer for layer in layers]


def seen(model: Model, dvs: DvsLayerConfig) -> list[str]:
    """Inputs of the size of what the sensor gives out."""
    shape = routing.sensor_shape(dvs)
    return [name for name in model.inputs if three(model.nodes[name].output_shape) == shape]


def classes(model: Model) -> str:
    """The population whose neurons are the classes: the one before the Output. Only where `asked` refused nothing."""
    return next(p.source for p in model.projections() if p.target == model.outputs[0])


def _sensor(model: Model, layers: list[Layer], dvs: DvsLayerConfig, notes: Notes) -> None:
    found = seen(model, dvs)
    if len(found) != 1:
        shapes = {name: three(model.nodes[name].output_shape) for name in model.inputs}
        have = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        reason = f"{len(found) or 'no'} Inputs are of the size that the sensor gives out; there are: {have}"
        hint = "choose pooling, origin, cut and merge so that it is the size of one Input"
        notes.refuse("", "dvs", reason, wanted=routing.sensor_shape(dvs), limit="one Input", hint=hint)
        return
    (name,) = found
    feeds = [(layer.population, feed) for layer in layers for feed in layer.feeds if feed.source == name]
    if len(feeds) > chips.DVS_DESTINATIONS:
        targets = ", ".join(population for population, _ in feeds)
        reason = f"the sensor has {len(feeds)} destinations, {targets}; it can have {chips.DVS_DESTINATIONS}"
        notes.refuse(name, "destinations", reason, wanted=len(feeds), limit=chips.DVS_DESTINATIONS)
    for population, feed in feeds:
        if feed.feature_shift:
            reason = f"its features would lie at {feed.feature_shift} in {population}; the sensor's begin at 0"
            notes.refuse(name, "feature_shift", reason, wanted=feed.feature_shift, limit=0)
    notes.say("note", name, "dvs", "fed by the sensor, port @dvs; events given under its own name go past the sensor")


def _switches(layers: list[Layer], chip: chips.ChipTable, options: SpeckMapOptions, notes: Notes) -> None:
    """Decimators and balancers."""
    names = [layer.population for layer in layers]
    for name, every in options.decimate.items():
        if _there(name, names, "decimate", notes) and not chip.decimator:
            notes.refuse(name, "decimate", f"{chip.name} has no output decimators")
        else:
            reason = f"the output decimator lets one of {every} spikes leave the core"
            notes.say("changed", name, "decimate", reason, "every spike", f"1 of {every}")
    for name in options.balance:
        if _there(name, names, "balance", notes) and not chip.congestion_balancer:
            notes.refuse(name, "balance", f"{chip.name} has no congestion balancers")
        else:
            notes.say("note", name, "balance", "drops events that come while its core is busy and its buffer full")


def _there(name: str, names: list[str], field: str, notes: Notes) -> bool:
    if name not in names:
        notes.refuse(name, field, "no such population on the chip", hint=f"there are: {', '.join(names)}")
    return name in names


def _readout(
    model: Model,
    layers: list[Layer],
    chip: chips.ChipTable,
    options: SpeckMapOptions,
    record: tuple[Probe, ...],
    notes: Notes,
) -> str:
    """Check what leads to the readout block; the population of the classes, or "" where there is none."""
    if not chip.readout:
        notes.refuse("", "readout", f"{chip.name} has no readout block")
    into = [p for p in model.projections() if p.target in model.outputs]
    by_name = {layer.population: layer for layer in layers}
    if len(into) != 1 or into[0].source not in by_name:
        reason = f"it reads one population, the one before the only Output; {len(into)} populations feed Outputs"
        notes.refuse("", "readout", reason, wanted=len(into), limit=1)
        return ""
    (way,) = into
    layer = by_name[way.source]
    features, *size = layer.out_shape
    if size != [1, 1]:
        notes.refuse(
            way.source, "readout", "classes are features of one pixel", wanted=layer.out_shape, limit="n x 1 x 1"
        )
    if features > chips.READOUT_CLASSES_MAX:
        limit = chips.READOUT_CLASSES_MAX
        notes.refuse(
            way.source, "readout", "too many classes", wanted=features, limit=limit, hint="train fewer classes"
        )
    others = [other.population for other in layers for feed in other.feeds if feed.source == way.source]
    most = 0 if chip.readout_erratum else chips.CORE_DESTINATIONS - 1
    if len(others) > most:
        reason = f"the readout block is one of its destinations, and it also feeds {', '.join(others)}"
        why = "its features are spread four apart for the block" if chip.readout_erratum else "a core has two"
        notes.refuse(way.source, "destinations", reason, wanted=len(others), limit=most, hint=why)
    spikes = [probe.node for probe in record if probe.variable == "spikes"]
    if options.readout == "values" and spikes:
        reason = f"while the block sends values no spikes can be recorded, and {', '.join(spikes)} are asked for"
        notes.refuse(spikes[0], "readout", reason, hint="readout='pins'")
    for probe in record:
        if probe.variable == "readout" and probe.node != way.source:
            notes.refuse(probe.node, "readout", f"the readout block reads {way.source}", hint=f"probe {way.source}")
    when = "at every tick of the slow clock" if options.readout == "values" else "at interrupts"
    reason = f"the readout block reports the class of the largest average {when}; give @slow_clock or slow_clock_hz"
    notes.say("changed", way.target, "readout", reason, "spikes", "classes")
    return way.source
