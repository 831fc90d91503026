"""Registers and targets as arrays: a round trip through JSON, and every rule by where, value and limit."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hal import config as config_module
from hal.errors import ConfigError
from hal_brainscales2.config import BackgroundConfig, BrainScaleS2Config
from hal_brainscales2.options import MapOptions, OpenOptions

QUICK = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
evolve = attrs.evolve


@pytest.fixture(scope="module")
def config(chip: Any, graph: Any) -> BrainScaleS2Config:
    """Two neurons in columns 0 and 1, two channels."""
    return chip.map(graph.layer(np.ones((2, 2)))).config


def through_json(config: Any) -> Any:
    text = json.dumps(config_module.to_json(config))
    return config_module.from_json(type(config), json.loads(text))


def part(config: Any, name: str, **values: Any) -> Any:
    return evolve(config, **{name: evolve(getattr(config, name), **values)})


@QUICK
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    circuits=st.integers(1, 3),
    dt_ns=st.sampled_from([None, 1000]),
    dense=st.booleans(),
)
def test_registers_survive_json_to_the_last_bit(
    chip: Any, graph: Any, seed: int, sizes: list[int], circuits: int, dt_ns: int | None, dense: bool
) -> None:
    random = np.random.default_rng(seed)
    weights = [random.normal(0, 1, (post, pre)) for pre, post in itertools.pairwise(sizes)]
    taus = {"tau_mem": random.uniform(5e-6, 40e-6), "tau_syn": random.uniform(2e-6, 20e-6)}
    model = graph.chain(*weights, semantics={"dt_ns": dt_ns}, v_threshold=random.uniform(0.5, 2), **taus)
    mapping = chip.map(model, circuits={"n0": circuits}, dense=dense)
    routing = mapping.config.routing
    edited = evolve(
        part(
            mapping.config,
            "routing",
            weight=random.integers(0, 64, routing.weight.shape).astype(np.uint8),
            row_sign=random.integers(-1, 2, routing.row_sign.shape).astype(np.int8),
            crossbar_mask=random.integers(0, 2**14, routing.crossbar_mask.shape).astype(np.uint16),
        ),
        rest=random.normal(0, 1, mapping.config.size),
        scale=float(random.uniform(1, 100)),
        madc=(0,),
        background=evolve(mapping.config.background, seed=random.integers(0, 2**32, 8).astype(np.uint32)),
    )
    for made in (mapping.config, edited):
        again = through_json(made)
        assert again == made
        assert again.rest.tobytes() == made.rest.tobytes()
        for name in ("weight", "row_sign", "crossbar_mask"):
            kept = getattr(again.routing, name)
            assert kept.dtype == getattr(made.routing, name).dtype
            np.testing.assert_array_equal(kept, getattr(made.routing, name))
    assert (through_json(edited) == mapping.config) is False


def test_adopted_registers_run_as_the_mapping_that_they_are_of(chip: Any, config: BrainScaleS2Config) -> None:
    adopted = chip.adopt(through_json(config))
    assert adopted.config == config
    assert [(port.name, port.shape) for port in adopted.inputs] == [("in", (2,))]
    assert [(port.name, port.shape) for port in adopted.outputs] == [("n", (2,))]
    assert (adopted.step_ns, adopted.speedup) == (config.step_ns, config.speedup)


@pytest.mark.parametrize("made", [MapOptions(), OpenOptions(preset="mock", spread=0.1), BackgroundConfig()])
def test_options_survive_json(made: Any) -> None:
    assert through_json(made) == made


def test_options_of_populations_survive_json() -> None:
    made = MapOptions(places={"n": (3, 4)}, circuits={"n": 2}, copies={"fc": 3}, hemisphere={"n": 1})
    assert through_json(made) == made


# --- rules ------------------------------------------------------------------------------------------------------------

Edit = Callable[[Any], Any]
RULES: list[tuple[str, Edit, list[tuple[str, Any, Any]]]] = [
    ("none", lambda c: BrainScaleS2Config(), [("neuron_label", 0, "1 or more")]),
    (
        "more circuits than neurons",
        lambda c: part(c, "circuits", circuit=np.array([0, 1, 2])),
        [("circuits.neuron", 2, 3)],
    ),
    (
        "circuit twice",
        lambda c: part(c, "circuits", circuit=np.array([7, 7])),
        [("circuits.circuit", 7, "one of 0..511 each")],
    ),
    (
        "no such circuit",
        lambda c: part(c, "circuits", circuit=np.array([0, 512])),
        [("circuits.circuit[1]", 512, "uint16 in 0..511")],
    ),
    (
        "neuron without circuits",
        lambda c: part(c, "circuits", neuron=np.array([0, 2])),
        [("circuits.neuron", 1, "1 circuit or more")],
    ),
    (
        "neurons out of order",
        lambda c: part(c, "circuits", neuron=np.array([1, 0])),
        [("circuits.neuron", None, "non-decreasing")],
    ),
    (
        "over both blocks",
        lambda c: part(c, "circuits", circuit=np.array([0, 130, 300]), neuron=np.array([0, 0, 1])),
        [("circuits.neuron 0", [0, 130], "columns 0..127 or 128..255")],
    ),
    (
        "targets of other sizes",
        lambda c: part(c, "targets", tau_mem=np.full(3, 1e-5), comparator=np.ones(1, bool)),
        [("targets.tau_mem", 3, 2), ("targets.comparator", 1, 2)],
    ),
    (
        "threshold at the leak",
        lambda c: part(c, "targets", threshold=np.array([150.0, 80.0])),
        [("targets.threshold[1]", 80.0, "> 80.0")],
    ),
    (
        "targets that cannot be tried",
        lambda c: part(c, "targets", tau_mem=np.array([2.1e-3, 1e-5]), tau_syn=np.array([1e-5, 120e-6])),
        [
            ("targets.tau_mem[0]", 2.1e-3, "float64 in 1e-07..0.002"),
            ("targets.tau_syn[1]", 120e-6, "float64 in 1e-07..0.0001"),
        ],
    ),
    (
        "capmem codes",
        lambda c: part(c, "targets", i_synin_gm=np.array([500, 1023])),
        [("targets.i_synin_gm[1]", 1023, "uint16 in 0..1022")],
    ),
    ("dac bias", lambda c: evolve(c, synapse_dac_bias=1023), [("synapse_dac_bias", 1023, "0..1022")]),
    (
        "refractory of other sizes",
        lambda c: part(c, "refractory", holdoff_code=np.array([15]), fast=np.ones(3, bool)),
        [("refractory.holdoff_code", 1, 2), ("refractory.fast", 3, 2)],
    ),
    (
        "reset that never ends",
        lambda c: part(c, "refractory", counter=np.array([29, 8]), holdoff_code=np.array([1, 11])),
        [("refractory.counter[1]", 8, ">= 9")],
    ),
    ("clock", lambda c: part(c, "refractory", fast_scale=16), [("refractory.fast_scale", 16, "0..15")]),
    (
        "event output of another column",
        lambda c: evolve(c, neuron_label=np.array([0, 256], np.uint16)),
        [("neuron_label[1]", 256, "0..255")],
    ),
    (
        "channel",
        lambda c: part(c, "host", channel=np.array([0, 2], np.int32)),
        [("host.channel", 2, "0..1")],
    ),
    ("fast ADC", lambda c: evolve(c, madc=(0, 1, 1)), [("madc", 3, 2)]),
    ("fast ADC of nobody", lambda c: evolve(c, madc=(2, 9)), [("madc", 2, "0..1"), ("madc", 9, "0..1")]),
    ("column ADC of nobody", lambda c: evolve(c, cadc=np.array([2])), [("cadc", 2, "0..1")]),
    ("name twice", lambda c: evolve(c, inputs=c.inputs * 2), [("populations", "in", None)]),
    (
        "gap between runs",
        lambda c: evolve(c, populations=(evolve(c.populations[0], first=1, shape=(1,)),)),
        [("populations 'n'", 1, 0)],
    ),
    (
        "neurons in no run",
        lambda c: evolve(c, populations=(evolve(c.populations[0], shape=(1,)),)),
        [("populations", 1, 2)],
    ),
    ("units", lambda c: evolve(c, unit=np.ones(1), rest=np.zeros(3)), [("unit", 1, 2), ("rest", 3, 2)]),
    ("speedup", lambda c: evolve(c, speedup=0.0), [("speedup", 0.0, "1e-06..1000000000000000")]),
    ("step", lambda c: evolve(c, step_ns=0), [("step_ns", 0, "1.. ns")]),
]


@pytest.mark.parametrize(("edit", "wanted"), [row[1:] for row in RULES], ids=[row[0] for row in RULES])
def test_a_rule_that_is_broken_is_named(
    chip: Any, config: BrainScaleS2Config, edit: Edit, wanted: list[tuple[str, Any, Any]]
) -> None:
    with pytest.raises(ConfigError) as caught:
        chip.adopt(edit(config))
    assert [(p.where, p.value, p.limit) for p in caught.value.problems] == wanted


def test_a_counter_as_long_as_the_holdoff_is_no_problem(chip: Any, config: BrainScaleS2Config) -> None:
    edited = part(config, "refractory", counter=np.array([29, 9]), holdoff_code=np.array([1, 11]))
    assert chip.adopt(edited).fit.fits


def test_all_rules_that_are_broken_are_told_at_once(chip: Any, config: BrainScaleS2Config) -> None:
    edited = evolve(config, madc=(5,), cadc=np.array([3]), unit=np.ones(1))
    for broken, where in (
        (part(edited, "host", channel=np.array([0, 4])), {"madc", "cadc", "unit", "host.channel"}),
        (
            part(part(edited, "targets", tau_mem=np.ones(2)), "refractory", slow_scale=99),
            {
                "targets.tau_mem[0]",
                "refractory.slow_scale",
            },
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            chip.adopt(broken)
        assert {p.where for p in caught.value.problems} == where


def test_registers_of_another_shape_are_refused(chip: Any, config: BrainScaleS2Config) -> None:
    with pytest.raises(ConfigError) as caught:
        chip.adopt(part(config, "routing", weight=np.zeros((2, 256, 255), np.uint8)))
    (problem,) = caught.value.problems
    assert problem.where == "routing.weight"
    assert "(2, 256, 255)" in str(problem.value)


def test_json_that_is_no_configuration_is_refused(config: BrainScaleS2Config) -> None:
    tree = config_module.to_json(config)
    tree["synapse_dac_bias"] = "high"
    tree["nonsense"] = 1
    with pytest.raises(ConfigError) as caught:
        config_module.from_json(BrainScaleS2Config, tree)
    assert [p.what for p in caught.value.problems] == [
        "invalid value for type, expected int @ BrainScaleS2Config.synapse_dac_bias",
        "extra fields found (nonsense) @ BrainScaleS2Config",
    ]
