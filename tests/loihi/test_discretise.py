"""The discretiser: registers, exact integers, weak groups, notes and errors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal.errors import ConfigError
from hal_loihi.decays import current_decay, membrane_decay, refractory_steps, retention
from hal_loihi.discretise import Block, Discretised, Group, NoteCode, discretise
from hal_loihi.scaling import Values
from hal_loihi.weights import SignMode, effective, nearest

GOLDEN = Path(__file__).parents[1] / "golden" / "loihi"


def block(**fields: Any) -> Block:
    """One compartment with threshold 1 unless said otherwise; `weights`: one group of them."""
    weights = fields.pop("weights", None)
    groups = () if weights is None else (Group(name="in", weights=weights),)
    return Block(**{"name": "block", "threshold": [1.0], "groups": groups, **fields})


def codes(result: Discretised) -> set[NoteCode]:
    return {note.code for note in result.notes}


def test_rule_20_time_constants_become_the_decays_of_the_peer() -> None:
    assert current_decay(retention(0.005, 0.001, "exp")).register == 741
    assert membrane_decay(retention(0.02, 0.001, "exp")).register == 200
    assert current_decay(retention(5, 1, "exp")).register == 741
    assert current_decay([0.0, 1.0]).register.tolist() == [4095, 0]
    assert membrane_decay([1.0, 0.0]).register.tolist() == [0, 4095]
    assert current_decay([0.0, 1.0]).out_of_reach.tolist() == [False, True]
    assert membrane_decay([1.0, 0.0]).out_of_reach.tolist() == [False, True]


def test_fixed_point_factors_come_back_exactly() -> None:
    register = np.arange(4096)
    current, membrane = current_decay((4095 - register) / 4096), membrane_decay((4096 - register) / 4096)
    for made in (current, membrane):
        assert np.array_equal(made.register, register)
        assert not made.error.any()
    tau = np.float32(0.001 * 4096) / (register + 1)
    assert np.array_equal(current_decay(retention(tau, 0.001, "euler")).register, register)


@given(st.floats(0, 1))
def test_registers_are_the_nearest(factor: float) -> None:
    for made, offset in ((current_decay(factor), 1), (membrane_decay(factor), 0)):
        all_factors = (4096 - offset - np.arange(4096)) / 4096
        assert abs(float(made.error)) == pytest.approx(np.abs(all_factors - factor).min(), abs=1e-15)


def test_retention_rules() -> None:
    assert retention([0.0, math.inf, 2.0], 1.0, "exp").tolist() == [0, 1, math.exp(-0.5)]
    for rule in ("euler", "1-dt/tau"):
        assert retention([0.0, math.inf, 2.0, 1.0], 1.0, rule).tolist() == [0, 1, 0.5, 0]  # type: ignore[arg-type]
    assert refractory_steps([0.0, 0.002, 0.0025, 0.0035], 0.001).tolist() == [0, 2, 2, 4]


def nodes(name: str) -> Any:
    with h5py.File(GOLDEN / name) as file:
        return {key: {f: value[()] for f, value in node.items()} for key, node in file["node/nodes"].items()}


def test_a_network_of_chip_integers_stays_as_it_is() -> None:
    """By the convention of the NIR files: float32 time constants and gains, integers of the chip in the rest."""
    net, dt = nodes("recurrent_256.nir"), 0.001
    lif = net["lif"]
    made = discretise(
        Block(
            name="lif",
            threshold=lif["v_threshold"],
            alpha=retention(lif["tau_syn"], dt, "euler"),
            beta=retention(lif["tau_mem"], dt, "euler"),
            gain=lif["w_in"] * (dt / lif["tau_syn"]) * lif["r"] * (dt / lif["tau_mem"]),
            bias=lif["v_leak"] * (dt / lif["tau_mem"]),
            groups=tuple(Group(name=name, weights=net[name]["weight"].T) for name in ("w_in", "w_rec")),
        )
    )
    archive: Any = np.load(GOLDEN / "recurrent_256.npz")
    assert np.array_equal(made.decay_u.register, archive["b0_decay_u"])
    assert np.array_equal(made.decay_v.register, archive["b0_decay_v"])
    assert np.array_equal(made.vth, archive["b0_vth"])
    assert np.array_equal(made.bias, archive["b0_bias"])
    assert np.array_equal(made.refract_delay, archive["b0_refract"])
    assert 1 - 2**made.vmin_exp == archive["b0_vlimits"][0]
    assert 2 ** (9 + 2 * made.vmax_exp) - 1 == archive["b0_vlimits"][1]
    for j, group in enumerate(made.groups):
        dense = np.zeros_like(group.effective)
        dense[archive[f"c{j}_pre"], archive[f"c{j}_post"]] = archive[f"c{j}_w"]
        assert np.array_equal(group.effective, dense)
    assert made.scale == 1.0
    assert codes(made) <= {NoteCode.ACCUMULATOR_MAY_WRAP, NoteCode.CURRENT_MAY_WRAP}


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.integers(-127, 127), min_size=1, max_size=20),
    exponent=st.integers(0, 7),
    vth=st.integers(1, 131071),
    bias=st.integers(-4095, 4095),
    bias_exp=st.integers(0, 7),
)
def test_chip_integers_stay(steps: list[int], exponent: int, vth: int, bias: int, bias_exp: int) -> None:
    weights = effective(2 * np.array(steps), exponent)[:, None].astype(float)
    made = discretise(block(threshold=[vth * 64], bias=float(bias * 2**bias_exp), weights=weights))
    assert made.scale == 1.0
    assert np.array_equal(made.groups[0].effective, weights)
    assert (made.vth_mant.item(), made.bias.item()) == (vth, bias * 2**bias_exp)
    group = made.groups[0]
    assert np.array_equal(effective(group.mantissa, group.exponent, 8, group.sign_mode), group.effective)


def test_a_common_unit_is_found() -> None:
    made = discretise(block(threshold=[1.0], bias=0.05, weights=[[0.3], [0.1], [-0.7]]))
    errors = made.threshold_error.relative, made.bias_error.relative, made.groups[0].error.relative
    assert max(errors) < 1e-12
    assert made.notes == ()


@settings(max_examples=40, deadline=None)
@given(factor=st.floats(1, 5000), seed=st.integers(0, 1000))
def test_rule_21_a_weak_group_keeps_its_strength_within_a_quantum(factor: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    strong, weak = rng.uniform(-1, 1, (8, 4)), rng.uniform(-1, 1, (8, 4)) / factor
    groups = (Group(name="strong", weights=strong), Group(name="weak", weights=weak))
    made = discretise(block(threshold=np.ones(4), groups=groups))
    for group, weights in zip(made.groups, (strong, weak), strict=True):
        quantum = max(64.0, np.abs(weights).max() * made.scale / 127 * 2)
        assert np.abs(group.effective - weights * made.scale).max() <= quantum
    strongest = np.unravel_index(np.abs(weak).argmax(), weak.shape)
    if factor <= 1000:
        assert made.groups[1].realised[strongest] == pytest.approx(weak[strongest], rel=0.5)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=9), st.floats(1e-2, 1e3), st.sampled_from(SignMode))
def test_what_is_costed_is_what_is_stored(values: list[float], scale: float, mode: SignMode) -> None:
    group = Values.of(np.array(values), 8, mode)
    exponent = group.exponent(scale)
    mantissa = nearest(group.values * scale, exponent, 8, mode)
    assert np.allclose(
        group.stored(scale, exponent, group.values), effective(mantissa, exponent, 8, mode), rtol=0, atol=1
    )


def test_three_kinds_of_neuron() -> None:
    weights = np.linspace(-1, 1, 12).reshape(6, 2)
    cuba = discretise(block(threshold=[1.0, 1.0], alpha=0.8, beta=0.95, gain=0.05, weights=weights))
    lif = discretise(block(threshold=[1.0, 1.0], alpha=0.0, beta=0.95, weights=weights))
    integrator = discretise(block(threshold=[1.0, 1.0], weights=weights))
    assert [int(made.decay_u.register[0]) for made in (cuba, lif, integrator)] == [818, 4095, 4095]
    assert [int(made.decay_v.register[0]) for made in (cuba, lif, integrator)] == [205, 205, 0]
    for made, gain in ((cuba, 0.05), (lif, 1.0), (integrator, 1.0)):
        assert np.allclose(made.groups[0].effective / made.vth, weights * gain, atol=0.01 * gain)
        assert np.allclose(made.groups[0].realised, weights, atol=0.01)


def test_gains_that_differ() -> None:
    gain, weights = np.array([0.5, 0.1]), np.array([[1.0, 0.25], [-0.5, 0.75]])
    for into in ("weights", "thresholds"):
        made = discretise(block(threshold=[1.0, 2.0], gain=gain, bias=[0.1, 0.2], gain_into=into, weights=weights))
        assert np.allclose(made.groups[0].effective / made.vth, weights * gain / [1.0, 2.0], rtol=0.02)
        assert np.allclose(made.groups[0].realised, weights, rtol=0.02)
        assert np.allclose(made.realised_threshold, [1, 2], rtol=0.01)
        assert np.allclose(made.realised_bias, [0.1, 0.2], rtol=0.01)
    silent = discretise(block(gain=0.0, weights=[[3.0]]))
    assert silent.groups[0].effective.item() == 0
    assert silent.groups[0].realised.item() == 3.0


def test_sparse_and_shared_groups() -> None:
    kernel = np.linspace(0.1, 1.0, 18).reshape(3, 3, 1, 2)
    groups = (
        Group(name="conv", weights=kernel, targets="shared"),
        Group(name="list", weights=[0.5, -0.25, 0.125], targets=[0, 3, 3]),
        Group(name="none", weights=np.zeros((0, 4))),
    )
    made = discretise(block(threshold=np.ones(4), gain=0.5, groups=groups))
    assert np.allclose(made.groups[0].realised, kernel, rtol=0.05)
    assert np.allclose(made.groups[1].realised, [0.5, -0.25, 0.125], rtol=0.05)
    assert made.groups[2].effective.shape == (0, 4)
    assert [group.sign_mode for group in made.groups[:2]] == [SignMode.EXCITATORY, SignMode.MIXED]
    assert (made.groups[2].error.rms, made.groups[2].error.relative) == (0, 0)


def test_one_sign_is_stored_twice_as_finely() -> None:
    weights = np.random.default_rng(0).uniform(0, 1, (200, 1))
    errors = []
    for mode in (None, SignMode.MIXED):
        group = Group(name="in", weights=weights, sign_mode=mode)
        errors.append(discretise(block(threshold=[3.0], groups=(group,))).groups[0].error.rms)
    assert errors[0] < 0.6 * errors[1]
    negative = discretise(block(weights=-weights)).groups[0]
    assert negative.sign_mode is SignMode.INHIBITORY


def test_blocks_without_weights_or_bias() -> None:
    bias_only = discretise(block(threshold=[1.0, 1.0], bias=[0.3, -0.2]))
    assert np.allclose(bias_only.realised_bias, [0.3, -0.2], rtol=1e-3)
    nothing = discretise(block(threshold=[0.7]))
    assert nothing.threshold_error.relative < 1e-12
    zeros = discretise(block(weights=np.zeros((3, 1))))
    assert not zeros.groups[0].mantissa.any()
    for made in (bias_only, nothing, zeros):
        assert made.notes == ()


def test_the_scale_keeps_the_accumulator_from_wrapping() -> None:
    few, many = (discretise(block(threshold=[1.0], weights=np.full((n, 1), 0.5))) for n in (5, 100))
    assert few.scale > 2 * many.scale
    for made in (few, many):
        assert made.groups[0].effective.sum() < 2**21
        assert made.notes == ()
    many = discretise(block(threshold=[0.1], alpha=0.9, weights=np.full((4000, 1), 0.01)))
    assert codes(many) == {NoteCode.ACCUMULATOR_MAY_WRAP, NoteCode.CURRENT_MAY_WRAP}


@pytest.mark.parametrize(
    ("fields", "code", "count"),
    [
        ({"weights": [[1e-9], [1.0]]}, NoteCode.WEIGHTS_UNDERFLOW, 1),
        ({"weights": [[1e-9], [1e-9]]}, NoteCode.WEIGHTS_ALL_ZERO, 2),
        ({"weights": [[3e-4]], "threshold": [1.0], "bias": 0.9}, NoteCode.WEIGHTS_COARSE, 1),
        ({"weights": [[1.0]], "bias": 1e-9}, NoteCode.BIAS_ALL_ZERO, 1),
        ({"bias": [1.0, 1e-9], "threshold": [1.0, 1.0]}, NoteCode.BIAS_UNDERFLOW, 1),
        ({"weights": [[1.0]], "threshold": [1e-9]}, NoteCode.THRESHOLD_RAISED, 1),
        ({"weights": [[1.0, 1.0]], "threshold": [0.0, 0.0]}, NoteCode.THRESHOLD_RAISED, 2),
        ({"threshold": [64.0], "v_min": -100.0}, NoteCode.V_MIN_MOVED, 1),
        ({"threshold": [64.0], "v_max": 600.0}, NoteCode.V_MAX_MOVED, 1),
        ({"alpha": 1.0}, NoteCode.CURRENT_DECAY_OUT_OF_REACH, 1),
        ({"beta": 0.0}, NoteCode.MEMBRANE_DECAY_OUT_OF_REACH, 1),
        ({"refractory_steps": 2.5}, NoteCode.REFRACTORY_ROUNDED, 1),
        ({"refractory_steps": 63}, NoteCode.REFRACTORY_CLIPPED, 1),
    ],
)
def test_nothing_is_lost_without_a_note(fields: dict[str, Any], code: NoteCode, count: int) -> None:
    made = discretise(block(**fields))
    (note,) = (note for note in made.notes if note.code is code)
    assert note.count == count
    assert note.wanted != note.realised
    assert (note.group == "in") == (note.parameter == "weights")


def test_a_format_that_cannot_hold_a_sign_is_told() -> None:
    group = Group(name="in", weights=[[0.5], [-1.0]], weight_bits=1)
    made = discretise(block(groups=(group,)))
    assert made.groups[0].effective[0] == 0
    assert codes(made) & {NoteCode.WEIGHTS_CLIPPED, NoteCode.WEIGHTS_UNDERFLOW}


def test_few_outliers_may_be_clipped_and_that_is_told() -> None:
    weights = np.random.default_rng(1).normal(size=(4096, 16))
    weights[0, 0] = 6.0
    made = discretise(block(threshold=np.full(16, 50.0), weights=weights))
    clipped = [note for note in made.notes if note.code is NoteCode.WEIGHTS_CLIPPED]
    worst = np.abs(made.groups[0].realised - weights).max()
    assert bool(clipped) == bool(worst > 1.01 * 6.0 / 127)
    assert all(note.count < 20 for note in clipped)


def test_bounds_of_the_membrane() -> None:
    made = discretise(block(threshold=[6400.0], v_min=-1023.0, v_max=8191.0))
    assert (made.vmin_exp, made.vmax_exp) == (10, 2)
    assert made.realised_v_min.tolist() == [-1023]
    assert made.realised_v_max.tolist() == [8191]
    assert discretise(block(v_min=0.0)).vmin_exp == 0
    free = discretise(block())
    assert (free.vmin_exp, free.vmax_exp) == (23, 7)
    assert discretise(block(threshold=[512.0], v_max=513.0)).vmax_exp == 1
    assert discretise(block(refractory_steps=[4])).refract_delay.tolist() == [5]


def test_huge_ranges_end_in_numbers() -> None:
    for weight, threshold, bias in ((1e300, 1.0, 1e-300), (1e-300, 1e300, 0.0), (1.0, 1e-250, 1e250)):
        made = discretise(block(threshold=[threshold], bias=bias, weights=[[weight], [-weight]]))
        assert 1 <= made.vth_mant.item() <= 131071
        assert abs(made.bias_mant.item()) <= 4095
        assert made.notes


numbers = st.just(0.0) | st.floats(1e-200, 1e6) | st.floats(-1e6, -1e-200)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(numbers, min_size=1, max_size=6),
    numbers.map(abs),
    numbers,
    st.none() | numbers.map(lambda value: -abs(value)),
)
def test_registers_stay_in_range_and_mean_what_they_say(
    weights: list[float], threshold: float, bias: float, v_min: float | None
) -> None:
    made = discretise(block(threshold=[threshold], bias=bias, v_min=v_min, weights=np.array(weights)[:, None]))
    assert 1 <= made.vth_mant.item() <= 131071
    assert 0 <= made.bias_exp.item() <= 7
    assert 0 <= made.vmin_exp <= 23
    group = made.groups[0]
    assert np.array_equal(effective(group.mantissa, group.exponent, 8, group.sign_mode), group.effective)
    assert np.allclose(group.realised * made.scale, group.effective)
    assert group.error.max == pytest.approx(np.abs(group.realised[:, 0] - weights).max())
    again = discretise(block(threshold=[threshold], bias=bias, v_min=v_min, weights=np.array(weights)[:, None]))
    assert again.scale == made.scale


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"threshold": []}, "block.threshold: one threshold for each compartment"),
        ({"threshold": 1.0}, "block.threshold: one threshold for each compartment (value ()"),
        ({"threshold": [1.0, np.nan]}, "block.threshold: 1 of 2 values are not finite, the first at (1,)"),
        ({"bias": np.inf}, "block.bias: 1 of 1 values are not finite"),
        ({"weights": [[np.nan], [np.inf]]}, "groups[in].weights: 2 of 2 values are not finite, the first at (0, 0)"),
        ({"bias": [1.0, 2.0]}, "block.bias: wrong shape (value (2,), limit one number or (1,))"),
        ({"threshold": [-1.0]}, "block.threshold: negative (value -1.0, limit >= 0); the chip has no threshold"),
        ({"v_min": 0.5}, "block.v_min: lower bound above 0 (value 0.5"),
        ({"v_max": 1.0}, "block.v_max: not above the threshold (value 1.0"),
        ({"refractory_steps": -1}, "block.refractory_steps: negative"),
        ({"gain_into": "bias"}, "block.gain_into: unknown word (value bias"),
        ({"gain": -1.0, "gain_into": "thresholds"}, "block.gain: no threshold can take this gain"),
        ({"alpha": 1.5}, "alpha: 1 of 1 values are not usable (value 1.5, limit 0..1)"),
        ({"beta": -0.5}, "beta: 1 of 1 values are not usable (value -0.5, limit 0..1)"),
        ({"weights": [1.0]}, "groups[in].weights: wrong shape (value (1,), limit (inputs, 1)); or give targets"),
        ({"weights": [[1.0]], "threshold": [1e-320], "bias": 1e-320}, "no scale between"),
    ],
)
def test_errors(fields: dict[str, Any], words: str) -> None:
    if "no scale" in words:
        fields = {**fields, "weights": [[1e-320]]}
    with pytest.raises(ConfigError) as caught:
        discretise(block(**fields))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ({"weights": [1.0, 2.0], "targets": [0]}, "groups[g].targets: not one for each weight (value int64 (1,)"),
        ({"weights": [1.0], "targets": [0.5]}, "groups[g].targets: not one for each weight (value float64 (1,)"),
        ({"weights": [1.0, 1.0], "targets": [0, 2]}, "groups[g].targets: no such compartment (value 2, limit 0..1)"),
        ({"weights": [1.0, 1.0], "targets": [-1, 0]}, "no such compartment (value -1"),
        ({"weights": [1.0], "targets": "rows"}, "groups[g].targets: unknown word (value rows"),
        ({"weights": 1.0, "targets": "shared"}, "groups[g].weights: wrong shape (value ()"),
        ({"weights": [1.0], "targets": "shared"}, "groups[g]: a shared kernel has one gain (value 2, limit 1)"),
        ({"weights": [[1.0, 1.0]], "weight_bits": 7}, "groups[g].weight_bits: no such number of bits (value 7"),
        ({"weights": [[1.0, 1.0]], "sign_mode": "up"}, "groups[g].sign_mode: no such sign mode (value up"),
        ({"weights": [[1.0, -2.0]], "sign_mode": SignMode.EXCITATORY}, "1 weights have the other sign (value -2.0"),
        ({"weights": [[1.0, -2.0]], "sign_mode": SignMode.INHIBITORY}, "1 weights have the other sign (value 1.0"),
    ],
)
def test_errors_of_groups(group: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        discretise(block(threshold=[1.0, 1.0], gain=[1.0, 2.0], groups=(Group(name="g", **group),)))
    assert words in str(caught.value)


def test_all_problems_at_once() -> None:
    groups = (Group(name="a", weights=[1.0]), Group(name="b", weights=[[1.0]], weight_bits=9))
    with pytest.raises(ConfigError) as caught:
        discretise(block(threshold=[-1.0], v_min=1.0, groups=groups))
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: retention(1.0, 0.0, "exp"), "dt: a step has a length (value 0.0"),
        (lambda: retention(1.0, 1.0, "linear"), "rule: no such decay rule (value linear"),  # type: ignore[arg-type]
        (lambda: retention([1.0, -1.0, np.nan], 1.0, "exp"), "tau: 2 of 3 values are not usable (value -1.0"),
        (lambda: retention(0.5, 1.0, "euler"), "limit >= dt (1) with rule euler); use a smaller dt"),
        (lambda: refractory_steps(-1.0, 1.0), "tau_ref: 1 of 1 values are not usable"),
        (lambda: refractory_steps(1.0, np.inf), "dt: a step has a length"),
        (lambda: current_decay(np.nan), "alpha: 1 of 1 values"),
        (lambda: membrane_decay([0.5, 2.0]), "beta: 1 of 2 values"),
    ],
)
def test_errors_of_decays(call: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        call()
    assert words in str(caught.value)
