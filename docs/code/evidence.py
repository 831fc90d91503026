"""What an author writes as evidence for a chip; shown in docs/authors.md, run by tests/docs/test_authors.py."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

import hal
from hal import nodes
from hal.evidence import Evidence, Limit, Overload, read_vectors, write_vector

MS = 1_000_000
SEMANTICS = hal.Semantics(dt_ns=MS, gain="one", compare=">=")


# region: vector
def keep(folder: Path, nir_file: Path, stimulus: hal.events.Records, answer: hal.events.Records) -> None:
    """Once, by a script of yours: what the vendor's simulator, or the chip, answered. The files go with the plugin."""
    write_vector(
        folder,
        "two_layers",
        nir_file,
        source="mysimulator 1.2.0",
        semantics=SEMANTICS,
        stimulus={"input": stimulus},
        duration_ns=100 * MS,
        spikes={"output": answer},
    )


# endregion


# region: models
def net(channels: int, neurons: int = 1) -> hal.Model:
    """A dense layer of so many channels and neurons."""
    ones = np.ones(neurons)
    parts: list[nodes.Node] = [
        nodes.Input(name="input", input_shape=(channels,), output_shape=(channels,)),
        nodes.Linear(name="fc", input_shape=(channels,), output_shape=(neurons,), weight=np.ones((neurons, channels))),
        nodes.IF(
            name="cells", input_shape=(neurons,), output_shape=(neurons,), r=ones, v_threshold=ones, v_reset=ones * 0
        ),
        nodes.Output(name="output", input_shape=(neurons,), output_shape=(neurons,)),
    ]
    edges = [(a.name, b.name) for a, b in pairwise(parts)]
    return hal.Model.of({part.name: part for part in parts}, edges, SEMANTICS)


def evidence(folder: Path) -> Evidence:
    """For the hook `hal_conformance`."""
    flood = hal.events(np.zeros(65, np.int64), np.zeros(65, np.int64))
    return Evidence(
        vectors=read_vectors(folder),
        agreement=0.999,
        limits=(Limit(resource="channels", fits=net(256), over=net(257)),),
        overload=Overload(model=net(1), stimulus={"input": flood}, duration_ns=MS),
    )


# endregion
