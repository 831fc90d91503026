"""Event recordings: a file in one of the formats of `tests/golden/events`, with expected.npz beside it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from comparison import Comparison, compare

import hal
from hal.events import Port


def claims(path: Path) -> bool:
    """An event file in a folder that says what it holds."""
    return path.suffix != ".npz" and (path.parent / "expected.npz").is_file() and path.name.startswith("dvs")


def replay(path: Path, semantics: Path | None) -> list[Comparison]:
    """Read it as a stimulus and compare times and positions."""
    with np.load(path.parent / "expected.npz", allow_pickle=False) as expected:
        t, x, y, p = (expected[name].astype(np.int64) for name in ("t", "x", "y", "p"))
        width, height = int(expected["width"]), int(expected["height"])
    # the corner is the one the file was written with, whatever its format says
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", hal.EventFileWarning)
        found = hal.read_stimulus(path, Port("input", (2, height, width)), origin="top-left")
    assert isinstance(found, np.ndarray)
    if any("discontinuous" in str(warning.message) for warning in told):
        # the writer left gaps out: times are right but for whole wraps of the low part, and this was reported
        return [
            compare("times in ns, modulo 4096 us", found["t"] % 4_096_000, t * 1000 % 4_096_000),
            compare("flat positions", found["index"], (p * height + y) * width + x),
        ]
    return [
        compare("times in ns", found["t"], t * 1000),
        compare("flat positions", found["index"], (p * height + y) * width + x),
    ]
