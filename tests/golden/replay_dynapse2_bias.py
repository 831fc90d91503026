"""The bias generator of DYNAP-SE2: NAME.npz of kind "bias", wanted currents and their nearest entries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from comparison import Comparison, compare

from hal_dynapse2.biases import currents, nearest

TOLERANCE = 1e-12


def claims(path: Path) -> bool:
    """An npz whose meta says so."""
    if path.suffix != ".npz":
        return False
    with np.load(path, allow_pickle=False) as file:
        return "meta" in file.files and json.loads(str(file["meta"])).get("kind") == "bias"


def replay(path: Path, semantics: Path | None) -> list[Comparison]:
    """Tables and entries of every parameter; semantics do not apply."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    meta = json.loads(str(arrays["meta"]))
    found = []
    for k, (name, scale) in enumerate(zip(meta["parameters"], meta["scale"], strict=True)):
        made = nearest(name, arrays["wanted_A"])
        entries = np.stack([made.coarse, made.fine], axis=-1)
        found.append(compare(f"{name}: (coarse, fine)", entries, arrays["coarse_fine"][k]))
        found.append(_relative(f"{name}: actual", made.actual, arrays["actual_A"][k]))
        found.append(_relative(f"{name}: table", currents(name), arrays[f"table_{name[-1]}"] * scale))
    return found


def _relative(what: str, got: np.ndarray, wanted: np.ndarray) -> Comparison:
    return compare(what, got / wanted, np.ones_like(wanted), TOLERANCE)
