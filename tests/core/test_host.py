"""What the host computes before and after the chip: the same numbers as the whole model on the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hal
from hal import EventBatch, Reset, nodes
from hal.errors import DeviceTimeoutError, StateError
from hal.host import split

EVENTS = hal.events([0, 2000, 2000, 5000], [0, 0, 1, 1])
VALUES = np.array([[1.0, 0.2], [0.5, 0.9], [0.0, 0.4], [1.0, 0.0], [0.3, 0.3], [0.8, 0.1]])


def both(net: Any, model: Any, stimulus: Any, duration: int = 6000, device: str = "speck2f", **how: Any) -> Any:
    return net.run(device, model, stimulus, duration, **how), net.run("ideal", model, stimulus, duration, **how)


def names(model: Any) -> set[str]:
    return set() if model is None else set(model.nodes)


# --- where models are cut --------------------------------------------------------------------------------------------


def test_a_model_of_events_is_not_cut(net: Any) -> None:
    model = net.relay()
    assert split(model, frozenset()) == (None, model, None, [])


def test_the_front_goes_up_to_the_first_spiking_node(net: Any) -> None:
    front, chip, back, findings = split(net.encoder(), frozenset())
    assert names(front) == {"input", "enc", "enc.out"}
    assert names(chip) == {"enc", "fc", "cells", "output"}
    assert isinstance(chip.nodes["enc"], nodes.Input)
    assert back is None
    assert [(f.level, f.node) for f in findings] == [("note", "enc")]


def test_the_back_begins_behind_the_last_spiking_node(net: Any) -> None:
    front, chip, back, findings = split(net.readout(), frozenset())
    assert front is None
    assert names(chip) == {"input", "fc", "cells", "cells.out"}
    assert names(back) == {"cells", "weigh", "li", "output"}
    assert back.kind("output") == "signal"
    assert [(f.level, f.node) for f in findings] == [("note", "li")]


def test_signals_of_the_devices_own_are_not_cut(net: Any) -> None:
    assert split(net.encoder(), frozenset({"input.signal"}))[0] is None
    assert split(net.readout(), frozenset({"output.signal"}))[2] is None
    assert split(net.readout(), frozenset({"input.signal"}))[2] is not None
    for model in (net.encoder(), net.readout()):
        mapping = hal.mapper("ideal").map(model)
        assert mapping.front is None
        assert mapping.back is None


def test_overrides_and_signals_go_with_their_nodes(net: Any) -> None:
    model = net.encoder(overrides={"enc": {"compare": ">"}, "cells": {"v_min": None}})
    front, chip, _, _ = split(model, frozenset())
    assert front.semantics.overrides == {"enc": {"compare": ">"}}
    assert front.semantics.signals == {"input"}
    assert chip.semantics.overrides == {"cells": {"v_min": None}}
    assert chip.semantics.signals == frozenset()


# --- runs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["speck2f", "toy"])
def test_a_signal_out_of_the_host_is_that_of_the_reference(net: Any, toys: Any, device: str) -> None:
    toys.add(clock=hal.Clock(kind="clocked"))
    chip, ideal = both(net, net.readout(), {"input": EVENTS}, device=device)
    assert chip.signals["output"].values.tobytes() == ideal.signals["output"].values.tobytes()
    assert chip.signals["output"].t.tolist() == [0, 1000, 2000, 3000, 4000, 5000]
    assert chip.signals["output"].values.dtype == np.float32
    assert chip.signals["output"].values.any()
    assert set(chip.spikes) == set(ideal.spikes) == set()


@pytest.mark.parametrize("device", ["speck2f", "toy"])
@pytest.mark.parametrize("form", ["rows", "signal"])
def test_a_signal_into_the_host_is_encoded_as_on_the_reference(net: Any, toys: Any, device: str, form: str) -> None:
    toys.add(clock=hal.Clock(kind="clocked"))
    stimulus = {"input": VALUES if form == "rows" else hal.Signal.sampled(VALUES, 1000)}
    chip, ideal = both(net, net.encoder(), stimulus, device=device)
    assert chip.spikes["output"].tolist() == ideal.spikes["output"].tolist()
    assert len(chip.spikes["output"]) > 3


def test_a_signal_is_held_on_the_host(net: Any) -> None:
    stimulus = {"input": hal.Signal([1000, 4000], [[1.0, 0.0], [0.0, 1.0]])}
    chip, ideal = both(net, net.encoder(), stimulus)
    assert chip.spikes["output"].tolist() == ideal.spikes["output"].tolist()
    first = chip.spikes["output"][chip.spikes["output"]["index"] == 1]["t"]
    assert first.min() >= 4000


def test_front_and_back_around_one_chip(net: Any) -> None:
    parts = [
        net.input("input", 2),
        net.neuron(nodes.LIF, "enc", 2, tau=2, v_threshold=0.3),
        net.linear("fc", np.eye(2)),
        net.spiking("cells", 2),
        net.neuron(nodes.LI, "li", 2, tau=3),
        net.output("output", 2),
    ]
    model = net.chain(*parts, signals={"input"})
    chip, ideal = both(net, model, {"input": VALUES}, record=["enc", "cells"])
    assert chip.signals["output"].values.tobytes() == ideal.signals["output"].values.tobytes()
    for name in ("enc", "cells"):
        assert chip.spikes[name].tolist() == ideal.spikes[name].tolist()
        assert len(chip.spikes[name])


def test_an_analog_path_beside_the_chip_is_not_lost(net: Any) -> None:
    parts = [
        net.input("input", 2),
        net.neuron(nodes.LIF, "enc", 2, tau=2, v_threshold=0.3),
        net.linear("fc", np.eye(2)),
        net.spiking("cells", 2),
        net.output("output", 2),
        net.neuron(nodes.LI, "li", 2, tau=3),
        net.output("trace", 2),
    ]
    edges = [("input", "enc"), ("enc", "fc"), ("fc", "cells"), ("cells", "output"), ("input", "li"), ("li", "trace")]
    chip, ideal = both(net, net.model(parts, edges, signals={"input"}), {"input": VALUES})
    assert chip.spikes["output"].tolist() == ideal.spikes["output"].tolist()
    assert ideal.signals["trace"].values.any()
    assert chip.signals["trace"].values.tolist() == ideal.signals["trace"].values.tolist()


def test_a_read_out_of_inputs_and_neurons_together(net: Any) -> None:
    """The back part hears an Input of events and a population of the chip."""
    parts = [
        net.input("input", 2),
        net.linear("fc", np.eye(2)),
        net.spiking("cells", 2),
        net.linear("skip", [[0.5, 0.25]]),
        net.linear("weigh", [[1.0, 2.0]]),
        net.neuron(nodes.LI, "li", 1, tau=2),
        net.output("output", 1),
    ]
    edges = [("input", "fc"), ("fc", "cells"), ("cells", "weigh"), ("weigh", "li"), ("input", "skip"), ("skip", "li")]
    chip, ideal = both(net, net.model(parts, [*edges, ("li", "output")]), {"input": EVENTS})
    assert chip.signals["output"].values.tolist() == ideal.signals["output"].values.tolist()


def test_a_population_that_is_read_out_twice(net: Any, toys: Any) -> None:
    toys.add(clock=hal.Clock(kind="clocked"), capabilities=toys.ALL | {"route.outputs"})
    parts = [
        net.input("input", 2),
        net.spiking("cells", 2),
        net.neuron(nodes.LI, "li", 2, tau=2),
        net.output("spikes", 2),
        net.output("trace", 2),
    ]
    edges = [("input", "cells"), ("cells", "li"), ("li", "trace"), ("cells", "spikes")]
    chip, ideal = both(net, net.model(parts, edges), {"input": EVENTS}, device="toy")
    assert chip.spikes["spikes"].tolist() == ideal.spikes["spikes"].tolist() == EVENTS.tolist()
    assert chip.signals["trace"].values.tolist() == ideal.signals["trace"].values.tolist()


def test_recurrence_on_the_host(net: Any) -> None:
    parts = [
        net.input("input", 2),
        net.neuron(nodes.LIF, "enc", 2, tau=2, v_threshold=0.5),
        net.linear("back", [[0.0, 0.4], [0.4, 0.0]]),
        net.linear("fc", np.eye(2)),
        net.spiking("cells", 2),
        net.output("output", 2),
    ]
    edges = [("input", "enc"), ("enc", "back"), ("back", "enc"), ("enc", "fc"), ("fc", "cells"), ("cells", "output")]
    chip, ideal = both(net, net.model(parts, edges, signals={"input"}), {"input": VALUES})
    assert chip.spikes["output"].tolist() == ideal.spikes["output"].tolist()


def test_only_what_was_asked_for_is_recorded(net: Any) -> None:
    recording = net.run("speck2f", net.readout(), {"input": EVENTS}, 6000)
    assert (set(recording.spikes), set(recording.signals)) == (set(), {"output"})
    recording = net.run("speck2f", net.readout(), {"input": EVENTS}, 6000, record=["cells", "input"])
    assert set(recording.spikes) == {"cells", "input"}
    assert recording.spikes["cells"].tolist() == recording.spikes["input"].tolist() == EVENTS.tolist()


def test_names_are_those_of_the_model(net: Any) -> None:
    mapping = hal.mapper("speck2f").map(net.encoder(), record=["enc"])
    assert [port.name for port in mapping.inputs] == ["input"]
    assert [port.name for port in mapping.outputs] == ["output"]
    recording = net.run("speck2f", net.encoder(), {"input": VALUES}, 6000, record=["enc"])
    assert set(recording.spikes) == {"output", "enc"}
    with hal.open("speck2f", rate=None) as chip:
        chip.load(mapping)
        with pytest.raises(hal.ConfigError, match="'enc'"):
            chip.run({"enc": EVENTS}, 6000)


def test_the_counters_are_the_chips(net: Any) -> None:
    chip = net.run("speck2f", net.readout(), {"input": EVENTS}, 6000)
    assert chip.stats["events_in"].sum() == len(EVENTS)
    assert chip.cores == hal.registry.spec("speck2f").cores


# --- state -----------------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 6))
@pytest.mark.parametrize("kind", ["readout", "encoder"])
def test_host_parts_go_on_from_run_to_run(net: Any, kind: str, cut: int) -> None:
    model = getattr(net, kind)()
    rows = VALUES if kind == "encoder" else np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [0, 1]])
    whole = net.run("ideal", model, {"input": rows}, 6000)
    with hal.open("speck2f", rate=None) as chip:
        chip.load(hal.mapper("speck2f").map(model))
        parts = [chip.run({"input": part}, len(part) * 1000) for part in (rows[:cut], rows[cut:])]
    if kind == "encoder":
        found = [(int(t) + p.t0_ns, int(i)) for p in parts for t, i in p.spikes["output"].tolist()]
        assert found == whole.spikes["output"].tolist()
    else:
        values = np.concatenate([p.signals["output"].values for p in parts])
        assert values.tolist() == whole.signals["output"].values.tolist()


@pytest.mark.parametrize("mode", [Reset.STATE, Reset.LOADED])
@pytest.mark.parametrize("kind", ["readout", "encoder"])
def test_a_reset_takes_the_host_along(net: Any, kind: str, mode: Reset) -> None:
    rows = VALUES if kind == "encoder" else np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [0, 1]])
    with hal.open("speck2f", rate=None) as chip:
        chip.load(hal.mapper("speck2f").map(getattr(net, kind)()))
        first = chip.run({"input": rows}, 6000)
        other = chip.run({"input": rows}, 6000)
        chip.reset(mode)
        again = chip.run({"input": rows}, 6000)
    name = "signals" if kind == "readout" else "spikes"
    data = [getattr(r, name)["output"] for r in (first, other, again)]
    lists = [d.values.tolist() if kind == "readout" else d.tolist() for d in data]
    assert lists[0] == lists[2] != lists[1]


def test_a_run_broken_off_takes_the_host_along(net: Any, toys: Any) -> None:
    toys.add(clock=hal.Clock(kind="clocked"))
    with hal.open("toy", slow_s=0.05) as chip:
        chip.load(hal.mapper("toy").map(net.readout()))
        with pytest.raises(DeviceTimeoutError) as caught:
            chip.run({"input": EVENTS}, 6000, timeout_s=0.1)
        assert caught.value.data["recording"].status == "interrupted"
        with pytest.raises(StateError):
            chip.run({"input": EVENTS}, 6000)
        chip.reset()
        recording = chip.run({"input": EVENTS}, 6000)
    expected = net.run("ideal", net.readout(), {"input": EVENTS}, 6000)
    assert recording.signals["output"].values.tolist() == expected.signals["output"].values.tolist()


@pytest.mark.parametrize("kind", ["readout", "encoder"])
def test_host_parts_run_in_a_batch(net: Any, kind: str) -> None:
    rng = np.random.default_rng(1)
    rows = rng.random((3, 6, 2)) if kind == "encoder" else rng.integers(0, 2, (3, 6, 2))
    results = []
    for device in ("speck2f", "ideal"):
        with hal.open(device, **({"rate": None} if device == "speck2f" else {})) as chip:
            chip.load(hal.mapper(device).map(getattr(net, kind)()))
            results.append(chip.run_batch({"input": list(rows)}, 6000, workers=2))
    chip, ideal = results
    assert len(chip) == 3
    if kind == "readout":
        assert chip.signals["output"].tolist() == ideal.signals["output"].tolist()
    else:
        assert chip.spikes["output"].splits.tolist() == ideal.spikes["output"].splits.tolist()
        assert chip.spikes["output"].events.tolist() == ideal.spikes["output"].events.tolist()


def test_an_event_batch_goes_through_the_host(net: Any) -> None:
    batch = EventBatch.of([EVENTS, EVENTS[:1], EVENTS[:0]])
    with hal.open("speck2f", rate=None) as chip:
        chip.load(hal.mapper("speck2f").map(net.readout()))
        result = chip.run_batch({"input": batch}, 6000)
    for b in range(3):
        expected = net.run("ideal", net.readout(), {"input": batch[b]}, 6000)
        assert result.signals["output"][b].tolist() == expected.signals["output"].values.tolist()


# --- what cannot be split --------------------------------------------------------------------------------------------


def test_nothing_left_for_the_chip_is_refused_with_a_reason(net: Any) -> None:
    model = net.chain(
        net.input("input", 2), net.neuron(nodes.LI, "li", 2, tau=3), net.output("output", 2), signals={"input"}
    )
    report = hal.mapper("speck2f").check(model)
    assert not report.fits
    assert report.refused[0].reason


def test_behind_a_late_chip_the_host_is_as_late_and_the_mapping_says_so(net: Any) -> None:
    model = net.readout(spike_reset="value", spikes_per_step="one", v_min=None)
    mapping = hal.mapper("loihi").map(model)
    late = mapping.latency_ns["cells"] // mapping.step_ns
    assert late > 0
    assert {mapping.latency_ns[name] // mapping.step_ns for name in ("weigh", "li", "output")} == {late}
    chip, ideal = both(net, model, {"input": EVENTS}, device="loihi")
    there = ideal.signals["output"].values
    assert np.abs(there).max() > 0
    np.testing.assert_allclose(chip.signals["output"].values[late:], there[:-late], rtol=1e-5, atol=1e-6)
    assert not hal.mapper("speck2f").map(net.readout()).latency_ns


@pytest.mark.parametrize("device", ["speck2f", "loihi"])
def test_where_the_host_would_compute_every_neuron_the_missing_word_is_named(net: Any, device: str) -> None:
    """The first spiking node is the only one, or there is none: everything is on the host, nothing left for a chip."""
    taken_in = net.relay(signals={"input"})
    given_out = net.chain(net.input("input", 2), net.neuron(nodes.LI, "li", 2, tau=3), net.output("output", 2))
    for model, word, node in ((taken_in, "input.signal", "input"), (given_out, "output.signal", "output")):
        assert hal.mapper("ideal").check(model).fits
        report = hal.mapper(device).check(model)
        assert not report.fits
        assert [(f.node, f.field) for f in report.refused if f.field.endswith(".signal")] == [(node, word)]
    for fits in (net.encoder(), net.readout()):
        assert not [f for f in hal.mapper("speck2f").check(fits).findings if f.field.endswith(".signal")]


@pytest.mark.parametrize("position", ["front", "back"])
def test_delays_on_the_host_are_kept(net: Any, position: str) -> None:
    delay = net.delay("late", 2.0, 1.0)
    if position == "back":
        parts = [net.input("input", 2), net.linear("fc", np.eye(2)), net.spiking("cells", 2), delay]
        model = net.chain(*parts, net.neuron(nodes.LI, "li", 2, tau=3), net.output("output", 2))
        chip, ideal = both(net, model, {"input": EVENTS})
        assert chip.signals["output"].values.tolist() == ideal.signals["output"].values.tolist()
        return
    parts = [net.input("input", 2), delay, net.neuron(nodes.LIF, "enc", 2, tau=2, v_threshold=0.3)]
    parts += [net.linear("fc", np.eye(2)), net.spiking("cells", 2), net.output("output", 2)]
    chip, ideal = both(net, net.chain(*parts, signals={"input"}), {"input": VALUES})
    assert chip.spikes["output"].tolist() == ideal.spikes["output"].tolist()
