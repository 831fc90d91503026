"""Drawing small networks in a witness's dialect, and what is asked of them: stimuli, and answers known beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from hal import nodes
from hal.events import Records, Signal, events
from hal.model import Model
from hal.semantics import Semantics
from hal_conformance.networks.witness import STEP_NS, Witness, connection, shape_of

__all__ = ["Case", "Draft", "Feature", "at", "both_forms"]


@attrs.frozen(kw_only=True, eq=False)
class Case:
    """One run: what is fed in, for how many steps, and what nodes give, or Outputs as values row by row."""

    what: str
    stimulus: Mapping[str, Records | Signal]
    steps: int
    wanted: Mapping[str, Records] = attrs.field(factory=dict)
    values: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True, eq=False)
class Feature:
    """A network that uses what a capability word names.

    form: which way of using it; features of the same form are alternatives, of which a device takes the first it can.
    node: where the need is, as a refusal says it. record: populations to probe. others: the cases with other answers,
    each in place of `cases` as a whole, by the field that a device lists as changed when it answers so. without: models
    that lack what the feature adds; where a case says no answer, that of the device is nearer to `ideal` on the model
    than to `ideal` on any of these.
    """

    form: str
    node: str
    model: Model
    cases: tuple[Case, ...]
    record: tuple[str, ...] = ()
    others: Mapping[str, tuple[Case, ...]] = attrs.field(factory=dict)
    without: Mapping[str, Model] = attrs.field(factory=dict)


class Draft:
    """A network in the making: names, shapes and edges; neurons and rules are those of a witness.

    relayed: every Output is behind neurons of its own, that hand on what they hear. Some chips have such neurons only.
    """

    def __init__(self, witness: Witness, conv: bool, relayed: bool = False) -> None:
        self.witness = witness
        self.conv = conv
        self.relayed = relayed
        self._nodes: dict[str, nodes.Node] = {}
        self._edges: list[tuple[str, str]] = []

    def input(self, name: str, size: int) -> str:
        """An Input of so many channels."""
        shape = shape_of(size, self.conv)
        return self.put(nodes.Input(name=name, input_shape=shape, output_shape=shape))

    def neurons(self, name: str, size: int) -> str:
        """A population of the witness's kind of neurons."""
        like: Any = self.witness.model.nodes[self.witness.populations[-1]]
        shape = shape_of(size, self.conv)
        parameters = {key: np.full(shape, getattr(like, key).flat[0]) for key in like.parameters}
        return self.put(attrs.evolve(like, name=name, input_shape=shape, output_shape=shape, **parameters))

    def put(self, node: nodes.Node, source: str = "") -> str:
        """Any node, behind another."""
        self._nodes[node.name] = node
        if source:
            self._edges.append((source, node.name))
        return node.name

    def weights(self, source: str, target: str, matrix: Sequence[Sequence[float]]) -> str:
        """A connection with a matrix (target, source); what its node is called."""
        weight = np.array(matrix, np.float64)
        name = f"{source} to {target}"
        shapes = self._nodes[source].output_shape, self._nodes[target].input_shape
        self.put(connection(name, weight, *shapes, self.conv), source)
        self._edges.append((name, target))
        return name

    def output(self, name: str, *sources: str) -> str:
        """An Output of these populations, or of relays behind them."""
        relays = (self.relay(source, f"{source} for {name}") for source in sources) if self.relayed else sources
        return self.end(name, *relays)

    def end(self, name: str, *sources: str) -> str:
        """An Output of these nodes."""
        shape = self._nodes[sources[0]].output_shape
        self.put(nodes.Output(name=name, input_shape=shape, output_shape=shape))
        self._edges += [(source, name) for source in sources]
        return name

    def relay(self, source: str, name: str) -> str:
        """Neurons that fire whenever those of the source do."""
        size = int(np.prod(self._nodes[source].output_shape))
        self.neurons(name, size)
        self.weights(source, name, (self.witness.dialect.strong * np.eye(size)).tolist())
        return name

    def drop(self, name: str) -> None:
        """Take a node out again, and its edges."""
        del self._nodes[name]
        self._edges = [edge for edge in self._edges if name not in edge]

    def model(self, **semantics: Any) -> Model:
        """What was drawn; `semantics` as in the witness, but for these fields."""
        said: Semantics = attrs.evolve(self.witness.model.semantics, **semantics)
        return Model.of(self._nodes, self._edges, said)


def both_forms(witness: Witness, relays: bool = True) -> Iterator[Draft]:
    """Empty drafts: of the witness's own kind of connections, then of the other; and both with relays, if wanted."""
    conv = witness.form.endswith(("convolution", "convolutions"))
    for relayed in (False, True) if relays else (False,):
        yield Draft(witness, conv, relayed)
        yield Draft(witness, not conv, relayed)


def at(*pairs: tuple[int, int]) -> Records:
    """Events from (step, index)."""
    steps = np.array([step for step, _ in pairs], np.int64)
    return events(steps * STEP_NS, np.array([index for _, index in pairs], np.int64))
