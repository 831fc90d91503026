"""NIR graphs made in memory: read by duck typing, so that any version of package nir will do, or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from hal.nir.raw import (
    FIELDS,
    GRAPH,
    MAX_EDGES,
    MAX_NESTING,
    MAX_NODES,
    Field,
    Notebook,
    RawGraph,
    RawNode,
    Value,
    floats,
    integers,
    missing,
    place,
    unknown_type,
)


def looks_like_graph(source: object) -> bool:
    """Whether the object has nodes by name and edges."""
    return isinstance(getattr(source, "nodes", None), Mapping) and hasattr(source, "edges")


def read_object(graph: object, book: Notebook) -> RawGraph | None:
    """Read a graph object: `.nodes`, `.edges`, and per node the type's name and its attributes."""
    return _Walk(book).graph(graph, "", 0)


@attrs.define(eq=False)
class _Walk:
    book: Notebook
    nodes: int = 0

    def graph(self, graph: Any, name: str, depth: int) -> RawGraph | None:
        where = place(name) if name else "the root graph"
        if depth >= MAX_NESTING:
            self.book.fault("sub-graphs are nested too deeply", where, value=depth, limit=MAX_NESTING)
            return None
        self.nodes += len(graph.nodes)
        if self.nodes > MAX_NODES:
            self.book.fault("too many nodes", where, value=self.nodes, limit=MAX_NODES)
            return None
        nodes: dict[str, RawNode | RawGraph | None] = {}
        for key, node in graph.nodes.items():
            # a file could hold neither: HDF5 uses the slash for groups
            if not isinstance(key, str) or not key or "/" in key or "\0" in key:
                self.book.fault("a node name is a text without '/'", where, value=repr(key))
                continue
            nodes[key] = self._node(node, f"{name}.{key}" if name else key, depth)
        return RawGraph(nodes=nodes, edges=self._edges(graph.edges, where), metadata=_metadata(graph))

    def _edges(self, edges: Any, where: str) -> tuple[tuple[str, str], ...]:
        pairs = [tuple(edge) for edge in edges]
        if len(pairs) > MAX_EDGES:
            self.book.fault("too many edges", where, value=len(pairs), limit=MAX_EDGES)
            return ()
        texts = [tuple(e.decode("utf8", "replace") if isinstance(e, bytes) else e for e in pair) for pair in pairs]
        bad = [pair for pair in texts if len(pair) != 2 or not all(isinstance(e, str) for e in pair)]
        if bad:
            self.book.fault("an edge is a pair of names", where, value=bad[0])
        return tuple((str(pair[0]), str(pair[1])) for pair in texts if pair not in bad)

    def _node(self, node: Any, name: str, depth: int) -> RawNode | RawGraph | None:
        type_name = type(node).__name__
        if type_name == GRAPH or (type_name not in FIELDS and looks_like_graph(node)):
            return self.graph(node, name, depth + 1)
        if type_name not in FIELDS:
            unknown_type(type_name, name, self.book)
            return None
        before = len(self.book.problems)
        fields: dict[str, Value] = {}
        absent = []
        for key, field in FIELDS[type_name].items():
            value = _attribute(node, type_name, key)
            if value is None:
                absent.append(key)
            elif (plain := self._field(value, field, name, key)) is not None:
                fields[key] = plain
        missing(fields, absent, type_name, name, self.book)
        if len(self.book.problems) > before:
            return None
        return RawNode(type=type_name, fields=fields, metadata=_metadata(node))

    def _field(self, value: Any, field: Field, name: str, key: str) -> Value | None:
        if field.kind == "padding" and isinstance(value, str | bytes):
            return value.decode("utf8", "replace") if isinstance(value, bytes) else value
        try:
            # a copy, since the model's arrays are frozen and the caller's are not ours to freeze
            array = np.array(value)
        except (TypeError, ValueError, RuntimeError) as error:
            self.book.fault(f"cannot be made an array: {error}", place(name, key), value=type(value).__name__)
            return None
        return floats(array, name, key, self.book) if field.kind == "array" else integers(array, name, key, self.book)


def _attribute(node: Any, type_name: str, key: str) -> Any:
    """The attribute that a file would store under `key`; None where there is none."""
    if key == "input_type" or (key == "shape" and type_name == "Input"):
        types = getattr(node, "input_type", None)
        found = types.get("input") if isinstance(types, Mapping) else types
    elif key == "shape":
        types = getattr(node, "output_type", None)
        found = types.get("output") if isinstance(types, Mapping) else types
    else:
        found = None
    return found if found is not None else getattr(node, key, None)


def _metadata(node: Any) -> dict[str, Any]:
    found = getattr(node, "metadata", None)
    return {str(key): value for key, value in found.items()} if isinstance(found, Mapping) else {}
