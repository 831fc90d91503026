"""All weights of a network as integers of the chip; and which of the model's weights each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.model import Model
from hal.model import Projection as ModelProjection
from hal_brainscales2.cells import Cells, weights_of
from hal_brainscales2.network import EXTERNAL, Population, Projection
from hal_brainscales2.options import MapOptions
from hal_brainscales2.weights import quantise, rows_needed

COPIES: Final = 8
"""Rows over which the mapper spreads a weight by itself; what is stronger is clipped."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@attrs.frozen(kw_only=True, eq=False)
class Part:
    """One projection of the model: its synapses, integer weights, and the node whose weights they are, if they are.

    source, target: within their populations. wanted: in distances of threshold and leak, which are `scale` of hw.
    clipped: which of hw are at the limit of their rows, and were to be beyond it.
    weight: flat index in `node`.
    """

    name: str
    target_cells: Cells
    source: Ints
    target: Ints
    wanted: Floats
    hw: Ints
    clipped: NDArray[np.bool_]
    scale: float
    node: Any | None
    weight: Ints
    projection: Projection


def parts(model: Model, cells: Sequence[Cells], options: MapOptions, scale: float) -> list[Part]:
    """Every projection into the populations, quantised. scale: integer weight per distance of threshold and leak."""
    numbers = {c.name: k for k, c in enumerate(cells)}
    base, first = {}, 0
    for name in model.inputs:
        base[name] = first, model.nodes[name].size
        first += model.nodes[name].size
    return [_part(p, c, numbers, base, options, scale) for c in cells for p in c.inputs]


def populations(cells: Sequence[Cells], options: MapOptions, recorded: set[str]) -> tuple[Population, ...]:
    """As the allocator takes them."""
    return tuple(
        Population(
            size=c.size,
            circuits=options.circuits.get(c.name, 1),
            hemisphere=options.hemisphere.get(c.name),
            places=_places(options.places[c.name], c) if c.name in options.places else None,
            recorded=c.name in recorded,
            name=c.name,
        )
        for c in cells
    )


def _places(given: Sequence[int], c: Cells) -> Ints:
    return np.asarray(given, np.int64).reshape(c.size, -1)


def _part(
    p: ModelProjection,
    c: Cells,
    numbers: dict[str, int],
    base: dict[str, tuple[int, int]],
    options: MapOptions,
    scale: float,
) -> Part:
    matrix = p.matrix().tocoo()
    order = np.lexsort((matrix.col, matrix.row))
    row, column = matrix.row[order].astype(np.int64), matrix.col[order].astype(np.int64)
    wanted = matrix.data[order] * c.weight[row]
    name, found = weights_of(p)
    # of the integers: a weight of 63.2 needs no second row
    needed = int(rows_needed(quantise(wanted, scale, options.rounding, COPIES).hw).max(initial=1))
    copies = options.copies.get(name, needed)
    made = quantise(wanted, scale, options.rounding, copies)
    node, weight = (None, np.zeros(0, np.int64)) if found is None else (found[0], _flat(found[1], row, column))
    among = base.get(p.source)
    return Part(
        name=name,
        target_cells=c,
        source=column,
        target=row,
        wanted=wanted,
        hw=made.hw,
        clipped=made.over,
        scale=scale,
        node=node,
        weight=weight,
        projection=Projection(
            source=numbers.get(p.source, EXTERNAL),
            target=numbers[c.name],
            source_index=column + (among[0] if among else 0),
            target_index=row,
            weight=made.hw,
            copies=copies,
            among=among,
        ),
    )


def _flat(table: Any, row: Ints, column: Ints) -> Ints:
    """The flat index of every synapse's weight."""
    pairs = table.tocoo()
    width = pairs.shape[1]
    keys = pairs.row.astype(np.int64) * width + pairs.col
    order = np.argsort(keys)
    at = np.searchsorted(keys[order], row * width + column)
    return np.asarray(pairs.data[order][at], np.int64) - 1
