"""From a model to the registers of a Xylo part: integers, ids, placement, losses."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from typing import Any

import numpy as np
from hal.errors import ConfigError, DoesNotFitError, Problem
from hal.events import Port, Probe
from hal.fit import Finding, FitReport, FitRow
from hal.mapper import Mapper, Plan
from hal.mapping import Mapping, Placement, plain_fates
from hal.model import Model

from hal_xylo import limits, realised
from hal_xylo.accounts import Account
from hal_xylo.config import RunConfig, XyloConfig
from hal_xylo.cycles import Load
from hal_xylo.options import XyloMapOptions
from hal_xylo.reading import Reader
from hal_xylo.storing import Stored, store, unstorable


class XyloMapper(Mapper):
    """Graphs of weights and CubaLIF neurons: hidden layers, which may recur, and one of outputs."""

    def _plan(
        self,
        model: Model,
        options: XyloMapOptions,
        record: tuple[Probe, ...],
        like: Mapping | None,
        seed: int,
        rates_hz: MappingABC[str, float] | None,
    ) -> Plan:
        dt_ns = model.semantics.dt_ns
        if dt_ns is None:
            # said by the core; nothing can be told of time constants without it
            return Plan()
        part = limits.BY_NAME[self.spec.name]
        reader = Reader(model, options, dt_ns, part)
        findings = reader.notes.findings
        account = Account(part, reader, options)
        rows = account.sizes()
        if options.quantiser == "registers":
            for name in unstorable(reader.layers):
                reason = "the numbers are no registers: whole, weights of 8 bits, thresholds and biases of 16"
                reader.notes.refuse(name, "weight", reason, hint="quantiser='auto'")
        if reader.notes.refused:
            return Plan(rows=rows, findings=findings)
        _check_probes(reader, record)
        stored = store(reader.layers, options)
        rows += account.connections(stored)
        kept = realised.values(model, stored, dt_ns)
        findings = [*findings, *realised.findings(stored, kept), *_asked(options)]
        if not all(row.ok for row in rows):
            return Plan(rows=rows, findings=findings)
        config = registers(self.spec.name, model, stored, options, dt_ns)
        if rates_hz is not None:
            at_rates, missing = account.rates(Load.of(config), stored, rates_hz, dt_ns * 1e-9)
            rows += at_rates
            if missing:
                reason = f"no rates of {', '.join(missing)}: the cycles of a step cannot be told"
                findings.append(Finding(level="note", node="", field="clock cycles", reason=reason))
        return Plan(
            rows=rows,
            findings=findings,
            config=config,
            placement=_placement(config),
            fates=plain_fates(model),
            losses=realised.losses(stored, kept),
            realised=kept,
            step_ns=dt_ns,
            latency_ns=_latencies(model, stored, dt_ns),
        )

    def _edit(self, mapping: Mapping, config: XyloConfig) -> list[FitRow | Finding]:
        before: XyloConfig = mapping.config
        names = ("part", "step_ns", "inputs", "populations", "readouts")
        return [
            Finding(
                level="refused",
                node="",
                field=name,
                reason="edited registers keep the part, the step and what is where",
                wanted=str(getattr(config, name)),
                realised=str(getattr(before, name)),
                hint="map again, or adopt the registers as they are",
            )
            for name in names
            if getattr(config, name) != getattr(before, name)
        ]

    def _adopt(self, config: XyloConfig) -> Mapping:
        if config.part != self.spec.name:
            reason = f"these are registers of {config.part}"
            finding = Finding(
                level="refused", node="", field="part", reason=reason, wanted=config.part, realised=self.spec.name
            )
            raise DoesNotFitError(FitReport(device=self.spec.name, findings=(finding,)))
        return Mapping(
            device=self.spec.name,
            config=config,
            placement=_placement(config),
            fit=FitReport(device=self.spec.name),
            inputs=tuple(Port(run.name, run.shape) for run in config.inputs),
            outputs=tuple(Port(run.name, run.shape) for run in config.readouts),
            step_ns=config.step_ns,
        )


def _check_probes(reader: Reader, record: tuple[Probe, ...]) -> None:
    """Output neurons have one current."""
    problems = [
        Problem("an output neuron has one current", f"record {probe.node!r}.{probe.variable}", hint="probe i_syn")
        for probe in record
        if probe.variable == "i_syn2" and probe.node in reader.readouts
    ]
    if problems:
        raise ConfigError("cannot record that", problems=problems)


def _asked(options: XyloMapOptions) -> list[Finding]:
    """What the options add to the model."""
    found = []
    for source, targets in options.alias.items():
        for target in targets:
            reason = f"{target} fires with it in the same step, besides its own spikes (alias)"
            found.append(Finding(level="changed", node=source, field="alias", reason=reason, realised=target))
    for name, dash in options.synapse2.items():
        reason = "its events act through the second current of their targets"
        found.append(
            Finding(level="changed", node=name, field="synapse2", reason=reason, realised=f"tau of {2**dash} steps")
        )
    return found


def registers(part: str, model: Model, stored: list[Stored], options: XyloMapOptions, dt_ns: int) -> XyloConfig:
    """The configuration of stored layers, hidden ones in the order of their ids."""
    hidden = [s for s in stored if not s.layer.readout]
    outputs = [s for s in stored if s.layer.readout]
    first = {s.layer.name: s.first for s in stored}
    channels = 0
    for name in model.inputs:
        first[name] = channels
        channels += model.nodes[name].size
    n, m = (sum(s.layer.size for s in group) for group in (hidden, outputs))
    second = any(s.layer.dash_syn_2 is not None for s in hidden)
    w_in = np.zeros((channels, n, 1 + second), np.int64)
    w_rec = np.zeros((n, n, 1 + second), np.int64)
    w_out = np.zeros((n, m), np.int64)
    for s in stored:
        for k, connection in enumerate(s.layer.inputs):
            matrix = s.matrix(k).tocoo()
            source, target = matrix.col + first[connection.source], matrix.row + s.first
            if s.layer.readout:
                np.add.at(w_out, (source, target), matrix.data)
            else:
                into = w_in if connection.source in model.inputs else w_rec
                np.add.at(into, (source, target, connection.synapse), matrix.data)
    biased = any(s.bias.any() or s.trim.any() for s in stored)
    return XyloConfig(
        part=part,
        step_ns=dt_ns,
        clock_hz=options.clock_hz,
        inputs=tuple(RunConfig(name=name, shape=model.nodes[name].output_shape) for name in model.inputs),
        populations=tuple(RunConfig(name=s.layer.name, shape=s.layer.node.output_shape) for s in hidden),
        readouts=tuple(RunConfig(name=s.layer.name, shape=s.layer.node.output_shape) for s in outputs),
        w_in=w_in.astype(np.int8),
        w_rec=w_rec.astype(np.int8),
        w_out=w_out.astype(np.int8),
        shift_in=hidden[0].shift,
        shift_rec=hidden[0].shift,
        shift_out=outputs[0].shift,
        dash_mem=_joined([s.layer.dash_mem for s in hidden]),
        dash_mem_out=_joined([s.layer.dash_mem for s in outputs]),
        dash_syn=_joined([_dashes(s, second) for s in hidden]),
        dash_syn_out=_joined([s.layer.dash_syn for s in outputs]),
        threshold=_joined([s.threshold for s in hidden]),
        threshold_out=_joined([s.threshold for s in outputs]),
        has_bias=biased,
        bias=_joined([np.clip(s.bias + s.trim, *limits.STATE) for s in hidden]),
        bias_out=_joined([np.clip(s.bias + s.trim, *limits.STATE) for s in outputs]),
        alias=_aliases(hidden, options),
    )


def _joined(parts: list[Any]) -> Any:
    return np.concatenate(parts)


def _dashes(s: Stored, second: bool) -> Any:
    """(n, synapses); a second current that nothing feeds has the first one's shift."""
    own = s.layer.dash_syn[:, None]
    if not second:
        return own
    other = own if s.layer.dash_syn_2 is None else np.full_like(own, s.layer.dash_syn_2)
    return np.concatenate([own, other], axis=1)


def _aliases(hidden: list[Stored], options: XyloMapOptions) -> Any:
    alias = np.full(sum(s.layer.size for s in hidden), -1, np.int64)
    first = {s.layer.name: s.first for s in hidden}
    sizes = {s.layer.name: s.layer.size for s in hidden}
    for source, targets in options.alias.items():
        for target in targets:
            own = np.arange(sizes[source])
            alias[first[source] + own] = first[target] + own
    return alias


def _placement(config: XyloConfig) -> Placement:
    """Hidden neurons by their ids; outputs follow them."""
    parts: list[dict[str, Any]] = []
    for runs, core, base in (
        (config.inputs, -1, 0),
        (config.populations, 0, 0),
        (config.readouts, 0, config.threshold.size),
    ):
        for run in runs:
            index = np.arange(run.size)
            parts.append({"node": run.name, "index": index, "core": core, "neuron": base + index})
            base += run.size
    return Placement.build(parts)


def _latencies(model: Model, stored: list[Stored], dt_ns: int) -> dict[str, int]:
    """A step from hidden to hidden, and one to the outputs: fixed delays against the model."""
    late = {s.layer.name: max(s.layer.latency, 0) * dt_ns for s in stored}
    for p in model.projections():
        if p.target in model.outputs and p.source in late:
            late[p.target] = max(late.get(p.target, 0), late[p.source])
    return late
