"""The witness networks: their own arithmetic against the reference, and the promises their form makes."""

import numpy as np
import pytest

import hal
from hal_conformance.fields import faults, undocumented
from hal_conformance.witness import DIALECTS, FORMS, NEURONS, STEP_NS, TAIL_STEPS, THRESHOLD, candidates, make

STEPS = 200
ALL = list(candidates(frozenset(row[0] for row in NEURONS)))


def test_candidates_are_those_of_the_declared_neurons_in_the_stated_order():
    assert len(ALL) == sum(len(row[3]) for row in NEURONS) * len(FORMS) == 64
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


@pytest.mark.parametrize("witness", [w for w in ALL if w.reset == "value"], ids=lambda w: w.label)
def test_no_sum_meets_the_threshold_where_the_comparison_would_decide(witness):
    reachable = {0}
    weights = {int(w) for layer in witness.weights for w in layer.ravel()}
    for _ in range(20):
        sums = {v + w for v in reachable for w in weights if v + w > -60}
        assert THRESHOLD not in sums
        reachable |= {0 if v > THRESHOLD else v for v in sums}


FADING = [w for w in ALL if not w.exact]


def test_neurons_that_fade_come_last_so_that_exact_ones_are_tried_before():
    assert [w.label for w in ALL[-4:]] == [w.label for w in FADING]
    assert all("fades" in w.label for w in FADING)


@pytest.mark.parametrize("witness", FADING, ids=lambda w: w.form)
def test_no_membrane_that_fades_comes_near_its_threshold_or_its_double(witness):
    share = 0.0
    for seed in range(6):
        stimulus = witness.stimulus(np.random.default_rng(seed), STEPS)
        given = np.zeros((STEPS, 4))
        np.add.at(given, (stimulus["t"] // STEP_NS, stimulus["index"]), 1)
        for weight in witness.weights:
            current, v = np.zeros(len(weight)), np.zeros(len(weight))
            spikes = np.zeros((STEPS, len(weight)))
            for k, row in enumerate(given):
                current = 0.5 * (current + weight @ row)
                v = 0.75 * v + current
                assert np.abs(v - THRESHOLD).min() >= 0.02 * THRESHOLD
                assert v.max() < 2 * THRESHOLD
                spikes[k] = v >= THRESHOLD
                v -= THRESHOLD * spikes[k]
            given = spikes
        share += stimulus.size / (STEPS - TAIL_STEPS) / 6
    assert share > 0.4


@pytest.mark.parametrize("witness", FADING, ids=lambda w: w.form)
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


def test_walking_a_configuration_oversteps_every_declared_limit():
    import attrs

    from hal.config import array, problems, setting

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

    made = [(path, what, make()) for path, make, what in faults(Outer())]
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
    ]
    for path, what, config in made:
        found = problems(config)
        assert len(found) == 1, (path, what)
        assert found[0].where.startswith(path)
    assert list(undocumented(Outer)) == ["Inner.free"]
