"""From an IF node and its semantics to the neuron parameters of a core, and what the chip does otherwise."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from hal import nodes
from hal.model import Model
from hal.notes import Notes, Only
from hal.semantics import Rule

Float = NDArray[np.float64]


_AT_ONCE = "the chip decides and resets at every event"
RULES = (
    Only(
        field="spike_reset",
        keeps=("value", "subtract", "subtract_n"),
        reason=_AT_ONCE,
        realised="reset to 0 at once",
        approximate="reset",
    ),
    Only(field="reset_delay", keeps=(0,), reason=_AT_ONCE, realised=0, approximate="reset"),
    Only(field="fires_on", keeps=("new",), reason=_AT_ONCE, realised="new", approximate="reset"),
    Only(
        field="edge_delay",
        keeps=(0,),
        reason="spikes reach the next core at once",
        realised=0,
        approximate="delays",
    ),
    Only(
        field="compare",
        keeps=(">=",),
        reason="the chip fires at equality, too",
        realised=">=",
        otherwise="changed",
    ),
)


@attrs.frozen(kw_only=True, eq=False)
class Neuron:
    """What a core's neurons share, in model units.

    gain: what comes in is multiplied by it; start: the first state; both per neuron, flat in the model's order.
    """

    gain: Float
    threshold: float
    threshold_low: float | None
    return_to_zero: bool
    start: Float


class Neurons:
    """Reads IF nodes of a model."""

    def __init__(self, model: Model, v_min_factor: float, notes: Notes) -> None:
        self.model = model
        self.v_min_factor = v_min_factor
        self.notes = notes

    def read(self, node: nodes.IF) -> Neuron | None:
        """The core's neuron parameters, or None when refused."""
        rule = self.model.semantics.rule(node)
        gain = self._gain(node, rule)
        threshold = self._threshold(node)
        self._reset(node, rule)
        if gain is None or threshold is None:
            return None
        low = -threshold if rule.v_min == "-threshold" else rule.v_min
        if low is not None and low >= threshold:
            self.notes.refuse(node.name, "v_min", "not below the threshold", wanted=low, limit=threshold)
            return None
        if low is not None and low < 0 and self.v_min_factor != 1:
            wider = low * self.v_min_factor
            self.notes.say("changed", node.name, "v_min", "widened as v_min_factor asks", low, wider)
            low = wider
        rest = {"v_reset": np.ravel(node.v_reset), "v_leak": np.zeros(1)}  # an IF leaks to nowhere
        start = rest.get(str(rule.start_state), np.ravel(rule.start_state) if rule.start_state else np.zeros(1))
        return Neuron(
            gain=gain,
            threshold=threshold,
            threshold_low=None if low is None else float(low),
            return_to_zero=rule.spike_reset in ("value", "discard_update"),
            start=np.broadcast_to(np.asarray(start, np.float64), (node.size,)),
        )

    def _threshold(self, node: nodes.IF) -> float | None:
        """The one threshold of all neurons, or None."""
        theta = np.asarray(node.v_threshold, np.float64).ravel()
        values, counts = np.unique(theta, return_counts=True)
        if values.size > 1:
            odd = int(theta.size - counts.max())
            self.notes.refuse(
                node.name,
                "v_threshold",
                f"{odd} of {theta.size} neurons differ; a core has one threshold",
                wanted=f"{values.size} values from {values[0]:g} to {values[-1]:g}",
                limit="one value",
                hint="train with one threshold per layer, or scale each feature's weights by 1/threshold",
            )
            return None
        if values[0] <= 0:
            reason = "a neuron at rest would fire"
            self.notes.refuse(node.name, "v_threshold", reason, wanted=float(values[0]), limit="> 0")
            return None
        return float(values[0])

    def _gain(self, node: nodes.IF, rule: Rule) -> Float | None:
        r = np.asarray(node.r, np.float64).ravel()
        if rule.gain in ("one", "1-decay"):
            return np.ones_like(r)
        if rule.gain == "r" or rule.tau_unit == "steps":
            return r
        dt_ns = self.model.semantics.dt_ns
        if dt_ns is None:
            self.notes.refuse(
                node.name,
                "dt_ns",
                "this profile multiplies what a neuron takes in by r * dt, and nobody said dt",
                hint="Semantics(dt_ns=...), or --dt; or gain='one' if the weights are meant as they stand",
            )
            return None
        return r * dt_ns * (1e-6 if rule.tau_unit == "ms" else 1e-9)

    def _reset(self, node: nodes.IF, rule: Rule) -> None:
        """What the chip does after a spike, against what the semantics ask."""
        name, notes = node.name, self.notes
        if rule.spike_reset in ("value", "discard_update") and np.any(node.v_reset):
            worst = float(np.abs(node.v_reset).max())
            notes.refuse(name, "v_reset", "the chip resets to 0 or subtracts the threshold", wanted=worst, limit=0)
        notes.only(name, rule, RULES)
        if rule.spikes_per_step == "many":
            reason = "input is taken in event by event and each synaptic update gives at most one spike"
            notes.say("changed", name, "spikes_per_step", reason, "many", "one per update")
        elif rule.bias_meaning == "per_step":
            reason = "input of a step is taken in event by event, not summed before the test"
            notes.say("changed", name, "step", reason, "sum, then test", "test after every event")
