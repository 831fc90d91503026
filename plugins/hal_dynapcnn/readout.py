"""From a core's spikes to the events a user asked for: which key gets them, pooled or not."""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import NDArray

from hal import nodes
from hal.mapping import Mapping
from hal.model import Projection


@attrs.frozen(kw_only=True)
class Tap:
    """One recorded key fed by one core; shape (features, y, x) of the core, pool at read-out."""

    key: str
    core: int
    shape: tuple[int, int, int]
    pool: int = 1

    def read(self, index: NDArray[np.uint32]) -> tuple[slice | NDArray[np.bool_], NDArray[np.uint32]]:
        """Which spikes have a place under this key, and their indices there.

        Spikes of an incomplete last row or column of a pool have none.
        """
        if self.pool == 1:
            return slice(None), index
        _, height, width = self.shape
        rows, columns = height // self.pool, width // self.pool
        feature, pixel = np.divmod(index, height * width)
        y, x = np.divmod(pixel, width)
        y, x = y // self.pool, x // self.pool
        kept = (y < rows) & (x < columns)
        pooled = (feature * rows + y) * columns + x
        return kept, pooled[kept].astype(np.uint32)


def three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """A shape as (features, y, x)."""
    features, y, x = (*shape, 1, 1)[:3]
    return features, y, x


def taps(mapping: Mapping, recorded: dict[str, tuple[int, ...]]) -> list[Tap]:
    """Who is recorded from where."""
    model = mapping.on_chip
    if model is None:
        return [
            Tap(key=key, core=int(mapping.placement.where(key)["core"][0]), shape=three(shape))
            for key, shape in recorded.items()
        ]
    out = []
    for key in recorded:
        pools = {p.source: _pool(p) for p in model.projections() if p.target == key} if key in model.outputs else {}
        for source in pools or [key]:
            shape = three(model.nodes[source].output_shape)
            core = int(mapping.placement.where(source)["core"][0])
            out.append(Tap(key=key, core=core, shape=shape, pool=pools.get(source, 1)))
    return out


def _pool(projection: Projection) -> int:
    """The side of all pooling between the last neurons and an Output."""
    return math.prod(node.kernel_size[0] for node in projection.path if isinstance(node, nodes.SumPool2d))
