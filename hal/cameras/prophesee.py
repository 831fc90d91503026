"""Reads the files of Prophesee's cameras by numpy alone: DAT with 2D events, RAW in EVT 2.0 and EVT 3.0.

Layouts: docs.prophesee.ai, "DAT File Format", "EVT 2.0 Format", "EVT 3.0 Format". Times are us of the camera's clock,
y is 0 at the top. What the camera says beside events (triggers, extensions) is counted, not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hal.errors import FormatError
from hal.eventfile import XYTP, EventFile
from hal.events import I64

MAGIC: Final = b"%"
_CD_TYPES: Final = (0x00, 0x0C)
"""Types of DAT events that are x, y, t, p."""
_FULL: Final = 1 << 32
_OFF, _ON, _TIME = 0, 1, 8
_Y, _X, _BASE, _VECT12, _VECT8, _LOW = 0, 2, 3, 4, 5, 6
_LOW_US: Final = 1 << 12
_BESIDE: Final = {2: (0xA, 0xE, 0xF), 3: (0x7, 0xA, 0xE, 0xF)}
"""Words of EVT 2 and 3 that are no events and no fault: triggers, extensions and what continues them."""
_KNOWN: Final = {2: (_OFF, _ON, _TIME), 3: (_Y, _X, _BASE, _VECT12, _VECT8, _LOW, _TIME)}

Words = NDArray[Any]
Decoded = tuple[NDArray[Any], list[str]]


def read_prophesee(path: Path) -> EventFile:
    """Events of a DAT or RAW file: fields t (us), x, y, p. Raises FormatError."""
    data = path.read_bytes()
    header, start = _header(data)
    facts = _facts(header)
    if "version" in header or "data" in header or path.suffix.lower() == ".dat":
        array, notes = _dat(path, data, start, header)
        return EventFile(
            path=path, format="dat", array=array, unit="us", origin="top-left", facts=facts, notes=tuple(notes)
        )
    version = _evt_version(path, header)
    width = 4 if version == 2 else 2
    words = np.frombuffer(data, f"<u{width}", (len(data) - start) // width, start)
    array, notes = (_evt2 if version == 2 else _evt3)(words)
    notes += _cut(data, start, width) + _unknown(words >> (8 * width - 4), version)
    beside = int(np.isin(words >> (8 * width - 4), _BESIDE[version]).sum())
    return EventFile(
        path=path,
        format=f"evt{version}",
        array=array,
        unit="us",
        origin="top-left",
        facts={**facts, "other_words": beside},
        notes=tuple(notes),
    )


def _header(data: bytes) -> tuple[dict[str, str], int]:
    """Lines `% key value`, keys in small letters, and where they end; a line `% end` may close them."""
    out: dict[str, str] = {}
    place = 0
    while data[place : place + 2] == b"% ":
        end = data.find(b"\n", place)
        end = len(data) if end < 0 else end
        key, _, value = data[place + 2 : end].decode("latin-1").strip().partition(" ")
        place = min(end + 1, len(data))
        if key.lower() == "end":
            break
        out[key.lower()] = value.strip()
    return out, place


def _facts(header: Mapping[str, str]) -> dict[str, Any]:
    """Size of the sensor, where the header says it: `Width 640`, `geometry 640x480` or `format EVT3;width=640;...`."""
    found: dict[str, Any] = {key: int(header[key]) for key in ("width", "height") if header.get(key, "").isdigit()}
    if match := re.fullmatch(r"(\d+)x(\d+)", header.get("geometry", "")):
        found |= {"width": int(match[1]), "height": int(match[2])}
    for key, value in re.findall(r";(width|height)=(\d+)", header.get("format", "")):
        found[key] = int(value)
    return found


def _evt_version(path: Path, header: Mapping[str, str]) -> int:
    said = header.get("evt", "") or header.get("format", "").partition(";")[0]
    digits = re.sub(r"(?i)^evt", "", said)
    if header.get("endianness", "little").lower() != "little" or "endianness=big" in header.get("format", ""):
        raise FormatError(f"{path} holds words in big-endian order", hint="little-endian is read", path=str(path))
    versions = {"2": 2, "2.0": 2, "3": 3, "3.0": 3}
    if digits not in versions:
        raise FormatError(
            f"{path} is in the encoding {said!r}" if said else f"{path} does not say in which encoding it is",
            hint="a header line `% evt 2.0` or `% evt 3.0` says so; DAT, EVT 2.0 and EVT 3.0 are read",
            path=str(path),
        )
    return versions[digits]


# --- DAT -------------------------------------------------------------------------------------------------------------


def _dat(path: Path, data: bytes, start: int, header: Mapping[str, str]) -> Decoded:
    if header.get("version", "2") != "2":
        raise FormatError(f"{path} is DAT of version {header['version']}, and version 2 is read", path=str(path))
    if len(data) < start + 2:
        raise FormatError(f"{path} ends within its header", path=str(path), size=len(data))
    kind, size = data[start], data[start + 1]
    if kind not in _CD_TYPES or size != 8:
        raise FormatError(
            f"{path} holds events of type {kind:#04x} and {size} bytes",
            hint="2D events (0x00) and CD events (0x0c) of 8 bytes are read",
            path=str(path),
        )
    start += 2
    words = np.frombuffer(data, "<u4", (len(data) - start) // 8 * 2, start).reshape(-1, 2)
    array = np.empty(len(words), XYTP)
    array["t"] = _unwrapped(words[:, 0].astype(np.int64), _FULL)
    place = words[:, 1]
    array["x"], array["y"], array["p"] = place & 0x3FFF, (place >> 14) & 0x3FFF, (place >> 28) & 1
    return array, _cut(data, start, 8)


def _unwrapped(values: I64, full: int) -> I64:
    """A counter that starts again at `full`: a fall by more than half of it is that, a smaller one stays a fall."""
    wraps: I64 = np.cumsum(np.diff(values, prepend=values[:1]) < -(full // 2))
    return values + wraps * full


def _cut(data: bytes, start: int, size: int) -> list[str]:
    rest = (len(data) - start) % size
    return [f"the last {rest} bytes are no whole word: the file was cut"] if rest else []


def _unknown(kinds: Words, version: int) -> list[str]:
    strange = int((~np.isin(kinds, (*_KNOWN[version], *_BESIDE[version]))).sum())
    return [f"{strange} words are of types that EVT {version} does not define: the file is damaged"] if strange else []


# --- RAW -------------------------------------------------------------------------------------------------------------


def _last(here: NDArray[np.bool_]) -> I64:
    """For every row the number of marked rows up to it, less one: its place among their values, -1 before them."""
    place: I64 = np.cumsum(here, dtype=np.int64) - 1
    return place


def _evt2(words: Words) -> Decoded:
    kind = words >> 28
    is_time, is_event = kind == _TIME, (kind == _OFF) | (kind == _ON)
    high = _unwrapped((words[is_time] & 0x0FFFFFFF).astype(np.int64), 1 << 28)
    place = _last(is_time)[is_event]
    known = place >= 0
    taken = words[is_event][known]
    array = np.empty(len(taken), XYTP)
    array["t"] = (high[place[known]] << 6) + ((taken >> 22) & 0x3F)
    array["x"], array["y"], array["p"] = (taken >> 11) & 0x7FF, taken & 0x7FF, taken >> 28
    return array, _untimed(known)


def _evt3(words: Words) -> Decoded:
    kind = words >> 12
    times, notes = _evt3_times(words, kind)
    at, x, p = _evt3_x(words, kind, notes)
    clock = _last((kind == _TIME) | (kind == _LOW))[at]
    row = _last(kind == _Y)[at]
    # a low part alone is no time
    known = (_last(kind == _TIME)[at] >= 0) & (row >= 0)
    array = np.empty(int(known.sum()), XYTP)
    array["t"] = times[clock[known]]
    array["x"], array["p"] = x[known], p[known]
    array["y"] = (words[kind == _Y] & 0x7FF)[row[known]]
    return array, notes + _untimed(known)


def _untimed(known: NDArray[np.bool_]) -> list[str]:
    lost = int((~known).sum())
    return [f"{lost} events stand before the first word of time (and row), and are left out"] if lost else []


def _evt3_times(words: Words, kind: Words) -> tuple[I64, list[str]]:
    """Us at every word of time. A new high part sets the low part to 0; a repeated one changes nothing."""
    here = (kind == _TIME) | (kind == _LOW)
    is_high = kind[here] == _TIME
    value = (words[here] & 0xFFF).astype(np.int64)
    high = _unwrapped(value[is_high], 1 << 12)
    changed = np.zeros(len(value), np.bool_)
    changed[is_high] = np.diff(high, prepend=-1) != 0
    # words that say nothing new are left out, and given the time of the word before
    counts = ~is_high | changed
    part = _last(changed)[counts]
    highs = high[changed[is_high]]
    base = np.where(part >= 0, highs[part] if len(highs) else 0, 0)
    low = np.where(is_high[counts], 0, value[counts])
    same = np.diff(part, prepend=-2) == 0
    falls = same & (np.diff(low, prepend=0) < 0)
    missing = np.cumsum(falls)
    # how many are missing since the last high part that was there
    started = np.concatenate([[0], missing[~same]])[np.cumsum(~same)]
    times = base * _LOW_US + low + (missing - started) * _LOW_US
    back = int(falls.sum())
    notes = (
        [
            f"the time is discontinuous: {back} times its low part falls with no new high part between; each was taken "
            f"for {_LOW_US} us, so that longer gaps are lost and times are uncertain by multiples of it"
        ]
        if back
        else []
    )
    return times[_last(counts)] if len(times) else np.empty(0, np.int64), notes


def _evt3_x(words: Words, kind: Words, notes: list[str]) -> tuple[I64, I64, Words]:
    """Word, x and polarity of every event: single ones, and those of vectors, which count on from their base."""
    single = np.flatnonzero(kind == _X)
    bases = np.flatnonzero(kind == _BASE)
    vectors = np.flatnonzero((kind == _VECT12) | (kind == _VECT8))
    order = np.searchsorted(bases, vectors) - 1
    if lost := int((order < 0).sum()):
        notes.append(f"{lost} vectors stand before the first base, and are left out: the file is damaged")
    vectors, order = vectors[order >= 0], order[order >= 0]
    length = np.where(kind[vectors] == _VECT12, 12, 8)
    passed = np.cumsum(length) - length
    first = np.searchsorted(vectors, bases)
    offset = passed - np.append(passed, 0)[np.minimum(first, len(passed))][order]
    masks = words[vectors] & np.where(length == 12, 0xFFF, 0xFF)
    row, bit = np.nonzero((masks[:, None] >> np.arange(12)) & 1)
    base = words[bases][order][row]
    at = np.concatenate([single, vectors[row]])
    x = np.concatenate([words[single] & 0x7FF, (base & 0x7FF) + offset[row] + bit]).astype(np.int64)
    p = np.concatenate([words[single], base]) >> 11 & 1
    place = np.argsort(at, kind="stable")
    return at[place], x[place], p[place]
