"""Shape inference over a graph: forward from what is known, backward into nodes of scalar parameters, then compared."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping

import attrs

from hal.graph import Edge, neighbours, reachable
from hal.nir.draft import Draft
from hal.nir.raw import Notebook, place
from hal.nodes import Shape

BATCH_HINT = "a batch axis? read_model(..., drop_batch_axis=True) drops leading axes of length 1"


def infer(drafts: Mapping[str, Draft | None], edges: Iterable[Edge], drop_batch_axis: bool, book: Notebook) -> None:
    """Fill the shapes of all drafts and compare them along every edge; faults go into `book`.

    A draft that is None is a node that was reported: what hangs on it is left open without a word.
    """
    edges = sorted(edges)
    work = _Inference(
        live={name: made for name, made in drafts.items() if made is not None},
        failed={name for name, made in drafts.items() if made is None},
        before=neighbours(drafts, edges, backward=True),
        after=neighbours(drafts, edges),
        drop=drop_batch_axis,
        book=book,
    )
    work.run()
    for edge in edges:
        work.compare(*edge)


@attrs.define(eq=False)
class _Inference:
    live: dict[str, Draft]
    failed: set[str]
    before: dict[str, tuple[str, ...]]
    after: dict[str, tuple[str, ...]]
    drop: bool
    book: Notebook
    queue: deque[str] = attrs.field(factory=deque)

    def run(self) -> None:
        """Settle every shape that can be known, and report those that cannot."""
        for name, made in self.live.items():
            if self._has_batch_axis(made):
                if made.type == "Output" or made.port:
                    continue
                self._change_shape(made, self._asked_of_input(made))
            wanted = made.wanted()
            if wanted is not None:
                self._settle(name, wanted)
        self._forward()
        while self._backward():
            self._forward()
        self._single_neurons()
        self._forward()
        self._report_open()

    def _settle(self, name: str, shape: Shape, source: str = "") -> None:
        if self.live[name].take(shape, self.book, source):
            self.queue.append(name)
        else:
            self.failed.add(name)

    def _open(self, name: str) -> bool:
        return name in self.live and self.live[name].input_shape is None and name not in self.failed

    def _forward(self) -> None:
        while self.queue:
            source = self.queue.popleft()
            shape = self.live[source].output_shape
            for name in self.after[source]:
                if shape is not None and self._open(name):
                    self._settle(name, self._offered(self.live[name], shape), source)

    def _backward(self) -> bool:
        """Nodes whose parameters are scalars take the shape of what they feed; whether there was one."""
        found = False
        for name, made in self.live.items():
            if self._open(name) and made.elementwise:
                shapes = [self.live[n].input_shape for n in self.after[name] if n in self.live]
                known = next((shape for shape in shapes if shape is not None), None)
                if known is not None:
                    self._settle(name, known)
                    found = True
        return found

    def _single_neurons(self) -> None:
        """Parameters of shape (1,) with nothing around them that says otherwise are one neuron."""
        tainted = reachable(self.failed, self.after)
        for name, made in self.live.items():
            if self._open(name) and name not in tainted and made.elementwise:
                shape = max((array.shape for array in made.arrays.values()), key=len)
                if shape:
                    self._settle(name, shape)

    def _report_open(self) -> None:
        tainted = reachable(self.failed, self.after)
        still = [name for name in self.live if self._open(name) and name not in tainted]
        roots = [name for name in still if not self.before[name]] or still
        for name in roots:
            what = f"the shape of this {self.live[name].type} cannot be known from its values or its neighbours"
            self.book.fault(what, place(name), hint="connect it to an Input, or write its shape")

    def _has_batch_axis(self, made: Draft) -> bool:
        shape = made.ints.get("shape", ())
        return self.drop and len(shape) > 1 and shape[0] == 1

    def _offered(self, made: Draft, shape: Shape) -> Shape:
        """The input shape for a node that is offered one: an Output keeps its own unless a batch axis explains it."""
        if not self._has_batch_axis(made):
            return shape
        self._change_shape(made, shape if shape in _shortened(made.ints["shape"]) else made.ints["shape"])
        return made.ints["shape"]

    def _asked_of_input(self, made: Draft) -> Shape:
        """An Input's shape without batch axes: as many leading ones fewer as its consumers ask for, else all."""
        options = _shortened(made.ints["shape"])
        consumers = [self.live[name] for name in self.after[made.name] if name in self.live]
        consumers = [c for c in consumers if c.rank() is not None and not self._has_batch_axis(c)]
        for shape in options if consumers else []:
            if all(c.wanted() in (None, shape) and c.rank() == len(shape) for c in consumers):
                return shape
        return options[-1]

    def _change_shape(self, made: Draft, shape: Shape) -> None:
        old = made.ints["shape"]
        if shape != old:
            what = "leading axes of length 1 dropped (batch axis)"
            self.book.note(made.name, "shape", what, wanted=old, realised=shape)
            made.ints["shape"] = shape

    def compare(self, source: str, target: str) -> None:
        """The two shapes of an edge are equal, or both are named."""
        if source not in self.live or target not in self.live:
            return
        given, taken = self.live[source].output_shape, self.live[target].input_shape
        if given is not None and taken is not None and given != taken:
            what = f"shapes differ: {source!r} gives {given}, {target!r} takes {taken}"
            hint = _why_differ(self.live[source], given, self.live[target], taken)
            self.book.fault(what, f"edge {(source, target)}", hint=hint)


def _shortened(shape: Shape) -> list[Shape]:
    """The shape, and what is left of it without one, two, ... leading axes of length 1."""
    options = [shape]
    while options[-1][0] == 1 and len(options[-1]) > 1:
        options.append(options[-1][1:])
    return options


def _why_differ(source: Draft, given: Shape, target: Draft, taken: Shape) -> str:
    """What probably went wrong, as a hint."""
    if given in _shortened(taken) or taken in _shortened(given):
        longer = source if len(given) > len(taken) else target
        if longer.type in ("Input", "Output"):
            return BATCH_HINT
        return f"{longer.name!r} seems to carry a batch axis; NIR shapes have none: export without it"
    dense = target.type in ("Affine", "Linear") and len(taken) == 1
    if dense and source.type == "Flatten" and source.ints["start_dim"] != (0,):
        fits = math.prod(given) == taken[0]
        also = "" if fits else f", though {math.prod(given)} values do not make {taken[0]}"
        return f"NIR has no batch axis: give {source.name!r} start_dim 0 (it has {source.ints['start_dim'][0]}){also}"
    if dense and len(given) > 1:
        return f"put a Flatten with start_dim 0 between them ({math.prod(given)} values)"
    return ""
