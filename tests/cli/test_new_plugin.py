"""`hal new-plugin`: what it writes, under which names, what it refuses, and that what it writes passes silver."""

from __future__ import annotations

import importlib
import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hal as neurohal
import hal_conformance
from hal.cli import newplugin
from hal.evidence import write_vector
from hal.testing import registered

FILES = {
    ".github/workflows/conform.yml",
    ".gitignore",
    "README.md",
    "hal_zork/__init__.py",
    "hal_zork/config.py",
    "hal_zork/device.py",
    "hal_zork/emulator.py",
    "hal_zork/mapper.py",
    "hal_zork/plugin.py",
    "hal_zork/py.typed",
    "pyproject.toml",
    "tests/test_conformance.py",
    "tests/test_zork.py",
}


@pytest.fixture
def project(hal, tmp_path: Path) -> Path:
    """The project of a chip called zork."""
    assert hal("new-plugin", "zork", "--directory", tmp_path).code == 0
    return tmp_path / "hal-zork"


def installed(project: Path, folder: Path) -> str:
    """A path for Python on which the project is as if installed, its entry points included."""
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n")
    groups = about["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in rows.items()) for group, rows in groups]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return os.pathsep.join(map(str, (project, folder, *(entry for entry in sys.path if entry))))


def test_what_is_written(hal, project: Path, tmp_path: Path) -> None:
    files = {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}
    assert files == FILES
    text = "".join((project / name).read_text(encoding="utf-8") for name in FILES)
    assert "mychip" not in text.lower()
    assert "region" not in text
    assert not re.search(r"\n{4}|\n{3}[ \t]", text)
    assert {"hal-zork", "hal_zork", "ZorkMapper", "zork"} <= set(re.findall(r"[\w-]+", text))
    assert list(tmp_path.iterdir()) == [project]
    ordinary = tmp_path / "ordinary"
    ordinary.mkdir()
    assert stat.S_IMODE(project.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


def test_what_is_said(hal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = hal("new-plugin", "zork")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("13 files in hal-zork: a made-up chip that passes silver.")
    for line in ("cd hal-zork", 'pip install -e ".[test]"', "hal conform zork --level silver"):
        assert line in outcome.out
    document = hal("new-plugin", "grue", "--json").json
    assert document.pop("files") == sorted(name.replace("zork", "grue") for name in FILES)
    assert document == {"name": "grue", "distribution": "hal-grue", "package": "hal_grue", "directory": "hal-grue"}


@pytest.mark.parametrize(
    ("name", "distribution", "package", "classes"),
    [
        ("My-chip_2", "hal-my-chip-2", "hal_my_chip_2", "MyChip2"),
        ("X", "hal-x", "hal_x", "X"),
        ("a__b--c", "hal-a-b-c", "hal_a__b__c", "ABC"),
        ("class", "hal-class", "hal_class", "Class"),
    ],
)
def test_names(hal, tmp_path: Path, name: str, distribution: str, package: str, classes: str) -> None:
    document = hal("new-plugin", name, "--directory", tmp_path, "--json").json
    assert (document["name"], document["distribution"], document["package"]) == (name, distribution, package)
    project = tmp_path / distribution
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert about["name"] == distribution
    assert about["entry-points"]["hal.devices"] == {name: f"{package}.plugin"}
    for path in project.rglob("*.py"):
        compile(path.read_text(encoding="utf-8"), str(path), "exec")
    assert f"class {classes}Device(Device)" in (project / package / "device.py").read_text(encoding="utf-8")
    assert f'name="{name}"' in (project / package / "plugin.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["", "2x", "x-", "-x", "a b", "a.b", "ä", "../x", "x" * 41, "x\n"])
def test_no_names(hal, tmp_path: Path, name: str) -> None:
    outcome = hal("new-plugin", "--directory", tmp_path, "--", name)
    assert (outcome.code, outcome.out) == (2, "")
    assert "cannot be the name of a chip" in outcome.err
    assert "a letter, then letters, digits, - and _ within" in outcome.flat
    assert not list(tmp_path.iterdir())


def test_names_that_are_taken(hal, tmp_path: Path) -> None:
    for name, reasons in (
        ("loihi", ("a family of devices", "a device", "a module")),
        ("Speck2F", ("a device of the installed neurohal",)),
        ("dynapcnn", ("a family of devices of the installed neurohal", "hal_dynapcnn: is a module")),
        ("emulators", ("hal_emulators: is a module that can be imported already",)),
    ):
        outcome = hal("new-plugin", name, "--directory", tmp_path)
        assert outcome.code == 2
        assert f"the name {name} is taken" in outcome.err
        for reason in reasons:
            assert reason in outcome.flat
    document = hal("new-plugin", "ideal", "--directory", tmp_path, "--json")
    assert (document.code, document.json["error"]) == (2, "BadUsageError")
    assert [problem["where"] for problem in document.json["problems"]] == ["ideal", "ideal", "hal_ideal"]
    assert not list(tmp_path.iterdir())


def test_places_that_are_refused(hal, project: Path, tmp_path: Path) -> None:
    before = (project / "README.md").read_bytes()
    outcome = hal("new-plugin", "zork", "--directory", tmp_path)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"{project} is there already" in outcome.flat
    assert (project / "README.md").read_bytes() == before
    (tmp_path / "hal-grue").symlink_to(tmp_path / "nowhere")
    assert "is there already" in hal("new-plugin", "grue", "--directory", tmp_path).flat
    outcome = hal("new-plugin", "zork", "--directory", tmp_path / "no")
    assert outcome.code == 2
    assert f"--directory {tmp_path / 'no'}: there is no such directory" in outcome.flat


def test_nothing_half_done_is_left(hal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    real = Path.write_text

    def full(self: Path, text: str, **more: str) -> int:
        if len(written) == 5:
            raise OSError(28, "No space left on device")
        written.append(self)
        return real(self, text, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        outcome = hal("new-plugin", "zork", "--directory", tmp_path, "--json")
    assert (outcome.code, outcome.json["error"]) == (1, "WriteError")
    assert outcome.json["message"] == f"cannot write {tmp_path / 'hal-zork'}: No space left on device"
    assert len(written) == 5
    assert not list(tmp_path.iterdir())


def test_a_project_that_appears_meanwhile_stays(hal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.rename

    def late(self: Path, target: Path) -> Path:
        target.mkdir()
        (target / "theirs").touch()
        return real(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", late)
        outcome = hal("new-plugin", "zork", "--directory", tmp_path)
    assert outcome.code == 1
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["hal-zork", "hal-zork/theirs"]


def test_what_using_the_template_leaves_is_not_copied(hal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template = tmp_path / "template"
    for name in ("hal_mychip/a.py", "hal_mychip/__pycache__/a.pyc", ".ruff_cache/x", "hal_mychip.egg-info/PKG-INFO"):
        (template / name).parent.mkdir(parents=True, exist_ok=True)
        (template / name).write_text("")
    monkeypatch.setattr(newplugin, "TEMPLATE", template)
    assert hal("new-plugin", "zork", "--directory", tmp_path, "--json").json["files"] == ["hal_zork/a.py"]


def test_it_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom hal import cli\n"
        f"assert cli.run(['new-plugin', 'zork', '--directory', {str(tmp_path)!r}]) == 0\n"
        "assert not {'numpy', 'h5py', 'numba', 'hal_loihi', 'hal_mychip', 'rich.table'} & set(sys.modules)"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_the_project_passes_silver_and_lacks_nothing_but_vectors_for_gold(
    project: Path, net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(project)
    plugin = importlib.import_module("hal_zork.plugin")
    with registered(plugin, "zork", distribution="hal-zork") as record:
        assert record.state == "loaded", record.error
        report = hal_conformance.run("zork")
        assert (report.level, report.bad) == ("silver", ())
        assert [row.id for row in report.short_of_gold] == ["VEC-001"]
        refused = {row.id for row in report.results if row.outcome == "not-applicable"} - {"VEC-001"}
        undeclared = {c.id for c in hal_conformance.catalogue() if c.requires - set(report.capabilities)}
        assert refused == undeclared
        write_vector(project / "hal_zork" / "vectors", "three_cells", net, **answered(net))
        assert hal_conformance.run("zork", only=["VEC-001"])["VEC-001"].outcome == "passed"
    for name in [name for name in sys.modules if name.partition(".")[0] == "hal_zork"]:
        del sys.modules[name]


def answered(net: Path) -> dict[str, Any]:
    """What `ideal` says to a network: fields of a vector."""
    semantics = neurohal.Semantics(dt_ns=1_000_000, gain="one", compare=">=")
    steps = np.arange(150)
    given, duration_ns = neurohal.events(steps * 1_000_000, steps % 3), 150_000_000
    with neurohal.open("ideal") as device:
        device.load(neurohal.mapper("ideal").map(neurohal.read_model(net, semantics=semantics)))
        spikes = device.run({"input": given}, duration_ns).spikes
    return {
        "source": "ideal",
        "semantics": semantics,
        "stimulus": {"input": given},
        "duration_ns": duration_ns,
        "spikes": spikes,
    }


def test_the_projects_own_tests_pass_once_it_is_installed(project: Path, tmp_path: Path) -> None:
    """One check of the conformance suite, which has been run, shows that its three lines are right."""
    environment = os.environ | {"PYTHONPATH": installed(project, tmp_path / "site"), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-k", "test_zork or LOAD-001"],
        cwd=project, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests/test_conformance.py::test_conformance[zork-LOAD-001] PASSED" in done.stdout
    assert "tests/test_zork.py::test_all_reasons_at_once PASSED" in done.stdout
