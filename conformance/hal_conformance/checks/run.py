"""Running: what comes out, of what, and when."""

from __future__ import annotations

from typing import Final

import numpy as np

from hal.events import EVENT, Records, events
from hal.recording import Recording
from hal_conformance.context import STEP_NS, STEPS, Context, silence
from hal_conformance.failure import demand
from hal_conformance.networks.witness import CHANNELS, TAIL_STEPS
from hal_conformance.rulebook import check

DURATION: Final = STEPS * STEP_NS


def _witness_run(ctx: Context, stimulus: Records, steps: int = STEPS) -> Recording:
    return ctx.run(ctx.loaded(), {ctx.witness.input: stimulus}, steps * STEP_NS)


def _answers(ctx: Context, what: str, stimulus: Records, steps: int = STEPS) -> Recording:
    """Run the stimulus on a fresh device; a failure unless the answer is the witness's own."""
    mapping = ctx.mapping()
    recording = ctx.run(ctx.loaded(mapping), {ctx.witness.input: stimulus}, steps * STEP_NS)
    name = ctx.witness.output
    ctx.same(what, recording.spikes[name], ctx.witness.answer(stimulus, steps)[name], mapping, name)
    return recording


@check("RUN-001", level="silver")
def check_form(ctx: Context) -> None:
    """Given a witness and events, when it runs, then spikes come out by name, in order, within the run, as EVENT."""
    witness = ctx.witness
    recording = _witness_run(ctx, ctx.stimulus())
    demand(list(recording.spikes) == [witness.output], f"spikes are of {list(recording.spikes)}, not of the Output")
    demand(not recording.signals, f"there are signals of {list(recording.signals)}")
    demand(recording.device == ctx.spec.name, f"the recording is of {recording.device!r}")
    demand(recording.duration_ns == DURATION, f"it lasts {recording.duration_ns} ns, asked for were {DURATION}")
    demand(recording.status == "ok", f"its status is {recording.status!r}: {recording.diagnostics}")
    shape = witness.model.nodes[witness.output].output_shape
    demand(tuple(recording.shapes[witness.output]) == shape, f"the Output's shape is {recording.shapes}")
    for name, spikes in recording.spikes.items():
        demand(spikes.dtype == EVENT, f"{name!r} has dtype {spikes.dtype}")
        demand(spikes.size, f"nothing came out of {name!r}")
        t, index = spikes["t"], spikes["index"]
        demand(t.min() >= 0 and t.max() < DURATION, f"{name!r}: times {t.min()}..{t.max()} ns of {DURATION}")
        demand((np.diff(t) >= 0).all(), f"{name!r}: times go back")
        demand(index.max() < witness.size, f"{name!r}: index {index.max()} of {witness.size} neurons")
    if ctx.spec.clock.kind == "clocked":
        off = recording.spikes[witness.output]["t"] % STEP_NS
        demand(not off.any(), f"a clocked device gives spikes off its steps, by {off.max()} ns")
    ctx.measure("spikes", recording.event_count())


@check("RUN-002", level="silver")
def check_answer(ctx: Context) -> None:
    """Given random events, when the witness runs, then its spikes are those that arithmetic gives, one by one."""
    for k in range(4):
        _answers(ctx, f"stimulus {k}", ctx.stimulus())


@check("RUN-003", level="silver")
def check_reference(ctx: Context) -> None:
    """Given random events, when the witness runs here and on `ideal`, then every spike of both agrees."""
    witness, mapping = ctx.witness, ctx.mapping()
    stimulus = {witness.input: ctx.stimulus(192)}
    here = ctx.run(ctx.loaded(mapping), stimulus, 192 * STEP_NS)
    there = ctx.on_ideal(witness.model, stimulus, 192 * STEP_NS)
    demand(there.event_count(), "the reference gave no spikes, so that nothing was compared")
    ctx.same("against ideal", here.spikes[witness.output], there.spikes[witness.output], mapping, witness.output)


@check("RUN-004", level="silver")
def check_silence(ctx: Context) -> None:
    """Given no events, or no key at all, when the witness runs, then nothing comes out and the run is in order."""
    for stimulus in ({ctx.witness.input: silence()}, {}):
        recording = ctx.run(ctx.loaded(), stimulus, DURATION)
        demand(recording.event_count() == 0, f"silence gives {recording.event_count()} spikes")
        demand(list(recording.spikes) == [ctx.witness.output], f"spikes are of {list(recording.spikes)}")
        demand(recording.spikes[ctx.witness.output].dtype == EVENT, "an empty train is not of dtype EVENT")
        demand(recording.status == "ok", f"its status is {recording.status!r}")


@check("RUN-005", level="silver")
def check_zero(ctx: Context) -> None:
    """Given a device amid runs, when it runs for no time, then nothing happens but that the run is counted."""
    stimulus = ctx.stimulus()
    plain, interrupted = ctx.loaded(), ctx.loaded()
    recordings = []
    for device in (plain, interrupted):
        ctx.run(device, {ctx.witness.input: events([0], [1])}, STEP_NS)
        if device is interrupted:
            empty = ctx.run(device, {}, 0)
            demand(empty.event_count() == 0, f"a run of no time gives {empty.event_count()} spikes")
            demand(empty.duration_ns == 0 and empty.status == "ok", f"it is {empty!r}")
            demand(device.t0_ns == STEP_NS, f"the next run starts at {device.t0_ns} ns instead of {STEP_NS}")
            demand(device.run_number == 2, f"the next run is number {device.run_number} instead of 2")
        recordings.append(ctx.run(device, {ctx.witness.input: stimulus}, DURATION))
    if ctx.deterministic and "run.continue" in ctx.capabilities:
        ctx.equal("with and without a run of no time before", *recordings)


@check("RUN-006", level="silver")
def check_one(ctx: Context) -> None:
    """Given one event, on any channel and at the start or later, when it runs, then the witness answers that event."""
    total = 0
    for channel in range(CHANNELS):
        for step in (0, 7):
            stimulus = events([step * STEP_NS], [channel])
            what = f"one event on channel {channel} in step {step}"
            total += _answers(ctx, what, stimulus, step + TAIL_STEPS + 1).event_count()
    demand(total, "single strong events gave no spike on any channel")


@check("RUN-007", level="silver")
def check_simultaneous(ctx: Context) -> None:
    """Given events of equal time, on one channel or on two, when it runs, then each of them counts."""
    for what, index in (
        ("two events on weak channel 1", [1, 1]),
        ("two events on weak channel 2", [2, 2]),
        ("events on channels 1 and 2", [1, 2]),
        ("the same, the other way round", [2, 1]),
    ):
        stimulus = events([3 * STEP_NS] * len(index), index)
        _answers(ctx, f"{what} at one time", stimulus, TAIL_STEPS + 4)
