"""How many of 200 generated digits each network gets right, on the reference and on the chip.

    python examples/count_digits.py [--model examples/models/nmnist_cnn.nir] [--rules] [--n 200] [--json]

Digits 1500.. of scikit-learn through the event camera, generator seed 2026. The class is the argmax of the spikes that
leave the output; ties and silence count as wrong. `--rules` changes the reference one rule at a time towards the chip.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import attrs
import event_camera
import numpy as np
from numpy.typing import NDArray

import hal

HERE = Path(__file__).parent
DT_NS = 1_000_000
DURATION_NS = event_camera.Camera().duration_us * 1000

Samples = list[Any]
"""Event arrays."""


def right(model: hal.Model, device: str, options: dict[str, Any], samples: Samples, labels: NDArray[Any]) -> int:
    """Number of samples whose most active output is the label."""
    mapping = hal.mapper(device).map(model, options)
    step = mapping.step_ns or 1
    last = max(int(sample["t"][-1]) for sample in samples)
    duration = max(DURATION_NS, (last // step + 1) * step)
    with hal.open(device) as chip:
        chip.load(mapping)
        batch = chip.run_batch({model.inputs[0]: samples}, duration, workers=2)
    output = model.outputs[0]
    counts = np.stack([batch[b].counts(output).ravel() for b in range(len(batch))])
    best = counts == counts.max(axis=1, keepdims=True)
    decided = (best.sum(axis=1) == 1) & (counts.max(axis=1) > 0)
    return int(np.sum(decided & (counts.argmax(axis=1) == labels)))


def devices(model: hal.Model, samples: Samples, labels: NDArray[Any]) -> Iterator[tuple[str, int]]:
    """The figures of the README."""
    yield "ideal, steps of 1 ms", right(model, "ideal", {}, samples, labels)
    yield "speck2f", right(model, "speck2f", {}, samples, labels)
    yield "speck2f, v_min_factor=1.5", right(model, "speck2f", {"v_min_factor": 1.5}, samples, labels)


def rules(model: hal.Model, samples: Samples, labels: NDArray[Any]) -> Iterator[tuple[str, int]]:
    """From the reference towards the chip, one rule at a time."""
    realised = hal.mapper("speck2f").map(model).realised_model()
    assert realised is not None
    one = attrs.evolve(model.semantics, spikes_per_step="one", spike_reset="subtract")
    free = attrs.evolve(model.semantics, v_min=None)
    # every event in a step of its own: nothing is summed before the threshold test
    singly = [hal.events(np.arange(len(sample)) * DT_NS, sample["index"]) for sample in samples]
    yield "ideal, 8-bit weights", right(realised, "ideal", {}, samples, labels)
    yield "ideal, one spike per step", right(model.with_semantics(one), "ideal", {}, samples, labels)
    yield "ideal, one event per step", right(model, "ideal", {}, singly, labels)
    yield "ideal, one event per step, no lower bound", right(model.with_semantics(free), "ideal", {}, singly, labels)
    yield "ideal, one event and one spike per step", right(model.with_semantics(one), "ideal", {}, singly, labels)
    yield "ideal, the same and 8-bit weights", right(realised.with_semantics(one), "ideal", {}, singly, labels)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Count recognised digits.")
    parser.add_argument("--model", type=Path, action="append", help="default: both shipped networks")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--rules", action="store_true", help="one rule at a time, too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    models = options.model or [HERE / "models" / "nmnist_cnn.nir", HERE / "models" / "digits_cnn.nir"]
    recordings, labels = zip(*event_camera.held_out(options.n), strict=True)
    rows = []
    for path in models:
        model = hal.read_model(path, hal.Semantics(profile="sinabs", dt_ns=DT_NS))
        port = hal.Port(model.inputs[0], model.nodes[model.inputs[0]].output_shape)
        samples = [hal.from_xytp(recording, port) for recording in recordings]
        for table in (devices, rules) if options.rules else (devices,):
            for way, correct in table(model, samples, np.array(labels)):
                rows.append({"model": path.name, "way": way, "right": correct, "of": options.n})
                if not options.json:
                    print(f"{path.name:16} {way:44} {correct} of {options.n}", flush=True)
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
