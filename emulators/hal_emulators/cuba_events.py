"""Input events as given, checked and put in the order of time and channel."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Events(NamedTuple):
    """(k,) each."""

    t: NDArray[np.float64]
    channel: NDArray[np.int64]


def checked_events(times: ArrayLike, channels: ArrayLike, start: float, until: float, n_inputs: int) -> Events:
    """In order; ValueError for what does not come from a channel in start..until."""
    events = _arrays(times, channels, 1)
    _check(events, start, until, n_inputs)
    t, channel = events
    order = np.lexsort((channel, t))
    return Events(t[order], channel[order])


def batch_events(
    times: ArrayLike, channels: ArrayLike, splits: ArrayLike | None, until: float, n_inputs: int
) -> tuple[Events, NDArray[np.int64]]:
    """The events of all samples one after the other, each in order, and where they end, (B + 1,). ValueError."""
    if splits is None:
        t, channel = _arrays(times, channels, 2)
        real = t != np.inf
        ends = np.concatenate([[0], np.cumsum(np.count_nonzero(real, axis=1))])
        events = Events(t.ravel(), channel.ravel()) if real.all() else Events(t[real], channel[real])
    else:
        events = _arrays(times, channels, 1)
        ends = np.asarray(splits)
        if ends.ndim != 1 or ends.size == 0 or ends.dtype.kind not in "iu":
            raise ValueError(f"splits needs integers, one more than samples, got {ends.dtype} {ends.shape}")
        if ends[0] != 0 or ends[-1] != events.t.size or bool((np.diff(ends) < 0).any()):
            raise ValueError(f"splits must rise from 0 to {events.t.size}, the number of events")
    _check(events, 0.0, until, n_inputs)
    ends = ends.astype(np.int64)
    sample = np.repeat(np.arange(ends.size - 1), np.diff(ends))
    t, channel = events
    later, same = np.diff(t), np.diff(sample) == 0
    if bool((((later < 0) | ((later == 0) & (np.diff(channel) < 0))) & same).any()):
        order = np.lexsort((channel, t, sample))
        events = Events(t[order], channel[order])
    return events, ends


def _arrays(times: ArrayLike, channels: ArrayLike, dimensions: int) -> Events:
    t, channel = np.asarray(times), np.asarray(channels)
    problems: list[str] = []
    for name, array, kinds, what in (("times", t, "fiu", "numbers"), ("channels", channel, "iu", "integers")):
        if array.ndim != dimensions or (array.size and array.dtype.kind not in kinds):
            wanted = f"{what} in {'one dimension' if dimensions == 1 else 'two dimensions, (samples, events)'}"
            problems.append(f"{name} needs {wanted}, got {array.dtype} {array.shape}")
    if not problems and t.shape != channel.shape:
        problems.append(f"times is {t.shape}, channels {channel.shape}")
    if problems:
        raise ValueError("; ".join(problems))
    return Events(t.astype(np.float64, copy=False), channel.astype(np.int64, copy=False))


def _check(events: Events, start: float, until: float, n_inputs: int) -> None:
    problems: list[str] = []
    t, channel = events
    wrong: NDArray[Any] = np.flatnonzero(~((t >= start) & (t < until)))
    if wrong.size:
        problems.append(f"times: {wrong.size} not in {start}..{until} s (the end excluded), the first is {t[wrong[0]]}")
    if channel.size and not 0 <= int(channel.min()) <= int(channel.max()) < n_inputs:
        limit = f"must lie in 0..{n_inputs - 1}" if n_inputs else "the network has no channels"
        problems.append(f"channels has {channel.min()}..{channel.max()}, {limit}")
    if problems:
        raise ValueError("; ".join(problems))
