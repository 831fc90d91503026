"""Random networks for the allocator; models by hand, and short ways to map them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import hal
import hal_brainscales2.plugin
from hal import nodes
from hal.errors import DoesNotFitError
from hal.mapping import Mapping
from hal.model import Model
from hal.semantics import Semantics
from hal.testing import registered
from hal_brainscales2 import silicon
from hal_brainscales2.network import EXTERNAL, Network, Population, matrix


def _network(seed: int, largest: int) -> Network:
    random = np.random.default_rng(seed)
    n_external = int(random.integers(0, largest))
    populations = tuple(
        Population(
            int(random.integers(1, largest)),
            circuits=int(random.choice([1, 1, 1, 2, 3, 4])),
            hemisphere=[None, None, 0, 1][random.integers(4)],
            shape=("pairs", "row")[random.integers(2)],
            recorded=bool(random.random() < 0.8),
        )
        for _ in range(random.integers(1, 4))
    )
    projections = []
    for _ in range(random.integers(0, 5)):
        source = int(random.integers(EXTERNAL if n_external else 0, len(populations)))
        target = int(random.integers(len(populations)))
        shape = (n_external if source == EXTERNAL else populations[source].size, populations[target].size)
        bound = int(random.choice([10, 63, 150]))
        weights = random.integers(-bound, bound + 1, shape) * (random.random(shape) < random.choice([0.02, 0.2, 1.0]))
        if random.random() < 0.3:
            # sources of one sign
            weights = np.abs(weights) * random.choice([-1, 1], (shape[0], 1))
        projections.append(matrix(source, target, weights))
    return Network(n_external, populations, tuple(projections))


def _by_hand(columns: list[int], rows: list[int], weights: np.ndarray) -> Network:
    """Sources of one circuit each at given places, all onto the neurons of another population in row 0."""
    places = np.array(rows)[:, None] * 256 + np.array(columns)[:, None]
    populations = (Population(len(columns), places=places, name="sources"), Population(weights.shape[1], hemisphere=0))
    return Network(0, populations, (matrix(0, 1, weights),))


@pytest.fixture(scope="session")
def network() -> Callable[[int, int], Network]:
    return _network


@pytest.fixture(scope="session")
def by_hand() -> Callable[[list[int], list[int], np.ndarray], Network]:
    return _by_hand


class Graph:
    """Nodes and edges by name, chained from Inputs on. Time constants 12 and 6 us, threshold 1, leak and reset 0.

    An event adds its weight to the current, whether there are steps or not.
    """

    def __init__(self, **semantics: Any) -> None:
        self.nodes: dict[str, nodes.Node] = {}
        self.edges: list[tuple[str, str]] = []
        self.semantics: dict[str, Any] = {"profile": "nir", "dt_ns": None, "current_gain": "one"} | semantics

    def put(self, cls: Any, name: str, source: str | None, into: int, size: int, **fields: Any) -> Graph:
        self.nodes[name] = cls(name=name, input_shape=(into,), output_shape=(size,), **fields)
        return self if source is None else self.link(source, name)

    def link(self, source: str, target: str) -> Graph:
        self.edges.append((source, target))
        return self

    def source(self, name: str, size: int) -> Graph:
        return self.put(nodes.Input, name, None, size, size)

    def dense(self, name: str, source: str, weight: Any, bias: Any = None) -> Graph:
        w = np.array(weight, np.float64)
        if bias is None:
            return self.put(nodes.Linear, name, source, w.shape[1], len(w), weight=w)
        return self.put(nodes.Affine, name, source, w.shape[1], len(w), weight=w, bias=np.full(len(w), float(bias)))

    def fire(self, name: str, source: str, cls: Any = nodes.CubaLIF, **values: Any) -> Graph:
        size = self.nodes[source].output_shape[0]
        usual = {"tau_mem": 12e-6, "tau_syn": 6e-6, "tau": 12e-6, "v_leak": 0.0, "v_reset": 0.0}
        full = {key: np.full(size, values.get(key, usual.get(key, 1.0)), np.float64) for key in cls.parameters}
        return self.put(cls, name, source, size, size, **full)

    def out(self, source: str, name: str = "out") -> Graph:
        size = self.nodes[source].output_shape[0]
        return self.put(nodes.Output, name, source, size, size)

    @property
    def model(self) -> Model:
        return Model.of(self.nodes, self.edges, Semantics(**self.semantics))

    @classmethod
    def layer(cls, weight: Any, back: Any = None, *, semantics: Any = None, **values: Any) -> Model:
        """in -> fc -> n -> out, and n -> back -> n."""
        made = cls(**(semantics or {})).source("in", np.array(weight).shape[1])
        made.dense("fc", "in", weight).fire("n", "fc", **values).out("n")
        return (made if back is None else made.dense("back", "n", back).link("back", "n")).model

    @classmethod
    def chain(cls, *weights: Any, semantics: Any = None, **values: Any) -> Model:
        """in -> fc0 -> n0 -> fc1 -> n1 ... -> out."""
        made = cls(**(semantics or {})).source("in", np.array(weights[0]).shape[1])
        last = "in"
        for k, weight in enumerate(weights):
            made.dense(f"fc{k}", last, weight).fire(f"n{k}", f"fc{k}", **values)
            last = f"n{k}"
        return made.out(last).model


@pytest.fixture(scope="session")
def graph() -> type[Graph]:
    return Graph


class Chip:
    """Ways to map, and to look at what came of it. Options as keywords."""

    def __init__(self) -> None:
        self.mapper = hal.mapper("brainscales2")

    def map(self, model: Model, *, record: Any = (), like: Mapping | None = None, **options: Any) -> Mapping:
        return self.mapper.map(model, options, record=record, like=like)

    def check(self, model: Model, **options: Any) -> Any:
        return self.mapper.check(model, options)

    def told(self, model: Model, level: str, **options: Any) -> list[tuple[str, str]]:
        """(node, field) of the findings of a level."""
        return [(f.node, f.field) for f in self.check(model, **options).findings if f.level == level]

    def refused(self, model: Model, **options: Any) -> list[tuple[str, str, Any, Any]]:
        """(where, what, value, limit) of all that stands against it, from the error that `map` raises."""
        with pytest.raises(DoesNotFitError) as caught:
            self.map(model, **options)
        report = caught.value.report
        rows = [(row.place, row.resource, row.needed, row.limit) for row in report.rows if not row.ok]
        return rows + [(f.node, f.field, f.wanted, f.realised) for f in report.findings if f.level == "refused"]

    def heard(self, mapping: Mapping) -> np.ndarray:
        """(sources, neurons) signed integer weights, by the registers alone. Sources: channels, then neurons."""
        found = silicon.heard(mapping.config)
        made = np.zeros((mapping.config.n_inputs + mapping.config.size, mapping.config.size), np.int64)
        made[found.source, found.target] = found.excitation - found.inhibition
        return made

    def adopt(self, config: Any) -> Mapping:
        return self.mapper.adopt(config)


@pytest.fixture(scope="session")
def chip() -> Iterator[Chip]:
    with registered(hal_brainscales2.plugin, "brainscales2"):
        yield Chip()


class Cuba:
    """Models in seconds in which an event leaves its weight on the current, threshold 1; and runs of them."""

    @staticmethod
    def neurons(name: str, size: int, cls: type = nodes.CubaLIF, **values: Any) -> Any:
        """tau_mem 12 us and tau_syn 6 us unless said otherwise."""
        usual = {"tau_mem": 12e-6, "tau_syn": 6e-6, "r": 1.0, "v_threshold": 1.0} | values
        usual.setdefault("w_in", usual["tau_syn"])
        given = {key: np.broadcast_to(np.float64(usual.get(key, 0.0)), (size,)).copy() for key in cls.parameters}
        return cls(name=name, input_shape=(size,), output_shape=(size,), **given)

    def model(self, *weights: Any, last: Any = None, dt_ns: int | None = None, **values: Any) -> Model:
        """in -> w0 -> n0 -> w1 -> n1 ... -> out, one layer for each matrix (post, pre); last: of the last neurons."""
        made = [np.atleast_2d(np.asarray(w, np.float64)) for w in weights]
        inputs = made[0].shape[1]
        parts: list[Any] = [nodes.Input(name="in", input_shape=(inputs,), output_shape=(inputs,))]
        for k, w in enumerate(made):
            post, pre = w.shape
            parts.append(nodes.Linear(name=f"w{k}", input_shape=(pre,), output_shape=(post,), weight=w))
            cls = last if last is not None and k == len(made) - 1 else nodes.CubaLIF
            parts.append(self.neurons(f"n{k}", post, cls, **values))
        size = made[-1].shape[0]
        parts.append(nodes.Output(name="out", input_shape=(size,), output_shape=(size,)))
        edges = [(a.name, b.name) for a, b in itertools.pairwise(parts)]
        semantics = Semantics(profile="nir", dt_ns=dt_ns, **({} if dt_ns is None else {"current_gain": "one"}))
        return Model.of({part.name: part for part in parts}, edges, semantics)

    def map(self, *weights: Any, record: Any = ("n0",), options: Any = None, **values: Any) -> Any:
        return hal.mapper("brainscales2").map(self.model(*weights, **values), options, record=record)

    @staticmethod
    def open(mapping: Any, preset: str = "ideal", seed: int = 0, **options: Any) -> Any:
        """A device with that loaded; it needs no closing."""
        device = hal.open("brainscales2", seed=seed, preset=preset, **options)
        device.load(mapping)
        return device

    def run(self, mapping: Any, t: Any, index: Any, duration_ns: int, preset: str = "ideal", **options: Any) -> Any:
        with self.open(mapping, preset, **options) as device:
            return device.run({"in": hal.events(t, index)}, duration_ns)


@pytest.fixture(scope="session")
def cuba() -> Cuba:
    return Cuba()
