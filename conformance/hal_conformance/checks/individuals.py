"""What makes two devices, or two runs, differ: noise by seed, individuals by profile, and what was learned."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args, get_origin

import attrs
import numpy as np

from hal import read_mapping
from hal.config import Profile
from hal.device import Device, Reset
from hal.errors import ConfigError, DoesNotFitError
from hal.events import Probe
from hal.mapping import Mapping
from hal.recording import Recording
from hal_conformance.context import STEP_NS, Context
from hal_conformance.failure import ConformanceFailure, demand, fail
from hal_conformance.networks.witness import THRESHOLD, WEAK
from hal_conformance.raising import naming, raises, refused
from hal_conformance.rulebook import check

STEPS: Final = 256
REPETITIONS: Final = 32
"""How often a stimulus is repeated for a device to learn from it."""


# --- noise ------------------------------------------------------------------------------------------------------------


def _edge(ctx: Context) -> Mapping:
    """The witness with weak events worth just half a spike, so that the least noise decides; with states, if any."""
    witness = ctx.witness
    half = tuple(np.where(np.abs(w) == WEAK, np.sign(w) * THRESHOLD / 2, w) for w in witness.weights)
    for model in (witness.with_weights(half).model, witness.model):
        for record in _records(ctx):
            try:
                return ctx.mapper().map(model, record=record)
            except (DoesNotFitError, ConfigError):
                continue
    return ctx.mapping()


def _records(ctx: Context) -> list[list[str | Probe]]:
    """What to record of runs that are compared: every state of one neuron, or none where these cannot be together."""
    inner: list[str | Probe] = list(ctx.witness.populations[:-1])
    name = ctx.witness.populations[-1]
    kind = ctx.witness.model.nodes[name].type
    states: list[str | Probe] = [
        Probe(name, observable.variable, indices=(0,))
        for observable in ctx.spec.observables
        if observable.variable != "spikes" and observable.per == "neuron" and kind in (observable.types or (kind,))
    ]
    states = states if "record.state" in ctx.capabilities else []
    return [[*inner, *states], *([*inner, state] for state in states), inner, []]


def _differ(ctx: Context, one: Recording, other: Recording) -> bool:
    try:
        ctx.equal("", one, other)
    except ConformanceFailure:
        return True
    return False


def _seed_is_nothing(ctx: Context) -> None:
    """Without noise no seed changes anything."""
    mapping, stimulus = _edge(ctx), {ctx.witness.input: ctx.stimulus(STEPS)}
    one, two = (ctx.run(ctx.loaded(mapping, seed=seed), stimulus, STEPS * STEP_NS) for seed in (7, 8))
    ctx.equal("'noise.seeded' is not declared; with another seed", two, one)


def _number_is_nothing(ctx: Context) -> None:
    """Without noise no run's number changes anything."""
    mapping, stimulus = _edge(ctx), {ctx.witness.input: ctx.stimulus(STEPS)}
    device = ctx.loaded(mapping)
    first = ctx.run(device, stimulus, STEPS * STEP_NS)
    if "reset.state" in ctx.capabilities:
        device.reset(Reset.STATE)
        again = ctx.run(device, stimulus, STEPS * STEP_NS)
        ctx.equal("'noise.seeded' is not declared; as another run from the same state", again, first)


@check("NOIS-001", level="silver", requires={"noise.seeded"}, twin=_seed_is_nothing)
def check_seed(ctx: Context) -> None:
    """Given a noisy device, when opened with a seed, then its runs are the same bytes again, and no others."""
    mapping, stimulus = _edge(ctx), {ctx.witness.input: ctx.stimulus(STEPS)}
    runs = {}
    for seed in (7, 8, 9):
        pair = [ctx.run(ctx.loaded(mapping, seed=seed), stimulus, STEPS * STEP_NS) for _ in range(2)]
        ctx.equal(f"two devices with seed {seed}", *pair)
        runs[seed] = pair[0]
    for seed in (8, 9):
        demand(
            _differ(ctx, runs[7], runs[seed]), f"seeds 7 and {seed} give the same bytes: there is no noise in the run"
        )


@check("NOIS-002", level="silver", requires={"noise.seeded"}, twin=_number_is_nothing)
def check_number(ctx: Context) -> None:
    """Given a noisy device, when it runs again, then noise goes on with the run's number, over STATE, not LOADED."""
    mapping, stimulus = _edge(ctx), {ctx.witness.input: ctx.stimulus(STEPS)}
    device = ctx.loaded(mapping, seed=7)

    def run() -> Recording:
        return ctx.run(device, stimulus, STEPS * STEP_NS)

    first = run()
    if "reset.state" in ctx.capabilities:
        device.reset(Reset.STATE)
        second = run()
        demand(_differ(ctx, first, second), "after a reset to STATE the run has the noise of the run before")
        device.load(mapping)
        ctx.equal("run 0 after load, and the first run 0", run(), first)
        device.reset(Reset.STATE)
        ctx.equal("run 1 after load, and the first run 1", run(), second)
    if "reset.loaded" in ctx.capabilities:
        device.reset(Reset.LOADED)
        ctx.equal("run 0 after a reset to LOADED, and the first run 0", run(), first)


# --- individuals ------------------------------------------------------------------------------------------------------


def _no_profiles(ctx: Context) -> None:
    someone = Profile(id="someone")
    refused("profile", "open(profile=...)", lambda: ctx.open(profile=someone))
    refused("profile", "mapper(profile=...)", lambda: ctx.mapper(profile=someone))


def _individual(ctx: Context, name: str) -> Any:
    kind = ctx.spec.profile
    if kind is None:
        fail("'profile' is declared, and spec.profile is None")
    try:
        return kind(id=name)
    except TypeError as error:
        fail(f"a profile of which only the id is known cannot be made: {error}; give its other fields defaults")


@check("PROF-001", level="silver", requires={"profile"}, twin=_no_profiles)
def check_profile(ctx: Context) -> None:
    """Given a mapping for one individual, when loaded, then that one takes and runs it, and every other refuses it."""
    one, two = _individual(ctx, "one"), _individual(ctx, "two")
    witness, stimulus = ctx.witness, ctx.stimulus()
    mapping = ctx.mapper(profile=one).map(witness.model)
    demand(mapping.profile_id == "one", f"mapped with profile 'one', the mapping is for {mapping.profile_id!r}")
    mapping.save(ctx.folder() / "mapping.zip")
    read = read_mapping(ctx.folder() / "mapping.zip", ctx.spec)
    for what, made in (("a mapping", mapping), ("a mapping read from disk", read)):
        own = ctx.open(profile=one)
        own.load(made)
        recording = ctx.run(own, {witness.input: stimulus}, 96 * STEP_NS)
        wanted = witness.answer(stimulus, 96)[witness.output]
        ctx.same(f"{what} on its own individual", recording.spikes[witness.output], wanted, made, witness.output)
        for whose, other in (("another individual", ctx.open(profile=two)), ("an unknown individual", ctx.open())):
            error = raises(ConfigError, f"{what} for 'one' on {whose}", lambda on=other, put=made: on.load(put))  # type: ignore[misc]
            naming(error, "profile_id", "one")
            demand(other.state == "open", f"a refused mapping leaves the device {other.state!r}")
    for what, call in (("open", lambda: ctx.open(profile="one")), ("mapper", lambda: ctx.mapper(profile="one"))):
        naming(raises(ConfigError, f"{what}(profile='one')", call), "profile")


# --- learning ---------------------------------------------------------------------------------------------------------


def _no_learning(ctx: Context) -> None:
    options = {"learning": True}
    refused("learning.on_chip", "the map option learning", lambda: ctx.mapper().map(ctx.witness.model, options))
    refused("learning.on_chip", "check with learning", lambda: ctx.mapper().check(ctx.witness.model, options))


def _wish(ctx: Context) -> dict[str, Any]:
    """The option `learning`, switched on: True, or the first word of it that is not the default."""
    kind = ctx.spec.map_options
    attrs.resolve_types(kind)
    found = next((field for field in attrs.fields(kind) if field.name == "learning"), None)
    if found is None:
        fail(f"'learning.on_chip' is declared, and {kind.__name__} has no option `learning`")
    words = get_args(found.type) if get_origin(found.type) is Literal else ()
    return {"learning": next((word for word in words if word != found.default), True)}


def _lessons(ctx: Context) -> tuple[Device, Device, Any, Recording]:
    """A device that has learned, one without learning at the same run, how to run them, the learner's first run."""
    mappings = [ctx.mapper().map(ctx.witness.model, options) for options in (_wish(ctx), None)]
    learner, plain = (ctx.loaded(mapping) for mapping in mappings)
    stimulus = {ctx.witness.input: ctx.stimulus()}

    def run(device: Device) -> Recording:
        return ctx.run(device, stimulus, 96 * STEP_NS)

    first = None
    for lesson in range(REPETITIONS):
        answers = run(learner), run(plain)
        first = answers[0] if first is None else first
        if _differ(ctx, *answers):
            ctx.measure("lessons", lesson + 1)
            return learner, plain, run, first
    raise ConformanceFailure(f"with learning, {REPETITIONS} repetitions of a stimulus are answered as without")


@check("LRN-001", level="silver", requires={"learning.on_chip"}, twin=_no_learning)
def check_learning(ctx: Context) -> None:
    """Given learning, when a stimulus is repeated, then its answer changes, and is so after a reset to STATE."""
    learner, plain, run, _ = _lessons(ctx)
    if "reset.state" in ctx.capabilities:
        for device in (learner, plain):
            device.reset(Reset.STATE)
        demand(_differ(ctx, run(learner), run(plain)), "a reset to STATE forgets what was learned")


@check("LRN-002", level="silver", requires={"learning.on_chip"}, twin=_no_learning)
def check_forgetting(ctx: Context) -> None:
    """Given a device that has learned, when reset to LOADED or loaded again, then it answers as at first."""
    if "reset.loaded" in ctx.capabilities:
        learner, _, run, first = _lessons(ctx)
        learner.reset(Reset.LOADED)
        ctx.equal("after a reset to LOADED, and at first", run(learner), first)
    learner, _, run, first = _lessons(ctx)
    learner.load(learner.mapping)
    ctx.equal("after load, and at first", run(learner), first)
