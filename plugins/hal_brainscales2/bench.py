"""One individual on the bench: its 512 circuits as neurons that are all excited or inhibited together, and read out.

Only a device opened as a user does, mapped registers with other codes, spikes and what the column ADCs say.
"""

from __future__ import annotations

from itertools import pairwise
from types import TracebackType
from typing import Any, Final, Self

import attrs
import numpy as np
from numpy.typing import NDArray

import hal
from hal import nodes
from hal.events import Probe
from hal.model import Model
from hal.semantics import Semantics
from hal_brainscales2.analog import nominal
from hal_brainscales2.config import CodesConfig
from hal_brainscales2.limits import CIRCUITS, CYCLE_NS, MAX_HOLDOFF_CODE, MAX_WEIGHT
from hal_brainscales2.profile import CalibrationOptions

Floats = NDArray[np.float64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

SCALE: Final = 58.0
PERIOD_NS: Final = 544
"""Of the column ADCs: the least whole number of cycles they can do."""
EVENT_NS: Final = CYCLE_NS
"""The link takes an event a cycle."""
SILENT: Final = 40.0
"""Refractory period for measuring, in tau_syn: after it no current is left, however slow it is."""


@attrs.frozen(eq=False)
class Seen:
    """v: (t, 512) in CADC LSB, read every PERIOD_NS. spike_ns: (512,) ns of the first spike, -1 without one."""

    v: Floats
    spike_ns: I64

    @property
    def fired(self) -> Bools:
        """(512,): which ever did."""
        return self.spike_ns >= 0


class Bench:
    """Use as a context manager. kick: LSB that an event adds to the synaptic current where strength is as asked for."""

    def __init__(self, options: CalibrationOptions) -> None:
        self.options = options
        self._silent_ns = int(np.ceil(options.tau_syn * SILENT * 1e9))
        probe = Probe("n", "v_cadc", every_ns=PERIOD_NS)
        wanted = {
            "speedup": 1.0,
            "scale": SCALE,
            "leak": options.leak,
            "threshold": options.threshold,
            "i_synin_gm": options.i_synin_gm,
            "synapse_dac_bias": options.synapse_dac_bias,
            "membrane_capacitance": options.membrane_capacitance,
            "places": {"n": tuple(range(CIRCUITS))},
            "refractory_s": {"n": self._silent_ns * 1e-9},
        }
        self._mapping = hal.mapper("brainscales2").map(_model(options), wanted, record=["n", probe])
        config = self._mapping.config
        self._targets = config.targets
        self._distance = options.threshold - options.leak
        self.kick = MAX_WEIGHT / SCALE * self._distance
        self.nominal = nominal(attrs.evolve(self._targets, reset=np.full(CIRCUITS, options.resets_to)))
        registers = config.refractory
        period = CYCLE_NS << (registers.fast_scale if registers.fast[0] else registers.slow_scale)
        # the membrane is let go before it may fire again
        free = 2 * MAX_HOLDOFF_CODE + 1 - 2 * int(registers.holdoff_code[0])
        self.held_ns = (int(registers.counter[0]) - free) * period
        self.runs = 0

    def __enter__(self) -> Self:
        self._device = hal.open(
            "brainscales2",
            preset="chip",
            chip_seed=self.options.chip_seed,
            mismatch=self.options.mismatch,
            link_capacity=1 << 20,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._device.close()

    def run(
        self,
        codes: CodesConfig,
        duration_ns: int,
        *,
        fires: bool = False,
        excite: int = 0,
        inhibit: int = 0,
        read: bool = True,
    ) -> Seen:
        """From rest, with so many events as fast as they come. fires: comparators are on. read: membranes, too."""
        targets = attrs.evolve(self._targets, comparator=np.full(CIRCUITS, fires))
        config = attrs.evolve(self._mapping.config, codes=codes, targets=targets)
        mapping = self._mapping.with_config(config)
        self._device.load(mapping if read else attrs.evolve(mapping, record=(Probe("n"),)))
        t = np.arange(excite + inhibit) * EVENT_NS
        index = np.repeat([0, 1], [excite, inhibit])
        recording = self._device.run({"in": hal.events(t, index)}, duration_ns)
        spikes = recording.spikes["n"]
        first = np.full(CIRCUITS, -1)
        # the last assignment stays, which is the first spike
        first[spikes["index"][::-1]] = spikes["t"][::-1]
        values: Any = recording.traces["n", "v_cadc"].values if read else np.empty((0, CIRCUITS))
        self.runs += 1
        return Seen(self.options.leak + np.asarray(values) * self._distance, first)


def _model(options: CalibrationOptions) -> Model:
    """Two channels, of which one excites all neurons and one inhibits them, as strongly as a row can."""
    n, weight = CIRCUITS, MAX_WEIGHT / SCALE
    given = {"tau_mem": options.tau_mem, "tau_syn": options.tau_syn, "w_in": options.tau_syn, "r": 1.0}
    given |= {"v_threshold": 1.0, "v_leak": 0.0}
    values: dict[str, Any] = {key: np.full(n, given.get(key, 0.0)) for key in nodes.CubaLIF.parameters}
    made: list[Any] = [
        nodes.Input(name="in", input_shape=(2,), output_shape=(2,)),
        nodes.Linear(name="w", input_shape=(2,), output_shape=(n,), weight=np.tile([weight, -weight], (n, 1))),
        nodes.CubaLIF(name="n", input_shape=(n,), output_shape=(n,), **values),
        nodes.Output(name="out", input_shape=(n,), output_shape=(n,)),
    ]
    edges = [(a.name, b.name) for a, b in pairwise(made)]
    return Model.of({node.name: node for node in made}, edges, Semantics(profile="nir"))
