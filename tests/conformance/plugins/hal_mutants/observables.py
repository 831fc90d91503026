"""Observables that are not there, and limits of probes that are not kept."""

import attrs
import numpy as np

from hal.errors import ConfigError
from hal.fit import Observable
from hal_mutants.catalogue import fault
from hal_mutants.mixins import Plain, PlainMapper, Through


def _limited(variable, **limits):
    """declare: the spec with limits on one of its observables."""

    def declare(spec):
        changed = [attrs.evolve(o, **limits) if o.variable == variable else o for o in spec.observables]
        return attrs.evolve(spec, observables=tuple(changed))

    return staticmethod(declare)


LIMITS = {
    "too-many-probes": ({"at_once": 3}, "of 3 on a chip should raise ConfigError"),
    "too-many-nodes": ({"at_once": 1, "per": "node"}, "of 1 on a chip should raise ConfigError"),
    "too-many-on-a-core": ({"at_once": 2, "scope": "core"}, "of 2 on a core should raise ConfigError"),
    "odd-periods": ({}, "should raise ConfigError"),
    "excluded-together": ({"excludes": ("spikes",)}, "together with spikes, which it excludes should raise"),
    "probes-other-types": ({"types": ("LIF",)}, "which lack it"),
}


NONE = {"at_once": None, "scope": "chip", "per": "neuron", "excludes": (), "types": ()}


class Unlimited(PlainMapper):
    """Checks probes on v as if there were no limits."""

    free = None

    def map(self, model, options=None, **more):
        kept = self.spec
        self.spec = self.free(kept)
        try:
            return super().map(model, options, **more)
        finally:
            self.spec = kept


for _name, (_limits, _words) in LIMITS.items():
    _text = f"Has a limit on probes of v, {_limits or 'whole steps'}, and does not keep it."
    _free = {key: NONE[key] for key in _limits} or {"period_ns": 1}
    _made = {"declare": _limited("v", **_limits), "free": _limited("v", **_free), "__doc__": _text}
    fault(_name, {"REC-006": _words})(type("UnlimitedOne", (Unlimited,), _made))
    if _limits and "per" not in _limits:
        _made = {"declare": _limited("v", **_limits), "__doc__": f"In order: has a limit on probes of v, {_limits}."}
        fault(f"no-{_name}", {})(type("Limited", (Plain,), _made))


@fault("refuses-at-the-limit", {"REC-006": "is within the limit, and refused"})
class RefusesAtTheLimit(Unlimited):
    """Lets one neuron less be probed than it says."""

    declare = _limited("v", at_once=3)
    free = _limited("v", at_once=2)


@fault("observable-not-there", {"REC-005": "'w' is declared, and every probe on it is refused"})
class ObservableNotThere(PlainMapper):
    """Declares an observable that it never lets be probed."""

    @staticmethod
    def declare(spec):
        word = Observable(variable="w", unit="volts", per="node")
        return attrs.evolve(spec, observables=(*spec.observables, word))

    def map(self, model, options=None, *, record=(), **more):
        if any(getattr(probe, "variable", "") == "w" for probe in record):
            raise ConfigError("not today", hint="ask again")
        return super().map(model, options, record=record, **more)


@fault("no-reads-at-spikes", {})
class ReadsAtSpikes(Plain):
    """In order: has v at spikes alone, a row for each."""

    declare = _limited("v", per="spike", period_ns=None)

    def rows(self, t):
        return t

    def _run(self, stimulus, duration_ns, recorder):
        read = {probe.node for probe in self.mapping.record if probe.variable == "v"}

        def emit(node, t, index):
            recorder.emit(node, t, index)
            if node in read:
                rows = self.rows(np.asarray(t))
                recorder.sample(node, "v", rows, np.ones((rows.size, 1)))

        def sample(node, variable, t, values):
            if variable != "v":
                recorder.sample(node, variable, t, values)

        super()._run(stimulus, duration_ns, Through(recorder, emit=emit, sample=sample))


@fault("misses-spikes", {"REC-005": "rows, and"})
class MissesSpikes(ReadsAtSpikes):
    """Has v at spikes alone, and not at all of them."""

    def rows(self, t):
        return t[1:]


@fault("reads-after-spikes", {"REC-005": "spikes at other times"})
class ReadsAfterSpikes(ReadsAtSpikes):
    """Has v at spikes alone, and says when it read it instead of when they were."""

    def rows(self, t):
        return t + 1
