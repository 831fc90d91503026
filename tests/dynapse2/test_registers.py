"""Latches, probes, placement and the report's rows: what was decided, read back where users see it."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

import hal
from hal.errors import ConfigError, DoesNotFitError
from hal.events import Probe
from hal_dynapse2.cells import Reader
from hal_dynapse2.limits import LATCHES
from hal_dynapse2.options import Dynapse2MapOptions
from hal_dynapse2.registers import grid
from hal_dynapse2.rows import core_name, who


def _rows(report: Any, resource: str) -> list[Any]:
    return [row for row in report.rows if row.resource == resource]


def test_a_grid_stands_in_rows_from_column_1() -> None:
    made = grid((3, 2))
    assert (made.x.tolist(), made.y.tolist()) == ([1, 2, 3, 1, 2, 3], [0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize("exponential", [False, True])
def test_latches_say_which_neurons_are_driven_and_how_spikes_start(net: Any, chip: Any, exponential: bool) -> None:
    config = chip.map(net.layer([[0.5], [0.5]], v_leak=[0.3, 0.0]), exponential=exponential).config
    on = {name: config.neurons.latch(name).tolist() for name in LATCHES if config.neurons.latch(name).any()}
    assert on == {"so_dc": [True, False]} | ({} if exponential else {"soif_type": [True, True]})


def test_a_probe_of_the_membrane_is_the_cores_monitored_neuron(net: Any, chip: Any) -> None:
    made = net.chain(np.ones((3, 1)), np.ones((2, 3)))
    where = {"cores": {"n0": (2,), "n1": (0,)}}
    config = chip.map(made, record=[Probe("n0", "imem", indices=[1]), Probe("n1", "imem", indices=[0])], **where).config
    neurons = config.neurons
    wanted = {2: int(neurons.neuron[1]), 0: int(neurons.neuron[3])}
    assert dict(zip(config.cores.core.tolist(), config.cores.monitored.tolist(), strict=True)) == wanted
    assert (chip.map(made, **where).config.cores.monitored == -1).all()


def test_two_membranes_of_a_core_are_refused_by_the_nodes_asked_for(net: Any, chip: Any) -> None:
    made = net.chain(np.ones((3, 1)), np.ones((2, 3)))
    with pytest.raises(ConfigError, match="too many probes of imem on chip 0, core 0") as caught:
        chip.map(made, record=[Probe("n0", "imem", indices=[0]), Probe("n1", "imem", indices=[1])])
    (problem,) = caught.value.problems
    assert problem.where == "record 'n0', 'n1'"
    assert problem.value == 2
    with pytest.raises(ConfigError, match="record 'n0'") as caught:
        chip.map(made, record=[Probe("n0", "imem")])
    assert caught.value.problems[0].value == 3


def test_the_vendors_simulator_shows_every_membrane(net: Any) -> None:
    mapping = hal.mapper("dynapse2-dynapsim").map(net.layer(np.ones((5, 1))).model, record=[Probe("n", "imem")])
    assert [(probe.node, probe.variable) for probe in mapping.record] == [("n", "imem")]


def test_the_placement_tells_tags_on_the_grid_and_to_the_host(net: Any, chip: Any) -> None:
    mapping = chip.map(net.chain(np.eye(3), [[0.5, 0.5, 0.0]]))
    config = mapping.config
    inner, last, host = mapping.where("n0"), mapping.where("n1"), mapping.where("in")
    assert (inner["monitor"] == -1).all()
    assert (inner["tag"][:2] >= 0).all()
    assert inner["tag"][2] == -1
    assert np.unique(inner["tag"][:2]).size == 2
    # n0's tags are those in the CAM of n1
    assert set(config.cam.tag[3][config.cam.mask[3] > 0].tolist()) == set(inner["tag"][:2].tolist())
    assert last["tag"].tolist() == [-1]
    assert last["monitor"].tolist() == [int(last["core"][0]) * 256 + int(last["neuron"][0])]
    assert (host["monitor"] == -1).all()
    assert sorted(host["tag"].tolist()) == sorted(config.host.tag.tolist())
    assert set(host["core"].tolist()) == {-1}


def test_channels_that_nobody_hears_have_no_tag(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer([[0.5, 0.0, 0.3]]))
    assert (mapping.where("in")["tag"] >= 0).tolist() == [True, False, True]


def test_populations_nobody_hears_are_noted_on_adoption(net: Any, chip: Any) -> None:
    mapping = chip.map(net.chain(np.ones((2, 1)), np.ones((3, 2))))
    adopted = hal.mapper("dynapse2").adopt(mapping.config)
    told = [(f.level, f.node, f.field, f.reason[0]) for f in adopted.fit.findings]
    assert told == [("note", "n0", "monitor", "2")]
    assert [port.name for port in adopted.outputs] == ["n0", "n1"]


# --- rows -------------------------------------------------------------------------------------------------------------


def test_the_report_counts_cores_neurons_entries_and_tags(net: Any, chip: Any) -> None:
    report = chip.check(net.chain(np.ones((300, 3)), np.ones((2, 300)) * np.eye(2, 300)))
    (cores,) = _rows(report, "cores")
    assert (cores.needed, cores.limit, cores.place) == (2, 4, "grid")
    assert sum(row.needed for row in _rows(report, "neurons")) == 302
    assert {row.limit for row in _rows(report, "neurons")} == {256}
    assert max(row.needed for row in _rows(report, "CAM entries")) == 3
    assert {row.needed for row in _rows(report, "SRAM entries")} == {1}
    assert all(row.needed >= 3 and row.limit == 2048 for row in _rows(report, "tags"))


def test_a_bigger_grid_has_more_cores(net: Any, chip: Any) -> None:
    assert _rows(chip.check(net.layer([[1.0]]), grid=(2, 3)), "cores")[0].limit == 24


def test_a_neuron_with_too_many_connections_is_named_with_place_and_index(net: Any, chip: Any) -> None:
    weight = np.zeros((3, 70))
    weight[1, :65] = weight[0, :64] = 1.0
    with pytest.raises(DoesNotFitError) as caught:
        chip.map(net.layer(weight))
    (row,) = [row for row in caught.value.report.rows if not row.ok and row.node]
    assert (row.resource, row.node, row.needed, row.limit) == ("CAM entries", "n", 65, 64)
    assert row.place == "chip 0, core 0, neuron 1 (n[1])"
    assert "fewer connections" in row.hint


def test_many_such_neurons_are_counted(net: Any, chip: Any) -> None:
    report = chip.check(net.layer(np.ones((100, 65))))
    assert len([row for row in report.rows if not row.ok and row.node == "n"]) == 64
    assert [f.reason for f in report.findings if f.field == "CAM"] == ["36 more neurons have too few CAM entries"]


def test_too_few_cores_say_how_many_are_needed_and_what_helps(net: Any, chip: Any) -> None:
    report = chip.check(net.layer(np.ones((5, 1)), tau_mem=np.linspace(10e-3, 50e-3, 5)))
    (row,) = [row for row in report.rows if not row.ok]
    assert (row.resource, row.needed, row.limit) == ("cores", 5, 4)
    assert "option grid" in row.hint
    assert "option tolerance" in row.hint


def test_placements_by_hand_that_cannot_be_are_refused_by_population_and_core(net: Any, chip: Any) -> None:
    made = net.chain(np.ones((1, 1)), np.ones((1, 1)))
    made.nodes["n1"] = attrs.evolve(made.nodes["n1"], tau_mem=np.array([30e-3]))
    found = chip.findings(made, "refused", cores={"n0": (1,), "n1": (1,)})
    assert [(f.node, f.field, f.wanted) for f in found] == [("n1", "cores", "chip 0, core 1")]
    found = chip.findings(net.layer(np.ones((300, 1))), "refused", cores={"n": (1,)})
    assert [(f.node, f.field, f.wanted) for f in found] == [("n", "cores", "chip 0, core 1")]


def test_rows_have_names(net: Any) -> None:
    cells = Reader(net.chain(np.ones((3, 1)), np.ones((2, 3))).model, Dynapse2MapOptions()).cells
    assert [who(cells, k) for k in range(5)] == [("n0", 0), ("n0", 1), ("n0", 2), ("n1", 0), ("n1", 1)]
    with pytest.raises(IndexError):
        who(cells, 5)
    assert core_name(6) == "chip 1, core 2"
