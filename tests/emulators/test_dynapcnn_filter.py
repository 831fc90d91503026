"""Noise filter of Speck's sensor: each mode, the wrap of the counter, and agreement with a plain-Python model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hal_emulators.dynapcnn_filter import EventFilter, FilterMode, FilterParams

Event = tuple[int, int, int, int]  # t, p, y, x


def arrays(events: list[Event]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    t = np.array([event[0] for event in events], np.int64)
    return t, np.array([(p * 128 + y) * 128 + x for _, p, y, x in events], np.uint32)


def passed(params: FilterParams, events: list[Event], ticks: list[int]) -> list[int]:
    """Numbers of the events that pass a fresh filter."""
    return [int(n) for n in EventFilter(params).run(*arrays(events), np.array(ticks, np.int64)).kept]


def noise(threshold: int = 2, window: tuple[int, int] = (3, 3), mode: FilterMode = "noise") -> FilterParams:
    return FilterParams(mode=mode, window=window, threshold=threshold)


def test_a_neighbour_that_fired_lately_supports() -> None:
    # age below the threshold, not equal to it
    assert passed(noise(2), [(0, 0, 5, 5), (3, 0, 5, 6)], [1]) == [1]
    assert passed(noise(2), [(0, 0, 5, 5), (3, 0, 5, 6)], [1, 2]) == []


def test_a_removed_event_supports_the_next_one() -> None:
    assert passed(noise(1), [(0, 0, 5, 5), (0, 0, 5, 6), (0, 0, 5, 7)], []) == [1, 2]


def test_polarity_does_not_matter() -> None:
    assert passed(noise(1), [(0, 0, 5, 5), (0, 1, 5, 6)], []) == [1]


def test_window_bounds_each_axis() -> None:
    for y, x in ((4, 5), (6, 5), (5, 3), (5, 7), (4, 3)):
        assert passed(noise(1, (3, 5)), [(0, 0, y, x), (0, 0, 5, 5)], []) == [1]
    for y, x in ((3, 5), (7, 5), (5, 2), (5, 8)):
        assert passed(noise(1, (3, 5)), [(0, 0, y, x), (0, 0, 5, 5)], []) == []


def test_even_window_has_its_extra_pixel_before_the_event() -> None:
    assert passed(noise(1, (1, 2)), [(0, 0, 5, 4), (0, 0, 5, 5)], []) == [1]
    assert passed(noise(1, (1, 2)), [(0, 0, 5, 6), (0, 0, 5, 5)], []) == []


def test_window_ends_at_the_border_of_the_sensor() -> None:
    assert passed(noise(1), [(0, 0, 5, 127), (0, 0, 6, 0)], []) == []
    assert passed(noise(1), [(0, 0, 127, 5), (0, 0, 0, 5)], []) == []
    assert passed(noise(1), [(0, 0, 126, 126), (0, 0, 127, 127)], []) == [1]


def test_a_hot_pixel_supports_itself_but_not_in_hot_pixel_mode() -> None:
    hot = [(n, 0, 5, 5) for n in range(4)]
    assert passed(noise(2), hot, []) == [1, 2, 3]
    assert passed(noise(2, mode="hot_pixel"), hot, []) == []
    assert passed(noise(2, mode="hot_pixel"), [*hot, (4, 0, 5, 6), (5, 0, 5, 5)], []) == [4, 5]


def test_low_pass_removes_what_repeats_too_fast() -> None:
    params = FilterParams(mode="low_pass", threshold=3)
    ticks = [10, 20, 30, 40, 50, 60]
    # counts 0 and 2: too fast; 5: 3 after the last one; the neighbour does not matter
    assert passed(params, [(0, 0, 5, 5), (25, 0, 5, 5), (50, 1, 5, 5), (51, 0, 5, 6)], ticks) == [0, 2, 3]


def test_low_pass_measures_from_the_last_event_also_if_removed() -> None:
    params = FilterParams(mode="low_pass", threshold=3)
    ticks = [10, 20, 30, 40]
    assert passed(params, [(0, 0, 5, 5), (20, 0, 5, 5), (40, 0, 5, 5)], ticks) == [0]


def test_a_tick_acts_before_events_of_its_time() -> None:
    assert passed(noise(1), [(0, 0, 5, 5), (7, 0, 5, 6)], [7]) == []
    assert passed(noise(1), [(0, 0, 5, 5), (6, 0, 5, 6)], [7]) == [1]


def test_the_counter_wraps_and_old_stamps_look_new() -> None:
    event_filter = EventFilter(noise(2, (1, 1)))
    event_filter.run(*arrays([(0, 0, 5, 5)]))
    aged = event_filter.run(*arrays([(10, 0, 5, 5)]), np.full(65535, 1, np.int64))
    assert event_filter.count == 65535
    assert aged.removed == 1  # 65535 counts old
    wrapped = event_filter.run(*arrays([(10, 0, 5, 5)]), np.full(65536 + 1, 1, np.int64))
    assert event_filter.count == 0
    assert wrapped.kept.tolist() == [0]  # 65537 counts old: looks like 1


def test_age_across_the_wrap() -> None:
    event_filter = EventFilter(noise(3, (1, 1)))
    event_filter.run(*arrays([]), np.zeros(65535, np.int64))
    first = event_filter.run(*arrays([(0, 0, 5, 5)]))
    assert first.removed == 1
    assert event_filter.stamps()[5, 5] == 65535
    second = event_filter.run(*arrays([(5, 0, 5, 5)]), np.array([1, 2], np.int64))
    assert event_filter.count == 1
    assert second.removed == 0  # 2 counts old


@pytest.mark.parametrize(("start_age", "passes"), [(0, True), (4, True), (5, False), (65535, False)])
def test_age_of_pixels_after_reset(start_age: int, passes: bool) -> None:
    event_filter = EventFilter(FilterParams(threshold=5, start_age=start_age))
    assert (event_filter.run(*arrays([(0, 0, 1, 1)])).removed == 0) is passes


def test_reset_forgets_events_and_count() -> None:
    event_filter = EventFilter(noise(2))
    fresh = event_filter.stamps()
    assert (fresh == 32768).all()
    event_filter.run(*arrays([(9, 0, 5, 5)]), np.array([1, 2, 3], np.int64))
    assert (event_filter.count, event_filter.stamps()[5, 5]) == (3, 3)
    event_filter.reset()
    assert event_filter.count == 0
    assert np.array_equal(event_filter.stamps(), fresh)
    assert event_filter.run(*arrays([(0, 0, 5, 6)])).removed == 1


def plain_model(params: FilterParams, events: list[Event], ticks: list[int]) -> list[int]:
    """Numbers of the events that pass; remembers when each pixel fired, in unwrapped counts."""
    fired: dict[tuple[int, int], int] = {}
    kept = []
    for number, (now, _, y, x) in enumerate(events):
        count = sum(tick <= now for tick in ticks)
        rows, columns = params.window
        if params.mode == "low_pass":
            near = [(y, x)]
        else:
            near = [
                (y + dy, x + dx)
                for dy in range(-(rows // 2), rows - rows // 2)
                for dx in range(-(columns // 2), columns - columns // 2)
                if 0 <= y + dy < 128 and 0 <= x + dx < 128 and (params.mode == "noise" or (dy, dx) != (0, 0))
            ]
        recent = any((count - fired.get(pixel, -params.start_age)) % 65536 < params.threshold for pixel in near)
        if recent != (params.mode == "low_pass"):
            kept.append(number)
        fired[y, x] = count
    return kept


@st.composite
def filters(draw: st.DrawFn) -> FilterParams:
    mode: FilterMode = draw(st.sampled_from(("noise", "hot_pixel", "low_pass")))
    size = st.just(0) if mode == "low_pass" else st.integers(1, 15)
    age = draw(st.sampled_from((0, 3, 32768, 65535)))
    return FilterParams(mode=mode, window=draw(st.tuples(size, size)), threshold=draw(st.integers(0, 6)), start_age=age)


PLACES = st.one_of(st.integers(0, 9), st.integers(118, 127))
EVENTS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 1), PLACES, PLACES), max_size=40).map(sorted)
TICKS = st.lists(st.integers(0, 35), max_size=25).map(sorted)


@settings(max_examples=200, deadline=None)
@given(filters(), EVENTS, TICKS, st.integers(0, 36))
def test_agrees_with_the_plain_model_in_any_chunks(
    params: FilterParams, events: list[Event], ticks: list[int], cut: int
) -> None:
    whole = EventFilter(params)
    result = whole.run(*arrays(events), np.array(ticks, np.int64))
    kept = plain_model(params, events, ticks)
    t, index = arrays(events)
    assert result.kept.tolist() == kept
    assert np.array_equal(result.t, t[kept])
    assert np.array_equal(result.index, index[kept])
    assert result.kept.size + result.removed == len(events)
    assert whole.count == len(ticks)
    parts, chunks = EventFilter(params), []
    for early in (True, False):
        some = arrays([event for event in events if (event[0] < cut) is early])
        chunks.append(parts.run(*some, np.array([tick for tick in ticks if (tick < cut) is early], np.int64)).index)
    assert np.array_equal(np.concatenate(chunks), result.index)
    assert np.array_equal(parts.stamps(), whole.stamps())
    assert parts.count == whole.count


def test_all_wrong_registers_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"filter_size\.y = 0 is not within 1\.\.15 in mode hot_pixel; ") as caught:
        FilterParams(mode="hot_pixel", window=(0, 16), threshold=65536, start_age=-1)
    for text in ("filter_size.x = 16", "threshold = 65536 is not within 0..65535", "start_age = -1"):
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"mode": "high_pass"}, "mode = 'high_pass' is none of noise, hot_pixel, low_pass"),
        ({"mode": "low_pass", "window": (0, 3)}, r"filter_size\.x = 3 is not within 0\.\.0 in mode low_pass"),
        ({"window": (3, 0)}, r"filter_size\.x = 0 is not within 1\.\.15 in mode noise"),
        ({"threshold": -1}, "threshold = -1"),
    ],
)
def test_wrong_registers_are_refused(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        FilterParams(**({"threshold": 1} | wrong))


def test_smallest_window_is_the_default() -> None:
    assert FilterParams(threshold=1).window == (1, 1)
    assert FilterParams(mode="low_pass", threshold=1).window == (0, 0)


@pytest.mark.parametrize(
    ("t", "index", "ticks", "text"),
    [
        (np.array([5, 4]), np.zeros(2, np.uint32), np.empty(0, np.int64), "t decreases at position 1"),
        (np.array([5]), np.zeros(1, np.uint32), np.array([2, 1]), "ticks decreases at position 1"),
        (np.array([5]), np.zeros(1, np.uint32), np.array([2.0]), "ticks needs a one-dimensional int64 array"),
        (np.array([5]), np.zeros(1, np.int64), np.array([2]), "index needs dtype uint32"),
        (np.array([5]), np.array([32768], np.uint32), np.array([2]), "index 32768 lies outside"),
    ],
)
def test_wrong_arrays_are_refused_before_anything_runs(t: Any, index: Any, ticks: Any, text: str) -> None:
    event_filter = EventFilter(noise())
    with pytest.raises(ValueError, match=text):
        event_filter.run(t, index, ticks)
    assert event_filter.count == 0
    assert (event_filter.stamps() == 32768).all()
