"""What is fed in: taken as it is, changed, or half taken."""

import numpy as np

from hal.device import Reset
from hal.errors import ConfigError
from hal_mutants.catalogue import fault
from hal_mutants.mixins import Plain


@fault("repairs-stimuli", {"STIM-001": "times that go back should raise ConfigError"})
class RepairsStimuli(Plain):
    """Runs silence where a stimulus is faulty."""

    def run(self, stimulus, duration_ns, **more):
        try:
            return super().run(stimulus, duration_ns, **more)
        except ConfigError:
            return super().run({}, duration_ns, **more)


@fault("half-moved", {"STIM-001": "after refused ones and without them"})
class HalfMoved(Plain):
    """Forgets its state over a stimulus that it refuses."""

    def run(self, stimulus, duration_ns, **more):
        try:
            return super().run(stimulus, duration_ns, **more)
        except ConfigError:
            if self.state == "loaded":
                self._reset(Reset.STATE)
            raise


@fault("counts-refused", {"STIM-001": "(run, t0, state) is (2"})
class CountsRefused(Plain):
    """Counts a run that it refused."""

    def run(self, stimulus, duration_ns, **more):
        try:
            return super().run(stimulus, duration_ns, **more)
        except ConfigError:
            self._run_number += 1
            raise


@fault("any-duration", {"STIM-002": "a duration that is negative should raise ConfigError"})
class AnyDuration(Plain):
    """Takes the amount of a negative duration."""

    def run(self, stimulus, duration_ns, **more):
        return super().run(stimulus, abs(duration_ns) if isinstance(duration_ns, int) else duration_ns, **more)


@fault("writes-on-input", {"STIM-003": "changed the array"})
class WritesOnInput(Plain):
    """Writes into the array it is given."""

    def run(self, stimulus, duration_ns, **more):
        recording = super().run(stimulus, duration_ns, **more)
        for value in stimulus.values():
            if isinstance(value, np.ndarray) and value.flags.writeable:
                value["index"] = 0
        return recording


@fault("turns-rasters", {"STIM-004": "a raster of floats"})
class TurnsRasters(Plain):
    """Runs rasters of floats backwards."""

    def run(self, stimulus, duration_ns, **more):
        turned = {
            key: value[::-1] if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
            for key, value in stimulus.items()
        }
        return super().run(turned, duration_ns, **more)
