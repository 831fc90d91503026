"""What the tests of DYNAP-SE2 share: models of CubaLIF neurons by hand, and short ways to map and run them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

import hal
from hal import nodes
from hal.fit import Finding
from hal.mapping import Mapping
from hal.model import Model
from hal.recording import Recording
from hal.semantics import Semantics

STEP = 1_000_000
CONTINUOUS = {"profile": "nir", "dt_ns": None, "v_min": 0.0}
SAMPLED = {"profile": "nir", "dt_ns": STEP, "decay": "exp", "gain": "one", "current_gain": "one", "v_min": 0.0}
"""Impulses of a weight's size, decays by exponentials: the field's usual recipe, on what the chip has."""


class Net:
    """Nodes and edges by name. Time constants in s; thresholds 1, resets and leaks 0, membranes bounded by 0."""

    def __init__(self, *shape: int, name: str = "in", **semantics: Any) -> None:
        self.nodes: dict[str, nodes.Node] = {}
        self.edges: list[tuple[str, str]] = []
        self.semantics: dict[str, Any] = SAMPLED | semantics
        self.source(name, *shape)

    def source(self, name: str, *shape: int) -> Net:
        self.nodes[name] = nodes.Input(name=name, input_shape=shape, output_shape=shape)
        return self

    def put(self, cls: Any, name: str, sources: Any, shape: tuple[int, ...], into: Any = None, **fields: Any) -> Net:
        self.nodes[name] = cls(name=name, input_shape=into or shape, output_shape=shape, **fields)
        self.edges += [(source, name) for source in ([sources] if isinstance(sources, str) else sources)]
        return self

    def dense(self, name: str, source: str, weight: Any, bias: Any = None) -> Net:
        w = np.array(weight, np.float32)
        more = {} if bias is None else {"bias": np.broadcast_to(np.array(bias, np.float32), w.shape[:1]).copy()}
        cls = nodes.Linear if bias is None else nodes.Affine
        return self.put(cls, name, source, w.shape[:1], w.shape[1:], weight=w, **more)

    def conv(self, name: str, source: str, weight: Any, bias: Any = 0) -> Net:
        w, (_, height, width) = np.array(weight, np.float32), self.nodes[source].output_shape
        out = (w.shape[0], height - w.shape[2] + 1, width - w.shape[3] + 1)
        more: dict[str, Any] = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
        biases = np.broadcast_to(np.array(bias, np.float32), w.shape[:1]).copy()
        return self.put(nodes.Conv2d, name, source, out, self.nodes[source].output_shape, weight=w, bias=biases, **more)

    def delay(self, name: str, source: str, seconds: float) -> Net:
        shape = self.nodes[source].output_shape
        return self.put(nodes.Delay, name, source, shape, delay=np.full(shape, seconds, np.float32))

    def fire(self, name: str, sources: Any, cls: Any = nodes.CubaLIF, *, shape: Any = None, **values: Any) -> Net:
        """Neurons of the sources' shape."""
        first = sources if isinstance(sources, str) else sources[0]
        shape = shape or self.nodes[first].output_shape
        usual = {"v_leak": 0, "v_reset": 0, "tau": 20e-3, "tau_mem": 20e-3, "tau_syn": 5e-3}
        numbers = {key: values.get(key, usual.get(key, 1)) for key in cls.parameters}
        full = {key: np.broadcast_to(np.array(v, np.float64), shape).copy() for key, v in numbers.items()}
        return self.put(cls, name, sources, shape, **full)

    def out(self, source: str, name: str = "out") -> Net:
        return self.put(nodes.Output, name, source, self.nodes[source].output_shape)

    def link(self, source: str, target: str) -> Net:
        self.edges.append((source, target))
        return self

    @property
    def model(self) -> Model:
        return Model.of(self.nodes, self.edges, Semantics(**self.semantics))

    # --- whole networks --------------------------------------------------------------------------------------------

    @classmethod
    def layer(cls, weight: Any, *, semantics: Any = None, kind: Any = nodes.CubaLIF, **values: Any) -> Net:
        """in -> fc -> n -> out."""
        w = np.array(weight, np.float32)
        net = cls(w.shape[1], **(semantics or {}))
        return net.dense("fc", "in", w).fire("n", "fc", kind, **values).out("n")

    @classmethod
    def chain(cls, *weights: Any, semantics: Any = None, **values: Any) -> Net:
        """in -> fc0 -> n0 -> fc1 -> n1 ... -> out."""
        net = cls(np.array(weights[0]).shape[1], **(semantics or {}))
        last = "in"
        for k, weight in enumerate(weights):
            net.dense(f"fc{k}", last, weight).fire(f"n{k}", f"fc{k}", **values)
            last = f"n{k}"
        return net.out(last)

    @classmethod
    def recurrent(cls, weight: Any, back: Any, **values: Any) -> Net:
        """As `layer`, and n -> back -> n."""
        net = cls.layer(weight, **values)
        return net.dense("back", "n", back).link("back", "n")

    @classmethod
    def merge(cls, left: Any, right: Any, **values: Any) -> Net:
        """Two Inputs, two weights, one population, two Outputs."""
        net = cls(np.array(left).shape[1], name="a").source("b", np.array(right).shape[1])
        net.dense("fa", "a", left).dense("fb", "b", right)
        return net.fire("n", ["fa", "fb"], **values).out("n").out("n", "out2")


class Dynapse2:
    """Ways to map and run."""

    step = STEP

    def check(self, net: Net, **options: Any) -> Any:
        return hal.mapper("dynapse2").check(net.model, options)

    def map(self, net: Net, *, record: Any = (), like: Any = None, seed: int = 0, **options: Any) -> Mapping:
        return hal.mapper("dynapse2").map(net.model, options, record=record, like=like, seed=seed)

    def findings(self, net: Net, level: str, **options: Any) -> list[Finding]:
        return [finding for finding in self.check(net, **options).findings if finding.level == level]

    def finding(self, net: Net, level: str, node: str, field: str, **options: Any) -> Finding:
        found = self.findings(net, level, **options)
        return next(f for f in found if (f.node, f.field) == (node, field))

    def run(self, mapping: Mapping, stimulus: Any, duration_ns: int, name: str = "dynapse2", **more: Any) -> Recording:
        with hal.open(name, **more) as device:
            device.load(mapping)
            return device.run(stimulus, duration_ns)

    def events(self, pairs: Iterable[tuple[float, int]]) -> Any:
        """Events from (ms, index)."""
        table = sorted((round(t * STEP), index) for t, index in pairs)
        return hal.events([t for t, _ in table], [index for _, index in table])

    def regular(self, hz: float, ms: float, channels: int = 1) -> Any:
        """Every channel at a steady rate, one after the other."""
        every = 1000 / hz
        count = math.floor(ms / every)
        return self.events((every * (k + (c + 0.5) / channels), c) for k in range(count) for c in range(channels))


@pytest.fixture(scope="session")
def net() -> type[Net]:
    return Net


@pytest.fixture(scope="session")
def chip() -> Dynapse2:
    return Dynapse2()
