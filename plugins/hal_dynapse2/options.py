"""What users may ask of the mapper and of the emulators, and what is known of an individual chip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from hal import config
from hal.config import array, setting
from hal.errors import Problem
from hal_dynapse2.limits import CAM_ENTRIES, CORES, MAX_GRID, NEURONS, TAGS


@attrs.frozen(kw_only=True)
class Dynapse2MapOptions(config.MapOptions):
    """What a user may ask of the mapper.

    `approximate` may name: synapse (LIF neurons, whose input jumps: by a short synaptic current), reset (reset rules
    the chip lacks), delays (the chip has none), time_constants (as near as the bias generator comes).
    """

    approximations: ClassVar[tuple[str, ...]] = ("synapse", "reset", "delays", "time_constants")

    grid: tuple[int, int] = setting((1, 1), doc="chips side by side: columns, rows", minimum=1, maximum=MAX_GRID)
    tolerance: float = setting(
        0.0,
        doc="neurons share a core if their parameters differ by at most this share from those the core is set to",
        minimum=0.0,
        maximum=1.0,
    )
    entries: int = setting(
        1, doc="CAM entries that may add up to one weight; each costs fan-in", minimum=1, maximum=CAM_ENTRIES
    )
    iscale: float | None = setting(
        None,
        doc="base current per unit of weight; None: thresholds at 1e-7 A, or as near as base currents allow",
        unit="A",
        minimum=1e-15,
        maximum=1e-3,
    )
    codes: Mapping[str, tuple[tuple[int, ...], ...]] = setting(
        doc="codes set by hand: weight node -> (flat index of the weight, code 0..15), ...", minimum=0, factory=dict
    )
    refractory_s: Mapping[str, float] = setting(
        doc="population -> refractory period; else half a step, since the model's neurons start again at its end",
        unit="s",
        minimum=1e-7,
        maximum=1.0,
        factory=dict,
    )
    synapse_s: float = setting(
        2e-4, doc="time constant of the current that stands for a jump (`synapse`)", unit="s", minimum=1e-5, maximum=1.0
    )
    exponential: bool = setting(
        False, doc="spikes start by positive feedback instead of at the threshold: no model of NIR has that"
    )
    cores: Mapping[str, tuple[int, ...]] = setting(
        doc="population -> the cores it may use, 4 to a chip; else wherever there is room", minimum=0, factory=dict
    )

    def rules(self) -> Iterator[Problem]:
        """Pairs of an index and a code; cores there are."""
        yield from super().rules()
        for node, pairs in self.codes.items():
            for pair in pairs:
                if len(pair) != 2 or pair[1] > 15:
                    yield Problem("(flat index, code)", f"codes[{node!r}]", value=pair, limit="code 0..15")
        most = self.grid[0] * self.grid[1] * CORES
        for name, cores in self.cores.items():
            if cores and max(cores) >= most:
                yield Problem("no such core", f"cores[{name!r}]", value=max(cores), limit=f"0..{most - 1}")


@attrs.frozen(kw_only=True)
class Dynapse2OpenOptions(config.OpenOptions):
    """How the chip-like emulator behaves. What is called an assumption is a number that nobody has published."""

    chip_seed: int = setting(0, doc="the individual: whose mismatch and dead CAM cells", minimum=0, maximum=2**63 - 1)
    mismatch: float = setting(
        0.0, doc="relative spread of every parameter; 0.1 is the vendor's simulator's, 0.2 is told of chips",
        minimum=0.0, maximum=0.3,
    )  # fmt: skip
    pull: bool = setting(
        True, doc="inhibition stronger than excitation draws from the membrane (assumption); else it only cancels"
    )
    bus_event_s: float = setting(
        1e-7, doc="time that one event takes a core's tag bus (assumption)", unit="s", minimum=0.0, maximum=1e-3
    )
    bus_capacity: int = setting(
        1024, doc="events that can wait for a core's tag bus; more are lost (assumption)", minimum=1, maximum=1 << 24
    )
    double_spikes: float = setting(0.0, doc="chance of a second spike 1 us after a spike", minimum=0.0, maximum=1.0)
    lost_events: float = setting(0.0, doc="chance that an event is lost on its way", minimum=0.0, maximum=1.0)
    dead_cam: float = setting(0.0, doc="share of CAM entries that never react", minimum=0.0, maximum=1.0)


@attrs.frozen(kw_only=True)
class DynapsimOpenOptions(config.OpenOptions):
    """The vendor's simulator has nothing to choose."""


def _none(width: int) -> NDArray[np.int64]:
    return np.zeros((0, width), np.int64)


@attrs.frozen(kw_only=True)
class Dynapse2Profile(config.Profile):
    """One individual: what the mapper must not use of it. Rows of integers, chips counted as in the grid."""

    denied_tags: NDArray[np.int64] = array(
        "int64", (None, 3), doc="(chip, core, tag) that some neuron answers too often", minimum=0,
        maximum=TAGS - 1, factory=lambda: _none(3),
    )  # fmt: skip
    denied_neurons: NDArray[np.int64] = array(
        "int64", (None, 3), doc="(chip, core, neuron) that does not work", minimum=0,
        maximum=NEURONS - 1, factory=lambda: _none(3),
    )  # fmt: skip
    denied_cam: NDArray[np.int64] = array(
        "int64", (None, 4), doc="(chip, core, neuron, entry) of CAM that never reacts", minimum=0,
        maximum=NEURONS - 1, factory=lambda: _none(4),
    )  # fmt: skip

    def rules(self) -> Iterator[Problem]:
        """Cores and entries there are."""
        tables = (
            ("denied_tags", 1, CORES),
            ("denied_neurons", 1, CORES),
            ("denied_cam", 1, CORES),
            ("denied_cam", 3, CAM_ENTRIES),
        )
        for name, column, count in tables:
            rows = getattr(self, name)
            if rows.ndim == 2 and rows.shape[1] > column and rows.size and int(rows[:, column].max()) >= count:
                what = "core" if column == 1 else "entry"
                yield Problem(f"no such {what}", name, value=int(rows[:, column].max()), limit=f"0..{count - 1}")
