"""Which cores of a configuration are in use and how they hang together, and what is not emulated."""

from __future__ import annotations

from hal.fit import Finding
from hal_dynapcnn.config import SpeckConfig


def chain(config: SpeckConfig) -> list[int]:
    """Cores in the order in which spikes pass them, from the entry on; stops before a core met twice."""
    route = [config.entries[0].layer]
    while True:
        targets = [d.layer for d in config.cnn_layers[route[-1]].destinations if d.enable]
        if not targets or targets[0] in route or targets[0] >= len(config.cnn_layers):
            return route
        route.append(targets[0])


def shapes(config: SpeckConfig) -> list[tuple[int, ...]]:
    """Output shapes of the cores in use, in order."""
    return [(core, *config.cnn_layers[core].dimensions.output_shape.shape) for core in chain(config)]


def refusals(config: SpeckConfig) -> list[Finding]:
    """Everything a configuration asks for that the emulator does not do, and shapes that do not meet."""
    said: list[Finding] = []

    def no(field: str, reason: str, hint: str = "") -> None:
        said.append(Finding(level="refused", node="", field=field, reason=reason, hint=hint))

    route = chain(config)
    for core, layer in enumerate(config.cnn_layers):
        where = f"cnn_layers[{core}]"
        enabled = [d for d in layer.destinations if d.enable]
        if len(enabled) > 1:
            no(f"{where}.destinations", "two destinations are not emulated: chains only")
        elif core not in route and enabled:
            no(
                f"{where}.destinations",
                f"the core is in use but not reached from the entry core {route[0]}",
            )
        for destination in enabled[:1]:
            if destination.layer in route[: route.index(core) + 1] if core in route else False:
                no(f"{where}.destinations", f"closes a cycle to core {destination.layer}: chains only")
            if destination.feature_shift:
                no(f"{where}.destinations", "feature shift is not emulated")
            if destination.layer >= len(config.cnn_layers):
                no(f"{where}.destinations", f"destination {destination.layer} is not emulated")
            else:
                f, y, x = layer.dimensions.output_shape.shape
                pooled = (f, y // destination.pooling, x // destination.pooling)
                wanted = config.cnn_layers[destination.layer].dimensions.input_shape.shape
                if pooled != wanted:
                    no(f"{where}.destinations", f"delivers {pooled}, core {destination.layer} expects {wanted}")
        if layer.output_decimator_enable or layer.input_congestion_balancer_enable:
            no(where, "decimator and congestion balancer are not emulated")
        if any(bits.any() for bits in (layer.weights_kill_bit, layer.biases_kill_bit, layer.neurons_value_kill_bit)):
            no(where, "kill bits are not emulated")
        if layer.leak_enable and layer.leak_internal_slow_clk_enable:
            no(f"{where}.leak_internal_slow_clk_enable", "the DVS-derived clock is not emulated", "use @slow_clock")
    if config.dvs_layer.pass_sensor_events or any(d.enable for d in config.dvs_layer.destinations):
        no("dvs_layer", "the sensor block is not emulated")
    if config.dvs_filter.enable:
        no("dvs_filter", "the sensor's filter is not emulated")
    if config.readout.enable or config.readout.monitor_enable:
        no("readout", "the readout block is not emulated")
    return said
