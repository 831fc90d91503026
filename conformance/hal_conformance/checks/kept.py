"""What is kept: recordings that are replayed or torn, mappings of other devices, ways to the vendor's tools."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

import hal
from hal import registry
from hal.errors import CapabilityError, ConfigError, DeviceBusyError, FormatError, OptionalDependencyError
from hal.events import Records
from hal.recorder import ArrowRecorder
from hal.vendor import look
from hal_conformance.checks.honesty import Bench, said
from hal_conformance.context import STEP_NS, STEPS, Context, Subject
from hal_conformance.failure import demand, fail
from hal_conformance.networks.variants import rules
from hal_conformance.raising import helpful, raises
from hal_conformance.rulebook import check

DURATION: Final = STEPS * STEP_NS


@check("REC-010", level="silver")
def check_replayed(ctx: Context) -> None:
    """Given a recording on disk, when its stimulus runs on the saved mapping again, then it is the same recording."""
    mapping = ctx.mapping(record=ctx.witness.populations[:-1])
    mapping.save(ctx.folder() / "mapping.zip")
    stored = ctx.folder() / "run"
    first = ctx.run(ctx.loaded(mapping), {ctx.witness.input: ctx.stimulus()}, DURATION, to=stored)
    recording = hal.read_recording(stored)
    again = ctx.loaded(hal.read_mapping(ctx.folder() / "mapping.zip"), seed=recording.header.seed)
    replayed = ctx.run(again, dict(recording.stimulus), recording.duration_ns)
    ctx.equal("the run and its replay from disk", replayed, first)


@check("REC-011", level="silver")
def check_torn(ctx: Context) -> None:
    """Given a run that is killed while it is recorded, when the disk is read, then all is there that it had reached.

    What lies on disk at each `advance` is what a process leaves behind that is killed there: it is copied and read.
    """
    mapping = ctx.mapping()
    stimulus = {ctx.witness.input: ctx.stimulus()}
    path = ctx.folder() / "run"
    recorder = ArrowRecorder(path)
    copies: list[tuple[int, Path]] = []

    def copied(t_ns: int) -> None:
        copies.append((t_ns, ctx.folder() / f"killed {len(copies)}"))
        shutil.copytree(path, copies[-1][1])

    recorder.on_advance.append(copied)
    whole = ctx.run(ctx.loaded(mapping), stimulus, DURATION, recorder=recorder)
    demand(copies, "a run ended without a single call of advance")
    for reached, copy in copies:
        torn = hal.read_recording(copy)
        demand(torn.status == "interrupted", f"a recording that was not finished has the status {torn.status!r}")
        for name, spikes in torn.spikes.items():
            found, wanted = (train[train["t"] < reached] for train in (spikes, whole.spikes[name]))
            told = f"{name!r}, killed at {reached} ns: {found.size} of {wanted.size} spikes until then are on disk"
            demand(np.array_equal(found, wanted), told)
    ctx.measure("kills", len(copies))


@check("MAP-014", level="silver")
def check_approximated(ctx: Context) -> None:
    """Given leave to approximate all there is, when each word of the semantics is mapped, then changes are named."""
    allowed = ctx.spec.map_options.approximations
    ctx.measure("approximations", ", ".join(allowed) or "none")
    wrong = {"approximate": ["no such word"]}
    error = raises(ConfigError, "leave to approximate what there is not", lambda: ctx.mapper().map(_model(ctx), wrong))
    demand("no such word" in str(error), f"the error does not name the word: {error}")
    if not allowed:
        return
    bench, changed, faults = Bench.of(ctx), 0, []
    for variant in rules(ctx.witness, ctx.capabilities, ctx.spec.clock.kind == "clocked"):
        plain = ctx.mapper().check(variant.varied)
        report = ctx.mapper().check(variant.varied, {"approximate": list(allowed)})
        if plain.fits or not report.fits or bench.shows(variant) is None:
            continue
        changed += 1
        if not said(ctx, variant, report.changed):
            faults.append(
                f"{variant.label}: refused without leave; with it, nothing that is changed is named: {report}"
            )
    ctx.measure("changed", changed)
    demand(not faults, "; ".join(faults))


def _model(ctx: Context) -> hal.Model:
    return ctx.witness.model


@check("MAP-015", level="silver")
def check_loads(ctx: Context) -> None:
    """Given the devices whose mappings it says it loads, when one is mapped for them, then it runs as there.

    A device with another clock is another mode of the chip: there it only has to run.
    """
    ctx.measure("loads", ", ".join(ctx.spec.loads) or "its own alone")
    for name in ctx.spec.loads:
        witness = Subject(name=name).witness
        if isinstance(witness, str):
            fail(f"{name}, whose mappings it loads, maps no witness: {witness}")
        mapping = registry.mapper(name).map(witness.model)
        stimulus = {witness.input: ctx.stimulus()}
        with registry.open(name) as original:
            original.load(mapping)
            wanted = ctx.run(original, stimulus, DURATION).spikes[witness.output]
        try:
            device = ctx.loaded(mapping)
        except DeviceBusyError:
            raise
        except Exception as error:
            fail(f"a mapping made for {name} is not loaded: {type(error).__name__}: {error}")
        recording = ctx.run(device, stimulus, DURATION)
        demand(recording.status == "ok", f"a mapping made for {name} runs {recording.status!r}")
        if registry.spec(name).clock.kind != ctx.spec.clock.kind:
            continue
        share = ctx.share(recording.spikes[witness.output], wanted)
        demand(share == 1.0, f"of a mapping made for {name}, {share:.1%} of the spikes are those that it gives there")


@check("MAP-016", level="silver")
def check_exports(ctx: Context) -> None:
    """Given the vendors' formats, when a mapping is exported, saved or not, then it is all there, and always the same.

    That other formats are refused is the core's own doing.
    """
    ctx.measure("exports", ", ".join(ctx.spec.exports) or "none")
    if not ctx.spec.exports:
        return
    mapping, other = ctx.mapping(), ctx.mapping(ctx.witness.reweighted())
    mapping.save(ctx.folder() / "mapping.zip")
    again = hal.read_mapping(ctx.folder() / "mapping.zip")
    for form in ctx.spec.exports:
        one = hal.export(mapping, form)
        demand(len(one) > 0, f"exported to {form}, the mapping is empty")
        demand(hal.export(mapping, form) == one, f"exported to {form} twice, the mapping differs")
        demand(hal.export(again, form) == one, f"exported to {form} after it was saved, the mapping differs")
        demand(hal.export(other, form) != one, f"exported to {form}, other weights are the same text")


@check("MAP-017", level="silver")
def check_imports(ctx: Context) -> None:
    """Given formats that a device writes and reads, when an export is read, then it is adopted and runs as the mapping.

    Half of an exported file is refused with a FormatError.
    """
    both = [form for form in ctx.spec.imports if form in ctx.spec.exports]
    ctx.measure("imports", ", ".join(both) or "none")
    if not both:
        return
    stimulus = ctx.stimulus()
    for form in both:
        for k, witness in enumerate((ctx.witness, ctx.witness.reweighted())):
            mapping = ctx.mapping(witness)
            path = ctx.folder() / f"exported {form} {k}"
            made = hal.export(mapping, form)
            path.write_bytes(made if isinstance(made, bytes) else made.encode("utf-8"))
            wanted = ctx.run(ctx.loaded(mapping), {witness.input: stimulus}, DURATION).spikes[witness.output]
            got = _imported(ctx, path, form, stimulus)
            best = max(ctx.share(spikes, wanted) for spikes in got.values())
            demand(best == 1.0, f"read back from {form}, {best:.1%} of the spikes are those of the mapping")
        torn = ctx.folder() / f"half {form}"
        torn.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        what = f"reading half of a file of {form}"
        raises(FormatError, what, partial(hal.import_mapping, torn, form, device=ctx.spec.name))


def _imported(ctx: Context, path: Path, form: str, stimulus: Records) -> Mapping[str, Records]:
    """Spikes of what was exported, adopted from the file."""
    try:
        adopted = hal.import_mapping(path, form, device=ctx.spec.name)
    except DeviceBusyError:
        raise
    except Exception as error:
        fail(f"what was exported to {form} is not read: {type(error).__name__}: {error}")
    demand(adopted.inputs and adopted.outputs, f"it has inputs {adopted.inputs} and outputs {adopted.outputs}")
    return ctx.run(ctx.loaded(adopted), {adopted.inputs[0].name: stimulus}, DURATION).spikes


@check("LOAD-007", level="bronze")
def check_hardware(ctx: Context) -> None:
    """Given hardware where the vendor's package is missing, when it is opened, then the error says what to install."""
    ctx.measure("kinds", ", ".join(ctx.spec.kinds))
    if "hardware" not in ctx.spec.kinds:
        return
    vendor = ctx.spec.vendor
    if vendor and look(vendor).compiled:
        ctx.measure("vendor", f"{look(vendor)}; not opened")
        return
    try:
        ctx.open(kind="hardware")
    except (OptionalDependencyError, CapabilityError) as error:
        demand(not vendor or vendor in str(error), f"the error does not name the package {vendor!r}: {error}")
        helpful(error)
    else:
        fail(f"hardware was opened, and the vendor's package {vendor or '(none is named)'} is not here")
