"""Which block goes on which core of which chip. Pure functions; a network that does not fit is data, not an error.

`allocate` is ours: small blocks share cores, and cores are put on as few chips as hold them with few axons between
chips. `greedy`, `round_robin` and `interchip` give every block its own core as nengo-loihi 1.1.0 does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_loihi.accounting import RESOURCES, Account
from hal_loihi.limits import CORES_PER_CHIP, CoreLimits
from hal_loihi.partition import divide
from hal_loihi.sharing import Core, share
from hal_loihi.topology import Ints

__all__ = [
    "ALLOCATORS",
    "Allocation",
    "CoreRow",
    "Shortage",
    "allocate",
    "core_rows",
    "greedy",
    "interchip",
    "round_robin",
]


@attrs.frozen
class Shortage:
    """Too few cores. needed, available: cores; blocks: labels of those without one."""

    needed: int
    available: int
    n_chips: int
    cores_per_chip: int
    blocks: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.needed} cores needed, {self.available} available ({self.n_chips} chips of {self.cores_per_chip}); "
            f"{len(self.blocks)} blocks have no core, the first is {self.blocks[0]}"
        )


@attrs.frozen(eq=False)
class Allocation:
    """chip, core, offset: (blocks,) integers, -1 where a block has no core.

    core counts from 0 on each chip; offset is the number of the block's first compartment on its core. interchip,
    intrachip: target axons between different blocks on different chips, and on the same one (self connections are in
    neither; nor are blocks without a core).
    """

    chip: Ints
    core: Ints
    offset: Ints
    interchip: int
    intrachip: int
    shortage: Shortage | None

    @property
    def fits(self) -> bool:
        """Every block has a core."""
        return self.shortage is None

    @property
    def n_chips(self) -> int:
        """Chips in use."""
        return int(self.chip.max(initial=-1)) + 1

    @property
    def n_cores(self) -> int:
        """Cores in use."""
        placed = self.chip >= 0
        return len(np.unique(self.chip[placed] * CORES_PER_CHIP + self.core[placed]))


@attrs.frozen
class CoreRow:
    """Use of one resource on one core."""

    chip: int
    core: int
    resource: str
    used: int
    limit: int
    blocks: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Not over the limit."""
        return self.used <= self.limit


def _check(n_chips: int, cores_per_chip: int) -> None:
    if n_chips < 1 or not 1 <= cores_per_chip <= CORES_PER_CHIP:
        raise ValueError(
            f"n_chips {n_chips}, cores_per_chip {cores_per_chip}: give at least 1 chip, and 1 to {CORES_PER_CHIP} cores"
        )


def _allocation(
    account: Account, chip: Any, core: Any, offset: Any, n_chips: int, cores_per_chip: int, needed: int
) -> Allocation:
    """Fill in the counts; blocks without a core have chip -1."""
    chip, core, offset = (np.asarray(column, np.int64) for column in (chip, core, offset))
    flows = account.flows.tocoo()
    counted = (flows.row != flows.col) & (chip[flows.row] >= 0) & (chip[flows.col] >= 0)
    crossing = counted & (chip[flows.row] != chip[flows.col])
    between, all_axons = int(flows.data[crossing].sum()), int(flows.data[counted].sum())
    left = tuple(account.blocks[i].label for i in np.flatnonzero(chip < 0))
    shortage = Shortage(needed, n_chips * cores_per_chip, n_chips, cores_per_chip, left) if left else None
    return Allocation(chip, core, offset, between, all_axons - between, shortage)


def greedy(account: Account, *, n_chips: int = 1, cores_per_chip: int = CORES_PER_CHIP) -> Allocation:
    """Blocks in order, each on the next core; a full chip is followed by the next one.

    ValueError for less than one chip, or cores per chip outside 1..128; so for the other allocators.
    """
    _check(n_chips, cores_per_chip)
    number = np.arange(len(account.blocks))
    return _one_each(account, number // cores_per_chip, number % cores_per_chip, n_chips, cores_per_chip)


def round_robin(account: Account, *, n_chips: int = 1, cores_per_chip: int = CORES_PER_CHIP) -> Allocation:
    """Block i on chip i modulo n_chips."""
    _check(n_chips, cores_per_chip)
    number = np.arange(len(account.blocks))
    return _one_each(account, number % n_chips, number // n_chips, n_chips, cores_per_chip)


def interchip(account: Account, *, n_chips: int = 1, cores_per_chip: int = CORES_PER_CHIP) -> Allocation:
    """Chip after chip, each started with a block without predecessors and then filled with what it talks to most.

    The next block is the one with the largest single connection, in axons and in either direction, to a block already
    on the chip, or, if none is connected, again one without predecessors, else the first left. Of equal ones it is the
    one nengo-loihi meets first, which is decided by how a Python set of integers iterates.
    """
    _check(n_chips, cores_per_chip)
    outgoing, incoming = _neighbours(account)
    first = [block for block, others in enumerate(incoming) if not others]
    left = set(range(len(account.blocks)))
    chip, core = np.full((2, len(account.blocks)), -1, np.int64)
    for at in range(n_chips):
        here: set[int] = set()
        while left and len(here) < cores_per_chip:
            chosen = _most_connected(here, left, outgoing, incoming)
            if chosen is None:
                chosen = next((block for block in first if block in left), min(left))
            chip[chosen], core[chosen] = at, len(here)
            left.discard(chosen)
            here.add(chosen)
    return _one_each(account, chip, core, n_chips, cores_per_chip)


def _neighbours(account: Account) -> tuple[list[dict[int, int]], list[dict[int, int]]]:
    """Axons to other blocks, and from other blocks, of every block."""
    outgoing: list[dict[int, int]] = [{} for _ in account.blocks]
    incoming: list[dict[int, int]] = [{} for _ in account.blocks]
    flows = account.flows.tocoo()
    for source, target, axons in sorted(zip(flows.row.tolist(), flows.col.tolist(), flows.data.tolist(), strict=True)):
        if axons and source != target:
            outgoing[source][target] = incoming[target][source] = axons
    return outgoing, incoming


def _most_connected(
    here: set[int], left: set[int], outgoing: list[dict[int, int]], incoming: list[dict[int, int]]
) -> int | None:
    # The order of these sets decides between equals: see `interchip`. Hence no sorting, and set.intersection.
    best, chosen = 0, None
    for block in here:
        for neighbours in (outgoing[block], incoming[block]):
            for other in left.intersection(neighbours):
                if neighbours[other] > best:
                    best, chosen = neighbours[other], other
    return chosen


def _one_each(account: Account, chip: Ints, core: Ints, n_chips: int, cores_per_chip: int) -> Allocation:
    room = (chip >= 0) & (chip < n_chips) & (core < cores_per_chip)
    chip, core = np.where(room, chip, -1), np.where(room, core, -1)
    n = len(account.blocks)
    return _allocation(account, chip, core, np.where(room, 0, -1), n_chips, cores_per_chip, n)


def allocate(
    account: Account,
    *,
    n_chips: int = 1,
    cores_per_chip: int = CORES_PER_CHIP,
    core: CoreLimits | None = None,
    shared_cores: bool = True,
) -> Allocation:
    """Small blocks together where a core holds them (`shared_cores`), on as few chips as hold all cores.

    Cores are divided among the chips so that few axons cross between chips. Deterministic.
    """
    _check(n_chips, cores_per_chip)
    core = core or CoreLimits()
    n = len(account.blocks)
    cores = share(account, core) if shared_cores else [Core([k], [0]) for k in range(n)]
    usable = cores[: n_chips * cores_per_chip]
    of_core = np.full(n, -1, np.int64)
    offset = np.full(n, -1, np.int64)
    for number, one in enumerate(usable):
        of_core[one.blocks] = number
        offset[one.blocks] = one.offsets
    chips = divide(_between_cores(account, of_core, len(usable)), cores_per_chip)
    place = np.zeros(len(usable), np.int64)
    for which in np.unique(chips):
        place[chips == which] = np.arange(np.count_nonzero(chips == which))
    chip = np.where(of_core >= 0, np.append(chips, -1)[of_core], -1)
    number_on_chip = np.where(of_core >= 0, np.append(place, -1)[of_core], -1)
    return _allocation(account, chip, number_on_chip, offset, n_chips, cores_per_chip, len(cores))


def _between_cores(account: Account, of_core: Ints, n: int) -> NDArray[np.int64]:
    """(n, n) symmetric: axons between two cores, in both directions."""
    flows = account.flows.tocoo()
    placed = (of_core[flows.row] >= 0) & (of_core[flows.col] >= 0)
    weights = np.zeros((n, n), np.int64)
    np.add.at(weights, (of_core[flows.row[placed]], of_core[flows.col[placed]]), flows.data[placed])
    np.fill_diagonal(weights, 0)
    return cast(NDArray[np.int64], weights + weights.T)


def core_rows(account: Account, allocation: Allocation, core: CoreLimits | None = None) -> tuple[CoreRow, ...]:
    """Use and limit of every resource of every core in use, by chip and core.

    Amounts of the blocks on a core are added up; of profiles and formats the distinct ones are counted, of atoms the
    largest.
    """
    core = core or CoreLimits()
    on_core: dict[tuple[int, int], list[int]] = {}
    for k, where in enumerate(zip(allocation.chip.tolist(), allocation.core.tolist(), strict=True)):
        if where[0] >= 0:
            on_core.setdefault(where, []).append(k)
    rows = []
    for (chip, number), blocks in sorted(on_core.items()):
        labels = tuple(account.blocks[k].label for k in blocks)
        used = Core(blocks, [0] * len(blocks)).usage(account)
        rows += [
            CoreRow(chip, number, name, int(amount), getattr(core, name), labels)
            for name, amount in zip(RESOURCES, used, strict=True)
        ]
    return tuple(rows)


ALLOCATORS: dict[str, Callable[..., Allocation]] = {
    "default": allocate,
    "greedy": greedy,
    "round_robin": round_robin,
    "interchip": interchip,
}
"""By the names that options use. Each takes an Account and the keywords n_chips and cores_per_chip."""
