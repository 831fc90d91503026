"""Models that must be refused: too large, or using what a device does not declare."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import attrs
import numpy as np

from hal import nodes
from hal.model import Model
from hal.semantics import Semantics
from hal_conformance.networks.witness import Witness, neurons

MANY: Final = 1 << 20
"""Neurons of the large model: more than any chip of today has."""
TIME_CONSTANTS: Final = {"tau": 10.0, "tau_mem": 10.0, "tau_syn": 5.0}
KINDS: Final = (
    ("neuron.if", "IF"),
    ("neuron.lif", "LIF"),
    ("neuron.cuba", "CubaLIF"),
    ("neuron.integrator", "I"),
    ("neuron.integrator", "LI"),
    ("neuron.integrator", "CubaLI"),
    ("neuron.threshold", "Threshold"),
)


def large(witness: Witness) -> Model:
    """The witness's kind of neuron, a million of them behind one dense layer, in single precision."""
    like = witness.model.nodes[witness.populations[-1]]
    entry = witness.model.nodes[witness.input]
    weight = np.ones((MANY, entry.size), np.float32)
    parameters: dict[str, Any] = {
        name: np.full(MANY, getattr(like, name).flat[0], np.float32) for name in like.parameters
    }
    shaped: dict[str, nodes.Node] = {
        "input": nodes.Input(name="input", input_shape=(entry.size,), output_shape=(entry.size,)),
        "fc1": nodes.Linear(name="fc1", input_shape=(entry.size,), output_shape=(MANY,), weight=weight),
        "neurons": attrs.evolve(like, name="neurons", input_shape=(MANY,), output_shape=(MANY,), **parameters),
        "output": nodes.Output(name="output", input_shape=(MANY,), output_shape=(MANY,)),
    }
    chain = ("input", "fc1", "neurons", "output")
    return Model.of(shaped, list(pairwise(chain)), witness.model.semantics)


def undeclared(witness: Witness, capabilities: frozenset[str]) -> Iterator[tuple[str, str, Model]]:
    """(word, node, model) for each feature of a model that is not declared: the witness with that feature added."""
    for word, type_name in KINDS:
        # an integrator would be computed on the host, were it not in the midst of the network
        if word not in capabilities:
            yield word, "odd one", with_node(witness, _population(witness, type_name))
    if "delay.axonal" not in capabilities:
        shape = witness.model.nodes[witness.input].output_shape
        steps = np.full(shape, 3.0)
        node = nodes.Delay(name="odd one", input_shape=shape, output_shape=shape, delay=steps)
        yield "delay.axonal", "odd one", with_node(witness, node)
    if "route.recurrent" not in capabilities:
        yield "route.recurrent", witness.populations[0], recurrent(witness)
    if "route.inputs" not in capabilities:
        yield "route.inputs", "second input", _second_input(witness)


def with_node(witness: Witness, node: nodes.Node) -> Model:
    """The witness with one more node between its Input and its first layer."""
    model = witness.model
    edges = [(a, b) for a, b in model.edges if a != witness.input]
    edges += [(witness.input, node.name)] + [(node.name, b) for a, b in model.edges if a == witness.input]
    return Model.of({**model.nodes, node.name: node}, edges, model.semantics)


def _population(witness: Witness, type_name: str) -> nodes.Node:
    shape = witness.model.nodes[witness.input].output_shape
    if type_name == "Threshold":
        return nodes.Threshold(name="odd one", input_shape=shape, output_shape=shape, threshold=np.full(shape, 0.5))
    return neurons("odd one", type_name, shape, TIME_CONSTANTS)


def recurrent(witness: Witness) -> Model:
    """The witness with its first population feeding itself."""
    model, first = witness.model, witness.populations[0]
    shape = model.nodes[first].output_shape
    size = model.nodes[first].size
    back: nodes.Node = nodes.Linear(name="back", input_shape=shape, output_shape=shape, weight=-np.eye(size))
    if len(shape) > 1:
        back = nodes.Conv2d(
            name="back",
            input_shape=shape,
            output_shape=shape,
            weight=-np.eye(size)[:, :, None, None],
            bias=np.zeros(size),
            stride=(1, 1),
            padding=((0, 0), (0, 0)),
            dilation=(1, 1),
            groups=1,
        )
    edges = [*model.edges, (first, "back"), ("back", first)]
    return Model.of({**model.nodes, "back": back}, edges, model.semantics)


def _second_input(witness: Witness) -> Model:
    model = witness.model
    extra = attrs.evolve(model.nodes[witness.input], name="second input")
    first = next(b for a, b in model.edges if a == witness.input)
    return Model.of({**model.nodes, extra.name: extra}, [*model.edges, (extra.name, first)], model.semantics)


def without_step(model: Model) -> Model:
    """The same model where nobody said how long a step is."""
    semantics: Semantics = attrs.evolve(model.semantics, dt_ns=None)
    return model.with_semantics(semantics)
