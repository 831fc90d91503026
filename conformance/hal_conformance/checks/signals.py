"""Analog values in and out: by the device itself where it declares them, else by the host, and never by nobody."""

from __future__ import annotations

from collections.abc import Iterable

from hal_conformance.context import Context
from hal_conformance.failure import demand
from hal_conformance.networks.analog import fed_in, given_out, unhelped
from hal_conformance.networks.draft import Feature
from hal_conformance.rulebook import check
from hal_conformance.trying import answered, denied, shown, taken


def _by_host(ctx: Context, word: str, features: Iterable[Feature], host: str) -> None:
    """Without the word the host does it, says so, and is right; the neurons next to it are on the chip."""
    for feature, mapping in taken(ctx, word, features):
        fates = {fate.node: fate.fate for fate in mapping.fates if fate.node in feature.model.nodes}
        demand("chip" in fates.values(), f"{feature.form}: nothing is on the chip: {fates}")
        if host in fates:
            demand(fates[host] == "host", f"{feature.form}: without {word!r}, {host!r} has the fate {fates[host]!r}")
        answered(ctx, feature, mapping)


def _no_values_in(ctx: Context) -> None:
    _by_host(ctx, "input.signal", fed_in(ctx.witness, layers=2), "first")
    denied(ctx, "input.signal", fed_in(ctx.witness, layers=1, relays=False))


@check("SIG-001", level="silver", requires={"input.signal"}, twin=_no_values_in)
def check_values_in(ctx: Context) -> None:
    """Given an Input of values, when these change, then each is held till the next, and neurons sum it every step."""
    shown(ctx, "input.signal", fed_in(ctx.witness, layers=1))


def _no_values_out(ctx: Context) -> None:
    _by_host(ctx, "output.signal", given_out(ctx.witness, integrators=True), "held")
    denied(ctx, "output.signal", unhelped(ctx.witness))


@check("SIG-002", level="silver", requires={"output.signal"}, twin=_no_values_out)
def check_values_out(ctx: Context) -> None:
    """Given an Output of values, when neurons fire, then it gives one row for each step, as it stands after it."""
    shown(ctx, "output.signal", given_out(ctx.witness, "neuron.integrator" in ctx.capabilities))
