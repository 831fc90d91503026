"""A calibration finds what the individual's circuits can do, and says of which it cannot."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

import hal
from hal_brainscales2 import calibration, fitting
from hal_brainscales2.analog import individual
from hal_brainscales2.bench import Bench
from hal_brainscales2.calibration import RUNS, STEPS, TOLERANCE
from hal_brainscales2.profile import PARAMETERS, CalibrationOptions

FIELDS = {name: "gm" if name == "strength" else name for name in PARAMETERS}
LSB = ("leak", "reset", "threshold")


@attrs.frozen
class Targets:
    i_synin_gm: Any


TARGETS: Any = Targets(np.full(512, 500))


def truth(profile: Any) -> Any:
    return individual(profile.chip_seed, profile.mismatch, np.arange(512)).values(profile.codes, TARGETS)


def test_circuits_do_what_was_aimed_at(calibrated: Any) -> None:
    profile, _ = calibrated
    real, good = truth(profile), profile.failed < 0
    for name, sd in {"leak": 0.1, "reset": 0.1, "threshold": 0.15, "tau_mem": 0.006, "tau_syn": 0.008,
                     "strength": 0.008}.items():  # fmt: skip
        values, unit = getattr(real, name)[good], 1.0 if name in LSB else profile.aim(name)
        assert values.std() / unit < sd, name
        assert abs(values.mean() - profile.aim(name)) / unit < (0.3 if name in LSB else 0.005), name
        assert np.abs(values - profile.aim(name)).max() / unit < TOLERANCE[name], name


def test_what_was_measured_is_so(calibrated: Any) -> None:
    profile, _ = calibrated
    good = profile.failed < 0
    nominal = Bench(CalibrationOptions(chip_seed=7)).nominal
    for codes, seen in ((nominal, profile.before), (profile.codes, profile.after)):
        real = individual(7, 1.0, np.arange(512)).values(codes, TARGETS)
        for name in PARAMETERS:
            error = getattr(seen, name)[good] - getattr(real, name)[good]
            # of the ADC's steps half of one, of the search's its last one
            assert np.abs(error).max() < (0.9 if name in LSB else 0.06 * profile.aim(name)), name


def test_the_table_says_how_much_closer_circuits_are(calibrated: Any) -> None:
    profile, _ = calibrated
    rows = {row["parameter"]: row for row in profile.table()}
    assert list(rows) == list(PARAMETERS)
    for name, row in rows.items():
        assert row["aim"] == profile.aim(name)
        assert row["sd_before"] > 20 * row["sd_after"]
        assert row["worst_before"] > 10 * row["worst_after"]
        assert row["mean_after"] == pytest.approx(row["aim"], rel=0.005)


def test_circuits_fail_where_no_code_reaches_the_aim(calibrated: Any) -> None:
    profile, _ = calibrated
    chip = individual(7, 1.0, np.arange(512))
    lost: dict[int, str] = {}
    for name in PARAMETERS:
        best = np.full(512, np.inf)
        for code in range(1023):
            codes = attrs.evolve(profile.codes, **{FIELDS[name]: np.full(512, code)})
            best = np.minimum(best, np.abs(getattr(chip.values(codes, TARGETS), name) - profile.aim(name)))
        unit = 1.0 if name in LSB else profile.aim(name)
        lost |= dict.fromkeys(np.flatnonzero(best > TOLERANCE[name] * unit).tolist(), name)
    assert len(lost) > 3
    assert profile.reasons == lost
    assert profile.bad.tolist() == sorted(lost)


def test_it_tells_how_far_it_is(calibrated: Any) -> None:
    _, told = calibrated
    done, of, what = zip(*told, strict=True)
    assert list(done) == list(range(RUNS)) == sorted(done)
    assert set(of) == {RUNS}
    assert list(dict.fromkeys(what)) == [
        "measuring before", "leak", "tau_mem", "tau_syn", "strength", "threshold", "reset", "measuring after",
    ]  # fmt: skip
    assert RUNS > 6 * STEPS


def test_the_same_individual_has_the_same_profile_and_versions_are_told(calibrated: Any) -> None:
    profile, _ = calibrated
    assert profile.chip_seed == 7
    assert profile.id.startswith("chip 7, leak 80, reset 80, threshold 150, tau_mem 12 us, tau_syn 6 us")
    assert profile.versions["numpy"] == np.__version__
    assert set(profile.versions) == {"neurohal", "numpy"}


def test_other_aims_with_mismatch_and_without() -> None:
    aims = {"tau_mem": 10e-6, "tau_syn": 10e-6, "leak": 100.5, "reset": 60.0, "threshold": 140.0, "mismatch": 0.0}
    profile: Any = hal.calibrate("brainscales2", CalibrationOptions(**aims))
    assert profile.bad.size == 0
    for row in profile.table():
        assert row["worst_after"] <= (1.0 if row["parameter"] in LSB else 0.02 * row["aim"])
    assert "mismatch 0" in profile.id


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"threshold": 85.0}, "threshold"),
        ({"reset": 145.0}, "threshold"),
        ({"tau_mem": 1e-7}, "tau_mem"),
        ({"tau_syn": 1e-3}, "tau_syn"),
        ({"tau_sin": 1e-5}, "tau_sin"),
        ({"chip_seed": -1}, "chip_seed"),
    ],
)
def test_aims_that_cannot_be_are_refused(options: dict[str, Any], where: str) -> None:
    with pytest.raises(hal.ConfigError) as caught:
        hal.calibrate("brainscales2", options)
    assert where in str(caught.value)


def test_only_what_is_calibrated_and_with_its_own_options() -> None:
    with pytest.raises(hal.CapabilityError, match="speck2f is not calibrated"):
        hal.calibrate("speck2f")
    with pytest.raises(hal.CapabilityError, match="dynapse2 is not calibrated"):
        hal.calibrate("dynapse2")
    with pytest.raises(hal.ConfigError, match=r"wrong options.*MapOptions.*CalibrationOptions"):
        hal.calibrate("brainscales2", hal.registry.spec("brainscales2").map_options())


def test_a_plugin_that_gives_no_profile_is_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "calibrate", lambda options, progress: progress(1, 1, "done"))
    with pytest.raises(hal.PluginError, match=r"hal_calibrate.*returned NoneType, not BrainScaleS2Profile"):
        hal.calibrate("brainscales2")


def test_what_could_not_be_seen_is_told_by_what_could(calibrated: Any) -> None:
    profile, _ = calibrated
    weak = [circuit for circuit, parameter in profile.reasons.items() if parameter == "threshold"]
    assert np.isinf(profile.after.reset[weak]).any()
    assert np.isfinite(profile.after.threshold[weak]).all()
    assert (profile.after.threshold[weak] < 100).all()


@pytest.mark.parametrize(("tau_mem", "tau_syn"), [(12e-6, 6e-6), (10e-6, 10e-6), (5e-6, 20e-6)])
def test_fits_find_time_constants_and_sizes_of_what_an_adc_sees(tau_mem: float, tau_syn: float) -> None:
    random = np.random.default_rng(2)
    known, sought = (
        tau_mem * np.exp(0.2 * random.standard_normal(40)),
        tau_syn * np.exp(0.3 * random.standard_normal(40)),
    )
    t = np.arange(1, 200)[:, None] * 0.544e-6
    shape = sought / (sought - known) * (np.exp(-t / sought) - np.exp(-t / known))
    tau, size = fitting.response(np.rint(80.3 + 150 * shape), t[:, 0], known, tau_syn)
    np.testing.assert_allclose(tau, sought, rtol=0.03)
    np.testing.assert_allclose(size, 150, rtol=0.03)
    fall = np.rint(150 - 90 * np.exp(-t / known))
    np.testing.assert_allclose(fitting.decay(fall, 0.544e-6, tau_mem), known, rtol=0.02)
    assert fitting.response_peak(12e-6, 6e-6) == pytest.approx(0.25, abs=1e-5)
    assert fitting.response_peak(8e-6, 8e-6) == pytest.approx(np.exp(-1), abs=1e-3)
