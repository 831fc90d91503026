"""From a model to the registers: what the chip keeps of its rules, its numbers in integers, synapses, places."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from hal import nodes
from hal.config import MapOptions
from hal.events import Port, Probe
from hal.fit import Finding, FitReport, FitRow
from hal.mapper import Mapper, Plan
from hal.mapping import Losses, Mapping, Placement, plain_fates
from hal.model import Model, Projection
from hal.notes import Notes, Only
from hal.stepping import PerStep, per_step
from numpy.typing import NDArray

from hal_mychip import config
from hal_mychip.config import Block, MychipConfig

# region: rules
NEURONS = (
    Only(field="spike_reset", keeps=("value", "subtract"), reason="the chip starts from 0 or subtracts the threshold"),
    Only(field="reset_delay", keeps=(0,), reason="the chip resets in the step of the spike"),
    Only(field="fires_on", keeps=("new",), reason="the chip compares after the update"),
    Only(field="spikes_per_step", keeps=("one",), reason="a neuron fires once per step"),
    Only(field="v_min", keeps=(None,), reason="the chip has no lower bound but that of its 24 bits"),
)
"""What the chip keeps of the fields of `hal.semantics.Rule`. Fields that are not here it keeps whatever they say:
`compare` by its threshold register, gains and units of time by `per_step`, the order of Flatten by `labels`."""
DELAYS = (Only(field="edge_delay", keeps=(0, 1), reason="a synapse acts in this step or in the next"),)
FEEDBACK = (Only(field="feedback_delay", keeps=(1,), reason="within a loop a synapse acts in the next step"),)
# endregion


@attrs.frozen(eq=False)
class Synapses:
    """One projection: per synapse its target and source, flat, and which weight of a node it is."""

    projection: Projection
    node: Any
    target: NDArray[np.int64]
    source: NDArray[np.int64]
    weight: NDArray[np.int64]


@attrs.frozen(eq=False)
class Layer:
    """A population in integers: a number stands for so many times `unit` of the membrane.

    gain: what the model's weights are multiplied with. codes: of the weights of every node that leads here.
    """

    node: Any
    gain: float
    unit: float
    threshold: NDArray[np.int64]
    codes: dict[str, NDArray[np.int64]]


class MychipMapper(Mapper):
    """Graphs of dense and convolution layers with IF neurons."""

    # region: plan
    def _plan(
        self,
        model: Model,
        options: MapOptions,
        record: tuple[Probe, ...],
        like: Mapping | None,
        seed: int,
        rates_hz: MappingABC[str, float] | None,
    ) -> Plan:
        if model.semantics.dt_ns is None:
            return Plan()  # the core has refused that already
        notes = Notes(frozenset(options.approximate))
        synapses = _connections(model, notes)
        layers = [_layer(model, node, synapses, notes) for node in model.populations() if isinstance(node, nodes.IF)]
        rows = _rows(model, synapses) + _rates(model, rates_hz, notes)
        made = [layer for layer in layers if layer is not None]
        # neurons of other kinds are refused by the core, in their capability's word
        others = len(model.populations()) - len(model.inputs) - len(made)
        if others or notes.refused or not all(row.ok for row in rows if row.when == "map"):
            return Plan(rows=rows, findings=notes.findings)
        registers = _registers(model, made, synapses)
        realised = _realised(made)
        return Plan(
            rows=rows,
            findings=notes.findings,
            config=registers,
            placement=_placement(registers),
            fates=plain_fates(model),
            losses=_losses(model, realised),
            realised=realised,
            step_ns=model.semantics.dt_ns,
        )

    # endregion

    # region: registers
    def _adopt(self, config: MychipConfig) -> Mapping:
        return Mapping(
            device=self.spec.name,
            config=config,
            placement=_placement(config),
            fit=FitReport(device=self.spec.name),
            inputs=tuple(Port(block.name, block.shape) for block in config.inputs),
            outputs=tuple(Port(block.name, block.shape) for block in config.populations),
            step_ns=config.step_ns,
        )

    def _edit(self, mapping: Mapping, config: MychipConfig) -> Sequence[FitRow | Finding]:
        notes = Notes(frozenset())
        for field in ("step_ns", "inputs", "populations"):
            if getattr(config, field) != getattr(mapping.config, field):
                notes.refuse("", field, "edited registers keep it", hint="map again, or adopt the registers")
        return notes.findings

    # endregion


# --- what the model asks for ------------------------------------------------------------------------------------------


# region: connections
def _connections(model: Model, notes: Notes) -> list[Synapses]:
    """The synapses of every projection; what cannot be one is refused."""
    found = []
    leads: dict[str, str] = {}
    for p in model.projections():
        if p.target in model.outputs:
            _readout(model, p, notes)
            continue
        rule = model.semantics.rule(model.nodes[p.source])
        notes.only(p.source, rule, FEEDBACK if p.recurrent else DELAYS)
        if p.bias is not None:
            notes.refuse(p.path[-1].name, "bias", "the chip has no biases", wanted=float(np.abs(p.bias).max()), limit=0)
        labels = p.labels()
        if labels is None:
            where = p.path[-1].name if p.path else p.target
            notes.refuse(where, "type", f"{p.source} reaches {p.target} by other than one weight for each pair",
                         hint="one Linear, Affine or Conv; pools and scales folded into its weights")  # fmt: skip
            continue
        node, table = labels
        if leads.setdefault(node.name, p.target) != p.target:
            reason = f"the same weights lead to {leads[node.name]} and {p.target}"
            notes.refuse(node.name, "weight", reason, hint="a node of weights for each")
        pairs = table.tocoo()
        weight = pairs.data - 1
        there = np.ravel(node.weight)[weight] != 0
        found.append(Synapses(p, node, pairs.row[there], pairs.col[there], weight[there]))
    return found


def _readout(model: Model, p: Projection, notes: Notes) -> None:
    """Spikes leave as they are."""
    if p.source in model.inputs:
        notes.refuse(p.target, "input", f"no neurons between {p.source} and {p.target}")
    for node in p.path:
        if not isinstance(node, nodes.Flatten) or p.hwc:
            notes.refuse(node.name, "type", f"{node.type} between neurons and Output", hint="end with neurons")


# endregion


# region: numbers
def _neurons(node: nodes.IF, numbers: PerStep, notes: Notes) -> None:
    """What the chip does otherwise than the neurons' rule and numbers say."""
    notes.only(node.name, numbers.rule, NEURONS)
    gain, threshold = numbers.gain, numbers.threshold
    if not gain[0] or (gain != gain[0]).any():
        notes.refuse(node.name, "r", "the neurons of a population share one gain, other than 0")
    if not (threshold > 0).all():
        notes.refuse(
            node.name, "v_threshold", "a neuron at rest would fire", wanted=float(threshold.min()), limit="> 0"
        )
    if numbers.rule.spike_reset == "value" and numbers.v_reset.any():
        notes.refuse(node.name, "v_reset", "the chip starts again from 0", wanted=float(numbers.v_reset[0]), limit=0)
    if numbers.v_start.any():
        notes.refuse(node.name, "start_state", "the chip starts from 0", wanted=float(numbers.v_start[0]), limit=0)


# endregion


# region: integers
def _layer(model: Model, node: nodes.IF, synapses: list[Synapses], notes: Notes) -> Layer | None:
    """A population in integers; None where anything of it is refused."""
    before = len(notes.refused)
    numbers = per_step(node, model.semantics, model.semantics.dt_ns or 0)
    _neurons(node, numbers, notes)
    into = {s.node.name: s.node for s in synapses if s.projection.target == node.name}
    weights = {name: np.ravel(other.weight).astype(np.float64) * numbers.gain[0] for name, other in into.items()}
    own = np.concatenate([np.ravel(getattr(node, parameter)) for parameter in node.parameters])
    for name in [name for name, values in {**weights, node.name: own}.items() if not np.isfinite(values).all()]:
        notes.refuse(name, "values", "not all are finite", limit="finite numbers")
    if len(notes.refused) > before:
        return None
    largest = max((float(np.abs(w).max()) for w in weights.values()), default=0.0)
    needed = max(largest / config.WEIGHT_MAX, float(numbers.threshold.max()) / config.THRESHOLD_MAX)
    # a power of two, so that every number of the chip is exact in the model's units
    unit = 2.0 ** np.ceil(np.log2(needed))
    return Layer(
        node=node,
        gain=float(numbers.gain[0]),
        unit=unit,
        threshold=np.maximum(np.rint(numbers.threshold / unit), 1).astype(np.int64),
        codes={name: np.rint(w / unit).astype(np.int64) for name, w in weights.items()},
    )


# endregion


# --- what it needs, and what becomes of it ----------------------------------------------------------------------------


# region: rows
def _rows(model: Model, synapses: list[Synapses]) -> list[FitRow]:
    """What is known before running, whether it suffices or not."""
    channels = sum(model.nodes[name].size for name in model.inputs)
    neurons = sum(node.size for node in model.populations()) - channels
    return [
        FitRow(resource=name, place="chip", node="", needed=needed, limit=limit, unit=name)
        for name, needed, limit in (
            ("neurons", neurons, config.NEURONS),
            ("synapses", sum(s.target.size for s in synapses), config.SYNAPSES),
            ("channels", channels, config.CHANNELS),
        )
    ]


def _rates(model: Model, rates_hz: MappingABC[str, float] | None, notes: Notes) -> list[FitRow]:
    """What depends on activity, where rates were given."""
    if rates_hz is None:
        return []
    missing = [name for name in model.inputs if name not in rates_hz]
    for name in missing:
        notes.say("note", name, "input events", "no rate was given: nothing can be said of the events per step")
    if missing:
        return []
    needed = sum(rates_hz[name] for name in model.inputs) * (model.semantics.dt_ns or 0) * 1e-9
    return [
        FitRow(resource="input events", place="chip", node="", needed=needed, limit=config.EVENTS_PER_STEP,
               unit="events per step", hint="more are dropped", when="run")
    ]  # fmt: skip


# endregion


def _registers(model: Model, layers: list[Layer], synapses: list[Synapses]) -> MychipConfig:
    """Everything by address: channels and neurons in the model's order, synapses by source."""
    inputs = [Block(name=name, shape=model.nodes[name].output_shape) for name in model.inputs]
    populations = [Block(name=layer.node.name, shape=layer.node.output_shape) for layer in layers]
    ends = np.cumsum([0, *(block.size for block in (*inputs, *populations))])
    base = {block.name: int(end) for block, end in zip((*inputs, *populations), ends, strict=False)}
    channels = sum(block.size for block in inputs)
    codes = {name: values for layer in layers for name, values in layer.codes.items()}
    parts = [np.zeros((4, 0), np.int64)]
    for s in synapses:
        p = s.projection
        rule = model.semantics.rule(model.nodes[p.source])
        late = np.full(s.target.size, rule.feedback_delay if p.recurrent else rule.edge_delay)
        target = s.target + base[p.target] - channels
        parts.append(np.stack([s.source + base[p.source], target, codes[s.node.name][s.weight], late]))
    source, target, weight, late = np.concatenate(parts, axis=1)
    order = np.lexsort((target, source))
    threshold, decrement = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for layer in layers:
        rule = model.semantics.rule(layer.node)
        threshold.append(layer.threshold + (rule.compare == ">"))
        decrement.append(layer.threshold * (rule.spike_reset == "subtract"))
    return MychipConfig(
        step_ns=model.semantics.dt_ns or 0,
        inputs=tuple(inputs),
        populations=tuple(populations),
        threshold=np.concatenate(threshold),
        decrement=np.concatenate(decrement),
        first=np.concatenate([[0], np.cumsum(np.bincount(source, minlength=int(ends[-1])))]),
        target=target[order],
        weight=weight[order],
        late=late[order],
    )


# region: placement
def _placement(registers: MychipConfig) -> Placement:
    parts: list[dict[str, Any]] = []
    for core, blocks in ((-1, registers.inputs), (0, registers.populations)):
        first = 0
        for block in blocks:
            at = first + np.arange(block.size)
            where = {"core": at // config.NEURONS_PER_CORE, "neuron": at % config.NEURONS_PER_CORE}
            parts.append({"node": block.name, "index": at - first, **({"core": -1, "neuron": at} if core else where)})
            first += block.size
    return Placement.build(parts)


# endregion


# region: losses
def _realised(layers: list[Layer]) -> dict[tuple[str, str], NDArray[Any]]:
    """What the chip computes with, in the model's units."""
    made: dict[tuple[str, str], NDArray[Any]] = {}
    for layer in layers:
        made[layer.node.name, "v_threshold"] = layer.threshold * layer.unit
        for name, codes in layer.codes.items():
            made[name, "weight"] = codes * layer.unit / layer.gain
    return made


def _losses(model: Model, realised: MappingABC[tuple[str, str], NDArray[Any]]) -> Losses:
    """Every number that is not what the model says."""
    groups = []
    for (name, parameter), values in realised.items():
        wanted = np.ravel(getattr(model.nodes[name], parameter)).astype(np.float64)
        off = np.flatnonzero(wanted != values)
        groups.append((name, parameter, off, wanted[off], values[off], "rounded to an integer of the chip"))
    return Losses.build(groups)


# endregion
