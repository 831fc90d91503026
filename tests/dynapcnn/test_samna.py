"""The script for samna against a recording stand-in, and what opening a board says."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hal
from hal import config as hal_config
from hal import vendor
from hal.errors import CapabilityError, ConfigError, OptionalDependencyError
from hal_dynapcnn import chips, plugin, samna_script
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

STANDIN = Path(__file__).with_name("samna_standin.py")
KILLS = ("weights_kill_bit", "biases_kill_bit", "neurons_value_kill_bit")
NEWER = ("input_congestion_balancer_enable", "output_decimator_enable", "output_decimator_interval")
EXTENSION = "_samna.cpython-311-x86_64-linux-gnu.so"
STUB = 'raise SystemExit("an installer was started")\nPYPI_SAMNA = True\n'


@pytest.fixture(scope="module")
def samna() -> ModuleType:
    """The stand-in as a module of this process, under no name that anything could import."""
    spec = importlib.util.spec_from_file_location("samna_standin", STANDIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def install(folder: Path, text: str, *, compiled: bool, version: str = "") -> Path:
    """A package `samna` in a folder; with metadata when it has a version."""
    (folder / "samna").mkdir(parents=True)
    (folder / "samna" / "__init__.py").write_text(text, encoding="utf-8")
    if compiled:
        (folder / "samna" / EXTENSION).write_bytes(b"")
    if version:
        info = folder / f"samna-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: samna\nVersion: {version}\n")
    return folder


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder whose package `samna` is the stand-in."""
    return install(tmp_path / "site", STANDIN.read_text(encoding="utf-8"), compiled=True)


def python(*arguments: object, path: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """A new interpreter without installed packages, but for those in `path`."""
    return subprocess.run(
        [sys.executable, "-S", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(path or ""), **env},
        timeout=60,
        check=False,
    )


# --- registers at random --------------------------------------------------------------------------------------------

FLAGS = st.booleans()


def arrays(draw: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    """Zeros, one value, or any: the script has a short form for the first two."""
    how = draw(st.sampled_from(["zeros", "one", "any", "any"]))
    if how == "zeros":
        return np.zeros(shape, dtype)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    limits = np.iinfo(dtype)
    size = () if how == "one" else shape
    return np.broadcast_to(rng.integers(limits.min, limits.max, size, dtype, endpoint=True), shape).copy()


@st.composite
def layers(draw: Any, table: chips.ChipTable) -> CnnLayerConfig:
    k = draw(st.integers(1, 4))
    axis = {}
    for name in "xy":
        stride, pad = draw(st.sampled_from(chips.STRIDES)), draw(st.integers(0, 3))
        size = draw(st.integers(max(1, k - 2 * pad), 12))
        axis[name] = (size, pad, stride, (size + 2 * pad - k) // stride + 1)
    (x, pad_x, step_x, out_x), (y, pad_y, step_y, out_y) = axis["x"], axis["y"]
    c, f = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    low = draw(st.integers(-32768, 32766).filter(bool))
    fields = {
        "dimensions": Dimensions(
            input_shape=FeatureMap(feature_count=c, size=SizeXY(x=x, y=y)),
            output_shape=FeatureMap(feature_count=f, size=SizeXY(x=out_x, y=out_y)),
            padding=PaddingXY(x=pad_x, y=pad_y),
            stride=StrideXY(x=step_x, y=step_y),
            kernel_size=k,
        ),
        "weights": arrays(draw, np.int8, (f, c, k, k)),
        "biases": arrays(draw, np.int16, (f,)),
        "neurons_initial_value": arrays(draw, np.int16, (f, out_x, out_y)),
        "threshold_low": low,
        "threshold_high": draw(st.integers(low + 1, 32767)),
        "destinations": tuple(
            Destination(
                enable=draw(FLAGS),
                layer=draw(st.sampled_from([*range(9), *([12] if table.readout else [])])),
                pooling=draw(st.sampled_from(chips.POOLINGS)),
                feature_shift=draw(st.integers(0, 1023)),
            )
            for _ in range(2)
        ),
    }
    flags = ["leak_enable", "leak_internal_slow_clk_enable", "return_to_zero", "monitor_enable"]
    if table.decimator:
        flags += ["input_congestion_balancer_enable", "output_decimator_enable"]
        fields["output_decimator_interval"] = draw(st.integers(0, 7))
    if table.kill_bits and draw(FLAGS):
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        killed = (fields["weights"], fields["biases"], fields["neurons_initial_value"])
        fields |= {name: rng.random(of.shape) < 0.3 for name, of in zip(KILLS, killed, strict=True)}
    return CnnLayerConfig(**fields, **{name: draw(FLAGS) for name in flags})


@st.composite
def configs(draw: Any) -> SpeckConfig:
    table = chips.CHIPS[draw(st.sampled_from([*samna_script.CLASSES]))]
    cores = [CnnLayerConfig() for _ in range(table.n_cores)]
    for core in draw(st.sets(st.integers(0, 8), max_size=3)):
        cores[core] = draw(layers(table))
    low_pass = draw(FLAGS)
    ax, ay, bx, by = (draw(st.integers(0, 31)) for _ in range(4))  # on the map whatever the pooling
    dvs = {name: draw(FLAGS) for name in ("merge", "on_channel", "off_channel", "mirror_diagonal")}
    dvs |= {name: draw(FLAGS) for name in ("pass_sensor_events", "monitor_enable", "raw_monitor_enable")}
    readout = {
        field.name: draw(FLAGS)
        for field in attrs.fields(ReadoutConfig)
        if table.readout and str(field.type) in ("bool", "<class 'bool'>")
    }
    numbers = {"readout_configuration_sel": 3, "output_mode_sel": 3, "threshold": 65535, "output_neuron_num": 15}
    if table.readout:
        readout |= {name: draw(st.integers(0, most)) for name, most in numbers.items()}
    made = SpeckConfig(
        chip=table.name,
        cnn_layers=tuple(cores),
        dvs_layer=DvsLayerConfig(
            pooling=PoolXY(x=draw(st.sampled_from([1, 2, 4])), y=draw(st.sampled_from([1, 2, 4]))),
            origin=PointXY(x=min(ax, bx), y=min(ay, by)),
            cut=PointXY(x=max(ax, bx), y=max(ay, by)),
            mirror=FlagXY(x=draw(FLAGS), y=draw(FLAGS)),
            destinations=tuple(DvsDestination(enable=draw(FLAGS), layer=draw(st.integers(0, 8))) for _ in range(2)),
            **dvs,
        ),
        dvs_filter=DvsFilterConfig(
            enable=draw(FLAGS),
            filter_size=WindowXY(x=0, y=0) if low_pass else WindowXY(x=draw(st.integers(1, 15)), y=5),
            threshold=draw(st.integers(0, 65535)),
            hot_pixel_filter_enable=not low_pass and draw(FLAGS),
            low_pass_mode_enable=low_pass,
            internal_slow_clk=draw(FLAGS),
        ),
        readout=ReadoutConfig(**readout),
        factory_config=FactoryConfig(
            internal_slow_clk_divider=draw(st.integers(14, 17)),
            io_sel=draw(st.integers(0, 31)),
            fast_output=draw(FLAGS),
        ),
        entries=tuple(
            Entry(port=draw(st.text(max_size=5)), layer=draw(st.integers(0, 8)), feature_shift=draw(st.integers(0, 9)))
            for _ in range(draw(st.integers(1, 3)))
        ),
    )
    return hal_config.check(made)


def mapping_of(config: SpeckConfig) -> Any:
    """A mapping that holds the registers; what the emulator would say of them does not matter here."""
    mapping = hal.mapper(config.chip).adopt(SpeckConfig(chip=config.chip, cnn_layers=(CnnLayerConfig(),) * 9))
    return attrs.evolve(mapping, config=config)


# --- there and back -------------------------------------------------------------------------------------------------


def reread(cls: Any, tree: dict[str, Any]) -> Any:
    """A configuration class from what the stand-in holds, field by field under the same names."""
    known = {name: (kind, spec) for name, kind, spec in hal_config.fields_of(cls)}
    values: dict[str, Any] = {}
    for name, value in tree.items():
        kind, spec = known[name]
        if attrs.has(kind):
            values[name] = reread(kind, value)
        elif name == "destinations":
            values[name] = tuple(reread(DvsDestination if cls is DvsLayerConfig else Destination, d) for d in value)
        elif name == "cnn_layers":
            values[name] = tuple(reread(CnnLayerConfig, layer) for layer in value)
        else:
            values[name] = np.array(value, spec.dtype) if spec.dtype else value
    return cls(**values)


def expected(config: SpeckConfig) -> SpeckConfig:
    """The registers with kill bits written out, where the chip has them."""
    if not chips.CHIPS[config.chip].kill_bits:
        return config

    def whole(layer: CnnLayerConfig) -> CnnLayerConfig:
        of = (layer.weights, layer.biases, layer.neurons_initial_value)
        given = zip(KILLS, of, strict=True)
        bits = {k: getattr(layer, k) if getattr(layer, k).size else np.zeros(v.shape, bool) for k, v in given}
        return attrs.evolve(layer, **bits)

    return attrs.evolve(config, cnn_layers=tuple(whole(layer) for layer in config.cnn_layers))


def compare(config: SpeckConfig, tree: dict[str, Any], used: list[int], entries: list[dict[str, Any]]) -> None:
    """What the stand-in holds is the configuration; cores not in use are the stand-in's own."""
    wanted = expected(config)
    untouched = [core for core in range(9) if core not in used]
    layers = [reread(CnnLayerConfig, layer) for layer in tree.pop("cnn_layers")]
    for core in untouched:
        layers[core] = wanted.cnn_layers[core]
    blocks = {name: reread(type(getattr(config, name)), block) for name, block in tree.items()}
    made = SpeckConfig(
        chip=config.chip, cnn_layers=tuple(layers), entries=tuple(Entry(**entry) for entry in entries), **blocks
    )
    assert made == wanted


def names_in(text: Any, samna: ModuleType) -> dict[str, Any]:
    """The names that a script defines, run as a module in this process and with the stand-in for the library."""
    names: dict[str, Any] = {"__name__": "exported"}
    exec(compile(text, "exported.py", "exec"), names)
    names["load_samna"] = lambda: samna
    return names


@settings(deadline=None, max_examples=60)
@given(config=configs())
def test_every_register_arrives(samna: ModuleType, config: SpeckConfig) -> None:
    text = hal.export(mapping_of(config), "samna")
    assert isinstance(text, str)
    assert text.isascii()
    names = names_in(text, samna)
    made = names["make_configuration"]()
    used = samna_script.cores_in_use(config)
    compare(config, made.tree(), used, names["ENTRIES"])
    # each field once, no core that is not in use, and nothing left at a default
    times = made.times()
    for path, n in times.items():
        core = int(path[len("cnn_layers[")]) if path.startswith("cnn_layers") else None
        assert n == (core is None or core in used), path
    table = chips.CHIPS[config.chip]
    for name in NEWER:
        assert any(path.endswith(name) for path in times) is table.decimator
    for name in KILLS:
        assert any(path.endswith(name) for path in times) is table.kill_bits
    assert any(path.startswith("readout.") for path in times) is table.readout


def test_cores_in_use_are_those_that_are_reached_or_changed() -> None:
    cores = [CnnLayerConfig() for _ in range(9)]
    cores[4] = CnnLayerConfig(threshold_high=9, destinations=(Destination(enable=True, layer=12), Destination(layer=7)))
    cores[2] = CnnLayerConfig(destinations=(Destination(enable=True, layer=3), Destination(enable=True, layer=12)))
    dvs = DvsLayerConfig(destinations=(DvsDestination(enable=True, layer=5), DvsDestination(layer=8)))
    config = SpeckConfig(cnn_layers=tuple(cores), entries=(Entry(layer=1),), dvs_layer=dvs)
    assert samna_script.cores_in_use(config) == [1, 2, 3, 4, 5]


def test_a_mapped_network_has_x_before_y(samna: ModuleType, speck: Any, chain: Any) -> None:
    """A kernel and a map that are not symmetric, checked against the model's own (y, x) arrays."""
    rng = np.random.default_rng(1)
    first, second = rng.integers(-100, 127, (3, 2, 3, 3)), rng.integers(-9, 100, (2, 3, 2, 2))
    made = chain(2, 5, 9).conv(first, padding=(1, 0), stride=(1, 2)).fire(200, "one").pool((1, 1))
    model = made.conv(second, bias=[-3, 0]).fire(150, "two", v_reset=0).model()
    mapping = speck.map(model, quantisation="keep_integers")
    names = names_in(hal.export(mapping, "samna"), samna)
    config = names["make_configuration"]()
    one, two = (int(mapping.where(name)["core"][0]) for name in ("one", "two"))
    assert names["CORES"] == {"one": [one], "two": [two]}
    assert (names["DEVICE"], names["MODEL"]) == ("speck2f", model.fingerprint)
    assert names["ENTRIES"] == [{"port": "input", "layer": one, "feature_shift": 0}]
    for core, weights in ((one, first), (two, second)):
        held = np.array(config.cnn_layers[core].weights)
        for f, c, y, x in np.ndindex(*weights.shape):
            assert held[f, c, x, y] == weights[f, c, y, x]
    layer = config.cnn_layers[one]
    assert (layer.dimensions.input_shape.size.x, layer.dimensions.input_shape.size.y) == (9, 5)
    assert (layer.dimensions.padding.x, layer.dimensions.padding.y) == (0, 1)
    assert (layer.dimensions.stride.x, layer.dimensions.stride.y) == (2, 1)
    # (9 - 3) // 2 + 1 columns, 5 + 2 - 3 + 1 rows
    assert np.shape(layer.neurons_initial_value) == (3, 4, 5)
    assert (config.cnn_layers[two].biases, config.cnn_layers[two].leak_enable) == ([-3, 0], True)
    assert (layer.destinations[0].enable, layer.destinations[0].layer) == (True, two)
    assert (layer.threshold_high, config.cnn_layers[two].monitor_enable) == (200, True)


def test_what_the_host_computes_is_named(samna: ModuleType, speck: Any, chain: Any) -> None:
    model = chain(1, 4, 4).relay().fire(1, "n").pool(2, "last").model()
    assert names_in(hal.export(speck.map(model), "samna"), samna)["HOST"] == ["last"]


def test_names_from_a_file_stay_data(samna: ModuleType, speck: Any, chain: Any) -> None:
    name = '"""\nraise SystemExit(7)\n\\\x1b\u2028é'
    mapping = speck.map(chain(1, 1, 1, name=name).relay().fire(1, name + "n").model())
    text = hal.export(mapping, "samna")
    assert isinstance(text, str)
    assert text.isascii()
    names = names_in(text, samna)
    assert [entry["port"] for entry in names["ENTRIES"]] == [name]
    assert [*names["CORES"]] == [name + "n"]


# --- in a process of its own ----------------------------------------------------------------------------------------

SHOW = """
import json, sys
sys.path.insert(0, sys.argv[1])
from exported import ENTRIES, make_configuration
ours = [name for name in sys.modules if name.startswith(("hal", "numpy"))]
print(json.dumps([make_configuration().tree(), ENTRIES, ours]))
"""


@pytest.fixture
def killed() -> SpeckConfig:
    """A devkit with kill bits, leak, reset to zero, the sensor and the readout block."""
    bits = np.array([[[[True, False], [False, True]]]])
    layer = CnnLayerConfig(
        dimensions=Dimensions(
            input_shape=FeatureMap(size=SizeXY(x=5, y=3)),
            output_shape=FeatureMap(size=SizeXY(x=4, y=2)),
            kernel_size=2,
        ),
        weights=np.array([[[[-128, 1], [2, 127]]]], np.int8),
        biases=np.array([-32768], np.int16),
        neurons_initial_value=np.arange(-3, 5, dtype=np.int16).reshape(1, 4, 2),
        weights_kill_bit=bits,
        leak_enable=True,
        return_to_zero=True,
        threshold_low=-1,
        destinations=(Destination(enable=True, layer=12, pooling=2, feature_shift=3), Destination()),
    )
    return hal_config.check(
        SpeckConfig(
            chip="dynapcnndevkit",
            cnn_layers=(*[CnnLayerConfig()] * 6, layer, *[CnnLayerConfig()] * 2),
            entries=(Entry(layer=6, feature_shift=2),),
            dvs_layer=DvsLayerConfig(pass_sensor_events=True, cut=PointXY(x=9, y=7), mirror=FlagXY(x=True)),
            readout=ReadoutConfig(enable=True, output_mode_sel=1, threshold=4),
        )
    )


def written(config: SpeckConfig, folder: Path) -> Path:
    text = hal.export(mapping_of(config), "samna")
    assert isinstance(text, str)
    path = folder / "exported.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_as_a_module_and_as_a_program(killed: SpeckConfig, installed: Path, tmp_path: Path) -> None:
    path = written(killed, tmp_path)
    shown = python("-c", SHOW, tmp_path, path=installed)
    assert shown.stderr == ""
    tree, entries, ours = json.loads(shown.stdout)
    assert ours == []
    compare(killed, tree, [6], entries)
    done = python(path, path=installed)
    assert (done.returncode, done.stderr) == (0, "")
    assert "not verified on silicon" in done.stdout
    assert "NOT VERIFIED ON SILICON" in path.read_text(encoding="utf-8")


def test_a_validation_that_says_no(killed: SpeckConfig, installed: Path, tmp_path: Path) -> None:
    done = python(written(killed, tmp_path), path=installed, STANDIN_SAYS="core 6: too large")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: samna says that the configuration is not valid: core 6: too large\n"


def test_a_library_with_other_fields(killed: SpeckConfig, installed: Path, tmp_path: Path) -> None:
    """Every field that cannot be assigned is in the message."""
    done = python(written(killed, tmp_path), path=installed, STANDIN_LACKS="enable")
    assert (done.returncode, done.stdout) == (1, "")
    lines = [line for line in done.stderr.splitlines() if line.endswith("samna has no such field")]
    places = ["cnn_layers[6].destinations[0]", "cnn_layers[6].destinations[1]", "dvs_layer.destinations[0]"]
    places += ["dvs_layer.destinations[1]", "dvs_filter", "readout"]
    assert [line.strip().partition(":")[0] for line in lines] == [f"{place}.enable" for place in places]


def test_a_library_that_hands_out_copies(killed: SpeckConfig, installed: Path, tmp_path: Path) -> None:
    """Writing to a copy changes nothing, and is found by reading back."""
    done = python(written(killed, tmp_path), path=installed, STANDIN_COPIES="1")
    assert done.returncode == 1
    stayed = [line.strip().partition(":")[0] for line in done.stderr.splitlines() if "did not stay" in line]
    place = "cnn_layers[6].destinations[0]"
    assert stayed == [f"{place}.{field}" for field in ("enable", "layer", "pooling", "feature_shift")]


def test_values_that_the_library_refuses(samna: ModuleType, killed: SpeckConfig) -> None:
    """The stand-in is no pushover: wrong types, ranges, shapes and names come back as problems."""
    names = names_in(hal.export(mapping_of(killed), "samna"), samna)
    place = "cnn_layers[6]"
    wrong = {
        f"{place}.dimensions": {"kernel_size": 17, "stride.x": 3},
        place: {"leak_enable": 1, "weights": [[[[300]]]], "biases": ("int16", (2,), 0), "threshold": 5},
        "cnn_layers[9]": {"leak_enable": True},
        "dvs_filter": {"filter_size": 3},
    }
    problems = names["assign"](samna.dynapcnn.configuration.DynapcnnConfiguration(), names["REGISTERS"] | wrong)
    said = {line.partition(":")[0]: line for line in problems}
    assert set(said) >= {f"{place}.dimensions.kernel_size", f"{place}.dimensions.stride.x", f"{place}.leak_enable"}
    assert "expected a bool" in said[f"{place}.leak_enable"]
    assert "no such field" in said[f"{place}.threshold"]
    assert "IndexError" in said["cnn_layers[9].leak_enable"]
    assert {f"{place}.weights", f"{place}.biases", "dvs_filter.filter_size"} <= set(said)


def test_without_the_library(killed: SpeckConfig, tmp_path: Path) -> None:
    path = written(killed, tmp_path)
    done = python(path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: samna is not installed")
    # nothing is needed to read the constants
    assert python("-c", "from exported import ENTRIES", path=tmp_path).returncode == 0


def test_the_placeholder_is_not_imported_by_the_script(killed: SpeckConfig, tmp_path: Path) -> None:
    site = install(tmp_path / "site", STUB, compiled=False, version="0.48.6")
    done = python(written(killed, tmp_path), path=site)
    assert (done.returncode, done.stdout) == (1, "")
    assert "starts an installer, not samna; not imported" in done.stderr


@pytest.mark.parametrize("text", ["", "class speck2f: pass", "class dynapcnn:\n    class configuration: pass"])
def test_a_library_without_the_class(killed: SpeckConfig, tmp_path: Path, text: str) -> None:
    site = install(tmp_path / "site", f"__version__ = '9'\n{text}\n", compiled=True)
    done = python(written(killed, tmp_path), path=site)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: samna 9 has no samna.dynapcnn.configuration.DynapcnnConfiguration\n"


# --- what is exported, and what is not ------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", plugin.SPECS, ids=lambda spec: spec.name)
def test_chips_with_a_known_class(spec: Any, samna: ModuleType) -> None:
    known = not spec.name.endswith("mini")
    assert spec.exports == (("samna",) if known else ())
    assert spec.kinds == (("emulator", "hardware") if known else ("emulator",))
    assert spec.vendor == ("samna" if known else "")
    mapping = hal.mapper(spec.name).adopt(SpeckConfig(chip=spec.name, cnn_layers=(CnnLayerConfig(),) * spec.cores))
    if known:
        text = hal.export(mapping, "samna")
        assert isinstance(text, str)
        assert "model: none, made from registers" in text
        assert hal.export(mapping, "samna") == text
        # the library is there for older Pythons, too
        ast.parse(text, feature_version=(3, 8))
        assert names_in(text, samna)["main"]() == 0
        return
    with pytest.raises(CapabilityError, match=f"{spec.name} is not exported to 'samna'") as caught:
        hal.export(mapping, "samna")
    assert "none" in caught.value.hint
    with pytest.raises(CapabilityError, match="is not known") as inner:
        samna_script.script(mapping)
    assert "speck2f" in inner.value.hint


def test_unknown_formats_and_other_things(speck: Any, chain: Any) -> None:
    mapping = speck.map(chain(1, 1, 1).relay().fire(1, "n").model())
    for to in ("sanma", "", None, 3):
        with pytest.raises(CapabilityError, match="not exported") as caught:
            hal.export(mapping, to)
        assert "exports of speck2f: samna" in caught.value.hint
        assert caught.value.data["exports"] == ("samna",)
    with pytest.raises(CapabilityError, match="not exported") as caught:
        hal.export(mapping, "samnaa")
    assert "did you mean samna?" in caught.value.hint
    for wrong in ("net.mapping", None, mapping.config):
        with pytest.raises(ConfigError, match="export takes a mapping"):
            hal.export(wrong, "samna")


# --- opening a board ------------------------------------------------------------------------------------------------


def test_without_samna_the_error_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "samna" else found(name, *more)
    )
    with pytest.raises(OptionalDependencyError, match="samna is not installed") as caught:
        hal.open("speck2f", kind="hardware")
    assert isinstance(caught.value, ImportError)
    assert caught.value.data["package"] == "samna"
    assert "an index of its own" in caught.value.hint
    assert "hal export MAPPING --to samna" in caught.value.hint


def test_the_placeholder_is_recognised_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(install(tmp_path, STUB, compiled=False, version="0.48.6"))
    found = vendor.look("samna")
    assert found == vendor.VendorPackage(name="samna", installed=True, version="0.48.6", compiled=False)
    with pytest.raises(OptionalDependencyError, match=r"samna 0\.48\.6 is a placeholder without a compiled module"):
        hal.open("speck2fdevkit", kind="hardware")
    assert "samna" not in sys.modules


def test_with_samna_driving_is_not_available_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is the library imported for it."""
    monkeypatch.syspath_prepend(install(tmp_path, 'raise SystemExit("imported")', compiled=True, version="0.46.0"))
    assert str(vendor.look("samna")) == "samna 0.46.0"
    for name in samna_script.CLASSES:
        with pytest.raises(CapabilityError, match=f"opening {name} as hardware is not available yet") as caught:
            hal.open(name, kind="hardware", serial="7")
        assert "hal export MAPPING --to samna" in caught.value.hint
    assert "samna" not in sys.modules


def test_chips_that_are_not_exported_are_emulators_only() -> None:
    with pytest.raises(CapabilityError, match="cannot be opened as 'hardware'"):
        hal.open("speck2cmini", kind="hardware")
