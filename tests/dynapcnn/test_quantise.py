"""Quantisation: the peer's rule on its own vectors, kept integers, and the promises of the default rule."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hal_dynapcnn.quantise import NoteCode, Quantised, keep_integers, quantise, quantise_as_sinabs

GOLDEN = Path(__file__).parents[1] / "golden" / "dynapcnn"


def codes(result: Quantised) -> set[NoteCode]:
    return {note.code for note in result.notes}


def test_sinabs_rule_equals_its_vectors() -> None:
    golden: Any = np.load(GOLDEN / "p13_quant_fuzz.npz")
    numbers = golden["thr_low_qthr_qlow"]
    assert len(numbers) == 40
    for i, (high, low, stored_high, stored_low) in enumerate(numbers):
        bias = golden.get(f"b{i}", None)
        result = quantise_as_sinabs(golden[f"w{i}"], bias, high, low)
        assert np.array_equal(result.weights, golden[f"qw{i}"])
        assert (result.threshold_high, result.threshold_low) == (stored_high, stored_low)
        assert np.array_equal(result.bias, np.zeros_like(result.bias) if bias is None else golden[f"qb{i}"])


@pytest.mark.parametrize("case", ["p10_config_nmnist", "p11_config_does_not_fit"])
def test_sinabs_rule_on_whole_networks(case: str) -> None:
    golden: Any = np.load(GOLDEN / f"{case}.npz")
    meta = json.loads(str(golden["meta"]))
    for n, layer in meta["quantised"].items():
        weights = golden[f"float_weights_{n}"] * np.float32(layer["rescale"])
        result = quantise_as_sinabs(weights, None, meta["spike_threshold"], meta["min_v_mem"])
        assert np.array_equal(result.weights.ravel(), golden[f"int_weights_{n}"].ravel())
        assert (result.threshold_high, result.threshold_low) == (layer["threshold_high"], layer["threshold_low"])


def test_sinabs_rule_keeps_its_traps_and_reports_them() -> None:
    lost = quantise_as_sinabs([[0.1, -0.2]], None, 1.0, None)
    assert (lost.scale, lost.threshold_high, lost.threshold_low) == (1.0, 1, -32768)
    assert codes(lost) == {NoteCode.WEIGHTS_ALL_ZERO}
    again = quantise_as_sinabs([[126.0]], None, 300.0, -300.0)
    assert (again.weights.item(), again.threshold_high) == (127, 302)
    small = quantise_as_sinabs([[0.003]], None, 1.0, -1.0)
    assert (small.weights.item(), small.threshold_high, small.threshold_low) == (98, 32767, -32767)
    assert NoteCode.THRESHOLD_LOW_ZERO in codes(quantise_as_sinabs([[0.5]], None, 1.0, 0.0))


def test_sinabs_rule_with_initial_state() -> None:
    result = quantise_as_sinabs([[0.5]], [0.1], 1.0, -1.0, [[[400.0]]])
    assert result.state is not None
    assert result.state.item() == 32767
    assert result.scale == pytest.approx(32767 / 400)
    nothing = quantise_as_sinabs([[0.0]], None, 0.0, -1.0)
    assert nothing.threshold_low == -32768


def test_integers_stay_untouched() -> None:
    weights = np.array([[126, -128, 0, 1]])
    for rule in (keep_integers, quantise):
        result = rule(weights, [-5], 300.0, -300.0, [[[7]]])
        assert result is not None
        assert result.scale == 1.0
        assert result.weights.tolist() == weights.tolist()
        assert result.bias.tolist() == [-5]
        assert (result.threshold_high, result.threshold_low) == (300, -300)
        assert result.state is not None
        assert result.state.item() == 7
        assert result.notes == ()
        assert result.weight_rms_error == result.bias_max_error == result.threshold_error == 0


@pytest.mark.parametrize(
    ("weights", "bias", "high", "low"),
    [
        ([[0.5]], None, 1.0, -1.0),
        ([[128]], None, 300.0, -1.0),
        ([[1]], [0.5], 300.0, -1.0),
        ([[1]], [40_000], 300.0, -1.0),
        ([[1]], None, 32768.0, -1.0),
        ([[1]], None, 300.0, -32769.0),
        ([[1]], None, 2.5, -1.0),
    ],
)
def test_keep_integers_declines(weights: Any, bias: Any, high: float, low: float) -> None:
    assert keep_integers(weights, bias, high, low) is None


def test_no_lower_bound_does_not_cost_the_weights() -> None:
    for low in (None, -math.inf):
        result = quantise([[0.1, -0.2]], None, 1.0, low)
        assert np.abs(result.weights.astype(int)).max() >= 64
        assert result.threshold_low == -32768
        assert result.notes == ()


def test_lower_threshold_zero_becomes_minus_one() -> None:
    for weights in ([[10]], [[0.37]]):
        result = quantise(weights, None, 20.0, 0.0)
        assert result.threshold_low == -1
        (note,) = (note for note in result.notes if note.code is NoteCode.THRESHOLD_LOW_ZERO)
        assert (note.wanted, note.realised) == (0.0, -1 / result.scale)


def test_far_lower_threshold_is_clipped_rather_than_the_weights() -> None:
    result = quantise([[0.5]], None, 1.0, -1e6)
    assert result.weights.item() >= 16
    assert result.threshold_low == -32768
    assert codes(result) == {NoteCode.SCALE_LIMITED, NoteCode.THRESHOLD_LOW_CLIPPED}
    near = quantise([[0.5]], None, 1.0, -200.0)
    assert near.realised_threshold_low == pytest.approx(-200.0, abs=0.5 / near.scale)
    assert NoteCode.THRESHOLD_LOW_CLIPPED not in codes(near)


def test_a_dead_layer_is_reported() -> None:
    result = quantise(np.full((2, 3), 1e-6), None, 1.0, -1.0)
    assert not result.weights.any()
    notes = {note.code: note for note in result.notes}
    assert notes[NoteCode.WEIGHTS_ALL_ZERO].count == 6
    assert notes[NoteCode.SCALE_LIMITED].parameter == "threshold_high"


def test_a_tiny_threshold_stays_positive() -> None:
    result = quantise([[1.0, 0.51]], None, 0.001, -1.0)
    assert result.threshold_high == 1
    assert NoteCode.THRESHOLD_HIGH_RAISED in codes(result)


def test_zero_bias_leaves_the_scale_alone_and_a_large_one_limits_it() -> None:
    weights = np.array([[0.1, -0.37]])
    assert quantise(weights, [0.0], 1.0, -1.0).scale == quantise(weights, None, 1.0, -1.0).scale
    limited = quantise(weights, [-1000.0], 1.0, -1.0)
    assert limited.scale <= 32.768
    assert "bias" in {note.parameter for note in limited.notes if note.code is NoteCode.SCALE_LIMITED}
    assert NoteCode.BIAS_ALL_ZERO in codes(quantise([[1.0, 0.3]], [1e-4], 1.0, -1.0))


def test_common_unit_is_found() -> None:
    generator = np.random.default_rng(3)
    for unit, high in ((1 / 32, 1.0), (0.37, 3.7), (0.013, 0.065)):
        result = quantise(generator.integers(-20, 21, (4, 2, 3, 3)) * unit, None, high, -high)
        assert result.weight_max_error < 1e-9
        assert abs(result.threshold_error) < 1e-9


@pytest.mark.parametrize(
    ("weights", "bias", "high", "low", "text"),
    [
        ([[math.nan]], None, 1.0, -1.0, "weights"),
        ([[1.0]], [math.inf], 1.0, -1.0, "bias"),
        ([[1.0]], None, math.inf, -1.0, "threshold_high"),
        ([[1.0]], [1.0, 2.0], 1.0, -1.0, "shape"),
        (np.zeros((0, 1)), None, 1.0, -1.0, "empty"),
        ([[1.0]], None, 1.0, 1.0, "below"),
    ],
)
def test_bad_parameters_are_refused(weights: Any, bias: Any, high: float, low: float, text: str) -> None:
    for rule in (quantise, keep_integers, quantise_as_sinabs):
        with pytest.raises(ValueError, match=text):
            rule(weights, bias, high, low)


arrays = st.integers(0, 2**32 - 1).flatmap(
    lambda seed: st.tuples(st.just(seed), st.sampled_from([1e-3, 0.1, 1.0, 30.0]), st.sampled_from(["normal", "grid"]))
)


def draw_weights(seed: int, size: float, kind: str) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    values = (
        generator.normal(0, size, (3, 2, 2, 2)) if kind == "normal" else generator.integers(-9, 10, (3, 2, 2, 2)) * size
    )
    return np.asarray(values, np.float64)


@settings(max_examples=200, deadline=None)
@given(
    arrays, st.floats(1e-3, 100), st.one_of(st.none(), st.floats(-200, 0)),
    st.one_of(st.none(), st.floats(-10, 10)), st.one_of(st.none(), st.floats(-100, 100)),
)  # fmt: skip
def test_default_rule_keeps_its_promises(
    drawn: tuple[int, float, str], high: float, low: float | None, bias: float | None, state: float | None
) -> None:
    weights = draw_weights(*drawn)
    assume(weights.any())
    offsets = None if bias is None else np.full(3, bias)
    start = None if state is None else np.full((3, 1, 1), state)
    result = quantise(weights, offsets, high, low, start)
    assert -32768 <= result.threshold_low < result.threshold_high <= 32767
    assert result.threshold_low != 0
    assert result.threshold_high >= 1
    assert result.weights.any() or NoteCode.WEIGHTS_ALL_ZERO in codes(result)
    step = 0.5 / result.scale * (1 + 1e-9)
    assert result.weight_max_error <= step
    assert np.abs(result.realised_weights - weights).max() == result.weight_max_error
    assert result.bias_max_error <= step
    if start is not None:
        assert result.realised_state is not None
        assert np.abs(result.realised_state - start).max() <= step
    if NoteCode.THRESHOLD_HIGH_RAISED not in codes(result):
        assert abs(result.threshold_error) <= step
    if low is not None and not codes(result) & {NoteCode.THRESHOLD_LOW_ZERO, NoteCode.THRESHOLD_LOW_CLIPPED}:
        assert abs(result.realised_threshold_low - low) <= step
    if NoteCode.SCALE_LIMITED not in codes(result) and result.scale != 1.0:
        assert np.abs(result.weights.astype(int)).max() >= 63
    low_again = float(result.threshold_low)
    again = quantise(result.weights, result.bias, result.threshold_high, low_again, result.state)
    assert again.scale == 1.0
    assert np.array_equal(again.weights, result.weights)
    assert (again.threshold_high, again.threshold_low) == (result.threshold_high, result.threshold_low)
