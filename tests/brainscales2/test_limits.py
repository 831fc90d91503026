"""Positions and the nodes of the crossbar, by their own rules and by the sheet's sentences."""

from __future__ import annotations

import numpy as np

from hal_brainscales2 import limits


def test_circuits_are_counted_row_by_row() -> None:
    every = np.arange(limits.CIRCUITS)
    column, row = limits.column_row(every)
    np.testing.assert_array_equal(limits.circuit(column, row), every)
    assert (column[255], row[255], column[256], row[256]) == (255, 0, 0, 1)
    assert limits.block(column).tolist() == ([0] * 128 + [1] * 128) * 2


def test_an_event_output_serves_64_circuits_and_one_bus() -> None:
    column, _ = limits.column_row(np.arange(limits.CIRCUITS))
    output = limits.event_output(column)
    assert np.bincount(output).tolist() == [64] * 8
    assert limits.event_output(200) == 6
    assert limits.event_bus(limits.event_output(200)) == 2
    assert limits.event_bus(limits.event_output(200 - 128)) == 2


def test_drivers_have_two_rows_a_bus_and_a_position() -> None:
    every = np.arange(limits.DRIVERS)
    rows = np.concatenate(limits.driver_rows(every))
    assert sorted(rows.tolist()) == list(range(limits.ROWS))
    assert limits.driver_rows(5) == (11, 10)
    np.testing.assert_array_equal(limits.row_driver(rows), np.tile(every, 2))
    bus, position = limits.driver_bus(every), limits.driver_position(every)
    np.testing.assert_array_equal(limits.driver_at(bus, position), every)
    assert np.bincount(bus).tolist() == [limits.DRIVERS_PER_BUS] * 4
    assert (limits.driver_bus(6), limits.driver_position(6)) == (2, 1)
    assert limits.DRIVERS_PER_BUS * limits.ROWS_PER_DRIVER == limits.ROWS_PER_BUS
    assert limits.ROWS_PER_BUS * limits.BUSES == limits.ROWS


def test_nodes_of_neurons_external_inputs_and_background() -> None:
    nodes = {
        (k, output)
        for k in range(limits.CROSSBAR_INPUTS)
        for output in range(limits.CROSSBAR_OUTPUTS)
        if limits.node_exists(k, output)
    }
    for output in range(8):
        bus = output % 4
        assert {node for k, node in nodes if k == output} == {bus, 4 + bus, 8 + bus}
    for link in range(4):
        entry = limits.external_input(link)
        assert {node for k, node in nodes if k == entry} == {*range(8), limits.host_output(link)}
    for source in range(8):
        entry = limits.background_input(source)
        own = limits.bus_output(source // 4, source % 4)
        assert {node for k, node in nodes if k == entry} == {own, limits.host_output(source % 4)}
    assert len(nodes) == 8 * 3 + 4 * 9 + 8 * 2


def test_the_longest_run_is_34_36_s() -> None:
    assert round(limits.MAX_RUN_CYCLES * limits.CYCLE_NS * 1e-9, 2) == 34.36
    assert round(limits.MADC_RATE_HZ / 1e6, 2) == 29.41
