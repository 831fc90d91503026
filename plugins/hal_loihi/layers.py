"""From a model to populations and connections as the chip has them, and what the chip cannot honour.

A step of the chip, with u the current and v the voltage: u' = a u + q, v' = b v + u' + bias, spike where v' > vth, then
v = 0. Every connection takes a step, and up to 62 more on request.
"""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hal import nodes
from hal.model import Model, Projection
from hal.notes import Notes, Only
from hal.stepping import PerStep, per_step
from hal_loihi.options import LoihiMapOptions

Float = NDArray[np.float64]

MAX_DELAY = 62
"""Steps a synapse can add (brian2-loihi 0.5.2)."""


_AT_THE_END = "the chip compares, and resets to 0, at the end of a step"
RULES = (
    Only(
        field="spike_reset",
        keeps=("value", "discard_update"),
        reason=_AT_THE_END,
        realised="to 0",
        approximate="reset",
    ),
    Only(field="fires_on", keeps=("new",), reason=_AT_THE_END, realised="new", approximate="reset"),
    Only(
        field="spikes_per_step",
        keeps=("one",),
        reason="a neuron fires once per step",
        realised="one",
        otherwise="changed",
    ),
    Only(
        field="compare",
        keeps=(">",),
        reason="the chip compares strictly: thresholds are lowered by their least unit, 64",
        realised="> threshold - 64",
        otherwise="note",
    ),
)


@attrs.frozen(kw_only=True, eq=False)
class Connection:
    """What one source adds to a population: (target, source) in units of the voltage, and steps besides the one."""

    projection: Projection
    matrix: csr_array
    delay: NDArray[np.int64]
    """(source size,) or (1,)."""
    gain: Float
    """(target,): what the model's matrix was multiplied with."""

    @property
    def source(self) -> str:
        """Name of what is before it."""
        return self.projection.source

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes on the way."""
        return tuple(node.name for node in self.projection.path)


@attrs.frozen(kw_only=True, eq=False)
class Population:
    """Neurons in units of the model's voltage, shifted so that the reset value is 0; (n,) arrays."""

    name: str
    shape: tuple[int, ...]
    keep_u: Float
    """Share of the current that is left after a step; 0 without a current."""
    keep_v: Float
    threshold: Float
    bias: Float
    v_min: Float
    refract: int
    at_threshold: bool
    """Equality fires."""
    latency: int
    """Steps by which its spikes come later than the model's."""
    inputs: tuple[Connection, ...]

    @property
    def size(self) -> int:
        """Neurons."""
        return self.threshold.size


class Reader:
    """Reads a model's populations and collects findings."""

    def __init__(self, model: Model, options: LoihiMapOptions, dt_ns: int) -> None:
        self.model, self.options, self.dt_ns = model, options, dt_ns
        self.notes = Notes(frozenset(options.approximate))
        self.incoming: dict[str, list[Projection]] = {}
        for projection in model.projections():
            self.incoming.setdefault(projection.target, []).append(projection)
        self.latency = self._latencies()
        self.populations: list[Population] = []
        for name in options.refract_delay:
            if not isinstance(model.nodes.get(name), nodes.IF | nodes.LIF | nodes.CubaLIF):
                self.notes.refuse(name, "refract_delay", "no such population on the chip")
        for node in model.populations():
            if isinstance(node, nodes.IF | nodes.LIF | nodes.CubaLIF):
                self._population(node)
            elif not isinstance(node, nodes.Input):
                self.notes.refuse(node.name, "type", f"{node.type} neurons are not on this chip")
        if not self.populations and not self.notes.refused:
            self.notes.refuse("", "neurons", "no spiking neurons are left for the chip")
        for name in model.outputs:
            self._readout(name)

    # --- time ----------------------------------------------------------------------------------------------------

    def _latencies(self) -> dict[str, int]:
        """Steps by which a population is late: the longest way from an Input. A cycle is late as a whole."""
        group = {name: name for name in self.model.nodes}
        for projections in self.incoming.values():
            for p in projections:
                if p.recurrent:
                    old, new = group[p.target], group[p.source]
                    group = {name: new if member == old else member for name, member in group.items()}
        late = dict.fromkeys(group.values(), 0)
        for _ in late:
            for target, projections in self.incoming.items():
                for p in projections:
                    if not p.recurrent and target not in self.model.outputs:
                        late[group[target]] = max(late[group[target]], late[group[p.source]] + 1)
        return {name: late[member] for name, member in group.items()}

    def _delay(self, p: Projection) -> NDArray[np.int64]:
        """Steps a synapse must add so that the model's time is kept, latencies taken off."""
        rule = self.model.semantics.rule(self.model.nodes[p.source])
        exact = np.ravel(p.delay_ns) / self.dt_ns
        steps = np.rint(exact).astype(np.int64)
        if (np.abs(steps - exact) > 1e-6 * np.maximum(1.0, exact)).any():
            reason = "delays are no whole number of steps"
            self.notes.approximated("delays", p.target, "delay", reason, float(exact.max()), "rounded")
        steps = steps + (rule.feedback_delay if p.recurrent else rule.edge_delay)
        target = self.model.nodes[p.target]
        into = self.model.semantics.rule(target)
        if isinstance(target, nodes.CubaLIF) and into.jump == "after" and into.membrane_sees == "undecayed":
            # the model's voltage sees an input one step after it arrives, the chip's in the same
            steps = steps + 1
        extra = steps + self.latency[p.target] - self.latency[p.source] - 1
        if extra.max() > MAX_DELAY:
            reason = f"spikes of {p.source} would have to wait {int(extra.max())} steps besides the one"
            self.notes.approximated("delays", p.target, "delay", reason, int(extra.max()), MAX_DELAY)
        return np.clip(extra, 0, MAX_DELAY)

    # --- neurons -------------------------------------------------------------------------------------------------

    def _population(self, node: Any) -> None:
        before = len(self.notes.refused)
        values = [np.ravel(getattr(node, name)) for name in node.parameters]
        bad = sum(int((~np.isfinite(value)).sum()) for value in values)
        if bad:
            self.notes.refuse(node.name, "parameters", "values that are not finite", wanted=bad, limit="finite numbers")
            return
        numbers = per_step(node, self.model.semantics, self.dt_ns)
        refract = self._rule(node.name, numbers)
        into = self.incoming.get(node.name, [])
        with np.errstate(invalid="ignore"):
            # a time constant of 0 makes infinite factors, which _decays refuses
            gain = numbers.gain * self._current_gain(numbers)
            bias = (1.0 - numbers.decay) * (numbers.leak - numbers.v_reset) + self._bias(node.name, into, numbers)
        threshold = numbers.threshold - numbers.v_reset
        if (threshold <= 0).any():
            value = float(threshold.min())
            self.notes.refuse(
                node.name, "v_threshold", "a neuron at rest would fire", wanted=value, limit="above v_reset"
            )
        if (numbers.v_min > numbers.v_reset).any():
            reason = "the chip resets to a value within the bounds of v"
            wanted = float((numbers.v_min - numbers.v_reset).max())
            self.notes.refuse(node.name, "v_min", reason, wanted=wanted, limit="at most v_reset")
        self._decays(node.name, numbers)
        inputs = tuple(self._connection(p, gain) for p in into)
        if len(self.notes.refused) > before:
            return
        if np.any(bias):
            reason = "it acts from the first step, the input comes later than in the model: steps it is ahead"
            self.notes.say("changed", node.name, "bias", reason, 0, self.latency[node.name])
        self.populations.append(
            Population(
                name=node.name,
                shape=node.output_shape,
                keep_u=numbers.current_decay if numbers.has_current else np.zeros(node.size),
                keep_v=numbers.decay,
                threshold=threshold,
                bias=bias,
                v_min=numbers.v_min - numbers.v_reset,
                at_threshold=numbers.rule.compare == ">=",
                refract=self.options.refract_delay.get(node.name, refract),
                latency=self.latency[node.name],
                inputs=inputs,
            )
        )

    def _rule(self, name: str, numbers: PerStep) -> int:
        """What the chip does after a spike, against what the rule asks; the refractory delay that comes nearest."""
        rule, say = numbers.rule, self.notes
        say.only(name, rule, RULES)
        if rule.reset_delay and rule.spike_reset in ("value", "discard_update"):
            reason = "v is reset in the step of the spike already; the next one starts from the same value"
            say.say("note", name, "reset_delay", reason, rule.reset_delay, 0)
        elif rule.reset_delay:
            say.approximated("reset", name, "reset_delay", _AT_THE_END, rule.reset_delay, 0)
        if (numbers.v_start != numbers.v_reset).any():
            wanted = float(np.max(np.abs(numbers.v_start - numbers.v_reset)))
            field = "start_state" if rule.start_state else "v_reset"
            say.refuse(name, field, "the chip starts at the value it resets to", wanted=wanted, limit=0)
        # with the reset one step late it takes the place of a whole update: a dead time of one step
        return 2 if rule.spike_reset == "discard_update" and rule.reset_delay else 1

    def _current_gain(self, numbers: PerStep) -> Float:
        """What an input adds to the current that the membrane sees."""
        if not numbers.has_current:
            return np.ones_like(numbers.gain)
        rule = numbers.rule
        if rule.jump == "before" and rule.membrane_sees == "decayed":
            return numbers.current_gain * numbers.current_decay
        return numbers.current_gain

    def _bias(self, name: str, into: list[Projection], numbers: PerStep) -> Float:
        """Biases of the connections as the voltage takes them, per step."""
        total = np.zeros(numbers.decay.size)
        for p in into:
            if p.bias is None or not np.any(p.bias):
                continue
            if any(self.model.semantics.rule(node).bias_meaning == "per_tick" for node in p.path):
                self.notes.refuse(
                    p.path[-1].name, "bias_meaning", "a bias per tick of a slow clock; the chip has steps"
                )
            total += p.bias
        if not numbers.has_current or not total.any():
            return total * numbers.gain
        if (numbers.current_decay >= 1)[total != 0].any():
            reason = "through a current that never leaks a bias grows without end; the chip's is constant"
            self.notes.refuse(name, "bias", reason, wanted="growing", limit="tau_syn of a finite number of steps")
            return np.zeros_like(total)
        reason = "a bias enters the voltage: its effect is there at once, not after the current has risen"
        self.notes.say("changed", name, "bias", reason, "through the current", "constant")
        return (
            total * numbers.gain * self._current_gain(numbers) / np.where(total != 0, 1.0 - numbers.current_decay, 1.0)
        )

    def _decays(self, name: str, numbers: PerStep) -> None:
        membrane = "tau_mem" if numbers.has_current else "tau"
        for field, keep in ((membrane, numbers.decay), ("tau_syn", numbers.current_decay)):
            if ((keep < 0) | (keep > 1)).any():
                worst = float(keep.min())
                self.notes.refuse(
                    name, field, "a factor per step outside 0..1", wanted=worst, limit="0..1", hint="check dt"
                )

    def _connection(self, p: Projection, gain: Float) -> Connection:
        bad = [
            node.name
            for node in p.path
            for field in ("weight", "bias", "scale")
            if not np.isfinite(np.asarray(getattr(node, field, 0.0))).all()
        ]
        for name in bad:
            self.notes.refuse(name, "weight", "values that are not finite (NaN or inf)", limit="finite numbers")
        matrix = csr_array(p.matrix().multiply(gain[:, None]))
        matrix.sort_indices()
        return Connection(
            projection=p,
            matrix=matrix,
            delay=self._delay(p),
            gain=gain,
        )

    # --- read-out ------------------------------------------------------------------------------------------------

    def _readout(self, output: str) -> None:
        """Spikes leave as they are: nothing but flattening may stand between neurons and an Output."""
        for p in self.incoming.get(output, []):
            if p.source in self.model.inputs:
                self.notes.refuse(output, "input", "no neurons between Input and Output")
            for node in p.path:
                if not isinstance(node, nodes.Flatten):
                    hint = "end the network with neurons"
                    self.notes.refuse(node.name, "type", f"{node.type} between neurons and Output", hint=hint)
                elif node.name in p.hwc and math.prod(node.input_shape[1:]) > 1:
                    reason = "spikes leave in the order of the neurons, channels first"
                    hint = "flatten before the last neurons, or none of it"
                    self.notes.refuse(node.name, "flatten_order", reason, wanted="HWC", limit="CHW", hint=hint)
