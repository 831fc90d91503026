"""What faults are made of: classes without a base of their own, combined with a base's Device or Mapper when used.

`super()` in them is the base's: a fault breaks whatever it is mixed into.
"""

import numpy as np


class Fault:
    """Any fault: what it makes of the base's spec, and of what the base says in its own favour."""

    @staticmethod
    def declare(spec):
        return spec

    @staticmethod
    def vouch(evidence):
        return evidence


class PlainMapper(Fault):
    """Mixed into the base's Mapper."""


class Plain(Fault):
    """Mixed into the base's Device, without batches of its own: what is broken in `_run` is broken in them."""

    def _run_batch(self, stimulus, duration_ns, workers):
        return None


class Feed(Plain):
    """Runs another stimulus than the one given."""

    def _run(self, stimulus, duration_ns, recorder):
        super()._run({key: self.feed(value) for key, value in stimulus.items()}, duration_ns, recorder)


class Emit(Plain):
    """Gives other events than those that came out."""

    def _run(self, stimulus, duration_ns, recorder):
        def emit(node, t, index):
            recorder.emit(node, *self.change(node, np.asarray(t), np.asarray(index), duration_ns))

        super()._run(stimulus, duration_ns, Through(recorder, emit=emit))


class After(Plain):
    """Gives another recording than the one made."""

    def run(self, stimulus, duration_ns, **more):
        return self.after(super().run(stimulus, duration_ns, **more))


class Through:
    """A recorder that changes what passes; all else goes to the real one."""

    def __init__(self, recorder, **changed):
        self._recorder = recorder
        vars(self).update(changed)

    def __getattr__(self, name):
        return getattr(self._recorder, name)
