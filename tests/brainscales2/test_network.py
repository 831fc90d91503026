"""What is asked for is checked whole, before anything is placed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hal_brainscales2.network import EXTERNAL, Network, Population, Projection, matrix, units


def projection(weights: Any = (1, -1), **changes: Any) -> Projection:
    values = {"source": EXTERNAL, "target": 0, "source_index": np.array([0, 1]), "target_index": np.array([0, 0])}
    return Projection(**{**values, "weight": np.array(weights), **changes})


@pytest.mark.parametrize(
    ("population", "text"),
    [
        (Population(0), "population 0: 0 neurons; give 1 or more"),
        (Population(1, circuits=257), "257 circuits per neuron; give 1 to 256"),
        (Population(1, hemisphere=2), "hemisphere 2; give 0, 1 or None"),
        (Population(1, shape="ring", name="loop"), "loop: shape 'ring'; give pairs or row"),  # type: ignore[arg-type]
        (Population(2, places=np.array([[0]])), r"places are int64 of shape \(1, 1\), not \(2, 1\)"),
        (Population(1, places=np.array([[512]])), "places 512..512; circuits are 0..511"),
    ],
)
def test_populations_are_checked(population: Population, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Network(2, (population,), ())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"target": 1}, "projection 0: from -1 to 1; there are 1 populations"),
        ({"target_index": np.array([0])}, r"shapes \[\(2,\), \(1,\), \(2,\)\]; give one length"),
        ({"weights": (1.5, 2.0)}, "float64.*give integers"),
        ({"source_index": np.array([0, 2])}, "source index 0..2; there are 0..1"),
        ({"target_index": np.array([-1, 0])}, r"target index -1\.\.0; there are 0\.\.2"),
        ({"receptors": "none"}, "receptors 'none'; give one of both, excitatory, inhibitory"),
        ({"receptors": "excitatory"}, "weights of both signs, but its receptors are excitatory; give both"),
        ({"copies": 0}, "0 copies; give 1 or more"),
    ],
)
def test_projections_are_checked(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Network(2, (Population(3),), (projection(**changes),))


def test_all_that_is_wrong_is_said_at_once() -> None:
    none = np.zeros(0, int)
    empty = projection(none, copies=0, source_index=none, target_index=none)
    with pytest.raises(ValueError, match=r"-1 of them.*0 neurons.*0 copies"):
        Network(-1, (Population(0),), (empty,))


def test_a_pair_given_twice_is_refused_where_all_pairs_take_synapses() -> None:
    network = Network(2, (Population(3),), (projection(source_index=np.array([1, 1])),))
    with pytest.raises(ValueError, match="projection 0: pairs are given twice"):
        units(network, True)
    made, _ = units(network, False)
    assert made.source.tolist() == [1, 1]
    assert made.sign.tolist() == [1, -1]


def test_zeros_take_synapses_of_their_receptors_where_all_pairs_do() -> None:
    weights = np.array([[70, 0], [-3, 5]])
    network = Network(2, (Population(2),), (matrix(EXTERNAL, 0, weights),))
    made, _ = units(network, True)
    assert made.source.size == 4 * 2 * 2  # pairs, signs, copies
    assert np.bincount(made.connection).tolist() == [4] * 4
    own = (made.source == 0) & (made.target == 0)
    assert sorted(zip(made.sign[own].tolist(), made.weight[own].tolist(), strict=True)) == [
        (-1, 0),
        (-1, 0),
        (1, 7),
        (1, 63),
    ]
    sparse, _ = units(network, False)
    assert sparse.weight.tolist() == [63, 7, 3, 5]
    assert sparse.connection.tolist() == [0, 0, 2, 3]
    one = Network(2, (Population(2),), (matrix(EXTERNAL, 0, np.abs(weights), receptors="excitatory"),))
    assert units(one, True)[0].source.size == 4 * 2
