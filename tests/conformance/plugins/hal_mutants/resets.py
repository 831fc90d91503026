"""What resets clear, and what they leave."""

from hal.device import Reset
from hal_mutants.catalogue import fault
from hal_mutants.mixins import Plain
from hal_mutants.opening import without


@fault("accepts-any-reset", {"RST-001": "should raise CapabilityError", "RST-005": "not properly refused"})
class AcceptsAnyReset(Plain):
    """Does nothing for a reset that it does not declare, and raises nothing."""

    declare = without("reset.power")

    def reset(self, mode=Reset.STATE):
        if f"reset.{mode.value}" in self.spec.capabilities:
            super().reset(mode)


@fault("keeps-state", {"RST-002": "the run after a reset to STATE and the first one"})
class KeepsState(Plain):
    """Keeps its membranes in a reset to STATE."""

    def _reset(self, mode):
        if mode is not Reset.STATE:
            super()._reset(mode)


@fault("rewinds-number", {"RST-002": "the next is run 0, not 2"})
class RewindsNumber(Plain):
    """Numbers runs anew after a reset to STATE."""

    def reset(self, mode=Reset.STATE):
        super().reset(mode)
        self._run_number = 0


@fault("keeps-number", {"RST-003": "the next is run 2, not 0"})
class KeepsNumber(Plain):
    """Goes on numbering runs after a reset to LOADED."""

    def reset(self, mode=Reset.STATE):
        number = self._run_number
        super().reset(mode)
        self._run_number = number


class KeepsMapping(Plain):
    """Takes one reset for a reset to STATE."""

    def reset(self, mode=Reset.STATE):
        super().reset(Reset.STATE if mode is self.kept else mode)


@fault("keeps-config", {"RST-004": "reset to CONFIG leaves the device 'loaded'"})
class KeepsConfig(KeepsMapping):
    """Keeps what is loaded in a reset to CONFIG."""

    kept = Reset.CONFIG


@fault("keeps-power", {"RST-005": "reset to POWER leaves the device 'loaded'"})
class KeepsPower(KeepsMapping):
    """Keeps what is loaded in a reset to POWER."""

    kept = Reset.POWER


@fault("loads-once", {"RST-006": "the run after loading again"})
class LoadsOnce(Plain):
    """Does nothing when a mapping is loaded that is there already."""

    def _load(self, mapping):
        if getattr(self, "held", None) is not mapping:
            super()._load(mapping)
        self.held = mapping
