"""Registers: changed in the loop, taken without a model, edited by hand."""

from __future__ import annotations

from typing import Any

import attrs

from hal.config import to_json
from hal.errors import ConfigError
from hal.mapping import Mapping
from hal_conformance.context import STEP_NS, STEPS, Context
from hal_conformance.failure import demand
from hal_conformance.fields import faults
from hal_conformance.networks.witness import Witness, candidates
from hal_conformance.raising import naming, raises, refused
from hal_conformance.rulebook import check


def _kept(what: str, one: Mapping, two: Mapping) -> None:
    moved = one.placement.moved(two.placement)
    demand(not moved, f"{what} moved {', '.join(moved)}")


def _no_like(ctx: Context) -> None:
    mapping = ctx.mapping()
    refused("map.like", "map(like=)", lambda: ctx.mapper().map(ctx.witness.model, like=mapping))


@check("MAP-009", level="silver", requires={"map.like"}, twin=_no_like)
def check_like(ctx: Context) -> None:
    """Given a mapping, when the model's weights change and it is mapped like it, then only numbers change."""
    before, changed = ctx.mapping(), ctx.witness.reweighted()
    after = ctx.mapper().map(changed.model, like=before)
    _kept("map(like=) with other weights", before, after)
    demand(to_json(after.config) != to_json(before.config), "other weights gave the same registers")
    stimulus = changed.stimulus(ctx.rng, STEPS)
    device = ctx.loaded(before)
    ctx.run(device, {ctx.witness.input: stimulus}, STEPS * STEP_NS)
    device.load(after)
    recording = ctx.run(device, {ctx.witness.input: stimulus}, STEPS * STEP_NS)
    wanted = changed.answer(stimulus, STEPS)[changed.output]
    ctx.same("with the new weights", recording.spikes[changed.output], wanted, after, changed.output)
    other = _other_size(ctx)
    if other is not None:
        error = raises(ConfigError, "map(like=) of another network", lambda: ctx.mapper().map(other.model, like=before))
        demand(error.problems, f"the error does not list what would have to move: {error}")


def _other_size(ctx: Context) -> Witness | None:
    """A witness of another number of layers that fits, too."""
    layers = len(ctx.witness.weights)
    for other in candidates(ctx.capabilities):
        if len(other.weights) != layers and ctx.mapper().check(other.model).fits:
            return other
    return None


def _no_adopt(ctx: Context) -> None:
    config = ctx.mapping().config
    refused("map.adopt", "adopt", lambda: ctx.mapper().adopt(config))


@check("MAP-010", level="silver", requires={"map.adopt"}, twin=_no_adopt)
def check_adopt(ctx: Context) -> None:
    """Given registers alone, when they are adopted, then they run as the mapping they came from."""
    mapping = ctx.mapping()
    adopted = ctx.mapper().adopt(mapping.config)
    demand(adopted.device == ctx.spec.name, f"the adopted mapping is for {adopted.device!r}")
    demand(adopted.config == mapping.config, "adopt changed the registers")
    demand(adopted.inputs and adopted.outputs, f"it has inputs {adopted.inputs} and outputs {adopted.outputs}")
    stimulus = ctx.stimulus()
    recording = ctx.run(ctx.loaded(adopted), {adopted.inputs[0].name: stimulus}, STEPS * STEP_NS)
    wanted = ctx.witness.answer(stimulus, STEPS)[ctx.witness.output]
    late = mapping.latency_ns.get(ctx.witness.output, 0)
    right = any(ctx.share(spikes, wanted, late) == 1.0 for spikes in recording.spikes.values())
    demand(right, f"none of {list(recording.spikes)} gives the {wanted.size} spikes of the witness")
    raises(ConfigError, "adopting what is no configuration", lambda: ctx.mapper().adopt(object()))


def _no_edit(ctx: Context) -> None:
    mapping = ctx.mapping()
    refused("map.edit", "with_config", lambda: mapping.with_config(mapping.config))


@check("MAP-011", level="silver", requires={"map.edit"}, twin=_no_edit)
def check_edit(ctx: Context) -> None:
    """Given a mapping, when its registers are edited, then places stay and a value out of range is refused by name."""
    mapping = ctx.mapping()
    same = mapping.with_config(mapping.config)
    _kept("with_config of the same registers", mapping, same)
    demand(same.config == mapping.config, "with_config changed the registers")
    stimulus = {ctx.witness.input: ctx.stimulus()}
    one, two = (ctx.run(ctx.loaded(m), stimulus, STEPS * STEP_NS) for m in (mapping, same))
    ctx.equal("a run before and after with_config", one, two)
    for path, make, what in faults(mapping.config):
        broken: Any = make()
        naming(raises(ConfigError, f"with_config and {path} {what}", lambda b=broken: mapping.with_config(b)), path)  # type: ignore[misc]
    raises(ConfigError, "with_config of what is no configuration", lambda: mapping.with_config(object()))


@check("ERR-003", level="silver")
def check_foreign(ctx: Context) -> None:
    """Given a mapping for another device or individual, when it is loaded, then that is refused, naming both."""
    mapping = ctx.mapping()
    device = ctx.loaded(mapping)
    other = attrs.evolve(mapping, device="some-other-chip")
    error = raises(ConfigError, "loading a mapping made for some-other-chip", lambda: device.load(other))
    for word in ("some-other-chip", ctx.spec.name):
        demand(word in str(error), f"the error does not name {word!r}: {error}")
    stranger = attrs.evolve(mapping, profile_id="some other individual")
    error = raises(ConfigError, "loading a mapping made for another individual", lambda: device.load(stranger))
    demand("some other individual" in str(error), f"the error does not name the individual: {error}")
    demand(device.mapping is mapping and device.state == "loaded", "a refused load changed what is loaded")
    stimulus = ctx.stimulus()
    recording = ctx.run(device, {ctx.witness.input: stimulus}, STEPS * STEP_NS)
    wanted = ctx.witness.answer(stimulus, STEPS)[ctx.witness.output]
    ctx.same("after refused loads", recording.spikes[ctx.witness.output], wanted, mapping, ctx.witness.output)
