"""What the vendor's JSON has no place for, as a table of its own beside it."""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.config import array, setting
from hal_dynapse2.config import PARAMETERS, ChipsConfig, HostConfig, InputConfig, PopulationConfig, flags, ints

Ints = NDArray[Any]
KEY: Final = "neurohal"
"""Its key, after the vendor's "value0"."""
VERSION: Final = 1


@attrs.frozen(kw_only=True)
class NotesConfig:
    """What the vendor's layout has no place for."""

    version: int = setting(VERSION, doc="of this table", minimum=VERSION, maximum=VERSION)
    step_ns: int | None = setting(None, doc="step of the clocked device", unit="ns", minimum=1)
    inputs: tuple[InputConfig, ...] = setting((), doc="host inputs")
    populations: tuple[PopulationConfig, ...] = setting((), doc="runs of rows")
    chips: ChipsConfig = setting(doc="the grid", factory=ChipsConfig)
    host: HostConfig = setting(doc="the host's events", factory=HostConfig)
    rows: Ints = ints("uint8", "chip, core and neuron of each row", 255, 3)
    cores: Ints = ints("uint8", "chip and core of each row of the core table", 255, 2)
    asked: NDArray[np.bool_] = flags("whether a current was asked for", len(PARAMETERS))
    wanted: NDArray[np.float64] = array(
        "float64", (None, len(PARAMETERS)), doc="that current", unit="A", minimum=0
    )  # fmt: skip
