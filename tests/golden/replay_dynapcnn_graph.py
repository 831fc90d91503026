"""DynapCNN / Speck graphs: several destinations and sums, through mapper and device and on the bare emulator."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from comparison import Comparison, compare

import hal
from hal import nodes
from hal.events import Probe
from hal.semantics import Semantics
from hal_emulators.dynapcnn import Chain, CoreParams
from hal_emulators.dynapcnn_network import Link, Network

DEVICE = "speck2f"
EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<u2"), ("t", "<u4")])


def replay(arrays: dict[str, Any], meta: dict[str, Any]) -> list[Comparison]:
    """Everything a graph file holds."""
    return _through_device(arrays, meta) + _bare(arrays, meta)


def index_of(events: Any, shape: tuple[int, ...]) -> Any:
    """Flat positions of events in a file's own dtype."""
    _, height, width = shape
    return (events["p"].astype(np.int64) * height + events["y"]) * width + events["x"]


def golden_events(t_us: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Events in the file's own dtype, to hash them."""
    _, height, width = shape
    out = np.zeros(len(index), EVENT)
    out["p"], pixel = np.divmod(index, height * width)
    out["y"], out["x"] = np.divmod(pixel, width)
    out["t"] = t_us
    return out


def _model(arrays: dict[str, Any], meta: dict[str, Any]) -> hal.Model:
    """Cores by name; what several cores send to one goes into one convolution."""
    layers = meta["layers"]
    first = next(iter(layers))
    shape = tuple(layers[first]["in_shape"])
    made: dict[str, nodes.Node] = {"input": nodes.Input(name="input", input_shape=shape, output_shape=shape)}
    edges = [("input", f"conv_{first}")]
    overrides = {}
    for name, layer in layers.items():
        weight = arrays[f"{name}_weights"].astype(np.float32)
        out = tuple(layer["out_shape"])
        (sy, sx), (py, px) = layer["stride_yx"], layer["padding_yx"]
        made[f"conv_{name}"] = nodes.Conv2d(
            name=f"conv_{name}",
            input_shape=tuple(layer["in_shape"]),
            output_shape=out,
            weight=weight,
            bias=np.asarray(arrays.get(f"{name}_bias", np.zeros(weight.shape[0])), np.float32),
            stride=(sy, sx),
            padding=((py, py), (px, px)),
            dilation=(1, 1),
            groups=1,
        )
        values = {"r": 1.0, "v_threshold": layer["threshold_high"], "v_reset": 0.0}
        full = {key: np.full(out, value, np.float32) for key, value in values.items()}
        made[name] = nodes.IF(name=name, input_shape=out, output_shape=out, **full)
        edges.append((f"conv_{name}", name))
        reset = "value" if layer["return_to_zero"] else "subtract"
        overrides[name] = {"spike_reset": reset, "v_min": layer["threshold_low"]}
    for source, targets in meta["topology"].items():
        shape = tuple(layers[source]["out_shape"])
        for target in targets:
            pool = int(meta["pooling"][f"{source}->{target}"])
            before = source
            if pool > 1:
                before = f"pool_{source}_{target}"
                out = (shape[0], shape[1] // pool, shape[2] // pool)
                size: Any = {"kernel_size": (pool, pool), "stride": (pool, pool), "padding": (0, 0)}
                made[before] = nodes.SumPool2d(name=before, input_shape=shape, output_shape=out, **size)
                edges.append((source, before))
            edges.append((before, f"conv_{target}"))
    last = list(layers)[-1]
    made["output"] = nodes.Output(
        name="output", input_shape=made[last].output_shape, output_shape=made[last].output_shape
    )
    edges.append((last, "output"))
    semantics = Semantics(
        profile="sinabs", spikes_per_step="one", bias_meaning="per_tick", dt_ns=1000, overrides=overrides
    )
    return hal.Model.of(made, edges, semantics)


def _through_device(arrays: dict[str, Any], meta: dict[str, Any]) -> list[Comparison]:
    """By name, through mapper and device."""
    layers = meta["layers"]
    record: list[Any] = [*layers, *(Probe(name, "v") for name in layers)]
    mapping = hal.mapper(DEVICE).map(_model(arrays, meta), record=record)
    events = arrays["input"]
    t_ns = events["t"].astype(np.int64) * 1000
    shape = next(iter(layers.values()))["in_shape"]
    with hal.open(DEVICE, rate=None) as device:
        device.load(mapping)
        recording = device.run({"input": hal.events(t_ns, index_of(events, shape))}, int(t_ns.max(initial=0)) + 1000)
    out = []
    for name, layer in layers.items():
        core = int(mapping.where(name)["core"][0])
        spikes = recording.spikes[name]
        state = recording.traces[name, "v"].values[-1]
        counts = {key: recording.stats[key][core] for key in ("events_in", "events_out", "synops")}
        out += _core(f"device, {name}", name, layer, arrays, (spikes["t"] // 1000, spikes["index"]), state, counts)
    return out


def _bare(arrays: dict[str, Any], meta: dict[str, Any]) -> list[Comparison]:
    """The emulator alone: the graph as a whole, and every core on its exact input list."""
    layers = meta["layers"]
    names = list(layers)
    cores = [_params(arrays, name, layers[name]) for name in names]
    links = [Link(-1, 0)] + [
        Link(names.index(source), names.index(target), int(meta["pooling"][f"{source}->{target}"]))
        for source, targets in meta["topology"].items()
        for target in targets
    ]
    network = Network(cores, links, [cores[0].in_shape])
    events = arrays["input"]
    index = index_of(events, cores[0].in_shape).astype(np.uint32)
    t = events["t"].astype(np.int64)
    network.begin(t, np.zeros(t.size, np.int64), index, duration=int(t.max(initial=0)) + 1)
    step = network.advance()
    out = []
    for number, name in enumerate(names):
        mine = step.core == number
        counts = {key: step.counts[key][number] for key in ("events_in", "events_out", "synops")}
        found = step.t[mine], step.index[mine]
        out += _core(f"emulator, {name}", name, layers[name], arrays, found, network.state(number), counts)
        if f"{name}_in" in arrays and f"{name}_out" in arrays:
            given = arrays[f"{name}_in"]
            where = index_of(given, layers[name]["in_shape"]).astype(np.uint32)
            one = Chain([cores[number]]).run(given["t"].astype(np.int64), where).cores[0]
            spikes = golden_events(one.t, one.index, layers[name]["out_shape"])
            out.append(compare(f"emulator, {name} on its exact input: spikes", spikes, arrays[f"{name}_out"]))
    return out


def _params(arrays: dict[str, Any], name: str, layer: dict[str, Any]) -> CoreParams:
    return CoreParams(
        weights=arrays[f"{name}_weights"],
        in_shape=tuple(layer["in_shape"]),
        stride=tuple(layer["stride_yx"]),
        padding=tuple(layer["padding_yx"]),
        threshold_high=layer["threshold_high"],
        threshold_low=layer["threshold_low"],
        return_to_zero=layer["return_to_zero"],
    )


def _core(
    what: str, name: str, layer: dict[str, Any], arrays: dict[str, Any], spikes: Any, state: Any, counts: dict[str, Any]
) -> list[Comparison]:
    """One core of a graph: whatever the file holds of it."""
    found = golden_events(*spikes, layer["out_shape"])
    out = []
    if f"{name}_out" in arrays:
        out.append(compare(f"{what}: spikes in order", found, arrays[f"{name}_out"]))
    if "out_sha256" in layer:
        digest = hashlib.sha256(found.tobytes()).hexdigest()
        out.append(compare(f"{what}: SHA-256 of the spikes", digest, layer["out_sha256"]))
    if f"{name}_v_final" in arrays:
        golden = arrays[f"{name}_v_final"]
        out.append(compare(f"{what}: final state", np.reshape(state, golden.shape), golden))
    return out + [compare(f"{what}: {key}", value, layer[key]) for key, value in counts.items() if key in layer]
