"""What guards a device: the clock on the wall while a run goes on, and one thread at a time."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from hal.errors import ConfigError, DeviceBusyError, DeviceTimeoutError

if TYPE_CHECKING:
    from hal.device import Device

F = TypeVar("F", bound=Callable[..., Any])


class Watch:
    """Called as a run advances: breaks it off with DeviceTimeoutError once its wall time is up."""

    def __init__(self, timeout_s: float | None) -> None:
        number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
        if timeout_s is not None and not (number and timeout_s >= 0):
            raise ConfigError("a time-out is a number of seconds >= 0, or None", timeout_s=timeout_s)
        self.timeout_s = timeout_s
        self.deadline = None if timeout_s is None else time.monotonic() + timeout_s

    def __call__(self, t_ns: int) -> None:
        """Raise DeviceTimeoutError when the deadline has passed; t_ns: model time reached."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise DeviceTimeoutError(
                f"the run did not end within {self.timeout_s} s; it had reached {t_ns} ns",
                hint="give it more time, or a shorter duration",
                timeout_s=self.timeout_s,
                t_ns=t_ns,
            )


def alone(method: F) -> F:
    """A method that refuses to run while another thread is in one of the device's."""

    @functools.wraps(method)
    def guarded(self: Device, *arguments: Any, **more: Any) -> Any:
        if not self._lock.acquire(blocking=False):
            raise DeviceBusyError(f"{self.spec.name} is in use by another thread", hint="open one device per thread")
        try:
            return method(self, *arguments, **more)
        finally:
            self._lock.release()

    return cast(F, guarded)
