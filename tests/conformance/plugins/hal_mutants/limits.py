"""Limits: refused too early or too late, by other words and numbers than declared, or kept by one neuron for two."""

from unittest import mock

import attrs
import numpy as np

from hal.evidence import Limit
from hal.fit import Finding, Resource
from hal_conformance.networks.grown import families
from hal_conformance.networks.witness import DIALECTS, make
from hal_loihi import splitting
from hal_loihi.limits import CoreLimits
from hal_mutants.catalogue import fault
from hal_mutants.mapping import Places
from hal_mutants.mixins import Emit, Fault, PlainMapper

LARGE = 256
"""Neurons, where a layer is larger than any of the suite's other checks have."""


class Grown(PlainMapper):
    """Is tried by growing networks alone."""

    @staticmethod
    def vouch(evidence):
        return attrs.evolve(evidence, limits=())


class Rows(Grown):
    """Counts otherwise than it should, in rows about what there is too little of."""

    def _plan(self, *args):
        plan = super()._plan(*args)
        return attrs.evolve(plan, rows=[row if row.ok else self.told(row) for row in plan.rows])


@fault("other-limit", {"LIM-001": ", declared are {"})
class OtherLimit(Rows):
    """Refuses by another limit than it declares."""

    def told(self, row):
        return attrs.evolve(row, limit=row.limit - 1)


@fault("other-resource", {"LIM-001": "refused for 'memory', which the spec does not declare"})
class OtherResource(Rows):
    """Refuses for a resource that it does not declare."""

    def told(self, row):
        return attrs.evolve(row, resource="memory")


@fault("refuses-without-row", {"LIM-001": "refused, and no resource is over its limit"})
class RefusesWithoutRow(Grown):
    """Says in words what a row should say in numbers."""

    def _plan(self, *args):
        plan = super()._plan(*args)
        over = [row for row in plan.rows if not row.ok]
        said = [Finding(level="refused", node="", field=row.resource, reason="not enough of it") for row in over]
        return attrs.evolve(plan, rows=[row for row in plan.rows if row.ok], findings=[*plan.findings, *said])


@fault("refuses-the-last", {"LIM-001": " is refused"})
class RefusesTheLast(Grown):
    """Keeps the last unit of everything to itself, and counts one more where it would be needed."""

    def _plan(self, *args):
        plan = super()._plan(*args)
        counted = [attrs.evolve(row, needed=row.needed + (row.needed == row.limit > 128)) for row in plan.rows]
        return attrs.evolve(plan, rows=counted)


@fault("one-too-many", {"LIM-001": "1025, which would need 1025, fits"}, on="toy")
class OneTooMany(Grown):
    """Takes one unit more than there is, and does not count it."""

    def _plan(self, *args):
        plan = super()._plan(*args)
        counted = [attrs.evolve(row, needed=row.needed - (row.needed == row.limit + 1)) for row in plan.rows]
        return attrs.evolve(plan, rows=counted)


def roomy(**limits):
    """Cores with other limits than those that are counted by."""
    return mock.patch.object(splitting, "CoreLimits", return_value=CoreLimits(**limits))


@fault("one-too-many", {"LIM-001": "4097, which would need 4097, fits"}, on="loihi")
class OneAxonTooMany(Grown):
    """Takes one input axon more than a core has, and does not count it."""

    def _plan(self, *args):
        with roomy(in_axons=4097):
            plan = super()._plan(*args)
        return attrs.evolve(
            plan,
            rows=[
                attrs.evolve(row, limit=min(row.limit, 4096)) if row.resource == "in axons" else row
                for row in plan.rows
            ],
        )


@fault(
    "leaves-half",
    {"LIM-001": "no growing network meets the limit of compartments"},
    on="loihi",
    why="the toy has one core, and nothing to go on to",
)
class LeavesHalf(Grown):
    """Goes on to the next core when one is half full."""

    def _plan(self, *args):
        with roomy(compartments=512):
            return super()._plan(*args)


@fault("unmet-limit", {"LIM-001": "no growing network meets the limit of routing words"})
class UnmetLimit(Fault):
    """Declares a limit that nothing ever meets."""

    @staticmethod
    def declare(spec):
        more = Resource(name="routing words", unit="words", scope="chip", limit=(1e9,), source="assumption: made up")
        return attrs.evolve(spec, resources=(*spec.resources, more))


# --- pairs of models that prove nothing -----------------------------------------------------------------------------


def _models():
    """A layer that fits on both bases, and one that fits on neither."""
    family = next(families(make("IF", {}, DIALECTS[0], "one dense layer")))
    return family.model(8), family.model(1 << 18)


class Pair(Fault):
    """Brings a pair of models about a limit."""

    resources = ("neurons", "cores")
    """Of the toy, and of Loihi: what has too little of the layer that fits on neither."""

    @classmethod
    def vouch(cls, evidence):
        small, large = _models()
        own = evidence.limits == ()
        resource = cls.resources[0 if own else 1]
        fits, over = cls.pair(small, large)
        return attrs.evolve(evidence, limits=(*evidence.limits, Limit(resource=resource, fits=fits, over=over)))


@fault("over-fits", {"LIM-001": "should raise DoesNotFitError"})
class OverFits(Pair):
    """Brings a model over a limit that fits."""

    @staticmethod
    def pair(small, large):
        return small, small


@fault("fits-not", {"LIM-001": "the one that should fit does not"})
class FitsNot(Pair):
    """Brings a model within a limit that does not fit."""

    @staticmethod
    def pair(small, large):
        return large, large


@fault("over-elsewhere", {"LIM-001": "is refused for other reasons"})
class OverElsewhere(Pair):
    """Brings a model over a limit that is over another."""

    resources = ("inputs", "compartments")

    @staticmethod
    def pair(small, large):
        return small, large


@fault("pair-of-nothing", {"LIM-001": "there is no such resource in the spec"})
class PairOfNothing(Pair):
    """Brings models over a limit that nobody declares."""

    resources = ("patience", "patience")

    @staticmethod
    def pair(small, large):
        return small, large


# --- the largest layer ----------------------------------------------------------------------------------------------


class Crowded(Emit):
    """Is right for small layers only."""

    def change(self, node, t, index, duration_ns):
        size = int(np.prod(self.recorded_events()[node]))
        return (t, index) if size <= LARGE else self.confused(t, index, size)


@fault("answers-for-another", {"LIM-002": "the first without a partner"})
class AnswersForAnother(Crowded):
    """Gives the spikes of the last neuron of a large layer to its first."""

    def confused(self, t, index, size):
        return t, np.where(index == size - 1, 0, index)


@fault("wraps-neurons", {"LIM-002": "the first without a partner"})
class WrapsNeurons(Crowded):
    """Has one bit less for neurons than a full layer needs."""

    def confused(self, t, index, size):
        return t, index % (size // 2)


@fault("last-is-silent", {"LIM-002": "the first without a partner"})
class LastIsSilent(Crowded):
    """Forgets the last neuron of a large layer."""

    def confused(self, t, index, size):
        return t[index < size - 1], index[index < size - 1]


@fault("shares-places", {"LIM-002": "places"})
class SharesPlaces(Places):
    """Gives one place to two neurons of a large layer."""

    def moved(self, rows):
        rows["neuron"] %= LARGE
        return rows


# --- limits that are not there --------------------------------------------------------------------------------------


class Dressed(PlainMapper):
    """`ideal` with limits declared."""

    def _plan(self, *args):
        plan = super()._plan(*args)
        return attrs.evolve(plan, rows=[self.kept(row) for row in plan.rows])


IDEAL = "it is the reference, `ideal`, that is dressed up"


@fault(
    "dressed-up",
    {"MAP-003": "should raise DoesNotFitError", "LIM-001": "no growing network meets"},
    on="toy",
    why=IDEAL,
)
class DressedUp(Dressed):
    """Declares limits, fills them up in its reports, and refuses nothing."""

    def kept(self, row):
        return attrs.evolve(row, needed=min(row.needed, row.limit))


@fault("dressed-loosely", {"LIM-001": "4096, which would need 4096, fits"}, on="toy", why=IDEAL)
class DressedLoosely(Dressed):
    """Declares limits, fills them up in its reports, and refuses what is four times as large."""

    def kept(self, row):
        return row if row.needed > 4 * row.limit else attrs.evolve(row, needed=min(row.needed, row.limit))
