"""What importing and listing cost: nothing heavy, no chip code. Each case runs in a child process."""

import ast
import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hal

HEAVY = ("numpy", "scipy", "h5py", "numba", "nanoarrow", "cattrs", "structlog", "rich", "typer", "matplotlib", "nir")
CHIPS = (
    "hal_dynapcnn",
    "hal_ideal",
    "hal_loihi",
    "hal_dynapse2",
    "hal_brainscales2",
    "hal_emulators",
    "hal_conformance",
)
OPEN_NAMES = [
    "open mapper export export_recording import_mapping devices calibrate read_profile save_profile",
    "report read_model read_semantics read_recording read_mapping read_events read_stimulus from_xytp EventFileWarning",
    "events raster EVENT Signal EventBatch Port Probe Semantics SemanticsWarning Model Projection",
    "DeviceSpec Device Clock Reset",
    "Mapper Plan Mapping Placement Fate Losses Resource Observable FitRow Finding FitReport",
    "Recorder MemoryRecorder ArrowRecorder Recording BatchRecording Follower Update follow",
    "compare Comparison Samples difference sweep",
]


def child(code, *folders):
    """What the code prints as JSON, in a new interpreter that has `folders` first on its path."""
    path = os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-W", "error", "-c", f"import json, sys\n{code}"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def imported(code, *folders):
    """Top-level packages and modules of ours that are imported after running the code."""
    return set(child(f"{code}\nprint(json.dumps(sorted(sys.modules)))", *folders))


def top(modules):
    return {name.partition(".")[0] for name in modules}


def test_importing_hal_imports_nothing_else():
    before = imported("")
    after = imported("import hal")
    assert {name for name in after - before if name.startswith("hal")} == {"hal"}
    assert not top(after - before) & {*HEAVY, *CHIPS, "attrs", "attr", "pluggy", "importlib.metadata"}


def test_listing_devices_imports_no_plugin_and_nothing_heavy(tmp_path):
    (tmp_path / "traced_plugin.py").write_text("raise SystemExit('imported')\n")
    info = tmp_path / "traced-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: traced\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[hal.plugins]\nt = traced_plugin\n[hal.devices]\nt1 = traced_plugin\n")
    listed = "import hal\nassert 't1' in [device.name for device in hal.devices()]"
    modules = imported(listed, tmp_path)
    assert not top(modules) & {*HEAVY, *CHIPS, "pluggy", "traced_plugin"}
    assert "hal.registry" in modules
    assert "numpy" not in imported("import hal.registry as r\nr.records()", tmp_path)


def test_errors_come_without_numpy():
    assert "numpy" not in imported("import hal\nhal.DoesNotFitError, hal.PluginError")


def test_public_names_are_those_of_the_contract():
    from hal import errors

    kinds = [name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)]
    assert set(hal._HOME) == {*" ".join(OPEN_NAMES).split(), *kinds}
    assert {*hal._HOME, "__version__"} <= set(dir(hal))


@pytest.mark.parametrize("name", sorted(hal._HOME))
def test_every_public_name_resolves_to_what_its_module_has(name):
    value = getattr(hal, name)
    assert value is getattr(importlib.import_module(hal._HOME[name]), name)
    assert not inspect.ismodule(value)


def test_type_checkers_see_the_table():
    tree = ast.parse(Path(hal.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {node.module: tuple(alias.asname for alias in node.names) for node in block.body if hasattr(node, "module")}
    assert seen == hal._NAMES


def test_an_unknown_name_is_an_attribute_error_that_python_can_help_with():
    with pytest.raises(AttributeError, match="module 'hal' has no attribute 'opne'") as caught:
        hal.opne  # noqa: B018
    assert (caught.value.name, caught.value.obj) == ("opne", hal)
    with pytest.raises(ImportError):
        exec("from hal import nothing_of_that_name")


def test_version_is_a_text_and_survives_without_installation(monkeypatch):
    from importlib import metadata

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.delitem(vars(hal), "__version__", raising=False)
    monkeypatch.setattr(metadata, "version", missing)
    assert hal.__version__ == "0+unknown"
    monkeypatch.delitem(vars(hal), "__version__")
    monkeypatch.setattr(metadata, "version", lambda name: f"1.2 of {name}")
    assert hal.__version__ == "1.2 of neurohal"
    monkeypatch.delitem(vars(hal), "__version__")


SHADOWED = ("mapper", "events", "report")
ORDERS = {
    "function first": "import hal\nhal.{name}\nimport hal.{name}",
    "module first": "import hal.{name}\nimport hal",
    "something of the module first": "from hal.{name} import *\nimport hal",
    "through another module": "import hal.device, hal.mapping\nimport hal\nimport hal.{name}",
    "by name": "from hal import {name}\nimport hal.{name}",
}


@pytest.mark.parametrize("name", SHADOWED)
@pytest.mark.parametrize("order", ORDERS)
def test_functions_named_like_modules_stay_functions(name, order):
    public = {"mapper": "Mapper", "events": "EVENT", "report": "report"}[name]
    code = f"""{ORDERS[order].format(name=name)}
from hal import {name} as function
from hal.{name} import {public}
import types
assert isinstance(hal.{name}, types.FunctionType) and hal.{name} is function
assert hal.{public} is {public}
print(json.dumps([hal.{name}.__module__, sys.modules["hal.{name}"].__name__]))"""
    assert child(code) == [hal._HOME[name], f"hal.{name}"]


def test_shadowed_names_are_all_there_are():
    """A submodule added under a public name would need the same care, and gets it: the list here must grow."""
    files = {path.stem for path in Path(hal.__file__).parent.glob("*.py")}
    folders = {path.name for path in Path(hal.__file__).parent.iterdir() if path.is_dir()}
    assert set(SHADOWED) == (files | folders) & set(hal._HOME)
