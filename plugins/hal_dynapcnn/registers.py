"""From layers on cores to the registers of a chip."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.events import Probe
from hal.model import Model
from hal_dynapcnn import chips, peripherals
from hal_dynapcnn.config import (
    DECIMATION,
    CnnLayerConfig,
    Destination,
    Dimensions,
    DvsDestination,
    DvsFilterConfig,
    DvsLayerConfig,
    Entry,
    FeatureMap,
    PaddingXY,
    ReadoutConfig,
    SizeXY,
    SpeckConfig,
    StrideXY,
)
from hal_dynapcnn.layers import Layer
from hal_dynapcnn.merging import Feed
from hal_dynapcnn.options import SpeckMapOptions
from hal_dynapcnn.quantise import Quantised

Routes = dict[str, list[tuple[int, Feed]]]


def made(
    chip: chips.ChipTable,
    model: Model,
    layers: list[Layer],
    quantised: list[Quantised],
    cores: tuple[int, ...],
    options: SpeckMapOptions,
    record: tuple[Probe, ...],
) -> SpeckConfig:
    """All registers of a chip."""
    registers = [CnnLayerConfig() for _ in range(chip.n_cores)]
    routes = _routes(model, layers, cores)
    monitored = _monitored(model, options, record)
    for layer, q, core in zip(layers, quantised, cores, strict=True):
        registers[core] = _core(layer, q, routes, options, layer.population in monitored)
    if options.readout != "off":
        core = cores[[layer.population for layer in layers].index(peripherals.classes(model))]
        (first, _) = registers[core].destinations
        block = Destination(enable=True, layer=chips.READOUT_LAYER)
        to = (first, block) if first.enable else (block, Destination())
        registers[core] = attrs.evolve(registers[core], destinations=to)
    return SpeckConfig(
        chip=chip.name,
        cnn_layers=tuple(registers),
        dvs_layer=_sensor(model, options, routes),
        dvs_filter=DvsFilterConfig() if options.dvs_filter is None else attrs.evolve(options.dvs_filter, enable=True),
        readout=_readout(options),
        entries=tuple(
            Entry(port=name, layer=target, feature_shift=feed.feature_shift)
            for name in model.inputs
            for target, feed in routes.get(name, [])
        ),
    )


def _monitored(model: Model, options: SpeckMapOptions, record: tuple[Probe, ...]) -> set[str]:
    """Populations whose spikes leave the chip: those that feed an Output, and those probed."""
    if options.readout == "values":
        return set()
    feeding = {p.source for p in model.projections() if p.target in model.outputs}
    if options.readout == "pins":
        feeding -= {peripherals.classes(model)}
    return feeding | {probe.node for probe in record if probe.variable == "spikes"}


def _routes(model: Model, layers: list[Layer], cores: tuple[int, ...]) -> Routes:
    """Where the spikes of a population or Input go: (core, feed), in network order of the targets, then by shift."""
    rank = {name: i for i, name in enumerate(model.order())}
    routes: Routes = {}
    for layer, core in sorted(zip(layers, cores, strict=True), key=lambda pair: rank[pair[0].population]):
        for feed in sorted(layer.feeds, key=lambda feed: feed.feature_shift):
            routes.setdefault(feed.source, []).append((core, feed))
    return routes


def _core(layer: Layer, q: Quantised, routes: Routes, options: SpeckMapOptions, monitored: bool) -> CnnLayerConfig:
    targets = [
        Destination(enable=True, layer=target, pooling=feed.pooling, feature_shift=feed.feature_shift)
        for target, feed in routes.get(layer.population, [])
    ]
    state = np.zeros(layer.out_shape, np.int16) if q.state is None else q.state
    every = options.decimate.get(layer.population)
    return CnnLayerConfig(
        dimensions=_dimensions(layer),
        weights=_spread(q.weights, layer).transpose(0, 1, 3, 2),
        biases=_spread(q.bias, layer),
        leak_enable=bool(q.bias.any()),
        threshold_high=q.threshold_high,
        threshold_low=q.threshold_low,
        return_to_zero=layer.return_to_zero,
        neurons_initial_value=_spread(state, layer).transpose(0, 2, 1),
        monitor_enable=monitored,
        input_congestion_balancer_enable=layer.population in options.balance,
        output_decimator_enable=every is not None,
        output_decimator_interval=0 if every is None else DECIMATION.index(every),
        destinations=(*targets, *[Destination()] * (chips.CORE_DESTINATIONS - len(targets))),  # type: ignore[arg-type]
    )


def _spread(values: NDArray[Any], layer: Layer) -> NDArray[Any]:
    """Features apart, with zeros between them."""
    if layer.spread == 1:
        return values
    wide = np.zeros((layer.core_shape[0], *values.shape[1:]), values.dtype)
    wide[:: layer.spread] = values
    return wide


def _dimensions(layer: Layer) -> Dimensions:
    (c_in, y_in, x_in), (c_out, y_out, x_out) = layer.in_shape, layer.core_shape
    return Dimensions(
        input_shape=FeatureMap(feature_count=c_in, size=SizeXY(x=x_in, y=y_in)),
        output_shape=FeatureMap(feature_count=c_out, size=SizeXY(x=x_out, y=y_out)),
        padding=PaddingXY(x=layer.padding[1], y=layer.padding[0]),
        stride=StrideXY(x=layer.stride[1], y=layer.stride[0]),
        kernel_size=layer.weights.shape[-1],
    )


def _sensor(model: Model, options: SpeckMapOptions, routes: Routes) -> DvsLayerConfig:
    """The sensor as asked for, with the cores of the Input it feeds as destinations."""
    if options.dvs is None:
        return DvsLayerConfig()
    (seen,) = peripherals.seen(model, options.dvs)
    to = [DvsDestination(enable=True, layer=core) for core, _ in routes[seen]]
    first, second = (to + [DvsDestination()] * chips.DVS_DESTINATIONS)[: chips.DVS_DESTINATIONS]
    return attrs.evolve(options.dvs, pass_sensor_events=True, destinations=(first, second))


def _readout(options: SpeckMapOptions) -> ReadoutConfig:
    """Classes by features of one pixel, the largest average shown."""
    if options.readout == "off":
        return ReadoutConfig()
    return ReadoutConfig(
        enable=True,
        readout_configuration_sel=3,
        output_mode_sel=3,
        threshold=options.readout_threshold,
        low_pass_filter_disable=options.readout_window == 1,
        low_pass_filter32_not16=options.readout_window == 32,
        monitor_enable=options.readout == "values",
        readout_pin_monitor_enable=options.readout == "pins",
    )
