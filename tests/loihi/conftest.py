"""What the tests of Loihi share: networks from golden specifications, from random numbers, and by hand as models."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import strategies as st

import hal
from hal import nodes
from hal.fit import Finding
from hal.mapping import Mapping
from hal.model import Model
from hal.recording import Recording
from hal.semantics import Semantics
from hal_loihi.topology import Network

STEP = 1_000_000
GOLDEN = Path(__file__).parents[1] / "golden" / "loihi"
sys.path.insert(0, str(GOLDEN.parent))
from loihi_peer import build  # noqa: E402


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


class Net:
    """Nodes and edges by name, for models by hand. Numbers count in steps and are taken as they are.

    Unless semantics say otherwise: `keep` is what stays after a step (profile snntorch: 1 - dt/tau), gains are one.
    """

    step = STEP
    semantics: ClassVar[dict[str, Any]] = {
        "profile": "snntorch", "dt_ns": STEP, "tau_unit": "steps", "spike_reset": "value", "reset_delay": 0,
    }  # fmt: skip

    def __init__(self, *shape: int, name: str = "in") -> None:
        self.nodes: dict[str, nodes.Node] = {}
        self.edges: list[tuple[str, str]] = []
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

    def conv(self, name: str, source: str, weight: Any) -> Net:
        w, (_, height, width) = np.array(weight, np.float32), self.nodes[source].output_shape
        out = (w.shape[0], height - w.shape[2] + 1, width - w.shape[3] + 1)
        more: dict[str, Any] = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
        bias = np.zeros(w.shape[0], np.float32)
        return self.put(nodes.Conv2d, name, source, out, self.nodes[source].output_shape, weight=w, bias=bias, **more)

    def delay(self, name: str, source: str, steps: Any) -> Net:
        shape = self.nodes[source].output_shape
        values = np.broadcast_to(np.array(steps, np.float32), shape).copy()
        return self.put(nodes.Delay, name, source, shape, delay=values)

    def fire(self, name: str, sources: Any, cls: Any = nodes.IF, *, shape: Any = None, **values: Any) -> Net:
        """Neurons of the sources' shape; parameters without a value are 1, v_leak and v_reset 0."""
        first = sources if isinstance(sources, str) else sources[0]
        shape = shape or self.nodes[first].output_shape
        usual = {"v_leak": 0, "v_reset": 0, "tau": 4, "tau_mem": 4, "tau_syn": 2, "v_threshold": 640}
        numbers = {key: values.get(key, usual.get(key, 1)) for key in cls.parameters}
        full = {key: np.broadcast_to(np.array(v, np.float32), shape).copy() for key, v in numbers.items()}
        return self.put(cls, name, sources, shape, **full)

    def out(self, source: str, name: str = "out") -> Net:
        return self.put(nodes.Output, name, source, self.nodes[source].output_shape)

    def link(self, source: str, target: str) -> Net:
        self.edges.append((source, target))
        return self

    def model(self, **semantics: Any) -> Model:
        return Model.of(self.nodes, self.edges, Semantics(**(self.semantics | semantics)))


class Loihi:
    """Ask the device."""

    step = STEP

    def map(self, model: Model, *, record: Any = (), like: Mapping | None = None, **options: Any) -> Mapping:
        return hal.mapper("loihi").map(model, options, record=record, like=like)

    def found(self, model: Model, level: str, **options: Any) -> list[tuple[str, str]]:
        """(node, field) of every finding of a level. A model without refusals is mapped, one with them is not."""
        report = hal.mapper("loihi").check(model, options)
        if report.fits:
            assert str(self.map(model, **options).fit) == str(report)
        else:
            with pytest.raises(hal.DoesNotFitError) as error:
                self.map(model, **options)
            assert str(error.value.report) == str(report)
        return [(f.node, f.field) for f in report.findings if f.level == level]

    def one(self, model: Model, level: str, node: str, field: str, **options: Any) -> Finding:
        assert (node, field) in self.found(model, level, **options)
        found = hal.mapper("loihi").check(model, options).findings
        return next(f for f in found if (f.level, f.node, f.field) == (level, node, field))

    def run(self, mapping: Mapping, stimulus: Any, steps: int, **options: Any) -> Recording:
        with hal.open("loihi", **options) as device:
            device.load(mapping)
            return device.run(stimulus, steps * STEP)

    def events(self, pairs: Any) -> Any:
        """Events from (step, index)."""
        table = np.array(sorted(pairs), np.int64).reshape(-1, 2)
        return hal.events(table[:, 0] * STEP, table[:, 1])

    def noise(self, rng: np.random.Generator, size: int, steps: int, share: float = 0.3) -> Any:
        """Events at random, at most one per index and step."""
        return self.events(list(zip(*np.nonzero(rng.random((steps, size)) < share), strict=True)))

    def ideal(self, model: Model, stimulus: Any, steps: int, record: Any = ()) -> Recording:
        with hal.open("ideal") as device:
            device.load(hal.mapper("ideal").map(model, record=record))
            return device.run(stimulus, steps * STEP)


@pytest.fixture(scope="session")
def net() -> type[Net]:
    return Net


@pytest.fixture(scope="session")
def loihi() -> Loihi:
    return Loihi()
