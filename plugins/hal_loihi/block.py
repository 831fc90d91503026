"""What a discretiser is given: one block of compartments with its incoming synapse groups, checked."""

from __future__ import annotations

import math
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal.errors import ConfigError, Problem
from hal_loihi import weights as syn
from hal_loihi.scaling import LEAKY_ROOM, ROOM, Numbers, Values

__all__ = ["Block", "Group", "check", "numbers_of"]

Float = NDArray[np.float64]


@attrs.frozen(kw_only=True, eq=False)
class Group:
    """Synapses that share one format, and so one exponent."""

    name: str
    weights: ArrayLike
    """(inputs, n): column j reaches compartment j; or any shape with `targets`."""
    targets: ArrayLike | Literal["columns", "shared"] = "columns"
    """Integers of the shape of `weights`: the compartment each weight reaches. "shared": a kernel (..., channels), each
    weight of which may reach any compartment; the weights of one channel are what one compartment can receive."""
    weight_bits: int = 8
    sign_mode: syn.SignMode | None = None
    """None: excitatory or inhibitory if no weight has the other sign, which stores them twice as finely, else mixed."""


@attrs.frozen(kw_only=True, eq=False)
class Block:
    """One block in model units, per step. Arrays are (n,) or one number for all; `threshold` is (n,) and tells n.

    i' = alpha i + gain * (sum of weights); v' = beta v + i' + bias. CubaLIF: alpha from tau_syn, beta from tau_mem.
    LIF: alpha = 0. IF: alpha = 0, beta = 1. Any dt: factors and gains are per step already (`decays.retention`).
    """

    name: str
    threshold: ArrayLike
    alpha: ArrayLike = 0.0
    beta: ArrayLike = 1.0
    gain: ArrayLike = 1.0
    """What one unit of weight adds to the membrane (through the current)."""
    gain_into: Literal["weights", "thresholds"] = "weights"
    """Where gains that differ go: thresholds keep weights shareable (convolutions) but may need many profiles."""
    bias: ArrayLike = 0.0
    """What is added to the membrane in every step; not multiplied by the gain."""
    v_min: ArrayLike | None = None
    """Lower bound of the membrane, at most 0; None: none but the register's."""
    v_max: ArrayLike | None = None
    """Upper bound of the membrane, above the threshold."""
    refractory_steps: ArrayLike = 0
    """Steps after a spike in which the membrane stays 0."""
    groups: tuple[Group, ...] = ()

    @property
    def size(self) -> int:
        """Number of compartments."""
        return int(np.size(self.threshold))

    @property
    def gains(self) -> Float:
        """(n,) gains."""
        values: Float = np.broadcast_to(np.asarray(self.gain, np.float64), (self.size,))
        return values

    @property
    def unit(self) -> Float:
        """(n,) units of the scale per model unit of the membrane."""
        values: Float = np.ones(self.size) if self.gain_into == "weights" else 1.0 / self.gains
        return values

    def weight_gain(self, group: Group) -> Float:
        """Factor from a weight to units of the scale; broadcasts to the weights."""
        if self.gain_into == "thresholds":
            return np.ones(1)
        gains = self.gains
        if isinstance(group.targets, str):
            # check() lets a shared kernel have one gain only
            return gains if group.targets == "columns" else gains[:1]
        return np.take(gains, np.asarray(group.targets, np.int64))


_MEMORY = 100.0  # steps after which a membrane without decay has been reset, for what rounding costs
_PER_COMPARTMENT = ("alpha", "beta", "gain", "bias", "v_min", "v_max", "refractory_steps")


def check(block: Block) -> None:
    """ConfigError with everything that is wrong with a block, except factors outside 0..1."""
    problems = _numbers(block)
    if np.ndim(block.threshold) != 1 or block.size == 0:
        shape = np.shape(block.threshold)
        problems.append(Problem("one threshold for each compartment", "threshold", value=shape, limit="(n,), n > 0"))
    if not problems:
        problems = [*_bounds(block), *(p for group in block.groups for p in _group(block, group))]
    if problems:
        located = [attrs.evolve(p, where=f"{block.name}.{p.where}") for p in problems]
        raise ConfigError("the block cannot be discretised", problems=located)


def _numbers(block: Block) -> list[Problem]:
    """Numbers that are not finite, and arrays of another size."""
    problems = []
    given: dict[str, Any] = {name: getattr(block, name) for name in ("threshold", *_PER_COMPARTMENT)}
    for name, value in given.items():
        if value is None:
            continue
        array = np.asarray(value, np.float64)
        problems += _not_finite(name, array)
        if name != "threshold" and array.shape not in ((), (1,), (block.size,)):
            problems.append(Problem("wrong shape", name, value=array.shape, limit=f"one number or ({block.size},)"))
    for group in block.groups:
        problems += _not_finite(f"groups[{group.name}].weights", np.asarray(group.weights, np.float64))
    return problems


def _not_finite(where: str, array: Float) -> list[Problem]:
    bad = ~np.isfinite(array)
    if not bad.any():
        return []
    first = np.unravel_index(int(np.argmax(bad)), array.shape) if array.ndim else ()
    what = f"{np.count_nonzero(bad)} of {array.size} values are not finite, the first at {tuple(map(int, first))}"
    return [Problem(what, where, value=float(array[first]), limit="finite numbers")]


def _bounds(block: Block) -> list[Problem]:
    problems = []
    threshold = np.asarray(block.threshold, np.float64)
    if (threshold < 0).any():
        hint = "the chip has no threshold below 0"
        problems.append(Problem("negative", "threshold", value=float(threshold.min()), limit=">= 0", hint=hint))
    if block.v_min is not None and (np.asarray(block.v_min) > 0).any():
        hint = "the membrane starts and is reset at 0"
        value = float(np.max(block.v_min))
        problems.append(Problem("lower bound above 0", "v_min", value=value, limit="<= 0", hint=hint))
    if block.v_max is not None and (np.asarray(block.v_max) <= threshold).any():
        hint = "a membrane that stops there never spikes"
        value = float(np.min(block.v_max))
        problems.append(Problem("not above the threshold", "v_max", value=value, limit="> threshold", hint=hint))
    if (np.asarray(block.refractory_steps) < 0).any():
        value = float(np.min(np.asarray(block.refractory_steps)))
        problems.append(Problem("negative", "refractory_steps", value=value, limit=">= 0"))
    if block.gain_into not in ("weights", "thresholds"):
        problems.append(Problem("unknown word", "gain_into", value=block.gain_into, limit="weights or thresholds"))
    elif block.gain_into == "thresholds" and (block.gains <= 0).any():
        hint = "use gain_into='weights'"
        value = float(block.gains.min())
        problems.append(Problem("no threshold can take this gain", "gain", value=value, limit="> 0", hint=hint))
    return problems


def _group(block: Block, group: Group) -> list[Problem]:
    """What is wrong with the shape, the targets and the format of a group."""
    where = f"groups[{group.name}]"
    weights = np.asarray(group.weights, np.float64)
    problems = _targets(block, group, weights, where)
    try:
        syn.quantum(group.weight_bits, group.sign_mode or syn.SignMode.MIXED)
    except ConfigError as error:
        return [*problems, *(attrs.evolve(p, where=f"{where}.{p.where}") for p in error.problems)]
    if not problems and group.sign_mode not in (None, syn.SignMode.MIXED):
        values = weights * block.weight_gain(group)
        bad = values < 0 if group.sign_mode == syn.SignMode.EXCITATORY else values > 0
        if bad.any():
            what = f"{np.count_nonzero(bad)} weights have the other sign"
            hint = "leave sign_mode at None or use 'mixed'"
            value, limit = float(weights[bad][0]), f"sign mode {group.sign_mode}"
            problems.append(Problem(what, f"{where}.weights", value=value, limit=limit, hint=hint))
    return problems


def _targets(block: Block, group: Group, weights: Float, where: str) -> list[Problem]:
    if isinstance(group.targets, str):
        if group.targets == "columns" and (weights.ndim != 2 or weights.shape[1] != block.size):
            limit = f"(inputs, {block.size})"
            return [
                Problem("wrong shape", f"{where}.weights", value=weights.shape, limit=limit, hint="or give targets")
            ]
        if group.targets == "shared":
            if weights.ndim == 0:
                return [Problem("wrong shape", f"{where}.weights", value=(), limit="(..., channels)")]
            if block.gain_into == "weights" and np.unique(block.gains).size > 1:
                hint = "use gain_into='thresholds'"
                count = np.unique(block.gains).size
                return [Problem("a shared kernel has one gain", where, value=count, limit=1, hint=hint)]
        elif group.targets != "columns":
            return [
                Problem("unknown word", f"{where}.targets", value=group.targets, limit="columns, shared or integers")
            ]
        return []
    targets = np.asarray(group.targets)
    if targets.shape != weights.shape or (targets.dtype.kind not in "iu" and targets.size):
        value = f"{targets.dtype} {targets.shape}"
        return [Problem("not one for each weight", f"{where}.targets", value=value, limit=f"integers {weights.shape}")]
    if targets.size and (targets.min() < 0 or targets.max() >= block.size):
        first = int(targets.min() if targets.min() < 0 else targets.max())
        return [Problem("no such compartment", f"{where}.targets", value=first, limit=f"0..{block.size - 1}")]
    return []


def numbers_of(block: Block, alpha: Float, beta: Float) -> Numbers:
    """A checked block in units of the scale. alpha, beta (n,): retention factors of its currents and membranes."""
    groups = []
    excite, inhibit = np.zeros(block.size), np.zeros(block.size)
    for group in block.groups:
        weights = np.asarray(group.weights, np.float64)
        values = weights * block.weight_gain(group)
        excite += _arriving(block.size, group, np.maximum(values, 0.0))
        inhibit += _arriving(block.size, group, np.maximum(-values, 0.0))
        groups.append(Values.of(values.ravel(), group.weight_bits, group.sign_mode or _sign_mode(values)))
    arriving = np.maximum(excite, inhibit)

    def scaled(value: Any) -> Float:
        made: Float = np.broadcast_to(np.asarray(value, np.float64), (block.size,)) * block.unit
        return made

    return Numbers(
        threshold=scaled(block.threshold),
        bias=scaled(block.bias),
        v_min=None if block.v_min is None else scaled(block.v_min),
        v_max=None if block.v_max is None else scaled(block.v_max),
        groups=tuple(groups),
        q_most=float(arriving.max()),
        u_most=float((arriving / (1.0 - alpha)).max()),
        room=ROOM if bool((beta >= 1.0).any()) else LEAKY_ROOM,
        truncated=_truncated(alpha, beta),
    )


def _truncated(alpha: Float, beta: Float) -> float:
    """A unit is lost per step of decay, and forgotten as the state is; a membrane sums up what its current lost."""
    held = np.minimum(1.0 / np.maximum(1.0 - beta, 1e-9), _MEMORY)
    of_current = np.where(alpha > 0, 1.0 / (1.0 - alpha), 0.0) * held
    of_membrane = np.where(beta < 1, held, 0.0)
    return float((of_current + of_membrane).max())


def _sign_mode(values: Float) -> syn.SignMode:
    if values.min(initial=0.0) >= 0:
        return syn.SignMode.EXCITATORY
    return syn.SignMode.INHIBITORY if values.max(initial=0.0) <= 0 else syn.SignMode.MIXED


def _arriving(size: int, group: Group, values: Float) -> Float:
    """(n,) sum of the values that can reach a compartment in one step, if every input spikes."""
    if isinstance(group.targets, str):
        if group.targets == "columns":
            return np.asarray(values.sum(axis=0))
        kernel = values.reshape(math.prod(values.shape[:-1]), values.shape[-1])
        return np.full(size, float(kernel.sum(axis=0).max(initial=0.0)))
    sums: Float = np.bincount(np.asarray(group.targets, np.int64).ravel(), values.ravel(), size).astype(np.float64)
    return sums
