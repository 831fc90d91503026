"""From a model to the registers of Loihi: integers, blocks, cores, placement, losses."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from typing import Any

import numpy as np

from hal.errors import ConfigError, DoesNotFitError
from hal.events import Port, Probe
from hal.fit import Finding, FitReport, FitRow
from hal.mapper import Mapper, Plan
from hal.mapping import Mapping, Placement, plain_fates
from hal.model import Model
from hal_loihi import allocator, limits, realised, registers, splitting, topologies
from hal_loihi.config import LoihiConfig
from hal_loihi.discretise import Discretised, NoteCode, discretise
from hal_loihi.layers import Population, Reader
from hal_loihi.options import LoihiMapOptions

CHANGED = {
    NoteCode.WEIGHTS_ALL_ZERO: "every weight became 0",
    NoteCode.WEIGHTS_UNDERFLOW: "weights too small for 8 bits became 0",
    NoteCode.WEIGHTS_CLIPPED: "weights are further off than half a step",
    NoteCode.BIAS_ALL_ZERO: "every bias became 0",
    NoteCode.BIAS_UNDERFLOW: "biases became 0",
    NoteCode.THRESHOLD_RAISED: "thresholds below half a unit of 64 were set to one unit",
    NoteCode.V_MIN_MOVED: "the lower bound is one per core, the nearest of 1 - 2^e",
    NoteCode.V_MAX_MOVED: "the upper bound is one per core",
    NoteCode.CURRENT_DECAY_OUT_OF_REACH: "the current leaks at least 1/4096 per step",
    NoteCode.MEMBRANE_DECAY_OUT_OF_REACH: "the membrane keeps at least 1/4096 per step",
    NoteCode.REFRACTORY_ROUNDED: "refractory times are whole steps",
    NoteCode.REFRACTORY_CLIPPED: "at most 62 steps without a membrane",
}
"""What changes the model; every other note is just one."""
SAID = {
    NoteCode.WEIGHTS_COARSE: "the largest weight has few steps only",
    NoteCode.ACCUMULATOR_MAY_WRAP: "if all inputs spike at once the accumulator's 21 bits wrap",
    NoteCode.CURRENT_MAY_WRAP: "if all inputs spike in every step the current's 23 bits wrap",
}
ROWS = ("compartments", "in_axons", "out_axons", "synapse_bits")
"""Resources with a row for every layer; the others show when they are exceeded."""


class LoihiMapper(Mapper):
    """Graphs of linear maps and IF, LIF or CubaLIF neurons."""

    def _plan(
        self,
        model: Model,
        options: LoihiMapOptions,
        record: tuple[Probe, ...],
        like: Mapping | None,
        seed: int,
        rates_hz: MappingABC[str, float] | None,
    ) -> Plan:
        dt_ns = model.semantics.dt_ns
        if dt_ns is None:
            # said by the core; nothing can be told of time constants without it
            return Plan()
        reader = Reader(model, options, dt_ns)
        findings = reader.notes.findings
        if reader.notes.refused:
            return Plan(findings=findings)
        stored, unscaled = _stored(reader.populations)
        if unscaled:
            return Plan(findings=[*findings, *unscaled])
        for population, made in zip(reader.populations, stored, strict=True):
            findings += _about(population, made)
        network = topologies.network(model, reader.populations, stored, options.pop_type)
        problems = topologies.shape_problems(network, options.block_shape)
        if problems:
            return Plan(findings=[*findings, *problems])
        cut = splitting.split(network, dict(options.block_shape))
        rows = _rows(cut) + [_over(violation) for violation in cut.violations]
        place = allocator.ALLOCATORS["default" if options.allocator == "packed" else options.allocator]
        placed = place(cut.account, n_chips=options.chips, cores_per_chip=options.cores_per_chip)
        needed = placed.n_cores if placed.shortage is None else placed.shortage.needed
        rows.insert(0, _cores_row(needed, options))
        if placed.chip.size and placed.interchip:
            findings.append(_axons(placed))
        if not all(row.ok for row in rows):
            return Plan(rows=rows, findings=findings)
        labels = realised.labels(reader.populations)
        config = registers.config(model, reader.populations, stored, cut, placed, dt_ns, options)
        return Plan(
            rows=rows,
            findings=findings,
            config=config,
            placement=_placement(model, reader.populations, cut, placed),
            fates=plain_fates(model),
            losses=realised.losses(reader.populations, stored, labels),
            realised=realised.values(model, reader.populations, stored, labels, dt_ns),
            step_ns=dt_ns,
            latency_ns=_latencies(model, reader.populations, dt_ns),
        )

    def _edit(self, mapping: Mapping, config: LoihiConfig) -> list[FitRow | Finding]:
        before: LoihiConfig = mapping.config
        same = (
            config.populations == before.populations
            and config.inputs == before.inputs
            and config.step_ns == before.step_ns
            and np.array_equal(config.compartments.core, before.compartments.core)
            and np.array_equal(config.places, before.places)
        )
        if same:
            return []
        return [
            Finding(
                level="refused",
                node="",
                field="populations",
                reason="edited registers keep inputs, populations, cores and the step",
                hint="map again, or adopt the registers as they are",
            )
        ]

    def _adopt(self, config: LoihiConfig) -> Mapping:
        parts: list[dict[str, Any]] = []
        for port in config.inputs:
            index = np.arange(int(np.prod(port.shape)))
            parts.append({"node": port.name, "index": index, "core": -1, "neuron": index})
        used: dict[int, int] = {}
        neuron = np.zeros(config.compartments.core.size, np.int64)
        for n, row in enumerate(config.compartments.core.tolist()):
            neuron[n] = used.get(row, 0)
            used[row] = neuron[n] + 1
        over = [row for row, count in used.items() if count > limits.COMPARTMENTS]
        report = FitReport(
            device=self.spec.name,
            findings=tuple(
                Finding(
                    level="refused",
                    node="",
                    field="compartments.core",
                    reason=f"too many compartments on core {config.cores.core[row]} of chip {config.cores.chip[row]}",
                    wanted=used[row],
                    realised=limits.COMPARTMENTS,
                )
                for row in over
            ),
        )
        if not report.fits:
            raise DoesNotFitError(report)
        for p in config.populations:
            mine = slice(p.first, p.first + int(np.prod(p.shape)))
            rows = config.compartments.core[mine]
            parts.append(
                {
                    "node": p.name,
                    "index": np.arange(rows.size),
                    "chip": config.cores.chip[rows],
                    "core": config.cores.core[rows],
                    "neuron": neuron[mine],
                }
            )
        return Mapping(
            device=self.spec.name,
            config=config,
            placement=Placement.build(parts),
            fit=report,
            inputs=tuple(Port(port.name, port.shape) for port in config.inputs),
            outputs=tuple(Port(p.name, p.shape) for p in config.populations),
            step_ns=config.step_ns,
        )


def _stored(populations: list[Population]) -> tuple[list[Discretised], list[Finding]]:
    """Integers of every population, and those that no integers hold."""
    stored, refused = [], []
    for p in populations:
        try:
            stored.append(discretise(registers.block(p)))
        except ConfigError as error:
            for problem in error.problems:
                refused.append(
                    Finding(
                        level="refused",
                        node=p.name,
                        field="parameters",
                        reason=f"{error.message}: {problem.what}",
                        wanted=problem.value,
                        realised=problem.limit,
                        hint=problem.hint,
                    )
                )
    return stored, refused


def _about(population: Population, made: Discretised) -> list[Finding]:
    """What the integers could not keep."""
    found = []
    for note in made.notes:
        changed = note.code in CHANGED
        connection = next((c for c in population.inputs if topologies.group_name(c) == note.group), None)
        node = connection.nodes[-1] if connection is not None and connection.nodes else population.name
        count = f" ({note.count})" if note.count > 1 else ""
        found.append(
            Finding(
                level="changed" if changed else "note",
                node=node,
                field=realised.PARAMETERS.get(note.parameter, note.parameter),
                reason=CHANGED.get(note.code, SAID.get(note.code, str(note.code))) + count,
                wanted=f"{note.wanted:g}",
                realised=f"{note.realised:g}",
            )
        )
    if population.at_threshold and (made.vth_mant == 1).any():
        reason = "a threshold of one unit of 64 cannot be lowered for >=: the chip compares strictly"
        found.append(
            Finding(
                level="changed",
                node=population.name,
                field="compare",
                reason=reason,
                wanted=">=",
                realised="> threshold",
            )
        )
    for group in made.groups:
        if group.error.relative > 0:
            connection = next(c for c in population.inputs if topologies.group_name(c) == group.name)
            found.append(
                Finding(
                    level="note",
                    node=connection.nodes[-1] if connection.nodes else population.name,
                    field="quantisation",
                    reason=f"stored with {group.weight_bits} bits, {group.sign_mode}, exponent {group.exponent}",
                    wanted="weights as given",
                    realised=f"rms error {group.error.rms:.2g}, {100 * group.error.relative:.2g} %",
                )
            )
    return found


def _rows(cut: splitting.Split) -> list[FitRow]:
    """For every layer and resource its fullest block."""
    rows = []
    account = cut.account
    layers = np.array([block.layer for block in account.blocks])
    for name in dict.fromkeys(layers.tolist()):
        mine = np.flatnonzero(layers == name)
        for resource in ROWS:
            amounts = account.column(resource)[mine]
            rows.append(
                FitRow(
                    resource=resource.replace("_", " "),
                    place="core" if mine.size == 1 else f"fullest of {mine.size} cores",
                    node=name,
                    needed=min(int(amounts.max()), getattr(limits.CoreLimits(), resource)),
                    limit=getattr(limits.CoreLimits(), resource),
                    unit="bits" if resource == "synapse_bits" else resource.replace("_", " "),
                )
            )
    return rows


def _over(violation: splitting.Violation) -> FitRow:
    hint = (
        "fewer synapses or neurons of different kinds"
        if violation.fits is None
        else f"block_shape {violation.fits} fits"
    )
    return FitRow(
        resource=violation.resource.replace("_", " "),
        place=f"block {violation.block}",
        node=violation.layer,
        needed=violation.amount,
        limit=violation.limit,
        unit=violation.resource.replace("_", " "),
        hint=hint,
    )


def _cores_row(needed: int, options: LoihiMapOptions) -> FitRow:
    limit = options.chips * options.cores_per_chip
    hint = f"chips={-(-needed // options.cores_per_chip)}" if needed > limit else ""
    return FitRow(resource="cores", place="chips", node="", needed=needed, limit=limit, unit="cores", hint=hint)


def _axons(placed: allocator.Allocation) -> Finding:
    reason = f"{placed.interchip} axons go from chip to chip, {placed.intrachip} stay on theirs"
    return Finding(level="note", node="", field="chips", reason=reason)


def _placement(
    model: Model, populations: list[Population], cut: splitting.Split, placed: allocator.Allocation
) -> Placement:
    parts: list[dict[str, Any]] = []
    for name in model.inputs:
        index = np.arange(model.nodes[name].size)
        parts.append({"node": name, "index": index, "core": -1, "neuron": index})
    for p in populations:
        columns = registers.places(p, cut, placed)
        parts.append({"node": p.name, "index": np.arange(p.size), **columns})
    return Placement.build(parts)


def _latencies(model: Model, populations: list[Population], dt_ns: int) -> dict[str, int]:
    """Every connection takes a step: fixed delays against the model."""
    late = {p.name: p.latency * dt_ns for p in populations}
    for p in model.projections():
        if p.target in model.outputs and p.source in late:
            late[p.target] = max(late.get(p.target, 0), late[p.source])
    return late
