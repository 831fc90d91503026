"""From compartments to the nodes and indices that a user asked for."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hal.events import Probe
from hal.mapping import Mapping
from hal.probes import feeding
from hal_emulators.loihi import Board
from hal_loihi.config import LoihiConfig, PopulationConfig


def taps(mapping: Mapping) -> dict[str, list[tuple[int, int]]]:
    """Recorded keys with the compartments behind them: (first, how many), for an Output those that feed it."""
    runs = {p.name: (p.first, math.prod(p.shape)) for p in mapping.config.populations}
    return {key: [runs[source] for source in sources] for key, sources in feeding(mapping).items()}


def population(config: LoihiConfig, name: str) -> PopulationConfig:
    """The run of compartments of that name."""
    return next(p for p in config.populations if p.name == name)


def who(config: LoihiConfig, compartment: int) -> tuple[str, int]:
    """(population, index) of a compartment."""
    p = max((p for p in config.populations if p.first <= compartment), key=lambda p: p.first)
    return p.name, compartment - p.first


def _indices(config: LoihiConfig, probe: Probe) -> NDArray[np.int64]:
    p = population(config, probe.node)
    index = np.arange(math.prod(p.shape)) if probe.indices is None else np.array(probe.indices, np.int64)
    return index + p.first


def _variable(probe: Probe, register: str) -> str:
    """The emulator's name of what is probed."""
    return "v_register" if (probe.variable, register) == ("v", "chip") else probe.variable


def wanted(config: LoihiConfig, probe: Probe, register: str) -> tuple[str, NDArray[np.int64], int]:
    """A sampled probe as the emulator takes it."""
    return _variable(probe, register), _indices(config, probe), int(probe.every_ns or 1) // config.step_ns


def state(config: LoihiConfig, board: Board, probe: Probe, register: str) -> NDArray[np.int32]:
    """What a probe sees after the last step."""
    values: NDArray[np.int32] = getattr(board.state(), _variable(probe, register))
    return values[_indices(config, probe)]
