"""What NIR leaves open: profiles as data, fields on top, overrides per node, and nothing left open in the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hal
from hal import nodes
from hal.errors import ConfigError, FormatError
from hal.model import SemanticsWarning
from hal.semantics import _CHOICES, FIELDS, PROFILE, PROFILES, Rule, Semantics, read_semantics

WORDS: dict[str, Any] = {field: st.sampled_from(choices) for field, choices in _CHOICES.items()}
NUMBERS: dict[str, Any] = {
    "edge_delay": st.integers(0, 5),
    "feedback_delay": st.integers(1, 5),
    "v_min": st.none() | st.just("-threshold") | st.floats(-10, 10),
    "start_state": st.sampled_from(["v_reset", "v_leak"]) | st.floats(-10, 10),
}
RULES = WORDS | NUMBERS
names = st.text(min_size=1, max_size=4)
fields = st.fixed_dictionaries({}, optional=RULES)
records = st.builds(
    lambda profile, dt, own, signals, overrides: Semantics(
        profile=profile, dt_ns=dt, signals=signals, overrides=overrides, **own
    ),
    st.sampled_from(sorted(PROFILES)),
    st.none() | st.integers(1, 10**12),
    fields,
    st.frozensets(names, max_size=3),
    st.dictionaries(names, fields, max_size=3),
)


def test_the_strategies_cover_every_field() -> None:
    assert set(RULES) == set(FIELDS)


# --- records and JSON ------------------------------------------------------------------------------------------------


@given(records)
def test_json_comes_back_equal(record: Semantics) -> None:
    assert Semantics.from_json(json.loads(json.dumps(record.to_json(), allow_nan=False))) == record


@given(records, names, st.sampled_from(["IF", "LIF", "CubaLIF", "LI", "Threshold", "Affine"]))
def test_a_rule_leaves_nothing_open(record: Semantics, name: str, type_name: str) -> None:
    rule = record.rule_for(name, type_name)
    for field in FIELDS:
        assert getattr(rule, field) is not PROFILE
        if field in _CHOICES:
            assert getattr(rule, field) in _CHOICES[field]


@given(records, names, st.sampled_from(["IF", "LIF", "CubaLIF", "LI", "Threshold", "Affine"]))
def test_override_beats_record_beats_type_beats_profile(record: Semantics, name: str, type_name: str) -> None:
    rule = record.rule_for(name, type_name)
    profile = PROFILES[record.profile]
    for field in set(FIELDS) - {"current_gain"}:
        layers = [
            record.overrides.get(name, {}).get(field, PROFILE),
            getattr(record, field),
            profile.get(type_name, {}).get(field, PROFILE),
            profile["*"].get(field, PROFILE),
            getattr(Rule(), field),
        ]
        assert getattr(rule, field) == next(value for value in layers if value is not PROFILE), field


def test_what_is_left_to_the_profile_is_absent_from_json() -> None:
    assert Semantics(profile="norse").to_json() == {"profile": "norse", "dt_ns": None}
    assert Semantics(v_min=None).to_json()["v_min"] is None


def test_no_lower_bound_is_different_from_what_the_profile_says() -> None:
    assert Semantics(profile="sinabs").rule_for("a", "IF").v_min == "-threshold"
    assert Semantics(profile="sinabs", v_min=None).rule_for("a", "IF").v_min is None


# --- profiles --------------------------------------------------------------------------------------------------------


def test_there_are_the_eight_profiles() -> None:
    assert set(PROFILES) == {"sinabs", "snntorch", "norse", "spyx", "rockpool", "spikingjelly", "jaxsnn", "nir"}


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_a_profile_is_data_of_known_words_and_types(profile: str) -> None:
    for type_name, values in PROFILES[profile].items():
        assert type_name == "*" or type_name in nodes.PRIMITIVES
        Semantics(overrides={"node": dict(values)})


@pytest.mark.parametrize(
    ("profile", "type_name", "expected"),
    [
        ("nir", "LIF", {"decay": "euler", "gain": "r*dt/tau", "spike_reset": "value", "compare": ">", "v_min": None}),
        ("nir", "IF", {"gain": "r*dt"}),
        ("sinabs", "IF", {"gain": "one", "spikes_per_step": "many", "spike_reset": "subtract_n", "compare": ">="}),
        ("sinabs", "IF", {"v_min": "-threshold", "tau_unit": "steps"}),
        ("sinabs", "LIF", {"gain": "1-decay", "decay": "exp"}),
        ("sinabs", "LI", {"gain": "one", "decay": "exp"}),
        ("snntorch", "LIF", {"decay": "1-dt/tau", "spike_reset": "subtract", "reset_delay": 1, "compare": ">"}),
        ("norse", "LIF", {"decay": "euler", "tau_unit": "s*dt", "gain": "r*dt/tau"}),
        ("norse", "CubaLIF", {"jump": "before", "membrane_sees": "undecayed", "current_gain": "one"}),
        ("spyx", "LIF", {"fires_on": "old", "flatten_order": "HWC", "spike_reset": "subtract", "tau_unit": "steps"}),
        ("spyx", "Threshold", {"fires_on": "new"}),
        ("rockpool", "CubaLIF", {"jump": "before", "decay": "exp", "spikes_per_step": "many", "compare": ">="}),
        ("spikingjelly", "LIF", {"compare": ">=", "decay": "euler"}),
        ("spikingjelly", "CubaLIF", {"start_state": "v_reset", "decay": "1-dt/tau"}),
        ("jaxsnn", "CubaLIF", {"tau_unit": "ms", "decay": "euler", "gain": "1-decay", "current_gain": "one"}),
        ("jaxsnn", "CubaLIF", {"jump": "after", "membrane_sees": "undecayed", "compare": ">", "dtype": "float64"}),
        ("jaxsnn", "CubaLI", {"jump": "before", "membrane_sees": "undecayed", "tau_unit": "ms"}),
    ],
)
def test_rules_of_the_profiles(profile: str, type_name: str, expected: dict[str, Any]) -> None:
    rule = Semantics(profile=profile).rule_for("node", type_name)
    assert {field: getattr(rule, field) for field in expected} == expected


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_feedback_takes_a_step_in_every_profile(profile: str) -> None:
    assert Semantics(profile=profile).rule_for("node", "LIF").feedback_delay == 1


def test_rule_takes_name_and_type_from_the_node(net: Any) -> None:
    record = Semantics(profile="sinabs", overrides={"a": {"compare": ">"}})
    assert record.rule(net.spiking("a", 1)).compare == ">"
    assert record.rule(net.spiking("b", 1)).compare == ">="


def test_gain_stands_for_both_stages_unless_the_second_is_said() -> None:
    assert Semantics(gain="r").rule_for("a", "CubaLIF").current_gain == "r"
    assert Semantics(gain="r", current_gain="one").rule_for("a", "CubaLIF").current_gain == "one"
    over = Semantics(overrides={"a": {"gain": "one"}})
    assert over.rule_for("a", "CubaLIF").current_gain == "one"
    assert over.rule_for("b", "CubaLIF").current_gain == "r*dt/tau"


# --- spellings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "written", "meant"),
    [
        ("flatten_order", "C,H,W", "CHW"),
        ("flatten_order", "h,w,c", "HWC"),
        ("fires_on", "old state", "old"),
        ("fires_on", "new state", "new"),
        ("jump", "before decay", "before"),
        ("reset_delay", True, 1),
        ("reset_delay", False, 0),
    ],
)
def test_other_spellings(field: str, written: Any, meant: Any) -> None:
    made: Any = Semantics
    for record in (made(**{field: written}), made(overrides={"a": {field: written}})):
        value = getattr(record.rule_for("a", "IF"), field)
        assert value == meant
        assert type(value) is type(meant)


@pytest.mark.parametrize("dt", [np.int64(1000), np.uint8(7)])
def test_dt_may_be_a_numpy_integer(dt: Any) -> None:
    record = Semantics(dt_ns=dt)
    assert record.dt_ns == int(dt)
    assert type(record.dt_ns) is int


def test_a_single_signal_may_be_a_text() -> None:
    assert Semantics(signals="input").signals == {"input"}  # type: ignore[arg-type]
    assert Semantics.from_json({"signals": "input"}).signals == {"input"}


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"profile": "sinnabs"}, "profile"),
        ({"profile": ["nir"]}, "profile"),
        ({"profile": None}, "profile"),
        ({"dt_ns": 0}, "dt_ns"),
        ({"dt_ns": -5}, "dt_ns"),
        ({"dt_ns": 1e6}, "dt_ns"),
        ({"dt_ns": True}, "dt_ns"),
        ({"dt_ns": "1ms"}, "dt_ns"),
        ({"decay": "linear"}, "decay"),
        ({"decay": None}, "decay"),
        ({"tau_unit": ["s"]}, "tau_unit"),
        ({"reset_delay": 2}, "reset_delay"),
        ({"reset_delay": "1"}, "reset_delay"),
        ({"edge_delay": -1}, "edge_delay"),
        ({"edge_delay": 0.5}, "edge_delay"),
        ({"feedback_delay": 0}, "feedback_delay"),
        ({"v_min": "threshold"}, "v_min"),
        ({"v_min": float("nan")}, "v_min"),
        ({"v_min": float("inf")}, "v_min"),
        ({"start_state": None}, "start_state"),
        ({"start_state": float("inf")}, "start_state"),
        ({"start_state": True}, "start_state"),
        ({"overrides": 5}, "overrides"),
        ({"overrides": None}, "overrides"),
        ({"overrides": {"a": 5}}, "overrides"),
        ({"overrides": {"a": {"dt_ns": 5}}}, "overrides['a'].dt_ns"),
        ({"overrides": {"a": {"decay": "linear"}}}, "overrides['a'].decay"),
        ({"overrides": {"a": {"decay": PROFILE}}}, "overrides['a'].decay"),
        ({"overrides": {"a": {"nonsense": 1}}}, "overrides['a'].nonsense"),
        ({"signals": 5}, "signals"),
        ({"signals": [5]}, "signals"),
    ],
)
def test_what_is_not_understood_is_named(values: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Semantics(**values)
    (problem,) = caught.value.problems
    assert problem.where.startswith(where)


def test_all_problems_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Semantics(profile="x", dt_ns=0, decay="y", v_min="z", overrides={"a": {"jump": 1}})  # type: ignore[arg-type]
    assert len(caught.value.problems) == 5


def test_choices_are_told() -> None:
    with pytest.raises(ConfigError) as caught:
        Semantics(compare="=>")  # type: ignore[arg-type]
    assert "compare: unknown value (value '=>', limit one of ('>', '>='))" in str(caught.value)


def test_unknown_keys_of_a_json_are_errors_all_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Semantics.from_json({"profil": "nir", "dt": 1, "decay": "exp"})
    assert {p.where for p in caught.value.problems} == {"profil", "dt"}


@pytest.mark.parametrize("data", [{"overrides": [1]}, {"overrides": {"a": 1}}, {"overrides": None}])
def test_broken_overrides_of_a_json_are_errors(data: Any) -> None:
    with pytest.raises(ConfigError):
        Semantics.from_json(data)


# --- files -----------------------------------------------------------------------------------------------------------


def test_read_by_name_and_from_a_file(tmp_path: Path) -> None:
    assert read_semantics("sinabs") == Semantics(profile="sinabs")
    record = Semantics(profile="spyx", dt_ns=5, overrides={"a": {"compare": ">="}})
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record.to_json()))
    assert read_semantics(path) == read_semantics(str(path)) == record


@pytest.mark.parametrize(
    ("text", "error"),
    [("{", FormatError), ("[1]", FormatError), ('{"dt": 5}', ConfigError), ("\xff", FormatError)],
)
def test_broken_files(tmp_path: Path, text: str, error: type[Exception]) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(error):
        read_semantics(path)


def test_what_is_neither_profile_nor_file_lists_the_profiles(tmp_path: Path) -> None:
    for source in ("sinnabs", tmp_path, tmp_path / "none.json"):
        with pytest.raises(ConfigError, match="rockpool"):
            read_semantics(source)


# --- with a model ----------------------------------------------------------------------------------------------------


class Graph:
    """A graph object in memory, as package nir makes it."""

    class Input:
        def __init__(self) -> None:
            self.input_type = {"input": np.array([2])}

    class Output:
        def __init__(self) -> None:
            self.output_type = {"output": np.array([2])}

    class Threshold:
        def __init__(self) -> None:
            self.threshold = np.ones(2, np.float32)

    def __init__(self) -> None:
        self.nodes = {"input": Graph.Input(), "t": Graph.Threshold(), "output": Graph.Output()}
        self.edges = [("input", "t"), ("t", "output")]


def test_without_semantics_nir_is_assumed_with_one_warning_and_clocked_devices_refuse() -> None:
    with pytest.warns(SemanticsWarning) as caught:
        model = hal.read_model(Graph())
    assert len(caught) == 1
    for word in ("dt", "tau", "reset", "spikes per step", "--semantics"):
        assert word in str(caught[0].message)
    assert (model.semantics, model.semantics_given) == (Semantics(profile="nir", dt_ns=None), False)
    report = hal.mapper("ideal").check(model)
    assert [(f.field, f.level) for f in report.refused] == [("dt_ns", "refused")]
    assert "--dt" in report.refused[0].hint


def test_map_takes_what_read_model_takes() -> None:
    with pytest.warns(SemanticsWarning), pytest.raises(hal.DoesNotFitError, match="dt_ns"):
        hal.mapper("ideal").map(Graph())


def test_names_that_the_model_lacks_are_errors_with_advice(net: Any) -> None:
    model = net.relay()
    with pytest.raises(ConfigError) as caught:
        model.with_semantics(Semantics(signals={"inptu"}, overrides={"cell": {}, "zzz": {}}))
    assert [p.where for p in caught.value.problems] == ["overrides", "overrides", "signals"]
    assert "'input'" in caught.value.problems[2].hint
    assert "'cells'" in caught.value.problems[0].hint
