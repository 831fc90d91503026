"""The two shipped networks with their data: taken by the chips they are said to be, and right more than by chance."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import hal
from hal.cli import run
from hal.samples import samples
from hal.semantics import read_semantics

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CUBA = ["loihi", "dynapse2", "brainscales2"]


def model(name: str) -> hal.Model:
    models = EXAMPLES / "models"
    return hal.read_model(models / f"{name}.nir", read_semantics(models / f"{name}.semantics.json"))


def xylo() -> list[str]:
    """The plugin in examples/third_party, where it is installed."""
    return [listing.name for listing in hal.devices() if listing.family == "xylo"]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


def test_the_convolutional_one_is_taken_as_it_is_by_speck_and_loihi() -> None:
    found = hal.compare(model("digits_cnn"), EXAMPLES / "data" / "digits_cnn.npz", devices=["speck2f", "loihi"])
    assert (found.samples, found.events) == (20, 46_598)
    for result in (found.reference, *found.devices):
        assert result.verdict == "runs"
        assert result.accuracy is not None
        assert result.accuracy >= 0.9
        assert [layer.node for layer in result.layers] == ["if1", "if2", "if3"]
    assert (found["speck2f"].cores, found["loihi"].cores) == (3, 8)
    agreement = found["loihi"].agreement("realised")
    assert agreement is not None
    assert agreement > 0.9


def test_the_small_cubalif_one_is_taken_by_four_families() -> None:
    devices = [*CUBA, *xylo()]
    words = ["reset"] if xylo() else []
    found = hal.compare(
        model("digits_cuba"), EXAMPLES / "data" / "digits_cuba.npz", devices=devices, approximate=words
    )  # fmt: skip
    assert (found.samples, found.classes) == (100, 8)
    for result in (found.reference, *found.devices):
        assert result.verdict == "runs", result.reasons
        assert result.accuracy is not None
        # chance is 1/8
        assert result.accuracy >= 0.75
        assert result.same_class is None or result.same_class >= 0.8
    assert {result.device for result in found.devices if result.verdict == "runs"} == set(devices)


def test_three_of_them_need_no_approximation() -> None:
    for name in CUBA:
        assert hal.mapper(name).check(model("digits_cuba")).fits


def test_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    at = EXAMPLES / "models" / "digits_cuba"
    data, semantics = EXAMPLES / "data" / "digits_cuba.npz", f"{at}.semantics.json"
    assert run(["compare", f"{at}.nir", str(data), "--semantics", semantics, "-d", "loihi,speck2f"]) == 0
    out = capsys.readouterr().out
    assert "100 samples of 100 ms" in out
    assert "CubaLIF neurons are not on this chip" in " ".join(out.split())


def test_the_data_is_what_the_script_writes(tmp_path: Path) -> None:
    train = script("train_patterns")
    pixels, labels = train.digits()
    held_out = slice(train.TRAINED, train.TRAINED + 100)
    train.write_data(pixels[held_out], labels[held_out], tmp_path / "again.npz", np.random.default_rng(1))
    with np.load(tmp_path / "again.npz") as again, np.load(EXAMPLES / "data" / "digits_cuba.npz") as shipped:
        assert set(again) == set(shipped)
        for name in shipped:
            assert np.array_equal(again[name], shipped[name]), name


def test_the_network_of_the_script_is_that_of_ideal() -> None:
    train: Any = script("train_patterns")
    made = model("digits_cuba")
    weights = [np.asarray(made.nodes[name].weight, np.float64) for name in ("to_hidden", "to_out")]
    found = samples(EXAMPLES / "data" / "digits_cuba.npz", made)
    raster = np.zeros((100, train.STEPS, 16))
    for b in range(100):
        events = found.stimuli["input"][b]
        raster[b, events["t"] // train.STEP_NS, events["index"]] = 1
    hidden, _ = train.forward(raster, weights[0])
    out, _ = train.forward(hidden, weights[1])
    reference = hal.compare(made, found, devices=[]).reference
    spikes = {layer.node: layer.spikes for layer in reference.layers}
    # float32 there, double precision here
    assert spikes == {"hidden": pytest.approx(hidden.sum(), rel=1e-3), "out": pytest.approx(out.sum(), rel=1e-3)}
    labels = np.asarray(found.labels)
    assert (out.sum(axis=1).argmax(axis=1) == labels).mean() == pytest.approx(reference.accuracy, abs=0.03)


def test_training_learns() -> None:
    train = script("train_patterns")
    random = np.random.default_rng(3)
    # two patterns, told apart after a few passes
    pixels = np.where((np.arange(16) < 8) == (np.arange(200) % 2 == 0)[:, None], 1.0, 0.0)
    labels = np.arange(200) % 2
    weights = train.train(pixels, labels, 6, random)
    hidden, _ = train.forward(train.rasters(pixels, random), weights[0])
    counts = train.forward(hidden, weights[1])[0].sum(axis=1)
    assert (counts.argmax(axis=1) == labels).mean() > 0.95
