"""One model on every device: does it fit, what would change, how far it agrees with the reference, what it costs."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
from numpy.typing import ArrayLike

from hal import measures, probes, registry
from hal.agreement import decided
from hal.comparison import Comparison, DeviceResult, Read
from hal.errors import ConfigError, DeviceTimeoutError, DoesNotFitError, HalError, Problem
from hal.recording import BatchRecording, Recording
from hal.samples import Samples, read_labels, samples

if TYPE_CHECKING:
    from hal.mapping import Mapping as ChipMapping
    from hal.model import Model
    from hal.semantics import Semantics
    from hal.spec import DeviceSpec

REFERENCE: Final = "ideal"
READS: Final = ("count", "first")
PARTS: Final = 20
"""Into how many parts a run of many samples is cut, so that its progress can be told."""
NO_STEP_WINDOW_NS: Final = 1_000_000
"""How far two spikes of a pair may be apart where neither model nor chip has steps: 1 ms of model time."""

Progress = Callable[[str, str, int, int], None]
"""Called with device, what is done for it (check, map, run, compare), samples done and samples in all."""


@attrs.frozen(kw_only=True)
class _Job:
    """What is the same for all devices. options, open_options: by device."""

    model: Model
    samples: Samples
    approximate: frozenset[str]
    options: Mapping[str, Mapping[str, Any]]
    open_options: Mapping[str, Mapping[str, Any]]
    read: Read
    window_ns: int | None
    seed: int
    timeout_s: float | None
    tell: Progress


@attrs.frozen(kw_only=True)
class _Ran:
    """What the model on `ideal` gave, for all others to be compared with."""

    result: DeviceResult
    seen: BatchRecording | None = None


def compare(
    model: Any,
    stimulus: Any,
    *,
    devices: Iterable[str] | None = None,
    labels: ArrayLike | str | Path | None = None,
    semantics: Semantics | str | Path | Mapping[str, Any] | None = None,
    duration_ns: int | None = None,
    approximate: Iterable[str] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    open_options: Mapping[str, Mapping[str, Any]] | None = None,
    read: Read = "count",
    window_ns: int | None = None,
    seed: int = 0,
    timeout_s: float | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Run one model on several devices, and on `ideal` to compare with.

    Args:
        model: a Model, a NIR file or graph.
        stimulus: one stimulus or several; see `hal.samples`.
        devices: names; default: every installed emulator but `ideal`.
        labels: (B,) the class of each sample, or a file of them; default: those of the stimulus, if it has any.
        semantics: how it is meant, as of `hal.read_model`; default: that of a Model.
        duration_ns: of each sample; default: as the stimulus says.
        approximate: what mappers may change (reset, delays ...); a word is given to those that know it.
        options: by device, fields of `spec.map_options`.
        open_options: by device, fields of `spec.open_options`.
        read: how a class is read off the model's one Output. "count": most spikes, of equal ones the neuron whose first
            spike is earlier. "first": the first spike, of equal ones the neuron with most. Of an Output that gives
            values: the largest sum over the sample, or the largest value. What stays equal, or silent, is no class (-1)
            and counts as wrong.
        window_ns: how far two spikes of a pair may be apart; default 0 for clocked devices, else the model's step, or
            1 ms without one.
        seed: of mapping and of the noise of runs.
        timeout_s: wall seconds for the samples of each device.
        progress: see `Progress`.

    A device that fails, for whatever reason, is a result with that reason; the others go on.

    Raises:
        ConfigError, FormatError, ModelError: model, stimulus, labels or arguments are wrong. PluginError: there is no
            such device.
    """
    from hal.model import read_model

    made = read_model(model, semantics)
    title = str(model) if isinstance(model, str | Path) else repr(made)[1:-1]
    names = _names(devices)
    job = _Job(
        model=made,
        samples=samples(
            stimulus,
            made,
            labels=read_labels(labels) if isinstance(labels, str | Path) else labels,
            duration_ns=duration_ns,
        ),
        approximate=_words(approximate, [*names, REFERENCE]),
        options=options or {},
        open_options=open_options or {},
        read=read,
        window_ns=window_ns,
        seed=seed,
        timeout_s=timeout_s,
        tell=progress or _silent,
    )
    _check(job, names)
    reference = _on(REFERENCE, job, None)
    return Comparison(
        model=title,
        fingerprint=made.fingerprint,
        semantics=made.semantics.to_json(),
        nodes=len(made.nodes),
        neurons=sum(node.size for node in made.populations() if node.type != "Input"),
        samples=len(job.samples),
        events=job.samples.events,
        duration_ns=job.samples.duration_ns,
        labels=job.samples.labels,
        read=read,
        reference=reference.result,
        devices=tuple(_on(name, job, reference).result for name in names),
    )


def _silent(device: str, what: str, done: int, total: int) -> None:
    """Tells nobody."""


def _names(devices: Iterable[str] | None) -> list[str]:
    if devices is None:
        return [listing.name for listing in registry.devices() if listing.name != REFERENCE]
    return [registry.spec(name).name for name in ([devices] if isinstance(devices, str) else devices)]


def _words(approximate: Iterable[str], names: Iterable[str]) -> frozenset[str]:
    """Words of `approximate` of which each is known by some device."""
    given = frozenset([approximate] if isinstance(approximate, str) else approximate)
    if not given:
        return given
    known = {word for name in names if (spec := _spec(name)) for word in spec.map_options.approximations}
    if strange := sorted(given - known):
        problems = [Problem("no device can approximate this", "approximate", word, sorted(known)) for word in strange]
        raise ConfigError("approximate= is not understood", problems=problems)
    return given


def _spec(name: str) -> DeviceSpec | None:
    """None where the plugin does not load: that is told in the device's own result."""
    try:
        return registry.spec(name)
    except HalError:
        return None


def _check(job: _Job, names: list[str]) -> None:
    problems = []
    if job.read not in READS:
        problems.append(Problem("no such way to read a class", "read", job.read, f"one of {', '.join(READS)}"))
    if job.window_ns is not None and job.window_ns < 0:
        problems.append(Problem("a window is a time >= 0", "window_ns", job.window_ns))
    for what, given in (("options", job.options), ("open_options", job.open_options)):
        problems += [
            Problem("options of a device that is not compared", f"{what}[{name!r}]", limit=", ".join(names))
            for name in given.keys() - {*names, REFERENCE}
        ]
    if problems:
        raise ConfigError("this cannot be compared", problems=problems)


# --- one device -------------------------------------------------------------------------------------------------------


def _on(name: str, job: _Job, reference: _Ran | None) -> _Ran:
    """One device, whatever happens there."""
    result = DeviceResult(device=name)
    began = time.perf_counter()
    try:
        spec = registry.spec(name)
        result = attrs.evolve(result, family=spec.family, clock=spec.clock.kind)
        job.tell(name, "check", 0, len(job.samples))
        given = job.options.get(name, {})
        words = {*job.approximate.intersection(spec.map_options.approximations), *given.get("approximate", ())}
        options = {**given, "approximate": words}
        mapper = registry.mapper(name)
        result = attrs.evolve(result, report=mapper.check(job.model, options))
        job.tell(name, "map", 0, len(job.samples))
        mapping, why = probes.map_all(mapper, job.model, options, seed=job.seed)
        result = _mapped(result, mapping, why)
        began = time.perf_counter()
        seen = _run(name, mapping, job)
        result = attrs.evolve(result, wall_s=time.perf_counter() - began)
        job.tell(name, "compare", len(job.samples), len(job.samples))
        return _Ran(result=_judged(result, mapping, seen, job, reference), seen=seen)
    except DoesNotFitError as error:
        return _Ran(result=attrs.evolve(result, report=error.report))
    except DeviceTimeoutError:
        return _Ran(result=attrs.evolve(result, error=f"the samples took longer than {job.timeout_s:g} s of wall time"))
    except Exception as error:
        text = str(error) if isinstance(error, HalError) else f"{type(error).__name__}: {error}"
        return _Ran(result=attrs.evolve(result, error=text, wall_s=time.perf_counter() - began))


def _mapped(result: DeviceResult, mapping: ChipMapping, why: str) -> DeviceResult:
    """What the mapping says before anything runs."""
    by_node, overall = measures.quantisation(mapping)
    return attrs.evolve(
        result,
        report=mapping.fit,
        options=mapping.options,
        losses=measures.losses(mapping),
        quantisation=by_node,
        quantisation_error=overall,
        cores=measures.cores(mapping),
        memory=measures.memory(mapping.fit),
        step_ns=mapping.step_ns,
        speedup=mapping.speedup,
        unrecorded=why,
    )


def _run(name: str, mapping: ChipMapping, job: _Job, device: str = "") -> BatchRecording:
    """All samples, in parts; noise is the same as in one batch, since runs go on being numbered.

    device: the one this is the reference of.
    """
    fed = job.samples
    size = max(1, -(-len(fed) // PARTS))
    found: list[Recording] = []
    options = {} if device else job.open_options.get(name, {})
    with registry.open(name, seed=job.seed, **options) as chip:
        chip.load(mapping)
        deadline = None if job.timeout_s is None else time.monotonic() + job.timeout_s
        for start in range(0, len(fed), size):
            job.tell(device or name, "compare" if device else "run", start, len(fed))
            # the last sample of the part before may have broken off
            chip.reset()
            left = None if deadline is None else max(deadline - time.monotonic(), 1e-3)
            part = chip.run_batch(fed.part(start, min(start + size, len(fed))), fed.duration_ns, timeout_s=left)
            found += [part[b] for b in range(len(part))]
    return BatchRecording.of(found)


def _judged(
    result: DeviceResult, mapping: ChipMapping, seen: BatchRecording, job: _Job, reference: _Ran | None
) -> DeviceResult:
    """What came out, and how far it is what the reference gives."""
    window = job.window_ns
    if window is None:
        window = 0 if result.clock == "clocked" else job.model.semantics.dt_ns or NO_STEP_WINDOW_NS
    predictions = measures.predictions(job.model, seen, job.read)
    layers = measures.layers(mapping, seen)
    signals: dict[str, float] = {}
    same_class = None
    if reference is not None and reference.seen is not None:
        realised = _realised(mapping, job)
        given_of = functools.partial(measures.match, mapping, seen, window_ns=window)
        layers = tuple(
            attrs.evolve(
                layer,
                given=given_of(reference.seen, layer.node),
                realised=None if realised is None else given_of(realised, layer.node),
            )
            for layer in layers
        )
        signals = measures.signal_errors(seen, reference.seen)
        theirs = reference.result.predictions
        if predictions is not None and theirs is not None:
            same_class = float(np.mean(predictions == theirs))
    labels = job.samples.labels
    return attrs.evolve(
        result,
        layers=layers,
        signals=signals,
        window_ns=window,
        predictions=predictions,
        accuracy=None if labels is None or predictions is None else float(np.mean(predictions == labels)),
        same_class=same_class,
        stats={counter: int(values.sum()) for counter, values in seen.stats.items()},
        statuses={word: seen.status.count(word) for word in dict.fromkeys(seen.status)},
        diagnostics=measures.diagnostics(seen),
    )


def _realised(mapping: ChipMapping, job: _Job) -> BatchRecording | None:
    """The numbers the chip computes with, on `ideal`; None where nobody tells them or `ideal` cannot run them."""
    model = mapping.realised_model()
    if model is None:
        return None
    try:
        wanted, _ = probes.map_all(registry.mapper(REFERENCE), decided(model), {}, seed=job.seed)
        return _run(REFERENCE, wanted, job, mapping.device)
    except HalError:
        return None
