"""The one exception by which a check says that a device broke a rule."""

from __future__ import annotations

from typing import NoReturn


class ConformanceFailure(AssertionError):  # noqa: N818  (what pytest shows as a failure, not an error)
    """A device broke a rule of the contract. Only this counts as a failure that can be expected."""


def fail(text: str) -> NoReturn:
    """Say which rule was broken, with the values."""
    raise ConformanceFailure(text)


def demand(condition: object, text: str) -> None:
    """Fail with `text` unless the condition holds. Unlike `assert`, it also works under `python -O`."""
    if not condition:
        raise ConformanceFailure(text)
