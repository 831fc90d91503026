"""What the tests of Loihi's resources share: networks from golden specifications and from random numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from hal_loihi.topology import Connection, Conv, Dense, Layer, Network

GOLDEN = Path(__file__).parents[1] / "golden" / "loihi"


def _conv(source: Layer, spec: dict[str, Any]) -> tuple[Conv, Layer]:
    kernel, stride = spec["kernel"], spec["stride"]
    sides, pads = [], [0, 0]
    for axis, n in enumerate(source.shape[:2]):
        if spec.get("padding", "valid") == "valid":
            sides.append((n - kernel) // stride + 1)
        else:
            sides.append(-(-n // stride))
            pads[axis] = max((sides[axis] - 1) * stride + kernel - n, 0) // 2
    target = Layer(spec["name"], (*sides, spec["filters"]))
    conv = Conv(
        source.name,
        target.name,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        pad_top=pads[0],
        pad_left=pads[1],
        in_shape=source.shape,  # type: ignore[arg-type]
        out_shape=target.shape,  # type: ignore[arg-type]
        pop_type=spec.get("pop_type", 32),
    )
    return conv, target


def build(spec: dict[str, Any]) -> tuple[Network, dict[str, tuple[int, ...]]]:
    """The network of an accounting case, and its block shapes by hand."""
    last = first = Layer("input", spec["input"])
    layers: list[Layer] = []
    connections: list[Connection] = []
    shapes = {}
    for one in spec["layers"]:
        if one["type"] == "conv":
            conv, last = _conv(last, one)
            connections.append(conv)
        else:
            connections.append(Dense(last.name, one["name"]))
            last = Layer(one["name"], (one["units"],))
        if one.get("recurrent"):
            connections.append(Dense(last.name, last.name))
        if one.get("block_shape"):
            shapes[last.name] = tuple(one["block_shape"])
        layers.append(last)
    return Network([first], layers, connections), shapes


@st.composite
def _specs(draw: st.DrawFn) -> dict[str, Any]:
    side = st.integers(4, 12)
    shape = [draw(side), draw(side), draw(st.integers(1, 6))]
    layers: list[dict[str, Any]] = []
    rows = min(shape[:2])
    for k in range(draw(st.integers(0, 2))):
        kernel, stride = draw(st.integers(1, min(4, rows))), draw(st.integers(1, 3))
        rows = (rows - kernel) // stride + 1
        layers.append(
            {
                "type": "conv",
                "name": f"conv{k}",
                "filters": draw(st.integers(1, 40)),
                "kernel": kernel,
                "stride": stride,
                "padding": draw(st.sampled_from(["valid", "same"])),
                "pop_type": draw(st.sampled_from([16, 32])),
            }
        )
    for k in range(draw(st.integers(not layers, 2))):
        units, recurrent = draw(st.integers(1, 1500)), draw(st.booleans())
        layers.append({"type": "dense", "name": f"dense{k}", "units": units, "recurrent": recurrent})
    return {"input": shape, "layers": layers}


@pytest.fixture(scope="session")
def network_of() -> Callable[[dict[str, Any]], tuple[Network, dict[str, tuple[int, ...]]]]:
    return build


@pytest.fixture(scope="session")
def specs() -> st.SearchStrategy[dict[str, Any]]:
    """Small networks of convolutions and full matrices, some recurrent."""
    return _specs()


@pytest.fixture(scope="session")
def accounting() -> dict[str, Any]:
    """Published accounting cases of nengo-loihi 1.1.0, by name; "allocation" beside them."""
    return _load("accounting.npz")


@pytest.fixture(scope="session")
def accounting_random() -> dict[str, Any]:
    """40 random networks through nengo-loihi 1.1.0, with axons between blocks and placements."""
    return _load("accounting_random.npz")


def _load(name: str) -> dict[str, Any]:
    with np.load(GOLDEN / name) as file:
        meta = json.loads(str(file["meta"]))
    return meta | {"cases": {case["name"]: case for case in meta["cases"]}}
