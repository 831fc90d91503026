"""From a model to the layers of a chip: what becomes a core, with which shapes, and what the chip cannot honour."""

from __future__ import annotations

import attrs
import numpy as np

from hal import nodes
from hal.model import Model, Projection
from hal.notes import Notes
from hal_dynapcnn import chips
from hal_dynapcnn.merging import Bias, Feed, Kernel, Merged, merge
from hal_dynapcnn.neurons import Neuron, Neurons
from hal_dynapcnn.options import SpeckMapOptions
from hal_dynapcnn.path import Float, Path, Shape3, core_shapes, pool_size


@attrs.frozen(kw_only=True, eq=False)
class Layer:
    """One core to be: parameters in model units, shapes as (features, y, x).

    weights are what the core multiplies with: gains, average pooling and Scale folded in. bias is the sum of all
    biases, None where no node has one.
    """

    population: str
    feeds: tuple[Feed, ...]
    in_shape: Shape3
    out_shape: Shape3
    neuron_shape: tuple[int, ...]
    weights: Float
    bias: Float | None
    biases: tuple[Bias, ...]
    stride: tuple[int, int]
    padding: tuple[int, int]
    threshold: float
    threshold_low: float | None
    return_to_zero: bool
    start: Float
    spread: int = 1
    """Only every so-manieth feature of the core is one of these; the others are silent (readout block of 2e and 2f)."""

    @property
    def core_shape(self) -> Shape3:
        """(features, y, x) of the core."""
        features, y, x = self.out_shape
        return (features - 1) * self.spread + 1, y, x

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """What its kernel is made of, each part once, by input feature."""
        return tuple({feed.feature_shift: feed.kernel for feed in self.feeds}.values())

    @property
    def weight_node(self) -> str:
        """Whom findings about all weights name: the one node that holds them, else the population."""
        names = {kernel.node for kernel in self.kernels if kernel.node}
        return names.pop() if len(names) == 1 else self.population

    @property
    def bias_node(self) -> str:
        """The same for all biases."""
        return self.biases[0].node if len(self.biases) == 1 else self.population


class Reader:
    """Reads a model's populations one by one and collects findings."""

    def __init__(self, model: Model, options: SpeckMapOptions) -> None:
        self.model = model
        self.options = options
        self.notes = Notes(frozenset(options.approximate))
        self.findings = self.notes.findings
        self.neurons = Neurons(model, options.v_min_factor, self.notes)
        self.rank = {name: i for i, name in enumerate(model.order())}
        self.shapes = core_shapes(model)
        self.layers: list[Layer] = []
        self.host_nodes: list[str] = []
        self.incoming: dict[str, list[Projection]] = {}
        for projection in sorted(model.projections(), key=lambda p: self.rank[p.source]):
            self.incoming.setdefault(projection.target, []).append(projection)
        for node in model.populations():
            if isinstance(node, nodes.IF):
                self._population(node)
            elif not isinstance(node, nodes.Input):
                self.refuse(node.name, "type", f"{node.type} neurons are not on this chip", hint="it has IF neurons")
        self._destinations()
        self._feedback()
        self._loose_ends()
        for name in model.outputs:
            self._readout(name)

    @property
    def complete(self) -> bool:
        """Whether all populations became layers, so that cores can be asked for, whatever else does not run."""
        return len(self.layers) == sum(not isinstance(node, nodes.Input) for node in self.model.populations())

    def refuse(self, *said: object, **more: object) -> None:
        """Note a reason for not running."""
        self.notes.refuse(*said, **more)  # type: ignore[arg-type]

    # --- one population ----------------------------------------------------------------------------------------

    def _population(self, node: nodes.IF) -> None:
        into = self.incoming.get(node.name, [])
        if not into:
            self.refuse(node.name, "input", "nothing feeds it")
        good = self._finite(node, "r", "v_threshold", "v_reset")
        paths = [Path(self.model, p, self.shapes[p.source], self.notes.refuse) for p in into]
        good &= all(self._finite(path.weight, "weight", "bias") for path in paths if path.weight is not None)
        good &= bool(paths) and not any(path.refused for path in paths)
        neuron = self.neurons.read(node) if good else None
        if neuron is None:
            return
        per_feature = neuron.gain.reshape(paths[0].out_shape[0], -1)
        if (per_feature != per_feature[:, :1]).any():
            self.refuse(node.name, "r", "differs within a feature; a core has one kernel per feature")
            return
        merged = merge(node.name, paths, per_feature[:, 0], self.options.average_merge, self.notes)
        if merged is not None:
            self._layer(node, neuron, merged)

    def _layer(self, node: nodes.IF, neuron: Neuron, merged: Merged) -> None:
        for bias in merged.biases:
            self._bias(node.name, bias)
        layer = Layer(
            population=node.name,
            neuron_shape=node.output_shape,
            bias=sum(bias.values * bias.factor for bias in merged.biases) if merged.biases else None,  # type: ignore[arg-type]  # never an empty sum
            threshold=neuron.threshold,
            threshold_low=neuron.threshold_low,
            return_to_zero=neuron.return_to_zero,
            start=neuron.start,
            **{field.name: getattr(merged, field.name) for field in attrs.fields(Merged)},
        )
        self.layers.append(layer)
        for kernel in layer.kernels:
            self._about_weights(layer, kernel)

    def _finite(self, node: nodes.Node, *fields: str) -> bool:
        good = True
        for field in fields:
            bad = ~np.isfinite(getattr(node, field, 0.0))
            if bad.any():
                what = "values that are not finite (NaN or inf)"
                self.refuse(node.name, field, what, wanted=int(bad.sum()), limit="finite numbers")
                good = False
        return good

    def _bias(self, population: str, bias: Bias) -> None:
        """A bias per step is no leak per tick."""
        per_tick = self.model.semantics.rule(self.model.nodes[bias.node]).bias_meaning == "per_tick"
        values = bias.values * bias.factor
        if per_tick or not values.any():
            return
        count = int(np.count_nonzero(values))
        if "leak" in self.notes.approximate:
            reason = f"{count} biases per step become a leak per slow-clock tick; give @slow_clock one tick per dt"
            self.notes.say("changed", bias.node, "bias", reason, "per step", "per tick")
        else:
            self.refuse(
                bias.node,
                "bias",
                f"{count} biases act once per step; the chip has no steps",
                wanted=float(values[np.argmax(np.abs(values))]),
                limit=0,
                hint=f"train {population} without bias, or allow a leak per slow-clock tick: approximate={{'leak'}}",
            )

    def _about_weights(self, layer: Layer, kernel: Kernel) -> None:
        """The vendor's tip: a neuron whose weights exceed its threshold keeps firing."""
        weights = kernel.part(layer.weights)
        node = kernel.node or layer.population
        over = int((weights > layer.threshold).sum())
        twice = int((weights >= 2 * layer.threshold).sum())
        subtract = not layer.return_to_zero
        if over:
            more = "; what is left over keeps the neuron firing at later events" if subtract else ""
            self.notes.say(
                "note",
                node,
                "weight",
                f"{over} weights exceed the threshold of {layer.population}{more}",
                f"largest {weights.max():g}",
                f"threshold {layer.threshold:g}",
            )
        if twice:
            self.notes.say(
                "changed",
                node,
                "weight above twice the threshold",
                f"{twice} weights are worth several spikes of {layer.population}; an update gives one",
                f"{weights.max() / layer.threshold:.3g} thresholds",
                "1 spike per update",
            )

    # --- the graph ---------------------------------------------------------------------------------------------

    def _destinations(self) -> None:
        """Every projection takes up a destination of its source. The host, behind the Inputs, has no such limit."""
        targets: dict[str, list[str]] = {}
        for name in sorted(self.incoming, key=self.rank.__getitem__):
            for projection in self.incoming[name]:
                if name not in self.model.outputs and projection.source not in self.model.inputs:
                    targets.setdefault(projection.source, []).append(name)
        for source, names in targets.items():
            if len(names) > chips.CORE_DESTINATIONS:
                self.refuse(
                    source,
                    "destinations",
                    f"{source} has {len(names)} destinations, {', '.join(names)}; a core has {chips.CORE_DESTINATIONS}",
                    wanted=len(names),
                    limit=chips.CORE_DESTINATIONS,
                    hint="let a copy of the population feed some of them: IF neurons behind a 1 x 1 identity whose "
                    "weights equal their threshold, at the price of a core",
                )

    def _feedback(self) -> None:
        """Loops run, at once and at the vendor's warning."""
        for name in sorted(self.incoming, key=self.rank.__getitem__):
            for projection in self.incoming[name]:
                if projection.recurrent:
                    rule = self.model.semantics.rule(self.model.nodes[projection.source])
                    self.notes.say(
                        "changed",
                        name,
                        "feedback_delay",
                        f"the projection {projection.source} -> {name} closes a loop; the model delays its spikes, "
                        "the chip puts them at the end of the queue at once",
                        f"{rule.feedback_delay} step" + "s" * (rule.feedback_delay > 1),
                        "no delay",
                        "loops can deadlock the chip, each core waiting for the other (vendor's documentation on "
                        "network architectures): keep the gain around the loop below one spike per spike",
                    )

    def _loose_ends(self) -> None:
        """Nodes that lead to no neurons, and models without any."""
        model = self.model
        if not any(isinstance(node, nodes.IF) for node in model.nodes.values()):
            self.refuse("", "neurons", "no IF neurons are left for the chip")
        used = {node.name for p in model.projections() for node in p.path} | {*model.inputs, *model.outputs}
        for node in model.nodes.values():
            if node.name not in used and not node.population:
                reason = f"this {node.type} lies on no way from an Input to neurons or to an Output"
                self.refuse(node.name, "type", reason, hint="put IF neurons behind it, or take it out")

    def _readout(self, output: str) -> None:
        """Monitors tap before pooling: what stands between the last neurons and the Output is done at read-out."""
        into = self.incoming.get(output, [])
        sources = [projection.source for projection in into]
        for source in dict.fromkeys(sources):
            if source in self.model.inputs:
                self.refuse(output, "input", "no neurons between Input and Output")
            elif sources.count(source) > 1:
                reason = f"{source} reaches it by {sources.count(source)} ways; a monitor taps once"
                self.refuse(output, "input", reason, hint="one Output for each way")
        for node in dict.fromkeys(node for projection in into for node in projection.path):
            if type(node) is nodes.SumPool2d and pool_size(node, self.notes.refuse) is not None:
                self.host_nodes.append(node.name)
            elif isinstance(node, nodes.Flatten):
                self.host_nodes.append(node.name)
                if self.model.semantics.rule(node).flatten_order == "HWC" and len(node.input_shape) == 3:
                    reason = "an Output in H, W, C order"
                    self.refuse(node.name, "flatten_order", reason, hint="reorder after recording")
            elif type(node) is not nodes.SumPool2d:
                self.refuse(
                    node.name,
                    "type",
                    f"{node.type} between neurons and Output is not on this chip",
                    hint="end the network with IF neurons",
                )
