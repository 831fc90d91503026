"""Train 5-120-3 on Yin-Yang with BrainScaleS-2 in the loop: forward on the device, gradients on the host.

    python examples/yinyang_in_the_loop.py [--preset ideal|chip|mock] [--seeds 0 1 2] [--epochs N] [--out FILE.json]
        [--calibrate | --mismatch 1]
    python examples/yinyang_in_the_loop.py --plot FILE.json --figure FILE.png

Every batch is mapped like the one before (6-bit weights), loaded, and run by `run_batch`; what the host sees of it, the
stamps of spikes, goes back through EventProp (`hal_emulators.eventprop`) to the weights in floating point that the next
batch is quantised from. The device's own errors are thus in the loop, and training finds weights that live with them.

Network and task are those of the vendor's examples: 4 values and a bias as times of single spikes, five synapses for
each input, 120 hidden neurons, and the class is the output neuron that fires first. Training sees 5,000 points; the
accuracy is that of the last weights on 3,000 others, which nothing was chosen by. The file has everything that the plot
shows.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import yinyang
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import hal
from hal import nodes
from hal.model import Model
from hal_emulators.cuba import BatchResult, Neurons, Synapses
from hal_emulators.eventprop import Gradients, Inputs

Floats = NDArray[np.float64]

TAU_MEM, TAU_SYN = 12e-6, 6e-6
INPUTS, HIDDEN, CLASSES = 5, 120, 3
DURATION_NS = 40_000
REFRACTORY_S = 30e-6
"""Longer than anything happens: every neuron spikes once."""
SCALE = 58.0
LARGEST = (5 * 63 / SCALE, 63 / SCALE)
"""Weights of five rows for each input, of one for each hidden neuron."""
OPTIONS: dict[str, Any] = {
    "dense": True,
    "scale": SCALE,
    "copies": {"fc1": 5, "fc2": 1},
    "speedup": 1.0,
    "refractory_s": {"hidden": REFRACTORY_S, "out": REFRACTORY_S},
}
TRAIN, TEST, TEST_SEED = 5_000, 3_000, 2022
BATCH, EPOCHS, RATE = 50, 40, 1e-2
SHARP = 0.1
"""Of tau_syn: differences of output times that matter to the loss."""
EARLY = 0.003
"""How much the loss wants the right output to be early, so that it does not fall silent."""
BUMP = 0.02
"""Added to the weights of an output that should have fired and did not, times the share of such samples."""
LEAST_DRIVE = 0.2
"""Of I - v_th at a spike: less than that, with noise on the times it was worked out from, would be mostly noise."""


class Loop:
    """The network on a device, and the way back."""

    def __init__(
        self,
        preset: str = "ideal",
        seed: int = 0,
        profile: Any = None,
        *,
        mapped: Mapping[str, Any] = OPTIONS,
        **opened: Any,
    ) -> None:
        self.options = {**OPTIONS, **mapped}
        self.mapper = hal.mapper("brainscales2", profile=profile)
        self.device = hal.open("brainscales2", preset=preset, profile=profile, seed=seed, **opened)
        self.mapping: Any = None
        neurons = Neurons(size=HIDDEN + CLASSES, tau_mem=TAU_MEM, tau_syn=TAU_SYN, t_ref=REFRACTORY_S)
        self.back = Gradients(neurons, Synapses.chain(np.ones((INPUTS, HIDDEN)), np.ones((HIDDEN, CLASSES))))

    def load(self, w1: Floats, w2: Floats) -> None:
        """Put weights (inputs, hidden) and (hidden, classes) on the chip, where the ones before were."""
        self.mapping = self.mapper.map(network(w1, w2), self.options, record=["hidden"], like=self.mapping)
        self.device.load(self.mapping)

    def forward(self, times: Floats) -> BatchResult:
        """Spikes that the host sees of a batch of input times (B, inputs), s: hidden neurons, then those of classes."""
        order = np.argsort(times, axis=1, kind="stable")
        ns = np.rint(np.take_along_axis(times, order, 1) * 1e9).astype(np.int64)
        batch = hal.EventBatch(hal.events(ns.ravel(), order.ravel()), np.arange(len(times) + 1) * INPUTS)
        seen = self.device.run_batch({"input": batch}, DURATION_NS)
        return joined(seen.spikes["hidden"], seen.spikes["output"])

    def gradient(
        self, times: Floats, spikes: BatchResult, by_time: Floats, mapping: hal.Mapping | None = None
    ) -> tuple[Floats, Floats]:
        """Of a loss, by the weights; by_time (B, classes): by the time of each output, 1/s.

        The weights are those that the chip had (by the mapping loaded last), currents follow from the spikes it sent.
        """
        size = len(times)
        realised = (mapping or self.mapping).realised
        weight = np.concatenate([realised[name, "weight"].T.ravel() for name in ("fc1", "fc2")])
        inputs = Inputs(times.ravel(), np.tile(np.arange(INPUTS), size), np.arange(size + 1) * INPUTS)
        sample, out = outputs(spikes)
        by_spike = np.zeros(spikes.t.size)
        by_spike[out] = by_time[sample[out], spikes.neuron[out] - HIDDEN]
        known = attrs.evolve(spikes, i=self.back.currents(inputs, spikes, weight=weight))
        found = self.back.eventprop(inputs, known, by_spike, weight=weight, least_drive=LEAST_DRIVE).weight
        cut = INPUTS * HIDDEN
        return found[:cut].reshape(INPUTS, HIDDEN), found[cut:].reshape(HIDDEN, CLASSES)


class Adam:
    """Weights in floating point and how they change; they stay within what the rows hold."""

    def __init__(self, weights: list[Floats]) -> None:
        self.weights = weights
        self.seen = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]
        self.count = 0

    def step(self, gradients: tuple[Floats, Floats], rate: float, missing: Floats) -> None:
        """missing: (classes,) share of samples whose right output was silent, so that its slope told nothing."""
        self.count += 1
        for w, g, (mean, square), largest in zip(self.weights, gradients, self.seen, LARGEST, strict=True):
            mean += 0.1 * (g - mean)
            square += 0.001 * (g * g - square)
            fair = np.sqrt(square / (1 - 0.999**self.count)) + 1e-8
            w -= rate * mean / (1 - 0.9**self.count) / fair
            np.clip(w, -largest, largest, out=w)
        np.clip(self.weights[1] + BUMP * missing, -LARGEST[1], LARGEST[1], out=self.weights[1])


def network(w1: Floats, w2: Floats) -> Model:
    """Input -> hidden -> out -> Output, in s and without steps."""
    made: list[Any] = [nodes.Input(name="input", input_shape=(INPUTS,), output_shape=(INPUTS,))]
    for weight, fc, cells in ((w1, "fc1", "hidden"), (w2, "fc2", "out")):
        size = weight.shape[1]
        made.append(nodes.Linear(name=fc, input_shape=weight.shape[:1], output_shape=(size,), weight=weight.T))
        ones = np.ones(size)
        made.append(
            nodes.CubaLIF(
                name=cells, input_shape=(size,), output_shape=(size,), tau_mem=TAU_MEM * ones, tau_syn=TAU_SYN * ones,
                r=ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones, w_in=TAU_SYN * ones,
            )
        )  # fmt: skip
    made.append(nodes.Output(name="output", input_shape=(CLASSES,), output_shape=(CLASSES,)))
    edges = list(pairwise(node.name for node in made))
    return Model.of({node.name: node for node in made}, edges, hal.Semantics(profile="nir"))


def joined(hidden: hal.EventBatch, out: hal.EventBatch) -> BatchResult:
    """Spikes of both layers as one list, sample by sample in the order of time; neurons are numbered on."""
    both = [(batch, first) for batch, first in ((hidden, 0), (out, HIDDEN))]
    t = np.concatenate([batch.events["t"] for batch, _ in both])
    neuron = np.concatenate([batch.events["index"].astype(np.int64) + first for batch, first in both])
    sample = np.concatenate([np.repeat(np.arange(len(batch)), np.diff(batch.splits)) for batch, _ in both])
    order = np.lexsort((neuron, t, sample))
    splits = np.searchsorted(sample[order], np.arange(len(hidden) + 1))
    return BatchResult(t=t[order] * 1e-9, neuron=neuron[order], i=np.zeros(t.size), splits=splits)


def outputs(spikes: BatchResult) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Of each spike its sample, and whether an output sent it."""
    return np.repeat(np.arange(spikes.splits.size - 1), np.diff(spikes.splits)), spikes.neuron >= HIDDEN


def first(spikes: BatchResult) -> Floats:
    """(B, classes): when each output fired, s; inf where it did not."""
    found = np.full((spikes.splits.size - 1, CLASSES), np.inf)
    sample, out = outputs(spikes)
    np.minimum.at(found, (sample[out], spikes.neuron[out] - HIDDEN), spikes.t[out])
    return found


def loss(times: Floats, labels: NDArray[np.int64]) -> tuple[float, Floats]:
    """Cross entropy of softmax(-t / (0.1 tau_syn)), plus a little for late right outputs; and its slope by the times.

    An output that is silent counts as a little later than the last one. Where the right one is silent nothing can be
    learnt from the others: the slope is 0, and `Loop.step` helps.
    """
    size = len(times)
    spiked = np.isfinite(times)
    last = np.where(spiked, times, 0.0).max(axis=1, keepdims=True)
    t = np.where(spiked, times, last + 2 * SHARP * TAU_SYN)
    score = -t / (SHARP * TAU_SYN)
    share = np.exp(score - score.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    right = np.eye(CLASSES)[labels]
    late = np.exp(np.minimum(t, 4 * TAU_SYN) / TAU_SYN)
    slope = -(share - right) / (SHARP * TAU_SYN) + EARLY * right * late / TAU_SYN
    slope[~spiked[np.arange(size), labels]] = 0.0
    return float(-np.log(share[np.arange(size), labels] + 1e-12).mean()), slope / size


def accuracy(loop: Loop, times: Floats, labels: NDArray[np.int64]) -> float:
    """Share of points whose right output fires first."""
    return float((first(loop.forward(times)).argmin(axis=1) == labels).mean())


def train(loop: Loop, epochs: int, seed: int, progress: Callable[[], None]) -> dict[str, Any]:
    """One network. The test set is looked at once, at the end."""
    began = time.perf_counter()
    random = np.random.default_rng(seed)
    drawn = [random.normal(1.5, 1.2, (INPUTS, HIDDEN)), random.normal(0.3, 0.5, (HIDDEN, CLASSES))]
    adam = Adam([np.clip(w, -largest, largest) for w, largest in zip(drawn, LARGEST, strict=True)])
    points, labels = yinyang.points(TRAIN, 100 + seed)
    times = yinyang.spike_times(points, TAU_SYN)
    history: list[dict[str, float]] = []
    for epoch in range(epochs):
        rate = RATE * (1 + np.cos(np.pi * epoch / epochs)) / 2
        total, right, silent = 0.0, 0, 0
        order = random.permutation(TRAIN)
        for start in range(0, TRAIN, BATCH):
            which = order[start : start + BATCH]
            loop.load(*adam.weights)
            spikes = loop.forward(times[which])
            found = first(spikes)
            value, slope = loss(found, labels[which])
            missing = ~np.isfinite(found) & np.eye(CLASSES, dtype=bool)[labels[which]]
            adam.step(loop.gradient(times[which], spikes, slope), rate, missing.mean(axis=0))
            total += value * which.size
            right += int((found.argmin(axis=1) == labels[which]).sum())
            silent += int(missing.sum())
            progress()
        history.append({"loss": total / TRAIN, "accuracy": right / TRAIN, "silent": silent})
    loop.load(*adam.weights)
    unseen, answers = yinyang.points(TEST, TEST_SEED)
    return {
        "seed": seed,
        "epochs": history,
        "test_accuracy": accuracy(loop, yinyang.spike_times(unseen, TAU_SYN), answers),
        "seconds": time.perf_counter() - began,
        "weights": [w.round(5).tolist() for w in adam.weights],
    }


def calibrated(chip_seed: int) -> Any:
    """The profile of an individual with the mismatch that is assumed, for the time constants of this network."""
    aims = {"tau_mem": TAU_MEM, "tau_syn": TAU_SYN, "refractory_time": REFRACTORY_S}
    return hal.calibrate("brainscales2", {"chip_seed": chip_seed, **aims})


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All seeds, one after the other."""
    console = Console()
    how = ("preset", "calibrate", "mismatch", "epochs")
    made: dict[str, Any] = {name: getattr(options, name) for name in how} | {"runs": []}
    share = TextColumn("{task.percentage:.0f} %")
    with Progress(
        TextColumn("{task.description}"), BarColumn(), share, TimeElapsedColumn(), console=console
    ) as progress:
        for seed in options.seeds:
            task = progress.add_task(f"seed {seed}", total=options.epochs * (TRAIN // BATCH))
            if options.calibrate:
                loop = Loop(options.preset, seed, calibrated(seed))
            else:
                loop = Loop(options.preset, seed, mismatch=options.mismatch, chip_seed=seed)
            made["runs"].append(train(loop, options.epochs, seed, lambda task=task: progress.advance(task)))
            last = made["runs"][-1]
            progress.print(f"seed {seed}: test {last['test_accuracy']:.4f}, {last['seconds']:.0f} s")
            options.out.write_text(json.dumps(made))
    made["mean_test_accuracy"] = float(np.mean([each["test_accuracy"] for each in made["runs"]]))
    options.out.write_text(json.dumps(made))
    console.print(f"mean of {len(options.seeds)}: {made['mean_test_accuracy']:.4f}; saved in {options.out}")
    return made


def plot(files: list[Path], to: Path) -> None:
    """Accuracy by epoch of all runs of these files, from the files alone; dots are the test set's."""
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "yinyang"
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for k, made in enumerate(json.loads(path.read_text(encoding="utf-8")) for path in files):
        name = f"preset {made['preset']}{', calibrated' if made['calibrate'] else ''}"
        tests = ", ".join(f"{100 * run['test_accuracy']:.1f}" for run in made["runs"])
        for run in made["runs"]:
            percent = [100 * epoch["accuracy"] for epoch in run["epochs"]]
            label = f"{name}: {tests} % on the test set" if run is made["runs"][0] else None
            axes.plot(np.arange(1, len(percent) + 1), percent, color=f"C{k}", lw=1, alpha=0.7, label=label)
            axes.plot(len(percent), 100 * run["test_accuracy"], "o", color=f"C{k}", ms=5)
    axes.set(xlabel="epoch", ylabel="accuracy while training, %", ylim=(60, 100))
    axes.legend(loc="lower right", frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(to, dpi=150, metadata={"Date": None} if to.suffix == ".svg" else None)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Train Yin-Yang with BrainScaleS-2 in the loop.")
    parser.add_argument("--preset", choices=("ideal", "chip", "mock"), default="ideal")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--calibrate", action="store_true", help="each seed has a chip of its own, which is calibrated first"
    )
    how.add_argument("--mismatch", type=float, default=0.0, help="of its circuits, uncalibrated; 1: as is assumed")
    parser.add_argument("--out", type=Path, default=Path("yinyang.json"))
    parser.add_argument("--plot", type=Path, nargs="+", metavar="FILE.json", help="train nothing, draw what was saved")
    parser.add_argument("--figure", type=Path, default=Path("yinyang.png"), help="of --plot: .png or .svg")
    options = parser.parse_args()
    if options.plot:
        plot(options.plot, options.figure)
    else:
        run(options)


if __name__ == "__main__":
    main()
