"""Loihi files through mapper and device: from the NIR file beside them, or registers with the file's integers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from comparison import Comparison, UnreadableError, compare

import hal
from hal.events import Probe
from hal.semantics import Semantics
from hal_loihi.config import (
    EXCITATORY,
    INHIBITORY,
    CompartmentsConfig,
    CoresConfig,
    GroupsConfig,
    InputConfig,
    LoihiConfig,
    PopulationConfig,
    SynapsesConfig,
)
from hal_loihi.limits import BIAS_EXP, BIAS_MANT, COMPARTMENTS, CORES_PER_CHIP, WEIGHT_EXP
from hal_loihi.weights import WEIGHT_LIMIT

STEP = 1_000_000
SPIKE = np.dtype([("t", "<i4"), ("n", "<i4")])
REGISTERS = ("decay_u", "decay_v", "vth", "bias", "refract_delay")


def replay(path: Path, arrays: dict[str, Any], meta: dict[str, Any]) -> list[Comparison]:
    """A network of blocks: through the NIR file if there is one, else through registers."""
    nir = path.with_suffix(".nir")
    if nir.is_file():
        return _from_model(nir, arrays, meta)
    config = config_of(arrays, meta)
    mapping = hal.mapper("loihi").adopt(config)
    told = _told(config, arrays, meta)
    names = [f"block {k}" for k in range(len(meta["block_sizes"]))]
    inputs = [f"input {i}" for i in range(len(meta["input_sizes"]))]
    what = "device, from registers" + ("" if told.all() else f" ({told.sum()} of {told.size} neurons can be stored)")
    return _run(what, mapping, inputs, names, arrays, meta, told)


def silicon(arrays: dict[str, Any], given: dict[str, int]) -> list[Comparison]:
    """The recording: every voltage as the chip's register shows it, the refractory counter included."""
    block = {"decay_u": given["decay_u"], "decay_v": given["decay_v"], "vth": given["vth"], "bias": 0, "refract": 1}
    network = {f"b0_{name}": np.array([value], np.int32) for name, value in block.items()}
    network |= {"b0_vlimits": np.array([1 - 2**23, 2**23 - 1])}
    network |= {f"c0_{name}": np.array([value]) for name, value in (("pre", 0), ("post", 0), ("w", given["weight"]))}
    connection = {"src_kind": "in", "src": 0, "dst": 0}
    meta = {"block_sizes": [1], "input_sizes": [1], "connections": [connection]}
    mapping = hal.mapper("loihi").adopt(config_of(network, meta))
    mapping = attrs.evolve(mapping, record=(Probe("block 0", "v", every_ns=STEP),))
    events = np.flatnonzero(arrays["input"])
    with hal.open("loihi", v_register="chip") as device:
        device.load(mapping)
        run = device.run({"input 0": hal.events(events * STEP, np.zeros(events.size, int))}, arrays["v"].size * STEP)
    return [
        compare("device: spikes", run.spikes["block 0"]["t"] // STEP, np.flatnonzero(arrays["spike"])),
        compare("device: v as the register shows it", run.traces["block 0", "v"].values[:, 0], arrays["v"]),
    ]


# --- through the NIR file -------------------------------------------------------------------------------------------


def _from_model(nir: Path, arrays: dict[str, Any], meta: dict[str, Any]) -> list[Comparison]:
    """Registers, then the run. NIR has (C, H, W) where the file has (H, W, C)."""
    model = hal.read_model(nir, Semantics(profile="nir", dt_ns=STEP))
    mapping = hal.mapper("loihi").map(model)
    config = mapping.config
    names, inputs = [p.name for p in config.populations], [port.name for port in config.inputs]
    sizes = [math.prod(p.shape) for p in config.populations]
    if sizes != meta["block_sizes"] or [math.prod(port.shape) for port in config.inputs] != meta["input_sizes"]:
        raise UnreadableError(f"the NIR file has populations of {sizes}, the blocks have {meta['block_sizes']}")
    found = np.concatenate([golden_order(p.shape) + p.first for p in config.populations])
    out = []
    for name in REGISTERS:
        wanted = [arrays[f"b{k}_{name.removesuffix('_delay')}"] for k in range(len(sizes))]
        out.append(compare(f"mapper: {name}", getattr(config.compartments, name)[found], np.concatenate(wanted)))
    rows = config.compartments.core
    limits = np.stack([config.cores.vmin[rows], config.cores.vmax[rows]], axis=1)
    wanted = [np.tile(arrays[f"b{k}_vlimits"], (n, 1)) for k, n in enumerate(sizes)]
    out.append(compare("mapper: limits of v", limits, np.concatenate(wanted)))
    out.append(compare("mapper: synapses", _mapped_synapses(config, found), _golden_synapses(arrays, meta)))
    return out + _run("device, from NIR", mapping, inputs, names, arrays, meta, np.ones(sum(sizes), bool))


def stimulus_of(inputs: dict[str, tuple[int, ...]], arrays: dict[str, Any], meta: dict[str, Any]) -> dict[str, Any]:
    """The file's events for Inputs of these shapes, in the file's order."""
    stimulus = {}
    for i, (name, shape) in enumerate(inputs.items()):
        events = arrays[f"in{i}_events"]
        events = events[events["t"] <= meta["T"]]
        stimulus[name] = hal.events((events["t"].astype(np.int64) - 1) * STEP, golden_order(shape)[events["n"]])
    return stimulus


def golden_order(shape: tuple[int, ...]) -> Any:
    """For every index of the file its flat place in the model's shape."""
    index = np.arange(math.prod(shape)).reshape(shape)
    return index.transpose(1, 2, 0).ravel() if len(shape) == 3 else index.ravel()


def _mapped_synapses(config: LoihiConfig, found: Any) -> Any:
    """(m, 4) sorted rows source, target, weight, delay, in the file's order of neurons; no zeros."""
    ports, first = [], 0
    for port in config.inputs:
        ports.append(golden_order(port.shape) + first)
        first += math.prod(port.shape)
    sources = np.concatenate([*ports, found + first])
    s = config.synapses
    source = np.repeat(np.arange(s.indptr.size - 1), np.diff(s.indptr))
    return _sorted(np.argsort(sources)[source], np.argsort(found)[s.target], config.weights(), s.delay)


def _golden_synapses(arrays: dict[str, Any], meta: dict[str, Any]) -> Any:
    return _sorted(*_lists(arrays, meta))


def _sorted(source: Any, target: Any, weight: Any, delay: Any) -> Any:
    table = np.stack([np.asarray(each, np.int64) for each in (source, target, weight, delay)], axis=1)
    table = table[table[:, 2] != 0]
    return table[np.lexsort(table.T[::-1])]


# --- through registers ----------------------------------------------------------------------------------------------


def config_of(arrays: dict[str, Any], meta: dict[str, Any]) -> LoihiConfig:
    """Registers that hold the file's integers: a core for every 1024 compartments of a block.

    UnreadableError for integers that no register can hold.
    """
    sizes = meta["block_sizes"]
    columns = {
        name: np.concatenate([arrays[f"b{k}_{name}"] for k in range(len(sizes))]).astype(np.int32)
        for name in ("decay_u", "decay_v", "vth", "bias", "refract")
    }
    bias_mant, bias_exp = _factors(columns["bias"], BIAS_EXP, BIAS_MANT)
    if (columns["vth"] % 64).any():
        raise UnreadableError("a threshold is no multiple of 64")
    core = np.concatenate([k * 1024 + np.arange(n) // COMPARTMENTS for k, n in enumerate(sizes)])
    used, row = np.unique(core, return_inverse=True)
    limits = np.array([_limits(arrays[f"b{k // 1024}_vlimits"]) for k in used], np.int32)
    firsts = np.cumsum([0, *sizes])
    n = len(used)
    return LoihiConfig(
        step_ns=STEP,
        inputs=tuple(InputConfig(name=f"input {i}", shape=(size,)) for i, size in enumerate(meta["input_sizes"])),
        populations=tuple(
            PopulationConfig(name=f"block {k}", first=int(firsts[k]), shape=(size,)) for k, size in enumerate(sizes)
        ),
        compartments=CompartmentsConfig(
            core=row.astype(np.int32),
            decay_u=columns["decay_u"],
            decay_v=columns["decay_v"],
            vth_mant=columns["vth"] // 64,
            bias_mant=bias_mant,
            bias_exp=bias_exp,
            refract_delay=columns["refract"],
        ),
        cores=CoresConfig(
            chip=np.arange(n, dtype=np.int32) // CORES_PER_CHIP,
            core=np.arange(n, dtype=np.int32) % CORES_PER_CHIP,
            vmin_exp=limits[:, 0],
            vmax_exp=limits[:, 1],
            enable_noise=np.zeros(n, bool),
            noise_exp=np.ones(n, np.int32),
            noise_offset=np.zeros(n, np.int32),
            noise_at_membrane=np.zeros(n, bool),
        ),
        **_stored(arrays, meta, sum(meta["input_sizes"]) + int(firsts[-1])),
    )


def _limits(given: Any) -> tuple[int, int]:
    low, high = (int(value) for value in given)
    low_exp, high_exp = (1 - low).bit_length() - 1, ((high + 1).bit_length() - 10) // 2
    if (1 - 2**low_exp, 2 ** (9 + 2 * high_exp) - 1) != (low, high):
        raise UnreadableError(f"no register holds the limits {low}..{high}")
    return low_exp, high_exp


def _factors(values: Any, exponents: tuple[int, int], mantissas: tuple[int, int]) -> tuple[Any, Any]:
    """Mantissa and the least exponent that hold each value, exactly where that can be."""
    mantissa, exponent = values.astype(np.int32), np.zeros(values.size, np.int32)
    for _ in range(exponents[1]):
        large = (mantissa < mantissas[0]) | (mantissa > mantissas[1])
        mantissa, exponent = np.where(large, mantissa // 2, mantissa), exponent + large
    return np.clip(mantissa, *mantissas).astype(np.int32), exponent.astype(np.int32)


def _told(config: LoihiConfig, arrays: dict[str, Any], meta: dict[str, Any]) -> Any:
    """Neurons whose bias a register holds exactly, and that hear of no other.

    nengo-loihi's emulator takes any integer for a bias; the chip has a mantissa and an exponent.
    """
    told = config.compartments.bias == np.concatenate([arrays[f"b{k}_bias"] for k in range(len(meta["block_sizes"]))])
    s = config.synapses
    source = np.repeat(np.arange(s.indptr.size - 1), np.diff(s.indptr)) - config.n_inputs
    inner = source >= 0
    before = -1
    while before != told.sum():
        before = told.sum()
        told[s.target[inner][~told[source[inner]]]] = False
    return told


def _lists(arrays: dict[str, Any], meta: dict[str, Any]) -> list[Any]:
    """Source, target, weight, delay of all connections; sources are the inputs, then the compartments."""
    ports, blocks = np.cumsum([0, *meta["input_sizes"]]), np.cumsum([0, *meta["block_sizes"]])
    lists: list[list[Any]] = [[np.empty(0, np.int64)] for _ in range(4)]
    for j, connection in enumerate(meta["connections"]):
        first = ports if connection["src_kind"] == "in" else ports[-1] + blocks
        pre = arrays[f"c{j}_pre"].astype(np.int64)
        lists[0].append(pre + first[connection["src"]])
        lists[1].append(arrays[f"c{j}_post"] + blocks[connection["dst"]])
        lists[2].append(arrays[f"c{j}_w"])
        lists[3].append(np.full(pre.size, connection.get("delay", 0)))
    return [np.concatenate(each).astype(np.int64) for each in lists]


def _stored(arrays: dict[str, Any], meta: dict[str, Any], n_sources: int) -> dict[str, Any]:
    """Synapses and their groups. No weight has both signs, so a group is (sign, exponent): 8 bits hold 8 bits."""
    source, target, weight, delay = _lists(arrays, meta)
    if (weight % 64).any():
        raise UnreadableError("a weight is no multiple of 64")
    mantissa, exponent = np.zeros(weight.size, np.int32), np.zeros(weight.size, np.int32)
    inhibitory = weight < 0
    for mine, limits in ((inhibitory, (-256, 0)), (~inhibitory, (0, 255))):
        mantissa[mine], exponent[mine] = _factors(weight[mine] // 64, WEIGHT_EXP, limits)
    # the largest magnitude is cut by the format: 2^21 - 64 is what -256 * 2^13 gives
    if (np.clip((mantissa << exponent) * 64, -WEIGHT_LIMIT, WEIGHT_LIMIT) != weight).any():
        raise UnreadableError("no mantissa of 8 bits and exponent give one of the weights")
    kinds, group = np.unique(np.stack([inhibitory, exponent], axis=1), axis=0, return_inverse=True)
    order = np.argsort(source, kind="stable")
    return {
        "groups": GroupsConfig(
            weight_exp=kinds[:, 1].astype(np.int32),
            num_weight_bits=np.full(len(kinds), 8, np.int32),
            sign_mode=np.where(kinds[:, 0] == 1, INHIBITORY, EXCITATORY).astype(np.int32),
        ),
        "synapses": SynapsesConfig(
            indptr=np.concatenate([[0], np.cumsum(np.bincount(source, minlength=n_sources))]),
            target=target[order].astype(np.int32),
            mantissa=mantissa[order].astype(np.int16),
            group=group.ravel()[order].astype(np.uint16),
            delay=delay[order].astype(np.uint8),
        ),
    }


# --- the run --------------------------------------------------------------------------------------------------------


def _run(
    what: str,
    mapping: Any,
    inputs: list[str],
    names: list[str],
    arrays: dict[str, Any],
    meta: dict[str, Any],
    told: Any,
) -> list[Comparison]:
    """Spikes, u and v at the recorded steps and at the end, of the neurons `told`. Names in the file's order."""
    config: LoihiConfig = mapping.config
    probes = [Probe(name, variable, every_ns=STEP) for name in names for variable in "uv"]
    mapping = attrs.evolve(mapping, record=(*(Probe(name) for name in names), *probes))
    shapes = {port.name: port.shape for port in config.inputs}
    stimulus = stimulus_of({name: shapes[name] for name in inputs}, arrays, meta)
    with hal.open("loihi") as device:
        device.load(mapping)
        run = device.run(stimulus, meta["T"] * STEP)
    order = {p.name: golden_order(p.shape) for p in config.populations}
    firsts = np.cumsum([0, *meta["block_sizes"]])
    spikes = []
    for first, name in zip(firsts, names, strict=False):
        mine = np.zeros(run.spikes[name].size, SPIKE)
        mine["t"] = run.spikes[name]["t"] // STEP + 1
        mine["n"] = np.argsort(order[name])[run.spikes[name]["index"]] + first
        spikes.append(mine)
    found, golden = np.sort(np.concatenate(spikes)), arrays["spikes"].astype(SPIKE)
    out = [compare(f"{what}: spikes", found[told[found["n"]]], golden[told[golden["n"]]])]
    for variable in "uv":
        values = np.concatenate([run.traces[name, variable].values[:, order[name]] for name in names], axis=1)
        out.append(compare(f"{what}: {variable}", values[arrays["rec_steps"] - 1][:, told], arrays[variable][:, told]))
        out.append(compare(f"{what}: final {variable}", values[-1, told], arrays[f"{variable}_final"][told]))
    if "synops" in meta and told.all():
        out.append(compare(f"{what}: synops", run.stats["synops"].sum(), meta["synops"]))
    return out
