"""The registers of a Speck / DynapCNN chip, by the vendor's names, and what users may ask of mapper and emulator.

Fields, types and ranges: samna's configuration reference for speck2b/2e/2f, the Speck Dev Kit Datasheet (August 2023)
and, where neither says, sinabs 3.1.3. Axis order is the vendor's: x before y.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.config import array, setting
from hal.errors import Problem
from hal_dynapcnn import chips
from hal_dynapcnn.allocator import memory_words

Bits = NDArray[np.bool_]


@attrs.frozen(kw_only=True)
class SizeXY:
    """Columns and rows of a map."""

    x: int = setting(1, doc="columns", minimum=1, maximum=chips.INPUT_SIZE_MAX)
    y: int = setting(1, doc="rows", minimum=1, maximum=chips.INPUT_SIZE_MAX)


@attrs.frozen(kw_only=True)
class FeatureMap:
    """Features of equal size."""

    feature_count: int = setting(1, doc="features", minimum=1, maximum=chips.FEATURES_MAX)
    size: SizeXY = setting(doc="size of a feature", factory=SizeXY)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(features, y, x), the model's order."""
        return self.feature_count, self.size.y, self.size.x


@attrs.frozen(kw_only=True)
class PaddingXY:
    """Zeros on both sides."""

    x: int = setting(0, doc="columns on either side", minimum=0, maximum=chips.PADDING_MAX)
    y: int = setting(0, doc="rows on either side", minimum=0, maximum=chips.PADDING_MAX)


@attrs.frozen(kw_only=True)
class StrideXY:
    """Step of the kernel."""

    x: int = setting(1, doc="columns", choices=chips.STRIDES)
    y: int = setting(1, doc="rows", choices=chips.STRIDES)


@attrs.frozen(kw_only=True)
class Dimensions:
    """Shapes of a core."""

    input_shape: FeatureMap = setting(doc="what comes in", factory=FeatureMap)
    output_shape: FeatureMap = setting(doc="what the neurons form, before pooling", factory=FeatureMap)
    padding: PaddingXY = setting(doc="zeros around the input", factory=PaddingXY)
    stride: StrideXY = setting(doc="step of the kernel", factory=StrideXY)
    kernel_size: int = setting(1, doc="side of the square kernel", minimum=1, maximum=chips.KERNEL_MAX)


@attrs.frozen(kw_only=True)
class Destination:
    """Where a core's spikes go."""

    enable: bool = setting(False, doc="in use")
    layer: int = setting(0, doc="core 0..8, or 12 for the readout block", minimum=0, maximum=chips.READOUT_LAYER)
    pooling: int = setting(1, doc="sum pooling on the way, kernel = stride", choices=chips.POOLINGS)
    feature_shift: int = setting(0, doc="added to the feature index", minimum=0, maximum=chips.FEATURES_MAX - 1)


def _two_destinations() -> tuple[Destination, Destination]:
    return (Destination(), Destination())


def _no_bits() -> Bits:
    return np.zeros(0, np.bool_)


DECIMATION = (2, 4, 8, 16, 32, 128, 256, 512)
"""One spike of so many goes on, by code of `output_decimator_interval`; there is no 64 (datasheet table 4)."""


@attrs.frozen(kw_only=True)
class CnnLayerConfig:
    """One core: convolution, integrate-and-fire, pooling, two destinations."""

    dimensions: Dimensions = setting(doc="shapes", factory=Dimensions)
    weights: NDArray[np.int8] = array(
        "int8", (None,) * 4, doc="[f_out][f_in][kx][ky]", factory=lambda: np.zeros((1, 1, 1, 1), np.int8)
    )
    biases: NDArray[np.int16] = array(
        "int16", (None,), doc="leak per slow-clock tick, [f_out]", factory=lambda: np.zeros(1, np.int16)
    )
    leak_enable: bool = setting(False, doc="add the biases at every slow-clock tick")
    leak_internal_slow_clk_enable: bool = setting(False, doc="ticks from the DVS-derived clock")
    threshold_high: int = setting(chips.STATE_MAX, doc="a spike at or above it", minimum=-32768, maximum=32767)
    threshold_low: int = setting(chips.STATE_MIN, doc="lower bound of the state", minimum=-32768, maximum=32767)
    return_to_zero: bool = setting(False, doc="after a spike: 0, else minus threshold_high")
    neurons_initial_value: NDArray[np.int16] = array(
        "int16", (None,) * 3, doc="[f_out][x][y]", factory=lambda: np.zeros((1, 1, 1), np.int16)
    )
    monitor_enable: bool = setting(False, doc="copy output spikes, unpooled, to the chip's output")
    input_congestion_balancer_enable: bool = setting(False, doc="drop input while busy (2e/2f)")
    output_decimator_enable: bool = setting(False, doc="pass one of every N spikes (2e/2f)")
    output_decimator_interval: int = setting(0, doc="code of N: 2,4,8,16,32,128,256,512", minimum=0, maximum=7)
    destinations: tuple[Destination, Destination] = setting(doc="where spikes go", factory=_two_destinations)
    weights_kill_bit: Bits = array("bool", doc="True disables; devkit and 2b only, else empty", factory=_no_bits)
    biases_kill_bit: Bits = array("bool", doc="True disables; devkit and 2b only, else empty", factory=_no_bits)
    neurons_value_kill_bit: Bits = array("bool", doc="True disables; devkit and 2b only, else empty", factory=_no_bits)

    def rules(self) -> Iterator[Problem]:
        """Shapes that must agree, and the one value the chip cannot take."""
        d = self.dimensions
        f_out, f_in, k = d.output_shape.feature_count, d.input_shape.feature_count, d.kernel_size
        if self.weights.shape != (f_out, f_in, k, k):
            yield Problem("differs from the dimensions", "weights", value=self.weights.shape, limit=(f_out, f_in, k, k))
        if self.biases.shape != (f_out,):
            yield Problem("differs from the dimensions", "biases", value=self.biases.shape, limit=(f_out,))
        size = d.output_shape.size
        if self.neurons_initial_value.shape != (f_out, size.x, size.y):
            limit = (f_out, size.x, size.y)
            shape = self.neurons_initial_value.shape
            yield Problem("differs from the dimensions", "neurons_initial_value", value=shape, limit=limit)
        for axis in ("x", "y"):
            have, pad, stride = (getattr(part, axis) for part in (d.input_shape.size, d.padding, d.stride))
            wanted = (have + 2 * pad - k) // stride + 1
            if getattr(size, axis) != wanted:
                where = f"dimensions.output_shape.size.{axis}"
                yield Problem("does not follow from the input", where, value=getattr(size, axis), limit=wanted)
            if getattr(size, axis) > chips.OUTPUT_SIZE_MAX:
                where = f"dimensions.output_shape.size.{axis}"
                yield Problem("out of range", where, value=getattr(size, axis), limit=f"1..{chips.OUTPUT_SIZE_MAX}")
        kills: dict[str, NDArray[np.generic]] = {
            "weights_kill_bit": self.weights,
            "biases_kill_bit": self.biases,
            "neurons_value_kill_bit": self.neurons_initial_value,
        }
        for name, killed in kills.items():
            bits = getattr(self, name)
            if bits.size and bits.shape != killed.shape:
                yield Problem("differs from what it kills", name, value=bits.shape, limit=killed.shape)
        if self.threshold_low == chips.THRESHOLD_LOW_FORBIDDEN:
            hint = "a known fault of the chip (datasheet 3.2.4.6.3): use -1"
            yield Problem("cannot be 0", "threshold_low", value=0, hint=hint)
        if self.threshold_low >= self.threshold_high:
            high = f"below threshold_high {self.threshold_high}"
            yield Problem("not below the upper threshold", "threshold_low", value=self.threshold_low, limit=high)


@attrs.frozen(kw_only=True)
class FlagXY:
    """A flag per axis."""

    x: bool = setting(False, doc="columns")
    y: bool = setting(False, doc="rows")


@attrs.frozen(kw_only=True)
class PointXY:
    """A pixel."""

    x: int = setting(0, doc="column", minimum=0, maximum=chips.INPUT_SIZE_MAX - 1)
    y: int = setting(0, doc="row", minimum=0, maximum=chips.INPUT_SIZE_MAX - 1)


@attrs.frozen(kw_only=True)
class PoolXY:
    """Pooling per axis."""

    x: int = setting(1, doc="columns", choices=chips.POOLINGS)
    y: int = setting(1, doc="rows", choices=chips.POOLINGS)


@attrs.frozen(kw_only=True)
class DvsDestination:
    """Where pre-processed sensor events go."""

    enable: bool = setting(False, doc="in use")
    layer: int = setting(0, doc="core", minimum=0, maximum=8)


def _two_dvs_destinations() -> tuple[DvsDestination, DvsDestination]:
    return (DvsDestination(), DvsDestination())


def _far_corner() -> PointXY:
    return PointXY(x=chips.INPUT_SIZE_MAX - 1, y=chips.INPUT_SIZE_MAX - 1)


@attrs.frozen(kw_only=True)
class DvsLayerConfig:
    """Pre-processing of sensor events: polarity, pooling, region, mirror, swap, in this order."""

    merge: bool = setting(False, doc="both polarities into one channel")
    on_channel: bool = setting(True, doc="pass ON events")
    off_channel: bool = setting(True, doc="pass OFF events")
    pooling: PoolXY = setting(doc="sum pooling", factory=PoolXY)
    origin: PointXY = setting(doc="first pixel of the region, after pooling", factory=PointXY)
    cut: PointXY = setting(doc="last pixel of the region, inclusive as sinabs 3.1.3 writes it", factory=_far_corner)
    mirror: FlagXY = setting(doc="mirror an axis", factory=FlagXY)
    mirror_diagonal: bool = setting(False, doc="swap x and y after mirroring")
    pass_sensor_events: bool = setting(False, doc="let the sensor's events in")
    monitor_enable: bool = setting(False, doc="copy processed events to the output")
    raw_monitor_enable: bool = setting(False, doc="copy raw events to the output")
    destinations: tuple[DvsDestination, DvsDestination] = setting(doc="where events go", factory=_two_dvs_destinations)

    def rules(self) -> Iterator[Problem]:
        """The region is not empty, and starts on the map; it ends where the pooled map ends."""
        for axis in ("x", "y"):
            first, pool = getattr(self.origin, axis), getattr(self.pooling, axis)
            if first >= chips.INPUT_SIZE_MAX // pool:
                limit = f"0..{chips.INPUT_SIZE_MAX // pool - 1}, in pixels pooled by {pool}"
                yield Problem("beyond the pooled map", f"origin.{axis}", value=first, limit=limit)
        if self.cut.x < self.origin.x or self.cut.y < self.origin.y:
            limit = f"not before origin ({self.origin.x}, {self.origin.y})"
            yield Problem("an empty region", "cut", value=(self.cut.x, self.cut.y), limit=limit)


@attrs.frozen(kw_only=True)
class WindowXY:
    """Window of the noise filter; 0 in low-pass mode."""

    x: int = setting(1, doc="columns", minimum=0, maximum=15)
    y: int = setting(1, doc="rows", minimum=0, maximum=15)


@attrs.frozen(kw_only=True)
class DvsFilterConfig:
    """Noise filter of the sensor."""

    enable: bool = setting(False, doc="in use")
    filter_size: WindowXY = setting(doc="window", factory=WindowXY)
    threshold: int = setting(0, doc="slow-clock counts", minimum=0, maximum=65535)
    hot_pixel_filter_enable: bool = setting(False, doc="remove hot pixels, too")
    low_pass_mode_enable: bool = setting(False, doc="low pass instead of noise filter")
    internal_slow_clk: bool = setting(False, doc="ticks from the DVS-derived clock")

    def rules(self) -> Iterator[Problem]:
        """Modes exclude each other; a window of 0 belongs to the low pass."""
        if self.enable and not self.low_pass_mode_enable and 0 in (self.filter_size.x, self.filter_size.y):
            value = (self.filter_size.x, self.filter_size.y)
            yield Problem("only in low-pass mode", "filter_size", value=value, limit="1..15")
        if self.enable and self.low_pass_mode_enable and (self.filter_size.x or self.filter_size.y):
            value = (self.filter_size.x, self.filter_size.y)
            yield Problem("the low pass looks at one pixel", "filter_size", value=value, limit="0")
        if self.low_pass_mode_enable and self.hot_pixel_filter_enable:
            yield Problem("excludes the hot-pixel filter", "low_pass_mode_enable", value=True)


@attrs.frozen(kw_only=True)
class ReadoutConfig:
    """The block that finds the most active of up to 15 classes."""

    enable: bool = setting(False, doc="in use")
    readout_configuration_sel: int = setting(3, doc="0: 2x2y4f, 1: 2x4y2f, 2: 4x4y1f, 3: 1x1y16f", minimum=0, maximum=3)
    output_mode_sel: int = setting(
        0, doc="0 off, 1 threshold compare, 2 selected neuron, 3 maximum", minimum=0, maximum=3
    )
    threshold: int = setting(0, doc="average spikes per tick that must be exceeded", minimum=0, maximum=65535)
    low_pass_filter_disable: bool = setting(False, doc="window of 1 tick")
    low_pass_filter32_not16: bool = setting(False, doc="window of 32 ticks, else 16")
    override_threshold_max: bool = setting(False, doc="ignore the threshold")
    output_neuron_num: int = setting(0, doc="for mode 2", minimum=0, maximum=chips.READOUT_CLASSES_MAX)
    internal_slow_clk: bool = setting(False, doc="ticks from the DVS-derived clock")
    monitor_enable: bool = setting(False, doc="send readout values; excludes monitored spikes")
    readout_pin_monitor_enable: bool = setting(False, doc="send the class at every interrupt")


@attrs.frozen(kw_only=True)
class FactoryConfig:
    """Clock divider; SRAM timing is beyond a behavioural model."""

    internal_slow_clk_divider: int = setting(14, doc="one tick per 2^n DVS events", minimum=14, maximum=17)
    io_sel: int = setting(0, doc="pin selection; 24 with the readout block; no effect here", minimum=0, maximum=31)
    fast_output: bool = setting(False, doc="16-bit output words: 6-bit x and y, 4-bit feature; no effect here")


@attrs.frozen(kw_only=True)
class Entry:
    """Where the host sends the events of one input: an address put on events, not a register.

    An input may have several entries; each of its events goes to all of them, in this order.
    """

    port: str = setting("input", doc="name of the input")
    layer: int = setting(0, doc="core", minimum=0, maximum=8)
    feature_shift: int = setting(0, doc="added to the feature index", minimum=0, maximum=chips.FEATURES_MAX - 1)


def _one_entry() -> tuple[Entry, ...]:
    return (Entry(),)


@attrs.frozen(kw_only=True)
class SpeckConfig:
    """All registers of one chip."""

    chip: str = setting("speck2f", doc="which chip", choices=tuple(chips.CHIPS))
    cnn_layers: tuple[CnnLayerConfig, ...] = setting(doc="one per core")
    dvs_layer: DvsLayerConfig = setting(doc="sensor pre-processing", factory=DvsLayerConfig)
    dvs_filter: DvsFilterConfig = setting(doc="sensor noise filter", factory=DvsFilterConfig)
    readout: ReadoutConfig = setting(doc="class readout", factory=ReadoutConfig)
    factory_config: FactoryConfig = setting(doc="clock", factory=FactoryConfig)
    entries: tuple[Entry, ...] = setting(doc="where the host sends input spikes", factory=_one_entry)

    def rules(self) -> Iterator[Problem]:
        """Cores, destinations and memories of this chip."""
        table = chips.CHIPS[self.chip]
        if len(self.cnn_layers) != table.n_cores:
            yield Problem("one layer per core", "cnn_layers", value=len(self.cnn_layers), limit=table.n_cores)
            return
        for number, entry in enumerate(self.entries):
            if entry.layer >= table.n_cores:
                where = f"entries[{number}].layer"
                yield Problem("no such core", where, value=entry.layer, limit=f"0..{table.n_cores - 1}")
        for slot, target_of_dvs in enumerate(self.dvs_layer.destinations):
            if target_of_dvs.enable and target_of_dvs.layer >= table.n_cores:
                where = f"dvs_layer.destinations[{slot}].layer"
                yield Problem("no such core", where, value=target_of_dvs.layer, limit=f"0..{table.n_cores - 1}")
        if (self.readout.enable or self.readout.monitor_enable) and not table.readout:
            yield Problem(f"{self.chip} has no readout block", "readout")
        for core, layer in enumerate(self.cnn_layers):
            where = f"cnn_layers[{core}]"
            d = layer.dimensions
            size = (d.output_shape.size.y, d.output_shape.size.x)
            f_in, f_out = d.input_shape.feature_count, d.output_shape.feature_count
            needs = memory_words(f_in, f_out, d.kernel_size, size, bool(layer.biases.any()))
            for name, need, have in zip(needs._fields, needs, table.memory(core), strict=True):
                if need > have:
                    yield Problem(f"{name} memory", where, value=f"{need} words", limit=f"{have} words")
            for slot, destination in enumerate(layer.destinations):
                target = destination.layer
                if destination.enable and target >= table.n_cores and target != chips.READOUT_LAYER:
                    yield Problem("no such core", f"{where}.destinations[{slot}].layer", value=target)
            newer = layer.output_decimator_enable or layer.input_congestion_balancer_enable
            if newer and not table.decimator:
                yield Problem(f"{self.chip} has no decimator and no congestion balancer", where)
            kills = (layer.weights_kill_bit, layer.biases_kill_bit, layer.neurons_value_kill_bit)
            if any(bits.size for bits in kills) and not table.kill_bits:
                yield Problem(f"{self.chip} has no kill bits", where)
