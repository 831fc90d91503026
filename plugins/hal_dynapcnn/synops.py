"""Synaptic operations per second that layers ask of their cores at given rates of events, and the limits to that.

One synaptic operation is one update of a neuron (vendor's training tips): an event on a core updates every output
feature at every place of the output map that the kernel reaches from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hal import nodes
from hal.fit import Finding, FitRow
from hal.model import Model
from hal_dynapcnn import chips
from hal_dynapcnn.layers import Layer

RESOURCE = "synops/s"
"""Name and unit of the resource."""


def sources(layer: Layer) -> tuple[str, ...]:
    """The nodes whose events a layer takes in, one entry for every connection."""
    return tuple(feed.source for feed in layer.feeds)


def per_event(layer: Layer) -> float:
    """Synaptic operations of one event, on average over its position: features * kx * ky / (sx * sy).

    Along an axis no event reaches more places than the output map has, so that a dense layer, a kernel over its whole
    input, counts one place. That events near a border reach fewer is left out.
    """
    features, *size = layer.core_shape
    reached = float(features)
    for kernel, stride, places in zip(layer.weights.shape[2:], layer.stride, size, strict=True):
        reached *= min(kernel / stride, places)
    return reached


def per_second(layer: Layer, rates_hz: Mapping[str, float]) -> float:
    """Synaptic operations per second of one layer: the rates of its sources add. KeyError where one has no rate.

    rates_hz: events per second of whole nodes, before pooling: a pooled spike is still one event.
    """
    return sum(rates_hz[source] for source in sources(layer)) * per_event(layer)


def rows(
    model: Model,
    layers: Sequence[Layer],
    cores: Sequence[int] | None,
    chip: chips.ChipTable,
    limits: Mapping[str, float],
    rates_hz: Mapping[str, float] | None,
    findings: list[Finding],
) -> list[FitRow]:
    """One row for each layer whose sources all have a rate; nothing is guessed for the others.

    Args:
        model: the part meant for the chip.
        layers: what became of its populations, some of which may be missing.
        cores: the core of each layer; None where they have none.
        chip: which remedies there are.
        limits: population -> synops/s, instead of `chips.SYNOPS_PER_S`.
        rates_hz: node -> events per second; None: nobody asks, no rows.
        findings: takes a refusal for every limit on what is no population, and one note on missing rates.
    """
    findings += _strange(model, limits)
    if rates_hz is None:
        return []
    known = [i for i, layer in enumerate(layers) if all(source in rates_hz for source in sources(layer))]
    findings += _missing([layer for i, layer in enumerate(layers) if i not in known], rates_hz)
    core_of = {} if cores is None else {layer.population: core for layer, core in zip(layers, cores, strict=True)}
    made = []
    for layer in (layers[i] for i in known):
        needed = per_second(layer, rates_hz)
        limit = limits.get(layer.population, chips.SYNOPS_PER_S)
        core = core_of.get(layer.population)
        made.append(
            FitRow(
                resource=RESOURCE,
                place="" if core is None else f"core {core}",
                node=layer.population,
                needed=needed,
                limit=limit,
                unit=RESOURCE,
                hint=_remedies(layer, core_of, chip, layer.population in limits) if needed > limit else "",
                when="run",
            )
        )
    return made


def _strange(model: Model, limits: Mapping[str, float]) -> list[Finding]:
    """Refusals of limits for what has no core."""
    names = [node.name for node in model.populations() if not isinstance(node, nodes.Input)]
    return [
        Finding(
            level="refused",
            node=name if name in model.nodes else "",
            field="synops_limits",
            reason=f"no population {name!r} on the chip",
            wanted=limit,
            hint=f"there are: {', '.join(names)}",
        )
        for name, limit in limits.items()
        if name not in names
    ]


def _missing(layers: Sequence[Layer], rates_hz: Mapping[str, float]) -> list[Finding]:
    """One note for all layers without an estimate."""
    if not layers:
        return []
    lacking = dict.fromkeys(source for layer in layers for source in sources(layer) if source not in rates_hz)
    fed = ", ".join(layer.population for layer in layers)
    return [
        Finding(
            level="note",
            node="",
            field=RESOURCE,
            reason=f"no rate is known of {', '.join(lacking)}: nothing is said of the load of {fed}",
            hint="rates are not guessed: give --rate NODE=20kHz, or measure them with --rate-from RECORDING",
        )
    ]


def _remedies(layer: Layer, core_of: Mapping[str, int], chip: chips.ChipTable, asked: bool) -> str:
    """What brings a layer under its limit; only what is left to do."""
    remedies = []
    if max(layer.weights.shape[2:]) > 1:
        remedies.append("a smaller kernel")
    if layer.out_shape[0] > 1:
        remedies.append("fewer channels")
    if max(layer.out_shape[1:]) > 1 and min(layer.stride) < chips.STRIDES[-1]:
        remedies.append("a larger stride")
    before = [f"{source} (core {core_of[source]})" for source in dict.fromkeys(sources(layer)) if source in core_of]
    if before and chip.decimator:
        remedies.append(f"the output decimator of {', '.join(before)}")
    remedies.append("fewer events")
    whose = "the limit is that of synops_limits" if asked else "the limit is an assumption, synops_limits sets another"
    return f"{', '.join(remedies[:-1])}{' or ' if remedies[:-1] else ''}{remedies[-1]}; {whose}"
