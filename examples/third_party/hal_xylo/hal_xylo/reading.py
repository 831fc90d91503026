"""From a model to layers as the chip has them, and what the chip cannot honour.

A step of the chip, with i a current and v the membrane: i' = a (i + x), v' = b v + i' + bias, then spikes while
v >= threshold, each taking the threshold off. a and b are 1 - 2^-dash. Hidden neurons hear each other, and the outputs
hear them, one step late.
"""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
from hal import nodes
from hal.model import Model, Projection
from hal.notes import Only
from hal.stepping import PerStep, per_step
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hal_xylo import limits
from hal_xylo.graph import WEIGHTED, Graph
from hal_xylo.limits import Part
from hal_xylo.options import XyloMapOptions

Float = NDArray[np.float64]
I64 = NDArray[np.int64]

_TAKES: Final = "a spike takes the threshold off, in its own step"
RULES: Final = (
    Only(
        field="spike_reset",
        keeps=("subtract", "subtract_n"),
        reason=_TAKES,
        realised="subtract_n",
        approximate="reset",
    ),
    Only(field="reset_delay", keeps=(0,), reason=_TAKES, realised=0, approximate="reset"),
    Only(
        field="fires_on",
        keeps=("new",),
        reason="spikes come of the membrane as it is after the input",
        realised="new",
        approximate="reset",
    ),
    Only(
        field="compare",
        keeps=(">=",),
        reason="the chip fires at the threshold, too",
        realised=">=",
        otherwise="changed",
    ),
)
HIDDEN: Final = (
    Only(
        field="spikes_per_step",
        keeps=("many",),
        reason=f"a hidden neuron fires up to {limits.MAX_SPIKES} times a step, once per threshold that it holds",
        realised=f"up to {limits.MAX_SPIKES}",
        otherwise="changed",
    ),
)
OUTPUTS: Final = (
    Only(
        field="spikes_per_step",
        keeps=("one",),
        reason="an output neuron fires once a step; what is left above the threshold fires in the next",
        realised=limits.MAX_SPIKES_OUT,
        otherwise="changed",
    ),
)
"""What the chip keeps of a rule, and what becomes of all else."""
TIE: Final = 1e-9
"""Relative difference from which a factor counts as another one."""


@attrs.frozen(kw_only=True, eq=False)
class Connection:
    """What one source adds to a layer.

    node: the weights. entries: (target, source) in units of the membrane per event. label: which of the node's weights
    each entry is, in the order of the entries. synapse: 0 or 1. gain: (target size,) what a weight was multiplied with.
    """

    source: str
    node: Any
    entries: csr_array
    label: I64
    synapse: int
    gain: Float

    @property
    def rows(self) -> I64:
        """The target of every entry."""
        return np.repeat(np.arange(self.entries.shape[0], dtype=np.int64), np.diff(self.entries.indptr))


@attrs.frozen(kw_only=True, eq=False)
class Layer:
    """One population; (n,) arrays. threshold and bias are in units of the membrane.

    early: what the model's current is against the chip's, which decays what it has just taken in: 1 where the model
    says so, too, else one over the factor of the decay. latency: steps by which its spikes come later than the model's.
    """

    node: Any
    numbers: PerStep
    dash_mem: I64
    dash_syn: I64
    dash_syn_2: int | None
    threshold: Float
    bias: Float
    inputs: tuple[Connection, ...]
    latency: int
    readout: bool

    @property
    def name(self) -> str:
        """Of the population."""
        return str(self.node.name)

    @property
    def size(self) -> int:
        """Neurons."""
        return int(self.threshold.size)

    @property
    def shared(self) -> bool:
        """Whether several synapses share a weight, so that all neurons need one scale."""
        return any(isinstance(c.node, nodes.Conv1d | nodes.Conv2d) for c in self.inputs)

    @property
    def early(self) -> tuple[Float, Float]:
        """Of the first and the second current, (n,) each."""
        rule = self.numbers.rule
        first = np.ones(self.size)
        if rule.jump == "before" and rule.membrane_sees == "decayed":
            return first, first
        return (
            1.0 / (1.0 - 2.0 ** -self.dash_syn.astype(np.float64)),
            np.full(self.size, 1.0 / (1.0 - 2.0 ** -float(self.dash_syn_2 or 1))),
        )


class Reader(Graph):
    """Reads a model's populations and collects findings."""

    def __init__(self, model: Model, options: XyloMapOptions, dt_ns: int, part: Part) -> None:
        super().__init__(model, options, part)
        self.dt_ns = dt_ns
        self.layers: list[Layer] = []
        for node in self.spiking:
            if isinstance(node, nodes.CubaLIF):
                self._layer(node)
            else:
                hint = "CubaLIF neurons are"
                self.notes.refuse(node.name, "type", f"{node.type} neurons are not on this chip", hint=hint)
        self.check_graph()

    # --- neurons -------------------------------------------------------------------------------------------------

    def _layer(self, node: Any) -> None:
        before = len(self.notes.refused)
        into = self.incoming.get(node.name, [])
        if not self._finite(node, into):
            return
        numbers = per_step(node, self.model.semantics, self.dt_ns)
        readout = node.name in self.readouts
        self._rule(node.name, numbers, readout)
        mem = self._dash(node.name, "tau_mem", numbers.ratio, numbers.decay, 0)
        syn = self._dash(node.name, "tau_syn", numbers.current_ratio, numbers.current_decay, 1)
        if (numbers.threshold <= 0).any():
            wanted = float(numbers.threshold.min())
            self.notes.refuse(node.name, "v_threshold", "a neuron at rest would fire in every step", wanted, "above 0")
        most = limits.SYNAPSES_OUT if readout else self.part.synapses
        if self.currents(node.name) > most == 1:
            what = "an output neuron" if readout else f"a hidden neuron of {self.part.name}"
            self.notes.refuse(node.name, "synapse2", f"{what} has one current", self.currents(node.name), most)
        if not into:
            self.notes.refuse(node.name, "input", "neurons that nothing feeds", hint="connect them, or leave them out")
        for p in into:
            self.check_time(p)
        gain = numbers.gain * numbers.current_gain
        connections = [self._connection(p, gain) for p in into]
        if len(self.notes.refused) > before:
            return
        self.layers.append(
            Layer(
                node=node,
                numbers=numbers,
                dash_mem=mem,
                dash_syn=syn,
                dash_syn_2=self.second(into),
                threshold=numbers.threshold,
                bias=self._bias(node.name, into, numbers, syn),
                inputs=tuple(c for c in connections if c is not None),
                latency=self.latency[node.name],
                readout=readout,
            )
        )

    def _finite(self, node: Any, into: list[Projection]) -> bool:
        """Numbers that are none; a time constant may be infinite."""
        good = True
        for one in (node, *(step for p in into for step in p.path)):
            for name in one.parameters:
                values = np.ravel(getattr(one, name))
                bad = np.isnan(values) | (np.isinf(values) & (not name.startswith("tau")))
                if bad.any():
                    count = int(bad.sum())
                    self.notes.refuse(one.name, name, "values that are not finite", count, "finite numbers")
                    good = False
        return good

    def _rule(self, name: str, numbers: PerStep, readout: bool) -> None:
        """What the chip does with a membrane, against what the rule asks."""
        rule, say = numbers.rule, self.notes
        say.only(name, rule, (*RULES, *(OUTPUTS if readout else HIDDEN)))
        if rule.spike_reset == "subtract" and rule.spikes_per_step == "many":
            reason = "every one of several spikes takes the threshold off"
            say.say("changed", name, "spike_reset", reason, "subtract", "subtract_n")
        if not np.isneginf(numbers.v_min).all():
            wanted = float(numbers.v_min.max())
            reason = "the membrane has no lower bound but that of 16 bits"
            say.approximated("v_min", name, "v_min", reason, wanted, limits.STATE[0])
        if (numbers.v_start != 0).any():
            field = "start_state" if isinstance(rule.start_state, int | float) else f"start_state, {rule.start_state}"
            wanted = float(numbers.v_start[np.argmax(np.abs(numbers.v_start))])
            say.refuse(name, field, "a membrane starts at 0", wanted, 0)
        if rule.jump == "after" and rule.membrane_sees == "undecayed":
            reason = "the membrane sees an event in its own step, in the model a step later"
            say.approximated("delays", name, "jump, membrane_sees", reason, "a step later", "the same step")

    def _dash(self, name: str, field: str, ratio: Float, keep: Float, least: int) -> I64:
        """Decay shifts whose factor is next to the model's, on the scale of time constants."""
        with np.errstate(divide="ignore"):
            exact = -np.log2(1.0 - np.clip(keep, 0.0, 1.0))
        dash = np.clip(np.rint(exact), least, limits.MAX_DASH).astype(np.int64)
        if (ratio >= 1).any():
            reason = "a time constant of one step or less"
            what = "a current that is gone before the membrane sees it" if least else "a membrane without memory"
            with np.errstate(divide="ignore"):
                wanted = f"{float((1 / ratio).min()):g} steps"
            self.notes.refuse(
                name, field, f"{reason}: {what}", wanted, "more than 1 step", hint="check dt and tau_unit"
            )
            return dash
        chip = 1.0 - 2.0 ** -dash.astype(np.float64)
        far = np.abs(chip - keep) > TIE * np.maximum(keep, TIE)
        if far.any():
            at = int(np.argmax(np.abs(np.where(far, exact - dash, 0.0))))
            deaf = f"; {int((np.rint(exact) < least).sum())} of them would be deaf with a shift of 0, and have 1"
            reason = f"decays are by powers of two: {int(far.sum())} of {dash.size} neurons keep another share a step"
            if least and (np.rint(exact) < least).any():
                reason += deaf
            self.notes.say("changed", name, f"{field}, decay", reason, f"{keep[at]:.6g}", f"{chip[at]:.6g}")
        return dash

    def _bias(self, name: str, into: list[Projection], numbers: PerStep, dash_syn: I64) -> Float:
        """What the membrane takes in per step without any event, in its units."""
        total = np.zeros(numbers.decay.size)
        for p in into:
            if p.bias is None or not np.any(p.bias):
                continue
            if any(self.model.semantics.rule(node).bias_meaning == "per_tick" for node in p.path):
                where = p.path[-1].name
                self.notes.refuse(where, "bias_meaning", "a bias per tick of a slow clock; the chip has steps")
            total += p.bias
        rest = (1.0 - numbers.decay) * numbers.leak
        if total.any():
            rule = numbers.rule
            # where it settles: the sum of all that a current keeps of it
            seen = 1.0 / 2.0 ** -dash_syn.astype(np.float64)
            if rule.jump == "before" and rule.membrane_sees == "decayed":
                seen = seen - 1.0
            reason = "a bias enters the membrane: its effect is there at once, not after the current has risen"
            self.notes.say("changed", name, "bias", reason, "through the current", "constant")
            rest = rest + total * numbers.gain * numbers.current_gain * seen
        if rest.any() and self.latency[name]:
            reason = "a constant drive acts from the first step, and events come later than in the model: steps"
            field = "bias" if total.any() else "v_leak"
            self.notes.say("changed", name, field, reason, 0, self.latency[name])
        return np.asarray(rest)

    def _connection(self, p: Projection, gain: Float) -> Connection | None:
        weights = [node for node in p.path if isinstance(node, WEIGHTED)]
        others = [node for node in p.path if not isinstance(node, (*WEIGHTED, nodes.Flatten, nodes.Delay))]
        for node in others:
            hint = "fold it into the weights"
            self.notes.refuse(node.name, "type", f"{node.type} before neurons is not on this chip", hint=hint)
        if not weights and not others:
            reason = f"{p.source} feeds it without weights; every connection of the chip has them"
            self.notes.refuse(p.target, "weight", reason, hint="put a Linear node between them")
        if len(weights) > 1:
            names = ", ".join(node.name for node in weights)
            hint = "multiply them into one"
            self.notes.refuse(weights[1].name, "weight", f"weights in a row: {names}", len(weights), 1, hint)
        labelled = p.labels()
        if labelled is None:
            return None
        node, labels = labelled
        matrix = p.matrix()
        # a label for each entry that is there, in the order of the entries
        there = csr_array((np.ones(matrix.nnz, np.int64), matrix.indices, matrix.indptr), matrix.shape)
        own = csr_array(labels.multiply(there))
        own.sort_indices()
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        entries = csr_array((matrix.data * gain[rows], matrix.indices, matrix.indptr), matrix.shape)
        return Connection(
            source=p.source,
            node=node,
            entries=entries,
            label=own.data.astype(np.int64) - 1,
            synapse=int(node.name in self.options.synapse2),
            gain=gain,
        )
