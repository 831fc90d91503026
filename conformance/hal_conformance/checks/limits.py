"""Limits: what is declared is there to the last unit, and not one unit more is taken."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import numpy as np

from hal.errors import DoesNotFitError
from hal.events import events
from hal.evidence import Limit
from hal.fit import FitReport, FitRow
from hal_conformance.context import STEP_NS, Context
from hal_conformance.failure import demand, fail, nothing
from hal_conformance.networks.grown import Family, families, layered, one_behind, widening
from hal_conformance.networks.witness import CHANNELS, TAIL_STEPS
from hal_conformance.raising import raises
from hal_conformance.rulebook import check

ENOUGH_S: Final = 5.0
"""Wall seconds for growing; what is left then is tried only for limits that were not met yet."""


@check("LIM-001", level="gold", binding="gold", limit_s=180.0)
def check_limits(ctx: Context) -> None:
    """Given each declared limit, when models grow to it, then they fit to the last unit and are refused by its name.

    Where a device puts what is too much for one place on a further one, the first place has to be full by then.
    """
    limits = {resource.name: resource.limit for resource in ctx.spec.resources if resource.when == "map"}
    if not limits:
        nothing("no limits are declared")
    met = {pair.resource: _brought(ctx, pair) for pair in ctx.subject.evidence.limits}
    start = time.monotonic()
    for family in families(ctx.witness):
        if set(met) != set(limits) or time.monotonic() - start < ENOUGH_S:
            met |= _grown(ctx, family, limits, set(met))
    for name, how in sorted(met.items()):
        ctx.measure(name, how)
    missing = sorted(limits.keys() - met.keys())
    demand(
        not missing,
        f"no growing network meets the limit of {', '.join(missing)}; a plugin brings a pair of models for such a "
        "resource: Evidence(limits=...)",
    )


def _grown(ctx: Context, family: Family, limits: dict[str, tuple[float, ...]], known: set[str]) -> dict[str, str]:
    """Which limits a family meets, and how. known: met by others; no core is filled once more for these."""
    mapper = ctx.mapper()
    reports: dict[int, FitReport] = {}

    def report(n: int) -> FitReport:
        if n not in reports:
            reports[n] = mapper.check(family.model(n))
        return reports[n]

    if not report(1).fits:
        return {}
    largest = 1
    while 2 * largest <= family.most and report(2 * largest).fits:
        largest *= 2
    met = {}
    if 2 * largest <= family.most:
        largest = _last(lambda n: report(n).fits, largest, 2 * largest)
        met = _refused(ctx, f"{family.label}: {largest + 1}", report(largest + 1), limits)
        for row in report(largest + 1).rows:
            if not row.ok:
                _even(family, {n: report(n) for n in sorted(reports) if n <= largest}, row)
    return met | _spilled(ctx, family, report(largest), min(largest, 1 << 11), known | met.keys())


def _even(family: Family, fitting: dict[int, FitReport], over: FitRow) -> None:
    """What grew evenly from the first model on does so up to the limit: nobody is refused early, or taken late.

    For a resource of one place alone: where there are several, the fullest one stops growing when the next one begins.
    """
    name, limit = over.resource, over.limit
    rows = {n: [row for row in report.rows if row.resource == name] for n, report in fitting.items()}
    found = [row for same in rows.values() for row in same]
    if len(found) != len(rows) or len({row.place for row in found}) > 1 or {row.limit for row in found} != {limit}:
        return
    needed = {n: row.needed for n, (row,) in rows.items()}
    growing = {n: amount for n, amount in needed.items() if amount < limit}
    if len(growing) < 4 or not growing.keys() >= {1, 2}:
        return
    each = growing[2] - growing[1]
    line = {n: growing[1] + (n - 1) * each for n in (*needed, max(needed) + 1)}
    if each <= 0 or any(amount != line[n] for n, amount in growing.items()):
        return
    told = f"{family.label}: {name} grows by {each:g} up to {max(growing.values()):g} of {limit:g}"
    *_, last, first = line
    demand(line[last] <= limit, f"{told}, and {last}, which would need {line[last]:g}, fits")
    demand(line[first] > limit, f"{told}, and {first}, which would need {line[first]:g}, is refused")


def _last(good: Callable[[int], bool], low: int, high: int) -> int:
    """The last number from `low`, where it is good, to before `high`, where it is not."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if good(middle) else (low, middle)
    return low


def _refused(ctx: Context, what: str, report: FitReport, limits: dict[str, tuple[float, ...]]) -> dict[str, str]:
    """The resources by which a model is refused; a failure when they are not the declared ones."""
    over = [row for row in report.rows if not row.ok]
    demand(over, f"{what}: refused, and no resource is over its limit: {report}")
    for row in over:
        demand(row.resource in limits, f"{what}: refused for {row.resource!r}, which the spec does not declare")
        declared = limits[row.resource]
        demand(
            row.limit in declared, f"{what}: the limit of {row.resource} is {row.limit:g}, declared are {set(declared)}"
        )
    return {row.resource: what for row in over}


def _spilled(ctx: Context, family: Family, whole: FitReport, largest: int, known: set[str]) -> dict[str, str]:
    """The resources that are used up on the first core when a family needs a second one."""
    if not {row.resource for row in whole.rows} - known:
        return {}

    def cores(n: int) -> int:
        places = ctx.mapper().map(family.model(n)).placement.rows
        return int(np.unique(places[["chip", "core"]][places["core"] >= 0]).size)

    one = cores(1)
    if largest < 3 or cores(largest) == one:
        return {}
    full = _last(lambda n: cores(n) == one, 1, largest)
    if full < 2:
        return {}
    before, last = (_needed(ctx.mapper().check(family.model(n))) for n in (full - 1, full))
    return {
        name: f"{family.label}: {full} fill a core"
        for name, (needed, limit) in last.items()
        if needed + (needed - before.get(name, (0.0, 0.0))[0]) > limit
    }


def _needed(report: FitReport) -> dict[str, tuple[float, float]]:
    """Of each resource the fullest place: how much is needed, how much there is."""
    out: dict[str, tuple[float, float]] = {}
    for row in report.rows:
        if row.resource not in out or row.needed > out[row.resource][0]:
            out[row.resource] = (row.needed, row.limit)
    return out


def _brought(ctx: Context, pair: Limit) -> str:
    """A pair the plugin brought, tried."""
    what = f"the plugin's models for {pair.resource}"
    declared = {resource.name: resource.limit for resource in ctx.spec.resources}
    demand(pair.resource in declared, f"{what}: there is no such resource in the spec")
    report = ctx.mapper().check(pair.fits, dict(pair.options))
    demand(report.fits, f"{what}: the one that should fit does not: {report}")
    needed, limit = _needed(report).get(pair.resource, (0.0, 0.0))
    demand(limit in declared[pair.resource], f"{what}: the limit is {limit:g}, declared {set(declared[pair.resource])}")
    error = raises(DoesNotFitError, what, lambda: ctx.mapper().map(pair.over, dict(pair.options)))
    named = [row for row in error.report.rows if not row.ok and row.resource == pair.resource]
    demand(named, f"{what}: the one over the limit is refused for other reasons: {error}")
    return f"{needed:g} of {limit:g}"


@check("LIM-002", level="gold", binding="gold", limit_s=120.0)
def check_full(ctx: Context) -> None:
    """Given the largest layer that fits, when its inputs fire, then every neuron answers, each from its own place."""
    if not any(resource.when == "map" for resource in ctx.spec.resources):
        nothing("no limits are declared")
    fits = ctx.mapper().check
    family = next((f for f in widening(ctx.witness) if fits(f.model(1)).fits), None)
    if family is None:
        fail("neither a layer of one neuron nor two of them fit")
    largest = 1
    while 2 * largest <= family.most and fits(family.model(2 * largest)).fits:
        largest *= 2
    if 2 * largest <= family.most:
        largest = _last(lambda n: fits(family.model(n)).fits, largest, 2 * largest)
    # no two neighbours hear the same two channels, so that no neuron answers for another
    weight = np.zeros((largest, CHANNELS), np.float32)
    hears = np.array([(a, b) for a in range(CHANNELS) for b in range(CHANNELS) if a < b])[_pattern(ctx, largest)]
    weight[np.arange(largest)[:, None], hears] = ctx.witness.dialect.strong
    single = fits(layered(ctx.witness, [weight[:1]]).model).fits
    witness = layered(ctx.witness, [weight] if single else [weight, one_behind(ctx.witness, largest)])
    mapping = ctx.mapping(witness, record=witness.populations[:1])
    places = mapping.where(witness.populations[0])[["chip", "core", "neuron"]]
    demand(np.unique(places).size == largest, f"{largest} neurons fit, and sit at {np.unique(places).size} places")
    steps = CHANNELS * witness.apart
    stimulus = events(witness.apart * STEP_NS * np.arange(CHANNELS), range(CHANNELS))
    duration = (steps + TAIL_STEPS) * STEP_NS
    recording = ctx.run(ctx.loaded(mapping), {witness.input: stimulus}, duration)
    wanted = witness.answer(stimulus, steps + TAIL_STEPS)
    for name in (witness.populations[0], witness.output):
        ctx.same(f"a layer of {largest} neurons", recording.spikes[name], wanted[name], mapping, name)
    ctx.measure("neurons", largest)


def _pattern(ctx: Context, size: int) -> np.ndarray:
    return ctx.rng.integers(0, CHANNELS * (CHANNELS - 1) // 2, size)
