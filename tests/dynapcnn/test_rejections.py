"""What users of the vendor's tools run into, as a table, and the golden mappings p10 and p11.

Limits of single layers are in test_layers, memories and cores in test_mapper, meeting branches in test_graphs.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nir
import numpy as np
import pytest

import hal
from hal import nodes
from hal.errors import ConfigError, HalError, ModelError
from hal_dynapcnn.config import CnnLayerConfig, Destination, SpeckConfig

GOLDEN = Path(__file__).parents[1] / "golden" / "dynapcnn"


def one(chain: Any, **semantics: Any) -> Any:
    return chain(1, 1, 1).conv([[[[5]]]], "w").fire(9, "n").model(**semantics)


# --- models: sheet section 6, row by row ------------------------------------------------------------------------------

ROWS: dict[str, tuple[Any, str, str, Any, Any]] = {
    "convolution directly after convolution": (
        lambda c: c(1, 4, 4).relay("v").relay("w").fire(1, "n"), "w", "type", None, None
    ),
    "leaky neurons": (
        lambda c: c(1, 4, 4).relay("v").neurons(nodes.LIF, "k").relay("w").fire(1, "n"), "k", "type", None, None
    ),
    "pooling before any spiking layer": (
        lambda c: c(1, 4, 4).pool(2, "p").relay("w").fire(1, "n"), "p", "kernel_size", None, None
    ),
    "pooling whose stride is not its kernel": (
        lambda c: c(1, 4, 4).relay("v").fire(1, "m").pool(2, "p", stride=1).relay("w").fire(1, "n"),
        "p", "kernel_size", "kernel (2, 2), stride (1, 1), padding (0, 0)", "sizes (1, 2, 4)",
    ),
    "rectangular pooling": (
        lambda c: c(1, 4, 4).relay("v").fire(1, "m").pool((1, 2), "p").relay("w").fire(1, "n"),
        "p", "kernel_size", "kernel (1, 2), stride (1, 2), padding (0, 0)", "sizes (1, 2, 4)",
    ),
    "rectangular kernel": (
        lambda c: c(1, 4, 4).conv(np.ones((1, 1, 1, 2)), "w").fire(1, "n"), "w", "weight", (1, 2), "square"
    ),
    "convolution without a spiking layer": (lambda c: c(1, 4, 4).relay("w"), "", "neurons", None, None),
    "convolution beside the network": (
        lambda c: c(1, 4, 4).relay("v").fire(1, "n").out().at("n").relay("w"), "w", "type", None, None
    ),
    "stride the chip lacks": (
        lambda c: c(1, 4, 4).conv(np.ones((1, 1, 1, 1)), "w", stride=3).fire(1, "n"), "w", "stride.x", 3, (1, 2, 4, 8)
    ),
    "dilation": (
        lambda c: c(1, 4, 4).conv(np.ones((1, 1, 2, 2)), "w", dilation=2).fire(1, "n"), "w", "dilation", (2, 2), (1, 1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_models_that_no_core_runs(row: str, speck: Any, chain: Any) -> None:
    build, node, field, wanted, limit = ROWS[row]
    found = speck.refused(build(chain).model(), node, field)
    assert (found.wanted, found.realised) == (wanted, limit)


@pytest.mark.parametrize("kind", ["ReLU", "MaxPool2d"])
def test_types_that_nir_does_not_have(kind: str) -> None:
    """Left in by an exporter of its own: named by the reader, before any chip is asked."""
    strange = type(kind, (), {"input_type": {"input": np.array([2])}, "output_type": {"output": np.array([2])}})()
    whole = {"input": nir.Input(np.array([2])), "odd": strange, "output": nir.Output(np.array([2]))}
    graph = SimpleNamespace(nodes=whole, edges=[("input", "odd"), ("odd", "output")])
    with pytest.raises(ModelError, match=f"unknown node type '{kind}'") as error:
        hal.mapper("speck2f").check(graph)
    assert "odd" in str(error.value)


def test_a_convolution_whose_input_nobody_sized() -> None:
    whole = {"w": nir.Conv2d(None, np.ones((1, 1, 3, 3)), 1, 0, 1, 1, np.zeros(1)), "n": nir.IF(np.ones(1), np.ones(1))}
    with pytest.raises(ModelError):
        hal.mapper("speck2f").check(SimpleNamespace(nodes=whole, edges=[("w", "n")]))


def test_a_device_nobody_has(chain: Any) -> None:
    with pytest.raises(HalError, match="speck9"):
        hal.mapper("speck9")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fixed_cores": {"n": 9}}, "0..8"),
        ({"chip_layers_ordering": (9,)}, "0..8"),
        ({"reserved_cores": (9,)}, "0..8"),
        ({"average_merge": "mean"}, "sinabs"),
        ({"average_merge": None}, "average_merge"),
    ],
)
def test_options_out_of_range_name_value_and_limit(options: Any, said: str, speck: Any, chain: Any) -> None:
    with pytest.raises(ConfigError) as error:
        speck.map(one(chain), **options)
    assert said in str(error.value)
    assert next(iter(options)) in str(error.value)


# --- numbers of 8 and 16 bits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "semantics", "node", "field", "value", "limit"),
    [
        (lambda c: c(1).dense([[128]], "w").fire(9, "n"), {}, "w", "weight", 128, "-128..127"),
        (lambda c: c(1).dense([[-129]], "w").fire(9, "n"), {}, "w", "weight", -129, "-128..127"),
        (lambda c: c(1).dense([[1]], "w", bias=32768).fire(9, "n"), {}, "w", "bias", 32768, "-32768..32767"),
        (lambda c: c(1).dense([[1]], "w").fire(32768, "n"), {}, "n", "v_threshold", 32768, "-32768..32767"),
        (lambda c: c(1).dense([[1]], "w").fire(9, "n"), {"v_min": -32769.0}, "n", "v_min", -32769, "-32768..32767"),
        (lambda c: c(1).dense([[1]], "w").fire(9, "n"), {"start_state": 40_000.0}, "n", "start_state", 40_000, "32767"),
    ],
)
def test_integers_the_chip_does_not_hold(
    build: Any, semantics: Any, node: str, field: str, value: float, limit: str, speck: Any, chain: Any
) -> None:
    model = build(chain).model(**semantics)
    found = speck.refused(model, node, field, quantisation="keep_integers")
    assert found.wanted == value
    assert limit in str(found.realised)


# --- registers beyond the limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "where", "value", "limit"),
    [
        (lambda: Destination(enable=True, layer=13), "layer", "13", "12"),
        (lambda: Destination(enable=True, pooling=3), "pooling", "3", "1, 2, 4"),
        (lambda: Destination(enable=True, feature_shift=1024), "feature_shift", "1024", "1023"),
    ],
)
def test_destinations_beyond_their_limits(build: Any, where: str, value: str, limit: str) -> None:
    layers = (CnnLayerConfig(destinations=(build(), Destination())), *[CnnLayerConfig()] * 8)
    with pytest.raises(ConfigError) as error:
        hal.config.check(SpeckConfig(cnn_layers=layers))
    (line,) = [str(p) for p in error.value.problems if where in str(p)]
    assert value in line
    assert limit in line


# --- golden mappings --------------------------------------------------------------------------------------------------


def golden_model(name: str, speck: Any, chain: Any) -> tuple[Any, Any, Any]:
    """(model, meta, arrays) of a network the vendor's tool mapped, or could not map."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        golden = dict(file)
    meta = json.loads(str(golden["meta"]))
    made = chain(*meta["input_shape"])
    layer = 0
    for kind, *numbers in meta["spec"]:
        if kind == "conv":
            *_, stride, padding = numbers
            made.conv(golden[f"float_weights_{layer}"], f"w{layer}", stride=stride, padding=padding)
        elif kind == "linear":
            made.dense(golden[f"float_weights_{layer}"], f"w{layer}")
        elif kind == "iaf":
            made.fire(meta["spike_threshold"], f"n{layer}")
            layer += 1
        elif kind == "avg":
            made.mean(numbers[0])
        else:
            made.flatten()
    return made.model(v_min=meta["min_v_mem"]), meta, golden


def test_golden_p10_registers(speck: Any, chain: Any) -> None:
    model, meta, golden = golden_model("p10_config_nmnist", speck, chain)
    mapping = speck.map(model, quantisation="sinabs", drop_zero_bias=True)
    assert speck.cores(mapping, model) == [meta["layer2core"][str(i)] for i in range(4)]
    for core, wanted in meta["config"].items():
        layer = mapping.config.cnn_layers[int(core)]
        assert np.array_equal(layer.weights, golden[f"config_weights_core{core}"])
        tree = hal.config.to_json(layer)
        for key in ("threshold_high", "threshold_low", "return_to_zero", "leak_enable", "monitor_enable"):
            assert tree[key] == wanted[key], key
        assert tree["dimensions"] == wanted["dimensions"]
        used = [(d["layer"], d["pooling"]) for d in wanted["destinations"] if d["enable"]]
        assert [(d.layer, d.pooling) for d in layer.destinations if d.enable] == used
    needs = {(row.resource, row.node): row.needed for row in mapping.fit.rows}
    for memory, words in meta["memory"].items():
        assert {needs[f"{memory} memory", f"n{i}"] == count for i, count in words.items()} == {True}


def test_golden_p11_names_what_competes(speck: Any, chain: Any) -> None:
    model, meta, _ = golden_model("p11_config_does_not_fit", speck, chain)
    assert meta["result"] == "error"
    found = speck.refused(model, "", "cores", quantisation="sinabs")
    assert "4 layers (n0, n1, n2, n3) compete for 3 of 9 cores (0, 1, 2), 4 > 3" in found.reason
