"""Counters of a recording."""

import numpy as np

from hal_mutants.catalogue import fault
from hal_mutants.mixins import Plain, Through


class Counts(Plain):
    """Counts otherwise."""

    def _run(self, stimulus, duration_ns, recorder):
        def count(counter, per_core):
            self.counted(recorder, counter, np.asarray(per_core))

        super()._run(stimulus, duration_ns, Through(recorder, count=count))


@fault("counts-nothing", {"RUN-015": "a run, 2 layers: events_in is 0"})
class CountsNothing(Counts):
    """Leaves all counters at 0."""

    def counted(self, recorder, counter, per_core):
        pass


@fault("counts-for-ever", {"RUN-015": "silence, 2 layers: events_in is"})
class CountsForEver(Counts):
    """Counts since it was opened, not since the run began."""

    def _run(self, stimulus, duration_ns, recorder):
        self.sums = getattr(self, "sums", [])
        for counter, per_core in self.sums:
            recorder.count(counter, per_core)
        super()._run(stimulus, duration_ns, recorder)

    def counted(self, recorder, counter, per_core):
        self.sums.append((counter, per_core))
        recorder.count(counter, per_core)


@fault("counts-no-output", {"RUN-015": "a run, 2 layers: events_out is 0"})
class CountsNoOutput(Counts):
    """Does not count what leaves."""

    def counted(self, recorder, counter, per_core):
        if counter != "events_out":
            recorder.count(counter, per_core)


@fault("counts-no-synops", {"RUN-015": "synops is 0, and events met weights"})
class CountsNoSynops(Counts):
    """Does not count synaptic operations."""

    def counted(self, recorder, counter, per_core):
        if counter != "synops":
            recorder.count(counter, per_core)


@fault("hums-in-synops", {"RUN-015": "silence, 2 layers: synops is"})
class HumsInSynops(Counts):
    """Counts synaptic operations without events."""

    def counted(self, recorder, counter, per_core):
        recorder.count(counter, per_core + (counter == "synops"))
