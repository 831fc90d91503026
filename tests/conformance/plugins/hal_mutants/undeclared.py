"""Words that are not declared, and what asks for them not refused by that word."""

import attrs

from hal_mutants.catalogue import fault
from hal_mutants.mixins import PlainMapper

FEATURES = {
    "neuron.if": "NEUR-001",
    "neuron.lif": "NEUR-002",
    "neuron.cuba": "NEUR-003",
    "neuron.integrator": "NEUR-004",
    "neuron.threshold": "NEUR-005",
    "route.fanout": "ROUT-001",
    "route.merge": "ROUT-002",
    "route.recurrent": "ROUT-003",
    "route.inputs": "ROUT-004",
    "route.outputs": "ROUT-005",
    "delay.axonal": "DLY-001",
    "input.signal": "SIG-001",
    "output.signal": "SIG-002",
}
"""Word -> the check whose twin asks for it."""


class Unnamed(PlainMapper):
    """Does not say that a word is missing: the network is mapped, or refused for other reasons alone."""

    word = ""

    def _refusals(self, model, chip):
        return [finding for finding in super()._refusals(model, chip) if finding.field != self.word]


def _enter(word, check):
    def declare(spec):
        return attrs.evolve(spec, capabilities=spec.capabilities - {word})

    says = f"Does not declare {word!r}, and does not refuse it by name."
    made = type("UnnamedOne", (Unnamed,), {"word": word, "declare": staticmethod(declare), "__doc__": says})
    fault(f"unnamed-{word.replace('.', '-')}", {check: "not properly refused"})(made)


for _word, _check in FEATURES.items():
    _enter(_word, _check)


@fault("learning-undeclared", dict.fromkeys(("LRN-001", "LRN-002"), "should raise CapabilityError"))
class LearningUndeclared(PlainMapper):
    """Takes the option `learning`, and learns nothing."""

    def _options(self, options):
        kept = {k: v for k, v in options.items() if k != "learning"} if isinstance(options, dict) else options
        return super()._options(kept)
