"""`hal import`: which device reads what, what is refused, and that the mapping runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import numpy as np
import pytest

import hal as neurohal
from hal import registry
from hal.config import from_json, to_json
from hal.errors import CapabilityError, ConfigError, FormatError, PluginError
from hal.hookspecs import hookimpl
from hal.testing import registered
from hal_loihi import plugin as loihi

LOIHI = ("--device", "loihi", "--semantics", "sinabs", "--dt", "1ms", "--approximate", "reset,delays")


def registers(spec: Any, path: Path) -> Any:
    """The hook in order."""
    try:
        return from_json(spec.config, json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise FormatError(f"{path.name} is no registers: {error}") from error


def family(name: str, reads: Callable[..., Any] = registers, imports: tuple[str, ...] = ("registers",)) -> Any:
    """A plugin of one device, a loihi that reads its registers as JSON."""
    own = attrs.evolve(registry.spec("loihi"), name=name, family=name, imports=imports, aliases=())
    return SimpleNamespace(
        __name__=f"plugin_{name}",
        HAL_PLUGIN_API="1.0",
        hal_devices=hookimpl(lambda: [own], specname="hal_devices"),
        hal_mapper=hookimpl(lambda spec, profile: loihi.hal_mapper(spec, profile), specname="hal_mapper"),
        hal_open=hookimpl(
            lambda spec, kind, serial, profile, seed, options: loihi.hal_open(
                spec, kind, serial, profile, seed, options
            ),
            specname="hal_open",
        ),
        hal_import=hookimpl(lambda spec, path: reads(spec, path), specname="hal_import"),
    )


@pytest.fixture
def plug() -> Iterator[Callable[..., None]]:
    """Plugins in use for one test."""
    with ExitStack() as stack:

        def enter(name: str, *more: Any, **how: Any) -> None:
            record = stack.enter_context(registered(family(name, *more, **how), name))
            assert record.state == "loaded", record.error

        yield enter


@pytest.fixture
def mapping(hal, net: Path, tmp_path: Path) -> neurohal.Mapping:
    path = tmp_path / "net.mapping"
    assert hal("map", net, *LOIHI, "--out", path).code == 0
    return neurohal.read_mapping(path)


@pytest.fixture
def file(mapping: neurohal.Mapping, tmp_path: Path) -> Path:
    path = tmp_path / "registers.json"
    path.write_text(json.dumps(to_json(mapping.config)), encoding="utf-8")
    return path


def test_to_a_mapping_that_runs(hal, plug, mapping, file: Path, events: Path, tmp_path: Path) -> None:
    plug("reads")
    out = tmp_path / "imported.mapping"
    outcome = hal("import", file, "--from", "registers", "--out", out)
    assert (outcome.code, outcome.err) == (0, "")
    assert f"{file}, registers, on reads" in outcome.flat
    assert "neurons; inputs: " in outcome.out
    assert f"written to {out}" in outcome.flat
    made = neurohal.read_mapping(out)
    assert made.device == "reads"
    assert made.model is None
    assert made.config == mapping.config
    (port,) = made.inputs
    records = np.array([(0, 0), (1_000_000, 2)], neurohal.EVENT)
    with neurohal.open("reads") as chip, neurohal.open("loihi") as original:
        chip.load(made)
        original.load(mapping)
        got = chip.run({port.name: records}, 5_000_000).spikes
        wanted = original.run({mapping.inputs[0].name: records}, 5_000_000).spikes
    assert sum(train.size for train in got.values()) == sum(train.size for train in wanted.values()) > 0


def test_to_a_terminal_and_to_json(hal, plug, file: Path, tmp_path: Path) -> None:
    plug("reads")
    outcome = hal("import", file, "--from", "registers")
    assert (outcome.code, outcome.err) == (0, "")
    assert "Placement" in outcome.out
    assert "written" not in outcome.out
    document = hal("import", file, "--from", "registers", "--json").json
    assert (document["device"], document["from"], document["out"]) == ("reads", "registers", None)
    assert document["model"] is None
    assert document["placement"]
    out = tmp_path / "imported.mapping"
    assert hal("import", file, "--from", "registers", "-o", out, "--json").json == {**document, "out": str(out)}


def test_which_device(hal, plug, file: Path) -> None:
    plug("reads")
    plug("also")
    outcome = hal("import", file, "--from", "registers")
    assert (outcome.code, outcome.out) == (2, "")
    assert "2 devices read 'registers': also, reads" in outcome.flat
    assert "say which: device='also', or --device also" in outcome.flat
    for name in ("also", "reads"):
        assert hal("import", file, "--from", "registers", "--device", name, "--json").json["device"] == name
    outcome = hal("import", file, "--from", "registers", "--device", "raeds")
    assert outcome.code == 2
    assert "reads" in outcome.err


def test_formats_that_are_not_read(hal, plug, file: Path, tmp_path: Path) -> None:
    plug("reads", imports=("registers", "other"))
    out = tmp_path / "imported.mapping"
    outcome = hal("import", file, "--from", "regsters", "--out", out)
    assert (outcome.code, outcome.out) == (2, "")
    assert "no device reads 'regsters'" in outcome.flat
    assert "did you mean registers? formats that are read: " in outcome.flat
    outcome = hal("import", file, "--from", "registres", "--device", "reads", "--json")
    assert (outcome.code, outcome.json["error"]) == (2, "CapabilityError")
    assert "did you mean registers? imports of reads: registers, other" in outcome.json["hint"]
    outcome = hal("import", file, "--from", "registers", "--device", "loihi")
    assert outcome.code == 2
    assert "loihi does not read 'registers'" in outcome.flat
    assert "imports of loihi: none" in outcome.flat
    assert not out.exists()
    with pytest.raises(CapabilityError, match="does not read") as caught:
        neurohal.import_mapping(file, "x", device="reads")
    assert caught.value.data["imports"] == ("registers", "other")
    assert caught.value.data["capability"] == "import"


def test_files_that_are_not_there(hal, plug, file: Path, tmp_path: Path) -> None:
    plug("reads")
    outcome = hal("import", tmp_path / "register.json", "--from", "registers")
    assert outcome.code == 2
    assert f"did you mean {file}?" in outcome.flat
    for nothing in (tmp_path / "no.json", tmp_path):
        with pytest.raises(FormatError, match="there is no file"):
            neurohal.import_mapping(nothing, "registers")
    assert hal("import", tmp_path, "--from", "registers").code == 1
    assert "Missing option" in hal("import", file).err


def test_a_broken_file(hal, plug, file: Path, tmp_path: Path) -> None:
    plug("reads")
    out = tmp_path / "imported.mapping"
    file.write_text(file.read_text()[:100])
    outcome = hal("import", file, "--from", "registers", "--out", out, "--json")
    assert (outcome.code, outcome.json["error"]) == (1, "FormatError")
    assert "registers.json is no registers" in outcome.json["message"]
    assert not out.exists()


def test_what_the_device_does_not_take(hal, plug, mapping, file: Path, tmp_path: Path) -> None:
    plug("reads", lambda spec, path: attrs.evolve(mapping.config, step_ns=-1))
    with pytest.raises(ConfigError, match="step_ns"):
        neurohal.import_mapping(file, "registers")
    out = tmp_path / "imported.mapping"
    outcome = hal("import", file, "--from", "registers", "--out", out)
    assert outcome.code == 1
    assert "step_ns" in outcome.err
    assert not out.exists()


def test_a_hook_that_returns_something_else(hal, plug, file: Path) -> None:
    plug("reads", lambda spec, path: {"layers": []})
    with pytest.raises(PluginError, match=r"hal_import\(\) of plugin .* returned dict, not LoihiConfig"):
        neurohal.import_mapping(file, "registers")
    assert hal("import", file, "--from", "registers").code == 1


def test_a_hook_that_raises(plug, file: Path) -> None:
    plug("reads", lambda spec, path: 1 / 0)
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        neurohal.import_mapping(file, "registers")


def test_nothing_but_a_mapping_is_replaced(hal, plug, file: Path, tmp_path: Path) -> None:
    plug("reads")
    for target, word in ((file, "is no saved mapping"), (tmp_path, "is a directory"), (tmp_path / "a" / "b", "no dir")):
        outcome = hal("import", file, "--from", "registers", "--out", target)
        assert outcome.code == 2
        assert word in outcome.flat
    out = tmp_path / "net.mapping"
    assert hal("import", file, "--from", "registers", "--out", out).code == 0
    assert neurohal.read_mapping(out).device == "reads"


def test_info_names_the_imports(hal, plug) -> None:
    plug("reads")
    assert json.loads(hal("info", "reads", "--json").out)["imports"] == ["registers"]
    assert "imports registers" in hal("info", "reads").flat
    assert json.loads(hal("info", "loihi", "--json").out)["imports"] == []
