"""Mappings: who sits where, what was lost, saving and reading back, registers edited by hand."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hal
from hal import nodes
from hal.errors import CapabilityError, ConfigError, DoesNotFitError, FormatError, HalError, PluginError
from hal.mapping import Losses, Placement, read_mapping


def placement() -> Placement:
    return Placement.build(
        [
            {"node": "input", "index": [0, 1, 2], "core": -1, "neuron": [0, 1, 2]},
            {"node": "a", "index": [0, 0, 1, 1], "part": [0, 1, 0, 1], "core": 2, "neuron": [8, 9, 10, 11], "tag": 7},
            {"node": "b", "index": [0, 1], "chip": 1, "core": [2, 3], "neuron": [8, 8], "tag": [1, 2]},
        ],
        ["tag"],
    )


# --- placement -------------------------------------------------------------------------------------------------------


def test_one_row_per_neuron_and_part_with_extras() -> None:
    rows = placement().where("a")
    assert rows.dtype.names == ("node", "index", "part", "chip", "core", "neuron", "tag")
    assert rows["index"].tolist() == [0, 0, 1, 1]
    assert rows["part"].tolist() == [0, 1, 0, 1]
    assert rows["tag"].tolist() == [7] * 4
    assert placement().where("input")["core"].tolist() == [-1] * 3


def test_no_index_is_no_rows(net: Any) -> None:
    mapping = hal.mapper("speck2f").map(net.relay())
    for node in ("output", "cells"):
        assert len(mapping.where(node, [])) == len(mapping.where(node, np.zeros(0, int))) == 0


def test_where_takes_one_index_or_several() -> None:
    assert placement().where("a", 1)["neuron"].tolist() == [10, 11]
    assert placement().where("b", [1, 0])["core"].tolist() == [2, 3]


def test_where_of_an_unknown_node_gives_advice() -> None:
    with pytest.raises(HalError, match="inptu") as caught:
        placement().where("inptu")
    assert "input" in str(caught.value)


def test_who_is_the_inverse_of_where() -> None:
    made = placement()
    for node in ("a", "b"):
        for row in made.where(node):
            assert made.who(int(row["chip"]), int(row["core"]), int(row["neuron"])) == (node, int(row["index"]))
    assert made.who(0, 2, 99) is None
    assert made.who(0, -1, 0) is None


def test_moved_names_what_sits_elsewhere() -> None:
    one = placement()
    shifted = Placement(one.nodes, one.rows.copy())
    shifted.rows["tag"][one.rows["node"] == 2] += 1
    assert one.moved(placement()) == []
    assert one.moved(shifted) == ["b"]
    fewer = Placement.build([{"node": "a", "index": [0], "core": 2, "neuron": [8]}], ["tag"])
    assert one.moved(fewer) == ["input", "a", "b"]
    assert fewer.moved(one) == ["a", "input", "b"]


def test_a_column_nobody_declared_is_an_error_of_the_author() -> None:
    with pytest.raises((TypeError, HalError), match="nueron"):
        Placement.build([{"node": "a", "index": [0], "core": 0, "nueron": [3]}])


def test_a_node_is_placed_once() -> None:
    part = {"node": "a", "index": [0], "core": 0, "neuron": [3]}
    with pytest.raises((TypeError, HalError), match="a"):
        Placement.build([part, part])


def test_an_empty_placement() -> None:
    empty = Placement.build([])
    assert len(empty.rows) == 0
    assert empty.who(0, 0, 0) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), unique=True, min_size=1, max_size=10))
def test_who_and_where_agree_for_any_layout(places: list[tuple[int, int]]) -> None:
    core, neuron = zip(*places, strict=True)
    half = len(places) // 2
    parts = [
        {"node": "x", "index": np.arange(half), "core": core[:half], "neuron": neuron[:half]},
        {"node": "y", "index": np.arange(len(places) - half), "core": core[half:], "neuron": neuron[half:]},
    ]
    made = Placement.build(parts)
    for k, (at_core, at_neuron) in enumerate(places):
        assert made.who(0, at_core, at_neuron) == (("x", k) if k < half else ("y", k - half))


# --- losses ----------------------------------------------------------------------------------------------------------


def test_losses_are_rows_of_words_and_numbers() -> None:
    losses = Losses.build(
        [
            ("fc", "weight", np.array([3, 5]), np.array([0.26, 0.9]), np.array([0.25, 1.0]), "rounded"),
            ("fc", "weight", np.array([], int), np.array([]), np.array([]), "nothing"),
            ("lif", "tau", np.array([0]), np.array([1.0]), np.array([2.0]), "clipped"),
        ]
    )
    assert len(losses) == 3
    assert next(iter(losses)) == ("fc", "weight", 3, 0.26, 0.25, "rounded")
    assert losses.reasons == ("rounded", "clipped")
    assert losses.summary() == [("fc", "weight", "rounded", 2), ("lif", "tau", "clipped", 1)]


def test_no_losses() -> None:
    assert len(Losses()) == 0
    assert list(Losses()) == Losses().summary() == []


def test_lost_weights_of_a_dense_layer_as_connections(net: Any) -> None:
    model = net.chain(
        net.input("input", 3), net.linear("fc", np.ones((2, 3))), net.spiking("x", 2), net.output("output", 2)
    )
    losses = Losses.build([("fc", "weight", np.array([1, 5]), np.ones(2), np.zeros(2), "pruned")])
    ((source, sources, target, targets),) = losses.connections(model)
    assert (source, target) == ("input", "x")
    assert sorted(zip(sources.tolist(), targets.tolist(), strict=True)) == [(1, 0), (2, 1)]


def test_a_lost_weight_of_a_convolution_is_lost_at_every_place(net: Any) -> None:
    conv = net.conv("conv", np.ones((1, 1, 2, 2)), (3, 3))
    pool = net.sum_pool("pool", (1, 2, 2), 2)
    parts = [net.input("input", 1, 3, 3), conv, pool, net.spiking("x", 1, 1, 1), net.output("output", 1, 1, 1)]
    losses = Losses.build([("conv", "weight", np.array([3]), np.ones(1), np.zeros(1), "pruned")])
    ((_, sources, _, targets),) = losses.connections(net.chain(*parts))
    assert sorted(sources.tolist()) == [4, 5, 7, 8]
    assert set(targets.tolist()) == {0}


def test_lost_connections_do_not_cancel_behind_weights_of_both_signs(net: Any) -> None:
    parts = [net.input("input", 1), net.linear("one", [[1.0], [1.0]]), net.linear("two", [[1.0, -1.0]])]
    model = net.chain(*parts, net.spiking("x", 1), net.output("output", 1))
    losses = Losses.build([("one", "weight", np.array([0, 1]), np.ones(2), np.zeros(2), "pruned")])
    ((_, sources, _, targets),) = losses.connections(model)
    assert (sources.tolist(), targets.tolist()) == ([0], [0])


def test_losses_of_other_parameters_are_no_connections(net: Any) -> None:
    losses = Losses.build([("cells", "v_threshold", np.array([0]), np.ones(1), np.zeros(1), "rounded")])
    assert losses.connections(net.relay()) == []


# --- where, in a mapping ---------------------------------------------------------------------------------------------


def test_an_output_sits_where_its_populations_sit(net: Any) -> None:
    mapping = hal.mapper("speck2f").map(net.relay())
    assert mapping.where("output").tolist() == mapping.where("cells").tolist()
    row = mapping.where("output", 1)[0]
    assert mapping.who(int(row["chip"]), int(row["core"]), int(row["neuron"])) == ("cells", 1)


def test_an_output_behind_a_pool_sits_where_all_neurons_of_the_window_sit(net: Any) -> None:
    parts = [
        net.input("input", 1, 4, 4),
        net.conv("conv", np.ones((1, 1, 1, 1)), (4, 4)),
        net.spiking("x", 1, 4, 4),
        net.sum_pool("pool", (1, 4, 4), 2),
        net.output("output", 1, 2, 2),
    ]
    mapping = hal.mapper("speck2f").map(net.chain(*parts))
    assert len(mapping.where("output")) == 16
    assert mapping.where("output", 3)["index"].tolist() == [10, 11, 14, 15]
    assert {fate.node: fate.fate for fate in mapping.fates}["pool"] == "host"


@pytest.mark.parametrize("index", [4, -1, [0, 99], 0.5, "a"])
def test_an_element_that_an_output_does_not_have_is_an_error(net: Any, index: Any) -> None:
    mapping = hal.mapper("speck2f").map(net.relay(4))
    for node in ("output", "cells"):
        with pytest.raises(HalError, match="no such"):
            mapping.where(node, index)


def test_what_the_host_computes_has_no_place(net: Any) -> None:
    mapping = hal.mapper("speck2f").map(net.readout())
    assert len(mapping.where("output")) == len(mapping.where("li")) == 0
    assert len(mapping.where("cells")) == 2
    with pytest.raises(HalError, match="nonsense"):
        mapping.where("nonsense")


def test_input_channels_have_rows(net: Any) -> None:
    for device in ("ideal", "speck2f"):
        rows = hal.mapper(device).map(net.relay()).where("input")
        assert rows["index"].tolist() == [0, 1]
        assert set(rows["core"].tolist()) == {-1}


def test_a_neuron_of_several_circuits_has_several_parts(net: Any, toys: Any) -> None:
    toys.add()
    mapping = hal.mapper("toy").map(net.relay(3), {"circuits": {"cells": 2}})
    rows = mapping.where("cells", 1)
    assert rows["part"].tolist() == [0, 1]
    assert {mapping.who(0, 0, int(n)) for n in rows["neuron"]} == {("cells", 1)}
    assert rows["tag"].tolist() == (rows["neuron"] + 100).tolist()


# --- what the chip computes with -------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["ideal", "speck2f", "speck2cmini"])
def test_the_realised_model_is_a_model_with_the_chips_numbers(net: Any, device: str, tmp_path: Path) -> None:
    parts = [
        net.input("input", 1, 3, 3),
        net.conv("conv", [[[[0.3, -0.7], [0.123, 0.5]]]], (3, 3)),
        net.spiking("x", 1, 2, 2, v_threshold=0.77),
        net.output("output", 1, 2, 2),
    ]
    model = net.chain(*parts)
    mapping = hal.mapper(device).map(model)
    realised = mapping.realised_model()
    for (name, parameter), values in mapping.realised.items():
        if parameter == "v_min":  # NIR has no field for it: it stands in the semantics
            assert realised.semantics.rule(realised.nodes[name]).v_min == float(values)
            continue
        got = getattr(realised.nodes[name], parameter)
        assert got.shape == getattr(model.nodes[name], parameter).shape
        assert np.asarray(values).ravel().tolist() == got.ravel().tolist()
    assert realised.edges == model.edges
    if ("x", "v_min") not in mapping.realised:
        assert realised.semantics == model.semantics
    again = hal.mapper("ideal").map(realised)
    again.save(tmp_path / "m.zip")
    assert read_mapping(tmp_path / "m.zip").model.fingerprint == realised.fingerprint
    if device != "ideal":
        assert realised.fingerprint != model.fingerprint


def test_what_a_chip_rounds_is_a_loss_and_in_realised(net: Any, toys: Any) -> None:
    toys.add()
    model = net.chain(net.input("input", 2), net.spiking("x", 2, v_threshold=[1.0, 1.4]), net.output("output", 2))
    mapping = hal.mapper("toy").map(model)
    ((node, parameter, index, wanted, realised, reason),) = mapping.losses
    assert (node, parameter, index, realised, reason) == ("x", "v_threshold", 1, 1.0, "rounded")
    assert wanted == pytest.approx(1.4)
    assert mapping.realised_model().nodes["x"].v_threshold.tolist() == [1.0, 1.0]


def test_adopted_registers_have_no_realised_model(net: Any) -> None:
    config = hal.mapper("speck2f").map(net.relay()).config
    assert hal.mapper("speck2f").adopt(config).realised_model() is None


# --- files -----------------------------------------------------------------------------------------------------------


def assert_equal(one: Any, other: Any, path: str = "mapping") -> None:
    assert type(one) is type(other), path
    if isinstance(one, hal.Model):
        assert one.fingerprint == other.fingerprint, path
        assert (one.edges, one.semantics, one.inputs, one.outputs, one.semantics_given) == (
            other.edges, other.semantics, other.inputs, other.outputs, other.semantics_given,
        ), path  # fmt: skip
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, path
        assert one.shape == other.shape, path
        assert one.tobytes() == other.tobytes(), path
    elif attrs.has(type(one)):
        for field in attrs.fields(type(one)):
            assert_equal(getattr(one, field.name), getattr(other, field.name), f"{path}.{field.name}")
    elif isinstance(one, dict):
        assert list(one) == list(other), path
        for key in one:
            assert_equal(one[key], other[key], f"{path}[{key!r}]")
    elif isinstance(one, tuple):
        assert len(one) == len(other), path
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_equal(a, b, f"{path}[{i}]")
    else:
        assert one == other, path


def some_mapping(net: Any, device: str, kind: str) -> Any:
    model = getattr(net, kind)(2)
    probes = ["cells", hal.Probe("cells", "v", (1,))]
    return hal.mapper(device).map(model, record=probes)


@pytest.mark.parametrize("kind", ["relay", "readout", "encoder"])
@pytest.mark.parametrize("device", ["ideal", "speck2f"])
def test_a_mapping_comes_back_equal(net: Any, tmp_path: Path, device: str, kind: str) -> None:
    mapping = some_mapping(net, device, kind)
    mapping.save(tmp_path / "m.zip")
    back = read_mapping(tmp_path / "m.zip")
    assert_equal(back, mapping)


@pytest.mark.parametrize("kind", ["relay", "readout", "encoder"])
@pytest.mark.parametrize("device", ["ideal", "speck2f"])
def test_a_mapping_read_back_runs_the_same(net: Any, tmp_path: Path, device: str, kind: str) -> None:
    mapping = some_mapping(net, device, kind)
    mapping.save(tmp_path / "m.zip")
    stimulus: dict[str, Any] = {"input": np.array([[1, 0], [0, 0], [1, 1], [0, 1]])}
    results = []
    for one in (mapping, read_mapping(tmp_path / "m.zip")):
        with hal.open(device) as chip:
            chip.load(one)
            results.append(chip.run(stimulus, 4000))
    for name, spikes in results[0].spikes.items():
        assert spikes.tolist() == results[1].spikes[name].tolist()
    for name, signal in results[0].signals.items():
        assert signal.values.tolist() == results[1].signals[name].values.tolist()


def test_what_a_toys_mapper_says_comes_back(net: Any, toys: Any, tmp_path: Path) -> None:
    toys.add(profile=toys.Profile, capabilities=toys.ALL | {"profile"}, speedup=2.5)
    mapper = hal.mapper("toy", profile=toys.Profile(id="chip 7", bad=(1,)))
    mapping = mapper.map(net.relay(), {"circuits": {"cells": 2}})
    mapping.save(tmp_path / "m.zip")
    back = read_mapping(tmp_path / "m.zip")
    assert_equal(back, mapping)
    assert (back.profile_id, back.speedup, back.latency_ns) == ("chip 7", 2.5, {"output": 5})
    assert back.fates[-1].fate == "added"


def test_numpy_numbers_of_authors_and_users_are_saved(net: Any, toys: Any, tmp_path: Path) -> None:
    class Loose(toys.Mapper):
        def _plan(self, *args: Any) -> Any:
            plan = super()._plan(*args)
            rows = tuple(attrs.evolve(r, needed=np.int64(r.needed)) for r in plan.rows)
            finding = hal.Finding(level="note", node="x", field="f", reason="r", wanted=np.float32(1), realised={1})
            return attrs.evolve(
                plan, rows=rows, findings=[finding], speedup=np.float32(2), latency_ns={"output": np.int64(3)}
            )

    toys.add(mapper=Loose)
    probe = hal.Probe("cells", "v", np.array([1]), np.int64(20))  # type: ignore[arg-type]
    hal.mapper("toy").map(net.relay(), record=[probe]).save(tmp_path / "m.zip")
    back = read_mapping(tmp_path / "m.zip")
    assert back.latency_ns == {"output": 3}
    assert back.record == (hal.Probe("cells", "v", (1,), 20),)


def test_saving_replaces_and_leaves_nothing_else(net: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.zip"
    path.write_text("something else")
    hal.mapper("ideal").map(net.relay()).save(path)
    assert read_mapping(path).device == "ideal"
    assert [file.name for file in tmp_path.iterdir()] == ["m.zip"]


def test_saving_that_fails_leaves_the_old_file_and_no_other(net: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.zip"
    mapping = hal.mapper("ideal").map(net.relay())
    mapping.save(path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        attrs.evolve(mapping, latency_ns={"output": object()}).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.zip"]


def test_the_archive_is_a_manifest_and_arrays(net: Any, tmp_path: Path) -> None:
    hal.mapper("speck2f").map(net.relay()).save(tmp_path / "m.zip")
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        names = archive.namelist()
        json.loads(archive.read("manifest.json"))
    assert "manifest.json" in names
    assert all(name.endswith(".npy") for name in names if name != "manifest.json")


# --- files that are no mapping ---------------------------------------------------------------------------------------


def rewritten(path: Path, out: Path, change: Any) -> Path:
    """A copy of an archive with its files changed by `change(files)`."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out


@pytest.fixture
def saved(net: Any, tmp_path: Path) -> Path:
    path = tmp_path / "good.zip"
    hal.mapper("speck2f").map(net.readout(), record=["cells"]).save(path)
    return path


KEYS = [
    "format",
    "device",
    "config",
    "placement",
    "fit",
    "inputs",
    "outputs",
    "fates",
    "losses",
    "realised",
    "record",
    "step_ns",
    "speedup",
    "latency_ns",
    "profile_id",
    "options",
    "model",
    "front",
    "on_chip",
    "back",
]


def test_the_keys_tried_are_those_there_are(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        assert set(json.loads(archive.read("manifest.json"))) == set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_a_manifest_without_an_entry_is_a_format_error(saved: Path, tmp_path: Path, key: str) -> None:
    def change(files: dict[str, bytes]) -> None:
        manifest = json.loads(files["manifest.json"])
        del manifest[key]
        files["manifest.json"] = json.dumps(manifest).encode()

    with pytest.raises(FormatError):
        read_mapping(rewritten(saved, tmp_path / "bad.zip", change))


@pytest.mark.parametrize("key", KEYS)
def test_a_manifest_with_a_wrong_entry_is_refused_or_read(saved: Path, tmp_path: Path, key: str) -> None:
    escaped = {}
    for value in (None, 5, "x", [], {}, [1], {"a": 1}, [{}], {"$array": "nope"}, {"$array": "a00000"}):

        def change(files: dict[str, bytes], value: Any = value) -> None:
            manifest = json.loads(files["manifest.json"])
            files["manifest.json"] = json.dumps(manifest | {key: value}).encode()

        try:
            read_mapping(rewritten(saved, tmp_path / "bad.zip", change))
        except (FormatError, ConfigError, PluginError):
            continue
        except Exception as error:
            escaped[str(value)] = repr(error)
    assert escaped == {}


@pytest.mark.parametrize("text", [b"[]", b"5", b"null", b"{", b"\xff", b"{}"])
def test_a_manifest_of_another_kind_is_a_format_error(saved: Path, tmp_path: Path, text: bytes) -> None:
    path = rewritten(saved, tmp_path / "bad.zip", lambda files: files.update({"manifest.json": text}))
    with pytest.raises(FormatError, match=r"bad\.zip"):
        read_mapping(path)


@pytest.mark.parametrize("data", [b"", b"junk", b"\x93NUMPY\x01\x00"])
def test_broken_arrays_are_format_errors(saved: Path, tmp_path: Path, data: bytes) -> None:
    with zipfile.ZipFile(saved) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
    for name in (names[0], names[-1]):
        path = rewritten(saved, tmp_path / "bad.zip", lambda files, name=name: files.update({name: data}))
        with pytest.raises(FormatError):
            read_mapping(path)
        path = rewritten(saved, tmp_path / "bad.zip", lambda files, name=name: files.pop(name))
        with pytest.raises(FormatError):
            read_mapping(path)


def test_pickles_in_the_archive_are_not_loaded(saved: Path, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], object), allow_pickle=True)
    with zipfile.ZipFile(saved) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".npy"))
    path = rewritten(saved, tmp_path / "bad.zip", lambda files: files.update({name: buffer.getvalue()}))
    with pytest.raises(FormatError):
        read_mapping(path)


def test_a_placement_of_another_dtype_is_a_format_error(saved: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    name = manifest["placement"][1]["$array"] + ".npy"
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    path = rewritten(saved, tmp_path / "bad.zip", lambda files: files.update({name: buffer.getvalue()}))
    with pytest.raises(FormatError):
        read_mapping(path)


@pytest.mark.parametrize("cut", [0, 1, 10, 100, 0.5, 0.9, -1])
def test_a_torn_file_is_a_format_error(saved: Path, tmp_path: Path, cut: float) -> None:
    data = saved.read_bytes()
    path = tmp_path / "bad.zip"
    path.write_bytes(data[: int(cut * len(data)) if isinstance(cut, float) else cut])
    with pytest.raises(FormatError):
        read_mapping(path)


def test_a_file_with_any_byte_changed_is_read_or_refused_by_name(saved: Path, tmp_path: Path) -> None:
    data = bytearray(saved.read_bytes())
    path = tmp_path / "bad.zip"
    rng = np.random.default_rng(5)
    for at in rng.choice(len(data), min(len(data), 400), replace=False):
        changed = bytearray(data)
        changed[at] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        try:
            read_mapping(path)
        except (FormatError, ConfigError, PluginError):
            continue


def test_other_files_are_format_errors(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("hello")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("other.txt", "hello")
    for path in (text, tmp_path / "b.zip", tmp_path, tmp_path / "missing"):
        with pytest.raises(FormatError) as caught:
            read_mapping(path)
        assert str(path) in str(caught.value)


def test_another_version_is_a_format_error(saved: Path, tmp_path: Path) -> None:
    def change(files: dict[str, bytes]) -> None:
        manifest = json.loads(files["manifest.json"])
        files["manifest.json"] = json.dumps(manifest | {"format": "neurohal-mapping-99"}).encode()

    with pytest.raises(FormatError, match="version") as caught:
        read_mapping(rewritten(saved, tmp_path / "bad.zip", change))
    assert caught.value.data["value"] == "neurohal-mapping-99"


def test_a_mapping_of_a_device_that_is_not_installed(net: Any, toys: Any, saved: Path, tmp_path: Path) -> None:
    def change(files: dict[str, bytes]) -> None:
        files["manifest.json"] = files["manifest.json"].replace(b'"speck2f"', b'"speck9x"')

    with pytest.raises(PluginError, match="speck9x"):
        read_mapping(rewritten(saved, tmp_path / "bad.zip", change))


def test_registers_out_of_range_in_a_file_are_config_errors(net: Any, toys: Any, tmp_path: Path) -> None:
    toys.add()
    hal.mapper("toy").map(net.relay()).save(tmp_path / "m.zip")

    def change(files: dict[str, bytes]) -> None:
        manifest = json.loads(files["manifest.json"])
        manifest["config"]["lane"] = 9
        files["manifest.json"] = json.dumps(manifest).encode()

    with pytest.raises(ConfigError, match="lane"):
        read_mapping(rewritten(tmp_path / "m.zip", tmp_path / "bad.zip", change))


# --- edited registers ------------------------------------------------------------------------------------------------


def test_edited_registers_keep_the_placement_and_are_run(net: Any) -> None:
    mapping = hal.mapper("speck2f").map(net.relay())
    layers = list(mapping.config.cnn_layers)
    core = int(mapping.where("cells")["core"][0])
    layers[core] = attrs.evolve(layers[core], threshold_high=2 * layers[core].threshold_high)
    edited = mapping.with_config(attrs.evolve(mapping.config, cnn_layers=tuple(layers)))
    assert edited.placement is mapping.placement
    assert (len(edited.losses), edited.realised) == (0, {})
    with hal.open("speck2f", rate=None) as chip:
        chip.load(edited)
        spikes = chip.run({"input": hal.events([0, 1000, 2000, 3000], [0] * 4)}, 4000).spikes["output"]
    assert spikes["t"].tolist() == [1000, 3000]


def test_edited_registers_are_checked_again(net: Any, toys: Any) -> None:
    toys.add()
    mapping = hal.mapper("toy").map(net.relay(6))
    for lane, error in ((9, ConfigError), (3, ConfigError), (2, DoesNotFitError)):
        with pytest.raises(error, match="lane"):
            mapping.with_config(attrs.evolve(mapping.config, lane=lane))
    assert mapping.with_config(attrs.evolve(mapping.config, lane=1)).config.lane == 1
    with pytest.raises(ConfigError, match="ToyConfig"):
        mapping.with_config({"lane": 1})


def test_editing_keeps_host_parts_and_profile(net: Any, toys: Any) -> None:
    mapping = hal.mapper("speck2f").map(net.readout())
    edited = mapping.with_config(mapping.config)
    assert edited.back is mapping.back
    toys.add(profile=toys.Profile, capabilities=toys.ALL | {"profile"})
    mapping = hal.mapper("toy", profile=toys.Profile(id="chip 7")).map(net.relay())
    assert mapping.with_config(mapping.config).profile_id == "chip 7"


def test_adopted_registers_run(net: Any) -> None:
    mapping = hal.mapper("speck2f").map(net.relay())
    adopted = hal.mapper("speck2f").adopt(mapping.config)
    assert adopted.model is None
    (output,) = adopted.outputs
    with hal.open("speck2f", rate=None) as chip:
        chip.load(adopted)
        recording = chip.run({adopted.inputs[0].name: hal.events([0, 1000], [0, 1])}, 2000)
    assert recording.spikes[output.name].tolist() == [(0, 0), (1000, 1)]


def test_a_device_without_the_words_refuses(net: Any, toys: Any) -> None:
    toys.add(capabilities={"neuron.if"})
    mapping = hal.mapper("toy").map(net.relay())
    with pytest.raises(CapabilityError):
        mapping.with_config(mapping.config)


def test_kinds_of_the_ports(net: Any) -> None:
    mapping = hal.mapper("ideal").map(net.encoder())
    assert mapping.inputs == (hal.Port("input", (2,), "signal"),)
    assert mapping.outputs == (hal.Port("output", (2,), "events"),)
    assert hal.mapper("ideal").map(net.readout()).outputs == (hal.Port("output", (1,), "signal"),)


def test_mixed_kinds_into_one_output_are_refused(net: Any) -> None:
    parts = [net.input("input", 1), net.spiking("x", 1), net.neuron(nodes.LI, "li", 1), net.output("output", 1)]
    model = net.model(parts, [("input", "x"), ("input", "li"), ("x", "output"), ("li", "output")])
    for device in ("ideal", "speck2f"):
        with pytest.raises((hal.ModelError, DoesNotFitError), match="mixes events and signals"):
            hal.mapper(device).map(model)


def test_what_a_person_sees_is_short(net: Any) -> None:
    mapping = hal.mapper("speck2f").map(net.readout())
    assert repr(mapping.model).startswith("<Model of ")
    assert repr(mapping).startswith("<Mapping on speck2f, Model of ")
    assert "cells" in repr(mapping.placement)
    assert repr(mapping.losses) == "<Losses: none>"
    for shown in (mapping, mapping.model, mapping.placement, mapping.losses):
        assert len(repr(shown)) < 300
