"""Wanted currents on the bias generator: nearest of all entries, verdicts at both ends, errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.errors import ConfigError
from hal_dynapse2 import biases
from hal_dynapse2.biases import Verdict
from hal_dynapse2.parameters import (
    CORE_PARAMETERS,
    GLOBAL_PARAMETERS,
    PARAMETERS,
    SHARED_PARAMETERS,
    SIMULATOR_NAMES,
    WEIGHT_PARAMETERS,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "dynapse2" / "bias_generator.npz"
SCALED = [name for name, scale in PARAMETERS.items() if scale is not None]


def test_names_and_scales_are_those_of_the_peer() -> None:
    with np.load(GOLDEN) as file:
        meta = json.loads(str(file["meta"]))
    assert [PARAMETERS[name] for name in meta["parameters"]] == meta["scale"]
    assert dict(zip(meta["simulator_names"], meta["parameters"], strict=True)) == SIMULATOR_NAMES
    assert set(SIMULATOR_NAMES.values()) < set(CORE_PARAMETERS)
    assert set(WEIGHT_PARAMETERS) < set(CORE_PARAMETERS)
    assert not set(CORE_PARAMETERS) & {*SHARED_PARAMETERS, *GLOBAL_PARAMETERS}


@pytest.mark.parametrize("name", SCALED)
def test_every_scale_belongs_to_a_type_with_a_table(name: str) -> None:
    limits = biases.span(name)
    scale = PARAMETERS[name]
    assert scale is not None
    assert biases.currents(name).shape == (6, 256)
    # figures of the fact sheet: (0, 0) and (5, 255)
    least, largest = {"N": (4.936e-13, 2.2759e-6), "P": (3.728e-13, 2.2449e-6)}[name[-1]]
    assert limits.least == pytest.approx(least * scale, rel=1e-3)
    assert limits.largest == pytest.approx(largest * scale, rel=1e-3)


def brute(name: str, wanted: np.ndarray) -> np.ndarray:
    """The first of the nearest, all entries looked at."""
    return np.abs(biases.currents(name).ravel() - wanted[:, None]).argmin(axis=1)


@given(st.sampled_from(SCALED), st.lists(st.floats(0, 3e-6), min_size=1, max_size=40))
def test_nearest_of_all_entries(name: str, wanted: list[float]) -> None:
    made = biases.nearest(name, wanted)
    assert np.array_equal(made.coarse * 256 + made.fine, brute(name, np.array(wanted)))
    assert np.array_equal(made.actual, biases.actual(name, made.coarse, made.fine))


@given(st.sampled_from(SCALED), st.integers(0, 1535))
def test_an_entry_is_its_own_nearest_and_so_where_the_table_falls(name: str, entry: int) -> None:
    coarse, fine = divmod(entry, 256)
    made = biases.nearest(name, biases.actual(name, coarse, fine))
    assert (int(made.coarse), int(made.fine)) == (coarse, fine)
    assert not made.notes


def test_the_table_falls_at_multiples_of_32_and_both_sides_are_found() -> None:
    table = biases.currents("SOIF_LEAK_N")
    falls = np.argwhere(np.diff(table, axis=1) < 0)
    assert {int(fine) + 1 for _, fine in falls} == {32, 64, 96, 128, 160, 192, 224}
    for coarse, fine in falls:
        wanted = np.linspace(table[coarse, fine + 1], table[coarse, fine], 30)
        made = biases.nearest("SOIF_LEAK_N", wanted)
        assert np.array_equal(made.coarse * 256 + made.fine, brute("SOIF_LEAK_N", wanted))


def test_of_two_as_near_the_first() -> None:
    rising = np.sort(biases.currents("SOIF_LEAK_N"), axis=None)
    middle = rising[:-1] + np.diff(rising) / 2
    exact = middle[middle - rising[:-1] == rising[1:] - middle]
    assert exact.size > 100
    made = biases.nearest("SOIF_LEAK_N", exact)
    assert np.array_equal(made.coarse * 256 + made.fine, brute("SOIF_LEAK_N", exact))


def test_any_shape() -> None:
    wanted = np.full((2, 0, 3), 1e-9)
    assert biases.nearest("SOIF_DC_P", wanted).coarse.shape == (2, 0, 3)
    assert biases.nearest("SOIF_DC_P", 1e-9).actual.shape == ()
    made = biases.nearest("SOIF_DC_P", np.full((2, 3), 1e-9))
    assert made.actual == pytest.approx(np.full((2, 3), 1e-9), rel=0.02)


def test_what_is_outside_the_range_is_told() -> None:
    made = biases.nearest("SYAM_W0_P", [[1.0, 1e-8], [0.0, 1e-15]])
    limits = biases.span("SYAM_W0_P")
    assert [(note.index, note.verdict) for note in made.notes] == [
        ((0, 0), Verdict.SATURATED),
        ((1, 0), Verdict.ZERO),
        ((1, 1), Verdict.BELOW),
    ]
    assert [note.limit for note in made.notes] == [limits.largest, limits.least, limits.least]
    assert [note.actual for note in made.notes] == [limits.largest, limits.least, limits.least]
    assert [note.wanted for note in made.notes] == [1.0, 0.0, 1e-15]
    assert limits.largest == pytest.approx(4.9e-7, rel=0.01)
    assert str(made.notes[1]) == "SYAM_W0_P: cannot be zero (wanted 0 A, set 8.20129e-14 A)"
    assert (made.coarse[0, 0], made.fine[0, 0], made.coarse[1, 0], made.fine[1, 0]) == (5, 255, 0, 0)


def test_impossible_currents_are_all_named() -> None:
    wanted = {"SOIF_DC_P": [1e-9, np.nan, np.inf], "SOIF_LEAK_N": [[-1e-9, -2e-9]], "SOIF_GAIN_N": 1e-9}
    with pytest.raises(ConfigError) as caught:
        biases.nearest_of(wanted)
    first, second = caught.value.problems
    assert (first.where, first.what, first.value) == (
        "SOIF_DC_P",
        "2 of 3 wanted currents are not finite",
        "nan A at (1,)",
    )
    assert (second.where, second.value) == ("SOIF_LEAK_N", "-1e-09 A at (0, 0)")
    assert second.limit == "1.39e-06 A"


@pytest.mark.parametrize("ask", [biases.currents, biases.span, lambda name: biases.nearest(name, 1e-9)])
def test_names_without_a_current_are_refused(ask: object) -> None:
    for name, words in (("SOIF_NONE_P", "no such parameter"), ("SYPD_DLY0_P", "scale is not known")):
        with pytest.raises(ConfigError, match=words):
            ask(name)  # type: ignore[operator]
    with pytest.raises(ConfigError) as caught:
        biases.nearest_of({"SOIF_NONE_P": 1e-9, "SYPD_DLY0_P": 1e-9})
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("coarse", "fine", "problems"), [(6, 0, 1), (0, 256, 1), (-1, -1, 2), (1.5, 0, 1), (0, "a", 1)]
)
def test_entries_that_do_not_exist_are_refused(coarse: object, fine: object, problems: int) -> None:
    with pytest.raises(ConfigError) as caught:
        biases.actual("SOIF_DC_P", [0, coarse], [0, fine])  # type: ignore[list-item]
    assert len(caught.value.problems) == problems


def test_time_constants_are_those_of_the_simulator() -> None:
    # fact sheet, defaults of the simulator
    assert biases.time_current(20e-3, 3e-12) == pytest.approx(5.319e-12, rel=1e-3)
    assert biases.time_current(10e-3, 24.5e-12) == pytest.approx(8.688e-11, rel=1e-3)
    assert biases.pulse_current(10e-6, 0.5e-12) == pytest.approx(3.5e-8)
    assert biases.pulse_current(1e-3, 1.5e-12) == pytest.approx(1.05e-9)


@given(st.floats(1e-6, 10), st.floats(1e-13, 1e-10))
def test_there_and_back(value: float, capacitance: float) -> None:
    assert biases.time_constant(biases.time_current(value, capacitance), capacitance) == pytest.approx(value)
    assert biases.pulse_width(biases.pulse_current(value, capacitance), capacitance) == pytest.approx(value)


@pytest.mark.parametrize("turn", [biases.time_current, biases.time_constant, biases.pulse_current, biases.pulse_width])
def test_no_time_and_no_current_cannot_be_turned(turn: object) -> None:
    for value in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ConfigError, match="1 of 2 numbers"):
            turn([1.0, value], 1e-12)  # type: ignore[operator]
