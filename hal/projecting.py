"""All projections of a model: paths between populations, with the bias and the delay that each carries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hal.errors import ModelError, Problem
from hal.events import I64
from hal.nodes import Delay, Flatten, Node, Output, Scale
from hal.projection import Projection, flatten_sources, node_bias, node_matrix
from hal.semantics import Semantics

MAX_PATHS: Final = 65_536
"""Paths between populations: parallel branches in series multiply."""
_MAX_DELAY_NS: Final = 2.0**62


@attrs.define(eq=False, kw_only=True)
class Projector:
    """Walks the graph backward from every population and Output.

    targets: in the order the projections shall have. component: strongly connected component of every node.
    """

    nodes: Mapping[str, Node]
    before: Mapping[str, tuple[str, ...]]
    component: Mapping[str, int]
    semantics: Semantics
    matrices: dict[str, csr_array] = attrs.field(factory=dict)

    def all(self, targets: list[str]) -> tuple[Projection, ...]:
        """Sorted by target, then source name, then the names on the path.

        Raises ModelError where there are too many paths, a loop holds nothing but delays, or a delay cannot be
        told in ns.
        """
        found: list[Projection] = []
        for target in targets:
            paths = []
            for path in self._paths(target):
                paths.append(path)
                if len(paths) + len(found) > MAX_PATHS:
                    raise ModelError(f"more than {MAX_PATHS} paths between populations, at {target!r}", node=target)
            counted: set[tuple[str, ...]] = set()
            for source, names in sorted(paths):
                found.append(self._projection(source, target, names, counted))
        return tuple(found)

    def _paths(self, target: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Every (source, names on the path) that leads to a target."""
        stack: list[tuple[str, tuple[str, ...]]] = [(target, ())]
        while stack:
            name, path = stack.pop()
            for previous in self.before[name]:
                if self.nodes[previous].population:
                    yield previous, path
                elif previous in path:
                    walk = " -> ".join(map(repr, (*path[path.index(previous) :: -1], previous)))
                    raise ModelError(
                        f"the loop {walk} holds delays but no neurons, so it is no projection between populations",
                        hint="put a population into the loop",
                        node=previous,
                    )
                else:
                    stack.append((previous, (previous, *path)))

    def _projection(
        self, source: str, target: str, names: tuple[str, ...], counted: set[tuple[str, ...]]
    ) -> Projection:
        path = tuple(self.nodes[name] for name in names)
        hwc = frozenset(
            node.name for node in path if isinstance(node, Flatten) and self.semantics.rule(node).flatten_order == "HWC"
        )
        return Projection(
            source=source,
            target=target,
            path=path,
            bias=self._bias(path, hwc, counted),
            delay_ns=self._delay(self.nodes[source], path, hwc),
            recurrent=self.component[source] == self.component[target],
            source_shape=self.nodes[source].output_shape,
            hwc=hwc,
        )

    def _bias(
        self, path: tuple[Node, ...], hwc: frozenset[str], counted: set[tuple[str, ...]]
    ) -> NDArray[np.float64] | None:
        """Biases on the path, carried to the target; each way from a bias to the target counts once."""
        total: NDArray[np.float64] | None = None
        for i, node in enumerate(path):
            way = tuple(other.name for other in path[i:])
            bias = node_bias(node)
            if bias is None or way in counted:
                continue
            counted.add(way)
            for other in path[i + 1 :]:
                bias = self._matrix(other, other.name in hwc) @ bias
            total = bias if total is None else total + bias
        return total

    def _matrix(self, node: Node, hwc: bool) -> csr_array:
        if node.name not in self.matrices:
            self.matrices[node.name] = node_matrix(node, hwc)
        return self.matrices[node.name]

    def _delay(self, source: Node, path: tuple[Node, ...], hwc: frozenset[str]) -> int | I64:
        """Sum of the delays on a path: per source element before the first mixing node, per target after the last."""
        if not any(isinstance(node, Delay) for node in path):
            return 0
        early = np.zeros(source.size, np.int64)
        late = np.zeros(0, np.int64)
        index = np.arange(source.size)
        mixed = False
        for node in path:
            if isinstance(node, Delay):
                delay = self._in_ns(node)
                if mixed:
                    late = late + delay
                else:
                    early[index] += delay
            elif isinstance(node, Flatten):
                order = flatten_sources(node, node.name in hwc)
                index, late = (index, late[order]) if mixed else (index[order], late)
            elif not isinstance(node, Scale):
                if mixed and np.ptp(late):
                    hint = "put the delay before the first or after the last weight"
                    raise ModelError(f"delays that differ lie between two weights, before {node.name!r}", hint=hint)
                late = np.full(node.size, late[0] if mixed else 0, np.int64)
                mixed = True
        return self._one(source, path, early, late)

    def _one(self, source: Node, path: tuple[Node, ...], early: I64, late: I64) -> int | I64:
        """A number where all elements agree, else the side on which they differ."""
        if late.size == 0 or not np.ptp(late):
            total = early + (int(late[0]) if late.size else 0)
        elif not np.ptp(early):
            total = late + int(early[0])
        else:
            names = [node.name for node in path if isinstance(node, Delay)]
            hint = "let one of them be uniform"
            raise ModelError(f"delays {names} from {source.name!r} differ before and behind the weight", hint=hint)
        return total if np.ptp(total) else int(total[0])

    def _in_ns(self, node: Delay) -> I64:
        """Delays in model ns, rounded to the nearest."""
        unit, dt = self.semantics.rule(node).tau_unit, self.semantics.dt_ns
        if unit in ("steps", "s*dt") and dt is None:
            raise ModelError(
                f"the delays of {node.name!r} are in {unit}, and nobody has said how long a step is",
                hint="give dt_ns in the semantics (--dt on the command line)",
                node=node.name,
            )
        step = float(dt or 0)
        factor = {"s": 1e9, "ms": 1e6, "steps": step, "s*dt": 1e18 / step if step else 0.0}[unit]
        ns = np.rint(node.delay.reshape(-1).astype(np.float64) * factor)
        if ns.max() > _MAX_DELAY_NS:
            problem = Problem("a delay in ns", f"node {node.name!r}, field 'delay'", float(ns.max()), _MAX_DELAY_NS)
            raise ModelError("a delay is too long", problems=[problem])
        return ns.astype(np.int64)


def targets(populations: tuple[Node, ...], nodes: Mapping[str, Node]) -> list[str]:
    """Populations in their order, then Outputs by name."""
    return [node.name for node in populations] + sorted(n for n, node in nodes.items() if isinstance(node, Output))
