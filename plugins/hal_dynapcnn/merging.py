"""Several projections into one population as one core: kernels side by side along the input features.

A core has one kernel over all its input features. Sources whose projections end in the same weights share a part of
it; other weights lie behind that part, and their sources' destinations add its features to the address
(`feature_shift`). The sum over input features is then the sum of the projections.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.notes import Notes
from hal_dynapcnn import chips
from hal_dynapcnn.path import Float, Path, Shape3


@attrs.frozen(kw_only=True, eq=False)
class Kernel:
    """Weights of the model as they lie in a core's kernel.

    node: the model's node, "" for the identity. first, features: the input features it takes up. corner: (y, x) of its
    first element in the core's kernel, side: its own size. factor: (features out, 1, 1, 1), what the model's weights
    were multiplied with: gain, average pooling and Scale. model_shape, order: how the model lays them out.
    """

    node: str
    first: int
    features: int
    corner: tuple[int, int]
    side: int
    factor: Float
    model_shape: tuple[int, ...]
    order: str

    def part(self, kernel: NDArray[Any]) -> NDArray[Any]:
        """Its own (features out, features, side, side) of the core's kernel."""
        y, x = self.corner
        return kernel[:, self.first : self.first + self.features, y : y + self.side, x : x + self.side]

    def to_model(self, weights: NDArray[Any]) -> NDArray[Any]:
        """Such a part in the shape of the model's own weight."""
        if len(self.model_shape) == 2 and self.order == "HWC":
            weights = weights.transpose(0, 2, 3, 1)
        return weights.reshape(self.model_shape)


@attrs.frozen(kw_only=True, eq=False)
class Feed:
    """One projection: whose spikes, pooled by how much, reach which kernel. folded: the nodes on the way."""

    source: str
    pooling: int
    kernel: Kernel
    folded: tuple[str, ...]

    @property
    def feature_shift(self) -> int:
        """What the source's destination adds to the feature."""
        return self.kernel.first


@attrs.frozen(kw_only=True, eq=False)
class Bias:
    """What one node of the model adds: its values, and what they were multiplied with, both (features out,)."""

    node: str
    values: Float
    factor: Float


@attrs.frozen(kw_only=True, eq=False)
class Merged:
    """What all projections into a population come to, as one convolution with (features, y, x) shapes."""

    feeds: tuple[Feed, ...]
    weights: Float
    biases: tuple[Bias, ...]
    in_shape: Shape3
    out_shape: Shape3
    stride: tuple[int, int]
    padding: tuple[int, int]


def merge(
    population: str, paths: Sequence[Path], gain: Float, average_merge: Literal["exact", "sinabs"], notes: Notes
) -> Merged | None:
    """One core for all paths, or None with the reasons. gain: (features out,) of the neurons."""
    if not _meet(population, paths, notes):
        return None
    frame = _frame(population, paths, notes)
    if frame is None:
        return None
    side, padding, stride = frame
    averages = _averages(population, paths, average_merge, notes)
    keys = [_key(path, average) for path, average in zip(paths, averages, strict=True)]
    kernels: dict[tuple[Any, ...], Kernel] = {}
    feeds = []
    weights = np.zeros((gain.size, 0, side, side))
    for i, (path, key) in enumerate(zip(paths, keys, strict=True)):
        # a source that comes twice needs an address of its own for each time
        key = (*key, sum((p.source, k) == (path.source, key) for p, k in zip(paths[:i], keys, strict=False)))
        if key not in kernels:
            kernels[key] = _kernel(path, weights.shape[1], padding, gain * path.scale * averages[i])
            weights = np.pad(weights, ((0, 0), (0, path.in_shape[0]), (0, 0), (0, 0)))
            kernels[key].part(weights)[...] = path.weights * kernels[key].factor
        feeds.append(Feed(source=path.source, pooling=path.pooling, kernel=kernels[key], folded=path.folded))
    _about_copies(population, feeds, paths, notes)
    return Merged(
        feeds=tuple(feeds),
        weights=weights,
        biases=_biases(paths, gain),
        in_shape=(weights.shape[1], *paths[0].in_shape[1:]),
        out_shape=paths[0].out_shape,
        stride=stride,
        padding=padding,
    )


def _key(path: Path, average: float) -> tuple[Any, ...]:
    """What paths that can share a kernel have in common."""
    return path.weight.name if path.weight is not None else "", path.way, path.order, path.scale * average


def _kernel(path: Path, first: int, padding: tuple[int, int], factor: Float) -> Kernel:
    """Where the weights of a path lie in a core's kernel of that padding, from input feature `first` on."""
    return Kernel(
        node=path.weight.name if path.weight is not None else "",
        first=first,
        features=path.in_shape[0],
        corner=(padding[0] - path.padding[0], padding[1] - path.padding[1]),
        side=path.weights.shape[-1],
        factor=factor[:, None, None, None],
        model_shape=path.weights.shape if path.weight is None else path.weight.weight.shape,
        order=path.order,
    )


def _each(paths: Iterable[Path], values: Iterable[Any]) -> str:
    """'a: 8x8, b: 4x4'."""
    said = dict.fromkeys(f"{path.source}: {value}" for path, value in zip(paths, values, strict=True))
    return ", ".join(said)


def _meet(population: str, paths: Sequence[Path], notes: Notes) -> bool:
    """Whether all paths have the one input size, output shape and stride that a core has."""
    good = True
    if len({path.in_shape[1:] for path in paths}) > 1:
        each = _each(paths, ("x".join(map(str, path.in_shape[1:])) for path in paths))
        reason = "projections of different input sizes meet; a core has one"
        hint = "pool or crop the larger one, or put a layer in between"
        notes.refuse(population, "input size", reason, wanted=each, limit="one size (y x x)", hint=hint)
        good = False
    if len({path.out_shape for path in paths}) > 1:
        each = _each(paths, (path.out_shape for path in paths))
        reason = "projections form different maps; a core has one"
        hint = "let both be dense or both be convolutions"
        notes.refuse(population, "output size", reason, wanted=each, limit="one (features, y, x)", hint=hint)
        good = False
    for axis, name in enumerate("yx"):
        if len({path.stride[axis] for path in paths}) > 1 and any(path.out_shape[1 + axis] > 1 for path in paths):
            each = _each(paths, (path.stride[axis] for path in paths))
            reason = "projections of different strides meet; a core has one"
            hint = "give both the same stride, or put a layer in between"
            notes.refuse(population, f"stride.{name}", reason, wanted=each, limit="one stride", hint=hint)
            good = False
    return good


def _frame(population: str, paths: Sequence[Path], notes: Notes) -> tuple[int, tuple[int, int], tuple[int, int]] | None:
    """(side, padding, stride) of the smallest square kernel that holds all of them at their places, or None.

    A kernel with padding p sees its input p further up and left; in a kernel with padding P it starts at P - p.
    """
    if len(paths) == 1:
        (path,) = paths
        return path.weights.shape[-1], path.padding, path.stride
    stride = (max(path.stride[0] for path in paths), max(path.stride[1] for path in paths))
    least = max(_reach(paths, 0), _reach(paths, 1))
    for side in range(least, max(least, chips.KERNEL_MAX) + 1):
        y, x = (_padding(paths, axis, side, stride[axis]) for axis in (0, 1))
        if y is not None and x is not None:
            return side, (y, x), stride
    each = _each(paths, (f"kernel {path.weights.shape[-1]}, padding {path.padding}" for path in paths))
    reason = (
        f"a kernel that holds all of these has side {least} or more, and none up to {chips.KERNEL_MAX} gives the "
        f"output {paths[0].out_shape[1:]}"
    )
    hint = "give both the same kernel size and padding"
    notes.refuse(population, "kernel size", reason, wanted=each, limit=chips.KERNEL_MAX, hint=hint)
    return None


def _reach(paths: Sequence[Path], axis: int) -> int:
    """Side that all kernels take up along an axis, each where its padding puts it."""
    most = max(path.padding[axis] for path in paths)
    return max(most - path.padding[axis] + int(path.weights.shape[-1]) for path in paths)


def _padding(paths: Sequence[Path], axis: int, side: int, stride: int) -> int | None:
    """Padding with which a kernel of that side gives the output of the paths, or None."""
    have, wanted = paths[0].in_shape[1 + axis], paths[0].out_shape[1 + axis]
    most = max(path.padding[axis] for path in paths)
    # more padding than the paths' own moves their kernels towards the far end, as far as there is room
    for padding in range(most, most + side - _reach(paths, axis) + 1):
        if (have + 2 * padding - side) // stride + 1 == wanted:
            return padding
    return None


def _averages(
    population: str, paths: Sequence[Path], average_merge: Literal["exact", "sinabs"], notes: Notes
) -> list[float]:
    """What the mean pools before each path multiply its weights with.

    Where branches into one weight node disagree, the rule of sinabs 3.1.3 is round(mean(distinct factors) / 2, 2).
    """
    averages = [path.average for path in paths]
    if average_merge == "exact":
        return averages
    for node in dict.fromkeys(path.weight.name for path in paths if path.weight is not None):
        mine = [i for i, path in enumerate(paths) if path.weight is not None and path.weight.name == node]
        different = sorted({averages[i] for i in mine}, reverse=True)
        if len(different) > 1:
            rule = float(np.round(np.mean(different) * 0.5, 2))
            each = _each([paths[i] for i in mine], (f"{averages[i]:g}" for i in mine))
            reason = (
                f"branches into {population} average over different areas; one factor for all, as sinabs chooses it"
            )
            hint = "average_merge='exact' stores a kernel for each factor"
            notes.say("changed", node, "average_merge", reason, each, rule, hint)
            for i in mine:
                averages[i] = rule
    return averages


def _about_copies(population: str, feeds: Sequence[Feed], paths: Sequence[Path], notes: Notes) -> None:
    """Say where a weight node is stored more than once."""
    for node in dict.fromkeys(feed.kernel.node for feed in feeds if feed.kernel.node):
        mine = [i for i, feed in enumerate(feeds) if feed.kernel.node == node]
        copies = len({feeds[i].kernel.first for i in mine})
        if copies > 1:
            each = _each([paths[i] for i in mine], (f"times {paths[i].scale * paths[i].average:g}" for i in mine))
            averaged = len({paths[i].average for i in mine}) > 1
            hint = "average_merge='sinabs' stores it once, with a factor in between" if averaged else ""
            reason = (
                f"stored {copies} times in the core of {population}, which takes as much more kernel memory: {each}"
            )
            notes.say("note", node, "copies", reason, 1, copies, hint)


def _biases(paths: Sequence[Path], gain: Float) -> tuple[Bias, ...]:
    """The biases of all weight nodes; what several paths have in common counts once."""
    found: dict[str, Bias] = {}
    ways: set[tuple[str, ...]] = set()
    for path in paths:
        if path.weight is None or path.bias is None or path.way in ways:
            continue
        ways.add(path.way)
        name, factor = path.weight.name, gain * path.bias_factor
        if name in found:
            factor = factor + found[name].factor
        found[name] = Bias(node=name, values=path.bias, factor=factor)
    return tuple(found.values())
