"""Random networks for the allocator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

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
