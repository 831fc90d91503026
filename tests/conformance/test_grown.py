"""Growing networks: what the witness is, of any size; and the limits that are found with them."""

import attrs
import numpy as np
import pytest

import hal
import hal_conformance
from hal.fit import FitReport, FitRow
from hal_conformance.checks import limits
from hal_conformance.context import Subject
from hal_conformance.failure import ConformanceFailure
from hal_conformance.networks.grown import Family, families, layered
from hal_conformance.networks.witness import DIALECTS, FORMS, NEURONS, STEP_NS, make

WITNESSES = [make("IF", {}, dialect, form) for dialect in DIALECTS for form in FORMS]
SIZES = {
    # family: (Inputs, neurons, weights) of its third model
    "neurons of a layer": (4, 3, 12),
    "inputs of a layer": (3, 1, 3),
    "neurons and inputs of a layer": (3, 3, 9),
    "layers": (1, 3, 3),
    "rows and columns of an image": (9, 9, 1),
    "rows and columns, every second taken": (9, 4, 1),
    "rows and columns of a small image's kernel": (1024, 900, 9),
    "padding of an image": (64, 196, 1),
    "features out": (1, 3, 3),
    "features in": (3, 1, 3),
    "features in and out": (27, 3, 81),
    "biases": (1, 3, 3),
    "features of an image": (1024, 3072, 3),
}


def measured(model):
    """Channels of the Input, neurons, weights."""
    populations = [node.size for node in model.populations() if node.name not in model.inputs]
    weights = [node.weight.size for node in model.nodes.values() if "weight" in node.parameters]
    return sum(model.nodes[name].size for name in model.inputs), sum(populations), sum(weights)


@pytest.mark.parametrize("witness", WITNESSES, ids=lambda w: w.label)
def test_every_family_grows_in_what_it_says(witness):
    found = {family.label: family for family in families(witness)}
    assert {label: measured(found[label].model(3)) for label in SIZES} == SIZES
    for family in found.values():
        assert len({measured(family.model(n)) for n in (1, 2, 3, 4)}) >= 3
        assert family.most >= 32


@pytest.mark.parametrize("witness", WITNESSES, ids=lambda w: w.label)
def test_models_are_made_of_what_the_witness_is_made_of(witness):
    like = witness.model.nodes[witness.populations[-1]]
    for family in families(witness):
        model = family.model(2)
        assert model.semantics == witness.model.semantics
        assert (model.inputs, model.outputs) == ((witness.input,), (witness.output,))
        for node in model.populations():
            if node.name in model.inputs:
                continue
            assert node.type == like.type
            for key in like.parameters:
                assert set(getattr(node, key).ravel()) == {getattr(like, key).flat[0]}


@pytest.mark.parametrize("neuron", NEURONS, ids=lambda row: row[1])
def test_the_reference_takes_them_all(neuron):
    _, label, constants, dialects = neuron
    witness = make(label, constants, dialects[0], FORMS[0])
    mapper = hal.mapper("ideal")
    for family in families(witness):
        for n in (1, 2, 5):
            assert mapper.check(family.model(n)).fits, family.label


@pytest.mark.parametrize("witness", WITNESSES, ids=lambda w: w.label)
def test_a_chain_answers_by_arithmetic(witness):
    rng = np.random.default_rng(4)
    strong = witness.weights[0].max()
    # one connection of each neuron of the second layer: spikes of one step do not meet
    second = strong * np.eye(7)[rng.permutation(7)[:5]]
    made = layered(witness, [rng.choice([0, 3, -3, strong], (7, 4)), second])
    assert made.populations == ("layer1", "layer2")
    stimulus = made.stimulus(rng, 200)
    with hal.open("ideal") as device:
        device.load(hal.mapper("ideal").map(made.model, record=made.populations))
        recording = device.run({made.input: stimulus}, 200 * STEP_NS)
    wanted = made.answer(stimulus, 200)
    for name in (*made.populations, made.output):
        assert np.array_equal(recording.spikes[name], wanted[name])
    assert wanted[made.output].size > 20


# --- the search -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [1, 2, 3, 31, 32, 33, 63])
def test_the_last_number_that_is_good(last):
    tried = []
    low = 1 << (last.bit_length() - 1)
    assert limits._last(lambda n: tried.append(n) or n <= last, low, 2 * low) == last
    assert len(tried) <= max(low.bit_length() - 1, 1)


def reports(needed, limit=10, place="core", resource="neurons"):
    """A report for each number, with one row of so much."""
    return {
        n: FitReport(
            device="chip",
            rows=(FitRow(resource=resource, place=place, node="", needed=amount, limit=limit, unit="neurons"),),
        )
        for n, amount in needed.items()
    }


FAMILY = Family(label="family", model=lambda n: n, most=99)


def over(needed=11, limit=10):
    return FitRow(resource="neurons", place="core", node="", needed=needed, limit=limit, unit="neurons")


EVEN = {n: 2 * n for n in range(1, 6)}


@pytest.mark.parametrize(
    "found",
    [
        reports(EVEN),
        # too few to tell
        reports({1: 1, 2: 2, 4: 4}),
        # in steps, or not growing: nothing is even
        reports({1: 1, 2: 1, 3: 1, 4: 2, 5: 2}),
        reports({1: 1, 2: 2, 3: 4, 4: 8, 5: 8}),
        # a second place took what is missing
        reports({1: 3, 2: 6, 3: 9}) | reports({4: 10, 5: 10}, place="fullest of 2 cores"),
        # another core with another limit
        reports({n: n for n in range(1, 6)}, limit=5),
        # nothing about it
        reports(EVEN, resource="synapses"),
    ],
)
def test_what_grows_evenly_to_its_limit_or_not_evenly_is_in_order(found):
    limits._even(FAMILY, found, over())


@pytest.mark.parametrize(
    ("needed", "words"),
    [
        ({**EVEN, 6: 10}, "neurons grows by 2 up to 8 of 10, and 6, which would need 12, fits"),
        ({n: n for n in range(1, 10)}, "neurons grows by 1 up to 9 of 10, and 10, which would need 10, is refused"),
        ({n: n for n in range(1, 6)}, "neurons grows by 1 up to 5 of 10, and 6, which would need 6, is refused"),
    ],
)
def test_what_is_refused_early_or_taken_late_is_found(needed, words):
    with pytest.raises(ConformanceFailure) as caught:
        limits._even(FAMILY, reports(needed), over())
    assert words in str(caught.value)


def test_all_limits_of_a_chip_are_met_and_by_what(mutants):
    result = hal_conformance.run("faithful", only=["LIM-001"])["LIM-001"]
    assert result.measured.keys() == {"inputs", "neurons", "synapses"}
    labels = [family.label for family in families(make("IF", {}, DIALECTS[0], FORMS[0]))]
    for how in result.measured.values():
        label, _, number = how.partition(": ")
        assert label in labels
        assert int(number) > 1
    assert hal_conformance.run("faithful", only=["LIM-002"])["LIM-002"].measured == {"neurons": 1024}


def test_a_pair_the_plugin_brings_is_measured(mutants, monkeypatch):
    from hal.evidence import Evidence, Limit

    family = next(families(make("IF", {}, DIALECTS[0], "one dense layer")))
    pair = Limit(resource="neurons", fits=family.model(1000), over=family.model(1025))
    monkeypatch.setattr(Subject, "evidence", Evidence(limits=(pair,)))
    monkeypatch.setattr(limits, "families", lambda witness: [])
    result = hal_conformance.run("faithful", only=["LIM-001"])["LIM-001"]
    assert result.measured == {"neurons": "1000 of 1024"}
    assert result.outcome == "failed"
    assert "no growing network meets the limit of inputs, synapses" in result.reason


def test_a_limit_of_another_number_than_declared_is_found_in_a_pair_too(mutants, monkeypatch):
    from hal.evidence import Evidence, Limit

    family = next(families(make("IF", {}, DIALECTS[0], "one dense layer")))
    pair = Limit(resource="neurons", fits=family.model(1000), over=family.model(1025))
    monkeypatch.setattr(Subject, "evidence", Evidence(limits=(pair,)))
    toy = mutants.mutants()["faithful"].base.mapper
    plan = toy._plan

    def other(self, *args):
        made = plan(self, *args)
        return attrs.evolve(made, rows=[attrs.evolve(row, limit=row.limit + 7) for row in made.rows])

    monkeypatch.setattr(toy, "_plan", other)
    result = hal_conformance.run("faithful", only=["LIM-001"])["LIM-001"]
    assert "the plugin's models for neurons: the limit is 1031, declared {1024" in result.reason
