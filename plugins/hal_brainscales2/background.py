"""The chip's own sources of events on their way: which events there can be, when they come, who gets them."""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_brainscales2.config import BackgroundConfig
from hal_brainscales2.limits import (
    BACKGROUND_CLOCK_HZ,
    BACKGROUND_MASK,
    BACKGROUND_SOURCES,
    BUSES,
    background_input,
    host_output,
)
from hal_brainscales2.routes import passes
from hal_brainscales2.routing import Tables
from hal_emulators.background import Background

Ints = NDArray[Any]
DRAWN: Final = BACKGROUND_MASK + 1
"""Values of the bits that a mask can have drawn."""


def occurring(config: BackgroundConfig) -> tuple[Ints, Ints]:
    """Source 0..7 and label of every event that can come, (b,) each, by source and label."""
    bits = np.arange(DRAWN)
    sources, labels = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for k in np.flatnonzero(config.on & (~config.poisson | (config.rate > 0))).tolist():
        mask = int(config.mask[k]) if config.poisson[k] else 0
        made = (int(config.label[k]) & ~mask) | bits[bits & ~mask == 0]
        sources.append(np.full(made.size, k))
        labels.append(made)
    return np.concatenate(sources), np.concatenate(labels)


@attrs.frozen(eq=False)
class Sent:
    """Events of a stretch of time, (k,) each, in its order."""

    t: NDArray[np.float64]
    """s since the reset."""
    number: Ints
    """Which of those in `occurring`."""
    hemisphere: Ints
    to_host: NDArray[np.bool_]
    """Whether the crossbar has a node open for it, to the host."""


class Feed:
    """Registers, ready to send."""

    def __init__(self, config: BackgroundConfig, registers: Tables) -> None:
        """registers: with what is `occurring`, for the way to the host."""
        source, label = registers.background_source, registers.background_label
        self.size = source.size
        self._number = np.full((BACKGROUND_SOURCES, DRAWN), -1, np.int64)
        self._number[source, label % DRAWN] = np.arange(source.size)
        self._to_host = np.zeros(source.size, np.bool_)
        for link in range(BUSES):
            self._to_host[passes(registers, background_input(source), label, host_output(link))] = True
        self._generators = Background(
            **{field.name: getattr(config, field.name) for field in attrs.fields(BackgroundConfig)},
            clock_hz=BACKGROUND_CLOCK_HZ,
        )

    def between(self, start_s: float, until_s: float) -> Sent:
        """Events from `start_s` on and before `until_s`, s of the chip since the reset; pieces are the whole."""
        made = self._generators.between(start_s, until_s)
        number = self._number[made.source, made.label % DRAWN]
        return Sent(made.t, number, made.source // BUSES, self._to_host[number])
