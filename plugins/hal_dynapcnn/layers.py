"""From a model to the layers of a chain: what becomes a core, with which shapes, and what the chip cannot honour."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal import nodes
from hal.fit import Finding
from hal.model import Model, Projection
from hal.semantics import Rule
from hal_dynapcnn.config import SpeckMapOptions
from hal_dynapcnn.path import Float, Path, Shape3, pool_size


@attrs.frozen(kw_only=True, eq=False)
class Layer:
    """One core to be: parameters in model units, shapes as (features, y, x).

    pooling is what stands before it (1: none). factor turned the model's weights into `weights`: gain, average pooling
    and Scale folded in, (f_out, 1, 1, 1). model_bias is the bias before that. order and model_shape say how the
    model's own weight is laid out.
    """

    population: str
    weight_node: str
    folded: tuple[str, ...]
    source: str
    in_shape: Shape3
    out_shape: Shape3
    neuron_shape: tuple[int, ...]
    weights: Float
    bias: Float | None
    model_bias: Float
    factor: Float
    model_shape: tuple[int, ...]
    order: str
    stride: tuple[int, int]
    padding: tuple[int, int]
    pooling: int
    threshold: float
    threshold_low: float | None
    return_to_zero: bool
    start: Float

    def to_model(self, weights: NDArray[Any]) -> NDArray[Any]:
        """Kernels (f_out, f_in, y, x) in the shape of the model's own weight."""
        if len(self.model_shape) == 2 and self.order == "HWC":
            weights = weights.transpose(0, 2, 3, 1)
        return weights.reshape(self.model_shape)


class Reader:
    """Reads a model's populations one by one and collects findings."""

    def __init__(self, model: Model, options: SpeckMapOptions) -> None:
        self.model = model
        self.approximate = options.approximate
        self.v_min_factor = options.v_min_factor
        self.findings: list[Finding] = []
        self.layers: list[Layer] = []
        self.host_nodes: list[str] = []
        incoming: dict[str, list[Projection]] = {}
        for projection in model.projections():
            incoming.setdefault(projection.target, []).append(projection)
        for node in model.populations():
            if isinstance(node, nodes.Input):
                continue
            if not isinstance(node, nodes.IF):
                self.refuse(node.name, "type", f"{node.type} neurons are not on this chip", hint="it has IF neurons")
                continue
            into = incoming.get(node.name, [])
            if len(into) == 1:
                self._layer(node, into[0])
            elif not into:
                self.refuse(node.name, "input", "nothing feeds it")
            else:
                sources = ", ".join(projection.source for projection in into)
                self.refuse(node.name, "route.merge", f"fed by {sources}; only chains are emulated")
        if not any(isinstance(node, nodes.IF) for node in model.nodes.values()):
            self.refuse("", "neurons", "no IF neurons are left for the chip")
        for name in model.outputs:
            for projection in incoming.get(name, []):
                self._readout(name, projection)

    @property
    def refused(self) -> list[Finding]:
        """What does not run."""
        return [finding for finding in self.findings if finding.level == "refused"]

    def refuse(self, node: str, field: str, reason: str, wanted: Any = None, limit: Any = None, hint: str = "") -> None:
        """Note a reason for not running. The limit stands where other findings have what is realised."""
        self.findings.append(
            Finding(level="refused", node=node, field=field, reason=reason, wanted=wanted, realised=limit, hint=hint)
        )

    def say(self, level: Any, node: str, field: str, reason: str, wanted: Any = None, realised: Any = None) -> None:
        """Note a change, or just a fact."""
        self.findings.append(
            Finding(level=level, node=node, field=field, reason=reason, wanted=wanted, realised=realised)
        )

    # --- one population ----------------------------------------------------------------------------------------

    def _layer(self, node: nodes.IF, projection: Projection) -> None:
        before = len(self.refused)
        self._finite(node, "r", "v_threshold", "v_reset")
        path = Path(self.model, projection, self.refuse)
        if path.weight is not None:
            self._finite(path.weight, "weight", "bias")
        neuron = self._neuron(node) if len(self.refused) == before else None
        if path.weight is None or neuron is None or len(self.refused) > before:
            return
        gain, rest = neuron
        f_out = path.out_shape[0]
        per_feature = gain.reshape(f_out, -1)
        if (per_feature != per_feature[:, :1]).any():
            self.refuse(node.name, "r", "differs within a feature; a core has one kernel per feature")
            return
        row = per_feature[:, :1]
        factor = row[:, :, None, None] * path.factor
        bias = None if path.bias is None else path.bias * row[:, 0] * path.bias_factor
        per_tick = self.model.semantics.rule(path.weight).bias_meaning == "per_tick"
        self._bias(node.name, path.weight.name, bias, per_tick)
        self.layers.append(
            Layer(
                population=node.name,
                weight_node=path.weight.name,
                folded=path.folded,
                source=projection.source,
                in_shape=path.in_shape,
                out_shape=path.out_shape,
                neuron_shape=node.output_shape,
                weights=path.weights * factor,
                bias=bias,
                model_bias=np.zeros(f_out) if path.bias is None else path.bias,
                factor=factor,
                model_shape=path.weight.weight.shape,
                order=path.order,
                stride=path.stride,
                padding=path.padding,
                pooling=path.pooling,
                **rest,
            )
        )
        self._about_weights(self.layers[-1])

    def _finite(self, node: nodes.Node, *fields: str) -> None:
        for field in fields:
            bad = ~np.isfinite(getattr(node, field, 0.0))
            if bad.any():
                what = "values that are not finite (NaN or inf)"
                self.refuse(node.name, field, what, wanted=int(bad.sum()), limit="finite numbers")

    def _neuron(self, node: nodes.IF) -> tuple[Float, dict[str, Any]] | None:
        """(gain per neuron, the core's neuron parameters), or None when refused."""
        rule = self.model.semantics.rule(node)
        gain = self._gain(node, rule)
        theta = np.asarray(node.v_threshold, np.float64).ravel()
        values, counts = np.unique(theta, return_counts=True)
        if values.size > 1:
            odd = int(theta.size - counts.max())
            self.refuse(
                node.name,
                "v_threshold",
                f"{odd} of {theta.size} neurons differ; a core has one threshold",
                wanted=f"{values.size} values from {values[0]:g} to {values[-1]:g}",
                limit="one value",
                hint="train with one threshold per layer, or scale each feature's weights by 1/threshold",
            )
        elif values[0] <= 0:
            self.refuse(node.name, "v_threshold", "a neuron at rest would fire", wanted=float(values[0]), limit="> 0")
        self._reset(node, rule)
        if gain is None or values.size > 1 or values[0] <= 0:
            return None
        threshold = float(values[0])
        low = -threshold if rule.v_min == "-threshold" else rule.v_min
        if isinstance(low, float | int) and low >= threshold:
            self.refuse(node.name, "v_min", "not below the threshold", wanted=low, limit=threshold)
            return None
        if low is not None and low < 0 and self.v_min_factor != 1:
            self.say("changed", node.name, "v_min", "widened as v_min_factor asks", low, low * self.v_min_factor)
            low *= self.v_min_factor
        rest = {"v_reset": np.ravel(node.v_reset), "v_leak": np.zeros(1)}  # an IF leaks to nowhere
        start = rest.get(str(rule.start_state), np.ravel(rule.start_state) if rule.start_state else np.zeros(1))
        return gain, {
            "threshold": threshold,
            "threshold_low": None if low is None else float(low),
            "return_to_zero": rule.spike_reset in ("value", "discard_update"),
            "start": np.broadcast_to(np.asarray(start, np.float64), (node.size,)),
        }

    def _gain(self, node: nodes.IF, rule: Rule) -> Float | None:
        r = np.asarray(node.r, np.float64).ravel()
        if rule.gain in ("one", "1-decay"):
            return np.ones_like(r)
        if rule.gain == "r":
            return r
        if rule.tau_unit == "steps":
            return r
        dt_ns = self.model.semantics.dt_ns
        if dt_ns is None:
            self.refuse(
                node.name,
                "dt_ns",
                "this profile multiplies what a neuron takes in by r * dt, and nobody said dt",
                hint="Semantics(dt_ns=...), or --dt; or gain='one' if the weights are meant as they stand",
            )
            return None
        return r * dt_ns * (1e-6 if rule.tau_unit == "ms" else 1e-9)

    def _reset(self, node: nodes.IF, rule: Rule) -> None:
        """What the chip does after a spike, against what the semantics ask."""
        name = node.name
        if rule.spike_reset in ("value", "discard_update") and np.any(node.v_reset):
            worst = float(np.abs(node.v_reset).max())
            self.refuse(name, "v_reset", "the chip resets to 0 or subtracts the threshold", wanted=worst, limit=0)
        at_once = "the chip decides and resets at every event"
        if rule.spike_reset == "discard_update":
            self._approximated("reset", name, "spike_reset", at_once, "discard_update", "reset to 0 at once")
        if rule.reset_delay:
            self._approximated("reset", name, "reset_delay", at_once, 1, 0)
        if rule.fires_on == "old":
            self._approximated("reset", name, "fires_on", at_once, "old", "new")
        if rule.edge_delay:
            self._approximated("delays", name, "edge_delay", "spikes reach the next core at once", rule.edge_delay, 0)
        if rule.spikes_per_step == "many":
            self.say(
                "changed",
                name,
                "spikes_per_step",
                "input is taken in event by event and each synaptic update gives at most one spike",
                "many",
                "one per update",
            )
        elif rule.bias_meaning == "per_step":
            self.say(
                "changed",
                name,
                "step",
                "input of a step is taken in event by event, not summed before the test",
                "sum, then test",
                "test after every event",
            )
        if rule.compare == ">":
            self.say("changed", name, "compare", "the chip fires at equality, too", ">", ">=")

    def _approximated(self, word: str, node: str, field: str, reason: str, wanted: Any, realised: Any) -> None:
        """A change if the user lets the mapper make it, else a refusal."""
        if word in self.approximate:
            self.say("changed", node, field, reason, wanted, realised)
        else:
            hint = f"allow it with approximate={{'{word}'}}"
            self.refuse(node, field, reason, wanted=wanted, limit=realised, hint=hint)

    def _bias(self, population: str, node: str, bias: Float | None, per_tick: bool) -> None:
        if bias is None or per_tick or not bias.any():
            return
        count = int(np.count_nonzero(bias))
        if "leak" in self.approximate:
            self.say(
                "changed",
                node,
                "bias",
                f"{count} biases per step become a leak per slow-clock tick; give @slow_clock one tick per dt",
                "per step",
                "per tick",
            )
        else:
            self.refuse(
                node,
                "bias",
                f"{count} biases act once per step; the chip has no steps",
                wanted=float(bias[np.argmax(np.abs(bias))]),
                limit=0,
                hint=f"train {population} without bias, or allow a leak per slow-clock tick: approximate={{'leak'}}",
            )

    def _about_weights(self, layer: Layer) -> None:
        """The vendor's tip: a neuron whose weights exceed its threshold keeps firing."""
        over = int((layer.weights > layer.threshold).sum())
        twice = int((layer.weights >= 2 * layer.threshold).sum())
        subtract = not layer.return_to_zero
        if over:
            more = "; what is left over keeps the neuron firing at later events" if subtract else ""
            self.say(
                "note",
                layer.weight_node,
                "weight",
                f"{over} weights exceed the threshold of {layer.population}{more}",
                f"largest {layer.weights.max():g}",
                f"threshold {layer.threshold:g}",
            )
        if twice:
            self.say(
                "changed",
                layer.weight_node,
                "weight above twice the threshold",
                f"{twice} weights are worth several spikes of {layer.population}; an update gives one",
                f"{layer.weights.max() / layer.threshold:.3g} thresholds",
                "1 spike per update",
            )

    # --- read-out ----------------------------------------------------------------------------------------------

    def _readout(self, output: str, projection: Projection) -> None:
        """Monitors tap before pooling: what stands between the last neurons and the Output is done at read-out."""
        for node in projection.path:
            if type(node) is nodes.SumPool2d and pool_size(node, self.refuse) is not None:
                self.host_nodes.append(node.name)
            elif isinstance(node, nodes.Flatten):
                self.host_nodes.append(node.name)
                if self.model.semantics.rule(node).flatten_order == "HWC" and len(node.input_shape) == 3:
                    self.refuse(
                        node.name, "flatten_order", "an Output in H, W, C order", hint="reorder after recording"
                    )
            elif type(node) is not nodes.SumPool2d:
                self.refuse(
                    node.name,
                    "type",
                    f"{node.type} between neurons and Output is not on this chip",
                    hint="end the network with IF neurons",
                )
        if projection.source in self.model.inputs:
            self.refuse(output, "input", "no neurons between Input and Output")
