"""From models to registers and places: time over paths, inputs, options, blocks, chips, edits, adopted registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest

import hal
from hal import nodes
from hal.agreement import agreement
from hal.errors import ConfigError, DoesNotFitError
from hal_loihi.config import LoihiConfig


def agree(loihi: Any, model: Any, names: Any, steps: int = 120, seed: int = 0, **options: Any) -> None:
    """Every population fires as in `ideal`, once its latency is taken off."""
    rng = np.random.default_rng(seed)
    stimulus = {name: loihi.noise(rng, model.nodes[name].size, steps) for name in model.inputs}
    mapping = loihi.map(model, record=names, **options)
    assert not mapping.fit.changed
    most = max(mapping.latency_ns.values())
    run = loihi.run(mapping, stimulus, steps + most // loihi.step)
    ideal = loihi.ideal(model, stimulus, steps, names)
    for name in names:
        late = mapping.latency_ns[name]
        spikes = run.spikes[name]
        spikes = spikes[spikes["t"] < steps * loihi.step + late]
        found = agreement(spikes, ideal.spikes[name], model.nodes[name].size, latency_ns=late)
        assert found.share == 1.0, (name, found)
        assert found.reference > 0, name


def skipping(net: Any) -> Any:
    """in -> a -> b -> c, in -> c and a -> c: three ways of different length into c."""
    rng = np.random.default_rng(1)

    def weights(*shape: int) -> Any:
        return rng.choice([-128, 128, 256, 384], shape)

    made = net(6).dense("wa", "in", weights(5, 6)).fire("a", "wa").dense("wb", "a", weights(4, 5)).fire("b", "wb")
    made.dense("bc", "b", weights(4, 4)).dense("ac", "a", weights(4, 5)).dense("ic", "in", weights(4, 6))
    return made.fire("c", ["bc", "ac", "ic"]).out("c")


def test_paths_of_different_length_keep_the_models_time(loihi: Any, net: Any) -> None:
    model = skipping(net).model()
    mapping = loihi.map(model)
    assert {name: mapping.latency_ns[name] // loihi.step for name in "abc"} == {"a": 1, "b": 2, "c": 3}
    assert mapping.latency_ns["out"] == 3 * loihi.step
    s, first = mapping.config.synapses, {p.name: p.first for p in mapping.config.populations}
    into_c = s.target >= first["c"]
    source = np.repeat(np.arange(s.indptr.size - 1), np.diff(s.indptr)) - 6
    waits = {"in": source < 0, "a": (source >= 0) & (source < 5), "b": source >= 5}
    assert {name: set(s.delay[into_c & mine].tolist()) for name, mine in waits.items()} == {
        "in": {2}, "a": {1}, "b": {0},
    }  # fmt: skip
    agree(loihi, model, ["a", "b", "c"])


def test_a_loop_is_late_as_a_whole(loihi: Any, net: Any) -> None:
    made = skipping(net).dense("back", "c", np.full((4, 4), -128)).dense("x", "c", np.full((2, 4), 256))
    made.link("back", "b").fire("x_n", "x").out("x_n", "last")
    agree(loihi, made.model(), ["a", "b", "c", "x_n"])


def test_several_inputs(loihi: Any, net: Any) -> None:
    made = net(3, name="z").source("b", 2).dense("wz", "z", np.full((4, 3), 256)).dense("wb", "b", np.eye(4, 2) * 512)
    model = made.fire("n", ["wz", "wb"]).out("n").model()
    assert [port.name for port in loihi.map(model).inputs] == ["b", "z"]
    agree(loihi, model, ["n"])
    mapping = loihi.map(model)
    alone = loihi.run(mapping, {"b": loihi.events([(0, 1), (1, 1)])}, 4).spikes["out"]
    assert alone.tolist() == [(2 * loihi.step, 1)]


@pytest.mark.parametrize("k", [1, 2, 5, 63])
def test_refract_delay(k: int, loihi: Any, net: Any) -> None:
    model = net(1).dense("w", "in", [[1280]]).fire("n", "w").out("n").model()
    mapping = loihi.map(model, refract_delay={"n": k})
    assert mapping.config.compartments.refract_delay.tolist() == [k]
    spikes = loihi.run(mapping, {"in": loihi.events([(s, 0) for s in range(130)])}, 130).spikes["out"]
    assert set(np.diff(spikes["t"] // loihi.step).tolist()) == {k}


# --- blocks and chips -------------------------------------------------------------------------------------------------


def wide(net: Any, side: int = 40) -> Any:
    """side * side neurons, each fed by its pixel."""
    return net(1, side, side).conv("w", "in", [[[[640.5]]]]).fire("n", "w", v_threshold=600).out("n").model()


def test_blocks_by_hand(loihi: Any, net: Any) -> None:
    mapping = loihi.map(wide(net, 8), block_shape={"n": (4, 8, 1)}, allocator="greedy")
    assert mapping.where("n")["core"].tolist() == [0] * 32 + [1] * 32
    assert mapping.where("n")["neuron"].tolist() == [*range(32), *range(32)]
    assert mapping.who(0, 1, 5) == ("n", 37)
    agree(loihi, wide(net, 8), ["n"], block_shape={"n": (4, 8, 1)}, allocator="greedy")


@pytest.mark.parametrize(
    ("shapes", "node"), [({"m": (1,)}, "m"), ({"n": (4, 4)}, "n"), ({"n": (4,)}, "n"), ({"w": (1, 1, 1)}, "w")]
)
def test_blocks_by_hand_that_are_none(shapes: Any, node: str, loihi: Any, net: Any) -> None:
    model = wide(net, 8)
    finding = loihi.one(model, "refused", node, "block_shape", block_shape=shapes)
    assert "there are: n" in finding.hint or "rows, columns, channels" in finding.hint


def test_a_block_that_is_too_large_names_its_amount_and_a_shape_that_fits(loihi: Any, net: Any) -> None:
    model = wide(net)
    with pytest.raises(DoesNotFitError) as error:
        loihi.map(model, block_shape={"n": (40, 40, 1)})
    (row,) = (row for row in error.value.report.rows if not row.ok)
    assert (row.resource, row.place, row.node, row.needed, row.limit) == ("compartments", "block n", "n", 1600, 1024)
    shape = tuple(int(n) for n in row.hint.split("(")[1].split(")")[0].split(","))
    assert loihi.map(model, block_shape={"n": shape}).fit.fits


def test_too_many_cores_name_the_chips_needed(loihi: Any, net: Any) -> None:
    model = wide(net, 50)
    with pytest.raises(DoesNotFitError) as error:
        loihi.map(model, cores_per_chip=1)
    (row,) = (row for row in error.value.report.rows if not row.ok)
    assert (row.resource, row.needed, row.limit, row.hint) == ("cores", 3, 1, "chips=3")
    assert loihi.map(model, cores_per_chip=1, chips=3).where("n")["chip"].max() == 2


def test_rows_of_what_fits(loihi: Any, net: Any) -> None:
    rows = {(row.resource, row.node): row for row in loihi.map(wide(net)).fit.rows}
    assert rows["cores", ""].needed == 2
    assert rows["compartments", "n"].place == "fullest of 2 cores"
    assert 800 <= rows["compartments", "n"].needed <= 1024
    assert {resource for resource, _ in rows} == {"cores", "compartments", "in axons", "out axons", "synapse bits"}


@pytest.mark.parametrize("allocator", ["packed", "greedy", "round_robin", "interchip"])
def test_chips_change_no_spike(allocator: str, loihi: Any, net: Any) -> None:
    rng = np.random.default_rng(3)
    made = net(2, 9, 9).conv("w", "in", rng.integers(-3, 5, (4, 2, 3, 3)) * 128).fire("a", "w")
    made.conv("x", "a", rng.integers(-3, 5, (3, 4, 2, 2)) * 128).fire("b", "x", nodes.LIF).out("b")
    model, stimulus = made.model(), {"in": loihi.noise(rng, 162, 60, 0.1)}
    one = loihi.run(loihi.map(model, record=["a"]), stimulus, 60)
    two = loihi.map(model, record=["a"], chips=3, cores_per_chip=1, allocator=allocator, block_shape={"a": (4, 7, 4)})
    used = {int(chip) for name in "ab" for chip in two.where(name)["chip"]}
    assert len(used) > 1
    assert any("from chip to chip" in f.reason for f in two.fit.findings)
    run = loihi.run(two, stimulus, 60)
    for name in ("a", "out"):
        assert one.spikes[name].size > 0
        assert np.array_equal(one.spikes[name], run.spikes[name]), name
    assert run.stats["events_out"].size == 128 * (max(used) + 1)


# --- what became of numbers -------------------------------------------------------------------------------------------


def test_integers_are_realised_as_they_are(loihi: Any, net: Any) -> None:
    model = skipping(net).model()
    mapping = loihi.map(model)
    assert len(mapping.losses) == 0
    assert {"wa", "wb", "bc", "ac", "ic"} <= {node for node, _ in mapping.realised}
    for (node, name), values in mapping.realised.items():
        assert np.array_equal(values, getattr(model.nodes[node], name)), (node, name)


def test_weights_of_a_convolution_and_time_constants(loihi: Any, net: Any) -> None:
    rng = np.random.default_rng(5)
    made = net(2, 6, 6).conv("w", "in", rng.normal(size=(3, 2, 3, 3)))
    model = made.fire("n", "w", nodes.CubaLIF, v_threshold=1, tau_syn=3, tau_mem=7, r=2).out("n").model()
    realised = loihi.map(model).realised
    weight = model.nodes["w"].weight
    assert np.abs(realised["w", "weight"] - weight).max() < np.abs(weight).max() / 100
    assert realised["n", "tau_syn"] == pytest.approx(3, rel=1e-3)
    assert realised["n", "tau_mem"] == pytest.approx(7, rel=1e-3)
    assert realised["n", "v_threshold"] == pytest.approx(1, rel=1e-2)


def test_weights_that_are_too_small_are_lost_one_by_one(loihi: Any, net: Any) -> None:
    model = net(2).dense("w", "in", [[1000.0, 1e-4], [-2e-4, 777.7]]).fire("n", "w").out("n").model()
    mapping = loihi.map(model)
    assert sorted(row["index"] for row in mapping.losses.rows) == [1, 2]
    assert ("w", "weight") in loihi.found(model, "changed")
    assert mapping.realised["w", "weight"].ravel()[[1, 2]].tolist() == [0, 0]


def test_weights_that_make_no_synapse(loihi: Any, net: Any) -> None:
    """Zeros, and the rim of a kernel that only ever sees padding."""
    zeros = net(4).dense("w", "in", np.zeros((2, 4)), 64).fire("n", "w").out("n").model()
    mapping = loihi.map(zeros)
    assert mapping.config.synapses.target.size == len(mapping.losses) == 0
    assert loihi.run(mapping, {"in": loihi.events([(0, 1)])}, 30).event_count("out") == 4
    made = net(1, 1, 1).conv("w", "in", [[[[640]]]])
    rim = np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3) * 64
    made.nodes["w"] = attrs.evolve(made.nodes["w"], weight=rim, padding=((1, 1), (1, 1)))
    realised = loihi.map(made.fire("n", "w").out("n").model()).realised["w", "weight"]
    assert np.array_equal(realised, rim)


def test_every_node_has_a_fate(loihi: Any, net: Any) -> None:
    made = net(1, 2, 2).put(nodes.Flatten, "f", "in", (4,), (1, 2, 2), start_dim=0, end_dim=-1)
    model = made.dense("w", "f", np.eye(4) * 640).fire("n", "w").out("n").model()
    fates = {fate.node: (fate.fate, fate.onto) for fate in loihi.map(model).fates}
    assert fates == {
        "in": ("folded", ""), "f": ("folded", "n"), "w": ("folded", "n"), "n": ("chip", ""), "out": ("folded", ""),
    }  # fmt: skip


# --- like, edits, adopted registers -----------------------------------------------------------------------------------


def test_like_changes_numbers_only(loihi: Any, net: Any) -> None:
    first = loihi.map(skipping(net).model())
    other = skipping(net)
    other.nodes["wa"] = attrs.evolve(other.nodes["wa"], weight=other.nodes["wa"].weight * 2)
    second = loihi.map(other.model(), like=first)
    assert not first.placement.moved(second.placement)
    assert not np.array_equal(first.config.weights(), second.config.weights())
    with pytest.raises(ConfigError, match="cannot keep"):
        loihi.map(wide(net, 8), like=first)


def test_edited_registers(loihi: Any, net: Any) -> None:
    mapping = loihi.map(net(1).dense("w", "in", [[640]]).fire("n", "w", v_threshold=1280).out("n").model())
    config: LoihiConfig = mapping.config
    stimulus = {"in": loihi.events([(k, 0) for k in range(9)])}
    assert loihi.run(mapping, stimulus, 10).event_count("out") == 3
    half = attrs.evolve(
        config, compartments=attrs.evolve(config.compartments, vth_mant=config.compartments.vth_mant // 2)
    )
    edited = mapping.with_config(half)
    assert loihi.run(edited, stimulus, 10).event_count("out") == 4
    assert not edited.realised


@pytest.mark.parametrize(
    "change",
    [
        lambda c: attrs.evolve(c, step_ns=5),
        lambda c: attrs.evolve(c, populations=(attrs.evolve(c.populations[0], name="m"),)),
        lambda c: attrs.evolve(c, inputs=(attrs.evolve(c.inputs[0], shape=(1, 1)),)),
        lambda c: attrs.evolve(c, cores=attrs.evolve(c.cores, core=[7])),
    ],
)
def test_edits_keep_names_and_places(change: Callable[[Any], Any], loihi: Any, net: Any) -> None:
    mapping = loihi.map(net(1).dense("w", "in", [[640]]).fire("n", "w").out("n").model())
    with pytest.raises(DoesNotFitError, match="edited registers keep"):
        mapping.with_config(change(mapping.config))
    bad = attrs.evolve(mapping.config, compartments=attrs.evolve(mapping.config.compartments, vth_mant=[0]))
    with pytest.raises(ConfigError, match="vth_mant"):
        mapping.with_config(bad)


def test_adopted_registers_run_as_the_mapping_they_came_from(loihi: Any, net: Any) -> None:
    mapping = loihi.map(skipping(net).model(), record=["a", "b", "c"])
    adopted = hal.mapper("loihi").adopt(mapping.config)
    assert [port.name for port in adopted.outputs] == ["a", "b", "c"]
    assert (adopted.inputs, adopted.model, adopted.step_ns) == (mapping.inputs, None, loihi.step)
    stimulus = {"in": loihi.noise(np.random.default_rng(0), 6, 80)}
    ours, theirs = (loihi.run(each, stimulus, 80) for each in (mapping, adopted))
    for name in "abc":
        assert ours.spikes[name].size > 0
        assert np.array_equal(ours.spikes[name], theirs.spikes[name])
    assert adopted.who(0, int(adopted.where("b")["core"][2]), int(adopted.where("b")["neuron"][2])) == ("b", 2)


def test_adopted_registers_fit_on_their_cores(loihi: Any, net: Any) -> None:
    config: LoihiConfig = loihi.map(wide(net)).config
    packed = attrs.evolve(config, compartments=attrs.evolve(config.compartments, core=np.zeros(1600, int)))
    with pytest.raises(DoesNotFitError, match=r"too many compartments on core 0 of chip 0.*1600.*1024"):
        hal.mapper("loihi").adopt(packed)
    with pytest.raises(ConfigError, match="LoihiConfig"):
        hal.mapper("loihi").adopt({})
