"""Typed doorway to numba, so that compiled functions keep their Python signatures for type checkers."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

__all__ = ["fma32", "njit", "njit_inlined"]

F = TypeVar("F", bound=Callable[..., Any])

# numba ships no type information; importing it by name keeps strict type checkers quiet without per-line exceptions.
_numba: Any = importlib.import_module("numba")
_extending: Any = importlib.import_module("numba.extending")


def _compiled(function: F, **options: Any) -> F:
    """`function` compiled on first call, and cached on disk where numba finds a writable place for that."""
    # error_model="numpy": integer division needs no test for zero; divisors are sizes checked when a core is built.
    try:
        return cast(F, _numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function))
    except RuntimeError:  # no locator: read-only installation without a home directory
        return cast(F, _numba.njit(nogil=True, error_model="numpy", **options)(function))


def njit(function: F) -> F:
    """Compile `function` (nopython, releases the GIL, cached on disk)."""
    return _compiled(function)


def njit_inlined(function: F) -> F:
    """As `njit`, and always inlined into the compiled function that calls it."""
    return _compiled(function, forceinline=True)


def _fma32(context: Any, a: Any, b: Any, c: Any) -> Any:
    """A * b + c, rounded once to float32. Compiled code only; an instruction where the machine has one."""
    single = _numba.types.float32
    if not all(each == single for each in (a, b, c)):
        return None

    def written(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return single(single, single, single), written


fma32: Any = _extending.intrinsic(_fma32)
