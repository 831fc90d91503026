"""Training with the device in the loop: loss and slope, weights on the chip, the shipped results, the commands."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "examples" / "data"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


yinyang, example, effects = (_load(name) for name in ("yinyang", "yinyang_in_the_loop", "yinyang_effects"))


@pytest.fixture(scope="module")
def weights() -> Any:
    random = np.random.default_rng(4)
    drawn = random.normal(1.5, 1.2, (5, 120)), random.normal(0.3, 0.5, (120, 3))
    return tuple(np.clip(w, -largest, largest) for w, largest in zip(drawn, example.LARGEST, strict=True))


@pytest.fixture(scope="module")
def batch() -> Any:
    xy, labels = yinyang.points(30, 5)
    return yinyang.spike_times(xy, example.TAU_SYN), labels


# --- loss -------------------------------------------------------------------------------------------------------------


def test_the_slope_of_the_loss_is_that_of_its_value() -> None:
    random = np.random.default_rng(0)
    times, labels = random.uniform(5e-6, 9e-6, (20, 3)), random.integers(0, 3, 20)
    step = 1e-12
    slope = example.loss(times, labels)[1]
    late = example.EARLY * np.exp(times / example.TAU_SYN) / example.TAU_SYN * np.eye(3)[labels] / 20
    for sample, output in np.ndindex(times.shape):
        moved = [times.copy(), times.copy()]
        moved[0][sample, output] -= step
        moved[1][sample, output] += step
        low, high = (example.loss(each, labels)[0] for each in moved)
        assert slope[sample, output] - late[sample, output] == pytest.approx((high - low) / (2 * step), rel=1e-4, abs=1)


def test_a_silent_right_output_has_no_slope_and_a_silent_wrong_one_counts_as_late() -> None:
    times = np.array([[np.inf, 8e-6, 7e-6], [6e-6, np.inf, 7e-6]])
    value, slope = example.loss(times, np.array([0, 0]))
    assert not slope[0].any()
    assert slope[1, 0] > 0
    assert slope[1, 2] < 0
    assert np.isfinite(value)


def test_the_first_spike_of_an_output_counts_and_none_is_never() -> None:
    made = example.BatchResult(
        t=np.array([1e-6, 2e-6, 3e-6, 4e-6]),
        neuron=np.array([7, 121, 121, 122]),
        i=np.zeros(4),
        splits=np.array([0, 3, 4]),
    )
    assert np.array_equal(example.first(made), [[np.inf, 2e-6, np.inf], [np.inf, np.inf, 4e-6]])


# --- the loop ---------------------------------------------------------------------------------------------------------


def test_the_chip_has_the_weights_in_6_bits_where_the_ones_before_were(weights: Any, batch: Any) -> None:
    loop = example.Loop()
    loop.load(*weights)
    before = loop.mapping
    loop.load(weights[0] + 0.1, weights[1])
    for name, w in (("fc1", weights[0] + 0.1), ("fc2", weights[1])):
        wanted = np.clip(w, *((-1, 1) * np.array(example.LARGEST[name == "fc2"])))
        error = np.abs(loop.mapping.realised[name, "weight"].T - wanted)
        assert error.max() <= 0.5 / example.SCALE + 1e-12
    assert np.array_equal(before.config.routing.driver_mask, loop.mapping.config.routing.driver_mask)


def test_the_gradient_is_that_of_the_loss_on_the_chip(weights: Any, batch: Any) -> None:
    """Along itself, on the core without rounding: the device has steps of weights and of 1 ns."""
    times, _ = batch
    loop = example.Loop()
    loop.load(*weights)
    spikes = loop.forward(times)
    by_time = np.where(np.isfinite(example.first(spikes)), 1 / example.TAU_SYN, 0.0)
    found = loop.gradient(times, spikes, by_time)
    realised = [loop.mapping.realised[name, "weight"].T for name in ("fc1", "fc2")]
    neurons = example.Neurons(size=123, tau_mem=12e-6, tau_syn=6e-6, t_ref=example.REFRACTORY_S)
    length = np.sqrt(sum((g * g).sum() for g in found))
    channels = np.tile(np.arange(5), (len(times), 1))
    sums, sizes = [], []
    for step in (-1e-7, 1e-7):
        moved = [w + step * g / length for w, g in zip(realised, found, strict=True)]
        core = effects.Network(neurons, example.Synapses.chain(*moved))
        out = example.first(core.run_batch(example.DURATION_NS * 1e-9, times, channels))
        sums.append(np.where(np.isfinite(out), out, 0.0).sum() / example.TAU_SYN)
        sizes.append(np.isfinite(out).sum())
    assert sizes[0] == sizes[1] == np.isfinite(example.first(spikes)).sum()
    # spikes come in steps of 1 ns, so the currents that the host works out are a little off
    assert length == pytest.approx((sums[1] - sums[0]) / 2e-7, rel=1e-2)


def test_weights_stay_within_what_rows_hold_and_a_missing_output_is_helped(weights: Any) -> None:
    adam = example.Adam([w.copy() for w in weights])
    before = adam.weights[1].copy()
    adam.step((np.full((5, 120), -1.0), np.zeros((120, 3))), 100.0, np.array([0.0, 1.0, 0.0]))
    assert (adam.weights[0] == example.LARGEST[0]).all()
    assert np.array_equal(adam.weights[1][:, [0, 2]], before[:, [0, 2]])
    assert (adam.weights[1][:, 1] >= before[:, 1]).all()
    assert adam.weights[1].max() <= example.LARGEST[1]


# --- what is shipped --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "least"), [("ideal", 0.94), ("mock", 0.92)])
def test_the_shipped_runs_are_as_good_as_they_should_be(name: str, least: float) -> None:
    made = json.loads((DATA / f"yinyang_{name}.json").read_text())
    assert [run["seed"] for run in made["runs"]] == [0, 1, 2]
    assert made["preset"] == name
    assert made["calibrate"] is (name == "mock")
    assert made["mean_test_accuracy"] == pytest.approx(np.mean([run["test_accuracy"] for run in made["runs"]]))
    assert made["mean_test_accuracy"] >= least


def test_the_shipped_weights_have_the_accuracy_that_is_said_of_them() -> None:
    times, labels = effects.test_set(example.TEST)
    made = json.loads((DATA / "yinyang_ideal.json").read_text())
    for (_, w), run in zip(effects.trained("ideal"), made["runs"], strict=True):
        loop = example.Loop()
        loop.load(*w)
        assert example.accuracy(loop, times, labels) == run["test_accuracy"]


def test_weights_trained_on_a_calibrated_chip_run_on_it() -> None:
    """Its noise is another than at the end of training: accuracies of 3,000 points differ by less than a point."""
    times, labels = effects.test_set(example.TEST)
    made = json.loads((DATA / "yinyang_mock.json").read_text())
    seed, w = effects.trained("mock")[0]
    loop = example.Loop("mock", seed, example.calibrated(seed))
    loop.load(*w)
    assert example.accuracy(loop, times, labels) == pytest.approx(made["runs"][0]["test_accuracy"], abs=0.01)


def test_the_page_says_what_the_files_say() -> None:
    page = (ROOT / "docs" / "in_the_loop.md").read_text(encoding="utf-8")
    for name in ("ideal", "mock"):
        made = json.loads((DATA / f"yinyang_{name}.json").read_text())
        runs = made["runs"]
        cells = [*(f"{100 * run['test_accuracy']:.1f}" for run in runs), f"{100 * made['mean_test_accuracy']:.1f}"]
        assert f"| {' | '.join(cells)} | {max(run['seconds'] for run in runs):.0f} s |" in page


# --- commands ---------------------------------------------------------------------------------------------------------


def _main(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["example", *words])
    module.main()


def test_a_short_training_learns_and_its_plot_is_made_from_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(example, "TRAIN", 1_000)
    monkeypatch.setattr(example, "TEST", 300)
    out, png = tmp_path / "made.json", tmp_path / "made.png"
    _main(example, monkeypatch, "--epochs", "3", "--seeds", "0", "1", "--out", str(out))
    made = json.loads(out.read_text())
    for run in made["runs"]:
        assert [len(run["epochs"]), len(run["weights"])] == [3, 2]
        assert run["epochs"][2]["loss"] < run["epochs"][0]["loss"]
        assert run["test_accuracy"] > 0.6
    assert f"mean of 2: {made['mean_test_accuracy']:.4f}" in capsys.readouterr().out
    _main(example, monkeypatch, "--plot", str(out), str(DATA / "yinyang_mock.json"), "--figure", str(png))
    assert png.read_bytes().startswith(b"\x89PNG")


def test_the_page_of_effects_shows_what_comes_out() -> None:
    """Its rows without noise or calibration are computed again."""
    page = effects.PAGE.read_text(encoding="utf-8")
    rows = {cells[1].strip(): cells[2].strip() for line in page.splitlines() if len(cells := line.split("|")) == 7}
    times, labels = effects.test_set(example.TEST)
    chosen = [effect for effect in effects.EFFECTS if effect.opened in ({}, {"stamps": True}, {"clipping": True})]
    for effect in chosen:
        if not effect.calibrated:
            percent = 100 * np.array(list(effects.accuracies(effect, times, labels)))
            assert rows[effect.name] == f"{percent.mean():.1f} +- {percent.std():.1f}"
    assert set(rows) >= {effect.name for effect in effects.EFFECTS}
