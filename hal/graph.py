"""Order in graphs with cycles: strongly connected components, levels, and an evaluation order."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse
from scipy.sparse import csgraph

Edge = tuple[str, str]


def neighbours(nodes: Iterable[str], edges: Iterable[Edge], backward: bool = False) -> dict[str, tuple[str, ...]]:
    """Successors (or predecessors) of every node, sorted by name."""
    found: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        if backward:
            found[target].append(source)
        else:
            found[source].append(target)
    return {name: tuple(sorted(others)) for name, others in found.items()}


def components(nodes: Sequence[str], edges: Iterable[Edge]) -> dict[str, int]:
    """Number of the strongly connected component of each node."""
    place = {name: i for i, name in enumerate(nodes)}
    pairs = np.array([(place[a], place[b]) for a, b in edges], dtype=np.int32).reshape(-1, 2)
    shape = (len(nodes), len(nodes))
    ones = np.ones(len(pairs), dtype=np.int8)
    matrix = scipy.sparse.coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=shape).tocsr()
    _, labels = csgraph.connected_components(matrix, directed=True, connection="strong")
    return {name: int(labels[i]) for i, name in enumerate(nodes)}


def cyclic(nodes: Sequence[str], edges: Iterable[Edge]) -> list[frozenset[str]]:
    """The components that hold a cycle, self loops included, ordered by their first name."""
    edges = list(edges)
    member = components(nodes, edges)
    groups: dict[int, set[str]] = {}
    for source, target in edges:
        if member[source] == member[target]:
            groups.setdefault(member[source], set()).update((source, target))
    return sorted((frozenset(group) for group in groups.values()), key=min)


def one_cycle(group: frozenset[str], edges: Iterable[Edge]) -> list[str]:
    """A shortest cycle through the group's first name, that name at both ends."""
    after = neighbours(group, [(a, b) for a, b in edges if a in group and b in group])
    start = min(group)
    came: dict[str, str] = {}
    queue = deque([start])
    while queue:
        name = queue.popleft()
        for other in after[name]:
            if other == start:
                walk = [start, name]
                while walk[-1] != start:
                    walk.append(came[walk[-1]])
                return walk[::-1] if name != start else [start, start]
            if other not in came:
                came[other] = name
                queue.append(other)
    raise ValueError(f"no cycle through {start!r}")


def levels(nodes: Sequence[str], edges: Iterable[Edge]) -> dict[str, int]:
    """Length of the longest way to each node's component, in components: the same whatever the names."""
    edges = list(edges)
    member = components(nodes, edges)
    between = {(member[a], member[b]) for a, b in edges if member[a] != member[b]}
    keys = [str(i) for i in sorted(set(member.values()))]
    named = [(str(a), str(b)) for a, b in between]
    before = neighbours(keys, named, backward=True)
    level: dict[str, int] = {}
    for key in topological(keys, named, key=lambda name: name):
        level[key] = max((level[other] + 1 for other in before[key]), default=0)
    return {name: level[str(member[name])] for name in nodes}


def distances(nodes: Sequence[str], edges: Iterable[Edge], sources: Iterable[str]) -> dict[str, int]:
    """Fewest edges from any source; `len(nodes)` where none leads there."""
    after = neighbours(nodes, edges)
    far = dict.fromkeys(nodes, len(nodes))
    queue = deque(sources)
    far.update(dict.fromkeys(queue, 0))
    while queue:
        name = queue.popleft()
        for other in after[name]:
            if far[other] > far[name] + 1:
                far[other] = far[name] + 1
                queue.append(other)
    return far


def topological(nodes: Sequence[str], edges: Iterable[Edge], key: Callable[[str], Any]) -> list[str]:
    """All nodes, each after its predecessors, the smallest key first where there is a choice.

    Raises ValueError if the edges hold a cycle.
    """
    edges = list(edges)
    after = neighbours(nodes, edges)
    waiting: dict[str, int] = dict.fromkeys(nodes, 0)
    for _, target in edges:
        waiting[target] += 1
    heap = [(key(name), name) for name in nodes if waiting[name] == 0]
    heapq.heapify(heap)
    order = []
    while heap:
        _, name = heapq.heappop(heap)
        order.append(name)
        for other in after[name]:
            waiting[other] -= 1
            if waiting[other] == 0:
                heapq.heappush(heap, (key(other), other))
    if len(order) < len(waiting):
        raise ValueError("the edges hold a cycle")
    return order


def reachable(starts: Iterable[str], after: Mapping[str, Iterable[str]]) -> set[str]:
    """Everything that can be reached, the starts included."""
    seen = set(starts)
    stack = list(seen)
    while stack:
        for other in after[stack.pop()]:
            if other not in seen:
                seen.add(other)
                stack.append(other)
    return seen
