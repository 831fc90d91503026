"""Which core holds which layer: memory formulas and assignment.

Pure functions; a network that does not fit is data, not an error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Literal, NamedTuple

import attrs

from .chips import FAST_CORES, ChipTable

__all__ = [
    "Allocation",
    "Memory",
    "Problem",
    "ProblemKind",
    "Shortage",
    "address_words",
    "allocate",
    "memory_words",
]

MemoryName = Literal["kernel", "neuron", "bias"]


class Memory(NamedTuple):
    """Words of the three memories of a core: kernel words of 8 bits, neuron and bias words of 16 bits."""

    kernel: int
    neuron: int
    bias: int


def _bits(n: int) -> int:
    """ceil(log2 n), the width of an address field for n entries."""
    return (n - 1).bit_length()


def memory_words(f_in: int, f_out: int, kernel: int, out_size: tuple[int, int], bias: bool) -> Memory:
    """Words a layer needs by the published rule (Speck Dev Kit Datasheet; sinabs 3.1.3 gives the same numbers).

    `kernel` is the side of the square kernel, `out_size` (y, x) of the output map before pooling, `bias` whether the
    layer has one, be it all zeros. With L(n) = ceil(log2 n): kernel f_in * 2**(L(kernel**2) + L(f_out)), neuron
    f_out * 2**(L(y) + L(x)), bias f_out or 0. ValueError for sizes below 1.
    """
    _check(f_in, f_out, kernel, out_size)
    y, x = out_size
    return Memory(
        kernel=f_in << (_bits(kernel * kernel) + _bits(f_out)),
        neuron=f_out << (_bits(y) + _bits(x)),
        bias=f_out if bias else 0,
    )


def address_words(f_in: int, f_out: int, kernel: int, out_size: tuple[int, int], bias: bool) -> Memory:
    """Words up to the last address used, by the address layout; arguments and errors as `memory_words`.

    Kernel addresses are [kernel position | output feature | input feature] with both feature fields padded to powers of
    two (speck-tools 0.1.3, flash layout), neuron addresses [y | x | feature] with x and feature padded (sinabs 3.1.3,
    neuron read-out). For feature counts that are no powers of two the two rules differ in either direction; which one
    the chip's limits follow is not published. Allocate by `memory_words`; where only this figure exceeds a core, warn.
    """
    _check(f_in, f_out, kernel, out_size)
    y, x = out_size
    in_bits, out_bits = _bits(f_in), _bits(f_out)
    return Memory(
        kernel=((kernel * kernel - 1) << (in_bits + out_bits)) + ((f_out - 1) << in_bits) + f_in,
        neuron=((y - 1) << (_bits(x) + out_bits)) + ((x - 1) << out_bits) + f_out,
        bias=f_out if bias else 0,
    )


def _check(f_in: int, f_out: int, kernel: int, out_size: tuple[int, int]) -> None:
    if min(f_in, f_out, kernel, *out_size) < 1:
        raise ValueError(f"sizes below 1: f_in {f_in}, f_out {f_out}, kernel {kernel}, output {out_size}")


@attrs.frozen
class Shortage:
    """One memory of one core that is too small for a layer."""

    core: int
    memory: MemoryName
    needed: int
    available: int


class ProblemKind(StrEnum):
    """Why layers could not be placed."""

    FITS_NOWHERE = "fits_nowhere"
    """One layer fits none of the cores it may use: `shortages` for every core in `cores`."""
    COMPETITION = "competition"
    """`needed` layers can only live on `available` cores, which are fewer; each of them fits some of these cores."""
    NOT_A_CORE = "not_a_core"
    """A layer was asked onto a core the chip does not have."""
    DUPLICATE = "duplicate"
    """Several layers were asked onto one core."""
    RESERVED = "reserved"
    """A layer was asked onto a reserved core."""
    NOT_A_LAYER = "not_a_layer"
    """A core was requested for a layer that does not exist."""
    CONTRADICTION = "contradiction"
    """The ordering and the fixed cores name different cores for a layer."""
    WRONG_LENGTH = "wrong_length"
    """The ordering names `available` cores for `needed` layers."""


@attrs.frozen(kw_only=True)
class Problem:
    """One reason why there is no assignment, with the evidence."""

    kind: ProblemKind
    layers: tuple[int, ...]
    cores: tuple[int, ...] = ()
    """Cores concerned: competed for, asked for, or (fits_nowhere) tried."""
    shortages: tuple[Shortage, ...] = ()
    blocked: tuple[int, ...] = ()
    """Cores closed to all these layers by `fixed`, `reserved` or the ordering, whatever their memory."""
    needed: int = 0
    available: int = 0


@attrs.frozen(kw_only=True)
class Allocation:
    """An assignment, or every reason against one."""

    cores: tuple[int, ...] | None
    """Core of each layer; None if the layers do not fit."""
    problems: tuple[Problem, ...]

    @property
    def fits(self) -> bool:
        """True if every layer has a core."""
        return self.cores is not None


def allocate(
    needs: Sequence[tuple[int, int, int]],
    chip: ChipTable,
    ordering: Literal["auto"] | Sequence[int] = "auto",
    fixed: Mapping[int, int] | None = None,
    reserved: Collection[int] = (),
    *,
    entries: Collection[int] = (),
    load: Sequence[float] | None = None,
) -> Allocation:
    """Assign every layer a core of its own with enough of all three memories.

    `needs` are (kernel, neuron, bias) words per layer, in network order. `ordering` "auto" finds an assignment whenever
    there is one. Among all, the cores with parallel computing (`chips.FAST_CORES`) go to the layers in `entries`, those
    fed by an Input, then to the others; within both, the layer with the greatest `load` comes first (synaptic
    operations in any unit; None: all alike), and the earlier of equals. Then the rest is the first in lexicographic
    order: the first layer gets the lowest core that leaves room for all others, then the second, and so on.
    A sequence puts layer i onto its i-th core. `fixed` (layer -> core) holds single layers in place; `reserved` cores
    are left alone. What is asked for is checked like everything else. ValueError for another `ordering` or a `load` of
    another length.
    """
    if load is not None and len(load) != len(needs):
        raise ValueError(f"load has {len(load)} values for {len(needs)} layers")
    requests: dict[int, int] = dict(fixed or {})
    problems: list[Problem] = []
    if not isinstance(ordering, str):
        if len(ordering) != len(needs):
            problems.append(
                Problem(
                    kind=ProblemKind.WRONG_LENGTH,
                    layers=(),
                    cores=tuple(ordering),
                    needed=len(needs),
                    available=len(ordering),
                )
            )
        for layer, core in enumerate(ordering[: len(needs)]):
            if requests.setdefault(layer, core) != core:
                wanted = (requests[layer], core)
                problems.append(Problem(kind=ProblemKind.CONTRADICTION, layers=(layer,), cores=wanted))
    elif ordering != "auto":
        raise ValueError(f"ordering is 'auto' or a sequence of cores, not {ordering!r}")
    problems += _bad_requests(requests, len(needs), chip.n_cores, reserved)
    candidates, blocked = _candidates(needs, chip, requests, reserved)
    refused = {layer for problem in problems for layer in problem.layers}
    for layer, need in enumerate(needs):
        if not candidates[layer] and layer not in refused:
            tried = tuple(core for core in range(chip.n_cores) if core not in blocked[layer])
            shortages = tuple(shortage for core in tried for shortage in _shortages(need, chip, core))
            problems.append(
                Problem(
                    kind=ProblemKind.FITS_NOWHERE,
                    layers=(layer,),
                    cores=tried,
                    shortages=shortages,
                    blocked=blocked[layer],
                )
            )
    problems += _competitions(candidates, blocked)
    if problems:
        return Allocation(cores=None, problems=tuple(problems))
    urgent = sorted(range(len(needs)), key=lambda i: (i not in entries, -load[i] if load is not None else 0.0, i))
    return Allocation(cores=_first_assignment(_fast_first(candidates, urgent)), problems=())


def _bad_requests(requests: Mapping[int, int], n_layers: int, n_cores: int, reserved: Collection[int]) -> list[Problem]:
    """Problems with single requested cores."""
    problems = []
    by_core: dict[int, list[int]] = {}
    for layer, core in sorted(requests.items()):
        if not 0 <= layer < n_layers:
            problems.append(Problem(kind=ProblemKind.NOT_A_LAYER, layers=(layer,), cores=(core,)))
        elif not 0 <= core < n_cores:
            problems.append(Problem(kind=ProblemKind.NOT_A_CORE, layers=(layer,), cores=(core,), available=n_cores))
        elif core in reserved:
            problems.append(Problem(kind=ProblemKind.RESERVED, layers=(layer,), cores=(core,)))
        else:
            by_core.setdefault(core, []).append(layer)
    for core, layers in sorted(by_core.items()):
        if len(layers) > 1:
            problems.append(Problem(kind=ProblemKind.DUPLICATE, layers=tuple(layers), cores=(core,)))
    return problems


def _shortages(need: tuple[int, int, int], chip: ChipTable, core: int) -> list[Shortage]:
    """Memories of `core` that are too small for `need`."""
    names: tuple[MemoryName, ...] = ("kernel", "neuron", "bias")
    return [
        Shortage(core, name, needed, available)
        for name, needed, available in zip(names, need, chip.memory(core), strict=True)
        if needed > available
    ]


def _candidates(
    needs: Sequence[tuple[int, int, int]], chip: ChipTable, requests: Mapping[int, int], reserved: Collection[int]
) -> tuple[list[list[int]], list[tuple[int, ...]]]:
    """Per layer the cores it may use and fits, and the cores it may not use because of requests; both ascending."""
    candidates, blocked = [], []
    for layer, need in enumerate(needs):
        taken = {core for other, core in requests.items() if other != layer and 0 <= other < len(needs)} | set(reserved)
        if layer in requests:
            taken |= set(range(chip.n_cores)) - {requests[layer]}
        blocked.append(tuple(core for core in range(chip.n_cores) if core in taken))
        candidates.append(
            [core for core in range(chip.n_cores) if core not in taken and not _shortages(need, chip, core)]
        )
    return candidates, blocked


def _matching(candidates: Sequence[Sequence[int]]) -> dict[int, int]:
    """A maximum matching by augmenting paths, core -> layer."""
    holder: dict[int, int] = {}

    def place(layer: int, seen: set[int]) -> bool:
        for core in candidates[layer]:
            if core not in seen:
                seen.add(core)
                if core not in holder or place(holder[core], seen):
                    holder[core] = layer
                    return True
        return False

    for layer in range(len(candidates)):
        place(layer, set())
    return holder


def _fast_first(candidates: Sequence[Sequence[int]], urgent: Sequence[int]) -> list[list[int]]:
    """Candidates narrowed to the fast cores for the most urgent layers that can have them with all others placed."""
    narrowed = [list(cores) for cores in candidates]
    given = 0
    for layer in urgent:
        fast = [core for core in narrowed[layer] if core in FAST_CORES]
        trial = [*narrowed[:layer], fast, *narrowed[layer + 1 :]]
        if given < len(FAST_CORES) and fast and len(_matching(trial)) == len(trial):
            narrowed = trial
            given += 1
    return narrowed


def _first_assignment(candidates: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The lexicographically smallest complete assignment; there must be one."""
    remaining = [list(cores) for cores in candidates]
    for layer, cores in enumerate(candidates):
        for core in cores:
            trial = [
                [core] if other == layer else [c for c in options if c != core]
                for other, options in enumerate(remaining)
            ]
            if len(_matching(trial)) == len(trial):
                remaining = trial
                break
    return tuple(cores[0] for cores in remaining)


def _competitions(candidates: Sequence[Sequence[int]], blocked: Sequence[tuple[int, ...]]) -> list[Problem]:
    """Hall violators among the layers that fit some core: one problem for each group of layers with too few cores.

    From the layers a maximum matching leaves out, follow alternating paths: the layers reached and their cores are the
    bottleneck, whatever matching was found (Dulmage-Mendelsohn decomposition). Groups that share no core are separate.
    """
    holder = _matching(candidates)
    placed = set(holder.values())
    groups: list[tuple[set[int], set[int]]] = []
    for start in range(len(candidates)):
        if start in placed or not candidates[start]:
            continue
        layers, cores, front = {start}, set[int](), [start]
        while front:
            for core in candidates[front.pop()]:
                if core not in cores:
                    cores.add(core)
                    layers.add(holder[core])  # an unheld core here would be an augmenting path
                    front.append(holder[core])
        joined = [group for group in groups if group[1] & cores]
        for group in joined:
            layers |= group[0]
            cores |= group[1]
            groups.remove(group)
        groups.append((layers, cores))
    return [
        Problem(
            kind=ProblemKind.COMPETITION,
            layers=tuple(sorted(layers)),
            cores=tuple(sorted(cores)),
            blocked=tuple(sorted(set[int].intersection(*(set(blocked[layer]) for layer in layers)))),
            needed=len(layers),
            available=len(cores),
        )
        for layers, cores in sorted(groups, key=lambda group: min(group[0]))
    ]
