"""Graphs: what several projections into one core become, where spikes are sent, and what cannot be."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import hal
from hal import nodes
from hal.mapping import Mapping
from hal.semantics import Semantics
from hal_dynapcnn.config import Destination

GOLDEN = Path(__file__).parents[1] / "golden" / "dynapcnn"
RNG = np.random.default_rng(3)
START = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """Whatever tests ran before."""
    RNG.bit_generator.state = START


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


def residual(chain: Any, wb: Any, wc: Any, thresholds: tuple[int, int, int] = (40, 50, 60)) -> Any:
    """input -> wa -> a; a -> wb -> b; a -> wc and b -> wc; wc -> c."""
    a, b, c = thresholds
    made = chain(2, 6, 6).conv(ints(3, 2, 3, 3), "wa", padding=1).fire(a, "a").conv(wb, "wb", padding=1).fire(b, "b")
    return made.conv(wc, "wc", padding=1).fire(c, "c").at("a").to("wc").at("c").out()


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
    with np.load(GOLDEN / "p09_residual_two_destinations.npz") as file:
        golden = dict(file)
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


def joined(chain: Any, first: Any, second: Any) -> Any:
    """a and b from one input; their convolutions (weight, padding[, bias]) add up in c."""
    made = chain(1, 6, 6).conv(np.ones((first[0].shape[1], 1, 1, 1)), "wa").fire(1, "a")
    made.conv(first[0], "w1", padding=first[1], bias=first[2] if len(first) > 2 else 0).fire(70, "c").out()
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


def strided(chain: Any, side: int, first: Any, second: Any, size: int, stride: Any = (4, 1)) -> Any:
    """Two kernels of one side with paddings of their own."""
    made = chain(1, size, size).conv(np.ones((2, 1, 1, 1)), "wa").fire(1, "a")
    made.conv(ints(2, 2, side, side), "w1", stride=stride, padding=first).fire(70, "c").out()
    return made.at("a").conv(ints(2, 2, side, side), "w2", stride=stride, padding=second).to("c")


def test_a_common_kernel_may_need_more_padding_than_any_of_its_own(speck: Any, chain: Any) -> None:
    """Along y one lies a row lower: a side of 4. That would cost a column along x, so side and padding grow."""
    mapping = speck.map(strided(chain, 3, (0, 1), (1, 1), 8).model())
    d = config_of(mapping, "c").dimensions
    assert (d.kernel_size, d.padding.y, d.padding.x) == (5, 1, 2)
    check_sums(mapping)


def test_kernels_without_a_common_one_are_refused_with_their_numbers(speck: Any, chain: Any) -> None:
    found = speck.refused(strided(chain, 16, (0, 1), (1, 1), 20).model(), "c", "kernel size")
    assert "side 17 or more, and none up to 16 gives the output (2, 7)" in found.reason
    assert found.wanted == "a: kernel 16, padding (0, 1), a: kernel 16, padding (1, 1)"
    assert found.realised == 16
    # here there is one, and it is too large for the chip
    assert speck.over(strided(chain, 16, 0, 1, 20, stride=4).model(), "kernel size") == (17, 16)


def test_sources_of_different_sizes(speck: Any, chain: Any) -> None:
    made = chain(1, 8, 8).relay("wa").fire(1, "a").conv(ints(1, 1, 2, 2), "w1", stride=2).fire(1, "c").out()
    made.at("a").pool(2, "p").relay("w2").to("c")
    found = speck.refused(made.model(), "c", "input size")
    assert found.wanted == "a: 4x4, a: 8x8"
    assert found.hint
    # all that is wrong is said at once
    assert {f.field for f in speck.check(made.model()).refused} == {"input size", "stride.y", "stride.x"}


def test_sources_of_different_strides(speck: Any, chain: Any) -> None:
    made = chain(1, 5, 5).relay("wa").fire(1, "a").conv(ints(1, 1, 1, 1), "w1", stride=2).fire(1, "c").out()
    made.at("input").relay("wb").fire(1, "b").conv(ints(1, 1, 3, 3), "w2").to("c")
    for axis in "yx":
        found = speck.refused(made.model(), "c", f"stride.{axis}")
        assert found.wanted == "a: 2, b: 1"
        assert found.hint


def test_the_stride_of_a_single_pixel_does_not_matter(speck: Any, chain: Any) -> None:
    made = chain(1, 2, 2).relay("wa").fire(1, "a").conv(ints(3, 1, 2, 2), "w1", stride=2).fire(70, "c").out()
    made.at("input").relay("wb").fire(1, "b").conv(ints(3, 1, 2, 2), "w2").to("c")
    check_sums(speck.map(made.model()))


def test_maps_that_a_core_cannot_form_together(speck: Any, chain: Any) -> None:
    made = chain(1, 2, 2).relay("wa").fire(1, "a").relay("w1").flatten("f").fire(1, "c").out()
    made.at("input").relay("wb").fire(1, "b").flatten("g").dense(np.eye(4), "w2").to("c")
    found = speck.refused(made.model(), "c", "output size")
    assert found.wanted == "a: (1, 2, 2), b: (4, 1, 1)"


def test_dense_layers_of_several_sources(speck: Any, chain: Any) -> None:
    """Two maps of different features, each read whole, add up in one vector."""
    made = chain(2, 3, 3).relay("wa").fire(1, "a").flatten("f").dense(ints(4, 18), "w1").fire(70, "c").out()
    made.at("input").conv(np.ones((5, 2, 1, 1)), "wb").fire(1, "b").flatten("g").dense(ints(4, 45), "w2").to("c")
    for order in ("CHW", "HWC"):
        model = made.model(flatten_order=order)
        mapping = speck.map(model)
        check_sums(mapping)
        for name in ("w1", "w2"):
            assert np.array_equal(mapping.realised[name, "weight"], model.nodes[name].weight)


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
    assert fields <= {"input size", "destinations"}, str(report)
    paths = [p for p in model.projections() if p.target == "c"]
    assert ("input size" in fields) == (len({p.path[-1].input_shape[1:] for p in paths}) > 1)
    assert ("destinations" in fields) == any(sum(p.source == name for p in paths) > 2 for name in "ab")


# --- (c) projections without weights ----------------------------------------------------------------------------------


def test_an_identity_skip_is_a_kernel_of_one_pixel(speck: Any, chain: Any) -> None:
    made = chain(2, 6, 6).relay("wa").fire(1, "a").conv(ints(2, 2, 3, 3) * 4, "wb", padding=1).fire(50, "b").out()
    made.at("input").to("b")
    mapping = speck.map(made.model())
    layer = config_of(mapping, "b")
    # the Input comes first in the network
    assert layer.weights[:, :2, 1, 1].tolist() == [[1, 0], [0, 1]]
    assert np.count_nonzero(layer.weights[:, :2]) == 2
    assert sent(mapping, "input") == [(core_of(mapping, "a"), 0, 1), (core_of(mapping, "b"), 0, 1)]
    assert sent(mapping, "a") == [(core_of(mapping, "b"), 2, 1)]
    check_sums(mapping)


def test_a_skip_and_weights_from_one_source_take_two_shifts(speck: Any, chain: Any) -> None:
    made = chain(3, 4, 4).relay("wa").fire(1, "a").conv(ints(3, 3, 3, 3), "wb", padding=1).fire(50, "b").out()
    made.at("a").to("b")
    mapping = speck.map(made.model())
    b = core_of(mapping, "b")
    assert sent(mapping, "a") == [(b, 0, 1), (b, 3, 1)]
    check_sums(mapping)
    # a third destination is one too many, though it is the same core
    found = speck.refused(made.at("a").scale(2, "s").to("b").model(), "a", "destinations")
    assert "a has 3 destinations, b, b, b; a core has 2" in found.reason


def test_an_identity_twice_from_one_source(speck: Any, chain: Any) -> None:
    made = chain(2, 2, 2).relay("wa").fire(1, "a").fire(9, "b").out().at("a").scale(1, "s").to("b")
    mapping = speck.map(made.model())
    assert [shift for _, shift, _ in sent(mapping, "a")] == [0, 2]
    check_sums(mapping)


def test_identities_of_two_sources_share_a_kernel(speck: Any, chain: Any) -> None:
    made = chain(2, 2, 2).relay("wa").fire(1, "a").fire(9, "c").out().at("input").relay("wb").fire(1, "b").to("c")
    mapping = speck.map(made.model())
    assert config_of(mapping, "c").dimensions.input_shape.feature_count == 2
    check_sums(mapping)


@pytest.mark.parametrize("pool", [1, 2, 4])
def test_an_identity_alone(pool: int, speck: Any, chain: Any) -> None:
    """Behind an Input, and behind neurons and a pool."""
    mapping = speck.map(chain(2, 8, 8).fire(3, "a").pool(pool, "p").fire(5, "b").model())
    assert config_of(mapping, "a").weights[:, :, 0, 0].tolist() == [[1, 0], [0, 1]]
    assert [d for *_, d in sent(mapping, "a")] == [pool]
    check_sums(mapping)
    assert {row.needed for row in mapping.fit.rows if row.resource == "bias memory"} == {0}


def test_scale_and_mean_are_folded_into_an_identity(speck: Any, chain: Any) -> None:
    made = chain(2, 4, 4).relay("wa").fire(1, "a").mean(2, "p").scale(12, "s").fire(5, "b", r=2)
    layer = config_of(speck.map(made.model(gain="r")), "b")
    assert layer.weights[:, :, 0, 0].tolist() == [[6, 0], [0, 6]]
    assert layer.threshold_high == 5


def test_an_identity_through_a_flatten(speck: Any, chain: Any) -> None:
    made = chain(2, 3, 3).relay("wa").fire(1, "a").flatten("f").fire(4, "b").dense(ints(2, 18), "w").fire(99, "c")
    mapping = speck.map(made.model())
    assert config_of(mapping, "b").dimensions.output_shape.shape == (2, 3, 3)
    assert config_of(mapping, "c").dimensions.kernel_size == 3
    check_sums(mapping)
    assert speck.refused(made.model(flatten_order="HWC"), "b", "flatten_order").realised == "CHW"


def test_neurons_flattened_behind_a_convolution(speck: Any, chain: Any) -> None:
    """Flat in the model, a map on the core; the dense layer behind covers the map."""
    made = chain(1, 4, 4).conv(ints(2, 1, 2, 2) * 9, "w").flatten("f").fire(90, "a").dense(ints(3, 18), "v")
    made.fire(80, "b")
    mapping = speck.map(made.model())
    assert config_of(mapping, "b").dimensions.input_shape.shape == (2, 3, 3)
    check_sums(mapping)
    found = speck.refused(made.model(flatten_order="HWC"), "f", "flatten_order")
    assert "C, H, W" in found.reason


def test_an_identity_that_is_rounded_is_said(speck: Any, chain: Any) -> None:
    made = chain(1, 2, 2).relay("wa").fire(1, "a").conv([[[[100.5]]]], "w").fire(300.25, "b").out()
    made.at("a").scale(0.0131, "s").to("b")
    found = speck.said(made.model(), "changed", "b", "identity")
    assert float(found.wanted) == pytest.approx(0.0131)
    layer = config_of(speck.map(made.model()), "b")
    assert float(found.realised) == pytest.approx(layer.weights[0, 0, 0, 0] * 300.25 / layer.threshold_high, rel=1e-4)


# --- (d) pooling of branches ------------------------------------------------------------------------------------------


def averaged(chain: Any, weight: Any, *, mean: int = 2, theta: float = 128) -> Any:
    """a, 8 x 8, and b, 16 x 16, are averaged to 4 x 4 by 2 and 4 and meet in w."""
    made = chain(1, 16, 16).relay("wb").fire(1, "b").mean(4, "pb").conv(weight, "w").fire(theta, "c").out()
    return made.at("input").conv([[[[1]]]], "wa", stride=2).fire(1, "a").mean(mean, "pa").to("w")


def test_average_merge_exact_stores_a_kernel_for_each_factor(speck: Any, chain: Any) -> None:
    weight = np.array([[[[32]]], [[[-16]]]])
    made = averaged(chain, weight)
    mapping = speck.map(made.model())
    layer = config_of(mapping, "c")
    assert layer.weights[:, :, 0, 0].tolist() == [[8, 2], [-4, -1]]
    assert sent(mapping, "a") == [(core_of(mapping, "c"), 0, 2)]
    assert sent(mapping, "b") == [(core_of(mapping, "c"), 1, 4)]
    check_sums(mapping)
    assert np.array_equal(mapping.realised["w", "weight"], weight)
    found = speck.said(made.model(), "note", "w", "copies")
    assert "a: times 0.25, b: times 0.0625" in found.reason
    assert (found.wanted, found.realised) == (1, 2)
    assert "average_merge='sinabs'" in found.hint
    (kernel,) = [r.needed for r in mapping.fit.rows if r.node == "c" and r.resource == "kernel memory"]
    assert kernel == 4


def test_average_merge_sinabs_takes_a_factor_in_between(speck: Any, chain: Any) -> None:
    """Sheet: factors 0.25 and 0.0625 give 0.08."""
    weight = np.array([[[[100]]], [[[-50]]]])
    made = averaged(chain, weight)
    mapping = speck.map(made.model(), average_merge="sinabs")
    layer = config_of(mapping, "c")
    assert layer.weights[:, :, 0, 0].tolist() == [[8], [-4]]
    assert [shift for _, shift, _ in sent(mapping, "a") + sent(mapping, "b")] == [0, 0]
    found = speck.said(made.model(), "changed", "w", "average_merge", average_merge="sinabs")
    assert (found.wanted, found.realised) == ("a: 0.25, b: 0.0625", 0.08)
    assert mapping.realised["w", "weight"] == pytest.approx(weight)


def test_averages_that_agree_are_no_matter(speck: Any, chain: Any) -> None:
    made = chain(1, 4, 4).relay("wa").fire(1, "a").mean(2, "p").relay("w", 16).fire(64, "c").out()
    made.at("input").relay("wb").fire(1, "b").mean(2, "q").to("w")
    for rule in ("exact", "sinabs"):
        mapping = speck.map(made.model(), average_merge=rule)
        assert config_of(mapping, "c").weights.ravel().tolist() == [4]
        assert not mapping.fit.findings


def test_copies_that_round_differently(speck: Any, chain: Any) -> None:
    """The finest copy is what is realised; losses are told of each."""
    made = averaged(chain, np.array([[[[100.25]]], [[[0.9]]]]), theta=90.5)
    mapping = speck.map(made.model())
    layer = config_of(mapping, "c")
    codes = layer.weights[:, :, 0, 0]
    assert codes[1, 0] != 0
    assert codes[1, 1] == 0
    unit = layer.threshold_high / mapping.realised["c", "v_threshold"].ravel()[0]
    assert mapping.realised["w", "weight"].ravel() * 0.25 * unit == pytest.approx(codes[:, 0])
    ((node, parameter, index, wanted, realised, reason),) = list(mapping.losses)
    assert (node, parameter, index, realised) == ("w", "weight", 1, 0)
    assert wanted == pytest.approx(0.9)
    assert reason == "rounded to 0 for spikes of b to c"
    found = speck.said(made.model(), "note", "w", "realised")
    assert "2 places" in found.reason


def test_pooling_is_per_destination(speck: Any, chain: Any) -> None:
    made = chain(1, 8, 8).relay("wa").fire(1, "a").pool(2, "p").relay("wb").fire(2, "b").out()
    made.at("a").pool(4, "q").relay("wc").fire(3, "c")
    mapping = speck.map(made.model())
    assert sent(mapping, "a") == [(core_of(mapping, "b"), 0, 2), (core_of(mapping, "c"), 0, 4)]
    check_sums(mapping)


def test_a_pool_shared_by_branches(speck: Any, chain: Any) -> None:
    made = chain(1, 8, 8).relay("wa").fire(1, "a").pool(2, "p").relay("wb").fire(2, "b").out()
    made.at("p").relay("wc").fire(3, "c").at("p").out("pooled")
    mapping = speck.map(made.model(), record=["c"])
    assert [pool for *_, pool in sent(mapping, "a")] == [2, 2]
    fates = {fate.node: fate for fate in mapping.fates}
    assert len(mapping.fates) == len(mapping.model.nodes)  # type: ignore[union-attr]
    assert (fates["p"].fate, fates["p"].onto) == ("folded", "a")
    assert "destination pooling" in fates["p"].reason
    assert "read-out" in fates["p"].reason


def test_nodes_that_serve_several_branches_are_told_once(speck: Any, chain: Any) -> None:
    made = chain(1, 8, 8).relay("wa").fire(1, "a").pool(2, "p").relay("w").fire(2, "c").out()
    made.at("input").relay("wb").fire(1, "b").to("p").at("w").fire(3, "d")
    mapping = speck.map(made.model())
    fates = {fate.node: fate for fate in mapping.fates}
    assert len(fates) == len(mapping.fates)
    assert fates["p"].reason == "destination pooling of a, b"
    assert (fates["w"].onto, fates["w"].reason) == ("c", "part of c, d")
    check_sums(mapping)


def test_a_weight_node_of_two_populations(speck: Any, chain: Any) -> None:
    """One set of weights, two cores with thresholds of their own."""
    weight = RNG.normal(size=(2, 2, 1, 1))
    made = chain(2, 2, 2).conv(weight, "w").fire(1, "a").out().at("w").fire(0.01, "b")
    mapping = speck.map(made.model())
    found = speck.said(made.model(), "note", "w", "realised")
    assert "2 places" in found.reason
    realised = mapping.realised["w", "weight"]
    errors = []
    for name, theta in (("a", 1), ("b", 0.01)):
        layer = config_of(mapping, name)
        stored = (
            layer.weights.transpose(0, 1, 3, 2)
            * mapping.realised[name, "v_threshold"].ravel()[0]
            / layer.threshold_high
        )
        errors.append(np.abs(stored - realised).max() / theta)
    assert min(errors) < 1e-9
    same = chain(2, 2, 2).conv(ints(2, 2, 1, 1), "w").fire(30, "a").out().at("w").fire(40, "b")
    assert not [f for f in speck.map(same.model()).fit.findings if f.field == "realised"]


# --- destinations -----------------------------------------------------------------------------------------------------


def test_rule_9_a_third_destination_is_refused_by_name(speck: Any, chain: Any) -> None:
    made = chain(1, 2, 2).relay("wa").fire(1, "a")
    for name in "bcd":
        made.at("a").relay(f"w{name}").fire(1, name)
    model = made.out().model()
    found = speck.refused(model, "a", "destinations")
    assert "a has 3 destinations, b, c, d; a core has 2" in found.reason
    assert (found.wanted, found.realised) == (3, 2)
    assert "copy" in found.hint
    assert len(speck.check(model).refused) == 1


def test_outputs_are_no_destinations(speck: Any, chain: Any) -> None:
    made = chain(1, 2, 2).relay("wa").fire(1, "a").out("first")
    for name in "bc":
        made.at("a").relay(f"w{name}").fire(1, name)
    mapping = speck.map(made.out("second").model())
    assert len(sent(mapping, "a")) == 2
    monitored = {name for name in "abc" if config_of(mapping, name).monitor_enable}
    assert monitored == {"a", "c"}
    probed = speck.map(made.model(), record=["b"])
    assert config_of(probed, "b").monitor_enable


def test_an_output_of_several_populations(speck: Any, chain: Any) -> None:
    made = chain(1, 2, 2).relay("wa").fire(1, "a").out("sum").at("a").relay("wb").fire(1, "b").to("sum")
    mapping = speck.map(made.model())
    assert all(config_of(mapping, name).monitor_enable for name in "ab")
    assert len(mapping.where("sum")) == 8
    twice = chain(1, 4, 4).relay("wa").fire(1, "a").flatten("f").out("sum").at("a").flatten("g").to("sum")
    found = speck.refused(twice.model(), "sum", "input")
    assert "a reaches it by 2 ways" in found.reason


# --- inputs -----------------------------------------------------------------------------------------------------------


def test_an_input_may_feed_any_number_of_cores(speck: Any, chain: Any) -> None:
    made = chain(2, 2, 2)
    for name in "abcd":
        made.at("input").relay(f"w{name}").fire(1, name)
    mapping = speck.map(made.out().model(), fixed_cores={"a": 7})
    assert sent(mapping, "input") == [(core_of(mapping, name), 0, 1) for name in "abcd"]
    assert {core_of(mapping, name) for name in "bc"} == {0, 1}


def test_several_inputs_are_entries_in_the_models_order(speck: Any, chain: Any) -> None:
    made = chain(2, 2, 2, name="z").conv(ints(1, 2, 1, 1), "w").fire(30, "n").out().source(3, 2, 2, name="a")
    made.conv(ints(1, 3, 1, 1), "v").to("n").at("a").relay("u").fire(1, "m")
    mapping = speck.map(made.model())
    n, m = core_of(mapping, "n"), core_of(mapping, "m")
    # both of one level: the first by name comes first
    assert [(e.port, e.layer, e.feature_shift) for e in mapping.config.entries] == [
        ("a", m, 0),
        ("a", n, 0),
        ("z", n, 3),
    ]
    assert [port.name for port in mapping.inputs] == ["a", "z"]
    check_sums(mapping)


def test_a_pool_behind_an_input_is_refused_in_graphs_too(speck: Any, chain: Any) -> None:
    made = chain(1, 4, 4).relay("wa").fire(1, "a").pool(2, "q").fire(1, "b").out().at("input").pool(2, "p").to("b")
    assert speck.refused(made.model(), "p", "kernel_size").hint


# --- loops ------------------------------------------------------------------------------------------------------------


def test_loops_run_and_are_warned_of(speck: Any, chain: Any) -> None:
    made = (
        chain(2, 2, 2)
        .relay("wa")
        .fire(3, "a")
        .relay("wb")
        .fire(4, "b")
        .out()
        .at("b")
        .conv(ints(2, 2, 1, 1), "wf")
        .to("a")
    )
    model = made.model()
    mapping = speck.map(model)
    a, b = core_of(mapping, "a"), core_of(mapping, "b")
    assert sent(mapping, "a") == [(b, 0, 1)]
    assert [to for to, _, _ in sent(mapping, "b")] == [a]
    check_sums(mapping)
    for source, target in (("b", "a"), ("a", "b")):
        found = speck.said(model, "changed", target, "feedback_delay")
        assert f"{source} -> {target} closes a loop" in found.reason
        assert (found.wanted, found.realised) == ("1 step", "no delay")
        assert "deadlock" in found.hint


def test_a_population_that_feeds_itself(speck: Any, chain: Any) -> None:
    made = chain(2, 2, 2).relay("w").fire(3, "a").out().at("a").conv(-np.eye(2)[:, :, None, None], "v").to("a")
    model = made.model(feedback_delay=2)
    mapping = speck.map(model)
    assert [to for to, _, _ in sent(mapping, "a")] == [core_of(mapping, "a")]
    assert speck.said(model, "changed", "a", "feedback_delay").wanted == "2 steps"
    check_sums(mapping)


def test_destinations_within_a_loop_keep_their_order(speck: Any, chain: Any) -> None:
    """The same registers whatever the order of nodes and edges in the file."""
    made = chain(1, 2, 2).relay("wa").fire(3, "a").relay("wb").fire(4, "b").relay("wc").fire(5, "c").out()
    made.at("c").to("wa").at("a").to("wc")
    first = speck.map(made.model())
    made.parts.reverse()
    made.edges.reverse()
    again = speck.map(made.model())
    assert first.config == again.config
    order = [name for name in made.model().order() if name in "bc"]
    assert [to for to, _, _ in sent(first, "a")] == [core_of(first, name) for name in order]


# --- the rest of the mapping ------------------------------------------------------------------------------------------


def test_the_realised_model_of_a_residual_runs_on_ideal(speck: Any, chain: Any) -> None:
    """Integers are kept, so the realised model is the model."""
    wb, wc = ints(3, 3, 3, 3), ints(4, 3, 3, 3)
    model = residual(chain, wb, wc, (10, 10, 10)).model()
    mapping = speck.map(model, record=["a", "b"])
    for name, weight in (("wb", wb), ("wc", wc)):
        assert np.array_equal(mapping.realised[name, "weight"], weight)
    real = mapping.realised_model()
    assert real is not None
    found = []
    index = np.random.default_rng(8).integers(0, 72, 300)
    for one in (model, real):
        with hal.open("ideal") as device:
            device.load(hal.mapper("ideal").map(one, record=["a", "b"]))
            found.append(device.run({"input": speck.events(index)}, 300 * speck.step))
    for name in ("a", "b", "output"):
        assert np.array_equal(found[0].spikes[name], found[1].spikes[name])
    assert all(found[0].event_count(name) for name in ("a", "b", "output"))


def test_like_keeps_the_graph(speck: Any, chain: Any) -> None:
    first = speck.map(residual(chain, ints(3, 3, 3, 3), ints(4, 3, 3, 3)).model(), fixed_cores={"a": 7, "b": 4, "c": 2})
    model = residual(chain, ints(3, 3, 3, 3) * 0.5, ints(4, 3, 3, 3)).model()
    again = speck.map(model, like=first)
    assert [core_of(again, name) for name in "abc"] == [7, 4, 2]
    assert [sent(again, name) for name in "abc"] == [sent(first, name) for name in "abc"]


def test_a_graph_survives_its_file(tmp_path: Path, speck: Any, chain: Any) -> None:
    mapping = speck.map(residual(chain, ints(3, 3, 3, 3), ints(4, 3, 3, 3)).model())
    mapping.save(tmp_path / "m.zip")
    assert hal.read_mapping(tmp_path / "m.zip").config == mapping.config


def test_losses_of_a_merged_kernel_name_node_index_and_connection(speck: Any, chain: Any) -> None:
    w1, w2 = np.full((2, 2, 1, 1), 100.5), np.full((2, 3, 3, 3), 90.5)
    w2[1, 2, 0, 1] = 0.001
    made = joined(chain, (w1, 0), (w2, 1))
    mapping = speck.map(made.model())
    assert [row[:3] for row in mapping.losses] == [("w2", "weight", ((1 * 3 + 2) * 3 + 0) * 3 + 1)]
    ((source, _, target, _),) = mapping.losses.connections(made.model())
    assert (source, target) == ("b", "c")
    assert len(mapping.realised["w1", "weight"].ravel()) == 4


def test_keep_integers_names_the_weights_that_are_none(speck: Any, chain: Any) -> None:
    made = joined(chain, (ints(2, 1, 1, 1), 0), (np.full((2, 1, 1, 1), 0.5), 0))
    assert speck.refused(made.model(), "w2", "weight", quantisation="keep_integers").wanted == 0.5
    assert len(speck.check(made.model(), quantisation="keep_integers").refused) == 1
    over = joined(chain, (ints(1, 1, 1, 1), 0, [30_000]), (ints(1, 1, 1, 1), 0, [30_000]))
    assert speck.refused(over.model(), "c", "bias", quantisation="keep_integers").wanted == 60_000


def test_a_fault_of_a_shared_node_is_said_once(speck: Any, chain: Any) -> None:
    made = chain(1, 8, 8).relay("wa").fire(1, "a").conv(np.ones((1, 1, 3, 3)), "w", dilation=2).fire(1, "c").out()
    made.at("input").relay("wb").fire(1, "b").to("w")
    speck.refused(made.model(), "w", "dilation")
    assert len(speck.check(made.model()).refused) == 1


def test_nodes_that_lead_nowhere(speck: Any, chain: Any) -> None:
    """A convolution without neurons behind it, beside a network that has some."""
    made = chain(1, 4, 4).relay("wa").fire(1, "a").out().at("a").conv(np.ones((1, 1, 3, 3)), "w")
    found = speck.refused(made.model(), "w", "type")
    assert "Conv2d lies on no way" in found.reason
    assert found.hint


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_factors_that_are_not_finite(bad: float, speck: Any, chain: Any) -> None:
    made = chain(1, 2, 2).relay("w").scale(bad, "s").fire(1, "a")
    assert speck.refused(made.model(), "s", "scale").realised == "finite numbers"


def test_features_of_a_merged_kernel_count_together(speck: Any, chain: Any) -> None:
    made = joined(chain, (np.ones((1, 600, 1, 1)), 0), (np.ones((1, 500, 1, 1)), 0))
    rows = [row for row in speck.check(made.model()).rows if row.resource == "features" and row.node == "c"]
    assert [(row.needed, row.limit, row.ok) for row in rows] == [(1100, 1024, False)]


def test_the_residual_block_from_registers_and_from_a_file_are_the_same(speck: Any, chain: Any, tmp_path: Path) -> None:
    """A chain with destination 1 of core 0 switched on to layer 2 is the NIR graph with two edges into one Conv2d."""
    rng = np.random.default_rng(9)
    made = chain(2, 8, 8)
    for name in "abc":
        weights = rng.integers(-40, 60, (2, made.shape[0], 3, 3))
        made.conv(weights, f"conv_{name}", padding=1).fire(90, name)
    made.put(hal.nodes.Output, "output", (2, 8, 8))
    row = ["input", "conv_a", "a", "conv_b", "b", "conv_c", "c", "output"]
    plain = speck.map(made.graph(pairwise(row)), record=list("abc"))
    assert speck.cores(plain, made.graph(pairwise(row))) == [0, 1, 2]
    first = plain.config.cnn_layers[0]
    on = (first.destinations[0], Destination(enable=True, layer=2))
    layers = (attrs.evolve(first, destinations=on), *plain.config.cnn_layers[1:])
    edited = plain.with_config(attrs.evolve(plain.config, cnn_layers=layers))

    file: dict[str, Any] = {"input": nir.Input(np.array([2, 8, 8])), "output": nir.Output(np.array([2, 8, 8]))}
    for node in made.parts:
        if isinstance(node, nodes.Conv2d):
            file[node.name] = nir.Conv2d((8, 8), node.weight, 1, 1, 1, 1, node.bias)
        elif isinstance(node, nodes.IF):
            file[node.name] = nir.IF(r=node.r, v_threshold=node.v_threshold, v_reset=node.v_reset)
    nir.write(tmp_path / "residual.nir", nir.NIRGraph(file, [*pairwise(row), ("a", "conv_c")]))
    semantics = Semantics(**speck.semantics)
    residual = speck.map(hal.read_model(tmp_path / "residual.nir", semantics), record=list("abc"))
    assert residual.config == edited.config
    index = rng.integers(0, 128, 600)
    one, two, without = (speck.run(mapping, index) for mapping in (edited, residual, plain))
    for name in "abc":
        assert np.array_equal(one.spikes[name], two.spikes[name])
    assert one.event_count("c") > 0
    assert not np.array_equal(one.spikes["c"], without.spikes["c"])
