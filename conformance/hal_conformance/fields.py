"""Walking a configuration: every field with a declared range, and copies of the whole with one field at its ends."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Literal, get_args, get_origin

import attrs
import numpy as np

from hal.config import FieldSpec

Rebuild = Callable[[Any], Any]
Edited = tuple[str, "partial[Any]", str]
"""Path of the field, what makes the configuration with another value in it, and that value in words.

The value itself is the one argument of the partial.
"""


def at(config: Any, path: str) -> Any:
    """What is at a path such as `parts[0].level`."""
    for name, number in re.findall(r"([^\W\d]\w*)|\[(\d+)\]", path):
        config = getattr(config, name) if name else config[int(number)]
    return config


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


def faults(config: Any) -> Iterator[Edited]:
    """Each declared limit of each field of each class that occurs in `config`, overstepped once."""
    yield from _walk(config, lambda whole: whole, "", set(), _beyond)


def bounds(config: Any) -> Iterator[Edited]:
    """Each declared limit of each such field, met once."""
    yield from _walk(config, lambda whole: whole, "", set(), _bound)


Edits = Callable[[Any, Any, FieldSpec], Iterator[tuple[Any, str]]]
"""(value, annotation, what was said of the field) -> other values of it, and these in words."""


def _walk(part: Any, rebuild: Rebuild, path: str, seen: set[tuple[type, str]], edits: Edits) -> Iterator[Edited]:
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
            made = [(where, partial(put, new), what) for new, what in edits(value, field.type, spec)]
            if made:
                seen.add((cls, field.name))
                yield from made
        yield from _inside(value, put, where, seen, edits)


def _inside(value: Any, put: Rebuild, where: str, seen: set[tuple[type, str]], edits: Edits) -> Iterator[Edited]:
    if attrs.has(type(value)):
        yield from _walk(value, put, where, seen, edits)
    elif isinstance(value, tuple):
        for k, item in enumerate(value):

            def put_item(new: Any, k: int = k) -> Any:
                return put((*value[:k], new, *value[k + 1 :]))

            if attrs.has(type(item)):
                yield from _walk(item, put_item, f"{where}[{k}]", seen, edits)


def _beyond(value: Any, kind: Any, spec: FieldSpec) -> Iterator[tuple[Any, str]]:
    """One value beyond each limit, or none of the words there are."""
    if spec.dtype:
        for number, what in _array_beyond(value, spec):
            yield _filled(value, number), what
    elif get_origin(kind) is Literal:
        yield "no such word", "'no such word'"
    else:
        for number, what in _scalar_beyond(_first(value), spec):
            yield _placed(value, number), what


def _bound(value: Any, kind: Any, spec: FieldSpec) -> Iterator[tuple[Any, str]]:
    """The value at each limit, or each of the words."""
    if spec.dtype:
        for number, what in _array_limits(value, spec):
            yield _filled(value, number).astype(spec.dtype), what
        return
    first = _first(value)
    if isinstance(first, Mapping):
        return  # its limits are those of values there may be
    words = get_args(kind) if get_origin(kind) is Literal else spec.choices or ()
    for word in words:
        yield _placed(value, word), f"{word!r}"
    if words or isinstance(first, bool) or not isinstance(first, int | float):
        return
    for limit in (spec.minimum, spec.maximum):
        if limit is not None:
            yield _placed(value, type(first)(limit)), f"at its limit {limit}"


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) and value else value


def _placed(value: Any, new: Any) -> Any:
    """A tuple with another first item, or just that."""
    return (new, *value[1:]) if isinstance(value, tuple) and value else new


def _filled(value: Any, number: float) -> Any:
    """The array with another first item, in a type that holds it."""
    array = value.astype(np.int64 if value.dtype.kind in "iu" else np.float64)
    array.flat[0] = number
    return array


def _scalar_beyond(value: Any, spec: FieldSpec) -> Iterator[tuple[Any, str]]:
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


def _ends(value: Any, spec: FieldSpec) -> tuple[float | None, float | None]:
    """The declared range of an array's items, or that of its type; nothing for what has no numbers."""
    dtype = np.dtype(spec.dtype)
    if not isinstance(value, np.ndarray) or not value.size or dtype.kind not in "iuf":
        return None, None
    low, high = spec.minimum, spec.maximum
    if dtype.kind in "iu" and dtype.itemsize < 8:
        low = np.iinfo(dtype).min if low is None else low
        high = np.iinfo(dtype).max if high is None else high
    return low, high


def _array_limits(value: Any, spec: FieldSpec) -> Iterator[tuple[float, str]]:
    for limit in _ends(value, spec):
        if limit is not None:
            yield limit, f"at its limit {limit}"


def _array_beyond(value: Any, spec: FieldSpec) -> Iterator[tuple[float, str]]:
    low, high = _ends(value, spec)
    if low is not None:
        yield _step(low, -1), f"below the minimum {low}"
    if high is not None:
        yield _step(high, 1), f"above the maximum {high}"
    if np.dtype(spec.dtype).kind == "f" and isinstance(value, np.ndarray) and value.size:
        yield float("nan"), "NaN"
