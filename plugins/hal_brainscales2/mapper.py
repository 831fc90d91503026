"""From a model to the registers of BrainScaleS-2: time scale, integer weights, circuits, rows, labels, targets."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from typing import Any, Final

import numpy as np

from hal.errors import DoesNotFitError
from hal.events import Port, Probe
from hal.fit import Finding, FitReport, FitRow
from hal.mapper import Mapper, Plan
from hal.mapping import Mapping, plain_fates
from hal.model import Model
from hal.notes import Notes
from hal_brainscales2 import alike, kept, silicon, targets, timing
from hal_brainscales2.allocator import Allocation, allocate
from hal_brainscales2.cells import Cells, Reader
from hal_brainscales2.config import BrainScaleS2Config
from hal_brainscales2.limits import MAX_WEIGHT
from hal_brainscales2.network import Network
from hal_brainscales2.options import MapOptions
from hal_brainscales2.registers import neurons, placement, readers, registers
from hal_brainscales2.synapses import COPIES, Part, parts, populations

SCALE: Final = 58.0
"""Integer weight per distance of threshold and leak (jaxsnn 0.3.0's example)."""
PLAIN: Final = ("step_ns", "speedup")
"""Of what edited registers keep, what is a number."""


class BrainScaleS2Mapper(Mapper):
    """Graphs of linear maps and CubaLIF neurons, with CubaLI read-outs."""

    def _capabilities(self, options: Any) -> frozenset[str]:
        more = {"neuron.integrator", "output.signal"} if options.readout == "chip" else set()
        return self.spec.capabilities | more

    def _plan(
        self,
        model: Model,
        options: MapOptions,
        record: tuple[Probe, ...],
        like: Mapping | None,
        seed: int,
        rates_hz: MappingABC[str, float] | None,
    ) -> Plan:
        reader = Reader(model, options)
        notes = reader.notes
        if notes.refused:
            return Plan(findings=notes.findings)
        cells = reader.cells
        if like is not None:
            alike.check(like, model, cells, options, {probe.node for probe in record})
        speedup = timing.speedup(reader, options, None if like is None else like.speedup)
        timing.reading(reader, speedup)
        targets.about(cells, options, notes)
        periods = timing.periods(cells, speedup, notes)
        if notes.refused:
            return Plan(findings=notes.findings)
        wanted = targets.targets(cells, options, speedup, periods)
        settings = neurons(cells, wanted, periods, options) | readers(cells, record)
        settings |= {"speedup": speedup, "step_ns": model.semantics.dt_ns}
        if like is not None:
            made, config = alike.registers(like, model, cells, options, settings)
            rows, where = like.fit.rows, like.placement
        else:
            recorded = {p.source for p in model.projections() if p.target in model.outputs}
            recorded |= {probe.node for probe in record}
            made, allocation = _allocated(model, cells, options, recorded)
            rows = tuple(kept.rows(allocation))
            kept.about(made, notes)
            if not all(row.ok for row in rows) or not allocation.fits:
                return Plan(rows=rows, findings=notes.findings)
            config = registers(model, cells, allocation, made[0].scale if made else SCALE, **settings)
            where = placement(config)
        if like is not None:
            kept.about(made, notes)
        return Plan(
            rows=rows,
            findings=[*notes.findings, *targets.outside(config, targets.CHOSEN)],
            config=config,
            placement=where,
            fates=plain_fates(model),
            losses=kept.losses(made),
            realised=kept.realised(model, made),
            step_ns=model.semantics.dt_ns,
            speedup=speedup,
            latency_ns=timing.latencies(model, cells),
        )

    def _adopt(self, config: BrainScaleS2Config) -> Mapping:
        return Mapping(
            device=self.spec.name,
            config=config,
            placement=placement(config),
            fit=self._examined(config),
            inputs=tuple(Port(port.name, port.shape) for port in config.inputs),
            outputs=tuple(Port(run.name, run.shape) for run in config.populations),
            step_ns=config.step_ns,
            speedup=config.speedup,
        )

    def _examined(self, config: BrainScaleS2Config) -> FitReport:
        """What is to be said of registers without a model; raises DoesNotFitError where it is more than notes."""
        report = FitReport(device=self.spec.name, findings=(*silicon.told(config), *targets.outside(config)))
        if not report.fits:
            raise DoesNotFitError(report)
        return report

    def _edit(self, mapping: Mapping, config: BrainScaleS2Config) -> list[FitRow | Finding]:
        notes = Notes(frozenset())
        for field in ("step_ns", "speedup", "inputs", "populations", "circuits"):
            if getattr(config, field) != getattr(mapping.config, field):
                # runs and circuits are long, and shown by `placement`
                now, before = (getattr(c, field) if field in PLAIN else None for c in (config, mapping.config))
                hint = "map again, or adopt the registers"
                notes.refuse("", field, "edited registers keep it", now, before, hint)
        return [*notes.findings, *silicon.told(config), *targets.outside(config)]


def _allocated(
    model: Model, cells: list[Cells], options: MapOptions, recorded: set[str]
) -> tuple[list[Part], Allocation]:
    """Integer weights and where they are. Where rows run short the scale comes down until each weight takes one."""
    external = sum(model.nodes[name].size for name in model.inputs)
    asked = populations(cells, options, recorded)

    def attempt(scale: float) -> tuple[list[Part], Allocation]:
        made = parts(model, cells, options, scale)
        network = Network(external, asked, tuple(part.projection for part in made))
        return made, allocate(network, dense=options.dense)

    if options.scale is not None:
        return attempt(options.scale)
    largest = max(
        (float(np.abs(part.wanted).max(initial=0.0)) for part in parts(model, cells, options, SCALE)), default=0
    )
    one_row = MAX_WEIGHT / largest if largest else SCALE
    # as fine as the rows that a weight may take let it be
    first = attempt(min(SCALE, one_row * COPIES))
    if first[1].fits or one_row >= SCALE:
        return first
    again = attempt(one_row)
    return again if again[1].fits else first
