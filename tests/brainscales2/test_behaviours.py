"""What a BrainScaleS-2 must do: behaviours 10 to 19 of its fact sheet, which are the mapper's, by number."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

from hal.errors import ConfigError, DoesNotFitError
from hal_brainscales2.limits import bus_output, driver_bus, event_output, row_driver

SIGNS = np.random.default_rng(14).choice([-1.0, 1.0], (140, 140))


def lacking(report: Any, resource: str) -> list[tuple[str, float, float]]:
    return [(row.place, row.needed, row.limit) for row in report.rows if row.resource == resource and not row.ok]


def rows_of(mapping: Any, column: int, hemisphere: int = 0) -> list[int]:
    """Weights other than 0 of a circuit, by row."""
    weight = mapping.config.routing.weight[hemisphere, :, column]
    return sorted(weight[weight > 0].tolist(), reverse=True)


def test_10_a_weight_of_200_in_three_rows_leaves_11_and_in_four_none(chip: Any, graph: Any) -> None:
    model = graph.layer([[200.0]])
    three = chip.map(model, scale=1.0, copies={"fc": 3})
    assert rows_of(three, 0) == [63, 63, 63]
    ((_, _, _, wanted, realised, reason),) = three.losses
    assert (wanted, wanted - realised) == (200.0, 11.0)
    assert "rows run short" in reason
    for options in ({"copies": {"fc": 4}}, {}):
        four = chip.map(model, scale=1.0, **options)
        assert rows_of(four, 0) == [63, 63, 63, 11]
        assert len(four.losses) == 0


def test_11_halves_are_rounded_as_jaxsnn_or_as_hxtorch(chip: Any, graph: Any) -> None:
    model = graph.layer([[2.5 / 64, -2.5 / 64, 3.5 / 64]])
    for rule, wanted in (("even", [2, -2, 4]), ("away", [3, -3, 4])):
        assert chip.heard(chip.map(model, scale=64.0, rounding=rule))[:3, 0].tolist() == wanted


def test_12_129_signed_inputs_are_258_rows_or_two_circuits(chip: Any, graph: Any) -> None:
    model = graph.layer(SIGNS[:3, :129])
    told = lacking(chip.check(model, dense=True), "fan_in")
    assert told == [("hemisphere 0, rows of its fullest circuit", 258, 256)]
    mapping = chip.map(model, dense=True, circuits={"n": 2})
    np.testing.assert_array_equal(chip.heard(mapping)[:129], 58 * SIGNS[:3, :129].T)
    assert chip.check(graph.layer(SIGNS[:3, :128]), dense=True).fits


def test_13_5_120_3_is_repaired_by_moving_its_outputs(chip: Any, graph: Any) -> None:
    """Its times are held to the golden ones where the device is."""
    random = np.random.default_rng(0)
    # over five rows each
    hidden, output = random.uniform(-5, 5, (120, 5)), random.uniform(-1, 1, (3, 120))
    model = graph.chain(hidden, output)
    mapping = chip.map(model, dense=True, scale=58.0, copies={"fc0": 5, "fc1": 1})
    where = {name: set(mapping.placement.where(name)["core"].tolist()) for name in ("n0", "n1")}
    assert where == {"n0": {0}, "n1": {1}}
    used = {row.place: row.needed for row in mapping.fit.rows if row.resource == "synapse_rows"}
    above = [used[f"hemisphere 0, bus {bus}"] for bus in range(4)]
    below = [used[f"hemisphere 1, bus {bus}"] for bus in range(4)]
    assert (sum(above), below) == (50, [64, 64, 64, 48])
    report = chip.check(model, dense=True, scale=58.0, copies={"fc0": 5, "fc1": 1}, hemisphere={"n0": 0, "n1": 0})
    assert lacking(report, "synapse_rows")
    assert any("other hemisphere" in row.hint for row in report.rows if not row.ok)


def test_14_513_neurons_are_one_too_many(chip: Any, graph: Any) -> None:
    model = graph.layer(np.ones((513, 1)))
    assert ("chip", 513, 512) in lacking(chip.check(model), "circuits")
    with pytest.raises(DoesNotFitError, match="513"):
        chip.map(model)


def test_15_33_signed_sources_behind_one_bus_are_66_rows(chip: Any, graph: Any) -> None:
    model = graph.chain(np.ones((33, 1)), SIGNS[:2, :33])
    places = {"n0": (*range(32), 256), "n1": (40, 41)}
    assert lacking(chip.check(model, dense=True, places=places), "synapse_rows") == [("hemisphere 0, bus 0", 66, 64)]
    # columns 128..159 share the bus with 0..31
    other = {"n0": (*range(16), *range(128, 145)), "n1": (40, 41)}
    assert lacking(chip.check(model, dense=True, places=other), "synapse_rows") == [("hemisphere 0, bus 0", 66, 64)]
    apart = {"n0": (*range(32), 32), "n1": (40, 41)}
    assert chip.check(model, dense=True, places=apart).fits


@pytest.mark.parametrize("hemisphere", [0, 1])
def test_16_a_neuron_in_column_200_is_heard_over_bus_2(chip: Any, graph: Any, hemisphere: int) -> None:
    model = graph.chain([[1.0]], [[1.0]])
    mapping = chip.map(model, places={"n0": (200,), "n1": (3 + 256 * hemisphere,)})
    routing = mapping.config.routing
    (row,) = np.flatnonzero(routing.weight[hemisphere, :, 3]).tolist()
    assert driver_bus(row_driver(row)) == 200 // 32 % 4 == 2
    # its events pass one node of the crossbar to that bus, and none to the others
    label = int(mapping.config.neuron_label[0])
    source = event_output(200)
    passing = (routing.crossbar_mask[source] & label) == routing.crossbar_target[source]
    assert passing[bus_output(hemisphere, 2)]
    assert chip.heard(mapping).tolist() == [[58, 0], [0, 58], [0, 0]]


def test_17_two_sources_with_one_label_on_a_bus_are_rejected(chip: Any, graph: Any) -> None:
    """Neurons of one event output and one label, whose events reach the same drivers."""
    model = graph.chain(np.ones((2, 1)), [[1.0, 1.0]])
    mapping = chip.map(model, places={"n0": (0, 1), "n1": (40,)})
    label = mapping.config.neuron_label.copy()
    label[1] = label[0]
    config = attrs.evolve(mapping.config, neuron_label=label)
    for call in (lambda: chip.adopt(config), lambda: mapping.with_config(config)):
        with pytest.raises(DoesNotFitError, match="have the same label"):
            call()


def test_18_a_target_beyond_the_standard_is_told_and_one_beyond_reach_refused(chip: Any, graph: Any) -> None:
    (finding,) = [
        f for f in chip.map(graph.layer([[1.0]], tau_syn=35e-6), speedup=1.0).fit.findings if f.field == "tau_syn"
    ]
    assert (finding.level, finding.node) == ("changed", "n")
    assert (finding.wanted, finding.realised) == ("3.5e-05 s on the chip", "3e-07..3e-05 s")
    told = chip.refused(graph.layer([[1.0]], tau_syn=120e-6), speedup=1.0)
    assert told == [("n", "tau_syn", "0.00012 s on the chip", "1e-07..0.0001 s")]
    # left to itself it runs in the chip's own range
    assert chip.map(graph.layer([[1.0]], tau_syn=120e-6)).speedup > 1


def test_19_a_run_of_40_s_is_refused_with_the_limit(cuba: Any, chip: Any, graph: Any) -> None:
    device = cuba.open(chip.map(graph.layer([[1.0]])))
    with pytest.raises(ConfigError, match="longer than the device can run") as caught:
        device.run({}, 40 * 10**9)
    assert [(p.where, p.value, p.limit) for p in caught.value.problems] == [("duration_ns", 40 * 10**9, 34_359_738_360)]


def test_graphs_of_the_chip_s_neurons_alone(chip: Any, graph: Any) -> None:
    """Vectors of every parameter: as many targets as neurons, and weights by each neuron's own distance."""
    model = graph.layer(
        np.ones((3, 2)),
        tau_mem=[10e-6, 12e-6, 14e-6],
        tau_syn=[5e-6, 6e-6, 7e-6],
        v_leak=[0.0, 0.5, -1.0],
        v_reset=[0.0, 0.5, -1.0],
        v_threshold=[1.0, 2.5, 1.0],
        semantics={"start_state": "v_leak"},
    )
    mapping = chip.map(model, scale=40.0)
    config = mapping.config
    assert config.rest.tolist() == [0.0, 0.5, -1.0]
    assert config.unit.tolist() == [1.0, 2.0, 2.0]
    assert chip.heard(mapping)[:2].tolist() == [[40, 20, 20]] * 2
    np.testing.assert_allclose(config.targets.tau_syn, [5e-6, 6e-6, 7e-6])
    np.testing.assert_array_equal(config.targets.reset, config.targets.leak)
