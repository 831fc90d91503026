"""BrainScaleS-2 files of rules: registers of refractory times, and rounding of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from comparison import Comparison, compare

from hal_brainscales2.refractory import refractory
from hal_brainscales2.weights import Rounding, quantise

ROUNDING: dict[str, Rounding] = {"jaxsnn": "even", "hxtorch": "away"}


def claims(path: Path) -> bool:
    """An npz with a table of targets, or with weights by scale and the results of a peer."""
    return path.suffix == ".npz" and _kind(path) is not None


def _kind(path: Path) -> str | None:
    with np.load(path, allow_pickle=False) as file:
        names = set(file.files)
        if "table" in names and file["table"].shape[1:] == (7,):
            return "refractory"
    return "weights" if _results(names) else None


def _results(names: set[str]) -> list[tuple[str, str]]:
    """Peer and scale of each result whose input is there."""
    pairs = (name.rpartition("_") for name in sorted(names))
    return [(peer, scale) for peer, _, scale in pairs if peer in ROUNDING and f"w_{scale}" in names]


def replay(path: Path, semantics: Path | None) -> list[Comparison]:
    """Dispatch on what is in the file; semantics do not apply."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    if "table" in arrays:
        return [*_table(arrays["table"]), *_mixed(arrays)]
    found = []
    for peer, scale in _results(set(arrays)):
        made = quantise(arrays[f"w_{scale}"], float(scale), ROUNDING[peer]).hw
        found.append(compare(f"{peer}: weights at scale {scale}", made, arrays[f"{peer}_{scale}"]))
    return found


def _table(table: Any) -> list[Comparison]:
    """One target for all neurons, whatever their number."""
    rows = []
    for tau, holdoff, *_ in table:
        made = refractory(np.full(512, tau), np.array([holdoff]))
        registers = np.stack([made.counter, made.holdoff_code, made.fast], axis=1)
        assert (registers == registers[0]).all()
        rows.append([tau, holdoff, *registers[0], made.fast_scale, made.slow_scale])
    return [compare("registers of homogeneous targets", np.array(rows), table)]


def _mixed(arrays: dict[str, Any]) -> list[Comparison]:
    if "mixed_tau" not in arrays:
        return []
    made = refractory(arrays["mixed_tau"], arrays.get("mixed_holdoff", 0.0))
    pairs = {"counter": made.counter, "clock": made.fast, "scales": [made.fast_scale, made.slow_scale]}
    pairs["reset_holdoff"] = made.holdoff_code
    return [
        compare(f"mixed targets: {name}", values, arrays[f"mixed_{name}"])
        for name, values in pairs.items()
        if f"mixed_{name}" in arrays
    ]
