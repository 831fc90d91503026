"""Networks without recurrence, layer by layer and neuron by neuron: the same rules and roundings, several times faster.

All that reaches a layer is known before any of its neurons is looked at, and neurons of one layer that share their
time constants share the exponentials between arrivals.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import cuba_neuron as neuron
from .cuba_kernel import Wiring
from .cuba_layer_kernel import EVENTS_FULL, RUNAWAY, SAMPLE, WRITTEN, Layers, Room, run_samples

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
_LARGEST = 2**24
"""Weights of all tables of all layers; above it the tables are not worth their room."""


class Spikes(NamedTuple):
    """Of several samples, one after the other."""

    t: F64
    neuron: I64
    i: F64
    counts: I64
    """(samples,)"""


def build(wiring: Wiring, parameters: F64, most_spikes: int) -> Layers | None:
    """None for a network with recurrence, and for one whose tables would be too large."""
    n, n_inputs = parameters.shape[0], wiring.n_inputs
    source_of = np.repeat(np.arange(wiring.packet_ptr.size - 1), np.diff(wiring.packet_ptr))
    packet_of = np.repeat(np.arange(source_of.size), np.diff(wiring.synapse_ptr))
    start, end = source_of[packet_of] - n_inputs, wiring.target
    inner = start >= 0
    level = _levels(n, start[inner], end[inner])
    if level is None:
        return None
    depth = int(level.max()) + 1
    neurons = np.argsort(level, kind="stable")
    first = np.searchsorted(level[neurons], np.arange(depth + 1)).astype(np.int64)
    packet_ptr = np.zeros((depth, wiring.packet_ptr.size), np.int64)
    delays, tables = [], []
    reached = [np.unique(packet_of[level[end] == k]) for k in range(depth)]
    if sum(int(first[k + 1] - first[k]) * reached[k].size for k in range(depth)) > _LARGEST:
        return None
    for k, packets in enumerate(reached):
        packet_ptr[k] = np.searchsorted(source_of[packets], np.arange(wiring.packet_ptr.size))
        mine = level[end] == k
        table = np.zeros((first[k + 1] - first[k], packets.size))
        row = np.searchsorted(neurons[first[k] : first[k + 1]], end[mine])
        table[row, np.searchsorted(packets, packet_of[mine])] = wiring.weight[mine]
        delays.append(wiring.packet_delay[packets])
        tables.append(table.ravel())
    constants = parameters[:, [neuron.RATE, neuron.RATIO, neuron.KIND]]
    shared = [bool((constants[mine] == constants[mine[0]]).all()) for mine in np.split(neurons, first[1:-1])]
    limited = np.any(np.isfinite(parameters[:, [neuron.LOW, neuron.HIGH, neuron.MOST_I]]), axis=1)
    return Layers(
        n_inputs=n_inputs,
        p=parameters,
        first=first,
        neurons=neurons,
        packet_ptr=packet_ptr,
        delay_at=np.cumsum([0, *(each.size for each in delays)])[:-1],
        delay=np.concatenate(delays),
        table_at=np.cumsum([0, *(each.size for each in tables)])[:-1],
        table=np.concatenate(tables),
        shared=np.array(shared),
        bounded=np.array([bool(limited[mine].any()) for mine in np.split(neurons, first[1:-1])]),
        most_spikes=most_spikes,
    )


def _levels(n: int, start: I64, end: I64) -> I64 | None:
    """For every neuron the longest way to it from one that hears no neuron; None where a way comes back."""
    level = np.zeros(n, np.int64)
    left = np.bincount(end, minlength=n)
    order = np.argsort(start, kind="stable")
    ptr, end = np.searchsorted(start[order], np.arange(n + 1)), end[order]
    ready, seen = list(np.flatnonzero(left == 0)), 0
    while ready:
        one = ready.pop()
        seen += 1
        after = end[ptr[one] : ptr[one + 1]]
        np.maximum.at(level, after, level[one] + 1)
        np.subtract.at(left, after, 1)
        ready += list(np.unique(after[left[after] == 0]))
    return level if seen == n else None


def run(layers: Layers, until: float, t: F64, channel: I64, ends: I64) -> Spikes | None:
    """Samples from rest; the events of sample b are ends[b]:ends[b + 1], in the order of time and channel.

    None if a neuron has more spikes than it may; `cuba_kernel` finds which.
    """
    samples = ends.size - 1
    counts, progress = np.zeros(samples, np.int64), np.zeros(2, np.int64)
    events, size = _events_of(256), 1024 + 2 * samples
    out: list[NDArray[Any]] = [np.empty(size), np.empty(size, np.int64), np.empty(size)]
    while full := run_samples(layers, until, t, channel, ends, progress, events, out[0], out[1], out[2], counts):
        if full == RUNAWAY:
            return None
        if full == EVENTS_FULL:
            events = _events_of(2 * events.t.size)
            continue
        # as many more as the samples so far make likely
        done = max(int(progress[SAMPLE]), 1)
        size = max(2 * size, int(1.05 * size / done * samples))
        out = [_larger(each, size) for each in out]
    n = int(progress[WRITTEN])
    return Spikes(out[0][:n], out[1][:n], out[2][:n], counts)


def _larger(array: NDArray[Any], size: int) -> NDArray[Any]:
    out = np.empty(size, array.dtype)
    out[: array.size] = array
    return out


def _events_of(size: int) -> Room:
    t, i, spare_t, spare_i, at = (np.empty(size) for _ in range(5))
    source, spare_source, packet = (np.empty(size, np.int64) for _ in range(3))
    decay, buckets = np.empty((size, 3)), np.empty(size + 1, np.int64)
    return Room(t, source, i, spare_t, spare_source, spare_i, at, packet, decay, buckets)
