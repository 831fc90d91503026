"""Agreement: routes, random networks against the reference, and the vectors a plugin brings."""

import attrs
import numpy as np

from hal.events import EVENT
from hal.fit import Finding
from hal.mapper import Plan
from hal_mutants.catalogue import fault
from hal_mutants.mixins import Emit, Fault, PlainMapper

LARGE = 16
"""Neurons, where a layer is larger than those of the witnesses."""


def _dense(model):
    """Names of the connections of large layers, in order."""
    return [
        name for name in model.order() if "weight" in model.nodes[name].parameters and len(_w(model, name)) >= LARGE
    ]


def _w(model, name):
    return np.asarray(model.nodes[name].weight)


def _with(model, name, **parameters):
    nodes = {**model.nodes, name: attrs.evolve(model.nodes[name], **parameters)}
    return type(model).of(nodes, model.edges, model.semantics)


# --- routes ---------------------------------------------------------------------------------------------------------


class Reroutes(PlainMapper):
    """Connects large layers otherwise."""

    def _plan(self, model, *args):
        for name in _dense(model)[:1]:
            weight = _w(model, name).copy()
            self.reroute(weight)
            model = _with(model, name, weight=weight)
        return super()._plan(model, *args)


@fault("loses-a-route", {"ROUT-010": "the first without a partner"})
class LosesARoute(Reroutes):
    """Leaves out the last connection of a large layer."""

    def reroute(self, weight):
        weight[tuple(np.argwhere(weight)[-1])] = 0


@fault("adds-a-route", {"ROUT-010": "the first without a partner"})
class AddsARoute(Reroutes):
    """Connects two that are not connected."""

    def reroute(self, weight):
        weight[tuple(np.argwhere(weight == 0)[-1])] = weight.max()


@fault("swaps-targets", {"ROUT-010": "the first without a partner"})
class SwapsTargets(Reroutes):
    """Takes two neurons of a large layer for each other."""

    def reroute(self, weight):
        weight[[0, -1]] = weight[[-1, 0]]


# --- random networks ------------------------------------------------------------------------------------------------


class Bends(PlainMapper):
    """Computes with other numbers than those it says it realises."""

    def _plan(self, model, *args):
        told = super()._plan(model, *args)
        for node in list(model.nodes.values()):
            bent = {key: self.bend(np.asarray(getattr(node, key))) for key in self.parameters if key in node.parameters}
            model = _with(model, node.name, **bent)
        return attrs.evolve(super()._plan(model, *args), realised=told.realised)


@fault("threshold-off", {"AGR-001": "spikes that agree with ideal's on the realised numbers: {'IF'"})
class ThresholdOff(Bends):
    """Has thresholds two percent too high."""

    parameters = ("v_threshold",)

    def bend(self, values):
        return 1.02 * values


@fault("leaks-faster", {"AGR-001": "spikes that agree with ideal's on the realised numbers: {'LIF'"})
class LeaksFaster(Bends):
    """Forgets faster than it says."""

    parameters = ("tau", "tau_mem")

    def bend(self, values):
        return 0.7 * values


@fault("drops-every-20th", {"AGR-001": "demanded 0.99"})
class DropsEvery20th(Emit):
    """Loses one spike of twenty."""

    spikes = 0

    def change(self, node, t, index, duration_ns):
        kept = (self.spikes + np.arange(t.size)) % 20 != 19
        self.spikes += t.size
        return t[kept], index[kept]


@fault("refuses-fractions", {"AGR-001": "small networks are refused"})
class RefusesFractions(PlainMapper):
    """Maps nothing but small integers."""

    def _plan(self, model, *args):
        if any(np.any(_w(model, name) % 1) for name in _dense(model)):
            reason = "weights have to be whole numbers"
            return Plan(findings=[Finding(level="refused", node=_dense(model)[0], field="weight", reason=reason)])
        return super()._plan(model, *args)


@fault("hardly-spikes", {"AGR-001": "too few to compare"})
class HardlySpikes(PlainMapper):
    """Says that its thresholds are ten times what was asked for, and they are."""

    def _plan(self, model, *args):
        large = [n.name for n in model.populations() if n.size >= LARGE and "v_threshold" in n.parameters]
        high = {(name, "v_threshold"): 10 * np.asarray(model.nodes[name].v_threshold) for name in large}
        for (name, _), values in high.items():
            model = _with(model, name, v_threshold=values)
        plan = super()._plan(model, *args)
        return attrs.evolve(plan, realised={**high, **plan.realised})


@fault("lowers-the-floor", {"AGR-001": "the plugin's own floor is 0.5, below the suite's 0.99"})
class LowersTheFloor(Fault):
    """Asks less of itself than the suite does."""

    @staticmethod
    def vouch(evidence):
        return attrs.evolve(evidence, agreement=0.5)


@fault("promises-more", {"AGR-001": "demanded 0.999"}, on="loihi", why="the toy agrees in every spike")
class PromisesMore(Fault):
    """Promises more agreement than it has."""

    @staticmethod
    def vouch(evidence):
        return attrs.evolve(evidence, agreement=0.9999)


# --- vectors --------------------------------------------------------------------------------------------------------


class Vouches(Fault):
    """Brings another vector than it should."""

    @classmethod
    def vouch(cls, evidence):
        vector = evidence.vectors[0]
        return attrs.evolve(evidence, vectors=(attrs.evolve(vector, **cls.vector(vector)),))


@fault("nobodys-vector", {"VEC-001": "nobody says where its spikes come from"})
class NobodysVector(Vouches):
    """Brings a vector without a source."""

    @staticmethod
    def vector(vector):
        return {"source": " "}


@fault("wide-window", {"VEC-001": "and spikes of one neuron"})
class WideWindow(Vouches):
    """Takes spikes for those of the vector that are far from them."""

    @staticmethod
    def vector(vector):
        return {"window_ns": vector.duration_ns}


@fault("other-vector", {"VEC-001": "agree; the first without a partner"})
class OtherVector(Vouches):
    """Brings a vector of which one spike is another neuron's."""

    @staticmethod
    def vector(vector):
        changed = {}
        for name, spikes in vector.spikes.items():
            changed[name] = spikes.copy()
            changed[name]["index"][-1] = (spikes["index"][-1] + 1) % vector.model.nodes[name].size
        return {"spikes": changed}


@fault("vector-leaves-out", {"VEC-001": "agree; the first without a partner"})
class VectorLeavesOut(Vouches):
    """Brings a vector without the last spike."""

    @staticmethod
    def vector(vector):
        return {"spikes": {name: spikes[:-1] for name, spikes in vector.spikes.items()}}


@fault("silent-vector", {"VEC-001": "too few to prove anything"})
class SilentVector(Vouches):
    """Brings a vector of silence."""

    @staticmethod
    def vector(vector):
        nothing = np.empty(0, EVENT)
        return {
            "stimulus": dict.fromkeys(vector.stimulus, nothing),
            "spikes": dict.fromkeys(vector.spikes, nothing),
        }
