"""What the allocator is asked for: populations of logical neurons, external sources, and projections between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_brainscales2.limits import CIRCUITS, CIRCUITS_PER_NEURON, HEMISPHERES
from hal_brainscales2.report import Violation
from hal_brainscales2.weights import Split, rows_needed, split

Ints = NDArray[Any]
EXTERNAL = -1
"""In place of a population: the external sources."""
Shape = Literal["pairs", "row"]
Receptors = Literal["both", "excitatory", "inhibitory"]
SIGNS: dict[str, tuple[int, ...]] = {"both": (1, -1), "excitatory": (1,), "inhibitory": (-1,)}


@attrs.frozen(eq=False)
class Population:
    """Logical neurons of one shape, in order.

    circuits: of each neuron, joined; they add fan-in. shape: "pairs" fills them alternately top and bottom over
    neighbouring columns, "row" side by side in one hemisphere. hemisphere: where to be, if it matters (several circuits
    then lie in a row). places: (size, circuits) by hand, the first of each neuron sends its spikes. recorded: spikes
    are sent to the host.
    """

    size: int
    circuits: int = 1
    hemisphere: int | None = None
    shape: Shape = "pairs"
    places: Ints | None = None
    recorded: bool = True
    name: str = ""


@attrs.frozen(eq=False)
class Projection:
    """Connections (m,) each: from index of source to index of target, with a signed integer weight.

    source: a population or EXTERNAL. receptors: of what sign weights may be, which counts where all pairs take
    synapses. copies: rows that a weight may be spread over, by default as many as the largest needs. among: first and
    number of the sources that it is about, where all pairs take synapses; by default all of the population.
    """

    source: int
    target: int
    source_index: Ints
    target_index: Ints
    weight: Ints
    receptors: Receptors = "both"
    copies: int | None = None
    among: tuple[int, int] | None = None


def matrix(source: int, target: int, weights: Any, **options: Any) -> Projection:
    """The projection of a matrix of integers (sources, targets), zeros included."""
    weights = np.asarray(weights)
    index = np.indices(weights.shape)
    return Projection(source, target, index[0].ravel(), index[1].ravel(), weights.ravel(), **options)


@attrs.frozen(eq=False)
class Network:
    """Sources are external ones 0..n_external-1, then all neurons; targets are neurons, by population."""

    n_external: int
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    denied: tuple[int, ...] = ()
    """Circuits that only those placed by hand may have."""

    @property
    def offsets(self) -> Ints:
        """(populations + 1,): the first neuron of each."""
        return np.concatenate([[0], np.cumsum([population.size for population in self.populations])]).astype(np.int64)

    @property
    def size(self) -> int:
        """Neurons."""
        return int(self.offsets[-1])

    def name(self, population: int) -> str:
        """Of a population, or of the external sources."""
        if population == EXTERNAL:
            return "external sources"
        return self.populations[population].name or f"population {population}"

    def sources(self, population: int) -> int:
        """How many a population, or the external sources, are."""
        return self.n_external if population == EXTERNAL else self.populations[population].size

    def __attrs_post_init__(self) -> None:
        """Raises ValueError with all that is wrong."""
        problems = [*_populations(self), *_projections(self)]
        if self.n_external < 0:
            problems.insert(0, f"external sources: {self.n_external} of them; give 0 or more")
        if problems:
            raise ValueError("; ".join(problems))


def _populations(network: Network) -> Iterator[str]:
    for k, population in enumerate(network.populations):
        name = network.name(k)
        if population.size < 1:
            yield f"{name}: {population.size} neurons; give 1 or more"
        if not 1 <= population.circuits <= CIRCUITS_PER_NEURON:
            yield f"{name}: {population.circuits} circuits per neuron; give 1 to {CIRCUITS_PER_NEURON}"
        if population.hemisphere not in (None, *range(HEMISPHERES)):
            yield f"{name}: hemisphere {population.hemisphere}; give 0, 1 or None"
        if population.shape not in ("pairs", "row"):
            yield f"{name}: shape {population.shape!r}; give pairs or row"
        if population.places is None:
            continue
        shape = (population.size, population.circuits)
        if population.places.shape != shape or not np.issubdtype(population.places.dtype, np.integer):
            yield f"{name}: places are {population.places.dtype} of shape {population.places.shape}, not {shape}"
        elif ((population.places < 0) | (population.places >= CIRCUITS)).any():
            yield f"{name}: places {population.places.min()}..{population.places.max()}; circuits are 0..{CIRCUITS - 1}"


def _projections(network: Network) -> Iterator[str]:
    count = len(network.populations)
    for k, projection in enumerate(network.projections):
        name = f"projection {k}"
        if not (EXTERNAL <= projection.source < count and 0 <= projection.target < count):
            yield f"{name}: from {projection.source} to {projection.target}; there are {count} populations"
            continue
        arrays = [projection.source_index, projection.target_index, projection.weight]
        if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 1:
            yield f"{name}: indices and weights have shapes {[array.shape for array in arrays]}; give one length"
            continue
        if not all(np.issubdtype(array.dtype, np.integer) for array in arrays):
            yield f"{name}: indices and weights are {[str(array.dtype) for array in arrays]}; give integers"
            continue
        first, among = projection.among or (0, network.sources(projection.source))
        if first < 0 or among < 0 or first + among > network.sources(projection.source):
            yield f"{name}: among {projection.among}; there are {network.sources(projection.source)} sources"
        for what, index, low, size in (
            ("source", projection.source_index, first, among),
            ("target", projection.target_index, 0, network.sources(projection.target)),
        ):
            if index.size and (index.min() < low or index.max() >= low + size):
                yield f"{name}: {what} index {index.min()}..{index.max()}; there are {low}..{low + size - 1}"
        if projection.receptors not in SIGNS:
            yield f"{name}: receptors {projection.receptors!r}; give one of {', '.join(SIGNS)}"
        elif not set(np.sign(projection.weight).tolist()) <= {0, *SIGNS[projection.receptors]}:
            yield f"{name}: weights of both signs, but its receptors are {projection.receptors}; give both"
        if projection.copies is not None and projection.copies < 1:
            yield f"{name}: {projection.copies} copies; give 1 or more"


@attrs.frozen(eq=False)
class Units:
    """Synapses to be had, (u,) each: source and target as in `Network`, sign +-1, weight 0..63.

    connection: which one it realises, counted over all projections; -1 is a synapse of a pair without one.
    """

    source: Ints
    target: Ints
    sign: Ints
    weight: Ints
    connection: Ints


def units(network: Network, dense: bool) -> tuple[Units, tuple[Violation, ...]]:
    """Synapses of a network, and weights that find no room in the rows they may take.

    dense: all pairs of a projection take a synapse of each sign of its receptors, whatever their weight; otherwise only
    weights other than 0 take one, of their sign. Raises ValueError where a pair is given twice and all pairs are
    wanted.
    """
    parts, violations, first = [], [], 0
    for k, projection in enumerate(network.projections):
        copies = projection.copies or max(int(rows_needed(projection.weight).max(initial=0)), 1)
        pieces = split(projection.weight, copies)
        if pieces.left.any():
            violations.append(_too_large(network, k, pieces, copies))
        made = (_dense if dense else _sparse)(network, k, pieces.rows)
        parts.append((*made[:4], np.where(made[4] < 0, -1, made[4] + first)))
        first += projection.weight.size
    columns = [np.concatenate([part[c] for part in parts] or [np.zeros(0)]).astype(np.int64) for c in range(5)]
    return Units(*columns), tuple(violations)


def _too_large(network: Network, k: int, pieces: Split, copies: int) -> Violation:
    projection = network.projections[k]
    worst = int(np.argmax(np.abs(pieces.left)))
    source = f"{network.name(projection.source)} {projection.source_index[worst]}"
    target = f"{network.name(projection.target)} {projection.target_index[worst]}"
    where = (
        f"projection {k}, weight {projection.weight[worst]} from {source} to {target}: rows; "
        f"{abs(int(pieces.left[worst]))} is left, {np.count_nonzero(pieces.left)} such"
    )
    return Violation("weight", where, pieces.needed, copies, (f"{pieces.needed} copies", "a smaller scale"))


def _globals(network: Network, projection: Projection, source: Ints, target: Ints) -> tuple[Ints, Ints]:
    offsets = network.offsets
    start = 0 if projection.source == EXTERNAL else network.n_external + offsets[projection.source]
    return source + start, target + offsets[projection.target]


def _sparse(network: Network, k: int, rows: Ints) -> tuple[Ints, ...]:
    projection = network.projections[k]
    which, copy = np.nonzero(rows.T)
    weight = rows[copy, which]
    source, target = _globals(network, projection, projection.source_index[which], projection.target_index[which])
    return source, target, np.sign(weight), np.abs(weight), which


def _dense(network: Network, k: int, rows: Ints) -> tuple[Ints, ...]:
    projection = network.projections[k]
    first, among = projection.among or (0, network.sources(projection.source))
    shape = among, network.sources(projection.target)
    pair = (projection.source_index - first) * shape[1] + projection.target_index
    if np.unique(pair).size < pair.size:
        raise ValueError(f"projection {k}: pairs are given twice; add their weights where all pairs take synapses")
    which = np.full(shape[0] * shape[1], -1, np.int64)
    which[pair] = np.arange(pair.size)
    signs = np.array(SIGNS[projection.receptors])
    weights = np.zeros((which.size, len(rows)), np.int64)
    weights[pair] = rows.T
    all_pairs, copies = np.arange(which.size)[:, None, None], np.ones((1, 1, len(rows)), np.int64)
    sign = signs[None, :, None] * copies
    full = np.broadcast_shapes(all_pairs.shape, sign.shape)
    weight = np.maximum(weights[:, None, :] * sign, 0)
    pairs, sign = np.broadcast_to(all_pairs, full).ravel(), np.broadcast_to(sign, full).ravel()
    source, target = _globals(network, projection, first + pairs // shape[1], pairs % shape[1])
    # a synapse without weight belongs to its connection all the same: it may be given one later
    return source, target, sign, weight.ravel(), which[pairs]
