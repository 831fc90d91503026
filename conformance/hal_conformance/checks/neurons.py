"""Neurons: each declared kind does what its name says, and each other one is refused by its word."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

import numpy as np

from hal.events import Records
from hal.mapping import Mapping
from hal_conformance.context import STEP_NS, Context
from hal_conformance.failure import demand
from hal_conformance.fitting import refuses
from hal_conformance.networks.draft import Feature
from hal_conformance.networks.neural import FAR, NEAR, PAUSE_STEPS, integrating, leaky, thresholding, unleaking
from hal_conformance.networks.oversize import undeclared
from hal_conformance.rulebook import check
from hal_conformance.trying import denied, shown, taken


def _twin(word: str, features: Callable[[Context], Iterable[Feature]]) -> Callable[[Context], None]:
    def refused(ctx: Context) -> None:
        denied(ctx, word, islice(features(ctx), 3))
        for found, node, model in undeclared(ctx.witness, ctx.capabilities):
            if found == word:
                refuses(ctx, word, f"the witness with {model.nodes[node].type} neurons in its midst", model, node)

    return refused


def _leaky(word: str) -> Callable[[Context], Iterable[Feature]]:
    return lambda ctx: leaky(word, ctx.rng)


def _integrators(ctx: Context) -> Iterable[Feature]:
    return integrating(ctx.witness)


def _thresholds(ctx: Context) -> Iterable[Feature]:
    return thresholding(ctx.witness, ctx.spec.clock.kind == "clocked")


@check("NEUR-001", level="silver", requires={"neuron.if"}, twin=_twin("neuron.if", lambda ctx: unleaking(ctx.rng)))
def check_if(ctx: Context) -> None:
    """Given IF neurons, when events come after long pauses, then what earlier ones left is still there."""
    shown(ctx, "neuron.if", unleaking(ctx.rng))


def _leaks(ctx: Context, word: str) -> None:
    """Near pairs fire and far ones do not; and random events are answered as with this leak, not as without."""
    shown(ctx, word, leaky(word, ctx.rng))
    for feature, mapping in taken(ctx, word, leaky(word, ctx.rng)):
        case = feature.cases[0]
        spikes = ctx.run(ctx.loaded(mapping), case.stimulus, case.steps * STEP_NS).spikes
        for name, train in spikes.items():
            _pairs(feature, mapping, name, train)


def _pairs(feature: Feature, mapping: Mapping, name: str, spikes: Records) -> None:
    steps = (spikes["t"] - mapping.latency_ns.get(name, 0)) // STEP_NS
    for step in NEAR:
        fired = np.count_nonzero((steps >= step) & (steps < step + PAUSE_STEPS))
        demand(fired, f"{feature.form}: weak events at steps {step} and {step + 1} do not add up in {name!r}")
    for step in FAR:
        fired = np.count_nonzero((steps >= step) & (steps < step + PAUSE_STEPS))
        demand(not fired, f"{feature.form}: one weak event at step {step}, long after others, gives {fired} spikes")


@check(
    "NEUR-002",
    level="silver",
    requires={"neuron.lif"},
    twin=_twin("neuron.lif", _leaky("neuron.lif")),
)
def check_lif(ctx: Context) -> None:
    """Given LIF neurons, when weak events come near and far apart, then near ones add up and far ones leak away."""
    _leaks(ctx, "neuron.lif")


@check(
    "NEUR-003",
    level="silver",
    requires={"neuron.cuba"},
    twin=_twin("neuron.cuba", _leaky("neuron.cuba")),
)
def check_cuba(ctx: Context) -> None:
    """Given CubaLIF neurons, when weak events come near and far apart, then current and membrane both decay."""
    _leaks(ctx, "neuron.cuba")


@check("NEUR-004", level="silver", requires={"neuron.integrator"}, twin=_twin("neuron.integrator", _integrators))
def check_integrator(ctx: Context) -> None:
    """Given an integrator before neurons, when events come, then these fire by what it holds, step for step."""
    shown(ctx, "neuron.integrator", _integrators(ctx))


@check("NEUR-005", level="silver", requires={"neuron.threshold"}, twin=_twin("neuron.threshold", _thresholds))
def check_threshold(ctx: Context) -> None:
    """Given Threshold units, when inputs are above, below or at the threshold, then each step is judged by itself."""
    shown(ctx, "neuron.threshold", _thresholds(ctx))
