"""Limited speed on the device: delay, stalls, drops, deadlock, and what a recording says of them."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import hal
from hal.errors import ConfigError, StateError
from hal_dynapcnn import engine
from hal_dynapcnn.config import Destination
from hal_emulators.dynapcnn_network import Timing

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def relay(speck: Any, chain: Any, *, cores: int = 1, **changes: Any) -> Any:
    """Cores in a row that pass every event on, with registers of the first changed."""
    made = chain(1, 1, 1)
    for n in range(cores):
        made.relay(f"w{n}").fire(1, f"n{n}")
    mapping = speck.map(made.model(), record=[f"n{n}" for n in range(cores)])
    return edited(mapping, 0, **changes)


def edited(mapping: Any, core: int, **changes: Any) -> Any:
    layers = list(mapping.config.cnn_layers)
    layers[core] = attrs.evolve(layers[core], **changes)
    return mapping.with_config(attrs.evolve(mapping.config, cnn_layers=tuple(layers)))


def run(mapping: Any, t: Any, duration_ns: int, **options: Any) -> Any:
    with hal.open("speck2f", **options) as device:
        device.load(mapping)
        return device.run({"input": hal.events(t, np.zeros(len(t), np.int64))}, duration_ns)


@pytest.fixture(scope="module")
def gesture(speck: Any, chain: Any) -> Any:
    spec = importlib.util.spec_from_file_location("gesture_workload", BENCHMARKS / "workloads.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.workload("gesture")


def gesture_mapping(gesture: Any, speck: Any, chain: Any) -> Any:
    made = chain(*gesture.layers[0].in_shape)
    for n, layer in enumerate(gesture.layers):
        made.conv(layer.weights, f"w{n}", stride=layer.stride, padding=layer.padding).fire(layer.threshold, f"n{n}")
        if layer.pooling > 1 and n + 1 < len(gesture.layers):
            made.pool(layer.pooling, f"p{n}")
    return speck.map(made.model(v_min="-threshold"), record=["n8"])


def test_the_defaults_keep_up_with_real_time_and_not_with_a_thousand_times_that(
    gesture: Any, speck: Any, chain: Any
) -> None:
    mapping = gesture_mapping(gesture, speck, chain)
    duration = gesture.duration_us * 1000 + 1_000_000
    t = gesture.t.astype(np.int64) * 1000
    with hal.open("speck2f") as device, hal.open("speck2f", rate=None) as untimed:
        for one in (device, untimed):
            one.load(mapping)
        calm = device.run({"input": hal.events(t, gesture.index)}, duration)
        wanted = untimed.run({"input": hal.events(t, gesture.index)}, duration)
        device.reset()
        rushed = device.run({"input": hal.events(t // 1000, gesture.index)}, duration // 1000)
    assert calm.status == "ok"
    assert calm.stats["stalled_ns"].sum() == calm.intervals.size == calm.stats["late"].sum() == 0
    assert np.array_equal(calm.spikes["n8"]["index"], wanted.spikes["n8"]["index"])
    delay = calm.spikes["n8"]["t"] - wanted.spikes["n8"]["t"]
    assert delay.min() > 0
    assert delay.max() < 1_000_000
    assert calm.stats["synops"].tolist() == wanted.stats["synops"].tolist()

    assert rushed.status == "untrusted"
    assert rushed.stats["stalled_ns"].sum() > 100_000
    assert rushed.stats["late"].sum() > 1000
    assert rushed.stats["pending"].sum() > 1000
    assert {str(what) for what in rushed.intervals["what"]} == {"stall"}
    (said,) = [finding for finding in rushed.diagnostics if finding.field == "stall"]
    assert "congestion balancer" in said.hint


def test_intervals_say_which_core_and_when(speck: Any, chain: Any) -> None:
    """The middle core is slow: it holds up the first, whose buffer then holds up the stimulus."""
    mapping = relay(speck, chain, cores=3)
    cores = [int(mapping.where(f"n{n}")["core"][0]) for n in range(3)]
    rate = [1e9] * 9
    rate[cores[1]] = 1e6
    recording = run(mapping, np.arange(50) * 10, 100_000, rate=tuple(rate), buffer_depth=4, stall_after_us=1)
    found = {(int(i["core"]), int(i["t0"]), int(i["t1"])) for i in recording.intervals}
    by_core = {core: sum(t1 - t0 for at, t0, t1 in found if at == core) for core in cores}
    assert by_core[cores[1]] > by_core[cores[0]] > 0
    assert by_core[cores[2]] == 0
    assert recording.stats["stalled_ns"].tolist() == [by_core.get(core, 0) for core in range(9)]
    assert recording.status == "untrusted"
    assert recording.event_count("n2") == 50
    assert recording.stats["late"][cores[0]] > 0


def test_short_waits_are_counted_and_trusted(speck: Any, chain: Any) -> None:
    """Twenty events at once and a buffer of four: a microsecond of handshake."""
    mapping = relay(speck, chain)
    recording = run(mapping, [0] * 20, 10_000, rate=1e8, buffer_depth=4)
    assert recording.stats["stalled_ns"][0] == 150
    assert recording.status == "ok"
    assert run(mapping, [0] * 20, 10_000, rate=1e8, buffer_depth=4, stall_after_us=0.1).status == "untrusted"


def test_rule_20_with_the_congestion_balancer_events_are_dropped_and_the_rest_is_in_time(
    speck: Any, chain: Any
) -> None:
    t = np.arange(1000) * 100
    slow = run(relay(speck, chain), t, 3_000_000, rate=1e6)
    fast = run(relay(speck, chain, input_congestion_balancer_enable=True), t, 3_000_000, rate=1e6, balancer_depth=4)
    assert (slow.status, fast.status) == ("untrusted", "ok")
    assert slow.event_count("output") == 1000
    assert slow.spikes["output"]["t"][-1] == 1_000_000
    assert slow.stats["dropped"][0] == 0
    assert fast.stats["dropped"][0] == 1000 - fast.event_count("output") > 800
    assert fast.spikes["output"]["t"][-1] <= t[-1] + 6000
    assert fast.stats["stalled_ns"].sum() == fast.stats["late"].sum() == 0


def test_what_is_pending_comes_out_in_the_next_run(speck: Any, chain: Any) -> None:
    with hal.open("speck2f", rate=1e6, buffer_depth=2) as device:
        device.load(relay(speck, chain))
        first = device.run({"input": hal.events([0] * 6, [0] * 6)}, 2500)
        second = device.run({}, 10_000)
        third = device.run({}, 10_000)
    assert first.spikes["output"]["t"].tolist() == [1000, 2000]
    assert first.stats["pending"][0] == 4
    assert second.spikes["output"]["t"].tolist() == [500, 1500, 2500, 3500]
    assert (second.stats["pending"].sum(), third.event_count("output")) == (0, 0)


def test_a_reset_forgets_what_is_pending(speck: Any, chain: Any) -> None:
    with hal.open("speck2f", rate=1e6) as device:
        device.load(relay(speck, chain))
        device.run({"input": hal.events([0] * 6, [0] * 6)}, 2500)
        device.reset()
        assert device.run({}, 10_000).event_count("output") == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_batch_equals_the_loop(speck: Any, chain: Any, workers: int) -> None:
    mapping = relay(speck, chain, cores=2)
    samples = [hal.events([0] * n, [0] * n) for n in (3, 0, 90)]
    with hal.open("speck2f", rate=1e7, buffer_depth=2, stall_after_us=1) as device:
        device.load(mapping)
        wanted = []
        for sample in samples:
            device.reset()
            wanted.append(device.run({"input": sample}, 20_000))
        got = device.run_batch({"input": samples}, 20_000, workers=workers)
    assert [recording.status for recording in wanted] == ["ok", "ok", "untrusted"]
    for b, recording in enumerate(wanted):
        assert got[b].status == recording.status
        assert np.array_equal(got[b].spikes["n1"], recording.spikes["n1"])
        assert np.array_equal(got[b].intervals, recording.intervals)
        assert {k: v.tolist() for k, v in got[b].stats.items()} == {k: v.tolist() for k, v in recording.stats.items()}


def ring(speck: Any, chain: Any, fan: int) -> Any:
    """n0 feeds n1, by hand also the other way round; `fan` spikes for one event."""
    made = chain(fan, 1, 1).conv(np.ones((fan, fan, 1, 1)), "w0").fire(1, "n0")
    model = made.conv(np.ones((fan, fan, 1, 1)), "w1").fire(1, "n1").model()
    mapping = speck.map(model)
    back = Destination(enable=True, layer=int(mapping.where("n0")["core"][0]))
    return edited(mapping, int(mapping.where("n1")["core"][0]), destinations=(back, Destination()))


def test_a_deadlock_is_told_and_distrusted(speck: Any, chain: Any) -> None:
    mapping = ring(speck, chain, 4)
    assert any("deadlock" in str(finding) for finding in mapping.fit.findings)
    recording = run(mapping, [0], 1_000_000, rate=1e9, buffer_depth=3)
    assert recording.status == "untrusted"
    (said,) = [finding for finding in recording.diagnostics if finding.field == "deadlock"]
    assert "waits for" in said.reason
    assert recording.stats["pending"].sum() > 0
    assert recording.intervals["t1"].max() == 1_000_000


def test_endless_activity_at_unlimited_rate_is_an_error_that_says_why(
    speck: Any, chain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "Timing", partial(Timing, endless=1000))
    with pytest.raises(StateError, match="never ends") as error:
        run(ring(speck, chain, 1), [0], 1000, rate=None)
    assert "rate" in error.value.hint


@pytest.mark.parametrize("options", [{"rate": (1e8, 1e8)}, {"buffer_depth": (4,)}])
def test_lists_must_have_a_number_per_core(options: Any, speck: Any, chain: Any) -> None:
    with hal.open("speck2f", **options) as device:
        with pytest.raises(ConfigError, match=r"one number per core.*9"):
            device.load(relay(speck, chain))
        assert device.state == "open"


def test_the_decimator_from_registers(speck: Any, chain: Any) -> None:
    """Behaviour 10: the code table; monitors and destinations see what passes, or monitors everything."""
    t = np.arange(1024) * 1000
    for code, passed in enumerate((512, 256, 128, 64, 32, 8, 4, 2)):
        mapping = relay(speck, chain, cores=2, output_decimator_enable=True, output_decimator_interval=code)
        recording = run(mapping, t, 1_100_000)
        assert recording.event_count("n0") == recording.event_count("n1") == passed
        assert recording.stats["decimated"][0] == 1024 - passed
    seen = run(mapping, t, 1_100_000, monitor="before decimator")
    assert (seen.event_count("n0"), seen.event_count("n1")) == (1024, 2)
    first = run(mapping, t, 1_100_000, rate=None, decimator_passes="first")
    assert first.spikes["n1"]["t"].tolist() == [0, 512_000]


def test_two_populations_into_one_output_in_order_of_emission(speck: Any, chain: Any) -> None:
    made = chain(1, 1, 1).relay("w0").fire(1, "n0").relay("w1").fire(1, "n1")
    made.put(hal.nodes.Output, "output", (1, 1, 1))
    edges = [("input", "w0"), ("w0", "n0"), ("n0", "w1"), ("w1", "n1"), ("n0", "output"), ("n1", "output")]
    mapping = speck.map(made.graph(edges), record=["n0", "n1"])
    recording = run(mapping, [0, 5, 500], 10_000, rate=1e8)
    assert recording.spikes["output"]["t"].tolist() == sorted(
        [*recording.spikes["n0"]["t"].tolist(), *recording.spikes["n1"]["t"].tolist()]
    )
    assert recording.event_count("output") == 6
