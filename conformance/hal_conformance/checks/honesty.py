"""Honesty: what a device does not do as asked is said before it runs, and what it counts is what happened."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

import attrs
import numpy as np

from hal.errors import CapabilityError, DoesNotFitError
from hal.events import Records
from hal.fit import Finding
from hal.mapping import Mapping
from hal.model import Model
from hal_conformance.context import STEP_NS, STEPS, Context
from hal_conformance.failure import ConformanceFailure, demand, fail
from hal_conformance.networks.variants import Variant, numbers, rules
from hal_conformance.networks.witness import Witness, candidates
from hal_conformance.raising import raises
from hal_conformance.rulebook import check

LONG: Final = 256
"""Steps of a run that shows small differences."""


# --- the two sides ----------------------------------------------------------------------------------------------------


@attrs.define
class Bench:
    """The reference, and one stimulus for all variants."""

    ctx: Context
    stimulus: Records

    @classmethod
    def of(cls, ctx: Context) -> Bench:
        """A bench with random events from the check's own stream."""
        return cls(ctx, ctx.stimulus(LONG))

    def wanted(self, model: Model, variant: Variant) -> Records | None:
        """What `ideal` answers; None where it cannot do that either."""
        try:
            recording = self.ctx.on_ideal(model, *self._fed(variant))
        except DoesNotFitError:
            return None
        return recording.spikes[self.ctx.witness.output]

    def answer(self, mapping: Mapping, variant: Variant) -> Records:
        """What the device answers, its latency taken off."""
        device = self.ctx.loaded(mapping)
        try:
            recording = self.ctx.run(device, *self._fed(variant))
        finally:
            device.close()
        spikes = recording.spikes[self.ctx.witness.output].copy()
        spikes["t"] -= mapping.latency_ns.get(self.ctx.witness.output, 0)
        return spikes

    def _fed(self, variant: Variant) -> tuple[dict[str, Records], int]:
        """Stimulus and duration of a run."""
        stimulus = self.stimulus
        if variant.channels is not None:
            stimulus = stimulus.copy()
            stimulus["index"][:1], stimulus["index"][1:] = variant.channels
        return {self.ctx.witness.input: stimulus}, LONG * STEP_NS

    def shows(self, variant: Variant) -> tuple[Records, Records] | None:
        """What the reference answers to both models of a variant; None where these are equal and prove nothing."""
        plain, varied = self.wanted(variant.plain, variant), self.wanted(variant.varied, variant)
        if plain is None or varied is None or np.array_equal(plain, varied):
            return None
        return plain, varied


Judge = Callable[[Context, Bench, Variant], str]


def said(ctx: Context, variant: Variant, findings: tuple[Finding, ...]) -> bool:
    """Whether a finding is about a node of the network, names what was varied, and is not there without that."""
    before = {(f.node, f.field, f.reason) for f in ctx.mapper().check(variant.plain).findings}
    told = [f for f in findings if f.node in variant.varied.nodes and (f.node, f.field, f.reason) not in before]
    return any(re.search(rf"\b{re.escape(name)}\b", f.field) for f in told for name in variant.names)


def _mapped(ctx: Context, variant: Variant) -> Mapping | None:
    """The mapping of what is varied, None where it is refused; a failure when the refusal does not say why."""
    report = ctx.mapper().check(variant.varied)
    if report.fits:
        try:
            return ctx.mapper().map(variant.varied)
        except CapabilityError:
            return None
    raises(DoesNotFitError, f"mapping {variant.label}", lambda: ctx.mapper().map(variant.varied))
    told = said(ctx, variant, report.refused) or any(not row.ok for row in report.rows)
    if not told and ctx.mapper().check(variant.plain).fits:
        fail(f"{variant.label}: refused, and no reason names a node and {_words(variant)}: {report}")
    return None


def _words(variant: Variant) -> str:
    return " or ".join(repr(name) for name in sorted(variant.names))


def _walk(ctx: Context, variants: Iterator[Variant], judge: Judge) -> None:
    """Judge every variant, measure what became of them, and fail with all faults at once."""
    bench = Bench.of(ctx)
    tried = {"left_out": 0, "listed": 0, "kept": 0}
    faults = []
    for variant in variants:
        try:
            tried[judge(ctx, bench, variant)] += 1
        except ConformanceFailure as fault:
            faults.append(str(fault))
    for word, count in tried.items():
        ctx.measure(word, count)
    demand(not faults, "; ".join(faults))
    demand(tried["listed"] + tried["kept"], "no variant made a difference: nothing was compared")


# --- semantics --------------------------------------------------------------------------------------------------------


@check("MAP-012", level="silver")
def check_semantics(ctx: Context) -> None:
    """Given each word of the semantics in turn, when mapped, then it is refused or changed by name, or done exactly.

    A word is tried where the reference answers it otherwise than the unmodified witness. Where neurons leak and the
    device is not exact, its answer must be nearer to the one that was asked for than to the unmodified one.
    """
    _walk(ctx, rules(ctx.witness, ctx.capabilities, ctx.spec.clock.kind == "clocked"), _honoured)


def _honoured(ctx: Context, bench: Bench, variant: Variant) -> str:
    """What became of a variant; a failure when it was neither listed nor done."""
    shown = bench.shows(variant)
    if shown is None:
        return "left_out"
    plain, wanted = shown
    mapping = _mapped(ctx, variant)
    if mapping is None or said(ctx, variant, mapping.fit.changed):
        return "listed"
    given = bench.answer(mapping, variant)
    share = ctx.share(given, wanted)
    far = ctx.share(given, plain)
    near = share == 1.0 if variant.exact else share > far or share == 1.0
    demand(
        near,
        f"{variant.label}: no finding names a node and {_words(variant)}, and the answer agrees with ideal's in "
        f"{share:.1%} of the spikes; with the answer to the unmodified model in {far:.1%}",
    )
    return "kept"


# --- numbers ----------------------------------------------------------------------------------------------------------


@check("MAP-013", level="silver")
def check_numbers(ctx: Context) -> None:
    """Given numbers that few chips hold, when mapped, then they are refused, changed, lost or realised as reported.

    What is reported is believed and tried: without a finding about it, the run must be that of `ideal` on the numbers
    in `Mapping.realised`; where neurons fade, it must be nearer to that than to the unmodified one. A
    weight of which nothing is left, or less than half, is a row of `Mapping.losses`.
    """
    _walk(ctx, numbers(ctx.witness), _kept)


def _kept(ctx: Context, bench: Bench, variant: Variant) -> str:
    """What became of a variant; a failure when a number went another way than reported."""
    shown = bench.shows(variant)
    if shown is None:
        return "left_out"
    mapping = _mapped(ctx, variant)
    if mapping is None:
        return "listed"
    _rows(variant, mapping)
    if said(ctx, variant, mapping.fit.changed):
        return "listed"
    realised = mapping.realised_model()
    wanted = None if realised is None else bench.wanted(realised, variant)
    if wanted is None:
        fail(f"{variant.label}: the reference cannot run what the mapping says it realises")
    given = bench.answer(mapping, variant)
    share = ctx.share(given, wanted)
    # a bias acts from step 0, and latency holds back the events it meets: another order of the first few steps
    shifted = "bias" in variant.names and any(mapping.latency_ns.values())
    demand(
        share == 1.0 or ((shifted or not variant.exact) and share > ctx.share(given, shown[0])),
        f"{variant.label}: no finding names a node and {_words(variant)}, and the answer agrees in {share:.1%} of the "
        "spikes with ideal's on the numbers in mapping.realised",
    )
    return "kept"


def _rows(variant: Variant, mapping: Mapping) -> None:
    """Weights that are gone have their row, and rows tell what the model had."""
    rows = {(node, name, index): wanted for node, name, index, wanted, _, _ in mapping.losses}
    for (node, name), values in mapping.realised.items():
        if name != "weight" or node not in variant.varied.nodes:
            continue
        wanted = np.ravel(getattr(variant.varied.nodes[node], name)).astype(float)
        given = np.ravel(values).astype(float)
        demand(given.size == wanted.size, f"{variant.label}: realised {node}.{name} has {given.size} values")
        for index in np.flatnonzero(given * np.sign(wanted) < np.abs(wanted) / 2):
            told = rows.get((node, name, int(index)))
            demand(
                told is not None,
                f"{variant.label}: of {node}.{name}[{index}] = {wanted[index]:g} there is {given[index]:g} left, and "
                "no row of the losses",
            )
    for (node, name, index), told in rows.items():
        have = getattr(variant.varied.nodes.get(node), name, None)
        if have is None:
            continue
        where = f"{node}.{name}[{index}]"
        demand(index < np.size(have), f"{variant.label}: losses tell of {where}, which is not there")
        value = float(np.ravel(have)[index])
        demand(np.isclose(told, value), f"{variant.label}: losses want {told:g} of {where}, it is {value:g}")


# --- counters ---------------------------------------------------------------------------------------------------------


@check("RUN-015", level="silver")
def check_counters(ctx: Context) -> None:
    """Given runs with and without events, when their counters are read, then they tell what went in and came out.

    A device may count at its edge or at every core; so one layer of neurons, where both are the same, is counted
    exactly, and of two layers what passes between them may be counted, too. Of synops only this is common to all: none
    without events, some where events meet weights.
    """
    witness = ctx.witness
    _counted(ctx, witness)
    shallow = _shallow(ctx)
    ctx.measure("one_layer", shallow is not None)
    if shallow is not None:
        _counted(ctx, shallow)


def _shallow(ctx: Context) -> Witness | None:
    """A witness of one layer, where the device maps one."""
    for candidate in candidates(ctx.capabilities):
        if len(candidate.populations) == 1 and ctx.mapper().check(candidate.model).fits:
            return candidate
    return None


def _counted(ctx: Context, witness: Witness) -> None:
    inner = witness.populations[:-1]
    device = ctx.loaded(ctx.mapping(witness, record=inner))
    first, second = ctx.stimulus(), ctx.stimulus()
    layers = f"{len(witness.populations)} layers"
    for run, stimulus in (("a run", first), ("silence", first[:0]), ("a later run", second)):
        what = f"{run}, {layers}"
        recording = ctx.run(device, {witness.input: stimulus}, STEPS * STEP_NS)
        count = {name: int(recording.stats[name].sum()) for name in ("events_in", "events_out", "synops")}
        between = sum(recording.spikes[name].size for name in inner)
        for name, least, of in (
            ("events_in", stimulus.size, f"{stimulus.size} events went in"),
            ("events_out", recording.spikes[witness.output].size, "so many left by the Output"),
        ):
            demand(
                least <= count[name] <= least + between,
                f"{what}: {name} is {count[name]}, should be {least} ({of})"
                + (f" to {least + between} (with {between} from layer to layer)" if between else ""),
            )
        told = f"{what}: synops is {count['synops']}"
        if stimulus.size:
            demand(count["synops"] > 0, f"{told}, and events met weights")
        else:
            demand(count["synops"] == 0, f"{told}, and there were no events")
