"""`hal calibrate`, and the profile it writes with `hal check`, `map` and `run`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import hal as neurohal
from hal_brainscales2.profile import PARAMETERS, Aims, BrainScaleS2Profile

YINYANG = Path(__file__).parents[1] / "golden" / "brainscales2" / "yinyang_5_120_3.nir"
ASKED = ["--chip-seed", "7", "--threshold=150", "--tau-syn", "6us", "--tau-mem", "12us", "--refractory-time", "30us",
         "--synapse-dac-bias", "1000"]  # fmt: skip


@pytest.fixture(scope="module")
def profile() -> Any:
    return neurohal.calibrate("brainscales2", {"chip_seed": 7})


@pytest.fixture
def quick(profile: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The options that the calibration was asked for; its result is at hand."""
    from hal_brainscales2 import calibration

    asked: list[Any] = []

    def known(options: Any, progress: Any) -> Any:
        asked.append(options)
        progress(1, 2, "leak")
        return profile

    monkeypatch.setattr(calibration, "calibrate", known)
    return asked


def test_it_writes_a_profile_and_says_what_it_found(hal: Any, quick: Any, profile: Any, tmp_path: Path) -> None:
    out, plot = tmp_path / "chip.json", tmp_path / "chip.png"
    done = hal("calibrate", "brainscales2", *ASKED, "--out", out)
    assert (done.code, done.err) == (0, "")
    assert quick[0].aims == Aims(tau_syn=6e-6, tau_mem=12e-6, refractory_time=30e-6, threshold=150.0)
    assert quick[0].chip_seed == 7
    assert neurohal.read_profile(out, "brainscales2") == profile
    for text in (*PARAMETERS, "512 circuits, 7 failed", "sd before", "sd after", f"written to {out}", "leak: 238"):
        assert text in done.flat
    done = hal("calibrate", "brainscales2", "--plot", plot, "--json")
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert done.json["parameters"] == profile.table()
    assert {row["circuit"]: row["parameter"] for row in done.json["failed"]} == profile.reasons
    assert (done.json["device"], done.json["id"], done.json["out"]) == ("brainscales2", profile.id, None)
    assert done.json["seconds"] >= 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--chip-sed", "7"], "did you mean 'chip_seed'?"),
        (["7"], "'7' is neither an option nor the value of one"),
        (["--tau-syn"], "--tau-syn has no value"),
        (["--tau-syn", "--tau-mem"], "--tau-syn has no value"),
        (["--tau-syn", "6xs"], "'6xs' is not a time"),
        (["--tau-syn", "0.5ns"], "no whole number of ns"),
        (["--tau-syn", "6us", "--tau_syn=7us"], "given twice"),
        (["--tau-mem", "1"], "out of range"),
        (["--threshold", "81"], "too near"),
        (["--out", "no/such/file"], "there is no directory no/such"),
        (["--plot", "."], "is a directory"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_measured(
    hal: Any, quick: Any, arguments: list[str], says: str
) -> None:
    done = hal("calibrate", "brainscales2", *arguments)
    assert (done.code, done.out) == (2, "")
    assert says in done.flat
    assert quick == []


def test_times_without_a_unit_are_seconds(hal: Any, quick: Any) -> None:
    assert hal("calibrate", "brainscales2", "--tau-syn", "7e-6", "--reset", "none").code == 0
    assert (quick[0].tau_syn, quick[0].reset) == (7e-6, None)


def test_devices_that_are_not_calibrated(hal: Any) -> None:
    done = hal("calibrate", "loihi", "--json")
    assert done.code == 2
    assert done.json["message"] == "loihi is not calibrated"
    assert hal("info", "loihi", "--schema", "calibration").code == 2
    assert "chip_seed" in hal("info", "brainscales2", "--schema", "calibration").json["properties"]
    assert "Options of hal calibrate brainscales2" in hal("info", "brainscales2").flat


def test_without_matplotlib_a_plot_is_refused_at_once(
    hal: Any, quick: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = hal("calibrate", "brainscales2", "--plot", tmp_path / "a.png")
    assert (done.code, quick) == (1, [])
    assert "pip install 'neurohal[plot]'" in done.err


def test_check_map_and_run_take_the_profile(hal: Any, profile: Any, tmp_path: Path) -> None:
    file, mapping = tmp_path / "chip.json", tmp_path / "net.mapping"
    neurohal.save_profile(profile, file, "brainscales2")
    given = (YINYANG, "--device", "brainscales2", "--semantics", "nir", "--profile", file)
    assert hal("check", *given).code == 0
    assert "was calibrated for another value" in hal("check", *given, "--option", "threshold=120").flat
    assert hal("map", *given, "--out", mapping).code == 0
    assert neurohal.read_mapping(mapping).profile_id == profile.id
    assert hal("run", mapping, "--profile", file, "--duration", "1us").code == 0
    assert hal("run", *given, "--duration", "1us").code == 0
    done = hal("run", mapping, "--duration", "1us")
    assert done.code == 1
    assert "made for another individual" in done.flat


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [(None, 2, "there is no"), ("{}", 2, "holds no profile"), ("other", 2, "of another device")],
)
def test_profiles_that_cannot_be_used(hal: Any, tmp_path: Path, content: str | None, code: int, says: str) -> None:
    file = tmp_path / "chip.json"
    if content == "other":
        neurohal.save_profile(BrainScaleS2Profile(id="x"), file, "dynapse2")
        assert json.loads(file.read_text())["device"] == "dynapse2"
    elif content is not None:
        file.write_text(content)
    done = hal("check", YINYANG, "--device", "brainscales2", "--semantics", "nir", "--profile", file)
    assert done.code == code
    assert says in done.flat
