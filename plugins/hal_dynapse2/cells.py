"""From a model to neurons as the chip has them, on whatever core: time constants, drives, inputs; thresholds are 1."""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal import nodes
from hal.flowing import Response, flows, half_steps, response
from hal.model import Model, Projection
from hal.notes import Notes, Only
from hal_dynapse2.circuit import T_REF
from hal_dynapse2.options import Dynapse2MapOptions

Float = NDArray[np.float64]

_ANALOG = "a neuron starts again from its lowest current the moment it reaches the threshold"
RULES: Final = (
    Only(field="spike_reset", keeps=("value",), reason=_ANALOG, realised="value", approximate="reset"),
    Only(field="reset_delay", keeps=(0,), reason=_ANALOG, realised=0, approximate="reset"),
    Only(field="fires_on", keeps=("new",), reason=_ANALOG, realised="new", approximate="reset"),
    Only(
        field="spikes_per_step",
        keeps=("one",),
        reason="there are no steps: a neuron fires whenever it has integrated enough",
        realised="a refractory period apart",
        otherwise="changed",
    ),
    Only(
        field="edge_delay", keeps=(0,), reason="events arrive at once", realised=0, approximate="delays"
    ),
)  # fmt: skip


@attrs.frozen(kw_only=True, eq=False)
class Cells:
    """A population, thresholds as 1 and the value after a spike as 0; (n,) arrays.

    area: of `Response`, over the threshold. drive: the membrane under leak and biases alone. refractory: s. latency:
    half steps by which its spikes stand later than the model's, on average.
    """

    name: str
    shape: tuple[int, ...]
    tau_mem: Float
    tau_syn: Float
    area: Float
    drive: Float
    refractory: Float
    latency: int
    inputs: tuple[Projection, ...]

    @property
    def size(self) -> int:
        """Neurons."""
        return self.area.size


class Reader:
    """Reads a model's populations and collects findings."""

    def __init__(self, model: Model, options: Dynapse2MapOptions) -> None:
        self.model, self.options = model, options
        self.dt_ns = model.semantics.dt_ns
        self.notes = Notes(frozenset(options.approximate))
        self.incoming: dict[str, list[Projection]] = {}
        for projection in model.projections():
            self.incoming.setdefault(projection.target, []).append(projection)
        self.late = half_steps(model)
        self.cells: list[Cells] = []
        for field in ("refractory_s", "cores"):
            for name in getattr(options, field):
                if not isinstance(model.nodes.get(name), nodes.LIF | nodes.CubaLIF):
                    self.notes.refuse(name, field, "no such population on the chip")
        for node in model.populations():
            if isinstance(node, nodes.LIF | nodes.CubaLIF):
                self._population(node)
            elif not isinstance(node, nodes.Input):
                self.notes.refuse(node.name, "type", f"{node.type} neurons are not on this chip")
        if not self.cells and not self.notes.refused:
            self.notes.refuse("", "neurons", "no spiking neurons are left for the chip")
        for name in model.outputs:
            self._readout(name)

    # --- neurons -------------------------------------------------------------------------------------------------

    def _population(self, node: Any) -> None:
        before = len(self.notes.refused)
        into = self.incoming.get(node.name, [])
        self._finite(node, into)
        rule = self.model.semantics.rule(node)
        if self.dt_ns is None and not flows(node, rule):
            hint = "Semantics(dt_ns=...), or --dt 1ms on the command line"
            reason = "steps enter the neurons' rule, and nobody said how long they are"
            self.notes.refuse(node.name, "dt_ns", reason, wanted=rule.tau_unit, hint=hint)
        if len(self.notes.refused) > before:
            # nothing can be told of numbers without these
            return
        self.notes.only(node.name, rule, RULES)
        made = response(node, self.model.semantics, self.dt_ns, self.options.synapse_s)
        for field, tau in (("tau_syn", made.tau_syn), ("tau_mem", made.tau_mem)):
            if not (np.isfinite(tau) & (tau > 0)).all():
                word = "tau" if isinstance(node, nodes.LIF) else field
                worst = float(tau[~(np.isfinite(tau) & (tau > 0))][0])
                reason = "no time constant of the chip: every current of it leaks, and takes its time"
                self.notes.refuse(node.name, word, reason, wanted=worst, limit="> 0 s, finite")
                return
        if made.jump:
            reason = "input arrives through a synaptic current"
            self.notes.approximated(
                "synapse", node.name, "synapse", reason, "a jump", f"tau_syn {float(made.tau_syn.max()):g} s"
            )
        self._finish(node, into, rule, made)

    def _finish(self, node: Any, into: list[Projection], rule: Any, made: Response) -> None:
        before = len(self.notes.refused)
        v_reset = np.asarray(node.v_reset, np.float64).ravel()
        threshold = np.asarray(node.v_threshold, np.float64).ravel() - v_reset
        if not (threshold > 0).all():
            value = float(threshold.min())
            self.notes.refuse(
                node.name, "v_threshold", "a neuron at rest would fire", wanted=value, limit="above v_reset"
            )
        drive = np.asarray(node.v_leak, np.float64).ravel() - v_reset + self._bias(into, made)
        if (drive < 0).any():
            what = "bias" if any(p.bias is not None for p in into) else "v_leak"
            reason = "a direct current only adds: the membrane rests at the value it resets to, or above"
            hint = "biases of 0 or more, or none" if what == "bias" else "v_leak at v_reset or above"
            self.notes.refuse(node.name, what, reason, wanted=float(drive.min()), limit=0, hint=hint)
        self._bounds(node.name, into, rule, v_reset, drive)
        start = {"v_reset": v_reset, "v_leak": np.asarray(node.v_leak, np.float64).ravel()}.get(
            str(rule.start_state), rule.start_state
        )
        if np.any(np.asarray(start) != v_reset):
            field = "start_state" if rule.start_state else "v_reset"
            wanted = float(np.max(np.abs(np.asarray(start) - v_reset)))
            self.notes.refuse(node.name, field, "the chip starts at the value it resets to", wanted=wanted, limit=0)
        for p in into:
            self._connection(p)
        if len(self.notes.refused) > before:
            return
        half = T_REF if self.dt_ns is None else max(T_REF, self.dt_ns * 0.5e-9)
        self.cells.append(
            Cells(
                name=node.name,
                shape=node.output_shape,
                tau_mem=made.tau_mem,
                tau_syn=made.tau_syn,
                area=made.area / threshold,
                drive=drive / threshold,
                refractory=np.full(node.size, self.options.refractory_s.get(node.name, half)),
                latency=self.late[node.name],
                inputs=tuple(into),
            )
        )

    def _finite(self, node: Any, into: list[Projection]) -> None:
        for other in (node, *(part for p in into for part in p.path)):
            for name in other.parameters:
                values = np.ravel(getattr(other, name))
                bad = values[~np.isfinite(values)]
                if bad.size:
                    count = f" ({bad.size})" if bad.size > 1 else ""
                    reason = f"values that are not finite{count}: every current of the chip leaks, and all are bounded"
                    self.notes.refuse(other.name, name, reason, wanted=float(bad[0]), limit="finite numbers")

    def _bounds(self, name: str, into: list[Projection], rule: Any, v_reset: Float, drive: Float) -> None:
        """A membrane current has one lower bound: next to nothing, where it also starts again."""
        if rule.v_min == "-threshold" or rule.v_min is None or np.all(rule.v_min < v_reset):
            reason = "a membrane current does not go below the value it resets to"
            self.notes.say("changed", name, "v_min", reason, rule.v_min, float(v_reset.max()))
        elif np.any(rule.v_min > v_reset):
            reason = "a neuron resets to a value within the bounds of v"
            self.notes.refuse(name, "v_min", reason, wanted=rule.v_min, limit="at most v_reset")

    def _bias(self, into: list[Projection], made: Response) -> Float:
        """The membrane under the biases alone."""
        total = np.zeros_like(made.area)
        for p in into:
            if p.bias is None or not np.any(p.bias):
                continue
            if any(self.model.semantics.rule(node).bias_meaning == "per_tick" for node in p.path):
                reason = "a bias per tick of a slow clock; the chip has direct currents"
                self.notes.refuse(p.path[-1].name, "bias_meaning", reason)
            reason = "a bias is a direct current: its effect is there at once, not after the synaptic current has risen"
            self.notes.say("changed", p.path[-1].name, "bias", reason, "once per step", "constant")
            total += p.bias
        return total * made.steady

    # --- connections ---------------------------------------------------------------------------------------------

    def _connection(self, p: Projection) -> None:
        if np.any(p.delay_ns):
            reason = "events arrive at once: delays of CAM entries are of unknown length"
            wanted = float(np.max(p.delay_ns)) * 1e-9
            self.notes.approximated("delays", p.target, "delay", reason, f"{wanted:g} s", 0)
        if p.recurrent:
            rule = self.model.semantics.rule(self.model.nodes[p.source])
            reason = "events that are fed back arrive at once"
            self.notes.say("changed", p.target, "feedback_delay", reason, rule.feedback_delay, 0)

    def _readout(self, output: str) -> None:
        """Spikes leave as they are: nothing but flattening may stand between neurons and an Output."""
        for p in self.incoming.get(output, []):
            if p.source in self.model.inputs:
                self.notes.refuse(output, "input", "no neurons between Input and Output")
            for node in p.path:
                if not isinstance(node, nodes.Flatten) or node.name in p.hwc:
                    hint = "end the network with neurons"
                    self.notes.refuse(node.name, "type", f"{node.type} between neurons and Output", hint=hint)


__all__ = ["Cells", "Reader"]
