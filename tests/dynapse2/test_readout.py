"""What the host receives tells the neuron, and what is no neuron's is told apart."""

from __future__ import annotations

import numpy as np

from hal_dynapse2.allocator import Connections, allocate
from hal_dynapse2.config import ChipsConfig
from hal_dynapse2.packing import Places
from hal_dynapse2.readout import CONTROL, ECHO, NEURON, UNKNOWN, decode, monitor_y_hop

GRID = np.meshgrid(np.arange(1, 8), np.arange(8))
X, Y = GRID[0].ravel(), GRID[1].ravel()


def test_every_neuron_of_the_largest_grid_decodes_to_itself() -> None:
    chip, core, neuron = (c.ravel() for c in np.indices((56, 4, 256)))
    nobody = np.zeros(0, np.int64)
    made = allocate(
        Connections(0, nobody, nobody, nobody, nobody),
        Places(chip, core, neuron),
        ChipsConfig(x=X, y=Y),
        monitored=np.ones(chip.size, bool),
    )
    sram = made.sram
    assert made.violations == ()
    assert np.abs(sram.y_hop.astype(int)).max() <= 7
    found = decode(X[chip] + sram.x_hop[:, 0], Y[chip] + sram.y_hop[:, 0], sram.tag[:, 0], X, Y)
    assert (found.kind == NEURON).all()
    np.testing.assert_array_equal(found.chip, chip)
    np.testing.assert_array_equal(found.core, core)
    np.testing.assert_array_equal(found.neuron, neuron)
    # no monitor lands on a chip
    assert (X[chip] + sram.x_hop[:, 0] <= 0).all()


def test_the_convention_of_the_scripts() -> None:
    # chip = x_hop + 6, core = tag >> 8, neuron = tag & 255, y_hop = 0
    found = decode([-6, -5, -6], [0, 0, 0], [3, 2 * 256 + 255, 1023], np.array([1, 2]), np.array([0, 0]))
    assert found.chip.tolist() == [0, 1, 0]
    assert found.core.tolist() == [0, 2, 3]
    assert found.neuron.tolist() == [3, 255, 255]


def test_what_is_no_neuron() -> None:
    x_hop = [-6, -7, -6, -1, -4, -6, 3, -6, -6]
    y_hop = [0, 0, -7, -1, 0, -7, 0, 4, 99]
    tag = [1024 + 5, 5, 2047, 1024, 3, 3, 3, 3, 3]
    found = decode(x_hop, y_hop, tag, np.array([1]), np.array([0]))
    assert found.kind.tolist() == [ECHO, ECHO, CONTROL, CONTROL, *[UNKNOWN] * 5]
    for values in (found.chip, found.core, found.neuron):
        assert (values == -1).all()


def test_rows_arrive_apart() -> None:
    rows = np.arange(8)
    assert (rows + monitor_y_hop(rows)).tolist() == [0, -6, -5, -4, -3, -2, -1, 1]
