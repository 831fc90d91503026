"""Overload: swallowed, cried out too soon, told of at the wrong time, or promised by rates."""

import attrs
import numpy as np

from hal.device import Reset
from hal.events import EVENT
from hal.evidence import Overload
from hal.fit import FitRow, Resource
from hal.recording import INTERVAL
from hal_conformance.checks.overload import SIGNS
from hal_conformance.networks.witness import CHANNELS, DIALECTS, STEP_NS, make
from hal_mutants.catalogue import fault
from hal_mutants.mixins import After, Emit, Fault, Feed, Plain, PlainMapper, Through
from hal_mutants.opening import without

MANY = 1000
"""Events of a run, where it is a flood."""


def _size(stimulus):
    return sum(value.size for value in stimulus.values() if isinstance(value, np.ndarray))


@fault("swallows-overload", {"OVR-001": "is above 0", "OVR-002": "and no counter says why"})
class SwallowsOverload(Plain):
    """Loses what is too much, and counts nothing."""

    def _run(self, stimulus, duration_ns, recorder):
        def count(counter, per_core):
            if counter not in SIGNS:
                recorder.count(counter, per_core)

        super()._run(stimulus, duration_ns, Through(recorder, count=count))


class Cries(Plain):
    """Counts more than there was."""

    def _run(self, stimulus, duration_ns, recorder):
        super()._run(stimulus, duration_ns, recorder)
        if _size(stimulus) and duration_ns:
            self.cry(recorder, _size(stimulus) > MANY, duration_ns)

    def counted(self, recorder, counter, value):
        recorder.count(counter, np.eye(1, self.spec.cores or 1, dtype=np.int64)[0] * value)


@fault("cries-wolf", {"OVR-001": "one event on each channel: {'dropped'"})
class CriesWolf(Cries):
    """Tells of an overload wherever there are events."""

    def cry(self, recorder, flooded, duration_ns):
        self.counted(recorder, "dropped", 1)


@fault("always-overloaded", {"OVR-001": "one event on each channel: 1 intervals of overload"})
class AlwaysOverloaded(Cries):
    """Has an interval of overload in every run."""

    def cry(self, recorder, flooded, duration_ns):
        recorder.interval("overload", -1, 0, duration_ns)


@fault("stalls-sometime", {"OVR-001": "and no interval says when"})
class StallsSometime(Cries):
    """Tells how long it stalled, and not when."""

    @staticmethod
    def vouch(evidence):
        return attrs.evolve(evidence, overload=_flood())

    def _run(self, stimulus, duration_ns, recorder):
        super()._run(stimulus, duration_ns, Through(recorder, interval=lambda *args: None))

    def cry(self, recorder, flooded, duration_ns):
        if flooded:
            self.counted(recorder, "stalled_ns", 1000)


@fault("stalls-and-is-well", {"OVR-001": "it stalled, and the status is 'ok'"})
class StallsAndIsWell(Cries):
    """Stalls, and trusts its own recording."""

    def cry(self, recorder, flooded, duration_ns):
        if flooded:
            self.counted(recorder, "stalled_ns", 1000)
            recorder.interval("stalled", 0, 0, 1000)


@fault("counts-backwards", {"OVR-001": "overflowed is [-"}, on="loihi", why="the toy has one core")
class CountsBackwards(Plain):
    """Counts one core's overload against another's."""

    def _run(self, stimulus, duration_ns, recorder):
        def count(counter, per_core):
            if counter == "overflowed" and np.any(per_core):
                per_core = np.roll(per_core, 1) + np.eye(1, np.size(per_core), dtype=np.int64)[0] * -1
            recorder.count(counter, per_core)

        super()._run(stimulus, duration_ns, Through(recorder, count=count))


@fault("overloaded-outside", {"OVR-001": "an interval from "})
class OverloadedOutside(After):
    """Has an overload that lasts longer than the run."""

    def after(self, recording):
        if recording.stats["events_in"].sum() <= CHANNELS:
            return recording
        row = np.array([("overload", -1, 0, recording.duration_ns + 1)], INTERVAL)
        return attrs.evolve(recording, intervals=row)


@fault("never-recovers", {"OVR-001": "before and after a flood and a reset"})
class NeverRecovers(Plain):
    """Keeps what a flood left behind in a reset to STATE."""

    flooded = False

    def _run(self, stimulus, duration_ns, recorder):
        self.flooded = self.flooded or _size(stimulus) > MANY
        super()._run(stimulus, duration_ns, recorder)

    def _reset(self, mode):
        if not self.flooded or mode is not Reset.STATE:
            super()._reset(mode)


@fault("overloads-undeclared", {"OVR-001": "overload.report is not declared, and not properly refused"})
class OverloadsUndeclared(Fault):
    """Counts an overload, and does not declare that there may be one."""

    declare = without("overload.report")


def _flood(level=4096):
    witness = make("IF", {}, DIALECTS[0], "one dense layer").reweighted()
    stimulus = np.zeros(level, EVENT)
    return Overload(model=witness.model, stimulus={"input": stimulus}, duration_ns=100 * STEP_NS)


@fault("floods-with-one", {"OVR-001": "the plugin's own overload: none of "})
class FloodsWithOne(Fault):
    """Brings an overload of one event."""

    @staticmethod
    def vouch(evidence):
        return attrs.evolve(evidence, overload=_flood(1))


# --- crowds ---------------------------------------------------------------------------------------------------------


@fault("crowded-out", {"OVR-002": "and no counter says why"})
class CrowdedOut(Feed):
    """Takes one event of a channel at a time."""

    def feed(self, value):
        return np.unique(value)


@fault("doubles-crowds", {"OVR-002": "and no counter says why"})
class DoublesCrowds(Emit):
    """Gives spikes twice where several neurons spike at once."""

    def change(self, node, t, index, duration_ns):
        _, which, together = np.unique(t, return_inverse=True, return_counts=True)
        twice = 1 + (together[which] > 3)
        return np.repeat(t, twice), np.repeat(index, twice)


@fault(
    "multiplies-events",
    {"OVR-002": "and no counter says why"},
    on="toy",
    why="what is added to a crowd overloads Loihi, which counts it",
)
class MultipliesEvents(Feed):
    """Takes in some events twice where many come at once."""

    def feed(self, value):
        return np.sort(np.concatenate([value, value[:4]])) if 8 < value.size < 40 else value


# --- rates ----------------------------------------------------------------------------------------------------------

RATE = 1e5


class Rated(PlainMapper):
    """In order: has a limit of synaptic operations per second, by the rates given."""

    @staticmethod
    def declare(spec):
        made = Resource(
            name="synops/s", unit="1/s", scope="chip", limit=(RATE,), when="run", source="assumption: made up"
        )
        return attrs.evolve(spec, resources=(*spec.resources, made))

    def _plan(self, model, options, record, like, seed, rates_hz):
        plan = super()._plan(model, options, record, like, seed, rates_hz)
        if rates_hz is None:
            return plan
        fan_out = model.nodes["fc1"].weight.shape[0]
        needed = fan_out * rates_hz[model.inputs[0]]
        return attrs.evolve(plan, rows=(*plan.rows, *self.rated(needed)))

    def row(self, needed, **more):
        about = {"resource": "synops/s", "place": "chip", "node": "", "limit": RATE, "unit": "1/s", "when": "run"}
        return FitRow(needed=needed, **{**about, **more})

    def rated(self, needed):
        return [self.row(needed)]


fault("rated", {})(type("RatedOne", (Rated,), {"__doc__": Rated.__doc__}))


def _rates(name, words, says, rated):
    fault(name, {"OVR-003": words})(type("RatesOne", (Rated,), {"rated": rated, "__doc__": says}))


_rates("ignores-rates", "and no row is about synops/s", "Ignores the rates it is given.", lambda self, needed: [])
_rates(
    "rates-stop-mapping",
    "stops the mapping",
    "Takes a limit at run time for one of mapping.",
    lambda self, needed: [self.row(needed), self.row(needed, when="map")],
)
_rates(
    "rates-other-limit",
    "is not the declared one",
    "Has another limit for rates than it declares.",
    lambda self, needed: [self.row(needed, limit=RATE / 2)],
)
_rates(
    "rates-other-resource",
    "which the spec does not declare",
    "Has a limit for rates that it does not declare.",
    lambda self, needed: [self.row(needed, resource="spikes/s")],
)
_rates(
    "rates-too-soon",
    "one event per second is too much for synops/s",
    "Takes events per second for events per microsecond.",
    lambda self, needed: [self.row(1e6 * needed)],
)
_rates(
    "rates-never-high",
    "are within the limits of synops/s",
    "Takes no rate for too high.",
    lambda self, needed: [self.row(min(needed, RATE))],
)
_rates(
    "rates-vanish",
    "fewer limits are met than at a tenth of that",
    "Has no more than nine digits for a rate.",
    lambda self, needed: [self.row(needed % 1e9)],
)
