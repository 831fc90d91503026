"""What is wrong with each of them."""

import logging
import os
import time
from collections import defaultdict
from typing import ClassVar

import attrs
import numpy as np

from hal.capabilities import require
from hal.device import Reset
from hal.errors import CapabilityError, ConfigError, DeviceBusyError, DoesNotFitError, StateError
from hal.fit import Finding, FitReport, FitRow
from hal.mapper import Plan
from hal.mapping import Losses, Placement
from hal.mapping import Mapping as ChipMapping
from hal.recording import BatchRecording
from hal_ideal.device import IdealDevice
from hal_ideal.mapper import IdealMapper


class Mapper(IdealMapper):
    """The reference's, and registers are adopted by remembering what they were made from."""

    def map(self, model, options=None, **more):
        made = super().map(model, options, **more)
        MADE[repr(made.config)] = made
        return made

    def _adopt(self, config):
        return attrs.evolve(MADE[repr(config)], model=None, on_chip=None)


MADE = {}
DEVICES = defaultdict(lambda: IdealDevice)
MAPPERS = defaultdict(lambda: Mapper)


def device(name):
    def enter(cls):
        DEVICES[name] = cls
        return cls

    return enter


def mapper(name):
    def enter(cls):
        MAPPERS[name] = cls
        return cls

    return enter


class Through:
    """A recorder that changes what passes; all else goes to the real one."""

    def __init__(self, recorder, emit=None, sample=None, advance=None, count=None):
        self._recorder = recorder
        self.emit = emit or recorder.emit
        self.sample = sample or recorder.sample
        self.advance = advance or recorder.advance
        self.count = count or recorder.count

    def __getattr__(self, name):
        return getattr(self._recorder, name)


class Plain(IdealDevice):
    """The reference without batches of its own, so that what is broken in `_run` is broken in them."""

    def _run_batch(self, stimulus, duration_ns, workers):
        return None


class Feed(Plain):
    """Runs another stimulus than the one given."""

    def _run(self, stimulus, duration_ns, recorder):
        super()._run({key: self.feed(value) for key, value in stimulus.items()}, duration_ns, recorder)


class Emit(Plain):
    """Gives other events than those that came out."""

    def _run(self, stimulus, duration_ns, recorder):
        def emit(node, t, index):
            recorder.emit(node, *self.change(node, np.asarray(t), np.asarray(index), duration_ns))

        super()._run(stimulus, duration_ns, Through(recorder, emit=emit))


class After(Plain):
    """Gives another recording than the one made."""

    def run(self, stimulus, duration_ns, **more):
        return self.after(super().run(stimulus, duration_ns, **more))


# --- opening and closing --------------------------------------------------------------------------------------------


@device("never-closes")
class NeverCloses(Plain):
    def close(self):
        pass


@device("configures-logging")
class ConfiguresLogging(Plain):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        logging.getLogger().addHandler(logging.NullHandler())


@device("runs-unloaded")
class RunsUnloaded(Plain):
    def run(self, stimulus, duration_ns, **more):
        return None if self.state == "open" else super().run(stimulus, duration_ns, **more)


# --- mapping --------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True, eq=False)
class HalfMapping(ChipMapping):
    def save(self, path):
        whole = {f.name: getattr(self, f.name) for f in attrs.fields(ChipMapping)}
        ChipMapping(**{**whole, "fates": self.fates[1:]}).save(path)


@mapper("saves-half")
class SavesHalf(Mapper):
    def map(self, model, options=None, **more):
        made = super().map(model, options, **more)
        return HalfMapping(**{f.name: getattr(made, f.name) for f in attrs.fields(ChipMapping)})


@mapper("first-reason")
class FirstReason(Mapper):
    def _plan(self, model, *args):
        size = sum(node.size for node in model.populations())
        rows = [
            FitRow(resource="neurons", place=f"core {core}", node="", needed=size, limit=1000, unit="neurons")
            for core in range(2 if size > 1000 else 0)
        ]
        return attrs.evolve(super()._plan(model, *args), rows=rows)

    def map(self, model, options=None, **more):
        try:
            return super().map(model, options, **more)
        except DoesNotFitError as error:
            error.problems = error.problems[:1]
            raise


@mapper("refuses-all")
class RefusesAll(Mapper):
    def _plan(self, *args):
        return Plan(findings=[Finding(level="refused", node="", field="all", reason="this device runs nothing")])


MAPPERS["null"] = RefusesAll


def _delay(model):
    return model.semantics.rule_for("", "Input").edge_delay


@mapper("slow")
class Slow(Mapper):
    """In order: takes a step for each connection, and says so."""

    def _plan(self, model, *args):
        slow = model.with_semantics(attrs.evolve(model.semantics, edge_delay=1 + _delay(model)))
        plan = super()._plan(slow, *args)
        steps = {node.name: k for k, node in enumerate(model.populations())}
        steps |= {name: max(steps.values()) for name in model.outputs}
        return attrs.evolve(plan, latency_ns={name: k * (plan.step_ns or 0) for name, k in steps.items()})


@mapper("optimist")
class Optimist(Mapper):
    def check(self, model, options=None, *, rates_hz=None):
        return FitReport(device=self.spec.name)


@mapper("one-reason")
class OneReason(Mapper):
    def _refusals(self, model, chip):
        return super()._refusals(model, chip)[:1]


def _placed(plan, change):
    if plan.placement is None:
        return plan
    rows = plan.placement.rows.copy()
    return attrs.evolve(plan, placement=Placement(plan.placement.nodes, change(rows)))


@mapper("doubles-places")
class DoublesPlaces(Mapper):
    def _plan(self, *args):
        def change(rows):
            rows["neuron"] //= 2
            return rows

        return _placed(super()._plan(*args), change)


@mapper("leaves-out-neurons")
class LeavesOutNeurons(Mapper):
    def _plan(self, *args):
        return _placed(super()._plan(*args), lambda rows: rows[:-1])


@mapper("keeps-silent")
class KeepsSilent(Mapper):
    def map(self, model, options=None, **more):
        made = super().map(model, options, **more)
        return attrs.evolve(made, fates=made.fates[:-1])


@mapper("wanders")
class Wanders(Mapper):
    calls = 0

    def _plan(self, *args):
        type(self).calls += 1

        def change(rows):
            rows["neuron"][rows["core"] >= 0] += self.calls
            return rows

        return _placed(super()._plan(*args), change)


@mapper("spoils-model")
class SpoilsModel(Mapper):
    def _plan(self, model, *args):
        for node in model.nodes.values():
            if node.type == "Linear":
                node.weight[0, 0] += 1
        return super()._plan(model, *args)


@mapper("renames-places")
class RenamesPlaces(Mapper):
    def _plan(self, *args):
        plan = super()._plan(*args)
        names = tuple(name.replace("/", "_") for name in plan.placement.nodes)
        return attrs.evolve(plan, placement=Placement(names, plan.placement.rows))


@mapper("like-moves")
class LikeMoves(Mapper):
    def map(self, model, options=None, *, like=None, **more):
        made = super().map(model, options, **more)
        if like is None:
            return made
        rows = made.placement.rows.copy()
        rows["neuron"] += 1
        return attrs.evolve(made, placement=Placement(made.placement.nodes, rows))


@mapper("like-forgets")
class LikeForgets(Mapper):
    def map(self, model, options=None, *, like=None, **more):
        return super().map(model, options, **more) if like is None else attrs.evolve(like, model=model)


@mapper("like-undeclared")
class LikeUndeclared(Mapper):
    def map(self, model, options=None, *, like=None, **more):
        return super().map(model, options, **more)


@mapper("adopts-other")
class AdoptsOther(Mapper):
    def _adopt(self, config):
        return attrs.evolve(super()._adopt(config), config=attrs.evolve(config, dtype="float64"))


@mapper("adopt-undeclared")
class AdoptUndeclared(Mapper):
    def adopt(self, config):
        return self._adopt(config)


@mapper("edits-anything")
@mapper("edit-undeclared")
class EditsAnything(Mapper):
    def edit(self, mapping, config):
        return attrs.evolve(mapping, config=config)


# --- honesty --------------------------------------------------------------------------------------------------------


class Ignores(Mapper):
    """Does what it always does, whatever the semantics say."""

    always: ClassVar = {}

    def _plan(self, model, *args):
        return super()._plan(model.with_semantics(attrs.evolve(model.semantics, **self.always)), *args)


def _ignores(name, **always):
    MAPPERS[f"ignores-{name}"] = type("IgnoresOne", (Ignores,), {"always": always})


_ignores("compare", compare=">=")
_ignores("reset-rule", spike_reset="value")
_ignores("reset-delay", reset_delay=0)
_ignores("fires-on", fires_on="new")
_ignores("spikes-per-step", spikes_per_step="one")
_ignores("edge-delay", edge_delay=0)
_ignores("feedback-delay", feedback_delay=1)
_ignores("v-min", v_min=None)
_ignores("start-state", start_state=0.0)
_ignores("gain", gain="one")
_ignores("decay", decay="1-dt/tau")
_ignores("jump", jump="after")
_ignores("flatten-order", flatten_order="CHW")


@mapper("ignores-subtract-n")
class IgnoresSubtractN(Mapper):
    """Takes one threshold off, whatever a step was worth."""

    def _plan(self, model, *args):
        semantics = model.semantics
        if semantics.spike_reset == "subtract_n":
            model = model.with_semantics(attrs.evolve(semantics, spike_reset="subtract"))
        return super()._plan(model, *args)


@mapper("refuses-without-words")
class RefusesWithoutWords(Mapper):
    def _plan(self, model, *args):
        plan = super()._plan(model, *args)
        if model.semantics.rule(model.nodes["neurons"]).fires_on == "new":
            return plan
        return Plan(findings=[Finding(level="refused", node="neurons", field="model", reason="not this one")])


@mapper("refuses-by-row")
class RefusesByRow(Mapper):
    """In order: what it has no memory for is a row over its limit."""

    def _plan(self, model, *args):
        plan = super()._plan(model, *args)
        steps = _delay(model)
        row = FitRow(resource="delays", place="chip", node="", needed=steps, limit=0, unit="steps")
        return attrs.evolve(plan, rows=(*plan.rows, row))


@mapper("refuses-late")
class RefusesLate(Mapper):
    """Says no when it maps, by a capability."""

    def map(self, model, options=None, **more):
        if _delay(model):
            raise CapabilityError("no delays", capability="delay.axonal")
        return super().map(model, options, **more)


def _changed(model, change, *parameters):
    """The model with other numbers in all nodes that have them."""
    nodes = {}
    for name, node in model.nodes.items():
        new = {key: change(np.asarray(getattr(node, key))) for key in parameters if key in node.parameters}
        nodes[name] = attrs.evolve(node, **new) if new else node
    return type(model).of(nodes, model.edges, model.semantics)


class Alters(Mapper):
    """Computes with other numbers, and says nothing of it."""

    def _plan(self, model, *args):
        plan = super()._plan(_changed(model, self.change, *self.parameters), *args)
        return attrs.evolve(plan, realised={})


def _alters(name, change, *parameters):
    MAPPERS[name] = type("AltersOne", (Alters,), {"change": staticmethod(change), "parameters": parameters})


_alters("rounds-weights", np.round, "weight")
_alters("rounds-thresholds", np.floor, "v_threshold")
_alters("ignores-bias", np.zeros_like, "bias")
_alters("ignores-v-reset", np.zeros_like, "v_reset")
_alters("clips-weights", lambda weight: np.clip(weight, -127, 127), "weight")


@mapper("loses-clipped")
class LosesClipped(Mapper):
    """Says what it computes with, and has no row for what was lost."""

    def _plan(self, model, *args):
        return super()._plan(_changed(model, lambda weight: np.clip(weight, -127, 127), "weight"), *args)


@mapper("realised-lies")
class RealisedLies(Mapper):
    def _plan(self, *args):
        plan = super()._plan(*args)
        lies = {key: 3 * value for key, value in plan.realised.items() if key[1] == "v_threshold"}
        return attrs.evolve(plan, realised={**plan.realised, **lies})


@mapper("realises-half")
class RealisesHalf(Mapper):
    def _plan(self, *args):
        plan = super()._plan(*args)
        half = {key: value.ravel()[:1] for key, value in plan.realised.items() if key[1] == "weight"}
        return attrs.evolve(plan, realised={**plan.realised, **half})


@mapper("losses-lie")
@mapper("losses-astray")
class LossesLie(Mapper):
    def _plan(self, *args):
        index = np.array([1000 if self.spec.name == "losses-astray" else 0])
        losses = Losses.build([("fc1", "weight", index, np.array([99.0]), np.array([0.0]), "rounded to 0")])
        plan = super()._plan(*args)
        loud = any(np.any(value % 1) for (_, name), value in plan.realised.items() if name == "weight")
        return attrs.evolve(plan, losses=losses) if loud else plan


class Counts(Plain):
    def _run(self, stimulus, duration_ns, recorder):
        def count(counter, per_core):
            self.counted(recorder, counter, np.asarray(per_core))

        super()._run(stimulus, duration_ns, Through(recorder, count=count))


@device("counts-nothing")
class CountsNothing(Counts):
    def counted(self, recorder, counter, per_core):
        pass


@device("counts-for-ever")
class CountsForEver(Counts):
    """Since it was opened, not since the run began."""

    def counted(self, recorder, counter, per_core):
        self.sums = getattr(self, "sums", {})
        self.sums[counter] = self.sums.get(counter, 0) + per_core
        recorder.count(counter, self.sums[counter])


@device("counts-no-output")
class CountsNoOutput(Counts):
    def counted(self, recorder, counter, per_core):
        if counter != "events_out":
            recorder.count(counter, per_core)


@device("counts-no-synops")
class CountsNoSynops(Counts):
    def counted(self, recorder, counter, per_core):
        if counter != "synops":
            recorder.count(counter, per_core)


@device("hums-in-synops")
class HumsInSynops(Counts):
    def counted(self, recorder, counter, per_core):
        recorder.count(counter, per_core + (counter == "synops"))


# --- running --------------------------------------------------------------------------------------------------------


@device("renames-outputs")
class RenamesOutputs(After):
    def after(self, recording):
        return attrs.evolve(recording, spikes={f"{name}.0": spikes for name, spikes in recording.spikes.items()})


@device("other-dtype")
class OtherDtype(After):
    def after(self, recording):
        dtype = np.dtype([("t", "<f8"), ("index", "<u4")])
        return attrs.evolve(recording, spikes={name: s.astype(dtype) for name, s in recording.spikes.items()})


@device("drops-last")
class DropsLast(Feed):
    def feed(self, value):
        return value[:-1]


@device("scrambled")
class Scrambled(Emit):
    def change(self, node, t, index, duration_ns):
        size = self.mapping.model.nodes[node].size
        return t, ((index + 1) % size).astype(np.uint32)


@device("late")
class Late(Emit):
    def change(self, node, t, index, duration_ns):
        kept = t < duration_ns - self.mapping.step_ns
        return t[kept] + self.mapping.step_ns, index[kept]


@device("unlike-ideal")
class UnlikeIdeal(Feed):
    """Right for short runs only."""

    def feed(self, value):
        return value[value["t"] < 96 * 1_000_000]


@device("hums")
class Hums(Plain):
    def _run(self, stimulus, duration_ns, recorder):
        super()._run(stimulus, duration_ns, recorder)
        if not any(value.size for value in stimulus.values()) and duration_ns:
            recorder.emit("output", np.array([0]), np.array([0]))


@device("zero-is-one")
class ZeroIsOne(Plain):
    def _run(self, stimulus, duration_ns, recorder):
        super()._run(stimulus, duration_ns, recorder)
        if not duration_ns:
            self._network.reset(1)


@device("ignores-single")
class IgnoresSingle(Feed):
    def feed(self, value):
        return value if value.size > 1 else value[:0]


@device("merges")
class Merges(Feed):
    def feed(self, value):
        return np.unique(value)


@device("forgets")
class Forgets(Plain):
    def _run(self, stimulus, duration_ns, recorder):
        self._network.reset(1)
        super()._run(stimulus, duration_ns, recorder)


@device("forgets-in-silence")
class ForgetsInSilence(Forgets):
    """Takes out of the recording what the core notes of it."""

    def run(self, stimulus, duration_ns, **more):
        return attrs.evolve(super().run(stimulus, duration_ns, **more), diagnostics=())


@device("modest")
class Modest(Forgets):
    """Says that it does not continue."""

    def _run(self, stimulus, duration_ns, recorder):
        super()._run(stimulus, duration_ns, recorder)
        if self.run_number:
            reason = "state does not carry over from the run before"
            recorder.note(Finding(level="note", node="", field="run.continue", reason=reason))


@device("random")
class Random(Feed):
    def feed(self, value):
        return value[np.random.default_rng().random(value.size) < 0.5]


@device("seeded")
class Seeded(Feed):
    """Noisy, and does not say so."""

    def feed(self, value):
        return value[self.rng().random(value.size) < 0.5]


class Batch(Plain):
    def _run_batch(self, stimulus, duration_ns, workers):
        recordings = []
        number = self._run_number
        for b, sample in enumerate(stimulus):
            if self.between(b, workers):
                self.reset(Reset.STATE)
            self._t0_ns = 0
            recordings.append(self.run(sample, duration_ns))
        self._run_number = number
        return BatchRecording.of(recordings)

    def between(self, b, workers):
        return True


@device("batch-carries-over")
class BatchCarriesOver(Batch):
    def between(self, b, workers):
        return b == 0


@device("batch-by-workers")
class BatchByWorkers(Batch):
    def between(self, b, workers):
        return b % workers == 0


@device("batch-uncounted")
class BatchUncounted(Batch):
    def run_batch(self, stimuli, duration_ns, **more):
        number = self._run_number
        batch = super().run_batch(stimuli, duration_ns, **more)
        self._run_number = number
        return batch


@device("shares-state")
class SharesState(Plain):
    def _load(self, mapping):
        super()._load(mapping)
        SharesState._network = self.__dict__.pop("_network")


@device("uncounted")
class Uncounted(After):
    def after(self, recording):
        self._run_number = 0
        return recording


@device("patient")
class Patient(Plain):
    def run(self, stimulus, duration_ns, *, timeout_s=None, **more):
        return super().run(stimulus, duration_ns, **more)


@device("carefree")
class Carefree(Plain):
    def run(self, stimulus, duration_ns, **more):
        self._broken_off = False
        return super().run(stimulus, duration_ns, **more)


@device("never-advances")
class NeverAdvances(Plain):
    def _run(self, stimulus, duration_ns, recorder):
        super()._run(stimulus, duration_ns, Through(recorder, advance=lambda t_ns: None))


# --- recording ------------------------------------------------------------------------------------------------------


@device("loses-on-disk")
class LosesOnDisk(Plain):
    def run(self, stimulus, duration_ns, *, to=None, **more):
        if to is not None:
            stimulus = {key: value[:-1] for key, value in stimulus.items()}
        return super().run(stimulus, duration_ns, to=to, **more)


@device("disturbed-by-probes")
class DisturbedByProbes(Feed):
    def feed(self, value):
        return value[1:] if self.mapping.record else value


@device("samples-zeros")
class SamplesZeros(Plain):
    def _run(self, stimulus, duration_ns, recorder):
        def sample(node, variable, t, values):
            recorder.sample(node, variable, t, np.zeros_like(values))

        super()._run(stimulus, duration_ns, Through(recorder, sample=sample))


@device("samples-once")
class SamplesOnce(Plain):
    def _run(self, stimulus, duration_ns, recorder):
        def sample(node, variable, t, values):
            if t[-1] == 0:
                recorder.sample(node, variable, t, values)

        super()._run(stimulus, duration_ns, Through(recorder, sample=sample))


@mapper("record-undeclared")
class RecordUndeclared(Mapper):
    def map(self, model, options=None, *, record=(), **more):
        return super().map(model, options, **more)


# --- resets ---------------------------------------------------------------------------------------------------------


@device("accepts-any-reset")
class AcceptsAnyReset(Plain):
    def reset(self, mode=Reset.STATE):
        if f"reset.{mode.value}" in self.spec.capabilities:
            super().reset(mode)


@device("keeps-state")
class KeepsState(Plain):
    def _reset(self, mode):
        if mode is not Reset.STATE:
            super()._reset(mode)


@device("rewinds-number")
class RewindsNumber(Plain):
    def reset(self, mode=Reset.STATE):
        super().reset(mode)
        self._run_number = 0


@device("keeps-number")
class KeepsNumber(Plain):
    def reset(self, mode=Reset.STATE):
        number = self._run_number
        super().reset(mode)
        self._run_number = number


class KeepsMapping(Plain):
    def reset(self, mode=Reset.STATE):
        super().reset(Reset.STATE if mode is self.kept else mode)


@device("keeps-config")
class KeepsConfig(KeepsMapping):
    kept = Reset.CONFIG


@device("keeps-power")
class KeepsPower(KeepsMapping):
    kept = Reset.POWER


@device("loads-once")
class LoadsOnce(Plain):
    def _load(self, mapping):
        if getattr(self, "held", None) is not mapping:
            super()._load(mapping)
        self.held = mapping


# --- errors ---------------------------------------------------------------------------------------------------------


class ForgetfulError(StateError):
    def __reduce__(self):
        return (StateError, (self.message,))


@device("loses-errors")
class LosesErrors(Plain):
    def run(self, stimulus, duration_ns, **more):
        try:
            return super().run(stimulus, duration_ns, **more)
        except StateError as error:
            raise ForgetfulError(error.message, hint=error.hint, **error.data) from error


@device("no-hints")
class NoHints(Plain):
    def reset(self, mode=Reset.STATE):
        try:
            require(self.spec.capabilities, f"reset.{mode.value}", self.spec.name, "it")
        except CapabilityError as error:
            raise CapabilityError("no", **error.data) from error
        super().reset(mode)


@device("loads-anything")
class LoadsAnything(Plain):
    def load(self, mapping):
        super().load(attrs.evolve(mapping, device=self.spec.name, profile_id=None))


# --- stimuli --------------------------------------------------------------------------------------------------------


@device("repairs-stimuli")
class RepairsStimuli(Plain):
    def run(self, stimulus, duration_ns, **more):
        try:
            return super().run(stimulus, duration_ns, **more)
        except ConfigError:
            return super().run({}, duration_ns, **more)


@device("half-moved")
class HalfMoved(Plain):
    def run(self, stimulus, duration_ns, **more):
        try:
            return super().run(stimulus, duration_ns, **more)
        except ConfigError:
            if self.state == "loaded":
                self._network.reset(1)
            raise


@device("counts-refused")
class CountsRefused(Plain):
    def run(self, stimulus, duration_ns, **more):
        try:
            return super().run(stimulus, duration_ns, **more)
        except ConfigError:
            self._run_number += 1
            raise


@device("any-duration")
class AnyDuration(Plain):
    def run(self, stimulus, duration_ns, **more):
        return super().run(stimulus, abs(duration_ns) if isinstance(duration_ns, int) else duration_ns, **more)


@device("writes-on-input")
class WritesOnInput(Plain):
    def run(self, stimulus, duration_ns, **more):
        recording = super().run(stimulus, duration_ns, **more)
        for value in stimulus.values():
            if isinstance(value, np.ndarray) and value.flags.writeable:
                value["index"] = 0
        return recording


@device("turns-rasters")
class TurnsRasters(Plain):
    def run(self, stimulus, duration_ns, **more):
        turned = {
            key: value[::-1] if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
            for key, value in stimulus.items()
        }
        return super().run(turned, duration_ns, **more)


# --- for the runner -------------------------------------------------------------------------------------------------


@device("hangs")
class Hangs(Plain):
    def _run(self, stimulus, duration_ns, recorder):
        time.sleep(1.5)


@device("exits")
class Exits(Plain):
    def _run(self, stimulus, duration_ns, recorder):
        raise SystemExit(3)


@device("crashes")
class Crashes(Plain):
    def _run(self, stimulus, duration_ns, recorder):
        raise ZeroDivisionError("the emulator divides by zero")


@device("busy")
class Busy(Plain):
    def __init__(self, *args, **kwargs):
        raise DeviceBusyError("somebody else holds it", hint="wait", pid=os.getpid())
