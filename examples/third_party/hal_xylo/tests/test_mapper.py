"""Mapping: scales, decays, biases, currents, aliases, places, rates, and what is said of them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import hal
import numpy as np
import pytest
from hal import nodes
from hal.model import Model
from hypothesis import given, settings
from hypothesis import strategies as st

from hal_xylo.config import XyloConfig
from hal_xylo.evidence import evidence
from hal_xylo.limits import PARTS
from hal_xylo.quantise import trims

PART = "xylo-audio2"


def mapped(model: Model, part: str = PART, **options: Any) -> hal.Mapping:
    return hal.mapper(part).map(model, options)


def registers(mapping: hal.Mapping) -> XyloConfig:
    assert isinstance(mapping.config, XyloConfig)
    return mapping.config


def run(mapping: hal.Mapping, raster: Any, **more: Any) -> hal.Recording:
    with hal.open(mapping.device, **more) as device:
        device.load(mapping)
        return device.run({"input": np.asarray(raster)}, len(raster) * 1_000_000)


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_small_whole_numbers_are_scaled_without_a_loss(chain: Any) -> None:
    mapping = mapped(chain([[9, -5], [5, 0]], [[9, 5]]))
    config = registers(mapping)
    assert not len(mapping.losses)
    for name, weight in (("fc1", [[9, -5], [5, 0]]), ("fc2", [[9, 5]])):
        assert mapping.realised[name, "weight"].tolist() == weight
    assert mapping.realised["layer1", "v_threshold"].tolist() == [4, 4]
    for neuron in range(2):
        stored = config.w_in[:, neuron, 0].astype(int) << config.shift_in
        np.testing.assert_array_equal(stored * 4, config.threshold[neuron] * np.array([[9, -5], [5, 0]][neuron]))
    # more than a thousand units in a threshold, and no wrap
    assert config.threshold.min() > 1000


def test_biases_make_up_for_rounding_unless_left_out(chain: Any) -> None:
    model = chain([[9.5]], [[9.5]], tau_mem=16.0, tau_syn=4.0)
    with_trim, without = registers(mapped(model)), registers(mapped(model, trim=False))
    assert with_trim.has_bias
    assert with_trim.bias.tolist() == [-2]
    assert not without.has_bias
    assert not without.bias.any()
    assert not registers(mapped(model, quantiser="channel")).has_bias
    assert "rounding" in {finding.field for finding in mapped(model).fit.findings}


def test_trims_are_what_decays_round_up_on_average() -> None:
    rng = np.random.default_rng(0)
    for dash in (1, 3, 6, 10):
        v = rng.integers(1, 20_000, 20_000)
        lost = np.where((v >> dash) == 0, 1, v >> dash)
        up = (v / 2**dash - lost).mean()
        for syn in (1, 2, 5):
            i = rng.integers(2**syn, 20_000, 20_000)
            current = (i / 2**syn - (i >> syn)).mean() * 2**syn
            (trim,) = trims(np.array([dash]), np.array([syn]), np.array([20_000]))
            assert trim == pytest.approx(-(up + current), abs=0.7)


@pytest.mark.parametrize("method", ["global", "channel"])
def test_the_vendors_scales_have_no_shift(method: str, chain: Any) -> None:
    config = registers(mapped(chain([[1.0, 0.25], [0.5, -0.1]], [[2.0, 1.0]], v_threshold=2.0), quantiser=method))
    assert (config.shift_in, config.shift_rec, config.shift_out) == (0, 0, 0)
    rows = config.w_in[:, :, 0].T
    assert rows.tolist() == ([[127, 32], [64, -13]] if method == "global" else [[127, 32], [127, -25]])
    assert config.threshold.tolist() == ([254, 254] if method == "global" else [254, 508])
    assert config.w_out.T.tolist() == [[127, 64]]
    assert config.threshold_out.tolist() == [127]


def test_registers_are_kept_only_where_they_use_the_range(chain: Any) -> None:
    full = chain([[64, -3]], [[127]], v_threshold=500.0)
    assert registers(mapped(full)).w_in.ravel().tolist() == [64, -3]
    assert registers(mapped(full)).threshold.tolist() == [500]
    half = chain([[63, -3]], [[127]], v_threshold=500.0)
    assert registers(mapped(half)).w_in.ravel().tolist() == [126, -6]
    assert registers(mapped(half, quantiser="registers")).w_in.ravel().tolist() == [63, -3]


def test_parallel_connections_add_up_within_eight_bits(chain: Any, linear: Any) -> None:
    model = chain([[9.3]], [[9.1]])
    other = linear("second", 1, 1, 8.7)
    model = Model.of(
        {**model.nodes, "second": other}, [*model.edges, ("input", "second"), ("second", "layer1")], model.semantics
    )
    mapping = mapped(model)
    config = registers(mapping)
    assert 120 <= config.w_in.ravel()[0] <= 127
    total = sum(float(mapping.realised[name, "weight"].ravel()[0]) for name in ("fc1", "second"))
    assert total == pytest.approx(18.0, rel=0.01)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["auto", "global", "channel"]), st.floats(-4, 5))
def test_whatever_the_numbers_nothing_wraps_and_losses_are_what_is_gone(seed: int, method: str, size: float) -> None:
    rng = np.random.default_rng(seed)
    n, c = int(rng.integers(1, 7)), int(rng.integers(1, 5))
    first = rng.normal(0, 10.0**size, (n, c)) * rng.choice([0, 1e-3, 1], (n, c))
    second = rng.normal(0, 10.0**size, (2, n))
    parts: list[nodes.Node] = [nodes.Input(name="input", input_shape=(c,), output_shape=(c,))]
    for k, weight in enumerate((first, second), start=1):
        out = (len(weight),)
        shape = (weight.shape[1],)
        parts.append(nodes.Linear(name=f"fc{k}", input_shape=shape, output_shape=out, weight=weight))
        numbers = {
            "tau_mem": rng.uniform(1.1, 400, out), "tau_syn": rng.uniform(1.1, 40, out), "r": np.ones(out),
            "w_in": np.ones(out), "v_leak": rng.normal(0, 1, out), "v_reset": np.zeros(out),
            "v_threshold": 10.0 ** rng.uniform(-4, 5, out),
        }  # fmt: skip
        parts.append(nodes.CubaLIF(name=f"layer{k}", input_shape=out, output_shape=out, **numbers))
    parts.append(nodes.Output(name="output", input_shape=(2,), output_shape=(2,)))
    rule = hal.Semantics(
        profile="nir", dt_ns=1_000_000, tau_unit="steps", gain="one",
        jump="before", spike_reset="subtract_n", compare=">=", spikes_per_step="many",
    )  # fmt: skip
    edges = [(parts[k].name, parts[k + 1].name) for k in range(len(parts) - 1)]
    mapping = mapped(Model.of({part.name: part for part in parts}, edges, rule), quantiser=method)
    config = registers(mapping)
    for values in (config.w_in, config.w_rec, config.w_out):
        assert values.size == 0 or np.abs(values.astype(int)).max() <= 127
    assert min(config.threshold.min(), config.threshold_out.min()) >= 1
    assert min(config.dash_syn.min(), config.dash_syn_out.min()) >= 1
    gone = {(node, index) for node, name, index, _, realised, _ in mapping.losses if name == "weight" and not realised}
    for name, weight, stored in (("fc1", first, config.w_in[:, :, 0].T), ("fc2", second, config.w_out.T)):
        lost = np.flatnonzero((weight.ravel() != 0) & (stored.ravel() == 0))
        assert {index for node, index in gone if node == name} == set(lost.tolist())
        shift = config.shift_in if name == "fc1" else config.shift_out
        threshold = config.threshold if name == "fc1" else config.threshold_out
        layer = "layer1" if name == "fc1" else "layer2"
        kept = threshold > 1
        unit = mapping.realised[layer, "v_threshold"][kept] / threshold[kept]
        realised = mapping.realised[name, "weight"][kept]
        np.testing.assert_allclose(realised, stored[kept] * 2.0**shift * unit[:, None], rtol=1e-9)


def test_a_convolution_has_one_scale_so_that_its_weights_stay_one(semantics: Any) -> None:
    weight = np.array([[[1.3, -0.7, 0.2]]])
    shape, left = (1, 6), (1, 4)
    parts: list[nodes.Node] = [
        nodes.Input(name="input", input_shape=shape, output_shape=shape),
        nodes.Conv1d(
            name="conv", input_shape=shape, output_shape=left, weight=weight, bias=np.zeros(1), stride=1,
            padding=(0, 0), dilation=1, groups=1,
        ),
    ]  # fmt: skip
    numbers = {"tau_mem": 8.0, "tau_syn": 2.0, "r": 1.0, "w_in": 1.0, "v_leak": 0.0, "v_reset": 0.0}
    for name, size, threshold in (("hidden", left, np.array([[1.0, 2.0, 3.0, 4.0]])), ("readout", (1,), np.ones(1))):
        if name == "readout":
            parts.append(nodes.Flatten(name="flat", input_shape=left, output_shape=(4,), start_dim=0, end_dim=-1))
            parts.append(nodes.Linear(name="fc", input_shape=(4,), output_shape=(1,), weight=np.ones((1, 4))))
        given = {key: np.full(size, value) for key, value in numbers.items()}
        parts.append(nodes.CubaLIF(name=name, input_shape=size, output_shape=size, v_threshold=threshold, **given))
    parts.append(nodes.Output(name="output", input_shape=(1,), output_shape=(1,)))
    edges = [(parts[k].name, parts[k + 1].name) for k in range(len(parts) - 1)]
    mapping = mapped(Model.of({part.name: part for part in parts}, edges, semantics))
    config = registers(mapping)
    assert {fate.node: fate.fate for fate in mapping.fates}["flat"] == "folded"
    for neuron in range(4):
        assert config.w_in[neuron : neuron + 3, neuron, 0].tolist() == config.w_in[0:3, 0, 0].tolist()
    np.testing.assert_allclose(mapping.realised["conv", "weight"], weight, rtol=0.05)
    thresholds = config.threshold / config.threshold[0]
    np.testing.assert_allclose(thresholds, [1, 2, 3, 4], rtol=0.01)


# --- decays -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tau", "dash"), [(1.5, 1), (2.0, 1), (4.0, 2), (5.0, 2), (6.0, 3), (2**15, 15), (1e9, 15)])
def test_decays_are_the_nearest_power_of_two(tau: float, dash: int, chain: Any) -> None:
    mapping = mapped(chain([[9]], [[9]], tau_mem=tau))
    assert registers(mapping).dash_mem.tolist() == [dash]
    exact = tau == 2**dash
    assert ("tau_mem, decay" in {finding.field for finding in mapping.fit.changed}) != exact
    assert mapping.realised["layer1", "tau_mem"].tolist() == [pytest.approx(2.0**dash)]
    assert (len([row for row in mapping.losses if row[1] == "tau_mem"]) == 0) == exact


def test_exponential_decays_are_met_by_their_factor(chain: Any, semantics: Any) -> None:
    rule = attrs.evolve(semantics, decay="exp")
    mapping = mapped(chain([[9]], [[9]], tau_mem=8.0, rule=rule))
    (dash,) = registers(mapping).dash_mem.tolist()
    assert np.exp(-1 / mapping.realised["layer1", "tau_mem"][0]) == pytest.approx(1 - 2.0**-dash)


def test_an_event_that_should_not_decay_first_is_stored_larger(chain: Any, semantics: Any) -> None:
    after = mapped(chain([[9]], [[9]], rule=attrs.evolve(semantics, jump="after"), v_threshold=40.0))
    before = mapped(chain([[18]], [[18]], v_threshold=40.0))
    assert registers(after) == registers(before)
    assert "jump" not in {finding.field for finding in after.fit.changed}
    assert after.realised["fc1", "weight"].tolist() == [[9]]


# --- constant drive ---------------------------------------------------------------------------------------------------


def test_biases_and_leaks_to_elsewhere_are_the_chips_bias(chain: Any) -> None:
    mapping = mapped(chain([[64.0]], [[127.0]], v_leak=80.0, v_threshold=500.0))
    # (1 - b) v_leak with b = 7/8
    assert registers(mapping).bias.tolist() == [10]
    assert registers(mapping).has_bias
    through = mapped(chain([[64.0]], [[127.0]], bias=10.0, v_threshold=500.0))
    # what a current of 2 steps settles at: 10 (1/2 + 1/4 + ...)
    assert registers(through).bias.tolist() == [10]
    assert registers(through).bias_out.tolist() == [0]
    said = [finding for finding in through.fit.changed if finding.field == "bias"]
    assert [finding.node for finding in said] == ["layer1"]


def test_a_bias_of_an_output_has_the_scale_of_the_outputs(chain: Any) -> None:
    mapping = mapped(chain([[1.0]], [[50.0]], v_leak=8.0, v_threshold=10.0), quantiser="global")
    config = registers(mapping)
    assert config.bias.tolist() == [127]
    assert config.bias_out.tolist() == [round(127 / 50)]


# --- currents and aliases ---------------------------------------------------------------------------------------------


def test_a_second_current_has_its_own_decay(chain: Any, linear: Any) -> None:
    model = chain([[64, 0]], [[127]], v_threshold=30_000.0)
    slow = linear("slow", 2, 1, [[0, 100]])
    model = Model.of(
        {**model.nodes, "slow": slow}, [*model.edges, ("input", "slow"), ("slow", "layer1")], model.semantics
    )
    probes = [hal.Probe("layer1", name, every_ns=1_000_000) for name in ("i_syn", "i_syn2", "v_mem")]
    mapping = hal.mapper(PART).map(model, {"synapse2": {"slow": 4}}, record=probes)
    assert registers(mapping).dash_syn.tolist() == [[1, 4]]
    raster = np.zeros((6, 2), int)
    raster[0, 1] = 1
    recording = run(mapping, raster)
    assert recording.traces["layer1", "i_syn"].values.ravel().tolist() == [0] * 6
    assert recording.traces["layer1", "i_syn2"].values.ravel().tolist() == [94, 89, 84, 79, 75, 71]
    assert recording.traces["layer1", "v_mem"].values[0, 0] == 94
    assert "synapse2" in {finding.field for finding in mapping.fit.changed}


def test_an_alias_copies_a_population_within_the_step(chain: Any) -> None:
    model = chain([[127, 0], [0, 127]], [[1, 0], [0, 1]], [[64, 64]], v_threshold=60.0)
    mapping = hal.mapper(PART).map(model, {"alias": {"layer1": "layer2"}}, record=["layer1", "layer2"])
    assert registers(mapping).alias.tolist() == [2, 3, -1, -1]
    raster = np.zeros((5, 2), int)
    raster[1, 0] = 1
    recording = run(mapping, raster)
    np.testing.assert_array_equal(recording.raster("layer1"), recording.raster("layer2"))
    assert recording.raster("layer1")[1].tolist() == [1, 0]
    (said,) = [finding for finding in mapping.fit.changed if finding.field == "alias"]
    assert (said.node, said.realised) == ("layer1", "layer2")


# --- places, time, graphs ---------------------------------------------------------------------------------------------


def test_layers_that_take_input_come_first_and_the_last_drive_the_outputs(chain: Any) -> None:
    model = chain(np.full((3, 2), 9.0), np.full((4, 3), 9.0), np.full((2, 4), 9.0))
    renamed = {"layer1": "zulu", "layer2": "alpha"}
    named = {
        renamed.get(name, name): attrs.evolve(node, name=renamed.get(name, name)) for name, node in model.nodes.items()
    }
    model = Model.of(named, [(renamed.get(a, a), renamed.get(b, b)) for a, b in model.edges], model.semantics)
    mapping = mapped(model, "xylo-imu")
    assert mapping.where("zulu")["neuron"].tolist() == [0, 1, 2]
    assert mapping.where("alpha")["neuron"].tolist() == [3, 4, 5, 6]
    assert mapping.where("layer3")["neuron"].tolist() == [7, 8]
    assert mapping.who(0, 0, 5) == ("alpha", 2)


def test_paths_of_other_lengths_are_refused_or_said(chain: Any, linear: Any) -> None:
    model = chain([[9]], [[9]], [[9]])
    skip = linear("skip", 1, 1)
    model = Model.of(
        {**model.nodes, "skip": skip}, [*model.edges, ("input", "skip"), ("skip", "layer2")], model.semantics
    )
    (found,) = hal.mapper(PART).check(model).refused
    assert (found.node, found.field, found.wanted, found.realised) == ("layer2", "edge_delay", 1, 0)
    assert hal.mapper(PART).check(model, {"approximate": ["delays"]}).fits


def test_a_delay_of_one_step_between_layers_is_what_the_chip_has(chain: Any, semantics: Any) -> None:
    rule = attrs.evolve(semantics, overrides={"layer1": {"edge_delay": 1}})
    mapping = mapped(chain([[9]], [[9]], rule=rule))
    assert mapping.latency_ns == {"layer1": 0, "layer2": 0, "output": 0}


def test_feedback_acts_a_step_later_as_in_the_model(chain: Any, linear: Any, semantics: Any) -> None:
    model = chain([[9], [0]], [[9, 9]])
    back = linear("back", 2, 2, [[0, 0], [9, 0]])
    edges = [*model.edges, ("layer1", "back"), ("back", "layer1")]
    model = Model.of({**model.nodes, "back": back}, edges, model.semantics)
    mapping = hal.mapper(PART).map(model, record=["layer1"])
    spikes = run(mapping, [[0], [1], [0], [0], [0]]).raster("layer1")
    assert spikes.tolist() == [[0, 0], [1, 0], [0, 1], [0, 0], [0, 0]]
    late = model.with_semantics(attrs.evolve(model.semantics, feedback_delay=2))
    assert "feedback_delay" in {finding.field for finding in hal.mapper(PART).check(late).refused}


def test_several_inputs_and_outputs(semantics: Any, linear: Any, chain: Any) -> None:
    model = chain([[9]], [[9]])
    other = {
        "west": nodes.Input(name="west", input_shape=(2,), output_shape=(2,)),
        "w": linear("w", 2, 1, 9.0),
        "twin": attrs.evolve(model.nodes["layer2"], name="twin"),
        "t": linear("t", 1, 1, 9.0),
        "second": attrs.evolve(model.nodes["output"], name="second"),
    }
    edges = [("west", "w"), ("w", "layer1"), ("layer1", "t"), ("t", "twin"), ("twin", "second"), ("twin", "output")]
    model = Model.of({**model.nodes, **other}, [*model.edges, *edges], semantics)
    mapping = mapped(model)
    config = registers(mapping)
    assert [r.name for r in config.inputs] == ["input", "west"]
    assert config.w_in.shape == (3, 1, 1)
    with hal.open(PART) as device:
        device.load(mapping)
        recording = device.run({"west": hal.events([0], [1])}, 5_000_000)
    # two populations of one Output add up
    assert recording.raster("second").sum() == 1
    assert recording.raster("output").sum() == 2
    assert recording.stats["events_out"].tolist() == [2]


# --- run-time limits --------------------------------------------------------------------------------------------------


def test_rates_tell_of_events_per_channel_and_of_cycles(chain: Any) -> None:
    model = chain([[9, 9]], [[9]])
    mapper = hal.mapper(PART)
    low = mapper.check(model, rates_hz={"input": 1000.0, "layer1": 10.0})
    rows = {row.resource: row for row in low.rows if row.when == "run"}
    assert set(rows) == {"input events", "clock cycles"}
    assert (rows["input events"].needed, rows["input events"].limit) == (0.5, 15)
    assert low.fits
    high = mapper.check(model, rates_hz={"input": 31_000.0})
    assert [row.resource for row in high.rows if not row.ok] == ["input events"]
    assert any("layer1" in finding.reason for finding in high.findings if finding.field == "clock cycles")
    slow = mapper.check(model, {"clock_hz": 2e4}, rates_hz={"input": 1000.0, "layer1": 10.0})
    (row,) = [row for row in slow.rows if not row.ok]
    assert (row.resource, row.limit) == ("clock cycles", 2e4)
    assert slow.maps


# --- device -----------------------------------------------------------------------------------------------------------


def test_results_do_not_depend_on_the_size_of_a_piece(chain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    model = chain(rng.normal(0, 4, (6, 3)), rng.normal(1, 4, (2, 6)))
    probe = hal.Probe("layer1", "v_mem", every_ns=3_000_000)
    mapping = hal.mapper(PART).map(model, record=["layer1", probe])
    raster = (rng.random((500, 3)) < 0.4).astype(int)
    whole = run(mapping, raster)
    monkeypatch.setattr("hal_xylo.device.FIRST_PIECE", 7)
    monkeypatch.setattr("hal_xylo.device.LONGEST_PIECE", 7)
    pieces = run(mapping, raster)
    assert whole.event_count() > 100
    for name in whole.spikes:
        np.testing.assert_array_equal(whole.spikes[name], pieces.spikes[name])
    np.testing.assert_array_equal(whole.traces["layer1", "v_mem"].values, pieces.traces["layer1", "v_mem"].values)
    assert whole.traces["layer1", "v_mem"].t.tolist() == list(range(0, 500_000_000, 3_000_000))
    for name, values in whole.stats.items():
        np.testing.assert_array_equal(values, pieces.stats[name])


def test_quiet_steps_are_counted_and_spikes_under_way_are_pending(chain: Any) -> None:
    mapping = mapped(chain([[127]], [[127]], v_threshold=60.0))
    with hal.open(PART) as device:
        device.load(mapping)
        rest = device.run({}, 7_000_000)
        assert rest.stats["hibernating"].tolist() == [7]
        first = device.run({"input": np.array([[1]])}, 1_000_000)
        assert (first.event_count("output"), first.stats["pending"].tolist()) == (0, [1])
        second = device.run({}, 1_000_000)
        assert (second.event_count("output"), second.stats["pending"].tolist()) == (1, [0])


def test_final_states_are_those_of_the_last_step(chain: Any) -> None:
    model = chain([[100]], [[127]], v_threshold=30_000.0, tau_mem=4.0)
    probes = [hal.Probe(node, name) for node in ("layer1", "layer2") for name in ("v_mem", "i_syn")]
    mapping = hal.mapper(PART).map(model, record=[*probes, hal.Probe("layer1", "i_syn2")])
    recording = run(mapping, [[1], [0], [0]])
    values = {key: trace.values.tolist() for key, trace in recording.traces.items()}
    assert values["layer1", "v_mem"] == [[61]]
    assert values["layer1", "i_syn"] == [[13]]
    assert values["layer1", "i_syn2"] == values["layer2", "i_syn"] == values["layer2", "v_mem"] == [[0]]


# --- plugin -----------------------------------------------------------------------------------------------------------


def test_devices_are_those_of_the_entry_points() -> None:
    listed = {listing.name for listing in hal.devices() if listing.family == "xylo"}
    assert listed == {part.name for part in PARTS}


def test_asking_for_the_devices_compiles_nothing() -> None:
    code = "import sys, hal_xylo.plugin as p; p.hal_devices(); print('numba' in sys.modules, 'scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_evidence_has_a_pair_for_every_limit(part: Any) -> None:
    spec = hal.mapper(part.name).spec
    limits = {resource.name for resource in spec.resources if resource.when == "map"}
    assert {pair.resource for pair in evidence(part).limits} == limits


def test_only_the_public_interface_is_imported() -> None:
    import hal_xylo

    own = {"hal_ideal", "hal_dynapcnn", "hal_loihi", "hal_emulators", "hal_conformance"}
    for path in Path(hal_xylo.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in own, path.name
                assert not any(part.startswith("_") for part in name.split(".")) or name == "__future__", path.name
