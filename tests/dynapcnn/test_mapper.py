"""Mapping onto the family: cores, memories, options, placement, what is realised and what is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hal
from hal import nodes
from hal.agreement import agreement
from hal.errors import ConfigError, DoesNotFitError
from hal.mapping import Mapping
from hal.model import Model
from hal_dynapcnn.allocator import address_words, memory_words
from hal_dynapcnn.cores import synops_per_event
from hal_dynapcnn.layers import Reader
from hal_dynapcnn.options import SpeckMapOptions

GOLDEN = Path(__file__).parents[1] / "golden" / "dynapcnn"
FIVE = ("speck2cmini", "speck2dmini")


def wide(chain: Any, count: int, features: int = 16, size: int = 64) -> Model:
    """Layers a, b, ... that each take 64 Ki words of neuron memory (16 features of 64 x 64)."""
    made = chain(features, size, size)
    for i in range(count):
        made.relay(f"w{i}").fire(1, "abcdefghij"[i])
    return made.model()  # type: ignore[no-any-return]


def heavy(chain: Any, count: int) -> Model:
    """Layers that each take 64 Ki words of kernel memory: 64 x 64 features, kernel 4."""
    made = chain(64, 3 * count + 1, 3 * count + 1)
    for i in range(count):
        made.conv(np.ones((64, 64, 4, 4)), f"w{i}").fire(127, "abcdefghij"[i])
    return made.model()  # type: ignore[no-any-return]


def small(chain: Any, count: int, features: int = 2, **more: Any) -> Model:
    made = chain(features, 1, 1)
    for i in range(count):
        made.relay(f"w{i}").fire(1, "abcdefghij"[i])
    return made.model(**more)  # type: ignore[no-any-return]


def config_of(mapping: Mapping, name: str) -> Any:
    return mapping.config.cnn_layers[int(mapping.placement.where(name)["core"][0])]


# --- sheet, section 9: memories and cores -----------------------------------------------------------------------------


def test_rule_12_a_layer_of_64_ki_kernel_words_goes_to_core_5_or_6(speck: Any, chain: Any) -> None:
    model = heavy(chain, 1)
    assert speck.cores(speck.map(model), model) == [5]
    assert speck.cores(speck.map(model, reserved_cores=(5,)), model) == [6]
    for core in (0, 1, 2, 3, 4, 7, 8):
        found = speck.refused(model, "a", "core", fixed_cores={"a": core})
        assert "65536 words" in found.reason
        assert f"core {core}" in found.reason


def test_rule_12_three_such_layers_fail_and_are_named(speck: Any, chain: Any) -> None:
    model = heavy(chain, 3)
    found = speck.refused(model, "", "cores")
    assert "3 layers (a, b, c) compete for 2 of 9 cores (5, 6), 3 > 2" in found.reason
    assert "65536 kernel" in found.reason
    assert found.hint


def test_rule_12_one_word_more_fits_no_core(speck: Any, chain: Any) -> None:
    made = chain(65, 4, 4).conv(np.ones((64, 65, 4, 4)), "w").fire(1, "n")
    found = speck.refused(made.model(), "n", "core")
    assert "fits no core" in found.reason
    assert "kernel memory by 1024 of 66560 words" in found.reason
    assert speck.over(made.model(), "kernel memory") == (66560, 65536)


def test_rule_13_layers_of_64_ki_neurons(speck: Any, chain: Any) -> None:
    model = wide(chain, 3)
    assert sorted(speck.cores(speck.map(model), model)) == [0, 1, 2]
    found = speck.refused(wide(chain, 4), "", "cores")
    assert "4 layers (a, b, c, d) compete for 3 of 9 cores (0, 1, 2), 4 > 3" in found.reason
    assert "65536 neuron" in found.reason


def test_rule_14_ten_layers(speck: Any, chain: Any) -> None:
    model = small(chain, 9)
    assert sorted(speck.cores(speck.map(model), model)) == list(range(9))
    ten = small(chain, 10)
    assert speck.over(ten, "cores") == (10, 9)
    found = speck.refused(ten, "", "cores")
    assert "10 > 9" in found.reason
    assert "abcdefghij"[9] in found.reason


@pytest.mark.parametrize("name", FIVE)
def test_rule_14_on_five_cores(name: str, speck: Any, chain: Any) -> None:
    mini = speck.on(name)
    assert sorted(mini.cores(mini.map(small(chain, 5), drop_zero_bias=True), small(chain, 5))) == list(range(5))
    assert mini.over(small(chain, 6), "cores") == (6, 5)


def test_rule_15_a_matching_not_first_fit(speck: Any, chain: Any) -> None:
    """The first layers would take all large neuron memories; the last one needs one of them."""
    made = chain(1, 4, 4)
    for name in "abc":
        made.relay(f"w{name}").fire(1, name)
    # 64 features of 18 x 18: 64 * 2^(5+5) = 64 Ki neurons
    model = made.conv(np.ones((64, 1, 1, 1)), "wd", padding=7).fire(1, "d").model()
    assert speck.cores(speck.map(model), model) == [0, 2, 3, 1]
    kept = speck.map(model, fixed_cores={"a": 0, "b": 1})
    assert speck.cores(kept, model)[3] == 2


def test_the_busiest_layer_gets_the_other_fast_core(speck: Any, chain: Any) -> None:
    """Updates per event: a has 1, b 4, c 36 less the edges, d, dense, 3 although its kernel has 16 pixels."""
    made = chain(1, 4, 4).relay("wa").fire(1, "a").conv(np.ones((4, 1, 1, 1)), "wb").fire(1, "b")
    made.conv(np.ones((4, 4, 3, 3)), "wc", padding=1).fire(9, "c").flatten().dense(np.ones((3, 64)), "wd").fire(9, "d")
    model = made.model()
    assert speck.cores(speck.map(model), model) == [0, 2, 1, 3]
    assert speck.cores(speck.map(model, fixed_cores={"c": 4}), model) == [0, 1, 4, 2]


def test_synaptic_updates_per_event_are_those_of_the_emulator(speck: Any, chain: Any) -> None:
    """One event into every pixel, strides and paddings that differ by axis."""
    made = chain(2, 7, 6).conv(np.ones((3, 2, 3, 3)), "w", stride=(2, 1), padding=(0, 2)).fire(9, "n")
    recording = speck.run(made.model(), np.arange(84))
    (layer,) = Reader(made.model(), SpeckMapOptions()).layers
    assert recording.stats["synops"].sum() == pytest.approx(84 * synops_per_event(layer))


@pytest.mark.parametrize("name", FIVE)
def test_rule_16_a_bias_of_zeros_asks_for_bias_memory(name: str, speck: Any, chain: Any) -> None:
    mini = speck.on(name)
    two = small(chain, 2)
    assert sorted(mini.cores(mini.map(two), two)) == [3, 4]
    found = mini.refused(small(chain, 3), "", "cores")
    assert "compete for 2 of 5 cores (3, 4), 3 > 2" in found.reason
    assert "drop_zero_bias=True" in found.hint
    three = small(chain, 3)
    assert mini.cores(mini.map(three, drop_zero_bias=True), three) == [0, 1, 2]
    # a dense layer without a bias needs none
    model = chain(2).dense(np.eye(2), "w").fire(1, "n").model()
    assert mini.cores(mini.map(model), model) == [0]
    model = chain(2).dense(np.eye(2), "w", bias=0).fire(1, "n").model()
    assert mini.cores(mini.map(model), model) == [3]


def test_drop_zero_bias_keeps_a_bias_that_is_not_zero(speck: Any, chain: Any) -> None:
    mini = speck.on("speck2cmini")
    model = chain(2, 1, 1).conv(np.eye(2)[:, :, None, None], "w", bias=[0, 3]).fire(1, "n").model()
    mapping = mini.map(model, drop_zero_bias=True)
    assert mini.cores(mapping, model) == [3]
    assert config_of(mapping, "n").biases.tolist() == [0, 3]
    row = {row.resource: row.needed for row in mapping.fit.rows}
    assert row["bias memory"] == 2
    assert {
        row.needed for row in mini.map(small(chain, 1), drop_zero_bias=True).fit.rows if "bias" in row.resource
    } == {0}


def test_bias_memory_beyond_its_words(speck: Any, chain: Any) -> None:
    model = chain(1, 1, 1).conv(np.ones((1024, 1, 1, 1)), "w").fire(1, "n").model()
    rows = {row.resource: (row.needed, row.limit) for row in speck.map(model).fit.rows}
    assert rows["bias memory"] == (1024, 1024)
    assert rows["neuron memory"] == (1024, 65536)
    assert rows["kernel memory"] == (1024, 16384)


@pytest.mark.parametrize("name", [spec.name for spec in hal.devices() if spec.family == "dynapcnn"])
def test_every_chip_of_the_family_maps_and_runs(name: str, speck: Any, chain: Any) -> None:
    model = chain(1, 4, 4).relay("w").fire(1, "n").model()
    recording = speck.on(name).run(model, [5, 5])
    assert recording.spikes["n"]["index"].tolist() == [5, 5]


# --- options ----------------------------------------------------------------------------------------------------------


def test_an_ordering_is_followed(speck: Any, chain: Any) -> None:
    model = small(chain, 3)
    mapping = speck.map(model, chip_layers_ordering=(8, 0, 4))
    assert speck.cores(mapping, model) == [8, 0, 4]
    assert mapping.config.entries[0].layer == 8
    assert [d.layer for d in mapping.config.cnn_layers[8].destinations if d.enable] == [0]
    assert [d.layer for d in mapping.config.cnn_layers[0].destinations if d.enable] == [4]
    assert speck.map(model, chip_layers_ordering="auto").config.entries[0].layer == 0
    assert speck.run(mapping, [0, 1]).counts("output").ravel().tolist() == [1, 1]


@pytest.mark.parametrize(
    ("options", "node", "text"),
    [
        ({"chip_layers_ordering": (0, 1)}, "", "the ordering names 2 cores for 3 layers"),
        ({"chip_layers_ordering": (0, 1, 2, 3)}, "", "the ordering names 4 cores for 3 layers"),
        ({"chip_layers_ordering": (0, 1, 1)}, "", "b, c are asked onto one core, 1"),
        ({"chip_layers_ordering": (0, 1, 2), "fixed_cores": {"b": 5}}, "b", "ask for different cores: 5, 1"),
        ({"chip_layers_ordering": (0, 1, 2), "reserved_cores": (1,)}, "b", "asked onto core 1, which is reserved"),
        ({"fixed_cores": {"a": 3}, "reserved_cores": (3,)}, "a", "asked onto core 3, which is reserved"),
        ({"fixed_cores": {"a": 3, "c": 3}}, "", "a, c are asked onto one core, 3"),
    ],
)
def test_requests_that_cannot_be_met(options: Any, node: str, text: str, speck: Any, chain: Any) -> None:
    report = speck.check(small(chain, 3), **options)
    found = [f for f in report.refused if text in f.reason]
    assert len(found) == 1, str(report)
    assert found[0].node == node
    assert found[0].hint
    with pytest.raises(DoesNotFitError, match=text.split("(")[0]):
        speck.map(small(chain, 3), **options)


def test_a_core_the_chip_does_not_have(speck: Any, chain: Any) -> None:
    mini = speck.on("speck2cmini")
    report = mini.check(small(chain, 1), chip_layers_ordering=(5,))
    assert "asked onto core 5; the chip has cores 0..4" in str(report)
    for options in ({"chip_layers_ordering": (9,)}, {"fixed_cores": {"a": 9}}, {"reserved_cores": (-1,)}):
        with pytest.raises(ConfigError, match=r"out of range"):
            speck.check(small(chain, 1), **options)


def test_fixed_and_reserved_cores(speck: Any, chain: Any) -> None:
    model = small(chain, 3)
    assert speck.cores(speck.map(model, fixed_cores={"b": 0}), model) == [1, 0, 2]
    assert speck.cores(speck.map(model, reserved_cores=(0, 1, 4)), model) == [2, 3, 5]
    found = speck.refused(model, "nobody", "fixed_cores", fixed_cores={"nobody": 1})
    assert found.wanted == 1
    assert "a, b, c" in found.hint
    report = speck.check(small(chain, 1), reserved_cores=tuple(range(9)))
    assert not report.fits
    assert "0, 1, 2, 3, 4, 5, 6, 7, 8 were ruled out by options" in str(report)


@pytest.mark.parametrize(
    "options", [{"fixed_cores": {"b": 3, "a": 2}}, {"chip_layers_ordering": (2, 3)}, {"fixed_cores": {"b": 3}}]
)
def test_a_refused_layer_makes_nothing_false_of_the_options(options: Any, speck: Any, chain: Any) -> None:
    made = chain(1, 8, 8).relay("w").fire(1, "a").conv(np.ones((1, 1, 3, 3)), "v", dilation=2).fire(1, "b")
    report = speck.check(made.model(), **options)
    assert [(f.node, f.field) for f in report.refused] == [("v", "dilation")]


def test_words_that_are_no_options(speck: Any, chain: Any) -> None:
    wrong: list[dict[str, Any]] = [
        {"orderring": "auto"}, {"chip_layers_ordering": "best"}, {"quantisation": "int4"}, {"v_min_factor": 0.5},
        {"v_min_factor": 17.0}, {"approximate": {"leek"}}, {"drop_zero_bias": 1},
    ]  # fmt: skip
    for options in wrong:
        with pytest.raises(ConfigError) as error:
            speck.map(small(chain, 1), **options)
        assert next(iter(options)) in str(error.value)


def test_rule_18_integers_stay_untouched(speck: Any, chain: Any) -> None:
    weights = np.array([[-128, 127], [3, -4]])[:, :, None, None]
    made = chain(2, 1, 1).conv(weights, "w").fire(300, "n")
    for rule in ("default", "keep_integers"):
        mapping = speck.map(made.model(v_min=-7.0), quantisation=rule)
        layer = config_of(mapping, "n")
        assert np.array_equal(layer.weights, weights)
        assert (layer.threshold_high, layer.threshold_low) == (300, -7)
        assert not len(mapping.losses)


@pytest.mark.parametrize("weight", [0.5, 128, -129])
def test_keep_integers_refuses_weights_that_are_none(weight: float, speck: Any, chain: Any) -> None:
    model = chain(1, 1, 1).conv([[[[weight]]]], "w").fire(1, "n").model()
    found = speck.refused(model, "w", "weight", quantisation="keep_integers")
    assert "keep_integers" in found.reason
    assert "-128..127" in found.hint
    assert speck.check(model).fits


def test_keep_integers_at_the_bounds(speck: Any, chain: Any) -> None:
    model = chain(1, 1, 1).conv([[[[-128]]]], "w").fire(32767, "n").model(v_min=-32768.0)
    layer = config_of(speck.map(model, quantisation="keep_integers"), "n")
    assert (layer.weights.item(), layer.threshold_high, layer.threshold_low) == (-128, 32767, -32768)


def test_rule_18_sinabs_scales_integers_again(speck: Any, chain: Any) -> None:
    model = chain(1, 1, 1).conv([[[[126]]]], "w").fire(300, "n").model(v_min=-300.0)
    layer = config_of(speck.map(model, quantisation="sinabs"), "n")
    assert (layer.weights.item(), layer.threshold_high, layer.threshold_low) == (127, 302, -302)


def test_sinabs_without_a_lower_bound_loses_the_weights_and_says_so(speck: Any, chain: Any) -> None:
    model = chain(1, 1, 1).conv([[[[0.25]]]], "w").fire(1, "n").model()
    found = speck.said(model, "changed", "w", "weight", quantisation="sinabs")
    assert "layer is dead" in found.reason
    assert not config_of(speck.map(model, quantisation="sinabs"), "n").weights.any()
    assert config_of(speck.map(model), "n").weights.item() > 100


def test_sinabs_threshold_that_became_zero_is_said(speck: Any, chain: Any) -> None:
    model = chain(1, 1, 1).conv([[[[1e6]]]], "w").fire(1, "n").model()
    mapping = speck.map(model, quantisation="sinabs")
    assert config_of(mapping, "n").threshold_high == 0
    assert any((f.level, f.node, f.field) == ("changed", "n", "v_threshold") for f in mapping.fit.findings)


@pytest.mark.parametrize("rule", ["default", "keep_integers", "sinabs"])
def test_rule_4_a_lower_bound_of_zero_becomes_minus_one(rule: str, speck: Any, chain: Any) -> None:
    model = chain(1, 1, 1).conv([[[[127]]]], "w").fire(127, "n").model(v_min=0.0)
    found = speck.said(model, "changed", "n", "v_min", quantisation=rule)
    layer = config_of(speck.map(model, quantisation=rule), "n")
    assert layer.threshold_low == -1
    assert "datasheet" in found.reason
    assert float(found.wanted) == 0
    assert float(found.realised) == pytest.approx(-127 / layer.threshold_high, rel=1e-4)


def test_v_min_factor_widens_a_negative_bound(speck: Any, chain: Any) -> None:
    made = chain(1, 1, 1).conv([[[[10]]]], "w").fire(100, "n")
    assert config_of(speck.map(made.model(v_min=-100.0), v_min_factor=1.5), "n").threshold_low == -150
    found = speck.said(made.model(v_min="-threshold"), "changed", "n", "v_min", v_min_factor=2.0)
    assert (found.wanted, found.realised) == (-100, -200)
    for v_min in (None, 0.0, 5.0):
        mapping = speck.map(made.model(v_min=v_min), v_min_factor=2.0)
        plain = speck.map(made.model(v_min=v_min))
        assert config_of(mapping, "n").threshold_low == config_of(plain, "n").threshold_low


def test_small_weights_get_eight_bits_and_a_note(speck: Any, chain: Any) -> None:
    model = chain(1, 1, 1).conv([[[[0.5]]]], "w").fire(1, "n").model()
    layer = config_of(speck.map(model), "n")
    assert layer.weights.item() * 2 == layer.threshold_high
    assert layer.weights.item() > 100
    found = speck.said(model, "note", "w", "quantisation")
    assert f"threshold {layer.threshold_high}" in found.reason


def test_a_far_lower_bound_is_clipped_and_said(speck: Any, chain: Any) -> None:
    model = chain(1, 1, 1).conv([[[[0.5]]]], "w").fire(1, "n").model(v_min=-1e6)
    found = speck.said(model, "changed", "n", "v_min")
    assert "nearest one that can be stored" in found.reason
    assert config_of(speck.map(model), "n").threshold_low == -32768


def test_weights_that_become_zero_are_changed_and_lost(speck: Any, chain: Any) -> None:
    model = chain(2, 1, 1).conv([[[[100.5]], [[0.001]]]], "w").fire(50, "n").model()
    found = speck.said(model, "changed", "w", "weight")
    assert "too small for 8 bits" in found.reason
    mapping = speck.map(model)
    assert [row[:3] for row in mapping.losses] == [("w", "weight", 1)]
    ((source, of, target, to),) = mapping.losses.connections(model)
    assert (source, of.tolist(), target, to.tolist()) == ("input", [1], "n", [0])


def test_a_scale_held_down_by_the_threshold_is_noted(speck: Any, chain: Any) -> None:
    model = chain(1, 1, 1).conv([[[[0.003]]]], "w").fire(1, "n").model()
    found = speck.said(model, "note", "n", "v_threshold")
    assert "keeps the weights from using their 8 bits" in found.reason
    assert config_of(speck.map(model), "n").threshold_high > 30_000


def test_a_tiny_threshold_is_raised_and_said(speck: Any, chain: Any) -> None:
    model = chain(1, 1, 1).conv([[[[1000]]]], "w").fire(0.001, "n").model()
    found = speck.said(model, "changed", "n", "v_threshold")
    assert "set to 1" in found.reason
    assert config_of(speck.map(model), "n").threshold_high == 1


@settings(max_examples=300, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 1024), st.integers(1, 1024), st.integers(1, 16)),
    out=st.tuples(st.integers(1, 64), st.integers(1, 64)),
)
def test_what_fits_by_the_formula_fits_by_the_address_layout(sizes: tuple[int, int, int], out: tuple[int, int]) -> None:
    """All memories are powers of two, so padding the last factor up to one never passes their end."""
    f_in, f_out, kernel = sizes
    by_formula = memory_words(f_in, f_out, kernel, out, True)
    by_layout = address_words(f_in, f_out, kernel, out, True)
    for words in (2**n for n in range(10, 17)):
        for formula, layout in zip(by_formula, by_layout, strict=True):
            assert formula > words or layout <= words


# --- placement --------------------------------------------------------------------------------------------------------


def bits(n: int) -> int:
    return int(np.ceil(np.log2(n))) if n > 1 else 0


@pytest.mark.parametrize("shape", [(3, 5, 9), (2, 9, 5), (1, 1, 7), (5, 2, 1), (16, 8, 8), (7, 3, 4)])
def test_placement_both_ways(shape: tuple[int, int, int], speck: Any, chain: Any) -> None:
    """Address: y above x above feature, the shift of y by the bits of the width."""
    model = chain(*shape).relay("w").fire(1, "n").relay("w2").fire(1, "m").model()
    mapping = speck.map(model)
    features, height, width = shape
    seen = set()
    for name in ("n", "m"):
        rows = mapping.where(name)
        assert rows["index"].tolist() == list(range(np.prod(shape)))
        for row in rows:
            f, y, x = (int(row[column]) for column in ("feature", "y", "x"))
            assert row["index"] == (f * height + y) * width + x
            address = (y << (bits(features) + bits(width))) | (x << bits(features)) | f
            assert row["neuron"] == address
            assert mapping.who(0, int(row["core"]), address) == (name, int(row["index"]))
            seen.add((int(row["core"]), address))
    assert len(seen) == 2 * np.prod(shape)
    assert mapping.who(0, 8, 0) is None


def test_placement_of_inputs_outputs_and_pools(speck: Any, chain: Any) -> None:
    mapping = speck.map(chain(2, 4, 6).relay("w").fire(1, "n").pool(2, "p").model())
    entry = mapping.where("input")
    assert set(entry["core"].tolist()) == {-1}
    assert entry[["feature", "y", "x"]][-1].tolist() == (1, 3, 5)
    behind = mapping.where("output", [5])
    assert sorted(behind[["feature", "y", "x"]].tolist()) == [(0, y, x) for y in (2, 3) for x in (4, 5)]
    assert set(mapping.where("n")["core"].tolist()) == set(behind["core"].tolist())
    with pytest.raises(ConfigError, match="no node 'outptu'"):
        mapping.where("outptu")


def test_every_node_has_a_fate(speck: Any, chain: Any) -> None:
    made = chain(1, 8, 8).relay("w").fire(1, "a").pool(2, "p").scale(2, "s").relay("v").fire(1, "b").mean(2, "m")
    made.flatten("f").dense(np.ones((2, 4)), "d").fire(1, "c").model()
    mapping = speck.map(made.model())
    fates = {fate.node: (fate.fate, fate.onto) for fate in mapping.fates}
    assert fates == {
        "input": ("folded", ""), "w": ("folded", "a"), "a": ("chip", ""), "p": ("folded", "a"), "s": ("folded", "b"),
        "v": ("folded", "b"), "b": ("chip", ""), "m": ("folded", "b"), "f": ("folded", "c"), "d": ("folded", "c"),
        "c": ("chip", ""), "output": ("folded", ""),
    }  # fmt: skip
    read_out = speck.map(chain(1, 4, 4).relay("w").fire(1, "n").pool(2, "p").flatten("f").model())
    assert {f.node: f.fate for f in read_out.fates if f.node in "pf"} == {"p": "host", "f": "host"}


# --- what the chip computes with --------------------------------------------------------------------------------------


def gained(chain: Any, weights: Any, r: Any) -> Any:
    """A relay, a pool, then weights behind a gain per feature, a mean and a factor: all folded into one kernel."""
    made = chain(2, 4, 4).relay("w").fire(1, "a").mean(2, "p").scale(0.5, "s").conv(weights, "v")
    return made.fire(4, "b", r=np.broadcast_to(np.reshape(r, (-1, 1, 1)), made.shape))


def test_realised_is_in_model_units_behind_gain_pool_and_scale(speck: Any, chain: Any) -> None:
    rng = np.random.default_rng(5)
    weights, r = rng.normal(size=(3, 2, 2, 2)), np.array([0.5, 1.0, 4.0])
    model = gained(chain, weights, r).model(gain="r")
    mapping = speck.map(model)
    layer = config_of(mapping, "b")
    scale = layer.threshold_high / mapping.realised["b", "v_threshold"].ravel()[0]
    factor = r[:, None, None, None] / 4 * 0.5
    codes = mapping.realised["v", "weight"] * factor * scale
    assert np.allclose(codes, layer.weights.transpose(0, 1, 3, 2), atol=1e-9)
    assert np.abs(mapping.realised["v", "weight"] - weights).max() <= 0.51 / (scale * factor.min())
    assert mapping.realised["b", "v_threshold"].shape == model.nodes["b"].output_shape
    assert mapping.realised["v", "bias"].tolist() == [0, 0, 0]


def test_realised_bias_is_in_model_units(speck: Any, chain: Any) -> None:
    made = chain(1, 1, 1).conv(np.full((2, 1, 1, 1), 0.7), "w", bias=[0.25, -0.5]).scale(4, "s")
    made.fire(3, "n", r=np.array([2.0, 1.0]).reshape(2, 1, 1))
    mapping = speck.map(made.model(gain="r"))
    assert mapping.realised["w", "bias"] == pytest.approx([0.25, -0.5], rel=0.05)
    layer = config_of(mapping, "n")
    assert layer.leak_enable
    assert layer.biases[0] / layer.threshold_high == pytest.approx(0.25 * 4 * 2 / 3, rel=0.05)
    assert layer.biases[1] / layer.threshold_high == pytest.approx(-0.5 * 4 / 3, rel=0.05)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), reset=st.sampled_from(["subtract", "value"]), v_min=st.sampled_from([None, -3.0])
)
def test_the_realised_model_on_ideal_is_what_the_chip_does(
    speck: Any, chain: Any, seed: int, reset: str, v_min: float | None
) -> None:
    """Kept integers behind gain, mean and factor; one event per step, so that the order within a step says nothing."""
    rng = np.random.default_rng(seed)
    r = 2.0 ** rng.integers(-2, 3, 3)
    weights = rng.integers(-20, 5, (3, 2, 2, 2)) * 8 / r[:, None, None, None]
    model = gained(chain, weights, r).model(gain="r", spike_reset=reset, v_min=v_min, overrides={"a": {"v_min": None}})
    # no weight above the threshold: what is left over would fire at updates on the chip, in steps on ideal
    mapping = speck.map(model, record=["a", "b"], quantisation="keep_integers")
    index = rng.integers(0, 32, 200)
    real = mapping.realised_model()
    assert real is not None
    reference = hal.mapper("ideal").map(real, record=["a", "b"])
    with hal.open("ideal") as device:
        device.load(reference)
        wanted = device.run({"input": speck.events(index)}, 200 * speck.step)
    got = speck.run(mapping, index)
    assert np.array_equal(got.spikes["a"], wanted.spikes["a"])
    assert agreement(got.spikes["b"], wanted.spikes["b"], 3).share == 1.0


def test_losses_of_a_dense_layer_read_channels_last(speck: Any, chain: Any) -> None:
    """Flat index, and the connection, of a lost weight of a layer that reads its map as H, W, C."""
    weight = np.full((2, 8), 50.5)
    weight[1, 3] = 0.001  # H, W, C index 3 of (2, 2, 2): y 0, x 1, channel 1
    made = chain(2, 2, 2).relay("w").fire(1, "a").flatten("f").dense(weight, "d").fire(100, "b")
    mapping = speck.map(made.model(flatten_order="HWC"))
    assert [row[:3] for row in mapping.losses] == [("d", "weight", 8 + 3)]
    ((source, of, target, to),) = mapping.losses.connections(made.model(flatten_order="HWC"))
    assert (source, of.tolist(), target, to.tolist()) == ("a", [(1 * 2 + 0) * 2 + 1], "b", [1])
    layer = config_of(mapping, "b")
    assert layer.weights[1, 1, 1, 0] == 0  # [f_out][f_in][x][y]
    assert (layer.weights == 0).sum() == 1


def test_lost_biases(speck: Any, chain: Any) -> None:
    made = chain(1, 1, 1).conv(np.full((2, 1, 1, 1), 100.5), "w", bias=[0.001, 20.25]).fire(150, "n")
    mapping = speck.map(made.model())
    assert [row[:3] for row in mapping.losses] == [("w", "bias", 0)]


# --- like -------------------------------------------------------------------------------------------------------------


def test_like_keeps_cores(speck: Any, chain: Any) -> None:
    model = small(chain, 3)
    first = speck.map(model, chip_layers_ordering=(7, 4, 2))
    other = chain(2, 1, 1)
    for i in range(3):
        other.relay(f"w{i}", 0.7).fire(2, "abc"[i])
    again = speck.map(other.model(), like=first)
    assert speck.cores(again, other.model()) == [7, 4, 2]
    assert not first.placement.moved(again.placement)
    assert config_of(again, "a").threshold_high != config_of(first, "a").threshold_high


@pytest.mark.parametrize("options", [{"chip_layers_ordering": (0, 1, 2)}, {"fixed_cores": {"b": 5}}])
def test_like_and_requests_for_other_cores_contradict_each_other(options: Any, speck: Any, chain: Any) -> None:
    model = small(chain, 3)
    first = speck.map(model, chip_layers_ordering=(7, 4, 2))
    with pytest.raises((DoesNotFitError, ConfigError)):
        speck.map(model, like=first, **options)
    same = {"chip_layers_ordering": (7, 4, 2), "fixed_cores": {"b": 4}}
    assert speck.cores(speck.map(model, like=first, **same), model) == [7, 4, 2]


@pytest.mark.parametrize("count", [2, 4])
def test_like_refuses_another_network(count: int, speck: Any, chain: Any) -> None:
    first = speck.map(small(chain, 3), chip_layers_ordering=(7, 4, 2))
    with pytest.raises(ConfigError, match="keep the placement"):
        speck.map(small(chain, count), like=first)
    with pytest.raises(ConfigError, match="another device"):
        speck.on("speck2e").map(small(chain, 3), like=first)


# --- golden chain, files ----------------------------------------------------------------------------------------------


def test_rule_5_stride_and_padding_equal_the_golden_case(speck: Any) -> None:
    golden = np.load(GOLDEN / "p04_stride_pad_reset.npz")
    bare = hal.read_model(GOLDEN / "p04_stride_pad_reset.nir", hal.Semantics(profile="sinabs"))
    layer = json.loads(str(golden["meta"]))["layers"][0]
    assert sorted(layer["stride_yx"]) == [2, 4]
    assert sorted(layer["padding_yx"]) == [2, 3]
    (name,) = (node.name for node in bare.populations() if isinstance(node, nodes.IF))
    reset = "value" if layer["return_to_zero"] else "subtract"
    chip = speck.semantics | {"spike_reset": reset, "v_min": layer["threshold_low"]}
    mapping = speck.map(bare.with_semantics(hal.Semantics(**chip)), record=[name, hal.Probe(name, "v")])
    events = golden["input"]
    _, height, width = layer["in_shape"]
    index = (events["p"].astype(np.int64) * height + events["y"]) * width + events["x"]
    with hal.open("speck2f") as device:
        device.load(mapping)
        recording = device.run(
            {mapping.inputs[0].name: hal.events(events["t"].astype(np.int64) * 1000, index)},
            int(events["t"].max()) * 1000 + 1000,
        )
    assert np.array_equal(recording.counts(name).reshape(layer["out_shape"]), golden["layer0_spike_count"])
    state = recording.traces[name, "v"].values[-1]
    assert np.array_equal(state.reshape(layer["out_shape"]), golden["layer0_v_final"])
    core = int(mapping.where(name)["core"][0])
    assert recording.stats["synops"][core] == layer["synops"]


def test_a_mapping_survives_its_file(tmp_path: Path, speck: Any, chain: Any) -> None:
    model = gained(chain, np.random.default_rng(1).normal(size=(3, 2, 2, 2)), [1, 2, 3]).model(gain="r")
    mapping = speck.map(model, record=["a"])
    mapping.save(tmp_path / "m.zip")
    again = hal.read_mapping(tmp_path / "m.zip")
    assert again.config == mapping.config
    assert not mapping.placement.moved(again.placement)
    index = np.random.default_rng(2).integers(0, 32, 100)
    assert np.array_equal(speck.run(again, index).spikes["output"], speck.run(mapping, index).spikes["output"])


def test_check_and_map_say_the_same(speck: Any, chain: Any) -> None:
    model = gained(chain, np.random.default_rng(1).normal(size=(3, 2, 2, 2)), [1, 2, 3]).model(gain="r")
    assert str(speck.check(model)) == str(speck.map(model).fit)


@pytest.mark.parametrize(("v_min", "options"), [(-5.0, {"v_min_factor": 2.0}), (0.0, {}), (-40_000.0, {})])
def test_the_realised_model_has_the_realised_lower_bound(v_min: float, options: Any, speck: Any, chain: Any) -> None:
    """What the chip does to the bound is part of what it computes with."""
    model = chain(1).dense([[5], [-5]], "w").fire(20, "n").model(v_min=v_min)
    mapping = speck.map(model, record=["n", hal.Probe("n", "v")], **options)
    real = mapping.realised_model()
    assert real is not None
    layer = config_of(mapping, "n")
    scale = layer.threshold_high / mapping.realised["n", "v_threshold"].ravel()[0]
    assert real.semantics.rule(real.nodes["n"]).v_min == pytest.approx(layer.threshold_low / scale)


@pytest.mark.parametrize(
    ("weight", "threshold", "v_min", "node", "field"),
    [(1, 1.5, None, "n", "v_threshold"), (1, 32768, None, "n", "v_threshold"), (1, 1, -0.5, "n", "v_min")],
)
def test_keep_integers_says_what_is_no_integer(
    weight: float, threshold: float, v_min: Any, node: str, field: str, speck: Any, chain: Any
) -> None:
    model = chain(1, 1, 1).conv([[[[weight]]]], "w").fire(threshold, "n").model(v_min=v_min)
    found = speck.refused(model, node, field, quantisation="keep_integers")
    assert found.wanted in (threshold, v_min)


def test_a_reserved_core_that_the_chip_does_not_have(speck: Any, chain: Any) -> None:
    mini = speck.on("speck2cmini")
    assert mini.check(small(chain, 1), reserved_cores=(4,)).fits
    assert not mini.check(small(chain, 1), reserved_cores=(5,)).fits
