"""What this plugin brings to the conformance suite."""

from __future__ import annotations

from pathlib import Path

from hal.evidence import Evidence, read_vectors


def evidence(name: str) -> Evidence:
    """A network by scipy on the documented equations for the chip, by rockpool's DynapSim for the simulator."""
    return Evidence(vectors=read_vectors(Path(__file__).parent / "vectors" / name), limits=())
