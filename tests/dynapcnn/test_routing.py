"""Registers by hand: how cores hang together, what cannot be, and what each switch does."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from relays import relay

import hal
from hal.errors import ConfigError, DoesNotFitError
from hal_dynapcnn import chips, routing
from hal_dynapcnn.config import (
    CnnLayerConfig,
    Destination,
    DvsDestination,
    DvsLayerConfig,
    Entry,
    PointXY,
    ReadoutConfig,
    SpeckConfig,
)


def layer(shape: Any = (1, 2, 2), *to: Destination, **changes: Any) -> CnnLayerConfig:
    """A 1 x 1 relay of a map (features, y, x) to some destinations."""
    return relay(*shape, *to, **changes)


def to(core: int, **more: Any) -> Destination:
    return Destination(enable=True, layer=core, **more)


def registers(layers: dict[int, CnnLayerConfig], chip: str = "speck2f", **more: Any) -> SpeckConfig:
    blank = [CnnLayerConfig(threshold_low=-1) for _ in range(chips.CHIPS[chip].n_cores)]
    for core, made in layers.items():
        blank[core] = made
    return SpeckConfig(chip=chip, cnn_layers=tuple(blank), **more)


def pair(**changes: Any) -> SpeckConfig:
    """Core 0 to core 1; `changes` in core 0."""
    return registers({0: layer((1, 2, 2), to(1), **changes), 1: layer()})


REFUSED: list[tuple[str, SpeckConfig, str, str]] = [
    ("features beyond the target's", registers({0: layer((1, 2, 2), to(1, feature_shift=1)), 1: layer()}),
     "cnn_layers[0].destinations[0]", "delivers features 1..1, core 1 takes 0..0"),
    ("shapes", registers({0: layer((1, 2, 2), to(1)), 1: layer((1, 2, 3))}),
     "cnn_layers[0].destinations[0]", "delivers maps of (2, 2), core 1 expects (2, 3)"),
    ("shapes in the second slot", registers({0: layer((1, 2, 2), to(1), to(2)), 1: layer(), 2: layer((1, 3, 3))}),
     "cnn_layers[0].destinations[1]", "delivers maps of (2, 2), core 2 expects (3, 3)"),
    ("shapes behind a pool", registers({0: layer((1, 5, 4), to(1, pooling=2)), 1: layer((1, 3, 2))}),
     "cnn_layers[0].destinations[0]", "delivers maps of (2, 2), core 1 expects (3, 2)"),
    ("features", registers({0: layer((2, 2, 2), to(1)), 1: layer((1, 2, 2))}),
     "cnn_layers[0].destinations[0]", "delivers features 0..1, core 1 takes 0..0"),
    ("an input of two sizes",
     registers({0: layer((2, 2, 2)), 1: layer((1, 2, 2))}, entries=(Entry(), Entry(layer=1))),
     "entries[1]", "delivers features 0..1, core 1 takes 0..0"),
    ("nothing leads anywhere", registers({0: layer()}, entries=()), "entries", "no input and no sensor"),
    ("two cores to the readout block", registers({0: layer((1, 2, 2), to(1), to(12)), 1: layer((1, 2, 2), to(12))}),
     "readout", "cores 0, 1 lead to it"),
    ("values beside monitored spikes",
     registers({0: layer((1, 1, 1), to(12))}, readout=ReadoutConfig(enable=True, monitor_enable=True)),
     "readout.monitor_enable", "no spikes can be monitored, and cores 0 are"),
    ("a sensor of another size", registers({0: layer((2, 64, 64))}, dvs_layer=DvsLayerConfig(
        destinations=(DvsDestination(enable=True, layer=0), DvsDestination()))),
     "dvs_layer.destinations[0]", "delivers maps of (128, 128), core 0 expects (64, 64)"),
    ("two polarities into one feature", registers({0: layer((1, 2, 2))}, dvs_layer=DvsLayerConfig(
        cut=PointXY(x=1, y=1), destinations=(DvsDestination(), DvsDestination(enable=True, layer=0)))),
     "dvs_layer.destinations[1]", "delivers features 0..1, core 0 takes 0..0"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "field", "reason"), [pytest.param(*rest, id=name) for name, *rest in REFUSED])
def test_refused_by_name(config: SpeckConfig, field: str, reason: str) -> None:
    hal.config.check(config)
    said = [f for f in routing.refusals(config) if f.field == field and reason in f.reason]
    assert len(said) == 1, [str(f) for f in routing.refusals(config)]
    assert said[0].level == "refused"
    with pytest.raises(DoesNotFitError) as error:
        hal.mapper("speck2f").adopt(config)
    assert said[0] in error.value.report.refused


def test_the_readout_block_of_chips_without_one() -> None:
    config = registers({0: layer((1, 1, 1), to(12))}, "speck2b")
    assert [f.reason for f in routing.refusals(config)] == ["speck2b has no readout block"]


@pytest.mark.parametrize(
    "config",
    [
        pair(),
        registers({0: layer()}),
        pair(leak_enable=True, leak_internal_slow_clk_enable=True),
        registers({0: layer((1, 5, 5), to(1, pooling=2)), 1: layer((1, 2, 2))}),
        registers({0: layer((1, 2, 2), to(1), to(1, feature_shift=1)), 1: layer((2, 2, 2))}),
        registers({0: layer((1, 2, 2), to(0))}),
        pair(output_decimator_enable=True, output_decimator_interval=3, input_congestion_balancer_enable=True),
    ],
)
def test_what_the_chip_does_is_not_refused(config: SpeckConfig) -> None:
    assert routing.refusals(config) == []
    with hal.open("speck2f") as device:
        device.load(hal.mapper("speck2f").adopt(config))
        assert device.run({}, 1000).status == "ok"


def test_all_reasons_at_once() -> None:
    config = registers({
        0: layer((1, 2, 2), to(1, feature_shift=1), to(12)),
        1: layer((1, 2, 2), to(0, pooling=2), to(12)),
    })  # fmt: skip
    assert {f.field for f in routing.refusals(config)} == {
        "cnn_layers[0].destinations[0]", "cnn_layers[1].destinations[0]", "readout",
    }  # fmt: skip


def test_cycles_and_idle_cores_are_remarked_on() -> None:
    ring = registers({0: layer((1, 2, 2), to(1)), 1: layer((1, 2, 2), to(2)), 2: layer((1, 2, 2), to(1))})
    assert routing.cycle(ring) == [1, 2]
    (said,) = routing.remarks(ring)
    assert "cores 1, 2 form a cycle" in said.reason
    assert "deadlock" in said.reason
    assert said in hal.mapper("speck2f").adopt(ring).fit.findings
    idle = registers({0: layer(), 3: layer((1, 2, 2), to(4)), 4: layer()})
    (said,) = routing.remarks(idle)
    assert said.field == "cnn_layers[3].destinations"
    assert routing.remarks(pair()) == []
    assert routing.cycle(pair()) == []
    for config, reason in (
        (attrs.evolve(pair(), readout=ReadoutConfig(enable=True)), "nothing leads to it"),
        (registers({0: layer((1, 1, 1), to(12))}), "it is off"),
    ):
        (said,) = routing.remarks(config)
        assert said.reason.startswith(reason)


def test_load_refuses_registers_that_came_by_another_way() -> None:
    """A mapping put together by hand has passed neither adopt nor with_config."""
    good = hal.mapper("speck2f").adopt(pair())
    for _, config, field, _ in REFUSED:
        with hal.open("speck2f") as device:
            with pytest.raises(DoesNotFitError) as error:
                device.load(attrs.evolve(good, config=config))
            assert field in {f.field for f in error.value.report.refused}
            assert device.state == "open"


def test_edits_are_refused_for_the_same_reasons(speck: Any, chain: Any) -> None:
    mapping = speck.map(chain(1, 2, 2).relay("v", 9).fire(9, "m").relay("w", 9).fire(9, "n").model())
    (first, second, *rest) = mapping.config.cnn_layers
    for changed, text in (
        (attrs.evolve(first, destinations=(to(1, feature_shift=2), Destination())), "delivers features 2..2"),
        (attrs.evolve(first, destinations=(to(1, pooling=2), Destination())), r"delivers maps of \(1, 1\)"),
    ):
        with pytest.raises(DoesNotFitError, match=text):
            mapping.with_config(attrs.evolve(mapping.config, cnn_layers=(changed, second, *rest)))
    cut = attrs.evolve(first, destinations=(Destination(), Destination()))
    edited = mapping.with_config(attrs.evolve(mapping.config, cnn_layers=(cut, second, *rest)))
    assert not speck.run(edited, [0, 1]).spikes["output"].size


def test_the_second_slot_of_destinations_counts_as_the_first(speck: Any) -> None:
    config = registers({0: layer((1, 4, 4), Destination(), to(1, pooling=2)), 1: layer((1, 2, 2))})
    assert routing.in_use(config) == [0, 1]
    mapping = hal.mapper("speck2f").adopt(config)
    assert speck.run(mapping, [5, 15]).spikes["core1"]["index"].tolist() == [0, 3]


def test_cores_in_use_and_their_shapes() -> None:
    config = registers(
        {4: layer((2, 3, 4), to(0), to(8)), 0: layer((2, 3, 4), to(8)), 8: layer((2, 3, 4))},
        entries=(Entry(layer=4),),
    )
    assert routing.in_use(config) == [4, 0, 8]
    assert routing.shapes(config) == {4: (2, 3, 4), 0: (2, 3, 4), 8: (2, 3, 4)}
    assert routing.in_use(registers({0: layer((1, 2, 2), to(12))})) == [0]
    assert routing.in_use(registers({0: layer((1, 2, 2), to(1)), 1: layer((1, 2, 2), to(0))})) == [0, 1]
    # a destination that is not enabled is none
    assert routing.in_use(registers({0: layer((1, 2, 2), Destination(layer=1))})) == [0]


def test_inputs_of_registers_alone(speck: Any) -> None:
    """An input has the features from its shift up to the next source's."""
    config = registers(
        {0: layer((5, 2, 2)), 1: layer((2, 2, 2), to(0, feature_shift=3))},
        entries=(Entry(port="a"), Entry(port="b", feature_shift=2), Entry(port="c", layer=1), Entry(port="a", layer=1)),
    )
    assert routing.ports(config) == {"a": (2, 2, 2), "b": (1, 2, 2), "c": (2, 2, 2)}
    mapping = hal.mapper("speck2f").adopt(config)
    assert [port.name for port in mapping.inputs] == ["a", "b", "c"]
    with hal.open("speck2f", rate=None) as device:
        device.load(mapping)
        recording = device.run({"a": hal.events([5], [1]), "b": hal.events([5], [2]), "c": hal.events([5], [3])}, 10)
    assert recording.spikes["core0"]["index"].tolist() == [1, 13, 10, 15]
    assert recording.spikes["core1"]["index"].tolist() == [1, 3]


def test_cores_of_other_chains_stay_silent(speck: Any) -> None:
    """A core in no chain, even a monitored one, hears nothing and is not recorded."""
    mapping = hal.mapper("speck2f").adopt(registers({2: layer(), 5: layer()}, entries=(Entry(layer=2),)))
    assert [port.name for port in mapping.outputs] == ["core2"]
    recording = speck.run(mapping, [0, 3])
    assert recording.spikes["core2"]["index"].tolist() == [0, 3]
    assert recording.stats["events_out"].tolist() == [0, 0, 2, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("name", ["dynapcnndevkit", "speck2b"])
def test_kill_bits(name: str, speck: Any) -> None:
    """What is killed does nothing; chips without them have none at all."""
    weights = np.zeros((1, 1, 1, 1), bool)
    neurons = np.zeros((1, 2, 2), bool)
    off = registers({0: layer(weights_kill_bit=weights, neurons_value_kill_bit=neurons)}, name)

    def spikes(**changes: Any) -> list[int]:
        cores = (attrs.evolve(off.cnn_layers[0], **changes), *off.cnn_layers[1:])
        mapping = hal.mapper(name).adopt(attrs.evolve(off, cnn_layers=cores))
        found: list[int] = speck.on(name).run(mapping, [0, 1, 2, 3], ticks=[500]).spikes["core0"]["index"].tolist()
        return found

    assert spikes() == [0, 1, 2, 3]
    assert spikes(weights_kill_bit=~weights) == []
    # registers hold x before y
    one = neurons.copy()
    one[0, 1, 0] = True
    assert spikes(neurons_value_kill_bit=one) == [0, 2, 3]
    leak = {"leak_enable": True, "biases": np.full(1, -1, np.int16)}
    assert spikes(**leak) == [0]
    assert spikes(**leak, biases_kill_bit=np.ones(1, bool)) == [0, 1, 2, 3]
    with pytest.raises(ConfigError, match="has no kill bits"):
        hal.mapper("speck2f").adopt(attrs.evolve(off, chip="speck2f"))
