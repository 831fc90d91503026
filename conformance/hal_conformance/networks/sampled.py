"""Random networks with leaks and fractions: what users' networks are like, where the witness is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import attrs
import numpy as np

from hal.events import Records, events
from hal.model import Model
from hal.stepping import per_step
from hal_conformance.networks.grown import layered
from hal_conformance.networks.witness import STEP_NS, TAIL_STEPS, THRESHOLD, Witness, make

SIZES: Final = ((24, 32, 16), (16, 32, 8))
"""Channels, hidden neurons, neurons of the Output: of these the first that a device has room for."""
STEPS: Final = 600
RATE: Final = 0.8
"""Share of steps with an event. Never two in a step: whoever takes events one by one would give another answer."""
FAN_INS: Final = (2, 3)
"""Connections of a neuron of each layer, on average."""
GAINS: Final = (0.25, 0.6)
"""Mean weight of each layer in thresholds: few hidden neurons fire at once, and one of them seldom fires the next."""
KINDS: Final[tuple[tuple[str, str, dict[str, float], float], ...]] = (
    ("neuron.if", "IF", {}, 1.0),
    ("neuron.lif", "LIF", {"tau": 20.0}, 2.0),
    ("neuron.cuba", "CubaLIF", {"tau_mem": 20.0, "tau_syn": 5.0}, 0.6),
)
"""Kinds of neurons, their time constants in steps, and what makes up for these in the weights."""
FADING: Final = ("CubaLIF", {"tau_mem": 8.0, "tau_syn": 2.0}, 1.6)
"""The same for witnesses that fade. What decays by shifts is rounded in every step, and a membrane sums that up over
its time constant: with 20 and 5 steps one spike that moves by a step moves several later ones, and the share would tell
of that chain and not of the rule."""
MORE: Final = 4
"""Times as many networks of neurons that fade: a spike that moves takes others along, and a few such are no share."""


@attrs.frozen(kw_only=True, eq=False)
class Sample:
    """A random network and events for it."""

    label: str
    witness: Witness
    stimulus: Records

    @property
    def model(self) -> Model:
        """The network."""
        return self.witness.model


def samples(
    witness: Witness, capabilities: frozenset[str], rng: np.random.Generator, each: int, sizes: Sequence[int]
) -> Iterator[Sample]:
    """So many networks of every declared kind of neuron, in the witness's dialect."""
    for word, neuron, constants, more in KINDS:
        if word not in capabilities:
            continue
        count = each
        if witness.dialect.fades:
            (neuron, constants, more), count = FADING, MORE * each
        base = make(neuron, constants, witness.dialect, witness.form)
        unit = more / _gain(base)
        for k in range(count):
            weights = [
                _weights(rng, after, before, fan_in, gain * unit)
                for (before, after), fan_in, gain in zip(pairwise(sizes), FAN_INS, GAINS, strict=True)
            ]
            yield Sample(label=f"{neuron} {k}", witness=layered(base, weights), stimulus=_stimulus(rng, sizes[0]))


def _gain(witness: Witness) -> float:
    """What the dialect makes of an input: some scale it by what a step forgets, and few neurons would ever fire."""
    numbers = per_step(witness.model.nodes[witness.populations[0]], witness.model.semantics, STEP_NS)
    return float(numbers.gain[0] * numbers.current_gain[0])


def _weights(rng: np.random.Generator, after: int, before: int, fan_in: int, gain: float) -> np.ndarray:
    """Sparse, more excitation than inhibition: several events of different sources fire a neuron."""
    there = rng.random((after, before)) < fan_in / before
    return there * gain * rng.normal(1.0, 0.8, (after, before)) * THRESHOLD


def _stimulus(rng: np.random.Generator, channels: int) -> Records:
    at = np.flatnonzero(rng.random(STEPS - TAIL_STEPS) < RATE)
    return events(at * STEP_NS, rng.integers(0, channels, at.size))
