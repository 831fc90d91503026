"""The allocator: nothing lost, nothing confused, every limit kept or reported, and the peer's bytes on request."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal_dynapse2.allocator import Allocation, Connections, FanIn, FanOut, FarHop, Policy, allocate
from hal_dynapse2.config import ChipsConfig, Dynapse2Config, InputConfig, NeuronsConfig, PopulationConfig
from hal_dynapse2.limits import DENDRITES, EMULATED, LATCHES
from hal_dynapse2.packing import Fixed, Places, pack
from hal_dynapse2.routes import departures, routes
from hal_dynapse2.tags import TagShortage, colour

NONE3 = np.zeros((0, 3), np.int64)


def row_of_chips(count: int) -> ChipsConfig:
    return ChipsConfig(x=np.arange(1, count + 1), y=np.zeros(count, int))


def net(n_inputs: int, source: Any, target: Any, dendrite: str = "ampa", mask: int = 1) -> Connections:
    source, target = np.atleast_1d(source), np.atleast_1d(target)
    size = max(source.size, target.size)
    source, target = np.broadcast_to(source, size), np.broadcast_to(target, size)
    return Connections(n_inputs, source, target, np.full(size, DENDRITES[dendrite]), np.full(size, mask))


def on_cores(*core: int) -> Places:
    """Neuron k on this core, counted over all chips."""
    where = np.array(core)
    rank = np.array([int(np.count_nonzero(where[:k] == where[k])) for k in range(where.size)])
    return Places(where // 4, where % 4, rank)


def config(made: Allocation, places: Places, grid: ChipsConfig, n_inputs: int) -> Dynapse2Config:
    n = places.chip.size
    return Dynapse2Config(
        inputs=(InputConfig(name="in", shape=(n_inputs,)),) if n_inputs else (),
        populations=(PopulationConfig(name="all", shape=(n,)),),
        chips=grid,
        neurons=NeuronsConfig(
            chip=places.chip, core=places.core, neuron=places.neuron, latches=np.zeros((n, len(LATCHES)), bool)
        ),
        cam=made.cam,
        sram=made.sram,
        host=made.host,
    )


def heard(of: Dynapse2Config) -> Counter[tuple[int, ...]]:
    """(source, target, dendrite, mask) of everything that reacts."""
    found = routes(of)
    source = np.repeat(np.arange(found.packet_ptr.size - 1), np.diff(found.packet_ptr))
    source = np.repeat(source, np.diff(found.synapse_ptr))
    return Counter(zip(*(c.tolist() for c in (source, found.target, found.dendrite, found.mask)), strict=True))


def wanted(of: Connections) -> Counter[tuple[int, ...]]:
    kinds = [EMULATED.index({code: name for name, code in DENDRITES.items()}[code]) for code in of.dendrite.tolist()]
    return Counter(zip(of.source.tolist(), of.target.tolist(), kinds, of.mask.tolist(), strict=True))


@attrs.frozen(repr=False)
class Case:
    connections: Connections
    places: Places
    grid: ChipsConfig
    monitored: Any
    denied_tags: Any
    denied_cam: Any

    def __repr__(self) -> str:
        return f"{self.places.chip.size} neurons, {self.connections.source.size} connections, {self.grid.x.size} chips"


@st.composite
def cases(draw: st.DrawFn, crowded: bool = False) -> Case:
    """Random networks on random grids; crowded ones meet their limits, by deny-lists and by far chips."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    chips = draw(st.integers(1, 6))
    spots = rng.permutation(7 * 8)[:chips]
    grid = ChipsConfig(x=spots % 7 + 1, y=spots // 7)
    n_inputs, n = draw(st.integers(0, 6)), draw(st.integers(1, 40))
    m = draw(st.integers(0, 150))
    core = rng.integers(0, chips * 4, n)
    places = on_cores(*core.tolist())
    places = Places(places.chip, places.core, 255 - places.neuron * draw(st.integers(1, 5)))
    target = rng.integers(0, n, m)
    source = rng.integers(0, n_inputs + n, m)
    if not crowded:  # at most three chips for a neuron
        near = places.chip[target] % 3 == places.chip[target]
        source, target = source[near], target[near]
    codes = [code for code in DENDRITES.values() if code]
    connections = Connections(
        n_inputs, source, target, rng.choice(codes, target.size), rng.integers(1, 16, target.size)
    )
    slots = rng.integers(0, 64, draw(st.integers(0, 40 * 62 if crowded else 40)))
    row = rng.integers(0, n, slots.size)
    denied_cam = np.stack([places.chip[row], places.core[row], places.neuron[row], slots], axis=1)
    if crowded:
        left = rng.integers(0, 8)
        tags = np.arange(left, 2048)
        some = [c for c in range(chips * 4) if rng.random() < 0.5]
        denied_tags = np.array([(c // 4, c % 4, tag) for c in some for tag in tags.tolist()], int).reshape(-1, 3)
    else:
        denied_tags = np.stack([rng.integers(0, high, 30) for high in (chips, 4, 60)], axis=1)
    return Case(connections, places, grid, rng.random(n) < 0.5, denied_tags, denied_cam)


def run(case: Case) -> Allocation:
    return allocate(
        case.connections,
        case.places,
        case.grid,
        monitored=case.monitored,
        denied_tags=case.denied_tags,
        denied_cam=case.denied_cam,
    )


@settings(max_examples=80, deadline=None)
@given(cases())
def test_what_the_registers_say_is_the_network(case: Case) -> None:
    made = run(case)
    if any(isinstance(v, FanIn) for v in made.violations):
        return  # 150 connections on one neuron
    assert made.violations == ()
    whole = config(made, case.places, case.grid, case.connections.n_inputs)
    assert heard(whole) == wanted(case.connections)
    again = run(case)
    for one, other in zip(attrs.astuple(made, recurse=False)[:3], attrs.astuple(again, recurse=False)[:3], strict=True):
        assert one == other


@settings(max_examples=80, deadline=None)
@given(cases())
def test_tags_are_unique_where_they_are_heard(case: Case) -> None:
    made = run(case)
    found = routes(config(made, case.places, case.grid, case.connections.n_inputs))
    source = np.repeat(np.arange(found.packet_ptr.size - 1), np.diff(found.packet_ptr))
    owner: dict[tuple[int, int], int] = {}
    for who, core, tag in zip(source.tolist(), found.packet_core.tolist(), found.packet_tag.tolist(), strict=True):
        assert owner.setdefault((core, tag), who) == who
    denied = {(chip * 4 + core, tag) for chip, core, tag in case.denied_tags.tolist()}
    assert not denied & owner.keys()
    used = made.cam.dendrite > 0
    for chip, core, neuron, slot in case.denied_cam.tolist():
        at = (case.places.chip == chip) & (case.places.core == core) & (case.places.neuron == neuron)
        assert not used[at, slot].any()


@settings(max_examples=80, deadline=None)
@given(cases())
def test_one_destination_for_each_chip_and_one_to_the_host(case: Case) -> None:
    made, places = run(case), case.places
    n_in = case.connections.n_inputs
    chips_of = defaultdict(set)
    for source, target in zip(case.connections.source.tolist(), case.connections.target.tolist(), strict=True):
        chips_of[source].add(int(places.chip[target]))
    for row in range(places.chip.size):
        assert np.count_nonzero(made.sram.core_mask[row]) == len(chips_of[n_in + row]) + case.monitored[row]
    for channel in range(n_in):
        assert np.count_nonzero(made.host.channel == channel) == len(chips_of[channel])
    assert np.abs(made.sram.x_hop.astype(int)).max(initial=0) <= 7
    assert np.abs(made.sram.y_hop.astype(int)).max(initial=0) <= 7
    left = departures(config(made, places, case.grid, n_in))
    assert left.neuron.tolist() == np.flatnonzero(case.monitored).tolist()
    # the problems of `problems` are those of the schema: ranges and lengths
    assert made.cam.mask.shape == (places.chip.size, 64)


@settings(max_examples=120, deadline=None)
@given(cases(crowded=True))
def test_every_violation_is_true_and_none_is_missed(case: Case) -> None:
    made, places, n_in = run(case), case.places, case.connections.n_inputs
    fan_in, reached = Counter(case.connections.target.tolist()), defaultdict(set)
    for source, target in zip(case.connections.source.tolist(), case.connections.target.tolist(), strict=True):
        reached[source].add((int(places.chip[target]), int(places.core[target])))
    lost = {tuple(row) for row in case.denied_cam.tolist()}
    spots = zip(*(c.tolist() for c in (places.chip, places.core, places.neuron)), strict=True)
    slots = [64 - sum(row[:3] == spot for row in lost) for spot in spots]
    assert {v for v in made.violations if isinstance(v, FanIn)} == {
        FanIn(k, fan_in[k], slots[k]) for k in range(places.chip.size) if fan_in[k] > slots[k]
    }
    needed = {k: len({chip for chip, _ in reached[n_in + k]}) + int(case.monitored[k]) for k in range(len(slots))}
    assert {v for v in made.violations if isinstance(v, FanOut)} == {
        FanOut(k, count, bool(case.monitored[k])) for k, count in needed.items() if count > 4
    }
    assert not any(isinstance(v, FarHop) and max(abs(v.x_hop), abs(v.y_hop)) <= 7 for v in made.violations)
    short = {(v.chip, v.core): (v.needed, v.limit) for v in made.violations if isinstance(v, TagShortage)}
    denied = Counter((chip, core) for chip, core, _ in case.denied_tags.tolist())
    users = Counter(place for cores in reached.values() for place in cores)
    over = {place: (users[place], 2048 - denied[place]) for place in users if users[place] > 2048 - denied[place]}
    # a core with more sources than tags cannot be helped; where others are named, see the test of `colour`
    assert over.items() <= short.items()
    assert all(needed > limit for needed, limit in short.values())
    if not made.violations:
        whole = config(made, places, case.grid, n_in)
        assert heard(whole) == wanted(case.connections)
    else:
        assert not heard(config(made, places, case.grid, n_in)) - wanted(case.connections)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 15), max_size=7), st.integers(1, 7))
def test_a_chip_is_short_of_tags_only_where_no_choice_of_tags_would_do(masks: list[int], there: int) -> None:
    denied = np.array([(0, core, tag) for core in range(4) for tag in range(there, 2048)])
    tags, short = colour(np.zeros(len(masks), int), np.array(masks, int), 1, denied)
    assert bool(short) == bool((tags < 0).any()) == (not colourable(masks, [0] * there))
    for k, mask in enumerate(masks):
        assert all(tags[k] < 0 or tags[j] != tags[k] or not masks[j] & mask for j in range(k))
    named = {row.core for row in short}
    assert all(named & {c for c in range(4) if mask >> c & 1} for mask, tag in zip(masks, tags, strict=True) if tag < 0)


def colourable(masks: list[int], used: list[int]) -> bool:
    """Whether tags (each with the cores it is used on) can be given to all masks: tries everything."""
    if not masks:
        return True
    first, rest = masks[0], masks[1:]
    return any(
        colourable(rest, [*used[:tag], cores | first, *used[tag + 1 :]])
        for tag, cores in enumerate(used)
        if not cores & first and (tag == 0 or cores != used[tag - 1])
    )


# --- the sheet's behaviours -----------------------------------------------------------------------------------------


def test_sixty_five_connections_are_one_too_many_and_unconnected_channels_cost_nothing() -> None:
    places, grid = on_cores(0, 0), row_of_chips(1)
    made = allocate(net(80, np.arange(64), 1), places, grid, monitored=np.ones(2, bool))
    assert made.violations == ()
    assert made.usage.cam_max.tolist() == [64]
    made = allocate(net(80, np.arange(65), 1), places, grid, monitored=np.ones(2, bool))
    assert made.violations == (FanIn(1, 65, 64),)
    assert str(made.violations[0]) == "neuron 1: 65 CAM entries needed, limit 64"
    assert np.count_nonzero(made.cam.dendrite[1]) == 64


def test_four_chips_and_a_monitor_are_five_destinations() -> None:
    places, grid = on_cores(0, 1, 4, 8, 12), row_of_chips(4)
    connections = net(0, 0, np.arange(1, 5))
    made = allocate(connections, places, grid, monitored=np.arange(5) == 0)
    assert made.violations == (FanOut(0, 5, True),)
    assert "5 destinations needed, one of them for its monitor, limit 4" in str(made.violations[0])
    made = allocate(connections, places, grid, monitored=np.zeros(5, bool))
    assert made.violations == ()
    assert made.sram.core_mask[0].tolist() == [2, 1, 1, 1]
    assert made.sram.x_hop[0].tolist() == [0, 1, 2, 3]


def test_cores_of_one_chip_share_a_destination() -> None:
    places = on_cores(1, 0, 2, 3)
    made = allocate(net(0, 0, [1, 2, 3]), places, row_of_chips(1), monitored=np.zeros(4, bool))
    assert made.sram.core_mask.tolist() == [[0b1101, 0, 0, 0], *[[0] * 4] * 3]


def test_an_output_without_targets_has_a_monitor_and_nothing_else() -> None:
    places, grid = on_cores(0, 1), row_of_chips(2)
    made = allocate(net(1, 0, [0, 1]), places, grid, monitored=np.ones(2, bool))
    assert made.sram.core_mask.tolist() == [[15, 0, 0, 0]] * 2
    assert made.sram.x_hop[:, 0].tolist() == [-7, -7]
    assert made.sram.tag[:, 0].tolist() == [0, 256]  # same neuron of two cores, two tags


def test_hops_beyond_seven_are_named() -> None:
    # ChipsConfig refuses such places where it is validated; the allocator does not rely on that
    grid = ChipsConfig(x=[1, 9], y=[0, 0])
    made = allocate(net(1, [0, 1], [1, 1]), on_cores(0, 4), grid, monitored=np.zeros(2, bool))
    assert made.violations == (FarHop(0, 1, 8, 0), FarHop(1, 1, 8, 0))
    assert "source 1: chip 1 is (8, 0) hops away, limit 7" in str(made.violations[1])
    assert made.host.channel.size == 0
    assert not made.cam.dendrite.any()


def test_tags_are_used_again_where_no_core_is_shared() -> None:
    places = on_cores(0, 1, 2, 3, 4)
    made = allocate(net(0, np.arange(5), np.arange(5)), places, row_of_chips(2), monitored=np.zeros(5, bool))
    assert made.sram.tag[:, 0].tolist() == [0] * 5
    made = allocate(net(0, np.arange(5), 0), places, row_of_chips(2), monitored=np.zeros(5, bool))
    assert sorted(made.sram.tag[:, 0].tolist()) == [0, 1, 2, 3, 4]
    assert made.usage.tags.tolist() == [5, 0, 0, 0, 0]


def test_2048_sources_of_a_core_have_tags_and_2049_have_not() -> None:
    n = 33
    places = on_cores(*[0] * n)
    target = np.arange(2048) % n
    grid, quiet = row_of_chips(1), np.zeros(n, bool)
    assert allocate(net(2048, np.arange(2048), target), places, grid, monitored=quiet).violations == ()
    more = net(2049, np.arange(2049), np.arange(2049) % n)
    made = allocate(more, places, grid, monitored=quiet)
    assert made.violations == (TagShortage(0, 0, 2049, 2048),)
    assert str(made.violations[0]) == "chip 0, core 0: 2049 tags needed, 2048 there are"
    made = allocate(net(2040, 0, 0), places, grid, monitored=quiet, policy=Policy(tags="network"))
    assert made.violations == (TagShortage(-1, -1, 2073, 2048),)
    assert "the network: 2073" in str(made.violations[0])


def test_three_pairs_of_cores_can_run_out_of_tags_that_no_core_lacks() -> None:
    # two sources on each of three pairs of cores: six tags, though each core hears only four
    mask = np.array([3, 3, 5, 5, 6, 6])
    denied = np.array([(0, core, tag) for core in range(4) for tag in range(5, 2048)])
    tags, short = colour(np.zeros(6, int), mask, 1, denied)
    assert sorted(tags.tolist()) == [-1, 0, 1, 2, 3, 4]
    assert short
    assert all(row.needed == row.limit + 1 for row in short)
    assert not colour(np.zeros(6, int), mask, 1, denied[denied[:, 2] > 5])[1]


def test_1024_neurons_which_the_peer_refuses() -> None:
    rng = np.random.default_rng(3)
    source = np.concatenate([rng.permutation(1088)[:59] for _ in range(1024)])
    connections = net(64, source, np.repeat(np.arange(1024), 59))
    packing = pack(np.zeros(1024, int), 1)
    made = allocate(connections, packing.places, row_of_chips(1), monitored=np.ones(1024, bool))
    assert made.violations == ()
    assert made.usage.neurons.tolist() == [256] * 4
    whole = config(made, packing.places, row_of_chips(1), 64)
    assert heard(whole) == wanted(connections)


def test_speed() -> None:
    # the peer takes 2.1 s for 960 neurons; a fiftieth of that is 42 ms
    rng = np.random.default_rng(79)
    source = np.concatenate([rng.permutation(1024)[:59] for _ in range(960)])
    connections = net(64, source, np.repeat(np.arange(960), 59))
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        packing = pack(np.zeros(960, int), 1)
        allocate(connections, packing.places, row_of_chips(1), monitored=np.ones(960, bool))
        best = min(best, time.perf_counter() - start)
    assert best < 0.042


# --- packing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "cores"), [(1, 1), (256, 1), (257, 2), (512, 2), (1024, 4)])
def test_identical_neurons_take_as_few_cores_as_hold_them(n: int, cores: int) -> None:
    packing = pack(np.zeros(n, int), 1)
    places = packing.places
    assert packing.shortage is None
    assert len(set(places.core.tolist())) == cores
    assert (np.diff(places.core * 256 + places.neuron) == 1).all()
    assert set(places.chip.tolist()) == {0}


def test_five_parameter_sets_need_a_second_chip() -> None:
    groups = np.arange(5)
    short = pack(groups, 1).shortage
    assert short is not None
    assert (short.needed, short.available, short.groups, short.neurons) == (5, 4, (4,), 1)
    assert "5 cores needed, 4 there are; 1 neurons of the parameter sets 4" in str(short)
    places = pack(groups, 2).places
    assert len(set(zip(places.chip.tolist(), places.core.tolist(), strict=True))) == 5
    assert pack(groups, 1).places.chip.tolist() == [0, 0, 0, 0, -1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 9), st.integers(1, 2500), st.booleans())
def test_packing_shares_no_core_between_sets_and_no_place_between_neurons(
    seed: int, chips: int, sets: int, n: int, denies: bool
) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, sets, n)
    groups = np.sort(groups) if rng.random() < 0.5 else groups
    denied = NONE3
    if denies:
        denied = np.stack([rng.integers(0, high, 300) for high in (chips, 4, 256)], axis=1)
    pairs = rng.integers(0, n, (500, 2))
    packing = pack(groups, chips, pairs=pairs, denied=denied)
    places = packing.places
    here = places.chip >= 0
    core = (places.chip * 4 + places.core)[here]
    taken = list(zip(core.tolist(), places.neuron[here].tolist(), strict=True))
    assert len(set(taken)) == len(taken)
    assert not set(taken) & {(chip * 4 + k, neuron) for chip, k, neuron in denied.tolist()}
    for each in set(core.tolist()):
        assert np.unique(groups[here][core == each]).size == 1
    least = int(np.ceil(np.bincount(groups) / 256).sum())
    assert (packing.shortage is None) == bool(here.all())
    if not denies:
        assert (packing.shortage is None) == (least <= chips * 4)
        assert packing.shortage is None or packing.shortage.needed == least
        assert packing.shortage is not None or len(set(core.tolist())) == least
    elif packing.shortage is not None:
        assert packing.shortage.neurons == np.count_nonzero(~here)
        assert set(packing.shortage.groups) == set(groups[~here].tolist())
    again = pack(groups, chips, pairs=pairs, denied=denied).places
    assert all(np.array_equal(getattr(again, name), getattr(places, name)) for name in ("chip", "core", "neuron"))


def test_a_chip_takes_what_talks_to_each_other() -> None:
    # eight loads of a core; load k talks to load k + 4 alone
    rows = np.arange(8 * 256)
    pairs = np.stack([rows, (rows + 1024) % 2048], axis=1)
    chip = pack(np.zeros(2048, int), 2, pairs=pairs).places.chip
    assert (chip[pairs[:, 0]] == chip[pairs[:, 1]]).all()
    assert chip[:256].tolist() == [0] * 256


def test_denied_neurons_move_what_would_sit_there() -> None:
    denied = np.array([(0, 0, 0), (0, 0, 7), (0, 0, 7)])
    packing = pack(np.zeros(256, int), 1, denied=denied)
    assert set(packing.places.core.tolist()) == {1}  # a whole core is still a core
    places = pack(np.zeros(1024, int), 2, denied=denied).places
    assert np.count_nonzero(places.chip == 1) == 2
    # 255 and 256: only the other way round do both fit
    tight = np.array([(0, core, k) for core in (2, 3) for k in range(256)] + [(0, 0, 9)])
    assert pack(np.repeat([0, 1], [255, 256]), 1, denied=tight).shortage is None
    assert pack(np.repeat([0, 1], [256, 256]), 1, denied=tight).shortage is not None


def test_by_hand() -> None:
    groups = np.repeat([0, 1, 0], [10, 10, 300])
    packing = pack(groups, 2, fixed=[Fixed(10, 10, ((1, 2),)), Fixed(0, 10, ((0, 3),))])
    places = packing.places
    assert packing.faults == ()
    assert set(zip(places.chip[10:20].tolist(), places.core[10:20].tolist(), strict=True)) == {(1, 2)}
    assert set(places.core[:10].tolist()) == {3}
    # the rest of the set fills its core first
    assert places.core[20:266].tolist() == [3] * 246
    assert places.core[266:].tolist() == [0] * 54
    two = pack(np.zeros(300, int), 1, fixed=[Fixed(0, 300, ((0, 2), (0, 1)))]).places
    assert two.core.tolist() == [2] * 256 + [1] * 44


def test_what_is_wrong_by_hand_is_said_and_not_put_elsewhere() -> None:
    groups = np.repeat([0, 1], [300, 10])
    packing = pack(groups, 1, fixed=[Fixed(0, 300, ((0, 0),)), Fixed(300, 5, ((0, 0),)), Fixed(305, 5, ((1, 0),))])
    reasons = [str(fault) for fault in packing.faults]
    assert len(reasons) == 3
    assert "44 of its neurons of parameter set 0 find no room" in reasons[0]
    assert "neurons 300..304: chip 0, core 0: another parameter set is on this core" in reasons[1]
    assert "there are 1 chips of 4 cores" in reasons[2]
    assert np.count_nonzero(packing.places.chip < 0) == 54
