"""A NIR graph as it was found, before shapes: plain values per node, the same whether read from a file or from objects.

Also the table of what each primitive must and may carry, and the conversions both readers share.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import attrs
import numpy as np

from hal.errors import Problem
from hal.fit import Finding
from hal.nodes import PRIMITIVES, Array

GRAPH: Final = "NIRGraph"
"""The type of a graph, at the root or inside another."""

MAX_NODES: Final = 4096
"""Nodes in one model, sub-graphs included: a group costs about 0.3 ms to read."""
MAX_EDGES: Final = 65_536
"""Edges of one graph."""
MAX_NESTING: Final = 32
"""Levels of graphs inside graphs."""
MAX_NAME: Final = 1024
"""Characters of a name or another text."""
MAX_RANK: Final = 8
"""Axes of an array or a shape."""

Kind = Literal["array", "ints", "padding"]


@attrs.frozen
class Field:
    """One dataset of a primitive: what it holds, and whether a file may leave it out."""

    kind: Kind = "array"
    required: bool = True


OPTIONAL: Final[Mapping[str, float]] = {"v_reset": 0.0, "w_in": 1.0}
"""Parameters that older files lack (nir before 1.0.6 and 0.2.0), with the value that NIR gives them."""

_INTS: Final = Field("ints")
_CONV: Final = {
    "input_shape": Field("ints", required=False),
    "weight": Field(),
    "stride": _INTS,
    "padding": Field("padding"),
    "dilation": _INTS,
    "groups": _INTS,
    "bias": Field(),
}
_POOL: Final = {"kernel_size": _INTS, "stride": _INTS, "padding": _INTS}
_OTHERS: Final[dict[str, dict[str, Field]]] = {
    "Input": {"shape": _INTS},
    "Output": {"shape": _INTS},
    "Conv1d": _CONV,
    "Conv2d": _CONV,
    "SumPool2d": _POOL,
    "AvgPool2d": _POOL,
    "Flatten": {
        "input_type": Field("ints", required=False),
        "start_dim": Field("ints", required=False),
        "end_dim": Field("ints", required=False),
    },
}
FIELDS: Final[Mapping[str, Mapping[str, Field]]] = {
    name: _OTHERS.get(name) or {p: Field(required=p not in OPTIONAL) for p in cls.parameters}
    for name, cls in PRIMITIVES.items()
}
"""Primitive -> its datasets."""

Value = Array | tuple[int, ...] | str


@attrs.frozen(kw_only=True, eq=False)
class RawNode:
    """One primitive: arrays as float32 or float64, integers as tuples, padding as tuple or word."""

    type: str
    fields: Mapping[str, Value]
    metadata: Mapping[str, Any]


@attrs.frozen(kw_only=True, eq=False)
class RawGraph:
    """A graph and its sub-graphs. A node that is None exists, but is broken and was reported."""

    nodes: Mapping[str, RawNode | RawGraph | None]
    edges: tuple[tuple[str, str], ...]
    metadata: Mapping[str, Any]


@attrs.define
class Notebook:
    """What a reader has to say: faults that stop it, and notes that do not."""

    problems: list[Problem] = attrs.field(factory=list)
    notes: list[Finding] = attrs.field(factory=list)

    def fault(self, what: str, where: str, value: Any = None, limit: Any = None, hint: str = "") -> None:
        """Something that makes the model unusable."""
        self.problems.append(Problem(what, where, value=value, limit=limit, hint=hint))

    def note(
        self, node: str, field: str, reason: str, wanted: Any = None, realised: Any = None, hint: str = ""
    ) -> None:
        """Something defaulted, broadcast, dropped or flattened."""
        self.notes.append(
            Finding(level="note", node=node, field=field, reason=reason, wanted=wanted, realised=realised, hint=hint)
        )


def place(name: str, field: str = "") -> str:
    """How messages name a node, and a field of it."""
    return f"node {name!r}, field {field!r}" if field else f"node {name!r}"


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint with the names that look like this one, or an empty text."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else ""


def unknown_type(type_name: str, name: str, book: Notebook) -> None:
    """Say that a type is none of NIR's."""
    near = nearest(type_name, PRIMITIVES)
    known = f"NIR defines {', '.join(sorted(PRIMITIVES))}"
    book.fault(f"unknown node type {type_name!r}", place(name), hint=f"{near} {known}".strip())


def floats(array: np.ndarray[Any, Any], name: str, field: str, book: Notebook) -> Array | None:
    """An array as float32 or float64 in native byte order; integers become float64, half precision float32."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if array.ndim > MAX_RANK:
        book.fault("too many axes", place(name, field), value=array.shape, limit=f"{MAX_RANK} axes")
        return None
    if array.size == 0:
        book.fault("the array is empty", place(name, field), value=array.shape, limit="at least one element")
        return None
    if kind in "biu":
        book.note(name, field, "integers converted to float64", wanted=str(array.dtype), realised="float64")
        return np.ascontiguousarray(array, np.float64).reshape(array.shape)
    if kind == "f" and size in (2, 4, 8):
        wide = np.float64 if size == 8 else np.float32
        if size == 2:
            book.note(name, field, "half precision widened", wanted=str(array.dtype), realised="float32")
        return np.ascontiguousarray(array, wide).reshape(array.shape)
    book.fault("not numbers: the dtype cannot be used", place(name, field), str(array.dtype), "a real number dtype")
    return None


def integers(array: np.ndarray[Any, Any], name: str, field: str, book: Notebook) -> tuple[int, ...] | None:
    """A scalar or one-dimensional array of whole numbers as a tuple."""
    if array.dtype.kind not in "iuf":
        book.fault("not integers: the dtype cannot be used", place(name, field), str(array.dtype), "an integer dtype")
        return None
    if array.ndim > 1 or not 0 < array.size <= MAX_RANK:
        book.fault("not a short list of integers", place(name, field), array.shape, f"1 to {MAX_RANK} values")
        return None
    flat = array.reshape(-1)
    if not np.all(np.isfinite(flat)) or np.any(flat != np.floor(flat)):
        book.fault("not whole numbers", place(name, field), value=flat.tolist(), limit="integers")
        return None
    return tuple(int(value) for value in flat)


def missing(fields: Mapping[str, Value], absent: Iterable[str], type_name: str, name: str, book: Notebook) -> None:
    """Report required fields that are not there; `absent` are those never found (a broken one is not missing)."""
    for field in absent:
        if FIELDS[type_name][field].required:
            hint = ""
            if field == "bias" and type_name == "Affine":
                hint = "without a bias the primitive is Linear"
            elif field == "bias":
                hint = "write zeros for a convolution without bias"
            found = ", ".join(sorted(fields)) or "nothing"
            book.fault(f"{type_name} needs {field!r}, found {found}", place(name, field), hint=hint)
