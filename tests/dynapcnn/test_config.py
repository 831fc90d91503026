"""The registers as data: JSON there and back, every field at its bounds and one beyond, rules between fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal import config as hal_config
from hal.config.fields import fields_of
from hal.errors import ConfigError
from hal_dynapcnn import chips
from hal_dynapcnn.config import (
    CnnLayerConfig,
    Destination,
    Dimensions,
    DvsDestination,
    DvsFilterConfig,
    DvsLayerConfig,
    Entry,
    FactoryConfig,
    FeatureMap,
    FlagXY,
    PaddingXY,
    PointXY,
    PoolXY,
    ReadoutConfig,
    SizeXY,
    SpeckConfig,
    StrideXY,
    WindowXY,
)
from hal_dynapcnn.options import SpeckMapOptions, SpeckOpenOptions

FLAT = (
    SizeXY, FeatureMap, PaddingXY, StrideXY, Dimensions, Destination, CnnLayerConfig, FlagXY, PointXY, PoolXY,
    DvsDestination, DvsLayerConfig, WindowXY, DvsFilterConfig, ReadoutConfig, FactoryConfig, Entry,
)  # fmt: skip

SHEET: dict[tuple[str, str], tuple[int, int]] = {
    ("SizeXY", "x"): (1, 128), ("SizeXY", "y"): (1, 128),
    ("FeatureMap", "feature_count"): (1, 1024),
    ("PaddingXY", "x"): (0, 7), ("PaddingXY", "y"): (0, 7),
    ("Dimensions", "kernel_size"): (1, 16),
    ("Destination", "layer"): (0, 12),
    ("Destination", "feature_shift"): (0, 1023),
    ("CnnLayerConfig", "threshold_high"): (-32768, 32767),
    ("CnnLayerConfig", "threshold_low"): (-32768, 32767),
    ("CnnLayerConfig", "output_decimator_interval"): (0, 7),
    ("PointXY", "x"): (0, 127), ("PointXY", "y"): (0, 127),
    ("DvsDestination", "layer"): (0, 8),
    ("WindowXY", "x"): (0, 15), ("WindowXY", "y"): (0, 15),
    ("DvsFilterConfig", "threshold"): (0, 65535),
    ("ReadoutConfig", "readout_configuration_sel"): (0, 3),
    ("ReadoutConfig", "output_mode_sel"): (0, 3),
    ("ReadoutConfig", "threshold"): (0, 65535),
    ("ReadoutConfig", "output_neuron_num"): (0, 15),
    ("FactoryConfig", "internal_slow_clk_divider"): (14, 17), ("FactoryConfig", "io_sel"): (0, 31),
    ("Entry", "layer"): (0, 8), ("Entry", "feature_shift"): (0, 1023),
}  # fmt: skip
"""Ranges of the vendor's reference, by class and field."""

CHOICES = {
    ("StrideXY", "x"): (1, 2, 4, 8), ("StrideXY", "y"): (1, 2, 4, 8), ("Destination", "pooling"): (1, 2, 4),
    ("PoolXY", "x"): (1, 2, 4), ("PoolXY", "y"): (1, 2, 4),
}  # fmt: skip


def core(**fields: Any) -> CnnLayerConfig:
    return CnnLayerConfig(**fields)


def scalars() -> Iterator[tuple[type, str, Any, Any]]:
    for cls in FLAT:
        for name, kind, spec in fields_of(cls):
            if kind in (int, bool):
                yield cls, name, kind, spec


def about(cls: Any, name: str, value: Any) -> list[str]:
    """What is said about one field when it has a value."""
    found = hal_config.problems(cls(**{name: value}))
    return [problem.where for problem in found if problem.where == name]


def test_the_table_is_whole() -> None:
    numbers = {(cls.__name__, name) for cls, name, kind, _ in scalars() if kind is int}
    assert numbers == set(SHEET) | set(CHOICES)


@pytest.mark.parametrize(("key", "limits"), SHEET.items())
def test_numbers_at_their_bounds_and_one_beyond(key: tuple[str, str], limits: tuple[int, int]) -> None:
    cls: Any = next(c for c in FLAT if c.__name__ == key[0])
    low, high = limits
    for value in (low, high):
        if key[1] not in ("threshold_low", "threshold_high"):
            assert not about(cls, key[1], value)
    for value in (low - 1, high + 1):
        (problem,) = hal_config.problems(cls(**{key[1]: value}))
        assert (problem.where, problem.value) == (key[1], value)
        assert str(low) in str(problem.limit)
        assert str(high) in str(problem.limit)
    others: tuple[Any, ...] = (float(low), "1", None, True)
    for other in others:
        assert about(cls, key[1], other), other


@pytest.mark.parametrize(("key", "words"), CHOICES.items())
def test_choices(key: tuple[str, str], words: tuple[int, ...]) -> None:
    cls: Any = next(c for c in FLAT if c.__name__ == key[0])
    for value in range(-1, 18):
        assert bool(about(cls, key[1], value)) is (value not in words)


@pytest.mark.parametrize(("cls", "name"), [(cls, name) for cls, name, kind, _ in scalars() if kind is bool])
def test_flags_are_flags(cls: type, name: str) -> None:
    for value in (0, 1, "False", None):
        assert about(cls, name, value)
    for value in (False, True):
        assert not about(cls, name, value)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("weights", -128, 127), ("biases", -32768, 32767), ("neurons_initial_value", -32768, 32767)],
)
def test_arrays_at_their_bounds_and_one_beyond(name: str, least: int, most: int) -> None:
    shape = {"weights": (1, 1, 1, 1), "biases": (1,), "neurons_initial_value": (1, 1, 1)}[name]
    for value in (least, most):
        assert not hal_config.problems(core(**{name: np.full(shape, value)}))
    beyond: tuple[float, ...] = (least - 1, most + 1, 0.5, np.nan)
    for wrong in beyond:
        (problem,) = hal_config.problems(core(**{name: np.full(shape, wrong)}))
        assert problem.where.startswith(name)
    (problem,) = hal_config.problems(core(**{name: np.zeros((*shape, 1), np.int8)}))
    assert problem.what == "wrong shape"


def sized(f_in: int, f_out: int, k: int, size: int, **more: Any) -> CnnLayerConfig:
    out = size - k + 1
    usual: dict[str, Any] = {
        "dimensions": Dimensions(
            input_shape=FeatureMap(feature_count=f_in, size=SizeXY(x=size, y=size)),
            output_shape=FeatureMap(feature_count=f_out, size=SizeXY(x=out, y=out)),
            kernel_size=k,
        ),
        "weights": np.zeros((f_out, f_in, k, k), np.int8),
        "biases": np.zeros(f_out, np.int16),
        "neurons_initial_value": np.zeros((f_out, out, out), np.int16),
    }
    return CnnLayerConfig(**(usual | more))


def whole(chip: str = "speck2f", first: CnnLayerConfig | None = None, core: int = 0, **more: Any) -> SpeckConfig:
    layers = [CnnLayerConfig() for _ in range(chips.CHIPS[chip].n_cores)]
    if first is not None:
        layers[core] = first
    return SpeckConfig(chip=chip, cnn_layers=tuple(layers), **more)


def said(config: Any) -> list[tuple[str, Any, Any]]:
    return [(p.where, p.value, p.limit) for p in hal_config.problems(config)]


def test_a_threshold_low_of_zero_is_refused() -> None:
    (problem,) = hal_config.problems(CnnLayerConfig(threshold_low=0))
    assert (problem.where, problem.value) == ("threshold_low", 0)
    assert "use -1" in problem.hint
    assert "datasheet" in problem.hint
    assert not hal_config.problems(CnnLayerConfig(threshold_low=-1))
    assert not hal_config.problems(CnnLayerConfig(threshold_low=1))
    with pytest.raises(ConfigError, match=r"cnn_layers\[3\]\.threshold_low"):
        hal_config.check(whole(first=CnnLayerConfig(threshold_low=0), core=3))


@pytest.mark.parametrize(("low", "high", "good"), [(5, 6, True), (5, 5, False), (6, 5, False), (-32768, -32767, True)])
def test_thresholds_in_order(low: int, high: int, good: bool) -> None:
    assert (not hal_config.problems(CnnLayerConfig(threshold_low=low, threshold_high=high))) is good


@pytest.mark.parametrize("field", ["weights", "biases", "neurons_initial_value"])
def test_shapes_must_agree_with_the_dimensions(field: str) -> None:
    good = sized(2, 3, 3, 6)
    assert not hal_config.problems(good)
    array = getattr(good, field)
    for axis in range(array.ndim):
        twice: Any = {field: np.concatenate([array, array], axis)}
        wrong = attrs.evolve(good, **twice)
        (problem,) = hal_config.problems(wrong)
        assert (problem.where, problem.limit) == (field, array.shape)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_the_output_follows_from_the_input(axis: str) -> None:
    good = sized(1, 1, 3, 8)
    size = attrs.evolve(good.dimensions.output_shape.size, **{axis: 5})
    shape = attrs.evolve(good.dimensions.output_shape, size=size)
    wrong = attrs.evolve(
        good,
        dimensions=attrs.evolve(good.dimensions, output_shape=shape),
        neurons_initial_value=np.zeros((1, size.x, size.y), np.int16),
    )
    assert said(wrong) == [(f"dimensions.output_shape.size.{axis}", 5, 6)]


@pytest.mark.parametrize(("stride", "padding", "out"), [(1, 0, 126), (2, 0, 63), (2, 1, 64), (2, 2, 65), (4, 7, 35)])
def test_the_output_map_ends_at_64(stride: int, padding: int, out: int) -> None:
    made = CnnLayerConfig(
        dimensions=Dimensions(
            input_shape=FeatureMap(size=SizeXY(x=128, y=3)),
            output_shape=FeatureMap(size=SizeXY(x=out, y=1)),
            padding=PaddingXY(x=padding),
            stride=StrideXY(x=stride),
            kernel_size=3,
        ),
        weights=np.zeros((1, 1, 3, 3), np.int8),
        neurons_initial_value=np.zeros((1, out, 1), np.int16),
    )
    assert said(made) == ([] if out <= 64 else [("dimensions.output_shape.size.x", out, "1..64")])


def test_memories_of_every_core() -> None:
    """64 Ki kernel words fit cores 5 and 6, 64 Ki neurons cores 0 to 2; a bias on the five-core chips 3 and 4."""
    heavy = sized(64, 64, 4, 4)
    wide = sized(1, 16, 1, 64)
    for core in range(9):
        found = said(whole(first=heavy, core=core))
        limit = chips.CHIPS["speck2f"].kernel_words[core]
        assert found == ([] if core in (5, 6) else [(f"cnn_layers[{core}]", "65536 words", f"{limit} words")])
        assert (not said(whole(first=wide, core=core))) is (core in (0, 1, 2))
    biased = CnnLayerConfig(biases=np.ones(1, np.int16))
    for core in range(5):
        assert (not said(whole("speck2cmini", biased, core))) is (core in (3, 4))


def test_one_layer_per_core_and_an_entry_that_exists() -> None:
    config = whole()
    for layers in (config.cnn_layers[:8], (*config.cnn_layers, CnnLayerConfig())):
        assert said(attrs.evolve(config, cnn_layers=layers)) == [("cnn_layers", len(layers), 9)]
    assert not said(attrs.evolve(config, entries=(Entry(layer=8),)))
    assert said(attrs.evolve(config, entries=(Entry(layer=9),))) == [("entries[0].layer", 9, "0..8")]
    assert said(attrs.evolve(config, entries=(Entry(layer=-1),)))
    assert said(attrs.evolve(config, chip="speck9"))
    assert said(attrs.evolve(whole("speck2dmini"), entries=(Entry(layer=5),))) == [("entries[0].layer", 5, "0..4")]


@pytest.mark.parametrize("chip", [*chips.CHIPS])
def test_destinations_that_exist(chip: str) -> None:
    n = chips.CHIPS[chip].n_cores
    for target in range(13):
        first = CnnLayerConfig(destinations=(Destination(), Destination(enable=True, layer=target)))
        found = said(whole(chip, first))
        good = target < n or target == chips.READOUT_LAYER
        assert found == ([] if good else [("cnn_layers[0].destinations[1].layer", target, None)])
        off = CnnLayerConfig(destinations=(Destination(), Destination(layer=target)))
        assert not said(whole(chip, off))


@pytest.mark.parametrize("chip", [*chips.CHIPS])
def test_what_only_some_chips_have(chip: str) -> None:
    table = chips.CHIPS[chip]
    for field, has in (("output_decimator_enable", table.decimator),
                       ("input_congestion_balancer_enable", table.congestion_balancer)):  # fmt: skip
        assert (not said(whole(chip, core(**{field: True})))) is has
    bits = CnnLayerConfig(biases_kill_bit=np.zeros(1, bool))
    assert (not said(whole(chip, bits))) is table.kill_bits


def test_modes_of_the_filter_exclude_each_other() -> None:
    both = DvsFilterConfig(low_pass_mode_enable=True, hot_pixel_filter_enable=True)
    assert [where for where, *_ in said(both)] == ["low_pass_mode_enable"]
    assert not said(DvsFilterConfig(low_pass_mode_enable=True))


TO_CORE_5 = DvsDestination(enable=True, layer=5)


@pytest.mark.parametrize(
    ("chip", "changes", "where"),
    [
        ("speck2cmini", {"dvs_layer": DvsLayerConfig(destinations=(TO_CORE_5, DvsDestination()))},
         "dvs_layer.destinations[0].layer"),
        ("speck2b", {"readout": ReadoutConfig(enable=True)}, "readout"),
        ("speck2cmini", {"readout": ReadoutConfig(monitor_enable=True)}, "readout"),
        ("speck2f", {"dvs_filter": DvsFilterConfig(enable=True, filter_size=WindowXY(x=0))}, "dvs_filter.filter_size"),
        ("speck2f", {"dvs_layer": DvsLayerConfig(origin=PointXY(x=9), cut=PointXY(x=8))}, "dvs_layer.cut"),
        ("speck2f", {"dvs_layer": DvsLayerConfig(origin=PointXY(y=64), pooling=PoolXY(y=2))}, "dvs_layer.origin.y"),
        ("speck2f", {"dvs_filter": DvsFilterConfig(enable=True, low_pass_mode_enable=True)}, "dvs_filter.filter_size"),
    ],
)  # fmt: skip
def test_blocks_that_no_such_chip_takes(chip: str, changes: Any, where: str) -> None:
    config = attrs.evolve(whole(chip), **changes)
    assert [p for p in hal_config.problems(config) if p.where.startswith(where)], where


@pytest.mark.parametrize("bits", ["weights_kill_bit", "biases_kill_bit", "neurons_value_kill_bit"])
def test_kill_bits_have_the_shape_of_what_they_kill(bits: str) -> None:
    shape = {"weights_kill_bit": (2, 1, 1, 1), "biases_kill_bit": (2,), "neurons_value_kill_bit": (1, 2, 1)}[bits]
    assert not hal_config.problems(whole("speck2b", core(**{bits: np.zeros(_right(bits), bool)})))
    assert hal_config.problems(whole("speck2b", core(**{bits: np.zeros(shape, bool)})))


def _right(bits: str) -> tuple[int, ...]:
    return {"weights_kill_bit": (1, 1, 1, 1), "biases_kill_bit": (1,), "neurons_value_kill_bit": (1, 1, 1)}[bits]


def test_every_problem_at_once() -> None:
    layers = list(whole().cnn_layers)
    layers[1] = CnnLayerConfig(threshold_low=0)
    layers[4] = CnnLayerConfig(output_decimator_interval=8, threshold_high=40000)
    with pytest.raises(ConfigError) as error:
        hal_config.check(SpeckConfig(cnn_layers=tuple(layers), entries=(Entry(layer=-1),)))
    where = {problem.where for problem in error.value.problems}
    assert where >= {"entries[0].layer", "cnn_layers[4].output_decimator_interval", "cnn_layers[4].threshold_high"}
    assert "cnn_layers[1].threshold_low" in where


# --- JSON -------------------------------------------------------------------------------------------------------------


def value_of(kind: Any, spec: Any, draw: Any) -> Any:
    """Any legal value of a field without arrays, by what it declares."""
    if spec.choices:
        return draw(st.sampled_from(spec.choices))
    if kind is bool:
        return draw(st.booleans())
    if kind is int:
        return draw(st.integers(int(spec.minimum), int(spec.maximum)))
    if get_origin(kind) is tuple:
        return tuple(any_of(inner, draw) for inner in get_args(kind))
    return any_of(kind, draw)


def any_of(cls: Any, draw: Any) -> Any:
    return cls(**{name: value_of(kind, spec, draw) for name, kind, spec in fields_of(cls)})


def any_core(draw: Any) -> CnnLayerConfig:
    """Shapes that agree, arrays and thresholds of any value, destinations of any kind."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    f_in, f_out, k = draw(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3)))
    x_in, y_in = draw(st.tuples(st.integers(k, 9), st.integers(k, 9)))
    padding, stride = any_of(PaddingXY, draw), any_of(StrideXY, draw)
    x, y = (x_in + 2 * padding.x - k) // stride.x + 1, (y_in + 2 * padding.y - k) // stride.y + 1
    low, high = sorted(rng.choice(np.arange(-32768, 32768), 2, replace=False).tolist())
    targets = (any_of(Destination, draw), any_of(Destination, draw))
    return CnnLayerConfig(
        dimensions=Dimensions(
            input_shape=FeatureMap(feature_count=f_in, size=SizeXY(x=x_in, y=y_in)),
            output_shape=FeatureMap(feature_count=f_out, size=SizeXY(x=x, y=y)),
            padding=padding,
            stride=stride,
            kernel_size=k,
        ),
        weights=rng.integers(-128, 128, (f_out, f_in, k, k)).astype(np.int8),
        biases=rng.integers(-32768, 32768, f_out).astype(np.int16),
        neurons_initial_value=rng.integers(-32768, 32768, (f_out, x, y)).astype(np.int16),
        threshold_high=high,
        threshold_low=low or -1,
        monitor_enable=draw(st.booleans()),
        output_decimator_enable=draw(st.booleans()),
        output_decimator_interval=draw(st.integers(0, 7)),
        destinations=tuple(t if t.layer in (*range(9), 12) else attrs.evolve(t, enable=False) for t in targets),
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_json_there_and_back(data: st.DataObject) -> None:
    layers = [any_core(data.draw) if i in (0, 4, 8) else CnnLayerConfig() for i in range(9)]
    dvs_filter = attrs.evolve(
        any_of(DvsFilterConfig, data.draw), low_pass_mode_enable=False, filter_size=WindowXY(x=15)
    )
    config = SpeckConfig(
        cnn_layers=tuple(layers),
        dvs_layer=attrs.evolve(any_of(DvsLayerConfig, data.draw), origin=PointXY(y=3), cut=PointXY(x=127, y=3)),
        dvs_filter=dvs_filter,
        readout=any_of(ReadoutConfig, data.draw),
        factory_config=any_of(FactoryConfig, data.draw),
        entries=tuple(Entry(layer=n) for n in data.draw(st.lists(st.integers(0, 8), max_size=3))),
    )
    assert not hal_config.problems(config)
    text = json.dumps(hal_config.to_json(config), allow_nan=False)
    assert hal_config.from_json(SpeckConfig, json.loads(text)) == config


def test_json_of_a_mapping(speck: Any, chain: Any) -> None:
    model = chain(2, 9, 7).conv(np.arange(-27, 27).reshape(3, 2, 3, 3), "w", bias=[1, -2, 3]).fire(50, "n").model()
    config = speck.map(model).config
    again = hal_config.from_json(SpeckConfig, json.loads(json.dumps(hal_config.to_json(config))))
    assert again == config
    assert again.cnn_layers[0].weights.dtype == np.int8
    assert again != attrs.evolve(config, entries=(Entry(layer=1),))


@pytest.mark.parametrize("cls", [SpeckConfig, SpeckMapOptions, SpeckOpenOptions])
def test_every_field_is_described(cls: type) -> None:
    schema = json.loads(json.dumps(hal_config.json_schema(cls)))
    assert schema
    for one in (*FLAT, cls):
        for name, _, spec in fields_of(one):
            assert spec.doc or one is cls, (one, name)


def test_json_that_is_not_valid() -> None:
    good = hal_config.to_json(whole())
    for broken in ({"entries": [{"layer": 99}]}, {"entries": "0"}, {"chip": "speck9"}, {"nonsense": 1}):
        with pytest.raises(ConfigError) as error:
            hal_config.from_json(SpeckConfig, {**good, **broken})
        assert next(iter(broken)) in str(error.value)


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "good"),
    [
        ({"slow_clock_hz": 0.001}, True), ({"slow_clock_hz": 0.0009}, False), ({"slow_clock_hz": 1e6}, True),
        ({"slow_clock_hz": 1.1e6}, False), ({"slow_clock_hz": float("inf")}, False), ({"slow_clock_hz": None}, True),
        ({"odd_pooling": "keep"}, True), ({"odd_pooling": "round"}, False),
        ({"rate": None}, True), ({"rate": 1}, True), ({"rate": 0}, False), ({"rate": (1e6,) * 9}, True),
        ({"rate": (1e6, -1)}, False), ({"buffer_depth": 0}, False), ({"buffer_depth": (1, 2)}, True),
        ({"balancer_depth": 0}, False), ({"stall_after_us": 0}, True), ({"stall_after_us": -1}, False),
        ({"decimator_passes": "both"}, False), ({"monitor": "before decimator"}, True), ({"monitor": "all"}, False),
    ],
)  # fmt: skip
def test_open_options(options: Any, good: bool) -> None:
    assert (not hal_config.problems(SpeckOpenOptions(**options))) is good


@pytest.mark.parametrize(
    ("options", "good"),
    [
        ({"v_min_factor": 1.0}, True), ({"v_min_factor": 0.999}, False), ({"v_min_factor": 16.0}, True),
        ({"v_min_factor": 16.1}, False), ({"reserved_cores": (0, 8)}, True), ({"reserved_cores": (9,)}, False),
        ({"fixed_cores": {"a": 8}}, True), ({"fixed_cores": {"a": 9}}, False), ({"fixed_cores": {"a": -1}}, False),
        ({"chip_layers_ordering": "auto"}, True), ({"chip_layers_ordering": (0, 9)}, False),
        ({"chip_layers_ordering": "first"}, False),
        ({"quantisation": "sinabs"}, True), ({"quantisation": "none"}, False),
        ({"approximate": {"leak", "reset", "delays"}}, True), ({"approximate": {"threshold"}}, False),
    ],
)  # fmt: skip
def test_map_options(options: Any, good: bool) -> None:
    assert (not hal_config.problems(SpeckMapOptions(**options))) is good
