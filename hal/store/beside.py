"""What one thread does beside the run, so that the run need not wait for it: checksums, and the mapping's file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

APART_BYTES: Final = 1 << 15
"""Messages from this size go to the thread: handing over a smaller one costs as much as its checksum."""

_workers: dict[int, ThreadPoolExecutor] = {}


def beside(function: Callable[..., None], *args: Any, **more: Any) -> Future[None]:
    """Have it done by the one thread of this process; a forked process has none of its parent's."""
    if os.getpid() not in _workers:
        _workers.clear()
        _workers[os.getpid()] = ThreadPoolExecutor(1, "neurohal-beside")
    return _workers[os.getpid()].submit(function, *args, **more)


class Checksum:
    """SHA-256 of messages in the order they were given; they must not change afterwards."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._last: Future[None] | None = None

    def update(self, message: bytes) -> None:
        """Add a message; a large one, or one behind it, is left to the thread."""
        waiting = self._last is not None and not self._last.done()
        if waiting or len(message) >= APART_BYTES:
            self._last = beside(self._digest.update, message)
        else:
            self._digest.update(message)

    def hexdigest(self) -> str:
        """Of all messages so far; waits for them."""
        if self._last is not None:
            self._last.result()
        return self._digest.hexdigest()
