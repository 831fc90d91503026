"""Config objects as JSON and back; nothing is converted in silence."""

from __future__ import annotations

import contextlib
import math
import types
from collections.abc import Mapping, Set
from typing import Any, Final, TypeVar, Union, cast, get_args, get_origin

import attrs
import cattrs
import numpy as np
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from numpy.typing import NDArray

from hal.config.checks import check, type_name
from hal.config.fields import KEY, FieldSpec
from hal.errors import ConfigError, Problem

T = TypeVar("T")


def _is_array(kind: Any) -> bool:
    return kind is np.ndarray or get_origin(kind) is np.ndarray


def _converter() -> cattrs.Converter:
    made = cattrs.Converter(forbid_extra_keys=True)
    made.register_unstructure_hook_func(_is_array, lambda values: values)
    for kinds in ((bool,), (int,), (float, int), (str,), (type(None),)):
        made.register_structure_hook(kinds[0], _strictly(kinds))
    made.register_structure_hook_func(_is_array, _array_in)
    made.register_structure_hook_factory(_is_union, lambda kind: _union_in(made, kind))
    made.register_structure_hook_factory(_is_sequence, lambda kind: _sequence_in(made, kind))

    def out_hook(cls: type) -> Any:
        attrs.resolve_types(cls)
        return make_dict_unstructure_fn(cls, made, _cattrs_use_alias=False)

    def in_hook(cls: type) -> Any:
        attrs.resolve_types(cls)
        arrays = {
            f.name: override(struct_hook=_array_in)
            for f in attrs.fields(cls)
            if f.metadata.get(KEY, FieldSpec(doc="")).dtype
        }
        return make_dict_structure_fn(cls, made, _cattrs_forbid_extra_keys=True, **cast(Any, arrays))

    made.register_unstructure_hook_factory(attrs.has, out_hook)
    made.register_structure_hook_factory(attrs.has, in_hook)
    return made


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _union_in(made: cattrs.Converter, kind: Any) -> Any:
    """The first member, in the order written, that takes the value."""

    def structure(value: Any, _: Any) -> Any:
        for member in get_args(kind):
            with contextlib.suppress(Exception):
                return made.structure(value, member)
        raise ValueError(f"{value!r:.60} is none of {type_name(kind)}")

    return structure


def _is_sequence(kind: Any) -> bool:
    return get_origin(kind) in (tuple, frozenset, Set)


def _sequence_in(made: cattrs.Converter, kind: Any) -> Any:
    """Lists, and no text taken apart."""
    origin: Any = frozenset if get_origin(kind) is Set else get_origin(kind)
    members = get_args(kind)
    fixed = origin is tuple and members[-1:] != (Ellipsis,)

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, list | tuple | set | frozenset):
            raise ValueError(f"{value!r:.60} is a {type(value).__name__}, not a list")
        if fixed and len(value) != len(members):
            raise ValueError(f"{len(value)} items, not {len(members)}")
        kinds = members if fixed else (members[0],) * len(value)
        return origin(made.structure(item, member) for item, member in zip(value, kinds, strict=True))

    return structure


def _strictly(kinds: tuple[Any, ...]) -> Any:
    """A structure hook that converts nothing: JSON says 3, not "3"."""

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError(f"{value!r} is a {type(value).__name__}, not a {kinds[0].__name__}")
        return float(value) if kinds[0] is float else value

    return structure


def _array_out(value: NDArray[Any]) -> dict[str, Any]:
    """Infinities as text: JSON has no word for them."""
    data = [str(v) if isinstance(v, float) and math.isinf(v) else v for v in value.ravel().tolist()]
    return {"dtype": value.dtype.name, "shape": list(value.shape), "data": data}


def _array_in(data: Any, _: Any) -> NDArray[Any]:
    if isinstance(data, Mapping):
        return np.asarray(data["data"], dtype=data["dtype"]).reshape(data["shape"])
    return np.asarray(data)


_JSON: Final = _converter()


def to_tree(config: Any) -> dict[str, Any]:
    """Nested dicts and lists of a config, arrays left as they are."""
    tree: dict[str, Any] = _JSON.unstructure(config)
    return tree


def to_json(config: Any) -> dict[str, Any]:
    """A JSON object of a config; arrays become {dtype, shape, data}."""
    plain: dict[str, Any] = _jsonable(to_tree(config))
    return plain


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(_jsonable(item) for item in value)
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, np.ndarray):
        return _array_out(value)
    return value.item() if isinstance(value, np.generic) else value


def from_json(cls: type[T], data: Any) -> T:
    """The inverse of `to_json` and `to_tree`, checked; ConfigError lists every problem with its path."""
    try:
        made = _JSON.structure(data, cls)
    except cattrs.BaseValidationError as error:
        lines = cattrs.transform_error(error, path=cls.__name__)
        raise ConfigError(
            f"cannot read {cls.__name__} from JSON", problems=[Problem(line) for line in lines]
        ) from error
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ConfigError(f"cannot read {cls.__name__} from JSON", problems=[Problem(str(error))]) from error
    return check(made, cls.__name__)
