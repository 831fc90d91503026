from __future__ import annotations

import pytest

from hal.capabilities import VOCABULARY


def test_what_a_chip_can_do_and_what_it_refuses(hal) -> None:
    outcome = hal("info", "speck2f")
    assert outcome.code == 0
    assert "refused: LIF nodes" in outcome.flat
    assert "integrate-and-fire neurons without leak" in outcome.flat
    for word in VOCABULARY:
        assert word in outcome.out
    assert "16,384 (x 3), 32,768 (x 2)," in outcome.flat
    assert "Speck Dev Kit Datasheet" in outcome.flat
    assert "words for --approximate: leak, reset" in outcome.out
    assert "@slow_clock" in outcome.out
    assert "chip_layers_ordering" in outcome.out
    assert "slow_clock_hz" in outcome.out
    assert "Hz" in outcome.out


def test_an_alias_is_a_name(hal) -> None:
    assert hal("info", "speck2fdevkit").out.startswith("speck2f ")


def test_a_device_without_limits(hal) -> None:
    assert "no limits" in hal("info", "ideal").out


def test_info_as_json(hal) -> None:
    document = hal("info", "speck2f", "--json").json
    assert document["name"] == "speck2f"
    assert document["refused"]["neuron.lif"] == "LIF nodes"
    assert set(document["capabilities"]) | set(document["refused"]) == set(VOCABULARY)
    assert document["clock"]["kind"] == "event"
    kernel = next(row for row in document["resources"] if row["name"] == "kernel memory")
    assert len(kernel["limit"]) == document["cores"] == 9
    assert "quantisation" in document["map_options"]["properties"]


@pytest.mark.parametrize(
    ("schema", "field"), [("map", "reserved_cores"), ("open", "odd_pooling"), ("config", "cnn_layers")]
)
def test_schemas(hal, schema: str, field: str) -> None:
    document = hal("info", "speck2f", "--schema", schema).json
    assert document["$schema"].endswith("2020-12/schema")
    assert field in document["properties"]


def test_schemas_there_are_not(hal) -> None:
    outcome = hal("info", "speck2f", "--schema", "profile")
    assert (outcome.code, outcome.out) == (2, "")
    assert "has no profiles" in outcome.err
    outcome = hal("info", "speck2f", "--schema", "confg")
    assert outcome.code == 2
    assert "did you mean config?" in outcome.err


def test_an_unknown_device_names_its_neighbours(hal) -> None:
    outcome = hal("info", "speck2x")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: there is no device 'speck2x'")
    assert "did you mean speck2f" in outcome.flat
