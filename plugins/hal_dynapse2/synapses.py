"""All synapses of a network in a few arrays, thresholds at 1; and which of the model's weights each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.model import Model, Projection
from hal_dynapse2.cells import Cells

Ints = NDArray[np.int64]
Float = NDArray[np.float64]


@attrs.frozen(kw_only=True, eq=False)
class Label:
    """Synapses `first` .. `first + weight.size` are these weights (flat indices) of a node."""

    node: Any
    target: str
    first: int
    weight: Ints

    @property
    def rows(self) -> slice:
        """Which synapses."""
        return slice(self.first, self.first + self.weight.size)


@attrs.frozen(kw_only=True, eq=False)
class Synapses:
    """(m,) each. source: channels 0..n_inputs-1, then neurons; target: neurons; area: signed, see `cells.Cells`.

    unlabelled: (node, how many) of connections that are no single weight: behind pools and scales.
    """

    n_inputs: int
    source: Ints
    target: Ints
    area: Float
    labels: tuple[Label, ...]
    unlabelled: tuple[tuple[str, slice], ...]


def synapses(model: Model, cells: Sequence[Cells]) -> Synapses:
    """Every weight that is not 0, in the order of populations and of their projections."""
    base: dict[str, int] = {}
    n_inputs = 0
    for name in model.inputs:
        base[name] = n_inputs
        n_inputs += model.nodes[name].size
    rows: dict[str, int] = {}
    n = 0
    for c in cells:
        rows[c.name], base[c.name] = n, n_inputs + n
        n += c.size
    source, target, area = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    labels, unlabelled, first = [], [], 0
    for c in cells:
        for p in c.inputs:
            matrix = p.matrix().tocoo()
            order = np.lexsort((matrix.col, matrix.row))
            row, column = matrix.row[order].astype(np.int64), matrix.col[order].astype(np.int64)
            source.append(column + base[p.source])
            target.append(row + rows[c.name])
            area.append(matrix.data[order] * c.area[row])
            label = _label(p, row, column)
            if label is not None:
                labels.append(Label(node=label[0], target=c.name, first=first, weight=label[1]))
            elif row.size:
                unlabelled.append((p.path[-1].name if p.path else c.name, slice(first, first + row.size)))
            first += row.size
    return Synapses(
        n_inputs=n_inputs,
        source=np.concatenate(source),
        target=np.concatenate(target),
        area=np.concatenate(area),
        labels=tuple(labels),
        unlabelled=tuple(unlabelled),
    )


def _label(p: Projection, row: Ints, column: Ints) -> tuple[Any, Ints] | None:
    """The weight node, and the flat index of every synapse's weight."""
    found = p.labels()
    if found is None:
        return None
    node, table = found
    pairs = table.tocoo()
    width = pairs.shape[1]
    order = np.argsort(pairs.row.astype(np.int64) * width + pairs.col)
    keys = (pairs.row.astype(np.int64) * width + pairs.col)[order]
    return node, pairs.data[order][np.searchsorted(keys, row * width + column)].astype(np.int64) - 1
