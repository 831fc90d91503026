"""Synapses put together as packets: what one source sends with one delay."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import cuba_kernel as kernel
from .cuba_arrays import Synapses


def wire(synapses: Synapses, n_inputs: int) -> kernel.Wiring:
    """Sorted by source, delay and target; equal ones summed, those without weight left out."""
    sources = synapses.ptr.size - 1
    source: NDArray[Any] = np.repeat(np.arange(sources), np.diff(synapses.ptr))
    order = np.lexsort((synapses.target, synapses.delay, source))
    source, delay, target, weight = (each[order] for each in (source, synapses.delay, synapses.target, synapses.weight))
    if source.size:
        new = np.concatenate([[True], (np.diff(source) != 0) | (np.diff(delay) != 0) | (np.diff(target) != 0)])
        weight = np.add.reduceat(weight, np.flatnonzero(new))
        source, delay, target = source[new], delay[new], target[new]
    some = weight != 0
    source, delay, target, weight = source[some], delay[some], target[some], weight[some]
    first = np.ones(source.size, np.bool_)
    first[1:] = (np.diff(source) != 0) | (np.diff(delay) != 0)
    starts = np.flatnonzero(first)
    return kernel.Wiring(
        n_inputs=n_inputs,
        packet_ptr=np.searchsorted(source[starts], np.arange(sources + 1)).astype(np.int64),
        packet_delay=delay[starts],
        synapse_ptr=np.append(starts, source.size).astype(np.int64),
        target=target,
        weight=weight,
    )
