"""Ways out: hardware, mappings of other devices, formats of vendors' tools."""

import contextlib
import json
import time
from typing import ClassVar

import attrs

from hal.config import from_json, to_json
from hal.errors import CapabilityError, FormatError
from hal.fit import Finding
from hal.vendor import require
from hal_mutants.catalogue import fault
from hal_mutants.kept import KnowsMore, Made
from hal_mutants.mixins import Fault, Feed, Plain

# --- hardware -------------------------------------------------------------------------------------------------------


class Boards(Plain):
    """Comes as hardware, too."""

    vendor = "no_such_vendor"

    @classmethod
    def declare(cls, spec):
        return attrs.evolve(spec, kinds=("emulator", "hardware"), vendor=cls.vendor)

    def __init__(self, spec, *, kind="emulator", **more):
        if kind == "hardware":
            self.driven()
        super().__init__(spec, kind=kind, **more)


@fault("boards", {})
class Driven(Boards):
    """In order: says what to install where hardware is opened."""

    def driven(self):
        require("no_such_vendor", "driving a board", "pip install no_such_vendor")


@fault("opens-for-hardware", {"LOAD-007": "hardware was opened, and the vendor's package no_such_vendor is not here"})
class OpensForHardware(Boards):
    """Opens its emulator where hardware is asked for."""

    def driven(self):
        pass


@fault("opens-unnamed-hardware", {"LOAD-007": "the vendor's package (none is named) is not here"})
class OpensUnnamedHardware(OpensForHardware):
    """Opens its emulator where hardware is asked for, and names no vendor's package."""

    vendor = ""


@fault("hardware-without-hint", {"LOAD-007": "the CapabilityError has no hint"})
class HardwareWithoutHint(Boards):
    """Refuses hardware without saying what to do."""

    def driven(self):
        raise CapabilityError("no_such_vendor is not here", capability="hardware")


@fault("hardware-without-name", {"LOAD-007": "the error does not name the package 'no_such_vendor'"})
class HardwareWithoutName(Boards):
    """Refuses hardware without naming what is missing."""

    def driven(self):
        raise CapabilityError("something is missing", hint="install it", capability="hardware")


@fault("imports-hardware", {"LOAD-007": "No module named 'no_such_vendor'"})
class ImportsHardware(Boards):
    """Lets the import of the vendor's package fail as it does."""

    def driven(self):
        __import__("no_such_vendor")


# --- mappings of other devices --------------------------------------------------------------------------------------


def loading(name):
    """Says that it loads the mappings of another device."""
    return staticmethod(lambda spec: attrs.evolve(spec, loads=(name,)))


@fault("loads-ideal", {}, on="toy")
class LoadsIdeal(Plain):
    """In order: loads the mappings of `ideal`."""

    declare = loading("ideal")


@fault("loads-loihi", {}, on="loihi")
class LoadsLoihi(Plain):
    """In order: loads the mappings of `loihi`."""

    declare = loading("loihi")


@fault("loads-a-stranger", {"MAP-015": "a mapping made for loihi is not loaded: AttributeError"}, on="toy")
class LoadsStrangeLoihi(Plain):
    """Says that it loads the mappings of a device with other registers."""

    declare = loading("loihi")


@fault("loads-a-stranger", {"MAP-015": "a mapping made for ideal is not loaded: AttributeError"}, on="loihi")
class LoadsStrangeIdeal(Plain):
    """Says that it loads the mappings of a device with other registers."""

    declare = loading("ideal")


class RunsOthersOtherwise(Feed):
    """Loses an event on the mappings of another device."""

    def feed(self, value):
        return value if self.mapping.device == self.spec.name else value[1:]


class DistrustsOthers(Plain):
    """Trusts no run on the mappings of another device."""

    def _run(self, stimulus, duration_ns, recorder):
        super()._run(stimulus, duration_ns, recorder)
        if self.mapping.device != self.spec.name:
            recorder.distrust(Finding(level="refused", node="", field="device", reason="made for another"))


def _loads(name, words, cls):
    """The fault on both bases, each with a device that it could load mappings of."""
    for base, other in (("toy", "ideal"), ("loihi", "loihi")):
        made = type(cls.__name__, (cls,), {"declare": loading(other), "__doc__": cls.__doc__})
        fault(name, {"MAP-015": words.format(other)}, on=base)(made)


_loads("runs-others-otherwise", "of a mapping made for {},", RunsOthersOtherwise)
_loads("distrusts-others", "a mapping made for {} runs 'untrusted'", DistrustsOthers)


# --- vendors' tools -------------------------------------------------------------------------------------------------


@fault("exports", {})
class Exports(Fault):
    """In order: exports its registers as JSON."""

    @staticmethod
    def declare(spec):
        return attrs.evolve(spec, exports=("json",))

    @staticmethod
    def export(mapping):
        return json.dumps(to_json(mapping.config))


@fault("exports-nothing", {"MAP-016": "exported to json, the mapping is empty"})
class ExportsNothing(Exports):
    """Exports nothing."""

    @staticmethod
    def export(mapping):
        return ""


@fault("exports-the-time", {"MAP-016": "exported to json twice, the mapping differs"})
class ExportsTheTime(Exports):
    """Exports the time of day with the registers."""

    @staticmethod
    def export(mapping):
        return f"{time.perf_counter_ns()} {Exports.export(mapping)}"


@fault("exports-what-is-not-saved", {"MAP-016": "exported to json after it was saved, the mapping differs"})
class ExportsWhatIsNotSaved(Exports, KnowsMore):
    """Exports what its mapper left in the mapping and what is not saved."""

    @staticmethod
    def export(mapping):
        return f"{isinstance(mapping, Made)} {Exports.export(mapping)}"


@fault("exports-no-weights", {"MAP-016": "exported to json, other weights are the same text"})
class ExportsNoWeights(Exports):
    """Exports the names of populations alone."""

    @staticmethod
    def export(mapping):
        return json.dumps(mapping.placement.nodes)


@fault("imports", {})
class Imports(Exports):
    """In order: reads the registers it exports."""

    @staticmethod
    def declare(spec):
        return attrs.evolve(Exports.declare(spec), imports=("json",))

    @staticmethod
    def read(spec, path):
        try:
            return from_json(spec.config, json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise FormatError(f"{path.name} is no registers: {error}") from error


@fault("imports-nothing", {"MAP-017": "what was exported to json is not read: PluginError"})
class ImportsNothing(Imports):
    """Says that it reads what it exports, and does not."""

    @staticmethod
    def read(spec, path):
        raise NotImplementedError


@fault("imports-a-tree", {"MAP-017": "returned dict, not"})
class ImportsATree(Imports):
    """Gives what stands in the file instead of registers."""

    @staticmethod
    def read(spec, path):
        return json.loads(path.read_text(encoding="utf-8"))


@fault("imports-the-first", {"MAP-017": "read back from json,"})
class ImportsTheFirst(Imports):
    """Reads one file, and gives it for every other."""

    found: ClassVar = {}

    @classmethod
    def read(cls, spec, path):
        kept = cls.found.setdefault(spec.name, {})
        if path.parent not in kept:
            kept.clear()
            kept[path.parent] = Imports.read(spec, path)
        return kept[path.parent]


@fault("imports-torn-files", {"MAP-017": "reading half of a file of json should raise FormatError"})
class ImportsTornFiles(Imports):
    """Gives the registers of the last file where one cannot be read."""

    last: ClassVar = {}

    @classmethod
    def read(cls, spec, path):
        with contextlib.suppress(FormatError):
            cls.last[spec.name] = Imports.read(spec, path)
        return cls.last[spec.name]


@fault("imports-with-a-slip", {"MAP-017": "raised PluginError instead of FormatError"})
class ImportsWithASlip(Imports):
    """Lets the error of the JSON library through."""

    @staticmethod
    def read(spec, path):
        return from_json(spec.config, json.loads(path.read_text(encoding="utf-8")))
