"""What must be refused, and how it is said: models, registers, options, arrays."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import attrs
import hal
import numpy as np
import pytest
from hal import config as hal_config
from hal import nodes
from hal.model import Model

from hal_xylo.config import RunConfig, XyloConfig
from hal_xylo.emulator import Core
from hal_xylo.registers import Registers

PART = "xylo-audio2"


def refusals(model: Model, part: str = PART, **options: Any) -> dict[tuple[str, str], Any]:
    report = hal.mapper(part).check(model, options)
    assert not report.fits
    with pytest.raises(hal.DoesNotFitError):
        hal.mapper(part).map(model, options)
    return {(finding.node, finding.field): finding for finding in report.refused}


def with_nodes(model: Model, *added: nodes.Node, edges: Any, drop: Any = ()) -> Model:
    kept = [edge for edge in model.edges if edge not in drop]
    return Model.of({**model.nodes, **{node.name: node for node in added}}, [*kept, *edges], model.semantics)


def test_one_layer_of_neurons(chain: Any) -> None:
    found = refusals(chain([[9, 9]]))
    assert (found["", "layers"].wanted, found["", "layers"].realised) == (1, 2)
    assert "CubaLIF" in found["", "layers"].hint


def test_input_not_through_weights(chain: Any) -> None:
    model = chain([[9]], [[9]])
    direct = with_nodes(model, edges=[("input", "layer1")], drop=[("input", "fc1"), ("fc1", "layer1")])
    direct = Model.of({k: v for k, v in direct.nodes.items() if k != "fc1"}, direct.edges, model.semantics)
    assert "without weights" in refusals(direct)["layer1", "weight"].reason


def test_neurons_that_nothing_feeds(chain: Any, linear: Any) -> None:
    model = chain([[9]], [[9]])
    alone = attrs.evolve(model.nodes["layer1"], name="alone")
    found = refusals(with_nodes(model, alone, linear("more", 1, 1), edges=[("alone", "more"), ("more", "layer2")]))
    assert "nothing feeds" in found["alone", "input"].reason


def test_output_not_from_neurons(chain: Any, linear: Any) -> None:
    model = chain([[9]], [[9]])
    edges = [("layer2", "last"), ("last", "output")]
    weighted = with_nodes(model, linear("last", 1, 1), edges=edges, drop=[("layer2", "output")])
    # weights after the last spikes are the host's
    fates = {fate.node: fate.fate for fate in hal.mapper(PART).map(weighted).fates}
    assert (fates["layer2"], fates["last"]) == ("chip", "host")
    straight = with_nodes(model, edges=[("input", "output")])
    assert "no neurons between" in refusals(straight)["output", "input"].reason
    shape = {"input_shape": (1, 1, 1), "output_shape": (1, 1, 1)}
    pool = nodes.SumPool2d(name="last", kernel_size=(1, 1), stride=(1, 1), padding=(0, 0), **shape)
    image: dict[str, nodes.Node] = {
        name: attrs.evolve(model.nodes[name], **_image_of(model, name, shape)) for name in ("layer1", "layer2")
    }
    image |= {name: attrs.evolve(model.nodes[name], **shape) for name in ("input", "output")}
    image |= {"fc1": attrs.evolve(_convolution(), name="fc1"), "fc2": _convolution()}
    pooled = with_nodes(
        Model.of({**model.nodes, **image}, model.edges, model.semantics), pool, edges=edges, drop=[("layer2", "output")]
    )
    assert "SumPool2d between" in refusals(pooled)["last", "type"].reason


def _image_of(model: Model, name: str, shape: Any) -> dict[str, Any]:
    node: Any = model.nodes[name]
    return {**shape, **{key: np.reshape(getattr(node, key), (1, 1, 1)) for key in node.parameters}}


def _convolution() -> nodes.Conv2d:
    return nodes.Conv2d(
        name="fc2", input_shape=(1, 1, 1), output_shape=(1, 1, 1), weight=np.full((1, 1, 1, 1), 9.0), bias=np.zeros(1),
        stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1,
    )  # fmt: skip


def test_weights_in_a_row(chain: Any, linear: Any) -> None:
    model = chain([[9]], [[9]])
    two = with_nodes(model, linear("more", 1, 1), edges=[("fc1", "more"), ("more", "layer1")], drop=[("fc1", "layer1")])
    found = refusals(two)["more", "weight"]
    assert (found.wanted, found.realised) == (2, 1)
    assert "fc1, more" in found.reason


def test_recurrent_outputs_and_outputs_that_feed_neurons(chain: Any, linear: Any) -> None:
    model = chain([[9]], [[9]])
    own = with_nodes(model, linear("own", 1, 1), edges=[("layer2", "own"), ("own", "layer2")])
    assert "cannot be recurrent" in refusals(own)["layer2", "recurrence"].reason
    back = with_nodes(model, linear("back", 1, 1), edges=[("layer2", "back"), ("back", "layer1")])
    assert "feed layer1" in refusals(back)["layer2", "readout"].reason


def test_inputs_that_reach_outputs(chain: Any, linear: Any) -> None:
    model = chain([[9]], [[9]])
    past = with_nodes(model, linear("past", 1, 1), edges=[("input", "past"), ("past", "layer2")])
    assert "without hidden neurons" in refusals(past)["layer2", "input"].reason


def test_no_step(chain: Any, semantics: Any) -> None:
    assert ("", "dt_ns") in refusals(chain([[9]], [[9]], rule=attrs.evolve(semantics, dt_ns=None)))


@pytest.mark.parametrize("field", ["tau_mem", "tau_syn"])
@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_time_constants_of_a_step_or_less(field: str, tau: float, chain: Any) -> None:
    found = refusals(chain([[9]], [[9]], **{field: tau}))
    assert set(found) == {("layer1", field), ("layer2", field)}
    assert found["layer1", field].wanted == f"{tau:g} steps"
    assert "check dt" in found["layer1", field].hint


def test_three_synapses_two_on_an_output_two_on_imu(chain: Any, linear: Any) -> None:
    model = chain([[9]], [[9]])
    several = with_nodes(
        model,
        linear("x", 1, 1),
        linear("y", 1, 1),
        edges=[(a, b) for n in "xy" for a, b in (("input", n), (n, "layer1"))],
    )
    report = hal.mapper(PART).check(several, {"synapse2": {"x": 3, "y": 4}})
    assert [(r.node, r.needed, r.limit) for r in report.rows if not r.ok] == [("layer1", 3, 2)]
    found = refusals(model, synapse2={"fc2": 3})["layer2", "synapse2"]
    assert (found.wanted, found.realised) == (2, 1)
    assert ("layer1", "synapse2") in refusals(model, "xylo-imu", synapse2={"fc1": 3})


ONE: dict[str, Any] = {"name": "odd", "input_shape": (1,), "output_shape": (1,)}


@pytest.mark.parametrize(
    ("node", "field"),
    [
        (nodes.IF(**ONE, r=np.ones(1), v_threshold=np.ones(1), v_reset=np.zeros(1)), "neuron.if"),
        (nodes.Threshold(**ONE, threshold=np.ones(1)), "neuron.threshold"),
        (nodes.Delay(**ONE, delay=np.ones(1)), "delay.axonal"),
        (nodes.Scale(**ONE, scale=np.ones(1)), "type"),
    ],
)
def test_nodes_that_are_not_on_the_chip(node: Any, field: str, chain: Any) -> None:
    model = chain([[9]], [[9]])
    found = refusals(with_nodes(model, node, edges=[("input", "odd"), ("odd", "fc1")], drop=[("input", "fc1")]))
    assert ("odd", field) in found


def test_values_that_are_none(chain: Any) -> None:
    found = refusals(chain([[np.nan]], [[9]], v_threshold=np.inf))
    assert {("fc1", "weight"), ("layer1", "v_threshold")} <= set(found)


@pytest.mark.parametrize("threshold", [0.0, -3.0])
def test_thresholds_that_fire_for_ever(threshold: float, chain: Any) -> None:
    assert refusals(chain([[9]], [[9]], v_threshold=threshold))["layer1", "v_threshold"].wanted == threshold


@pytest.mark.parametrize(
    ("fields", "word", "option"),
    [
        ({"spike_reset": "value"}, "spike_reset", "reset"),
        ({"reset_delay": 1}, "reset_delay", "reset"),
        ({"fires_on": "old"}, "fires_on", "reset"),
        ({"v_min": -1.0}, "v_min", "v_min"),
        ({"edge_delay": 1}, "edge_delay", "delays"),
        ({"jump": "after", "membrane_sees": "undecayed"}, "jump, membrane_sees", "delays"),
    ],
)
def test_rules_the_chip_lacks_need_a_word_of_the_user(
    fields: Any, word: str, option: str, chain: Any, semantics: Any
) -> None:
    model = chain([[9]], [[9]], rule=attrs.evolve(semantics, **fields))
    found = refusals(model)
    assert word in {field for _, field in found}
    assert f"approximate={{'{option}'}}" in next(f.hint for (_, field), f in found.items() if field == word)
    report = hal.mapper(PART).check(model, {"approximate": [option]})
    assert report.fits
    assert word in {finding.field for finding in report.changed}


def test_starting_elsewhere_than_at_0(chain: Any, semantics: Any) -> None:
    model = chain([[9]], [[9]], rule=attrs.evolve(semantics, start_state=1.5))
    assert refusals(model)["layer1", "start_state"].wanted == 1.5


def test_a_bias_per_tick(chain: Any, semantics: Any) -> None:
    model = chain([[9]], [[9]], bias=1.0, rule=attrs.evolve(semantics, bias_meaning="per_tick"))
    assert ("fc1", "bias_meaning") in refusals(model)


def test_all_reasons_come_at_once(chain: Any) -> None:
    model = chain(np.full((1001, 17), 9.0), np.full((9, 1001), 9.0), tau_syn=0.5)
    report = hal.mapper(PART).check(model)
    over = {row.resource for row in report.rows if not row.ok}
    assert over == {"input channels", "hidden neurons", "output neurons"}
    assert {finding.field for finding in report.refused} == {"tau_syn"}


# --- options ----------------------------------------------------------------------------------------------------------


def test_options_that_name_nothing(chain: Any) -> None:
    model = chain([[9], [9]], [[9, 9]])
    found = refusals(model, synapse2={"fc9": 3}, alias={"layer1": ["nobody"]})
    assert found["", "synapse2"].wanted == "fc9"
    assert found["", "alias"].wanted == "nobody"
    assert ("", "alias") in refusals(model, alias={"layer2": ["layer1"]})


def test_an_alias_of_another_size(chain: Any) -> None:
    model = chain([[9], [9]], [[9, 9]], [[9]])
    found = refusals(model, alias={"layer1": ["layer2"]})["layer1", "alias"]
    assert (found.wanted, found.realised) == (1, 2)


@pytest.mark.parametrize(
    "options",
    [
        {"quantiser": "fuzzy"},
        {"synapse2": {"fc1": 16}},
        {"clock_hz": 0.0},
        {"alias": {"a": ["b", "b"]}},
        {"alias": ["a"]},
        {"fan_out": 65},
        {"approximate": ["leak"]},
    ],
)
def test_options_out_of_range(options: Any, chain: Any) -> None:
    with pytest.raises(hal.ConfigError) as caught:
        hal.mapper(PART).check(chain([[9]], [[9]]), options)
    assert next(iter(options)) in str(caught.value)


def test_numbers_that_are_no_registers(chain: Any) -> None:
    for numbers in ({"v_threshold": 4.5}, {"v_threshold": 40_000.0}, {"v_leak": 0.5}):
        found = refusals(chain([[9]], [[9]], **numbers), quantiser="registers")
        assert {("layer1", "weight"), ("layer2", "weight")} == set(found)
    assert ("layer1", "weight") in refusals(chain([[200]], [[9]]), quantiser="registers")


def test_hardware() -> None:
    with pytest.raises(hal.CapabilityError):
        hal.open(PART, kind="hardware")


@pytest.mark.parametrize("options", [{"clock_hz": 0.0}, {"overrun": "ignore"}])
def test_open_options_out_of_range(options: Any) -> None:
    with pytest.raises(hal.ConfigError):
        hal.open(PART, **options)


# --- registers --------------------------------------------------------------------------------------------------------


@pytest.fixture
def registers(chain: Any) -> XyloConfig:
    config = hal.mapper(PART).map(chain([[9, 9], [9, 5]], [[9, 9]])).config
    assert isinstance(config, XyloConfig)
    return config


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"w_in": np.zeros((2, 2), np.int8)}, "w_in"),
        ({"w_in": np.zeros((3, 2, 1), np.int8)}, "w_in"),
        ({"w_rec": np.zeros((2, 3, 1), np.int8)}, "w_rec"),
        ({"w_out": np.zeros((2, 1, 1), np.int8)}, "w_out"),
        ({"w_in": np.full((2, 2, 1), 200)}, "w_in"),
        ({"w_in": np.full((2, 2, 1), 0.5)}, "w_in"),
        ({"threshold": np.array([0, 5])}, "threshold"),
        ({"threshold": np.array([5])}, "threshold"),
        ({"threshold": np.array([40_000, 5])}, "threshold"),
        ({"dash_mem": np.array([16, 1])}, "dash_mem"),
        ({"dash_mem": np.zeros(0, np.uint8)}, "dash_mem"),
        ({"dash_syn": np.array([[300], [1]])}, "dash_syn"),
        ({"bias": np.array([1])}, "bias"),
        ({"alias": np.array([2, -1])}, "alias"),
        ({"alias": np.array([-1])}, "alias"),
        ({"shift_in": 8}, "shift_in"),
        ({"shift_out": -1}, "shift_out"),
        ({"part": "xylo-audio9"}, "part"),
        ({"inputs": (RunConfig(name="input", shape=(17,)),)}, "inputs"),
        ({"inputs": (RunConfig(name="layer1", shape=(2,)),)}, "layer1"),
    ],
)
def test_registers_of_wrong_shape_or_range(changes: Any, word: str, registers: XyloConfig) -> None:
    with pytest.raises(hal.ConfigError) as caught:
        hal_config.check(attrs.evolve(registers, **changes), "registers")
    assert any(word in f"{problem.where} {problem}" for problem in caught.value.problems)


def test_registers_beyond_the_part(registers: XyloConfig) -> None:
    wide = attrs.evolve(
        registers,
        part="xylo-imu",
        populations=(RunConfig(name="layer1", shape=(130,)),),
        w_in=np.ones((2, 130, 2), np.int8),
        w_rec=np.zeros((130, 130, 2), np.int8),
        w_out=np.ones((130, 1), np.int8),
        **{name: np.full(130, 3) for name in ("dash_mem", "threshold", "bias")},
        dash_syn=np.full((130, 2), 3),
        alias=np.full(130, -1),
    )
    with pytest.raises(hal.ConfigError) as caught:
        hal_config.check(wide, "registers")
    said = {problem.where: (problem.value, problem.limit) for problem in caught.value.problems}
    assert said["dash_syn"] == (2, "1..1")
    assert said["w_in"] == (130, "1..128")
    assert said["w_out"] == (130, "1..128")


def test_registers_of_another_part(registers: XyloConfig) -> None:
    with pytest.raises(hal.DoesNotFitError) as caught:
        hal.mapper("xylo-audio3").adopt(registers)
    assert "xylo-audio2" in str(caught.value)


def test_edited_registers_keep_what_is_where(chain: Any) -> None:
    mapping = hal.mapper(PART).map(chain([[9, 9], [9, 5]], [[9, 9]]))
    renamed = attrs.evolve(mapping.config, populations=(RunConfig(name="other", shape=(2,)),), step_ns=5)
    with pytest.raises(hal.DoesNotFitError) as caught:
        mapping.with_config(renamed)
    assert {finding.field for finding in caught.value.report.refused} == {"populations", "step_ns"}


def test_a_probe_on_what_outputs_lack(chain: Any) -> None:
    model = chain([[9]], [[9]])
    with pytest.raises(hal.ConfigError) as caught:
        hal.mapper(PART).map(model, record=[hal.Probe("layer2", "i_syn2")])
    assert "one current" in str(caught.value)
    with pytest.raises(hal.ConfigError):
        hal.mapper("xylo-imu").map(model, record=[hal.Probe("layer1", "i_syn2")])


# --- the emulator by itself -------------------------------------------------------------------------------------------


def plain(**changes: Any) -> Registers:
    values: dict[str, Any] = {
        "w_in": np.ones((1, 2, 1)), "w_rec": np.zeros((2, 2, 1)), "w_out": np.ones((2, 1)),
        "threshold": np.full(2, 9), "threshold_out": np.full(1, 9),
        "dash_mem": np.full(2, 2), "dash_mem_out": np.full(1, 2), "dash_syn": np.full((2, 1), 1),
        "dash_syn_out": np.full(1, 1),
    }  # fmt: skip
    return Registers(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"w_rec": np.zeros((2, 3, 1))}, "w_rec"),
        ({"threshold": np.zeros(0)}, "threshold"),
        ({"bias": np.zeros(1)}, "bias"),
        ({"dash_mem": np.full(2, 32)}, "dash_mem"),
        ({"dash_syn": np.full((2, 1), -1)}, "dash_syn"),
        ({"alias": np.array([[0, 2]])}, "alias"),
        ({"shift_in": -1}, "shift"),
        ({"dash_syn": np.ones((2, 3)), "w_in": np.ones((1, 2, 3)), "w_rec": np.ones((2, 2, 3))}, "synapses"),
    ],
)
def test_a_core_refuses_what_does_not_go_together(changes: Any, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Core(plain(**changes))


def test_a_core_refuses_rasters_of_other_inputs_and_counts_below_0() -> None:
    core = Core(plain())
    with pytest.raises(ValueError, match="shape"):
        core.run(np.zeros((3, 2), int))
    with pytest.raises(ValueError, match="below 0"):
        core.run(np.full((3, 1), -1))
    with pytest.raises(ValueError, match="v3"):
        Core(plain(), "v3")  # type: ignore[arg-type]


def test_the_same_faults_are_found_in_any_order_of_edges(chain: Any) -> None:
    model = chain([[9]])
    turned = Model.of(dict(reversed(model.nodes.items())), list(reversed(model.edges)), model.semantics)
    one, two = (hal.mapper(PART).check(each).to_json() for each in (model, turned))
    assert one == two
    assert len(list(pairwise(model.edges))) == len(model.edges) - 1
