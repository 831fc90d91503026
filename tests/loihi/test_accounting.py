"""What blocks use of a core: golden cases, a plain model that knows no vectors, and what may not be asked."""

from __future__ import annotations

import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_loihi_tables import COUNTED, replay
from scipy import sparse

from hal_loihi import limits
from hal_loihi.accounting import RESOURCES, Account, account, index_bits, list_words
from hal_loihi.limits import CoreLimits
from hal_loihi.splitting import reference_blocks, reference_labels
from hal_loihi.topology import Block, Conv, Dense, Layer, Network, SynapseFormat, tiles

GOLDEN = Path(__file__).parents[1] / "golden" / "loihi"
SPARSE = SynapseFormat(compression="sparse")
DENSE = SynapseFormat(compression="dense")


@pytest.mark.parametrize("name", ["accounting", "accounting_random"])
def test_networks_of_the_peer(name: str) -> None:
    found = replay(GOLDEN / f"{name}.npz", None)
    assert found
    assert [comparison for comparison in found if not comparison.ok] == []


def test_rule_16_bits(network_of: Any, accounting: Any) -> None:
    layer = Layer("dense0", (50,))
    network = Network([Layer("in", (2304,))], [layer], [Dense("in", "dense0")])
    assert account(network, tiles(layer, (50,))).column("synapse_bits").tolist() == [1_032_192]

    network, shapes = network_of(accounting["cases"]["mnist_stride1_auto"]["spec"])
    blocks = reference_blocks(network, shapes)
    made = account(network, blocks)
    first = reference_labels(blocks).index("conv1[0:543:1]")
    assert made.column("synapse_bits")[first] == 1_103_808


@pytest.mark.parametrize(
    ("entries", "bits", "words"),
    [(0, 8, 0), (1, 8, 1), (50, 8, 7), (64, 8, 9), (65, 8, 10), (2304, 8, 324), (3, 20, 2)],
)
def test_list_words(entries: int, bits: int, words: int) -> None:
    assert list_words(entries, bits) == words
    assert list_words(np.array([entries, entries]), bits).tolist() == [words, words]


@pytest.mark.parametrize(("largest", "bits"), [(0, 0), (1, 6), (63, 6), (64, 7), (1023, 10), (4095, 12), (9215, 12)])
def test_index_bits(largest: int, bits: int) -> None:
    assert index_bits(largest) == bits


def plain_conv(conv: Conv, block: Block) -> tuple[set[int], int, int]:
    """Axons, memory bits and unaligned bases of a convolution at a block, target by target."""
    lists: dict[int, list[tuple[int, int, int, int]]] = {}
    rows, columns, channels = conv.in_shape
    for place, target in enumerate(block.compartments.tolist()):
        y, rest = divmod(target, conv.out_shape[1] * conv.out_shape[2])
        x, feature = divmod(rest, conv.out_shape[2])
        for i, j in product(range(conv.kernel[0]), range(conv.kernel[1])):
            row, column = y * conv.stride[0] - conv.pad_top + i, x * conv.stride[1] - conv.pad_left + j
            if 0 <= row < rows and 0 <= column < columns:
                lists.setdefault(row * columns + column, []).append((place, i, j, feature))
    stored, unaligned, largest = set(), 0, 0
    for entries in lists.values():
        base = entries[0][0] % 256
        unaligned += base % 4 != 0
        stored.add(tuple((place - base, *entry) for place, *entry in entries))
        largest = max(largest, entries[-1][0] - base)
    words = 0
    for pattern in stored:
        n = len(pattern) * channels
        groups = [64] * (n // 64) + ([n % 64] if n % 64 else [])
        words += sum(-(-(k * (8 + index_bits(largest)) + 10) // 64) for k in groups)
    return set(lists), 64 * words, unaligned


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_equals_a_plain_model(data: st.DataObject) -> None:
    small = st.integers(1, 3)
    in_shape = tuple(data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5))))
    out_shape = tuple(data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))))
    kernel, stride = data.draw(st.tuples(small, small)), data.draw(st.tuples(small, small))
    pads = {"pad_top": data.draw(st.integers(0, 2)), "pad_left": data.draw(st.integers(0, 2))}
    pop_type: Any = data.draw(st.sampled_from([16, 32]))
    conv = Conv(
        "a", "b", kernel=kernel, stride=stride, in_shape=in_shape, out_shape=out_shape, pop_type=pop_type, **pads
    )  # type: ignore[arg-type]
    source, target = Layer("a", in_shape), Layer("b", out_shape)
    network = Network([], [source, target], [conv])
    cut = [tiles(layer, tuple(data.draw(st.integers(1, n)) for n in layer.shape)) for layer in (source, target)]
    if data.draw(st.booleans()):
        cut[1] = tiles(target, (data.draw(st.integers(5, 60)),), (target.size,))
    made = account(network, [*cut[0], *cut[1]])

    wanted = [plain_conv(conv, block) for block in cut[1]]
    n = len(cut[0])
    assert made.column("in_axons")[n:].tolist() == [len(axons) for axons, _, _ in wanted]
    assert made.column("synapse_bits")[n:].tolist() == [bits for _, bits, _ in wanted]
    assert made.column("pop16_unaligned")[n:].tolist() == [(pop_type == 16) * unaligned for _, _, unaligned in wanted]
    pixels = [{compartment // in_shape[2] for compartment in block.compartments.tolist()} for block in cut[0]]
    flows = [[len(have & axons) for axons, _, _ in wanted] for have in pixels]
    np.testing.assert_array_equal(made.flows.toarray()[:n, n:], np.array(flows))
    slots = 2 if pop_type == 32 else 1
    assert made.column("out_axons")[:n].tolist() == [slots * sum(row) for row in flows]


def one(pattern: Any, form: SynapseFormat, tile: int | None = None) -> Account:
    n_pre, n_post = pattern.shape
    layer = Layer("b", (n_post,))
    network = Network([], [Layer("a", (n_pre,)), layer], [Dense("a", "b", pattern, format=form)])
    return account(network, [*tiles(network.layers[0], (n_pre,)), *tiles(layer, (tile or n_post,))])


def test_memory_of_a_pattern() -> None:
    """Row 0: targets 0 and 69; row 1: target 40; row 2: nothing."""
    pattern = np.zeros((3, 70), bool)
    pattern[0, [0, 69]] = pattern[1, 40] = True
    # sparse: 7 index bits, 2 * 15 + 10 and 15 + 10 bits make one word each
    assert one(pattern, SPARSE).column("synapse_bits")[1] == 128
    # dense: 70 weights are 64 (9 words) and 6 (1 word), 41 weights 338 bits are 6 words
    assert one(pattern, DENSE).column("synapse_bits")[1] == 16 * 64
    assert one(pattern, SynapseFormat()).column("synapse_bits")[1] == 128
    made = one(sparse.coo_array(pattern), SPARSE, tile=35)
    assert made.column("in_axons").tolist() == [0, 1, 2]
    assert made.column("out_axons").tolist() == [3, 0, 0]
    assert made.flows.toarray()[0].tolist() == [0, 1, 2]
    # in [0:35] only target 0, no index bits; in [35:70] targets 5 and 34, 6 index bits
    assert made.column("synapse_bits").tolist() == [0, 64, 128]


def test_a_full_pattern_is_dense() -> None:
    full = one(np.ones((5, 50), bool), SynapseFormat())
    (form,) = full.contents[1].formats
    assert form == (SynapseFormat(), "dense", 0)
    assert full.column("synapse_bits")[1] == 5 * 448
    network = Network([Layer("a", (5,))], [Layer("b", (50,))], [Dense("a", "b")])
    blocks = tiles(network.layers[0], (50,))
    assert account(network, blocks).column("synapse_bits").tolist() == [5 * 448]
    # sparse on request: 50 * (8 + 6) + 10 = 710 bits are 12 words
    network = Network([Layer("a", (5,))], [Layer("b", (50,))], [Dense("a", "b", format=SPARSE)])
    assert account(network, blocks).column("synapse_bits").tolist() == [5 * 12 * 64]


def test_delay_and_tag_bits_take_memory() -> None:
    form = SynapseFormat(weight_bits=4, delay_bits=6, tag_bits=2)
    # 50 * 12 + 10 = 610 bits are 10 words
    assert one(np.ones((1, 50), bool), form).column("synapse_bits")[1] == 640


def test_an_empty_connection_uses_nothing() -> None:
    made = one(np.zeros((3, 7), bool), SynapseFormat())
    assert made.usage[:, 1:4].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert made.column("synapse_formats").tolist() == [0, 0]
    far = Conv("a", "b", kernel=(1, 1), pad_top=5, in_shape=(2, 2, 1), out_shape=(2, 2, 1))
    network = Network([], [Layer("a", (2, 2, 1)), Layer("b", (2, 2, 1))], [far])
    made = account(network, [*tiles(network.layers[0], (2, 2, 1)), *tiles(network.layers[1], (1, 2, 1))])
    assert made.usage[:, 1:4].any() == 0


def test_profiles_and_formats_are_counted_per_block() -> None:
    layer = Layer("b", (6,), compartment_profiles=[1, 1, 2, 3, 3, 3], threshold_profiles=np.arange(6))
    weak = SynapseFormat(weight_exp=-3)
    network = Network([Layer("a", (2,))], [layer], [Dense("a", "b"), Dense("a", "b", format=weak), Dense("a", "b")])
    made = account(network, tiles(layer, (3,)))
    assert made.column("compartment_profiles").tolist() == [2, 1]
    assert made.column("threshold_profiles").tolist() == [3, 3]
    assert made.column("synapse_formats").tolist() == [2, 2]
    plain = account(Network([], [Layer("b", (6,))], []), tiles(layer, (3,)))
    assert plain.column("compartment_profiles").tolist() == plain.column("threshold_profiles").tolist() == [1, 1]


def test_pop16_registers() -> None:
    conv = Conv("a", "b", kernel=(1, 1), in_shape=(33, 33, 64), out_shape=(33, 33, 3), pop_type=16)
    network = Network([Layer("a", (33, 33, 64))], [Layer("b", (33, 33, 3))], [conv])
    made = account(network, tiles(network.layers[0], (33, 33, 3)))
    row = dict(zip(RESOURCES, made.usage[0].tolist(), strict=True))
    assert row["pop16_atoms"] == 64 > limits.POP16_ATOMS
    assert row["pop16_in_axons"] == 1089 > limits.POP16_IN_AXONS == 1024
    assert row["pop16_unaligned"] == sum(3 * k % 256 % 4 != 0 for k in range(1089))


def test_columns_are_the_fields_of_the_limits() -> None:
    assert {*COUNTED, "synapse_formats"} < set(RESOURCES)
    with pytest.raises(ValueError, match="no resource 'axons'; there are compartments"):
        one(np.ones((1, 1)), DENSE).column("axons")


def test_margin() -> None:
    reduced = CoreLimits().with_margin(0.25)
    assert (reduced.in_axons, reduced.out_axons, reduced.synapse_bits) == (3072, 3072, 786432)
    assert reduced.compartments == 1024
    for wrong in (-0.1, 1.0):
        with pytest.raises(ValueError, match="give a fraction"):
            CoreLimits().with_margin(wrong)


def test_the_seed_network_takes_no_time(network_of: Any, accounting: Any) -> None:
    network, shapes = network_of(accounting["cases"]["mnist_stride1_auto"]["spec"])
    start = time.perf_counter()
    account(network, reference_blocks(network, shapes))
    assert time.perf_counter() - start < 3


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Layer("a", (2, 2)), r"layer 'a': shape \(2, 2\); give \(n,\) or \(rows"),
        (lambda: Layer("a", (0,)), r"layer 'a': shape \(0,\)"),
        (lambda: Layer("a", (3,), threshold_profiles=[1]), r"threshold_profiles has shape \(1,\); give \(3,\)"),
        (lambda: Layer("a", (3,), compartment_profiles=[1, 2]), r"compartment_profiles has shape \(2,\)"),
        (lambda: Conv("a", "b", kernel=(0, 1), in_shape=(1, 1, 1), out_shape=(1, 1, 1)), "'a' -> 'b'.*start at 1"),
        (
            lambda: Conv("a", "b", kernel=(1, 1), pad_left=-1, in_shape=(1, 1, 1), out_shape=(1, 1, 1)),
            "padding at 0",
        ),
        (lambda: Conv("a", "b", kernel=(1, 1), in_shape=(4, 1), out_shape=(1, 1, 1)), r"shapes \(4, 1\) ->"),  # type: ignore[arg-type]
        (
            lambda: Conv("a", "b", kernel=(1, 1), in_shape=(1, 1, 1), out_shape=(1, 1, 1), pop_type=8),  # type: ignore[arg-type]
            "pop_type 8; give 16 or 32",
        ),
    ],
)
def test_data_that_makes_no_sense(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()


def test_a_format_names_every_mistake() -> None:
    with pytest.raises(ValueError, match="synapse format") as error:
        SynapseFormat(weight_bits=7, delay_bits=8, tag_bits=4, weight_exp=9, sign_mode="odd", compression="zip")  # type: ignore[arg-type]
    for word in ("weight_bits 7", "delay_bits 8", "tag_bits 4", "weight_exp 9", "sign_mode 'odd'", "compression 'zip'"):
        assert word in str(error.value)


def test_a_network_names_every_mistake() -> None:
    a, b = Layer("a", (4,)), Layer("b", (5,))
    conv = Conv("a", "b", kernel=(1, 1), in_shape=(2, 2, 2), out_shape=(1, 1, 5))
    wrong = [Dense("x", "b"), Dense("b", "a"), Dense("a", "b", np.ones((4, 4))), conv]
    with pytest.raises(ValueError, match="network") as error:
        Network([a], [b, b], wrong)
    for text in (
        "the name 'b' is used more than once",
        "'x' -> 'b': there is no layer or input 'x'",
        "'b' -> 'a': there is no layer 'a'",
        "'a' -> 'b': connects 4 to 4 compartments, layers have 4 and 5",
        "'a' -> 'b': connects 8 to 5 compartments, layers have 4 and 5",
    ):
        assert text in str(error.value)
    assert Network([a], [b], []).layer("b") is b
    with pytest.raises(KeyError):
        Network([a], [b], []).layer("a")


def test_tiles() -> None:
    layer = Layer("a", (3, 2, 5))
    blocks = tiles(layer, (2, 2, 4))
    assert [block.label for block in blocks] == [
        "a[0:2, 0:2, 0:4]",
        "a[0:2, 0:2, 4:5]",
        "a[2:3, 0:2, 0:4]",
        "a[2:3, 0:2, 4:5]",
    ]
    assert blocks[1].compartments.tolist() == [4, 9, 14, 19]
    assert blocks[1].extent == (2, 2, 1)
    assert [block.label for block in tiles(layer, (9, 9, 9))] == ["a"]
    assert [block.compartments.tolist() for block in tiles(layer, (25,), (30,))] == [[*range(25)], [*range(25, 30)]]
    with pytest.raises(ValueError, match=r"layer 'a' of shape \(3, 2, 5\): block shape \(2, 2\); give 3 sizes from 1"):
        tiles(layer, (2, 2))
    with pytest.raises(ValueError, match=r"block shape \(2, 0, 1\)"):
        tiles(layer, (2, 0, 1))
    with pytest.raises(ValueError, match=r"layer 'a' has 30 compartments, shape \(31,\) has 31"):
        tiles(layer, (2,), (31,))


@pytest.mark.parametrize("keep", [slice(0, 2), slice(1, 3), [0, 1, 2, 2]])
def test_every_compartment_in_exactly_one_block(keep: Any) -> None:
    layer = Layer("a", (6,))
    blocks = np.array(tiles(layer, (2,)), object)[keep].tolist()
    with pytest.raises(ValueError, match="layer 'a': its blocks do not hold each of its 6 compartments exactly once"):
        account(Network([], [layer], []), blocks)


def test_blocks_of_a_foreign_layer() -> None:
    with pytest.raises(ValueError, match="layer 'b'"):
        account(Network([], [], []), tiles(Layer("b", (2,)), (2,)))
