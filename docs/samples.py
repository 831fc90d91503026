"""Small runs on every family, for the figures of the documentation and for looking at reports.

python docs/samples.py DIR      # DIR/speck2f, DIR/loihi, ...: one recording each
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import hal
from hal import nodes

ROOT = Path(__file__).parents[1]
MS = 1_000_000
SEED = 7


def digit(device: str, directory: Path) -> hal.Recording:
    """A moving digit through the network of the NIR paper, trained on N-MNIST."""
    model = hal.read_model(ROOT / "examples/models/nmnist_cnn.nir", semantics="sinabs")
    record = [node.name for node in model.populations() if node.spiking]
    mapping = hal.mapper(device).map(model, record=[*record, hal.Probe("12", "v")])
    events = hal.read_stimulus(ROOT / "examples/data/digit.npy", mapping.inputs[0])
    with hal.open(device, seed=SEED) as chip:
        chip.load(mapping)
        return chip.run({mapping.inputs[0].name: events}, 300 * MS, to=directory)


def balanced(device: str, directory: Path, **map_options: Any) -> hal.Recording:
    """Noise into excitatory neurons, which excite each other and inhibitory ones, which hold them back."""
    rng = np.random.default_rng(SEED)
    model = _balanced_model(rng, neurons=(48, 16), inputs=24)
    record = ["excitatory", "inhibitory"]
    mapping = hal.mapper(device).map(model, map_options or None, record=record)
    duration = 400 * MS
    count = 24 * 60 * duration // 1_000_000_000
    t = np.sort(rng.integers(0, duration // MS, count)) * MS
    events = hal.events(t, rng.integers(0, 24, count))
    with hal.open(device, seed=SEED) as chip:
        chip.load(mapping)
        return chip.run({"input": events}, duration, to=directory)


def _balanced_model(rng: np.random.Generator, neurons: tuple[int, int], inputs: int) -> hal.Model:
    e, i = neurons

    def weights(name: str, targets: int, sources: int, fan_in: int, value: float) -> nodes.Linear:
        chosen = np.zeros((targets, sources), np.float32)
        for row in chosen:
            row[rng.choice(sources, min(fan_in, sources), replace=False)] = value
        return nodes.Linear(name=name, input_shape=(sources,), output_shape=(targets,), weight=chosen)

    def cells(name: str, size: int) -> nodes.CubaLIF:
        values = {"tau_mem": 0.02, "tau_syn": 0.01, "v_threshold": 1.0, "r": 1.0, "w_in": 1.0, "v_leak": 0.0}
        full = {key: np.full(size, values.get(key, 0.0), np.float32) for key in nodes.CubaLIF.parameters}
        return nodes.CubaLIF(name=name, input_shape=(size,), output_shape=(size,), **full)

    parts = [
        nodes.Input(name="input", input_shape=(inputs,), output_shape=(inputs,)),
        weights("in_e", e, inputs, 8, 6.0),
        weights("e_i", i, e, 12, 2.0),
        weights("e_e", e, e, 4, 0.5),
        weights("i_e", e, i, 8, -1.5),
        cells("excitatory", e),
        cells("inhibitory", i),
        nodes.Output(name="output", input_shape=(e,), output_shape=(e,)),
    ]
    edges = [
        *(("input", "in_e"), ("in_e", "excitatory"), ("excitatory", "output")),
        *(("excitatory", "e_i"), ("e_i", "inhibitory"), ("inhibitory", "i_e"), ("i_e", "excitatory")),
        *(("excitatory", "e_e"), ("e_e", "excitatory")),
    ]
    semantics = hal.Semantics(profile="nir", dt_ns=MS, tau_unit="s")
    return hal.Model.of({part.name: part for part in parts}, edges, semantics)


SAMPLES: dict[str, Callable[[str, Path], hal.Recording]] = {
    "speck2f": digit,
    "loihi": balanced,
    "dynapse2": balanced,
    "brainscales2": balanced,
    "ideal": balanced,
}


def main() -> None:
    """Write them all."""
    folder = Path(sys.argv[1])
    for device, make in SAMPLES.items():
        print(device)
        print(make(device, folder / device))


if __name__ == "__main__":
    main()
