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
    return attrs.evolve(SPEC, name=name, family=FAMILY, **changes)


def without(*words):
    return SPEC.capabilities - set(words)


def _limited(source):
    return (Resource(name="neurons", unit="neurons", scope="chip", limit=(1000,), source=source),)


FEW = without("neuron.lif", "neuron.cuba", "neuron.integrator", "neuron.threshold", "delay.axonal", "route.recurrent")

# name -> (what the spec changes, checks that must fail -> words of the reason); the classes are in `broken`
MUTANTS = {
    "invalid-defaults": ({"open_options": Invalid}, {"LOAD-003": "defaults of Invalid are not valid"}),
    "never-closes": ({}, {"LOAD-004": "in state 'open'"}),
    "configures-logging": ({}, {"LOAD-005": "opening the device configures logging"}),
    "runs-unloaded": ({}, {"ERR-001": "run with nothing loaded should raise StateError"}),
    "no-source": ({"resources": _limited("")}, {"SPEC-001": "has no source"}),
    "undocumented": ({"open_options": Undocumented}, {"SPEC-002": "Undocumented.gain", "SPEC-003": "no description"}),
    "growing": ({"open_options": Growing}, {"CONF-001": "is not equal to what was written"}),
    "clipping": ({"open_options": Clipping}, {"CONF-002": "below the minimum 0 should raise ConfigError"}),
    "saves-half": ({}, {"CONF-003": "fates read back differs"}),
    "accepts-any-reset": (
        {"capabilities": without("reset.power")},
        {"RST-001": "should raise CapabilityError", "RST-005": "not properly refused"},
    ),
    "refuses-all": ({}, {"MAP-001": "maps none of the suite's witness networks"}),
    "optimist": ({"capabilities": FEW}, {"MAP-002": "check says it fits, map raises", "MAP-004": "check says it fits"}),
    "bottomless": ({"resources": _limited("a data sheet")}, {"MAP-003": "should raise DoesNotFitError"}),
    "first-reason": ({"resources": _limited("a data sheet")}, {"MAP-003": "the error lists 1 problems"}),
    "one-reason": ({"capabilities": FEW}, {"MAP-004": "of two faulty nodes the report names"}),
    "doubles-places": ({}, {"MAP-005": "are given twice"}),
    "leaves-out-neurons": ({}, {"MAP-005": "has 5 neurons, placed are [0, 1, 2, 3]"}),
    "keeps-silent": ({}, {"MAP-006": "fates are of"}),
    "wanders": ({}, {"MAP-007": "it moves"}),
    "spoils-model": ({}, {"MAP-007": "other registers the second time"}),
    "renames-places": ({}, {"MAP-008": "the placement is of"}),
    "like-moves": ({}, {"MAP-009": "moved input, hidden, neurons"}),
    "like-forgets": ({}, {"MAP-009": "other weights gave the same registers"}),
    "like-undeclared": ({"capabilities": without("map.like")}, {"MAP-009": "not properly refused"}),
    "adopts-other": ({}, {"MAP-010": "adopt changed the registers"}),
    "adopt-undeclared": ({"capabilities": without("map.adopt")}, {"MAP-010": "not properly refused"}),
    "edits-anything": ({}, {"MAP-011": "step_ns below the minimum 1 should raise ConfigError"}),
    "edit-undeclared": ({"capabilities": without("map.edit")}, {"MAP-011": "not properly refused"}),
    "ignores-compare": ({}, {"MAP-012": "compare='>'"}),
    "ignores-reset-rule": ({}, {"MAP-012": "spike_reset='subtract'"}),
    "ignores-subtract-n": ({}, {"MAP-012": "spike_reset='subtract_n'"}),
    "ignores-reset-delay": ({}, {"MAP-012": "reset_delay=1"}),
    "ignores-fires-on": ({}, {"MAP-012": "fires_on='old'"}),
    "ignores-spikes-per-step": ({}, {"MAP-012": "spikes_per_step='many'"}),
    "ignores-edge-delay": ({}, {"MAP-012": "edge_delay=1"}),
    "ignores-feedback-delay": ({}, {"MAP-012": "feedback_delay=2"}),
    "ignores-v-min": ({}, {"MAP-012": "v_min=-1.0"}),
    "ignores-start-state": ({}, {"MAP-012": "start_state=3.0"}),
    "ignores-gain": ({}, {"MAP-012": "gain='r'"}),
    "ignores-decay": ({}, {"MAP-012": "LIF neurons with decay='exp'"}),
    "ignores-jump": ({}, {"MAP-012": "CubaLIF neurons with jump='before'"}),
    "ignores-flatten-order": ({}, {"MAP-012": "flatten_order='HWC'"}),
    "refuses-without-words": ({}, {"MAP-012": "refused, and no reason names a node and 'fires_on'"}),
    "rounds-weights": ({}, {"MAP-013": "weights of 1.7"}),
    "rounds-thresholds": ({}, {"MAP-013": "a threshold of 6.5"}),
    "clips-weights": ({}, {"MAP-013": "one weight of -1e+06"}),
    "loses-clipped": ({}, {"MAP-013": "there is -127 left, and no row of the losses"}),
    "ignores-bias": ({}, {"MAP-013": "a bias of 1.0 a step"}),
    "ignores-v-reset": ({}, {"MAP-013": "v_reset of 1"}),
    "realised-lies": ({}, {"MAP-013": "the witness as it is"}),
    "losses-lie": ({}, {"MAP-013": "losses want 99"}),
    "losses-astray": ({}, {"MAP-013": "losses tell of fc1.weight[1000], which is not there"}),
    "realises-half": ({}, {"MAP-013": "realised fc1.weight has 1 values"}),
    "counts-nothing": ({}, {"RUN-015": "events_in is 0"}),
    "counts-no-output": ({}, {"RUN-015": "a run, 2 layers: events_out is 0"}),
    "counts-no-synops": ({}, {"RUN-015": "synops is 0, and events met weights"}),
    "counts-for-ever": ({}, {"RUN-015": "silence, 2 layers: events_in is"}),
    "hums-in-synops": ({}, {"RUN-015": "silence, 2 layers: synops is 1"}),
    "renames-outputs": ({}, {"RUN-001": "spikes are of ['output.0']"}),
    "other-dtype": ({}, {"RUN-001": "has dtype"}),
    "drops-last": ({}, {"RUN-002": "the first without a partner"}),
    "scrambled": ({}, {"RUN-002": "the first without a partner", "RUN-003": "against ideal"}),
    "late": ({}, {"RUN-002": "the first without a partner", "RUN-003": "against ideal"}),
    "unlike-ideal": ({}, {"RUN-003": "against ideal"}),
    "hums": ({}, {"RUN-004": "silence gives 1 spikes"}),
    "zero-is-one": ({}, {"RUN-005": "with and without a run of no time before"}),
    "ignores-single": ({}, {"RUN-006": "one event on channel 0 in step 0"}),
    "merges": ({}, {"RUN-007": "two events on weak channel 1"}),
    "forgets": ({}, {"RUN-008": "and they differ"}),
    "forgets-in-silence": ({"capabilities": without("run.continue")}, {"RUN-008": "a second run neither refuses"}),
    "random": ({}, {"RUN-009": "run 0 of two devices"}),
    "seeded": ({}, {"NOIS-001": "with another seed"}),
    "batch-carries-over": ({}, {"RUN-010": "with 1 workers"}),
    "batch-by-workers": ({}, {"RUN-010": "with 2 workers"}),
    "batch-uncounted": ({}, {"RUN-010": "after the batch (run, t0, state) is (0, "}),
    "shares-state": ({}, {"RUN-011": "the second device"}),
    "uncounted": ({}, {"RUN-012": "before run 1"}),
    "patient": ({}, {"RUN-013": "should raise DeviceTimeoutError"}),
    "carefree": ({}, {"RUN-013": "broken off should raise StateError"}),
    "never-advances": ({}, {"RUN-014": "without a call of advance"}),
    "loses-on-disk": ({}, {"REC-001": "and the one in memory"}),
    "disturbed-by-probes": ({}, {"REC-002": "change the Output"}),
    "samples-zeros": ({}, {"REC-003": "moved v of []"}),
    "samples-once": ({}, {"REC-004": "gives samples at [0]"}),
    "record-undeclared": (
        {"capabilities": without("record.state")},
        {"REC-003": "not properly refused", "REC-004": "not properly refused"},
    ),
    "keeps-state": ({}, {"RST-002": "the run after a reset to STATE and the first one"}),
    "rewinds-number": ({}, {"RST-002": "the next is run 0, not 2"}),
    "keeps-number": ({}, {"RST-003": "the next is run 2, not 0"}),
    "keeps-config": ({}, {"RST-004": "reset to CONFIG leaves the device 'loaded'"}),
    "keeps-power": ({}, {"RST-005": "reset to POWER leaves the device 'loaded'"}),
    "loads-once": ({}, {"RST-006": "the run after loading again"}),
    "loses-errors": ({}, {"ERR-002": "comes back as StateError"}),
    "no-hints": ({"capabilities": without("reset.power")}, {"ERR-002": "has no hint"}),
    "loads-anything": ({}, {"ERR-003": "made for some-other-chip should raise ConfigError"}),
    "repairs-stimuli": ({}, {"STIM-001": "times that go back should raise ConfigError"}),
    "half-moved": ({}, {"STIM-001": "after refused ones and without them"}),
    "counts-refused": ({}, {"STIM-001": "(run, t0, state) is (2"}),
    "any-duration": ({}, {"STIM-002": "a duration that is negative should raise ConfigError"}),
    "writes-on-input": ({}, {"STIM-003": "changed the array"}),
    "turns-rasters": ({}, {"STIM-004": "a raster of floats"}),
}
# devices that are in order, and those that only the runner can deal with
OTHERS = {
    "faithful": {},
    "modest": {"capabilities": frozenset({"neuron.if"})},
    "null": {"capabilities": frozenset()},
    "slow": {},
    "refuses-by-row": {},
    "refuses-late": {},
    "hangs": {},
    "exits": {},
    "busy": {},
    "crashes": {},
}
SPECS = [_spec(name, **changes) for name, (changes, _) in MUTANTS.items()]
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
