"""Cores on chips with few axons between chips: greedy growth, then swaps and moves while they help."""

from __future__ import annotations

import numpy as np

from hal_loihi.topology import Ints

__all__ = ["MOST_NODES", "divide"]

MOST_STEPS = 400
"""Swaps and moves from one start; each costs a few passes over the matrix of axons."""
MOST_NODES = 2048
"""With more cores than this (16 chips) the starts are taken as they are."""


def divide(weights: Ints, size: int) -> Ints:
    """(n,) part of each node, parts of at most `size`, as few parts as possible, numbered by their first node.

    weights: (n, n) symmetric, zero diagonal. Deterministic: the better of two starts (nodes in order; parts grown from
    their strongest neighbours), each improved until no swap or move helps, or for MOST_STEPS.
    """
    n = len(weights)
    in_order = np.arange(n, dtype=np.int64) // size
    if n <= size or not weights.any():
        return in_order
    tried = [in_order, _grown(weights, size)]
    if n <= MOST_NODES:
        tried = [_improve(weights, start, -(-n // size), size) for start in tried]
    best = min(tried, key=lambda part: int(weights[part[:, None] != part].sum()))
    _, first = np.unique(best, return_index=True)
    renumber = np.empty(len(first), np.int64)
    renumber[best[np.sort(first)]] = np.arange(len(first))
    return np.asarray(renumber[best], np.int64)


def _grown(weights: Ints, size: int) -> Ints:
    """Each part starts with the first node left and takes the node with most axons to all it has."""
    part = np.full(len(weights), -1, np.int64)
    for number in range(-(-len(weights) // size)):
        pull = np.zeros(len(weights), np.int64)
        for _ in range(min(size, int(np.count_nonzero(part < 0)))):
            chosen = int(np.argmax(np.where(part < 0, pull, -1)))
            part[chosen] = number
            pull += weights[chosen]
    return part


def _improve(weights: Ints, start: Ints, parts: int, size: int) -> Ints:
    """The best swap of two nodes, or move to a part with room, as long as one lowers the axons between parts."""
    part = np.asarray(start, np.int64).copy()
    nodes = np.arange(len(part))
    for _ in range(MOST_STEPS):
        to = weights @ (part[:, None] == np.arange(parts))
        gain = to - to[nodes, part][:, None]
        swap = gain[:, part] + gain[:, part].T - 2 * weights
        room = np.bincount(part, minlength=parts) < size
        move = np.where(room, gain, 0)
        if max(swap.max(), move.max()) <= 0:
            break
        if swap.max() >= move.max():
            a, b = divmod(int(np.argmax(swap)), len(part))
            part[a], part[b] = part[b], part[a]
        else:
            node, number = divmod(int(np.argmax(move)), parts)
            part[node] = number
    return part
