"""Seeded networks and event lists for speed measurements; the recipe the peer's figures were measured with.

Draw order from `default_rng(seed)`: the weights of every layer, then sorted event times, then channels, rows and
columns.
No bias, threshold_low = -threshold_high, subtracting reset.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_emulators.dynapcnn import Chain, CoreParams

__all__ = ["NAMES", "Layer", "Workload", "workload"]


@attrs.frozen(kw_only=True, eq=False)
class Layer:
    """One layer; `pooling` acts on its output."""

    weights: NDArray[np.int8]  # (f_out, f_in, k, k)
    in_shape: tuple[int, int, int]
    stride: int
    padding: int
    pooling: int
    threshold: int

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """(features, height, width) before pooling."""
        height, width = ((n + 2 * self.padding - self.weights.shape[2]) // self.stride + 1 for n in self.in_shape[1:])
        return self.weights.shape[0], height, width


@attrs.frozen(kw_only=True, eq=False)
class Workload:
    """A network and the events it is fed with; `t` in microseconds, `index` flat (c*H + y)*W + x."""

    layers: tuple[Layer, ...]
    t: NDArray[np.int64]
    index: NDArray[np.uint32]
    duration_us: int

    def chain(self) -> Chain:
        """The layers as emulator cores, threshold_low at minus the threshold."""
        return Chain(
            [
                CoreParams(
                    weights=layer.weights,
                    in_shape=layer.in_shape,
                    stride=(layer.stride, layer.stride),
                    padding=(layer.padding, layer.padding),
                    threshold_high=layer.threshold,
                    threshold_low=-layer.threshold,
                    pooling=layer.pooling,
                )
                for layer in self.layers
            ]
        )


@attrs.frozen
class _Recipe:
    seed: int
    shape: tuple[int, int, int]
    events: int
    duration_us: int
    layers: tuple[tuple[int, int, int, int, int, int, int, int], ...]
    """Features, kernel, stride, padding, pooling, threshold, smallest weight, largest weight + 1."""


_NMNIST = (
    (8, 3, 1, 1, 2, 560, -127, 128),
    (16, 3, 1, 1, 2, 1400, -40, 60),
    (16, 3, 2, 1, 1, 2400, -50, 70),
    (10, 4, 1, 0, 1, 3600, -60, 70),
)
_RECIPES = {
    "small3": _Recipe(
        901, (2, 16, 16), 10_000, 200_000,
        ((4, 3, 1, 1, 2, 300, -127, 128), (8, 3, 1, 1, 2, 500, -127, 128), (10, 4, 1, 0, 1, 800, -127, 128)),
    ),
    "nmnist": _Recipe(902, (2, 34, 34), 20_000, 300_000, _NMNIST),
    "nmnist200k": _Recipe(902, (2, 34, 34), 200_000, 3_000_000, _NMNIST),
    "gesture": _Recipe(
        903, (2, 128, 128), 20_000, 500_000,
        (
            (8, 3, 2, 1, 1, 224, -40, 80), (8, 3, 1, 1, 2, 366, -40, 60), (16, 3, 1, 1, 1, 1218, -40, 60),
            (16, 3, 1, 1, 2, 1008, -40, 60), (32, 3, 1, 1, 1, 2053, -40, 60), (32, 3, 1, 1, 2, 2372, -40, 60),
            (32, 3, 1, 1, 2, 2739, -40, 60), (64, 4, 1, 0, 1, 1552, -40, 60), (11, 1, 1, 0, 1, 522, -60, 70),
        ),
    ),
}  # fmt: skip
NAMES = tuple(_RECIPES)


def workload(name: str) -> Workload:
    """The workload called `name` (one of NAMES); the same arrays on every call."""
    recipe = _RECIPES[name]
    generator = np.random.default_rng(recipe.seed)
    shape = recipe.shape
    layers = []
    for features, kernel, stride, padding, pooling, threshold, low, high in recipe.layers:
        drawn: NDArray[Any] = generator.integers(low, high, (features, shape[0], kernel, kernel))
        layer = Layer(
            weights=drawn.astype(np.int8),
            in_shape=shape,
            stride=stride,
            padding=padding,
            pooling=pooling,
            threshold=threshold,
        )
        layers.append(layer)
        shape = (features, layer.out_shape[1] // pooling, layer.out_shape[2] // pooling)
    t = np.sort(generator.integers(0, recipe.duration_us, recipe.events))
    c, y, x = (generator.integers(size, size=recipe.events) for size in recipe.shape)
    index = ((c * recipe.shape[1] + y) * recipe.shape[2] + x).astype(np.uint32)
    return Workload(layers=tuple(layers), t=t, index=index, duration_us=recipe.duration_us)
