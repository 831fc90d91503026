"""Observables: each one that is declared can be recorded, and each of its limits is kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any, Final, Literal, get_args, get_origin

import attrs
import numpy as np

from hal.errors import ConfigError, DoesNotFitError, HalError
from hal.events import Probe, events
from hal.fit import Observable
from hal.mapping import Mapping
from hal.model import Model
from hal_conformance.checks.record import no_states
from hal_conformance.context import STEP_NS, STEPS, Context
from hal_conformance.failure import ConformanceFailure, demand, fail
from hal_conformance.networks.draft import both_forms
from hal_conformance.networks.witness import Witness, candidates
from hal_conformance.raising import naming, raises
from hal_conformance.rulebook import check

DURATION: Final = STEPS * STEP_NS
WIDEST: Final = 4096
"""Neurons of the largest network made for a limit."""
DEEPEST: Final = 8


def _options(ctx: Context) -> Iterator[dict[str, Any]]:
    """None, and each word of each map option that has words: some observables are there when asked for only."""
    yield {}
    kind = ctx.spec.map_options
    attrs.resolve_types(kind)
    for field in attrs.fields(kind):
        if get_origin(field.type) is Literal:
            yield from ({field.name: word} for word in get_args(field.type) if word != field.default)


def _networks(ctx: Context) -> Iterator[Witness]:
    """The witness, then one of each other kind of neuron that the device maps."""
    yield ctx.witness
    kinds = {_kind(ctx.witness)}
    for candidate in candidates(ctx.capabilities):
        if _kind(candidate) not in kinds and ctx.mapper().check(candidate.model).fits:
            kinds.add(_kind(candidate))
            yield candidate


def _kind(witness: Witness) -> str:
    return witness.model.nodes[witness.populations[0]].type


@check("REC-005", level="silver", requires={"record.state"}, twin=no_states)
def check_observables(ctx: Context) -> None:
    """Given each observable of the spec, when a node is probed that has it, then it is recorded in its shape."""
    for observable in ctx.spec.observables:
        witness, probe, mapping = _recordable(ctx, observable)
        stimulus: dict[str, Any] = {witness.input: witness.stimulus(ctx.rng, STEPS)}
        # what is sampled by a clock of its own needs ticks; a port of one channel is one
        ticks = events(np.arange(STEPS) * STEP_NS, np.zeros(STEPS, np.int64))
        stimulus |= {port.name: ticks for port in ctx.spec.ports if port.size == 1 and port.kind == "events"}
        recording = ctx.run(ctx.loaded(mapping), stimulus, DURATION)
        what = f"{observable.variable} of {probe.node!r}"
        if observable.variable == "spikes":
            demand(probe.node in recording.spikes, f"{what} was taken; recorded are {sorted(recording.spikes)}")
            continue
        demand((probe.node, probe.variable) in recording.traces, f"{what} was taken; traces: {list(recording.traces)}")
        trace = recording.traces[probe.node, probe.variable]
        size = witness.model.nodes[probe.node].size if probe.indices is None else len(probe.indices)
        columns = 1 if observable.per != "neuron" else size
        rows = len(trace.t)
        demand(rows, f"{what}: no sample in {STEPS} steps")
        shape = trace.values.shape
        demand(shape == (rows, columns), f"{what}, per {observable.per}: values of shape {shape}, not (T, {columns})")
        inside = trace.t.min() >= 0 and trace.t.max() < DURATION
        inside &= np.diff(trace.t).min(initial=1) >= (observable.per != "spike")
        demand(inside, f"{what}: times {trace.t[:3].tolist()}... are not rising within the run")
        if observable.per == "spike":
            fired = recording.spikes[probe.node]["t"]
            demand(np.array_equal(trace.t, fired), f"{what}: {rows} rows, and {fired.size} spikes at other times")
        demand(np.isfinite(trace.values).all(), f"{what}: not all values are finite")
    ctx.measure("observables", ", ".join(o.variable for o in ctx.spec.observables))


def _recordable(ctx: Context, observable: Observable) -> tuple[Witness, Probe, Mapping]:
    """A network with such a probe mapped; a failure, with the first refusal, where none is."""
    refusal = "no population of the suite's networks is of its types"
    for witness, options in product(list(_networks(ctx)), list(_options(ctx))):
        for name in reversed(witness.populations):
            if observable.types and witness.model.nodes[name].type not in observable.types:
                continue
            size = witness.model.nodes[name].size
            most = size if observable.per != "neuron" else min(size, observable.at_once or size)
            probe = Probe(name, observable.variable, indices=None if most == size else range(most))
            try:
                wanted = [probe, name] if observable.per == "spike" else [probe]
                return witness, probe, ctx.mapper().map(witness.model, options, record=wanted)
            except HalError as error:
                refusal = f"the first: {error}" if refusal.startswith("no population") else refusal
    told = f"the observable {observable.variable!r} is declared, and every probe on it is refused"
    raise ConformanceFailure(f"{told}; {refusal}")


# --- limits -----------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True, eq=False)
class Request:
    """Probes on a model; refused says which words the error names, none where it is within all limits."""

    what: str
    model: Model
    probes: tuple[Probe, ...]
    refused: tuple[str, ...] = ()


@check("REC-006", level="silver")
def check_limits(ctx: Context) -> None:
    """Given each limit of an observable, when probes exceed it, then they are refused by name, and at it not."""
    tried = 0
    for observable in ctx.spec.observables:
        if observable.variable != "spikes" and "record.state" not in ctx.capabilities:
            continue
        for request in _requests(ctx, observable):
            tried += 1
            _judge(ctx, f"{observable.variable}: {request.what}", request)
    ctx.measure("limits", tried)


def _judge(ctx: Context, what: str, request: Request) -> None:
    if request.refused:
        error = raises(ConfigError, what, lambda: ctx.mapper().map(request.model, record=request.probes))
        naming(error, *request.refused)
        return
    try:
        ctx.mapper().map(request.model, record=request.probes)
    except ConfigError as error:
        fail(f"{what} is within the limit, and refused: {error}")
    except DoesNotFitError:
        return


def _requests(ctx: Context, observable: Observable) -> Iterator[Request]:
    having = [w for w in _networks(ctx) if not observable.types or _kind(w) in observable.types]
    lacking = [w for w in _networks(ctx) if observable.types and _kind(w) not in observable.types]
    for witness in lacking[:1]:
        yield _one(witness, f"a probe on {_kind(witness)} neurons, which lack it", observable)
    for witness in having[:1]:
        yield from _apart(ctx, witness, observable)
        yield from _at_once(ctx, witness, observable)


def _one(witness: Witness, what: str, observable: Observable, every_ns: int | None = None) -> Request:
    name = witness.populations[-1]
    most = None if observable.per != "neuron" or observable.at_once is None else range(observable.at_once)
    probe = Probe(name, observable.variable, indices=most, every_ns=every_ns)
    return Request(what=what, model=witness.model, probes=(probe,), refused=(repr(name),))


def _apart(ctx: Context, witness: Witness, observable: Observable) -> Iterator[Request]:
    """Periods it does not have, and others it cannot be recorded with."""
    period = observable.period_ns
    if period is None:
        yield _one(witness, "sampled over time, which it cannot be", observable, 4 * STEP_NS)
    else:
        odd = (period or STEP_NS) + 1
        if ctx.spec.clock.kind == "continuous":
            odd = math.ceil(period * ctx.mapping().speedup) - 1
        yield _one(witness, f"sampled every {odd} ns, its period being {period or STEP_NS} ns", observable, odd)
    name = witness.populations[-1]
    for other in observable.excludes:
        yield Request(
            what=f"together with {other}, which it excludes",
            model=witness.model,
            probes=(Probe(name, observable.variable), Probe(name, other)),
            refused=(observable.variable, other),
        )


# --- how many at once -------------------------------------------------------------------------------------------------


def _at_once(ctx: Context, witness: Witness, observable: Observable) -> Iterator[Request]:
    most = observable.at_once
    if most is None or most > (DEEPEST if observable.per != "neuron" else WIDEST):
        return
    if observable.scope != "chip":
        yield from _on_one_core(ctx, witness, observable, most)
        return
    for asked in (most, most + 1):
        model, probes = (
            _deep(witness, observable, asked) if observable.per != "neuron" else _wide(witness, observable, asked)
        )
        refused = (observable.variable,) if asked > most else ()
        what = f"{asked} {observable.per}s at once, of {most} on a chip"
        if probes:
            yield Request(what=what, model=model, probes=probes, refused=refused)


def _wide(witness: Witness, observable: Observable, size: int) -> tuple[Model, tuple[Probe, ...]]:
    """One population of so many neurons, all of them probed."""
    draft = next(both_forms(witness))
    name = draft.neurons("wide", max(1, size))
    draft.weights(draft.input("input", 1), name, [[witness.dialect.strong]] * max(1, size))
    draft.output("output", name)
    return draft.model(), (Probe(name, observable.variable, indices=tuple(range(size))),)


def _deep(witness: Witness, observable: Observable, size: int) -> tuple[Model, tuple[Probe, ...]]:
    """So many populations in a line, each probed."""
    draft = next(both_forms(witness))
    source = draft.input("input", 1)
    names = [draft.neurons(f"layer {k}", 1) for k in range(max(1, size))]
    for name in names:
        draft.weights(source, name, [[witness.dialect.strong]])
        source = name
    draft.output("output", source)
    return draft.model(), tuple(Probe(name, observable.variable) for name in names[:size])


def _on_one_core(ctx: Context, witness: Witness, observable: Observable, most: int) -> Iterator[Request]:
    """A little more than a core may record of those neurons that lie on one; none where no core holds so many."""
    if observable.per != "neuron":
        model, probes = _deep(witness, observable, min(DEEPEST, most + 1))
    else:
        model, probes = _wide(witness, observable, min(WIDEST, 2 * most + 1))
    try:
        mapping = ctx.mapper().map(model)
    except DoesNotFitError:
        return
    rows = np.concatenate([mapping.where(probe.node) for probe in probes])
    cores, counts = np.unique(rows[["chip", "core"]], return_counts=True)
    here = rows[rows[["chip", "core"]] == cores[np.argmax(counts)]]
    for asked in (most, most + 1):
        if len(here) < asked:
            return
        if observable.per != "neuron":
            chosen = tuple(probe for probe in probes if np.isin(mapping.where(probe.node), here).all())[:asked]
        else:
            chosen = (Probe("wide", observable.variable, indices=tuple(here["index"][:asked].tolist())),)
        refused = (observable.variable,) if asked > most else ()
        what = f"{asked} {observable.per}s at once, of {most} on a core"
        yield Request(what=what, model=model, probes=chosen, refused=refused)
