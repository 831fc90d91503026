"""Batches and sweeps on executors: threads, processes that may die, and Dask; always what the loop gives."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import hal
from hal import nodes, parcels

STEP = 1000
DURATION = 20 * STEP
SPAWN = multiprocessing.get_context("spawn")


def samples(count, seed=0):
    rng = np.random.default_rng(seed)
    return [hal.events(np.sort(rng.integers(0, DURATION, b % 7)), rng.integers(0, 2, b % 7)) for b in range(count)]


def plain(given):
    """Events or a Signal as bytes."""
    return (given.t.tobytes(), given.values.tobytes()) if isinstance(given, hal.Signal) else given.tobytes()


def assert_same(one, two):
    """Two batches, column by column, with headers and stimuli."""
    assert len(one) == len(two)
    assert one.status == two.status
    for b in range(len(one)):
        a, c = one[b], two[b]
        assert (a.header.run, a.t0_ns, a.duration_ns) == (c.header.run, c.t0_ns, c.duration_ns)
        assert a.header.to_json() == c.header.to_json()
        assert a.spikes.keys() == c.spikes.keys()
        assert a.stimulus.keys() == c.stimulus.keys()
        assert all(np.array_equal(a.spikes[node], c.spikes[node]) for node in a.spikes)
        assert all(plain(a.stimulus[port]) == plain(c.stimulus[port]) for port in a.stimulus)
        for column in ("signals", "traces"):
            left, right = getattr(a, column), getattr(c, column)
            assert left.keys() == right.keys()
            assert all(np.array_equal(left[key].t, right[key].t) for key in left)
            assert all(np.array_equal(left[key].values, right[key].values) for key in left)
        assert a.stats.keys() == c.stats.keys()
        assert all(np.array_equal(a.stats[name], c.stats[name]) for name in a.stats)
        assert np.array_equal(a.intervals, c.intervals)
        assert a.diagnostics == c.diagnostics


def loop(device, stimuli):
    """Reset and run, as the contract says."""
    out = []
    for one in stimuli:
        device.reset()
        out.append(device.run({"input": one}, DURATION))
    return hal.BatchRecording.of(out)


class Here(Executor):
    """An executor that no library knows: every task at once, in this thread."""

    def submit(self, task, /, *arguments, **more):
        future = Future()
        try:
            future.set_result(task(*arguments, **more))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture(params=["threads", "one thread", "unknown"])
def executor(request):
    made = {"threads": ThreadPoolExecutor(3), "one thread": ThreadPoolExecutor(1), "unknown": Here()}
    with made[request.param] as pool:
        yield pool


def toy(toys, net, **options):
    toys.add()
    chip = hal.open("toy", seed=5, **options)
    chip.load(hal.mapper("toy").map(net.relay()))
    return chip


# --- batches in this process ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 7, 150])
def test_a_batch_equals_the_loop_noise_and_state_afterwards_included(toys, net, executor, count):
    options = {"noise": True, "delay_ns": DURATION // 2}
    one, two = toy(toys, net, **options), toy(toys, net, **options)
    given = samples(count)
    for chip in (one, two):
        chip.run({"input": given[-1]}, DURATION)  # runs are numbered from load, not from the batch
    wanted = loop(one, given)
    got = two.run_batch({"input": given}, DURATION, executor=executor)
    # what a toy learns goes from one sample to the next in the loop, never between samples of a batch
    for batch in (wanted, got):
        batch.stats["learned"][:] = 0
    assert_same(got, wanted)
    assert (two.run_number, two.t0_ns, two.state) == (one.run_number, one.t0_ns, one.state)
    assert got[0].mapping is got[count - 1].mapping is two.mapping
    assert np.array_equal(two.under_way, one.under_way)
    assert len(set(got.stats["noise"][:, 0])) > count // 2


@pytest.mark.parametrize("device", ["ideal", "speck2f"])
@pytest.mark.parametrize("kind", ["relay", "readout", "encoder"])
def test_real_devices_with_parts_on_the_host(net, device, kind):
    mapping = hal.mapper(device).map(getattr(net, kind)())
    given = samples(9)
    if kind == "encoder":
        given = [hal.Signal.sampled(np.random.default_rng(b).random((20, 2)), STEP) for b in range(9)]
    with hal.open(device, seed=2) as one, hal.open(device, seed=2) as two, ThreadPoolExecutor(2) as pool:
        one.load(mapping)
        two.load(mapping)
        wanted = one.run_batch({"input": given}, DURATION)
        got = two.run_batch({"input": given}, DURATION, executor=pool)
        assert_same(got, wanted)
        assert_same(two.run_batch({"input": given[:1]}, DURATION), one.run_batch({"input": given[:1]}, DURATION))


@pytest.mark.parametrize("device", ["loihi", "dynapse2", "dynapse2-dynapsim", "brainscales2"])
def test_every_family_can_be_copied_and_its_noise_belongs_to_the_sample(net, device):
    step = None if device == "brainscales2" else STEP
    weight = 0.01 if device == "brainscales2" else 1.0
    model = net.chain(
        net.input("input", 2),
        net.linear("fc", weight * np.eye(2)),
        net.neuron(nodes.CubaLIF, "cells", 2, tau_mem=10e-6, tau_syn=5e-6, v_threshold=0.1),
        net.output("output", 2),
        profile="nir",
        dt_ns=step,
    )
    mapper = hal.mapper(device)
    words = set() if device != "loihi" else {"reset"}
    mapping = mapper.map(model, mapper.spec.map_options(approximate=words))
    given = {"input": samples(12)}
    with hal.open(device, seed=4) as one, hal.open(device, seed=4) as two, ThreadPoolExecutor(2) as pool:
        one.load(mapping)
        two.load(mapping)
        wanted, got = one.run_batch(given, DURATION), two.run_batch(given, DURATION, executor=pool)
        assert_same(got, wanted)
        assert wanted.stats["events_in"].sum() == sum(len(events) for events in given["input"])
        assert_same(two.run_batch(given, DURATION), one.run_batch(given, DURATION))


def test_a_bad_sample_stops_nothing(toys, net, executor):
    chip = toy(toys, net, fail_index=1)
    given = [hal.events([0], [int(b == 2)]) for b in range(5)]
    batch = chip.run_batch({"input": given}, DURATION, executor=executor)
    assert batch.status == ("ok", "ok", "untrusted", "ok", "ok")
    assert "fell over" in str(batch[2].diagnostics[-1])


def test_a_device_is_packed_once_and_unpacked_once_per_thread(toys, net, monkeypatch):
    chip = toy(toys, net)
    made = {"dumps": 0, "loads": 0}

    class Counting:
        HIGHEST_PROTOCOL = parcels.pickle.HIGHEST_PROTOCOL
        real = parcels.pickle

        def dumps(self, *given, **more):
            made["dumps"] += 1
            return self.real.dumps(*given, **more)

        def loads(self, content):
            made["loads"] += 1
            return self.real.loads(content)

    monkeypatch.setattr(parcels, "pickle", Counting())
    with ThreadPoolExecutor(2) as pool:
        chip.run_batch({"input": samples(100)}, DURATION, executor=pool)
    assert made["dumps"] == 1
    assert 1 <= made["loads"] <= 2


# --- refused --------------------------------------------------------------------------------------------------------


def test_what_is_no_executor_and_hardware_are_refused_at_once(toys, net):
    chip = toy(toys, net)
    chip.kind = "hardware"
    with pytest.raises(hal.ConfigError) as caught:
        chip.run_batch({"input": samples(2)}, DURATION, executor="threads")
    text = str(caught.value)
    assert "not a concurrent.futures.Executor (value str); Dask: client.get_executor()" in text
    assert "a chip cannot be copied to workers" in text
    assert "hardware" in text
    chip.kind = "emulator"
    with ThreadPoolExecutor(1) as pool, pytest.raises(hal.ConfigError, match="either `workers` or `executor`"):
        chip.run_batch({"input": samples(2)}, DURATION, executor=pool, workers=2)
    with ThreadPoolExecutor(1) as pool, pytest.raises(hal.ConfigError, match="the batch cannot be run"):
        chip.run_batch({"output": samples(2)}, DURATION, executor=pool)
    assert chip.run_number == 0


def test_a_device_that_cannot_be_pickled_is_refused_with_the_reason(toys, net):
    chip = toy(toys, net)
    chip.held = threading.Lock()
    with ThreadPoolExecutor(1) as pool, pytest.raises(hal.ConfigError, match=r"cannot be sent to workers.*TypeError"):
        chip.run_batch({"input": samples(2)}, DURATION, executor=pool)


def test_workers_of_another_version_say_so(toys, net, monkeypatch):
    chip = toy(toys, net)
    before = parcels.Sender.pack

    def older(self, content, what):
        parcel = before(self, content, what)
        self._wheres["old"] = self._wheres[parcel.name]
        return parcels.Parcel("old", "0.0.1")

    monkeypatch.setattr(parcels.Sender, "pack", older)
    with ThreadPoolExecutor(1) as pool, pytest.raises(hal.ConfigError, match=r"the batch comes from 0\.0\.1"):
        chip.run_batch({"input": samples(2)}, DURATION, executor=pool)


def test_time_out_keeps_what_came_back(toys, net):
    chip = toy(toys, net, slow_s=0.02)
    with ThreadPoolExecutor(1) as pool, pytest.raises(hal.DeviceTimeoutError) as caught:
        chip.run_batch({"input": samples(6)}, DURATION, executor=pool, timeout_s=0.5)
    kept, left = caught.value.data["recordings"], caught.value.data["left"]
    assert sorted([*kept, *left]) == list(range(6))
    assert left
    assert 0 in kept
    assert kept[0].header.run == 0
    with pytest.raises(hal.StateError, match="broken off"):
        chip.run({"input": samples(1)[0]}, DURATION)
    chip.reset()
    assert chip.run({"input": samples(1)[0]}, DURATION).header.run == 0


def test_an_executor_that_was_shut_down(toys, net):
    chip = toy(toys, net)
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(hal.ExecutorError, match="cannot schedule new futures") as caught:
        chip.run_batch({"input": samples(3)}, DURATION, executor=pool)
    assert caught.value.data["left"] == (0, 1, 2)
    with pytest.raises(hal.ExecutorError, match="cannot schedule new futures") as caught:
        hal.sweep([(chip.mapping, {})], {"input": samples(3)}, DURATION, executor=pool)
    assert caught.value.data == {"recordings": {}, "left": (0,)}


# --- sweeps ---------------------------------------------------------------------------------------------------------


def test_a_sweep_is_a_loop_over_its_points(toys, net, executor):
    toys.add()
    low, high = (hal.mapper("toy").map(net.relay(threshold=threshold)) for threshold in (1, 3))
    points = [(low, {"seed": 1, "noise": True}), (high, {}), (low, {"seed": 2, "noise": True})]
    given = {"input": samples(3)}
    here = hal.sweep(points, given, DURATION)
    there = hal.sweep(points, given, DURATION, executor=executor)
    assert len(here) == len(there) == 3
    for a, b, (mapping, how) in zip(here, there, points, strict=True):
        assert_same(a, b)
        assert (a.header.mapping, b.header.mapping) == (mapping, mapping)
        with hal.open("toy", **how) as chip:
            chip.load(mapping)
            assert_same(a, chip.run_batch(given, DURATION))
    assert (here[0].stats["noise"] != here[2].stats["noise"]).any()


def test_points_that_cannot_be_run(toys, net):
    toys.add()
    mapping = hal.mapper("toy").map(net.relay())
    points = [mapping, (mapping, {"kind": "hardware"}), (mapping, 3)]
    with pytest.raises(hal.ConfigError) as caught:
        hal.sweep(points, {}, DURATION, executor=3)
    text = str(caught.value)
    assert all(f"point {k}" in text for k in range(3))
    assert "executor: not a concurrent.futures.Executor" in text
    with ThreadPoolExecutor(1) as pool, pytest.raises(hal.ConfigError, match="noize"):
        hal.sweep([(mapping, {"noize": True})], {"input": samples(1)}, DURATION, executor=pool)
    with pytest.raises(hal.DeviceTimeoutError) as late:
        hal.sweep([(mapping, {})], {"input": samples(1)}, DURATION, timeout_s=0)
    assert late.value.data["left"] == (0,)


# --- processes ------------------------------------------------------------------------------------------------------


class Mortal(ProcessPoolExecutor):
    """Kills the process `pid` when so many tasks are done."""

    pid, after = 0, 3

    def submit(self, task, /, *arguments, **more):
        future = super().submit(task, *arguments, **more)
        if self.pid:
            future.add_done_callback(self._count)
        return future

    def _count(self, future):
        self.after -= 1
        if not self.after:
            os.kill(self.pid, signal.SIGKILL)


def test_processes_give_the_same_and_a_broken_pool_keeps_what_came_back(net):
    mapping = hal.mapper("ideal").map(net.relay())
    given = {"input": samples(100)}
    with hal.open("ideal") as chip:
        chip.load(mapping)
        wanted = chip.run_batch(given, DURATION)
        chip.load(mapping)
        with Mortal(2, mp_context=SPAWN) as pool:
            assert_same(chip.run_batch(given, DURATION, executor=pool), wanted)
            assert_same(hal.sweep([(mapping, {})] * 3, given, DURATION, executor=pool)[2], wanted)
            took_in = "list(__import__('hal.parcels').parcels.received.values())"
            assert pool.submit(eval, took_in).result() == [1, 1]
            pool.pid = pool.submit(os.getpid).result()
            chip.load(mapping)
            with pytest.raises(hal.ExecutorError, match="BrokenProcessPool") as caught:
                chip.run_batch(given, DURATION, executor=pool)
        kept, left = caught.value.data["recordings"], caught.value.data["left"]
        assert len(kept) >= 3
        assert left
        assert sorted([*kept, *left]) == list(range(100))
        assert all(np.array_equal(one.spikes["output"], wanted[b].spikes["output"]) for b, one in kept.items())
        assert all(one.header.run == b for b, one in kept.items())
