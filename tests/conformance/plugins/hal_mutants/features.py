"""What a network is made of: neurons, routes, delays and analog values, each done wrong in one way."""

import attrs
import numpy as np

from hal import nodes
from hal.events import Signal
from hal_mutants.catalogue import fault
from hal_mutants.mixins import Plain, PlainMapper, Through

NO_ANALOG = "it computes no analog values, and says so"
NO_UNITS = "it has no such neurons, and says so"


class Remakes(PlainMapper):
    """Maps another network than the one given, and says nothing of it."""

    def _plan(self, model, *args):
        plan = super()._plan(self.remade(model), *args)
        return attrs.evolve(plan, realised={})


def _with(model, changed, **semantics):
    said = attrs.evolve(model.semantics, **semantics)
    return type(model).of({**model.nodes, **changed}, model.edges, said)


def _cut(model, projections):
    """The model with nothing coming through these projections."""
    weights = [node for projection in projections for node in projection.path if "weight" in node.parameters]
    return _with(model, {node.name: attrs.evolve(node, weight=0 * node.weight) for node in weights})


def _by(model, end):
    """Projections between populations that share a source, or a target."""
    found = {}
    for projection in model.projections():
        if projection.target not in model.outputs:
            found.setdefault(getattr(projection, end), []).append(projection)
    return found.values()


# --- neurons --------------------------------------------------------------------------------------------------------


class Swaps(Remakes):
    """Puts in other neurons, or the same with other numbers."""

    kind = ""

    def remade(self, model):
        return _with(model, {n.name: self.other(n) for n in model.nodes.values() if n.type == self.kind})


def _like(node, kind, **parameters):
    """Neurons of another type with what both have in common."""
    values = {key: getattr(node, key) for key in kind.parameters if key in type(node).parameters}
    values |= {key: np.full(node.output_shape, value) for key, value in parameters.items()}
    return kind(name=node.name, input_shape=node.input_shape, output_shape=node.output_shape, **values)


@fault("if-leaks", {"NEUR-001": "events far apart"})
class IfLeaks(Swaps):
    """Lets IF neurons leak in half a minute of steps."""

    kind = "IF"

    def other(self, node):
        return _like(node, nodes.LIF, tau=30.0, v_leak=0.0)


@fault("lif-never-leaks", {"NEUR-002": "with ideal of no leak"})
class LifNeverLeaks(Swaps):
    """Gives LIF neurons a time constant of a million steps."""

    kind = "LIF"

    def other(self, node):
        return attrs.evolve(node, tau=np.full(node.output_shape, 1e6))


@fault("cuba-without-current", {"NEUR-003": "with ideal of a current of one step"})
class CubaWithoutCurrent(Swaps):
    """Lets the current of CubaLIF neurons last for one step."""

    kind = "CubaLIF"

    def other(self, node):
        return attrs.evolve(node, tau_syn=np.ones(node.output_shape))


@fault("cuba-never-leaks", {"NEUR-003": "with ideal of no leak"})
class CubaNeverLeaks(Swaps):
    """Gives the membranes of CubaLIF neurons a time constant of a million steps."""

    kind = "CubaLIF"

    def other(self, node):
        return attrs.evolve(node, tau_mem=np.full(node.output_shape, 1e6))


@fault("integrator-leaks", {"NEUR-004": "I before neurons, one up, one down"}, on="toy", why=NO_UNITS)
class IntegratorLeaks(Swaps):
    """Lets integrators without leak leak."""

    kind = "I"

    def other(self, node):
        return _like(node, nodes.LI, tau=10.0, v_leak=0.0)


@fault("leaky-integrator-holds", {"NEUR-004": "with ideal of no leak"}, on="toy", why=NO_UNITS)
class LeakyIntegratorHolds(Swaps):
    """Lets leaky integrators hold what they have."""

    kind = "LI"

    def other(self, node):
        return attrs.evolve(node, tau=np.full(node.output_shape, np.inf))


@fault("threshold-at-equality", {"NEUR-005": "above, below, at the threshold"}, on="toy", why=NO_UNITS)
class ThresholdAtEquality(Remakes):
    """Compares Threshold units the other way where the input is just the threshold."""

    def remade(self, model):
        other = {">": ">=", ">=": ">"}
        units = [node for node in model.nodes.values() if node.type == "Threshold"]
        overrides = {node.name: {"compare": other[model.semantics.rule(node).compare]} for node in units}
        return _with(model, {}, overrides={**model.semantics.overrides, **overrides})


@fault("threshold-remembers", {"NEUR-005": "above, below, at the threshold"}, on="toy", why=NO_UNITS)
class ThresholdRemembers(Swaps):
    """Adds up over steps what Threshold units take in."""

    kind = "Threshold"

    def other(self, node):
        return _like(node, nodes.IF, r=1.0, v_threshold=node.threshold.flat[0], v_reset=0.0)


# --- routes ---------------------------------------------------------------------------------------------------------


@fault("drops-a-target", {"ROUT-001": "the first without a partner"})
class DropsATarget(Remakes):
    """Of several targets of one population serves all but the last."""

    def remade(self, model):
        return _cut(model, [several[-1] for several in _by(model, "source") if len(several) > 1])


@fault("same-to-all-targets", {"ROUT-001": "the first without a partner"})
class SameToAllTargets(Remakes):
    """Of several targets of one population serves all with the weights of the first."""

    def remade(self, model):
        changed = {}
        for first, *others in _by(model, "source"):
            for projection in others:
                (one,), (other,) = (
                    [n for n in p.path if "weight" in n.parameters] or [None] for p in (first, projection)
                )
                if one is not None and other is not None and one.weight.shape == other.weight.shape:
                    changed[other.name] = attrs.evolve(other, weight=one.weight)
        return _with(model, changed)


@fault("drops-a-source", {"ROUT-002": "the first without a partner"})
class DropsASource(Remakes):
    """Of several sources of one population hears all but the last."""

    def remade(self, model):
        return _cut(model, [several[-1] for several in _by(model, "target") if len(several) > 1])


@fault("ignores-feedback", {"ROUT-003": "the first without a partner"})
class IgnoresFeedback(Remakes):
    """Lets nothing through where a cycle closes."""

    def remade(self, model):
        return _cut(model, [projection for projection in model.projections() if projection.recurrent])


@fault("late-feedback", {"ROUT-003": "the first without a partner"})
class LateFeedback(Remakes):
    """Takes two steps where a cycle closes."""

    def remade(self, model):
        return _with(model, {}, feedback_delay=2)


@fault("swaps-inputs", {"ROUT-004": "the first without a partner"})
class SwapsInputs(Plain):
    """Takes one Input for the other."""

    def _run(self, stimulus, duration_ns, recorder):
        names = [name for name in self.mapping.model.inputs if name in stimulus]
        swapped = {new: stimulus[old] for new, old in zip(names, reversed(names), strict=True)}
        super()._run({**stimulus, **swapped}, duration_ns, recorder)


@fault("repeats-missing-input", {"ROUT-004": "only 'east' fed"})
class RepeatsMissingInput(Plain):
    """Feeds an Input that nobody feeds with what another one gets."""

    def _run(self, stimulus, duration_ns, recorder):
        events = [value for value in stimulus.values() if isinstance(value, np.ndarray) and value.size]
        filled = {
            name: events[0] if events and isinstance(value, np.ndarray) and not value.size and name[0] != "@" else value
            for name, value in stimulus.items()
        }
        super()._run(filled, duration_ns, recorder)


@fault("merges-outputs", {"ROUT-005": "the first without a partner"})
class MergesOutputs(Plain):
    """Gives what comes out of any Output at all of them."""

    def _run(self, stimulus, duration_ns, recorder):
        outputs = self.mapping.on_chip.outputs

        def emit(node, t, index):
            for name in outputs if node in outputs else (node,):
                recorder.emit(name, t, index)

        super()._run(stimulus, duration_ns, Through(recorder, emit=emit))


@fault("first-output-only", {"ROUT-005": "the first without a partner"})
class FirstOutputOnly(Plain):
    """Gives what comes out of the first Output alone."""

    def _run(self, stimulus, duration_ns, recorder):
        def emit(node, t, index):
            if node not in self.mapping.on_chip.outputs[1:]:
                recorder.emit(node, t, index)

        super()._run(stimulus, duration_ns, Through(recorder, emit=emit))


class Delays(Swaps):
    """Takes another time for Delay nodes."""

    kind = "Delay"


@fault("ignores-delays", {"DLY-001": "the first without a partner"})
class IgnoresDelays(Delays):
    """Lets Delay nodes through at once."""

    def other(self, node):
        return attrs.evolve(node, delay=0 * node.delay)


@fault("delays-by-one-more", {"DLY-001": "the first without a partner"})
class DelaysByOneMore(Delays):
    """Takes a step longer for Delay nodes."""

    def other(self, node):
        return attrs.evolve(node, delay=node.delay + 1)


@fault("one-delay-for-all", {"DLY-001": "a Delay of its own for each channel"})
class OneDelayForAll(Delays):
    """Takes the longest of a Delay node's times for all its channels."""

    def other(self, node):
        return attrs.evolve(node, delay=np.full_like(node.delay, node.delay.max()))


# --- analog values --------------------------------------------------------------------------------------------------


@fault("values-in-late", {"SIG-001": "values held"}, on="toy", why=NO_ANALOG)
class ValuesInLate(Plain):
    """Takes values in a step late."""

    def _run(self, stimulus, duration_ns, recorder):
        step_ns = self.mapping.step_ns
        late = {
            name: Signal(value.t + step_ns, value.values) if isinstance(value, Signal) else value
            for name, value in stimulus.items()
        }
        super()._run(late, duration_ns, recorder)


@fault("values-not-held", {"SIG-001": "values held"}, on="toy", why=NO_ANALOG)
class ValuesNotHeld(Plain):
    """Takes a value in for the one step at which it is given."""

    def _run(self, stimulus, duration_ns, recorder):
        def gone(value):
            after = np.setdiff1d(value.t + self.mapping.step_ns, value.t)
            t = np.concatenate([value.t, after])
            rows = np.concatenate([value.values, np.zeros((after.size, value.values.shape[1]))])
            order = np.argsort(t)
            return Signal(t[order], rows[order])

        held = {name: gone(value) if isinstance(value, Signal) else value for name, value in stimulus.items()}
        super()._run(held, duration_ns, recorder)


@fault("values-out-before-the-step", {"SIG-002": "after step"}, on="toy", why=NO_ANALOG)
class ValuesOutBeforeTheStep(Plain):
    """Gives values as they stood before the step, not after it."""

    def _run(self, stimulus, duration_ns, recorder):
        last = {}

        def sample(node, variable, t, values):
            before = np.concatenate([last.get(node, 0 * values[:1]), values[:-1]])
            last[node] = values[-1:].copy()
            recorder.sample(node, variable, t, before if variable == "output" else values)

        super()._run(stimulus, duration_ns, Through(recorder, sample=sample))


@fault("host-values-late", {"SIG-002": "after step"}, on="loihi", why="it gives values out itself")
class HostValuesLate(PlainMapper):
    """Does not say how late the chip is before the part that the host computes."""

    def map(self, model, options=None, **more):
        made = super().map(model, options, **more)
        chip = {name: delay for name, delay in made.latency_ns.items() if name in made.on_chip.nodes}
        return attrs.evolve(made, latency_ns=chip)
