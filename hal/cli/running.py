"""`hal run`: map, load, feed, record, and show what came out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from hal.cli import arguments, feeding, loadview, resolve, runview
from hal.cli.failures import BadUsageError, BrokenOffError, note
from hal.cli.fitting import summary
from hal.cli.show import Page, print_json
from hal.cli.watching import Progress, busy, compiling
from hal.errors import DeviceTimeoutError, DoesNotFitError

if TYPE_CHECKING:
    from hal.config import MapOptions
    from hal.device import DeviceSpec
    from hal.mapper import Mapper
    from hal.mapping import Mapping
    from hal.model import Model
    from hal.recorder import Recorder
    from hal.recording import Recording


@attrs.frozen(kw_only=True)
class RunArguments:
    """What goes in, for how long, and what is kept."""

    inputs: Sequence[str] = ()
    unit: str | None = None
    origin: str | None = None
    from_first: bool = False
    recording: str | None = None
    duration: str | None = None
    record: Sequence[str] = ()
    seed: int = 0
    out: str | None = None
    timeout_s: float | None = None
    open_options: Sequence[str] = ()


def run(given: resolve.ModelArguments, how: RunArguments, *, as_json: bool) -> int:
    """Run a model or a saved mapping; print where everything went and what came out."""
    resolve.existing(given.model, "MODEL")
    asked_ns = None if how.duration is None else arguments.time_ns(how.duration, "--duration", least=1)
    _check(how, asked_ns)
    mapping, spec = _mapping(given, how, quiet=as_json)
    options = resolve.open_options(how.open_options, spec) | {"profile": resolve.profile(given, spec)}
    ports = (*mapping.inputs, *spec.ports)
    if how.recording is not None:
        feed = feeding.from_recording(how.recording, ports, mapping.step_ns)
    else:
        feed = feeding.from_files(
            how.inputs, mapping.inputs, spec.ports, mapping.step_ns, how.unit, how.origin, how.from_first
        )
    duration_ns = feeding.lasting(feed, asked_ns, mapping.step_ns)
    took = _run(mapping, spec, options, feed, duration_ns, how, quiet=as_json)
    if as_json:
        print_json(_document(mapping, feed, took))
    else:
        runview.show(Page(), given.model, mapping, took)
    return 0


def _check(how: RunArguments, asked_ns: int | None) -> None:
    """What is wrong before anything is read."""
    if how.out is not None and Path(how.out).exists():
        raise BadUsageError(f"--out {how.out} exists", hint="a recording is written to a new directory")
    if how.inputs and how.recording is not None:
        raise BadUsageError("--input and --from are given; a run has one stimulus", hint="leave one of the two out")
    if not how.inputs and how.recording is None and asked_ns is None:
        raise BadUsageError(
            "nothing goes in: no --input, no --from",
            hint="--input FILE or --input NAME=FILE; or --duration alone, to run in silence",
        )
    if how.timeout_s is not None and not how.timeout_s > 0:
        raise BadUsageError(f"--timeout {how.timeout_s:g}: wall seconds greater than 0")
    if how.seed < 0:
        raise BadUsageError(f"--seed {how.seed}: a seed is an integer >= 0")


# --- mapping --------------------------------------------------------------------------------------------------------


def _mapping(given: resolve.ModelArguments, how: RunArguments, *, quiet: bool) -> tuple[Mapping, DeviceSpec]:
    from hal import registry

    path = resolve.existing(given.model, "MODEL")
    if resolve.is_mapping(path):
        if how.record:
            raise BadUsageError(
                "--record: what a saved mapping records was decided when it was made",
                hint="hal map MODEL --device NAME --record NODE --out FILE",
            )
        mapping = resolve.mapping(path, given)
        return mapping, resolve.device(given.device or mapping.device)
    spec = resolve.device(given.device)
    options = resolve.map_options(given, spec)
    model = resolve.model(given)
    try:
        mapper = registry.mapper(spec.name, profile=resolve.profile(given, spec))
        with busy(f"mapping {given.model} on {spec.name}", quiet=quiet):
            return _map(mapper, model, options, how), spec
    except DoesNotFitError as error:
        error.hint = f"hal check {given.model} --device {spec.name} shows what fits and what does not"
        raise


def _map(mapper: Mapper, model: Model, options: MapOptions, how: RunArguments) -> Mapping:
    from hal.probes import map_all

    words = arguments.words(how.record) or ["all"]
    named = [word for word in words if word not in ("all", "none") or word in model.nodes]
    probes = resolve.probes(named, model)
    if len(named) < len(words) and "none" in words:
        if len(words) > 1:
            raise BadUsageError("--record none stands alone")
        return mapper.map(model, options, seed=how.seed)
    if "all" in words and "all" not in named:
        mapping, why = map_all(mapper, model, options, probes, seed=how.seed)
        if why:
            note(f"{mapper.spec.name} cannot record all populations at once, only the outputs are recorded ({why})")
        return mapping
    return mapper.map(model, options, record=probes, seed=how.seed)


# --- running --------------------------------------------------------------------------------------------------------


def _run(
    mapping: Mapping,
    spec: DeviceSpec,
    options: dict[str, Any],
    feed: feeding.Feed,
    duration_ns: int,
    how: RunArguments,
    *,
    quiet: bool,
) -> runview.Took:
    from hal import registry

    recorder = _recorder(how.out)
    progress = Progress(duration_ns, lambda: recorder.events, quiet=quiet)
    recorder.on_advance.append(progress)
    with compiling() as compiled:
        try:
            with registry.open(spec.name, seed=how.seed, **options) as chip:
                chip.load(mapping)
                began = time.perf_counter()
                recording = chip.run(feed.stimulus, duration_ns, recorder=recorder, timeout_s=how.timeout_s)
                wall_s = time.perf_counter() - began
        except KeyboardInterrupt:
            raise _stopped(progress, how.out) from None
        except DeviceTimeoutError as error:
            raise _timed_out(error, how.out) from error
        finally:
            progress.close()
    return runview.Took(
        recording=recording,
        events=feed.events,
        wall_s=max(wall_s - compiled.seconds, 1e-9),
        compile_s=compiled.seconds,
        kind=recording.header.kind,
    )


def _recorder(out: str | None) -> Recorder:
    from hal.recorder import ArrowRecorder, MemoryRecorder

    return MemoryRecorder() if out is None else ArrowRecorder(out)


def _stopped(progress: Progress, out: str | None) -> BrokenOffError:
    kept, text = _kept(out)
    message = f"interrupted at {progress.reached()}; {text}"
    return BrokenOffError(message) if kept is None else BrokenOffError(message, kept=kept)


def _timed_out(error: DeviceTimeoutError, out: str | None) -> DeviceTimeoutError:
    kept, text = _kept(out)
    if kept is None:
        return DeviceTimeoutError(error.message, hint=text)
    return DeviceTimeoutError(error.message, hint=text, kept=kept)


def _kept(out: str | None) -> tuple[Path | None, str]:
    if out is None:
        return None, "nothing was kept (--out DIR keeps what was recorded)"
    path = Path(out)
    if not path.exists():
        return None, "nothing was recorded yet"
    return path, f"what was recorded until then is kept in {out}"


def _document(mapping: Mapping, feed: feeding.Feed, took: runview.Took) -> dict[str, Any]:
    recording: Recording = took.recording
    return {
        "device": recording.device,
        "kind": took.kind,
        "status": recording.status,
        "duration_ns": recording.duration_ns,
        "events_in": feed.events,
        "wall_s": took.wall_s,
        "compile_s": took.compile_s,
        "path": None if recording.path is None else str(recording.path),
        "spikes": {node: recording.event_count(node) for node in recording.header.nodes},
        "outputs": {result.name: result.to_json() for result in runview.results(mapping, recording)},
        "load": [load.to_json() for load in loadview.loads(mapping, recording)],
        "stats": {counter: per_core.tolist() for counter, per_core in recording.stats.items()},
        "recording": recording.to_json(),
        "mapping": summary(mapping),
    }
