"""Recordings on disk, probes, and state variables."""

import numpy as np

from hal_mutants.catalogue import fault
from hal_mutants.mixins import Feed, Plain, PlainMapper, Through
from hal_mutants.opening import without


@fault("loses-on-disk", {"REC-001": "and the one in memory"})
class LosesOnDisk(Plain):
    """Runs one event less when it records to disk."""

    def run(self, stimulus, duration_ns, *, to=None, **more):
        if to is not None:
            stimulus = {key: value[:-1] for key, value in stimulus.items()}
        return super().run(stimulus, duration_ns, to=to, **more)


@fault("disturbed-by-probes", {"REC-002": "change the Output"})
class DisturbedByProbes(Feed):
    """Loses an event where something is probed."""

    def feed(self, value):
        return value[1:] if self.mapping.record else value


class Samples(Plain):
    """Samples state otherwise."""

    def _run(self, stimulus, duration_ns, recorder):
        seen = set()

        def sample(node, variable, t, values):
            first = (node, variable) not in seen
            seen.add((node, variable))
            recorder.sample(node, variable, *self.sampled(np.asarray(t), np.asarray(values), first))

        super()._run(stimulus, duration_ns, Through(recorder, sample=sample))


@fault("samples-zeros", {"REC-003": "moved v of []"})
class SamplesZeros(Samples):
    """Reads 0 for every state."""

    def sampled(self, t, values, first):
        return t, np.zeros_like(values)


@fault("samples-once", {"REC-004": "gives samples at [0]"})
class SamplesOnce(Samples):
    """Samples once where a period was asked for."""

    def sampled(self, t, values, first):
        return (t[:1], values[:1]) if first else (t[:0], values[:0])


@fault("record-undeclared", {"REC-003": "not properly refused", "REC-004": "not properly refused"})
class RecordUndeclared(PlainMapper):
    """Ignores probes on state where it should refuse them."""

    declare = without("record.state")

    def map(self, model, options=None, *, record=(), **more):
        return super().map(model, options, **more)
