"""Shape rules against counting by hand, and inference over graphs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.errors import ModelError
from hal.model import Model, read_model
from hal.nir.shapes import (
    ShapeError,
    conv_output,
    explicit_padding,
    flatten_output,
    pool_output,
    spread,
    window_count,
)


def node(kind: str, **fields: Any) -> Any:
    return type(kind, (), fields)()


def graph(edges: list[tuple[str, str]], **nodes: Any) -> Any:
    return node("NIRGraph", nodes=nodes, edges=edges)


def read(edges: list[tuple[str, str]], drop_batch_axis: bool = False, **nodes: Any) -> Model:
    return read_model(graph(edges, **nodes), "nir", drop_batch_axis)


def chain(drop_batch_axis: bool = False, **nodes: Any) -> Model:
    return read(list(pairwise(nodes)), drop_batch_axis, **nodes)


def refusal(**nodes: Any) -> str:
    with pytest.raises(ModelError) as caught:
        chain(**nodes)
    return str(caught.value)


def source(*shape: int) -> Any:
    return node("Input", input_type={"input": np.array(shape)})


def sink(*shape: int) -> Any:
    return node("Output", output_type={"output": np.array(shape)})


def conv(weight: tuple[int, ...], shape: Any = None, **more: Any) -> Any:
    fields = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": np.zeros(weight[0])} | more
    return node(f"Conv{len(weight) - 2}d", input_shape=shape, weight=np.ones(weight, np.float32), **fields)


def lif(*shape: int) -> Any:
    one = np.ones(shape, np.float32)
    return node("LIF", tau=one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)


def affine(out: int, into: int) -> Any:
    return node("Affine", weight=np.ones((out, into), np.float32), bias=np.zeros(out, np.float32))


# --- rules ------------------------------------------------------------------------------------------------------------


@given(n=st.integers(1, 30), k=st.integers(1, 6), s=st.integers(1, 4), a=st.integers(0, 4), b=st.integers(0, 4),
       d=st.integers(1, 3))  # fmt: skip
def test_window_count_is_the_number_of_places_a_window_fits(n: int, k: int, s: int, a: int, b: int, d: int) -> None:
    places = [start for start in range(0, n + a + b, s) if start + d * (k - 1) < n + a + b]
    assert max(window_count(n, k, s, (a, b), d), 0) == len(places)


@given(n=st.integers(1, 30), k=st.integers(1, 6), d=st.integers(1, 4))
def test_same_padding_keeps_the_size(n: int, k: int, d: int) -> None:
    (pads,) = explicit_padding("same", (k,), (1,), (d,))
    assert window_count(n, k, 1, pads, d) == n
    assert pads[1] - pads[0] in (0, 1)


@pytest.mark.parametrize(
    ("shape", "weight", "stride", "padding", "dilation", "groups", "expected"),
    [  # PyTorch 2: torch.nn.functional.conv2d / conv1d of these shapes
        ((2, 10, 12), (4, 2, 3, 5), (1, 1), (0, 0), (1, 1), 1, (4, 8, 8)),
        ((4, 10, 12), (6, 2, 3, 5), (2, 1), (1, 0), (1, 1), 2, (6, 5, 8)),
        ((8, 7, 7), (8, 1, 3, 3), (2, 2), (1, 1), (1, 1), 8, (8, 4, 4)),
        ((1, 9, 9), (2, 1, 3, 2), (1, 3), (0, 2), (2, 3), 1, (2, 5, 4)),
        ((3, 20), (5, 3, 4), (3,), (2,), (2,), 1, (5, 6)),
        ((2, 34, 34), (16, 2, 5, 5), (2, 2), (1, 1), (1, 1), 1, (16, 16, 16)),
    ],
)
def test_convolutions_as_in_pytorch(
    shape: Any, weight: Any, stride: Any, padding: Any, dilation: Any, groups: int, expected: Any
) -> None:
    pads = explicit_padding(padding, weight[2:], stride, dilation)
    assert conv_output(shape, weight, stride, pads, dilation, groups) == expected


def test_same_and_valid() -> None:
    assert explicit_padding("valid", (3, 5), (2, 2), (1, 1)) == ((0, 0), (0, 0))
    assert explicit_padding("same", (3, 4), (1, 1), (1, 1)) == ((1, 1), (1, 2))
    with pytest.raises(ShapeError, match="'same' has no meaning with a stride"):
        explicit_padding("same", (3, 3), (2, 1), (1, 1))
    with pytest.raises(ShapeError, match="unknown word"):
        explicit_padding("reflect", (3, 3), (1, 1), (1, 1))


def test_pools() -> None:
    assert pool_output((3, 7, 9), (2, 3), (2, 3), (0, 0)) == (3, 3, 3)
    assert pool_output((3, 7, 9), (3, 3), (2, 2), (1, 1)) == (3, 4, 5)
    with pytest.raises(ShapeError, match="does not fit"):
        pool_output((3, 2, 2), (3, 3), (1, 1), (0, 0))
    with pytest.raises(ShapeError, match=r"\(C, H, W\)"):
        pool_output((4, 4), (2, 2), (2, 2), (0, 0))


@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=5), data=st.data())
def test_flatten_as_numpy_reshapes(shape: list[int], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(shape) - 1))
    last = data.draw(st.integers(first, len(shape) - 1))
    expected = np.zeros(shape).reshape((*shape[:first], -1, *shape[last + 1 :])).shape
    assert flatten_output(tuple(shape), first, last) == expected
    assert flatten_output(tuple(shape), first - len(shape), last - len(shape)) == expected


@pytest.mark.parametrize(("start", "end"), [(3, -1), (0, 3), (-4, -1), (2, 1)])
def test_flatten_of_axes_that_are_not_there(start: int, end: int) -> None:
    with pytest.raises(ShapeError):
        flatten_output((2, 3, 4), start, end)


def test_spread() -> None:
    assert spread("stride", (2,), 2, 1) == (2, 2)
    assert spread("stride", (2, 3), 2, 1) == (2, 3)
    with pytest.raises(ShapeError, match="wrong number"):
        spread("stride", (1, 2, 3), 2, 1)
    with pytest.raises(ShapeError, match="too small"):
        spread("stride", (1, 0), 2, 1)


# --- inference --------------------------------------------------------------------------------------------------------


def shape_of(model: Model, name: str) -> tuple[Any, Any]:
    return model.nodes[name].input_shape, model.nodes[name].output_shape


def test_convolution_without_input_shape_takes_that_of_its_predecessor() -> None:
    model = chain(a=source(4, 10, 12), c=conv((6, 2, 3, 5), groups=2), o=sink(6, 8, 8))
    assert shape_of(model, "c") == ((4, 10, 12), (6, 8, 8))


def test_grouped_convolution_with_input_shape() -> None:
    model = chain(a=source(4, 10, 12), c=conv((4, 1, 3, 3), (10, 12), groups=4, padding="same"), o=sink(4, 10, 12))
    assert model.nodes["c"].padding == ((1, 1), (1, 1))
    assert model.nodes["c"].stride == (1, 1)


def test_convolution_in_one_dimension() -> None:
    model = chain(a=source(2, 20), c=conv((3, 2, 4), 20, stride=(2,), padding="valid"), o=sink(3, 9))
    assert (model.nodes["c"].stride, model.nodes["c"].padding) == (2, (0, 0))


def test_pool_as_the_first_node() -> None:
    pool = node("SumPool2d", kernel_size=np.array([2, 2]), stride=np.array(2), padding=0)
    model = chain(a=source(1, 6, 8), p=pool, i=lif(1, 3, 4), o=sink(1, 3, 4))
    assert shape_of(model, "p") == ((1, 6, 8), (1, 3, 4))
    assert model.nodes["p"].stride == (2, 2)


def test_flatten_defaults_keep_the_first_axis() -> None:
    model = chain(a=source(4, 5, 5), f=node("Flatten", input_type=None), o=sink(4, 25))
    assert shape_of(model, "f") == ((4, 5, 5), (4, 25))
    assert (model.nodes["f"].start_dim, model.nodes["f"].end_dim) == (1, -1)


def test_flatten_one_before_affine_suggests_zero() -> None:
    flat = node("Flatten", input_type={"input": np.array([4, 5, 5])}, start_dim=1, end_dim=-1)
    text = refusal(a=source(4, 5, 5), f=flat, fc=affine(3, 100), o=sink(3))
    assert "'f' gives (4, 25), 'fc' takes (100,)" in text
    assert "give 'f' start_dim 0 (it has 1)" in text


def test_affine_after_an_image_suggests_flatten() -> None:
    text = refusal(a=source(2, 3, 4), i=lif(2, 3, 4), fc=affine(5, 24), o=sink(5))
    assert "edge ('i', 'fc')" in text
    assert "(2, 3, 4)" in text
    assert "(24,)" in text
    assert "Flatten with start_dim 0" in text


def test_affine_with_leading_axes() -> None:
    dense = node("Affine", weight=np.ones((3, 4, 5)), bias=np.arange(4.0))
    model = chain(a=source(3, 5), fc=dense, o=sink(3, 4))
    assert model.nodes["fc"].bias.tolist() == [[0, 1, 2, 3]] * 3
    assert any(note.node == "fc" and note.field == "bias" for note in model.notes)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ({"a": source(3, 8, 8), "c": conv((4, 2, 3, 3))}, ["node 'c', field 'weight'", "2 channels", "'a' gives (3"]),
        ({"a": source(3, 8, 8), "c": conv((4, 2, 3, 3), (8, 8))}, ["'a' gives (3, 8, 8)", "'c' takes (2, 8, 8)"]),
        ({"a": source(2, 8), "c": conv((4, 2, 3, 3))}, ["node 'c'", "(C, H, W)", "(2, 8)"]),
        ({"a": source(2, 2, 2), "c": conv((4, 2, 3, 3))}, ["node 'c'", "does not fit"]),
        ({"a": source(2, 8, 8), "c": conv((4, 2, 3, 3), groups=3)}, ["node 'c', field 'groups'", "3 groups"]),
        ({"a": source(2, 8, 8), "c": conv((4, 2, 3, 3), groups=0)}, ["node 'c', field 'groups'", ">= 1"]),
        ({"a": source(2, 8, 8), "c": conv((4, 2, 3, 3), stride=0)}, ["node 'c', field 'stride'", ">= 1"]),
        ({"a": source(2, 8, 8), "c": conv((4, 2, 3, 3), stride=(1, 1, 1))}, ["node 'c', field 'stride'", "1 or 2"]),
        ({"a": source(2, 8, 8), "c": conv((4, 2, 3, 3), padding="full")}, ["node 'c', field 'padding'", "'full'"]),
        ({"a": source(2, 8, 8), "c": conv((4, 2, 3, 3), padding=-1)}, ["node 'c', field 'padding'", ">= 0"]),
        ({"a": source(2, 8, 8), "c": conv((4, 2, 3, 3), padding="same", stride=2)}, ["field 'padding'", "'same'"]),
        ({"a": source(2, 8, 8), "c": conv((4, 2, 3, 3), bias=np.zeros(3))}, ["field 'bias'", "(3,)", "4 output"]),
        ({"a": source(2, 8, 8), "c": conv((4, 2, 3, 3), dilation=1.5)}, ["node 'c', field 'dilation'", "1.5"]),
        ({"a": source(2, 8), "c": conv((4, 2, 3, 3, 3), (8, 8))}, ["unknown node type 'Conv3d'", "Conv2d"]),
        ({"a": source(3), "w": node("Linear", weight=np.ones(3))}, ["node 'w', field 'weight'", "2 axes"]),
        ({"a": source(3), "f": node("Flatten", input_type=None, start_dim=1)}, ["field 'start_dim'", "start_dim = 0"]),
    ],
)  # fmt: skip
def test_shapes_that_cannot_be(nodes: dict[str, Any], words: list[str]) -> None:
    text = refusal(**nodes, o=sink(4))
    for word in words:
        assert word in text


def test_parameters_that_disagree() -> None:
    odd = node("LIF", tau=np.ones(4), r=np.ones(5), v_leak=0.0, v_threshold=np.ones(4))
    assert "tau (4,), r (5,)" in refusal(a=source(4), i=odd, o=sink(4))


# --- scalars ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1.0, np.float32(1), np.array(1.0), np.array([1.0]), np.ones((1, 1))], ids=repr)
def test_scalars_take_the_shape_of_what_feeds_them(value: Any) -> None:
    neuron = node("LIF", tau=value, r=value, v_leak=value, v_threshold=np.ones(5), v_reset=0.0)
    model = chain(a=source(5), i=neuron, o=sink(5))
    assert all(getattr(model.nodes["i"], p).shape == (5,) for p in model.nodes["i"].parameters)
    assert {n.field for n in model.notes} == {"tau", "r", "v_leak", "v_reset"}
    assert all("broadcast" in n.reason for n in model.notes)


@pytest.mark.parametrize("value", [2.0, np.array([2.0])], ids=repr)
def test_all_scalars_between_weights(value: Any) -> None:
    model = chain(a=source(3), w=affine(4, 3), i=node("IF", r=value, v_threshold=value), v=affine(2, 4), o=sink(2))
    assert model.nodes["i"].v_threshold.tolist() == [2] * 4
    assert model.nodes["i"].v_reset.tolist() == [0] * 4


def test_all_scalars_known_only_from_behind() -> None:
    """A recurrent pair fed by nothing that has a shape: the shape comes from the weight behind it."""
    neuron = node("IF", r=1.0, v_threshold=1.0)
    edges = [("i", "s"), ("s", "i"), ("i", "w"), ("w", "o"), ("a", "v"), ("v", "o")]
    model = read(edges, a=source(3), v=affine(2, 3), i=neuron, s=node("Scale", scale=0.5), w=affine(2, 4), o=sink(2))
    assert shape_of(model, "s") == ((4,), (4,))
    assert model.nodes["i"].r.shape == (4,)


def test_one_neuron_stays_one_neuron() -> None:
    model = chain(a=source(1), i=node("IF", r=np.ones(1), v_threshold=np.ones(1)), o=sink(1))
    assert model.nodes["i"].r.shape == (1,)
    assert not [n for n in model.notes if "broadcast" in n.reason]


def test_an_isolated_neuron_of_one_parameter() -> None:
    model = read([("a", "o")], a=source(2), o=sink(2), i=node("I", r=np.ones(1)))
    assert model.nodes["i"].input_shape == (1,)
    with pytest.raises(ModelError, match="shape of this I cannot be known"):
        read([("a", "o")], a=source(2), o=sink(2), i=node("I", r=1.0))


def test_broadcasting_is_bounded() -> None:
    text = refusal(a=source(2**24), i=node("LIF", tau=1.0, r=1.0, v_leak=0.0, v_threshold=1.0), o=sink(2**24))
    assert "broadcast beyond the limit" in text
    assert "node 'i'" in text


# --- batch axes -------------------------------------------------------------------------------------------------------


def test_batch_axis_is_refused_with_both_shapes_and_the_option() -> None:
    text = refusal(a=source(1, 3), w=affine(4, 3), o=sink(1, 1, 4))
    for word in ["(1, 3)", "(3,)", "(1, 1, 4)", "(4,)", "drop_batch_axis=True", "'a'", "'o'"]:
        assert word in text


def test_batch_axis_is_dropped_when_asked_and_said() -> None:
    model = chain(True, a=source(1, 3), w=affine(4, 3), o=sink(1, 1, 4))
    assert shape_of(model, "a") == ((3,), (3,))
    assert shape_of(model, "o") == ((4,), (4,))
    said = {n.node: (n.wanted, n.realised) for n in model.notes}
    assert said == {"a": ((1, 3), (3,)), "o": ((1, 1, 4), (4,))}


def test_an_image_of_one_channel_keeps_its_channel() -> None:
    """Only as many axes are dropped as the neighbours ask for."""
    model = chain(True, a=source(1, 1, 8, 8), c=conv((2, 1, 3, 3)), o=sink(1, 2, 6, 6))
    assert shape_of(model, "a")[0] == (1, 8, 8)
    kept = chain(True, a=source(1, 8, 8), c=conv((1, 1, 3, 3)), o=sink(1, 6, 6))
    assert shape_of(kept, "a")[0] == (1, 8, 8)
    assert shape_of(kept, "o")[0] == (1, 6, 6)
    assert kept.notes == ()


def test_a_real_mismatch_stays_one() -> None:
    with pytest.raises(ModelError, match=r"\(4,\).*takes \(3,\)"):
        chain(True, a=source(1, 4), w=affine(4, 3), o=sink(4))


def test_a_batch_axis_in_the_parameters_is_named() -> None:
    text = refusal(a=source(3), w=affine(4, 3), i=lif(1, 4), o=sink(4))
    assert "'i' seems to carry a batch axis" in text
