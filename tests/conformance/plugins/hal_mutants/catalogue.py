"""Faults as mixins, and the devices they make of a base."""

from functools import cache
from importlib import import_module

import attrs

from hal_mutants.mixins import Plain, PlainMapper

BOTH = ("toy", "loihi")
MODULES = ("features", "undeclared", "individuals", "observables")

_faults = []


def fault(name, meant, *, on=BOTH, why=""):
    """Enter a class as a fault. on: names of bases; why: where it is on one of `BOTH` alone, why not on the other."""

    def entered(cls):
        _faults.append((name, (on,) if isinstance(on, str) else on, dict(meant), cls))
        return cls

    return entered


@attrs.frozen(kw_only=True)
class Mutant:
    spec: object
    meant: dict
    device: type
    mapper: type


@cache
def _bases():
    import hal_ideal.plugin as ideal
    import hal_loihi.plugin as loihi
    from hal_loihi.device import LoihiDevice
    from hal_loihi.mapper import LoihiMapper
    from hal_mutants import broken

    return {
        "toy": ("", ideal.SPEC, broken.Plain, broken.Mapper),
        "loihi": ("loihi-", loihi.SPEC, LoihiDevice, LoihiMapper),
    }


@cache
def mutants():
    """Name of the device -> Mutant."""
    for module in MODULES:
        import_module(f"hal_mutants.{module}")
    made = {}
    for name, on, meant, cls in _faults:
        for base in on:
            prefix, spec, device, mapper = _bases()[base]
            own = attrs.evolve(spec, name=prefix + name, family="mutants", kinds=("emulator",), aliases=())
            assert own.name not in made, own.name
            made[own.name] = Mutant(
                spec=cls.declare(own),
                meant=meant,
                device=type(cls.__name__, (cls, device), {}) if issubclass(cls, Plain) else device,
                mapper=type(cls.__name__, (cls, mapper), {}) if issubclass(cls, PlainMapper) else mapper,
            )
    return made
