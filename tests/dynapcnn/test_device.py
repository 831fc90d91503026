"""Running on the emulated chip: the sheet's behaviours, leak, pooling, probes, batches, host parts, edited cores."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hal
from hal import nodes
from hal.agreement import agreement
from hal.errors import ConfigError, DoesNotFitError, StateError
from hal.model import Model
from hal.pace import Pace
from hal_dynapcnn.config import Entry

MS = 1_000_000


def one(chain: Any, weight: float, threshold: float, **semantics: Any) -> Model:
    return chain(1, 1, 1).conv([[[[weight]]]], "w").fire(threshold, "n").model(**semantics)  # type: ignore[no-any-return]


def three(chain: Any, rng: Any, **semantics: Any) -> Model:
    """Convolution, pool, convolution, dense, with leak: everything a chain can have."""
    made = chain(2, 9, 7).conv(rng.integers(-40, 60, (3, 2, 3, 3)), "w1", padding=1, bias=rng.integers(-3, 0, 3))
    made.fire(50, "a").pool(2, "p").conv(rng.integers(-40, 60, (4, 3, 2, 2)), "w2", stride=(1, 2), padding=(0, 1))
    made.fire(60, "b").conv(rng.integers(-40, 60, (5, 4, 2, 2)), "w3", bias=-1).fire(40, "c")
    return made.model(v_min=-120.0, **semantics)  # type: ignore[no-any-return]


def same(a: Any, b: Any) -> None:
    """Two recordings are equal in everything that was recorded."""
    assert a.spikes.keys() == b.spikes.keys()
    for name in a.spikes:
        assert np.array_equal(a.spikes[name], b.spikes[name]), name
    for key in a.traces:
        assert np.array_equal(a.traces[key].values, b.traces[key].values), key
    for name in a.signals:
        assert np.array_equal(a.signals[name].values, b.signals[name].values), name
    for counter in a.stats:
        assert np.array_equal(a.stats[counter], b.stats[counter]), counter


# --- sheet, section 9 -------------------------------------------------------------------------------------------------


def test_rule_1_kernel_127_threshold_127_one_event_one_spike(speck: Any, chain: Any) -> None:
    recording = speck.run(one(chain, 127, 127), [0])
    assert recording.spikes["n"].tolist() == [(0, 0)]
    assert recording.traces["n", "v"].values.tolist() == [[0]]
    assert speck.run(one(chain, 126, 127), [0]).event_count("n") == 0


@pytest.mark.parametrize("n", [1, 2, 7])
def test_rule_2_weight_120_threshold_50(n: int, speck: Any, chain: Any) -> None:
    recording = speck.run(one(chain, 120, 50), [0] * n, duration_ns=1000 * speck.step)
    assert recording.spikes["n"]["t"].tolist() == [k * speck.step for k in range(n)]
    assert recording.traces["n", "v"].values.tolist() == [[70 * n]]
    recording = speck.run(one(chain, 120, 50, spike_reset="value"), [0] * n)
    assert recording.event_count("n") == n
    assert recording.traces["n", "v"].values.tolist() == [[0]]


def test_rule_3_negative_weight_at_the_lower_bound(speck: Any, chain: Any) -> None:
    model = one(chain, -100, 127, v_min=-150.0)
    for n, v in ((1, -100), (2, -150), (3, -150)):
        assert speck.run(model, [0] * n).traces["n", "v"].values.tolist() == [[v]]


def odd(chain: Any) -> Any:
    made = chain(1, 17, 19).relay("v").fire(1, "m").pool(2, "p").conv(np.full((1, 1, 1, 1), 9), "w")
    return made.fire(100, "n")


def test_rule_6_a_spike_of_the_last_row_or_column_reaches_nobody(speck: Any, chain: Any) -> None:
    """17 x 19 pooled by 2: row 16 and column 18 are left over."""
    model = odd(chain).model()
    for index, heard in ((16 * 19, False), (18, False), (16 * 19 + 18, False), (15 * 19 + 17, True)):
        recording = speck.run(model, [index])
        assert recording.event_count("m") == 1
        assert recording.traces["n", "v"].values.sum() == (9 if heard else 0)
        assert recording.stats["dropped_by_pooling"].tolist()[0] == (0 if heard else 1)
        said = [f for f in recording.diagnostics if "incomplete row or column" in f.reason]
        assert len(said) == 1
        assert "dropped" in said[0].reason
    assert speck.run(chain(1, 16, 18).relay().fire().pool(2).relay().fire().model(), [17]).diagnostics == ()


def test_odd_pooling_may_be_kept(speck: Any, chain: Any) -> None:
    """The divided address goes on: a kernel that reaches back from beyond the map hears it."""
    made = chain(1, 5, 5).relay("v").fire(1, "m").pool(2, "p")
    model = made.conv(np.arange(1, 10).reshape(1, 1, 3, 3), "w", padding=1).fire(1000, "n").model()
    dropped = speck.run(model, [24])
    assert dropped.stats["dropped_by_pooling"].sum() == 1
    assert not dropped.traces["n", "v"].values.any()
    kept = speck.run(model, [24], options={"odd_pooling": "keep"})
    assert kept.stats["dropped_by_pooling"].sum() == 0
    assert kept.traces["n", "v"].values.tolist() == [[0, 0, 0, 9]]
    assert "odd_pooling='keep'" in kept.diagnostics[0].reason


def test_odd_pooling_at_read_out_is_counted_and_said(speck: Any, chain: Any) -> None:
    model = chain(1, 5, 5).relay("w").fire(1, "n").pool(2, "p").model()
    recording = speck.run(model, [24, 0, 20, 4])
    assert recording.spikes["output"]["index"].tolist() == [0]
    assert recording.stats["dropped_by_pooling"].tolist()[0] == 3
    assert any("incomplete row or column" in f.reason for f in recording.diagnostics)


def test_rule_7_pooling_passes_k_spikes_for_k_spikes(speck: Any, chain: Any) -> None:
    model = chain(1, 4, 4).relay("v").fire(1, "m").pool(2, "p").relay("w").fire(1, "n").model()
    recording = speck.run(model, [0, 1, 4, 5, 0, 15])
    assert recording.spikes["n"]["index"].tolist() == [0, 0, 0, 0, 0, 3]
    assert recording.stats["events_in"].tolist()[:2] == [6, 6]


def test_rule_11_a_leak_tick(speck: Any, chain: Any) -> None:
    """v = max(v + bias, v_min) for all neurons, before events of the same time, and never a spike."""
    made = chain(1, 1, 2).conv(np.full((2, 1, 1, 1), 40), "w", bias=[-30, 25]).fire(100, "n")
    model = made.model(v_min=-50.0)
    recording = speck.run(model, [0], ticks=[500])
    assert recording.traces["n", "v"].values.tolist() == [[10, -30, 65, 25]]
    recording = speck.run(model, [], ticks=[1, 2, 3, 4, 5])
    assert recording.traces["n", "v"].values.tolist() == [[-50, -50, 125, 125]]
    assert recording.event_count("n") == 0
    assert recording.stats["ticks"].tolist()[0] == 5
    # what a tick raised above the threshold fires at the next event
    recording = speck.run(model, [0] * 6, ticks=[0, 0, 0, 0], duration_ns=6000)
    assert recording.spikes["n"].tolist()[0] == (0, 2)


def test_rule_11_no_ticks_without_clock_or_leak(speck: Any, chain: Any) -> None:
    leaky = chain(1, 1, 1).conv([[[[40]]]], "w", bias=-30).fire(100, "n").model()
    recording = speck.run(leaky, [0], duration_ns=10 * MS)
    assert recording.traces["n", "v"].values.tolist() == [[40]]
    assert not recording.stats["ticks"].any()
    recording = speck.run(one(chain, 40, 100), [0], ticks=[1, 2, 3], options={"slow_clock_hz": 1e6}, duration_ns=MS)
    assert recording.traces["n", "v"].values.tolist() == [[40]]
    assert not recording.stats["ticks"].any()


def test_rule_19_monitored_spikes_are_unpooled(speck: Any, chain: Any) -> None:
    model = chain(1, 4, 4).relay("w").fire(1, "n").pool(4, "p").model()
    recording = speck.run(model, [3, 12, 15])
    assert recording.spikes["n"]["index"].tolist() == [3, 12, 15]
    assert recording.spikes["output"]["index"].tolist() == [0, 0, 0]
    assert recording.shapes["n"] == (1, 4, 4)
    assert recording.shapes["output"] == (1, 1, 1)


def test_rule_19_with_the_monitor_off_nothing_is_recorded(speck: Any, chain: Any) -> None:
    mapping = speck.map(chain(1, 2, 2).relay("w").fire(1, "n").model())
    (layer, *rest) = mapping.config.cnn_layers
    assert layer.monitor_enable
    silent = attrs.evolve(mapping.config, cnn_layers=(attrs.evolve(layer, monitor_enable=False), *rest))
    recording = speck.run(mapping.with_config(silent), [0, 1])
    assert recording.event_count("output") == 0
    assert recording.stats["events_out"][0] == 2
    # only what was asked for is monitored
    deep = speck.map(chain(1, 2, 2).relay().fire(1, "m").relay().fire(1, "n").model())
    assert [layer.monitor_enable for layer in deep.config.cnn_layers[:3]] == [False, True, False]
    assert speck.run(deep, [0]).spikes.keys() == {"output"}


@pytest.mark.parametrize(
    ("t", "index"),
    [([5, 4], [0, 0]), ([-1], [0]), ([0], [4]), ([0], [2**31]), ([10_000], [0]), ([float("nan")], [0])],
)
def test_rule_21_bad_input_is_an_error_before_anything_runs(t: Any, index: Any, speck: Any, chain: Any) -> None:
    mapping = speck.map(chain(1, 2, 2).relay("w", 1).fire(3, "n").model(), record=[hal.Probe("n", "v")])
    bad = np.zeros(len(t), np.dtype([("t", np.asarray(t).dtype), ("index", "<i8")]))
    bad["t"], bad["index"] = t, index
    with hal.open("speck2f") as device:
        device.load(mapping)
        device.run({"input": speck.events([0])}, 1000)
        with pytest.raises(ConfigError):
            device.run({"input": bad}, 1000)
        assert device.run_number == 1
        empty = device.run({"input": hal.events([], [])}, 1000)
    assert empty.event_count("output") == 0
    assert empty.traces["n", "v"].values.tolist() == [[1, 0, 0, 0]]


def test_rule_21_the_slow_clock_is_checked_too(speck: Any, chain: Any) -> None:
    mapping = speck.map(one(chain, 1, 1))
    with hal.open("speck2f") as device:
        device.load(mapping)
        for ticks in (hal.events([5, 4], [0, 0]), hal.events([0], [1]), hal.events([2000], [0])):
            with pytest.raises(ConfigError, match="slow_clock"):
                device.run({"@slow_clock": ticks}, 1000)
        with pytest.raises(ConfigError, match="did you mean"):
            device.run({"@slowclock": hal.events([0], [0])}, 1000)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 50), events=st.integers(0, 120))
def test_rule_22_event_by_event_equals_layer_by_layer(
    speck: Any, chain: Any, seed: int, size: int, events: int
) -> None:
    """Chunks of any size, down to single events (depth first), give the spikes of the whole (breadth first)."""
    rng = np.random.default_rng(seed)
    model = three(chain, rng, dt_ns=None)
    names = ["a", "b", "c"]
    mapping = speck.map(model, record=[*names, *(hal.Probe(n, "v") for n in names)])
    t = np.sort(rng.integers(0, 50, events))
    ticks = np.sort(rng.integers(0, 50, rng.integers(0, 5)))
    stimulus = {
        "input": hal.events(t, rng.integers(0, 126, events)),
        "@slow_clock": hal.events(ticks, np.zeros(ticks.size, np.int64)),
    }
    recordings = []
    for chunk in (1 << 20, size, 1):
        with hal.open("speck2f") as device:
            device.load(mapping)
            device._player.pace = Pace(chunk, least=chunk, most=chunk)  # type: ignore[attr-defined]
            recordings.append(device.run(stimulus, 50))
    same(recordings[0], recordings[1])
    same(recordings[0], recordings[2])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 49))
def test_rule_23_runs_continue_and_repeat(speck: Any, chain: Any, seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    mapping = speck.map(three(chain, rng), record=["a", "b", hal.Probe("b", "v")])
    t = np.sort(rng.integers(0, 50 * MS, 100))
    index = rng.integers(0, 126, 100)
    with hal.open("speck2f", slow_clock_hz=300.0) as device:
        device.load(mapping)
        whole = device.run({"input": hal.events(t, index)}, 50 * MS)
        device.reset()
        again = device.run({"input": hal.events(t, index)}, 50 * MS)
        device.reset()
        first = t < cut * MS
        one_part = device.run({"input": hal.events(t[first], index[first])}, cut * MS)
        other = device.run({"input": hal.events(t[~first] - cut * MS, index[~first])}, (50 - cut) * MS)
    same(whole, again)
    for name in whole.spikes:
        joined = np.concatenate([one_part.spikes[name]["t"], other.spikes[name]["t"] + cut * MS])
        assert np.array_equal(joined, whole.spikes[name]["t"]), name
    assert np.array_equal(other.traces["b", "v"].values, whole.traces["b", "v"].values)
    assert whole.stats["ticks"].tolist() == (one_part.stats["ticks"] + other.stats["ticks"]).tolist()


# --- slow clock -------------------------------------------------------------------------------------------------------


def leaky(speck: Any, chain: Any) -> Any:
    model = chain(1, 1, 1).conv([[[[40]]]], "w", bias=-1).fire(30000, "n").model(dt_ns=None)
    return speck.map(model, record=[hal.Probe("n", "v")])


@pytest.mark.parametrize(
    ("hz", "pieces"),
    [
        (1000.0, [10 * MS]),
        (1000.0, [1 * MS] * 10),
        (1000.0, [300_000] * 33 + [100_000]),
        (777.7, [10 * MS]),
        (777.7, [1 * MS] * 10),
        (777.7, [123_457] * 81 + [17]),
        (1e6, [10 * MS - 1]),
        (0.5, [10 * MS]),
    ],
)
def test_the_board_clock_keeps_its_phase_over_runs(hz: float, pieces: list[int], speck: Any, chain: Any) -> None:
    """Tick n falls on n / hz since the start, none on 0."""
    total = sum(pieces)
    expected = sum(round(n * 1e9 / hz) < total for n in range(1, int(total * hz / 1e9) + 2))
    with hal.open("speck2f", slow_clock_hz=hz) as device:
        device.load(leaky(speck, chain))
        for _ in range(2):
            ticks = 0
            for duration in pieces:
                recording = device.run({}, duration)
                ticks += int(recording.stats["ticks"].sum())
            assert ticks == expected
            assert recording.traces["n", "v"].values.tolist() == [[-expected]]
            device.reset()


def test_port_and_board_clock_add_up(speck: Any, chain: Any) -> None:
    with hal.open("speck2f", slow_clock_hz=1000.0) as device:
        device.load(leaky(speck, chain))
        recording = device.run({"@slow_clock": hal.events([0, 1 * MS, 9 * MS], [0, 0, 0])}, 10 * MS)
    assert recording.stats["ticks"].sum() == 9 + 3


def test_ticks_are_counted_on_the_cores_they_act_on(speck: Any, chain: Any) -> None:
    made = chain(1, 1, 1).relay().fire(1, "a").conv([[[[1]]]], bias=-1).fire(9, "b").relay().fire(1, "c")
    assert speck.run(made.model(), [], ticks=[1, 2, 3]).stats["ticks"].tolist() == [0, 3, 0, 0, 0, 0, 0, 0, 0]


def test_a_tick_acts_before_events_of_its_time(speck: Any, chain: Any) -> None:
    model = chain(1, 1, 1).conv([[[[40]]]], "w", bias=-30).fire(40, "n").model()
    assert speck.run(model, [0], ticks=[0]).event_count("n") == 0
    assert speck.run(model, [0], ticks=[1]).event_count("n") == 1


def test_a_leak_of_a_bias_per_step_equals_ideal(speck: Any, chain: Any) -> None:
    """With a tick at the start of every step and at most one event in it: the model as given."""
    made = chain(2).dense(np.array([[7, -5], [3, 9]]), "w", bias=[-1, -2]).fire(20, "n")
    model = made.model(bias_meaning="per_step", v_min=-30.0)
    mapping = speck.map(model, approximate={"leak"})
    index = np.random.default_rng(3).integers(0, 2, 300)
    got = speck.run(mapping, index, ticks=np.arange(300) * speck.step)
    with hal.open("ideal") as device:
        device.load(hal.mapper("ideal").map(model))
        wanted = device.run({"input": speck.events(index)}, 300 * speck.step)
    assert wanted.event_count("output") > 10
    assert agreement(got.spikes["output"], wanted.spikes["output"], 2).share == 1.0


# --- counters, probes -------------------------------------------------------------------------------------------------


def test_synops_leave_out_the_edges(speck: Any, chain: Any) -> None:
    model = chain(1, 3, 3).conv(np.ones((2, 1, 3, 3)), "w", padding=1).fire(100, "n").model()
    assert speck.run(model, [4]).stats["synops"][0] == 18
    assert speck.run(model, [0]).stats["synops"][0] == 8
    assert speck.run(model, [1]).stats["synops"][0] == 12


def test_saturation_is_counted(speck: Any, chain: Any) -> None:
    recording = speck.run(one(chain, -128, 127), [0] * 300)
    assert recording.traces["n", "v"].values.tolist() == [[-32768]]
    assert recording.stats["saturated"].tolist()[0] == 300 - 256
    recording = speck.run(one(chain, 127, 1), [0] * 300)
    assert recording.stats["saturated"][0] > 0
    assert recording.traces["n", "v"].values.item() == 32766


def test_counters_are_those_of_the_cores_in_use(speck: Any, chain: Any) -> None:
    model = chain(1, 2, 2).relay().fire(1, "m").relay().fire(1, "n").model()
    recording = speck.run(speck.map(model, chip_layers_ordering=(6, 2)), [0, 1, 2])
    for counter in ("events_in", "events_out", "synops"):
        assert recording.stats[counter].tolist() == [0, 0, 3, 0, 0, 0, 3, 0, 0]
    assert set(recording.stats) >= {"saturated", "dropped_by_pooling", "ticks"}


def test_a_state_probe_gives_the_stored_integers(speck: Any, chain: Any) -> None:
    made = chain(2, 2, 3).relay("w", 5).fire(100, "n")
    whole = speck.run(made.model(), [0, 7, 7, 11]).traces["n", "v"]
    assert whole.values.tolist() == [[5, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 5]]
    assert whole.t.tolist() == [4 * speck.step - 1]
    some = speck.run(made.model(), [0, 7, 7, 11], record=[hal.Probe("n", "v", (7, 0, 11))]).traces["n", "v"]
    assert some.values.tolist() == [[10, 5, 5]]
    with pytest.raises(ConfigError, match="sampled over time"):
        speck.map(made.model(), record=[hal.Probe("n", "v", every_ns=1000)])
    with pytest.raises(ConfigError, match="no such neuron"):
        speck.map(made.model(), record=[hal.Probe("n", "v", (12,))])
    with pytest.raises(ConfigError, match="not observable"):
        speck.map(made.model(), record=[hal.Probe("n", "i")])


def test_a_probed_input_records_what_was_fed_in(speck: Any, chain: Any) -> None:
    mapping = speck.map(chain(1, 2, 2).relay("w").fire(9, "n").model(), record=["input"])
    assert speck.run(mapping, [3, 1]).spikes["input"]["index"].tolist() == [3, 1]


# --- resets, load, batches --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [hal.Reset.STATE, hal.Reset.LOADED])
def test_resets_go_back_to_the_start_states(mode: hal.Reset, speck: Any, chain: Any) -> None:
    mapping = speck.map(one(chain, 40, 100, start_state=30.0), record=[hal.Probe("n", "v")])
    with hal.open("speck2f") as device:
        device.load(mapping)
        first = device.run({"input": speck.events([0])}, 1000)
        device.reset(mode)
        again = device.run({"input": speck.events([0])}, 1000)
    assert first.traces["n", "v"].values.item() == again.traces["n", "v"].values.item() == 70


@pytest.mark.parametrize("mode", [hal.Reset.CONFIG, hal.Reset.POWER])
def test_resets_that_erase(mode: hal.Reset, speck: Any, chain: Any) -> None:
    with hal.open("speck2f") as device:
        device.load(speck.map(one(chain, 40, 100)))
        device.reset(mode)
        with pytest.raises(StateError):
            device.run({}, 1000)


def samples(rng: Any, count: int) -> list[Any]:
    out = []
    for _ in range(count):
        n = int(rng.integers(0, 80))
        out.append(hal.events(np.sort(rng.integers(0, 10 * MS, n)), rng.integers(0, 126, n)))
    return out


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_batch_equals_the_loop(workers: int, count: int, speck: Any, chain: Any) -> None:
    rng = np.random.default_rng(count)
    mapping = speck.map(three(chain, rng), record=["a", hal.Probe("b", "v")])
    given_samples = samples(rng, count)
    after = samples(rng, 1)[0]
    with hal.open("speck2f", slow_clock_hz=500.0) as looped, hal.open("speck2f", slow_clock_hz=500.0) as batched:
        for device in (looped, batched):
            device.load(mapping)
            device.run({"input": after}, 10 * MS)
        wanted = []
        for sample in given_samples:
            looped.reset()
            wanted.append(looped.run({"input": sample}, 10 * MS))
        got = batched.run_batch({"input": given_samples}, 10 * MS, workers=workers)
        assert len(got.status) == count
        for b in range(count):
            same(got[b], wanted[b])
            assert got[b].header.run == wanted[b].header.run
            assert got[b].t0_ns == wanted[b].t0_ns
            assert got[b].diagnostics == wanted[b].diagnostics
        assert (batched.run_number, batched.t0_ns) == (looped.run_number, looped.t0_ns)
        # the state left behind, and the clock's phase, are those of the loop
        early = {"input": after[after["t"] < 3 * MS]}
        same(batched.run(early, 3 * MS), looped.run(early, 3 * MS))


def test_a_batch_whose_sample_raises_ends(tmp_path: Path) -> None:
    """In a process of its own: a worker that raised must not leave the others waiting for its chip."""
    program = tmp_path / "program.py"
    program.write_text(
        """
import numpy as np
import hal
from hal import nodes
from hal.errors import HalError
from hal_dynapcnn.player import Player

shape = (1, 1, 1)
full = np.ones(shape, np.float32)
parts = [
    nodes.Input(name="input", input_shape=shape, output_shape=shape),
    nodes.Conv2d(name="w", input_shape=shape, output_shape=shape, weight=np.ones((1, 1, 1, 1), np.float32),
                 bias=np.zeros(1, np.float32), stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1),
    nodes.IF(name="n", input_shape=shape, output_shape=shape, r=full, v_threshold=full, v_reset=full * 0),
    nodes.Output(name="output", input_shape=shape, output_shape=shape),
]
names = [part.name for part in parts]
semantics = hal.Semantics(profile="sinabs", bias_meaning="per_tick")
model = hal.Model.of(dict(zip(names, parts)), zip(names, names[1:]), semantics)
play = Player.run

def fails(self, stimulus, duration_ns, recorder):
    if len(stimulus["input"]) == 2:
        raise HalError("this sample cannot be run")
    play(self, stimulus, duration_ns, recorder)

Player.run = fails
with hal.open("speck2f") as device:
    device.load(hal.mapper("speck2f").map(model))
    batch = [hal.events(range(n), [0] * n) for n in (1, 2, 3)]
    done = device.run_batch({"input": batch}, 1000, workers=1)
    print(done.status, [len(done[b].spikes["output"]) for b in range(3)])
"""
    )
    env = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    answer = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=60, env=env, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert "untrusted" in answer.stdout
    assert answer.stdout.strip().endswith("[1, 0, 3]")


def test_runs_into_files_equal_runs_in_memory(tmp_path: Path, speck: Any, chain: Any) -> None:
    rng = np.random.default_rng(9)
    mapping = speck.map(three(chain, rng), record=["a"])
    (sample,) = samples(rng, 1)
    with hal.open("speck2f") as device:
        device.load(mapping)
        memory = device.run({"input": sample}, 10 * MS)
        device.reset()
        same(device.run({"input": sample}, 10 * MS, to=tmp_path / "out"), memory)


# --- host parts -------------------------------------------------------------------------------------------------------


def test_signals_in_are_encoded_on_the_host(speck: Any, chain: Any) -> None:
    made = chain(2, 2, 2).neurons(nodes.LIF, "enc", tau=2, v_threshold=0.3).conv(np.full((3, 2, 2, 2), 3), "w")
    model = made.fire(20, "n").model(signals={"input"})
    mapping = speck.map(model, record=["enc", "n"])
    fates = {fate.node: fate.fate for fate in mapping.fates}
    assert fates["enc"] == "host"
    assert fates["n"] == "chip"
    values = np.random.default_rng(1).random((40, 8))
    signal = hal.Signal(np.arange(40) * speck.step, values)
    recordings = []
    for name in ("speck2f", "ideal"):
        with hal.open(name) as device:
            device.load(mapping if name == "speck2f" else hal.mapper("ideal").map(model, record=["enc", "n"]))
            recordings.append(device.run({"input": signal}, 40 * speck.step))
    got, wanted = recordings
    assert np.array_equal(got.spikes["enc"], wanted.spikes["enc"])
    assert got.event_count("enc") > 20
    # one weight for all: only the number of events counts, and the chip may fire at most as often
    assert 0 < wanted.event_count("n") <= got.event_count("n") * 1.01
    assert got.event_count("n") * 20 <= got.event_count("enc") * 3 * 3


@pytest.mark.parametrize("end", ["li", "weights", "mean", "scale"])
def test_signals_out_are_computed_on_the_host(end: str, speck: Any, chain: Any) -> None:
    made = chain(2, 4, 4).relay("w").fire(1, "n")
    if end == "li":
        made.flatten("f").dense(np.random.default_rng(0).normal(size=(3, 32)), "d").neurons(nodes.LI, "li", tau=4)
    elif end == "weights":
        made.flatten("f").dense(np.random.default_rng(0).normal(size=(3, 32)), "d")
    elif end == "mean":
        made.mean(2, "p")
    else:
        made.scale(0.5, "s")
    model = made.model()
    mapping = speck.map(model)
    assert mapping.outputs[0].kind == "signal"
    assert {f.node: f.fate for f in mapping.fates}["n"] == "chip"
    index = np.random.default_rng(2).integers(0, 32, 50)
    got = speck.run(mapping, index)
    with hal.open("ideal") as device:
        device.load(hal.mapper("ideal").map(model))
        wanted = device.run({"input": speck.events(index)}, 50 * speck.step)
    assert wanted.signals["output"].values.any()
    assert np.array_equal(got.signals["output"].values, wanted.signals["output"].values)
    assert np.array_equal(got.signals["output"].t, wanted.signals["output"].t)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_batch_with_host_parts_equals_the_loop(workers: int, speck: Any, chain: Any) -> None:
    made = chain(4).neurons(nodes.LIF, "enc", tau=2, v_threshold=0.3).dense(np.eye(4), "w").fire(2, "n")
    model = made.dense(np.ones((2, 4)), "d").neurons(nodes.LI, "li", tau=3).model(signals={"input"})
    mapping = speck.map(model, record=["n"])
    rng = np.random.default_rng(4)
    signals = [hal.Signal(np.arange(20) * speck.step, rng.random((20, 4))) for _ in range(4)]
    with hal.open("speck2f") as device:
        device.load(mapping)
        wanted = []
        for signal in signals:
            device.reset()
            wanted.append(device.run({"input": signal}, 20 * speck.step))
        got = device.run_batch({"input": signals}, 20 * speck.step, workers=workers)
    assert sum(recording.event_count("n") for recording in wanted) > 0
    for b, recording in enumerate(wanted):
        same(got[b], recording)


# --- adopted and edited registers -------------------------------------------------------------------------------------


def evolved(config: Any, core: int, **changes: Any) -> Any:
    layers = list(config.cnn_layers)
    layers[core] = attrs.evolve(layers[core], **changes)
    return attrs.evolve(config, cnn_layers=tuple(layers))


def test_adopted_registers_run_as_the_mapping_they_came_from(speck: Any, chain: Any) -> None:
    rng = np.random.default_rng(11)
    mapping = speck.map(three(chain, rng), record=["a", "b", "c"], chip_layers_ordering=(4, 0, 7))
    adopted = hal.mapper("speck2f").adopt(mapping.config)
    assert [port.name for port in adopted.inputs] == ["input"]
    assert adopted.inputs[0].shape == (2, 9, 7)
    assert [port.name for port in adopted.outputs] == ["core4", "core0", "core7"]
    (sample,) = samples(rng, 1)
    ticks = hal.events(np.arange(5) * MS, np.zeros(5, np.int64))
    recordings = []
    for each in (mapping, adopted):
        with hal.open("speck2f") as device:
            device.load(each)
            recordings.append(device.run({"input": sample, "@slow_clock": ticks}, 10 * MS))
    by_model, by_core = recordings
    for name, core in (("a", 4), ("b", 0), ("c", 7)):
        assert by_model.event_count(name) > 0
        assert np.array_equal(by_core.spikes[f"core{core}"], by_model.spikes[name])
    assert by_core.stats["synops"].tolist() == by_model.stats["synops"].tolist()
    row = mapping.where("b")[3]
    assert adopted.who(0, 0, int(row["neuron"])) == ("core0", 3)


def test_adopting_monitors_only_what_the_registers_monitor(speck: Any, chain: Any) -> None:
    config = speck.map(chain(1, 2, 2).relay().fire(1, "m").relay().fire(1, "n").model()).config
    assert [port.name for port in hal.mapper("speck2f").adopt(config).outputs] == ["core1"]
    silent = hal.mapper("speck2f").adopt(evolved(config, 1, monitor_enable=False))
    assert silent.outputs == ()
    assert speck.run(silent, [0]).stats["events_out"].sum() == 2


def test_adopting_registers_of_another_chip(speck: Any, chain: Any) -> None:
    config = speck.map(one(chain, 1, 1)).config
    with pytest.raises(DoesNotFitError, match="registers of a speck2f"):
        hal.mapper("speck2e").adopt(config)
    with pytest.raises(ConfigError, match="cnn_layers"):
        hal.mapper("speck2cmini").adopt(attrs.evolve(config, chip="speck2cmini"))
    with pytest.raises(ConfigError, match="SpeckConfig"):
        hal.mapper("speck2f").adopt({"chip": "speck2f"})
    with hal.open("speck2e") as device, pytest.raises(ConfigError, match="made for speck2f"):
        device.load(hal.mapper("speck2f").adopt(config))


@pytest.mark.parametrize(
    ("changes", "spikes"),
    [
        ({}, 5),
        ({"threshold_high": 20}, 10),
        ({"return_to_zero": True, "threshold_high": 15}, 5),
        ({"threshold_high": 15}, 6),
        ({"weights": np.full((1, 1, 1, 1), 5)}, 2),
        ({"neurons_initial_value": np.full((1, 1, 1), 10)}, 5),
    ],
)
def test_edited_registers_are_what_runs(changes: Any, spikes: int, speck: Any, chain: Any) -> None:
    mapping = speck.map(one(chain, 10, 20))
    if changes.get("threshold_high") == 20:
        changes = {"weights": np.full((1, 1, 1, 1), 20)}
    edited = mapping.with_config(evolved(mapping.config, 0, **changes))
    assert speck.run(edited, [0] * 10).event_count("output") == spikes
    assert not edited.placement.moved(mapping.placement)
    assert not edited.realised


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"threshold_low": 0}, "threshold_low"),
        ({"threshold_low": 20}, "threshold_low"),
        ({"threshold_high": 32768}, "threshold_high"),
        ({"weights": np.full((1, 1, 1, 1), 128)}, "weights"),
        ({"weights": np.zeros((1, 1, 2, 2), np.int8)}, "weights"),
        ({"biases": np.zeros(2, np.int16)}, "biases"),
    ],
)
def test_edits_that_the_registers_cannot_hold(changes: Any, where: str, speck: Any, chain: Any) -> None:
    mapping = speck.map(one(chain, 10, 20))
    with pytest.raises(ConfigError, match=rf"cnn_layers\[0\]\.{where}"):
        mapping.with_config(evolved(mapping.config, 0, **changes))


def test_edits_keep_chip_and_shapes(speck: Any, chain: Any) -> None:
    mapping = speck.map(chain(1, 2, 2).relay().fire(1, "n").model())
    other = speck.map(chain(1, 3, 2).relay().fire(1, "n").model()).config
    for config in (other, speck.on("speck2e").map(chain(1, 2, 2).relay().fire(1, "n").model()).config,
                   attrs.evolve(mapping.config, entries=(Entry(layer=3),))):  # fmt: skip
        with pytest.raises(DoesNotFitError, match="keep chip and shapes"):
            mapping.with_config(config)
