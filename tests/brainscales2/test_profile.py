"""A profile on disk, and what mapper and device make of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import hal
from hal.events import Probe
from hal_brainscales2.config import CodesConfig
from hal_brainscales2.profile import BrainScaleS2Profile

SPIKES = ["n0", Probe("n0", "spike_s")]


@pytest.fixture(scope="module")
def profile(calibrated: Any) -> Any:
    return calibrated[0]


@pytest.fixture
def file(profile: Any, tmp_path: Path) -> Path:
    path = tmp_path / "chip7.json"
    hal.save_profile(profile, path, "brainscales2")
    return path


def model(cuba: Any, size: int = 60, **values: Any) -> Any:
    return cuba.model(np.full((size, 1), 6.0), **values)


def reasons(mapping: Any) -> str:
    return "\n".join(str(finding) for finding in mapping.fit.findings)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_file_holds_all_of_it(profile: Any, file: Path) -> None:
    assert hal.read_profile(file, "brainscales2") == profile
    bare = BrainScaleS2Profile(id="somebody")
    hal.save_profile(bare, file, "brainscales2")
    assert hal.read_profile(str(file), hal.registry.spec("brainscales2")) == bare
    assert [path.name for path in file.parent.iterdir()] == ["chip7.json"]
    other = hal.registry.spec("dynapse2").profile
    assert other is not None
    hal.save_profile(other(id="board"), file, "dynapse2")
    assert hal.read_profile(file, "dynapse2") == other(id="board")


def test_files_that_hold_no_profile_of_this_device(profile: Any, file: Path, tmp_path: Path) -> None:
    with pytest.raises(hal.ConfigError, match=r"no such file.*nowhere"):
        hal.read_profile(tmp_path / "nowhere", "brainscales2")
    with pytest.raises(hal.ConfigError, match="of another device"):
        hal.read_profile(file, "dynapse2")
    with pytest.raises(hal.CapabilityError, match="profiles"):
        hal.read_profile(file, "loihi")
    with pytest.raises(hal.WriteError, match="cannot write"):
        hal.save_profile(profile, tmp_path / "no" / "folder", "brainscales2")
    data = json.loads(file.read_text())
    del data["profile"]["id"]
    for text in ("{", "[]", "{}", json.dumps(data)):
        file.write_text(text)
        with pytest.raises(hal.FormatError, match=r"holds no profile|is damaged"):
            hal.read_profile(file, "brainscales2")


def test_half_a_calibration_is_none(profile: Any, cuba: Any) -> None:
    for change in (
        {"chip_seed": None},
        {"aims": None},
        {"mismatch": None},
        {"codes": CodesConfig()},
        {"failed": np.zeros(3, np.int8)},
        {"after": attrs.evolve(profile.after, leak=np.zeros(4))},
    ):
        with pytest.raises(hal.ConfigError, match=r"a calibration has all of it|one value for each circuit"):
            hal.mapper("brainscales2", profile=attrs.evolve(profile, **change))
    with pytest.raises(ValueError, match="only a calibration has aims"):
        BrainScaleS2Profile(id="somebody").aim("leak")


# --- a device ---------------------------------------------------------------------------------------------------------


def test_a_calibrated_network_comes_near_to_the_model_and_one_that_is_not_does_not(
    profile: Any, file: Path, cuba: Any
) -> None:
    exact = 2.8488094338194285e-6

    def errors(mapping: Any, **how: Any) -> Any:
        with hal.open("brainscales2", **how) as device:
            device.load(mapping)
            recording = device.run({"in": hal.events([0], [0])}, 20_000)
        values = recording.traces["n0", "spike_s"].values.ravel()
        assert recording.spikes["n0"].size == values.size
        return values[:60] / exact - 1

    plain = hal.mapper("brainscales2").map(model(cuba), record=SPIKES)
    tuned = hal.mapper("brainscales2", profile=file).map(model(cuba), record=SPIKES)
    before, after = errors(plain, mismatch=1.0, chip_seed=7), errors(tuned, profile=file)
    assert after.size == 60
    assert np.abs(after).max() < 0.03 < 0.1 < before.std()
    assert (errors(tuned, profile=profile) == after).all()


def test_a_profile_is_of_one_individual(profile: Any, cuba: Any) -> None:
    mapping = hal.mapper("brainscales2", profile=profile).map(model(cuba))
    assert mapping.profile_id == profile.id
    for options in ({"chip_seed": 8}, {"mismatch": 0.5}):
        with pytest.raises(hal.ConfigError, match=r"of another individual") as caught:
            hal.open("brainscales2", profile=profile, **options)
        assert next(iter(options)) in str(caught.value)
    with hal.open("brainscales2", profile=profile, chip_seed=7, mismatch=1.0) as own:
        own.load(mapping)
    with hal.open("brainscales2", chip_seed=7, mismatch=1.0) as other:
        with pytest.raises(hal.ConfigError, match="made for another individual"):
            other.load(mapping)
        assert other.state == "open"


def test_registers_with_codes_are_those_of_the_individual(profile: Any, cuba: Any) -> None:
    mapper = hal.mapper("brainscales2", profile=profile)
    mapping = mapper.map(model(cuba))
    assert mapper.adopt(mapping.config).profile_id == profile.id
    bare = attrs.evolve(mapping.config, codes=CodesConfig())
    assert mapper.adopt(bare).profile_id is None
    assert hal.mapper("brainscales2").adopt(bare).profile_id is None


# --- the mapper -------------------------------------------------------------------------------------------------------


def test_neurons_have_the_codes_of_their_circuits_and_none_is_a_failed_one(profile: Any, cuba: Any) -> None:
    good = 512 - profile.bad.size
    mapping = hal.mapper("brainscales2", profile=profile).map(model(cuba, good))
    used = mapping.config.circuits.circuit
    assert sorted(used.tolist()) == np.flatnonzero(profile.failed < 0).tolist()
    assert np.array_equal(mapping.config.codes.threshold, profile.codes.threshold[used])
    with pytest.raises(hal.DoesNotFitError) as caught:
        hal.mapper("brainscales2", profile=profile).map(model(cuba, good + 1))
    row = next(row for row in caught.value.report.rows if row.resource == "circuits" and row.place == "chip")
    assert (row.needed, row.limit) == (good + 1, good)


def test_failed_circuits_can_be_had_by_hand_and_are_told(profile: Any, cuba: Any) -> None:
    bad = int(profile.bad[0])
    mapper = hal.mapper("brainscales2", profile=profile)
    mapping = mapper.map(model(cuba, 2), {"places": {"n0": (bad, 100)}})
    assert mapping.config.circuits.circuit.tolist() == [bad, 100]
    assert f"failed are in use (1), placed by hand or as in like= (wanted {bad}, realised {profile.reasons[bad]})" in (
        reasons(mapping)
    )


def test_several_circuits_have_the_codes_of_the_first(profile: Any, cuba: Any) -> None:
    mapper = hal.mapper("brainscales2", profile=profile)
    mapping = mapper.map(model(cuba, 3), {"circuits": {"n0": 2}})
    first = mapping.config.circuits.circuit[::2]
    assert np.array_equal(mapping.config.codes.leak, profile.codes.leak[first])


def test_what_was_aimed_at_is_what_the_mapper_takes(profile: Any, cuba: Any) -> None:
    mapper = hal.mapper("brainscales2", profile=profile)
    slow = mapper.map(model(cuba, 2, tau_mem=20e-3, tau_syn=10e-3))
    assert slow.speedup == pytest.approx(20e-3 / 12e-6)
    assert slow.config.targets.tau_mem.tolist() == [12e-6, 12e-6]
    assert slow.config.targets.refractory_time == pytest.approx(30e-6, rel=0.01)
    assert "calibrated" not in reasons(slow)
    other = mapper.map(model(cuba, 2, tau_syn=12e-6, v_reset=-0.4), {"refractory_s": {"n0": 2e-6}})
    assert other.config.targets.tau_syn.tolist() == [6e-6, 6e-6]
    assert other.config.targets.reset.tolist() == [80, 80]
    assert other.config.targets.refractory_time == pytest.approx(2e-6, rel=0.03)
    text = reasons(other)
    assert "n0.targets.tau_syn: all circuits were calibrated for one value" in text
    assert "(wanted 1.2e-05, realised 6e-06)" in text
    assert "(wanted 52, realised 80)" in text
    assert "v_reset" not in text
    kept = mapper.map(model(cuba, 2, tau_mem=24e-6), {"speedup": 1.0})
    assert "n0.targets.tau_mem" in reasons(kept)


def test_options_that_say_otherwise_are_refused(profile: Any, cuba: Any) -> None:
    mapper = hal.mapper("brainscales2", profile=profile)
    report = mapper.check(model(cuba, 2), {"threshold": 130.0, "i_synin_gm": 400})
    refused = [finding.field for finding in report.findings if finding.level == "refused"]
    assert refused == ["threshold", "i_synin_gm"]
    assert mapper.check(model(cuba, 2), {"threshold": 150.0}).fits


def test_like_keeps_places_and_takes_codes(profile: Any, cuba: Any) -> None:
    mapper = hal.mapper("brainscales2", profile=profile)
    first = mapper.map(model(cuba, 20))
    again = mapper.map(cuba.model(np.full((20, 1), 3.0)), like=first)
    assert again.config.circuits == first.config.circuits
    assert again.config.codes == first.config.codes
    assert again.profile_id == profile.id


def test_with_an_id_alone_all_is_as_without(cuba: Any) -> None:
    bare = hal.mapper("brainscales2", profile=BrainScaleS2Profile(id="one")).map(model(cuba))
    assert bare.config == hal.mapper("brainscales2").map(model(cuba)).config
    with hal.open("brainscales2", profile=BrainScaleS2Profile(id="one"), chip_seed=4, mismatch=1.0) as device:
        device.load(bare)
        assert device.options.chip_seed == 4  # type: ignore[attr-defined]
