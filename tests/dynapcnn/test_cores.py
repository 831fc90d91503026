"""What a report says of the memories of a layer that no core holds: those of the core that it misses by least."""

from __future__ import annotations

import re
from typing import Any

import attrs
import numpy as np
import pytest

import hal
from hal.evidence import evidence
from hal_dynapcnn.chips import chip

CHIPS = ("speck2e", "speck2f", "speck2b", "speck2cmini", "speck2dmini", "dynapcnndevkit")
MEMORIES = ("kernel", "neuron", "bias")


def rows_of(report: Any) -> dict[str, Any]:
    """The rows about memories by the memory's name."""
    return {row.resource.removesuffix(" memory"): row for row in report.rows if row.resource.endswith(" memory")}


def over(name: str, **options: Any) -> Any:
    """The report on a layer that is larger than every core's memory for neurons."""
    (pair,) = evidence(name).limits
    return hal.mapper(name).check(pair.over, options)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CHIPS)
def test_the_nearest_core_is_the_one_that_is_missed_by_the_fewest_words(name: str, bias: bool) -> None:
    report, table = over(name, drop_zero_bias=not bias), chip(name)
    rows = rows_of(report)
    have = np.array([table.kernel_words, table.neuron_words, table.bias_words])
    need = np.array([rows[memory].needed for memory in MEMORIES])
    short = np.maximum(need[:, None] - have, 0)
    assert (short.sum(axis=0) > 0).all()
    assert {row.place for row in rows.values()} == {f"core {int(np.argmin(short.sum(axis=0)))}"}
    assert [rows[memory].limit for memory in MEMORIES] == have[:, np.argmin(short.sum(axis=0))].tolist()
    assert (need[2] > 0) == bias


@pytest.mark.parametrize("name", CHIPS)
def test_the_finding_is_about_the_same_core_and_the_same_words(name: str) -> None:
    report = over(name)
    (finding,) = (finding for finding in report.refused if finding.field == "core")
    rows = rows_of(report)
    (place,) = {row.place for row in rows.values()}
    assert f"the nearest, {place}, is short of" in finding.reason
    told = {memory: int(by) for memory, by in re.findall(r"(\w+) memory by (\d+) of", finding.reason)}
    assert told == {memory: row.needed - row.limit for memory, row in rows.items() if not row.ok}


def test_a_core_without_room_for_biases_is_a_limit_too() -> None:
    # of five cores two have a memory for biases, and these hold few neurons
    (pair,) = evidence("speck2dmini").limits
    mapper = hal.mapper("speck2dmini")
    assert mapper.check(pair.fits, {"drop_zero_bias": True}).fits
    rows = rows_of(mapper.check(pair.fits))
    assert (rows["bias"].ok, rows["neuron"].ok) == (False, True)
    assert rows["bias"].limit == 0


def test_layers_that_compete_are_compared_with_the_largest_core() -> None:
    (pair,) = evidence("speck2f").limits
    nodes, edges = dict(pair.fits.nodes), []
    before = "input"
    for k in range(4):
        conv = attrs.evolve(nodes["conv"], name=f"conv{k}")
        if k:
            shape = nodes["maps"].output_shape
            weight = np.zeros((shape[0], shape[0], 1, 1), np.float32)
            conv = attrs.evolve(conv, input_shape=shape, weight=weight)
        maps = attrs.evolve(nodes["maps"], name=f"maps{k}")
        edges += [(before, conv.name), (conv.name, maps.name)]
        nodes |= {conv.name: conv, maps.name: maps}
        before = maps.name
    del nodes["conv"], nodes["maps"]
    model = hal.Model.of(nodes, [*edges, (before, "output")], pair.fits.semantics)
    report = hal.mapper("speck2f").check(model, {"drop_zero_bias": True})
    assert [finding.field for finding in report.refused] == ["cores"]
    assert {row.place for row in report.rows if row.resource == "neuron memory"} == {"largest core"}
    assert all(row.ok for row in report.rows)
