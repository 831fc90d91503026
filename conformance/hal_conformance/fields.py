"""Walking a configuration: every field with a declared range, and a copy of the whole with that one field beyond it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal, get_origin

import attrs
import numpy as np

from hal.config import FieldSpec

Rebuild = Callable[[Any], Any]
Fault = tuple[str, Callable[[], Any], str]
"""Path of the field, what makes the broken configuration, and what is wrong with it in words."""


def spec_of(field: Any) -> FieldSpec | None:
    """What `hal.config.setting` or `array` said about a field."""
    found: FieldSpec | None = next((v for v in field.metadata.values() if isinstance(v, FieldSpec)), None)
    return found


def undocumented(cls: type, seen: set[type] | None = None) -> Iterator[str]:
    """Class.field of every field without a text, nested classes included."""
    seen = set() if seen is None else seen
    if cls in seen:
        return
    seen.add(cls)
    attrs.resolve_types(cls)
    for field in attrs.fields(cls):
        if field.init:
            spec = spec_of(field)
            if spec is None or not spec.doc.strip():
                yield f"{cls.__name__}.{field.name}"
            for inner in classes_in(field.type):
                yield from undocumented(inner, seen)


def classes_in(kind: Any) -> Iterator[type]:
    """The config classes an annotation mentions."""
    if isinstance(kind, type) and attrs.has(kind):
        yield kind
    for part in getattr(kind, "__args__", ()):
        yield from classes_in(part)


def faults(config: Any) -> Iterator[Fault]:
    """Each declared limit of each field of each class that occurs in `config`, overstepped once."""
    yield from _walk(config, lambda whole: whole, "", set())


def _walk(part: Any, rebuild: Rebuild, path: str, seen: set[tuple[type, str]]) -> Iterator[Fault]:
    cls = type(part)
    attrs.resolve_types(cls)
    for field in attrs.fields(cls):
        if not field.init:
            continue
        where = f"{path}.{field.name}" if path else field.name
        value = getattr(part, field.name)

        def put(new: Any, name: str = field.alias) -> Any:
            return rebuild(attrs.evolve(part, **{name: new}))

        spec = spec_of(field)
        if spec is not None and (cls, field.name) not in seen:
            made = list(_beyond(value, field.type, spec, put, where))
            if made:
                seen.add((cls, field.name))
                yield from made
        yield from _inside(value, put, where, seen)


def _inside(value: Any, put: Rebuild, where: str, seen: set[tuple[type, str]]) -> Iterator[Fault]:
    if attrs.has(type(value)):
        yield from _walk(value, put, where, seen)
    elif isinstance(value, tuple):
        for k, item in enumerate(value):

            def put_item(new: Any, k: int = k) -> Any:
                return put((*value[:k], new, *value[k + 1 :]))

            if attrs.has(type(item)):
                yield from _walk(item, put_item, f"{where}[{k}]", seen)


def _beyond(value: Any, kind: Any, spec: FieldSpec, put: Rebuild, where: str) -> Iterator[Fault]:
    if spec.dtype:
        for array, what in _arrays(value, spec):
            yield where, partial(put, array), what
        return
    if get_origin(kind) is Literal:
        yield where, partial(put, "no such word"), "'no such word'"
        return
    item = value[0] if isinstance(value, tuple) and value else value
    for new, what in _scalars(item, spec):
        whole = (new, *value[1:]) if isinstance(value, tuple) else new
        yield where, partial(put, whole), what


def _scalars(value: Any, spec: FieldSpec) -> Iterator[tuple[Any, str]]:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return
    if spec.choices:
        new = "no such word" if isinstance(value, str) else max(spec.choices) + 1
        yield new, f"{new!r}, which is none of {list(spec.choices)}"
        return
    if isinstance(value, str):
        return
    kind = type(value)
    if spec.minimum is not None:
        yield kind(_step(spec.minimum, -1)), f"below the minimum {spec.minimum}"
    if spec.maximum is not None:
        yield kind(_step(spec.maximum, 1)), f"above the maximum {spec.maximum}"
    if kind is float:
        yield float("nan"), "NaN"


def _step(bound: float, sign: int) -> float:
    """One beyond for integers, clearly beyond for others."""
    return bound + sign * max(1, abs(bound) if not float(bound).is_integer() else 1)


def _arrays(value: Any, spec: FieldSpec) -> Iterator[tuple[Any, str]]:
    dtype = np.dtype(spec.dtype)
    if not isinstance(value, np.ndarray) or not value.size or dtype.kind not in "iuf":
        return
    low, high = spec.minimum, spec.maximum
    if dtype.kind in "iu" and dtype.itemsize < 8:
        low = np.iinfo(dtype).min if low is None else low
        high = np.iinfo(dtype).max if high is None else high
    wide = np.int64 if dtype.kind in "iu" else np.float64
    beyond = [(_step(low, -1), f"below the minimum {low}")] if low is not None else []
    beyond += [(_step(high, 1), f"above the maximum {high}")] if high is not None else []
    if dtype.kind == "f":
        beyond.append((float("nan"), "NaN"))
    for number, what in beyond:
        array = value.astype(wide)
        array.flat[0] = number
        yield array, what
