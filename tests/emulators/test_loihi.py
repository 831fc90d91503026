"""Loihi's step: the rule value by value, against a slow model in plain Python, golden files, limits and errors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hal_emulators.loihi import OVERFLOWS, Board, Compartments, Probe, RegisterOverflowError, Result, Synapses

GOLDEN = Path(__file__).parents[1] / "golden" / "loihi"
TOP = 2**23 - 1
NEVER = 131071 * 64
PARAMETERS = ("decay_u", "decay_v", "vth", "bias", "refract", "vmin", "vmax")
QUIET = {"decay_u": 4095, "decay_v": 4095, "vth": NEVER, "bias": 0, "refract": 1, "vmin": -TOP, "vmax": TOP}

Wires = Sequence[tuple[int, int, int, int]]
"""(source, target, weight, delay); sources as the board numbers them."""


def wire(n_sources: int, wires: Wires) -> Synapses:
    pre, post, weight, delay = np.array(wires, np.int64).reshape(-1, 4).T
    return Synapses.from_lists(n_sources, pre, post, weight, delay)


def board(n: int = 1, wires: Wires = (), n_inputs: int = 0, **more: Any) -> Board:
    """n compartments that forget at once and never spike, unless told otherwise."""
    options = {key: more.pop(key) for key in ("overflow", "seed", "core") if key in more}
    values = {name: np.broadcast_to(value, n) for name, value in (QUIET | more).items()}
    return Board(Compartments(**values), wire(n_inputs + n, wires), n_inputs, **options)


@attrs.frozen
class Seen:
    u: NDArray[np.int32]
    v: NDArray[np.int32]
    spikes: list[tuple[int, int]]
    result: Result


def play(made: Board, steps: int, events: Sequence[tuple[int, int]] = ()) -> Seen:
    """Host spikes (step, input) in; u and v of all compartments and steps out."""
    everyone = np.arange(made.core.size)
    when, source = np.array(events, np.int64).reshape(-1, 2).T
    result = made.run(steps, when, source, probe=[Probe("u", everyone), Probe("v", everyone)])
    u, v = result.traces
    return Seen(u, v, list(zip(result.spike_step.tolist(), result.spike_index.tolist(), strict=True)), result)


def pulse(weight: int, steps: int, **more: Any) -> Seen:
    """One compartment, one host spike in step 0."""
    return play(board(1, [(0, 0, weight, 0)], 1, **more), steps, [(0, 0)])


# --- a slow model ---------------------------------------------------------------------------------------------------


def wrap(x: int, bits: int) -> int:
    return (x + 2**bits) % 2 ** (bits + 1) - 2**bits


def decay(x: int, k: int) -> int:
    return (abs(x) * k // 4096) * (-1 if x < 0 else 1)


class Plain:
    """The rule in Python integers, one compartment after the other; a spike waits in a list for its step."""

    def __init__(self, parameters: dict[str, list[int]], wires: Wires, n_inputs: int) -> None:
        self.parameters = [
            dict(zip(parameters, values, strict=True)) for values in zip(*parameters.values(), strict=True)
        ]
        self.n_inputs = n_inputs
        self.out = defaultdict(list)
        for source, *rest in wires:
            self.out[source].append(rest)
        self.state = [[0, 0, 0] for _ in self.parameters]
        self.arriving: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.now = 0
        self.synops: Counter[int] = Counter()
        self.overflowed: Counter[tuple[int, int]] = Counter()
        self.saturated: Counter[int] = Counter()

    def _register(self, kind: int, i: int, x: int) -> int:
        short = wrap(x, (21, 23, 23)[kind])
        self.overflowed[kind, i] += short != x
        return short

    def step(self, inputs: Sequence[int]) -> list[int]:
        sums = [0] * len(self.state)
        for i, weight in self.arriving.pop(self.now, []):
            sums[i] += weight
            self.synops[i] += 1
        spikes = []
        for i, (p, (u, v, counter)) in enumerate(zip(self.parameters, self.state, strict=True)):
            q = self._register(0, i, sums[i])
            u = self._register(1, i, decay(u, 4095 - p["decay_u"]) + q)
            drive = self._register(2, i, u + p["bias"])
            free = decay(v, 4096 - p["decay_v"]) + drive
            self.saturated[i] += free < p["vmin"] == 1 - 2**23
            v = min(max(free, p["vmin"]), p["vmax"])
            if counter > 0:
                v = 0
            if v > p["vth"]:
                v, counter = 0, p["refract"]
                spikes.append(i)
            self.state[i] = [u, v, max(counter - 1, 0)]
        for source in [*inputs, *(self.n_inputs + i for i in spikes)]:
            for target, weight, delay in self.out[source]:
                self.arriving[self.now + 1 + delay].append((target, weight))
        self.now += 1
        return spikes


@attrs.frozen(eq=False)
class Case:
    parameters: dict[str, list[int]]
    wires: list[tuple[int, int, int, int]]
    n_inputs: int
    core: list[int]
    events: list[tuple[int, int]]
    steps: int

    def board(self, **more: Any) -> Board:
        return board(len(self.core), self.wires, self.n_inputs, core=self.core, **(self.parameters | more))

    def play(self, made: Board, first: int, last: int) -> Seen:
        return play(made, last - first, [(t - first, i) for t, i in self.events if first <= t < last])


LEVELS: dict[str, list[int]] = {
    "decay_u": [0, 1, 1024, 2048, 4094, 4095],
    "decay_v": [0, 1, 128, 4095],
    "vth": [0, 64, 6400, 640_000, NEVER],
    "bias": [-524_288, -640, -1, 0, 0, 0, 333, 6400, 524_160],
    "refract": [1, 1, 2, 3, 63],
    "vmin": [0, -1023, -65_535, -TOP],
    "vmax": [0, 511, 131_071, TOP],
}
WEIGHTS = {"small": (-40, 60, 64), "any": (-2000, 2500, 1), "huge": (-32_768, 32_767, 64)}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Random nets: some beyond one block of the kernel, cores in any order, weak and wrapping weights, delays."""
    n = draw(st.sampled_from([1, 2, 3, 7, 63, 64, 65, 130]))
    n_inputs = draw(st.integers(0, 3))
    steps = draw(st.integers(1, 90))
    longest = draw(st.sampled_from([0, 0, 1, 5, 62]))
    low, high, unit = WEIGHTS[draw(st.sampled_from(sorted(WEIGHTS)))]
    cores = draw(st.sampled_from(["one", "halves", "any"]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    parameters = {name: random.choice(levels, n).tolist() for name, levels in LEVELS.items()}
    m = int(random.integers(0, 6 * n + 1))
    delays = random.integers(0, longest + 1, m) if random.random() < 0.8 else np.full(m, longest)
    columns = (
        random.integers(0, n_inputs + n, m),
        random.integers(0, n, m),
        random.integers(low, high, m) * unit,
        delays,
    )
    k = int(random.integers(0, 3 * steps)) if n_inputs else 0
    when = np.sort(random.integers(0, steps, k)).tolist()
    return Case(
        parameters,
        list(zip(*(column.tolist() for column in columns), strict=True)),
        n_inputs,
        {"one": [0] * n, "halves": [3 * i // n for i in range(n)], "any": random.integers(0, 5, n).tolist()}[cores],
        list(zip(when, random.integers(0, max(n_inputs, 1), k).tolist(), strict=True)),
        steps,
    )


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_random_nets_are_those_of_the_slow_model(case: Case) -> None:
    seen = case.play(case.board(), 0, case.steps)
    plain = Plain(case.parameters, case.wires, case.n_inputs)
    spikes = []
    for t in range(case.steps):
        spikes += [(t, i) for i in plain.step([source for when, source in case.events if when == t])]
        assert seen.u[t].tolist() == [u for u, _, _ in plain.state]
        assert seen.v[t].tolist() == [v for _, v, _ in plain.state]
    assert seen.spikes == spikes
    synops, fired = np.zeros(max(case.core) + 1, np.int64), np.zeros(max(case.core) + 1, np.int64)
    overflowed, saturated = np.zeros((3, max(case.core) + 1), np.int64), np.zeros(max(case.core) + 1, np.int64)
    for i, count in plain.synops.items():
        synops[case.core[i]] += count
    for _, i in spikes:
        fired[case.core[i]] += 1
    for (kind, i), count in plain.overflowed.items():
        overflowed[kind, case.core[i]] += count
    for i, count in plain.saturated.items():
        saturated[case.core[i]] += count
    assert np.array_equal(seen.result.synops, synops)
    assert np.array_equal(seen.result.spikes, fired)
    assert np.array_equal(seen.result.overflowed, overflowed)
    assert np.array_equal(seen.result.saturated, saturated)


@settings(max_examples=30, deadline=None)
@given(case=cases(), data=st.data())
def test_parts_of_a_run_are_the_whole(case: Case, data: st.DataObject) -> None:
    """Also with noise, which is drawn for the step, wherever the run began."""
    noise = {"enable_noise": True, "noise_exp": 12, "noise_at_membrane": np.arange(len(case.core)) % 2}
    whole = case.play(case.board(seed=5, **noise), 0, case.steps)
    cuts = sorted({0, case.steps, *data.draw(st.lists(st.integers(0, case.steps), max_size=3))})
    made = case.board(seed=5, **noise)
    parts = [case.play(made, *pair) for pair in pairwise(cuts)]
    assert np.array_equal(np.concatenate([part.u for part in parts]), whole.u)
    assert np.array_equal(np.concatenate([part.v for part in parts]), whole.v)
    moved = [[(t + first, i) for t, i in part.spikes] for first, part in zip(cuts, parts, strict=False)]
    assert [spike for part in moved for spike in part] == whole.spikes
    for name in ("spikes", "synops", "overflowed", "saturated"):
        assert np.array_equal(sum(getattr(part.result, name) for part in parts), getattr(whole.result, name))


# --- the rule, value by value ---------------------------------------------------------------------------------------


def test_rule_1_full_decay_keeps_the_current_for_one_step() -> None:
    assert pulse(6400, 4, decay_u=4095).u[:, 0].tolist() == [0, 6400, 0, 0]


def test_rule_2_no_decay_still_leaks_current_and_keeps_voltage() -> None:
    seen = pulse(6400, 6, decay_u=0, decay_v=0)
    assert seen.u[:3, 0].tolist() == [0, 6400, 6398]
    once = pulse(6400, 200, decay_u=4095, decay_v=0)
    assert set(once.v[1:, 0].tolist()) == {6400}


@pytest.mark.parametrize(
    ("decay_u", "weight", "values"),
    [
        (0, 6400, [6400, 6398, 6396]),
        (1, 6400, [6400, 6396, 6392]),
        (2048, 6400, [6400, 3198, 1598, 798, 398, 198, 98]),
        (4094, 6400, [6400, 1, 0]),
        (4095, 6400, [6400, 0]),
        (2047, -6400, [-6400, -3200, -1600, -800, -400, -200, -100, -50, -25, -12, -6, -3, -1, 0]),
        (0, 1, [1, 0]),
        (0, -1, [-1, 0]),
    ],
)
def test_worked_values_of_the_current(decay_u: int, weight: int, values: list[int]) -> None:
    assert pulse(weight, len(values) + 1, decay_u=decay_u).u[1:, 0].tolist() == values


@pytest.mark.parametrize("sign", [1, -1])
def test_the_strongest_voltage_decay_leaves_a_4096th(sign: int) -> None:
    assert pulse(sign * 1_000_000, 4, decay_v=4095).v[:, 0].tolist() == [0, sign * 1_000_000, sign * 244, 0]


def test_rule_3_the_threshold_is_strict() -> None:
    at, above = board(vth=6400, bias=6400, decay_v=0), board(vth=6400, bias=6401, decay_v=0)
    assert play(at, 1).spikes == []
    assert at.state().v.tolist() == [6400]
    assert play(above, 1).spikes == [(0, 0)]
    assert above.state().v.tolist() == [0]


@pytest.mark.parametrize(("refract", "period"), [(1, 4), (2, 5), (5, 8), (63, 66)])
def test_rule_4_the_refractory_delay_adds_to_the_period(refract: int, period: int) -> None:
    times = [t for t, _ in play(board(bias=1920, vth=6400, decay_v=0, refract=refract), 300).spikes]
    assert set(np.diff(times)) == {period}
    strong = [t for t, _ in play(board(bias=7000, vth=6400, decay_v=0, refract=refract), 300).spikes]
    assert set(np.diff(strong)) == {refract}


def test_rule_5_while_refractory_the_voltage_is_zero_and_the_current_goes_on() -> None:
    made = board(1, [(0, 0, 6400, 0)], 1, decay_u=2048, vth=3000, refract=4)
    seen = play(made, 4, [(0, 0), (1, 0)])
    assert seen.spikes == [(1, 0)]
    assert seen.v[:, 0].tolist() == [0, 0, 0, 0]
    assert seen.u[:, 0].tolist() == [0, 6400, 3198 + 6400, 4796]
    assert made.state().refractory.tolist() == [1]


@pytest.mark.parametrize("delay", [0, 1, 5, 62])
@pytest.mark.parametrize("core", [[0, 0], [0, 1], [3, 200]])
def test_rule_6_a_spike_arrives_one_step_later_plus_its_delay_wherever_it_goes(delay: int, core: list[int]) -> None:
    """From the host to compartment 0, which fires, and on to compartment 1; also with delays of its own per synapse."""
    for first in (0, 3):
        made = board(2, [(0, 0, 9000, first), (1, 1, 640, delay)], 1, vth=[6400, NEVER], core=core)
        seen = play(made, 70, [(2, 0)])
        assert seen.spikes == [(3 + first, 0)]
        assert np.flatnonzero(seen.u[:, 1]).tolist() == ([4 + first + delay] if 4 + first + delay < 70 else [])


def test_rule_7_spikes_of_one_step_add_before_the_wrap_in_any_order() -> None:
    wires = [(0, 0, 2**21 - 1, 0), (1, 0, 64, 0), (2, 0, -64, 0), (0, 0, -640, 0), (1, 0, 640, 0)]
    for order in ([0, 1, 2, 3, 4], [1, 0, 4, 3, 2], [4, 3, 2, 1, 0]):
        for inputs in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
            seen = play(board(1, [wires[k] for k in order], 3), 2, [(0, i) for i in inputs])
            assert seen.u[1, 0] == 2**21 - 1
            assert not seen.result.overflowed.any()
            assert seen.result.synops.tolist() == [5]


@pytest.mark.parametrize(("spikes", "q"), [(127, 2_080_768), (128, -2_097_152), (129, -2_080_768), (140, -1_900_544)])
def test_rule_8_the_accumulator_wraps_and_is_counted(spikes: int, q: int) -> None:
    wires = [(i, 0, 16_384, 0) for i in range(spikes)]
    events = [(1, i) for i in range(spikes)]
    seen = play(board(1, wires, spikes), 4, events)
    assert seen.u[:, 0].tolist() == [0, 0, q, 0]
    assert seen.result.overflowed.tolist() == [[int(spikes > 127)], [0], [0]]
    made = board(2, [*wires, *((i, 1, 16_384, 0) for i in range(spikes))], spikes, overflow="error")
    if spikes < 128:
        assert play(made, 4, events).u[2].tolist() == [q, q]
        return
    with pytest.raises(RegisterOverflowError, match=r"^step 2, compartment 0: accumulator left .*; 1 more") as error:
        play(made, 4, events)
    assert (error.value.kind, error.value.step, error.value.compartment) == ("accumulator", 2, 0)
    assert made.state().u.tolist() == [q, q]
    assert play(made, 2).u.tolist() == [[0, 0], [0, 0]]


def test_rule_9_current_plus_bias_wraps() -> None:
    largest = 0
    for _ in range(4):
        largest = decay(largest, 4095) + 2**21 - 1
    wires = [(0, 0, 2**21 - 1, delay) for delay in range(4)]
    wires.append((0, 0, 8_388_475 - decay(largest, 4095), 4))
    seen = play(board(1, wires, 1, decay_u=0, decay_v=4095, bias=160), 6, [(0, 0)])
    assert seen.u[5, 0] == 8_388_475
    assert seen.v[5, 0] == wrap(8_388_475 + 160, 23) + decay(int(seen.v[4, 0]), 1)
    assert wrap(8_388_475 + 160, 23) == -8_388_581
    assert seen.result.overflowed.tolist() == [[0], [0], [1]]


def test_the_current_wraps_and_is_named() -> None:
    wires = [(0, 0, 2**21 - 1, delay) for delay in range(5)]
    seen = play(board(1, wires, 1, decay_u=0), 6, [(0, 0)])
    assert seen.u[5, 0] == wrap(decay(int(seen.u[4, 0]), 4095) + 2**21 - 1, 23) < 0
    assert seen.result.overflowed.tolist() == [[0], [1], [0]]
    with pytest.raises(RegisterOverflowError, match=r"step 5, compartment 0: current left -2\*\*23"):
        play(board(1, wires, 1, decay_u=0, overflow="error"), 6, [(0, 0)])
    with pytest.raises(RegisterOverflowError, match="step 4, compartment 0: drive"):
        play(board(1, wires, 1, decay_u=0, bias=500_000, overflow="error"), 6, [(0, 0)])


def test_rule_10_vmin_holds_the_voltage() -> None:
    seen = play(board(2, bias=-500, decay_v=0, vmin=[0, -1023]), 4)
    assert seen.v.tolist() == [[0, -500], [0, -1000], [0, -1023], [0, -1023]]


def test_rule_11_vmax_below_the_threshold_never_spikes() -> None:
    seen = play(board(2, bias=100_000, decay_v=0, vmax=511, vth=[448, 512]), 5)
    assert seen.spikes == [(t, 0) for t in range(5)]
    assert set(seen.v[:, 1].tolist()) == {511}


@given(weight=st.integers(0, 2**21 - 1), decay_u=st.integers(0, 4095), decay_v=st.integers(0, 4095))
@settings(max_examples=50, deadline=None)
def test_rule_12_negative_values_decay_as_positive_ones(weight: int, decay_u: int, decay_v: int) -> None:
    one, other = (pulse(sign * weight, 20, decay_u=decay_u, decay_v=decay_v) for sign in (1, -1))
    assert np.array_equal(one.u, -other.u)
    if weight < 400_000:  # v of a larger one may meet the threshold or vmin, which are not symmetrical
        assert np.array_equal(one.v, -other.v)


def test_rule_13_at_most_one_spike_per_compartment_and_step() -> None:
    made = board(2, [(0, 0, 2_000_000, 0), (0, 1, 2_000_000, 0)], 1, vth=64, bias=[500_000, 0])
    seen = play(made, 10, [(t, 0) for t in range(10) for _ in range(3)])
    assert len(set(seen.spikes)) == len(seen.spikes)
    assert [t for t, i in seen.spikes if i == 0] == list(range(10))


def network(name: str) -> dict[str, Any]:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def golden_board(arrays: dict[str, Any], wires: Wires, n_inputs: int, **more: Any) -> Board:
    """All blocks of a golden file as one range of compartments."""
    sizes = json.loads(str(arrays["meta"]))["block_sizes"]
    blocks = range(len(sizes))
    values = {name: np.concatenate([arrays[f"b{k}_{name}"] for k in blocks]) for name in PARAMETERS[:5]}
    low, high = np.concatenate([np.repeat(arrays[f"b{k}_vlimits"][None], sizes[k], 0) for k in blocks]).T
    return board(sum(sizes), wires, n_inputs, vmin=low, vmax=high, **values, **more)


def golden_events(arrays: dict[str, Any]) -> list[tuple[int, int]]:
    return [(int(t) - 1, int(n)) for t, n in arrays["in0_events"]]


def golden_spikes(arrays: dict[str, Any]) -> list[tuple[int, int]]:
    return [(int(t) - 1, int(n)) for t, n in arrays["spikes"]]


def test_rule_14_a_convolution_is_its_dense_matrix() -> None:
    """The golden net, made of population axons, from the kernels alone, spelt out place by place."""
    arrays = network("conv_pop")
    meta = json.loads(str(arrays["meta"]))
    sources, targets = [0, 288], [0, 400]
    wires = []
    for j, connection in enumerate(meta["connections"]):
        kernel, conv = arrays[f"c{j}_kernel"], connection["conv"]
        (_, width, channels), (height_out, width_out, features) = conv["in_shape"], conv["out_shape"]
        for y, x, f in np.ndindex(height_out, width_out, features):
            for dy, dx, c in np.ndindex(kernel.shape[:3]):
                pre = ((y * conv["stride"] + dy) * width + x * conv["stride"] + dx) * channels + c
                post = (y * width_out + x) * features + f
                wires.append((sources[j] + pre, targets[j] + post, int(kernel[dy, dx, c, f]), 0))
    seen = play(golden_board(arrays, wires, 288), meta["T"], golden_events(arrays))
    assert seen.spikes == golden_spikes(arrays)
    assert np.array_equal(seen.u, arrays["u"])
    assert np.array_equal(seen.v, arrays["v"])


@pytest.mark.parametrize("core", [[0] * 96, [0] * 60 + [1] * 36, [i % 3 for i in range(96)]])
def test_rule_15_a_split_layer_spikes_as_the_whole(core: list[int]) -> None:
    arrays = network("recurrent_2blocks")
    wires = []
    for j, connection in enumerate(json.loads(str(arrays["meta"]))["connections"]):
        pre = arrays[f"c{j}_pre"] + (0 if connection["src_kind"] == "in" else 16 + 60 * connection["src"])
        post = arrays[f"c{j}_post"] + 60 * connection["dst"]
        wires += list(zip(pre.tolist(), post.tolist(), arrays[f"c{j}_w"].tolist(), [0] * pre.size, strict=True))
    seen = play(golden_board(arrays, wires, 16, core=core), 300, golden_events(arrays))
    assert seen.spikes == golden_spikes(arrays)
    assert seen.result.synops.sum() == 60_741
    assert seen.result.spikes.tolist() == [sum(core[i] == k for _, i in seen.spikes) for k in range(max(core) + 1)]


def test_rule_19_reset_is_as_a_fresh_board() -> None:
    """Also what is under way and the noise."""
    wires = [(0, 0, 6400, 0), (0, 1, 6400, 30), (1, 1, 640, 7), (2, 0, -640, 0)]
    more = {"decay_u": 1024, "decay_v": 128, "vth": 5000, "refract": 5, "enable_noise": True, "noise_exp": 10}
    made = board(2, wires, 1, **more)
    events = [(t, 0) for t in range(0, 40, 3)]
    fresh = play(made, 40, events)
    made.reset()
    assert made.state().u.tolist() == made.state().v.tolist() == made.state().refractory.tolist() == [0, 0]
    again = play(made, 40, events)
    assert len(fresh.spikes) > 5
    assert again.spikes == fresh.spikes
    assert np.array_equal(again.u, fresh.u)
    assert np.array_equal(again.v, fresh.v)


def test_rule_22_the_mnist_network_in_integers() -> None:
    command = [sys.executable, str(GOLDEN.parent / "replay.py"), str(GOLDEN / "mnist_int.npz")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "dense0 spikes, 200 images: 1280000 values, equal" in done.stdout
    assert "layer counts, 200 images: 38400 values, equal" in done.stdout


# --- silicon --------------------------------------------------------------------------------------------------------


def test_the_register_probe_shows_the_refractory_counter() -> None:
    made = board(bias=1000, vth=2500, decay_v=0, refract=3)
    result = made.run(9, [], [], probe=[("v_register", [0], 1), ("v", [0], 1)])
    assert result.traces[0][:, 0].tolist() == [1000, 2000, 384, 256, 128, 1000, 2000, 384, 256]
    assert result.traces[1][:, 0].tolist() == [1000, 2000, 0, 0, 0, 1000, 2000, 0, 0]


def test_silicon_is_met_in_every_row() -> None:
    """996 rows with the plain probe: silicon shows the counter in the four rows of the spikes."""
    arrays = network("silicon_lif")
    chip = json.loads(str(arrays["meta"]))["integers"]
    made = board(1, [(0, 0, chip.pop("weight"), 0)], 1, **chip)
    events = np.flatnonzero(arrays["input"])
    result = made.run(1000, events, np.zeros_like(events), probe=[Probe("v", [0]), Probe("v_register", [0])])
    assert result.spike_step.tolist() == [461, 511, 711, 761] == np.flatnonzero(arrays["spike"]).tolist()
    plain, register = (np.count_nonzero(trace[:, 0] == arrays["v"]) for trace in result.traces)
    assert (plain, register) == (996, 1000)


# --- noise ----------------------------------------------------------------------------------------------------------


def noisy(n: int = 64, steps: int = 500, **more: Any) -> Seen:
    return play(board(n, **({"enable_noise": True} | more)), steps)


def test_noise_is_uniform_over_255_values_and_independent() -> None:
    values = noisy().u
    counts = np.bincount(values.ravel() + 127, minlength=255)
    assert counts.size == 255
    expected = values.size / 255
    chi2 = float(((counts - expected) ** 2 / expected).sum())
    assert 160 < chi2 < 370  # 254 degrees of freedom: 254 +- 22.5
    between = np.corrcoef(values[:, :8].T.astype(float)) - np.eye(8)
    assert np.abs(between).max() < 0.2
    assert abs(np.corrcoef(values[1:].ravel(), values[:-1].ravel())[0, 1]) < 0.03


def test_noise_scales_with_exponent_and_offset_toward_zero() -> None:
    base = noisy(8).u.astype(np.int64)
    for exponent, offset in ((1, 0), (3, 2), (6, -1), (7, 3), (10, 0), (12, -2)):
        values = noisy(8, noise_exp=exponent, noise_offset=offset).u
        wanted = np.trunc((base + 64 * offset) * 2.0 ** (exponent - 7)).astype(np.int64)
        assert np.array_equal(values, wanted)


def test_noise_goes_where_it_is_told() -> None:
    seen = noisy(3, enable_noise=[True, True, False], noise_at_membrane=[False, True, True])
    assert seen.u[:, 0].any()
    assert not seen.u[:, 1:].any()
    assert np.array_equal(seen.v[:, 0], seen.u[:, 0])
    assert set(np.sign(seen.v[:, 1])) == {-1, 0, 1}
    assert not seen.v[:, 2].any()
    biased = noisy(3, enable_noise=[True, True, False], noise_at_membrane=[False, True, True], bias=1000, vmin=0)
    assert np.array_equal(biased.v, seen.v + 1000)


def test_noise_follows_the_seed_and_wraps() -> None:
    one, same, other = (noisy(4, seed=seed).u for seed in (1, 1, 2**64 - 1))
    assert np.array_equal(one, same)
    assert np.mean(one == other) < 0.05
    loud = noisy(4, noise_exp=23)
    assert loud.result.overflowed[0, 0] > 0
    assert np.abs(loud.u).max() <= 2**21
    drive = noisy(4, noise_exp=23, noise_offset=1, noise_at_membrane=True)
    assert drive.result.overflowed[:, 0].tolist()[:2] == [0, 0]
    assert drive.result.overflowed[2, 0] > 0


# --- runs, probes, buffers ------------------------------------------------------------------------------------------


def test_more_spikes_than_the_first_buffer_holds() -> None:
    seen = play(board(200, vth=0, bias=640), 100)
    assert seen.spikes == [(t, i) for t in range(100) for i in range(200)]
    assert seen.result.spikes.tolist() == [20_000]


def test_host_spikes_of_the_last_step_arrive_in_the_next_run() -> None:
    made = board(1, [(0, 0, 640, 2)], 1)
    first, second = play(made, 3, [(2, 0), (2, 0)]), play(made, 4)
    assert first.u[:, 0].tolist() == [0, 0, 0]
    assert second.u[:, 0].tolist() == [0, 0, 1280, 0]
    assert (first.result.synops.tolist(), second.result.synops.tolist()) == ([0], [2])


def test_probes_of_some_compartments_and_steps() -> None:
    made = board(70, bias=np.arange(70), decay_v=0)
    result = made.run(7, [], [], probe=[Probe("v", [69, 3], 3), Probe("u", []), Probe("v", [64], 100)])
    assert [trace.shape for trace in result.traces] == [(3, 2), (7, 0), (1, 1)]
    assert result.traces[0].tolist() == [[69, 3], [4 * 69, 12], [7 * 69, 21]]
    assert result.traces[2].tolist() == [[64]]
    assert result.traces[0].dtype == np.int32


def test_a_run_of_no_steps() -> None:
    made = board(2, bias=64, decay_v=0)
    result = made.run(0, [], [], probe=[Probe("v", [0])])
    assert result.traces[0].shape == (0, 1)
    assert result.spike_step.size == result.spike_index.size == 0
    assert made.state().v.tolist() == [0, 0]


def test_types_of_a_result() -> None:
    result = board(2, vth=0, bias=64).run(2, [], [])
    assert (result.spike_step.dtype, result.spike_index.dtype) == (np.int64, np.uint32)
    assert result.overflowed.shape == (len(OVERFLOWS), 1)
    assert result.traces == ()


def test_the_state_is_a_copy() -> None:
    made = board(2, bias=64, decay_v=0)
    made.run(1, [], [])
    made.state().v[:] = 5
    assert made.state().v.tolist() == [64, 64]


def test_as_many_deliveries_as_fit_and_one_more() -> None:
    """All with the largest weight: 2**20 - 1 of -2**21, which is 0 modulo 2**22 less one."""
    most = 2**20 - 1
    made = board(2, [(0, 0, -(2**21), 0)], 1)
    result = made.run(2, np.zeros(most, np.int64), np.zeros(most, np.int64), probe=[Probe("u", [0])])
    assert result.traces[0][1, 0] == wrap(-(2**21) * most, 21)
    assert result.synops.tolist() == [most]
    assert result.overflowed[:, 0].tolist() == [1, 0, 0]
    with pytest.raises(ValueError, match=r"spikes 1048576 times .* at most 1048575"):
        made.run(2, np.zeros(most + 1, np.int64), np.zeros(most + 1, np.int64))


# --- synapses -------------------------------------------------------------------------------------------------------


def test_lists_are_sorted_and_duplicates_stay() -> None:
    made = Synapses.from_lists(4, [2, 0, 2, 2, 0], [1, 5, 0, 1, 5], [10, 20, 30, 40, 50], [3, 0, 3, 0, 0])
    assert made.indptr.tolist() == [0, 2, 2, 5, 5]
    assert made.target.tolist() == [5, 5, 1, 0, 1]
    assert made.weight.tolist() == [20, 50, 40, 30, 10]
    assert np.asarray(made.delay).tolist() == [0, 0, 0, 3, 3]
    assert made.max_delay == 3
    assert [array.dtype for array in (made.indptr, made.target, made.weight)] == [np.int64, np.int32, np.int32]


def test_lists_of_few_synapses_among_many_compartments_are_sorted_too() -> None:
    made = Synapses.from_lists(10**6, [10**6 - 1, 5, 5], [7, 10**9, 3], [1, 2, 3])
    assert made.target.tolist() == [3, 10**9, 7]
    assert made.weight.tolist() == [3, 2, 1]
    assert made.indptr[[5, 6, 10**6 - 1, 10**6]].tolist() == [0, 2, 2, 3]


def test_equal_delays_are_one_number_and_one_weight_serves_all() -> None:
    made = Synapses.from_lists(2, [0, 1], [0, 0], 64, [5, 5])
    assert made.delay == made.max_delay == 5
    assert made.weight.tolist() == [64, 64]
    assert Synapses.from_lists(2, [], [], []).indptr.tolist() == [0, 0, 0]


def test_memory_grows_with_the_delay_only_where_there_is_one() -> None:
    short, long = board(64, [(0, 0, 64, 0)]), board(64, [(0, 0, 64, 62), (0, 1, 64, 0)])
    assert short._memory.ring.size == 64
    assert long._memory.ring.size == 64 * 64


def good_synapses(**more: Any) -> Synapses:
    arrays: dict[str, Any] = {"indptr": [0, 1, 2], "target": [0, 1], "weight": [64, 64], "delay": 0}
    return Synapses(**(arrays | more))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"indptr": [0, 1, 3]}, "indptr must rise from 0 to 2"),
        ({"indptr": [1, 1, 2]}, "indptr must rise from 0 to 2"),
        ({"indptr": [0, 3, 2]}, "indptr must rise from 0 to 2"),
        ({"indptr": []}, "indptr must rise"),
        ({"indptr": [[0, 2]]}, "indptr has shape"),
        ({"weight": [64]}, r"weight has shape \(1,\), target \(2,\)"),
        ({"weight": [2**21, 0]}, r"weight has 0..2097152, must lie in -2097152..2097151"),
        ({"weight": [-(2**21) - 1, 0]}, "weight has -2097153..0"),
        ({"target": [-1, 0]}, "target has -1..0"),
        ({"target": [2**31, 0]}, "target has 0..2147483648"),
        ({"delay": 63}, "delay has 63..63, must lie in 0..62"),
        ({"delay": [0, -1]}, "delay has -1..0"),
        ({"delay": [0, 1, 2]}, r"delay has shape \(3,\)"),
        ({"weight": [2**22, 0], "delay": 99}, "weight has 0..4194304.*; delay has 99"),
    ],
)
def test_bad_synapses(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        good_synapses(**change)


@pytest.mark.parametrize("name", ["indptr", "target", "weight", "delay"])
def test_synapses_are_integers(name: str) -> None:
    with pytest.raises(TypeError, match="needs integers, got float64"):
        good_synapses(**{name: [0.0, 1.0]})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((2, [0, 2], [0, 0], 64), "pre has 0..2, must lie in 0..1"),
        ((2, [0, -1], [0, 0], 64), "pre has -1..0"),
        ((2, [0, 1], [0, -1], 64), "post has -1..0"),
        ((2, [0, 1], [0], 64), "lists of unequal length"),
        ((2, [0, 1], [0, 1], [64, 64, 64]), r"lists of unequal length: .*weight \(3,\)"),
        ((2, [0, 1], [0, 1], 64, [0, 1, 2]), "lists of unequal length"),
        ((2, [0, 1], [0, 1], 64, [0, 63]), "delay has 0..63, must lie in 0..62"),
        ((2, [0, 1], [0, 1], [64, 2**30]), "weight has 64..1073741824"),
    ],
)
def test_bad_lists(arguments: tuple[Any, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Synapses.from_lists(*arguments)


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"decay_u": [0, 4096]}, "decay_u of compartment 1 is 4096, must be 0..4095"),
        ({"decay_v": [-1, -1]}, "decay_v of compartment 0 is -1 and 1 more, must be 0..4095"),
        ({"vth": [NEVER + 1, 0]}, "vth of compartment 0 is 8388545"),
        ({"vth": [-1, 0]}, "vth of compartment 0 is -1"),
        ({"bias": [524_161, 0]}, "bias of compartment 0 is 524161, must be -524288..524160"),
        ({"bias": [-524_289, 2**40]}, "bias of compartment 0 is -524289 and 1 more"),
        ({"refract": [0, 1]}, "refract of compartment 0 is 0, must be 1..63"),
        ({"refract": [64, 1]}, "refract of compartment 0 is 64"),
        ({"vmin": [1, 0]}, "vmin of compartment 0 is 1, must be -8388607..0"),
        ({"vmax": [TOP + 1, 0]}, "vmax of compartment 0 is 8388608, must be 0..8388607"),
        ({"noise_exp": [0, 1]}, "noise_exp of compartment 0 is 0, must be 1..23"),
        ({"noise_exp": [23, 23], "noise_offset": [300, 0], "enable_noise": [1, 1]}, "noise of compartment 0 reaches"),
        ({"noise_exp": 23, "noise_offset": 300, "enable_noise": 1}, "noise of compartment 0 and of 1 more reaches"),
        ({"vth": [1, 2, 3]}, r"vth has shape \(3,\), must be \(2,\)"),
        ({"decay_u": [[0, 0]]}, "shape"),
        ({"decay_u": [], "decay_v": []}, "there must be a compartment"),
        ({"decay_u": [0, 9999], "refract": [99, 1]}, "decay_u of compartment 1.*; refract of compartment 0"),
    ],
)
def test_bad_compartments(change: dict[str, Any], text: str) -> None:
    good = {name: np.full(2, value) for name, value in QUIET.items()}
    with pytest.raises(ValueError, match=text):
        Compartments(**(good | change))


def test_loud_noise_that_is_off_is_no_error() -> None:
    made = Compartments(**QUIET, noise_exp=23, noise_offset=300, enable_noise=[False, False])
    assert made.noise_offset.tolist() == [300, 300]
    assert made.vth.tolist() == [NEVER, NEVER]
    assert made.vth.dtype == np.int32


@pytest.mark.parametrize("name", ["vth", "noise_exp"])
def test_compartments_are_integers(name: str) -> None:
    with pytest.raises(TypeError, match="needs integers, got float64"):
        Compartments(**(QUIET | {name: np.array([1.5, 2.0])}))


@pytest.mark.parametrize("name", ["enable_noise", "noise_at_membrane"])
def test_switches_are_booleans(name: str) -> None:
    with pytest.raises(TypeError, match="needs booleans, got float64"):
        Compartments(**(QUIET | {name: np.array([0.5, 1.0])}))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"overflow": "clip"}, "overflow is 'wrap' or 'error', not 'clip'"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**64}, "seed is 18446744073709551616"),
        ({"n_inputs": -1}, "n_inputs is -1"),
        ({"n_inputs": 1}, "synapses have 2 sources, the board has 1 inputs and 2 compartments"),
        ({"core": [0]}, "core needs 2 integers"),
        ({"core": [0, -1]}, "core needs 2 integers that are not negative"),
        ({"core": [0.0, 1.0]}, "core needs 2 integers"),
        ({"synapses": Synapses.from_lists(2, [0], [2], 64)}, "synapses reach compartment 2, there are 2"),
        ({"seed": -1, "core": [0]}, "seed is -1.*; core needs"),
    ],
)
def test_bad_boards(change: dict[str, Any], text: str) -> None:
    good: dict[str, Any] = {
        "compartments": Compartments(**(QUIET | {"bias": [0, 0]})),
        "synapses": good_synapses(),
        "n_inputs": 0,
    }
    with pytest.raises(ValueError, match=text):
        Board(**(good | change))


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (lambda b: b.run(-1, [], []), "steps is -1"),
        (lambda b: b.run(5, [0], [2]), "event_source has 2..2, must lie in 0..1"),
        (lambda b: b.run(5, [0], [-1]), "event_source has -1..-1"),
        (lambda b: b.run(5, [5], [0]), "event_step has 5..5, must lie in 0..4"),
        (lambda b: b.run(5, [-1], [0]), "event_step has -1..-1"),
        (lambda b: b.run(5, [1, 3, 2], [0, 0, 0]), "event_step decreases at position 2: 3 then 2"),
        (lambda b: b.run(5, [1, 2], [0]), "event_step has 2 entries, event_source 1"),
        (lambda b: b.run(5, [1.0], [0]), "event_step needs integers in one dimension, got float64"),
        (lambda b: b.run(5, [[1]], [0]), "event_step needs integers in one dimension"),
        (lambda b: b.run(5, [], [], probe=[Probe("q", [0])]), "probe 0: variable is 'q', must be one of u, v, v_reg"),
        (lambda b: b.run(5, [], [], probe=[Probe("u", [0]), Probe("v", [3])]), r"probe 1: indices 3..3 outside 0..2"),
        (lambda b: b.run(5, [], [], probe=[Probe("u", [-1])]), r"probe 0: indices -1..-1"),
        (lambda b: b.run(5, [], [], probe=[Probe("u", [0.5])]), "probe 0: indices need integers"),
        (lambda b: b.run(5, [], [], probe=[Probe("u", 0)]), "probe 0: indices need integers in one dimension"),
        (lambda b: b.run(5, [], [], probe=[Probe("u", [0], 0)]), "probe 0: every is 0, must be at least 1"),
    ],
)
def test_bad_runs_change_nothing(run: Callable[[Board], Result], text: str) -> None:
    made = board(3, [(0, 0, 64, 0)], 2, bias=64, decay_v=0)
    with pytest.raises(ValueError, match=text):
        run(made)
    assert made.state().v.tolist() == [0, 0, 0]
