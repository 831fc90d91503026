"""What comes out of one run, of what, and when."""

import math

import attrs
import numpy as np

from hal.device import Reset
from hal_mutants.catalogue import fault
from hal_mutants.mixins import After, Emit, Feed, Plain


@fault("renames-outputs", {"RUN-001": "spikes are of ['output.0']"})
class RenamesOutputs(After):
    """Numbers the names of Outputs."""

    def after(self, recording):
        return attrs.evolve(recording, spikes={f"{name}.0": spikes for name, spikes in recording.spikes.items()})


@fault("other-dtype", {"RUN-001": "has dtype"})
class OtherDtype(After):
    """Gives times as floats."""

    def after(self, recording):
        dtype = np.dtype([("t", "<f8"), ("index", "<u4")])
        return attrs.evolve(recording, spikes={name: s.astype(dtype) for name, s in recording.spikes.items()})


@fault("drops-last", {"RUN-002": "the first without a partner"})
class DropsLast(Feed):
    """Does not take in the last event of an Input."""

    def feed(self, value):
        return value[:-1]


@fault("scrambled", {"RUN-002": "the first without a partner", "RUN-003": "against ideal"})
class Scrambled(Emit):
    """Gives each spike to the next neuron."""

    def change(self, node, t, index, duration_ns):
        size = math.prod(self.recorded_events()[node])
        return t, ((index + 1) % size).astype(np.uint32)


@fault("late", {"RUN-002": "the first without a partner", "RUN-003": "against ideal"})
class Late(Emit):
    """Gives every spike one step later than it says."""

    def change(self, node, t, index, duration_ns):
        kept = t < duration_ns - self.mapping.step_ns
        return t[kept] + self.mapping.step_ns, index[kept]


@fault("unlike-ideal", {"RUN-003": "against ideal"})
class UnlikeIdeal(Feed):
    """Is right for short runs only."""

    def feed(self, value):
        return value[value["t"] < 96 * 1_000_000]


@fault("hums", {"RUN-004": "silence gives 1 spikes"})
class Hums(Plain):
    """Spikes once in silence."""

    def _run(self, stimulus, duration_ns, recorder):
        super()._run(stimulus, duration_ns, recorder)
        if not any(value.size for value in stimulus.values()) and duration_ns:
            recorder.emit(next(iter(self.recorded_events())), np.array([0]), np.array([0]))


@fault("zero-is-one", {"RUN-005": "with and without a run of no time before"})
class ZeroIsOne(Plain):
    """Forgets its state in a run of no time."""

    def _run(self, stimulus, duration_ns, recorder):
        super()._run(stimulus, duration_ns, recorder)
        if not duration_ns:
            self._reset(Reset.STATE)


@fault("ignores-single", {"RUN-006": "one event on channel 0 in step 0"})
class IgnoresSingle(Feed):
    """Ignores an event that comes alone."""

    def feed(self, value):
        return value if value.size > 1 else value[:0]


@fault("merges", {"RUN-007": "two events on weak channel 1"})
class Merges(Feed):
    """Takes equal events for one."""

    def feed(self, value):
        return np.unique(value)


@fault("random", {"RUN-009": "run 0 of two devices"})
class Random(Feed):
    """Is noisy, and cannot be repeated."""

    def feed(self, value):
        return value[np.random.default_rng().random(value.size) < 0.5]


@fault("seeded", {"NOIS-001": "with another seed", "NOIS-002": "as another run from the same state"})
class Seeded(Feed):
    """Is noisy by its seed, and does not say so."""

    def feed(self, value):
        return value[self.rng().random(value.size) < 0.5]
