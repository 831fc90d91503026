"""Graphs: what several projections into one core become, where spikes are sent, and what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import hal
from hal import nodes
from hal.mapping import Mapping

GOLDEN = Path(__file__).parents[1] / "golden" / "dynapcnn"
RNG = np.random.default_rng(3)


def ints(*shape: int) -> NDArray[np.int64]:
    return RNG.integers(-9, 10, shape)


def core_of(mapping: Mapping, name: str) -> int:
    return int(mapping.placement.where(name)["core"][0])


def config_of(mapping: Mapping, name: str) -> Any:
    return mapping.config.cnn_layers[core_of(mapping, name)]


def sent(mapping: Mapping, name: str) -> list[tuple[int, int, int]]:
    """(core, shift, pooling) of a population's or an Input's destinations, in order."""
    if name in mapping.model.inputs:  # type: ignore[union-attr]
        return [(e.layer, e.feature_shift, 1) for e in mapping.config.entries if e.port == name]
    return [(d.layer, d.feature_shift, d.pooling) for d in config_of(mapping, name).destinations if d.enable]


def added(mapping: Mapping, source: str, target: str) -> NDArray[np.float64]:
    """(target, source): what an event of each source element adds to each neuron, from the registers alone."""
    layer, core = config_of(mapping, target), core_of(mapping, target)
    f_in, height, width = layer.dimensions.input_shape.shape
    f_out, rows, columns = layer.dimensions.output_shape.shape
    d = layer.dimensions
    places = mapping.placement.where(source)
    total = np.zeros((f_out, rows, columns, len(places)))
    for to, shift, pooling in sent(mapping, source):
        if to != core:
            continue
        for place in places:
            f, y, x = place["feature"] + shift, place["y"] // pooling, place["x"] // pooling
            if y >= height or x >= width:
                continue  # an incomplete last row or column
            assert f < f_in
            for oy in range(rows):
                for ox in range(columns):
                    ky, kx = y + d.padding.y - oy * d.stride.y, x + d.padding.x - ox * d.stride.x
                    if 0 <= ky < d.kernel_size and 0 <= kx < d.kernel_size:
                        total[:, oy, ox, place["index"]] += layer.weights[:, f, kx, ky]
    return total.reshape(f_out * rows * columns, len(places))


def check_sums(mapping: Mapping, exact: bool = True) -> None:
    """Every core adds what the model's projections add, in units of its threshold."""
    model = mapping.model
    assert model is not None
    pairs: dict[tuple[str, str], Any] = {}
    for p in model.projections():
        if p.target not in model.outputs:
            pairs[p.source, p.target] = pairs.get((p.source, p.target), 0) + p.matrix().toarray()
    for (source, target), wanted in pairs.items():
        theta = float(np.ravel(model.nodes[target].v_threshold)[0])  # type: ignore[attr-defined]
        stored = config_of(mapping, target).threshold_high
        got = added(mapping, source, target) * theta / stored
        assert np.abs(got - wanted).max() <= (1e-9 if exact else 0.51 * theta / stored * 2), (source, target)


def residual(chain: Any, wb: Any, wc: Any, **fire: Any) -> Any:
    """input -> wa -> a; a -> wb -> b; a -> wc and b -> wc; wc -> c."""
    made = chain(2, 6, 6).conv(ints(3, 2, 3, 3), "wa", padding=1).fire(40, "a").conv(wb, "wb", padding=1).fire(50, "b")
    return made.conv(wc, "wc", padding=1).fire(60, "c").at("a").to("wc").at("c").out()


# --- (a) one weight node ----------------------------------------------------------------------------------------------


def test_two_edges_into_one_weight_node_share_its_kernel(speck: Any, chain: Any) -> None:
    wb, wc = ints(3, 3, 3, 3), ints(4, 3, 3, 3)
    mapping = speck.map(residual(chain, wb, wc).model())
    a, b, c = (core_of(mapping, name) for name in "abc")
    assert sent(mapping, "a") == [(b, 0, 1), (c, 0, 1)]
    assert sent(mapping, "b") == [(c, 0, 1)]
    assert sent(mapping, "input") == [(a, 0, 1)]
    assert config_of(mapping, "c").dimensions.input_shape.feature_count == 3
    assert np.array_equal(config_of(mapping, "c").weights, wc.transpose(0, 1, 3, 2))
    check_sums(mapping)
    assert not mapping.fit.findings


def test_rule_8_destinations_are_in_network_order_whatever_the_names(speck: Any, chain: Any) -> None:
    """A with destinations B and C, B -> C: B, the earlier one, is destination 0."""
    made = chain(1, 2, 2).relay("w1").fire(1, "m").relay("w2").fire(1, "z").relay("w3").fire(1, "b")
    made.at("m").to("w3").at("b").out()
    mapping = speck.map(made.model())
    assert [to for to, _, _ in sent(mapping, "m")] == [core_of(mapping, "z"), core_of(mapping, "b")]
    turned = speck.map(made.model(), fixed_cores={"z": 8, "b": 0})
    assert [to for to, _, _ in sent(turned, "m")] == [8, 0]


def test_a_bias_of_a_shared_node_counts_once(speck: Any, chain: Any) -> None:
    made = chain(1, 2, 2).relay("wa").fire(1, "a").relay("wb").fire(1, "b").conv([[[[5]]]], "wc", bias=-7)
    made.fire(9, "c").at("a").to("wc").at("c").out()
    mapping = speck.map(made.model())
    assert config_of(mapping, "c").biases.tolist() == [-7]
    assert mapping.realised["wc", "bias"].tolist() == [-7]


def test_golden_p09_from_its_file(speck: Any) -> None:
    golden = np.load(GOLDEN / "p09_residual_two_destinations.npz")
    meta = json.loads(str(golden["meta"]))
    path = GOLDEN / "p09_residual_two_destinations.nir"
    chip = speck.semantics | {"v_min": "-threshold"}
    model = hal.read_model(path, hal.Semantics(**chip))
    names = [node.name for node in model.populations() if isinstance(node, nodes.IF)]
    mapping = speck.map(model, quantisation="keep_integers")
    cores = [core_of(mapping, name) for name in names]
    assert [sent(mapping, name) for name in names] == [
        [(cores[1], 0, 1), (cores[2], 0, 1)],
        [(cores[2], 0, 1)],
        [],
    ]
    for name, letter in zip(names, "ABC", strict=True):
        layer, given_ = config_of(mapping, name), meta["layers"][letter]
        assert np.array_equal(layer.weights, golden[f"{letter}_weights"].transpose(0, 1, 3, 2))
        assert (layer.threshold_high, layer.threshold_low) == (given_["threshold_high"], given_["threshold_low"])
        assert list(layer.dimensions.input_shape.shape) == given_["in_shape"]
        assert list(layer.dimensions.output_shape.shape) == given_["out_shape"]
    assert mapping.config.entries[0].layer == cores[0]


def test_a_residual_block_straight_from_a_nir_graph(speck: Any) -> None:
    weights = {name: ints(f_out, f_in, 3, 3) for name, f_out, f_in in (("wa", 4, 2), ("wb", 4, 4), ("wc", 5, 4))}

    def conv(name: str) -> nir.Conv2d:
        w = weights[name].astype(np.float32)
        return nir.Conv2d((8, 8), w, 1, 1, 1, 1, np.zeros(len(w), np.float32))

    def cells(features: int) -> nir.IF:
        full = np.ones((features, 8, 8), np.float32)
        return nir.IF(r=full, v_threshold=full * 100, v_reset=full * 0)

    graph = nir.NIRGraph(
        nodes={
            "input": nir.Input(np.array([2, 8, 8])),
            "wa": conv("wa"), "A": cells(4), "wb": conv("wb"), "B": cells(4), "wc": conv("wc"), "C": cells(5),
            "output": nir.Output(np.array([5, 8, 8])),
        },
        edges=[
            ("input", "wa"), ("wa", "A"), ("A", "wb"), ("wb", "B"), ("A", "wc"), ("B", "wc"), ("wc", "C"),
            ("C", "output"),
        ],
    )  # fmt: skip
    mapping = speck.map(hal.read_model(graph, hal.Semantics(**speck.semantics)))
    b, c = core_of(mapping, "B"), core_of(mapping, "C")
    assert sent(mapping, "A") == [(b, 0, 1), (c, 0, 1)]
    assert sent(mapping, "B") == [(c, 0, 1)]
    for name, weight in weights.items():
        assert np.array_equal(mapping.realised[name, "weight"], weight)
    check_sums(mapping)


# --- (b) several weight nodes -----------------------------------------------------------------------------------------


def joined(chain: Any, first: Any, second: Any, **fire: Any) -> Any:
    """a and b from one input; their convolutions (weight, padding[, bias]) add up in c."""
    made = chain(1, 6, 6).conv(np.ones((first[0].shape[1], 1, 1, 1)), "wa").fire(1, "a")
    made.conv(first[0], "w1", padding=first[1], bias=first[2] if len(first) > 2 else 0).fire(70, "c", **fire).out()
    made.at("input").conv(np.ones((second[0].shape[1], 1, 1, 1)), "wb").fire(1, "b")
    return made.conv(second[0], "w2", padding=second[1], bias=second[2] if len(second) > 2 else 0).to("c")


def test_other_weight_nodes_lie_behind_along_the_features(speck: Any, chain: Any) -> None:
    w1, w2 = ints(4, 2, 3, 3), ints(4, 5, 3, 3)
    mapping = speck.map(joined(chain, (w1, 1), (w2, 1)).model())
    c = core_of(mapping, "c")
    assert sent(mapping, "a") == [(c, 0, 1)]
    assert sent(mapping, "b") == [(c, 2, 1)]
    layer = config_of(mapping, "c")
    assert layer.dimensions.input_shape.shape == (7, 6, 6)
    assert np.array_equal(layer.weights.transpose(0, 1, 3, 2), np.concatenate([w1, w2], axis=1))
    assert np.array_equal(mapping.realised["w1", "weight"], w1)
    assert np.array_equal(mapping.realised["w2", "weight"], w2)
    rows = {row.resource: row.needed for row in mapping.fit.rows if row.node == "c"}
    assert rows["kernel memory"] == 7 * 2 ** (4 + 2)
    check_sums(mapping)


def test_biases_of_several_nodes_add(speck: Any, chain: Any) -> None:
    made = joined(chain, (ints(2, 1, 1, 1), 0, [3, 0]), (ints(2, 1, 1, 1), 0, [-5, 0]))
    mapping = speck.map(made.model())
    layer = config_of(mapping, "c")
    assert layer.leak_enable
    assert layer.biases.tolist() == [-2, 0]
    assert mapping.realised["w1", "bias"].tolist() == [3, 0]
    assert mapping.realised["w2", "bias"].tolist() == [-5, 0]
    model = made.model(bias_meaning="per_step")
    assert {f.node for f in speck.check(model).refused if f.field == "bias"} == {"w1", "w2"}
    over = speck.check(made.model(bias_meaning="per_step"), approximate={"leak"})
    assert {f.node for f in over.changed if f.field == "bias"} == {"w1", "w2"}


def test_realised_biases_add_up_to_what_is_stored(speck: Any, chain: Any) -> None:
    first, second = (np.full((2, 1, 1, 1), 0.37), 0, [0.31, -0.2]), (np.full((2, 1, 1, 1), -0.71), 0, [0.17, 0.4])
    mapping = speck.map(joined(chain, first, second).model())
    layer = config_of(mapping, "c")
    unit = layer.threshold_high / mapping.realised["c", "v_threshold"].ravel()[0]
    total = mapping.realised["w1", "bias"] + mapping.realised["w2", "bias"]
    assert total * unit == pytest.approx(layer.biases)
    assert mapping.realised["w1", "bias"] == pytest.approx([0.31, -0.2], abs=0.6 / unit)


def test_a_bias_lost_in_a_sum(speck: Any, chain: Any) -> None:
    big = np.full((1, 1, 1, 1), 120.5)
    mapping = speck.map(joined(chain, (big, 0, [0.003]), (big, 0, [-0.001])).model())
    assert config_of(mapping, "c").biases.tolist() == [0]
    ((node, parameter, index, wanted, realised, _),) = [row for row in mapping.losses if row[1] == "bias"]
    assert (node, parameter, index) == ("w1", "bias", 0)
    assert wanted == pytest.approx(0.003)
    assert realised == pytest.approx(0.001)
    assert mapping.realised["w2", "bias"] == pytest.approx([-0.001])


@pytest.mark.parametrize(
    ("k1", "p1", "k2", "p2", "side", "padding"),
    [(3, 1, 1, 0, 3, 1), (1, 0, 3, 1, 3, 1), (5, 2, 3, 1, 5, 2), (2, 0, 4, 1, 4, 1), (3, (1, 0), 5, (2, 1), 5, (2, 1))],
)
def test_kernels_of_other_sizes_are_embedded(
    k1: int, p1: Any, k2: int, p2: Any, side: int, padding: Any, speck: Any, chain: Any
) -> None:
    w1, w2 = ints(3, 2, k1, k1), ints(3, 2, k2, k2)
    mapping = speck.map(joined(chain, (w1, p1), (w2, p2)).model())
    d = config_of(mapping, "c").dimensions
    assert d.kernel_size == side
    assert (d.padding.y, d.padding.x) == ((padding, padding) if isinstance(padding, int) else padding)
    check_sums(mapping)
    assert np.array_equal(mapping.realised["w1", "weight"], w1)
    assert np.array_equal(mapping.realised["w2", "weight"], w2)


def test_a_common_kernel_may_need_padding_of_its_own(speck: Any, chain: Any) -> None:
    """Along x one branch reaches further than the other; the square kernel then sticks out along y."""
    made = chain(1, 9, 8).conv(np.ones((2, 1, 1, 1)), "wa").fire(1, "a")
    made.conv(ints(2, 2, 2, 2), "w1", stride=2, padding=(0, 1)).fire(70, "c").out()
    assert made.parts[-1].output_shape == (2, 4, 5)
    mapping = speck.map(made.model())
    check_sums(mapping)


branches = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "input"]), st.integers(1, 4), st.integers(0, 2), st.integers(0, 2),
        st.sampled_from([1, 2]), st.booleans(),
    ),
    min_size=1, max_size=3,
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(branches=branches, stride=st.sampled_from([(1, 1), (2, 2), (2, 1)]), seed=st.integers(0, 99))
def test_what_a_core_adds_is_what_the_projections_add(
    speck: Any, chain: Any, branches: Any, stride: tuple[int, int], seed: int
) -> None:
    """Any branches that meet: kernels, paddings, pools, identities; or the numbers are told."""
    rng = np.random.default_rng(seed)
    made = chain(2, 6, 5).relay("wa").fire(1, "a").at("input").conv(np.ones((3, 2, 1, 1)), "wb").fire(1, "b")
    target: tuple[int, ...] | None = None
    for number, (source, side, pad_y, pad_x, pool, mean) in enumerate(branches):
        pool = 1 if source == "input" else pool
        shape = made.at(source).shape
        sizes = [have // pool + 2 * pad - side for have, pad in zip(shape[1:], (pad_y, pad_x), strict=True)]
        out = (3, *(size // step + 1 for size, step in zip(sizes, stride, strict=True)))
        if min(sizes) < 0 or target not in (None, out):
            continue
        if pool > 1:
            made.pool(pool, f"p{number}", cls=nodes.AvgPool2d if mean else nodes.SumPool2d)
        weight = rng.integers(-9, 10, (3, shape[0], side, side)) * 4
        made.conv(weight, f"w{number}", stride=stride, padding=(pad_y, pad_x))
        if target is None:
            target = made.shape
            made.fire(90, "c").out()
        else:
            made.to("c")
    if target is None:
        return
    model = made.model()
    report = speck.check(model)
    if report.fits:
        mapping = speck.map(model)
        check_sums(mapping)
        return
    fields = {f.field for f in report.refused}
    assert fields <= {"input size", "kernel size", "destinations"}, str(report)
    paths = [p for p in model.projections() if p.target == "c"]
    assert ("input size" in fields) == (len({p.path[-1].input_shape[1:] for p in paths}) > 1)
    assert ("destinations" in fields) == any(sum(p.source == name for p in paths) > 2 for name in "ab")
    assert "kernel size" not in fields or stride != (1, 1)
