"""`hal report`: a recording as one page, and its figures as pictures."""

from __future__ import annotations

import contextlib
from pathlib import Path

from hal.cli.failures import BadUsageError
from hal.cli.show import Page, print_json
from hal.errors import WriteError


def report(path: str, out: str | None, png: str | None, *, as_json: bool) -> int:
    """Write the page, the pictures, or both."""
    if out is None and png is None:
        raise BadUsageError("nothing to write", hint="--out report.html for the page, --png DIR for the figures")
    if out is not None:
        _refuse_target(out)
    if png is not None and Path(png).exists() and not Path(png).is_dir():
        raise BadUsageError(f"--png {png}: is no directory", hint="give the name of a folder")
    if not Path(path).is_dir():
        raise BadUsageError(f"RECORDING {path}: there is no such folder", hint="hal run ... --out DIR writes one")
    from hal.recording import read_recording
    from hal.report import figures
    from hal.report import report as made_of

    if png is not None:
        figures.require()
    recording = read_recording(path)
    facts: dict[str, object] = {"recording": path, "device": recording.device, "status": recording.status}
    page = Page()
    if out is not None:
        text = made_of(recording)
        _write(Path(out), text)
        facts |= {"out": out, "bytes": len(text.encode())}
        if not as_json:
            page.verbatim(f"{recording.device}, {recording.event_count():,} events: {facts['bytes']:,} bytes in {out}")
    if png is not None:
        drawn = figures.write(recording, png)
        facts["png"] = [str(file) for file in drawn]
        if not as_json:
            page.verbatim("\n".join(str(file) for file in drawn))
    if as_json:
        print_json(facts)
    return 0


def _refuse_target(out: str) -> None:
    """A report may take the place of an older one, and of nothing else."""
    from hal.report.page import GENERATOR

    target = Path(out)
    if not target.parent.is_dir():
        raise BadUsageError(f"--out {out}: there is no directory {target.parent}", hint="give the name of a file")
    if not target.exists():
        return
    if not target.is_file():
        raise BadUsageError(f"--out {out}: is no ordinary file", hint="give the name of a file")
    with target.open("rb") as file:
        if GENERATOR.encode() not in file.read(500):
            raise BadUsageError(f"--out {out}: is there already, and is no report", hint="give another name")


def _write(target: Path, text: str) -> None:
    """The whole page or none: written beside its place, then put there."""
    partial = target.with_name(target.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise WriteError(f"cannot write {target}: {error.strerror or error}", file=str(target)) from error
