"""Two recordings, two mappings: where they part."""

from __future__ import annotations

import json
import re
from typing import Any

import attrs
import numpy as np
import pytest

import hal

MS = 1_000_000


def record(model: hal.Model, times: list[int], device: str = "speck2f", **options: Any) -> hal.Recording:
    mapping = hal.mapper(device).map(model, record=["cells"])
    with hal.open(device, **options) as chip:
        chip.load(mapping)
        return chip.run({"input": hal.events(np.array(times), np.arange(len(times)) % 2)}, 10 * MS)


@pytest.fixture(scope="module")
def model(net: Any) -> hal.Model:
    return net.relay(2, dt_ns=MS)


def test_equal_recordings(model: hal.Model) -> None:
    found = hal.difference(record(model, [0, MS]), record(model, [0, MS]))
    assert (found.same, found.first, found.facts, found.lines()) == (True, None, (), [])
    assert [(row.node, row.first, row.second) for row in found.nodes] == [("output", 2, 2), ("cells", 2, 2)]


def test_the_first_event_that_is_not_in_both(model: hal.Model) -> None:
    first = record(model, [0, MS, 4 * MS], rate=None)
    second = record(model, [0, 2 * MS], rate=None)
    found = hal.difference(first, second)
    assert not found.same
    assert found.first is not None
    assert (found.first.t_ns, found.first.index, found.first.node) == (MS, 1, "output")
    row = found.nodes[1]
    assert (row.node, row.first, row.second, row.match.matched, row.match.count_error) == ("cells", 3, 2, 1, 1)
    assert any(change.path.startswith("stimulus") for change in found.facts)
    assert any(change.path == "stats.synops[0]" or change.path == "stats.synops" for change in found.facts)
    assert found.lines()[0] == f"first difference at {MS} ns: neuron 1 of output"
    assert hal.difference(first, second, window_ns=MS).nodes[1].match.matched == 2
    assert json.loads(json.dumps(found.to_json()))["first"]["t_ns"] == MS


def test_a_node_that_one_has_alone(model: hal.Model) -> None:
    first = record(model, [0])
    second = attrs.evolve(first, header=attrs.evolve(first.header, nodes={"output": (2,)}))
    found = hal.difference(first, second)
    assert not found.same
    assert [(row.node, row.second, row.match is None) for row in found.nodes] == [
        ("output", 1, False),
        ("cells", None, True),
    ]
    other = attrs.evolve(first, header=attrs.evolve(first.header, nodes={"output": (2,), "cells": (3,)}))
    with pytest.raises(hal.ConfigError, match="another shape"):
        hal.difference(first, other)


def test_values_of_an_output(net: Any) -> None:
    model = net.readout(2)
    first, second = (record(model, times, "ideal") for times in ([0, MS], [0]))
    assert hal.difference(first, first).same
    found = hal.difference(first, second)
    assert found.signals["output"] > 0
    assert any("values differ" in line for line in found.lines())
    short = attrs.evolve(first, signals={})
    assert hal.difference(first, short).signals["output"] == np.inf


def test_what_moved_and_what_is_written_elsewhere(model: hal.Model) -> None:
    mapper = hal.mapper("speck2f")
    first, second = mapper.map(model), mapper.map(model, {"fixed_cores": {"cells": 5}})
    assert hal.difference(first, first).same
    found = hal.difference(first, second)
    assert not found.same
    ((node, count, before, after),) = map(attrs.astuple, found.moved)
    assert (node, count, before, after) == ("cells", 2, ((0, 0),), ((0, 5),))
    assert any(change.path.startswith("options.fixed_cores") for change in found.facts)
    assert found.registers
    assert "cells: 2 of its neurons moved, core 0 -> core 5" in found.lines()
    assert json.loads(json.dumps(found.to_json()))["moved"][0]["count"] == 2
    # many registers of two layers are told by layer
    assert any(re.fullmatch(r"cnn_layers\[0\]: \d+ fields differ", line) for line in found.lines())


def test_recordings_tell_what_moved_in_between(model: hal.Model) -> None:
    made = []
    for core in (0, 5):
        mapping = hal.mapper("speck2f").map(model, {"fixed_cores": {"cells": core}}, record=["cells"])
        with hal.open("speck2f") as chip:
            chip.load(mapping)
            made.append(chip.run({"input": hal.events([0], [0])}, MS))
    found = hal.difference(*made)
    assert found.same
    assert found.mappings is not None
    assert "cells: 2 of its neurons moved, core 0 -> core 5" in found.lines()
    assert json.loads(json.dumps(found.to_json()))["mappings"]["moved"][0]["node"] == "cells"
    forgotten = attrs.evolve(made[0], header=attrs.evolve(made[0].header, mapping=None))
    assert hal.difference(forgotten, made[1]).mappings is None


def test_one_register(model: hal.Model) -> None:
    first = hal.mapper("loihi").map(model, {"approximate": {"reset"}})
    weights = attrs.evolve(model.nodes["fc"], weight=np.eye(2, dtype=np.float32) * 0.5)
    other = hal.Model.of({**model.nodes, "fc": weights}, model.edges, model.semantics)
    second = hal.mapper("loihi").map(other, {"approximate": {"reset"}})
    found = hal.difference(first, second)
    assert found.moved == ()
    assert [change.path for change in found.facts] == ["model"]
    assert len(found.registers) > 0
    assert all(str(change).startswith(change.path) for change in found.registers)


def test_other_devices_have_other_registers(model: hal.Model) -> None:
    found = hal.difference(hal.mapper("speck2f").map(model), hal.mapper("speck2e").map(model))
    assert found.registers == ()
    assert found.facts[0].path == "device"


def test_a_kind_with_another(model: hal.Model) -> None:
    with pytest.raises(hal.ConfigError, match="two recordings or two mappings"):
        hal.difference(record(model, [0]), hal.mapper("speck2f").map(model))  # type: ignore[arg-type]
