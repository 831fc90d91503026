"""Runs one after another, in batches, side by side, and broken off: each time the same, none lost."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any, Final

import numpy as np

from hal.capabilities import VOCABULARY
from hal.device import Device
from hal.errors import CapabilityError, DeviceTimeoutError, StateError
from hal.events import EVENT, EventBatch, events
from hal.recorder import MemoryRecorder
from hal.recording import Recording
from hal_conformance.context import STEP_NS, STEPS, Context, between, chunk, silence
from hal_conformance.failure import demand
from hal_conformance.raising import raises
from hal_conformance.rulebook import check

DURATION: Final = STEPS * STEP_NS
ADVANCE_S: Final = 0.5
"""Wall seconds between two calls of `advance`: the contract says 0.1; five times that, for a busy machine."""
BUSY_S: Final = 0.8
"""Wall seconds a run must last to tell how often it advances; longer ones are tried until it does."""
LONGEST_STEPS: Final = 1 << 21
"""Where that search ends: a device that does two million events in less has no need to advance."""


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

    @property
    def took_s(self) -> float:
        """Wall seconds of the run."""
        return self.stamps[-1] - self.stamps[0]

    @property
    def gap_s(self) -> float:
        """The longest time between two calls."""
        return float(np.diff(self.stamps).max())

    def _note(self, t_ns: int) -> None:
        self.stamps.append(time.monotonic())
        self.reached.append(t_ns)


def _long_run(ctx: Context, device: Device, steps: int) -> _Stamping:
    recorder = _Stamping()
    stimulus = ctx.witness.stimulus(ctx.rng, steps)
    recorder.stamps[0] = time.monotonic()
    device.run({ctx.witness.input: stimulus}, steps * STEP_NS, recorder=recorder, timeout_s=ctx.left_s)
    return recorder


@check("RUN-014", level="silver")
def check_advance(ctx: Context) -> None:
    """Given a long run, when it goes on, then it advances in time, at least every tenth of a second or so."""
    device = ctx.loaded()
    steps = 1 << 12
    recorder = _long_run(ctx, device, steps)
    while recorder.took_s < BUSY_S and steps < LONGEST_STEPS and ctx.left_s > 20:
        factor = int(np.clip(np.ceil(1.3 * BUSY_S / max(recorder.took_s, 1e-3)), 2, 64))
        steps = min(steps * factor, LONGEST_STEPS)
        recorder = _long_run(ctx, device, steps)
    if recorder.gap_s > ADVANCE_S and ctx.left_s > 20:
        # once more: the machine may have been busy with something else
        recorder = min(recorder, _long_run(ctx, device, steps), key=lambda r: r.gap_s)
    ctx.measure("longest_gap_s", round(recorder.gap_s, 3))
    ctx.measure("run_s", round(recorder.took_s, 3))
    demand((np.diff(recorder.reached) >= 0).all(), "advance went back in time")
    what = f"{recorder.gap_s:.2f} s passed without a call of advance in a run of {recorder.took_s:.2f} s"
    demand(recorder.gap_s <= ADVANCE_S, what)
