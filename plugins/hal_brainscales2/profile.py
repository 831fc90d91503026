"""What is known of one individual: which it is, what it was calibrated for, the codes found, and where none were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal import config
from hal.config import array, setting
from hal.errors import Problem
from hal_brainscales2.config import CodesConfig
from hal_brainscales2.limits import CIRCUITS

Floats = NDArray[np.float64]

CADC_FASTEST: Final = 2e-6
"""s: shorter time constants are not seen by the column ADC, which reads every 541 ns."""


@attrs.frozen(kw_only=True)
class Aims:
    """What all circuits are to do. Potentials in steps of the column ADC, times of the chip."""

    leak: float = setting(80.0, doc="resting potential", unit="CADC LSB", minimum=50, maximum=160)
    reset: float | None = setting(
        None, doc="potential after a spike; none: the leak", unit="CADC LSB", minimum=50, maximum=160
    )
    threshold: float = setting(150.0, doc="potential of spikes", unit="CADC LSB", minimum=60, maximum=200)
    tau_mem: float = setting(
        12e-6, doc="of membranes, on the chip; shorter than 2 us is not seen by the column ADC", unit="s",
        minimum=CADC_FASTEST, maximum=60e-6,
    )  # fmt: skip
    tau_syn: float = setting(
        6e-6, doc="of synaptic currents, on the chip", unit="s", minimum=CADC_FASTEST, maximum=30e-6
    )
    i_synin_gm: int = setting(500, doc="strength of synaptic inputs", minimum=30, maximum=800)
    synapse_dac_bias: int = setting(1000, doc="of the whole chip", minimum=30, maximum=1022)
    membrane_capacitance: int = setting(63, doc="about 2.3 pF at 63", minimum=0, maximum=63)
    refractory_time: float = setting(
        30e-6, doc="on the chip; digital, so exact", unit="s", minimum=40e-9, maximum=32e-6
    )

    def rules(self) -> Iterator[Problem]:
        """A threshold that can be told from leak and reset."""
        for name, value in (("leak", self.leak), ("reset", self.resets_to)):
            if self.threshold < value + 10:
                limit = f">= {name} + 10: {value + 10:g}"
                yield Problem("too near to be told from it", "threshold", self.threshold, limit)

    @property
    def resets_to(self) -> float:
        """The reset, given or not."""
        return self.leak if self.reset is None else self.reset


@attrs.frozen(kw_only=True)
class CalibrationOptions(Aims):
    """What `hal.calibrate` and `hal calibrate` may be asked for."""

    chip_seed: int = setting(0, doc="the individual", minimum=0, maximum=2**63 - 1)
    mismatch: float = setting(
        1.0, doc="how much its circuits differ: 1 as assumed (hal_brainscales2.analog)", minimum=0, maximum=2
    )

    @property
    def aims(self) -> Aims:
        """What circuits are to do, without whose they are."""
        return Aims(**{field.name: getattr(self, field.name) for field in attrs.fields(Aims)})


def _measured(doc: str, unit: str = "") -> Any:
    return array("float64", (None,), doc=doc, unit=unit, infinite=True, factory=list)


@attrs.frozen(kw_only=True)
class MeasuredConfig:
    """What circuits were measured to do, (512,) each; infinite where it could not be seen."""

    leak: Floats = _measured("resting potential", "CADC LSB")
    reset: Floats = _measured("after a spike", "CADC LSB")
    threshold: Floats = _measured("of spikes", "CADC LSB")
    tau_mem: Floats = _measured("of the membrane", "s")
    tau_syn: Floats = _measured("of synaptic currents", "s")
    strength: Floats = _measured("of synaptic inputs, against what the targets ask for")


PARAMETERS: Final = tuple(field.name for field in attrs.fields(MeasuredConfig))


def _none_failed() -> NDArray[np.int8]:
    return np.zeros(0, np.int8)


@attrs.frozen(kw_only=True)
class BrainScaleS2Profile(config.Profile):
    """A calibration of one individual. With the id alone nothing is known of it, and all is as without a profile."""

    chip_seed: int | None = setting(None, doc="the individual", minimum=0, maximum=2**63 - 1)
    mismatch: float | None = setting(None, doc="how much its circuits differ", minimum=0, maximum=2)
    aims: Aims | None = setting(None, doc="what circuits are to do")
    codes: CodesConfig = setting(doc="that were found, (512,) each", factory=CodesConfig)
    failed: NDArray[np.int8] = array(
        "int8", (None,), doc="(512,): -1 where all aims are reached, else the first parameter that is not: 0 leak, 1 "
        "reset, 2 threshold, 3 tau_mem, 4 tau_syn, 5 strength", minimum=-1, maximum=len(PARAMETERS) - 1,
        factory=_none_failed,
    )  # fmt: skip
    before: MeasuredConfig = setting(doc="at the codes of a nominal circuit", factory=MeasuredConfig)
    after: MeasuredConfig = setting(doc="at the codes that were found", factory=MeasuredConfig)
    versions: Mapping[str, str] = setting(doc="of what measured it", factory=dict)

    def rules(self) -> Iterator[Problem]:
        """All of a calibration, or nothing of it."""
        sizes = {
            "chip_seed": self.chip_seed is not None,
            "mismatch": self.mismatch is not None,
            "aims": self.aims is not None,
            "codes.leak": self.codes.leak.size == CIRCUITS,
            "failed": self.failed.size == CIRCUITS,
        }
        empty = not self.codes.leak.size and not self.failed.size
        if any(sizes.values()) or not empty:
            for name, there in sizes.items():
                if not there:
                    yield Problem("a calibration has all of it", name, limit=f"{CIRCUITS} circuits")
        for name in ("before", "after"):
            for parameter in PARAMETERS:
                size = getattr(getattr(self, name), parameter).size
                if size not in (0, CIRCUITS):
                    yield Problem("one value for each circuit", f"{name}.{parameter}", size, CIRCUITS)

    @property
    def calibrated(self) -> bool:
        """Whether there is more than an id."""
        return self.aims is not None

    @property
    def bad(self) -> NDArray[np.int64]:
        """Circuits that are not to be used."""
        return np.flatnonzero(self.failed >= 0)

    @property
    def reasons(self) -> dict[int, str]:
        """Circuit -> the first parameter that did not reach its aim."""
        return {int(circuit): PARAMETERS[self.failed[circuit]] for circuit in self.bad}

    def aim(self, parameter: str) -> float:
        """What circuits are to reach; of a calibration."""
        if self.aims is None:
            raise ValueError("only a calibration has aims")
        if parameter == "strength":
            return 1.0
        return self.aims.resets_to if parameter == "reset" else float(getattr(self.aims, parameter))

    def table(self) -> list[dict[str, Any]]:
        """Of every parameter its aim, and mean, standard deviation and largest error before and after.

        Of circuits that reached all aims, both times, so that the two can be compared.
        """
        good = self.failed < 0
        rows = []
        for name in PARAMETERS:
            row: dict[str, Any] = {"parameter": name, "aim": self.aim(name)}
            for when in ("before", "after"):
                values = getattr(getattr(self, when), name)[good]
                values = values[np.isfinite(values)]
                worst = float(np.abs(values - self.aim(name)).max(initial=0.0))
                mean, sd = (float(values.mean()), float(values.std())) if values.size else (None, None)
                row |= {f"mean_{when}": mean, f"sd_{when}": sd, f"worst_{when}": worst}
            rows.append(row)
        return rows
