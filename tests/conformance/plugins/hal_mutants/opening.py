"""What a device says of itself; options, opening and closing."""

import logging

import attrs

from hal.config import setting
from hal_mutants.catalogue import fault
from hal_mutants.mixins import Fault, Plain


def without(*words):
    """Declares fewer words than the base has."""
    return lambda spec: attrs.evolve(spec, capabilities=spec.capabilities - set(words))


def optional(**field):
    """Opens with one more option, `gain`."""

    def declare(spec):
        @attrs.frozen(kw_only=True)
        class WithGain(spec.open_options):
            gain: int = setting(**field)

        return attrs.evolve(spec, open_options=WithGain)

    return declare


def _clip(value):
    return min(max(value, 0), 3)


@fault("invalid-defaults", {"LOAD-003": "defaults of WithGain are not valid"})
class InvalidDefaults(Fault):
    """Has an open option whose default is outside its own range."""

    declare = optional(default=5, doc="outside its own range", minimum=0, maximum=3)


@fault("undocumented", {"SPEC-002": "WithGain.gain", "SPEC-003": "no description"})
class Undocumented(Fault):
    """Has an open option without a text."""

    declare = optional(default=1, doc="")


@fault("growing", {"CONF-001": "is not equal to what was written"})
class Growing(Fault):
    """Has an open option that grows by one whenever it is made."""

    declare = optional(default=0, doc="grows", converter=lambda value: value + 1)


@fault("clipping", {"CONF-002": "below the minimum 0 should raise ConfigError"})
class Clipping(Fault):
    """Clips an open option in silence."""

    declare = optional(default=1, doc="clipped", minimum=0, maximum=3, converter=_clip)


@fault("no-source", {"SPEC-001": "has no source"})
class NoSource(Fault):
    """Declares limits and does not say where the numbers are from."""

    @staticmethod
    def declare(spec):
        return attrs.evolve(spec, resources=tuple(attrs.evolve(r, source="") for r in spec.resources))


@fault("never-closes", {"LOAD-004": "in state 'open'"})
class NeverCloses(Plain):
    """Stays open when it is closed."""

    def close(self):
        pass


@fault("configures-logging", {"LOAD-005": "opening the device configures logging"})
class ConfiguresLogging(Plain):
    """Adds a handler to the root logger when it is opened."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.handler = logging.NullHandler()
        logging.getLogger().addHandler(self.handler)

    def close(self):
        super().close()
        # for the tests that follow
        logging.getLogger().removeHandler(self.handler)


@fault("runs-unloaded", {"ERR-001": "run with nothing loaded should raise StateError"})
class RunsUnloaded(Plain):
    """Returns nothing from a run with nothing loaded, and raises nothing."""

    def run(self, stimulus, duration_ns, **more):
        return None if self.state == "open" else super().run(stimulus, duration_ns, **more)
