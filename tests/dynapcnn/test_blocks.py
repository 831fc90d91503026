"""Sensor, its filter and clock, and the readout block, from registers through the device."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from relays import relay

import hal
from hal.errors import ConfigError
from hal_dynapcnn import chips, player
from hal_dynapcnn.config import (
    CnnLayerConfig,
    Destination,
    DvsDestination,
    DvsFilterConfig,
    DvsLayerConfig,
    Entry,
    FactoryConfig,
    FlagXY,
    PointXY,
    PoolXY,
    ReadoutConfig,
    SpeckConfig,
    WindowXY,
)

MS = 1_000_000


def registers(*layers: CnnLayerConfig, chip: str = "speck2f", **more: Any) -> SpeckConfig:
    blank = [CnnLayerConfig(threshold_low=-1) for _ in range(chips.CHIPS[chip].n_cores)]
    return SpeckConfig(chip=chip, cnn_layers=(*layers, *blank[len(layers) :]), **more)


def sensor(**changes: Any) -> DvsLayerConfig:
    """A sensor that looks at core 0."""
    usual: dict[str, Any] = {
        "pass_sensor_events": True,
        "destinations": (DvsDestination(enable=True, layer=0), DvsDestination()),
    }
    return DvsLayerConfig(**(usual | changes))


def raw(t: Any, p: Any, y: Any, x: Any) -> Any:
    p, y, x = (np.asarray(v, np.int64) for v in (p, y, x))
    return hal.events(np.asarray(t, np.int64), (p * 128 + y) * 128 + x)


def run(config: SpeckConfig, duration: int = 10 * MS, /, *, device: str = "speck2f", **stimulus: Any) -> Any:
    with hal.open(device, rate=None) as chip:
        chip.load(hal.mapper(device).adopt(config))
        return chip.run({name.replace("_", "@", 1): value for name, value in stimulus.items()}, duration)


# --- sensor ----------------------------------------------------------------------------------------------------------


def test_crop_pool_mirror_swap_and_merge() -> None:
    """A region of 3 columns and 2 rows of the map pooled by 4 and 2, mirrored in x, then swapped."""
    looking = sensor(
        merge=True, pooling=PoolXY(x=4, y=2), origin=PointXY(x=1, y=3), cut=PointXY(x=3, y=4), mirror=FlagXY(x=True),
        mirror_diagonal=True,
    )  # fmt: skip
    config = registers(relay(1, 3, 2), dvs_layer=looking, entries=())
    events = raw([1, 2, 3, 4, 5], [1, 0, 0, 1, 1], [6, 9, 7, 5, 6], [4, 15, 11, 8, 16])
    recording = run(config, _dvs=events)
    # pooled (y, x): (3, 1), (4, 3), (3, 2), then one row above and one column beyond the region
    assert recording.spikes["core0"].tolist() == [(1, 2 * 2 + 0), (2, 0 * 2 + 1), (3, 1 * 2 + 0)]
    (said,) = [finding for finding in recording.diagnostics if finding.node == "@dvs"]
    assert (said.wanted, said.realised) == (5, 3)
    assert "2 lay outside the region" in said.reason


@pytest.mark.parametrize(("on", "off", "seen"), [(True, True, [0, 1]), (True, False, [1]), (False, True, [0])])
def test_polarities_keep_their_feature(on: bool, off: bool, seen: list[int]) -> None:
    looking = sensor(cut=PointXY(x=0, y=0), on_channel=on, off_channel=off)
    recording = run(registers(relay(2, 1, 1), dvs_layer=looking, entries=()), _dvs=raw([1, 2], [0, 1], [0, 0], [0, 0]))
    assert recording.spikes["core0"]["index"].tolist() == seen


def test_a_region_ends_where_the_pooled_map_ends() -> None:
    looking = sensor(merge=True, pooling=PoolXY(x=4, y=4), origin=PointXY(x=30, y=31))
    recording = run(registers(relay(1, 1, 2), dvs_layer=looking, entries=()), _dvs=raw([1], [0], [127], [127]))
    assert recording.spikes["core0"]["index"].tolist() == [1]


def test_sensor_and_host_reach_the_same_core_in_order_of_time() -> None:
    looking = sensor(cut=PointXY(x=0, y=0))
    config = registers(relay(2, 1, 1), relay(2, 1, 1), dvs_layer=looking, entries=(Entry(), Entry(layer=1)))
    recording = run(config, input=hal.events([1, 5], [0, 0]), _dvs=raw([1, 3], [1, 1], [0, 0], [0, 0]))
    # at equal times the input first
    assert recording.spikes["core0"].tolist() == [(1, 0), (1, 1), (3, 1), (5, 0)]
    assert recording.spikes["core1"].tolist() == [(1, 0), (5, 0)]


def test_two_destinations_of_the_sensor() -> None:
    both = (DvsDestination(enable=True, layer=1), DvsDestination(enable=True, layer=0))
    looking = sensor(cut=PointXY(x=0, y=0), destinations=both)
    recording = run(
        registers(relay(2, 1, 1), relay(2, 1, 1), dvs_layer=looking, entries=()), _dvs=raw([7], [1], [0], [0])
    )
    assert [recording.spikes[key].tolist() for key in ("core0", "core1")] == [[(7, 1)], [(7, 1)]]


def test_a_shut_sensor_refuses_events_before_anything_runs() -> None:
    config = registers(relay(2, 1, 1), dvs_layer=sensor(cut=PointXY(x=0, y=0), pass_sensor_events=False))
    with hal.open("speck2f") as chip:
        chip.load(hal.mapper("speck2f").adopt(config))
        with pytest.raises(ConfigError, match="does not listen to the sensor") as error:
            chip.run({"@dvs": raw([7], [1], [0], [0])}, 10)
        assert "pass_sensor_events" in error.value.hint
        chip.reset()
        assert chip.run({}, 10).status == "ok"


# --- filter and clock ------------------------------------------------------------------------------------------------


def filtered(**filter_: Any) -> SpeckConfig:
    looking = sensor(cut=PointXY(x=3, y=3))
    return registers(relay(2, 4, 4), dvs_layer=looking, dvs_filter=DvsFilterConfig(enable=True, **filter_), entries=())


def test_noise_is_filtered_by_the_ticks_of_the_slow_clock() -> None:
    config = filtered(filter_size=WindowXY(x=3, y=3), threshold=2)
    events = raw([10, 20, 1000, 5000], [1] * 4, [0, 1, 1, 1], [0, 1, 2, 1])
    ticks = hal.events([500, 2000, 3000], [0, 0, 0])
    recording = run(config, _dvs=events, _slow_clock=ticks)
    # alone; near the first; one tick later, near; two ticks later, too late
    assert recording.spikes["core0"]["t"].tolist() == [20, 1000]
    (said,) = [finding for finding in recording.diagnostics if finding.node == "@dvs"]
    assert "2 were removed by the filter" in said.reason
    # without ticks everything is recent
    assert run(config, _dvs=events).spikes["core0"]["t"].tolist() == [20, 1000, 5000]


def test_hot_pixels_and_low_pass() -> None:
    again = raw([10, 20, 30], [1] * 3, [1] * 3, [1] * 3)
    plain = filtered(filter_size=WindowXY(x=3, y=3), threshold=2)
    hot = filtered(filter_size=WindowXY(x=3, y=3), threshold=2, hot_pixel_filter_enable=True)
    assert run(plain, _dvs=again).event_count("core0") == 2
    assert run(hot, _dvs=again).event_count("core0") == 0
    low = filtered(filter_size=WindowXY(x=0, y=0), threshold=2, low_pass_mode_enable=True)
    assert run(low, _dvs=again).spikes["core0"]["t"].tolist() == [10]


def test_the_state_of_the_filter_goes_on_and_is_reset() -> None:
    config = filtered(filter_size=WindowXY(x=3, y=3), threshold=2)
    with hal.open("speck2f") as chip:
        chip.load(hal.mapper("speck2f").adopt(config))
        counts = []
        for reset in (False, False, True):
            if reset:
                chip.reset()
            counts.append(chip.run({"@dvs": raw([10], [1], [0], [0])}, 10 * MS).event_count("core0"))
    assert counts == [0, 1, 0]


def test_the_inner_clock_ticks_once_for_so_many_sensor_events() -> None:
    """2^14 events per tick, whatever the region lets through; it leaks where a core listens to it."""
    leak = {"leak_enable": True, "biases": np.full(2, -1, np.int16)}
    inner = relay(2, 1, 1, leak_internal_slow_clk_enable=True, **leak)
    looking = sensor(cut=PointXY(x=0, y=0))
    n = 3 * 2**14 - 1
    events = raw(np.arange(n), np.ones(n), np.full(n, 5), np.full(n, 5))
    recording = run(registers(inner, relay(1, 1, 1, **{**leak, "biases": np.full(1, -1, np.int16)}),
                              dvs_layer=looking, entries=(Entry(layer=1),)), _dvs=events)  # fmt: skip
    assert recording.stats["ticks"].tolist()[:2] == [2, 0]
    slower = registers(inner, dvs_layer=looking, factory_config=FactoryConfig(internal_slow_clk_divider=15), entries=())
    with hal.open("speck2f", rate=None) as chip:
        chip.load(hal.mapper("speck2f").adopt(slower))
        counts = [int(chip.run({"@dvs": events}, MS).stats["ticks"][0]) for _ in range(3)]
        chip.reset()
        again = int(chip.run({"@dvs": events}, MS).stats["ticks"][0])
    # 49151, 98302, 147453 events in all, one tick for 32768
    assert counts == [1, 1, 2]
    assert again == 1


# --- readout ---------------------------------------------------------------------------------------------------------


def reading(
    features: int, *, chip: str = "speck2f", monitored: bool = True, ticks_only: bool = False, **block: Any
) -> SpeckConfig:
    """A core whose spikes go to the readout block; pins unless `ticks_only`."""
    usual: dict[str, Any] = {"enable": True, "output_mode_sel": 3, "low_pass_filter_disable": True}
    usual |= {"monitor_enable": True} if ticks_only else {"readout_pin_monitor_enable": True}
    layer = relay(features, 1, 1, Destination(enable=True, layer=12), monitor_enable=monitored)
    return registers(layer, chip=chip, readout=ReadoutConfig(**(usual | block)))


TICKS = np.arange(1, 6) * MS


def clock() -> Any:
    return hal.events(TICKS, np.zeros(TICKS.size, np.int64))


def test_classes_by_the_erratum_of_2e_and_2f() -> None:
    """Feature 4 * i is class i; the others are lost and counted. Chips without it: feature i is class i."""
    events = hal.events([1, 2, 3, MS + 1, 2 * MS + 1], [8, 8, 4, 4, 5])
    found = run(reading(57), input=events, _slow_clock=clock())
    assert found.spikes["readout"].tolist() == [(MS, 2), (2 * MS, 1)]
    assert found.stats["unclassified"][0] == 1
    assert found.event_count("core0") == 5
    plain = run(reading(15, chip="dynapcnndevkit"), device="dynapcnndevkit", input=events, _slow_clock=clock())
    assert plain.spikes["readout"].tolist() == [(MS, 8), (2 * MS, 4), (3 * MS, 5)]
    assert plain.stats["unclassified"][0] == 0


def test_pins_move_above_the_threshold_and_values_come_at_every_tick() -> None:
    events = hal.events([1, 2, 3, MS + 1], [4, 4, 4, 0])
    pins = run(reading(5, threshold=2), input=events, _slow_clock=clock())
    assert pins.spikes["readout"].tolist() == [(MS, 1)]
    values = run(reading(5, threshold=2, ticks_only=True, monitored=False), input=events, _slow_clock=clock())
    assert values.spikes["readout"].tolist() == [(MS, 1), (2 * MS, 0)]


@pytest.mark.parametrize(
    ("window", "lasts"),
    [
        ({"low_pass_filter_disable": True}, 1),
        ({"low_pass_filter_disable": False}, 16),
        ({"low_pass_filter_disable": False, "low_pass_filter32_not16": True}, 32),
    ],
)
def test_averages_last_for_their_window(window: Any, lasts: int) -> None:
    ticks = hal.events(np.arange(1, 41) * 1000, np.zeros(40, np.int64))
    events = hal.events(np.arange(64), np.full(64, 4))
    found = run(reading(5, ticks_only=True, monitored=False, **window), input=events, _slow_clock=ticks)
    assert found.spikes["readout"]["t"].tolist() == (np.arange(1, lasts + 1) * 1000).tolist()


def test_without_a_clock_nothing_is_read_out_and_spikes_stay_counted() -> None:
    config = reading(5)
    with hal.open("speck2f") as chip:
        chip.load(hal.mapper("speck2f").adopt(config))
        assert not chip.run({"input": hal.events([1], [4])}, MS).spikes["readout"].size
        later = chip.run({"@slow_clock": hal.events([5], [0])}, MS)
        assert later.spikes["readout"].tolist() == [(5, 1)]
        chip.run({"input": hal.events([1], [4])}, MS)
        chip.reset()
        assert not chip.run({"@slow_clock": hal.events([5], [0])}, MS).spikes["readout"].size


@pytest.mark.parametrize("options", [{}, {"rate": None}])
def test_the_readout_does_not_depend_on_the_parts_of_a_run(options: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    t = np.sort(rng.integers(0, 10 * MS, 4000))
    stimulus = {"input": hal.events(t, rng.integers(0, 5, t.size)), "@slow_clock": hal.events(t[::7], t[::7] * 0)}
    found = []
    for chunk in (1 << 20, 3):
        monkeypatch.setattr(player, "FIRST_CHUNK", chunk)
        monkeypatch.setattr(player.Pace, "took", lambda self, took: None)
        with hal.open("speck2f", **options) as chip:
            chip.load(hal.mapper("speck2f").adopt(reading(5, low_pass_filter_disable=False)))
            found.append(chip.run(stimulus, 11 * MS))
    assert found[0].spikes["readout"].size > 10
    for name in ("readout", "core0"):
        assert np.array_equal(found[0].spikes[name], found[1].spikes[name])
    assert {k: v.tolist() for k, v in found[0].stats.items()} == {k: v.tolist() for k, v in found[1].stats.items()}


def test_pooling_before_the_readout() -> None:
    """2 x 2 channels of four features from a map of 4 x 4; addressing mode 0."""
    layer = relay(1, 4, 4, Destination(enable=True, layer=12, pooling=2))
    block = ReadoutConfig(
        enable=True, readout_configuration_sel=0, output_mode_sel=3, readout_pin_monitor_enable=True,
        low_pass_filter_disable=True,
    )  # fmt: skip
    found = run(registers(layer, readout=block), input=hal.events([1], [15]), _slow_clock=clock())
    # pixel (1, 1) of the pooled map is channel (1 * 2 + 1) * 4
    assert found.spikes["readout"].tolist() == [(MS, 12)]


def test_a_block_that_is_off_or_silent_has_no_output() -> None:
    config = reading(5)
    for changes in ({"enable": False}, {"readout_pin_monitor_enable": False}):
        quiet = attrs.evolve(config, readout=attrs.evolve(config.readout, **changes))
        assert [port.name for port in hal.mapper("speck2f").adopt(quiet).outputs] == ["core0"]
        assert run(quiet, input=hal.events([1], [4]), _slow_clock=clock()).event_count("core0") == 1
