"""Activation profiles: the peer's formula, the measured chip, and a plain step-by-step neuron."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay_loihi_tables import replay

from hal.errors import ConfigError
from hal_loihi.activation import bias_period, bias_rate, bias_spikes, lif_rate, rectified_linear_rate

GOLDEN = Path(__file__).parents[1] / "golden" / "loihi"


def test_formulas_equal_their_vectors_and_integers_predict_the_measured_chip() -> None:
    found = replay(GOLDEN / "activation_profile.npz", None)
    assert len(found) == 7
    assert [comparison for comparison in found if not comparison.ok] == []


def test_plateaus() -> None:
    assert rectified_linear_rate([-1, 0, 1000, 999, 500, 300, 1e9]).tolist() == pytest.approx(
        [0, 0, 1000, 500, 500, 250, 1000]
    )
    assert lif_rate([0.0, 1.0, 1e12]).tolist() == pytest.approx([0, 0, 1000 / 3])
    assert lif_rate(1e12, tau_ref=0.0) == pytest.approx(1000)
    assert rectified_linear_rate(1000, amplitude=0.5) == pytest.approx(500)
    assert lif_rate(1e12, amplitude=0.5) == pytest.approx(500 / 3)


def test_periods_measured_on_the_peer() -> None:
    assert bias_period(6400, 1920, [1, 2, 5]).tolist() == [4, 5, 8]
    assert bias_period([6400, 6400, 8_388_544], [0, -5, 5], v_max=511).tolist() == [0, 0, 0]
    assert bias_period(448, 500, v_max=511) == 1
    assert bias_period(512, 500, v_max=511) == 0
    assert bias_rate([6400, 6400], [1920, 0]).tolist() == [250, 0]
    assert bias_rate(6400, 1920, dt=1e-4) == pytest.approx(2500)


@given(st.integers(1, 3000), st.integers(-5, 900), st.integers(1, 63), st.integers(0, 400))
def test_spikes_are_those_of_the_step_rule(threshold: int, bias: int, rest: int, steps: int) -> None:
    v = waiting = spikes = 0
    for _ in range(steps):
        v = 0 if waiting else v + bias
        if v > threshold:
            v, waiting, spikes = 0, rest, spikes + 1
        waiting = max(waiting - 1, 0)
    assert bias_spikes(threshold, bias, rest, steps=steps) == spikes


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rectified_linear_rate(1, dt=0), "dt: not usable (value 0, limit a finite number > 0)"),
        (lambda: rectified_linear_rate(1, dt=-1, amplitude=np.nan), "amplitude: not usable (value nan"),
        (lambda: lif_rate(2, tau_rc=0.0), "tau_rc: not usable"),
        (lambda: lif_rate(2, tau_ref=-1.0), "tau_ref: not usable (value -1.0, limit a finite number >= 0)"),
        (lambda: lif_rate(2, tau_rc=1e-4), "holds no leak, or no memory"),
        (lambda: lif_rate(2, tau_rc=10.0), "holds no leak, or no memory"),
        (lambda: bias_period(0, 1), "threshold: out of range (value 0, limit >= 1)"),
        (lambda: bias_period(64, 1, 0), "refract_delay: out of range"),
        (lambda: bias_period(64, 1.5), "bias: not integers"),
        (lambda: bias_spikes(64, 1, steps=-1), "steps: not usable"),
        (lambda: bias_rate(64, 1, dt=0.0), "dt: not usable"),
    ],
)
def test_errors(call: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        call()
    assert words in str(caught.value)
