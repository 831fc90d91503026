"""Event-driven emulator of chains of Speck / DynapCNN cores, untimed: cores are infinitely fast and nothing waits.

A core is convolution -> integrate-and-fire -> sum pooling by address. For every neuron reached by an input event
(cross-correlation, as in deep-learning frameworks; Speck Dev Kit Datasheet, section 3.2):

    v = saturate16(v + w)                               saturated sums are counted
    if v >= threshold_high: emit exactly one spike;     v = v - threshold_high, or v = 0 with return_to_zero
    v = max(v, threshold_low)

A zero weight is an update like any other: a neuron left above threshold fires again. The spikes of one input event
leave in order (y, x, feature), feature fastest; they carry its time. A leak tick does v = max(saturate16(v +
bias[feature]), threshold_low) on every neuron of a core with leak_enable and never fires. What the silicon does on
16-bit overflow and in which order the spikes of one event leave is not published: both are assumptions made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

from .dynapcnn_arrays import NO_TIMES, positions, times
from .dynapcnn_kernel import run_core
from .dynapcnn_layout import CoreParams, Cores, Link, OddPolicy
from .dynapcnn_records import PROGRESS

__all__ = ["Chain", "ChainResult", "CoreParams", "CoreResult", "OddPolicy"]

T = TypeVar("T", np.int64, np.uint32)

_INITIAL_CAPACITY = 4096  # output spikes; buffers double from here on


@attrs.frozen(kw_only=True, eq=False)
class CoreResult:
    """What one core did during one run."""

    t: NDArray[np.int64]
    """Times of the output spikes, in the unit of the input times."""
    index: NDArray[np.uint32]
    """Flat position in out_shape, (f*H + y)*W + x, before pooling."""
    src: NDArray[np.uint32] | None
    """For each spike the number, within this run, of the input event of this core that caused it.

    Events the pooling before this core dropped are not counted. None unless asked for.
    """
    events_in: int
    events_out: int
    synops: int
    """Synaptic updates: neurons actually reached, summed over the input events."""
    saturated: int
    """Sums v + w or v + bias that left the 16-bit range."""
    dropped_by_pooling: int
    """Output spikes in an incomplete last row or column that did not reach the next core."""


@attrs.frozen(kw_only=True, eq=False)
class ChainResult:
    """Results of all cores of a chain, first core first."""

    cores: tuple[CoreResult, ...]


class _Standing(NamedTuple):
    """A PROGRESS record as Python integers."""

    event: int
    tick: int
    out: int
    events_in: int
    synops: int
    saturated: int
    dropped: int


class _Buffer:
    """Output spikes of one core; grows by doubling and is reused by the next run."""

    def __init__(self) -> None:
        self.t = np.empty(_INITIAL_CAPACITY, np.int64)
        self.index = np.empty(_INITIAL_CAPACITY, np.uint32)
        self.src = np.empty(_INITIAL_CAPACITY, np.uint32)

    def grow(self, used: int, room: int) -> None:
        """Make place for `room` more spikes after the `used` ones, which are kept."""
        capacity = max(2 * self.index.size, used + room)
        for name in ("t", "index", "src"):
            old = getattr(self, name)
            new = np.empty(capacity, old.dtype)
            new[:used] = old[:used]
            setattr(self, name, new)


class Chain(Cores):
    """Cores in a row: each one's pooled output is the input of the next. State carries over from run to run.

    Not to be used from several threads at once; different chains may run in parallel, the kernels release the GIL.
    """

    def __init__(self, cores: Sequence[CoreParams], *, odd: OddPolicy = "drop") -> None:
        """Lay out `cores` in memory; ValueError if a core's input is not the pooled output of the one before."""
        if not cores:
            raise ValueError("a chain needs at least one core")
        if odd not in ("drop", "keep"):
            raise ValueError(f"odd is 'drop' or 'keep', not {odd!r}")
        for number, core in enumerate(cores):
            if core.every > 1 or core.killed is not None or core.leak_internal:
                raise ValueError(f"core {number} has a decimator, killed neurons or an inner clock: needs a Network")
        links = [Link(cores[0].in_shape, 1, 0)]
        for number, (one, two) in enumerate(pairwise(cores), start=1):
            f, height, width = one.out_shape
            if two.in_shape != (f, height // one.pooling, width // one.pooling):
                raise ValueError(
                    f"core {number} expects {two.in_shape}, "
                    f"core {number - 1} delivers {one.out_shape} pooled by {one.pooling}"
                )
            links.append(Link(one.out_shape, one.pooling, number))
        super().__init__(cores, links, odd)
        self._standing = np.zeros(len(_Standing._fields), np.int64)
        self._progress = self._standing.view(PROGRESS)
        self._buffers = [_Buffer() for _ in cores]
        self.reset()

    def reset(self) -> None:
        """Set every neuron to its initial state."""
        self._to_start()

    def run(
        self,
        t: NDArray[np.int64],
        index: NDArray[np.uint32],
        ticks: NDArray[np.int64] | None = None,
        *,
        sources: bool = False,
    ) -> ChainResult:
        """Process input events in list order and leak ticks in time order; continue from the present state.

        `t` int64 (n,), non-decreasing, any unit; `index` uint32 (n,), flat (c*H + y)*W + x in the first core's
        in_shape; `ticks` int64 (m,), non-decreasing: a tick acts on all cores with leak_enable before events of the
        same time. `sources` asks for `CoreResult.src`. ValueError, before anything runs, for other arrays.
        """
        t, ticks = times("t", t), times("ticks", NO_TIMES if ticks is None else ticks)
        index = positions(index, t, self.cores[0].in_shape)
        standings = []
        for number, buffer in enumerate(self._buffers):
            standings.append(self._advance(number, buffer, t, index, ticks))
            n = standings[-1].out
            t, index = buffer.t[:n], buffer.index[:n]
        # A core's loop counts what the pooling before it dropped; the count belongs to the core that pools.
        dropped = [*(standing.dropped for standing in standings[1:]), 0]
        return ChainResult(
            cores=tuple(
                CoreResult(
                    t=buffer.t[: standing.out].copy(),
                    index=buffer.index[: standing.out].copy(),
                    src=buffer.src[: standing.out].copy() if sources else None,
                    events_in=standing.events_in,
                    events_out=standing.out,
                    synops=standing.synops,
                    saturated=standing.saturated,
                    dropped_by_pooling=lost,
                )
                for buffer, standing, lost in zip(self._buffers, standings, dropped, strict=True)
            )
        )

    def _advance(
        self, number: int, buffer: _Buffer, t: NDArray[np.int64], index: NDArray[np.uint32], ticks: NDArray[np.int64]
    ) -> _Standing:
        """Run one core over all its source events, enlarging its output buffer as needed."""
        self._standing[:] = 0
        layout = self._layout
        while not run_core(
            number, layout.links, layout.cores, layout.reach, layout.v, layout.weights, layout.targets, layout.bias,
            t, index, ticks, buffer.t, buffer.index, buffer.src, self._progress,
        ):  # fmt: skip
            f, _, kernel, _ = self.cores[number].weights.shape
            buffer.grow(int(self._progress[0]["out"]), f * kernel * kernel)
        return _Standing(*self._standing.tolist())
