"""The graph of a model as the chip sees it: who is hidden and who is read out, and when spikes arrive.

Hidden neurons hear each other, and the outputs hear them, one step late; events of an input act in their own step.
"""

from __future__ import annotations

from typing import Final

from hal import nodes
from hal.model import Model, Projection
from hal.notes import Notes

from hal_xylo import limits
from hal_xylo.limits import Part
from hal_xylo.options import XyloMapOptions

WEIGHTED: Final = (nodes.Linear, nodes.Affine, nodes.Conv1d, nodes.Conv2d)


class Graph:
    """Populations, their projections and their delays, with what is to be said of them."""

    def __init__(self, model: Model, options: XyloMapOptions, part: Part) -> None:
        self.model, self.options, self.part = model, options, part
        self.notes = Notes(frozenset(options.approximate))
        self.incoming: dict[str, list[Projection]] = {}
        for projection in model.projections():
            self.incoming.setdefault(projection.target, []).append(projection)
        self.spiking = [node for node in model.populations() if not isinstance(node, nodes.Input)]
        self.readouts = {p.source for name in model.outputs for p in self.incoming.get(name, [])}
        self.latency = self._latencies()
        self._options()

    def check_graph(self) -> None:
        """What the chip has no way for."""
        refuse = self.notes.refuse
        if len(self.spiking) < 2 or all(node.name in self.readouts for node in self.spiking):
            hint = "put a layer of CubaLIF neurons between the inputs and the output neurons"
            refuse("", "layers", "a layer of hidden and one of output neurons are needed", len(self.spiking), 2, hint)
        for target, projections in self.incoming.items():
            for p in projections:
                if target in self.model.outputs:
                    self._read_out(p)
                elif p.source in self.readouts and p.source == target:
                    refuse(target, "recurrence", "output neurons cannot be recurrent", hint="add an output layer")
                elif p.source in self.readouts:
                    reason = f"its spikes leave the chip, and feed {target}; those of output neurons reach no neuron"
                    refuse(p.source, "readout", reason, hint="add a layer of output neurons behind it")
                elif target in self.readouts and p.source in self.model.inputs:
                    reason = f"output neurons take no input; {p.source} reaches {target} without hidden neurons"
                    refuse(target, "input", reason, hint="put hidden neurons between them")

    def _read_out(self, p: Projection) -> None:
        if p.source in self.model.inputs:
            self.notes.refuse(p.target, "input", "no neurons between Input and Output", hint="end with neurons")
        for node in p.path:
            if not isinstance(node, nodes.Flatten):
                hint = "end the network with neurons"
                self.notes.refuse(node.name, "type", f"{node.type} between neurons and Output", hint=hint)

    def _options(self) -> None:
        """Names in the options that mean nothing."""
        weights = {
            node.name for ps in self.incoming.values() for p in ps for node in p.path if isinstance(node, WEIGHTED)
        }
        for name in self.options.synapse2:
            if name not in weights:
                self.notes.refuse("", "synapse2", "no such weight node before neurons", name, sorted(weights))
        hidden = {n.name: n for n in self.spiking if n.name not in self.readouts}
        for source, targets in self.options.alias.items():
            if len(targets) > limits.ALIASES:
                hint = "an alias of the alias copies on, in rising order of ids"
                reason = f"aliases of a neuron: {', '.join(targets)}"
                self.notes.refuse(source, "alias", reason, len(targets), limits.ALIASES, hint)
            for name in (source, *targets):
                if name not in hidden:
                    reason = f"an alias joins hidden populations; {name} is none"
                    self.notes.refuse("", "alias", reason, name, sorted(hidden))
                elif source in hidden and hidden[name].size != hidden[source].size:
                    sizes = hidden[source].size, hidden[name].size
                    self.notes.refuse(source, "alias", f"{name} has another size", sizes[1], sizes[0])

    def second(self, into: list[Projection]) -> int | None:
        """The dash of the second current of a population, the first one named."""
        return next(iter(sorted(self._dashes(into))), None)

    def _dashes(self, into: list[Projection]) -> set[int]:
        named = self.options.synapse2
        return {named[node.name] for p in into for node in p.path if node.name in named}

    def currents(self, name: str) -> int:
        """How many currents a population needs."""
        return 1 + len(self._dashes(self.incoming.get(name, [])))

    # --- time ----------------------------------------------------------------------------------------------------

    def _steps(self, p: Projection) -> tuple[float, str]:
        """Steps of a connection in the model, and the word that says so."""
        rule = self.model.semantics.rule(self.model.nodes[p.source])
        return (rule.feedback_delay, "feedback_delay") if p.recurrent else (rule.edge_delay, "edge_delay")

    def _latencies(self) -> dict[str, int]:
        """Steps by which each population is late, the longest way counting; a cycle is late as a whole."""
        group = {name: name for name in self.model.nodes}
        inner = [p for t, ps in self.incoming.items() if t not in self.model.outputs for p in ps]
        for p in inner:
            if p.recurrent:
                old, new = group[p.target], group[p.source]
                group = {name: new if member == old else member for name, member in group.items()}
        late = dict.fromkeys(group.values(), 0)
        for _ in late:
            for p in inner:
                if not p.recurrent:
                    took = int(p.source not in self.model.inputs) - int(self._steps(p)[0])
                    late[group[p.target]] = max(late[group[p.target]], late[group[p.source]] + took)
        return {name: late[member] for name, member in group.items()}

    def check_time(self, p: Projection) -> None:
        """Whether a connection takes as long on the chip, latencies taken off."""
        steps, word = self._steps(p)
        chip = int(p.source not in self.model.inputs)
        wanted = int(steps) + self.latency[p.target] - self.latency[p.source]
        if wanted != chip:
            reason = f"spikes of {p.source} take {chip} steps on the chip, and cannot be held back"
            self.notes.approximated("delays", p.target, word, reason, wanted, chip)
