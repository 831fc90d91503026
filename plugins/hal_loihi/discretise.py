"""From real-valued parameters of one block of compartments to the integers of its core. Pure functions of arrays.

A step in model units is i' = alpha i + gain * (sum of weights), v' = beta v + i' + bias, a spike where v' > threshold;
the chip does the same with integers (decays truncate). All of a block share one scale, integer = scale * value, which
is free, since only ratios to the threshold matter; `scaling.best_scale` chooses it. Each synapse group has its own
exponent: the one that stores its weights most finely. What a group stores is scale * weight, however weak it is.
(nengo-loihi 1.1.0 multiplies weak groups by 2**k and stops reducing the exponent at -6: they come out too strong.)
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.errors import ConfigError, Problem
from hal_loihi import compartments as comp
from hal_loihi import weights as syn
from hal_loihi.block import Block, Group, check, numbers_of
from hal_loihi.decays import REFRACT_MAX, Registers, current_decay, membrane_decay
from hal_loihi.notes import Note, NoteCode, block_notes, group_notes
from hal_loihi.scaling import Numbers, Values, best_scale, rms

__all__ = ["Block", "Discretised", "Error", "Group", "Note", "NoteCode", "StoredGroup", "discretise"]

Float = NDArray[np.float64]
Int = NDArray[np.int32]


@attrs.frozen(kw_only=True)
class Error:
    """Realised minus wanted, over all numbers of one parameter."""

    rms: float
    """Root mean square, model units."""
    max: float
    """Largest magnitude, model units."""
    relative: float
    """rms over the root mean square of what was wanted; 0 if all of it is 0."""

    @classmethod
    def of(cls, realised: Float, wanted: Float) -> Error:
        """Of arrays of one shape."""
        difference, size = realised - wanted, rms(wanted)
        error = rms(difference)
        largest = float(np.abs(difference).max(initial=0.0))
        return cls(rms=error, max=largest, relative=error / size if size > 0 else 0.0)


@attrs.frozen(kw_only=True, eq=False)
class StoredGroup:
    """One synapse group as it is stored. Arrays have the shape of the weights given."""

    name: str
    mantissa: Int
    exponent: int
    weight_bits: int
    sign_mode: syn.SignMode
    effective: Int
    """What one spike adds to the accumulator."""
    realised: Float
    """The weight the chip computes with, in model units."""
    error: Error


@attrs.frozen(kw_only=True, eq=False)
class Discretised:
    """Integers of one block and what they mean. Arrays are (n,) over its compartments."""

    scale: float
    unit: Float
    """Chip units per model unit of a compartment's membrane: scale, over its gain where that went into thresholds."""
    decay_u: Registers
    decay_v: Registers
    refract_delay: Int
    """Refractory steps + 1: 1..63."""
    vth_mant: Int
    bias_mant: Int
    bias_exp: Int
    vmin_exp: int
    vmax_exp: int
    groups: tuple[StoredGroup, ...]
    threshold_error: Error
    bias_error: Error
    notes: tuple[Note, ...]

    @property
    def vth(self) -> Int:
        """Thresholds in chip units: mantissa * 64."""
        return self.vth_mant * comp.VTH_UNIT

    @property
    def bias(self) -> Int:
        """Biases in chip units: mantissa * 2**exponent."""
        return np.left_shift(self.bias_mant, self.bias_exp)

    @property
    def realised_threshold(self) -> Float:
        """Thresholds the chip computes with, in model units."""
        return self.vth / self.unit

    @property
    def realised_bias(self) -> Float:
        """Biases the chip computes with, in model units."""
        return self.bias / self.unit

    @property
    def realised_v_min(self) -> Float:
        """Lower bound of the membrane, in model units: -(2**23 - 1) chip units where none was asked for."""
        return comp.v_min_of(self.vmin_exp) / self.unit

    @property
    def realised_v_max(self) -> Float:
        """Upper bound of the membrane, in model units."""
        return comp.v_max_of(self.vmax_exp) / self.unit


def discretise(block: Block) -> Discretised:
    """Integers for one block: as they are if they are integers of the chip already, else at the scale that costs least.

    Integers of the chip are thresholds in multiples of 64, biases with 13 bits, weights in multiples of 64 that one
    exponent holds; float32 noise of 1e-6 is forgiven. Else see `scaling.best_scale`: the error of no group, threshold
    or bias is larger than at the scale that nengo-loihi 1.1.0 takes.

    Whatever the chip cannot keep is in `notes`; the size of the rounding is in `error`, per group.

    ConfigError, with every problem, for an empty block, numbers that are not finite, arrays of the wrong shape, factors
    outside 0..1, thresholds below 0, bounds of the membrane that leave out 0 or the threshold, formats that do not
    exist or do not have the sign of the weights; for numbers so extreme that no scale is finite.
    """
    check(block)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        decay_u, decay_v = current_decay(_full(block, "alpha")), membrane_decay(_full(block, "beta"))
        numbers = numbers_of(block, decay_u.realised, decay_v.realised)
        try:
            scale = best_scale(numbers)
        except OverflowError as error:
            problem = Problem(str(error), block.name, hint="write weights and thresholds in units nearer to 1")
            raise ConfigError("the block cannot be scaled", problems=[problem]) from error
        notes: list[Note] = []
        groups = tuple(
            _stored(block, group, values, scale.value, scale.limiter, notes)
            for group, values in zip(block.groups, numbers.groups, strict=True)
        )
        return _result(block, numbers, scale.value, (decay_u, decay_v), groups, notes)


def _full(block: Block, name: str) -> Float:
    values: Float = np.broadcast_to(np.asarray(getattr(block, name), np.float64), (block.size,))
    return values


def _stored(block: Block, group: Group, numbers: Values, scale: float, limiter: str, notes: list[Note]) -> StoredGroup:
    """One group at this scale, and what is to be said about it."""
    given = np.asarray(group.weights, np.float64)
    wanted = numbers.values.reshape(given.shape) * scale
    exponent = numbers.exponent(scale)
    mantissa = syn.nearest(wanted, exponent, numbers.bits, numbers.sign_mode)
    effective = syn.effective(mantissa, exponent, numbers.bits, numbers.sign_mode)
    factor = np.broadcast_to(block.weight_gain(group), given.shape)
    # without gain no weight arrives: 0 is what is realised, and what was wanted
    realised = np.where(factor != 0, effective / scale / np.where(factor != 0, factor, 1.0), given)
    notes += group_notes(group.name, numbers, scale, effective.ravel(), limiter)
    return StoredGroup(
        name=group.name,
        mantissa=mantissa,
        exponent=exponent,
        weight_bits=numbers.bits,
        sign_mode=numbers.sign_mode,
        effective=effective,
        realised=realised,
        error=Error.of(realised, given),
    )


def _result(
    block: Block,
    numbers: Numbers,
    scale: float,
    decays: tuple[Registers, Registers],
    groups: tuple[StoredGroup, ...],
    notes: list[Note],
) -> Discretised:
    """The compartments' registers at this scale, errors and notes."""
    mantissa = comp.threshold_mantissa(numbers.threshold * scale)
    bias_mant, bias_exp = comp.bias_registers(numbers.bias * scale)
    unit = scale * block.unit
    made: dict[str, Any] = {
        "vmin_exp": comp.v_min_exponent(None if numbers.v_min is None else numbers.v_min * scale),
        "vmax_exp": comp.v_max_exponent(
            None if numbers.v_max is None else numbers.v_max * scale, int(mantissa.max()) * comp.VTH_UNIT
        ),
        "refract_delay": np.clip(np.round(_full(block, "refractory_steps")) + 1, 1, REFRACT_MAX).astype(np.int32),
    }
    bias = np.left_shift(bias_mant, bias_exp)
    result = Discretised(
        scale=scale,
        unit=unit,
        decay_u=decays[0],
        decay_v=decays[1],
        vth_mant=mantissa,
        bias_mant=bias_mant,
        bias_exp=bias_exp,
        groups=groups,
        threshold_error=Error.of(mantissa * comp.VTH_UNIT / unit, np.asarray(block.threshold, np.float64)),
        bias_error=Error.of(bias / unit, _full(block, "bias")),
        notes=(),
        **made,
    )
    return attrs.evolve(result, notes=(*notes, *block_notes(block, numbers, result)))
