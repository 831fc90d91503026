"""A network as it stands in a NIR file: typed nodes, checked shapes, one order, and how it is meant to be executed."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np

from hal import modelparts
from hal.errors import ConfigError, ModelError, Problem
from hal.fit import Finding
from hal.graph import components, cyclic, distances, levels, neighbours, topological
from hal.nir.build import build
from hal.nir.file import read_file
from hal.nir.object import looks_like_graph, read_object
from hal.nir.raw import Notebook, RawGraph
from hal.nodes import AvgPool2d, Delay, Flatten, Input, Node, Output, SumPool2d
from hal.projecting import Projector, targets
from hal.projection import Projection
from hal.semantics import PROFILES, Semantics, read_semantics

__all__ = ["Model", "Projection", "SemanticsWarning", "fingerprint", "read_model"]

Edge = tuple[str, str]


class SemanticsWarning(UserWarning):
    """Nobody said how the model is meant to be executed; lists what was assumed."""


@attrs.frozen(kw_only=True, eq=False, slots=False, repr=False)
class Model:
    """A flat graph of typed nodes.

    Attributes:
        nodes: by name, sorted by name. Names are those of the file; nodes of a sub-graph are 'outer.inner'.
        edges: (from, to), sorted. Several edges into one node add up.
        inputs, outputs: names of the Input and Output nodes, sorted as text.
        semantics: what NIR leaves open. semantics_given: whether the user said it, or profile `nir` was assumed.
        fingerprint: sha256 over nodes, parameters and edges; the same for any order in the file.
        notes: what the reader defaulted, broadcast, dropped or flattened.
        metadata: of the root graph, as found.
    """

    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    semantics: Semantics
    fingerprint: str
    notes: tuple[Finding, ...] = ()
    semantics_given: bool = True
    metadata: Mapping[str, Any] = attrs.field(factory=dict, repr=False)

    def __repr__(self) -> str:
        neurons = sum(node.size for node in self.nodes.values() if node.population and node.name not in self.inputs)
        ways = f"{', '.join(self.inputs)} -> {', '.join(self.outputs)}"
        profile = self.semantics.profile if self.semantics_given else "no semantics"
        return f"<Model of {len(self.nodes)} nodes, {neurons} neurons: {ways}; {profile}; {self.fingerprint[:8]}>"

    @classmethod
    def of(cls, nodes: Mapping[str, Node], edges: Iterable[Edge], semantics: Semantics, **more: Any) -> Model:
        """A model from typed nodes and edges; sorts them and computes the rest. `more`: notes, metadata, ..."""
        ordered = {name: nodes[name] for name in sorted(nodes)}
        pairs = tuple(sorted(edges))
        return cls(
            nodes=ordered,
            edges=pairs,
            inputs=tuple(name for name, node in ordered.items() if isinstance(node, Input)),
            outputs=tuple(name for name, node in ordered.items() if isinstance(node, Output)),
            semantics=semantics,
            fingerprint=fingerprint(ordered, pairs),
            **more,
        )

    def populations(self) -> tuple[Node, ...]:
        """The nodes that hold neurons, and the Inputs, from the inputs on.

        Ordered by level (longest way in components), then by distance from the nearest Input, then by name: names
        decide only between nodes of equal standing.
        """
        return tuple(self.nodes[name] for name in self._ranked if self.nodes[name].population)

    def projections(self) -> tuple[Projection, ...]:
        """One for every path between two populations, or from one to an Output; by target order, then source name.

        Raises ModelError for more than `hal.projecting.MAX_PATHS` paths, a loop of delays without neurons, and
        delays that cannot be told in ns.
        """
        return self._projections

    def kind(self, output: str) -> Literal["events", "signal"]:
        """What flows into an Output (or out of an Input): events or values.

        The last population on the path decides; an Input gives a signal if `semantics.signals` names it. Events that
        pass weights or a mean on the way are values, no counts, and so a signal.
        Raises ModelError where both kinds meet, and for other nodes.
        """
        if output in self.inputs:
            return self._gives(output)
        if output not in self.outputs:
            raise ModelError(f"{output!r} is neither an Input nor an Output", outputs=self.outputs, inputs=self.inputs)
        kinds = self._kinds_before(output)
        if len(set(kinds.values())) > 1:
            each = ", ".join(f"{name!r} gives {kind}" for name, kind in kinds.items())
            raise ModelError(
                f"Output {output!r} mixes events and signals: {each}", hint="use one Output for each", kinds=kinds
            )
        return next(iter(kinds.values()), "events")

    def order(self) -> tuple[str, ...]:
        """All nodes in an order in which they can be evaluated within a step, once feedback edges are cut."""
        rank = {name: i for i, name in enumerate(self._ranked)}
        cut = self.feedback()
        return tuple(topological(list(self.nodes), [e for e in self.edges if e not in cut], key=rank.__getitem__))

    def feedback(self) -> frozenset[Edge]:
        """The edges that act one step later: those that leave a population within its strongly connected component.

        Where a loop has no population, those that leave its Delay nodes.
        """
        return self._feedback

    def predecessors(self, name: str) -> tuple[str, ...]:
        """Names of the nodes with an edge to this one, sorted."""
        return self._before[name]

    def successors(self, name: str) -> tuple[str, ...]:
        """Names of the nodes this one has an edge to, sorted."""
        return self._after[name]

    def with_semantics(self, semantics: Semantics) -> Model:
        """The same graph, executed otherwise. Raises ConfigError for names in the record that the model lacks."""
        _check_names(semantics, self)
        return attrs.evolve(self, semantics=semantics, semantics_given=True)

    def part(
        self,
        names: Iterable[str],
        *,
        entries: Mapping[str, str] | None = None,
        exits: Mapping[str, str] | None = None,
    ) -> Model:
        """The model of some of the nodes, cut off from the rest by Inputs and Outputs.

        Args:
            names: nodes to keep.
            entries: node outside that feeds the part -> name of the Input that stands for it (default: its own).
            exits: node inside -> name of the Output behind it. Default: every node with an edge to the outside,
                as 'NAME.out'; the default is replaced as a whole.

        Raises ModelError for unknown or clashing names, and where the cut goes through a loop.
        """
        return modelparts.part(self, frozenset(names), entries or {}, exits)

    def flat(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        """A JSON tree and the arrays it names, for an archive; `unflat` is the inverse."""
        return modelparts.flat(self)

    @classmethod
    def unflat(cls, tree: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> Model:
        """The model of `flat`. Raises FormatError where something is missing, or the fingerprint differs."""
        return modelparts.unflat(tree, arrays)

    def _gives(self, name: str) -> Literal["events", "signal"]:
        node = self.nodes[name]
        if isinstance(node, Input):
            return "signal" if name in self.semantics.signals else "events"
        return "events" if node.spiking else "signal"

    def _kinds_before(self, output: str) -> dict[str, Literal["events", "signal"]]:
        """What arrives at an Output from each population before it."""
        found: dict[str, Literal["events", "signal"]] = {}
        seen: set[tuple[str, bool]] = set()
        stack = [(output, False)]
        while stack:
            name, weighted = stack.pop()
            for other in self._before[name]:
                node = self.nodes[other]
                if node.population:
                    kind = "signal" if weighted else self._gives(other)
                    found[other] = "signal" if found.get(other) == "signal" else kind
                    continue
                here = (
                    other,
                    weighted or not isinstance(node, SumPool2d | Flatten | Delay) or isinstance(node, AvgPool2d),
                )
                if here not in seen:
                    seen.add(here)
                    stack.append(here)
        return dict(sorted(found.items()))

    @cached_property
    def _before(self) -> dict[str, tuple[str, ...]]:
        return neighbours(self.nodes, self.edges, backward=True)

    @cached_property
    def _after(self) -> dict[str, tuple[str, ...]]:
        return neighbours(self.nodes, self.edges)

    @cached_property
    def _component(self) -> dict[str, int]:
        return components(list(self.nodes), self.edges)

    @cached_property
    def _ranked(self) -> list[str]:
        names = list(self.nodes)
        level, far = levels(names, self.edges), distances(names, self.edges, self.inputs)
        return sorted(names, key=lambda name: (level[name], far[name], name))

    @cached_property
    def _feedback(self) -> frozenset[Edge]:
        member = self._component
        inner = [edge for edge in self.edges if member[edge[0]] == member[edge[1]]]
        cut = {edge for edge in inner if self.nodes[edge[0]].population}
        rest = [edge for edge in inner if edge not in cut]
        for group in cyclic(list(self.nodes), rest):
            cut |= {(a, b) for a, b in rest if a in group and b in group and isinstance(self.nodes[a], Delay)}
        return frozenset(cut)

    @cached_property
    def _projections(self) -> tuple[Projection, ...]:
        walker = Projector(nodes=self.nodes, before=self._before, component=self._component, semantics=self.semantics)
        return walker.all(targets(self.populations(), self.nodes))


def fingerprint(nodes: Mapping[str, Node], edges: Iterable[Edge]) -> str:
    """sha256 over names, types, shapes, parameters (values and dtypes) and edges, in an order of their own."""
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        text = json.dumps(value).encode()
        digest.update(len(text).to_bytes(8, "little") + text)

    for name in sorted(nodes):
        node = nodes[name]
        add([name, node.type])
        for field in attrs.fields(type(node)):
            value = getattr(node, field.name)
            if isinstance(value, np.ndarray):
                add([field.name, value.dtype.name, value.shape])
                digest.update(np.ascontiguousarray(value, value.dtype.newbyteorder("<")).data)
            elif field.name != "metadata":
                add([field.name, value])
    add(sorted(edges))
    return digest.hexdigest()


def read_model(
    source: str | Path | object,
    semantics: Semantics | str | Path | Mapping[str, Any] | None = None,
    drop_batch_axis: bool = False,
) -> Model:
    """Read a NIR model from a file (nir 0.1 to 1.0.8) or from a graph object in memory; a Model is passed through.

    Args:
        source: path of a file, or an object with `.nodes` and `.edges`.
        semantics: how it is meant to be executed: a record, a profile's name, a JSON file, or a mapping of fields.
            None assumes profile `nir` without a step length, and warns once.
        drop_batch_axis: drop leading axes of length 1 that an exporter left in the shapes of Input and Output nodes.

    Raises:
        ModelError: the file or graph is broken, hostile or not understood; lists every problem found.
        ConfigError, FormatError: the semantics are not understood.
    """
    record = _semantics(semantics)
    if isinstance(source, Model):
        return source if record is None else source.with_semantics(record)
    model = _read(source, drop_batch_axis)
    if record is not None:
        return model.with_semantics(record)
    warnings.warn(_open_choices(model), SemanticsWarning, stacklevel=2)
    return model


def _read(source: object, drop_batch_axis: bool) -> Model:
    book = Notebook()
    raw: RawGraph | None
    if isinstance(source, str | os.PathLike):
        title = f"{os.fspath(source)}: the model cannot be used"
        raw = read_file(Path(source), book)
    elif looks_like_graph(source):
        title = "the graph cannot be used"
        raw = read_object(source, book)
    else:
        raise ModelError(
            f"this is no model: {type(source).__name__}",
            hint="give the path of a NIR file, or an object with nodes and edges",
        )
    nodes, edges = build(raw, drop_batch_axis, book) if raw is not None else ({}, [])
    if book.problems or raw is None:
        raise ModelError(title, problems=book.problems)
    more = {"notes": tuple(book.notes), "metadata": raw.metadata, "semantics_given": False}
    return Model.of(nodes, edges, Semantics(), **more)


def _semantics(semantics: Semantics | str | Path | Mapping[str, Any] | None) -> Semantics | None:
    if semantics is None or isinstance(semantics, Semantics):
        return semantics
    if isinstance(semantics, Mapping):
        return Semantics.from_json(semantics)
    if isinstance(semantics, str | Path):
        return read_semantics(semantics)
    raise ConfigError(
        "semantics are a record, a profile's name, a JSON file or a mapping", value=type(semantics).__name__
    )


def _open_choices(model: Model) -> str:
    """What NIR leaves open and what is assumed, in one text."""
    rule = model.semantics.rule_for("", "LIF")
    said = {
        "dt": "not stated (clocked devices refuse that)",
        "tau unit": rule.tau_unit,
        "decay": rule.decay,
        "gain": rule.gain,
        "reset": f"to {rule.spike_reset}, {'one step later' if rule.reset_delay else 'in the step of the spike'}",
        "compare": f"v {rule.compare} threshold",
        "spikes per step": rule.spikes_per_step,
        "feedback delay": f"{rule.feedback_delay} step",
        "start state": rule.start_state,
        "lower bound of v": "none" if rule.v_min is None else rule.v_min,
        "flatten order": rule.flatten_order,
    }
    assumed = ", ".join(f"{key}: {value}" for key, value in said.items())
    return (
        f"no semantics given: NIR does not say how to execute this model. Profile 'nir' is assumed: {assumed}. "
        f"Give semantics=PROFILE, one of {', '.join(PROFILES)}, or a record (--semantics on the command line)."
    )


def _check_names(semantics: Semantics, model: Model) -> None:
    """Overrides name nodes, signals name Inputs."""
    problems = []
    for field, names, known in (
        ("overrides", semantics.overrides, tuple(model.nodes)),
        ("signals", semantics.signals, model.inputs),
    ):
        for name in sorted(set(names) - set(known)):
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or sorted(known)[:10]
            what = "no such node" if field == "overrides" else "no such Input node"
            problems.append(Problem(what, field, value=repr(name), hint=f"did you mean {', '.join(map(repr, near))}?"))
    if problems:
        raise ConfigError("the semantics name nodes that the model does not have", problems=problems)
