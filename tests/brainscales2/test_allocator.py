"""The allocator: what comes back by labels is what was asked for, what is lacking is true, the worked limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hal_brainscales2.allocator import Allocation, allocate
from hal_brainscales2.limits import column_row, driver_bus, event_output, row_driver
from hal_brainscales2.network import EXTERNAL, Network, Population, matrix
from hal_brainscales2.routes import asked, verify

GOLDEN = Path(__file__).parents[1] / "golden" / "brainscales2"
RANDOM = np.random.default_rng(7)
Make = Callable[[int, int], Network]


def signed(*shape: int) -> np.ndarray:
    """Weights of both signs, none of them 0."""
    return RANDOM.integers(1, 64, shape) * RANDOM.choice([-1, 1], shape)


def hears_what_it_should(network: Network, made: Allocation) -> None:
    assert made.placement is not None
    assert made.tables is not None
    heard, wanted = verify(made.placement, made.tables), asked(network)
    assert not heard.confusions
    assert not heard.unowned
    for name in ("source", "target", "excitation", "inhibition"):
        np.testing.assert_array_equal(getattr(heard, name), getattr(wanted, name))


def lacking(made: Allocation) -> list[tuple[str, int, int]]:
    return [(violation.resource, violation.needed, violation.available) for violation in made.violations]


# --- any network ----------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**9), st.sampled_from([4, 25, 80]), st.booleans(), st.sampled_from([None, False, True]))
@settings(max_examples=150, deadline=None)
def test_what_fits_is_heard_as_asked_and_what_does_not_is_counted(
    network: Make, seed: int, largest: int, dense: bool, share: bool | None
) -> None:
    net = network(seed, largest)
    made = allocate(net, dense=dense, share=share)
    if made.fits:
        hears_what_it_should(net, made)
        assert all(row.ok for row in made.usage)
    else:
        assert made.tables is None
        assert all(violation.needed > violation.available for violation in made.violations)


def test_random_networks_both_fit_and_do_not(network: Make) -> None:
    made = [allocate(network(seed, 80), dense=bool(seed % 2)) for seed in range(40)]
    assert 5 < sum(one.fits for one in made) < 40
    assert {violation.resource for one in made for violation in one.violations} >= {"synapse_rows", "circuits"}


@given(st.integers(0, 10**9))
@settings(max_examples=10, deadline=None)
def test_sparse_networks_of_the_whole_chip_have_several_groups_on_a_bus(seed: int) -> None:
    random = np.random.default_rng(seed)
    recurrent = random.integers(-63, 64, (512, 512)) * (random.random((512, 512)) < 0.15)
    inputs = random.integers(-63, 64, (150, 512)) * (random.random((150, 512)) < 0.1)
    net = Network(150, (Population(512),), (matrix(0, 0, recurrent), matrix(EXTERNAL, 0, inputs)))
    made = allocate(net)
    assert made.grouping is not None
    assert len(made.grouping.groups) >= 11
    hears_what_it_should(net, made)


def test_the_same_network_has_the_same_result(network: Make) -> None:
    for seed in (1, 2, 3):
        first, second = (allocate(network(seed, 40)) for _ in range(2))
        assert first.violations == second.violations
        assert (first.tables is None) == (second.tables is None)
        if first.tables is not None and second.tables is not None:
            for name in attrs.fields_dict(type(first.tables)):
                np.testing.assert_array_equal(getattr(first.tables, name), getattr(second.tables, name))


@given(st.integers(0, 10**9), st.booleans())
@settings(max_examples=40, deadline=None)
def test_rows_of_a_bus_are_those_that_a_count_by_hand_finds(
    by_hand: Callable[[list[int], list[int], np.ndarray], Network], seed: int, share: bool
) -> None:
    random = np.random.default_rng(seed)
    columns = random.choice(256, 90, replace=False).tolist()
    weights = random.integers(-63, 64, (90, 4)) * (random.random((90, 4)) < random.choice([0.3, 0.9, 1.0]))
    made = allocate(by_hand(columns, [1] * 90, weights), share=share, search=False)
    needed = {row.where: row.needed for row in made.usage if row.resource == "synapse_rows"}
    over = {violation.where for violation in made.violations if violation.resource == "synapse_rows"}
    for bus in range(4):
        total = 0
        parts = [[bus, bus + 4]] if share else [[bus], [bus + 4]]
        if sum(column // 32 % 4 == bus for column in columns) > 64:
            parts = [[bus], [bus + 4]]
        for outputs in parts:
            own = [k for k, column in enumerate(columns) if column // 32 in outputs]
            counts = [[sum(1 for k in own if weights[k, j] * sign > 0) for j in range(4)] for sign in (1, -1)]
            total += max(counts[0]) + max(counts[1])
        assert needed[f"hemisphere 0, bus {bus}"] == total
        assert (f"hemisphere 0, bus {bus}" in over) == (total > 64)
        assert needed[f"hemisphere 1, bus {bus}"] == 0


@given(st.integers(0, 128), st.integers(0, 130), st.integers(1, 3))
@example(27, 32, 3)
@settings(max_examples=30, deadline=None)
def test_dense_inputs_fit_exactly_where_the_drivers_left_over_hold_them(n: int, inputs: int, copies: int) -> None:
    """One hemisphere; each source takes as many drivers as it has copies, none shared. Columns in order, or spread."""
    size = max(n, 1)
    recurrent = (matrix(0, 0, np.ones((size, size), int)),) if n else ()
    drive = matrix(EXTERNAL, 0, np.ones((inputs, size), int), copies=copies)
    net = Network(inputs, (Population(size, hemisphere=0),), (*recurrent, drive))
    in_order = [max(min(n - 32 * bus, 32), 0) for bus in range(4)]
    spread = [n // 4 + (bus < n % 4) for bus in range(4)]
    room = [sum((32 - drivers) // copies for drivers in taken) for taken in (in_order, spread)]
    assert allocate(net, dense=True, search=False).fits == (inputs <= room[0])
    made = allocate(net, dense=True)
    assert made.fits == (inputs <= max(room))
    if made.fits:
        assert made.spread == (inputs > room[0])


# --- the sheet's worked limits and behaviours -----------------------------------------------------------------------


def test_129_signed_inputs_need_258_rows_or_two_circuits() -> None:
    weights = signed(129, 10)
    net = Network(129, (Population(10),), (matrix(EXTERNAL, 0, weights),))
    made = allocate(net, dense=True)
    assert ("fan_in", 258, 256) in lacking(made)
    assert "more circuits per neuron" in str(made.violations[-1])
    for shape in ("pairs", "row"):
        two = attrs.evolve(net, populations=(Population(10, circuits=2, shape=shape),))
        hears_what_it_should(two, allocate(two, dense=True))
    fewer = Network(128, (Population(10),), (matrix(EXTERNAL, 0, weights[:128]),))
    hears_what_it_should(fewer, allocate(fewer, dense=True))


@pytest.mark.parametrize("duplicated", [False, True])
def test_5_120_3_puts_its_outputs_in_the_other_hemisphere(duplicated: bool) -> None:
    with np.load(GOLDEN / "yinyang_5_120_3.npz") as file:
        rows, total, out = file["hw1"], file["hw1_total"], file["hw2"]
    first = rows.reshape(25, 120) if duplicated else total
    net = Network(
        len(first),
        (Population(120, name="hidden"), Population(3, name="output")),
        (matrix(EXTERNAL, 0, first), matrix(0, 1, out)),
    )
    alone = allocate(net, dense=True, search=False)
    assert sum(needed - available for _, needed, available in lacking(alone)) == 50 - 16
    assert all("populations in the other hemisphere" in str(violation) for violation in alone.violations)
    made = allocate(net, dense=True)
    hears_what_it_should(net, made)
    assert made.moved == (1,)
    assert made.placement is not None
    assert made.placement.circuit[120:].tolist() == [256, 257, 258]
    needed = {row.where: row.needed for row in made.usage if row.resource == "drivers"}
    assert [needed[f"hemisphere 1, bus {bus}"] for bus in range(4)] == [32, 32, 32, 24]
    assert sum(needed[f"hemisphere 0, bus {bus}"] for bus in range(4)) == 25
    # zeros dropped, and rows shared by labels: no need to move
    shared = allocate(net)
    hears_what_it_should(net, shared)
    assert shared.moved == ()


def test_25_100_3_fits_in_one_hemisphere() -> None:
    net = Network(
        25,
        (Population(100, hemisphere=0), Population(3, hemisphere=0)),
        (matrix(EXTERNAL, 0, signed(25, 100)), matrix(0, 1, signed(100, 3))),
    )
    made = allocate(net, dense=True)
    hears_what_it_should(net, made)
    needed = {row.where: row.needed for row in made.usage if row.resource == "drivers"}
    assert [needed[f"hemisphere 0, bus {bus}"] for bus in range(4)] == [32, 32, 32, 4 + 25]


def test_513_neurons_are_too_many() -> None:
    made = allocate(Network(0, (Population(513, name="all"),), ()))
    assert lacking(made) == [("circuits", 513, 512)]
    assert "1 neurons of all without" in str(made.violations[0])
    assert allocate(Network(0, (Population(512),), ())).fits
    assert lacking(allocate(Network(0, (Population(65, circuits=8),), ()))) == [("circuits", 520, 512)]


@pytest.mark.parametrize("dense", [True, False])
def test_33_signed_sources_on_a_pair_of_event_outputs(
    by_hand: Callable[[list[int], list[int], np.ndarray], Network], dense: bool
) -> None:
    columns = [*range(32, 64), 160]
    net = by_hand(columns, [1] * 33, signed(33, 4) if dense else np.ones((33, 4), int))
    made = allocate(net, dense=dense)
    if dense:
        assert lacking(made) == [("synapse_rows", 66, 64)]
        assert "hemisphere 0, bus 1" in str(made.violations[0])
        assert "33 needed" in str(allocate(by_hand(columns, [1] * 33, np.ones((33, 4), int)), dense=True).violations[0])
    else:
        hears_what_it_should(net, made)


def test_column_200_to_row_0_takes_bus_2(by_hand: Callable[[list[int], list[int], np.ndarray], Network]) -> None:
    made = allocate(by_hand([200], [1], np.array([[5]])))
    assert made.tables is not None
    hemisphere, driver = np.nonzero(made.tables.driver_group >= 0)
    assert (hemisphere.tolist(), driver_bus(driver).tolist()) == ([0], [2])
    assert made.tables.neuron_label[0] >> 8 == event_output(200)


def test_dense_recurrence_of_128_leaves_no_driver_for_inputs() -> None:
    def net(n: int, inputs: int) -> Network:
        drive = (matrix(EXTERNAL, 0, signed(inputs, n)),) if inputs else ()
        return Network(inputs, (Population(n),), (matrix(0, 0, signed(n, n)), *drive))

    full = allocate(net(128, 0), dense=True)
    assert full.fits
    assert sum(row.needed for row in full.usage if row.resource == "drivers") == 128
    assert ("synapse_rows", 66, 64) in lacking(allocate(net(129, 0), dense=True))
    assert ("synapse_rows", 66, 64) in lacking(allocate(net(128, 1), dense=True))
    assert allocate(net(127, 1), dense=True).fits


def test_784_inputs_take_8_circuits_and_64_neurons() -> None:
    net = Network(784, (Population(64, circuits=8),), (matrix(EXTERNAL, 0, signed(784, 64)),))
    made = allocate(net, dense=True)
    hears_what_it_should(net, made)
    six = attrs.evolve(net, populations=(Population(64, circuits=6),))
    assert any(resource == "fan_in" for resource, *_ in lacking(allocate(six, dense=True)))


def test_a_weight_of_200_takes_four_rows_and_leaves_11_in_three() -> None:
    def net(copies: int | None) -> Network:
        return Network(1, (Population(2),), (matrix(EXTERNAL, 0, np.array([[200, -5]]), copies=copies),))

    short = allocate(net(3))
    assert lacking(short) == [("weight", 4, 3)]
    assert "weight 200 from external sources 0 to population 0 0: rows; 11 is left, 1 such" in str(short.violations[0])
    for copies in (4, None):
        made = allocate(net(copies))
        hears_what_it_should(net(copies), made)
        assert made.tables is not None
        assert sorted(made.tables.weight[0, :, 0][made.tables.weight[0, :, 0] > 0].tolist()) == [11, 63, 63, 63]
        assert len({int(label) for label in made.tables.label[0, :, 0][made.tables.weight[0, :, 0] > 0]}) == 1


# --- choices --------------------------------------------------------------------------------------------------------


def test_columns_are_spread_where_in_order_they_do_not_fit() -> None:
    # in order, 40 neurons share two buses, whose rows do not do
    weights = np.where(np.arange(40)[:, None] < 20, 5, -5) * np.ones((40, 2), int)
    net = Network(
        0,
        (Population(40, name="a"), Population(40, name="b"), Population(2, name="c")),
        (matrix(0, 2, weights), matrix(1, 2, weights), matrix(0, 2, np.ones((40, 2), int) * 70)),
    )
    made = allocate(net)
    hears_what_it_should(net, made)
    assert made.spread
    assert not allocate(net, search=False).fits


def test_no_more_is_moved_than_must_be() -> None:
    net = Network(
        25,
        (Population(120), Population(3), Population(5)),
        (matrix(EXTERNAL, 0, signed(25, 120)), matrix(0, 1, signed(120, 3)), matrix(1, 2, signed(3, 5))),
    )
    made = allocate(net, dense=True)
    hears_what_it_should(net, made)
    assert made.moved == (1,)


def test_many_populations_are_moved_one_at_a_time() -> None:
    sizes = 7
    hidden = [Population(17) for _ in range(sizes)]
    net = Network(
        25,
        (*hidden, Population(3)),
        (
            *(matrix(EXTERNAL, k, signed(25, 17)) for k in range(sizes)),
            *(matrix(k, sizes, signed(17, 3)) for k in range(sizes)),
        ),
    )
    assert not allocate(net, dense=True, search=False).fits
    made = allocate(net, dense=True)
    hears_what_it_should(net, made)
    assert made.moved == (sizes,)


def test_a_source_of_one_sign_takes_one_row_where_zeros_are_dropped() -> None:
    net = Network(40, (Population(1),), (matrix(EXTERNAL, 0, np.full((40, 1), 3)),))
    rows = {dense: sum(row.needed for row in allocate(net, dense=dense).usage if row.resource == "synapse_rows")
            for dense in (True, False)}  # fmt: skip
    assert rows == {True: 80, False: 40}


def test_an_input_of_both_hemispheres_is_one_event_or_two_where_no_bus_has_room_in_both() -> None:
    halves = (Population(1, hemisphere=0), Population(1, hemisphere=1))
    one = Network(1, halves, (matrix(EXTERNAL, 0, np.array([[5]])), matrix(EXTERNAL, 1, np.array([[-6]]))))
    made = allocate(one)
    hears_what_it_should(one, made)
    assert made.tables is not None
    assert made.tables.event_source.tolist() == [0]
    # buses 0 and 1 are full in hemisphere 0, buses 2 and 3 in hemisphere 1
    columns = np.arange(128)
    hand = Population(128, places=columns[:, None] + 256 * (columns[:, None] % 2))
    low, high = np.where(columns < 64, 1, 0)[:, None], np.where(columns >= 64, 1, 0)[:, None]
    full = Network(
        1,
        (hand, Population(1, hemisphere=0), Population(1, hemisphere=1)),
        (matrix(0, 1, 126 * low), matrix(0, 2, 126 * high), matrix(EXTERNAL, 1, np.array([[5]])),
         matrix(EXTERNAL, 2, np.array([[7]]))),
    )  # fmt: skip
    made = allocate(full)
    hears_what_it_should(full, made)
    assert made.tables is not None
    assert made.tables.event_source.tolist() == [0, 0]
    assert sorted((made.tables.event_label >> 14).tolist()) == [0, 2]


def test_inputs_without_targets_have_no_event() -> None:
    net = Network(3, (Population(1),), (matrix(EXTERNAL, 0, np.array([[0], [4], [0]])),))
    made = allocate(net)
    hears_what_it_should(net, made)
    assert made.tables is not None
    assert made.tables.event_source.tolist() == [1]


def test_groups_that_row_selects_cannot_keep_apart_are_told() -> None:
    # 30 signed sources on one event output, 2 on the other: not in rows of their own, as the vendor has them
    places = np.array([*range(30), 128, 129])[:, None] + 256
    net = Network(0, (Population(32, places=places), Population(1, hemisphere=0)), (matrix(0, 1, signed(32, 1)),))
    made = allocate(net, dense=True)
    assert lacking(made) == [("row_selects", 32, 30)]
    assert "bus 0, drivers of groups to be kept apart: [30, 2] in hemisphere 0" in str(made.violations[0])
    hears_what_it_should(net, allocate(net, dense=True, share=True))


def test_where_each_connection_went_is_told() -> None:
    weights = np.array([[70, -3], [0, 9]])
    made = allocate(Network(2, (Population(2),), (matrix(EXTERNAL, 0, weights),)))
    table = made.tables
    assert table is not None
    placed = table.weight[table.unit_hemisphere, table.unit_row, table.unit_column]
    assert np.bincount(table.unit_connection, placed, minlength=4).tolist() == [70, 3, 0, 9]
    signs = table.row_sign[table.unit_hemisphere, table.unit_row]
    assert (np.sign(weights.ravel()[table.unit_connection]) == signs).all()
    assert (table.driver_group[table.unit_hemisphere, row_driver(table.unit_row)] == 0).all()
    assert made.placement is not None
    assert column_row(made.placement.sender)[0].tolist() == [0, 1]


@pytest.mark.parametrize("inputs", [256, 257])
@pytest.mark.parametrize("neurons", [1, 3, 40])
def test_neurons_that_nobody_hears_take_no_label_of_a_full_bus(neurons: int, inputs: int) -> None:
    """256 sources of one sign are all rows of a circuit, and all labels of the drivers."""
    network = Network(inputs, (Population(neurons),), (matrix(EXTERNAL, 0, np.ones((inputs, neurons), int)),))
    made = allocate(network)
    assert made.fits == (inputs == 256)
    if made.tables is not None:
        assert made.placement is not None
        found = verify(made.placement, made.tables)
        assert not found.confusions
        assert found.source.size == inputs * neurons
