"""What circuits of one individual make of their codes."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hal
from hal_brainscales2.analog import DEFECTS, OFFSET_LSB, PARAMETERS, TAU_SPREAD, individual, nominal, realised
from hal_brainscales2.config import CodesConfig, TargetsConfig

EVERY = np.arange(512)
NONE = CodesConfig()


def targets(size: int = 512, **given: float) -> TargetsConfig:
    usual = {"leak": 80.0, "reset": 80.0, "threshold": 150.0, "tau_mem": 12e-6, "tau_syn": 6e-6}
    return TargetsConfig(
        **{name: np.full(size, value) for name, value in (usual | given).items()},
        i_synin_gm=np.full(size, 500),
        membrane_capacitance=np.full(size, 63),
        refractory_time=np.zeros(size),
        holdoff_time=np.zeros(size),
        comparator=np.ones(size, bool),
    )


@settings(deadline=None, max_examples=40)
@given(st.floats(50, 160), st.floats(50, 220), st.floats(0.5e-6, 60e-6), st.floats(0.3e-6, 30e-6))
def test_nominal_codes_bring_nominal_circuits_as_near_as_codes_can(
    leak: float, threshold: float, tau_mem: float, tau_syn: float
) -> None:
    wanted = targets(1, leak=leak, threshold=threshold, tau_mem=tau_mem, tau_syn=tau_syn)
    made = individual(3, 0.0, np.array([5])).values(nominal(wanted), wanted)
    for name in ("leak", "threshold"):
        np.testing.assert_allclose(getattr(made, name), getattr(wanted, name), rtol=0, atol=0.1251)
    for name in ("tau_mem", "tau_syn"):
        np.testing.assert_allclose(getattr(made, name), getattr(wanted, name), rtol=0.02)
    assert made.strength.tolist() == [1.0]


def test_without_mismatch_targets_hold_exactly_until_a_code_is_changed() -> None:
    wanted = targets(2, leak=80.1, tau_mem=12.3e-6)
    assert realised(wanted, NONE, np.array([0, 9]), 1, 0.0).leak.tolist() == [80.1, 80.1]
    codes = nominal(wanted)
    other = attrs.evolve(codes, leak=codes.leak + np.array([0, 4]))
    made = realised(wanted, other, np.array([0, 9]), 1, 0.0)
    assert made.leak.tolist() == [80.1, 81.0]
    assert made.tau_mem.tolist() == [12.3e-6, 12.3e-6]


def test_circuits_of_an_individual_do_not_depend_on_who_else_is_asked_for() -> None:
    wanted, codes = targets(2), nominal(targets(2))
    both, alone = (individual(4, 1.0, np.array(which)) for which in ([7, 300], [300, 8]))
    for name in PARAMETERS:
        one, other = (getattr(made.values(codes, wanted), name) for made in (both, alone))
        assert one[1] == other[0] != other[1] != one[0]
    assert (individual(5, 1.0, EVERY).offset["leak"] != individual(4, 1.0, EVERY).offset["leak"]).all()


def test_spreads_are_those_that_are_named_and_scale_with_mismatch() -> None:
    chips = [individual(seed, 0.5, EVERY) for seed in range(8)]
    offset = np.concatenate([chip.offset["threshold"] for chip in chips])
    factor = np.log(np.concatenate([chip.factor["tau_mem"] for chip in chips]))
    assert offset.std() == pytest.approx(OFFSET_LSB / 2, rel=0.05)
    usual = factor[np.abs(factor) < 1]
    assert usual.std() == pytest.approx(TAU_SPREAD / 2, rel=0.05)


def test_about_one_circuit_in_a_hundred_has_a_defect() -> None:
    wanted = targets()
    count = 0
    for seed in range(20):
        chip, codes = individual(seed, 1.0, EVERY), nominal(wanted)
        full = attrs.evolve(codes, **{name: np.full(512, 1022) for name in ("threshold", "tau_mem", "tau_syn", "gm")})
        high, low = (
            chip.values(now, wanted) for now in (full, attrs.evolve(codes, leak=codes.leak * 0, reset=codes.reset * 0))
        )
        bad = (low.leak > 80) | (low.reset > 80) | (high.threshold < 150) | (high.strength < 1)
        count += int((bad | (high.tau_mem > 12e-6) | (high.tau_syn > 6e-6)).sum())
    assert count == pytest.approx(20 * 512 * DEFECTS, rel=0.3)


def test_mismatch_reaches_spikes_and_the_seed_chooses_the_individual(cuba: Any) -> None:
    mapping = cuba.map(np.full((50, 1), 6.0))

    def times(**options: Any) -> list[int]:
        return list(cuba.run(mapping, [0], [0], 20_000, **options).spikes["n0"]["t"])

    assert len(set(times(chip_seed=3))) == 1
    assert len(set(times(chip_seed=3, mismatch=1.0))) > 30
    assert times(chip_seed=3, mismatch=1.0) == times(chip_seed=3, mismatch=1.0) != times(chip_seed=4, mismatch=1.0)


@pytest.mark.parametrize("preset", ["ideal", "chip"])
def test_a_batch_of_circuits_that_differ_is_the_loop(cuba: Any, preset: str) -> None:
    mapping = cuba.map(np.full((30, 2), 5.0), np.full((4, 30), 0.3), record=["n0"])
    samples = [hal.events([0, 3000 + 500 * k], [0, 1]) for k in range(4)]
    with cuba.open(mapping, preset, mismatch=1.0, chip_seed=2) as device:
        batch = device.run_batch({"in": hal.EventBatch.of(samples)}, 40_000)
        for k, sample in enumerate(samples):
            device.reset()
            alone = device.run({"in": sample}, 40_000)
            for node in ("n0", "out"):
                assert batch.spikes[node][k].tolist() == alone.spikes[node].tolist()
            assert np.unique(alone.spikes["n0"]["t"]).size > 15


def test_codes_of_another_number_of_neurons_are_refused(cuba: Any) -> None:
    mapping = cuba.map(np.full((2, 1), 6.0))
    codes = nominal(targets(3))
    with pytest.raises(hal.ConfigError, match=r"codes\.leak.*as many as neurons"):
        mapping.with_config(attrs.evolve(mapping.config, codes=codes))
    with pytest.raises(hal.ConfigError, match="one row each"):
        mapping.with_config(attrs.evolve(mapping.config, codes=attrs.evolve(nominal(targets(2)), gm=np.zeros(1))))
