"""From registers to the emulator: what is edited is what runs, and registers that confuse sources are refused."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hal
from hal.errors import DoesNotFitError
from hal.events import Probe
from hal_brainscales2 import silicon
from hal_brainscales2.options import OpenOptions

END = 60_000
IDEAL = silicon.resolved(OpenOptions(preset="ideal"))
RECORD = ["n0", Probe("n0", "spike_s"), Probe("n0", "v", every_ns=600)]


@pytest.fixture(scope="module")
def mapping(cuba: Any) -> Any:
    return cuba.map([[6.0, 1.0, -2.0], [0.0, 5.0, 0.5]], record=RECORD)


def edited(mapping: Any, part: str, **arrays: Any) -> Any:
    """With some registers of a part of the configuration changed."""
    config = mapping.config
    return mapping.with_config(attrs.evolve(config, **{part: attrs.evolve(getattr(config, part), **arrays)}))


def dense(network: Any) -> Any:
    """(sources, neurons) weights."""
    synapses = network.synapses
    made = np.zeros((synapses.ptr.size - 1, network.neurons.size))
    source = np.repeat(np.arange(synapses.ptr.size - 1), np.diff(synapses.ptr))
    np.add.at(made, (source, synapses.target), synapses.weight)
    return made


def spikes(cuba: Any, mapping: Any, index: Any = (0, 1), preset: str = "ideal", **options: Any) -> Any:
    return cuba.run(mapping, [100 * k for k in range(len(index))], index, END, preset, **options)


# --- weights ----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.booleans())
def test_the_emulator_has_the_weights_that_the_mapping_says_were_realised(
    cuba: Any, seed: int, all_pairs: bool
) -> None:
    random = np.random.default_rng(seed)
    first, second = (random.normal(0, 1.5, shape) * (random.random(shape) < 0.7) for shape in ((7, 4), (5, 7)))
    mapping = cuba.map(first, second, options={"dense": all_pairs})
    made = dense(silicon.network(mapping.config, IDEAL))
    np.testing.assert_allclose(made[:4, :7], mapping.realised["w0", "weight"].T, rtol=1e-12)
    np.testing.assert_allclose(made[4:11, 7:], mapping.realised["w1", "weight"].T, rtol=1e-12)
    assert not made[:4, 7:].any()
    assert not made[4:, :7].any()
    assert not made[11:].any()


def test_targets_are_the_emulator_s_parameters_in_units_of_threshold_above_leak(cuba: Any) -> None:
    options = {"leak": 60.0, "threshold": 160.0, "refractory_s": {"n0": 2e-6}}
    mapping = cuba.map([[6.0]], tau_mem=18e-6, tau_syn=5e-6, v_reset=-0.05, options=options)
    made = silicon.network(mapping.config, IDEAL).neurons
    assert (made.tau_mem[0], made.tau_syn[0]) == pytest.approx((18e-6, 5e-6))
    assert (made.v_leak[0], made.v_th[0], made.v_reset[0]) == pytest.approx((0.0, 1.0, -0.05), abs=1e-12)
    # 2 us: 32 cycles of 64 ns, in the last of which the membrane is free
    assert (made.t_ref[0], made.t_holdoff[0]) == pytest.approx((2.048e-6, 6.4e-8))
    assert (made.v_low[0], made.v_high[0], made.i_max[0]) == (-np.inf, np.inf, np.inf)


def test_an_edited_weight_is_the_one_that_acts(cuba: Any, mapping: Any) -> None:
    weight = mapping.config.routing.weight.copy()
    before = dense(silicon.network(mapping.config, IDEAL))
    at = tuple(np.argwhere(weight == 58)[0])
    weight[at] = 13
    after = dense(silicon.network(edited(mapping, "routing", weight=weight).config, IDEAL))
    changed = np.argwhere(before != after)
    assert len(changed) == 1
    assert abs(before - after)[tuple(changed[0])] == pytest.approx(45 / 58)


def test_a_row_of_the_other_sign_and_one_that_is_off(mapping: Any) -> None:
    sign = mapping.config.routing.row_sign
    before = dense(silicon.network(mapping.config, IDEAL))
    turned = dense(silicon.network(edited(mapping, "routing", row_sign=-sign).config, IDEAL))
    np.testing.assert_array_equal(turned, -before)
    assert before.any()
    assert not dense(silicon.network(edited(mapping, "routing", row_sign=sign * 0).config, IDEAL)).any()


def test_weights_without_their_label_or_driver_are_never_met(cuba: Any, mapping: Any) -> None:
    routing = mapping.config.routing
    off = edited(mapping, "routing", driver_on=np.zeros_like(routing.driver_on))
    assert not dense(silicon.network(off.config, IDEAL)).any()
    assert spikes(cuba, mapping).spikes["n0"].size > 0
    recording = spikes(cuba, off)
    assert recording.spikes["n0"].size == 0
    assert recording.stats["synops"].sum() == 0
    assert recording.stats["events_in"].sum() == 2


# --- targets ----------------------------------------------------------------------------------------------------------


def test_a_neuron_without_comparator_never_fires(cuba: Any, mapping: Any) -> None:
    silent = edited(mapping, "targets", comparator=np.array([False, True]))
    first, second = spikes(cuba, mapping), spikes(cuba, silent)
    assert set(first.spikes["n0"]["index"].tolist()) == {0, 1}
    assert set(second.spikes["n0"]["index"].tolist()) == {1}
    assert second.traces["n0", "v"].values[:, 0].max() > 1


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_an_edited_threshold_is_the_one_that_is_reached(cuba: Any, factor: float) -> None:
    """Weights are integers over the distance of threshold and leak at which they were scaled."""
    mapping = cuba.map([[6.0]], record=RECORD)
    targets = mapping.config.targets
    tau = edited(mapping, "targets", tau_mem=targets.tau_mem * factor, tau_syn=targets.tau_syn * factor)
    first, second = (spikes(cuba, m, [0]).traces["n0", "spike_s"].values for m in (mapping, tau))
    assert second[0, 0] == pytest.approx(first[0, 0] * factor, rel=1e-12)


# --- who is heard -----------------------------------------------------------------------------------------------------


def test_neurons_whose_events_the_crossbar_stops_reach_no_host(cuba: Any) -> None:
    mapping = cuba.map(np.full((2, 1), 6.0), np.full((2, 2), 6.0), record=["n0", "n1"])
    assert silicon.to_host(mapping.config).tolist() == [True] * 4
    routing = mapping.config.routing
    mask, target = routing.crossbar_mask.copy(), routing.crossbar_target.copy()
    label = int(mapping.config.neuron_label[0])
    for output in range(8, 12):
        mask[label >> 8 & 7, output], target[label >> 8 & 7, output] = 0x3FFF, label & 0x3FFF
    narrow = edited(mapping, "routing", crossbar_mask=mask, crossbar_target=target)
    told = silicon.to_host(narrow.config)
    assert told[0]
    assert not told[1]
    whole, part = (spikes(cuba, m, [0]) for m in (mapping, narrow))
    assert part.stats["events_out"].tolist() == whole.stats["events_out"].tolist()
    first = whole.spikes["n0"]
    assert part.spikes["n0"].tolist() == first[first["index"] == 0].tolist()
    assert first.size == 2 * part.spikes["n0"].size > 0


def test_sources_that_are_one_where_they_arrive_are_refused(mapping: Any) -> None:
    label = np.full_like(mapping.config.host.label, mapping.config.host.label[0])
    with pytest.raises(DoesNotFitError, match=r"have the same label .* so they are one where they arrive") as caught:
        edited(mapping, "host", label=label)
    assert "another label, or row selects and masks that do not meet" in str(caught.value)
    config = attrs.evolve(mapping.config, host=attrs.evolve(mapping.config.host, label=label))
    found = silicon.told(config)
    assert {finding.level for finding in found} == {"refused"}
    assert "sources 0, 1, 2" in found[0].reason
    with pytest.raises(DoesNotFitError, match="so they are one where they arrive"):
        hal.mapper("brainscales2").adopt(config)


def test_synapses_of_nobody_are_told(mapping: Any) -> None:
    assert silicon.told(mapping.config) == []
    used = set(mapping.config.circuits.circuit.tolist())
    row = np.argwhere(mapping.config.routing.weight > 0)[0]
    free = next(column for column in range(256) if row[0] * 256 + column not in used)
    weight, label = mapping.config.routing.weight.copy(), mapping.config.routing.label.copy()
    weight[row[0], row[1], free], label[row[0], row[1], free] = 9, label[tuple(row)]
    changed = edited(mapping, "routing", weight=weight, label=label)
    (finding,) = silicon.told(changed.config)
    assert finding.level == "note"
    assert finding.reason == "1 synapses react in circuits of no neuron"
    made = dense(silicon.network(changed.config, IDEAL))
    np.testing.assert_array_equal(made, dense(silicon.network(mapping.config, IDEAL)))


# --- options ----------------------------------------------------------------------------------------------------------


def test_bounds_are_the_range_of_the_adc_wherever_leak_reset_and_threshold_lie_in_it(cuba: Any) -> None:
    def bounds(**options: Any) -> tuple[float, float]:
        reset = options.pop("v_reset", 0.0)
        mapping = cuba.map([[6.0]], v_reset=reset, options=options)
        made = silicon.network(mapping.config, attrs.evolve(IDEAL, clipping=True)).neurons
        targets = mapping.config.targets
        distance = targets.threshold[0] - targets.leak[0]
        return made.v_low[0] * distance + targets.leak[0], made.v_high[0] * distance + targets.leak[0]

    assert bounds() == pytest.approx((30, 210))
    assert bounds(leak=100.0, threshold=140.0) == pytest.approx((30, 210))
    assert bounds(leak=20.0, threshold=150.0) == pytest.approx((20, 210))
    assert bounds(leak=120.0, threshold=230.0) == pytest.approx((30, 230))
    assert bounds(leak=60.0, threshold=160.0, v_reset=-0.1) == pytest.approx((30, 210))


def test_saturation_is_every_neuron_s(mapping: Any) -> None:
    made = silicon.network(mapping.config, attrs.evolve(IDEAL, saturation=2.5)).neurons
    assert made.i_max.tolist() == [2.5, 2.5]
    assert (made.v_low == -np.inf).all()


@pytest.mark.parametrize("preset", sorted(silicon.PRESETS))
def test_what_is_given_stands_and_the_preset_says_the_rest(preset: str) -> None:
    made = silicon.resolved(OpenOptions(preset=preset, jitter_s=3e-7, stamps=False))  # type: ignore[arg-type]
    assert (made.jitter_s, made.stamps) == (3e-7, False)
    for name, value in silicon.PRESETS[preset].items():
        assert name in ("jitter_s", "stamps") or getattr(made, name) == value
    assert silicon.resolved(made) == made
