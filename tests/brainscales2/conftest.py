"""Random networks for the allocator, and small models for mapper and device."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import hal
from hal import nodes
from hal.model import Model
from hal.semantics import Semantics
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


@pytest.fixture(scope="session")
def calibrated() -> Any:
    """A profile of chip 7, and what its calibration said of its progress."""
    told: list[Any] = []
    profile = hal.calibrate("brainscales2", {"chip_seed": 7}, progress=lambda *said: told.append(said))
    return profile, told
