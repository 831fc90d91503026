"""Trying a feature on a device: in every form that it takes, with answers known beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from hal.errors import ConfigError, DoesNotFitError
from hal.mapping import Mapping
from hal.recording import Recording
from hal_conformance.context import STEP_NS, Context
from hal_conformance.failure import ConformanceFailure, demand, fail
from hal_conformance.fitting import on_chip, refuses
from hal_conformance.networks.draft import Case, Feature

TOLERANCE: Final = 1e-4
"""Of values that are small integers, on a clocked device."""
NEARLY: Final = 0.9
"""Share of the spikes that agree where neurons fade."""
ROUGHLY: Final = 0.5
"""The same on others: the nearest integer is the right one."""


def shown(ctx: Context, word: str, features: Iterable[Feature]) -> None:
    """Fail unless the device maps the feature in one form at least, and does it right in all forms that it maps."""
    faults: list[str] = []
    forms: list[str] = []
    for feature, mapping in taken(ctx, word, features):
        forms.append(feature.form)
        try:
            on_chip(mapping, feature.form)
            answered(ctx, feature, mapping)
        except ConformanceFailure as fault:
            faults.append(str(fault))
    ctx.measure("forms", "; ".join(forms))
    demand(not faults, "; ".join(faults))


def taken(ctx: Context, word: str, features: Iterable[Feature]) -> Iterator[tuple[Feature, Mapping]]:
    """Of each form the first network that maps; a failure, with the first refusal, when none of any form does.

    A form may be refused for another limit of the device; by the word itself, which is declared, it may not.
    """
    done: set[str] = set()
    refusal = ""
    tried = 0
    for feature in features:
        if feature.form in done:
            continue
        tried += 1
        try:
            mapping = ctx.mapper().map(feature.model, record=feature.record)
        except (DoesNotFitError, ConfigError) as error:
            by_word = isinstance(error, DoesNotFitError) and any(f.field == word for f in error.report.refused)
            demand(not by_word, f"{feature.form}: {word!r} is declared, and refused: {error}")
            refusal = refusal or f"{feature.form}: {error}"
            continue
        done.add(feature.form)
        yield feature, mapping
    demand(tried, f"{word!r} is declared; no network can use it without words that are not")
    if not done:
        fail(f"{word!r} is declared, and every network that uses it is refused; the first, {refusal}")


def answered(ctx: Context, feature: Feature, mapping: Mapping) -> None:
    """Fail unless the answers are those wanted, or those of a field that the device lists as changed."""
    if feature.without:
        _nearer(ctx, feature, mapping)
        return
    changed = {finding.field for finding in mapping.fit.changed}
    told = [cases for field, cases in feature.others.items() if field in changed]
    first: ConformanceFailure | None = None
    for k, cases in enumerate([feature.cases, *told]):
        try:
            for case in cases:
                # `ideal` gives the answer to the model as it is, and none to what the device says it makes of it
                _case(ctx, feature, mapping, case, counted=ctx.witness.exact or k > 0)
        except ConformanceFailure as fault:
            first = first or fault
        else:
            return
    if first is not None:
        raise first


def _case(ctx: Context, feature: Feature, mapping: Mapping, case: Case, counted: bool) -> None:
    what = f"{feature.form}, {case.what}"
    device = ctx.loaded(mapping)
    recording = ctx.run(device, case.stimulus, case.steps * STEP_NS)
    device.close()
    given = sorted({*recording.spikes, *recording.signals})
    wanted = sorted({port.name for port in mapping.outputs} | set(feature.record))
    demand(given == wanted, f"{what}: recorded are {given}, Outputs and probes are {wanted}")
    for name, train in (case.wanted if counted else {}).items():
        ctx.same(what, recording.spikes[name], train, mapping, name)
    if not counted:
        _faded(ctx, feature, mapping, case, recording)
    for name, values in case.values.items():
        _sampled(ctx, what, recording, mapping, name, np.asarray(values, np.float64))


def _faded(ctx: Context, feature: Feature, mapping: Mapping, case: Case, recording: Recording) -> None:
    """Where neurons fade, nobody counts on fingers what a few events come to: fail unless nearly all is as on `ideal`.

    A chip's rounding may move a spike that is near; of the few spikes of most cases none may be missing.
    """
    answer = ctx.on_ideal(feature.model, case.stimulus, case.steps * STEP_NS, feature.record).spikes
    for name, train in case.wanted.items():
        what = f"{feature.form}, {case.what}: {name!r}"
        late = mapping.latency_ns.get(name, 0)
        share = ctx.share(recording.spikes[name], answer[name], late)
        demand(share >= NEARLY, f"{what} agrees in {share:.1%} of its spikes with ideal")
        demand(answer[name].size or not train.size, f"{what} gives no spikes on ideal, either: nothing was compared")


def _nearer(ctx: Context, feature: Feature, mapping: Mapping) -> None:
    """Fail unless the answer is nearer to the model, as given or with the numbers realised, than without the feature.

    Whether these numbers are true is not asked here.
    """
    realised = mapping.realised_model()
    models = [feature.model, *([] if realised is None else [realised])]
    for case in feature.cases:
        fed = case.stimulus, case.steps * STEP_NS
        given = ctx.run(ctx.loaded(mapping), *fed).spikes
        wanted = [ctx.on_ideal(model, *fed).spikes for model in models]
        answers = {label: ctx.on_ideal(model, *fed).spikes for label, model in feature.without.items()}
        for name in wanted[0]:
            late = mapping.latency_ns.get(name, 0)
            near = max(ctx.share(given[name], answer[name], late) for answer in wanted)
            ctx.measure(f"{feature.form}: agreement", round(near, 4))
            for label, answer in answers.items():
                far = ctx.share(given[name], answer[name], late)
                demand(
                    near > far,
                    f"{feature.form}, {case.what}: {name!r} agrees in {near:.1%} of its spikes with ideal, and in "
                    f"{far:.1%} with ideal of {label}",
                )


def _sampled(
    ctx: Context,
    what: str,
    recording: Recording,
    mapping: Mapping,
    name: str,
    wanted: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> None:
    """Fail unless an Output gives these values (T, n), one row a step, its latency taken off."""
    signal = recording.signals[name]
    steps = recording.duration_ns // STEP_NS
    times = (np.arange(steps) * STEP_NS).tolist()
    demand(
        signal.t.tolist() == times,
        f"{what}: {name!r} has {signal.t.size} rows at {signal.t[:3].tolist()}..., "
        f"wanted is one for each of {steps} steps",
    )
    demand(signal.values.shape == wanted.shape, f"{what}: {name!r} has values of shape {signal.values.shape}")
    model = mapping.model
    dtype = "" if model is None else model.semantics.rule(model.nodes[name]).dtype
    told = f"{what}: {name!r} has values of {signal.values.dtype}, the semantics say {dtype}"
    demand(signal.values.dtype == dtype, told)
    late = mapping.latency_ns.get(name, 0) // STEP_NS
    tolerance = TOLERANCE if ctx.spec.clock.kind == "clocked" else ROUGHLY

    def off(late: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        return np.abs(signal.values[late:] - wanted[: len(wanted) - late]) > tolerance

    if ctx.spec.clock.kind == "continuous" and not off(late + 1).any():
        # spikes that stand within their step may be all in the next one a layer later
        return
    if off(late).any():
        row, column = (int(k) for k in np.argwhere(off(late))[0])
        fail(
            f"{what}: {name!r} is {signal.values[late + row, column]:g} after step {row}, channel {column}; wanted "
            f"{wanted[row, column]:g}"
        )


def denied(ctx: Context, word: str, features: Iterable[Feature]) -> None:
    """Fail unless each network that uses an undeclared word is refused by that word."""
    for feature in features:
        refuses(ctx, word, feature.form, feature.model, feature.node)
