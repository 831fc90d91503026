"""Requests to record: checked against the model and the device's limits, and what they mean for a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as MappingABC
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from hal.capabilities import require
from hal.errors import CapabilityError, ConfigError, DoesNotFitError, Problem
from hal.events import Probe
from hal.fit import Observable
from hal.mapping import Placement

if TYPE_CHECKING:
    from hal.config import MapOptions
    from hal.mapper import Mapper
    from hal.mapping import Mapping
    from hal.model import Model
    from hal.nodes import Node
    from hal.spec import DeviceSpec


def map_all(
    mapper: Mapper,
    model: Model,
    options: MapOptions | MappingABC[str, Any] | None = None,
    more: Sequence[Probe] = (),
    *,
    seed: int = 0,
) -> tuple[Mapping, str]:
    """Map with every population that spikes recorded, or, where the device cannot, the Outputs alone.

    more: probes besides. Gives the mapping, and why the populations are not recorded (empty where they are).
    Raises what `Mapper.map` raises without these populations.
    """
    asked = {probe.node for probe in more if probe.variable == "spikes"}
    every = [
        Probe(node.name) for node in model.populations() if node.spiking and node.name not in asked and node.size > 0
    ]
    try:
        return mapper.map(model, options, record=[*more, *every], seed=seed), ""
    except (ConfigError, CapabilityError, DoesNotFitError) as error:
        first = error
    # raises what is wrong with the rest, if that was it
    mapping = mapper.map(model, options, record=more, seed=seed)
    return mapping, "; ".join(str(problem) for problem in first.problems[:3]) or first.message


def checked(spec: DeviceSpec, model: Model, record: Iterable[str | Probe]) -> tuple[Probe, ...]:
    """Record requests checked against the model and the device's observables."""
    asked = [record] if isinstance(record, str | Probe) or not isinstance(record, Iterable) else record
    wanted = tuple(Probe(item) if isinstance(item, str) else item for item in asked)
    if strange := [item for item in wanted if not isinstance(item, Probe)]:
        raise ConfigError("record takes names of nodes and Probes", value=repr(strange[0]))
    problems = [problem for probe in wanted for problem in _problems(spec, model, probe)]
    variables = {probe.variable for probe in wanted}
    for observable in spec.observables:
        if observable.variable in variables and (clash := variables & set(observable.excludes)):
            what = f"{observable.variable} cannot be recorded together with {', '.join(sorted(clash))}"
            problems.append(Problem(what, "record"))
        count = sum(_recorded(model, probe, observable) for probe in wanted)
        if observable.at_once is not None and observable.scope == "chip" and count > observable.at_once:
            limit = f"{observable.at_once} {observable.per}s at once"
            problems.append(Problem(f"too many probes of {observable.variable}", "record", count, limit))
    columns = [(probe.node, probe.variable) for probe in wanted if probe.variable != "spikes"]
    for node, variable in sorted({column for column in columns if columns.count(column) > 1}):
        hint = "one probe with all indices"
        problems.append(Problem("probed twice", f"record {node!r}.{variable}", hint=hint))
    if problems:
        raise ConfigError("cannot record that", problems=problems)
    return wanted


def _problems(spec: DeviceSpec, model: Model, probe: Probe) -> list[Problem]:
    """What is wrong with one probe. Raises CapabilityError for a state variable where none can be read."""
    where = f"record {probe.node!r}"
    node = model.nodes.get(probe.node)
    if node is None:
        near = get_close_matches(str(probe.node), list(model.nodes), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(model.nodes)}"
        return [Problem("no such node", where, hint=hint)]
    problems = []
    if probe.variable == "spikes":
        if not _gives_events(model, node):
            problems.append(Problem(f"a {node.type} node has no spikes here", where, hint="probe a spiking node"))
    else:
        what = f"recording {probe.variable} of {probe.node}"
        require(spec.capabilities, "record.state", spec.name, what)
    observable = next((o for o in spec.observables if o.variable == probe.variable), None)
    if observable is None:
        limit = f"one of {', '.join(o.variable for o in spec.observables)}"
        return [*problems, Problem("not observable here", f"{where}.{probe.variable}", limit=limit)]
    has_it = node.type in observable.types or not observable.types
    if probe.variable != "spikes" and not (has_it and node.population and node.type not in ("Input", "Threshold")):
        problems.append(Problem(f"a {node.type} node has no {probe.variable}", where))
    if bad := [i for i in probe.indices or () if not 0 <= i < node.size]:
        problems.append(Problem("no such neuron", where, value=bad[0], limit=f"0..{node.size - 1}"))
    if observable.per == "spike" and probe.indices is not None:
        reason = f"{probe.variable} has a row for each spike, of all neurons of the node"
        problems.append(Problem(reason, where, value=probe.indices, hint="leave indices out"))
    if probe.every_ns is not None:
        period = (model.semantics.dt_ns or 1) if observable.period_ns == 0 else observable.period_ns
        if spec.clock.kind == "continuous" and period is not None:
            # any, but not too often: what that is depends on the time scale, see `check_mapped`
            period = 1
        if period is None:
            problems.append(Problem("cannot be sampled over time", where, value=probe.every_ns))
        elif probe.every_ns <= 0 or probe.every_ns % period:
            limit = f"multiples of {period} ns"
            problems.append(Problem("cannot be sampled at that period", where, probe.every_ns, limit))
    return problems


def _gives_events(model: Model, node: Node) -> bool:
    if node.name in model.inputs or node.name in model.outputs:
        return model.kind(node.name) == "events"
    return node.spiking


def check_mapped(
    spec: DeviceSpec, chip: Model, probes: tuple[Probe, ...], placement: Placement, speedup: float
) -> None:
    """Probes of what is on the host, limits per core, and periods on the chip, which only a mapping shows."""
    problems = [
        Problem("is computed on the host; its state cannot be recorded", f"record {probe.node!r}")
        for probe in probes
        if probe.variable != "spikes" and (probe.node not in chip.nodes or probe.node in chip.inputs)
    ]
    shortest = {o.variable: math.ceil((o.period_ns or 0) * speedup) for o in spec.observables}
    problems += [
        Problem("cannot be sampled so often", f"record {p.node!r}", p.every_ns, f"{shortest[p.variable]} ns or more")
        for p in probes
        if spec.clock.kind == "continuous" and p.every_ns is not None and p.every_ns < shortest[p.variable]
    ]
    for observable in spec.observables:
        if observable.at_once is None or observable.scope == "chip":
            continue
        cores: dict[tuple[int, int], list[str]] = {}
        for probe in probes:
            if probe.variable == observable.variable and probe.node in placement.nodes:
                rows = placement.where(probe.node, probe.indices)
                places = np.unique(rows[["chip", "core"]]) if observable.per != "neuron" else rows[["chip", "core"]]
                for chip_at, core in places.tolist():
                    cores.setdefault((chip_at, core), []).append(probe.node)
        for (chip_at, core), there in cores.items():
            if len(there) > observable.at_once:
                what = f"too many probes of {observable.variable} on chip {chip_at}, core {core}"
                limit = f"{observable.at_once} {observable.per}s at once"
                where = f"record {', '.join(map(repr, dict.fromkeys(there)))}"
                problems.append(Problem(what, where, len(there), limit))
    if problems:
        raise ConfigError("cannot record that", problems=problems)


def _recorded(model: Model, probe: Probe, observable: Observable) -> int:
    """How much of an observable a probe takes."""
    if probe.variable != observable.variable or probe.node not in model.nodes:
        return 0
    if observable.per != "neuron":
        return 1
    return model.nodes[probe.node].size if probe.indices is None else len(probe.indices)


def probed_events(mapping: Mapping) -> dict[str, tuple[int, ...]]:
    """Nodes whose spikes were asked for besides the Outputs, with their shapes."""
    names = [probe.node for probe in mapping.record if probe.variable == "spikes"]
    return {} if mapping.model is None else {name: mapping.model.nodes[name].output_shape for name in names}


def recorded_events(mapping: Mapping) -> dict[str, tuple[int, ...]]:
    """What `_run` has to emit: the chip's own event Outputs and the probed populations on it, with their shapes."""
    part = mapping.on_chip
    if part is None:
        return {port.name: port.shape for port in mapping.outputs if port.kind == "events"}
    shapes = {name: part.nodes[name].output_shape for name in part.outputs if part.kind(name) == "events"}
    probed = probed_events(mapping).items()
    return shapes | {name: shape for name, shape in probed if name in part.nodes and name not in part.inputs}


def feeding(mapping: Mapping) -> dict[str, tuple[str, ...]]:
    """The populations whose spikes make up each key of `recorded_events`: those before an Output, or itself."""
    part, keys = mapping.on_chip, recorded_events(mapping)
    if part is None:
        return {key: (key,) for key in keys}
    before: dict[str, list[str]] = {}
    for projection in part.projections():
        before.setdefault(projection.target, []).append(projection.source)
    return {key: tuple(before.get(key, ())) if key in part.outputs else (key,) for key in keys}
