"""Cutting layers into blocks: whole networks that fit, and everything that does not when they cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal_loihi import limits
from hal_loihi.accounting import RESOURCES, account
from hal_loihi.limits import CoreLimits
from hal_loihi.splitting import Split, Violation, reference_blocks, reference_labels, split, violations
from hal_loihi.topology import Conv, Dense, Layer, Network, SynapseFormat

LIMITS = np.array([getattr(CoreLimits(), name) for name in RESOURCES])


def check_split(network: Network, made: Split) -> None:
    """What holds of every split, whether it fits or not."""
    for layer in network.layers:
        blocks = [block for block in made.blocks if block.layer == layer.name]
        held = np.concatenate([block.compartments for block in blocks])
        np.testing.assert_array_equal(np.sort(held), np.arange(layer.size))
        assert blocks[0].extent == made.shapes[layer.name]
    assert len({block.label for block in made.blocks}) == len(made.blocks)
    over = {
        (block.label, name)
        for block, row in zip(made.blocks, made.account.usage, strict=True)
        for name, much in zip(RESOURCES, row > LIMITS, strict=True)
        if much
    }
    assert {(found.block, found.resource) for found in made.violations} == over


def test_rule_17_what_no_core_holds(network_of: Any) -> None:
    layers = [
        Layer("few", (3,)),
        Layer("many", (1025,)),
        Layer("wide", (1024,)),
        Layer("end", (7,)),
        Layer("heavy", (64,)),
    ]
    inputs = [Layer("in", (4097,)), Layer("other", (2048,))]
    ends = [Dense("wide", "end") for _ in range(5)]
    network = Network(inputs, layers, [Dense("in", "few"), Dense("other", "heavy"), *ends])
    whole = {layer.name: layer.shape for layer in layers}
    made = split(network, whole)
    check_split(network, made)
    assert made.violations == (
        Violation("few", "few", "in_axons", 4097, 4096),
        Violation("many", "many", "compartments", 1025, 1024, fits=(513,)),
        Violation("wide", "wide", "out_axons", 5120, 4096, fits=(512,)),
        Violation("end", "end", "in_axons", 5120, 4096),
        Violation("heavy", "heavy", "synapse_bits", 2048 * 576, 1048576, fits=(32,)),
    )
    assert str(made.violations[0]) == "few: in_axons 4097, a core has 4096"
    assert str(made.violations[1]) == "many: compartments 1025, a core has 1024; block shape (513,) fits"
    mended = split(network, whole | {found.layer: found.fits for found in made.violations if found.fits})
    assert {found.layer for found in mended.violations} == {"few", "end"}


@pytest.mark.parametrize("case", ["mnist_stride1_auto", "mnist_stride2_auto", "dense_auto", "compartments_1025"])
def test_fits_without_shapes_by_hand(network_of: Any, accounting: Any, case: str) -> None:
    network, _ = network_of(accounting["cases"][case]["spec"])
    made = split(network)
    check_split(network, made)
    assert made.violations == ()
    for name, shape in made.shapes.items():
        layer = network.layer(name)
        assert len(shape) == 1 or shape[2] % 4 == 0 or shape[2] == layer.shape[2]
    assert len(made.blocks) <= len(accounting["cases"][case]["blocks"]) + 3


def test_output_axons_are_counted_after_targets_are_cut() -> None:
    """700 targets of 1500 axons need 10 blocks, so a source block may have 4096 // 10 = 409 compartments."""
    layers = [Layer("a", (1500,)), Layer("b", (700,))]
    network = Network([Layer("in", (100,))], layers, [Dense("in", "a"), Dense("a", "b")])
    made = split(network)
    assert made.violations == ()
    assert made.shapes == {"a": (375,), "b": (70,)}
    assert made.account.column("out_axons").tolist() == [3750] * 4 + [0] * 10


def test_what_the_peer_cannot_build_is_named_with_a_shape_that_fits(network_of: Any, accounting: Any) -> None:
    network, _ = network_of(accounting["cases"]["mnist_stride1_auto"]["spec"])
    blocks = reference_blocks(network)
    found = violations(account(network, blocks, count_unused=True))
    labels = dict(zip([block.label for block in blocks], reference_labels(blocks), strict=True))
    assert labels[found[0].block] == "conv1[0:543:1]"
    assert (found[0].resource, found[0].amount, found[0].limit) == ("synapse_bits", 1_103_808, 1_048_576)
    too_big = [row[4] for row in accounting["cases"]["mnist_stride1_auto"]["blocks"] if row[4] > limits.SYNAPSE_BITS]
    assert [one.amount for one in found] == too_big
    assert len({one.fits for one in found}) == 1
    assert found[0].fits is not None
    assert split(network, {"conv1": found[0].fits}).violations == ()


def test_errors_of_the_peer_are_found(network_of: Any, accounting: Any) -> None:
    words = {
        "Total synapse bits": "synapse_bits",
        "Output axons": "out_axons",
        "Input axons": "in_axons",
        "Number of compartments": "compartments",
    }
    for case in accounting["cases"].values():
        network, shapes = network_of(case["spec"])
        blocks = reference_blocks(network, shapes)
        found = violations(account(network, blocks, count_unused=True))
        assert bool(found) == bool(case["error"])
        if case["error"]:
            labels = dict(zip([block.label for block in blocks], reference_labels(blocks), strict=True))
            first = found[0]
            assert labels[first.block].replace(first.layer, f'<Ensemble "{first.layer}">') in case["error"]
            (resource,) = (name for word, name in words.items() if word in case["error"])
            assert first.resource == resource
            assert f"({first.amount})" in case["error"]
            assert f"({first.limit})" in case["error"]


def test_shapes_by_hand_are_kept(network_of: Any, accounting: Any) -> None:
    case = accounting["cases"]["mnist_stride2_blockshape"]
    network, shapes = network_of(case["spec"])
    made = split(network, shapes)
    assert made.violations == ()
    counted = [RESOURCES.index(name) for name in case["columns"][1:]]
    assert made.account.usage[:, counted].tolist() == [row[1:] for row in case["blocks"]]
    assert made.shapes == {"conv0": (13, 13, 4), "conv1": (6, 6, 16), "dense0": (50,)}


def test_a_fitting_shape_respects_the_shapes_by_hand() -> None:
    """The target is cut into 100 blocks by hand, so the source must be finer than it would be otherwise."""
    layers = [Layer("a", (1024,)), Layer("b", (100,))]
    network = Network([], layers, [Dense("a", "b")])
    made = split(network, {"a": (1024,), "b": (1,)})
    (found,) = made.violations
    assert (found.block, found.resource, found.amount) == ("a", "out_axons", 102_400)
    assert found.fits == (40,)
    assert split(network, {"a": (40,), "b": (1,)}).violations == ()


def test_a_shape_by_hand_that_leaves_no_room_is_set_aside() -> None:
    """With the target in 5000 blocks even one source compartment has too many axons; with both free there is a way."""
    layers = [Layer("a", (8,)), Layer("b", (5000,))]
    network = Network([], layers, [Dense("a", "b")])
    made = split(network, {"b": (1,)})
    assert {found.resource for found in made.violations} == {"out_axons"}
    assert {found.layer for found in made.violations} == {"a"}
    assert all(found.fits == (8,) for found in made.violations)


def test_shapes_that_are_none_are_named_at_once() -> None:
    network = Network([], [Layer("a", (4, 4, 4)), Layer("b", (5,))], [])
    with pytest.raises(ValueError, match="block shapes") as error:
        split(network, {"a": (4, 4), "b": (0,), "c": (1,)})
    for text in ("block shape (4, 4)", "block shape (0,)", "there is no layer 'c'; layers are a, b"):
        assert text in str(error.value)
    with pytest.raises(ValueError, match="block shapes"):
        reference_blocks(network, {"c": (1,)})


def test_registers_cut_layers_too() -> None:
    thresholds = Layer("a", (20,), threshold_profiles=np.arange(20))
    mixed = Layer("b", (4, 4, 64), compartment_profiles=np.arange(1024) % 64)
    made = split(Network([], [thresholds, mixed], []))
    assert made.violations == ()
    assert made.shapes == {"a": (7,), "b": (4, 4, 24)}


def test_what_no_shape_mends_does_not_hide_what_one_mends() -> None:
    forms = [SynapseFormat(weight_exp=exponent) for exponent in range(8)]
    layer = Layer("a", (2000,))
    network = Network([Layer("in", (9,))], [layer], [Dense("in", "a", format=form) for form in forms])
    made = split(network)
    assert [(one.resource, one.amount, one.limit, one.fits) for one in made.violations] == [
        ("synapse_formats", 8, 7, None),
        ("synapse_formats", 8, 7, None),
    ]
    assert made.shapes == {"a": (1000,)}


def test_pop16_goes_by_multiples_of_4() -> None:
    conv = Conv("in", "a", kernel=(3, 3), in_shape=(18, 18, 32), out_shape=(16, 16, 64), pop_type=16)
    network = Network([Layer("in", (18, 18, 32))], [Layer("a", (16, 16, 64))], [conv])
    made = split(network)
    assert made.violations == ()
    assert made.shapes["a"][2] % 4 == 0
    wrong = split(network, {"a": (4, 4, 6)})
    assert {one.resource for one in wrong.violations} == {"pop16_unaligned"}
    assert all(one.fits == made.shapes["a"] for one in wrong.violations)


def test_a_pixel_is_cut_finer_only_where_nothing_else_fits() -> None:
    """7 x 7 x 512 inputs at 4 outputs of one pixel are 1.5 MiB in 49 lists, at 2 they fit."""
    shape = (2, 2, 8)
    conv = Conv("in", "a", kernel=(7, 7), in_shape=(8, 8, 512), out_shape=shape)
    network = Network([Layer("in", (8, 8, 512))], [Layer("a", shape)], [conv])
    made = split(network)
    assert made.violations == ()
    assert made.shapes["a"] == (1, 1, 2)


def test_margins_are_kept() -> None:
    network = Network([Layer("in", (3000,))], [Layer("a", (76,))], [Dense("in", "a")])
    core = CoreLimits().with_margin(0.25)
    made = split(network, core=core)
    assert made.violations == ()
    assert made.account.column("synapse_bits").max() <= core.synapse_bits
    assert len(made.blocks) > len(split(network).blocks)


def test_two_layers_that_feed_each_other_come_to_an_end() -> None:
    layers = [Layer("a", (3000,)), Layer("b", (3000,))]
    network = Network([], layers, [Dense("a", "b"), Dense("b", "a")])
    made = split(network)
    check_split(network, made)
    assert made.violations == ()
    everywhere = Network([], [Layer("a", (4200,))], [Dense("a", "a")])
    assert {one.resource for one in split(everywhere).violations} == {"in_axons", "out_axons"}


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_random_networks(specs: Any, network_of: Any, data: st.DataObject) -> None:
    spec = data.draw(specs)
    network, _ = network_of(spec)
    made = split(network)
    check_split(network, made)
    assert all(one.fits is None for one in made.violations)
    assert all(one.resource.startswith("pop16") or one.resource == "in_axons" for one in made.violations)
    again = split(network_of(spec)[0])
    assert again.shapes == made.shapes
    np.testing.assert_array_equal(again.account.usage, made.account.usage)
    # One axon arrives for every discrete axon sent: cutting changes how many there are, but loses none on the way.
    discrete = {one.target for one in network.connections if one.pop_type == 0 and one.source != "input"}
    discrete -= {one.target for one in network.connections if one.pop_type or one.source == "input"}
    arrived = made.account.flows.sum(axis=0)
    for k, block in enumerate(made.blocks):
        if block.layer in discrete:
            assert arrived[k] == made.account.column("in_axons")[k]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_cutting_by_hand_changes_no_totals(specs: Any, network_of: Any, data: st.DataObject) -> None:
    """Compartments always; input axons and memory of full matrices scale with the number of blocks alone."""
    network, _ = network_of(data.draw(specs))
    shapes = {layer.name: tuple(data.draw(st.integers(-(-n // 6), n)) for n in layer.shape) for layer in network.layers}
    made = split(network, shapes)
    check_split(network, made)
    assert made.account.column("compartments").sum() == sum(layer.size for layer in network.layers)
    for layer in network.layers:
        into = [one for one in network.connections if one.target == layer.name]
        if all(one.pop_type == 0 for one in into):
            sources = {one.name: one.size for one in (*network.inputs, *network.layers)}
            axons = sum(sources[one.source] for one in into)
            rows = [k for k, block in enumerate(made.blocks) if block.layer == layer.name]
            assert made.account.column("in_axons")[rows].tolist() == [axons] * len(rows)
