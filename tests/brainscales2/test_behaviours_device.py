"""What a BrainScaleS-2 must do, through mapper and device: behaviours of its fact sheet by number, and golden times.

The golden weights are floats. One neuron can have them all the same: events at one instant add up, so each golden
event is sent as several, of integer weights that come near enough together. Its time is stretched by 1e6, so that a
ns of the recording is a fs on the chip.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hal
from hal.events import EventBatch, Probe
from hal.semantics import Semantics
from hal_emulators.cuba import Network, Neurons, Synapses

GOLDEN = Path(__file__).parent.parent / "golden" / "brainscales2"
FS = 1e6
WITHIN_S = 1e-12
END = 60_000
SINGLE = [("n0"), Probe("n0", "spike_s"), Probe("n0", "spike_i")]
GOLDEN_NS = 60_000_000_000
ROWS = 32
"""Over which a golden weight may be spread: six lines of these are what one circuit has."""
MOST = 63 * ROWS


def exact_weight(weight: float, code: int = 232) -> dict[str, Any]:
    """Options that make a weight that integer, so that it is realised to the last bits."""
    return {"scale": code / weight}


def soon_again(mapping: Any) -> Any:
    """With refractory periods of one cycle, 8 ns, in which membranes are free: no golden spike follows sooner."""
    made = mapping.config.refractory
    least = attrs.evolve(made, counter=np.ones_like(made.counter), holdoff_code=np.full_like(made.holdoff_code, 15))
    return mapping.with_config(attrs.evolve(mapping.config, refractory=least))


def seconds(recording: Any, node: str = "n0") -> Any:
    return recording.traces[node, "spike_s"].values.ravel()


# --- section 14 -------------------------------------------------------------------------------------------------------


def test_1_one_event_of_weight_6_makes_a_spike_when_the_closed_form_says(cuba: Any) -> None:
    recording = cuba.run(cuba.map([[6.0]], record=SINGLE), [0], [0], END)
    np.testing.assert_allclose(seconds(recording), [2.8488094338194285e-6], rtol=0, atol=WITHIN_S)
    assert recording.spikes["out"].tolist() == [(2848, 0)]


@pytest.mark.parametrize(("tau_mem", "least"), [(12e-6, 4.0), (6e-6, np.e)])
def test_2_a_peak_a_millionth_above_the_threshold_spikes_and_one_below_does_not(
    cuba: Any, tau_mem: float, least: float
) -> None:
    for share, spikes in ((1 + 1e-6, 1), (1 - 1e-6, 0)):
        weight = least * share
        mapping = cuba.map([[weight]], tau_mem=tau_mem, options=exact_weight(weight))
        assert cuba.run(mapping, [0], [0], END).spikes["n0"].size == spikes


@pytest.mark.parametrize("preset", ["ideal", "chip"])
def test_3_neurons_alike_all_keep_their_spikes(cuba: Any, preset: str) -> None:
    spikes = cuba.run(cuba.map(np.full((10, 1), 6.0)), [0], [0], END, preset).spikes["n0"]
    assert spikes["index"].tolist() == list(range(10))
    assert np.unique(spikes["t"]).size == 1


def test_4_events_at_one_time_are_one_of_their_sum(cuba: Any) -> None:
    mapping = cuba.map([[1.0, 2.0, 3.0, -1.0]], record=SINGLE)
    both = cuba.run(mapping, [5, 5, 5, 5], [0, 1, 2, 3], END)
    thrice = cuba.run(mapping, [5, 5, 5, 5, 5], [0, 0, 0, 1, 1], END)
    one = cuba.run(mapping, [5, 5], [2, 1], END)
    assert seconds(one).size == 1
    np.testing.assert_allclose(seconds(both), seconds(one), rtol=0, atol=1e-17)
    assert seconds(thrice)[0] < seconds(one)[0]


def test_5_a_ratio_of_3_gives_the_time_of_the_equations(cuba: Any) -> None:
    recording = cuba.run(cuba.map([[6.0]], record=SINGLE, tau_mem=18e-6), [0], [0], END)
    np.testing.assert_allclose(seconds(recording), [5.3657979e-6], rtol=0, atol=5e-14)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2)), max_size=20), st.randoms())
def test_6_the_order_of_events_at_one_time_changes_nothing(cuba: Any, rows: list[Any], random: Any) -> None:
    mapping = cuba.map([[3.0, -1.0, 0.7]], record=SINGLE)
    mixed = rows.copy()
    random.shuffle(mixed)
    mixed.sort(key=lambda row: row[0])
    told = []
    for events in (sorted(rows), mixed):
        t, index = np.array(events, np.int64).reshape(-1, 2).T
        recording = cuba.run(mapping, t * 400, index, END, "chip")
        told.append((recording.spikes["n0"].tolist(), seconds(recording).tobytes()))
    assert told[0] == told[1]


def test_6_events_out_of_order_in_time_are_refused(cuba: Any) -> None:
    with pytest.raises(hal.ConfigError, match="time goes back"):
        cuba.run(cuba.map([[3.0]]), [5, 3], [0, 0], END)


def test_7_no_spike_of_a_long_train_is_lost_uncounted(cuba: Any) -> None:
    mapping = cuba.map(np.full((40, 1), 6.0), options={"scale": 10.0})
    t = np.arange(2000) * 80
    whole, full = (
        cuba.run(mapping, t, np.zeros_like(t), 200_000, "chip", link_capacity=capacity) for capacity in (1 << 24, 1)
    )
    assert whole.spikes["n0"].size + whole.stats["pending"].sum() == whole.stats["events_out"].sum() > 40_000
    assert whole.stats["dropped"].sum() == 0 == whole.intervals.size
    lost = full.stats["dropped"].tolist()
    assert lost[0] == 0 < lost[1]
    assert full.spikes["n0"].size + lost[1] == full.stats["events_out"].sum()
    assert [(row["what"], row["core"]) for row in full.intervals] == [("dropped", 1)]


@pytest.mark.parametrize("wanted", [2e-6, 30e-6])
def test_8_spikes_are_a_refractory_period_apart_and_the_membrane_waits(cuba: Any, wanted: float) -> None:
    options = {"refractory_s": {"n0": wanted}, "holdoff_s": {"n0": 0.4e-6}}
    mapping = cuba.map([[1.2]], options=options, record=["n0", Probe("n0", "v", every_ns=10)])
    made = mapping.config.refractory
    clock_s = 8e-9 * 2 ** (made.fast_scale if made.fast[0] else made.slow_scale)
    period_ns = int(made.counter[0]) * clock_s * 1e9
    assert period_ns == pytest.approx(wanted * 1e9, rel=0.03)
    t = np.arange(0, 300_000, 500)
    recording = cuba.run(mapping, t, np.zeros_like(t), 300_000)
    at = recording.spikes["n0"]["t"]
    assert at.size > 5
    assert np.diff(at).min() >= np.floor(period_ns)
    free_ns = min(31 - 2 * int(made.holdoff_code[0]), int(made.counter[0])) * clock_s * 1e9
    trace = recording.traces["n0", "v"]
    for spike in at[:-1].tolist():
        held = (trace.t > spike + 1) & (trace.t < spike + period_ns - free_ns - 1)
        assert held.any()
        assert (trace.values[held] == 0).all()
        freed = (trace.t > spike + period_ns - free_ns + 11) & (trace.t < spike + period_ns)
        assert freed.any()
        assert (trace.values[freed] > 0).all()


@pytest.mark.parametrize("speedup", [1.0, 2.5, 1000.0, 1e6])
def test_9_stamps_are_on_the_grid_of_8_ns_and_ties_keep_all_neurons(cuba: Any, speedup: float) -> None:
    weights = np.repeat([[6.0, 0.3], [4.7, 1.1], [5.0, 0.9]], 3, axis=0)
    mapping = cuba.map(weights, tau_mem=12e-6 * speedup, tau_syn=6e-6 * speedup, options={"speedup": speedup})
    t = np.arange(0, 50_000, 1_234)
    spikes = cuba.run(mapping, (t * speedup).astype(int), np.arange(t.size) % 2, int(END * speedup), "chip").spikes[
        "n0"
    ]
    assert spikes.size > 30
    cycles = np.rint(spikes["t"] / (8 * speedup))
    np.testing.assert_array_equal(spikes["t"], np.floor(cycles * 8 * speedup))
    for k in range(3):
        same = [spikes["t"][spikes["index"] == 3 * k + j].tolist() for j in range(3)]
        assert same[0] == same[1] == same[2]


def test_20_noise_is_the_seed_s_and_without_noise_the_chip_is_the_model(cuba: Any) -> None:
    mapping = cuba.map([[6.0, 4.5], [3.0, 5.0]], record=SINGLE)
    t = np.arange(0, 50_000, 700)

    def told(preset: str, seed: int = 0, **options: Any) -> Any:
        recording = cuba.run(mapping, t, np.arange(t.size) % 2, END, preset, seed=seed, **options)
        return recording.spikes["n0"].tolist(), recording.traces["n0", "spike_s"].values.tobytes()

    assert told("mock", 3) == told("mock", 3)
    assert told("mock", 3) != told("mock", 4)
    silent = {"stamps": False, "offset_s": 0.0, "jitter_s": 0.0, "link_event_s": 0.0}
    off = {**silent, "adc": False, "clipping": False}
    assert told("mock", 3, **off) == told("chip", 5, **off) == told("ideal")


# --- golden times -----------------------------------------------------------------------------------------------------


def read(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    return arrays, json.loads(str(arrays["meta"]))["params"]


def near_integers(weights: Any, most: float) -> tuple[Any, float]:
    """Integers, (n,), and the scale, at most so large, at which they are nearest to these weights."""
    largest = float(np.abs(weights).max())
    scale = np.arange(1, int(most * largest) + 1) / largest
    codes = np.rint(scale[:, None] * weights)
    best = int(np.argmin(np.abs(codes / scale[:, None] - weights).max(axis=1)))
    return codes[best].astype(np.int64), float(scale[best])


class Golden:
    """One neuron with golden weights: two lines for each input, one of the largest weight, one of what is left."""

    def __init__(self, cuba: Any, codes: Any, scale: float, params: dict[str, Any]) -> None:
        sign = np.where(codes < 0, -1, 1)
        self.times, rest = np.divmod(np.abs(codes), MOST)
        lines = np.stack([sign * MOST, sign * rest], axis=1).ravel() / scale
        taus = {name: params[name] * FS for name in ("tau_mem", "tau_syn")}
        options = {"scale": scale, "speedup": FS, "copies": {"w0": ROWS}}
        mapping = cuba.map([lines], record=SINGLE, options=options, **taus)
        assert mapping.config.scale == scale
        self.device = cuba.open(soon_again(mapping))

    def spikes(self, times: Any, index: Any) -> list[Any]:
        """Of each sample the spike times, s of the chip: as recorded, and exactly."""
        samples = []
        for t, at in zip(times, index, strict=True):
            here = (t * 1e9 < END) & (at >= 0)
            t, at = np.rint(t[here] * 1e9 * FS).astype(np.int64), at[here]
            each = [(when, 2 * k + low) for when, k in zip(t, at, strict=True)
                    for low in [0] * int(self.times[k]) + [1]]  # fmt: skip
            samples.append(hal.events(*np.array(each, np.int64).reshape(-1, 2).T))
        batch = self.device.run_batch({"in": EventBatch.of(samples)}, GOLDEN_NS)
        assert batch.stats["dropped"].sum() == 0
        traces = batch.traces["n0", "spike_s"]
        return [(batch.spikes["n0"][b]["t"] * 1e-15, traces[b].values.ravel() / FS) for b in range(len(batch))]


def same_times(told: Any, arrays: dict[str, Any], neuron: int = 0) -> int:
    count = 0
    for (recorded, exact), t, index in zip(told, arrays["ref0_time"], arrays["ref0_idx"], strict=True):
        wanted = t[(index == neuron) & (t * 1e9 < END)]
        np.testing.assert_allclose(exact, wanted, rtol=0, atol=WITHIN_S)
        np.testing.assert_allclose(recorded, wanted, rtol=0, atol=WITHIN_S)
        count += wanted.size
    return count


@pytest.mark.parametrize(("name", "spikes"), [("lif1_tau1", 49), ("lif1_tau2", 30), ("truncation", 7)])
def test_golden_times_of_one_neuron(cuba: Any, name: str, spikes: int) -> None:
    arrays, params = read(name)
    golden = Golden(cuba, *near_integers(arrays["w0"][:, 0], 3e5), params)
    assert same_times(golden.spikes(arrays["in_time"], arrays["in_idx"]), arrays) == spikes


@pytest.mark.parametrize("name", ["graze_tau1", "graze_tau2"])
def test_golden_times_near_the_threshold(cuba: Any, name: str) -> None:
    arrays, params = read(name)
    found = []
    for b, weight in enumerate(arrays["w0"][:, 0]):
        taus = {key: params[key] * FS for key in ("tau_mem", "tau_syn")}
        options = exact_weight(weight) | {"speedup": FS, "refractory_s": {"n0": 30.0}}
        mapping = cuba.map([[weight]], record=SINGLE, options=options, **taus)
        recording = cuba.run(mapping, [0], [0], GOLDEN_NS)
        wanted = arrays["ref0_time"][b][np.isfinite(arrays["ref0_time"][b])]
        np.testing.assert_allclose(seconds(recording)[: wanted.size] / FS, wanted, rtol=0, atol=WITHIN_S)
        found.append(seconds(recording).size)
    assert found == [1] * 7 + [0] * 3


def test_golden_times_of_neurons_that_get_two_events_at_once(cuba: Any) -> None:
    arrays, params = read("ties_inputs_8ns")
    counts = [
        same_times(
            Golden(cuba, *near_integers(weights, 3e5), params).spikes(arrays["in_time"], arrays["in_idx"]),
            arrays,
            neuron,
        )
        for neuron, weights in enumerate(arrays["w0"].T)
    ]
    assert sum(counts) == np.isfinite(arrays["ref0_time"]).sum()


def test_golden_times_of_the_first_layer_of_two(cuba: Any) -> None:
    """Neurons whose four weights, of both signs, come near enough together: within 6e-9, which is less than a ps."""
    arrays, params = read("ff_4_10_3")
    count = 0
    for neuron in (0, 1, 2, 5, 7, 8):
        weights = arrays["w0"][:, neuron]
        codes, scale = near_integers(weights, 1e6)
        assert np.abs(codes / scale - weights).max() < 6e-9
        golden = Golden(cuba, codes, scale, params)
        count += same_times(golden.spikes(arrays["in_time"], arrays["in_idx"]), arrays, neuron)
    assert count == np.isin(arrays["ref0_idx"], (0, 1, 2, 5, 7, 8)).sum()


def test_golden_times_of_neurons_alike(cuba: Any) -> None:
    arrays, params = read("ties_identical")
    taus = {key: params[key] * FS for key in ("tau_mem", "tau_syn")}
    mapping = cuba.map(arrays["w0"].T, record=SINGLE, options={"speedup": FS, "refractory_s": {"n0": 30.0}}, **taus)
    recording = cuba.run(mapping, [0], [0], GOLDEN_NS)
    assert recording.spikes["n0"]["index"].tolist() == arrays["ref0_idx"][0].tolist()
    np.testing.assert_allclose(seconds(recording) / FS, arrays["ref0_time"][0], rtol=0, atol=WITHIN_S)
    np.testing.assert_allclose(recording.spikes["n0"]["t"] * 1e-15, arrays["ref0_time"][0], rtol=0, atol=WITHIN_S)


@pytest.mark.parametrize(("name", "layers"), [("ff_4_10_3", 2), ("rec_4_6", 1)])
def test_golden_nets_with_integer_weights_are_the_core_s(cuba: Any, name: str, layers: int) -> None:
    """Their weights cannot be had together; with those that are realised the chip is the emulator's core, which is
    held to the golden times itself. The golden recurrence takes a us, the chip's no time.
    """
    arrays, params = read(name)
    recurrent = arrays.get("rec0")
    taus = {key: params[key] * FS for key in ("tau_mem", "tau_syn")}
    weights = [arrays[f"w{k}"].T for k in range(layers)]
    model = cuba.model(*weights, **taus)
    if recurrent is not None:
        size = len(recurrent)
        back = hal.nodes.Linear(name="back", input_shape=(size,), output_shape=(size,), weight=recurrent.T)
        edges = [*model.edges, ("n0", "back"), ("back", "n0")]
        model = hal.Model.of({**model.nodes, "back": back}, edges, model.semantics)
    last = f"n{layers - 1}"
    mapping = hal.mapper("brainscales2").map(model, {"speedup": FS}, record=[last, Probe(last, "spike_s")])
    realised = mapping.realised
    mapping = soon_again(mapping)
    sizes = [len(arrays["w0"]), *(len(w) for w in weights)]
    source, target, values = [], [], []
    firsts = np.cumsum([0, *sizes])
    parts = [(f"w{k}", firsts[k], firsts[k + 1]) for k in range(layers)]
    parts += [("back", firsts[1], firsts[1])] if recurrent is not None else []
    for node, first, to in parts:
        made = realised[node, "weight"]
        post, pre = np.nonzero(made)
        source.append(pre + first)
        target.append(post + to - sizes[0])
        values.append(made[post, pre])
    n = sum(sizes[1:])
    lists = (np.concatenate(each) for each in (source, target, values))
    core = Network(Neurons(size=n, tau_mem=12e-6, tau_syn=6e-6), Synapses.of(sizes[0] + n, *lists))
    total = 0
    with cuba.open(mapping) as device:
        for times, index in zip(arrays["in_time"], arrays["in_idx"], strict=True):
            here = (times < 60e-6) & (index >= 0)
            t = np.rint(times[here] * 1e15).astype(np.int64)
            device.reset()
            told = device.run({"in": hal.events(t, index[here])}, GOLDEN_NS)
            core.reset()
            wanted = core.run(60e-6, t * 1e-15, index[here])
            mine = wanted.neuron >= n - sizes[-1]
            np.testing.assert_array_equal(told.spikes[last]["index"], wanted.neuron[mine] - (n - sizes[-1]))
            np.testing.assert_allclose(seconds(told, last) / FS, wanted.t[mine], rtol=0, atol=WITHIN_S)
            total += int(mine.sum())
    assert total > 20


def test_yinyang_through_mapper_and_device_gives_the_golden_times(cuba: Any) -> None:
    arrays, params = read("yinyang_5_120_3")
    model = hal.read_model(GOLDEN / "yinyang_5_120_3.nir", Semantics(profile="nir"))
    record = ["lif0", "lif1", Probe("lif0", "spike_s"), Probe("lif1", "spike_s")]
    options = {"refractory_s": {"lif0": 30e-6, "lif1": 30e-6}}
    mapping = hal.mapper("brainscales2").map(model, options, record=record)
    assert mapping.speedup == 1.0
    scale = params["weight_scale"]
    np.testing.assert_array_equal(np.rint(mapping.realised["fc0", "weight"].T * scale), arrays["hw1_total"])
    np.testing.assert_array_equal(np.rint(mapping.realised["fc1", "weight"].T * scale), arrays["hw2"])
    samples = []
    for t, index in zip(arrays["in_time"], arrays["in_idx"], strict=True):
        order = np.argsort(t, kind="stable")
        samples.append(hal.events(np.rint(t[order] * 1e9).astype(np.int64), index[order]))
    with cuba.open(mapping) as device:
        batch = device.run_batch({"input": samples}, round(params["t_max"] * 1e9), workers=2)
    for node, key in (("lif0", "ref_q_hidden_time"), ("lif1", "ref_q_output_time")):
        wanted = arrays[key]
        exact, recorded = np.full(wanted.shape, np.inf), np.full(wanted.shape, np.inf)
        which = np.repeat(np.arange(len(wanted)), np.diff(batch.spikes[node].splits))
        index = batch.spikes[node].events["index"]
        assert np.unique(which * 1000 + index).size == which.size
        exact[which, index] = batch.traces[node, "spike_s"].values.ravel()
        recorded[which, index] = batch.spikes[node].events["t"] * 1e-9
        np.testing.assert_array_equal(np.isfinite(exact), np.isfinite(wanted))
        fired = np.isfinite(wanted)
        np.testing.assert_allclose(exact[fired], wanted[fired], rtol=0, atol=WITHIN_S)
        np.testing.assert_allclose(recorded[fired], wanted[fired], rtol=0, atol=1.001e-9)
    accuracy = float(np.mean(np.argmin(exact, axis=1) == arrays["label"]))
    assert accuracy == 0.96


def test_edited_refractory_periods_are_the_chip_s(cuba: Any) -> None:
    mapping = cuba.map([[6.0]])
    quick = soon_again(mapping)
    assert mapping.config.refractory.counter.tolist() == [6]
    assert quick.config.refractory.counter.tolist() == [1]
    first, second = (cuba.run(m, np.arange(400), np.zeros(400, int), END).spikes["n0"]["t"] for m in (mapping, quick))
    assert np.diff(first).min() >= 48
    assert 8 <= np.diff(second).min() < 48
