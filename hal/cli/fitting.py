"""`hal check` and `hal map`: does it fit, why not, and where everything goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs

from hal.cli import arguments, fitview, outputview, resolve
from hal.cli.failures import FAILED, BadUsageError, note, usage
from hal.cli.show import Page, print_json
from hal.cli.watching import busy
from hal.errors import DoesNotFitError, HalError

if TYPE_CHECKING:
    from hal.mapping import Mapping
    from hal.model import Model


def check(given: resolve.ModelArguments, rate: Sequence[str], rate_from: str | None, *, as_json: bool) -> int:
    """Print what fits and what does not; 1 when anything does not. rate: NODE=20kHz; rate_from: a recording."""
    from hal import registry

    spec = resolve.device(given.device)
    said = arguments.rates(rate)
    options = resolve.map_options(given, spec)
    model = resolve.model(given)
    mapper = registry.mapper(spec.name, profile=resolve.profile(given, spec))
    for node in said:
        resolve.known_node(node, model, "--rate")
    rates = ({} if rate_from is None else _measured(rate_from, model)) | said
    with usage():
        report = mapper.check(model, options, rates_hz=rates or None)
    fates: tuple[Any, ...] = ()
    if report.maps:
        fates = mapper.map(model, options).fates
    verdicts = fitview.verdicts(model, report, fates)
    if as_json:
        print_json({**report.to_json(), "nodes": [attrs.asdict(verdict) for verdict in verdicts]})
    else:
        page = Page()
        fitview.title(page, given.model, model, report)
        fitview.nodes(page, verdicts)
        fitview.resources(page, report)
        fitview.at_rates(page, report)
        fitview.findings(page, report)
    return 0 if report.fits else FAILED


def _measured(path: str, model: Model) -> dict[str, float]:
    """Events per second of the nodes of a recording that the model has."""
    from hal.recording import read_recording

    recording = read_recording(resolve.existing(path, "--rate-from"))
    with usage():
        rates = recording.rates_hz()
    strange = [node for node in rates if node not in model.nodes]
    if len(strange) == len(rates):
        listed = ", ".join(strange) or "nothing"
        raise BadUsageError(
            f"--rate-from {path}: the model has none of the nodes recorded ({listed})",
            hint=f"record it with this model; nodes: {', '.join(model.order())}",
        )
    if strange:
        note(f"--rate-from {path}: the model has no {', '.join(strange)}; the rates of these are left out")
    return {node: rate for node, rate in rates.items() if node in model.nodes}


def map_(given: resolve.ModelArguments, *, seed: int, record: Sequence[str], out: str | None, as_json: bool) -> int:
    """Print where everything goes, and write the mapping."""
    from hal import registry

    if out is not None:
        resolve.mapping_target(out)
    spec = resolve.device(given.device)
    options = resolve.map_options(given, spec)
    model = resolve.model(given)
    probes = resolve.probes(record, model)
    mapper = registry.mapper(spec.name, profile=resolve.profile(given, spec))
    try:
        with busy(f"mapping {given.model} on {spec.name}", quiet=as_json):
            mapping = mapper.map(model, options, record=probes, seed=seed)
    except DoesNotFitError as error:
        if as_json:
            raise
        page = Page()
        fitview.title(page, given.model, model, error.report)
        fitview.nodes(page, fitview.verdicts(model, error.report, ()))
        fitview.resources(page, error.report)
        fitview.findings(page, error.report)
        count = len(error.report.problems())
        left = f"; {out} was not written" if out else ""
        raise HalError(
            f"the model does not fit {spec.name}: {count} {'reason' if count == 1 else 'reasons'}, on stdout{left}"
        ) from error
    if out is not None:
        mapping.save(out)
    if as_json:
        print_json(summary(mapping) | {"out": out})
        return 0
    page = Page()
    fitview.title(page, given.model, model, mapping.fit)
    fitview.nodes(page, fitview.verdicts(model, mapping.fit, mapping.fates))
    fitview.placement(page, mapping)
    outputview.outputs(page, mapping)
    fitview.findings(page, mapping.fit)
    fitview.losses(page, mapping)
    if out is not None:
        page.gap()
        page.verbatim(f"written to {out}")
    return 0


def summary(mapping: Mapping) -> dict[str, Any]:
    """A mapping as a JSON object, without registers, and with the places of the neurons behind Outputs alone."""
    return {
        "device": mapping.device,
        "model": None if mapping.model is None else mapping.model.fingerprint,
        "semantics": None if mapping.model is None else mapping.model.semantics.to_json(),
        "fit": mapping.fit.to_json(),
        "placement": [attrs.asdict(place) for place in fitview.places(mapping)],
        "outputs_at": outputview.to_json(mapping),
        "fates": [attrs.asdict(fate) for fate in mapping.fates],
        "losses": [
            dict(zip(("node", "parameter", "reason", "count"), row, strict=True)) for row in mapping.losses.summary()
        ],
        "inputs": [attrs.asdict(port) for port in mapping.inputs],
        "outputs": [attrs.asdict(port) for port in mapping.outputs],
        "record": [attrs.asdict(probe) for probe in mapping.record],
        "step_ns": mapping.step_ns,
        "speedup": mapping.speedup,
        "latency_ns": mapping.latency_ns,
    }
