"""`hal calibrate`: measure an individual, write its profile, and show how far its circuits were, and are, apart."""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hal.cli import arguments, resolve
from hal.cli.failures import BadUsageError, usage
from hal.cli.show import Page, add, assemble, console, number, plain, print_json, seconds, spans, table
from hal.cli.watching import compiling
from hal.errors import OptionalDependencyError

if TYPE_CHECKING:
    from hal.spec import DeviceSpec

WHEN: Final = ("before", "after")


def calibrate(name: str, rest: Sequence[str], out: str | None, plot: str | None, *, as_json: bool) -> int:
    """Calibrate; rest: options of the device's own, as --KEY VALUE or --KEY=VALUE. 0 even where circuits failed."""
    from hal import profiles

    spec = resolve.device(name)
    with usage():
        wanted = profiles.calibration_of(spec)
    options = _options(rest, wanted, spec)
    for option, path in (("--out", out), ("--plot", plot)):
        _target(option, path)
    pyplot = _pyplot() if plot is not None else None
    began = time.monotonic()
    with _Bar() as bar, compiling():
        profile: Any = profiles.calibrate(name, options, progress=bar)
    took = time.monotonic() - began
    if out is not None:
        profiles.save_profile(profile, out, spec.name)
    rows = profile.table()
    if pyplot is not None and plot is not None:
        _draw(pyplot, profile, rows, plot)
    if as_json:
        failed = [{"circuit": circuit, "parameter": parameter} for circuit, parameter in profile.reasons.items()]
        print_json(
            {"device": spec.name, "id": profile.id, "parameters": plain(rows), "failed": failed}
            | {"seconds": took, "versions": plain(profile.versions), "out": out, "plot": plot}
        )
    else:
        _show(spec, profile, rows, took, [path for path in (out, plot) if path is not None])
    return 0


# --- what was asked for ---------------------------------------------------------------------------------------------


def _options(rest: Sequence[str], cls: type, spec: DeviceSpec) -> Any:
    """--KEY VALUE texts as an instance of the class; times may have a unit (6us), and are seconds without."""
    from hal.config import build, json_schema

    properties: Mapping[str, Any] = json_schema(cls)["properties"]
    values: dict[str, Any] = {}
    words = list(rest)
    while words:
        word = words.pop(0)
        key, sign, text = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not key:
            raise BadUsageError(f"{word!r} is neither an option nor the value of one", hint="--KEY VALUE")
        if not sign:
            if not words or words[0].startswith("--"):
                raise BadUsageError(f"{word} has no value", hint=f"{word} VALUE")
            text = words.pop(0)
        field = key.replace("-", "_")
        if field in values:
            raise BadUsageError(f"--{key} is given twice")
        unit = next((kind["unit"] for kind in _kinds(properties.get(field, {})) if "unit" in kind), "")
        if unit == "s" and not _is_number(text):
            values[field] = _time_s(text, f"--{key}")
        else:
            values |= arguments.settings([f"{field}={text}"], cls, f"--{key}")
    with usage():
        return build(cls, values, f"the options of the calibration of {spec.name} are")


def _time_s(text: str, option: str) -> float:
    try:
        return arguments.time_ns(text, option) / 1e9
    except BadUsageError as error:
        hint = "a whole number of ns, as in 6us or 2.5us; s where there is no unit"
        raise BadUsageError(error.message, hint=hint) from None


def _kinds(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [schema, *schema.get("anyOf", ())]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _target(option: str, path: str | None) -> None:
    """Refuse, before anything is measured, a name under which no file can be written."""
    if path is None:
        return
    target = Path(path)
    if target.is_dir() or not target.parent.is_dir():
        what = "is a directory" if target.is_dir() else f"there is no directory {target.parent}"
        raise BadUsageError(f"{option} {path}: {what}", hint="give the name of a file")


# --- while it lasts -------------------------------------------------------------------------------------------------


class _Bar:
    """Progress on stderr where that is a terminal."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._bar: Any = None

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, of: int, what: str) -> None:
        if not self._console.is_terminal:
            return
        if self._bar is None:
            from rich import progress

            columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), progress.TaskProgressColumn())
            self._bar = progress.Progress(
                *columns, progress.TimeRemainingColumn(), console=self._console, transient=True
            )
            self._bar.start()
            self._task = self._bar.add_task(what, total=of)
        self._bar.update(self._task, completed=done, total=of, description=what)


# --- what came out --------------------------------------------------------------------------------------------------


def _show(spec: DeviceSpec, profile: Any, rows: Sequence[Mapping[str, Any]], took: float, paths: list[str]) -> None:
    page = Page()
    page.heading(assemble((spec.name, "bold"), f": {profile.id}"))
    of = len(profile.failed)
    page.line(f"{number(of)} circuits, {len(profile.reasons)} failed, {seconds(took)}", "dim")
    names = [f"{word} {when}" for when in WHEN for word in ("mean", "sd", "worst")]
    made = table("parameter", "aim", *names, right=("aim", *names), keep=("parameter",))
    for row in rows:
        cells = [_short(row[f"{word}_{when}"]) for when in WHEN for word in ("mean", "sd", "worst")]
        add(made, str(row["parameter"]), _short(row["aim"]), *cells)
    page.table(made)
    page.line("worst: farthest from the aim; all of circuits that reached every aim", "dim")
    if profile.reasons:
        page.heading("Circuits that failed, and will not be used")
        for parameter in dict.fromkeys(profile.reasons.values()):
            page.item(f"{parameter}: {spans(k for k, why in profile.reasons.items() if why == parameter)}")
    for path in paths:
        page.verbatim(f"written to {path}")


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if abs(value) < 1e-3 else f"{value:.4g}"


def _pyplot() -> Any:
    """Before minutes are spent on what could not be drawn."""
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
    except ImportError as error:
        raise OptionalDependencyError(
            "--plot needs matplotlib", hint="pip install 'neurohal[plot]'", package="matplotlib"
        ) from error
    matplotlib.use("Agg")
    return importlib.import_module("matplotlib.pyplot")


def _draw(pyplot: Any, profile: Any, rows: Sequence[Mapping[str, Any]], path: str) -> None:
    """Histograms of every parameter, before and after."""
    columns = min(3, len(rows))
    figure, axes = pyplot.subplots(
        math.ceil(len(rows) / columns), columns, figsize=(4 * columns, 5.5), squeeze=False, layout="constrained"
    )
    good = profile.failed < 0
    for axis, row in zip(axes.flat, rows, strict=False):
        seen = [getattr(getattr(profile, when), row["parameter"])[good] for when in WHEN]
        seen = [[v for v in values.tolist() if math.isfinite(v)] for values in seen]
        every = [value for values in seen for value in values] or [row["aim"]]
        axis.hist(seen, bins=40, range=(min(every), max(every)), histtype="stepfilled", alpha=0.6, label=WHEN)
        axis.set_yscale("log")
        axis.axvline(row["aim"], color="black", linewidth=0.8)
        axis.set_title(row["parameter"])
    axes.flat[0].legend()
    figure.suptitle(profile.id, fontsize=8)
    figure.savefig(path)
    pyplot.close(figure)
