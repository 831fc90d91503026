"""From a model to neurons as the chip has them: time constants in model time, weights in distances of threshold."""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal import nodes
from hal.flowing import Response, flows, half_steps, response
from hal.model import Model, Projection
from hal.notes import Notes, Only
from hal_brainscales2.limits import COLUMNS
from hal_brainscales2.options import MapOptions

Floats = NDArray[np.float64]

_ANALOG = "a neuron starts again from its reset potential the moment it reaches the threshold"
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
    Only(field="edge_delay", keeps=(0,), reason="events arrive at once", realised=0, approximate="delays"),
    Only(
        field="v_min", keeps=(None,), reason="membranes have no lower bound of the model's choice", approximate="bounds"
    ),
)

LARGEST: Final = 6e7
"""Distances of threshold and leak: at the smallest scale of the registers, 1e-6, that is 60 of 63."""


@attrs.frozen(kw_only=True, eq=False)
class Cells:
    """A population; (n,) arrays. Potentials count from v_leak, in distances of v_threshold and v_leak.

    tau_mem, tau_syn, refractory, holdoff: s of the model. weight: of a unit of the model's, on the current.
    unit, rest: that distance and v_leak, in the model's units; what does not fire has the typical distance of the rest.
    reset: potential after a spike. latency: half steps by which its spikes stand later than the model's, on average.
    """

    name: str
    shape: tuple[int, ...]
    tau_mem: Floats
    tau_syn: Floats
    weight: Floats
    unit: Floats
    rest: Floats
    spiking: bool
    reset: Floats
    refractory: Floats
    holdoff: Floats
    latency: int
    inputs: tuple[Projection, ...]

    @property
    def size(self) -> int:
        """Neurons."""
        return self.weight.size


def weights_of(p: Projection) -> tuple[str, Any]:
    """The name of a projection's weights, its neurons' where it has none of its own; and its labels."""
    found = p.labels()
    if found is not None:
        return found[0].name, found
    return p.path[-1].name if p.path else p.target, None


class Reader:
    """Reads a model's populations and collects findings."""

    def __init__(self, model: Model, options: MapOptions) -> None:
        self.model, self.options = model, options
        self.dt_ns = model.semantics.dt_ns
        self.notes = Notes(frozenset(options.approximate))
        self.incoming: dict[str, list[Projection]] = {}
        for projection in model.projections():
            self.incoming.setdefault(projection.target, []).append(projection)
        self.late = half_steps(model)
        self.cells: list[Cells] = []
        self._options()
        firing = [node for node in model.populations() if isinstance(node, nodes.CubaLIF)]
        distances = [np.ravel(node.v_threshold - node.v_leak) for node in firing]
        self._typical = float(np.median(np.concatenate(distances))) if distances else 1.0
        for node in model.populations():
            if isinstance(node, nodes.CubaLIF):
                self._population(node)
            elif isinstance(node, nodes.CubaLI):
                self._integrator(node)
            elif not isinstance(node, nodes.Input):
                leaky = isinstance(node, nodes.LI) and node.name in self._ends()
                hint = "option readout=host" if leaky else ""
                self.notes.refuse(node.name, "type", f"{node.type} neurons are not on this chip", hint=hint)
        if not self.cells and not self.notes.refused:
            self.notes.refuse("", "neurons", "no spiking neurons are left for the chip")
        for name in model.outputs:
            self._readout(name)

    def _options(self) -> None:
        """What options say of populations and weights that are not there, or that cannot be."""
        options = self.options
        for field in ("circuits", "hemisphere", "places", "refractory_s", "holdoff_s"):
            for name in getattr(options, field):
                if not isinstance(self.model.nodes.get(name), nodes.CubaLIF | nodes.CubaLI):
                    self.notes.refuse(name, field, "no such population on the chip")
        into = [p for name in self.incoming if name not in self.model.outputs for p in self.incoming[name]]
        here = {weights_of(p)[0] for p in into if options.copies}
        for name in sorted(set(options.copies) - here):
            self.notes.refuse(name, "copies", "no such weights on the chip", limit=f"one of {sorted(here)}")
        for name, given in options.places.items():
            size, each = getattr(self.model.nodes.get(name), "size", len(given)), options.circuits.get(name, 1)
            if len(given) != size * each:
                reason, limit = "a circuit for each neuron, or as many as option circuits says", f"{size} * {each}"
                self.notes.refuse(name, "places", reason, len(given), limit)
            if {place // COLUMNS for place in given} - {
                options.hemisphere.get(name, place // COLUMNS) for place in given
            }:
                reason = "not all of these places are in the hemisphere asked for"
                self.notes.refuse(name, "places", reason, list(given), f"hemisphere {options.hemisphere[name]}")

    def _ends(self) -> set[str]:
        """Populations whose values or spikes an Output gives."""
        return {p.source for p in self.model.projections() if p.target in self.model.outputs}

    def _integrator(self, node: Any) -> None:
        """A membrane that is read out: nothing hears it."""
        heard = [p.target for p in self.model.projections() if p.source == node.name]
        if set(heard) - set(self.model.outputs):
            reason = "a membrane's value does not travel on the chip: it can be read out, and feed nobody"
            self.notes.refuse(node.name, "type", reason, wanted=f"feeds {', '.join(heard)}")
        elif self.dt_ns is None:
            hint = "Semantics(dt_ns=...), or --dt on the command line"
            self.notes.refuse(node.name, "dt_ns", "membranes are read once a step, and nobody said how long", hint=hint)
        else:
            self._population(node)

    def _population(self, node: Any) -> None:
        before = len(self.notes.refused)
        into = self.incoming.get(node.name, [])
        known = self._finite(node)
        for part in (part for p in into for part in p.path):
            self._finite(part)
        rule = self.model.semantics.rule(node)
        if self.dt_ns is None and not flows(node, rule):
            hint = "Semantics(dt_ns=...), or --dt on the command line"
            reason = "steps enter the neurons' rule, and nobody said how long they are"
            self.notes.refuse(node.name, "dt_ns", reason, wanted=rule.tau_unit, hint=hint)
            known = False
        if not known:
            # nothing can be told of numbers without these
            return
        self.notes.only(node.name, rule, RULES)
        made = response(node, self.model.semantics, self.dt_ns, 1.0)
        for field, tau in (("tau_syn", made.tau_syn), ("tau_mem", made.tau_mem)):
            bad = tau[~(np.isfinite(tau) & (tau > 0))]
            if bad.size or (made.jump and field == "tau_syn"):
                reason = "no time constant of the chip: every current of it leaks, and takes its time"
                wanted = float(bad[0]) if bad.size else 0
                self.notes.refuse(node.name, field, reason, wanted=wanted, limit="> 0 s, finite")
        self._numbers(node, into, made, before)

    def _numbers(self, node: Any, into: list[Projection], made: Response, before: int) -> None:
        spiking = isinstance(node, nodes.CubaLIF)
        leak = np.asarray(node.v_leak, np.float64).ravel()
        reset = np.asarray(node.v_reset, np.float64).ravel() if spiking else leak
        distance = np.asarray(node.v_threshold, np.float64).ravel() - leak if spiking else leak * 0 + self._typical
        if not (distance > 0).all():
            value = float(distance.min())
            self.notes.refuse(node.name, "v_threshold", "a neuron at rest would fire", value, "above v_leak")
        elif spiking and (reset >= leak + distance).any():
            worst = int(np.argmax(reset - leak - distance))
            value, limit = float(reset[worst]), f"below v_threshold, {leak[worst] + distance[worst]:g}"
            self.notes.refuse(node.name, "v_reset", "a neuron would fire again at once, for ever", value, limit)
        self._start(node, leak, reset)
        for p in into:
            self._connection(p)
        if len(self.notes.refused) > before:
            return
        with np.errstate(over="ignore", invalid="ignore"):
            weight = made.area / made.tau_syn / distance
        for p in into:
            self._bounded(p, weight)
        half = 0.0 if self.dt_ns is None else self.dt_ns * 0.5e-9
        self.cells.append(
            Cells(
                name=node.name,
                shape=node.output_shape,
                tau_mem=made.tau_mem,
                tau_syn=made.tau_syn,
                weight=weight,
                unit=distance,
                rest=leak,
                spiking=spiking,
                reset=(reset - leak) / distance,
                refractory=np.full(node.size, self.options.refractory_s.get(node.name, half)),
                holdoff=np.full(node.size, self.options.holdoff_s.get(node.name, 0.0)),
                latency=self.late[node.name],
                inputs=tuple(into),
            )
        )

    def _start(self, node: Any, leak: Floats, reset: Floats) -> None:
        """The chip starts where its membranes rest."""
        state = self.model.semantics.rule(node).start_state
        start = {"v_reset": reset, "v_leak": leak}.get(str(state), state)
        if np.any(np.asarray(start) != leak):
            wanted = float(np.max(np.abs(np.asarray(start) - leak)))
            self.notes.refuse(node.name, "start_state", "membranes start where they rest, at v_leak", wanted, 0)

    def _finite(self, node: Any) -> bool:
        """Whether all its numbers are."""
        known = True
        for name in node.parameters:
            values = np.ravel(getattr(node, name))
            bad = values[~np.isfinite(values)]
            if bad.size:
                count = f" ({bad.size})" if bad.size > 1 else ""
                reason = f"values that are not finite{count}: every current of the chip leaks, and all are bounded"
                self.notes.refuse(node.name, name, reason, wanted=float(bad[0]), limit="finite numbers")
                known = False
        return known

    def _bounded(self, p: Projection, unit: Floats) -> None:
        """Refuse weights of which no scale makes integers."""
        matrix = p.matrix().tocoo()
        with np.errstate(over="ignore", invalid="ignore"):
            largest = float(np.abs(matrix.data * unit[matrix.row]).max(initial=0.0))
        if not largest <= LARGEST:
            name = p.path[-1].name if p.path else p.target
            reason = "no scale makes 6-bit integers of weights so large, in distances of v_threshold and v_leak"
            self.notes.refuse(name, "weight", reason, largest, f"{LARGEST:g}")

    def _connection(self, p: Projection) -> None:
        if p.bias is not None and np.any(p.bias):
            wanted = float(np.abs(p.bias).max())
            hint = "train without biases, or give the network an Input that fires all the time"
            self.notes.refuse(p.path[-1].name, "bias", "neurons have no constant input", wanted, 0, hint)
        if np.any(p.delay_ns):
            wanted = float(np.max(p.delay_ns)) * 1e-9
            self.notes.approximated("delays", p.target, "delay", "events arrive at once", f"{wanted:g} s", 0)
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
