"""Many samples at once: what the loop of reset and run gives, however many threads there are, and what comes after."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import hal
from hal import nodes
from hal.device import Reset
from hal.events import EventBatch, Probe
from hal.recording import BatchRecording
from hal_brainscales2.device import BrainScaleS2Device

END = 40_000
PER_SPIKE = [Probe("n0", "spike_s"), Probe("n0", "spike_i")]
WEIGHTS = [[6.0, 1.0, -2.0], [1.5, 5.0, 0.5]]


@pytest.fixture(scope="module")
def mapping(cuba: Any) -> Any:
    return cuba.map(WEIGHTS, record=["n0", *PER_SPIKE])


def samples(size: int = 5, seed: int = 0) -> list[Any]:
    """The first has no event."""
    random = np.random.default_rng(seed)
    return [hal.events(np.sort(random.integers(0, END, 12 * b)), random.integers(0, 3, 12 * b)) for b in range(size)]


def told(recording: Any) -> dict[str, Any]:
    """All of a run that can be compared; columns without rows have no width of their own."""
    out: dict[str, Any] = {name: events.tolist() for name, events in recording.spikes.items()}
    out |= {key: (trace.t.tolist(), trace.values.tolist()) for key, trace in recording.traces.items()}
    out |= {key: (signal.t.tolist(), signal.values.tolist()) for key, signal in recording.signals.items()}
    out |= {key: values.tolist() for key, values in recording.stats.items()}
    out |= {name: events.tolist() for name, events in recording.stimulus.items()}
    out["intervals"] = recording.intervals.tolist()
    out["notes"] = [str(finding) for finding in recording.diagnostics]
    out["run"] = recording.header.run, recording.status, recording.t0_ns, recording.header.duration_ns
    return out


def looped(device: Any, column: Any, duration_ns: int = END) -> Any:
    recordings = []
    for sample in column:
        device.reset(Reset.STATE)
        recordings.append(device.run({"in": sample}, duration_ns))
    return BatchRecording.of(recordings)


def same(cuba: Any, mapping: Any, preset: str, column: Any = None, workers: int = 1, **options: Any) -> list[Any]:
    """What a batch told, after it was found to be what the loop tells; and so is the run after it."""
    column = samples() if column is None else column
    with cuba.open(mapping, preset, **options) as device:
        expected = [told(run) for run in looped(device, column)]
        after = told(device.run({"in": samples()[2]}, END))
    with cuba.open(mapping, preset, **options) as device:
        found = [told(run) for run in device.run_batch({"in": column}, END, workers=workers)]
        assert found == expected
        assert told(device.run({"in": samples()[2]}, END)) == after
        assert device.run_number == len(column) + 1
    return found


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of every batch: whether it was run at once."""
    seen: list[bool] = []
    inner = BrainScaleS2Device._run_batch

    def outer(self: Any, *arguments: Any) -> Any:
        done = inner(self, *arguments)
        seen.append(done is not None)
        return done

    monkeypatch.setattr(BrainScaleS2Device, "_run_batch", outer)
    return seen


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("preset", ["ideal", "chip", "mock"])
def test_a_batch_is_the_loop(cuba: Any, mapping: Any, preset: str, workers: int, at_once: list[bool]) -> None:
    found = same(cuba, mapping, preset, workers=workers, seed=3)
    assert at_once == [True]
    assert sum(len(run["n0"]) for run in found) > 50
    assert (len(found[1]["notes"]) > 0) is (preset != "ideal")


@pytest.mark.parametrize(
    "options",
    [
        {"offset_s": 2e-6},
        {"offset_s": -2e-6},
        {"offset_s": 3e-7, "jitter_s": 2e-6},
        {"stamps": False, "jitter_s": 1e-6},
        {"link_event_s": 1e-6},
        {"saturation": 3.0, "clipping": True},
        {"adc": True, "clipping": False},
    ],
    ids=str,
)
def test_a_batch_is_the_loop_whatever_the_options(
    cuba: Any, mapping: Any, options: dict[str, Any], at_once: list[bool]
) -> None:
    same(cuba, mapping, "chip", workers=2, **options)
    assert at_once == [True]


@pytest.mark.parametrize("probe", [Probe("n0", "v", every_ns=700), Probe("n0", "v_cadc"), Probe("n0", "v", (1,), 900)])
def test_a_batch_with_membranes_is_the_loop(cuba: Any, probe: Probe, at_once: list[bool]) -> None:
    found = same(cuba, cuba.map(WEIGHTS, record=["n0", *PER_SPIKE, probe]), "mock")
    assert at_once == [False]
    assert all(len(run["n0", probe.variable][0]) > 0 for run in found)


def test_a_batch_of_readouts_is_the_loop(cuba: Any, at_once: list[bool]) -> None:
    model = cuba.model(WEIGHTS, last=nodes.CubaLI, dt_ns=1_000)
    mapping = hal.mapper("brainscales2").map(model, {"readout": "chip", "speedup": 1.0})
    found = same(cuba, mapping, "chip")
    assert at_once == [False]
    assert np.abs(found[4]["out"][1]).max() > 0.1


def test_a_batch_of_no_time_is_the_loop(cuba: Any, mapping: Any) -> None:
    none = hal.events([], [])
    with cuba.open(mapping, "mock") as first, cuba.open(mapping, "mock") as second:
        expected = [told(run) for run in looped(first, [none] * 2, 0)]
        assert [told(run) for run in second.run_batch({"in": [none] * 2}, 0)] == expected


def test_a_batch_of_a_net_with_feedback_is_the_loop(cuba: Any, at_once: list[bool]) -> None:
    model = cuba.model(WEIGHTS)
    back = nodes.Linear(name="back", input_shape=(2,), output_shape=(2,), weight=np.array([[0.0, 3.0], [-2.0, 0.0]]))
    edges = [*model.edges, ("n0", "back"), ("back", "n0")]
    model = hal.Model.of({**model.nodes, "back": back}, edges, model.semantics)
    mapping = hal.mapper("brainscales2").map(model, record=["n0", *PER_SPIKE])
    same(cuba, mapping, "mock", workers=2)
    assert at_once == [True]


def test_a_batch_of_several_inputs_is_the_loop(cuba: Any, at_once: list[bool]) -> None:
    model = cuba.model(WEIGHTS)
    more = nodes.Input(name="more", input_shape=(2,), output_shape=(2,))
    weigh = nodes.Linear(name="weigh", input_shape=(2,), output_shape=(2,), weight=np.array([[3.0, 0.0], [1.0, 4.0]]))
    edges = [*model.edges, ("more", "weigh"), ("weigh", "n0")]
    model = hal.Model.of({**model.nodes, "more": more, "weigh": weigh}, edges, model.semantics)
    mapping = hal.mapper("brainscales2").map(model, record=["n0", "more", *PER_SPIKE])
    first, second = samples(), [hal.events(s["t"], s["index"] % 2) for s in samples(seed=1)]
    with cuba.open(mapping, "chip") as device:
        recordings = []
        for a, b in zip(first, second, strict=True):
            device.reset(Reset.STATE)
            recordings.append(device.run({"in": a, "more": b}, END))
        device.reset(Reset.LOADED)
        batch = device.run_batch({"more": second, "in": EventBatch.of(first)}, END)
    assert at_once == [True]
    for found, expected in zip(batch, recordings, strict=True):
        # numbers of runs went on
        assert told(found) | {"run": 0} == told(expected) | {"run": 0}


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), max_size=9), min_size=1, max_size=3),
    st.integers(1, 4),
    st.sampled_from([8e-9, 1.6e-8, 1e-7]),
)
@example([[(0, 0)] * 3], 1, 8e-9)
@example([[(0, 0)] * 2], 1, 8e-9)
def test_a_batch_loses_on_the_link_what_the_loop_loses(
    cuba: Any, mapping: Any, rows: list[Any], capacity: int, service: float
) -> None:
    column = [hal.events(*(np.array(sorted(sample), np.int64).reshape(-1, 2) * [8, 1]).T) for sample in rows]
    found = same(cuba, mapping, "chip", column, link_capacity=capacity, link_event_s=service)
    for run, sample in zip(found, column, strict=True):
        assert run["events_in"][0] == sample.size
        assert (len(run["intervals"]) > 0) is (sum(run["dropped"]) > 0)


def test_events_of_one_time_take_the_link_in_the_order_of_their_channels(
    cuba: Any, mapping: Any, at_once: list[bool]
) -> None:
    column = [hal.events([0] * 6 + [2_000] * 3, [2, 0, 1, 0, 2, 0, 1, 2, 0])]
    mixed = same(cuba, mapping, "ideal", column, link_event_s=1e-6)
    in_order = same(cuba, mapping, "ideal", [np.sort(column[0], order=["t", "index"])], link_event_s=1e-6)
    assert at_once == [True, True]
    for run in (*mixed, *in_order):
        run.pop("in")
    assert mixed == in_order
    assert len(mixed[0]["n0"]) > 3


@pytest.mark.parametrize("capacity", [1, 7, 8, 9, 10])
def test_a_batch_loses_spikes_on_the_link_where_the_loop_does(cuba: Any, capacity: int, at_once: list[bool]) -> None:
    mapping = cuba.map(np.full((10, 3), 6.0), record=["n0", *PER_SPIKE], options={"refractory_s": {"n0": 30e-6}})
    column = [hal.events([0], [0]), hal.events([], [])]
    found = same(cuba, mapping, "chip", column, link_capacity=capacity)
    fits = capacity + 1 >= 10
    assert at_once == [fits]
    assert found[0]["dropped"][1] == (0 if fits else 10 - capacity - 1)


def test_a_batch_with_sources_on_the_chip_is_the_loop(cuba: Any, mapping: Any, at_once: list[bool]) -> None:
    config = mapping.config
    on = np.zeros(8, np.bool_)
    on[0] = True
    period = np.full(8, 2_500, config.background.period.dtype)
    busy = mapping.with_config(attrs.evolve(config, background=attrs.evolve(config.background, on=on, period=period)))
    same(cuba, busy, "chip")
    assert at_once == [False]


def test_neurons_that_the_host_does_not_hear_are_counted_all_the_same(cuba: Any, mapping: Any) -> None:
    deaf = mapping.with_config(unheard(mapping.config))
    found = same(cuba, deaf, "mock")
    heard = same(cuba, mapping, "mock")
    assert [run["events_out"] for run in found] == [run["events_out"] for run in heard]
    assert [run["synops"] for run in found] == [run["synops"] for run in heard]
    assert all(run["n0"] == [] == run["n0", "spike_s"][0] for run in found)
    assert sum(sum(run["pending"]) for run in found) == 0


def unheard(config: Any) -> Any:
    """With nodes of the crossbar towards the host that let nothing through."""
    routing = config.routing
    mask, target = routing.crossbar_mask.copy(), routing.crossbar_target.copy()
    mask[:, 8:], target[:, 8:] = 0, 1
    return attrs.evolve(config, routing=attrs.evolve(routing, crossbar_mask=mask, crossbar_target=target))
