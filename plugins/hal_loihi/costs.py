"""How long steps would take on a board, by costs per operation that the user gives: none is published."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hal.fit import Finding
from hal_loihi.config import LoihiConfig
from hal_loihi.options import LoihiOpenOptions

I64 = NDArray[np.int64]


class Costs:
    """Adds up what a run costs. A step ends at the barrier, when the busiest core is done."""

    def __init__(self, config: LoihiConfig, options: LoihiOpenOptions, n_cores: int) -> None:
        self.options, self.n_cores = options, n_cores
        s = config.synapses
        places = config.places[config.compartments.core]
        n_sources = s.indptr.size - 1
        of = np.repeat(np.arange(n_sources), np.diff(s.indptr))
        ones = np.ones(of.size, np.int64)
        self.deliveries = csr_array((ones, (of, places[s.target])), shape=(n_sources, n_cores))
        own = np.arange(places.size) + config.n_inputs
        self.senders = csr_array((np.ones(own.size, np.int64), (own, places)), shape=(n_sources, n_cores))
        self.busy = np.zeros(n_cores)
        self.total = self.slowest = 0.0
        self.at = 0

    def add(self, start: int, steps: int, when: I64, source: I64) -> None:
        """Spikes (step from `start` on, source) of so many steps."""
        ones: NDArray[Any] = np.ones(when.size, np.int64)
        spikes = csr_array((ones, (when, source)), shape=(steps, self.deliveries.shape[0]))
        work = (self.options.synop_cost_ns or 0.0) * (spikes @ self.deliveries).toarray()
        work = work + (self.options.spike_cost_ns or 0.0) * (spikes @ self.senders).toarray()
        self.busy += work.sum(axis=0)
        each = (self.options.step_cost_ns or 0.0) + work.max(axis=1, initial=0.0)
        self.total += float(each.sum())
        if each.size and each.max() > self.slowest:
            self.slowest, self.at = float(each.max()), start + int(each.argmax())

    def finding(self, duration_ns: int) -> Finding:
        """In words."""
        return Finding(
            level="note",
            node="",
            field="device time",
            reason=f"by the given costs; the slowest step, {self.at}, takes {self.slowest:g} ns",
            wanted=f"{duration_ns} ns of model time",
            realised=f"{self.total:.0f} ns",
        )
