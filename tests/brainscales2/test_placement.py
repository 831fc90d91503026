"""Where neurons are: the vendor's order, neighbours, backend blocks, places by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal_brainscales2.allocator import allocate
from hal_brainscales2.limits import block, column_row
from hal_brainscales2.network import Network, Population
from hal_brainscales2.placement import place


def circuits(*populations: Population, spread: bool = False, preferred: list[int | None] | None = None) -> np.ndarray:
    placement, violations = place(Network(0, populations, ()), preferred, spread)
    assert placement is not None, violations
    return np.asarray(placement.circuit)


def test_single_circuits_are_taken_row_by_row() -> None:
    assert circuits(Population(300), Population(3)).tolist() == list(range(303))
    assert circuits(Population(3), Population(2), preferred=[1, None]).tolist() == [256, 257, 258, 0, 1]
    assert circuits(Population(2, hemisphere=1), Population(1)).tolist() == [256, 257, 0]


def test_several_circuits_are_neighbours_top_and_bottom_or_in_a_row() -> None:
    assert circuits(Population(2, circuits=4)).tolist() == [0, 256, 1, 257, 2, 258, 3, 259]
    assert circuits(Population(2, circuits=4, shape="row")).tolist() == list(range(8))
    assert circuits(Population(2, circuits=3)).tolist() == [0, 256, 1, 257, 2, 258]
    # two are one above the other, also after an odd number
    assert circuits(Population(1, circuits=3), Population(1, circuits=2)).tolist() == [0, 256, 1, 2, 258]
    assert circuits(Population(1, circuits=2, hemisphere=1)).tolist() == [256, 257]


@given(st.integers(1, 256), st.sampled_from(["pairs", "row"]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_no_neuron_crosses_the_backend_blocks(size: int, shape: str, spread: bool) -> None:
    if shape == "row" and size > 128:
        assert not allocate(Network(0, (Population(1, circuits=size, shape="row"),), ())).fits
        return
    most = 2 * (256 // size) if shape == "pairs" else 4 * (128 // size)
    population = Population(1 if spread else most, circuits=size, shape=shape)  # type: ignore[arg-type]
    made = circuits(population, spread=spread).reshape(-1, size)
    assert np.unique(made).size == made.size
    column, row = column_row(made)
    assert (np.ptp(block(column), axis=1) == 0).all()
    for k in range(len(made)):
        joined = {(c, r) for c, r in zip(column[k].tolist(), row[k].tolist(), strict=True)}
        reached, todo = set(), [min(joined)]
        while todo:
            c, r = todo.pop()
            reached.add((c, r))
            near = {(c - 1, r), (c + 1, r), (c, 1 - r)}
            todo += (near & joined) - reached
        assert reached == joined


def test_spread_takes_one_of_each_event_output_in_turn() -> None:
    column, _ = column_row(circuits(Population(16), spread=True))
    assert (column // 32).tolist() == [*range(8), *range(8)]
    column, _ = column_row(circuits(Population(8, circuits=4), spread=True).reshape(8, 4)[:, 0])
    assert (column // 32).tolist() == list(range(8))


def test_places_by_hand_come_first() -> None:
    hand = Population(2, places=np.array([[1], [256]]))
    assert circuits(Population(3), hand).tolist() == [0, 2, 3, 1, 256]


def test_circuits_given_twice_and_neurons_over_both_blocks_are_told_at_once() -> None:
    populations = (
        Population(2, places=np.array([[5], [5]]), name="a"),
        Population(1, circuits=2, places=np.array([[127, 128]]), name="b"),
    )
    made = allocate(Network(0, populations, ()))
    texts = [str(violation) for violation in made.violations]
    assert len(texts) == 2
    assert "circuit 5: a, neuron 0 and a, neuron 1" in texts[0]
    assert "b, neuron 0: backend blocks): 2 needed, 1 available" in texts[1]
    assert made.placement is None


@pytest.mark.parametrize(
    ("populations", "text"),
    [
        (
            (Population(300, hemisphere=0, name="top"),),
            "hemisphere 0, for top; 512 were free on the chip): 300 needed, 256",
        ),
        ((Population(3, circuits=200),), "without): 600 needed, 512 available"),
        ((Population(2, circuits=129, shape="row"),), "258 needed, 0 available"),
    ],
)
def test_what_finds_no_room_is_told(populations: tuple[Population, ...], text: str) -> None:
    made = allocate(Network(0, populations, ()))
    assert any(text in str(violation) for violation in made.violations)
    assert not made.fits
