"""Agreement: with the reference on random networks, with the plugin's own vectors, and of every route with its net."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import attrs
import numpy as np

from hal.agreement import Agreement, agreement, decided
from hal.errors import DoesNotFitError
from hal.events import Records, events
from hal.evidence import Vector
from hal.recording import Recording
from hal_conformance.context import STEP_NS, Context
from hal_conformance.failure import demand, fail, nothing
from hal_conformance.networks import sampled
from hal_conformance.networks.grown import layered
from hal_conformance.networks.sampled import Sample
from hal_conformance.networks.witness import TAIL_STEPS
from hal_conformance.rulebook import check

FLOORS: Final[Mapping[str, float]] = {"clocked": 0.99, "event": 0.95, "continuous": 0.80}
"""Least share of spikes that agree with `ideal` on the realised numbers, by the kind of the device's clock.

Owned by the suite. Clocked: integers in steps, as the reference, but for what decays drop. Event: several events of a
step come one by one. Continuous: analog. A plugin may only raise its own; to change one here needs a written reason.
"""
WINDOW_NS: Final[Mapping[str, int]] = {"clocked": 0, "event": STEP_NS, "continuous": STEP_NS}
"""How far two spikes may be apart to be one: only devices without steps may take their time."""
EACH: Final = 8
"""Random networks of every kind of neuron."""


@attrs.define
class Tally:
    """Spikes of several runs: how many there are, how many agree, and the largest error of a neuron's count."""

    matched: int = 0
    total: int = 0
    count_error: int = 0

    def add(self, found: Agreement) -> None:
        """One run's."""
        self.matched += 2 * found.matched
        self.total += found.spikes + found.reference
        self.count_error = max(self.count_error, int(np.abs(found.count_error).max(initial=0)))

    @property
    def share(self) -> float:
        """Of all spikes, those that agree."""
        return self.matched / self.total if self.total else 1.0


@check("AGR-001", level="gold", binding="gold", limit_s=180.0)
def check_ideal(ctx: Context) -> None:
    """Given random networks, when they run here and on `ideal` with the realised numbers, then the spikes agree.

    Of each kind of neuron: 0.99 of them for clocked devices, 0.95 for event-driven ones, 0.80 for continuous ones. How
    far they agree with the model as given is noted, and free.
    """
    own = ctx.subject.evidence.agreement
    floor = FLOORS[ctx.spec.clock.kind]
    demand(own is None or own >= floor, f"the plugin's own floor is {own}, below the suite's {floor}")
    floor = own or floor
    realised: dict[str, Tally] = defaultdict(Tally)
    given: dict[str, Tally] = defaultdict(Tally)
    refused: dict[str, str] = {}
    for sample in sampled.samples(ctx.witness, ctx.capabilities, ctx.rng, EACH, ctx.fitting(sampled.SIZES)):
        kind = sample.label.partition(" ")[0]
        try:
            mapping = ctx.mapper().map(sample.model)
        except DoesNotFitError as error:
            refused[sample.label] = str(error)
            continue
        model = mapping.realised_model()
        if model is None:
            fail(f"{sample.label}: the mapping does not carry its model")
        spikes = _spikes(sample, ctx.run(ctx.loaded(mapping), *_fed(sample)))
        for tally, reference in ((realised, decided(model)), (given, sample.model)):
            wanted = _spikes(sample, ctx.on_ideal(reference, *_fed(sample)))
            late = mapping.latency_ns.get(sample.witness.output, 0)
            tally[kind].add(_compared(ctx, sample, spikes, wanted, late))
    demand(not refused, f"{len(refused)} small networks are refused: {next(iter(refused.items()), '')}")
    for kind, found in realised.items():
        ctx.measure(f"{kind} realised", round(found.share, 4))
        ctx.measure(f"{kind} as given", round(given[kind].share, 4))
        ctx.measure(f"{kind} count error", found.count_error)
        demand(found.total >= 100 * EACH, f"{kind}: {found.total} spikes in all, too few to compare")
    low = {kind: f"{found.share:.4f}" for kind, found in realised.items() if found.share < floor}
    demand(not low, f"the share of spikes that agree with ideal's on the realised numbers: {low}, demanded {floor}")


def _fed(sample: Sample) -> tuple[dict[str, Records], int]:
    return {sample.witness.input: sample.stimulus}, sampled.STEPS * STEP_NS


def _spikes(sample: Sample, recording: Recording) -> Records:
    return recording.spikes[sample.witness.output]


def _compared(ctx: Context, sample: Sample, spikes: Records, wanted: Records, latency_ns: int) -> Agreement:
    window = WINDOW_NS[ctx.spec.clock.kind]
    return agreement(spikes, wanted, sample.witness.size, window_ns=window, latency_ns=latency_ns)


# --- routes -----------------------------------------------------------------------------------------------------------

ROUTED: Final = ((32, 64, 48), (16, 48, 8))
"""Channels, hidden neurons, neurons of the Output: of these the first that fit."""


@check("ROUT-010", level="gold", binding="gold")
def check_routes(ctx: Context) -> None:
    """Given random routes over two layers, when each channel fires alone, then just the neurons it leads to answer."""
    weight = ctx.witness.dialect.strong
    channels, hidden, out = ctx.fitting(ROUTED)
    first, second = np.zeros((hidden, channels)), np.zeros((out, hidden))
    for row in first:
        row[ctx.rng.choice(channels, 2, replace=False)] = weight
    second[np.arange(out), ctx.rng.integers(0, hidden, out)] = weight
    witness = layered(ctx.witness, [first, second])
    mapping = ctx.mapping(witness, record=witness.populations[:1])
    steps = witness.apart * channels + TAIL_STEPS
    stimulus = events(witness.apart * STEP_NS * np.arange(channels), ctx.rng.permutation(channels))
    recording = ctx.run(ctx.loaded(mapping), {witness.input: stimulus}, steps * STEP_NS)
    wanted = witness.answer(stimulus, steps)
    for name in (witness.populations[0], witness.output):
        ctx.same("random routes", recording.spikes[name], wanted[name], mapping, name)
    ctx.measure("routes", int(np.count_nonzero(first) + np.count_nonzero(second)))


# --- vectors ----------------------------------------------------------------------------------------------------------


@check("VEC-001", level="gold", binding="gold", limit_s=180.0)
def check_vectors(ctx: Context) -> None:
    """Given the plugin's own vectors, when they run through mapper and device, then every spike is theirs."""
    vectors = ctx.subject.evidence.vectors
    if not vectors:
        nothing("the plugin brings no vectors: Evidence(vectors=...)")
    spikes = 0
    for vector in vectors:
        spikes += _replayed(ctx, vector)
    ctx.measure("vectors", len(vectors))
    ctx.measure("spikes", spikes)
    demand(spikes >= 100, f"the plugin's vectors have {spikes} spikes in all, too few to prove anything")


def _replayed(ctx: Context, vector: Vector) -> int:
    """How many spikes a vector has; a failure when the device gives others."""
    demand(vector.source.strip(), f"vector {vector.name}: nobody says where its spikes come from")
    inner = [name for name in vector.spikes if name not in vector.model.outputs]
    mapping = ctx.mapper().map(vector.model, dict(vector.options), record=inner)
    device = ctx.open(**vector.open_options)
    device.load(mapping)
    recording = ctx.run(device, vector.stimulus, vector.duration_ns)
    for name, wanted in vector.spikes.items():
        size = vector.model.nodes[name].size
        _narrow(vector, name, wanted)
        found = agreement(recording.spikes[name], wanted, size, window_ns=vector.window_ns)
        demand(
            found.share == 1.0,
            f"vector {vector.name}, {name!r}: {found.spikes} spikes, the vector has {found.reference}, {found.matched} "
            f"agree; the first without a partner is {found.first_difference} (t ns, index)",
        )
    return sum(spikes.size for spikes in vector.spikes.values())


def _narrow(vector: Vector, name: str, wanted: Records) -> None:
    """A window that is half the distance of two spikes of a neuron, or more, would take one for the other."""
    order = np.lexsort((wanted["t"], wanted["index"]))
    gaps = np.diff(wanted["t"][order])[np.diff(wanted["index"][order].astype(np.int64)) == 0]
    least = int(gaps[gaps > 0].min(initial=vector.duration_ns))
    demand(
        2 * vector.window_ns < least,
        f"vector {vector.name}, {name!r}: a window of {vector.window_ns} ns, and spikes of one neuron {least} ns apart",
    )
