"""From a model to the registers of a chip: limits, quantisation, cores, placement, losses."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from hal import nodes
from hal.errors import DoesNotFitError
from hal.events import Port, Probe
from hal.fit import Finding, FitReport, FitRow
from hal.mapper import Mapper, Plan
from hal.mapping import Fate, Losses, Mapping, Placement
from hal.model import Model
from hal_dynapcnn import chips, routing
from hal_dynapcnn.allocator import Allocation, Memory, Problem, ProblemKind, address_words, allocate, memory_words
from hal_dynapcnn.config import (
    CnnLayerConfig,
    Destination,
    Dimensions,
    FeatureMap,
    PaddingXY,
    SizeXY,
    SpeckConfig,
    SpeckMapOptions,
    StrideXY,
)
from hal_dynapcnn.layers import Layer, Reader
from hal_dynapcnn.quantise import NoteCode, Quantised, keep_integers, quantise, quantise_as_sinabs

NOTES: dict[NoteCode, tuple[Literal["changed", "note"], str]] = {
    NoteCode.WEIGHTS_ALL_ZERO: ("changed", "every weight became 0: the layer is dead"),
    NoteCode.WEIGHTS_UNDERFLOW: ("changed", "weights too small for 8 bits became 0"),
    NoteCode.BIAS_ALL_ZERO: ("changed", "every bias became 0"),
    NoteCode.SCALE_LIMITED: ("note", "a 16-bit number keeps the weights from using their 8 bits"),
    NoteCode.THRESHOLD_HIGH_RAISED: ("changed", "a positive threshold rounded to 0 and was set to 1"),
    NoteCode.THRESHOLD_LOW_ZERO: ("changed", "a lower bound of 0 does not work on the chip (datasheet 3.2.4.6.3)"),
    NoteCode.THRESHOLD_LOW_CLIPPED: ("changed", "the lower bound was moved to the nearest one that can be stored"),
}

PARAMETERS = {"weights": "weight", "threshold_high": "v_threshold", "threshold_low": "v_min"}
"""The quantiser's names and the model's."""


class SpeckMapper(Mapper):
    """Chains of convolution or dense layers with IF neurons and sum pooling."""

    def _plan(
        self,
        model: Model,
        options: SpeckMapOptions,
        record: tuple[Probe, ...],
        like: Mapping | None,
        seed: int,
        rates_hz: MappingABC[str, float] | None,
    ) -> Plan:
        chip = chips.CHIPS[self.spec.name]
        reader = Reader(model, options)
        layers, findings = reader.layers, reader.findings
        if options.drop_zero_bias:
            layers = [attrs.evolve(layer, bias=None) if not np.any(layer.bias) else layer for layer in layers]
        rows = [row for layer in layers for row in _limits(layer)]
        needs = [_memory(layer) for layer in layers]
        asked = options if like is None else _as_before(options, like, layers)
        allocation, orders = _allocate(needs, chip, asked, layers, findings)
        rows += _memory_rows(layers, needs, allocation, chip)
        findings += orders + _layout_notes(layers, allocation, chip)
        if any(finding.level == "refused" for finding in findings):
            return Plan(rows=rows, findings=findings)
        quantised = [_quantise(layer, options.quantisation, findings) for layer in layers]
        fits = all(row.ok for row in rows) and not any(finding.level == "refused" for finding in findings)
        if allocation.cores is None or not fits or not layers:
            return Plan(rows=rows, findings=findings)
        monitored = _monitored(model, record)
        integers = [q for q in quantised if q is not None]
        return Plan(
            rows=rows,
            findings=findings,
            config=_config(chip, layers, integers, allocation.cores, monitored),
            placement=_placement(model, layers, allocation.cores),
            fates=_fates(model, reader),
            losses=_losses(layers, integers),
            realised=_realised(layers, integers),
            step_ns=model.semantics.dt_ns,
        )

    def _adopt(self, config: SpeckConfig) -> Mapping:
        said = routing.refusals(config)
        if config.chip != self.spec.name:
            said.append(
                Finding(
                    level="refused",
                    node="",
                    field="chip",
                    reason=f"registers of a {config.chip}",
                    wanted=config.chip,
                    realised=self.spec.name,
                )
            )
        report = FitReport(device=self.spec.name, findings=tuple(said))
        if not report.fits:
            raise DoesNotFitError(report)
        route = routing.chain(config)
        shapes = {core: config.cnn_layers[core].dimensions.output_shape.shape for core in route}
        parts: list[dict[str, Any]] = [
            {"node": f"core{core}", "core": core, **_coordinates(shape)} for core, shape in shapes.items()
        ]
        entry = config.cnn_layers[config.entry].dimensions.input_shape.shape
        parts.insert(0, {"node": "input", "core": -1, **_coordinates(entry)})
        monitored = [core for core in route if config.cnn_layers[core].monitor_enable]
        return Mapping(
            device=self.spec.name,
            config=config,
            placement=Placement.build(parts, [column.name for column in self.spec.placement_extras]),
            fit=report,
            inputs=(Port("input", entry),),
            outputs=tuple(Port(f"core{core}", shapes[core]) for core in monitored),
        )

    def _edit(self, mapping: Mapping, config: SpeckConfig) -> Sequence[FitRow | Finding]:
        said = routing.refusals(config)
        before = mapping.config
        if config.chip != before.chip or routing.shapes(config) != routing.shapes(before):
            said.append(
                Finding(
                    level="refused",
                    node="",
                    field="cnn_layers",
                    reason="edited registers keep chip and shapes",
                    hint="map again, or adopt the registers as they are",
                )
            )
        return said


# --- limits and cores -----------------------------------------------------------------------------------------------


def _memory(layer: Layer) -> Memory:
    return memory_words(
        layer.in_shape[0], layer.out_shape[0], layer.weights.shape[-1], layer.out_shape[1:], layer.bias is not None
    )


def _limits(layer: Layer) -> list[FitRow]:
    """The dimension limits of one core."""
    c_in, *size_in = layer.in_shape
    c_out, *size_out = layer.out_shape
    table = (
        ("input size", max(size_in), chips.INPUT_SIZE_MAX, "pixels", "crop or pool the input"),
        ("output size", max(size_out), chips.OUTPUT_SIZE_MAX, "pixels", "use a stride"),
        ("features", max(c_in, c_out), chips.FEATURES_MAX, "features", "split the layer"),
        ("kernel size", layer.weights.shape[-1], chips.KERNEL_MAX, "pixels", "pool before this layer"),
        ("padding", max(layer.padding), chips.PADDING_MAX, "pixels", ""),
    )
    return [
        FitRow(
            resource=name,
            place="",
            node=layer.population,
            needed=need,
            limit=limit,
            unit=unit,
            hint=hint if need > limit else "",
        )
        for name, need, limit, unit, hint in table
    ]


def _as_before(options: SpeckMapOptions, like: Mapping, layers: list[Layer]) -> SpeckMapOptions:
    """Ask for the cores of an earlier mapping."""
    held = {
        layer.population: int(like.placement.where(layer.population)["core"][0])
        for layer in layers
        if layer.population in like.placement.nodes
    }
    return attrs.evolve(options, chip_layers_ordering="auto", fixed_cores=held)


def _allocate(
    needs: list[Memory],
    chip: chips.ChipTable,
    options: SpeckMapOptions,
    layers: list[Layer],
    findings: list[Finding],
) -> tuple[Allocation, list[Finding]]:
    """Cores, and what is to be said when there are none."""
    names = [layer.population for layer in layers]
    fixed = {names.index(name): core for name, core in options.fixed_cores.items() if name in names}
    said = [
        Finding(
            level="refused",
            node=name,
            field="fixed_cores",
            reason="no such population",
            wanted=core,
            hint=f"there are: {', '.join(names)}",
        )
        for name, core in options.fixed_cores.items()
        if name not in names
    ]
    allocation = allocate(needs, chip, options.chip_layers_ordering, fixed, options.reserved_cores)
    return allocation, said + [_finding(problem, layers, needs, chip) for problem in allocation.problems]


def _finding(problem: Problem, layers: list[Layer], needs: list[Memory], chip: chips.ChipTable) -> Finding:
    """A reason of the allocator in words: which layers, which cores, by how much."""
    names = [layers[i].population for i in problem.layers if i < len(layers)]
    cores = ", ".join(map(str, problem.cores)) or "none"
    asked = "ask for other cores, or leave it to chip_layers_ordering='auto'"
    blocked = f"; cores {', '.join(map(str, problem.blocked))} were ruled out by options" if problem.blocked else ""
    who = names[0] if len(names) == 1 else ""
    if problem.kind is ProblemKind.FITS_NOWHERE:
        least = min(
            problem.cores,
            key=lambda core: sum(s.needed - s.available for s in problem.shortages if s.core == core),
            default=None,
        )
        short = [s for s in problem.shortages if s.core == least]
        by = ", ".join(f"{s.memory} memory by {s.needed - s.available} of {s.needed} words" for s in short)
        reason = f"fits no core; the nearest, core {least}, is short of {by}" if short else "may use no core"
        hint = "fewer features, a smaller map, or another chip"
        return _no(who, "core", reason + blocked, _about_bias(problem, layers) + hint)
    if problem.kind is ProblemKind.COMPETITION:
        need = "; ".join(f"{layers[i].population} needs {_words(needs[i])}" for i in problem.layers)
        reason = (
            f"{problem.needed} layers ({', '.join(names)}) compete for {problem.available} of {chip.n_cores} cores "
            f"({cores}), {problem.needed} > {problem.available}: {need}{blocked}"
        )
        hint = "merge or shrink one of these layers, or take a chip with more room"
        return _no("", "cores", reason, _about_bias(problem, layers) + hint)
    texts = {
        ProblemKind.NOT_A_CORE: f"asked onto core {cores}; the chip has cores 0..{chip.n_cores - 1}",
        ProblemKind.DUPLICATE: f"{', '.join(names)} are asked onto one core, {cores}",
        ProblemKind.RESERVED: f"asked onto core {cores}, which is reserved",
        ProblemKind.NOT_A_LAYER: f"a core ({cores}) is asked for a layer that does not exist",
        ProblemKind.CONTRADICTION: f"the ordering and fixed_cores ask for different cores: {cores}",
        ProblemKind.WRONG_LENGTH: f"the ordering names {problem.available} cores for {problem.needed} layers",
    }
    return _no(who, "chip_layers_ordering", texts[problem.kind], asked)


def _about_bias(problem: Problem, layers: list[Layer]) -> str:
    """A hint where biases that are all zero may be what takes the room."""
    zero = any(layers[i].bias is not None and not np.any(layers[i].bias) for i in problem.layers)
    return "drop_zero_bias=True frees the memory of biases that are all zero; else " if zero else ""


def _no(node: str, field: str, reason: str, hint: str) -> Finding:
    return Finding(level="refused", node=node, field=field, reason=reason, hint=hint)


def _words(need: Memory) -> str:
    return f"{need.kernel} kernel, {need.neuron} neuron, {need.bias} bias words"


def _memory_rows(
    layers: list[Layer], needs: list[Memory], allocation: Allocation, chip: chips.ChipTable
) -> list[FitRow]:
    """Memory needed of what there is: on the layer's core, or, where nothing fits, against the largest core."""
    rows = [
        FitRow(
            resource="cores",
            place="chip",
            node="",
            needed=len(layers),
            limit=chip.n_cores,
            unit="cores",
        )
    ]
    for i, (layer, need) in enumerate(zip(layers, needs, strict=True)):
        for name, needed, have in zip(
            need._fields, need, (chip.kernel_words, chip.neuron_words, chip.bias_words), strict=True
        ):
            core = allocation.cores[i] if allocation.cores else None
            limit = have[core] if core is not None else max(have)
            rows.append(
                FitRow(
                    resource=f"{name} memory",
                    place="largest core" if core is None else f"core {core}",
                    node=layer.population,
                    needed=needed,
                    limit=limit,
                    unit="8-bit words" if name == "kernel" else "16-bit words",
                )
            )
    return rows


def _layout_notes(layers: list[Layer], allocation: Allocation, chip: chips.ChipTable) -> list[Finding]:
    """Where only the address layout, the second published figure, exceeds the core."""
    said = []
    for i, layer in enumerate(layers if allocation.cores else []):
        core = allocation.cores[i] if allocation.cores else 0
        reach = address_words(
            layer.in_shape[0], layer.out_shape[0], layer.weights.shape[-1], layer.out_shape[1:], layer.bias is not None
        )
        for name, needed, have in zip(reach._fields, reach, chip.memory(core), strict=True):
            if needed > have:
                said.append(
                    Finding(
                        level="note",
                        node=layer.population,
                        field=f"{name} memory",
                        reason=f"fits core {core} by the published formula, not by the address layout; which of the "
                        "two the chip's own check follows is not published",
                        wanted=f"{needed} words",
                        realised=f"{have} words",
                        hint="feature counts that are powers of two avoid the doubt",
                    )
                )
    return said


# --- numbers --------------------------------------------------------------------------------------------------------


def _quantise(layer: Layer, rule: str, findings: list[Finding]) -> Quantised | None:
    bias = layer.bias if layer.bias is not None and layer.bias.any() else None
    state = np.full(layer.out_shape, layer.start) if layer.start else None
    args = (layer.weights, bias, layer.threshold, layer.threshold_low, state)
    if rule == "keep_integers":
        kept = keep_integers(*args)
        if kept is None:
            findings.append(
                _no(
                    layer.weight_node,
                    "weight",
                    "quantisation='keep_integers', and these are no integers in range",
                    "weights -128..127, thresholds and bias 16 bits; or quantisation='default'",
                )
            )
        made = kept
    elif rule == "sinabs":
        made = quantise_as_sinabs(layer.weights, layer.bias, layer.threshold, layer.threshold_low, state)
        if made.threshold_low == chips.THRESHOLD_LOW_FORBIDDEN:
            made = attrs.evolve(made, threshold_low=-1)
    else:
        made = quantise(*args)
    if made is not None:
        _about_quantisation(layer, made, findings)
    return made


def _about_quantisation(layer: Layer, made: Quantised, findings: list[Finding]) -> None:
    for note in made.notes:
        level, reason = NOTES[note.code]
        field = PARAMETERS.get(note.parameter, note.parameter)
        node = layer.population if field.startswith("v_") else layer.weight_node
        count = f" ({note.count})" if note.count > 1 else ""
        findings.append(
            Finding(
                level=level,
                node=node,
                field=field,
                reason=reason + count,
                wanted=f"{note.wanted:g}",
                realised=f"{note.realised:g}",
            )
        )
    if made.scale != 1.0:
        findings.append(
            Finding(
                level="note",
                node=layer.weight_node,
                field="quantisation",
                reason=f"stored as round({made.scale:.6g} * weight), threshold {made.threshold_high}",
                wanted=f"rms weight {float(np.sqrt(np.mean(layer.weights**2))):.4g}",
                realised=f"rms error {made.weight_rms_error:.2g}",
            )
        )


def _realised(layers: list[Layer], quantised: list[Quantised]) -> dict[tuple[str, str], NDArray[Any]]:
    """What the chip computes with, in model units: the factors folded into the weights taken out again."""
    out: dict[tuple[str, str], NDArray[Any]] = {}
    for layer, q in zip(layers, quantised, strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            weights = np.where(layer.factor == 0, 0.0, q.realised_weights / layer.factor)
        out[layer.weight_node, "weight"] = layer.to_model(weights)
        if layer.bias is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                unit = np.where(layer.bias == 0, 1.0, layer.model_bias / layer.bias)
            out[layer.weight_node, "bias"] = q.realised_bias * unit
        out[layer.population, "v_threshold"] = np.full(layer.neuron_shape, q.realised_threshold_high)
    return out


def _losses(layers: list[Layer], quantised: list[Quantised]) -> Losses:
    """Weights and biases that became 0."""
    groups: list[Any] = []
    for layer, q in zip(layers, quantised, strict=True):
        wanted = layer.to_model(
            np.where(layer.factor == 0, 0.0, layer.weights / np.where(layer.factor == 0, 1, layer.factor))
        )
        kept = layer.to_model(q.weights.astype(np.float64))
        gone = np.flatnonzero((wanted != 0) & (kept == 0))
        groups.append((layer.weight_node, "weight", gone, wanted.ravel()[gone], np.zeros(gone.size), "rounded to 0"))
        if layer.bias is not None:
            gone = np.flatnonzero((layer.bias != 0) & (q.bias == 0))
            groups.append(
                (layer.weight_node, "bias", gone, layer.model_bias[gone], np.zeros(gone.size), "rounded to 0")
            )
    return Losses.build(groups)


# --- registers and places -------------------------------------------------------------------------------------------


def _monitored(model: Model, record: tuple[Probe, ...]) -> set[str]:
    """Populations whose spikes leave the chip: those that feed an Output, and those probed."""
    feeding = {p.source for p in model.projections() if p.target in model.outputs}
    return feeding | {probe.node for probe in record if probe.variable == "spikes"}


def _config(
    chip: chips.ChipTable,
    layers: list[Layer],
    quantised: list[Quantised],
    cores: tuple[int, ...],
    monitored: set[str],
) -> SpeckConfig:
    registers = [CnnLayerConfig() for _ in range(chip.n_cores)]
    core_of = {layer.population: core for layer, core in zip(layers, cores, strict=True)}
    for layer, q, core in zip(layers, quantised, cores, strict=True):
        targets = [
            Destination(enable=True, layer=core_of[other.population], pooling=other.pooling)
            for other in layers
            if other.source == layer.population
        ]
        state = np.zeros(layer.out_shape, np.int16) if q.state is None else q.state
        registers[core] = CnnLayerConfig(
            dimensions=_dimensions(layer),
            weights=q.weights.transpose(0, 1, 3, 2),
            biases=q.bias,
            leak_enable=bool(q.bias.any()),
            threshold_high=q.threshold_high,
            threshold_low=q.threshold_low,
            return_to_zero=layer.return_to_zero,
            neurons_initial_value=state.transpose(0, 2, 1),
            monitor_enable=layer.population in monitored,
            destinations=(*targets, *[Destination()] * (2 - len(targets))),  # type: ignore[arg-type]
        )
    return SpeckConfig(chip=chip.name, cnn_layers=tuple(registers), entry=cores[0])


def _dimensions(layer: Layer) -> Dimensions:
    (c_in, y_in, x_in), (c_out, y_out, x_out) = layer.in_shape, layer.out_shape
    return Dimensions(
        input_shape=FeatureMap(feature_count=c_in, size=SizeXY(x=x_in, y=y_in)),
        output_shape=FeatureMap(feature_count=c_out, size=SizeXY(x=x_out, y=y_out)),
        padding=PaddingXY(x=layer.padding[1], y=layer.padding[0]),
        stride=StrideXY(x=layer.stride[1], y=layer.stride[0]),
        kernel_size=layer.weights.shape[-1],
    )


def _coordinates(shape: tuple[int, ...]) -> dict[str, NDArray[np.int64]]:
    """index, feature, y, x and the neuron's address of every element of (features, y, x).

    The address is y << (bits of features + bits of columns) | x << bits of features | feature (the vendor's neuron
    read-out; sinabs 3.1.3 shifts y by the bits of the rows instead, which is wrong for maps that are not square).
    """
    features, height, width = (*shape, 1, 1)[:3]
    feature, y, x = (axis.ravel() for axis in np.indices((features, height, width)))
    bits_f, bits_x = (features - 1).bit_length(), (width - 1).bit_length()
    return {
        "index": np.arange(feature.size),
        "feature": feature,
        "y": y,
        "x": x,
        "neuron": (y << (bits_f + bits_x)) | (x << bits_f) | feature,
    }


def _placement(model: Model, layers: list[Layer], cores: tuple[int, ...]) -> Placement:
    parts: list[dict[str, Any]] = [
        {"node": name, "core": -1, **_coordinates(model.nodes[name].output_shape)} for name in model.inputs
    ]
    parts += [
        {"node": layer.population, "core": core, **_coordinates(layer.out_shape)}
        for layer, core in zip(layers, cores, strict=True)
    ]
    return Placement.build(parts, ("feature", "y", "x"))


def _fates(model: Model, reader: Reader) -> list[Fate]:
    fates = [Fate(node=name, fate="folded") for name in (*model.inputs, *model.outputs)]
    for layer in reader.layers:
        fates.append(Fate(node=layer.population, fate="chip"))
        for name in layer.folded:
            pool = isinstance(model.nodes[name], nodes.SumPool2d)
            onto = layer.source if pool else layer.population
            reason = "destination pooling" if pool else ""
            fates.append(Fate(node=name, fate="folded", onto=onto, reason=reason))
    for name in reader.host_nodes:
        fates.append(Fate(node=name, fate="host", reason="monitors tap before pooling: done at read-out"))
    return fates
