"""The variants of the witness, and the judges' corners that no single broken device reaches."""

import attrs
import numpy as np
import pytest

import hal_conformance
from hal.semantics import FIELDS
from hal_conformance.checks import honesty
from hal_conformance.context import Context, Subject
from hal_conformance.networks import variants
from hal_conformance.networks.witness import DIALECTS, make

CAPABLE = frozenset({"neuron.if", "neuron.lif", "neuron.cuba"})
# float32 and float64 give the same on small numbers; the reference knows no ticks of a slow clock
UNSEEN = {"dtype", "bias_meaning"}


def _bench(witness):
    subject = Subject(name="ideal")
    subject.__dict__["witness"] = witness
    context = Context(subject, "MAP-012", 60.0)
    return context, honesty.Bench.of(context)


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_of_a_rule_has_values_to_try(field):
    assert len(set(variants.values(field))) >= 2


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.label)
def test_every_field_shows_in_the_reference_on_some_base(dialect):
    witness = make("IF", {}, dialect, "two dense layers")
    context, bench = _bench(witness)
    try:
        seen = {
            variant.label.partition(" with ")[2].partition("=")[0]
            for variant in variants.rules(witness, CAPABLE, clocked=True)
            if bench.shows(variant) is not None
        }
    finally:
        context.clear()
    assert set(FIELDS) - seen == UNSEEN


@pytest.mark.parametrize("form", ["one dense layer", "two convolutions"])
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.label)
def test_the_reference_is_honest_about_every_number_in_every_dialect(dialect, form):
    witness = make("IF", {}, dialect, form)
    context, bench = _bench(witness)
    try:
        found = [honesty._kept(context, bench, variant) for variant in variants.numbers(witness)]
    finally:
        context.clear()
    assert found.count("kept") >= 5
    assert "listed" not in found


def test_a_variant_differs_in_what_is_varied_alone():
    witness = make("IF", {}, DIALECTS[0], "two dense layers")
    for variant in variants.rules(witness, CAPABLE, clocked=False):
        assert variant.plain.nodes.keys() == variant.varied.nodes.keys()
        assert all(variant.plain.nodes[name] is node for name, node in variant.varied.nodes.items())
        field = variant.label.partition(" with ")[2].partition("=")[0]
        assert field in variant.names
        same = attrs.evolve(variant.varied.semantics, **{field: getattr(variant.plain.semantics, field)})
        assert same == variant.plain.semantics
    labels = [variant.label for variant in variants.rules(witness, CAPABLE, clocked=True)]
    assert len(labels) == len(set(labels))


def test_subtracting_several_thresholds_is_tried_with_one_spike_a_step_too():
    witness = make("IF", {}, DIALECTS[0], "two dense layers")
    field = "spike_reset='subtract_n'"
    for clocked, several in ((True, ["many", "one"]), (False, ["one"])):
        found = [v for v in variants.rules(witness, CAPABLE, clocked) if v.label.startswith(f"IF neurons with {field}")]
        words = [v.varied.semantics.rule(v.varied.nodes["neurons"]).spikes_per_step for v in found]
        assert words == several
        assert ["spikes_per_step" in v.names for v in found] == [word == "many" for word in several]


def test_leaky_neurons_are_tried_where_they_are_declared():
    witness = make("IF", {}, DIALECTS[0], "two dense layers")
    kinds = {v.label.split()[0]: v.exact for v in variants.rules(witness, frozenset({"neuron.lif"}), clocked=True)}
    assert kinds == {"IF": True, "LIF": False}


@pytest.mark.parametrize("name", ["refuses-by-row", "refuses-late"])
def test_rows_over_their_limit_and_capability_errors_are_reasons_too(mutants, name):
    result = hal_conformance.run(name, only=["MAP-012"])["MAP-012"]
    assert result.outcome == "passed", result.reason
    assert result.measured["listed"] >= 6


def test_nothing_compared_is_a_failure(monkeypatch):
    monkeypatch.setattr(honesty, "numbers", lambda witness: iter(()))
    result = hal_conformance.run("ideal", only=["MAP-013"])["MAP-013"]
    assert (result.outcome, result.measured["kept"]) == ("failed", 0)
    assert "nothing was compared" in result.reason


def test_realised_numbers_that_the_reference_cannot_run_are_a_failure(monkeypatch):
    answers = honesty.Bench.wanted
    asked = []

    def wanted(bench, model, variant):
        asked.append(model)
        return None if len(asked) == 3 else answers(bench, model, variant)

    monkeypatch.setattr(honesty.Bench, "wanted", wanted)
    result = hal_conformance.run("ideal", only=["MAP-013"])["MAP-013"]
    assert result.outcome == "failed"
    assert "cannot run what the mapping says it realises" in result.reason


def test_without_a_shallow_witness_the_deep_one_is_counted_alone(monkeypatch):
    monkeypatch.setattr(honesty, "candidates", lambda capabilities: iter(()))
    result = hal_conformance.run("ideal", only=["RUN-015"])["RUN-015"]
    assert (result.outcome, result.measured) == ("passed", {"one_layer": False})


def test_a_huge_weight_is_met_by_one_event_and_then_made_up_for():
    witness = make("IF", {}, DIALECTS[0], "two dense layers")
    huge = next(v for v in variants.numbers(witness) if v.channels)
    first, later = huge.channels
    weight = huge.varied.nodes["fc1"].weight
    row = int(np.argmin(weight[:, first]))
    assert weight[row, first] == -variants.HUGE
    assert weight[row, later] > 0
