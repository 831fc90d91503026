"""Fields of a config class: what they may hold, said once."""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

KEY: Final = "hal"


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
    return attrs.field(metadata={KEY: spec}, converter=converter, **more)


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
    return attrs.field(metadata={KEY: spec}, converter=convert, eq=attrs.cmp_using(np.array_equal), **more)


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


def fields_of(cls: type) -> list[tuple[str, Any, FieldSpec]]:
    """(name, annotation, spec) of every field of a config class."""
    attrs.resolve_types(cls)
    blank = FieldSpec(doc="")
    return [(f.name, f.type, f.metadata.get(KEY, blank)) for f in attrs.fields(cls) if f.init]
