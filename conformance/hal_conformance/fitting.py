"""Does it fit: what check and map say of a model, and whether they say all of it."""

from __future__ import annotations

import math

from hal.capabilities import VOCABULARY
from hal.errors import DoesNotFitError
from hal.fit import FitReport
from hal.mapping import Mapping
from hal.model import Model
from hal_conformance.context import Context
from hal_conformance.failure import demand


def agree(ctx: Context, what: str, model: Model) -> FitReport:
    """What check reports; fail unless it is complete, and map says the same."""
    report = ctx.mapper().check(model)
    try:
        mapped: FitReport = ctx.mapper().map(model).fit
    except DoesNotFitError as error:
        demand(not report.fits, f"{what}: check says it fits, map raises {error}")
        mapped = error.report
    else:
        demand(report.fits, f"{what}: map returns a mapping, check says: {report}")
    demand(report.to_json() == mapped.to_json(), f"{what}: check reports {report}; map reports {mapped}")
    complete(ctx, what, report, model)
    return report


def complete(ctx: Context, what: str, report: FitReport, model: Model) -> None:
    """Fail unless every row and finding says what, where, how much and what the limit is."""
    demand(report.device == ctx.spec.name, f"{what}: the report is about {report.device!r}")
    known = {"", *model.nodes}
    for row in report.rows:
        told = f"{what}: the row {row}"
        demand(row.resource and row.unit, f"{told} names no resource or no unit")
        demand(row.node or row.place, f"{told} says neither node nor place")
        demand(row.node in known, f"{told} is about a node the model does not have")
        demand(math.isfinite(row.needed) and row.needed >= 0, f"{told}: needed is {row.needed}")
        demand(row.ok == (row.needed <= row.limit), f"{told} says ok={row.ok}")
    for finding in report.findings:
        told = f"{what}: the finding {finding!r}"
        demand(finding.reason and (finding.field or finding.node), f"{told} has no reason, or says nothing of where")
        demand(finding.node in known, f"{told} is about a node the model does not have")


def refuses(ctx: Context, word: str, what: str, model: Model, node: str = "") -> None:
    """Fail unless a model that needs an undeclared word is refused by that word, at that node where it has one."""
    report = agree(ctx, what, model)
    demand(not report.fits, f"{word!r} ({VOCABULARY[word].meaning}) is not declared, and {what} fits")
    said = [f for f in report.refused if word == f.field or repr(word) in f.reason]
    demand(said, f"{what}: {word!r} is not declared; the report does not name it: {report}")
    if node:
        demand(any(f.node == node for f in report.refused), f"{what}: no refusal is about node {node!r}: {report}")


def on_chip(mapping: Mapping, what: str) -> None:
    """Fail when a population of the model is not computed on the chip."""
    model = mapping.model
    elsewhere = [
        f"{fate.node!r} ({fate.fate})"
        for fate in mapping.fates
        if model is not None and fate.node in model.nodes
        if model.nodes[fate.node].population and fate.node not in model.inputs and fate.fate != "chip"
    ]
    demand(not elsewhere, f"{what}: not on the chip: {', '.join(elsewhere)}")
