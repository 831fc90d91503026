"""`hal export`: a saved mapping in the format of a vendor's tool, a recording in one of everyone's."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from hal.cli import resolve
from hal.cli.failures import BadUsageError, note, usage
from hal.cli.show import Page, print_json
from hal.errors import WriteError


def export(path: str, to: str, out: str | None, *, as_json: bool) -> int:
    """Write the export to a new file (Parquet: a new folder), or text on stdout."""
    source = resolve.existing(path, "MAPPING or RECORDING")
    if out is not None:
        _refuse_target(out)
    if resolve.is_mapping(source):
        return _mapping(source, to, out, as_json=as_json)
    if resolve.is_recording(source):
        return _recording(source, to, out, as_json=as_json)
    raise BadUsageError(
        f"{path} is no saved mapping and no recording",
        hint="make one: hal map MODEL --device NAME --out FILE, or hal run ... --out DIR; then export it",
    )


def _recording(source: Path, to: str, out: str | None, *, as_json: bool) -> int:
    from hal.exchange import check_format, export_recording
    from hal.recording import read_recording

    with usage():
        check_format(to)
    if out is None:
        raise BadUsageError("an exported recording is no text: it is not printed", hint="give --out FILE")
    recording = read_recording(source)
    if recording.status != "ok":
        note(f"the recording is {recording.status}: what there is of it is exported")
    export_recording(recording, out, to)
    facts = {"device": recording.device, "to": to, "out": out, "events": recording.event_count()}
    if as_json:
        print_json({**facts, "status": recording.status})
    else:
        Page().verbatim(f"recording of {recording.device} to {to}, {facts['events']:,} events, written to {out}")
    return 0


def _mapping(source: Path, to: str, out: str | None, *, as_json: bool) -> int:
    from hal import exporting, registry
    from hal.mapping import read_mapping

    mapping = read_mapping(source)
    with usage():
        exporting.check_format(registry.spec(mapping.device), to)
    made = exporting.export(mapping, to)
    data = made if isinstance(made, bytes) else made.encode("utf-8")
    if out is not None:
        _write_new(Path(out), data)
    elif isinstance(made, bytes):
        raise BadUsageError(f"{to} of {mapping.device} is no text: it is not printed", hint="give --out FILE")
    facts = {"device": mapping.device, "to": to, "out": out, "bytes": len(data)}
    if as_json:
        print_json(facts if out is not None else {**facts, "text": made})
    elif out is not None:
        Page().verbatim(f"{mapping.device} to {to}, {len(data):,} bytes, written to {out}")
    else:
        # the bytes of the file, whatever encoding the terminal has
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    return 0


def _refuse_target(out: str) -> None:
    """A name under which nothing new can be written is a fault of the command line."""
    target = Path(out)
    if os.path.lexists(target):
        raise BadUsageError(f"--out {out}: is there already", hint="an export overwrites nothing: give another name")
    if not target.parent.is_dir():
        raise BadUsageError(f"--out {out}: there is no directory {target.parent}", hint="give the name of a file")


def _write_new(target: Path, data: bytes) -> None:
    """The whole file or none: written beside its place, then put there."""
    partial = target.with_name(target.name + ".partial")
    try:
        partial.write_bytes(data)
        if os.path.lexists(target):
            raise FileExistsError("another program has written it meanwhile")
        partial.rename(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise WriteError(f"cannot write {target}: {error.strerror or error}", file=str(target)) from error
        raise
