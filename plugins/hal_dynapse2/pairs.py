"""Pairs of models just at and just over a limit that growing networks do not reach, for the conformance suite."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from hal import nodes
from hal.evidence import Limit
from hal.model import Model
from hal.semantics import Semantics
from hal_dynapse2.limits import CAM_ENTRIES, CORES, SRAM_ENTRIES, TAGS

STEP_NS = 1_000_000


def limits() -> tuple[Limit, ...]:
    """A core that hears a channel for every tag, and a neuron with a target for every destination it has."""
    chips = {f"target{k}": (k * CORES,) for k in range(SRAM_ENTRIES)}
    return (
        Limit(resource="tags", fits=_listening(TAGS), over=_listening(TAGS + 1)),
        Limit(
            resource="SRAM entries",
            fits=_reaching(SRAM_ENTRIES - 1),
            over=_reaching(SRAM_ENTRIES),
            options={"grid": (SRAM_ENTRIES, 1), "cores": {"source": (0,), **chips}},
        ),
    )


def _listening(channels: int) -> Model:
    """So many channels, each heard by one neuron of a core, full ones first."""
    neurons = -(-channels // CAM_ENTRIES)
    weight = np.zeros((neurons, channels), np.float32)
    weight[np.arange(channels) // CAM_ENTRIES, np.arange(channels)] = 1.0
    chain = (_input(channels), _linear("fc", weight), _cells("neurons", neurons), _output(neurons))
    return Model.of({node.name: node for node in chain}, list(pairwise(node.name for node in chain)), _semantics())


def _reaching(chips: int) -> Model:
    """A recorded neuron before targets on so many chips; further targets hear the Input instead."""
    made: list[Any] = [_input(1), _linear("to source", np.ones((1, 1), np.float32)), _cells("source", 1), _output(1)]
    edges = [("input", "to source"), ("to source", "source"), ("source", "output")]
    for k in range(SRAM_ENTRIES):
        made += [_linear(f"to target{k}", np.ones((1, 1), np.float32)), _cells(f"target{k}", 1)]
        edges += [("source" if k < chips else "input", f"to target{k}"), (f"to target{k}", f"target{k}")]
        made.append(_output(1, f"output{k}"))
        edges.append((f"target{k}", f"output{k}"))
    return Model.of({node.name: node for node in made}, edges, _semantics())


def _input(size: int) -> nodes.Node:
    return nodes.Input(name="input", input_shape=(size,), output_shape=(size,))


def _output(size: int, name: str = "output") -> nodes.Node:
    return nodes.Output(name=name, input_shape=(size,), output_shape=(size,))


def _linear(name: str, weight: Any) -> nodes.Node:
    after, before = weight.shape
    return nodes.Linear(name=name, input_shape=(before,), output_shape=(after,), weight=weight)


def _cells(name: str, size: int) -> nodes.Node:
    values = {
        "tau_syn": 5e-3,
        "tau_mem": 20e-3,
        "r": 1.0,
        "v_leak": 0.0,
        "v_threshold": 1.0,
        "v_reset": 0.0,
        "w_in": 1.0,
    }
    parameters: dict[str, Any] = {key: np.full(size, value) for key, value in values.items()}
    return nodes.CubaLIF(name=name, input_shape=(size,), output_shape=(size,), **parameters)


def _semantics() -> Semantics:
    return Semantics(profile="nir", dt_ns=STEP_NS, decay="exp", gain="one", current_gain="one", v_min=0.0)
