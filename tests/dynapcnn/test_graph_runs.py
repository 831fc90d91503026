"""Random graphs from the model to the recording, against a plain model that knows nothing of cores or registers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hal
from hal import nodes
from hal.model import Model

SIZE = 6
THRESHOLD = 100


def conv(name: str, f_in: int, f_out: int, kernel: int, rng: np.random.Generator) -> nodes.Conv2d:
    pad = kernel // 2
    return nodes.Conv2d(
        name=name,
        input_shape=(f_in, SIZE, SIZE),
        output_shape=(f_out, SIZE, SIZE),
        weight=rng.integers(-20, 60, (f_out, f_in, kernel, kernel)).astype(np.float32),
        bias=np.zeros(f_out, np.float32),
        stride=(1, 1),
        padding=((pad, pad), (pad, pad)),
        dilation=(1, 1),
        groups=1,
    )


def cells(name: str, features: int) -> nodes.IF:
    full = np.ones((features, SIZE, SIZE), np.float32)
    shape = full.shape
    return nodes.IF(
        name=name, input_shape=shape, output_shape=shape, r=full, v_threshold=full * THRESHOLD, v_reset=full * 0
    )


def random_graph(rng: np.random.Generator, semantics: Any) -> Model:
    """Four to six populations; each hears one to three earlier ones or Inputs, each of which feeds at most two."""
    made: dict[str, nodes.Node] = {}
    features: dict[str, int] = {}
    edges: list[tuple[str, str]] = []
    fed: dict[str, int] = {}
    for name in ("left", "right"):
        features[name] = int(rng.integers(1, 3))
        shape = (features[name], SIZE, SIZE)
        made[name] = nodes.Input(name=name, input_shape=shape, output_shape=shape)
    for n in range(int(rng.integers(4, 7))):
        name = f"p{n}"
        free = [source for source in features if source in ("left", "right") or fed.get(source, 0) < 2]
        sources = list(rng.permutation(free)[: int(rng.integers(1, 4))])
        if n and f"p{n - 1}" not in sources:
            sources.append(f"p{n - 1}")
        wide = int(rng.integers(1, 4))
        groups: dict[int, str] = {}
        for source in sources:
            fed[source] = fed.get(source, 0) + 1
            f_in = features[source]
            if f_in in groups and rng.random() < 0.6:
                edges.append((source, groups[f_in]))  # two edges into one convolution
                continue
            groups[f_in] = f"w{n}_{source}"
            made[groups[f_in]] = conv(groups[f_in], f_in, wide, int(rng.choice([1, 3])), rng)
            edges += [(source, groups[f_in]), (groups[f_in], name)]
        made[name] = cells(name, wide)
        features[name] = wide
    last = name
    made["output"] = nodes.Output(
        name="output", input_shape=made[last].output_shape, output_shape=made[last].output_shape
    )
    edges.append((last, "output"))
    return Model.of(made, edges, hal.Semantics(**semantics))


def plain_run(model: Model, events: list[tuple[str, int]]) -> dict[str, list[tuple[int, int]]]:
    """Depth first along the projections' own matrices: (event number, neuron) of every population's spikes."""
    rank = {name: n for n, name in enumerate(model.order())}
    ways: dict[str, list[Any]] = {}
    for p in sorted((p for p in model.projections() if p.target not in model.outputs), key=lambda p: rank[p.target]):
        ways.setdefault(p.source, []).append((p.target, p.matrix().tocsc()))
    v = {name: np.zeros(node.size) for name, node in model.nodes.items() if isinstance(node, nodes.IF)}
    spikes: dict[str, list[tuple[int, int]]] = {name: [] for name in v}

    def send(number: int, source: str, index: int) -> None:
        for target, matrix in ways.get(source, []):
            part = slice(matrix.indptr[index], matrix.indptr[index + 1])
            f, y, x = np.unravel_index(matrix.indices[part], model.nodes[target].output_shape)
            fired = []
            for k in np.lexsort((f, x, y)):
                neuron = matrix.indices[part][k]
                v[target][neuron] += matrix.data[part][k]
                if v[target][neuron] >= THRESHOLD:
                    v[target][neuron] -= THRESHOLD
                    fired.append(int(neuron))
            for neuron in fired:
                spikes[target].append((number, neuron))
                send(number, target, neuron)

    for number, (source, index) in enumerate(events):
        send(number, source, index)
    return spikes


@pytest.mark.parametrize("seed", range(8))
def test_graphs_run_as_the_model_says(seed: int, speck: Any) -> None:
    rng = np.random.default_rng(seed)
    model = random_graph(rng, speck.semantics)
    names = [name for name, node in model.nodes.items() if isinstance(node, nodes.IF)]
    mapping = speck.map(model, record=names, quantisation="keep_integers")
    events = [(name, int(rng.integers(model.nodes[name].size))) for name in rng.choice(["left", "right"], 250)]
    wanted = plain_run(model, events)
    stimulus = {
        key: hal.events(*zip(*[(n, index) for n, (name, index) in enumerate(events) if name == key], strict=True))
        for key in ("left", "right")
    }
    with hal.open("speck2f", rate=None) as chip:
        chip.load(mapping)
        recording = chip.run(stimulus, len(events))
    for name in names:
        assert recording.spikes[name].tolist() == wanted[name], name
    assert sum(len(found) for found in wanted.values()) > 200
