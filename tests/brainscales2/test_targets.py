"""Targets of a calibration: as asked, reset within its range, and a word about each that leaves the standard one."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hal import nodes
from hal_brainscales2.targets import CHOSEN, STANDARD, outside

PAIR = np.ones((2, 2))
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def told(config: Any, field: str) -> list[tuple[str, float]]:
    return [(f.node, f.wanted) for f in outside(config) if f.field == f"targets.{field}"]


def with_target(config: Any, field: str, values: Any) -> Any:
    dtype = getattr(config.targets, field).dtype
    return attrs.evolve(config, targets=attrs.evolve(config.targets, **{field: np.array(values, dtype)}))


@pytest.fixture(scope="module")
def made(chip: Any, graph: Any) -> Any:
    """Two populations of two."""
    return chip.map(graph.chain(PAIR, PAIR), refractory_s={"n0": 2e-6, "n1": 2e-6})


def test_all_targets_of_a_usual_network_are_standard(made: Any) -> None:
    assert list(outside(made.config)) == []
    targets = made.config.targets
    for field, value in (("leak", 80), ("reset", 80), ("threshold", 150), ("tau_mem", 12e-6), ("tau_syn", 6e-6)):
        np.testing.assert_allclose(getattr(targets, field), value)
    assert (made.config.synapse_dac_bias, targets.i_synin_gm[0], targets.membrane_capacitance[0]) == (1000, 500, 63)
    assert targets.comparator.all()


@pytest.mark.parametrize("field", [field for field in STANDARD if field != "membrane_capacitance"])
def test_a_target_beyond_its_standard_range_is_told_by_population_with_the_farthest(made: Any, field: str) -> None:
    low, high, _ = STANDARD[field]
    usual = float(getattr(made.config.targets, field)[0])
    at_ends = [low if field not in ("threshold", "holdoff_time") else usual, usual, usual, high]
    if field == "leak":
        at_ends[3] = 149.0
    assert told(with_target(made.config, field, at_ends), field) == []
    step = 1 if field == "i_synin_gm" else high * 0.01
    beyond = [usual, usual, high + step, high + 2 * step]
    config = with_target(made.config, field, beyond)
    if field == "leak":
        config = with_target(config, "threshold", [170.0] * 4)
    (finding,) = [f for f in outside(config) if f.field == f"targets.{field}"]
    assert (finding.level, finding.node, finding.wanted) == ("note", "n1", pytest.approx(high + 2 * step))
    assert f"{low:g}..{high:g}" in finding.reason
    assert "(2 neurons)" in finding.reason
    if low:
        (one,) = told(with_target(made.config, field, [low - min(step, low / 2), *[usual] * 3]), field)
        assert one == ("n0", pytest.approx(low - min(step, low / 2)))


def test_capacitances_have_no_range_beyond_the_standard_one() -> None:
    assert STANDARD["membrane_capacitance"][:2] == (0.0, 63.0)


@pytest.mark.parametrize("bias", [29, 0])
def test_a_dac_bias_below_the_standard_is_told(made: Any, chip: Any, bias: int) -> None:
    config = attrs.evolve(made.config, synapse_dac_bias=bias)
    (finding,) = chip.adopt(config).fit.findings
    assert (finding.level, finding.field, finding.wanted) == ("note", "synapse_dac_bias", bias)
    assert "30..1022" in finding.reason


def test_mapping_adopting_and_editing_all_tell(made: Any, chip: Any, graph: Any) -> None:
    mapping = chip.map(graph.layer(PAIR), leak=45.0, threshold=225.0, i_synin_gm=801)
    fields = [f.field for f in mapping.fit.findings if f.field.startswith("targets.")]
    assert fields == ["targets.leak", "targets.threshold", "targets.i_synin_gm"]
    assert set(fields) <= {f"targets.{field}" for field in CHOSEN}
    config = with_target(made.config, "tau_syn", [6e-6, 6e-6, 35e-6, 6e-6])
    for mapping in (chip.adopt(config), made.with_config(config)):
        (finding,) = [f for f in mapping.fit.findings if f.field == "targets.tau_syn"]
        assert (finding.level, finding.node, finding.wanted) == ("note", "n1", 35e-6)
        assert "(1 neuron)" in finding.reason


@QUICK
@given(
    leak=st.floats(50, 160),
    distance=st.floats(1, 90),
    reset=st.lists(st.floats(-3, 0.99), min_size=2, max_size=2),
)
def test_resets_are_the_models_or_the_nearest_that_is_standard(
    chip: Any, graph: Any, leak: float, distance: float, reset: list[float]
) -> None:
    mapping = chip.map(graph.layer(PAIR, v_reset=reset), leak=leak, threshold=leak + distance)
    targets = mapping.config.targets
    np.testing.assert_allclose(targets.reset, np.clip(leak + distance * np.array(reset), 50, 160))
    np.testing.assert_array_equal(targets.threshold, leak + distance)
    moved = np.abs(targets.reset - (leak + distance * np.array(reset))) > 1e-9
    found = [f for f in mapping.fit.findings if f.field == "v_reset"]
    assert bool(found) >= bool(moved.any())
    for finding in found:
        assert (finding.level, finding.node) == ("changed", "n")
        assert finding.wanted in reset
        assert "refractory_s" in finding.reason


@pytest.mark.parametrize("threshold", [80.0, 70.0])
def test_a_threshold_at_the_leak_or_below_is_refused(chip: Any, graph: Any, threshold: float) -> None:
    told = chip.refused(graph.layer(PAIR), threshold=threshold)
    assert told == [("", "threshold", threshold, "> 80 CADC LSB")]


def test_neurons_that_never_fire_have_no_threshold_to_leave_a_range(chip: Any, graph: Any) -> None:
    net = graph(dt_ns=1000).source("in", 2).dense("fc", "in", PAIR).fire("n", "fc").dense("fo", "n", PAIR)
    mapping = chip.map(net.fire("li", "fo", nodes.CubaLI).out("li").model, readout="chip", threshold=230.0)
    (finding,) = [f for f in mapping.fit.findings if f.field == "targets.threshold"]
    assert finding.node == "n"
    assert "(2 neurons)" in finding.reason
    # they rest after a spike that they never have
    assert mapping.config.targets.reset[2:].tolist() == [80.0, 80.0]
