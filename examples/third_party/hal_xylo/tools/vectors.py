"""Write the vectors of the plugin, from the golden files beside its tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from hal.events import raster
from hal.evidence import write_vector
from hal.semantics import Semantics

HERE = Path(__file__).resolve().parents[1]
CHIP = {"jump": "before", "spike_reset": "subtract_n", "compare": ">=", "spikes_per_step": "many"}


def main() -> None:
    """One vector for each golden file with a NIR file beside it."""
    for path in sorted((HERE / "tests" / "golden").glob("p*.nir")):
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as file:
            data = {name: file[name] for name in file.files}
        meta = json.loads(str(data["meta"]))
        step_ns = round(meta["dt_s"] * 1e9)
        hidden = meta.get("nir_blocks") or [["hidden", 0, meta["n_hidden"]]]
        spikes = {name: raster(data["v2_spikes"][:, first:end], step_ns) for name, first, end in hidden}
        write_vector(
            HERE / "hal_xylo" / "vectors",
            path.stem,
            path,
            source=meta["peer"],
            semantics=Semantics(profile="nir", dt_ns=step_ns, **CHIP),
            stimulus={"input": raster(data["raster"], step_ns)},
            duration_ns=meta["steps"] * step_ns,
            spikes={"output": raster(data["v2_spikes_out"], step_ns), **spikes},
        )


if __name__ == "__main__":
    main()
