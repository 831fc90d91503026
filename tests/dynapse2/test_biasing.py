"""A core's biases and masks, held against the equations of its circuits, worked out from the registers alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal_dynapse2 import biases
from hal_dynapse2.biasing import Core, settle
from hal_dynapse2.config import PARAMETERS
from hal_dynapse2.sets import ParameterSet

PLAIN = {"tau_mem": 20e-3, "tau_syn": 5e-3, "refractory": 5e-4, "drive": 0.0}
KAPPA, UT, VTH = 0.705, 25e-3, 0.7
C_MEM, C_AMPA, C_GABA, C_PULSE, C_REF = 3e-12, 24.5e-12, 25e-12, 0.5e-12, 1.5e-12


def _settle(
    areas: Any, *, excites: Any = True, codes: Any = -1, iscale: Any = None, entries: int = 1, **sets: Any
) -> Core:
    q = np.atleast_1d(np.asarray(areas, float))
    return settle(
        ParameterSet(**PLAIN | sets),
        q,
        np.broadcast_to(np.asarray(excites), q.shape),
        np.broadcast_to(np.asarray(codes, np.int64), q.shape),
        np.arange(q.size),
        np.full(q.size, 64),
        iscale=iscale,
        entries=entries,
        seed=0,
    )


def _register(core: Core, name: str) -> float:
    at = PARAMETERS.index(name)
    return float(biases.currents(name)[core.coarse[at], core.fine[at]])


def _bases(core: Core) -> list[float]:
    return [_register(core, f"SYAM_W{k}_P") for k in range(4)]


def _areas(core: Core, excites: Any) -> Any:
    """What each synapse adds to the membrane, thresholds at 1: charge of its pulse through two gain stages."""
    of = {name: _register(core, name) for name in PARAMETERS if biases.PARAMETERS[name] is not None}
    pulse = VTH * C_PULSE / of["SYPD_EXT_N"]
    soma = of["SOIF_GAIN_N"] / of["SOIF_LEAK_N"]
    ampa, gaba = of["DEAM_EGAIN_P"] / of["DEAM_ETAU_P"], of["DEGA_IGAIN_P"] / of["DEGA_ITAU_P"]
    base = np.array([of[f"SYAM_W{k}_P"] for k in range(4)])
    current = (((core.masks[..., None] >> np.arange(4)) & 1) * base).sum(axis=(1, 2))
    return current * np.where(excites, ampa, gaba) * pulse * soma / of["SOIF_SPKTHR_P"]


AREAS = st.lists(st.floats(1e-5, 0.05), min_size=1, max_size=30)


@settings(deadline=None, max_examples=40)
@given(areas=AREAS, seed=st.integers(0, 9), entries=st.integers(1, 3), tau=st.floats(1e-3, 0.1))
def test_areas_as_realised_are_those_of_the_registers(areas: Any, seed: int, entries: int, tau: float) -> None:
    excites = np.random.default_rng(seed).random(len(areas)) < 0.6
    core = _settle(areas, excites=excites, entries=entries, tau_syn=tau)
    np.testing.assert_allclose(core.areas, _areas(core, excites), rtol=1e-9, atol=1e-15)
    assert core.masks.shape == (len(areas), entries)
    unequal = core.areas[~core.clipped] - np.array(areas)[~core.clipped]
    assert np.linalg.norm(unequal) <= 0.3 * np.linalg.norm(np.array(areas))


def test_time_constants_are_those_of_the_leaks() -> None:
    core = _settle([0.01])
    of = {name: _register(core, name) for name in ("SOIF_LEAK_N", "DEAM_ETAU_P", "DEGA_ITAU_P", "SOIF_REFR_N")}
    assert core.tau_mem == pytest.approx(UT * C_MEM / KAPPA / of["SOIF_LEAK_N"], rel=1e-9)
    assert core.tau_syn[0] == pytest.approx(UT * C_AMPA / KAPPA / of["DEAM_ETAU_P"], rel=1e-9)
    assert core.tau_syn[1] == pytest.approx(UT * C_GABA / KAPPA / of["DEGA_ITAU_P"], rel=1e-9)
    assert (core.tau_mem, *core.tau_syn) == pytest.approx((20e-3, 5e-3, 5e-3), rel=0.06)
    assert VTH * C_REF / of["SOIF_REFR_N"] == pytest.approx(5e-4, rel=0.06)


@pytest.mark.parametrize("sign", [True, False])
def test_excitation_and_inhibition_are_as_strong_though_their_dendrites_are_set_apart(sign: bool) -> None:
    core = _settle([0.01, 0.02, 0.04], excites=sign)
    np.testing.assert_allclose(core.areas, [0.01, 0.02, 0.04], rtol=0.05)


def test_four_magnitudes_are_kept_up_to_the_rounding_of_base_currents() -> None:
    core = _settle([0.01, 0.013, 0.021, 0.05, 0.01])
    assert core.error < 0.01
    np.testing.assert_allclose(core.areas, [0.01, 0.013, 0.021, 0.05, 0.01], rtol=0.02)


@settings(deadline=None, max_examples=30)
@given(strong=st.floats(1e-3, 10.0))
def test_thresholds_stay_far_above_the_gain_current(strong: float) -> None:
    core = _settle([strong, strong / 3])
    assert _register(core, "SOIF_SPKTHR_P") >= 90 * _register(core, "SOIF_GAIN_N")
    assert max(_bases(core)) <= 0.95 * biases.span("SYAM_W0_P").largest


def test_weights_stronger_than_any_base_current_are_weakened_and_told() -> None:
    core = _settle([100.0, 0.01, 50.0])
    assert core.clipped.tolist() == [True, False, True]
    assert core.areas[0] == core.areas[2] < 2.0
    # what is left is as strong as the base currents allow
    assert core.areas[0] > 0.5
    assert not _settle([0.05, 0.01]).clipped.any()


def test_a_threshold_is_lowered_before_anything_is_weakened() -> None:
    weak, strong = _settle([0.01]), _settle([0.4])
    assert _register(weak, "SOIF_SPKTHR_P") == pytest.approx(1e-7, rel=0.05)
    assert _register(strong, "SOIF_SPKTHR_P") < 0.5e-7
    assert strong.areas[0] == pytest.approx(0.4, rel=0.05)
    assert not strong.clipped.any()


def test_iscale_sets_base_currents_per_unit_of_area() -> None:
    for iscale in (1e-6, 2e-6):
        core = _settle([0.01, 0.02], iscale=iscale)
        base = np.array(_bases(core))
        assert sorted(np.round(base / (iscale * 0.01), 1))[-2:] == pytest.approx([1.0, 2.0], rel=0.1)
        np.testing.assert_allclose(core.areas, [0.01, 0.02], rtol=0.1)


def test_an_iscale_beyond_the_range_saturates_and_says_so() -> None:
    core = _settle([0.01], iscale=1.0)
    told = {note.parameter: note for note in core.notes}
    assert {note.verdict for note in core.notes} == {biases.Verdict.SATURATED}
    assert "SOIF_SPKTHR_P" in told
    assert told["SOIF_SPKTHR_P"].actual == biases.span("SOIF_SPKTHR_P").largest
    np.testing.assert_allclose(core.areas, _areas(core, True))


@pytest.mark.parametrize("code", [0, 5, 15])
def test_codes_set_by_hand_are_taken_as_they_are(code: int) -> None:
    core = _settle([0.01, 0.02, 0.03], codes=[-1, code, -1], entries=2)
    assert core.masks[1].tolist() == [code, 0]
    np.testing.assert_allclose(core.areas, _areas(core, True), rtol=1e-9)
    assert core.areas[[0, 2]] == pytest.approx([0.01, 0.03], rel=0.05)


def test_more_entries_come_nearer() -> None:
    areas = np.random.default_rng(0).uniform(1e-3, 0.05, 200)
    errors = [_settle(areas, entries=k).error for k in (1, 2, 3)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[0] < 0.06


@pytest.mark.parametrize("drive", [0.3, 1.5])
def test_a_drive_is_where_the_direct_current_lifts_the_membrane_to(drive: float) -> None:
    core = _settle([0.01], drive=drive)
    soma = _register(core, "SOIF_GAIN_N") / _register(core, "SOIF_LEAK_N")
    level = _register(core, "SOIF_DC_P") * soma / _register(core, "SOIF_SPKTHR_P")
    assert core.drive == pytest.approx(level, rel=1e-9)
    assert core.drive == pytest.approx(drive, rel=0.06)


def test_currents_that_are_meant_to_be_off_are_no_news() -> None:
    core = _settle([0.01])
    assert core.notes == ()
    assert core.drive == 0.0
    for name in ("SOIF_DC_P", "SOAD_W_N", "DENM_NMREV_N"):
        assert _register(core, name) == biases.span(name).least


@pytest.mark.parametrize(("field", "value", "verdict"), [
    ("tau_mem", 10.0, biases.Verdict.BELOW), ("tau_mem", 1e-9, biases.Verdict.SATURATED),
    ("tau_syn", 100.0, biases.Verdict.BELOW), ("refractory", 1e-7, biases.Verdict.SATURATED),
])  # fmt: skip
def test_currents_beyond_the_range_are_told(field: str, value: float, verdict: Any) -> None:
    parameter = {"tau_mem": "SOIF_LEAK_N", "tau_syn": "DEAM_ETAU_P", "refractory": "SOIF_REFR_N"}[field]
    notes = {note.parameter: note for note in _settle([0.01], **{field: value}).notes}
    assert notes[parameter].verdict is verdict
    span = biases.span(parameter)
    assert notes[parameter].actual in (span.least, span.largest)


def test_a_core_without_synapses_has_the_fields_base_currents() -> None:
    core = _settle([])
    assert core.error == 0.0
    assert core.masks.shape == (0, 1)
    assert _bases(core) == pytest.approx([1e-9, 2e-9, 4e-9, 8e-9], rel=0.06)


def test_what_was_asked_for_and_what_is_set_stand_beside_each_other() -> None:
    core = _settle([0.01, 0.02])
    assert core.asked.sum() == 23
    assert not core.coarse[~core.asked].any()
    assert not core.wanted[~core.asked].any()
    names = [name for name, asked in zip(PARAMETERS, core.asked, strict=True) if asked]
    set_to = {name: _register(core, name) for name in names}
    for name, wanted in zip(names, core.wanted[core.asked], strict=True):
        # a base current that no level needs makes the others' sums nearer
        spare = name.startswith("SYAM_W") and wanted == 0
        assert spare or set_to[name] == pytest.approx(max(wanted, biases.span(name).least), rel=0.17), name
