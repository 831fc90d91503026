"""NIR cases: NAME.npz with `in_*`, `out_*`, `inter_*`, a graph NAME.nir and a sidecar NAME.json; and broken files.

The raster must come back through `hal.mapper("ideal")` and `Device.run`, with the semantics of --semantics, else of
NAME.semantics.json beside the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from comparison import Comparison, UnreadableError, compare

import hal
from hal.semantics import Semantics, read_semantics

SIGNAL_TOLERANCE = 1e-4
"""Of analog outputs: the float32 rounding of another summation order."""


def claims(path: Path) -> bool:
    """A raster with a graph beside it, or a graph with a sidecar that says what is wrong with it."""
    if path.suffix == ".nir":
        return path.with_suffix(".json").is_file() and "good_tool" in _sidecar(path)
    if path.suffix != ".npz" or not path.with_suffix(".nir").is_file():
        return False
    with np.load(path, allow_pickle=False) as arrays:
        return any(name.startswith("in_") for name in arrays.files)


def replay(path: Path, semantics: Path | None) -> list[Comparison]:
    """Compare graph and rasters, or the error message of a broken file."""
    if path.suffix == ".nir":
        return _broken(path)
    model = _model(path, semantics)
    comparisons = _graph(path, model)
    with np.load(path, allow_pickle=False) as arrays:
        inputs = _named(arrays, "in_", model.inputs)
        outputs = _named(arrays, "out_", model.outputs)
        inner = {name: arrays[f"inter_{name}"] for name in model.nodes if f"inter_{name}" in arrays.files}
    mapping = hal.mapper("ideal").map(model, record=[name for name in inner if model.nodes[name].spiking])
    steps = len(next(iter(inputs.values())))
    with hal.open("ideal") as device:
        device.load(mapping)
        recording = device.run(inputs, steps * (mapping.step_ns or 1))
    for name, wanted in (outputs | {n: v for n, v in inner.items() if model.nodes[n].spiking}).items():
        if name in recording.signals:
            got = recording.signals[name].values.reshape(wanted.shape)
            comparisons.append(compare(f"signal {name!r}", got, wanted, SIGNAL_TOLERANCE))
        else:
            comparisons.append(compare(f"raster {name!r}", recording.raster(name).reshape(wanted.shape), wanted))
    return comparisons


def _sidecar(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return loaded


def _model(path: Path, given: Path | None) -> hal.Model:
    beside = path.with_suffix(".semantics.json")
    if given is None and not beside.is_file():
        raise UnreadableError(f"no semantics: give --semantics FILE.json, or {beside.name} beside the file")
    record = read_semantics(given or beside)
    if record.dt_ns is None:
        # a sidecar without dt counts in steps of 1 s
        dt_s = _sidecar(path).get("dt_s") if path.with_suffix(".json").is_file() else None
        record = attrs.evolve(record, dt_ns=round((dt_s or 1.0) * 1e9))
    try:
        return hal.read_model(path.with_suffix(".nir"), record)
    except hal.ModelError as error:
        if "drop_batch_axis" not in str(error):
            raise
        return hal.read_model(path.with_suffix(".nir"), record, drop_batch_axis=True)


def _graph(path: Path, model: hal.Model) -> list[Comparison]:
    """Names, types, parameters and edges against the sidecar."""
    if not path.with_suffix(".json").is_file():
        return []
    graph = _sidecar(path).get("graph")
    if graph is None:
        return []
    types = {name: node["type"] for name, node in graph["nodes"].items()}
    shared = sorted(types.keys() | model.nodes.keys())
    found = [model.nodes[name].type if name in model.nodes else "-" for name in shared]
    edges = sorted(tuple(edge) for edge in graph["edges"])
    shapes, wanted = [], []
    for name, node in graph["nodes"].items():
        for parameter, facts in node["params"].items():
            values = getattr(model.nodes.get(name), parameter, None)
            if isinstance(values, np.ndarray) and parameter != "bias":
                shapes.append(f"{name}.{parameter} {values.shape} {float(np.float64(values.sum())):.6g}")
                total = facts.get("sum", float(np.sum(facts.get("value", 0.0))))
                wanted.append(f"{name}.{parameter} {tuple(facts['shape'])} {float(total):.6g}")
    return [
        compare("graph: names and types", found, [types.get(name, "-") for name in shared]),
        compare("graph: edges", [list(edge) for edge in sorted(model.edges)], [list(edge) for edge in edges]),
        compare("graph: shapes and sums of parameters", shapes, wanted),
    ]


def _named(arrays: Any, prefix: str, names: tuple[str, ...]) -> dict[str, Any]:
    """Arrays by node name; a single one belongs to the single node, whatever it is called."""
    found = {name.removeprefix(prefix): arrays[name] for name in arrays.files if name.startswith(prefix)}
    if set(found) == set(names):
        return found
    if len(found) == len(names) == 1:
        return {names[0]: next(iter(found.values()))}
    raise UnreadableError(f"arrays {prefix}{sorted(found)} for nodes {list(names)}")


def _broken(path: Path) -> list[Comparison]:
    """A broken file must be refused with an error that mentions what the sidecar lists."""
    mentions = _sidecar(path)["good_tool"]["message_mentions"]
    try:
        hal.read_model(path, Semantics())
    except hal.ModelError as error:
        text = str(error)
    else:
        text = ""
    return [
        Comparison("refused, and the message mentions what it should", len(mentions), sum(m in text for m in mentions))
    ]
