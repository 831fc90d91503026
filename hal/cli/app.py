"""The commands and their options. Parsing gives a job; what it does lives in the other modules of this package."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final

import typer

from hal.cli.failures import USAGE, BadUsageError

Job = Callable[[], int]

app = typer.Typer(
    name="hal",
    help="One way to any neuromorphic chip: check, map, run and record spiking networks.",
    epilog="Exit codes: 0 done, 1 does not fit or failed, 2 the command line is wrong, 130 interrupted.",
    add_completion=False,
    pretty_exceptions_enable=False,
    # plain help: no boxes in pipes, no brackets read as markup, and rich is not needed for it
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# typer reads these at run time
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, errors too.")]
ModelPath = Annotated[str, typer.Argument(metavar="MODEL", help="A NIR file.")]
DeviceName = Annotated[str, typer.Option("--device", "-d", metavar="NAME", help="See `hal devices`.")]
SemanticsName = Annotated[
    str | None,
    typer.Option(metavar="PROFILE|FILE", help="How to execute the model: a framework's profile, or a JSON file."),
]
StepText = Annotated[str | None, typer.Option("--dt", metavar="TIME", help="Length of a step: 1ms.")]
MapPairs = Annotated[
    list[str], typer.Option("--option", metavar="KEY=VALUE", help="An option of the mapper; see `hal info NAME`.")
]
Words = Annotated[
    list[str], typer.Option("--approximate", metavar="WORD", help="What the mapper may change: leak, reset, delays ...")
]
DropBatch = Annotated[bool, typer.Option("--drop-batch-axis", help="Drop batch axes an exporter left in the shapes.")]
SeedNumber = Annotated[int, typer.Option("--seed", help="Of everything random.")]
ProfilePath = Annotated[
    str | None, typer.Option(metavar="FILE", help="Of the individual chip; `hal calibrate` writes one.")
]
OutPath = Annotated[str | None, typer.Option("--out", "-o", metavar="FILE", help="Write the mapping.")]
Text = str | None
NONE: Final[list[str]] = []


def parse(arguments: list[str]) -> Job:
    """The job that the arguments ask for. Raises BadUsageError."""
    command: Any = typer.main.get_command(app)
    # typer has brought click along in some versions and kept its own copy in others: its errors are found by way of
    # the one that typer gives out
    error_class: Any = typer.BadParameter.__mro__[1]
    try:
        job = command.main(args=arguments, prog_name="hal", standalone_mode=False)
    except error_class as error:
        path = error.ctx.command_path if error.ctx is not None else "hal"
        raise BadUsageError(error.format_message(), hint=f"{path} --help") from None
    # help and version have printed what they have to say
    return job if callable(job) else lambda: job or 0


@app.callback(invoke_without_command=True)
def top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks (also HAL_DEBUG=1).")] = False,
) -> Job:
    """One way to any neuromorphic chip: check, map, run and record spiking networks."""
    if version:
        from hal import __version__

        print(f"neurohal {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(USAGE)
    return lambda: 0


@app.command()
def devices(
    everything: Annotated[bool, typer.Option("--all", help="Load every plugin; show faults and aliases.")] = False,
    as_json: Json = False,
) -> Job:
    """List the devices."""
    from hal.cli import listing

    return partial(listing.devices, as_json=as_json, everything=everything)


@app.command()
def info(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A device; see `hal devices`.")],
    schema: Annotated[
        Text, typer.Option(metavar="map|open|config|profile|calibration", help="Print a JSON Schema.")
    ] = None,
    as_json: Json = False,
) -> Job:
    """Show what a device can do, its limits and its options."""
    from hal.cli import describing

    return partial(describing.info, name, schema, as_json=as_json)


@app.command()
def check(
    model: ModelPath,
    device: DeviceName,
    semantics: SemanticsName = None,
    dt: StepText = None,
    option: MapPairs = NONE,
    approximate: Words = NONE,
    rate: Annotated[
        list[str], typer.Option(metavar="NODE=20kHz", help="Events per second of a whole node, for run-time limits.")
    ] = NONE,
    rate_from: Annotated[
        Text, typer.Option(metavar="RECORDING", help="Rates as recorded; what --rate says comes first.")
    ] = None,
    profile: ProfilePath = None,
    drop_batch_axis: DropBatch = False,
    as_json: Json = False,
) -> Job:
    """Say whether a model fits a device, and every reason why not."""
    from hal.cli import fitting, resolve

    given = resolve.ModelArguments(
        model=model,
        device=device,
        semantics=semantics,
        dt=dt,
        option=option,
        approximate=approximate,
        drop_batch_axis=drop_batch_axis,
        profile=profile,
    )
    return partial(fitting.check, given, rate, rate_from, as_json=as_json)


@app.command(name="map")
def map_(
    model: ModelPath,
    device: DeviceName,
    semantics: SemanticsName = None,
    dt: StepText = None,
    option: MapPairs = NONE,
    approximate: Words = NONE,
    record: Annotated[
        list[str], typer.Option(metavar="NODE[:VARIABLE]", help="Record besides the outputs: a node, or its state.")
    ] = NONE,
    seed: SeedNumber = 0,
    out: OutPath = None,
    profile: ProfilePath = None,
    drop_batch_axis: DropBatch = False,
    as_json: Json = False,
) -> Job:
    """Place a model on a device; show where everything went, and write the mapping."""
    from hal.cli import fitting, resolve

    given = resolve.ModelArguments(
        model=model,
        device=device,
        semantics=semantics,
        dt=dt,
        option=option,
        approximate=approximate,
        drop_batch_axis=drop_batch_axis,
        profile=profile,
    )
    return partial(fitting.map_, given, seed=seed, record=record, out=out, as_json=as_json)


@app.command()
def run(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A NIR file, or a mapping written by `hal map`.")],
    device: Annotated[Text, typer.Option("--device", "-d", metavar="NAME", help="See `hal devices`.")] = None,
    semantics: SemanticsName = None,
    dt: StepText = None,
    inputs: Annotated[
        list[str],
        typer.Option(
            "--input",
            "-i",
            metavar="[NAME=]FILE",
            help="Events or a raster: .npy, .csv, .es, .dat, .raw, .aedat4, NIR data.",
        ),
    ] = NONE,
    unit: Annotated[Text, typer.Option(metavar="UNIT", help="Of times in the files: ns, us, ms, s.")] = None,
    origin: Annotated[
        Text, typer.Option(metavar="CORNER", help="Where y is 0 in the files: top-left, bottom-left. [default: theirs]")
    ] = None,
    from_first: Annotated[bool, typer.Option("--from-first", help="Let the first event of a file be at 0.")] = False,
    recording: Annotated[Text, typer.Option("--from", metavar="RECORDING", help="Replay its stimulus.")] = None,
    duration: Annotated[
        Text, typer.Option(metavar="TIME", help="Model time to run. [default: last event to the next step, plus one]")
    ] = None,
    record: Annotated[
        list[str],
        typer.Option(
            metavar="NODE[:VARIABLE]",
            help="Record besides the outputs: `all` populations that spike, `none`, a node, its state variable at the "
            "end, or sampled: fc:v@1ms. [default: all]",
        ),
    ] = NONE,
    out: Annotated[
        Text, typer.Option("--out", "-o", metavar="DIR", help="Write the recording to a new folder.")
    ] = None,
    option: MapPairs = NONE,
    open_: Annotated[
        list[str], typer.Option("--open", metavar="KEY=VALUE", help="An option of the device; see `hal info NAME`.")
    ] = NONE,
    approximate: Words = NONE,
    seed: SeedNumber = 0,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="Wall time after which to stop.")] = None,
    profile: ProfilePath = None,
    drop_batch_axis: DropBatch = False,
    as_json: Json = False,
) -> Job:
    """Run events through a model on a device; show what came out, and record it."""
    from hal.cli import resolve, running

    given = resolve.ModelArguments(
        model=model,
        device=device,
        semantics=semantics,
        dt=dt,
        option=option,
        approximate=approximate,
        drop_batch_axis=drop_batch_axis,
        profile=profile,
    )
    how = running.RunArguments(
        inputs=inputs,
        unit=unit,
        origin=origin,
        from_first=from_first,
        recording=recording,
        duration=duration,
        record=record,
        seed=seed,
        out=out,
        timeout_s=timeout,
        open_options=open_,
    )
    return partial(running.run, given, how, as_json=as_json)


@app.command()
def watch(
    recording: Annotated[str, typer.Argument(metavar="RECORDING", help="The folder that `hal run --out` is writing.")],
    patience: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Wall time without news after which to stop.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document per line and update.")] = False,
) -> Job:
    """Follow a run that another process is recording, until it ends."""
    from hal.cli import following

    return partial(following.watch, recording, patience, as_json=as_json)


@app.command()
def compare(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A NIR file; or a recording, or a saved mapping.")],
    stimulus: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]STIMULUS...",
            help="What `hal run --input` takes, or a set of samples: .npz with t, index, splits and labels. For a "
            "recording or a mapping: the second one.",
        ),
    ] = NONE,
    devices: Annotated[
        list[str], typer.Option("--devices", "-d", metavar="NAME,...", help="[default: all emulators but ideal]")
    ] = NONE,
    labels: Annotated[Text, typer.Option(metavar="FILE", help="A class for each sample: .npy or text.")] = None,
    semantics: SemanticsName = None,
    dt: StepText = None,
    approximate: Words = NONE,
    option: Annotated[
        list[str], typer.Option("--option", metavar="DEVICE:KEY=VALUE", help="An option of a device's mapper.")
    ] = NONE,
    open_: Annotated[
        list[str], typer.Option("--open", metavar="DEVICE:KEY=VALUE", help="An option of a device.")
    ] = NONE,
    unit: Annotated[Text, typer.Option(metavar="UNIT", help="Of times in the files: ns, us, ms, s.")] = None,
    duration: Annotated[Text, typer.Option(metavar="TIME", help="Model time of each sample.")] = None,
    read: Annotated[
        str, typer.Option(metavar="count|first", help="What decides a class: most spikes, or the first spike.")
    ] = "count",
    window: Annotated[
        Text,
        typer.Option(
            metavar="TIME", help="How far spikes of a pair may be apart. [default: 0 if clocked, else a step]"
        ),
    ] = None,
    seed: SeedNumber = 0,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="Wall time for each device.")] = None,
    html: Annotated[Text, typer.Option(metavar="FILE", help="Write a page that stands alone.")] = None,
    drop_batch_axis: DropBatch = False,
    as_json: Json = False,
) -> Job:
    """Run a model on every device, side by side; or show how two recordings or two mappings differ."""
    from hal.cli import comparing, resolve

    given = resolve.ModelArguments(
        model=model,
        device=None,
        semantics=semantics,
        dt=dt,
        approximate=approximate,
        drop_batch_axis=drop_batch_axis,
    )
    how = comparing.CompareArguments(
        devices=devices,
        labels=labels,
        duration=duration,
        unit=unit,
        option=option,
        open_options=open_,
        read=read,
        window=window,
        seed=seed,
        timeout_s=timeout,
        html=html,
    )
    return partial(comparing.compare, given, stimulus, how, as_json=as_json)


@app.command()
def report(
    recording: Annotated[str, typer.Argument(metavar="RECORDING", help="A folder written by `hal run --out`.")],
    out: Annotated[
        Text, typer.Option("--out", "-o", metavar="FILE.html", help="Write one page, for any browser.")
    ] = None,
    png: Annotated[Text, typer.Option(metavar="DIR", help="Write the figures as pictures (needs matplotlib).")] = None,
    as_json: Json = False,
) -> Job:
    """Show a recording: floor plan, rasters, signals, load of the cores, losses, provenance."""
    from hal.cli import reporting

    return partial(reporting.report, recording, out, png, as_json=as_json)


@app.command()
def export(
    source: Annotated[
        str,
        typer.Argument(metavar="MAPPING|RECORDING", help="What `hal map --out` or `hal run --out` has written."),
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="Of a mapping: what a vendor's tool takes, see `hal info NAME`. Of a recording: nir, hdf5, parquet.",
        ),
    ],
    out: Annotated[
        Text, typer.Option("--out", "-o", metavar="FILE", help="Write a new file. [default: text on stdout]")
    ] = None,
    as_json: Json = False,
) -> Job:
    """Write a mapping in the format of the chip vendor's tool, or a recording as NIR data, HDF5 or Parquet."""
    from hal.cli import exporting

    return partial(exporting.export, source, to, out, as_json=as_json)


@app.command(name="import")
def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What a vendor's tool has written.")],
    format_: Annotated[str, typer.Option("--from", metavar="FORMAT", help="Its format; see `hal info NAME`.")],
    device: Annotated[
        Text, typer.Option("--device", "-d", metavar="NAME", help="[default: the one device that reads the format]")
    ] = None,
    out: OutPath = None,
    as_json: Json = False,
) -> Job:
    """Read a file of the chip vendor's tool as a mapping; show where everything is, and write the mapping."""
    from hal.cli import importing

    return partial(importing.import_, file, format_, device, out, as_json=as_json)


@app.command()
def conform(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A device; see `hal devices`.")],
    level: Annotated[
        Text, typer.Option(metavar="bronze|silver|gold", help="Only checks up to this level, which must be reached.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="ID", help="Only this check; may be given again.")] = None,
    report: Annotated[Text, typer.Option(metavar="DIR", help="Write the report to a folder.")] = None,
    compare: Annotated[Text, typer.Option(metavar="OLD", help="An earlier report; fail on what got worse.")] = None,
    expect: Annotated[Text, typer.Option(metavar="FILE.toml", help="Expected failures, with reason and date.")] = None,
    as_json: Json = False,
) -> Job:
    """Judge a device by the conformance suite."""
    from hal.cli import conforming

    asked = conforming.Asked(level=level, only=tuple(only or ()), report=report, compare=compare, expect=expect)
    return partial(conforming.conform, name, asked, as_json=as_json)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def calibrate(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A device; see `hal devices`.")],
    out: Annotated[Text, typer.Option("--out", "-o", metavar="FILE", help="Write the profile.")] = None,
    plot: Annotated[Text, typer.Option(metavar="FILE.png", help="Draw how far circuits are apart.")] = None,
    as_json: Json = False,
) -> Job:
    """Measure one individual chip, and find what makes its circuits alike.

    What it is calibrated for is said by the device's own options, --KEY VALUE: see `hal info NAME`.
    """
    from hal.cli import calibrating

    return partial(calibrating.calibrate, name, list(context.args), out, plot, as_json=as_json)


@app.command(name="new-plugin")
def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the chip: letters, digits, - and _.")],
    directory: Annotated[Text, typer.Option(metavar="DIR", help="Where the project goes. [default: here]")] = None,
    as_json: Json = False,
) -> Job:
    """Write a project for a new chip: a plugin that passes silver, to be changed into your own."""
    from hal.cli import newplugin

    return partial(newplugin.new_plugin, name, directory, as_json=as_json)


@app.command()
def doctor(as_json: Json = False) -> Job:
    """Look for what is broken: versions, plugins, clashes, caches, vendor packages."""
    from hal.cli import doctoring

    return partial(doctoring.doctor, as_json=as_json)
