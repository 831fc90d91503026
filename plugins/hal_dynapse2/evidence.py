"""What this plugin brings to the conformance suite."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hal.evidence import Evidence, read_vectors
from hal_dynapse2 import pairs

WHY: Final = {
    "dynapse2-dynapsim": "it follows the rule of DynapSim, the vendor's simulator, spike for spike: positive feedback, "
    "inhibition that only cancels input of its own step; no neuron of NIR does that",
}


def evidence(name: str) -> Evidence:
    """Networks at the limits of tags and destinations; by device, one with an answer of others.

    For the chip by scipy on the documented equations, for the simulator by rockpool's DynapSim.
    """
    vectors = read_vectors(Path(__file__).parent / "vectors" / name)
    return Evidence(vectors=vectors, limits=pairs.limits(), why=WHY.get(name, ""))
