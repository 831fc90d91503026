"""The chip made up for the mutants keeps its limits and reports its overload: broken ones differ from a correct one."""

import attrs
import numpy as np
import pytest

import hal
from hal.errors import DoesNotFitError
from hal.events import events
from hal.evidence import evidence
from hal.model import Model
from hal_conformance.networks.witness import DIALECTS, STEP_NS, make


def dense(channels, neurons):
    """A model of one dense layer."""
    witness = make("IF", {}, DIALECTS[0], "one dense layer")
    shapes = {"input": channels, "neurons": neurons, "output": neurons}
    nodes = {}
    for name, node in witness.model.nodes.items():
        size = shapes.get(name)
        if name == "fc1":
            node = attrs.evolve(
                node, input_shape=(channels,), output_shape=(neurons,), weight=np.full((neurons, channels), 6.0)
            )
        else:
            own = {key: np.full(size, getattr(node, key).flat[0]) for key in node.parameters}
            node = attrs.evolve(node, input_shape=(size,), output_shape=(size,), **own)
        nodes[name] = node
    return Model.of(nodes, witness.model.edges, witness.model.semantics)


@pytest.mark.parametrize(
    ("resource", "fits", "over"),
    [
        ("neurons", (4, 1024), (4, 1025)),
        ("synapses", (128, 128), (128, 129)),
        ("inputs", (256, 4), (257, 4)),
    ],
)
def test_what_is_over_a_limit_is_refused_with_its_number(mutants, resource, fits, over):
    mapper = hal.mapper("faithful")
    good, bad = dense(*fits), dense(*over)
    assert mapper.check(good).fits
    with pytest.raises(DoesNotFitError) as caught:
        mapper.map(bad)
    (row,) = (row for row in caught.value.report.rows if not row.ok)
    assert row.resource == resource
    assert row.needed > row.limit
    # registers from elsewhere, too
    registers = hal.mapper("ideal").map(bad).config
    with pytest.raises(DoesNotFitError):
        mapper.adopt(registers)
    with pytest.raises(DoesNotFitError):
        mapper.map(good).with_config(registers)


def test_events_above_the_limit_of_a_step_are_dropped_counted_and_told_of(mutants):
    mapping = hal.mapper("faithful").map(dense(100, 100))
    at = np.repeat([0, 2, 3], [64, 100, 3])
    index = np.concatenate([np.arange(64), np.arange(100), [97, 98, 99]])
    given = {"input": events(at * STEP_NS, index)}
    with hal.open("faithful") as chip:
        chip.load(mapping)
        recording = chip.run(given, 5 * STEP_NS)
        (sample,) = chip.run_batch({"input": hal.EventBatch.of([given["input"]])}, 5 * STEP_NS)
    for each in (recording, sample):
        assert each.stats["dropped"].tolist() == [36]
        assert each.stats["events_in"].tolist() == [64 + 64 + 3]
        assert each.intervals[["t0", "t1"]].tolist() == [(2 * STEP_NS, 3 * STEP_NS)]
        assert [finding.field for finding in each.diagnostics] == ["events per step"]
        steps, counts = np.unique(each.spikes["output"]["t"] // STEP_NS, return_counts=True)
        assert (steps.tolist(), counts.tolist()) == ([0, 2, 3], [100, 100, 100])


def test_within_the_limit_it_is_ideal(mutants):
    model = dense(8, 8)
    rng = np.random.default_rng(3)
    given = {"input": events(np.sort(rng.integers(0, 50, 300)) * STEP_NS, rng.integers(0, 8, 300))}
    answers = []
    for name in ("faithful", "ideal"):
        with hal.open(name) as device:
            device.load(hal.mapper(name).map(model))
            answers.append(device.run(given, 50 * STEP_NS))
    assert answers[0].spikes["output"].tobytes() == answers[1].spikes["output"].tobytes()
    assert answers[0].stats["dropped"].tolist() == [0]
    assert not answers[0].intervals.size


def test_it_vouches_for_an_answer_that_it_gives(mutants):
    (vector,) = evidence("faithful").vectors
    with hal.open("faithful") as chip:
        chip.load(hal.mapper("faithful").map(vector.model))
        recording = chip.run(vector.stimulus, vector.duration_ns)
    assert vector.spikes["output"].size
    assert np.array_equal(recording.spikes["output"], vector.spikes["output"])
