"""The vendor's JSON: structure as in the samples, exact there and back, every fault of a broken file with its path."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal.config import problems
from hal.errors import FormatError
from hal_dynapse2.config import (
    PARAMETERS,
    CamConfig,
    ChipsConfig,
    CoresConfig,
    Dynapse2Config,
    HostConfig,
    InputConfig,
    NeuronsConfig,
    PopulationConfig,
    SramConfig,
)
from hal_dynapse2.limits import DENDRITES, LATCHES
from hal_dynapse2.routes import departures, routes
from hal_dynapse2.vendor_json import read, write
from hal_dynapse2.vendor_layout import UNUSED_TEXT, UNUSED_WORD

SAMPLES = json.loads(
    (Path(__file__).parents[1] / "golden" / "dynapse2" / "json_samples.json").read_text(encoding="utf-8")
)


def random_config(seed: int, n: int, chips: int) -> Dynapse2Config:
    """Any registers there can be, sense or no sense."""
    rng = np.random.default_rng(seed)
    spots = rng.permutation(7 * 8)[:chips]
    places = rng.permutation(chips * 1024)[:n]
    cores = np.unique(np.concatenate([places // 256, rng.integers(0, chips * 4, 2)]))
    used = rng.random((n, 64)) < 0.2

    def some(high: int, shape: tuple[int, ...], dtype: type = int) -> Any:
        return np.where(used[:, : shape[1]] if len(shape) == 2 else True, rng.integers(0, high, shape), 0).astype(dtype)

    asked = rng.random((cores.size, len(PARAMETERS))) < 0.5
    channels = int(rng.integers(0, 5))
    return Dynapse2Config(
        step_ns=int(rng.integers(1, 10**9)) if rng.random() < 0.5 else None,
        inputs=(InputConfig(name="in ä\n", shape=(channels,)),) if channels else (),
        populations=(
            PopulationConfig(name='a"', first=0, shape=(1,)),
            PopulationConfig(name="b", first=1, shape=(n - 1,)),
        )
        if n > 1
        else (PopulationConfig(name="all", shape=(1,)),),
        chips=ChipsConfig(x=spots % 7 + 1, y=spots // 7),
        neurons=NeuronsConfig(
            chip=places // 1024,
            core=places // 256 % 4,
            neuron=places % 256,
            latches=rng.random((n, len(LATCHES))) < 0.5,
        ),
        cam=CamConfig(
            dendrite=np.where(used, rng.choice(list(DENDRITES.values()), (n, 64)), 0),
            mask=some(16, (n, 64)),
            tag=some(2048, (n, 64)),
            stp=some(2, (n, 64), bool),
            precise_delay=some(2, (n, 64), bool),
            mismatched_delay=some(2, (n, 64), bool),
        ),
        sram=SramConfig(
            core_mask=some(16, (n, 4)), x_hop=some(15, (n, 4)) - 7, y_hop=some(15, (n, 4)) - 7, tag=some(2048, (n, 4))
        ),
        cores=CoresConfig(
            chip=cores // 4,
            core=cores % 4,
            coarse=rng.integers(0, 6, asked.shape),
            fine=rng.integers(0, 256, asked.shape),
            asked=asked,
            wanted=np.where(asked, rng.random(asked.shape) * 1e-9, 0),
            monitored=rng.integers(-1, 256, cores.size),
        ),
        host=HostConfig(
            channel=np.arange(channels),
            core_mask=rng.integers(0, 16, channels),
            x_hop=rng.integers(-7, 8, channels),
            y_hop=rng.integers(-7, 8, channels),
            tag=rng.integers(0, 2048, channels),
        ),
    )


def small() -> Dynapse2Config:
    """Three neurons on two chips: channels 0..2 with masks 1, 2, 4, and 0 -> 1 -> 2, monitored."""
    dendrite, mask, tag = np.zeros((3, 64), int), np.zeros((3, 64), int), np.zeros((3, 64), int)
    for row, slot, of, kind in (
        (0, 0, 0, "ampa"), (1, 0, 1, "ampa"), (2, 0, 2, "gaba"), (1, 1, 10, "nmda"), (2, 5, 11, "shunt"),
    ):  # fmt: skip
        dendrite[row, slot], mask[row, slot], tag[row, slot] = DENDRITES[kind], 1 << row, of
    off = np.zeros((3, 64), bool)
    return Dynapse2Config(
        inputs=(InputConfig(name="in", shape=(3,)),),
        populations=(
            PopulationConfig(name="chip0_core1", shape=(2,)),
            PopulationConfig(name="out", first=2, shape=(1,)),
        ),
        chips=ChipsConfig(x=[1, 2], y=[0, 0]),
        neurons=NeuronsConfig(chip=[0, 0, 1], core=[1, 1, 3], neuron=[4, 9, 0], latches=np.zeros((3, 14), bool)),
        cam=CamConfig(dendrite=dendrite, mask=mask, tag=tag, stp=off, precise_delay=off, mismatched_delay=off),
        sram=SramConfig(
            core_mask=[[15, 2, 0, 0], [15, 8, 0, 0], [15, 0, 0, 0]],
            x_hop=[[-7, 0, 0, 0], [-7, 1, 0, 0], [-7, 0, 0, 0]],
            y_hop=np.zeros((3, 4), int),
            tag=[[260, 10, 0, 0], [265, 11, 0, 0], [768, 0, 0, 0]],
        ),
        cores=CoresConfig(
            chip=[0, 1],
            core=[1, 3],
            coarse=np.full((2, len(PARAMETERS)), 3),
            fine=np.arange(2 * len(PARAMETERS)).reshape(2, -1),
            asked=np.zeros((2, len(PARAMETERS)), bool),
            wanted=np.zeros((2, len(PARAMETERS))),
            monitored=[9, -1],
        ),
        host=HostConfig(
            channel=[0, 1, 2], core_mask=[2, 2, 8], x_hop=[0, 0, 1], y_hop=[0, 0, 0], tag=[0, 1, 2]
        ),
    )  # fmt: skip


def load(text: str) -> Any:
    """The tree with a word for each unused neuron."""
    return json.loads(text.replace(UNUSED_TEXT, '"@"'))


def dump(tree: Any) -> str:
    """The text of a tree that `load` made."""
    return json.dumps(tree, separators=(",", ":")).replace('"@"', UNUSED_TEXT)


@pytest.fixture(scope="module")
def text() -> str:
    return write(small())


# --- the vendor's structure -----------------------------------------------------------------------------------------


def shape_of(tree: Any) -> Any:
    """Keys in order, and types."""
    if isinstance(tree, dict):
        return [(key, shape_of(value)) for key, value in tree.items()]
    return type(tree).__name__


def test_parts_have_the_structure_of_the_samples(text: str) -> None:
    core = load(text)["value0"]["chips"][0]["cores"]["value1"]
    neuron = core["neurons"]["value4"]
    assert shape_of(neuron["synapses"]["value0"]) == shape_of(SAMPLES["synapse"]["value0"])
    assert shape_of(neuron["destinations"]["value3"]) == shape_of(SAMPLES["destination"]["value0"])
    assert [list(pair) for pair in core["parameters"]] == [["key", "value"]] * len(PARAMETERS)
    assert shape_of(core["parameters"][0]["value"]) == shape_of(SAMPLES["parameter"]["value0"])


def test_the_samples_themselves_are_written_when_their_values_are_set() -> None:
    config = small()
    tag, mask, dendrite = (np.array(v) for v in (config.cam.tag, config.cam.mask, config.cam.dendrite))
    tag[0, 63], mask[0, 63], dendrite[0, 63] = 1024, 0b1101, 512
    masks, hops, tags = (np.array(v) for v in (config.sram.core_mask, config.sram.x_hop, config.sram.tag))
    masks[0, 2], hops[0, 2], tags[0, 2] = 0b0101, -7, 515
    coarse, fine = np.array(config.cores.coarse), np.array(config.cores.fine)
    k = PARAMETERS.index("SOIF_LEAK_N")
    coarse[0, k], fine[0, k] = 3, 200
    config = attrs.evolve(
        config,
        cam=attrs.evolve(config.cam, tag=tag, mask=mask, dendrite=dendrite),
        sram=attrs.evolve(config.sram, core_mask=masks, x_hop=hops, tag=tags),
        cores=attrs.evolve(config.cores, coarse=coarse, fine=fine),
    )
    core = load(write(config))["value0"]["chips"][0]["cores"]["value1"]
    neuron = core["neurons"]["value4"]
    wanted = {name: json.dumps(SAMPLES[name]["value0"]) for name in ("synapse", "destination", "parameter")}
    assert json.dumps(neuron["synapses"]["value63"]) == wanted["synapse"]
    assert json.dumps(neuron["destinations"]["value2"]) == wanted["destination"]
    assert core["parameters"][k]["key"] == "SOIF_LEAK_N"
    assert json.dumps(core["parameters"][k]["value"]) == wanted["parameter"]
    assert {pair["key"][-1]: pair["value"]["type"] for pair in core["parameters"]} == {"N": 78, "P": 80}
    assert {pair["key"][-1]: pair["value"]["_initialType"] for pair in core["parameters"]} == {"N": 1, "P": 0}


def test_every_register_of_every_chip_is_there(text: str) -> None:
    tree = json.loads(text)
    assert list(tree) == ["value0", "neurohal"]
    assert list(tree["value0"]) == ["chips"]
    chips = tree["value0"]["chips"]
    assert len(chips) == 2
    four = [f"value{k}" for k in range(4)]
    for chip in chips:
        assert list(chip["cores"]) == four
        for core in chip["cores"].values():
            assert list(core["neurons"]) == [f"value{k}" for k in range(256)]
            assert len(core["sadcEnables"]) == 14
            for neuron in core["neurons"].values():
                assert list(neuron["synapses"]) == [f"value{k}" for k in range(64)]
                assert list(neuron["destinations"]) == four
                assert sum(key.startswith("latch") for key in neuron) == len(LATCHES)
        assert len(chip["sadcEnables"]) == 8
        assert len(chip["sadcGroupParameters01"]) == 3
    core = chips[0]["cores"]["value1"]
    assert (core["neuronMonitoringOn"], core["monitoredNeuron"]) == (True, 9)
    assert (chips[1]["cores"]["value3"]["neuronMonitoringOn"], chips[0]["cores"]["value0"]["monitoredNeuron"]) == (
        False,
        0,
    )
    assert ": " not in text
    assert "\n" not in text[:-1]


def test_latches_keep_their_names() -> None:
    config = small()
    for k, name in enumerate(LATCHES):
        latches = np.zeros((3, len(LATCHES)), bool)
        latches[0, k] = True
        tree = load(write(attrs.evolve(config, neurons=attrs.evolve(config.neurons, latches=latches))))
        neuron = tree["value0"]["chips"][0]["cores"]["value1"]["neurons"]["value4"]
        key = "latch" + "".join(word.title() for word in name.split("_"))
        assert {latch for latch, value in neuron.items() if value is True} == {key}


def test_a_full_chip_is_written_and_read_in_time() -> None:
    config = random_config(1, 1024, 1)
    start = time.perf_counter()
    text = write(config)
    written = time.perf_counter() - start
    start = time.perf_counter()
    assert read(text) == config
    assert written < 2
    assert time.perf_counter() - start < 4
    assert 9e6 < len(text) < 16e6


# --- there and back -------------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 2))
def test_what_is_read_back_is_equal(seed: int, n: int, chips: int) -> None:
    config = random_config(seed, n, chips)
    assert problems(config) == []
    text = write(config)
    assert read(text) == config
    assert write(read(text)) == text


def test_from_a_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "chips.json"
    path.write_text(text, encoding="utf-8")
    assert read(path) == small() == read(text)


def heard(config: Dynapse2Config) -> Counter[tuple[Any, ...]]:
    """Who hears whom, by places and tags instead of rows and channels."""
    found = routes(config)
    source = np.repeat(np.arange(found.packet_ptr.size - 1), np.diff(found.packet_ptr))
    packet = np.repeat(np.arange(source.size), np.diff(found.synapse_ptr))
    place = config.neurons.place
    names = [f"tag {tag}" if s < found.n_inputs else int(place[s - found.n_inputs])
             for s, tag in zip(source.tolist(), found.packet_tag.tolist(), strict=True)]  # fmt: skip
    columns = (packet, place[found.target], found.dendrite, found.mask)
    return Counter((names[p], *rest) for p, *rest in zip(*(c.tolist() for c in columns), strict=True))


def without_notes(text: str) -> str:
    tree = load(text)
    del tree["neurohal"]
    return dump(tree)


def test_blanks_and_words_make_no_difference(text: str) -> None:
    assert read(json.dumps(json.loads(text))) == small()
    tree = load(text)
    tree["value0"]["chips"][0]["cores"]["value1"]["neurons"]["value0"] = UNUSED_WORD
    assert read(dump(tree)) == small()


def test_a_file_of_the_vendors_tool_says_who_hears_whom(text: str) -> None:
    config, made = small(), read(without_notes(text))
    assert [(run.name, run.first, run.shape) for run in made.populations] == [
        ("chip0_core1", 0, (2,)), ("chip1_core3", 2, (1,)),
    ]  # fmt: skip
    assert [(port.name, port.shape) for port in made.inputs] == [("input", (3,))]
    assert made.host == config.host
    assert heard(made) == heard(config)
    assert len(heard(made)) == 5
    assert departures(made).tag.tolist() == [260, 265, 768]
    for name in ("neurons", "cam", "sram", "chips", "cores"):
        assert getattr(made, name) == getattr(config, name)
    assert made.step_ns is None


def test_tags_that_neurons_bring_to_some_cores_are_the_hosts_on_the_others() -> None:
    config = small()
    tag, mask, dendrite = (np.array(v) for v in (config.cam.tag, config.cam.mask, config.cam.dendrite))
    dendrite[0, 7], mask[0, 7], tag[0, 7] = 1024, 1, 11  # tag 11 is sent to chip 1 alone
    config = attrs.evolve(config, cam=attrs.evolve(config.cam, tag=tag, mask=mask, dendrite=dendrite))
    made = read(without_notes(write(config)))
    assert made.host.tag.tolist() == [0, 1, 11, 2]
    assert made.host.x_hop.tolist() == [0, 0, 0, 1]
    assert made.host.core_mask.tolist() == [2, 2, 2, 8]


def test_a_file_without_hosts_channels() -> None:
    config = small()
    none = np.zeros((3, 64), int)
    config = attrs.evolve(config, cam=attrs.evolve(config.cam, dendrite=none, mask=none, tag=none))
    made = read(without_notes(write(config)))
    assert made.inputs == ()
    assert made.host.channel.size == 0


def test_lists_instead_of_numbered_objects_and_other_biases(text: str, caplog: pytest.LogCaptureFixture) -> None:
    tree = load(text)
    core = tree["value0"]["chips"][0]["cores"]["value1"]
    core["neurons"] = list(core["neurons"].values())
    core["parameters"].append({"key": "OTHER_VB_P", "value": dict(SAMPLES["parameter"]["value0"])})
    tree["value0"]["chips"] = {"value0": tree["value0"]["chips"][0], "value1": tree["value0"]["chips"][1]}
    with caplog.at_level(logging.WARNING):
        assert read(dump(tree)) == small()
    assert "biases_not_kept in the text: OTHER_VB_P" in caplog.text


# --- broken files ---------------------------------------------------------------------------------------------------

DC, LEAK = PARAMETERS.index("SOIF_DC_P"), PARAMETERS.index("SOIF_LEAK_N")
CORE = "value0.chips[0].cores.value1"
NEURON = f"{CORE}.neurons.value4"


def fault(text: str, change: Callable[[Any, Any, Any], Any]) -> list[str]:
    """Problems of the file after a change of (tree, core, neuron)."""
    tree = load(text)
    core = tree["value0"]["chips"][0]["cores"]["value1"]
    change(tree, core, core["neurons"]["value4"])
    with pytest.raises(FormatError, match="not a configuration of DYNAP-SE2") as caught:
        read(dump(tree))
    assert "hal export" in caught.value.hint
    return [str(problem) for problem in caught.value.problems]


def put(path: str, value: Any) -> Callable[[Any, Any, Any], Any]:
    def change(tree: Any, core: Any, neuron: Any) -> None:
        at = {"tree": tree, "core": core, "neuron": neuron}
        *steps, last = path.split(".")
        for step in steps:
            at = at[int(step) if isinstance(at, list) else step]
        at[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "where", "told"),
    [
        (
            "neuron.synapses.value0.tag",
            2048,
            f"{NEURON}.synapses.value0.tag",
            "must be an integer in its range (value 2048, limit 0..2047)",
        ),
        (
            "neuron.synapses.value0.tag",
            True,
            f"{NEURON}.synapses.value0.tag",
            "must be an integer in its range (value True, limit 0..2047)",
        ),
        (
            "neuron.synapses.value0.tag",
            1.5,
            f"{NEURON}.synapses.value0.tag",
            "must be an integer in its range (value 1.5, limit 0..2047)",
        ),
        (
            "neuron.synapses.value0.dendrite",
            7,
            f"{NEURON}.synapses.value0.dendrite",
            "is none of the codes there are (value 7, limit 0, 128, 256, 512, 1024)",
        ),
        ("neuron.synapses.value0.stp", 1, f"{NEURON}.synapses.value0.stp", "must be true or false (value 1)"),
        (
            "neuron.synapses.value0.weight",
            {"value0": True},
            f"{NEURON}.synapses.value0.weight",
            "wrong length (value 1, limit 4)",
        ),
        (
            "neuron.synapses.value0.weight",
            [1, False, False, False],
            f"{NEURON}.synapses.value0.weight[0]",
            "must be true or false (value 1)",
        ),
        ("neuron.synapses.value0", {}, f"{NEURON}.synapses.value0.dendrite", "is missing"),
        ("neuron.synapses.value0", None, f"{NEURON}.synapses.value0", "must be an object (value None)"),
        ("neuron.synapses", {"value0": {}}, f"{NEURON}.synapses", "wrong length (value 1, limit 64)"),
        (
            "neuron.synapses",
            {"a": {}},
            f"{NEURON}.synapses",
            "must be a list, or an object of value0, value1, ... (value {'a': {}})",
        ),
        (
            "neuron.destinations.value1.xHop",
            8,
            f"{NEURON}.destinations.value1.xHop",
            "must be an integer in its range (value 8, limit -7..7)",
        ),
        (
            "neuron.destinations.value1.core",
            [True] * 5,
            f"{NEURON}.destinations.value1.core",
            "wrong length (value 5, limit 4)",
        ),
        ("neuron.latchSoDc", "on", f"{NEURON}.latchSoDc", "must be true or false (value on)"),
        ("core.neurons", [], f"{CORE}.neurons", "wrong length (value 0, limit 256)"),
        (
            "core.monitoredNeuron",
            256,
            f"{CORE}.monitoredNeuron",
            "must be an integer in its range (value 256, limit 0..255)",
        ),
        ("core.parameters", {}, f"{CORE}.parameters", "must be a list of {key, value} (value {})"),
        ("core.parameters", [{"value": {}}], f"{CORE}.parameters[0].key", "is missing"),
        ("core.parameters", [{"key": 3, "value": {}}], f"{CORE}.parameters[0].key", "must be a name (value 3)"),
        (
            f"core.parameters.{DC}.value.fineValue",
            256,
            f"{CORE}.parameters[{DC}].value.fineValue",
            "must be an integer in its range (value 256, limit 0..255)",
        ),
        (
            f"core.parameters.{DC}.value.coarseValue",
            6,
            f"{CORE}.parameters[{DC}].value.coarseValue",
            "must be an integer in its range (value 6, limit 0..5)",
        ),
        (
            f"core.parameters.{DC}.value.type",
            78,
            f"{CORE}.parameters[{DC}].value.type",
            "is none of the codes there are (value 78, limit 80)",
        ),
        (
            f"core.parameters.{DC}.key",
            "SOIF_LEAK_N",
            f"{CORE}.parameters[{LEAK}].key",
            "a parameter is given once (value SOIF_LEAK_N)",
        ),
        (f"core.parameters.{DC}.key", "OTHER_P", f"{CORE}.parameters", "parameters are missing (limit SOIF_DC_P)"),
        ("tree.value0", [], "value0", "must be an object (value [])"),
        ("tree.value0.chips", 4, "value0.chips", "must be a list, or an object of value0, value1, ... (value 4)"),
        ("tree.more", 1, "more", "is not known (limit value0, neurohal)"),
        ("tree.neurohal.version", 2, "neurohal.version", "out of range (value 2, limit 1..1)"),
        (
            "tree.neurohal.rows.data",
            [0, 1, 4, 0, 1, 9, 1, 3, 1],
            "value0.chips[1].cores.value3.neurons.value0",
            "has registers, and is no row (limit neurohal.rows)",
        ),
        (
            "tree.neurohal.rows.data",
            [2, 1, 4, 0, 1, 9, 1, 3, 0],
            "neurohal.rows",
            "names a core that is not in the file",
        ),
        ("tree.neurohal.cores.data", [0, 1, 1, 4], "neurohal.cores", "names a core that is not in the file"),
        ("tree.neurohal.asked.shape", [1, 64], "neurohal", ""),
        (
            "tree.neurohal.cores",
            {"dtype": "uint8", "shape": [1, 2], "data": [0, 1]},
            "neurohal.asked",
            "one row for each of cores (value 2, limit 1)",
        ),
        ("tree.neurohal.chips.x.data", [1, 1], "", "one chip at a place"),
        ("tree.neurohal", 5, "neurohal", ""),
    ],
)
def test_one_fault(text: str, path: str, value: Any, where: str, told: str) -> None:
    found = fault(text, put(path, value))
    assert any(problem.startswith(where) and told in problem for problem in found)


def test_rules_between_tables_are_checked_too(text: str) -> None:
    def drop(tree: Any, core: Any, neuron: Any) -> None:
        tree["neurohal"]["populations"].pop()

    assert fault(text, drop) == ["populations: must cover all neurons (value 2, limit 3)"]


def test_all_faults_at_once(text: str) -> None:
    def change(tree: Any, core: Any, neuron: Any) -> None:
        for k in range(64):
            neuron["synapses"][f"value{k}"] = {**neuron["synapses"]["value0"], "tag": -1}
        neuron["destinations"]["value0"]["yHop"] = -8
        del core["neuronMonitoringOn"], tree["value0"]["chips"][1]["cores"]
        tree["value0"]["chips"][0]["cores"]["value0"]["monitoredNeuron"] = None

    told = fault(text, change)
    assert len(told) == 64 + 4
    assert "value0.chips[1].cores: is missing" in told


def test_a_file_of_the_vendors_tool_that_says_too_little(text: str) -> None:
    def fewer(tree: Any, core: Any, neuron: Any) -> None:
        del tree["neurohal"]
        core["parameters"] = []

    assert fault(text, fewer) == [f"{CORE}.parameters: a core in use has parameters (value 0)"]

    def nobody(tree: Any, core: Any, neuron: Any) -> None:
        del tree["neurohal"]
        tree["value0"]["chips"] = [{"cores": []}] * 8

    told = fault(text, nobody)
    assert "value0.chips: only 7 have a place on a row (value 8, limit 7)" not in told  # faults of values come first
    assert told == [f"value0.chips[{k}].cores: wrong length (value 0, limit 4)" for k in range(8)]
    empty = load(text)
    quiet = empty["value0"]["chips"][0]["cores"]["value0"]
    empty["value0"]["chips"] = [{"cores": [quiet] * 4}] * 8
    del empty["neurohal"]
    with pytest.raises(FormatError) as caught:
        read(dump(empty))
    assert [str(problem) for problem in caught.value.problems] == [
        "value0.chips: only 7 have a place on a row (value 8, limit 7)",
        "value0.chips: no neuron has a synapse or a destination",
    ]


@pytest.mark.parametrize("broken", ["", "{", "[" * 100_000, '{"value0": 1' + "0" * 5000 + "}", "nothing"])
def test_what_is_no_json(broken: str) -> None:
    with pytest.raises(FormatError, match="is no JSON"):
        read(broken)


@pytest.mark.parametrize("other", ["{}", "[]", "3", '{"chips": []}'])
def test_what_is_another_file(other: str) -> None:
    with pytest.raises(FormatError, match="value0: is missing"):
        read(other)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        read(tmp_path / "no.json")
    path = tmp_path / "bytes.json"
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(FormatError, match=r"bytes\.json: not a configuration[^$]*is no JSON: 'utf-8' codec"):
        read(path)
