"""Routes from tags alone: who hears whom, whoever wrote the registers."""

from __future__ import annotations

import time
from typing import Any

import attrs
import numpy as np

from hal_dynapse2.config import (
    CamConfig,
    ChipsConfig,
    Dynapse2Config,
    HostConfig,
    InputConfig,
    NeuronsConfig,
    PopulationConfig,
    SramConfig,
)
from hal_dynapse2.limits import DENDRITES, LATCHES
from hal_dynapse2.routes import departures, routes


def registers(
    places: list[tuple[int, int, int]],
    cam: list[tuple[int, int, str, int, int]],
    sram: list[tuple[int, int, int, int, int, int]],
    host: list[tuple[int, int, int, int, int]] | None = None,
    n_inputs: int = 1,
    chips: int = 1,
) -> Dynapse2Config:
    """cam: row, slot, dendrite, mask, tag. sram: row, slot, cores, x, y, tag. host: channel, cores, x, y, tag."""
    n = len(places)
    chip, core, neuron = np.array(places).T
    entries: dict[str, Any] = {name: np.zeros((n, 64), int) for name in ("dendrite", "mask", "tag")}
    for row, slot, dendrite, mask, tag in cam:
        for name, value in (("dendrite", DENDRITES[dendrite]), ("mask", mask), ("tag", tag)):
            entries[name][row, slot] = value
    off = np.zeros((n, 64), bool)
    out: dict[str, Any] = {name: np.zeros((n, 4), int) for name in ("core_mask", "x_hop", "y_hop", "tag")}
    for row, slot, *values in sram:
        for name, number in zip(out, values, strict=True):
            out[name][row, slot] = number
    hosts = np.array(host or np.zeros((0, 5), int)).T
    return Dynapse2Config(
        inputs=(InputConfig(name="in", shape=(n_inputs,)),),
        populations=(PopulationConfig(name="all", shape=(n,)),),
        chips=ChipsConfig(x=np.arange(1, chips + 1), y=np.zeros(chips, int)),
        neurons=NeuronsConfig(chip=chip, core=core, neuron=neuron, latches=np.zeros((n, len(LATCHES)), bool)),
        cam=CamConfig(**entries, stp=off, precise_delay=off, mismatched_delay=off),
        sram=SramConfig(**out),
        host=HostConfig(**dict(zip(("channel", "core_mask", "x_hop", "y_hop", "tag"), hosts, strict=True))),
    )


def test_only_cores_of_the_mask_react_and_dendrite_none_never_does() -> None:
    places = [(0, 0, 0), (0, 1, 0), (0, 2, 0), (0, 2, 1)]
    cam = [
        (0, 0, "ampa", 3, 0),
        (1, 0, "gaba", 5, 0),
        (2, 0, "nmda", 7, 0),
        (2, 3, "shunt", 8, 0),
        (3, 0, "ampa", 0, 0),
    ]
    made = routes(registers(places, [*cam, (3, 1, "none", 15, 0)], [], [(0, 0b101, 0, 0, 0)]))
    assert made.packet_ptr.tolist() == [0, 2, 2, 2, 2, 2]
    assert made.packet_core.tolist() == [0, 2]
    assert made.synapse_ptr.tolist() == [0, 1, 3]
    assert made.target.tolist() == [0, 2, 2]
    assert made.dendrite.tolist() == [0, 2, 3]
    assert made.mask.tolist() == [3, 7, 8]


def test_two_sources_with_one_tag_on_a_core_are_one() -> None:
    places = [(0, 0, 0), (0, 0, 1), (1, 0, 0)]
    sram = [(0, 0, 1, 1, 0, 9), (1, 0, 1, 1, 0, 9)]
    made = routes(registers(places, [(2, 0, "ampa", 1, 9), (2, 1, "gaba", 2, 9)], sram, chips=2))
    assert made.packet_core.tolist() == [4, 4]
    assert made.packet_tag.tolist() == [9, 9]
    assert made.target.tolist() == [2, 2, 2, 2]
    assert made.dendrite.tolist() == [0, 1, 0, 1]


def test_packets_that_no_chip_takes_are_departures_or_lost() -> None:
    places = [(0, 0, 0), (1, 3, 255)]
    sram = [(0, 0, 15, -7, 0, 0), (1, 0, 15, -7, -7, 5), (1, 1, 15, 3, 0, 4), (0, 1, 0, -7, 0, 8)]
    made = registers(places, [], sram, chips=2)
    assert routes(made).packet_core.size == 0
    left = departures(made)
    assert left.neuron.tolist() == [0, 1]
    assert left.x_hop.tolist() == [-6, -5]
    assert left.y_hop.tolist() == [0, -7]
    assert left.tag.tolist() == [0, 5]


def test_the_host_reaches_chips_relative_to_chip_0_in_any_order() -> None:
    host = [(2, 1, 1, 0, 7), (0, 2, 0, 0, 6), (2, 8, 0, 0, 5)]
    made = routes(registers([(0, 1, 0), (1, 0, 4)], [(1, 0, "ampa", 1, 7)], [], host, n_inputs=3, chips=2))
    assert made.packet_ptr.tolist() == [0, 1, 1, 3, 3, 3]
    assert made.packet_core.tolist() == [1, 4, 3]
    assert made.target.tolist() == [1]
    assert made.n_inputs == 3


def test_no_chips_and_no_destinations() -> None:
    made = routes(Dynapse2Config())
    assert made.packet_ptr.tolist() == [0]
    assert made.synapse_ptr.tolist() == [0]
    assert departures(Dynapse2Config()).neuron.size == 0


def test_speed() -> None:
    rng = np.random.default_rng(0)
    places = [(0, k // 256, k % 256) for k in range(1024)]
    made = registers(places, [], [(k, 0, 15, 0, 0, k) for k in range(1024)])
    cam = attrs.evolve(
        made.cam,
        dendrite=np.full((1024, 64), 1024),
        mask=np.full((1024, 64), 3),
        tag=rng.integers(0, 1024, (1024, 64)),
    )
    made = attrs.evolve(made, cam=cam)
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        found = routes(made)
        best = min(best, time.perf_counter() - start)
    assert found.target.size == 65536
    assert best < 0.02
