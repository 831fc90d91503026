"""The devices through `hal.open`: what neurons answer, what is counted, and what registers edited by hand do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import hal
from hal.device import Reset
from hal.errors import ConfigError, StateError
from hal.events import Probe
from hal_dynapse2 import biases
from hal_dynapse2.config import PARAMETERS
from hal_dynapse2.limits import DENDRITES, LATCHES
from hal_dynapse2.options import Dynapse2Profile
from hal_emulators import dynapsim

MS = 1_000_000
BOTH = ("dynapse2", "dynapse2-dynapsim")
CLOSE = {1_000_000: 1.0, 100_000: 0.15, 10_000: 0.02}
"""Step of the vendor's simulator -> how far its spike counts lie from those in continuous time, relative to them."""


def _bias(config: Any, **currents: float) -> Any:
    """Registers with other currents, on all cores."""
    coarse, fine = config.cores.coarse.copy(), config.cores.fine.copy()
    for name, current in currents.items():
        made = biases.nearest(name, current)
        coarse[:, PARAMETERS.index(name)], fine[:, PARAMETERS.index(name)] = made.coarse, made.fine
    return attrs.evolve(config, cores=attrs.evolve(config.cores, coarse=coarse, fine=fine))


def _latched(config: Any, name: str, rows: Any = slice(None)) -> Any:
    latches = config.neurons.latches.copy()
    latches[rows, LATCHES.index(name)] = True
    return attrs.evolve(config, neurons=attrs.evolve(config.neurons, latches=latches))


def _dendrite(config: Any, old: str, new: str) -> Any:
    codes = config.cam.dendrite
    made = np.where(codes == DENDRITES[old], DENDRITES[new], codes).astype(codes.dtype)
    return attrs.evolve(config, cam=attrs.evolve(config.cam, dendrite=made))


def _membrane(chip: Any, mapping: Any, pairs: Any, ms: int, name: str = "dynapse2", **options: Any) -> Any:
    recording = chip.run(mapping, {"in": chip.events(pairs)}, ms * MS, name, **options)
    return np.ravel(recording.traces["n", "imem"].values)


def _count(chip: Any, mapping: Any, stimulus: Any, ms: int, name: str = "dynapse2", **options: Any) -> int:
    return int(chip.run(mapping, {"in": stimulus}, ms * MS, name, **options).spikes["out"].size)


# --- neurons ----------------------------------------------------------------------------------------------------------


def test_inhibition_after_excitation_lowers_the_membrane_on_the_chip_alone(net: Any, chip: Any) -> None:
    model = net.layer([[0.1, -0.1]]).model
    made = {}
    for name in BOTH:
        mapping = hal.mapper(name).map(model, record=[Probe("n", "imem", every_ns=MS)])
        one, both = (_membrane(chip, mapping, pairs, 30, name) for pairs in ([(5, 0)], [(5, 0), (8, 1)]))
        made[name] = one, both
        np.testing.assert_array_equal(one[:8], both[:8])
    one, both = made["dynapse2"]
    assert (both[10:] < 0.8 * one[10:]).all()
    np.testing.assert_array_equal(*made["dynapse2-dynapsim"])


def test_inhibition_without_pull_only_cancels_excitation(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer([[0.2, -0.2]]), record=[Probe("n", "imem", every_ns=MS)])
    late = [(5, 0), (40, 1)]
    plain = _membrane(chip, mapping, [(5, 0)], 60)
    pulled, cut = (_membrane(chip, mapping, late, 60, pull=pull) for pull in (True, False))
    assert (pulled[42:] < 0.7 * plain[42:]).all()
    assert (cut[42:] > 0.95 * plain[42:]).all()


def test_the_membrane_below_threshold_is_the_models(net: Any, chip: Any) -> None:
    made = net.layer([[0.1, 0.06]])
    mapping = chip.map(made, record=[Probe("n", "imem", every_ns=MS)])
    pairs = [(0, 0), (4, 1), (9, 0)]
    got = _membrane(chip, mapping, pairs, 60)
    ideal = hal.mapper("ideal").map(mapping.realised_model(), record=[Probe("n", "v", every_ns=MS)])
    wanted = np.ravel(chip.run(ideal, {"in": chip.events(pairs)}, 60 * MS, "ideal").traces["n", "v"].values)
    at = PARAMETERS.index("SOIF_SPKTHR_P")
    cores = mapping.config.cores
    threshold = float(biases.actual("SOIF_SPKTHR_P", cores.coarse[0, at], cores.fine[0, at]))
    assert wanted.max() < 1
    # a sample of the chip at t is the model's after the step that ends there
    np.testing.assert_allclose(got[1:] / threshold, wanted[:-1], atol=0.02)


@pytest.mark.parametrize("refractory", [2e-3, 10e-3])
def test_the_rate_saturates_at_one_over_the_refractory_period(net: Any, chip: Any, refractory: float) -> None:
    mapping = chip.map(net.layer([[0.5]]), refractory_s={"n": refractory})
    slow, fast, flood = (_count(chip, mapping, chip.regular(hz, 500), 500) for hz in (20, 2000, 20000))
    most = 0.5 / refractory
    assert slow < fast <= flood <= most * 1.03
    assert flood > 0.95 * most


def test_shunting_divides_what_excites_and_nothing_else(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer([[0.1, -0.1]]), record=[Probe("n", "imem", every_ns=MS)])
    edited = mapping.with_config(_dendrite(mapping.config, "gaba", "shunt"))
    alone = _membrane(chip, edited, [(5, 0)], 30)
    both = _membrane(chip, edited, [(5, 0), (5, 1)], 30)
    np.testing.assert_array_equal(alone, _membrane(chip, mapping, [(5, 0)], 30))
    assert (both[8:] < 0.9 * alone[8:]).all()
    # excites nobody by itself
    assert _membrane(chip, edited, [(5, 1)], 30).max() < 0.01 * alone.max()


def test_nmda_excites_only_a_membrane_above_its_gate(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer([[0.1]]), record=[Probe("n", "imem", every_ns=MS)])
    nmda = _dendrite(mapping.config, "ampa", "nmda")
    plain = _membrane(chip, mapping, [(5, 0)], 30).max()
    low, high = (
        _membrane(chip, mapping.with_config(_bias(nmda, DENM_NMREV_N=gate)), [(5, 0)], 30).max()
        for gate in (1e-13, 1e-6)
    )
    # the gate is open where the membrane is above it, and shut under 1 uA
    assert low > 100 * high
    assert low < 1.5 * plain


@pytest.mark.parametrize("dendrite", ["nmda", "shunt"])
def test_the_vendors_simulator_refuses_dendrites_it_has_not(net: Any, chip: Any, dendrite: str) -> None:
    mapping = hal.mapper("dynapse2-dynapsim").map(net.layer([[0.5, 0.5]]).model)
    edited = mapping.with_config(_dendrite(mapping.config, "ampa", dendrite))
    with hal.open("dynapse2-dynapsim") as device, pytest.raises(ConfigError, match="AMPA and GABA only") as caught:
        device.load(edited)
    assert [(p.where, p.value) for p in caught.value.problems] == [("cam.dendrite", "2 others")]


def test_the_vendors_simulator_refuses_a_mapping_without_steps(net: Any, chip: Any) -> None:
    plain = {"dt_ns": None, "decay": "euler", "gain": "r*dt/tau", "current_gain": "r*dt/tau"}
    mapping = chip.map(net.layer([[0.02]], semantics=plain))
    with hal.open("dynapse2-dynapsim") as device, pytest.raises(ConfigError, match="DynapSim goes in steps"):
        device.load(mapping)


def test_adaptation_by_latch_and_biases_lowers_a_steady_rate(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer([[0.0]], v_leak=1.5))
    strong = _bias(mapping.config, SOAD_W_N=1e-6, SOAD_PWTAU_N=3.5e-9)
    nothing = chip.events([])
    plain = _count(chip, mapping, nothing, 1000)
    assert plain > 20
    # biases alone do nothing
    assert _count(chip, mapping.with_config(strong), nothing, 1000) == plain
    latched = _count(chip, mapping.with_config(_latched(strong, "so_adaptation")), nothing, 1000)
    assert 0 < latched < 0.7 * plain


@pytest.mark.parametrize("name", BOTH)
def test_a_neuron_that_is_switched_off_is_silent(net: Any, chip: Any, name: str) -> None:
    mapping = hal.mapper(name).map(net.layer([[0.9], [0.9]]).model)
    edited = mapping.with_config(_latched(mapping.config, "soif_kill", 0))
    stimulus = {"in": chip.regular(200, 100)}
    assert set(chip.run(mapping, stimulus, 100 * MS, name).spikes["out"]["index"]) == {0, 1}
    assert set(chip.run(edited, stimulus, 100 * MS, name).spikes["out"]["index"]) == {1}


@pytest.mark.parametrize("drive", [0.9, 1.2, 2.0, 4.0])
def test_a_drive_fires_as_the_models_leak_does(net: Any, chip: Any, drive: float) -> None:
    mapping = chip.map(net.layer([[0.0]], v_leak=drive))
    got = _count(chip, mapping, chip.events([]), 1000)
    if drive < 1:
        assert got == 0
    else:
        made = float(mapping.realised["n", "v_leak"][0])
        tau = float(mapping.realised["n", "tau_mem"][0])
        assert got == pytest.approx(1 / (tau * np.log(made / (made - 1)) + 5e-4), rel=0.1)


@pytest.mark.parametrize("dt_ns", CLOSE)
@pytest.mark.parametrize("hz", [50, 100, 200])
def test_exponential_neurons_agree_with_the_vendors_simulator_the_more_the_shorter_its_steps(
    net: Any, chip: Any, dt_ns: int, hz: float
) -> None:
    model = net.layer([[0.1]], semantics={"dt_ns": dt_ns}).model
    options = {"exponential": True, "refractory_s": {"n": 2e-3}}
    trains = {}
    for name in BOTH:
        mapping = hal.mapper(name).map(model, options)
        trains[name] = chip.run(mapping, {"in": chip.regular(hz, 500)}, 500 * MS, name).spikes["out"]["t"]
    flowing, stepped = (trains[name] for name in BOTH)
    assert stepped.size == pytest.approx(flowing.size, rel=CLOSE[dt_ns])
    assert flowing.size > 20
    if dt_ns == 10_000:
        assert np.abs(flowing[:5] - stepped[:5]).max() <= 100_000


def test_excitatory_layers_agree_with_the_vendors_simulator_in_counts(net: Any, chip: Any) -> None:
    rng = np.random.default_rng(0)
    made = net.chain(rng.uniform(0, 0.05, (6, 4)), rng.uniform(0, 0.1, (3, 6)), semantics={"dt_ns": 100_000})
    options = {"exponential": True, "refractory_s": {"n0": 2e-3, "n1": 2e-3}}
    counts = []
    for name in BOTH:
        mapping = hal.mapper(name).map(made.model, options)
        spikes = chip.run(mapping, {"in": chip.regular(60, 500, 4)}, 500 * MS, name).spikes["out"]
        counts.append(np.bincount(spikes["index"], minlength=3))
    np.testing.assert_allclose(counts[1], counts[0], rtol=CLOSE[100_000])
    assert counts[0].min() > 20


# --- resets and runs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BOTH)
def test_a_run_in_pieces_is_one_run_and_a_state_reset_starts_again(net: Any, chip: Any, name: str) -> None:
    mapping = hal.mapper(name).map(net.recurrent([[0.5, 0.4]], [[0.1]]).model)
    stimulus = chip.regular(150, 60, 2)
    with hal.open(name) as device:
        device.load(mapping)
        whole = device.run({"in": stimulus}, 60 * MS).spikes["out"]["t"]
        pieces = []
        for mode in (Reset.STATE, Reset.LOADED):
            device.reset(mode)
            for start in range(0, 60 * MS, 20 * MS):
                mine = stimulus[(stimulus["t"] >= start) & (stimulus["t"] < start + 20 * MS)].copy()
                mine["t"] -= start
                pieces.append(device.run({"in": mine}, 20 * MS).spikes["out"]["t"] + start)
        np.testing.assert_array_equal(np.concatenate(pieces[:3]), whole)
        np.testing.assert_array_equal(np.concatenate(pieces[3:]), whole)
    assert whole.size > 3


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("mode", [Reset.CONFIG, Reset.POWER])
def test_after_the_memories_are_erased_there_is_nothing_to_run(net: Any, chip: Any, name: str, mode: Reset) -> None:
    mapping = hal.mapper(name).map(net.layer([[0.9]]).model)
    with hal.open(name) as device:
        device.load(mapping)
        device.reset(mode)
        with pytest.raises(StateError):
            device.run({}, MS)
        device.load(mapping)
        assert device.run({"in": chip.events([(1, 0)])}, 20 * MS).spikes["out"].size


def test_a_state_reset_returns_membranes_to_their_dark_current(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer([[0.1]]), record=[Probe("n", "imem")])
    with hal.open("dynapse2") as device:
        device.load(mapping)
        before = device.run({"in": chip.events([(1, 0)])}, 10 * MS).traces["n", "imem"].values
        device.reset()
        after = device.run({}, 0)
        rest = device.run({}, MS).traces["n", "imem"].values
    assert float(before.ravel()[-1]) > 1e-9
    assert after.spikes["out"].size == 0
    assert float(rest.ravel()[-1]) < 2e-12


def test_a_mapping_on_more_chips_and_then_on_fewer_counts_per_core(net: Any, chip: Any) -> None:
    small, large = chip.map(net.layer([[0.9]])), chip.map(net.layer([[0.9]]), grid=(2, 2))
    with hal.open("dynapse2") as device:
        for mapping, cores in ((large, 16), (small, 4), (large, 16)):
            device.load(mapping)
            recording = device.run({"in": chip.events([(1, 0)])}, 20 * MS)
            assert recording.stats["events_out"].shape == (cores,)
            assert recording.stats["events_out"].sum() == recording.spikes["out"].size > 0


# --- events -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BOTH)
def test_silent_neurons_keep_their_place(net: Any, chip: Any, name: str) -> None:
    mapping = hal.mapper(name).map(net.layer([[0.9], [0.0], [0.9]]).model)
    recording = chip.run(mapping, {"in": chip.regular(100, 50)}, 50 * MS, name)
    assert recording.raster("out").shape == (50, 3)
    assert (recording.raster("out").sum(axis=0) > 0).tolist() == [True, False, True]


@pytest.mark.parametrize("name", BOTH)
def test_a_count_of_three_in_a_bin_is_three_events(net: Any, chip: Any, name: str) -> None:
    mapping = hal.mapper(name).map(net.layer([[0.06]]).model, record=[Probe("n", "imem")])
    raster = np.zeros((10, 1), int)
    raster[2, 0] = 3
    one = chip.run(mapping, {"in": raster}, 10 * MS, name)
    three = chip.run(mapping, {"in": chip.events([(2, 0)] * 3)}, 10 * MS, name)
    assert one.stats["events_in"].sum() == 3
    assert one.stats["synops"].sum() == 3
    np.testing.assert_array_equal(one.traces["n", "imem"].values, three.traces["n", "imem"].values)


def test_spikes_are_stamped_in_whole_microseconds(net: Any, chip: Any) -> None:
    spikes = chip.run(chip.map(net.layer([[0.9]])), {"in": chip.regular(173, 100)}, 100 * MS).spikes["out"]
    assert spikes.size > 5
    assert not (spikes["t"] % 1000).any()


@pytest.mark.parametrize("size", [(2, 1), (2, 2), (1, 3)])
def test_spikes_arrive_from_every_chip_of_a_grid(net: Any, chip: Any, size: tuple[int, int]) -> None:
    chips = size[0] * size[1]
    made = net(1)
    cores = {}
    for k in range(chips):
        made.dense(f"f{k}", "in", [[0.9]]).fire(f"n{k}", f"f{k}").out(f"n{k}", f"out{k}")
        cores[f"n{k}"] = (4 * k + k % 4,)
    mapping = chip.map(made, grid=size, cores=cores)
    recording = chip.run(mapping, {"in": chip.regular(100, 50)}, 50 * MS)
    trains = [recording.spikes[f"out{k}"]["t"] for k in range(chips)]
    assert trains[0].size > 3
    for k, train in enumerate(trains):
        np.testing.assert_array_equal(train, trains[0])
        assert mapping.where(f"n{k}")["chip"].tolist() == [k]
    assert (recording.stats["events_out"] > 0).nonzero()[0].tolist() == [4 * k + k % 4 for k in range(chips)]


def test_a_chain_over_chips_answers_as_on_one(net: Any, chip: Any) -> None:
    made = net.chain(np.full((3, 2), 0.5), np.full((3, 3), 0.4), np.full((2, 3), 0.4))
    far = {"grid": (2, 2), "cores": {"n0": (12,), "n1": (1,), "n2": (6,)}}
    near = {"cores": {"n0": (0,), "n1": (1,), "n2": (2,)}}
    stimulus = {"in": chip.regular(70, 100, 2)}
    one, other = (chip.run(chip.map(made, **options), stimulus, 100 * MS).spikes["out"] for options in (near, far))
    np.testing.assert_array_equal(one, other)
    assert one.size > 5


# --- individuals ------------------------------------------------------------------------------------------------------


def _profile(**tables: Any) -> Dynapse2Profile:
    return Dynapse2Profile(id="x", **{name: np.array(rows, np.int64) for name, rows in tables.items()})


def test_the_lists_of_an_individual_are_kept(net: Any, chip: Any) -> None:
    profile = _profile(
        denied_tags=[(0, c, t) for c in range(4) for t in range(5)] + [(3, 0, 9), (0, 0, 0)],
        denied_neurons=[(0, c, k) for c in range(4) for k in (0, 2)] + [(3, 0, 1)],
        denied_cam=[(0, c, 1, k) for c in range(4) for k in (0, 3)] + [(3, 0, 1, 1)],
    )
    mapping = hal.mapper("dynapse2", profile=profile).map(net.recurrent(np.full((4, 6), 0.2), np.eye(4) * 0.1).model)
    config = mapping.config
    assert config.neurons.neuron.tolist() == [1, 3, 4, 5]
    used = config.cam.mask > 0
    assert config.cam.tag[used].min() >= 5
    assert np.flatnonzero(used[0]).tolist() == [1, 2, 4, 5, 6, 7, 8]
    assert np.flatnonzero(used[1]).tolist() == list(range(7))
    assert mapping.fit.rows[-1].resource == "tags"
    assert mapping.fit.rows[-1].limit == 2048 - 5
    assert mapping.profile_id == "x"


def test_a_profile_is_checked_by_table_and_column() -> None:
    with pytest.raises(ConfigError) as caught:
        hal.mapper("dynapse2", profile=_profile(denied_tags=[(0, 4, 1)], denied_cam=[(0, 5, 0, 64)]))
    told = {(p.where.split(".")[-1], p.what, p.value, p.limit) for p in caught.value.problems}
    assert told == {
        ("denied_tags", "no such core", 4, "0..3"),
        ("denied_cam", "no such core", 5, "0..3"),
        ("denied_cam", "no such entry", 64, "0..63"),
    }


def test_a_flood_waits_and_is_dropped_and_both_are_counted(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer(np.full((1, 4), 0.01)))
    flood = chip.events([(1, k % 4) for k in range(200)])
    slow = chip.run(mapping, {"in": flood}, 10 * MS, bus_event_s=1e-6, bus_capacity=50)
    stats = {key: int(values.sum()) for key, values in slow.stats.items()}
    assert stats["events_in"] == 200
    assert 140 <= stats["dropped"] <= 150
    assert stats["synops"] + stats["dropped"] == 200
    # each of those that wait does so for one more microsecond than the one before
    waiting = 200 - stats["dropped"] - 1
    assert stats["queued_ns"] == pytest.approx(1000 * waiting * (waiting + 1) / 2, rel=0.05)
    (interval,) = slow.intervals
    assert interval["what"] == "dropped"
    assert (int(interval["t0"]), int(interval["t1"])) == (MS, MS)
    fast = chip.run(mapping, {"in": flood}, 10 * MS)
    assert fast.stats["dropped"].sum() == 0
    assert fast.stats["synops"].sum() == 200
    assert fast.intervals.size == 0


def test_a_flood_leaves_what_waits_to_the_next_run(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer(np.full((1, 4), 0.01)))
    with hal.open("dynapse2", bus_event_s=1e-3) as device:
        device.load(mapping)
        first = device.run({"in": chip.events([(0, k) for k in range(4)])}, 2 * MS)
        second = device.run({}, 10 * MS)
    assert int(first.stats["pending"].sum()) > 0
    assert int(first.stats["synops"].sum() + second.stats["synops"].sum()) == 4
    assert int(second.stats["pending"].sum()) == 0


@pytest.mark.parametrize(
    ("option", "by"), [("double_spikes", "seed"), ("lost_events", "seed"), ("dead_cam", "chip_seed")]
)
def test_artefacts_are_off_by_default_and_told_apart_by_their_seed(net: Any, chip: Any, option: str, by: str) -> None:
    mapping = chip.map(net.layer(np.full((8, 16), 0.15)))
    stimulus = chip.regular(60, 200, 16)

    def run(**options: Any) -> Any:
        return chip.run(mapping, {"in": stimulus}, 200 * MS, **options).spikes["out"]

    plain, one, again, other = run(), run(**{option: 0.3}), run(**{option: 0.3}), run(**{option: 0.3, by: 7})
    np.testing.assert_array_equal(one, again)
    assert plain.tobytes() != one.tobytes() != other.tobytes()
    np.testing.assert_array_equal(run(**{by: 7}), plain)
    assert (one.size > plain.size) == (option == "double_spikes")


def test_lost_events_are_counted(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer([[0.01]]))
    recording = chip.run(mapping, {"in": chip.regular(1000, 1000)}, 1000 * MS, lost_events=0.2)
    lost = int(recording.stats["lost"].sum())
    assert lost == pytest.approx(200, abs=50)
    assert int(recording.stats["synops"].sum()) == 1000 - lost


def test_mismatch_is_the_individuals(net: Any, chip: Any) -> None:
    mapping = chip.map(net.layer(np.full((8, 1), 0.3)))
    stimulus = {"in": chip.regular(100, 200)}

    def counts(**options: Any) -> Any:
        return np.bincount(chip.run(mapping, stimulus, 200 * MS, **options).spikes["out"]["index"], minlength=8)

    assert np.unique(counts()).size == 1
    one, other = counts(mismatch=0.1), counts(mismatch=0.1, chip_seed=1)
    assert np.unique(one).size > 1
    assert one.tolist() != other.tolist()
    np.testing.assert_array_equal(one, counts(mismatch=0.1, seed=5))


# --- ways out and back ------------------------------------------------------------------------------------------------


def test_a_mapping_saved_exported_and_adopted_gives_the_same_spikes(net: Any, chip: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mapping = chip.map(net.recurrent(rng.normal(0.2, 0.2, (6, 4)), rng.normal(0, 0.1, (6, 6)), v_leak=0.3))
    stimulus = chip.regular(80, 150, 4)
    wanted = chip.run(mapping, {"in": stimulus}, 150 * MS).spikes["out"]
    assert wanted.size > 20
    mapping.save(tmp_path / "net.mapping")
    np.testing.assert_array_equal(
        chip.run(hal.read_mapping(tmp_path / "net.mapping"), {"in": stimulus}, 150 * MS).spikes["out"], wanted
    )
    adopted = hal.mapper("dynapse2").adopt(mapping.config)
    np.testing.assert_array_equal(chip.run(adopted, {"in": stimulus}, 150 * MS).spikes["n"], wanted)
    path = tmp_path / "net.json"
    path.write_text(hal.export(mapping, "dynapse2-json"), encoding="utf-8")
    imported = hal.import_mapping(path, "dynapse2-json", device="dynapse2")
    spikes = chip.run(imported, {imported.inputs[0].name: stimulus}, 150 * MS).spikes
    assert sum(train.size for train in spikes.values()) == wanted.size
    np.testing.assert_array_equal(np.sort(np.concatenate([train["t"] for train in spikes.values()])), wanted["t"])


def test_the_simulator_loads_mappings_of_the_chip(net: Any, chip: Any) -> None:
    model = net.layer([[0.5, 0.3]]).model
    stimulus = {"in": chip.regular(80, 100, 2)}
    one = chip.run(hal.mapper("dynapse2").map(model), stimulus, 100 * MS, "dynapse2-dynapsim").spikes["out"]
    other = chip.run(hal.mapper("dynapse2-dynapsim").map(model), stimulus, 100 * MS, "dynapse2-dynapsim").spikes["out"]
    np.testing.assert_array_equal(one, other)
    assert one.size


def test_a_current_that_is_no_number_names_population_index_and_step_of_the_run(
    net: Any, chip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = net.chain(np.ones((2, 1)), np.ones((3, 2))).model
    with hal.open("dynapse2-dynapsim") as device:
        device.load(hal.mapper("dynapse2-dynapsim").map(model))
        pieces = iter(range(9))

        def run(self: Any, steps: int, *_: Any, **__: Any) -> Any:
            if next(pieces):
                raise dynapsim.StateError(3, 4, self.state())
            return plain(self, steps, *_, **__)

        plain = dynapsim.DynapSim.run
        monkeypatch.setattr(dynapsim.DynapSim, "run", run)
        with pytest.raises(StateError, match="n1, neuron 2: a current is no number any more in step 259") as caught:
            device.run({}, 1000 * MS)
    assert {key: caught.value.data[key] for key in ("node", "index", "step")} == {"node": "n1", "index": 2, "step": 259}
    assert "smaller weights" in str(caught.value.hint)


def test_hardware_says_what_is_missing_and_what_works_here() -> None:
    with pytest.raises(ImportError, match="samna") as caught:
        hal.open("dynapse2", kind="hardware")
    assert "dynapse2-json" in caught.value.hint  # type: ignore[attr-defined]
