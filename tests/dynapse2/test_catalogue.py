"""The catalogue of bad inputs, row by row: what the vendor's tools crash on, misname or let pass in silence."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

import hal
from hal import nodes
from hal.errors import ConfigError, DoesNotFitError, ModelError
from hal_dynapse2.config import ChipsConfig, Dynapse2Config


def _refused(chip: Any, net: Any, **options: Any) -> list[tuple[str, str, Any, Any]]:
    """(where, what, value, limit) of everything that stands against it, from the error that `map` raises."""
    with pytest.raises(DoesNotFitError) as caught:
        chip.map(net, **options)
    report = caught.value.report
    assert not report.fits
    return [(row.node, row.resource, row.needed, row.limit) for row in report.rows if not row.ok] + [
        (f.node, f.field, f.wanted, f.realised) for f in report.findings if f.level == "refused"
    ]


def _problems(chip: Any, net: Any, **options: Any) -> list[tuple[str, Any, Any]]:
    with pytest.raises(ConfigError) as caught:
        chip.map(net, **options)
    return [(p.where, p.value, p.limit) for p in caught.value.problems]


def _adopt(config: Any) -> list[tuple[str, str, Any]]:
    with pytest.raises(ConfigError) as caught:
        hal.mapper("dynapse2").adopt(config)
    return [(p.where, p.what, p.value) for p in caught.value.problems]


def test_a_fan_in_of_65_from_inputs_alone(net: Any, chip: Any) -> None:
    assert _refused(chip, net.layer(np.ones((1, 65)))) == [("n", "CAM entries", 65, 64)]


def test_64_inputs_and_further_rows_that_are_zero_fit(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer(np.hstack([np.zeros((1, 5)), np.ones((1, 64)), np.zeros((1, 31))])))
    assert int((mapping.config.cam.mask[0] > 0).sum()) == 64
    assert len(mapping.losses) == 0


def test_inputs_and_recurrence_beyond_64_name_the_cam(net: Any, chip: Any) -> None:
    back = np.zeros((10, 10))
    back[3] = 0.1
    assert _refused(chip, net.recurrent(np.ones((10, 60)), back)) == [("n", "CAM entries", 70, 64)]


def test_tags_run_out_per_core_and_not_per_network(net: Any, chip: Any) -> None:
    weight = np.zeros((40, 2060))
    weight[np.arange(2060) // 60, np.arange(2060)] = 1.0
    assert _refused(chip, net.layer(weight)) == [("", "tags", 2060, 2048)]
    # 1024 neurons that hear each other and 100 channels need 2148 tags in the vendor's tools
    made = net.recurrent(np.ones((1024, 1)) * np.eye(1024, 100).sum(axis=1)[:, None], np.eye(1024)[::-1] * 0.1)
    assert chip.check(made).fits


def test_the_same_channels_on_two_cores_fit(net: Any, chip: Any) -> None:
    weight = np.zeros((40, 2060))
    weight[np.arange(2060) // 60, np.arange(2060)] = 1.0
    tau = np.where(np.arange(40) < 20, 20e-3, 30e-3)
    assert chip.check(net.layer(weight, tau_mem=tau)).fits


def test_shapes_that_do_not_match_name_the_edge() -> None:
    nir = pytest.importorskip("nir")
    one = np.ones(2)
    graph = nir.NIRGraph(
        nodes={
            "in": nir.Input({"input": np.array([3])}),
            "fc": nir.Linear(np.ones((2, 4))),
            "n": nir.CubaLIF(tau_syn=one, tau_mem=one, r=one, v_leak=one * 0, v_threshold=one, v_reset=one * 0),
            "out": nir.Output({"output": np.array([2])}),
        },
        edges=[("in", "fc"), ("fc", "n"), ("n", "out")],
        type_check=False,
    )
    with pytest.raises(ModelError, match="fc"):
        hal.mapper("dynapse2").map(graph)


def test_a_bias_of_a_linear_layer_is_a_direct_current(net: Any, chip: Any) -> None:
    made = net(1).dense("fc", "in", [[0.5]], 0.01).fire("n", "fc").out("n")
    assert chip.map(made).config.neurons.latch("so_dc").tolist() == [True]


def test_neurons_first_layers_in_a_row_and_connections_that_skip_all_map(net: Any, chip: Any) -> None:
    first = net(2).fire("n", "in").out("n")
    row = net(2).dense("a", "in", np.ones((3, 2)) * 0.2).dense("b", "a", np.ones((2, 3)) * 0.2).fire("n", "b").out("n")
    skip = net(2).dense("a", "in", np.ones((2, 2)) * 0.4).fire("m", "a").dense("b", "m", np.eye(2) * 0.4)
    skip.dense("s", "in", np.eye(2) * 0.4).fire("n", ["b", "s"]).out("n")
    for made in (first, row, skip):
        spikes = chip.run(chip.map(made), {"in": chip.regular(100, 100, 2)}, 100 * chip.step).spikes["out"]
        assert set(spikes["index"]) == {0, 1}


def test_weights_without_neurons(net: Any, chip: Any) -> None:
    told = _refused(chip, net(2).dense("a", "in", np.ones((3, 2))).out("a"))
    assert ("", "neurons", None, None) in told


def test_one_step_for_the_whole_model_is_all_there_can_be(net: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        _ = net.layer([[1.0]], semantics={"overrides": {"n": {"dt_ns": 5}}}).model
    assert caught.value.problems[0].where == "overrides['n'].dt_ns"


def test_a_negative_bias_is_named_with_its_value(net: Any, chip: Any) -> None:
    ((where, what, value, limit),) = _refused(chip, net(1).dense("fc", "in", [[0.5]], -0.01).fire("n", "fc").out("n"))
    assert (where, what, limit) == ("n", "bias", 0)
    assert value < 0


@pytest.mark.parametrize("threshold", [0.0, -1.0])
def test_a_threshold_of_0_is_refused(net: Any, chip: Any, threshold: float) -> None:
    told = _refused(chip, net.layer([[1.0]], v_threshold=threshold))
    assert told == [("n", "v_threshold", threshold, "above v_reset")]


def test_cores_are_counted_by_the_mapper_and_no_number_of_clusters_is_taken(net: Any, chip: Any) -> None:
    assert _problems(chip, net.layer([[1.0]]), n_cluster=2)[0][:2] == ("n_cluster", 2)
    assert _refused(chip, net.layer(np.ones((1025, 1)))) == [("", "cores", 5, 4)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"grid": (8, 1)}, ("grid[0]", 8, "1..7")),
        ({"tolerance": 2.0}, ("tolerance", 2.0, "0..1")),
        ({"entries": 0}, ("entries", 0, "1..64")),
        ({"iscale": -1.0}, ("iscale", -1.0, "1e-15..0.001 A")),
        ({"codes": {"fc": ((0, 16),)}}, ("codes['fc']", (0, 16), "code 0..15")),
        ({"codes": {"fc": ((0,),)}}, ("codes['fc']", (0,), "code 0..15")),
        ({"cores": {"n": (4,)}}, ("cores['n']", 4, "0..3")),
        ({"refractory_s": {"n": 0.0}}, ("refractory_s['n']", 0.0, "1e-07..1 s")),
        ({"synapse_s": 2.0}, ("synapse_s", 2.0, "1e-05..1 s")),
    ],
)
def test_options_out_of_range_are_named_with_value_and_limit(net: Any, chip: Any, options: Any, told: Any) -> None:
    assert _problems(chip, net.layer([[1.0]]), **options) == [told]


def test_all_options_that_are_wrong_are_told_at_once(net: Any, chip: Any) -> None:
    told = _problems(chip, net.layer([[1.0]]), method="magic", entries=0, tolerance=-1.0)
    assert {where for where, *_ in told} == {"method", "entries", "tolerance"}


def test_an_approximation_there_is_not_is_named_with_those_there_are(net: Any, chip: Any) -> None:
    told = _problems(chip, net.layer([[1.0]]), approximate=["leak"])
    assert told == [("approximate", "leak", "one of ['synapse', 'reset', 'delays', 'time_constants']")]


@pytest.fixture(scope="module")
def config(net: Any, chip: Any) -> Any:
    return chip.map(net.chain(np.full((3, 2), 0.5), np.full((2, 3), 0.5)), grid=(2, 1)).config


def _with(config: Any, table: str, **arrays: Any) -> Any:
    return attrs.evolve(config, **{table: attrs.evolve(getattr(config, table), **arrays)})


RANGES: dict[str, tuple[str, str, int, str]] = {
    "hop": ("sram", "x_hop", 8, "-7..7"),
    "hop to the south": ("sram", "y_hop", -8, "-7..7"),
    "mask of cores": ("sram", "core_mask", 16, "0..15"),
    "tag of a destination": ("sram", "tag", 2048, "0..2047"),
    "tag of an entry": ("cam", "tag", 2048, "0..2047"),
    "code": ("cam", "mask", 16, "0..15"),
    "host's hop": ("host", "x_hop", -8, "-7..7"),
    "host's tag": ("host", "tag", 2048, "0..2047"),
    "coarse": ("cores", "coarse", 6, "0..5"),
    "core": ("neurons", "core", 4, "0..3"),
    "core of a row": ("cores", "core", 4, "0..3"),
    "probe": ("cores", "monitored", 256, "-1..255"),
    "column": ("chips", "x", 8, "1..7"),
    "row": ("chips", "y", 8, "0..7"),
}


@pytest.mark.parametrize("case", RANGES)
def test_registers_out_of_range_are_named_by_table_field_and_value(config: Any, case: str) -> None:
    table, field, value, limit = RANGES[case]
    array = getattr(getattr(config, table), field).copy()
    array.flat[0] = value
    with pytest.raises(ConfigError) as caught:
        hal.mapper("dynapse2").adopt(_with(config, table, **{field: array}))
    told = [p for p in caught.value.problems if p.where.startswith(f"{table}.{field}")]
    assert len(told) == 1
    assert told[0].value == value
    assert limit in str(told[0].limit)


def test_every_fault_of_registers_is_told_at_once(config: Any) -> None:
    wrong = _with(config, "cam", tag=np.full_like(config.cam.tag, 2048))
    wrong = _with(wrong, "sram", x_hop=np.full_like(config.sram.x_hop, 8))
    wrong = _with(wrong, "cores", coarse=np.full_like(config.cores.coarse, 6))
    assert {where.partition("[")[0] for where, *_ in _adopt(wrong)} == {"cam.tag", "sram.x_hop", "cores.coarse"}


def test_rules_between_tables_are_told(config: Any) -> None:
    n = config.neurons.chip.size
    short = attrs.evolve(
        config.sram, **{a.name: getattr(config.sram, a.name)[:-1] for a in attrs.fields(type(config.sram))}
    )
    cases: list[tuple[Any, tuple[str, str, Any]]] = [
        (Dynapse2Config(), ("neurons", "a network has neurons", 0)),
        (attrs.evolve(config, sram=short), ("sram", "one row per neuron", n - 1)),
        (_with(config, "cam", stp=config.cam.stp[:-1]), ("cam.stp", "one row each", n - 1)),
        (_with(config, "host", channel=config.host.channel + 9), ("host.channel", "no such row", 10)),
        (
            _with(config, "neurons", neuron=np.zeros(n, np.uint8)),
            ("neurons.neuron", "no neuron twice", f"{n - 1} rows again"),
        ),
        (_with(config, "cores", core=config.cores.core + 1), ("cores", "a core in use has biases", "chip 0, core 0")),
        (
            attrs.evolve(config, chips=ChipsConfig(x=np.array([1, 1], np.uint8), y=np.zeros(2, np.uint8))),
            ("chips.x", "one chip at a place", 2),
        ),
        (
            attrs.evolve(config, chips=ChipsConfig(x=np.zeros(0, np.uint8), y=np.zeros(0, np.uint8))),
            ("neurons.chip", "no such row", 0),
        ),
        (attrs.evolve(config, inputs=config.inputs * 2), ("populations", "a name is used once", "in")),
        (
            attrs.evolve(config, populations=config.populations[::-1]),
            ("populations 'n1'", "must follow the one before", 3),
        ),
        (attrs.evolve(config, populations=config.populations[:1]), ("populations", "must cover all neurons", 3)),
        (
            _with(config, "cam", dendrite=np.full_like(config.cam.dendrite, 3)),
            ("cam.dendrite", "no such dendrite", 3),
        ),
    ]
    for wrong, (where, what, value) in cases:
        told = _adopt(wrong)
        assert any(w == where and t.startswith(what) and v == value for w, t, v in told), (where, told)


def test_a_readout_that_does_not_spike_is_left_to_the_host(net: Any, chip: Any) -> None:
    made = net(1).dense("fc", "in", [[0.5]]).fire("n", "fc").dense("r", "n", [[1.0]])
    made.put(nodes.LI, "li", "r", (1,), tau=np.array([0.01]), r=np.ones(1), v_leak=np.zeros(1)).out("li")
    mapping = chip.map(made)
    assert {fate.node: fate.fate for fate in mapping.fates if fate.node in ("n", "r", "li")} == {
        "n": "chip", "r": "host", "li": "host",
    }  # fmt: skip


@pytest.mark.parametrize("n", [257, 600])
def test_more_than_256_neurons_are_configured(net: Any, chip: Any, n: int) -> None:
    mapping = chip.map(net.layer(np.full((n, 1), 0.9)))
    spikes = chip.run(mapping, {"in": chip.events([(1, 0)])}, 10 * chip.step).spikes["out"]
    assert set(spikes["index"]) == set(range(n))


def test_chip_2_of_several_is_a_chip(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer([[0.9]]), grid=(3, 1), cores={"n": (8,)})
    assert chip.run(mapping, {"in": chip.events([(1, 0)])}, 10 * chip.step).spikes["out"].size > 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(net: Any, chip: Any, value: float) -> None:
    ((where, what, wanted, limit),) = _refused(chip, net.layer([[1.0, value]]))
    assert (where, what, limit) == ("fc", "weight", "finite numbers")
    np.testing.assert_equal(wanted, value)


def test_negative_codes_and_codes_of_16(net: Any, chip: Any) -> None:
    assert _problems(chip, net.layer([[1.0]]), codes={"fc": ((0, 16),)}) == [("codes['fc']", (0, 16), "code 0..15")]
    ((where, value, _),) = _problems(chip, net.layer([[1.0]]), codes={"fc": ((0, -1),)})
    assert where.startswith("codes['fc']")
    assert value == -1


def test_currents_out_of_range_are_told_with_what_is_set(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer([[0.5]]), iscale=1e-3)
    told = {f.field: (f.wanted, f.realised) for f in mapping.fit.changed}
    assert told["SOIF_SPKTHR_P"][1] == "8.53e-07 A"


def test_parameters_that_differ_take_cores_of_their_own(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer(np.ones((4, 1)), tau_mem=[10e-3, 100e-3, 10e-3, 100e-3]))
    core = mapping.where("n")["core"]
    assert core[0] == core[2] != core[1] == core[3]
    assert mapping.realised["n", "tau_mem"] == pytest.approx([10e-3, 100e-3] * 2, rel=0.08)
