"""Words of the semantics that a device does not do as asked, and does not say so."""

import attrs
import numpy as np

from hal.errors import CapabilityError
from hal.fit import Finding, FitRow
from hal.mapper import Plan
from hal.semantics import FIELDS
from hal_mutants.catalogue import fault
from hal_mutants.mixins import PlainMapper


class Ignores(PlainMapper):
    """Does what it always does, whatever the semantics say."""

    def _plan(self, model, *args):
        return super()._plan(model.with_semantics(attrs.evolve(model.semantics, **self.always)), *args)


def _ignores(name, words, loihi=None, **always):
    ((field, value),) = always.items()
    says = f"Takes {field} to be {value!r}, whatever the model says."
    made = type("IgnoresOne", (Ignores,), {"always": always, "__doc__": says})
    for base, told in (("toy", words), ("loihi", loihi or words)):
        fault(f"ignores-{name}", {"MAP-012": told}, on=base)(made)


_ignores("compare", "compare='>'", compare=">=")
_ignores("reset-rule", "spike_reset='subtract'", spike_reset="value")
# Loihi refuses other resets than to a value, with and without a delay
_ignores("reset-delay", "reset_delay=1", loihi="spike_reset='discard_update'", reset_delay=0)
_ignores("fires-on", "fires_on='old'", fires_on="new")
_ignores("spikes-per-step", "spikes_per_step='many'", spikes_per_step="one")
_ignores("edge-delay", "edge_delay=1", edge_delay=0)
_ignores("feedback-delay", "feedback_delay=2", feedback_delay=1)
_ignores("v-min", "v_min=-1.0", v_min=None)
_ignores("start-state", "start_state=3.0", start_state=0.0)
_ignores("gain", "gain='r'", gain="one")
_ignores("decay", "LIF neurons with decay='exp'", decay="1-dt/tau")
_ignores("jump", "CubaLIF neurons with jump='before'", jump="after")
_ignores("flatten-order", "flatten_order='HWC'", flatten_order="CHW")


@fault("ignores-subtract-n", {"MAP-012": "spike_reset='subtract_n': no finding"}, on="toy")
class IgnoresSubtractN(PlainMapper):
    """Takes one threshold off, whatever a step was worth."""

    def _plan(self, model, *args):
        semantics = model.semantics
        if semantics.spike_reset == "subtract_n":
            model = model.with_semantics(attrs.evolve(semantics, spike_reset="subtract"))
        return super()._plan(model, *args)


@fault("ignores-subtract-n", {"MAP-012": "spike_reset='subtract_n', one spike a step: no finding"}, on="loihi")
class ResetsToValue(PlainMapper):
    """Resets to a value where thresholds are to be taken off, and says of several spikes alone that it has none."""

    def _plan(self, model, *args):
        semantics = model.semantics
        if semantics.spike_reset == "subtract_n":
            model = model.with_semantics(attrs.evolve(semantics, spike_reset="value"))
        return super()._plan(model, *args)


@fault("refuses-without-words", {"MAP-012": "refused, and no reason names a node and 'fires_on'"})
class RefusesWithoutWords(PlainMapper):
    """Refuses a word of the semantics without naming it."""

    def _plan(self, model, *args):
        plan = super()._plan(model, *args)
        if model.semantics.rule(model.nodes["neurons"]).fires_on == "new":
            return plan
        return Plan(findings=[Finding(level="refused", node="neurons", field="model", reason="not this one")])


@fault("excuses-all", {"MAP-012": "compare='>'", "MAP-013": "weights of 1.7"})
class ExcusesAll(PlainMapper):
    """Says of every word and number of every model that it may be another, and changes two."""

    def _plan(self, model, *args):
        other = {
            name: attrs.evolve(node, weight=np.round(node.weight))
            for name, node in model.nodes.items()
            if "weight" in node.parameters
        }
        semantics = attrs.evolve(model.semantics, compare=">=")
        plan = super()._plan(type(model).of({**model.nodes, **other}, model.edges, semantics), *args)
        fields = " ".join([*FIELDS, "weight"])
        excuses = [
            Finding(level="changed", node=node.name, field=fields, reason="may be another")
            for node in model.nodes.values()
        ]
        return attrs.evolve(plan, findings=[*plan.findings, *excuses], realised={})


# --- in order -------------------------------------------------------------------------------------------------------


def _delay(model):
    return model.semantics.rule_for("", "Input").edge_delay


def _depths(model):
    """How many connections there are from an Input to each population; one that closes a cycle has its delay anyway."""
    ways = {}
    for projection in model.projections():
        ways.setdefault(projection.target, []).append(projection)
    depths = {}
    for name in (*(node.name for node in model.populations()), *model.outputs):
        # an Output takes what neurons give as it is, unless there are weights on the way
        late = [
            depths.get(p.source, 0) + (0 if p.recurrent or (name in model.outputs and not p.path) else 1)
            for p in ways.get(name, [])
        ]
        depths[name] = max(late, default=0)
    return depths


def _later(vector):
    """The same answer, two connections late."""
    late = {name: spikes.copy() for name, spikes in vector.spikes.items()}
    for spikes in late.values():
        spikes["t"] += 2 * vector.model.semantics.dt_ns
    return attrs.evolve(vector, spikes=late)


@fault("slow", {}, on="toy")
class Slow(PlainMapper):
    """In order: takes a step for each connection, and says so."""

    @staticmethod
    def vouch(evidence):
        return attrs.evolve(evidence, vectors=[_later(vector) for vector in evidence.vectors])

    def _plan(self, model, *args):
        slow = model.with_semantics(attrs.evolve(model.semantics, edge_delay=1 + _delay(model)))
        plan = super()._plan(slow, *args)
        latency = {name: k * (plan.step_ns or 0) for name, k in _depths(model).items()}
        return attrs.evolve(plan, latency_ns=latency)


@fault("refuses-by-row", {}, on="toy")
class RefusesByRow(PlainMapper):
    """In order: what it has no memory for is a row over its limit."""

    def _plan(self, model, *args):
        plan = super()._plan(model, *args)
        row = FitRow(resource="delays", place="chip", node="", needed=_delay(model), limit=0, unit="steps")
        return attrs.evolve(plan, rows=(*plan.rows, row))


@fault("refuses-late", {}, on="toy")
class RefusesLate(PlainMapper):
    """In order, just: says no when it maps, by a capability."""

    def map(self, model, options=None, **more):
        if _delay(model):
            raise CapabilityError("no delays", capability="delay.axonal")
        return super().map(model, options, **more)
