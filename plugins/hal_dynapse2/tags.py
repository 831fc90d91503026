"""Tags of sources: unique on every core they reach, and used again where no core is shared.

A neuron compares a packet's tag with those of its CAM, so two sources with one tag on one core cannot be told apart
there. The cores of different chips never share a packet, so each chip is coloured by itself.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_dynapse2.limits import CORES, TAGS

Ints = NDArray[Any]

_MASKS = sorted(range(1, 1 << CORES), key=lambda mask: (-mask.bit_count(), mask))
_OF = [[core for core in range(CORES) if mask >> core & 1] for mask in range(1 << CORES)]


@attrs.frozen
class TagShortage:
    """A core with more sources than tags: how many it needs, and how many there are.

    Sources of several cores can run out of tags that no single core lacks: each of these cores is then told to need one
    more for every source without one. chip and core are -1 where tags are unique in the network and not per core.
    """

    chip: int
    core: int
    needed: int
    limit: int

    def __str__(self) -> str:
        where = "the network" if self.chip < 0 else f"chip {self.chip}, core {self.core}"
        return f"{where}: {self.needed} tags needed, {self.limit} there are"


def colour(chip: Ints, mask: Ints, chips: int, denied: Ints) -> tuple[Ints, list[TagShortage]]:
    """A tag for each (source, target chip), -1 where none is left, and the cores on which tags run out.

    chip, mask: (p,) target chip and cores on it (bit c: core c), in the order of sources. denied: (d, 3) chip, core,
    tag. Those with many cores come first, then by mask: without denied tags this takes the fewest tags there can be,
    because of four cores only complementary pairs, or one core and the other three, can share a tag. Within a mask the
    lowest free tags go to the sources in order. With denied tags it is a heuristic.
    """
    tags = np.full(chip.size, -1, np.int64)
    free = np.ones((chips, CORES, TAGS), bool)
    free[denied[:, 0], denied[:, 1], denied[:, 2]] = False
    limit = free.sum(axis=2)
    sources = np.zeros((chips, CORES), np.int64)
    for core in range(CORES):
        sources[:, core] = np.bincount(chip[mask >> core & 1 == 1], minlength=chips)
    needed = np.where(sources > limit, sources, 0)
    key = chip.astype(np.int64) * len(_OF) + mask
    order = np.argsort(key, kind="stable")
    first = np.searchsorted(key[order], np.arange(chips * len(_OF) + 1))
    for here in np.unique(chip).tolist():
        for cores in _MASKS:
            k = here * len(_OF) + cores
            rows, on = order[first[k] : first[k + 1]], _OF[cores]
            if not rows.size:
                continue
            found = np.flatnonzero(free[here, on].all(axis=0))[: rows.size]
            tags[rows[: found.size]] = found
            free[here][np.array(on)[:, None], found] = False
            if found.size < rows.size and not needed[here, on].any():
                # no core is short, but none of its tags is free on all of them
                needed[here, on] = limit[here, on] + rows.size - found.size
    short = zip(*np.nonzero(needed), strict=True)
    return tags, [TagShortage(int(c), int(k), int(needed[c, k]), int(limit[c, k])) for c, k in short]
