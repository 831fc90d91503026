"""Train the small CubaLIF network that Loihi, DYNAP-SE2, BrainScaleS-2 and Xylo take, and make its data.

    python examples/train_patterns.py --model examples/models/digits_cuba.nir --data examples/data/digits_cuba.npz

Needs numpy, nir and scikit-learn. Digits 0 to 7 (Xylo Audio 2 has eight outputs), 8 x 8 pixels summed to 4 x 4 (it
has 16 inputs). A full pixel fires every fourth step on average, for 80 ms. Two layers of neurons with a current and a
membrane, reset to 0; the class is the output with most spikes. Trained by backpropagation through time with a surrogate
gradient; the time constants are those that Xylo has exactly. Noise on the weights in training makes it bear 4-bit ones.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

STEP_NS = 1_000_000
STEPS = 100
"""Of a sample; the last 20 are silent, so that what is under way comes out."""
ACTIVE_STEPS = 80
RATE = 0.25
"""Chance of a spike of a full pixel in a step."""
CLASSES = 8
HIDDEN = 48
KEEP_SYN, KEEP_MEM = 1 - 2**-3, 1 - 2**-4
"""What current and membrane keep over a step: tau 7.5 and 15.5 ms."""
TRAINED = 1000
"""Digits before this one of scikit-learn are trained on, the others are not."""
WIDTH = 0.5
"""Of the surrogate gradient, in thresholds."""
WEIGHT_NOISE = 0.05
"""Standard deviation of a weight in training, relative to the layer's RMS."""
SHARPNESS = 0.4
"""Of the softmax: a spike more multiplies the odds of a class by e to this."""


def digits() -> tuple[Float, NDArray[np.int64]]:
    """(n, 16) mean grey values in 0..1 of the digits below CLASSES, brightest pixel 1, and their labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    chosen = data.target < CLASSES
    pixels = data.images[chosen].reshape(-1, 4, 2, 4, 2).sum(axis=(2, 4)).reshape(-1, 16)
    return pixels / pixels.max(axis=1, keepdims=True), data.target[chosen].astype(np.int64)


def rasters(pixels: Float, random: np.random.Generator) -> Float:
    """(B, STEPS, 16) of 0 and 1."""
    out = np.zeros((len(pixels), STEPS, pixels.shape[1]))
    out[:, :ACTIVE_STEPS] = random.random((len(pixels), ACTIVE_STEPS, pixels.shape[1])) < RATE * pixels[:, None]
    return out


def forward(x: Float, weight: Float) -> tuple[Float, Float]:
    """Spikes and membranes before reset, (B, T, n) each, of neurons that see the spikes x (B, T, m)."""
    current = np.zeros((len(x), len(weight)))
    membrane = np.zeros_like(current)
    drive = x @ weight.T
    spikes, seen = np.empty_like(drive), np.empty_like(drive)
    for k in range(x.shape[1]):
        current = KEEP_SYN * current + drive[:, k]
        membrane = KEEP_MEM * membrane + current
        seen[:, k] = membrane
        spikes[:, k] = membrane > 1
        membrane = membrane * (1 - spikes[:, k])
    return spikes, seen


def backward(x: Float, weight: Float, spikes: Float, seen: Float, error: Float) -> tuple[Float, Float]:
    """Gradients of the weights and of the input's spikes, from those of the spikes (B, T, n)."""
    slope = 1 / (1 + np.abs(seen - 1) / WIDTH) ** 2
    to_membrane = np.zeros_like(seen[:, 0])
    to_current = np.zeros_like(to_membrane)
    to_drive = np.empty_like(seen)
    for k in reversed(range(x.shape[1])):
        # the reset itself is not differentiated
        at = error[:, k] * slope[:, k] + to_membrane * (1 - spikes[:, k])
        to_current = KEEP_SYN * to_current + at
        to_drive[:, k] = to_current
        to_membrane = KEEP_MEM * at
    return np.einsum("btn,btm->nm", to_drive, x), to_drive @ weight


def train(pixels: Float, labels: NDArray[np.int64], epochs: int, random: np.random.Generator) -> list[Float]:
    """Weights of the two layers, by Adam."""
    weights = [random.normal(0, 0.12, (HIDDEN, 16)) + 0.04, random.normal(0, 0.06, (CLASSES, HIDDEN)) + 0.01]
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]
    step = 0
    for epoch in range(epochs):
        order, right = random.permutation(len(pixels)), 0
        for batch in np.array_split(order, len(order) // 50):
            x = rasters(pixels[batch], random)
            noisy = [w + WEIGHT_NOISE * w.std() * random.normal(size=w.shape) for w in weights]
            hidden, seen_hidden = forward(x, noisy[0])
            out, seen_out = forward(hidden, noisy[1])
            counts = out.sum(axis=1)
            right += int((counts.argmax(axis=1) == labels[batch]).sum())
            odds = np.exp(SHARPNESS * (counts - counts.max(axis=1, keepdims=True)))
            wrong = odds / odds.sum(axis=1, keepdims=True) - np.eye(CLASSES)[labels[batch]]
            error = np.repeat(SHARPNESS * wrong[:, None], STEPS, axis=1) / len(batch)
            of_out, to_hidden = backward(hidden, noisy[1], out, seen_out, error)
            busy = hidden.sum(axis=1, keepdims=True) > 15
            of_hidden, _ = backward(x, noisy[0], hidden, seen_hidden, to_hidden + 0.02 * busy / len(batch))
            step += 1
            for w, (m, v), gradient in zip(weights, moments, (of_hidden, of_out), strict=True):
                m += 0.1 * (gradient - m)
                v += 0.001 * (gradient**2 - v)
                w -= 4e-3 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        print(f"epoch {epoch + 1}: {right / len(order):.3f}", flush=True)
    return weights


def write(weights: list[Float], path: Path) -> None:
    """The network as NIR; `digits_cuba.semantics.json` says how it is meant."""

    def neurons(size: int) -> nir.CubaLIF:
        one = np.ones(size, np.float32)
        tau_syn, tau_mem = (one * np.float32(-1e-9 * STEP_NS / np.log(keep)) for keep in (KEEP_SYN, KEEP_MEM))
        return nir.CubaLIF(
            tau_syn=tau_syn, tau_mem=tau_mem, r=one, v_leak=one * 0, v_threshold=one, v_reset=one * 0, w_in=one
        )

    nodes = {
        "input": nir.Input(np.array([16])),
        "to_hidden": nir.Linear(weights[0].astype(np.float32)),
        "hidden": neurons(HIDDEN),
        "to_out": nir.Linear(weights[1].astype(np.float32)),
        "out": neurons(CLASSES),
        "output": nir.Output(np.array([CLASSES])),
    }
    nir.write(path, nir.NIRGraph(nodes, list(pairwise(nodes))))


def write_data(pixels: Float, labels: NDArray[np.int64], path: Path, random: np.random.Generator) -> None:
    """Samples as `hal compare` takes them."""
    sample, t, index = np.nonzero(rasters(pixels, random))
    np.savez_compressed(
        path,
        t=t.astype(np.int64) * STEP_NS,
        index=index.astype(np.uint8),
        splits=np.searchsorted(sample, np.arange(len(pixels) + 1)),
        labels=labels.astype(np.uint8),
        duration_ns=np.int64(STEPS * STEP_NS),
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Train the small CubaLIF network.")
    parser.add_argument("--model", type=Path, required=True, help="NIR file to write")
    parser.add_argument("--data", type=Path, required=True, help="samples to write (.npz)")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--samples", type=int, default=100, help="how many samples to write")
    asked = parser.parse_args()
    random = np.random.default_rng(0)
    pixels, labels = digits()
    weights = train(pixels[:TRAINED], labels[:TRAINED], asked.epochs, random)
    write(weights, asked.model)
    held_out = slice(TRAINED, TRAINED + asked.samples)
    write_data(pixels[held_out], labels[held_out], asked.data, np.random.default_rng(1))


if __name__ == "__main__":
    main()
