"""Loihi files on the bare emulator and the device: networks of blocks, MNIST in integers, a recording of silicon."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import replay_loihi_device
from comparison import Comparison, UnreadableError, compare

from hal_emulators.loihi import Board, Compartments, Probe, Synapses

SPIKE = np.dtype([("t", "<i4"), ("n", "<i4")])
V_LIMIT = 2**23 - 1
PARAMETERS = ("decay_u", "decay_v", "vth", "bias", "refract")
LAYERS = ("conv0", "conv1", "dense0")


def claims(path: Path) -> bool:
    """An npz with blocks of compartments, with the layers of the MNIST network, or with the recording."""
    if path.suffix != ".npz":
        return False
    with np.load(path, allow_pickle=False) as arrays:
        names = set(arrays.files)
    kinds = ({"meta", "b0_vth", "spikes"}, {"input_spikes_first10", "conv0_w"}, {"meta", "input", "v", "spinnaker2"})
    return any(kind <= names for kind in kinds)


def replay(path: Path, semantics: Path | None) -> list[Comparison]:
    """Dispatch on what is in the file. The MNIST images are taken from mnist_model.npz beside it, if it is there."""
    arrays = _load(path)
    if "b0_vth" in arrays:
        return _network(arrays) + replay_loihi_device.replay(path, arrays, json.loads(str(arrays["meta"])))
    if "spinnaker2" in arrays:
        return _silicon(arrays) + replay_loihi_device.silicon(arrays, json.loads(str(arrays["meta"]))["integers"])
    model = path.with_name("mnist_model.npz")
    return _mnist(arrays, _load(model) if model.is_file() else None)


def _load(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


# --- networks of blocks ---------------------------------------------------------------------------------------------


def _network(arrays: dict[str, Any]) -> list[Comparison]:
    """Spikes, u and v at the recorded steps and at the end, and the number of deliveries."""
    meta = json.loads(str(arrays["meta"]))
    sizes, inputs = meta["block_sizes"], meta["input_sizes"]
    blocks, ports = np.cumsum([0, *sizes]), np.cumsum([0, *inputs])
    total = int(blocks[-1])
    limits = [np.repeat(arrays[f"b{k}_vlimits"][None], n, axis=0) for k, n in enumerate(sizes)]
    vmin, vmax = np.concatenate(limits).T
    values = {name: np.concatenate([arrays[f"b{k}_{name}"] for k in range(len(sizes))]) for name in PARAMETERS}
    board = Board(
        Compartments(vmin=vmin, vmax=vmax, **values),
        _synapses(arrays, meta["connections"], blocks, ports),
        int(ports[-1]),
        core=np.repeat(np.arange(len(sizes)), sizes),
    )
    events = [arrays[f"in{i}_events"] for i in range(len(inputs))]
    step = np.concatenate([np.empty(0, np.int64), *(each["t"] - 1 for each in events)]).astype(np.int64)
    source = np.concatenate([np.empty(0, np.int64), *(each["n"] + ports[i] for i, each in enumerate(events))])
    order = np.argsort(step, kind="stable")
    order = order[step[order] < meta["T"]]
    everyone = np.arange(total)
    result = board.run(
        meta["T"], step[order], source[order].astype(np.int64), probe=[Probe("u", everyone), Probe("v", everyone)]
    )
    spikes = np.zeros(result.spike_step.size, SPIKE)
    spikes["t"], spikes["n"] = result.spike_step + 1, result.spike_index
    rows = arrays["rec_steps"] - 1
    out = [
        compare("emulator: spikes", spikes, arrays["spikes"].astype(SPIKE)),
        compare("emulator: u", result.traces[0][rows], arrays["u"]),
        compare("emulator: v", result.traces[1][rows], arrays["v"]),
        compare("emulator: final u", board.state().u, arrays["u_final"]),
        compare("emulator: final v", board.state().v, arrays["v_final"]),
    ]
    if "synops" in meta:
        out.append(compare("emulator: synops", result.synops.sum(), meta["synops"]))
    return out


def _synapses(arrays: dict[str, Any], connections: list[dict[str, Any]], blocks: Any, ports: Any) -> Synapses:
    """All connections as one list; sources are the inputs, then the compartments."""
    lists: list[list[Any]] = [[np.empty(0, np.int64)] for _ in range(4)]
    for j, connection in enumerate(connections):
        src = connection["src"]
        if connection["src_kind"] not in ("in", "blk"):
            raise UnreadableError(f"connection {j} comes from {connection['src_kind']!r}")
        first = ports[src] if connection["src_kind"] == "in" else ports[-1] + blocks[src]
        pre = arrays[f"c{j}_pre"].astype(np.int64) + first
        post = arrays[f"c{j}_post"].astype(np.int64) + blocks[connection["dst"]]
        delay = np.full(pre.size, connection.get("delay", 0))
        for values, more in zip(lists, (pre, post, arrays[f"c{j}_w"].astype(np.int64), delay), strict=True):
            values.append(more)
    pre, post, weight, delay = (np.concatenate(values) for values in lists)
    return Synapses.from_lists(int(ports[-1] + blocks[-1]), pre, post, weight, delay)


# --- the recording of silicon ---------------------------------------------------------------------------------------


def _silicon(arrays: dict[str, Any]) -> list[Comparison]:
    """One neuron: spikes, and v with the chip-like probe; the plain one differs where the neuron spiked."""
    given = json.loads(str(arrays["meta"]))["integers"]
    full = {"bias": 0, "refract": 1, "vmin": -V_LIMIT, "vmax": V_LIMIT}
    full |= {name: given[name] for name in ("decay_u", "decay_v", "vth")}
    board = Board(
        Compartments(**{name: np.array([value]) for name, value in full.items()}),
        Synapses.from_lists(2, [0], [0], given["weight"]),
        1,
    )
    steps = arrays["v"].size
    events = np.flatnonzero(arrays["input"])
    probes = [Probe("v_register", [0]), Probe("v", [0])]
    result = board.run(steps, events, np.zeros(events.size, np.int64), probe=probes)
    quiet = arrays["spike"] == 0
    return [
        compare("emulator: spikes", result.spike_step, np.flatnonzero(arrays["spike"])),
        compare("emulator: v as the register shows it", result.traces[0][:, 0], arrays["v"]),
        compare("emulator: v where nothing spiked", result.traces[1][quiet, 0], arrays["v"][quiet]),
    ]


# --- MNIST ----------------------------------------------------------------------------------------------------------


def _mnist(arrays: dict[str, Any], model: dict[str, Any] | None) -> list[Comparison]:
    """Spikes of the last layer and spikes per layer and step, image by image from reset."""
    meta = json.loads(str(arrays["meta"]))
    steps = meta["T"]
    board, sizes = mnist_board(arrays)
    n_inputs = board.n_inputs
    stored = np.unpackbits(arrays["input_spikes_first10"], axis=-1)[..., :n_inputs].astype(bool)
    rasters = list(stored)
    out = []
    if model is not None:
        encoded = [encode(image, model, meta["scales"][0], steps) for image in model["test_images"]]
        out.append(compare("encoder: input spikes", np.array(encoded[: len(stored)]), stored))
        rasters += encoded[len(stored) :]
    wanted = np.unpackbits(arrays["dense0_spikes"], axis=-1)[..., : sizes[-1]].astype(bool)
    bounds = np.cumsum([0, *sizes])
    counts, last = [], []
    for raster in rasters:
        board.reset()
        result = board.run(steps, *np.nonzero(raster))
        layer = np.searchsorted(bounds, result.spike_index, side="right") - 1
        counts.append(
            np.stack([np.bincount(result.spike_step[layer == k], minlength=steps) for k in range(len(sizes))])
        )
        mine = np.zeros((steps, sizes[-1]), bool)
        at = layer == len(sizes) - 1
        mine[result.spike_step[at], result.spike_index[at] - bounds[-2]] = True
        last.append(mine)
    done = len(rasters)
    out.append(compare(f"emulator: dense0 spikes, {done} images", np.array(last), wanted[:done]))
    out.append(compare(f"emulator: layer counts, {done} images", np.array(counts), arrays["layer_counts"][:done]))
    return out


def mnist_board(arrays: dict[str, Any]) -> tuple[Board, list[int]]:
    """The network of three layers, channels last, and the sizes of its layers."""
    shape, size = (28, 28, 3), 28 * 28 * 3
    n_inputs, first, parts, sizes = size, 0, [], []
    for name in LAYERS:
        weight = arrays[f"{name}_w"]
        pre, post, w, shape = _conv(weight, shape) if weight.ndim == 4 else _dense(weight)
        sizes.append(int(np.prod(shape)))
        parts.append((pre + first, post + sum(sizes[:-1]), w))
        first = n_inputs + sum(sizes[:-1])
    pre, post, w = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    values: dict[str, list[Any]] = {}
    names = {"decay_u": "decay_u", "decay_v": "decay_v", "vth": "vth", "bias": "bias", "refract_delay": "refract"}
    for layer, n in zip(LAYERS, sizes, strict=True):
        for stored, name in names.items():
            values.setdefault(name, []).append(np.broadcast_to(arrays[f"{layer}_{stored}"], n))
    total = sum(sizes)
    compartments = Compartments(
        vmin=np.zeros(total, np.int32),
        vmax=np.full(total, V_LIMIT),
        **{name: np.concatenate(each) for name, each in values.items()},
    )
    return Board(compartments, Synapses.from_lists(n_inputs + total, pre, post, w), n_inputs), sizes


def _conv(kernel: Any, shape: tuple[int, ...], stride: int = 2) -> tuple[Any, Any, Any, tuple[int, ...]]:
    """Synapses of a convolution without padding; kernel (kh, kw, cin, cout), shape (H, W, C)."""
    kh, kw, cin, cout = kernel.shape
    height, width = ((n - k) // stride + 1 for n, k in zip(shape, (kh, kw), strict=False))
    y, x, dy, dx, c, f = np.indices((height, width, kh, kw, cin, cout)).reshape(6, -1)
    pre = ((y * stride + dy) * shape[1] + x * stride + dx) * cin + c
    weight = kernel[dy, dx, c, f]
    kept = weight != 0
    return pre[kept], ((y * width + x) * cout + f)[kept], weight[kept], (height, width, cout)


def _dense(weight: Any) -> tuple[Any, Any, Any, tuple[int, ...]]:
    pre, post = np.nonzero(weight)
    return pre, post, weight[pre, post], (weight.shape[1],)


def encode(image: Any, model: dict[str, Any], scale: float, steps: int) -> Any:
    """The host's layer that turns pixels into spikes, float64: (steps, 28 * 28 * 3)."""
    weight = model["c_in_weight"].astype(np.float64).ravel()
    drive = 0.001 * scale * ((image.astype(np.float64) / 255)[..., None] * weight).ravel()
    v = np.zeros(drive.size)
    raster = np.zeros((steps, drive.size), bool)
    for row in raster:
        v += drive
        row[:] = v > 1
        v[row] = 0
    return raster
