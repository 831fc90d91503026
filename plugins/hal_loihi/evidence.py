"""What this plugin brings to the conformance suite."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from hal import nodes
from hal.evidence import Evidence, Limit, read_vectors
from hal.model import Model
from hal.semantics import Semantics
from hal_loihi.limits import COMPARTMENTS, OUT_AXONS

STEP_NS = 1_000_000


def evidence() -> Evidence:
    """Two networks of nengo-loihi's emulator, and a fan-out that fills a core's output axons to the last one."""
    return Evidence(vectors=read_vectors(Path(__file__).parent / "vectors"), limits=(_out_axons(),))


def _out_axons() -> Limit:
    """A full core of neurons that reach cores of one neuron each: as many as the axons suffice for, and one more.

    Left alone, the mapper would take several cores for the first layer; the blocks are given by hand.
    """
    cores = OUT_AXONS // COMPARTMENTS
    return Limit(
        resource="out axons",
        fits=_fanning_out(cores),
        over=_fanning_out(cores + 1),
        options={"block_shape": {"first": (COMPARTMENTS,), "second": (1,)}},
    )


def _fanning_out(cores: int) -> Model:
    def linear(name: str, before: int, after: int) -> nodes.Node:
        weight = np.ones((after, before), np.float32)
        return nodes.Linear(name=name, input_shape=(before,), output_shape=(after,), weight=weight)

    def population(name: str, size: int) -> nodes.Node:
        ones = np.ones(size)
        return nodes.IF(
            name=name, input_shape=(size,), output_shape=(size,), r=ones, v_threshold=ones, v_reset=np.zeros(size)
        )

    chain = (
        nodes.Input(name="input", input_shape=(1,), output_shape=(1,)),
        linear("fc1", 1, COMPARTMENTS),
        population("first", COMPARTMENTS),
        linear("fc2", COMPARTMENTS, cores),
        population("second", cores),
        nodes.Output(name="output", input_shape=(cores,), output_shape=(cores,)),
    )
    named = {node.name: node for node in chain}
    semantics = Semantics(profile="nir", dt_ns=STEP_NS, gain="one", compare=">=")
    return Model.of(named, list(pairwise(named)), semantics)
