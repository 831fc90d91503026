"""Several small blocks on one core, where everything the core has once or in limited number allows it."""

from __future__ import annotations

from itertools import compress
from typing import cast

import attrs
import numpy as np

from hal_loihi.accounting import RESOURCES, Account
from hal_loihi.limits import BASE_MAX, CoreLimits
from hal_loihi.topology import Ints

__all__ = ["Core", "share"]

_SETS = ("compartment_profiles", "threshold_profiles", "synapse_formats")
_LARGEST = "pop16_atoms"
_ADDED = [k for k, name in enumerate(RESOURCES) if name not in (*_SETS, _LARGEST)]
"""Columns of resources of which blocks on a core need as much as each of them alone."""


@attrs.frozen(eq=False)
class Core:
    """Numbers of the blocks on a core, and of the first compartment of each."""

    blocks: list[int]
    offsets: list[int]

    def usage(self, account: Account) -> Ints:
        """(RESOURCES,) what the blocks use together: profiles and formats they have in common count once."""
        rows = account.usage[self.blocks]
        used = rows.sum(axis=0)
        contents = [account.contents[k] for k in self.blocks]
        used[RESOURCES.index("compartment_profiles")] = len(
            frozenset().union(*(c.compartment_profiles for c in contents))
        )
        used[RESOURCES.index("threshold_profiles")] = len(frozenset().union(*(c.threshold_profiles for c in contents)))
        used[RESOURCES.index("synapse_formats")] = len(frozenset().union(*(c.formats for c in contents)))
        used[RESOURCES.index(_LARGEST)] = rows[:, RESOURCES.index(_LARGEST)].max()
        return cast(Ints, used)


def share(account: Account, core: CoreLimits) -> list[Core]:
    """Blocks on cores, largest first, each on the fitting core it has most axons to, else on a new one.

    Blocks with population axons stay alone (NL builder). Synapses reach a block through a compartment base of 0 to 255,
    so a block with synapses must start there: the memory of its lists is then what it is alone on a core. Cores are in
    the order of their first blocks.
    """
    limit = np.array([getattr(core, name) for name in RESOURCES], np.int64)
    flows = (account.flows + account.flows.T).tocsr()
    sizes = account.usage[:, RESOURCES.index("compartments")]
    made: list[list[int]] = []
    added = np.zeros((len(sizes), len(_ADDED)), np.int64)  # by core
    open_cores: dict[object, list[int]] = {}
    of_block: dict[int, int] = {}
    for block in np.argsort(-sizes, kind="stable").tolist():
        contents = account.contents[block]
        row = account.usage[block, _ADDED]
        candidates: list[int] = [] if contents.alone else open_cores.setdefault(contents.settings, [])
        room = (added[candidates] + row > limit[_ADDED]).sum(axis=1) == 0
        mine = slice(*flows.indptr[block : block + 2])
        axons: dict[int, int] = {}
        for other, count in zip(flows.indices[mine].tolist(), flows.data[mine].tolist(), strict=True):
            if other in of_block:
                axons[of_block[other]] = axons.get(of_block[other], 0) + count
        for number in sorted(compress(candidates, room), key=lambda number: -axons.get(number, 0)):
            if _holds(account, [*made[number], block], limit):
                made[number].append(block)
                of_block[block] = number
                break
        else:
            of_block[block] = len(made)
            if not contents.alone:
                candidates.append(len(made))
            made.append([block])
        added[of_block[block]] += row
    return [_laid_out(account, blocks) for blocks in sorted(made, key=min)]


def _holds(account: Account, blocks: list[int], limit: Ints) -> bool:
    laid = _laid_out(account, blocks)
    reachable = all(
        offset <= BASE_MAX or not account.contents[block].based
        for block, offset in zip(laid.blocks, laid.offsets, strict=True)
    )
    return reachable and bool((laid.usage(account) <= limit).all())


def _laid_out(account: Account, blocks: list[int]) -> Core:
    """Compartment numbers: blocks with synapses first, the largest of them last; then those without."""
    sizes = account.usage[:, RESOURCES.index("compartments")]
    order = sorted(blocks, key=lambda block: (not account.contents[block].based, sizes[block], block))
    ends = np.cumsum([sizes[block] for block in order])
    return Core(order, [0, *ends[:-1].tolist()])
