"""Spike times of the event-exact core of BrainScaleS-2, beside those of an independent reference, ref*.

Layers: `meta` with `params` (tau_mem, tau_syn, v_th, v_reset, v_leak, t_max; min_delay of forward connections and
rec_delay of recurrent ones, s, where there are any), w0, w1 and so on (pre, post), rec0 and so on (n, n), in_time and
in_idx (samples, events), ref0_time, ref0_idx and so on (samples, spikes), padded with inf and -1.

First spikes: w1, w2, the same as codes in hw1_total and hw2 (times params.weight_scale), in_time, in_idx, and times of
first spikes ref_hidden_time, ref_output_time and, with the codes, ref_q_hidden_time, ref_q_output_time, inf: silent.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from comparison import Comparison, compare
from numpy.typing import NDArray

from hal_emulators.cuba import Network, Neurons, Synapses

WITHIN_S = 1e-12
FIRST = {"ref_hidden_time", "ref_output_time", "ref_q_hidden_time", "ref_q_output_time", "w1", "w2", "hw1_total", "hw2"}
Matrix = NDArray[np.float64]


def claims(path: Path) -> bool:
    """An npz with inputs, parameters and reference times of either kind."""
    if path.suffix != ".npz" or not zipfile.is_zipfile(path):
        return False
    with np.load(path, allow_pickle=False) as arrays:
        names = set(arrays.files)
        if not {"meta", "in_time", "in_idx"} <= names or not (names >= FIRST or {"w0", "ref0_time"} <= names):
            return False
        return {"tau_syn", "tau_mem", "v_th", "t_max"} <= set(json.loads(str(arrays["meta"])).get("params", {}))


def replay(path: Path, semantics: Path | None) -> list[Comparison]:
    """Every layer's spikes, neuron by neuron; and the same in pieces, sample by sample, beside the batch."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    params = json.loads(str(arrays["meta"]))["params"]
    if "w0" in arrays:
        return _layers(arrays, params)
    scale = params["weight_scale"]
    out = []
    for tag, w1, w2 in (("", arrays["w1"], arrays["w2"]), ("q_", arrays["hw1_total"] / scale, arrays["hw2"] / scale)):
        neurons = Neurons(**_of(params), size=w1.shape[1] + w2.shape[1], t_ref=np.inf)
        spikes, also = _spikes(Network(neurons, Synapses.chain(w1, w2)), arrays, params["t_max"])
        for name, first, size in (("hidden", 0, w1.shape[1]), ("output", w1.shape[1], w2.shape[1])):
            wanted = arrays[f"ref_{tag}{name}_time"]
            sample, n = np.nonzero(np.isfinite(wanted))
            out.append(_same(f"{tag}{name}", _part(spikes, first, size), (sample, n, wanted[sample, n])))
        out.append(also)
    return out


def _of(params: dict[str, Any]) -> dict[str, Any]:
    return {name: params[name] for name in ("tau_mem", "tau_syn", "v_th", "v_reset", "v_leak") if name in params}


def _layers(arrays: dict[str, Any], params: dict[str, Any]) -> list[Comparison]:
    forward = params.get("min_delay", 0.0)
    delays, weights, first = [], [], 0
    depth = sum(f"w{k}" in arrays for k in range(len(arrays)))
    n_inputs = len(arrays["w0"])
    size = sum(arrays[f"w{k}"].shape[1] for k in range(depth))
    source, target, firsts = [], [], []
    for k in range(depth):
        w, recurrent = arrays[f"w{k}"], arrays.get(f"rec{k}")
        below = first - len(w) if k else -n_inputs
        for matrix, start, delay in ((w, below, forward), (recurrent, first, params.get("rec_delay", forward))):
            if matrix is not None:
                pre, post = np.nonzero(matrix)
                source.append(pre + start + n_inputs)
                target.append(post + first)
                weights.append(matrix[pre, post])
                delays.append(np.full(pre.size, delay))
        firsts.append((first, w.shape[1]))
        first += w.shape[1]
    lists = (np.concatenate(each) for each in (source, target, weights, delays))
    network = Network(Neurons(size=size, **_of(params)), Synapses.of(n_inputs + size, *lists))
    spikes, also = _spikes(network, arrays, params["t_max"])
    out = []
    for k, (first, n) in enumerate(firsts):
        if f"ref{k}_time" in arrays:
            t, index = arrays[f"ref{k}_time"], arrays[f"ref{k}_idx"]
            sample, at = np.nonzero(np.isfinite(t) & (index >= 0))
            wanted = (sample, index[sample, at], t[sample, at])
            out.append(_same(f"layer {k}", _part(spikes, first, n), wanted))
    return [*out, also]


Spikes = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""Sample, neuron, time."""


def _spikes(network: Network, arrays: dict[str, Any], until: float) -> tuple[Spikes, Comparison]:
    """All spikes of the batch; and whether samples that run one by one and in pieces give the same, bit for bit."""
    late = ~(arrays["in_time"] < until) | (arrays["in_idx"] < 0)
    times = np.where(late, np.inf, arrays["in_time"])
    channels = np.where(late, 0, arrays["in_idx"])
    seen = network.run_batch(until, times, channels)
    sample = np.repeat(np.arange(len(times)), np.diff(seen.splits))
    pieces = []
    for t, channel, out in zip(times, channels, late, strict=True):
        network.reset()
        t, channel = t[~out], channel[~out]
        cut = until / 3
        pieces.append(network.run(cut, t[t < cut], channel[t < cut]))
        pieces.append(network.run(until, t[t >= cut], channel[t >= cut]))
    again = (np.concatenate([getattr(piece, name) for piece in pieces]) for name in ("t", "neuron", "i"))
    whole = np.stack([seen.t, seen.neuron, seen.i])
    return (sample, seen.neuron, seen.t), compare("emulator: runs in pieces", np.stack(list(again)), whole)


def _part(spikes: Spikes, first: int, size: int) -> Spikes:
    """Those of some neurons, numbered from 0."""
    sample, n, t = spikes
    mine = (n >= first) & (n < first + size)
    return sample[mine], n[mine] - first, t[mine]


def _same(what: str, got: Spikes, wanted: Spikes) -> Comparison:
    """The k-th spike of every neuron of every sample; counts must be equal."""
    tables = []
    for sample, n, t in (got, wanted):
        order = np.lexsort((t, n, sample))
        tables.append((np.stack([sample, n])[:, order], t[order]))
    (who, t), (golden_who, golden_t) = tables
    if who.shape != golden_who.shape or not np.array_equal(who, golden_who):
        return compare(f"emulator: {what}: sample and neuron of every spike", who, golden_who)
    near = np.count_nonzero(np.abs(t - golden_t) <= WITHIN_S)
    return Comparison(f"emulator: {what}: spike times", t.size, int(near), WITHIN_S)
