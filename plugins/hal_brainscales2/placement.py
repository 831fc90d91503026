"""Where logical neurons are: circuits of each, in the vendor's order or spread over the event outputs.

In order means first come, first placed: all columns of row 0, then of row 1 (hxtorch, jaxsnn). Neurons of several
circuits take neighbours, never across the border of the two backend blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_brainscales2.limits import (
    BLOCK_COLUMNS,
    BLOCKS,
    CIRCUITS,
    COLUMNS,
    EVENT_OUTPUT_COLUMNS,
    HEMISPHERES,
    block,
    circuit,
    column_row,
    event_bus,
    event_output,
)
from hal_brainscales2.network import Network, Population
from hal_brainscales2.report import Violation

Ints = NDArray[Any]


@attrs.frozen(eq=False)
class Placement:
    """Circuits of neuron i are circuit[ptr[i]:ptr[i + 1]]; the first sends its spikes."""

    ptr: Ints
    circuit: Ints

    @property
    def sender(self) -> Ints:
        """(n,): the circuit whose spikes leave."""
        return self.circuit[self.ptr[:-1]]

    @property
    def output(self) -> Ints:
        """(n,): event output 0..7."""
        return np.asarray(event_output(column_row(self.sender)[0]))

    @property
    def bus(self) -> Ints:
        """(n,): PADI bus 0..3 of its events, in both hemispheres."""
        return np.asarray(event_bus(self.output))


def movable(population: Population) -> bool:
    """Whether the allocator may choose its hemisphere."""
    in_row = population.circuits == 1 or population.shape == "row"
    return population.places is None and population.hemisphere is None and in_row


def place(
    network: Network, preferred: Sequence[int | None] | None = None, spread: bool = False
) -> tuple[Placement | None, tuple[Violation, ...]]:
    """Circuits of all neurons, or what stands in the way.

    preferred: hemisphere to try first, by population, where it may be chosen. spread: over the event outputs in turn,
    not in order. Those placed by hand come first.
    """
    free = np.ones(CIRCUITS, bool)
    found: list[Ints | None] = [None] * len(network.populations)
    violations: list[Violation] = list(_by_hand(network))
    if violations:
        return None, tuple(violations)
    for k, population in enumerate(network.populations):
        if population.places is not None:
            free[population.places] = False
            found[k] = population.places
    for k, population in enumerate(network.populations):
        if found[k] is None:
            first = preferred[k] if preferred is not None and movable(population) else None
            before = int(free.sum())
            taken = _take(free, population, _windows(population, first, spread))
            found[k], short = taken, population.size - len(taken)
            if short:
                violations.append(_no_room(network, k, short, before))
    if violations:
        return None, tuple(violations)
    sizes = [population.circuits for population in network.populations for _ in range(population.size)]
    chosen = [places.ravel() for places in found if places is not None]
    circuits = np.concatenate(chosen or [np.zeros(0)]).astype(np.int64)
    return Placement(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), circuits), ()


def _take(free: Ints, population: Population, windows: Ints) -> Ints:
    """The first windows that are free, as many as there are neurons or as can be."""
    taken: list[Ints] = []
    for window in windows:
        if len(taken) == population.size:
            break
        if free[window].all():
            free[window] = False
            taken.append(window)
    return np.array(taken, np.int64).reshape(-1, population.circuits)


def _windows(population: Population, first: int | None, spread: bool) -> Ints:
    """(w, circuits): where a neuron may be, in the order to try."""
    size = population.circuits
    if size == 1 or population.shape == "row" or population.hemisphere is not None:
        rows = [population.hemisphere] if population.hemisphere is not None else _rows(first)
        starts = np.arange(COLUMNS - size + 1)
        starts = starts[block(starts) == block(starts + size - 1)]
        starts = starts[_order(starts)] if spread else starts
        return np.concatenate([circuit(starts[:, None] + np.arange(size), row) for row in rows])
    steps = np.arange(BLOCK_COLUMNS * HEMISPHERES - size + 1)
    # an even number starts at the top, so that two are one above the other
    steps = steps[steps % HEMISPHERES == 0] if size % HEMISPHERES == 0 else steps
    walk = np.concatenate([steps + b * BLOCK_COLUMNS * HEMISPHERES for b in range(BLOCKS)])
    walk = walk[_order(walk // HEMISPHERES)] if spread else walk
    along = walk[:, None] + np.arange(size)
    return np.asarray(circuit(along // HEMISPHERES, along % HEMISPHERES))


def _rows(first: int | None) -> list[int]:
    return [1, 0] if first == 1 else [0, 1]


def _order(columns: Ints) -> Ints:
    """One of each event output in turn."""
    return np.lexsort((event_output(columns), columns % EVENT_OUTPUT_COLUMNS))


def _by_hand(network: Network) -> Iterator[Violation]:
    """Circuits given twice, and neurons over both backend blocks."""
    owner = np.full(CIRCUITS, "", object)
    for k, population in enumerate(network.populations):
        if population.places is None:
            continue
        for i, circuits in enumerate(population.places.tolist()):
            name = f"{network.name(k)}, neuron {i}"
            for at in circuits:
                if owner[at]:
                    yield Violation("placement", f"circuit {at}: {owner[at]} and {name}", 2, 1, ("another circuit",))
                owner[at] = owner[at] or name
            blocks = len({int(block(column_row(at)[0])) for at in circuits})
            if blocks > 1:
                yield Violation(
                    "placement", f"{name}: backend blocks", blocks, 1, ("columns 0..127 or 128..255 alone",)
                )


def _no_room(network: Network, k: int, short: int, before: int) -> Violation:
    population = network.populations[k]
    if population.hemisphere is not None:
        helps: tuple[str, ...] = ("the other hemisphere",)
        if population.circuits > BLOCK_COLUMNS:
            helps = (f"no hemisphere: a neuron that lies within one has {BLOCK_COLUMNS} circuits at most",)
        where = f"hemisphere {population.hemisphere}, for {network.name(k)}"
    else:
        helps = ("fewer neurons",) if population.circuits == 1 else ("fewer neurons", "fewer circuits per neuron")
        where = network.name(k)
    needed = sum(p.size * p.circuits for p in network.populations)
    if needed > CIRCUITS:
        return Violation("circuits", f"chip, {short} neurons of {where} without", needed, CIRCUITS, helps)
    placed = (population.size - short) * population.circuits
    return Violation("circuits", f"{where}; {before} were free on the chip", population.size * population.circuits,
                     placed, helps)  # fmt: skip
