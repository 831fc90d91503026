"""The catalogue of bad inputs, row by row: an error that says what, where, value and limit, or a correct result."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

import hal
from hal import nodes
from hal.errors import ConfigError
from hal.events import Probe
from hal_brainscales2 import silicon

PAIR = np.ones((2, 2))
BLOCK = "columns 0..127 or 128..255"


@pytest.fixture(scope="module")
def made(chip: Any, graph: Any) -> Any:
    """Two neurons with two channels."""
    return chip.map(graph.layer(PAIR))


def problems(call: Any) -> list[tuple[str, Any, Any]]:
    """(where, value, limit) of everything that a ConfigError says."""
    with pytest.raises(ConfigError) as caught:
        call()
    assert all(problem.what for problem in caught.value.problems)
    return [(p.where, p.value, p.limit) for p in caught.value.problems]


# --- too much of something --------------------------------------------------------------------------------------------


def test_too_many_neurons(chip: Any, graph: Any) -> None:
    told = chip.refused(graph.layer(np.ones((513, 1))))
    assert ("chip", "circuits", 513, 512) in told
    assert any("1 neurons of n without" in place for place, *_ in told)
    assert chip.check(graph.layer(np.ones((512, 1)))).fits


@pytest.mark.parametrize(("inputs", "signed", "needed"), [(129, True, 258), (257, False, 257)])
def test_fan_in_of_a_circuit(chip: Any, graph: Any, inputs: int, signed: bool, needed: int) -> None:
    weight = np.ones((3, inputs))
    report = chip.check(graph.layer(weight), dense=signed)
    (row,) = [row for row in report.rows if row.resource == "fan_in" and not row.ok]
    assert (row.node, row.needed, row.limit, row.unit) == ("n", needed, 256, "rows")
    assert "option circuits" in row.hint
    # all are of one sign already
    assert "of one sign" not in row.hint
    assert chip.check(graph.layer(weight[:, 1:]), dense=signed).fits
    assert chip.check(graph.layer(weight), dense=signed, circuits={"n": 2}).fits


def test_weights_of_both_signs_are_told_that_one_would_help(chip: Any, graph: Any) -> None:
    report = chip.check(graph.layer(np.random.default_rng(0).choice([-1.0, 1.0], (60, 256))))
    hints = [row.hint for row in report.rows if not row.ok and row.resource == "synapse_rows"]
    assert len(hints) > 1
    assert all("weights of one sign" in hint for hint in hints)


def test_a_run_longer_than_the_timer(cuba: Any, chip: Any, graph: Any) -> None:
    device = cuba.open(chip.map(graph.layer([[1.0]])))
    assert problems(lambda: device.run({}, 40 * 10**9)) == [("duration_ns", 40 * 10**9, 34_359_738_360)]
    slower = cuba.open(chip.map(graph.layer([[1.0]], tau_mem=20e-3, tau_syn=5e-3)))
    assert slower.run({}, 40 * 10**9).spikes["out"].size == 0
    assert problems(lambda: slower.run({}, 40 * 10**12)) == [("duration_ns", 40 * 10**12, 34_359_738_360_000)]


# --- weights ----------------------------------------------------------------------------------------------------------


def test_weights_outside_their_range_are_clipped_counted_and_named(chip: Any, graph: Any) -> None:
    mapping = chip.map(graph.layer([[1.0, -2.0, 5.0]]), copies={"fc": 1}, scale=58.0)
    assert chip.heard(mapping)[:3, 0].tolist() == [58, -63, 63]
    (finding,) = [f for f in mapping.fit.findings if "clipped" in f.reason]
    assert (finding.level, finding.node, finding.field) == ("changed", "fc", "weight")
    assert (finding.wanted, finding.realised) == (5.0, 63.0)
    assert "(2)" in finding.reason
    assert [(node, index) for node, _, index, *_ in mapping.losses] == [("fc", 1), ("fc", 2)]


def test_integer_weights_that_are_none(made: Any, chip: Any) -> None:
    routing = made.config.routing
    for value, limit in ((0.5, "uint8 in 0..63"), (64, "uint8 in 0..63"), (-1, "uint8 in 0..63")):
        weight = routing.weight.astype(type(value))
        weight[1, 2, 3] = value
        config = attrs.evolve(made.config, routing=attrs.evolve(routing, weight=weight))
        assert problems(lambda config=config: chip.adopt(config)) == [("routing.weight[1, 2, 3]", value, limit)]


@pytest.mark.parametrize("weight", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers(chip: Any, graph: Any, weight: float) -> None:
    ((where, what, value, limit),) = chip.refused(graph.layer([[weight, 1.0]]))
    assert (where, what, limit) == ("fc", "weight", "finite numbers")
    np.testing.assert_equal(value, weight)


@pytest.mark.parametrize(("weight", "threshold"), [(1e9, 1.0), (1e308, 1.0), (-1e308, 1e-300), (1.0, 1e-9)])
def test_weights_that_no_scale_makes_integers_of(chip: Any, graph: Any, weight: float, threshold: float) -> None:
    ((where, what, value, limit),) = chip.refused(graph.layer([[weight, 1.0]], v_threshold=threshold))
    assert (where, what, limit) == ("fc", "weight", "6e+07")
    with np.errstate(over="ignore"):
        assert value == pytest.approx(abs(np.float64(weight)) / threshold)


def test_a_source_of_both_signs_takes_a_row_of_each(chip: Any, graph: Any) -> None:
    mapping = chip.map(graph.layer([[1.0], [-1.0]]))
    assert chip.heard(mapping)[0].tolist() == [58, -58]
    signs = mapping.config.routing.row_sign
    assert sorted(signs[signs != 0].tolist()) == [-1, 1]


# --- placement --------------------------------------------------------------------------------------------------------


def test_a_neuron_over_the_border_of_the_blocks(chip: Any, graph: Any, made: Any) -> None:
    told = chip.refused(graph.layer(PAIR), circuits={"n": 2}, places={"n": (127, 128, 1, 2)})
    assert told == [("n, neuron 0: backend blocks", "placement", 2, 1)]
    circuits = attrs.evolve(made.config.circuits, circuit=np.array([127, 128, 1]), neuron=np.array([0, 0, 1]))
    config = attrs.evolve(made.config, circuits=circuits)
    assert problems(lambda: chip.adopt(config)) == [("circuits.neuron 0", [127, 128], BLOCK)]


def test_a_circuit_given_twice(chip: Any, graph: Any, made: Any) -> None:
    told = chip.refused(graph.layer(PAIR), places={"n": (5, 5)})
    assert told == [("circuit 5: n, neuron 0 and n, neuron 1", "placement", 2, 1)]
    config = attrs.evolve(made.config, circuits=attrs.evolve(made.config.circuits, circuit=np.array([5, 5])))
    assert problems(lambda: chip.adopt(config)) == [("circuits.circuit", 5, "one of 0..511 each")]


# --- neurons ----------------------------------------------------------------------------------------------------------


def test_any_ratio_of_time_constants_is_solved(cuba: Any) -> None:
    """Where the vendor's solver knows two ratios and is wrong for others; the time is that of the equations."""
    mapping = cuba.map(
        [[6.0]], options={"scale": 232 / 6}, tau_mem=18e-6, tau_syn=6e-6, record=[Probe("n0", "spike_s")]
    )
    recording = cuba.run(mapping, [0], [0], 60_000)
    np.testing.assert_allclose(recording.traces["n0", "spike_s"].values.ravel()[0], 5.3657979e-6, atol=1e-13)


@pytest.mark.parametrize("value", [0.0, -1e-6])
@pytest.mark.parametrize("field", ["tau_mem", "tau_syn"])
def test_time_constants_that_are_none(chip: Any, graph: Any, field: str, value: float) -> None:
    told = chip.refused(graph.layer(PAIR, **{field: [12e-6, value]}))
    assert told == [("n", field, value, "> 0 s, finite")]


@pytest.mark.parametrize("value", [1e306, 1e15])
def test_time_constants_beyond_any_speedup(chip: Any, graph: Any, value: float) -> None:
    told = chip.refused(graph.layer(PAIR, tau_mem=value))
    assert {(where, what) for where, what, *_ in told} >= {("n", "tau_mem")}


@pytest.mark.parametrize("value", [1.0, 1.5])
def test_a_reset_at_the_threshold_or_above(chip: Any, graph: Any, value: float) -> None:
    told = chip.refused(graph.layer(PAIR, v_reset=[0.0, value]))
    assert told == [("n", "v_reset", value, "below v_threshold, 1")]


@pytest.mark.parametrize("leak", [1.0, 2.0])
def test_a_leak_at_the_threshold_or_above(chip: Any, graph: Any, leak: float) -> None:
    told = chip.refused(graph.layer(PAIR, v_leak=[0.0, leak], semantics={"start_state": "v_leak"}))
    assert told == [("n", "v_threshold", 1.0 - leak, "above v_leak")]


# --- events -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("t", "index", "row", "value", "limit"),
    [
        ([5, 3], [0, 0], 1, 3, "sorted by t"),
        ([-5, 3], [0, 0], 0, -5, "t >= 0"),
        ([5, 100], [0, 0], 1, 100, "t < 100 ns"),
        ([5, 6], [0, 2], 1, 2, "0..1 for shape (2,)"),
    ],
)
def test_events_out_of_order_or_range(
    cuba: Any, made: Any, t: list[int], index: list[int], row: int, value: int, limit: str
) -> None:
    device = cuba.open(made)
    told = problems(lambda: device.run({"in": hal.events(t, index)}, 100))
    assert told == [(f"stimulus 'in', row {row}", value, limit)]


def test_events_at_no_time_or_of_a_channel_below_0() -> None:
    assert problems(lambda: hal.events([float("nan")], [0])) == [("t", "float64", "an integer dtype")]
    assert problems(lambda: hal.events([1], [-1])) == [("row 0", -1, f"0..{2**32 - 1}")]


# --- targets ----------------------------------------------------------------------------------------------------------


def test_targets_that_no_calibration_takes_are_told_all_at_once(chip: Any, graph: Any, made: Any) -> None:
    told = problems(lambda: chip.map(graph.layer(PAIR), leak=300.0, i_synin_gm=1023, membrane_capacitance=64))
    assert told == [
        ("leak", 300.0, "0..255 CADC LSB"),
        ("i_synin_gm", 1023, "0..1022"),
        ("membrane_capacitance", 64, "0..63"),
    ]
    targets = attrs.evolve(made.config.targets, tau_syn=np.array([6e-6, 120e-6]), threshold=np.array([256.0, 150.0]))
    config = attrs.evolve(made.config, targets=targets)
    assert problems(lambda: chip.adopt(config)) == [
        ("targets.threshold[0]", 256.0, "float64 in 0..255"),
        ("targets.tau_syn[1]", 120e-6, "float64 in 1e-07..0.0001"),
    ]


def test_holdoffs_of_the_wrong_size(made: Any, chip: Any) -> None:
    config = made.config
    short = attrs.evolve(
        config,
        refractory=attrs.evolve(config.refractory, holdoff_code=np.array([15])),
        targets=attrs.evolve(config.targets, holdoff_time=np.zeros(3)),
    )
    assert sorted(problems(lambda: chip.adopt(short))) == [
        ("refractory.holdoff_code", 1, 2),
        ("targets.holdoff_time", 3, 2),
    ]


def test_one_dac_bias_for_the_whole_chip(chip: Any, graph: Any) -> None:
    ((where, value, limit),) = problems(lambda: chip.map(graph.layer(PAIR), synapse_dac_bias=[600, 700]))
    assert (where, limit) == ("synapse_dac_bias", "int")
    assert "[600, 700]" in value


# --- read-out ---------------------------------------------------------------------------------------------------------


def test_the_fast_adc_sees_two_neurons_and_no_third(chip: Any, graph: Any) -> None:
    model = graph.layer(np.ones((3, 2)))
    mapping = chip.map(model, record=[Probe("n", "v_madc", (0, 2))])
    assert mapping.config.madc == (0, 2)
    told = problems(lambda: chip.map(model, record=[Probe("n", "v_madc")]))
    assert told == [("record", 3, "2 neurons at once")]
    third = attrs.evolve(mapping.config, madc=(0, 1, 2))
    assert problems(lambda: chip.adopt(third)) == [("madc", 3, 2)]
    nobody = attrs.evolve(mapping.config, madc=(3, 1))
    assert problems(lambda: chip.adopt(nobody)) == [("madc", 3, "0..2")]


def test_there_is_no_plasticity_to_exclude_the_column_adcs(chip: Any, graph: Any) -> None:
    model = graph.layer(PAIR)
    assert chip.map(model, record=[Probe("n", "v_cadc")]).config.cadc.tolist() == [0, 1]
    ((where, value, _),) = problems(lambda: chip.map(model, plasticity=True))
    assert (where, value) == ("plasticity", True)


# --- graphs -----------------------------------------------------------------------------------------------------------


def biased(graph: Any, bias: float) -> Any:
    return graph().source("in", 2).dense("fc", "in", PAIR, bias=bias).fire("n", "fc").out("n").model


def test_a_bias_is_refused_unless_it_is_0(chip: Any, graph: Any) -> None:
    assert chip.refused(biased(graph, -0.5)) == [("fc", "bias", 0.5, 0)]
    assert chip.map(biased(graph, 0.0)).config == chip.map(graph.layer(PAIR)).config


@pytest.mark.parametrize("cls", [nodes.LIF, nodes.IF])
def test_neurons_without_a_current_that_leaks(chip: Any, graph: Any, cls: Any) -> None:
    model = graph().source("in", 2).dense("fc", "in", PAIR).fire("n", "fc", cls).out("n").model
    report = chip.check(model)
    refused = [f for f in report.findings if f.level == "refused" and f.field == "type"]
    assert [(f.node, f.reason, f.hint) for f in refused] == [("n", f"{cls.__name__} neurons are not on this chip", "")]


def test_a_membrane_that_is_read_out_and_has_no_current(chip: Any, graph: Any) -> None:
    made = graph(dt_ns=1000).source("in", 2).dense("fc", "in", PAIR).fire("n", "fc").dense("fo", "n", PAIR)
    model = made.fire("li", "fo", nodes.LI).out("li").model
    assert chip.check(model).fits
    refused = [f for f in chip.check(model, readout="chip").findings if f.level == "refused" and f.field == "type"]
    assert [(f.node, f.hint) for f in refused] == [("li", "option readout=host")]


# --- all at once ------------------------------------------------------------------------------------------------------


def test_all_that_is_wrong_with_a_model_and_its_options_is_said_at_once(chip: Any, graph: Any) -> None:
    model = graph.layer([[1.0, np.nan], [1.0, 1.0]], tau_mem=[0.0, 12e-6], v_reset=1.0)
    told = chip.refused(model, copies={"nobody": 2}, hemisphere={"fc": 1}, places={"n": (1, 300, 4)})
    assert [entry[:2] for entry in told] == [
        ("fc", "hemisphere"),
        ("nobody", "copies"),
        ("n", "places"),
        ("fc", "weight"),
        ("n", "tau_mem"),
        ("n", "v_reset"),
    ]


def test_numbers_of_neurons_that_are_none_hide_nothing_of_other_populations(chip: Any, graph: Any) -> None:
    made = graph().source("in", 1).dense("f0", "in", [[1.0]]).fire("a", "f0", tau_mem=np.nan)
    model = made.dense("f1", "a", [[1.0]], bias=1.0).fire("b", "f1", v_reset=3.0).out("b").model
    assert [entry[:2] for entry in chip.refused(model)] == [("a", "tau_mem"), ("b", "v_reset"), ("f1", "bias")]


def test_what_edited_registers_keep(made: Any) -> None:
    config = made.config
    edited = attrs.evolve(
        config, speedup=3.0, step_ns=5, circuits=attrs.evolve(config.circuits, circuit=np.array([0, 2]))
    )
    with pytest.raises(hal.errors.DoesNotFitError) as caught:
        made.with_config(edited)
    told = [(f.field, f.wanted, f.realised) for f in caught.value.report.findings if f.level == "refused"]
    assert told == [("step_ns", 5, None), ("speedup", 3.0, 1.0), ("circuits", None, None)]


def test_two_sources_that_are_one_where_they_arrive(made: Any, chip: Any) -> None:
    host = attrs.evolve(made.config.host, label=np.repeat(made.config.host.label[:1], 2))
    config = attrs.evolve(made.config, host=host)
    assert [str(finding.field) for finding in silicon.told(config)] == ["routing"]
    for call in (lambda: chip.adopt(config), lambda: made.with_config(config)):
        with pytest.raises(hal.errors.DoesNotFitError, match="sources 0, 1 have the same label"):
            call()
