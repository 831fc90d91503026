"""What faults are made of: classes without a base of their own, combined with a base's Device or Mapper when used."""


class Fault:
    """Any fault: what it makes of the base's spec."""

    @staticmethod
    def declare(spec):
        return spec


class PlainMapper(Fault):
    """Mixed into the base's Mapper."""


class Plain(Fault):
    """Mixed into the base's Device, without batches of its own."""

    def _run_batch(self, stimulus, duration_ns, workers):
        return None


class Feed(Plain):
    """Runs another stimulus than the one given."""

    def _run(self, stimulus, duration_ns, recorder):
        super()._run({key: self.feed(value) for key, value in stimulus.items()}, duration_ns, recorder)


class Through:
    """A recorder that changes what passes; all else goes to the real one."""

    def __init__(self, recorder, **changed):
        self._recorder = recorder
        vars(self).update(changed)

    def __getattr__(self, name):
        return getattr(self._recorder, name)
