"""Event recordings: a file in one of the formats of `tests/golden/events`, with expected.npz beside it."""

from __future__ import annotations

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
    found = hal.read_stimulus(path, Port("input", (2, height, width)))
    assert isinstance(found, np.ndarray)
    return [
        compare("times in ns", found["t"], t * 1000),
        compare("flat positions", found["index"], (p * height + y) * width + x),
    ]
