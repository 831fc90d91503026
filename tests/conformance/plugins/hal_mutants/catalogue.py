"""All mutants there are: which fault, mixed into which base, is meant to be found by which checks, in which words.

    @fault("drops-last", {"RUN-002": "the first without a partner"})
    class DropsLast(Feed):
        \"\"\"Does not take in the last event of each Input.\"\"\"

enters the devices `drops-last` and `loihi-drops-last`. Any module of this package may enter faults and bases.
"""

import inspect
import pkgutil
from collections.abc import Callable
from functools import cache
from importlib import import_module

import attrs

import hal_mutants
from hal.device import DeviceSpec
from hal_mutants.mixins import Fault, Plain, PlainMapper
from hal_mutants.plugin import FAMILY

BOTH = ("toy", "loihi")
"""The bases every fault is mixed into, where nothing else is said. Each check has a mutant on both."""


@attrs.frozen(kw_only=True)
class Base:
    """A correct device that faults are mixed into.

    device, mapper: its classes. evidence: () -> what it says in its own favour. prefix: of the names of its mutants.
    full: tests of its mutants take longer than a development loop allows.
    """

    name: str
    spec: DeviceSpec
    device: type
    mapper: type
    evidence: Callable
    prefix: str = ""
    full: bool = False


@attrs.frozen(kw_only=True)
class Mutant:
    """One fault on one base. meant: check that must fail -> words of the reason; empty for a device in order.

    why: what keeps this fault off the other base.
    """

    fault: type
    base: Base
    spec: DeviceSpec
    meant: dict
    why: str

    @property
    def name(self):
        return self.spec.name

    @property
    def says(self):
        """What is wrong, in one line."""
        return inspect.getdoc(self.fault).partition("\n")[0]

    @property
    def device(self):
        return _mixed(self.fault, self.base.device) if issubclass(self.fault, Plain) else self.base.device

    @property
    def mapper(self):
        return _mixed(self.fault, self.base.mapper) if issubclass(self.fault, PlainMapper) else self.base.mapper

    def evidence(self):
        return self.fault.vouch(self.base.evidence())


@cache
def _mixed(fault, base):
    # one class for all devices of a mutant: what is wrong may be what they share
    return type(fault.__name__, (fault, base), {})


_bases = {}
_faults = []


def enter(base):
    """Enter a base, for faults that say `on=` its name; `BOTH` are those every check has to have mutants on."""
    assert base.name not in _bases, base.name
    _bases[base.name] = base
    return base


def fault(name, meant, *, on=BOTH, why=""):
    """Enter a class as a fault. A fault of the same name may be another class on another base.

    on: names of bases. why: where it is on one of `BOTH` alone, what keeps it off the other.
    """

    def entered(cls):
        assert issubclass(cls, Fault), cls
        about = {"fault": cls, "meant": dict(meant), "why": why}
        _faults.append((name, (on,) if isinstance(on, str) else on, about))
        return cls

    return entered


@cache
def mutants():
    """Name of the device -> Mutant, by name of module, and in the order in which the module has them."""
    for module in sorted(info.name for info in pkgutil.iter_modules(hal_mutants.__path__)):
        import_module(f"hal_mutants.{module}")
    made = {}
    for name, on, about in sorted(_faults, key=lambda entry: entry[2]["fault"].__module__):
        for base in (_bases[key] for key in on):
            own = attrs.evolve(base.spec, name=base.prefix + name, family=FAMILY, kinds=("emulator",), aliases=())
            mutant = Mutant(base=base, spec=about["fault"].declare(own), **about)
            assert mutant.name not in made, mutant.name
            made[mutant.name] = mutant
    return made


def bases():
    """Name -> Base."""
    mutants()
    return dict(_bases)
