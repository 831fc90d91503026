"""The vectors that plugins bring to the conformance suite, made of golden files.

    python tests/golden/vectors.py PLUGINS

writes them into PLUGINS/hal_*/vectors, PLUGINS being the folder of the plugins; a test holds them to the golden files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import replay_dynapcnn
import replay_loihi_device
from replay_dynapcnn_graph import index_of

import hal
from hal.evidence import write_vector
from hal.semantics import Semantics

HERE = Path(__file__).parent
SPECK = ("p03_conv3x3_subtract", "p04_stride_pad_reset", "p05_three_layers_pool")
LOIHI = ("conv_pop", "recurrent_256")


def vectors() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(plugin, name, arguments of `write_vector` besides folder and name) of each."""
    for name in SPECK:
        yield "hal_dynapcnn", name, _speck(HERE / "dynapcnn" / f"{name}.nir")
    for name in LOIHI:
        yield "hal_loihi", name, _loihi(HERE / "loihi" / f"{name}.nir")


def _of(graph: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with np.load(graph.with_suffix(".npz"), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, json.loads(str(arrays["meta"]))


def _speck(graph: Path) -> dict[str, Any]:
    """A chain, event by event and without the cores' time, as its peer runs it."""
    arrays, meta = _of(graph)
    model, names, events = replay_dynapcnn.chain_of(graph, arrays, meta)
    spikes = {}
    for n, (name, layer) in enumerate(zip(names, meta["layers"], strict=True)):
        if f"layer{n}_out" in arrays:
            out = arrays[f"layer{n}_out"]
            spikes[name] = hal.events(out["t"].astype(np.int64) * 1000, index_of(out, layer["out_shape"]))
    return {
        "model": graph,
        "semantics": model.semantics,
        "source": "sinabs 3.1.3, one synaptic update at a time",
        "stimulus": {model.inputs[0]: events},
        "duration_ns": int(events["t"].max()) + 1000,
        "spikes": spikes,
        # chips with five cores have no room for biases on three of them
        "options": {"drop_zero_bias": True},
        "open_options": {"rate": None},
    }


def _loihi(graph: Path) -> dict[str, Any]:
    """Blocks, each a population."""
    arrays, meta = _of(graph)
    step = replay_loihi_device.STEP
    semantics = Semantics(profile="nir", dt_ns=step)
    model = hal.read_model(graph, semantics)
    neurons = [node for node in model.populations() if node.name not in model.inputs]
    firsts = np.cumsum([0, *(node.size for node in neurons)])
    golden = arrays["spikes"]
    spikes = {}
    for first, node in zip(firsts, neurons, strict=False):
        mine = golden[(golden["n"] >= first) & (golden["n"] < first + node.size)]
        index = replay_loihi_device.golden_order(node.output_shape)[mine["n"] - first]
        spikes[node.name] = hal.events((mine["t"].astype(np.int64) - 1) * step, index)
    shapes = {name: model.nodes[name].output_shape for name in model.inputs}
    return {
        "model": graph,
        "semantics": semantics,
        "source": "emulator of nengo-loihi 1.1.0",
        "stimulus": replay_loihi_device.stimulus_of(shapes, arrays, meta),
        "duration_ns": meta["T"] * step,
        "spikes": spikes,
    }


if __name__ == "__main__":
    for plugin, name, about in vectors():
        made = write_vector(Path(sys.argv[1]) / plugin / "vectors", name, **about)
        print(f"{plugin} {name}: {sum(train.size for train in made.spikes.values())} spikes")
