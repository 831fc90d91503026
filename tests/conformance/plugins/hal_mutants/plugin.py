"""The plugin as the registry sees it; what is broken is imported when a device is used."""

from importlib import import_module

import attrs

from hal.config import OpenOptions, setting
from hal.device import DeviceSpec
from hal.fit import Resource
from hal.hookspecs import hookimpl
from hal_ideal.plugin import SPEC

HAL_PLUGIN_API = "1.0"
FAMILY = "mutants"


def _clip(value):
    return min(max(value, 0), 3)


@attrs.frozen(kw_only=True)
class Clipping(OpenOptions):
    gain: int = setting(1, doc="clipped in silence", minimum=0, maximum=3, converter=_clip)


@attrs.frozen(kw_only=True)
class Growing(OpenOptions):
    gain: int = setting(0, doc="grows by one whenever it is made", converter=lambda value: value + 1)


@attrs.frozen(kw_only=True)
class Undocumented(OpenOptions):
    gain: int = setting(1, doc="")


@attrs.frozen(kw_only=True)
class Invalid(OpenOptions):
    gain: int = setting(5, doc="outside its own range", minimum=0, maximum=3)


def _spec(name, **changes) -> DeviceSpec:
    return attrs.evolve(SPEC, name=name, family=changes.pop("family", FAMILY), **changes)


def without(*words):
    return SPEC.capabilities - set(words)


def _limited(source):
    return (Resource(name="neurons", unit="neurons", scope="chip", limit=(1000,), source=source),)


FEW = without("neuron.lif", "neuron.cuba", "neuron.integrator", "neuron.threshold", "delay.axonal", "route.recurrent")

# name -> (what the spec changes, checks that must fail); the classes of the same name are in `broken`
MUTANTS = {
    "alien-family": ({"family": "ideal"}, {"LOAD-001"}),
    "invalid-defaults": ({"open_options": Invalid}, {"LOAD-003"}),
    "never-closes": ({}, {"LOAD-004"}),
    "configures-logging": ({}, {"LOAD-005"}),
    "runs-unloaded": ({}, {"ERR-001"}),
    "no-source": ({"resources": _limited("")}, {"SPEC-001"}),
    "undocumented": ({"open_options": Undocumented}, {"SPEC-002", "SPEC-003"}),
    "growing": ({"open_options": Growing}, {"CONF-001"}),
    "clipping": ({"open_options": Clipping}, {"CONF-002"}),
    "unsaveable": ({}, {"CONF-003"}),
    "accepts-any-reset": ({"capabilities": without("reset.power")}, {"RST-001", "RST-005"}),
    "refuses-all": ({}, {"MAP-001"}),
    "optimist": ({"capabilities": FEW}, {"MAP-002", "MAP-004"}),
    "bottomless": ({"resources": _limited("a data sheet")}, {"MAP-003"}),
    "one-reason": ({"capabilities": FEW}, {"MAP-004"}),
    "takes-anything": ({"capabilities": FEW}, {"MAP-004"}),
    "doubles-places": ({}, {"MAP-005"}),
    "leaves-out-neurons": ({}, {"MAP-005"}),
    "keeps-silent": ({}, {"MAP-006"}),
    "wanders": ({}, {"MAP-007"}),
    "spoils-model": ({}, {"MAP-007"}),
    "renames-places": ({}, {"MAP-008"}),
    "like-moves": ({}, {"MAP-010"}),
    "like-forgets": ({}, {"MAP-010"}),
    "adopts-other": ({}, {"MAP-011"}),
    "edits-anything": ({}, {"MAP-012"}),
    "edit-undeclared": ({"capabilities": without("map.edit")}, {"MAP-012"}),
    "like-undeclared": ({"capabilities": without("map.like")}, {"MAP-010"}),
    "adopt-undeclared": ({"capabilities": without("map.adopt")}, {"MAP-011"}),
    "renames-outputs": ({}, {"RUN-001"}),
    "other-dtype": ({}, {"RUN-001"}),
    "drops-last": ({}, {"RUN-002"}),
    "scrambled": ({}, {"RUN-002", "RUN-003"}),
    "late": ({}, {"RUN-002", "RUN-003"}),
    "unlike-ideal": ({}, {"RUN-003"}),
    "hums": ({}, {"RUN-004"}),
    "zero-is-one": ({}, {"RUN-005"}),
    "ignores-single": ({}, {"RUN-006"}),
    "merges": ({}, {"RUN-007"}),
    "forgets": ({}, {"RUN-008"}),
    "forgets-in-silence": ({"capabilities": without("run.continue")}, {"RUN-008"}),
    "random": ({}, {"RUN-009"}),
    "seeded": ({}, {"RUN-009"}),
    "batch-carries-over": ({}, {"RUN-010"}),
    "batch-by-workers": ({}, {"RUN-010"}),
    "batch-uncounted": ({}, {"RUN-010"}),
    "shares-state": ({}, {"RUN-011"}),
    "uncounted": ({}, {"RUN-012"}),
    "patient": ({}, {"RUN-013"}),
    "carefree": ({}, {"RUN-013"}),
    "never-advances": ({}, {"RUN-014"}),
    "loses-on-disk": ({}, {"REC-001"}),
    "disturbed-by-probes": ({}, {"REC-002"}),
    "samples-zeros": ({}, {"REC-003"}),
    "samples-once": ({}, {"REC-004"}),
    "record-undeclared": ({"capabilities": without("record.state")}, {"REC-003", "REC-004"}),
    "keeps-state": ({}, {"RST-002"}),
    "rewinds-number": ({}, {"RST-002"}),
    "keeps-number": ({}, {"RST-003"}),
    "keeps-config": ({}, {"RST-004"}),
    "keeps-power": ({}, {"RST-005"}),
    "loads-once": ({}, {"RST-006"}),
    "loses-errors": ({}, {"ERR-002"}),
    "no-hints": ({"capabilities": without("reset.power")}, {"ERR-002"}),
    "loads-anything": ({}, {"ERR-003"}),
    "repairs-stimuli": ({}, {"STIM-001"}),
    "half-moved": ({}, {"STIM-001"}),
    "any-duration": ({}, {"STIM-002"}),
    "writes-on-input": ({}, {"STIM-003"}),
    "turns-rasters": ({}, {"STIM-004"}),
}
# devices that are in order, and those that only the runner can deal with
OTHERS = {
    "faithful": {},
    "modest": {"capabilities": frozenset({"neuron.if"})},
    "null": {"capabilities": frozenset()},
    "hangs": {},
    "exits": {},
    "busy": {},
    "crashes": {},
}
SPECS = [_spec(name, **dict(changes)) for name, (changes, _) in MUTANTS.items()]
SPECS += [_spec(name, **changes) for name, changes in OTHERS.items()]


def _class(spec, kind):
    broken = import_module("hal_mutants.broken")
    return getattr(broken, kind)[spec.name]


@hookimpl
def hal_devices():
    return SPECS


@hookimpl
def hal_mapper(spec, profile):
    return _class(spec, "MAPPERS")(spec, profile)


@hookimpl
def hal_open(spec, kind, serial, profile, seed, options):
    return _class(spec, "DEVICES")(spec, kind=kind, serial=serial, profile=profile, seed=seed, options=options)
