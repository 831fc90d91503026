"""Draw the figures of the README from real runs: floor plans of four families, and the page of a recording.

    python docs/make_figures.py [DIR]      # writes docs/figures; recordings and their pages are kept in DIR, if given

The picture of the page is taken by Chromium, where it is installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import hal
from hal import floorplan, nodes
from hal.report.drawing import svg
from hal.report.sections import colours

ROOT = Path(__file__).parents[1]
FIGURES = Path(__file__).parent / "figures"
MS = 1_000_000
SEED = 7


def digit(device: str, directory: Path, dt_ns: int | None = None, **map_options: Any) -> hal.Recording:
    """A moving digit through the network of the NIR paper, trained on N-MNIST."""
    semantics = hal.Semantics(profile="sinabs", dt_ns=dt_ns)
    model = hal.read_model(ROOT / "examples/models/nmnist_cnn.nir", semantics)
    record = [node.name for node in model.populations() if node.spiking]
    mapping = hal.mapper(device).map(model, map_options or None, record=record)
    events = hal.read_stimulus(ROOT / "examples/data/digit.npy", mapping.inputs[0])
    return _run(device, mapping, {mapping.inputs[0].name: events}, 300 * MS, directory)


def balanced(device: str, directory: Path, **map_options: Any) -> hal.Recording:
    """Bursts of noise into two excitatory populations, and an inhibitory one that holds both back."""
    rng = np.random.default_rng(SEED)
    model = _balanced(rng)
    state = () if device == "ideal" else (hal.Probe("fast", "v", indices=(0, 1, 2), every_ns=MS),)
    spikes = ("fast", "slow", "inhibitory")
    mapper = hal.mapper(device)
    try:
        mapping = mapper.map(model, map_options or None, record=(*spikes, *state))
    except hal.HalError:
        # not every device samples membranes
        mapping = mapper.map(model, map_options or None, record=spikes)
    steps = np.arange(400)
    chance = 0.02 + 0.18 * (steps % 130 < 60)
    t, index = np.nonzero(rng.random((400, INPUTS)) < chance[:, None])
    return _run(device, mapping, {"input": hal.events(t * MS, index)}, 400 * MS, directory)


def _run(device: str, mapping: hal.Mapping, stimulus: Any, duration_ns: int, directory: Path) -> hal.Recording:
    with hal.open(device, seed=SEED) as chip:
        chip.load(mapping)
        return chip.run(stimulus, duration_ns, to=directory)


INPUTS = 32
SIZES = {"fast": 64, "slow": 64, "inhibitory": 24}
TAUS = {"fast": 0.01, "slow": 0.03, "inhibitory": 0.01}
WAYS = (
    ("input", "fast", 8, 5.0),
    ("input", "slow", 8, 5.0),
    ("fast", "inhibitory", 10, 2.0),
    ("fast", "slow", 4, 1.0),
    ("slow", "inhibitory", 6, 2.0),
    ("inhibitory", "fast", 5, -2.0),
    ("inhibitory", "slow", 5, -2.0),
)
"""Source, target, synapses of each target, weight."""


def _balanced(rng: np.random.Generator) -> hal.Model:
    sizes = {"input": INPUTS, **SIZES}

    def weights(source: str, target: str, fan_in: int, value: float) -> nodes.Linear:
        chosen = np.zeros((sizes[target], sizes[source]), np.float32)
        for row in chosen:
            row[rng.choice(row.size, fan_in, replace=False)] = value
        return nodes.Linear(
            name=f"{source}_{target}", input_shape=(sizes[source],), output_shape=(sizes[target],), weight=chosen
        )

    def cells(name: str) -> nodes.CubaLIF:
        shape = (sizes[name],)
        values = {"tau_mem": TAUS[name], "tau_syn": 0.01, "v_threshold": 1.0, "r": 1.0, "w_in": 1.0}
        full = {key: np.full(shape, values.get(key, 0.0), np.float32) for key in nodes.CubaLIF.parameters}
        return nodes.CubaLIF(name=name, input_shape=shape, output_shape=shape, **full)

    out = sizes["slow"]
    parts = [
        nodes.Input(name="input", input_shape=(INPUTS,), output_shape=(INPUTS,)),
        *(weights(*way) for way in WAYS),
        *(cells(name) for name in SIZES),
        nodes.Output(name="output", input_shape=(out,), output_shape=(out,)),
    ]
    edges = [edge for a, b, *_ in WAYS for edge in ((a, f"{a}_{b}"), (f"{a}_{b}", b))] + [("slow", "output")]
    semantics = hal.Semantics(profile="nir", dt_ns=MS, tau_unit="s")
    return hal.Model.of({part.name: part for part in parts}, edges, semantics)


SAMPLES: dict[str, Callable[[str, Path], hal.Recording]] = {
    "speck2f": digit,
    "loihi": partial(digit, dt_ns=MS, approximate=["reset"]),
    "dynapse2": balanced,
    "brainscales2": partial(balanced, hemisphere={"inhibitory": 1}),
}
PAGE = "speck2f"
"""The run whose page is photographed."""


def draw(folder: Path) -> None:
    """Run, record in a folder, write pages beside, and the figures to docs/figures."""
    FIGURES.mkdir(exist_ok=True)
    for device, make in SAMPLES.items():
        recording = make(device, folder / device)
        assert recording.mapping is not None
        plan = svg(floorplan.of(recording.mapping), colours(recording.mapping))
        (FIGURES / f"floorplan_{device}.svg").write_text(plan + "\n", encoding="utf-8")
        (folder / f"{device}.html").write_text(hal.report(recording), encoding="utf-8")
        print(f"{device}: {recording.event_count():,} events")
    photograph(folder / f"{PAGE}.html", FIGURES / "report.png")


def photograph(page: Path, picture: Path, size: str = "1160,2000") -> None:
    """Take a picture of a page."""
    browser = shutil.which("chromium")
    if browser is None:
        print("no Chromium here: the picture of the page is left as it is")
        return
    arguments = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=10000")
    where = (f"--window-size={size}", f"--screenshot={picture}", page.resolve().as_uri())
    subprocess.run([browser, *arguments, *where], check=True, capture_output=True, timeout=120)


def main() -> None:
    """The command."""
    if len(sys.argv) > 1:
        draw(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder))


if __name__ == "__main__":
    main()
