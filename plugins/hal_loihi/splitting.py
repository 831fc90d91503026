"""How layers are cut into blocks that fit on cores: jointly for the whole network, by hand, and as nengo-loihi cuts.

A network that cannot be cut to fit is data, not an error: every resource of every block that is over its limit is
listed, with the block shape that would fit where there is one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import attrs
import numpy as np

from hal_loihi import limits
from hal_loihi.accounting import RESOURCES, Account, Accountant, Part
from hal_loihi.limits import CoreLimits
from hal_loihi.topology import Block, Conv, Layer, Network, Shape, tiles

__all__ = ["Split", "Violation", "reference_blocks", "reference_labels", "split", "violations"]


@attrs.frozen
class Violation:
    """One resource of one block that is over its limit. fits: a block shape of its layer that would fit, or None."""

    block: str
    layer: str
    resource: str
    amount: int
    limit: int
    fits: Shape | None = None

    def __str__(self) -> str:
        what = f"{self.block}: {self.resource} {self.amount}, a core has {self.limit}"
        return what if self.fits is None else f"{what}; block shape {self.fits} fits"


@attrs.frozen(eq=False)
class Split:
    """blocks in the order of the layers; shapes: the block shape of every layer; violations: none when all fits."""

    account: Account
    shapes: dict[str, Shape]
    violations: tuple[Violation, ...]

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks, in the order of the layers."""
        return self.account.blocks


def split(network: Network, shapes: Mapping[str, Shape] | None = None, core: CoreLimits | None = None) -> Split:
    """Cut every layer into blocks so that the whole network fits, with few blocks and few axons.

    shapes: block shapes by hand, by layer; they are kept even where they do not fit. Layers without one are never cut
    through a pixel's channels but in multiples of 4, unless nothing else fits. ValueError names every shape that is no
    shape of its layer.
    """
    core = core or CoreLimits()
    shapes = dict(shapes or {})
    _check_shapes(network, shapes)
    search = _Search(network, shapes, core)
    account = search.counter.account([block for layer in network.layers for block in search.blocks[layer.name]])
    found = {name: blocks[0].extent for name, blocks in search.blocks.items()}
    return Split(account, found, violations(account, core, shapes))


def violations(
    account: Account, core: CoreLimits | None = None, shapes: Mapping[str, Shape] | None = None
) -> tuple[Violation, ...]:
    """Everything over its limit, block by block, with block shapes that fit.

    The shapes fit together, with the ones by hand (`shapes`) of layers that are not in the list where that is possible.
    """
    core = core or CoreLimits()
    over = [
        (block, name, int(amount))
        for block, row in zip(account.blocks, account.usage, strict=True)
        for name, amount in zip(RESOURCES, row, strict=True)
        if amount > getattr(core, name)
    ]
    fits: dict[str, Shape] = {}
    wanted = {block.layer for block, _, _ in over}
    for kept in ({name: shape for name, shape in (shapes or {}).items() if name not in wanted}, {}):
        if wanted - fits.keys():
            search = _Search(account.network, kept, core)
            fits = {name: search.blocks[name][0].extent for name in wanted if not search.hopeless[name]} | fits
    return tuple(
        Violation(block.label, block.layer, name, amount, getattr(core, name), fits.get(block.layer))
        for block, name, amount in over
    )


def _check_shapes(network: Network, shapes: Mapping[str, Shape]) -> None:
    layers = {layer.name: layer for layer in network.layers}
    wrong = []
    for name, shape in shapes.items():
        if name not in layers:
            wrong.append(f"there is no layer {name!r}; layers are {', '.join(layers)}")
            continue
        try:
            tiles(layers[name], shape)
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError("block shapes: " + "; ".join(wrong))


class _Search:
    """Block shapes of all layers.

    First every layer is cut so that its own blocks fit; then output axons, which depend on how the targets are cut, are
    counted, and sources cut finer until nothing changes. A layer only ever moves on in its list of candidates, so this
    ends. `hopeless` are the resources that no shape of a layer keeps; the search goes on without them.
    """

    def __init__(self, network: Network, shapes: Mapping[str, Shape], core: CoreLimits) -> None:
        self.counter = Accountant(network)
        self.core = core
        self.limits = np.array([getattr(core, name) for name in RESOURCES], np.int64)
        self.hopeless: dict[str, set[str]] = {layer.name: set() for layer in network.layers}
        self.blocks: dict[str, tuple[Block, ...]] = {}
        self._parts: dict[str, list[list[Part]]] = {}
        self._next: dict[str, int] = {}
        self._candidates = {
            layer.name: _candidates(self.counter, layer, core) for layer in network.layers if layer.name not in shapes
        }
        for layer in network.layers:
            if layer.name in shapes:
                self._take(layer.name, tiles(layer, shapes[layer.name]))
            else:
                one = tuple(n // 2 for n in layer.shape)
                middle = Block(layer.name, layer.name, layer.shape, tuple((at, at + 1) for at in one))
                self.hopeless[layer.name] |= self._over(layer.name, [middle], {"out_axons"})
                self._advance(layer, {"out_axons"})
        changed = True
        while changed:
            changed = False
            for layer in reversed(network.layers):
                if layer.name not in shapes and self._out_over(layer.name, self.blocks[layer.name]):
                    changed |= self._advance(layer, set())

    def _take(self, name: str, blocks: tuple[Block, ...]) -> None:
        self.blocks[name] = blocks
        self._parts[name] = self._all_parts(name, blocks)

    def _all_parts(self, name: str, blocks: Iterable[Block]) -> list[list[Part]]:
        """By block, then by connection into the layer."""
        return [[self.counter.part(connection, block) for connection in self.counter.into[name]] for block in blocks]

    def _advance(self, layer: Layer, ignored: set[str]) -> bool:
        """Take the first fitting candidate from where the layer is; False when there is none and it stays as it is."""
        candidates = self._candidates[layer.name]
        start = self._next.get(layer.name, 0)
        hopeless = self.hopeless[layer.name]
        while True:
            over: set[str] = set()
            for at in range(start, len(candidates)):
                blocks = tiles(layer, candidates[at])
                over = self._over(layer.name, blocks, ignored | hopeless)
                if not over:
                    self._next[layer.name] = at
                    self._take(layer.name, blocks)
                    return True
            # The last candidate, the finest, says what no shape can mend.
            hopeless |= over
            if layer.name in self.blocks:
                return False

    def _over(self, name: str, blocks: Sequence[Block], ignored: set[str]) -> set[str]:
        """Resources over their limit in one block; the middle block is tried first, as it tends to be the fullest."""
        middle = len(blocks) // 2
        for block in (*blocks[middle:], *blocks[:middle]):
            row, _, _ = self.counter.block(block)
            over = {RESOURCES[k] for k in np.flatnonzero(row > self.limits)} - ignored
            if over:
                return over
        if "out_axons" not in ignored and self._out_over(name, blocks):
            return {"out_axons"}
        return set()

    def _out_over(self, name: str, blocks: Sequence[Block]) -> bool:
        """Whether any of the blocks has too many output axons, with the targets cut as they are now."""
        if "out_axons" in self.hopeless[name]:
            return False
        slots = np.zeros(len(blocks), np.int64)
        for connection in self.counter.out_of[name]:
            target = connection.target
            parts = self._all_parts(name, blocks) if target == name else self._parts[target]
            k = self.counter.into[target].index(connection)
            axons = self.counter.reached(connection, blocks, [part[k] for part in parts])
            slots += limits.AXON_SLOTS[connection.pop_type] * axons
        return bool((slots > self.core.out_axons).any())


def _sides(n: int) -> list[int]:
    """Sides that cut n into equal pieces but for the last, descending."""
    return sorted({-(-n // pieces) for pieces in range(1, n + 1)}, reverse=True)


def _candidates(counter: Accountant, layer: Layer, core: CoreLimits) -> list[Shape]:
    """Block shapes worth trying: whole channels or multiples of 4 first, then few blocks, few axons; last ones."""
    if len(layer.shape) == 1:
        return [(side,) for side in _sides(layer.size) if side <= core.compartments or side == 1]
    rows, columns, channels = layer.shape
    multiples = {channels} | {min(channels, -(-side // 4) * 4) for side in _sides(channels)}
    convs = [c for c in counter.into[layer.name] if isinstance(c, Conv) and c.out_shape == layer.shape]

    @cache
    def seen(side: int, axis: int) -> tuple[int, ...]:
        """Input rows (or columns) of all tiles together, by convolution."""
        edges = [(at, min(at + side, layer.shape[axis])) for at in range(0, layer.shape[axis], side)]
        return tuple(sum(_span(conv, axis, *edge) for edge in edges) for conv in convs)

    def cost(tile: Shape) -> tuple[int, ...]:
        through = int(tile[2] not in multiples)
        pieces = [-(-n // side) for n, side in zip(layer.shape, tile, strict=True)]
        reached = zip(seen(tile[0], 0), seen(tile[1], 1), strict=True)
        axons = pieces[2] * (rows * columns + sum(math.prod(sides) for sides in reached))
        return (through, math.prod(pieces), axons, *(-side for side in reversed(tile)))

    shapes = [(h, w, c) for h in _sides(rows) for w in _sides(columns) for c in multiples | {1, 2, 3} if c <= channels]
    fitting = [tile for tile in shapes if math.prod(tile) <= core.compartments or max(tile) == 1]
    return sorted(fitting, key=cost)


def _span(conv: Conv, axis: int, start: int, stop: int) -> int:
    """Input rows (axis 0) or columns (1) from the first to the last that output rows start .. stop - 1 see."""
    first, last = (conv.rows, conv.columns)[axis](start, stop)
    return max(min(last, conv.in_shape[axis] - 1) - max(first, 0) + 1, 0)


def reference_blocks(network: Network, shapes: Mapping[str, Shape] | None = None) -> tuple[Block, ...]:
    """The blocks nengo-loihi 1.1.0 makes, whether they fit or not.

    A layer without a shape by hand becomes n equal runs of consecutive compartments, n from compartments, input axons,
    synapse memory and output axons of the whole layer, the latter counted with uncut targets. Account for them with
    `count_unused=True`.
    """
    shapes = dict(shapes or {})
    _check_shapes(network, shapes)
    counter = Accountant(network, count_unused=True)
    made: list[Block] = []
    for layer in network.layers:
        if layer.name in shapes:
            made += tiles(layer, shapes[layer.name])
            continue
        (whole,) = tiles(layer, (layer.size,), (layer.size,))
        used = dict(zip(RESOURCES, counter.block(whole)[0].tolist(), strict=True))
        axons = counter.out_of[layer.name]
        used["out_axons"] = sum(limits.AXON_SLOTS[axon.pop_type] * counter.sources(axon) for axon in axons)
        core = CoreLimits()
        pieces = max(
            -(-used[name] // getattr(core, name)) for name in ("compartments", "in_axons", "out_axons", "synapse_bits")
        )
        made += tiles(layer, (-(-layer.size // pieces),), (layer.size,))
    return tuple(made)


def reference_labels(blocks: Sequence[Block]) -> tuple[str, ...]:
    """Names of blocks as nengo-loihi 1.1.0 writes them, without the words around the layer's name.

    [start:stop:step] of the compartments where they are evenly spaced, else the number of the block in its layer.
    """
    labels = []
    numbers: dict[str, int] = {}
    for block in blocks:
        number = numbers[block.layer] = numbers.get(block.layer, -1) + 1
        if block.size == math.prod(block.shape):
            labels.append(block.layer)
            continue
        indices = block.compartments
        steps = np.unique(np.diff(indices)).tolist()
        evenly = ":".join(map(str, (indices[0], indices[-1] + 1, *steps)))
        inside = str(number) if len(steps) > 1 else evenly
        labels.append(f"{block.layer}[{inside}]")
    return tuple(labels)
