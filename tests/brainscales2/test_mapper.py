"""The mapper: weights as the registers have them, what is realised and lost, places, scale, time, fates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import hal
from hal import nodes
from hal.errors import DoesNotFitError
from hal.events import Probe
from hal.semantics import Semantics
from hal_brainscales2 import silicon
from hal_brainscales2.limits import CADC_RATE_HZ

GOLDEN = Path(__file__).parent.parent / "golden" / "brainscales2"
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
VALUES = st.floats(-3, 3).map(lambda x: round(x, 3))
WEIGHTS = arrays.arrays(np.float64, st.tuples(st.integers(1, 7), st.integers(1, 6)), elements=VALUES)


def integers(model: Any, mapping: Any, circuits_in: str = "fc") -> np.ndarray:
    """(channels, neurons) what the weights of one layer come to, by rounding alone."""
    node = model.nodes[circuits_in]
    return np.rint(node.weight * mapping.config.scale).astype(np.int64).T


@QUICK
@given(
    weight=WEIGHTS,
    back=st.booleans(),
    circuits=st.integers(1, 3),
    dense=st.booleans(),
    hemisphere=st.sampled_from([None, 0, 1]),
    seed=st.integers(0, 9),
)
def test_registers_hold_the_integer_weights_and_nothing_else(
    chip: Any,
    graph: Any,
    weight: np.ndarray,
    back: bool,
    circuits: int,
    dense: bool,
    hemisphere: int | None,
    seed: int,
) -> None:
    n = len(weight)
    inner = np.random.default_rng(seed).uniform(-1, 1, (n, n)) if back else None
    model = graph.layer(weight, inner)
    where = {} if hemisphere is None else {"hemisphere": {"n": hemisphere}}
    mapping = chip.map(model, circuits={"n": circuits}, dense=dense, **where)
    wanted = [integers(model, mapping), integers(model, mapping, "back") if back else np.zeros((n, n), np.int64)]
    assert chip.heard(mapping).tolist() == np.concatenate(wanted).tolist()
    found = silicon.heard(mapping.config)
    assert not found.confusions
    assert not found.unowned
    own = mapping.placement.where("n")
    assert len(own) == n * circuits
    if hemisphere is not None:
        assert set(own["core"].tolist()) == {hemisphere}
    rows = own[own["index"] == 0]
    assert rows["part"].tolist() == list(range(circuits))


@QUICK
@given(
    weight=WEIGHTS,
    scale=st.sampled_from([None, 1.0, 20.0, 58.0, 64.0]),
    copies=st.sampled_from([None, 1, 2, 4]),
    rounding=st.sampled_from(["even", "away"]),
    unit=st.sampled_from([1.0, 0.25, 3.0]),
    muted=st.booleans(),
)
def test_a_weight_is_realised_within_half_a_step_or_is_a_loss(
    chip: Any,
    graph: Any,
    weight: np.ndarray,
    scale: float | None,
    copies: int | None,
    rounding: str,
    unit: float,
    muted: bool,
) -> None:
    factor = np.full(len(weight), 2.0)
    factor[0] = 0.0 if muted else 2.0
    model = graph.layer(weight, v_threshold=unit, w_in=factor, semantics={"current_gain": "r"})
    options = {"rounding": rounding, "scale": scale} | ({} if copies is None else {"copies": {"fc": copies}})
    mapping = chip.map(model, **options)
    made = mapping.realised["fc", "weight"]
    lost = np.zeros(weight.size, bool)
    lost[[index for _, _, index, *_ in mapping.losses]] = True
    step = np.broadcast_to((unit / mapping.config.scale / np.where(factor, factor, np.inf))[:, None], weight.shape)
    near = np.abs(made - weight) <= 0.5 * step * (1 + 1e-9)
    assert (near | lost.reshape(weight.shape) | (weight == 0)).all()
    for node, parameter, k, wanted, realised, reason in mapping.losses:
        assert (node, parameter) == ("fc", "weight")
        assert (wanted, realised) == (weight.flat[k], made.flat[k])
        if "clipped" in reason:
            largest = 63 * (copies or 8) * step.flat[k]
            assert abs(made.flat[k]) == pytest.approx(largest)
        else:
            assert made.flat[k] == 0
    if muted:
        assert (made[0] == 0).all()
        reasons = {reason for _, _, k, _, _, reason in mapping.losses if k < weight.shape[1]}
        assert reasons <= {"its neuron multiplies its input by 0"}


def test_a_weight_clipped_by_less_than_a_step_is_a_loss(chip: Any, graph: Any) -> None:
    mapping = chip.map(graph.layer([[1.0, 63.6 / 58]]), scale=58.0, copies={"fc": 1})
    ((node, _, index, _, realised, _),) = mapping.losses
    assert (node, index) == ("fc", 1)
    assert realised == pytest.approx(63 / 58)
    (finding,) = [f for f in mapping.fit.findings if "clipped" in f.reason]
    assert (finding.level, finding.node, finding.realised) == ("changed", "fc", 63.0)


@pytest.mark.parametrize("field", ["r", "w_in"])
def test_neurons_that_multiply_their_input_by_0_hear_nothing_and_say_so(chip: Any, graph: Any, field: str) -> None:
    gains = {"current_gain": "r", "gain": "r*dt/tau"}
    mapping = chip.map(graph.layer(np.ones((3, 2)), semantics=gains, **{field: [0.0, 1.0, 1.0]}))
    heard = chip.heard(mapping)[:2]
    assert (heard[:, 0] == 0).all()
    assert (heard[:, 1:] > 0).all()
    assert [(index, realised) for _, _, index, _, realised, _ in mapping.losses] == [(0, 0.0), (1, 0.0)]


def test_the_golden_net_has_its_integers(chip: Any) -> None:
    with np.load(GOLDEN / "yinyang_5_120_3.npz", allow_pickle=False) as file:
        hw1, hw2 = file["hw1_total"], file["hw2"]
    model = hal.read_model(GOLDEN / "yinyang_5_120_3.nir", Semantics(profile="nir", current_gain="one"))
    hidden, output = (node.name for node in model.populations() if isinstance(node, nodes.CubaLIF))
    for dense in (False, True):
        mapping = chip.map(model, dense=dense, scale=58.0)
        found = chip.heard(mapping)
        np.testing.assert_array_equal(found[:5, :120], hw1)
        np.testing.assert_array_equal(found[5 : 5 + 120, 120:], hw2)
        assert not found[:5, 120:].any()
        assert not found[125:].any()
        assert mapping.speedup == 1
    # as the vendor makes it, it has no room beside its 120 hidden neurons
    assert set(mapping.placement.where(output)["core"].tolist()) == {1}
    assert set(mapping.placement.where(hidden)["core"].tolist()) == {0}


@pytest.mark.parametrize("name", ["lif1_tau1", "lif1_tau2", "ff_4_10_3"])
def test_the_other_golden_graphs_have_their_targets_and_rounded_weights(chip: Any, name: str) -> None:
    model = hal.read_model(GOLDEN / f"{name}.nir", Semantics(profile="nir"))
    mapping = chip.map(model)
    config = mapping.config
    neurons = [node for node in model.populations() if isinstance(node, nodes.CubaLIF)]
    for field in ("tau_mem", "tau_syn"):
        wanted = np.concatenate([getattr(node, field) for node in neurons])
        np.testing.assert_allclose(getattr(config.targets, field) * mapping.speedup, wanted, rtol=1e-6)
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        weights = [file[f"w{k}"] for k in range(len(neurons))]
    found, first, above = chip.heard(mapping), 0, 0
    for k, w in enumerate(weights):
        step = 0.5 + 1e-4
        mine = found[above : above + len(w), first : first + w.shape[1]]
        assert (np.abs(mine - w * config.scale) <= step).all()
        above = config.n_inputs + first
        first += w.shape[1]
        assert k < len(neurons)


def test_several_inputs_are_numbered_in_the_models_order_and_take_their_own_pairs_alone(chip: Any, graph: Any) -> None:
    made = graph().source("a", 3).source("b", 2)
    made.dense("fa", "a", np.full((2, 3), 0.5)).dense("fb", "b", -np.ones((2, 2)))
    model = made.fire("n", "fa").link("fb", "n").out("n").model
    needed = {}
    for dense in (False, True):
        mapping = chip.map(model, dense=dense, scale=40.0)
        assert chip.heard(mapping)[:5].tolist() == [[20, 20]] * 3 + [[-40, -40]] * 2
        needed[dense] = sum(row.needed for row in mapping.fit.rows if row.resource == "synapse_rows")
    # five sources, two signs of each; pairs of one Input with the weights of the other would make it 20
    assert needed == {False: 5, True: 10}


def test_time_is_stretched_so_that_time_constants_are_the_chips(chip: Any, graph: Any) -> None:
    for factor, wanted in ((1.0, 1.0), (1e3, 1e3)):
        mapping = chip.map(graph.layer([[1.0]], tau_mem=20e-6 * factor, tau_syn=5e-6 * factor))
        assert mapping.speedup == wanted == mapping.config.speedup
        np.testing.assert_allclose(mapping.config.targets.tau_mem, 20e-6)
    assert chip.map(graph.layer([[1.0]]), speedup=0.5).speedup == 0.5


def test_without_a_step_neurons_rest_as_briefly_as_they_can_and_with_one_for_half_of_it(chip: Any, graph: Any) -> None:
    free = chip.map(graph.layer([[1.0]]))
    assert free.step_ns is None
    assert free.latency_ns == {"n": 0, "out": 0}
    assert silicon.refractory(free.config)[0].tolist() == pytest.approx([48e-9])
    stepped = chip.map(graph.layer([[1.0]], semantics={"dt_ns": 1000}))
    assert stepped.step_ns == stepped.config.step_ns == 1000
    assert silicon.refractory(stepped.config)[0][0] == pytest.approx(500e-9, rel=0.05)
    by_hand = chip.map(graph.layer([[1.0]]), refractory_s={"n": 10e-6}, holdoff_s={"n": 0.0})
    assert silicon.refractory(by_hand.config)[0][0] == pytest.approx(10e-6, rel=0.05)


def test_refractory_periods_are_of_each_population(chip: Any, graph: Any) -> None:
    mapping = chip.map(graph.chain([[1.0]], [[1.0], [1.0]]), refractory_s={"n0": 2e-6, "n1": 30e-6})
    made = silicon.refractory(mapping.config)[0]
    np.testing.assert_allclose(made, [2e-6, 30e-6, 30e-6], rtol=0.05)
    assert (made >= [2e-6, 30e-6, 30e-6]).all()


def test_places_by_hand_are_kept_by_part(chip: Any, graph: Any) -> None:
    places = (5, 261, 200, 456)
    mapping = chip.map(graph.layer(np.ones((2, 3))), places={"n": places}, circuits={"n": 2})
    own = mapping.placement.where("n")
    assert (own["core"] * 256 + own["neuron"]).tolist() == list(places)
    assert own["index"].tolist() == [0, 0, 1, 1]
    assert own["part"].tolist() == [0, 1, 0, 1]


def test_channels_have_their_labels_and_those_without_synapses_none(chip: Any, graph: Any) -> None:
    mapping = chip.map(graph.layer([[1.0, 0.0, -1.0]]))
    label = mapping.placement.where("in")["label"]
    assert label[1] == -1
    assert (label[[0, 2]] >= 0).all()
    assert label[0] != label[2]


def test_a_network_whose_weights_are_all_0_is_silent(chip: Any, graph: Any) -> None:
    mapping = chip.map(graph.layer(np.zeros((3, 2))))
    assert not mapping.config.routing.weight.any()
    assert not mapping.config.routing.driver_on.any()


# --- read-out on the chip ---------------------------------------------------------------------------------------------


def reading(graph: Any, dt_ns: int | None = 1000, **values: Any) -> Any:
    made = graph(dt_ns=dt_ns, start_state="v_leak").source("in", 2).dense("fc", "in", np.ones((3, 2))).fire("n", "fc")
    made.dense("fo", "n", np.full((2, 3), 0.25)).fire("li", "fo", nodes.CubaLI, **values)
    return made.put(nodes.Output, "out", "li", 2, 2)


def test_read_out_neurons_are_circuits_without_comparator_where_the_chip_is_to_read_them(chip: Any, graph: Any) -> None:
    model = reading(graph, v_leak=0.5).model
    host, there = chip.map(model), chip.map(model, readout="chip")
    assert {fate.node: fate.fate for fate in host.fates}["li"] == "host"
    assert {fate.node: fate.fate for fate in there.fates}["li"] == "chip"
    assert (host.config.size, there.config.size) == (3, 5)
    config = there.config
    assert config.targets.comparator.tolist() == [True] * 3 + [False] * 2
    assert config.cadc.tolist() == [3, 4]
    assert config.rest.tolist() == [0, 0, 0, 0.5, 0.5]
    assert (chip.heard(there)[2:5, 3:] > 0).all()
    np.testing.assert_allclose(there.realised["fo", "weight"], 0.25, rtol=0.05)


def test_what_a_chip_cannot_read_out_is_refused(chip: Any, graph: Any) -> None:
    ((where, what, _, _),) = chip.refused(reading(graph, None).model, readout="chip")
    assert (where, what) == ("li", "dt_ns")
    ((where, what, value, limit),) = chip.refused(reading(graph, 500).model, readout="chip")
    assert (where, what, value) == ("li", "dt_ns", "500 ns")
    assert limit == f"{1e9 / CADC_RATE_HZ:.3g} ns"
    model = reading(graph).dense("more", "li", np.ones((1, 2))).fire("late", "more").out("late", "out2").model
    told = chip.refused(model, readout="chip")
    assert any(entry[:2] == ("li", "type") and "late" in str(entry[2]) for entry in told)


# --- what does not fit ------------------------------------------------------------------------------------------------


def test_what_is_lacking_names_the_bus_rows_and_what_helps(chip: Any, graph: Any) -> None:
    model = graph.layer(np.random.default_rng(1).choice([-1.0, 1.0], (300, 260)))
    report = chip.check(model)
    lacking = {row.place: row for row in report.rows if not row.ok and row.resource == "synapse_rows"}
    assert lacking
    for place, row in lacking.items():
        assert "bus" in place
        assert row.needed > row.limit == 64
        assert row.hint
    with pytest.raises(DoesNotFitError, match="synapse_rows"):
        chip.map(model)


# --- graphs and scales ------------------------------------------------------------------------------------------------


def convolved(graph: Any, weight: np.ndarray, **values: Any) -> Any:
    """in (1, 6, 6) -> conv (2, 4, 4) -> n -> sums of 2 by 2 -> flat -> fc -> m."""
    made = graph()
    made.nodes["in"] = nodes.Input(name="in", input_shape=(1, 6, 6), output_shape=(1, 6, 6))
    made.nodes["conv"] = nodes.Conv2d(
        name="conv", input_shape=(1, 6, 6), output_shape=(2, 4, 4), weight=weight, bias=np.zeros(2),
        stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1,
    )  # fmt: skip
    usual = {"tau_mem": 12e-6, "tau_syn": 6e-6, "v_leak": 0.0, "v_reset": 0.0} | values
    full = {key: np.full((2, 4, 4), usual.get(key, 1.0)) for key in nodes.CubaLIF.parameters}
    made.nodes["n"] = nodes.CubaLIF(name="n", input_shape=(2, 4, 4), output_shape=(2, 4, 4), **full)
    pool = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0)}
    made.nodes["pool"] = nodes.SumPool2d(name="pool", input_shape=(2, 4, 4), output_shape=(2, 2, 2), **pool)
    made.nodes["flat"] = nodes.Flatten(name="flat", input_shape=(2, 2, 2), output_shape=(8,), start_dim=0, end_dim=-1)
    for edge in (("in", "conv"), ("conv", "n"), ("n", "pool"), ("pool", "flat")):
        made.link(*edge)
    return made.dense("fc", "flat", np.random.default_rng(5).uniform(-1, 1, (3, 8))).fire("m", "fc").out("m").model


@QUICK
@given(seed=st.integers(0, 99), unit=st.sampled_from([0.5, 1.0, 2.0]))
def test_a_convolution_and_what_follows_are_unrolled_and_its_weights_are_told_once(
    chip: Any, graph: Any, seed: int, unit: float
) -> None:
    weight = np.random.default_rng(seed).uniform(-1, 1, (2, 1, 3, 3))
    model = convolved(graph, weight, v_threshold=unit)
    mapping = chip.map(model)
    heard, scale = chip.heard(mapping), mapping.config.scale
    integers = np.rint(weight * scale / unit).astype(int)
    for channel, y, x in np.ndindex(2, 4, 4):
        field = np.zeros((6, 6), int)
        field[y : y + 3, x : x + 3] = integers[channel, 0]
        assert heard[:36, channel * 16 + y * 4 + x].tolist() == field.ravel().tolist()
    dense = np.rint(model.nodes["fc"].weight * scale).astype(int)
    wanted = dense.reshape(3, 2, 2, 2).repeat(2, axis=2).repeat(2, axis=3).reshape(3, 32)
    assert heard[36:68, 32:].T.tolist() == wanted.tolist()
    np.testing.assert_allclose(mapping.realised["conv", "weight"], integers * unit / scale)
    # behind a pool a weight is several
    assert list(mapping.realised) == [("conv", "weight")]
    assert chip.map(model, like=mapping).config == mapping.config


def test_weights_below_half_a_step_are_told_and_are_losses(chip: Any, graph: Any) -> None:
    mapping = chip.map(graph.layer([[1.0, 0.004, -0.003]]), scale=58.0)
    (finding,) = [f for f in mapping.fit.findings if "became 0" in f.reason]
    assert (finding.level, finding.node, finding.wanted, finding.realised) == ("changed", "fc", 0.004, 0)
    assert "(2)" in finding.reason
    assert [(index, reason) for _, _, index, _, _, reason in mapping.losses] == [
        (1, "rounded to 0"),
        (2, "rounded to 0"),
    ]


def test_the_error_of_6_bits_is_told_and_none_where_there_is_none(chip: Any, graph: Any) -> None:
    def error(weight: Any) -> list[str]:
        found = chip.map(graph.layer(weight), scale=50.0).fit.findings
        return [f.realised for f in found if f.field == "quantisation"]

    assert error([[1.0, 0.5]]) == []
    # 0.51 * 50 = 25.5 is 26
    assert error([[0.51, 0.0]]) == [f"rms error {100 * 0.01 / 0.51:.2g} %"]


def test_the_scale_is_58_or_as_fine_as_the_rows_let_it_be(chip: Any, graph: Any) -> None:
    assert chip.map(graph.layer([[1.0]])).config.scale == 58
    # eight rows of the largest weight
    assert chip.map(graph.layer([[63 * 8 / 58, 1.0]])).config.scale == pytest.approx(58)
    coarser = chip.map(graph.layer([[20.0, 1.0]]))
    assert coarser.config.scale == pytest.approx(63 * 8 / 20)
    assert len(coarser.losses) == 0
    # where rows run short it is that of a row for each weight
    weight = np.random.default_rng(0).uniform(2, 5, (4, 200))
    weight[0, 0] = 5.0
    short = chip.map(graph.layer(weight))
    assert short.config.scale == pytest.approx(63 / 5)
    assert chip.heard(short)[:200].max() == 63
    assert not chip.check(graph.layer(weight), scale=58.0).fits


def test_where_no_scale_helps_the_report_is_that_of_the_finest(chip: Any, graph: Any) -> None:
    weight = np.random.default_rng(0).uniform(2, 5, (4, 300))
    needed = {row.place: row.needed for row in chip.check(graph.layer(weight)).rows if row.resource == "fan_in"}
    assert needed["hemisphere 0, rows of its fullest circuit"] > 2 * 300


def test_a_layer_of_many_circuits_takes_what_one_circuit_does_not(chip: Any, graph: Any) -> None:
    """784 signed inputs as the vendor makes them: 8 circuits, and 64 such neurons fill the chip."""
    weight = np.random.default_rng(0).choice([-0.5, 0.5], (64, 784))
    mapping = chip.map(graph.layer(weight), dense=True, circuits={"n": 8})
    np.testing.assert_array_equal(chip.heard(mapping)[:784], np.rint(58 * weight.T))
    assert mapping.config.circuits.circuit.size == 512
    assert not chip.check(graph.layer(weight), dense=True, circuits={"n": 6}).fits


def test_all_vectors_arrive_in_the_targets(chip: Any, graph: Any) -> None:
    random = np.random.default_rng(1)
    taus = {"tau_mem": random.uniform(5e-6, 50e-6, 5), "tau_syn": random.uniform(1e-6, 20e-6, 5)}
    leak = random.uniform(-1, 1, 5)
    potentials = {"v_leak": leak, "v_threshold": leak + random.uniform(0.5, 2, 5), "v_reset": leak - 0.1}
    model = graph.layer(np.ones((5, 2)), semantics={"start_state": "v_leak"}, **taus, **potentials)
    targets = chip.map(model).config.targets
    for name, values in taus.items():
        np.testing.assert_allclose(getattr(targets, name), values)
    unit = potentials["v_threshold"] - leak
    np.testing.assert_allclose(targets.reset, 80 - 70 * 0.1 / unit)


def test_membranes_to_be_recorded_are_given_to_their_converters(chip: Any, graph: Any) -> None:
    model = graph.chain(np.ones((3, 2)), np.ones((2, 3)))
    probes = [Probe("n1", "v_madc", (1,)), Probe("n0", "v_madc", (2,)), Probe("n0", "v_cadc", (0, 2)), "n0"]
    mapping = chip.map(model, record=probes)
    assert sorted(mapping.config.madc) == [2, 4]
    assert mapping.config.cadc.tolist() == [0, 2]
    assert silicon.to_host(mapping.config).all()
    assert chip.map(model, record=probes, like=mapping).config == mapping.config


def test_a_read_out_on_the_chip_is_near_that_on_the_host(chip: Any, cuba: Any, graph: Any) -> None:
    """Nearer than a step can move it."""
    made = graph(dt_ns=1000, start_state="v_leak").source("in", 2).dense("fc", "in", np.full((3, 2), 3.0))
    made.fire("n", "fc").dense("fo", "n", np.full((2, 3), 0.25)).fire("li", "fo", nodes.CubaLI)
    model = made.put(nodes.Output, "out", "li", 2, 2).model
    events = hal.events(np.repeat(np.arange(0, 50_000, 5000), 2), np.tile([0, 1], 10))
    values = {}
    for where in ("host", "chip"):
        mapping = chip.map(model, readout=where)
        assert chip.map(model, readout=where, like=mapping).config == mapping.config
        with cuba.open(mapping) as device:
            values[where] = device.run({"in": events}, 60_000).signals["out"].values
    assert values["chip"].shape == values["host"].shape == (60, 2)
    assert values["chip"].max() > 1.5
    np.testing.assert_allclose(values["chip"], values["host"], atol=0.15)


@pytest.mark.parametrize("dt_ns", [None, 1_000_000])
def test_models_of_the_profile_jaxsnn_are_in_ms(chip: Any, graph: Any, dt_ns: int | None) -> None:
    plain = graph.layer(np.ones((2, 3)), tau_mem=20.0, tau_syn=10.0, r=5.0, w_in=7.0)
    model = type(plain).of(plain.nodes, plain.edges, Semantics(profile="jaxsnn", dt_ns=dt_ns))
    mapping = chip.map(model)
    assert mapping.speedup == 1000
    np.testing.assert_allclose(mapping.config.targets.tau_mem, 20e-6, rtol=0.05)
    assert (chip.heard(mapping)[:3] > 0).all()
