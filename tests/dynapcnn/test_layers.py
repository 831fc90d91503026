"""What becomes a core and what does not: every limit at its end and one beyond, every refusal, change and note."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import hal
from hal import nodes
from hal.errors import ConfigError
from hal.model import Model


def config_of(speck: Any, model: Model, name: str = "n", **options: Any) -> Any:
    mapping = speck.map(model, **options)
    return mapping.config.cnn_layers[int(mapping.placement.where(name)["core"][0])]


def levels(report: Any) -> list[tuple[str, str, str]]:
    return [(f.level, f.node, f.field) for f in report.findings]


def one(chain: Any, weight: float = 1, threshold: float = 1, **semantics: Any) -> Model:
    return chain(1, 1, 1).conv([[[[weight]]]], "w").fire(threshold, "n").model(**semantics)  # type: ignore[no-any-return]


# --- sheet, section 9, number 17: each limit, at it and one beyond ----------------------------------------------------

ROWS: list[tuple[str, Any, Any, tuple[float, float]]] = [
    (
        "kernel size",
        lambda c: c(1, 16, 16).conv(np.ones((1, 1, 16, 16)), "w").fire(1, "n"),
        lambda c: c(1, 17, 17).conv(np.ones((1, 1, 17, 17)), "w").fire(1, "n"),
        (17, 16),
    ),
    (
        "kernel size",
        lambda c: c(1, 16, 16).relay("v").fire(1, "m").flatten().dense(np.ones((1, 256)), "w").fire(1, "n"),
        lambda c: c(1, 17, 17).relay("v").fire(1, "m").flatten().dense(np.ones((1, 289)), "w").fire(1, "n"),
        (17, 16),
    ),
    (
        "padding",
        lambda c: c(1, 4, 4).conv(np.ones((1, 1, 3, 3)), "w", padding=(7, 0)).fire(1, "n"),
        lambda c: c(1, 4, 4).conv(np.ones((1, 1, 3, 3)), "w", padding=(8, 0)).fire(1, "n"),
        (8, 7),
    ),
    (
        "padding",
        lambda c: c(1, 4, 4).conv(np.ones((1, 1, 3, 3)), "w", padding=(0, 7)).fire(1, "n"),
        lambda c: c(1, 4, 4).conv(np.ones((1, 1, 3, 3)), "w", padding=(0, 8)).fire(1, "n"),
        (8, 7),
    ),
    (
        "output size",
        lambda c: c(1, 64, 4).relay("w").fire(1, "n"),
        lambda c: c(1, 65, 4).relay("w").fire(1, "n"),
        (65, 64),
    ),
    (
        "output size",
        lambda c: c(1, 4, 64).relay("w").fire(1, "n"),
        lambda c: c(1, 4, 65).relay("w").fire(1, "n"),
        (65, 64),
    ),
    (
        "input size",
        lambda c: c(1, 128, 2).conv(np.ones((1, 1, 1, 1)), "w", stride=2).fire(1, "n"),
        lambda c: c(1, 129, 2).conv(np.ones((1, 1, 2, 2)), "w", stride=2).fire(1, "n"),
        (129, 128),
    ),
    (
        "input size",
        lambda c: c(1, 2, 128).conv(np.ones((1, 1, 1, 1)), "w", stride=2).fire(1, "n"),
        lambda c: c(1, 2, 129).conv(np.ones((1, 1, 2, 2)), "w", stride=2).fire(1, "n"),
        (129, 128),
    ),
    (
        "features",
        lambda c: c(1, 1, 1).conv(np.ones((1024, 1, 1, 1)), "w").fire(1, "n"),
        lambda c: c(1, 1, 1).conv(np.ones((1025, 1, 1, 1)), "w").fire(1, "n"),
        (1025, 1024),
    ),
    (
        "features",
        lambda c: c(1024).dense(np.ones((1, 1024)), "w").fire(1, "n"),
        lambda c: c(1025).dense(np.ones((1, 1025)), "w").fire(1, "n"),
        (1025, 1024),
    ),
]


@pytest.mark.parametrize(("resource", "at", "beyond", "numbers"), ROWS)
def test_rule_17_limits_of_a_core(
    resource: str, at: Any, beyond: Any, numbers: tuple[float, float], speck: Any, chain: Any
) -> None:
    fits = speck.map(at(chain).model())
    row = next(r for r in fits.fit.rows if r.resource == resource and r.node == "n")
    assert row.needed == row.limit == numbers[1]
    hal.config.check(fits.config)
    model = beyond(chain).model()
    assert speck.over(model, resource) == numbers
    rows = [r for r in speck.check(model).rows if r.resource == resource and not r.ok]
    assert rows[0].node == "n"
    assert rows[0].hint


def test_several_limits_are_said_at_once(speck: Any, chain: Any) -> None:
    model = chain(1, 140, 140).conv(np.ones((1, 1, 17, 17)), "w", padding=9, stride=3).fire(1, "n").model()
    report = speck.check(model)
    assert {("refused", "w", "stride.x"), ("refused", "w", "stride.y")} <= set(levels(report))
    model = chain(1, 140, 140).conv(np.ones((1, 1, 17, 17)), "w", padding=9).fire(1, "n").model()
    over = {row.resource for row in speck.check(model).rows if not row.ok}
    assert over >= {"input size", "output size", "kernel size", "padding"}


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_strides_that_the_chip_has(stride: int, speck: Any, chain: Any) -> None:
    model = chain(1, 9, 9).conv(np.ones((1, 1, 1, 1)), "w", stride=(stride, 1)).fire(1, "n").model()
    layer = config_of(speck, model)
    assert (layer.dimensions.stride.y, layer.dimensions.stride.x) == (stride, 1)


@pytest.mark.parametrize(
    ("stride", "fields"), [((3, 1), ["stride.y"]), ((1, 5), ["stride.x"]), ((9, 16), ["stride.y", "stride.x"])]
)
def test_rule_17_strides(stride: tuple[int, int], fields: list[str], speck: Any, chain: Any) -> None:
    model = chain(1, 20, 20).conv(np.ones((1, 1, 1, 1)), "w", stride=stride).fire(1, "n").model()
    for field in fields:
        found = speck.refused(model, "w", field)
        assert found.wanted == stride["yx".index(field[-1])]
        assert found.realised == (1, 2, 4, 8)
    assert len(speck.check(model).refused) == len(fields)


@pytest.mark.parametrize(
    ("change", "field", "wanted", "limit"),
    [
        ({"dilation": 2}, "dilation", (2, 2), (1, 1)),
        ({"dilation": (1, 2)}, "dilation", (1, 2), (1, 1)),
        ({"padding": ((1, 0), (1, 1))}, "padding", ((1, 0), (1, 1)), "symmetric"),
        ({"padding": ((1, 1), (0, 1))}, "padding", ((1, 1), (0, 1)), "symmetric"),
    ],
)
def test_rule_17_kernels_the_chip_lacks(
    change: Any, field: str, wanted: Any, limit: Any, speck: Any, chain: Any
) -> None:
    model = chain(2, 8, 8).conv(np.ones((2, 2, 3, 3)), "w", **change).fire(1, "n").model()
    found = speck.refused(model, "w", field)
    assert (found.wanted, found.realised) == (wanted, limit)


def test_rule_17_groups_and_oblong_kernels(speck: Any, chain: Any) -> None:
    grouped = chain(2, 8, 8).conv(np.ones((2, 1, 3, 3)), "w", groups=2).fire(1, "n").model()
    found = speck.refused(grouped, "w", "groups")
    assert (found.wanted, found.realised) == (2, 1)
    oblong = chain(1, 8, 8).conv(np.ones((1, 1, 2, 3)), "w").fire(1, "n").model()
    assert speck.refused(oblong, "w", "weight").wanted == (2, 3)


def two(chain: Any, *pools: Any) -> Any:
    made = chain(1, 16, 16).relay("v").fire(1, "m")
    for i, pool in enumerate(pools):
        made.pool(pool, f"p{i}")
    return made.relay("w").fire(1, "n")


@pytest.mark.parametrize(("pools", "side"), [((1,), 1), ((2,), 2), ((4,), 4), ((2, 2), 4), ((1, 4), 4)])
def test_pools_multiply(pools: tuple[int, ...], side: int, speck: Any, chain: Any) -> None:
    layer = config_of(speck, two(chain, *pools).model(), "m")
    assert [d.pooling for d in layer.destinations if d.enable] == [side]


@pytest.mark.parametrize(("pools", "side"), [((3,), 3), ((8,), 8), ((2, 4), 8), ((16,), 16)])
def test_rule_17_pools(pools: tuple[int, ...], side: int, speck: Any, chain: Any) -> None:
    found = speck.refused(two(chain, *pools).model(), "p0", "kernel_size")
    assert (found.wanted, found.realised) == (side, (1, 2, 4))


@pytest.mark.parametrize(
    ("pool", "fields"),
    [((2, 1), {}), ((2, 4), {}), (2, {"stride": 1}), (2, {"stride": (2, 1)}), (2, {"padding": 1}), (2, {"stride": 4})],
)
def test_pools_of_other_forms(pool: Any, fields: Any, speck: Any, chain: Any) -> None:
    made = chain(1, 16, 16).relay("v").fire(1, "m").pool(pool, "p", **fields)
    for model in (
        made.model(),
        chain(1, 16, 16).relay("v").fire(1, "m").pool(pool, "p", **fields).relay("w").fire().model(),
    ):
        found = speck.refused(model, "p", "kernel_size")
        assert "square" in found.reason
        assert "kernel" in found.wanted
        assert "(1, 2, 4)" in found.realised


@pytest.mark.parametrize("side", [3, 5, 8])
def test_a_pool_before_the_output_may_have_any_size(side: int, speck: Any, chain: Any) -> None:
    model = chain(1, 16, 16).relay("w").fire(1, "n").pool(side, "p").model()
    recording = speck.run(model, [0, 16 * side, 16 * 15 + 15])
    wide = 16 // side
    expected = [0, wide] + ([wide * wide - 1] if 16 % side == 0 else [])
    assert recording.spikes["output"]["index"].tolist() == expected


def test_a_pool_between_weights_and_neurons(speck: Any, chain: Any) -> None:
    found = speck.refused(chain(1, 8, 8).relay("w").pool(2, "p").fire(1, "n").model(), "p", "type")
    assert found.hint == "put the pool after the neurons"


def test_a_pool_before_the_first_layer(speck: Any, chain: Any) -> None:
    found = speck.refused(chain(1, 8, 8).pool(2, "p").relay("w").fire(1, "n").model(), "p", "kernel_size")
    assert "stride" in found.hint
    assert speck.check(chain(1, 8, 8).pool(1, "p").relay("w").fire(1, "n").model()).fits


# --- forms of networks that are no chains of layers -------------------------------------------------------------------


def test_two_weights_in_a_row(speck: Any, chain: Any) -> None:
    found = speck.refused(chain(1, 8, 8).relay("v").relay("w").fire(1, "n").model(), "w", "type")
    assert "directly after v" in found.reason
    assert "IF neurons in between" in found.hint
    assert (
        "v"
        in speck.refused(chain(2).dense(np.eye(2), "v").dense(np.eye(2), "w").fire(1, "n").model(), "w", "type").reason
    )


def test_no_neurons(speck: Any, chain: Any) -> None:
    """A convolution without a spiking layer behind it makes no network."""
    for model in (chain(1, 8, 8).relay("w").model(), chain(1, 8, 8).relay("w").model(dt_ns=None)):
        assert "no IF neurons" in speck.refused(model, "", "neurons").reason
    report = speck.check(chain(1, 8, 8).model())
    assert {f.field for f in report.refused} >= {"neurons", "input"}


@pytest.mark.parametrize(
    ("cls", "word"),
    [
        (nodes.LIF, "neuron.lif"),
        (nodes.CubaLIF, "neuron.cuba"),
        (nodes.LI, "neuron.integrator"),
        (nodes.CubaLI, "neuron.integrator"),
        (nodes.I, "neuron.integrator"),
        (nodes.Threshold, "neuron.threshold"),
    ],
)
def test_neurons_of_other_kinds(cls: Any, word: str, speck: Any, chain: Any) -> None:
    model = chain(1, 8, 8).relay("v").neurons(cls, "k").relay("w").fire(1, "n").model()
    found = speck.refused(model, "k", "type")
    assert cls.__name__ in found.reason
    assert found.hint
    assert ("refused", "k", word) in levels(speck.check(model))


def test_delays(speck: Any, chain: Any) -> None:
    model = chain(1, 8, 8).relay("v").fire(1, "m").neurons(nodes.Delay, "d").relay("w").fire(1, "n").model()
    assert ("refused", "d", "delay.axonal") in levels(speck.check(model))
    assert "Delay" in speck.refused(model, "d", "type").reason
    at_the_end = chain(1, 8, 8).relay("v").fire(1, "m").neurons(nodes.Delay, "d").model()
    assert ("refused", "d", "delay.axonal") in levels(speck.check(at_the_end))


def test_one_dimensional_convolutions(speck: Any, chain: Any) -> None:
    made = chain(2, 8).put(
        nodes.Conv1d, "w", (3, 6), weight=np.ones((3, 2, 3), np.float32), bias=np.zeros(3, np.float32),
        stride=1, padding=(0, 0), dilation=1, groups=1,
    )  # fmt: skip
    assert "Conv1d is not on this chip" in speck.refused(made.fire(1, "n").model(), "w", "type").reason


def grown(chain: Any, edges: list[tuple[str, str]], names: str) -> Model:
    """Dense layers w* -> IF * for every letter, by edges between letters, input and output."""
    made = chain(2)
    for name in names:
        made.dense(np.eye(2), f"w{name}").fire(1, name)
    made.put(nodes.Output, "output", (2,))
    known = {"input", "output"}
    pairs = [(f"w{name}", name) for name in names]
    pairs += [(a, b if b in known else f"w{b}") for a, b in edges]
    return made.graph(pairs)  # type: ignore[no-any-return]


def test_a_population_without_input(speck: Any, chain: Any) -> None:
    model = grown(chain, [("input", "a"), ("a", "output")], "ab")
    report = speck.check(model)
    assert not report.fits
    assert any(f.node == "b" and "nothing feeds it" in f.reason for f in report.refused)


# --- dense layers -----------------------------------------------------------------------------------------------------


def test_a_dense_layer_covers_its_map(speck: Any, chain: Any) -> None:
    weight = np.arange(-36, 36).reshape(4, 18)
    layer = config_of(speck, chain(2, 3, 3).relay("v").fire(1, "m").flatten().dense(weight, "w").fire(99, "n").model())
    assert layer.dimensions.kernel_size == 3
    assert np.array_equal(layer.weights.transpose(0, 1, 3, 2).reshape(4, 18), weight)
    assert layer.dimensions.output_shape.shape == (4, 1, 1)


@pytest.mark.parametrize("order", ["CHW", "HWC"])
def test_dense_weights_in_either_order_of_axes(order: str, speck: Any, chain: Any) -> None:
    """Which output fires for which event, against the matrix of the projection."""
    weight = np.arange(1, 19).reshape(1, 18)
    made = chain(2, 3, 3).relay("v").fire(1, "m").flatten("f").dense(weight, "w").fire(1000, "n")
    model = made.model(flatten_order=order)
    found = []
    for index in range(18):
        found.append(speck.run(model, [index]).traces["n", "v"].values[-1, 0])
    last = next(p for p in model.projections() if p.target == "n")
    assert found == last.matrix().toarray()[0].tolist()
    plain = weight.reshape(2, 3, 3) if order == "CHW" else weight.reshape(3, 3, 2).transpose(2, 0, 1)
    assert found == plain.ravel().tolist()


def test_a_dense_layer_behind_a_pool(speck: Any, chain: Any) -> None:
    made = (
        chain(2, 5, 5)
        .relay("v")
        .fire(1, "m")
        .pool(2, "p")
        .flatten("f")
        .dense(np.arange(1, 9)[None], "w")
        .fire(999, "n")
    )
    layer = config_of(speck, made.model())
    assert layer.dimensions.input_shape.shape == (2, 2, 2)
    assert speck.run(made.model(), [6]).traces["n", "v"].values[-1, 0] == 1  # (y, x) = (1, 1)
    assert speck.run(made.model(), [25 + 3 * 5 + 2]).traces["n", "v"].values[-1, 0] == 8  # feature 1, (3, 2)
    assert speck.run(made.model(), [24]).traces["n", "v"].values[-1, 0] == 0


def test_a_dense_layer_after_a_map_that_is_not_square(speck: Any, chain: Any) -> None:
    model = chain(1, 4, 6).relay("v").fire(1, "m").flatten("f").dense(np.ones((2, 24)), "w").fire(1, "n").model()
    found = speck.refused(model, "w", "weight")
    assert found.wanted == (1, 4, 6)
    assert "square" in found.reason
    assert found.hint
    pooled = chain(1, 4, 4).relay("v").fire(1, "m").flatten("f").dense(np.ones((2, 16)), "w").fire(1, "n")
    assert speck.check(pooled.model()).fits


def test_a_dense_layer_over_single_pixels(speck: Any, chain: Any) -> None:
    layer = config_of(speck, chain(3).dense(np.eye(3), "w").fire(1, "n").model())
    assert layer.dimensions.input_shape.shape == (3, 1, 1)
    layer = config_of(speck, chain(3, 1, 1).flatten("f").dense(np.eye(3), "w").fire(1, "n").model())
    assert layer.dimensions.kernel_size == 1


def test_a_matrix_over_a_part_of_the_map(speck: Any, chain: Any) -> None:
    """NIR's product over the last axis only: legal, but no kernel over the whole map."""
    rows = chain(2, 3, 3).put(nodes.Linear, "w", (2, 3, 4), weight=np.ones((4, 3), np.float32)).fire(1, "n").model()
    part = chain(2, 3, 3).put(nodes.Flatten, "f", (2, 9), start_dim=1, end_dim=-1)
    part.put(nodes.Linear, "w", (2, 4), weight=np.ones((4, 9), np.float32)).fire(1, "n")
    for model in (rows, part.model()):
        assert speck.refused(model, "w", "weight").hint


def test_a_dense_weight_with_leading_axes(speck: Any, chain: Any) -> None:
    made = chain(2, 3).put(nodes.Linear, "w", (2, 4), weight=np.ones((2, 4, 3), np.float32)).fire(1, "n")
    assert speck.refused(made.model(), "w", "weight").wanted == (2, 4, 3)


# --- gains, factors, means --------------------------------------------------------------------------------------------


def ratio(layer: Any) -> float:
    return float(layer.weights.ravel()[0] / layer.threshold_high)


def test_a_gain_is_folded_into_the_weights(speck: Any, chain: Any) -> None:
    made = chain(1, 1, 1).conv([[[[3]]]], "w").fire(12, "n", r=2)
    assert ratio(config_of(speck, made.model(gain="r"))) == 0.5
    assert ratio(config_of(speck, made.model(gain="one"))) == 0.25
    layer = config_of(speck, made.model(gain="r*dt", tau_unit="s", dt_ns=500_000_000))
    assert ratio(layer) == pytest.approx(0.25, rel=0.02)
    layer = config_of(speck, made.model(gain="r*dt", tau_unit="ms", dt_ns=500_000))
    assert ratio(layer) == pytest.approx(0.25, rel=0.02)
    assert ratio(config_of(speck, made.model(gain="r*dt", tau_unit="steps", dt_ns=7))) == 0.5


@pytest.mark.parametrize("tau_unit", ["s", "ms", "steps"])
@pytest.mark.parametrize("gain", ["one", "r", "r*dt", "r*dt/tau", "1-decay"])
def test_a_gain_is_what_the_reference_makes_of_it(gain: str, tau_unit: str, speck: Any, chain: Any) -> None:
    """How many events until the first spike, on ideal and on the chip."""
    made = chain(1, 1, 1).conv([[[[4.0]]]], "w").fire(15.5, "n", r=0.5)
    dt = {"s": 1_000_000_000, "ms": 1_000_000}.get(tau_unit, 1000)
    model = made.model(gain=gain, tau_unit=tau_unit, dt_ns=dt)
    mapping, reference = speck.map(model), hal.mapper("ideal").map(model)
    stimulus = {"input": hal.events(np.arange(12) * dt, np.zeros(12, np.int64))}
    times = []
    for device, options, one_mapping in (("speck2f", {"rate": None}, mapping), ("ideal", {}, reference)):
        with hal.open(device, **options) as chip:
            chip.load(one_mapping)
            times.append(chip.run(stimulus, 12 * dt).spikes["output"]["t"].tolist())
    assert times[0] == times[1]
    assert times[0]


def test_a_gain_with_dt_needs_dt(speck: Any, chain: Any) -> None:
    model = one(chain, gain="r*dt", tau_unit="s", dt_ns=None)
    found = speck.refused(model, "n", "dt_ns")
    assert "Semantics(dt_ns=...)" in found.hint
    assert speck.check(one(chain, gain="r*dt", tau_unit="steps", dt_ns=None)).fits
    assert speck.check(one(chain, gain="r", tau_unit="s", dt_ns=None)).fits


def test_the_profile_nir_multiplies_by_dt(speck: Any, chain: Any) -> None:
    made = chain(1, 1, 1).conv([[[[1000.0]]]], "w").fire(1, "n")
    report = speck.check(made.model(profile="nir"))
    assert ("refused", "n", "dt_ns") in levels(report)
    layer = config_of(speck, made.model(profile="nir", dt_ns=500_000))
    assert ratio(layer) == pytest.approx(0.5, rel=0.02)
    assert layer.return_to_zero


def test_a_gain_per_feature_and_one_that_differs_within(speck: Any, chain: Any) -> None:
    made = chain(1, 2, 2).conv(np.ones((2, 1, 1, 1)), "w").fire(8, "n", r=np.array([1.0, 3.0]).reshape(2, 1, 1))
    layer = config_of(speck, made.model(gain="r"))
    assert layer.weights[1] == 3 * layer.weights[0]
    r = np.ones((2, 2, 2))
    r[1, 0, 1] = 2
    made = chain(1, 2, 2).conv(np.ones((2, 1, 1, 1)), "w").fire(8, "n", r=r)
    assert "one kernel per feature" in speck.refused(made.model(gain="r"), "n", "r").reason
    assert speck.check(made.model(gain="one")).fits


def test_scales(speck: Any, chain: Any) -> None:
    before = chain(1, 2, 2).scale(3, "s").conv([[[[2]]]], "w", bias=5).fire(24, "n")
    after = chain(1, 2, 2).conv([[[[2]]]], "w", bias=5).scale(3, "s").fire(24, "n")
    for made, bias in ((before, 5), (after, 15)):
        layer = config_of(speck, made.model())
        assert ratio(layer) == 0.25
        assert layer.biases[0] * 24 == bias * layer.threshold_high
    made = chain(1, 2, 2).relay("w").scale(np.arange(4).reshape(1, 2, 2), "s").fire(1, "n")
    found = speck.refused(made.model(), "s", "scale")
    assert (found.wanted, found.realised) == ("4 values", "one value")


@pytest.mark.parametrize("side", [1, 2, 4])
def test_a_mean_is_folded_into_the_next_weights(side: int, speck: Any, chain: Any) -> None:
    made = chain(1, 8, 8).relay("v").fire(1, "m").mean(side, "p").conv([[[[16]]]], "w").fire(32, "n")
    mapping = speck.map(made.model())
    layer = config_of(speck, made.model())
    assert ratio(layer) == 0.5 / side**2
    assert mapping.realised["w", "weight"].item() == 16
    # rule 7: pooling passes k spikes for k spikes
    recording = speck.run(made.model(), [0, 0, 0, 0])
    assert recording.stats["events_in"].sum() == 8
    taken_in = recording.traces["n", "v"].values[-1].sum() + recording.event_count("n") * layer.threshold_high
    assert taken_in == 4 * layer.weights.item()


def test_means_of_several_sizes_multiply(speck: Any, chain: Any) -> None:
    made = chain(1, 8, 8).relay("v").fire(1, "m").mean(2).pool(2).conv([[[[16]]]], "w").fire(32, "n")
    assert ratio(config_of(speck, made.model())) == 0.5 / 4


# --- neurons ----------------------------------------------------------------------------------------------------------


def test_thresholds_that_differ_are_counted(speck: Any, chain: Any) -> None:
    theta = np.ones((2, 3, 3))
    theta[0, 0, 0], theta[1, 2, 2], theta[1, 1, 1] = 2, 3, 3
    found = speck.refused(chain(2, 3, 3).relay("w").fire(theta, "n").model(), "n", "v_threshold")
    assert "3 of 18 neurons differ" in found.reason
    assert found.wanted == "3 values from 1 to 3"
    assert found.realised == "one value"
    assert found.hint
    assert speck.check(chain(2, 3, 3).relay("w").fire(np.ones((2, 3, 3)) * 2, "n").model()).fits


@pytest.mark.parametrize("threshold", [0, -1])
def test_thresholds_that_are_not_positive(threshold: float, speck: Any, chain: Any) -> None:
    """The reference would fire in every step, the chip at events only."""
    found = speck.refused(one(chain, threshold=threshold), "n", "v_threshold")
    assert found.wanted == threshold


@pytest.mark.parametrize(("reset", "to_zero"), [("value", True), ("subtract", False), ("subtract_n", False)])
def test_resets(reset: str, to_zero: bool, speck: Any, chain: Any) -> None:
    mapping = speck.map(one(chain, spike_reset=reset))
    assert mapping.config.cnn_layers[0].return_to_zero is to_zero
    assert not mapping.fit.changed


@pytest.mark.parametrize("reset", ["value", "discard_update"])
def test_a_reset_value_other_than_zero(reset: str, speck: Any, chain: Any) -> None:
    made = chain(2, 1, 1).relay("w").fire(1, "n", v_reset=-0.25)
    found = speck.refused(made.model(spike_reset=reset), "n", "v_reset", approximate={"reset"})
    assert (found.wanted, found.realised) == (0.25, 0)
    assert speck.check(made.model(spike_reset="subtract")).fits


@pytest.mark.parametrize(
    ("semantics", "wanted", "realised"),
    [
        ({"spike_reset": "discard_update"}, "discard_update", "reset to 0 at once"),
        ({"reset_delay": 1}, 1, 0),
        ({"fires_on": "old"}, "old", "new"),
    ],
)
def test_resets_the_chip_lacks(semantics: Any, wanted: Any, realised: Any, speck: Any, chain: Any) -> None:
    (field,) = semantics
    model = one(chain, **semantics)
    found = speck.refused(model, "n", field)
    assert (found.wanted, found.realised) == (wanted, realised)
    assert "approximate={'reset'}" in found.hint
    changed = speck.said(model, "changed", "n", field, approximate={"reset"})
    assert (changed.wanted, changed.realised) == (wanted, realised)
    layer = config_of(speck, model, approximate={"reset"})
    assert layer.return_to_zero is (field == "spike_reset")


def test_delays_of_connections(speck: Any, chain: Any) -> None:
    model = one(chain, edge_delay=1)
    found = speck.refused(model, "n", "edge_delay")
    assert (found.wanted, found.realised) == (1, 0)
    assert "approximate={'delays'}" in found.hint
    assert speck.said(model, "changed", "n", "edge_delay", approximate={"delays"}).wanted == 1
    with pytest.raises(ConfigError, match="delays"):
        speck.map(model, approximate={"delay"})


def test_what_the_chip_keeps_is_not_said_to_change(speck: Any, chain: Any) -> None:
    assert not speck.check(one(chain)).findings


def test_several_spikes_per_step(speck: Any, chain: Any) -> None:
    found = speck.said(one(chain, spikes_per_step="many"), "changed", "n", "spikes_per_step")
    assert (found.wanted, found.realised) == ("many", "one per update")
    # steps are summed before the test, where a bias says that there are steps
    found = speck.said(one(chain, bias_meaning="per_step"), "changed", "n", "step")
    assert (found.wanted, found.realised) == ("sum, then test", "test after every event")


def test_comparison(speck: Any, chain: Any) -> None:
    found = speck.said(one(chain, compare=">"), "changed", "n", "compare")
    assert (found.wanted, found.realised) == (">", ">=")
    assert speck.run(one(chain, 127, 127, compare=">"), [0]).event_count("n") == 1


@pytest.mark.parametrize("v_min", [1.0, 2.0])
def test_a_lower_bound_above_the_threshold(v_min: float, speck: Any, chain: Any) -> None:
    found = speck.refused(one(chain, v_min=v_min), "n", "v_min")
    assert (found.wanted, found.realised) == (v_min, 1)


def test_start_states(speck: Any, chain: Any) -> None:
    layer = config_of(speck, one(chain, 10, 100, start_state=-25.0))
    assert layer.neurons_initial_value.item() == -25
    recording = speck.run(one(chain, 10, 100, start_state=95.0), [0])
    assert recording.event_count("n") == 1
    assert recording.traces["n", "v"].values[-1].item() == 5
    made = chain(1, 1, 1).conv([[[[10]]]], "w").fire(100, "n", v_reset=20)
    assert config_of(speck, made.model(start_state="v_reset")).neurons_initial_value.item() == 20
    assert config_of(speck, one(chain, 10, 100, start_state="v_reset")).neurons_initial_value.item() == 0


def test_a_start_state_is_scaled_with_the_rest(speck: Any, chain: Any) -> None:
    layer = config_of(speck, one(chain, 0.5, 1, start_state=0.25))
    assert layer.neurons_initial_value.item() / layer.threshold_high == pytest.approx(0.25, abs=0.01)
    layer = config_of(speck, one(chain, 0.5, 1, start_state=0.25, v_min=-1.0), quantisation="sinabs")
    assert layer.neurons_initial_value.item() / layer.threshold_high == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["weight", "bias", "v_threshold", "r"])
@pytest.mark.parametrize("rule", ["default", "sinabs", "keep_integers"])
def test_values_that_are_not_finite(bad: float, where: str, rule: str, speck: Any, chain: Any) -> None:
    made = chain(1, 1, 1).conv([[[[bad if where == "weight" else 1]]]], "w", bias=bad if where == "bias" else 0)
    made.fire(bad if where == "v_threshold" else 1, "n", r=bad if where == "r" else 1)
    report = speck.check(made.model(gain="r"), quantisation=rule)
    node = "w" if where in ("weight", "bias") else "n"
    assert any((f.node, f.field) == (node, where) for f in report.refused), str(report)


# --- biases -----------------------------------------------------------------------------------------------------------


def biased(chain: Any, bias: Any, **semantics: Any) -> Model:
    made = chain(1, 1, 1).conv(np.full((2, 1, 1, 1), 10), "w", bias=bias).fire(100, "n")
    return made.model(**semantics)  # type: ignore[no-any-return]


def test_a_bias_per_step_of_zero_costs_words_and_no_leak(speck: Any, chain: Any) -> None:
    mapping = speck.map(biased(chain, 0, bias_meaning="per_step"))
    layer = mapping.config.cnn_layers[0]
    assert not layer.leak_enable
    assert layer.biases.tolist() == [0, 0]
    assert next(row.needed for row in mapping.fit.rows if row.resource == "bias memory") == 2


def test_a_bias_per_step_is_refused_or_becomes_a_leak(speck: Any, chain: Any) -> None:
    model = biased(chain, [3, -7], bias_meaning="per_step")
    found = speck.refused(model, "w", "bias")
    assert "2 biases act once per step" in found.reason
    assert (found.wanted, found.realised) == (-7, 0)
    assert "approximate={'leak'}" in found.hint
    changed = speck.said(model, "changed", "w", "bias", approximate={"leak"})
    assert (changed.wanted, changed.realised) == ("per step", "per tick")
    assert "@slow_clock" in changed.reason
    layer = config_of(speck, model, approximate={"leak"})
    assert layer.leak_enable
    assert layer.biases.tolist() == [3, -7]


def test_a_bias_per_tick_is_the_leak(speck: Any, chain: Any) -> None:
    mapping = speck.map(biased(chain, [3, -7]))
    assert mapping.config.cnn_layers[0].leak_enable
    assert not mapping.fit.changed
    assert mapping.realised["w", "bias"].tolist() == [3, -7]


def test_whether_a_bias_acts_per_tick_is_said_of_the_node_that_has_it(speck: Any, chain: Any) -> None:
    model = biased(chain, [3, -7], bias_meaning="per_step", overrides={"w": {"bias_meaning": "per_tick"}})
    assert config_of(speck, model).biases.tolist() == [3, -7]
    model = biased(chain, [3, -7], bias_meaning="per_step", overrides={"n": {"bias_meaning": "per_tick"}})
    assert ("refused", "w", "bias") in levels(speck.check(model))


def test_biases_of_dense_layers(speck: Any, chain: Any) -> None:
    model = chain(2).dense(np.eye(2) * 10, "w", bias=[-1, 0]).fire(100, "n").model()
    assert config_of(speck, model).biases.tolist() == [-1, 0]
    found = speck.refused(
        chain(2).dense(np.eye(2), "w", bias=1).fire(1, "n").model(bias_meaning="per_step"), "w", "bias"
    )
    assert found.wanted == 1


# --- weights above the threshold --------------------------------------------------------------------------------------


def test_weights_above_the_threshold_are_noted(speck: Any, chain: Any) -> None:
    assert not speck.check(one(chain, 10, 10)).findings
    found = speck.said(one(chain, 11, 10), "note", "w", "weight")
    assert "1 weights exceed the threshold of n; what is left over" in found.reason
    assert (found.wanted, found.realised) == ("largest 11", "threshold 10")
    assert "left over" not in speck.said(one(chain, 11, 10, spike_reset="value"), "note", "w", "weight").reason
    assert not [f for f in speck.check(one(chain, 19, 10)).findings if f.level == "changed"]
    found = speck.said(one(chain, 20, 10), "changed", "w", "weight above twice the threshold")
    assert found.realised == "1 spike per update"
    assert found.wanted == "2 thresholds"


# --- read-out ---------------------------------------------------------------------------------------------------------


def test_an_output_in_another_order(speck: Any, chain: Any) -> None:
    model = chain(2, 4, 4).relay("w").fire(1, "n").flatten("f").model(flatten_order="HWC")
    assert "H, W, C" in speck.refused(model, "f", "flatten_order").reason
    assert speck.check(chain(2, 4, 4).relay("w").fire(1, "n").flatten("f").model()).fits


def test_several_pools_before_the_output(speck: Any, chain: Any) -> None:
    model = chain(2, 7, 5).relay("w").fire(1, "n").pool(2, "p").pool(2, "q").flatten("f").model()
    recording = speck.run(model, np.arange(70))
    expected = [i // 35 for i in range(70) if i % 35 // 5 < 4 and i % 5 < 4]
    assert recording.spikes["output"]["index"].tolist() == expected


def test_a_pool_before_the_output_keeps_features_rows_and_columns(speck: Any, chain: Any) -> None:
    """Every pixel of two features on a map that is not square, against the projection's own matrix."""
    model = chain(2, 4, 6).relay("w").fire(1, "n").pool(2, "p").model()
    matrix = next(p for p in model.projections() if p.target == "output").matrix().toarray()
    recording = speck.run(model, np.arange(48))
    assert recording.spikes["output"]["index"].tolist() == matrix.argmax(axis=0).tolist()
