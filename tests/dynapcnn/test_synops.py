"""Synaptic operations at given and at measured rates: against the emulator's count, limits, hints, what is unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hal
from hal.errors import ConfigError, DoesNotFitError
from hal.fit import FitReport, FitRow
from hal.model import Model
from hal_dynapcnn import chips, synops


def check(model: Model, rates: Any, device: str = "speck2f", **options: Any) -> FitReport:
    return hal.mapper(device).check(model, options, rates_hz=rates)


def loads(report: FitReport) -> dict[str, FitRow]:
    return {row.node: row for row in report.rows if row.when == "run"}


def two(chain: Any) -> Model:
    """a: 3 features, kernel 3, stride 2 in x; pooled by 2; b: 5 features, kernel 2, stride 2."""
    made = chain(2, 12, 24).conv(np.ones((3, 2, 3, 3)), "wa", stride=(1, 2), padding=1).fire(9, "a").pool(2, "p")
    return made.conv(np.ones((5, 3, 2, 2)), "wb", stride=2).fire(9, "b").model()  # type: ignore[no-any-return]


# --- the estimate -----------------------------------------------------------------------------------------------------


def test_events_times_features_times_kernel_over_stride(chain: Any) -> None:
    report = check(two(chain), {"input": 20e3, "a": 7e3})
    rows = loads(report)
    # 20 kHz * 3 * 3 * 3 / (1 * 2); every spike of a arrives, pooled or not: 7 kHz * 5 * 2 * 2 / (2 * 2)
    assert (rows["a"].needed, rows["b"].needed) == (270e3, 35e3)
    assert [(row.resource, row.unit, row.place) for row in rows.values()] == [
        ("synops/s", "synops/s", "core 0"),
        ("synops/s", "synops/s", "core 1"),
    ]
    assert report.fits
    assert not any(finding.field == "synops/s" for finding in report.findings)


@settings(max_examples=25, deadline=None)
@given(
    features=st.integers(1, 4),
    kernel=st.integers(1, 5),
    stride=st.tuples(st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4])),
    padding=st.integers(0, 2),
    periods=st.tuples(st.integers(1, 2), st.integers(1, 2)),
)
def test_away_from_the_edges_the_emulator_counts_the_same(
    features: int,
    kernel: int,
    stride: tuple[int, int],
    padding: int,
    periods: tuple[int, int],
    speck: Any,
    chain: Any,
) -> None:
    weights = np.ones((features, 1, kernel, kernel))
    model = chain(1, 24, 24).conv(weights, "w", stride=stride, padding=padding).fire(20, "n").model()
    # whole periods of the stride: an event alone is worth more or fewer than k / s
    y, x = (8 + np.arange(step * times) for step, times in zip(stride, periods, strict=True))
    recording = speck.run(model, (y[:, None] * 24 + x).ravel())
    row = loads(check(model, recording.rates_hz()))["n"]
    assert row.needed * recording.duration_ns * 1e-9 == pytest.approx(recording.stats["synops"].sum())
    assert recording.stats["synops"].sum() == features * kernel**2 * periods[0] * periods[1]


def test_measured_rates_give_what_every_core_counted_through_pools(speck: Any, chain: Any) -> None:
    made = chain(2, 24, 24).relay("v").fire(1, "a").pool(2, "p")
    model = made.conv(np.ones((3, 2, 3, 3)), "w", padding=1).fire(2, "b").flatten().dense(np.ones((4, 432)), "d")
    model = model.fire(3, "c").model()
    # pooled onto columns and rows 3 to 8 of 12; c is dense: its one place is within every event's reach
    y, x = (axis.ravel() for axis in np.mgrid[6:18, 6:18])
    recording = speck.run(model, np.concatenate([y * 24 + x, 576 + y * 24 + x]))
    rows = loads(check(model, recording.rates_hz()))
    counted = [row.needed * recording.duration_ns * 1e-9 for row in rows.values()]
    assert counted == pytest.approx(recording.stats["synops"][:3].tolist())
    assert counted == pytest.approx([288 * 2, 288 * 27, 4 * recording.event_count("b")])
    assert recording.event_count("b") > 0


def test_the_rates_of_several_sources_add(chain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = two(chain)
    alone = loads(check(model, {"input": 1e3, "a": 7e3}))["b"].needed
    monkeypatch.setattr(synops, "sources", lambda layer: ("a", "input") if layer.population == "b" else ("input",))
    assert loads(check(model, {"input": 1e3, "a": 7e3}))["b"].needed == alone * 8 / 7
    (note,) = [f for f in check(model, {"a": 7e3}).findings if f.field == "synops/s"]
    assert note.reason == "no rate is known of input: nothing is said of the load of a, b"


def test_silence_costs_nothing(chain: Any) -> None:
    assert [row.needed for row in loads(check(two(chain), {"input": 0, "a": 0})).values()] == [0, 0]


# --- what is not known ------------------------------------------------------------------------------------------------


def test_nothing_is_guessed_where_a_rate_is_missing(chain: Any) -> None:
    report = check(two(chain), {"input": 20e3})
    assert loads(report).keys() == {"a"}
    (note,) = [f for f in report.findings if f.field == "synops/s"]
    assert (note.level, note.node) == ("note", "")
    assert note.reason == "no rate is known of a: nothing is said of the load of b"
    assert "--rate-from" in note.hint
    assert report.fits


def test_all_missing_rates_are_in_one_note(chain: Any) -> None:
    report = check(two(chain), {"b": 1e3})
    assert not loads(report)
    (note,) = [f for f in report.findings if f.field == "synops/s"]
    assert note.reason == "no rate is known of input, a: nothing is said of the load of a, b"


def test_without_rates_nothing_is_said(speck: Any, chain: Any) -> None:
    for report in (check(two(chain), None), speck.map(two(chain)).fit):
        assert not loads(report)
        assert not any(finding.field == "synops/s" for finding in report.findings)


def test_layers_without_a_core_are_estimated_without_a_place(chain: Any) -> None:
    model = chain(65, 4, 4).conv(np.ones((64, 65, 4, 4)), "w").fire(1, "n").model()
    report = check(model, {"input": 10.0})
    assert not report.maps
    # a kernel as large as its input: one place
    assert [(row.place, row.needed) for row in loads(report).values()] == [("", 640)]


# --- limits -----------------------------------------------------------------------------------------------------------


def test_the_limit_of_a_core_is_a_named_assumption(chain: Any) -> None:
    at = chips.SYNOPS_PER_S / (3 * 9 / 2)
    assert chips.SYNOPS_PER_S == 1e8
    rows = loads(check(two(chain), {"input": at, "a": 0}))
    assert rows["a"].limit == rows["b"].limit == chips.SYNOPS_PER_S
    report = check(two(chain), {"input": at * 1.01, "a": 0})
    assert (report.fits, report.maps) == (False, True)
    (problem,) = report.problems()
    assert problem.where == "a on core 0"
    assert problem.what == "needs 1.01e+08 synops/s at the given rates"


def test_limits_of_the_user_stand_instead(chain: Any) -> None:
    rates = {"input": 20e3, "a": 7e3}
    for limit, fits in ((270e3, True), (269e3, False), (0, False)):
        report = check(two(chain), rates, synops_limits={"a": limit})
        assert report.fits is fits
        assert {name: row.limit for name, row in loads(report).items()} == {"a": limit, "b": chips.SYNOPS_PER_S}
    assert check(two(chain), {"input": 20e6, "a": 0}, synops_limits={"a": 1e12}).fits


@pytest.mark.parametrize(("name", "node"), [("c", ""), ("input", "input"), ("wa", "wa")])
def test_a_limit_for_what_has_no_core_is_refused(name: str, node: str, speck: Any, chain: Any) -> None:
    found = speck.refused(two(chain), node, "synops_limits", synops_limits={name: 1e6})
    assert found.reason == f"no population {name!r} on the chip"
    assert found.hint == "there are: a, b"
    assert found.wanted == 1e6


def test_a_limit_for_a_population_refused_otherwise_is_no_second_fault(chain: Any) -> None:
    model = chain(1, 2, 2).relay("w").fire(1, "n").relay("v").fire([[[1, 2], [3, 4]]], "m").model()
    report = check(model, None, synops_limits={"m": 1e6, "n": 1e6})
    assert {(f.node, f.field) for f in report.refused} == {("m", "v_threshold")}


@pytest.mark.parametrize("limit", [-1.0, float("inf"), float("nan"), "1e6", None])
def test_what_is_no_limit(limit: Any, chain: Any) -> None:
    with pytest.raises(ConfigError, match="synops_limits"):
        check(two(chain), None, synops_limits={"a": limit})


def test_a_limit_is_about_rates_and_stops_no_mapping(speck: Any, chain: Any) -> None:
    assert speck.map(two(chain), synops_limits={"a": 1}).fit.fits
    with pytest.raises(DoesNotFitError):
        speck.map(two(chain), synops_limits={"z": 1})


# --- hints ------------------------------------------------------------------------------------------------------------


def hint(model: Model, node: str, device: str = "speck2f") -> str:
    rates = {"input": 1e9, "a": 1e9, "b": 1e9}
    names = {name: rate for name, rate in rates.items() if name in model.nodes}
    return loads(check(model, names, device))[node].hint


def test_what_helps(chain: Any) -> None:
    assert hint(two(chain), "b") == (
        "a smaller kernel, fewer channels, a larger stride, the output decimator of a (core 0) or fewer events; "
        "the limit is an assumption, synops_limits sets another"
    )
    # no core stands before the first layer, and older chips have no decimator
    assert "decimator" not in hint(two(chain), "a")
    assert "decimator" not in hint(two(chain), "b", "speck2b")
    rows = loads(check(two(chain), {"input": 1e9, "a": 1.0}, synops_limits={"a": 5}))
    assert rows["a"].hint.endswith("; the limit is that of synops_limits")
    assert rows["b"].hint == ""


def test_what_is_of_no_help_is_not_named(chain: Any) -> None:
    one = chain(1, 1, 1).relay("w").fire(1, "a").model()
    assert hint(one, "a").startswith("fewer events; ")
    # a 1 x 1 kernel cannot shrink; strides end at 8
    relay = chain(2, 8, 8).relay("w").fire(1, "a").model()
    assert hint(relay, "a").startswith("fewer channels, a larger stride or fewer events; ")
    wide = chain(1, 40, 40).conv(np.ones((1, 1, 9, 9)), "w", stride=8).fire(1, "a").model()
    assert hint(wide, "a").startswith("a smaller kernel or fewer events; ")
