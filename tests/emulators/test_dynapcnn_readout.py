"""Readout block of Speck: addressing, averages, output modes, pins, and agreement with a plain-Python model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hal_emulators.dynapcnn_readout import Readout, ReadoutParams, ReadoutResult

Spike = tuple[int, int]  # t, flat index


def arrays(spikes: list[Spike], ticks: list[int]) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64]]:
    t, index = (np.array([spike[n] for spike in spikes]) for n in (0, 1))
    return t.astype(np.int64), index.astype(np.uint32), np.array(ticks, np.int64)


def plain(**changes: Any) -> ReadoutParams:
    """16 features, window of one tick, maximum shown."""
    registers: dict[str, Any] = {"in_shape": (16, 1, 1), "low_pass_filter_disable": True, "output_mode_sel": 3}
    return ReadoutParams(**(registers | changes))


def show(params: ReadoutParams, counts: dict[int, int], ticks: int = 1) -> ReadoutResult:
    """Result of `ticks` ticks after counts[feature] spikes of each feature."""
    spikes = [(0, feature) for feature, count in counts.items() for _ in range(count)]
    return Readout(params).run(*arrays(spikes, list(range(1, ticks + 1))))


def test_feature_is_class_minus_one() -> None:
    for feature in range(15):
        result = show(plain(), {feature: 1})
        assert result.index.tolist() == [feature + 1]
        assert (result.counted, result.lost, result.saturated) == (1, 0, 0)


def test_the_sixteenth_channel_has_no_class() -> None:
    result = show(plain(), {15: 2})
    assert result.index.tolist() == [0]
    assert (result.counted, result.lost) == (0, 2)


def test_every_fourth_feature_with_the_erratum() -> None:
    params = plain(in_shape=(64, 1, 1), feature_erratum=True)
    classes = params.classes()
    assert classes[:57:4].tolist() == list(range(1, 16))
    assert classes[60] == 0  # the sixteenth channel
    assert np.count_nonzero(classes) == 15
    assert show(params, {4: 3, 1: 9}).index.tolist() == [2]
    assert show(params, {4: 3, 1: 9}).lost == 9


@pytest.mark.parametrize(("sel", "shape"), [(0, (4, 2, 2)), (1, (2, 4, 2)), (2, (1, 4, 4)), (3, (16, 1, 1))])
def test_addressing_numbers_channels_feature_first(sel: int, shape: tuple[int, int, int]) -> None:
    classes = plain(in_shape=shape, readout_configuration_sel=sel).classes().reshape(shape)
    order = [int(classes[f, y, x]) for y in range(shape[1]) for x in range(shape[2]) for f in range(shape[0])]
    assert order == [*range(1, 16), 0]
    larger = plain(in_shape=(shape[0] + 1, shape[1] + 1, shape[2] + 1), readout_configuration_sel=sel).classes()
    larger = larger.reshape(shape[0] + 1, shape[1] + 1, shape[2] + 1)
    assert np.array_equal(larger[:-1, :-1, :-1], classes)
    assert not larger[-1].any()
    assert not larger[:, -1].any()
    assert not larger[:, :, -1].any()


def test_equal_averages_give_the_lowest_class_and_silence_gives_none() -> None:
    assert show(plain(), {7: 2, 3: 2, 9: 1}).index.tolist() == [4]
    quiet = show(plain(), {})
    assert quiet.index.tolist() == [0]
    assert quiet.word.tolist() == [1 << 20]


def test_window_of_one_tick_forgets_at_the_next() -> None:
    result = show(plain(), {2: 5}, ticks=3)
    assert result.value.tolist() == [5, 0, 0]
    assert result.index.tolist() == [3, 0, 0]
    assert result.t.tolist() == [1, 2, 3]


@pytest.mark.parametrize(("long", "window"), [(False, 16), (True, 32)])
def test_moving_average_rounds_down_over_its_window(long: bool, window: int) -> None:
    params = plain(low_pass_filter_disable=False, low_pass_filter32_not16=long)
    assert params.window == window
    result = show(params, {2: 3 * window - 1}, ticks=window + 1)
    assert result.value.tolist() == [2] * window + [0]
    assert result.index.tolist() == [3] * window + [0]


def test_disabled_low_pass_means_one_tick_whatever_the_length() -> None:
    assert plain(low_pass_filter32_not16=True).window == 1


def test_mode_off_shows_nothing_but_the_pins_work() -> None:
    result = show(plain(output_mode_sel=0, threshold=1), {6: 2}, ticks=2)
    assert result.word.tolist() == [0, 0]
    assert result.index.tolist() == [7, 0]
    assert result.interrupt.tolist() == [True, False]


def test_mode_threshold_compare_sets_the_bit_of_each_class_above() -> None:
    result = show(plain(output_mode_sel=1, threshold=2), {0: 3, 1: 2, 14: 9})
    assert result.value.tolist() == [1 << 1 | 1 << 15]
    assert result.word.tolist() == [1 << 20 | 15 << 16 | 1 << 1 | 1 << 15]


def test_mode_selected_neuron() -> None:
    word = 1 << 20 | 2 << 16
    assert show(plain(output_mode_sel=2, output_neuron_num=1), {0: 3, 1: 7}).word.tolist() == [word | 3]
    assert show(plain(output_mode_sel=2, output_neuron_num=0), {0: 3, 1: 7}).word.tolist() == [word]


def test_mode_maximum() -> None:
    result = show(plain(output_mode_sel=3, threshold=100), {0: 3, 1: 7})
    assert result.word.tolist() == [1 << 20 | 2 << 16 | 7]
    assert result.word.dtype == np.uint32


def test_interrupt_needs_more_than_the_threshold_or_the_override() -> None:
    assert show(plain(threshold=3), {0: 3}).interrupt.tolist() == [False]
    assert show(plain(threshold=2), {0: 3}).interrupt.tolist() == [True]
    assert show(plain(threshold=3, override_threshold_max=True), {}, ticks=2).interrupt.tolist() == [True, True]


def test_a_tick_acts_before_spikes_of_its_time() -> None:
    result = Readout(plain()).run(*arrays([(4, 0), (5, 1), (5, 1)], [5, 6]))
    assert result.index.tolist() == [1, 2]
    assert result.value.tolist() == [1, 2]


def test_a_full_counter_stays_full() -> None:
    readout = Readout(plain(output_mode_sel=2, output_neuron_num=1))
    spikes = np.zeros(65540, np.int64), np.zeros(65540, np.uint32)
    result = readout.run(*spikes, np.array([1]))
    assert result.value.tolist() == [65535]
    assert (result.counted, result.lost, result.saturated) == (65535, 0, 5)


def test_full_counters_average_without_overflow() -> None:
    readout = Readout(plain(low_pass_filter_disable=False, low_pass_filter32_not16=True))
    spikes = np.repeat(np.arange(32), 65535), np.full(32 * 65535, 14, np.uint32)
    result = readout.run(*spikes, np.arange(1, 33))
    assert result.word[-1] == 1 << 20 | 15 << 16 | 65535


def test_reset_empties_every_counter() -> None:
    readout = Readout(plain(low_pass_filter_disable=False))
    readout.run(*arrays([(0, 3)] * 40 + [(9, 3)] * 40, [1, 2]))
    readout.reset()
    again = readout.run(*arrays([(0, 5)] * 16, [1]))
    assert again.word.tolist() == [1 << 20 | 6 << 16 | 1]


@pytest.mark.parametrize("long", [False, True])
def test_one_tick_at_a_time_over_several_windows(long: bool) -> None:
    params = plain(low_pass_filter_disable=False, low_pass_filter32_not16=long)
    spikes = [(t, t // 7 % 15) for t in range(100) for _ in range(20 + 13 * t % 50)]
    whole = Readout(params).run(*arrays(spikes, list(range(1, 101))))
    readout = Readout(params)
    parts = [readout.run(*arrays([s for s in spikes if s[0] == t], [t + 1])) for t in range(100)]
    assert np.concatenate([part.word for part in parts]).tolist() == whole.word.tolist()
    assert len(set(whole.word.tolist())) > 9  # the averages really move


def plain_model(params: ReadoutParams, spikes: list[Spike], ticks: list[int]) -> list[tuple[int, int, bool]]:
    """(word, class, interrupt) at every tick, from the list of all spikes anew each time."""
    f_max, y_max, x_max = ((4, 2, 2), (2, 4, 2), (1, 4, 4), (16, 1, 1))[params.readout_configuration_sel]
    by_class: list[Spike] = []
    for t, index in spikes:
        f, y, x = (int(v) for v in np.unravel_index(index, params.in_shape))
        if params.feature_erratum:
            if f % 4:
                continue
            f //= 4
        number = 1 + f + f_max * (x + x_max * y)
        if f < f_max and y < y_max and x < x_max and number < 16:
            by_class.append((t, number))
    shown = []
    for k, _ in enumerate(ticks):
        averages = [0] * 16
        for number in range(1, 16):
            total = 0
            for period in range(max(0, k - params.window + 1), k + 1):
                start, end = (ticks[period - 1] if period else -1), ticks[period]
                total += sum(start <= t < end for t, c in by_class if c == number)
            averages[number] = total // params.window
        top = averages.index(max(averages))
        bits = {
            0: 0,
            1: sum(1 << c for c in range(1, 16) if averages[c] > params.threshold),
            2: averages[params.output_neuron_num],
            3: max(averages),
        }[params.output_mode_sel]
        word = (1 << 20) + (top << 16) + bits if params.output_mode_sel else 0
        shown.append((word, top, params.override_threshold_max or max(averages) > params.threshold))
    return shown


@st.composite
def runs(draw: st.DrawFn) -> tuple[ReadoutParams, list[Spike], list[int], int]:
    shape = draw(st.tuples(st.integers(1, 20), st.integers(1, 5), st.integers(1, 5)))
    flag = st.booleans()
    params = ReadoutParams(
        in_shape=shape, readout_configuration_sel=draw(st.integers(0, 3)), output_mode_sel=draw(st.integers(0, 3)),
        threshold=draw(st.integers(0, 3)), low_pass_filter_disable=draw(flag), low_pass_filter32_not16=draw(flag),
        override_threshold_max=draw(flag), output_neuron_num=draw(st.integers(0, 15)), feature_erratum=draw(flag),
    )  # fmt: skip
    # few places and many repeats, so that averages over 16 and 32 ticks get above zero
    places = draw(st.lists(st.integers(0, shape[0] * shape[1] * shape[2] - 1), min_size=1, max_size=4))
    bursts = draw(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(places), st.integers(1, 40)), max_size=8))
    spikes = sorted((t, place) for t, place, times in bursts for _ in range(times))
    return params, spikes, sorted(draw(st.lists(st.integers(0, 42), max_size=40))), draw(st.integers(0, 43))


@settings(max_examples=150, deadline=None)
@given(runs())
def test_agrees_with_the_plain_model_in_any_chunks(run: tuple[ReadoutParams, list[Spike], list[int], int]) -> None:
    params, spikes, ticks, cut = run
    result = Readout(params).run(*arrays(spikes, ticks))
    expected = plain_model(params, spikes, ticks)
    assert list(zip(result.word.tolist(), result.index.tolist(), result.interrupt.tolist(), strict=True)) == expected
    assert result.value.tolist() == [word & 0xFFFF for word, _, _ in expected]
    assert result.t.tolist() == ticks
    assert result.counted + result.lost + result.saturated == len(spikes)
    readout = Readout(params)
    parts = [
        readout.run(*arrays([s for s in spikes if (s[0] < cut) is early], [t for t in ticks if (t < cut) is early]))
        for early in (True, False)
    ]
    for name in ("t", "word", "index", "interrupt"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert np.array_equal(joined, getattr(result, name)), name
    assert sum(part.lost for part in parts) == result.lost


def test_all_wrong_registers_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"in_shape = \(0, 1, 1\) is not .*; readout_configuration_sel = 4") as caught:
        ReadoutParams(
            in_shape=(0, 1, 1), readout_configuration_sel=4, output_mode_sel=-1, threshold=65536, output_neuron_num=16
        )
    for text in ("output_mode_sel = -1 is not within 0..3", "threshold = 65536", "output_neuron_num = 16"):
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"in_shape": (1, 1)}, r"in_shape = \(1, 1\) is not \(features, y, x\)"),
        ({"in_shape": (1, 0, 1)}, "in_shape"),
        ({"readout_configuration_sel": -1}, r"readout_configuration_sel = -1 is not within 0\.\.3"),
        ({"output_mode_sel": 4}, r"output_mode_sel = 4 is not within 0\.\.3"),
        ({"threshold": -1}, r"threshold = -1 is not within 0\.\.65535"),
        ({"output_neuron_num": -1}, r"output_neuron_num = -1 is not within 0\.\.15"),
    ],
)
def test_wrong_registers_are_refused(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        plain(**wrong)


@pytest.mark.parametrize(
    ("t", "index", "ticks", "text"),
    [
        (np.array([5, 4]), np.zeros(2, np.uint32), np.array([9]), "t decreases at position 1"),
        (np.array([5]), np.zeros(1, np.uint32), np.array([9, 8]), "ticks decreases at position 1"),
        (np.array([5]), np.zeros(1, np.int64), np.array([9]), "index needs dtype uint32"),
        (
            np.array([5]),
            np.array([16], np.uint32),
            np.array([9]),
            r"index 16 lies outside the 16 positions of shape \(16,",
        ),
    ],
)
def test_wrong_arrays_are_refused_before_anything_runs(t: Any, index: Any, ticks: Any, text: str) -> None:
    readout = Readout(plain())
    with pytest.raises(ValueError, match=text):
        readout.run(t, index, ticks)
    assert readout.run(*arrays([], [1])).word.tolist() == [1 << 20]
