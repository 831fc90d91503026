"""How the cores of a configuration hang together, and what a configuration asks for that cannot be."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from hal.fit import Finding
from hal_dynapcnn import chips
from hal_dynapcnn.config import SpeckConfig

Shape3 = tuple[int, int, int]


@attrs.frozen
class Way:
    """A destination of a core, of an input (by name), or of the sensor block (source "@dvs")."""

    source: int | str
    target: int
    pooling: int
    shift: int
    where: str
    """The register."""


def ways(config: SpeckConfig) -> Iterator[Way]:
    """Every destination in use, each source's in the order in which it serves them; the readout block is none."""
    for number, entry in enumerate(config.entries):
        yield Way(entry.port, entry.layer, 1, entry.feature_shift, f"entries[{number}]")
    for slot, sensor in enumerate(config.dvs_layer.destinations):
        if sensor.enable:
            yield Way("@dvs", sensor.layer, 1, 0, f"dvs_layer.destinations[{slot}]")
    for core, layer in enumerate(config.cnn_layers):
        for slot, to in enumerate(layer.destinations):
            if to.enable and to.layer != chips.READOUT_LAYER:
                yield Way(core, to.layer, to.pooling, to.feature_shift, f"cnn_layers[{core}].destinations[{slot}]")


def in_use(config: SpeckConfig) -> list[int]:
    """Cores that events can reach, those nearest to the inputs first."""
    found: list[int] = []
    after: dict[int | str, list[int]] = {}
    for way in ways(config):
        after.setdefault(way.source, []).append(way.target)
    front = [target for source, targets in after.items() if isinstance(source, str) for target in targets]
    while front:
        found += [core for core in dict.fromkeys(front) if core not in found]
        front = [next_one for core in front for next_one in after.get(core, []) if next_one not in found]
    return found


def cycle(config: SpeckConfig) -> list[int]:
    """Cores in use that lie on a cycle, empty where events only go forward."""
    after: dict[int | str, set[int]] = {}
    for way in ways(config):
        after.setdefault(way.source, set()).add(way.target)

    def reached(core: int) -> set[int]:
        seen: set[int] = set()
        front = {core}
        while front:
            front = {target for one in front for target in after.get(one, set())} - seen
            seen |= front
        return seen

    return [core for core in in_use(config) if core in reached(core)]


def shapes(config: SpeckConfig) -> dict[int, Shape3]:
    """Output shapes (features, y, x) of the cores in use."""
    return {core: config.cnn_layers[core].dimensions.output_shape.shape for core in in_use(config)}


def ports(config: SpeckConfig) -> dict[str, Shape3]:
    """Shapes of the inputs as far as the registers tell: from an entry's feature shift up to the next one's."""
    found: dict[str, Shape3] = {}
    feeds = list(ways(config))
    for entry in config.entries:
        features, y, x = config.cnn_layers[entry.layer].dimensions.input_shape.shape
        above = [way.shift for way in feeds if way.target == entry.layer and way.shift > entry.feature_shift]
        found.setdefault(entry.port, (min([features, *above]) - entry.feature_shift, y, x))
    return found


def refusals(config: SpeckConfig) -> list[Finding]:
    """Everything that cannot be: maps that do not meet, blocks that exclude each other."""
    said: list[Finding] = []

    def no(field: str, reason: str, hint: str = "") -> None:
        said.append(Finding(level="refused", node="", field=field, reason=reason, hint=hint))

    if not in_use(config):
        no("entries", "no input and no sensor leads to a core", "give entries, or destinations to dvs_layer")
    for way in ways(config):
        if isinstance(way.source, str):
            continue
        f, y, x = config.cnn_layers[way.source].dimensions.output_shape.shape
        features, *size = config.cnn_layers[way.target].dimensions.input_shape.shape
        pooled = [y // way.pooling, x // way.pooling]
        if pooled != size:
            no(way.where, f"delivers maps of {tuple(pooled)}, core {way.target} expects {tuple(size)}")
        elif way.shift + f > features:
            last = way.shift + f - 1
            no(way.where, f"delivers features {way.shift}..{last}, core {way.target} takes 0..{features - 1}")
    if config.dvs_layer.pass_sensor_events or any(d.enable for d in config.dvs_layer.destinations):
        no("dvs_layer", "the sensor block is not emulated")
    if config.dvs_filter.enable:
        no("dvs_filter", "the sensor's filter is not emulated")
    if config.readout.enable or config.readout.monitor_enable:
        no("readout", "the readout block is not emulated")
    for core, layer in enumerate(config.cnn_layers):
        if any(d.enable and d.layer == chips.READOUT_LAYER for d in layer.destinations):
            no(f"cnn_layers[{core}].destinations", "the readout block is not emulated")
        if layer.leak_enable and layer.leak_internal_slow_clk_enable:
            no(f"cnn_layers[{core}].leak_internal_slow_clk_enable", "the sensor's clock is not emulated")
    return said


def remarks(config: SpeckConfig) -> list[Finding]:
    """What is legal and worth knowing."""
    said = []
    loop = cycle(config)
    if loop:
        said.append(
            Finding(
                level="note",
                node="",
                field="destinations",
                reason=f"cores {', '.join(map(str, loop))} form a cycle: when all of them wait for room in each "
                "other's buffers nothing moves any more (deadlock)",
                hint="keep feedback sparse; a deadlock makes a recording untrusted",
            )
        )
    reached = in_use(config)
    said += [
        Finding(
            level="note",
            node="",
            field=f"cnn_layers[{core}].destinations",
            reason="the core has destinations, but no input, sensor or core in use sends it anything",
        )
        for core, layer in enumerate(config.cnn_layers)
        if core not in reached and any(d.enable for d in layer.destinations)
    ]
    return said
