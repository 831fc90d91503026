"""Xylo: networks of registers through the emulator and the device, NIR through the mapper, quantised specifications.

Needs the plugin of `examples/third_party/hal_xylo`, which is no part of this distribution.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from comparison import Comparison, UnreadableError, compare

import hal

INSTALL = "pip install ./examples/third_party/hal_xylo"
REGISTERS = (
    "w_in",
    "w_rec",
    "w_out",
    "threshold",
    "threshold_out",
    "dash_mem",
    "dash_mem_out",
    "dash_syn",
    "dash_syn_out",
)
SHIFTS = ("shift_in", "shift_rec", "shift_out")
PARTS = ("xylo-audio2", "xylo-audio3", "xylo-imu")
CHIP = {"profile": "nir", "jump": "before", "spike_reset": "subtract_n", "compare": ">=", "spikes_per_step": "many"}


def claims(path: Path) -> bool:
    """An npz with registers and counts, or with specifications."""
    if path.suffix != ".npz":
        return False
    try:
        with np.load(path, allow_pickle=False) as file:
            names = set(file.files)
    except (OSError, ValueError):
        return False
    return {"meta", "w_in", "dash_syn", "raster"} <= names or {"meta", "k00_weights_in"} <= names


def replay(path: Path, semantics: Path | None) -> list[Comparison]:
    """Dispatch on what is in the file. Semantics are those of the chip unless given."""
    if find_spec("hal_xylo") is None:
        raise UnreadableError(f"a file of Xylo, and its plugin is not installed: {INSTALL}")
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    meta = json.loads(str(arrays["meta"]))
    if "raster" not in arrays:
        return _quantised(arrays, meta)
    out = _emulated(arrays, meta, "v2")
    if meta["v1"] in ("equal", "stored"):
        out += _emulated(arrays, meta, "v1")
    out += _adopted(arrays, meta)
    if path.with_suffix(".nir").is_file():
        out += _mapped(path.with_suffix(".nir"), arrays, meta, semantics)
    return out


# --- registers --------------------------------------------------------------------------------------------------------


def _emulated(arrays: dict[str, Any], meta: dict[str, Any], version: str) -> list[Comparison]:
    """Every state and flag of a core."""
    from hal_xylo.emulator import Core
    from hal_xylo.registers import Registers

    biases = {name: arrays[name] for name in ("bias", "bias_out") if meta["has_bias"]}
    given = {name: arrays[name] for name in (*REGISTERS, "alias")} | {name: meta[name] for name in SHIFTS}
    core = Core(Registers(**given, **biases), version)
    runs = []
    for start, end, reset in meta["calls"]:
        if reset:
            core.reset()
        # each call of the peer's begins without it
        core.forget_flag()
        runs.append(core.run(arrays["raster"][start:end], trace=True))
    stored = "v1" if version == "v1" and meta["v1"] == "stored" else "v2"
    rows = arrays["rec_steps"]
    i_syn = np.concatenate([run.trace.i_syn for run in runs])[rows]
    found = {
        "spikes": np.concatenate([run.spikes for run in runs]),
        "spikes_out": np.concatenate([run.spikes_out for run in runs]),
        "i_syn": i_syn[..., 0],
        "i_syn2": i_syn[..., -1],
        "v_mem": np.concatenate([run.trace.v_mem for run in runs])[rows],
        "i_syn_out": np.concatenate([run.trace.i_syn_out for run in runs])[rows],
        "v_mem_out": np.concatenate([run.trace.v_mem_out for run in runs])[rows],
        "hibernation": np.concatenate([run.hibernation for run in runs]),
    }
    out = [
        compare(f"emulator {version}: {name}", values, arrays[f"{stored}_{name}"])
        for name, values in found.items()
        if f"{stored}_{name}" in arrays and not (name == "hibernation" and version == "v1")
    ]
    if version == "v2":
        clipped = sum(int(run.clipped.sum()) for run in runs)
        out.append(compare("emulator v2: events above 15", clipped, meta["spikes_in_clipped"]))
        # the peer counts what a reset has thrown away
        if not any(reset for _, _, reset in meta["calls"]):
            out.append(compare("emulator v2: synops", sum(int(run.synops.sum()) for run in runs), meta["synops"]))
    return out


def _adopted(arrays: dict[str, Any], meta: dict[str, Any]) -> list[Comparison]:
    """The outputs of a device loaded with the registers; nothing where no part has room for them."""
    from hal_xylo.config import RunConfig, XyloConfig

    n = arrays["threshold"].size
    alias = np.full(n, -1)
    source, target = arrays["alias"].reshape(-1, 2).astype(int).T
    alias[source] = target
    if np.unique(source).size != source.size:
        return []
    config: dict[str, Any] = {name: arrays[name] for name in (*REGISTERS, "bias", "bias_out")}
    config |= {name: meta[name] for name in (*SHIFTS, "has_bias")} | {"alias": alias}
    runs = {"inputs": meta["n_in"], "populations": n, "readouts": meta["n_out"]}
    config |= {kind: (RunConfig(name=kind, shape=(size,)),) for kind, size in runs.items()}
    step_ns = round(meta["dt_s"] * 1e9)
    for part in PARTS:
        try:
            mapping = hal.mapper(part).adopt(XyloConfig(part=part, step_ns=step_ns, **config))
        except hal.HalError:
            continue
        counts = []
        with hal.open(part, overrun="wait") as device:
            device.load(mapping)
            for start, end, reset in meta["calls"]:
                if reset:
                    device.reset()
                raster = arrays["raster"][start:end].astype(int)
                counts.append(device.run({"inputs": raster}, len(raster) * step_ns).raster("readouts"))
        return [compare(f"{part}, from registers: spikes_out", np.concatenate(counts), arrays["v2_spikes_out"])]
    return []


# --- NIR --------------------------------------------------------------------------------------------------------------


def _mapped(path: Path, arrays: dict[str, Any], meta: dict[str, Any], semantics: Path | None) -> list[Comparison]:
    """Every population of the model, mapped with the default options."""
    step_ns = round(meta["dt_s"] * 1e9)
    said = hal.Semantics(dt_ns=step_ns, **CHIP) if semantics is None else hal.read_semantics(semantics)
    model = hal.read_model(path, semantics=said)
    blocks = meta.get("nir_blocks") or [["hidden", 0, meta["n_hidden"]]]
    mapping = hal.mapper(PARTS[0]).map(model, record=[name for name, _, _ in blocks])
    with hal.open(PARTS[0], overrun="wait") as device:
        device.load(mapping)
        raster = arrays["raster"].astype(int)
        recording = device.run({model.inputs[0]: raster}, len(raster) * step_ns)
    out = [compare("from NIR: spikes_out", recording.raster(model.outputs[0]), arrays["v2_spikes_out"])]
    for name, first, end in blocks:
        out.append(compare(f"from NIR: {name}", recording.raster(name), arrays["v2_spikes"][:, first:end]))
    return out


# --- specifications ---------------------------------------------------------------------------------------------------


def _quantised(arrays: dict[str, Any], meta: dict[str, Any]) -> list[Comparison]:
    """Integers of the cases in which the peer's are sound: without biases, and without thresholds beyond 16 bits."""
    from hal_xylo.quantise import Specification, quantise

    out = []
    for c, case in enumerate(meta["cases"]):
        if case["bias"] or case["threshold_overflow"]:
            continue
        head = f"k{c:02d}_"
        names = [name.removeprefix(head) for name in arrays if name.startswith(head)]
        given = {n: arrays[head + n] for n in names if not n.startswith(("global_", "channel_", "fuzzy_"))}
        for method in ("global", "channel"):
            for name, values in quantise(Specification(**given), method).items():
                out.append(compare(f"case {c}, {method}: {name}", values, arrays[f"{head}{method}_{name}"]))
    return out
