"""What the chip does, by hand: add one test for every sentence of the data sheet."""

from itertools import pairwise
from typing import Any

import hal
import numpy as np
import pytest
from hal import nodes

from hal_mychip.config import CHANNELS, NEURONS

MS = 1_000_000


def net(weight: list[list[float]], **semantics: object) -> hal.Model:
    """Channels, a dense layer, IF neurons with a threshold of 6."""
    array = np.array(weight)
    (out, into) = array.shape
    ones = np.ones(out)
    parts: list[nodes.Node] = [
        nodes.Input(name="input", input_shape=(into,), output_shape=(into,)),
        nodes.Linear(name="fc", input_shape=(into,), output_shape=(out,), weight=array),
        nodes.IF(name="cells", input_shape=(out,), output_shape=(out,), r=ones, v_threshold=6 * ones, v_reset=0 * ones),
        nodes.Output(name="output", input_shape=(out,), output_shape=(out,)),
    ]
    rules = {"dt_ns": MS, "gain": "one", "compare": ">=", **semantics}
    edges = [(a.name, b.name) for a, b in pairwise(parts)]
    return hal.Model.of({part.name: part for part in parts}, edges, hal.Semantics.from_json(rules))


def answer(mapping: hal.Mapping, stimulus: list[tuple[int, int]], steps: int = 10, **options: Any) -> hal.Recording:
    """A run of so many steps; stimulus: (step, channel)."""
    t, channel = np.array(stimulus).T
    with hal.open("mychip", **options) as chip:
        chip.load(mapping)
        return chip.run({"input": hal.events(t * MS, channel)}, steps * MS)


# region: example
def test_two_events_of_half_the_threshold_make_a_spike() -> None:
    mapping = hal.mapper("mychip").map(net([[3.0, 0.0], [0.0, 6.0]]))
    recording = answer(mapping, [(0, 0), (2, 1), (4, 0)])
    assert recording.spikes["output"].tolist() == [(2 * MS, 1), (4 * MS, 0)]
    assert recording.stats["synops"].tolist() == [3, 0, 0, 0]


# endregion


@pytest.mark.parametrize(("compare", "spikes"), [(">=", 1), (">", 0)])
def test_both_comparisons_are_exact(compare: str, spikes: int) -> None:
    mapping = hal.mapper("mychip").map(net([[6.0]], compare=compare))
    assert answer(mapping, [(0, 0)]).event_count("output") == spikes


def test_what_the_threshold_leaves_stays() -> None:
    mapping = hal.mapper("mychip").map(net([[9.0]], spike_reset="subtract"))
    assert answer(mapping, [(0, 0), (3, 0)]).spikes["output"]["t"].tolist() == [0, 3 * MS, 4 * MS]


def test_weights_are_rounded_and_every_change_is_listed() -> None:
    mapping = hal.mapper("mychip").map(net([[100.3, 0.1]]))
    assert mapping.realised["fc", "weight"].tolist() == [100.0, 0.0]
    assert [row[:4] for row in mapping.losses] == [("fc", "weight", 0, 100.3), ("fc", "weight", 1, 0.1)]


def test_events_above_the_limit_are_dropped_and_counted() -> None:
    mapping = hal.mapper("mychip").map(net([[6.0, 0.0], [0.0, 6.0]]))
    recording = answer(mapping, [(1, 0), (1, 0), (1, 1), (2, 1)], events_per_step=2)
    assert recording.spikes["output"].tolist() == [(MS, 0), (2 * MS, 1)]
    assert (recording.stats["events_in"].sum(), recording.stats["dropped"].sum()) == (3, 1)
    assert "dropped" in recording.diagnostics[0].reason


def test_all_reasons_at_once() -> None:
    report = hal.mapper("mychip").check(net(np.ones((NEURONS + 1, CHANNELS + 1)).tolist(), spikes_per_step="many"))
    assert [row.resource for row in report.rows if not row.ok] == ["neurons", "synapses", "channels"]
    assert [(finding.node, finding.field) for finding in report.refused] == [("cells", "spikes_per_step")]


@pytest.mark.parametrize(("rate", "fits"), [(64_000, True), (65_000, False)])
def test_rates_are_checked_against_the_events_per_step(rate: float, fits: bool) -> None:
    assert hal.mapper("mychip").check(net([[6.0]]), rates_hz={"input": rate}).fits == fits
