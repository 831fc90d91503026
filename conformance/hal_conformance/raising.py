"""Demanding errors: of the right class, saying the right things."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hal.errors import CapabilityError, DeviceBusyError, HalError
from hal_conformance.failure import ConformanceFailure, demand

E = TypeVar("E", bound=HalError)


def raises(wanted: type[E], what: str, call: Callable[[], Any]) -> E:
    """Call, and give the error back; a failure when there is none, or one of another class but "busy"."""
    try:
        answer = call()
    except wanted as error:
        return error
    except DeviceBusyError:
        raise
    except Exception as error:
        raise ConformanceFailure(
            f"{what} raised {type(error).__name__} instead of {wanted.__name__}: {error}"
        ) from error
    raise ConformanceFailure(f"{what} should raise {wanted.__name__}; it returned {answer!r:.200}")


def naming(error: HalError, *words: str) -> None:
    """Fail unless the error names all of these, in its problems where it has any."""
    text = "\n".join(f"{problem.where} {problem}" for problem in error.problems) or str(error)
    for word in words:
        demand(word in text, f"the {type(error).__name__} does not name {word!r}: {error}")


def refused(word: str, what: str, call: Callable[[], Any]) -> CapabilityError:
    """Fail unless the call is refused for want of that capability."""
    error = raises(CapabilityError, f"{what}, without {word!r} being declared,", call)
    named = error.data.get("capability")
    demand(named == word, f"{what}: the CapabilityError carries capability {named!r}, not {word!r}")
    return error


def helpful(error: HalError) -> None:
    """Fail unless the error says what to do."""
    hints = [error.hint, *(problem.hint for problem in error.problems)]
    demand(any(hints), f"the {type(error).__name__} has no hint, nor has any of its problems: {error}")
