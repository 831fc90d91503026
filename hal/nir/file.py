"""The guarded reader: NIR files of nir 0.1 to 1.0.8, by h5py, trusting nothing in them.

Every size is checked before a byte of data is read, and only hard links to plain datasets inside the file are
followed: an external link, external storage or a virtual dataset would read the user's other files as weights.
All faults are collected; the caller raises them together.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs
import h5py
import numpy as np

from hal.nir.h5guard import HDF5_FAULTS, Guard, dtype_of, is_text, open_guarded
from hal.nir.h5text import Texts
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

MAX_METADATA_BYTES = 2**16
"""Size of one metadata value; larger ones are left out with a note."""
MAX_METADATA_DEPTH = 8
"""Nesting of metadata groups."""


def read_file(path: Path, book: Notebook) -> RawGraph | None:
    """Read a NIR file; faults and notes go into `book`. None when not even a graph was found.

    Raises ModelError when the file cannot be opened at all.
    """
    with open_guarded(path) as file, path.open("rb") as raw:
        try:
            return _Reader(book=book, words=Texts.of(file, raw)).root(file)
        except HDF5_FAULTS as error:
            book.fault(f"the file is damaged: {error}", str(path))
            return None


@attrs.define(eq=False)
class _Reader(Guard):
    """NIR's own layout, on top of the guards."""

    nodes: int = 0

    def root(self, file: h5py.File) -> RawGraph | None:
        children = dict(self.children(file, "the file"))
        node = children.get("node")
        if not isinstance(node, h5py.Group):
            found = ", ".join(map(repr, sorted(children))) or "nothing"
            hint = "this looks like NIR data (signals), not a model" if "nodes" in children else ""
            self.book.fault(f"no group 'node' in the file, found {found}", "the file", hint=hint)
            return None
        if self.again(node, "the root graph"):
            return None
        found_node = self._node(node, "", 0)
        if isinstance(found_node, RawNode):
            hint = "wrap it with nir.NIRGraph.from_list"
            self.book.fault(f"the root is a {found_node.type}, not a {GRAPH}", "the file", hint=hint)
        return found_node if isinstance(found_node, RawGraph) else None

    def _node(self, group: h5py.Group, name: str, depth: int) -> RawNode | RawGraph | None:
        where = place(name) if name else "the root graph"
        children = dict(self.children(group, where))
        if not isinstance(children.get("type"), h5py.Dataset):
            self.book.fault("the group has no dataset 'type'", where)
            return None
        type_name = self.text(children["type"], name, "type")
        if type_name is None:
            return None
        if type_name == GRAPH:
            return self._graph(children, name, where, depth)
        if type_name not in FIELDS:
            unknown_type(type_name, name, self.book)
            return None
        return self._primitive(children, type_name, name)

    def _graph(self, children: dict[str, Any], name: str, where: str, depth: int) -> RawGraph | None:
        if depth >= MAX_NESTING:
            short = name if len(name) < 80 else f"{name[:30]}...{name[-30:]}"
            self.book.fault("sub-graphs are nested too deeply", place(short), value=depth, limit=MAX_NESTING)
            return None
        group = children.get("nodes")
        edges = self._edges(children.get("edges"), name, where)
        if not isinstance(group, h5py.Group):
            self.book.fault("the graph has no group 'nodes'", where)
            return None
        if self.again(group, f"the nodes of {where}"):
            return None
        self.nodes += len(group)
        if self.nodes > MAX_NODES:
            self.book.fault("too many nodes", where, value=self.nodes, limit=MAX_NODES)
            return None
        nodes: dict[str, RawNode | RawGraph | None] = {}
        for key, child in self.children(group, where):
            full = f"{name}.{key}" if name else key
            nodes[key] = None
            if not isinstance(child, h5py.Group):
                self.book.fault("a node is a group, this is not", place(full))
            elif not self.again(child, place(full)):
                nodes[key] = self._node(child, full, depth + 1)
        # a link that was refused is still a node of that name, not a dangling edge
        nodes |= {key: None for key in group if isinstance(key, str) and key not in nodes}
        return RawGraph(nodes=nodes, edges=edges, metadata=self._metadata_of(children, name))

    def _primitive(self, children: dict[str, Any], type_name: str, name: str) -> RawNode | None:
        before = len(self.book.problems)
        fields: dict[str, Value] = {}
        for key, field in FIELDS[type_name].items():
            if isinstance(children.get(key), h5py.Dataset):
                value = self._field(children[key], field, name, key)
                if value is not None:
                    fields[key] = value
        present = {key for key, child in children.items() if isinstance(child, h5py.Dataset)}
        missing(fields, [key for key in FIELDS[type_name] if key not in present], type_name, name, self.book)
        for key in sorted(set(children) - set(FIELDS[type_name]) - {"type", "metadata"}):
            self.book.note(name, key, f"not a parameter of {type_name}; ignored")
        if len(self.book.problems) > before:
            return None
        return RawNode(type=type_name, fields=fields, metadata=self._metadata_of(children, name))

    def _field(self, dataset: h5py.Dataset, field: Field, name: str, key: str) -> Value | None:
        if field.kind == "padding" and is_text(dataset):
            return self.text(dataset, name, key)
        array = self.array(dataset, name, key)
        if array is None:
            return None
        return floats(array, name, key, self.book) if field.kind == "array" else integers(array, name, key, self.book)

    def _edges(self, dataset: Any, name: str, where: str) -> tuple[tuple[str, str], ...]:
        """Pairs of node names; an empty list is stored by nir as an empty float array."""
        where = f"{where}, field 'edges'"
        if not isinstance(dataset, h5py.Dataset):
            self.book.fault("the graph has no dataset 'edges'", where)
            return ()
        shape, dtype = dataset.shape, dtype_of(dataset)
        if shape is not None and 0 in shape:
            return ()
        if dtype is None or not is_text(dataset) or shape is None or len(shape) != 2 or shape[1] != 2:
            self.book.fault("not pairs of names", where, value=f"{dtype} {shape}", limit="strings of shape (N, 2)")
            return ()
        if shape[0] > MAX_EDGES:
            self.book.fault("too many edges", where, value=shape[0], limit=MAX_EDGES)
            return ()
        if not self.readable(dataset, where, dtype.itemsize):
            return ()
        ends = self.texts(dataset, where) or []
        return tuple(zip(ends[::2], ends[1::2], strict=True))

    def _metadata_of(self, children: dict[str, Any], name: str) -> dict[str, Any]:
        group = children.get("metadata")
        if group is None:
            return {}
        where = place(name, "metadata") if name else "the root graph, field 'metadata'"
        if not isinstance(group, h5py.Group):
            self.book.note(name, "metadata", "not a group; ignored")
            return {}
        return self._metadata(group, name, "metadata", where, 1)

    def _metadata(self, group: h5py.Group, name: str, field: str, where: str, depth: int) -> dict[str, Any]:
        """Small values only: what is large, deep or of an odd type is left out with a note."""
        if self.again(group, where):
            return {}
        if depth > MAX_METADATA_DEPTH:
            self.book.note(name, field, "metadata nested too deeply; left out", realised=MAX_METADATA_DEPTH)
            return {}
        out: dict[str, Any] = {}
        for key, child in self.children(group, where):
            if isinstance(child, h5py.Group):
                out[key] = self._metadata(child, name, f"{field}/{key}", f"{where}/{key}", depth + 1)
                continue
            value = self._small(child, f"{where}/{key}")
            if value is None:
                self.book.note(name, f"{field}/{key}", "metadata that is large or of an odd type; left out")
            else:
                out[key] = value
        return out

    def _small(self, dataset: Any, where: str) -> Any:
        """A number, a text or a small array; None for anything else."""
        dtype = dtype_of(dataset) if isinstance(dataset, h5py.Dataset) else None
        if dtype is None or dataset.shape is None:
            return None
        if math.prod(dataset.shape) * dtype.itemsize > MAX_METADATA_BYTES:
            return None
        if is_text(dataset):
            if dataset.shape != () or not self.readable(dataset, where, dtype.itemsize):
                return None
            found = self.texts(dataset, where, MAX_METADATA_BYTES)
            return found[0] if found else None
        if dtype.kind not in "biuf" or not self.readable(dataset, where, dtype.itemsize):
            return None
        value = dataset[()]
        return value.item() if dataset.shape == () else np.asarray(value)
