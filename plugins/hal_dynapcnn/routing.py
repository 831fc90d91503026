"""How the cores of a configuration hang together, and what a configuration asks for that cannot be."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from hal.fit import Finding
from hal_dynapcnn import chips
from hal_dynapcnn.config import DvsLayerConfig, SpeckConfig

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


def readout_feeds(config: SpeckConfig) -> Iterator[tuple[int, int]]:
    """(core, pooling) of every destination that is the readout block."""
    for core, layer in enumerate(config.cnn_layers):
        for to in layer.destinations:
            if to.enable and to.layer == chips.READOUT_LAYER:
                yield core, to.pooling


def sensor_shape(layer: DvsLayerConfig) -> Shape3:
    """(features, y, x) of what the sensor block gives out; a region ends where the pooled map ends."""
    _, height, width = chips.DVS_SHAPE
    rows = min(layer.cut.y, height // layer.pooling.y - 1) - layer.origin.y + 1
    columns = min(layer.cut.x, width // layer.pooling.x - 1) - layer.origin.x + 1
    return 1 if layer.merge else 2, *((columns, rows) if layer.mirror_diagonal else (rows, columns))


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
    inputs = ports(config)
    for way in ways(config):
        if way.source == "@dvs":
            f, y, x = sensor_shape(config.dvs_layer)
        elif isinstance(way.source, str):
            f, y, x = inputs[way.source]
        else:
            f, y, x = config.cnn_layers[way.source].dimensions.output_shape.shape
        features, *size = config.cnn_layers[way.target].dimensions.input_shape.shape
        pooled = [y // way.pooling, x // way.pooling]
        if pooled != size:
            no(way.where, f"delivers maps of {tuple(pooled)}, core {way.target} expects {tuple(size)}")
        elif way.shift + f > features:
            last = way.shift + f - 1
            no(way.where, f"delivers features {way.shift}..{last}, core {way.target} takes 0..{features - 1}")
    feeds = [core for core, _ in readout_feeds(config)]
    if len(feeds) > 1:
        no("readout", f"cores {', '.join(map(str, feeds))} lead to it; it reads one core")
    if feeds and not chips.CHIPS[config.chip].readout:
        no(f"cnn_layers[{feeds[0]}].destinations", f"{config.chip} has no readout block")
    monitored = [core for core in in_use(config) if config.cnn_layers[core].monitor_enable]
    if config.readout.monitor_enable and monitored:
        which = ", ".join(map(str, monitored))
        no(
            "readout.monitor_enable",
            f"while it sends its values no spikes can be monitored, and cores {which} are",
            "switch monitor_enable of these cores off, or take readout_pin_monitor_enable",
        )
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
    feeds = list(readout_feeds(config))
    if config.readout.enable != bool(feeds):
        reason = "nothing leads to it" if config.readout.enable else "it is off, and a core has it as destination"
        said.append(Finding(level="note", node="", field="readout", reason=reason))
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
