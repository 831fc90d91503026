"""How much of a run to hand to an emulator at a time, so that `Recorder.advance` is called often enough."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

CHUNK_S: Final = 0.03
"""Wall seconds that one piece should take: a third of what may pass between two calls of `advance`."""


class Pace:
    """A number of steps or events that follows the time they take. What a device answers must not depend on it.

    size: of the next piece, from `least` to `most`.
    """

    def __init__(self, first: int, *, least: int = 1, most: int = 1 << 16) -> None:
        self.size, self.least, self.most = first, least, most

    def took(self, seconds: float) -> None:
        """Say how long a piece took: the next one is twice or half as long, or the same."""
        if seconds < CHUNK_S / 2:
            self.size = min(2 * self.size, self.most)
        elif seconds > 2 * CHUNK_S:
            self.size = max(self.size // 2, self.least)

    def pieces(self, total: int, grid: int = 1) -> Iterator[tuple[int, int]]:
        """(start, length) of pieces that make up `total`; what the caller does between two of them is timed.

        grid: every piece but the last is a multiple of it.
        """
        start = 0
        while start < total:
            length = min(-(-self.size // grid) * grid, total - start)
            began = time.perf_counter()
            yield start, length
            self.took(time.perf_counter() - began)
            start += length
