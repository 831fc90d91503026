"""The blocks beside the cores, from their registers: sensor with filter and clock, and the readout of classes."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from hal.errors import ConfigError, Problem
from hal.fit import Finding
from hal.recorder import Recorder
from hal_dynapcnn import chips
from hal_dynapcnn.config import DvsFilterConfig, DvsLayerConfig, SpeckConfig
from hal_dynapcnn.engine import I64, U32, Shape3, Step
from hal_emulators.dynapcnn_filter import EventFilter, FilterParams
from hal_emulators.dynapcnn_readout import Readout, ReadoutParams
from hal_emulators.dynapcnn_sensor import Sensor, SensorParams, internal_ticks

NO_EVENTS: tuple[I64, U32] = (np.empty(0, np.int64), np.empty(0, np.uint32))


def sensor_params(layer: DvsLayerConfig) -> SensorParams:
    """The sensor block's view of its registers: rows before columns. Raises ValueError for a region beyond the map."""
    return SensorParams(
        merge=layer.merge,
        on_channel=layer.on_channel,
        off_channel=layer.off_channel,
        pooling=(layer.pooling.y, layer.pooling.x),
        origin=(layer.origin.y, layer.origin.x),
        cut=(layer.cut.y, layer.cut.x),
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
                    reason=f"of {came} sensor events {removed} were removed by the filter, {result.removed_polarity} by "
                    f"their polarity, and {result.removed_region} lay outside the region",
                    wanted=came,
                    realised=int(result.t.size),
                )
            )
        return result.t, result.index


@attrs.define(eq=False)
class ReadoutBlock:
    """Spikes of one core to classes. Keeps its state."""

    core: int
    pooling: int
    shape: Shape3
    """Of the core."""
    block: Readout
    values: bool
    """Every tick is reported, not the interrupts alone."""
    clock: int

    @classmethod
    def of(cls, config: SpeckConfig) -> ReadoutBlock | None:
        """The block as configured, or None where it is off or nothing leads to it."""
        r = config.readout
        feed = next(readout_feeds(config), None)
        if not r.enable or feed is None:
            return None
        core, pooling = feed
        f, y, x = shape = config.cnn_layers[core].dimensions.output_shape.shape
        params = ReadoutParams(
            in_shape=(f, y // pooling, x // pooling),
            readout_configuration_sel=r.readout_configuration_sel,
            output_mode_sel=r.output_mode_sel,
            threshold=r.threshold,
            low_pass_filter_disable=r.low_pass_filter_disable,
            low_pass_filter32_not16=r.low_pass_filter32_not16,
            override_threshold_max=r.override_threshold_max,
            output_neuron_num=r.output_neuron_num,
            feature_erratum=chips.CHIPS[config.chip].readout_erratum,
        )
        return cls(core, pooling, shape, Readout(params), r.monitor_enable, int(r.internal_slow_clk))

    def reset(self) -> None:
        """Counters to zero."""
        self.block.reset()

    def read(self, step: Step, ticks: I64) -> tuple[I64, U32, I64, U32]:
        """Times and classes (0 is the first) of the reports, and times and words at every tick."""
        mine = step.core == self.core
        t, index = step.t[mine], step.index[mine]
        if self.pooling > 1:
            _, height, width = self.shape
            rows, columns = height // self.pooling, width // self.pooling
            feature, pixel = np.divmod(index, height * width)
            y, x = (axis // self.pooling for axis in np.divmod(pixel, width))
            kept = (y < rows) & (x < columns)
            t, index = t[kept], ((feature * rows + y) * columns + x)[kept].astype(np.uint32)
        result = self.block.run(t, index, ticks)
        told = (result.index > 0) & (True if self.values else result.interrupt)
        return result.t[told], result.index[told].astype(np.uint32) - np.uint32(1), result.t, result.word


def readout_feeds(config: SpeckConfig) -> Any:
    """(core, pooling) of every destination that is the readout block."""
    for core, layer in enumerate(config.cnn_layers):
        for to in layer.destinations:
            if to.enable and to.layer == chips.READOUT_LAYER:
                yield core, to.pooling
