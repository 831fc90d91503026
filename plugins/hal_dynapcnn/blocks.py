"""The blocks beside the cores, from their registers: sensor with filter and clock, and the readout of classes."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from hal.errors import ConfigError, Problem
from hal.fit import Finding
from hal.recorder import Recorder
from hal_dynapcnn import chips, routing
from hal_dynapcnn.config import DvsFilterConfig, DvsLayerConfig, SpeckConfig
from hal_dynapcnn.engine import I64, U32, Step
from hal_dynapcnn.readout import Tap
from hal_emulators.dynapcnn_filter import EventFilter, FilterParams
from hal_emulators.dynapcnn_readout import Readout, ReadoutParams
from hal_emulators.dynapcnn_sensor import Sensor, SensorParams, internal_ticks

NO_EVENTS: tuple[I64, U32] = (np.empty(0, np.int64), np.empty(0, np.uint32))


def sensor_params(layer: DvsLayerConfig) -> SensorParams:
    """The sensor block's view of its registers: rows before columns. A region ends where the pooled map ends."""
    last = [chips.DVS_SHAPE[1] // pool - 1 for pool in (layer.pooling.y, layer.pooling.x)]
    return SensorParams(
        merge=layer.merge,
        on_channel=layer.on_channel,
        off_channel=layer.off_channel,
        pooling=(layer.pooling.y, layer.pooling.x),
        origin=(layer.origin.y, layer.origin.x),
        cut=(min(layer.cut.y, last[0]), min(layer.cut.x, last[1])),
        mirror=(layer.mirror.y, layer.mirror.x),
        mirror_diagonal=layer.mirror_diagonal,
    )


def _filter(config: DvsFilterConfig) -> EventFilter:
    mode: Any = "noise"
    if config.low_pass_mode_enable:
        mode = "low_pass"
    elif config.hot_pixel_filter_enable:
        mode = "hot_pixel"
    window = (config.filter_size.y, config.filter_size.x)
    return EventFilter(FilterParams(mode=mode, window=window, threshold=config.threshold))


class SensorBlock:
    """Raw sensor events to events for the cores; counts them for the internal slow clock. Keeps its state."""

    def __init__(self, config: SpeckConfig) -> None:
        self.divider = config.factory_config.internal_slow_clk_divider
        self.opened = config.dvs_layer.pass_sensor_events
        self.leads = any(to.enable for to in config.dvs_layer.destinations)
        """Whether its events go anywhere."""
        self.sensor = Sensor(sensor_params(config.dvs_layer))
        self.filter = _filter(config.dvs_filter) if config.dvs_filter.enable else None
        self.filter_clock = int(config.dvs_filter.internal_slow_clk)
        self.carry = 0

    def reset(self) -> None:
        """Back to the start."""
        self.carry = 0
        if self.filter is not None:
            self.filter.reset()

    def ticks(self, t: I64) -> I64:
        """Ticks of the internal clock, which counts raw events whether anyone listens to it or not."""
        found, self.carry = internal_ticks(t, self.divider, self.carry)
        return found

    def process(self, t: I64, index: U32, clocks: tuple[I64, I64], recorder: Recorder) -> tuple[I64, U32]:
        """What reaches the cores of one run's raw events; `clocks` are the ticks of the outer and the inner clock."""
        if t.size and not self.opened:
            problem = Problem("the sensor's events are not let in", "@dvs", value=f"{t.size} events", limit="none")
            hint = "map with dvs={...}, or set dvs_layer.pass_sensor_events and a destination"
            raise ConfigError("this mapping does not listen to the sensor", problems=[problem], hint=hint)
        if not t.size and self.filter is None:
            return NO_EVENTS
        came, removed = t.size, 0
        if self.filter is not None:
            passed = self.filter.run(t, index, clocks[self.filter_clock])
            t, index, removed = passed.t, passed.index, passed.removed
        result = self.sensor.process(t, index)
        if came > result.t.size:
            recorder.note(
                Finding(
                    level="note",
                    node="@dvs",
                    field="dvs_layer",
                    reason=f"of {came} sensor events {removed} were removed by the filter, "
                    f"{result.removed_polarity} by their polarity, and {result.removed_region} lay outside the region",
                    wanted=came,
                    realised=int(result.t.size),
                )
            )
        return result.t, result.index


@attrs.frozen(kw_only=True, eq=False)
class Report:
    """What the readout block put out during a part of a run."""

    t: I64
    index: U32
    """Classes, the first is 0, as they were reported."""
    ticks: I64
    words: U32
    """The 21-bit value at every tick."""
    lost: int
    """Spikes that belong to no class."""


@attrs.define(eq=False)
class ReadoutBlock:
    """Spikes of one core to classes. Keeps its state, and spikes whose time is not over yet."""

    tap: Tap
    block: Readout
    every_tick: bool
    """Every tick is reported, not the interrupts alone."""
    clock: int
    """0: outer slow clock, 1: inner."""
    _t: I64 = attrs.field(factory=lambda: NO_EVENTS[0])
    _index: U32 = attrs.field(factory=lambda: NO_EVENTS[1])

    @classmethod
    def of(cls, config: SpeckConfig) -> ReadoutBlock | None:
        """The block as configured, or None where nothing leads to it or nothing of it leaves the chip."""
        r = config.readout
        feed = next(routing.readout_feeds(config), None)
        if feed is None or not r.enable or not (r.monitor_enable or r.readout_pin_monitor_enable):
            return None
        core, pool = feed
        f, y, x = shape = config.cnn_layers[core].dimensions.output_shape.shape
        params = ReadoutParams(
            in_shape=(f, y // pool, x // pool),
            readout_configuration_sel=r.readout_configuration_sel,
            output_mode_sel=r.output_mode_sel,
            threshold=r.threshold,
            low_pass_filter_disable=r.low_pass_filter_disable,
            low_pass_filter32_not16=r.low_pass_filter32_not16,
            override_threshold_max=r.override_threshold_max,
            output_neuron_num=r.output_neuron_num,
            feature_erratum=chips.CHIPS[config.chip].readout_erratum,
        )
        tap = Tap(key="readout", core=core, shape=shape, pool=pool)
        return cls(tap=tap, block=Readout(params), every_tick=r.monitor_enable, clock=int(r.internal_slow_clk))

    def reset(self) -> None:
        """Counters to zero."""
        self.block.reset()
        self._t, self._index = NO_EVENTS

    def read(self, step: Step, ticks: I64) -> Report:
        """What a part of a run adds: spikes before `step.now`, and ticks up to then that were not given yet."""
        at = np.flatnonzero(step.core == self.tap.core)
        kept, index = self.tap.read(step.index[at])
        t = np.concatenate([self._t, step.t[at[kept]]])
        index = np.concatenate([self._index, index])
        over = int(np.searchsorted(t, step.now))
        self._t, self._index = t[over:], index[over:]
        result = self.block.run(t[:over], index[:over], ticks)
        told = (result.index > 0) & (result.interrupt | self.every_tick)
        classes = result.index[told].astype(np.uint32) - np.uint32(1)
        return Report(t=result.t[told], index=classes, ticks=result.t, words=result.word, lost=result.lost)
