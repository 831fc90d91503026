"""Registers without a model, and registers edited by hand."""

import attrs

from hal_mutants.catalogue import fault
from hal_mutants.mixins import PlainMapper
from hal_mutants.opening import without


def altered(config):
    """The registers with the first integer among them one higher."""
    for field in attrs.fields(type(config)):
        value = getattr(config, field.name)
        if isinstance(value, int) and not isinstance(value, bool):
            return attrs.evolve(config, **{field.name: value + 1})
    raise LookupError(f"{type(config).__name__} has no integer")


@fault("adopts-other", {"MAP-010": "adopt changed the registers"})
class AdoptsOther(PlainMapper):
    """Adopts other registers than those it is given."""

    def _adopt(self, config):
        return attrs.evolve(super()._adopt(config), config=altered(config))


@fault("adopt-undeclared", {"MAP-010": "not properly refused"})
class AdoptUndeclared(PlainMapper):
    """Adopts registers, and does not declare that it can."""

    declare = without("map.adopt")

    def adopt(self, config):
        return self._adopt(config)


class EditsAnything(PlainMapper):
    """Takes edited registers unchecked."""

    def edit(self, mapping, config):
        return attrs.evolve(mapping, config=config)


@fault("edits-anything", {"MAP-011": "step_ns below the minimum 1 should raise ConfigError"})
class Edits(EditsAnything):
    """Takes edited registers that are out of range."""


@fault("edit-undeclared", {"MAP-011": "not properly refused"})
class EditUndeclared(EditsAnything):
    """Takes edited registers, and does not declare that it can."""

    declare = without("map.edit")
