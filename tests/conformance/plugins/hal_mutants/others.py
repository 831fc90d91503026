"""Devices that are in order, and devices that only the suite's runner can deal with."""

import os
import time

import attrs

from hal.errors import DeviceBusyError
from hal_mutants.catalogue import fault
from hal_mutants.fitting import RefusesAll
from hal_mutants.mixins import Fault, Plain


@fault("faithful", {})
class Faithful(Fault):
    """The base itself, under another name."""


@fault("null", {}, on="toy")
class Null(RefusesAll):
    """Declares nothing and refuses every network."""

    @staticmethod
    def declare(spec):
        return attrs.evolve(spec, capabilities=frozenset())


@fault("hangs", {}, on="toy")
class Hangs(Plain):
    """Does not come back for a while."""

    def _run(self, stimulus, duration_ns, recorder):
        time.sleep(1.5)


@fault("exits", {}, on="toy")
class Exits(Plain):
    """Ends the interpreter."""

    def _run(self, stimulus, duration_ns, recorder):
        raise SystemExit(3)


@fault("crashes", {}, on="toy")
class Crashes(Plain):
    """Raises an error that is none of ours."""

    def _run(self, stimulus, duration_ns, recorder):
        raise ZeroDivisionError("the emulator divides by zero")


@fault("busy", {}, on="toy")
class Busy(Plain):
    """Is always held by somebody else."""

    def __init__(self, *args, **kwargs):
        raise DeviceBusyError("somebody else holds it", hint="wait", pid=os.getpid())
