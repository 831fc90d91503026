"""Weights of DYNAP-SE2: NAME.npz of kind "quantisation", and NAME.nir beside it with the same weights.

The file holds a bound of the error per core, not codes to be matched.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from comparison import Comparison, compare

import hal
from hal.semantics import Semantics
from hal_dynapse2.base_currents import round_bases
from hal_dynapse2.biases import nearest
from hal_dynapse2.parameters import WEIGHT_PARAMETERS
from hal_dynapse2.quantise import fit, refit

ALLOWED = 1.02
"""Times the bound of the file, which is the best of 41 starts."""


def claims(path: Path) -> bool:
    """An npz whose meta says so."""
    if path.suffix != ".npz":
        return False
    with np.load(path, allow_pickle=False) as file:
        return "meta" in file.files and json.loads(str(file["meta"])).get("kind") == "quantisation"


def replay(path: Path, semantics: Path | None) -> list[Comparison]:
    """Each core by itself; semantics do not apply."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    meta = json.loads(str(arrays["meta"]))
    weights = [arrays["weights_in_float"], arrays["weights_rec_float"]]
    found = _graph(path.with_suffix(".nir"), weights)
    for case in meta["per_core"]:
        into = arrays["core_map"] == case["core"]
        found += _core(np.abs(np.concatenate([part[:, into] for part in weights])), case, meta["Iscale"])
    return found


def _graph(path: Path, weights: list[Any]) -> list[Comparison]:
    """That the model beside the file holds these weights."""
    if not path.is_file():
        return []
    model = hal.read_model(path, Semantics(profile="nir", dt_ns=1_000_000))
    held = [np.ravel(node.weight.T) for node in model.nodes.values() if type(node).__name__ == "Linear"]
    numbers = np.sort(np.concatenate(held)), np.sort(np.concatenate([np.ravel(part) for part in weights]))
    return [compare("weights of the model", *numbers)]


def _core(magnitudes: Any, case: dict[str, Any], iscale: float) -> list[Comparison]:
    core, bound = case["core"], case["bound_rel_rmse"]
    made = fit(magnitudes)
    masks = (made.codes[..., None] >> np.arange(4)) & 1
    error = np.sqrt(((masks @ made.base - magnitudes) ** 2).sum() / (magnitudes.astype(float) ** 2).sum())
    rounded = round_bases(made.base, magnitudes, iscale)
    each = [nearest(name, value).actual for name, value in zip(WEIGHT_PARAMETERS, made.base * iscale, strict=True)]
    plain = refit(np.array(each) / iscale, magnitudes)
    better = rounded.quantised.relative_rmse <= plain.relative_rmse
    return [
        compare(f"core {core}: connections", np.count_nonzero(magnitudes), case["n_weights"]),
        compare(f"core {core}: error {error:.4f} at most {ALLOWED} x {bound:.4f}", error <= ALLOWED * bound, True),
        compare(f"core {core}: error as told", made.relative_rmse / error, 1.0, 1e-9),
        compare(f"core {core}: error not more than on the nearest entries", better, True),
    ]
