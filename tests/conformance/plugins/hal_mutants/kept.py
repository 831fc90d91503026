"""What is kept: ends of ranges, recordings that are replayed or torn, and what may be approximated."""

from itertools import count
from typing import ClassVar

import attrs

from hal.config import setting
from hal.errors import ConfigError, DoesNotFitError, Problem
from hal.fit import Finding, FitReport
from hal.mapper import Plan
from hal.mapping import Mapping as ChipMapping
from hal_mutants.catalogue import fault
from hal_mutants.mixins import Fault, Feed, Plain, PlainMapper, Through
from hal_mutants.opening import optional

# --- ends of ranges -------------------------------------------------------------------------------------------------


@fault("refuses-its-limit", {"CONF-004": "WithTop.gain at its limit 3 is refused, and nothing else is named"})
class RefusesItsLimit(Fault):
    """Has an open option that may not be what its own range ends with."""

    @staticmethod
    def declare(spec):
        @attrs.frozen(kw_only=True)
        class WithTop(spec.open_options):
            gain: int = setting(1, doc="of nothing", minimum=0, maximum=3)

            def rules(self):
                if self.gain > 2:
                    yield Problem("too high", "gain", value=self.gain, limit=2)

        return attrs.evolve(spec, open_options=WithTop)


@fault("clips-its-limit", {"CONF-004": "WithGain.gain at its limit 3 is taken as 2"})
class ClipsItsLimit(Fault):
    """Has an open option that is clipped to one less than its range ends with."""

    declare = optional(default=1, doc="clipped", minimum=0, maximum=3, converter=lambda value: min(value, 2))


@fault("wears-its-limit", {"CONF-004": "WithGain with gain at its limit 3 comes back from JSON as another"})
class WearsItsLimit(Fault):
    """Has an open option that takes what its range ends with every second time."""

    @staticmethod
    def declare(spec):
        tops = count()

        def worn(value):
            return 3 - next(tops) % 2 if value == 3 else value

        return optional(default=1, doc="worn", minimum=0, maximum=3, converter=worn)(spec)


@fault("rules-between", {})
class RulesBetween(Fault):
    """In order: has two open options that may not both be what their ranges end with."""

    @staticmethod
    def declare(spec):
        @attrs.frozen(kw_only=True)
        class WithBoth(spec.open_options):
            low: int = setting(1, doc="not above high", minimum=0, maximum=3)
            high: int = setting(2, doc="not below low", minimum=0, maximum=3)

            def rules(self):
                if self.low > self.high:
                    yield Problem("above high", "low", value=self.low, limit=self.high)

        return attrs.evolve(spec, open_options=WithBoth)


# --- recordings -----------------------------------------------------------------------------------------------------


def _as(cls, mapping):
    return cls(**{f.name: getattr(mapping, f.name) for f in attrs.fields(ChipMapping)})


@attrs.frozen(kw_only=True, eq=False)
class Made(ChipMapping):
    """A mapping as its mapper returned it, never read from disk."""


@attrs.frozen(kw_only=True, eq=False)
class Unprobed(ChipMapping):
    def save(self, path):
        attrs.evolve(_as(ChipMapping, self), record=()).save(path)


@fault("forgets-probes", {"REC-010": "the run and its replay from disk: spikes of"})
class ForgetsProbes(PlainMapper):
    """Saves a mapping without what is to be recorded."""

    def map(self, model, options=None, **more):
        return _as(Unprobed, super().map(model, options, **more))


class KnowsMore(PlainMapper):
    """Keeps something aside that no file holds."""

    def map(self, model, options=None, **more):
        return _as(Made, super().map(model, options, **more))


@fault("needs-its-mapper", {"REC-010": "the run and its replay from disk: spikes["})
class NeedsItsMapper(KnowsMore, Feed):
    """Needs what its mapper left in the mapping and what is not saved, or loses an event."""

    def feed(self, value):
        return value if isinstance(self.mapping, Made) else value[1:]


@fault("says-another-seed", {"REC-010": "the run and its replay from disk: spikes["})
class SaysAnotherSeed(Feed):
    """Is noisy by its seed, and records another one."""

    def _header(self, *args):
        return attrs.evolve(super()._header(*args), seed=self.seed + 1)

    def feed(self, value):
        return value[self.rng().random(value.size) < 0.5]


@fault("keeps-half-a-stimulus", {"REC-010": "the run and its replay from disk: spikes["})
class KeepsHalfAStimulus(Plain):
    """Records the first half of what it was fed."""

    def _header(self, duration_ns, stimulus):
        half = {name: value[: value.size // 2] for name, value in stimulus.items()}
        return super()._header(duration_ns, half)


@fault("ignores-recorder", {"REC-011": "a run ended without a single call of advance"})
class IgnoresRecorder(Plain):
    """Records in memory, whatever recorder it is given."""

    def run(self, stimulus, duration_ns, *, recorder=None, **more):
        return super().run(stimulus, duration_ns, **more)


@fault("advances-afterwards", {"REC-011": "a recording that was not finished has the status 'ok'"})
class AdvancesAfterwards(Plain):
    """Says how far it has got when all is over."""

    def run(self, stimulus, duration_ns, *, recorder=None, **more):
        if recorder is None:
            return super().run(stimulus, duration_ns, **more)
        hooks, recorder.on_advance = recorder.on_advance, []
        recording = super().run(stimulus, duration_ns, recorder=recorder, **more)
        for hook in hooks:
            hook(duration_ns)
        return recording


@fault("emits-at-the-end", {"REC-011": "'output', killed at"})
class EmitsAtTheEnd(Plain):
    """Holds back all spikes until the run is over."""

    def _run(self, stimulus, duration_ns, recorder):
        held = []
        super()._run(stimulus, duration_ns, Through(recorder, emit=lambda *events: held.append(events)))
        for events in held:
            recorder.emit(*events)


# --- leave to approximate -------------------------------------------------------------------------------------------


@fault("lenient", {})
class Lenient(PlainMapper):
    """In order: given leave, fires on new states where it was asked to fire on old ones, and says so."""

    @staticmethod
    def declare(spec):
        @attrs.frozen(kw_only=True)
        class Options(spec.map_options):
            approximations: ClassVar = (*spec.map_options.approximations, "firing")

        return attrs.evolve(spec, map_options=Options)

    def _plan(self, model, options, *args):
        node = next(n for n in model.populations() if n.type != "Input")
        if model.semantics.rule(node).fires_on == "new":
            return super()._plan(model, options, *args)
        said = Finding(level="refused", node=node.name, field="fires_on", reason="fires on new states alone")
        if "firing" not in options.approximate:
            return Plan(findings=[said])
        model = model.with_semantics(attrs.evolve(model.semantics, fires_on="new"))
        plan = super()._plan(model, options, *args)
        return attrs.evolve(plan, findings=[*plan.findings, *self.told(attrs.evolve(said, level="changed"))])

    def told(self, said):
        return [said]


@fault("lenient-in-silence", {"MAP-014": "neurons with fires_on='old': refused without leave; with it, nothing"})
class LenientInSilence(Lenient):
    """Takes leave to fire on new states, and does not say so."""

    def told(self, said):
        return []


@fault("lenient-elsewhere", {"MAP-014": "neurons with fires_on='old': refused without leave; with it, nothing"})
class LenientElsewhere(Lenient):
    """Takes leave to fire on new states, and says that something else was changed."""

    def told(self, said):
        return [attrs.evolve(said, field="compare")]


@fault("takes-any-leave", {"MAP-014": "leave to approximate what there is not should raise ConfigError"})
class TakesAnyLeave(PlainMapper):
    """Ignores leave to approximate what it does not know."""

    def _options(self, options):
        if isinstance(options, dict):
            known = set(self.spec.map_options.approximations)
            options = options | {"approximate": known & set(options.get("approximate", ()))}
        return super()._options(options)


@fault("names-no-leave", {"MAP-014": "the error does not name the word"})
class NamesNoLeave(PlainMapper):
    """Refuses leave to approximate without saying which."""

    def _options(self, options):
        try:
            return super()._options(options)
        except ConfigError as error:
            raise ConfigError("the options are not valid", hint="others") from error


@fault("refuses-when-mapped", {"MAP-002": "neurons: more than 64 in a layer"})
class RefusesWhenMapped(PlainMapper):
    """Refuses large layers when it maps them, and not before."""

    def map(self, model, options=None, **more):
        made = super().map(model, options, **more)
        if max(node.size for node in model.populations()) > 64:
            reason = Finding(level="refused", node="", field="neurons", reason="more than 64 in a layer")
            raise DoesNotFitError(FitReport(device=self.spec.name, findings=(reason,)))
        return made
