"""The one exception by which a check says that a device broke a rule."""

from __future__ import annotations

from typing import NoReturn


class ConformanceFailure(AssertionError):  # noqa: N818  (what pytest shows as a failure, not an error)
    """A device broke a rule of the contract. Only this counts as a failure that can be expected."""


class NothingOffered(Exception):  # noqa: N818  (no error: there is nothing to judge)
    """The device offers nothing of what a binding check judges. It did no wrong, and does not reach the level."""


def nothing(text: str) -> NoReturn:
    """Say what is not there; for binding checks only."""
    raise NothingOffered(text)


def fail(text: str) -> NoReturn:
    """Say which rule was broken, with the values."""
    raise ConformanceFailure(text)


def demand(condition: object, text: str) -> None:
    """Fail with `text` unless the condition holds. Unlike `assert`, it also works under `python -O`."""
    if not condition:
        raise ConformanceFailure(text)
