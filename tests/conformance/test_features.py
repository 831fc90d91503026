"""Checks of model features: each word has one, its answers are the reference's, and no refusal passes for an answer."""

import attrs
import numpy as np
import pytest

import hal
import hal_conformance
from hal import nodes, registry
from hal.capabilities import VOCABULARY, required_by
from hal_conformance.context import Context, Subject
from hal_conformance.failure import ConformanceFailure
from hal_conformance.networks.analog import fed_in, given_out, unhelped
from hal_conformance.networks.neural import INTEGRATORS, KINDS, integrating, leaky, thresholding, unleaking
from hal_conformance.networks.routes import ALL, DRAWINGS, delayed, routed
from hal_conformance.networks.witness import DIALECTS, STEP_NS, make
from hal_conformance.trying import answered, shown, taken

WITNESSES = [make("IF", {}, dialect, form) for dialect in DIALECTS for form in ("two dense layers", "one convolution")]


@pytest.fixture
def ctx():
    made = Context(Subject(name="ideal"), "MAP-001", 60.0)
    yield made
    made.clear()


def features(witness):
    """Every network with an answer of its own, and the words that it is there for."""
    for word in DRAWINGS:
        for words in (ALL, frozenset({word}), ALL - {"route.outputs"}, ALL - {"route.outputs", "route.merge"}):
            yield from ((word, feature) for feature in routed(word, witness, words))
    yield from (("delay.axonal", feature) for feature in delayed(witness))
    yield from (("neuron.threshold", feature) for feature in thresholding(witness, clocked=True))
    yield from (("neuron.integrator", feature) for feature in integrating(witness))
    yield from (("input.signal", feature) for layers in (1, 2) for feature in fed_in(witness, layers))
    yield from (("output.signal", feature) for feature in given_out(witness, integrators=True))


# --- the vocabulary ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", sorted(VOCABULARY))
def test_every_word_has_a_check_where_it_is_declared_and_a_twin_where_it_is_not(word):
    own = [check for check in hal_conformance.catalogue() if check.requires == {word}]
    assert own
    assert all(check.twin is not None for check in own)


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("witness", WITNESSES, ids=lambda w: w.label)
def test_the_reference_gives_every_answer_that_was_told_beforehand(ctx, witness):
    seen = set()
    for word, feature in features(witness):
        mapping = hal.mapper("ideal").map(feature.model, record=feature.record)
        answered(ctx, feature, mapping)
        seen.add(word)
    assert seen == {*DRAWINGS, "delay.axonal", "neuron.threshold", "neuron.integrator", "input.signal", "output.signal"}


@pytest.mark.parametrize("witness", WITNESSES, ids=lambda w: w.label)
def test_networks_need_the_word_they_are_there_for_at_the_node_they_name(witness):
    for word, feature in features(witness):
        if not word.endswith(".signal"):
            needs = [(needed, node) for needed, node, _ in required_by(feature.model)]
            assert (word, feature.node) in needs, feature.form


@pytest.mark.parametrize("word", ["route.fanout", "route.merge", "route.inputs"])
def test_a_network_uses_no_word_but_those_it_may(word):
    """Of two forms one at least does with what a device has that declares little else."""
    for other in ALL - {word}:
        for feature in routed(word, WITNESSES[0], frozenset({word, other})):
            assert {needed for needed, _, _ in required_by(feature.model)} <= {word, other, "neuron.if"}


def test_leaks_show_on_the_reference(ctx):
    rng = np.random.default_rng(2)
    for word, (kind, _, without) in KINDS.items():
        found = list(leaky(word, rng))
        assert len(found) == 12
        for feature in found:
            assert {node.type for node in feature.model.nodes.values()} >= {kind}
            assert list(feature.without) == list(without)
            answered(ctx, feature, hal.mapper("ideal").map(feature.model))
    for feature in unleaking(rng):
        answered(ctx, feature, hal.mapper("ideal").map(feature.model))
    assert [row[0] for row in INTEGRATORS] == ["I", "LI", "CubaLI"]


def test_an_answer_without_the_feature_is_told_from_one_with_it(ctx):
    """The mapping of a network without leak, run for one with it."""
    feature = next(iter(leaky("neuron.lif", np.random.default_rng(2))))
    wrong = hal.mapper("ideal").map(feature.without["no leak"])
    with pytest.raises(ConformanceFailure, match="with ideal of no leak"):
        answered(ctx, feature, attrs.evolve(wrong, realised={}))


def test_values_without_neurons_leave_nothing_to_a_chip():
    for feature in unhelped(WITNESSES[0]):
        assert hal.mapper("ideal").check(feature.model).fits
        report = hal.mapper("speck2f").check(feature.model)
        assert [f.node for f in report.refused if f.field == "output.signal"] == [feature.node]


# --- what does not count as an answer ---------------------------------------------------------------------------------


def _other(feature, **changes):
    """The feature with other answers."""
    case = attrs.evolve(feature.cases[0], **changes)
    return attrs.evolve(feature, cases=(case,))


def test_wrong_spikes_names_and_values_are_failures(ctx):
    feature = next(iter(routed("route.fanout", WITNESSES[0])))
    mapping = hal.mapper("ideal").map(feature.model)
    (left, spikes), *rest = feature.cases[0].wanted.items()
    late = spikes.copy()
    late["t"] += STEP_NS
    with pytest.raises(ConformanceFailure, match="the first without a partner"):
        answered(ctx, _other(feature, wanted={left: late, **dict(rest)}), mapping)
    with pytest.raises(ConformanceFailure, match="Outputs and probes are"):
        answered(ctx, attrs.evolve(feature, record=("left",)), mapping)
    values = next(iter(given_out(WITNESSES[0], integrators=False)))
    wrong = _other(values, values={"output": values.cases[0].values["output"] + 1})
    with pytest.raises(ConformanceFailure, match="after step 0, channel 0; wanted 1"):
        answered(ctx, wrong, hal.mapper("ideal").map(values.model))
    short = _other(values, values={"output": values.cases[0].values["output"][:, :2]})
    with pytest.raises(ConformanceFailure, match="has values of shape"):
        answered(ctx, short, hal.mapper("ideal").map(values.model))


def test_another_answer_counts_only_where_the_mapping_lists_the_change(ctx):
    feature = next(iter(routed("route.recurrent", WITNESSES[0])))
    mapping = hal.mapper("ideal").map(feature.model)
    swapped = attrs.evolve(feature, cases=feature.others["feedback_delay"], others={"feedback_delay": feature.cases})
    with pytest.raises(ConformanceFailure, match="the first without a partner"):
        answered(ctx, swapped, mapping)
    changed = hal.fit.Finding(level="changed", node="ring", field="feedback_delay", reason="at once")
    answered(ctx, swapped, attrs.evolve(mapping, fit=attrs.evolve(mapping.fit, findings=(changed,))))


def test_a_word_that_is_declared_and_refused_in_every_form_is_a_failure(ctx):
    """A chip of which only a spiking neuron is refused by a listed reason, and one that refuses its own word."""
    feature = next(iter(routed("route.fanout", WITNESSES[0])))
    wide = nodes.Delay(name="odd", input_shape=(2,), output_shape=(2,), delay=np.full(2, 0.5))
    model = type(feature.model).of(
        {**feature.model.nodes, "odd": wide}, [*feature.model.edges, ("input", "odd")], feature.model.semantics
    )
    refused = attrs.evolve(feature, model=model)
    with pytest.raises(ConformanceFailure, match="every network that uses it is refused; the first, neurons with two"):
        shown(ctx, "route.fanout", [refused])
    shown(ctx, "route.fanout", [refused, feature])
    assert ctx.measured["forms"] == "neurons with two targets"
    with pytest.raises(ConformanceFailure, match="no network can use it without words that are not"):
        shown(ctx, "route.fanout", [])
    chip = Context(Subject(name="speck2f"), "MAP-001", 60.0)
    with pytest.raises(ConformanceFailure, match=r"'delay\.axonal' is declared, and refused"):
        list(taken(chip, "delay.axonal", delayed(WITNESSES[0])))


def test_what_is_done_on_the_host_is_not_on_the_chip(ctx):
    chip = Context(Subject(name="speck2f"), "MAP-001", 60.0)
    with pytest.raises(ConformanceFailure, match="not on the chip: 'first' \\(host\\)"):
        shown(chip, "input.signal", fed_in(WITNESSES[0], layers=2))


# --- what no plugin can break -----------------------------------------------------------------------------------------


def test_profiles_that_are_not_refused_where_there_are_none_are_found(monkeypatch):
    monkeypatch.setattr(registry, "_profile_problems", lambda device, profile: [])
    result = hal_conformance.run("ideal", only=["PROF-001"])["PROF-001"]
    assert result.outcome == "failed"
    assert "without 'profile' being declared, should raise CapabilityError" in result.reason


@pytest.mark.parametrize(
    "name",
    ["noisy", "individual", "learner", "no-too-many-probes", "no-too-many-on-a-core", "no-excluded-together"],
)
def test_devices_of_features_that_no_base_has_are_in_order(mutants, name):
    heavy = {"LOAD-002", "LOAD-005", "MAP-002", "MAP-003", "MAP-012", "MAP-013", "RUN-013", "RUN-014"}
    silver = [c.id for c in hal_conformance.catalogue() if c.level != "gold" and c.id not in heavy]
    report = hal_conformance.run(name, only=silver)
    assert not report.bad, [(result.id, result.reason) for result in report.bad]
    passed = {result.id for result in report.results if result.outcome == "passed"}
    meant = {"noisy": {"NOIS-001", "NOIS-002"}, "individual": {"PROF-001"}, "learner": {"LRN-001", "LRN-002"}}
    assert passed >= meant.get(name, {"REC-003", "REC-004", "REC-005", "REC-006"})


def test_what_is_read_at_spikes_alone_is_in_order(mutants):
    report = hal_conformance.run("no-reads-at-spikes", only=["REC-005", "REC-006"])
    assert [(result.id, result.outcome, result.reason) for result in report.bad] == []
