"""What the NIR front end promises, one test for each behaviour that needs no device.

Golden files: written by the exporters of seven frameworks, described in tests/golden/nir/README.md.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from hal.errors import ModelError
from hal.model import Model, SemanticsWarning, read_model
from hal.nodes import Conv2d, Delay, Flatten

GOLDEN = Path(__file__).parents[1] / "golden" / "nir"
CASES = sorted(path.stem for path in GOLDEN.glob("*.nir"))
BATCHED = "rockpool_lif"
VERSIONS = sorted((GOLDEN / "versions").glob("*.nir"))


def sidecar(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def read(source: Any, drop_batch_axis: bool = False) -> Model:
    return read_model(source, "nir", drop_batch_axis)


def golden(name: str) -> Model:
    return read(GOLDEN / f"{name}.nir", drop_batch_axis=name == BATCHED)


def graph(edges: list[tuple[str, str]], **nodes: Any) -> Any:
    return nir.NIRGraph(nodes, edges, metadata={}, type_check=False)


def refusal(source: Any) -> str:
    with pytest.raises(ModelError) as caught:
        read(source)
    return str(caught.value)


def lif(size: int = 3, **change: Any) -> Any:
    one = np.ones(size, np.float32)
    return nir.LIF(**{"tau": one, "r": one, "v_leak": 0 * one, "v_threshold": one, "v_reset": 0 * one} | change)


def affine(out: int = 3, into: int = 2) -> Any:
    return nir.Affine(np.ones((out, into), np.float32), np.zeros(out, np.float32))


def ends(into: int = 2, out: int = 3) -> dict[str, Any]:
    return {"input": nir.Input(np.array([into])), "output": nir.Output(np.array([out]))}


CHAIN = [("input", "fc"), ("fc", "lif"), ("lif", "output")]


# 1 --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_01_golden_files_read_as_their_sidecars_say(name: str) -> None:
    model, expected = golden(name), sidecar(name)["graph"]
    assert {n: node.type for n, node in model.nodes.items()} == {n: v["type"] for n, v in expected["nodes"].items()}
    assert set(model.edges) == {tuple(edge) for edge in expected["edges"]}
    for node_name, entry in expected["nodes"].items():
        node = model.nodes[node_name]
        for field, said in entry["params"].items():
            if field in node.parameters:
                check_array(getattr(node, field), said)
        check_shapes(node, {field: said.get("value") for field, said in entry["params"].items()})


def check_array(array: np.ndarray[Any, Any], said: dict[str, Any]) -> None:
    assert list(array.shape) == said["shape"]
    assert str(array.dtype) == said["dtype"]
    if "value" in said:
        assert array.tolist() == said["value"]
    else:
        assert (array.min(), array.max()) == (said["min"], said["max"])
        assert array.sum(dtype=np.float64) == pytest.approx(said["sum"], rel=1e-9, abs=1e-9)


def check_shapes(node: Any, values: dict[str, Any]) -> None:
    if node.type in ("Input", "Output"):
        assert list(node.input_shape) == [n for n in values["shape"] if n != 1]
    elif isinstance(node, Flatten):
        assert list(node.input_shape) == values["input_type"]
        assert (node.start_dim, node.end_dim) == (values["start_dim"], values["end_dim"])
    elif isinstance(node, Conv2d):
        assert list(node.input_shape[1:]) == values["input_shape"]
        assert (list(node.stride), list(node.dilation)) == (values["stride"], values["dilation"])
        assert node.groups == values["groups"]
        if values["padding"] != "same":
            assert [list(pads) for pads in node.padding] == [[p, p] for p in values["padding"]]


@pytest.mark.parametrize("name", CASES)
def test_01_rasters_have_the_shapes_of_inputs_and_outputs(name: str) -> None:
    model, arrays = golden(name), sidecar(name)["arrays"]
    assert list(model.nodes[model.inputs[0]].output_shape) == arrays["in_input"]["shape"][1:]
    assert list(model.nodes[model.outputs[0]].input_shape) == arrays["out_output"]["shape"][1:]


# 2 --------------------------------------------------------------------------------------------------------------------


def test_02_files_of_all_versions_are_one_model() -> None:
    models = [read(path) for path in VERSIONS]
    assert len(VERSIONS) == 4
    assert len({model.fingerprint for model in models}) == 1
    assert models[0].nodes["cuba"].w_in.tolist() == [1, 1, 1]
    assert models[0].nodes["lif"].v_reset.tolist() == [0, 0, 0, 0]
    defaulted = [{(n.node, n.field) for n in model.notes if "by default" in n.reason} for model in models]
    resets = {("lif", "v_reset"), ("cuba", "v_reset")}
    assert defaulted == [{*resets, ("cuba", "w_in")}, {*resets, ("cuba", "w_in")}, resets, set()]


def test_02_the_present_version_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "now.nir"
    nir.write(path, nir.read(VERSIONS[-1]))
    assert read(path).fingerprint == read(VERSIONS[-1]).fingerprint


# 4 --------------------------------------------------------------------------------------------------------------------


def test_04_no_semantics_is_one_warning_with_the_choices() -> None:
    with pytest.warns(SemanticsWarning) as caught:
        read_model(GOLDEN / "snntorch_leaky_zero.nir")
    assert len(caught) == 1
    for word in ["dt", "tau unit", "decay", "reset", "compare", "spikes per step", "feedback delay"]:
        assert word in str(caught[0].message)
    assert caught[0].filename == __file__


# 5 --------------------------------------------------------------------------------------------------------------------


def test_05_equal_graphs_are_equal() -> None:
    assert golden("snntorch_leaky_zero").fingerprint == golden("snntorch_leaky_subtract_delay").fingerprint


# 6 --------------------------------------------------------------------------------------------------------------------


def test_06_a_batch_axis_is_refused_with_shapes_and_option() -> None:
    text = refusal(GOLDEN / f"{BATCHED}.nir")
    for word in ["'input'", "(1, 9)", "(9,)", "'output'", "(1, 1, 4)", "(4,)", "drop_batch_axis=True"]:
        assert word in text


def test_06_with_the_option_it_is_dropped_and_said() -> None:
    model = golden(BATCHED)
    assert (model.nodes["input"].output_shape, model.nodes["output"].input_shape) == ((9,), (4,))
    assert {(n.node, n.wanted, n.realised) for n in model.notes} == {
        ("input", (1, 9), (9,)),
        ("output", (1, 1, 4), (4,)),
    }


# 7 and 8 are in test_shapes.py; here as files, written without nir's own (wrong) check ------------------------------


def test_07_groups_and_rectangular_kernels_in_a_file(tmp_path: Path) -> None:
    conv = nir.Conv2d((10, 12), np.ones((6, 2, 3, 5), np.float32), 1, 0, 1, 2, np.zeros(6, np.float32))
    nodes = {"input": nir.Input(np.array([4, 10, 12])), "conv": conv, "output": nir.Output(np.array([6, 8, 8]))}
    path = tmp_path / "conv.nir"
    nir.write(path, graph([("input", "conv"), ("conv", "output")], **nodes))
    assert read(path).nodes["conv"].output_shape == (6, 8, 8)


def test_08_flatten_that_keeps_the_channels_names_the_way_out(tmp_path: Path) -> None:
    nodes = {
        "input": nir.Input(np.array([4, 5, 5])),
        "flat": nir.Flatten({"input": np.array([4, 5, 5])}),
        "fc": affine(3, 100),
        "output": nir.Output(np.array([3])),
    }
    path = tmp_path / "flat.nir"
    nir.write(path, graph([("input", "flat"), ("flat", "fc"), ("fc", "output")], **nodes))
    text = refusal(path)
    assert "(4, 25)" in text
    assert "start_dim 0" in text


# 9 --------------------------------------------------------------------------------------------------------------------


def test_09_two_edges_into_one_node_add() -> None:
    model = golden("nirtorch_residual")
    into = [p for p in model.projections() if p.target == "if3"]
    assert [p.source for p in into] == ["if1", "if2"]
    assert (into[0].matrix() != into[1].matrix()).nnz == 0
    assert into[0].bias is not None
    assert into[1].bias is None


def test_09_what_adds_must_have_one_shape() -> None:
    edges = [*CHAIN, ("input", "other"), ("other", "lif")]
    text = refusal(graph(edges, **ends(), fc=affine(), lif=lif(), other=affine(4)))
    assert "'other' gives (4,), 'lif' takes (3,)" in text


def test_09_the_same_edge_twice_is_named() -> None:
    text = refusal(graph([*CHAIN, CHAIN[1]], **ends(), fc=affine(), lif=lif()))
    assert "edge ('fc', 'lif'): the same edge twice" in text


def test_09_an_edge_that_flattening_doubles_is_explained() -> None:
    inner = graph([("i", "o")], i=nir.Input(np.array([3])), o=nir.Output(np.array([3])))
    edges = [("input", "fc"), ("fc", "lif"), ("fc", "sub"), ("sub", "lif"), ("lif", "output")]
    text = refusal(graph(edges, **ends(), fc=affine(), lif=lif(), sub=inner))
    assert "two ways from 'fc' to 'lif': directly, and through 'sub.o'" in text
    assert "Scale" in text


# 10 -------------------------------------------------------------------------------------------------------------------


def test_10_a_cycle_through_a_neuron_is_feedback() -> None:
    model = golden("paper_braille_bias_zero")
    assert model.feedback() == {("lif1.lif", "lif1.w_rec")}
    assert [p.recurrent for p in model.projections() if p.source == p.target] == [True]


def test_10_a_delay_is_state_too() -> None:
    edges = [("input", "fc"), ("fc", "d"), ("d", "s"), ("s", "d"), ("s", "output")]
    nodes = {"fc": affine(), "d": nir.Delay(np.ones(3)), "s": nir.Scale(np.ones(3))}
    model = read(graph(edges, **ends(), **nodes))
    assert isinstance(model.nodes["d"], Delay)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_10_a_cycle_without_state_is_listed(length: int) -> None:
    names = [f"s{i}" for i in range(length)]
    loop = list(zip(names, [*names[1:], names[0]], strict=True))
    nodes = {name: nir.Scale(np.ones(3)) for name in names}
    text = refusal(graph([*CHAIN, ("lif", "s0"), *loop], **ends(), fc=affine(), lif=lif(), **nodes))
    assert "cycle without state: " + " -> ".join(map(repr, [*names, names[0]])) in text


# 11 -------------------------------------------------------------------------------------------------------------------

NAMES = ["a.b.c", "with space", "größe", "日本", "0", "lambda", "None", "input", "-", "a'b", 'quo"te', "..", "%s {x}"]


@pytest.mark.parametrize("name", NAMES)
def test_11_any_name_reads_and_is_shown_as_it_is(name: str, tmp_path: Path) -> None:
    nodes = {"in put": nir.Input(np.array([3])), "out": nir.Output(np.array([3])), name: lif()}
    made = graph([("in put", name), (name, "out")], **nodes)
    path = tmp_path / "name.nir"
    nir.write(path, made)
    model = read(path)
    assert name in model.nodes
    assert model.nodes[name].name == name
    assert [p.target for p in model.projections()] == [name, "out"]
    assert model.fingerprint == read(made).fingerprint
    nodes[name] = lif(tau=np.zeros(3))
    assert repr(name) in refusal(graph(made.edges, **nodes))


@pytest.mark.parametrize("name", ["a/b", "", 3, "a\0b"], ids=repr)
def test_11_names_that_no_file_can_hold(name: Any) -> None:
    made = graph([], **ends())
    made.nodes[name] = lif()
    assert repr(name) in refusal(made)


# 12 -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["tau", "v_threshold", "r", "v_leak", "v_reset"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, -0.5])
def test_12_values_out_of_range_name_node_field_and_index(field: str, value: float) -> None:
    values = np.array([1, value, value], np.float32)
    made = graph(CHAIN, **ends(), fc=affine(), lif=lif(**{field: values}))
    if np.isfinite(value) and field not in ("tau", "v_threshold"):
        assert getattr(read(made).nodes["lif"], field)[1] == value
        return
    text = refusal(made)
    assert f"node 'lif', field {field!r}" in text
    assert "(1,)" in text


def test_12_index_of_the_first_fault_in_a_matrix() -> None:
    weight = np.ones((3, 2), np.float32)
    weight[1, 1], weight[2, 0] = np.nan, np.inf
    text = refusal(graph(CHAIN, **ends(), fc=nir.Affine(weight, np.zeros(3)), lif=lif()))
    assert "1 NaN and 1 infinite values, the first at index (1, 1)" in text


@pytest.mark.parametrize(
    ("made", "field"),
    [
        (nir.Threshold(np.array([1.0, 0.0])), "threshold"),
        (nir.Delay(np.array([1.0, -1.0])), "delay"),
        (nir.LI(tau=np.array([1.0, 0.0]), r=np.ones(2), v_leak=np.zeros(2)), "tau"),
        (nir.CubaLI(tau_syn=np.array([1.0, -1]), tau_mem=np.ones(2), r=np.ones(2), v_leak=np.zeros(2)), "tau_syn"),
        (nir.Scale(np.array([1.0, np.nan])), "scale"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_12_other_nodes_are_checked_too(made: Any, field: str) -> None:
    nodes = {"input": nir.Input(np.array([2])), "n": made, "output": nir.Output(np.array([2]))}
    assert f"node 'n', field {field!r}" in refusal(graph([("input", "n"), ("n", "output")], **nodes))


# 13 and 14 are in test_nir_file.py ------------------------------------------------------------------------------------

# 15 -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_15_objects_in_memory_equal_the_file(name: str) -> None:
    made = nir.read(GOLDEN / f"{name}.nir", type_check=False)
    model = read(made, drop_batch_axis=name == BATCHED)
    assert model.fingerprint == golden(name).fingerprint


@pytest.mark.parametrize("name", ["paper_cnn_sinabs", "snntorch_rsynaptic"])
def test_15_objects_of_other_classes_will_do(name: str) -> None:
    """Any version of nir, or none: the types' names and the attributes are all that is looked at."""

    def rebuilt(node: Any) -> Any:
        fields = {k: v for k, v in vars(node).items() if k not in ("input_type", "output_type", "v_reset")}
        if type(node).__name__ in ("Input", "Flatten"):
            fields["input_type"] = {k: [int(n) for n in v] for k, v in node.input_type.items()}
        if type(node).__name__ == "Output":
            fields["shape"] = [int(n) for n in node.output_type["output"]]  # as nir 0.1 has it
        return type(type(node).__name__, (), fields)()

    made = nir.read(GOLDEN / f"{name}.nir")
    copy = type("NIRGraph", (), {"nodes": {k: rebuilt(v) for k, v in made.nodes.items()}, "edges": made.edges})()
    assert read(copy).fingerprint == golden(name).fingerprint


def test_15_the_callers_arrays_stay_the_callers() -> None:
    weight = np.ones((3, 2), np.float32)
    model = read(graph(CHAIN, **ends(), fc=nir.Affine(weight, np.zeros(3, np.float32)), lif=lif()))
    weight[0, 0] = 5
    assert model.nodes["fc"].weight[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        model.nodes["fc"].weight[0, 0] = 2


def test_15_objects_that_are_no_graphs() -> None:
    class Alif:
        pass

    assert "unknown node type 'Alif'" in refusal(graph(CHAIN, **ends(), fc=affine(), lif=Alif()))
    broken = nir.Linear(np.ones((3, 2)))
    broken.weight = [[1, 2], [3]]
    assert "node 'fc', field 'weight'" in refusal(graph(CHAIN, **ends(), fc=broken, lif=lif()))
    del broken.weight
    assert "Linear needs 'weight'" in refusal(graph(CHAIN, **ends(), fc=broken, lif=lif()))
    odd = graph(CHAIN, **ends(), fc=affine(), lif=lif())
    odd.edges = [*CHAIN, ("a", "b", "c")]
    assert "pair of names" in refusal(odd)


def test_15_a_graph_inside_itself_is_refused() -> None:
    made = graph(CHAIN, **ends(), fc=affine(), lif=lif())
    made.nodes["self"] = made
    assert "nested too deeply" in refusal(made)


# 16 -------------------------------------------------------------------------------------------------------------------


def test_16_unconnected_nodes_and_several_inputs_are_listed() -> None:
    nodes = {
        **ends(),
        "fc": affine(),
        "lif": lif(),
        "alone": lif(),
        "second": nir.Input(np.array([3])),
        "dead": lif(),
        "x": lif(),
        "y": lif(),
    }
    edges = [*CHAIN, ("second", "lif"), ("lif", "dead"), ("x", "y"), ("y", "x")]
    notes = {(n.node, n.reason) for n in read(graph(edges, **nodes)).notes}
    assert notes == {
        ("", "2 inputs: 'input', 'second'"),
        ("alone", "not connected to anything"),
        ("dead", "it reaches no Output"),
        ("x", "no Input reaches it"),
        ("y", "no Input reaches it"),
    }


@pytest.mark.parametrize(
    ("edges", "nodes", "words"),
    [
        ([("fc", "lif"), ("lif", "output")], ["output"], ["no Input node", "'fc'", "no edge leads to this Affine"]),
        ([("input", "fc"), ("fc", "lif")], ["input"], ["no Output node"]),
        ([("input", "fc"), ("fc", "lif")], ["input", "output"], ["node 'output'", "no edge leads to this Output"]),
        ([*CHAIN, ("extra", "lif")], ["input", "output", "extra"], ["node 'extra'", "no edge leads to this Linear"]),
        ([*CHAIN, ("lif", "input")], ["input", "output"], ["edge ('lif', 'input')", "enters the Input"]),
        ([*CHAIN, ("output", "lif")], ["input", "output"], ["edge ('output', 'lif')", "leaves the Output"]),
        ([*CHAIN, ("lfi", "output")], ["input", "output"], ["('lfi', 'output')", "did you mean 'lif'", "fc, input"]),
    ],
)
def test_16_graphs_without_beginning_or_end(edges: Any, nodes: list[str], words: list[str]) -> None:
    known = {**ends(), "extra": nir.Linear(np.ones((3, 4), np.float32))}
    text = refusal(graph(edges, **{name: known[name] for name in nodes}, fc=affine(), lif=lif()))
    for word in words:
        assert word in text


# 17 -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scalar", [np.array(0.5), np.array([0.5])], ids=["0-d", "one"])
def test_17_scalars_in_a_file_are_broadcast_and_said(scalar: Any, tmp_path: Path) -> None:
    path = tmp_path / "scalar.nir"
    nir.write(path, graph(CHAIN, **ends(), fc=affine(), lif=lif()))
    with h5py.File(path, "a") as file:
        for field in ("tau", "r"):
            del file["node/nodes/lif"][field]
            file["node/nodes/lif"][field] = scalar
    model = read(path)
    assert model.nodes["lif"].tau.tolist() == [0.5] * 3
    assert {(n.node, n.field, n.realised) for n in model.notes} == {("lif", "tau", (3,)), ("lif", "r", (3,))}


# sub-graphs -----------------------------------------------------------------------------------------------------------


def recurrent() -> Any:
    """A neuron with recurrent weights inside, as snntorch and nirtorch nest them."""
    edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
    three = np.array([3])
    return graph(edges, input=nir.Input(three), lif=lif(), w_rec=affine(3, 3), output=nir.Output(three))


def test_sub_graphs_are_flattened_and_said(tmp_path: Path) -> None:
    made = graph([("input", "fc"), ("fc", "sub"), ("sub", "output")], **ends(), fc=affine(), sub=recurrent())
    model = read(made)
    assert sorted(model.nodes) == ["fc", "input", "output", "sub.lif", "sub.w_rec"]
    assert set(model.edges) == {
        ("input", "fc"),
        ("fc", "sub.lif"),
        ("sub.lif", "sub.w_rec"),
        ("sub.w_rec", "sub.lif"),
        ("sub.lif", "output"),
    }
    assert [(n.node, n.reason) for n in model.notes] == [
        ("sub", "sub-graph flattened: its nodes are named 'sub.*'"),
    ]
    path = tmp_path / "sub.nir"
    nir.write(path, made)
    assert read(path).fingerprint == model.fingerprint


def test_a_sub_graph_with_an_edge_to_itself_is_recurrent() -> None:
    three = np.array([3])
    inner = graph([("i", "n"), ("n", "o")], i=nir.Input(three), n=lif(), o=nir.Output(three))
    edges = [("input", "fc"), ("fc", "sub"), ("sub", "sub"), ("sub", "output")]
    model = read(graph(edges, **ends(), fc=affine(), sub=inner))
    assert ("sub.n", "sub.n") in model.edges
    assert model.feedback() == {("sub.n", "sub.n")}


def test_the_shapes_of_inner_ends_are_checked_before_they_vanish() -> None:
    inner = recurrent()
    inner.nodes["input"] = nir.Input(np.array([4]))
    text = refusal(graph([("input", "fc"), ("fc", "sub"), ("sub", "output")], **ends(), fc=affine(), sub=inner))
    assert "'fc' gives (3,), 'sub.input' takes (4,)" in text


def test_a_batch_axis_on_inner_ends_is_dropped_too() -> None:
    inner = recurrent()
    inner.nodes["input"], inner.nodes["output"] = nir.Input(np.array([1, 3])), nir.Output(np.array([1, 3]))
    made = graph([("input", "fc"), ("fc", "sub"), ("sub", "output")], **ends(), fc=affine(), sub=inner)
    assert "drop_batch_axis=True" in refusal(made)
    assert read(made, drop_batch_axis=True).nodes["sub.lif"].input_shape == (3,)


def test_clashing_names_are_refused() -> None:
    edges = [("input", "fc"), ("fc", "sub"), ("sub", "output")]
    text = refusal(graph(edges, **ends(), fc=affine(), sub=recurrent(), **{"sub.lif": lif()}))
    assert "node 'sub.lif': two nodes have this name" in text


def test_sub_graphs_with_several_ends_need_a_name() -> None:
    three = np.array([3])
    nodes = {"a": nir.Input(three), "b": nir.Input(three), "n": lif(), "o": nir.Output(three)}
    inner = graph([("a", "n"), ("b", "n"), ("n", "o")], **nodes)
    outer = {**ends(), "fc": affine(), "gc": affine(), "sub": inner}
    edges = [("input", "fc"), ("input", "gc"), ("sub", "output")]
    text = refusal(graph([*edges, ("fc", "sub"), ("gc", "sub")], **outer))
    assert "'sub' has 2 Input nodes" in text
    assert "'sub.a', 'sub.b'" in text
    model = read(graph([*edges, ("fc", "sub.a"), ("gc", "sub.b")], **outer))
    assert {("fc", "sub.n"), ("gc", "sub.n")} <= set(model.edges)


def test_sub_graphs_without_ends() -> None:
    inner = graph([], n=lif())
    text = refusal(graph([("input", "fc"), ("fc", "sub"), ("sub", "output")], **ends(), fc=affine(), sub=inner))
    assert "'sub' has no Input" in text
    assert "'sub' has no Output" in text


def test_identities_in_a_loop_are_a_cycle_without_state() -> None:
    inner = graph([("i", "o")], i=nir.Input(np.array([3])), o=nir.Output(np.array([3])))
    edges = [("input", "fc"), ("fc", "sub"), ("sub", "sub"), ("sub", "output")]
    text = refusal(graph(edges, **ends(), fc=affine(), sub=inner))
    assert "cycle without state: 'sub.i' -> 'sub.o' -> 'sub.i'" in text


# nothing is written ---------------------------------------------------------------------------------------------------


def test_reading_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "model.nir"
    shutil.copy(GOLDEN / "snntorch_rsynaptic.nir", path)
    before = path.read_bytes()
    path.chmod(0o444)
    read(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.nir"]
