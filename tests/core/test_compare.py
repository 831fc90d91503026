"""One model on several devices: what is said of each, against numbers worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hal
from hal import measures, registry
from hal.agreement import agreement
from hal.comparepage import page
from hal.samples import Samples, read_labels, samples

MS = 1_000_000


def spoken(t: list[int], index: list[int]) -> Any:
    return hal.events(np.array(t, np.int64), np.array(index, np.int64))


@pytest.fixture(scope="module")
def relay(net: Any) -> hal.Model:
    """Three inputs, each wired to one IF neuron that fires at every event, in steps of 1 ms."""
    return net.relay(3, dt_ns=MS, spike_reset="value")


@pytest.fixture
def two() -> Any:
    """Two samples: most events on channel 2, then channels 0 and 1 alike with 1 first."""
    return hal.EventBatch.of([spoken([0, MS, 2 * MS], [0, 2, 2]), spoken([MS, 3 * MS], [1, 0])])


# --- one model on several devices -------------------------------------------------------------------------------------


def test_what_agrees_agrees_everywhere(relay: hal.Model, two: Any) -> None:
    found = hal.compare(relay, {"input": two}, devices=["loihi", "speck2f"], labels=[2, 1], duration_ns=8 * MS)
    assert [result.verdict for result in found.devices] == ["runs", "runs"]
    assert (found.samples, found.events, found.classes, found.duration_ns) == (2, 5, 2, 8 * MS)
    for result in (found.reference, *found.devices):
        assert result.predictions is not None
        assert result.predictions.tolist() == [2, 1]
        assert result.accuracy == 1.0
        assert [(layer.node, layer.neurons, layer.spikes) for layer in result.layers] == [("cells", 3, 5)]
        assert result.statuses == {"ok": 2}
    for result in found.devices:
        assert (result.agreement(), result.agreement("realised"), result.first()) == (1.0, 1.0, None)
        assert result.same_class == 1.0
        assert result.quantisation == {"fc": 0.0}
        assert (result.cores, result.stats["dropped"]) == (1, 0)
        assert all(one.share <= 1 for one in result.memory)
    assert found["loihi"].window_ns == 0
    assert found["speck2f"].window_ns == MS
    assert {one.resource for one in found["speck2f"].memory} >= {"cores", "kernel memory"}
    with pytest.raises(KeyError):
        found["dynapse2"]


def test_a_refusal_is_every_reason_and_a_word_lifts_it(net: Any, two: Any) -> None:
    model = net.relay(3, dt_ns=MS)
    found = hal.compare(model, {"input": two}, devices=["loihi", "dynapse2"])
    loihi, dynapse2 = found.devices
    assert (loihi.verdict, dynapse2.verdict) == ("does not fit", "does not fit")
    assert loihi.reasons == [str(problem) for problem in hal.mapper("loihi").check(model).problems()]
    assert any("spike_reset" in reason for reason in loihi.reasons)
    assert (loihi.layers, loihi.accuracy, loihi.agreement()) == ((), None, None)
    own = hal.compare(model, {"input": two}, devices=["loihi"], options={"loihi": {"approximate": ["reset"]}})
    assert own["loihi"].verdict == "runs"
    allowed = hal.compare(model, {"input": two}, devices=["loihi", "dynapse2"], approximate=["reset"])
    assert allowed["loihi"].verdict == "runs"
    assert allowed["loihi"].options["approximate"] == ["reset"]
    assert any(f.field == "spike_reset" for f in allowed["loihi"].report.changed)
    assert allowed["dynapse2"].verdict == "does not fit"


def test_a_device_that_breaks_is_a_row_and_the_others_go_on(relay: hal.Model, two: Any, toys: Any) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("smoke")

    toys.add("smoking", device=broken)
    toys.add("mapless", mapper=broken)
    found = hal.compare(relay, {"input": two}, devices=["smoking", "mapless", "loihi"])
    assert [result.verdict for result in found.devices] == ["failed", "failed", "runs"]
    assert all("smoke" in result.error for result in found.devices[:2])
    assert found["smoking"].report is not None
    assert found["mapless"].report is None
    assert "smoke" in found["smoking"].to_json()["reasons"][0]


def test_a_sample_that_breaks_off_is_told(relay: hal.Model, two: Any, toys: Any) -> None:
    toys.add("toy")
    found = hal.compare(relay, {"input": two}, devices=["toy"], open_options={"toy": {"fail_index": 2}})
    (toy,) = found.devices
    assert toy.error == ""
    assert toy.statuses == {"untrusted": 1, "ok": 1}
    assert list(toy.diagnostics.values()) == [1]


def test_parts_of_a_run_are_the_batch(relay: hal.Model) -> None:
    said: list[tuple[str, str, int, int]] = []
    column = hal.EventBatch.of([spoken([k * MS], [k % 3]) for k in range(45)])
    found = hal.compare(relay, {"input": column}, devices=["speck2f"], progress=lambda *a: said.append(a))
    assert found["speck2f"].predictions.tolist() == [k % 3 for k in range(45)]
    runs = [done for device, what, done, total in said if (device, what, total) == ("speck2f", "run", 45)]
    assert runs == list(range(0, 45, 3))


def test_values_that_come_out_are_compared(net: Any) -> None:
    model = net.readout(2, dt_ns=MS, spike_reset="value")
    found = hal.compare(model, {"input": spoken([0, MS], [0, 1])}, devices=["loihi"], duration_ns=20 * MS)
    assert found.reference.signals == {}
    assert set(found["loihi"].signals) == {"output"}
    assert 0 <= found["loihi"].signals["output"] < 1
    assert found["loihi"].predictions is None


def test_without_a_step_clocked_devices_say_so(net: Any) -> None:
    found = hal.compare(net.relay(2, dt_ns=None), {"input": spoken([0], [1])}, devices=["loihi", "speck2f"])
    assert "the length of a step" in found["loihi"].reasons[0]
    assert found["speck2f"].verdict == "runs"


def test_the_default_is_every_device_but_ideal(relay: hal.Model) -> None:
    found = hal.compare(relay, {"input": spoken([0], [1])})
    names = [listing.name for listing in hal.devices()]
    assert [result.device for result in found.devices] == [name for name in names if name != "ideal"]
    assert found.reference.device == "ideal"
    assert not [result.error for result in found.devices if result.error]


def test_the_document_and_the_page_hold_the_numbers(relay: hal.Model, two: Any) -> None:
    found = hal.compare(relay, {"input": two}, devices=["loihi", "dynapse2"], labels=[2, 0])
    document = json.loads(json.dumps(found.to_json()))
    assert document["labels"] == [2, 0]
    assert [row["verdict"] for row in document["devices"]] == ["runs", "does not fit"]
    loihi = document["devices"][0]
    assert (loihi["accuracy"], loihi["agreement_given"], loihi["first_given"]) == (0.5, 1.0, None)
    assert loihi["layers"][0]["given"]["share"] == 1.0
    html = page(attrs.evolve(found, model="<b>net</b>.nir"))
    assert "&lt;b&gt;net&lt;/b&gt;.nir" in html
    assert "<b>net" not in html
    assert html.count("<h3>") == 3
    assert "http" not in html
    assert "<script" not in html
    for reason in found["dynapse2"].reasons:
        assert reason.split(";")[0].replace("'", "&#x27;") in html


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({"read": "loudest"}, "read"),
        ({"window_ns": -1}, "window"),
        ({"approximate": ["magic"]}, "magic"),
        ({"options": {"dynapse2": {}}}, "not compared"),
        ({"open_options": {"dynapse2": {}}}, "not compared"),
        ({"labels": [1, 2]}, "one label for each sample"),
        ({"labels": [-1]}, ">= 0"),
        ({"labels": [0.5]}, "integers"),
        ({"duration_ns": 1}, "after their end"),
        ({"duration_ns": 2 * MS + 1}, "that long"),
    ],
)
def test_wrong_arguments(relay: hal.Model, what: dict[str, Any], says: str) -> None:
    with pytest.raises(hal.ConfigError, match=says):
        hal.compare(relay, {"input": spoken([MS], [1])}, devices=["loihi"], **what)


def two_of(batch: Any) -> Samples:
    return Samples(stimuli={"input": batch}, duration_ns=5 * MS)


def test_everything_may_be_a_file(two: Any, tmp_path: Any) -> None:
    shipped = Path(__file__).parents[2] / "examples" / "models" / "digits_cuba"
    np.save(tmp_path / "labels.npy", [2, 0])
    np.savez(tmp_path / "set.npz", t=two.events["t"], index=two.events["index"], splits=two.splits)
    found = hal.compare(
        f"{shipped}.nir", tmp_path / "set.npz", devices=[], labels=tmp_path / "labels.npy",
        semantics=f"{shipped}.semantics.json",
    )  # fmt: skip
    assert found.labels is not None
    assert (found.labels.tolist(), found.model, found.devices) == ([2, 0], f"{shipped}.nir", ())
    again = hal.compare(
        hal.read_model(f"{shipped}.nir", semantics="nir"), two_of(two), devices=[], semantics="rockpool"
    )
    assert again.semantics["profile"] == "rockpool"


def test_ideal_beside_itself(relay: hal.Model, two: Any) -> None:
    (ideal,) = hal.compare(relay, {"input": two}, devices=["ideal"]).devices
    assert (ideal.agreement(), ideal.agreement("realised"), ideal.first()) == (1.0, 1.0, None)


def test_an_unknown_device_is_refused(relay: hal.Model) -> None:
    with pytest.raises(hal.PluginError, match="speck9"):
        hal.compare(relay, {"input": spoken([0], [1])}, devices=["speck9"])


# --- measures ---------------------------------------------------------------------------------------------------------


def test_the_error_of_weights(net: Any) -> None:
    model = net.chain(
        net.input("input", 2), net.linear("a", [[3.0, 4.0]]), net.spiking("one", 1), net.linear("b", [[0.01]]),
        net.spiking("two", 1), net.output("output", 1), dt_ns=MS, spike_reset="value",
    )  # fmt: skip
    mapping = hal.mapper("ideal").map(model)
    told = {("a", "weight"): np.array([[3.0, 3.5]]), ("b", "weight"): np.array([[0.0]]), ("one", "v_threshold"): [9]}
    by_node, overall = measures.quantisation(attrs.evolve(mapping, realised=told))
    # rms of (0, 0.5) over rms of (3, 4); all of it lost; and both, by their numbers of weights
    assert by_node == {"a": pytest.approx(0.1), "b": pytest.approx(1.0)}
    assert overall == pytest.approx(math.sqrt((2 * 0.1**2 + 1) / 3))
    assert measures.quantisation(attrs.evolve(mapping, realised={})) == ({}, None)


def batch(runs: list[Any], duration_ns: int = 10, size: int = 3) -> Any:
    header = SimpleNamespace(nodes={"cells": (size,)})
    return SimpleNamespace(
        spikes={"cells": hal.EventBatch.of(runs)}, duration_ns=duration_ns, header=header, signals={}
    )


def test_samples_are_matched_one_by_one_and_late_devices_are_not_punished() -> None:
    wanted = batch([spoken([0, 9], [0, 1]), spoken([2, 5], [1, 2])])
    late = SimpleNamespace(latency_ns={"cells": 2})
    # the spike at 9 would come at 11, after the end; neuron 2 of the second sample is missing, and 0 is too many
    mine = batch([spoken([2], [0]), spoken([3, 4], [0, 1])])
    found = measures.match(late, mine, wanted, "cells", window_ns=0)
    assert (found.matched, found.spikes, found.reference, found.count_error) == (2, 3, 3, 1)
    assert (found.first.sample, found.first.t_ns, found.first.index) == (1, 1, 0)
    assert found.share == pytest.approx(4 / 6)
    assert measures.match(late, mine, SimpleNamespace(spikes={}), "cells", window_ns=0) is None


def test_a_window_never_reaches_into_the_next_sample() -> None:
    end, begin = batch([spoken([9], [0]), spoken([], [])]), batch([spoken([], []), spoken([0], [0])])
    found = measures.match(SimpleNamespace(latency_ns={}), end, begin, "cells", window_ns=9)
    assert found.matched == 0


@pytest.mark.parametrize(
    ("runs", "count", "first"),
    [
        ([([0, 1, 2], [0, 2, 2])], 2, 0),
        ([([1, 3], [1, 0])], 1, 1),
        ([([1, 1], [1, 0])], -1, -1),
        ([([1, 1, 2], [1, 0, 0])], 0, 0),
        ([([], [])], -1, -1),
    ],
)
def test_how_a_class_is_read(runs: list[Any], count: int, first: int) -> None:
    model = SimpleNamespace(outputs=("cells",), nodes={"cells": SimpleNamespace(size=3)})
    seen = batch([spoken(*run) for run in runs])
    assert measures.predictions(model, seen, "count").tolist() == [count]
    assert measures.predictions(model, seen, "first").tolist() == [first]


def test_the_class_of_values() -> None:
    model = SimpleNamespace(outputs=("out",), nodes={"out": SimpleNamespace(size=2)})
    seen = SimpleNamespace(signals={"out": np.array([[[1.0, 0.0], [1.0, 1.5]], [[1.0, 1.0], [0.0, 0.0]]])}, spikes={})
    assert measures.predictions(model, seen, "count").tolist() == [0, -1]
    assert measures.predictions(model, seen, "first").tolist() == [1, -1]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), max_size=12),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), max_size=12),
    st.integers(0, 4),
)
def test_the_metric_is_a_largest_matching(a: list[Any], b: list[Any], window: int) -> None:
    found = agreement(spoken(*_columns(a)), spoken(*_columns(b)), 3, window_ns=window)
    assert found.matched == sum(
        _largest([t for t, n in a if n == neuron], [t for t, n in b if n == neuron], window) for neuron in range(3)
    )


def _columns(rows: list[Any]) -> tuple[list[int], list[int]]:
    return [t for t, _ in sorted(rows)], [n for _, n in sorted(rows)]


def _largest(a: list[int], b: list[int], window: int) -> int:
    """Augmenting paths: slow, and of no order."""
    partner: dict[int, int] = {}

    def find(i: int, tried: set[int]) -> bool:
        for j, t in enumerate(b):
            if abs(a[i] - t) <= window and j not in tried:
                tried.add(j)
                if j not in partner or find(partner[j], tried):
                    partner[j] = i
                    return True
        return False

    return sum(find(i, set()) for i in range(len(a)))


# --- samples ----------------------------------------------------------------------------------------------------------


def test_samples_of_every_form(relay: hal.Model, tmp_path: Any) -> None:
    rows = np.zeros((2, 4, 3), np.int8)
    rows[0, 1, 2], rows[1, 3, 0] = 2, 1
    wanted = [spoken([MS, MS], [2, 2]), spoken([3 * MS], [0])]
    joined = hal.EventBatch.of(wanted)
    np.savez(
        tmp_path / "set.npz", t=joined.events["t"], index=joined.events["index"], splits=joined.splits, labels=[2, 0]
    )
    np.savez(tmp_path / "rows.npz", rows=rows, labels=[2, 0])
    np.save(tmp_path / "rows.npy", rows)
    forms = [joined, rows, list(rows), tmp_path / "set.npz", tmp_path / "rows.npz", str(tmp_path / "rows.npy")]
    for form in forms:
        made = samples({"input": form}, relay)
        assert [made.stimuli["input"][b].tolist() for b in range(2)] == [one.tolist() for one in wanted]
        assert made.events == 3
    assert samples(tmp_path / "set.npz", relay).labels.tolist() == [2, 0]
    assert samples(tmp_path / "rows.npz", relay).duration_ns == 4 * MS
    # the last event at 3 ms, rounded up to a step, plus one
    assert samples({"input": joined}, relay).duration_ns == 4 * MS
    again = samples(samples({"input": joined}, relay), relay, labels=[0, 1], duration_ns=9 * MS)
    assert (again.duration_ns, again.labels.tolist(), len(again)) == (9 * MS, [0, 1], 2)
    one = samples({"input": wanted[0]}, relay)
    assert len(one) == 1


def test_signals_are_samples_too(net: Any) -> None:
    model = net.encoder(2, dt_ns=MS)
    for form in (np.ones((3, 5, 2)), [hal.Signal.sampled(np.ones((5, 2)), MS)] * 3):
        made = samples({"input": form}, model, duration_ns=5 * MS)
        assert (len(made), made.events) == (3, 0)
        assert made.part(1, 3)["input"][0].values.tolist() == [[1.0, 1.0]] * 5


def test_an_input_that_is_left_out_is_silent(net: Any) -> None:
    model = net.model(
        [net.input("a", 1), net.input("b", 1), net.linear("fa", [[1.0]]), net.linear("fb", [[1.0]]),
         net.spiking("cells", 1), net.output("output", 1)],
        [("a", "fa"), ("b", "fb"), ("fa", "cells"), ("fb", "cells"), ("cells", "output")],
    )  # fmt: skip
    made = samples({"a": [spoken([0], [0])] * 2}, model)
    assert [len(made.stimuli["b"][b]) for b in range(2)] == [0, 0]
    with pytest.raises(hal.ConfigError, match="several Inputs"):
        samples("file.npz", model)
    with pytest.raises(hal.ConfigError, match="same number of samples"):
        samples({"a": [spoken([0], [0])] * 2, "b": spoken([0], [0])}, model)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({}, "Inputs"),
        ({"nothing": np.zeros((2, 3))}, "no such Input"),
        ({"input": 3}, "no samples"),
        ({"input": np.zeros((2, 4))}, "no rows"),
        ({"input": np.full((2, 3), 0.5)}, "integer|whole|counts"),
        ({"input": []}, "at least one"),
        (7, "a path, or values by Input"),
    ],
)
def test_what_is_no_sample(relay: hal.Model, value: Any, says: str) -> None:
    with pytest.raises(hal.ConfigError, match=says):
        samples(value, relay)


@pytest.mark.parametrize("splits", [[0, 1], [1, 2], [0, 2, 1, 2], [0], [[0, 2]], [0.0, 2.0]])
def test_splits_that_are_none(relay: hal.Model, tmp_path: Any, splits: Any) -> None:
    np.savez(tmp_path / "set.npz", t=[0, 1], index=[0, 1], splits=splits)
    with pytest.raises(hal.FormatError, match="splits must rise"):
        samples(tmp_path / "set.npz", relay)


def test_a_file_that_is_no_archive(relay: hal.Model, tmp_path: Any) -> None:
    (tmp_path / "set.npz").write_bytes(b"PK no")
    with pytest.raises(hal.FormatError, match="cannot be read"):
        samples(tmp_path / "set.npz", relay)


def test_rows_need_a_step(net: Any) -> None:
    with pytest.raises(hal.ConfigError, match="rows need a step"):
        samples({"input": np.zeros((2, 3))}, net.relay(3, dt_ns=None))


def test_labels_from_files(tmp_path: Any) -> None:
    np.save(tmp_path / "l.npy", [1, 2])
    np.savez(tmp_path / "l.npz", labels=[1, 2])
    (tmp_path / "l.txt").write_text("1\n2\n")
    (tmp_path / "l.csv").write_text("1, 2\n")
    for name in ("l.npy", "l.npz", "l.txt", "l.csv"):
        assert read_labels(tmp_path / name).tolist() == [1, 2]
    np.savez(tmp_path / "other.npz", classes=[1])
    (tmp_path / "words.txt").write_text("one\n")
    for name, says in (
        ("other.npz", "no array 'labels'"),
        ("words.txt", "holds no labels"),
        ("gone", "does not exist"),
    ):
        with pytest.raises(hal.FormatError, match=says):
            read_labels(tmp_path / name)


def test_the_stimulus_of_a_recording(relay: hal.Model, tmp_path: Any) -> None:
    with hal.open("speck2f") as chip:
        chip.load(hal.mapper("speck2f").map(relay))
        chip.run({"input": spoken([0, MS], [0, 2])}, 7 * MS, to=tmp_path / "rec")
    made = samples(tmp_path / "rec", relay)
    assert (made.duration_ns, made.stimuli["input"][0]["index"].tolist()) == (7 * MS, [0, 2])


def test_a_set_is_plain_data(relay: hal.Model, two: Any) -> None:
    made = Samples(stimuli={"input": two}, duration_ns=5 * MS)
    assert hal.compare(relay, made, devices=["loihi"]).duration_ns == 5 * MS
    assert registry.spec("loihi").name == "loihi"


def test_a_device_that_takes_too_long_is_told(relay: hal.Model, two: Any, toys: Any) -> None:
    toys.add("slow")
    slow = {"slow": {"slow_s": 0.05}}
    found = hal.compare(relay, {"input": two}, devices=["slow", "speck2f"], open_options=slow, timeout_s=0.2)
    assert [result.verdict for result in found.devices] == ["failed", "runs"]
    assert found["slow"].error == "the samples took longer than 0.2 s of wall time"
