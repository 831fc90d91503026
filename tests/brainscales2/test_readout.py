"""What the host sees: membranes through ADCs and within bounds, values of Outputs, rows of spikes, stamps."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hal
from hal import nodes
from hal.errors import ConfigError
from hal.events import Probe
from hal_brainscales2.readout import Readout

END = 60_000
STEP = 600
LSB = 1 / 70
"""A step of the column ADC, in distances of threshold and leak."""


@pytest.fixture(scope="module")
def one(cuba: Any) -> Any:
    return cuba.map([[6.0]])


def chain(t: Any, size: int = 1) -> Any:
    t = np.asarray(t, np.int64)
    return hal.events(t, np.arange(t.size) % size)


def trace(recording: Any, variable: str, node: str = "n0") -> Any:
    return recording.traces[node, variable].values


# --- membranes --------------------------------------------------------------------------------------------------------


def watching(cuba: Any, weights: Any, every: int = STEP, options: Any = None, **values: Any) -> Any:
    record = ["n0", *(Probe("n0", variable, every_ns=every) for variable in ("v", "v_cadc", "v_madc"))]
    return cuba.map(weights, record=record, options=options, **values)


def test_adcs_read_in_their_steps_what_the_membrane_is(cuba: Any) -> None:
    mapping = watching(cuba, [[3.0, -2.0]])
    for preset, adc in (("chip", True), ("ideal", False), ("chip", False), ("ideal", True)):
        with cuba.open(mapping, preset, adc=adc) as device:
            recording = device.run({"in": chain(range(0, 50_000, 3_000), 2)}, END)
        v, cadc, madc = (trace(recording, variable) for variable in ("v", "v_cadc", "v_madc"))
        if not adc:
            np.testing.assert_array_equal(cadc, v)
            np.testing.assert_array_equal(madc, v)
            continue
        np.testing.assert_allclose(cadc / LSB, np.rint(v / LSB), rtol=0, atol=1e-9)
        np.testing.assert_allclose(madc * 4 / LSB, np.rint(v * 4 / LSB), rtol=0, atol=1e-9)
        assert np.unique(np.rint(cadc / LSB)).size > 20
        assert (cadc != madc).any()


@pytest.mark.parametrize(("weight", "codes"), [(-30.0, (0, 0)), (60.0, (255, 1023))])
def test_adcs_end_at_their_range(cuba: Any, weight: float, codes: tuple[int, int]) -> None:
    mapping = watching(cuba, [[weight]], options={"scale": 1.0})
    silent = np.zeros_like(mapping.config.targets.comparator)
    mapping = mapping.with_config(
        attrs.evolve(mapping.config, targets=attrs.evolve(mapping.config.targets, comparator=silent))
    )
    with cuba.open(mapping, adc=True) as device:
        recording = device.run({"in": chain([0])}, END)
    end = np.argmin if weight < 0 else np.argmax
    k = int(end(trace(recording, "v")))
    assert abs(trace(recording, "v")[k, 0]) > (80 if weight < 0 else 175) * LSB
    seen = [trace(recording, "v_cadc")[k, 0] / LSB + 80, (trace(recording, "v_madc")[k, 0] / LSB + 80) * 4]
    np.testing.assert_allclose(seen, codes, rtol=0, atol=1e-9)


def test_membranes_are_told_in_the_model_s_unit(cuba: Any) -> None:
    plain = watching(cuba, [[3.0]])
    model = cuba.model([[30.0]], v_threshold=7.0, v_leak=-3.0, v_reset=-3.0)
    model = hal.Model.of(model.nodes, model.edges, attrs.evolve(model.semantics, start_state="v_leak"))
    scaled = hal.mapper("brainscales2").map(model, record=plain.record)
    first, second = (cuba.run(mapping, [100], [0], END, "chip") for mapping in (plain, scaled))
    for variable in ("v", "v_cadc", "v_madc"):
        np.testing.assert_allclose(trace(second, variable), -3 + 10 * trace(first, variable), rtol=0, atol=1e-12)
    assert trace(first, "v").max() > 0.7


def test_a_probe_without_period_is_one_row_at_the_end(cuba: Any) -> None:
    record = [Probe("n0", "v"), Probe("n0", "v_cadc", indices=(2, 0))]
    mapping = cuba.map([[3.0], [1.0], [-2.0]], record=record)
    with cuba.open(mapping, adc=True) as device:
        recording = device.run({"in": chain([0])}, 5_000)
        later = device.run({}, 0)
    at, values = recording.traces["n0", "v"].t, trace(recording, "v")
    assert at.tolist() == [4_999]
    t = 5e-6
    wanted = np.array([3.0, 1.0, -2.0]) * (np.exp(-t / 12e-6) - np.exp(-t / 6e-6))
    # one synapse is a whole number of 1/58
    np.testing.assert_allclose(values[0], wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(trace(recording, "v_cadc")[0] / LSB, np.rint(wanted[[2, 0]] / LSB), rtol=0, atol=1e-9)
    assert later.traces["n0", "v"].t.size == 0


@pytest.mark.parametrize("speedup", [1.0, 1000.0])
@pytest.mark.parametrize(("variable", "least"), [("v_cadc", 541), ("v_madc", 34), ("v", 1)])
def test_adcs_take_their_time(cuba: Any, variable: str, least: int, speedup: float) -> None:
    def mapped(every: int) -> Any:
        taus = {"tau_mem": 12e-6 * speedup, "tau_syn": 6e-6 * speedup}
        record = [Probe("n0", variable, every_ns=every)]
        return cuba.map([[3.0]], record=record, options={"speedup": speedup}, **taus)

    shortest = int(least * speedup)
    mapping = mapped(shortest)
    with cuba.open(mapping) as device:
        assert device.run({}, 4 * shortest).traces["n0", variable].t.tolist() == [k * shortest for k in range(4)]
    with pytest.raises(ConfigError, match="cannot be sampled") as caught:
        mapped(shortest - 1)
    assert [(problem.where, problem.value) for problem in caught.value.problems] == [("record 'n0'", shortest - 1)]


def test_the_fast_adc_has_two_signals(cuba: Any) -> None:
    def probe(*indices: int) -> list[Probe]:
        return [Probe("n0", "v_madc", indices=indices, every_ns=STEP)]

    assert cuba.map([[3.0]] * 3, record=probe(0, 2)).record
    with pytest.raises(ConfigError, match="v_madc"):
        cuba.map([[3.0]] * 3, record=probe(0, 1, 2))


def test_spikes_cannot_be_sampled_over_time(cuba: Any) -> None:
    with pytest.raises(ConfigError, match="cannot be sampled over time"):
        cuba.map([[3.0]], record=["n0", Probe("n0", "spike_s", every_ns=STEP)])


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_clipping_keeps_membranes_within_30_and_210_and_nothing_else(cuba: Any) -> None:
    record = ["n0", *(Probe("n0", variable, every_ns=STEP) for variable in ("v", "v_cadc"))]
    mapping = cuba.map([[-6.0, 0.0], [0.0, 6.0]], record=record)
    free, held = (cuba.run(mapping, [0, 0], [0, 1], END, clipping=clipping) for clipping in (False, True))
    v, within = trace(free, "v"), trace(held, "v")
    assert v[:, 0].min() < -1.2
    assert within[:, 0].min() == pytest.approx(-50 * LSB, abs=1e-12)
    assert (within[:, 0] >= -50 * LSB - 1e-12).all()
    first = int(np.argmax(v[:, 0] < -50 * LSB))
    np.testing.assert_array_equal(within[:first, 0], v[:first, 0])
    np.testing.assert_array_equal(within[:, 1], v[:, 1])
    assert free.spikes["n0"].tolist() == held.spikes["n0"].tolist()
    assert free.spikes["n0"].size > 0


@pytest.mark.parametrize(("threshold", "highest"), [(150.0, 210), (215.0, 215), (255.0, 255)])
def test_clipping_leaves_every_threshold_in_reach(cuba: Any, threshold: float, highest: int) -> None:
    """Those up to 220 are standard."""
    mapping = watching(cuba, [[6.0]], options={"threshold": threshold})
    free, held = (cuba.run(mapping, [0, 10], [0, 0], END, clipping=clipping) for clipping in (False, True))
    assert free.spikes["n0"].tolist() == held.spikes["n0"].tolist()
    assert free.spikes["n0"].size > 2
    targets = mapping.config.targets
    quiet = mapping.with_config(
        attrs.evolve(mapping.config, targets=attrs.evolve(targets, comparator=np.zeros(1, np.bool_)))
    )
    recording = cuba.run(quiet, [0] * 30, [0] * 30, END, clipping=True)
    assert trace(recording, "v").max() == pytest.approx((highest - 80) / (threshold - 80), abs=1e-12)


@pytest.mark.parametrize("limit", [2.0, 5.0])
def test_saturation_is_the_largest_current_of_either_sign(cuba: Any, limit: float) -> None:
    record = ["n0", Probe("n0", "spike_s"), Probe("n0", "spike_i"), Probe("n0", "v", every_ns=STEP)]
    mapping = cuba.map([[8.0, 0.0, limit, 0.0], [0.0, -8.0, 0.0, -limit]], record=record)
    both = [0, 0], [0, 1]
    cut = cuba.run(mapping, *both, END, saturation=limit)
    same = cuba.run(mapping, [0, 0], [2, 3], END)
    np.testing.assert_array_equal(trace(cut, "v"), trace(same, "v"))
    assert cut.spikes["n0"].tolist() == same.spikes["n0"].tolist()
    assert (cut.spikes["n0"].size > 0) is (limit > 4)
    assert (trace(cut, "spike_i") < limit).all()
    free, wide = (cuba.run(mapping, *both, END, saturation=saturation) for saturation in (None, 8.0))
    assert trace(free, "v").tobytes() == trace(wide, "v").tobytes()
    assert trace(free, "spike_i").tobytes() == trace(wide, "spike_i").tobytes()


# --- values of Outputs ------------------------------------------------------------------------------------------------


WEIGHTS = [[40 / 58, -20 / 58], [-11 / 58, 50 / 58]]


def integrators(cuba: Any, tau_mem: float) -> tuple[Any, Any]:
    """Mapped to circuits that are read out, and to `ideal` with the weights that they have."""
    model = cuba.model(WEIGHTS, last=nodes.CubaLI, dt_ns=STEP, tau_mem=tau_mem)
    model = hal.Model.of(model.nodes, model.edges, attrs.evolve(model.semantics, dtype="float64"))
    mapping = hal.mapper("brainscales2").map(model, {"readout": "chip", "speedup": 1.0})
    made = attrs.evolve(model.nodes["w0"], weight=mapping.realised["w0", "weight"].astype(np.float64))
    same = hal.Model.of({**model.nodes, "w0": made}, model.edges, model.semantics)
    return mapping, hal.mapper("ideal").map(same)


@settings(deadline=None, max_examples=12)
@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 1)), min_size=1, max_size=12),
    st.sampled_from([6e-6, 9e-6, 12e-6, 20e-6]),
)
def test_readouts_on_the_chip_are_those_of_the_model(cuba: Any, rows: list[Any], tau_mem: float) -> None:
    mapping, reference = integrators(cuba, tau_mem)
    t, index = np.array(sorted(rows), np.int64).T
    events = {"in": hal.events(t * STEP, index)}
    with hal.open("ideal") as device:
        device.load(reference)
        wanted = device.run(events, 120 * STEP).signals["out"]
    told = {}
    for preset, more in (("ideal", {}), ("ideal", {"adc": True}), ("chip", {"clipping": False})):
        with cuba.open(mapping, preset, **more) as device:
            told[preset, bool(more)] = device.run(events, 120 * STEP).signals["out"]
    for signal in told.values():
        np.testing.assert_array_equal(signal.t, wanted.t)
    np.testing.assert_allclose(told["ideal", False].values, wanted.values, rtol=0, atol=1e-9)
    reach = np.clip(wanted.values, -80 * LSB, 175 * LSB)
    np.testing.assert_allclose(told["ideal", True].values, reach, rtol=0, atol=0.5 * LSB + 1e-9)
    # an event takes 8 ns on the link, in which a membrane goes at most as far as its current takes it
    late = 8e-9 / tau_mem * (1 + np.abs(wanted.values).max() + sum(abs(np.array(WEIGHTS)).max(0)[index]))
    np.testing.assert_allclose(told["chip", True].values, reach, rtol=0, atol=0.5 * LSB + late)


def test_values_go_on_from_run_to_run(cuba: Any) -> None:
    mapping, _ = integrators(cuba, 12e-6)
    with cuba.open(mapping, "chip") as device:
        whole = device.run({"in": chain([0, 3_000, 9_000], 2)}, 40 * STEP).signals["out"]
        device.reset()
        first = device.run({"in": chain([0, 3_000, 9_000], 2)}, 20 * STEP).signals["out"]
        second = device.run({}, 20 * STEP).signals["out"]
        with pytest.raises(ConfigError, match="whole number of steps"):
            device.run({}, STEP + 1)
    assert np.concatenate([first.values, second.values]).tolist() == whole.values.tolist()
    assert [*first.t, *(second.t + 20 * STEP)] == whole.t.tolist()


# --- rows of spikes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["ideal", "chip", "mock"])
def test_rows_of_spikes_stand_with_the_spikes(cuba: Any, preset: str) -> None:
    record = ["n0", "n1", *(Probe(node, variable) for node in ("n0", "n1") for variable in ("spike_s", "spike_i"))]
    mapping = cuba.map([[6.0, 3.0], [5.0, 4.0]], [[8.0, 1.0], [2.0, 6.0], [7.0, 7.0]], record=record)
    with cuba.open(mapping, preset) as device:
        recordings = [device.run({"in": chain(range(0, 20_000, 900), 2)}, 20_000) for _ in range(3)]
    for recording in recordings:
        for node in ("n0", "n1"):
            fired = recording.spikes[node]
            assert fired.size > 10
            for variable in ("spike_s", "spike_i"):
                np.testing.assert_array_equal(recording.traces[node, variable].t, fired["t"])
                assert trace(recording, variable, node).shape == (fired.size, 1)
            exact = trace(recording, "spike_s", node).ravel() * 1e9
            away = 700.0 if preset == "mock" else 8.001
            inside = (exact > 0) & (fired["t"] > 0)
            assert (np.abs(exact - fired["t"])[inside] < away).all()


def test_the_current_of_a_spike_is_that_of_the_equations(cuba: Any) -> None:
    mapping = cuba.map([[6.0]], record=["n0", Probe("n0", "spike_s"), Probe("n0", "spike_i")])
    recording = cuba.run(mapping, [1_000], [0], END)
    exact = trace(recording, "spike_s").ravel()
    wanted = 6.0 * np.exp(-(exact - 1e-6) / 6e-6)
    np.testing.assert_allclose(trace(recording, "spike_i").ravel(), wanted, rtol=1e-12)


# --- stamps -----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    st.floats(0, 34.0), st.sampled_from([1.0, 2.5, 1000.0, 1e6]), st.booleans(), st.floats(0, 1), st.integers(1, 10**6)
)
def test_stamps_lie_within_the_run_and_on_the_grid(
    cuba: Any, one: Any, t: float, speedup: float, grid: bool, into: float, length: int
) -> None:
    made = Readout(attrs.evolve(one, speedup=speedup), cuba.open(one, stamps=grid).options)
    start = int(t * speedup * 1e9 * into)
    stamp = made.stamps(np.array([t]), start, 10**19 // 100)
    quantum = 8 * speedup if grid else 1.0
    at = int(stamp[0]) + start
    assert at >= start
    if at > start:
        assert at <= t * speedup * 1e9 * (1 + 1e-11) + 1
        assert t * speedup * 1e9 - at < quantum * (1 + 1e-6) + 1 + t * speedup * 1e9 * 1e-14
    if grid:
        assert at == start or abs(np.rint(at / quantum) * quantum - at) < 1 + at * 1e-15
    assert made.stamps(np.array([t]), start, length)[0] <= length - 1


def test_a_time_on_the_grid_keeps_its_stamp(cuba: Any, one: Any) -> None:
    """Seconds are binary fractions, which most ns are not."""
    ns = np.random.default_rng(0).integers(0, 10**9, 20_000)
    for grid, at in ((True, ns * 8), (False, ns)):
        for speedup in (1, 1000):
            made = Readout(attrs.evolve(one, speedup=float(speedup)), cuba.open(one, stamps=grid).options)
            read = at * 1e-9 / (1 if grid else speedup)
            np.testing.assert_array_equal(made.stamps(read, 0, 10**15), at * (speedup if grid else 1))


class Loud:
    """Noise that is as far off as noise can be."""

    def standard_normal(self, size: int) -> Any:
        return np.where(np.arange(size) % 2, 9.0, -9.0)


def test_jitter_ends_at_five_standard_deviations(cuba: Any, one: Any) -> None:
    made = Readout(one, cuba.open(one, jitter_s=1e-7, offset_s=3e-7).options)
    noise: Any = Loud()
    np.testing.assert_allclose(made.read(np.array([1e-3, 1e-3]), noise), [1e-3 - 2e-7, 1e-3 + 8e-7], rtol=1e-12)
    assert made.late_s == pytest.approx(5e-7)
    early = Readout(one, cuba.open(one, jitter_s=1e-7, offset_s=-3e-7).options)
    assert early.late_s == pytest.approx(8e-7)
