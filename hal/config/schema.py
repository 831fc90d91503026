"""JSON Schema of config classes, with units, ranges and sources."""

from __future__ import annotations

import types
from collections.abc import Mapping, Set
from typing import Any, Final, Literal, Union, get_args, get_origin

import attrs
import numpy as np

from hal.config.fields import FieldSpec, fields_of


def json_schema(cls: type) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a config class, with units, ranges and sources."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": cls.__name__, **_object_schema(cls)}


def _object_schema(cls: type) -> dict[str, Any]:
    required = [f.name for f in attrs.fields(cls) if f.init and f.default is attrs.NOTHING]
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _schema(kind, spec) for name, kind, spec in fields_of(cls)},
    }
    if cls.__doc__ and not cls.__doc__.startswith("Method generated"):
        schema["description"] = " ".join(cls.__doc__.split("\n\n")[0].split())
    if required:
        schema["required"] = required
    return schema


_PLAIN: Final[dict[Any, str]] = {bool: "boolean", int: "integer", float: "number", str: "string"}


def _schema(kind: Any, spec: FieldSpec) -> dict[str, Any]:
    about: dict[str, Any] = {}
    if spec.doc:
        about["description"] = spec.doc
    if spec.unit:
        about["unit"] = spec.unit
    if spec.source:
        about["source"] = spec.source
    bounds: dict[str, Any] = {}
    if spec.minimum is not None:
        bounds["minimum"] = spec.minimum
    if spec.maximum is not None:
        bounds["maximum"] = spec.maximum
    if spec.choices:
        bounds["enum"] = list(spec.choices)
    if spec.dtype:
        number = "integer" if np.dtype(spec.dtype).kind in "iu" else "boolean" if spec.dtype == "bool" else "number"
        item: dict[str, Any] = {"type": number, **bounds}
        if number == "integer":
            info = np.iinfo(np.dtype(spec.dtype))
            item = {"minimum": int(info.min), "maximum": int(info.max)} | item
        if spec.infinite:
            item = {"anyOf": [item, {"enum": ["inf", "-inf"]}]}
        data = {"type": "array", "items": item}
        properties = {"dtype": {"const": spec.dtype}, "shape": {"type": "array"}, "data": data}
        return about | {"type": "object", "properties": properties, "required": ["dtype", "shape", "data"]}
    return about | _kind_schema(kind, bounds)


def _kind_schema(kind: Any, bounds: dict[str, Any]) -> dict[str, Any]:
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return {
            "anyOf": [{"type": "null"} if arg is type(None) else _kind_schema(arg, bounds) for arg in args],
        }
    if origin is Literal:
        return {"enum": list(args)}
    if origin is tuple and args[-1:] != (Ellipsis,):
        return {
            "type": "array",
            "prefixItems": [_kind_schema(arg, bounds) for arg in args],
            "minItems": len(args),
            "maxItems": len(args),
        }
    if origin in (tuple, frozenset, list, Set):
        unique = {"uniqueItems": True} if origin in (frozenset, Set) else {}
        return {"type": "array", "items": _kind_schema(args[0], bounds), **unique}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _kind_schema(args[1], bounds)}
    if isinstance(kind, type) and attrs.has(kind):
        return _object_schema(kind)
    if kind is type(None) or kind is None:
        return {"type": "null"}
    if kind in _PLAIN:
        return {"type": _PLAIN[kind], **bounds}
    return dict(bounds)
