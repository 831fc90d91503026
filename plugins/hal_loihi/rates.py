"""Rate scales: how fast the neurons of a layer should fire, and the model rescaled so that they do.

A neuron spikes at most once per step, and its rates are 1000/k Hz at steps of 1 ms: below 200 Hz they are dense, above
250 Hz coarse (advice for training for the chip; see `activation`). A layer with scale s takes s times its weights and
biases, and what it sends counts 1/s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import ArrayLike

from hal import nodes
from hal.errors import ConfigError, Problem
from hal.fit import Finding
from hal.model import Model
from hal.recording import Recording

TARGET_HZ: Final = 200.0
COARSE_HZ: Final = 250.0


def scale_for(rates_hz: ArrayLike, target_hz: float = TARGET_HZ) -> float:
    """The factor that brings the mean rate of the active neurons (any shape, Hz) to `target_hz`; 1 where none is."""
    rates = np.ravel(np.asarray(rates_hz, np.float64))
    active = rates[rates > 0]
    return float(target_hz / active.mean()) if active.size else 1.0


def scales_for(
    recording: Recording, populations: Mapping[str, int] | list[str], target_hz: float = TARGET_HZ
) -> dict[str, float]:
    """`scale_for` each recorded population. Raises what `Recording.counts` does for one that was not recorded."""
    seconds = recording.duration_ns * 1e-9
    return {name: scale_for(recording.counts(name) / seconds, target_hz) for name in populations}


def remarks(recording: Recording, populations: list[str], dt_ns: int) -> list[Finding]:
    """What to say of rates: coarse ones, and neurons at the ceiling of one spike per step."""
    found = []
    for name in populations:
        rates = recording.counts(name) / (recording.duration_ns * 1e-9)
        active = rates[rates > 0]
        if active.size and active.mean() > COARSE_HZ:
            reason = "the active neurons fire fast: few rates are left between plateaus"
            found.append(_note(name, reason, f"{active.mean():.0f} Hz", f"{COARSE_HZ:.0f} Hz"))
        ceiling = 1e9 / dt_ns
        top = int(np.count_nonzero(rates > 0.99 * ceiling))
        if top:
            found.append(
                _note(name, f"{top} neurons spike in every step", f"{rates.max():.0f} Hz", f"{ceiling:.0f} Hz")
            )
    return found


def _note(node: str, reason: str, wanted: str, realised: str) -> Finding:
    hint = "a smaller rate scale"
    return Finding(level="note", node=node, field="rate", reason=reason, wanted=wanted, realised=realised, hint=hint)


def rescaled(model: Model, scales: Mapping[str, float]) -> Model:
    """The model with other rates: what goes into a population times its scale, what it sends over its scale.

    What a scaled population sends to an Output is not changed: its spikes count 1/scale there. ConfigError for scales
    that are not positive, names that are no population, and weights that lead to populations of different scales.
    """
    populations = {node.name for node in model.populations() if not isinstance(node, nodes.Input)}
    problems = [
        Problem("no such population", name, limit=sorted(populations)) for name in scales if name not in populations
    ]
    problems += [Problem("a scale is positive", name, value=s, limit="> 0") for name, s in scales.items() if not s > 0]
    good = {name: s for name, s in scales.items() if s > 0}
    factors: dict[str, tuple[float, float]] = {}
    for p in model.projections():
        into, out_of = good.get(p.target, 1.0), good.get(p.source, 1.0)
        weighty = next((node for node in p.path if hasattr(node, "weight")), None)
        if weighty is None:
            if into != out_of and p.target in populations:
                problems.append(Problem("no weights on the way to scale", p.target, value=p.source))
            continue
        given = (into / out_of, into)
        if factors.setdefault(weighty.name, given) != given:
            problems.append(Problem("leads to or from populations of different scales", weighty.name))
    if problems:
        raise ConfigError("the model cannot be rescaled", problems=problems)
    changed: dict[str, Any] = {}
    for name, (weight, bias) in factors.items():
        node: Any = model.nodes[name]
        more = {"bias": node.bias * bias} if hasattr(node, "bias") else {}
        changed[name] = attrs.evolve(node, weight=node.weight * weight, **more)
    return Model.of({**model.nodes, **changed}, model.edges, model.semantics)
