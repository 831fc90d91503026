"""A small chip made up for these tests, and correct: `ideal` with limits that it keeps and an overload that it reports.

Its numbers are nobody's: large enough for the suite's networks, small enough to be met by growing ones.
"""

import attrs
import numpy as np

from hal.errors import DoesNotFitError
from hal.evidence import Evidence, Vector
from hal.fit import Finding, FitReport, FitRow, Resource
from hal_conformance.networks.witness import DIALECTS, make
from hal_ideal.device import IdealDevice
from hal_ideal.mapper import IdealMapper
from hal_ideal.plugin import SPEC as IDEAL

LIMITS = {"neurons": 1024, "synapses": 16384, "inputs": 256}
EVENTS_PER_STEP = 64
"""Of all Inputs together; what comes later in the step, or in a later Input, is dropped."""
STEPS = 512

SPEC = attrs.evolve(
    IDEAL,
    name="toy",
    summary="made up for tests: `ideal` with limits and an overload",
    capabilities=IDEAL.capabilities | {"overload.report"},
    resources=tuple(
        Resource(name=name, unit=name, scope="chip", limit=(limit,), source="assumption: made up")
        for name, limit in LIMITS.items()
    ),
)


def _synapses(node):
    """Weights times the places where each is used."""
    return node.weight.size * (int(np.prod(node.output_shape[1:])) if node.kind == "conv" else 1)


def _rows(config):
    needed = {
        "neurons": sum(node.threshold.size for node in config.populations),
        "synapses": sum(_synapses(node) for node in config.maps),
        "inputs": sum(int(np.prod(port.shape)) for port in config.inputs),
    }
    return tuple(
        FitRow(resource=name, place="chip", node="", needed=count, limit=LIMITS[name], unit=name)
        for name, count in needed.items()
    )


class ToyMapper(IdealMapper):
    """Counts what a network needs, and refuses what is not there."""

    def _plan(self, *args):
        plan = super()._plan(*args)
        return plan if plan.config is None else attrs.evolve(plan, rows=_rows(plan.config))

    def _adopt(self, config):
        report = FitReport(device=self.spec.name, rows=_rows(config))
        if not report.fits:
            raise DoesNotFitError(report)
        return attrs.evolve(super()._adopt(config), fit=report)

    def _edit(self, mapping, config):
        return _rows(config)


class ToyDevice(IdealDevice):
    """Takes in so many events a step; says when, how many and by what it lost others."""

    most = EVENTS_PER_STEP

    def _run(self, stimulus, duration_ns, recorder):
        step_ns = self._config.step_ns
        kept, lost = _admitted(stimulus, step_ns, self.most)
        for step in np.unique(lost).tolist():
            recorder.interval("overload", -1, step * step_ns, (step + 1) * step_ns)
        if lost.size:
            recorder.count("dropped", [lost.size])
            reason = f"{lost.size} events above the limit per step were dropped"
            recorder.note(Finding(level="changed", node="", field="events per step", reason=reason, realised=self.most))
        super()._run(kept, duration_ns, recorder)

    def _run_batch(self, stimulus, duration_ns, workers):
        # `ideal` would take in everything
        return None


def _admitted(stimulus, step_ns, most):
    """The stimulus without the events that are too many, and the step of each of those."""
    names = [name for name, value in stimulus.items() if isinstance(value, np.ndarray)]
    if not names:
        return stimulus, np.zeros(0, np.int64)
    step = np.concatenate([stimulus[name]["t"] for name in names]) // step_ns
    order = np.argsort(step, kind="stable")
    rank = np.empty(step.size, np.int64)
    rank[order] = np.arange(step.size) - np.searchsorted(step[order], step[order])
    good = rank < most
    parts = np.split(good, np.cumsum([stimulus[name].size for name in names])[:-1])
    return {**stimulus, **{n: stimulus[n][part] for n, part in zip(names, parts, strict=True)}}, step[~good]


def evidence():
    """One answer, by arithmetic on integers."""
    witness = make("IF", {}, DIALECTS[0], "two dense layers")
    stimulus = witness.stimulus(np.random.default_rng(1), STEPS)
    answer = witness.answer(stimulus, STEPS)[witness.output]
    step_ns = witness.model.semantics.dt_ns
    vector = Vector(
        name="witness",
        source="arithmetic on integers",
        model=witness.model,
        stimulus={witness.input: stimulus},
        duration_ns=STEPS * step_ns,
        spikes={witness.output: answer},
    )
    return Evidence(vectors=(vector,))
