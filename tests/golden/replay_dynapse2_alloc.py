"""DYNAP-SE2 files of the kind "allocation": CAM, SRAM and input map as rockpool fills them, bit by bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from comparison import Comparison, compare

from hal_dynapse2.allocator import Connections, Policy, allocate
from hal_dynapse2.config import ChipsConfig
from hal_dynapse2.limits import DENDRITES
from hal_dynapse2.packing import Places


def claims(path: Path) -> bool:
    """An npz whose meta says allocation, of rockpool."""
    if path.suffix != ".npz":
        return False
    with np.load(path, allow_pickle=False) as arrays:
        if "meta" not in arrays.files or not {"cam", "sram", "input_map"} <= set(arrays.files):
            return False
        return bool(json.loads(str(arrays["meta"])).get("kind") == "allocation")


def connections(arrays: dict[str, Any]) -> Connections:
    """All codes above 0, of inputs and neurons; the sign gives the dendrite."""
    codes, signs = arrays["weights_in"], arrays["sign_in"]
    if "weights_rec" in arrays:
        codes = np.concatenate([codes, arrays["weights_rec"]])
        signs = np.concatenate([signs, arrays["sign_rec"]])
    source, target = np.nonzero(codes > 0)
    sign = signs[source, target]
    dendrite = np.select([sign > 0, sign < 0], [DENDRITES["ampa"], DENDRITES["gaba"]], DENDRITES["none"])
    return Connections(len(arrays["weights_in"]), source, target, dendrite, codes[source, target])


def replay(path: Path, semantics: Path | None) -> list[Comparison]:
    """The allocator with the peer's choices of tags and monitors, on one chip."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    core = arrays["core_map"].astype(np.int64)
    rank = np.array([np.count_nonzero(core[:k] == core[k]) for k in range(core.size)], np.int64)
    places = Places(np.zeros(core.size, np.int64), core, rank)
    net = connections(arrays)
    made = allocate(
        net,
        places,
        ChipsConfig(x=[1], y=[0]),
        monitored=np.ones(core.size, bool),
        policy=Policy(tags="network", monitor="index"),
    )
    cam, sram, host = made.cam, made.sram, made.host
    inputs = np.zeros((net.n_inputs, 4), np.int64)
    inputs[host.channel] = np.stack([host.core_mask, host.x_hop, host.y_hop, host.tag], axis=-1)
    return [
        compare("allocator: violations", len(made.violations), 0),
        compare("allocator: CAM", np.stack([cam.tag, cam.dendrite, cam.mask], axis=-1), arrays["cam"]),
        compare(
            "allocator: SRAM", np.stack([sram.core_mask, sram.x_hop, sram.y_hop, sram.tag], axis=-1), arrays["sram"]
        ),
        compare("allocator: input map", inputs, arrays["input_map"]),
    ]
