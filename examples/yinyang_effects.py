"""What each effect of BrainScaleS-2 costs on Yin-Yang: docs/chips/brainscales2_effects.md and its figure.

    python examples/yinyang_effects.py [--points 3000]

Three networks that were trained on preset `ideal` (`examples/data/yinyang_ideal.json`) run on the device with one
effect at a time, and with all of a preset. What circuits do differently is drawn for several individuals. Nothing is
trained again, but in the last rows, whose networks were trained with all of it in the loop.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import yinyang
import yinyang_in_the_loop as loop
from numpy.typing import NDArray

from hal_emulators.cuba import Network, Neurons, Synapses

ROOT = Path(__file__).parents[1]

PAGE = ROOT / "docs" / "chips" / "brainscales2_effects.md"
TRAINED = {name: ROOT / "examples" / "data" / f"yinyang_{name}.json" for name in ("ideal", "mock")}
INDIVIDUALS = 5
Weights = tuple[NDArray[np.float64], NDArray[np.float64]]


@attrs.frozen(kw_only=True)
class Effect:
    """One row: what is opened and mapped otherwise than on preset `ideal`."""

    name: str
    opened: dict[str, Any] = attrs.field(factory=dict)
    mapped: dict[str, Any] = attrs.field(factory=dict)
    calibrated: bool = False
    trained: str = "ideal"

    @property
    def individuals(self) -> range:
        """Seeds of chips: several where circuits differ."""
        return range(INDIVIDUALS if self.calibrated or "mismatch" in self.opened else 1)


SHORT = {"hidden": 2e-6, "out": 2e-6}
EFFECTS = (
    Effect(name="weights of 6 bits (preset `ideal`)"),
    Effect(name="inputs on one row each, not on five", mapped={"copies": {"fc1": 1, "fc2": 1}}),
    Effect(name="rounding half to even, not away from 0", mapped={"rounding": "even"}),
    Effect(name="refractory period of 2 us, not 30", mapped={"refractory_s": SHORT}),
    Effect(name="times in steps of 8 ns (`stamps`)", opened={"stamps": True}),
    Effect(name="times 100 ns late (`offset_s`)", opened={"offset_s": 1e-7}),
    Effect(name="jitter of 20 ns (`jitter_s`)", opened={"jitter_s": 2e-8}),
    Effect(name="jitter of 100 ns", opened={"jitter_s": 1e-7}),
    Effect(name="jitter of 500 ns", opened={"jitter_s": 5e-7}),
    Effect(name="one event in 8 ns (`link_event_s`)", opened={"link_event_s": 8e-9}),
    Effect(name="one event in 80 ns", opened={"link_event_s": 8e-8}),
    Effect(name="membranes within 30..210 LSB (`clipping`)", opened={"clipping": True}),
    Effect(name="currents up to 8 thresholds (`saturation`)", opened={"saturation": 8.0}),
    Effect(name="currents up to 4 thresholds", opened={"saturation": 4.0}),
    Effect(name="currents up to 2 thresholds", opened={"saturation": 2.0}),
    Effect(name="a quarter of the assumed mismatch, not calibrated", opened={"mismatch": 0.25}),
    Effect(name="half of it", opened={"mismatch": 0.5}),
    Effect(name="all of it (`mismatch` 1)", opened={"mismatch": 1.0}),
    Effect(name="all of it, calibrated", calibrated=True),
    Effect(name="preset `chip`", opened={"preset": "chip"}),
    Effect(name="preset `mock`", opened={"preset": "mock"}),
    Effect(name="preset `mock`, mismatch 1, calibrated", opened={"preset": "mock"}, calibrated=True),
    Effect(name="the same, trained in the loop", opened={"preset": "mock"}, calibrated=True, trained="mock"),
)


def trained(name: str) -> list[tuple[int, Weights]]:
    """Seed and weights of every network of a file."""
    made = json.loads(TRAINED[name].read_text(encoding="utf-8"))
    return [(run["seed"], (np.array(run["weights"][0]), np.array(run["weights"][1]))) for run in made["runs"]]


@cache
def profile(chip_seed: int) -> Any:
    """Of an individual with the mismatch that is assumed."""
    return loop.calibrated(chip_seed)


def test_set(points: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Times and labels that nothing was trained on."""
    xy, labels = yinyang.points(points, loop.TEST_SEED)
    return yinyang.spike_times(xy, loop.TAU_SYN), labels


def in_floats(weights: Weights, times: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Accuracy of the emulator's core on weights that are not rounded and times that are exact."""
    neurons = Neurons(
        size=loop.HIDDEN + loop.CLASSES, tau_mem=loop.TAU_MEM, tau_syn=loop.TAU_SYN, t_ref=loop.REFRACTORY_S
    )
    core = Network(neurons, Synapses.chain(*weights))
    made = core.run_batch(loop.DURATION_NS * 1e-9, times, np.tile(np.arange(loop.INPUTS), (len(times), 1)))
    return float((loop.first(made).argmin(axis=1) == labels).mean())


def accuracies(effect: Effect, times: NDArray[np.float64], labels: NDArray[np.int64]) -> Iterator[float]:
    """Of every network on every individual; a network that was trained on one runs on that one."""
    for seed, weights in trained(effect.trained):
        for individual in [seed] if effect.trained != "ideal" else effect.individuals:
            options = {"preset": "ideal"} | effect.opened
            if "mismatch" in options:
                options["chip_seed"] = individual
            made = loop.Loop(
                seed=seed, profile=profile(individual) if effect.calibrated else None, mapped=effect.mapped, **options
            )
            made.load(*weights)
            yield loop.accuracy(made, times, labels)


def rows(points: int) -> Iterator[tuple[str, list[float]]]:
    """Each effect and its accuracies."""
    times, labels = test_set(points)
    yield "none: weights and times in floating point", [in_floats(w, times, labels) for _, w in trained("ideal")]
    for effect in EFFECTS:
        yield effect.name, list(accuracies(effect, times, labels))


def table(made: list[tuple[str, list[float]]]) -> str:
    """In Markdown; the cost is against the first row with 6 bits."""
    base = 100 * np.mean(dict(made)[EFFECTS[0].name])
    lines = ["| effect | accuracy, % | cost, points | worst, % | runs |", "| --- | --- | --- | --- | --- |"]
    for name, found in made:
        percent = 100 * np.array(found)
        cost = base - percent.mean()
        mean = f"{percent.mean():.1f} +- {percent.std():.1f}"
        lines.append(f"| {name} | {mean} | {cost:+.1f} | {percent.min():.1f} | {len(found)} |")
    return "\n".join(lines) + "\n"


def draw(made: list[tuple[str, list[float]]], path: Path) -> None:
    """Every run a dot, every mean a line."""
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "brainscales2"
    figure, axes = plt.subplots(figsize=(8, 0.3 * len(made) + 1), layout="constrained")
    for k, (_, found) in enumerate(made):
        percent = 100 * np.array(found)
        axes.plot(percent, np.full(len(found), k), "o", ms=4, alpha=0.5, color="tab:blue")
        axes.plot([percent.mean()] * 2, [k - 0.35, k + 0.35], color="black", lw=1.5)
    axes.set_yticks(range(len(made)), [name.replace("`", "") for name, _ in made], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("accuracy on held-out points, %")
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Write the page of what each effect costs.")
    parser.add_argument("--points", type=int, default=loop.TEST, help="of the test set")
    made = []
    for name, found in rows(parser.parse_args().points):
        made.append((name, found))
        print(f"{name:60} {np.mean(found):.4f}", flush=True)
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition("<!-- effects -->\n")
    after = rest.partition("<!-- /effects -->\n")[2]
    PAGE.write_text(f"{before}<!-- effects -->\n{table(made)}<!-- /effects -->\n{after}", encoding="utf-8")
    draw(made, PAGE.with_suffix(".svg"))


if __name__ == "__main__":
    main()
