"""Reads AEDAT 4 files, which are compressed, by way of the package `aedat` (extra `events`)."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from hal.errors import FormatError, OptionalDependencyError
from hal.eventfile import XYTP, EventFile, choose

MAGIC: Final = b"#!AER-DAT"


def read_aedat(path: Path, name: str | None) -> EventFile:
    """Events of one stream: fields t (us, as the camera's clock has it), x, y, p.

    name: number of the stream, where there are several with events. Raises FormatError, OptionalDependencyError.
    """
    with open(path, "rb") as file:
        version = file.read(len(MAGIC) + 3)[len(MAGIC) :].decode("ascii", "replace")
    if version != "4.0":
        raise FormatError(
            f"{path} is AEDAT {version}, and AEDAT 4.0 is read",
            hint="convert it, for instance with dv-gui or to a structured .npy",
            path=str(path),
        )
    try:
        aedat: Any = import_module("aedat")
    except ImportError as error:
        raise OptionalDependencyError(
            f"{path} is AEDAT 4, which takes the package aedat to read",
            hint="pip install 'neurohal[events]' (or: pip install aedat)",
            package="aedat",
        ) from error
    # the package knows its faults as RuntimeError, and some as panics that are no Exception
    try:
        return _read(aedat, path, name)
    except (RuntimeError, ValueError, KeyError) as error:
        raise FormatError(f"{path} cannot be read as AEDAT 4: {error}", path=str(path)) from error


def _read(aedat: Any, path: Path, name: str | None) -> EventFile:
    decoder = aedat.Decoder(path)
    streams = {str(key): about for key, about in decoder.id_to_stream().items() if about["type"] == "events"}
    stream = choose(list(streams), name, None, path, "streams of events")
    parts = [np.empty(0, XYTP)]
    notes: tuple[str, ...] = ()
    try:
        for packet in decoder:
            if "events" in packet and str(packet["stream_id"]) == stream:
                parts.append(_plain(packet["events"]))
    except RuntimeError as error:
        if len(parts) == 1:
            raise
        # what came before the fault is whole: every packet is checked on its own
        notes = (f"the file is damaged after {sum(map(len, parts))} events: {error}",)
    facts = {"width": int(streams[stream]["width"]), "height": int(streams[stream]["height"])}
    array = np.concatenate(parts)
    return EventFile(path=path, format="aedat4", array=array, unit="us", origin="top-left", facts=facts, notes=notes)


def _plain(events: Any) -> Any:
    out = np.empty(len(events), XYTP)
    for ours, theirs in (("t", "t"), ("x", "x"), ("y", "y"), ("p", "on")):
        out[ours] = events[theirs]
    return out
