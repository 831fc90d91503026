"""What several test files need: golden files, cores of one neuron, models."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hal import nodes
from hal.model import Model
from hal.semantics import Semantics

from hal_xylo.emulator import Core
from hal_xylo.registers import Registers

GOLDEN = Path(__file__).parent / "golden"
STEP_NS = 1_000_000


@pytest.fixture
def golden() -> Callable[[str], tuple[dict[str, Any], dict[str, Any]]]:
    """Arrays and meta of a golden file."""

    def load(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        return arrays, json.loads(str(arrays.pop("meta")))

    return load


@pytest.fixture
def semantics() -> Semantics:
    """The chip's own rule."""
    chip = {"jump": "before", "spike_reset": "subtract_n", "compare": ">=", "spikes_per_step": "many"}
    return Semantics(profile="nir", dt_ns=STEP_NS, tau_unit="steps", gain="one", **chip)


@pytest.fixture
def core() -> Callable[..., Core]:
    """A core; what is not said: one input, one neuron, one output that is never reached, no decay to speak of."""

    def make(*, version: str = "v2", w_in: Any = (1,), n: int = 1, outputs: int = 1, **given: Any) -> Core:
        weight = np.asarray(w_in, np.int64)
        weight = weight.reshape(len(weight), n, -1)
        synapses = weight.shape[2]
        values: dict[str, Any] = {
            "w_in": weight,
            "w_rec": np.zeros((n, n, synapses), np.int64),
            "w_out": np.zeros((n, outputs), np.int64),
            "threshold": np.full(n, 32767),
            "threshold_out": np.full(outputs, 32767),
            "dash_mem": np.full(n, 2),
            "dash_mem_out": np.full(outputs, 2),
            "dash_syn": np.full((n, synapses), 1),
            "dash_syn_out": np.full(outputs, 1),
        }
        for key, value in given.items():
            like = values.get(key)
            values[key] = value if like is None else np.broadcast_to(value, like.shape).copy()
        return Core(Registers(**values), version)

    return make


@pytest.fixture
def chain(semantics: Semantics) -> Callable[..., Model]:
    """Input, and for every weight (out, in) a Linear node fc1.. and CubaLIF neurons layer1.., then an Output."""

    def make(
        *weights: Any, bias: Any = None, rule: Semantics | None = None, extra: Iterable[Any] = (), **numbers: Any
    ) -> Model:
        arrays = [np.asarray(weight, np.float64) for weight in weights]
        values = {"tau_mem": 8.0, "tau_syn": 2.0, "r": 1.0, "w_in": 1.0, "v_leak": 0.0, "v_reset": 0.0}
        values |= {"v_threshold": 4.0, **numbers}
        shape = (arrays[0].shape[1],)
        parts: list[nodes.Node] = [nodes.Input(name="input", input_shape=shape, output_shape=shape)]
        for k, weight in enumerate(arrays, start=1):
            shapes = {"input_shape": (weight.shape[1],), "output_shape": (weight.shape[0],)}
            if bias is not None and k == 1:
                added = np.broadcast_to(np.asarray(bias, np.float64), (len(weight),)).copy()
                parts.append(nodes.Affine(name=f"fc{k}", weight=weight, bias=added, **shapes))
            else:
                parts.append(nodes.Linear(name=f"fc{k}", weight=weight, **shapes))
            shape = (len(weight),)
            parameters: dict[str, Any] = {key: np.full(shape, value) for key, value in values.items()}
            parts.append(nodes.CubaLIF(name=f"layer{k}", input_shape=shape, output_shape=shape, **parameters))
        parts.append(nodes.Output(name="output", input_shape=shape, output_shape=shape))
        edges = [(a.name, b.name) for a, b in pairwise(parts)]
        named = {part.name: part for part in parts}
        for node, *ends in extra:
            named[node.name] = node
            edges += ends
        return Model.of(named, edges, semantics if rule is None else rule)

    return make


def _weights(name: str, source: int, target: int, value: Any = 1.0) -> nodes.Linear:
    weight = np.broadcast_to(np.asarray(value, np.float64), (target, source)).copy()
    return nodes.Linear(name=name, input_shape=(source,), output_shape=(target,), weight=weight)


@pytest.fixture
def linear() -> Callable[..., nodes.Linear]:
    """A Linear node: name, source size, target size, weights."""
    return _weights


@pytest.fixture
def step_ns() -> int:
    """The step of all models here."""
    return STEP_NS
