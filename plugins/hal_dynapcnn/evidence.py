"""What this plugin brings to the conformance suite."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from hal import nodes
from hal.evidence import Evidence, Limit, read_vectors
from hal.model import Model
from hal.semantics import Semantics
from hal_dynapcnn.chips import ChipTable, chip

SIDE = 32


def evidence(name: str) -> Evidence:
    """Three chains of sinabs' neurons, which all chips of the family run alike, and a map that fills a core."""
    return Evidence(vectors=read_vectors(Path(__file__).parent / "vectors"), limits=(_neurons(chip(name)),))


def _neurons(table: ChipTable) -> Limit:
    """Maps as large as the largest neuron memory, and one feature more.

    Not every core has room for biases, and a convolution of NIR has some, if zero: they are left out.
    """
    features = max(table.neuron_words) // SIDE**2
    return Limit(
        resource="neuron memory",
        fits=_maps(features),
        over=_maps(features + 1),
        options={"drop_zero_bias": True},
    )


def _maps(features: int) -> Model:
    before, after = (1, SIDE, SIDE), (features, SIDE, SIDE)
    ones = np.ones(after)
    chain = (
        nodes.Input(name="input", input_shape=before, output_shape=before),
        nodes.Conv2d(
            name="conv",
            input_shape=before,
            output_shape=after,
            weight=np.ones((features, 1, 1, 1), np.float32),
            bias=np.zeros(features),
            stride=(1, 1),
            padding=((0, 0), (0, 0)),
            dilation=(1, 1),
            groups=1,
        ),
        nodes.IF(name="maps", input_shape=after, output_shape=after, r=ones, v_threshold=ones, v_reset=np.zeros(after)),
        nodes.Output(name="output", input_shape=after, output_shape=after),
    )
    named: dict[str, nodes.Node] = {node.name: node for node in chain}
    return Model.of(named, list(pairwise(named)), Semantics(profile="sinabs"))
