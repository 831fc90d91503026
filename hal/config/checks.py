"""Everything that is wrong with a config object, and making one from keywords."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Set
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

import attrs
import numpy as np

from hal.config.fields import FieldSpec, fields_of
from hal.errors import ConfigError, Problem

T = TypeVar("T")


def problems(config: Any, where: str = "") -> list[Problem]:
    """Everything wrong with a config object, fields first, then the rules between fields."""
    found: list[Problem] = []
    for name, kind, spec in fields_of(type(config)):
        path = f"{where}.{name}" if where else name
        found += _value_problems(getattr(config, name), kind, spec, path)
    rules = getattr(config, "rules", None)
    if rules is not None and not found:
        found += [attrs.evolve(p, where=f"{where}.{p.where}" if where else p.where) for p in rules()]
    return found


def check(config: T, what: str = "the configuration") -> T:
    """Return the config, or raise ConfigError with every problem."""
    found = problems(config)
    if found:
        raise ConfigError(f"not valid: {what}", problems=found)
    return config


def _value_problems(value: Any, kind: Any, spec: FieldSpec, where: str) -> list[Problem]:
    if spec.dtype:
        return _array_problems(value, spec, where)
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return []
        kinds = [arg for arg in args if arg is not type(None)]
        answers = [_value_problems(value, arg, spec, where) for arg in kinds]
        return min(answers, key=len)
    if origin is Literal:
        known = any(type(value) is type(arg) and value == arg for arg in args)
        return [] if known else [_unknown_word(value, args, where)]
    if origin in (tuple, frozenset, list, Set) or kind in (tuple, frozenset, list):
        if not isinstance(value, origin or kind):
            return [_wrong_type(value, kind, where)]
        if origin is tuple and args[-1:] != (Ellipsis,):
            if len(value) != len(args):
                return [Problem("wrong length", where, value=len(value), limit=len(args))]
            return [p for i, v in enumerate(value) for p in _value_problems(v, args[i], spec, f"{where}[{i}]")]
        item = args[0] if args else Any
        return [p for i, v in enumerate(value) for p in _value_problems(v, item, spec, f"{where}[{i}]")]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            return [_wrong_type(value, kind, where)]
        return [p for key, v in value.items() for p in _value_problems(v, args[1], spec, f"{where}[{key!r}]")]
    if kind is Any:
        return []
    if attrs.has(kind):
        return problems(value, where) if isinstance(value, kind) else [_wrong_type(value, kind, where)]
    return _scalar_problems(value, kind, spec, where)


def _scalar_problems(value: Any, kind: Any, spec: FieldSpec, where: str) -> list[Problem]:
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    good = {
        bool: isinstance(value, bool),
        int: number and float(value).is_integer() and not isinstance(value, float),
        float: number,
        str: isinstance(value, str),
    }.get(kind, isinstance(value, kind) if isinstance(kind, type) else True)
    if not good:
        return [_wrong_type(value, kind, where)]
    if spec.choices and value not in spec.choices:
        return [_unknown_word(value, spec.choices, where)]
    if number:
        if not math.isfinite(value):
            return [Problem("is not finite", where, value=value, limit=_range(spec), hint=spec.doc)]
        low = spec.minimum is not None and value < spec.minimum
        high = spec.maximum is not None and value > spec.maximum
        if low or high:
            return [Problem("out of range", where, value=value, limit=_range(spec), hint=spec.doc)]
    return []


def _array_problems(value: Any, spec: FieldSpec, where: str) -> list[Problem]:
    if not isinstance(value, np.ndarray):
        return [_wrong_type(value, np.ndarray, where)]
    found = []
    if spec.shape is not None and (
        value.ndim != len(spec.shape)
        or any(want is not None and have != want for have, want in zip(value.shape, spec.shape, strict=True))
    ):
        found.append(Problem("wrong shape", where, value=value.shape, limit=spec.shape))
    if value.dtype.kind not in "biuf":
        return [*found, Problem("wrong dtype", where, value=str(value.dtype), limit=spec.dtype)]
    dtype = np.dtype(spec.dtype)
    low, high = spec.minimum, spec.maximum
    if dtype.kind in "iub":
        least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        low = least if low is None else low
        high = most if high is None else high
    if value.size:
        faulty = np.isnan if spec.infinite else lambda v: ~np.isfinite(v)
        bad = faulty(value) if value.dtype.kind == "f" else np.zeros(value.shape, bool)
        if dtype.kind in "iub" and value.dtype.kind == "f":
            bad |= value != np.floor(value)
        if low is not None:
            bad |= value < low
        if high is not None:
            bad |= value > high
        if bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            limit = f"{spec.dtype} in {_number(low)}..{_number(high)}"
            count = int(bad.sum())
            what = "out of range" if count == 1 else f"{count} elements out of range, the first"
            found.append(Problem(what, f"{where}{list(at)}", value=value[at].item(), limit=limit, hint=spec.doc))
    return found


def _wrong_type(value: Any, kind: Any, where: str) -> Problem:
    return Problem("wrong type", where, value=f"{value!r:.60} ({type(value).__name__})", limit=type_name(kind))


def _unknown_word(value: Any, words: tuple[Any, ...], where: str) -> Problem:
    near = get_close_matches(str(value), [str(word) for word in words], n=1)
    return Problem(
        "unknown value", where, repr(value), f"one of {list(words)}", hint=f"did you mean {near[0]!r}?" if near else ""
    )


def type_name(kind: Any) -> str:
    """A type in words."""
    return getattr(kind, "__name__", str(kind).replace("typing.", ""))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if abs(value) < 1e6 else str(int(value))


def _range(spec: FieldSpec) -> str:
    text = f"{_number(spec.minimum)}..{_number(spec.maximum)}"
    return f"{text} {spec.unit}".strip()


def build(cls: type[T], values: Mapping[str, Any], what: str) -> T:
    """Make `cls` from keywords; unknown names, missing fields and bad values are reported together.

    A field of a config class takes keywords, too: a mapping of its own.
    """
    names = [field.name for field in attrs.fields(cast(Any, cls)) if field.init]
    found = []
    for key in values:
        if key not in names:
            near = get_close_matches(str(key), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names) or 'none'}"
            found.append(Problem("no such option", str(key), value=values[key], hint=hint))
    required = [f.name for f in attrs.fields(cast(Any, cls)) if f.init and f.default is attrs.NOTHING]
    missing = [name for name in required if name not in values]
    found += [Problem("must be given", name) for name in missing]
    about = {name: (kind, spec) for name, kind, spec in fields_of(cls)}
    known = {}
    for key in (key for key in values if key in names):
        known[key], faults = _nested(about[key][0], values[key], key)
        found += faults
    if missing:
        found += [p for name, value in known.items() for p in _value_problems(value, *about[name], name)]
        raise ConfigError(f"not valid: {what}", problems=found)
    try:
        made = cls(**known)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"not valid: {what}", problems=[*found, Problem(str(error))]) from error
    faulty = {problem.where.partition(".")[0] for problem in found}
    found += [problem for problem in problems(made) if problem.where not in faulty]
    if found:
        raise ConfigError(f"not valid: {what}", problems=found)
    return made


def _nested(kind: Any, value: Any, where: str) -> tuple[Any, list[Problem]]:
    """A value made into the config class that its field asks for, if it does and keywords are given; else as it is."""
    cls = next((part for part in (kind, *get_args(kind)) if isinstance(part, type) and attrs.has(part)), None)
    if cls is None or not isinstance(value, Mapping) or get_origin(kind) not in (None, Union, types.UnionType):
        return value, []
    try:
        return build(cls, value, where), []
    except ConfigError as error:
        return value, [attrs.evolve(p, where=f"{where}.{p.where}" if p.where else where) for p in error.problems]
