"""Running: what comes out, when, and that it does so every time."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any, Final

import numpy as np

from hal.capabilities import VOCABULARY
from hal.errors import CapabilityError, DeviceTimeoutError, StateError
from hal.events import EVENT, EventBatch, Records, events
from hal.recorder import MemoryRecorder
from hal.recording import Recording
from hal_conformance.context import STEP_NS, STEPS, Context, between, chunk, silence
from hal_conformance.failure import demand
from hal_conformance.raising import raises
from hal_conformance.rulebook import check
from hal_conformance.witness import CHANNELS, TAIL_STEPS

DURATION: Final = STEPS * STEP_NS
ADVANCE_S: Final = 0.5
"""Wall seconds between two calls of `advance`: the contract says 0.1; five times that, for a busy machine."""
BUSY_S: Final = 0.8
"""Wall seconds a run must last to tell how often it advances; longer ones are tried until it does."""


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
    mapper, ideal = ctx.reference()
    ideal.load(mapper.map(witness.model))
    stimulus = {witness.input: ctx.stimulus(192)}
    here = ctx.run(ctx.loaded(mapping), stimulus, 192 * STEP_NS)
    there = ctx.run(ideal, stimulus, 192 * STEP_NS)
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


def _not_continued(ctx: Context) -> None:
    """Without `run.continue`, a second run is refused or says that it does not continue; it is never silent."""
    device = ctx.loaded()
    stimulus = {ctx.witness.input: events([0], [1])}
    ctx.run(device, stimulus, STEP_NS)
    try:
        second = ctx.run(device, stimulus, STEP_NS)
    except CapabilityError as error:
        demand(error.data.get("capability") == "run.continue", f"refused for {error.data.get('capability')!r}")
        return
    said = any("run.continue" in (finding.field, finding.reason) for finding in second.diagnostics)
    meaning = VOCABULARY["run.continue"].meaning
    demand(
        said or ctx.spec.clock.free_running,
        f"run.continue ({meaning}) is not declared; a second run neither refuses, nor notes it (a finding with field "
        "'run.continue'), nor does the spec say that the clock is free-running",
    )


@check("RUN-008", level="silver", requires={"run.continue"}, twin=_not_continued)
def check_continue(ctx: Context) -> None:
    """Given one stimulus, when it runs in pieces, then the pieces put together are the one run."""
    witness, stimulus = ctx.witness, ctx.stimulus()
    whole = ctx.run(ctx.loaded(), {witness.input: stimulus}, DURATION).spikes[witness.output]
    demand(whole.size, "the whole run gave no spikes, so that nothing was compared")
    cuts = np.sort(ctx.rng.choice(np.arange(1, STEPS), 5, replace=False))
    for where in ([0, STEPS // 2, STEPS], [0, *cuts.tolist(), STEPS], list(range(STEPS + 1))):
        device = ctx.loaded()
        parts = []
        for start, end in pairwise(where):
            piece = {witness.input: between(stimulus, start * STEP_NS, end * STEP_NS)}
            recording = ctx.run(device, piece, (end - start) * STEP_NS)
            demand(recording.t0_ns == start * STEP_NS, f"the piece from step {start} says t0 = {recording.t0_ns} ns")
            parts.append(chunk(recording.spikes[witness.output], recording.t0_ns))
        joined = np.concatenate(parts)
        same = joined.tobytes() == whole.astype(EVENT).tobytes()
        demand(same, f"{len(where) - 1} pieces give {joined.size} spikes, the whole run {whole.size}, and they differ")


@check("RUN-009", level="silver")
def check_deterministic(ctx: Context) -> None:
    """Given mapping, stimulus and seed, when two fresh devices run them, then both give the same bytes, run by run."""
    stimuli = [{ctx.witness.input: ctx.stimulus()} for _ in range(3)]
    one, two = ctx.loaded(seed=7), ctx.loaded(seed=7)
    for k, stimulus in enumerate(stimuli):
        a, b = (ctx.run(device, stimulus, DURATION) for device in (one, two))
        ctx.equal(f"run {k} of two devices", a, b)
    if ctx.deterministic:
        other = ctx.run(ctx.loaded(seed=8), stimuli[0], DURATION)
        ctx.equal(
            "with another seed, on a device without noise", ctx.run(ctx.loaded(seed=7), stimuli[0], DURATION), other
        )


@check("RUN-010", level="silver", requires={"reset.state"}, twin=lambda ctx: _no_batch(ctx))
def check_batch(ctx: Context) -> None:
    """Given several stimuli, when run as a batch by 1 or 2 workers, then it equals the loop of reset and run."""
    witness = ctx.witness
    half = events([0], [1])
    samples = [ctx.stimulus(), silence(), witness.unsettling(), events([0], [0]), half, half, ctx.stimulus()]
    loop = ctx.loaded()
    wanted = []
    for sample in samples:
        loop.reset()
        wanted.append(ctx.run(loop, {witness.input: sample}, DURATION))
    for workers in (1, 2):
        device = ctx.loaded()
        ctx.run(device, {witness.input: events([0], [1])}, STEP_NS)
        device.load(device.mapping)
        batch = device.run_batch({witness.input: EventBatch.of(samples)}, DURATION, workers=workers)
        demand(len(batch) == len(samples), f"a batch of {len(samples)} gives {len(batch)} runs")
        for b, recording in enumerate(wanted):
            ctx.equal(f"sample {b} of a batch with {workers} workers and of the loop", batch[b], recording)
            demand(batch[b].header.run == recording.header.run, f"sample {b} is run {batch[b].header.run}")
        ends = (device.run_number, device.t0_ns, device.state)
        after = (loop.run_number, loop.t0_ns, loop.state)
        demand(ends == after, f"after the batch (run, t0, state) is {ends}, after the loop {after}")
    last = ctx.stimulus()
    if "run.continue" in ctx.capabilities:
        one, two = (ctx.run(d, {witness.input: last}, DURATION) for d in (device, loop))
        ctx.equal("the run after the batch and after the loop", one, two)


def _no_batch(ctx: Context) -> None:
    device = ctx.loaded()
    stimuli = {ctx.witness.input: EventBatch.of([silence()])}
    error = raises(CapabilityError, "run_batch without reset.state", lambda: device.run_batch(stimuli, STEP_NS))
    demand(error.data.get("capability") == "reset.state", f"refused for {error.data.get('capability')!r}")


@check("RUN-011", level="silver")
def check_independent(ctx: Context) -> None:
    """Given two open devices, when their runs take turns, then each gives what it gives alone."""
    witness = ctx.witness
    first, second = ctx.stimulus(), ctx.stimulus()
    wanted = witness.answer(first, STEPS)[witness.output], witness.answer(second, STEPS)[witness.output]
    mapping = ctx.mapping()
    one, two = ctx.loaded(mapping), ctx.loaded(mapping)
    ctx.run(one, {witness.input: events([0], [1])}, STEP_NS)
    recording = ctx.run(two, {witness.input: second}, DURATION)
    ctx.same("the second device", recording.spikes[witness.output], wanted[1], mapping, witness.output)
    one.load(mapping)
    other = ctx.open()
    other.close()
    recording = ctx.run(one, {witness.input: first}, DURATION)
    ctx.same("the first device", recording.spikes[witness.output], wanted[0], mapping, witness.output)


@check("RUN-012", level="silver")
def check_counted(ctx: Context) -> None:
    """Given a loaded device, when it runs several times, then runs are numbered and follow one another in time."""
    device = ctx.loaded()
    start = 0
    for k, steps in enumerate((STEPS, 3, 1, 40)):
        demand(device.run_number == k and device.t0_ns == start, f"before run {k}: {device.run_number}, {device.t0_ns}")
        recording = ctx.run(device, {}, steps * STEP_NS)
        told = (recording.header.run, recording.t0_ns, recording.duration_ns)
        demand(told == (k, start, steps * STEP_NS), f"run {k} is recorded as (run, t0, duration) = {told}")
        start += steps * STEP_NS
    demand(set(recording.stats) == set(ctx.spec.all_counters), f"counters are {sorted(recording.stats)}")
    for name, values in recording.stats.items():
        demand(values.shape == (ctx.spec.cores,), f"counter {name!r} has shape {values.shape}, not ({ctx.spec.cores},)")
        demand((values >= 0).all(), f"counter {name!r} is negative: {values}")


class _Slow(MemoryRecorder):
    """Takes 50 ms at each `advance`, so that any run is long enough for a time-out."""

    def __init__(self) -> None:
        super().__init__()
        self.on_advance.append(lambda _: time.sleep(0.05))


@check("RUN-013", level="silver")
def check_timeout(ctx: Context) -> None:
    """Given a time-out, when a run exceeds it, then DeviceTimeoutError holds what there is and a reset is demanded."""
    witness, device = ctx.witness, ctx.loaded()
    stimulus = {witness.input: ctx.stimulus()}
    start = time.monotonic()
    error = raises(
        DeviceTimeoutError,
        "a run of more than its timeout_s of 0.02 s",
        lambda: device.run(stimulus, DURATION, recorder=_Slow(), timeout_s=0.02),
    )
    ctx.measure("broke_off_after_s", round(time.monotonic() - start, 3))
    demand(time.monotonic() - start < 5, f"it took {time.monotonic() - start:.1f} s to break off")
    partial: Any = error.data.get("recording")
    demand(isinstance(partial, Recording), f"the error carries {type(partial).__name__}, not the recording so far")
    demand(partial.status == "interrupted", f"the recording so far has the status {partial.status!r}")
    wanted = ctx.run(ctx.loaded(), stimulus, DURATION).spikes[witness.output]
    got = partial.spikes[witness.output]
    demand(np.array_equal(got, wanted[: got.size]), "what was recorded before the time-out is not what came first")
    raises(StateError, "a run after a run that was broken off", lambda: device.run({}, 0))
    device.load(device.mapping)
    demand(device.run_number == 0, f"after load, the next run is number {device.run_number}")
    again = ctx.run(device, stimulus, DURATION).spikes[witness.output]
    demand(np.array_equal(again, wanted), "after a time-out and a load, the device answers otherwise")


class _Stamping(MemoryRecorder):
    """Notes when it is advanced, and to where."""

    def __init__(self) -> None:
        super().__init__()
        self.stamps = [time.monotonic()]
        self.reached = [0]
        self.on_advance.append(self._note)

    def _note(self, t_ns: int) -> None:
        self.stamps.append(time.monotonic())
        self.reached.append(t_ns)


@check("RUN-014", level="silver")
def check_advance(ctx: Context) -> None:
    """Given a long run, when it goes on, then it advances in time, at least every tenth of a second or so."""
    witness, device = ctx.witness, ctx.loaded()
    steps, took, gaps, reached = 1 << 12, 0.0, [0.0], [0]
    while took < BUSY_S and ctx.left_s > 20 and steps <= 1 << 22:
        stimulus = witness.stimulus(ctx.rng, steps)
        recorder = _Stamping()
        device.run({witness.input: stimulus}, steps * STEP_NS, recorder=recorder, timeout_s=ctx.left_s)
        took = recorder.stamps[-1] - recorder.stamps[0]
        gaps, reached = np.diff(recorder.stamps).tolist(), recorder.reached
        steps *= 4
    ctx.measure("longest_gap_s", round(max(gaps), 3))
    ctx.measure("run_s", round(took, 3))
    demand((np.diff(reached) >= 0).all(), "advance went back in time")
    demand(max(gaps) <= ADVANCE_S, f"{max(gaps):.2f} s passed without a call of advance in a run of {took:.2f} s")
