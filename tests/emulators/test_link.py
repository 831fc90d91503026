"""A link: one event after another, a queue of limited length, and nothing that differs from call to call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal_emulators.link import Link

times = st.lists(st.integers(0, 30), max_size=25).map(sorted)


def by_hand(t: Any, service: float, capacity: int) -> tuple[list[float], list[bool]]:
    """Event by event: those that are not through when one comes are one under way and others that wait."""
    out: list[float] = []
    through: list[float] = []
    kept = []
    for at in t:
        there = [end for end in through if end > at]
        kept.append(len(there) <= capacity)
        if kept[-1]:
            through.append(max(at, through[-1] if through else at) + service)
        out.append(through[-1] if kept[-1] else at)
    return out, kept


@settings(deadline=None)
@given(times, st.integers(1, 5), st.integers(0, 4))
def test_what_finds_as_many_waiting_as_fit_is_lost(t: list[int], service: int, capacity: int) -> None:
    passed = Link(float(service), capacity).send(t)
    out, kept = by_hand(t, service, capacity)
    assert passed.kept.tolist() == kept
    assert passed.t.tolist() == out


@settings(deadline=None)
@given(times, st.integers(1, 3), st.integers(0, 3), st.integers(0, 25))
def test_pieces_are_the_whole(t: list[int], service: int, capacity: int, cut: int) -> None:
    whole = Link(service * 1e-9, capacity).send(np.array(t) * 1e-9)
    link = Link(service * 1e-9, capacity)
    parts = [link.send(np.array(part) * 1e-9) for part in (t[:cut], t[cut:])]
    np.testing.assert_array_equal(np.concatenate([part.t for part in parts]), whole.t)
    np.testing.assert_array_equal(np.concatenate([part.kept for part in parts]), whole.kept)
    link.reset()
    np.testing.assert_array_equal(link.send(np.array(t) * 1e-9).t, whole.t)


@settings(deadline=None)
@given(st.lists(times, max_size=5), st.sampled_from([0.0, 1e-9, 2.5e-9]), st.integers(0, 3))
def test_batches_have_links_of_their_own(batches: list[list[int]], service: float, capacity: int) -> None:
    each = [np.array(t, float) * 1e-9 for t in batches]
    splits = np.cumsum([0, *map(len, each)])
    link = Link(service, capacity)
    # what is under way on the link itself is none of theirs, nor theirs its
    link.send([1.0])
    passed = link.alone(np.concatenate([np.zeros(0), *each]), splits)
    for b, t in enumerate(each):
        alone, mine = Link(service, capacity).send(t), slice(splits[b], splits[b + 1])
        np.testing.assert_array_equal(passed.t[mine], alone.t)
        np.testing.assert_array_equal(passed.kept[mine], alone.kept)
    assert link.send([1.0]).kept.tolist() == [capacity > 0 or not service]


@pytest.mark.parametrize(("service", "capacity"), [(-1.0, 3), (np.inf, 3), (np.nan, 3), (1.0, -1)])
def test_a_link_of_no_service_is_refused(service: float, capacity: int) -> None:
    with pytest.raises(ValueError, match="give 0 or more, finite"):
        Link(service, capacity)


@pytest.mark.parametrize("t", [[2.0, 1.0], [np.nan], [np.inf], [[1.0]]])
def test_times_that_are_none_are_refused(t: Any) -> None:
    link = Link(1.0, 1)
    with pytest.raises(ValueError, match=r"must be finite, in one dimension|splits must not decrease"):
        link.send(t)
    with pytest.raises(ValueError, match=r"must be finite, in one dimension|splits must not decrease"):
        link.alone(t, [0, len(t)])
    assert link.send([0.0]).t.tolist() == [1.0]


def test_a_call_does_not_go_back_before_the_last() -> None:
    link = Link(1.0, 1)
    link.send([3.0])
    with pytest.raises(ValueError, match=r"the first time is 2\.0, before the last one of the call before, 3\.0"):
        link.send([2.0])
    assert link.send([]).t.size == 0
    link.reset()
    assert link.send([2.0]).t.tolist() == [3.0]


@pytest.mark.parametrize("splits", [[], [[0, 2]], [1, 2], [0, 1], [0, 2, 1, 2], [0, 3]])
def test_splits_that_are_none_are_refused(splits: Any) -> None:
    with pytest.raises(ValueError, match="must not decrease and must go from 0 to the number of events, 2"):
        Link(1.0, 1).alone([1.0, 2.0], splits)


def test_time_may_go_back_between_batches_only() -> None:
    assert Link(1.0, 1).alone([5.0, 1.0], [0, 1, 2]).t.tolist() == [6.0, 2.0]
    with pytest.raises(ValueError, match="must not decrease"):
        Link(1.0, 1).alone([5.0, 1.0, 0.5], [0, 1, 3])
