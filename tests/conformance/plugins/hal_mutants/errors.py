"""Errors that lose parts, do not help, or are not raised."""

import attrs

from hal.capabilities import require
from hal.device import Reset
from hal.errors import CapabilityError, StateError
from hal_mutants.catalogue import fault
from hal_mutants.mixins import Plain
from hal_mutants.opening import without


class ForgetfulError(StateError):
    def __reduce__(self):
        return (StateError, (self.message,))


@fault("loses-errors", {"ERR-002": "comes back as StateError"})
class LosesErrors(Plain):
    """Raises errors that another process gets as others."""

    def run(self, stimulus, duration_ns, **more):
        try:
            return super().run(stimulus, duration_ns, **more)
        except StateError as error:
            raise ForgetfulError(error.message, hint=error.hint, **error.data) from error


@fault("no-hints", {"ERR-002": "has no hint"})
class NoHints(Plain):
    """Refuses a reset without saying what to do."""

    declare = without("reset.power")

    def reset(self, mode=Reset.STATE):
        try:
            require(self.spec.capabilities, f"reset.{mode.value}", self.spec.name, "it")
        except CapabilityError as error:
            raise CapabilityError("no", **error.data) from error
        super().reset(mode)


@fault("loads-anything", {"ERR-003": "made for some-other-chip should raise ConfigError"})
class LoadsAnything(Plain):
    """Loads what was made for other devices and individuals."""

    def load(self, mapping):
        super().load(attrs.evolve(mapping, device=self.spec.name, profile_id=None))
