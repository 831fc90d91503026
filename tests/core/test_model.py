"""The model: order, projections and their matrices, kinds, fingerprint, parts, archive form, semantics."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hal.projecting
from hal.errors import ConfigError, FormatError, ModelError
from hal.model import Model, SemanticsWarning, read_model
from hal.projection import node_matrix
from hal.semantics import Semantics

Edges = list[tuple[str, str]]


def node(kind: str, **fields: Any) -> Any:
    return type(kind, (), fields)()


def read(edges: Edges, semantics: Any = "nir", **nodes: Any) -> Model:
    return read_model(node("NIRGraph", nodes=nodes, edges=edges), semantics)


def source(*shape: int) -> Any:
    return node("Input", shape=shape)


def sink(*shape: int) -> Any:
    return node("Output", shape=shape)


def neuron(*shape: int, kind: str = "IF") -> Any:
    one = np.ones(shape)
    return node(kind, r=one, v_threshold=one, tau=one, v_leak=0 * one, threshold=one)


def linear(out: int, into: int, seed: int = 0) -> Any:
    return node("Linear", weight=np.random.default_rng(seed).normal(size=(out, into)))


def affine(weight: Any, bias: Any) -> Any:
    return node("Affine", weight=np.array(weight, float), bias=np.array(bias, float))


def delay(*values: float) -> Any:
    return node("Delay", delay=np.array(values))


SIMPLE = [("in", "w"), ("w", "n"), ("n", "out")]


def simple(semantics: Any = "nir", **more: Any) -> Model:
    nodes = {"in": source(2), "w": linear(3, 2), "n": neuron(3), "out": sink(3)} | more
    return read_model(node("NIRGraph", nodes=nodes, edges=SIMPLE), semantics)


# --- order ------------------------------------------------------------------------------------------------------------


@st.composite
def random_graphs(draw: st.DrawFn) -> Model:
    """Neurons, scales and delays of size 2 with random edges, fed by one Input; loops without state left out."""
    names = [f"n{i}" for i in range(draw(st.integers(1, 9)))]
    kinds = {name: draw(st.sampled_from(["IF", "LI", "Scale", "Delay", "Threshold"])) for name in names}
    pairs = draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=25, unique=True))
    # a Scale points only to later ones, so that every loop has state in it
    edges = [(a, b) for a, b in pairs if kinds[a] != "Scale" or kinds[b] != "Scale" or a < b]
    entered = {b for _, b in edges}
    left = [name for name in names if name not in entered or draw(st.booleans())]
    edges += [("in", name) for name in left] + [(names[-1], "out")]
    makers: dict[str, Callable[[], Any]] = {
        "Scale": lambda: node("Scale", scale=np.ones(2)),
        "Delay": lambda: delay(1.0, 1.0),
    }
    nodes = {name: makers.get(kind, lambda kind=kind: neuron(2, kind=kind))() for name, kind in kinds.items()}
    return read(edges, **nodes, **{"in": source(2), "out": sink(2)})


def cycles_left(model: Model, cut: frozenset[tuple[str, str]]) -> bool:
    """Whether a walk along the other edges comes back, by repeatedly taking away what has no predecessor."""
    edges = {edge for edge in model.edges if edge not in cut}
    names = set(model.nodes)
    while names:
        free = names - {b for a, b in edges if a in names}
        if not free:
            return True
        names -= free
    return False


@settings(max_examples=150, deadline=None)
@given(random_graphs())
def test_order_respects_all_edges_that_are_not_feedback(model: Model) -> None:
    place = {name: i for i, name in enumerate(model.order())}
    cut = model.feedback()
    assert sorted(place) == sorted(model.nodes)
    assert all(place[a] < place[b] for a, b in model.edges if (a, b) not in cut)
    assert not cycles_left(model, cut)
    assert all(model.nodes[a].population or model.nodes[a].type == "Delay" for a, _ in cut)
    # an edge is cut only within a loop: there is a way back
    for a, b in cut:
        seen, stack = {b}, [b]
        while stack:
            for after in model.successors(stack.pop()):
                if after not in seen:
                    seen.add(after)
                    stack.append(after)
        assert a in seen


def test_feedback_leaves_the_neuron_not_the_weight() -> None:
    edges = [("in", "n"), ("n", "w"), ("w", "n"), ("n", "out")]
    model = read(edges, **{"in": source(3), "n": neuron(3), "w": linear(3, 3), "out": sink(3)})
    assert model.feedback() == {("n", "w")}
    assert model.order() == ("in", "w", "n", "out")
    assert {(p.source, p.target, p.recurrent) for p in model.projections()} == {
        ("in", "n", False),
        ("n", "n", True),
        ("n", "out", False),
    }


def test_a_delay_beside_a_neuron_is_not_cut_twice() -> None:
    edges = [("in", "n"), ("n", "d"), ("d", "n"), ("n", "out")]
    model = read(edges, **{"in": source(2), "n": neuron(2), "d": delay(0.5, 0.5), "out": sink(2)})
    assert model.feedback() == {("n", "d")}


def test_a_loop_of_delays_alone_has_an_order_but_no_projections() -> None:
    edges = [("in", "s"), ("s", "d"), ("d", "s"), ("s", "out")]
    model = read(edges, **{"in": source(2), "s": node("Scale", scale=np.ones(2)), "d": delay(1, 1), "out": sink(2)})
    assert model.feedback() == {("d", "s")}
    with pytest.raises(ModelError, match=r"'s' -> 'd' -> 's'|'d' -> 's' -> 'd'"):
        model.projections()


@given(st.permutations(["a", "b", "c", "d"]))
def test_the_order_of_populations_does_not_follow_the_names(names: list[str]) -> None:
    """A chain, a loop in it: renamed in every way, the same order of places."""
    first, second, third, fourth = names
    edges = [("in", first), (first, second), (second, third), (third, second), (third, fourth), (fourth, "out")]
    model = read(edges, **{name: neuron(2) for name in names}, **{"in": source(2), "out": sink(2)})
    assert [n.name for n in model.populations()] == ["in", *names]


def test_ties_go_by_name() -> None:
    edges = [("in", n) for n in "cab"] + [(n, "out") for n in "cab"]
    model = read(edges, **{n: neuron(2) for n in "cab"}, **{"in": source(2), "out": sink(2)})
    assert [n.name for n in model.populations()] == ["in", "a", "b", "c"]
    assert [p.source for p in model.projections() if p.target == "out"] == ["a", "b", "c"]


def test_inputs_and_outputs_are_sorted_as_text() -> None:
    edges = [("in10", "out2"), ("in2", "out10")]
    nodes = {"in10": source(2), "in2": source(2), "out2": sink(2), "out10": sink(2)}
    model = read(edges, **nodes)
    assert (model.inputs, model.outputs) == (("in10", "in2"), ("out10", "out2"))
    assert any("'in10', 'in2'" in str(note) for note in model.notes)


# --- projections ------------------------------------------------------------------------------------------------------


def evaluate(model: Model, projection: Any, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A path applied to one input, loop by loop, without biases."""
    x = values.reshape(model.nodes[projection.source].output_shape)
    for step in projection.path:
        x = DIRECT[step.type](step, x, projection.hwc)
    return x.reshape(-1)


def direct_dense(n: Any, x: Any, hwc: Any) -> Any:
    return np.einsum("...oi,...i->...o", n.weight, x)


def direct_conv(n: Any, x: Any, hwc: Any) -> Any:
    one = n.weight.ndim == 3
    weight = n.weight[:, :, None] if one else n.weight
    (py, px), (sy, sx), (dy, dx) = (
        (((0, 0), n.padding), (1, n.stride), (1, n.dilation)) if one else (n.padding, n.stride, n.dilation)
    )
    x = np.pad(x[:, None] if one else x, ((0, 0), py, px))
    out = np.zeros(n.output_shape if not one else (n.output_shape[0], 1, n.output_shape[1]))
    per_out, per_in = weight.shape[0] // n.groups, weight.shape[1]
    for co, y, col in np.ndindex(*out.shape):
        for ci, ky, kx in np.ndindex(*weight.shape[1:]):
            channel = co // per_out * per_in + ci
            out[co, y, col] += weight[co, ci, ky, kx] * x[channel, y * sy + ky * dy, col * sx + kx * dx]
    return out.reshape(n.output_shape)


def direct_pool(n: Any, x: Any, hwc: Any) -> Any:
    x = np.pad(x, ((0, 0), (n.padding[0],) * 2, (n.padding[1],) * 2))
    out = np.zeros(n.output_shape)
    for c, y, col in np.ndindex(*out.shape):
        window = x[c, y * n.stride[0] :, col * n.stride[1] :][: n.kernel_size[0], : n.kernel_size[1]]
        out[c, y, col] = window.mean() if n.type == "AvgPool2d" else window.sum()
    return out


def direct_flatten(n: Any, x: Any, hwc: Any) -> Any:
    return (np.moveaxis(x, 0, -1) if n.name in hwc else x).reshape(n.output_shape)


DIRECT: Mapping[str, Callable[..., Any]] = {
    "Affine": direct_dense,
    "Linear": direct_dense,
    "Conv1d": direct_conv,
    "Conv2d": direct_conv,
    "SumPool2d": direct_pool,
    "AvgPool2d": direct_pool,
    "Flatten": direct_flatten,
    "Scale": lambda n, x, hwc: n.scale * x,
    "Delay": lambda n, x, hwc: x,
}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_matrix_is_the_path_applied_to_unit_inputs(data: st.DataObject) -> None:
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    groups = draw(st.sampled_from([1, 2]))
    kernel, stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3))), draw(st.integers(1, 2))
    padding = draw(st.sampled_from([0, 1, (2, 0), "valid", "same"])) if stride == 1 else draw(st.integers(0, 2))
    weight = rng.integers(-2, 3, (4, 4 // groups, *kernel)).astype(np.float32)
    nodes = {
        "in": source(4, 9, 8),
        "s": node("Scale", scale=rng.normal(size=(4, 9, 8))),
        "c": node("Conv2d", input_shape=None, weight=weight, stride=stride, padding=padding,
                  dilation=draw(st.integers(1, 2)), groups=groups, bias=np.zeros(4)),
        "p": node(draw(st.sampled_from(["SumPool2d", "AvgPool2d"])), kernel_size=2, stride=draw(st.integers(1, 2)),
                  padding=draw(st.integers(0, 1))),
        "f": node("Flatten", input_type=None, start_dim=draw(st.sampled_from([0, 1])), end_dim=-1),
        "out": None,
    }  # fmt: skip
    edges = [("in", "s"), ("s", "c"), ("c", "p"), ("p", "f"), ("f", "out")]
    shape = read_shape(nodes, edges)
    order = draw(st.sampled_from(["CHW", "HWC"]))
    model = read(edges, Semantics(flatten_order=order), **(nodes | {"out": sink(*shape)}))
    (projection,) = model.projections()
    assert (projection.hwc == {"f"}) == (order == "HWC")
    matrix = projection.matrix()
    # start_dim 1 does not merge the channels, so the order of axes says nothing there
    hwc = projection.hwc if model.nodes["f"].start_dim == 0 else frozenset()
    projection = attrs.evolve(projection, hwc=hwc)
    values = rng.normal(size=4 * 9 * 8)
    np.testing.assert_allclose(matrix @ values, evaluate(model, projection, values), atol=1e-9)
    assert matrix.dtype == np.float64
    assert matrix.shape == (int(np.prod(shape)), 4 * 9 * 8)
    assert np.all(matrix.data != 0)


def read_shape(nodes: dict[str, Any], edges: Edges) -> tuple[int, ...]:
    """The shape that flows into 'out', taken from the error that a wrong one gives."""
    with pytest.raises(ModelError) as caught:
        read(edges, **(nodes | {"out": sink(999)}))
    (problem,) = caught.value.problems
    text = problem.what.split("gives ")[1].split(")")[0]
    return tuple(int(part) for part in text.strip("(").split(",") if part.strip())


def test_matrix_of_a_convolution_in_one_dimension() -> None:
    rng = np.random.default_rng(1)
    conv = node("Conv1d", input_shape=None, weight=rng.normal(size=(6, 2, 3)), stride=2, padding=1, dilation=2,
                groups=3, bias=np.zeros(6))  # fmt: skip
    model = read([("in", "c"), ("c", "out")], **{"in": source(6, 9), "c": conv, "out": sink(6, 4)})
    (projection,) = model.projections()
    values = rng.normal(size=54)
    np.testing.assert_allclose(projection.matrix() @ values, evaluate(model, projection, values))


def test_matrix_with_leading_axes() -> None:
    rng = np.random.default_rng(1)
    dense = node("Linear", weight=rng.normal(size=(3, 2, 5)))
    model = read([("in", "w"), ("w", "out")], **{"in": source(3, 5), "w": dense, "out": sink(3, 2)})
    (projection,) = model.projections()
    values = rng.normal(size=15)
    np.testing.assert_allclose(projection.matrix() @ values, evaluate(model, projection, values))


def test_matrix_of_nothing_between_is_the_identity() -> None:
    model = simple()
    assert (model.projections()[-1].matrix().toarray() == np.eye(3)).all()
    with pytest.raises(TypeError, match="'n' is a IF"):
        node_matrix(model.nodes["n"])


def test_a_bias_acts_once_however_many_paths_merge_before_it() -> None:
    """a and b meet before an affine; a's own affine before that is a's alone."""
    edges = [("in", "a"), ("in", "b"), ("a", "wa"), ("wa", "w"), ("b", "w"), ("w", "c"), ("c", "out")]
    wa, w = affine([[2, 0], [0, 3]], [10, 20]), affine([[1, 1], [1, -1], [0, 5]], [1, 2, 3])
    model = read(
        edges, **{"in": source(2), "a": neuron(2), "b": neuron(2), "wa": wa, "w": w, "c": neuron(3), "out": sink(3)}
    )
    a, b = (p for p in model.projections() if p.target == "c")
    assert (a.source, b.source) == ("a", "b")
    assert a.bias is not None
    assert a.bias.tolist() == [10 + 20 + 1, 10 - 20 + 2, 5 * 20 + 3]
    assert b.bias is None
    assert a.matrix().toarray().tolist() == [[2, 3], [2, -3], [0, 15]]


def test_a_bias_that_splits_and_merges_counts_once_on_each_way() -> None:
    edges = [("in", "w"), ("w", "s"), ("w", "t"), ("s", "n"), ("t", "n"), ("n", "out")]
    scale = {"s": node("Scale", scale=np.array([2.0])), "t": node("Scale", scale=np.array([3.0]))}
    model = read(edges, **{"in": source(1), "w": affine([[1]], [1]), "n": neuron(1), "out": sink(1)}, **scale)
    first, second = (p for p in model.projections() if p.target == "n")
    assert [n.name for n in first.path] == ["w", "s"]
    assert (first.bias, second.bias) == (pytest.approx([2]), pytest.approx([3]))


def test_a_convolution_bias_fills_its_channel() -> None:
    conv = node("Conv2d", input_shape=None, weight=np.ones((2, 1, 2, 2)), stride=1, padding=0, dilation=1, groups=1,
                bias=np.array([0.5, -1]))  # fmt: skip
    model = read([("in", "c"), ("c", "out")], **{"in": source(1, 3, 2), "c": conv, "out": sink(2, 2, 1)})
    bias = model.projections()[0].bias
    assert bias is not None
    assert bias.tolist() == [0.5, 0.5, -1, -1]


def test_a_bias_of_zeros_is_none() -> None:
    model = simple(w=affine(np.ones((3, 2)), [0, 0, 0]))
    assert model.projections()[0].bias is None


def delayed(semantics: Any, *path: tuple[str, Any], size: int = 2) -> Any:
    names = ["in", *(name for name, _ in path), "out"]
    edges = list(pairwise(names))
    model = read(edges, semantics, **{"in": source(2), "out": sink(size)}, **dict(path))
    return model.projections()[0].delay_ns


@pytest.mark.parametrize(
    ("semantics", "expected"),
    [
        (Semantics(), 3_000_000),
        (Semantics(tau_unit="ms"), 3_000),
        (Semantics(tau_unit="steps", dt_ns=1_000_000_000), 3_000_000),
        (Semantics(tau_unit="s*dt", dt_ns=1_000_000), 3_000_000_000),
    ],
)
def test_delays_follow_the_unit_of_tau(semantics: Semantics, expected: int) -> None:
    assert delayed(semantics, ("d", delay(0.003, 0.003))) == expected


def test_delays_are_per_source_before_a_weight_and_per_target_behind() -> None:
    w = linear(3, 2)
    assert delayed("nir", ("d", delay(1, 2)), ("w", w), size=3).tolist() == [10**9, 2 * 10**9]
    assert delayed("nir", ("w", w), ("d", delay(1, 2, 3)), size=3).tolist() == [10**9, 2 * 10**9, 3 * 10**9]
    both = delayed("nir", ("c", delay(1, 2)), ("w", w), ("d", delay(1, 1, 1)), size=3)
    assert both.tolist() == [2 * 10**9, 3 * 10**9]
    assert delayed("nir", ("c", delay(1, 1)), ("w", w), ("d", delay(1, 2, 3)), size=3).tolist() == [
        2 * 10**9, 3 * 10**9, 4 * 10**9
    ]  # fmt: skip
    assert delayed("nir", ("c", delay(1, 1)), ("d", delay(2, 2))) == 3 * 10**9
    assert delayed("nir", ("w", w), ("d", delay(2, 2, 2)), ("v", linear(2, 3))) == 2 * 10**9


def test_a_delay_behind_a_flatten_knows_its_source() -> None:
    edges = [("in", "f"), ("f", "d"), ("d", "w"), ("w", "out")]
    nodes = {
        "in": source(2, 1, 2),
        "f": node("Flatten", input_type=None, start_dim=0),
        "d": delay(0, 1, 2, 3),
        "w": linear(1, 4),
        "out": sink(1),
    }
    plain, swapped = (
        read(edges, Semantics(flatten_order=order), **nodes).projections()[0].delay_ns for order in ("CHW", "HWC")
    )
    assert plain.tolist() == [0, 10**9, 2 * 10**9, 3 * 10**9]
    assert swapped.tolist() == [0, 2 * 10**9, 10**9, 3 * 10**9]


def test_delays_that_cannot_be_told() -> None:
    w, v = linear(3, 2), linear(2, 3)
    with pytest.raises(ModelError, match="'d' are in steps"):
        delayed("sinabs", ("d", delay(1, 1)))
    with pytest.raises(ModelError, match="between two weights, before 'v'"):
        delayed("nir", ("w", w), ("d", delay(1, 2, 3)), ("v", v))
    with pytest.raises(ModelError, match="before and behind"):
        delayed("nir", ("c", delay(1, 2)), ("w", w), ("d", delay(1, 2, 3)), size=3)
    with pytest.raises(ModelError, match="too long"):
        delayed("nir", ("d", delay(1e30, 1)))


def test_too_many_paths_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hal.projecting, "MAX_PATHS", 100)
    nodes: dict[str, Any] = {"in": source(1), "out": sink(1)}
    edges, last = [], "in"
    for i in range(10):
        for side in "ab":
            nodes[f"{side}{i}"] = node("Scale", scale=np.ones(1))
            edges += [(last, f"{side}{i}"), (f"{side}{i}", f"j{i}")]
        nodes[f"j{i}"] = node("Scale", scale=np.ones(1))
        last = f"j{i}"
    model = read([*edges, (last, "out")], **nodes)
    with pytest.raises(ModelError, match="more than 100 paths"):
        model.projections()


# --- kinds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("IF", "events"), ("LIF", "events"), ("Threshold", "events"), ("LI", "signal"), ("I", "signal")],
)
def test_the_last_population_decides_the_kind(kind: str, expected: str) -> None:
    model = read(
        [("in", "n"), ("n", "d"), ("d", "out")],
        **{"in": source(2), "n": neuron(2, kind=kind), "d": delay(1, 1), "out": sink(2)},
    )
    assert model.kind("out") == expected


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        (node("SumPool2d", kernel_size=2, stride=2, padding=0), "events"),
        (node("AvgPool2d", kernel_size=2, stride=2, padding=0), "signal"),
        (node("Scale", scale=1.0), "signal"),
        (node("Linear", weight=np.ones((1, 2, 2))), "signal"),
    ],
    ids=lambda value: getattr(type(value), "__name__", value),
)
def test_spikes_that_pass_weights_or_a_mean_are_values(behind: Any, expected: str) -> None:
    edges = [("in", "n"), ("n", "b"), ("b", "out")]
    shape = {"SumPool2d": (1, 1, 1), "AvgPool2d": (1, 1, 1), "Scale": (1, 2, 2), "Linear": (1, 2)}[
        type(behind).__name__
    ]
    into = (1, 2) if type(behind).__name__ == "Linear" else (1, 2, 2)
    model = read(edges, **{"in": source(*into), "n": neuron(*into), "b": behind, "out": sink(*shape)})
    assert model.kind("out") == expected


def test_the_kind_of_an_input_is_what_the_semantics_say() -> None:
    model = read([("in", "out")], **{"in": source(2), "out": sink(2)})
    assert (model.kind("in"), model.kind("out")) == ("events", "events")
    fed = model.with_semantics(Semantics(signals=frozenset({"in"})))
    assert (fed.kind("in"), fed.kind("out")) == ("signal", "signal")


def test_mixed_kinds_are_refused() -> None:
    edges = [("in", "a"), ("in", "b"), ("a", "out"), ("b", "out")]
    model = read(edges, **{"in": source(2), "a": neuron(2), "b": neuron(2, kind="LI"), "out": sink(2)})
    with pytest.raises(ModelError, match="'out' mixes events and signals: 'a' gives events, 'b' gives signal"):
        model.kind("out")
    with pytest.raises(ModelError, match="'a' is neither"):
        model.kind("a")


# --- fingerprint ------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_fingerprint_does_not_follow_the_order_of_the_file(data: st.DataObject) -> None:
    nodes = {"in": source(2), "w": linear(3, 2), "n": neuron(3), "out": sink(3)}
    names, edges = data.draw(st.permutations(list(nodes))), data.draw(st.permutations(SIMPLE))
    shuffled = read(edges, **{name: nodes[name] for name in names})
    assert shuffled.fingerprint == simple().fingerprint
    assert list(shuffled.nodes) == sorted(nodes)
    assert shuffled.edges == tuple(sorted(SIMPLE))


@pytest.mark.parametrize(
    "change",
    [
        {"w": linear(3, 2, seed=1)},
        {"n": neuron(3, kind="LIF")},
        {"w": node("Linear", weight=linear(3, 2).weight.astype(np.float32))},
        {"extra": neuron(2)},
    ],
    ids=["value", "type", "dtype", "node"],
)
def test_the_fingerprint_follows_every_change(change: dict[str, Any]) -> None:
    assert simple(**change).fingerprint != simple().fingerprint


def test_the_fingerprint_leaves_semantics_and_metadata_out() -> None:
    with_metadata = simple(n=node("IF", r=np.ones(3), v_threshold=np.ones(3), metadata={"a": 1}))
    assert with_metadata.fingerprint == simple("sinabs").fingerprint == simple().fingerprint


# --- semantics --------------------------------------------------------------------------------------------------------


def test_no_semantics_warns_once_with_the_open_choices() -> None:
    with pytest.warns(SemanticsWarning) as caught:
        model = simple(None)
    (warning,) = caught
    text = str(warning.message)
    for word in ["dt", "tau unit: s", "decay: euler", "reset: to value", "v > threshold", "spikes per step: one",
                 "feedback delay: 1 step", "sinabs", "'nir'"]:  # fmt: skip
        assert word in text
    assert not model.semantics_given
    assert (model.semantics.profile, model.semantics.dt_ns) == ("nir", None)


def test_semantics_by_record_name_mapping_and_file(tmp_path: Any) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"profile": "norse", "dt_ns": 1000}))
    wanted = Semantics(profile="norse", dt_ns=1000)
    for given_as in (wanted, {"profile": "norse", "dt_ns": 1000}, path, str(path)):
        model = simple(given_as)
        assert model.semantics == wanted
        assert model.semantics_given
    assert simple("spyx").semantics.profile == "spyx"
    with pytest.raises(ConfigError, match="neither a semantics profile nor a file"):
        simple("nothing")
    with pytest.raises(ConfigError, match="a profile's name"):
        simple(3)


def test_a_model_is_passed_through() -> None:
    model = simple()
    assert read_model(model) is model
    assert read_model(model, "sinabs").semantics.profile == "sinabs"


def test_semantics_name_only_what_exists() -> None:
    record = Semantics(overrides={"m": {"compare": ">"}}, signals=frozenset({"on", "n"}))
    with pytest.raises(ConfigError) as caught:
        simple(record)
    text = str(caught.value)
    for word in ["overrides: no such node (value 'm')", "signals: no such Input node (value 'on')", "'n'", "'in'"]:
        assert word in text
    assert len(caught.value.problems) == 3


# --- parts and archives -----------------------------------------------------------------------------------------------


def three(**semantics: Any) -> Model:
    edges = [("in", "v"), ("v", "a"), ("a", "w"), ("w", "l"), ("l", "out"), ("a", "side")]
    nodes = {"in": source(2), "v": linear(3, 2), "a": neuron(3), "w": linear(2, 3), "l": neuron(2, kind="LI")}
    record = Semantics(overrides={"a": {"compare": ">="}}, **semantics)
    return read(edges, record, **nodes, out=sink(2), side=sink(3))


def test_front_and_back() -> None:
    model = three(signals=frozenset({"in"}))
    front = model.part(["in", "v", "a"], exits={"a": "spikes"})
    assert (front.inputs, front.outputs) == (("in",), ("spikes",))
    assert front.edges == (("a", "spikes"), ("in", "v"), ("v", "a"))
    assert front.semantics.signals == {"in"}
    assert front.semantics.overrides == {"a": {"compare": ">="}}
    assert front.nodes["spikes"].input_shape == (3,)
    back = model.part(["w", "l", "out"])
    assert (back.inputs, back.outputs) == (("a",), ("out",))
    assert back.edges == (("a", "w"), ("l", "out"), ("w", "l"))
    assert back.semantics.signals == frozenset()
    assert back.semantics.overrides == {}
    assert back.kind("out") == "signal"
    assert front.fingerprint != back.fingerprint != model.fingerprint


def test_a_part_fed_by_values_says_so() -> None:
    part = three().part(["out"], entries={"l": "membrane"})
    assert part.inputs == ("membrane",)
    assert part.kind("out") == "signal"
    other = three().part(["l", "out"])
    assert other.semantics.signals == {"w"}


def test_default_names_of_exits() -> None:
    part = three().part(["in", "v", "a"])
    assert part.outputs == ("a.out",)


def test_parts_that_cannot_be_cut_out() -> None:
    model = three()
    with pytest.raises(ModelError) as caught:
        model.part(["w", "l", "nobody"], entries={"a": "w", "in": "x"}, exits={"v": "y"})
    text = str(caught.value)
    for word in ["'nobody'", "entries, node 'in'", "node 'w'", "exits, node 'v'"]:
        assert word in text
    loop = [("in", "a"), ("a", "b"), ("b", "a"), ("b", "out")]
    looped = read(loop, **{"in": source(2), "a": neuron(2), "b": neuron(2), "out": sink(2)})
    with pytest.raises(ModelError, match="loop of 'a', 'b'"):
        looped.part(["in", "a"])
    assert looped.part(["a", "b"]).inputs == ("in",)


def test_flat_and_back() -> None:
    conv = node("Conv2d", input_shape=None, weight=np.ones((2, 1, 2, 2)), stride=1, padding="same", dilation=1,
                groups=1, bias=np.ones(2), metadata={"x": np.arange(3), "deep": {"y": 1.5}, "t": "a"})  # fmt: skip
    pool = node("AvgPool2d", kernel_size=2, stride=2, padding=0)
    flat = node("Flatten", input_type=None, start_dim=0)
    one_d = node("Conv1d", input_shape=None, weight=np.ones((2, 1, 3)), stride=1, padding=1, dilation=1, groups=1,
                 bias=np.ones(2))  # fmt: skip
    edges = [("in", "c"), ("c", "p"), ("p", "n"), ("n", "f"), ("f", "out"), ("b", "k"), ("k", "m"), ("m", "end")]
    nodes = {"in": source(1, 4, 4), "c": conv, "p": pool, "n": node("IF", r=1.0, v_threshold=1.0), "f": flat}
    more = {"out": sink(8), "b": source(1, 5), "k": one_d, "m": delay(*[0.25]), "end": sink(2, 5)}
    model = read(edges, {"profile": "sinabs", "dt_ns": 1000}, **nodes, **more)
    tree, arrays = model.flat()
    assert all(isinstance(key, str) and "/" not in key for key in arrays)
    back = Model.unflat(json.loads(json.dumps(tree)), arrays)
    assert back.fingerprint == model.fingerprint
    assert (back.edges, back.inputs, back.outputs) == (model.edges, model.inputs, model.outputs)
    assert back.semantics == model.semantics
    assert [str(n) for n in back.notes] == [str(n) for n in model.notes]
    assert back.nodes["c"].metadata["x"].tolist() == [0, 1, 2]
    assert back.nodes["c"].metadata["deep"] == {"y": 1.5}
    assert back.nodes["c"].padding == model.nodes["c"].padding
    for before, after in zip(model.projections(), back.projections(), strict=True):
        assert (before.matrix() != after.matrix()).nnz == 0


def test_archives_that_hold_no_model() -> None:
    tree, arrays = simple().flat()
    number = list(simple().nodes).index("w")
    weight = f"{number:04d}.weight"
    with pytest.raises(FormatError, match="fingerprint differs"):
        Model.unflat(tree, arrays | {weight: arrays[weight] + 1})
    with pytest.raises(FormatError, match="weight"):
        Model.unflat(tree, arrays | {weight: np.ones((3, 5))})
    with pytest.raises(FormatError, match="does not hold a model"):
        Model.unflat(tree, {})
    with pytest.raises(FormatError, match="does not hold a model"):
        Model.unflat({key: value for key, value in tree.items() if key != "edges"}, arrays)
    with pytest.raises(FormatError, match="no such connection"):
        Model.unflat({**tree, "edges": [["in", "nobody"]]}, arrays)
    with pytest.raises(ConfigError):
        Model.unflat({**tree, "semantics": {"profile": "?"}}, arrays)


def test_models_pickle() -> None:
    model = simple()
    model.projections()
    again = pickle.loads(pickle.dumps(model))
    assert again.fingerprint == model.fingerprint
    assert len(again.projections()) == len(model.projections())


@pytest.mark.parametrize("key", ["nodes", "edges", "semantics", "semantics_given", "fingerprint", "notes", "metadata"])
@pytest.mark.parametrize("value", [None, 5, "text", [1], [[1]], {"a": 1}, [{"name": 3}], []], ids=repr)
def test_an_archive_with_a_wrong_entry_is_refused_or_means_the_same(key: str, value: Any) -> None:
    tree, arrays = simple().flat()
    try:
        model = Model.unflat({**tree, key: value}, arrays)
    except (FormatError, ConfigError):
        return
    assert model.fingerprint == simple().fingerprint


@pytest.mark.parametrize("field", ["name", "type", "values", "arrays", "metadata"])
@pytest.mark.parametrize("value", [None, 5, "text", [1], {"a": 1}, {"weight": 3}], ids=repr)
def test_a_node_with_a_wrong_entry_is_refused(field: str, value: Any) -> None:
    tree, arrays = simple().flat()
    nodes = [dict(entry) for entry in tree["nodes"]]
    nodes[-1][field] = value
    with pytest.raises(FormatError):
        Model.unflat({**tree, "nodes": nodes}, arrays)
