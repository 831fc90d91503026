"""Which weight joins which pair of neurons; who feeds what is recorded; what became of the nodes of a plain mapping."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import hal
from hal import nodes
from hal.mapping import plain_fates
from hal.model import Model
from hal.probes import feeding
from hal.semantics import Semantics

MS = 1_000_000
IMAGE = (1, 3, 2)


def ports(shape: tuple[int, ...], *names: str) -> list[nodes.Node]:
    kinds = [nodes.Input if name == "i" else nodes.Output for name in names]
    return [kind(name=name, input_shape=shape, output_shape=shape) for kind, name in zip(kinds, names, strict=True)]


def cells(name: str, shape: tuple[int, ...]) -> nodes.Node:
    ones = np.ones(shape)
    return nodes.IF(name=name, input_shape=shape, output_shape=shape, r=ones, v_threshold=ones, v_reset=0 * ones)


def dense(name: str, out: int, size: int) -> nodes.Node:
    weight = np.arange(out * size, dtype=float).reshape(out, size)
    return nodes.Linear(name=name, input_shape=(size,), output_shape=(out,), weight=weight)


def flatten(name: str, shape: tuple[int, ...]) -> nodes.Node:
    size = int(np.prod(shape))
    return nodes.Flatten(name=name, input_shape=shape, output_shape=(size,), start_dim=0, end_dim=-1)


def model(parts: list[nodes.Node], edges: list[tuple[str, str]], **semantics: Any) -> Model:
    return Model.of({part.name: part for part in parts}, edges, Semantics(dt_ns=MS, gain="one", **semantics))


def only(*way: nodes.Node, target: tuple[int, ...], **semantics: Any) -> Any:
    """The one projection from an Input through nodes to neurons."""
    entry = ports(way[0].input_shape, "i")[0]
    line = [entry, *way, cells("n", target)]
    (projection,) = model(line, list(pairwise(node.name for node in line)), **semantics).projections()
    return projection


def conv(weight: np.ndarray[Any, Any]) -> nodes.Node:
    return nodes.Conv2d(
        name="conv",
        input_shape=IMAGE,
        output_shape=(2, 2, 1),
        weight=weight,
        bias=np.zeros(2),
        stride=(1, 1),
        padding=((0, 0), (0, 0)),
        dilation=(1, 1),
        groups=1,
    )


@pytest.mark.parametrize("order", ["CHW", "HWC"])
def test_labels_say_which_weight_makes_each_entry(order: str) -> None:
    weight = np.random.default_rng(0).normal(size=(2, 1, 2, 2))
    shape = (2, 2, 1)
    ways: list[tuple[Any, tuple[int, ...]]] = [
        ((conv(weight),), shape),
        ((conv(weight), flatten("flat", shape)), (4,)),
        ((flatten("flat", IMAGE), dense("fc", 3, 6)), (3,)),
    ]
    for way, target in ways:
        projection = only(*way, target=target, flatten_order=order)
        node, labels = projection.labels()
        assert node.name in ("conv", "fc")
        matrix = np.zeros(labels.shape)
        pairs = labels.tocoo()
        matrix[pairs.row, pairs.col] = node.weight.ravel()[pairs.data - 1]
        assert np.array_equal(matrix, projection.matrix().toarray())
    # a weight of 0 has its label, too
    assert labels.nnz == 18


def test_no_labels_where_a_pair_is_not_joined_by_one_weight() -> None:
    scale = nodes.Scale(name="s", input_shape=(2,), output_shape=(2,), scale=np.ones(2))
    for way in ([scale], [scale, dense("a", 2, 2)], [dense("a", 2, 2), dense("b", 2, 2)]):
        assert only(*way, target=(2,)).labels() is None


def branching() -> Model:
    """i -> a -> n -> b -> m; both reach o, m alone p; a node that leads nowhere."""
    parts = [*ports((2,), "i", "o", "p"), *(dense(x, 2, 2) for x in "abx"), cells("n", (2,)), cells("m", (2,))]
    flat = flatten("flat", (2,))
    edges = ["ia", "an", "nb", "bm", "mo", "mp", "nx"]
    return model([*parts, flat], [*((a, b) for a, b in edges), ("n", "flat"), ("flat", "o")])


def test_who_feeds_what_is_recorded() -> None:
    mapping = hal.mapper("ideal").map(branching(), record=["n"])
    assert feeding(mapping) == {"o": ("m", "n"), "p": ("m",), "n": ("n",)}
    adopted = hal.mapper("ideal").adopt(mapping.config)
    assert feeding(adopted) == {"o": ("o",), "p": ("p",)}


def test_fates_of_a_mapping_without_surprises() -> None:
    made = {fate.node: (fate.fate, fate.onto, fate.reason) for fate in plain_fates(branching())}
    assert made == {
        **dict.fromkeys("iop", ("folded", "", "")),
        **dict.fromkeys("nm", ("chip", "", "")),
        "a": ("folded", "n", "synapses"),
        "b": ("folded", "m", "synapses"),
        "flat": ("folded", "", "order of addresses"),
        "x": ("folded", "", "on no way between populations"),
    }
