"""What the chip does with registers that are wrong: sources that are one, synapses that are nobody's."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

from hal_brainscales2.allocator import Allocation, allocate
from hal_brainscales2.limits import external_input, node_exists
from hal_brainscales2.network import EXTERNAL, Network, Population, matrix
from hal_brainscales2.placement import Placement
from hal_brainscales2.routes import passes, verify
from hal_brainscales2.routing import Tables, around


@pytest.fixture
def made() -> Allocation:
    """Two inputs onto three neurons, which are onto themselves."""
    weights = np.array([[5, -6, 0], [0, 7, 8]])
    net = Network(2, (Population(3),), (matrix(EXTERNAL, 0, weights), matrix(0, 0, np.diag([1, -2, 3]))))
    return allocate(net)


def parts(made: Allocation, **changes: Any) -> tuple[Placement, Tables]:
    assert made.placement is not None
    assert made.tables is not None
    return made.placement, attrs.evolve(made.tables, **changes)


def test_two_sources_with_one_label_are_one(made: Allocation) -> None:
    labels = made.tables.event_label.copy() if made.tables is not None else np.zeros(0)
    labels[1] = labels[0]
    heard = verify(*parts(made, event_label=labels))
    assert {confusion.sources for confusion in heard.confusions} == {(0, 1)}
    assert "hemisphere 0, driver" in str(heard.confusions[0])
    both = {(s, t) for s, t in zip(heard.source.tolist(), heard.target.tolist(), strict=True) if s < 2}
    assert both == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_equal_labels_are_apart_by_row_selects_until_masks_overlap() -> None:
    # more neurons than labels on each bus: two groups, whose labels are the same
    net = Network(0, (Population(512),), (matrix(0, 0, np.eye(512, dtype=int)),))
    made = allocate(net)
    placement, tables = parts(made)
    assert tables.neuron_label[0] & 63 == tables.neuron_label[128] & 63
    assert not verify(placement, tables).confusions
    heard = verify(*parts(made, driver_mask=np.zeros_like(tables.driver_mask)))
    assert len(heard.confusions) >= 64 * 4
    assert (0, 128) in {confusion.sources for confusion in heard.confusions}


def test_neurons_with_one_address_are_one_to_the_host(made: Allocation) -> None:
    placement, tables = parts(made)
    labels = tables.neuron_label.copy()
    labels[2] = labels[1]
    heard = verify(placement, attrs.evolve(tables, neuron_label=labels))
    assert any(c.where == "host, link 0" and c.sources == (3, 4) for c in heard.confusions)


def test_a_label_of_another_event_output_is_nobodys(made: Allocation) -> None:
    placement, tables = parts(made)
    labels = tables.neuron_label.copy()
    labels[1] |= 1 << 8
    (text,) = verify(placement, attrs.evolve(tables, neuron_label=labels)).unowned
    assert "neuron 1: label" in text
    assert "says event output 1, its column has 0 (bus 0)" in text


def test_synapses_of_free_circuits_are_nobodys(made: Allocation) -> None:
    placement, tables = parts(made)
    weight, label = tables.weight.copy(), tables.label.copy()
    row = int(tables.unit_row[0])
    weight[0, row, 77], label[0, row, 77] = 9, tables.event_label[0] & 63
    heard = verify(placement, attrs.evolve(tables, weight=weight, label=label))
    assert heard.unowned == ("1 synapses react in circuits of no neuron",)


@pytest.mark.parametrize("what", ["crossbar_target", "driver_group", "row_sign", "weight"])
def test_nothing_is_heard_where_the_path_is_cut(made: Allocation, what: str) -> None:
    placement, tables = parts(made)
    off = {"crossbar_target": 2**14 - 1, "driver_group": -1, "row_sign": 0, "weight": 0}[what]
    cut = {what: np.full_like(getattr(tables, what), off)}
    if what == "crossbar_target":
        cut["crossbar_mask"] = np.zeros_like(tables.crossbar_mask)
    assert verify(placement, attrs.evolve(tables, **cut)).source.size == 0
    assert verify(placement, tables).source.size == 4 + 3


def test_only_nodes_that_exist_are_set_and_only_those_that_are_used(made: Allocation) -> None:
    _, tables = parts(made)
    opened = np.argwhere((tables.crossbar_target & ~tables.crossbar_mask) == 0)
    assert [tuple(node) for node in opened.tolist()] == [(0, 0), (0, 8), (8, 0)]
    assert all(node_exists(*node) for node in opened.tolist())
    net = Network(0, (Population(3, recorded=False),), ())
    _, silent = parts(allocate(net))
    assert not ((silent.crossbar_target & ~silent.crossbar_mask) == 0).any()


def test_a_node_that_the_crossbar_does_not_have_passes_nothing(made: Allocation) -> None:
    placement, tables = parts(made)
    mask, target = tables.crossbar_mask.copy(), tables.crossbar_target.copy()
    missing = np.array([[not node_exists(k, output) for output in range(12)] for k in range(20)])
    mask[missing] = target[missing] = 0
    # a driver on bus 1 that would take everything
    group, labels = tables.driver_group.copy(), tables.label.copy()
    weight, sign = tables.weight.copy(), tables.row_sign.copy()
    group[0, 1], sign[0, 2], weight[0, 2, 0], labels[0, 2, 0] = 0, 1, 50, tables.neuron_label[1] & 63
    changed = attrs.evolve(
        tables,
        crossbar_mask=mask,
        crossbar_target=target,
        driver_group=group,
        row_sign=sign,
        weight=weight,
        label=labels,
    )
    assert verify(placement, changed).excitation.max() < 50


def test_external_events_go_exactly_where_they_are_heard() -> None:
    populations = (Population(1, hemisphere=0), Population(1, hemisphere=1))
    drive = (matrix(EXTERNAL, 0, np.array([[1], [0], [1]])), matrix(EXTERNAL, 1, np.array([[0], [1], [1]])))
    _, tables = parts(allocate(Network(3, populations, drive)))
    entry = external_input(tables.event_label >> 14)
    assert tables.event_source.tolist() == [0, 1, 2]
    heard = [passes(tables, entry, tables.event_label, output).tolist() for output in range(12)]
    assert heard == [[0, 2], [], [], [], [1, 2], *[[]] * 7]


def test_the_smallest_selectable_set_around_labels() -> None:
    assert around([0b1010]) == (0x3FFF, 0b1010)
    assert around([0b1010, 0b1000, 0b0010]) == (0x3FFF & ~0b1010, 0)
