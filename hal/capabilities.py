"""The capability vocabulary: what a device can do beyond the contract every device keeps.

A device declares words in its `DeviceSpec`. What a word names works where it is declared; where it is not, asking for
it is refused: an API feature with CapabilityError, a feature of a model with a refused finding that names the word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import attrs

from hal.errors import CapabilityError

if TYPE_CHECKING:
    from hal.model import Model


@attrs.frozen
class Word:
    """One capability: what it says, what uses it, what its absence forbids."""

    name: str
    meaning: str
    used_by: str
    forbids: str


_TABLE = (
    ("neuron.if", "integrate-and-fire neurons without leak", "IF nodes", "IF nodes"),
    ("neuron.lif", "leaky integrate-and-fire neurons", "LIF nodes", "LIF nodes"),
    ("neuron.cuba", "neurons with an exponential synaptic current", "CubaLIF nodes", "CubaLIF nodes"),
    ("neuron.integrator", "non-spiking integrators on the device", "I, LI and CubaLI nodes", "I, LI, CubaLI on chip"),
    ("neuron.threshold", "memoryless threshold units", "Threshold nodes", "Threshold nodes"),
    ("route.fanout", "one population feeds several projections", "branching graphs", "a population with two targets"),
    ("route.merge", "several projections add up in one population", "residual graphs", "two sources of one target"),
    ("route.recurrent", "projections that close a cycle", "recurrent graphs", "cycles"),
    ("route.inputs", "more than one Input", "graphs with several Inputs", "a second Input"),
    ("route.outputs", "more than one Output", "graphs with several Outputs", "a second Output"),
    ("delay.axonal", "a Delay node is realised on the device", "Delay nodes", "Delay nodes"),
    ("input.signal", "analog values enter the device itself", "Signal stimuli", "Signals without a host front part"),
    ("output.signal", "analog values leave the device itself", "signal Outputs", "signals without a host back part"),
    ("record.state", "state variables can be sampled", "Probe(node, variable=...)", "probes other than spikes"),
    (
        "run.continue",
        "a run starts from the exact state the last one ended in",
        "the conformance suite",
        "nothing the API asks for",
    ),
    ("reset.state", "dynamics and clock back to the start", "reset(Reset.STATE)", "that reset"),
    ("reset.loaded", "back to just after load", "reset(Reset.LOADED)", "that reset"),
    ("reset.config", "memories erased, nothing loaded", "reset(Reset.CONFIG)", "that reset"),
    ("reset.power", "as after switching on", "reset(Reset.POWER)", "that reset"),
    ("map.like", "numbers change, placement stays", "map(model, like=mapping)", "like="),
    ("map.adopt", "registers without a model", "Mapper.adopt(config)", "adopt"),
    ("map.edit", "registers edited by hand", "Mapping.with_config(config)", "with_config"),
    ("overload.report", "stalls, drops or late events happen and are counted", "load beyond the limit", "overload"),
    ("noise.seeded", "runs are noisy, reproducibly by seed", "open(seed=...)", "stochastic runs"),
    ("profile", "individuals are told apart", "open(profile=...), hal calibrate", "profiles"),
    ("learning.on_chip", "weights change while running", "the map option `learning`", "that option"),
)

VOCABULARY: Final[dict[str, Word]] = {name: Word(name, *rest) for name, *rest in _TABLE}

_NEURONS: Final = {
    "IF": "neuron.if",
    "LIF": "neuron.lif",
    "CubaLIF": "neuron.cuba",
    "I": "neuron.integrator",
    "LI": "neuron.integrator",
    "CubaLI": "neuron.integrator",
    "Threshold": "neuron.threshold",
    "Delay": "delay.axonal",
}


def require(declared: frozenset[str], word: str, device: str, what: str) -> None:
    """Raise CapabilityError unless `word` is declared."""
    if word not in declared:
        raise CapabilityError(
            f"{device} does not support {what}",
            hint=f"capability {word!r} ({VOCABULARY[word].meaning}) is not declared; see `hal info {device}`",
            capability=word,
            device=device,
        )


def required_by(model: Model) -> Iterator[tuple[str, str, str]]:
    """(capability word, node, reason) for everything in a model that needs one."""
    for node in model.nodes.values():
        if (word := _NEURONS.get(node.type)) is not None:
            yield word, node.name, f"{node.type} node"
    if len(model.inputs) > 1:
        yield "route.inputs", model.inputs[1], f"Inputs {', '.join(model.inputs)}"
    if len(model.outputs) > 1:
        yield "route.outputs", model.outputs[1], f"Outputs {', '.join(model.outputs)}"
    incoming: dict[str, list[str]] = {}
    outgoing: dict[str, list[str]] = {}
    for projection in model.projections():
        if projection.recurrent:
            yield (
                "route.recurrent",
                projection.target,
                f"the projection {projection.source} -> {projection.target} closes a cycle",
            )
        incoming.setdefault(projection.target, []).append(projection.source)
        if projection.target not in model.outputs:
            outgoing.setdefault(projection.source, []).append(projection.target)
    for node_name, sources in incoming.items():
        if len(sources) > 1:
            yield "route.merge", node_name, f"fed by {', '.join(sources)}"
    for node_name, targets in outgoing.items():
        if len(targets) > 1:
            yield "route.fanout", node_name, f"feeds {', '.join(targets)}"
