"""How the silicon behaves: arrays in, arrays out. Knows neither the core nor the other modules of this package.

This is the part to write with the data sheet at hand. Here: a step takes in the events of that step, then updates the
neurons from address 0 on. A spike reaches its targets at once, by late synapses in the next step.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numba import njit
from numpy.typing import NDArray

I64 = NDArray[np.int64]
V_MAX = (1 << 23) - 1
"""The membrane has 24 bits and saturates."""


@attrs.frozen(eq=False)
class Result:
    """What a stretch of steps gave.

    step, neuron: (n,) the spikes, in this order. synops, saturated: (neurons,) how often a synapse was used, and the
    membrane met its bounds. pending: (neurons,) effects of synapses that are still to come. dropped: events not taken.
    """

    step: I64
    neuron: I64
    synops: I64
    saturated: I64
    pending: I64
    dropped: int


class Emulator:
    """One chip; every array as in the registers.

    channels: how many of the sources are inputs. events_per_step: how many events it takes.
    """

    def __init__(
        self,
        channels: int,
        threshold: NDArray[Any],
        decrement: NDArray[Any],
        synapses: tuple[NDArray[Any], ...],
        events_per_step: int,
    ) -> None:
        self.channels, self.threshold, self.decrement = channels, threshold, decrement
        self.synapses, self.events_per_step = synapses, events_per_step
        self.reset()

    def reset(self) -> None:
        """Everything at 0: membranes, and what is under way."""
        self.v, self.now, self.next = np.zeros((3, self.threshold.size), np.int64)

    def run(self, steps: int, when: I64, source: I64) -> Result:
        """Go on by some steps; when, source: (n,) events in order, by step from now and by channel."""
        rank = np.arange(when.size) - np.searchsorted(when, when)
        taken = rank < self.events_per_step
        fired = np.zeros((steps, self.threshold.size), np.bool_)
        synops, saturated, pending = np.zeros((3, self.threshold.size), np.int64)
        _compiled(
            when[taken], source[taken], self.channels, self.threshold, self.decrement, *self.synapses,
            self.v, self.now, self.next, fired, synops, saturated, pending,
        )  # fmt: skip
        step, neuron = np.nonzero(fired)
        return Result(step, neuron, synops, saturated, pending, int(when.size - np.count_nonzero(taken)))


# region: kernel
def _run(
    when: Any, source: Any, channels: int, threshold: Any, decrement: Any, first: Any, target: Any, weight: Any,
    late: Any, v: Any, now: Any, after: Any, fired: Any, synops: Any, saturated: Any, pending: Any,
) -> None:  # fmt: skip
    """All steps; v, now, after and the four arrays behind them are changed in place."""
    steps, neurons = fired.shape
    event = 0
    for step in range(steps):
        now[:] += after
        after[:] = 0
        pending[:] = 0
        while event < when.size and when[event] == step:
            _send(source[event], first, target, weight, late, now, after, synops, pending)
            event += 1
        for n in range(neurons):
            v[n] += now[n]
            now[n] = 0
            if abs(v[n]) > V_MAX:
                v[n] = V_MAX if v[n] > 0 else -V_MAX
                saturated[n] += 1
            if v[n] >= threshold[n]:
                v[n] = v[n] - decrement[n] if decrement[n] else 0
                fired[step, n] = True
                _send(channels + n, first, target, weight, late, now, after, synops, pending)


def _spread(
    source: int, first: Any, target: Any, weight: Any, late: Any, now: Any, after: Any, synops: Any, pending: Any
) -> None:
    """An event goes through the synapses of its source."""
    for k in range(first[source], first[source + 1]):
        synops[target[k]] += 1
        if late[k]:
            after[target[k]] += weight[k]
            pending[target[k]] += 1
        else:
            now[target[k]] += weight[k]


_send: Any = njit(_spread)
_compiled: Any = njit(cache=True)(_run)
# endregion
