"""The witness networks: their own arithmetic against the reference, and the promises their form makes."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Literal

import attrs
import numpy as np
import pytest

import hal
from hal.config import array, problems, setting
from hal_conformance.fields import at, bounds, faults, undocumented
from hal_conformance.networks.grown import sized
from hal_conformance.networks.witness import DIALECTS, FORMS, NEURONS, STEP_NS, TAIL_STEPS, THRESHOLD, candidates, make

STEPS = 200
ALL = list(candidates(frozenset(row[0] for row in NEURONS)))


def test_candidates_are_those_of_the_declared_neurons_in_the_stated_order():
    assert len(ALL) == sum(len(row[3]) for row in NEURONS) * len(FORMS) == 72
    assert ALL[0].label == "IF; reset to 0, >=; two dense layers"
    assert next(candidates(frozenset({"neuron.lif"}))).label.startswith("LIF without leak")
    assert not list(candidates(frozenset({"neuron.threshold"})))


@pytest.mark.parametrize("witness", ALL, ids=lambda w: w.label)
def test_arithmetic_and_the_reference_agree_on_every_candidate(witness):
    rng = np.random.default_rng(3)
    mapping = hal.mapper("ideal").map(witness.model, record=witness.populations)
    with hal.open("ideal") as device:
        device.load(mapping)
        for _ in range(3):
            stimulus = witness.stimulus(rng, STEPS)
            device.reset()
            recording = device.run({"input": stimulus}, STEPS * STEP_NS)
            wanted = witness.answer(stimulus, STEPS)
            assert set(recording.spikes) == set(wanted)
            for name, spikes in wanted.items():
                assert spikes.size
                np.testing.assert_array_equal(recording.spikes[name], spikes)


def test_neurons_differ_so_that_no_permutation_goes_unseen():
    for form in FORMS:
        witness = make("IF", {}, DIALECTS[0], form)
        stimulus = witness.stimulus(np.random.default_rng(0), STEPS)
        answer = witness.answer(stimulus, STEPS)[witness.output]
        trains = [tuple(answer["t"][answer["index"] == k]) for k in range(witness.size)]
        assert all(trains)
        assert len(set(trains)) == witness.size


def test_a_stimulus_is_one_event_a_step_with_a_silent_tail():
    witness = ALL[0]
    for seed in range(5):
        stimulus = witness.stimulus(np.random.default_rng(seed), 96)
        assert (np.diff(stimulus["t"]) >= STEP_NS).all()
        assert not (stimulus["t"] % STEP_NS).any()
        assert (stimulus["t"][0], stimulus["index"][0], stimulus["index"][-1]) == (0, 0, 3)
        assert stimulus["t"].max() < (96 - TAIL_STEPS) * STEP_NS
        assert set(stimulus["index"]) == {0, 1, 2, 3}


@pytest.mark.parametrize("witness", [w for w in ALL if w.reset == "value" and w.exact], ids=lambda w: w.label)
def test_no_sum_meets_the_threshold_where_the_comparison_would_decide(witness):
    reachable = {0}
    weights = {int(w) for layer in witness.weights for w in layer.ravel()}
    for _ in range(20):
        sums = {v + w for v in reachable for w in weights if v + w > -60}
        assert THRESHOLD not in sums
        reachable |= {0 if v > THRESHOLD else v for v in sums}


FADING = [w for w in ALL if not w.exact]


def test_neurons_that_fade_come_last_so_that_exact_ones_are_tried_before():
    assert [w.label for w in ALL[-12:]] == [w.label for w in FADING]
    assert all("fades" in w.label for w in FADING)


@pytest.mark.parametrize("witness", FADING, ids=lambda w: w.label)
def test_no_membrane_that_fades_comes_near_its_threshold_or_its_double(witness):
    share = 0.0
    subtract = witness.reset == "subtract"
    keep = 0.5 if subtract else 0.125
    for seed in range(6):
        stimulus = witness.stimulus(np.random.default_rng(seed), STEPS)
        given = np.zeros((STEPS, 4))
        np.add.at(given, (stimulus["t"] // STEP_NS, stimulus["index"]), 1)
        for weight in witness.weights:
            current, v = np.zeros(len(weight)), np.zeros(len(weight))
            spikes = np.zeros((STEPS, len(weight)))
            for k, row in enumerate(given):
                current = keep * (current + weight @ row) if subtract else keep * current + weight @ row
                v = 0.75 * v + current
                assert np.abs(v - THRESHOLD).min() >= (0.02 if subtract else 0.1) * THRESHOLD
                assert v.max() < 2 * THRESHOLD or not subtract
                spikes[k] = v >= THRESHOLD
                v = v - THRESHOLD * spikes[k] if subtract else np.where(spikes[k] > 0, 0.0, v)
                v = v if witness.v_min is None else np.maximum(v, witness.v_min)
            given = spikes
        share += stimulus.size / (STEPS - TAIL_STEPS) / 6
    assert share > 0.4


@pytest.mark.parametrize("witness", FADING, ids=lambda w: w.label)
def test_numbers_of_neurons_that_fade_show_what_checks_build_on(witness):
    def size(*pairs, node=witness.populations[0]):
        at, index = np.array(pairs).T
        return witness.answer(hal.events(at * STEP_NS, index), 64)[node].size

    assert size((3, 0)) == 1
    assert size((3, 1)) == 0
    assert size((3, 1), (3, 1)) == size((3, 1), (4, 1)) == 2
    assert size((3, 1), (40, 1)) == 0


def test_a_stimulus_that_fades_is_one_event_a_step_however_long_it_is():
    for witness in FADING[:2]:
        for steps in (96, 192, 700, 5000):
            stimulus = witness.stimulus(np.random.default_rng(steps), steps)
            assert (np.diff(stimulus["t"]) >= STEP_NS).all()
            assert (stimulus["t"][0], stimulus["index"][0], stimulus["index"][-1]) == (0, 0, 3)
            assert (steps - TAIL_STEPS - 8) * STEP_NS <= stimulus["t"][-1] < (steps - TAIL_STEPS) * STEP_NS
            assert set(stimulus["index"]) == {0, 1, 2, 3}


@pytest.mark.parametrize("witness", ALL, ids=lambda w: w.label)
def test_first_and_last_event_and_what_unsettles_always_show(witness):
    for seed in range(8):
        stimulus = witness.stimulus(np.random.default_rng(seed), 96)
        whole, first, last = (witness.answer(s, 96)["output"] for s in (stimulus, stimulus[1:], stimulus[:-1]))
        assert first.size < whole.size or first["t"][0] > whole["t"][0]
        assert last.size < whole.size
        upset = np.concatenate([witness.unsettling(), stimulus])
        upset["t"][5:] += 5 * STEP_NS
        after = witness.answer(upset, 101)["output"]
        after = after[after["t"] >= 5 * STEP_NS]
        after["t"] -= 5 * STEP_NS
        assert not np.array_equal(after, whole)


def test_reweighted_answers_otherwise_and_keeps_its_names():
    witness = ALL[0]
    other = witness.reweighted()
    stimulus = witness.stimulus(np.random.default_rng(1), STEPS)
    assert list(other.model.nodes) == list(witness.model.nodes)
    one, two = (w.answer(stimulus, STEPS)["output"] for w in (witness, other))
    assert one.size != two.size


@pytest.fixture(scope="module")
def outer():
    """A configuration with a field of every kind there is."""

    @attrs.frozen(kw_only=True)
    class Inner:
        level: int = setting(1, doc="a level", minimum=-1, maximum=4)
        word: str = setting("a", doc="a word", choices=("a", "b"))
        free: str = setting("x", doc="")

    @attrs.frozen(kw_only=True)
    class Outer:
        parts: tuple[Inner, ...] = setting(doc="several", factory=lambda: (Inner(), Inner(level=2)))
        pair: tuple[int, int] = setting((1, 1), doc="two", minimum=1)
        codes: np.ndarray = array("int8", doc="codes", factory=lambda: np.zeros((2, 2), np.int8))
        share: float = setting(0.5, doc="a share", minimum=0.0, maximum=1.0)
        flag: bool = setting(True, doc="on")
        open: int = setting(3, doc="no limits")
        least: np.ndarray = array("float32", doc="floats", minimum=0.5, factory=lambda: np.ones(2, np.float32))
        table: Mapping[str, int] = setting(doc="limits of its values", minimum=0, factory=lambda: {"a": 1})
        kind: Literal[16, 32] = setting(32, doc="words that are numbers")
        nothing: int | None = setting(None, doc="not given", minimum=0)

    return Outer()


def test_walking_a_configuration_oversteps_every_declared_limit(outer):
    made = [(path, what, make()) for path, make, what in faults(outer)]
    assert [(path, what.split(",")[0]) for path, what, _ in made] == [
        ("parts[0].level", "below the minimum -1"),
        ("parts[0].level", "above the maximum 4"),
        ("parts[0].word", "'no such word'"),
        ("pair", "below the minimum 1"),
        ("codes", "below the minimum -128"),
        ("codes", "above the maximum 127"),
        ("share", "below the minimum 0.0"),
        ("share", "above the maximum 1.0"),
        ("share", "NaN"),
        ("least", "below the minimum 0.5"),
        ("least", "NaN"),
        ("kind", "'no such word'"),
    ]
    for path, what, config in made:
        found = problems(config)
        assert len(found) == 1, (path, what)
        assert found[0].where.startswith(path)
    assert list(undocumented(type(outer))) == ["Inner.free"]


def test_walking_a_configuration_meets_every_declared_limit(outer):
    made = [(path, make, what) for path, make, what in bounds(outer)]
    assert [(path, what, np.asarray(make.args[0]).ravel().tolist()) for path, make, what in made] == [
        ("parts[0].level", "at its limit -1", [-1]),
        ("parts[0].level", "at its limit 4", [4]),
        ("parts[0].word", "'a'", ["a"]),
        ("parts[0].word", "'b'", ["b"]),
        ("pair", "at its limit 1", [1, 1]),
        ("codes", "at its limit -128", [-128, 0, 0, 0]),
        ("codes", "at its limit 127", [127, 0, 0, 0]),
        ("share", "at its limit 0.0", [0.0]),
        ("share", "at its limit 1.0", [1.0]),
        ("least", "at its limit 0.5", [0.5, 1.0]),
        ("kind", "16", [16]),
        ("kind", "32", [32]),
    ]
    values = {}
    for path, put, what in made:
        edited = put()
        values[path] = put.args[0]
        assert not problems(edited), (path, what)
        np.testing.assert_array_equal(at(edited, path), values[path])
        assert type(edited) is type(outer)
    assert type(values["share"]) is float
    assert values["codes"].dtype == np.int8


def test_what_is_at_a_path():
    config = SimpleNamespace(parts=(SimpleNamespace(level=1), SimpleNamespace(level=2)), pair=(3, 4))
    assert at(config, "parts[1].level") == 2
    assert at(config, "pair") == (3, 4)
    assert at(config, "pair[1]") == 4


@pytest.mark.parametrize("form", FORMS)
def test_random_networks_are_of_all_sizes_and_fit_where_there_is_no_limit(form):
    witness = make("IF", {}, DIALECTS[0], form)
    made = list(sized(witness, np.random.default_rng(5), 40))
    layers = [len(one.weights) for one in made]
    sizes = [size for one in made for size in (one.weights[0].shape[1], *map(len, one.weights))]
    assert set(layers) == {1, 2, 3, 4}
    assert 1 <= min(sizes) < 3
    assert 200 < max(sizes) <= 300
    assert len({one.label for one in made}) > 35
    for one in made[:10]:
        assert hal.mapper("ideal").check(one.model).fits
