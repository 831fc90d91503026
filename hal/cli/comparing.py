"""`hal compare`: one model on every device, or two recordings, or two mappings, side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from hal.cli import arguments, compareview, feeding, resolve
from hal.cli.failures import FAILED, BadUsageError, usage
from hal.cli.show import Page, console, print_json
from hal.errors import ConfigError

if TYPE_CHECKING:
    from hal.model import Model
    from hal.samples import Samples

PATIENCE_S: Final = 0.5
"""Wall seconds before anything is shown of what is under way."""


@attrs.frozen(kw_only=True)
class CompareArguments:
    """On what, and how it is judged. option, open_options: [DEVICE:]KEY=VALUE."""

    devices: Sequence[str] = ()
    labels: str | None = None
    duration: str | None = None
    unit: str | None = None
    option: Sequence[str] = ()
    open_options: Sequence[str] = ()
    read: str = "count"
    window: str | None = None
    seed: int = 0
    timeout_s: float | None = None
    html: str | None = None


def compare(given: resolve.ModelArguments, stimulus: Sequence[str], how: CompareArguments, *, as_json: bool) -> int:
    """Dispatch by what the first argument is: a model, a recording, or a mapping."""
    path = resolve.existing(given.model, "MODEL")
    if path.is_dir() or resolve.is_mapping(path):
        return _two(path, stimulus, given, how, as_json=as_json)
    if not stimulus:
        raise BadUsageError("nothing goes in: no STIMULUS", hint="hal compare MODEL FILE, or NAME=FILE for each Input")
    return _devices(given, stimulus, how, as_json=as_json)


def _two(
    path: Path, others: Sequence[str], given: resolve.ModelArguments, how: CompareArguments, *, as_json: bool
) -> int:
    """Two recordings or two mappings."""
    from hal.differing import mapping_difference, recording_difference
    from hal.mapping import read_mapping
    from hal.recording import read_recording

    recordings = path.is_dir()
    what = "recording" if recordings else "mapping"
    if len(others) != 1:
        raise BadUsageError(f"{path} is a {what}: what is it compared with?", hint=f"give one more {what}")
    if said := [*given.given(), *_said(how)]:
        raise BadUsageError(f"{', '.join(said)}: says nothing about two {what}s", hint="leave it out")
    other = resolve.existing(others[0], "the second " + what)
    if other.is_dir() != recordings or (not recordings and not resolve.is_mapping(other)):
        raise BadUsageError(f"{path} is a {what} and {other} is none", hint=f"give two {what}s, or a model first")
    window = 0 if how.window is None else arguments.time_ns(how.window, "--window", least=0)
    if recordings:
        found: Any = recording_difference(read_recording(path), read_recording(other), window_ns=window)
    else:
        found = mapping_difference(read_mapping(path), read_mapping(other))
    if as_json:
        print_json({"first": str(path), "second": str(other), **found.to_json()})
    else:
        compareview.difference(Page(), str(path), str(other), found)
    return 0 if found.same else FAILED


def _said(how: CompareArguments) -> list[str]:
    said = {
        "--devices": how.devices,
        "--labels": how.labels,
        "--duration": how.duration,
        "--unit": how.unit,
        "--option": how.option,
        "--open": how.open_options,
        "--timeout": how.timeout_s,
        "--html": how.html,
    }
    return [name for name, value in said.items() if value]


# --- one model on many devices ----------------------------------------------------------------------------------------


def _devices(given: resolve.ModelArguments, stimulus: Sequence[str], how: CompareArguments, *, as_json: bool) -> int:
    from hal.comparing import compare

    devices = [resolve.device(name).name for name in arguments.words(how.devices)] or None
    window = None if how.window is None else arguments.time_ns(how.window, "--window", least=0)
    if how.html is not None and not Path(how.html).absolute().parent.is_dir():
        raise BadUsageError(f"--html {how.html}: there is no directory {Path(how.html).parent}")
    if how.timeout_s is not None and not how.timeout_s > 0:
        raise BadUsageError(f"--timeout {how.timeout_s:g}: wall seconds greater than 0")
    options, open_options = (_by_device(said, word) for said, word in ((how.option, "map"), (how.open_options, "open")))
    model = resolve.model(given)
    fed = _samples(stimulus, model, how)
    watch = Watch()
    read: Any = how.read
    try:
        found = compare(
            model,
            fed,
            devices=devices,
            approximate=arguments.words(given.approximate),
            options=options,
            open_options=open_options,
            read=read,
            window_ns=window,
            seed=how.seed,
            timeout_s=how.timeout_s,
            progress=watch,
        )
    except ConfigError as error:
        raise BadUsageError(error.message, hint=error.hint, problems=error.problems) from error
    finally:
        watch.close()
    found = attrs.evolve(found, model=given.model)
    if how.html is not None:
        from hal.comparepage import page

        Path(how.html).write_text(page(found), encoding="utf-8")
    if as_json:
        print_json(found.to_json() | {"html": how.html})
    else:
        shown = Page()
        compareview.comparison(shown, found)
        if how.html is not None:
            shown.gap()
            shown.verbatim(f"written to {how.html}")
    return 0 if any(result.verdict == "runs" for result in found.devices) else FAILED


def _by_device(said: Sequence[str], word: str) -> dict[str, dict[str, Any]]:
    """DEVICE:KEY=VALUE texts, as options by device."""
    texts: dict[str, list[str]] = {}
    flag = "--option" if word == "map" else "--open"
    for text in said:
        name, colon, rest = text.partition(":")
        if not colon or "=" in name:
            raise BadUsageError(f"{flag}: {text} is for no device", hint=f"{flag} DEVICE:KEY=VALUE")
        texts.setdefault(resolve.device(name).name, []).append(rest)
    out = {}
    for name, pairs in texts.items():
        spec = resolve.device(name)
        if word == "open":
            out[name] = resolve.open_options(pairs, spec)
        else:
            out[name] = arguments.settings(pairs, spec.map_options, flag)
    return out


def _samples(stimulus: Sequence[str], model: Model, how: CompareArguments) -> Samples:
    from hal.samples import input_ports, read_labels, samples

    duration = None if how.duration is None else arguments.time_ns(how.duration, "--duration", least=1)
    labels = None if how.labels is None else read_labels(resolve.existing(how.labels, "--labels"))
    with usage():
        files = feeding.assign(stimulus, input_ports(model), ())
        return samples(files, model, labels=labels, duration_ns=duration, unit=how.unit)


class Watch:
    """Shows on a terminal which device is at what, and how many samples are done."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._began = time.monotonic()
        self._bar: Any = None

    def __call__(self, device: str, what: str, done: int, total: int) -> None:
        """See `hal.comparing.Progress`."""
        if not self._console.is_terminal or time.monotonic() - self._began < PATIENCE_S:
            return
        if self._bar is None:
            self._open()
        self._bar.update(self._task, description=f"{device}: {what}", completed=done, total=total)

    def _open(self) -> None:
        from rich import progress

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TextColumn("{task.completed} of {task.total} samples"),
            console=self._console,
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=1)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
