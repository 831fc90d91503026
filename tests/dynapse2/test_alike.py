"""Mapping like an earlier mapping: numbers change, and what would have to move is said, all of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hal
from hal.errors import ConfigError
from hal_dynapse2.routes import routes


def _wiring(config: Any) -> Any:
    return [
        *(getattr(config.neurons, name) for name in ("chip", "core", "neuron")),
        *(getattr(config.sram, name) for name in ("core_mask", "x_hop", "y_hop", "tag")),
        *(getattr(config.host, name) for name in ("channel", "core_mask", "x_hop", "y_hop", "tag")),
        config.cam.tag,
    ]


def _same_wiring(one: Any, other: Any) -> None:
    for a, b in zip(_wiring(one), _wiring(other), strict=True):
        np.testing.assert_array_equal(a, b)


def _weights(seed: int, *shape: int) -> Any:
    """None so weak that it could be lost."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.2, 0.5, shape) * rng.choice([-1, 1, 1], shape)


def test_other_weights_change_masks_and_biases_alone(net: Any, chip: Any) -> None:
    first = chip.map(net.chain(_weights(0, 5, 4), _weights(1, 3, 5)))
    second = chip.map(net.chain(_weights(2, 5, 4), _weights(3, 3, 5)), like=first)
    _same_wiring(first.config, second.config)
    assert not np.array_equal(first.config.cam.mask, second.config.cam.mask)
    # it computes as a mapping of its own
    fresh = chip.map(net.chain(_weights(2, 5, 4), _weights(3, 3, 5)))
    events = chip.regular(80, 200, 4)
    one, other = (chip.run(m, {"in": events}, 200 * chip.step).spikes["out"] for m in (second, fresh))
    np.testing.assert_array_equal(one, other)
    assert one.size


def test_a_sign_that_changes_takes_the_other_dendrite(net: Any, chip: Any) -> None:
    first = chip.map(net.layer([[0.4, 0.3]]))
    second = chip.map(net.layer([[0.4, -0.3]]), like=first)
    assert routes(first.config).dendrite.tolist() == [0, 0]
    assert routes(second.config).dendrite.tolist() == [0, 1]
    assert second.realised["fc", "weight"].ravel() == pytest.approx([0.4, -0.3], rel=0.05)


def test_a_weight_that_becomes_0_keeps_its_entry_for_later(net: Any, chip: Any) -> None:
    first = chip.map(net.layer([[0.4, 0.3]]))
    without = chip.map(net.layer([[0.4, 0.0]]), like=first)
    assert without.config.cam.mask[0].astype(bool).sum() == 1
    _same_wiring(first.config, without.config)
    again = chip.map(net.layer([[0.4, 0.3]]), like=without)
    np.testing.assert_array_equal(again.config.cam.mask, first.config.cam.mask)


def test_a_weight_that_was_0_has_no_entry(net: Any, chip: Any) -> None:
    first = chip.map(net.layer([[0.4, 0.0], [0.3, 0.2]]))
    with pytest.raises(ConfigError, match="would have to move things") as caught:
        chip.map(net.layer([[0.4, 0.1], [0.3, 0.2]]), like=first)
    (problem,) = caught.value.problems
    assert (problem.where, problem.value) == ("like", "1: 1 -> 0")
    assert "without a CAM entry" in problem.what


def test_other_populations_are_named_with_those_there(net: Any, chip: Any) -> None:
    first = chip.map(net.layer(_weights(0, 2, 2)))
    with pytest.raises(ConfigError) as caught:
        chip.map(net.layer(_weights(0, 3, 2)), like=first)
    problem = caught.value.problems[0]
    assert (problem.value, problem.limit) == ("n (3,)", "n (2,)")


def test_parameters_that_part_a_core_are_named_by_core(net: Any, chip: Any) -> None:
    first = chip.map(net.layer(_weights(0, 2, 2), tau_mem=20e-3))
    with pytest.raises(ConfigError) as caught:
        chip.map(net.layer(_weights(0, 2, 2), tau_mem=[20e-3, 30e-3]), like=first)
    (problem,) = caught.value.problems
    assert (problem.where, problem.value, problem.limit) == ("chip 0, core 0", 2, 1)


def test_one_other_time_constant_for_all_is_a_number(net: Any, chip: Any) -> None:
    first = chip.map(net.layer(_weights(0, 2, 2)))
    second = chip.map(net.layer(_weights(0, 2, 2), tau_mem=40e-3), like=first)
    assert second.realised["n", "tau_mem"] == pytest.approx([40e-3] * 2, rel=0.06)


def test_recording_others_takes_entries_that_are_not_there(net: Any, chip: Any) -> None:
    made = net.chain(_weights(0, 3, 2), _weights(1, 2, 3))
    first = chip.map(made)
    with pytest.raises(ConfigError, match="other neurons are recorded than there"):
        chip.map(made, like=first, record=["n0"])


def test_all_that_would_move_is_said_at_once(net: Any, chip: Any) -> None:
    first = chip.map(net.chain([[0.4, 0.0]], [[0.5]]))
    with pytest.raises(ConfigError) as caught:
        chip.map(net.chain([[0.4, 0.3]], [[0.5]]), like=first, record=["n0"])
    assert {p.where for p in caught.value.problems} == {"like", "record"}


def test_several_chips_are_those_of_the_earlier_mapping(net: Any, chip: Any) -> None:
    places = {"grid": (2, 1), "cores": {"n0": (4,), "n1": (0,)}}
    first = chip.map(net.chain(_weights(0, 3, 2), _weights(1, 2, 3)), **places)
    for more in ({}, places):
        second = chip.map(net.chain(_weights(2, 3, 2), _weights(3, 2, 3)), like=first, **more)
        _same_wiring(first.config, second.config)
        np.testing.assert_array_equal(second.config.chips.x, [1, 2])


def test_a_neuron_that_reaches_nobody_on_the_chip_to_the_west_any_more_is_not_recorded_for_that(
    net: Any, chip: Any
) -> None:
    first = chip.map(net.chain(_weights(0, 2, 2), np.eye(2)), grid=(2, 1), cores={"n0": (4,), "n1": (0,)})
    # a destination to the west stands there, and none to the host
    assert (first.config.sram.x_hop[:2, 0] == -1).all()
    second = chip.map(net.chain(_weights(0, 2, 2), [[1.0, 0.0], [0.0, 0.0]]), like=first)
    _same_wiring(first.config, second.config)


def test_a_mapping_of_another_device_is_no_model_for_it(net: Any, chip: Any) -> None:
    made = net.layer(_weights(0, 2, 2))
    other = hal.mapper("dynapse2-dynapsim").map(made.model)
    with pytest.raises(ConfigError, match="made for another device"):
        chip.map(made, like=other)
