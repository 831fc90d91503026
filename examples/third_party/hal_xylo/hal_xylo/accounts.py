"""What a network needs of what a part has: one row per resource, whether it suffices or not."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC

import numpy as np
from hal.fit import FitRow
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hal_xylo.cycles import Load
from hal_xylo.limits import Part
from hal_xylo.options import XyloMapOptions
from hal_xylo.reading import Reader
from hal_xylo.resources import resources
from hal_xylo.storing import Stored

I64 = NDArray[np.int64]


class Account:
    """Rows for a model on a part."""

    def __init__(self, part: Part, reader: Reader, options: XyloMapOptions) -> None:
        self.part, self.reader, self.options = part, reader, options
        self.limits = {resource.name: resource for resource in resources(part)}

    def sizes(self) -> list[FitRow]:
        """What can be told before anything is stored."""
        reader = self.reader
        model = reader.model
        channels = {name: model.nodes[name].size for name in model.inputs}
        hidden = {node.name: node.size for node in reader.spiking if node.name not in reader.readouts}
        outputs = {node.name: node.size for node in reader.spiking if node.name in reader.readouts}
        rows = [
            self._row("input channels", sum(channels.values()), channels),
            self._row("hidden neurons", sum(hidden.values()), hidden),
            self._row("output neurons", sum(outputs.values()), outputs),
        ]
        most = max(hidden, key=reader.currents, default="")
        if most and "synapses" in self.limits:
            rows.append(self._row("synapses", reader.currents(most), [most]))
        return rows

    def connections(self, stored: list[Stored]) -> list[FitRow]:
        """Fan-out, entries, and which ids take input or drive outputs."""
        hidden = {s.layer.name: s for s in stored if not s.layer.readout}
        n = sum(s.layer.size for s in hidden.values())
        fan_out: dict[str, I64] = {name: np.zeros(s.layer.size, np.int64) for name, s in hidden.items()}
        into, out_of = (0, ""), (0, "")
        for s in stored:
            for source in dict.fromkeys(c.source for c in s.layer.inputs):
                reached = _reached(s, source)
                if source not in hidden:
                    highest = s.first + _last(np.diff(reached.indptr) > 0) + 1
                    into = max(into, (highest, s.layer.name)) if reached.nnz else into
                elif s.layer.readout:
                    drives = np.flatnonzero(np.bincount(reached.indices, minlength=reached.shape[1]))
                    lowest = hidden[source].first + (int(drives[0]) if drives.size else n)
                    out_of = max(out_of, (n - lowest, source))
                else:
                    fan_out[source] += np.bincount(reached.indices, minlength=reached.shape[1])
        most = max(fan_out, key=lambda name: int(fan_out[name].max(initial=0)))
        widest = int(fan_out[most].max(initial=0))
        limit = self.part.fan_out if self.options.fan_out is None else min(self.part.fan_out, self.options.fan_out)
        ends = "on this part inputs reach the lowest ids only, and outputs hear the highest: use two hidden layers"
        rows = [self._row("recurrent entries", sum(int(v.sum()) for v in fan_out.values()), list(hidden))]
        if "fan-out" in self.limits:
            rows.append(self._row("fan-out", widest, [most], "fewer connections", limit))
        if "input neurons" in self.limits:
            rows.append(self._row("input neurons", into[0], [into[1]], ends))
            rows.append(self._row("readout neurons", out_of[0], [out_of[1]], ends))
        return rows

    def rates(
        self, load: Load, stored: list[Stored], rates_hz: MappingABC[str, float], dt_s: float
    ) -> tuple[list[FitRow], list[str]]:
        """Rows for what given rates come to, and names whose rates would be needed, too."""
        nodes = self.reader.model.nodes
        rows = [
            self._row("input events", rates_hz[name] * dt_s / nodes[name].size, [name])
            for name in self.reader.model.inputs
            if name in rates_hz
        ]
        inputs = list(self.reader.model.inputs)
        hidden = [s.layer.name for s in stored if not s.layer.readout]
        missing = [name for name in (*inputs, *hidden) if name not in rates_hz]
        if missing:
            return rows, missing

        def active(names: list[str]) -> float:
            # every event on another neuron: the most that such a rate can cost
            size = sum(nodes[name].size for name in names)
            return sum(min(rates_hz[name] * dt_s, nodes[name].size) for name in names) / size

        needed = float(load.cycles(active(inputs), active(hidden))) / dt_s
        hint = f"a clock of {1.2 * needed:.3g} Hz, or a longer step"
        return [*rows, self._row("clock cycles", needed, [], hint, self.options.clock_hz)], []

    def _row(
        self,
        resource: str,
        needed: float,
        nodes: MappingABC[str, int] | list[str],
        hint: str = "",
        limit: float | None = None,
    ) -> FitRow:
        """The row of a resource; of several nodes the first is named when there is but one."""
        names = [name for name in nodes if name]
        of = self.limits[resource]
        return FitRow(
            resource=resource,
            place="chip" if len(names) != 1 else "",
            node=names[0] if len(names) == 1 else "",
            needed=needed,
            limit=of.limit[0] if limit is None else limit,
            unit=of.unit,
            hint=hint,
            when=of.when,
        )


def _reached(s: Stored, source: str) -> csr_array:
    """(target, source): which pairs have a synapse, through either current."""
    mine = [k for k, c in enumerate(s.layer.inputs) if c.source == source]
    total = csr_array(s.layer.inputs[mine[0]].entries.shape)
    for k in mine:
        total = total + abs(s.matrix(k))
    total = csr_array(total)
    total.eliminate_zeros()
    return total


def _last(flags: NDArray[np.bool_]) -> int:
    return int(np.flatnonzero(flags)[-1]) if flags.any() else -1
