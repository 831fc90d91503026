"""Routing: branches, sums, cycles, several Inputs and Outputs, delays; each where declared, and refused where not."""

from __future__ import annotations

from collections.abc import Callable

from hal_conformance.context import Context
from hal_conformance.failure import demand
from hal_conformance.networks.routes import delayed, routed
from hal_conformance.rulebook import check
from hal_conformance.trying import denied, shown


def _twin(word: str) -> Callable[[Context], None]:
    return lambda ctx: denied(ctx, word, routed(word, ctx.witness))


def _shown(ctx: Context, word: str) -> None:
    shown(ctx, word, routed(word, ctx.witness, ctx.capabilities))


@check("ROUT-001", level="silver", requires={"route.fanout"}, twin=_twin("route.fanout"), binding="gold")
def check_fanout(ctx: Context) -> None:
    """Given one source of two populations, when it fires, then both hear it, each with weights of its own."""
    _shown(ctx, "route.fanout")


@check("ROUT-002", level="silver", requires={"route.merge"}, twin=_twin("route.merge"), binding="gold")
def check_merge(ctx: Context) -> None:
    """Given one population of two sources, when these fire apart and together, then every spike of both counts."""
    _shown(ctx, "route.merge")


@check("ROUT-003", level="silver", requires={"route.recurrent"}, twin=_twin("route.recurrent"))
def check_recurrent(ctx: Context) -> None:
    """Given a cycle, when a neuron in it fires, then what it feeds back acts one step later, or as the report lists."""
    _shown(ctx, "route.recurrent")


@check("ROUT-004", level="silver", requires={"route.inputs"}, twin=_twin("route.inputs"))
def check_inputs(ctx: Context) -> None:
    """Given two Inputs, when both, one or none are fed, then each is heard as itself, and a missing key is silence."""
    for feature in routed("route.inputs", ctx.witness, ctx.capabilities):
        if ctx.mapper().check(feature.model).fits:
            names = [port.name for port in ctx.mapper().map(feature.model, record=feature.record).inputs]
            demand(names == ["east", "west"], f"Inputs are ordered by name; the mapping has {names}")
    _shown(ctx, "route.inputs")


@check("ROUT-005", level="silver", requires={"route.outputs"}, twin=_twin("route.outputs"))
def check_outputs(ctx: Context) -> None:
    """Given two Outputs, when neurons before both fire, then each has its own spikes, under its own name."""
    _shown(ctx, "route.outputs")


@check(
    "DLY-001",
    level="silver",
    requires={"delay.axonal"},
    twin=lambda ctx: denied(ctx, "delay.axonal", delayed(ctx.witness)),
)
def check_delay(ctx: Context) -> None:
    """Given a Delay on a projection, when events pass it, then they come later by just that, and no others do."""
    shown(ctx, "delay.axonal", delayed(ctx.witness))
