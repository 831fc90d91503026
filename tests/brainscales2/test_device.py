"""The device through `hal.open`: what every option does and leaves alone, runs in pieces, losses, resets, limits."""

from __future__ import annotations

import itertools
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hal
from hal.device import Reset
from hal.errors import CapabilityError, ConfigError, StateError
from hal.events import Probe
from hal_brainscales2 import device as module
from hal_brainscales2.limits import MAX_RUN_CYCLES

END = 60_000
RECORD = ["n0", Probe("n0", "spike_s"), Probe("n0", "spike_i"), Probe("n0", "v_cadc", every_ns=600)]
WEIGHTS = [[6.0, 1.0, -2.0], [1.5, 5.0, 0.5]]
ONCE = {"refractory_s": {"n0": 20e-6}}


@pytest.fixture(scope="module")
def mapping(cuba: Any) -> Any:
    return cuba.map(WEIGHTS, record=RECORD)


def train(count: int = 40, every: int = 1_203) -> Any:
    return hal.events(np.arange(count) * every, np.arange(count) % 3)


def told(recording: Any) -> dict[str, Any]:
    """All that was recorded, as bytes and lists that can be compared."""
    out: dict[str, Any] = {name: events.tobytes() for name, events in recording.spikes.items()}
    out |= {key: (trace.t.tobytes(), trace.values.tobytes()) for key, trace in recording.traces.items()}
    out |= {key: values.tolist() for key, values in recording.stats.items()}
    out["intervals"] = recording.intervals.tolist()
    return out


def run(cuba: Any, mapping: Any, preset: str = "chip", **options: Any) -> Any:
    with cuba.open(mapping, preset, **options) as device:
        return device.run({"in": train()}, END)


def exact(recording: Any) -> Any:
    return recording.traces["n0", "spike_s"].values.ravel()


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["ideal", "chip", "mock"])
def test_presets_say_what_their_options_are(cuba: Any, mapping: Any, preset: str) -> None:
    silicon = preset != "ideal"
    noise = 1e-7 if preset == "mock" else 0.0
    with cuba.open(mapping, preset) as device:
        made = attrs.asdict(device.options)
    expected = {
        "preset": preset, "stamps": silicon, "offset_s": noise, "jitter_s": noise, "adc": silicon,
        "clipping": silicon, "saturation": None, "link_event_s": 8e-9 if silicon else 0.0, "link_capacity": 1024,
        "chip_seed": 0,
    }  # fmt: skip
    assert {name: made[name] for name in expected} == expected
    assert {name: type(made[name]) for name in ("stamps", "adc", "clipping")} == dict.fromkeys(
        ("stamps", "adc", "clipping"), bool
    )


def test_the_usual_preset_is_the_chip_s(mapping: Any) -> None:
    with hal.open("brainscales2") as device:
        assert device.options.preset == "chip"
        assert device.options.stamps is True


def test_an_option_that_is_given_is_not_the_preset_s(cuba: Any, mapping: Any) -> None:
    with cuba.open(mapping, "mock", jitter_s=0.0, adc=False) as device:
        assert (device.options.jitter_s, device.options.offset_s, device.options.adc) == (0.0, 1e-7, False)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"preset": "silicon"}, "preset"),
        ({"offset_s": 2e-5}, "offset_s"),
        ({"jitter_s": -1e-9}, "jitter_s"),
        ({"link_event_s": -1.0}, "link_event_s"),
        ({"link_capacity": 0}, "link_capacity"),
        ({"chip_seed": -1}, "chip_seed"),
        ({"saturation": 0.0}, "saturation"),
        ({"jiter_s": 0.0}, "jitter_s"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        hal.open("brainscales2", **options)


def test_boards_are_refused() -> None:
    with pytest.raises(CapabilityError, match="boards are not driven from here"):
        hal.open("brainscales2", kind="hardware")


def test_stamps_alone_move_spikes_to_the_cycle_before(cuba: Any, mapping: Any) -> None:
    on_grid = train(every=1_200)
    with cuba.open(mapping) as free, cuba.open(mapping, stamps=True) as stamped:
        plain, coarse = (device.run({"in": on_grid}, END) for device in (free, stamped))
    np.testing.assert_array_equal(coarse.spikes["n0"]["t"], plain.spikes["n0"]["t"] // 8 * 8)
    assert (plain.spikes["n0"]["t"] % 8).any()
    np.testing.assert_array_equal(exact(coarse), exact(plain))
    np.testing.assert_array_equal(coarse.traces["n0", "v_cadc"].values, plain.traces["n0", "v_cadc"].values)


@pytest.mark.parametrize("speedup", [1.0, 1000.0])
def test_stamps_put_inputs_on_the_grid_and_say_so_and_without_them_there_is_none(cuba: Any, speedup: float) -> None:
    mapping = cuba.map(WEIGHTS, tau_mem=12e-6 * speedup, tau_syn=6e-6 * speedup, options={"speedup": speedup})
    events = hal.events([3, int(8 * speedup), int(9 * speedup) + 1], [0, 0, 0])
    for stamps, moved in ((True, 2), (False, 0)):
        with cuba.open(mapping, stamps=stamps) as device:
            notes = device.run({"in": events}, int(END * speedup)).diagnostics
        assert sum(note.realised for note in notes if note.field == "quantum_in_ns") == moved
    quantum = int(8 * speedup)
    floored = hal.events(events["t"] // quantum * quantum, events["index"])
    for preset, same in (("chip", True), ("ideal", False)):
        first, second = (
            cuba.run(mapping, given["t"], given["index"], int(END * speedup), preset).spikes["n0"]
            for given in (events, floored)
        )
        assert (first.tolist() == second.tolist()) is same


@pytest.mark.parametrize("offset", [3e-7, -2e-7])
def test_offset_moves_what_the_host_is_told_and_nothing_else(cuba: Any, mapping: Any, offset: float) -> None:
    plain, moved = run(cuba, mapping), run(cuba, mapping, offset_s=offset)
    shift = round(offset * 1e9 / 8) * 8
    kept = plain.spikes["n0"]["t"] + shift < END
    np.testing.assert_allclose(
        moved.spikes["n0"]["t"], np.maximum(plain.spikes["n0"]["t"] + shift, 0)[kept], rtol=0, atol=8
    )
    np.testing.assert_array_equal(exact(moved), exact(plain)[kept])
    assert moved.stats["pending"].sum() == np.count_nonzero(~kept)
    key = "n0", "v_cadc"
    np.testing.assert_array_equal(moved.traces[key].values, plain.traces[key].values)


def test_jitter_moves_what_the_host_is_told_by_its_size_keeps_order_and_loses_nothing(cuba: Any) -> None:
    mapping = cuba.map([[20.0]] * 100, record=["n0", Probe("n0", "spike_s")], options={"scale": 3.0})
    t = np.arange(0, 50_000, 2_000)
    still = cuba.run(mapping, t, np.zeros_like(t), END)
    moved = cuba.run(mapping, t, np.zeros_like(t), END, jitter_s=2e-7)
    assert moved.spikes["n0"].size + moved.stats["pending"].sum() == still.spikes["n0"].size
    assert (np.diff(moved.spikes["n0"]["t"]) >= 0).all()
    off = moved.spikes["n0"]["t"] - exact(moved) * 1e9
    inside = (moved.spikes["n0"]["t"] > 2_000) & (moved.spikes["n0"]["t"] < END - 2_000)
    assert inside.sum() > 2_000
    assert off[inside].std() == pytest.approx(200, rel=0.1)
    assert abs(off[inside].mean()) < 5
    assert abs(off[inside]).max() <= 5 * 200 + 1
    assert sorted(exact(moved).tolist()) != exact(moved).tolist()


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 400), st.sampled_from([0.0, 1e-7, 2e-6]), st.integers(1, 3))
def test_spikes_read_after_the_end_are_pending_and_told_in_the_next_run(
    cuba: Any, mapping: Any, offset_ns: int, jitter: float, runs: int
) -> None:
    with cuba.open(mapping, "chip", offset_s=offset_ns * 1e-9, jitter_s=jitter) as device:
        parts = [device.run({"in": train(16)}, 20_000)] + [device.run({}, 20_000) for _ in range(runs)]
    fired = sum(part.stats["events_out"].sum() for part in parts)
    assert sum(part.spikes["n0"].size for part in parts) + parts[-1].stats["pending"].sum() == fired
    for before, part in itertools.pairwise(parts):
        assert np.count_nonzero(exact(part) < 0) <= before.stats["pending"].sum()
        assert (exact(part)[exact(part) < 0] * 1e9 > -offset_ns - 5 * jitter * 1e9 - 1).all()
    still = cuba.run(mapping, train(16)["t"], train(16)["index"], 20_000 * (runs + 1), "chip")
    every = np.sort(np.concatenate([exact(part) + part.t0_ns * 1e-9 for part in parts]))
    assert still.stats["events_out"].sum() == fired
    near = np.abs(np.subtract.outer(every, exact(still))).min(axis=1)
    assert near.max(initial=0) < 1e-15
    assert np.diff(every).min(initial=1) > 0


def test_an_event_takes_its_time_on_the_link(cuba: Any, mapping: Any) -> None:
    plain, late = run(cuba, mapping, "ideal"), run(cuba, mapping, "ideal", link_event_s=1e-7)
    np.testing.assert_allclose(exact(late), exact(plain) + 1e-7, rtol=0, atol=1e-15)
    currents = [recording.traces["n0", "spike_i"].values for recording in (plain, late)]
    np.testing.assert_allclose(*currents, rtol=1e-12)


def test_events_at_once_go_over_the_link_one_by_one(cuba: Any) -> None:
    mapping = cuba.map([[5.0, 0.0], [0.0, 5.0]], record=["n0", Probe("n0", "spike_s")], options=ONCE)
    recording = cuba.run(mapping, [0, 0], [1, 0], END, link_event_s=1e-7)
    assert recording.spikes["n0"]["index"].tolist() == [0, 1]
    assert exact(recording)[1] - exact(recording)[0] == pytest.approx(1e-7, abs=1e-15)


def test_an_adc_does_nothing_to_spikes(cuba: Any, mapping: Any) -> None:
    off, on = run(cuba, mapping, "ideal"), run(cuba, mapping, "ideal", adc=True)
    assert off.spikes["n0"].tobytes() == on.spikes["n0"].tobytes()
    values = [recording.traces["n0", "v_cadc"].values for recording in (off, on)]
    assert 0 < abs(values[0] - values[1]).max() <= 0.5 / 70 + 1e-12


# --- pieces -----------------------------------------------------------------------------------------------------------


def joined(parts: list[Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for node in parts[0].spikes:
        out[node] = [(int(t) + p.t0_ns, int(i)) for p in parts for t, i in p.spikes[node].tolist()]
    for key in parts[0].traces:
        out[key] = np.concatenate([p.traces[key].t + p.t0_ns for p in parts]).tolist()
        if key[1] != "spike_s":
            out[key, "values"] = np.concatenate([p.traces[key].values for p in parts]).tolist()
    out["stats"] = {name: sum(p.stats[name] for p in parts).tolist() for name in parts[0].stats if name != "pending"}
    out["pending"] = parts[-1].stats["pending"].tolist()
    return out


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(["ideal", "chip"]),
    st.lists(st.tuples(st.integers(0, END // 8 - 1), st.integers(0, 2)), max_size=60),
    st.lists(st.integers(1, END // 8 - 1), max_size=4, unique=True),
    st.integers(541, 3_000),
    st.sampled_from([0.0, 1e-7]),
)
def test_runs_in_pieces_are_the_whole_bit_for_bit(
    cuba: Any, preset: str, rows: list[Any], cuts: list[int], every: int, offset: float
) -> None:
    record = ["n0", Probe("n0", "spike_s"), Probe("n0", "spike_i"), Probe("n0", "v", every_ns=every)]
    mapping = cuba.map(WEIGHTS, record=record)
    t, index = np.array(sorted(rows), np.int64).reshape(-1, 2).T
    events = hal.events(t * 8, index)
    ends = [0, *(8 * cut for cut in sorted(cuts)), END]
    with cuba.open(mapping, preset, offset_s=offset) as device:
        whole = device.run({"in": events}, END)
        device.reset()
        parts = []
        for low, high in itertools.pairwise(ends):
            mine = events[(events["t"] >= low) & (events["t"] < high)].copy()
            mine["t"] -= low
            parts.append(device.run({"in": mine}, high - low))
    assert joined(parts) == joined([whole])


@pytest.mark.parametrize("speedup", [1.0, 2.5, 1e6])
def test_samples_are_every_so_often_over_many_runs(cuba: Any, speedup: float) -> None:
    mapping = None
    for every in (541, 547, 561, 571, 1_100, 1_300):
        every_ns = round(every * speedup * 2) // 2
        record = [Probe("n0", "v", every_ns=every_ns)]
        taus = {"tau_mem": 12e-6 * speedup, "tau_syn": 6e-6 * speedup}
        mapping = cuba.map([[3.0]], record=record, options={"speedup": speedup}, **taus)
        with cuba.open(mapping) as device:
            parts = [device.run({}, 3 * every_ns) for _ in range(40)]
        times = np.concatenate([part.traces["n0", "v"].t + part.t0_ns for part in parts])
        np.testing.assert_array_equal(times, np.arange(120) * every_ns)


@pytest.mark.parametrize(
    ("preset", "options"),
    [
        ("mock", {"link_capacity": 7, "link_event_s": 4e-8}),
        ("chip", {"offset_s": -2e-6}),
        ("chip", {"jitter_s": 1e-6}),
        ("mock", {"offset_s": 1e-6, "jitter_s": 3e-7}),
    ],
    ids=str,
)
def test_what_is_answered_does_not_depend_on_the_pieces_that_the_clock_on_the_wall_makes(
    cuba: Any, mapping: Any, monkeypatch: pytest.MonkeyPatch, preset: str, options: dict[str, Any]
) -> None:
    events = hal.events(np.sort(np.arange(6_000) % 2_000 * 25), np.arange(6_000) % 3)
    answers = []
    for size in (END, 7_000, 333):

        class Even:
            def __init__(self, *_: Any, length: int = size, **__: Any) -> None:
                self.length = length

            def pieces(self, duration_ns: int) -> Any:
                for start in range(0, duration_ns, self.length):
                    yield start, min(self.length, duration_ns - start)

        monkeypatch.setattr(module, "Pace", Even)
        with cuba.open(mapping, preset, **options) as device:
            recording = device.run({"in": events}, END)
        answers.append(told(recording))
        assert (np.diff(recording.spikes["n0"]["t"]) >= 0).all()
        assert recording.spikes["n0"].size > 100
    assert answers[0] == answers[1] == answers[2]
    assert (len(answers[0]["intervals"]) > 0) is ("link_capacity" in options)


# --- losses -----------------------------------------------------------------------------------------------------------


def test_events_that_find_the_link_full_are_counted_and_told_from_when_to_when(cuba: Any, mapping: Any) -> None:
    burst = [16] + [80] * 13 + [800] * 12 + [4_000] * 3
    with cuba.open(mapping, "chip", link_capacity=10) as device:
        recording = device.run({"in": hal.events(burst, [0] * len(burst))}, END)
    assert recording.stats["events_in"].tolist() == [len(burst), 0]
    assert recording.stats["dropped"].tolist() == [2 + 1, 0]
    assert recording.stats["synops"].sum() == 2 * (len(burst) - 3)
    assert recording.intervals.tolist() == [("dropped", 0, 80, 800)]


def test_losses_of_a_later_run_are_told_from_its_own_start(cuba: Any, mapping: Any) -> None:
    with cuba.open(mapping, "chip", link_capacity=1) as device:
        first = device.run({}, 20_000)
        second = device.run({"in": hal.events([400] * 4 + [4_000] * 3, [0] * 7)}, 20_000)
    assert first.intervals.size == 0
    assert second.intervals.tolist() == [("dropped", 0, 400, 4_000)]
    assert second.stats["dropped"].tolist() == [3, 0]


def test_spikes_that_find_the_link_full_are_counted_and_told_from_when_to_when(cuba: Any) -> None:
    mapping = cuba.map(np.full((60, 1), 6.0), record=["n0", Probe("n0", "spike_s")], options=ONCE)
    with cuba.open(mapping, "chip", link_capacity=9) as device:
        recording = device.run({"in": hal.events([1_000, 30_000], [0, 0])}, END)
        again = device.run({}, END)
    assert recording.stats["events_out"].sum() == 120
    assert recording.stats["dropped"].tolist() == [0, 100]
    assert recording.spikes["n0"].size == exact(recording).size == 20
    (row,) = recording.intervals.tolist()
    first, last = recording.spikes["n0"]["t"][[0, -1]]
    assert row[:2] == ("dropped", 1)
    assert 0 <= row[2] - first < 16
    assert 0 <= row[3] - last < 16
    assert (again.stats["dropped"].sum(), again.intervals.size) == (0, 0)


def test_events_still_on_the_link_are_pending_and_arrive_in_the_next_run(cuba: Any) -> None:
    mapping = cuba.map([[1.0]], record=["n0", Probe("n0", "v", every_ns=1_000)])
    with cuba.open(mapping, link_event_s=1e-6) as device:
        first = device.run({"in": hal.events([0] * 20, [0] * 20)}, 7_500)
        second = device.run({}, 30_000)
    assert (first.stats["events_in"][0], first.stats["synops"].sum(), first.stats["pending"][0]) == (20, 7, 13)
    assert (second.stats["events_in"][0], second.stats["synops"].sum(), second.stats["pending"][0]) == (0, 13, 0)


# --- resets and limits ------------------------------------------------------------------------------------------------


def test_state_is_at_rest_with_nothing_on_the_links(cuba: Any, mapping: Any) -> None:
    with cuba.open(mapping, "mock", link_event_s=1e-6, offset_s=1e-6, seed=4) as device:
        for mode in (Reset.STATE, Reset.LOADED):
            device.reset(mode)
            quiet = device.run({}, END)
            assert quiet.spikes["n0"].size == 0
            assert not any(values.any() for values in quiet.stats.values())
            rest = mapping.model.nodes["n0"].v_leak
            assert abs(quiet.traces["n0", "v_cadc"].values - rest).max() < 1e-12
            device.run({"in": train(49)}, END)


def test_loaded_goes_back_to_the_first_noise_and_state_does_not(cuba: Any, mapping: Any) -> None:
    with cuba.open(mapping, "mock") as device:
        first = told(device.run({"in": train()}, END))
        device.reset(Reset.STATE)
        second = told(device.run({"in": train()}, END))
        device.reset(Reset.LOADED)
        third = told(device.run({"in": train()}, END))
    assert first == third != second


@pytest.mark.parametrize("mode", [Reset.CONFIG, Reset.POWER])
def test_config_and_power_forget_what_was_loaded(cuba: Any, mapping: Any, mode: Reset) -> None:
    with cuba.open(mapping) as device:
        before = told(device.run({"in": train()}, END))
        device.reset(mode)
        with pytest.raises(StateError, match="nothing is loaded"):
            device.run({}, END)
        device.load(mapping)
        assert told(device.run({"in": train()}, END)) == before


@pytest.mark.parametrize("speedup", [1.0, 1000.0])
def test_a_run_is_as_long_as_the_playback_timer(cuba: Any, speedup: float) -> None:
    taus = {"tau_mem": 12e-6 * speedup, "tau_syn": 6e-6 * speedup}
    mapping = cuba.map([[6.0]], options={"speedup": speedup}, **taus)
    longest = int(MAX_RUN_CYCLES * 8 * speedup)
    assert longest == pytest.approx(34.36e9 * speedup, rel=1e-4)
    with cuba.open(mapping, "chip") as device:
        with pytest.raises(ConfigError, match=str(longest)):
            device.run({}, longest + 1)
        late = longest - int(10_000 * speedup)
        quantum = int(8 * speedup)
        late -= late % quantum
        recording = device.run({"in": hal.events([late], [0])}, longest)
    assert recording.spikes["n0"].size == 1
    spike = int(recording.spikes["n0"]["t"][0])
    assert spike % quantum == 0
    assert abs(spike - late - 2_856 * speedup) <= quantum


def test_a_run_of_no_time_changes_nothing(cuba: Any, mapping: Any) -> None:
    with cuba.open(mapping, "mock", offset_s=1e-6) as device:
        first = device.run({"in": train(25)}, 30_000)
        none = device.run({}, 0)
        rest = device.run({}, 30_000)
    assert first.stats["pending"].sum() > 0
    assert none.stats["pending"].tolist() == first.stats["pending"].tolist()
    assert none.spikes["n0"].size == 0
    total = first.spikes["n0"].size + rest.spikes["n0"].size + rest.stats["pending"].sum()
    assert total == first.stats["events_out"].sum() + rest.stats["events_out"].sum()


def test_counters_are_of_hemispheres(cuba: Any) -> None:
    mapping = cuba.map(np.full((3, 2), 6.0), np.full((2, 3), 6.0), options={"hemisphere": {"n0": 0, "n1": 1}},
                       record=["n0", "n1"])  # fmt: skip
    recording = cuba.run(mapping, [0, 0], [0, 1], END)
    n0, n1 = recording.spikes["n0"].size, recording.spikes["n1"].size
    assert n0 >= 3
    assert n1 >= 2
    assert recording.stats["events_in"].tolist() == [2, 0]
    assert recording.stats["events_out"].tolist() == [n0, n1]
    assert recording.stats["synops"].tolist() == [6, 2 * n0]
