"""The vocabulary: complete, declared or refused, and what a model needs of it."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

import hal
from hal import capabilities, nodes, registry
from hal.capabilities import VOCABULARY, require, required_by
from hal.errors import CapabilityError, ConfigError


def test_every_word_says_what_it_means_what_uses_it_and_what_its_absence_forbids() -> None:
    for name, word in VOCABULARY.items():
        assert word.name == name
        assert all(attrs.astuple(word)), name


def test_a_declared_word_passes_and_another_is_named() -> None:
    require(frozenset({"map.like"}), "map.like", "toy", "map(like=)")
    with pytest.raises(CapabilityError, match="toy does not support map") as caught:
        require(frozenset(), "map.like", "toy", "map(like=)")
    assert caught.value.data == {"capability": "map.like", "device": "toy"}
    assert "numbers change, placement stays" in caught.value.hint


def test_a_spec_with_an_unknown_word_is_refused(toys: Any) -> None:
    with pytest.raises(ConfigError, match=r"neuron\.lfi.*") as caught:
        toys.add(capabilities={"neuron.lfi", "neuron.if", "learning"})
    assert [p.where for p in caught.value.problems] == ["learning", "neuron.lfi"]


@pytest.mark.parametrize("listing", hal.devices(), ids=lambda listing: listing.name)
def test_installed_devices_declare_words_of_the_vocabulary(listing: Any) -> None:
    declared = registry.spec(listing.name).capabilities
    assert declared
    assert declared <= VOCABULARY.keys()


def words(model: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for word, node, reason in required_by(model):
        assert reason
        found.setdefault(word, set()).add(node)
    return found


def test_a_relay_needs_its_neurons_only(net: Any) -> None:
    assert words(net.relay()) == {"neuron.if": {"cells"}}


@pytest.mark.parametrize(
    ("cls", "word"),
    [
        (nodes.IF, "neuron.if"),
        (nodes.LIF, "neuron.lif"),
        (nodes.CubaLIF, "neuron.cuba"),
        (nodes.I, "neuron.integrator"),
        (nodes.LI, "neuron.integrator"),
        (nodes.CubaLI, "neuron.integrator"),
        (nodes.Threshold, "neuron.threshold"),
    ],
)
def test_each_neuron_has_its_word(net: Any, cls: type, word: str) -> None:
    model = net.chain(net.input("input", 1), net.neuron(cls, "n", 1), net.output("output", 1))
    assert words(model) == {word: {"n"}}


def test_routes_and_delays_have_their_words(net: Any) -> None:
    parts = [
        net.input("a", 1),
        net.input("b", 1),
        net.delay("late", 2.0),
        net.linear("back", [[1]]),
        net.spiking("x", 1),
        net.spiking("y", 1),
        net.output("out1", 1),
        net.output("out2", 1),
    ]
    edges = [("a", "late"), ("late", "x"), ("b", "x"), ("x", "y"), ("y", "back"), ("back", "x")]
    found = words(net.model(parts, [*edges, ("x", "out1"), ("y", "out2")]))
    assert found == {
        "neuron.if": {"x", "y"},
        "delay.axonal": {"late"},
        "route.inputs": {"b"},
        "route.outputs": {"out2"},
        "route.recurrent": {"x", "y"},
        "route.merge": {"x"},
    }


def test_a_fork_needs_fanout_and_an_output_beside_it_does_not(net: Any) -> None:
    parts = [net.input("input", 1), *(net.spiking(name, 1) for name in "xyz"), net.output("output", 1)]
    fork = net.model(parts, [("input", "x"), ("x", "y"), ("x", "z"), ("y", "output")])
    assert words(fork)["route.fanout"] == {"x"}
    tapped = net.model(parts[:3] + parts[4:], [("input", "x"), ("x", "y"), ("x", "output")])
    assert "route.fanout" not in words(tapped)


UNDECLARED = {
    "neuron.lif": "LIF node",
    "route.recurrent": "closes a cycle",
    "route.outputs": "Outputs",
    "route.fanout": "feeds",
    "route.merge": "fed by",
}


def test_what_a_device_lacks_is_refused_by_word_and_node_all_at_once(net: Any, toys: Any) -> None:
    toys.add(capabilities={"neuron.if"})
    parts = [
        net.input("input", 1),
        net.spiking("a", 1),
        net.neuron(nodes.LIF, "b", 1),
        net.linear("back", [[1]]),
        net.output("o1", 1),
        net.output("o2", 1),
    ]
    edges = [("input", "a"), ("a", "b"), ("b", "back"), ("back", "a"), ("b", "o1"), ("a", "o2"), ("input", "b")]
    report = hal.mapper("toy").check(net.model(parts, edges))
    refused = {finding.field: finding for finding in report.refused}
    assert not report.fits
    for word, reason in UNDECLARED.items():
        assert reason in refused[word].reason
        assert refused[word].node
        assert repr(word) in refused[word].reason
        assert refused[word].hint


@pytest.mark.parametrize("mode", list(hal.Reset))
def test_a_reset_that_is_not_declared_is_refused(net: Any, toys: Any, mode: hal.Reset) -> None:
    toys.add(capabilities=toys.ALL - {f"reset.{mode.value}"})
    with hal.open("toy") as chip:
        chip.load(hal.mapper("toy").map(net.relay()))
        with pytest.raises(CapabilityError) as caught:
            chip.reset(mode)
        assert caught.value.data["capability"] == f"reset.{mode.value}"
        for other in set(hal.Reset) - {mode}:
            chip.reset(other)


def test_api_features_that_are_not_declared_are_refused(net: Any, toys: Any) -> None:
    toys.add(capabilities={"neuron.if"})
    mapper = hal.mapper("toy")
    mapping = mapper.map(net.relay())
    tries = {
        "map.like": lambda: mapper.map(net.relay(), like=mapping),
        "map.adopt": lambda: mapper.adopt(mapping.config),
        "map.edit": lambda: mapping.with_config(mapping.config),
        "record.state": lambda: mapper.map(net.relay(), record=[hal.Probe("cells", "v")]),
    }
    for word, attempt in tries.items():
        with pytest.raises(CapabilityError) as caught:
            attempt()
        assert caught.value.data["capability"] == word
    profile = toys.Profile(id="chip 7")
    for attempt in (lambda: hal.open("toy", profile=profile), lambda: hal.mapper("toy", profile=profile)):
        with pytest.raises(CapabilityError) as caught:
            attempt()
        assert caught.value.data["capability"] == "profile"


def test_a_batch_needs_the_state_reset(net: Any, toys: Any) -> None:
    toys.add(capabilities={"neuron.if"})
    with hal.open("toy") as chip:
        chip.load(hal.mapper("toy").map(net.relay()))
        with pytest.raises(CapabilityError, match="run_batch"):
            chip.run_batch({"input": [hal.events([0], [0])]}, 1000)


def test_a_plugin_that_declares_adopt_and_does_not_write_it_says_so(net: Any, toys: Any) -> None:
    class Lazy(toys.Mapper):
        _adopt = hal.Mapper._adopt

    toys.add(mapper=Lazy)
    mapping = hal.mapper("toy").map(net.relay())
    with pytest.raises(CapabilityError, match="adopt"):
        hal.mapper("toy").adopt(mapping.config)


def test_the_table_names_no_word_twice() -> None:
    names = [row[0] for row in capabilities._TABLE]
    assert len(names) == len(set(names))
