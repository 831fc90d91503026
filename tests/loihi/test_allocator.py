"""Blocks on cores and chips: the peer's placements, ours, what may share a core, and too few cores."""

from __future__ import annotations

import time
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from hal_loihi import limits, sharing
from hal_loihi.accounting import RESOURCES, Account, account
from hal_loihi.allocator import ALLOCATORS, Allocation, allocate, core_rows, greedy, interchip, round_robin
from hal_loihi.limits import CoreLimits
from hal_loihi.partition import MOST_NODES, divide
from hal_loihi.sharing import share
from hal_loihi.splitting import reference_blocks, split
from hal_loihi.topology import Conv, Dense, Layer, Network, SynapseFormat

PEER = {"Greedy": greedy, "RoundRobin": round_robin, "GreedyInterchip": interchip}


def check_golden(made: Account, results: Any) -> None:
    for wanted in results:
        keywords = {key: wanted[key] for key in ("n_chips", "cores_per_chip") if key in wanted}
        found = PEER[wanted["allocator"]](made, **keywords)
        if "error" in wanted:
            assert not found.fits
            continue
        assert found.fits
        assert np.stack([found.chip, found.core], axis=1).tolist() == wanted["placement"]
        assert (found.interchip, found.intrachip) == (wanted["interchip"], wanted["intrachip"])
        if wanted["allocator"] != "RoundRobin":
            ours = allocate(made, shared_cores=False, **keywords)
            assert (ours.interchip, ours.n_chips) <= (wanted["interchip"], found.n_chips)


def test_golden_allocations(network_of: Any, accounting: Any) -> None:
    golden = accounting["allocation"]
    network, shapes = network_of(accounting["cases"][golden["model"]]["spec"])
    check_golden(account(network, reference_blocks(network, shapes), count_unused=True), golden["results"])


def test_random_networks_of_the_peer(network_of: Any, accounting_random: Any) -> None:
    for case in accounting_random["cases"].values():
        network, shapes = network_of(case["spec"])
        check_golden(account(network, reference_blocks(network, shapes), count_unused=True), case["allocation"])


def placed(*layers: Layer, connections: Any = (), inputs: Any = (), core: CoreLimits | None = None) -> Allocation:
    made = split(Network(inputs, layers, connections), {layer.name: layer.shape for layer in layers})
    return allocate(made.account, core=core)


def test_small_blocks_share_a_core() -> None:
    layers = [Layer("a", (100,)), Layer("b", (600,)), Layer("c", (50,))]
    found = placed(*layers, connections=[Dense("a", "b"), Dense("b", "c"), Dense("c", "a")])
    assert found.core.tolist() == [0, 0, 0]
    assert found.offset.tolist() == [50, 150, 0]
    assert (found.n_cores, found.interchip, found.intrachip) == (1, 0, 100 + 600 + 50)


def test_a_base_reaches_255() -> None:
    into = [Layer("in", (3,))]
    for first, cores in ((255, 1), (256, 2)):
        layers = [Layer("a", (first,)), Layer("b", (300,))]
        both = [Dense("in", "a"), Dense("in", "b")]
        assert placed(*layers, inputs=into, connections=both).n_cores == cores
    # without synapses there is no base to keep
    layers = [Layer("a", (300,)), Layer("b", (500,))]
    assert placed(*layers, inputs=into, connections=[Dense("in", "b")]).offset.tolist() == [500, 0]


SHARED: dict[str, tuple[Layer, Layer]] = {
    "compartments": (Layer("a", (200,)), Layer("b", (825,))),
    "compartment profiles": (
        Layer("a", (20,), compartment_profiles=np.arange(20)),
        Layer("b", (20,), compartment_profiles=np.arange(20) + 12),
    ),
    "threshold profiles": (
        Layer("a", (4,), threshold_profiles=np.arange(4)),
        Layer("b", (4,), threshold_profiles=np.arange(4) + 4),
    ),
    "settings": (Layer("a", (4,), settings=(0, 7)), Layer("b", (4,), settings=(23, 7))),
}


@pytest.mark.parametrize("why", SHARED)
def test_what_keeps_blocks_apart(why: str) -> None:
    assert placed(*SHARED[why]).n_cores == 2


def test_profiles_in_common_count_once() -> None:
    layers = [
        Layer("a", (31,), compartment_profiles=np.arange(31), threshold_profiles=np.arange(31) % 7, settings=1),
        Layer("b", (10,), compartment_profiles=np.arange(10), threshold_profiles=np.arange(10) % 7, settings=1),
    ]
    made = split(Network([], layers, []), {"a": (31,), "b": (10,)}).account
    found = allocate(made)
    assert found.n_cores == 1
    rows = {row.resource: row for row in core_rows(made, found)}
    assert (rows["compartment_profiles"].used, rows["threshold_profiles"].used) == (31, 7)
    assert rows["compartments"].used == 41


def test_formats_keep_blocks_apart() -> None:
    into = [Layer("in", (3,))]
    layers = [Layer("a", (3,)), Layer("b", (3,))]
    for n, cores in ((7, 1), (8, 2)):
        wide = [Dense("in", "a", format=SynapseFormat(weight_exp=k)) for k in range(4)]
        more = [Dense("in", "b", format=SynapseFormat(weight_exp=k)) for k in range(4, n)]
        assert placed(*layers, inputs=into, connections=wide + more).n_cores == cores


@pytest.mark.parametrize(("inputs", "bits", "cores"), [(2048, 1, 1), (2049, 1, 2), (1100, 20, 2)])
def test_axons_and_memory_add_up(inputs: int, bits: int, cores: int) -> None:
    layers = [Layer("a", (bits * 3,)), Layer("b", (bits * 3,))]
    both = [Dense("in", "a"), Dense("in", "b")]
    assert placed(*layers, inputs=[Layer("in", (inputs,))], connections=both).n_cores == cores


def test_population_axons_stay_alone() -> None:
    """Neither where they start nor where they end may anything else be."""
    layers = [Layer("a", (2, 2, 4)), Layer("b", (2, 2, 4)), Layer("c", (50,)), Layer("d", (5,))]
    conv = Conv("a", "b", kernel=(1, 1), in_shape=(2, 2, 4), out_shape=(2, 2, 4))
    found = placed(*layers, connections=[conv])
    assert found.core.tolist() == [0, 1, 2, 2]


def test_blocks_go_where_their_axons_go() -> None:
    """Two full cores; each small block fits both and joins the one it talks to."""
    layers = [Layer("a", (900,)), Layer("b", (900,)), Layer("to_b", (100,)), Layer("to_a", (100,))]
    band = sparse.eye(900, 100)
    found = placed(*layers, connections=[Dense("b", "to_b", band), Dense("a", "to_a", band)])
    assert found.core.tolist() == [0, 1, 1, 0]


def test_sharing_can_be_turned_off_and_keeps_margins() -> None:
    layers = [Layer("a", (10,)), Layer("b", (10,))]
    made = split(Network([], layers, [])).account
    assert allocate(made, shared_cores=False).n_cores == 2
    assert allocate(made).n_cores == 1
    assert allocate(made, core=CoreLimits(compartments=19)).n_cores == 2


def test_few_axons_between_chips() -> None:
    """Two rings of four blocks, interleaved: each ring on its own chip."""
    layers = [Layer(f"{k}", (1000,)) for k in range(8)]
    eye = sparse.eye(1000)
    rings = [Dense(f"{k}", f"{(k + 2) % 8}", eye) for k in range(8)]
    made = split(Network([], layers, rings)).account
    found = allocate(made, n_chips=2, cores_per_chip=4)
    assert found.chip.tolist() == [0, 1] * 4
    assert found.core.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert (found.interchip, found.intrachip) == (0, 8000)
    assert greedy(made, n_chips=2, cores_per_chip=4).interchip == 4000


@pytest.mark.parametrize("name", ALLOCATORS)
def test_too_few_cores(name: str) -> None:
    made = split(Network([], [Layer("a", (7000,))], [])).account
    assert len(made.blocks) == 7
    found = ALLOCATORS[name](made, n_chips=2, cores_per_chip=3)
    assert not found.fits
    assert found.shortage is not None
    assert (found.shortage.needed, found.shortage.available, len(found.shortage.blocks)) == (7, 6, 1)
    (left,) = np.flatnonzero(found.chip < 0)
    assert found.shortage.blocks == (made.blocks[left].label,)
    assert str(found.shortage).startswith("7 cores needed, 6 available (2 chips of 3); 1 blocks have no core")
    assert found.core[left] == found.offset[left] == -1
    assert (found.n_chips, found.n_cores) == (2, 6)
    enough = ALLOCATORS[name](made, n_chips=3, cores_per_chip=3)
    assert enough.fits
    assert enough.shortage is None


@pytest.mark.parametrize("name", ALLOCATORS)
@pytest.mark.parametrize("keywords", [{"n_chips": 0}, {"cores_per_chip": 0}, {"cores_per_chip": 129}])
def test_chips_that_do_not_exist(name: str, keywords: Any) -> None:
    made = split(Network([], [Layer("a", (7,))], [])).account
    with pytest.raises(ValueError, match="give at least 1 chip, and 1 to 128 cores"):
        ALLOCATORS[name](made, **keywords)


def test_a_network_without_layers() -> None:
    made = split(Network([], [], [])).account
    for allocator in ALLOCATORS.values():
        found = allocator(made)
        assert found.fits
        assert (found.n_chips, found.n_cores, found.interchip) == (0, 0, 0)
    assert core_rows(made, allocate(made)) == ()


def test_rows_of_the_report() -> None:
    layers = [Layer("a", (30,)), Layer("b", (1500,))]
    made = split(Network([Layer("in", (4,))], layers, [Dense("in", "a"), Dense("a", "b")]), {"b": (1500,)}).account
    rows = core_rows(made, allocate(made))
    assert [(row.chip, row.core) for row in rows] == [(0, 0)] * len(RESOURCES) + [(0, 1)] * len(RESOURCES)
    assert [row.resource for row in rows] == [*RESOURCES, *RESOURCES]
    assert rows[0].blocks == ("a",)
    assert [(row.core, row.resource, row.used, row.limit) for row in rows if not row.ok] == [
        (1, "compartments", 1500, 1024)
    ]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_random_networks(specs: Any, network_of: Any, data: st.DataObject) -> None:
    network, _ = network_of(data.draw(specs))
    made = split(network)
    per_chip = data.draw(st.integers(1, 6))
    found = allocate(made.account, n_chips=len(made.blocks), cores_per_chip=per_chip)
    assert found.fits
    sizes = made.account.column("compartments")
    taken = [
        (chip, core, offset + k)
        for chip, core, offset, size in zip(found.chip, found.core, found.offset, sizes, strict=True)
        for k in range(size)
    ]
    assert len(set(taken)) == len(taken) == sum(layer.size for layer in network.layers)
    assert found.core.max() < per_chip
    assert found.n_chips == -(-found.n_cores // per_chip)
    over = {one.block for one in made.violations}
    assert all(row.ok for row in core_rows(made.account, found) if not over & set(row.blocks))
    off_diagonal = made.account.flows.sum() - made.account.flows.diagonal().sum()
    assert found.interchip + found.intrachip == off_diagonal
    again = allocate(split(network).account, n_chips=len(made.blocks), cores_per_chip=per_chip)
    for column in ("chip", "core", "offset"):
        np.testing.assert_array_equal(getattr(again, column), getattr(found, column))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_cores_without_room_are_passed_over_and_nothing_else(specs: Any, network_of: Any, data: st.DataObject) -> None:
    network, _ = network_of(data.draw(specs))
    made = split(network).account
    quick = share(made, CoreLimits())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "compress", lambda cores, room: cores)
        every = share(made, CoreLimits())
    assert [(core.blocks, core.offsets) for core in quick] == [(core.blocks, core.offsets) for core in every]


def test_a_thousand_full_cores_are_not_tried_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    monkeypatch.setattr(sharing, "_holds", lambda *args: tried.append(args) or False)
    made = split(Network([], [Layer("a", (1000 * limits.COMPARTMENTS,))], []))
    assert len(share(made.account, CoreLimits())) == 1000
    assert tried == []


def test_128_full_cores_take_a_few_seconds() -> None:
    n = 128 * limits.COMPARTMENTS
    near = range(-8, 9)
    band = sparse.diags([np.ones(n - abs(k)) for k in near], list(near), shape=(n, n))
    image = (64, 64, 32)
    conv = Conv("in", "a", kernel=(3, 3), pad_top=1, pad_left=1, in_shape=(64, 64, 3), out_shape=image)
    for network, chips in (
        (Network([], [Layer("a", (n,))], [Dense("a", "a", band)]), 1),
        (Network([Layer("in", (64, 64, 3))], [Layer("a", image)], [conv]), 1),
        (Network([], [Layer("a", (n,))], [Dense("a", "a", band)]), 4),
    ):
        start = time.perf_counter()
        made = split(network)
        found = allocate(made.account, n_chips=chips, cores_per_chip=128 // chips)
        assert time.perf_counter() - start < 5
        assert made.violations == ()
        assert found.fits
        assert found.n_cores == 128
        assert (made.account.column("compartments") == limits.COMPARTMENTS).all()


def test_very_many_nodes_are_still_divided() -> None:
    """Beyond the size that is improved: neighbours two apart, which the order of the nodes alone would separate."""
    n = MOST_NODES + 2
    weights = np.zeros((n, n), np.int64)
    weights[np.arange(n - 2), np.arange(2, n)] = weights[np.arange(2, n), np.arange(n - 2)] = 1
    part = divide(weights, n // 2)
    assert part.tolist() == [0, 1] * (n // 2)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_parts_of_small_graphs(n: int, size: int, seed: int) -> None:
    """Never worse than nodes in order, never better than the best of all ways."""
    rng = np.random.default_rng(seed)
    half = np.triu(rng.integers(0, 20, (n, n)), 1)
    weights = half + half.T
    part = divide(weights, size)
    assert np.bincount(part).max() <= size
    assert part.max() + 1 == -(-n // size)
    assert np.all(np.diff(np.unique(part, return_index=True)[1]) > 0)

    def crossing(parts: Any) -> int:
        return int(half[parts[:, None] != parts].sum())

    every = [np.array(parts) for parts in product(range(-(-n // size)), repeat=n)]
    best = min(crossing(parts) for parts in every if np.bincount(parts).max() <= size)
    assert best <= crossing(part) <= crossing(np.arange(n) // size)


def test_parts_are_mostly_the_best() -> None:
    """90 of 100 divisions of ten random nodes into two halves are the best of all 126."""
    halves = [np.isin(np.arange(10), [0, *rest]) for rest in combinations(range(1, 10), 4)]
    found = 0
    for seed in range(100):
        upper = np.triu(np.random.default_rng(seed).integers(0, 20, (10, 10)), 1)
        part = divide(upper + upper.T, 5)
        best = min(int(upper[half[:, None] != half].sum()) for half in halves)
        found += int(upper[part[:, None] != part].sum()) == best
    assert found >= 90
