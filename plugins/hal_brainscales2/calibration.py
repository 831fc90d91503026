"""Calibrating one individual: what all 512 circuits do is measured through spikes and column ADCs, codes are searched.

As the vendor's calibration goes about it (calix): binary searches over codes, for all circuits at once, one parameter
after the other. How each is seen here:

- leak: membranes at rest. reset: membranes in the refractory period of a spike that a burst of events made.
- threshold: with the leak at it, a circuit that was pulled down fires again and again where its threshold is below.
- tau_mem: the way back from the reset to a leak far above, long after the last current.
- tau_syn, strength: shape and size of what a few events do to a membrane that never fires.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_brainscales2.bench import EVENT_NS, PERIOD_NS, Bench, Seen
from hal_brainscales2.config import CodesConfig
from hal_brainscales2.fitting import decay, response, response_peak
from hal_brainscales2.limits import CIRCUITS, MAX_CAPMEM
from hal_brainscales2.profile import PARAMETERS, BrainScaleS2Profile, CalibrationOptions, MeasuredConfig

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Bools = NDArray[np.bool_]
Progress = Callable[[int, int, str], None]
"""Called with runs done, runs in all, and what is being done."""

STEPS: Final = 10
"""Of a binary search over 1..1022."""
BURST: Final = 128
"""Events, at least, that make every circuit fire whose parameters are anywhere near."""
TOLERANCE: Final = {"leak": 1.5, "reset": 1.5, "threshold": 1.5, "tau_mem": 0.05, "tau_syn": 0.05, "strength": 0.05}
"""How far from its aim a circuit is still good: CADC LSB for potentials, relative else. Inferred for calibrated chips:
2 LSB, and 5 % (assumption)."""
FAR: Final = {"leak": 110.0, "threshold": 160.0, "reset": 40.0}
"""CADC LSB, while tau_mem is measured: far apart, as none of them is calibrated yet."""
TAUS: Final = 4.0
"""Time constants over which a decay is looked at."""
PUSH: Final = 400.0
"""CADC LSB that a burst would reach, at least, on a membrane without bounds: several times what FAR asks for."""
PEAK: Final = 40.0
"""CADC LSB that events are to reach above the leak while tau_syn and strength are measured: within the ADC's range even
where both are twice what they should be."""
RUNS: Final = 12 * STEPS + 17
"""Two to four searches of potentials each, one of all else, and what is measured beside them."""


def calibrate(options: CalibrationOptions, progress: Progress | None = None) -> BrainScaleS2Profile:
    """Measure one individual, find codes, measure it again."""
    with Bench(options) as bench:
        search = _Search(bench, options, progress or (lambda done, of, what: None))
        before = search.measured(bench.nominal, "before")
        codes = search.found()
        after = search.measured(codes, "after")
    made = BrainScaleS2Profile(
        id=name(options),
        chip_seed=options.chip_seed,
        mismatch=options.mismatch,
        aims=options.aims,
        codes=codes,
        before=before,
        after=after,
        versions={"neurohal": _version("neurohal"), "numpy": np.__version__},
    )
    return attrs.evolve(made, failed=_failed(made))


def name(options: CalibrationOptions) -> str:
    """Of an individual and what it was calibrated for."""
    o = options
    text = f"chip {o.chip_seed}" + (f", mismatch {o.mismatch:g}" if o.mismatch != 1 else "")
    text += f", leak {o.leak:g}, reset {o.resets_to:g}, threshold {o.threshold:g}, tau_mem {o.tau_mem * 1e6:g} us"
    text += f", tau_syn {o.tau_syn * 1e6:g} us, refractory {o.refractory_time * 1e6:g} us"
    return f"{text}, i_synin_gm {o.i_synin_gm}, synapse_dac_bias {o.synapse_dac_bias}, C {o.membrane_capacitance}"


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "a source tree"


def _failed(profile: BrainScaleS2Profile) -> NDArray[np.int8]:
    """The first parameter off its aim, -1 without one. What could not be seen says nothing where another is off."""
    off, seen = np.zeros((2, len(PARAMETERS), CIRCUITS), bool)
    for k, parameter in enumerate(PARAMETERS):
        values, aim = getattr(profile.after, parameter), profile.aim(parameter)
        unit = 1.0 if parameter in ("leak", "reset", "threshold") else aim
        off[k], seen[k] = ~(np.abs(values - aim) <= TOLERANCE[parameter] * unit), np.isfinite(values)
    surely = off & seen
    first = np.where(surely.any(axis=0), surely.argmax(axis=0), off.argmax(axis=0))
    return np.where(off.any(axis=0), first, -1).astype(np.int8)


class _Search:
    """Measuring and searching; all arrays are (512,)."""

    def __init__(self, bench: Bench, options: CalibrationOptions, progress: Progress) -> None:
        self.bench, self.options, self._progress, self._what = bench, options, progress, ""
        peak = response_peak(options.tau_mem, options.tau_syn) * bench.kick
        self._few = max(1, round(PEAK / peak))
        self._burst = max(BURST, int(np.ceil(PUSH / peak)))

    def run(self, codes: CodesConfig, duration_ns: int, **how: Any) -> Seen:
        self._progress(min(self.bench.runs, RUNS), RUNS, self._what)
        return self.bench.run(codes, duration_ns, **how)

    # --- measuring --------------------------------------------------------------------------------------------

    def measured(self, codes: CodesConfig, what: str) -> MeasuredConfig:
        """All parameters at these codes."""
        self._what = f"measuring {what}"
        tau_mem = self.tau_mem(codes)
        tau_syn, strength = self.synapses(codes, tau_mem)
        return MeasuredConfig(
            leak=self.leak(codes),
            reset=self.reset(codes),
            threshold=self.threshold(codes),
            tau_mem=tau_mem,
            tau_syn=tau_syn,
            strength=strength,
        )

    def leak(self, codes: CodesConfig) -> Floats:
        """CADC LSB at rest."""
        return np.asarray(self.run(codes, 2 * PERIOD_NS).v[-1])

    def reset(self, codes: CodesConfig) -> Floats:
        """CADC LSB in the refractory period; inf where no spike could be made."""
        seen = self.run(codes, self._until_spiked_ns() + 4 * PERIOD_NS, fires=True, excite=self._burst)
        row = seen.spike_ns // PERIOD_NS + 2
        here = seen.fired & (row < len(seen.v))
        return np.where(here, seen.v[np.where(here, row, 0), np.arange(CIRCUITS)], np.inf)

    def tau_mem(self, codes: CodesConfig) -> Floats:
        """s; inf where no spike could be made."""
        every, aim = PERIOD_NS * 1e-9, self.options.tau_mem
        rows = max(8, int(np.ceil(TAUS * aim / every)))
        levels: dict[str, Any] = {key: self._nominal_level(level) for key, level in FAR.items()}
        far = attrs.evolve(codes, **levels)
        most_ns = self._until_spiked_ns() + self.bench.held_ns + (rows + 2) * PERIOD_NS
        seen = self.run(far, most_ns, fires=True, excite=self._burst)
        first = -(-(seen.spike_ns + self.bench.held_ns) // PERIOD_NS) + 1
        here = seen.fired & (first + rows <= len(seen.v))
        index = np.where(here, first, 0)[None, :] + np.arange(rows)[:, None]
        return np.where(here, decay(seen.v[index, np.arange(CIRCUITS)], every, aim), np.inf)

    def synapses(self, codes: CodesConfig, tau_mem: Floats) -> tuple[Floats, Floats]:
        """tau_syn in s, and strength against what is asked for, given the membranes' time constants."""
        options = self.options
        span = TAUS * (options.tau_mem + options.tau_syn)
        rows = int(np.ceil(span / (PERIOD_NS * 1e-9)))
        seen = self.run(codes, (rows + 1) * PERIOD_NS, excite=self._few)
        # events come one by one: in the middle of them is near enough, as the first ADC reading after
        middle = (1 + (self._few - 1) / 2) * EVENT_NS * 1e-9
        t = np.asarray(np.arange(1, rows) * PERIOD_NS * 1e-9 - middle, np.float64)
        known = np.where(np.isfinite(tau_mem), tau_mem, options.tau_mem)
        tau_syn, kick = response(seen.v[1:rows], t, known, options.tau_syn)
        return tau_syn, kick / (self.bench.kick * self._few)

    def threshold(self, codes: CodesConfig) -> Floats:
        """CADC LSB: the lowest leak at which circuits fire by themselves; inf where they never do."""
        reached = self._first(lambda leak: self._restless(attrs.evolve(codes, leak=leak)))
        level = self.leak(attrs.evolve(codes, leak=np.minimum(reached, MAX_CAPMEM)))
        return np.where(reached <= MAX_CAPMEM, level, np.inf)

    def _restless(self, codes: CodesConfig) -> Bools:
        """Where circuits that were pulled down fire on their way back."""
        slowest = 12 * self.options.tau_mem + 20 * self.options.tau_syn
        return self.run(codes, int(slowest * 1e9), fires=True, inhibit=self._burst, read=False).fired

    def _until_spiked_ns(self) -> int:
        return self._burst * EVENT_NS + int(4 * (self.options.tau_mem + self.options.tau_syn) * 1e9)

    def _nominal_level(self, level: float) -> Codes:
        """The code of a potential on a nominal circuit, by the one of its leak: they all have one scale."""
        return np.rint(self.bench.nominal.leak * (level / self.options.leak)).astype(np.int64)

    # --- searching --------------------------------------------------------------------------------------------

    def found(self) -> CodesConfig:
        """Codes that come nearest to the aims."""
        o, codes = self.options, self.bench.nominal
        self._what = "leak"
        leak = self._level(lambda code: self.leak(attrs.evolve(codes, leak=code)), o.leak)
        high = self._level(lambda code: self.leak(attrs.evolve(codes, leak=code)), o.threshold)
        codes = attrs.evolve(codes, leak=leak)
        self._what, base = "tau_mem", codes
        codes = self._nearest(base, "tau_mem", self.tau_mem, o.tau_mem, falling=True)
        tau_mem = self.tau_mem(codes)
        self._what, base = "tau_syn", codes
        codes = self._nearest(base, "tau_syn", lambda c: self.synapses(c, tau_mem)[0], o.tau_syn, falling=True)
        self._what, base = "strength", codes
        codes = self._nearest(base, "gm", lambda c: self.synapses(c, tau_mem)[1], 1.0, falling=False)
        self._what, base = "threshold", attrs.evolve(codes, leak=high)
        threshold = self._first(lambda code: ~self._restless(attrs.evolve(base, threshold=code)))
        codes = attrs.evolve(codes, threshold=np.minimum(threshold, MAX_CAPMEM))
        self._what, base = "reset", codes
        reset = self._level(lambda code: self.reset(attrs.evolve(base, reset=code)), o.resets_to)
        return attrs.evolve(codes, reset=reset)

    def _first(self, reached: Callable[[Codes], Bools]) -> Codes:
        """The lowest code, 1..1022, at which something is so; 1023 where it never is. Once so, it stays so."""
        low, high = np.ones(CIRCUITS, np.int64), np.full(CIRCUITS, MAX_CAPMEM + 1)
        for _ in range(STEPS):
            middle = (low + high) // 2
            there = reached(np.minimum(middle, MAX_CAPMEM)) & (low < high)
            high = np.where(there, middle, high)
            low = np.where(there | (low >= high), low, middle + 1)
        return high

    def _level(self, read: Callable[[Codes], Floats], aim: float) -> Codes:
        """Codes of a potential, finer than the ADC: between those where its reading changes to and from the aim."""
        step = int(np.floor(aim))
        begin, end = self._first(lambda code: read(code) >= step), self._first(lambda code: read(code) >= step + 1)
        within = begin + (aim - step + 0.5) * (end - begin)
        return np.clip(np.rint(within), 0, MAX_CAPMEM).astype(np.int64)

    def _nearest(
        self, codes: CodesConfig, field: str, measure: Callable[[CodesConfig], Floats], aim: float, *, falling: bool
    ) -> CodesConfig:
        """With codes of one field at which what is measured comes nearest to the aim."""

        def at(code: Codes) -> Floats:
            given: dict[str, Any] = {field: code}
            return measure(attrs.evolve(codes, **given))

        beyond = self._first(lambda code: at(code) <= aim if falling else at(code) >= aim)
        pair = np.clip(np.stack([beyond - 1, beyond]), 1, MAX_CAPMEM)
        errors = np.abs(np.stack([at(pair[0]), at(pair[1])]) - aim)
        best: dict[str, Any] = {field: np.where(errors[0] < errors[1], *pair)}
        return attrs.evolve(codes, **best)
