"""What is fed in: everything wrong with it said at once, nothing half done, nothing altered."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from hal.device import Reset
from hal.errors import CapabilityError, ConfigError, DoesNotFitError, HalError, StateError
from hal.events import EVENT, EventBatch, events
from hal.recording import Recording
from hal_conformance.context import STEP_NS, STEPS, Context
from hal_conformance.failure import demand
from hal_conformance.networks.oversize import undeclared, without_step
from hal_conformance.networks.witness import CHANNELS
from hal_conformance.raising import helpful, naming, raises
from hal_conformance.rulebook import check

DURATION = STEPS * STEP_NS


def _bad(ctx: Context) -> dict[str, tuple[dict[str, Any], tuple[str, ...]]]:
    """Faulty stimuli, and the words their error must have."""
    key = ctx.witness.input
    row = np.zeros((STEPS, CHANNELS))
    nan, negative, fraction = row.copy(), row.copy(), row.copy()
    nan[3, 1], negative[3, 1], fraction[3, 1] = np.nan, -1, 0.5
    late = events([DURATION], [0])
    several = events([5, 2, -3, DURATION + 1], [0, CHANNELS, 0, 0])
    floats = np.array([(np.nan, 0)], np.dtype([("t", "f8"), ("index", "u4")]))
    return {
        "times that go back": ({key: events([5, 3], [0, 0])}, ("row 1", "3")),
        "a negative time": ({key: events([-1], [0])}, ("row 0", "-1")),
        "an index out of range": ({key: events([0], [CHANNELS])}, ("row 0", str(CHANNELS))),
        "an event at the end of the run": ({key: late}, ("row 0", str(DURATION))),
        "a time that is NaN": ({key: floats}, ("row 0",)),
        "a raster with NaN": ({key: nan}, ("row 3", "channel 1")),
        "a raster with a negative count": ({key: negative}, ("row 3", "channel 1", "-1")),
        "a raster with half an event": ({key: fraction}, ("row 3", "channel 1", "0.5")),
        "a raster of other length": ({key: row[:-1]}, (str(STEPS - 1),)),
        "an unknown key": ({key: late[:0], "no such input": late[:0]}, ("no such input",)),
        "something else altogether": ({key: "events"}, (key,)),
        "several faults": (
            {key: several, "no such input": several},
            ("no such input", "row 1", "row 2", "row 3", str(CHANNELS), "-3"),
        ),
    }


@check("STIM-001", level="silver")
def check_bad(ctx: Context) -> None:
    """Given faulty stimuli, when they are run, then one error lists every fault and the device has not moved."""
    witness = ctx.witness
    device, other = ctx.loaded(), ctx.loaded()
    half = {witness.input: events([0], [1])}
    for each in (device, other):
        ctx.run(each, half, STEP_NS)
    for what, (stimulus, words) in _bad(ctx).items():
        error = raises(ConfigError, what, lambda s=stimulus: device.run(s, DURATION))  # type: ignore[misc]
        naming(error, witness.input if len(stimulus) == 1 else "no such input", *words)
        told = (device.run_number, device.t0_ns, device.state)
        demand(told == (1, STEP_NS, "loaded"), f"after {what}, (run, t0, state) is {told}")
    good = ctx.stimulus()
    batch = {witness.input: EventBatch(np.concatenate([good, events([-1], [0])]), [0, good.size, good.size + 1])}
    naming(raises(ConfigError, "a batch with a faulty sample", lambda: device.run_batch(batch, DURATION)), "sample 1")
    demand(device.run_number == 1, f"after a refused batch, the next run is number {device.run_number}")
    one, two = (ctx.run(each, {witness.input: good}, DURATION) for each in (device, other))
    ctx.equal("the next run, after refused ones and without them", one, two)


@check("STIM-002", level="silver")
def check_durations(ctx: Context) -> None:
    """Given durations that cannot be, when they are run, then each is refused with its value and nothing ran."""
    device = ctx.loaded()
    bad: dict[str, Any] = {"negative": -STEP_NS, "a float": 1.5e6, "a text": "1ms", "a flag": True, "missing": None}
    if ctx.mapping().step_ns is not None and ctx.spec.clock.kind == "clocked":
        bad["no whole number of steps"] = STEP_NS + STEP_NS // 2
    limit = ctx.spec.clock.max_run_ns
    if limit is not None:
        bad["longer than the device runs"] = (int(limit * ctx.mapping().speedup) // STEP_NS + 1) * STEP_NS
    for what, duration in bad.items():
        error = raises(ConfigError, f"a duration that is {what}", lambda d=duration: device.run({}, d))  # type: ignore[misc]
        naming(error, "duration_ns")
        raises(ConfigError, f"a batch of a duration that is {what}", lambda d=duration: device.run_batch({}, d))  # type: ignore[misc]
    told = (device.run_number, device.t0_ns)
    demand(told == (0, 0), f"after refused durations, (run, t0) is {told}")


@check("STIM-003", level="silver")
def check_untouched(ctx: Context) -> None:
    """Given arrays as stimulus, writable or read-only, when they run, then they are as before and so is the record."""
    witness = ctx.witness
    stimulus = ctx.stimulus()
    kept = stimulus.copy()
    frozen = stimulus.copy()
    frozen.flags.writeable = False
    device = ctx.loaded()
    first = ctx.run(device, {witness.input: stimulus}, DURATION)
    demand(stimulus.tobytes() == kept.tobytes(), "running changed the array that was given as stimulus")
    spikes = first.spikes[witness.output].copy()
    stimulus["t"] = 0
    device.load(device.mapping)
    second = ctx.run(device, {witness.input: frozen}, DURATION)
    demand(frozen.tobytes() == kept.tobytes(), "running changed a read-only array")
    demand(np.array_equal(second.spikes[witness.output], spikes), "a read-only stimulus is answered otherwise")
    demand(np.array_equal(first.spikes[witness.output], spikes), "a later run changed the recording of an earlier one")
    demand(np.array_equal(_fed(first, witness.input), kept), "the recording's stimulus is not what was fed in")


def _fed(recording: Recording, name: str) -> Any:
    return recording.stimulus[name]


@check("STIM-004", level="silver")
def check_raster(ctx: Context) -> None:
    """Given one stimulus as events, as a raster and with strided fields, when run, then all are answered alike."""
    witness, stimulus = ctx.witness, ctx.stimulus()
    shape = witness.model.nodes[witness.input].output_shape
    raster = np.zeros((STEPS, CHANNELS), np.int32)
    np.add.at(raster, (stimulus["t"] // STEP_NS, stimulus["index"]), 1)
    wide = np.zeros(stimulus.size, np.dtype([("x", "u1"), ("index", "<i8"), ("t", "<i8"), ("p", "?")]))
    wide["t"], wide["index"] = stimulus["t"], stimulus["index"]
    forms: dict[str, Any] = {
        "events": stimulus,
        "other integer fields": wide,
        "every second row": np.repeat(stimulus, 2)[::2],
    }
    if ctx.mapping().step_ns is not None:
        forms |= {"a raster": raster.reshape(STEPS, *shape), "a raster of floats": raster.astype(np.float32)}
        forms |= {"a raster of flags": raster.astype(bool)}
    plain = ctx.run(ctx.loaded(), {witness.input: stimulus}, DURATION)
    for what, form in forms.items():
        recording = ctx.run(ctx.loaded(), {witness.input: form}, DURATION)
        one, two = (r.spikes[witness.output] for r in (recording, plain))
        demand(np.array_equal(one, two), f"{what}: {one.size} spikes, as events {two.size}, and they differ")
        demand(one.dtype == EVENT, f"{what}: spikes of dtype {one.dtype}")


@check("ERR-002", level="silver")
def check_errors(ctx: Context) -> None:
    """Given the errors a user meets, when they are pickled and read, then nothing is lost and each says what to do."""
    witness, device = ctx.witness, ctx.loaded()
    mapper = ctx.mapper()
    late = {witness.input: events([DURATION], [0]), "no such input": events([0], [0])}
    found: list[HalError] = [
        raises(StateError, "run with nothing loaded", lambda: ctx.open().run({}, 0)),
        raises(ConfigError, "a faulty stimulus", lambda: device.run(late, DURATION)),
        raises(ConfigError, "an unknown option", lambda: ctx.open(no_such_option=1)),
        raises(ConfigError, "an unknown map option", lambda: mapper.map(witness.model, {"no_such_option": 1})),
        raises(CapabilityError, "a kind there is not", lambda: ctx.open(kind="no such kind")),
    ]
    for mode in Reset:
        if f"reset.{mode.value}" not in ctx.capabilities:
            found.append(raises(CapabilityError, f"reset to {mode.value}", lambda m=mode: device.reset(m)))  # type: ignore[misc]
    refused = [model for _, _, model in undeclared(witness, ctx.capabilities)]
    if ctx.spec.clock.kind == "clocked":
        refused.append(without_step(witness.model))
    found += [raises(DoesNotFitError, "a model that does not fit", lambda m=m: mapper.map(m)) for m in refused]  # type: ignore[misc]
    for error in found:
        again = pickle.loads(pickle.dumps(error))
        demand(type(again) is type(error), f"pickled, a {type(error).__name__} comes back as {type(again).__name__}")
        demand(str(again) == str(error), f"pickled, the text changes: {error} / {again}")
        demand(again.hint == error.hint and again.problems == error.problems, f"pickled, it loses parts: {error}")
        demand(list(again.data) == list(error.data), f"pickled, it loses data: {list(error.data)}, {list(again.data)}")
        helpful(error)
