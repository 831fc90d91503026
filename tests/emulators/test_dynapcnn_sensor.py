"""Sensor block of Speck: every stage by itself, agreement with a plain-Python model, and the internal slow clock."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hal_emulators.dynapcnn_sensor import Sensor, SensorParams, internal_ticks

OFF, ON = 0, 1
Event = tuple[int, int, int]  # p, y, x


def arrays(events: list[Event]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Events 10 apart, as arrays."""
    index = np.array([(p * 128 + y) * 128 + x for p, y, x in events], np.uint32)
    return np.arange(len(events), dtype=np.int64) * 10, index


def where(params: SensorParams, *events: Event) -> list[Event]:
    """(p, y, x) of what leaves the block."""
    result = Sensor(params).process(*arrays(list(events)))
    return [tuple(int(v) for v in np.unravel_index(i, params.out_shape)) for i in result.index]  # type: ignore[misc]


def test_nothing_set_changes_nothing() -> None:
    params = SensorParams()
    assert params.out_shape == (2, 128, 128)
    t, index = np.arange(2 * 128 * 128, dtype=np.int64), np.arange(2 * 128 * 128, dtype=np.uint32)
    result = Sensor(params).process(t, index)
    assert np.array_equal(result.t, t)
    assert np.array_equal(result.index, index)
    assert result.index.dtype == np.uint32
    assert np.array_equal(result.kept, np.arange(t.size))
    assert (result.removed_polarity, result.removed_region) == (0, 0)


def test_merge_makes_one_channel() -> None:
    params = SensorParams(merge=True)
    assert params.out_shape == (1, 128, 128)
    assert where(params, (ON, 3, 4), (OFF, 3, 4)) == [(0, 3, 4), (0, 3, 4)]


@pytest.mark.parametrize("merge", [False, True])
def test_polarities_are_selected_and_keep_their_channel(merge: bool) -> None:
    events = [(ON, 1, 2), (OFF, 3, 4)]
    assert where(SensorParams(off_channel=False, merge=merge), *events) == [(0 if merge else 1, 1, 2)]
    assert where(SensorParams(on_channel=False, merge=merge), *events) == [(0, 3, 4)]
    assert where(SensorParams(on_channel=False, off_channel=False, merge=merge), *events) == []
    assert SensorParams(off_channel=False).out_shape == (2, 128, 128)


def test_pooling_divides_each_axis_by_its_own_factor() -> None:
    params = SensorParams(pooling=(4, 2))
    assert params.out_shape == (2, 32, 64)
    assert params.cut == (31, 63)
    assert where(params, (ON, 127, 127), (OFF, 7, 7)) == [(1, 31, 63), (0, 1, 3)]


def test_region_is_inclusive_and_shifted_to_the_origin() -> None:
    # rows 0..32 and columns 8..40 of a crop, as sinabs writes it
    params = SensorParams(origin=(0, 8), cut=(31, 39))
    assert params.out_shape == (2, 32, 32)
    assert where(params, (ON, 0, 7), (ON, 0, 8), (ON, 31, 39), (ON, 32, 39), (ON, 31, 40)) == [(1, 0, 0), (1, 31, 31)]


def test_region_counts_pooled_pixels() -> None:
    params = SensorParams(pooling=(2, 2), origin=(10, 20), cut=(11, 21))
    assert where(params, (OFF, 20, 40), (OFF, 23, 43), (OFF, 19, 40), (OFF, 24, 40)) == [(0, 0, 0), (0, 1, 1)]


def test_mirror_is_inside_the_region() -> None:
    region: dict[str, Any] = {"origin": (10, 20), "cut": (12, 24)}
    assert where(SensorParams(mirror=(True, False), **region), (ON, 10, 20)) == [(1, 2, 0)]
    assert where(SensorParams(mirror=(False, True), **region), (ON, 10, 20)) == [(1, 0, 4)]


def test_swap_comes_after_the_mirror() -> None:
    params = SensorParams(origin=(10, 20), cut=(12, 24), mirror=(True, False), mirror_diagonal=True)
    assert params.region == (3, 5)
    assert params.out_shape == (2, 5, 3)
    assert where(params, (ON, 10, 24)) == [(1, 4, 2)]  # rows reversed: (2, 4), then swapped


def test_what_each_stage_removes_is_counted_once() -> None:
    params = SensorParams(off_channel=False, origin=(0, 0), cut=(9, 9))
    t, index = arrays([(OFF, 0, 0), (OFF, 50, 50), (ON, 50, 50), (ON, 5, 5)])
    result = Sensor(params).process(t, index)
    assert (result.removed_polarity, result.removed_region) == (2, 1)
    assert result.kept.tolist() == [3]
    assert result.t.tolist() == [30]


def plain_model(params: SensorParams, events: list[Event]) -> tuple[list[int], list[Event], int, int]:
    """Positions kept, (p, y, x) of what leaves, and what polarity and region removed: one event at a time."""
    kept, out, polarity, region = [], [], 0, 0
    for number, (p, y, x) in enumerate(events):
        if not (params.on_channel if p == ON else params.off_channel):
            polarity += 1
            continue
        y, x = y // params.pooling[0], x // params.pooling[1]
        if not (params.origin[0] <= y <= params.cut[0] and params.origin[1] <= x <= params.cut[1]):
            region += 1
            continue
        y, x = y - params.origin[0], x - params.origin[1]
        if params.mirror[0]:
            y = params.cut[0] - params.origin[0] - y
        if params.mirror[1]:
            x = params.cut[1] - params.origin[1] - x
        if params.mirror_diagonal:
            y, x = x, y
        kept.append(number)
        out.append((0 if params.merge else p, y, x))
    return kept, out, polarity, region


@st.composite
def sensors(draw: st.DrawFn) -> SensorParams:
    pooling = draw(st.tuples(st.sampled_from((1, 2, 4)), st.sampled_from((1, 2, 4))))
    corners = [sorted(draw(st.tuples(*[st.integers(0, 128 // pool - 1)] * 2))) for pool in pooling]
    flags = [draw(st.booleans()) for _ in range(6)]
    return SensorParams(
        merge=flags[0], on_channel=flags[1], off_channel=flags[2], mirror=(flags[3], flags[4]),
        mirror_diagonal=flags[5], pooling=pooling,
        origin=(corners[0][0], corners[1][0]), cut=(corners[0][1], corners[1][1]),
    )  # fmt: skip


EVENTS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 127), st.integers(0, 127)), max_size=60)


@settings(max_examples=150, deadline=None)
@given(sensors(), EVENTS, st.integers(0, 60))
def test_agrees_with_the_plain_model_in_any_chunks(params: SensorParams, events: list[Event], cut: int) -> None:
    sensor, (t, index) = Sensor(params), arrays(events)
    whole = sensor.process(t, index)
    kept, out, polarity, region = plain_model(params, events)
    assert whole.kept.tolist() == kept
    assert list(zip(*(axis.tolist() for axis in np.unravel_index(whole.index, params.out_shape)), strict=True)) == out
    assert whole.t.tolist() == [10 * n for n in kept]
    assert (whole.removed_polarity, whole.removed_region) == (polarity, region)
    assert whole.kept.size + polarity + region == len(events)
    parts = [sensor.process(t[:cut], index[:cut]), sensor.process(t[cut:], index[cut:])]
    assert np.array_equal(np.concatenate([part.index for part in parts]), whole.index)
    assert np.array_equal(np.concatenate([part.t for part in parts]), whole.t)
    assert sum(part.removed_region for part in parts) == region


def test_all_wrong_registers_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"pooling\.y = 3 is none.*origin\.x = -1.*") as caught:
        SensorParams(pooling=(3, 1), origin=(5, -1), cut=(4, 128))
    for text in ("cut.y = 4 comes before origin.y = 5", "cut.x = 128 lies beyond the last pixel 127"):
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"pooling": (1, 8)}, r"pooling\.x = 8 is none of 1, 2, 4$"),
        ({"pooling": (0, 1)}, r"pooling\.y = 0"),
        (
            {"pooling": (2, 2), "cut": (127, 63)},
            r"cut\.y = 127 lies beyond the last pixel 63 of the sensor pooled by 2",
        ),
        ({"origin": (-1, 0)}, r"origin\.y = -1 is negative$"),
        ({"origin": (0, 9), "cut": (9, 8)}, r"cut\.x = 8 comes before origin\.x = 9: the region is empty$"),
    ],
)
def test_wrong_registers_are_refused(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        SensorParams(**wrong)


@pytest.mark.parametrize(
    ("t", "index", "text"),
    [
        (np.array([0.0]), np.array([0], np.uint32), "t needs a one-dimensional int64 array, got float64"),
        (np.zeros((1, 1), np.int64), np.zeros((1, 1), np.uint32), r"t needs .* got int64 \(1, 1\)"),
        (np.array([5, 4]), np.array([0, 0], np.uint32), "t decreases at position 1: 5 then 4"),
        (np.array([0]), np.array([0]), "index needs dtype uint32"),
        (np.array([0]), np.array([0, 1], np.uint32), r"index needs dtype uint32 and shape \(1,\), got uint32 \(2,\)"),
        (np.array([0]), np.array([2 * 128 * 128], np.uint32), "index 32768 lies outside the 32768 positions"),
    ],
)
def test_wrong_arrays_are_refused(t: Any, index: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Sensor(SensorParams()).process(t, index)


@pytest.mark.parametrize("divider", [14, 15, 16, 17])
def test_one_tick_for_a_power_of_two_events(divider: int) -> None:
    period = 1 << divider
    t = np.arange(2 * period + 5, dtype=np.int64) * 3
    ticks, carry = internal_ticks(t, divider)
    assert ticks.tolist() == [3 * (period - 1), 3 * (2 * period - 1)]
    assert carry == 5


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 40_000), max_size=6), st.integers(0, (1 << 14) - 1))
def test_the_count_carries_over(sizes: list[int], carry: int) -> None:
    t = np.arange(sum(sizes), dtype=np.int64)
    expected = [n for n in range(t.size) if (n + 1 + carry) % (1 << 14) == 0]
    ticks, start, count = [], 0, carry
    for size in sizes:
        part, count = internal_ticks(t[start : start + size], 14, count)
        ticks += part.tolist()
        start += size
    assert ticks == expected
    assert count == (carry + t.size) % (1 << 14)


@pytest.mark.parametrize(
    ("divider", "carry", "text"),
    [
        (13, 0, r"internal_slow_clk_divider = 13 is not within 14\.\.17"),
        (18, 0, "internal_slow_clk_divider = 18"),
        (14, 1 << 14, r"carry = 16384 is not within 0\.\.16383"),
        (14, -1, "carry = -1"),
    ],
)
def test_wrong_clock_arguments_are_refused(divider: int, carry: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        internal_ticks(np.zeros(3, np.int64), divider, carry)


def test_the_clock_refuses_times_that_run_backwards() -> None:
    with pytest.raises(ValueError, match="t decreases at position 1"):
        internal_ticks(np.array([1, 0]), 14)
