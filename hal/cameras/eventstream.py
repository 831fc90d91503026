"""Reads Event Stream files (.es), version 2, of DVS events, by numpy alone.

Layout: the reference implementation, sepia.hpp of neuromorphicsystems/event_stream. 12 bytes "Event Stream", 3 of
version, 1 of type, width and height as 16 bits each; then one byte with polarity (bit 0) and us since the event before
(7 bits), x and y as 16 bits each. 0xff in place of an event is 127 us without one, 0xfe does nothing. y is 0 at the
bottom.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hal.errors import FormatError
from hal.eventfile import XYTP, EventFile
from hal.events import I64

MAGIC: Final = b"Event Stream"
_HEADER: Final = 20
_TYPES: Final = {0: "generic", 1: "DVS", 2: "ATIS", 3: "display", 4: "color"}
_OVERFLOW_US: Final = 127
# what stands between two events, then an event; coordinates may hold any byte
_EVENT: Final = re.compile(rb"[\xfe\xff]*[^\xfe\xff].{4}", re.DOTALL)


def read_event_stream(path: Path) -> EventFile:
    """DVS events of an Event Stream file: fields t (us), x, y (0 at the bottom), p. Raises FormatError."""
    data = path.read_bytes()
    if len(data) < _HEADER:
        raise FormatError(f"{path} ends within its header", path=str(path), size=len(data), limit=_HEADER)
    version = ".".join(str(number) for number in data[12:15])
    if data[12] != 2:
        raise FormatError(
            f"{path} is Event Stream of version {version}, and version 2 is read", path=str(path), version=version
        )
    if data[15] != 1:
        kind = _TYPES.get(data[15], str(data[15]))
        raise FormatError(
            f"{path} holds events of type {kind}", hint="DVS events are read; convert it to them", path=str(path)
        )
    width, height = (int(number) for number in np.frombuffer(data, "<u2", 2, 16))
    ends = np.fromiter((found.end() for found in _EVENT.finditer(data, _HEADER)), np.int64)
    array = _decoded(np.frombuffer(data, np.uint8), ends)
    outside = np.flatnonzero((array["x"] >= width) | (array["y"] >= height))
    if len(outside):
        row = int(outside[0])
        raise FormatError(
            f"{path}: event {row} lies at x {array['x'][row]}, y {array['y'][row]}, outside {width} x {height} pixels",
            hint="the file is damaged",
            path=str(path),
            row=row,
            count=len(outside),
        )
    rest = data[int(ends[-1]) if len(ends) else _HEADER :].lstrip(b"\xfe\xff")
    notes = (f"the last {len(rest)} bytes are no whole event: the file was cut",) if rest else ()
    facts = {"width": width, "height": height, "version": version}
    return EventFile(
        path=path, format="event stream", array=array, unit="us", origin="bottom-left", facts=facts, notes=notes
    )


def _decoded(data: NDArray[np.uint8], ends: I64) -> NDArray[Any]:
    """Events whose five bytes end at `ends`; what stands before them is time that passed."""
    first = ends - 5
    between = np.diff(ends, prepend=_HEADER) - 5
    # 0xfe counts for nothing: only the 0xff among the bytes between two events are time
    waits = np.concatenate([[0], np.cumsum(data == 0xFF)])
    overflows = waits[first] - waits[first - between]
    array = np.empty(len(ends), XYTP)
    array["t"] = np.cumsum(overflows * _OVERFLOW_US + (data[first] >> 1))
    array["x"] = data[first + 1] + (data[first + 2].astype(np.uint16) << 8)
    array["y"] = data[first + 3] + (data[first + 4].astype(np.uint16) << 8)
    array["p"] = data[first] & 1
    return array
