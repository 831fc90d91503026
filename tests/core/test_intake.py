"""What goes into a run: every fault is found before anything runs, all of them at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hal
from hal import EVENT, EventBatch, Port, Signal
from hal.errors import ConfigError, Problem
from hal.intake import check, check_batch, duration_problems, floored, floored_batch

PORTS = (Port("a", (2, 2)), Port("b", (3,), "signal"), Port("@clock", (1,)))
STEP = 10


def problems(call: Any, *args: Any) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        call(*args)
    return list(caught.value.problems)


def where(call: Any, *args: Any) -> list[str]:
    return [problem.where for problem in problems(call, *args)]


def test_missing_keys_are_silence_in_the_order_of_the_ports() -> None:
    checked = check({}, PORTS, 100, STEP)
    assert list(checked) == ["a", "b", "@clock"]
    assert checked["a"].dtype == EVENT
    assert len(checked["a"]) == len(checked["@clock"]) == 0
    assert checked["b"].t.tolist() == [0]
    assert checked["b"].values.tolist() == [[0, 0, 0]]


def test_the_order_of_keys_does_not_matter() -> None:
    given = {"@clock": hal.events([5], [0]), "a": hal.events([3], [1])}
    assert list(check(given, PORTS, 100, STEP)) == ["a", "b", "@clock"]


def test_unknown_keys_are_errors_with_advice() -> None:
    found = problems(check, {"A": hal.events([0], [0]), "zzz": 1}, PORTS, 100, STEP)
    assert [p.where for p in found] == ["stimulus 'A'", "stimulus 'zzz'"]
    assert "there are: 'a', 'b', '@clock'" in found[1].hint
    assert "did you mean '@clock'" in problems(check, {"@clok": 1}, PORTS, 100, STEP)[0].hint


def test_every_fault_of_everything_at_once() -> None:
    stimulus = {
        "a": hal.events([20, 10], [4, 0]),
        "b": Signal([5, 5], np.full((2, 2), np.nan)),
        "c": 1,
    }
    found = where(check, stimulus, PORTS, 15, STEP)
    assert found[0] == "duration_ns"
    assert "stimulus 'c'" in found
    assert {"stimulus 'a', row 0", "stimulus 'a', row 1"} <= set(found)
    assert sum("'b'" in place for place in found) == 3


@pytest.mark.parametrize("stimulus", [None, [("a", 1)], 5, "a"])
def test_a_stimulus_is_a_mapping(stimulus: Any) -> None:
    with pytest.raises(ConfigError, match="maps input names"):
        check(stimulus, PORTS, 100, STEP)
    with pytest.raises(ConfigError, match="maps input names"):
        check_batch(stimulus, PORTS, 100, STEP)


# --- duration --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("duration", "step", "limit", "word"),
    [
        (-10, STEP, None, "negative"),
        (15, STEP, None, "whole number of steps"),
        (1000, STEP, 500, "longer than"),
        (10.0, STEP, None, "whole number of ns"),
        (True, None, None, "whole number of ns"),
        ("10", None, None, "whole number of ns"),
        (None, None, None, "whole number of ns"),
    ],
)
def test_faults_of_a_duration(duration: Any, step: int | None, limit: int | None, word: str) -> None:
    (problem,) = duration_problems(duration, step, limit)
    assert word in problem.what
    assert problem.value == duration


@pytest.mark.parametrize("duration", [0, 10, np.int64(20), np.uint8(30)])
def test_good_durations(duration: Any) -> None:
    assert duration_problems(duration, STEP, 30) == []


def test_without_a_step_any_duration_goes() -> None:
    assert duration_problems(17, None, None) == []


# --- events and rasters ----------------------------------------------------------------------------------------------


def test_good_events_pass_unchanged_and_uncopied() -> None:
    events = hal.events([0, 5, 5, 99], [0, 3, 3, 1])
    assert check({"a": events}, PORTS, 100, STEP)["a"] is events


def test_other_integer_widths_and_more_fields_become_events() -> None:
    given = np.array([(7, 1, 3)], [("t", "u4"), ("p", "?"), ("index", "i2")])
    checked = check({"a": given}, PORTS, 100, STEP)["a"]
    assert checked.dtype == EVENT
    assert checked.tolist() == [(7, 3)]


@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=5))
def test_row_k_of_a_raster_is_step_k(rows: list[list[int]]) -> None:
    raster = np.array(rows)
    for shaped in (raster, raster.reshape(-1, 2, 2), raster.astype(np.float32)):
        checked = check({"a": shaped}, PORTS, len(rows) * STEP, STEP)["a"]
        expected = [(k * STEP, i) for k, row in enumerate(rows) for i, n in enumerate(row) for _ in range(n)]
        assert checked.tolist() == expected


def test_a_raster_without_rows_is_a_run_of_no_length() -> None:
    assert len(check({"a": np.zeros((0, 2, 2), int)}, PORTS, 0, STEP)["a"]) == 0


@pytest.mark.parametrize("shape", [(3, 2, 1, 2), (3, 4, 1), (3, 1, 4)])
def test_a_raster_of_another_layout_is_refused_though_it_has_the_size(shape: tuple[int, ...]) -> None:
    (problem,) = problems(check, {"a": np.zeros(shape, int)}, PORTS, 30, STEP)
    assert (problem.value, problem.limit) == (shape[1:], (2, 2))


@pytest.mark.parametrize(
    ("raster", "word"),
    [
        (np.zeros((4, 4)), "rows differ from the duration"),
        (np.zeros((3, 5)), "shape differs"),
        (np.full((3, 4), 0.5), "no spike counts"),
        (np.full((3, 4), -1), "no spike counts"),
        (np.zeros(4), "neither an event array nor a raster"),
        (np.array([["x"]]), "neither an event array nor a raster"),
        ([[1], [2, 3]], "not an array"),
        (object(), "neither an event array nor a raster"),
    ],
)
def test_faults_of_a_raster(raster: Any, word: str) -> None:
    assert any(word in p.what for p in problems(check, {"a": raster}, PORTS, 30, STEP))


def test_fractions_name_signals() -> None:
    (problem,) = problems(check, {"a": np.full((3, 4), 0.5)}, PORTS, 30, STEP)
    assert "signals=" in problem.hint


def test_a_raster_needs_a_step() -> None:
    (problem,) = problems(check, {"a": np.zeros((3, 4))}, PORTS, 30, None)
    assert "needs a step" in problem.what
    assert "dt" in problem.hint


# --- signals ---------------------------------------------------------------------------------------------------------


def test_rows_for_a_signal_port_are_sampled_at_the_steps() -> None:
    checked = check({"b": [[0.5, -1, 2]] * 2}, PORTS, 20, STEP)["b"]
    assert checked.t.tolist() == [0, 10]
    assert checked.values.tolist() == [[0.5, -1, 2]] * 2


def test_events_for_a_signal_port_are_refused() -> None:
    (problem,) = problems(check, {"b": hal.events([0], [0])}, PORTS, 20, STEP)
    assert "signal input" in problem.what


def test_a_signal_of_counts_for_an_events_port_becomes_events_at_its_times() -> None:
    signal = Signal([0, 30], [[0, 2, 0, 0], [0, 0, 0, 1]])
    assert check({"a": signal}, PORTS, 100, STEP)["a"].tolist() == [(0, 1), (0, 1), (30, 3)]


def test_a_signal_off_the_grid_or_with_fractions_is_no_raster() -> None:
    found = problems(check, {"a": Signal([5], [[0.5, 0, 0, 0]])}, PORTS, 100, STEP)
    assert {word for p in found for word in ("grid", "counts") if word in p.what} == {"grid", "counts"}


# --- batches ---------------------------------------------------------------------------------------------------------


def test_a_batch_gives_its_samples_one_by_one() -> None:
    stimuli = {
        "a": [hal.events([1], [1]), np.ones((2, 4), int), hal.events(np.zeros(0, int), np.zeros(0, int))],
        "b": np.arange(18.0).reshape(3, 2, 3),
    }
    batch = check_batch(stimuli, PORTS, 20, STEP)
    samples = list(batch)
    assert len(batch) == len(samples) == 3
    assert [list(sample) for sample in samples] == [["a", "b", "@clock"]] * 3
    for b, sample in enumerate(samples):
        one = check({key: column[b] for key, column in stimuli.items()}, PORTS, 20, STEP)
        assert sample["a"].tolist() == one["a"].tolist()
        assert sample["b"].values.tolist() == one["b"].values.tolist()


def test_an_event_batch_passes_as_it_is() -> None:
    given = EventBatch.of([hal.events([5, 6], [0, 1]), hal.events([1], [3])])
    batch = check_batch({"a": given}, PORTS, 20, STEP)
    assert batch.columns["a"].events.tolist() == given.events.tolist()
    assert batch.columns["a"].splits.tolist() == [0, 2, 3]


def test_an_event_batch_of_other_integers_becomes_events() -> None:
    rows = np.array([(5, 0), (1, 3)], [("t", "i4"), ("index", "u2")])
    batch = check_batch({"a": EventBatch(rows, [0, 1, 2])}, PORTS, 20, STEP)
    assert batch.columns["a"].events.dtype == EVENT


def test_faults_name_the_sample_and_the_row() -> None:
    runs = [hal.events([1], [1]), hal.events([3, 2, 30], [0, 0, 9])]
    expected = ["sample 1, stimulus 'a', row 1", "sample 1, stimulus 'a', row 2", "sample 1, stimulus 'a', row 2"]
    assert sorted(where(check_batch, {"a": EventBatch.of(runs)}, PORTS, 20, STEP)) == expected
    assert sorted(where(check_batch, {"a": runs}, PORTS, 20, STEP)) == expected


def test_time_may_fall_between_samples_but_not_within() -> None:
    fine = EventBatch.of([hal.events([15], [0]), hal.events([2], [0])])
    assert len(check_batch({"a": fine}, PORTS, 20, STEP)) == 2
    empty = EventBatch.of([hal.events([15], [0]), hal.events(np.zeros(0, int), np.zeros(0, int)), hal.events([2], [0])])
    assert len(check_batch({"a": empty}, PORTS, 20, STEP)) == 3


@given(
    st.lists(st.lists(st.tuples(st.integers(-2, 25), st.integers(0, 5)), max_size=4), min_size=1, max_size=4),
)
def test_a_batch_is_refused_exactly_when_a_sample_is(runs: list[list[tuple[int, int]]]) -> None:
    arrays = [hal.events(np.array([t for t, _ in r], int), np.array([i for _, i in r], int)) for r in runs]

    def refused(call: Any, given: Any) -> bool:
        try:
            call({"a": given}, PORTS, 20, STEP)
        except ConfigError:
            return True
        return False

    assert refused(check_batch, EventBatch.of(arrays)) == any(refused(check, array) for array in arrays)


def test_all_keys_have_equal_length() -> None:
    stimuli = {"a": [hal.events([0], [0])] * 2, "b": [np.zeros((2, 3))] * 3}
    (problem,) = problems(check_batch, stimuli, PORTS, 20, STEP)
    assert problem.value == {"a": 2, "b": 3}


@pytest.mark.parametrize(
    "column",
    [
        EventBatch(hal.events([0], [0]), [0, 2]),
        EventBatch(hal.events([0], [0]), [1, 1]),
        EventBatch(hal.events([0, 1], [0, 0]), [0, 2, 1, 2]),
        EventBatch(hal.events([0], [0]), []),
        EventBatch(hal.events([0], [0]), [[0, 1]]),
        EventBatch(np.zeros(2), [0, 2]),  # type: ignore[arg-type]
        EventBatch(np.zeros(2, [("t", "f8"), ("index", "u4")]), [0, 2]),
        EventBatch(np.zeros(2, [("t", "i8"), ("index", "f4")]), [0, 2]),
        EventBatch(np.array([(0, -1)], [("t", "i8"), ("index", "i4")]), [0, 1]),
        (sample for sample in []),
        5,
        hal.events([0], [0]),
    ],
    ids=lambda column: type(column).__name__,
)
def test_broken_batches_are_config_errors(column: Any) -> None:
    with pytest.raises(ConfigError):
        check_batch({"a": column}, PORTS, 20, STEP)


def test_events_for_a_signal_port_of_a_batch_are_refused() -> None:
    with pytest.raises(ConfigError, match="signal input"):
        check_batch({"b": EventBatch.of([hal.events([0], [0])])}, PORTS, 20, STEP)


@pytest.mark.parametrize("stimuli", [{}, {"a": []}, {"a": [], "b": []}])
def test_a_batch_has_at_least_one_sample(stimuli: Any) -> None:
    with pytest.raises(ConfigError, match="sample"):
        check_batch(stimuli, PORTS, 20, STEP)


def test_names_lengths_duration_and_columns_are_reported_together() -> None:
    stimuli = {"a": [hal.events([0], [99])], "x": [1]}
    found = where(check_batch, stimuli, PORTS, 15, STEP)
    assert {"duration_ns", "stimulus 'x'", "sample 0, stimulus 'a', row 0"} <= set(found)


# --- grids -----------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 3)), max_size=5), min_size=1, max_size=4),
    st.sampled_from([1, 2, 8, 1000]),
)
def test_a_batch_on_a_grid_is_its_samples_on_the_grid(runs: list[list[tuple[int, int]]], quantum: int) -> None:
    arrays = [hal.events(*np.array(sorted(run), int).reshape(-1, 2).T) for run in runs]
    signals = [Signal([k], np.full((1, 3), 0.5)) for k in range(len(runs))]
    batch = check_batch({"a": EventBatch.of(arrays), "b": signals}, PORTS, 100, STEP)
    before = batch.columns["a"].events.tolist()
    made, notes = floored_batch(batch, quantum)
    assert len(made) == len(notes) == len(runs)
    for b, array in enumerate(arrays):
        alone, said = floored(batch[b], quantum)
        assert made[b]["a"].tolist() == alone["a"].tolist() == [(t - t % quantum, i) for t, i in array.tolist()]
        assert made[b]["b"] is batch[b]["b"]
        assert list(notes[b]) == said
        assert sum(note.realised for note in notes[b]) == sum(t % quantum > 0 for t, _ in array.tolist())
    assert batch.columns["a"].events.tolist() == before


def test_notes_of_a_grid_name_input_and_count() -> None:
    column = [hal.events([10, 11, 19], [0, 1, 2]), hal.events([20], [0])]
    given_twice = {"a": column, "@clock": [hal.events([], []), hal.events([25], [0])]}
    _, notes = floored_batch(check_batch(given_twice, PORTS, 100, STEP), 10)
    assert [[(note.node, note.level, note.field, note.reason) for note in each] for each in notes] == [
        [("a", "note", "quantum_in_ns", "2 events were moved to the grid of 10 ns")],
        [("@clock", "note", "quantum_in_ns", "1 events were moved to the grid of 10 ns")],
    ]


def test_a_batch_on_the_grid_already_is_not_copied() -> None:
    batch = check_batch({"a": EventBatch.of([hal.events([0, 10], [0, 1])])}, PORTS, 100, STEP)
    made, notes = floored_batch(batch, 10)
    assert made.columns["a"] is batch.columns["a"]
    assert notes == [()]


def test_samples_of_a_batch_by_number_and_slice() -> None:
    batch = check_batch({"a": [hal.events([k], [0]) for k in range(3)]}, PORTS, 100, STEP)
    assert [sample["a"]["t"].tolist() for sample in batch[1:]] == [[1], [2]]
    assert batch[-1]["a"].tolist() == [(2, 0)]
    assert [len(sample) for sample in batch] == [3, 3, 3]
    assert batch[3:] == ()
    for beyond in (3, -4):
        with pytest.raises(IndexError, match=f"batch of 3 samples has no sample {beyond}"):
            batch[beyond]
