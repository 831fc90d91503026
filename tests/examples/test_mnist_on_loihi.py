"""The MNIST example: from a NIR file and pixels to classes, through mapper, host parts and device."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import nir
import numpy as np
import pytest

import hal

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mnist_on_loihi", ROOT / "examples" / "mnist_on_loihi.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def arrays() -> Any:
    return np.load(ROOT / "tests" / "golden" / "loihi" / "mnist_model.npz")


@pytest.fixture(scope="module")
def scales(arrays: Any) -> list[float]:
    found: list[float] = json.loads(str(arrays["meta"]))["scales"]
    return found


def test_a_file_and_200_images_give_what_the_peer_gives(
    example: Any, arrays: Any, scales: list[float], tmp_path: Path
) -> None:
    """The peer has 192 of these 200 right with hand-made block shapes on 14 cores."""
    graph, semantics = example.network(arrays, scales)
    nir.write(tmp_path / "mnist.nir", graph)
    model = hal.read_model(tmp_path / "mnist.nir", hal.Semantics(**semantics))
    mapping = hal.mapper("loihi").map(model, record=["layer0", "layer1", "layer2"])
    assert {fate.node for fate in mapping.fates if fate.fate == "host"} == {
        "to_current", "to_spikes", "dense1", "filter",
    }  # fmt: skip
    cores = {core for core in mapping.placement.rows["core"].tolist() if core >= 0}
    assert len(cores) <= 14
    classes = example.classes("loihi", mapping, arrays, scales[3], arrays["test_images"])
    assert (classes == arrays["test_labels"]).sum() >= 192
    # the read-out on the host, back to back: what a presentation leaves over costs something
    late = example.back_to_back("loihi", mapping, arrays["test_images"][:40], 50)
    assert (late == arrays["test_labels"][:40]).sum() >= 32


def test_the_network_without_spikes(example: Any, arrays: Any) -> None:
    right = (example.float_classes(arrays, arrays["test_images"]) == arrays["test_labels"]).sum()
    assert right == (arrays["float_logits"].argmax(axis=1) == arrays["test_labels"]).sum() == 194
