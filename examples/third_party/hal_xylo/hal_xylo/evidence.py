"""What the conformance suite should know: recorded answers, models at each limit, an overload.

Vectors are those of xylosim 0.1.3, mapped from NIR.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from hal import nodes
from hal.events import events
from hal.evidence import Evidence, Limit, Overload, read_vectors
from hal.model import Model
from hal.semantics import Semantics
from numpy.typing import NDArray

from hal_xylo import limits
from hal_xylo.limits import Part

STEP_NS: Final = 1_000_000
CHIP: Final = Semantics(
    profile="nir",
    dt_ns=STEP_NS,
    tau_unit="steps",
    gain="one",
    jump="before",
    spike_reset="subtract_n",
    compare=">=",
    spikes_per_step="many",
)
"""The chip's own rule, but for rounding and caps."""
NEURON: Final = {
    "tau_mem": 8.0, "tau_syn": 2.0, "r": 1.0, "w_in": 1.0, "v_leak": 0.0, "v_reset": 0.0, "v_threshold": 80.0,
}  # fmt: skip
WEIGHT: Final = 100.0
VECTORS: Final = Path(__file__).parent / "vectors"

Matrix = NDArray[np.float64]


def network(channels: int, layers: Mapping[str, int], connections: Iterable[tuple[str, str, str, Matrix]]) -> Model:
    """A model of CubaLIF layers, the last one read out.

    connections: (name, source, target, weight (target, source)), "input" among the sources.
    """
    last = list(layers)[-1]
    shaped: dict[str, nodes.Node] = {
        "input": nodes.Input(name="input", input_shape=(channels,), output_shape=(channels,)),
        "output": nodes.Output(name="output", input_shape=(layers[last],), output_shape=(layers[last],)),
    }
    edges = [(last, "output")]
    for name, size in layers.items():
        parameters: dict[str, Any] = {key: np.full(size, value) for key, value in NEURON.items()}
        shaped[name] = nodes.CubaLIF(name=name, input_shape=(size,), output_shape=(size,), **parameters)
    for name, source, target, weight in connections:
        out, given = weight.shape
        shaped[name] = nodes.Linear(name=name, input_shape=(given,), output_shape=(out,), weight=weight)
        edges += [(source, name), (name, target)]
    return Model.of(shaped, edges, CHIP)


def spread(targets: int, sources: int, first: int = 0, rows: int | None = None) -> Matrix:
    """(targets, sources): every source from `first` on reaches one target, every one of `rows` targets hears one."""
    weight = np.zeros((targets, sources))
    rows = targets if rows is None else rows
    for k in range(max(rows, sources - first)):
        weight[k % rows, first + k % (sources - first)] = WEIGHT
    return weight


def chain(part: Part, channels: int, sizes: tuple[int, ...], middle: Matrix | None = None) -> Model:
    """Input, layers of these sizes, output. Only ids that may do so drive the outputs.

    middle: the weights of the second layer, else every neuron hears one other.
    """
    names = [*(f"hidden {k + 1}" for k in range(len(sizes) - 1)), "readout"]
    connections, source, before = [], "input", channels
    for k, (name, size) in enumerate(zip(names, sizes, strict=True)):
        first = max(0, before - part.out_of) if name == "readout" and k > 1 else 0
        weight = middle if k == 1 and middle is not None else spread(size, before, first)
        connections.append((f"to {name}", source, name, weight))
        source, before = name, size
    return network(channels, dict(zip(names, sizes, strict=True)), connections)


def _hidden(part: Part, count: int) -> Model:
    """So many hidden neurons: of more than a part's ends can take, in three layers."""
    if part.into == part.hidden:
        return chain(part, 2, (count, 2))
    return chain(part, 2, (part.into, count - part.into, 2))


def _entries(part: Part, more: int) -> Model:
    """As many recurrent entries as there are, and some more: all of one layer reach all of the next."""
    wide = part.fan_out if part.into == part.hidden else part.entries // part.into
    first = part.entries // wide
    full = np.full((wide, first), WEIGHT)
    if part.into == part.hidden:
        # sources are at their fan-out: one more of them
        full = np.hstack([full, WEIGHT * (np.arange(wide) < more)[:, None]])
        first += 1
    else:
        full = np.vstack([full, WEIGHT * (np.arange(first) < more)[None, :]])
        wide += 1
    return chain(part, 2, (first, wide, 2), full)


def _currents(target: str) -> Model:
    """Two connections with currents of their own, into two populations or into one."""
    eye = WEIGHT * np.eye(2)
    connections = [
        ("x", "input", "left", eye),
        ("y", "input", target, eye),
        ("z", "input", "right", eye),
        ("l", "left", "readout", eye),
        ("r", "right", "readout", eye),
    ]
    return network(2, {"left": 2, "right": 2, "readout": 2}, connections)


def pairs(part: Part) -> tuple[Limit, ...]:
    """Of each resource a model at its limit, and one just over."""
    most = limits.INPUT_CHANNELS
    found = {
        "input channels": [chain(part, n, (20, 2)) for n in (most, most + 1)],
        "hidden neurons": [_hidden(part, n) for n in (part.hidden, part.hidden + 1)],
        "output neurons": [chain(part, 2, (40, n)) for n in (part.outputs, part.outputs + 1)],
        "recurrent entries": [_entries(part, more) for more in (0, 1)],
    }
    if part.fan_out < part.hidden:
        fan = part.fan_out
        found["fan-out"] = [chain(part, 2, (2, n, 2), np.full((n, 2), WEIGHT)) for n in (fan, fan + 1)]
    if part.into < part.hidden:
        found["input neurons"] = [chain(part, 2, (n, 40, 2)) for n in (part.into, part.into + 1)]
        found["readout neurons"] = [_read(n) for n in (part.out_of, part.out_of + 1)]
    pairs = [Limit(resource=name, fits=fits, over=over) for name, (fits, over) in found.items()]
    if part.synapses > 1:
        options = {"synapse2": {"x": 3, "y": 4}}
        pairs.append(Limit(resource="synapses", fits=_currents("right"), over=_currents("left"), options=options))
    return tuple(pairs)


def _read(count: int) -> Model:
    """Two hidden layers, the second of which drives the outputs as a whole."""
    names = {"head": 40, "tail": count, "readout": 2}
    connections = [
        ("in", "input", "head", spread(40, 2)),
        ("on", "head", "tail", spread(count, 40)),
        ("out", "tail", "readout", spread(2, count)),
    ]
    return network(2, names, connections)


def overload(part: Part) -> Overload:
    """Every entry of the recurrent memory is used in every step of 1 ms: more cycles than 50 MHz allow."""
    steps, several = 20, 9
    t = np.repeat(np.arange(steps) * STEP_NS, 2 * several)
    index = np.tile(np.repeat(np.arange(2), several), steps)
    return Overload(model=_entries(part, 0), stimulus={"input": events(t, index)}, duration_ns=steps * STEP_NS)


def evidence(part: Part) -> Evidence:
    """All of it for one part."""
    return Evidence(vectors=read_vectors(VECTORS), limits=pairs(part), overload=overload(part))
