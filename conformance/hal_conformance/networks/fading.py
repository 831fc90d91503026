"""Neurons that forget: what they answer, and stimuli that leave no doubt about it.

    i' = a (i + x) or a i + x,  v' = b v + i',  a spike where v' >= threshold, which takes the threshold off, or all

a and b are 1 - 1/tau with tau in steps, sums of powers of two, so that all is exact in 64 bits. No weights and
thresholds keep such sums apart for any stimulus; so an event is left out that would bring a neuron near its threshold,
or, where the threshold is taken off, near two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

THRESHOLD: Final = 4.0
"""Of every neuron of the suite."""
AHEAD: Final = 8
"""Steps in which an event can still raise a membrane; after that currents are gone."""
FORGET: Final = 24
"""Steps after which a strong event and its like do not add up: what is left of one is below every margin."""
DENSITY: Final = 0.8
"""Share of the steps in which an event is tried."""


BLOCK: Final = 256
PAUSE: Final = 40
"""Silent steps after which nothing is left that would count."""


@attrs.frozen(kw_only=True)
class Fading:
    """Shares of a membrane and of a current that are left after a step, and what else the rule says.

    margin: how far a membrane stays from the threshold. most: how high one comes. before: an event enters the current
    before that decays. subtract: a spike takes the threshold off; else the membrane is 0 after it. floor: the
    membrane's lower bound. after: how high one comes in the step after a spike.
    """

    membrane: float
    current: float
    margin: float
    most: float
    before: bool
    subtract: bool
    floor: float
    after: float

    def __call__(self, given: Counts, weight: Floats) -> Counts:
        """Spikes (T, out) of one layer fed with spikes (T, in)."""
        i, v = np.zeros(len(weight)), np.zeros(len(weight))
        spikes = np.zeros((len(given), len(weight)), np.int64)
        for k, row in enumerate(given):
            i, v, spikes[k] = self.step(i, v, weight @ row)
        return spikes

    def _current(self, i: Floats, x: Floats) -> Floats:
        return self.current * (i + x) if self.before else self.current * i + x

    def step(self, i: Floats, v: Floats, x: Floats) -> tuple[Floats, Floats, Counts]:
        """Currents, membranes and spikes after a step with input x."""
        i = self._current(i, x)
        v = self.membrane * v + i
        n = np.maximum(np.floor(v / THRESHOLD), 0.0)
        if not self.subtract:
            n = np.minimum(n, 1.0)
        v = v - THRESHOLD * n if self.subtract else np.where(n > 0, 0.0, v)
        return i, np.maximum(v, self.floor), n.astype(np.int64)

    def near(self, i: Floats, v: Floats, x: Floats, fired: Counts) -> NDArray[np.bool_]:
        """(B,): whether any neuron (B, n) comes near its threshold in this step, or too high; fired: in the last."""
        reached = self.membrane * v + self._current(i, x)
        doubtful = (np.abs(reached - THRESHOLD) < self.margin) | (reached > self.most)
        doubtful |= (fired > 0) & (reached > self.after)
        return np.asarray(doubtful.any(axis=-1))


@attrs.define
class _Layers:
    """States of all layers, of B copies side by side: (B, n) each."""

    fading: Fading
    weights: Sequence[Floats]
    i: list[Floats]
    v: list[Floats]
    fired: list[Counts]

    @classmethod
    def at_rest(cls, fading: Fading, weights: Sequence[Floats]) -> _Layers:
        """One copy."""
        i, v = ([np.zeros((1, len(w))) for w in weights] for _ in range(2))
        return cls(fading, weights, i, v, [np.zeros((1, len(w)), np.int64) for w in weights])

    def copies(self, count: int) -> _Layers:
        """The first copy, so many times."""
        i, v = ([np.repeat(x[:1], count, 0) for x in xs] for xs in (self.i, self.v))
        return _Layers(self.fading, self.weights, i, v, [np.repeat(x[:1], count, 0) for x in self.fired])

    def step(self, given: Counts) -> NDArray[np.bool_]:
        """One step fed with (B, in) events; (B,) whether a neuron came near its threshold."""
        near = np.zeros(len(given), np.bool_)
        for k, weight in enumerate(self.weights):
            x = given @ weight.T
            near |= self.fading.near(self.i[k], self.v[k], x, self.fired[k])
            self.i[k], self.v[k], given = self.fading.step(self.i[k], self.v[k], x)
            self.fired[k] = given
        return near


def fading_stimulus(
    fading: Fading, weights: Sequence[Floats], rng: np.random.Generator, steps: int
) -> tuple[Counts, Counts]:
    """(step, channel) of events in `steps` steps, at most one each: the first on channel 0, the last on the last one.

    Long stimuli repeat one of BLOCK steps, of which the last PAUSE are silent.
    """
    if steps > 2 * BLOCK:
        one = _block(fading, weights, rng, BLOCK - PAUSE)
        rest = fading_stimulus(fading, weights, rng, BLOCK + steps % BLOCK)
        starts = np.arange(steps // BLOCK - 1) * BLOCK
        at = np.concatenate([(starts[:, None] + one[0]).ravel(), starts.size * BLOCK + rest[0]])
        return at, np.concatenate([np.tile(one[1], starts.size), rest[1]])
    return _block(fading, weights, rng, steps)


def _block(fading: Fading, weights: Sequence[Floats], rng: np.random.Generator, steps: int) -> tuple[Counts, Counts]:
    channels = weights[0].shape[1]
    every = np.eye(channels, dtype=np.int64)
    now = _Layers.at_rest(fading, weights)
    taken: list[tuple[int, int]] = []
    for step in range(steps):
        first, last = not taken, step >= steps - AHEAD
        wanted = [0] if first else [channels - 1] if last else rng.permutation(channels).tolist()
        done = last and taken[-1][0] >= steps - AHEAD
        tried = [] if done or (not first and not last and rng.random() > DENSITY) else wanted
        safe = _safe(now, every[tried]) if tried else np.zeros(0, np.bool_)
        channel = next((c for c, good in zip(tried, safe, strict=True) if good), None)
        now.step(np.zeros((1, channels), np.int64) if channel is None else every[[channel]])
        if channel is not None:
            taken.append((step, channel))
    at, index = np.array(taken, np.int64).reshape(-1, 2).T
    return at, index


def _safe(now: _Layers, events: Counts) -> NDArray[np.bool_]:
    """(B,): which of the events (B, channels), with silence after it, keeps all neurons away from thresholds."""
    future = now.copies(len(events))
    near = future.step(events)
    for _ in range(AHEAD):
        near |= future.step(np.zeros_like(events))
    return ~near
