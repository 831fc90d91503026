"""Running on the emulated chip: chunks, runs that go on, resets, batches, overflows, host spikes, probes, counters."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

import hal
from hal import nodes
from hal.agreement import agreement
from hal.errors import CapabilityError, StateError
from hal.events import Probe
from hal_loihi import device as device_module

STEPS = 150


@pytest.fixture(scope="module")
def small(net: Any, loihi: Any) -> Any:
    """A loop with delays, two populations, and every state recorded: (mapping, stimulus)."""
    rng = np.random.default_rng(2)
    made = net(4).delay("d", "in", [0, 1, 3, 9]).dense("w", "d", rng.choice([-128, 256, 384], (6, 4)))
    made.dense("r", "a", rng.choice([-192, 0, 128], (6, 6))).fire("a", ["w", "r"], nodes.CubaLIF, tau_mem=8)
    made.dense("x", "a", rng.choice([-128, 256], (3, 6))).fire("b", "x", v_threshold=1280).out("b")
    record = [
        "a",
        Probe("a", "u", every_ns=2 * loihi.step),
        Probe("a", "v", indices=(4, 1), every_ns=3 * loihi.step),
        Probe("b", "v"),
    ]
    mapping = loihi.map(made.model(), record=record)
    return mapping, {"in": loihi.noise(rng, 4, STEPS)}


def same(a: Any, b: Any) -> None:
    for name in a.spikes:
        assert a.spikes[name].size > 0
        assert np.array_equal(a.spikes[name], b.spikes[name]), name
    for key in a.traces:
        assert np.array_equal(a.traces[key].t, b.traces[key].t), key
        assert np.array_equal(a.traces[key].values, b.traces[key].values), key
    for counter in a.stats:
        assert np.array_equal(a.stats[counter], b.stats[counter]), counter


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_chunks_change_nothing(chunk: int, small: Any, loihi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mapping, stimulus = small
    whole = loihi.run(mapping, stimulus, STEPS)
    monkeypatch.setattr(device_module, "FIRST_CHUNK", chunk)
    monkeypatch.setattr(device_module.Pace, "took", lambda *_: None)
    same(whole, loihi.run(mapping, stimulus, STEPS))


@pytest.mark.parametrize("cut", [1, 6, 50, 149])
def test_runs_go_on_where_the_last_one_ended(cut: int, small: Any, loihi: Any) -> None:
    mapping, stimulus = small
    mapping = attrs.evolve(mapping, record=(Probe("a"), Probe("b", "v"), Probe("a", "u")))
    whole = loihi.run(mapping, stimulus, STEPS)
    events = stimulus["in"]
    late = events[events["t"] >= cut * loihi.step].copy()
    late["t"] -= cut * loihi.step
    with hal.open("loihi") as device:
        device.load(mapping)
        first = device.run({"in": events[events["t"] < cut * loihi.step]}, cut * loihi.step)
        second = device.run({"in": late}, (STEPS - cut) * loihi.step)
    assert second.t0_ns == cut * loihi.step
    for name in whole.spikes:
        joined = np.concatenate([first.spikes[name], second.spikes[name]])
        joined["t"][first.spikes[name].size :] += cut * loihi.step
        assert np.array_equal(joined, whole.spikes[name]), name
    for key in whole.traces:
        assert np.array_equal(second.traces[key].values, whole.traces[key].values), key
    for counter in ("events_in", "events_out", "synops", "overflowed"):
        assert np.array_equal(first.stats[counter] + second.stats[counter], whole.stats[counter]), counter
    assert np.array_equal(second.stats["pending"], whole.stats["pending"])


@pytest.mark.parametrize("mode", [hal.Reset.STATE, hal.Reset.LOADED])
def test_after_a_reset_all_is_as_new(mode: hal.Reset, small: Any, loihi: Any) -> None:
    mapping, stimulus = small
    with hal.open("loihi") as device:
        device.load(mapping)
        first = device.run(stimulus, STEPS * loihi.step)
        device.reset(mode)
        same(first, device.run(stimulus, STEPS * loihi.step))


@pytest.mark.parametrize("mode", [hal.Reset.CONFIG, hal.Reset.POWER])
def test_resets_that_erase(mode: hal.Reset, small: Any, loihi: Any) -> None:
    with hal.open("loihi") as device:
        device.load(small[0])
        device.reset(mode)
        with pytest.raises(StateError, match="load"):
            device.run({}, loihi.step)


def test_a_batch_equals_the_loop(small: Any, loihi: Any) -> None:
    mapping, _ = small
    rng = np.random.default_rng(7)
    samples = [loihi.noise(rng, 4, STEPS) for _ in range(3)]
    splits = np.cumsum([0, *(sample.size for sample in samples)])
    batch = hal.EventBatch(np.concatenate(samples), splits)
    with hal.open("loihi") as device:
        device.load(mapping)
        found = device.run_batch({"in": batch}, STEPS * loihi.step)
        for k, sample in enumerate(samples):
            device.reset()
            alone = device.run({"in": sample}, STEPS * loihi.step)
            for name in alone.spikes:
                bounds = found.spikes[name].splits[k : k + 2]
                assert np.array_equal(found.spikes[name].events[slice(*bounds)], alone.spikes[name]), name


def test_latency_is_what_agreement_takes_off(small: Any, loihi: Any, net: Any) -> None:
    """An integer net without leak: every spike of every population, and none without it."""
    rng = np.random.default_rng(4)
    made = net(8).dense("w", "in", rng.integers(-2, 5, (8, 8)) * 64).fire("a", "w")
    made.dense("x", "a", rng.integers(-2, 5, (5, 8)) * 64).dense("r", "b", rng.integers(-3, 2, (5, 5)) * 64)
    model = made.fire("b", ["x", "r"]).out("b").model()
    stimulus = {"in": loihi.noise(rng, 8, 200)}
    mapping = loihi.map(model, record=["a", "b"])
    run, ideal = loihi.run(mapping, stimulus, 202), loihi.ideal(model, stimulus, 200, ["a", "b"])
    for name, late, size in (("a", 1, 8), ("b", 2, 5), ("out", 2, 5)):
        assert mapping.latency_ns[name] == late * loihi.step
        spikes = run.spikes[name][run.spikes[name]["t"] < (200 + late) * loihi.step]
        assert ideal.spikes[name].size > 20
        assert agreement(spikes, ideal.spikes[name], size, latency_ns=late * loihi.step).share == 1.0
        assert agreement(spikes, ideal.spikes[name], size).share < 1.0


# --- registers that overflow, spikes that are dropped -----------------------------------------------------------------


def flood(loihi: Any, net: Any, neurons: int = 2, inputs: int = 128) -> Any:
    """The last neuron's accumulator takes 21 bits with 127 spikes of 16384, not with 128."""
    weight = np.zeros((neurons, inputs))
    weight[-1] = 16384
    made = net(inputs).dense("w", "in", weight).fire("quiet", "w", v_threshold=8388544).out("quiet")
    config = loihi.map(made.model()).config
    assert config.weights().max() == 16384
    return loihi.map(made.model())


def test_overflows_wrap_and_are_counted(loihi: Any, net: Any) -> None:
    mapping = flood(loihi, net)
    mapping = attrs.evolve(mapping, record=(Probe("quiet", "u", every_ns=loihi.step),))
    spikes = [(2, k) for k in range(127)] + [(5, k) for k in range(128)]
    run = loihi.run(mapping, {"in": loihi.events(spikes)}, 10)
    u = run.traces["quiet", "u"].values[:, 1]
    assert (u[3], u[6]) == (127 * 16384, -(2**21))
    assert run.stats["overflowed"].sum() == 1
    assert run.stats["synops"].sum() == 255


@pytest.mark.parametrize("chunk", [1, 64])
def test_an_overflow_may_end_the_run(chunk: int, loihi: Any, net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the name, the neuron and the step, wherever the chunks end."""
    monkeypatch.setattr(device_module, "FIRST_CHUNK", chunk)
    mapping = flood(loihi, net)
    with hal.open("loihi", overflow="error") as device:
        device.load(mapping)
        device.run({"in": loihi.events([(0, k) for k in range(127)])}, 8 * loihi.step)
        with pytest.raises(StateError, match="quiet, neuron 1: the accumulator overflowed in step 6") as error:
            device.run({"in": loihi.events([(5, k) for k in range(128)])}, 10 * loihi.step)
    data = error.value.data
    assert (data["node"], data["index"], data["step"]) == ("quiet", 1, 6)


@pytest.mark.parametrize(("most", "reached"), [(None, 9), (9, 9), (5, 8), (0, 0)])
def test_host_spikes_above_the_limit_per_step(most: int | None, reached: int, loihi: Any, net: Any) -> None:
    """Three in one step and six in another; those of the highest channels go."""
    made = net(6).dense("w", "in", np.eye(6) * 1280).fire("n", "w").out("n")
    spikes = [(1, 0), (1, 1), (1, 5), *((4, k) for k in range(6))]
    run = loihi.run(loihi.map(made.model()), {"in": loihi.events(spikes)}, 8, max_input_spikes_per_step=most)
    assert run.event_count("out") == reached
    assert run.stats["events_in"].sum() == reached
    assert run.stats["dropped"].sum() == 9 - reached
    said = [f for f in run.diagnostics if f.field == "max_input_spikes_per_step"]
    assert len(said) == (reached < 9)
    if reached == 8:
        assert (said[0].wanted, said[0].realised) == (6, 5)
        assert run.spikes["out"]["index"].tolist() == [0, 1, 5, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("cut", [None, 1, 5, 6])
def test_spikes_under_way_are_counted(cut: int | None, loihi: Any, net: Any) -> None:
    """Two spikes of step 4 arrive in steps 6 and 13, whichever run they are of; nobody hears neuron n."""
    made = net(2).delay("d", "in", [1, 8]).dense("w", "d", [[640, 0.001]]).fire("n", "w", v_threshold=64).out("n")
    mapping = loihi.map(made.model())
    assert mapping.config.synapses.delay.tolist() == [1, 8]
    for steps, pending in ((4, 0), (5, 2), (6, 2), (7, 1), (13, 1), (14, 0)):
        with hal.open("loihi") as device:
            device.load(mapping)
            first = min(cut or 0, steps - 1)
            spikes = [(4, 0), (4, 1)]
            if first:
                device.run({"in": loihi.events([s for s in spikes if s[0] < first])}, first * loihi.step)
            later = [(s - first, c) for s, c in spikes if first <= s < steps]
            run = device.run({"in": loihi.events(later)}, (steps - first) * loihi.step)
            assert run.stats["pending"].sum() == pending, steps
            device.reset()
            assert device.run({}, loihi.step).stats["pending"].sum() == 0


# --- probes -----------------------------------------------------------------------------------------------------------


def test_probes_over_time_and_at_the_end(small: Any, loihi: Any) -> None:
    mapping, stimulus = small
    run = loihi.run(mapping, stimulus, STEPS)
    u, v, end = run.traces["a", "u"], run.traces["a", "v"], run.traces["b", "v"]
    assert (u.t // loihi.step).tolist() == list(range(0, STEPS, 2))
    assert (v.t // loihi.step).tolist() == list(range(0, STEPS, 3))
    assert (u.values.shape, v.values.shape, end.values.shape) == ((75, 6), (50, 2), (1, 3))
    assert end.t.tolist() == [STEPS * loihi.step - 1]
    every = (
        Probe("a", "u", every_ns=loihi.step),
        Probe("a", "v", every_ns=loihi.step),
        Probe("b", "v", every_ns=loihi.step),
    )
    full = loihi.run(attrs.evolve(mapping, record=every), stimulus, STEPS).traces
    assert np.array_equal(u.values, full["a", "u"].values[::2])
    assert np.array_equal(v.values, full["a", "v"].values[::3, [4, 1]])
    assert np.array_equal(end.values[0], full["b", "v"].values[-1])
    assert np.count_nonzero(u.values) > 50


@pytest.mark.parametrize("register", ["voltage", "chip"])
def test_the_register_of_the_voltage(register: str, loihi: Any, net: Any) -> None:
    """Refractory delay 3: the count times 128 from the spike on, at the end of a run as well."""
    model = net(1).dense("w", "in", [[1280]]).fire("n", "w").out("n").model()
    mapping = loihi.map(model, refract_delay={"n": 3}, record=[Probe("n", "v", every_ns=loihi.step)])
    stimulus = {"in": loihi.events([(0, 0)])}
    shown = [0, 384, 256, 128, 0] if register == "chip" else [0] * 5
    run = loihi.run(mapping, stimulus, 5, v_register=register)
    assert run.traces["n", "v"].values[:, 0].tolist() == shown
    ends = attrs.evolve(mapping, record=(Probe("n", "v"),))
    for steps in range(1, 6):
        last = loihi.run(ends, stimulus, steps, v_register=register).traces["n", "v"].values
        assert last.tolist() == [[shown[steps - 1]]], steps


def test_counters_are_those_of_the_cores_in_use(small: Any, loihi: Any) -> None:
    mapping, stimulus = small
    run = loihi.run(mapping, stimulus, STEPS)
    used = {int(core) for name in "ab" for core in mapping.where(name)["core"]}
    assert run.stats["events_in"].sum() == stimulus["in"].size
    assert set(np.flatnonzero(run.stats["events_out"]).tolist()) <= used
    recorded = loihi.run(attrs.evolve(mapping, record=(Probe("a"), Probe("b"))), stimulus, STEPS)
    assert run.stats["events_out"].sum() == recorded.event_count("a") + recorded.event_count("b")
    assert run.stats["dropped"].sum() == 0


def test_no_public_tool_opens_the_chip(small: Any) -> None:
    with pytest.raises(CapabilityError) as refused:
        hal.export(small[0], "nxsdk")
    assert "exports of loihi: none, as no public tool loads a network onto a Loihi chip" in refused.value.hint
    with pytest.raises(CapabilityError, match="no public tool") as error:
        hal.open("loihi", kind="hardware")
    assert "emulator" in error.value.hint


def test_a_membrane_at_the_end_of_its_register_is_counted_and_a_bound_of_the_model_is_not(loihi: Any, net: Any) -> None:
    def counted(**semantics: Any) -> tuple[int, int]:
        model = net(1).dense("fc", "in", [[-1.0]]).fire("n", "fc", v_threshold=1).out("n").model(**semantics)
        mapping = loihi.map(model)
        steps = 200
        recording = loihi.run(mapping, {"in": loihi.events([(k, 0) for k in range(steps)])}, steps)
        return int(recording.stats["saturated"].sum()), steps

    free, steps = counted()
    # room for 64 thresholds, and one is taken off in each step; the last event arrives after the run
    assert 0 < free <= steps - 64
    assert counted(v_min=-1.0)[0] == 0
