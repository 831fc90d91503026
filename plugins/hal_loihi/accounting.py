"""What blocks use of a core: compartments, axons, synapse memory, registers. Pure functions of network and blocks.

Synapse memory holds lists of synapses. A list of N entries is cut into groups of 64; a group of k entries takes
ceil((k * entry bits + 10) / 64) words of 64 bits. A population axon points to one list for each source channel; input
axons whose lists are equal share them. All of it equals nengo-loihi 1.1.0 on the layers both know.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, cast

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from hal_loihi import limits
from hal_loihi.limits import CoreLimits
from hal_loihi.topology import Block, Connection, Conv, Dense, Ints, Network, SynapseFormat

__all__ = ["RESOURCES", "Account", "Accountant", "Contents", "Part", "account", "index_bits", "list_words"]

RESOURCES: tuple[str, ...] = tuple(field.name for field in attrs.fields(CoreLimits))
"""Columns of a usage table, in the order of the fields of CoreLimits."""

FormatKey = tuple[SynapseFormat, str, int]


def list_words(entries: Any, entry_bits: int) -> Any:
    """Memory words of lists with that many entries (an integer or an array) of `entry_bits` each."""
    full, rest = np.divmod(np.asarray(entries, np.int64), limits.LIST_GROUP)

    def words(count: Any) -> Any:
        return -(-(count * entry_bits + limits.LIST_HEADER_BITS) // limits.MEMORY_WORD_BITS)

    return full * words(limits.LIST_GROUP) + np.where(rest > 0, words(rest), 0)


def index_bits(largest: int) -> int:
    """Bits of the index field that holds `largest`; 12, the widest there is, for anything beyond."""
    needed = int(largest).bit_length()
    return next((bits for bits in limits.INDEX_BITS if bits >= needed), limits.INDEX_BITS[-1])


@attrs.frozen(eq=False)
class Part:
    """What one connection needs at one target block.

    axons: ids of the source compartments (Dense) or input pixels (Conv) that reach the block, None for all of them;
    count: how many; words: of synapse memory; format: None where no axon arrives; unaligned: axons with a base that
    pop16 cannot have.
    """

    axons: Ints | None
    count: int
    words: int
    format: FormatKey | None
    unaligned: int = 0


@attrs.frozen
class Contents:
    """What decides which blocks may share a core."""

    compartment_profiles: frozenset[int | None]
    threshold_profiles: frozenset[int | None]
    formats: frozenset[FormatKey]
    settings: Hashable
    alone: bool
    """Population axons leave or reach the block, so nothing else may be on its core."""
    based: bool
    """Synapses arrive, so the first compartment must be a possible compartment base."""


@attrs.frozen(eq=False)
class Account:
    """usage: (blocks, RESOURCES) integers. flows: (blocks, blocks) sparse, target axons from row to column."""

    network: Network
    blocks: tuple[Block, ...]
    usage: Ints
    flows: Any
    contents: tuple[Contents, ...]

    def column(self, resource: str) -> Ints:
        """(blocks,) amounts of one resource; ValueError for a name not in RESOURCES."""
        if resource not in RESOURCES:
            raise ValueError(f"no resource {resource!r}; there are {', '.join(RESOURCES)}")
        return self.usage[:, RESOURCES.index(resource)]


def account(network: Network, blocks: Sequence[Block], *, count_unused: bool = False) -> Account:
    """Use of every block. Each compartment of each layer must be in exactly one block, or ValueError.

    count_unused: count input axons that reach nothing where a layer is in one piece, as nengo-loihi does.
    """
    return Accountant(network, count_unused=count_unused).account(blocks)


class Accountant:
    """Counts for one network. Keeps what it has counted of blocks of the same form, so that trying tiles is cheap."""

    def __init__(self, network: Network, *, count_unused: bool = False) -> None:
        self.network = network
        self.count_unused = count_unused
        self.layers = {layer.name: layer for layer in network.layers}
        self.into: dict[str, list[Connection]] = {name: [] for name in self.layers}
        self.out_of: dict[str, list[Connection]] = {name: [] for name in self.layers}
        self._populations: set[str] = set()
        self._cache: dict[Hashable, Part] = {}
        for connection in network.connections:
            self.into[connection.target].append(connection)
            if connection.source in self.out_of:
                self.out_of[connection.source].append(connection)
            if connection.pop_type:
                self._populations |= {connection.source, connection.target}

    def sources(self, connection: Connection) -> int:
        """Number of axon ids of a connection: source compartments, or input pixels."""
        if isinstance(connection, Conv):
            return connection.in_shape[0] * connection.in_shape[1]
        layers = (*self.network.inputs, *self.network.layers)
        return next(layer.size for layer in layers if layer.name == connection.source)

    def part(self, connection: Connection, block: Block) -> Part:
        """What the connection needs at a block of its target."""
        if isinstance(connection, Dense):
            part = self._dense(connection, block)
        elif block.shape == connection.out_shape:
            part = self._conv_box(connection, block)
        else:
            part = _conv(connection, block.compartments)
        if self.count_unused and block.size == self.layers[block.layer].size:
            return attrs.evolve(part, axons=None, count=self.sources(connection))
        return part

    def _dense(self, dense: Dense, block: Block) -> Part:
        if dense.pattern is not None:
            return _patterned(dense, block.compartments)
        n = self.sources(dense)
        if dense.format.compression == "sparse":
            bits = index_bits(block.size - 1)
            words, form = n * list_words(block.size, dense.format.entry_bits + bits), (dense.format, "sparse", bits)
        else:
            words, form = n * list_words(block.size, dense.format.entry_bits), (dense.format, "dense", 0)
        return Part(None, n, int(words), form)

    def _conv_box(self, conv: Conv, block: Block) -> Part:
        """Lists depend on the form of the box and on what the image's border cuts off, not on where the box is."""
        (y0, y1), (x0, x1), _ = block.box
        rows = _inside(np.arange(y0, y1), conv.kernel[0], conv.stride[0], conv.pad_top, conv.in_shape[0])
        columns = _inside(np.arange(x0, x1), conv.kernel[1], conv.stride[1], conv.pad_left, conv.in_shape[1])
        (top, bottom), (left, right) = conv.rows(y0, y1), conv.columns(x0, x1)
        cut = (max(-top, 0), max(bottom - conv.in_shape[0] + 1, 0), max(-left, 0), max(right - conv.in_shape[1] + 1, 0))
        key = (id(conv), block.extent, cut)
        if key not in self._cache:
            self._cache[key] = _conv(conv, block.compartments)
        axons = (rows[:, None] * conv.in_shape[1] + columns).ravel()
        return attrs.evolve(self._cache[key], axons=axons)

    def block(self, block: Block) -> tuple[Ints, Contents, list[Part]]:
        """Row of the usage table, still without output axons, and the parts of the connections into the block."""
        layer = self.layers[block.layer]
        connections = self.into[block.layer]
        parts = [self.part(connection, block) for connection in connections]
        wide = [part for part, connection in zip(parts, connections, strict=True) if connection.pop_type == 16]
        atoms = [c.in_shape[2] for c in connections if isinstance(c, Conv) and c.pop_type == 16]
        contents = Contents(
            _distinct(layer.compartment_profiles, block),
            _distinct(layer.threshold_profiles, block),
            frozenset(part.format for part in parts if part.format is not None),
            layer.settings,
            block.layer in self._populations,
            bool(connections),
        )
        amounts = {
            "compartments": block.size,
            "in_axons": sum(part.count for part in parts),
            "synapse_bits": sum(part.words for part in parts) * limits.MEMORY_WORD_BITS,
            "compartment_profiles": len(contents.compartment_profiles),
            "threshold_profiles": len(contents.threshold_profiles),
            "synapse_formats": len(contents.formats),
            "pop16_in_axons": sum(part.count for part in wide),
            "pop16_atoms": max(atoms, default=0),
            "pop16_unaligned": sum(part.unaligned for part in wide),
        }
        return np.array([amounts.get(name, 0) for name in RESOURCES], np.int64), contents, parts

    def reached(self, connection: Connection, sources: Sequence[Block], targets: Sequence[Part]) -> Ints:
        """(sources,) sum over the targets of `flow`, without making it."""
        n = self.sources(connection)
        times = np.full(n, sum(part.axons is None for part in targets), np.int64)
        some = [part.axons for part in targets if part.axons is not None]
        times += np.bincount(np.concatenate([np.empty(0, np.int64), *some]), minlength=n)
        return np.array([times[self._members(connection, block)].sum() for block in sources], np.int64)

    def flow(self, connection: Connection, sources: Sequence[Block], targets: Sequence[Part]) -> Any:
        """(sources, targets) sparse: distinct input axons of each target part that each source block reaches."""
        members = [self._members(connection, block) for block in sources]
        if all(part.axons is None for part in targets):
            counts = np.array([[len(ids)] for ids in members], np.int64)
            return sparse.csr_array(np.repeat(counts, len(targets), axis=1))
        n = self.sources(connection)
        every = np.arange(n, dtype=np.int64)
        reached = [every if part.axons is None else part.axons for part in targets]
        return sparse.csr_array(_incidence(members, n) @ _incidence(reached, n).T)

    def _members(self, connection: Connection, block: Block) -> Ints:
        """Axon ids of a source block."""
        if isinstance(connection, Dense):
            return block.compartments
        if block.shape == connection.in_shape:
            rows, columns = (np.arange(*side, dtype=np.int64) for side in block.box[:2])
            return cast(Ints, (rows[:, None] * connection.in_shape[1] + columns).ravel())
        return np.unique(block.compartments // connection.in_shape[2])

    def account(self, blocks: Sequence[Block]) -> Account:
        """As the function of that name."""
        by_layer = self._by_layer(blocks)
        rows = [self.block(block) for block in blocks]
        parts = [part for _, _, part in rows]
        usage = np.array([row for row, _, _ in rows], np.int64).reshape(len(blocks), len(RESOURCES))
        flows = sparse.csr_array((len(blocks), len(blocks)), dtype=np.int64)
        for name, connections in self.into.items():
            targets = by_layer[name]
            for k, connection in enumerate(connections):
                if connection.source not in self.out_of:
                    continue
                sources = by_layer[connection.source]
                flow = self.flow(connection, [blocks[i] for i in sources], [parts[i][k] for i in targets]).tocoo()
                slots = limits.AXON_SLOTS[connection.pop_type]
                usage[sources, RESOURCES.index("out_axons")] += slots * flow.sum(axis=1)
                where = np.array(sources)[flow.row], np.array(targets)[flow.col]
                flows = flows + sparse.csr_array((flow.data, where), shape=flows.shape)
        return Account(self.network, tuple(blocks), usage, flows, tuple(contents for _, contents, _ in rows))

    def _by_layer(self, blocks: Sequence[Block]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {name: [] for name in self.layers}
        for i, block in enumerate(blocks):
            found.setdefault(block.layer, []).append(i)
        for name, of_layer in found.items():
            size = self.layers[name].size if name in self.layers else 0
            times = np.bincount(np.concatenate([[], *(blocks[i].compartments for i in of_layer)]).astype(int))
            if len(times) != size or not (times == 1).all():
                raise ValueError(f"layer {name!r}: its blocks do not hold each of its {size} compartments exactly once")
        return found


def _distinct(profiles: Ints | None, block: Block) -> frozenset[int | None]:
    return frozenset((None,)) if profiles is None else frozenset(np.unique(profiles[block.compartments]).tolist())


def _incidence(ids: Sequence[Ints], n: int) -> Any:
    """(len(ids), n) sparse, 1 where the number is among the ids."""
    ends = np.concatenate([[0], np.cumsum([len(some) for some in ids])])
    columns = np.concatenate([np.empty(0, np.int64), *ids])
    return sparse.csr_array((np.ones(len(columns), np.int64), columns, ends), shape=(len(ids), n))


def _inside(outputs: Ints, kernel: int, stride: int, pad: int, size: int) -> NDArray[np.int64]:
    """Input rows (or columns) that reach any of the output rows, ascending."""
    seen = outputs[:, None] * stride - pad + np.arange(kernel)
    return np.unique(seen[(seen >= 0) & (seen < size)])


def _patterned(dense: Dense, compartments: Ints) -> Part:
    cut = dense.pattern[:, compartments]
    rows = cut.indices
    positions = np.repeat(np.arange(len(compartments), dtype=np.int64), np.diff(cut.indptr))
    counts = np.bincount(rows, minlength=cut.shape[0])
    axons = np.flatnonzero(counts)
    if not len(axons):
        return Part(axons, 0, 0, None)
    last = np.zeros(cut.shape[0], np.int64)
    np.maximum.at(last, rows, positions)
    bits = index_bits(int(positions.max()))
    form = dense.format
    sparse_words = int(list_words(counts[axons], form.entry_bits + bits).sum())
    dense_words = int(list_words(last[axons] + 1, form.entry_bits).sum())
    if form.compression == "sparse" or (form.compression is None and sparse_words < dense_words):
        return Part(axons, len(axons), sparse_words, (form, "sparse", bits))
    return Part(axons, len(axons), dense_words, (form, "dense", 0))


def _conv(conv: Conv, compartments: Ints) -> Part:
    """Lists of any set of output compartments; position in the block is the order given.

    An axon's base is its first target modulo 256, the rest goes into the indices; axons share a list when kernel
    entries and indices are the same.
    """
    rows, columns, channels = conv.in_shape
    y, x, feature = (np.asarray(i, np.int64) for i in np.unravel_index(compartments, conv.out_shape))
    tap_y, tap_x = np.arange(conv.kernel[0]), np.arange(conv.kernel[1])
    in_y = y[:, None, None] * conv.stride[0] - conv.pad_top + tap_y[:, None]
    in_x = x[:, None, None] * conv.stride[1] - conv.pad_left + tap_x
    valid = (in_y >= 0) & (in_y < rows) & (in_x >= 0) & (in_x < columns)
    pixels = (in_y * columns + in_x)[valid]
    entries = ((tap_y[:, None] * conv.kernel[1] + tap_x) * conv.out_shape[2] + feature[:, None, None])[valid]
    positions = np.broadcast_to(np.arange(len(compartments))[:, None, None], valid.shape)[valid]
    order = np.argsort(pixels, kind="stable")
    axons, starts, lengths = np.unique(pixels[order], return_index=True, return_counts=True)
    if not len(axons):
        return Part(axons, 0, 0, None)
    positions = positions[order]
    bases = positions[starts] % (limits.BASE_MAX + 1)
    indices = positions - np.repeat(bases, lengths)
    keys = np.stack([entries[order], indices], axis=1)
    distinct = {keys[at : at + n].tobytes(): n for at, n in zip(starts.tolist(), lengths.tolist(), strict=True)}
    bits = index_bits(int(indices.max()))
    words = list_words(channels * np.array(list(distinct.values())), conv.format.entry_bits + bits).sum()
    unaligned = int(np.count_nonzero(bases % limits.POP16_BASE_STEP))
    return Part(axons, len(axons), int(words), (conv.format, "sparse", bits), unaligned)
