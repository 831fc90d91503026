"""What is shipped: only our own top-level names, typed, with both commands, and nothing of one machine in it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hal.cli.newplugin import TEMPLATE, template_files

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel under test: the one that was installed (HAL_WHEEL), else one built now."""
    if given := os.environ.get("HAL_WHEEL"):
        return Path(given)
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    return built


def test_top_level_names_are_ours(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    packages = {top for top in tops if not top.endswith(".dist-info")}
    assert packages == {
        "hal",
        "hal_ideal",
        "hal_dynapcnn",
        "hal_loihi",
        "hal_dynapse2",
        "hal_brainscales2",
        "hal_emulators",
        "hal_conformance",
    }
    assert all(name == "hal" or name.startswith("hal_") for name in packages)


def test_every_package_is_typed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for package in (
        "hal",
        "hal_ideal",
        "hal_dynapcnn",
        "hal_loihi",
        "hal_dynapse2",
        "hal_brainscales2",
        "hal_emulators",
        "hal_conformance",
    ):
        assert f"{package}/py.typed" in names


def test_the_template_of_a_plugin_is_whole_and_clean(wheel: Path) -> None:
    """Hidden files, too; and nothing that its tests or its use have left."""
    with zipfile.ZipFile(wheel) as archive:
        there = {name for name in archive.namelist() if name.startswith("hal/template/")}
    wanted = {f"hal/template/{path.relative_to(TEMPLATE).as_posix()}" for path in template_files()}
    assert there == wanted
    assert {"hal/template/pyproject.toml", "hal/template/.github/workflows/conform.yml"} <= wanted


def test_both_commands_and_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = next(name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name)
        scripts = archive.read(f"{info}/entry_points.txt").decode()
        metadata = archive.read(f"{info}/METADATA").decode()
        assert any(name.startswith(f"{info}/licenses/LICENSE") for name in archive.namelist())
    assert "hal = hal.cli:main" in scripts
    assert "neurohal = hal.cli:main" in scripts
    assert "License-Expression: Apache-2.0" in metadata


def test_no_forbidden_dependency(wheel: Path) -> None:
    """Never a dependency, for licence or pins."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("METADATA"))
        required = [line for line in archive.read(name).decode().splitlines() if line.startswith("Requires-Dist")]
    for package in ("tonic", "event-stream", "expelliarmus", "sanafe", "samna", "torch", "sinabs", "rockpool", "lava"):
        assert not any(line.lower().startswith(f"requires-dist: {package}") for line in required)
