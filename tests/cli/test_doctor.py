from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

from hal import registry, vendor
from hal.cli import doctoring
from hal.plugins import Plugin, PluginRecord


def levels(results: object) -> dict[str, str]:
    return {result.what: result.level for result in results}  # type: ignore[attr-defined]


def test_what_is_installed(hal) -> None:
    outcome = hal("doctor", "--json")
    results = {result["what"]: result for result in outcome.json["results"]}
    assert results["Python"]["level"] == "ok"
    assert results["numpy"]["text"] == metadata.version("numpy")
    assert results["plugin ideal"]["level"] == "ok"
    assert results["package hal"]["level"] == "ok"
    assert results["vendor packages"]["text"].endswith("nothing was imported)")
    assert outcome.code == (0 if outcome.json["ok"] else 1)
    text = hal("doctor")
    assert text.code == outcome.code
    assert "broken," in text.out
    assert "plugin dynapcnn" in text.out


def test_a_broken_plugin_is_a_failure(hal) -> None:
    def vanished() -> object:
        raise ImportError("No module named 'vendor'")

    record = PluginRecord(family="cracked", distribution="cracked-dist", version="3", entry="cracked.plugin")
    blocked = Plugin(record=PluginRecord(family="shut", distribution="s", version="1", entry="s"), imports=vanished)
    blocked.note("blocked", "HAL_PLUGINS_BLOCK names it")
    stray = registry.DeviceListing(name="stray", family="", distribution="stray-dist", version="1")
    now = registry.Registry.from_metadata()
    before = registry.use(
        registry.Registry(
            [*now.plugins, Plugin(record=record, imports=vanished), blocked], [*now.listed, (stray, None)]
        )
    )
    try:
        outcome = hal("doctor")
        found = {result["what"]: result for result in hal("doctor", "--json").json["results"]}
    finally:
        registry.use(before)
    assert outcome.code == 1
    assert "No module named 'vendor'" in outcome.flat
    assert found["plugin cracked"]["level"] == "broken"
    assert found["plugin shut"]["level"] == "warning"
    assert "stray of stray-dist 1 belongs to no plugin" in outcome.flat


def test_no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    before = registry.use(registry.Registry([], []))
    try:
        assert levels(doctoring._plugins()) == {"plugins": "broken"}
    finally:
        registry.use(before)


def test_metadata_that_disagrees_with_the_plugin(hal) -> None:
    now = registry.Registry.from_metadata()
    owner = next(plugin for plugin in now.plugins if plugin.record.family == "ideal")
    ghost = registry.DeviceListing(name="ghost", family="ideal", distribution=owner.record.distribution, version="1")
    before = registry.use(registry.Registry(now.plugins, [*now.listed, (ghost, owner)]))
    try:
        outcome = hal("doctor")
    finally:
        registry.use(before)
    assert outcome.code == 1
    assert "ghost is listed in hal.devices, but hal_devices() does not give it" in outcome.flat


def test_another_distribution_with_the_same_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"hal": ["Neurohal", "robotpy-hal"]})
    (result,) = doctoring._clash()
    assert result.level == "broken"
    assert "robotpy-hal" in result.text
    assert "pip uninstall robotpy-hal" in result.hint
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"hal": ["neurohal"]})
    (result,) = doctoring._clash()
    assert result.level == "ok"


def test_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"neurohal": "1", "old": "1.9", "good": "2.10.1", "loose": "0.1"}
    monkeypatch.setattr(doctoring, "_version", versions.get)
    needed = ["old>=1.10", "good>=2.9,<3", "gone>=1", "loose", 'extra>=9; extra == "test"']
    monkeypatch.setattr(metadata, "requires", lambda name: needed)
    found = levels(doctoring._packages())
    assert found == {"neurohal": "ok", "old": "broken", "good": "ok", "gone": "broken", "loose": "ok"}
    monkeypatch.setattr(doctoring, "_version", lambda name: None)
    assert levels(doctoring._packages()) == {"neurohal": "broken"}


@pytest.mark.parametrize(
    ("found", "wanted", "older"),
    [
        ("1.9", ">=1.10", True),
        ("2.0", ">=2", False),
        ("2.0.0rc1", ">=2", False),
        ("1.26.4", ">=1.26", False),
        ("0.60.0+cu1", ">=0.60", False),
        ("1.0", "", False),
        ("1.0", "<2", False),
    ],
)
def test_versions_are_compared_as_numbers(found: str, wanted: str, older: bool) -> None:
    assert doctoring._older(found, wanted) is older


class Installed:
    """An editable install of a source tree."""

    name = "tree"

    def __init__(self, root: Path, entries: dict[str, str]) -> None:
        self._origin = {"url": root.as_uri(), "dir_info": {"editable": True}}
        group = "hal.devices"
        self.entry_points = [metadata.EntryPoint(name, value, group) for name, value in entries.items()]

    def read_text(self, name: str) -> str | None:
        return json.dumps(self._origin) if name == "direct_url.json" else None


def test_entry_points_of_an_editable_install_grow_old(tmp_path: Path) -> None:
    root = tmp_path / "a tree"
    root.mkdir()
    installed = Installed(root, {"old": "x.plugin", "same": "x.plugin", "moved": "x.plugin"})
    assert doctoring._editable(installed) is None
    project = '[project.entry-points."hal.devices"]\nsame = "x.plugin"\nmoved = "y.plugin"\nnew = "x.plugin"\n'
    (root / "pyproject.toml").write_text(project)
    assert doctoring._editable(installed) == root
    assert doctoring._changed(root, installed) == ["hal.devices moved", "hal.devices new", "hal.devices old"]
    (root / "pyproject.toml").write_text("[")
    assert "cannot be read" in doctoring._changed(root, installed)[0]


def test_what_is_not_editable(tmp_path: Path) -> None:
    class Wheel:
        def __init__(self, text: str | None) -> None:
            self._text = text

        def read_text(self, name: str) -> str | None:
            return self._text

    for text in (None, "{}", "not json", '{"url": "https://x.org/a.whl", "dir_info": {"editable": true}}'):
        assert doctoring._editable(Wheel(text)) is None


def test_the_kernel_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "new" / "folder"))
    (result,) = doctoring._cache()
    assert (result.level, result.text) == ("ok", str(tmp_path / "new" / "folder"))
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(doctoring, "_writable", lambda folder: False)
    (result,) = doctoring._cache()
    assert result.level == "warning"
    assert "NUMBA_CACHE_DIR" in result.hint
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    (result,) = doctoring._cache()
    assert "numba" in result.text


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    assert doctoring._writable(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    assert not doctoring._writable(tmp_path / "file")


def test_vendor_packages_are_not_imported(child) -> None:
    outcome = child("doctor", "--json")
    assert "vendor packages" in {result["what"] for result in outcome.json["results"]}


def test_a_placeholder_of_a_vendor_is_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"samna": vendor.VendorPackage(name="samna", installed=True, version="0.48.6")}
    monkeypatch.setattr(vendor, "look", found.__getitem__)
    (result,) = doctoring._vendors()
    assert result.level == "warning"
    assert "samna 0.48.6 is a placeholder without a compiled module" in result.text
    assert "do not import samna" in result.hint
    found["samna"] = vendor.VendorPackage(name="samna", installed=True, version="0.46.0", compiled=True)
    (result,) = doctoring._vendors()
    assert (result.level, result.hint) == ("ok", "")
    assert result.text.startswith("samna 0.46.0 (")
    found["samna"] = vendor.VendorPackage(name="samna", installed=False)
    (result,) = doctoring._vendors()
    assert (result.level, result.text[:4]) == ("ok", "none")
