"""What a discretisation could not keep, in words: nothing is lost without a note."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal_loihi import weights as syn
from hal_loihi.decays import REFRACT_MAX
from hal_loihi.scaling import Q_LIMIT, U_LIMIT, Numbers, Values

if TYPE_CHECKING:
    from hal_loihi.block import Block
    from hal_loihi.discretise import Discretised

__all__ = ["Note", "NoteCode", "block_notes", "group_notes"]

_COARSE = 32
"""A group whose largest weight is fewer steps than this is said to be coarse: below 6 bits and sign."""
_MOVED = 1e-6
"""Relative distance from which a bound of the membrane counts as moved."""


class NoteCode(StrEnum):
    """What a discretisation could not keep."""

    WEIGHTS_ALL_ZERO = "weights_all_zero"
    """Every weight of the group became 0 though some were not; `wanted` is the largest."""
    WEIGHTS_UNDERFLOW = "weights_underflow"
    """`count` non-zero weights of the group became 0; `wanted` is the largest of them."""
    WEIGHTS_CLIPPED = "weights_clipped"
    """`count` weights are further off than half a step: the format holds none of their size or sign."""
    WEIGHTS_COARSE = "weights_coarse"
    """The largest weight is `realised` steps of 64 only; `wanted` is what 8 bits could have. See `limited_by`."""
    BIAS_ALL_ZERO = "bias_all_zero"
    """Every bias became 0 though some were not."""
    BIAS_UNDERFLOW = "bias_underflow"
    """`count` non-zero biases became 0; `wanted` is the largest of them."""
    THRESHOLD_RAISED = "threshold_raised"
    """`count` thresholds lie below half a unit of 64 and were set to one unit, the least there is."""
    V_MIN_MOVED = "v_min_moved"
    """The lower bound is the nearest of 1 - 2**e, one per core; `wanted` is the one that is furthest off."""
    V_MAX_MOVED = "v_max_moved"
    """The upper bound is the nearest of 2**(9 + 2e) - 1 above the threshold, one per core."""
    CURRENT_DECAY_OUT_OF_REACH = "current_decay_out_of_reach"
    """The current leaks at least 1/4096 per step; `wanted` is the factor that was asked for."""
    MEMBRANE_DECAY_OUT_OF_REACH = "membrane_decay_out_of_reach"
    """The membrane keeps at least 1/4096 per step."""
    REFRACTORY_ROUNDED = "refractory_rounded"
    """Refractory times are whole steps."""
    REFRACTORY_CLIPPED = "refractory_clipped"
    """At most 62 steps without a membrane."""
    ACCUMULATOR_MAY_WRAP = "accumulator_may_wrap"
    """If all inputs of a compartment spike in one step the sum exceeds 21 bits and wraps; both in chip units."""
    CURRENT_MAY_WRAP = "current_may_wrap"
    """If all inputs of a compartment spike in every step the current exceeds 23 bits and wraps; both in chip units."""


@attrs.frozen(kw_only=True)
class Note:
    """One deviation. `wanted` and `realised` are in model units unless the code says otherwise."""

    code: NoteCode
    parameter: str
    """Parameter of the block, or "weights"."""
    wanted: float
    realised: float
    count: int = 1
    group: str = ""
    """Synapse group; empty where it is about compartments."""
    limited_by: str = ""
    """What ended the scale: threshold, bias, weights, accumulator, current, or integers that were to be kept."""


def group_notes(name: str, numbers: Values, scale: float, effective: NDArray[Any], limiter: str) -> list[Note]:
    """About one group. `effective`: its stored weights, flat."""
    notes: list[Note] = []

    def say(code: NoteCode, wanted: float, realised: float, count: int, **more: Any) -> None:
        notes.append(
            Note(code=code, parameter="weights", wanted=wanted, realised=realised, count=count, group=name, **more)
        )

    values = numbers.values
    gone = (effective == 0) & (values != 0)
    step = syn.quantum(numbers.bits, numbers.sign_mode) * syn.WEIGHT_UNIT * 2.0 ** numbers.exponent(scale)
    clipped = np.abs(effective - values * scale) > max(step, syn.WEIGHT_UNIT) * 0.5 * (1 + 1e-9)
    if gone.any():
        code = NoteCode.WEIGHTS_UNDERFLOW if effective.any() else NoteCode.WEIGHTS_ALL_ZERO
        say(code, float(np.abs(values[gone]).max()), 0.0, int(gone.sum()))
    if clipped.any():
        worst = int(np.argmax(np.abs(effective - values * scale)))
        say(NoteCode.WEIGHTS_CLIPPED, float(values[worst]), float(effective[worst] / scale), int(clipped.sum()))
    steps = numbers.largest * scale / syn.WEIGHT_UNIT
    if 0 < steps < _COARSE and limiter != "integers":
        most = 255 // syn.quantum(numbers.bits, numbers.sign_mode)
        if steps < most:
            say(NoteCode.WEIGHTS_COARSE, float(most), steps, int(np.count_nonzero(values)), limited_by=limiter)
    return notes


def block_notes(block: Block, numbers: Numbers, made: Discretised) -> list[Note]:
    """About the compartments of a block."""
    return [
        *_about_bias(numbers, made),
        *_about_thresholds(numbers, made),
        *_about_bounds(block, made),
        *_about_time(block, made),
        *_about_overflow(numbers, made),
    ]


def _about_bias(numbers: Numbers, made: Discretised) -> list[Note]:
    gone = (numbers.bias != 0) & (made.bias_mant == 0)
    if not gone.any():
        return []
    code = NoteCode.BIAS_UNDERFLOW if made.bias_mant.any() else NoteCode.BIAS_ALL_ZERO
    largest = float(np.abs(numbers.bias * made.scale / made.unit)[gone].max())
    return [Note(code=code, parameter="bias", wanted=largest, realised=0.0, count=int(gone.sum()))]


def _about_thresholds(numbers: Numbers, made: Discretised) -> list[Note]:
    raised = np.round(numbers.threshold * made.scale / 64) < 1
    if not raised.any():
        return []
    at = int(np.argmax(raised))
    wanted, realised = float(numbers.threshold[at] * made.scale / made.unit[at]), float(made.realised_threshold[at])
    code = NoteCode.THRESHOLD_RAISED
    return [Note(code=code, parameter="threshold", wanted=wanted, realised=realised, count=int(raised.sum()))]


def _about_bounds(block: Block, made: Discretised) -> list[Note]:
    notes = []
    bounds = [
        (NoteCode.V_MIN_MOVED, "v_min", block.v_min, made.realised_v_min),
        (NoteCode.V_MAX_MOVED, "v_max", block.v_max, made.realised_v_max),
    ]
    for code, name, given, realised in bounds:
        if given is None:
            continue
        wanted = np.broadcast_to(np.asarray(given, np.float64), realised.shape)
        moved = np.abs(realised - wanted) > _MOVED * np.abs(wanted)
        if moved.any():
            at = int(np.argmax(np.abs(realised - wanted)))
            far, near = float(wanted[at]), float(realised[at])
            notes.append(Note(code=code, parameter=name, wanted=far, realised=near, count=int(moved.sum())))
    return notes


def _about_time(block: Block, made: Discretised) -> list[Note]:
    notes = []
    decays = [
        (NoteCode.CURRENT_DECAY_OUT_OF_REACH, "alpha", made.decay_u),
        (NoteCode.MEMBRANE_DECAY_OUT_OF_REACH, "beta", made.decay_v),
    ]
    for code, name, registers in decays:
        far = registers.out_of_reach
        if far.any():
            at = int(np.argmax(np.abs(registers.error)))
            wanted, realised = float(registers.wanted[at]), float(registers.realised[at])
            notes.append(Note(code=code, parameter=name, wanted=wanted, realised=realised, count=int(far.sum())))
    steps = np.broadcast_to(np.asarray(block.refractory_steps, np.float64), made.refract_delay.shape)
    rounded, clipped = np.round(steps) != steps, np.round(steps) + 1 > REFRACT_MAX
    codes = [(NoteCode.REFRACTORY_ROUNDED, rounded & ~clipped), (NoteCode.REFRACTORY_CLIPPED, clipped)]
    for code, bad in codes:
        if bad.any():
            at = int(np.argmax(bad))
            wanted, realised = float(steps[at]), float(made.refract_delay[at] - 1)
            count = int(bad.sum())
            notes.append(Note(code=code, parameter="refractory_steps", wanted=wanted, realised=realised, count=count))
    return notes


def _about_overflow(numbers: Numbers, made: Discretised) -> list[Note]:
    notes = []
    q_most = numbers.q_most * made.scale
    u_most = numbers.u_most * made.scale + float(np.abs(made.bias).max())
    overflows = [
        (NoteCode.ACCUMULATOR_MAY_WRAP, "weights", q_most, Q_LIMIT),
        (NoteCode.CURRENT_MAY_WRAP, "alpha", u_most, U_LIMIT),
    ]
    for code, name, most, limit in overflows:
        if most > limit:
            notes.append(Note(code=code, parameter=name, wanted=most, realised=float(limit)))
    return notes
