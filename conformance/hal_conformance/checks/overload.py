"""Overload: what is too much is counted, and what is not counted did not happen."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np

from hal.device import Device, Reset
from hal.events import Records, events
from hal.evidence import Overload
from hal.mapping import Mapping
from hal.recording import Recording
from hal_conformance.context import STEP_NS, Context
from hal_conformance.failure import demand
from hal_conformance.networks.grown import layered
from hal_conformance.networks.witness import CHANNELS, TAIL_STEPS, Witness
from hal_conformance.rulebook import check

SIGNS: Final = ("dropped", "late", "clipped_input", "saturated", "overflowed", "stalled_ns")
"""The counters by which a device says that it was too much."""
LEVELS: Final = tuple(4**k for k in range(9))
"""Events at once on each channel, from one to 65,536."""
STEPS: Final = TAIL_STEPS * 4
CROWDS: Final = tuple(4**k for k in range(1, 6))
"""Channels that have an event at one time, on devices without steps."""
LARGEST_EXACT: Final = LEVELS[6]
"""The answer is worked out event by event up to this."""


def flood(level: int) -> Records:
    """So many events on each channel, one channel after another, all at one time."""
    index = np.repeat(np.arange(CHANNELS), level)
    return events(np.full(index.size, STEP_NS), index)


def signs(recording: Recording) -> dict[str, int]:
    """The counters that say that it was too much, those above 0."""
    sums = {name: int(recording.stats[name].sum()) for name in SIGNS if name in recording.stats}
    return {name: count for name, count in sums.items() if count}


def _excited(ctx: Context) -> Witness:
    """The witness with weights that only excite."""
    return ctx.witness.reweighted()


def _flooded(ctx: Context, device: Device, witness: Witness, level: int) -> Recording:
    return ctx.run(device, {witness.input: _given(witness, level)}, STEPS * STEP_NS)


def _given(witness: Witness, level: int) -> Records:
    """The flood. Single events come one after another where neurons fade: these know no sum but of a moment."""
    if level > 1 or witness.exact:
        return flood(level)
    return events(witness.apart * STEP_NS * np.arange(CHANNELS), np.arange(CHANNELS))


def _unlimited(ctx: Context) -> None:
    """Without `overload.report` there is no overload: no counter ever rises, and no run is untrusted."""
    if isinstance(ctx.subject.witness, str):
        return
    witness = _excited(ctx)
    device = ctx.loaded(ctx.mapping(witness))
    for level in LEVELS:
        device.load(device.mapping)
        recording = _flooded(ctx, device, witness, level)
        found = signs(recording)
        demand(
            not found and recording.status == "ok",
            f"{level} events at once on each channel: {found}, status {recording.status!r}; overload.report is not "
            "declared",
        )


@check("OVR-001", level="gold", requires={"overload.report"}, twin=_unlimited, binding="gold")
def check_overload(ctx: Context) -> None:
    """Given ever more events at once, when they are too much for the device, then its counters say so and when."""
    witness = _excited(ctx)
    mapping = ctx.mapping(witness)
    device = ctx.loaded(mapping)
    calm = _flooded(ctx, device, witness, LEVELS[0])
    demand(not signs(calm) and calm.status == "ok", f"one event on each channel: {signs(calm)}, status {calm.status!r}")
    demand(not calm.intervals.size, f"one event on each channel: {calm.intervals.size} intervals of overload")
    brought = ctx.subject.evidence.overload
    if brought is None:
        for level in LEVELS[1:]:
            device.load(mapping)
            loud = _flooded(ctx, device, witness, level)
            if signs(loud):
                ctx.measure("events_at_once", CHANNELS * level)
                break
        what = f"{CHANNELS * level} events at one time"
    else:
        loud, what = _brought(ctx, brought), "the plugin's own overload"
    found = signs(loud)
    demand(found, f"{what}: none of {', '.join(SIGNS)} is above 0")
    ctx.measure("signs", ", ".join(found))
    for name in found:
        demand((loud.stats[name] >= 0).all(), f"{what}: {name} is {loud.stats[name]}")
    _when(what, loud, found)
    device.load(mapping)
    loud = _flooded(ctx, device, witness, LEVELS[-1])
    what = f"{CHANNELS * LEVELS[-1]} events at one time"
    _when(what, loud, signs(loud))
    if "stalled_ns" in signs(loud):
        demand(loud.status == "untrusted", f"{what}: it stalled, and the status is {loud.status!r}")
    for _ in range(2):
        # a flood may happen to leave neurons at rest; after one event more they are not
        if "reset.state" in ctx.capabilities:
            device.reset(Reset.STATE)
        else:
            device.load(mapping)
        again = _flooded(ctx, device, witness, LEVELS[0])
        ctx.equal("one event on each channel, before and after a flood and a reset", calm, again)


def _when(what: str, loud: Recording, found: dict[str, int]) -> None:
    """Where there are intervals, they lie within the run; a stall has some."""
    for row in loud.intervals:
        demand(
            0 <= row["t0"] <= row["t1"] <= loud.duration_ns, f"{what}: an interval from {row['t0']} to {row['t1']} ns"
        )
    if "stalled_ns" in found:
        demand(loud.intervals.size, f"{what}: it stalled for {found['stalled_ns']} ns, and no interval says when")


def _brought(ctx: Context, overload: Overload) -> Recording:
    mapping: Mapping = ctx.mapper().map(overload.model, dict(overload.options))
    return ctx.run(ctx.loaded(mapping), overload.stimulus, overload.duration_ns)


@check("OVR-002", level="gold")
def check_told(ctx: Context) -> None:
    """Given ever more events at once, when spikes are missing or too many, then a counter or the status tells of it.

    Events of one step may be summed, or taken one by one: both answers are right, if complete. A crowd that excites
    shows where every event is worth a spike, one that inhibits by how long the neuron is silent afterwards. A device
    without steps makes neither of them of a crowd on one channel: there each channel fires a neuron of its own.
    """
    if ctx.spec.clock.kind == "continuous":
        _everyone(ctx)
        return
    told = 0
    levels = [level for level in LEVELS if level <= LARGEST_EXACT]
    excited = _excited(ctx)
    crowds = [(excited, partial(_given, excited))]
    if ctx.witness.exact:
        crowds.append((ctx.witness, partial(_inhibiting, ctx.witness)))
    for witness, crowd in crowds:
        mapping = ctx.mapping(witness)
        device = ctx.loaded(mapping)
        for level in levels:
            device.load(mapping)
            told += _incomplete(ctx, device, witness, level, crowd(level))
    ctx.measure("levels_told", told)


def _everyone(ctx: Context) -> None:
    """One event on each of so many channels, all at one time: every neuron answers once, or a counter tells."""
    told = 0
    for size in CROWDS:
        witness = layered(ctx.witness, [ctx.witness.dialect.strong * np.eye(size)])
        if not ctx.mapper().check(witness.model).fits:
            break
        stimulus = events(np.full(size, STEP_NS), np.arange(size))
        recording = ctx.run(ctx.loaded(ctx.mapping(witness)), {witness.input: stimulus}, STEPS * STEP_NS)
        counts = np.bincount(recording.spikes[witness.output]["index"], minlength=size)
        silent, eager = int((counts == 0).sum()), int((counts > 1).sum())
        if signs(recording) or recording.status != "ok" or int(recording.stats["pending"].sum()):
            told += 1
        else:
            demand(
                not silent and not eager,
                f"{size} events at once, each on a channel and for a neuron of its own: {silent} neurons are silent, "
                f"{eager} answer more than once, and no counter says why",
            )
        ctx.measure("events_at_once", size)
    ctx.measure("levels_told", told)


def _inhibiting(witness: Witness, level: int) -> Records:
    """So many events at once that inhibit a neuron, and then one in each step that excites it."""
    first = witness.weights[0]
    row, column = (int(k) for k in np.argwhere(first < 0)[0])
    steps = np.concatenate([np.ones(level, np.int64), 2 + np.arange(level + CHANNELS)])
    index = np.where(steps == 1, column, int(np.argmax(first[row])))
    return events(steps * STEP_NS, index)


def _incomplete(ctx: Context, device: Device, witness: Witness, level: int, stimulus: Records) -> bool:
    """Whether a recording tells that it is not complete; a failure when it is neither complete nor tells."""
    steps = max(STEPS, int(stimulus["t"][-1]) // STEP_NS + TAIL_STEPS)
    recording = ctx.run(device, {witness.input: stimulus}, steps * STEP_NS)
    if signs(recording) or recording.status != "ok" or int(recording.stats["pending"].sum()):
        return True
    counts = np.bincount(recording.spikes[witness.output]["index"], minlength=witness.size)
    answers = list(_answers(witness, stimulus, steps))
    allowed = 0.2 if ctx.spec.clock.kind == "continuous" else 0.0
    right = any((np.abs(counts - answer) <= allowed * answer).all() for answer in answers)
    most = np.unique(stimulus["t"], return_counts=True)[1].max()
    demand(
        right,
        f"{most} events at once, {level} on a channel: spikes per neuron are {counts.tolist()}, complete would be "
        f"{' or '.join(str(answer.tolist()) for answer in answers)}, and no counter says why",
    )
    return False


def _answers(witness: Witness, summed: Records, steps: int) -> Iterator[np.ndarray]:
    """Spikes per neuron when events are summed over the step, and when each is taken by itself."""
    single = summed.copy()
    single["t"] = np.arange(single.size) * STEP_NS
    for stimulus, length in ((summed, steps), (single, single.size)):
        answer = witness.answer(stimulus, length)[witness.output]
        yield np.bincount(answer["index"], minlength=witness.size)


@check("OVR-003", level="gold")
def check_rates(ctx: Context) -> None:
    """Given limits at run time, when rates are given to check, then low ones fit, and high ones are over by name.

    They do not stop `map`: a chip is loaded before anybody knows how busy it will be. Limits that no rate of the
    witness's Input meets are met by the rates of the plugin's own overload.
    """
    limits = {resource.name: resource.limit for resource in ctx.spec.resources if resource.when == "run"}
    ctx.measure("resources", ", ".join(sorted(limits)) or "none declared")
    if not limits:
        return
    witness = ctx.witness
    met: set[str] = set()
    for rate in 10.0 ** np.arange(0, 13):
        report = ctx.mapper().check(witness.model, rates_hz={witness.input: rate})
        over = {row.resource for row in report.rows if not row.ok}
        rows = [row for row in report.rows if row.when == "run"]
        demand(rows, f"{rate:g} events/s were given, and no row is about {', '.join(sorted(limits))}")
        for row in rows:
            demand(row.resource in limits, f"a row is about {row.resource!r}, which the spec does not declare")
            demand(row.limit in limits[row.resource], f"{row.resource}: limit {row.limit:g} is not the declared one")
        demand(over or report.fits, f"{rate:g} events/s: nothing is over its limit, and it does not fit: {report}")
        demand(report.maps, f"{rate:g} events/s: a limit at run time stops the mapping: {report}")
        demand(rate > 1 or not over, f"one event per second is too much for {', '.join(sorted(over))}")
        demand(met <= over, f"{rate:g} events/s: fewer limits are met than at a tenth of that")
        met = over
    missing = sorted(limits.keys() - met - _foreseen(ctx))
    demand(not missing, f"10^12 events/s are within the limits of {', '.join(missing)}")


def _foreseen(ctx: Context) -> set[str]:
    """The limits at run time that check sees exceeded by the rates of the plugin's own overload, once measured."""
    brought = ctx.subject.evidence.overload
    if brought is None:
        return set()
    model = brought.model
    names = [node.name for node in model.populations() if node.name not in model.inputs]
    mapping: Mapping = ctx.mapper().map(model, dict(brought.options), record=names)
    rates = ctx.run(ctx.loaded(mapping), brought.stimulus, brought.duration_ns).rates_hz()
    report = ctx.mapper().check(model, dict(brought.options), rates_hz=rates)
    return {row.resource for row in report.rows if row.when == "run" and not row.ok}
