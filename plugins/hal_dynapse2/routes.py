"""From the registers back to who hears whom, by tags alone, as the chips do it.

A packet reaches every neuron of the cores of its mask, and every CAM entry there with its tag reacts, whoever sent it:
two sources with one tag on a core are one.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_dynapse2.config import ChipsConfig, Dynapse2Config, HostConfig, SramConfig
from hal_dynapse2.limits import CAM_ENTRIES, CORES, DENDRITES, EMULATED, TAGS

Ints = NDArray[Any]


@attrs.frozen(eq=False)
class Routes:
    """Sources are channels of the host 0..n_inputs-1, then neurons (rows).

    Packets of source s are packet_ptr[s] .. packet_ptr[s + 1]: one for each core of the mask of each destination on the
    grid, by slot and core. packet_core: chip * 4 + core. packet_tag: what it is sent with. Synapses that packet p
    reaches are synapse_ptr[p] .. synapse_ptr[p + 1], by row and slot. target: row. dendrite: 0..3 in the order of
    `limits.EMULATED`. mask: 1..15.
    """

    n_inputs: int
    packet_ptr: Ints
    packet_core: Ints
    packet_tag: Ints
    synapse_ptr: Ints
    target: Ints
    dendrite: Ints
    mask: Ints


@attrs.frozen(eq=False)
class Departures:
    """(k,) each: destinations that leave the grid, by row and slot, as the host receives them."""

    neuron: Ints
    x_hop: Ints
    y_hop: Ints
    tag: Ints


def routes(config: Dynapse2Config) -> Routes:
    """Who hears whom, on the whole grid."""
    n_inputs, n = config.n_inputs, config.neurons.chip.size
    source, core, tag = packets(config)
    row, dendrite, mask, entry_ptr = _entries(config)
    key = core * TAGS + tag
    first, count = entry_ptr[key], entry_ptr[key + 1] - entry_ptr[key]
    synapse_ptr = np.concatenate([[0], np.cumsum(count)])
    pick = np.repeat(first - synapse_ptr[:-1], count) + np.arange(synapse_ptr[-1])
    packet_ptr = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=n_inputs + n))])
    return Routes(n_inputs, packet_ptr, core, tag, synapse_ptr, row[pick], dendrite[pick], mask[pick])


def departures(config: Dynapse2Config) -> Departures:
    """What monitored neurons send to the host: destinations that leave the grid over its first column.

    Assumption: events that leave on the other sides are lost.
    """
    sram, place = config.sram, config.neurons.chip
    row, slot = np.nonzero(sram.core_mask)
    x = config.chips.x[place[row]].astype(np.int64) + sram.x_hop[row, slot]
    y = config.chips.y[place[row]].astype(np.int64) + sram.y_hop[row, slot]
    out = x <= 0
    return Departures(row[out], x[out], y[out], sram.tag[row, slot][out].astype(np.int64))


def packets(config: Dynapse2Config) -> tuple[Ints, Ints, Ints]:
    """(p,) each: source, core over all chips, tag; by source."""
    n_inputs = config.n_inputs
    host, sram = config.host, config.sram
    order = np.argsort(host.channel, kind="stable")
    row, slot = np.nonzero(sram.core_mask)
    source = np.concatenate([host.channel[order].astype(np.int64), row + n_inputs])
    home = np.concatenate([np.zeros(order.size, np.int64), config.neurons.chip[row]])
    chip = _landing(config.chips, home, _column("x_hop", host, order, sram, row, slot),
                    _column("y_hop", host, order, sram, row, slot))  # fmt: skip
    masks = _column("core_mask", host, order, sram, row, slot)
    tags = _column("tag", host, order, sram, row, slot)
    on = (masks[:, None] >> np.arange(CORES) & 1).astype(bool) & (chip >= 0)[:, None]
    packet, core = np.nonzero(on)
    return source[packet], chip[packet] * CORES + core, tags[packet]


def _column(name: str, host: HostConfig, order: Ints, sram: SramConfig, row: Ints, slot: Ints) -> Ints:
    """One field of all destinations: the host's, then the neurons'."""
    return np.concatenate([getattr(host, name)[order], getattr(sram, name)[row, slot]]).astype(np.int64)


def _landing(chips: ChipsConfig, home: Ints, x_hop: Ints, y_hop: Ints) -> Ints:
    """The chip that is so many hops from chip `home`, -1 where none stands."""
    if not chips.x.size:
        return np.full(home.size, -1, np.int64)
    at = {place: k for k, place in enumerate(zip(chips.x.tolist(), chips.y.tolist(), strict=True))}
    low, side = 32, 96
    table = np.full((side, side), -1, np.int64)
    for (x, y), k in at.items():
        table[x + low, y + low] = k
    return table[chips.x[home].astype(np.int64) + x_hop + low, chips.y[home].astype(np.int64) + y_hop + low]


def _entries(config: Dynapse2Config) -> tuple[Ints, Ints, Ints, Ints]:
    """CAM entries that react, by core and tag: rows, dendrites, masks; and where each core * 2048 + tag starts."""
    cam = config.cam
    live = np.flatnonzero((cam.mask.ravel() > 0) & (cam.dendrite.ravel() > 0))
    row = live // CAM_ENTRIES
    tag = cam.tag.ravel()[live]
    core = config.neurons.core_place[row]
    # two sorts of small numbers are faster than one of large ones
    order = np.argsort(tag, kind="stable")
    order = order[np.argsort(core[order].astype(np.uint16), kind="stable")]
    key = core * TAGS + tag
    ptr = np.concatenate([[0], np.cumsum(np.bincount(key, minlength=config.chips.x.size * CORES * TAGS))])
    codes = np.zeros(max(DENDRITES.values()) + 1, np.uint8)
    for k, name in enumerate(EMULATED):
        codes[DENDRITES[name]] = k
    picked = live[order]
    return row[order], codes[cam.dendrite.ravel()[picked]], cam.mask.ravel()[picked], ptr
