"""The error tree. Every error says what, where, the value, the limit and what to do, and survives pickling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from hal.fit import FitReport


@attrs.frozen
class Problem:
    """One thing that is wrong, as data: the line of an error that lists several."""

    what: str
    where: str = ""
    value: Any = None
    limit: Any = None
    hint: str = ""

    def __str__(self) -> str:
        """One line: where, what, value, limit, hint, leaving out what is not known."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.value is not None:
            text += f" (value {self.value}"
            text += f", limit {self.limit})" if self.limit is not None else ")"
        elif self.limit is not None:
            text += f" (limit {self.limit})"
        return f"{text}; {self.hint}" if self.hint else text


class HalError(Exception):
    """Root of all errors raised by `hal` and by plugins.

    Args:
        message: what happened, in one sentence.
        hint: what the user can do about it.
        problems: every problem found, when there is more than one thing to say.
        data: further facts by name (names, values, limits, valid choices); kept in `.data`.
    """

    def __init__(self, message: str, *, hint: str = "", problems: Iterable[Problem] = (), **data: Any) -> None:
        self.message = message
        self.hint = hint
        self.problems: tuple[Problem, ...] = tuple(problems)
        self.data = data
        super().__init__(self._text())

    def _text(self) -> str:
        lines = [self.message, *(f"  - {problem}" for problem in self.problems)]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.hint, self.problems, self.data)


def _rebuild(
    cls: type[HalError], message: str, hint: str, problems: tuple[Problem, ...], data: dict[str, Any]
) -> HalError:
    error = cls.__new__(cls)
    HalError.__init__(error, message, hint=hint, problems=problems, **data)
    return error


class ConfigError(HalError, ValueError):
    """A configuration, option or argument is outside what its schema allows."""


class ModelError(HalError, ValueError):
    """A model file or graph is broken, hostile or not understood."""


class FormatError(HalError, ValueError):
    """A data file (events, recording, mapping, configuration) is not in the format it should be."""


class WriteError(HalError, OSError):
    """A file could not be written; for a recording `.data` has file, rows_safe, events_safe."""


class CapabilityError(HalError, NotImplementedError):
    """The device does not declare the capability that was asked for (`.data["capability"]`)."""


class StateError(HalError, RuntimeError):
    """The call is not legal in the device's present state."""


class DeviceBusyError(HalError):
    """Somebody else holds the device."""


class DeviceTimeoutError(HalError, TimeoutError):
    """A blocking call did not end within its `timeout_s`."""


class ExecutorError(HalError):
    """The workers of an executor died; `.data` has "recordings" (by number) and "left" (the numbers of the others)."""


class PluginError(HalError):
    """A plugin is missing, broken, incompatible or ambiguous."""


class OptionalDependencyError(HalError, ImportError):
    """A package that only some features need is not installed (`.data["package"]`)."""


class DoesNotFitError(HalError, ValueError):
    """The model does not run on the device; `.report` carries every reason."""

    def __init__(self, report: FitReport) -> None:
        super().__init__(
            f"the model does not fit {report.device}",
            problems=report.problems(),
            report=report,
        )

    @property
    def report(self) -> FitReport:
        """The full report: rows per resource, findings per node."""
        report: FitReport = self.data["report"]
        return report
