"""A model's neurons in continuous time: what chips without steps make of rules that are stated in steps.

The rule is discrete: i' = a i + x, v' = b v + i', or a variant of it. k steps after an event the membrane is at
c (b^(k+1) - a^(k+1)), and two exponentials through the same points are what a current of tau_syn leaves on a membrane
of tau_mem, with a = exp(-dt/tau_syn) and b = exp(-dt/tau_mem): so below its threshold the membrane of a chip that flows
is the model's at the end of every step. A spike stands somewhere in its step: on average half a step after the stamp
that the model gives it.
"""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal import graph, nodes
from hal.model import Model
from hal.semantics import Rule, Semantics
from hal.stepping import per_step

Float = NDArray[np.float64]


@attrs.frozen(kw_only=True, eq=False)
class Response:
    """What one unit of input does to a membrane, (n,) each.

    tau_mem, tau_syn: s. area: under the current it leaves, in s times the model's unit of v; the membrane rises to
    area / (tau_mem - tau_syn) (exp(-t/tau_mem) - exp(-t/tau_syn)). steady: the membrane under one unit in every step
    (or, without steps, in every s or ms, the unit of the time constants). jump: whether the model has a jump where the
    current is.
    """

    tau_mem: Float
    tau_syn: Float
    area: Float
    steady: Float
    jump: bool = False


def flows(node: Any, rule: Rule) -> bool:
    """Whether the rule of a CubaLIF or LIF node has a limit for ever shorter steps, so that nobody need say dt.

    What an event moves at once must not depend on the step, or be its share of a time constant (an impulse into the
    equations); what a current moves must be that share.
    """
    first = rule.current_gain if isinstance(node, nodes.CubaLIF) else rule.gain
    rest = rule.gain in ("r*dt/tau", "1-decay") or not isinstance(node, nodes.CubaLIF)
    return rule.tau_unit in ("s", "ms") and rest and first in ("one", "r", "r*dt/tau", "1-decay")


def response(node: Any, semantics: Semantics, dt_ns: int | None, synapse_s: float) -> Response:
    """Of a CubaLIF or LIF node. A LIF neuron's jump is a short current that lifts the membrane as high.

    Without dt (where the rule `flows`) it is what the rule comes to with ever shorter steps. A gain that holds dt/tau
    makes an event an impulse of area 1 s (or ms, the unit of the time constants), as in NIR's equations.
    """
    return _sampled(node, semantics, dt_ns, synapse_s) if dt_ns is not None else _flowing(node, semantics, synapse_s)


def _sampled(node: Any, semantics: Semantics, dt_ns: int, synapse_s: float) -> Response:
    p = per_step(node, semantics, dt_ns)
    dt = dt_ns * 1e-9
    a, b = p.current_decay, p.decay
    with np.errstate(divide="ignore", invalid="ignore"):
        tau_mem = dt / np.log(1 / b)
        if not p.has_current:
            tau_syn = np.minimum(synapse_s, tau_mem / 4)
            return Response(
                tau_mem=tau_mem,
                tau_syn=tau_syn,
                area=p.gain / _peak(tau_mem, tau_syn),
                steady=p.gain / (1 - b),
                jump=True,
            )
        tau_syn = dt / np.log(1 / a)
        late = p.rule.jump == "before" and p.rule.membrane_sees == "decayed"
        first = p.gain * p.current_gain * (a if late else 1.0)
        # (tau_mem - tau_syn) / (b - a), in a form that holds where the two are alike
        apart = np.log(b / a)
        area = first * tau_mem * tau_syn / (b * dt) * np.where(apart == 0, 1.0, apart / -np.expm1(-apart))
        # the current lasts for one step only: a jump
        jump = a == 0
        short = np.minimum(synapse_s, tau_mem / 4)
        area = np.where(jump, first / _peak(tau_mem, short), area)
        return Response(
            tau_mem=tau_mem,
            tau_syn=np.where(jump, short, tau_syn),
            area=area,
            steady=first / (1 - a) / (1 - b),
            jump=bool(jump.any()),
        )


def _flowing(node: Any, semantics: Semantics, synapse_s: float) -> Response:
    rule = semantics.rule(node)
    unit = {"s": 1.0, "ms": 1e-3}[rule.tau_unit]

    def of(name: str) -> Float:
        return np.asarray(getattr(node, name), np.float64).ravel()

    with np.errstate(divide="ignore", invalid="ignore"):
        if isinstance(node, nodes.LIF):
            tau_mem = of("tau") * unit
            tau_syn = np.minimum(synapse_s, tau_mem / 4)
            jump = _at_once(rule.gain, of("r"), tau_mem / unit)
            return Response(
                tau_mem=tau_mem,
                tau_syn=tau_syn,
                area=jump / _peak(tau_mem, tau_syn),
                steady=jump * tau_mem / unit,
                jump=True,
            )
        tau_mem, tau_syn = of("tau_mem") * unit, of("tau_syn") * unit
        factor = of("r") if rule.gain == "r*dt/tau" else np.ones(tau_mem.size)
        area = factor * _at_once(rule.current_gain, of("w_in"), tau_syn / unit) * tau_syn
        return Response(tau_mem=tau_mem, tau_syn=tau_syn, area=area, steady=area / unit)


def _at_once(gain: str, factor: Float, tau: Float) -> Float:
    """What an event adds to the first state it meets; tau in the unit of the impulses' area."""
    return {"one": np.ones_like(factor), "r": factor, "r*dt/tau": factor / tau, "1-decay": 1.0 / tau}[gain]


def _peak(tau_mem: Float, tau_syn: Float) -> Float:
    """How high a current of area 1 lifts the membrane."""
    at = np.log(tau_mem / tau_syn) / (1 / tau_syn - 1 / tau_mem)
    return np.asarray((np.exp(-at / tau_mem) - np.exp(-at / tau_syn)) / (tau_mem - tau_syn))


def half_steps(model: Model) -> dict[str, int]:
    """Half steps by which spikes of each population stand later than the model's: one for every layer with a current.

    A cycle is late as a whole. Without steps nothing is late: spikes stand where they are.
    """
    names = [node.name for node in model.populations()]
    edges = [(p.source, p.target) for p in model.projections() if p.target in names]
    member = graph.components(names, edges)
    between = [(source, target) for source, target in edges if member[source] != member[target]]
    # a layer that is ahead of the model lets those behind it be so, too: nothing but a first one starts from 0
    fed = {member[target] for _, target in between}
    late = {part: -math.inf if part in fed else 0 for part in member.values()}
    own = {name: _own(model, model.nodes[name]) for name in names}
    for _ in late:
        for source, target in between:
            late[member[target]] = max(late[member[target]], late[member[source]] + own[source])
    return {name: int(late[member[name]]) + own[name] for name in names}


def _own(model: Model, node: Any) -> int:
    if model.semantics.dt_ns is None or not isinstance(node, nodes.CubaLIF):
        return 0
    rule = model.semantics.rule(node)
    # a membrane that sees a current before its jump answers a whole step later; without steps it does not
    return -1 if rule.jump == "after" and rule.membrane_sees == "undecayed" else 1
