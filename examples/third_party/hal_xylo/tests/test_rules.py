"""The chip's checkable behaviours, one by one: what comes out of the emulator, of the device, of the mapper."""

from __future__ import annotations

from typing import Any

import hal
import numpy as np
import pytest
from hal.evidence import evidence
from hypothesis import given, settings
from hypothesis import strategies as st

from hal_xylo.cycles import Load
from hal_xylo.emulator import Core
from hal_xylo.evidence import chain as evidence_chain
from hal_xylo.evidence import network, spread
from hal_xylo.limits import BY_NAME
from hal_xylo.registers import Registers


def pulse(steps: int, count: int = 1, at: int = 0) -> Any:
    raster = np.zeros((steps, 1), int)
    raster[at] = count
    return raster


def test_rule_1_a_positive_event_decays_as_published(core: Any) -> None:
    run = core(w_in=[100]).run(pulse(13), trace=True)
    assert run.trace.i_syn[:8, 0, 0].tolist() == [50, 25, 13, 7, 4, 2, 1, 0]
    assert run.trace.v_mem[:, 0].tolist() == [50, 63, 61, 53, 44, 35, 28, 21, 16, 12, 9, 7, 6]


def test_rule_2_a_negative_event_is_no_mirror(core: Any) -> None:
    run = core(w_in=[-100]).run(pulse(13), trace=True)
    assert run.trace.i_syn[:7, 0, 0].tolist() == [-50, -25, -12, -6, -3, -1, 0]
    assert run.trace.v_mem[:, 0].tolist() == [-50, -62, -58, -49, -39, -30, -22, -16, -12, -9, -6, -4, -3]


def test_rule_3_a_dash_of_0_is_deaf(core: Any) -> None:
    run = core(w_in=[100], dash_syn=0).run(np.full((30, 1), 9), trace=True)
    assert not run.trace.v_mem.any()
    assert not run.spikes.any()


def test_rule_4_events_above_15_are_lost_and_counted(core: Any, chain: Any) -> None:
    one, two = core(w_in=[10]).run(pulse(5, 20), trace=True), core(w_in=[10]).run(pulse(5, 15), trace=True)
    np.testing.assert_array_equal(one.trace.v_mem, two.trace.v_mem)
    assert (one.clipped.sum(), two.clipped.sum()) == (5, 0)
    with hal.open("xylo-audio2") as device:
        device.load(hal.mapper("xylo-audio2").map(chain([[9]], [[9]])))
        recording = device.run({"input": pulse(4, 20)}, 4_000_000)
    assert recording.stats["clipped_input"].tolist() == [5]
    assert recording.stats["events_in"].tolist() == [20]
    assert [finding.field for finding in recording.diagnostics] == ["clipped_input"]
    assert recording.status == "ok"


def test_rule_5_thirty_one_spikes_and_the_rest_later(core: Any) -> None:
    run = core(w_in=[10], threshold=1).run(pulse(6, 15), trace=True)
    assert run.spikes[:5, 0].tolist() == [31, 31, 31, 24, 5]
    run = core(w_in=[10], threshold=10).run(pulse(5, 15), trace=True)
    assert run.spikes[:, 0].tolist() == [7, 4, 2, 1, 0]
    assert run.trace.v_mem[:, 0].tolist() == [5, 2, 0, 0, 5]


def test_rule_6_an_output_fires_once_a_step_and_the_rest_later(core: Any) -> None:
    made = core(w_in=[100], threshold=50, w_out=100, threshold_out=10, dash_mem_out=15)
    run = made.run(pulse(40), trace=True)
    fired = run.spikes_out[:, 0]
    assert fired.max() == 1
    first = int(np.argmax(fired))
    assert fired[first : first + 5].tolist() == [1] * 5
    assert run.trace.v_mem_out[first, 0] > 10
    late = np.flatnonzero(fired)[-1]
    assert run.trace.v_mem_out[late, 0] < 10 <= run.trace.v_mem_out[late - 1, 0]


def test_rule_7_equality_fires_and_one_below_does_not(core: Any) -> None:
    assert core(w_in=[100], threshold=50).run(pulse(1)).spikes[0, 0] == 1
    assert core(w_in=[100], threshold=51).run(pulse(1)).spikes[0, 0] == 0


def test_rule_8_hidden_at_once_outputs_and_further_layers_a_step_later(core: Any, chain: Any) -> None:
    w_rec = np.zeros((2, 2, 1))
    w_rec[0, 1] = 100
    made = core(w_in=[[100, 0]], n=2, w_rec=w_rec, w_out=[[100], [0]], threshold=50, threshold_out=50)
    run = made.run(pulse(6, at=2))
    assert [int(np.argmax(spikes)) for spikes in (*run.spikes.T, run.spikes_out[:, 0])] == [2, 3, 3]
    model = chain([[9]], [[9]], [[9]])
    mapping = hal.mapper("xylo-audio2").map(model, record=["layer1", "layer2"])
    assert mapping.latency_ns == {"layer1": 0, "layer2": 1_000_000, "layer3": 2_000_000, "output": 2_000_000}
    with hal.open("xylo-audio2") as device:
        device.load(mapping)
        recording = device.run({"input": pulse(8, at=2)}, 8_000_000)
    assert [int(recording.spikes[name]["t"][0]) for name in ("layer1", "layer2", "output")] == [2e6, 3e6, 4e6]


@pytest.mark.parametrize(("signs", "wanted"), [((1, 1, -1), 12766), ((1, -1, 1), 19999)])
def test_rule_9_clipping_comes_after_each_source(signs: Any, wanted: int, core: Any) -> None:
    made = core(w_in=[125 * sign for sign in signs], shift_in=5, dash_syn=15)
    run = made.run(np.full((1, 3), 5), trace=True)
    assert run.trace.i_syn[0, 0, 0] == wanted


def test_rule_10_aliases_copy_on_upwards_only(core: Any) -> None:
    up = core(w_in=[[100, 0, 0]], n=3, threshold=10, alias=np.array([[0, 1], [1, 2]]))
    assert up.run(pulse(1)).spikes[0].tolist() == [5, 5, 5]
    down = core(w_in=[[0, 0, 100]], n=3, threshold=10, alias=np.array([[2, 0], [0, 1]]))
    assert down.run(pulse(1)).spikes[0].tolist() == [5, 0, 5]
    both = core(w_in=[[100, 100, 0]], n=3, threshold=2, alias=np.array([[0, 1], [1, 2]]))
    assert both.run(pulse(1)).spikes[0].tolist() == [25, 31, 31]
    own = core(w_in=[100], threshold=10, alias=np.array([[0, 0]]))
    assert own.run(pulse(1)).spikes[0].tolist() == [10]


def test_rule_11_a_bias_rests_and_hibernates_a_step_later_than_silence(core: Any) -> None:
    zero = np.zeros((200, 1), int)
    run = core(bias=np.array([20]), bias_out=np.array([0])).run(zero, trace=True)
    v = run.trace.v_mem[:, 0]
    assert v[-1] == 80
    still = int(np.argmax(np.diff(np.concatenate([[0], v])) == 0))
    assert int(np.argmax(run.hibernation)) == still + 1
    assert run.hibernation[still + 1 :].all()
    without = core().run(zero)
    assert without.hibernation.all()


def test_rule_12_runs_continue_and_a_reset_forgets_what_is_under_way(golden: Any) -> None:
    arrays, meta = golden("p04_recurrent_small")
    names = [name for name in arrays if name.startswith(("w_", "thr", "dash"))]
    shifts = {name: meta[name] for name in ("shift_in", "shift_rec", "shift_out")}

    def fresh() -> Core:
        return Core(Registers(**{name: arrays[name] for name in names}, **shifts))

    raster = arrays["raster"]
    whole = fresh().run(raster)
    pieces = fresh()
    parts = [pieces.run(raster[a:b]) for a, b in ((0, 13), (13, 14), (14, 150))]
    np.testing.assert_array_equal(np.concatenate([p.spikes for p in parts]), whole.spikes)
    np.testing.assert_array_equal(np.concatenate([p.hibernation for p in parts]), whole.hibernation)
    assert pieces.pending > 0
    pieces.reset()
    assert pieces.pending == 0
    again = pieces.run(raster)
    np.testing.assert_array_equal(again.spikes, whole.spikes)
    np.testing.assert_array_equal(pieces.i_syn_out, again_out(fresh(), raster))


def again_out(core: Core, raster: Any) -> Any:
    core.run(raster)
    return core.i_syn_out


def test_rule_13_the_cores_differ_where_two_synapses_saturate(core: Any) -> None:
    # from the bottom up, by two full currents and the decay: v1 cuts the sum, v2 what it adds
    raster = np.zeros((6, 2), int)
    raster[:5, 0], raster[5, 1] = 15, 15
    runs = [
        core(w_in=[[[-127, -127]], [[127, 127]]], shift_in=7, version=version).run(raster, trace=True)
        for version in ("v1", "v2")
    ]
    np.testing.assert_array_equal(runs[0].trace.v_mem[:5], runs[1].trace.v_mem[:5])
    assert not np.array_equal(runs[0].trace.v_mem, runs[1].trace.v_mem)
    assert all(run.saturated.sum() > 0 for run in runs)


def over(model: Any, part: str = "xylo-audio2", **options: Any) -> dict[str, tuple[float, float]]:
    report = hal.mapper(part).check(model, options)
    return {row.resource: (row.needed, row.limit) for row in report.rows if not row.ok}


def test_rule_14_every_limit_by_name_value_and_number_all_at_once() -> None:
    part = BY_NAME["xylo-audio2"]
    wide = np.zeros((501, 500))
    wide[:64] = 100.0
    wide[64, 0] = 100.0
    connections = [
        ("in", "input", "a", spread(500, 17)),
        ("on", "a", "b", wide),
        ("out", "b", "readout", spread(9, 501)),
    ]
    model = network(17, {"a": 500, "b": 501, "readout": 9}, connections)
    assert over(model) == {
        "input channels": (17, 16),
        "hidden neurons": (1001, 1000),
        "output neurons": (9, 8),
        "recurrent entries": (32_001, 32_000),
        "fan-out": (65, 64),
    }
    fan = evidence_chain(part, 2, (2, 64, 2), np.full((64, 2), 100.0))
    assert not over(fan)
    assert over(fan, fan_out=63) == {"fan-out": (64, 63)}
    report = hal.mapper("xylo-audio2").check(fan, {"alias": {"hidden 1": ("hidden 2", "hidden 1")}})
    (two,) = [finding for finding in report.refused if "aliases" in finding.reason]
    assert (two.node, two.wanted, two.realised) == ("hidden 1", 2, 1)


@pytest.mark.parametrize("part", ["xylo-imu", "xylo-audio3"])
def test_rule_15_one_hidden_layer_holds_128_on_parts_with_ends(part: str) -> None:
    said = over(evidence_chain(BY_NAME["xylo-audio2"], 2, (129, 2)), part)
    # the last neuron takes input, and the first drives an output
    assert said == {"input neurons": (129, 128), "readout neurons": (129, 128)}
    assert not over(evidence_chain(BY_NAME["xylo-audio2"], 2, (128, 2)), part)


@pytest.mark.parametrize("part", ["xylo-audio2", "xylo-imu"])
def test_rule_16_a_time_constant_that_would_be_deaf_is_kept_at_1_and_said(part: str, chain: Any) -> None:
    mapping = hal.mapper(part).map(chain([[9]], [[9]], tau_syn=1.3))
    assert mapping.config.dash_syn.tolist() == [[1]]
    assert mapping.config.dash_syn_out.tolist() == [1]
    lost = [(node, wanted, realised) for node, name, _, wanted, realised, _ in mapping.losses if name == "tau_syn"]
    assert lost == [("layer1", 1.3, 2.0), ("layer2", 1.3, 2.0)]
    said = [finding for finding in mapping.fit.changed if "tau_syn" in finding.field]
    assert [finding.node for finding in said] == ["layer1", "layer2"]
    assert "deaf" in said[0].reason


def test_rule_17_no_bias_on_v1_and_no_second_synapse_on_imu(core: Any, chain: Any) -> None:
    with pytest.raises(ValueError, match="v1 has no bias"):
        core(version="v1", bias=np.array([3]))
    model = chain([[9]], [[9]])
    (refused,) = hal.mapper("xylo-imu").check(model, {"synapse2": {"fc1": 3}}).refused
    assert (refused.node, refused.field, refused.wanted, refused.realised) == ("layer1", "synapse2", 2, 1)
    assert hal.mapper("xylo-audio2").check(model, {"synapse2": {"fc1": 3}}).fits


FULL = Load(channels=16, hidden=1000, outputs=8, into=1000, out_of=1000, fan_out=32.0)


@pytest.mark.parametrize(("p_in", "p_hidden", "cycles"), [(1, 1, 370_112), (0.2, 0.1, 62_512), (0, 0, 22_112)])
def test_rule_18_cycles_of_a_step(p_in: float, p_hidden: float, cycles: int) -> None:
    assert FULL.cycles(p_in, p_hidden) == pytest.approx(cycles)


def test_rule_18_a_step_that_needs_more_cycles_than_it_lasts_is_late() -> None:
    brought = evidence("xylo-audio2").overload
    assert brought is not None
    mapping = hal.mapper("xylo-audio2").map(brought.model)
    steps = brought.duration_ns // 1_000_000
    load = Load.of(mapping.config)
    runs = {}
    for name, options in {"late": {}, "wait": {"overrun": "wait"}, "fast": {"clock_hz": 1e9}}.items():
        with hal.open("xylo-audio2", **options) as device:
            device.load(mapping)
            runs[name] = device.run(brought.stimulus, brought.duration_ns)
    late = int(runs["late"].stats["late"].sum())
    assert 0 < late <= steps
    assert runs["late"].status == "untrusted"
    told = runs["late"].intervals
    assert sum(int(row["t1"] - row["t0"]) for row in told) == late * 1_000_000
    assert {row["what"] for row in told} == {"late"}
    for name in ("wait", "fast"):
        assert runs[name].stats["late"].sum() == 0
        assert runs[name].status == "ok"
        assert np.array_equal(runs[name].spikes["output"], runs["late"].spikes["output"])
    assert float(load.cycles(1, 1)) > 50_000


# --- an independent statement of the rule -----------------------------------------------------------------------------


def stated(r: Registers, raster: Any, version: int) -> tuple[Any, Any, Any]:
    """The rule in plain Python integers: spikes, membranes, flags."""

    def clip(x: int) -> int:
        return max(-32768, min(32767, x))

    def loss(x: int, d: int) -> int:
        return 1 if x > 0 and x >> d == 0 else x >> d

    n, synapses = r.dash_syn.shape
    current, v = [[0] * synapses for _ in range(n)], [0] * n
    out_i, out_v, last = [0] * r.threshold_out.size, [0] * r.threshold_out.size, [0] * n
    spikes, membranes, flags, before = [], [], [], False
    for row in raster:
        sources = [(min(int(c), 15), r.w_in[k], r.shift_in, None, 0) for k, c in enumerate(row)]
        sources += [(c, r.w_rec[k], r.shift_rec, r.w_out[k], r.shift_out) for k, c in enumerate(last)]
        heard = any(count for count, *_ in sources)
        for count, weight, shift, weight_out, shift_out in sources:
            for k in range(n):
                for s in range(synapses):
                    current[k][s] = clip(current[k][s] + count * (int(weight[k, s]) << shift))
            for k in range(len(out_i)):
                if weight_out is not None:
                    out_i[k] = clip(out_i[k] + count * (int(weight_out[k]) << shift_out))
        moved = False
        for k in range(n):
            for s in range(synapses):
                lost = loss(current[k][s], int(r.dash_syn[k, s]))
                current[k][s] -= lost
                moved |= lost != 0
        for k in range(len(out_i)):
            lost = loss(out_i[k], int(r.dash_syn_out[k]))
            out_i[k] -= lost
            moved |= lost != 0
        for values, drives, dashes, bias in (
            (v, [sum(c) for c in current], r.dash_mem, r.bias),
            (out_v, out_i, r.dash_mem_out, r.bias_out),
        ):
            for k in range(len(values)):
                lost = loss(values[k], int(dashes[k]))
                if version == 1:
                    values[k] = clip(values[k] - lost + drives[k])
                    continue
                step = clip((-32768 if lost == -32768 else -lost) + drives[k])
                if bias is not None:
                    step = clip(step + int(bias[k]))
                moved |= step != 0
                values[k] = clip(values[k] + step)
        count = [0] * n
        alias = {int(a): int(b) for a, b in r.alias}
        for k in range(n):
            while v[k] >= r.threshold[k] and count[k] < 31:
                count[k] += 1
                v[k] -= int(r.threshold[k])
            if k in alias:
                count[alias[k]] = min(31, count[alias[k]] + count[k])
        for k in range(len(out_v)):
            if out_v[k] >= r.threshold_out[k]:
                out_v[k] -= int(r.threshold_out[k])
        rests = not heard and not moved
        flags.append((before and not heard) if r.bias is not None else rests)
        before, last = rests, count
        spikes.append(list(count))
        membranes.append([*v, *out_v])
    return np.array(spikes), np.array(membranes), np.array(flags)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 2]), st.booleans(), st.booleans())
def test_random_cores_follow_the_rule_as_stated(seed: int, synapses: int, biased: bool, v1: bool) -> None:
    rng = np.random.default_rng(seed)
    n, m, c, steps = (int(x) for x in (rng.integers(1, 6), rng.integers(1, 4), rng.integers(1, 4), 30))
    biased &= not v1
    registers = Registers(
        w_in=rng.integers(-128, 128, (c, n, synapses)),
        w_rec=rng.integers(-128, 128, (n, n, synapses)),
        w_out=rng.integers(-128, 128, (n, m)),
        threshold=rng.integers(1, rng.choice([20, 2000, 32768]), n),
        threshold_out=rng.integers(1, 3000, m),
        dash_mem=rng.integers(0, 16, n),
        dash_mem_out=rng.integers(0, 16, m),
        dash_syn=rng.integers(0, 16, (n, synapses)),
        dash_syn_out=rng.integers(0, 16, m),
        alias=np.array([[k, rng.integers(n)] for k in range(n) if rng.random() < 0.4]).reshape(-1, 2).astype(int),
        bias=rng.integers(-300, 300, n) if biased else None,
        bias_out=rng.integers(-300, 300, m) if biased else None,
        **{name: int(rng.integers(0, 8)) for name in ("shift_in", "shift_rec", "shift_out")},
    )
    raster = rng.integers(0, 25, (steps, c)) * (rng.random((steps, c)) < 0.3)
    run = Core(registers, "v1" if v1 else "v2").run(raster, trace=True)
    spikes, membranes, flags = stated(registers, raster, 1 if v1 else 2)
    np.testing.assert_array_equal(run.spikes, spikes)
    assert run.trace is not None
    np.testing.assert_array_equal(np.hstack([run.trace.v_mem, run.trace.v_mem_out]), membranes)
    np.testing.assert_array_equal(run.hibernation, np.zeros(steps, bool) if v1 else flags)
