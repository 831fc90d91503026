"""What lasts: memory on long runs, events under way, state over closing, other lengths of a step, events within one."""

from __future__ import annotations

import tracemalloc
from typing import Final

import attrs
import numpy as np

from hal.device import Device, Reset
from hal.errors import ConfigError, DeviceTimeoutError
from hal.events import Records, Signal, events
from hal.recorder import MemoryRecorder
from hal_conformance.checks.load import closed
from hal_conformance.context import STEP_NS, STEPS, Context, silence
from hal_conformance.failure import demand
from hal_conformance.networks.witness import CHANNELS, TAIL_STEPS
from hal_conformance.raising import raises
from hal_conformance.rulebook import check

SHORT_STEPS: Final = 1 << 12
LONG_STEPS: Final = 1 << 15
GROWTH_BYTES: Final = 1 << 19
"""What a run of 32,768 steps may hold at a time more than one of 4,096 with as many events: 16 bytes a step."""
DTS: Final = (250_000, 20_000_000)
"""Other lengths of a step, ns: a quarter of the witness's, and twenty of it."""


def _peak(ctx: Context, device: Device, steps: int, stimulus: Records) -> int:
    """Bytes that Python's and numpy's allocators hold at most during a run of so many steps."""
    tracemalloc.start()
    try:
        ctx.run(device, {ctx.witness.input: stimulus}, steps * STEP_NS)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@check("RUN-016", level="silver")
def check_memory(ctx: Context) -> None:
    """Given the same events in a run of 4,096 steps and in one of 32,768, when they run, then memory does not grow."""
    device = ctx.loaded()
    few = events(STEP_NS * np.arange(64), np.arange(64) % CHANNELS)
    longest = ctx.spec.clock.max_run_ns
    if longest is not None and longest * ctx.mapping().speedup < LONG_STEPS * STEP_NS:
        ctx.measure("longest_run_ns", longest)
        return
    # once before: what is compiled and cached on the first run is no part of it
    for steps in (SHORT_STEPS, LONG_STEPS):
        ctx.run(device, {ctx.witness.input: few}, steps * STEP_NS)
    short, long = (_peak(ctx, device, steps, few) for steps in (SHORT_STEPS, LONG_STEPS))
    ctx.measure("short_run_bytes", short)
    ctx.measure("long_run_bytes", long)
    demand(
        long - short <= GROWTH_BYTES,
        f"a run of {LONG_STEPS} steps holds {long} bytes, one of {SHORT_STEPS} steps with the same events {short}",
    )


@check("RUN-017", level="silver")
def check_pending(ctx: Context) -> None:
    """Given an event in a run's last step, when its answer comes later, then it is pending, and in the next run."""
    witness, mapping = ctx.witness, ctx.mapping()
    last = events([(STEPS - 1) * STEP_NS], [0])
    device = ctx.loaded(mapping)
    first = ctx.run(device, {witness.input: last}, STEPS * STEP_NS)
    second = ctx.run(device, {}, TAIL_STEPS * STEP_NS)
    wanted = witness.answer(last, STEPS + TAIL_STEPS)[witness.output]
    early, late = first.spikes[witness.output], second.spikes[witness.output].copy()
    pending = int(first.stats["pending"].sum())
    ctx.measure("pending", pending)
    if early.size < wanted.size:
        demand(pending > 0, f"{early.size} of {wanted.size} spikes came within the run, and pending is {pending}")
    demand(not int(second.stats["pending"].sum()), "after a silent run, something is still pending")
    if "run.continue" in ctx.capabilities:
        late["t"] += STEPS * STEP_NS
        both = np.concatenate([early, late])
        ctx.same("an event in the last step, and silence", both, wanted, mapping, witness.output)


@check("RUN-018", level="silver")
def check_other_steps(ctx: Context) -> None:
    """Given the witness with another length of a step, when mapped, then it answers in those steps, or says why not."""
    witness, told = ctx.witness, []
    for dt_ns in DTS:
        model = witness.model.with_semantics(attrs.evolve(witness.model.semantics, dt_ns=dt_ns))
        report = ctx.mapper().check(model)
        if not report.fits:
            reasons = [f for f in report.refused if f.field] + [row for row in report.rows if not row.ok]
            demand(reasons, f"dt of {dt_ns} ns: refused, and nobody says why: {report}")
            told.append(f"{dt_ns} ns refused")
            continue
        mapping = ctx.mapper().map(model)
        if ctx.spec.clock.kind == "clocked":
            # an answer without leaks may be the same in half or twice the steps
            demand(mapping.step_ns == dt_ns, f"dt of {dt_ns} ns: the mapping's steps are of {mapping.step_ns} ns")
        quantum = round(ctx.spec.clock.quantum_in_ns * mapping.speedup)
        if dt_ns % max(1, quantum):
            told.append(f"{dt_ns} ns is off the quantum of {quantum} ns")
            continue
        stimulus = ctx.stimulus()
        scaled = stimulus.copy()
        scaled["t"] = stimulus["t"] // STEP_NS * dt_ns
        recording = ctx.run(ctx.loaded(mapping), {witness.input: scaled}, STEPS * dt_ns)
        spikes = recording.spikes[witness.output].copy()
        late = spikes["t"] - mapping.latency_ns.get(witness.output, 0)
        # steps by their number; a device without any has no number to floor to
        spikes["t"] = late * STEP_NS // dt_ns if ctx.spec.clock.kind == "continuous" else late // dt_ns * STEP_NS
        wanted = witness.answer(stimulus, STEPS)[witness.output]
        share = ctx.share(spikes, wanted)
        demand(share == 1.0, f"dt of {dt_ns} ns: {share:.1%} of the spikes agree with those at {STEP_NS} ns")
        told.append(f"{dt_ns} ns")
    ctx.measure("steps", ", ".join(told))


@check("STIM-005", level="silver")
def check_within_steps(ctx: Context) -> None:
    """Given events off the grid of steps or quanta, when run, then they count for their step and moves are told."""
    witness, mapping = ctx.witness, ctx.mapping()
    stimulus = ctx.stimulus()
    quantum = round(ctx.spec.clock.quantum_in_ns * mapping.speedup)
    ctx.measure("quantum_ns", quantum)
    plain = ctx.run(ctx.loaded(mapping), {witness.input: stimulus}, STEPS * STEP_NS)
    if ctx.spec.clock.kind == "clocked":
        shifted = stimulus.copy()
        shifted["t"] += ctx.rng.integers(0, STEP_NS, stimulus.size)
        found = ctx.run(ctx.loaded(mapping), {witness.input: shifted}, STEPS * STEP_NS)
        one, two = (recording.spikes[witness.output] for recording in (plain, found))
        demand(np.array_equal(one, two), "events later within their step are answered otherwise on a clocked device")
    if quantum > 1:
        shifted = stimulus.copy()
        shifted["t"] += quantum - 1 - (stimulus["t"] % quantum)
        found = ctx.run(ctx.loaded(mapping), {witness.input: shifted}, STEPS * STEP_NS)
        told = [finding for finding in found.diagnostics if finding.field == "quantum_in_ns"]
        demand(told, f"{shifted.size} events off the quantum of {quantum} ns were moved, and no diagnostic says so")


@check("STIM-006", level="silver")
def check_ports(ctx: Context) -> None:
    """Given the chip's own ports, when they are fed or left out, then silence is the default and faults are named."""
    ctx.measure("ports", ", ".join(port.name for port in ctx.spec.ports) or "none")
    fed = {ctx.witness.input: ctx.stimulus()}
    device, mapping = ctx.loaded(), ctx.mapping()
    for port in ctx.spec.ports:
        quiet = silence() if port.kind == "events" else Signal(np.zeros(1, np.int64), np.zeros((1, port.size)))
        one, other = (
            ctx.run(ctx.loaded(mapping), stimulus, STEPS * STEP_NS) for stimulus in (fed, {**fed, port.name: quiet})
        )
        ctx.equal(f"{port.name} left out, and fed with silence", one, other)
        if port.kind == "events":
            size = int(np.prod(port.shape))
            beyond = {port.name: events([0], [size])}
            error = raises(ConfigError, f"{port.name}: index {size}", lambda b=beyond: device.run(b, STEP_NS))  # type: ignore[misc]
            demand(port.name in str(error), f"the error does not name {port.name!r}: {error}")
    unknown = {"@no such port": events([0], [0])}
    error = raises(ConfigError, "an unknown port", lambda: device.run(unknown, STEP_NS))
    demand("@no such port" in str(error), f"the error does not name the port: {error}")


@check("LOAD-006", level="silver")
def check_closing_anywhere(ctx: Context) -> None:
    """Given a device loaded, run, broken off, reset or failed, when it is closed, then it is closed, and stays so."""
    stimulus = {ctx.witness.input: ctx.stimulus()}
    loaded, ran, failed, broken = (ctx.loaded() for _ in range(4))
    ctx.run(ran, stimulus, STEPS * STEP_NS)
    raises(ConfigError, "a negative duration", lambda: failed.run(stimulus, -1))
    slow = MemoryRecorder()
    slow.on_advance.append(_late)
    raises(DeviceTimeoutError, "a run that is broken off", lambda: broken.run(stimulus, STEPS * STEP_NS, recorder=slow))
    states = {"loaded": loaded, "after a run": ran, "after an error": failed, "after a run was broken off": broken}
    for mode in Reset:
        if f"reset.{mode.value}" in ctx.capabilities:
            states[f"after reset to {mode.name}"] = device = ctx.loaded()
            device.reset(mode)
    for told, device in states.items():
        device.close()
        demand(device.state == "closed", f"{told}: a device that was closed is in state {device.state!r}")
        closed(ctx, device)
        device.close()
    recording = ctx.run(ctx.loaded(), stimulus, STEPS * STEP_NS)
    demand(recording.status == "ok", f"after {len(states)} devices were closed, a fresh one runs {recording.status!r}")


def _late(_: int) -> None:
    raise DeviceTimeoutError("broken off by the suite")
