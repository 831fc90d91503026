"""Loihi files without a run: accounting and placement of blocks, discretisation, activation profiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from comparison import Comparison, compare
from loihi_peer import build, decay_sum, peer_discretise

from hal_emulators.loihi import Board, Compartments, Synapses
from hal_loihi.accounting import Account, account
from hal_loihi.activation import bias_spikes, lif_rate, rectified_linear_rate
from hal_loihi.allocator import greedy, interchip, round_robin
from hal_loihi.splitting import reference_blocks, reference_labels

COUNTED = ("compartments", "in_axons", "out_axons", "synapse_bits")
PEER = {"Greedy": greedy, "RoundRobin": round_robin, "GreedyInterchip": interchip}
STEPS = 2000
V_LIMIT = 2**23 - 1


def claims(path: Path) -> bool:
    """An npz with the profiles, or whose cases are blocks or floats of compartments."""
    return path.suffix == ".npz" and _kind(path) is not None


def replay(path: Path, semantics: Path | None) -> list[Comparison]:
    """Dispatch on what is in the file; semantics do not apply."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    meta = json.loads(str(arrays["meta"]))
    kind = _kind(path)
    if kind == "profiles":
        return _profiles(arrays, meta)
    return _discretised(arrays, meta) if kind == "discretised" else _accounted(meta)


def _kind(path: Path) -> str | None:
    with np.load(path, allow_pickle=False) as file:
        names = set(file.files)
        if {"meta", "x_relu", "chip_bias_int"} <= names:
            return "profiles"
        if {"meta", "k0_vth_float"} <= names:
            return "discretised"
        if names != {"meta"}:
            return None
        cases = json.loads(str(file["meta"])).get("cases")
    return "accounted" if cases and "blocks" in cases[0] else None


# --- blocks on cores ------------------------------------------------------------------------------------------------


def _accounted(meta: dict[str, Any]) -> list[Comparison]:
    found, made = [], {}
    for case in meta["cases"]:
        name = case["name"]
        network, shapes = build(case["spec"])
        blocks = reference_blocks(network, shapes)
        made[name] = account(network, blocks, count_unused=True)
        columns = [made[name].column(column) for column in COUNTED]
        labels = [label.partition("[") for label in reference_labels(blocks)]
        rows = [
            [f'<Ensemble "{layer}">{bracket}{rest}', *(int(column[k]) for column in columns)]
            for k, (layer, bracket, rest) in enumerate(labels)
        ]
        found.append(compare(f"{name}: columns", case["columns"][1:], COUNTED))
        found.append(compare(f"{name}: blocks", *(np.array(table, dtype=str) for table in (rows, case["blocks"]))))
        if "flows" in case:
            flows = np.zeros((len(blocks),) * 2, int)
            for source, target, axons in case["flows"]:
                flows[source, target] += axons
            found.append(compare(f"{name}: axons between blocks", made[name].flows.toarray(), flows))
        found += _placed(name, made[name], case.get("allocation", ()))
    golden = meta.get("allocation")
    return found + (_placed(golden["model"], made[golden["model"]], golden["results"]) if golden else [])


def _placed(name: str, made: Account, results: Any) -> list[Comparison]:
    found = []
    for wanted in results:
        keywords = {key: wanted[key] for key in ("n_chips", "cores_per_chip") if key in wanted}
        placed = PEER[wanted["allocator"]](made, **keywords)
        what = f"{name}: {wanted['allocator']} {keywords}"
        if "error" in wanted:
            found.append(compare(f"{what}: fits", placed.fits, False))
        else:
            axons = [placed.interchip, placed.intrachip]
            found.append(compare(f"{what}: axons", axons, [wanted["interchip"], wanted["intrachip"]]))
            found.append(compare(what, np.stack([placed.chip, placed.core], axis=1), wanted["placement"]))
    return found


# --- numbers --------------------------------------------------------------------------------------------------------


def _discretised(arrays: dict[str, Any], meta: dict[str, Any]) -> list[Comparison]:
    """By the peer's rule, which is kept beside the tests: the mapper's own differs, and is compared by its errors."""
    found = []
    for c, case in enumerate(meta["cases"]):
        names = ["decay_u", "decay_v", "vth", "bias", *(f"s{j}" for j in range(case["n_syn"]))]
        du, dv, vth, bias, *groups = (arrays[f"k{c}_{name}_float"].astype(np.float64) for name in names)
        made = peer_discretise(du, dv, vth, bias, groups, case)
        found.append(compare(f"{c}: refused", made is None, case["error"] is not None))
        if made is None or case["error"] is not None:
            continue
        pairs = {"decay_u_int": made.decay_u, "decay_v_int": made.decay_v}
        pairs |= {name: getattr(made, name) for name in ("vth_mant", "bias_mant", "bias_exp")}
        pairs |= {f"s{j}_int": weights for j, weights in enumerate(made.weights)}
        found += [compare(f"{c}: {name}", values, arrays[f"k{c}_{name}"]) for name, values in pairs.items()]
        scalars = [made.w_exp, made.vmin, made.vmax, *made.exponents]
        wanted = [case["w_exp"], case["vmin"], case["vmax"], *case["syn_weight_exp"]]
        found.append(compare(f"{c}: exponents and bounds", scalars, wanted))
    table = np.array(meta.get("decay_magnitude", np.zeros((0, 3))))
    sums = [decay_sum(register, offset) for register, offset, _ in table]
    return [*found, compare("sums of decays", sums, table[:, 2], 1e-12)]


def _profiles(arrays: dict[str, Any], meta: dict[str, Any]) -> list[Comparison]:
    dt = meta["dt"]
    rates = {
        "rate_relu": rectified_linear_rate(arrays["x_relu"], dt=dt),
        "rate_lif": lif_rate(arrays["x_lif"], **meta["lif_default"]),
    }
    for i, (tau_rc, tau_ref) in enumerate(meta["lif_variants"]):
        rates[f"rate_lif_{i}"] = lif_rate(arrays["x_lif"], tau_rc=tau_rc, tau_ref=tau_ref)
    found = [_rates(name, made, arrays[name], dt) for name, made in rates.items()]
    vth, bias, counts = (arrays[f"chip_{name}"] for name in ("vth_int", "bias_int", f"spikes_{STEPS}_steps"))
    found.append(compare("counts by formula", bias_spikes(vth, bias, steps=STEPS), counts))
    nothing = np.empty(0, np.int64)
    chip = Compartments(decay_u=4095, decay_v=0, vth=vth, bias=bias, refract=1, vmin=-V_LIMIT, vmax=V_LIMIT)
    ran = Board(chip, Synapses.from_lists(bias.size, nothing, nothing, nothing), 0).run(STEPS, nothing, nothing)
    return [*found, compare("counts on the emulator", np.bincount(ran.spike_index, minlength=bias.size), counts)]


def _rates(name: str, made: Any, wanted: Any, dt: float) -> Comparison:
    """Periods are whole steps; where one ends exactly at a step, rounding decides, and it may be the next."""
    same = np.isclose(made, wanted, rtol=1e-12, atol=0)
    both = (made > 0) & (wanted > 0)
    periods = [1 / (np.where(both, rate, 1.0) * dt) for rate in (made, wanted)]
    edge = both & ~same & (np.abs(periods[0] - periods[1]) < 1 + 1e-9)
    what = f"{name} ({int(edge.sum())} periods at a boundary of two steps)" if edge.any() else name
    return Comparison(what, int(same.size), int((same | edge).sum()) if edge.sum() <= 5 else int(same.sum()), 1e-12)
