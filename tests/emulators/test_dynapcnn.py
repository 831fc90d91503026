"""DynapCNN emulator: golden vectors, the rules one by one, and agreement with a slow plain-Python model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hal_emulators.dynapcnn import Chain, ChainResult, CoreParams

GOLDEN = Path(__file__).parents[1] / "golden" / "dynapcnn"
CASES = sorted(path.stem for path in GOLDEN.glob("p0[1-8]_*.npz"))
NO_TICKS = np.empty(0, np.int64)


def params(golden: Any, number: int, layer: dict[str, Any], leak: bool) -> CoreParams:
    return CoreParams(
        weights=golden[f"layer{number}_weights"],
        bias=golden[f"layer{number}_bias"],
        in_shape=tuple(layer["in_shape"]),
        stride=tuple(layer["stride_yx"]),
        padding=tuple(layer["padding_yx"]),
        threshold_high=layer["threshold_high"],
        threshold_low=layer["threshold_low"],
        return_to_zero=layer["return_to_zero"],
        leak_enable=leak,
        pooling=layer["pooling"],
    )


def flat(events: NDArray[Any], shape: tuple[int, int, int]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    c, y, x = (events[field].astype(np.int64) for field in "pyx")
    return events["t"].astype(np.int64), ((c * shape[1] + y) * shape[2] + x).astype(np.uint32)


def structured(
    t: NDArray[np.int64], index: NDArray[np.uint32], shape: tuple[int, int, int], like: np.dtype[Any]
) -> Any:
    events = np.zeros(len(t), like)
    events["p"], events["y"], events["x"] = np.unravel_index(index, shape)
    events["t"] = t
    return events


def load(case: str) -> tuple[Any, list[dict[str, Any]], list[CoreParams], NDArray[np.int64]]:
    golden = np.load(GOLDEN / f"{case}.npz")
    layers = json.loads(str(golden["meta"]))["layers"]
    ticks = golden["leak_ticks_us"].astype(np.int64) if "leak_ticks_us" in golden else NO_TICKS
    cores = [params(golden, n, layer, leak=bool(ticks.size)) for n, layer in enumerate(layers)]
    return golden, layers, cores, ticks


def check_layer(golden: Any, number: int, layer: dict[str, Any], chain: Chain, core: int, result: Any) -> None:
    shape = chain.cores[core].out_shape
    assert list(shape) == layer["out_shape"]
    expected = golden[f"layer{number}_out"]
    out = structured(result.t, result.index, shape, expected.dtype)
    assert out.tobytes() == expected.tobytes()
    assert hashlib.sha256(out.tobytes()).hexdigest() == layer["out_sha256"]
    assert np.array_equal(result.src, golden[f"layer{number}_out_src"])
    assert np.array_equal(chain.state(core), golden[f"layer{number}_v_final"])
    count = np.bincount(result.index, minlength=np.prod(shape)).reshape(shape)
    assert np.array_equal(count, golden[f"layer{number}_spike_count"])
    for counter in ("events_in", "events_out", "synops"):
        assert getattr(result, counter) == layer[counter], counter


def test_golden_cases_are_there() -> None:
    assert len(CASES) == 9


@pytest.mark.parametrize("case", CASES)
def test_golden_chain(case: str) -> None:
    golden, layers, cores, ticks = load(case)
    chain = Chain(cores)
    result = chain.run(*flat(golden["input"], cores[0].in_shape), ticks, sources=True)
    for number, (layer, core) in enumerate(zip(layers, result.cores, strict=True)):
        check_layer(golden, number, layer, chain, number, core)
        assert core.saturated == 0
        following = layers[number + 1]["events_in"] if number + 1 < len(layers) else core.events_out
        assert core.dropped_by_pooling == core.events_out - following


@pytest.mark.parametrize("case", CASES)
def test_golden_layer_by_layer(case: str) -> None:
    golden, layers, cores, ticks = load(case)
    for number, (layer, core) in enumerate(zip(layers, cores, strict=True)):
        chain = Chain([core])
        events = golden[f"layer{number}_in" if number else "input"]
        result = chain.run(*flat(events, core.in_shape), ticks, sources=True)
        check_layer(golden, number, layer, chain, 0, result.cores[0])


def test_golden_residual_branches() -> None:
    golden = np.load(GOLDEN / "p09_residual_two_destinations.npz")
    layers = json.loads(str(golden["meta"]))["layers"]
    for name, layer in layers.items():
        core = CoreParams(
            weights=golden[f"{name}_weights"],
            in_shape=tuple(layer["in_shape"]),
            padding=tuple(layer["padding_yx"]),
            threshold_high=layer["threshold_high"],
            threshold_low=layer["threshold_low"],
        )
        chain = Chain([core])
        events = golden["input" if name == "A" else f"{name}_in"]
        result = chain.run(*flat(events, core.in_shape)).cores[0]
        expected = golden[f"{name}_out"]
        assert structured(result.t, result.index, core.out_shape, expected.dtype).tobytes() == expected.tobytes()
        assert np.array_equal(chain.state(0), golden[f"{name}_v_final"])
        assert result.synops == layer["synops"]


@pytest.mark.parametrize("case", ["p05_three_layers_pool", "p08_leak_ticks"])
@pytest.mark.parametrize("size", [1, 7, 501])
def test_chunks_equal_the_whole(case: str, size: int) -> None:
    golden, _, cores, ticks = load(case)
    t, index = flat(golden["input"], cores[0].in_shape)
    whole, parts = Chain(cores), Chain(cores)
    expected = whole.run(t, index, ticks)
    results = []
    done = 0
    for start in range(0, len(t), size):
        last = start + size >= len(t)
        until = len(ticks) if last else int(np.searchsorted(ticks, t[start + size - 1], side="right"))
        results.append(parts.run(t[start : start + size], index[start : start + size], ticks[done:until]))
        done = until
    for number, core in enumerate(expected.cores):
        pieces = [result.cores[number] for result in results]
        assert np.array_equal(np.concatenate([piece.t for piece in pieces]), core.t)
        assert np.array_equal(np.concatenate([piece.index for piece in pieces]), core.index)
        assert np.array_equal(parts.state(number), whole.state(number))
        for counter in ("events_in", "events_out", "synops", "dropped_by_pooling"):
            assert sum(getattr(piece, counter) for piece in pieces) == getattr(core, counter)


def one_neuron(weight: int, **changes: Any) -> CoreParams:
    return CoreParams(**{"weights": np.full((1, 1, 1, 1), weight, np.int8), "in_shape": (1, 1, 1), **changes})


def pulses(n: int) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    return np.arange(n, dtype=np.int64), np.zeros(n, np.uint32)


@pytest.mark.parametrize(("to_zero", "left"), [(False, 350), (True, 0)])
def test_one_spike_per_update_above_twice_the_threshold(to_zero: bool, left: int) -> None:
    chain = Chain([one_neuron(120, threshold_high=50, return_to_zero=to_zero)])
    assert chain.run(*pulses(5)).cores[0].events_out == 5
    assert chain.state(0).item() == left


def test_zero_weight_is_an_update() -> None:
    chain = Chain([one_neuron(0, threshold_high=50, initial_state=np.full((1, 1, 1), 120))])
    result = chain.run(*pulses(4)).cores[0]
    assert result.t.tolist() == [0, 1]
    assert chain.state(0).item() == 20
    assert result.synops == 4


def test_saturation_at_both_ends_is_counted() -> None:
    up = Chain([one_neuron(127, threshold_high=1, initial_state=np.full((1, 1, 1), 32700))])
    result = up.run(*pulses(3)).cores[0]
    assert result.saturated == 3
    assert up.state(0).item() == 32766
    down = Chain([one_neuron(-128, threshold_high=1, initial_state=np.full((1, 1, 1), -32700))])
    assert down.run(*pulses(3)).cores[0].saturated == 3
    assert down.state(0).item() == -32768


def test_negative_weight_at_the_lower_threshold() -> None:
    chain = Chain([one_neuron(-100, threshold_high=127, threshold_low=-1)])
    chain.run(*pulses(3))
    assert chain.state(0).item() == -1


def test_leak_acts_before_events_of_the_same_time_and_never_fires() -> None:
    core = one_neuron(10, threshold_high=10, threshold_low=-5, leak_enable=True, bias=np.array([-3], np.int16))
    chain = Chain([core])
    result = chain.run(*pulses(1), np.array([0], np.int64))
    assert result.cores[0].events_out == 0
    assert chain.state(0).item() == 7
    chain.run(*pulses(0), np.arange(10, dtype=np.int64))
    assert chain.state(0).item() == -5
    rising = Chain([one_neuron(0, threshold_high=10, leak_enable=True, bias=np.array([20], np.int16))])
    assert rising.run(*pulses(0), np.arange(3, dtype=np.int64)).cores[0].events_out == 0
    assert rising.state(0).item() == 60
    idle = Chain([one_neuron(0, threshold_high=10, bias=np.array([20], np.int16))])
    idle.run(*pulses(0), np.arange(3, dtype=np.int64))
    assert idle.state(0).item() == 0


def test_leak_saturates_and_counts() -> None:
    state = np.array([[[32760]], [[-32760]]])
    core = CoreParams(
        weights=np.zeros((2, 1, 1, 1), np.int8), in_shape=(1, 1, 1), threshold_high=32767, leak_enable=True,
        bias=np.array([100, -100]), initial_state=state,
    )  # fmt: skip
    chain = Chain([core])
    assert chain.run(*pulses(0), np.zeros(1, np.int64)).cores[0].saturated == 2
    assert chain.state(0).ravel().tolist() == [32767, -32768]


def test_reset_returns_to_initial_values() -> None:
    start = np.arange(-18, 18).reshape(1, 6, 6) * 10
    core = CoreParams(
        weights=np.full((1, 1, 3, 3), 9, np.int8),
        in_shape=(1, 6, 6),
        padding=(1, 1),
        threshold_high=200,
        initial_state=start,
    )
    chain = Chain([core])
    events = np.arange(36, dtype=np.int64), np.arange(36, dtype=np.uint32)
    first = chain.run(*events).cores[0]
    assert not np.array_equal(chain.state(0), start)
    chain.reset()
    assert np.array_equal(chain.state(0), start)
    again = chain.run(*events).cores[0]
    assert np.array_equal(first.index, again.index)
    copy = chain.state(0)
    copy[:] = 0
    assert not np.array_equal(chain.state(0), copy)


def odd_pair() -> list[CoreParams]:
    """5x5 relays pooled by 2, into a 3x3 kernel with padding 1 that reaches back from beyond the 2x2 map."""
    relay = CoreParams(
        weights=np.full((1, 1, 1, 1), 100, np.int8), in_shape=(1, 5, 5), threshold_high=100, pooling=2
    )  # fmt: skip
    kernel = np.arange(1, 10, dtype=np.int8).reshape(1, 1, 3, 3)
    return [relay, CoreParams(weights=kernel, in_shape=(1, 2, 2), padding=(1, 1), threshold_high=1000)]


def test_odd_size_drop_and_keep() -> None:
    t, corner = np.zeros(1, np.int64), np.array([24], np.uint32)
    dropping = Chain(odd_pair())
    one, two = dropping.run(t, corner).cores
    assert (one.events_out, one.dropped_by_pooling, two.events_in, two.synops) == (1, 1, 0, 0)
    assert not dropping.state(1).any()
    keeping = Chain(odd_pair(), odd="keep")
    one, two = keeping.run(t, corner).cores
    assert (one.dropped_by_pooling, two.events_in, two.synops) == (0, 1, 1)
    assert keeping.state(1)[0].tolist() == [[0, 0], [0, 9]]


def test_output_buffer_grows_without_loss() -> None:
    core = CoreParams(weights=np.full((1024, 1, 1, 1), 5, np.int8), in_shape=(1, 3, 3), threshold_high=5)
    chain = Chain([core])
    n = 300
    result = chain.run(np.arange(n, dtype=np.int64), np.full(n, 4, np.uint32), sources=True).cores[0]
    assert result.events_out == n * 1024
    assert result.src is not None
    assert np.array_equal(result.src, np.repeat(np.arange(n, dtype=np.uint32), 1024))
    assert np.array_equal(result.index, np.tile(np.arange(1024, dtype=np.uint32) * 9 + 4, n))


def test_empty_input() -> None:
    chain = Chain(odd_pair())
    chain.set_state(1, np.ones((1, 2, 2), int))
    result = chain.run(np.empty(0, np.int64), np.empty(0, np.uint32), sources=True)
    for core in result.cores:
        assert core.t.size == core.index.size == core.events_in == core.synops == 0
        assert core.src is not None
    assert chain.state(1).all()


def test_input_that_reaches_no_neuron() -> None:
    core = CoreParams(weights=np.ones((3, 1, 1, 1), np.int8), in_shape=(1, 4, 4), stride=(2, 4), threshold_high=1)
    result = Chain([core]).run(np.arange(16, dtype=np.int64), np.arange(16, dtype=np.uint32)).cores[0]
    assert result.synops == 2 * 3
    assert np.unique(result.t).tolist() == [0, 8]


@pytest.mark.parametrize(
    ("t", "index", "ticks"),
    [
        ([1, 0], [0, 0], []),
        ([0, 1], [0, 25], []),
        ([0, 1], [0], []),
        ([0], [0], [5, 4]),
    ],
)
def test_bad_events_are_refused_before_anything_runs(t: list[int], index: list[int], ticks: list[int]) -> None:
    chain = Chain(odd_pair())
    with pytest.raises(ValueError, match=r"decreases|outside|shape"):
        chain.run(np.array(t, np.int64), np.array(index, np.uint32), np.array(ticks, np.int64))
    assert not chain.state(0).any()


def test_any_memory_layout_of_the_events_will_do() -> None:
    core = attrs.evolve(odd_pair()[0], weights=np.full((1, 1, 1, 1), 50, np.int8))
    records = np.zeros(40, np.dtype([("t", "<i8"), ("index", "<u4")]))
    records["t"], records["index"] = np.arange(40), np.arange(40) % 9
    expected = Chain([core]).run(records["t"].copy(), records["index"].copy()).cores[0]
    records.setflags(write=False)
    answer = Chain([core]).run(records["t"], records["index"]).cores[0]
    assert answer.events_out > 0
    assert np.array_equal(answer.index, expected.index)
    assert np.array_equal(answer.t, expected.t)


def test_wrong_dtypes_are_refused() -> None:
    chain = Chain(odd_pair())
    with pytest.raises(ValueError, match="int64"):
        chain.run(np.zeros(1, np.int32), np.zeros(1, np.uint32))
    with pytest.raises(ValueError, match="uint32"):
        chain.run(np.zeros(1, np.int64), np.zeros(1, np.int64))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"weights": np.full((1, 1, 1, 1), 128)}, ValueError),
        ({"weights": np.full((1, 1, 1, 1), 0.5)}, TypeError),
        ({"weights": np.ones((1, 1, 1, 2), np.int8)}, ValueError),
        ({"in_shape": (2, 1, 1)}, ValueError),
        ({"bias": np.zeros(2, np.int16)}, ValueError),
        ({"threshold_high": 40_000}, ValueError),
        ({"stride": (0, 1)}, ValueError),
        ({"initial_state": np.zeros((1, 2, 1), int)}, ValueError),
    ],
)
def test_bad_parameters_are_refused(changes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        one_neuron(1, **{"threshold_high": 10, **changes})


def test_cores_that_do_not_join_are_refused() -> None:
    with pytest.raises(ValueError, match="core 1 expects"):
        Chain([odd_pair()[0], one_neuron(1, threshold_high=1)])
    with pytest.raises(ValueError, match="at least one"):
        Chain([])


def plain_model(
    cores: list[CoreParams], odd: str, t: list[int], index: list[int], ticks: list[int]
) -> tuple[list[list[tuple[int, int, int]]], list[NDArray[Any]], list[dict[str, int]]]:
    """The rules written as naively as possible, depth first, one neuron at a time."""
    states = [
        np.zeros(core.out_shape, int) if core.initial_state is None else core.initial_state.astype(int)
        for core in cores
    ]
    spikes: list[list[tuple[int, int, int]]] = [[] for _ in cores]
    counts = [dict.fromkeys(("events_in", "synops", "saturated", "dropped_by_pooling"), 0) for _ in cores]

    def clip(number: int, value: int) -> int:
        counts[number]["saturated"] += not -32768 <= value <= 32767
        return max(-32768, min(32767, value))

    def deliver(number: int, now: int, channel: int, y: int, x: int) -> None:
        core, state, src = cores[number], states[number], counts[number]["events_in"]
        counts[number]["events_in"] += 1
        features, height, width = core.out_shape
        fired = []
        for oy in range(height):
            for ox in range(width):
                ky = y + core.padding[0] - oy * core.stride[0]
                kx = x + core.padding[1] - ox * core.stride[1]
                if not (0 <= ky < core.weights.shape[2] and 0 <= kx < core.weights.shape[3]):
                    continue
                for f in range(features):
                    counts[number]["synops"] += 1
                    v = clip(number, int(state[f, oy, ox]) + int(core.weights[f, channel, ky, kx]))
                    if v >= core.threshold_high:
                        fired.append((f, oy, ox))
                        v = 0 if core.return_to_zero else v - core.threshold_high
                    state[f, oy, ox] = max(v, core.threshold_low)
        for f, oy, ox in fired:
            spikes[number].append((now, (f * height + oy) * width + ox, src))
            if number + 1 == len(cores):
                continue
            py, px = oy // core.pooling, ox // core.pooling
            _, next_height, next_width = cores[number + 1].in_shape
            if odd == "drop" and (py >= next_height or px >= next_width):
                counts[number]["dropped_by_pooling"] += 1
            else:
                deliver(number + 1, now, f, py, px)

    def tick() -> None:
        for number, core in enumerate(cores):
            if core.leak_enable:
                for place in np.ndindex(core.out_shape):
                    v = clip(number, int(states[number][place]) + int(core.bias[place[0]]))
                    states[number][place] = max(v, core.threshold_low)

    everything = sorted([(time, 0, 0) for time in ticks] + [(time, 1, n) for n, time in enumerate(t)])
    for now, kind, n in everything:
        if kind == 0:
            tick()
        else:
            channel, y, x = np.unravel_index(index[n], cores[0].in_shape)
            deliver(0, now, int(channel), int(y), int(x))
    return spikes, states, counts


@st.composite
def chains(draw: st.DrawFn) -> tuple[list[CoreParams], str, list[int], list[int], list[int]]:
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)))
    cores: list[CoreParams] = []
    for _ in range(draw(st.integers(1, 3))):
        kernel = draw(st.integers(1, 5))
        padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
        if min(shape[1] + 2 * padding[0], shape[2] + 2 * padding[1]) < kernel:
            break
        features = draw(st.sampled_from([1, 2, 5, 16, 33]))
        big = draw(st.booleans())
        core = CoreParams(
            weights=generator.integers(-60, 128, (features, shape[0], kernel, kernel)),
            bias=generator.integers(-40, 40, features),
            in_shape=shape,
            stride=draw(st.tuples(st.sampled_from([1, 2, 3, 4, 8]), st.sampled_from([1, 2, 3, 4, 8]))),
            padding=padding,
            threshold_high=draw(st.sampled_from([1, 20, 90, 300])),
            threshold_low=draw(st.sampled_from([-32768, -100, -1, 0])),
            return_to_zero=draw(st.booleans()),
            leak_enable=draw(st.booleans()),
            pooling=draw(st.sampled_from([1, 2, 4])),
        )
        if big:
            start = generator.choice([-32768, -32700, 0, 32700, 32767], core.out_shape)
            core = attrs.evolve(core, initial_state=start)
        cores.append(core)
        shape = (features, core.out_shape[1] // core.pooling, core.out_shape[2] // core.pooling)
        if 0 in shape:
            break
    if not cores:
        cores = [one_neuron(60, threshold_high=100, in_shape=(1, 1, 1))]
    n = draw(st.integers(0, 40))
    t = np.sort(generator.integers(0, 30, n)).tolist()
    index = generator.integers(0, np.prod(cores[0].in_shape), n).tolist()
    ticks = sorted(draw(st.lists(st.integers(-1, 31), max_size=4)))
    return cores, draw(st.sampled_from(["drop", "keep"])), t, index, ticks


def run(chain: Chain, t: list[int], index: list[int], ticks: list[int]) -> ChainResult:
    return chain.run(np.array(t, np.int64), np.array(index, np.uint32), np.array(ticks, np.int64), sources=True)


@settings(max_examples=150, deadline=None)
@given(chains())
def test_agrees_with_the_plain_model(case: tuple[list[CoreParams], str, list[int], list[int], list[int]]) -> None:
    cores, odd, t, index, ticks = case
    chain = Chain(cores, odd=odd)  # type: ignore[arg-type]
    result = run(chain, t, index, ticks)
    spikes, states, counts = plain_model(cores, odd, t, index, ticks)
    for number, core in enumerate(result.cores):
        assert core.src is not None
        assert list(zip(core.t.tolist(), core.index.tolist(), core.src.tolist(), strict=True)) == spikes[number]
        assert np.array_equal(chain.state(number), states[number])
        assert {name: getattr(core, name) for name in counts[number]} == counts[number]
        assert core.events_out == len(spikes[number])
