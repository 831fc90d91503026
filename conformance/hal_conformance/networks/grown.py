"""Networks of any size, made like the witness: its neurons, its dialect, its way of connecting.

A device that maps the witness has no other reason to refuse these than their size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal import nodes
from hal.model import Model
from hal_conformance.networks.witness import CHANNELS, Witness

Shape = tuple[int, ...]


@attrs.frozen(kw_only=True)
class Family:
    """Models that grow in one way: `model(n)` for n from 1 to `most`. A device may refuse all of them."""

    label: str
    model: Callable[[int], Model]
    most: int


def layered(witness: Witness, weights: Sequence[NDArray[Any]]) -> Witness:
    """A chain of layers with these weights, (out, in) each; populations are called layer1, layer2, ..."""
    conv = witness.form.endswith(("convolution", "convolutions"))
    shapes = [_shape(size, conv) for size in (weights[0].shape[1], *(len(weight) for weight in weights))]
    made: list[nodes.Node] = []
    for k, (weight, (before, after)) in enumerate(zip(weights, pairwise(shapes), strict=True), start=1):
        made.append(_convolution(f"fc{k}", weight[:, :, None, None], before, after) if conv else _linear(k, weight))
        made.append(_like(witness, f"layer{k}", after))
    populations = tuple(f"layer{k}" for k in range(1, len(weights) + 1))
    model = _chain(witness, made, shapes[0], shapes[-1])
    label = f"{witness.label}, {'-'.join(str(shape[0]) for shape in shapes)}"
    return attrs.evolve(witness, label=label, model=model, weights=tuple(weights), populations=populations)


def sized(witness: Witness, rng: np.random.Generator, count: int) -> Iterator[Witness]:
    """So many random networks of 1 to 4 layers of 1 to 300 neurons: as many of a few as of a few hundred."""
    most_layers, most_neurons = 4, 300
    values = [-witness.dialect.weak, 0, witness.dialect.weak, witness.dialect.strong]
    for _ in range(count):
        sizes = np.exp(rng.uniform(0, np.log(most_neurons + 1), 1 + rng.integers(1, most_layers + 1))).astype(int)
        weights = [rng.choice(values, (after, before)) for before, after in pairwise(sizes)]
        yield layered(witness, [weight.astype(np.float32) for weight in weights])


def widening(witness: Witness) -> Iterator[Family]:
    """One layer of ever more neurons; the same with one neuron behind it, for devices that need two layers."""

    def behind(n: int) -> Model:
        weight = np.full((n, CHANNELS), witness.dialect.strong, np.float32)
        return layered(witness, [weight, one_behind(witness, n)]).model

    def alone(n: int) -> Model:
        return layered(witness, [np.full((n, CHANNELS), witness.dialect.strong, np.float32)]).model

    yield Family(label="neurons of a layer", model=alone, most=1 << 18)
    yield Family(label="neurons of a layer before another", model=behind, most=1 << 18)


def one_behind(witness: Witness, n: int) -> NDArray[np.float32]:
    """(1, n): the weights of a neuron that hears the first of n neurons."""
    weight = np.zeros((1, n), np.float32)
    weight[0, 0] = witness.dialect.strong
    return weight


def sparse(witness: Witness, sizes: Sequence[int]) -> Witness:
    """A chain of layers of these sizes, the channels first, in which every neuron hears one other."""
    weights = []
    for before, after in pairwise(sizes):
        weight = np.zeros((after, before))
        weight[np.arange(after), np.arange(after) % before] = witness.dialect.strong
        weights.append(weight)
    return layered(witness, weights)


def families(witness: Witness) -> Iterator[Family]:
    """Ways to grow: in neurons, inputs, synapses and depth; and as images in size, kernel, features and padding."""
    weight = witness.dialect.strong

    def dense(*sizes: int) -> Model:
        filled = [np.full((after, before), weight, np.float32) for before, after in pairwise(sizes)]
        return layered(witness, filled).model

    def image(**given: Any) -> Callable[[int], Model]:
        return lambda n: _image(
            witness, **{key: value(n) if callable(value) else value for key, value in given.items()}
        )

    def same(n: int) -> int:
        return n

    yield from widening(witness)
    yield Family(label="inputs of a layer", model=lambda n: dense(n, 1), most=1 << 17)
    yield Family(label="neurons and inputs of a layer", model=lambda n: dense(n, n), most=1 << 10)
    yield Family(label="layers", model=lambda n: dense(*[1] * (n + 1)), most=1 << 9)
    yield Family(label="rows and columns of an image", model=image(size=same), most=1 << 9)
    yield Family(label="rows and columns, every second taken", model=image(size=same, stride=2), most=1 << 9)
    yield Family(label="rows and columns of a small image's kernel", model=image(size=32, kernel=same), most=32)
    yield Family(label="padding of an image", model=image(size=8, padding=same), most=32)
    yield Family(label="features out", model=image(features=same), most=1 << 13)
    yield Family(label="features in", model=image(channels=same), most=1 << 13)
    yield Family(label="features in and out", model=image(channels=same, features=same, kernel=3, size=3), most=1 << 8)
    yield Family(label="biases", model=image(features=same, bias=1.0), most=1 << 13)
    yield Family(label="features of an image", model=image(size=32, features=same), most=1 << 10)


# --- parts ------------------------------------------------------------------------------------------------------------


def _shape(size: int, conv: bool) -> Shape:
    return (size, 1, 1) if conv else (size,)


def _linear(number: int, weight: NDArray[Any]) -> nodes.Node:
    after, before = weight.shape
    return nodes.Linear(name=f"fc{number}", input_shape=(before,), output_shape=(after,), weight=weight)


def _convolution(
    name: str, weight: Any, before: Shape, after: Shape, padding: int = 0, stride: int = 1, bias: float = 0.0
) -> nodes.Node:
    return nodes.Conv2d(
        name=name,
        input_shape=before,
        output_shape=after,
        weight=weight,
        bias=np.full(len(weight), bias),
        stride=(stride, stride),
        padding=((padding, padding), (padding, padding)),
        dilation=(1, 1),
        groups=1,
    )


def _like(witness: Witness, name: str, shape: Shape) -> nodes.Node:
    """A population of the witness's neurons, all with the numbers of its first."""
    like = witness.model.nodes[witness.populations[-1]]
    numbers: dict[str, Any] = {key: np.full(shape, getattr(like, key).flat[0]) for key in like.parameters}
    return attrs.evolve(like, name=name, input_shape=shape, output_shape=shape, **numbers)


def _chain(witness: Witness, made: Sequence[nodes.Node], before: Shape, after: Shape) -> Model:
    entry = nodes.Input(name=witness.input, input_shape=before, output_shape=before)
    end = nodes.Output(name=witness.output, input_shape=after, output_shape=after)
    chain = (entry, *made, end)
    named: Mapping[str, nodes.Node] = {node.name: node for node in chain}
    return Model.of(named, list(pairwise(named)), witness.model.semantics)


def _image(
    witness: Witness,
    *,
    size: int = 1,
    channels: int = 1,
    features: int = 1,
    kernel: int = 1,
    padding: int = 0,
    stride: int = 1,
    bias: float = 0.0,
) -> Model:
    """One convolution over a square image."""
    before = (channels, size, size)
    left = max(0, size + 2 * padding - kernel) // stride + 1
    after = (features, left, left)
    weight = np.full((features, channels, kernel, kernel), witness.dialect.strong, np.float32)
    conv = _convolution("conv", weight, before, after, padding, stride, bias)
    return _chain(witness, [conv, _like(witness, "layer1", after)], before, after)
