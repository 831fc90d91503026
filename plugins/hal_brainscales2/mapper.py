"""From a model to the registers of BrainScaleS-2: time scale, integer weights, circuits, rows, labels, targets."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hal.events import Port, Probe
from hal.fit import Finding, FitReport, FitRow
from hal.mapper import Mapper, Plan
from hal.mapping import Losses, Mapping, Placement, plain_fates
from hal.model import Model
from hal.notes import Notes
from hal_brainscales2 import scale
from hal_brainscales2.allocator import Allocation, allocate
from hal_brainscales2.cells import Cells, Reader
from hal_brainscales2.config import (
    BrainScaleS2Config,
    CircuitsConfig,
    HostConfig,
    InputConfig,
    PopulationConfig,
    RefractoryConfig,
    RoutingConfig,
    TargetsConfig,
)
from hal_brainscales2.limits import COLUMNS, MAX_WEIGHT
from hal_brainscales2.network import Network
from hal_brainscales2.options import MapOptions
from hal_brainscales2.refractory import Refractory, refractory
from hal_brainscales2.synapses import COPIES, Part, parts, populations

Floats = NDArray[np.float64]

LEAK: Final = 80.0
"""CADC LSB, as in all of the vendor's examples."""
THRESHOLD: Final = 150.0
"""CADC LSB, of the vendor's yin-yang example, where the distance to the leak is largest."""
GRID_NS: Final = 8
"""Of the chip's time stamps."""
SCALE: Final = 58.0
"""Integer weight per distance of threshold and leak (jaxsnn 0.3.0's example)."""
RESET: Final = (50.0, 160.0)
"""CADC LSB: the standard range."""
SHORTEST_REFRACTORY: Final = 40e-9
"""s: the shortest the vendor's calibration takes."""
UNITS: Final = {
    "circuits": "circuits",
    "synapse_rows": "rows",
    "drivers": "drivers",
    "fan_in": "rows",
    "labels": "labels",
    "row_selects": "drivers",
    "weight": "rows",
}


class BrainScaleS2Mapper(Mapper):
    """Graphs of linear maps and CubaLIF neurons."""

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
        speedup = _speedup(reader, options)
        recorded = {p.source for p in model.projections() if p.target in model.outputs}
        recorded |= {probe.node for probe in record}
        try:
            made, allocation = _allocated(model, cells, options, recorded)
        except ValueError as error:
            notes.refuse("", "options", str(error))
            return Plan(findings=notes.findings)
        rows = _rows(allocation, cells)
        periods = _periods(cells, speedup, notes)
        _about(made, notes)
        _about_resets(cells, notes)
        if notes.refused or not all(row.ok for row in rows) or not allocation.fits:
            return Plan(rows=rows, findings=notes.findings)
        config = _config(model, cells, allocation, made, speedup, periods, record)
        return Plan(
            rows=rows,
            findings=notes.findings,
            config=config,
            placement=placement(config),
            fates=plain_fates(model),
            losses=_losses(made),
            realised=_realised(model, made),
            step_ns=model.semantics.dt_ns,
            speedup=speedup,
            latency_ns=_latencies(model, cells),
        )

    def _adopt(self, config: BrainScaleS2Config) -> Mapping:
        return Mapping(
            device=self.spec.name,
            config=config,
            placement=placement(config),
            fit=FitReport(device=self.spec.name),
            inputs=tuple(Port(port.name, port.shape) for port in config.inputs),
            outputs=tuple(Port(run.name, run.shape) for run in config.populations),
            step_ns=config.step_ns,
            speedup=config.speedup,
        )

    def _edit(self, mapping: Mapping, config: BrainScaleS2Config) -> list[FitRow | Finding]:
        notes = Notes(frozenset())
        for field in ("step_ns", "speedup", "inputs", "populations", "circuits"):
            if getattr(config, field) != getattr(mapping.config, field):
                notes.refuse("", field, "edited registers keep it", hint="map again, or adopt the registers")
        return list(notes.findings)


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
    if one_row * COPIES < SCALE:
        return attempt(one_row)
    first = attempt(SCALE)
    if first[1].fits or one_row >= SCALE:
        return first
    again = attempt(one_row)
    return again if again[1].fits else first


# --- time -------------------------------------------------------------------------------------------------------------


def _speedup(reader: Reader, options: MapOptions) -> float:
    """As given, or chosen; what it leaves outside the chip's ranges is told."""
    cells, notes = reader.cells, reader.notes
    tau_mem, tau_syn = (np.concatenate([getattr(c, name) for c in cells]) for name in ("tau_mem", "tau_syn"))
    speedup = options.speedup or scale.choose(tau_mem, tau_syn)
    for excess in scale.excesses(tau_mem, tau_syn, speedup):
        taus = {"tau_mem": "tau_mem", "tau_syn": "tau_syn"}[excess.field]
        name = next(c.name for c in cells if np.isclose(getattr(c, taus) / speedup, excess.value).any())
        wanted, limit = f"{excess.value:.3g} s on the chip", f"{excess.least:.3g}..{excess.largest:.3g} s"
        if excess.possible:
            notes.say("changed", name, taus, "outside the standard range of a calibration", wanted, limit)
        else:
            hint = "another speedup, or time constants that lie closer together"
            notes.refuse(name, taus, "no calibration reaches it", wanted, limit, hint)
    dt_ns = reader.dt_ns
    if dt_ns is not None and dt_ns / speedup < GRID_NS:
        reason = f"at a speedup of {speedup:g} a step is less than the {GRID_NS} ns of the chip's time stamps"
        hint = "shorter time constants against the step, or longer steps"
        notes.refuse(cells[0].name, "tau_mem", reason, f"{dt_ns / speedup:.3g} ns", f"{GRID_NS} ns", hint)
    notes.say("note", "", "speedup", "one s of the chip stands for so many s of the model", None, f"{speedup:g}")
    return speedup


def _reset(c: Cells) -> Floats:
    """Reset potentials within the standard range of a calibration."""
    low, high = ((limit - LEAK) / (THRESHOLD - LEAK) for limit in RESET)
    return np.clip(c.reset, low, high)


def _about_resets(cells: list[Cells], notes: Notes) -> None:
    for c in cells:
        made = _reset(c)
        if (made != c.reset).any():
            worst = int(np.argmax(np.abs(made - c.reset)))
            wanted, realised = float(c.reset[worst]), float(made[worst])
            reason = "outside the standard range of a calibration, in distances of threshold and leak; "
            reason += "a refractory period keeps a neuron silent: option refractory_s"
            notes.say("changed", c.name, "v_reset", reason, wanted, round(realised, 3))


def _periods(cells: list[Cells], speedup: float, notes: Notes) -> Refractory:
    """Refractory registers of all neurons."""
    times, holdoff = (np.concatenate([getattr(c, name) for c in cells]) / speedup for name in ("refractory", "holdoff"))
    made = refractory(np.maximum(times, SHORTEST_REFRACTORY), holdoff)
    names = np.concatenate([np.full(c.size, k) for k, c in enumerate(cells)])
    for level, found in (("refused", made.errors), ("changed", made.warnings)):
        for finding in found:
            for k in np.unique(names[list(finding.neurons)]).tolist():
                notes.say(level, cells[k].name, "refractory_s", finding.reason)  # type: ignore[arg-type]
    first = 0
    for c in cells:
        mine = slice(first, first + c.size)
        first += c.size
        off = np.abs(made.time_s[mine] * speedup - c.refractory)
        if (off > 0.05 * np.maximum(c.refractory, SHORTEST_REFRACTORY * speedup)).any():
            k = int(np.argmax(off))
            wanted, realised = f"{c.refractory[k]:.3g} s", f"{made.time_s[mine][k] * speedup:.3g} s"
            notes.say("changed", c.name, "refractory_s", "periods are whole cycles of two clocks", wanted, realised)
    return made


def _latencies(model: Model, cells: list[Cells]) -> dict[str, int]:
    dt_ns = model.semantics.dt_ns or 0
    late = {c.name: c.latency * dt_ns // 2 for c in cells}
    for output in model.outputs:
        sources = {p.source for p in model.projections() if p.target == output}
        late[output] = max((late[name] for name in sources if name in late), default=0)
    return late


# --- what is needed, and what became of numbers -----------------------------------------------------------------------


def _rows(allocation: Allocation, cells: list[Cells]) -> list[FitRow]:
    hints = {(v.resource, v.where): "; ".join(v.helps) for v in allocation.violations}
    told = {(u.resource, u.where) for u in allocation.usage}
    made = [
        FitRow(
            resource=u.resource,
            place=u.where,
            node="",
            needed=u.needed,
            limit=u.available,
            unit=UNITS[u.resource],
            hint=hints.get((u.resource, u.where), ""),
        )
        for u in allocation.usage
    ]
    made += [
        FitRow(
            resource=v.resource,
            place=v.where,
            node="",
            needed=v.needed,
            limit=v.available,
            unit=UNITS[v.resource],
            hint="; ".join(v.helps),
        )
        for v in allocation.violations
        if (v.resource, v.where) not in told
    ]
    return made


def _about(made: list[Part], notes: Notes) -> None:
    for part in made:
        gone = int(((part.hw == 0) & (part.wanted != 0)).sum())
        if gone:
            worst = float(np.abs(part.wanted[(part.hw == 0)]).max())
            notes.say("changed", part.name, "weight", f"weights too small for an integer became 0 ({gone})", worst, 0)
        if part.clipped:
            worst = float(np.abs(part.wanted).max())
            limit = float(np.abs(part.hw).max())
            notes.say("changed", part.name, "weight", f"weights were clipped ({part.clipped})", worst, limit)
        size = float(np.sqrt((part.wanted**2).sum()))
        if size:
            error = float(np.sqrt(((part.hw / part.scale - part.wanted) ** 2).sum())) / size
            if error:
                told = f"rms error {100 * error:.2g} %"
                notes.say("note", part.name, "quantisation", "6-bit weights", "as given", told)


def _losses(made: list[Part]) -> Losses:
    groups: list[Any] = []
    for part in made:
        if part.node is None:
            continue
        flat = np.ravel(part.node.weight).astype(np.float64)
        left = part.hw / part.scale
        clipped = np.abs(part.wanted) * part.scale > np.abs(part.hw) + 1
        for reason, lost in (("rounded to 0", part.hw == 0), ("clipped: rows run short", clipped & (part.hw != 0))):
            index, first = np.unique(part.weight[lost], return_index=True)
            wanted = flat[index]
            kept = wanted * (left[lost] / part.wanted[lost])[first]
            groups.append((part.name, "weight", index, wanted, kept, reason))
    return Losses.build(groups)


def _realised(model: Model, made: list[Part]) -> dict[tuple[str, str], NDArray[Any]]:
    """Weights in the model's units; all else is as the model says, up to what a calibration reaches."""
    out: dict[tuple[str, str], NDArray[Any]] = {}
    for part in made:
        if part.node is None:
            continue
        values = out.setdefault((part.name, "weight"), np.ravel(part.node.weight).astype(np.float64))
        values[part.weight] = part.hw / part.scale / part.target_cells.weight[part.target]
    for key in out:
        out[key] = out[key].reshape(model.nodes[key[0]].weight.shape)  # type: ignore[attr-defined]
    return out


# --- registers --------------------------------------------------------------------------------------------------------


def _config(
    model: Model,
    cells: list[Cells],
    allocation: Allocation,
    made: list[Part],
    speedup: float,
    periods: Refractory,
    record: tuple[Probe, ...],
) -> BrainScaleS2Config:
    tables, where = allocation.tables, allocation.placement
    if tables is None or where is None:
        raise TypeError("an allocation that fits has tables")
    runs, first = [], 0
    for c in cells:
        runs.append(PopulationConfig(name=c.name, first=first, shape=c.shape))
        first += c.size
    n = first
    reset = LEAK + (THRESHOLD - LEAK) * np.concatenate([_reset(c) for c in cells])
    probed = []
    for probe in record:
        if probe.variable == "v":
            run = next(run for run in runs if run.name == probe.node)
            probed += [run.first + k for k in (range(run.size) if probe.indices is None else probe.indices)]
    return BrainScaleS2Config(
        step_ns=model.semantics.dt_ns,
        speedup=speedup,
        scale=made[0].scale if made else SCALE,
        inputs=tuple(InputConfig(name=name, shape=model.nodes[name].output_shape) for name in model.inputs),
        populations=tuple(runs),
        circuits=CircuitsConfig(circuit=where.circuit, neuron=np.repeat(np.arange(n), np.diff(where.ptr))),
        neuron_label=tables.neuron_label,
        targets=TargetsConfig(
            leak=np.full(n, LEAK),
            reset=reset,
            threshold=np.full(n, THRESHOLD),
            tau_mem=np.concatenate([c.tau_mem for c in cells]) / speedup,
            tau_syn=np.concatenate([c.tau_syn for c in cells]) / speedup,
            i_synin_gm=np.full(n, 500),
            membrane_capacitance=np.full(n, 63),
            refractory_time=periods.time_s,
            holdoff_time=periods.holdoff_s,
        ),
        refractory=RefractoryConfig(
            counter=periods.counter,
            holdoff_code=periods.holdoff_code,
            fast=periods.fast,
            fast_scale=periods.fast_scale,
            slow_scale=periods.slow_scale,
        ),
        routing=RoutingConfig(
            crossbar_mask=tables.crossbar_mask,
            crossbar_target=tables.crossbar_target,
            driver_on=tables.driver_group >= 0,
            driver_mask=tables.driver_mask,
            row_sign=tables.row_sign,
            weight=tables.weight,
            label=tables.label,
        ),
        host=HostConfig(channel=tables.event_source, label=tables.event_label),
        madc=tuple(probed),
    )


def placement(config: BrainScaleS2Config) -> Placement:
    """One row per circuit: core is the hemisphere, neuron the column; label: of the events that leave it."""
    parts_: list[dict[str, Any]] = []
    first = 0
    for port in config.inputs:
        index = np.arange(int(np.prod(port.shape)))
        labels = np.full(config.n_inputs, -1, np.int64)
        labels[config.host.channel[::-1]] = config.host.label[::-1]
        mine = labels[first : first + index.size]
        parts_.append({"node": port.name, "index": index, "core": -1, "neuron": index, "label": mine})
        first += index.size
    neuron = config.circuits.neuron.astype(np.int64)
    part = np.arange(neuron.size) - np.searchsorted(neuron, neuron)
    core, column = np.divmod(config.circuits.circuit.astype(np.int64), COLUMNS)
    for run in config.populations:
        mine = np.flatnonzero((neuron >= run.first) & (neuron < run.first + run.size))
        parts_.append(
            {
                "node": run.name,
                "index": neuron[mine] - run.first,
                "part": part[mine],
                "core": core[mine],
                "neuron": column[mine],
                "label": config.neuron_label[neuron[mine]],
            }
        )
    return Placement.build(parts_, ("label",))
