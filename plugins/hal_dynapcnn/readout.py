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
    """One recorded key fed by one core; shape (features, y, x) of its neurons, pool at read-out.

    spread: only every so-manieth feature of the core is one of them (`Layer.spread`).
    """

    key: str
    core: int
    shape: tuple[int, int, int]
    pool: int = 1
    spread: int = 1

    def read(self, index: NDArray[np.uint32]) -> tuple[slice | NDArray[np.bool_], NDArray[np.uint32]]:
        """Which spikes have a place under this key, and their indices there.

        Spikes of an incomplete last row or column of a pool have none.
        """
        if self.spread > 1:
            kept = index % self.spread == 0
            return kept, (index[kept] // self.spread).astype(np.uint32)
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
            if key != "readout"
        ]
    out = []
    for key in recorded:
        pools = {p.source: _pool(p) for p in model.projections() if p.target == key} if key in model.outputs else {}
        for source in pools or [key]:
            shape = three(model.nodes[source].output_shape)
            rows = mapping.placement.where(source)
            spread = int(rows["feature"][1] - rows["feature"][0]) if shape[1:] == (1, 1) and shape[0] > 1 else 1
            pool = pools.get(source, 1)
            out.append(Tap(key=key, core=int(rows["core"][0]), shape=shape, pool=pool, spread=spread))
    return out


def ports(mapping: Mapping) -> dict[str, tuple[int, int, int]]:
    """Inputs of the chip, which are not the model's where the host has a part before it."""
    model = mapping.on_chip
    if model is None:
        return {port.name: three(port.shape) for port in mapping.inputs}
    return {name: three(model.nodes[name].output_shape) for name in model.inputs}


def reported(mapping: Mapping, recorded: dict[str, tuple[int, ...]], core: int) -> dict[str, int]:
    """Keys that get the classes of the readout block instead of spikes, with their sizes: Outputs its core feeds.

    Registers without a model have the key "readout".
    """
    model = mapping.on_chip
    if model is None:
        return {key: math.prod(shape) for key, shape in recorded.items() if key == "readout"}
    sources = {p.target: p.source for p in model.projections() if p.target in model.outputs}
    return {
        key: math.prod(recorded[key])
        for key, source in sources.items()
        if key in recorded and int(mapping.placement.where(source)["core"][0]) == core
    }


def _pool(projection: Projection) -> int:
    """The side of all pooling between the last neurons and an Output."""
    return math.prod(node.kernel_size[0] for node in projection.path if isinstance(node, nodes.SumPool2d))
