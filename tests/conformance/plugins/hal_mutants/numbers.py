"""Numbers of a model that are not what is computed with, and nobody says so."""

import attrs
import numpy as np

from hal.mapping import Losses
from hal_mutants.catalogue import fault
from hal_mutants.mixins import PlainMapper


def _changed(model, change, *parameters):
    """The model with other numbers in all nodes that have them."""
    nodes = {}
    for name, node in model.nodes.items():
        new = {key: change(np.asarray(getattr(node, key))) for key in parameters if key in node.parameters}
        nodes[name] = attrs.evolve(node, **new) if new else node
    return type(model).of(nodes, model.edges, model.semantics)


def _within_bytes(weight):
    return np.clip(weight, -127, 127)


class Alters(PlainMapper):
    """Computes with other numbers, and says nothing of it."""

    def _plan(self, model, *args):
        plan = super()._plan(_changed(model, self.change, self.parameter), *args)
        return attrs.evolve(plan, realised={})


def _alters(name, words, says, change, parameter, **also):
    made = type("AltersOne", (Alters,), {"change": staticmethod(change), "parameter": parameter, "__doc__": says})
    fault(name, {"MAP-013": words, **also})(made)


LOW = {"AGR-001": "spikes that agree with ideal's on the realised numbers: {'IF'"}
_alters("rounds-weights", "weights of 1.7", "Rounds weights, and does not say so.", np.round, "weight", **LOW)
_alters("rounds-thresholds", "a threshold of 6.5", "Cuts thresholds to integers in silence.", np.floor, "v_threshold")
_alters("ignores-bias", "a bias of 1.0 a step", "Has no biases, and does not say so.", np.zeros_like, "bias")
_alters("ignores-v-reset", "v_reset of 1", "Resets to 0, whatever v_reset is.", np.zeros_like, "v_reset")
_alters("clips-weights", "one weight of -1e+06", "Clips weights, and does not say so.", _within_bytes, "weight")


@fault("loses-clipped", {"MAP-013": "there is -127 left, and no row of the losses"})
class LosesClipped(PlainMapper):
    """Says what it computes with, and has no row for what was lost."""

    def _plan(self, model, *args):
        return super()._plan(_changed(model, _within_bytes, "weight"), *args)


@fault("realised-lies", {"MAP-013": "the witness as it is", **LOW})
class RealisedLies(PlainMapper):
    """Says that thresholds are three times what they are."""

    def _plan(self, *args):
        plan = super()._plan(*args)
        lies = {key: 3 * value for key, value in plan.realised.items() if key[1] == "v_threshold"}
        return attrs.evolve(plan, realised={**plan.realised, **lies})


@fault("realises-half", {"MAP-013": "realised fc1.weight has 1 values"})
class RealisesHalf(PlainMapper):
    """Gives one weight of all that it realises."""

    def _plan(self, *args):
        plan = super()._plan(*args)
        half = {key: value.ravel()[:1] for key, value in plan.realised.items() if key[1] == "weight"}
        return attrs.evolve(plan, realised={**plan.realised, **half})


class Lossy(PlainMapper):
    """Has a row of losses of its own, where weights are not whole."""

    def _plan(self, *args):
        row = ("fc1", "weight", np.array([self.index]), np.array([99.0]), np.array([0.0]), "rounded to 0")
        plan = super()._plan(*args)
        loud = any(np.any(value % 1) for (_, name), value in plan.realised.items() if name == "weight")
        return attrs.evolve(plan, losses=Losses.build([row])) if loud else plan


@fault("losses-lie", {"MAP-013": "losses want 99"})
class LossesLie(Lossy):
    """Tells of a lost weight that the model never had."""

    index = 0


@fault("losses-astray", {"MAP-013": "losses tell of fc1.weight[1000], which is not there"})
class LossesAstray(Lossy):
    """Tells of a lost weight at an index that is not there."""

    index = 1000
