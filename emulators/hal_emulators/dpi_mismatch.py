"""Mismatch of a DYNAP-SE2-like chip: every transistor's parameters a little off, for good, by the chip's number.

p <- p (1 + sigma x), x normal (rockpool 3.1.0, whose default is sigma = 0.1), for its 24 parameters, here with those of
each dendrite drawn apart, and not for the base currents of weights. Where rockpool lets a parameter become negative,
x is drawn again.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from .dpi_arrays import Neurons

__all__ = ["PARAMETERS", "SIGMA", "mismatched"]

SIGMA = 0.1
PARAMETERS = (
    "Idc", "If_nmda", "Igain_ahp", "Igain_mem", "Igain_syn", "Ipulse_ahp", "Ipulse", "Iref", "Ispkthr", "Itau_ahp",
    "Itau_mem", "Itau_syn", "Iw_ahp", "C_ahp", "C_syn", "C_pulse_ahp", "C_pulse", "C_ref", "C_mem", "Io", "kappa_n",
    "kappa_p", "Ut", "Vth",
)  # fmt: skip
"""What is drawn; the place in this list is part of a draw's address, so it may only grow at its end."""


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bijection of 64 bits in which every input bit reaches every output bit (constants of splitmix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _hash(*words: ArrayLike) -> NDArray[np.uint64]:
    """One number of 64 bits from the address of a draw."""
    state = np.zeros(1, np.uint64)
    for word in words:
        ordinal = np.atleast_1d(np.asarray(word, np.uint64)) + np.uint64(1)  # arrays wrap without a warning
        state = _mix(state + ordinal * np.uint64(0x9E3779B97F4A7C15))
    return state


def _factors(place: tuple[ArrayLike, ...], parameter: int, column: int, sigma: float) -> NDArray[np.float64]:
    """1 + sigma x for every place, positive."""
    factor: NDArray[np.float64] = np.zeros(1)
    attempt = 0
    while attempt == 0 or bool((factor <= 0).any()):
        bits = _hash(*place, parameter, column, attempt) >> np.uint64(11)
        drawn = 1 + sigma * ndtri((bits + 0.5) * 2.0**-53)
        factor = drawn if attempt == 0 else np.where(factor > 0, factor, drawn)
        attempt += 1
    return factor


def mismatched(
    neurons: Neurons, *, chip_seed: int, chip: ArrayLike, core: ArrayLike, neuron: ArrayLike, sigma: float = SIGMA
) -> Neurons:
    """The same neurons as they came out of the fab, at their physical places chip, core and neuron, each (N,).

    A draw depends on chip_seed (0..2**64 - 1), the place and the parameter alone: neither on the order of the neurons
    nor on how many there are. sigma is the standard deviation, 0..1. ValueError for other values, for places that are
    not N integers, and where a threshold falls to the dark current.
    """
    n = neurons.core.size
    problems = []
    if not 0 <= chip_seed < 2**64:
        problems.append(f"chip_seed is {chip_seed}, must be 0..2**64 - 1")
    if not 0 <= sigma <= 1:
        problems.append(f"sigma is {sigma}, must lie in 0..1")
    for name, values in (("chip", chip), ("core", core), ("neuron", neuron)):
        array = np.asarray(values)
        if array.shape != (n,) or array.dtype.kind not in "iu" or int(array.min()) < 0:
            problems.append(f"{name} needs {n} integers that are not negative, got {array.dtype} {array.shape}")
    if problems:
        raise ValueError("; ".join(problems))
    place = (chip_seed, chip, core, neuron)
    changed = {}
    for number, name in enumerate(PARAMETERS):
        values = getattr(neurons, name)
        columns = range(values.shape[1] if values.ndim == 2 else 1)
        factors = [_factors(place, number, column, sigma) for column in columns]
        changed[name] = values * (np.stack(factors, axis=1) if values.ndim == 2 else factors[0])
    return attrs.evolve(neurons, **changed)
