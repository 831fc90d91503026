"""Dynamics of DYNAP-SE2's simulator on the bare emulator: counts of spikes, currents and voltages step by step.

Arrays with a `meta` of kind "dynamics": raster (steps, inputs), w_in (inputs, n), w_rec (n, n; may be absent), p_NAME
(n,) of the 24 parameters, spikes (steps, n), and imem, isyn, iahp, vmem (steps, k) of the neurons in `kept`.
Spike counts must be equal. Currents are compared in units of the neuron's threshold Ispkthr.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from comparison import Comparison, compare

from hal_emulators.dynapsim import DynapSim, Neurons, Synapses, events

CURRENT = 2.5e-5
"""Of Ispkthr, for what has no feedback: isyn and iahp."""
TOLERANCES = {"imem": 1e-3, "isyn": CURRENT, "iahp": CURRENT, "vmem": 2.8e-5}
"""Of Ispkthr; V for vmem."""
MIXED = 20
"""So many times more where most parameters differ from neuron to neuron: compilers then round the rule in other places,
and strong feedback makes it grow."""


def claims(path: Path) -> bool:
    """An npz that says it is of kind "dynamics" and has a raster and a threshold."""
    if path.suffix != ".npz" or not zipfile.is_zipfile(path):
        return False
    with np.load(path, allow_pickle=False) as arrays:
        if not {"meta", "raster", "w_in", "p_Ispkthr", "spikes"} <= set(arrays.files):
            return False
        return bool(json.loads(str(arrays["meta"])).get("kind") == "dynamics")


def replay(path: Path, semantics: Path | None) -> list[Comparison]:
    """One run, beside the file, and the same run in pieces, beside the whole."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    meta = json.loads(str(arrays["meta"]))
    steps = len(arrays["raster"])
    counts, traces = _run(_simulator(arrays, meta), arrays, [(0, steps)])
    cut = max(1, steps // 3)
    again, more = _run(_simulator(arrays, meta), arrays, [(0, cut), (cut, cut), (cut, steps)])
    out = [compare("emulator: spike counts", counts, arrays["spikes"])]
    threshold = arrays["p_Ispkthr"][arrays["kept"]]
    given = [values for name, values in arrays.items() if name.startswith("p_")]
    mixed = sum(np.unique(values).size > 1 for values in given) > len(given) / 2
    for name, limit in TOLERANCES.items():
        unit = np.float32(1) if name == "vmem" else threshold
        tolerance = limit * MIXED if mixed else limit
        out.append(_near(f"emulator: {name}", traces[name] / unit, arrays[name] / unit, tolerance))
    out.append(compare("emulator: spike counts of a run in pieces", again, counts))
    out += [compare(f"emulator: {name} of a run in pieces", more[name], traces[name]) for name in TOLERANCES]
    return out


def _simulator(arrays: dict[str, Any], meta: dict[str, Any]) -> DynapSim:
    neurons = Neurons(**{name[2:]: values for name, values in arrays.items() if name.startswith("p_")})
    recurrent = Synapses.from_dense(arrays["w_rec"]) if "w_rec" in arrays else None
    w_in = Synapses.from_dense(arrays["w_in"])
    return DynapSim(neurons, w_in, recurrent, dt_s=meta["dt_s"], i_scale=meta["Iscale"])


def _run(made: DynapSim, arrays: dict[str, Any], pieces: list[tuple[int, int]]) -> tuple[Any, dict[str, Any]]:
    """Counts (steps, n), and the traces (steps, k) by name, of consecutive pieces (first, last + 1)."""
    counts, traces = [], []
    for first, last in pieces:
        probes = [(name, arrays["kept"], 1) for name in TOLERANCES]
        result = made.run(last - first, *events(arrays["raster"][first:last]), probe=probes)
        table = np.zeros((last - first, made.neurons.size), np.int64)
        table[result.spike_step, result.spike_index] = result.spike_count
        counts.append(table)
        traces.append(result.traces)
    joined = [np.concatenate(each) for each in zip(*traces, strict=True)]
    return np.concatenate(counts), dict(zip(TOLERANCES, joined, strict=True))


def _near(what: str, got: Any, wanted: Any, tolerance: float) -> Comparison:
    """Within `tolerance` absolutely; arrays of different shape have nothing in common."""
    if got.shape != wanted.shape:
        return compare(what, got, wanted, tolerance)
    near = np.count_nonzero(np.abs(got.astype(np.float64) - wanted) <= tolerance)
    return Comparison(what, wanted.size, int(near), tolerance)
