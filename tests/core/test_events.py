"""Event arrays, signals, batches, ports, rasters: what they hold and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import hal
from hal import EVENT, EventBatch, Port, Probe, Signal
from hal.errors import ConfigError
from hal.events import MAX_REPORTED, SignalBatch, event_problems, signal_problems


def test_an_event_is_twelve_bytes_of_time_and_index() -> None:
    assert np.dtype([("t", "<i8"), ("index", "<u4")]) == EVENT
    assert EVENT.itemsize == 12


@given(st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 2**32 - 1)), max_size=20))
def test_events_keep_times_and_indices(rows: list[tuple[int, int]]) -> None:
    made = hal.events(np.array([t for t, _ in rows], np.int64), np.array([i for _, i in rows], np.int64))
    assert made.dtype == EVENT
    assert made.tolist() == rows


@pytest.mark.parametrize(
    ("t", "index", "where", "value"),
    [
        ([0.5], [0], "t", "float64"),
        ([0], [0.5], "index", "float64"),
        ([0], [-1], "row 0", -1),
        ([0, 1], [0, 2**32], "row 1", 2**32),
        (["0"], [0], "t", "<U1"),
        (np.array([0], "M8[ns]"), [0], "t", "datetime64[ns]"),
    ],
)
def test_events_refuse_what_they_cannot_hold(t: Any, index: Any, where: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        hal.events(t, index)
    assert [(p.where, p.value) for p in caught.value.problems] == [(where, value)]


def test_events_refuse_a_time_that_64_bits_cannot_hold() -> None:
    with pytest.raises(ConfigError):
        hal.events(np.array([2**63], np.uint64), [0])


def test_events_report_times_and_indices_together() -> None:
    with pytest.raises(ConfigError) as caught:
        hal.events([0.5], [-1])
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(("t", "index"), [([0, 1], [0]), ([[0]], [[0]]), (0, 0)])
def test_events_refuse_shapes_that_do_not_match(t: Any, index: Any) -> None:
    with pytest.raises(ConfigError):
        hal.events(t, index)


# --- rasters ---------------------------------------------------------------------------------------------------------


@given(
    hnp.arrays(np.int64, hnp.array_shapes(min_dims=2, max_dims=4, max_side=4), elements=st.integers(0, 3)),
    st.integers(1, 10**6),
    st.sampled_from([np.uint8, np.int64, np.float32]),
)
def test_n_in_a_raster_is_n_equal_rows(values: np.ndarray, step: int, dtype: type) -> None:
    made = hal.raster(values.astype(dtype), step)
    back = np.zeros((len(values), values[0].size), np.int64)
    np.add.at(back, (made["t"] // step, made["index"]), 1)
    assert (back.reshape(values.shape) == values).all()
    assert (made["t"] % step == 0).all()
    keys = list(zip(made["t"].tolist(), made["index"].tolist(), strict=True))
    assert keys == sorted(keys)


@pytest.mark.parametrize("value", [-1, 0.5, np.nan, np.inf])
def test_a_raster_refuses_what_is_no_count_and_names_signals(value: float) -> None:
    values = np.zeros((3, 2))
    values[1, 1] = values[2, 0] = value
    with pytest.raises(ConfigError) as caught:
        hal.raster(values, 10)
    (problem,) = caught.value.problems
    assert "2 values" in problem.what
    assert "row 1, channel 1" in problem.what
    assert "signals=" in problem.hint


@pytest.mark.parametrize("values", [[["a"]], [[None]], [[1j]], 5, "text"])
def test_a_raster_of_something_else_is_a_config_error(values: Any) -> None:
    with pytest.raises(ConfigError):
        hal.raster(values, 10)


@pytest.mark.parametrize("shape", [(0, 3), (0, 2, 4, 4), (3, 0)])
def test_a_raster_without_rows_is_silence(shape: tuple[int, ...]) -> None:
    assert hal.raster(np.zeros(shape, int), 10).tolist() == []


# --- signals ---------------------------------------------------------------------------------------------------------


def test_a_signal_is_rows_of_flat_values() -> None:
    signal = Signal.sampled(np.arange(12, dtype=np.float32).reshape(2, 2, 3), 1000)
    assert signal.t.tolist() == [0, 1000]
    assert signal.values.shape == (2, 6)
    assert signal.values.dtype == np.float32
    assert Signal([0], [[1]]).values.dtype == np.float64


@pytest.mark.parametrize("shape", [(0, 3), (0, 2, 3), (0,)])
def test_a_signal_may_be_empty(shape: tuple[int, ...]) -> None:
    assert len(Signal.sampled(np.zeros(shape), 1000).t) == 0


@pytest.mark.parametrize("t", [[0.5], [np.nan], np.array([2**63], np.uint64), ["0"]])
def test_times_of_a_signal_are_whole_nanoseconds(t: Any) -> None:
    with pytest.raises(ConfigError):
        Signal(t, [[1.0]])


@pytest.mark.parametrize(
    ("signal", "what"),
    [
        (Signal([0, 1], [[1.0, 2.0]]), "one time per row"),
        (Signal([5, 5], [[1.0, 2.0]] * 2), "times must rise"),
        (Signal([-1], [[1.0, 2.0]]), "negative time"),
        (Signal([100], [[1.0, 2.0]]), "row after the end"),
        (Signal([0], [[1.0]]), "channels differ"),
        (Signal([0], [[np.nan, 0.0]]), "not finite"),
        (Signal([0], [[0.0, np.inf]]), "not finite"),
    ],
)
def test_faults_of_a_signal(signal: Signal, what: str) -> None:
    problems = signal_problems(signal, Port("in", (2,), "signal"), 100)
    assert any(what in p.what for p in problems)
    assert all("'in'" in p.where for p in problems)


def test_all_faults_of_a_signal_at_once() -> None:
    signal = Signal([-1, -1, 200], [[np.nan], [0.0], [0.0]])
    assert len(signal_problems(signal, Port("in", (2,), "signal"), 100)) == 5


# --- faults of event arrays -----------------------------------------------------------------------------------------

PORT = Port("in", (2, 3))


def test_good_events_have_no_faults() -> None:
    assert event_problems(hal.events([0, 5, 5, 99], [0, 5, 5, 2]), PORT, 100) == []


def test_every_fault_of_an_event_array_is_named_with_row_and_value() -> None:
    bad = hal.events([-1, 50, 40, 100], [0, 6, 0, 0])
    found = {(p.where.split(", ")[-1], p.value) for p in event_problems(bad, PORT, 100)}
    assert found == {("row 0", -1), ("row 1", 6), ("row 2", 40), ("row 3", 100)}


def test_many_faults_are_counted_not_listed() -> None:
    bad = hal.events(np.zeros(100, int), np.full(100, 7))
    problems = event_problems(bad, PORT, 100)
    assert len(problems) == MAX_REPORTED + 1
    assert f"{100 - MAX_REPORTED} more rows" in problems[-1].what


@pytest.mark.parametrize(
    ("array", "word"),
    [
        (np.zeros(2, [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")]), "from_xytp"),
        (np.zeros(2), "hal.events"),
        ([1, 2], "hal.events"),
        (np.zeros((2, 2), EVENT), "one dimension"),
        (np.zeros(2, [("t", "f8"), ("index", "u4")]), "t is not an integer"),
        (np.zeros(2, [("t", "i8"), ("index", "f4")]), "index is not an integer"),
        (np.array([(np.nan, 0)], [("t", "f8"), ("index", "u4")]), "NaN"),
    ],
)
def test_other_arrays_are_told_how_to_become_events(array: Any, word: str) -> None:
    assert any(word in str(problem) for problem in event_problems(array, PORT, 100))


# --- batches, ports, probes ------------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(0, 50), max_size=4), max_size=5))
def test_a_batch_gives_back_its_runs(runs: list[list[int]]) -> None:
    arrays = [hal.events(np.array(run, int), np.array(run, int)) for run in runs]
    batch = EventBatch.of(arrays)
    assert len(batch) == len(runs)
    assert batch.splits.dtype == np.int64
    for b, array in enumerate(arrays):
        assert batch[b].tolist() == array.tolist()
        assert batch[b - len(runs)].tolist() == array.tolist()
    for beyond in (len(runs), -len(runs) - 1):
        with pytest.raises(IndexError):
            batch[beyond]


def test_size_of_a_port() -> None:
    assert Port("a", (2, 3, 4)).size == 24
    assert Port("a", ()).size == 1
    assert Port("a", (3,)).kind == "events"


def test_a_probe_takes_numpy_numbers_and_holds_plain_ones() -> None:
    probe = Probe("a", "v", np.array([0, 2], np.uint32), np.int64(1000))  # type: ignore[arg-type]
    assert probe.indices == (0, 2)
    assert type(probe.indices[0]) is int
    assert type(probe.every_ns) is int
    assert probe == Probe("a", "v", (0, 2), 1000)


@pytest.mark.parametrize("probe", [{"indices": (0.5,)}, {"every_ns": 0.5}, {"indices": "ab"}])
def test_a_probe_refuses_what_are_no_whole_numbers(probe: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Probe("a", "v", **probe)


def test_a_raster_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(ConfigError, match="more events than can be held") as caught:
        hal.raster(np.full((2, 3), 2**62), 1)
    assert "row 0, channel 0" in str(caught.value)
    assert len(hal.raster(np.full((1, 2), 5), 1)) == 10


rows = st.lists(st.lists(st.tuples(st.integers(0, 50), st.floats(-1e9, 1e9)), max_size=4), max_size=5)


@given(rows, st.integers(1, 3))
def test_signals_in_a_batch_are_given_back(runs: list[list[tuple[int, float]]], width: int) -> None:
    signals = [
        Signal(np.array([t for t, _ in run], int), np.array([[x] * width for _, x in run]).reshape(-1, width))
        for run in runs
    ]
    batch = SignalBatch.of(signals)
    assert len(batch) == len(runs)
    assert (batch.t.dtype, batch.splits.dtype) == (np.int64, np.int64)
    for b, signal in enumerate(signals):
        for found in (batch[b], batch[b - len(runs)]):
            assert found.t.tolist() == signal.t.tolist()
            assert found.values.tolist() == signal.values.tolist()
    for beyond in (len(runs), -len(runs) - 1):
        with pytest.raises(IndexError, match=f"batch of {len(runs)} runs has no run {beyond}"):
            batch[beyond]


def test_signals_without_rows_have_the_width_of_those_with_some() -> None:
    some, none = Signal([3, 5], np.ones((2, 4), np.float32)), Signal([], np.empty((0, 0)))
    batch = SignalBatch.of([none, some, none])
    assert batch.values.shape == (2, 4)
    assert batch.values.dtype == np.float32
    assert [batch[b].values.shape for b in range(3)] == [(0, 4), (2, 4), (0, 4)]
    assert SignalBatch.of([none, none]).values.shape == (0, 0)
    assert SignalBatch.of([Signal([], np.empty((0, 3)))])[0].values.shape == (0, 3)
    assert len(SignalBatch.of([])) == 0
