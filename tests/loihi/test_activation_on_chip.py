"""Rates under a constant bias, on the emulated chip itself: measured counts of the peer, and the formulas' plateaus."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hal_loihi.activation import bias_period, lif_rate, rectified_linear_rate

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "loihi"


@pytest.fixture(scope="module")
def script() -> Any:
    """What draws the picture in the documents."""
    spec = importlib.util.spec_from_file_location("loihi_activation", ROOT / "docs" / "plots" / "loihi_activation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_counts_equal_those_measured_on_the_peer(script: Any) -> None:
    with np.load(GOLDEN / "activation_profile.npz") as profile:
        bias, vth, counts = (profile[f"chip_{name}"] for name in ("bias_int", "vth_int", "spikes_2000_steps"))
    spikes = script.spike_steps(bias, vth, decay_v=0, refract=1, steps=2000)
    assert [t.size for t in spikes] == counts.tolist()


def test_the_rectified_line_is_that_of_its_integers(script: Any) -> None:
    drive = np.linspace(-100, 1250, 271)
    rates = script.rectified_linear(drive)
    mantissa, exponent = script.bias_registers(drive * script.DT * script.THRESHOLD)
    period = bias_period(script.THRESHOLD, np.left_shift(mantissa, exponent))
    assert rates == pytest.approx(np.where(period > 0, 1000 / np.maximum(period, 1), 0))
    assert sorted(set(rates.round(1)))[-3:] == [333.3, 500.0, 1000.0]


def test_chip_and_formula_differ_by_a_step_at_most(script: Any) -> None:
    """At boundaries the strict threshold, and the 4096 of the chip where formulas have 4095, cost or win one step."""
    for chip, formula, drive in (
        (script.rectified_linear, rectified_linear_rate, np.linspace(20, 1250, 247)),
        (script.lif, lif_rate, np.linspace(1.1, 25, 240)),
    ):
        steps, wanted = (1000 / rate(drive) for rate in (chip, formula))
        assert np.abs(steps - wanted).max() <= 1 + 1e-9
        assert np.mean(np.abs(steps - wanted) < 1e-9) > 0.9


def test_the_leaky_neuron_ends_at_its_refractory_time(script: Any) -> None:
    assert script.lif(np.array([0.5, 0.999, 25.0])).tolist() == pytest.approx([0, 0, 1000 / 3])


def test_the_picture_is_in_the_documents() -> None:
    page = (ROOT / "docs" / "chips" / "loihi.md").read_text(encoding="utf-8")
    assert "(loihi_activation.svg)" in page
    assert "<svg" in (ROOT / "docs" / "chips" / "loihi_activation.svg").read_text(encoding="utf-8")
