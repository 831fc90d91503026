"""How well two spike trains of one node agree: the one metric used for comparing a chip with the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal import nodes
from hal.errors import ConfigError, Problem
from hal.events import Records

if TYPE_CHECKING:
    from hal.model import Model

TIE: Final = 1e-6
"""Relative; above what float32 loses in a sum, below what any chip resolves."""


@attrs.frozen(kw_only=True, eq=False)
class Agreement:
    """What two trains have in common.

    matched: pairs of spikes within the window; spikes, reference: how many there are; count_error: (n,) counts minus
    reference counts; first_difference: (t ns, index) of the earliest spike without a partner, or None.
    """

    matched: int
    spikes: int
    reference: int
    count_error: NDArray[np.int64]
    first_difference: tuple[int, int] | None

    @property
    def share(self) -> float:
        """Matched spikes over all spikes of both trains: 1.0 for equal trains, two empty ones included."""
        total = self.spikes + self.reference
        return 2 * self.matched / total if total else 1.0


def agreement(spikes: Records, reference: Records, size: int, *, window_ns: int = 0, latency_ns: int = 0) -> Agreement:
    """Match spikes of each neuron, in order of time, one to one, at most `window_ns` apart.

    Args:
        spikes: EVENT records to judge; `latency_ns` is taken off their times first.
        reference: EVENT records to judge against.
        size: number of neurons of the node.
        window_ns: largest distance of a pair; 0 asks for equal times.
        latency_ns: `Mapping.latency_ns[node]`.

    Raises ConfigError for a negative window. The greedy match in order of time is a largest one, since all windows
    are equally wide.
    """
    if window_ns < 0:
        raise ConfigError("the window is a time >= 0", window_ns=window_ns)
    for name, train in (("spikes", spikes), ("reference", reference)):
        if train.size and int(train["index"].max()) >= size:
            row = int(np.argmax(train["index"] >= size))
            problem = Problem("index out of range", f"{name}, row {row}", int(train["index"][row]), f"0..{size - 1}")
            raise ConfigError("the trains are not of this node", problems=[problem])
    a, b = _sorted(spikes, -latency_ns), _sorted(reference, 0)
    count_error = np.bincount(a["index"], minlength=size) - np.bincount(b["index"], minlength=size)
    alone_a, alone_b = _alone(a, b, window_ns)
    alone = np.concatenate([a[alone_a], b[alone_b]])
    first: tuple[int, int] | None = None
    if alone.size:
        k = np.lexsort((alone["index"], alone["t"]))[0]
        first = (int(alone["t"][k]), int(alone["index"][k]))
    return Agreement(
        matched=int(a.size) - len(alone_a),
        spikes=int(a.size),
        reference=int(b.size),
        count_error=count_error.astype(np.int64),
        first_difference=first,
    )


def _alone(a: Records, b: Records, window_ns: int) -> tuple[list[int], list[int]]:
    """Positions of the spikes without a partner in each of two trains that are sorted by neuron and time."""
    # lists: an element of an array costs ten times as much as one of a list
    index_a, t_a, index_b, t_b = (train[name].tolist() for train in (a, b) for name in ("index", "t"))
    alone_a: list[int] = []
    alone_b: list[int] = []
    i = j = 0
    while i < len(t_a) and j < len(t_b):
        if index_a[i] == index_b[j] and abs(t_a[i] - t_b[j]) <= window_ns:
            i, j = i + 1, j + 1
        elif (index_a[i], t_a[i]) < (index_b[j], t_b[j]):
            alone_a.append(i)
            i += 1
        else:
            alone_b.append(j)
            j += 1
    return [*alone_a, *range(i, len(t_a))], [*alone_b, *range(j, len(t_b))]


def decided(model: Model) -> Model:
    """The model in double precision, with ties decided as on integers: for comparing what a chip realises.

    A chip's sums of integers meet its threshold exactly, and floating point misses that by a rounding. So thresholds
    are moved by a millionth, down where `>=` fires and up where `>` does.
    """
    changed: dict[str, Any] = {}
    for node in model.nodes.values():
        if isinstance(node, nodes.IF | nodes.LIF | nodes.CubaLIF):
            sign = -1 if model.semantics.rule(node).compare == ">=" else 1
            threshold = np.asarray(node.v_threshold, np.float64)
            changed[node.name] = attrs.evolve(node, v_threshold=threshold + sign * TIE * np.abs(threshold))
    semantics = attrs.evolve(model.semantics, dtype="float64")
    return type(model).of({**model.nodes, **changed}, model.edges, semantics)


def _sorted(train: Records, shift_ns: int) -> Records:
    out = train.copy()
    out["t"] += shift_ns
    return out[np.lexsort((out["t"], out["index"]))]
