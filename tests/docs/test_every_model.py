"""The page on every model: not stale, and every reason it gives goes when the model meets it, and only then."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import numpy as np
import pytest

import hal

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "every_model.md"
MODELS = ROOT / "tests" / "golden" / "nir"
FLOORS = {"clocked": 0.99, "event": 0.95, "continuous": 0.80}
"""Of the conformance suite: as far as a device agrees with `ideal` on its own numbers where it changes nothing."""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_every_model", ROOT / "docs" / "make_every_model.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


def table() -> list[tuple[str, list[str], list[str]]]:
    """(model, devices, cells) of every row of the page."""
    out = []
    model = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            model = line.removeprefix("## ")
        elif line.startswith("| `"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            out.append((model, re.findall(r"`([\w-]+)`", cells[0]), cells[1:]))
    return out


# --- the page ---------------------------------------------------------------------------------------------------------


@pytest.mark.full
def test_the_page_is_not_stale(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--check"]) == 0, capsys.readouterr().out


def test_some_of_the_page_is_made_again(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    some = ["--only", "rockpool_lif", "--only", "snntorch_leaky_zero", "--only", "sinabs_cnn_sumpool"]
    assert script.main([*some, "--check"]) == 0, capsys.readouterr().out


def test_a_stale_page_is_found_and_written_anew(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "every_model.md"
    text = PAGE.read_text(encoding="utf-8")
    page.write_text(text.replace("Profile `snntorch`; 20 neurons (LIF)", "Profile `snntorch`; 21 neurons (LIF)"))
    monkeypatch.setattr(script, "PAGE", page)
    name = ["--only", "snntorch_leaky_zero"]
    assert script.main([*name, "--check"]) == 1
    assert "stale in snntorch_leaky_zero" in capsys.readouterr().out
    assert script.main(name) == 0
    assert script.main([*name, "--check"]) == 0


def test_every_model_and_every_device_is_there() -> None:
    rows = table()
    assert {model for model, _, _ in rows} == {path.stem for path in MODELS.glob("*.nir")}
    names = {listing.name for listing in hal.devices() if listing.name != "ideal"}
    for model in {model for model, _, _ in rows}:
        assert names <= {name for other, devices, _ in rows for name in devices if other == model}, model


def test_nothing_crashes_and_every_refusal_has_a_reason() -> None:
    for model, devices, (verdict, *_, reasons) in table():
        assert verdict in ("runs", "does not fit"), (model, devices)
        assert verdict == "runs" or reasons != "nothing", (model, devices)


def test_every_reason_names_a_limit_or_a_field() -> None:
    fields = {"type", "graph", "bias", "synapse", "neurons", "input", "layers", "cores"}
    fields |= {field.name for field in attrs.fields(hal.semantics.Rule)} | set(hal.capabilities.VOCABULARY)
    for model, devices, (verdict, *_, reasons) in table():
        for reason in reasons.split("<br>") if verdict != "runs" else []:
            words = {word.strip() for word in re.split(r"[:,]", reason)}
            assert "limit" in reason or words & fields, (model, devices, reason)


def test_what_is_not_what_ideal_gives_is_listed_as_changed() -> None:
    ran = 0
    for model, devices, (verdict, _, realised, _, changed) in table():
        listed = {listing.name for listing in hal.devices()}
        for name in devices if verdict == "runs" else []:
            if name not in listed:
                continue
            ran += 1
            clock = hal.registry.spec(name).clock.kind
            assert changed != "nothing" or float(realised) >= FLOORS[clock], (model, name)
    assert ran > 30


# --- reasons ----------------------------------------------------------------------------------------------------------

Change = Callable[[hal.Model], hal.Model]


def renew(model: hal.Model, **nodes: Any) -> hal.Model:
    return hal.Model.of({**model.nodes, **nodes}, model.edges, model.semantics)


def meant(**fields: Any) -> Change:
    """Said otherwise, for all nodes."""
    return lambda model: model.with_semantics(attrs.evolve(model.semantics, **fields))


def without_bias(model: hal.Model) -> hal.Model:
    """Every bias 0."""
    changed = {
        name: attrs.evolve(node, bias=np.zeros_like(node.bias))
        for name, node in model.nodes.items()
        if getattr(node, "bias", None) is not None
    }
    return renew(model, **changed)


def as_cuba(model: hal.Model) -> hal.Model:
    """LIF neurons with a synaptic current of their own."""
    changed = {}
    for name, node in model.nodes.items():
        if isinstance(node, hal.nodes.LIF):
            one = np.ones_like(node.tau)
            same = {k: getattr(node, k) for k in ("name", "input_shape", "output_shape", "r", "v_leak", "v_threshold")}
            changed[name] = hal.nodes.CubaLIF(
                **same, v_reset=node.v_reset, tau_mem=node.tau, tau_syn=node.tau / 2, w_in=one
            )
    return renew(model, **changed)


def cut(count: int) -> Change:
    """The last layer with `count` neurons."""

    def change(model: hal.Model) -> hal.Model:
        (output,) = model.outputs
        (neurons,) = model.predecessors(output)
        (weights,) = model.predecessors(neurons)
        node, dense = model.nodes[neurons], model.nodes[weights]
        small = {name: np.asarray(getattr(node, name))[:count] for name in node.parameters}
        fewer = {"weight": dense.weight[:count], "output_shape": (count,)}
        if getattr(dense, "bias", None) is not None:
            fewer["bias"] = dense.bias[:count]
        shape = {"input_shape": (count,), "output_shape": (count,)}
        return renew(
            model,
            **{
                weights: attrs.evolve(dense, **fewer),
                neurons: attrs.evolve(node, **small, **shape),
                output: attrs.evolve(model.nodes[output], **shape),
            },
        )

    return change


def as_it_is(model: hal.Model) -> hal.Model:
    """Nothing changed."""
    return model


VALUE = meant(spike_reset="value")
AT_ONCE = meant(reset_delay=0)
NEW = meant(fires_on="new")
SUBTRACT = meant(spike_reset="subtract_n")
# model, device, what is changed before (reasons that a mapper does not look behind), the reasons, the least change
CASES: list[tuple[str, str, Change, set[str], Change]] = [
    # rules
    ("sinabs_cnn_sumpool", "loihi", as_it_is, {"spike_reset"}, VALUE),
    ("snntorch_leaky_subtract_delay", "loihi", AT_ONCE, {"spike_reset"}, VALUE),
    ("snntorch_leaky_subtract_delay", "loihi", as_it_is, {"reset_delay"}, AT_ONCE),
    ("spyx_conv_sumpool", "loihi", as_it_is, {"fires_on"}, NEW),
    ("spyx_conv_sumpool", "speck2f", without_bias, {"fires_on"}, NEW),
    ("paper_braille_noBias_subtract", "brainscales2", as_it_is, {"spike_reset"}, VALUE),
    ("paper_braille_noBias_subtract", "dynapse2", as_it_is, {"spike_reset"}, VALUE),
    ("snntorch_leaky_subtract_delay", "dynapse2", as_it_is, {"reset_delay"}, AT_ONCE),
    ("paper_braille_bias_zero", "xylo-audio2", as_it_is, {"spike_reset"}, SUBTRACT),
    # numbers
    ("nirtorch_residual", "speck2f", as_it_is, {"bias"}, without_bias),
    ("spyx_conv_sumpool", "speck2f", NEW, {"bias"}, without_bias),
    ("paper_braille_bias_zero", "dynapse2", as_it_is, {"bias"}, without_bias),
    ("paper_braille_bias_zero", "brainscales2", as_it_is, {"bias"}, without_bias),
    # kinds of neurons
    ("snntorch_leaky_zero", "xylo-audio2", SUBTRACT, {"neuron.lif", "type"}, as_cuba),
    ("snntorch_leaky_zero", "brainscales2", without_bias, {"neuron.lif", "type"}, as_cuba),
    ("snntorch_leaky_zero", "dynapse2", as_it_is, {"neuron.lif", "synapse"}, as_cuba),
    # limits
    ("sinabs_cnn_sumpool", "xylo-audio2", as_it_is, {"output neurons"}, cut(8)),
]


def said(model: hal.Model, device: str) -> set[tuple[str, str]]:
    """(node, field or resource) of every reason."""
    report = hal.mapper(device).check(model)
    return {(f.node, f.field) for f in report.refused} | {(r.node, r.resource) for r in report.rows if not r.ok}


# Xylo is a plugin of its own distribution: tried where it is installed
INSTALLED = {listing.name for listing in hal.devices()}


@pytest.mark.parametrize(
    ("name", "device", "before", "what", "change"), [case for case in CASES if case[1] in INSTALLED]
)
def test_a_model_that_meets_a_reason_loses_just_that(
    script: ModuleType, name: str, device: str, before: Change, what: set[str], change: Change
) -> None:
    model = before(script.read(name)[0])
    reasons = said(model, device)
    assert what <= {field for _, field in reasons}
    assert said(change(model), device) == {(node, field) for node, field in reasons if field not in what}


def test_limits_are_where_they_are_said_to_be(script: ModuleType) -> None:
    model, _ = script.read("sinabs_cnn_sumpool")
    (problem,) = hal.mapper("speck2cmini").check(model).problems()
    assert "drop_zero_bias=True" in str(problem)
    # the way out that the reason names is one: these biases are all zero
    assert hal.mapper("speck2cmini").check(model, {"drop_zero_bias": True}).fits
    for device in {"xylo-audio2"} & INSTALLED:
        rows = [row for row in hal.mapper(device).check(cut(9)(model)).rows if row.resource == "output neurons"]
        assert [(row.needed, row.limit, row.ok) for row in rows] == [(9, 8, False)]
