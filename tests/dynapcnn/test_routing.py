"""Registers the emulator does not run: each refused by name, at load, adopt and with_config alike."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

import hal
from hal.errors import ConfigError, DoesNotFitError
from hal_dynapcnn import chips, routing
from hal_dynapcnn.config import (
    CnnLayerConfig,
    Destination,
    Dimensions,
    DvsDestination,
    Entry,
    FeatureMap,
    SizeXY,
    SpeckConfig,
)


def layer(shape: Any = (1, 2, 2), *to: Destination, **changes: Any) -> CnnLayerConfig:
    """A 1 x 1 relay of a map (features, y, x) to some destinations."""
    features, y, x = shape
    both = FeatureMap(feature_count=features, size=SizeXY(x=x, y=y))
    usual: dict[str, Any] = {
        "dimensions": Dimensions(input_shape=both, output_shape=both),
        "weights": np.eye(features, dtype=np.int8)[:, :, None, None] * 9,
        "biases": np.zeros(features, np.int16),
        "neurons_initial_value": np.zeros((features, x, y), np.int16),
        "threshold_high": 9,
        "monitor_enable": True,
        "destinations": (*to, *[Destination()] * (2 - len(to))),
    }
    return CnnLayerConfig(**(usual | changes))


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


BOTH = FeatureMap(feature_count=1, size=SizeXY(x=2, y=2))

REFUSED: list[tuple[str, SpeckConfig, str, str]] = [
    ("two destinations", registers({0: layer((1, 2, 2), to(1), to(2)), 1: layer(), 2: layer()}),
     "cnn_layers[0].destinations", "two destinations"),
    ("both to one core", registers({0: layer((1, 2, 2), to(1), to(1)), 1: layer()}),
     "cnn_layers[0].destinations", "two destinations"),
    ("not reached", registers({0: layer(), 3: layer((1, 2, 2), to(4)), 4: layer()}),
     "cnn_layers[3].destinations", "not reached from the entry core 0"),
    ("two into one", registers({0: layer((1, 2, 2), to(1)), 1: layer(), 2: layer((1, 2, 2), to(1))}),
     "cnn_layers[2].destinations", "not reached"),
    ("onto itself", registers({0: layer((1, 2, 2), to(0))}), "cnn_layers[0].destinations", "closes a cycle to core 0"),
    ("a ring", registers({0: layer((1, 2, 2), to(1)), 1: layer((1, 2, 2), to(2)), 2: layer((1, 2, 2), to(0))}),
     "cnn_layers[2].destinations", "closes a cycle to core 0"),
    ("back to the middle",
     registers({0: layer((1, 2, 2), to(1)), 1: layer((1, 2, 2), to(2)), 2: layer((1, 2, 2), to(1))}),
     "cnn_layers[2].destinations", "closes a cycle to core 1"),
    ("feature shift", registers({0: layer((1, 2, 2), to(1, feature_shift=1)), 1: layer()}),
     "cnn_layers[0].destinations", "feature shift"),
    ("read-out block", registers({0: layer((1, 2, 2), to(12))}), "cnn_layers[0].destinations", "destination 12"),
    ("shapes", registers({0: layer((1, 2, 2), to(1)), 1: layer((1, 2, 3))}),
     "cnn_layers[0].destinations", "delivers (1, 2, 2), core 1 expects (1, 2, 3)"),
    ("shapes behind a pool", registers({0: layer((1, 5, 4), to(1, pooling=2)), 1: layer((1, 3, 2))}),
     "cnn_layers[0].destinations", "delivers (1, 2, 2), core 1 expects (1, 3, 2)"),
    ("features", registers({0: layer((2, 2, 2), to(1)), 1: layer((1, 2, 2))}),
     "cnn_layers[0].destinations", "delivers (2, 2, 2)"),
    ("decimator", pair(output_decimator_enable=True, output_decimator_interval=3), "cnn_layers[0]", "decimator"),
    ("congestion balancer", pair(input_congestion_balancer_enable=True), "cnn_layers[0]", "congestion balancer"),
    ("internal clock", pair(leak_enable=True, leak_internal_slow_clk_enable=True),
     "cnn_layers[0].leak_internal_slow_clk_enable", "DVS-derived clock"),
]  # fmt: skip


def blocks() -> list[tuple[str, SpeckConfig, str, str]]:
    """One switch each in the blocks around the cores."""
    good = pair()
    dvs, readout = good.dvs_layer, good.readout
    to_core = attrs.evolve(dvs, destinations=(DvsDestination(enable=True, layer=0), DvsDestination()))
    open_eye = attrs.evolve(dvs, pass_sensor_events=True)
    filtered = attrs.evolve(good.dvs_filter, enable=True)
    return [
        ("sensor events", attrs.evolve(good, dvs_layer=open_eye), "dvs_layer", "sensor"),
        ("sensor to a core", attrs.evolve(good, dvs_layer=to_core), "dvs_layer", "sensor"),
        ("filter", attrs.evolve(good, dvs_filter=filtered), "dvs_filter", "filter"),
        ("read-out", attrs.evolve(good, readout=attrs.evolve(readout, enable=True)), "readout", "readout block"),
        ("values", attrs.evolve(good, readout=attrs.evolve(readout, monitor_enable=True)), "readout", "readout block"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("config", "field", "reason"), [pytest.param(*rest, id=name) for name, *rest in REFUSED + blocks()]
)
def test_refused_by_name(config: SpeckConfig, field: str, reason: str) -> None:
    hal.config.check(config)
    said = [f for f in routing.refusals(config) if f.field == field and reason in f.reason]
    assert len(said) == 1, [str(f) for f in routing.refusals(config)]
    assert said[0].level == "refused"
    with pytest.raises(DoesNotFitError) as error:
        hal.mapper("speck2f").adopt(config)
    assert said[0] in error.value.report.refused


def test_a_chain_is_not_refused() -> None:
    assert routing.refusals(pair()) == []
    assert routing.refusals(registers({0: layer()})) == []
    assert routing.refusals(pair(leak_enable=True)) == []
    # a clock that nothing uses, and pools that leave a row over, are no reason
    assert routing.refusals(pair(leak_internal_slow_clk_enable=True)) == []
    assert routing.refusals(registers({0: layer((1, 5, 5), to(1, pooling=2)), 1: layer((1, 2, 2))})) == []


def test_all_reasons_at_once() -> None:
    config = registers({
        0: layer((1, 2, 2), to(1, feature_shift=1), output_decimator_enable=True),
        1: layer((1, 2, 3), to(0)),
        5: layer((1, 2, 2), to(6), to(7)),
    })  # fmt: skip
    config = attrs.evolve(config, readout=attrs.evolve(config.readout, enable=True))
    reasons = "; ".join(f"{f.field}: {f.reason}" for f in routing.refusals(config))
    for text in (
        "feature shift",
        "decimator",
        "delivers (1, 2, 2)",
        "closes a cycle",
        "[5].destinations: two",
        "readout",
    ):
        assert text in reasons


@pytest.mark.parametrize("name", ["dynapcnndevkit", "speck2b"])
@pytest.mark.parametrize("bits", ["weights_kill_bit", "biases_kill_bit", "neurons_value_kill_bit"])
def test_kill_bits(name: str, bits: str) -> None:
    """Chips that have them: all off runs, one on is refused; the others have none at all."""
    shape = {"weights_kill_bit": (1, 1, 1, 1), "biases_kill_bit": (1,), "neurons_value_kill_bit": (1, 2, 2)}[bits]
    off = registers({0: layer(**{bits: np.zeros(shape, bool)})}, name)
    assert routing.refusals(off) == []
    on = registers({0: layer(**{bits: np.ones(shape, bool)})}, name)
    with pytest.raises(DoesNotFitError, match="kill bits are not emulated"):
        hal.mapper(name).adopt(on)
    with pytest.raises(ConfigError, match="has no kill bits"):
        hal.mapper("speck2f").adopt(attrs.evolve(off, chip="speck2f"))


def test_load_refuses_registers_that_came_by_another_way() -> None:
    """A mapping put together by hand has passed neither adopt nor with_config."""
    good = hal.mapper("speck2f").adopt(pair())
    for _, config, field, _ in REFUSED[:1] + blocks():
        with hal.open("speck2f") as device:
            with pytest.raises(DoesNotFitError) as error:
                device.load(attrs.evolve(good, config=config))
            assert field in {f.field for f in error.value.report.refused}
            assert device.state == "open"


def test_edits_are_refused_for_the_same_reasons(speck: Any, chain: Any) -> None:
    mapping = speck.map(chain(1, 2, 2).relay("v", 9).fire(9, "m").relay("w", 9).fire(9, "n").model())
    (first, second, *rest) = mapping.config.cnn_layers
    for changed, text in (
        (attrs.evolve(first, output_decimator_enable=True), "decimator"),
        (attrs.evolve(first, destinations=(to(1), to(1))), "two destinations"),
        (attrs.evolve(first, destinations=(to(1, feature_shift=2), Destination())), "feature shift"),
        (attrs.evolve(first, destinations=(to(1, pooling=2), Destination())), r"delivers \(1, 1, 1\)"),
        (attrs.evolve(first, destinations=(Destination(), Destination())), "keep chip and shapes"),
    ):
        with pytest.raises(DoesNotFitError, match=text):
            mapping.with_config(attrs.evolve(mapping.config, cnn_layers=(changed, second, *rest)))


def test_the_second_slot_of_destinations_counts_as_the_first(speck: Any) -> None:
    config = registers({0: layer((1, 4, 4), Destination(), to(1, pooling=2)), 1: layer((1, 2, 2))})
    assert routing.chain(config) == [0, 1]
    mapping = hal.mapper("speck2f").adopt(config)
    assert speck.run(mapping, [5, 15]).spikes["core1"]["index"].tolist() == [0, 3]


def test_chain_and_shapes() -> None:
    config = registers(
        {4: layer((2, 3, 4), to(0)), 0: layer((2, 3, 4), to(8)), 8: layer((2, 3, 4))}, entries=(Entry(layer=4),)
    )
    assert routing.chain(config) == [4, 0, 8]
    assert routing.shapes(config) == [(4, 2, 3, 4), (0, 2, 3, 4), (8, 2, 3, 4)]
    assert routing.chain(registers({0: layer((1, 2, 2), to(12))})) == [0]
    assert routing.chain(registers({0: layer((1, 2, 2), to(1)), 1: layer((1, 2, 2), to(0))})) == [0, 1]
    # a destination that is not enabled is none
    assert routing.chain(registers({0: layer((1, 2, 2), Destination(layer=1))})) == [0]


def test_cores_of_other_chains_stay_silent(speck: Any) -> None:
    """A core in no chain, even a monitored one, hears nothing and is not recorded."""
    mapping = hal.mapper("speck2f").adopt(registers({2: layer(), 5: layer()}, entries=(Entry(layer=2),)))
    assert [port.name for port in mapping.outputs] == ["core2"]
    recording = speck.run(mapping, [0, 3])
    assert recording.spikes["core2"]["index"].tolist() == [0, 3]
    assert recording.stats["events_out"].tolist() == [0, 0, 2, 0, 0, 0, 0, 0, 0]
