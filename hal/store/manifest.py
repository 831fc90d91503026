"""A recording on disk: a directory of Arrow streams and the manifest that says what they are.

    manifest.json            what the run was, what every stream holds, how it ended
    mapping.zip              what was loaded, as `Mapping.save` writes it
    spikes/NODE.arrows       t (ns), index            signals/OUTPUT.arrows      t, values
    traces/NODE.VAR.arrows   t, values                stimulus/PORT.arrows       as it was fed in
    intervals.arrows         what, core, t0, t1

The manifest is written when the run starts, saying "interrupted", and replaced when it ends. Every stream carries the
run's header in its schema, so that the directory can be read even without the manifest.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import attrs
import nanoarrow
import numpy as np

from hal.errors import ConfigError, FormatError, WriteError
from hal.events import I64, Probe, Records, Signal
from hal.fit import Finding
from hal.store import arrow

if TYPE_CHECKING:
    from hal.mapping import Mapping as ChipMapping

FORMAT = "neurohal recording"
VERSION = 1
MANIFEST = "manifest.json"
MAPPING: Final = "mapping.zip"

Status: TypeAlias = Literal["ok", "interrupted", "untrusted"]
STATUSES: tuple[Status, ...] = ("ok", "interrupted", "untrusted")
Key: TypeAlias = tuple[str, str]
"""A recorded column: (node, variable). Events have the variable "spikes", a signal Output "output"."""
Group: TypeAlias = Literal["spikes", "signals", "traces", "stimulus", "intervals"]

INTERVAL = np.dtype([("what", "<U32"), ("core", "<i4"), ("t0", "<i8"), ("t1", "<i8")])
"""A stretch of a run in which something held, such as a stall: model ns from t0 up to t1; core -1 is the whole chip."""


def _shape(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(length) for length in shape)


def _shapes(nodes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    return {node: _shape(shape) for node, shape in nodes.items()}


@attrs.frozen(kw_only=True, eq=False)
class RunHeader:
    """What is known of a run before it starts.

    Attributes:
        device, kind: name, and "emulator" or "hardware".
        nodes: shapes of everything whose events are recorded. signals: shapes of the signal Outputs.
        traces: state variables to sample. cores: how many the counters are kept for. counters: their names.
        t0_ns: model time at which the run starts. duration_ns: its length. step_ns: None on event devices.
        run, seed: number since load, and what noise was seeded with.
        provenance: what JSON can hold: versions, mapping, fingerprint of the model, semantics, options.
        stimulus: what is fed in, as checked, so that the run can be repeated.
        mapping: what was loaded; None where nobody said, and when read back from disk (see `Recording.mapping`).
    """

    device: str
    kind: str
    nodes: Mapping[str, tuple[int, ...]] = attrs.field(converter=_shapes)
    duration_ns: int
    signals: Mapping[str, tuple[int, ...]] = attrs.field(factory=dict, converter=_shapes)
    traces: tuple[Probe, ...] = ()
    cores: int = 1
    counters: tuple[str, ...] = ()
    t0_ns: int = 0
    step_ns: int | None = None
    run: int = 0
    seed: int = 0
    provenance: Mapping[str, Any] = attrs.field(factory=dict)
    stimulus: Mapping[str, Records | Signal] = attrs.field(factory=dict)
    mapping: ChipMapping | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object with everything but stimulus and mapping."""
        out = attrs.asdict(self, recurse=False, filter=lambda field, _: field.name not in ("stimulus", "mapping"))
        out["traces"] = [attrs.asdict(probe) for probe in self.traces]
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunHeader:
        """The inverse of `to_json`. Raises KeyError, TypeError or ValueError for what is no header."""
        traces = tuple(
            Probe(**(probe | {"indices": None if probe["indices"] is None else tuple(probe["indices"])}))
            for probe in data["traces"]
        )
        return cls(**(dict(data) | {"traces": traces, "counters": tuple(data["counters"])}))


@attrs.frozen
class Tally:
    """How a column was written: rows, rows whose time is before the row above, rows with the same time as that."""

    rows: int = 0
    disorder: int = 0
    repeats: int = 0


@attrs.frozen(kw_only=True)
class StreamEntry:
    """One stream file of a recording: whose it is, and, once the run has ended, what it must hold."""

    group: Group
    node: str
    variable: str
    kind: Literal["events", "signal", "intervals"]
    shape: tuple[int, ...] = attrs.field(converter=_shape)
    file: str = attrs.field()
    rows: int = 0
    batches: int = 0
    bytes: int = 0
    sha256: str = ""
    disorder: int = 0
    repeats: int = 0

    @file.validator
    def _stays_inside(self, _: Any, value: str) -> None:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in value:
            raise ValueError(f"the manifest names a file outside the recording: {value!r}")

    @property
    def key(self) -> Key:
        """Node and variable."""
        return (self.node, self.variable)


@attrs.frozen(kw_only=True)
class Manifest:
    """What `manifest.json` says."""

    header: RunHeader
    status: Status
    finished: bool
    streams: tuple[StreamEntry, ...]
    stats: Mapping[str, I64]
    diagnostics: tuple[Finding, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "status": self.status,
            "finished": self.finished,
            "header": self.header.to_json(),
            "streams": [attrs.asdict(entry) for entry in self.streams],
            "stats": {counter: per_core.tolist() for counter, per_core in self.stats.items()},
            "diagnostics": [finding_to_json(finding) for finding in self.diagnostics],
        }

    def write(self, directory: Path) -> None:
        """Replace the manifest in one step: a reader finds the old one or the new one."""
        new = directory / (MANIFEST + ".new")
        # a line for each part: quick to write, and still to be read by people
        lines = [f"{json.dumps(key)}: {to_text(value)}" for key, value in self.to_json().items()]
        try:
            new.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
            os.replace(new, directory / MANIFEST)
        except OSError as error:
            raise WriteError(
                f"cannot write {directory / MANIFEST}: {error.strerror or error}",
                hint="the streams are safe; read them back with hal.read_recording",
                file=str(directory / MANIFEST),
                reason=str(error),
            ) from error

    @classmethod
    def from_json(cls, data: Any) -> Manifest:
        """The inverse of `to_json`. Raises KeyError, TypeError or ValueError for what is no manifest."""
        if data["format"] != FORMAT or data["status"] not in STATUSES:
            raise ValueError(f"format {data['format']!r}, status {data['status']!r}")
        return cls(
            header=RunHeader.from_json(data["header"]),
            status=data["status"],
            finished=bool(data["finished"]),
            streams=tuple(StreamEntry(**entry) for entry in data["streams"]),
            stats={counter: np.array(per_core, np.int64) for counter, per_core in data["stats"].items()},
            diagnostics=tuple(Finding(**finding) for finding in data["diagnostics"]),
        )


def finding_to_json(finding: Finding) -> dict[str, Any]:
    """A finding as a JSON object."""
    return {key: plain(value) for key, value in attrs.asdict(finding).items()}


def plain(value: Any) -> Any:
    """What JSON can hold: numpy values as numbers and lists, paths and other objects as text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value)


def to_text(data: Any) -> str:
    """JSON text; ConfigError where the data has no JSON form, such as a dictionary that contains itself."""
    try:
        return json.dumps(plain(data))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"the run's header cannot be written as JSON: {error}") from error


def file_names(group: str, names: Sequence[str]) -> list[str]:
    """A file for each name: readable, portable, and different where names differ only in what file systems ignore."""
    out: list[str] = []
    taken: set[str] = set()
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9_.@+-]", "_", name)[:80].strip(".") or "_"
        free, number = stem, 1
        while free.lower() in taken:
            number += 1
            free = f"{stem}~{number}"
        taken.add(free.lower())
        out.append(f"{group}/{free}.arrows")
    return out


def header_metadata(header: RunHeader) -> dict[str, str]:
    """What the schema of every stream says about the run, in plain words and completely."""
    facts = {
        "format": FORMAT,
        "version": str(VERSION),
        "device": header.device,
        "kind": header.kind,
        "time_unit": "ns",
        "time_origin": "start of the run",
        "t0_ns": str(header.t0_ns),
        "index": "C-order position in shape; images are (channel, row, column) from the top left",
        "written_by": f"nanoarrow {nanoarrow.__version__}",
        "neurohal.header": to_text(header.to_json()),
    }
    return facts | {
        f"provenance.{key}": value if isinstance(value, str) else to_text(value)
        for key, value in header.provenance.items()
    }


def stream_metadata(entry: StreamEntry) -> dict[str, str]:
    """What the schema of a stream says about itself."""
    return {
        "node": entry.node,
        "variable": entry.variable,
        "shape": json.dumps(entry.shape),
        "neurohal.stream": to_text(attrs.asdict(entry)),
    }


GROUPS: Final = ("spikes", "signals", "traces", "stimulus")
"""Folders of a recording."""


def read_manifest(directory: Path) -> tuple[Manifest, tuple[Finding, ...]]:
    """The manifest of a recording, made up from the streams where it is missing or broken, and a note if so."""
    if not directory.is_dir():
        raise FormatError(
            f"{directory} is not a directory" if directory.exists() else f"{directory} does not exist",
            hint="a recording is a directory with a manifest.json, written by run(to=...) or recording.save",
            path=str(directory),
        )
    try:
        data = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        if data.get("format", FORMAT) != FORMAT:
            raise FormatError(f"{directory} is in another format", value=data["format"], limit=FORMAT)
        version = data.get("version")
        if isinstance(version, int) and version > VERSION:
            raise FormatError(
                f"{directory} was written in version {version} of the format; this reads up to {VERSION}",
                hint="update neurohal",
                path=str(directory),
            )
        return Manifest.from_json(data), ()
    except FileNotFoundError:
        reason = "the manifest is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, FormatError):
            raise
        reason = f"the manifest is broken ({error})"
    manifest = _from_streams(directory, reason)
    return manifest, (Finding(level="note", node="", field=MANIFEST, reason=f"{reason}; read from the streams"),)


def _from_streams(directory: Path, reason: str) -> Manifest:
    """What the streams say about themselves, when nothing else does."""
    entries, header = [], None
    # its own streams alone: another recording may lie inside
    folders = (directory, *(directory / group for group in GROUPS))
    for path in sorted(path for folder in folders for path in folder.glob("*.arrows")):
        _, metadata = arrow.scan(path)
        try:
            entry = StreamEntry(**json.loads(metadata["neurohal.stream"]))
            header = RunHeader.from_json(json.loads(metadata["neurohal.header"]))
        except (KeyError, ValueError, TypeError, AttributeError):
            continue
        entries.append(attrs.evolve(entry, file=path.relative_to(directory).as_posix()))
    if header is None:
        raise FormatError(
            f"{directory} is not a recording: {reason}, and no stream in it says what it is",
            hint="a recording is a directory with a manifest.json, written by run(to=...) or recording.save",
            path=str(directory),
        )
    # what the counters stood at is lost: none rather than zeros
    return Manifest(header=header, status="interrupted", finished=False, streams=tuple(entries), stats={})
