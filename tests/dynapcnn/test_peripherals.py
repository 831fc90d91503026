"""What users ask of the blocks around the cores when they map: sensor, readout, decimators, balancers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hal
from hal.errors import ConfigError, DoesNotFitError

MS = 1_000_000


def camera(chain: Any, features: int = 2, y: int = 4, x: int = 6) -> Any:
    return chain(features, y, x).relay("w").fire(1, "n").model()


def raw(t: Any, p: Any, y: Any, x: Any) -> Any:
    p, y, x = (np.asarray(v, np.int64) for v in (p, y, x))
    return hal.events(np.asarray(t, np.int64), (p * 128 + y) * 128 + x)


def run(mapping: Any, duration: int, device: str = "speck2f", **stimulus: Any) -> Any:
    with hal.open(device, rate=None) as chip:
        chip.load(mapping)
        return chip.run({name.replace("_", "@", 1): value for name, value in stimulus.items()}, duration)


# --- sensor ----------------------------------------------------------------------------------------------------------


def test_the_sensor_feeds_the_input_of_its_size(speck: Any, chain: Any) -> None:
    region = {"pooling": {"x": 2, "y": 4}, "origin": {"x": 10, "y": 5}, "cut": {"x": 15, "y": 8}}
    mapping = speck.map(camera(chain), dvs=region)
    recording = run(mapping, 10, _dvs=raw([3, 4], [1, 0], [5 * 4, 8 * 4 + 3], [2 * 10, 2 * 15 + 1]))
    assert recording.spikes["output"].tolist() == [(3, 24), (4, 3 * 6 + 5)]
    # the host may send events past the sensor
    both = run(mapping, 10, input=hal.events([5], [7]), _dvs=raw([3], [1], [20], [20]))
    assert both.spikes["output"].tolist() == [(3, 24), (5, 7)]
    (said,) = [finding for finding in mapping.fit.findings if finding.field == "dvs"]
    assert (said.level, said.node) == ("note", "input")


def test_the_filter_comes_along(speck: Any, chain: Any) -> None:
    region = {"cut": {"x": 5, "y": 3}}
    mapping = speck.map(camera(chain), dvs=region, dvs_filter={"filter_size": {"x": 3, "y": 3}, "threshold": 1})
    assert run(mapping, 10, _dvs=raw([1, 2], [0, 0], [0, 1], [0, 1])).spikes["output"]["t"].tolist() == [2]
    with pytest.raises(ConfigError, match="dvs_filter: filters a sensor that is not asked for"):
        speck.map(camera(chain), dvs_filter={})


def test_which_input_the_sensor_feeds(speck: Any, chain: Any) -> None:
    found = speck.refused(camera(chain), "", "dvs", dvs={"cut": {"x": 9, "y": 3}})
    assert (found.wanted, found.realised) == ((2, 4, 10), "one Input")
    assert "input (2, 4, 6)" in found.reason
    with pytest.raises(ConfigError, match=r"dvs\.pooling\.x.*3.*\[1, 2, 4\]"):
        speck.map(camera(chain), dvs={"pooling": {"x": 3}})
    with pytest.raises(ConfigError, match=r"dvs\.crop: no such option"):
        speck.map(camera(chain), dvs={"crop": 3})


def test_two_inputs_of_its_size_are_one_too_many(speck: Any, chain: Any) -> None:
    made = chain(1, 2, 2, name="a").relay("wa")
    made.parts.append(hal.nodes.Input(name="b", input_shape=(1, 2, 2), output_shape=(1, 2, 2)))
    made.fire(1, "n").put(hal.nodes.Output, "output", (1, 2, 2))
    model = made.graph([("a", "wa"), ("b", "wa"), ("wa", "n"), ("n", "output")])
    small = {"merge": True, "cut": {"x": 1, "y": 1}}
    assert "2 Inputs" in speck.refused(model, "", "dvs", dvs=small).reason
    assert speck.check(model).fits


def fan(chain: Any, n: int) -> Any:
    """One input into n cores."""
    made = chain(1, 2, 2)
    edges = []
    for k in range(n):
        made.relay(f"w{k}").fire(1, f"n{k}")
        edges += [("input", f"w{k}"), (f"w{k}", f"n{k}")]
    made.put(hal.nodes.Output, "output", (1, 2, 2))
    return made.graph([*edges, ("n0", "output")])


def test_the_sensor_has_two_destinations(speck: Any, chain: Any) -> None:
    small = {"merge": True, "cut": {"x": 1, "y": 1}}
    mapping = speck.map(fan(chain, 2), dvs=small, record=["n1"])
    recording = run(mapping, 10, _dvs=raw([1], [1], [1], [0]))
    assert [recording.spikes[key].tolist() for key in ("output", "n1")] == [[(1, 2)], [(1, 2)]]
    found = speck.refused(fan(chain, 3), "input", "destinations", dvs=small)
    assert (found.wanted, found.realised) == (3, 2)
    assert "n0, n1, n2" in found.reason
    # the host has no such limit
    assert len(speck.map(fan(chain, 3)).config.entries) == 3


# --- decimators and balancers ----------------------------------------------------------------------------------------


def test_decimators_and_balancers_by_name(speck: Any, chain: Any) -> None:
    model = chain(1, 1, 1).relay("v").fire(1, "m").relay("w").fire(1, "n").model()
    mapping = speck.map(model, decimate={"m": 8}, balance=("n",))
    recording = speck.run(mapping, [0] * 32)
    assert recording.event_count("output") == 4
    (changed,) = [finding for finding in mapping.fit.changed if finding.field == "decimate"]
    assert (changed.node, changed.realised) == ("m", "1 of 8")
    core = int(mapping.where("n")["core"][0])
    assert mapping.config.cnn_layers[core].input_congestion_balancer_enable
    with pytest.raises(ConfigError, match=r"decimate\['m'\].*64"):
        speck.map(model, decimate={"m": 64})
    for option, value in (("decimate", {"x": 2}), ("balance", ("x",))):
        assert "m, n" in speck.refused(model, "x", option, **{option: value}).hint
    for option, value in (("decimate", {"m": 2}), ("balance", ("m",))):
        old = speck.on("speck2b").refused(model, "m", option, **{option: value})
        assert old.reason.startswith("speck2b has no")


# --- readout ---------------------------------------------------------------------------------------------------------


def classifier(chain: Any, n: int = 3) -> Any:
    return chain(n, 1, 1).relay("w").fire(1, "n").model()


def ticks(*t: int) -> Any:
    return hal.events(t, [0] * len(t))


@pytest.mark.parametrize("device", ["speck2f", "speck2e", "dynapcnndevkit"])
def test_the_output_gets_classes(device: str, speck: Any, chain: Any) -> None:
    """With and without the erratum the same: the class of the most spikes between two ticks."""
    mapping = speck.on(device).map(classifier(chain), readout="pins", readout_window=1, record=["n"])
    events = hal.events([1, 2, 3, 4, MS + 1], [2, 1, 2, 0, 1])
    recording = run(mapping, 4 * MS, device, input=events, _slow_clock=ticks(MS, 2 * MS, 3 * MS))
    assert recording.spikes["output"].tolist() == [(MS, 2), (2 * MS, 1)]
    assert recording.spikes["n"]["index"].tolist() == [2, 1, 2, 0, 1]
    assert recording.stats["unclassified"].sum() == 0
    (said,) = [finding for finding in mapping.fit.changed if finding.field == "readout"]
    assert (said.node, said.wanted, said.realised) == ("output", "spikes", "classes")
    features = mapping.where("n")["feature"].tolist()
    assert features == ([0, 1, 2] if device == "dynapcnndevkit" else [0, 4, 8])


def test_fifteen_classes_need_57_features_and_keep_their_numbers(speck: Any, chain: Any) -> None:
    mapping = speck.map(classifier(chain, 15), readout="values", readout_window=1, record=[hal.Probe("n", "v")])
    core = mapping.config.cnn_layers[int(mapping.where("n")["core"][0])]
    assert core.dimensions.output_shape.feature_count == 57
    assert not core.monitor_enable
    assert np.flatnonzero(core.weights.any(axis=(1, 2, 3))).tolist() == list(range(0, 57, 4))
    assert mapping.realised["w", "weight"].shape == (15, 15, 1, 1)
    (row,) = [row for row in mapping.fit.rows if row.resource == "kernel memory"]
    assert row.needed == 15 * 64
    for wanted in (0, 7, 14):
        recording = run(mapping, 2 * MS, input=hal.events([1], [wanted]), _slow_clock=ticks(MS))
        assert recording.spikes["output"].tolist() == [(MS, wanted)]
        assert recording.traces["n", "v"].values.shape == (1, 15)


def test_states_of_spread_neurons(speck: Any, chain: Any) -> None:
    model = chain(3, 1, 1).relay("w", 2.0).fire(5, "n").model()
    mapping = speck.map(model, readout="pins", record=[hal.Probe("n", "v", indices=(2, 0))])
    recording = run(mapping, 10, input=hal.events([1, 2], [2, 2]))
    assert recording.traces["n", "v"].values.tolist() == [[4, 0]]


def test_windows_and_thresholds(speck: Any, chain: Any) -> None:
    clock = ticks(*range(1000, 41_000, 1000))
    events = hal.events(np.arange(64), np.ones(64, np.int64))
    for window in (1, 16, 32):
        mapping = speck.map(classifier(chain), readout="values", readout_window=window)
        recording = run(mapping, 50_000, input=events, _slow_clock=clock)
        assert recording.spikes["output"]["index"].tolist() == [1] * window
    high = speck.map(classifier(chain), readout="pins", readout_window=1, readout_threshold=64)
    assert not run(high, 50_000, input=events, _slow_clock=clock).spikes["output"].size


def test_the_words_of_the_block_can_be_probed(speck: Any, chain: Any) -> None:
    mapping = speck.map(classifier(chain), readout="pins", readout_window=1, record=[hal.Probe("n", "readout"), "n"])
    recording = run(mapping, 4 * MS, input=hal.events([1, 2], [2, 2]), _slow_clock=ticks(MS, 2 * MS))
    words = recording.traces["n", "readout"]
    assert words.t.tolist() == [MS, 2 * MS]
    assert words.values[:, 0].astype(int).tolist() == [1 << 20 | 3 << 16 | 2, 1 << 20]


def refused(speck: Any, model: Any, node: str, field: str, record: Any = (), **options: Any) -> Any:
    with pytest.raises(DoesNotFitError) as error:
        speck.map(model, record=record, **options)
    return speck.one(error.value.report, "refused", node, field)


def test_what_the_block_cannot_read(speck: Any, chain: Any) -> None:
    many = refused(speck, classifier(chain, 16), "n", "readout", readout="pins")
    assert (many.wanted, many.realised) == (16, 15)
    wide = refused(speck, camera(chain), "n", "readout", readout="pins")
    assert wide.wanted == (2, 4, 6)
    assert "no readout block" in refused(speck.on("speck2b"), classifier(chain), "", "readout", readout="pins").reason
    spikes = refused(speck, classifier(chain), "n", "readout", record=["n"], readout="values")
    assert "no spikes can be recorded" in spikes.reason
    probe = refused(speck, classifier(chain), "n", "readout", record=[hal.Probe("n", "readout")])
    assert "no readout block is asked for" in probe.reason
    deep = chain(3, 1, 1).relay("v").fire(1, "m").relay("w").fire(1, "n").model()
    other = refused(speck, deep, "m", "readout", record=[hal.Probe("m", "readout")], readout="pins")
    assert other.hint == "probe n"


def test_the_block_takes_up_a_destination(speck: Any, chain: Any) -> None:
    """A population that also feeds another core: one more is too many on 2f, whose features are spread."""
    made = chain(3, 1, 1).relay("v").fire(1, "m").relay("w").fire(1, "n").put(hal.nodes.Output, "output", (3, 1, 1))
    model = made.graph([("input", "v"), ("v", "m"), ("m", "w"), ("w", "n"), ("m", "output")])
    found = refused(speck, model, "m", "destinations", readout="pins")
    assert "also feeds n" in found.reason
    mapping = speck.on("dynapcnndevkit").map(model, readout="pins", readout_window=1)
    layers = [to.layer for to in mapping.config.cnn_layers[0].destinations]
    assert layers == [1, 12]


def test_two_populations_before_outputs(speck: Any, chain: Any) -> None:
    made = chain(3, 1, 1).relay("v").fire(1, "m").relay("w").fire(1, "n").put(hal.nodes.Output, "output", (3, 1, 1))
    edges = [("input", "v"), ("v", "m"), ("m", "w"), ("w", "n"), ("m", "output"), ("n", "output")]
    found = refused(speck, made.graph(edges), "", "readout", readout="pins")
    assert (found.wanted, found.realised) == (2, 1)
