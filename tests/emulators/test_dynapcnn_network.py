"""Networks of cores: the golden residual, agreement with chains, and time against a small queueing model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hal_emulators.dynapcnn import Chain, CoreParams
from hal_emulators.dynapcnn_network import COUNTERS, EndlessError, Link, Network, Step, Timing

GOLDEN = Path(__file__).parents[1] / "golden" / "dynapcnn"


def relay(features: int = 1, weight: int = 10, **more: Any) -> CoreParams:
    """One pixel; every event of a feature makes the neuron of that feature fire once."""
    weights = np.eye(features, dtype=np.int8)[:, :, None, None] * weight
    return CoreParams(**({"weights": weights, "in_shape": (features, 1, 1), "threshold_high": 10} | more))


def fan(n: int, **more: Any) -> CoreParams:
    """One input, n neurons that all fire at every event."""
    return relay(**{"weights": np.full((n, 1, 1, 1), 10, np.int8), **more})


def play(
    network: Network,
    t: Sequence[int] | NDArray[Any],
    index: Any = None,
    port: Any = None,
    *,
    duration: int | None = None,
    ticks: Sequence[int] = (),
    clocks: Sequence[int] = (),
    budget: int = 2**62,
) -> Step:
    """A whole run as one step."""
    n = len(t)
    network.begin(
        np.array(t, np.int64),
        np.zeros(n, np.int64) if port is None else np.array(port, np.int64),
        np.zeros(n, np.uint32) if index is None else np.array(index, np.uint32),
        np.array(ticks, np.int64),
        np.array(clocks, np.int64) if len(clocks) else np.zeros(len(ticks), np.int64),
        duration=duration or int(max([0, *t, *ticks])) + 1,
    )
    steps = [network.advance(budget)]
    while not steps[-1].done:
        steps.append(network.advance(budget))
    return Step(
        now=steps[-1].now,
        done=True,
        t=np.concatenate([step.t for step in steps]),
        core=np.concatenate([step.core for step in steps]),
        index=np.concatenate([step.index for step in steps]),
        counts={name: sum(step.counts[name] for step in steps) for name in COUNTERS},
        stalls=np.concatenate([step.stalls for step in steps]),
    )


def of(step: Step, core: int) -> list[tuple[int, int]]:
    mine = step.core == core
    return list(zip(step.t[mine].tolist(), step.index[mine].tolist(), strict=True))


def same(one: Step, two: Step) -> None:
    for name in ("t", "core", "index"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    for name in COUNTERS:
        assert np.array_equal(one.counts[name], two.counts[name]), name


def row(cores: Sequence[CoreParams]) -> list[Link]:
    return [Link(-1, 0)] + [Link(n, n + 1, core.pooling) for n, core in enumerate(cores[:-1])]


# --- the untimed rule ------------------------------------------------------------------------------------------------


def test_golden_residual() -> None:
    """Two destinations and a sum: every spike in order, every state, every count."""
    golden = np.load(GOLDEN / "p09_residual_two_destinations.npz")
    layers = json.loads(str(golden["meta"]))["layers"]
    cores = [
        CoreParams(
            weights=golden[f"{name}_weights"],
            in_shape=tuple(layer["in_shape"]),
            stride=tuple(layer["stride_yx"]),
            padding=tuple(layer["padding_yx"]),
            threshold_high=layer["threshold_high"],
            threshold_low=layer["threshold_low"],
            return_to_zero=layer["return_to_zero"],
        )
        for name, layer in layers.items()
    ]
    network = Network(cores, [Link(-1, 0), Link(0, 1), Link(0, 2), Link(1, 2)], [cores[0].in_shape])

    def flat(events: Any, shape: tuple[int, int, int]) -> Any:
        return (events["p"].astype(int) * shape[1] + events["y"]) * shape[2] + events["x"]

    events = golden["input"]
    step = play(network, events["t"].astype(np.int64), flat(events, cores[0].in_shape))
    for number, (name, layer) in enumerate(layers.items()):
        spikes = golden[f"{name}_out"]
        wanted = list(zip(spikes["t"].tolist(), flat(spikes, cores[number].out_shape).tolist(), strict=True))
        assert of(step, number) == wanted
        assert np.array_equal(network.state(number), golden[f"{name}_v_final"])
        for key in ("events_in", "events_out", "synops"):
            assert step.counts[key][number] == layer[key]
    assert not network.pending.any()


@st.composite
def chains(draw: Any) -> tuple[list[CoreParams], str]:
    """Up to three cores with pools, strides, borders, leak and odd sizes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = tuple(int(n) for n in rng.integers((1, 3, 3), (4, 8, 8)))
    cores: list[CoreParams] = []
    for _ in range(draw(st.integers(1, 3))):
        kernel = int(rng.integers(1, min(3, *shape[1:]) + 1))
        features = int(rng.integers(1, 5))
        core = CoreParams(
            weights=rng.integers(-60, 100, (features, shape[0], kernel, kernel)),
            bias=rng.integers(-9, 9, features),
            in_shape=shape,
            stride=(int(rng.integers(1, 3)), 1),
            padding=(int(rng.integers(0, 2)), int(rng.integers(0, 3))),
            threshold_high=int(rng.integers(1, 90)),
            threshold_low=int(rng.choice([-1, -50, -32768])),
            return_to_zero=bool(rng.integers(2)),
            leak_enable=bool(rng.integers(2)),
            pooling=int(rng.integers(1, 3)),
        )
        cores.append(core)
        f, height, width = core.out_shape
        shape = (f, height // core.pooling, width // core.pooling)
        if min(shape) < 1:
            break
    return cores, draw(st.sampled_from(["drop", "keep"]))


def stimulus(core: CoreParams, n: int, seed: int, spread: int = 3) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    rng = np.random.default_rng(seed)
    t = np.cumsum(rng.integers(0, spread, n)).astype(np.int64)
    return t, rng.integers(0, np.prod(core.in_shape), n).astype(np.uint32)


@settings(max_examples=60, deadline=None)
@given(case=chains(), seed=st.integers(0, 99), budget=st.integers(1, 300))
def test_rule_22_chains_depth_first_and_layer_by_layer_are_equal(
    case: tuple[list[CoreParams], Any], seed: int, budget: int
) -> None:
    """Spikes, times, states, counts: as the chain emulator, whatever the parts in which the run is done."""
    cores, odd = case
    t, index = stimulus(cores[0], 80, seed)
    ticks = np.arange(2, int(t.max()) + 1, 17)
    chain = Chain(cores, odd=odd)
    wanted = chain.run(t, index, ticks).cores
    network = Network(cores, row(cores), [cores[0].in_shape], odd=odd)
    step = play(network, t, index, ticks=ticks.tolist(), budget=budget)
    for number, result in enumerate(wanted):
        mine = step.core == number
        assert np.array_equal(step.t[mine], result.t)
        assert np.array_equal(step.index[mine], result.index)
        assert np.array_equal(network.state(number), chain.state(number))
        for name in ("events_in", "events_out", "synops", "saturated", "dropped_by_pooling"):
            assert step.counts[name][number] == getattr(result, name), name
    assert not step.stalls.size


def diamond() -> tuple[list[CoreParams], list[Link]]:
    """0 to 1 and 2, both to 3 (concatenated), 2 back to 1."""
    rng = np.random.default_rng(3)

    def core(f_in: int, f_out: int) -> CoreParams:
        return CoreParams(
            weights=rng.integers(-80, 100, (f_out, f_in, 3, 3)), in_shape=(f_in, 6, 6), padding=(1, 1),
            threshold_high=150, leak_enable=True, bias=rng.integers(-9, 1, f_out),
        )  # fmt: skip

    cores = [core(2, 3), core(3, 3), core(3, 2), core(5, 2)]
    return cores, [Link(-1, 0), Link(0, 1), Link(0, 2), Link(1, 3), Link(2, 3, 1, 3)]


def plain_depth_first(
    cores: list[CoreParams], links: list[Link], t: list[int], index: list[int]
) -> list[tuple[int, int, int]]:
    """The untimed rule of a graph without cycles, one update at a time: (t, core, index) in order of emission."""
    states = [np.zeros(core.out_shape, int) for core in cores]
    out: list[tuple[int, int, int]] = []

    def send(now: int, source: int, where: tuple[int, int, int]) -> None:
        for link in links:
            if link.source == source:
                take(now, link.target, (where[0] + link.shift, where[1] // link.pooling, where[2] // link.pooling))

    def take(now: int, number: int, where: tuple[int, int, int]) -> None:
        core, v = cores[number], states[number]
        features, height, width = core.out_shape
        kernel = core.weights.shape[2]
        fired = []
        for y in range(height):
            for x in range(width):
                ky, kx = (
                    where[1] + core.padding[0] - y * core.stride[0],
                    where[2] + core.padding[1] - x * core.stride[1],
                )
                if not (0 <= ky < kernel and 0 <= kx < kernel):
                    continue
                for f in range(features):
                    v[f, y, x] += core.weights[f, where[0], ky, kx]
                    if v[f, y, x] >= core.threshold_high:
                        v[f, y, x] = 0 if core.return_to_zero else v[f, y, x] - core.threshold_high
                        fired.append((f, y, x))
                    v[f, y, x] = max(v[f, y, x], core.threshold_low)
        for spike in fired:
            out.append((now, number, int(np.ravel_multi_index(spike, core.out_shape))))
            send(now, number, spike)

    for now, flat in zip(t, index, strict=True):
        send(now, -1, tuple(int(n) for n in np.unravel_index(flat, cores[0].in_shape)))  # type: ignore[arg-type]
    return out


@pytest.mark.parametrize("seed", range(4))
def test_branches_sums_and_shifts_against_a_plain_model(seed: int) -> None:
    cores, links = diamond()
    t, index = stimulus(cores[0], 150, seed)
    step = play(Network(cores, links, [cores[0].in_shape]), t, index)
    wanted = plain_depth_first(cores, links, t.tolist(), index.tolist())
    assert list(zip(step.t.tolist(), step.core.tolist(), step.index.tolist(), strict=True)) == wanted
    assert {core for _, core, _ in wanted} == {0, 1, 2, 3}


def test_two_destinations_in_one_core() -> None:
    """The same spike arrives twice, at two features; the first link first."""
    target = relay(2)
    network = Network([relay(), target], [Link(-1, 0), Link(0, 1, 1, 1), Link(0, 1, 1, 0)], [(1, 1, 1)])
    assert of(play(network, [0, 5]), 1) == [(0, 1), (0, 0), (5, 1), (5, 0)]


def test_pooling_per_destination() -> None:
    wide = CoreParams(weights=np.full((1, 1, 1, 1), 10, np.int8), in_shape=(1, 4, 4), threshold_high=10)
    small = attrs.evolve(wide, in_shape=(1, 2, 2))
    network = Network([wide, small, wide], [Link(-1, 0), Link(0, 1, 2), Link(0, 2)], [(1, 4, 4)])
    step = play(network, [0, 1], [6, 15])
    assert [index for _, index in of(step, 1)] == [1, 3]
    assert [index for _, index in of(step, 2)] == [6, 15]


def test_several_ports_and_feature_shift() -> None:
    network = Network([relay(3)], [Link(-1, 0, 1, 0), Link(-2, 0, 1, 1)], [(1, 1, 1), (2, 1, 1)])
    step = play(network, [0, 1, 1], [0, 1, 0], [0, 1, 0])
    assert of(step, 0) == [(0, 0), (1, 2), (1, 0)]


@pytest.mark.parametrize("rate", [None, 1e7])
def test_continuation_in_parts_equals_one_run(rate: float | None) -> None:
    """Queues, spikes under way and waiting stimulus go over into the next run."""
    cores, links = diamond()
    timing = Timing(rate=rate, depth=3)
    t, index = stimulus(cores[0], 200, 1, spread=900)
    ticks = np.arange(0, int(t.max()), 5000)
    whole = Network(cores, links, [cores[0].in_shape], timing=timing)
    end = int(t.max()) + 1_000_000
    wanted = play(whole, t, index, duration=end, ticks=ticks.tolist())
    parts = Network(cores, links, [cores[0].in_shape], timing=timing)
    got = []
    cuts = [0, 700, 20_000, 20_001, int(t.max()) // 2, end]
    for start, stop in pairwise(cuts):
        mine, ticked = (t >= start) & (t < stop), (ticks >= start) & (ticks < stop)
        step = play(
            parts,
            (t[mine] - start).tolist(),
            index[mine],
            duration=stop - start,
            ticks=(ticks[ticked] - start).tolist(),
        )
        got += [(now + start, core, at) for now, core, at in zip(step.t, step.core, step.index, strict=True)]
        total = step.stalls["t1"] - step.stalls["t0"]
        assert (total >= 0).all()
    assert got == list(zip(wanted.t, wanted.core, wanted.index, strict=True))
    assert len(got) > 100
    for number in range(len(cores)):
        assert np.array_equal(parts.state(number), whole.state(number))
    if rate is not None:
        assert wanted.stalls.size


def test_reset_forgets_what_is_under_way() -> None:
    network = Network([fan(3), relay(3)], row([fan(3), relay(3)]), [(1, 1, 1)], timing=Timing(rate=1e3, depth=2))
    first = play(network, [0, 0, 0, 0, 0], duration=4_000_000)
    assert network.pending.any()
    network.reset()
    assert not network.pending.any()
    again = play(network, [0, 0, 0, 0, 0], duration=4_000_000)
    same(first, again)


# --- time ------------------------------------------------------------------------------------------------------------


def tandem(
    cores: list[CoreParams], t: NDArray[np.int64], index: NDArray[np.uint32], ns: int, depth: int
) -> tuple[list[list[int]], list[int]]:
    """A queueing model of cores in a row: times at which spikes leave each core, and waiting before each core in ns.

    Which event makes which neuron fire comes from the chain emulator: only time is computed here. An event is taken
    into the buffer of a core when the event `depth` places before it has begun to be served; it begins when the one
    before it has handed on all its spikes, takes `ns` per update, and then its spikes leave one by one.
    """
    results = Chain(cores).run(t, index, sources=True).cores
    begun: list[list[int]] = [[] for _ in cores]
    over: list[list[int]] = [[] for _ in cores]
    leaves: list[list[int]] = [[] for _ in cores]
    waits: list[list[tuple[int, int]]] = [[] for _ in cores]
    spikes = [np.bincount(r.src, minlength=r.events_in).tolist() if r.src is not None else [] for r in results]
    inputs = [index, *(results[n].index for n in range(len(cores) - 1))]

    def updates(number: int, event: int) -> int:
        core = cores[number]
        _, height, width = core.in_shape
        y, x = divmod(int(inputs[number][event]) % (height * width), width)
        kernel, (f, rows, columns) = core.weights.shape[2], core.out_shape
        reached = [
            sum(0 <= at + pad - o * stride < kernel for o in range(n))
            for at, pad, stride, n in zip((y, x), core.padding, core.stride, (rows, columns), strict=True)
        ]
        return reached[0] * reached[1] * f

    def hand_over(number: int, earliest: int) -> int:
        """Give the next event to a core; the time at which its buffer has taken it."""
        event = len(begun[number])
        taken = max(earliest, begun[number][event - depth] if event >= depth else 0)
        if taken > earliest:
            waits[number].append((earliest, taken))
        begun[number].append(max(taken, over[number][-1] if over[number] else 0))
        now = begun[number][event] + ns * updates(number, event)
        for _ in range(spikes[number][event]):
            leaves[number].append(now)
            if number + 1 < len(cores):
                now = hand_over(number + 1, now)
        over[number].append(now)
        return taken

    now = 0
    for moment in t.tolist():
        now = hand_over(0, max(now, moment))
    return leaves, [sum(b - a for a, b in spans) for spans in waits]


@settings(max_examples=50, deadline=None)
@given(
    case=chains(), seed=st.integers(0, 99), ns=st.integers(1, 40), depth=st.integers(1, 5), spread=st.integers(1, 2000)
)
def test_times_and_stalls_of_chains_are_those_of_a_queueing_model(
    case: tuple[list[CoreParams], Any], seed: int, ns: int, depth: int, spread: int
) -> None:
    cores = [attrs.evolve(core, leak_enable=False) for core in case[0]]
    # every spike must arrive: the model knows nothing of incomplete rows
    cores = [attrs.evolve(core, pooling=1, in_shape=cores[0].in_shape if n == 0 else core.in_shape)
             for n, core in enumerate(cores)]  # fmt: skip
    kept = [cores[0]]
    for core in cores[1:]:
        shape = kept[-1].out_shape
        if min(shape[1:]) < core.weights.shape[2]:
            break
        weights = np.resize(core.weights, (core.weights.shape[0], shape[0], *core.weights.shape[2:]))
        kept.append(attrs.evolve(core, weights=weights, in_shape=shape))
    t, index = stimulus(kept[0], 60, seed, spread)
    leaves, waits = tandem(kept, t, index, ns, depth)
    network = Network(kept, row(kept), [kept[0].in_shape], timing=Timing(rate=1e9 / ns, depth=depth))
    step = play(network, t, index, duration=10**12)
    for number, wanted in enumerate(leaves):
        assert [now for now, _ in of(step, number)] == wanted
        spans = step.stalls[step.stalls["core"] == number]
        assert int((spans["t1"] - spans["t0"]).sum()) == waits[number]
    assert not network.pending.any()


@settings(max_examples=40, deadline=None)
@given(case=chains(), seed=st.integers(0, 99), rate=st.floats(1e4, 1e10), depth=st.integers(1, 70))
def test_a_limited_rate_gives_a_chain_without_leak_the_same_spikes_later(
    case: tuple[list[CoreParams], Any], seed: int, rate: float, depth: int
) -> None:
    cores = [attrs.evolve(core, leak_enable=False) for core in case[0]]
    t, index = stimulus(cores[0], 80, seed, 500)
    end = 10**12
    fast = play(Network(cores, row(cores), [cores[0].in_shape]), t, index, duration=end)
    slow = play(
        Network(cores, row(cores), [cores[0].in_shape], timing=Timing(rate=rate, depth=depth)), t, index, duration=end
    )
    for number in range(len(cores)):
        assert [at for _, at in of(slow, number)] == [at for _, at in of(fast, number)]
        assert all(a >= b for (a, _), (b, _) in zip(of(slow, number), of(fast, number), strict=True))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 9999), spread=st.integers(1, 500))
def test_with_a_rate_without_end_any_graph_follows_the_untimed_rule(seed: int, spread: int) -> None:
    cores, links = diamond()
    t, index = stimulus(cores[0], 100, seed, spread)
    ticks = list(range(0, int(t.max()) + 1, 97))
    untimed = play(Network(cores, links, [cores[0].in_shape]), t, index, ticks=ticks)
    timed = play(Network(cores, links, [cores[0].in_shape], timing=Timing(rate=1e30, depth=1)), t, index, ticks=ticks)
    same(untimed, timed)


def test_rates_are_exact_in_the_long_run() -> None:
    """Parts of a ns are carried on: a third of a ns per update is 1 ns for three."""
    network = Network([relay()], [Link(-1, 0)], [(1, 1, 1)], timing=Timing(rate=3e9, depth=1000))
    step = play(network, [0] * 300, duration=10**6)
    assert step.t[-1] == 100
    assert step.t.tolist() == sorted(step.t.tolist())


def test_rates_and_depths_per_core() -> None:
    cores = [fan(4), relay(4), relay(4)]
    timing = Timing(rate=(1e9, 1e6, 1e9), depth=(1, 2, 1))
    network = Network(cores, row(cores), [(1, 1, 1)], timing=timing)
    step = play(network, [0], duration=10**6)
    # four updates of 1 ns; then one spike in service for four updates of 1 us, two in the buffer, one has to wait
    assert [now for now, _ in of(step, 0)] == [4, 4, 4, 4]
    assert [now for now, _ in of(step, 1)] == [4004, 8004, 12004, 16004]
    assert step.stalls.tolist() == [(1, 4, 4004)]


def test_rule_20_overload_with_and_without_the_balancer() -> None:
    """Without: all spikes, late, and the stall is told. With: drops, counted, and output in time."""
    t = np.arange(0, 100_000, 100)
    slow = Network([relay()], [Link(-1, 0)], [(1, 1, 1)], timing=Timing(rate=1e6, depth=4))
    step = play(slow, t, duration=2_000_000)
    assert step.counts["events_out"][0] == t.size
    assert step.t[-1] == 1000 * t.size
    assert slow.latest == pytest.approx(900 * t.size, rel=0.01)
    assert step.stalls.size == 1
    assert step.counts["late"][0] == t.size - 5
    assert step.counts["dropped"][0] == 0
    balanced = Network([relay(balancer=True)], [Link(-1, 0)], [(1, 1, 1)], timing=Timing(rate=1e6, depth=4))
    step = play(balanced, t, duration=2_000_000)
    assert step.counts["dropped"][0] + step.counts["events_in"][0] == t.size
    assert step.counts["events_in"][0] == 104
    assert step.t[-1] <= t[-1] + 6000
    assert not step.stalls.size
    assert balanced.latest == 0


def test_order_where_paths_merge_and_where_ticks_fall_depends_on_speed() -> None:
    """The documented examples: a shortcut overtakes, and a leak comes first."""
    # the direct way brings +10 to a neuron at the lower bound, the way round -10: which comes first decides
    source, middle = relay(), relay()
    last = relay(2, weights=np.array([[[[-10]], [[10]]]], np.int8), threshold_high=10, threshold_low=-1)
    links = [Link(-1, 0), Link(0, 1), Link(0, 2, 1, 1), Link(1, 2, 1, 0)]

    def spikes(rate: float | None) -> int:
        network = Network([source, middle, last], links, [(1, 1, 1)], timing=Timing(rate=rate))
        return len(of(play(network, [0], duration=10**6), 2))

    assert (spikes(None), spikes(1e6)) == (0, 1)
    leaky = relay(weights=np.full((1, 1, 1, 1), 6, np.int8), leak_enable=True, bias=[-5])
    for rate, count in ((None, 1), (1e6, 0)):
        network = Network([relay(), leaky], row([relay(), leaky]), [(1, 1, 1)], timing=Timing(rate=rate))
        assert len(of(play(network, [0, 10], ticks=[500], duration=10**6), 1)) == count


def test_a_tick_keeps_a_core_busy() -> None:
    core = CoreParams(
        weights=np.full((1, 1, 1, 1), 10, np.int8), in_shape=(1, 10, 10), threshold_high=10, leak_enable=True, bias=[-1]
    )
    network = Network([core], [Link(-1, 0)], [(1, 10, 10)], timing=Timing(rate=1e9))
    step = play(network, [50, 500], [0, 1], ticks=[10, 510, 900], duration=10_000)
    # busy from 10 to 110, then one update; the second tick comes when the neuron fires already
    assert of(step, 0) == []
    assert step.counts["ticks"][0] == 3
    idle = Network([attrs.evolve(core, bias=[0])], [Link(-1, 0)], [(1, 10, 10)], timing=Timing(rate=1e9))
    assert of(play(idle, [50, 500, 510], [0, 1, 2], ticks=[10, 505], duration=10_000), 0) == [
        (111, 0), (501, 1), (606, 2)
    ]  # fmt: skip


def test_the_end_of_a_run_cuts_nothing_off() -> None:
    network = Network([relay()], [Link(-1, 0)], [(1, 1, 1)], timing=Timing(rate=1e6, depth=1))
    step = play(network, [0, 0, 0, 0], duration=1500)
    assert of(step, 0) == [(1000, 0)]
    # one in service, one in the buffer, one not taken in
    assert network.pending.tolist() == [3]
    assert step.stalls.tolist() == [(0, 0, 1500)]
    assert network.latest == 1500
    step = play(network, [100], duration=10_000)
    assert of(step, 0) == [(500, 0), (1500, 0), (2500, 0), (3500, 0)]
    assert step.stalls.tolist() == [(0, 0, 1500)]


# --- decimator, killed neurons, clocks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("every", "passed"), [(2, 512), (4, 256), (8, 128), (16, 64), (32, 32), (128, 8), (256, 4), (512, 2)]
)
def test_rule_10_decimator(every: int, passed: int) -> None:
    cores = [relay(every=every), relay()]
    step = play(Network(cores, row(cores), [(1, 1, 1)]), range(1024))
    assert step.counts["events_out"].tolist() == [1024, passed]
    assert step.counts["decimated"][0] == 1024 - passed
    assert [now for now, _ in of(step, 0)] == list(range(every - 1, 1024, every))
    assert of(step, 1) == of(step, 0)


def test_the_named_ways_of_the_decimator() -> None:
    cores = [relay(every=4), relay()]
    first = Network(cores, row(cores), [(1, 1, 1)], timing=Timing(first_passes=True))
    assert [now for now, _ in of(play(first, range(10)), 1)] == [0, 4, 8]
    seen = Network(cores, row(cores), [(1, 1, 1)], timing=Timing(monitor_all=True))
    step = play(seen, range(10))
    assert len(of(step, 0)) == 10
    assert [now for now, _ in of(step, 1)] == [3, 7]


def test_the_decimator_counts_on_from_run_to_run() -> None:
    network = Network([relay(every=4)], [Link(-1, 0)], [(1, 1, 1)])
    assert [len(of(play(network, [0, 1, 2]), 0)) for _ in range(4)] == [0, 1, 1, 1]
    network.reset()
    assert [len(of(play(network, [0, 1, 2]), 0)) for _ in range(2)] == [0, 1]


def test_killed_neurons_never_fire() -> None:
    killed = np.array([True, False, True, False]).reshape(4, 1, 1)
    step = play(Network([fan(4, killed=killed)], [Link(-1, 0)], [(1, 1, 1)]), [0, 7])
    assert of(step, 0) == [(0, 1), (0, 3), (7, 1), (7, 3)]
    assert step.counts["events_out"][0] == 4


def test_each_clock_has_its_cores() -> None:
    outer, inner = (relay(leak_enable=True, bias=[-1], leak_internal=kind) for kind in (False, True))
    network = Network([outer, inner, relay(bias=[-1])], [Link(-1, 0)], [(1, 1, 1)])
    step = play(network, [], ticks=[0, 1, 2], clocks=[0, 1, 0])
    assert step.counts["ticks"].tolist() == [2, 1, 0]
    assert [network.state(n).item() for n in range(3)] == [-2, -1, 0]


# --- cycles ----------------------------------------------------------------------------------------------------------


def test_feedback_goes_to_the_end_of_the_queue() -> None:
    """Core 0 sends three spikes, each of which core 1 sends back; all three leave before the first returns."""
    back = relay(3, weights=np.full((1, 3, 1, 1), 10, np.int8))
    start = relay(2, weights=np.array([[[[10]], [[3]]]] * 3, np.int8))
    network = Network([start, back], [Link(-1, 0), Link(0, 1), Link(1, 0, 1, 1)], [(1, 1, 1)])
    step = play(network, [0])
    assert step.core.tolist() == [0, 1, 0, 1, 0, 1]
    assert step.counts["events_in"].tolist() == [4, 3]
    assert (network.state(0) == 9).all()


def test_many_spikes_fed_back_need_room() -> None:
    """A buffer without limit grows and keeps its order."""
    start = CoreParams(
        weights=np.concatenate([np.full((200, 1, 1, 1), 10), np.zeros((200, 200, 1, 1))], 1).astype(np.int8),
        in_shape=(201, 1, 1),
        threshold_high=10,
    )
    network = Network([start, relay(200)], [Link(-1, 0), Link(0, 1), Link(1, 0, 1, 1)], [(1, 1, 1)])
    step = play(network, [0, 1])
    assert step.counts["events_in"].tolist() == [402, 400]


def test_activity_without_end_is_an_error_only_where_time_stands_still() -> None:
    ring = [relay(), relay()]
    links = [Link(-1, 0), Link(0, 1), Link(1, 0)]
    network = Network(ring, links, [(1, 1, 1)], timing=Timing(endless=1000))
    with pytest.raises(EndlessError, match="1000 events in one moment, at 5 ns"):
        play(network, [5])
    timed = Network(ring, links, [(1, 1, 1)], timing=Timing(rate=1e9, endless=1000))
    step = play(timed, [5], duration=10_000)
    assert step.counts["events_out"].sum() == 10_000 - 6
    assert timed.pending.sum() == 1


def test_deadlock_is_told() -> None:
    """Every event of either core makes three spikes for the other: soon both wait for each other."""
    two = [fan(3, weights=np.full((3, 3, 1, 1), 10, np.int8), in_shape=(3, 1, 1)) for _ in range(2)]
    network = Network(two, [Link(-1, 0), Link(0, 1), Link(1, 0)], [(3, 1, 1)], timing=Timing(rate=1e9, depth=2))
    assert network.deadlock == []
    step = play(network, [0], duration=1_000_000)
    assert sorted(network.deadlock) == [(0, 1), (1, 0)]
    assert {int(core) for core in step.stalls["core"]} == {0, 1}
    assert step.stalls["t1"].max() == 1_000_000
    assert network.pending.sum() > 0
    network.reset()
    assert network.deadlock == []


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("links", "reason"),
    [
        ([Link(-2, 0)], "sources are -1..1"),
        ([Link(-1, 2)], "targets 0..1"),
        ([Link(-1, 0), Link(2, 0)], "sources are -1..1"),
        ([Link(-1, 0, 0)], "pooling is at least 1"),
        ([Link(-1, 0, 1, -1)], "shift at least 0"),
        ([Link(-1, 0, 1, 1)], "delivers"),
        ([Link(-1, 0), Link(0, 1, 2)], "delivers"),
    ],
)
def test_links_that_cannot_be(links: list[Link], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Network([relay(), relay()], links, [(1, 1, 1)])


def test_all_links_that_cannot_be_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"targets 0\.\.0.*delivers"):
        Network([relay()], [Link(-1, 5), Link(-1, 0, 1, 3)], [(1, 1, 1)])
    with pytest.raises(ValueError, match="at least one core"):
        Network([], [], [(1, 1, 1)])


@pytest.mark.parametrize(
    "options",
    [{"rate": 0}, {"rate": -1}, {"rate": (1.0, float("nan"))}, {"depth": 0}, {"depth": (1, 0)}, {"endless": 0}],
)
def test_timing_that_makes_no_sense(options: Any) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Timing(**options)


@pytest.mark.parametrize(
    ("given_", "reason"),
    [
        ({"t": [1, 0]}, "t decreases"),
        ({"t": [-1]}, "must lie in"),
        ({"t": [10]}, "must lie in"),
        ({"ticks": [10]}, "must lie in"),
        ({"ticks": [3, 2]}, "ticks decreases"),
        ({"t": [0], "index": [1]}, "outside the 1 addresses of port 0"),
        ({"t": [0], "port": [1]}, r"ports are 0\.\.0"),
        ({"t": [0], "index": [0, 0]}, "equally long"),
    ],
)
def test_stimuli_that_cannot_be(given_: dict[str, Any], reason: str) -> None:
    network = Network([relay()], [Link(-1, 0)], [(1, 1, 1)])
    with pytest.raises(ValueError, match=reason):
        play(network, **{"t": [], "duration": 10, **given_})
    assert of(play(network, [0]), 0) == [(0, 0)]


@pytest.mark.parametrize("changes", [{"every": 0}, {"killed": np.zeros((1, 2, 1), bool)}])
def test_bad_parameters(changes: Any) -> None:
    with pytest.raises(ValueError, match=r"every|killed"):
        relay(**changes)
    with pytest.raises(TypeError, match="flags"):
        relay(killed=np.zeros((1, 1, 1), int))


@pytest.mark.parametrize("changes", [{"every": 2}, {"killed": np.zeros((1, 1, 1), bool)}, {"leak_internal": True}])
def test_a_chain_says_what_it_cannot_do(changes: Any) -> None:
    with pytest.raises(ValueError, match="needs a Network"):
        Chain([relay(**changes)])


def test_state_can_be_set() -> None:
    network = Network([relay(2, initial_state=[[[3]], [[4]]])], [Link(-1, 0)], [(2, 1, 1)])
    assert network.state(0).ravel().tolist() == [3, 4]
    network.set_state(0, [[[9]], [[-9]]])
    assert network.state(0).ravel().tolist() == [9, -9]
    network.reset()
    assert network.state(0).ravel().tolist() == [3, 4]
    with pytest.raises(ValueError, match="has state"):
        network.set_state(0, [[[1]]])


def test_only_what_is_wanted_is_recorded_and_many_spikes_find_room() -> None:
    cores = [fan(50), relay(50)]
    step = play(Network(cores, row(cores), [(1, 1, 1)], recorded=[1]), range(400), budget=70)
    assert of(step, 0) == []
    assert len(of(step, 1)) == 20_000
    assert step.counts["events_out"].tolist() == [20_000, 20_000]


def test_many_stalls_find_room() -> None:
    network = Network([relay()], [Link(-1, 0)], [(1, 1, 1)], timing=Timing(rate=1e9, depth=1))
    t = np.repeat(np.arange(0, 6000) * 10, 3)
    step = play(network, t, duration=100_000)
    assert len(step.stalls) == 6000
    assert {int(s["t1"] - s["t0"]) for s in step.stalls} == {1}
