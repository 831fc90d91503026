"""Runs one after another, in batches, side by side, and broken off."""

import attrs

from hal.device import Reset
from hal.fit import Finding
from hal.recording import BatchRecording
from hal_mutants.catalogue import fault
from hal_mutants.mixins import After, Plain, Through
from hal_mutants.opening import without


class Forgetful(Plain):
    """Begins each run from rest."""

    def _run(self, stimulus, duration_ns, recorder):
        self._reset(Reset.STATE)
        super()._run(stimulus, duration_ns, recorder)


@fault("forgets", {"RUN-008": "and they differ"})
class Forgets(Forgetful):
    """Begins each run from rest, and says that it goes on."""


@fault("forgets-in-silence", {"RUN-008": "a second run neither refuses"})
class ForgetsInSilence(Forgetful):
    """Begins each run from rest, and takes out of the recording what the core notes of it."""

    declare = without("run.continue")

    def run(self, stimulus, duration_ns, **more):
        return attrs.evolve(super().run(stimulus, duration_ns, **more), diagnostics=())


@fault("modest", {}, on="toy")
class Modest(Forgetful):
    """In order: has no words but IF neurons, and says that it does not continue."""

    most = 1 << 62

    @staticmethod
    def declare(spec):
        return attrs.evolve(spec, capabilities={"neuron.if"})

    def _run(self, stimulus, duration_ns, recorder):
        super()._run(stimulus, duration_ns, recorder)
        if self.run_number:
            reason = "state does not carry over from the run before"
            recorder.note(Finding(level="note", node="", field="run.continue", reason=reason))


class Batch(Plain):
    """Has batches of its own, a run after the other."""

    def _run_batch(self, stimulus, duration_ns, workers):
        recordings = []
        number = self._run_number
        for b, sample in enumerate(stimulus):
            if self.between(b, workers):
                self.reset(Reset.STATE)
            self._t0_ns = 0
            recordings.append(self.run(sample, duration_ns))
        self._run_number = number
        return BatchRecording.of(recordings)


@fault("batch-carries-over", {"RUN-010": "with 1 workers"})
class BatchCarriesOver(Batch):
    """Begins each sample of a batch from where the one before ended."""

    def between(self, b, workers):
        return b == 0


@fault("batch-by-workers", {"RUN-010": "with 2 workers"})
class BatchByWorkers(Batch):
    """Resets as often as there are workers, not between all samples."""

    def between(self, b, workers):
        return b % workers == 0


@fault("batch-uncounted", {"RUN-010": "after the batch (run, t0, state) is (0, "})
class BatchUncounted(Plain):
    """Does not count the runs of a batch."""

    def run_batch(self, stimuli, duration_ns, **more):
        number = self._run_number
        batch = super().run_batch(stimuli, duration_ns, **more)
        self._run_number = number
        return batch


@fault("shares-state", {"RUN-011": "the second device"})
class SharesState(Plain):
    """Keeps what was loaded once for all devices."""

    def _load(self, mapping):
        own = set(vars(self))
        super()._load(mapping)
        for name in vars(self).keys() - own:
            setattr(type(self), name, vars(self).pop(name))


@fault("uncounted", {"RUN-012": "before run 1"})
class Uncounted(After):
    """Does not count its runs."""

    def after(self, recording):
        self._run_number = 0
        return recording


@fault("patient", {"RUN-013": "should raise DeviceTimeoutError"})
class Patient(Plain):
    """Takes all the time it needs, whatever `timeout_s` says."""

    def run(self, stimulus, duration_ns, *, timeout_s=None, **more):
        return super().run(stimulus, duration_ns, **more)


@fault("carefree", {"RUN-013": "broken off should raise StateError"})
class Carefree(Plain):
    """Goes on after a run that was broken off."""

    def run(self, stimulus, duration_ns, **more):
        self._broken_off = False
        return super().run(stimulus, duration_ns, **more)


@fault("never-advances", {"RUN-014": "without a call of advance"})
class NeverAdvances(Plain):
    """Does not say how far it is until it is done."""

    def _run(self, stimulus, duration_ns, recorder):
        super()._run(stimulus, duration_ns, Through(recorder, advance=lambda t_ns: None))
