"""Which layer goes to which core: limits and memories as rows, and the allocator's reasons in words."""

from __future__ import annotations

import attrs
import numpy as np

from hal.fit import Finding, FitRow
from hal.mapping import Mapping
from hal_dynapcnn import chips
from hal_dynapcnn.allocator import Allocation, Memory, Problem, ProblemKind, allocate, memory_words
from hal_dynapcnn.layers import Layer
from hal_dynapcnn.options import SpeckMapOptions


def memory(layer: Layer) -> Memory:
    """Words of the three memories a layer takes, by the published formula."""
    return memory_words(
        layer.in_shape[0], layer.core_shape[0], layer.weights.shape[-1], layer.out_shape[1:], layer.bias is not None
    )


def synops_per_event(layer: Layer) -> float:
    """Synaptic updates one input event causes, averaged over the input map, edges excluded.

    f_out * k * k / (sx * sy) inside a large map; a dense layer, whose kernel covers its map, has f_out.
    """
    side = layer.weights.shape[-1]
    reached = 1.0
    for axis in (0, 1):
        size, out = layer.in_shape[1 + axis], layer.out_shape[1 + axis]
        seen = np.arange(out)[:, None] * layer.stride[axis] + np.arange(side) - layer.padding[axis]
        reached *= np.count_nonzero((seen >= 0) & (seen < size)) / size
    return layer.core_shape[0] * reached


def limits(layer: Layer) -> list[FitRow]:
    """The dimension limits of one core."""
    c_in, *size_in = layer.in_shape
    c_out, *size_out = layer.core_shape
    table = (
        ("input size", max(size_in), chips.INPUT_SIZE_MAX, "pixels", "crop or pool the input"),
        ("output size", max(size_out), chips.OUTPUT_SIZE_MAX, "pixels", "use a stride"),
        ("features", max(c_in, c_out), chips.FEATURES_MAX, "features", "split the layer"),
        ("kernel size", layer.weights.shape[-1], chips.KERNEL_MAX, "pixels", "pool before this layer"),
        ("padding", max(layer.padding), chips.PADDING_MAX, "pixels", "enlarge the input instead"),
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


def as_before(options: SpeckMapOptions, like: Mapping, layers: list[Layer]) -> SpeckMapOptions:
    """Ask for the cores of an earlier mapping; what the user asks for besides that stands, and may contradict it."""
    if options.chip_layers_ordering != "auto":
        return options
    held = {
        layer.population: int(like.placement.where(layer.population)["core"][0])
        for layer in layers
        if layer.population in like.placement.nodes
    }
    return attrs.evolve(options, fixed_cores={**held, **options.fixed_cores})


def assign(
    needs: list[Memory],
    chip: chips.ChipTable,
    options: SpeckMapOptions,
    layers: list[Layer],
    inputs: tuple[str, ...],
) -> tuple[Allocation, list[Finding]]:
    """Cores, and what is to be said when there are none. inputs: names of the model's Inputs."""
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
    allocation = allocate(
        needs,
        chip,
        options.chip_layers_ordering,
        fixed,
        options.reserved_cores,
        entries=[i for i, layer in enumerate(layers) if any(feed.source in inputs for feed in layer.feeds)],
        load=[synops_per_event(layer) for layer in layers],
    )
    said += [
        Finding(
            level="refused",
            node="",
            field="reserved_cores",
            reason=f"the chip has no core {core}",
            wanted=core,
            realised=f"0..{chip.n_cores - 1}",
        )
        for core in options.reserved_cores
        if core >= chip.n_cores
    ]
    field = "fixed_cores" if options.chip_layers_ordering == "auto" else "chip_layers_ordering"
    return allocation, said + [_finding(problem, layers, needs, chip, field) for problem in allocation.problems]


def _finding(problem: Problem, layers: list[Layer], needs: list[Memory], chip: chips.ChipTable, field: str) -> Finding:
    """A reason of the allocator in words: which layers, which cores, by how much."""
    names = [layers[i].population for i in problem.layers if i < len(layers)]
    cores = ", ".join(map(str, problem.cores)) or "none"
    asked = "ask for other cores, or leave it to chip_layers_ordering='auto'"
    blocked = f"; cores {', '.join(map(str, problem.blocked))} were ruled out by options" if problem.blocked else ""
    who = names[0] if len(names) == 1 else ""
    if problem.kind is ProblemKind.FITS_NOWHERE:
        least = _nearest(problem)
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
    return _no(who, field, texts[problem.kind], asked)


def _nearest(problem: Problem) -> int | None:
    """Of the cores a layer does not fit, the one it misses by the fewest words."""
    return min(
        problem.cores,
        key=lambda core: sum(s.needed - s.available for s in problem.shortages if s.core == core),
        default=None,
    )


def _about_bias(problem: Problem, layers: list[Layer]) -> str:
    """A hint where biases that are all zero may be what takes the room."""
    zero = any(layers[i].bias is not None and not np.any(layers[i].bias) for i in problem.layers)
    return "drop_zero_bias=True frees the memory of biases that are all zero; else " if zero else ""


def _no(node: str, field: str, reason: str, hint: str) -> Finding:
    return Finding(level="refused", node=node, field=field, reason=reason, hint=hint)


def _words(need: Memory) -> str:
    return f"{need.kernel} kernel, {need.neuron} neuron, {need.bias} bias words"


def memory_rows(
    layers: list[Layer], needs: list[Memory], allocation: Allocation, chip: chips.ChipTable
) -> list[FitRow]:
    """Memory needed of what there is: on the layer's core; without one, on the nearest of those it does not fit.

    A layer that has no core since others compete for it is compared with the largest.
    """
    nearest = {
        i: _nearest(problem)
        for problem in allocation.problems
        if problem.kind is ProblemKind.FITS_NOWHERE
        for i in problem.layers
    }
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
            core = allocation.cores[i] if allocation.cores else nearest.get(i)
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
