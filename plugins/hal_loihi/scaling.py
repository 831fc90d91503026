"""The one number a block is free to choose: how many units of the chip stand for one unit of the model.

Only ratios to the threshold matter to spikes, so any scale that the registers permit will do, and they differ in what
rounding costs. `best_scale` looks for the one that costs least.
"""

from __future__ import annotations

import math
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_loihi import compartments as comp
from hal_loihi import weights as syn

__all__ = ["Costs", "Numbers", "Scale", "Values", "best_scale", "costs", "holds_integers"]

Float = NDArray[np.float64]

Q_LIMIT: Final = 2**21 - 1
"""Synaptic accumulator: 21 bits and sign, wraps (nengo-loihi 1.1.0, run)."""
U_LIMIT: Final = 2**23 - 1
"""Current, and current plus bias: 23 bits and sign, wraps (nengo-loihi 1.1.0, lava-nc 0.10.0)."""
V_LIMIT: Final = 2**23 - 1
"""Membrane: 23 bits and sign, where it stops (nengo-loihi 1.1.0)."""
ROOM, LEAKY_ROOM = 64, 8
"""Thresholds a membrane has room for to each side, without a leak and with one, which forgets what adds up."""
EXACT: Final = 1e-6
"""Relative distance from an integer of the chip that is put down to float32: a product of three has 2e-7."""
_SAMPLE = 2048  # weights per group that rank the candidates; the winner is judged by all
_HOPELESS = 1e9  # a relative cost beyond it is as bad as any
_CODES = 16  # stored numbers below the largest one that are tried as anchors


@attrs.frozen(kw_only=True, eq=False)
class Values:
    """One synapse group: flat weights in units of the scale, and their format."""

    values: Float
    bits: int
    sign_mode: syn.SignMode
    least: float
    most: float
    rms: float

    @classmethod
    def of(cls, values: Float, bits: int, sign_mode: syn.SignMode) -> Values:
        """With the numbers that are asked for again and again. An empty group counts as zero."""
        least, most = float(values.min(initial=0.0)), float(values.max(initial=0.0))
        return cls(values=values, bits=bits, sign_mode=sign_mode, least=least, most=most, rms=rms(values))

    @property
    def largest(self) -> float:
        """Largest magnitude."""
        return max(self.most, -self.least)

    def exponent(self, scale: float) -> int:
        """The exponent that stores it with the least rms error at this scale.

        The finest that clips nothing, or the next finer one where that wins more than clipping the largest costs.
        """
        return self._choose(scale, self.values)[0]

    def error(self, scale: float, values: Float) -> float:
        """Root mean square error of `values` (all of the group, or a sample) at this scale."""
        return self._choose(scale, values)[1]

    def _choose(self, scale: float, values: Float) -> tuple[int, float]:
        found = syn.exponent_for(self.least * scale, self.most * scale, self.bits, self.sign_mode)
        exponent = syn.EXPONENTS[-1] if found is None else found
        error = rms(self.stored(scale, exponent, values) / scale - values)
        if exponent == syn.EXPONENTS[0] or not values.size:
            return exponent, error
        _, low, high = syn.grid(exponent - 1, self.bits, self.sign_mode)
        clipped = max(self.most * scale - high, low - self.least * scale, 0.0) / scale
        if 0 < clipped < error * math.sqrt(self.values.size):
            finer = rms(self.stored(scale, exponent - 1, values) / scale - values)
            if finer < error:
                return exponent - 1, finer
        return exponent, error

    def stored(self, scale: float, exponent: int, values: Float) -> Float:
        """Effective weights nearest to scale * values, as `weights.nearest` and `weights.effective` give them."""
        step, low, high = syn.grid(exponent, self.bits, self.sign_mode)
        return np.clip(np.round(values * (scale / step)) * step, low, high)

    def limit(self) -> float:
        """Largest scale at which nothing is clipped; infinity for a group of zeros."""
        top = syn.EXPONENTS[-1]
        low, high = syn.mantissa_range(self.bits, self.sign_mode)
        low, high = (int(syn.effective(m, top, self.bits, self.sign_mode)) for m in (low, high))
        # a format without any number of that sign clips at every scale
        return min(_ratio(high or math.inf, self.most), _ratio(-low or math.inf, -self.least))


@attrs.frozen(kw_only=True, eq=False)
class Numbers:
    """A block in units of the scale: what is to be stored is scale * these."""

    threshold: Float
    bias: Float
    v_min: Float | None
    v_max: Float | None
    groups: tuple[Values, ...]
    q_most: float
    """Most that all synapses together can add to one accumulator in one step."""
    u_most: float
    """Most that they can hold one current at, when all of them are always active."""
    room: int
    """Thresholds that its membranes have to hold."""
    truncated: float
    """Units of the chip by which a membrane is off at most, since decays drop the fraction in every step."""


@attrs.frozen(kw_only=True)
class Costs:
    """What a scale costs: root mean squares of realised minus wanted, in model units."""

    threshold: float
    bias: float
    v_min: float
    v_max: float
    groups: tuple[float, ...]

    def nowhere_above(self, other: Costs) -> bool:
        """Whether no part costs more than with the other scale."""
        mine, others = attrs.astuple(self), attrs.astuple(other)
        pairs = zip((*mine[:4], *mine[4]), (*others[:4], *others[4]), strict=True)
        return all(a <= b * (1 + 1e-12) for a, b in pairs)


@attrs.frozen(kw_only=True)
class Scale:
    """The scale, and which register ends it: threshold, bias, weights, accumulator or current."""

    value: float
    limiter: str


def rms(values: Float) -> float:
    """Root mean square; 0 of nothing. Safe for numbers whose squares are out of range."""
    top = float(np.abs(values).max(initial=0.0))
    return top * float(np.sqrt(np.mean((values / top) ** 2))) if top > 0 else 0.0


def _ratio(limit: float, value: float) -> float:
    return limit / value if value > 0 and math.isfinite(limit / value) else math.inf


def costs(numbers: Numbers, scale: float, sample: tuple[Float, ...] | None = None) -> Costs:
    """What this scale costs; by the sampled weights of each group when some are given."""
    threshold = comp.threshold_mantissa(numbers.threshold * scale) * comp.VTH_UNIT
    mantissa, exponent = comp.bias_registers(numbers.bias * scale)
    v_min = comp.v_min_of(comp.v_min_exponent(_times(numbers.v_min, scale)))
    v_max = comp.v_max_of(comp.v_max_exponent(_times(numbers.v_max, scale), int(threshold.max())))
    values = sample or tuple(group.values for group in numbers.groups)
    return Costs(
        threshold=rms(threshold / scale - numbers.threshold),
        bias=rms(np.left_shift(mantissa, exponent) / scale - numbers.bias),
        v_min=0.0 if numbers.v_min is None else rms(v_min / scale - numbers.v_min),
        v_max=0.0 if numbers.v_max is None else rms(v_max / scale - numbers.v_max),
        groups=tuple(g.error(scale, v) for g, v in zip(numbers.groups, values, strict=True)),
    )


def _times(values: Float | None, scale: float) -> Float | None:
    return None if values is None else values * scale


def _total(numbers: Numbers, scale: float, cost: Costs) -> float:
    """Sum of squared relative costs. What the threshold is off, every ratio to it is off as well.

    What decays drop is so many units whatever the scale, and so costs less where a unit is small.
    """
    unit = float(numbers.threshold.max()) or 1.0
    parts = [(cost.threshold, unit)] * (1 + len(numbers.groups))
    parts += [(cost.bias, rms(numbers.bias)), (cost.v_min, unit), (cost.v_max, unit)]
    parts += [(numbers.truncated / scale / 2, unit)]
    parts += [(error, group.rms) for error, group in zip(cost.groups, numbers.groups, strict=True)]
    return sum(min(error / size, _HOPELESS) ** 2 for error, size in parts if size > 0)


def holds_integers(numbers: Numbers) -> bool:
    """Whether the registers hold thresholds, biases and weights as they are: integers of the chip already."""
    mantissa, exponent = comp.bias_registers(numbers.bias)
    pairs: list[tuple[NDArray[Any], Float]] = [
        (comp.threshold_mantissa(numbers.threshold) * comp.VTH_UNIT, numbers.threshold),
        (np.left_shift(mantissa, exponent), numbers.bias),
    ]
    pairs += [(group.stored(1.0, group.exponent(1.0), group.values), group.values) for group in numbers.groups]
    return all(bool((np.abs(stored - wanted) <= EXACT * np.abs(wanted)).all()) for stored, wanted in pairs)


def best_scale(numbers: Numbers) -> Scale:
    """The scale that costs least, at no part more than the reference scale (`_reference`) would.

    1 if everything is an integer of the chip already. Else candidates between the reference and the largest scale are
    ranked by the sum of squared relative errors, those of the decays among them. Candidates store the threshold, the
    largest weight of a group, or the lower bound of the membrane exactly, or are the reference times powers of two. The
    largest scale is where a threshold, bias or weight reaches its limit, where all synapses of a compartment together
    could make its accumulator or current wrap, or where the membrane would hold fewer thresholds than it should, but
    never below the reference.

    The reference's rounded thresholds move every ratio to them, so it is judged at the scale these have in truth. There
    whatever it stores is stored at least as well, which makes that scale the one no candidate may be worse than.

    OverflowError if no scale is a finite number.
    """
    numbers = _brief(numbers)
    if holds_integers(numbers):
        return Scale(value=1.0, limiter="integers")
    limits = _limits(numbers)
    reference = _reference(numbers, limits)
    if numbers.q_most > 0:
        limits["accumulator"] = max(Q_LIMIT / numbers.q_most, reference)
        bias = float(np.abs(numbers.bias).max(initial=0.0))
        limits["current"] = max(U_LIMIT / (numbers.u_most + bias), reference)
    if (top := float(numbers.threshold.max())) > 0:
        limits["membrane"] = max(V_LIMIT / (numbers.room * top), reference)
    limiter = min(limits, key=limits.__getitem__)
    most = limits[limiter] if math.isfinite(limits[limiter]) else reference  # zeros limit nothing
    if not (math.isfinite(most) and reference > 0):
        raise OverflowError("no scale between the block's numbers and the chip's is a finite number")
    true = _true_scale(numbers, reference, most)
    sample = tuple(_sampled(group.values) for group in numbers.groups)
    candidates = _candidates(numbers, true, most)
    if numbers.truncated:
        # twice a scale stores everything as well, and what decays drop is half as much
        candidates = sorted({*candidates, *(_doubled(s, most) for s in candidates)}, reverse=True)
    totals = {s: _total(numbers, s, costs(numbers, s, sample)) for s in candidates}
    ceiling = costs(numbers, true)
    for scale in sorted(totals, key=totals.__getitem__):
        if costs(numbers, scale).nowhere_above(ceiling):
            return Scale(value=scale, limiter=limiter)
    return Scale(value=true, limiter=limiter)


def _brief(numbers: Numbers) -> Numbers:
    """The same costs of fewer numbers: where all neurons are alike, one stands for them."""
    return attrs.evolve(
        numbers,
        **{
            name: values[:1]
            for name in ("threshold", "bias", "v_min", "v_max")
            if (values := getattr(numbers, name)) is not None and (values == values[0]).all()
        },
    )


def _doubled(scale: float, most: float) -> float:
    """The largest scale that is this one times a power of two."""
    return scale * 2.0 ** max(0, math.floor(math.log2(most / scale)))


def _true_scale(numbers: Numbers, scale: float, most: float) -> float:
    """The scale that the reference's stored thresholds have in truth (least squares): ratios are made with these.

    It rounds them to integers first, then to multiples of 64. The scale itself where thresholds are too small to be
    stored and setting them to 64 would push everything else out of range: nothing then has a ratio to them.
    """
    top = float(numbers.threshold.max())
    if top <= 0:
        return scale
    stored = comp.threshold_mantissa(np.round(numbers.threshold * scale)) * comp.VTH_UNIT
    shares = numbers.threshold / top
    true = float(stored @ shares) / float(shares @ shares) / top
    return true if true <= max(most, 2 * scale) else scale


def _limits(numbers: Numbers) -> dict[str, float]:
    """Largest scale each kind of register permits, once rounded."""
    return {
        "threshold": _ratio(comp.VTH_LIMIT + 0.5, float(numbers.threshold.max())),
        "bias": _ratio(comp.BIAS_LIMIT + 0.5, float(np.abs(numbers.bias).max(initial=0.0))),
        "weights": min((group.limit() for group in numbers.groups), default=math.inf),
    }


def _reference(numbers: Numbers, limits: dict[str, float]) -> float:
    """The scale nengo-loihi 1.1.0 would take, from which nothing may get worse.

    It stores the largest weight as 255 at exponent 0, or as low as -7, once threshold and bias fit; without weights
    the largest bias as 4095 * 2**7, halved until the threshold fits; without either the threshold within 21 bits. Where
    that finds none: the largest scale.
    """
    room = min(limits.values())
    largest = max((group.largest for group in numbers.groups), default=0.0)
    if largest > 0:
        start, halvings = 255 * syn.WEIGHT_UNIT / largest, 7
    elif numbers.bias.any():
        start, halvings = comp.BIAS_LIMIT / float(np.abs(numbers.bias).max()), 20
    else:
        start, halvings = (2**21 - 1) / (float(numbers.threshold.max()) + 1), 0
    return next((start / 2**k for k in range(halvings + 1) if start / 2**k <= room), room)


def _candidates(numbers: Numbers, true: float, most: float) -> list[float]:
    """Scales worth trying, largest first. `true` times a power of two is never worse than `true`."""
    doubled = {true * 2.0**k for k in range(24) if true * 2.0**k <= most}
    found = {most, true}
    for anchor in (most, true):
        for group in numbers.groups:
            found.update(_storing(group.largest, anchor, _step_for(group.largest * anchor)))
        found.update(_storing(float(numbers.threshold.max()), anchor, comp.VTH_UNIT))
    if numbers.v_min is not None:
        lowest = float(-numbers.v_min.min())
        found.update(_ratio(2.0**e - 1, lowest) for e in comp.VMIN_EXPONENTS[1:])
    near = {scale for scale in found if true / 2 <= scale <= most}
    exact = {scale for rough in near for scale in _threshold_exact(numbers, rough)}
    one_threshold = bool((numbers.threshold == numbers.threshold[0]).all())
    chosen = exact if one_threshold and exact else near | exact
    return sorted({scale for scale in chosen if scale <= most} | doubled, reverse=True)


def _step_for(largest: float) -> float:
    """Step of the finest mixed 8-bit weights that hold this one: 64 times a power of two."""
    steps = largest / (127.5 * syn.WEIGHT_UNIT)
    return syn.WEIGHT_UNIT * 2.0 ** math.ceil(math.log2(max(steps, 1.0)))


def _storing(value: float, scale: float, unit: float) -> list[float]:
    """Scales up to this one that store the value as a multiple of the unit."""
    if not value > 0:
        return []
    top = math.floor(value * scale / unit * (1 + 1e-12))
    return [code * unit / value for code in range(max(top, 1), max(top - _CODES, 0), -1)]


def _threshold_exact(numbers: Numbers, scale: float) -> list[float]:
    """The two nearest scales that store the largest threshold without error."""
    top = float(numbers.threshold.max())
    if not top > 0:
        return []
    code = math.floor(top * scale / comp.VTH_UNIT)
    return [m * comp.VTH_UNIT / top for m in (code, code + 1) if m > 0]


def _sampled(values: Float) -> Float:
    """Every k-th weight, few enough to be tried often."""
    # an odd stride does not stay in one column of a matrix of even width
    return values[:: values.size // _SAMPLE | 1]
