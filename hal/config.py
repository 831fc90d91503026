"""Configuration classes: one declaration of a field gives its check, its JSON form and its JSON Schema.

A config class is an attrs class whose fields are made with `setting` (a number, word, flag or nested class) or
`array` (a numpy array with dtype, shape and range). A plugin has four of them: `MapOptions`, `OpenOptions`, its
register `Config` and its `Profile`. Rules between fields go into a method `rules(self) -> Iterable[Problem]`.
"""

from __future__ import annotations

import contextlib
import math
import types
from collections.abc import Iterable, Iterator, Mapping, Set
from difflib import get_close_matches
from typing import Any, ClassVar, Final, Literal, TypeVar, Union, cast, get_args, get_origin

import attrs
import cattrs
import numpy as np
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from numpy.typing import ArrayLike, NDArray

from hal.errors import ConfigError, Problem

T = TypeVar("T")
_KEY: Final = "hal"


@attrs.frozen(kw_only=True)
class FieldSpec:
    """What a field may hold. shape: one entry per axis, None for any length; None for any rank."""

    doc: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()
    source: str = ""
    dtype: str = ""
    shape: tuple[int | None, ...] | None = None
    infinite: bool = False


def setting(
    default: Any = attrs.NOTHING,
    *,
    doc: str,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[Any, ...] = (),
    source: str = "",
    factory: Any = None,
    converter: Any = None,
) -> Any:
    """A scalar, word, flag, nested config or collection of them; the annotation says which."""
    spec = FieldSpec(doc=doc, unit=unit, minimum=minimum, maximum=maximum, choices=choices, source=source)
    more: dict[str, Any] = {"factory": factory} if factory is not None else {"default": default}
    return attrs.field(metadata={_KEY: spec}, converter=converter, **more)


def array(
    dtype: str,
    shape: tuple[int | None, ...] | None = None,
    *,
    doc: str,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    source: str = "",
    infinite: bool = False,
    factory: Any = None,
) -> Any:
    """A numpy array of one dtype. Lists are converted; a value the dtype cannot hold is kept and reported.

    infinite: +-inf is a legal value (no bound, never).
    """
    spec = FieldSpec(
        doc=doc,
        unit=unit,
        minimum=minimum,
        maximum=maximum,
        source=source,
        dtype=np.dtype(dtype).name,
        shape=shape,
        infinite=infinite,
    )

    def convert(value: ArrayLike) -> NDArray[Any]:
        return as_dtype(value, np.dtype(dtype))

    more: dict[str, Any] = {"factory": factory} if factory is not None else {}
    return attrs.field(metadata={_KEY: spec}, converter=convert, eq=attrs.cmp_using(np.array_equal), **more)


def as_dtype(value: ArrayLike, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Contiguous, read-only, of `dtype` when that loses nothing; else as given, for `problems` to report."""
    given = np.asarray(value)
    if not _holds(dtype, given):
        return given
    out = np.asarray(given, dtype, order="C")
    if out is given or out.base is not None:
        out = out.copy()
    out.flags.writeable = False
    return out


def _holds(dtype: np.dtype[Any], given: NDArray[Any]) -> bool:
    """Whether every value of an array can be stored as `dtype`; floats may round."""
    if given.dtype == dtype or not given.size:
        return True
    if given.dtype.kind not in "biuf":
        return False
    if dtype.kind == "f":
        return True
    if given.dtype.kind == "f" and not (np.isfinite(given).all() and (given == np.floor(given)).all()):
        return False
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return low <= int(given.min()) and int(given.max()) <= high


def _fields(cls: type) -> list[tuple[str, Any, FieldSpec]]:
    attrs.resolve_types(cls)
    blank = FieldSpec(doc="")
    return [(f.name, f.type, f.metadata.get(_KEY, blank)) for f in attrs.fields(cls) if f.init]


# --- checking -------------------------------------------------------------------------------------------------------


def problems(config: Any, where: str = "") -> list[Problem]:
    """Everything wrong with a config object, fields first, then the rules between fields."""
    found: list[Problem] = []
    for name, kind, spec in _fields(type(config)):
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
    return Problem("wrong type", where, value=f"{value!r:.60} ({type(value).__name__})", limit=_type_name(kind))


def _unknown_word(value: Any, words: tuple[Any, ...], where: str) -> Problem:
    near = get_close_matches(str(value), [str(word) for word in words], n=1)
    return Problem(
        "unknown value", where, repr(value), f"one of {list(words)}", hint=f"did you mean {near[0]!r}?" if near else ""
    )


def _type_name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind).replace("typing.", ""))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if abs(value) < 1e6 else str(int(value))


def _range(spec: FieldSpec) -> str:
    text = f"{_number(spec.minimum)}..{_number(spec.maximum)}"
    return f"{text} {spec.unit}".strip()


# --- making from keywords and JSON ----------------------------------------------------------------------------------


def build(cls: type[T], values: Mapping[str, Any], what: str) -> T:
    """Make `cls` from keywords; unknown names, missing fields and bad values are reported together."""
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
    known = {key: value for key, value in values.items() if key in names}
    if missing:
        about = {name: (kind, spec) for name, kind, spec in _fields(cls)}
        found += [p for name, value in known.items() for p in _value_problems(value, *about[name], name)]
        raise ConfigError(f"not valid: {what}", problems=found)
    try:
        made = cls(**known)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"not valid: {what}", problems=[*found, Problem(str(error))]) from error
    found += problems(made)
    if found:
        raise ConfigError(f"not valid: {what}", problems=found)
    return made


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
            if f.metadata.get(_KEY, FieldSpec(doc="")).dtype
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
        raise ValueError(f"{value!r:.60} is none of {_type_name(kind)}")

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


# --- schema ---------------------------------------------------------------------------------------------------------


def json_schema(cls: type) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a config class, with units, ranges and sources."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": cls.__name__, **_object_schema(cls)}


def _object_schema(cls: type) -> dict[str, Any]:
    required = [f.name for f in attrs.fields(cls) if f.init and f.default is attrs.NOTHING]
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _schema(kind, spec) for name, kind, spec in _fields(cls)},
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


def words(given: Any) -> frozenset[str]:
    """A set of words; a single one may stand for itself. What is no collection is kept, to be refused."""
    if isinstance(given, str):
        return frozenset([given])
    return frozenset(given) if isinstance(given, Iterable) else given


# --- the base of what users ask of a mapper -------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class MapOptions:
    """What the user asks of the mapper; plugins subclass it.

    `approximate` lists what the mapper may change about the model's semantics (words such as leak, reset, delays);
    nothing is approximated that is not listed here, and what is approximated is a finding.
    """

    approximations: ClassVar[tuple[str, ...]] = ()
    """The words this mapper understands."""

    approximate: Set[str] = setting(
        frozenset(), doc="what the mapper may change about the model's semantics", converter=words
    )

    def rules(self) -> Iterator[Problem]:
        """Only words that mean something."""
        for word in sorted(self.approximate - set(self.approximations)):
            near = get_close_matches(word, self.approximations, n=1)
            hint = f"did you mean {near[0]!r}?" if near else ""
            limit = f"one of {list(self.approximations)}" if self.approximations else "nothing"
            yield Problem("cannot be approximated here", "approximate", value=word, limit=limit, hint=hint)


@attrs.frozen(kw_only=True)
class OpenOptions:
    """How this device behaves while it is open; plugins subclass it."""


@attrs.frozen(kw_only=True)
class Profile:
    """One individual chip: what was calibrated or is known to be bad. Plugins subclass it where they have one."""

    id: str = setting(doc="name of the individual")
