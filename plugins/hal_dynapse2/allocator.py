"""From connections between placed neurons to CAM, SRAM and host destinations. What does not fit is data, all of it.

One SRAM entry reaches any neurons of up to four cores of one chip, so a source has one tag and one destination for each
chip it has targets on. A monitored neuron spends slot 0 on a destination off the grid, towards the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_dynapse2.config import CamConfig, ChipsConfig, HostConfig, SramConfig
from hal_dynapse2.limits import CAM_ENTRIES, CORES, MAX_HOP, MONITOR_HOP, NEURONS, SRAM_ENTRIES, TAGS
from hal_dynapse2.packing import Places
from hal_dynapse2.readout import monitor_y_hop
from hal_dynapse2.tags import TagShortage, colour

Ints = NDArray[Any]
NO_TAGS = np.zeros((0, 3), np.int64)
NO_SLOTS = np.zeros((0, 4), np.int64)
_SRAM = (("core_mask", np.uint8), ("x_hop", np.int8), ("y_hop", np.int8), ("tag", np.uint16))


@attrs.frozen(eq=False)
class Connections:
    """(m,) each.

    source: channels of the host 0..n_inputs-1, then neurons; target: neurons; dendrite: its code; mask: bit k adds base
    current Iw_k of the target's core.
    """

    n_inputs: int
    source: Ints
    target: Ints
    dendrite: Ints
    mask: Ints


@attrs.frozen
class FanIn:
    """A neuron with more connections than CAM entries that may be used."""

    neuron: int
    count: int
    limit: int

    def __str__(self) -> str:
        return f"neuron {self.neuron}: {self.count} CAM entries needed, limit {self.limit}"


@attrs.frozen
class FanOut:
    """A neuron with targets on too many chips; needed counts its monitor's destination."""

    neuron: int
    needed: int
    monitored: bool
    limit: int = SRAM_ENTRIES

    def __str__(self) -> str:
        with_monitor = ", one of them for its monitor" if self.monitored else ""
        return f"neuron {self.neuron}: {self.needed} destinations needed{with_monitor}, limit {self.limit}"


@attrs.frozen
class FarHop:
    """A chip out of reach. source counts as in `Connections`; chip is the target."""

    source: int
    chip: int
    x_hop: int
    y_hop: int
    limit: int = MAX_HOP

    def __str__(self) -> str:
        return f"source {self.source}: chip {self.chip} is ({self.x_hop}, {self.y_hop}) hops away, limit {self.limit}"


Violation = FanIn | FanOut | FarHop | TagShortage


@attrs.frozen(eq=False)
class Policy:
    """What is free to choose.

    tags: "core" makes them unique per target core and re-uses them; "network" gives channel i tag i and neuron j tag
    n_inputs + j, as rockpool 3.1.0 does. monitor: "place" sends core * 256 + neuron, as the public scripts of boards
    do, and x_hop -7 with the y_hop of `monitor_y_hop`; "index" sends the neuron's row with hops (-7, -7), as rockpool.
    """

    tags: Literal["core", "network"] = "core"
    monitor: Literal["place", "index"] = "place"


@attrs.frozen(eq=False)
class Usage:
    """Cores in use, (c,) each: neurons, CAM entries (most of a neuron, and all), SRAM entries, tags that reach them."""

    chip: Ints
    core: Ints
    neurons: Ints
    cam_max: Ints
    cam: Ints
    sram: Ints
    tags: Ints


@attrs.frozen(eq=False)
class Allocation:
    """The registers, what did not fit (nothing of it is in them), and what is used."""

    cam: CamConfig
    sram: SramConfig
    host: HostConfig
    violations: tuple[Violation, ...]
    usage: Usage


@attrs.frozen(eq=False)
class _Packets:
    """(p,) each: what a source sends to a chip."""

    source: Ints
    chip: Ints
    mask: Ints
    x_hop: Ints
    y_hop: Ints


def allocate(
    connections: Connections,
    places: Places,
    grid: ChipsConfig,
    *,
    monitored: Ints,
    denied_tags: Ints = NO_TAGS,
    denied_cam: Ints = NO_SLOTS,
    policy: Policy = Policy(),
) -> Allocation:
    """Everything the chips hold of the connections.

    places: of all n neurons, each on a chip of the grid. monitored: (n,) flags. denied_tags: (d, 3) chip, core, tag:
    not sent to that core (policy "network" has no choice and does not look at them). denied_cam: (d, 4) chip, core,
    neuron, slot that stays empty. CAM entries follow each other by source, then in the order given.
    """
    n, n_in = places.chip.size, connections.n_inputs
    core = places.chip.astype(np.int64) * CORES + places.core
    packets, packet_of = _packets(connections, core, places, grid)
    if policy.tags == "core":
        tags, short = colour(packets.chip, packets.mask, grid.x.size, denied_tags)
    else:
        tags, short = _network_tags(packets.source, n_in + n)
    slot, limit = _slots(connections, places, denied_cam)
    near = (np.abs(packets.x_hop) <= MAX_HOP) & (np.abs(packets.y_hop) <= MAX_HOP)
    kept = near & (tags >= 0)
    found: list[Violation] = [*_fan_in(connections.target, limit), *_far(packets, near), *short]
    heard = np.where(kept, tags, -1)[packet_of]
    cam = _cam(connections, slot, heard, n)
    entries = np.bincount(connections.target[(slot >= 0) & (heard >= 0)], minlength=n)
    monitor = np.asarray(monitored, bool)
    sram, crowded = _sram(packets, tags, kept, n_in, monitor)
    _monitors(sram, monitor, places, grid, policy)
    host = (packets.source < n_in) & kept
    return Allocation(
        cam=CamConfig(**cam),
        sram=SramConfig(**sram),
        host=HostConfig(
            channel=packets.source[host],
            core_mask=packets.mask[host],
            x_hop=packets.x_hop[host],
            y_hop=packets.y_hop[host],
            tag=tags[host],
        ),
        violations=(*found, *crowded),
        usage=_usage(core, packets, kept, tags, entries, (sram["core_mask"] > 0).sum(axis=1)),
    )


def _packets(connections: Connections, core: Ints, places: Places, grid: ChipsConfig) -> tuple[_Packets, Ints]:
    """What each source sends to each chip, by source and chip; and which of them each connection needs.

    Hops are differences of positions; the host's are relative to chip 0.
    """
    chips, sources = grid.x.size, connections.n_inputs + core.size
    reached = np.zeros(sources * chips * CORES, bool)
    reached[connections.source * (chips * CORES) + core[connections.target]] = True
    masks = reached.reshape(sources * chips, CORES) @ (1 << np.arange(CORES))
    pairs = np.flatnonzero(masks)
    number = np.cumsum(masks > 0) - 1
    source, chip = np.divmod(pairs, chips)
    home = np.concatenate([np.zeros(connections.n_inputs, np.int64), places.chip])[source]
    x, y = grid.x.astype(np.int64), grid.y.astype(np.int64)
    packets = _Packets(source, chip, masks[pairs], x[chip] - x[home], y[chip] - y[home])
    return packets, number[connections.source * chips + places.chip[connections.target]]


def _network_tags(source: Ints, sources: int) -> tuple[Ints, list[TagShortage]]:
    """Each source's own number, while there are tags."""
    if sources <= TAGS:
        return source, []
    return np.where(source < TAGS, source, -1), [TagShortage(-1, -1, sources, TAGS)]


def _slots(connections: Connections, places: Places, denied: Ints) -> tuple[Ints, Ints]:
    """(m,) the CAM slot of each connection, -1 where its neuron has none left; (n,) slots of each neuron."""
    n, target = places.chip.size, connections.target
    order = stable_order(target, connections.source)
    first = np.cumsum(np.bincount(target, minlength=n)) - np.bincount(target, minlength=n)
    rank = np.empty(target.size, np.int64)
    rank[order] = np.arange(target.size) - first[target[order]]
    limit = np.full(n, CAM_ENTRIES)
    if not len(denied):
        return np.where(rank < CAM_ENTRIES, rank, -1), limit
    row = np.full((int(max(places.chip.max(initial=0), denied[:, 0].max())) + 1, CORES, NEURONS), -1, np.int64)
    row[places.chip, places.core, places.neuron] = np.arange(n)
    mine = row[denied[:, 0], denied[:, 1], denied[:, 2]]
    allowed = np.ones((n, CAM_ENTRIES), bool)
    allowed[mine[mine >= 0], denied[mine >= 0, 3]] = False
    limit = allowed.sum(axis=1)
    # the slots that may be used come first, in order
    nth = np.argsort(~allowed, axis=1, kind="stable")
    fits = rank < limit[target]
    return np.where(fits, nth[target, np.minimum(rank, CAM_ENTRIES - 1)], -1), limit


def stable_order(major: Ints, minor: Ints) -> Ints:
    """Indices that sort by major, then minor, then as given."""
    by_minor = np.argsort(_narrow(minor), kind="stable")
    return by_minor[np.argsort(_narrow(major)[by_minor], kind="stable")]


def _narrow(values: Ints) -> Ints:
    """The same numbers (>= 0), in a type that numpy sorts by digits where they fit: many times faster."""
    return values.astype(np.uint16) if values.max(initial=0) < 1 << 16 else values


def _cam(connections: Connections, slot: Ints, tag: Ints, n: int) -> dict[str, Ints]:
    """Columns of `CamConfig`; what has no slot or no tag is left out."""
    kept = (slot >= 0) & (tag >= 0)
    at = connections.target[kept] * CAM_ENTRIES + slot[kept]
    columns: dict[str, Ints] = {}
    for name, dtype, values in (
        ("dendrite", np.uint16, connections.dendrite),
        ("mask", np.uint8, connections.mask),
        ("tag", np.uint16, tag),
    ):
        column = np.zeros(n * CAM_ENTRIES, dtype)
        column[at] = values[kept]
        columns[name] = column.reshape(n, CAM_ENTRIES)
    for name in ("stp", "precise_delay", "mismatched_delay"):
        columns[name] = np.zeros((n, CAM_ENTRIES), bool)
    return columns


def _sram(
    packets: _Packets, tags: Ints, kept: Ints, n_in: int, monitored: NDArray[np.bool_]
) -> tuple[dict[str, Ints], list[FanOut]]:
    """Columns of `SramConfig`, slot 0 of monitored neurons still empty; and who needs more slots than there are."""
    n = monitored.size
    columns: dict[str, Ints] = {name: np.zeros((n, SRAM_ENTRIES), dtype) for name, dtype in _SRAM}
    own = np.flatnonzero(packets.source >= n_in)
    row = packets.source[own] - n_in
    needed = np.bincount(row, minlength=n)
    slot = np.arange(own.size) - (np.cumsum(needed) - needed)[row] + monitored[row]
    fits = (slot < SRAM_ENTRIES) & kept[own]
    values = {"core_mask": packets.mask, "x_hop": packets.x_hop, "y_hop": packets.y_hop, "tag": tags}
    for name, column in columns.items():
        column[row[fits], slot[fits]] = values[name][own[fits]]
    needed = needed + monitored
    over = np.flatnonzero(needed > SRAM_ENTRIES)
    return columns, [FanOut(int(k), int(needed[k]), bool(monitored[k])) for k in over]


def _monitors(
    sram: dict[str, Ints], monitored: NDArray[np.bool_], places: Places, grid: ChipsConfig, policy: Policy
) -> None:
    """Fill slot 0 of monitored neurons."""
    rows = np.flatnonzero(monitored)
    sram["core_mask"][rows, 0] = (1 << CORES) - 1
    sram["x_hop"][rows, 0] = MONITOR_HOP
    if policy.monitor == "index":
        sram["y_hop"][rows, 0] = MONITOR_HOP
        sram["tag"][rows, 0] = rows
    else:
        sram["y_hop"][rows, 0] = monitor_y_hop(grid.y[places.chip[rows]])
        sram["tag"][rows, 0] = places.core[rows] * NEURONS + places.neuron[rows]


def _fan_in(target: Ints, limit: Ints) -> Iterator[FanIn]:
    count = np.bincount(target, minlength=limit.size)
    for neuron in np.flatnonzero(count > limit).tolist():
        yield FanIn(neuron, int(count[neuron]), int(limit[neuron]))


def _far(packets: _Packets, near: Ints) -> Iterator[FarHop]:
    for k in np.flatnonzero(~near).tolist():
        yield FarHop(*(int(column[k]) for column in (packets.source, packets.chip, packets.x_hop, packets.y_hop)))


def _usage(core: Ints, packets: _Packets, kept: Ints, tags: Ints, entries: Ints, destinations: Ints) -> Usage:
    """Count per core in use what the registers hold. entries, destinations: (n,) of each neuron."""
    cores, at, neurons = np.unique(core, return_inverse=True, return_counts=True)
    largest = np.zeros(cores.size, np.int64)
    np.maximum.at(largest, at, entries)
    on = kept[:, None] & (packets.mask[:, None] >> np.arange(CORES) & 1).astype(bool)
    pair, k = np.nonzero(on)
    heard = np.unique((packets.chip[pair] * CORES + k) * TAGS + tags[pair]) // TAGS
    return Usage(
        chip=cores // CORES,
        core=cores % CORES,
        neurons=neurons,
        cam_max=largest,
        cam=np.bincount(at, entries, cores.size).astype(np.int64),
        sram=np.bincount(at, destinations, cores.size).astype(np.int64),
        tags=np.bincount(heard, minlength=int(cores.max(initial=0)) + 1)[cores],
    )
