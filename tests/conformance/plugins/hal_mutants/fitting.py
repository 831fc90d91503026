"""Whether a network fits, and every reason why not."""

import attrs

from hal.errors import DoesNotFitError
from hal.fit import Finding
from hal.mapper import Plan
from hal_mutants.catalogue import fault
from hal_mutants.mixins import PlainMapper
from hal_mutants.opening import without

few = without("neuron.lif", "neuron.cuba", "neuron.integrator", "neuron.threshold", "delay.axonal", "route.recurrent")


@fault("refuses-all", {"MAP-001": "maps none of the suite's witness networks"})
class RefusesAll(PlainMapper):
    """Refuses every network."""

    def _plan(self, *args):
        return Plan(findings=[Finding(level="refused", node="", field="all", reason="this device runs nothing")])


@fault("optimist", {"MAP-002": "check says it fits, map raises", "MAP-004": "check says it fits"})
class Optimist(PlainMapper):
    """Says of every network that it fits, and refuses it when it is mapped."""

    declare = few

    def check(self, model, options=None, **more):
        report = super().check(model, options, **more)
        rows = tuple(row for row in report.rows if row.ok)
        findings = tuple(finding for finding in report.findings if finding.level != "refused")
        return attrs.evolve(report, rows=rows, findings=findings)


@fault("bottomless", {"MAP-003": "should raise DoesNotFitError"}, on="toy")
class Bottomless(PlainMapper):
    """Takes any number of neurons."""

    def _plan(self, *args):
        return attrs.evolve(super()._plan(*args), rows=())


@fault("bottomless", {"MAP-003": "should raise DoesNotFitError"}, on="loihi")
class TakesMoreChips(PlainMapper):
    """Takes as many chips as it needs, whatever was asked for."""

    def _plan(self, model, options, *args):
        return super()._plan(model, attrs.evolve(options, chips=1024), *args)


class LastReasonLost(PlainMapper):
    """Raises an error without the last of its reasons."""

    def map(self, model, options=None, **more):
        try:
            return super().map(model, options, **more)
        except DoesNotFitError as error:
            error.problems = error.problems[:-1]
            raise


# a million neurons are too many in two ways for the one, in one way for the other
fault("first-reason", {"MAP-003": "the error lists 1 problems, the report has 2"}, on="toy")(LastReasonLost)
fault("first-reason", {"MAP-003": "the error lists 0 problems, the report has 1"}, on="loihi")(LastReasonLost)


@fault("one-reason", {"MAP-004": "of two faulty nodes the report names"})
class OneReason(PlainMapper):
    """Stops at the first thing it refuses."""

    declare = few

    def _planned(self, *args):
        report, *rest = super()._planned(*args)
        kept = tuple(f for f in report.findings if f.level != "refused" or f is report.refused[0])
        return attrs.evolve(report, findings=kept), *rest
