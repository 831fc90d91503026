"""DynapCNN / Speck files: chains, graphs, mapped configurations, allocation and quantisation.

A chain with a graph NAME.nir beside it is replayed through `hal.mapper("speck2f")` and `Device.run`; the bare emulator
comes on top of that, and alone where there is no graph.
"""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import replay_dynapcnn_graph
from comparison import Comparison, UnreadableError, compare
from replay_dynapcnn_graph import golden_events, index_of

import hal
from hal import nodes
from hal.events import Probe
from hal.semantics import Semantics
from hal_dynapcnn import chips
from hal_dynapcnn.allocator import allocate, memory_words
from hal_dynapcnn.quantise import quantise_as_sinabs
from hal_emulators.dynapcnn import Chain, CoreParams

DEVICE = replay_dynapcnn_graph.DEVICE
HALF = 1e-4
"""How near to a half a scaled value must be for +-1 to be allowed (the format's own rule)."""


def claims(path: Path) -> bool:
    """An npz whose meta or arrays are of one of the four kinds."""
    if path.suffix != ".npz":
        return False
    with np.load(path, allow_pickle=False) as arrays:
        meta = json.loads(str(arrays["meta"])) if "meta" in arrays.files else {}
        peer = isinstance(meta, dict) and meta.get("peer") == "sinabs"
        return peer or {"input", "layer0_weights"} <= set(arrays.files) or "thr_low_qthr_qlow" in arrays.files


def replay(path: Path, semantics: Path | None) -> list[Comparison]:
    """Dispatch on what is in the file."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    meta = json.loads(str(arrays["meta"])) if "meta" in arrays else {}
    if "layer0_weights" in arrays:
        graph = path.with_suffix(".nir")
        through = _through_device(graph, arrays, meta) if graph.is_file() else []
        return through + _bare(arrays, meta)
    if "topology" in meta:
        return replay_dynapcnn_graph.replay(arrays, meta)
    if "need" in arrays:
        return _allocation(arrays)
    if "thr_low_qthr_qlow" in arrays:
        return _quantisation(arrays, meta)
    if "spec" in meta:
        return _configuration(arrays, meta)
    raise UnreadableError("neither a chain nor a graph, a configuration, an allocation or a quantisation file")


# --- chains ---------------------------------------------------------------------------------------------------------


def chain_of(graph: Path, arrays: dict[str, Any], meta: dict[str, Any]) -> tuple[hal.Model, list[str], Any]:
    """The chain of a graph as its peer runs it: model, names of the layers, events for its Input."""
    layers = meta["layers"]
    bare = hal.read_model(graph, Semantics(profile="sinabs"))
    names = [node.name for node in bare.populations() if isinstance(node, nodes.IF)]
    overrides = {
        name: {"spike_reset": "value" if layer["return_to_zero"] else "subtract", "v_min": layer["threshold_low"]}
        for name, layer in zip(names, layers, strict=True)
    }
    semantics = Semantics(
        profile="sinabs", spikes_per_step="one", bias_meaning="per_tick", dt_ns=1000, overrides=overrides
    )
    model = bare.with_semantics(semantics)
    events = arrays["input"]
    index = index_of(events, layers[0]["in_shape"])
    return model, names, hal.events(events["t"].astype(np.int64) * 1000, index)


def _through_device(graph: Path, arrays: dict[str, Any], meta: dict[str, Any]) -> list[Comparison]:
    """By name, from the graph: spikes in order, counts, final state, synops."""
    layers = meta["layers"]
    model, names, events = chain_of(graph, arrays, meta)
    record: list[Any] = [*names, *(Probe(name, "v") for name in names)]
    mapping = hal.mapper(DEVICE).map(model, record=record)
    stimulus = {model.inputs[0]: events}
    ticks = arrays.get("leak_ticks_us", np.zeros(0, np.uint32)).astype(np.int64) * 1000
    stimulus["@slow_clock"] = hal.events(ticks, np.zeros(ticks.size, np.int64))
    duration = int(max(events["t"].max(initial=0), ticks.max(initial=0))) + 1000
    with hal.open(DEVICE, rate=None) as device:
        device.load(mapping)
        recording = device.run(stimulus, duration)
    out = []
    for n, (name, layer) in enumerate(zip(names, layers, strict=True)):
        core = int(mapping.where(name)["core"][0])
        spikes = recording.spikes[name]
        what = f"device, layer {n}"
        out += _spikes(what, n, spikes["t"] // 1000, spikes["index"], arrays, layer)
        if f"layer{n}_spike_count" in arrays:
            golden = arrays[f"layer{n}_spike_count"]
            out.append(compare(f"{what}: spike counts", recording.counts(name).reshape(golden.shape), golden))
        if f"layer{n}_v_final" in arrays:
            golden = arrays[f"layer{n}_v_final"]
            state = recording.traces[name, "v"].values[-1].reshape(golden.shape)
            out.append(compare(f"{what}: final state", state, golden))
        for key, counter in (("synops", "synops"), ("events_in", "events_in"), ("events_out", "events_out")):
            if key in layer:
                out.append(compare(f"{what}: {key}", recording.stats[counter][core], layer[key]))
        if ticks.size and arrays[f"layer{n}_bias"].any():
            out.append(compare(f"{what}: leak ticks", recording.stats["ticks"][core], ticks.size))
    return out


def _spikes(
    what: str, n: int, t_us: Any, index: Any, arrays: dict[str, Any], layer: dict[str, Any]
) -> list[Comparison]:
    """Spikes in order, or their checksum where a large file keeps no more."""
    found = golden_events(t_us, index, layer["out_shape"])
    out = []
    if f"layer{n}_out" in arrays:
        out.append(compare(f"{what}: spikes in order", found, arrays[f"layer{n}_out"]))
    if "out_sha256" in layer:
        out.append(
            compare(f"{what}: SHA-256 of the spikes", hashlib.sha256(found.tobytes()).hexdigest(), layer["out_sha256"])
        )
    return out


def _core(n: int, arrays: dict[str, Any], layer: dict[str, Any], pooling: int) -> CoreParams:
    bias = arrays.get(f"layer{n}_bias")
    return CoreParams(
        weights=arrays[f"layer{n}_weights"],
        bias=np.zeros(layer["out_shape"][0], np.int16) if bias is None else bias,
        in_shape=tuple(layer["in_shape"]),
        stride=tuple(layer["stride_yx"]),
        padding=tuple(layer["padding_yx"]),
        threshold_high=layer["threshold_high"],
        threshold_low=layer["threshold_low"],
        return_to_zero=layer["return_to_zero"],
        leak_enable=bias is not None and bool(bias.any()),
        pooling=pooling,
    )


def _bare(arrays: dict[str, Any], meta: dict[str, Any]) -> list[Comparison]:
    """The emulator alone: the chain as a whole, and every layer on its exact input list."""
    layers = meta["layers"]
    ticks = arrays.get("leak_ticks_us", np.zeros(0, np.uint32)).astype(np.int64)
    cores = [_core(n, arrays, layer, int(layer["pooling"])) for n, layer in enumerate(layers)]
    out = []
    events = arrays["input"]
    chain = Chain(cores)
    index = index_of(events, layers[0]["in_shape"]).astype(np.uint32)
    results = chain.run(events["t"].astype(np.int64), index, ticks, sources=True).cores
    for n, (layer, result) in enumerate(zip(layers, results, strict=True)):
        what = f"emulator, layer {n}"
        out += _spikes(what, n, result.t, result.index, arrays, layer)
        if f"layer{n}_v_final" in arrays:
            out.append(compare(f"{what}: final state", chain.state(n), arrays[f"layer{n}_v_final"]))
        for key in ("events_in", "events_out", "synops"):
            if key in layer:
                out.append(compare(f"{what}: {key}", getattr(result, key), layer[key]))
        given = arrays.get(f"layer{n}_in", events if n == 0 else None)
        if given is None or f"layer{n}_out" not in arrays:
            continue
        alone = Chain([cores[n]])
        index = index_of(given, layer["in_shape"]).astype(np.uint32)
        one = alone.run(given["t"].astype(np.int64), index, ticks, sources=True).cores[0]
        spikes = golden_events(one.t, one.index, layer["out_shape"])
        out.append(compare(f"{what} on its exact input: spikes in order", spikes, arrays[f"layer{n}_out"]))
        if f"layer{n}_out_src" in arrays:
            out.append(compare(f"{what} on its exact input: causing events", one.src, arrays[f"layer{n}_out_src"]))
    return out


# --- mapping --------------------------------------------------------------------------------------------------------


def _allocation(arrays: dict[str, Any]) -> list[Comparison]:
    tables = (chips.CHIPS["speck2f"], chips.CHIPS["speck2cmini"])
    found = np.zeros_like(arrays["feasible"])
    sound = 0
    for i, count in enumerate(arrays["n_layers"]):
        needs = [tuple(int(word) for word in need) for need in arrays["need"][i][:count]]
        for q, table in enumerate(tables):
            allocation = allocate(needs, table)  # type: ignore[arg-type]
            found[i, q] = allocation.fits
            cores = allocation.cores or ()
            distinct = len(set(cores)) == len(cores)
            sound += distinct and all(
                all(n <= m for n, m in zip(need, table.memory(core), strict=True))
                for need, core in zip(needs, cores, strict=False)
            )
    return [
        compare("feasible", found, arrays["feasible"]),
        compare("assignments that are valid, or none", sound, arrays["feasible"].size),
    ]


def _quantisation(arrays: dict[str, Any], meta: dict[str, Any]) -> list[Comparison]:
    out = []
    for i in range(int(meta.get("n", sum(name.startswith("w") for name in arrays)))):
        high, low, q_high, q_low = (float(v) for v in arrays["thr_low_qthr_qlow"][i])
        bias = arrays.get(f"b{i}")
        made = quantise_as_sinabs(arrays[f"w{i}"], bias, high, None if np.isnan(low) else low)
        out.append(_rounded(f"layer {i}: weights", made.weights, arrays[f"qw{i}"], arrays[f"w{i}"], made.scale))
        if bias is not None:
            out.append(_rounded(f"layer {i}: bias", made.bias, arrays[f"qb{i}"], bias, made.scale))
        out.append(compare(f"layer {i}: thresholds", [made.threshold_high, made.threshold_low], [q_high, q_low]))
    return out


def _rounded(what: str, got: Any, wanted: Any, values: Any, scale: float) -> Comparison:
    """Equal, or one off where the scaled value is within HALF of a half."""
    scaled = values.astype(np.float64) * scale
    tie = np.abs(np.abs(scaled - np.trunc(scaled)) - 0.5) < HALF
    got, wanted = got.astype(np.int64), wanted.astype(np.int64)
    same = (got == wanted) | (tie & (np.abs(got - wanted) <= 1))
    return Comparison(what, same.size, int(same.sum()))


def _configuration(arrays: dict[str, Any], meta: dict[str, Any]) -> list[Comparison]:
    """A network by its list of layers, mapped with the peer's quantisation, against the peer's configuration."""
    if not all(step[0] in ("conv", "iaf", "avg", "sum", "flatten", "linear") for step in meta["spec"]):
        raise UnreadableError(f"layers {[step[0] for step in meta['spec']]}")
    model = _network(arrays, meta)
    mapper = hal.mapper(DEVICE)
    report = mapper.check(model, {"quantisation": "sinabs"})
    out = [compare("fits", report.fits, meta["result"] == "mapped")]
    out += _memory(model, meta)
    if not report.fits:
        return out
    mapping = mapper.map(model, {"quantisation": "sinabs"})
    cores = [int(mapping.where(node.name)["core"][0]) for node in model.populations() if isinstance(node, nodes.IF)]
    for n, core in enumerate(cores):
        layer = mapping.config.cnn_layers[core]
        golden = meta["config"][str(meta["layer2core"][str(n)])]
        weights = arrays[f"int_weights_{n}"]
        out.append(compare(f"layer {n}: integer weights", layer.weights.transpose(0, 1, 3, 2), weights))
        out.append(compare(f"layer {n}: registers", _registers(layer), _golden_registers(golden)))
        targets = [d.layer for d in layer.destinations if d.enable]
        wanted = [cores[i] for i in meta["destinations"][str(n)] if i >= 0]
        out.append(compare(f"layer {n}: destinations", targets, wanted))
    return out


def _registers(layer: Any) -> list[int]:
    d = layer.dimensions
    pools = [t.pooling for t in layer.destinations if t.enable]
    return [
        *d.input_shape.shape,
        *d.output_shape.shape,
        d.padding.x,
        d.padding.y,
        d.stride.x,
        d.stride.y,
        d.kernel_size,
        layer.threshold_high,
        layer.threshold_low,
        layer.return_to_zero,
        layer.leak_enable,
        layer.monitor_enable,
        *pools,
    ]


def _golden_registers(golden: dict[str, Any]) -> list[int]:
    d = golden["dimensions"]
    shapes = [
        v
        for key in ("input_shape", "output_shape")
        for v in (d[key]["feature_count"], d[key]["size"]["y"], d[key]["size"]["x"])
    ]
    pools = [t["pooling"] for t in golden["destinations"] if t["enable"]]
    flags = [golden[k] for k in ("threshold_high", "threshold_low", "return_to_zero", "leak_enable", "monitor_enable")]
    return [
        *shapes,
        d["padding"]["x"],
        d["padding"]["y"],
        d["stride"]["x"],
        d["stride"]["y"],
        d["kernel_size"],
        *flags,
        *pools,
    ]


def _memory(model: hal.Model, meta: dict[str, Any]) -> list[Comparison]:
    """Words by the published formula; the peer's layers have no bias."""
    found, wanted = [], []
    n = 0
    for name in model.order():
        node: Any = model.nodes[name]
        if isinstance(node, nodes.Conv2d):
            found.append(
                memory_words(
                    node.weight.shape[1], node.weight.shape[0], node.weight.shape[2], node.output_shape[1:], False
                )
            )  # type: ignore[arg-type]
        elif isinstance(node, nodes.Linear):
            before = model.nodes[model.predecessors(name)[0]].input_shape
            found.append(memory_words(before[0], node.weight.shape[0], before[1], (1, 1), False))
        else:
            continue
        wanted.append([meta["memory"][kind][str(n)] for kind in ("kernel", "neuron", "bias")])
        n += 1
    return [compare("memory words", [list(words) for words in found], wanted)]


def _network(arrays: dict[str, Any], meta: dict[str, Any]) -> hal.Model:
    """The model of a `spec` list."""
    shape: tuple[int, ...] = tuple(meta["input_shape"])
    made: dict[str, nodes.Node] = {"input": nodes.Input(name="input", input_shape=shape, output_shape=shape)}
    weights = 0
    for i, (kind, *args) in enumerate(meta["spec"]):
        name = f"n{i:02d}"
        common: dict[str, Any] = {"name": name, "input_shape": shape}
        if kind == "conv":
            _, _, k, stride, pad = args
            w = arrays[f"float_weights_{weights}"]
            out = (w.shape[0], *((n + 2 * pad - k) // stride + 1 for n in shape[1:]))
            made[name] = nodes.Conv2d(
                **common,
                output_shape=out,
                weight=w,
                bias=np.zeros(w.shape[0], w.dtype),
                stride=(stride, stride),
                padding=((pad, pad), (pad, pad)),
                dilation=(1, 1),
                groups=1,
            )
            weights += 1
        elif kind == "linear":
            w = arrays[f"float_weights_{weights}"]
            out = (w.shape[0],)
            made[name] = nodes.Linear(**common, output_shape=out, weight=w)
            weights += 1
        elif kind == "iaf":
            out = shape
            full = np.full(shape, meta["spike_threshold"], np.float32)
            made[name] = nodes.IF(
                **common,
                output_shape=out,
                r=np.ones(shape, np.float32),
                v_threshold=full,
                v_reset=np.zeros(shape, np.float32),
            )
        elif kind == "flatten":
            out = (int(np.prod(shape)),)
            made[name] = nodes.Flatten(**common, output_shape=out, start_dim=0, end_dim=-1)
        else:
            (k,) = args
            out = (shape[0], shape[1] // k, shape[2] // k)
            pool = nodes.AvgPool2d if kind == "avg" else nodes.SumPool2d
            made[name] = pool(**common, output_shape=out, kernel_size=(k, k), stride=(k, k), padding=(0, 0))
        shape = out
    made["output"] = nodes.Output(name="output", input_shape=shape, output_shape=shape)
    names = list(made)
    low = meta["min_v_mem"]
    semantics = Semantics(profile="sinabs", v_min=None if low is None else float(low))
    return hal.Model.of(made, pairwise(names), semantics)
