from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from hal import registry
from hal.plugins import Plugin, PluginRecord

HEAVY = ("numpy", "h5py", "numba", "rich", "typer", "scipy", "pluggy", "hal_ideal", "hal_dynapcnn", "hal_emulators")


def commands() -> list[list[str]]:
    """`python -m hal`, and the installed script where there is one."""
    script = Path(sys.executable).parent / "hal"
    return [["-m", "hal"], *([[str(script)]] if script.exists() else [])]


@pytest.mark.parametrize("command", commands(), ids=lambda command: Path(command[-1]).name + command[0][:2])
@pytest.mark.parametrize("arguments", [["devices"], ["devices", "--json"]])
def test_listing_devices_imports_nothing_heavy(command: list[str], arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command, *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "speck2f" in done.stdout
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "hal" in imported
    assert not imported.intersection(HEAVY)


def test_the_console_entries_are_main() -> None:
    scripts = {entry.name: entry.value for entry in entry_points(group="console_scripts")}
    assert scripts["hal"] == scripts["neurohal"] == "hal.cli:main"


def test_the_list_is_plain_and_aligned(hal) -> None:
    outcome = hal("devices")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["name", "family", "distribution", "version", "state"]
    row = next(line for line in lines if line.startswith("speck2f "))
    assert row.split()[1:3] == ["dynapcnn", "neurohal"]
    assert row.index("dynapcnn") == lines[0].index("family")
    assert outcome.err == ""


def test_the_list_as_json(hal) -> None:
    devices = {row["name"]: row for row in hal("devices", "--json").json["devices"]}
    assert devices["ideal"]["family"] == "ideal"
    assert set(devices) == {listing.name for listing in registry.devices()}


def test_both_ways_of_asking_give_the_same(hal) -> None:
    # with a flag before it the command goes through the parser
    assert hal("--debug", "devices").out == hal("devices").out
    assert hal("devices", "--json").json["devices"][0].keys() == hal("devices", "--json", "--all").json["devices"][
        0
    ].keys() - {"aliases"}


def faulty() -> registry.Registry:
    """The installed plugins, and one for every way of being unusable."""

    def broken() -> object:
        raise SystemExit("its vendor package was not found")

    def plugin(family: str, imports: object) -> Plugin:
        record = PluginRecord(family=family, distribution=f"{family}-dist", version="3", entry=f"{family}.plugin")
        return Plugin(record=record, imports=imports)  # type: ignore[arg-type]

    class Old:
        HAL_PLUGIN_API = "0.1"

    made = [plugin("cracked", broken), plugin("old", Old), plugin("shut", Old)]
    made[2].note("blocked", "HAL_PLUGINS_BLOCK names it")
    rows = [
        (
            registry.DeviceListing(
                name=f"chip-{p.record.family}", family=p.record.family, distribution="x", version="3"
            ),
            p,
        )
        for p in made
    ]
    stray = registry.DeviceListing(name="stray", family="", distribution="stray-dist", version="1")
    now = registry.Registry.from_metadata()
    return registry.Registry([*now.plugins, *made], [*now.listed, *rows, (stray, None)])


@pytest.fixture
def with_faults():
    before = registry.use(faulty())
    yield
    registry.use(before)


@pytest.mark.usefixtures("with_faults")
def test_all_shows_what_cannot_be_used_and_why(hal) -> None:
    outcome = hal("devices", "--all")
    assert outcome.code == 0
    states = {line.split()[0]: line for line in outcome.out.splitlines() if line}
    assert states["chip-cracked"].split()[-1] == "broken"
    assert states["chip-old"].split()[-1] == "incompatible"
    assert states["chip-shut"].split()[-1] == "blocked"
    assert "speck2fmodule" in states["speck2f"]
    assert "loaded" in states["speck2f"]
    assert "SystemExit: its vendor package was not found" in outcome.out
    assert "HAL_PLUGINS_BLOCK names it" in outcome.out
    assert re.search(r"0\.1", outcome.out)
    plugins = {row["family"]: row for row in hal("devices", "--all", "--json").json["plugins"]}
    assert plugins["cracked"]["state"] == "broken"
    assert plugins["ideal"]["reason"] == ""


@pytest.mark.usefixtures("with_faults")
def test_the_plain_list_loads_nothing_and_leaves_out_what_is_blocked(hal) -> None:
    outcome = hal("devices")
    assert "chip-shut" not in outcome.out
    states = {line.split()[0]: line.split(maxsplit=4)[-1] for line in outcome.out.splitlines()}
    assert states["chip-cracked"] == "found"
    assert "without plugin" in next(line for line in outcome.out.splitlines() if line.startswith("stray"))


@pytest.mark.usefixtures("with_faults")
def test_a_broken_plugin_fails_and_is_no_fault_of_the_command_line(hal) -> None:
    outcome = hal("info", "chip-cracked")
    assert outcome.code == 1
    assert "its vendor package was not found" in outcome.err


def test_no_devices_at_all(hal) -> None:
    before = registry.use(registry.Registry([], []))
    try:
        assert "no devices are installed" in hal("devices").out
    finally:
        registry.use(before)


def test_blocking_by_environment(child) -> None:
    outcome = child("devices", HAL_PLUGINS_BLOCK="dynapcnn")
    assert "ideal" in outcome.out
    assert "speck2f" not in outcome.out
    assert "HAL_PLUGINS_BLOCK names it" in child("devices", "--all", HAL_PLUGINS_BLOCK="dynapcnn").out
    assert os.environ.get("HAL_PLUGINS_BLOCK") is None
