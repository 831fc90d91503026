"""Devices: states, resets, time, run numbers, time-outs, batches, seeds, individuals."""

from __future__ import annotations

import itertools
import pickle
import signal
import threading
import time
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hal
from hal import Clock, EventBatch, MemoryRecorder, Reset
from hal.device import COUNTERS
from hal.errors import CapabilityError, ConfigError, DeviceTimeoutError, DoesNotFitError, StateError
from hal.fit import Finding

SILENCE = hal.events(np.zeros(0, int), np.zeros(0, int))
LOADED_DEVICES = ["ideal", "speck2f", "toy"]


@pytest.fixture
def toy(toys: Any) -> Any:
    return toys.add()


def opened(net: Any, device: str, model: Any = None, record: Any = (), **options: Any) -> Any:
    """A device, open and loaded with the relay."""
    chip = hal.open(device, **options)
    chip.load(hal.mapper(device).map(model or net.relay(), record=record))
    return chip


def same(one: Any, other: Any) -> None:
    """Two recordings of the same thing."""
    assert one.status == other.status
    assert (one.t0_ns, one.duration_ns, one.header.run) == (other.t0_ns, other.duration_ns, other.header.run)
    assert list(one.spikes) == list(other.spikes)
    for name in one.spikes:
        assert one.spikes[name].tolist() == other.spikes[name].tolist()
    for left, right in ((one.signals, other.signals), (one.traces, other.traces)):
        assert set(left) == set(right)
        for key in left:
            assert left[key].t.tolist() == right[key].t.tolist()
            assert left[key].values.tobytes() == right[key].values.tobytes()
    assert {k: v.tolist() for k, v in one.stats.items()} == {k: v.tolist() for k, v in other.stats.items()}
    assert one.intervals.tolist() == other.intervals.tolist()
    assert one.diagnostics == other.diagnostics


# --- states ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", LOADED_DEVICES)
def test_states_in_order(net: Any, toy: Any, device: str) -> None:
    chip = hal.open(device)
    assert chip.state == "open"
    with pytest.raises(StateError, match="nothing is loaded"):
        chip.run({}, 1000)
    with pytest.raises(StateError, match="nothing is loaded"):
        chip.run_batch({"input": [SILENCE]}, 1000)
    with pytest.raises(StateError, match="nothing is loaded"):
        _ = chip.mapping
    mapping = hal.mapper(device).map(net.relay())
    chip.load(mapping)
    assert chip.state == "loaded"
    assert chip.mapping is mapping
    chip.run({}, 1000)
    chip.reset(Reset.CONFIG)
    assert chip.state == "open"
    with pytest.raises(StateError):
        chip.run({}, 1000)
    chip.load(mapping)
    chip.close()
    assert chip.state == "closed"


@pytest.mark.parametrize("device", LOADED_DEVICES)
@pytest.mark.parametrize("before", ["open", "loaded", "run", "broken", "closed"])
def test_close_may_be_called_in_every_state_and_closes_once(net: Any, toy: Any, device: str, before: str) -> None:
    chip = hal.open(device)
    if before != "open":
        chip.load(hal.mapper(device).map(net.relay()))
    if before == "run":
        chip.run({}, 1000)
    if before == "broken":
        with pytest.raises(DeviceTimeoutError):
            chip.run({}, 1000, timeout_s=0.0)
    if before == "closed":
        chip.close()
    chip.close()
    chip.close()
    assert chip.state == "closed"
    if device == "toy":
        assert chip.closed_times == 1
    calls = [
        lambda: chip.run({}, 1000),
        lambda: chip.run_batch({}, 1000),
        lambda: chip.load(hal.mapper(device).map(net.relay())),
        lambda: chip.mapping,
        lambda: chip.__enter__(),
        *(lambda mode=mode: chip.reset(mode) for mode in Reset),
    ]
    for call in calls:
        with pytest.raises(StateError, match="closed") as caught:
            call()
        assert "hal.open" in caught.value.hint


def test_a_with_block_closes_also_on_an_error(net: Any, toy: Any) -> None:
    with pytest.raises(ZeroDivisionError), hal.open("toy") as chip:
        raise ZeroDivisionError
    assert chip.state == "closed"


def test_repr_says_name_kind_and_state(net: Any, toy: Any) -> None:
    chip = opened(net, "toy")
    assert all(word in repr(chip) for word in ("toy", "emulator", "loaded"))
    chip.close()
    assert "closed" in repr(chip)


def test_a_load_that_fails_leaves_nothing_to_run(net: Any, toys: Any) -> None:
    class Picky(toys.Device):
        def _load(self, mapping: Any) -> None:
            super()._load(mapping)
            if mapping.config.lane == 1:
                raise DoesNotFitError(hal.FitReport(device="toy"))

    toys.add(device=Picky)
    mapping = hal.mapper("toy").map(net.relay())
    chip = hal.open("toy")
    chip.load(mapping)
    with pytest.raises(DoesNotFitError):
        chip.load(attrs.evolve(mapping, config=attrs.evolve(mapping.config, lane=1)))
    with pytest.raises(StateError):
        chip.run({}, 1000)
    chip.load(mapping)
    chip.run({}, 1000)


def test_what_is_loaded_must_be_a_mapping_for_this_device(net: Any, toys: Any) -> None:
    toys.add()
    toys.add("cousin", loads=("toy",), aliases=("nephew",))
    mapping = hal.mapper("toy").map(net.relay())
    with hal.open("ideal") as chip, pytest.raises(ConfigError, match="toy") as caught:
        chip.load(mapping)
    assert "hal.mapper('ideal')" in caught.value.hint
    for name in ("cousin", "nephew", "toy@test"):
        with hal.open(name) as chip:
            chip.load(mapping)
            assert chip.run({"input": hal.events([1], [0])}, 10).spikes["output"].tolist() == [(1, 0)]
    with hal.open("toy") as chip:
        with pytest.raises(ConfigError):
            chip.load(hal.mapper("cousin").map(net.relay()))
        for wrong in (None, "m.zip", mapping.config):
            with pytest.raises(ConfigError):
                chip.load(wrong)


# --- resets ----------------------------------------------------------------------------------------------------------


def test_what_each_reset_takes_back(net: Any, toy: Any) -> None:
    after = {}
    for mode in (None, *Reset):
        with opened(net, "toy", delay_ns=800) as chip:
            chip.run({"input": hal.events([500], [0])}, 1000)
            if mode:
                chip.reset(mode)
            if chip.state == "open":
                chip.load(hal.mapper("toy").map(net.relay()))
            number, t0 = chip.run_number, chip.t0_ns
            recording = chip.run({}, 1000)
            after[mode] = (number, t0, len(recording.spikes["output"]), int(recording.stats["learned"][0]))
    assert after == {
        None: (1, 1000, 1, 2),
        Reset.STATE: (1, 0, 0, 2),
        Reset.LOADED: (0, 0, 0, 1),
        Reset.CONFIG: (0, 0, 0, 1),
        Reset.POWER: (0, 0, 0, 1),
    }


@pytest.mark.parametrize("device", LOADED_DEVICES)
@pytest.mark.parametrize("mode", list(Reset))
def test_resets_in_every_state(net: Any, toy: Any, device: str, mode: Reset) -> None:
    with hal.open(device) as chip:
        chip.reset(mode)
        assert chip.state == "open"
        chip.load(hal.mapper(device).map(net.relay()))
        chip.reset(mode)
        assert chip.state == ("loaded" if mode in (Reset.STATE, Reset.LOADED) else "open")
        chip.reset(mode)


@pytest.mark.parametrize("device", LOADED_DEVICES)
def test_after_a_reset_a_run_is_the_first_again(net: Any, toy: Any, device: str) -> None:
    model = net.relay(threshold=3)
    stimulus = {"input": hal.events([0, 0, 1000], [0, 1, 0])}
    with opened(net, device, model, delay_ns=1500) if device == "toy" else opened(net, device, model) as chip:
        first = chip.run(stimulus, 3000)
        chip.run(stimulus, 3000)
        chip.reset(Reset.LOADED)
        same(chip.run(stimulus, 3000), first)


@pytest.mark.parametrize("mode", ["state", "STATE", 1, None, "nonsense"])
def test_a_reset_is_one_of_four(net: Any, toy: Any, mode: Any) -> None:
    with opened(net, "toy") as chip, pytest.raises(ConfigError):
        chip.reset(mode)


# --- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", LOADED_DEVICES)
def test_runs_are_placed_one_after_another_and_numbered(net: Any, toy: Any, device: str) -> None:
    with opened(net, device) as chip:
        seen = [(r.t0_ns, r.duration_ns, r.header.run) for r in (chip.run({}, d) for d in (1000, 3000, 0, 2000))]
        assert seen == [(0, 1000, 0), (1000, 3000, 1), (4000, 0, 2), (4000, 2000, 3)]
        assert (chip.run_number, chip.t0_ns) == (4, 6000)
        chip.reset(Reset.STATE)
        assert (chip.run_number, chip.t0_ns) == (4, 0)
        chip.reset(Reset.LOADED)
        assert (chip.run_number, chip.t0_ns) == (0, 0)
        chip.run({}, 1000)
        chip.load(hal.mapper(device).map(net.relay()))
        assert (chip.run_number, chip.t0_ns) == (0, 0)


@pytest.mark.parametrize("device", LOADED_DEVICES)
def test_every_recorded_time_lies_in_the_run(net: Any, toy: Any, device: str) -> None:
    with opened(net, device, record=["cells", "input"]) as chip:
        recording = chip.run({"input": hal.events([0, 999, 1000, 2900], [0, 1, 0, 1])}, 3000)
    for spikes in recording.spikes.values():
        assert len(spikes) == 4
        assert spikes["t"].min() >= 0
        assert spikes["t"].max() < 3000
        assert (np.diff(spikes["t"]) >= 0).all()


def test_an_event_belongs_to_its_step_and_a_spike_is_stamped_at_its_start(net: Any) -> None:
    with opened(net, "ideal") as chip:
        recording = chip.run({"input": hal.events([0, 999, 1000, 2900], [0, 1, 0, 1])}, 3000)
    assert recording.spikes["output"].tolist() == [(0, 0), (0, 1), (1000, 0), (2000, 1)]
    assert recording.raster("output").tolist() == [[1, 1], [1, 0], [0, 1]]


def test_what_is_under_way_is_pending_and_comes_out_in_the_next_run(net: Any, toy: Any) -> None:
    with opened(net, "toy", delay_ns=800) as chip:
        first = chip.run({"input": hal.events([100, 500, 600], [0, 0, 1])}, 1000)
        second = chip.run({}, 1000)
    assert first.spikes["output"].tolist() == [(900, 0)]
    assert first.stats["pending"].tolist() == [2]
    assert second.spikes["output"].tolist() == [(300, 0), (400, 1)]
    assert second.stats["pending"].tolist() == [0]


def test_a_delay_line_of_the_reference_is_pending_too(net: Any) -> None:
    model = net.chain(net.input("input", 1), net.delay("late", 3.0), net.spiking("cells", 1), net.output("output", 1))
    with opened(net, "ideal", model) as chip:
        first = chip.run({"input": hal.events([0], [0])}, 2000)
        second = chip.run({}, 2000)
    assert len(first.spikes["output"]) == 0
    assert second.spikes["output"].tolist() == [(1000, 0)]
    assert first.stats["pending"].tolist() == [1]
    assert second.stats["pending"].tolist() == [0]


@pytest.mark.parametrize("device", LOADED_DEVICES)
def test_a_faulty_stimulus_is_refused_before_anything_runs(net: Any, toy: Any, device: str, tmp_path: Path) -> None:
    with opened(net, device) as chip:
        chip.run({}, 1000)
        with pytest.raises(ConfigError) as caught:
            chip.run({"input": hal.events([-5, 2000], [0, 9]), "x": 1}, 1000, to=tmp_path / "run")
        assert len(caught.value.problems) == 4
        assert (chip.run_number, chip.t0_ns) == (1, 1000)
        assert not (tmp_path / "run").exists()
        chip.run({}, 1000)


def test_durations_are_whole_steps_on_clocked_devices_and_any_on_others(net: Any, toy: Any) -> None:
    with opened(net, "ideal") as chip, pytest.raises(ConfigError, match="whole number of steps"):
        chip.run({}, 1500)
    with opened(net, "toy") as chip:
        assert chip.run({}, 1501).duration_ns == 1501


def test_chip_level_ports_take_stimuli_after_the_models(net: Any, toys: Any) -> None:
    toys.add(ports=(hal.Port("@clock", (1,)),))
    with opened(net, "toy") as chip:
        recording = chip.run({"@clock": hal.events([5], [0])}, 10)
        assert list(chip.seen) == ["input", "@clock"]
        assert recording.stimulus["@clock"].tolist() == [(5, 0)]
        with pytest.raises(ConfigError, match="@clok"):
            chip.run({"@clok": hal.events([5], [0])}, 10)


# --- clocks of other kinds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("speedup", "limit"), [(1.0, 500), (10.0, 5000), (0.5, 250)])
def test_the_longest_run_is_in_device_time(net: Any, toys: Any, speedup: float, limit: int) -> None:
    toys.add(clock=Clock(kind="continuous", max_run_ns=500), speedup=speedup)
    with opened(net, "toy") as chip:
        chip.run({}, limit)
        with pytest.raises(ConfigError, match="longer") as caught:
            chip.run({}, limit + 1)
        assert caught.value.problems[0].limit == limit
        with pytest.raises(ConfigError, match="longer"):
            chip.run_batch({"input": [SILENCE]}, limit + 1)


@pytest.mark.parametrize(("speedup", "grid"), [(1.0, 8), (10.0, 80), (0.5, 4)])
def test_events_are_floored_to_the_quantum_and_the_number_moved_is_a_diagnostic(
    net: Any, toys: Any, speedup: float, grid: int
) -> None:
    toys.add(clock=Clock(kind="continuous", quantum_in_ns=8), speedup=speedup)
    t = np.array([0, grid - 1, grid, grid + 1, 3 * grid + 2])
    with opened(net, "toy") as chip:
        recording = chip.run({"input": hal.events(t, np.zeros(5, int))}, 1000)
        assert recording.spikes["output"]["t"].tolist() == (t // grid * grid).tolist()
        (said,) = [finding for finding in recording.diagnostics if "quantum" in f"{finding.field} {finding.reason}"]
        assert "3" in str(said)
        exact = chip.run({"input": hal.events([0, grid], [0, 0])}, 1000)
        assert exact.diagnostics == ()
        batch = chip.run_batch({"input": [hal.events(t, np.zeros(5, int)), hal.events([0], [0])]}, 1000)
        assert batch.spikes["output"][0]["t"].tolist() == (t // grid * grid).tolist()
        assert [len(said) for said in batch.diagnostics] == [1, 0]


def test_a_device_that_runs_on_by_itself_runs_without_continuation(net: Any, toys: Any) -> None:
    toys.add(clock=Clock(kind="continuous", free_running=True), capabilities=toys.ALL - {"run.continue"})
    with opened(net, "toy") as chip:
        assert [r.t0_ns for r in (chip.run({}, 10), chip.run({}, 10))] == [0, 10]


# --- what breaks a run off -------------------------------------------------------------------------------------------


def test_a_time_out_keeps_what_was_recorded_and_asks_for_a_reset(net: Any, toy: Any) -> None:
    with opened(net, "toy", slow_s=0.05) as chip:
        t = np.arange(0, 1000, 100)
        began = time.perf_counter()
        with pytest.raises(DeviceTimeoutError, match=r"0\.12 s") as caught:
            chip.run({"input": hal.events(t, np.zeros(10, int))}, 1000, timeout_s=0.12)
        assert time.perf_counter() - began < 0.4
        partial = caught.value.data["recording"]
        assert partial.status == "interrupted"
        reached = caught.value.data["t_ns"]
        assert partial.spikes["output"]["t"].tolist() == t[t < reached].tolist()
        assert 0 < len(partial.spikes["output"]) < 10
        assert (chip.run_number, chip.t0_ns) == (0, 0)
        assert chip.state == "loaded"
        with pytest.raises(StateError, match="broken off") as again:
            chip.run({}, 1000)
        assert "reset" in again.value.hint
        with pytest.raises(StateError, match="broken off"):
            chip.run_batch({"input": [SILENCE]}, 1000)
        chip.reset()
        assert chip.run({}, 1000).status == "ok"


@pytest.mark.parametrize(("fail", "error"), [("interrupt", KeyboardInterrupt), ("error", RuntimeError)])
def test_an_interrupt_or_error_keeps_what_was_recorded_on_disk(
    net: Any, toy: Any, tmp_path: Path, fail: str, error: type[BaseException]
) -> None:
    with opened(net, "toy", fail=fail) as chip:
        with pytest.raises(error):
            chip.run({"input": hal.events(np.arange(0, 1000, 100), np.zeros(10, int))}, 1000, to=tmp_path / "run")
        partial = hal.read_recording(tmp_path / "run")
        assert partial.status == "interrupted"
        assert partial.spikes["output"]["t"].tolist() == [0, 100, 200, 300, 400]
        with pytest.raises(StateError, match="broken off"):
            chip.run({}, 1000)
        chip.load(chip.mapping)
        with pytest.raises(error):
            chip.run({}, 1000)


def test_an_interrupt_or_error_keeps_what_was_recorded_in_memory(net: Any, toy: Any) -> None:
    for fail, error in (("interrupt", KeyboardInterrupt), ("error", RuntimeError)):
        with opened(net, "toy", fail=fail) as chip:
            recorder = Keeping()
            with pytest.raises(error):
                chip.run({"input": hal.events([0, 900], [0, 0])}, 1000, recorder=recorder)
            assert recorder.kept.status == "interrupted"
            assert recorder.kept.spikes["output"].tolist() == [(0, 0)]


class Keeping(MemoryRecorder):
    """Remembers what it made."""

    kept: Any = None

    def finish(self, status: Any) -> Any:
        self.kept = super().finish(status)
        return self.kept


def test_ctrl_c_from_outside_ends_a_real_run(net: Any, request: pytest.FixtureRequest) -> None:
    import _thread

    # tests started in the background of a shell inherit a Ctrl-C that is ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with opened(net, "ideal") as chip:
        chip.run({}, 1000)  # compiles
        threading.Timer(0.3, _thread.interrupt_main).start()
        with pytest.raises(KeyboardInterrupt):
            chip.run({}, 10**12)
        with pytest.raises(StateError, match="broken off"):
            chip.run({}, 1000)
        chip.reset()
        chip.run({}, 1000)


@pytest.mark.parametrize("device", ["ideal", "speck2f"])
def test_installed_devices_keep_a_time_out(net: Any, device: str) -> None:
    with opened(net, device) as chip:
        chip.run({"input": hal.events([0], [0])}, 1000)  # compiles
        n = 2_000_000
        many = hal.events(np.arange(n), np.zeros(n, int))
        began = time.perf_counter()
        with pytest.raises(DeviceTimeoutError) as caught:
            chip.run({"input": many}, n * 1000, timeout_s=0.01)
        assert time.perf_counter() - began < 2
        assert 0 < caught.value.data["t_ns"] < n * 1000
        assert len(caught.value.data["recording"].spikes["output"]) > 0


@pytest.mark.parametrize("timeout", [-1, float("nan"), "5", True, [1]])
def test_a_time_out_is_a_number_of_seconds(net: Any, toy: Any, timeout: Any) -> None:
    with opened(net, "toy") as chip:
        with pytest.raises(ConfigError, match="time-out"):
            chip.run({}, 1000, timeout_s=timeout)
        with pytest.raises(ConfigError, match="time-out"):
            chip.run_batch({"input": [SILENCE]}, 1000, timeout_s=timeout)
        chip.run({}, 1000, timeout_s=60)


def test_a_recorder_that_cannot_finish_breaks_the_run_off(net: Any, toy: Any) -> None:
    class Full(MemoryRecorder):
        def _finish(self, header: Any, status: Any) -> Any:
            raise OSError("disk full")

    with opened(net, "toy") as chip:
        with pytest.raises(OSError, match="disk full"):
            chip.run({}, 1000, recorder=Full())
        with pytest.raises(StateError, match="broken off"):
            chip.run({}, 1000)


def test_a_stalled_chip_is_untrusted(net: Any, toy: Any) -> None:
    with opened(net, "toy", stall_index=1) as chip:
        good = chip.run({"input": hal.events([0], [0])}, 1000)
        bad = chip.run({"input": hal.events([0], [1])}, 1000)
    assert (good.status, bad.status) == ("ok", "untrusted")
    assert bad.intervals.tolist() == [("stall", 0, 0, 1000)]
    assert bad.stats["stalled_ns"].tolist() == [1000]
    assert bad.diagnostics[0].field == "stall"


# --- where the output goes -------------------------------------------------------------------------------------------


def test_to_and_recorder_exclude_each_other_and_an_existing_directory_is_refused(
    net: Any, toy: Any, tmp_path: Path
) -> None:
    with opened(net, "toy") as chip:
        with pytest.raises(ConfigError, match="either"):
            chip.run({}, 1000, to=tmp_path / "a", recorder=MemoryRecorder())
        (tmp_path / "there").mkdir()
        with pytest.raises(ConfigError, match="there"):
            chip.run({}, 1000, to=tmp_path / "there")
        assert chip.run_number == 0
        on_disk = chip.run({"input": hal.events([5], [0])}, 1000, to=tmp_path / "new")
        assert on_disk.path == tmp_path / "new"
        assert on_disk.spikes["output"].tolist() == [(5, 0)]


def test_a_recorder_in_use_is_refused(net: Any, toy: Any) -> None:
    with opened(net, "toy") as chip:
        recorder = MemoryRecorder()
        chip.run({}, 1000, recorder=recorder)
        chip.run({}, 1000, recorder=recorder)
        recorder.start(chip.run({}, 1000).header)
        with pytest.raises(StateError):
            chip.run({}, 1000, recorder=recorder)


@pytest.mark.parametrize("device", LOADED_DEVICES)
def test_a_probed_input_records_what_was_fed_in(net: Any, toy: Any, device: str) -> None:
    given_events = hal.events([0, 1000], [1, 0])
    recording = net.run(device, net.relay(), {"input": given_events}, 2000, record=["input"])
    assert recording.spikes["input"].tolist() == given_events.tolist()


# --- provenance, counters --------------------------------------------------------------------------------------------


def test_provenance_says_what_ran(net: Any, toys: Any) -> None:
    toys.add(profile=toys.Profile, capabilities=toys.ALL | {"profile"})
    profile = toys.Profile(id="chip 7")
    model = net.relay()
    with hal.open("toy", profile=profile, seed=5, delay_ns=3) as chip:
        chip.load(hal.mapper("toy", profile=profile).map(model))
        recording = chip.run({}, 1000)
    said = recording.provenance
    assert said["neurohal"] == hal.__version__
    assert said["options"]["delay_ns"] == 3
    assert said["model"] == model.fingerprint
    assert said["semantics"] == model.semantics.to_json()
    assert said["profile_id"] == "chip 7"
    assert (recording.header.seed, recording.device, recording.header.kind) == (5, "toy", "emulator")


SPECK = {"dropped_by_pooling", "decimated", "unclassified", "ticks"}


def test_counters_are_the_closed_set_and_those_declared(net: Any, toy: Any) -> None:
    for device, own in (("ideal", set()), ("toy", {"learned", "noise"}), ("speck2f", SPECK)):
        stats = net.run(device, net.relay(), {"input": hal.events([0, 1000], [0, 1])}, 2000).stats
        assert set(stats) == set(COUNTERS) | own
        assert all(values.shape == (hal.registry.spec(device).cores,) for values in stats.values())
        assert stats["events_in"].sum() == 2


@pytest.mark.parametrize("device", LOADED_DEVICES)
def test_the_stimulus_of_a_recording_repeats_the_run(net: Any, toy: Any, device: str) -> None:
    with opened(net, device) as chip:
        events = hal.events([0, 1000], [0, 1])
        first = chip.run({"input": events}, 2000)
        events["index"] = 0
        chip.reset(Reset.LOADED)
        same(chip.run(first.stimulus, 2000), first)


# --- seeds -----------------------------------------------------------------------------------------------------------


def noise(recording: Any) -> int:
    return int(recording.stats["noise"].sum())


def test_noise_is_a_function_of_seed_and_run_number(net: Any, toy: Any) -> None:
    def numbers(seed: int) -> list[int]:
        with opened(net, "toy", noise=True, seed=seed) as chip:
            return [noise(chip.run({}, 1000)) for _ in range(4)]

    assert numbers(1) == numbers(1)
    assert len(set(numbers(1))) == 4
    assert not set(numbers(1)) & set(numbers(2))


def test_state_goes_on_numbering_and_loaded_begins_again(net: Any, toy: Any) -> None:
    with opened(net, "toy", noise=True, seed=1) as chip:
        first, second = (noise(chip.run({}, 1000)) for _ in range(2))
        chip.reset(Reset.STATE)
        third = noise(chip.run({}, 1000))
        chip.reset(Reset.LOADED)
        assert noise(chip.run({}, 1000)) == first
    assert len({first, second, third}) == 3


def test_sample_b_of_a_batch_uses_the_noise_of_run_plus_b(net: Any, toy: Any) -> None:
    with opened(net, "toy", noise=True, seed=1) as chip:
        loop = [noise(chip.run({}, 1000)) for _ in range(6)]
        chip.reset(Reset.LOADED)
        noise(chip.run({}, 1000))
        batch = chip.run_batch({"input": [SILENCE] * 3}, 1000)
        last = noise(chip.run({}, 1000))
    assert batch.stats["noise"][:, 0].tolist() == loop[1:4]
    assert last == loop[4]


@pytest.mark.parametrize("seed", [-1, 1.5, "x", True, None])
def test_a_seed_is_a_number(toy: Any, seed: Any) -> None:
    with pytest.raises(ConfigError, match="seed"):
        hal.open("toy", seed=seed)


# --- individuals -----------------------------------------------------------------------------------------------------


def test_a_mapping_for_one_individual_is_refused_by_another(net: Any, toys: Any) -> None:
    toys.add(profile=toys.Profile, capabilities=toys.ALL | {"profile"})
    one, other = toys.Profile(id="one"), toys.Profile(id="other")
    mapping = hal.mapper("toy", profile=one).map(net.relay())
    hal.open("toy", profile=one).load(mapping)
    for chip in (hal.open("toy", profile=other), hal.open("toy")):
        with pytest.raises(ConfigError, match="individual"):
            chip.load(mapping)
        assert chip.state == "open"
    hal.open("toy", profile=other).load(hal.mapper("toy").map(net.relay()))


def test_a_profile_of_another_class_or_out_of_range_is_refused(toys: Any) -> None:
    toys.add(profile=toys.Profile, capabilities=toys.ALL | {"profile"})
    for profile in (toys.Config(gain=[1]), toys.Profile(id="x", bad=(-1,)), "one"):
        with pytest.raises(ConfigError, match="profile"):
            hal.open("toy", profile=profile)
        with pytest.raises(ConfigError, match="profile"):
            hal.mapper("toy", profile=profile)


def test_kinds_that_a_device_does_not_come_in(toy: Any) -> None:
    with pytest.raises(CapabilityError, match="hardware"):
        hal.open("toy", kind="hardware")


def test_open_options_are_checked_all_at_once(toy: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        hal.open("toy", delay_ns=-1, slow=1, fail="oops", seed=-1)
    assert {p.where for p in caught.value.problems} >= {"delay_ns", "slow", "fail", "seed"}


# --- batches ---------------------------------------------------------------------------------------------------------


def loop(chip: Any, samples: list[Any], duration: int) -> list[Any]:
    recordings = []
    for sample in samples:
        chip.reset(Reset.STATE)
        recordings.append(chip.run(sample, duration))
    return recordings


def batch_equals_loop(chip: Any, stimuli: Any, samples: list[Any], duration: int, workers: int) -> None:
    """Both from the same state; afterwards state, time and number are the same, too."""
    probe: dict[str, Any] = {}
    chip.reset(Reset.LOADED)
    chip.run(samples[0], duration)
    expected = loop(chip, samples, duration)
    after = (chip.t0_ns, chip.run_number)
    follow = chip.run(probe, duration)
    chip.reset(Reset.LOADED)
    chip.run(samples[0], duration)
    batch = chip.run_batch(stimuli, duration, workers=workers)
    assert len(batch) == len(samples)
    assert (chip.t0_ns, chip.run_number) == after
    for b, recording in enumerate(expected):
        same(batch[b], recording)
        assert {k: v.tolist() for k, v in batch[b].stimulus.items() if isinstance(v, np.ndarray)} == {
            k: v.tolist() for k, v in recording.stimulus.items() if isinstance(v, np.ndarray)
        }
    same(chip.run(probe, duration), follow)


samples_of_events = st.lists(
    st.lists(st.tuples(st.integers(0, 4999), st.integers(0, 1)), max_size=8), min_size=1, max_size=4
)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("device", LOADED_DEVICES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=samples_of_events)
def test_a_batch_equals_the_loop(net: Any, toy: Any, device: str, workers: int, runs: list[Any]) -> None:
    model = net.relay(threshold=2)
    events = [
        hal.events(*(np.array(c, int) for c in zip(*sorted(run), strict=True))) if run else SILENCE for run in runs
    ]
    options = {"delay_ns": 700, "noise": True, "stall_index": 1} if device == "toy" else {}
    record = ["cells", "input", hal.Probe("cells", "v")] if device != "toy" else ["cells", "input"]
    with opened(net, device, model, record, seed=3, **options) as chip:
        samples = [{"input": array} for array in events]
        batch_equals_loop(chip, {"input": EventBatch.of(events)}, samples, 5000, workers)


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("kind", ["relay", "readout", "encoder"])
@pytest.mark.parametrize("device", ["ideal", "speck2f"])
def test_a_batch_equals_the_loop_with_and_without_host_parts(net: Any, device: str, kind: str, workers: int) -> None:
    rng = np.random.default_rng(3)
    rasters = rng.integers(0, 3, (4, 6, 2))
    with opened(net, device, getattr(net, kind)(), record=["cells"]) as chip:
        samples = [{"input": raster} for raster in rasters]
        batch_equals_loop(chip, {"input": list(rasters)}, samples, 6000, workers)


def test_signals_of_a_batch_are_one_array(net: Any) -> None:
    for device in ("ideal", "speck2f"):
        with opened(net, device, net.readout()) as chip:
            batch = chip.run_batch({"input": [np.ones((5, 2), int), np.zeros((5, 2), int)]}, 5000)
        assert batch.signals["output"].shape == (2, 5, 1)
        assert batch.signals["output"][0].any()
        assert not batch.signals["output"][1].any()


@pytest.mark.parametrize("device", LOADED_DEVICES)
def test_a_batch_of_no_length_in_time(net: Any, toy: Any, device: str) -> None:
    with opened(net, device) as chip:
        batch = chip.run_batch({"input": [SILENCE, SILENCE]}, 0)
        assert (len(batch), chip.run_number, chip.t0_ns) == (2, 2, 0)
        assert len(batch.spikes["output"].events) == 0


@pytest.mark.parametrize("device", LOADED_DEVICES)
def test_a_batch_that_is_refused_changes_nothing(net: Any, toy: Any, device: str) -> None:
    with opened(net, device) as chip:
        chip.run({}, 1000)
        for stimuli, duration in (({}, 1000), ({"input": []}, 1000), ({"x": [1]}, 1000), ({"input": [SILENCE]}, -1)):
            with pytest.raises(ConfigError):
                chip.run_batch(stimuli, duration)
        assert (chip.run_number, chip.t0_ns) == (1, 1000)


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2", True, None])
def test_workers_are_a_positive_number(net: Any, toy: Any, workers: Any) -> None:
    with opened(net, "toy") as chip, pytest.raises(ConfigError, match="workers"):
        chip.run_batch({"input": [SILENCE]}, 1000, workers=workers)


def test_one_stalled_sample_is_untrusted_and_stops_nothing(net: Any, toy: Any) -> None:
    good, bad = hal.events([0], [0]), hal.events([0], [1])
    with opened(net, "toy", stall_index=1) as chip:
        batch = chip.run_batch({"input": [good, bad, good]}, 1000)
    assert batch.status == ("ok", "untrusted", "ok")
    assert [len(said) for said in batch.diagnostics] == [0, 1, 0]
    assert [len(found) for found in batch.intervals] == [0, 1, 0]
    assert batch.stats["stalled_ns"].shape == (3, 1)
    assert [len(batch.spikes["output"][b]) for b in range(3)] == [1, 1, 1]


def test_one_sample_that_raises_is_untrusted_and_stops_nothing(net: Any, toy: Any) -> None:
    good, bad = hal.events([0], [0]), hal.events([0], [1])
    with opened(net, "toy", fail_index=1) as chip:
        batch = chip.run_batch({"input": [good, bad, good]}, 1000)
        assert batch.status[0] == batch.status[2] == "ok"
        assert batch.status[1] in ("untrusted", "interrupted")
        assert "fell over" in str(batch.diagnostics[1])
        assert chip.run_number == 3
        chip.run({"input": good}, 1000)


def test_a_time_out_of_a_batch_bounds_the_whole(net: Any, toy: Any) -> None:
    with opened(net, "toy", slow_s=0.02) as chip:
        began = time.perf_counter()
        with pytest.raises(DeviceTimeoutError) as caught:
            chip.run_batch({"input": [SILENCE] * 20}, 1000, timeout_s=0.5)
        assert time.perf_counter() - began < 1.5
        assert caught.value.data["timeout_s"] == 0.5
        with pytest.raises(StateError, match="broken off"):
            chip.run({}, 1000)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_batch_engine_that_breaks_off_asks_for_a_reset(net: Any, toys: Any, error: type[BaseException]) -> None:
    class Breaking(toys.Device):
        def _run_batch(self, stimulus: Any, duration_ns: int, workers: int) -> Any:
            raise error("in the engine")

    toys.add(device=Breaking)
    with opened(net, "toy") as chip:
        with pytest.raises(error):
            chip.run_batch({"input": [SILENCE]}, 1000)
        with pytest.raises(StateError, match="broken off"):
            chip.run({}, 1000)
        chip.reset()
        chip.run({}, 1000)


# --- continuation ----------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(1, 7), max_size=3, unique=True).map(sorted),
    rows=st.lists(st.tuples(st.integers(0, 7999), st.integers(0, 1)), max_size=12).map(sorted),
    device=st.sampled_from(LOADED_DEVICES),
)
def test_short_runs_one_after_another_are_one_long_run(
    net: Any, toy: Any, cuts: list[int], rows: list[tuple[int, int]], device: str
) -> None:
    model = net.relay(threshold=2)
    whole = hal.events(np.array([t for t, _ in rows], int), np.array([i for _, i in rows], int))
    with opened(net, device, model, **({"delay_ns": 1300} if device == "toy" else {})) as chip:
        expected = chip.run({"input": whole}, 8000).spikes["output"].tolist()
        chip.reset()
        found = []
        for start, end in itertools.pairwise([0, *(cut * 1000 for cut in cuts), 8000]):
            part = whole[(whole["t"] >= start) & (whole["t"] < end)].copy()
            part["t"] -= start
            recording = chip.run({"input": part}, end - start)
            assert recording.t0_ns == start
            found += [(int(t) + recording.t0_ns, int(i)) for t, i in recording.spikes["output"].tolist()]
    assert found == expected


def test_run_overhead_stays_small(net: Any, toy: Any, benchmark: Any) -> None:
    with opened(net, "speck2f") as chip:
        recording = benchmark(chip.run, {}, 1000)
    assert recording.status == "ok"


# --- what is left of a broken-off run, and of a batch ----------------------------------------------------------------


@pytest.mark.parametrize(("fail", "error"), [("interrupt", KeyboardInterrupt), ("error", RuntimeError)])
def test_what_was_recorded_before_a_break_stays_at_hand(
    net: Any, toy: Any, fail: str, error: type[BaseException]
) -> None:
    with opened(net, "toy", fail=fail) as chip:
        assert chip.partial is None
        with pytest.raises(error):
            chip.run({"input": hal.events([0, 900], [0, 0])}, 1000)
        assert chip.partial.status == "interrupted"
        assert chip.partial.spikes["output"].tolist() == [(0, 0)]


def test_a_good_run_leaves_nothing_partial(net: Any, toy: Any) -> None:
    with opened(net, "toy", fail_index=1) as chip:
        with pytest.raises(RuntimeError):
            chip.run({"input": hal.events([0], [1])}, 1000)
        assert chip.partial is not None
        chip.reset()
        chip.run({}, 1000)
        assert chip.partial is None


def test_a_time_out_of_a_batch_keeps_the_finished_samples(net: Any, toy: Any) -> None:
    with opened(net, "toy", slow_s=0.01) as chip:
        samples = [hal.events([b], [0]) for b in range(20)]
        with pytest.raises(DeviceTimeoutError) as caught:
            chip.run_batch({"input": samples}, 1000, timeout_s=0.35)
    finished = caught.value.data["recordings"]
    assert 0 < len(finished) < 20
    assert [recording.spikes["output"].tolist() for recording in finished] == [[(b, 0)] for b in range(len(finished))]


def test_a_bad_last_sample_leaves_dynamics_that_nobody_knows(net: Any, toy: Any) -> None:
    with opened(net, "toy", fail_index=1) as chip:
        batch = chip.run_batch({"input": [hal.events([0], [0]), hal.events([0], [1])]}, 1000)
        assert batch.status == ("ok", "untrusted")
        with pytest.raises(StateError, match="broken off"):
            chip.run({}, 1000)
        chip.reset()
        chip.run({}, 1000)


def test_a_time_out_bounds_the_host_too(net: Any) -> None:
    n = 200_000
    with opened(net, "speck2f", net.readout()) as chip:
        chip.run({"input": hal.events([0], [0])}, 1000)  # compiles
        began = time.perf_counter()
        with pytest.raises(DeviceTimeoutError) as caught:
            chip.run({"input": hal.events([0], [0])}, n * 1000, timeout_s=0.1)
        assert time.perf_counter() - began < 1
        assert caught.value.data["recording"].device == "speck2f"


@pytest.mark.parametrize("device", ["ideal", "speck2f"])
def test_a_long_run_is_heard_of_often(net: Any, device: str) -> None:
    """`advance` at least every 0.1 s: flush, progress, time-out and Ctrl-C depend on it."""
    shape = (2, 16, 16)
    rng = np.random.default_rng(1)
    model = net.chain(
        net.input("input", *shape), net.conv("conv", rng.integers(-3, 4, (8, 2, 3, 3)), (16, 16)),
        net.spiking("cells", 8, 14, 14, v_threshold=5), net.output("output", 8, 14, 14),
    )  # fmt: skip
    n, steps = 300_000, 2000
    stimulus = {"input": hal.events(np.sort(rng.integers(0, steps * 1000, n)), rng.integers(0, 512, n))}
    with opened(net, device, model, **({"rate": None} if device == "speck2f" else {})) as chip:
        chip.run({"input": hal.events([0], [0])}, 1000)  # compiles
        recorder = MemoryRecorder()
        times = [time.perf_counter()]
        recorder.on_advance.append(lambda t_ns: times.append(time.perf_counter()))
        chip.run(stimulus, steps * 1000, recorder=recorder)
    gaps = np.diff(times)
    assert len(gaps) > 3
    assert np.median(gaps) < 0.1
    assert gaps.max() < 0.5


@pytest.mark.parametrize("device", ["ideal", "speck2f"])
def test_a_final_state_is_one_sample_at_the_last_nanosecond(net: Any, device: str) -> None:
    with opened(net, device, net.relay(threshold=3), [hal.Probe("cells", "v")]) as chip:
        trace = chip.run({"input": hal.events([0, 1000], [0, 0])}, 3000).traces["cells", "v"]
        assert trace.t.tolist() == [2999]
        assert trace.values.shape == (1, 2)
        assert trace.values[0, 0] > trace.values[0, 1] == 0
        assert chip.run({}, 0).traces["cells", "v"].t.tolist() == []


def test_spikes_of_a_node_before_a_pool_are_unpooled_and_those_of_the_output_pooled(net: Any) -> None:
    parts = [
        net.input("input", 1, 4, 4),
        net.conv("conv", np.ones((1, 1, 1, 1)), (4, 4)),
        net.spiking("x", 1, 4, 4),
        net.sum_pool("pool", (1, 4, 4), 2),
        net.output("output", 1, 2, 2),
    ]
    stimulus = {"input": hal.events([0, 1000, 2000], [0, 5, 15])}
    for device in ("speck2f", "ideal"):
        recording = net.run(device, net.chain(*parts), stimulus, 3000, record=["x"])
        assert recording.spikes["x"]["index"].tolist() == [0, 5, 15]
        assert recording.spikes["output"]["index"].tolist() == [0, 0, 3]


def test_like_goes_on_with_the_same_device(net: Any) -> None:
    for device in ("ideal", "speck2f"):
        mapper = hal.mapper(device)
        first = mapper.map(net.relay())
        with hal.open(device, **({"rate": None} if device == "speck2f" else {})) as chip:
            chip.load(first)
            chip.run({"input": hal.events([0], [0])}, 1000)
            chip.load(mapper.map(net.relay(threshold=2), like=first))
            recording = chip.run({"input": hal.events([0, 1000], [0, 0])}, 2000)
        assert recording.spikes["output"].tolist() == [(1000, 0)]


def test_a_second_thread_is_told_that_the_device_is_busy(net: Any) -> None:
    import threading

    inside, leave = threading.Event(), threading.Event()
    errors: list[Exception] = []

    class Waiting(hal.MemoryRecorder):
        def advance(self, t_ns: int) -> None:
            inside.set()
            leave.wait(10)
            super().advance(t_ns)

    with hal.open("ideal") as chip:
        chip.load(hal.mapper("ideal").map(net.relay()))
        duration = 4 * (chip.mapping.step_ns or 1)
        runner = threading.Thread(target=lambda: chip.run({}, duration, recorder=Waiting()))
        runner.start()
        assert inside.wait(10)
        for call in (lambda: chip.run({}, duration), chip.reset, chip.close, lambda: chip.load(chip.mapping)):
            try:
                call()
            except hal.DeviceBusyError as error:
                errors.append(error)
        leave.set()
        runner.join(10)
        assert len(errors) == 4
        assert "one device per thread" in str(errors[0])
        assert chip.run({}, duration).status == "ok"
        assert pickle.loads(pickle.dumps(chip)).state == "loaded"


# --- grids and steps of devices without either -----------------------------------------------------------------------


@pytest.mark.parametrize("speedup", [1.0, 2.0])
def test_a_batch_engine_gets_times_on_the_grid_and_the_recording_has_those_given(
    net: Any, toys: Any, speedup: float
) -> None:
    class Engine(toys.Device):
        def _run_batch(self, stimulus: Any, duration_ns: int, workers: int) -> Any:
            self.given = stimulus
            made = []
            for sample in stimulus:
                self.under_way = SILENCE
                recorder = MemoryRecorder()
                recorder.start(attrs.evolve(self._header(duration_ns, sample), run=self.run_number + len(made)))
                self._run(sample, duration_ns, recorder)
                recorder.note(Finding(level="note", node="", field="own", reason="said by the engine"))
                made.append(recorder.finish("ok"))
            return hal.BatchRecording.of(made)

    toys.add(device=Engine, speedup=speedup, clock=Clock(kind="continuous", quantum_in_ns=8))
    grid = int(8 * speedup)
    columns = [hal.events([grid, 2 * grid + 3], [0, 1]), hal.events([grid], [0]), SILENCE]
    with opened(net, "toy") as chip:
        expected = loop(chip, [{"input": column} for column in columns], 1000)
        chip.reset(Reset.LOADED)
        batch = chip.run_batch({"input": columns}, 1000)
        assert [sample["input"]["t"].tolist() for sample in chip.given] == [[grid, 2 * grid], [grid], []]
    assert [each.stimulus["input"].tolist() for each in batch] == [column.tolist() for column in columns]
    for b, each in enumerate(expected):
        assert batch[b].spikes["output"].tolist() == each.spikes["output"].tolist()
        assert batch.diagnostics[b][:-1] == each.diagnostics
        assert batch.diagnostics[b][-1].reason == "said by the engine"
    assert [len(said) for said in batch.diagnostics] == [2, 1, 1]
    assert f"the grid of {grid} ns" in batch.diagnostics[0][0].reason


@pytest.mark.parametrize(("kind", "whole"), [("signal", True), ("events", False)])
def test_where_values_go_out_runs_last_whole_steps(toys: Any, kind: Any, whole: bool) -> None:
    class Reads(toys.Mapper):
        def _adopt(self, config: Any) -> Any:
            made = super()._adopt(config)
            return attrs.evolve(made, outputs=(hal.Port("circuits", (1,), kind),), step_ns=10)

    class Silent(toys.Device):
        def _run(self, stimulus: Any, duration_ns: int, recorder: Any) -> None:
            recorder.advance(duration_ns)

    toys.add(mapper=Reads, device=Silent, clock=Clock(kind="continuous"))
    mapping = hal.mapper("toy").adopt(toys.Config(gain=np.zeros(1, np.int8)))
    with hal.open("toy") as chip:
        chip.load(mapping)
        assert chip.run({}, 20).duration_ns == 20
        if whole:
            with pytest.raises(ConfigError, match="whole number of steps"):
                chip.run({}, 25)
        else:
            assert chip.run({}, 25).duration_ns == 25
