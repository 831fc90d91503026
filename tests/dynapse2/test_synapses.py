"""Every weight that is not 0 is a synapse that knows which weight it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hal_dynapse2.cells import Reader
from hal_dynapse2.options import Dynapse2MapOptions
from hal_dynapse2.synapses import synapses


def _found(net: Any) -> Any:
    reader = Reader(net.model, Dynapse2MapOptions())
    assert not reader.notes.refused
    return synapses(reader.model, reader.cells), reader.cells


def _dense(found: Any, n: int, sources: int) -> Any:
    made = np.zeros((n, sources))
    np.add.at(made, (found.target, found.source), found.area)
    return made


def test_channels_come_first_then_neurons_and_areas_are_the_weights_times_the_neurons(net: Any) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(3, 4)), rng.normal(size=(2, 3))
    first[1, 2] = second[0, 0] = 0.0
    found, cells = _found(net.chain(first, second))
    assert found.n_inputs == 4
    assert found.area.size == 16
    made = _dense(found, 5, 9)
    np.testing.assert_allclose(made[:3, :4], first * cells[0].area[:, None], rtol=1e-6)
    np.testing.assert_allclose(made[3:, 4:7], second * cells[1].area[:, None], rtol=1e-6)
    assert not made[:3, 4:].any()
    assert not made[3:, :4].any()
    assert not made[3:, 7:].any()


def test_labels_tell_each_synapses_weight(net: Any) -> None:
    weight = np.array([[0.5, 0.0, -0.25], [0.0, 2.0, 0.125]])
    found, cells = _found(net.layer(weight))
    (label,) = found.labels
    assert (label.node.name, label.target, label.first) == ("fc", "n", 0)
    np.testing.assert_allclose(weight.ravel()[label.weight] * cells[0].area[0], found.area[label.rows])
    assert found.unlabelled == ()


def test_every_input_and_feedback_have_sources_of_their_own(net: Any) -> None:
    made = net.merge([[1.0, 2.0]], [[3.0]])
    made.dense("back", "n", [[4.0]]).link("back", "n")
    found, cells = _found(made)
    order = np.argsort(found.source)
    assert found.source[order].tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(found.area[order] / cells[0].area[0], [1, 2, 3, 4], rtol=1e-6)
    assert {label.node.name for label in found.labels} == {"fa", "fb", "back"}


def test_a_kernels_weights_are_shared(net: Any) -> None:
    kernel = np.arange(1.0, 5).reshape(1, 1, 2, 2)
    made = net(1, 3, 3).conv("conv", "in", kernel).fire("n", "conv").out("n")
    found, cells = _found(made)
    (label,) = found.labels
    assert np.bincount(label.weight).tolist() == [4] * 4
    np.testing.assert_allclose(found.area / cells[0].area[0], kernel.ravel()[label.weight], rtol=1e-6)


def test_two_weights_in_a_row_are_no_single_weight(net: Any) -> None:
    made = (
        net(2).dense("one", "in", [[1.0, 2.0], [3.0, 4.0]]).dense("two", "one", [[1.0, 1.0]]).fire("n", "two").out("n")
    )
    found, cells = _found(made)
    assert found.labels == ()
    assert found.unlabelled == (("two", slice(0, 2)),)
    assert found.area / cells[0].area[0] == pytest.approx([4.0, 6.0])


def test_no_weight_is_no_synapse(net: Any) -> None:
    found, _ = _found(net.layer(np.zeros((2, 2)), v_leak=0.5))
    assert found.area.size == 0
    assert found.source.dtype == found.target.dtype == np.int64
